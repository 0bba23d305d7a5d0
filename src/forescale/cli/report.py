# SPDX-License-Identifier: Apache-2.0
"""`forescale report FIT -o report.html`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from forescale.cli._shell import FIT, LAW, LOSS, STRICT, say


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command("report", help=summary + "\n\nExample: forescale report fit.json --budget 1e21 -o report.html")
    def report(
        fit: FIT,
        law: LAW = None,
        loss: LOSS = None,
        budget: Annotated[
            list[str] | None,
            typer.Option("--budget", help="Add a compute-optimal plan for this budget (repeatable)."),
        ] = None,
        backtest: Annotated[bool, typer.Option("--backtest/--no-backtest", help="Add a rolling backtest.")] = True,
        out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
        strict: STRICT = False,
    ) -> int:
        from forescale import api

        believed = api.fit_of(fit, law=law, loss=loss)
        command = shlex.join(["forescale", *sys.argv[1:]])
        page = api.report_with_plans(believed, budget or (), backtest=backtest, commands=(command,))
        say(f"written: {page.save(out)}")
        return api.exit_code(believed, strict)

# SPDX-License-Identifier: Apache-2.0
"""`forescale backtest RUNS --law LAW`."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from forescale.cli._shell import (
    COLUMN,
    CONVENTION,
    DROP_BAD,
    JSON,
    LAW,
    LOSS,
    OUT,
    READER,
    WHERE,
    read,
    say,
)


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command("backtest", help=summary + "\n\nExample: forescale backtest runs.csv --law chinchilla --beyond 10")
    def backtest(
        source: Annotated[str, typer.Argument(help="Runs: a file, a folder, a data set name, or - for stdin.")],
        law: LAW = None,
        loss: LOSS = None,
        beyond: Annotated[
            float | None,
            typer.Option("--beyond", help="Hide everything above Cmax/BEYOND; without it, rolling origins."),
        ] = None,
        calibration: Annotated[
            bool,
            typer.Option(
                "--calibration", help="Show coverage with limits, interval score, CRPS and PIT by distance."
            ),
        ] = False,
        column: COLUMN = None,
        convention: CONVENTION = None,
        where: WHERE = None,
        drop_bad: DROP_BAD = False,
        reader: READER = None,
        out: OUT = None,
        as_json: JSON = False,
    ) -> None:
        from forescale import api

        runs = read(source, column=column, convention=convention, where=where, drop_bad=drop_bad, reader=reader)
        result = api.backtest(runs, law, beyond=beyond, loss=loss)
        if out is not None:
            result.save(out)
        say(result.to_json() if as_json else result.summary())
        if calibration and not as_json:
            say("\n" + result.calibration().summary())
            if math.isfinite(result.covered_widened):
                say("\nWith the spread of earlier origins\n" + result.calibration(widened=True).summary())
        if out is not None and not as_json:
            say(f"\nwritten: {out}")

# SPDX-License-Identifier: Apache-2.0
"""`forescale study [ID ...]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forescale.cli._shell import JSON, OUT, emit, say, table


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command("study", help=summary + "\n\nExample: forescale study parscale -o parscale.html")
    def study(
        name: Annotated[list[str] | None, typer.Argument(help="Studies; without any, they are listed.")] = None,
        every: Annotated[bool, typer.Option("--all", help="Run all whose data can be had.")] = False,
        out: OUT = None,
        charts: Annotated[
            Path | None, typer.Option("--charts", help="Write each chart as a PNG file into this folder.")
        ] = None,
        as_json: JSON = False,
    ) -> None:
        from forescale.studies import _run, _study

        if not name and not every:
            rows = [(s.id, s.title, ", ".join(s.datasets)) for s in _study.studies().values()]
            if as_json:
                emit("studies", {"studies": [dict(zip(("id", "title", "data"), row)) for row in rows]})
                return
            say(table(("study", "what is asked", "data"), rows))
            return
        quiet = as_json or not sys.stderr.isatty()
        done = _run.run(
            list(name or _study.studies()),
            skip_absent=every,
            progress=None if quiet else lambda text: print(text, file=sys.stderr),
        )
        written = _run.write(done, out, charts)
        if as_json:
            emit("study-results", {"studies": {key: result.to_dict() for key, result in done.items()}})
            return
        say("\n\n".join(_run.text(result) for result in done.values()))
        if written:
            say("\n" + "\n".join(f"written: {path}" for path in written))

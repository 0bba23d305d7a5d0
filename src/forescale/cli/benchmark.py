# SPDX-License-Identifier: Apache-2.0
"""`forescale benchmark [CASE ...]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forescale.cli._shell import JSON, OUT, emit, say, table


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command("benchmark", help=summary + "\n\nExample: forescale benchmark pystdlib --method chinchilla")
    def benchmark(
        case: Annotated[
            list[str] | None, typer.Argument(help="Cases; without any, all whose data can be had.")
        ] = None,
        method: Annotated[
            list[str] | None,
            typer.Option("--method", "-m", help="A law or a recipe (repeatable); without it, all of them."),
        ] = None,
        given: Annotated[
            list[Path] | None,
            typer.Option("--with", help="Predictions that an earlier --out, or another program, wrote (repeatable)."),
        ] = None,
        only_given: Annotated[
            bool, typer.Option("--only-with", help="Run nothing: show the predictions of --with.")
        ] = False,
        folder: Annotated[
            Path | None, typer.Option("--protocols", help="A folder of further protocol files; each is a case.")
        ] = None,
        workers: Annotated[int, typer.Option("--workers", help="Processes; the result does not depend on it.")] = 1,
        level: Annotated[float, typer.Option("--level", help="Nominal level of the bands.")] = 0.9,
        listed: Annotated[bool, typer.Option("--list", help="List the cases and methods, and run nothing.")] = False,
        tables: Annotated[
            Path | None,
            typer.Option("--table", help="Write the tables (.md, .json), or one line per prediction (.csv)."),
        ] = None,
        page: Annotated[Path | None, typer.Option("--report", help="Write the tables as one HTML page.")] = None,
        out: OUT = None,
        as_json: JSON = False,
    ) -> None:
        from forescale import api

        if listed:
            known = api.benchmark_contents(folder)
            if as_json:
                emit("benchmark-contents", known)
                return
            for kind, entries in known.items():
                say(table((kind, ""), [(entry["id"], entry["title"]) for entry in entries]) + "\n")
            return
        quiet = as_json or not sys.stderr.isatty()
        found = api.benchmark(
            case or (),
            method or (),
            predictions=given or (),
            run=not only_given,
            level=level,
            workers=workers,
            folder=folder,
            progress=None if quiet else lambda name: print(f"done: {name}", file=sys.stderr),
        )
        say(found.to_json() if as_json else found.summary())
        written = []
        if tables is not None:
            written.append(found.save_table(tables))
        if out is not None:
            written.append(found.save(out))
        if page is not None:
            written.append(api.report(found).save(page))
        if written and not as_json:
            say("\n" + "\n".join(f"written: {path}" for path in written))

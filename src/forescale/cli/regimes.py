# SPDX-License-Identifier: Apache-2.0
"""`forescale regimes RUNS`."""

from __future__ import annotations

from typing import Annotated

import typer

from forescale.cli._shell import (
    COLUMN,
    CONVENTION,
    DROP_BAD,
    JSON,
    READER,
    WHERE,
    emit,
    read,
    say,
)


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command("regimes", help=summary + "\n\nExample: forescale regimes runs.csv --x C")
    def regimes(
        source: Annotated[str, typer.Argument(help="One curve: a file, a folder, a data set name, or - for stdin.")],
        x: Annotated[str | None, typer.Option("--x", help="The variable; default C, N, D or steps.")] = None,
        y: Annotated[str | None, typer.Option("--y", help="The metric; default loss, else score.")] = None,
        better: Annotated[str | None, typer.Option("--better", help="lower (losses) or higher (accuracies).")] = None,
        level: Annotated[float, typer.Option("--level", help="Level of the intervals.")] = 0.90,
        column: COLUMN = None,
        convention: CONVENTION = None,
        where: WHERE = None,
        drop_bad: DROP_BAD = False,
        reader: READER = None,
        as_json: JSON = False,
    ) -> None:
        from forescale import api

        runs = read(source, column=column, convention=convention, where=where, drop_bad=drop_bad, reader=reader)
        found = api.regimes(runs, x, y, better=better, level=level)
        if as_json:
            emit("regimes", found.to_dict())
        else:
            say(found.summary())

# SPDX-License-Identifier: Apache-2.0
"""What all commands share: output, JSON, option parsing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forescale.core.errors import QueryError, message
from forescale.core.files import to_json

if TYPE_CHECKING:
    from forescale.runs.table import Runs

JSON = Annotated[bool, typer.Option("--json", help="Print JSON (with `schema` and `version`) instead of text.")]
STRICT = Annotated[bool, typer.Option("--strict", help="Exit with 1 when the verdict is red.")]
FIT = Annotated[
    str,
    typer.Argument(
        help="A fit or stack file, law:source, or runs (fitted with --law, or else the laws that extrapolate best)."
    ),
]
LAW = Annotated[
    str | None,
    typer.Option("--law", "-l", help="A law id, `power(N)`, or a formula such as 'E + A*N**-a + B*D**-b'."),
]
LOSS = Annotated[
    str | None, typer.Option("--loss", help="log-huber (most laws), student-t, frontier, lower-envelope, ...")
]
FIX = Annotated[list[str] | None, typer.Option("--fix", help="Hold a parameter: --fix E=1.69 (repeatable).")]
TIE = Annotated[list[str] | None, typer.Option("--tie", help="Set parameters equal: --tie beta=alpha.")]
RENAME = Annotated[list[str] | None, typer.Option("--rename", help="Rename a parameter: --rename alpha=a.")]
ADD = Annotated[list[str] | None, typer.Option("--add", help="Add another law (or formula) to the law.")]
COLUMN = Annotated[
    list[str] | None, typer.Option("--column", help="Say which column is which: --column N='my size' (repeatable).")
]
WHERE = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Keep some rows: --where 'C<1e21' or --where dataset=c4 (repeatable, all must hold)."
    ),
]
CONVENTION = Annotated[
    list[str] | None,
    typer.Option("--convention", help="Say what a number means: --convention N=total (N, D, C or loss; repeatable)."),
]
DROP_BAD = Annotated[bool, typer.Option("--drop-bad", help="Leave out unusable rows, and say which.")]
READER = Annotated[str | None, typer.Option("--reader", help="The format, where it cannot be recognised.")]
OUT = Annotated[Path | None, typer.Option("--out", "-o", help="Write the result to this file.")]


def say(text: str = "") -> None:
    """Print to stdout."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def emit(schema: str, content: Mapping[str, Any]) -> None:
    """Print strict JSON with a schema name and a version."""
    sys.stdout.write(to_json({"schema": f"forescale/{schema}", "version": 1, **content}))


def read(
    source: str,
    *,
    column: Sequence[str] | None = None,
    convention: Sequence[str] | None = None,
    where: Sequence[str] | None = None,
    drop_bad: bool = False,
    reader: str | None = None,
) -> Runs:
    """The runs that the options of a command describe."""
    from forescale import api

    return api.load(
        source,
        columns=pairs(column, "--column"),
        conventions=pairs(convention, "--convention"),
        where=where,
        on_bad="drop" if drop_bad else "error",
        reader=reader,
    )


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """["E=1.69"] -> {"E": "1.69"}.

    Raises:
        QueryError: no "=" in one of them, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not sign or not name or not value:
            raise QueryError(message(f"{option} {text!r}", "name=value", f"{option} E=1.69"))
        if name in found:
            raise QueryError(message(f"{option} names {name!r} twice", "each name once"))
        found[name] = value
    return found


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain aligned table; the first column to the left, numbers as they come."""
    cells = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

# SPDX-License-Identifier: Apache-2.0
"""Some columns of a delimited file, whole, for the readers of data sets that join several files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forescale.core.errors import ReadError, message
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited


def columns_of(path: Path, names: tuple[str, ...], expected: str) -> dict[str, Any]:
    """name -> values: arrays of numbers, lists of texts.

    Raises:
        ReadError: a column is not there; `expected` says in words what the file should be.
    """
    table = read_delimited(path).columns
    lacking = [name for name in names if name not in table]
    if lacking:
        raise ReadError(message(f"{path.name} lacks {', '.join(lacking)}", expected))
    found: dict[str, Any] = {}
    for name in names:
        column = table[name]
        found[name] = [column.names[c] for c in column.codes] if isinstance(column, Coded) else column
    return found

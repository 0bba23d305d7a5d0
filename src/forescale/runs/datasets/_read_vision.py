# SPDX-License-Identifier: Apache-2.0
"""Small published tables of vision models: sizes, times, and accuracies in percent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """Rows of `file` with loss = share of wrong answers, from `right` or `wrong`, a column in percent.

    Options: `numbers` (name -> [column, factor]), `texts` (name -> column), `joined` (name -> [text, number]: a label
    "text@number").

    Raises:
        ReadError: a column is missing, or holds text.
    """
    path = fetch(options["file"])
    table = read_delimited(path).columns
    wanted = [column for column, _ in options["numbers"].values()]
    percent = options.get("right", options.get("wrong"))
    lacking = [name for name in (*wanted, percent, *options.get("texts", {}).values()) if name not in table]
    lacking += [name for name in (*wanted, percent) if name in table and not isinstance(table[name], np.ndarray)]
    if lacking:
        raise ReadError(
            message(f"{path.name} has no numbers in {', '.join(map(str, lacking))}", "the published table")
        )
    columns: dict[str, Any] = {name: table[column] * float(f) for name, (column, f) in options["numbers"].items()}
    columns["loss"] = table[percent] / 100.0 if "wrong" in options else 1.0 - table[percent] / 100.0
    columns.update({name: table[column] for name, column in options.get("texts", {}).items()})
    for name, (text, number) in options.get("joined", {}).items():
        columns[name] = [f"{text_of(table[text], i)}@{value:.0f}" for i, value in enumerate(table[number])]
    return Raw(columns=columns, mapping={name: name for name in columns})


def text_of(column: Any, row: int) -> str:
    """One cell of a text column."""
    return str(column.names[column.codes[row]] if isinstance(column, Coded) else column[row])

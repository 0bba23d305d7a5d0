# SPDX-License-Identifier: Apache-2.0
"""Bhagia et al. (2024), OLMo's ladder: one table per run, evaluated along training; here the last row of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

SIZES = {"190M": 190354176.0, "370M": 371262464.0, "760M": 758220288.0, "1B": 1279395840.0, "3B": 3.16954e9}
"""Parameters: the authors' configuration; 3B by the differences of its tokens, to five digits."""

_NAME = re.compile(r"(?P<size>\d+[MB])-(?P<factor>[\d.]+)xC")
_LOSS = re.compile(r"eval/(?P<text>[\w-]+?)(-validation)?/CrossEntropyLoss")


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per run: N, D = tokens seen, `multiplier` = D / (20 N) as planned, and one `loss_<text>` per text.

    Options: `eval`: the text whose loss is `loss`.

    Raises:
        ReadError: a table without the columns of the authors' logs.
    """
    rows = []
    for file in options["files"]:
        path = fetch(file)
        table = read_delimited(path).columns
        found = _NAME.search(path.stem)
        losses = {m["text"]: name for name in table if (m := _LOSS.fullmatch(name))}
        if found is None or "throughput/total_tokens" not in table or options["eval"] not in losses:
            raise ReadError(message(f"{path.name} is no log of a ladder run", "a CSV file of OLMo-ladder"))
        last = int(np.argmax(np.asarray(table["throughput/total_tokens"], dtype=np.float64)))
        rows.append(
            {
                "run": path.stem.removesuffix("-rerun"),
                "N": SIZES[found["size"]],
                "D": float(table["throughput/total_tokens"][last]),
                "multiplier": float(found["factor"]),
                **{f"loss_{text}": float(table[name][last]) for text, name in losses.items()},
            }
        )
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in columns:
        if name != "run":
            columns[name] = np.array(columns[name], dtype=np.float64)
    columns["loss"] = columns[f"loss_{options['eval']}"]
    return Raw(columns=columns, mapping={name: name for name in columns})

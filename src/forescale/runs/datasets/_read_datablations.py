# SPDX-License-Identifier: Apache-2.0
"""Muennighoff et al. (2023): final losses of runs whose tokens were seen once or several times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw
from forescale.runs.table import Note


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """The rows that the authors used: N, D = all tokens seen, D_unique = different ones, epochs = D / D_unique.

    Options: `unique`: only runs that saw every token once.

    Raises:
        ReadError: no such table.
    """
    raw = read_delimited(fetch(options["file"]))
    status = raw.columns["status"]
    if not isinstance(status, Coded):
        raise ReadError(message("the column status holds numbers", "the words used, unfinished, ..."))
    kept = np.array([status.names[code] == "used" for code in status.codes.tolist()])
    N, D, unique, loss = (
        np.asarray(raw.columns[name], dtype=np.float64) for name in ("params", "tokens", "unique_tokens", "val_loss")
    )
    if options["unique"]:
        kept &= unique == D
    name = raw.columns["name"]
    texts = [name.names[code] for code in name.codes.tolist()] if isinstance(name, Coded) else [str(v) for v in name]
    columns: dict[str, Any] = {
        "N": N[kept],
        "D": D[kept],
        "D_unique": unique[kept],
        "epochs": D[kept] / unique[kept],
        "loss": loss[kept],
        "run": [text for text, keep in zip(texts, kept.tolist()) if keep],
    }
    left = int((~kept).sum())
    note = Note("info", "rows-left-out", f"{left} rows of the source are not in this variant.")
    return Raw(columns=columns, mapping={name: name for name in columns}, notes=(note,))

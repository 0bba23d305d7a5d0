# SPDX-License-Identifier: Apache-2.0
"""Tao et al. (2024): checkpoints of models of six sizes with ten vocabularies each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

_COLUMNS = {
    "N": "Non_vocab_parameters",
    "characters": "num_characters",
    "C": "FLOPs",
    "loss_u": "Lossu",
    "vocab_size": "vocab_size",
    "width": "embed_dim",
}


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """The columns of the file, N_embedding = vocabulary x width, and D = C / (6 (N + N_embedding)).

    The file's compute is 6 (N + N_embedding) tokens, so that D are the tokens that it was counted with. A run is a
    size with a vocabulary.

    Options: `least_flop`: rows with less compute are left out (0 for none).

    Raises:
        ReadError: no such table.
    """
    raw = read_delimited(fetch(options["file"]))
    missing = [name for name in _COLUMNS.values() if name not in raw.columns]
    if missing:
        raise ReadError(message(f"the table has no column {missing[0]}", ", ".join(_COLUMNS.values())))
    columns: dict[str, Any] = {
        name: np.asarray(raw.columns[theirs], dtype=np.float64) for name, theirs in _COLUMNS.items()
    }
    columns["N_embedding"] = columns["vocab_size"] * columns["width"]
    columns["D"] = columns["C"] / (6.0 * (columns["N"] + columns["N_embedding"]))
    kept = columns["C"] > float(options["least_flop"])
    columns = {name: values[kept] for name, values in columns.items()}
    columns["run"] = [
        f"{size:.0f}M, {entries:.0f} entries" for size, entries in zip(columns["N"] / 1e6, columns["vocab_size"])
    ]
    return Raw(columns=columns, mapping={name: name for name in columns})

# SPDX-License-Identifier: Apache-2.0
"""Wu & Papyan (2024): 230 small language models with their losses and measures of neural collapse."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

_NAME = re.compile(r"(?P<depth>\d+)x(?P<width>\d+)_(?P<epochs>\d\d)(?P<decay>[Ld])(?P<seed>\d*)@(?P<last>\d+)")
_DECAY = {"L": 0.1, "d": 5e-4}
_TOKENS = 469_514_249
"""Tokens of one epoch of TinyStories."""
_KEPT = {
    "NC2_norms_var": "norms_log_var", "NC2_etf": "etf_error", "NC3": "dual_error", "UNC3_var": "simcos_var",
    "val_acc": "val_acc",
}  # fmt: skip


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """N = all parameters, D = tokens of all epochs so far, loss in nats per token, one column per measure.

    `ended` is 0 for checkpoints in the middle of a schedule (after 6 of 10 epochs).

    `log_NC1` is the log of the class-distance normalised variance (the artefacts hold it with a squared distance
    squared again), `log_GNC2` the log of the variance of log kernels, `NC4` the share of tokens whose nearest class
    mean is what the classifier says.

    Raises:
        ReadError: a model whose name does not say what it is.
    """
    source = read_delimited(fetch(options["file"])).columns
    names = _texts(source["model"])
    parts = [_NAME.fullmatch(name) for name in names]
    if any(part is None for part in parts):
        bad = names[[part is None for part in parts].index(True)]
        raise ReadError(message(f"the model name {bad!r}", "DEPTHxWIDTH_EPOCHS, L or d, @checkpoint"))
    found = [part.groupdict() for part in parts if part is not None]
    epochs = np.array([float(part["last"]) + 1.0 for part in found])
    planned = np.array([float(part["epochs"]) for part in found])
    seeded = np.array([part["seed"] != "" for part in found])
    columns: dict[str, Any] = {
        "run": names,
        "N": source["n_params"],
        "D": _TOKENS * epochs,
        "epochs": epochs,
        "ended": (epochs == planned).astype(np.float64),
        "depth": np.array([float(part["depth"]) for part in found]),
        "width": np.array([float(part["width"]) for part in found]),
        "weight_decay": np.array([_DECAY[part["decay"]] for part in found]),
        "decay": ["0.1" if part["decay"] == "L" else "0.0005" for part in found],
        "purpose": np.where(seeded, "seed", "grid").tolist(),
        "loss": source["val_loss"],
        "log_NC1": np.log(source["cdnv"]),
        "log_GNC2": np.log(source["log_kern_var"]),
        "NC4": source["hits"] / (source["hits"] + source["misses"]),
        **{name: source[column] for name, column in _KEPT.items()},
    }
    return Raw(columns=columns, mapping={name: name for name in columns})


def _texts(column: Coded | np.ndarray) -> list[str]:
    if not isinstance(column, Coded):
        raise ReadError(message("the column model holds numbers", "names of models"))
    return [column.names[code] for code in column.codes.tolist()]

# SPDX-License-Identifier: Apache-2.0
"""Nezhurina et al. (2025): CLIP and MaMMUT on one data set, one row per final checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers import parquet
from forescale.runs.readers._reader import Raw

_TEXTS = {"procedure": "namespace", "model": "model_simple", "run": "name", "dataset": "pretrain_dataset"}
_NUMBERS = {
    "D": "samples_seen", "steps": "steps", "lr_peak": "lr", "warmup_steps": "warmup",
    "batch_sequences": "global_batch_size", "acc1": "acc1", "miou": "miou",
    "train_contrastive_loss": "train_contrastive_loss",
}  # fmt: skip


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """N = all parameters, D = samples seen, C = forward FLOP (per sample times samples), loss = 1 - `metric`.

    The columns with paths of the cluster are not carried.

    Raises:
        ReadError: a column is missing.
        DependencyError: no Parquet library is installed.
    """
    raw = parquet.read(fetch(options["file"])).columns
    lacking = [name for name in (*_TEXTS.values(), *_NUMBERS.values(), "model_mparams", "gflops") if name not in raw]
    if lacking:
        raise ReadError(message(f"{options['file']} lacks {', '.join(lacking)}", "the table of the LAION comparison"))
    columns: dict[str, Any] = {name: raw[source] for name, source in _NUMBERS.items()}
    columns.update({name: list(raw[source]) for name, source in _TEXTS.items()})
    columns["N"] = np.asarray(raw["model_mparams"]) * 1e6
    columns["C"] = np.asarray(raw["gflops"]) * 1e9
    columns["loss"] = 1.0 - np.asarray(raw[options["metric"]])
    return Raw(columns=columns, mapping={name: name for name in columns})

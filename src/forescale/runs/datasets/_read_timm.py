# SPDX-License-Identifier: Apache-2.0
"""timm: times of image models by two benchmarks, with their activations and multiply-adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.runs.datasets._tables import columns_of
from forescale.runs.readers._reader import Raw

_WORK = ("model", "infer_img_size", "infer_gmacs", "infer_macts", "param_count", "infer_samples_per_sec")

EXPECTED = "a benchmark table of timm"


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model and image size: N, macs, acts (per image), seconds (per image), resolution.

    `training` names a table of training times, which has no activations: its rows take those of the same model and
    image size in `file`; others are left out.

    Raises:
        ReadError: a column is missing.
    """
    work = columns_of(fetch(options["file"]), _WORK, EXPECTED)
    columns: dict[str, Any] = {
        "model": work["model"],
        "resolution": work["infer_img_size"],
        "N": 1e6 * work["param_count"],
        "macs": 1e9 * work["infer_gmacs"],
        "acts": 1e6 * work["infer_macts"],
        "seconds": 1.0 / work["infer_samples_per_sec"],
    }
    if "training" in options:
        times = columns_of(fetch(options["training"]), ("model", "train_img_size", "train_samples_per_sec"), EXPECTED)
        keys = list(zip(times["model"], times["train_img_size"].tolist()))
        speed = dict(zip(keys, times["train_samples_per_sec"].tolist()))
        known = [(name, size) in speed for name, size in zip(work["model"], work["infer_img_size"].tolist())]
        columns = {name: _chosen(values, np.flatnonzero(known)) for name, values in columns.items()}
        columns["seconds"] = np.array([1.0 / speed[k] for k in zip(columns["model"], columns["resolution"].tolist())])
    usable = np.flatnonzero((columns["macs"] > 0) & (columns["acts"] > 0))
    columns = {name: _chosen(values, usable) for name, values in columns.items()}
    columns["family"] = [family(name) for name in columns["model"]]
    return Raw(columns=columns, mapping={name: name for name in columns})


def family(model: str) -> str:
    """The leading letters of a model's name: resnet50d -> resnet, tf_efficientnet_b0 -> efficientnet."""
    head = model.removeprefix("tf_")
    return head[: next((i for i, letter in enumerate(head) if not letter.isalpha()), len(head))]


def _chosen(values: Any, rows: NDArray[np.intp]) -> Any:
    return [values[i] for i in rows] if isinstance(values, list) else values[rows]

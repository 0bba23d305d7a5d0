# SPDX-License-Identifier: Apache-2.0
"""Cherti et al. (2023): zero-shot results of CLIP models on three sizes of LAION, and of OpenAI's CLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.datasets._tables import columns_of
from forescale.runs.readers._reader import Raw

_LABELS = {"model": "arch", "dataset": "upstream_dataset", "run": "name"}

EXPECTED = "the tables of OpenCLIP"


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model: N = parameters of both towers, D = samples seen, loss = 1 - `metric` on the set `eval`.

    C = forward FLOP, two per multiply-add.

    Raises:
        ReadError: a column is missing, no row has the downstream set and the metric, or a model without its size.
    """
    path, metric, chosen = fetch(options["file"]), str(options["metric"]), str(options["eval"])
    table = columns_of(
        path, (*_LABELS.values(), "downstream_dataset", "samples_seen", "gmacs_total", metric), EXPECTED
    )
    where, score = table["downstream_dataset"], np.asarray(table[metric], dtype=np.float64)
    known = sorted(set(where))
    rows = np.flatnonzero(np.array([name == chosen for name in where]) & np.isfinite(score))
    if rows.size == 0:
        raise ReadError(message(f"{path.name} has no {metric} on {chosen!r}", "one of " + ", ".join(known[:12])))
    sizes = columns_of(fetch(options["sizes"]), ("model", "mparams"), EXPECTED)
    size = dict(zip(sizes["model"], 1e6 * sizes["mparams"]))
    columns: dict[str, Any] = {name: [table[source][i] for i in rows] for name, source in _LABELS.items()}
    nameless = sorted(set(columns["model"]) - set(size))
    if nameless:
        raise ReadError(message(f"{options['sizes']} has no parameters of {nameless[0]}", "one row per model"))
    columns["N"] = np.array([size[name] for name in columns["model"]])
    columns["D"] = table["samples_seen"][rows]
    columns["C"] = 2e9 * table["gmacs_total"][rows]
    columns["loss"] = 1.0 - score[rows]
    return Raw(columns=columns, mapping={name: name for name in columns})

# SPDX-License-Identifier: Apache-2.0
"""Clark et al. (2022): routed language models evaluated along training; here the last evaluation of each."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._reader import Raw

MOST_ROWS = 100_000
_NUMBERS = {
    "N": "dense_parameter_count", "N_total": "total_parameter_count", "experts": "num_experts", "step": "step",
    "k": "k", "routing_frequency": "routing_frequency", "flop_increase": "flop_increase", "loss": "loss_validation",
    "loss_c4": "loss_c4", "loss_pile": "loss_pile",
}  # fmt: skip


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per setting: N = parameters of the dense model, `experts`, `router`; loss = validation loss at the end.

    Raises:
        ReadError: not a compressed table of the authors.
    """
    path = fetch(options["file"])
    last: dict[str, dict[str, str]] = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as handle:
            for count, row in enumerate(csv.DictReader(handle)):
                if count >= MOST_ROWS:
                    raise ReadError(message(f"{path.name} has more than {MOST_ROWS:,} rows", "the authors' table"))
                seen = last.get(row["hyper_id"])
                if seen is None or float(row["step"]) > float(seen["step"]):
                    last[row["hyper_id"]] = row
        rows = list(last.values())
        columns: dict[str, Any] = {
            name: np.array([float(row[source] or "nan") for row in rows]) for name, source in _NUMBERS.items()
        }
        columns["router"] = [row["router_type"] for row in rows]
        columns["size"] = [row["model_size_label"] for row in rows]
        columns["seed"] = np.array([float(row["seed"] or "nan") for row in rows])
        columns["run"] = [f"hyper-{row['hyper_id']}" for row in rows]
    except (OSError, EOFError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise ReadError(
            message(f"{path.name} cannot be read ({error!r})", "the compressed table of curves")
        ) from error
    return Raw(columns=columns, mapping={name: name for name in columns})

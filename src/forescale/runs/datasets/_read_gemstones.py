# SPDX-License-Identifier: Apache-2.0
"""McLeish et al. (2025), Gemstones: rows are checkpoints of models whose width and depth vary apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers import jsonl
from forescale.runs.readers._reader import Raw

VOCABULARY = 50304  # rows of the embedding, and of the head, which is a matrix of its own

_NEEDED = (
    "run_name", "params_active_precise", "width", "depth", "tokens", "step", "num_nodes", "seconds_per_step",
    "final_loss",
)  # fmt: skip


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """N = all parameters, N_matrices without the embedding ("no embeds" of the authors), N_nonemb without the
    head as well, D = tokens seen, `wall_seconds` = step x seconds per step.

    Raises:
        ReadError: a column of the authors' tables is missing.
    """
    path = fetch(options["file"])
    raw = jsonl.read(path)
    missing = [name for name in _NEEDED if name not in raw.columns]
    if missing:
        raise ReadError(message(f"{path.name} has no {', '.join(missing)}", "a table of the Gemstones repository"))
    number = {n: np.asarray(raw.columns[n], dtype=np.float64) for n in _NEEDED if n != "run_name"}
    columns: dict[str, Any] = {
        "N": number["params_active_precise"],
        "N_matrices": number["params_active_precise"] - VOCABULARY * number["width"],
        "N_nonemb": number["params_active_precise"] - 2 * VOCABULARY * number["width"],
        "D": number["tokens"],
        "loss": number["final_loss"],
        "width": number["width"],
        "depth": number["depth"],
        "step": number["step"],
        "wall_seconds": number["step"] * number["seconds_per_step"],
        "nodes": number["num_nodes"],
        "run": [str(name).removesuffix("_pretrain") for name in raw.columns["run_name"]],
    }
    return Raw(columns=columns, mapping={name: name for name in columns}, notes=raw.notes)

# SPDX-License-Identifier: Apache-2.0
"""Hägele et al. (2024): one JSON file per run, with its settings and final validation loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._json import parse_json, whole_text
from forescale.runs.readers._reader import Raw


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per run: N = all parameters, D = tokens seen, loss = final validation loss.

    Raises:
        ReadError: a file without these values.
    """
    rows = [_row(fetch(file)) for file in options["files"]]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("N", "D", "loss", "lr_peak", "steps"):
        columns[name] = np.array(columns[name], dtype=np.float64)
    return Raw(columns=columns, mapping={name: name for name in columns})


def _row(path: Path) -> dict[str, Any]:
    value = parse_json(whole_text(path, "utf-8"), path, "it")
    try:
        setting, said = value["config"], value["summary"]
        batch = setting["batch_size"] * setting["acc_steps"] * setting["world_size"]
        return {
            "run": path.stem,
            "dataset": setting["dataset"],
            "N": said["parameters"],
            "D": setting["iterations"] * batch * setting["sequence_length"],
            "loss": said["final-val/loss"],
            "lr_peak": setting["lr"],
            "steps": setting["iterations"],
        }
    except (KeyError, TypeError) as error:
        raise ReadError(message(f"{path.name} lacks {error!r}", "a run of the schedules study")) from error

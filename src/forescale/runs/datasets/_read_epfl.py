# SPDX-License-Identifier: Apache-2.0
"""Hägele et al. (2024): one JSON file per run, with its settings, validation losses along training and at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ReadError, message
from forescale.runs.readers._json import parse_json, whole_text
from forescale.runs.readers._reader import Raw
from forescale.runs.table import Curve

EVERY = 50.0
"""Steps between the rates that a curve holds: what the authors log."""


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per run: N = all parameters, D = tokens seen, loss = final validation loss.

    Option `curves`: what tells the schedules apart as well (`schedule`: cosine, cooldown or constant; `decay`: share
    of the steps that cool down; `shape`; `end`: last rate over peak), and the curve of each run: validation losses
    where they are logged, rates by the run's own settings, which its logged rates follow.

    Raises:
        ReadError: a file without these values.
    """
    rows: list[dict[str, Any]] = []
    curves: dict[str, Curve] = {}
    for file in options["files"]:
        row, curve = _run(fetch(file), bool(options.get("curves")))
        rows.append(row)
        if curve is not None:
            curves[row["run"]] = curve
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        if not isinstance(values[0], str):
            columns[name] = np.array(values, dtype=np.float64)
    return Raw(columns=columns, mapping={name: name for name in columns}, curves=curves)


def _run(path: Path, curves: bool) -> tuple[dict[str, Any], Curve | None]:
    value = parse_json(whole_text(path, "utf-8"), path, "it")
    try:
        setting, said = value["config"], value["summary"]
        batch = setting["batch_size"] * setting["acc_steps"] * setting["world_size"]
        row = {
            "run": path.stem,
            "dataset": setting["dataset"],
            "N": said["parameters"],
            "D": setting["iterations"] * batch * setting["sequence_length"],
            "loss": said["final-val/loss"],
            "lr_peak": setting["lr"],
            "steps": setting["iterations"],
        }
        if not curves:
            return row, None
        row |= _schedule(setting)
        logged = value["history"]["val"]
        return row, _curve(row, np.array(logged["iter"], float), np.array(logged["val_loss"], float))
    except (KeyError, TypeError, ValueError) as error:
        raise ReadError(message(f"{path.name} lacks {error!r}", "a run of the schedules study")) from error


def _schedule(setting: Mapping[str, Any]) -> dict[str, Any]:
    peak, decay = float(setting["lr"]), float(setting["wsd_fract_decay"])
    if setting["scheduler"] == "cos":
        # -1 and no entry mean a tenth of the peak
        last = setting.get("cos_final_lr")
        kind, shape, end = "cosine", "cosine", 0.1 if last in (-1, None) else float(last) / peak
    elif decay > 0:
        kind, shape, end = "cooldown", "1-sqrt" if setting.get("decay_type") == "sqrt" else "linear", 0.0
    else:
        kind, shape, end = "constant", "none", 1.0
    return {
        "schedule": kind, "shape": shape, "decay": decay, "end": end, "warmup_steps": float(setting["warmup_steps"]),
    }  # fmt: skip


def _curve(row: Mapping[str, Any], at: NDArray[np.float64], loss: NDArray[np.float64]) -> Curve:
    total, warm = float(row["steps"]), float(row["warmup_steps"])
    begin = np.round((1.0 - row["decay"]) * total) if row["schedule"] == "cooldown" else warm
    usable = np.isfinite(loss) & (at > 0)
    at, last = np.unique(at[usable][::-1], return_index=True)  # after a restart the later entry counts
    step = np.unique(np.concatenate([np.arange(EVERY, total + 1, EVERY), at, [warm, begin, total]]))
    losses = np.full(step.size, np.nan)
    losses[np.searchsorted(step, at)] = loss[usable][::-1][last]
    along = np.clip((step - begin) / max(total - begin, 1.0), 0.0, 1.0)
    fall = {
        "cosine": 0.5 * (1.0 - np.cos(np.pi * along)), "linear": along, "1-sqrt": np.sqrt(along), "none": 0.0 * along,
    }[row["shape"]]  # fmt: skip
    rates = row["lr_peak"] * np.where(step < warm, step / warm, 1.0 - (1.0 - row["end"]) * fall)
    return Curve(step, losses, rates, row["D"] / total * step, split="eval")

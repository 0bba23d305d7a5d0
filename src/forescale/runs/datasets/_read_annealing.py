# SPDX-License-Identifier: Apache-2.0
"""Training curves of a 100M GPT under three schedules: compressed tables of step, loss and learning rate."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ReadError, message
from forescale.runs.readers._reader import Raw
from forescale.runs.table import Curve

MOST_ROWS = 1_000_000
LOGGED = ("step", "Metrics/loss", "lr")


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per schedule: N, D, loss = the last one of the curve.

    Options: `smooth`: number of steps (odd) that the loss is averaged over, centred, ends left out; `every`: a loss
    is kept at every so many steps. The learning rates are those of every step, whatever is done to the losses.

    Raises:
        ReadError: not such a table.
    """
    curves = {
        run: _curve(fetch(file), int(options["smooth"]), int(options["every"]))
        for run, file in options["files"].items()
    }
    columns: dict[str, Any] = {
        "run": list(curves),
        "N": np.full(len(curves), float(options["N"])),
        "D": np.full(len(curves), float(options["D"])),
        "loss": np.array([curve.loss[np.isfinite(curve.loss)][-1] for curve in curves.values()]),
        "steps": np.array([curve.step[-1] for curve in curves.values()]),
        "lr_peak": np.array([curve.lr.max() for curve in curves.values()]),
    }
    return Raw(columns=columns, mapping={name: name for name in columns}, curves=curves)


def _curve(path: Path, smooth: int, every: int) -> Curve:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as handle:
            rows = []
            for count, row in enumerate(csv.DictReader(handle)):
                if count >= MOST_ROWS:
                    raise ReadError(message(f"{path.name} has more than {MOST_ROWS:,} rows", "one training run"))
                rows.append([float(row[name]) for name in LOGGED])
        step, loss, lr = np.array(rows).T
    except (OSError, EOFError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise ReadError(message(f"{path.name} cannot be read ({error!r})", "a compressed table of a run")) from error
    # The log counts from 0, with a rate that is not zero: its line 0 is the first step.
    return Curve(step + 1.0, _thinned(_smoothed(loss, smooth), every), lr, np.full(step.size, np.nan))


def _smoothed(loss: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred means over `width` values; NaN where they would reach beyond the ends."""
    if width <= 1:
        return loss
    half = width // 2
    sums = np.cumsum(np.concatenate([[0.0], loss]))
    out = np.full(loss.size, np.nan)
    out[half : loss.size - half] = (sums[2 * half + 1 :] - sums[: loss.size - 2 * half]) / (2 * half + 1)
    return out


def _thinned(loss: NDArray[np.float64], every: int) -> NDArray[np.float64]:
    """Every so many losses that are there, the last one among them; NaN elsewhere."""
    if every <= 1:
        return loss
    there = np.flatnonzero(np.isfinite(loss))
    kept = there[(there.size - 1) % every :: every]
    out = np.full(loss.size, np.nan)
    out[kept] = loss[kept]
    return out

# SPDX-License-Identifier: Apache-2.0
"""Luo et al. (2025): loss curves of one model under nine schedules, one table of step, lr and loss per schedule.

The logs begin at the end of the warm-up and have a line every 128 steps. What lies between two lines follows from the
schedule, which the file is named after: the rate stays at its peak until step 8,000 (two stages, `wsdcon_X`: then
X e-5) or until the cool-down of `wsd_FROM_TO` (exponential) and `wsdld_FROM_TO` (linear).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ReadError, message
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw
from forescale.runs.table import Curve

WARMUP = 2160.0
SECOND_STAGE = 8000.0
FITTED = ("constant_24000", "cosine_24000", "wsdcon_9")
"""The curves that the authors fit; they predict the others."""


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per run: N as the paper calls the size, loss = the last logged one; `role` is `fit` or `test`.

    Raises:
        ReadError: a table without step, lr and loss.
    """
    curves = {name: _curve(fetch(f"{options['folder']}/{name}.csv"), name) for name in options["schedules"]}
    names = list(curves)
    columns: dict[str, Any] = {
        "run": names,
        "schedule": [name.split("_")[0] for name in names],
        "role": ["fit" if name in FITTED else "test" for name in names],
        "N": np.full(len(names), float(options["N"])),
        "loss": np.array([curve.loss[np.isfinite(curve.loss)][-1] for curve in curves.values()]),
        "steps": np.array([curve.step[-1] for curve in curves.values()]),
        "lr_peak": np.array([curve.lr.max() for curve in curves.values()]),
        "warmup_steps": np.full(len(names), WARMUP),
    }
    return Raw(columns=columns, mapping={name: name for name in columns}, curves=curves)


def _curve(path: Path, name: str) -> Curve:
    table = read_delimited(path).columns
    try:
        step, lr, loss = (np.asarray(table[key], dtype=np.float64) for key in ("step", "lr", "loss"))
    except (KeyError, TypeError, ValueError) as error:
        raise ReadError(message(f"{path.name} lacks {error!r}", "the columns step, lr and loss")) from error
    at = np.unique(np.concatenate([step, [WARMUP], _turn(name)]))
    there = np.isin(at, step)
    rates = np.where(there, 0.0, lr.max())
    losses = np.full(at.size, np.nan)
    rates[there], losses[there] = lr, loss
    return Curve(at, losses, rates, np.full(at.size, np.nan))


def _turn(name: str) -> NDArray[np.float64]:
    """The last step at the peak rate, where the log has no line for it."""
    kind, *numbers = name.split("_")
    if kind == "wsdcon":
        return np.array([SECOND_STAGE - 1.0])
    return np.array([float(numbers[0])] if kind in ("wsd", "wsdld") else [])

# SPDX-License-Identifier: Apache-2.0
"""The method of Step Law (Li et al. 2025): mean settings of the near-best runs of each cell, then a regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.laws import find
from forescale.laws._terms import log_coefficients
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """Constants of the laws lr-power and batch-power, the number of cells, and of runs that they rest on."""

    rate: Mapping[str, float]
    batch: Mapping[str, float]
    cells: int
    kept: int


def learn(runs: Runs, options: Options) -> State:
    """Per cell of N and D: the runs within a share of its least loss, the means of their logarithms."""
    table = require(runs, "N", "D", "lr_peak", "batch_tokens", "loss")
    N, D, rate, batch, loss = (table[name] for name in ("N", "D", "lr_peak", "batch_tokens", "loss"))
    within = float(options["within"])
    if not within >= 0:
        raise DataError(message(f"within = {within}", "a share >= 0, e.g. 0.0025"))
    cells, place = np.unique(np.stack([N, D]), axis=1, return_inverse=True)
    place = place.ravel()
    least = np.full(cells.shape[1], np.inf)
    np.minimum.at(least, place, loss)
    near = loss <= least[place] * (1.0 + within)
    where, count = place[near], np.bincount(place[near], minlength=cells.shape[1])
    best = [np.exp(np.bincount(where, np.log(v[near]), cells.shape[1]) / count) for v in (rate, batch)]
    if np.linalg.matrix_rank(np.stack([np.ones_like(cells[0]), *np.log(cells)])) < 3:
        raise DataError(
            message(f"{cells.shape[1]} cells of N and D, on one line or fewer than three", "N and D that vary apart")
        )
    level, b, c = log_coefficients(best[0], *cells)
    height, power = log_coefficients(best[1], cells[1])
    rates = {"a": float(np.exp(level)), "b": float(b), "c": float(c)}
    return State(rates, {"a": float(np.exp(height)), "b": float(power)}, cells.shape[1], int(near.sum()))


def rate(state: State, columns: Mapping[str, Any]) -> Array:
    """The peak learning rate at N and D."""
    return find("lr-power")(state.rate, N=columns["N"], D=columns["D"])


def batch(state: State, columns: Mapping[str, Any]) -> Array:
    """The batch at D."""
    return find("batch-power")(state.batch, D=columns["D"])


_OPTIONS = {"within": 0.0025}
_ABOUT = {"within": "share of a cell's least loss up to which runs count as best; 0 takes the least only"}
_NEEDS = ("N", "D", "lr_peak", "batch_tokens", "loss")
_TRAPS = (
    "The least loss of a cell alone is seed noise: the runs near it are averaged. Use smoothed losses.",
    "Sweeps must bracket the best settings: a cell whose best lies at the edge of its grid is biased.",
    "The surface is flat: exponents move a lot with `within` and with the cells, what a choice costs hardly does. "
    "The law tuning-surface reads the same from the shape of the valley.",
    "The scatter of the rows is that of the grid that was searched: read the band of the curve (bootstrap).",
)

step_law_rate = Estimator(
    id="step-law-lr",
    title="Best learning rate: mean of the near-best runs per cell, then a regression",
    topic="training dynamics",
    output="lr_peak",
    learn=learn,
    predict=rate,
    numbers=lambda state: {**state.rate, "cells": state.cells, "kept": state.kept},
    options=_OPTIONS,
    about_options=_ABOUT,
    needs=_NEEDS,
    meaning=(
        "Grids of learning rate and batch at several N and D: in each cell the runs within a quarter of a percent of "
        "the least loss are averaged in the logarithm, and the means are regressed on log N and log D. Gives the "
        "constants of the law lr-power."
    ),
    traps=_TRAPS,
    papers=("li2025steplaw",),
)

step_law_batch = Estimator(
    id="step-law-batch",
    title="Best batch: mean of the near-best runs per cell, then a regression",
    topic="training dynamics",
    output="batch_tokens",
    learn=learn,
    predict=batch,
    numbers=lambda state: {**state.batch, "cells": state.cells, "kept": state.kept},
    options=_OPTIONS,
    about_options=_ABOUT,
    needs=_NEEDS,
    meaning=(
        "As step-law-lr, for the batch: the mean logarithm of the batches of near-best runs per cell of N and D, "
        "regressed on log D alone. Gives the constants of the law batch-power."
    ),
    traps=_TRAPS,
    papers=("li2025steplaw",),
)

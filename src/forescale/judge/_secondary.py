# SPDX-License-Identifier: Apache-2.0
"""Leave-group-out: the error of a candidate on a group of rows that it was not fitted to, group by group.

Most groups lie between others, so this is mostly a test of interpolation: it says whether a law has the shape of the
data, and little about larger runs. It stands beside the rolling error and chooses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forescale.judge import _rolling
from forescale.judge._candidates import Candidate
from forescale.runs.table import Runs

Array = NDArray[np.float64]

MOST = 8
"""Most groups; of more levels or runs, neighbours in size are left out together."""
LEAST = 3
"""Fewer levels than this cannot be left out: what remains would not vary."""
RUNS = 4
"""From this many runs with several rows each, whole runs are left out: their rows err together."""


def leave_group_out(wanted: Sequence[Candidate], runs: Runs, size: Array, inputs: Sequence[str]) -> Array:
    """(m,) root-mean-square log error over all groups, each predicted from the others.

    NaN for candidates that are not fitted to all rows, that cannot be fitted without one of the groups, and for all
    where there are too few groups.

    Args:
        wanted: the candidates.
        runs: the rows.
        size: (n,) what orders them.
        inputs: what varies: levels of the first are left out where the rows are no checkpoints of runs.
    """
    groups = folds(runs, size, inputs[0])
    out = np.full(len(wanted), np.nan)
    if groups is None:
        return out
    held = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    for i, candidate in enumerate(wanted):
        if candidate.rows == "all":
            out[i] = _error(candidate, runs, size, held)
    return out


def folds(runs: Runs, size: Array, column: str) -> NDArray[np.intp] | None:
    """(n,) group of each row: a run where rows are checkpoints, else levels of a column; None where there are few."""
    codes, places = _levels(runs, size, column)
    if len(places) < LEAST:
        return None
    order = np.argsort(places, kind="stable")
    fold = np.empty(len(places), dtype=np.intp)
    for number, levels in enumerate(np.array_split(order, min(MOST, len(places)))):
        fold[levels] = number
    return fold[codes]


def _levels(runs: Runs, size: Array, column: str) -> tuple[NDArray[np.intp], Array]:
    """Level of each row, and what orders the levels."""
    if "run" in runs.labels:
        codes, names = runs.group_codes("run")
        if RUNS <= len(names) <= len(runs) // 2:
            largest = np.zeros(len(names))
            np.maximum.at(largest, codes, size)
            return codes, largest
    values, inverse = np.unique(runs[column], return_inverse=True)
    return inverse.astype(np.intp), values


def _error(candidate: Candidate, runs: Runs, size: Array, held: Sequence[NDArray[np.intp]]) -> float:
    total = 0.0
    for rows in held:
        rest = np.setdiff1d(np.arange(len(runs)), rows)
        away = runs.where(rows)
        said = _rolling.said_by(candidate, runs.where(rest), size[rest], away)
        if said is None:
            return math.nan
        total += float(np.sum((np.log(away[candidate.law.output]) - np.log(said)) ** 2))
    return math.sqrt(total / len(runs))

# SPDX-License-Identifier: Apache-2.0
"""The best run of each budget: what is left of a table of scanned runs when only the envelope counts."""

from __future__ import annotations

import math

import numpy as np

from forescale.core.errors import InputError, message
from forescale.runs.table import Runs


def pareto(runs: Runs, x: str = "C", y: str = "loss", *, by: str | None = None, factor: float = 2.0) -> Runs:
    """The best run of each bin of `x`, and of those only the ones better than all before.

    Bins are powers of `factor`, the same for every table, so that arms are cut alike. This is the protocol of
    Nezhurina et al. (2025): logarithmic bins, least error in each, running minimum. A minimum is an optimist: points
    of an arm with more runs per bin lie lower by luck alone.

    Args:
        runs: one row per run, hyper-parameters scanned.
        x, y: what is spent and what should be small.
        by: a label column: each of its levels has a frontier of its own.
        factor: width of a bin.

    Raises:
        InputError: a factor not above 1.
        ColumnError: a missing column.
    """
    if not (math.isfinite(factor) and factor > 1.0):
        raise InputError(message(f"bins a factor {factor} wide", "a factor above 1, such as 2"))
    spent, value = runs[x], runs[y]
    bins = np.floor(np.log(spent) / math.log(factor) + 1e-9).astype(np.int64)
    groups = np.zeros(len(runs), dtype=np.intp) if by is None else runs.group_codes(by)[0]
    kept: list[int] = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        best = math.inf
        for k in np.unique(bins[rows]):
            inside = rows[bins[rows] == k]
            least = int(inside[np.argmin(value[inside])])
            if value[least] < best:
                best = float(value[least])
                kept.append(least)
    chosen = runs.where(np.array(sorted(kept), dtype=np.intp))
    return chosen.with_note(
        "info",
        "pareto",
        f"{len(chosen)} of {len(runs)} rows: the best run per factor of {factor:g} in {x}, if better.",
    )

# SPDX-License-Identifier: Apache-2.0
"""What orders rows and runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forescale.runs.table import Runs

Array = NDArray[np.float64]


def size_of(runs: Runs, variable: str) -> Array:
    """(n,) what orders rows. C is 6 N D where both are known: the distance that predictions state."""
    if variable == "C" and {"N", "D"} <= set(runs.columns):
        return np.asarray(6.0 * runs["N"] * runs["D"])
    return np.asarray(runs[variable])


def largest_of_run(runs: Runs, size: Array) -> Array:
    """(n,) largest size of the run that a row belongs to; the row's own where runs have no labels."""
    if "run" not in runs.labels:
        return size
    codes, names = runs.group_codes("run")
    largest = np.zeros(len(names))
    np.maximum.at(largest, codes, size)
    return np.asarray(largest[codes])

# SPDX-License-Identifier: Apache-2.0
"""Compute multiplier: how much more of x arm A needs to reach what arm B reaches at x (Tay et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.judge._compare_curves import Curves

Array = NDArray[np.float64]

DRAWS = 800
"""Draws that are turned into multipliers: each is a curve to be read backwards."""


@dataclass(frozen=True, eq=False)
class Savings:
    """Attributes:
    x: (m,) what B spends.
    multiplier: (m,) x that A needs for the same loss over x of B; above 1 B saves. inf: A's curve never gets there,
        0: A is there before its curve begins (within a factor of 1,000 beyond the runs).
    lower, upper: (m,) interval; NaN without draws.
    never: (m,) share of the draws in which A never reaches it.
    extrapolates: (m,) the answer reads a curve outside the range of its arm's runs.
    """

    x: Array
    multiplier: Array
    lower: Array
    upper: Array
    never: Array
    extrapolates: NDArray[np.bool_]

    def part(self, rows: slice) -> Savings:
        """Some of the points."""
        return Savings(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def savings(found: Curves, a: int, b: int, x: Sequence[float] | Array, level: float) -> Savings | None:
    """The multiplier at the points of the grid nearest to each x; None for laws that do not fall in the variable."""
    if not found.falling:
        return None
    points = np.asarray(x, dtype=np.float64)
    index = np.array([int(np.argmin(np.abs(np.log(found.x / p)))) for p in points])
    t = np.log(found.x)
    points = found.x[index]
    middle = int(np.argmin(np.abs(t - 0.5 * math.log(found.low * found.high))))
    estimate = _inverse(t, found.log_loss[a], found.log_loss[b][index], middle) - t[index]
    m = points.size
    lower, upper, never = (np.full(m, math.nan) for _ in range(3))
    draws = found.draws
    if draws.shape[1]:
        usable = np.isfinite(draws[a]).all(axis=1) & np.isfinite(draws[b][:, index]).all(axis=1)
        if usable.mean() > 0.9:
            first, second = draws[a][usable][:DRAWS], draws[b][usable][:DRAWS]
            logs = np.stack([_inverse(t, one, two[index], middle) - t[index] for one, two in zip(first, second)])
            tail = 0.5 * (1.0 - level)
            ends = np.quantile(logs, [tail, 1.0 - tail], axis=0, method="nearest")
            lower, upper = np.exp(np.minimum(ends[0], estimate)), np.exp(np.maximum(ends[1], estimate))
            never = (logs == math.inf).mean(axis=0)
    estimate = np.where(np.isnan(found.log_loss[b][index]), math.nan, estimate)
    needed = np.exp(estimate) * points
    with np.errstate(invalid="ignore"):
        outside = (needed > found.seen[a, 1] * (1 + 1e-9)) | (needed < found.seen[a, 0] * (1 - 1e-9))
        outside |= (points > found.seen[b, 1] * (1 + 1e-9)) | (points < found.seen[b, 0] * (1 - 1e-9))
    return Savings(points, np.exp(estimate), lower, upper, never, outside | ~np.isfinite(needed))


def _inverse(t: Array, curve: Array, levels: Array, middle: int) -> Array:
    """log x at which a falling curve (k,) passes through each level (m,): inf above, -inf below the grid.

    Draws may bend back far outside of the runs; outward from the middle of the range a curve only falls."""
    left = np.maximum.accumulate(curve[middle::-1])[::-1]
    falling = np.concatenate([left, np.minimum.accumulate(curve[middle:])[1:]])
    place = np.interp(-levels, -falling, t)
    return np.where(levels < falling[-1], math.inf, np.where(levels > falling[0], -math.inf, place))

# SPDX-License-Identifier: Apache-2.0
"""A budget of samples over problems of unlike difficulty (Damani et al. 2024), and when to give a problem up.

The b-th sample at a problem with success rate p solves it, if nothing has yet, with the chance p (1 - p)^(b - 1). It
falls with b, so that giving each next sample where it is worth most is optimal. With a beta distribution of what is
known about p the chance is B(alpha + 1, beta + b - 1) / B(alpha, beta), which falls too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import InternalError, message
from forescale.laws.coverage import log_unsolved

Array = NDArray[np.float64]

POINTS = 200
"""Numbers of samples in the table of marginals."""
NEAR = 1e-5
"""So close to 1, alpha is moved to either side."""


def marginal_of_rates(p: ArrayLike) -> Callable[[Array], Array]:
    """b (P,) -> log chance that the b-th sample is the first to solve a problem of success rate p (P,)."""
    rate = np.asarray(p, dtype=np.float64)
    with np.errstate(divide="ignore"):
        first, next_ = np.log(rate), np.log1p(-rate)

    def marginal(b: Array) -> Array:
        later = np.where(b > 1, b - 1.0, 0.0)
        return first + np.where(later > 0, later * np.where(later > 0, next_, 0.0), 0.0)

    return marginal


def marginal_of_beta(alpha: ArrayLike, beta: ArrayLike) -> Callable[[Array], Array]:
    """The same where the rates follow beta distributions, (P,) each."""
    a, b_0 = np.asarray(alpha, dtype=np.float64), np.asarray(beta, dtype=np.float64)

    def marginal(b: Array) -> Array:
        return np.asarray(log_unsolved(b - 1.0, a, b_0) + np.log(a / (a + b_0 + b - 1.0)))

    return marginal


def allocated(marginal: Callable[[Array], Array], problems: int, budget: int, floor: int = 0) -> Array:
    """Samples (P,) that spend the budget where the next one is worth most, each problem at least `floor`.

    A threshold is bracketed on a table of marginals; from there samples are given, taken and swapped until no other
    split of the budget is worth more, which for falling marginals is the optimum. Of problems that are alike the
    first ones get the odd sample; what no sample can solve gets none but the floor.

    Args:
        marginal: b (P,) or (G, 1), from 1 -> log worth of the b-th sample, (P,) or (G, P), falling in b.
    """
    if floor * problems > budget:
        raise InternalError(message(f"{floor} samples for each of {problems} of {budget}", "a budget for them"))
    steps = np.unique(np.round(np.geomspace(1.0, budget + 1.0, POINTS)))
    worth = marginal(steps[:, None])
    low, high = -800.0, 1.0  # log worth
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _between(steps, worth, middle, floor).sum() > budget else (low, middle)
    b = np.floor(_between(steps, worth, high, floor))
    while True:
        spare = int(budget - b.sum())
        up = marginal(b + 1.0)
        down = np.where(b > floor, marginal(np.maximum(b, 1.0)), np.inf)
        if spare < 0:
            b[np.argsort(down, kind="stable")[:-spare]] -= 1.0
            continue
        givers, takers = np.argsort(down, kind="stable"), np.argsort(-up, kind="stable")
        if spare > 0:
            takers = takers[np.isfinite(up[takers])][:spare]
            if takers.size:
                b[takers] += 1.0
                continue
        better = up[takers[: givers.size]] > down[givers[: takers.size]] + 1e-12
        if not better.any():
            return b
        count = int(better.sum())
        b[takers[:count]] += 1.0
        b[givers[:count]] -= 1.0


def _between(steps: Array, worth: Array, threshold: float, floor: int) -> Array:
    """(P,) samples worth more than a threshold, not rounded: straight lines in log b between the rows of a table."""
    last = (worth > threshold).sum(axis=0) - 1
    column = np.arange(worth.shape[1])
    here, there = np.maximum(last, 0), np.minimum(last + 1, len(steps) - 1)
    upper, lower = worth[here, column], worth[there, column]
    inside = np.isfinite(lower) & (upper > lower)
    fall = np.where(inside, upper, 1.0) - np.where(inside, lower, 0.0)
    share = np.where(inside, (np.where(inside, upper, threshold) - threshold) / fall, 0.0)
    found = steps[here] * (steps[there] / steps[here]) ** np.clip(share, 0.0, 1.0)
    return np.maximum(np.where(last < 0, 0.0, found), float(floor))


def samples_at_threshold(p: ArrayLike, threshold: ArrayLike) -> Array:
    """Samples of each problem that are worth at least a threshold: 1 + floor(ln(threshold / p) / ln(1 - p))."""
    rate, worth = np.asarray(p, dtype=np.float64), np.asarray(threshold, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 1.0 + np.floor(np.log(worth / rate) / np.log1p(-rate))
    return np.where(worth > rate, 0.0, found)


def solved_of_rates(p: ArrayLike, b: ArrayLike) -> Array:
    """Chance of a pass in b samples at success rate p: 1 - (1 - p)^b."""
    rate, samples = np.asarray(p, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(samples > 0, -np.expm1(samples * np.log1p(-rate)), 0.0)


def used_of_rates(p: ArrayLike, cap: ArrayLike) -> Array:
    """Samples drawn on average if a pass ends them and `cap` does: (1 - (1 - p)^cap) / p."""
    rate, most = np.broadcast_arrays(np.asarray(p, dtype=np.float64), np.asarray(cap, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rate > 0, solved_of_rates(rate, most) / rate, most)


def used_of_beta(alpha: ArrayLike, beta: ArrayLike, cap: ArrayLike) -> Array:
    """The same over a beta distribution of rates: the sum of what is unsolved after 0 to cap - 1 samples.

    With F the unsolved share and G(j) = (alpha + beta + j - 1) F(j), G(j + 1) - G(j) = (1 - alpha) F(j).
    """
    a, b, k = (np.asarray(x, dtype=np.float64) for x in (alpha, beta, cap))
    # At alpha = 1 the quotient is a limit: the mean of its neighbours is exact to about 1e-10.
    return 0.5 * (_telescoped(a, b, k, NEAR) + _telescoped(a, b, k, -NEAR))


def _telescoped(a: Array, b: Array, k: Array, shift: float) -> Array:
    moved = np.where(np.abs(a - 1.0) < NEAR, 1.0 + shift, a)
    last = (moved + b + k - 1.0) * np.exp(log_unsolved(k, moved, b))
    return np.asarray((last - (moved + b - 1.0)) / (1.0 - moved))


def worth_drawing(alpha: ArrayLike, beta: ArrayLike, worth: ArrayLike) -> Array:
    """Most samples to draw at a problem that goes on failing: ceil(alpha worth - alpha - beta), at least none.

    Args:
        alpha, beta: what is known of its success rate.
        worth: a solution's value over the cost of a sample. Each failure lowers the mean rate, so the first sample
            that is not worth its cost ends it.
    """
    a, b, v = (np.asarray(x, dtype=np.float64) for x in (alpha, beta, worth))
    return np.maximum(np.ceil(a * v - a - b), 0.0)

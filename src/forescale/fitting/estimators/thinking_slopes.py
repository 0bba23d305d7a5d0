# SPDX-License-Identifier: Apache-2.0
"""What a doubling of thinking tokens brings, with items as the unit of error; and how rewards of rollouts spread.

Slopes are regressions of right (1) or wrong (0) on log2 of the tokens (the scaling trend of judges that Chan et al.
2025 compare). All slopes of many resamples of the items come from sums per item at once. The spread of rewards is
that of Setlur et al. (2025), as a diagnosis only: their constants are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

REACHED = 1e-12
"""Rounding allowed where a reward is compared with mean and deviation of the rewards it belongs to."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the rows of each item, (I,): rows, x, y, x x, x y, with x = log2 of the tokens."""

    n: Array
    x: Array
    y: Array
    xx: Array
    xy: Array


@dataclass(frozen=True, eq=False)
class Slopes:
    """Regressions, one for each row of weights (B,).

    Attributes:
        pooled: slope over all rows.
        within: slope among rows of one item, differences of items taken out; NaN where no item has two x.
        centre, level: mean of x and of y, through which the line goes.
    """

    pooled: Array
    within: Array
    centre: Array
    level: Array


def sums(x: Array, y: Array, items: Codes, count: int) -> Sums:
    """Sums per item; items (n,) are codes below `count`."""
    each = (np.ones_like(x), x, y, x * x, x * y)
    return Sums(*(np.bincount(items, v, minlength=count).astype(np.float64) for v in each))


def slopes(of: Sums, weights: Array) -> Slopes:
    """Slopes for weights (B, I) of the items."""
    n, x, y, xx, xy = (weights @ v for v in (of.n, of.x, of.y, of.xx, of.xy))
    with np.errstate(all="ignore"):
        some = np.maximum(of.n, 1.0)
        inside = weights @ (of.xx - of.x * of.x / some)
        along = weights @ (of.xy - of.x * of.y / some)
        spread = xx - x * x / n
        # what is left of equal numbers is rounding
        pooled = np.where(spread > 1e-12 * xx, (xy - x * y / n) / spread, np.nan)
        within = np.where(inside > 1e-12 * xx, along / inside, np.nan)
        return Slopes(pooled, within, x / n, y / n)


def items_needed(error: float, items: float, effect: float, level: float, power: float) -> float:
    """Items with which a slope (or a difference) of `effect` shows at `level` with chance `power`.

    The error of `items` items shrinks as the square root of their number.
    """
    z = NormalDist().inv_cdf(0.5 + 0.5 * level) + NormalDist().inv_cdf(power)
    return items * (z * error / abs(effect)) ** 2 if effect else float("inf")


def error_between(items: float, rho: float, doublings: float) -> float:
    """Error of a slope from two budgets on the same items, right half of the time, right answers correlated by rho.

    .5 sqrt(2 (1 - rho) / items) / doublings.
    """
    return float(0.5 * np.sqrt(2.0 * (1.0 - rho) / items) / doublings)


def agreement(first: Array, second: Array) -> float:
    """Cohen's kappa of two verdicts (n,) of 0 and 1 on the same items; NaN where both are constant."""
    seen = float((first == second).mean())
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return (seen - chance) / (1.0 - chance) if chance < 1.0 else float("nan")


# ----------------------------------------------------------------------------------------------------------- rollouts


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Rewards per problem.

    Attributes:
        count, mean, deviation: (P,) rollouts, mean reward and its standard deviation.
        reaching: (P, E) share of rollouts that reach mean + sqrt(epsilon) deviation.
    """

    count: Array
    mean: Array
    deviation: Array
    reaching: Array


def rewards(solved_after: Array, horizon: float) -> Array:
    """Bi-level rewards: each step from the one that solves it to the horizon pays 1; 0 where never solved (NaN)."""
    return np.where(np.isnan(solved_after), 0.0, np.maximum(0.0, horizon - solved_after + 1.0))


def anti_concentration(reward: Array, problems: Codes, epsilons: tuple[float, ...]) -> Rollouts:
    """How often a rollout does far better than the mean of its problem: what search and verification live on.

    Of binary rewards with success rate p the share is p where p <= 1 / (1 + epsilon), and 0 above.
    """
    count = np.bincount(problems).astype(np.float64)
    mean = np.bincount(problems, reward) / count
    deviation = np.sqrt(np.bincount(problems, (reward - mean[problems]) ** 2) / count)
    reaching = []
    for epsilon in epsilons:
        bar = mean + np.sqrt(epsilon) * deviation
        hit = reward >= (bar - REACHED * np.maximum(1.0, np.abs(bar)))[problems]
        # where all rewards are equal none stands out
        reaching.append(np.where(deviation > 0, np.bincount(problems, hit) / count, 0.0))
    return Rollouts(count, mean, deviation, np.stack(reaching, axis=1))

# SPDX-License-Identifier: Apache-2.0
"""Resampling until an imperfect verifier accepts (Stroebl, Kapoor and Narayanan 2024).

A sample is right or wrong, the verifier accepts or rejects, and sampling goes on until the first acceptance or for k
attempts at most; then nothing is answered. Two roads to the same numbers: rates of types of problems (`Kinds`), or
counts of samples per problem (`of_counts`), for which the order of the samples is averaged out exactly.

Of wrong answers we say that they are accepted with probability 1 - soundness, of right ones with completeness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, message

Array = NDArray[np.float64]

LIMIT = 1_000_000
"""Most attempts that a search looks at one by one."""


@dataclass(frozen=True, eq=False)
class Kinds:
    """Types of problems.

    Attributes:
        share: (T,) share of the problems, summing to one.
        right: (T,) probability that a sample is right and accepted.
        wrong: (T,) probability that a sample is wrong and accepted.
    """

    share: Array
    right: Array
    wrong: Array

    @property
    def rejected(self) -> Array:
        """(T,) probability that a sample is rejected."""
        return np.asarray(1.0 - self.right - self.wrong)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What comes of k attempts at most: shares of problems answered rightly and wrongly, mean attempts made."""

    correct: Array
    wrong: Array
    attempts: Array

    @property
    def precision(self) -> Array:
        """Share of the answers that are right; NaN where nothing is answered."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.correct / (self.correct + self.wrong))

    def utility(self, cost_wrong: float, cost_attempt: float) -> Array:
        """A right answer is worth 1, a wrong one -cost_wrong, no answer 0, an attempt -cost_attempt."""
        paid = 0.0 if cost_attempt == 0 else cost_attempt * self.attempts
        return np.asarray(self.correct - cost_wrong * self.wrong - paid)


def kinds(share: ArrayLike, correct: ArrayLike, completeness: float, soundness: float) -> Kinds:
    """Types of problems with their shares and single-sample accuracies (T,), under one verifier.

    Raises:
        DataError: numbers that are no probabilities, different lengths, or shares that do not sum to one.
    """
    p, r = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (share, correct))
    if p.shape != r.shape or p.ndim != 1:
        raise DataError(message(f"{p.size} shares for {r.size} types of problems", "one share for each type"))
    for name, values in (("share", p), ("accuracy", r), ("completeness", completeness), ("soundness", soundness)):
        if not bool(np.all((np.asarray(values) >= 0) & (np.asarray(values) <= 1))):
            raise DataError(message(f"{name} outside 0 to 1", "a probability"))
    if abs(float(p.sum()) - 1.0) > 1e-6:
        raise DataError(message(f"shares that sum to {p.sum():g}", "shares that sum to 1"))
    return Kinds(p / p.sum(), completeness * r, (1.0 - soundness) * (1.0 - r))


def resampled(of: Kinds, k: ArrayLike) -> Outcome:
    """What comes of at most k attempts, k (K,) whole numbers or infinity.

    The sum over attempts telescopes: sum_t p_t right_t (1 - rejected_t^k) / (1 - rejected_t).
    """
    k = np.atleast_1d(np.asarray(k, dtype=np.float64))
    made = _expected(of.rejected, k)
    attempts = (of.share[:, None] * made).sum(axis=0)
    # a type that is never accepted answers nothing however long it is tried
    answered = np.where(of.rejected[:, None] < 1.0, made, 0.0)
    return Outcome(of.share * of.right @ answered, of.share * of.wrong @ answered, attempts)


def wrong_if_accepted(of: Kinds, k: ArrayLike) -> Array:
    """(K,) probability that what is accepted at the k-th attempt, after k - 1 rejections, is wrong.

    NaN where nothing is accepted any more.

    The types that are left after rejections are the hard ones, so this rises with k.
    """
    left = _reached(of, k)
    right, wrong = of.share * of.right @ left, of.share * of.wrong @ left
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(wrong / (right + wrong))


def best_attempts(of: Kinds, cost_wrong: float, cost_attempt: float, most: float = math.inf) -> float:
    """The number of attempts of the largest utility: 0 (do not answer), a whole number, or infinity.

    The utility changes by a sum of powers of the rejection rates. From some attempt on the type with the largest rate
    outweighs all others together, and its sign decides; before that, every number is looked at (LIMIT at most).
    """
    worth = of.share * (of.right - cost_wrong * of.wrong - cost_attempt)
    rates, place = np.unique(of.rejected, return_inverse=True)
    weight = np.bincount(place, worth, minlength=rates.size)
    rates, weight = rates[weight != 0], weight[weight != 0]
    if rates.size == 0:
        return 0.0
    settled = 1.0
    others = float(np.abs(weight[:-1]).sum())
    if others > abs(weight[-1]) and rates[-2] > 0:
        settled += math.ceil(math.log(others / abs(weight[-1])) / math.log(rates[-1] / rates[-2]))
    last = int(min(settled, LIMIT, most))
    k = np.arange(0.0, last + 1.0)
    utility = resampled(of, k).utility(cost_wrong, cost_attempt)
    best = int(np.argmax(utility))
    if weight[-1] > 0 and most > last:
        end = float(resampled(of, [most]).utility(cost_wrong, cost_attempt)[0])
        if end > utility[best]:
            # attempts beyond the first change nothing where that one is always accepted
            return most if rates[-1] > 0 else 1.0
    return float(best)


def _reached(of: Kinds, k: ArrayLike) -> Array:
    """(T, K) probability that a k-th attempt has to be made."""
    k = np.atleast_1d(np.asarray(k, dtype=np.float64))
    return np.asarray(of.rejected[:, None] ** (k - 1.0))


def _expected(rejected: Array, k: Array) -> Array:
    """(T, K) mean number of attempts made: (1 - rejected^k) / (1 - rejected)."""
    accepted = 1.0 - rejected[:, None]
    # expm1 keeps the digits where nearly all is rejected
    with np.errstate(divide="ignore", invalid="ignore"):
        found = -np.expm1(k * np.log(rejected[:, None])) / accepted
    found = np.where(rejected[:, None] == 0.0, np.minimum(k, 1.0), found)
    return np.asarray(np.where((accepted <= 0.0) | (k == 0.0), np.broadcast_to(k, found.shape), found))


# ---------------------------------------------------------------------------------------------------------- counts


def of_counts(trials: ArrayLike, accepted: ArrayLike, right: ArrayLike, k: ArrayLike) -> Outcome:
    """What comes of at most k of the samples of each problem, over all orders of its samples.

    The first sample accepted is any of the accepted ones alike, so it is right with probability right / accepted
    whatever k, and some sample is accepted within k draws with probability 1 - C(n - accepted, k) / C(n, k).

    Args:
        trials, accepted, right: (P,) samples of each problem, those accepted, those accepted and right.
        k: (K,) whole numbers, none above the fewest samples of a problem.

    Returns:
        Outcome of arrays (P, K): one row a problem.

    Raises:
        DataError: counts that contradict each other, or k above the samples.
    """
    n, a, c = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (trials, accepted, right))
    k = np.atleast_1d(np.asarray(k, dtype=np.int64))
    if n.size == 0 or not bool(np.all((c >= 0) & (c <= a) & (a <= n) & (n > 0))):
        raise DataError(message("no problems, or counts that contradict each other", "0 <= right <= accepted <= n"))
    if k.max() > n.min():
        raise DataError(message(f"{k.max()} of {n.min():g} samples", "no more than there are of every problem"))
    before = np.arange(float(k.max()))
    refused = np.cumprod(np.maximum(n[:, None] - a[:, None] - before, 0.0) / (n[:, None] - before), axis=1)
    none = np.concatenate([np.ones((n.size, 1)), refused], axis=1)
    made = np.concatenate([np.zeros((n.size, 1)), np.cumsum(none[:, :-1], axis=1)], axis=1)
    share = ceiling_of_counts(a, c)[:, None]
    answered = (1.0 - none)[:, k]
    return Outcome(share * answered, (1.0 - share) * answered, made[:, k])


def ceiling_of_counts(accepted: Array, right: Array) -> Array:
    """(P,) share of each problem's accepted samples that is right: what the samples say of endless attempts."""
    return np.divide(right, accepted, out=np.zeros_like(right), where=accepted > 0)


@dataclass(frozen=True)
class Trend:
    """A straight line y = intercept + slope x through points, with their correlation."""

    intercept: float
    slope: float
    correlation: float


def precision_trend(accuracy: ArrayLike, precision: ArrayLike) -> Trend | None:
    """Precision of accepted samples over single-sample accuracy, across models: least squares.

    Weak models fool a verifier more often: on HumanEval the slope is .218 (Stroebl et al. 2024, figure 2). None with
    fewer than three models, or models of one accuracy.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (accuracy, precision))
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known] - x[known].mean() if known.any() else x[known], y[known]
    spread = float(x @ x)
    if x.size < 3 or spread == 0.0:
        return None
    slope = float(x @ y) / spread
    away = y - y.mean()
    tilt = float(x @ away) / math.sqrt(spread * float(away @ away)) if away.any() else math.nan
    centre = float(np.asarray(accuracy, dtype=np.float64)[known].mean())
    return Trend(float(y.mean()) - slope * centre, slope, tilt)

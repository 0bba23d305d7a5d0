# SPDX-License-Identifier: Apache-2.0
"""Strategies at test time by difficulty: the best of each bin of problems, chosen on some and scored on others.

Snell et al. (2024, section 3) choose the strategy of each difficulty bin by 2-fold cross-validation: what is best on
one half of a bin is scored on the other half. Here the halves are drawn several times, and what it costs to know the
bin of a problem is charged, which the paper leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.core.streams import block_streams
from forescale.numerics.resample import bootstrap_rows
from forescale.runs.table import Runs

Array = NDArray[np.float64]

SPLITS = 10
"""Times that the problems are halved; the mean is what counts."""

RESAMPLES = 200
_SEED = 0


@dataclass(frozen=True, eq=False)
class Scores:
    """What every strategy scored on every problem at every budget.

    Attributes:
        bins, strategies: names. budgets: (K,) samples for each problem, rising.
        place: (P,) the bin of each problem.
        score: (P, S, K), NaN where a strategy was not run at a budget on any problem.
    """

    bins: tuple[str, ...]
    strategies: tuple[str, ...]
    budgets: Array
    place: NDArray[np.intp]
    score: Array

    @property
    def problems(self) -> int:
        """How many."""
        return len(self.place)


@dataclass(frozen=True, eq=False)
class Validated:
    """Accuracy over the budgets, row 0 the estimate, the other rows resampled problems.

    Attributes:
        adaptive: (B, K) the best strategy of each bin, chosen on other problems than it is scored on.
        fixed: (B, K) one strategy for all bins, chosen likewise.
        apparent: (K,) the best of each bin where it is chosen on the problems that it is scored on.
        by_bin: (G, S, K) mean score. share: (G,) of the problems.
        agree: (G, K) share of the halves that choose the strategy which is best on all problems.
    """

    adaptive: Array
    fixed: Array
    apparent: Array
    by_bin: Array
    share: Array
    agree: Array


def scores(table: Runs, leave_out: str | None = None) -> tuple[Scores, Array | None]:
    """The table as an array, and the scores (P,) of the strategy that stands for the larger model.

    Args:
        table: one row for a problem, a strategy and a number of attempts: labels problem, bin, strategy.
        leave_out: the strategy that is the larger model's answer; it is no choice.

    Raises:
        DataError: scores outside 0 to 1, a problem in two bins, a strategy that misses problems, an unknown name.
    """
    value, k = table["score"], table["attempts"]
    if not (np.isfinite(value) & (value >= 0) & (value <= 1)).all():
        raise DataError(message("scores that are no shares", "numbers from 0 to 1"))
    if not (np.isfinite(k) & (k > 0)).all():
        raise DataError(message("attempts that are no budget", "positive numbers"))
    problems, p = np.unique(table.labels["problem"], return_inverse=True)
    bins, b = np.unique(table.labels["bin"], return_inverse=True)
    names, s = np.unique(table.labels["strategy"], return_inverse=True)
    place = np.full(len(problems), -1, dtype=np.intp)
    place[p] = b
    if (place[p] != b).any():
        raise DataError(
            message(f"the problem {problems[p[place[p] != b][0]]} in two bins", "one bin for each problem")
        )
    larger: Array | None = None
    if leave_out is not None:
        if leave_out not in names.tolist():
            raise DataError(message(f"no strategy {leave_out!r}", "one of " + ", ".join(map(str, names))))
        rows = names[s] == leave_out
        larger = _mean(p[rows], value[rows], len(problems))
        keep = ~rows
        names, s = np.unique(table.labels["strategy"][keep], return_inverse=True)
        p, k, value = p[keep], k[keep], value[keep]
    budgets, j = np.unique(k, return_inverse=True)
    if len(names) < 2:
        raise DataError(message(f"{len(names)} strategies to choose from", "two or more"))
    cell = (p * len(names) + s) * len(budgets) + j
    score = _mean(cell, value, len(problems) * len(names) * len(budgets))
    score = score.reshape(len(problems), len(names), len(budgets))
    known = np.isfinite(score).mean(axis=0)
    if ((known > 0) & (known < 1)).any():
        at = np.argwhere((known > 0) & (known < 1))[0]
        seen = f"{names[at[0]]} at {budgets[at[1]]:g} attempts on {100 * known[tuple(at)]:.3g} % of the problems"
        raise DataError(message(seen, "every strategy that was run at a budget, on every problem"))
    if larger is not None and not np.isfinite(larger).all():
        raise DataError(message(f"{leave_out} on some problems only", "its score on every problem"))
    return Scores(tuple(map(str, bins)), tuple(map(str, names)), budgets, place, score), larger


def _mean(place: NDArray[np.intp], value: Array, size: int) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(place, value, size) / np.bincount(place, minlength=size))


def resampled(problems: int) -> Array:
    """(1 + RESAMPLES, P) how often each problem counts: once in row 0, as drawn in the others."""
    return np.concatenate([np.ones((1, problems)), bootstrap_rows(problems, RESAMPLES, _SEED)])


def validated(of: Scores) -> Validated:
    """Strategies chosen on one half of the problems and scored on the other, `SPLITS` times.

    Raises:
        DataError: a bin with fewer than two problems.
    """
    sizes = np.bincount(of.place, minlength=len(of.bins))
    if sizes.min() < 2:
        raise DataError(
            message(f"{sizes.min()} problem in the bin {of.bins[int(np.argmin(sizes))]}", "two or more in every bin")
        )
    weights = resampled(of.problems)
    count, K = len(weights), len(of.budgets)
    flat = np.where(np.isfinite(of.score), of.score, 0.0).reshape(of.problems, -1)
    exists = np.isfinite(of.score[0])
    adaptive, fixed, known = np.zeros((count, K)), np.zeros((count, K)), np.zeros((count, K))
    by_bin = np.stack([of.score[of.place == g].mean(axis=0) for g in range(len(of.bins))])
    best = np.argmax(np.where(exists, by_bin, -np.inf), axis=1)
    agree = np.zeros((len(of.bins), K))
    for stream in block_streams(_SEED, SPLITS):
        half = _halves(of.place, len(of.bins), stream)
        sums, mass = _sums(of, weights, flat, half)
        for learn, score in ((0, 1), (1, 0)):
            means = sums[:, learn] / mass[:, learn, :, None, None]
            chosen = np.argmax(np.where(exists & np.isfinite(means), means, -np.inf), axis=2)
            agree += (chosen[0] == best) / (2 * SPLITS)
            adaptive += np.take_along_axis(sums[:, score], chosen[:, :, None, :], axis=2)[:, :, 0].sum(axis=1)
            overall = sums[:, learn].sum(axis=1)
            one = np.argmax(np.where(exists, overall, -np.inf), axis=1)
            fixed += np.take_along_axis(sums[:, score].sum(axis=1), one[:, None, :], axis=1)[:, 0]
            known += mass[:, score].sum(axis=1)[:, None]
    share = sizes / of.problems
    apparent = (share[:, None] * np.take_along_axis(by_bin, best[:, None, :], axis=1)[:, 0]).sum(axis=0)
    return Validated(adaptive / known, fixed / known, apparent, by_bin, share, agree)


def _halves(place: NDArray[np.intp], bins: int, stream: np.random.Generator) -> NDArray[np.intp]:
    """(P,) 0 or 1: each bin cut in two halves at random."""
    half = np.zeros(len(place), dtype=np.intp)
    for g in range(bins):
        members = stream.permutation(np.flatnonzero(place == g))
        half[members[: len(members) // 2]] = 1
    return half


def _sums(of: Scores, weights: Array, flat: Array, half: NDArray[np.intp]) -> tuple[Array, Array]:
    """Weighted sums of the scores (B, 2, G, S, K) and of the weights (B, 2, G), by half and bin."""
    shape = (len(weights), 2, len(of.bins))
    sums, mass = np.empty((*shape, flat.shape[1])), np.empty(shape)
    for h in range(2):
        for g in range(len(of.bins)):
            chosen = (half == h) & (of.place == g)
            sums[:, h, g] = weights[:, chosen] @ flat[chosen]
            mass[:, h, g] = weights[:, chosen].sum(axis=1)
    return sums.reshape(*shape, *of.score.shape[1:]), mass


def at_cost(budgets: Array, accuracy: Array, cost: float) -> Array:
    """(B,) accuracy at a cost between the budgets, on a line in its logarithm; the ends beyond them."""
    return np.array([np.interp(np.log(cost), np.log(budgets), row) for row in accuracy])

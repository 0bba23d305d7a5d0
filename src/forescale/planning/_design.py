# SPDX-License-Identifier: Apache-2.0
"""Which candidate runs teach the most about a decision: information matrices, three criteria, an exchange search.

Everything is averaged over S parameter vectors, because the best runs depend on the law that they are to find
(pseudo-Bayesian design, Chaloner and Verdinelli 1995). With M the information (inverse covariance) about the P
parameters on their search scale, a run with scaled derivatives j = d log L / d theta / sigma adds j j'. A decision
that is wrong by G dtheta costs half its square, so its expected loss is tr(G M^-1 G') / 2.

Chosen counts come from greedy and drawn starts, each improved by exchanging one run at a time (Fedorov 1972) for any
candidate, or for nothing, that the money still allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Criterion = Literal["decision", "D", "I"]

PASSES = 8  # sweeps over the chosen runs; most searches stop after three
_TIE = 1e-9  # relative gain below which an exchange is rounding


@dataclass(frozen=True, eq=False)
class Problem:
    """What the runs are chosen for.

    Attributes:
        known: (S, P, P) information that is there before the next runs.
        slopes: (S, K, P) scaled derivatives of one run at each of K candidates.
        stakes: (S, R, P) rows G; the expected loss is half the sum of the variances of G theta. Empty for "D".
        costs: (K,) FLOP of one run, positive.
        criterion: "decision" (losses are shares, so an expected loss x counts as x / (1 + x): a design cannot be
            judged by the parameter vectors about which nothing is known), "I" (the same without the bound) or "D"
            (minus the logarithm of the determinant).
        weights: (S,) of the parameter vectors, summing to one.
    """

    known: Array
    slopes: Array
    stakes: Array
    costs: Array
    criterion: Criterion
    weights: Array

    def losses(self, counts: NDArray[np.generic]) -> Array:
        """(S,) expected loss, for each parameter vector, once `counts` (K,) runs are made."""
        return _losses(self, _information(self, np.asarray(counts, dtype=np.float64)))

    def value(self, counts: NDArray[np.generic]) -> float:
        """The criterion, to be minimised."""
        return float(self.weights @ self._bounded(self.losses(counts)))

    def _bounded(self, losses: Array) -> Array:
        if self.criterion != "decision":
            return losses
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(losses), 1.0, losses / (1.0 + losses))


def choose(
    problem: Problem,
    *,
    budget: float,
    runs: int,
    repeats: int | Counts,
    starts: int = 3,
    seed: int = 0,
    passes: int = PASSES,
) -> Counts:
    """How many runs to make at each candidate.

    Args:
        budget: FLOP that all runs together may cost.
        runs: most runs.
        repeats: most runs at one candidate, or (K,) at each.
        starts: drawn starts beside the greedy one.

    Returns:
        (K,) counts; all zero when no candidate is affordable.
    """
    affordable = np.flatnonzero(problem.costs <= budget)
    if affordable.size == 0 or runs < 1:
        return np.zeros(problem.costs.size, dtype=np.int64)
    most = np.broadcast_to(np.asarray(repeats, dtype=np.int64), problem.costs.shape)
    rng = np.random.default_rng(seed)
    best: tuple[float, Counts] | None = None
    for start in range(1 + starts):
        slots = _greedy(problem, budget, runs, most) if start == 0 else _drawn(problem, budget, runs, most, rng)
        counts = _exchanged(problem, slots, budget, most, passes)
        value = problem.value(counts)
        if best is None or value < best[0] - _TIE * abs(best[0]):
            best = value, counts
    assert best is not None  # noqa: S101 - there is at least the greedy start
    return best[1]


def _information(problem: Problem, counts: Array) -> Array:
    return np.asarray(problem.known + problem.slopes.transpose(0, 2, 1) @ (problem.slopes * counts[:, None]))


def _losses(problem: Problem, information: Array) -> Array:
    if problem.criterion == "D":
        sign, log = np.linalg.slogdet(information)
        return np.where(sign > 0, -log, np.inf)
    covariance = _inverse(information)
    return np.asarray(0.5 * np.einsum("srp,spq,srq->s", problem.stakes, covariance, problem.stakes))


def _inverse(information: Array) -> Array:
    # Scaled to a unit diagonal first: amplitudes and exponents differ by orders of magnitude.
    root = np.sqrt(np.einsum("spp->sp", information))
    scaled = information / root[:, :, None] / root[:, None, :]
    return np.asarray(np.linalg.inv(scaled) / root[:, :, None] / root[:, None, :])


def _after(problem: Problem, information: Array) -> Array:
    """(K,) criterion after one more run at each candidate: rank-one updates of all of them at once."""
    covariance = _inverse(information)
    spread = problem.slopes @ covariance  # (S, K, P)
    gain = 1.0 + np.einsum("skp,skp->sk", spread, problem.slopes)
    if problem.criterion == "D":
        return np.asarray(problem.weights @ (_losses(problem, information)[:, None] - np.log(gain)))
    base = 0.5 * np.einsum("srp,spq,srq->s", problem.stakes, covariance, problem.stakes)
    shared = spread @ problem.stakes.transpose(0, 2, 1)  # (S, K, R)
    left = np.maximum(base[:, None] - 0.5 * (shared**2).sum(axis=2) / gain, 0.0)
    return np.asarray(problem.weights @ problem._bounded(left))


def _greedy(problem: Problem, budget: float, runs: int, most: Counts) -> list[int]:
    """One run after another, each the best that leaves every later run its share of the money."""
    counts = np.zeros(problem.costs.size)
    slots: list[int] = []
    left = budget
    for step in range(runs):
        allowed = (problem.costs <= max(2.0 * left / (runs - step), problem.costs.min())) & (problem.costs <= left)
        allowed &= counts < most
        if not allowed.any():
            break
        value = np.where(allowed, _after(problem, _information(problem, counts)), np.inf)
        chosen = int(np.argmin(value))
        slots.append(chosen)
        counts[chosen] += 1
        left -= problem.costs[chosen]
    return slots


def _drawn(problem: Problem, budget: float, runs: int, most: Counts, rng: np.random.Generator) -> list[int]:
    cheap = np.flatnonzero(problem.costs <= max(budget / runs, problem.costs.min()))
    pool = np.repeat(cheap, most[cheap])
    slots = [int(k) for k in rng.permutation(pool)[:runs]]
    while slots and problem.costs[slots].sum() > budget:
        slots.pop()
    return slots + [-1] * (runs - len(slots))


def _exchanged(problem: Problem, slots: list[int], budget: float, most: Counts, passes: int) -> Counts:
    """The starting runs after exchanges; -1 is a run that is not made."""
    slots = list(slots)
    counts = np.zeros(problem.costs.size)
    for k in slots:
        counts[k] += k >= 0
    value = problem.value(counts)
    for _ in range(passes):
        improved = False
        for place, old in enumerate(slots):
            if old >= 0:
                counts[old] -= 1
            spent = float(problem.costs @ counts)
            allowed = (problem.costs <= (budget - spent) * (1 + 1e-12)) & (counts < most)
            if allowed.any():
                after = np.where(allowed, _after(problem, _information(problem, counts)), np.inf)
                new = int(np.argmin(after))
                if after[new] < value - _TIE * abs(value):
                    slots[place], value, improved = new, float(after[new]), True
            if slots[place] >= 0:
                counts[slots[place]] += 1
        if not improved:
            break
    return counts.astype(np.int64)

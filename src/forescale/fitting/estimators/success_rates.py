# SPDX-License-Identifier: Apache-2.0
"""Counts of attempts: unbiased pass@k, and the spread of success rates by likelihood (Brown et al. 2024, Schaeffer et
al. 2025, Kazdan et al. 2025).

`pass_at_k`, `all_of_k` and `best_of_n` are exact for a fixed number of attempts; `rate_until` is for attempts that
stopped at a number of passes. The likelihood of a beta distribution of rates is right for either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, digamma, polygamma

from forescale.core.errors import DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.laws.coverage import beta_rates, log_unsolved
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

SMALLEST, LARGEST = 1e-6, 1e9
"""Ends of the search for alpha and beta."""
ROUNDS = 100
NEAR, ROUNDING = 1e-3, 1e-13
"""A step this short is taken where it loses no more of the log likelihood than rounding does."""
NOTHING = 1e-6
"""Gain in log likelihood over one rate for all problems that counts as none."""


def pass_at_k(trials: ArrayLike, passed: ArrayLike, k: ArrayLike) -> Array:
    """Share of draws of k of the attempts at a problem that hold a pass: 1 - C(n - c, k) / C(n, k), to rounding.

    Unbiased where the number of attempts was fixed beforehand. Arguments broadcast; 1 where fewer than k failed.

    Raises:
        DataError: k above the attempts.
    """
    n, c, draws = (np.asarray(values, dtype=np.float64) for values in (trials, passed, k))
    if (draws > n).any():
        raise DataError(message(f"{draws.max():g} attempts of {n.min():g}", "no more than were made"))
    rest = n - c - draws
    # the ratio of binomials is a ratio of beta functions
    none = np.exp(log_unsolved(draws, c, np.maximum(rest, 0.0) + 1.0))
    return np.asarray(1.0 - np.where(rest < 0, 0.0, none))


def all_of_k(trials: ArrayLike, passed: ArrayLike, k: ArrayLike) -> Array:
    """Share of draws of k of the attempts that all passed: C(c, k) / C(n, k)."""
    n, c = (np.asarray(values, dtype=np.float64) for values in (trials, passed))
    return np.asarray(1.0 - pass_at_k(n, n - c, k))


def best_of_n(proxy: ArrayLike, gold: ArrayLike, n: int) -> float:
    """Mean true reward of the sample that the proxy ranks first among n, over all draws of n of the samples."""
    return float(best_of_each(proxy, gold, [n])[0])


def best_of_each(proxy: ArrayLike, gold: ArrayLike, n: ArrayLike) -> Array:
    """The same for several n, (K,).

    Args:
        proxy, gold: (N,) rewards of samples of one prompt, N >= n; samples of equal proxy share their mean.
    """
    _, place, count = np.unique(np.asarray(proxy, dtype=np.float64), return_inverse=True, return_counts=True)
    mean = np.bincount(place, np.asarray(gold, dtype=np.float64)) / count
    below = np.cumsum(count).astype(np.float64)
    total, drawn = below[-1], np.asarray(n, dtype=np.float64)
    if (drawn > total).any():
        raise DataError(message(f"the best of {drawn.max():g} of {total:g} samples", "no more than there are"))
    none = 1.0 - pass_at_k(total, total - below, drawn[:, None])
    return np.asarray(np.diff(none, axis=1, prepend=0.0) @ mean)


def rate_until(passes: ArrayLike, trials: ArrayLike) -> Array:
    """Unbiased success rate from attempts that stopped at the r-th pass, r >= 2: (r - 1) / (trials - 1)."""
    r, n = (np.asarray(values, dtype=np.float64) for values in (passes, trials))
    if (r < 2).any():
        raise DataError(message("attempts that stopped at the first pass", "two passes or more: one says too little"))
    return np.asarray((r - 1.0) / (n - 1.0))


@dataclass(frozen=True)
class State:
    """alpha and beta of the success rates; problems, and those never solved."""

    alpha: float
    beta: float
    problems: float
    unsolved: float


def learn(runs: Runs, _: Options) -> State:
    """The likelihood of beta-binomial counts, by Newton steps in log alpha and log beta.

    Raises:
        DataError: no pass at all, no failure at all, or rates that do not differ between problems.
    """
    table = require(runs, "trials", "passed")
    n, c = table["trials"], table["passed"]
    if (c < 0).any() or (c > n).any():
        raise DataError(message("more passes than attempts, or fewer than none", "counts with 0 <= passed <= trials"))
    if c.sum() == 0 or (c == n).all():
        raise DataError(message("attempts that all failed or all passed", "some of either"))
    (pairs, place) = np.unique(np.stack([n, c]), axis=1, return_inverse=True)
    weight = np.bincount(place.ravel(), np.ones(n.size) if runs.weights is None else runs.weights)
    counted = np.asarray(weight, dtype=np.float64)
    alpha, beta = likeliest(pairs[0], pairs[1], counted[None, :])[0]
    mean = float(counted @ pairs[1]) / float(counted @ pairs[0])
    one_rate = float((counted * (pairs[1] * np.log(mean) + (pairs[0] - pairs[1]) * np.log1p(-mean))).sum())
    spread = betaln(alpha + pairs[1], beta + pairs[0] - pairs[1]) - betaln(alpha, beta)
    if float((counted * spread).sum()) < one_rate + NOTHING:
        raise DataError(
            message(
                "success rates that differ between problems no more than chance makes them",
                "problems of different difficulty",
                "one rate for all, passed over trials, says the same",
            )
        )
    return State(float(alpha), float(beta), float(n.size), float((c == 0).sum()))


def likeliest(n: Array, c: Array, weight: Array, start: Array | None = None, accuracy: float = 1e-12) -> Array:
    """alpha and beta of the beta-binomial likelihood for B weightings of the same counts: (B, 2).

    Newton steps in log alpha and log beta, all weightings at once; those of a bootstrap end in a few steps when they
    start at the estimate.

    Args:
        n, c: (m,) attempts and passes.
        weight: (B, m), each row with some pass and some failure of positive weight.
        start: (2,) alpha and beta to start from; by default the best of four of the mean rate, for each row.
        accuracy: length of the last step in the logarithms; steps shrink quadratically.
    """
    low, high = np.log(SMALLEST), np.log(LARGEST)
    if start is None:
        mean = (weight @ c) / (weight @ n)
        tried = [np.log(size * np.stack([mean, 1.0 - mean], axis=1)) for size in (0.3, 3.0, 30.0, 300.0)]
        starts = np.clip(np.stack(tried), low, high)
        best = np.argmax([_likelihood(n, c, weight, row) for row in starts], axis=0)
        u = starts[best, np.arange(len(weight))]
    else:
        u = np.tile(np.clip(np.log(start), low, high), (len(weight), 1))
    found, _ = ascend(
        lambda rows, at: _likelihood(n, c, weight[rows], at), lambda rows, at: _slopes(n, c, weight[rows], at), u,
        (SMALLEST, LARGEST), accuracy,
    )  # fmt: skip
    return found


def ascend(
    likelihood: Callable[[Rows, Array], Array],
    slopes: Callable[[Rows, Array], tuple[Array, Array]],
    u: Array,
    bounds: tuple[float, float],
    accuracy: float,
) -> tuple[Array, Array]:
    """Newton steps in the logarithms of positive parameters for B likelihoods at once.

    Args:
        likelihood: rows (b,), logarithms (b, P) -> (b,) values of those rows.
        slopes: the same -> gradients (b, P) and Hessians (b, P, P).
        u: (B, P) logarithms to start from.
        bounds: of every parameter.
        accuracy: length of the last step.

    Returns:
        Parameters (B, P) and their likelihoods (B,).
    """
    low, high = np.log(bounds)
    u = np.clip(u, low, high)
    moving = np.arange(len(u))
    value = likelihood(moving, u)
    for _ in range(ROUNDS):
        first, second = slopes(moving, u[moving])
        eigenvalue, axes = np.linalg.eigh(-second)
        size = np.maximum(np.abs(eigenvalue), 1e-8 * np.abs(eigenvalue).max(axis=1, keepdims=True))
        step = np.einsum("bij,bj->bi", axes, np.einsum("bij,bi->bj", axes, first) / size)
        length = np.maximum(np.abs(step).max(axis=1), 1e-300)
        step *= np.minimum(1.0, 3.0 / length)[:, None]
        moved = np.zeros(len(moving))
        seeking = np.arange(len(moving))
        for _ in range(40):
            rows = moving[seeking]
            trial = np.clip(u[rows] + step[seeking], low, high)
            gained = likelihood(rows, trial)
            # So near the top gains drown in rounding; a Newton step is right all the same.
            near = (length[seeking] < NEAR) & (gained >= value[rows] - ROUNDING * np.abs(value[rows]))
            better = (gained > value[rows]) | near
            moved[seeking[better]] = np.abs(trial - u[rows])[better].max(axis=1, initial=0.0)
            u[rows[better]], value[rows[better]] = trial[better], gained[better]
            seeking = seeking[~better & (np.abs(step[seeking]).max(axis=1) > 0.5 * accuracy)]
            if not seeking.size:
                break
            step[seeking] *= 0.5
        moving = moving[moved >= accuracy]
        if not moving.size:
            break
    return np.asarray(np.exp(u)), value


def _likelihood(n: Array, c: Array, weight: Array, u: Array) -> Array:
    """(B,) log likelihood without the binomial coefficients."""
    a, b = np.exp(u[:, :1]), np.exp(u[:, 1:])
    return np.asarray((weight * (betaln(a + c, b + n - c) - betaln(a, b))).sum(axis=1))


def _slopes(n: Array, c: Array, weight: Array, u: Array) -> tuple[Array, Array]:
    """Gradient (B, 2) and Hessian (B, 2, 2) of the log likelihood in log alpha and log beta."""
    a, b = np.exp(u[:, :1]), np.exp(u[:, 1:])
    both, both_2 = digamma(a + b) - digamma(a + b + n), polygamma(1, a + b) - polygamma(1, a + b + n)
    first_a = a[:, 0] * (weight * (digamma(a + c) - digamma(a) + both)).sum(axis=1)
    first_b = b[:, 0] * (weight * (digamma(b + n - c) - digamma(b) + both)).sum(axis=1)
    cross = a[:, 0] * b[:, 0] * (weight * both_2).sum(axis=1)
    second_a = first_a + a[:, 0] ** 2 * (weight * (polygamma(1, a + c) - polygamma(1, a) + both_2)).sum(axis=1)
    second_b = first_b + b[:, 0] ** 2 * (weight * (polygamma(1, b + n - c) - polygamma(1, b) + both_2)).sum(axis=1)
    hessian = np.stack([np.stack([second_a, cross], axis=1), np.stack([cross, second_b], axis=1)], axis=2)
    return np.stack([first_a, first_b], axis=1), hessian


def predict(state: State, columns: Mapping[str, Any]) -> Array:
    """Coverage of `attempts` (one, if not given): of a new problem, or after `trials` of which `passed` did."""
    c = np.asarray(columns.get("passed", 0.0), dtype=np.float64)
    n = np.asarray(columns.get("trials", 0.0), dtype=np.float64)
    k = np.asarray(columns.get("attempts", 1.0), dtype=np.float64)
    return np.asarray(beta_rates(k, state.alpha + c, state.beta + n - c))


def numbers(state: State) -> dict[str, float]:
    """alpha, beta, the mean rate, problems, and problems without any pass."""
    mean = state.alpha / (state.alpha + state.beta)
    return {
        "alpha": state.alpha,
        "beta": state.beta,
        "mean": mean,
        "problems": state.problems,
        "unsolved": state.unsolved,
    }


success_rates = Estimator(
    id="success-rates",
    title="Coverage from counts per problem, by the likelihood of beta-distributed success rates",
    topic="samples at test time",
    output="score",
    learn=learn,
    predict=predict,
    numbers=numbers,
    meaning=(
        "One row per problem: attempts made and passed. Success rates of problems are taken to follow a beta "
        "distribution; its constants are those of the law coverage-beta. Ask for the coverage of any number of "
        "attempts, or, with the columns trials and passed, what more attempts at one such problem would bring. The "
        "likelihood is right however attempts were stopped, as long as only past outcomes decided."
    ),
    traps=(
        "Problems, not attempts, make the error: bootstrap, which draws problems, and read the band of the curve.",
        "Where the largest rate is far below 1 a beta distribution is wide of it, and alpha is too small.",
        "On real counts a line through log(-log pass@k) forecasts as well: compare both by thinning your attempts.",
        "With no unsolved problem left there is no tail to see, and forecasts far out are those of the form.",
    ),
    papers=("schaeffer2025", "kazdan2025", "levi2024"),
    needs=("trials", "passed"),
    least=5,
)

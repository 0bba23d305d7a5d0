# SPDX-License-Identifier: Apache-2.0
"""Coverage beyond the attempts that were made: several forms, each tried on the attempts themselves.

A form gives the share of problems left unsolved after k attempts, F(k). What is forecast is the fate of the problems
that are there: one that is solved stays solved, and one that failed n times is left unsolved after k with the chance
F(k) / F(n). Forms (`FORMS`):

- `line`: log(-log(1 - F)) is a straight line in log k (Brown et al. 2024), by least squares on the unbiased shares;
- `beta`: success rates follow a beta distribution, by likelihood (Kazdan et al. 2025, Levi 2024);
- `scaled-beta`: a beta distribution stretched to the largest rate seen, c = min(1, (P + 1) / P max(passed / trials)),
  by likelihood (Schaeffer et al. 2025).

None is best everywhere, so each is tried by hiding most of the attempts and foretelling all of them (`held_out`), and
forecasts are pooled with weights from those errors (`pooled`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.streams import block_streams
from forescale.fitting.attempts import Attempts
from forescale.fitting.estimators.success_rates import Rows, ascend, likeliest
from forescale.laws.coverage import log_unsolved
from forescale.numerics.resample import bootstrap_rows

Array = NDArray[np.float64]
Left = Callable[[Array, Array], Array]
"""made (m,), k (K,) -> chance that a problem that failed `made` times is unsolved after k attempts, (B, m, K)."""

FORMS = ("line", "beta", "scaled-beta")
POINTS = 100  # of k, even in the logarithm, for the line (Schaeffer et al. 2025)
EXPONENTS = (0.01, 100.0)
"""Bounds of alpha and beta of the scaled form (Schaeffer et al. 2025)."""
SPLITS = (0.05, 0.1, 0.2)
"""Shares of the attempts that are kept to foretell all of them."""
LEAST = 4
"""Fewest attempts that a form is tried on."""
REPEATS = 30
SHARPNESS = 4.0
"""Power of the inverse held-out error that weighs a form. Of 1, 2, 4 and 8 the one of least error on simulated
success rates (beta, Kumaraswamy, as Schaeffer et al. simulate them): benchmarks/coverage_forecasts.py --simulated."""
SEED = 0


# ------------------------------------------------------------------------------------------------------------- forms


def forms(attempts: Attempts, weight: Array, names: Sequence[str] = FORMS) -> dict[str, Left]:
    """Each form, learned from B weightings of the problems.

    Args:
        attempts: of P problems.
        weight: (B, P); a bootstrap of problems has counts here.

    Returns:
        name -> F(k). NaN for weightings that say nothing: no pass at all, no failure at all.
    """
    able = [name for name in names if name != "line" or attempts.horizon >= 2]
    learn = {"line": _line, "beta": _beta, "scaled-beta": _scaled}
    return {name: learn[name](attempts, weight) for name in able}


def carried(attempts: Attempts, weight: Array, left: Left, k: Array) -> Array:
    """Share of the problems solved after k attempts, (B, K): what is seen, then the form from there on.

    Args:
        k: (K,) numbers of attempts; up to the horizon they are answered without the form.
    """
    k = np.asarray(k, dtype=np.float64)
    if attempts.rule == "adaptive":  # what was seen is no sample of problems at any k: the form answers for all
        return 1.0 - left(np.zeros(1), k)[:, 0, :]
    total = weight.sum(axis=1)[:, None]
    made, place = np.unique(attempts.trials[~attempts.solved], return_inverse=True)
    out = np.ones((len(weight), k.size))
    if made.size:
        share = np.zeros((len(weight), made.size))
        np.add.at(share.T, place, weight[:, ~attempts.solved].T)
        out -= np.einsum("bm,bmk->bk", share, np.minimum(left(made, k), 1.0)) / total
    seen = k <= attempts.horizon
    if seen.any():
        out[:, seen] = weight @ attempts.curve(k[seen]) / total
    return out


def _line(attempts: Attempts, weight: Array) -> Left:
    k = grid(attempts.horizon)
    share = weight @ attempts.curve(k) / weight.sum(axis=1)[:, None]
    inside = (share > 0) & (share < 1)
    count = inside.sum(axis=1)
    w = inside / np.maximum(count, 1)[:, None]
    x, y = np.log(k), np.log(-np.log(np.where(inside, share, 0.5)))
    mean_x, mean_y = w @ x, (w * y).sum(axis=1)
    dx = x - mean_x[:, None]
    slope = (w * dx * y).sum(axis=1) / np.where(count >= 2, (w * dx**2).sum(axis=1), np.nan)
    slope = np.minimum(slope, 0.0)  # coverage does not fall
    height = mean_y - slope * mean_x

    def unsolved(k: Array) -> Array:
        return np.asarray(-np.expm1(-np.exp(height[:, None] + slope[:, None] * np.log(k))))

    return lambda made, k: unsolved(k)[:, None, :] / unsolved(made)[:, :, None]


def grid(horizon: float) -> Array:
    """Whole numbers of attempts up to the horizon, even in the logarithm as far as they differ."""
    return np.unique(np.logspace(0, np.log10(horizon), POINTS).astype(int)).astype(np.float64)


def _beta(attempts: Attempts, weight: Array) -> Left:
    pairs, every, usable = _pairs(attempts, weight)
    found = np.full((len(weight), 2), np.nan)
    if usable.any():
        found[usable] = likeliest(pairs[0], pairs[1], every[usable], accuracy=1e-8)
    alpha, beta = found[:, :1, None], found[:, 1:, None]
    return lambda made, k: np.exp(log_unsolved(k, alpha, beta) - log_unsolved(made[:, None], alpha, beta))


def _pairs(attempts: Attempts, weight: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Distinct (trials, passed) (2, m), their weights (B, m), and the rows with some pass and some failure."""
    pairs, place = np.unique(np.stack([attempts.trials, attempts.passed]), axis=1, return_inverse=True)
    every = np.zeros((len(weight), pairs.shape[1]))
    np.add.at(every.T, place.ravel(), weight.T)
    return pairs, every, (every @ pairs[1] > 0) & (every @ (pairs[0] - pairs[1]) > 0)


def _scaled(attempts: Attempts, weight: Array) -> Left:
    pairs, every, usable = _pairs(attempts, weight)
    problems = np.maximum((weight > 0).sum(axis=1), 1)
    largest = np.where(every > 0, pairs[1] / pairs[0], 0.0).max(axis=1)
    stretch = np.minimum((problems + 1) / problems * largest, 1.0)
    parts = [
        (usable & (stretch == c), float(c)) for c in np.unique(stretch[usable])
    ]  # a resample has one of a few largest rates
    found = [(rows, *_stretched(pairs, every[rows], c)) for rows, c in parts]

    def unsolved(k: Array) -> Array:
        out = np.full((len(weight), k.size), np.nan)
        for rows, log_fail, prior in found:
            out[rows] = prior @ np.exp(log_fail[:, None] * k)
        return out

    return lambda made, k: unsolved(k)[:, None, :] / unsolved(made)[:, :, None]


def _stretched(pairs: Array, every: Array, stretch: float) -> tuple[Array, Array]:
    """log(1 - rate) of the nodes (G,), and the likeliest distribution over them for each weighting (B, G)."""
    y, width = _nodes(float(pairs[0].max()))
    log_q, log_p = -np.logaddexp(0.0, -y), -np.logaddexp(0.0, y)  # q and 1 - q
    features = np.stack([log_q, log_p])
    rate = log_q + np.log(stretch)
    log_fail = np.log1p(-np.minimum(np.exp(rate), 1.0 - 1e-15)) if stretch < 1.0 else log_p
    n, c = pairs[0][:, None], pairs[1][:, None]
    seen = c * rate + (n - c) * log_fail
    top = seen.max(axis=1)
    chance = np.exp(seen - top[:, None])  # (m, G)

    def prior(u: Array) -> Array:
        exponent = np.exp(u) @ features + np.log(width)
        density = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        return np.asarray(density / density.sum(axis=1, keepdims=True))

    def likelihood(rows: Rows, u: Array) -> Array:
        mixed = np.maximum(prior(u) @ chance.T, 1e-300)
        return np.asarray((every[rows] * (np.log(mixed) + top)).sum(axis=1))

    def slopes(rows: Rows, u: Array) -> tuple[Array, Array]:
        # The log likelihood of an exponential family under a mixture: means and covariances, after minus before.
        before, weights = prior(u), every[rows]
        after = np.maximum(before @ chance.T, 1e-300)
        both = [(0, 0), (0, 1), (1, 1)]
        mean_0 = before @ features.T
        mean_1 = np.stack([(before * f) @ chance.T / after for f in features], axis=2)  # (B, m, 2)
        total = weights.sum(axis=1)
        gradient = np.einsum("bm,bmi->bi", weights, mean_1) - total[:, None] * mean_0
        hessian = np.empty((len(u), 2, 2))
        for i, j in both:
            product = before * (features[i] * features[j])
            prior_cov = product.sum(axis=1) - mean_0[:, i] * mean_0[:, j]
            cov = product @ chance.T / after - mean_1[:, :, i] * mean_1[:, :, j]
            hessian[:, i, j] = hessian[:, j, i] = (weights * cov).sum(axis=1) - total * prior_cov
        size = np.exp(u)
        hessian = hessian * size[:, :, None] * size[:, None, :]
        gradient = gradient * size
        hessian[:, [0, 1], [0, 1]] += gradient
        return gradient, hessian

    mean = np.clip((every @ pairs[1]) / (every @ pairs[0]) / stretch, 1e-6, 1 - 1e-6)
    tried = [np.log(np.clip(s * np.stack([mean, 1 - mean], axis=1), *EXPONENTS)) for s in (0.3, 3.0, 30.0)]
    every_row = np.arange(len(every))
    best = np.argmax([likelihood(every_row, start) for start in tried], axis=0)
    found, _ = ascend(likelihood, slopes, np.stack(tried)[best, every_row], EXPONENTS, 1e-6)
    return log_fail, prior(np.log(found))


def _nodes(most: float) -> tuple[Array, Array]:
    """Nodes and weights of the trapezoid rule in logit q: fine where a binomial of `most` attempts is narrow.

    The density of a beta distribution in logit q is smooth and falls exponentially at both ends.
    """
    step = float(np.clip(1.5 / np.sqrt(most), 0.015, 0.25))
    middle = np.arange(-np.log(most) - 6.0, 9.0, step)
    end = np.geomspace(1.0, 1.0 + 8.0 / EXPONENTS[0], 160)[1:] - 1.0  # distances from the middle, to exp(-8)
    y = np.concatenate([middle[0] - end[::-1], middle, middle[-1] + end])
    return y, np.gradient(y)


# ---------------------------------------------------------------------------------------------------- on own attempts


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Errors of forecasts of the attempts that were made, from a part of them.

    Attributes:
        kept: (S,) attempts per problem that were left.
        asked: attempts that were foretold: the horizon.
        known: share of problems solved by then.
        errors: form -> (S, R) forecast minus known; NaN where the form had nothing to learn from.
    """

    kept: Array
    asked: float
    known: float
    errors: Mapping[str, Array]

    def error(self, form: str) -> float:
        """Root mean square error of a form over all thinnings; infinite without any."""
        values = self.errors[form][np.isfinite(self.errors[form])]
        return float(np.sqrt(np.mean(values**2))) if values.size else float("inf")


def held_out(
    attempts: Attempts, names: Sequence[str] = FORMS, *, repeats: int = REPEATS, seed: int = SEED
) -> HeldOut | None:
    """Hide most of the attempts at each problem, several times, and foretell all of them.

    None where too few attempts were made, or where a rule that looks at outcomes leaves no random order to thin.
    """
    horizon = attempts.horizon
    kept = sorted({round(share * horizon) for share in SPLITS if round(share * horizon) >= LEAST})
    if not kept or not attempts.solved.any():
        return None
    known = float(attempts.coverage(np.array([horizon]))[0])
    problems = len(attempts.trials)
    errors: dict[str, list[Array]] = {name: [] for name in names}
    for most, rng in zip(kept, block_streams(seed, len(kept))):
        parts = [attempts.thinned(most, rng) for _ in range(repeats)]
        stacked = Attempts(
            np.concatenate([part.trials for part in parts]),
            np.concatenate([part.passed for part in parts]),
            attempts.rule,
            np.concatenate([part.stopped for part in parts]),
            np.tile(attempts.weight, repeats),
        )
        alone = np.kron(np.eye(repeats), np.ones(problems)) * stacked.weight
        learned = forms(stacked, alone, names)
        for name in names:
            found = carried(stacked, alone, learned[name], np.array([horizon]))[:, 0]
            errors[name].append(found - known)
    return HeldOut(
        np.array(kept, dtype=np.float64), horizon, known, {name: np.stack(e) for name, e in errors.items()}
    )


def pool(found: HeldOut | None, names: Sequence[str], sharpness: float = SHARPNESS) -> dict[str, float]:
    """Weights of the forms from their held-out errors; equal without any.

    Forecasts from the same attempts err together, so the better one deserves more than the inverse mean square error
    that is best for independent ones (Bates and Granger 1969).
    """
    if found is None:
        return {name: 1.0 / len(names) for name in names}
    worth = np.array([max(found.error(name), 1e-6) ** -sharpness for name in names])
    if not worth.sum() > 0:
        return {name: 1.0 / len(names) for name in names}
    return dict(zip(names, (worth / worth.sum()).tolist()))


@dataclass(frozen=True, eq=False)
class Foretold:
    """Coverage at K numbers of attempts, with B resamples of the problems behind it.

    Attributes:
        k: (K,) attempts.
        by_form: form -> (1 + B, K), row 0 from the problems as they are.
        weights: form -> weight in the pool.
        held: errors on own attempts, None where there was nothing to thin.
        pooled: (1 + B, K): row 0 the weighted mean; each resample by one form, forms as often as they weigh, so that
            the spread holds their disagreement.
    """

    k: Array
    by_form: Mapping[str, Array]
    weights: Mapping[str, float]
    held: HeldOut | None
    pooled: Array


def foretell(attempts: Attempts, k: Array, *, draws: int = 400, seed: int = SEED) -> Foretold:
    """Coverage of the problems at hand after k attempts each, problems resampled `draws` times."""
    problems = len(attempts.trials)
    weight = np.ones((1, problems)) * attempts.weight
    if draws:
        weight = np.concatenate([weight, bootstrap_rows(problems, draws, seed, base=attempts.weight)])
    learned = forms(attempts, weight)
    names = tuple(learned)
    by_form = {name: carried(attempts, weight, learned[name], k) for name in names}
    held = held_out(attempts, names, seed=seed)
    weights = pool(held, names)
    pooled = np.empty_like(by_form[names[0]])
    pooled[0] = sum(weights[name] * by_form[name][0] for name in names)
    ends = np.round(draws * np.cumsum([weights[name] for name in names])).astype(int)
    for name, start, stop in zip(names, [0, *ends[:-1]], ends):
        pooled[1 + start : 1 + stop] = by_form[name][1 + start : 1 + stop]
    return Foretold(np.asarray(k, dtype=np.float64), by_form, weights, held, pooled)

# SPDX-License-Identifier: Apache-2.0
"""Where a run that is under way will end, under any continuation of its learning rate.

The curve so far is regressed on the annealing law's two terms, a power of the summed rates and the momentum of the
drops (Tissue et al. 2024), with two changes that measured curves ask for: drops are counted in the rate to a power
below one (`bend`), because the loss that a steady rate costs grows slower than the rate, and what a full drop gains
has a prior, because before the first drop the curve does not know it. Exponent and memory are averaged over a grid,
weighted by how well they explain the curve; given them all is Gaussian. The regression believes its own form, so its
standard deviation is widened by a share of the loss that is still to be lost. Prior and share come from replays of
public curves (`benchmarks/replay_curves.py`), whose result is `running.toml`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.core.frozen import Frozen
from forescale.core.schedule import Schedule
from forescale.core.streams import block_streams
from forescale.laws._schedule import Schedules
from forescale.laws.annealing import momentum

Array = NDArray[np.float64]

EXPONENTS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.1])
MEMORIES = np.array([100.0, 250.0, 600.0])
"""Steps; both grids span what fits of whole public curves give."""

SETTLED = 0.2
"""Share of the curve so far that is left out: no power law describes the beginning."""

THINNED = 64
FEWEST = 6
"""Points that the regression is made on at most (means of neighbours), and points that a forecast needs."""

PEAK = 1e-3
"""The peak rate that the prior of the gain is stated at."""

DRAWS = 1000


@dataclass(frozen=True)
class Pool:
    """What other curves say about a curve.

    Attributes:
        gain: what a drop from the peak to zero gains in the end, as a share of the loss, at a peak of `PEAK`.
        power: how it grows with the peak. spread: standard deviation of its logarithm from set to set.
        bend: the power of the rate that drops are counted in.
        widening: standard deviation added per unit of loss still to be lost.
    """

    gain: float
    power: float
    spread: float
    bend: float
    widening: float


@cache
def constants() -> Mapping[str, Any]:
    """`running.toml`: the pool of all sets, the pools without one, how the replays came out."""
    import tomllib

    text = resources.files("forescale.planning").joinpath("running.toml").read_text(encoding="utf-8")
    return Frozen(tomllib.loads(text))


def shipped() -> Pool:
    """The pool of all replayed public curves."""
    return Pool(**constants()["pool"])


def replayed() -> str:
    """How the replays came out, in a sentence."""
    came = constants()["replay"]
    return (
        f"Intervals hold the law's own errors as replayed public curves show them: nominal 90 % held "
        f"{100 * came['held']:.0f} % of {came['forecasts']} ends of curves cut at 30, 50 and 70 %, each set forecast "
        f"with the constants of the others ({100 * came['held_cosines']:.0f} % where the rate falls as a cosine)."
    )


@dataclass(frozen=True, eq=False)
class Seen:
    """A curve so far: steps (n,), losses (n,) and the rates of the steps up to the last one."""

    step: Array
    loss: Array
    past: Schedule


@dataclass(frozen=True, eq=False)
class Futures:
    """k continuations of one run.

    Attributes:
        mean, sd: (k,) of the loss that will be logged at the last step of each.
        values: (1 + DRAWS, k) row 0 the means, then draws that belong together: the same unknowns in each column.
        now: the smooth curve at the last step so far.
        gain: what a drop from the peak to zero gains in the end, in units of the loss.
        noise: standard deviation of one logged loss.
        along: (n, 3) mean, lower and upper at `steps`, of the first continuation.
        steps: (n,).
    """

    mean: Array
    sd: Array
    values: Array
    now: float
    gain: float
    noise: float
    steps: Array
    along: Array


@dataclass(frozen=True, eq=False)
class _Posterior:
    """Gaussians of (L0, A, gain), one for each cell of the grid, and the weights of the cells."""

    mean: Array
    covariance: Array
    weight: Array
    noise: float


def futures(seen: Seen, options: Sequence[Schedule], pool: Pool, *, level: float = 0.90, seed: int = 0) -> Futures:
    """Where the run ends under each of the options, which share its past.

    Raises:
        DataError: too few points after the warm-up.
    """
    last = float(seen.step[-1])
    use = seen.step >= max(float(seen.past.warmup), SETTLED * last, 1.0)
    if int(use.sum()) < FEWEST:
        raise DataError(
            message(
                f"{int(use.sum())} logged losses after the warm-up and the first {100 * SETTLED:.0f} % of the curve",
                f"at least {FEWEST}",
                "wait, or log more often",
            )
        )
    raw_step, raw_loss = seen.step[use], seen.loss[use]
    step, loss = _thinned(raw_step, raw_loss)
    peak, total = seen.past.peak, float(seen.past.total[int(last) - 1])
    steps = np.unique(np.round(np.linspace(last, len(options[0]), 40)))
    # what is done is part of each option: the first one gives the columns of the past as well
    columns = _columns(options[0], np.concatenate([step, steps]), pool.bend, peak, total)
    ahead = columns[:, step.size :]
    level_of = pool.gain * (peak / PEAK) ** pool.power * float(loss[-1])
    found = _posterior(columns[:, : step.size], loss, level_of, pool.spread * level_of, scatter(raw_loss))
    others = [_columns(one, np.array([float(len(one))]), pool.bend, peak, total) for one in options[1:]]
    ends = np.concatenate([ahead[:, -1:], *others], axis=1)
    now = _moments(ahead[:, :1], found)[0][0]
    mean, model = _moments(ends, found)
    wide = np.sqrt(model**2 + found.noise**2 + (pool.widening * (now - mean)) ** 2)
    line, spread = _moments(ahead, found)
    spread = np.sqrt(spread**2 + (pool.widening * (now - line)) ** 2)
    reach = deviate(level) * spread
    return Futures(
        mean, wide, _drawn(ends, found, mean, now, pool, seed), float(now), float(found.weight @ found.mean[:, 2]),
        found.noise, steps, np.stack([line, line - reach, line + reach], axis=1),
    )  # fmt: skip


def _columns(made: Schedule, step: Array, bend: float, peak: float, total: float) -> Array:
    """(cells, n, 3) regressors at steps of a schedule: 1, the power of the summed rates, minus the bent momentum."""
    rates = made.total[step.astype(np.intp) - 1] / total
    bent = Schedule(peak * (made.lr / peak) ** bend, made.warmup)
    gained = Schedules.of(bent, step).over_drops(momentum, MEMORIES[:, None], warmup=False) / (
        peak * MEMORIES[:, None]
    )
    powers = rates ** -EXPONENTS[:, None]
    return np.stack(
        [
            np.ones((EXPONENTS.size * MEMORIES.size, step.size)),
            np.repeat(powers, MEMORIES.size, axis=0),
            -np.tile(gained, (EXPONENTS.size, 1)),
        ],
        axis=2,
    )


def _posterior(x: Array, y: Array, gain: float, spread: float, raw: float) -> _Posterior:
    """Regressions of y (n,) on x (cells, n, 3), the gain with its prior; residuals that go together count less."""
    n, scale = y.size, float(y[-1])
    precision = np.diag([1.0 / (10.0 * scale) ** 2, 1.0 / (0.5 * scale) ** 2, 1.0 / spread**2])
    centre = np.array([0.0, 0.1 * scale, gain])

    def solved(variance: float, share: float) -> tuple[Array, Array, Array, Array]:
        known = np.einsum("ink,inl->ikl", x, x) * share / variance + precision
        right = np.einsum("ink,n->ik", x, y) * share / variance + precision @ centre
        covariance = np.linalg.inv(known)
        mean = np.einsum("ikl,il->ik", covariance, right)
        left = y - np.einsum("ink,ik->in", x, mean)
        off = mean - centre
        log = -0.5 * (share / variance * (left**2).sum(axis=1) + np.einsum("ik,kl,il->i", off, precision, off))
        return mean, covariance, left, log + 0.5 * np.linalg.slogdet(covariance)[1]

    left = solved(1e-6 * scale**2, 1.0)[2]
    sizes = np.sqrt((left**2).sum(axis=1) / max(n - 3, 1))
    best = left[int(sizes.argmin())]
    noise = max(float(sizes.min()), 2e-4 * scale)
    together = float(np.clip(best[1:] @ best[:-1] / max(best @ best, 1e-300), 0.0, 0.9))
    share = max(n * (1.0 - together) / (1.0 + together), 3.0) / n
    mean, covariance, _, log = solved(noise**2, share)
    weight = np.exp(log - log.max())
    return _Posterior(mean, covariance, weight / weight.sum(), max(noise, raw))


def _moments(x: Array, found: _Posterior) -> tuple[Array, Array]:
    """Mean and standard deviation at points x (cells, k, 3), over all cells."""
    each = np.einsum("ikp,ip->ik", x, found.mean)
    own = np.einsum("ikp,ipq,ikq->ik", x, found.covariance, x)
    mean = found.weight @ each
    return mean, np.sqrt(found.weight @ (own + (each - mean) ** 2))


def _drawn(ends: Array, found: _Posterior, mean: Array, now: float, pool: Pool, seed: int) -> Array:
    rng = block_streams(seed, 1)[0]
    cell = rng.choice(found.weight.size, size=DRAWS, p=found.weight)
    root = np.linalg.cholesky(found.covariance)
    unknown = found.mean[cell] + np.einsum("ipq,iq->ip", root[cell], rng.standard_normal((DRAWS, 3)))
    values = np.einsum("ikp,ip->ik", ends[cell], unknown)
    # the form errs the same way for all continuations, in proportion to how far each has to go
    values += pool.widening * (now - mean) * rng.standard_normal((DRAWS, 1))
    values += found.noise * rng.standard_normal((DRAWS, 1))
    return np.concatenate([mean[None], values])


def _thinned(step: Array, loss: Array) -> tuple[Array, Array]:
    if step.size <= THINNED:
        return step, loss
    parts = np.array_split(np.arange(step.size), THINNED)
    means = [(float(step[part].mean()), float(loss[part].mean())) for part in parts]
    return np.round(np.array([m[0] for m in means])), np.array([m[1] for m in means])


def scatter(loss: Array) -> float:
    """Of one logged loss, from second differences: smooth curves leave none."""
    bends = np.abs(np.diff(loss, 2))
    return float(np.median(bends) / 0.6745 / math.sqrt(6.0)) if bends.size else 0.0


def deviate(level: float) -> float:
    """How many standard deviations hold that share of a normal distribution."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + 0.5 * level)

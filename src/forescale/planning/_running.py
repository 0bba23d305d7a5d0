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
from forescale.numerics.averaged import Averaged, averaged, scatter, thinned

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
    step, loss = thinned(raw_step, raw_loss, THINNED)
    step = np.round(step)
    peak, total = seen.past.peak, float(seen.past.total[int(last) - 1])
    steps = np.unique(np.round(np.linspace(last, len(options[0]), 40)))
    # what is done is part of each option: the first one gives the columns of the past as well
    columns = _columns(options[0], np.concatenate([step, steps]), pool.bend, peak, total)
    ahead = columns[:, step.size :]
    scale = float(loss[-1])
    gain = pool.gain * (peak / PEAK) ** pool.power * scale
    found = averaged(
        columns[:, : step.size], loss, np.array([0.0, 0.1 * scale, gain]),
        np.array([10.0 * scale, 0.5 * scale, pool.spread * gain]), least=2e-4 * scale, scatter=scatter(raw_loss),
    )  # fmt: skip
    others = [_columns(one, np.array([float(len(one))]), pool.bend, peak, total) for one in options[1:]]
    ends = np.concatenate([ahead[:, -1:], *others], axis=1)
    now = found.moments(ahead[:, :1])[0][0]
    mean, model = found.moments(ends)
    wide = np.sqrt(model**2 + found.noise**2 + (pool.widening * (now - mean)) ** 2)
    line, spread = found.moments(ahead)
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


def _drawn(ends: Array, found: Averaged, mean: Array, now: float, pool: Pool, seed: int) -> Array:
    rng = block_streams(seed, 1)[0]
    values = found.draws(ends, DRAWS, rng)
    # the form errs the same way for all continuations, in proportion to how far each has to go
    values += pool.widening * (now - mean) * rng.standard_normal((DRAWS, 1))
    values += found.noise * rng.standard_normal((DRAWS, 1))
    return np.concatenate([mean[None], values])


def deviate(level: float) -> float:
    """How many standard deviations hold that share of a normal distribution."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + 0.5 * level)

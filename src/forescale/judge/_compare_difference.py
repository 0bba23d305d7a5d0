# SPDX-License-Identifier: Apache-2.0
"""The difference of two arms along x: log(loss of B) - log(loss of A), its draws, where it changes sign."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.fitting._tails import t_quantile
from forescale.judge._compare_curves import Curves
from forescale.judge._compare_pairs import Pairs

Array = NDArray[np.float64]

BEYOND = 10.0
"""A crossing is looked for up to this multiple of the range: further out no band of a fit can be trusted."""


@dataclass(frozen=True, eq=False)
class Difference:
    """Attributes:
    x: (k,) increasing grid.
    estimate: (k,), negative where B is better.
    draws: (B, k); B = 0 where nothing is known of the uncertainty.
    low, high: the range that the verdict speaks of.
    at: x (m,) -> estimate (m,).
    """

    x: Array
    estimate: Array
    draws: Array
    low: float
    high: float
    at: Callable[[Array], Array]

    def inside(self) -> NDArray[np.bool_]:
        """(k,) the grid points of the range."""
        return (self.x >= self.low * (1 - 1e-12)) & (self.x <= self.high * (1 + 1e-12))

    def column(self, x: float) -> tuple[float, Array]:
        """Estimate and draws (B,) at one x of the grid or between."""
        j = int(np.argmin(np.abs(np.log(self.x / x))))
        if abs(math.log(self.x[j] / x)) < 1e-9:
            return float(self.estimate[j]), self.draws[:, j]
        i = min(max(int(np.searchsorted(self.x, x)), 1), self.x.size - 1)
        w = math.log(x / self.x[i - 1]) / math.log(self.x[i] / self.x[i - 1])
        return float(self.at(np.array([x]))[0]), (1 - w) * self.draws[:, i - 1] + w * self.draws[:, i]

    def band(self, level: float) -> tuple[Array, Array]:
        """Pointwise band (k,), (k,); NaN without draws."""
        if not len(self.draws):
            return np.full(self.x.size, np.nan), np.full(self.x.size, np.nan)
        tail = 0.5 * (1.0 - level)
        low, high = np.quantile(self.draws, [tail, 1.0 - tail], axis=0)
        return np.minimum(low, self.estimate), np.maximum(high, self.estimate)

    def everywhere(self, level: float) -> tuple[Array, Array]:
        """Simultaneous band over the range: the whole curve lies inside with probability `level`.

        The largest standardised deviation of each draw over the range gives the multiplier (as in a max-t test)."""
        if not len(self.draws):
            return np.full(self.x.size, np.nan), np.full(self.x.size, np.nan)
        low, high = np.quantile(self.draws, [0.1587, 0.8413], axis=0)
        scale = np.maximum(0.5 * (high - low), 1e-300)
        inside = self.inside()
        worst = (np.abs(self.draws - self.estimate) / scale)[:, inside].max(axis=1)
        reach = float(np.quantile(worst, level))
        return self.estimate - reach * scale, self.estimate + reach * scale


def of_curves(found: Curves, a: int, b: int) -> Difference:
    """B minus A of two arms; without draws where the rows do not determine the curves over the range."""
    draws = found.draws[b] - found.draws[a]
    good = np.isfinite(draws[:, found.inside()]).all(axis=1) if len(draws) else np.empty(0, dtype=bool)
    kept = np.nan_to_num(draws[good], nan=0.0) if good.size and good.mean() > 0.9 else np.empty((0, found.x.size))
    return Difference(
        found.x,
        found.log_loss[b] - found.log_loss[a],
        kept,
        found.low,
        found.high,
        lambda x: found.at(x)[b] - found.at(x)[a],
    )


def of_pairs(
    found: Pairs, x: Array, count: int, seed: int, sure: float, noise: float | None = None, arm: int = 1
) -> Difference:
    """The differences of the pairs, without a law.

    Where the noise between runs is known: each pair with that noise, straight lines in log x between them, and
    nothing beyond them. Else the scatter of the pairs stands for it: a constant, or a line in log x where its slope
    is sure.

    Args:
        noise: standard deviation of log loss between runs of one setting; None: not known.
        arm: number of arm B: draws of one seed share the noise of arm A.
    """
    k = len(found)
    t = np.log10(found.x)
    if noise is not None and k >= 2 and np.unique(t).size == k:
        return _through(found, x, count, seed, noise, arm)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4, arm)))
    sloped = False
    if k >= 4 and math.isfinite(found.slope):
        spread = float(((t - t.mean()) ** 2).sum())
        rest = found.log_ratio - found.mean - found.slope * (t - t.mean())
        s = math.sqrt(float((rest**2).sum()) / (k - 2))
        sloped = abs(found.slope) > t_quantile(sure, k - 2) * s / math.sqrt(spread)
    low, high = float(found.x.min()), float(found.x.max())
    if k < 2:
        draws = np.empty((0, x.size))
    elif sloped:
        away = rng.standard_normal((count, 2)) * np.sqrt((k - 2) / rng.chisquare(k - 2, count))[:, None] * s
        away /= np.array([math.sqrt(k), math.sqrt(spread)])
        draws = found.mean + away[:, :1] + (found.slope + away[:, 1:]) * (np.log10(x) - t.mean())
    else:
        away = rng.standard_t(k - 1, count)[:, None] * found.sd / math.sqrt(k)
        draws = np.broadcast_to(found.mean + away, (count, x.size)).copy()
    slope = found.slope if sloped else 0.0

    def at(points: Array) -> Array:
        return np.asarray(found.mean + slope * (np.log10(points) - t.mean()))

    return Difference(x, at(x), draws, low, high if high > low else 2 * low, at)


def _through(found: Pairs, x: Array, count: int, seed: int, noise: float, arm: int) -> Difference:
    t = np.log10(found.x)
    a = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4, 0))).standard_normal((count, len(found)))
    b = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4, arm))).standard_normal((count, len(found)))
    draws = found.log_ratio + noise * (b / np.sqrt(found.n_b) - a / np.sqrt(found.n_a))
    order = np.argsort(t)

    def read(points: Array, values: Array) -> Array:
        return np.asarray(np.interp(np.log10(points), t[order], values[order], left=math.nan, right=math.nan))

    low, high = float(found.x.min()), float(found.x.max())
    snapped = np.where(np.isclose(x, low, rtol=1e-9), low, np.where(np.isclose(x, high, rtol=1e-9), high, x))

    def at(points: Array) -> Array:
        return read(points, found.log_ratio)

    return Difference(x, at(snapped), np.stack([read(snapped, row) for row in draws]), low, high, at)


@dataclass(frozen=True)
class Crossing:
    """Where the arms change places.

    Attributes:
        x: at the estimates.
        lower, upper: interval; 0 or inf where draws have no such crossing below `BEYOND` times the range.
        chance: share of the draws that cross in this direction inside the range looked at.
        better_above: "A" or "B".
        beyond: it lies outside the range of the runs.
        decades: width of the interval in factors of ten; inf where it is open.
    """

    x: float
    lower: float
    upper: float
    chance: float
    better_above: str
    beyond: bool
    decades: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an open end is null."""
        return asdict(self)


def crossings(difference: Difference, level: float) -> tuple[Crossing, ...]:
    """The sign changes of the estimate between the low end of the range and `BEYOND` times the high end."""
    looked = (difference.x >= difference.low * (1 - 1e-12)) & (difference.x <= difference.high * BEYOND)
    looked &= np.isfinite(difference.estimate)
    t = np.log(difference.x[looked])
    d = difference.estimate[looked]
    draws = difference.draws[:, looked]
    found = []
    for i in np.flatnonzero(np.sign(d[:-1]) * np.sign(d[1:]) < 0):
        x = _root(difference, float(t[i]), float(t[i + 1]))
        falls = bool(d[i] > 0)  # A better before, B better above
        # Draws are read off the grid by straight lines, the estimate is not: what lines miss there, they miss here.
        missed = math.log(x) - float(t[i] + (t[i + 1] - t[i]) * d[i] / (d[i] - d[i + 1]))
        places = _of_draws(draws, t, math.log(x), falls) + missed
        inside = np.isfinite(places)
        lower, upper, decades = math.nan, math.nan, math.inf
        if places.size:
            tail = 0.5 * (1.0 - level)
            low, high = np.quantile(places, [tail, 1.0 - tail], method="nearest")
            lower = math.exp(low) if math.isfinite(low) else 0.0
            upper = math.exp(high) if math.isfinite(high) else math.inf
            # The estimate is never outside of its own interval.
            lower, upper = min(lower, x), max(upper, x)
            decades = math.log10(upper / lower) if lower > 0.0 and upper < math.inf else math.inf
        found.append(
            Crossing(
                x=x,
                lower=lower,
                upper=upper,
                chance=float(inside.mean()) if places.size else math.nan,
                better_above="B" if falls else "A",
                beyond=not difference.low <= x <= difference.high,
                decades=decades,
            )
        )
    return tuple(found)


def chance_of_crossing(difference: Difference) -> float:
    """Share of the draws that change sign inside the range; NaN without draws."""
    if not len(difference.draws):
        return math.nan
    signs = np.sign(difference.draws[:, difference.inside()])
    return float((signs != signs[:, :1]).any(axis=1).mean())


def _root(difference: Difference, low: float, high: float) -> float:
    """Bisection in log x, to the last digit."""
    start = float(difference.at(np.array([math.exp(low)]))[0])
    for _ in range(80):
        middle = 0.5 * (low + high)
        value = float(difference.at(np.array([math.exp(middle)]))[0])
        if value == 0.0 or high - low < 1e-15 * abs(high):
            break
        low, high = (middle, high) if (value > 0) == (start > 0) else (low, middle)
    return math.exp(0.5 * (low + high))


def _of_draws(draws: Array, t: Array, near: float, falls: bool) -> Array:
    """(B,) log x of each draw's crossing in that direction nearest to `near`; -inf where the draw has changed places
    before the range begins, inf where it does not do so inside."""
    side = draws > 0 if falls else draws < 0  # the sign before the crossing
    out = np.empty(len(draws))
    for b in range(len(draws)):
        steps = np.flatnonzero(side[b, :-1] & ~side[b, 1:])
        if not steps.size:
            out[b] = math.inf if side[b, -1] else -math.inf
            continue
        y0, y1 = draws[b, steps], draws[b, steps + 1]
        places = t[steps] + (t[steps + 1] - t[steps]) * y0 / (y0 - y1)
        out[b] = places[np.argmin(np.abs(places - near))]
    return out

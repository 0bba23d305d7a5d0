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


def of_paired_curves(found: Curves, paired: Pairs, count: int, seed: int) -> Difference | None:
    """The difference of two curves of one law, fitted to the differences of the pairs.

    To first order the difference of two curves of a law is a combination of the law's P derivatives. Its coefficients
    are fitted to the pairs by least squares, so that noise which both runs of a pair share (data order, a shape that
    the law misses at both) cancels. Student t, k - P degrees of freedom; None with fewer than three of them.
    """
    basis = found.slopes(paired.x)
    scale = np.linalg.norm(basis, axis=1)
    useful = np.isfinite(scale) & (scale > 1e-9 * np.nanmax(scale))
    df = len(paired) - int(useful.sum())
    if df < 3:
        return None
    rows = (basis[useful] / scale[useful, None]).T
    u, singular, v = np.linalg.svd(rows, full_matrices=False)
    inverse = v.T / np.where(singular > 1e-9 * singular[0], singular, np.inf)
    rest = paired.log_ratio - (found.at(paired.x)[1] - found.at(paired.x)[0])
    moved = inverse @ (u.T @ rest)
    left = rest - rows @ moved
    s = math.sqrt(float(left @ left) / df)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,)))
    stretch = np.sqrt(df / rng.chisquare(df, count))[:, None]
    away = rng.standard_normal((count, singular.size)) @ inverse.T * stretch * s

    def shape(x: Array) -> Array:
        return np.asarray(found.slopes(x)[useful] / scale[useful, None])

    def at(x: Array) -> Array:
        both = found.at(x)
        return np.asarray(both[1] - both[0] + moved @ shape(x))

    estimate = at(found.x)
    return Difference(found.x, estimate, estimate + away @ shape(found.x), found.low, found.high, at)


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
        # Asked at a fifth of the error: looking for a slope first must not make winners of its own.
        sloped = abs(found.slope) > t_quantile(1.0 - 0.2 * (1.0 - sure), k - 2) * s / math.sqrt(spread)
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
    """The root in log x, to the last digits: straight lines with the Illinois rule, which never leave the bracket."""

    def value(t: float) -> float:
        return float(difference.at(np.array([math.exp(t)]))[0])

    below, above = value(low), value(high)
    side = 0
    for _ in range(60):
        if below == above or high - low < 1e-15 * abs(high):
            break
        middle = high - above * (high - low) / (above - below)
        found = value(middle)
        if found == 0.0:
            return math.exp(middle)
        if (found > 0) == (below > 0):
            low, below = middle, found
            above = 0.5 * above if side == -1 else above
            side = -1
        else:
            high, above = middle, found
            below = 0.5 * below if side == 1 else below
            side = 1
        if abs(found) < 1e-16:
            return math.exp(middle)
    return math.exp(0.5 * (low + high))


def _of_draws(draws: Array, t: Array, near: float, falls: bool) -> Array:
    """(B,) log x of each draw's crossing in that direction nearest to `near`; -inf where the draw has changed places
    before the range begins, inf where it does not do so inside."""
    if not len(draws):
        return np.empty(0)
    side = draws > 0 if falls else draws < 0  # the sign before the crossing
    step = side[:, :-1] & ~side[:, 1:]
    with np.errstate(all="ignore"):
        places = t[:-1] + (t[1:] - t[:-1]) * draws[:, :-1] / (draws[:, :-1] - draws[:, 1:])
    away = np.where(step, np.abs(places - near), math.inf)
    nearest = np.argmin(away, axis=1)
    rows = np.arange(len(draws))
    never = np.where(side[:, -1], math.inf, -math.inf)
    return np.where(step.any(axis=1), places[rows, nearest], never)

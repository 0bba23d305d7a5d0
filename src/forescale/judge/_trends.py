# SPDX-License-Identifier: Apache-2.0
"""Descriptions of a curve of one variable that `regimes` compares: lines, a floor, a turn, local slopes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.fitting._tails import t_quantile
from forescale.numerics.curves import regressions

Array = NDArray[np.float64]

FEWEST_TURN = 4
"""Levels of the variable below which no trend is said to turn."""

ROUNDING = 1e-9
"""Residuals below this share of the values are rounding."""


@dataclass(frozen=True)
class Curve:
    """ln x (rising), values, weights of mean one."""

    x: Array
    value: Array
    w: Array
    better: str
    level: float

    @property
    def levels(self) -> Array:
        return np.unique(self.x)

    @property
    def n(self) -> int:
        return int(self.x.size)

    @property
    def span(self) -> float:
        return float(self.x[-1] - self.x[0])

    def good(self, slope: float) -> bool:
        return (slope < 0) == (self.better == "lower")


@dataclass(frozen=True)
class Line:
    """Weighted least squares in some columns: coefficients, their covariance per unit of variance, squares."""

    c: Array
    spread: Array
    squares: float
    df: int

    @property
    def sigma(self) -> float:
        return math.sqrt(self.squares / self.df) if self.df > 0 else math.nan

    def interval(self, k: int, level: float) -> tuple[float, float]:
        half = half_width(self.spread[k, k], self.squares, self.df, level)
        return float(self.c[k]) - half, float(self.c[k]) + half


def half_width(spread: float, squares: float, df: int, level: float) -> float:
    """Half the width of an interval; infinite without degrees of freedom."""
    if df <= 0 or not spread >= 0:
        return math.inf
    return t_quantile(level, df) * math.sqrt(spread * squares / df)


def least(columns: Array, y: Array, w: Array) -> Line:
    root = np.sqrt(w)
    c = np.linalg.lstsq((columns * root).T, y * root, rcond=None)[0]
    left = y - c @ columns
    inverse = np.linalg.pinv((columns * w) @ columns.T, rcond=1e-14, hermitian=True)
    return Line(
        np.asarray(c, dtype=np.float64),
        np.asarray(inverse, dtype=np.float64),
        float((w * left * left).sum()),
        y.size - columns.shape[0],
    )


def powers(x: Array, degree: int) -> Array:
    return np.stack([x**k for k in range(degree + 1)])


class Scores:
    """How much worse than one line other descriptions are."""

    def __init__(self, line: Line, y: Array) -> None:
        self.smallest = y.size * (ROUNDING * float(np.abs(y).max() or 1.0)) ** 2
        self.line, self.n = max(line.squares, self.smallest), y.size

    def of(self, squares: float, parameters: int, cost: float) -> float:
        """BIC against the line: `parameters` fitted, `cost` of them beyond those of a line (negative: fewer)."""
        free = self.n - max(parameters, 2)
        if free <= 0:
            return math.inf
        return free * math.log(max(squares, self.smallest) / self.line) + cost * math.log(self.n)


def with_floor(curve: Curve) -> Line | None:
    """y = E + A x^-alpha by Gauss-Newton on ln y from the best of a grid of floors: c = (ln A, alpha, E)."""
    x, y, w = curve.x - curve.x.mean(), curve.value, curve.w
    grid = float(y.min()) * np.array([0.02, 0.3, 0.5, 0.65, 0.77, 0.86, 0.92, 0.96, 0.98, 0.99])
    over = y - grid[:, None]
    lines = np.broadcast_to(np.stack([np.ones_like(x), -x]), (grid.size, 2, x.size))
    # errors of ln(y - E) are those of ln y times y / (y - E)
    found, left = regressions(lines, np.log(over), w * (over / y) ** 2)
    k = int(np.argmin(left))
    c = np.array([found[k, 0], found[k, 1], grid[k]])
    target = np.log(y)

    def at(c: Array) -> tuple[float, Array, Array]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            excess = np.exp(c[0] - c[1] * x)
            value = c[2] + excess
            rest, share = target - np.log(value), excess / value
            squares = float((w * rest * rest).sum())
        return squares if np.isfinite(squares) and c[2] > 0 else math.inf, rest, share

    squares, rest, share = at(c)
    for _ in range(30):
        slopes = np.stack([share, -x * share, 1.0 / np.exp(target - rest)])
        step = np.linalg.lstsq((slopes * np.sqrt(w)).T, rest * np.sqrt(w), rcond=1e-12)[0]
        length = 1.0
        for _ in range(12):
            trial = at(c + length * step)
            if trial[0] < squares:
                break
            length *= 0.35
        else:
            break
        c, gain = c + length * step, squares - trial[0]
        squares, rest, share = trial
        if gain <= 1e-9 * squares:
            break
    if not np.isfinite(squares) or c[1] <= 0:
        return None
    slopes = np.stack([share, -x * share, 1.0 / np.exp(target - rest)])
    spread = np.linalg.pinv((slopes * w) @ slopes.T, rcond=1e-14, hermitian=True)
    return Line(c, spread, squares, x.size - 3)


def turning(curve: Curve, y: Array) -> dict[str, Any] | None:
    """The quadratic in ln x and whether it turns inside the data; None below three sizes.

    A turn is claimed when the quadratic beats line and constant, its vertex has two sizes on either side, and either
    the slopes left and right of it differ from zero with opposite signs (the two-lines test, Simonsohn 2018), or both
    ends differ from what was observed next to the vertex. A curve that only levels off passes neither.
    """
    levels = curve.levels
    if levels.size < 3:
        return None
    centre = float(curve.x.mean())
    x = curve.x - centre
    quadratic = least(powers(x, 2), y, curve.w)
    _, b, c = quadratic.c.tolist()
    vertex = -b / (2.0 * c) if c else math.inf
    out: dict[str, Any] = {
        "tag": None, "squares": quadratic.squares, "curvature": c,
        "turn": math.exp(min(max(vertex + centre, -700.0), 700.0)), "interval": None, "line": quadratic,
    }  # fmt: skip
    flat, line = (least(powers(x, k), y, curve.w) for k in (0, 1))
    scores = Scores(line, y)
    out["flat"], out["linear"] = scores.of(flat.squares, 1, -1.0), 0.0
    out["quadratic"] = scores.of(quadratic.squares, 3, 1.0)
    beside = (levels < vertex + centre).sum(), (levels > vertex + centre).sum()
    better = out["quadratic"] < min(0.0, out["flat"])
    if levels.size < FEWEST_TURN or quadratic.df < 1 or min(beside) < 2 or not better:
        return out
    sides = _two_lines(curve, y, x, vertex) or _risen(curve, y, vertex + centre, quadratic)
    if (c > 0 and sides == 1) or (c < 0 and sides == -1):
        out["tag"] = "U-shape" if c > 0 else "inverted-U"
    gradient = np.array([0.0, -0.5 / c, 0.5 * b / (c * c)])
    half = half_width(float(gradient @ quadratic.spread @ gradient), quadratic.squares, quadratic.df, curve.level)
    reach = (max(vertex - half, x[0]) + centre, min(vertex + half, x[-1]) + centre)
    out["interval"] = (math.exp(reach[0]), math.exp(reach[1]))
    return out


def _two_lines(curve: Curve, y: Array, x: Array, vertex: float) -> int:
    """1 for down and up, -1 for up and down, 0 where a slope may be zero."""
    left = (x <= vertex).astype(np.float64)
    two = least(np.stack([left, left * x, 1 - left, (1 - left) * x]), y, curve.w)
    first, last = two.interval(1, curve.level), two.interval(3, curve.level)
    if first[1] < 0 < last[0]:
        return 1
    return -1 if last[1] < 0 < first[0] else 0


def _risen(curve: Curve, y: Array, vertex: float, quadratic: Line) -> int:
    """1 where both ends lie above what was observed next to the vertex, -1 below, 0 where that may be chance."""
    levels = curve.levels
    means, spread = [], []
    for level in (levels[0], levels[int(np.argmin(np.abs(levels - vertex)))], levels[-1]):
        here = curve.x == level
        means.append(float(np.average(y[here], weights=curve.w[here])))
        spread.append(1.0 / float(curve.w[here].sum()))
    up = [
        (means[end] - means[1])
        / max(half_width(spread[end] + spread[1], quadratic.squares, quadratic.df, curve.level), 1e-300)
        for end in (0, 2)
    ]
    return 1 if min(up) > 1.0 else (-1 if max(up) < -1.0 else 0)


def local_slopes(curve: Curve) -> dict[str, Array]:
    """Slopes at each size in a moving window: tricube weights over the nearest third of the sizes, at least five.

    Of ln y, or of y where values are not all positive. Empty below five sizes.
    """
    levels = curve.levels
    if levels.size < 5:
        return {"x": np.empty(0), "exponent": np.empty(0), "error": np.empty(0)}
    y = np.log(curve.value) if (curve.value > 0).all() else curve.value
    near = max(5, -(-levels.size // 3))
    distance = np.sort(np.abs(levels[:, None] - levels), axis=1)
    reach = 1.0001 * distance[:, min(near, levels.size) - 1]
    gap = curve.x - levels[:, None]
    w = curve.w * np.clip(1.0 - np.abs(gap / reach[:, None]) ** 3, 0.0, None) ** 3
    total = w.sum(axis=1)
    mean_x, mean_y = (w * gap).sum(axis=1) / total, (w @ y) / total
    off, rest = gap - mean_x[:, None], y - mean_y[:, None]
    spread = (w * off * off).sum(axis=1)
    slope = (w * off * rest).sum(axis=1) / spread
    left = rest - slope[:, None] * off
    # residual variance with the weights' own degrees of freedom, then the variance of a weighted sum
    free = np.maximum((w > 0).sum(axis=1) - 2, 1)
    variance = (curve.w * (w > 0) * left * left).sum(axis=1) / free
    error = np.sqrt(variance * (w * w * off * off).sum(axis=1)) / spread
    return {"x": np.exp(levels), "exponent": slope, "error": error}

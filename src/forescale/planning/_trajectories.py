# SPDX-License-Identifier: Apache-2.0
"""Scores of tasks along training: how noisy they are, how alike they move, where they will end.

A trajectory is a score against log(tokens / tokens of the whole run). Following Yang et al. (2024): scores above
chance, moving averages of five, correlations of trajectories of models and of tasks, the rest of a trajectory from
the other tasks by ridge regression, the last score from the first part.
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
from forescale.core.streams import block_streams
from forescale.numerics.averaged import averaged, scatter, thinned

Array = NDArray[np.float64]

SMOOTHED = 5
"""Checkpoints of a moving average."""

TAIL = 10
"""Checkpoints whose standard deviation is the noise of a score (SD10)."""

FEWEST = 8
"""Checkpoints that a forecast takes."""

EARLIEST, POINTS = 0.05, 50
"""Two trajectories are compared at so many shares of the tokens, even in their logarithm, from the earliest on."""

SETTLED = 0.05
"""Share of the tokens so far that is left out of a forecast."""

MIDDLES, WIDTHS = np.array([-4.0, -2.5, -1.5, -0.75, 0.0, 0.75]), np.array([0.4, 0.8, 1.6])
"""In log tokens from the last checkpoint: where sigmoids are steepest, and how wide they are."""

DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One task of one run: tokens (n,) increasing, scores (n,), the score of guessing."""

    run: str
    task: str
    tokens: Array
    score: Array
    chance: float = 0.0

    @property
    def normalised(self) -> Array:
        """(n,) scores as shares of the way from chance to one."""
        return (self.score - self.chance) / (1.0 - self.chance)

    @property
    def noise(self) -> float:
        """SD10: standard deviation of the last ten scores (all of them where there are fewer); a trend counts too."""
        return float(self.score[-TAIL:].std())

    @property
    def scatter(self) -> float:
        """Standard deviation about the moving average: what SD10 is without a trend."""
        n = self.score.size
        if n <= SMOOTHED:
            return self.noise
        inner = slice(SMOOTHED // 2, n - SMOOTHED // 2)
        off = (self.score - moving(self.score))[inner]
        return float(off.std() / np.sqrt(1.0 - 1.0 / SMOOTHED))

    def until(self, tokens: float) -> Trajectory:
        """The part up to some tokens."""
        known = self.tokens <= tokens
        return Trajectory(self.run, self.task, self.tokens[known], self.score[known], self.chance)

    def at(self, shares: Array, total: float) -> Array:
        """Smoothed normalised scores at log shares of the total, interpolated in log tokens."""
        return np.interp(shares, np.log(self.tokens / total), moving(self.normalised))


def moving(y: Array) -> Array:
    """(n,) means of up to `SMOOTHED` neighbours, fewer at the ends."""
    half = SMOOTHED // 2
    sums = np.concatenate([[0.0], np.cumsum(y)])
    i = np.arange(y.size)
    low, high = np.maximum(i - half, 0), np.minimum(i + half + 1, y.size)
    return np.asarray((sums[high] - sums[low]) / (high - low))


def similarity(one: Trajectory, other: Trajectory, total: float) -> float:
    """Pearson correlation of two trajectories of a task at equal shares of their tokens.

    Args:
        total: tokens of the whole run of the first, of which it may have done a part; the second has ended.
    """
    shares = np.linspace(np.log(EARLIEST), np.log(float(one.tokens[-1]) / total), POINTS)
    return correlation(one.at(shares, total), other.at(shares, float(other.tokens[-1])))


def correlation(a: Array, b: Array) -> float:
    """Of Pearson; NaN where one does not move."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def ranks(y: Array) -> Array:
    """(n,) ranks from 1, equal values sharing the mean of theirs."""
    _, place, count = np.unique(y, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - 0.5 * (count - 1))[place.reshape(-1)])


def spearman(scores: Array) -> Array:
    """(k, k) rank correlations of k tasks (k, n) at the same checkpoints."""
    found = np.full((len(scores), len(scores)), np.nan)
    ranked = [ranks(row) for row in scores]
    for i, a in enumerate(ranked):
        for j, b in enumerate(ranked):
            found[i, j] = 1.0 if i == j else correlation(a, b)
    return found


def from_some(scores: Array, some: Sequence[int], known: int, penalty: float = 1.0) -> Array:
    """The rest of all trajectories from those of some tasks, by ridge regression on the first `known` checkpoints.

    Args:
        scores: (k, n) smoothed scores of k tasks at n checkpoints.
        some: indices of the tasks that are known throughout.
        penalty: of the standardised coefficients, in units of one checkpoint.

    Returns:
        (k, n - known) scores; those of `some` are regressed on themselves too.
    """
    x = scores[list(some)].T
    centre, size = x[:known].mean(axis=0), x[:known].std(axis=0)
    z = (x - centre) / np.where(size > 0, size, 1.0)
    middle = scores[:, :known].mean(axis=1)
    matrix = z[:known].T @ z[:known] + penalty * np.eye(z.shape[1])
    slope = np.linalg.solve(matrix, z[:known].T @ (scores[:, :known] - middle[:, None]).T)
    return np.asarray(middle[:, None] + (z[known:] @ slope).T)


def left_out(scores: Array, known: int) -> Array:
    """(k,) root mean squared errors of each task's rest from all the others."""
    k = len(scores)
    guessed = np.stack([from_some(scores, [j for j in range(k) if j != i], known)[i] for i in range(k)])
    return np.asarray(np.sqrt(np.mean((guessed - scores[:, known:]) ** 2, axis=1)))


def kept(scores: Array, known: int, allowed: Array) -> list[int]:
    """A small set of tasks from which the rest of all others follows, each to within what is allowed (k,).

    Greedy: the task is added that leaves the least error in units of what is allowed, until no task is over it.
    """
    k = len(scores)
    chosen: list[int] = []
    while len(chosen) < k:
        over = {i: _over(scores, [*chosen, i], known, allowed) for i in range(k) if i not in chosen}
        best = min(over, key=lambda i: float(np.sum(over[i])))
        chosen.append(best)
        if np.all(over[best] <= 1.0):
            break
    return chosen


def _over(scores: Array, some: list[int], known: int, allowed: Array) -> Array:
    """(k,) errors in units of what is allowed, zero for the tasks that are known."""
    off = np.sqrt(np.mean((from_some(scores, some, known) - scores[:, known:]) ** 2, axis=1))
    over = off / np.maximum(allowed, 1e-12)
    over[some] = 0.0
    return np.asarray(over)


# --------------------------------------------------------------------------------------------------------- forecasts


@cache
def constants() -> Mapping[str, Any]:
    """`checkpoints.toml`: the widening from replayed runs, and how the replays came out."""
    import tomllib

    text = resources.files("forescale.planning").joinpath("checkpoints.toml").read_text(encoding="utf-8")
    return Frozen(tomllib.loads(text))


@dataclass(frozen=True, eq=False)
class Ahead:
    """Where a trajectory will end.

    Attributes:
        values: (1 + DRAWS,) last scores: row 0 the mean, then draws, with the noise of one checkpoint.
        mean, sd: of them. now: the smooth score at the last checkpoint.
        tokens, line: (n,) and (n, 3) mean, lower and upper of the smooth curve from now to the end.
    """

    values: Array
    mean: float
    sd: float
    now: float
    tokens: Array
    line: Array


def ahead(known: Trajectory, total: float, widening: float, *, deviate: float = 1.645, seed: int = 0) -> Ahead:
    """The last score from the trajectory so far: a mean over a straight line in log tokens and sigmoids in it.

    Args:
        total: tokens at the end.
        widening: standard deviation added per unit of score that is still to come, or, where that is more, that the
            last tokens of a like share brought.

    Raises:
        DataError: too few checkpoints.
    """
    last = float(known.tokens[-1])
    use = known.tokens >= SETTLED * last
    if int(use.sum()) < FEWEST:
        raise DataError(
            message(
                f"{int(use.sum())} checkpoints of {known.task} of {known.run} after the first {100 * SETTLED:.0f} %",
                f"at least {FEWEST}",
                "wait, or evaluate more often",
            )
        )
    x, y = thinned(np.log(known.tokens[use] / last), known.score[use], 64)
    tokens = np.geomspace(last, total, 30)
    future = np.log(tokens / last)
    scale = max(float(np.abs(y).max()), 1e-12)
    columns = _columns(np.concatenate([x, future]))
    raw = scatter(known.score[use])
    found = averaged(
        columns[:, : x.size], y, np.zeros(2), np.array([2.0, 2.0]) * scale, least=1e-3 * scale, scatter=raw
    )
    coming = columns[:, x.size :]
    line, spread = found.moments(coming)
    now = float(line[0])
    # what the same stretch of log tokens brought so far stands in where the forecast is that nothing more comes
    before = np.interp(-future[-1], x, y) if -future[-1] >= x[0] else float(y[0])
    reach = widening * np.maximum(np.abs(line - now), abs(now - before) * future / max(future[-1], 1e-300))
    sd = np.sqrt(spread**2 + reach**2)
    rng = block_streams(seed, 1)[0]
    drawn = found.draws(coming[:, -1:], DRAWS, rng)[:, 0]
    drawn = drawn + reach[-1] * rng.standard_normal(DRAWS) + raw * rng.standard_normal(DRAWS)
    band = np.stack([line, line - deviate * sd, line + deviate * sd], axis=1)
    whole = float(np.sqrt(sd[-1] ** 2 + raw**2))
    return Ahead(np.concatenate([line[-1:], drawn]), float(line[-1]), whole, now, tokens, band)


def _columns(u: Array) -> Array:
    """(cells, n, 2): one, and a straight line or a sigmoid in u that changes by about one over the unit."""
    middle, width = (g.ravel() for g in np.meshgrid(MIDDLES, WIDTHS, indexing="ij"))
    steps = 1.0 / (1.0 + np.exp(-(u[None] - middle[:, None]) / width[:, None]))
    shapes = np.concatenate([0.2 * u[None], steps])
    return np.stack([np.ones_like(shapes), shapes], axis=2)

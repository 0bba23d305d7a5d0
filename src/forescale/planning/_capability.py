# SPDX-License-Identifier: Apache-2.0
"""Public models as an experiment (Ruan et al. 2024): components, the link to a task's score, lines of families.

A score is read off components of benchmarks, and off compute alone as a rival, by the same link. Families are what is
resampled, and what is left out one by one: models of one family share data and recipe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.fitting._tails import t_quantile
from forescale.numerics.resample import bootstrap_clusters, cluster_labels
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]

NEAR = 0.02
"""Links that leave at most this share more than the best one are as good: of forty scores, two per cent of the
squares is less than one standard error of a parameter."""
MOST = 3
"""Links as good as the best that are carried along."""
PATIENCE = 50
"""Iterations of a refit to resampled families, which starts from links that fit all of them."""
SAME = 0.01
"""Two links are one when no score that they predict differs by more."""


@dataclass(frozen=True, eq=False)
class Models:
    """The table: `place` of the target, (m,) compute in FLOP (NaN unknown), scores or None, who is learned from."""

    runs: Runs
    place: int
    C: Array
    score: Array | None
    learned: NDArray[np.bool_]
    space_rows: Rows
    family: NDArray[np.str_]
    benchmarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Linked:
    """The link from components (or compute) to scores.

    Attributes:
        x: (m, k) what it reads, of all models; NaN rows where that is not known.
        rows: (m,) models learned from.
        theta: (j, k + 2) the best link, then others about as good. left: (j,) mean squares they leave.
        apart: (m,) scores predicted for each model by links learned without its family; NaN beyond `rows`.
        drawn: (B, k + 2) links learned from resampled families.
    """

    x: Array
    rows: Rows
    theta: Array
    left: Array
    apart: Array
    drawn: Array

    def scores(self, which: int = 0) -> Array:
        """(m,) scores by one of the links."""
        from forescale.fitting.estimators.observational import link

        return link(self.x, self.theta[which])

    def at(self, x: Array) -> Array:
        """(1 + B, n) scores of what has components x (n, k), by the best link and by the resampled ones."""
        from forescale.fitting.estimators.observational import link

        return link(x, np.concatenate([self.theta[:1], self.drawn]))


def linked(x: Array, y: Array, rows: Rows, family: NDArray[np.intp], draws: int) -> Linked:
    """Learn the link on some models, each once and then by families.

    Args:
        x: (m, k). y: (m,) scores, read on `rows` alone. family: (m,) codes. draws: resamples of families, maybe 0.
    """
    from forescale.fitting.estimators.observational import link, link_starts, links

    k = x.shape[1]
    xs, ys = x[rows], y[rows]
    found, left = links(xs, ys, np.ones(ys.size), link_starts(k))
    kept = [0]
    for i in range(1, left.size):
        apart = min(float(np.abs(link(x, found[i]) - link(x, found[j]))[np.isfinite(x[:, 0])].max()) for j in kept)
        if left[i] <= (1.0 + NEAR) * left[0] and apart > SAME and len(kept) < MOST:
            kept.append(i)
    theta = found[kept]
    codes = cluster_labels(family[rows])
    groups = int(codes.max()) + 1
    out = np.full(y.size, np.nan)
    without = _best(xs, ys, (np.arange(groups)[:, None] != codes).astype(np.float64), theta)
    out[rows] = link(xs, without)[codes, np.arange(ys.size)]
    drawn = np.empty((0, k + 2))
    if draws:
        drawn = _best(xs, ys, bootstrap_clusters(codes, draws, 0), theta)
    return Linked(x, rows, theta, left[kept] / ys.size, out, drawn)


def _best(x: Array, y: Array, weights: Array, starts: Array) -> Array:
    """(B, k + 2) for each row of weights the best of the links reached from all starts."""
    from forescale.fitting.estimators.observational import links

    many = np.repeat(weights, len(starts), axis=0)
    theta, left = links(x, y, many, np.tile(starts, (len(weights), 1)), PATIENCE)
    chosen = np.argmin(left.reshape(len(weights), -1), axis=1)
    return np.asarray(theta.reshape(len(weights), len(starts), -1)[np.arange(len(weights)), chosen])


@dataclass(frozen=True)
class Line:
    """The first component of one family along log10 compute.

    Attributes:
        family: its name. models: with known compute. at, rise: component = at + rise log10 C. r2: of the line.
        sigma: residual standard deviation, NaN for two models. center, spread: mean of log10 C, its sum of squares.
    """

    family: str
    models: int
    at: float
    rise: float
    r2: float
    sigma: float
    center: float
    spread: float

    def worth(self, component: float, level: float) -> tuple[float, float | None, float | None]:
        """Compute at which the family has this component, in FLOP, with the interval of a calibration.

        The interval is that of one model read off a line of few: of the component's scatter, and of the line.
        """
        log = (component - self.at) / self.rise
        if not math.isfinite(self.sigma):
            return 10.0**log, None, None
        se = self.sigma / self.rise * math.sqrt(1.0 + 1.0 / self.models + (log - self.center) ** 2 / self.spread)
        half = t_quantile(level, self.models - 2) * se
        return _power(log), _power(log - half), _power(log + half)


def _power(log: float) -> float:
    return 10.0**log if log < 300 else math.inf


def lines(first: Array, C: Array, family: NDArray[np.str_]) -> list[Line]:
    """Lines of all families with two models or more of known and different compute."""
    found = []
    for name in sorted({str(f) for f in family}):
        some = (family == name) & np.isfinite(C)
        x, y = np.log10(C[some]), first[some]
        if x.size < 2 or np.ptp(x) == 0:
            continue
        u = x - x.mean()
        rise = float(u @ y / (u @ u))
        residual = y - y.mean() - rise * u
        total = float(((y - y.mean()) ** 2).sum())
        sigma = math.sqrt(float(residual @ residual) / (x.size - 2)) if x.size > 2 else math.nan
        r2 = 1.0 - float(residual @ residual) / total if total > 0 else math.nan
        at = float(y.mean() - rise * x.mean())
        found.append(Line(name, int(x.size), at, rise, r2, sigma, float(x.mean()), float(u @ u)))
    return found

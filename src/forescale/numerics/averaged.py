# SPDX-License-Identifier: Apache-2.0
"""A curve as a mean over many linear regressions, each with Gaussian priors: for forms whose shape is not known.

Each cell of a grid of shapes has its own regressors; given a shape the coefficients are Gaussian, and the cells weigh
as much as they explain. Residuals of a wrong shape go together from point to point, so points count for less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Averaged:
    """Gaussians of the coefficients, one for each of m cells, and the weights of the cells.

    Attributes:
        mean: (m, p). covariance: (m, p, p). weight: (m,), sum one.
        noise: standard deviation of one point about the curve.
    """

    mean: Array
    covariance: Array
    weight: Array
    noise: float

    def moments(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (k,) of the curve at regressors x (m, k, p)."""
        each = np.einsum("ikp,ip->ik", x, self.mean)
        own = np.einsum("ikp,ipq,ikq->ik", x, self.covariance, x)
        mean = self.weight @ each
        return mean, np.sqrt(self.weight @ (own + (each - mean) ** 2))

    def draws(self, x: Array, count: int, rng: np.random.Generator) -> Array:
        """(count, k) of the curve at regressors x (m, k, p); a row is one curve."""
        cell = rng.choice(self.weight.size, size=count, p=self.weight)
        root = np.linalg.cholesky(self.covariance)
        normal = rng.standard_normal((count, self.mean.shape[1]))
        drawn = self.mean[cell] + np.einsum("ipq,iq->ip", root[cell], normal)
        return np.asarray(np.einsum("ikp,ip->ik", x[cell], drawn))


def averaged(x: Array, y: Array, centre: Array, spread: Array, *, least: float, scatter: float = 0.0) -> Averaged:
    """Regressions of y (n,) on x (m, n, p).

    Args:
        centre, spread: (p,) means and standard deviations of the priors.
        least: standard deviation below which no residual is believed.
        scatter: standard deviation of one point, where y are means of several.
    """
    n = y.size
    precision = np.diag(1.0 / spread**2)

    def solved(variance: float, share: float) -> tuple[Array, Array, Array, Array]:
        known = np.einsum("ink,inl->ikl", x, x) * share / variance + precision
        right = np.einsum("ink,n->ik", x, y) * share / variance + precision @ centre
        covariance = np.linalg.inv(known)
        mean = np.einsum("ikl,il->ik", covariance, right)
        left = y - np.einsum("ink,ik->in", x, mean)
        off = mean - centre
        log = -0.5 * (share / variance * (left**2).sum(axis=1) + np.einsum("ik,kl,il->i", off, precision, off))
        return mean, covariance, left, log + 0.5 * np.linalg.slogdet(covariance)[1]

    left = solved((least / 2.0) ** 2, 1.0)[2]
    sizes = np.sqrt((left**2).sum(axis=1) / max(n - centre.size, 1))
    best = left[int(sizes.argmin())]
    noise = max(float(sizes.min()), least)
    together = float(np.clip(best[1:] @ best[:-1] / max(best @ best, 1e-300), 0.0, 0.9))
    share = max(n * (1.0 - together) / (1.0 + together), 3.0) / n
    mean, covariance, _, log = solved(noise**2, share)
    weight = np.exp(log - log.max())
    return Averaged(mean, covariance, weight / weight.sum(), max(noise, scatter))


def scatter(y: Array) -> float:
    """Standard deviation of one of the points y (n,), from second differences: smooth curves leave none."""
    bends = np.abs(np.diff(y, 2))
    return float(np.median(bends) / 0.6745 / math.sqrt(6.0)) if bends.size else 0.0


def thinned(x: Array, y: Array, most: int) -> tuple[Array, Array]:
    """Up to `most` means of neighbouring points."""
    if x.size <= most:
        return x, y
    parts = np.array_split(np.arange(x.size), most)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])

# SPDX-License-Identifier: Apache-2.0
"""A metric along log size: parabola, two lines and a straight line, for many resamples at once; and the sandwich.

Resamples are rows of weights, so that every resample is one small weighted regression and a thousand are one solve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.numerics.resample import bootstrap_clusters, bootstrap_rows, cluster_labels

Array = NDArray[np.float64]

EASY, HARD = 5, 2
"""Degrees of the polynomials of easy and hard questions (Wu & Lo 2024)."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """(B,) each, row 0 the rows as they are.

    Attributes:
        weights: (B, n).
        curvature: of the parabola, per squared decade. vertex: log10 of where it turns.
        slope: of one line, per decade. before, after: of the two lines that meet nowhere in particular, below and
            above the vertex of row 0.
    """

    weights: Array
    curvature: Array
    vertex: Array
    slope: Array
    before: Array
    after: Array


def weights(n: int, clusters: NDArray[np.str_] | None, base: Array | None, draws: int) -> Array:
    """(1 + draws, n) weights: the rows as they are, then resamples of rows or of whole clusters (seed 0)."""
    whole = np.ones(n) if base is None else base
    drawn = (
        bootstrap_rows(n, draws, 0, whole)
        if clusters is None
        else bootstrap_clusters(cluster_labels(clusters), draws, 0, whole)
    )
    return np.concatenate([whole[None], drawn])


def trends(x: Array, y: Array, w: Array) -> Drawn:
    """Shapes of y (n,) along x = log10 size (n,) for weights w (B, n)."""
    center = float(x.mean())
    u = x - center
    a = polynomials(u, y, w, 2)
    vertex = -a[:, 1] / (2.0 * a[:, 2]) + center
    left = x <= vertex[0]
    slope = polynomials(u, y, w, 1)[:, 1]
    before, after = (polynomials(u[s], y[s], w[:, s], 1)[:, 1] if s.any() else np.full(len(w), np.nan)
                     for s in (left, ~left))  # fmt: skip
    return Drawn(w, a[:, 2], vertex, slope, before, after)


def polynomials(u: Array, y: Array, w: Array, degree: int) -> Array:
    """(B, degree + 1) coefficients by weighted least squares; NaN where the rows of a resample do not hold them."""
    reach = float(np.abs(u).max()) or 1.0
    basis = (u / reach)[:, None] ** np.arange(degree + 1)
    normal = np.einsum("bn,ni,nj->bij", w, basis, basis)
    right = np.einsum("bn,ni->bi", w * y, basis)
    inverse = np.linalg.pinv(normal, rcond=1e-13, hermitian=True)
    rank = np.linalg.matrix_rank(normal, tol=None, hermitian=True)
    found = np.einsum("bij,bj->bi", inverse, right) / reach ** np.arange(degree + 1)
    found[rank < degree + 1] = np.nan
    return np.asarray(found)


def values(coefficients: Array, u: Array) -> Array:
    """(B, k) polynomials (B, d + 1) at u (k,)."""
    return np.asarray(coefficients @ (u[None, :] ** np.arange(coefficients.shape[1])[:, None]))


def line_at(x: Array, y: Array, w: Array, at: Array) -> Array:
    """(B, k) a straight line in log size, read at log10 sizes (k,)."""
    center = float(x.mean())
    return values(polynomials(x - center, y, w, 1), at - center)


def sandwich(x: Array, easy: Array, hard: Array, accuracy: Array, w: Array, at: Array) -> Array:
    """(B, k) accuracy forecast by slices of easy and hard questions (Wu & Lo 2024, slice and sandwich).

    A polynomial of degree five for the easy half and of degree two for the hard half, both in log compute, learned
    below the threshold; their mean, turned into accuracy by a straight line learned on the same models.

    Args:
        x: (n,) log10 compute below the threshold. easy, hard: (n,) mean scores. accuracy: (n,).
        w: (B, n). at: (k,) log10 compute asked about.
    """
    center = float(x.mean())
    u, there = x - center, at - center
    both = 0.5 * (values(polynomials(u, easy, w, EASY), there) + values(polynomials(u, hard, w, HARD), there))
    seen = 0.5 * (easy + hard)
    middle = float(seen.mean())
    found = polynomials(seen - middle, accuracy, w, 1)
    return np.asarray(found[:, :1] + found[:, 1:] * (both - middle))


def left_out(x: Array, y: Array, w: Array, clusters: NDArray[np.str_]) -> list[tuple[str, float, float]]:
    """(cluster, log10 of the turn, curvature) without each cluster in turn; `w` (n,)."""
    names = sorted({str(c) for c in clusters})
    without = np.stack([np.where(clusters == name, 0.0, w) for name in names])
    a = polynomials(x - x.mean(), y, without, 2)
    turn = -a[:, 1] / (2.0 * a[:, 2]) + x.mean()
    return [(name, float(t), float(c)) for name, t, c in zip(names, turn, a[:, 2]) if math.isfinite(c)]

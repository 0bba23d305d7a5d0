# SPDX-License-Identifier: Apache-2.0
"""Pieces for curves of one variable: many small weighted regressions at once, and where the best of them lie.

Laws of one variable become linear in most of their parameters once the logarithm is taken of what is above a floor.
A grid over the few others, one batched regression and a ranking give starts from which least squares needs few steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def regressions(columns: Array, target: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted least squares of many regressions at once.

    Args:
        columns: (m, K, n) regressors.  target: (m, n) or (n,).  weights: (m, n) or (n,), >= 0.

    Returns:
        Coefficients (m, K) and weighted sums of squared residuals (m,). A ridge of 1e-12 keeps coinciding columns
        solvable: these are starts, not estimates. Regressions that hold non-finite numbers get a sum of infinity.
    """
    m, k, n = columns.shape
    y, w = np.broadcast_to(target, (m, n)), np.broadcast_to(weights, (m, n))
    with np.errstate(all="ignore"):
        finite = np.isfinite(columns).all(axis=1) & np.isfinite(y) & np.isfinite(w)
        usable = np.asarray(finite.all(axis=1))
        x = np.where(usable[:, None, None], columns, 0.0)
        size = np.abs(x).max(axis=2, keepdims=True)
        x = x / np.where(size > 0, size, 1.0)
        y, w = np.where(usable[:, None], y, 0.0), np.where(usable[:, None], w, 0.0)
        weighted = x * w[:, None, :]
        matrix = weighted @ x.transpose(0, 2, 1)
        right = weighted @ y[:, :, None]
        index = np.arange(k)
        ridge = 1e-12 * matrix[:, index, index].max(axis=1, keepdims=True) + 1e-300
        matrix[:, index, index] += ridge
        solution = np.linalg.solve(matrix, right)[:, :, 0]
        left = y - (solution[:, None, :] @ x)[:, 0]
        total = (w * left * left).sum(axis=1)
    total = np.where(usable & np.isfinite(total), total, np.inf)
    return solution / np.where(size > 0, size, 1.0)[:, :, 0], total


def above_floor(shapes: Array, y: Array) -> tuple[Array, Array, Array]:
    """y = E + B shape by least squares of relative errors, for each of many shapes (m, n), with E > 0.

    A floor below zero moves up to a twentieth of the least y, and B follows.

    Returns:
        E, B and the sum of squared relative errors, each (m,); infinity where B is not positive.
    """
    weights = 1.0 / y**2
    found, _ = regressions(np.stack([np.ones_like(shapes), shapes], axis=1), y, weights)
    E, B = found[:, 0], found[:, 1]
    low = E <= 0
    E = np.where(low, 0.05 * y.min(), E)
    alone = ((y - E[:, None]) * shapes * weights).sum(axis=1) / (shapes**2 * weights).sum(axis=1)
    B = np.where(low, alone, B)
    left = (((E[:, None] + B[:, None] * shapes) / y - 1.0) ** 2).sum(axis=1)
    return E, B, np.where(B > 0, left, np.inf)


def spaced(x: Array, most: int) -> NDArray[np.intp]:
    """Indices of up to `most` rows, evenly spaced in the order of x (n,): enough to rank the cells of a grid."""
    order = np.argsort(x, kind="stable")
    return order if x.size <= most else order[np.linspace(0, x.size - 1, most).round().astype(np.intp)]


def power_above_floor(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """y = E + A x^-alpha: for each floor of a grid the regression of log(y - E) on log x.

    Returns:
        E, log A and alpha of the best few, each (k,).
    """
    grid = np.array([1e-6, 1e-3, 0.2, 0.4, 0.55, 0.7, 0.8, 0.87, 0.92, 0.96, 0.98, 0.99, 0.995, 0.999])
    E = float(y.min()) * grid
    over = y - E[:, None]
    columns = np.broadcast_to(np.stack([np.ones_like(y), -np.log(x)]), (E.size, 2, y.size))
    # weights that make errors of log y of errors of log(y - E)
    found, left = regressions(columns, np.log(over), (over / y) ** 2)
    chosen = best(left, np.log(y.min() - E)[:, None], 4, 0.3)
    return E[chosen], found[chosen, 0], np.maximum(found[chosen, 1], 1e-3)


def best(scores: Array, places: Array, keep: int, apart: float) -> NDArray[np.intp]:
    """Indices of up to `keep` of the lowest scores whose places (m, q) differ by more than `apart`."""
    chosen: list[int] = []
    for i in np.argsort(scores, kind="stable"):
        if not np.isfinite(scores[i]) or len(chosen) == keep:
            break
        if not chosen or (np.abs(places[chosen] - places[i]).max(axis=1) > apart).all():
            chosen.append(int(i))
    return np.array(chosen, dtype=np.intp)


def smooth(x: Array, y: Array) -> Callable[[Array], Array]:
    """Natural cubic splines through y (B, m) at one row of knots x (m,), increasing: at (B, k) gives (B, k).

    Beyond the knots the value at the end is kept. A row with a NaN is NaN throughout.
    """
    h = np.diff(x)
    m = x.size
    matrix, right = np.eye(m), np.zeros((m, m))
    inner = np.arange(1, m - 1)
    matrix[inner, inner - 1], matrix[inner, inner], matrix[inner, inner + 1] = h[:-1], 2.0 * (h[:-1] + h[1:]), h[1:]
    right[inner, inner - 1], right[inner, inner + 1] = 6.0 / h[:-1], 6.0 / h[1:]
    right[inner, inner] = -(6.0 / h[:-1] + 6.0 / h[1:])
    bend = y @ np.linalg.solve(matrix, right).T

    def at(places: Array) -> Array:
        place = np.clip(places, x[0], x[-1])
        left = np.clip(np.searchsorted(x, place, side="right") - 1, 0, m - 2)
        low_y, high_y, low, high = (
            np.take_along_axis(table, side, axis=1) for table in (y, bend) for side in (left, left + 1)
        )
        width = h[left]
        b = (place - x[left]) / width
        a = 1.0 - b
        return np.asarray(a * low_y + b * high_y + ((a**3 - a) * low + (b**3 - b) * high) * width**2 / 6.0)

    return at

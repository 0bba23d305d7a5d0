# SPDX-License-Identifier: Apache-2.0
"""Continuous piecewise-linear regression with few breaks.

A line with k breaks is linear in its level, its first slope and the k changes of slope once the places of the breaks
are known. All sets of places are compared through one Gram matrix as long as they are few; beyond, a further break is
added to the best set and places are exchanged one at a time. Gauss-Newton then moves the places off the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

PLACES = 20
"""Candidate places of a break; more levels of x are thinned evenly."""

ALL = 1200
"""Sets of places up to which all are tried."""

SEGMENT = 3
"""Levels of x that a segment must hold: a slope and one more."""

ROUNDS = 12


@dataclass(frozen=True)
class Segmented:
    """A fitted line with breaks.

    Attributes:
        breaks: (k,) places, rising.  slopes: (k + 1,).  level: value at the centre of x.
        squares: weighted sum of squared residuals.
        slope_spread: (k + 1, k + 1), and break_spread: (k,): covariance of the slopes and variances of the breaks,
            per unit of residual variance, from the linearised model.
        fitted: (n,) values.
    """

    breaks: Array
    slopes: Array
    level: float
    squares: float
    slope_spread: Array
    break_spread: Array
    fitted: Array


def segmented(x: Array, y: Array, weights: Array, most: int = 4) -> list[Segmented]:
    """The best lines with 0, 1, ... up to `most` breaks, as far as x (n,) has levels for them.

    Args:
        x: (n,).  y: (n,).  weights: (n,), positive.
        most: largest number of breaks.
    """
    levels = np.unique(x)
    centre = float(np.average(x, weights=weights))
    straight = _solved(x, y, weights, np.empty(0), centre)
    found = [straight]
    inner = levels[SEGMENT - 1 : levels.size - SEGMENT + 1]
    if inner.size == 0:
        return found
    grid = inner if inner.size <= PLACES else inner[np.linspace(0, inner.size - 1, PLACES).round().astype(int)]
    # Residuals of the straight line: sums of squares then lose no digits to a trend.
    rest = y - straight.fitted
    total = float((weights * rest * rest).sum())
    for k in range(1, min(most, (levels.size - 1) // (SEGMENT - 1) - 1) + 1):
        # What was found for one break less, off the grid, is a place too: a further break never loses by it.
        places = np.union1d(grid, found[-1].breaks)
        columns = _design(x, places, centre)
        weighted = columns * weights
        before = tuple(np.searchsorted(places, found[-1].breaks).tolist())
        chosen = _places(weighted @ columns.T, weighted @ rest, total, np.searchsorted(levels, places), k, before)
        if len(chosen) < k:
            break
        found.append(_refined(x, y, weights, places[list(chosen)], centre, levels))
    return found


def _squares(gram: Array, right: Array, total: float, sets: NDArray[np.intp]) -> Array:
    """Sums of squares (m,) of the sets (m, k) of places."""
    index = np.concatenate([np.broadcast_to([0, 1], (sets.shape[0], 2)), sets + 2], axis=1)
    matrix = gram[index[:, :, None], index[:, None, :]]
    diagonal = np.einsum("mkk->mk", matrix)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    matrix = matrix / scale[:, :, None] / scale[:, None, :] + 1e-12 * np.eye(index.shape[1])
    b = right[index] / scale
    solution = np.linalg.solve(matrix, b[:, :, None])[:, :, 0]
    return np.asarray(total - (b * solution).sum(axis=1))


def _apart(sets: NDArray[np.intp], rank: NDArray[np.intp]) -> NDArray[np.bool_]:
    return np.asarray((np.diff(rank[sets], axis=1) >= SEGMENT - 1).all(axis=1))


def _places(
    gram: Array, right: Array, total: float, rank: NDArray[np.intp], k: int, before: tuple[int, ...]
) -> tuple[int, ...]:
    m = rank.size
    if comb(m, k) <= ALL:
        sets = np.array(list(combinations(range(m), k)), dtype=np.intp).reshape(-1, k)
        sets = sets[_apart(sets, rank)]
        return tuple(sets[int(np.argmin(_squares(gram, right, total, sets)))].tolist()) if sets.size else ()
    best, value = before, np.inf
    for turn in range(1 + 4 * k):
        kept = best if turn == 0 else tuple(p for i, p in enumerate(best) if i != (turn - 1) % k)
        sets = np.array([sorted((*kept, p)) for p in range(m) if p not in kept], dtype=np.intp)
        sets = sets[_apart(sets, rank)]
        if sets.shape[0] == 0:
            return best
        squares = _squares(gram, right, total, sets)
        if squares.min() < value:
            best, value = tuple(sets[int(np.argmin(squares))].tolist()), float(squares.min())
    return best


def _design(x: Array, breaks: Array, centre: float) -> Array:
    return np.concatenate([np.stack([np.ones_like(x), x - centre]), np.maximum(x - breaks[:, None], 0.0)])


def _solved(x: Array, y: Array, w: Array, breaks: Array, centre: float) -> Segmented:
    """Least squares at given breaks, with the spread of the linearised model in which breaks move too."""
    root = np.sqrt(w)
    design = _design(x, breaks, centre)
    c = np.linalg.lstsq((design * root).T, y * root, rcond=None)[0]
    fitted = c @ design
    squares = float((w * (y - fitted) ** 2).sum())
    k = breaks.size
    moving = -c[2:, None] * (x > breaks[:, None])
    inverse = np.linalg.pinv(((full := np.concatenate([design, moving])) * w) @ full.T, rcond=1e-14, hermitian=True)
    # slope of segment j: first slope plus the changes before it
    sums = np.concatenate([np.ones((k + 1, 1)), np.tri(k + 1, k, -1)], axis=1)
    return Segmented(
        breaks=breaks,
        slopes=sums @ c[1:],
        level=float(c[0]),
        squares=squares,
        slope_spread=sums @ inverse[1 : k + 2, 1 : k + 2] @ sums.T,
        break_spread=np.diag(inverse)[k + 2 :],
        fitted=fitted,
    )


def _refined(x: Array, y: Array, w: Array, breaks: Array, centre: float, levels: Array) -> Segmented:
    """Breaks moved off the grid by Gauss-Newton steps, halved until they help (Muggeo 2003)."""
    root = np.sqrt(w)
    now, squares, k = breaks, np.inf, breaks.size
    step = np.zeros(k)
    for _ in range(ROUNDS):
        share = 1.0
        for _ in range(4):
            trial = now + share * step
            if _allowed(trial, levels):
                design = _design(x, trial, centre)
                c = np.linalg.lstsq((design * root).T, y * root, rcond=None)[0]
                value = float((w * (y - c @ design) ** 2).sum())
                if value < squares:
                    break
            share *= 0.4
        else:
            break
        gain, now, squares = squares - value, trial, value
        moving = -c[2:, None] * (x > now[:, None])
        full = np.concatenate([design, moving])
        step = np.linalg.lstsq((full * root).T, (y - c @ design) * root, rcond=1e-12)[0][k + 2 :]
        if gain < 1e-9 * squares:
            break
    return _solved(x, y, w, now, centre)


def _allowed(breaks: Array, levels: Array) -> bool:
    """Whether every segment holds SEGMENT - 1 levels beside the one that it may share."""
    ends = np.searchsorted(levels, breaks)
    counts = np.diff(np.concatenate([[0], ends, [levels.size]]))
    return bool((counts >= SEGMENT - 1).all() and (np.diff(breaks) > 0).all())

# SPDX-License-Identifier: Apache-2.0
"""Minima over shares that sum to one, each between its own bounds, for many functions at once, with a certificate.

A logarithmic barrier with Newton steps (Boyd & Vandenberghe 2004, section 11.3); where a Hessian is not positive
definite its negative curvature is reflected. The certificate is the largest decrease that the linearised function
could promise anywhere among the allowed shares (the Frank-Wolfe gap): zero exactly where the conditions of Karush,
Kuhn and Tucker hold, and for a convex function a bound on how far the value lies above the least one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InternalError, message

Array = NDArray[np.float64]
Smooth = Callable[[Array, NDArray[np.intp]], tuple[Array, Array, Array]]
"""p (k, M), which of the functions (k,) -> values (k,), gradients (k, M), Hessians (k, M, M)."""

_BARRIERS = (1e-2, 3e-4, 1e-5, 3e-7, 1e-8, 1e-10, 1e-12)  # in units of the value
_LOOSE, _TIGHT = 1e-2, 1e-6  # promised decrease at which a barrier, or the last one, is done, in units of it
_STEPS, _SHORTER, _SHORTENED = 15, 0.3, 12  # Newton steps at a barrier; a step is shortened so often at most
_ROUNDING = 1e-13  # of a value; sums over a kernel cancel as much
_WIDTH = 1e-9  # bounds that coincide are set this far apart


@dataclass(frozen=True, eq=False)
class Shares:
    """Where B functions are least.

    Attributes:
        p: (B, M) shares, NaN where a function is not finite.
        value: (B,).
        gap: (B,) the certificate, in units of the value.
    """

    p: Array
    value: Array
    gap: Array


def least_shares(
    f: Smooth, lower: Array, upper: Array, rows: int, start: Array | None = None, *, convex: bool = False
) -> Shares:
    """The minimum of each of `rows` functions over lower <= p <= upper, sum p = 1.

    Args:
        lower, upper: (M,) with sum lower < 1 < sum upper.
        start: (M,) or (B, M) shares to begin near; the middle between the bounds by default.
        convex: Hessians are known to have no negative curvature.

    Raises:
        InternalError: bounds that no shares meet.
    """
    low = np.clip(np.asarray(lower, dtype=np.float64), 0.0, 1.0)
    high = np.maximum(np.clip(np.asarray(upper, dtype=np.float64), 0.0, 1.0), low + _WIDTH)
    if not (low.sum() < 1.0 < high.sum()):
        raise InternalError(
            message(f"bounds that sum to {low.sum():.6g} and {high.sum():.6g}", "below and above one")
        )
    p = np.broadcast_to(low + (1.0 - low.sum()) / (high.sum() - low.sum()) * (high - low), (rows, low.size)).copy()
    if start is not None:
        p = 0.02 * p + 0.98 * capped(np.broadcast_to(start, p.shape), low, high)
    value, gradient, hessian = (np.array(part) for part in f(p, np.arange(rows)))
    alive = np.isfinite(value) & np.isfinite(gradient).all(axis=1)
    scale = np.where(alive, np.maximum(np.abs(value), 1e-300), 1.0)
    for barrier in _BARRIERS:
        done = _TIGHT if barrier == _BARRIERS[-1] else _LOOSE
        left = np.flatnonzero(alive)
        for _ in range(_STEPS):
            mu = barrier * scale[left]
            step, promised = _newton(p[left], low, high, gradient[left], hessian[left], mu, convex)
            moving = promised > np.maximum(done * mu, 0.1 * _ROUNDING * scale[left])
            left, step, promised, mu = left[moving], step[moving], promised[moving], mu[moving]
            if not left.size:
                break
            length, found = _searched(f, p[left], left, step, promised, low, high, mu, value[left])
            p[left] += length[:, None] * step
            value[left], gradient[left], hessian[left] = found
            left = left[length > 0.0]
    p[~alive] = np.nan
    value[~alive] = np.nan
    return Shares(p, value, gaps(p, gradient, low, high))


def gaps(p: Array, gradient: Array, lower: Array, upper: Array) -> Array:
    """(B,) the most by which gradient . q falls below gradient . p among allowed q."""
    order = np.argsort(gradient, axis=1)
    room = np.take_along_axis(np.broadcast_to(upper - lower, p.shape), order, axis=1)
    before = np.cumsum(room, axis=1) - room
    filled = np.clip(1.0 - lower.sum() - before, 0.0, room)
    least = gradient @ lower + (np.take_along_axis(gradient, order, axis=1) * filled).sum(axis=1)
    return np.asarray((gradient * p).sum(axis=1) - least)


def capped(x: Array, lower: Array, upper: Array) -> Array:
    """(B, M) the nearest shares between the bounds that sum to one: clip(x - t), t by bisection."""
    top = np.max(x - lower, axis=1, keepdims=True)
    bottom = np.min(x - upper, axis=1, keepdims=True)
    for _ in range(60):
        middle = 0.5 * (top + bottom)
        over = np.clip(x - middle, lower, upper).sum(axis=1, keepdims=True) > 1.0
        bottom, top = np.where(over, middle, bottom), np.where(over, top, middle)
    return np.asarray(np.clip(x - 0.5 * (top + bottom), lower, upper))


def _newton(
    p: Array, low: Array, high: Array, gradient: Array, hessian: Array, mu: Array, convex: bool
) -> tuple[Array, Array]:
    """(k, M) Newton steps of value - mu sum log that keep the sum, and (k,) the decrease that they promise."""
    below, above = 1.0 / (p - low), 1.0 / (high - p)
    slope = gradient + mu[:, None] * (above - below)
    # In units of each share's distance to its bounds the system is well conditioned down to the smallest barrier.
    unit = 1.0 / np.sqrt(below * below + above * above)
    inner = hessian * unit[:, :, None] * unit[:, None, :]
    if not convex:
        values, vectors = np.linalg.eigh(np.where(np.isfinite(inner), inner, 0.0))
        inner = (vectors * np.abs(values)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    diagonal = np.arange(p.shape[1])
    inner[:, diagonal, diagonal] += mu[:, None]
    solved = np.linalg.solve(inner, np.stack([slope * unit, unit], axis=2))
    multiplier = (unit * solved[:, :, 0]).sum(axis=1) / (unit * solved[:, :, 1]).sum(axis=1)
    step = -unit * (solved[:, :, 0] - multiplier[:, None] * solved[:, :, 1])
    return step, -(slope * step).sum(axis=1)


def _searched(
    f: Smooth, p: Array, which: NDArray[np.intp], step: Array, promised: Array, low: Array, high: Array, mu: Array,
    value: Array,
) -> tuple[Array, tuple[Array, Array, Array]]:  # fmt: skip
    """Backtracking: (k,) lengths of the steps, zero where none goes down, and what f is there."""

    def barrier(at: Array, mu: Array) -> Array:
        return np.asarray(-mu * (np.log(at - low) + np.log(high - at)).sum(axis=1))

    with np.errstate(divide="ignore"):
        room = np.where(step > 0, (high - p) / step, (low - p) / np.where(step < 0, step, -1e-300)).min(axis=1)
    length = np.minimum(1.0, 0.95 * room)
    here = value + barrier(p, mu)
    found = tuple(np.array(part) for part in f(p + length[:, None] * step, which))
    open_ = np.arange(len(p))
    for attempt in range(_SHORTENED + 1):
        moved = p[open_] + length[open_, None] * step[open_]
        ahead = found[0][open_] + barrier(moved, mu[open_])
        enough = here[open_] - 1e-4 * length[open_] * promised[open_] + _ROUNDING * np.abs(here[open_])
        open_ = open_[~(ahead <= enough)]
        if not open_.size:
            break
        length[open_] *= _SHORTER if attempt < _SHORTENED - 1 else 0.0
        again = f(p[open_] + length[open_, None] * step[open_], which[open_])
        for whole, part in zip(found, again):
            whole[open_] = part
    return length, (found[0], found[1], found[2])

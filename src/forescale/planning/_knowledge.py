# SPDX-License-Identifier: Apache-2.0
"""What is known about a law and what a decision needs to know: exact derivatives, information, stakes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forescale.fitting._space import Space
from forescale.fitting.surface import Surface
from forescale.numerics import jet
from forescale.planning._frontier import frontier, of_law, rows

Array = NDArray[np.float64]

DRAWS = 24
"""Parameter vectors over which a design is averaged: evenly spaced in the order of the decision that they lead to."""

WEAK = 3.0
"""Standard deviation, on the search scale, of what is known before the first run: a factor of 20 either way."""

GUESS = 0.3
"""The same for constants that come without draws and without runs: 30 %."""

_STEP = 1e-2  # in log N and log C; differences of exact derivatives, error of order alpha^2 * 1e-4 / 6


def chosen(surface: Surface, C: float, window: tuple[float, float], count: int = DRAWS) -> Surface:
    """The estimate and `count` draws that represent all: sorted by log N*(C), evenly spaced in rank.

    The order of the draws does not matter, and draws without an optimum of their own are left out.
    """
    if rows(surface) == 1:
        return surface
    N = frontier(surface, [C], window=window).N[:, 0]
    answered = 1 + np.flatnonzero(np.isfinite(N[1:]) & (N[1:] > 0))
    if answered.size == 0:
        return surface.take(slice(1))
    ordered = answered[np.argsort(N[answered], kind="stable")]
    take = np.floor((np.arange(min(count, ordered.size)) + 0.5) * ordered.size / min(count, ordered.size))
    keep = np.concatenate([[0], ordered[take.astype(int)]])
    return surface.take(keep)


def slopes(surface: Surface, N: Array, D: Array) -> tuple[Array, Array]:
    """Loss (S, K) and d log loss / d theta (S, K, P) on the search scale, at N and D of shape (K,) or (S, K)."""
    space = Space.of(surface.law)
    u = space.search(np.concatenate([surface.params[name] for name in space.names], axis=1))
    columns = of_law(surface, N, D)

    def formula(*search: object) -> object:
        values = {name: space.natural_one(p, search[p]) for p, name in enumerate(space.names)}
        return surface.law.formula(**columns, **values)

    value, jacobian = jet.value_and_jacobian(formula, u)
    with np.errstate(all="ignore"):
        relative = (jacobian / value[:, None, :]).transpose(0, 2, 1)
    return value, np.where(np.isfinite(relative), relative, 0.0)


def per_run(surface: Surface, N: Array, D: Array, sigma: float, raw: bool) -> Array:
    """(S, K, P) derivatives of one run in units of its noise: `sigma` of log loss, or of the loss itself if `raw`."""
    value, relative = slopes(surface, N, D)
    return np.asarray(relative * (value[:, :, None] if raw else 1.0) / sigma)


def bends(N: Array, D: Array, best: Array, C: float) -> Array:
    """(S, K, 3) how log loss may bend away from the law at runs (N, D), per unit of each bend.

    The law is meant where the decision is. Away from there it may be wrong by a quadratic in the decades of N and D
    from the optimum of the decision, whose coefficients nobody knows (potential terms, DuMouchel and Jones 1994):
    what cheap runs teach is trusted the less the farther they lie, however often they are repeated.
    """
    x = np.log10(N / best[:, None])
    y = np.log10(D * 6.0 * best[:, None] / C)
    return np.stack([x * x, x * y, y * y], axis=2)


def before(surface: Surface, everything: Surface, made: Array | None, bend: float = 0.0) -> Array:
    """(S, P, P) information before the next runs; (S, P + 3, P + 3) where the law may bend.

    Args:
        surface: S parameter vectors.
        everything: the estimate and all draws, which stand for the knowledge where there are no runs.
        made: (S, n, P or P + 3) scaled derivatives of the runs made so far (weights included), or None.
        bend: standard deviation of each bend.
    """
    space = Space.of(surface.law)
    count, p = rows(surface), len(space.names)
    bent = np.full(3, bend**-2.0) if bend > 0 else np.empty(0)
    if made is not None:
        prior = np.diag(np.concatenate([np.full(p, WEAK**-2.0), bent]))
        return np.asarray(prior + made.transpose(0, 2, 1) @ made)
    draws = np.concatenate([everything.params[name] for name in space.names], axis=1)[1:]
    u = space.search(draws[np.isfinite(draws).all(axis=1)])
    prior = np.eye(p) / GUESS**2
    if len(u) > 2 * p:
        ordered = u[np.lexsort(u.T)]  # sums do not depend on the order of the draws
        covariance = np.cov(ordered, rowvar=False) + 1e-12 * np.eye(p)
        prior = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    both = np.zeros((p + bent.size, p + bent.size))
    both[:p, :p] = prior
    both[p:, p:] = np.diag(bent)
    return np.broadcast_to(both, (count, *both.shape)).copy()


@dataclass(frozen=True, eq=False)
class Stakes:
    """What errors cost.

    Attributes:
        rows: (S, R, P): half the square of rows @ dtheta is what an error dtheta costs.
        sensitivity: (S, P): d log N* / d theta for the size, d log L* / d theta for the loss.
        N: (S,) the optimum of each parameter vector.
    """

    rows: Array
    sensitivity: Array
    N: Array

    def padded(self, extra: int) -> Stakes:
        """The same with parameters that do not touch the decision."""
        wide = np.pad(self.rows, ((0, 0), (0, 0), (0, extra)))
        return Stakes(wide, np.pad(self.sensitivity, ((0, 0), (0, extra))), self.N)


def of_size(surface: Surface, C: float, window: tuple[float, float]) -> Stakes:
    """Training the wrong size at C: log N* is off by g dtheta, and the share of the compute that is then lost is half
    the curvature of log loss over its slope in log C, times the square. g follows from the stationarity of the loss
    along 6ND = C, by the implicit function theorem on exact derivatives.
    """
    N = frontier(surface, [C], window=window).N
    up, down = N * math.exp(_STEP), N * math.exp(-_STEP)
    (high, slope_up), (low, slope_down) = (slopes(surface, n, C / (6.0 * n)) for n in (up, down))
    middle = slopes(surface, N, C / (6.0 * N))[0]
    with np.errstate(all="ignore"):
        curvature = (np.log(high) - 2.0 * np.log(middle) + np.log(low))[:, 0] / _STEP**2
        sensitivity = -(slope_up - slope_down)[:, 0] / (2.0 * _STEP) / curvature[:, None]
        more, less = (slopes(surface, N, C * math.exp(s) / (6.0 * N))[0][:, 0] for s in (_STEP, -_STEP))
        fall = -(np.log(more) - np.log(less)) / (2.0 * _STEP)
        weight = np.sqrt(np.maximum(curvature / fall, 0.0))
        stake = weight[:, None] * sensitivity
    return Stakes(np.where(np.isfinite(stake), stake, 0.0)[:, None, :], sensitivity, N[:, 0])


def of_loss(surface: Surface, C: Array, window: tuple[float, float]) -> Stakes:
    """The mean, over budgets C (k,), of the variance of the log loss that the optimum reaches there, halved."""
    N = frontier(surface, C, window=window).N
    relative = slopes(surface, N, C / (6.0 * N))[1]  # at an optimum the size's own error is of second order
    return Stakes(relative / math.sqrt(C.size), relative[:, -1], N[:, -1])


def sensible(stakes: Stakes) -> NDArray[np.bool_]:
    """(S,) parameter vectors whose stakes are finite and not all zero."""
    size = np.abs(stakes.rows).sum(axis=(1, 2))
    return np.asarray(np.isfinite(size) & (size > 0))


def only(surface: Surface, keep: NDArray[np.bool_]) -> Surface:
    """Some rows of a surface."""
    params: Mapping[str, Array] = {name: values[keep] for name, values in surface.params.items()}
    return replace(surface, params=params)

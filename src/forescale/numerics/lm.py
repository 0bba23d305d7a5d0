# SPDX-License-Identifier: Apache-2.0
"""Batched trust-region Levenberg-Marquardt: many small problems at once.

One problem is a parameter vector, a row of weights and (if need be) its own observations; a thousand bootstraps or
starts are one call. Problems are cut into blocks of fixed size that fit the cache; inside a block finished problems
are dropped, so the last slow one does not pay for the others. Only P x P quantities are kept between iterations.

How a step is decided: gradient and Gauss-Newton curvature in parameters scaled by the curvature's diagonal
(Marquardt 1963; scaling and its memory after More 1978), damping by the ratio of actual to predicted decrease. For
losses with a narrow quadratic zone the reweighting curvature converges linearly only, so the curvature is a mixture
of it and the loss's true second derivative, the share of the latter growing with each success. A trial with a
non-finite value or derivative is a rejected trial.

`solve` gets every problem near its optimum; `polish` (see polish.py) then certifies one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InternalError, message
from forescale.numerics.losses import Objective, Response
from forescale.numerics.polish import Certificate, polish

__all__ = ["Certificate", "Model", "Solutions", "Status", "polish", "solve"]

Array: TypeAlias = NDArray[np.float64]
Model: TypeAlias = Callable[[Array], tuple[Array, Array]]
"""theta (b, P) -> prediction (b, n) and Jacobian (b, P, n)."""

BLOCK = 64
"""Problems per block. 64 x 5 x 240 doubles are 0.6 MB: Jacobian and temporaries stay in the second-level cache."""


PATIENCE = 30
"""Iterations after which a problem is taken to follow a curved valley and steps are bent along it, at three times the
cost each. Ordinary fits are done before."""


class Status(IntEnum):
    """How a problem ended."""

    CONVERGED = 0
    ROUNDING = 1
    ITERATIONS = 2
    STALLED = 3
    NOT_FINITE = 4

    @property
    def text(self) -> str:
        """One sentence."""
        return _TEXTS[self]


_TEXTS = {
    Status.CONVERGED: "The predicted decrease of the objective is below the tolerance.",
    Status.ROUNDING: "No step lowers the objective beyond rounding.",
    Status.ITERATIONS: "The iteration limit was reached first; allow more iterations or better starts.",
    Status.STALLED: "Steps shrank to nothing although the gradient is not zero: a kink, a bound or a cliff.",
    Status.NOT_FINITE: "The formula is not finite at the start.",
}


@dataclass(frozen=True)
class Solutions:
    """What `solve` found, one entry per problem.

    Attributes:
        theta: (B, P).  objective: (B,), inf where the start was not finite.  nuisance: (B, K).
        converged: (B,) bool; True when the remaining predicted decrease, with the damping removed, is negligible.
        iterations: (B,) trial steps taken.  status: (B,) int8, values of `Status`.
        decrement: (B,) that remaining decrease relative to the objective's scale.
    """

    theta: Array
    objective: Array
    nuisance: Array
    converged: NDArray[np.bool_]
    iterations: NDArray[np.int64]
    status: NDArray[np.int8]
    decrement: Array

    @property
    def best(self) -> int:
        """Index of the smallest objective."""
        return int(np.argmin(self.objective))

    def agree(self, rtol: float = 1e-8) -> float:
        """Share of the problems whose objective is within `rtol` (relative) of the best."""
        best = float(self.objective.min())
        return float(np.mean(self.objective <= best + rtol * max(abs(best), 1e-300)))


def solve(
    model: Model,
    objective: Objective,
    data: Response,
    theta0: Array,
    weights: Array | None = None,
    *,
    max_iterations: int = 200,
    rtol: float = 1e-10,
    free: NDArray[np.bool_] | None = None,
    lower: Array | None = None,
    upper: Array | None = None,
    block: int = BLOCK,
) -> Solutions:
    """Minimise sum_i weights[b, i] * f(pred[b, i], y[b, i]) over theta[b] for every problem b.

    Args:
        model: theta (b, P) -> prediction (b, n), Jacobian (b, P, n). It sees blocks of changing size.
        data: made by `objective.response(y)`, y (n,) or (B, n).
        theta0: (B, P) starts.  weights: (B, n) or (n,), default ones.
        rtol: a problem is finished when the next step promises less than this share of the objective (for
            likelihoods: of the sum of weights).
        free: (P,) or (B, P) bool; parameters that are False keep their start (profiles).
        lower, upper: (P,) optional box; steps are clipped to it and parameters held by it are frozen for the step.
        block: problems solved together. The same block size gives the same bits, however blocks are spread over
            workers.

    Returns:
        Solutions in the order of theta0.
    """
    theta0 = np.ascontiguousarray(theta0, dtype=np.float64)
    if theta0.ndim != 2:
        raise InternalError(message(f"theta0 has shape {theta0.shape}", "(problems, parameters)"))
    problems = theta0.shape[0]
    if problems == 0:
        raise InternalError(message("no starts were given", "at least one row of theta0"))
    w = np.ones(data.rows) if weights is None else np.asarray(weights, dtype=np.float64)
    mask = np.ones(theta0.shape[1], dtype=bool) if free is None else np.asarray(free, dtype=bool)
    parts = []
    for first in range(0, problems, block):
        cut = slice(first, min(first + block, problems))
        parts.append(
            _solve_block(
                model, objective, data.take(cut), theta0[cut], w if w.ndim == 1 else w[cut],
                mask if mask.ndim == 1 else mask[cut], lower, upper, max_iterations, rtol,
            )
        )  # fmt: skip
    return Solutions(*(np.concatenate(column) for column in zip(*parts)))


@dataclass
class _Local:
    """Objective and derivatives at the current points of a block (all (b, ...))."""

    theta: Array
    value: Array
    gradient: Array
    curvature: Array  # reweighting curvature J diag(w h) J'
    sharp: Array | None  # true-curvature version, for objectives where the two differ
    nuisance: Array

    def finite(self) -> NDArray[np.bool_]:
        ok = np.isfinite(self.value) & np.isfinite(self.gradient).all(axis=1)
        ok &= np.isfinite(self.curvature).all(axis=(1, 2))
        return ok

    def select(self, rows: NDArray[np.bool_]) -> _Local:
        sharp = None if self.sharp is None else self.sharp[rows]
        return _Local(
            self.theta[rows], self.value[rows], self.gradient[rows], self.curvature[rows], sharp, self.nuisance[rows]
        )

    def update(self, rows: NDArray[np.bool_], other: _Local) -> None:
        self.theta[rows] = other.theta[rows]
        self.value[rows] = other.value[rows]
        self.gradient[rows] = other.gradient[rows]
        self.curvature[rows] = other.curvature[rows]
        self.nuisance[rows] = other.nuisance[rows]
        if self.sharp is not None and other.sharp is not None:
            self.sharp[rows] = other.sharp[rows]


_SHARPENED = frozenset({"huber", "asymmetric", "student-t", "frontier"})


def _local(
    model: Model, objective: Objective, data: Response, theta: Array, weights: Array, previous: Array | None
) -> _Local:
    with np.errstate(all="ignore"):
        pred, jac = model(theta)
        nuisance = objective.profile(pred, data, weights, previous)
        f, g, h = objective.pointwise(pred, data, nuisance)
        gradient = (jac @ (weights * g)[:, :, None])[:, :, 0]
        transposed = jac.transpose(0, 2, 1)
        curvature = (jac * (weights * h)[:, None, :]) @ transposed
        sharp = None
        if objective.kind in _SHARPENED:
            true = objective.curvature(pred, data, nuisance)
            sharp = (jac * (weights * true)[:, None, :]) @ transposed
            coupling = objective.coupling(pred, data, weights, nuisance)
            if coupling is not None:
                turned = jac @ (weights[:, :, None] * coupling.cross)
                sharp = sharp - turned @ coupling.inverse @ turned.transpose(0, 2, 1)
        return _Local(theta, (weights * f).sum(axis=1), gradient, curvature, sharp, nuisance)


def _scale_of(objective: Objective, value: Array, weights: Array) -> Array:
    if objective.likelihood:
        return np.broadcast_to(weights.sum(axis=-1), value.shape)
    return np.abs(value)


def _held(
    theta: Array, gradient: Array, free: NDArray[np.bool_], lower: Array | None, upper: Array | None
) -> NDArray[np.bool_]:
    """True where a parameter may not move: fixed, or at a bound that the gradient pushes against."""
    held = np.broadcast_to(~free, theta.shape)
    if lower is not None:
        held = held | ((theta <= lower) & (gradient > 0))
    if upper is not None:
        held = held | ((theta >= upper) & (gradient < 0))
    return held


def _steps(
    curvature: Array, gradient: Array, scale: Array, damping: Array, held: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Damped steps (b, P) and the decrease (b,) that the undamped quadratic model promises for them."""
    p = gradient.shape[1]
    inverse = np.where(held, 0.0, 1.0 / scale)
    scaled = curvature * inverse[:, :, None] * inverse[:, None, :]
    slope = gradient * inverse
    matrix = scaled.copy()
    index = np.arange(p)
    matrix[:, index, index] += damping[:, None] + held
    step = -_solve_each(matrix, slope)
    promised = -(slope * step).sum(axis=1) - 0.5 * np.einsum("bp,bpq,bq->b", step, scaled, step)
    return step * inverse, promised


def _acceleration(
    model: Model,
    objective: Objective,
    data: Response,
    weights: Array,
    now: _Local,
    step: Array,
    curvature: Array,
    scale: Array,
    damping: Array,
    held: NDArray[np.bool_],
) -> Array:
    """Half the geodesic acceleration along each step (Transtrum & Sethna 2012), zero where it would dominate."""
    h = 0.1
    with np.errstate(all="ignore"):
        pred, jac = model(now.theta)
        ahead = model(now.theta + h * step)[0]
        along = (jac.transpose(0, 2, 1) @ step[:, :, None])[:, :, 0]
        bend = 2.0 / h * ((ahead - pred) / h - along)
        rows = weights * objective.pointwise(pred, data, now.nuisance)[2] * bend
        pull = (jac @ rows[:, :, None])[:, :, 0]
        pull = np.where(np.isfinite(pull).all(axis=1, keepdims=True), pull, 0.0)
        half = 0.5 * _steps(curvature, pull, scale, damping, held)[0]
        size = np.sqrt(((half * scale) ** 2).sum(axis=1))
        allowed = np.asarray(size <= 0.375 * np.sqrt(((step * scale) ** 2).sum(axis=1)))
    return np.where(allowed[:, None], half, 0.0)


def _solve_each(matrix: Array, right: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(matrix, right[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        # One exactly singular matrix stops the whole batch; each gets its own answer then.
        out = np.zeros_like(right)
        for b in range(right.shape[0]):
            if np.isfinite(matrix[b]).all():
                out[b] = np.linalg.lstsq(matrix[b], right[b], rcond=None)[0]
        return out


def _solve_block(
    model: Model,
    objective: Objective,
    data: Response,
    theta0: Array,
    weights: Array,
    free: NDArray[np.bool_],
    lower: Array | None,
    upper: Array | None,
    max_iterations: int,
    rtol: float,
) -> tuple[Array, Array, Array, NDArray[np.bool_], NDArray[np.int64], NDArray[np.int8], Array]:
    problems, p = theta0.shape
    w = weights if weights.ndim == 2 else np.broadcast_to(weights, (problems, weights.shape[0]))
    free = np.broadcast_to(free, (problems, p))
    theta = theta0.copy() if lower is None and upper is None else np.clip(theta0, lower, upper)
    now = _local(model, objective, data, theta, w, None)

    out_theta, out_value, out_nuisance = theta.copy(), np.full(problems, np.inf), now.nuisance.copy()
    out_status = np.full(problems, Status.NOT_FINITE, dtype=np.int8)
    out_iterations = np.zeros(problems, dtype=np.int64)
    out_decrement = np.full(problems, np.inf)

    index = np.arange(problems)
    alive = now.finite()
    now, index, w, data, free = now.select(alive), index[alive], w[alive], data.take(alive.nonzero()[0]), free[alive]
    damping = np.full(index.size, 1e-3)
    blunt = np.ones(index.size)  # share of the reweighting curvature
    memory = np.zeros((index.size, p))
    for iteration in range(1, max_iterations + 1):
        if index.size == 0:
            break
        held = _held(now.theta, now.gradient, free, lower, upper)
        curvature = now.curvature
        if now.sharp is not None:
            curvature = now.sharp + blunt[:, None, None] * (now.curvature - now.sharp)
        diagonal = np.einsum("bpp->bp", now.curvature)
        memory = np.maximum(diagonal, 0.1 * memory)
        scale = np.sqrt(np.where(memory > 0, memory, 1.0))
        step, promised = _steps(curvature, now.gradient, scale, damping, held)
        if iteration > PATIENCE:
            step = step + _acceleration(model, objective, data, w, now, step, curvature, scale, damping, held)
        target = now.theta + step
        if lower is not None or upper is not None:
            target = np.clip(target, lower, upper)
        trial = _local(model, objective, data, target, w, now.nuisance)
        size = _scale_of(objective, now.value, w)
        good = trial.finite() & (promised > 0)
        actual = np.where(good, now.value - trial.value, -np.inf)
        better = actual >= 0
        ratio = actual / np.maximum(promised, 1e-300)
        small = np.abs(promised) <= rtol * size
        done = better & small & (damping <= 1.0)
        rounding = ~better & (np.abs(promised) <= 1e-14 * size)
        idle = (now.gradient * ~held == 0).all(axis=1)
        damping = np.where(ratio > 0.75, damping * 0.1, np.where(ratio > 0.25, damping * 0.5, damping * 4.0))
        damping = np.maximum(damping, 1e-12)
        blunt = np.where(better, np.maximum(blunt * 0.3, 0.02), np.minimum(blunt * 4.0, 1.0))
        now.update(better, trial)
        stalled = damping > 1e14
        finished = done | rounding | idle | stalled
        if iteration == max_iterations:
            finished = np.ones_like(finished)
        if finished.any():
            status = np.where(
                done | idle, Status.CONVERGED,
                np.where(rounding, Status.ROUNDING, np.where(stalled, Status.STALLED, Status.ITERATIONS)),
            )  # fmt: skip
            rows = index[finished]
            last = now.select(finished)
            out_theta[rows], out_value[rows], out_nuisance[rows] = last.theta, last.value, last.nuisance
            out_status[rows], out_iterations[rows] = status[finished], iteration
            out_decrement[rows] = _remaining(objective, last, w[finished], scale[finished], held[finished])
            keep = ~finished
            now, index, w, data, free = (
                now.select(keep),
                index[keep],
                w[keep],
                data.take(keep.nonzero()[0]),
                free[keep],
            )
            damping, blunt, memory = damping[keep], blunt[keep], memory[keep]
    converged = (out_decrement <= max(1e3 * rtol, 1e-8)) & (out_status != Status.NOT_FINITE)
    return out_theta, out_value, out_nuisance, converged, out_iterations, out_status, out_decrement


def _remaining(objective: Objective, last: _Local, weights: Array, scale: Array, held: NDArray[np.bool_]) -> Array:
    """Decrease that an undamped step promises, relative to the objective's scale: the honest convergence test."""
    tiny = np.full(last.value.shape, 1e-9)
    _, promised = _steps(last.curvature, last.gradient, scale, tiny, held)
    return np.asarray(np.abs(promised) / np.maximum(_scale_of(objective, last.value, weights), 1e-300))

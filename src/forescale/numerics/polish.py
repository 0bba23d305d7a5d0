# SPDX-License-Identifier: Apache-2.0
"""The certified last steps of one problem, and the certificate.

Every linear system is solved on the singular value decomposition of the column-scaled, curvature-weighted Jacobian;
J J' is never formed. In the coordinates of that decomposition (where the Gauss-Newton matrix is the identity) the
exact Hessian is

    I  replaced by  U' diag(f''/h) U  +  model's own second derivatives  -  coupling to profiled nuisance,

f'' analytic, the model's second derivatives by central differences of the exact Jacobian, the coupling by central
differences in the nuisance alone. Newton steps are taken where that matrix is positive definite, damped Gauss-Newton
steps elsewhere, until the decrease that Newton's model promises is below 1e-12 of the objective's scale and further
steps change nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InternalError, message
from forescale.numerics.linalg import ScaledSVD, scaled_svd
from forescale.numerics.losses import Objective, Response

Array: TypeAlias = NDArray[np.float64]
Model: TypeAlias = Callable[[Array], tuple[Array, Array]]

TOLERANCE = 1e-12


@dataclass(frozen=True)
class Certificate:
    """The polished optimum of one problem and the evidence that it is one.

    Attributes:
        theta: (P,).  objective: value there.  nuisance: (K,).  pred: (n,).  jac: (P, n).
        certified: one more Newton step promises less than 1e-12 of the objective's scale (or less than a tenth of its
            rounding error, for noiseless data), and the exact Hessian is positive definite.
        gradient_norm: largest cosine between the residual vector and a column of the Jacobian (0 at an optimum).
        predicted_decrease: what one more Newton step promises, relative to the objective's scale.
        condition: condition number of the column-scaled Jacobian.  rank: its numerical rank.
        smallest_eigenvalue: of the exact Hessian in Gauss-Newton coordinates: 1 = linear, <= 0 = no strict minimum.
        direction: (P,) unit vector in column-scaled parameters that the data determine least.
        hessian: (P, P) exact Hessian of the (profiled) objective in theta; rows of held parameters are NaN.
        held: (P,) bool, parameters that were fixed or ended at a bound.
        iterations: steps tried.
    """

    theta: Array
    objective: float
    nuisance: Array
    pred: Array
    jac: Array
    certified: bool
    gradient_norm: float
    predicted_decrease: float
    condition: float
    rank: int
    smallest_eigenvalue: float
    direction: Array
    hessian: Array
    held: NDArray[np.bool_]
    iterations: int


@dataclass(frozen=True)
class _Point:
    theta: Array
    value: float
    nuisance: Array
    pred: Array
    jac: Array
    g: Array
    h: Array


def polish(
    model: Model,
    objective: Objective,
    data: Response,
    theta: Array,
    weights: Array | None = None,
    *,
    free: NDArray[np.bool_] | None = None,
    lower: Array | None = None,
    upper: Array | None = None,
    max_iterations: int = 1000,
    again: bool = True,
) -> Certificate:
    """Bring one problem to its optimum, to rounding, and certify it.

    Args:
        model: theta (b, P) -> prediction (b, n), Jacobian (b, P, n).
        data: made by `objective.response(y)` with y (n,).
        theta: (P,) start; near the optimum after `solve`, but any finite start works.
        weights: (n,).  free: (P,) bool.  lower, upper: (P,) box.
        again: whether an optimum that is not certified is sought a second time, along another path.

    Raises:
        InternalError: the formula is not finite at theta.
    """
    theta = np.asarray(theta, dtype=np.float64)
    w = np.ones(data.rows) if weights is None else np.asarray(weights, dtype=np.float64)
    mask = np.ones(theta.size, dtype=bool) if free is None else np.asarray(free, dtype=bool)
    box = (
        np.full(theta.size, -np.inf) if lower is None else np.asarray(lower, dtype=np.float64),
        np.full(theta.size, np.inf) if upper is None else np.asarray(upper, dtype=np.float64),
    )
    problem = _Problem(model, objective, data, w)
    now = problem.at(np.clip(theta, *box), None)
    if now is None:
        raise InternalError(message("the formula is not finite at the start of the polish", "a finite prediction"))
    # A far start can be drawn into a degenerate valley by one path and not by the other.
    best = _certificate(problem, *_descend(problem, now, mask, box, max_iterations, True), mask, box)
    if again and not best.certified:
        other = _certificate(problem, *_descend(problem, now, mask, box, max_iterations, False), mask, box)
        margin = 1e-9 * problem.size(now) if other.certified else 0.0
        if other.objective < best.objective + margin:
            best = other
    return best


def _descend(
    problem: _Problem,
    now: _Point,
    mask: NDArray[np.bool_],
    box: tuple[Array, Array],
    max_iterations: int,
    accelerate: bool,
) -> tuple[_Point, int]:
    """Trust-region Gauss-Newton, then Newton, until rounding; returns the last point and the steps tried."""
    w = problem.weights
    count, last_norm, newton = 0, np.inf, False
    memory = np.zeros(now.theta.size)
    radius = 0.0
    while count < max_iterations:
        count += 1
        active = np.flatnonzero(~problem.held(now, mask, box))
        if active.size == 0:
            break
        # Column norms that never fall (More 1978): a parameter that has lost its influence may not run away.
        norms = np.sqrt((now.jac[active] ** 2 * (w * now.h)).sum(axis=1))
        memory[active] = np.maximum(norms, memory[active])
        memory[active] = np.where(memory[active] > 0, memory[active], 1.0)
        if radius == 0.0:
            radius = float(np.sqrt(((memory * now.theta)[active] ** 2).sum())) or 1.0
        f = scaled_svd(now.jac[active], w * now.h, memory[active])
        slope = problem.slope(now, f)
        norm = float(np.sqrt((slope * slope).sum()))
        size = problem.size(now)
        if norm == 0.0:
            break
        if newton:
            step, promised = _newton_step(problem, now, active, f, slope)
            settled = promised <= max(TOLERANCE * size, problem.noise(now))
            if step is not None and (settled or np.sqrt(((f.scale * step) ** 2).sum()) <= radius):
                if settled and norm >= 0.3 * last_norm:
                    break  # Newton steps no longer shrink the gradient: rounding
                trial = problem.at(_moved(now, active, step, box), now.nuisance)
                last_norm = norm if settled else np.inf
                if trial is not None and (trial.value < now.value - 0.1 * promised or settled):
                    now = trial
                    continue
        step, promised, length, damping = _trust_step(f, slope, radius)
        if accelerate and promised > 1e-6 * size:
            half = _acceleration(problem, now, active, f, step, damping)
            if half is None:
                # The valley bends within the step: a shorter one, or a parameter may evaporate to infinity.
                radius = 0.3 * length
                continue
            step = step + half
        trial = problem.at(_moved(now, active, step, box), now.nuisance)
        ratio = -1.0 if trial is None else (now.value - trial.value) / max(promised, 1e-300)
        if ratio < 0.25:
            radius = 0.25 * length
        elif ratio > 0.75 and length > 0.95 * radius:
            radius *= 2.0
        if trial is not None and ratio > 0:
            newton = now.value - trial.value < 0.1 * abs(size)
            now = trial
        elif promised <= problem.noise(now) or radius < 1e-15 * float(
            np.sqrt(((memory * now.theta)[active] ** 2).sum())
        ):
            if newton:
                break
            newton, radius = True, 4.0 * length
    return now, count


@dataclass(frozen=True)
class _Problem:
    model: Model
    objective: Objective
    data: Response
    weights: Array

    def at(self, theta: Array, previous: Array | None) -> _Point | None:
        with np.errstate(all="ignore"):
            pred, jac = self.model(theta[None])
            head = None if previous is None else previous[None]
            nuisance = self.objective.profile(pred, self.data, self.weights, head)
            f, g, h = self.objective.pointwise(pred, self.data, nuisance)
            value = float((self.weights * f[0]).sum())
        if not (np.isfinite(value) and np.isfinite(jac).all() and np.isfinite(g).all() and np.isfinite(h).all()):
            return None
        return _Point(theta, value, nuisance[0], pred[0], jac[0], np.asarray(g[0]), np.asarray(h[0]))

    def size(self, point: _Point) -> float:
        return float(self.weights.sum()) if self.objective.likelihood else abs(point.value)

    def noise(self, point: _Point) -> float:
        """Rounding error of the objective: what a few eps in each prediction, and one in the sum, make of it."""
        eps = np.finfo(np.float64).eps
        error = 4.0 * eps * np.abs(point.pred)
        first = np.sqrt(((self.weights * point.g * error) ** 2).sum())
        return float(first + 0.5 * (self.weights * point.h * error**2).sum() + eps * abs(point.value))

    def slope(self, point: _Point, f: ScaledSVD) -> Array:
        """Gradient in the coordinates of the factors: U' times the curvature-weighted residuals."""
        return np.asarray(f.u.T @ (np.sqrt(self.weights / np.where(point.h > 0, point.h, 1.0)) * point.g))

    def held(self, point: _Point, mask: NDArray[np.bool_], box: tuple[Array, Array]) -> NDArray[np.bool_]:
        """Fixed parameters, and those at a bound that the gradient pushes against."""
        gradient = point.jac @ (self.weights * point.g)
        return ~mask | ((point.theta <= box[0]) & (gradient > 0)) | ((point.theta >= box[1]) & (gradient < 0))


def _moved(now: _Point, active: NDArray[np.intp], step: Array, box: tuple[Array, Array]) -> Array:
    theta = now.theta.copy()
    theta[active] += step
    return np.clip(theta, *box)


def _trust_step(f: ScaledSVD, slope: Array, radius: float) -> tuple[Array, float, float, float]:
    """The best Gauss-Newton step of scaled length at most `radius`: step, promised decrease, length, damping."""
    usable = f.s > 1e-15 * f.s[0]

    def inner(damping: float) -> Array:
        return np.where(usable, f.s / np.where(usable, f.s * f.s + damping, 1.0), 0.0) * slope

    def length(damping: float) -> float:
        return float(np.sqrt((inner(damping) ** 2).sum()))

    damping = 0.0
    if length(0.0) > radius:
        # The length falls with the damping, which lies below |J' r| / radius.
        low, high = 1e-18 * f.s[0] ** 2, float(np.sqrt(((f.s * slope) ** 2).sum())) / radius
        for _ in range(60):
            damping = float(np.sqrt(low * high))
            reached = length(damping)
            if abs(reached - radius) <= 0.01 * radius:
                break
            low, high = (damping, high) if reached > radius else (low, damping)
    solution = -inner(damping)
    image = f.s * solution
    promised = -float(slope @ image) - 0.5 * float(image @ image)
    return (f.vt.T @ solution) / f.scale, promised, length(damping), damping


def _acceleration(
    problem: _Problem, now: _Point, active: NDArray[np.intp], f: ScaledSVD, step: Array, damping: float
) -> Array | None:
    """Half the geodesic acceleration along a step (Transtrum & Sethna 2012), None where it would dominate the step.

    It follows a curved valley for one more evaluation instead of hundreds of short steps.
    """
    h = 0.1
    theta = now.theta.copy()
    theta[active] += h * step
    with np.errstate(all="ignore"):
        ahead = problem.model(theta[None])[0][0]
        bend = 2.0 / h * ((ahead - now.pred) / h - now.jac[active].T @ step)
        turned = f.u.T @ (np.sqrt(problem.weights * now.h) * bend)
        half = -0.5 * (f.vt.T @ (f.s / (f.s * f.s + damping + 1e-18 * f.s[0] ** 2) * turned)) / f.scale
        size = float(np.sqrt(((f.scale * half) ** 2).sum()))
    return half if size <= 0.375 * float(np.sqrt(((f.scale * step) ** 2).sum())) else None


def _newton_step(
    problem: _Problem, now: _Point, active: NDArray[np.intp], f: ScaledSVD, slope: Array
) -> tuple[Array | None, float]:
    if f.rank < active.size:
        return None, np.inf
    hessian = _exact_hessian(problem, now, active, f)
    values, vectors = np.linalg.eigh(hessian)
    if not values[0] > 1e-10 * max(values[-1], 0.0):
        return None, np.inf
    turned = vectors.T @ slope
    inner = -vectors @ (turned / values)
    return f.precision_root() @ inner, 0.5 * float((turned * turned / values).sum())


def _exact_hessian(problem: _Problem, now: _Point, active: NDArray[np.intp], f: ScaledSVD) -> Array:
    """Hessian of the profiled objective in the coordinates where the Gauss-Newton matrix is the identity."""
    w, o = problem.weights, problem.objective
    pred, nuisance = now.pred[None], now.nuisance[None]
    true = o.curvature(pred, problem.data, nuisance)[0]
    h = np.where(now.h > 0, now.h, 1.0)
    u, root = f.u[:, : f.rank], f.precision_root()
    hessian = (u * np.where(now.h > 0, true / h, 0.0)[:, None]).T @ u
    second = _model_second(problem, now, active, f)
    if second is not None:
        hessian += root.T @ second @ root
    coupling = o.coupling(pred, problem.data, w[None], nuisance)
    if coupling is not None:
        a = root.T @ (now.jac[active] @ (w[:, None] * coupling.cross[0]))
        hessian -= a @ coupling.inverse[0] @ a.T
    elif o.nuisance:
        delta = 1e-5 * now.nuisance[0]
        up, down = nuisance + delta, nuisance - delta
        cross = (o.pointwise(pred, problem.data, up)[1] - o.pointwise(pred, problem.data, down)[1])[0] / (2.0 * delta)
        wide = 1e-3 * now.nuisance[0]
        values = [float((w * o.pointwise(pred, problem.data, nuisance + k * wide)[0][0]).sum()) for k in (-1, 0, 1)]
        bend = (values[0] - 2.0 * values[1] + values[2]) / (wide * wide)
        if bend > 0 and np.isfinite(cross).all():
            a = root.T @ (now.jac[active] @ (w * cross))
            hessian -= np.outer(a, a) / bend
    return np.asarray(0.5 * (hessian + hessian.T))


def _model_second(problem: _Problem, now: _Point, active: NDArray[np.intp], f: ScaledSVD) -> Array | None:
    """sum_i w g d2pred_i, by central differences of the exact Jacobian; None where a neighbour is not finite."""
    unit = np.sqrt(max(problem.size(now), 1e-300)) / f.scale
    typical = np.maximum(np.abs(now.theta[active]), np.minimum(unit, 1.0))
    step = np.cbrt(np.finfo(np.float64).eps) * typical
    points = np.repeat(now.theta[None], 2 * active.size, axis=0)
    rows = np.arange(active.size)
    points[rows, active] += step
    points[active.size + rows, active] -= step
    with np.errstate(all="ignore"):
        jac = problem.model(points)[1][:, active] @ (problem.weights * now.g)
    if not np.isfinite(jac).all():
        return None
    width = points[rows, active] - points[active.size + rows, active]
    second = (jac[: active.size] - jac[active.size :]) / width[:, None]
    return np.asarray(0.5 * (second + second.T))


def _certificate(
    problem: _Problem, now: _Point, count: int, mask: NDArray[np.bool_], box: tuple[Array, Array]
) -> Certificate:
    w = problem.weights
    held = problem.held(now, mask, box)
    active = np.flatnonzero(~held)
    p = now.theta.size
    full = np.full((p, p), np.nan)
    if active.size == 0:
        return Certificate(
            now.theta, now.value, now.nuisance, now.pred, now.jac, True, 0.0, 0.0, 1.0, 0, np.inf, np.zeros(p), full,
            held, count,
        )  # fmt: skip
    f = scaled_svd(now.jac[active], w * now.h)
    residual = np.sqrt(w / np.where(now.h > 0, now.h, 1.0)) * now.g
    slope = f.u.T @ residual
    length = float(np.sqrt((residual * residual).sum()))
    columns = f.vt.T @ (f.s * slope)
    cosine = float(np.abs(columns).max()) / length if length > 0 else 0.0
    hessian = _exact_hessian(problem, now, active, f)
    values, vectors = np.linalg.eigh(hessian)
    # Where no free parameter moves the model (rank 0), there is no curvature, and nothing is certified.
    kept = values > 1e-10 * max(float(values[-1]), 0.0) if values.size else np.zeros(0, dtype=bool)
    turned = vectors.T @ slope[: f.rank]
    promised = 0.5 * float((turned[kept] ** 2 / values[kept]).sum())
    size = problem.size(now)
    relative = promised / max(size, 1e-300)
    # J in scaled coordinates is (vt.T * s) u': its inverse turns the coordinates back into theta.
    back = f.scale[:, None] * (f.vt[: f.rank].T * f.s[: f.rank])
    full[np.ix_(active, active)] = back @ hessian @ back.T
    direction = np.zeros(p)
    direction[active] = f.weakest
    lowest = float(values[0]) if values.size else 0.0
    smallest = lowest if f.rank == active.size else min(lowest, 0.0)
    settled = promised <= max(TOLERANCE * size, 0.1 * problem.noise(now))
    certified = bool(settled and kept.all() and f.rank == active.size)
    return Certificate(
        now.theta, now.value, now.nuisance, now.pred, now.jac, certified, cosine, relative, f.condition, f.rank,
        smallest, direction, full, held, count,
    )  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
"""Where the search for the optimum starts: boxes for the nonlinear parameters, variable projection for the rest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import RefusedError, message
from forescale.fitting._problem import Problem
from forescale.laws import Parameter
from forescale.numerics import jet, lm, starts, varpro
from forescale.numerics.starts import Box

Array = NDArray[np.float64]

PLAIN = ("squared", "gaussian")
"""Kinds of objective that outliers pull."""

CLEANED = 4
"""How often a law is asked for starts when they do not."""

APART = 0.04
"""Two candidates are distinct when they differ by this share of a start box in some coordinate."""


def candidates(problem: Problem, keep: int, count: int | None) -> tuple[Array, int]:
    """The best distinct starts (K, P) on the search scale, best first, and how many points were scored.

    Raises:
        RefusedError: the law is finite at no point of the search.
    """
    scouts = problem.objective.scouts
    if scouts:
        each = max(keep // (2 * len(scouts)), 1)
        found = [_scouted(replace(problem, objective=o), each, count) for o in scouts]
        return np.concatenate([starts for starts, _ in found]), sum(tried for _, tried in found)
    law, space = problem.law, problem.space
    if count is None and (known := _known(problem)).shape[0]:
        return known[:keep], known.shape[0]
    linear = np.array([name in law.linear for name in law.names])
    where = [box_of(law.params[name], problem) for name, is_linear in zip(law.names, linear) if not is_linear]
    dimension = len(where)
    scored = count or (1 if dimension == 0 else min(256 * 2 ** max(dimension - 2, 0), 2048))
    points = starts.sample(where, scored) if dimension else np.empty((1, 0))
    pool = min(8 * keep, points.shape[0])
    natural = np.empty((0, len(law.names)))
    if linear.any():
        basis = varpro.linear_basis(_natural_formula(problem), linear)
        floor_at_zero = np.array([p.lower >= 0.0 for name, p in law.params.items() if name in law.linear])
        ranked = varpro.search(
            basis, problem.objective, problem.response, problem.weights, points,
            nonnegative=floor_at_zero, keep=pool, coarse=3, fine=6,
        )  # fmt: skip
        natural = np.empty((ranked.objective.size, linear.size))
        natural[:, ~linear] = ranked.nonlinear
        natural[:, linear] = _inside(problem, basis, ranked, linear)
        nonlinear = ranked.nonlinear
    else:
        values = []
        for first in range(0, points.shape[0], 256):
            u = space.search(points[first : first + 256])
            values.append(problem.value(u))
        value = np.concatenate(values)
        order = np.argsort(np.where(np.isfinite(value), value, np.inf), kind="stable")[:pool]
        order = order[np.isfinite(value[order])]
        natural = nonlinear = points[order]
    if natural.shape[0] == 0:
        raise RefusedError(
            message(
                f"the law {law.id!r} gives no finite prediction at any of {scored} starts on these rows",
                "inputs in the units that the law is written for",
                "check the columns " + ", ".join(law.inputs),
            )
        )
    chosen = _distinct(nonlinear, where, keep)
    return space.search(natural[chosen]), scored


def _known(problem: Problem) -> Array:
    """The law's own starts (K, P) on the search scale, as far as they are finite; empty where it has none."""
    law, nothing = problem.law, np.empty((0, len(problem.law.names)))
    y = problem.response.target if problem.response.trials is not None else problem.response.y
    columns = [problem.columns[name] for name in law.inputs]
    # Weights of a mixture may be zero, and starts of such laws know it; of anything else they take the logarithm.
    impossible = [(x < 0) if name in law.absolute else (x <= 0) for name, x in zip(law.inputs, columns)]
    if law.starts is None or any(bad.any() for bad in (*impossible, y <= 0)):
        return nothing
    along = [] if law.schedule is None else [problem.columns[law.schedule]]
    starts, rows = [], np.ones(y.size, dtype=bool)
    for _ in range(1 if problem.objective.kind in PLAIN else CLEANED):
        with np.errstate(all="ignore"):
            found = law.starts(*(values[rows] for values in (*columns, *along)), y[rows])
        if any(name not in found for name in law.names):
            return nothing
        u = problem.space.search(np.stack([found[name] for name in law.names], axis=-1))
        u = np.clip(u, problem.lower, problem.upper)
        u = u[np.isfinite(u).all(axis=1) & np.isfinite(problem.value(u))]
        starts.append(u)
        if u.shape[0] == 0:
            break
        # Regressions follow outliers, robust losses do not: once more without the rows that lie far off.
        with np.errstate(all="ignore"):
            off = np.abs(np.log(problem.predict(u[np.argmin(problem.value(u))][None])[0]) - np.log(y))
        near = off <= 4.5 * np.median(off) + 1e-12
        if near.sum() < len(law.names) + 2 or (near == rows).all():
            break
        rows = near
    return np.concatenate(starts)


def _scouted(problem: Problem, keep: int, count: int | None) -> tuple[Array, int]:
    """Starts ranked by a cheaper objective and brought to its optimum, each from its own place: from afar, outliers
    draw the dear objective into a basin of wide noise, and its iterations cost several times as much."""
    found, tried = candidates(problem, keep, count)
    refined = lm.solve(
        problem.predict_and_jacobian, problem.objective, problem.response, found, problem.weights,
        max_iterations=60, lower=problem.lower, upper=problem.upper,
    )  # fmt: skip
    return np.where(np.isfinite(refined.objective)[:, None], refined.theta, found), tried


def box_of(parameter: Parameter, problem: Problem) -> Box:
    """The start box of one nonlinear parameter: the law's own, else from its kind and the data."""
    positive = parameter.lower >= 0.0
    if parameter.start is not None:
        low, high = parameter.start
        if parameter.kind in ("location", "break"):
            least, largest = _input_range(problem)
            low, high = min(low, least), max(high, largest)
        return Box(low, high, "log" if positive and low > 0 and high / low > 3.0 else "linear")
    if math.isfinite(parameter.lower) and math.isfinite(parameter.upper):
        width = parameter.upper - parameter.lower
        return Box(parameter.lower + 0.02 * width, parameter.upper - 0.02 * width)
    if parameter.kind == "break":
        return Box(*_input_range(problem), "log")
    if parameter.kind == "location":
        least, largest = _input_range(problem)
        return Box(1e-2 * least, 1e2 * largest, "log")
    if parameter.kind == "exponent":
        return Box(0.02, 2.0, "log") if positive else Box(-2.0, 2.0)
    if positive:
        # An amplitude inside a nonlinear expression carries unknown units: many decades, and many points.
        return Box(1e-6, 1e12, "log")
    return Box(-10.0, 10.0)


def _input_range(problem: Problem) -> tuple[float, float]:
    values = np.concatenate([np.abs(problem.columns[name]) for name in problem.law.inputs])
    values = values[values > 0]
    return (float(values.min()), float(values.max())) if values.size else (1.0, 1.0)


def _natural_formula(problem: Problem) -> jet.Formula:
    names = problem.law.names

    def formula(*theta: object) -> object:
        return problem.law.formula(**problem.columns, **dict(zip(names, theta)))

    return formula


def _inside(problem: Problem, basis: varpro.Basis, ranked: varpro.Candidates, linear: NDArray[np.bool_]) -> Array:
    """Linear parameters moved off the edge of their support: a coefficient projected to zero has no logarithm, and
    gets one percent of the response instead."""
    out = ranked.linear.copy()
    columns, _ = basis(ranked.nonlinear)
    with np.errstate(all="ignore"):
        size = np.abs(columns).max(axis=2)
        typical = 0.01 * float(np.median(np.abs(problem.response.target if problem.response.trials is not None
                                                else problem.response.y)) or 1.0)  # fmt: skip
        small = np.where(size > 0, typical / size, 1.0)
    params = [p for name, p in problem.law.params.items() if name in problem.law.linear]
    for k, parameter in enumerate(params):
        if math.isfinite(parameter.lower):
            out[:, k] = np.maximum(out[:, k], parameter.lower + small[:, k])
        if math.isfinite(parameter.upper):
            width = parameter.upper - parameter.lower if math.isfinite(parameter.lower) else 1.0
            out[:, k] = np.minimum(out[:, k], parameter.upper - 1e-3 * width)
    return out


def _distinct(nonlinear: Array, boxes: list[Box], keep: int) -> NDArray[np.intp]:
    """Indices of up to `keep` rows, best first, that lie apart; near copies fill up what is left."""
    m = nonlinear.shape[0]
    if m <= keep:
        return np.arange(m)
    low = np.array([box.low for box in boxes])
    high = np.array([box.high for box in boxes])
    logs = np.array([box.spacing == "log" for box in boxes])
    with np.errstate(all="ignore"):
        spread = np.where(logs, np.log(high / np.where(logs, low, 1.0)), high - low)
        place = np.where(logs, np.log(np.where(logs, nonlinear, 1.0)), nonlinear) / np.where(spread > 0, spread, 1.0)
    chosen: list[int] = []
    for i in range(m):
        if all(np.abs(place[i] - place[j]).max() > APART for j in chosen):
            chosen.append(i)
            if len(chosen) == keep:
                break
    spare = [i for i in range(m) if i not in set(chosen)]
    return np.array([*chosen, *spare[: keep - len(chosen)]], dtype=np.intp)

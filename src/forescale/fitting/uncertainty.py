# SPDX-License-Identifier: Apache-2.0
"""Profile-likelihood intervals and curves: how much worse the best fit becomes when one parameter is held elsewhere.

All parameters and sides are one batch. The objective is measured in units in which its curvature is that of the
sandwich covariance, so that profiles and Wald intervals agree where the objective is a parabola. A side on which the
objective levels off before it reaches the cut is open: the rows do not bound the parameter there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import RefusedError, message
from forescale.core.frozen import Frozen
from forescale.fitting._covariance import bread, following
from forescale.fitting._problem import Problem
from forescale.fitting._tails import t_quantile
from forescale.numerics import linalg, lm

if TYPE_CHECKING:
    from forescale.fitting._fit import Fit

Array = NDArray[np.float64]


WALLS = 4
"""How often a side may go on behind a jump of the objective that the solver, not the law, has made."""


@dataclass(frozen=True, eq=False)
class Profile:
    """The profile likelihood of one parameter.

    Attributes:
        values: (m,) in natural units, increasing on the search scale, the estimate among them.
        deviance: (m,) how much worse the best fit becomes, in chi-square units of the sandwich.
        cut: t quantile squared; the interval is where the deviance lies below.
        interval: its ends; an end of the support where the deviance never reaches the cut.
    """

    name: str
    values: Array
    deviance: Array
    cut: float
    interval: tuple[float, float]


def profiles(fit: Fit, names: tuple[str, ...] | None = None, level: float | None = None) -> dict[str, Profile]:
    """Profile-likelihood intervals of some parameters (default all).

    For each side of each parameter the value is sought at which the objective, minimised over all other parameters,
    has risen by t^2 / 2 in units in which its curvature is the sandwich's. All sides are one batch. A side on which
    the objective levels off before is open: its end is the end of the support (0 or infinity).

    Raises:
        RefusedError: a fit without rows, or one whose covariance is not known.
    """
    from forescale.fitting.estimate import problem_of

    problem = problem_of(fit)
    space = problem.space
    level = fit.level if level is None else level
    chosen = space.names if names is None else names
    u0 = space.search(space.vector(fit.params))
    sd = np.sqrt(np.diag(fit.covariance))
    index = [space.names.index(name) for name in chosen]
    threshold = t_quantile(level, fit.df)
    if not math.isfinite(threshold):
        raise RefusedError(message("profile intervals of a fit with too few rows", "n >= P + 2 rows", "more runs"))
    base = float(problem.value(u0[None])[0])
    unit = deviance_units(problem, u0, fit.covariance)
    sides = [(p, sign) for p in index for sign in (-1.0, 1.0)]
    bottom = problem.lower - 50.0  # profiles of a floor at its bound walk below it
    start = np.where(np.isfinite(sd) & (sd > 0), np.minimum(sd, 1.0), 0.1)
    traces = {side: [(0.0, 0.0)] for side in sides}
    warm = {side: u0.copy() for side in sides}
    inner = dict.fromkeys(sides, 0.0)
    outer = dict.fromkeys(sides, math.inf)
    step = {side: threshold * float(start[side[0]]) for side in sides}
    open_sides: set[tuple[int, float]] = set()
    active = list(sides)
    walls = dict.fromkeys(sides, 0)
    for _ in range(60):
        if not active:
            break
        # Two starts for each trial: the last good point with one parameter moved, and the path to it carried on.
        theta0 = np.stack(
            [warm[side] for side in active] + [_ahead(fit, u0, warm[s], inner[s], step[s], s) for s in active]
        )
        free = np.ones(theta0.shape, dtype=bool)
        for row, (p, sign) in enumerate((*active, *active)):
            theta0[row, p] = u0[p] + sign * step[(p, sign)]
            free[row, p] = False
        both = lm.solve(
            problem.predict_and_jacobian, problem.objective, problem.response, theta0, problem.weights,
            free=free, max_iterations=100, lower=bottom,
        )  # fmt: skip
        values = np.where(np.isfinite(both.objective), both.objective, np.inf).reshape(2, len(active))
        better = values.argmin(axis=0)
        objective = values.min(axis=0)
        theta = both.theta.reshape(2, len(active), -1)[better, np.arange(len(active))]
        still = []
        for row, side in enumerate(active):
            p, sign = side
            rise = max(float(objective[row]) - base, 0.0)
            z = math.sqrt(2.0 * rise * unit[p]) if math.isfinite(rise) else math.inf
            distance = step[side]
            traces[side].append((distance, z))
            if z < threshold:
                inner[side] = max(inner[side], distance)
                if math.isfinite(objective[row]):
                    warm[side] = theta[row]
            else:
                outer[side] = min(outer[side], distance)
            if abs(z - threshold) < 1e-3 * threshold:
                continue
            if math.isinf(outer[side]):
                if distance > 60.0 * max(1.0, threshold) or (space.scale_of(p) != "line" and distance > 60.0):
                    open_sides.add(side)
                    continue
                step[side] = distance * 2.0
            elif outer[side] - inner[side] < 1e-4 * outer[side]:
                if walls[side] == WALLS or dict(traces[side])[inner[side]] > 0.97 * threshold:
                    continue
                # A jump is no crossing: a trial too far out ended in another basin. On from here in small steps.
                walls[side] += 1
                traces[side] = [pair for pair in traces[side] if pair[0] <= inner[side]]
                outer[side] = math.inf
                step[side] = 1.02 * inner[side]
            else:
                step[side] = _between(traces[side], inner[side], outer[side], threshold)
            still.append(side)
        active = still
    out: dict[str, Profile] = {}
    for p, name in zip(index, chosen):
        ends = []
        for sign in (-1.0, 1.0):
            side = (p, sign)
            if side in open_sides:
                ends.append(space.lower[p] if sign < 0 else space.upper[p])
            else:
                at = u0.copy()
                at[p] += sign * _crossing(traces[side], threshold)
                ends.append(float(space.natural(at)[p]))
        points = sorted(
            [(-d, z) for d, z in traces[(p, -1.0)] if math.isfinite(z)]
            + [(d, z) for d, z in traces[(p, 1.0)][1:] if math.isfinite(z)]
        )
        grid = np.tile(u0, (len(points), 1))
        grid[:, p] += np.array([d for d, _ in points])
        deviance = np.array([z for _, z in points]) ** 2
        out[name] = Profile(name, space.natural(grid)[:, p], deviance, threshold**2, (min(ends), max(ends)))
    return out


def profile_curves(fit: Fit, names: tuple[str, ...] | None = None) -> dict[str, Profile]:
    """The profiles on an even grid out to 1.7 times their intervals, for charts: 33 points each, one batch."""
    from forescale.fitting.estimate import problem_of

    found = profiles(fit, names)
    problem = problem_of(fit)
    space = problem.space
    u0 = space.search(space.vector(fit.params))
    base = float(problem.value(u0[None])[0])
    unit = deviance_units(problem, u0, fit.covariance)
    steps = np.linspace(-1.7, 1.7, 33)
    grids = []
    for name, profile in found.items():
        p = space.names.index(name)
        ends = []
        for end, beside in zip(profile.interval, (profile.values[0], profile.values[-1])):
            inside = end if np.isfinite(end) and space.lower[p] < end < space.upper[p] else beside
            one = space.vector(fit.params)
            one[p] = inside
            ends.append(abs(float(space.search(one)[p]) - float(u0[p])))
        grid = np.tile(u0, (steps.size, 1))
        grid[:, p] += np.where(steps < 0, steps * ends[0], steps * ends[1])
        grids.append(grid)
    theta0 = np.concatenate(grids)
    free = np.ones(theta0.shape, dtype=bool)
    for i, name in enumerate(found):
        free[i * steps.size : (i + 1) * steps.size, space.names.index(name)] = False
    solved = lm.solve(
        problem.predict_and_jacobian, problem.objective, problem.response, theta0, problem.weights,
        free=free, max_iterations=100,
    )  # fmt: skip
    out: dict[str, Profile] = {}
    for i, (name, profile) in enumerate(found.items()):
        p = space.names.index(name)
        rows = slice(i * steps.size, (i + 1) * steps.size)
        with np.errstate(all="ignore"):
            deviance = 2.0 * np.maximum(solved.objective[rows] - base, 0.0) * unit[p]
        good = np.isfinite(deviance)
        values = space.natural(theta0[rows])[:, p]
        out[name] = replace(profile, values=values[good], deviance=deviance[good])
    return out


def deviance_units(problem: Problem, u: Array, covariance: Array) -> Array:
    """(P,) factor that turns a rise of the objective along a profile into half a chi-square of the sandwich."""
    pred, jacobian = problem.predict_and_jacobian(u[None])
    nuisance = problem.objective.profile(pred, problem.response, problem.weights)
    with np.errstate(all="ignore"):
        curvature = (problem.weights * bread(problem, pred, nuisance))[0]
    followed = following(problem, pred, nuisance, jacobian[0], curvature)
    if followed is None:
        plain = linalg.covariance(jacobian[0], np.maximum(curvature, 0.0)).matrix
    else:
        plain = np.asarray(np.linalg.inv(followed[0]), dtype=np.float64)
    with np.errstate(all="ignore"):
        ratio = np.diag(plain) / np.diag(covariance)
    return np.where(np.isfinite(ratio) & (ratio > 0), ratio, 1.0)


def _ahead(fit: Fit, u0: Array, warm: Array, reached: float, step: float, side: tuple[int, float]) -> Array:
    """(P,) the other parameters where the path of the profile leads: on through the last good point, or at first
    along the regression of the others on the one that is held."""
    p, sign = side
    out: Array
    with np.errstate(all="ignore"):
        if reached > 0:
            out = u0 + (warm - u0) * (step / reached)
        else:
            out = u0 + sign * step * fit.covariance[:, p] / fit.covariance[p, p]
    return np.asarray(np.where(np.isfinite(out), np.clip(out, warm - 20.0, warm + 20.0), warm))


def _between(trace: list[tuple[float, float]], inner: float, outer: float, threshold: float) -> float:
    """Next trial distance: linear interpolation of z in distance, kept off the ends of the bracket."""
    z = dict(trace)
    low, high = z[inner], z[outer]
    share = (threshold - low) / (high - low) if math.isfinite(high) and high > low else 0.5
    return inner + (outer - inner) * min(max(share, 0.05), 0.95)


def _crossing(trace: list[tuple[float, float]], threshold: float) -> float:
    points = sorted(trace)
    below = max((pt for pt in points if pt[1] < threshold), default=points[0])
    above = min((pt for pt in points if pt[1] >= threshold), default=points[-1])
    if above[1] <= below[1] or not math.isfinite(above[1]):
        return above[0] if math.isfinite(above[1]) else below[0]
    return below[0] + (above[0] - below[0]) * (threshold - below[1]) / (above[1] - below[1])


def with_profiles(fit: Fit, names: tuple[str, ...] | None = None) -> Fit:
    """The fit with profile intervals filled in."""
    found = profiles(fit, names)
    known = {name: profile.interval for name, profile in found.items()}
    merged = {**fit.intervals.get("profile", {}), **known}
    return replace(fit, intervals=Frozen({**fit.intervals, "profile": Frozen(merged)}))

# SPDX-License-Identifier: Apache-2.0
"""The curves of the arms along one variable, and joint draws of them.

The variable is the law's input; for laws in N and D it is compute, along the law's own compute-optimal frontier.
Draws of a fit that was bootstrapped are its refits. Otherwise they are Student-t draws of log loss by the delta
method, the same picture of uncertainty as the confidence band of `fit.predict`. Arms of one grouped fit share their
draws. Where runs pair, what they share is taken care of in `_compare_difference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InputError, QueryError, RefusedError, message
from forescale.fitting._fit import Fit
from forescale.fitting._space import Space
from forescale.judge._compare_arms import Arm
from forescale.numerics import jet, optimum

Array = NDArray[np.float64]

REACH = 1e3
"""The grid goes this far beyond the runs on both sides: how far a saving is looked for."""
MOST_DECADES = 40
PER_DECADE = 24
"""Grid points per decade."""
SMALLEST_N = 1e3
"""Least number of parameters on a searched frontier."""


@dataclass(frozen=True, eq=False)
class Curves:
    """The arms on a grid.

    Attributes:
        variable: "C", "N", ...
        x: (k,) increasing grid.
        log_loss: (arms, k) at the estimates.
        draws: (arms, B, k) joint draws; NaN where the rows do not determine a curve; (arms, 0, k) without any.
        seen: (arms, 2) least and largest x of each arm's runs; NaN where unknown.
        low, high: the range that the verdict speaks of.
        at: x (m,) -> log loss (arms, m) at the estimates.
        slopes: x (m,) -> derivatives (P, m) of the log loss in the search coordinates, mean over the arms; for arms
            of one law that were fitted apart.
        falling: whether every arm's curve falls over the range, so that a loss can be turned into compute.
    """

    variable: str
    x: Array
    log_loss: Array
    draws: Array
    seen: Array
    low: float
    high: float
    at: Callable[[Array], Array]
    slopes: Callable[[Array], Array]
    falling: bool

    def inside(self) -> NDArray[np.bool_]:
        """(k,) the grid points of the range."""
        return (self.x >= self.low * (1 - 1e-12)) & (self.x <= self.high * (1 + 1e-12))


def curves(
    arms: Sequence[Arm],
    *,
    between: tuple[float, float] | None,
    given: Mapping[str, float],
    count: int,
    seed: int,
    also: Sequence[float] = (),
) -> Curves:
    """The arms' curves and `count` joint draws; `also` are points that the grid must hold.

    Raises:
        InputError: laws of different inputs; an impossible range.
        QueryError: an input that is neither the variable nor given.
        RefusedError: no range is known, or the curves are not positive there.
    """
    variable = _variable(arms, given)
    seen = np.array([_seen(arm, variable) for arm in arms])
    low, high = _range(seen, between, variable)
    x = _grid(low, high, also)
    jacobians, values = [], []
    for arm in arms:
        value, slope = _curve(arm, variable, x, given)
        values.append(value)
        jacobians.append(slope)
    if not all(np.isfinite(v[(x >= low) & (x <= high)]).all() for v in values):
        raise RefusedError(message("a curve is not positive and finite over the range", "a range inside the laws'"))
    draws = _draws(arms, variable, x, given, values, jacobians, count, seed)

    def at(points: Array) -> Array:
        return np.stack([_value(arm, variable, points, given) for arm in arms])

    def slopes(points: Array) -> Array:
        return np.asarray(np.mean([_curve(arm, variable, points, given)[1] for arm in arms], axis=0))

    inside = (x >= low * (1 - 1e-12)) & (x <= high * (1 + 1e-12))
    falling = all(bool((np.diff(value[inside]) <= 1e-12).all()) for value in values)
    return Curves(variable, x, np.stack(values), draws, seen, low, high, at, slopes, falling)


def _variable(arms: Sequence[Arm], given: Mapping[str, float]) -> str:
    found = set()
    for arm in arms:
        free = [name for name in arm.law.inputs if name not in given]
        if set(free) == {"N", "D"}:
            found.add("C")
        elif len(free) == 1:
            found.add(free[0])
        else:
            raise QueryError(
                message(
                    f"the law {arm.law.id!r} reads {', '.join(arm.law.inputs)}",
                    "one variable, or N and D, to compare along",
                    "given={" + ", ".join(f"{n!r}: ..." for n in free if n not in ("N", "D")) + "} holds the others",
                )
            )
    if len(found) > 1:
        raise InputError(message(f"the laws of the arms read {' and '.join(sorted(found))}", "one variable for all"))
    return found.pop()


def _seen(arm: Arm, variable: str) -> tuple[float, float]:
    if arm.runs is not None and variable in arm.runs.columns:
        values = arm.runs[variable]
        return float(values.min()), float(values.max())
    return arm.fit.fitted_range.get(variable, (math.nan, math.nan))


def _range(seen: Array, between: tuple[float, float] | None, variable: str) -> tuple[float, float]:
    if between is not None:
        low, high = map(float, between)
        if not (0 < low < high < math.inf):
            raise InputError(message(f"a range from {low:g} to {high:g}", "0 < low < high"))
        return low, high
    if not np.isfinite(seen).all():
        raise RefusedError(
            message(
                f"the range of {variable} of published constants is not known",
                "the range to compare over",
                f"between=(1e18, 1e24) (CLI: --between 1e18 1e24) in {variable}",
            )
        )
    low, high = float(seen[:, 0].max()), float(seen[:, 1].min())
    if high < 2.0 * low:  # the arms hardly overlap: everything in between is somebody's extrapolation
        low, high = float(seen[:, 0].min()), float(seen[:, 1].max())
    if not low < high:
        raise RefusedError(message(f"all runs have {variable} = {low:g}", "runs of different sizes"))
    return low, high


def _grid(low: float, high: float, also: Sequence[float]) -> Array:
    def piece(start: float, stop: float) -> Array:
        return np.geomspace(start, stop, max(int(PER_DECADE * math.log10(stop / start)), 2) + 1)

    if max([*also, high]) / min([*also, low]) > 10.0**MOST_DECADES:
        raise InputError(
            message(
                f"points from {min([*also, low]):g} to {max([*also, high]):g}",
                f"at most {MOST_DECADES} decades apart: no law holds further",
            )
        )
    inside = np.geomspace(low, high, max(int(PER_DECADE * math.log10(high / low)), 40) + 1)
    ends = [*also, low, high]
    parts = [piece(min(ends) / REACH, low), inside, piece(high, max(ends) * REACH), np.array(list(also), dtype=float)]
    return np.unique(np.concatenate(parts))


def _points(arm: Arm, variable: str, x: Array, given: Mapping[str, float]) -> dict[str, Array]:
    """Inputs of the law at x: x itself, or the compute-optimal N and D at the estimate."""
    law = arm.law
    fixed = {name: np.full(x.size, float(given[name])) for name in law.inputs if name in given}
    if variable in law.inputs:
        return {**fixed, variable: x}
    params = _params(arm)
    if law.optimum is not None:
        best = law.optimum(x, **params)
        return {**fixed, "N": np.asarray(best["N"], float), "D": np.asarray(best["D"], float)}

    def loss(N: Array) -> Array:
        more = {name: values[:, None] for name, values in fixed.items()}
        return law(params, N=N, D=x[:, None] / (6.0 * N), **more)

    top = x / (6.0 * SMALLEST_N)
    found = optimum.minimise(loss, np.full(x.size, SMALLEST_N), np.maximum(top, 2 * SMALLEST_N))
    return {**fixed, "N": found.x, "D": x / (6.0 * found.x)}


def _params(arm: Arm) -> dict[str, float]:
    groups = arm.fit.law.groups
    if groups is None or arm.level is None:
        return dict(arm.fit.params)
    return groups.select(arm.fit.params, arm.level)


def _columns(arm: Arm, points: Mapping[str, Array]) -> dict[str, Any]:
    columns: dict[str, Any] = dict(points)
    groups = arm.fit.law.groups
    if groups is not None and arm.level is not None:
        size = next(iter(points.values())).size
        columns[groups.by] = np.full(size, int(groups.codes([arm.level])[0]))
    return columns


def _value(arm: Arm, variable: str, x: Array, given: Mapping[str, float]) -> Array:
    """log loss (k,) at the estimate."""
    columns = _columns(arm, _points(arm, variable, x, given))
    with np.errstate(all="ignore"):
        value = np.asarray(arm.fit.law.formula(**columns, **arm.fit.params), dtype=np.float64)
        return np.broadcast_to(np.log(np.where(value > 0, value, np.nan)), x.shape)


def _curve(arm: Arm, variable: str, x: Array, given: Mapping[str, float]) -> tuple[Array, Array]:
    """log loss (k,) and its derivatives (P, k) in the search coordinates. On a frontier the inputs may be held: the
    derivative of a minimum is the derivative at the minimum."""
    law, space = arm.fit.law, Space.of(arm.fit.law)
    columns = _columns(arm, _points(arm, variable, x, given))
    u = space.search(space.vector(arm.fit.params))

    def formula(*search: Any) -> Any:
        values = {name: space.natural_one(p, search[p]) for p, name in enumerate(space.names)}
        return law.formula(**columns, **values)

    value, jacobian = jet.value_and_jacobian(formula, u[None])
    with np.errstate(all="ignore"):
        positive = np.where(value[0] > 0, value[0], np.nan)
        return np.broadcast_to(np.log(positive), x.shape).copy(), np.broadcast_to(
            jacobian[0] / positive, (u.size, x.size)
        )


def _draws(
    arms: Sequence[Arm],
    variable: str,
    x: Array,
    given: Mapping[str, float],
    values: Sequence[Array],
    jacobians: Sequence[Array],
    count: int,
    seed: int,
) -> Array:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    beyond = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(6,)))
    sizes = [len(arm.fit.draws) if _own_draws(arm.fit) else count for arm in arms]
    b = min(sizes)
    usable = all(len(arm.fit.draws) or np.isfinite(arm.fit.covariance).any() for arm in arms)
    if not usable or b == 0:
        return np.empty((len(arms), 0, x.size))
    shared: dict[int, Array] = {}
    orders: dict[int, NDArray[np.intp]] = {}
    out = []
    for arm, value, jacobian in zip(arms, values, jacobians):
        if _own_draws(arm.fit):
            order = orders.setdefault(id(arm.fit), rng.permutation(len(arm.fit.draws))[:b])
            wide = _taught(arm, variable, x, beyond.standard_normal((b, 1)))
            out.append(_refits(arm, variable, x, given, order) + wide)
            continue
        if id(arm.fit) not in shared:
            normal = rng.standard_normal((b, jacobian.shape[0]))
            shared[id(arm.fit)] = _away(arm.fit.covariance, arm.fit.df, normal, rng)
        away = shared[id(arm.fit)]
        known = np.isfinite(away).all(axis=0)
        with np.errstate(all="ignore"):
            moved = value + away[:, known] @ jacobian[known]
            if not known.all():
                size = np.abs(jacobian).max(axis=0)
                matters = (np.abs(jacobian[~known]) > 1e-9 * np.maximum(size, 1e-300)).any(axis=0)
                moved = np.where(matters, np.nan, moved)
        out.append(moved + _taught(arm, variable, x, beyond.standard_normal((b, 1))))
    return np.stack(out)


def _taught(arm: Arm, variable: str, x: Array, z: Array) -> Array:
    """(B, k) errors beyond the runs that a backtest found, one sign per draw; nothing without a backtest."""
    top = _seen(arm, variable)[1]
    if arm.fit.spread is None or not math.isfinite(top):
        return np.zeros((1, x.size))
    distance = x / top
    return z * np.where(distance > 1.0 + 1e-9, arm.fit.spread.at(distance), 0.0)


def _own_draws(fit: Fit) -> bool:
    """Whether the draws of the fit say more than its covariance: refits, or the pool of a stack."""
    known = bool(np.isfinite(np.diag(fit.covariance)).any()) if fit.covariance.size else False
    return len(fit.draws) > 0 and (fit.draws_from.startswith("bootstrap") or not known)


def _away(covariance: Array, df: float, z: Array, rng: np.random.Generator) -> Array:
    """(B, P) Student-t steps of the search coordinates from standard normal z; NaN columns for parameters that the
    rows do not determine."""
    b, p = z.shape
    out = np.full((b, p), np.nan)
    known = np.isfinite(np.diag(covariance))
    part = covariance[np.ix_(known, known)]
    sd = np.sqrt(np.maximum(np.diag(part), 0.0))
    scale = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(part / np.outer(scale, scale))
    root = scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
    stretch = np.sqrt(df / rng.chisquare(df, b)) if math.isfinite(df) else np.ones(b)
    out[:, known] = (z[:, known] @ root.T) * stretch[:, None]
    return out


def _refits(arm: Arm, variable: str, x: Array, given: Mapping[str, float], order: NDArray[np.intp]) -> Array:
    """(B, k) log loss of bootstrap refits, each on its own frontier where it has a closed form."""
    law = arm.fit.law
    params: dict[str, Any] = {n: arm.fit.draws[order, p : p + 1] for p, n in enumerate(law.names)}
    if law.groups is not None and arm.level is not None:
        params, base = law.groups.select(params, arm.level), law.groups.base
    else:
        base = law
    if variable in base.inputs or base.optimum is None:
        points: dict[str, Any] = {n: v[None, :] for n, v in _points(arm, variable, x, given).items()}
    else:
        best = base.optimum(x[None, :], **params)
        points = {"N": best["N"], "D": best["D"]}
        points.update({n: np.full((1, x.size), float(given[n])) for n in base.inputs if n in given})
    with np.errstate(all="ignore"):
        value = np.asarray(base.formula(**points, **params), dtype=np.float64)
        value = np.broadcast_to(value, (order.size, x.size))
        return np.asarray(np.log(np.where(value > 0, value, np.nan)))

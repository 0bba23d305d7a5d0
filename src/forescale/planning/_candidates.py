# SPDX-License-Identifier: Apache-2.0
"""Runs that could be made next: sizes around the compute-optimal one at each of a ladder of budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message
from forescale.core.quantity import format_short

Array = NDArray[np.float64]

LEVELS = 9  # budgets of the ladder
DEPTH = 1e4  # largest / smallest of them
SIZES = 7  # model sizes at each


@dataclass(frozen=True)
class Limits:
    """What a run may be; None is no limit."""

    max_run: float
    min_params: float | None = None
    max_params: float | None = None
    min_tokens: float | None = None
    max_tokens: float | None = None
    least_ratio: float = 0.0
    most_ratio: float = math.inf

    def allow(self, N: Array, D: Array, cost: Array) -> NDArray[np.bool_]:
        """Which runs keep all limits (with a hair of rounding)."""
        hair = 1 + 1e-9
        ok = (cost <= self.max_run * hair) & (D / N * hair >= self.least_ratio) & (self.most_ratio * hair >= D / N)
        for low, value, high in ((self.min_params, N, self.max_params), (self.min_tokens, D, self.max_tokens)):
            ok &= (value * hair >= (low or 0.0)) & (value <= (high or math.inf) * hair)
        return np.asarray(ok)


@dataclass(frozen=True, eq=False)
class Candidates:
    """(K,) sizes, tokens and what one run costs in FLOP."""

    N: Array
    D: Array
    cost: Array

    def keep(self, mask: NDArray[np.bool_]) -> Candidates:
        """Some of them."""
        return Candidates(self.N[mask], self.D[mask], self.cost[mask])


def given(N: Any, D: Any, cost: Any = None) -> Candidates:
    """Candidates of the caller; a run costs 6ND unless he says otherwise.

    Raises:
        DataError: sizes, tokens or costs that are not positive, or of different lengths.
    """
    n, d = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (N, D))
    if n.shape != d.shape or n.ndim != 1 or n.size == 0:
        raise DataError(message(f"candidates with {n.size} N and {d.size} D", "as many of both, at least one"))
    c = 6.0 * n * d if cost is None else np.atleast_1d(np.asarray(cost, dtype=np.float64))
    if c.shape != n.shape:
        raise DataError(message(f"{c.size} costs for {n.size} candidates", "one cost for each"))
    for name, values in (("N", n), ("D", d), ("cost", c)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            raise DataError(
                message(
                    f"candidate {int(bad[0]) + 1} has {name} = {values[bad[0]]:g}",
                    f"a positive {name}",
                    "a run that costs nothing would be made without end" if name == "cost" else "",
                )
            )
    return Candidates(n, d, c)


def ladder(centre: Any, limits: Limits, spread: float, levels: int = LEVELS, sizes: int = SIZES) -> Candidates:
    """Sizes within a factor `spread` of `centre(C)` at each budget of a ladder below the largest run.

    Args:
        centre: compute-optimal N as a function of budgets (k,); NaN where there is none.
        limits: what a run may be; sizes outside are moved to the nearest allowed one.

    Raises:
        QueryError: no run keeps all limits; the two that contradict each other are named.
    """
    C = np.geomspace(limits.max_run / DEPTH, limits.max_run, levels)
    middle = np.asarray(centre(C), dtype=np.float64)
    known = np.isfinite(middle) & (middle > 0)
    if not known.any():
        known, middle = np.ones_like(known), np.sqrt(C / (6.0 * 20.0))
    C, middle = C[known], middle[known]
    steps = np.geomspace(1.0 / spread, spread, sizes)
    least, most = _sizes(C, limits)
    inside = least <= most
    if not inside.any():
        refuse(limits)
    N = np.clip(middle[inside, None] * steps, least[inside, None], most[inside, None])
    D = C[inside, None] / (6.0 * N)
    n, d = N.ravel(), D.ravel()
    distinct = np.unique(np.round(np.log(np.stack([n, d])), 6), axis=1, return_index=True)[1]
    n, d = n[np.sort(distinct)], d[np.sort(distinct)]
    cost = 6.0 * n * d
    allowed = limits.allow(n, d, cost)
    if not allowed.any():
        refuse(limits)
    return Candidates(n, d, cost).keep(allowed)


def _sizes(C: Array, limits: Limits) -> tuple[Array, Array]:
    """Smallest and largest model at each budget."""
    product = C / 6.0
    least = np.maximum(limits.min_params or 0.0, np.sqrt(product / limits.most_ratio))
    least = np.maximum(least, product / (limits.max_tokens or math.inf))
    most = np.minimum(limits.max_params or math.inf, product / (limits.min_tokens or 1e-300))
    with np.errstate(divide="ignore"):
        most = np.minimum(most, np.sqrt(product / np.asarray(limits.least_ratio)))
    return least, most


def refuse(limits: Limits) -> NoReturn:
    """Name the two limits that contradict each other."""
    low_n, high_n = limits.min_params or 0.0, limits.max_params or math.inf
    low_d, high_d = limits.min_tokens or 0.0, limits.max_tokens or math.inf
    pairs = (
        (low_n > high_n, "min_params", "max_params"),
        (low_d > high_d, "min_tokens", "max_tokens"),
        (limits.least_ratio > limits.most_ratio, "least_ratio", "most_ratio"),
        (high_d / max(low_n, 1e-300) < limits.least_ratio, "max_tokens", "min_params and least_ratio"),
        (low_d / high_n > limits.most_ratio, "min_tokens", "max_params and most_ratio"),
        (6.0 * low_n * low_d > limits.max_run, "max_run", "min_params and min_tokens"),
        (6.0 * low_n**2 * limits.least_ratio > limits.max_run, "max_run", "min_params and least_ratio"),
        (6.0 * low_d**2 / limits.most_ratio > limits.max_run, "max_run", "min_tokens and most_ratio"),
        (6.0 * high_n * high_d < limits.max_run / DEPTH, "max_params and max_tokens", "max_run"),
    )
    one, other = next(((a, b) for clash, a, b in pairs if clash), ("the limits", "the candidates"))
    values = ", ".join(
        f"{name} = {format_short(float(value))}"
        for name, value in vars(limits).items()
        if value is not None and 0 < float(value) < math.inf
    )
    raise QueryError(
        message(
            f"no run keeps {one} and {other} together ({values})",
            "limits that leave at least one run",
            f"change {one} or {other}",
        )
    )


def apart(candidates: Candidates, N: Array, D: Array, count: int, money: float) -> list[int]:
    """Indices of up to `count` affordable candidates that lie farthest, in log N and log D, from all runs (N, D).

    One after another, each farthest from the runs and from those already taken (maximin distance), never one that is
    made already. They are there to contradict the law where the other runs would not.
    """
    here = np.log(np.stack([candidates.N, candidates.D], axis=1))
    there = np.log(np.stack([N, D], axis=1)) if N.size else here.mean(axis=0, keepdims=True)
    found: list[int] = []
    for step in range(count):
        # The last one may take what is left; a checking run that nobody can afford checks nothing.
        allowed = candidates.cost <= money / (count - step)
        if not allowed.any():
            break
        distance = ((here[:, None, :] - there[None, :, :]) ** 2).sum(axis=2).min(axis=1)
        taken = int(np.argmax(np.where(allowed, distance, -1.0)))
        if distance[taken] <= 1e-12:
            break
        found.append(taken)
        money -= float(candidates.cost[taken])
        there = np.concatenate([there, here[taken : taken + 1]])
    return found

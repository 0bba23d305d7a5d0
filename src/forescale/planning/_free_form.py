# SPDX-License-Identifier: Apache-2.0
"""The schedule, among all that never rise after the warm-up, whose last loss is least under a law along curves.

The rate is constant in cells that get shorter towards the end; their logarithms move by spectral projected gradients
(Birgin, Martinez & Raydan 2000) onto falling sequences. The gradient is exact: a law sees a schedule only through the
sum of its rates and through what it makes of each drop, and jets say how these depend on the cells. The objective has
many shallow valleys (where the first drop lies), so the search begins at several cool-downs and keeps the best end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.schedule import LEAST, Drops, Schedule
from forescale.laws import Law
from forescale.laws._schedule import Past
from forescale.numerics.jet import Jet

Array = NDArray[np.float64]

CELLS = 160
STARTS = (0.03, 0.05, 0.08, 0.12, 0.18, 0.27, 0.4, 0.7)
"""Shares of the steps that the cool-downs take at which searches begin."""

ROUNDS = 150
SMALL = 1e-10
"""A search ends where the next step promises less, in units of the loss."""


def best_schedule(
    law: Law, params: Mapping[str, float], peak: float, steps: int, warmup: int, inputs: Mapping[str, float]
) -> tuple[Schedule, float]:
    """The best schedule found and its last loss.

    Args:
        law: one along curves.
        params: its parameters.
        inputs: its inputs other than the step, e.g. N.
    """
    back = np.unique(np.round(np.geomspace(1, steps - warmup, min(CELLS, steps - warmup))))
    edges = np.concatenate([[0.0], back])[::-1]
    problem = _Problem(law, params, peak, float(warmup), steps - edges, inputs)
    centre = 0.5 * (edges[1:] + edges[:-1])
    found = []
    for share in STARTS:
        fallen = np.clip(centre / (share * (steps - warmup)), 1e-3, 1.0)
        found.append(_descend(problem.value, np.log(peak * fallen), problem.lengths, np.log(peak)))
    loss, rates = min(found, key=lambda pair: pair[0])
    ramp = peak * np.arange(1, warmup + 1) / max(warmup, 1)
    tail = np.repeat(np.exp(rates), problem.lengths.astype(np.intp))
    return Schedule(np.concatenate([ramp, np.minimum(tail, peak)]), warmup), loss


def _descend(f: Callable[[Array], tuple[float, Array]], x: Array, weights: Array, top: float) -> tuple[float, Array]:
    """Least value and where, from x (M,), among falling sequences between log(LEAST) + top and top."""
    wide = weights / weights.mean()
    value, slope = f(x)
    size = 0.1 / max(float(np.abs(slope / wide).max()), 1e-300)
    seen, best = [value], (value, x)
    for _ in range(ROUNDS):
        step = np.clip(falling(x - size * slope / wide, weights), top + np.log(LEAST), top) - x
        promised = float(slope @ step)
        if not promised < -SMALL:
            break
        share = 1.0
        while True:
            moved = x + share * step
            there, changed = f(moved)
            if there <= max(seen[-8:]) + 1e-4 * share * promised or share < 1e-6:
                break
            share *= 0.4
        along, turned = moved - x, changed - slope
        bend = float(along @ turned)
        size = float(np.clip((along * along * wide).sum() / bend, 1e-4, 1e6)) if bend > 0 else min(4.0 * size, 1e6)
        x, value, slope = moved, there, changed
        seen.append(value)
        if value < best[0]:
            best = (value, x)
    return best


def falling(y: Array, weights: Array) -> Array:
    """The falling sequence closest to y (M,) in weighted squares: neighbours that rise are pooled."""
    values: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, mass in zip(y.tolist(), weights.tolist()):
        count = 1
        while values and values[-1] < value:
            total = masses[-1] + mass
            value = (values.pop() * masses[-1] + value * mass) / total
            masses.pop()
            mass, count = total, count + counts.pop()
        values.append(value)
        masses.append(mass)
        counts.append(count)
    return np.repeat(np.array(values), counts)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The last loss as a function of the logarithms of the rates in the cells.

    Attributes:
        edges: (M + 1,) last step before each cell, then the last step of all.
    """

    law: Law
    params: Mapping[str, float]
    peak: float
    warmup: float
    edges: Array
    inputs: Mapping[str, float] = field(default_factory=dict)

    @property
    def lengths(self) -> Array:
        """(M,) steps of each cell."""
        return np.diff(self.edges)

    @cached_property
    def rise(self) -> Drops:
        """The drops (below zero) of the warm-up and of the step after it."""
        return Schedule.constant(self.peak, int(self.warmup) + 1, warmup=int(self.warmup)).grouped()

    def value(self, x: Array) -> tuple[float, Array]:
        """The loss and its gradient (M,)."""
        rates, n, last = np.exp(x), self.lengths, float(self.edges[-1])
        rise = self.rise
        w = len(rise)
        left = np.cumsum((rates * n)[::-1])[::-1]
        warm = 0.5 * self.peak * (self.warmup + 1.0) if self.warmup else 0.0
        moving = _Moving(
            size=np.concatenate([rise.size, -np.diff(rates, prepend=self.peak)]),
            after=np.concatenate([rise.after, rates]),
            since=np.concatenate([warm - rise.before + left[0], left]),
            lag=np.concatenate([last - rise.step, last - self.edges[:-1]]) + np.repeat([1.0, 0.0], [w, n.size]),
            warm=np.arange(w + n.size) < w,
            whole=warm + float(left[0]),
        )
        columns = {name: np.array([value]) for name, value in self.inputs.items()}
        out = self.law.formula(**columns, step=np.array([last]), **{str(self.law.schedule): moving}, **self.params)
        of_sum = _number(out.partials.get(_TOTAL, 0.0))
        slope = of_sum * n
        for i, (gain, by_after, by_since) in enumerate(moving.calls):
            each = -gain[w:]
            each[:-1] += gain[w + 1 :]
            used = np.where(moving.used[i], moving.size, 0.0)
            each += used[w:] * by_after[w:] + np.cumsum(used * by_since)[w:] * n
            slope = slope + _number(out.partials.get(_FIRST + i, 0.0)) * each
        return _number(out.value), slope * rates


_AFTER, _SINCE, _TOTAL, _FIRST = range(4)


@dataclass(frozen=True, eq=False)
class _Moving:
    """What a law along curves reads of one schedule (see `laws._schedule.Schedules`), with derivatives."""

    size: Array
    after: Array
    since: Array
    lag: Array
    warm: NDArray[np.bool_]
    whole: float
    calls: list[tuple[Array, Array, Array]] = field(default_factory=list)
    used: list[NDArray[np.bool_]] = field(default_factory=list)

    @property
    def total(self) -> Jet:
        """The sum of all rates."""
        return Jet(np.array([self.whole]), {_TOTAL: 1.0})

    def over_drops(self, size: Callable[..., Any], *params: Any, warmup: bool) -> Jet:
        """The sum over the drops of their size times what the law makes of them."""
        past = Past(Jet(self.after, {_AFTER: 1.0}), Jet(self.since[None], {_SINCE: 1.0}), self.lag[None])  # type: ignore[arg-type]
        made = size(past, *params)
        shape = self.size.shape
        jet = made if isinstance(made, Jet) else Jet(made, {})
        gain = np.broadcast_to(np.asarray(jet.value, dtype=np.float64).reshape(-1), shape).copy()
        slopes = [
            np.broadcast_to(np.asarray(jet.partials.get(p, 0.0), dtype=np.float64).reshape(-1), shape)
            for p in (_AFTER, _SINCE)
        ]
        used = np.ones(shape, dtype=bool) if warmup else ~self.warm
        self.calls.append((gain, slopes[0], slopes[1]))
        self.used.append(used)
        return Jet(np.array([np.where(used, self.size, 0.0) @ gain]), {_FIRST + len(self.calls) - 1: 1.0})


def _number(value: Any) -> float:
    return float(np.asarray(value, dtype=np.float64).reshape(-1)[0])

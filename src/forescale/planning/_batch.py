# SPDX-License-Identifier: Apache-2.0
"""The next batch of runs for a decision: what is known, what could be run, what is worth it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, RefusedError, message
from forescale.core.quantity import format_short
from forescale.fitting.surface import Surface
from forescale.planning import _candidates, _design, _knowledge
from forescale.planning._candidates import Candidates, Limits
from forescale.planning._design import Criterion, Problem
from forescale.planning._frontier import frontier, rows
from forescale.planning._plan import Basis
from forescale.planning._scatter import NOISE
from forescale.runs.derive import require

Array = NDArray[np.float64]

PACE = 3.0  # each batch may cost this many times the one before it
PARTS = (1.0, 1 / 4, 1 / 16, 1 / 64)  # of a batch's money, looked at to find out what is worth its price
_GRID = (5, 7, 8.0)  # budgets, sizes and half width of the IsoFLOP grid that designs are compared with


@dataclass(frozen=True)
class Task:
    """What is to be decided and what the runs may be; all in FLOP and plain numbers."""

    at: float
    about: str  # "size" or "loss"
    criterion: Criterion
    money: float
    runs: int
    repeats: int
    checks: int
    limits: Limits
    spread: float
    window: tuple[float, float]
    noise: float | None = None
    bend: float = 0.0
    economical: bool = True


@dataclass(frozen=True, eq=False)
class Batch:
    """Runs to make and what they are expected to teach.

    Attributes:
        candidates: what could be run; counts (K,) of runs to make, checks (K,) those among them that check the law.
        before, after: expected share of the compute at the decision that is lost to a wrong size (for a decision
            about the loss: half the variance of its logarithm), now and after the batch, averaged over draws.
        wide, narrow: factor of the interval of the decided number, now and after.
        cost: FLOP of the batch.
        worth: FLOP that the batch is expected to save at the decision, less its cost; NaN where that is no compute.
        ladder: (share of the money, runs, cost, after) for each share looked at.
        sigma: noise of one run that was used; `assumed` when nobody knew it.
        draws: how many parameter vectors the design was averaged over.
        problem: for comparisons.
    """

    candidates: Candidates
    counts: NDArray[np.int64]
    checks: NDArray[np.int64]
    before: float
    after: float
    wide: float
    narrow: float
    cost: float
    worth: float
    ladder: tuple[tuple[float, int, float, float], ...]
    sigma: float
    assumed: bool
    draws: int
    problem: Problem
    sensitivity: Array

    @property
    def stop(self) -> bool:
        """Whether no batch that was looked at saves what it costs."""
        return bool(self.worth <= 0.0)


def batch(basis: Basis, task: Task, given: Candidates | None = None, *, starts: int = 3) -> Batch:
    """Choose the next runs.

    Args:
        basis: the fit with its draws.
        given: candidates of the caller; by default a ladder of budgets with sizes around the compute-optimal one.

    Raises:
        QueryError: no candidate keeps the limits or is affordable.
        RefusedError: the law has no optimum at the decision, or too few draws agree to plan from.
    """
    surface = _knowledge.chosen(basis.surface, task.at, task.window)
    stakes = _stakes(surface, task)
    good = _knowledge.sensible(stakes)
    if not good.any():
        raise RefusedError(
            message(
                f"the law {surface.law.id!r} says of no parameter vector what a run would teach about "
                f"{format_short(task.at, 'flop')}",
                "an optimum at the budget of the decision",
                "a law with an optimum everywhere (chinchilla), or runs over a wider range of sizes",
            )
        )
    surface, stakes = _knowledge.only(surface, good), _stakes(_knowledge.only(surface, good), task)
    candidates = _ladder(surface, task) if given is None else _within(given, task)
    sigma, assumed = noise(basis, task.noise)
    raw = not assumed and task.noise is None and basis.fit is not None and basis.fit.scale == "raw"
    seen_n, seen_d, weight = _seen(basis)
    made = None
    if seen_n.size:
        made = _rows(surface, seen_n, seen_d, stakes, task, sigma, raw) * np.sqrt(weight)[:, None]
    slopes = _rows(surface, candidates.N, candidates.D, stakes, task, sigma, raw)
    # The estimate leads the surface; it is the decision itself and weighs as one draw.
    weights = np.full(rows(surface), 1.0 / rows(surface))
    known = _knowledge.before(surface, basis.surface, made, task.bend)
    extra = known.shape[1] - stakes.rows.shape[2]
    stakes = stakes.padded(extra)
    rows_of = stakes.rows if task.criterion != "I" else _region(surface, task, candidates).padded(extra).rows
    decide = Problem(known, slopes, stakes.rows, candidates.cost, "decision", weights)
    problem = replace(decide, stakes=rows_of, criterion=task.criterion)
    if task.criterion == "D":  # is about the law's own parameters
        p = known.shape[1] - extra
        problem = replace(problem, known=known[:, :p, :p], slopes=slopes[:, :, :p])
    nothing = np.zeros(candidates.cost.size, dtype=np.int64)
    before = decide.value(nothing)

    found: list[tuple[float, NDArray[np.int64], NDArray[np.int64], float, float]] = []
    # Smaller batches matter only to who may stop short of the whole.
    for part in PARTS if task.economical else PARTS[:1]:
        money = task.money * part
        if found and not (candidates.cost <= money).any():
            continue
        counts, checks = _fill(problem, candidates, task, money, seen_n, seen_d, starts if part == 1.0 else 0)
        found.append((part, counts, checks, float(candidates.cost @ counts), decide.value(counts)))
    stake = task.at if task.about == "size" else math.nan
    nets = [(before - after) * stake - cost for _, _, _, cost, after in found]
    chosen = int(np.argmax(nets)) if task.economical and np.isfinite(nets).all() else 0
    _, counts, checks, cost, after = found[chosen]
    if not counts.any():
        raise _too_dear(candidates, task)
    return Batch(
        candidates,
        counts,
        checks,
        before,
        after,
        _factor(decide, stakes.sensitivity, nothing),
        _factor(decide, stakes.sensitivity, counts),
        cost,
        float(max(nets)) if task.economical else float(nets[0]),
        tuple((part, int(n.sum()), spent, later) for part, n, _, spent, later in found),
        sigma,
        assumed,
        rows(surface),
        decide,
        stakes.sensitivity,
    )


def alternatives(basis: Basis, task: Task, chosen: Batch) -> list[tuple[str, int, float, float]]:
    """(what, runs, cost, after) of other ways to spend the money of the chosen batch."""
    found = [("this plan", int(chosen.counts.sum()), chosen.cost, chosen.after)]
    ways: tuple[tuple[Criterion, str], ...] = (("decision", "decision loss"), ("D", "D-optimal"), ("I", "I-optimal"))
    for criterion, name in ways:
        if criterion == task.criterion:
            continue
        other = replace(task, criterion=criterion, money=chosen.cost, economical=False, checks=0)
        made = batch(basis, other, chosen.candidates, starts=0)
        found.append((name, int(made.counts.sum()), made.cost, made.after))
    return [*found, *_isoflop(basis, task, chosen)]


def _isoflop(basis: Basis, task: Task, chosen: Batch) -> list[tuple[str, int, float, float]]:
    """The grid that the same money buys: five budgets a decade apart, seven sizes around the estimated optimum."""
    levels, sizes, half = _GRID
    top = min(chosen.cost / (sizes * sum(10.0**-k for k in range(levels))), task.limits.max_run)
    C = top * 10.0 ** -np.arange(levels, dtype=np.float64)
    estimate = basis.surface.take(slice(1))
    centre = frontier(estimate, C, window=task.window).N[0]
    if not np.isfinite(centre).all():
        return []
    N = (centre[:, None] * np.geomspace(1 / half, half, sizes)).ravel()
    grid = _candidates.given(N, np.repeat(C, sizes) / (6.0 * N))
    made = batch(
        basis,
        replace(task, money=float(grid.cost.sum()) * (1 + 1e-9), runs=N.size, repeats=1, checks=0, economical=False,
                limits=Limits(math.inf)),
        grid,
        starts=0,
    )  # fmt: skip
    everything = made.problem.value(np.ones(N.size))
    return [("IsoFLOP grid", N.size, float(grid.cost.sum()), everything)]


def noise(basis: Basis, given: float | None) -> tuple[float, bool]:
    """Standard deviation of one run in the units of the fit's residuals, and whether it had to be assumed."""
    if given is not None:
        return given, False
    if math.isfinite(basis.sigma) and basis.sigma > 0:
        return basis.sigma, False
    return NOISE, True


def pure_error(basis: Basis) -> tuple[float, int]:
    """Standard deviation of log loss between repeats of the same N and D, and its degrees of freedom."""
    runs = None if basis.fit is None else basis.fit.runs
    if runs is None or not {"N", "D"} <= set(runs.columns) or basis.fit is None:
        return math.nan, 0
    loss = runs[basis.fit.law.output]
    if not np.all(loss > 0):
        return math.nan, 0
    place = np.round(np.log(np.stack([runs["N"], runs["D"]], axis=1)), 9)
    group = np.unique(place, axis=0, return_inverse=True)[1].ravel()
    size = np.bincount(group)
    centre = np.bincount(group, np.log(loss)) / size
    freedom = int((size - 1).sum())
    if freedom == 0:
        return math.nan, 0
    return float(np.sqrt(((np.log(loss) - centre[group]) ** 2).sum() / freedom)), freedom


# -------------------------------------------------------------------------------------------------------- the parts


def _stakes(surface: Surface, task: Task) -> _knowledge.Stakes:
    if task.about == "size":
        return _knowledge.of_size(surface, task.at, task.window)
    return _knowledge.of_loss(surface, np.array([task.at]), task.window)


def _region(surface: Surface, task: Task, candidates: Candidates) -> _knowledge.Stakes:
    C = np.geomspace(min(float(candidates.cost.min()), task.at), task.at, 9)
    return _knowledge.of_loss(surface, C, task.window)


def _ladder(surface: Surface, task: Task) -> Candidates:
    def centre(C: Array) -> Array:
        N = frontier(surface, C, window=task.window).N
        with np.errstate(all="ignore"):
            ordered = np.sort(N, axis=0)  # NaN last
            count = np.isfinite(N).sum(axis=0)
            return np.asarray(ordered[np.maximum(count - 1, 0) // 2, np.arange(C.size)])

    return _candidates.ladder(centre, task.limits, task.spread)


def _within(given: Candidates, task: Task) -> Candidates:
    kept = task.limits.allow(given.N, given.D, given.cost)
    if not kept.any() and replace(task.limits, max_run=math.inf).allow(given.N, given.D, given.cost).any():
        raise _too_dear(given, task)
    if not kept.any():
        _candidates.refuse(task.limits)
    return given.keep(kept)


def _too_dear(candidates: Candidates, task: Task) -> QueryError:
    cheapest = format_short(float(candidates.cost.min()), "flop")
    return QueryError(
        message(
            f"the cheapest run that keeps the limits costs {cheapest}, this batch has a budget of "
            f"{format_short(task.money, 'flop')} and max_run is {format_short(task.limits.max_run, 'flop')}",
            "money for at least one run",
            "raise budget, lower rounds, or lower min_params or min_tokens",
        )
    )


def _seen(basis: Basis) -> tuple[Array, Array, Array]:
    """N, D and weight of the runs made so far; empty where there are none."""
    fit = basis.fit
    if fit is None or fit.runs is None:
        return np.empty(0), np.empty(0), np.empty(0)
    runs = require(fit.runs, "N", "D")
    for label, level in basis.labels.items():
        codes, names = runs.group_codes(label)
        runs = runs.where(codes == names.index(level))
    return runs["N"], runs["D"], np.ones(len(runs)) if runs.weights is None else runs.weights


def _rows(
    surface: Surface, N: Array, D: Array, stakes: _knowledge.Stakes, task: Task, sigma: float, raw: bool
) -> Array:
    """(S, K, P or P + 3) scaled derivatives of runs: of the law's parameters, and of the bends if there are any."""
    own = _knowledge.per_run(surface, N, D, sigma, raw)
    if task.bend <= 0:
        return own
    scale = _knowledge.slopes(surface, N, D)[0][:, :, None] / sigma if raw else 1.0 / sigma
    return np.concatenate([own, _knowledge.bends(N, D, stakes.N, task.at) * scale], axis=2)


def _fill(
    problem: Problem, candidates: Candidates, task: Task, money: float, N: Array, D: Array, starts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts of all runs and of those that check the law: the latter last, far from everything else."""
    share = money * task.checks / max(task.runs, 1)
    counts = _design.choose(
        problem, budget=money - share, runs=task.runs - task.checks, repeats=task.repeats, starts=starts
    )
    checks = np.zeros(candidates.cost.size, dtype=np.int64)
    taken = counts > 0
    near = np.concatenate([N, candidates.N[taken]]), np.concatenate([D, candidates.D[taken]])
    for k in _candidates.apart(candidates, *near, task.checks, share):
        checks[k] += 1
    return counts + checks, checks


def _factor(problem: Problem, sensitivity: Array, counts: NDArray[Any]) -> float:
    """Half width of the 90 % interval of the decided number as a factor: the median over the parameter vectors."""
    from forescale.fitting._tails import t_quantile

    sd = [2.0 * v for v in replace(problem, stakes=sensitivity[:, None, :]).losses(counts)]
    with np.errstate(over="ignore"):
        return float(np.exp(t_quantile(0.9, math.inf) * math.sqrt(float(np.median(sd)))))

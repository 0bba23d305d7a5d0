# SPDX-License-Identifier: Apache-2.0
"""Which runs to make next, and whether another one is worth its price?

An IsoFLOP grid spends nine tenths of its compute on its largest budget and asks the same question everywhere. Here
the runs are chosen for one decision: those that lower its expected loss most for their money, averaged over what the
runs so far leave open. `fs.next_runs` is the same question as a conversation: ask, run, tell, ask again.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.costs.budget import FlopBudget
from forescale.fitting._fit import Finding
from forescale.planning import _batch, _evidence, _money
from forescale.planning._batch import PACE, Batch, Task
from forescale.planning._candidates import Candidates, Limits
from forescale.planning._frontier import WINDOW, frontier, searched
from forescale.planning._intervals import decided
from forescale.planning._plan import Basis, Expected, Plan, Planner, Table
from forescale.planning._quantities import BudgetText, ParamsText, RateText, TokensText
from forescale.planning._show import show

_FIT_BENDS = 2.0  # residual / pure error beyond which the law does not describe the runs


class NextRunsQuery(BaseModel):
    """A decision, what there is to spend on runs before it, and what those runs may be."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    at: BudgetText = Field(description="the budget that is to be decided about, e.g. '1e24 FLOP'")
    budget: BudgetText = Field(
        description="what the next runs may cost together: '1e21 FLOP', '500 H100-hours', '$20k @ $2/H100-hour'"
    )
    about: Literal["size", "loss"] = Field("size", description="what is decided there: 'size' (N*) or 'loss'")
    criterion: Literal["decision", "D", "I"] = Field(
        "decision",
        description="what the runs are chosen by: 'decision' (expected loss of it), 'D' (all parameters), 'I' (mean "
        "variance along the compute-optimal frontier)",
    )
    runs: int = Field(12, ge=1, le=500, description="most runs, over all batches")
    rounds: int = Field(1, ge=1, le=20, description="batches in which they are made; each may cost 3x the one before")
    repeats: int = Field(3, ge=1, description="most runs at one and the same size and tokens, per batch")
    checks: int | None = Field(
        None, ge=0, description="runs of each batch kept far from the others, to contradict the law (default 1 in 6)"
    )
    max_run: BudgetText | None = Field(None, description="largest single run, e.g. '1e20 FLOP' (default: the budget)")
    min_params: ParamsText | None = Field(None, description="smallest model that can be trained, e.g. 10M")
    max_params: ParamsText | None = Field(None, description="largest model that can be trained, e.g. 1B")
    min_tokens: TokensText | None = Field(None, description="fewest tokens of a run, e.g. 100M")
    max_tokens: TokensText | None = Field(None, description="most tokens of a run, e.g. 100B")
    spread: float = Field(8.0, gt=1, description="how far from the compute-optimal size runs may lie, as a factor")
    least_ratio: float = Field(WINDOW[0], gt=0, description="fewest tokens per parameter of a run")
    most_ratio: float = Field(WINDOW[1], gt=0, description="most tokens per parameter of a run")
    noise: float | None = Field(None, gt=0, lt=1, description="relative noise of one run's loss, e.g. 0.003")
    bend: float = Field(
        0.001,
        ge=0,
        lt=1,
        description="how far the law may be wrong one decade of N or D from the decision, relative to the loss; it "
        "grows with the square of the decades",
    )
    economical: bool = Field(True, description="make no run that saves less compute at the decision than it costs")
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of the devices, e.g. 0.4")
    device: str | None = Field(None, description="device to give hours for, e.g. H100")
    rate: RateText | None = Field(None, description="price of device time, e.g. $2.10/H100-hour")


def task_of(basis: Basis, query: NextRunsQuery) -> Task:
    """The query in plain numbers.

    Raises:
        QueryError: limits that contradict each other.
    """
    window = searched(query.least_ratio, query.most_ratio)
    total = _money.budget(basis, query.budget, query.mfu).flop
    money = total / sum(PACE**k for k in range(query.rounds))
    largest = total if query.max_run is None else _money.budget(basis, query.max_run, query.mfu).flop
    runs = math.ceil(query.runs / query.rounds)
    checks = query.checks if query.checks is not None else round(runs / 6)
    if checks >= runs:
        raise QueryError(
            message(
                f"checks = {checks} of the {runs} runs of a batch (runs = {query.runs}, rounds = {query.rounds})",
                "fewer checks than runs",
                "raise runs or lower checks",
            )
        )
    limits = Limits(
        min(largest, money), query.min_params, query.max_params, query.min_tokens, query.max_tokens, *window
    )
    return Task(
        _money.budget(basis, query.at, query.mfu).flop, query.about, query.criterion, money, runs, query.repeats,
        checks, limits, query.spread, window, query.noise,
        query.bend, query.economical,
    )  # fmt: skip


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(basis: Basis, query: NextRunsQuery) -> Plan:
    """The runs to make next.

    Raises:
        QueryError: limits that contradict each other or leave no run.
        RefusedError: the law has no optimum at the decision.
    """
    return described(basis, query, chosen(basis, query))


def chosen(basis: Basis, query: NextRunsQuery, given: Candidates | None = None) -> Batch:
    """The batch that answers a query. Raises as `answer`."""
    task = task_of(basis, query)
    N = frontier(basis.surface, [task.at], window=task.window).N
    if not np.isfinite(N[0, 0]):
        raise RefusedError(
            message(
                f"The fit has no compute-optimal size at {format_short(task.at, 'flop')} "
                f"({task.window[0]:g} to {task.window[1]:g} tokens per parameter), so nothing to design for",
                "a stationary point of positive curvature",
                "a wider least_ratio and most_ratio, or first a few cheap runs over a wide range of sizes",
            )
        )
    with np.errstate(all="ignore"):
        return _batch.batch(basis, task, given)


def described(basis: Basis, query: NextRunsQuery, batch: Batch) -> Plan:
    """A batch as a plan."""
    task, level = task_of(basis, query), basis.level
    best = frontier(basis.surface, [task.at], window=task.window)
    data_unit, owed_d = _evidence.stated(basis.surface.conventions, "D", "tokens")
    counted, owed_n = _evidence.stated(basis.surface.conventions, "N", "total")
    share = float(np.mean(np.isfinite(best.N[1:, 0]))) if len(best.N) > 1 else 1.0
    size = query.about == "size"
    decision = {
        "N": decided(best.N[:, 0], "parameters", level, f"N* ({counted}) at {format_short(task.at, 'flop')}"),
        "loss": decided(best.loss[:, 0], "loss", level, "loss of that run"),
    }
    if basis.fit is not None:
        spent = FlopBudget(flop=batch.cost, how="")
        decision.update(_money.decisions(basis, spent, query.device, query.rate, query.mfu))
    warnings = [
        *_evidence.fit_findings(basis),
        *_evidence.distance_findings(basis, task.at),
        *_evidence.answered_finding(share, "have no interior optimum at this budget"),
        *_bends(basis, batch),
        *_judged(task, batch, size),
    ]
    owed = [owed_n, owed_d, _evidence.other_compute(basis), _noise_owed(batch), _prior_owed(basis)]
    return Plan(
        question="next-runs",
        headline=_headline(task, batch, size),
        decision=decision,
        expected=_gains(batch, size),
        tables=(_runs_table(batch, data_unit), _buys(task, batch, size), _others(basis, task, batch, size)),
        binding=_binding(task, batch),
        evidence=_evidence.evidence(basis, task.at, share),
        warnings=tuple(warnings),
        assumptions=(
            "A run costs 6ND unless candidates carry their own cost; its noise is the same at every size.",
            "The law is taken to be right: repeats and cheap runs lower noise, not a bend of the law. The checking "
            "runs are there to show one.",
            *(text for text in owed if text),
        ),
        citations=_evidence.citations(basis, planner.papers),
        level=level,
        query=query.model_dump(mode="json", exclude_none=True),
    )


# ------------------------------------------------------------------------------------------------------------- words


def _gains(batch: Batch, size: bool) -> dict[str, Expected]:
    """What the runs cost and what they are expected to teach."""
    now, after = (_in_shares(value, size)[0] for value in (batch.before, batch.after))
    what = "compute expected to be lost" if size else "standard deviation of the loss"
    rows = (
        ("runs", float(batch.counts.sum()), "count", "runs to make"),
        ("cost", batch.cost, "FLOP", "compute of all of them"),
        ("lost", now, "%", f"{what}, now"),
        ("lost_after", after, "%", f"{what}, after"),
        ("interval", batch.wide, "x", "90 % interval either way, now"),
        ("interval_after", batch.narrow, "x", "90 % interval either way, after"),
    )
    return {name: Expected(value, None, None, unit, meaning) for name, value, unit, meaning in rows}


def _headline(task: Task, batch: Batch, size: bool) -> str:
    count = int(batch.counts.sum())
    first = f"Make {count} run{'s' if count > 1 else ''} for {format_short(batch.cost, 'flop')}: "
    if not size:
        return first + (
            f"the interval of the loss at {format_short(task.at, 'flop')} narrows from a factor of {batch.wide:.4f} "
            f"to {batch.narrow:.4f} either way."
        )
    saved = (batch.before - batch.after) * task.at
    gains = (
        f"the compute expected to be lost at {format_short(task.at, 'flop')} falls from "
        f"{show(100 * batch.before, '%')} to {show(100 * batch.after, '%')}, {format_short(saved, 'flop')} less"
    )
    if task.economical and batch.stop:
        return (
            f"Stop: no batch of runs saves what it costs. The best of {count} for {format_short(batch.cost, 'flop')} "
            f"would save {format_short(max(saved, 0.0), 'flop')} at "
            f"{format_short(task.at, 'flop')}."
        )
    return f"{first}{gains}."


def _binding(task: Task, batch: Batch) -> str:
    if int(batch.counts.sum()) >= task.runs:
        return f"the number of runs ({task.runs} in this batch)"
    if batch.cost < 0.5 * task.money:
        return "the worth of the runs" if task.economical else "the limits of a run"
    return f"the money of this batch ({format_short(task.money, 'flop')})"


def _runs_table(batch: Batch, data_unit: str) -> Table:
    pick = batch.candidates
    lines: list[tuple[float | str | None, ...]] = []
    for k in sorted(np.flatnonzero(batch.counts), key=lambda k: (pick.cost[k], pick.N[k])):
        for count, why in ((batch.counts[k] - batch.checks[k], "decision"), (batch.checks[k], "checks the law")):
            if count:
                N, D, cost = float(pick.N[k]), float(pick.D[k]), float(pick.cost[k])
                lines.append((N, D, D / N, cost, float(count), float(count) * cost, why))
    return Table(
        "runs",
        "Runs to make",
        (
            ("N", "parameters"), ("D", data_unit), ("D/N", f"{data_unit}/parameter"), ("C", "FLOP"),
            ("repeats", "count"), ("cost", "FLOP"), ("for", ""),
        ),
        tuple(lines),
        "Repeats differ in their seed alone. Round N to a shape that can be built and keep the compute.",
    )  # fmt: skip


def _buys(task: Task, batch: Batch, size: bool) -> Table:
    lines: list[tuple[float | str | None, ...]] = []
    for part, count, cost, after in sorted(batch.ladder):
        saved = (batch.before - after) * task.at if size else None
        lines.append((100 * part, float(count), cost, *_in_shares(after, size), saved, *_per(saved, cost)))
    return Table(
        "budgets",
        "What more or less money would buy",
        (
            ("of the budget", "%"), ("runs", "count"), ("cost", "FLOP"),
            ("lost after" if size else "sd of loss after", "%"),
            ("saved", "FLOP"), ("saved / cost", "x"),
        ),
        tuple(lines),
        f"Now: {show(_in_shares(batch.before, size)[0], '%')}. "
        + ("Saved: compute that the decision is expected to waste no more. Below 1x a run is not worth its price."
           if size else ""),
    )  # fmt: skip


def _in_shares(value: float, size: bool) -> tuple[float]:
    """The criterion for people, in %: the share of the compute lost, or the standard deviation of the loss."""
    return (100 * value,) if size else (100 * math.sqrt(2 * value),)


def _per(saved: float | None, cost: float) -> tuple[float | None]:
    return (None if saved is None or cost <= 0 else saved / cost,)


def _others(basis: Basis, task: Task, batch: Batch, size: bool) -> Table:
    lines = tuple(
        (name, float(count), cost, *_in_shares(after, size))
        for name, count, cost, after in _batch.alternatives(basis, task, batch)
    )
    return Table(
        "alternatives",
        "The same money, spent in other ways",
        (
            ("design", ""), ("runs", "count"), ("cost", "FLOP"), ("lost after" if size else "sd of loss after", "%"),
        ),
        lines,
        "IsoFLOP grid: 5 budgets a decade apart, 7 sizes within 8x of the estimated optimum, limits aside.",
    )  # fmt: skip


def _judged(task: Task, batch: Batch, size: bool) -> list[Finding]:
    found = []
    if size and task.economical:
        best = f"{format_short(abs(batch.worth), 'flop')}"
        found.append(
            Finding("stop", "amber", f"No batch saves what it costs; the best one costs {best} too much.",
                    "Decide now; a run at the decision's own scale teaches more than another small one.")
            if batch.stop
            else Finding("worth", "green", f"The batch is expected to save {best} more than it costs.")
        )  # fmt: skip
    if not batch.checks.any():
        found.append(
            Finding("no-checks", "amber", "No run of this batch can contradict the law.",
                    "Keep some for it: checks=2, or more money per batch.")
        )  # fmt: skip
    largest = float(batch.candidates.cost[batch.counts > 0].max())
    if task.at > _evidence.RED_DISTANCE * largest:
        found.append(
            Finding("far", "amber",
                    f"The decision lies {show(task.at / largest, 'x')} beyond the largest of these runs.",
                    "The expected loss holds for a law that stays true that far.")
        )  # fmt: skip
    return found


def _bends(basis: Basis, batch: Batch) -> list[Finding]:
    pure, freedom = _batch.pure_error(basis)
    fit = basis.fit
    if freedom < 3 or fit is None or fit.scale != "log" or not fit.sigma > _FIT_BENDS * pure:
        return []
    return [
        Finding(
            "lack-of-fit",
            "amber",
            f"Repeats differ by {100 * pure:.2g} % and the law misses the runs by {100 * fit.sigma:.2g} %: the law "
            "bends where it should not, and more runs will not make it right.",
            "Drop the smallest runs, or fit a law with more freedom, before spending more.",
        )
    ]


def _noise_owed(batch: Batch) -> str | None:
    return f"One run's loss is taken to vary by {100 * batch.sigma:g} % (nobody said)." if batch.assumed else None


def _prior_owed(basis: Basis) -> str | None:
    if basis.fit is not None and basis.fit.runs is not None:
        return None
    known = "the spread of the draws" if len(next(iter(basis.surface.params.values()))) > 1 else "30 % each"
    return f"No runs were made yet: the parameters are taken to be known to {known}."


planner = Planner(
    id="next-runs",
    question="Which runs should be made next, and is another one worth its price?",
    query=NextRunsQuery,
    answer=answer,
    needs=("N", "D"),
    asks="compute-optimal",
    papers=("chaloner1995",),
    example=Frozen({"at": "1e24 FLOP", "budget": "1e22 FLOP"}),
)

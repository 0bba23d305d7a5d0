# SPDX-License-Identifier: Apache-2.0
"""What accuracy will a model have on a task, and what does a target accuracy cost?

Two steps (Gadre et al. 2024, sections 2 and 3; Bhagia et al. 2024): the loss of the model from its parameters and
tokens, and the accuracy (or error) from that loss. Forwards they predict a model; backwards a target asks for a loss,
and that for the least compute. One step straight from parameters and tokens (Krajewski et al. 2025) stands beside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import ForescaleError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Compute, format_short
from forescale.numerics.optimum import Where
from forescale.planning import _evidence, _money, _task_tables
from forescale.planning._chain import Chain, at_place, chain, findings, without_best
from forescale.planning._compose import composed, refused
from forescale.planning._frontier import frontier, must_split, reaching
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._quantities import BudgetText, ParamsText, RateText, TokensText
from forescale.planning._show import show

Array = NDArray[np.float64]


class TaskQuery(BaseModel):
    """A model, or a target."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    params: ParamsText | None = Field(None, description="parameters of the model, e.g. 7B; with a target: held")
    tokens: TokensText | None = Field(None, description="tokens it is trained on, e.g. 4T; with a target: held")
    ratio: float | None = Field(None, gt=0, description="tokens per parameter, e.g. 20; with a target: held")
    budget: BudgetText | None = Field(
        None, description="compute of the model in place of one of these, e.g. '1e23 FLOP'; alone: split optimally"
    )
    accuracy: float | None = Field(None, gt=0, lt=1, description="accuracy to reach, e.g. 0.7")
    error: float | None = Field(None, gt=0, lt=1, description="error to reach, 1 - accuracy, e.g. 0.45")
    loss_noise: float | None = Field(
        None, gt=0, description="standard deviation of one run's loss between its last checkpoints, e.g. 0.003"
    )
    resamples: int = Field(
        200, ge=20, le=2000, description="resamples of whole runs, where a table of checkpoints is given, e.g. 200"
    )
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of the devices, e.g. 0.4")
    device: str | None = Field(None, description="device to give hours for, e.g. H100")
    rate: RateText | None = Field(None, description="price of device time, e.g. $2.10/H100-hour")


@dataclass(frozen=True, eq=False)
class Place:
    """(B,) sizes and tokens of the model; `fixed`: they are the same for every draw. `loss`: asked of step 1."""

    N: Array
    D: Array
    binding: str
    fixed: bool
    loss: Array | None = None


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: TaskQuery) -> Plan:
    """The metric of a model, or the model for a metric.

    Raises:
        QueryError: neither a model nor a target, more than fixes the answer, or a table and a fit for the same step.
        ConventionError: steps that count the loss in different units.
        RefusedError: a target that no model reaches, or that any does; one step without the other; a law without an
            optimal split where one is asked for; an error of less than nothing.
    """
    target = _target(query)
    both = chain(grounds, query.loss_noise, query.resamples)
    basis, level = both.grounds.laws["loss"], grounds.level
    spend = None if query.budget is None else _money.budget(basis, query.budget, query.mfu)
    goal = None
    if target is not None:
        goal = 1.0 - target if both.metric == "error" else target
    place = _model(both, query, None if spend is None else spend.flop) if goal is None else _for(both, query, goal)
    n, d = of_estimate(place.N), of_estimate(place.D)
    c = spend.flop if spend is not None else 6.0 * n * d
    loss, value = both.loss(n, d)[:, 0], both.value(n, d)[:, 0]
    if both.metric == "error" and not value[0] > 0:
        raise refused(
            f"step 2 predicts an error of {value[0]:.4g} at a loss of {show(of_estimate(loss), 'loss')}: it knows no "
            "floor, and is asked where it has none of its own",
            "a model nearer to those of the fit",
            "accuracy-sigmoid, fitted to the same runs, has an upper end",
        )
    L, best = of_estimate(loss), of_estimate(value)
    band = at_place(both, L, best).expected(value, L)
    counted, owed = _evidence.stated(basis.surface.conventions, "N", "total")
    unit, _ = _evidence.stated(basis.surface.conventions, "loss", "loss")
    shown = place.loss if place.loss is not None else loss
    numbers = {
        "N": decided(place.N, "parameters", level, f"parameters N ({counted})"),
        "D": decided(place.D, "tokens", level, "tokens D"),
        "D/N": decided(place.D / place.N, "tokens/parameter", level, "tokens per parameter"),
        "C": decided(6.0 * place.N * place.D, "FLOP", level, "compute C (6ND)"),
    }
    if place.fixed or spend is not None:
        exact = {"N": n, "D": d, "D/N": d / n, "C": c}
        numbers = {
            k: Decided(exact[k], None, None, v.unit, v.meaning) if place.fixed or k == "C" else v
            for k, v in numbers.items()
        }
    if query.ratio is not None:
        numbers["D/N"] = replace(
            numbers["D/N"], lower=None, upper=None
        )  # held: what differs between draws is rounding
    end = both.of_loss(both.lowest(_held(query) if goal is not None else {})[:, None])[:, 0]
    decision: dict[str, Decided] = {}
    if goal is None:
        decision[both.metric] = decided(value, "", level, f"{both.metric} predicted")
    decision["task_loss"] = decided(
        shown, unit, level, _evidence.labelled("loss predicted" if goal is None else "loss required", unit)
    )
    decision |= numbers
    decision["end"] = decided(end, "", level, f"{both.metric} without end of compute")
    direct = _task_tables.one_step(both, n, d, goal)
    decision.update(direct)
    paid = spend or _money.budget(basis, Compute(c), query.mfu)
    decision.update(_money.decisions(basis, paid, query.device, query.rate, query.mfu))
    left = without_best(both, n, d)
    warned = findings(both, value, L, left, goal is not None)
    answered = np.isfinite(place.N) & np.isfinite(place.D) & np.isfinite(shown) & np.isfinite(value)
    plan = composed(
        both.grounds, planner, query,
        headline=_headline(both, goal, decision, L, value, unit),
        decision=decision,
        expected={both.metric: band} if band.prediction is not None else {},
        binding=place.binding,
        tables=(
            _task_tables.wrong_loss(both, n, d, left),
            *([] if goal is None else [_task_tables.other_targets(both, goal, _held(query))]),
            _task_tables.splits(both, n, d) if goal is None else _task_tables.routes(both, L, n, d),
        ),
        curves=_task_tables.curves(both, n, d),
        warnings=warned,
        assumptions=(
            "Compute is C = 6ND; schedules end at the horizon of the run; the task is asked as it was in the fit.",
            *both.notes, *paid.assumptions, *paid.notes, *([owed] if owed else []),
        ),
        answered=answered,
        at={"loss": {"N": n, "D": d}, "accuracy": {"loss": L}},
        C=c,
    )  # fmt: skip
    if "ladder" not in grounds.tables:
        return plan
    origin = replace(
        plan.evidence,
        rows=both.units,
        draws_from="resamples of whole runs",
        source=grounds.tables["ladder"].source or "the table",
    )
    return replace(plan, evidence=origin)


# ------------------------------------------------------------------------------------------------- what is asked


def _target(query: TaskQuery) -> float | None:
    """The accuracy asked for; None where a model is. Raises QueryError for both or neither."""
    if query.accuracy is not None and query.error is not None:
        raise QueryError(message("accuracy and error are both targets", "one of them"))
    named = [name for name in ("params", "tokens", "ratio", "budget") if getattr(query, name) is not None]
    if query.accuracy is None and query.error is None:
        if not named:
            raise QueryError(
                message(
                    "neither a model nor a target", "params and tokens, a budget, accuracy or error", "params='7B'"
                )
            )
        return None
    asked = "accuracy" if query.accuracy is not None else "error"
    if query.budget is not None:
        raise QueryError(
            message(f"budget and {asked} are both given", "a budget, or a target that says what it costs")
        )
    if len(named) > 1:
        raise QueryError(
            message(f"{' and '.join(named)} are held besides {asked}", "at most one: the target fixes the others")
        )
    return query.accuracy if query.accuracy is not None else 1.0 - float(query.error or 0.0)


def _held(query: TaskQuery) -> dict[str, float]:
    return {k: v for k in ("params", "tokens", "ratio") if (v := getattr(query, k)) is not None}


def _model(both: Chain, query: TaskQuery, C: float | None) -> Place:
    """The model that is asked about."""
    held = _held(query)
    named = [*held, *(["budget"] if C is not None else [])]
    if len(named) > 2 or named in (["params"], ["tokens"], ["ratio"]):
        raise QueryError(
            message(
                f"{' and '.join(named)} {'are' if len(named) > 1 else 'is'} given",
                "two of params, tokens, ratio and budget, or a budget alone",
            )
        )
    N, D = held.get("params"), held.get("tokens")
    if named == ["budget"]:
        must_split(
            both.surface.law,
            "does not say how to split compute",
            "params, tokens or ratio besides",
            "budget='1e23 FLOP', ratio=20",
        )
        found = frontier(both.surface, [C or math.nan])
        if not found.interior[0, 0]:
            raise refused(f"{both.surface.law.id!r} has no optimal size at this budget", "a size", "params or ratio")
        return Place(found.N[:, 0], found.D[:, 0], "the budget", False)
    ratio = held.get("ratio")
    if C is not None:
        N = N or (C / (6.0 * D) if D else math.sqrt(C / (6.0 * (ratio or math.nan))))
        D = C / (6.0 * N)
    N = N or (D or math.nan) / (ratio or math.nan)
    D = D or N * (ratio or math.nan)
    wide = np.ones(both.grounds.rows)
    return Place(N * wide, D * wide, f"{' and '.join(named)}, as given", True)


def _for(both: Chain, query: TaskQuery, goal: float) -> Place:
    """The least model for a target."""
    held = _held(query)
    if not held:
        must_split(
            both.surface.law,
            "does not say how to split compute",
            "params, tokens or ratio besides",
            f"{both.metric}={goal:g}, ratio=20",
        )
    required, where = both.required(goal)
    if not math.isfinite(required[0]):
        raise _no_loss(both, goal, int(where[0]))
    N, D, binding = reaching(both.surface, required, held)
    never = (where == Where.LOWER) & ~np.isfinite(required)
    N, D = np.where(never, math.inf, N), np.where(never, math.inf, D)
    if not (math.isfinite(N[0]) and math.isfinite(D[0])):
        raise _no_model(both, goal, of_estimate(required), held)
    lost = np.where(never, 0.0, required)
    return Place(N, D, binding.replace("the target loss", f"the target {both.metric}"), False, lost)


# ------------------------------------------------------------------------------------------------- no answer


def _no_loss(both: Chain, goal: float, where: int) -> ForescaleError:
    metric = both.metric
    if where == Where.LOWER:
        end = both.of_loss(np.zeros(1))[:, 0]
        return refused(
            f"an {metric} of {goal:.4g} lies beyond {of_estimate(end):.4g}{_between(both, end)}, where step 2 ends "
            "at a loss of zero",
            f"a target short of {of_estimate(end):.4g}",
            "a lower target, or larger runs that show where the curve ends",
        )
    guess = both.of_loss(np.array([1e3]))[:, 0]
    if where == Where.UPPER:
        return refused(
            f"an {metric} of {goal:.4g} is no target: step 2 gives {of_estimate(guess):.4g} to a model that has "
            "learned nothing",
            "a target between guessing and the end of the curve",
        )
    return refused(f"step 2 gives no loss for an {metric} of {goal:.4g}", "finite constants", "look at its verdict")


def _no_model(both: Chain, goal: float, required: float, held: dict[str, float]) -> ForescaleError:
    lowest = both.lowest(held)
    end = both.of_loss(lowest[:, None])[:, 0]
    if of_estimate(lowest) < required:
        return refused(
            f"the law {both.surface.law.id!r} gives a loss of {show(required, 'loss')} to models of any size",
            "a target between the runs and the end of the curve",
            "check that both steps use one loss",
        )
    what = f" with {next(iter(held))} held" if held else ""
    return refused(
        f"an {both.metric} of {goal:.4g} takes a loss of {show(required, 'loss')}, and no compute{what} brings it "
        f"below {show(of_estimate(lowest), 'loss')}, where the {both.metric} is {of_estimate(end):.4g}"
        f"{_between(both, end)}",
        f"a target short of {of_estimate(end):.4g}",
        "a lower target, better data, or larger runs that pin the floor down",
    )


def _between(both: Chain, values: Array) -> str:
    ends = interval(values, both.grounds.level)
    return "" if ends is None else f" ({100 * both.grounds.level:g} % {show(ends[0])}-{show(ends[1])})"


def _headline(
    both: Chain, goal: float | None, decision: dict[str, Decided], L: float, value: Array, unit: str
) -> str:
    n, d, c = (decision[name].value for name in ("N", "D", "C"))
    model = f"{format_short(n, 'parameters')} parameters on {format_short(d)} tokens"
    shown = show(of_estimate(value)) + _between(both, value)
    beside, ends = decision.get(f"one_step_{both.metric}"), (decision["C"].lower, decision["C"].upper)
    spread = "" if None in ends else f" ({100 * both.grounds.level:g} % {' to '.join(show(e, 'FLOP') for e in ends)})"
    text = (
        f"{model[0].upper()}{model[1:]} ({format_short(c, 'flop')}) will reach a loss of {show(L, 'loss')}"
        f"{_evidence.named(unit)} and an {both.metric} of {shown}."
        if goal is None
        else f"An {both.metric} of {show(goal)} takes a loss of {show(L, 'loss')}{_evidence.named(unit)}: {model}, "
        f"{format_short(c, 'flop')}{spread}."
    )
    return text + (f" One step without the loss says {show(beside.value)}." if beside is not None else "")


planner = Planner(
    id="task",
    question="What accuracy will this model have on a task, and what does a target accuracy cost?",
    query=TaskQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "the loss that the task follows, from parameters and tokens",
            laws=("chinchilla",),
            inputs=("N", "D"),
            default="overtraining:gadre2024-redpajama",
        ),
        Part(
            "accuracy",
            "accuracy or error of the task (or mean of tasks) from that loss",
            laws=("accuracy-sigmoid", "error-exponential"),
            inputs=("loss",),
            output="score",
            default="error-exponential:gadre2024-redpajama-17",
        ),
        Part(
            "direct",
            "accuracy straight from parameters and tokens, as a rival",
            laws=("accuracy-direct",),
            optional=True,
        ),
        Part(
            "ladder",
            "checkpoints of small runs, which hold both steps",
            columns=("run", "N", "D", "loss", "score"),
            optional=True,
        ),
    ),
    papers=("gadre2024", "bhagia2024"),
    example=Frozen({"params": "6.9B", "tokens": "138B"}),
    topic="how a task will go",
)

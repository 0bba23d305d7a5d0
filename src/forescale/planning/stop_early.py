# SPDX-License-Identifier: Apache-2.0
"""A run is under way: let it run, extend it, cool it down now, or stop it?

The end of the curve is forecast under the planned schedule and under the other continuations (`_running`: the
annealing law of Tissue et al. 2024 with what replayed public curves say of its errors), and held against a loss that
should be beaten: partial curves are good enough for that (Choshen et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.quantity import parse_loss
from forescale.core.schedule import Schedule
from forescale.core.schedule_text import Recipe, parse_recipe
from forescale.fitting._fit import Finding
from forescale.numerics.averaged import scatter
from forescale.planning import _running
from forescale.planning._compose import composed
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import LossText
from forescale.planning._running import Futures, Seen
from forescale.planning._schedules import StepsText
from forescale.planning._show import show
from forescale.runs.curves import RATES
from forescale.runs.table import Runs

Array = NDArray[np.float64]

PLAN, NOW, LONGER = "as planned", "cool down now", "extend"

REPLAYED = (0.3, 0.7)
"""Shares of the steps at which the intervals were tried."""


class StopEarlyQuery(BaseModel):
    """What is planned for the rest of the run, and what it must beat."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    schedule: str = Field(
        min_length=1, description="the planned schedule, e.g. 'cosine to 10%' or 'wsd: peak 3e-4, decay 20% linear'"
    )
    steps: StepsText | None = Field(None, description="steps of the whole run as planned, e.g. 24k")
    run: str | None = Field(None, description="which run of the table is under way, e.g. exp-17; needed for several")
    target: LossText | None = Field(None, description="last loss that the run should beat, e.g. 2.85")
    reference: str | None = Field(None, description="or the run of the table whose last loss it should beat")
    extend_to: StepsText | None = Field(None, description="steps of a longer run that could be made of it, e.g. 36k")
    decay: float = Field(
        0.1, gt=0, lt=0.9, description="share of its steps that cooling down now would take, e.g. 0.1"
    )
    sure: float = Field(0.9, gt=0.5, lt=1, description="probability from which advice is given, e.g. 0.9")


@dataclass(frozen=True)
class Option:
    """One continuation: its schedule, and what it is in words."""

    name: str
    made: Schedule
    words: str


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: StopEarlyQuery) -> Plan:
    """The forecast, the options and the advice.

    Raises:
        QueryError: no length of the plan, several runs and none named, a target and a reference, a plan that ended.
        DataError: a curve that cannot be read: repeated steps, too few losses.
        QuantityError: text that is no schedule.
    """
    table, level = grounds.tables["curve"], grounds.level
    run = _run(table, query)
    recipe = parse_recipe(query.schedule)
    seen, planned, notes = _seen(table, run, recipe, query)
    done, steps = int(seen.step[-1]), len(planned)
    options = _options(seen, planned, query)
    future = _running.futures(seen, [option.made for option in options], _running.shipped(), level=level)
    target, whose = _target(table, run, query)
    plan = future.values[:, 0]
    better = _better(future, target)
    decision: dict[str, Decided] = {
        "last_loss": decided(plan, "loss", level, "loss that will be logged at the end as planned"),
        "steps_left": Decided(float(steps - done), None, None, "count", "steps left as planned"),
        "to_gain": decided(future.now - plan, "", level, "loss that these steps will bring"),
    }
    for i, option in enumerate(options[1:], start=1):
        key = option.name.replace(" ", "_")
        gap = future.values[:, i] - plan
        decision[f"{key}_loss"] = decided(gap, "", level, f"last loss less that of the plan, if you {option.words}")
        left = float(len(option.made) - done)
        decision[f"{key}_steps"] = Decided(left, None, None, "count", f"steps left if you {option.words}")
    if target is not None:
        decision["p_better"] = Decided(100.0 * better[0], None, None, "%", f"probability of ending below {whose}")
    advice, reason = _advice(options, future, better, target, whose, query.sure)
    unit = grounds.tables["curve"].conventions.loss or "loss"
    ends = interval(plan, level)
    return composed(
        grounds, planner, query,
        headline=(
            f"{advice} After {done:,} of {steps:,} steps the run will end at {show(float(plan[0]), 'loss')}"
            f"{'' if ends is None else f' [{ends[0]:.3f}, {ends[1]:.3f}]'} as planned{reason}."
        ),
        decision=decision,
        binding="the planned schedule" if target is None else f"the loss to beat, {target:.4g}",
        expected={
            "loss": Expected(float(plan[0]), None, ends, unit, "loss at the end as planned"),
        },
        tables=[_compared(options, future, better, target, level, unit, done), _mistakes(future, level, unit)],
        curves=_curves(seen, future, options),
        warnings=_trouble(seen, planned),
        assumptions=[
            *notes,
            _running.replayed(),
            f"{_running.DRAWS:,} draws of the unknowns with a fixed seed, the same for all options.",
        ],
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the question


def _run(table: Runs, query: StopEarlyQuery) -> str:
    names = _names(table)
    if query.target is not None and query.reference is not None:
        raise QueryError(message("target and reference are both given", "one loss to beat", "leave one of them out"))
    for asked in (query.run, query.reference):
        if asked is not None and asked not in names:
            raise QueryError(message(f"{table.source} has no run {asked!r}", "", nearest(asked, names)))
    if query.run is not None:
        if query.run == query.reference:
            raise QueryError(message(f"run and reference are both {query.run!r}", "another run to beat"))
        return query.run
    others = [name for name in names if name != query.reference]
    if len(others) != 1:
        raise QueryError(
            message(f"{table.source} has {len(others)} runs and none was named", "run", nearest("", others))
        )
    return others[0]


def _names(table: Runs) -> list[str]:
    if "run" in table.labels:
        return list(dict.fromkeys(table.labels["run"].tolist()))
    return list(table.curves) or ["run"]


def _points(table: Runs, run: str) -> tuple[Array, Array, Array]:
    """Steps, losses and rates of one run, in order; rates NaN where none was logged.

    Raises:
        DataError: steps that repeat, or no losses at all.
    """
    if run in table.curves:
        curve = table.curves[run]
        step, loss, rate = curve.step, curve.loss, curve.lr
    elif "step" not in table.columns:
        raise DataError(message(f"{table.source} has neither curves nor a column step", "rows of step and loss"))
    else:
        rows = table.labels["run"] == run if "run" in table.labels else np.ones(len(table), dtype=bool)
        name = next((name for name in RATES if name in table.columns), None)
        step, loss = table["step"][rows], table["loss"][rows]
        rate = np.full(step.size, np.nan) if name is None else table[name][rows]
    order = np.argsort(step, kind="stable")
    step, loss, rate = step[order], loss[order], rate[order]
    if np.any(np.diff(step) <= 0):
        raise DataError(
            message(f"steps of the run {run!r} repeat", "each step once", "keep the later rows of a restart")
        )
    if not (np.isfinite(loss) & (step >= 1)).any():
        raise DataError(message(f"the run {run!r} has no losses", "logged losses at steps from 1 on"))
    return step, loss, rate


def _seen(table: Runs, run: str, recipe: Recipe, query: StopEarlyQuery) -> tuple[Seen, Schedule, list[str]]:
    """The curve so far with its rates, the whole schedule as planned, and what was assumed."""
    step, loss, rate = _points(table, run)
    there = np.isfinite(loss) & (step >= 1)
    done = int(step[there][-1])
    steps = query.steps or recipe.steps
    if steps is None:
        raise QueryError(message("schedule says no number of steps", "steps, e.g. 24k, or 'wsd: 24000 steps, ...'"))
    if query.steps is not None and recipe.steps not in (None, query.steps):
        raise QueryError(message(f"steps = {query.steps:,} and a schedule of {recipe.steps:,} steps", "one of them"))
    if done >= steps:
        raise QueryError(message(f"steps = {steps:,} and the run has done {done:,}", "a run that has not ended"))
    logged = np.isfinite(rate) & (step >= 1)
    changing = logged.any() and (np.ptp(rate[logged]) > 0 or recipe.peak is None)
    notes: list[str] = []
    known: Schedule | None = None
    if changing:
        warmup = recipe.warmup
        if "warmup_steps" in table.columns and warmup is None:
            warmup = int(np.nanmax(table["warmup_steps"]))
        known = Schedule.logged(step, rate, warmup=warmup)
    peak = recipe.peak or (None if known is None else known.peak)
    if peak is None:
        raise QueryError(message("schedule names no peak and the table no learning rates", "'wsd: peak 3e-4, ...'"))
    warm = recipe.warmup if recipe.warmup is not None else 0 if known is None else known.warmup
    planned = recipe.schedule(steps, peak, warm)
    if known is None:
        notes.append("The table holds no learning rates: those of the plan are taken for what was done.")
        past = Schedule(planned.lr[:done], min(planned.warmup, done))
    else:
        # what is done is done: the plan tells only what comes
        past = Schedule(known.lr[:done], min(known.warmup, done))
        planned = Schedule(np.concatenate([past.lr, planned.lr[done:]]), past.warmup)
    return Seen(step[there], loss[there], past), planned, notes


def _options(seen: Seen, planned: Schedule, query: StopEarlyQuery) -> list[Option]:
    done, steps = len(seen.past), len(planned)
    found = [Option(PLAN, planned, "go on as planned")]
    end = min(float(planned.lr[-1]), float(seen.past.lr[-1]))
    length = max(round(query.decay / (1.0 - query.decay) * done), 1)
    if done + length < steps:
        found.append(Option(NOW, _cooled(seen.past, 0, length, end), f"cool down now over {length:,} steps"))
    if query.extend_to is not None:
        if query.extend_to <= steps:
            raise QueryError(
                message(f"extend_to = {query.extend_to:,} and steps = {steps:,}", "more steps than are planned")
            )
        more = query.extend_to - done
        cooling = max(round(min(0.2 * query.extend_to, more)), 1)
        longer = _cooled(seen.past, more - cooling, cooling, end)
        found.append(Option(LONGER, longer, f"hold the rate and cool down over the last {cooling:,} steps"))
    return found


def _cooled(past: Schedule, held: int, length: int, end: float) -> Schedule:
    """The past, then its last rate held, then a linear cool-down."""
    last = float(past.lr[-1])
    fall = last + (end - last) * np.arange(1, length + 1) / length
    return Schedule(np.concatenate([past.lr, np.full(held, last), fall]), past.warmup)


def _target(table: Runs, run: str, query: StopEarlyQuery) -> tuple[float | None, str]:
    if query.target is not None:
        value = parse_loss(query.target, table.conventions.loss)
        return value, f"{value:.4g}"
    if query.reference is None:
        return None, ""
    _, loss, _ = _points(table, query.reference)
    value = float(loss[np.isfinite(loss)][-1])
    return value, f"{query.reference} ({value:.4g})"


# --------------------------------------------------------------------------------------------------------- the answer


def _better(future: Futures, target: float | None) -> list[float]:
    return [math.nan] * future.mean.size if target is None else np.mean(future.values[1:] < target, axis=0).tolist()


def _advice(
    options: list[Option], future: Futures, better: list[float], target: float | None, whose: str, sure: float
) -> tuple[str, str]:
    names = [option.name for option in options]
    if target is None:
        if NOW not in names:
            return "Go on: cooling down now saves nothing.", ""
        i = names.index(NOW)
        gap = future.values[:, i] - future.values[:, 0]
        saved = len(options[0].made) - len(options[i].made)
        return "Go on.", f"; cooling down now saves {saved:,} steps and ends {gap[0]:+.4f} from there"
    said = f"; it ends below {whose} with a probability of {100 * better[0]:.0f} %"
    if NOW in names and better[names.index(NOW)] >= sure:
        return (
            "Cool down now: that is enough.",
            f"{said}, cooled down now with {100 * better[names.index(NOW)]:.0f} %",
        )
    if better[0] >= sure:
        return "Go on: it will do.", said
    if LONGER in names and better[names.index(LONGER)] >= sure and better[0] < 0.5:
        return "Extend it.", f"{said}, extended with {100 * better[names.index(LONGER)]:.0f} %"
    if max(better) <= 1.0 - sure:
        return "Stop it.", said
    return "Go on and look again: it is open.", said


def _compared(
    options: list[Option],
    future: Futures,
    better: list[float],
    target: float | None,
    level: float,
    unit: str,
    done: int,
) -> Table:
    rows: list[tuple[float | str | None, ...]] = []
    for i, option in enumerate(options):
        ends = interval(future.values[:, i], level) or (None, None)
        gap = future.values[:, i] - future.values[:, 0]
        between = (None, None) if i == 0 else interval(gap, level) or (None, None)
        chance = None if target is None else 100.0 * better[i]
        rows.append(
            (
                option.name, float(len(option.made) - done), float(future.mean[i]), *ends,
                None if i == 0 else float(gap[0]), *between, chance,
            )
        )  # fmt: skip
    rows.append(("stop", 0.0, future.now, None, None, future.now - float(future.mean[0]), None, None, None))
    return Table(
        "options",
        "What could be done with the run",
        (
            ("option", ""), ("steps left", "count"), ("loss", unit), ("from", unit), ("to", unit), ("above plan", ""),
            ("from ", ""), ("to ", ""), ("below target", "%"),
        ),
        tuple(rows),
        "stop: the smooth curve now, at the rate of now. Differences are drawn together.",
    )  # fmt: skip


def _mistakes(future: Futures, level: float, unit: str) -> Table:
    """Where it ends when the steps left bring another share of what is forecast."""
    drop = float(future.now - future.mean[0])
    wide = _running.shipped().widening * _running.deviate(level)
    rows = [
        (factor, float(future.now - factor * drop), float((1.0 - factor) * drop))
        for factor in (0.7, 0.85, 1.0, 1.15, 1.3)
    ]
    return Table(
        "sensitivity",
        "Where it ends if the steps left bring less or more than forecast",
        (("brings", "x"), ("loss", unit), ("against the forecast", "")),
        tuple(rows),
        f"Forecast to bring {drop:.4f}; the interval allows the law's form an error of {100 * wide:.0f} % of it.",
    )


def _curves(seen: Seen, future: Futures, options: list[Option]) -> dict[str, Mapping[str, Array]]:
    few = np.unique(np.linspace(0, seen.step.size - 1, 120).round().astype(np.intp))
    steps = np.unique(np.round(np.linspace(1, max(len(o.made) for o in options), 120)))
    rates = {}
    for option in options:
        at = np.minimum(steps, len(option.made)).astype(np.intp)
        rates[option.name] = np.where(steps <= at, option.made.lr[at - 1], np.nan)
    return {
        "forecast": Frozen(
            {
                "step": future.steps,
                "loss": future.along[:, 0],
                "lower": future.along[:, 1],
                "upper": future.along[:, 2],
            }
        ),
        "so far": Frozen({"step": seen.step[few], "loss": seen.loss[few]}),
        "rate": Frozen({"step": steps, **rates}),
    }


# ------------------------------------------------------------------------------------------------ what must be said


def _rise(loss: Array, last: int, before: int) -> float:
    """Difference of two means that the scatter of the points does not explain; at least a fifth of a per cent."""
    alone = 3.0 * scatter(loss) * math.sqrt(1.0 / last + 1.0 / before)
    return max(alone, 2e-3 * float(np.median(loss)))


def _trouble(seen: Seen, planned: Schedule) -> list[Finding]:
    found = []
    done, steps = len(seen.past), len(planned)
    if done < REPLAYED[0] * steps:
        found.append(
            Finding(
                "early", "amber",
                f"{100 * done / steps:.0f} % of the steps are done; the intervals were tried on curves cut at "
                f"{100 * REPLAYED[0]:.0f} % and later.",
            )
        )  # fmt: skip
    last = seen.loss[seen.step > 0.9 * done]
    before = seen.loss[(seen.step > 0.75 * done) & (seen.step <= 0.9 * done)]
    if last.size and before.size and last.mean() - before.mean() > _rise(seen.loss, last.size, before.size):
        found.append(
            Finding(
                "rising", "red",
                f"The loss has risen from {before.mean():.4g} to {last.mean():.4g} at the end of what is logged: no "
                "curve of this form does, and the forecast does not hold.",
                "Look for a spike or a divergence first.",
            )
        )  # fmt: skip
    here, there = float(seen.past.lr[-1]), float(planned.lr[done])
    if abs(there - here) > 0.1 * seen.past.peak:
        found.append(
            Finding(
                "plan-jumps", "amber",
                f"The plan goes on at a rate of {there:.3g} and the last logged one is {here:.3g}: is it the plan of "
                "this run?",
            )
        )  # fmt: skip
    if seen.past.lr[-1] > 0.95 * seen.past.peak and planned.lr[-1] < 0.9 * seen.past.peak:
        found.append(
            Finding(
                "no-drop-yet", "amber",
                "The rate has not fallen yet, so what its fall will gain is taken from other runs' curves.",
                "Cool a branch down for a few per cent of the steps: that measures it.",
            )
        )  # fmt: skip
    return found


planner = Planner(
    id="stop-early",
    question="Let this run go on, extend it, cool it down now, or stop it?",
    query=StopEarlyQuery,
    answer=answer,
    parts=(Part("curve", "the losses of a run so far: run, step, loss, lr_now", columns=("loss",)),),
    papers=("tissue2024", "choshen2024"),
    example=Frozen({"schedule": "wsd: peak 3e-4, decay 20%, warmup 1000", "steps": "20k"}),
)

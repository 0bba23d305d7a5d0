# SPDX-License-Identifier: Apache-2.0
"""Which learning-rate schedule over these steps, and when should the rate begin to fall?

A law along curves (Tissue et al. 2024; Luo et al. 2025) gives the last loss of any schedule of one model. Schedules
are compared at equal steps, draw by draw; the share of the cool-down is the minimum of one curve; the best schedule
of any falling form is searched where the law allows it (Luo et al. 2025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.schedule import SHAPES, Schedule
from forescale.core.schedule_text import Recipe, parse_recipes
from forescale.fitting._fit import Finding
from forescale.numerics.optimum import Where
from forescale.planning import _schedule_tables, _schedules
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, expected, interval, of_estimate
from forescale.planning._plan import Basis, Decided, Expected, Grounds, Part, Plan, Planner
from forescale.planning._quantities import ParamsText
from forescale.planning._schedules import Family, Seen, StepsText
from forescale.planning._show import show

Array = NDArray[np.float64]

COMPARED = "cosine; cosine to 10%; constant; wsd: decay 10%; wsd: decay 20%; wsd: decay 20% 1-sqrt"
BEST = "best cool-down"
FREE = "best under the law"

NOISE = 0.001
"""Relative standard deviation of the last loss of one run where the fit does not know it; announced."""


class ScheduleQuery(BaseModel):
    """A horizon, a peak rate, and the schedules that could be used."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    steps: StepsText | None = Field(None, description="optimiser steps of the run, e.g. 24k; default as in the fit")
    hours: float | None = Field(None, gt=0, description="or the hours that are left until the deadline, e.g. 36")
    seconds_per_step: float | None = Field(None, gt=0, description="seconds that one step takes, e.g. 0.8")
    done: StepsText | None = Field(None, description="steps already done at the peak rate, e.g. 8000")
    peak: float | None = Field(None, gt=0, lt=10, description="peak learning rate, e.g. 3e-4; default as in the fit")
    warmup: int | None = Field(None, ge=0, description="steps of the warm-up, e.g. 2000; default as in the fit")
    schedules: str = Field(
        COMPARED, min_length=1,
        description="what to compare, e.g. 'cosine to 10%; wsd: decay 20% linear'; differences are from the first",
    )  # fmt: skip
    shape: str = Field("linear", description="form of the cool-down whose share is looked for, e.g. 1-sqrt")
    end: float = Field(0.0, ge=0, lt=1, description="last rate of that cool-down as a share of the peak, e.g. 0.1")
    params: ParamsText | None = Field(None, description="model size, for a law that reads N, e.g. 100M")
    free_form: bool = Field(False, description="also search the best schedule of any falling form, e.g. true")


@dataclass(frozen=True)
class Asked:
    """The query with its gaps filled; `notes` say from where."""

    steps: int
    peak: float
    warmup: int
    done: int
    inputs: dict[str, float]
    recipes: tuple[Recipe, ...]
    notes: tuple[str, ...]


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: ScheduleQuery) -> Plan:
    """The schedules compared, and the best start of the cool-down.

    Raises:
        QueryError: no horizon or peak rate, two horizons, steps done beyond the horizon, a size that the law does not
            read or lacks.
        QuantityError: text that is no schedule.
        RefusedError: a law without schedules; a free form under a law that is linear in the drops.
    """
    basis, level = grounds.laws["loss"], grounds.level
    surface = basis.surface
    if surface.law.schedule is None:
        raise refused(f"the law {surface.law.id!r} reads no schedule", "annealing, annealing-size or multi-power")
    known = _schedules.seen(basis)
    asked = _asked(basis, query, known)
    linear_in_drops = "tau" in surface.law.params or "tau" in surface.law.id
    family = Family(
        asked.steps, asked.peak, asked.warmup, query.end * asked.peak, _shape(query),
        1.0 - max(asked.warmup, asked.done) / asked.steps, Frozen(asked.inputs),
    )  # fmt: skip
    found = family.cooldowns(surface)
    answered = np.isfinite(found.loss)
    if not answered[0]:
        raise refused(
            "these constants give no finite last loss for any cool-down", "finite constants of a law along curves"
        )
    share, best = of_estimate(found.share), of_estimate(found.loss)
    made = {recipe.text: recipe.schedule(asked.steps, asked.peak, asked.warmup) for recipe in asked.recipes}
    names = [*made, BEST]
    made[BEST] = family.schedule(share)
    if query.free_form:
        if linear_in_drops:
            raise refused(
                f"{surface.law.id!r} is linear in the drops of the rate, so its best schedule is one drop to zero, "
                "which no one has seen to work",
                "a law that saturates: multi-power",
                "leave free_form out",
            )
        made[FREE] = _free_form(basis, asked)
        names.append(FREE)
    losses = _schedules.finals(surface, list(made.values()), asked.inputs)

    steps, peak = asked.steps, asked.peak
    shares = found.share
    decision: dict[str, Decided] = {
        "decay_start": decided(steps * (1.0 - shares), "count", level, "step after which the rate falls"),
        "decay_steps": decided(steps * shares, "count", level, "steps of the cool-down"),
        "decay_share": decided(100.0 * shares, "%", level, "share of all steps that cool down"),
        "gain": decided(losses[:, 0] - found.loss, "", level, f"loss below that of {names[0]!r}"),
    }
    if query.seconds_per_step is not None:
        wait = (steps * (1.0 - shares) - asked.done) * query.seconds_per_step / 3600.0
        decision["hours_to_decay"] = decided(wait, "", level, "hours from now until the rate falls")
    decision |= {
        "steps": Decided(float(steps), None, None, "count", "steps of the run"),
        "peak": Decided(peak, None, None, "", "peak learning rate"),
    }
    if query.free_form:
        decision["free_form_gain"] = decided(
            losses[:, names.index(BEST)] - losses[:, names.index(FREE)], "", level,
            "loss below that of the best cool-down, by the free form of the estimate",
        )  # fmt: skip
    unit = surface.conventions.get("loss", "loss")
    noise, owed = _noise(basis, best)
    where = Where(int(found.where[0]))
    binding = {
        Where.LOWER: "the shortest cool-down that is looked at",
        Where.UPPER: "the steps already done" if asked.done > asked.warmup else "the end of the warm-up",
    }.get(where, f"the horizon of {steps:,} steps")
    at = f"over the last {100 * share:.3g} % ({steps * share:,.0f} of {steps:,} steps, from step "
    return composed(
        grounds, planner, query,
        headline=(
            f"Hold the rate at {show(peak)}, then cool it down ({family.shape}) {at}{steps * (1 - share):,.0f}): "
            f"last loss {show(best, 'loss')}, {_against(losses[:, 0] - found.loss, names[0], level)}."
        ),
        decision=decision,
        binding=binding,
        expected={"loss": _expected(basis, made[BEST], losses[:, names.index(BEST)], unit, asked)},
        tables=[
            _schedule_tables.compared(names, made, losses, level, unit),
            _schedule_tables.mistakes(family, found, level, unit),
            _schedule_tables.alternatives(basis, family, found, noise, unit),
            _schedule_tables.horizons(basis, family, found, max(asked.warmup, asked.done), unit),
            *([_schedule_tables.rates(made[FREE])] if query.free_form else []),
        ],
        curves=_schedule_tables.curves(basis, family, made, found),
        warnings=[*_trouble(basis, known, asked, made, linear_in_drops, share), *_edge(where, binding, asked)],
        assumptions=[
            *asked.notes, *([owed] if owed else []),
            "Batch size, optimiser and data are those of the fitted runs; what differs is the rate alone.",
            *(["The free form is searched for the estimate and then held for all draws."] if query.free_form else []),
        ],
        answered=answered,
        at={"loss": {"step": float(steps), **asked.inputs}},
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- the question


def _asked(basis: Basis, query: ScheduleQuery, known: Seen) -> Asked:
    recipes = parse_recipes(query.schedules)
    notes: list[str] = []
    done = query.done or 0
    if query.hours is not None and query.seconds_per_step is None:
        raise QueryError(message("hours without seconds_per_step", "both, to count the steps that are left"))
    if query.hours is not None and query.steps is not None:
        raise QueryError(
            message(f"steps = {query.steps:,} and hours = {query.hours:g}", "one horizon", "leave one of them out")
        )
    stated = {recipe.steps for recipe in recipes if recipe.steps} | ({query.steps} if query.steps else set())
    if query.hours is not None:
        steps = done + int(query.hours * 3600.0 / (query.seconds_per_step or 1.0))
    elif stated:
        steps = max(stated)
    elif math.isfinite(known.steps):
        steps = int(known.steps)
        notes.append(f"The run takes {steps:,} steps, as the longest of the fit.")
    else:
        raise QueryError(message("schedule without steps", "the optimiser steps of the run, e.g. 24k"))
    if any(other != steps for other in stated):
        raise QueryError(
            message(
                f"steps = {steps:,} and schedules of {', '.join(f'{s:,}' for s in sorted(stated - {steps}))}",
                "schedules of one length: they are compared at equal steps",
            )
        )
    peak = query.peak or known.peak
    if not math.isfinite(peak):
        raise QueryError(message("schedule without peak", "the peak learning rate, e.g. 3e-4"))
    if query.peak is None:
        notes.append(f"The peak rate is {peak:g}, as in the fit.")
    warmup = known.warmup if query.warmup is None else query.warmup
    if query.warmup is None:
        notes.append(f"The warm-up takes {warmup:,} steps{', as in the fit' if warmup else ' (none was named)'}.")
    if max(warmup, done) + 2 > steps:
        name, value = ("done", done) if done >= warmup else ("warmup", warmup)
        raise QueryError(message(f"{name} = {value:,} of steps = {steps:,}", "steps that are left to cool down in"))
    inputs: dict[str, float] = {}
    if "N" in basis.surface.law.inputs:
        size = query.params or basis.surface.fitted_range.get("N", (0.0, math.nan))[1]
        if not math.isfinite(size):
            raise QueryError(message(f"{basis.surface.law.id!r} needs params", "the model size, e.g. 100M"))
        if query.params is None:
            notes.append(f"The model has {show(size, 'parameters')} parameters, as the largest of the fit.")
        inputs["N"] = float(size)
    elif query.params is not None:
        raise QueryError(message(f"params was given and {basis.surface.law.id!r} reads no size", "leave it out"))
    return Asked(steps, float(peak), warmup, done, inputs, recipes, tuple(notes))


def _shape(query: ScheduleQuery) -> str:
    if query.shape not in SHAPES:
        raise QueryError(message(f"shape = {query.shape!r}", "one of " + ", ".join(SHAPES)))
    if query.shape == "exponential" and query.end == 0.0:
        raise QueryError(message("shape = 'exponential' with end = 0", "an end above zero, e.g. 0.1"))
    return query.shape


def _free_form(basis: Basis, asked: Asked) -> Schedule:
    from forescale.planning._free_form import best_schedule  # only where it is asked for

    params = {name: of_estimate(values) for name, values in basis.surface.params.items()}
    law = basis.surface.law
    return best_schedule(law, params, asked.peak, asked.steps, max(asked.warmup, asked.done), asked.inputs)[0]


# -------------------------------------------------------------------------------------------------------- the answer


def _against(gain: Array, name: str, level: float) -> str:
    ends = interval(gain, level)
    mean = of_estimate(gain)
    between = "" if ends is None else f" [{ends[0]:+.4f}, {ends[1]:+.4f}]"
    return f"{abs(mean):.4f}{between} {'below' if mean >= 0 else 'above'} {name}"


def _expected(basis: Basis, made: Schedule, values: Array, unit: str, asked: Asked) -> Expected:
    """The bands of the fit at the end of the recommended schedule."""
    what = "last loss of that cool-down"
    if basis.fit is None:
        return Expected(of_estimate(values), interval(values, basis.level), None, unit, what)
    given = {"step": float(asked.steps), str(basis.surface.law.schedule): made, **asked.inputs}
    return expected(basis, unit, what, **given)  # type: ignore[arg-type]


def _noise(basis: Basis, loss: float) -> tuple[float, str]:
    """Standard deviation of one run's last loss, and the sentence owed where it is assumed."""
    if math.isfinite(basis.sigma) and basis.sigma > 0:
        raw = basis.fit is not None and basis.fit.scale == "raw"
        return (basis.sigma if raw else basis.sigma * loss), ""
    return NOISE * loss, f"One run's last loss is taken to vary by {100 * NOISE:g} % (the fit does not know it)."


# ------------------------------------------------------------------------------------------------ what must be said


def _trouble(
    basis: Basis, known: Seen, asked: Asked, made: dict[str, Schedule], linear_in_drops: bool, share: float
) -> list[Finding]:
    found = []
    if math.isfinite(known.peaks[0]) and not known.peaks[0] / 1.05 <= asked.peak <= 1.05 * known.peaks[1]:
        found.append(
            Finding(
                "peak", "amber",
                f"The peak of {asked.peak:g} is not that of the fitted runs ({known.peaks[1]:g}): constants along "
                "curves have the unit of the rate and do not carry over.",
                "Fit a run at this peak.",
            )
        )  # fmt: skip
    if asked.steps > 1.5 * known.steps:
        found.append(
            Finding(
                "horizon", "amber",
                f"{asked.steps:,} steps are {asked.steps / known.steps:.2g} times the longest fitted curve; on "
                "cosines of three times the length such laws err several times as much as within it.",
            )
        )  # fmt: skip
    low = [name for name, one in made.items() if one.lr[-1] < 0.5 * known.least]
    if low:
        found.append(
            Finding(
                "end-rate", "amber",
                f"{', '.join(low)} end{'s' if len(low) == 1 else ''} below {known.least:g}, the lowest last rate of "
                "the fitted runs.",
                "Fit a run that cools down as far.",
            )
        )  # fmt: skip
    if known.curves == 1:
        found.append(
            Finding(
                "one-curve", "amber", "The law was fitted to one curve, which badly tells training from annealing.",
                "Fit schedules that differ: a constant rate, a cosine, a drop.",
            )
        )  # fmt: skip
    if linear_in_drops:
        found.append(
            Finding(
                "linear-in-drops", "amber",
                "This law gives a sudden drop the gain of a slow one after its memory: short cool-downs look better "
                "than they are.",
                "multi-power saturates; fit it to the same curves and compare.",
            )
        )  # fmt: skip
    if basis.fit is not None and basis.fit.runs is None and basis.surface.law.id == "multi-power":
        found.append(
            Finding(
                "last-step", "amber",
                "At the last step of curves of 25M and 100M the published constants put cool-downs 0.010 to 0.017 "
                "too low and cosines of 24,000 steps 0.011 too high: differences are half as large as they say.",
                "Fit curves of your own model.",
            )
        )  # fmt: skip
    if FREE in made:
        found.append(
            Finding(
                "optimal-for-the-law", "amber",
                f"{FREE!r} is optimal for the law, whose errors it also exploits: what it gains over the best "
                "cool-down is about as large as they are.",
                "Train it once next to a plain cool-down.",
            )
        )  # fmt: skip
    return found


def _edge(where: Where, binding: str, asked: Asked) -> list[Finding]:
    if where not in (Where.LOWER, Where.UPPER):
        return []
    text = f"The loss is least at {binding}: there is no best share inside what was looked at."
    return [Finding("edge", "amber", text, "Start the cool-down now." if asked.done > asked.warmup else "")]


planner = Planner(
    id="schedule",
    question="Which learning-rate schedule over these steps, and when should the rate begin to fall?",
    query=ScheduleQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "the loss of one model at every step from its learning rates",
            laws=("annealing", "multi-power", "annealing-size"),
            inputs=("step",),
            default="multi-power:luo2025-400m",
        ),
    ),
    papers=("luo2025", "tissue2024", "hagele2024"),
    example=Frozen({"steps": "24k", "peak": 3e-4, "warmup": 2160}),
)

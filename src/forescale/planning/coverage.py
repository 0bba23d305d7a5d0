# SPDX-License-Identifier: Apache-2.0
"""How many problems do k attempts solve, and how many attempts does a coverage take?

From counts per problem (Brown et al. 2024, Schaeffer et al. 2025): the unbiased share up to the attempts that were
made, and beyond them several forms of the tail of hard problems, each tried by hiding most of the attempts and
foretelling all of them. Why the attempts at a problem ended must be said: it decides which estimate is valid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting.attempts import STOP_RULES, Attempts, attempts_of
from forescale.fitting.coverage_forecast import Foretold, foretell
from forescale.planning._compose import composed, refused
from forescale.planning._curves import banded
from forescale.planning._intervals import decided, interval
from forescale.planning._numbers import NumbersText
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._show import show
from forescale.runs.samples import of_model

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

FAR, FARTHEST = 10.0, 100.0
"""Times the attempts made beyond which a forecast is amber, and beyond which it is refused."""
STEPS = (1.0, 2.0, 5.0)
FEW_PROBLEMS = 30
FEW_UNSOLVED = 5
POINTS = 60
"""Numbers of attempts at which the curve is known; between them it is straight in log k and log of what is left."""


class CoverageQuery(BaseModel):
    """Why attempts ended, and what is asked about more of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    stop_rule: Literal["fixed_n", "until_r", "until_first", "adaptive"] | None = Field(
        None,
        description="why the attempts at a problem ended, e.g. fixed_n; may stand in the table instead, as stop_rule",
    )
    until: int | None = Field(
        None, ge=1, description="passes at which attempts ended, for until_r, e.g. 5 (default: most of a problem)"
    )
    attempts: NumbersText | None = Field(
        None, description="attempts per problem to forecast, e.g. 1000,10000 (default: 10 times those made)"
    )
    target: float | None = Field(None, gt=0, lt=1, description="share of the problems to be solved, e.g. 0.9")
    model: str | None = Field(None, description="which model of the table, e.g. pythia-1b")


@dataclass(frozen=True, eq=False)
class _Curve:
    """The forecast on a grid of attempts, and where in it the question lies."""

    found: Foretold
    seen: float
    farthest: float

    def at(self, k: float, form: str | None = None) -> Array:
        """(1 + B,) coverage after k attempts."""
        values = self.found.pooled if form is None else self.found.by_form[form]
        place = np.flatnonzero(self.found.k == k)
        return values[:, int(place[0])]

    def attempts_for(self, target: float) -> Array:
        """(1 + B,) attempts that reach a coverage; infinite where none that may be asked about do."""
        k, left = np.log(self.found.k), 1.0 - self.found.pooled
        reached = left <= 1.0 - target
        first = np.argmax(reached, axis=1)
        rows = np.arange(len(left))
        before = np.maximum(first - 1, 0)
        high, low = np.log(np.maximum(left[rows, before], 1e-300)), np.log(np.maximum(left[rows, first], 1e-300))
        share = np.where(high > low, (high - np.log1p(-target)) / np.where(high > low, high - low, 1.0), 0.0)
        found = np.exp(k[before] + np.clip(share, 0.0, 1.0) * (k[first] - k[before]))
        out = np.where(first == 0, self.found.k[0], found)
        out = np.where(reached.any(axis=1), out, np.inf)
        return np.where(np.isnan(left).any(axis=1), np.nan, out)


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: CoverageQuery) -> Plan:
    """Coverage after more attempts, and the attempts for a coverage.

    Raises:
        QueryError: no stop_rule anywhere, or two that differ; attempts below one; several models and none named.
        DataError: counts that are none, or that contradict the rule.
        RefusedError: attempts beyond 100 times those made; no pass at all; no unsolved problem left to see a tail in.
    """
    table = of_model(grounds.tables["attempts"], query.model)
    counts = attempts_of(table, query.stop_rule, query.until)
    made = counts.horizon or float(counts.trials.max())
    asked = _asked(query, made, counts)
    curve = _curve(counts, asked, made)
    level, k = grounds.level, asked[0]
    decision: dict[str, Decided] = {
        "coverage": decided(curve.at(k), "", level, f"share of the problems solved in {format_short(k)} attempts")
    }
    for other in asked[1:]:
        decision[f"coverage_{other:.0f}"] = decided(
            curve.at(other), "", level, f"share of the problems solved in {format_short(other)} attempts"
        )
    decision["seen"] = decided(
        curve.at(_within(curve.found.k, made)), "", level, f"share solved in the {format_short(made)} attempts made"
    )
    if query.target is not None:
        wanted = curve.attempts_for(query.target)
        decision["attempts"] = decided(wanted, "count", level, f"attempts per problem that solve {query.target:g}")
    warnings = _warned(counts, asked, made, curve, decision)
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(query, decision, k, made),
        decision=decision,
        binding=_binding(query, decision, counts),
        tables=(_alternatives(curve, k, level), _sensitivity(curve, k, level), *_held_out(curve)),
        curves={"coverage": _drawn(curve, level)},
        warnings=warnings,
        assumptions=_assumed(counts, curve),
    )


# ---------------------------------------------------------------------------------------------------- what was asked


def _asked(query: CoverageQuery, made: float, counts: Attempts) -> tuple[float, ...]:
    asked = (FAR * made,) if query.attempts is None else tuple(float(k) for k in query.attempts)
    if any(not math.isfinite(k) or k < 1 or k != round(k) for k in asked):
        raise QueryError(message(f"attempts = {', '.join(f'{k:g}' for k in asked)}", "whole numbers, one or more"))
    if len(set(asked)) < len(asked):
        raise QueryError(message(f"attempts = {', '.join(f'{k:g}' for k in asked)} repeats", "each number once"))
    if not counts.solved.any():
        bound = -math.expm1(math.log(0.05) / float(counts.trials.sum()))
        raise refused(
            f"none of the {counts.trials.sum():,.0f} attempts passed, so nothing says how fast coverage rises (the "
            f"mean rate is below {bound:.2g} at 95 %, if all problems are alike)",
            "some passes",
            "more attempts, or easier problems",
        )
    if max(asked) > FARTHEST * made:
        raise refused(
            f"{format_short(max(asked))} attempts are {show(max(asked) / made, 'x')} the {format_short(made)} made",
            f"at most {FARTHEST:g} times as many: beyond, forms that fit alike differ without limit",
            f"make {math.ceil(max(asked) / FARTHEST):,} attempts per problem, or ask for fewer",
        )
    if counts.solved.all() and max(asked) > made:
        raise refused(
            "every problem is solved already, so no unsolved ones are left whose fate could follow a power law",
            f"attempts up to the {format_short(made)} made, where the share is measured",
            "harder problems; for such ones, a forecast from these would be a guess",
        )
    return asked


def _curve(counts: Attempts, asked: tuple[float, ...], made: float) -> _Curve:
    end = made if counts.solved.all() else FARTHEST * made
    grid = np.unique(np.round(np.geomspace(1.0, end, POINTS)))
    inside = [min(f * made, end) for f in (1.0, *STEPS, 10.0, 20.0, 50.0, 100.0)]
    around = [f * asked[0] for f in (0.5, 1.0, *STEPS, 10.0) if 1.0 <= f * asked[0] <= end]
    k = np.unique(np.round(np.concatenate([grid, asked, inside, around])))
    return _Curve(foretell(counts, k), made, end)


def _within(k: Array, made: float) -> float:
    return float(k[k <= made].max())


# ------------------------------------------------------------------------------------------------------------- words


def _headline(query: CoverageQuery, decision: dict[str, Decided], k: float, made: float) -> str:
    coverage = decision["coverage"]
    ends = "" if coverage.lower is None else f" [{show(coverage.lower)}, {show(coverage.upper)}]"
    verb = "solve" if k > made else "solved"
    text = f"{format_short(k)} attempts {verb} {show(coverage.value)}{ends} of the problems"
    text += f" ({format_short(made)} were made and solve {show(decision['seen'].value)})."
    if query.target is None:
        return text
    wanted = decision["attempts"]
    if math.isinf(wanted.value):
        return f"{text} A coverage of {query.target:g} is not reached within {FARTHEST:g} times the attempts made."
    span = "" if wanted.lower is None else f" [{show(wanted.lower, 'count')}, {show(wanted.upper, 'count')}]"
    return f"{text} A coverage of {query.target:g} takes {show(wanted.value, 'count')}{span}."


def _binding(query: CoverageQuery, decision: dict[str, Decided], counts: Attempts) -> str:
    if query.target is not None:
        return f"target = {query.target:g}"
    return f"the {(~counts.solved).sum()} problems of {len(counts.trials)} that no attempt has solved"


def _warned(
    counts: Attempts, asked: tuple[float, ...], made: float, curve: _Curve, decision: dict[str, Decided]
) -> list[Finding]:
    found: list[Finding] = []
    wanted = decision["attempts"].value if "attempts" in decision else 0.0
    most = max([*asked, wanted if math.isfinite(wanted) else 0.0])
    if most > FAR * made:
        found.append(
            Finding(
                "distance", "amber",
                f"{format_short(most)} attempts are {show(most / made, 'x')} the {format_short(made)} made.",
                f"More than {FAR:g} times ahead, the form decides as much as the data do: read the table of forms.",
            )
        )  # fmt: skip
    unsolved = ~counts.solved
    if 0 < unsolved.sum() < FEW_UNSOLVED and most > made:
        found.append(
            Finding(
                "few-unsolved", "amber",
                f"{unsolved.sum()} problems are unsolved: the tail that a forecast follows is almost empty.",
                "Coverage near 1 may rise faster than any power law says.",
            )
        )  # fmt: skip
    if unsolved.any():
        bound = -math.expm1(math.log(0.05) / float(counts.trials[unsolved].min()))
        found.append(
            Finding(
                "never-passed", "green",
                f"{unsolved.sum()} problems never passed: each has a success rate below {bound:.2g} at 95 % (three "
                "over its attempts), which is not zero.",
            )
        )  # fmt: skip
    if len(counts.trials) < FEW_PROBLEMS:
        found.append(
            Finding(
                "few-problems", "amber",
                f"{len(counts.trials)} problems: their choice makes the error, and a bootstrap of so few is narrow.",
                f"Use {FEW_PROBLEMS} problems or more.",
            )
        )  # fmt: skip
    if counts.rule == "adaptive":
        found.append(
            Finding(
                "adaptive", "amber",
                "Attempts ended by what they showed: no share is unbiased, no attempts can be hidden to try a form, "
                "and the likelihood alone speaks.",
                "Make a fixed number of attempts at each problem to see a curve.",
            )
        )  # fmt: skip
    elif curve.found.held is None and most > made:
        found.append(
            Finding(
                "untried", "amber",
                f"{format_short(made)} attempts are too few to hide some and foretell the rest: forms weigh alike.",
                "Make 20 attempts or more at each problem.",
            )
        )  # fmt: skip
    return found


def _assumed(counts: Attempts, curve: _Curve) -> list[str]:
    draws = len(curve.found.pooled) - 1
    return [
        f"Attempts ended {STOP_RULES[counts.rule]} ({counts.rule}).",
        "Attempts at a problem are independent, with one success rate, and a checker that accepts no wrong answer.",
        f"Intervals are for problems like these: {draws} resamples of the problems, each answered by one form, forms "
        "as often as they weigh. For these very problems the measured part is certain, and intervals are too wide.",
        "Solved problems stay solved; an unsolved one has failed as often as it was tried.",
    ]


# ------------------------------------------------------------------------------------------------------------ tables


def _alternatives(curve: _Curve, k: float, level: float) -> Table:
    held = curve.found.held
    rows: list[Row] = []
    for name, weight in curve.found.weights.items():
        values = curve.at(k, name)
        ends = interval(values, level) or (None, None)
        error = None if held is None or not math.isfinite(held.error(name)) else held.error(name)
        rows.append((name, float(values[0]), *ends, error, weight))
    value = curve.at(k)
    rows.append(("pooled", float(value[0]), *(interval(value, level) or (None, None)), None, 1.0))
    return Table(
        "alternatives",
        f"The share solved in {format_short(k)} attempts, by form",
        (("form", ""), ("coverage", ""), ("from", ""), ("to", ""), ("error on own attempts", ""), ("weight", "")),
        tuple(rows),
        "The error is what each form made of all attempts when shown a twentieth, a tenth or a fifth of them.",
    )


def _sensitivity(curve: _Curve, k: float, level: float) -> Table:
    rows: list[Row] = []
    base = float(curve.at(k)[0])
    for factor in (0.5, *STEPS, 10.0):
        other = round(factor * k)
        if other in curve.found.k:
            values = curve.at(other)
            rows.append(
                (factor, other, float(values[0]), *(interval(values, level) or (None, None)), float(values[0]) - base)
            )
    return Table(
        "sensitivity",
        "What more or fewer attempts bring",
        (
            ("attempts / asked", "x"), ("attempts", "count"), ("coverage", ""), ("from", ""), ("to", ""),
            ("gained", ""),
        ),
        tuple(rows),
    )  # fmt: skip


def _held_out(curve: _Curve) -> list[Table]:
    held = curve.found.held
    if held is None:
        return []
    rows: list[Row] = []
    for i, kept in enumerate(held.kept):
        errors = [values[i][np.isfinite(values[i])] for values in held.errors.values()]
        rows.append((float(kept), held.asked, held.known, *(float(e.mean()) if e.size else None for e in errors)))
    return [
        Table(
            "held-out",
            "Forecasts of the attempts made, from some of them: mean error",
            (("kept", "count"), ("asked", "count"), ("solved", ""), *((name, "") for name in held.errors)),
            tuple(rows),
        )
    ]


def _drawn(curve: _Curve, level: float) -> Frozen[str, Array]:
    found = curve.found
    lines = {name: values[0] for name, values in found.by_form.items()}
    return Frozen({**banded({"attempts": found.k}, "coverage", found.pooled, level), **lines})


planner = Planner(
    id="coverage",
    question="How many problems do k attempts solve, and how many attempts does a coverage take?",
    query=CoverageQuery,
    answer=answer,
    parts=(
        Part(
            "attempts",
            "attempts at each problem: trials made and passed, one row per problem",
            columns=("trials", "passed"),
        ),
    ),
    papers=("brown2024", "schaeffer2025", "kazdan2025", "levi2024"),
    example=Frozen({"stop_rule": "fixed_n", "attempts": "10000", "target": 0.9}),
    topic="how to sample and to serve",
)

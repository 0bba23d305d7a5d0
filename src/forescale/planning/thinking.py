# SPDX-License-Identifier: Apache-2.0
"""Does thinking longer help this model, and does it help one stage of training more than another?

Accuracy against log2 of the thinking tokens on the same items, with intervals that resample items (Chan et al. 2025
compare such slopes of judges before and after reinforcement learning). With rollouts, also whether their rewards
spread as training with a verifier needs (Setlur et al. 2025).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.fitting.estimators.thinking_slopes import (
    agreement,
    anti_concentration,
    error_between,
    items_needed,
    rewards,
)
from forescale.numerics.resample import bootstrap_rows
from forescale.planning import _thinking_stages
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._show import show
from forescale.planning._thinking_stages import DRAWS, Stage, fitted
from forescale.runs.samples import judged
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

FEW = 30
"""Items below which a bootstrap over items is too narrow."""
FREE = 20
"""More different numbers of tokens than this, and no budget: they were not set, they happened."""
EPSILONS = (0.25, 1.0, 4.0)
READY, ROLLOUTS = 0.05, 16
"""Share of rollouts that must stand out by one deviation for a problem to be ready; rollouts that show it."""


class ThinkingQuery(BaseModel):
    """Which stages, which effect, and what is to be reached."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    stage: str | None = Field(None, description="the stage of training that is asked about, e.g. rl")
    against: str | None = Field(None, description="the stage that it is compared with, e.g. sft")
    effect: float | None = Field(
        None, gt=0, lt=1, description="accuracy per doubling that should show, e.g. 0.01 (default: what was found)"
    )
    power: float = Field(0.8, gt=0.5, lt=1, description="chance with which it should show, e.g. 0.8")
    target: float | None = Field(None, gt=0, lt=1, description="an accuracy to reach by thinking longer, e.g. 0.8")
    horizon: float | None = Field(None, ge=1, description="steps (or tokens) of a rollout, e.g. 2048; with rollouts")


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: ThinkingQuery) -> Plan:
    """The slope, whether it differs from that of another stage, and how many items would tell.

    Raises:
        QueryError: a stage that is not there, or more than two and none named.
        DataError: tokens that are no positive numbers.
        RefusedError: one number of tokens for everything.
    """
    table = _thinking_stages.read(grounds.tables["items"])
    names = _thinking_stages.stages(table, query.stage, query.against)
    stages = fitted(table, names)
    stage, level = stages[0], grounds.level
    if not np.isfinite(stage.slope[0]):
        raise refused("all samples spent the same tokens", "at least two budgets of thinking tokens")
    low, high = float(stage.x.min()), float(stage.x.max())
    slope = stage.slope
    decision: dict[str, Decided] = {
        "slope": decided(slope, "", level, f"accuracy per doubling of tokens{_of(stage)}"),
        "rises": Decided(float((slope[1:] > 0).mean()), None, None, "", "share of the resamples in which it rises"),
        "accuracy": decided(stage.found.level, "", level, "accuracy, mean over what was measured"),
        "gain": decided(slope * (high - low), "", level, "accuracy gained from the fewest tokens to the most"),
    }
    shown, effect = slope, "slope"
    if len(stages) > 1:
        shown, effect = slope - stages[1].slope, "difference"
        decision["other"] = decided(stages[1].slope, "", level, f"accuracy per doubling of tokens{_of(stages[1])}")
        decision["difference"] = decided(shown, "", level, "slope of the first less that of the second, same items")
    error = float(np.nanstd(shown[1:]))
    items = float(len(np.unique(stage.items)))
    wanted = query.effect if query.effect is not None else abs(float(shown[0]))
    need = items_needed(error, items, wanted, level, query.power)
    decision["items"] = Decided(need, None, None, "count", f"items that show {wanted:.3g} per doubling")
    decision.update(_reached(stage, slope, query, high, level))
    warnings = _warned(table, stage, items, query, high, decision)
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(decision, stages),
        decision=decision,
        binding=f"the number of items ({items:,.0f})",
        tables=(
            *_by_stage(table, names, stages, level),
            _by_budget(stages),
            _powers(error, items, stages, level, query.power, effect),
            *_positions(table, stage, level),
            *_rollouts(grounds, query),
        ),
        curves={"accuracy": _curve(stage, level)},
        warnings=warnings,
        assumptions=(
            f"Intervals resample whole items {DRAWS:,} times (seed 0); stages are compared on the same resamples.",
            "The line in log2 of the tokens has no ceiling: it says nothing beyond the tokens that were measured.",
            "Slopes are within items where an item was asked at several lengths: hard items take longer.",
        ),
        papers=("setlur2025",) if grounds.has("rollouts") else (),
    )


# ---------------------------------------------------------------------------------------------------------- decisions


def _of(stage: Stage) -> str:
    return f", {stage.name}" if stage.name else ""


def _reached(stage: Stage, slope: Array, query: ThinkingQuery, high: float, level: float) -> dict[str, Decided]:
    """Tokens at which the line passes the target; infinite in resamples whose line never does."""
    if query.target is None:
        return {}
    away = query.target - stage.found.level
    x = np.where((slope > 0) | (away <= 0), stage.found.centre + away / slope, np.inf)
    x = np.where((slope <= 0) & (away <= 0), stage.x.min(), x)
    if not np.isfinite(x[0]):
        raise refused(
            f"accuracy does not rise with the tokens (slope {slope[0]:.3g}), so no number of them reaches "
            f"{query.target:g}",
            "a slope above zero",
            "another stage, or samples with a vote (selection)",
        )
    return {"tokens": decided(2.0**x, "tokens", level, f"thinking tokens for an accuracy of {query.target:g}")}


def _headline(decision: dict[str, Decided], stages: list[Stage]) -> str:
    def said(name: str) -> str:
        d = decision[name]
        ends = "" if d.lower is None or d.upper is None else f" ({100 * d.lower:.2g} to {100 * d.upper:.2g})"
        return f"{100 * d.value:.2g} points of accuracy per doubling{ends}"

    def clear(name: str) -> bool:
        d = decision[name]
        return d.lower is not None and d.upper is not None and (d.lower > 0 or d.upper < 0)

    name = f" {stages[0].name!r}" if stages[0].name else ""
    verb = "helps" if decision["slope"].value > 0 else "hurts"
    first = (
        f"Thinking longer {verb}{name}: {said('slope')}."
        if clear("slope")
        else f"Whether thinking longer helps{name} is not shown: {said('slope')}."
    )
    if len(stages) == 1:
        return first
    other = f"{stages[1].name!r}"
    second = (
        f"It gains {'more' if decision['difference'].value > 0 else 'less'} than {other}: {said('difference')}."
        if clear("difference")
        else f"A difference to {other} is not shown: {said('difference')}."
    )
    return f"{first} {second}"


# ------------------------------------------------------------------------------------------------------------- tables


def _by_stage(table: Runs, names: tuple[str, ...], stages: list[Stage], level: float) -> list[Table]:
    known = list(dict.fromkeys(table.labels["stage"].tolist())) if "stage" in table.labels else []
    others = [fitted(table, (name,))[0] for name in known if name not in names]
    rows: list[Row] = []
    for stage in (*stages, *others):
        ends = interval(stage.slope, level) or (None, None)
        rows.append(
            (
                stage.name or "all", float(len(np.unique(stage.items))), float(stage.found.level[0]),
                float(stage.slope[0]), *ends, float(stage.found.pooled[0]),
            )
        )  # fmt: skip
    return [
        Table(
            "stages",
            "Accuracy per doubling of thinking tokens",
            (
                ("stage", ""), ("items", "count"), ("accuracy", ""), ("slope", ""), ("from", ""), ("to", ""),
                ("slope over all rows", ""),
            ),
            tuple(rows),
        )
    ]  # fmt: skip


def _by_budget(stages: list[Stage]) -> Table:
    """Accuracy in each bin of a doubling."""
    rows: list[Row] = []
    for stage in stages:
        bins = np.floor(stage.x + 1e-9)
        for b in np.unique(bins):
            inside = bins == b
            rows.append((stage.name or "all", float(2.0 ** stage.x[inside].mean()), float(inside.sum()),
                         float(stage.right[inside].mean())))  # fmt: skip
    return Table(
        "budgets",
        "Accuracy by thinking tokens",
        (("stage", ""), ("tokens", "tokens"), ("samples", "count"), ("accuracy", "")),
        tuple(rows),
    )


def _powers(error: float, items: float, stages: list[Stage], level: float, power: float, effect: str) -> Table:
    rows: list[Row] = []
    for size in (0.002, 0.005, 0.01, 0.02, 0.05):
        rows.append((size, items_needed(error, items, size, level, power)))
    span = float(stages[0].x.max() - stages[0].x.min())
    rule = f"Two budgets {span:.3g} doublings apart on as many items would leave an error of " + ", ".join(
        f"{error_between(items, rho, span):.2g} (correlation {rho:g})" for rho in (0.0, 0.5, 0.9)
    )
    return Table(
        "power",
        f"Items that show a {effect} at {100 * level:g} % with a chance of {100 * power:g} %",
        (("per doubling", ""), ("items", "count")),
        tuple(rows),
        f"The error here is {error:.2g} per doubling with {items:,.0f} items. {rule}.",
    )


def _positions(table: Runs, stage: Stage, level: float) -> list[Table]:
    """Judges: whether the verdict depends on the order of the candidates."""
    if "swapped" not in table.columns:
        return []
    judged(table, "swapped")
    chosen = table.where(table.labels["stage"] == stage.name) if stage.name else table
    key = np.char.add(np.char.add(chosen.labels["problem"], "\x1f"), _budget_names(chosen))
    names, place = np.unique(key, return_inverse=True)
    swapped = chosen["swapped"] == 1.0
    sides = []
    for side in (~swapped, swapped):
        n = np.bincount(place[side], minlength=names.size)
        mean = np.bincount(place[side], chosen["correct"][side], minlength=names.size) / np.maximum(n, 1)
        sides.append(np.where(n > 0, mean, np.nan))
    both = np.isfinite(sides[0]) & np.isfinite(sides[1])
    if not both.any():
        return []
    first, second = (np.round(side[both]).astype(np.float64) for side in sides)
    bias = sides[0][both] - sides[1][both]
    draws = bootstrap_rows(int(both.sum()), DRAWS, 0) / both.sum()
    ends = interval(np.concatenate([[bias.mean()], draws @ bias]), level) or (None, None)
    rows: tuple[Row, ...] = (
        ("right in the first order", float(sides[0][both].mean()), None, None),
        ("right in the other order", float(sides[1][both].mean()), None, None),
        ("difference", float(bias.mean()), *ends),
        ("right in both", float((first * second).mean()), None, None),
        ("kappa of the two", agreement(first, second), None, None),
    )
    return [
        Table(
            "position",
            "The same pairs with the candidates swapped",
            (("what", ""), ("value", ""), ("from", ""), ("to", "")),
            rows,
            f"{int(both.sum()):,} pairs. A judge without position bias is right as often in either order.",
        )
    ]


def _budget_names(table: Runs) -> NDArray[np.str_]:
    return table["token_budget"].astype(str) if "token_budget" in table.columns else np.full(len(table), "")


def _rollouts(grounds: Grounds, query: ThinkingQuery) -> list[Table]:
    """Whether rewards of rollouts spread as training with a verifier needs; a diagnosis, not a theorem applied."""
    table = grounds.tables.get("rollouts")
    if table is None:
        return []
    judged(table)
    if query.horizon is None:
        raise QueryError(message("rollouts need a horizon", "horizon: steps that a rollout may take, e.g. 2048"))
    problems, _ = table.group_codes("problem")
    found = anti_concentration(rewards(table["solved_after"], query.horizon), problems, EPSILONS)
    enough = found.count >= ROLLOUTS
    if not enough.any():
        raise DataError(
            message(f"at most {found.count.max():g} rollouts of a problem in {table.source}", f"{ROLLOUTS} of some")
        )
    share = found.deviation[enough] / query.horizon
    ready = found.reaching[enough]
    rows: tuple[Row, ...] = (
        ("problems with enough rollouts", float(enough.sum())),
        ("mean reward over the horizon", float((found.mean[enough] / query.horizon).mean())),
        ("deviation over the horizon, median", float(np.median(share))),
        ("deviation over the horizon, upper decile", float(np.quantile(share, 0.9))),
        *((f"rollouts {math.sqrt(e):g} deviations above the mean, mean share", float(ready[:, i].mean()))
          for i, e in enumerate(EPSILONS)),
        ("problems ready for training with a verifier", float((ready[:, 1] >= READY).mean())),
    )  # fmt: skip
    return [
        Table(
            "rollouts",
            "How the rewards of rollouts spread",
            (("what", ""), ("value", "")),
            rows,
            f"Ready: at least {100 * READY:g} % of {ROLLOUTS} or more rollouts stand one deviation above the mean. A "
            "wide spread makes imitation without verification risky. Constants are unknown: a diagnosis, no theorem.",
        )
    ]


def _curve(stage: Stage, level: float) -> Frozen[str, Array]:
    x = np.linspace(stage.x.min(), stage.x.max(), 60)
    lines = stage.found.level[:, None] + stage.slope[:, None] * (x[None] - stage.found.centre[:, None])
    tail = 0.5 * (1.0 - level)
    lower, upper = np.nanquantile(lines[1:], [tail, 1.0 - tail], axis=0)
    return Frozen({"thinking tokens": 2.0**x, "accuracy": lines[0], "lower": lower, "upper": upper})


# -------------------------------------------------------------------------------------------------- what must be said


def _warned(
    table: Runs, stage: Stage, items: float, query: ThinkingQuery, high: float, decision: dict[str, Decided]
) -> list[Finding]:
    found = []
    if items < FEW:
        found.append(
            Finding(
                "few-problems",
                "amber",
                f"{items:,.0f} items: an interval from resampling so few is too narrow.",
                "Items, not samples, make the error: measure on more of them.",
            )
        )
    if "token_budget" not in table.columns and np.unique(stage.x).size > FREE:
        found.append(
            Finding(
                "tokens-not-set",
                "amber",
                "The tokens were not set, they happened: a model thinks longer where it struggles, also on one item.",
                "Vary the budget on the same items, and give it as the column token_budget.",
            )
        )
    gap = stage.found.within - stage.found.pooled
    ends = interval(gap, 0.9)
    if ends is not None and (ends[0] > 0 or ends[1] < 0) and abs(gap[0]) > 1e-9:
        found.append(
            Finding(
                "difficulty-confounds",
                "amber",
                f"Over all rows the slope is {stage.found.pooled[0]:.3g}, within items {stage.found.within[0]:.3g}: "
                "items of different difficulty got different tokens.",
                "The slope within items is the one to read.",
            )
        )
    if "tokens" in decision and decision["tokens"].value > 2.0**high:
        found.append(
            Finding(
                "beyond-budgets",
                "amber",
                f"The target lies beyond the {show(2.0**high, 'tokens')} tokens that were measured: the line has no "
                "ceiling, the model has one.",
                "Measure at that budget.",
            )
        )
    return found


planner = Planner(
    id="thinking",
    question="Does thinking longer help, and one stage of training more than another?",
    query=ThinkingQuery,
    answer=answer,
    parts=(
        Part(
            "items",
            "answers to items at several numbers of thinking tokens (and stage, token_budget, swapped)",
            columns=("problem", "correct", "thinking_tokens"),
        ),
        Part(
            "rollouts",
            "rollouts of problems, and after how many steps each was solved (empty: never)",
            columns=("problem", "solved_after"),
            optional=True,
        ),
    ),
    papers=("chan2025j1",),
    example=Frozen({"power": 0.8}),
    topic="how to sample and to serve",
)

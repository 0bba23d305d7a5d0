# SPDX-License-Identifier: Apache-2.0
"""Does a task get worse with scale before it gets better, and may its trend be carried on?

Inverse scaling and U-shapes (McKenzie et al. 2023; Wei et al. 2022): a parabola in log size and two lines about its
vertex (Simonsohn 2018), whose slopes must both be there. A straight trend is not carried on where the curvature is
real. For emergence, questions sorted by difficulty foretell what their mean hides (Wu & Lo 2024).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from forescale.core.errors import ColumnError, DataError, QueryError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.quantity import parse_budget, parse_params
from forescale.costs.budget import to_flop
from forescale.judge.regimes import Regimes, regimes_of
from forescale.planning import _trend, _trend_tables
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._show import show
from forescale.planning._trend import Drawn
from forescale.planning._trend_tables import LEAST, TURNS, UNITS, apart
from forescale.runs.table import Runs

Array = NDArray[np.float64]

SIZES = ("C", "N", "D", "thinking_tokens", "steps")
"""Columns that can be the size, in the order in which they are looked for."""


def _size(value: Any) -> float:
    """A size as people write it: 70B, 1e24, 1e24 FLOP."""
    if isinstance(value, str) and "flop" in value.lower():
        return to_flop(parse_budget(value)).flop
    return parse_params(value)


SizeText = Annotated[
    float,
    PlainValidator(_size),
    PlainSerializer(float, return_type=float),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "examples": ["1e24 FLOP", "70B"]}),
]


class TrendQuery(BaseModel):
    """Which columns, how far, and the slices of questions if there are any."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    x: str | None = Field(
        None, description="column of the size, e.g. C, N, thinking_tokens (default: the first that varies)"
    )
    y: str = Field("score", description="column of the metric, e.g. score")
    better: Literal["higher", "lower"] = Field("higher", description="what counts as progress: higher or lower")
    at: SizeText | None = Field(None, description="size to forecast the metric at, e.g. '1e24 FLOP' or 70B")
    below: SizeText | None = Field(
        None, description="learn from sizes below this one; what lies beyond tests the forecast, e.g. '3e22 FLOP'"
    )
    easy: str | None = Field(None, description="columns of the easier questions, e.g. 'score_1, score_2'")
    hard: str | None = Field(None, description="columns of the harder questions, e.g. 'score_9, score_10'")
    accuracy: str | None = Field(None, description="column that the slices foretell, e.g. accuracy (default: y)")
    by: str | None = Field(
        None, description="label of what is resampled together, e.g. family (default: items, families)"
    )
    resamples: int = Field(1000, ge=20, le=10000, description="resamples behind the intervals, e.g. 1000")


@np.errstate(all="ignore")  # resamples that hold no parabola are NaN, and are left out of intervals
def answer(grounds: Grounds, query: TrendQuery) -> Plan:
    """The shape of the trend, its turn, and what lies beyond.

    Raises:
        QueryError: no size column, or slices without their other half, threshold or place.
        ColumnError: an unknown column.
        DataError: fewer than three rows, values that are not finite, sizes that are not positive.
        RefusedError: a forecast by a trend that turns, that bends, or that has too few sizes.
    """
    whole: Runs = grounds.tables["curve"]
    name = _variable(whole, query.x)
    slices = _slices(whole, query)
    runs = whole if query.below is None else whole.where(whole[name] < query.below)
    x, y = _numbers(runs, name, "sizes"), _numbers(runs, query.y, "values")
    if x.size < 3:
        raise DataError(message(f"{x.size} rows to learn from", "three or more", "raise below"))
    if (x <= 0).any():
        raise DataError(message(f"{name} falls to {x.min():g}", "positive sizes: trends are in their logarithm"))
    if query.y == name:
        raise QueryError(message(f"x and y are both {name!r}", "a size and a metric", "y='score'"))
    log, sizes = np.log10(x), int(np.unique(x).size)
    label, clusters = _clusters(runs, query.by)
    found = regimes_of(x, y, runs.weights, names=(name, query.y), better=query.better, level=grounds.level)
    drawn = _trend.trends(log, y, _trend.weights(x.size, clusters, runs.weights, query.resamples))
    shape = _shape(found, drawn, log, sizes, grounds.level)
    forecast = _forecast(runs, whole, query, name, slices, drawn, shape, grounds.level)
    unit = UNITS.get(name, "")
    decision = _decisions(drawn, shape, unit, grounds.level, sizes)
    if forecast is not None:
        decision = {"forecast": forecast, **decision}
    plan = composed(
        grounds, planner, query,
        headline=_headline(query, shape, drawn, decision, name, sizes),
        decision=decision,
        binding=f"{x.size} rows, {sizes} different {name}",
        tables=(
            _trend_tables.by_size(log, y, drawn.weights[0], unit, query.y),
            *_trend_tables.influence(log, y, drawn, clusters, label, unit),
            *_trend_tables.tested(whole, query, name, slices, drawn.weights[0]),
            *_trend_tables.described(found),
        ),
        curves=_trend_tables.curves(log, y, drawn, name, query.y, grounds.level),
        warnings=_trend_tables.warnings(shape, drawn, log, sizes, label, query, slices is not None, grounds.level),
        assumptions=(
            f"Intervals come from {query.resamples} resamples of {label} (seed 0); the two lines are split at the "
            "turn of the rows as they are.",
            *(["Easy: degree five, hard: degree two, their mean turned into accuracy by a line (Wu & Lo 2024)."]
              if slices is not None else []),
        ),
        papers=("wu2024ushaped",) if slices is not None else (),
    )  # fmt: skip
    origin = replace(
        plan.evidence, law="turning", rows=int(x.size), draws=query.resamples, draws_from=f"resamples of {label}"
    )
    return replace(plan, evidence=origin)


# ------------------------------------------------------------------------------------------------------ what is asked


def _variable(runs: Runs, asked: str | None) -> str:
    if asked is not None:
        if asked not in runs.columns:
            raise ColumnError(message(f"no column x = {asked!r}", "", nearest(asked, runs.columns)))
        return asked
    for name in SIZES:
        if name in runs.columns and np.unique(runs[name]).size > 1:
            return name
    raise QueryError(message("no column of a size varies", f"one of {', '.join(SIZES)}, or x by name", "x='C'"))


def _numbers(runs: Runs, name: str, what: str) -> Array:
    if name not in runs.columns:
        raise ColumnError(message(f"no column {name!r}", f"a column of {what}", nearest(name, runs.columns)))
    values = runs[name]
    if not np.isfinite(values).all():
        raise DataError(message(f"{name} is not finite in {int((~np.isfinite(values)).sum())} rows", "numbers"))
    return values


def _slices(runs: Runs, query: TrendQuery) -> tuple[Array, Array, Array] | None:
    """(n,) easy, hard, accuracy of all rows; None where the questions are not sliced."""
    if query.easy is None and query.hard is None:
        if query.accuracy is not None:
            raise QueryError(message("accuracy without easy and hard", "the slices that foretell it, or y alone"))
        return None
    if query.easy is None or query.hard is None:
        given, other = ("easy", "hard") if query.hard is None else ("hard", "easy")
        raise QueryError(message(f"{given} without {other}", "both: the forecast is their mean"))
    if query.at is None or query.below is None:
        raise QueryError(
            message("easy and hard without at or below", "the size asked about, and the threshold of emergence")
        )
    halves = []
    for text in (query.easy, query.hard):
        names = [part.strip() for part in text.split(",") if part.strip()]
        halves.append(np.mean([_numbers(runs, one, "scores") for one in names], axis=0) if names else np.empty(0))
    if not all(half.size for half in halves):
        raise QueryError(message("easy or hard names no column", "names with commas, e.g. 'score_1, score_2'"))
    return halves[0], halves[1], _numbers(runs, query.accuracy or query.y, "accuracies")


def _clusters(runs: Runs, by: str | None) -> tuple[str, NDArray[np.str_] | None]:
    """What is resampled, in words and as labels."""
    if by is not None:
        if by not in runs.labels:
            raise ColumnError(message(f"no label by = {by!r}", "", nearest(by, runs.labels)))
        return f"whole {by}s", np.asarray(runs.labels[by], dtype=str)
    for label, words in (
        ("item", "items"),
        ("problem", "problems"),
        ("family", "whole families"),
        ("group", "groups"),
    ):
        if label in runs.labels and len(set(runs.labels[label])) > 2:
            return words, np.asarray(runs.labels[label], dtype=str)
    return "rows", None


# --------------------------------------------------------------------------------------------------------- the shape


def _shape(found: Regimes, drawn: Drawn, log: Array, sizes: int, level: float) -> str:
    """One of the tags of `regimes`; "bent" where the curvature is real and no turn is; "undetermined" for few sizes.

    A turn must show in the regimes' own test and in the resamples: curvature, and both slopes, away from zero.
    """
    if sizes < LEAST:
        return "undetermined"
    curved = apart(drawn.curvature, level)
    turned = curved and float(log.min()) < drawn.vertex[0] < float(log.max())
    both = apart(drawn.before, level) and apart(drawn.after, level) and drawn.before[0] * drawn.after[0] < 0
    if turned and both:
        return "U-shape" if drawn.curvature[0] > 0 else "inverted-U"
    if found.tag in TURNS or curved:
        return "bent" if curved else "undetermined"
    return found.tag


def _forecast(
    runs: Runs, whole: Runs, query: TrendQuery, name: str, slices: tuple[Array, Array, Array] | None, drawn: Drawn,
    shape: str, level: float,
) -> Decided | None:  # fmt: skip
    """The metric at a size, by the slices or by a line; refused where a line has no right to it."""
    if query.at is None:
        return None
    log, there = np.log10(runs[name]), np.array([math.log10(query.at)])
    words = f"at {show(query.at, UNITS.get(name, ''))}"
    if slices is not None:
        keep = whole[name] < (query.below or math.inf)
        if int(np.unique(whole[name][keep]).size) < _trend.EASY + 2:
            raise DataError(message("too few sizes below the threshold", f"{_trend.EASY + 2} or more: degree five"))
        easy, hard, accuracy = (half[keep] for half in slices)
        values = _trend.sandwich(log, easy, hard, accuracy, drawn.weights, there)[:, 0]
        if _is_share(accuracy) and not 0 <= values[0] <= 1:
            raise refused(
                f"the slices say {values[0]:.3g} {words}, which is no share: a polynomial of degree five is carried "
                f"{show(query.at / 10.0 ** float(log.max()), 'x')} beyond the last size it has seen",
                "a size next to the threshold",
                "a smaller at, or models above the threshold to learn from",
            )
        return decided(values, "", level, f"{query.accuracy or query.y} {words}, by slices of difficulty")
    if shape == "undetermined" and np.unique(runs[name]).size < LEAST:
        raise refused(
            f"{np.unique(runs[name]).size} different {name} give no trend that could be carried to {query.at:.3g}",
            f"{LEAST} sizes or more",
            "more sizes; more items sharpen each point, and say nothing about the next size",
        )
    if shape in ("U-shape", "inverted-U", "bent"):
        turn = 10.0 ** drawn.vertex[0]
        ends = interval(drawn.curvature, level) or (math.nan, math.nan)
        where = "" if shape == "bent" else f" and turns at {show(turn, UNITS.get(name, ''))}"
        raise refused(
            f"{query.y} bends along log {name}{where} (curvature {drawn.curvature[0]:+.3g} per squared decade, "
            f"{100 * level:g} % {ends[0]:+.3g} to {ends[1]:+.3g}): a monotone trend may not be carried to "
            f"{query.at:.3g}",
            "a curvature whose interval holds zero",
            "slices by difficulty (easy, hard, below) where there are some, or runs at the size itself",
        )
    values = _trend.line_at(log, runs[query.y], drawn.weights, there)[:, 0]
    if _is_share(runs[query.y]) and not 0 <= values[0] <= 1:
        raise refused(
            f"the line says {values[0]:.3g} {words}, which is no share: a straight line knows no end",
            "a size nearer to those seen",
            "a law with a floor or a ceiling: accuracy-sigmoid along the loss, in the question 'task'",
        )
    return decided(values, "", level, f"{query.y} {words}, by a line in log {name}")


def _is_share(values: Array) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)


# --------------------------------------------------------------------------------------------------- what is answered


def _decisions(drawn: Drawn, shape: str, unit: str, level: float, sizes: int) -> dict[str, Decided]:
    told = sizes >= LEAST

    def number(values: Array, what: str, meaning: str) -> Decided:
        return decided(values, what, level, meaning) if told else Decided(float(values[0]), None, None, what, meaning)

    found = {
        "curvature": number(drawn.curvature, "", "curvature per squared decade"),
        "slope": number(drawn.slope, "", "slope of one line, per decade"),
    }
    if shape in TURNS:
        same = np.sign(drawn.curvature) == np.sign(drawn.curvature[0])
        turn = np.where(same, 10.0 ** np.clip(drawn.vertex, -300, 300), np.nan)
        found = {
            "turn": number(turn, unit, f"size at which it turns ({TURNS[shape]})"),
            "slope_before": number(drawn.before, "", "slope before the turn, per decade"),
            "slope_after": number(drawn.after, "", "slope after the turn, per decade"),
            **found,
        }
    return found


def _headline(
    query: TrendQuery, shape: str, drawn: Drawn, decision: dict[str, Decided], name: str, sizes: int
) -> str:
    forecast = decision.get("forecast")
    told = f" It is expected to be {forecast} {forecast.meaning.partition(' ')[2]}." if forecast is not None else ""
    if shape in TURNS:
        falls = "falls and then rises" if shape == "U-shape" else "rises and then falls"
        return f"{query.y} {falls} along {name}, with the turn at {decision['turn']}." + told
    if shape == "undetermined":
        why = f": {sizes} sizes are too few to tell" if sizes < LEAST else ""
        return f"{query.y} shows no trend along {name} that is beyond chance{why}." + told
    if shape == "bent":
        return f"{query.y} bends along {name} without a turn that both sides show: no straight trend holds." + told
    good = (drawn.slope[0] > 0) == (query.better == "higher")
    way = "gets better" if good else "gets worse"
    text = f"{query.y} {way} along {name}, by {abs(drawn.slope[0]):.3g} per decade."
    return (f"{query.y} does not change along {name}." if shape == "plateau" else text) + told


planner = Planner(
    id="trend",
    question="Does this task get worse with scale before it gets better, and may its trend be carried on?",
    query=TrendQuery,
    answer=answer,
    parts=(
        Part(
            "curve",
            "scores of models of several sizes: a size (C, N, D, ...), the metric, and family or item as labels",
            columns=("score",),
        ),
    ),
    papers=("mckenzie2023", "wei2022"),
    example=Frozen({"y": "score"}),
    topic="how a task will go",
)

# SPDX-License-Identifier: Apache-2.0
"""How often will a larger model pass a task that small models almost never pass?

Pass rates measured finely enough (Hu et al. 2023, PassUntil) make log(-log rate) a straight line in log size where
progress is steady. The line is fitted with weights, tested for a bend, tried on the largest model that there is, and
read at the size asked about, with problems and sizes resampled for the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import ColumnError, DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Compute, format_short
from forescale.fitting._fit import Finding
from forescale.fitting.attempts import STOP_RULES, Attempts, attempts_of
from forescale.fitting.pass_until import Rates, by_problem, line, rates, read, resampled_sizes
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import BudgetText, ParamsText
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

DRAWS = 1000
LEAST_SIZES = 3
FAR = 4.0
"""Times the largest size beyond which no test of ours or of the paper (1.6 times) reaches."""
FACTORS = (1.0, 2.0, 4.0, 10.0)
ROUGH = 0.25
"""Error on the largest size, left out, that makes the answer amber."""


class EmergenceQuery(BaseModel):
    """The size asked about, and why attempts ended."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    params: ParamsText | None = Field(None, description="size of the model asked about, e.g. 12B")
    compute: BudgetText | None = Field(
        None, description="training compute asked about, where the table has C, e.g. 2e22 FLOP"
    )
    rate: float | None = Field(None, gt=0, lt=1, description="pass rate to reach, e.g. 0.1: which size does it take?")
    stop_rule: Literal["fixed_n", "until_r", "until_first", "adaptive"] | None = Field(
        None,
        description="why the attempts at a problem ended, e.g. until_r; may stand in the table instead, as stop_rule",
    )
    until: int | None = Field(
        None, ge=1, description="passes at which attempts ended, for until_r, e.g. 5 (default: most of a problem)"
    )


@dataclass(frozen=True, eq=False)
class _Law:
    """What was fitted.

    Attributes:
        name: column of the sizes.
        found: pass rates at the sizes.
        line: (1 + B, 2) constant and slope, problems and sizes resampled.
        counted: (1 + B, S) how often each size was drawn.
        bend: (1 + B,) coefficient of (log size)^2, problems resampled.
        level: "dataset", or "instance": a line for each problem.
        left_out: level -> predicted over measured rate of the largest size from the others; empty with three sizes.
    """

    name: str
    found: Rates
    line: Array
    counted: Array
    bend: Array
    level: str
    left_out: dict[str, float]

    def at(self, x: Array, level: str | None = None) -> Array:
        """(1 + B, K) pass rates at sizes (K,).

        One size left out is a noisy judge between levels: without `level` the estimate is that of the better one, and
        every other draw is one of the other.
        """
        whole, each = read(self.line, x), by_problem(self.found, x, self.counted)
        if each is None or level == "dataset":
            return whole
        if level == "instance":
            return each
        first, second = (whole, each) if self.level == "dataset" else (each, whole)
        out = first.copy()
        out[1::2] = second[1::2]
        return out

    @property
    def unit(self) -> str:
        """Unit of the sizes."""
        return "parameters" if self.name == "N" else "FLOP"


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: EmergenceQuery) -> Plan:
    """The pass rate of a larger model.

    Raises:
        QueryError: neither params nor compute nor rate, or both sizes; no stop_rule.
        ColumnError: the table has no sizes of the kind asked about.
        DataError: counts that are none.
        RefusedError: fewer than three sizes with a pass; the rate does not rise with size.
    """
    table = grounds.tables["attempts"]
    name, asked = _asked(query, table)
    law, silent = _fitted(table, name, query)
    level = grounds.level
    alpha = -law.line[:, 1]
    if not alpha[0] > 0:
        raise refused(
            "the pass rate does not rise with size, so no larger model can be planned from it",
            "rates that rise",
            "the task may be one of inverse scaling; look at the table of rates",
        )
    decision: dict[str, Decided] = {}
    values = None
    if asked is not None:
        values = law.at(np.array([asked]))[:, 0]
        decision["rate"] = decided(values, "", level, f"pass rate at {format_short(asked)} {law.unit}")
        biggest = float(law.found.x[-1])
        decision["times"] = decided(
            values / law.found.rate[:, -1],
            "x",
            level,
            f"over the rate at {format_short(biggest)}, the largest measured",
        )
    if query.rate is not None:
        decision[name] = decided(
            _size(law.line, query.rate),
            law.unit,
            level,
            f"{name} with a pass rate of {query.rate:g}, by one line for all problems",
        )
    decision["alpha"] = decided(alpha, "", level, "slope alpha of the line, log(-log rate) falls as -alpha log size")
    decision["c"] = decided(np.exp(law.line[:, 0]), "", level, "constant c, rate = exp(-c size^-alpha)")
    decision["bend"] = decided(law.bend, "", level, "bend of the line, per (log size)^2")
    kind, meaning = _kind(law, level)
    warnings = _warned(law, decision, asked, kind, silent, table)
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(law, decision, asked, query, meaning),
        decision=decision,
        binding=f"{name} = {format_short(asked)}" if asked is not None else f"rate = {query.rate:g}",
        tables=(_measured(law), *_levels(law, asked, level), _sensitivity(law, level)),
        curves={"rate": _drawn(law, asked, level)},
        warnings=warnings,
        assumptions=_assumed(law, table, query),
    )


# ------------------------------------------------------------------------------------------- what is asked and fitted


def _asked(query: EmergenceQuery, table: Runs) -> tuple[str, float | None]:
    if query.params is not None and query.compute is not None:
        raise QueryError(message("params and compute together", "one of them: the line knows one size"))
    if query.params is None and query.compute is None and query.rate is None:
        raise QueryError(
            message("neither params nor compute nor rate", "a size to foretell, or a rate to reach", "params=12B")
        )
    name = "C" if query.compute is not None or "N" not in table.columns else "N"
    if name not in table.columns or (query.params is not None and "N" not in table.columns):
        wanted = "C" if query.compute is not None else "N"
        raise ColumnError(message(f"{table.source} has no column {wanted}", f"{wanted} for each row of attempts"))
    if query.compute is not None and not isinstance(query.compute, Compute):
        raise QueryError(
            message("compute in other units than FLOP", "compute as the column C counts it", "2e22 FLOP")
        )
    asked = query.params if query.compute is None else query.compute.flop
    return name, None if asked is None else float(asked)


def _fitted(table: Runs, name: str, query: EmergenceQuery) -> tuple[_Law, list[float]]:
    """The law, and sizes without any pass, which say nothing about F."""
    sizes = np.unique(table[name])
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise DataError(message(f"{name} holds values that are no sizes", "positive numbers"))
    tables: list[Attempts] = []
    names: list[list[str]] = []
    silent, kept = [], []
    for size in sizes:
        part = table.where(table[name] == size)
        counts = attempts_of(part, query.stop_rule, query.until)
        if counts.passed.sum() == 0 or (counts.passed == counts.trials).all():
            silent.append(float(size))
            continue
        kept.append(float(size))
        tables.append(counts)
        names.append(part.labels["problem"].tolist() if "problem" in part.labels else [])
    if len(kept) < LEAST_SIZES:
        bound = max(
            (-math.expm1(math.log(0.05) / float(table["trials"][table[name] == s].sum())) for s in silent), default=0
        )
        said = f" ({len(silent)} more have no pass: a rate below {bound:.2g} at 95 %)" if silent else ""
        raise refused(
            f"{len(kept)} sizes with some pass and some failure{said}",
            f"{LEAST_SIZES} or more: two points make any line",
            "more attempts at the small models, until they pass",
        )
    found = rates(np.array(kept), tables, names, DRAWS)
    counted = resampled_sizes(len(kept), len(found.rate))
    bent = (
        line(found.x, found.F, found.precision, 2)[:, 2]
        if len(kept) > LEAST_SIZES
        else np.full(len(found.rate), np.nan)
    )
    left_out = _left_out(found)
    level = min(left_out, key=lambda k: abs(math.log(left_out[k]))) if left_out else "dataset"
    whole = line(found.x, found.F, counted * found.precision)
    return _Law(name, found, whole, counted, bent, level, left_out), silent


def _left_out(found: Rates) -> dict[str, float]:
    """Predicted over measured rate of the largest size from the others, by one line and by one for each problem."""
    if len(found.x) <= LEAST_SIZES:
        return {}
    last = found.x[-1:]
    others = (found.x < last).astype(np.float64)
    out = {"dataset": read(line(found.x, found.F[:1], others * found.precision), last)[0, 0]}
    each = by_problem(found, last, np.tile(others, (len(found.rate), 1)))
    if each is not None:
        out["instance"] = each[0, 0]
    return {name: float(value / found.rate[0, -1]) for name, value in out.items() if value > 0}


def _size(coefficients: Array, rate: float) -> Array:
    """(B,) sizes at which lines reach a rate; infinite where they never rise."""
    slope = coefficients[:, 1]
    found = np.exp((math.log(-math.log(rate)) - coefficients[:, 0]) / slope)
    return np.where(slope < 0, found, np.where(np.isnan(slope), np.nan, np.inf))


# ------------------------------------------------------------------------------------------------------------- words


def _kind(law: _Law, level: float) -> tuple[str, str]:
    ends = interval(law.bend, level)
    if ends is None:
        return "untested", "with three sizes a bend cannot be seen"
    if ends[0] > 0:
        return "sub-scaling", "the line is convex: progress slows down"
    if ends[1] < 0:
        return "accelerated", "the line is concave: progress gains speed, which is emergence"
    return "standard", "no bend is seen: progress is steady"


def _headline(
    law: _Law, decision: dict[str, Decided], asked: float | None, query: EmergenceQuery, meaning: str
) -> str:
    parts = []
    if asked is not None:
        rate = decision["rate"]
        ends = "" if rate.lower is None else f" [{show(rate.lower)}, {show(rate.upper)}]"
        parts.append(f"At {format_short(asked)} {law.unit} the pass rate will be {show(rate.value)}{ends}")
    if query.rate is not None:
        size = decision[law.name]
        ends = "" if size.lower is None else f" [{show(size.lower, law.unit)}, {show(size.upper, law.unit)}]"
        parts.append(f"a pass rate of {query.rate:g} takes {show(size.value, law.unit)} {law.unit}{ends}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]} ({meaning})."


def _warned(
    law: _Law, decision: dict[str, Decided], asked: float | None, kind: str, silent: list[float], table: Runs
) -> list[Finding]:
    found: list[Finding] = []
    biggest = float(law.found.x[-1])
    farthest = max(
        x for x in (asked, decision[law.name].value if law.name in decision else None, 0.0) if x is not None
    )
    if farthest > FAR * biggest:
        found.append(
            Finding(
                "distance", "amber",
                f"{format_short(farthest)} is {show(farthest / biggest, 'x')} the largest size measured, "
                f"{format_short(biggest)}.",
                "The paper foretold a size 1.6 times its largest; further out the line is an assumption.",
            )
        )  # fmt: skip
    if kind in ("sub-scaling", "accelerated"):
        found.append(
            Finding(
                "bend", "amber",
                f"{'Convex' if kind == 'sub-scaling' else 'Concave'}, {decision['bend'].value:.3g} per (log size)^2: "
                f"a straight line foretells too {'much' if kind == 'sub-scaling' else 'little'}.",
                "Trust sizes near the measured ones only.",
            )
        )  # fmt: skip
    if not law.left_out:
        found.append(
            Finding(
                "untried", "amber", f"{len(law.found.x)} sizes: none can be left out to try the line on it.",
                "Measure a fourth size.",
            )
        )  # fmt: skip
    elif abs(law.left_out[law.level] - 1) > ROUGH:
        found.append(
            Finding(
                "left-out", "amber",
                f"From the others the line foretells {show(law.left_out[law.level], 'x')} the largest size's rate.",
                "Take the interval for too narrow.",
            )
        )  # fmt: skip
    if "D" not in table.columns or np.unique(table["D"]).size == 1:
        said = (
            "all sizes saw the same tokens"
            if "D" in table.columns
            else "the table does not say how many tokens each saw"
        )
        found.append(
            Finding(
                "tokens", "amber",
                f"The line is about sizes, and {said}: where data are held, larger models fall behind it.",
                "On Pythia (300B tokens each, MATH) five sizes foretold 57 % and 59 % too much for the next two.",
            )
        )  # fmt: skip
    worst = law.found.error / law.found.rate[0]
    if (worst > 0.5).any():
        found.append(
            Finding(
                "noisy", "amber",
                f"The choice of problems moves a rate by {show(100 * float(worst.max()), '%')} (standard error).",
                "More problems help; more attempts at the same ones do not.",
            )
        )  # fmt: skip
    if silent:
        listed = ", ".join(format_short(s) for s in silent)
        found.append(
            Finding(
                "silent", "amber",
                f"Sizes without a pass, or without a failure, were left out: {listed}.",
                "A rate of 0 is an upper bound of 3 over the attempts, no point on a line.",
            )
        )  # fmt: skip
    return found


def _assumed(law: _Law, table: Runs, query: EmergenceQuery) -> list[str]:
    rule = query.stop_rule or str(table.labels["stop_rule"][0])
    rated = (
        "unbiased ((r - 1) / (attempts - 1) where they stopped at the r-th pass)"
        if rule in ("fixed_n", "until_r")
        else "by the likelihood of a beta distribution"
    )
    return [
        f"Attempts ended {STOP_RULES[rule]} ({rule}); rates are {rated}.",
        "The task cannot be passed by guessing.",
        f"Intervals: {DRAWS} draws, problems and sizes resampled"
        + (", half of them by either kind of line" if law.found.each is not None else "")
        + "; how a new size departs from a true line is not in them.",
        f"The line is {'the mean of lines for each problem' if law.level == 'instance' else 'one for the whole task'}"
        + (", which did better on the largest size." if len(law.left_out) > 1 else "."),
    ]


# ------------------------------------------------------------------------------------------------------------ tables


def _measured(law: _Law) -> Table:
    found = law.found
    fitted = law.at(found.x)[0]
    rows = tuple(
        (float(x), float(rate), float(error), 100 * float(error / rate), float(F), float(fit))
        for x, rate, error, F, fit in zip(found.x, found.rate[0], found.error, found.F[0], fitted)
    )
    return Table(
        "rates",
        "Pass rates measured",
        ((law.name, law.unit), ("rate", ""), ("SE", ""), ("SE / rate", "%"), ("log(-log rate)", ""), ("fitted", "")),
        rows,
        "Standard errors are those of the choice of problems.",
    )


def _levels(law: _Law, asked: float | None, level: float) -> list[Table]:
    x = np.array([asked if asked is not None else float(law.found.x[-1])])
    rows: list[Row] = []
    for name in ("dataset", "instance"):
        if name == "instance" and law.found.each is None:
            continue
        values = law.at(x, name)[:, 0]
        error = law.left_out.get(name)
        ends = interval(values, level) or (None, None)
        rows.append((name, float(values[0]), *ends, None if error is None else 100 * (error - 1)))
    return [
        Table(
            "alternatives",
            f"The rate at {format_short(float(x[0]))}, by one line or a line for each problem",
            (("line for", ""), ("rate", ""), ("from", ""), ("to", ""), ("error on the largest size", "%")),
            tuple(rows),
            "The largest size was foretold from the others; the smaller error decides.",
        )
    ]


def _sensitivity(law: _Law, level: float) -> Table:
    biggest = float(law.found.x[-1])
    x = biggest * np.array(FACTORS)
    values = law.at(x)
    rows = [
        (factor, float(size), float(values[0, i]), *(interval(values[:, i], level) or (None, None)))
        for i, (factor, size) in enumerate(zip(FACTORS, x))
    ]
    return Table(
        "sensitivity",
        "At larger sizes",
        (("size / largest", "x"), (law.name, law.unit), ("rate", ""), ("from", ""), ("to", "")),
        tuple(rows),
    )


def _drawn(law: _Law, asked: float | None, level: float) -> Frozen[str, Array]:
    found = law.found
    x = np.geomspace(found.x[0], max(asked or 0.0, 2 * float(found.x[-1])), 40)
    x = np.unique(np.concatenate([x, found.x]))
    values = law.at(x)
    ends = np.array([interval(values[:, i], level) or (np.nan, np.nan) for i in range(x.size)])
    seen = np.full(x.size, np.nan)
    seen[np.searchsorted(x, found.x)] = found.rate[0]
    return Frozen({law.name: x, "pass rate": values[0], "lower": ends[:, 0], "upper": ends[:, 1], "measured": seen})


planner = Planner(
    id="emergence",
    question="How often will a larger model pass a task that small models almost never pass?",
    query=EmergenceQuery,
    answer=answer,
    parts=(
        Part(
            "attempts",
            "attempts at each problem by models of several sizes: N (or C), trials, passed; problem where known",
            columns=("trials", "passed"),
        ),
    ),
    papers=("hu2023",),
    example=Frozen({"params": "12B", "stop_rule": "fixed_n"}),
)

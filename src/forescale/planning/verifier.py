# SPDX-License-Identifier: Apache-2.0
"""How often is it worth asking again, when the verifier that picks the answer makes mistakes?

Samples are drawn until a verifier accepts one (Stroebl, Kapoor and Narayanan 2024). Wrong answers that pass set a
ceiling that no number of attempts lifts, and each of them costs something. The utility of k attempts is exact: from
the rates of types of problems, or from samples on which verifier and truth are both known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.fitting.estimators.verification import (
    Kinds,
    Outcome,
    best_attempts,
    ceiling_of_counts,
    kinds,
    of_counts,
    precision_trend,
    resampled,
    wrong_if_accepted,
)
from forescale.numerics.resample import bootstrap_rows
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided
from forescale.planning._numbers import NumbersText
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._show import show
from forescale.runs.samples import attempts, of_model
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

COSTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Costs of a wrong answer that the table of costs walks through."""
STEPS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
DRAWS = 1000
ENOUGH = 0.01
"""Utility that one gives away for fewer attempts: what `enough` means."""
EVERY = 400
"""Up to so many attempts each number is looked at; beyond, 400 numbers even in the logarithm."""
FEW = 30
"""Problems below which a bootstrap over problems is too narrow."""


class VerifierQuery(BaseModel):
    """What verifier and model are like, and what a wrong answer costs."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    correct: NumbersText | None = Field(
        None, description="chance that one sample is right, for each type of problem, e.g. 0.87,0.13"
    )
    share: NumbersText | None = Field(
        None, description="share of the problems that is of each type, e.g. 0.58,0.42 (default: equal shares)"
    )
    completeness: float | None = Field(
        None, ge=0, le=1, description="chance that the verifier accepts a right sample, e.g. 0.95 (default: 1)"
    )
    soundness: float | None = Field(
        None, ge=0, le=1, description="chance that the verifier rejects a wrong sample, e.g. 0.75"
    )
    cost_wrong: float = Field(
        1.0, ge=0, description="what a wrong answer costs, where a right one is worth 1 and none is worth 0, e.g. 2"
    )
    cost_attempt: float = Field(0.0, ge=0, description="what one attempt costs in the same unit, e.g. 0.001")
    most: int | None = Field(None, ge=1, description="most attempts that can be made, e.g. 64")
    model: str | None = Field(None, description="which model of the samples to plan for, e.g. pythia-1b")


@dataclass(frozen=True, eq=False)
class _Answer:
    """Outcomes over k, with a row for each resample of the problems (row 0 the estimate).

    Attributes:
        k: (K,) attempts looked at, 0 first.
        outcome: of arrays (B, K).
        best: (B,) attempts of the largest utility.
        ceiling: (B,) accuracy after endless attempts.
        risk: (K,) chance that what is accepted at that very attempt is wrong.
        last: most attempts that the samples can speak of; infinity from rates.
        of, most: the types that rates speak of, and the most attempts allowed.
    """

    k: Array
    outcome: Outcome
    best: Array
    ceiling: Array
    risk: Array
    last: float
    of: Kinds | None = None
    most: float = math.inf

    def bests(self, cost_wrong: float, cost_attempt: float) -> Array:
        """(B,) attempts of the largest utility, the fewest where several tie."""
        if self.of is not None:
            return np.array([best_attempts(self.of, cost_wrong, cost_attempt, self.most)])
        return self.k[_first_best(self.outcome.utility(cost_wrong, cost_attempt))]


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: VerifierQuery) -> Plan:
    """How many attempts, and what they bring.

    Raises:
        QueryError: neither rates nor samples, or both; several models and none named.
        DataError: rates or counts that contradict each other.
        RefusedError: a verifier that accepts nothing.
    """
    table = grounds.tables.get("samples")
    given = [name for name in ("correct", "share", "completeness", "soundness") if getattr(query, name) is not None]
    if table is not None and given:
        raise QueryError(
            message(
                f"{' and '.join(given)} given beside samples, which say it themselves",
                "either a table of samples or rates",
                f"leave out {' and '.join(given)}",
            )
        )
    if table is not None:
        counts = _counted(table, query.model)
        found = _from_counts(counts, query)
        about = _of_samples(counts, grounds.level)
        side = _models(table, query)
    else:
        of = _rates(query, given)
        found = _from_rates(of, query)
        about = {}
        side = _better(of, query)
    best = float(found.best[0])
    censored = math.isfinite(found.last) and best >= found.last
    place = int(np.argmax(found.k >= best))
    utility = found.outcome.utility(query.cost_wrong, query.cost_attempt)
    one = int(np.flatnonzero(found.k == 1.0)[0])
    level = grounds.level
    gained = utility[:, place] - utility[:, one]
    enough = np.array([_fewest(found.k, row, value) for row, value in zip(utility, utility[:, place])])
    reported = np.where(found.best >= found.last, np.inf, found.best)
    decision: dict[str, Decided] = {
        "attempts": _ended(decided(reported, "count", level, "most attempts worth making"), best),
        "enough": decided(enough, "count", level, f"attempts that come within {ENOUGH:g} of the best"),
        "utility": decided(utility[:, place], "", level, "utility of a problem, with so many attempts at most"),
        "gain": decided(gained, "", level, "utility gained over a single attempt"),
        "accuracy": decided(found.outcome.correct[:, place], "", level, "share answered rightly"),
        "wrong": decided(found.outcome.wrong[:, place], "", level, "share answered wrongly"),
        "precision": decided(found.outcome.precision[:, place], "", level, "share of the answers that is right"),
        "made": decided(found.outcome.attempts[:, place], "", level, "attempts really made, mean"),
        "ceiling": decided(found.ceiling, "", level, "accuracy after endless attempts"),
        **about,
    }
    warnings = [*_warned(decision, best, censored), *_few(grounds)]
    if censored:
        times = f"at least {best:,.0f} times, all that the samples can tell"
    elif math.isinf(best):
        times = "as often as you like"
    else:
        times = f"{best:,.0f} times at most" if best != 1.0 else "once"
    accuracy, precision = decision["accuracy"].value, decision["precision"].value
    headline = (
        "Do not answer at all: even the first sample that the verifier accepts costs more than it brings."
        if best == 0.0
        else f"Ask {times}: {show(100 * accuracy, '%')} of the problems are answered rightly and "
        f"{show(100 * decision['wrong'].value, '%')} wrongly (precision {precision:.3f}). No number of attempts "
        f"answers more than {show(100 * decision['ceiling'].value, '%')} rightly."
    )
    return composed(
        grounds,
        planner,
        query,
        headline=headline,
        decision=decision,
        binding=_binding(query, best, censored),
        tables=(_by_attempt(found, query), _by_cost(found, query, grounds.level), *side),
        curves={"utility": _curve(found, utility, level)},
        warnings=warnings,
        assumptions=_assumed(query, table),
    )


# --------------------------------------------------------------------------------------------------------- from rates


def _rates(query: VerifierQuery, given: list[str]) -> Kinds:
    if query.correct is None or query.soundness is None:
        lacking = [name for name in ("correct", "soundness") if getattr(query, name) is None]
        raise QueryError(
            message(
                f"verifier needs {' and '.join(lacking)}" + (f" beside {' and '.join(given)}" if given else ""),
                "rates (correct, soundness), or a table of samples with problem, correct and accepted",
            )
        )
    if query.model is not None:
        raise QueryError(message("model names samples, and no samples were given", "correct and soundness alone"))
    share = query.share or tuple(1.0 / len(query.correct) for _ in query.correct)
    if len(share) != len(query.correct):
        raise QueryError(
            message(f"share holds {len(share)} numbers and correct {len(query.correct)}", "one share for each type")
        )
    completeness = 1.0 if query.completeness is None else query.completeness
    of = kinds(share, query.correct, completeness, query.soundness)
    if float((of.right + of.wrong).max()) == 0.0:
        raise refused("a verifier that accepts no sample at all", "some chance of acceptance")
    return of


def _from_rates(of: Kinds, query: VerifierQuery) -> _Answer:
    most = math.inf if query.most is None else float(query.most)
    wanted = [best_attempts(of, cost, query.cost_attempt, most) for cost in {*COSTS, query.cost_wrong}]
    k = np.unique([*_grid(int(min(most, STEPS[6]))), *(s for s in STEPS if s < most), *wanted, most])
    one = resampled(of, k)
    shaped = Outcome(one.correct[None], one.wrong[None], one.attempts[None])
    best = np.array([best_attempts(of, query.cost_wrong, query.cost_attempt, most)])
    ceiling = resampled(of, [math.inf]).correct
    return _Answer(k, shaped, best, ceiling, wrong_if_accepted(of, k), math.inf, of, most)


def _better(of: Kinds, query: VerifierQuery) -> list[Table]:
    """What a better or a worse verifier would change."""
    soundness, completeness = query.soundness or 0.0, 1.0 if query.completeness is None else query.completeness
    correct = np.asarray(query.correct)
    most = math.inf if query.most is None else float(query.most)
    rows: list[Row] = []
    for c, s in _neighbours(completeness, soundness):
        other = kinds(of.share, correct, c, s)
        best = best_attempts(other, query.cost_wrong, query.cost_attempt, most)
        there = resampled(other, [best])
        end = resampled(other, [math.inf])
        rows.append(
            (
                c, s, best, float(there.utility(query.cost_wrong, query.cost_attempt)[0]), float(there.correct[0]),
                float(there.wrong[0]), float(end.correct[0]),
            )
        )  # fmt: skip
    return [
        Table(
            "sensitivity",
            "With another verifier",
            (
                ("completeness", ""), ("soundness", ""), ("attempts", "count"), ("utility", ""), ("right", ""),
                ("wrong", ""), ("ceiling", ""),
            ),
            tuple(rows),
            "Each row has its own best number of attempts.",
        )
    ]  # fmt: skip


def _neighbours(completeness: float, soundness: float) -> list[tuple[float, float]]:
    halves = [1.0 - 2.0 * (1.0 - soundness), 1.0 - 0.5 * (1.0 - soundness), 1.0 - 0.1 * (1.0 - soundness), 1.0]
    found = [(completeness, soundness), *((completeness, s) for s in halves)]
    found += [(c, soundness) for c in (0.9 * completeness, 0.5 * completeness)]
    return list(dict.fromkeys((c, s) for c, s in found if 0.0 <= s <= 1.0))


# ------------------------------------------------------------------------------------------------------- from samples


@dataclass(frozen=True, eq=False)
class _Counts:
    trials: Array
    passed: Array
    accepted: Array
    right: Array


def _counted(table: Runs, model: str | None) -> _Counts:
    counts = attempts(of_model(table, model))
    if float(counts["accepted"].sum()) == 0.0:
        raise refused(
            f"the verifier accepted none of the {counts['trials'].sum():,.0f} samples of {table.source}",
            "some samples that it accepts",
        )
    return _Counts(counts["trials"], counts["passed"], counts["accepted"], counts["accepted_right"])


def _from_counts(counts: _Counts, query: VerifierQuery) -> _Answer:
    last = int(counts.trials.min())
    if query.most is not None:
        if query.most > last:
            raise QueryError(
                message(
                    f"most = {query.most}, and some problem has {last} samples only",
                    f"at most {last}: attempts that were not made cannot be counted",
                    "leave most out, or describe the verifier by its rates",
                )
            )
        last = query.most
    k = _grid(last)
    each = of_counts(counts.trials, counts.accepted, counts.right, k)
    right = ceiling_of_counts(counts.accepted, counts.right)
    weights = _weights(len(counts.trials))
    outcome = Outcome(weights @ each.correct, weights @ each.wrong, weights @ each.attempts)
    utility = outcome.utility(query.cost_wrong, query.cost_attempt)
    best = k[_first_best(utility)]
    new_right, new_wrong = (np.diff(values[0], prepend=0.0) for values in (outcome.correct, outcome.wrong))
    risk = np.where(new_right + new_wrong > 1e-9, new_wrong / (new_right + new_wrong), np.nan)
    reached = math.inf if query.most is not None else float(last)
    return _Answer(k, outcome, best, weights @ right, risk, reached)


def _weights(problems: int) -> Array:
    """(1 + B, P) weights of the problems that sum to one: the estimate, then resamples of whole problems."""
    return np.concatenate([np.ones((1, problems)), bootstrap_rows(problems, DRAWS, 0)]) / problems


def _of_samples(counts: _Counts, level: float) -> dict[str, Decided]:
    """What the samples say of the verifier, problems resampled."""
    weights = _weights(len(counts.trials))
    right, all_ = weights @ counts.passed, weights @ counts.trials
    accepted, both = weights @ counts.accepted, weights @ counts.right
    return {
        "single": decided(weights @ (counts.passed / counts.trials), "", level, "accuracy of one sample, unverified"),
        "completeness": decided(both / right, "", level, "right samples that the verifier accepts"),
        "soundness": decided(1.0 - (accepted - both) / (all_ - right), "", level, "wrong samples that it rejects"),
    }


def _models(table: Runs, query: VerifierQuery) -> list[Table]:
    """The other models of the table under the same verifier: weak ones fool it more often."""
    names = np.unique(table.labels["model"]).tolist() if "model" in table.labels else []
    if len(names) < 2:
        return []
    rows: list[Row] = []
    for name in names:
        counts = _counted(table, name)
        found = _from_counts(counts, query)
        utility = found.outcome.utility(query.cost_wrong, query.cost_attempt)[0]
        one = int(np.flatnonzero(found.k == 1.0)[0])
        rows.append(
            (
                name, float((counts.passed / counts.trials).mean()), float(found.outcome.precision[0, one]),
                float(found.ceiling[0]), float(found.best[0]), float(utility.max()),
            )
        )  # fmt: skip
    trend = precision_trend([row[1] for row in rows], [row[2] for row in rows])  # type: ignore[arg-type]
    note = (
        ""
        if trend is None
        else (
            f"Precision rises by {trend.slope:.3g} per unit of single-sample accuracy "
            f"(correlation {trend.correlation:.2f})."
        )
    )
    return [
        Table(
            "models",
            "The models of these samples",
            (
                ("model", ""), ("one sample right", ""), ("precision", ""), ("ceiling", ""), ("attempts", "count"),
                ("utility", ""),
            ),
            tuple(rows),
            note,
        )
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------------- tables


def _grid(last: int) -> Array:
    """Attempts to look at, 0 first: all up to EVERY, then as many again even in the logarithm."""
    small = np.arange(0.0, min(last, EVERY) + 1.0)
    if last <= EVERY:
        return small
    return np.unique(np.concatenate([small, np.round(np.geomspace(EVERY, last, EVERY))]))


def _first_best(utility: Array) -> NDArray[np.intp]:
    """(B,) place of the largest utility, the first of several: rounding must not break a tie."""
    return np.asarray(np.argmax(utility >= utility.max(axis=1, keepdims=True) - 1e-12, axis=1))


def _fewest(k: Array, utility: Array, best: float) -> float:
    return float(k[int(np.argmax(utility >= best - ENOUGH))])


def _by_attempt(found: _Answer, query: VerifierQuery) -> Table:
    shown = {*STEPS, float(found.k[-1]), float(found.best[0])}
    utility = found.outcome.utility(query.cost_wrong, query.cost_attempt)[0]
    rows: list[Row] = []
    for i, k in enumerate(found.k):
        if k in shown and k > 0:
            right, wrong = float(found.outcome.correct[0, i]), float(found.outcome.wrong[0, i])
            none, risk = 1.0 - right - wrong, float(found.risk[i])
            added = float(utility[i] - utility[i - 1]) if k - found.k[i - 1] == 1.0 else None
            rows.append(
                (
                    float(k), right, wrong, none if none > 1e-12 else 0.0, right / (right + wrong),
                    None if math.isnan(risk) else risk, float(utility[i]), added,
                )
            )  # fmt: skip
    return Table(
        "attempts",
        "By the most attempts made",
        (
            ("attempts", "count"), ("right", ""), ("wrong", ""), ("none", ""), ("precision", ""),
            ("wrong if accepted here", ""), ("utility", ""), ("the last one adds", ""),
        ),
        tuple(rows),
        "Hard problems survive rejections: a sample accepted late is wrong more often.",
    )  # fmt: skip


def _by_cost(found: _Answer, query: VerifierQuery, level: float) -> Table:
    rows: list[Row] = []
    for cost in sorted({*COSTS, query.cost_wrong}):
        best = found.bests(cost, query.cost_attempt)
        k = decided(np.where(best >= found.last, np.inf, best), "count", level)
        i = int(np.argmax(found.k >= best[0]))
        there = Outcome(*(v[:1, i] for v in (found.outcome.correct, found.outcome.wrong, found.outcome.attempts)))
        utility = float(there.utility(cost, query.cost_attempt)[0])
        rows.append((cost, float(best[0]), k.lower, k.upper, utility, float(there.correct[0]), float(there.wrong[0])))
    ended = any(row[1] == found.last for row in rows)
    return Table(
        "cost-of-wrong",
        "What a wrong answer costs, and how many attempts that leaves",
        (
            ("wrong answer costs", ""), ("attempts", "count"), ("from", "count"), ("to", "count"), ("utility", ""),
            ("right", ""), ("wrong", ""),
        ),
        tuple(rows),
        f"{found.last:,.0f} is the end of the samples: read it as at least that." if ended else "",
    )  # fmt: skip


def _curve(found: _Answer, utility: Array, level: float) -> Frozen[str, Array]:
    shown = np.isfinite(found.k) & (found.k > 0)
    held = {
        "attempts": found.k[shown],
        "utility": utility[0, shown],
        "right": found.outcome.correct[0, shown],
        "wrong": found.outcome.wrong[0, shown],
    }
    if len(utility) > 1:
        tail = 0.5 * (1.0 - level)
        held["lower"], held["upper"] = np.quantile(utility[1:, shown], [tail, 1.0 - tail], axis=0)
    return Frozen(held)


# -------------------------------------------------------------------------------------------------- what must be said


def _ended(found: Decided, best: float) -> Decided:
    """The estimate as it was counted: an infinite end of the interval says that more samples were wanted."""
    return Decided(best, found.lower, found.upper, found.unit, found.meaning)


def _binding(query: VerifierQuery, best: float, censored: bool) -> str:
    if query.most is not None and best >= query.most:
        return f"most = {query.most}"
    if censored:
        return "the number of samples"
    if math.isinf(best):
        return "nothing: no attempt loses"
    return "wrong answers that the verifier accepts" + (" and the cost of attempts" if query.cost_attempt else "")


def _warned(decision: dict[str, Decided], best: float, censored: bool) -> list[Finding]:
    warnings = []
    if censored:
        warnings.append(
            Finding(
                "censored",
                "amber",
                f"The best number of attempts is {best:,.0f} or more: the samples end there.",
                "Draw more samples per problem to see where it ends.",
            )
        )
    precision = decision["precision"].value
    if precision < 0.5:
        warnings.append(
            Finding(
                "mostly-wrong",
                "red",
                f"Only {show(100 * precision, '%')} of what the verifier accepts is right.",
                "A sounder verifier gains more than any number of attempts.",
            )
        )
    return warnings


def _few(grounds: Grounds) -> list[Finding]:
    table = grounds.tables.get("samples")
    if table is None:
        return []
    problems = len(np.unique(table.labels["problem"]))
    if problems >= FEW:
        return []
    return [
        Finding(
            "few-problems",
            "amber",
            f"{problems} problems: an interval from resampling so few is too narrow.",
            "Problems, not samples, make the error: measure on more of them.",
        )
    ]


def _assumed(query: VerifierQuery, table: Runs | None) -> list[str]:
    worth = f"A right answer is worth 1, a wrong one costs {query.cost_wrong:g}, none is worth 0"
    held = [worth + (f", an attempt costs {query.cost_attempt:g}." if query.cost_attempt else ".")]
    if table is None:
        held.append("Samples of one problem are independent, and the verifier errs at one rate for all problems.")
        if query.completeness is None:
            held.append("The verifier accepts every right sample (completeness was not given).")
        return held
    return [
        *held,
        "Samples of one problem are exchangeable: all orders of them count alike.",
        f"Intervals resample whole problems {DRAWS:,} times (seed 0).",
        "Endless attempts answer a problem with any accepted sample; problems without one stay unanswered.",
    ]


planner = Planner(
    id="verifier",
    question="How often is it worth sampling again when the verifier makes mistakes?",
    query=VerifierQuery,
    answer=answer,
    parts=(
        Part(
            "samples",
            "samples of each problem, whether they are right and whether the verifier accepts them",
            columns=("problem", "correct", "accepted"),
            optional=True,
        ),
    ),
    papers=("stroebl2024",),
    example=Frozen({"correct": "0.87,0.13", "share": "0.58,0.42", "soundness": 0.75, "cost_wrong": 1}),
    topic="how to sample and to serve",
)

# SPDX-License-Identifier: Apache-2.0
"""How will a model do on a task, judged by its benchmarks, and what compute is it worth?

Observational scaling (Ruan et al. 2024): components of benchmarks of public models, a logistic link from them to the
score of a task, and the line of a reference family for the compute that a model is worth. Compute alone, by the same
link, stands beside the components everywhere: which of the two is better depends on the task.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import ColumnError, DataError, QueryError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.costs.budget import to_flop
from forescale.fitting._fit import Finding
from forescale.numerics.resample import cluster_labels
from forescale.planning import _capability_tables
from forescale.planning._capability import Line, Linked, Models, lines, linked
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import BudgetText
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]

REFERENCE = "Llama-2"
"""The family that compute is counted in, as in the paper, where the table has it."""
LEAST = 12
"""Models with scores below which no link is learned: it has five numbers."""
FEW = 5
"""Families below which resampling them says little."""


class CapabilityQuery(BaseModel):
    """A model of the table, and what may be learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    target: str = Field(
        description="the model to judge, as in the table's column model, e.g. meta-llama/Llama-2-70b-hf"
    )
    below: BudgetText | None = Field(
        None, description="learn from models of at most this training compute, e.g. '84e21 FLOP'; the others test it"
    )
    components: int = Field(3, ge=1, le=20, description="components that the link reads, e.g. 3")
    benchmarks: str | None = Field(
        None, description="columns of benchmark scores, e.g. 'MMLU, ARC_C, HellaSwag' (default: the paper's eight)"
    )
    reference: str | None = Field(None, description="family to count compute in, e.g. Llama-2")
    resamples: int = Field(1000, ge=20, le=4000, description="resamples of whole families, e.g. 1000")


@np.errstate(all="ignore")  # models without compute are NaN, and stay so
def answer(grounds: Grounds, query: CapabilityQuery) -> Plan:
    """The score and the worth of a model.

    Raises:
        QueryError: a model or a family that is not in the table, or no compute to cut at.
        ColumnError: a benchmark without a column, or no families.
        DataError: fewer models than can be learned from; scores outside 0 to 1; two models of one name.
        RefusedError: neither a score nor a compute can be said.
    """
    from forescale.fitting.estimators.observational import BENCHMARKS, capabilities

    level = grounds.level
    models = _models(grounds.tables["models"], query, BENCHMARKS)
    space = capabilities(models.runs.where(models.space_rows).columns, models.benchmarks)
    k = query.components
    if k > len(models.benchmarks):
        raise QueryError(message(f"components = {k} of {len(models.benchmarks)} benchmarks", "at most their number"))
    first = space.of(models.runs.columns)[:, 0]
    codes = cluster_labels(models.family)
    every = lines(first, models.C, models.family)
    reference = _reference(every, query, models)
    decision: dict[str, Decided] = {}
    tables: list[Table] = []
    warnings: list[Finding] = []
    curves: dict[str, Frozen[str, Array]] = {}
    expected: dict[str, Expected] = {}
    alone = None
    by = None
    if models.score is not None:
        by = linked(space.standard(models.runs.columns, k), models.score, models.learned, codes, query.resamples)
        alone = _by_compute(models, codes, query.resamples)
        decision |= _scores(by, alone, models, level)
        expected["score"] = _new_model(by, models, level)
        tables.append(_capability_tables.tested(by, alone, models))
        tables.append(_capability_tables.more_components(space, models, codes, by))
        warnings += _trust(by, alone, models)
        curves["score"] = _capability_tables.along(by, models.place, space.spread[0], level)
    worth = None if reference is None else reference.worth(float(first[models.place]), level)
    if reference is not None and worth is not None:
        decision["worth"] = Decided(*worth, "FLOP", f"compute that it is worth on the line of {reference.family}")
    if math.isfinite(models.C[models.place]):
        decision["C"] = Decided(float(models.C[models.place]), None, None, "FLOP", "compute that it took")
    decision["PC1"] = Decided(float(first[models.place]), None, None, "", "first component of its benchmarks")
    decision["explained"] = Decided(
        100.0 * float(space.explained[:k].sum()),
        None,
        None,
        "%",
        f"variance of benchmarks that {k} components explain",
    )
    if by is None and worth is None:
        raise refused(
            "the table has no column score, and no family with a line of compute",
            "scores of the task, or compute (C or exaflops) of two models of one family",
        )
    tables += [
        _capability_tables.components(space, models),
        _capability_tables.families(every, float(first[models.place]), level),
    ]
    warnings += _outside(first, models)
    name = query.target
    said = []
    if by is not None:
        told, beside = expected["score"], decision.get("score_by_compute")
        low, high = told.prediction or (math.nan, math.nan)
        said.append(
            f"{name} is expected to score {show(told.value)} ({100 * level:g} % of such models: {show(low)} to "
            f"{show(high)})" + (f"; compute alone says {show(beside.value)}" if beside is not None else "")
        )
    if worth is not None and reference is not None:
        said.append(
            f"{'its' if said else 'The'} benchmarks {'' if said else f'of {name} '}are worth {decision['worth']} of "
            f"{reference.family}"
        )
    plan = composed(
        grounds, planner, query,
        headline="; ".join(said) + ".",
        decision=decision,
        expected=expected,
        binding=f"{int(models.learned.sum())} models of {len(set(models.family[models.learned]))} families",
        tables=tables,
        curves=curves,
        warnings=warnings,
        assumptions=(
            f"Intervals come from {query.resamples} resamples of whole families (seed 0); the components stay those "
            "of all models that are learned from: they are made without any score of the task.",
            "The target's own score, where the table has one, is not learned from.",
            "No benchmark has leaked into the training data of some models more than of others: that would tilt the "
            "components.",
        ),
    )  # fmt: skip
    draws: dict[str, Any] = (
        {"draws": query.resamples, "draws_from": "resamples of whole families"} if by is not None else {}
    )
    return replace(
        plan, evidence=replace(plan.evidence, law="observational", rows=int(models.learned.sum()), **draws)
    )


# ------------------------------------------------------------------------------------------------------ what is asked


def _models(runs: Runs, query: CapabilityQuery, known: tuple[str, ...]) -> Models:
    names = [str(v) for v in runs.labels["model"]]
    places = [i for i, name in enumerate(names) if name == query.target]
    if not places:
        raise QueryError(message(f"target {query.target!r} is not in the table", "", nearest(query.target, names)))
    if len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise DataError(message(f"{names.count(twice)} rows are called {twice!r}", "one row a model"))
    label = next((name for name in ("family", "group") if name in runs.labels), None)
    if label is None:
        raise ColumnError(message("models without the label column family", "which family each belongs to"))
    benchmarks = known
    if query.benchmarks is not None:
        benchmarks = tuple(name.strip() for name in query.benchmarks.split(",") if name.strip())
        if not benchmarks or len(set(benchmarks)) < len(benchmarks):
            raise QueryError(message(f"benchmarks = {query.benchmarks!r}", "names of different columns, with commas"))
    texts = [name for name in benchmarks if name in runs.labels]
    if texts:
        raise ColumnError(message(f"the benchmark {texts[0]} holds text", "a number, or nothing, in each row"))
    C = runs["C"] if "C" in runs.columns else np.full(len(runs), np.nan)
    if "C" not in runs.columns and "exaflops" in runs.columns:
        C = 1e18 * runs["exaflops"]
    C = np.where(C > 0, C, np.nan)
    within = np.ones(len(runs), dtype=bool)
    if query.below is not None:
        cut = to_flop(query.below).flop
        within = np.isfinite(C) & (cut >= C)
        if not within.any():
            raise QueryError(
                message(
                    f"below = {format_short(cut, 'flop')} leaves no model of known compute to learn from",
                    "a compute within the table's, and a column C (FLOP) or exaflops",
                )
            )
    score, learned = None, within.copy()
    if "score" in runs.columns:
        score = runs["score"]
        seen = score[np.isfinite(score)]
        if seen.size and (seen.min() < 0 or seen.max() > 1):
            raise DataError(message(f"scores from {seen.min():g} to {seen.max():g}", "shares between 0 and 1"))
        learned &= np.isfinite(score)
        learned[places[0]] = False
        if learned.sum() < LEAST:
            raise DataError(
                message(f"{int(learned.sum())} models with a score to learn from", f"{LEAST} or more", "raise below")
            )
    return Models(runs, places[0], C, score, learned, within, np.asarray(runs.labels[label], dtype=str), benchmarks)


def _reference(every: list[Line], query: CapabilityQuery, models: Models) -> Line | None:
    able = [line for line in every if line.rise > 0]
    if query.reference is not None:
        found = next((line for line in able if line.family == query.reference), None)
        if found is None:
            raise QueryError(
                message(
                    f"reference {query.reference!r} has no rising line of two models of known compute",
                    "",
                    nearest(query.reference, [line.family for line in able]),
                )
            )
        return found
    named = next((line for line in able if line.family == REFERENCE), None)
    return named or max(able, key=lambda line: (line.models, line.spread), default=None)


def _by_compute(models: Models, codes: NDArray[np.intp], draws: int) -> Linked | None:
    """Compute alone by the same link, on the models whose compute is known; None below LEAST of them."""
    rows = models.learned & np.isfinite(models.C)
    if rows.sum() < LEAST or models.score is None or np.ptp(models.C[rows]) == 0:
        return None
    log = np.log10(models.C)
    x = (log - log[rows].mean()) / log[rows].std()
    return linked(x[:, None], models.score, rows, codes, draws)


# ------------------------------------------------------------------------------------------------- what is answered


def _scores(by: Linked, alone: Linked | None, models: Models, level: float) -> dict[str, Decided]:
    i = models.place
    found = {"score": decided(by.at(by.x[[i]])[:, 0], "", level, "score by components of its benchmarks")}
    if alone is not None and math.isfinite(models.C[i]):
        found["score_by_compute"] = decided(alone.at(alone.x[[i]])[:, 0], "", level, "score by its compute alone")
    if models.score is not None and math.isfinite(models.score[i]):
        found["seen"] = Decided(float(models.score[i]), None, None, "", "score in the table, not learned from")
    return found


def _new_model(by: Linked, models: Models, level: float) -> Expected:
    """The band of a new model: what links learned without a family miss that family's models by."""
    assert models.score is not None  # noqa: S101 - the caller has looked
    values = by.at(by.x[[models.place]])[:, 0]
    best, ends = of_estimate(values), interval(values, level)
    miss = np.abs(by.apart - models.score)[by.rows]
    half = float(np.quantile(miss, level))
    low, high = ends or (best, best)
    band = (max(best - math.hypot(best - low, half), 0.0), min(best + math.hypot(high - best, half), 1.0))
    return Expected(best, ends, band, "", "score of a new model")


# ------------------------------------------------------------------------------------------------ what must be said


def _trust(by: Linked, alone: Linked | None, models: Models) -> list[Finding]:
    assert models.score is not None  # noqa: S101 - the caller has looked
    found: list[Finding] = []
    groups = len(set(models.family[models.learned]))
    if groups < FEW:
        found.append(
            Finding(
                "few-families", "amber", f"{groups} families stand behind the link.", "Intervals by family need more."
            )
        )
    if len(by.theta) > 1:
        others = [float(by.scores(i)[models.place]) for i in range(len(by.theta))]
        worse = 100 * (by.left.max() / by.left[0] - 1)
        found.append(
            Finding(
                "other-links",
                "amber",
                f"{len(others)} links fit the models learned from within {worse:.2g} % and predict scores of "
                f"{' and '.join(show(v) for v in others)}.",
                "So small a difference does not tell them apart: scores of stronger models would.",
            )
        )
    if alone is None:
        return found
    beyond = np.isfinite(models.score) & ~models.space_rows & np.isfinite(models.C)
    inside = by.rows & alone.rows
    tests = [("families", "models, each by links learned without its family,", by.apart, alone.apart, inside)]
    if beyond.any():
        tests.insert(0, ("cut", "models beyond the cut", by.scores(), alone.scores(), beyond))
    for code, what, ours, theirs, rows in tests:
        one, other = (_capability_tables.mean_squares(p, models.score, rows) for p in (ours, theirs))
        worse = one > other
        found.append(
            Finding(
                f"against-compute-{code}",
                "amber" if worse else "green",
                f"On {int(rows.sum())} {what} the mean squared error is {one:.3g} by components and {other:.3g} by "
                f"compute alone: {'compute alone does better' if worse else 'components do better'}.",
                "Read the score by compute beside it." if worse else "",
            )
        )
    return found


def _outside(first: Array, models: Models) -> list[Finding]:
    found: list[Finding] = []
    inside = first[models.learned]
    value = float(first[models.place])
    if not inside.min() <= value <= inside.max():
        found.append(
            Finding(
                "beyond-models",
                "amber",
                f"Its first component, {value:.3g}, lies outside those that are learned from ({inside.min():.3g} to "
                f"{inside.max():.3g}).",
                "The link is extrapolated there.",
            )
        )
    lacking = [name for name in models.benchmarks if not np.isfinite(models.runs[name][models.place])]
    if lacking:
        found.append(
            Finding(
                "filled",
                "amber" if 2 * len(lacking) >= len(models.benchmarks) else "green",
                f"Its scores on {', '.join(lacking)} are missing and were filled from the others.",
            )
        )
    return found


planner = Planner(
    id="capability",
    question="How will this model do on a task, judged by its benchmarks, and what compute is it worth?",
    query=CapabilityQuery,
    answer=answer,
    parts=(
        Part(
            "models",
            "public models with their family, benchmark scores, compute (C or exaflops) and the task's score",
            columns=("model",),
        ),
    ),
    papers=("ruan2024",),
    example=Frozen({"target": "meta-llama/Llama-2-70b-hf"}),
    topic="how a task will go",
)

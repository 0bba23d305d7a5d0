# SPDX-License-Identifier: Apache-2.0
"""Which rule should pick the answer among samples, and how many samples are enough?

Majority vote, best of k by a score, votes weighted by the score, between the bounds that a perfect and a perverse
judge would give (Brown et al. 2024; Balachandran et al. 2025). Accuracies are expectations over all draws of k of the
samples that there are; intervals resample problems, which make nearly all of the error.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.streams import block_streams
from forescale.fitting.estimators.voting import (
    exponent,
    modal,
    plurality_of_shares,
)
from forescale.numerics.resample import bootstrap_rows
from forescale.planning import _ballot_tables, _ballots, _sample_tables
from forescale.planning._ballots import BEST, BOTH, SCORE, VOTE, WORST, Problem
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._show import show

Array = NDArray[np.float64]

DRAWS = 1000
_SUBSAMPLED = ("Votes that would take too many products are averaged over subsamples (error about .01 a problem).",)


class SelectionQuery(BaseModel):
    """What samples cost, and what is asked about them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    most: int | None = Field(None, ge=1, description="most samples per problem that can be paid for, e.g. 32")
    slack: float = Field(
        0.01, ge=0, lt=1, description="accuracy that one gives away for fewer samples, e.g. 0.01 for one point"
    )
    samples: int | None = Field(
        None, ge=1, description="a number of samples to ask about, also one beyond the table (vote only), e.g. 64"
    )
    price: float | None = Field(None, gt=0, description="dollars per million generated tokens, e.g. 0.6")
    model: str | None = Field(None, description="which model of the samples to plan for, e.g. llama-8b")


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: SelectionQuery) -> Plan:
    """The rule, the number of samples, and the accuracy to expect.

    Raises:
        QueryError: more samples than there are; several models and none named.
        DataError: no answers and no scores to select by; values that are none.
        RefusedError: problems with a single sample.
    """
    table, sequential = _sample_tables.rounds(_ballots.read(grounds.tables["samples"], query.model))
    problems = _ballots.problems(table)
    fewest = min(len(p.correct) for p in problems)
    if fewest == 1:
        alone = sum(len(p.correct) == 1 for p in problems)
        raise refused(
            f"{alone} of {len(problems)} problems of {table.source} have one sample only: nothing to pick among",
            "several samples of every problem",
            "leave those problems out",
        )
    most = min(fewest, query.most or fewest)
    if query.most is not None and query.most > fewest:
        raise QueryError(
            message(
                f"most = {query.most}, and some problem has {fewest} samples only",
                f"at most {fewest}",
                "ask about more with samples=..., which takes the shares of the answers as they are",
            )
        )
    ks = _ballots.grid(most, query.samples)
    each = _ballots.expected(problems, ks)
    weights = np.concatenate([np.ones((1, len(problems))), bootstrap_rows(len(problems), DRAWS, 0)]) / len(problems)
    curves = {rule: weights @ values for rule, values in each.items()}  # (1 + B, K)
    able = [rule for rule in (VOTE, SCORE, BOTH) if rule in curves]
    level = grounds.level
    rule, place = _chosen(curves, able, query.slack)
    enough = {name: _enough(ks, curves[name], query.slack) for name in able}
    there = curves[rule][:, place]
    others = [name for name in able if name != rule]
    decision: dict[str, Decided] = {
        "samples": decided(_pinned(enough[rule], ks[place]), "count", level, f"samples per problem, {rule}"),
        "accuracy": decided(there, "", level, "accuracy of that rule"),
        "gain": decided(there - curves[rule][:, 0], "", level, "accuracy gained over a single sample"),
        "judge": decided(curves[BEST][:, place] - there, "", level, "what a perfect judge of the same samples adds"),
    }
    if others:
        second = max(others, key=lambda name: curves[name][0, place])
        lead = there - curves[second][:, place]
        decision["lead"] = decided(lead, "", level, f"accuracy ahead of {second} there")
    limits = _limits(problems)
    if limits is not None:
        decision["limit"] = decided(weights @ limits[0], "", level, "accuracy of an endless majority vote")
    decision.update(_asked(problems, curves, ks, weights, query, rule, level))
    tokens = float(np.nanmean(table["decode_tokens"])) if "decode_tokens" in table.columns else math.nan
    decision.update(_paid(tokens, float(ks[place]), query.price))
    warnings = [
        *_ballot_tables.about_rules(curves, able, ks, query.slack, level),
        *_ballot_tables.about_table(table, problems, query.samples),
    ]
    lower = decision["lead"].lower if others else None
    judge = f"{BEST} of the same samples in {show(100 * curves[BEST][0, place], '%')}"
    close = f" {second[0].upper()}{second[1:]} is not told apart from it." if lower is not None and lower <= 0 else ""
    take = f"Take {ks[place]:,.0f} samples and {_ballot_tables.verb(rule)}: {show(100 * there[0], '%')} right"
    near = f", within {100 * query.slack:g} points of the best that any rule here reaches" if query.slack else ""
    headline = (
        f"One sample is enough ({show(100 * there[0], '%')} right): no rule here gains more than "
        f"{100 * query.slack:g} points with up to {ks[-1]:,.0f}."
        if place == 0
        else f"{take}{near}. A single sample is right in {show(100 * curves[rule][0, 0], '%')}, {judge}.{close}"
    )
    return composed(
        grounds,
        planner,
        query,
        headline=headline,
        decision=decision,
        binding=_binding(query, ks, place, fewest),
        tables=(
            _ballot_tables.by_rule(curves, able, ks, place, enough, level),
            _ballot_tables.by_samples(curves, able, ks),
            *_ballot_tables.limit_table(limits),
            *_sample_tables.costs(table),
            *sequential,
        ),
        curves={
            "accuracy": Frozen(
                {"samples": ks, rule: curves[rule][0], "lower": _ballot_tables.end(curves[rule], level, 0),
                 "upper": _ballot_tables.end(curves[rule], level, 1),
                 **{name: curves[name][0] for name in (*others, BEST, WORST)}}
            )
        },
        warnings=warnings,
        assumptions=(
            "Samples of one problem are exchangeable; accuracies are over draws without replacement.",
            f"Intervals resample whole problems {DRAWS:,} times (seed 0); rules are compared on the same resamples.",
            "Ties share their credit; a sample without an answer does not vote.",
            *(_SUBSAMPLED if able != [SCORE] else ()),
        ),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ the decision


def _chosen(curves: dict[str, Array], able: list[str], slack: float) -> tuple[str, int]:
    """The fewest samples with which some rule comes within `slack` of the best of all, and that rule."""
    best = max(float(curves[rule][0].max()) for rule in able)
    reach = {rule: np.flatnonzero(curves[rule][0] >= best - slack - 1e-12) for rule in able}
    able = [rule for rule in able if reach[rule].size]
    rule = min(able, key=lambda name: (int(reach[name][0]), -float(curves[name][0, reach[name][0]])))
    return rule, int(reach[rule][0])


def _enough(ks: Array, curve: Array, slack: float) -> Array:
    """(1 + B,) fewest samples within `slack` of the rule's own best."""
    return np.asarray(ks[np.argmax(curve >= curve.max(axis=1, keepdims=True) - slack - 1e-12, axis=1)])


def _pinned(values: Array, estimate: float) -> Array:
    """The resamples of a number around the estimate that the headline gives."""
    return np.concatenate([[estimate], values[1:]])


def _limits(problems: list[Problem]) -> tuple[Array, Array] | None:
    """(P,) whether the most frequent answer is right, and the exponent with which a vote settles on it."""
    votes = [p.ballot for p in problems if p.answers.size]
    if not votes:
        return None
    return np.array([modal(b) for b in votes]), np.array([exponent(b) for b in votes])


def _asked(
    problems: list[Problem],
    curves: dict[str, Array],
    ks: Array,
    weights: Array,
    query: SelectionQuery,
    rule: str,
    level: float,
) -> dict[str, Decided]:
    k = query.samples
    if k is None:
        return {}
    if k <= ks[-1]:
        values = curves[rule][:, int(np.flatnonzero(ks == k)[0])]
        return {"asked": decided(values, "", level, f"accuracy with {k:,} samples, {rule}")}
    votes = [p.ballot for p in problems if p.answers.size]
    if not votes:
        raise QueryError(
            message(f"samples = {k}, beyond the {ks[-1]:,.0f} of the table", f"at most {ks[-1]:,.0f} without answers")
        )
    streams = block_streams(1, len(votes))
    each = np.array([plurality_of_shares(b, k, stream) for b, stream in zip(votes, streams)])
    return {"asked": decided(weights @ each, "", level, f"accuracy with {k:,} samples, {VOTE} (shares as they are)")}


def _paid(tokens: float, k: float, price: float | None) -> dict[str, Decided]:
    if not math.isfinite(tokens):
        if price is not None:
            raise QueryError(
                message("price was given, and the samples do not say their tokens", "a column decode_tokens")
            )
        return {}
    paid = {"tokens": Decided(k * tokens, None, None, "tokens", "tokens generated per problem, mean")}
    if price is not None:
        paid["dollars"] = Decided(1e-6 * price * k * tokens, None, None, "dollars", "cost per problem")
    return paid


def _binding(query: SelectionQuery, ks: Array, place: int, fewest: int) -> str:
    if place < len(ks) - 1:
        return f"the slack of {query.slack:g}"
    return f"most = {query.most}" if query.most is not None and query.most < fewest else "the number of samples"


planner = Planner(
    id="selection",
    question="Which rule should pick the answer among samples, and how many samples are enough?",
    query=SelectionQuery,
    answer=answer,
    parts=(
        Part(
            "samples",
            "samples of each problem, whether they are right, with their answers, scores or both",
            columns=("problem", "correct"),
        ),
    ),
    papers=("brown2024", "balachandran2025"),
    example=Frozen({"slack": 0.01}),
    topic="how to sample and to serve",
)

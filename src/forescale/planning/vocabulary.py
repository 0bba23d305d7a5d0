# SPDX-License-Identifier: Apache-2.0
"""How many entries should the vocabulary of a model have?

Three approaches of Tao et al. (2024): power laws through the best runs per budget, the vocabulary at which a text
costs least compute, and a law of the loss; and, beside them, the vocabularies of lowest loss in their runs, read off
at equal compute without a law. They differ by a factor of two to four at today's sizes, so all stand in the plan.
Decided by the line through the read-off, or by whichever fit of the user's own is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Compute, format_short
from forescale.costs.budget import to_flop
from forescale.fitting._fit import Finding
from forescale.laws import find
from forescale.laws.vocabulary import (
    LARGEST,
    best_vocabulary,
    budget_of,
    cheapest_vocabulary,
    tokens_per_character,
    width,
)
from forescale.numerics.optimum import Where, root
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, expected, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import BudgetText, ParamsText

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

BALANCED = 3.0
"""Compute over that of approach 1, or under it, within which training counts as compute-optimal."""

AGREED = 1.5
"""Largest over smallest vocabulary within which the approaches agree."""

ENTRIES = (256.0, 1e7)
"""Entries between which a vocabulary is looked for: the bytes, and more than any that was trained."""

OFF = 0.1
"""Share by which rounding to a multiple may move the vocabulary without a word."""

TRUE_TOKENS = "tao2024-true-tokens"


class VocabularyQuery(BaseModel):
    """A model without its vocabulary, and how much it is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    N: ParamsText = Field(description="parameters without the vocabulary, e.g. 7B")
    budget: BudgetText | None = Field(
        None, description="training compute, e.g. 1e23 FLOP (default: what approach 1 gives such a model)"
    )
    width: int | None = Field(None, ge=8, description="width of the model, e.g. 4096 (default: the authors' table)")
    multiple: int = Field(
        128, ge=1, le=65_536, description="the vocabulary is rounded to a multiple of this, e.g. 128"
    )
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation, for a budget in device time")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: VocabularyQuery) -> Plan:
    """The plan of a vocabulary.

    Raises:
        QueryError: a utilisation without a budget in device time, a budget of fewer tokens than entries.
        RefusedError: the law that decides has no best vocabulary, or one that nobody would build.
    """
    if query.mfu is not None and (query.budget is None or isinstance(query.budget, Compute)):
        raise QueryError(
            message(
                f"mfu = {query.mfu:g} without a budget in device time", "a budget such as 1k H100-hours, or no mfu"
            )
        )
    d = float(width(query.N)) if query.width is None else float(query.width)
    balanced = float(budget_of(query.N))
    spend = None if query.budget is None else to_flop(query.budget, mfu=query.mfu)
    C = balanced if spend is None else spend.flop
    asked = _Asked(grounds, query.N, d, C)

    by_loss = "loss" not in grounds.defaulted and "size" in grounds.defaulted
    V = asked.by_loss() if by_loss else grounds.values("size", N=query.N)[:, 0] / d
    own = np.clip(V, *ENTRIES) == V  # NaN is none
    if not own[0]:
        raise _none(asked, float(V[0]))
    rounded = np.maximum(np.round(V / query.multiple), 1.0) * query.multiple
    embedding = V * d
    tokens = C / (6.0 * (query.N + embedding))
    if tokens[0] < V[0]:
        raise QueryError(
            message(
                f"N = {format_short(query.N)} with budget = {query.budget}: {tokens[0]:.3g} tokens, fewer than the "
                f"{V[0]:,.0f} entries of the vocabulary",
                "more compute, or fewer parameters",
                f"{format_short(balanced, 'flop')}",
            )
        )
    level = grounds.level
    fertility = tokens_per_character(V)
    decision: dict[str, Decided] = {
        "vocab_size": decided(rounded, "count", level, f"entries, a multiple of {query.multiple:,}"),
        "V": decided(V, "count", level, "entries of the vocabulary"),
        "N_embedding": decided(embedding, "parameters", level, f"parameters of the embedding, width {d:,.0f}"),
        "share": decided(100 * embedding / (embedding + query.N), "%", level, "share of all parameters"),
        "tokens_per_character": decided(fertility, "", level, "tokens per character (English)"),
        "C": Decided(C, None, None, "FLOP", "compute C = 6 (N + N_embedding) D"),
        "D": decided(tokens, "tokens", level, "tokens D"),
    }
    alone = _Asked(first(grounds), query.N, d, C)
    ways = _ways(alone, of_estimate(V), by_loss)
    at = {"N": query.N, "N_embedding": of_estimate(embedding), "D": decision["D"].value}
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(query, d, rounded[0], ways, by_loss),
        decision=decision,
        binding="the loss at equal compute",
        expected={"loss_u": expected(grounds.laws["loss"], "loss", "loss relative to word frequencies", **at)},
        tables=(_approaches(ways, query.N, d), _mistakes(alone, of_estimate(V)), _data(alone, balanced)),
        curves=_curves(alone, of_estimate(V)),
        warnings=_warnings(of_estimate(V), rounded[0], _spread(ways), C / balanced, alone),
        assumptions=_assumptions(grounds, query, d, spend is None, alone)
        + list(() if spend is None else (*spend.assumptions, spend.how)),
        answered=own,
        at={"loss": at, "size": {"N": query.N}},
        C=C,
    )


# ------------------------------------------------------------------------------------------------- the approaches


@dataclass(frozen=True, eq=False)
class _Asked:
    """One question: N without the vocabulary, the width, the compute."""

    grounds: Grounds
    N: float
    d: float
    C: float

    def by_loss(self, C: Any = None) -> Array:
        """(B,) approach 3: the vocabulary of least loss, by the law that was given; (k,) of one draw for C (k,)."""
        params = {name: self.grounds.param("loss", name)[:, None] for name in self.grounds.law("loss").names}
        return best_vocabulary(params, self.N, self.C if C is None else C, self.d)

    def true_tokens(self, C: Any = None) -> Array:
        """(1,) or (k,): the same by the fit with the tokens that the runs saw."""
        return best_vocabulary(_true(), self.N, self.C if C is None else C, self.d)

    def inputs(self, V: Any, C: Any = None) -> dict[str, Any]:
        """What the law of the loss reads at vocabularies V."""
        N_embedding = np.asarray(V, dtype=np.float64) * self.d
        D = (self.C if C is None else C) / (6.0 * (self.N + N_embedding))
        return dict(zip(("N", "N_embedding", "D"), np.broadcast_arrays(self.N, N_embedding, D)))

    def loss(self, V: Any, C: Any = None) -> Array:
        """(B, k) by the law that was given."""
        return self.grounds.values("loss", **{k: np.atleast_1d(v) for k, v in self.inputs(V, C).items()})

    def true_loss(self, V: Any, C: Any = None) -> Array:
        """The same by the fit with the tokens that the runs saw."""
        return np.asarray(find("vocabulary")(_true(), **self.inputs(V, C)))


def _true() -> Mapping[str, float]:
    return find("vocabulary").constants(TRUE_TOKENS)


def _ways(asked: _Asked, V: float, by_loss: bool) -> list[tuple[str, float, str]]:
    """(approach, vocabulary, how) of every approach, the plan's own first."""
    size = find("vocabulary-size")
    whose = asked.grounds.defaulted.get("loss", "your fit")
    third = ("3, law of the loss", of_estimate(asked.by_loss()), whose)
    line = (
        "read off at equal compute",
        of_estimate(asked.grounds.values("size", N=asked.N)) / asked.d,
        asked.grounds.defaulted.get("size", "your fit"),
    )
    own, other = (third, line) if by_loss else (line, third)
    return [
        (f"{own[0]} (this plan)", V, own[2]),
        (
            "1, best runs per budget",
            float(size(size.constants("tao2024-isoflop"), N=asked.N)) / asked.d,
            "vocabulary-size:tao2024-isoflop",
        ),
        (
            "2, least compute for a text, as a power",
            float(size(size.constants("tao2024-derivative"), N=asked.N)) / asked.d,
            "vocabulary-size:tao2024-derivative",
        ),
        (
            "2, least compute for a text, here",
            float(cheapest_vocabulary(asked.N, asked.d)[0]),
            "the minimum of (N + V d) f(V); no run enters",
        ),
        other,
        ("3, law of the loss, true tokens", of_estimate(asked.true_tokens()), f"vocabulary:{TRUE_TOKENS}"),
    ]


def _approaches(ways: list[tuple[str, float, str]], N: float, d: float) -> Table:
    lines: list[Row] = [(name, V, V * d, 100.0 * V * d / (N + V * d), how) for name, V, how in ways]
    return Table(
        "alternatives",
        "The vocabulary by each approach",
        (("approach", ""), ("V", "count"), ("N_embedding", "parameters"), ("share", "%"), ("whose", "")),
        tuple(lines),
        "Approaches 1 and 2 hold for compute-optimal training; 3 for the compute of this plan.",
    )


def _spread(ways: list[tuple[str, float, str]]) -> tuple[float, float]:
    """Smallest and largest vocabulary of the approaches that have one."""
    known = [value for _, value, _ in ways if math.isfinite(value)]
    return min(known), max(known)


def _none(asked: _Asked, V: float) -> Exception:
    between = f"between {ENTRIES[0]:,.0f} and {ENTRIES[1]:,.0f} entries"
    if math.isfinite(V):
        return refused(
            f"{format_short(asked.N)} parameters of width {asked.d:,.0f} would take {V:.3g} entries",
            f"a model whose vocabulary lies {between}",
            "another N, or its true width",
        )
    return refused(
        f"The loss at {format_short(asked.N)} parameters and {format_short(asked.C, 'flop')} has no lowest point "
        f"{between}",
        "constants with a penalty for small vocabularies",
        "vocabulary-size:tao2024-equal-compute",
    )


# ------------------------------------------------------------------------------------- what a wrong one costs


def _mistakes(asked: _Asked, V: float) -> Table:
    """What other vocabularies lose at the same compute, by the law that was given and with true tokens."""
    third, true = of_estimate(asked.by_loss()), of_estimate(asked.true_tokens())
    laws = ((asked.loss, third), (asked.true_loss, true))
    lines: list[Row] = []
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        row: list[float | str | None] = [factor, V * factor]
        for law, best in laws:
            row += _lost(law, V * factor, best, asked.C)
        lines.append(tuple(row))
    return Table(
        "sensitivity",
        "What another vocabulary costs at the same compute",
        (
            ("V / plan", "x"), ("V", "count"), ("loss +", "loss"), ("make up", "%"), ("loss + (true tokens)", "loss"),
            ("make up (true tokens)", "%"),
        ),
        tuple(lines),
        "loss +: above the lowest of that law; make up: extra compute, with that vocabulary, to reach the lowest.",
    )  # fmt: skip


def _lost(law: Callable[..., Array], V: float, best: float, C: float) -> list[float | str | None]:
    """Loss above the lowest at that compute, and the extra compute in % that makes up for it."""
    if not math.isfinite(best):
        return [None, None]
    goal = float(np.ravel(law(best))[0])
    lost = float(np.ravel(law(V))[0]) - goal
    one = np.ones(1)
    found = root(lambda x: law(V, C * x), 0.99 * one, 1e6 * one, target=goal)
    if found.found[0]:
        return [lost, 100.0 * (float(found.x[0]) - 1.0)]
    return [lost, math.inf if found.where[0] == Where.UPPER else 0.0]


def _data(asked: _Asked, balanced: float) -> Table:
    """How the best vocabulary of the law of the loss moves with the amount of training."""
    factor = np.array([0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    C = factor * balanced
    V = asked.by_loss(C)
    columns = (factor, C, V, C / (6.0 * (asked.N + V * asked.d)), asked.true_tokens(C))
    return Table(
        "data",
        "More or less training than compute-optimal, by the law of the loss",
        (("C / optimal", "x"), ("C", "FLOP"), ("V", "count"), ("D", "tokens"), ("V (true tokens)", "count")),
        tuple(zip(*(column.tolist() for column in columns))),
        "Less text wants a smaller vocabulary, more text a larger one.",
    )


def _curves(asked: _Asked, V: float) -> Frozen[str, Frozen[str, Array]]:
    across = V * np.geomspace(1 / 16, 16, 65)
    third, true = asked.loss(across)[0], asked.true_loss(across)
    sizes = asked.N * np.geomspace(1e-2, 1e1, 40)
    law = find("vocabulary-size")
    powers = {
        name: np.asarray(law(law.constants(source), N=sizes)) / width(sizes)
        for name, source in (("approach 1", "tao2024-isoflop"), ("approach 2", "tao2024-derivative"))
    }
    line = asked.grounds.values("size", N=sizes)[0] / width(sizes)
    return Frozen(
        {
            "loss": Frozen({"V": across, "loss +": third - third.min(), "true tokens": true - true.min()}),
            "entries": Frozen({"N": sizes, "read off": line, **powers}),
        }
    )


# --------------------------------------------------------------------------------------------------- what to say


def _headline(query: VocabularyQuery, d: float, V: float, ways: list[tuple[str, float, str]], by_loss: bool) -> str:
    least, most = _spread(ways)
    apart = "agree on" if most <= AGREED * least else "disagree:"
    how = "by the law of the loss" if by_loss else "read off the best runs at equal compute"
    return (
        f"A vocabulary of {V:,.0f} entries for {format_short(query.N)} other parameters of width {d:,.0f}, {how}. "
        f"The approaches {apart} {least:,.0f} to {most:,.0f}."
    )


def _warnings(V: float, rounded: float, spread: tuple[float, float], ratio: float, asked: _Asked) -> list[Finding]:
    found: list[Finding] = []
    if abs(rounded / V - 1.0) > OFF:
        found.append(
            Finding(
                "rounding",
                "amber",
                f"The multiple moves the vocabulary from {V:,.0f} to {rounded:,.0f} entries.",
                "Ask for a smaller multiple.",
            )
        )
    if V > LARGEST:
        found.append(
            Finding(
                "large-vocabulary",
                "amber",
                f"Beyond {LARGEST:,} entries the tokens per character are not known: the authors' parabola turns up "
                "there and is cut.",
            )
        )
    least, most = spread
    if most > AGREED * least:
        found.append(
            Finding(
                "approaches-disagree",
                "amber",
                f"The approaches ask for {least:,.0f} to {most:,.0f} entries.",
                "See the table of mistakes: the loss is flat between them. Two runs with the ends settle it.",
            )
        )
    if not 1 / BALANCED <= ratio <= BALANCED:
        moved = of_estimate(asked.by_loss()) / of_estimate(asked.by_loss(asked.C / ratio))
        what = f"{moved:.3g} times that of a compute-optimal one" if math.isfinite(moved) else "not known there"
        found.append(
            Finding(
                "not-compute-optimal",
                "amber",
                f"The compute is {ratio:.3g} times that of a compute-optimal model of this size; the lines through "
                f"sizes do not know. By the law of the loss the best vocabulary is {what}.",
            )
        )
    return found


def _assumptions(
    grounds: Grounds, query: VocabularyQuery, d: float, default_budget: bool, asked: _Asked
) -> list[str]:
    said = [
        "Losses per token of different vocabularies cannot be compared: all of this is loss_u, relative to word "
        "frequencies.",
        "English text and one family of tokenizers: f(V) tokens per character is a matter of language.",
        "The embedding counts once in N and in compute; a head of its own takes as much memory again.",
    ]
    if grounds.defaulted.get("loss") == "vocabulary:tao2024":
        true, theirs = of_estimate(asked.true_tokens()), of_estimate(asked.by_loss())
        said.append(
            "The authors' script divides V by 1,000 before it asks for the tokens per character, so the runs behind "
            "their law of the loss have 2.7 to 3 times too many tokens. Fitted with the true ones it asks for "
            f"{true:,.0f} entries instead of {theirs:,.0f}; both stand in the table."
        )
    if query.width is None:
        said.append(f"Width {d:,.0f} from the authors' table, which jumps at its ends; say width=... for your model.")
    if default_budget:
        said.append(f"Compute {format_short(asked.C, 'flop')}: what approach 1 gives a model of this size.")
    return said


planner = Planner(
    id="vocabulary",
    question="How many entries should the vocabulary of a model have?",
    query=VocabularyQuery,
    answer=answer,
    parts=(
        Part(
            "size",
            "best embedding parameters for a model",
            laws=("vocabulary-size",),
            default="vocabulary-size:tao2024-equal-compute",
        ),
        Part(
            "loss",
            "loss relative to word frequencies from parameters, embedding and tokens",
            laws=("vocabulary",),
            default="vocabulary:tao2024",
        ),
    ),
    papers=("tao2024",),
    example=Frozen({"N": "7B"}),
)

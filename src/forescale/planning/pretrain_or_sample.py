# SPDX-License-Identifier: Apache-2.0
"""A larger model, or the small one with more compute at test time, for the same FLOP?

A model with M times the parameters costs M times the pre-training and M times the inference. Spent on the small model
instead, these FLOP multiply its inference by M + 3 (M - 1) / R, where R is the number of tokens generated over the
number of tokens trained on (Snell et al. 2024, section 7). What the multiple buys comes from a coverage curve, or
from a table of strategies by difficulty of the problem; the answer then says which way is better, for which problems.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting.surface import Surface
from forescale.numerics.optimum import Where, root
from forescale.planning import _strategies
from forescale.planning._compose import composed
from forescale.planning._coverage import unerring
from forescale.planning._frontier import at, frontier
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._lifetime import tokens_for
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import ParamsText, TokensText
from forescale.planning._show import show
from forescale.planning._strategies import Scores, Validated, at_cost, resampled, scores, validated

Array = NDArray[np.float64]


class PretrainOrSampleQuery(BaseModel):
    """How much larger the larger model is, and how much will be generated beside what was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    larger: float = Field(gt=1, description="parameters of the larger model beside the small one, e.g. 14")
    ratio: float | None = Field(None, gt=0, description="tokens generated / tokens trained on, e.g. 0.79")
    tokens: TokensText | None = Field(None, description="or: tokens that the models are trained on, e.g. 2T")
    served: TokensText | None = Field(None, description="and tokens generated in their life, e.g. 500B")
    params: ParamsText | None = Field(None, description="parameters of the small model, for the losses, e.g. 3B")
    large_score: float | None = Field(
        None, gt=0, lt=1, description="share of problems that one answer of the larger model solves, e.g. 0.35"
    )
    large_strategy: str | None = Field(
        None, description="strategy of the table that is one answer of the larger model, e.g. large"
    )
    difficulty_cost: float | None = Field(
        None, ge=0, description="samples spent on each problem to know its difficulty, e.g. 16 (default: not charged)"
    )


def multiplier(larger: float, ratio: Any) -> Any:
    """Inference of the small model for the FLOP of one M times as large: M + 3 (M - 1) / R (Snell et al. 2024)."""
    return larger + 3.0 * (larger - 1.0) / ratio


def break_even(larger: float, needed: Any) -> Any:
    """Ratio R up to which the multiplier is at least what is needed; infinite where M alone is enough."""
    needed = np.asarray(needed, dtype=np.float64)
    return np.where(needed > larger, 3.0 * (larger - 1.0) / (needed - larger), np.inf)[()]


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: PretrainOrSampleQuery) -> Plan:
    """The exchange, and what it buys where curves or a table say so.

    Raises:
        QueryError: no ratio, or one said twice; fields without what they need.
        DataError: a table that is none.
    """
    ratio = _ratio(query)
    level = grounds.level
    times = float(multiplier(query.larger, ratio))
    M = query.larger
    decision: dict[str, Decided] = {
        "multiplier": Decided(times, None, None, "x", "inference of the small model for the FLOP of the larger"),
        "pretraining_share": Decided(
            100.0 / (1.0 + ratio / 3.0), None, None, "%", "of the larger model's FLOP that are pre-training"
        ),
    }
    tables = [_ratios(M, ratio)]
    said = [f"For the FLOP of a model {M:g} times as large, the small one gets {show(times, 'x')} the inference."]
    warnings: list[Finding] = []
    asked: dict[str, dict[str, float]] = {}
    curves: dict[str, Any] = {"exchange": _exchange(M, ratio)}
    needs = [
        name for name in ("large_score", "large_strategy", "difficulty_cost") if getattr(query, name) is not None
    ]
    if needs and not (grounds.has("coverage") or grounds.has("strategies")):
        raise QueryError(
            message(f"{' and '.join(needs)} without accuracies", "a fit of coverage, or a table of strategies")
        )
    if grounds.has("coverage"):
        said += _by_coverage(grounds, query, times, decision)
        asked["coverage"] = {"attempts": decision["samples"].value}
        warnings += unerring(decision["samples"].value)
    if grounds.has("strategies"):
        of, larger = scores(grounds.tables["strategies"], query.large_strategy)
        found = validated(of)
        said += _by_strategy(of, found, larger, query, times, level, decision, tables)
        warnings += _warned(of, found, times)
        curves["accuracy"] = Frozen(
            {
                "samples": of.budgets,
                "best of each bin": found.adaptive[0],
                "one for all": found.fixed[0],
                "chosen on itself": found.apparent,
            }
        )
    if query.params is not None:
        if not grounds.has("loss"):
            raise QueryError(
                message("params without a law of loss", "a fit in N and D", "add chinchilla:besiroglu2024")
            )
        tables.append(_pretraining(grounds, query, ratio))
    if not (grounds.has("coverage") or grounds.has("strategies")):
        said.append("Give a coverage fit or a table of strategies to know what that buys.")
    return composed(
        grounds,
        planner,
        query,
        headline=" ".join(said),
        decision=decision,
        binding="equal FLOP of pre-training and inference",
        tables=tables,
        curves=curves,
        warnings=warnings,
        assumptions=[
            "Pre-training costs 6ND, inference 2N for each token; the larger model is trained on as many tokens.",
            "One sample is as long for either model; prompts, verifiers and search count as generated tokens.",
            *_said_of_tables(grounds, query),
        ],
        at=asked,
    )


def _ratio(query: PretrainOrSampleQuery) -> float:
    pair = [name for name in ("tokens", "served") if getattr(query, name) is not None]
    if query.ratio is not None and query.served is not None:
        raise QueryError(
            message(f"{' and '.join(['ratio', *pair])} say the same twice", "ratio, or tokens with served")
        )
    if query.params is not None and query.tokens is None:
        raise QueryError(message("params without tokens", "the tokens it is trained on", "tokens=2T"))
    if query.ratio is not None:
        return query.ratio
    if query.tokens is None or query.served is None:
        raise QueryError(
            message(
                "how much is generated beside what is trained on is not said",
                "ratio, or tokens with served",
                "ratio=0.79",
            )
        )
    return query.served / query.tokens


def _ratios(M: float, ratio: float) -> Table:
    """The exchange at other ratios."""
    lines = [
        (r, float(multiplier(M, r)), "this plan" if r == ratio else "")
        for r in sorted({0.01, 0.1, 0.16, 0.79, 1.0, 10.0, 22.0, 100.0, ratio})
    ]
    return Table(
        "ratios",
        f"Inference of the small model for the FLOP of one {M:g} times as large",
        (("generated / trained on", ""), ("multiplier", "x"), ("", "")),
        tuple(lines),
        "Snell et al. (2024) look at .16 (models that improve themselves), .79 and 22 (large production).",
    )


def _exchange(M: float, ratio: float) -> Frozen[str, Array]:
    ratios = np.geomspace(min(0.01, ratio / 10), max(100.0, 10 * ratio), 81)
    return Frozen({"generated / trained on": ratios, "multiplier": multiplier(M, ratios)})


# ---------------------------------------------------------------------------------------------------- coverage curves


def _by_coverage(
    grounds: Grounds, query: PretrainOrSampleQuery, times: float, decision: dict[str, Decided]
) -> list[str]:
    """What the multiple buys as independent samples with a checker that never errs."""
    level = grounds.level
    # A multiple that is whole must not lose a sample to rounding.
    samples = float(math.floor(times * (1.0 + 1e-12)))
    small = grounds.laws["coverage"].surface
    solved = small.loss(attempts=np.array([samples]))[:, 0]
    decision["samples"] = Decided(samples, None, None, "count", "samples of the small model for each problem")
    decision["small"] = decided(solved, "", level, "share that they solve, with a checker that never errs")
    if "coverage 2" in grounds.laws:
        if query.large_score is not None:
            raise QueryError(message("large_score beside a coverage fit of the larger model", "one of them"))
        larger = grounds.laws["coverage 2"].surface.loss(attempts=np.array([1.0]))[:, 0]
    elif query.large_score is not None:
        larger = np.full(len(solved), query.large_score)
    else:
        return [
            f"That is {samples:,.0f} samples, which solve {show(100 * of_estimate(solved), '%')} of the problems."
        ]
    needed = _needed(small, larger)
    decision["large"] = decided(larger, "", level, "share that one answer of the larger model solves")
    decision["difference"] = decided(solved - larger, "", level, "share that the small model solves more")
    decision["needed"] = decided(needed, "count", level, "samples of the small model that solve as much")
    if of_estimate(needed) > query.larger:
        edge = break_even(query.larger, needed)
        decision["break_even"] = decided(edge, "", level, "generated / trained on, up to which sampling is better")
    ahead = of_estimate(solved) >= of_estimate(larger)
    return [
        f"{'Sample' if ahead else 'Train the larger model'}: {samples:,.0f} samples solve "
        f"{show(100 * of_estimate(solved), '%')} of the problems, one answer of the larger model "
        f"{show(100 * of_estimate(larger), '%')}."
    ]


def _needed(small: Surface, larger: Array) -> Array:
    """(B,) samples of the small model that solve as much as one answer of the larger; 1 at least."""
    wide = np.ones(len(larger))
    found = root(lambda k: small.loss(attempts=k) - larger[:, None], wide, 1e12 * wide, rtol=1e-10)
    lost = np.select([found.where == Where.LOWER, found.where == Where.UPPER], [1.0, np.inf], np.nan)
    return np.where(found.found, found.x, lost)


# --------------------------------------------------------------------------------------------------------- strategies


def _by_strategy(
    of: Scores,
    found: Validated,
    larger: Array | None,
    query: PretrainOrSampleQuery,
    times: float,
    level: float,
    decision: dict[str, Decided],
    tables: list[Table],
) -> list[str]:
    """The best strategy of each bin at the multiple, beside one for all and beside the larger model."""
    charge = query.difficulty_cost or 0.0
    paid = times - charge
    if paid < of.budgets[0]:
        raise QueryError(
            message(
                f"difficulty_cost = {charge:g} leaves {max(paid, 0.0):.3g} of {times:.3g} samples",
                f"{of.budgets[0]:g} or more, the least of the table",
            )
        )
    adaptive, fixed = at_cost(of.budgets, found.adaptive, paid), at_cost(of.budgets, found.fixed, times)
    decision["adaptive"] = decided(adaptive, "", level, "accuracy with the best strategy of each difficulty")
    decision["fixed"] = decided(fixed, "", level, "accuracy with one strategy for all, at the same cost")
    decision["gain"] = decided(adaptive - fixed, "", level, "gained by knowing the difficulty, its cost charged")
    fewer = _times_fewer(of, found, charge)
    decision["times_fewer"] = decided(
        fewer, "x", level, f"fewer samples than one strategy for all takes for its accuracy at {of.budgets[-1]:g}"
    )
    tables.append(_budgets(of, found, charge, level))
    tables.append(_bins(of, found, larger, times))
    best = max(of_estimate(adaptive), of_estimate(fixed))
    way = "choosing by difficulty" if of_estimate(adaptive) > of_estimate(fixed) else "one strategy for all"
    if larger is None:
        return [f"With {way} that multiple reaches an accuracy of {show(100 * best, '%')}."]
    weights = resampled(of.problems)
    large = (weights @ larger) / weights.sum(axis=1)
    small = adaptive if of_estimate(adaptive) > of_estimate(fixed) else fixed
    decision["large"] = decided(large, "", level, "accuracy of one answer of the larger model")
    decision["difference"] = decided(small - large, "", level, "accuracy above the larger model")
    ahead = of_estimate(small) >= of_estimate(large)
    return [
        f"{'Compute at test time' if ahead else 'The larger model'} is better: {way} reaches "
        f"{show(100 * best, '%')}, one answer of the larger model {show(100 * of_estimate(large), '%')}."
    ]


def _times_fewer(of: Scores, found: Validated, charge: float) -> Array:
    """(B,) last budget over the least cost, difficulty included, at which the choice by bins is as accurate."""
    goal = found.fixed[:, -1]
    fine = np.geomspace(of.budgets[0], of.budgets[-1], 400)
    reach = np.array([np.interp(np.log(fine), np.log(of.budgets), row) for row in found.adaptive]) >= goal[:, None]
    first = np.where(reach.any(axis=1), fine[np.argmax(reach, axis=1)], np.inf)
    return np.asarray(of.budgets[-1] / (first + charge))


def _budgets(of: Scores, found: Validated, charge: float, level: float) -> Table:
    lines: list[tuple[float | str | None, ...]] = []
    for j, k in enumerate(of.budgets):
        beside = at_cost(of.budgets, found.fixed, float(k + charge))
        gain = found.adaptive[:, j] - beside
        ends = interval(gain, level) or (None, None)
        lines.append(
            (
                float(k), float(k + charge), float(found.adaptive[0, j]), float(beside[0]), float(gain[0]), *ends,
                float(found.apparent[j]),
            )
        )  # fmt: skip
    return Table(
        "strategies",
        "The best strategy of each difficulty beside one for all",
        (
            ("samples", "count"), ("with difficulty", "count"), ("by difficulty", ""), ("one for all", ""),
            ("gain", ""), ("from", ""), ("to", ""), ("chosen on itself", ""),
        ),
        tuple(lines),
        "one for all: at the cost of the row with what knowing the difficulty costs, up to the largest budget of "
        "the table; chosen on itself: what it looks like without cross-validation.",
    )  # fmt: skip


def _bins(of: Scores, found: Validated, larger: Array | None, times: float) -> Table:
    j = int(np.argmin(np.abs(np.log(of.budgets / times))))
    lines: list[tuple[float | str | None, ...]] = []
    for g, name in enumerate(of.bins):
        row = np.where(np.isfinite(found.by_bin[g, :, j]), found.by_bin[g, :, j], -np.inf)
        s = int(np.argmax(row))
        large = None if larger is None else float(larger[of.place == g].mean())
        words = "" if large is None else "test time" if row[s] >= large else "larger model"
        lines.append(
            (name, float(found.share[g]), of.strategies[s], float(row[s]), float(found.agree[g, j]), large, words)
        )
    return Table(
        "bins",
        f"By difficulty, at {of.budgets[j]:g} samples",
        (
            ("bin", ""), ("share", ""), ("best strategy", ""), ("accuracy", ""), ("halves agree", ""),
            ("larger model", ""), ("better", ""),
        ),
        tuple(lines),
        "halves agree: how often half of the problems of the bin chooses this strategy.",
    )  # fmt: skip


def _warned(of: Scores, found: Validated, times: float) -> list[Finding]:
    last = float(of.budgets[-1])
    out = []
    if times > last * (1 + 1e-9):
        out.append(
            Finding(
                "beyond-table",
                "amber",
                f"The multiple is {times:.3g} samples and the table ends at {last:g}: its last accuracies stand.",
                "Run the strategies at larger budgets.",
            )
        )
    drop = float(found.apparent[-1] - found.adaptive[0, -1])
    if drop > 0.01:
        out.append(
            Finding(
                "chosen-on-itself",
                "amber",
                f"Choosing on the problems that are scored looks {show(100 * drop, '%')} better than it is.",
                "More problems for each bin, or fewer strategies.",
            )
        )
    return out


def _said_of_tables(grounds: Grounds, query: PretrainOrSampleQuery) -> list[str]:
    if "strategies" not in grounds.tables:
        return []
    free = query.difficulty_cost is None
    return [
        f"Strategies are chosen on one half of each bin and scored on the other, {_strategies.SPLITS} times; "
        f"intervals resample problems {_strategies.RESAMPLES} times (seed 0).",
        *(["Knowing the difficulty of a problem is taken to cost nothing (difficulty_cost)."] if free else []),
    ]


# ------------------------------------------------------------------------------------------------------- pre-training


def _pretraining(grounds: Grounds, query: PretrainOrSampleQuery, ratio: float) -> Table:
    """What the larger model is worth in pre-training loss, and other ways to it, with their own multiples."""
    surface = grounds.laws["loss"].surface
    assert query.params is not None  # noqa: S101 - the caller has looked
    assert query.tokens is not None  # noqa: S101 - `_ratio` has looked
    N, D, M = query.params, query.tokens, query.larger
    loss = at(surface, [M * N], [D])[:, 0]
    best = frontier(surface, [6.0 * M * N * D])
    n, d = of_estimate(best.N), of_estimate(best.D)
    longer = of_estimate(tokens_for(surface, [N], loss))
    ways = [
        ("the small model", N, D),
        (f"{M:g} times as large, as many tokens", M * N, D),
        ("the same pre-training, compute-optimal", n, d),
        ("the small model, as good as the larger by more tokens", N, longer),
    ]
    lines: list[tuple[float | str | None, ...]] = []
    for words, size, tokens in ways:
        if not (math.isfinite(size) and math.isfinite(tokens)):
            continue
        # Equal FLOP: 6 N D + 2 N served x multiple = 6 size tokens + 2 size served.
        multiple = (3.0 * (size * tokens - N * D) / D + size * ratio) / (N * ratio)
        value = of_estimate(at(surface, [size], [tokens]))
        lines.append((words, size, tokens, value, 6.0 * size * tokens, multiple))
    return Table(
        "pre-training",
        f"What pre-training buys, from {format_short(N, 'parameters')} parameters on {format_short(D)} tokens",
        (
            ("model", ""), ("N", "parameters"), ("D", "tokens"), ("loss", "loss"), ("pre-training", "FLOP"),
            ("multiplier", "x"),
        ),
        tuple(lines),
        "multiplier: inference of the small model for the FLOP, pre-training and inference, of that row.",
    )  # fmt: skip


planner = Planner(
    id="pretrain-or-sample",
    question="A larger model, or more compute at test time, for the same FLOP?",
    query=PretrainOrSampleQuery,
    answer=answer,
    parts=(
        Part(
            "coverage",
            "share of problems that at least one of k samples of the small model solves; a second fit: the larger's",
            laws=("coverage-beta", "coverage-power"),
            optional=True,
            most=2,
        ),
        Part(
            "strategies",
            "scores of problems by bin of difficulty, strategy and attempts",
            columns=("problem", "bin", "strategy", "attempts", "score"),
            optional=True,
        ),
        Part(
            "loss",
            "the loss of a model of N parameters trained on D tokens",
            laws=("chinchilla",),
            inputs=("N", "D"),
            optional=True,
        ),
    ),
    papers=("snell2024",),
    example=Frozen({"larger": 14, "ratio": 0.79}),
    topic="how to sample and to serve",
)

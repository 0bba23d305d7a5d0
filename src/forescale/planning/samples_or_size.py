# SPDX-License-Identifier: Apache-2.0
"""Samples of a small model, or fewer of a large one, for the same money?

Coverage, the share of problems that at least one of k samples solves, is compared at equal dollars or FLOP for each
problem (Brown et al. 2024, section 2): a budget buys k samples of a model, and its coverage curve says what they
bring. Curves are beta-binomial (Schaeffer et al. 2025), from fits or from counts of attempts; the prompt is paid for
once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from forescale.core.errors import QuantityError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import parse_number
from forescale.costs import serving
from forescale.fitting._fit import Finding
from forescale.planning import _evidence
from forescale.planning._compose import composed, refused
from forescale.planning._coverage import MOST, Candidate, candidates, unerring
from forescale.planning._intervals import decided, of_estimate
from forescale.planning._market import Market, Price, budgets, crossings, curves, sensitivity, side_by_side
from forescale.planning._numbers import NumbersText
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._show import show

Array = NDArray[np.float64]

PROMPT, ANSWER = 1000.0, 300.0
"""Tokens of a prompt and of an answer where nobody says."""

FAR, TOO_FAR = 10.0, 100.0
"""Samples beside the attempts that were measured, from which a curve is an extrapolation, and from which a guess."""

ENOUGH = 20
"""Draws with an answer that a share of them needs."""

FEW = 30
"""Problems below which resampling them gives intervals that are too narrow."""


@dataclass(frozen=True)
class Sum:
    """What one problem may cost: `currency` is "dollars", "FLOP", or empty where the text does not say."""

    value: float
    currency: str

    def __str__(self) -> str:
        return {"dollars": f"${self.value:g}", "FLOP": f"{self.value:g} FLOP"}.get(self.currency, f"{self.value:g}")


def _amount(value: Any) -> Sum:
    """A sum per problem: "0.05", "$0.05", "2e14 FLOP"."""
    if isinstance(value, Sum):
        return value
    text = value.strip() if isinstance(value, str) else ""
    currency = "dollars" if text.startswith("$") else "FLOP" if text.lower().endswith("flop") else ""
    number = parse_number({"dollars": text[1:], "FLOP": text[:-4]}.get(currency, value))
    if not 0.0 < number < math.inf:
        raise QuantityError(message(f"a sum of {value!r}", "a positive number, e.g. $0.05"))
    return Sum(number, currency)


SumText = Annotated[
    Sum,
    PlainValidator(_amount),
    PlainSerializer(lambda value: str(value) if value.currency else value.value, return_type=Any),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "examples": ["$0.05", "2e14 FLOP"]}),
]


class SamplesOrSizeQuery(BaseModel):
    """What there is to spend on one problem, or how many samples of each model; and what a sample costs."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    budget: SumText | None = Field(
        None, description="what one problem may cost, in dollars or FLOP as the prices are, e.g. $0.05 or 2e14 FLOP"
    )
    samples: NumbersText | None = Field(
        None, description="or: samples of each model that are to be compared, e.g. 40,1"
    )
    target: float | None = Field(None, gt=0, lt=1, description="or: share of problems to be solved, e.g. 0.8")
    prices: NumbersText | None = Field(None, description="dollars for one sample of each model, e.g. 0.0072,0.13")
    sizes: NumbersText | None = Field(None, description="or their parameters, to pay in FLOP, e.g. 8B,70B")
    prompt_tokens: float | None = Field(None, ge=0, description="tokens of a prompt, paid for once, e.g. 1000")
    answer_tokens: float | None = Field(None, gt=0, description="tokens of one sample, e.g. 300")
    check_price: float = Field(
        0.0, ge=0, description="what checking one sample costs, in the same currency, e.g. 0.001"
    )
    names: str | None = Field(None, description="what to call the models, in the order given, e.g. 8B,70B")


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: SamplesOrSizeQuery) -> Plan:
    """Which model, with how many samples.

    Raises:
        QueryError: fewer than two models, no price, several questions at once, a budget below one sample.
        RefusedError: no model reaches the target.
    """
    called = [name.strip() for name in query.names.split(",")] if query.names else []
    models, rows = candidates(grounds, called)
    prices, currency, owed = _prices(query, models)
    market = Market(models, prices, currency, rows, grounds.level)
    question, level = _question(query), grounds.level
    samples, need = _samples(query, market)
    bills = [np.broadcast_to(price.of(k), (rows,)) for price, k in zip(prices, need)]
    solved = [np.broadcast_to(m.coverage(np.array([k]))[:, 0], (rows,)) for m, k in zip(models, samples)]
    score = np.stack([-bill for bill in bills] if question == "target" else solved)
    order = np.argsort(-score[:, 0], kind="stable")
    best, second = int(order[0]), int(order[1])
    finite = np.asarray(np.isfinite(np.stack(solved)).all(axis=0))
    if question == "target":
        _reachable(query, bills[best])
        finite &= np.isfinite(score[best])

    winner, rival = models[best].name, models[second].name
    agree = np.asarray(score[best] >= score.max(axis=0))[1:][finite[1:]]
    cost = decided(bills[best], currency, level, f"{currency} for each problem")
    decision: dict[str, Decided] = {
        "samples": _held(decided(need[best], "count", level, f"samples of {winner} for each problem"), question),
        "coverage": decided(solved[best], "", level, "share of the problems that it solves"),
        "cost": _held(cost, question),
        "per_solved": decided(bills[best] / solved[best], currency, level, f"{currency} for each solved problem"),
    }
    if question == "target":
        decision["ratio"] = decided(bills[second] / bills[best], "x", level, f"cost of {rival} beside it")
    else:
        gained, equal = solved[best] - solved[second], models[best].samples_for(solved[second])
        decision["difference"] = decided(gained, "", level, f"share solved above {rival}")
        decision["equal"] = decided(equal, "count", level, f"samples of it that solve as much as {rival}")
    if agree.size >= ENOUGH:
        decision["chance"] = Decided(100.0 * float(agree.mean()), None, None, "%", "of the draws agree on the model")
    crossed = market.crossing(best, second)
    if 0.0 < of_estimate(crossed) < math.inf:
        words = f"{currency} for each problem at which {rival} is as good"
        decision["crossing"] = decided(crossed, currency, level, words)
    spent = of_estimate(bills[best])
    warnings = _warned(models, samples, best)
    if grounds.rows != rows:
        warnings += _evidence.answered_finding(float(finite[1:].mean()), "have no answer of their own")
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(query, market, samples, [of_estimate(share) for share in solved], bills, best, second),
        decision=decision,
        binding={"target": "the target", "budget": "the budget", "samples": "the samples asked for"}[question],
        tables=[
            side_by_side(market, samples, solved, bills),
            budgets(market, spent),
            sensitivity(market, samples, best, spent),
            crossings(market),
        ],
        curves=curves(market, spent),
        warnings=warnings,
        assumptions=[
            "A problem counts as solved when any sample is right, and a checker that never errs finds it"
            + (" for nothing." if query.check_price == 0 else f", at {query.check_price:g} for each sample."),
            *owed,
            *_resampled(grounds, rows),
        ],
        answered=finite if grounds.rows == rows else None,
    )


def _held(found: Decided, question: str) -> Decided:
    """Without its interval, where the question fixes the number."""
    return found if question == "target" else replace(found, lower=None, upper=None)


# ---------------------------------------------------------------------------------------------------- what is asked


def _question(query: SamplesOrSizeQuery) -> str:
    given = [name for name in ("budget", "samples", "target") if getattr(query, name) is not None]
    if len(given) != 1:
        raise QueryError(
            message(
                f"{' and '.join(given)} are all given" if given else "neither budget nor samples nor target",
                "one of budget, samples and target",
                "samples=40,1",
            )
        )
    return given[0]


def _samples(query: SamplesOrSizeQuery, market: Market) -> tuple[list[float], list[Array]]:
    """Samples of each model: by the estimate, and as (B,) where a target asks for them."""
    models, rows = market.models, market.rows
    if query.target is not None:
        goal = np.full(rows, query.target)
        need = [np.ceil(model.samples_for(goal) - 1e-9) for model in models]
        return [of_estimate(k) for k in need], need
    if query.samples is not None:
        if len(query.samples) != len(models) or any(k < 0 or k != int(k) for k in query.samples):
            raise QueryError(
                message(
                    f"samples = {', '.join(f'{k:g}' for k in query.samples)}",
                    f"a whole number for each of {', '.join(m.name for m in models)}",
                )
            )
        if not any(query.samples):
            raise QueryError(message("samples of no model", "at least one sample of one model"))
        taken = [float(k) for k in query.samples]
    else:
        assert query.budget is not None  # noqa: S101 - `_question` has looked
        if query.budget.currency not in ("", market.currency):
            needed = "sizes, to pay in FLOP" if query.budget.currency == "FLOP" else "prices, to pay in dollars"
            raise QueryError(message(f"budget = {query.budget} where samples cost {market.currency}", needed))
        budget = query.budget.value
        taken = [float(price.buys(budget)) for price in market.prices]
        if not any(taken):
            least = min(market.one(i) for i in range(len(models)))
            raise QueryError(
                message(
                    f"a budget of {budget:g} {market.currency} buys no sample",
                    f"{least:.4g} or more, the price of the cheapest",
                )
            )
    return taken, [np.full(rows, k) for k in taken]


def _reachable(query: SamplesOrSizeQuery, bill: Array) -> None:
    if math.isinf(of_estimate(bill)):
        raise refused(
            f"no model solves {show(100 * (query.target or 0.0), '%')} of the problems with {MOST:g} samples",
            "a lower target",
            "ask for target=0.8, or for a budget",
        )


def _prices(query: SamplesOrSizeQuery, models: list[Candidate]) -> tuple[list[Price], str, list[str]]:
    """What samples of each model cost, in which currency, and what had to be assumed."""
    if query.prices is not None and query.sizes is not None:
        raise QueryError(message("prices and sizes both say what a sample costs", "one of them"))
    tokens = {"prompt_tokens": query.prompt_tokens, "answer_tokens": query.answer_tokens}
    if query.prices is not None or (query.sizes is None and all("dollars" in m.facts for m in models)):
        said = [name for name, value in tokens.items() if value is not None]
        if said:
            raise QueryError(message(f"{' and '.join(said)} beside prices of samples", "sizes, which need them"))
        each = list(query.prices or [m.facts["dollars"] for m in models])
        _one_for_each("prices", each, models)
        return [Price(0.0, price + query.check_price) for price in each], "dollars", []
    if query.sizes is None and not all("N" in m.facts for m in models):
        raise QueryError(
            message(
                "no price of a sample",
                f"prices (dollars) or sizes (parameters) for {', '.join(m.name for m in models)}",
                "prices=0.0072,0.13 or sizes=8B,70B",
            )
        )
    sizes = list(query.sizes or [m.facts["N"] for m in models])
    _one_for_each("sizes", sizes, models)
    found, owed = [], []
    for model, size in zip(models, sizes):
        prompt = query.prompt_tokens if query.prompt_tokens is not None else model.facts.get("prompt_tokens")
        answered = query.answer_tokens or model.facts.get("decode_tokens")
        if prompt is None or answered is None:
            owed = [
                f"A prompt of {PROMPT if prompt is None else prompt:,.0f} tokens, paid for once, and "
                f"{ANSWER if answered is None else answered:,.0f} for each sample (prompt_tokens, answer_tokens)."
            ]
        prompt, answered = PROMPT if prompt is None else prompt, ANSWER if answered is None else answered
        decoder = serving.of_size(size)
        once = float(serving.sequence_flop(decoder, prompt)) if prompt else 0.0
        each_flop = float(serving.sequence_flop(decoder, answered, prompt))
        found.append(Price(once, each_flop + query.check_price))
    owed.append(
        "FLOP of a token: 2N and attention, for shapes of the family width = 128 x depth; memory, which makes single "
        "samples of small models dear in time, is left out."
    )
    return found, "FLOP", owed


def _one_for_each(field: str, values: list[float], models: list[Candidate]) -> None:
    wrong = [value for value in values if not 0.0 < value < math.inf]
    if len(values) != len(models) or wrong:
        raise QueryError(
            message(
                f"{field} = {', '.join(f'{v:g}' for v in values)}",
                f"a positive number for each of {', '.join(m.name for m in models)}, in this order",
            )
        )


# ------------------------------------------------------------------------------------------------------------- words


def _headline(
    query: SamplesOrSizeQuery,
    market: Market,
    samples: list[float],
    solved: list[float],
    bills: list[Array],
    best: int,
    second: int,
) -> str:
    cost = [of_estimate(bill) for bill in bills]

    def words(i: int) -> str:
        times = f"{samples[i]:,.0f} sample{'' if samples[i] == 1 else 's'}"
        return f"{times} of {market.models[i].name} ({show(cost[i], market.currency)})"

    if query.target is not None:
        return (
            f"{words(best)} is the cheapest way to solve {show(100 * query.target, '%')} of the problems; "
            f"{words(second)} comes next."
        )
    said = (
        f"Take {words(best)}: it solves {show(100 * solved[best], '%')} of the problems, {words(second)} "
        f"{show(100 * solved[second], '%')}."
    )
    cheap, dear = (best, second) if cost[best] < cost[second] else (second, best)
    more = float(market.prices[cheap].buys(cost[dear]))
    if query.samples is None or more <= samples[cheap]:
        return said
    share = float(market.models[cheap].coverage(np.array([more]))[0, 0])
    return (
        f"{said} For the {show(cost[dear], market.currency)}, {more:,.0f} of {market.models[cheap].name} solve "
        f"{show(100 * share, '%')}."
    )


def _warned(models: list[Candidate], samples: list[float], best: int) -> list[Finding]:
    found: list[Finding] = []
    for model, k in zip(models, samples):
        ratio = k / model.seen
        if ratio > FAR:
            found.append(
                Finding(
                    "extrapolated",
                    "red" if ratio > TOO_FAR else "amber",
                    f"{k:,.0f} samples of {model.name} are {show(ratio, 'x')} the {model.seen:,.0f} attempts that "
                    "were measured.",
                    "Sample the problems that are still unsolved more often: they decide what the curve does there.",
                )
            )
        if model.problems < FEW:
            found.append(
                Finding(
                    "few-problems",
                    "amber",
                    f"{model.problems:,.0f} problems for {model.name}: an interval from so few is too narrow.",
                    "Problems, not samples, make the error: measure on more of them.",
                )
            )
        if model.unsolved == 0:
            found.append(
                Finding(
                    "no-tail",
                    "amber",
                    f"{model.name} solved every problem in the attempts: what more samples bring is the form's word.",
                )
            )
    return found + unerring(samples[best])


def _resampled(grounds: Grounds, rows: int) -> list[str]:
    if not grounds.tables:
        return []
    return [
        f"Success rates of problems follow a beta distribution; its intervals resample whole problems {rows - 1:,} "
        "times (seed 0), the same for all models where they share them."
    ]


planner = Planner(
    id="samples-or-size",
    question="Many samples of a small model, or few of a large one, for the same money?",
    query=SamplesOrSizeQuery,
    answer=answer,
    parts=(
        Part(
            "coverage",
            "share of problems that at least one of k samples solves, a fit for each model",
            laws=("coverage-beta", "coverage-power"),
            optional=True,
            most=8,
        ),
        Part(
            "attempts",
            "attempts and passes for each problem, of one model or with the label model",
            columns=("trials", "passed"),
            optional=True,
            most=8,
        ),
    ),
    papers=("brown2024", "schaeffer2025"),
    example=Frozen({"budget": 1000, "prices": "1,133.17"}),
    topic="how to sample and to serve",
    shown=("attempts.csv",),
)

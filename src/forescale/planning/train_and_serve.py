# SPDX-License-Identifier: Apache-2.0
"""Which model is the cheapest to train and to serve for its whole life?

A smaller model on more tokens costs more to train and less to serve at the same loss. Training (6ND) and all tokens
that will be served (2N each, or dollars of prompts and answers on named devices) are minimised together under a law
of loss in N and D (Sardana et al. 2024, sections 2 and 3); what the smaller model costs in training beside the
compute-optimal one of the same loss is de Vries's (2023) overhead.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Money, format_short, parse_loss
from forescale.costs.serving import ASPECT, SHARED
from forescale.planning import _evidence, _money, _overtrained, _service
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._frontier import MOST_DRAWS, SPLIT, at, must_split, of_law
from forescale.planning._intervals import decided, expected, of_estimate
from forescale.planning._lifetime import (
    best,
    cheapest,
    least_size,
    left_tokens,
    like,
    optimal,
    size_for_tokens,
    sizes_for,
    tokens_for,
)
from forescale.planning._plan import Basis, Decided, Grounds, Part, Plan, Planner
from forescale.planning._quantities import BudgetText, LossText, ParamsText, RateText, TokensText
from forescale.planning._service import Service, service
from forescale.planning._show import show

Array = NDArray[np.float64]


class TrainAndServeQuery(BaseModel):
    """How good the model must be or what there is to spend, how much it will serve, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    served: TokensText | None = Field(None, description="tokens served in the model's life, prompts too, e.g. 2T")
    per_year: TokensText | None = Field(None, description="or tokens served in a year, e.g. 500B")
    years: float | None = Field(None, gt=0, description="and for how many years, e.g. 2")
    like_params: ParamsText | None = Field(
        None, description="as good as a compute-optimal model of this many parameters, e.g. 13B"
    )
    like_tokens: TokensText | None = Field(
        None, description="as good as like_params trained on this many tokens instead, e.g. 1T"
    )
    target: LossText | None = Field(None, description="or: reach this loss, e.g. '2.1 nats/token'")
    budget: BudgetText | None = Field(
        None, description="or: the best for training and serving together, e.g. 1e24 FLOP or '$5M @ $2.10/H100-hour'"
    )
    max_params: ParamsText | None = Field(None, description="largest model that can be used, e.g. 8B")
    max_tokens: TokensText | None = Field(None, description="most training tokens that can be used, e.g. 15T")
    prompt_share: float | None = Field(
        None, ge=0, le=1, description="share of served tokens that are prompts, e.g. 0.5"
    )
    context: float | None = Field(
        None, gt=0, description="tokens that a served token attends to, to count attention too, e.g. 4096"
    )
    train_rate: RateText | None = Field(None, description="price of training devices, e.g. $2.10/H100-hour")
    serve_rate: RateText | None = Field(None, description="price of serving devices (default: the same)")
    train_mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of training, e.g. 0.4")
    prompt_mfu: float | None = Field(None, gt=0, le=1, description="of reading prompts, e.g. 0.5")
    decode_mfu: float | None = Field(None, gt=0, le=1, description="of decoding, e.g. 0.01 (default: the roofline)")
    mbu: float | None = Field(None, gt=0, le=1, description="achieved share of the memory bandwidth, e.g. 0.6")
    batch: float | None = Field(None, ge=1, description="sequences decoded at a time on one server, e.g. 64")
    serve_device: str | None = Field(None, description="device that must hold the model, e.g. L4")
    devices: int | None = Field(None, ge=1, description="serving devices that share one copy of the model, e.g. 2")
    weight_bits: float = Field(16.0, gt=0, le=64, description="bits per weight when served, e.g. 8")
    cache_bits: float = Field(16.0, gt=0, le=64, description="bits per cached key or value, e.g. 8")
    min_speed: float | None = Field(None, gt=0, description="least tokens per second for each sequence, e.g. 30")
    aspect: float = Field(ASPECT, gt=0, description="width / depth of the models")
    kv_share: float = Field(SHARED, gt=0, le=1, description="key-value heads / query heads of the models")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: TrainAndServeQuery) -> Plan:
    """The cheapest model over training and service.

    Raises:
        QueryError: quality and budget given twice or not at all, limits that contradict each other, tokens unsaid.
        RefusedError: a law without a compute-optimal split, a loss that cannot be reached.
    """
    must_split(grounds.law("loss"), "may not be asked which size is the cheapest", *SPLIT)
    if grounds.law("loss").optimum is None:  # each draw is a search of searches
        grounds = first(grounds, MOST_DRAWS + 1)
    basis = grounds.laws["loss"]
    surface, level = basis.surface, basis.level
    one = first(grounds).laws["loss"].surface
    serve = service(query, _money.measured(basis))
    bill = serve.bill
    goal = _goal(query)
    if goal == "budget":
        spend, owing = _spend(basis, query, serve)
        free = best(surface, spend, bill)
        least = np.zeros(1) if query.max_tokens is None else size_for_tokens(bill, spend, query.max_tokens)
        N, binding = _held(free.N, least, query, serve, "the budget")
        D = left_tokens(bill, spend, N)
        loss = at(surface, N[:, None], D[:, None])[:, 0]
    else:
        loss, owing = _loss(basis, query), ()
        free = cheapest(surface, loss, bill)
        least = np.zeros_like(loss) if query.max_tokens is None else sizes_for(surface, query.max_tokens, loss)
        N, binding = _held(free.N, least, query, serve, "the quality asked for")
        D = tokens_for(surface, N[:, None], loss)[:, 0]
        _reached(basis, query.like_params, loss, N, D, binding)
    plain = optimal(surface, loss)
    _sensible(query, serve, of_estimate(N), of_estimate(plain.N))
    answered = np.isfinite(N) & np.isfinite(D) & (N > 0) & (D > 0) & np.isfinite(loss)

    unit, _ = _evidence.stated(surface.conventions, "loss", "loss")
    counted, owed = _evidence.stated(surface.conventions, "N", "total")
    data_unit, _ = _evidence.stated(surface.conventions, "D", "tokens")
    total, before = bill.total(N, D), bill.total(plain.N, plain.D)
    saving = 100.0 * (1.0 - total / before)
    k_N, k_D = N / plain.N, D / plain.D
    decision: dict[str, Decided] = {
        "N": decided(N, "parameters", level, f"parameters N ({counted})"),
        "D": decided(D, data_unit, level, f"{data_unit} D"),
        "D/N": decided(D / N, f"{data_unit}/parameter", level, f"{data_unit} per parameter"),
        "training": decided(6.0 * N * D, "FLOP", level, "compute of training (6ND)"),
        "serving": decided(serve.flop(N), "FLOP", level, f"compute of serving {format_short(serve.tokens)} tokens"),
        "total": decided(6.0 * N * D + serve.flop(N), "FLOP", level, "compute of both"),
        **_paid(serve, N, D, level),
        "saving": decided(saving, "%", level, "of the bill of the compute-optimal model of the same loss"),
        "k_N": decided(k_N, "x", level, "size beside that model"),
        "k_D": decided(k_D, "x", level, "tokens beside that model"),
        "overhead": decided(100.0 * (k_N * k_D - 1.0), "%", level, "training compute above that model"),
        "N_least": decided(
            least_size(surface, loss), "parameters", level, "below it no amount of data reaches the loss"
        ),
    }
    if query.like_params is not None and query.like_tokens is not None:
        named = 100.0 * (query.like_params * query.like_tokens / (plain.N * plain.D) - 1.0)
        decision["like_overhead"] = decided(
            named, "%", level, "training compute of the model named, above that model"
        )
    n, d, value = of_estimate(N), of_estimate(D), of_estimate(loss)
    currency = "dollars" if serve.money else "FLOP"
    money = "dollars" if serve.money else "flop"
    rival = of_estimate(plain.N)
    allowed = (min([most for _, most in _limits(query, serve)], default=math.inf), query.max_tokens or math.inf)
    tables = [
        _overtrained.demand(one, value, bill, n, d, currency, data_unit),
        _overtrained.alternatives(one, value, bill, n, d, allowed, currency, data_unit),
        _overtrained.overhead(one, value, bill, n, d, rival, currency, data_unit),
    ]
    served = _service.table(serve, {"the plan": n, "compute-optimal": rival})
    tables += [served] if served is not None else []
    said = of_estimate(saving)
    beside = (
        f"{show(abs(said), '%')} {'less' if said >= 0 else 'more'} than the compute-optimal "
        f"{format_short(rival, 'parameters')} of that loss"
    )
    headline = (
        f"Train {format_short(n, 'parameters')} parameters on {format_short(d)} {data_unit} "
        f"({show(d / n, 'tokens/parameter')} per parameter) for a loss of {show(value, 'loss')}"
        f"{_evidence.named(unit)}: {format_short(of_estimate(total), money)} to train and to serve "
        f"{format_short(serve.tokens)} tokens, {beside}."
    )
    return composed(
        grounds,
        planner,
        query,
        headline=headline + (f" Held back by {binding}." if "=" in binding or "memory" in binding else ""),
        decision=decision,
        binding=binding,
        expected={"loss": expected(basis, unit, _evidence.labelled("loss", unit), **of_law(surface, n, d))},
        tables=tables,
        curves=_overtrained.curves(one, value, bill, n, of_estimate(plain.N), currency),
        warnings=[
            *_overtrained.ratio_findings(basis, d / n),
            *_evidence.repetition_findings(basis, d, data_unit),
        ],
        assumptions=[
            "Training costs 6ND with the N of the fit; schedules end at the horizon of the run.",
            "What is served is known; the table of demand says what it costs if it is not.",
            *serve.assumptions,
            *owing,
            *([owed] if owed else []),
        ],
        answered=answered,
        at={"loss": {"N": n, "D": d}},
        C=6.0 * n * d,
    )


# ------------------------------------------------------------------------------------------------ what is asked for


def _goal(query: TrainAndServeQuery) -> str:
    given = [name for name in ("like_params", "target", "budget") if getattr(query, name) is not None]
    if len(given) != 1:
        raise QueryError(
            message(
                f"{' and '.join(given)} are all given" if given else "no quality and no budget",
                "one of like_params, target and budget",
                "like_params=13B",
            )
        )
    if query.like_tokens is not None and given != ["like_params"]:
        raise QueryError(
            message(
                f"like_tokens beside {given[0]}", "like_params with it: together they name a model", "leave it out"
            )
        )
    return given[0]


def _loss(basis: Basis, query: TrainAndServeQuery) -> Array:
    """(B,) the loss that must be reached."""
    surface = basis.surface
    if query.target is not None:
        target = parse_loss(query.target, surface.conventions.get("loss"))
        count = len(next(iter(surface.params.values())))
        return np.full(count, target) + 0.0 * next(iter(surface.params.values()))[:, 0]
    assert query.like_params is not None  # noqa: S101 - `_goal` has looked
    if query.like_tokens is None:
        return like(surface, query.like_params)
    return at(surface, [query.like_params], [query.like_tokens])[:, 0]


def _spend(basis: Basis, query: TrainAndServeQuery, serve: Service) -> tuple[float, tuple[str, ...]]:
    """The budget in the currency of the bill, and what had to be assumed."""
    assert query.budget is not None  # noqa: S101 - `_goal` has looked
    if serve.money and isinstance(query.budget, Money):
        return query.budget.dollars, ()
    found = _money.budget(basis, query.budget, query.train_mfu)
    return found.flop, found.assumptions


def _held(free: Array, least: Array, query: TrainAndServeQuery, serve: Service, otherwise: str) -> tuple[Array, str]:
    """(B,) sizes after the limits, and what binds."""
    words, most = min(_limits(query, serve), key=lambda item: item[1], default=("", math.inf))
    floor = of_estimate(least)
    if math.isinf(floor):
        raise refused(
            f"no model of any size reaches that loss on max_tokens = {format_short(query.max_tokens or 0.0)}",
            "more tokens",
            "raise max_tokens, or ask for a higher loss",
        )
    if most <= 0 or floor > most:
        seen = (
            f"max_tokens = {format_short(query.max_tokens or 0.0)} needs {format_short(floor, 'parameters')} "
            f"parameters or more, and {words} allows {format_short(most, 'parameters')}"
            if most > 0
            else f"{words} allows no model at all"
        )
        raise QueryError(message(seen, "limits that leave a model", "relax one of them"))
    binding = otherwise
    if of_estimate(free) > most:
        binding = words
    elif of_estimate(free) < floor:
        binding = f"max_tokens = {format_short(query.max_tokens or 0.0)}"
    return np.where(np.isfinite(free), np.minimum(np.maximum(free, least), most), free), binding


def _sensible(query: TrainAndServeQuery, serve: Service, n: float, plain: float) -> None:
    """Refuse what the law answers with less than a model, or without a compute-optimal one to compare with."""
    if n < 1.0 or (math.isfinite(n) and not math.isfinite(plain)):
        asked = f"budget = {query.budget}" if query.budget is not None else "the quality asked for"
        raise refused(
            f"{asked} leaves no model that is one, beside {format_short(serve.tokens)} tokens to serve",
            "enough to train a model and to serve it",
            "raise the budget, ask for a lower loss, or serve less",
        )


def _limits(query: TrainAndServeQuery, serve: Service) -> list[tuple[str, float]]:
    """All limits on the size: words, largest N."""
    own = [] if query.max_params is None else [(f"max_params = {format_short(query.max_params)}", query.max_params)]
    return [*serve.limits, *own]


def _reached(basis: Basis, like: float | None, loss: Array, N: Array, D: Array, binding: str) -> None:
    """Refuse where the estimate cannot reach the loss with what is allowed."""
    value, n = of_estimate(loss), of_estimate(N)
    if math.isfinite(of_estimate(D)) and math.isfinite(n):
        return
    if like is not None and math.isnan(value):
        raise refused(
            f"the law {basis.surface.law.id!r} has no loss of a compute-optimal model of like_params = "
            f"{format_short(like, 'parameters')}",
            "a size that compute can be split for",
            "ask for a size nearer to the runs of the fit",
        )
    smallest = of_estimate(least_size(basis.surface, loss))
    if math.isfinite(n) and math.isfinite(smallest):
        raise refused(
            f"{binding} leaves {format_short(n, 'parameters')} parameters, and no amount of data brings those to a "
            f"loss of {show(value, 'loss')}",
            f"more than {format_short(smallest, 'parameters')} parameters",
            "relax the limit, or ask for a higher loss",
        )
    raise _unreachable(basis, value)


def _unreachable(basis: Basis, value: float) -> RefusedError:
    name = basis.surface.law.floor
    floor = math.nan if name is None else of_estimate(basis.surface.params[name])
    known = f", whose floor is {show(floor, 'loss')}" if math.isfinite(floor) else ""
    return refused(
        f"no model reaches a loss of {show(value, 'loss')} under {basis.surface.law.id!r}{known}",
        "a loss above the floor, and a law with finite constants",
        "ask for a higher loss, or for like_params",
    )


def _paid(serve: Service, N: Array, D: Array, level: float) -> dict[str, Decided]:
    """Dollars and device-hours, where prices are known."""
    if serve.train is None or serve.dollars is None or serve.hourly is None:
        return {}
    flop = 6.0 * N * D
    training, serving = serve.train[0] * flop, serve.dollars(N)
    name = "" if serve.server is None else serve.server.device.name
    return {
        "dollars": decided(training + serving, "dollars", level, "dollars for both"),
        "training_dollars": decided(training, "dollars", level, "dollars for training"),
        "serving_dollars": decided(serving, "dollars", level, "dollars for serving"),
        "training_hours": decided(
            serve.train[1] * flop, "device-hours", level, f"{serve.train[2]}-hours of training"
        ),
        "serving_hours": decided(serving / serve.hourly, "device-hours", level, f"{name}-hours of serving"),
    }


planner = Planner(
    id="train-and-serve",
    question="Which model is the cheapest to train and to serve for its whole life?",
    query=TrainAndServeQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "the loss of a model of N parameters trained on D tokens",
            laws=("chinchilla",),
            inputs=("N", "D"),
            default="chinchilla:besiroglu2024",
        ),
    ),
    papers=("sardana2024", "devries2023"),
    example=Frozen({"served": "2T", "like_params": "13B"}),
)

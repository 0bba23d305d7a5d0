# SPDX-License-Identifier: Apache-2.0
"""What to train and how to serve it, all choices decided together.

Parameters, tokens and passes over the data, bits of the served weights, samples per question, learning rate, batch
and vocabulary, under a budget for training and service, a deadline, memory and speed of the serving devices, and the
data that there are. The budget buys the best model (or the best coverage), or a target is reached for the least.
With no service, no limit and full precision this is the compute-optimal plan (Hoffmann et al. 2022); with service the
over-trained one (Sardana et al. 2024); with few unique tokens the repeated one (Muennighoff et al. 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import DeviceTime, Money, format_short, parse_loss
from forescale.costs.budget import ASSUMED_MFU
from forescale.costs.hardware import device
from forescale.costs.serving import ASPECT, SHARED, of_size
from forescale.fitting._fit import Finding
from forescale.planning import _evidence, _joint_tables, _money, _scatter
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._coverage import unerring
from forescale.planning._frontier import MOST_DRAWS, SPLIT, must_split
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._joint import FULL, Best, Choice, Problem, least_budget, solved
from forescale.planning._lifetime import Bill
from forescale.planning._numbers import NumbersText
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import BudgetText, LossText, ParamsText, RateText, TokensText
from forescale.planning._schedules import Family
from forescale.planning._service import Service, service
from forescale.planning._show import show

Array = NDArray[np.float64]

_WARMUP = 0.01  # share of the steps that warm up, where a cool-down is planned


class JointQuery(BaseModel):
    """What there is to spend or to reach, what will be served, and what limits the choice."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    budget: BudgetText | None = Field(
        None, description="what training and service may cost together: '10k H100-hours', '$5M @ $2.10/H100-hour'"
    )
    target: LossText | None = Field(None, description="or: the loss to reach as served, for the least, e.g. 2.1")
    coverage: float | None = Field(
        None, gt=0, lt=1, description="or: the share of questions to solve within the samples, e.g. 0.8"
    )
    served: TokensText | None = Field(None, description="tokens served in the model's life, one answer each, e.g. 2T")
    per_year: TokensText | None = Field(None, description="or tokens served in a year, e.g. 2T")
    years: float | None = Field(None, gt=0, description="and for how many years, e.g. 1")
    unique: TokensText | None = Field(None, description="different training tokens that there are, e.g. 300B")
    max_epochs: float | None = Field(None, ge=1, description="most passes over them, e.g. 4")
    max_params: ParamsText | None = Field(None, description="largest model that can be used, e.g. 8B")
    max_tokens: TokensText | None = Field(None, description="most tokens of training, e.g. 15T")
    deadline_days: float | None = Field(None, gt=0, description="days that training may take, e.g. 30")
    train_devices: int | None = Field(None, ge=1, description="devices that train at a time, e.g. 512")
    train_device: str | None = Field(None, description="what they are (default: of the budget), e.g. H100")
    train_mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of training, e.g. 0.4")
    train_rate: RateText | None = Field(None, description="price of training devices, e.g. $2.10/H100-hour")
    serve_rate: RateText | None = Field(None, description="price of serving devices (default: the same)")
    serve_device: str | None = Field(None, description="device that must hold the model, e.g. L4")
    devices: int | None = Field(None, ge=1, description="serving devices that share one copy of the model, e.g. 2")
    min_speed: float | None = Field(None, gt=0, description="least tokens per second for each sequence, e.g. 30")
    batch: float | None = Field(None, ge=1, description="sequences decoded at a time on one server, e.g. 64")
    context: float | None = Field(None, gt=0, description="tokens that a served token attends to, e.g. 4096")
    prompt_share: float = Field(0.5, ge=0, le=1, description="share of served tokens that are prompts, e.g. 0.5")
    bits: NumbersText = Field((FULL,), description="bits per served weight to choose from, e.g. 16,8,4")
    max_samples: int = Field(
        1, ge=1, le=4096, description="most answers per question, with a fit of coverage-surface"
    )
    next_budget: BudgetText | None = Field(
        None, description="what runs before the decision may cost: the best of them are listed, e.g. '1e21 FLOP'"
    )


@dataclass(frozen=True, eq=False)
class _Answer:
    """(B,) the best of all choices: which, at what budget."""

    pick: NDArray[np.int64]
    bests: tuple[Best, ...]
    budgets: Array

    def of(self, name: str) -> Array:
        """(B,) one field of the best choice of each draw."""
        every = np.stack([getattr(best, name) for best in self.bests])
        return np.asarray(np.take_along_axis(every, self.pick[None], axis=0)[0])


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: JointQuery) -> Plan:
    """All choices together.

    Raises:
        QueryError: no goal or two, limits that contradict each other, fields that need others.
        RefusedError: a law without a compute-optimal split, a goal that no budget reaches.
    """
    goal = _goal(grounds, query)
    # A target is a search of searches: it makes do with fewer draws.
    grounds = grounds if goal == "budget" else first(grounds, MOST_DRAWS + 1)
    basis = grounds.laws["loss"]
    must_split(basis.surface.law, "may not be asked which size is the best", *SPLIT)
    problem = _problem(grounds, query)
    services = _services(query, basis, grounds.has("coverage"))
    choices = tuple(choice for choice, _ in services)
    spend, said = _spend(query, basis, services[0][1])
    found = _reached(problem, choices, query, basis) if spend is None else _best(problem, choices, spend)
    N, D, loss = found.of("N"), found.of("D"), found.of("loss")
    known = np.isfinite(N) & np.isfinite(D) & np.isfinite(loss) & np.isfinite(found.budgets)
    if not known[0]:
        raise _none(problem, choices, found, query, goal)
    place = int(found.pick[0])
    choice, serve = services[place]
    n, d, value, spent = (of_estimate(x) for x in (N, D, loss, found.budgets))
    binding = _binding(problem, choice, found, place, goal)

    decision = _decision(grounds, query, problem, services, found, choices)
    waste = _regret(problem, choice, n, d, found.budgets)
    if waste is not None:
        decision["regret"] = waste
    setup = _setup(grounds, query, N, D)
    decision |= setup
    noise, owed = _scatter.known(basis, value)
    cause = problem, choice, spent
    currency = "dollars" if serve is not None and serve.money else "FLOP"
    tables = [
        *_joint_tables.choices(problem, choices, [s for _, s in services], spent, place),
        _joint_tables.limits(*cause, currency, n, d, value),
        _joint_tables.sensitivity(*cause, n, value),
        _joint_tables.alternatives(*cause, n, value, noise),
        *_next_runs(grounds, query, 6.0 * n * d),
    ]
    unit, _ = _evidence.stated(basis.surface.conventions, "loss", "loss")
    return composed(
        _used(grounds, query),
        planner,
        query,
        headline=_headline(query, decision, choice, serve, n, d, value, binding),
        decision=decision,
        binding=binding,
        expected={
            "loss": Expected(
                value, interval(np.where(known, loss, np.nan), grounds.level), None, unit,
                _evidence.labelled("loss as served", unit),
            )
        },
        tables=tables,
        curves=_joint_tables.curves(problem.thinned(), choice, spent, currency, n, grounds.level),
        warnings=_warnings(grounds, query, problem, choice, n, d, found),
        assumptions=[
            "Training costs 6ND with the N of the fit; schedules end at the horizon of the run.",
            "The budget pays for training and for all that is served." if serve is not None else
            "Nothing is served: the budget is for training alone (served, or per_year and years).",
            *said,
            *_assumptions(grounds, query, serve),
            *([owed] if owed else []),
        ],
        answered=known,
        at=_asked(grounds, n, d, choice),
        C=6.0 * n * d,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ what is asked for


def _goal(grounds: Grounds, query: JointQuery) -> str:
    goals = ("budget", "target", "coverage")
    given = [name for name in goals if getattr(query, name) is not None]
    if len(given) != 1:
        seen = (
            f"{' and '.join(given)} together are two questions" if given else "nothing to spend and nothing to reach"
        )
        raise QueryError(message(seen, "one of budget, target and coverage", "budget='1e24 FLOP'"))
    if not grounds.has("coverage"):
        lone = "coverage" if query.coverage is not None else "max_samples" if query.max_samples > 1 else ""
        if lone:
            raise QueryError(
                message(f"{lone} without a law of coverage", "a fit of coverage-surface beside that of loss")
            )
    if query.max_epochs is not None and query.unique is None:
        raise QueryError(message("max_epochs without unique", "how many different tokens there are", "unique=300B"))
    if any(not 1.0 <= bits <= FULL for bits in query.bits):
        raise QueryError(message(f"bits = {', '.join(f'{b:g}' for b in query.bits)}", "bits from 1 to 16", "16,8,4"))
    if query.train_devices is not None and query.deadline_days is None:
        raise QueryError(message("train_devices without deadline_days", "both, or neither"))
    return given[0]


def _problem(grounds: Grounds, query: JointQuery) -> Problem:
    limits = (
        [] if query.max_tokens is None else [(f"max_tokens = {format_short(query.max_tokens)}", query.max_tokens)]
    )
    unique = math.inf if query.unique is None else query.unique
    if query.max_epochs is not None:
        limits.append(
            (f"max_epochs = {query.max_epochs:g} of unique = {format_short(unique)}", query.max_epochs * unique)
        )
    sizes = [] if query.max_params is None else [(f"max_params = {format_short(query.max_params)}", query.max_params)]

    def solved_by(C: Array, samples: float) -> Array:
        return grounds.values("coverage", C=C, attempts=samples)

    return Problem(
        grounds.laws["loss"].surface,
        {name: grounds.param("repeated", name)[:, None] for name in ("R_N", "R_D")},
        {name: grounds.param("quantised", name)[:, None] for name in ("k", "beta", "alpha", "gamma")},
        solved_by if grounds.has("coverage") else None,
        unique,
        tuple(limits),
        _deadline(query),
        tuple(sizes),
    )


def _deadline(query: JointQuery) -> tuple[tuple[str, float], ...]:
    if query.deadline_days is None:
        return ()
    budget = query.budget
    named = query.train_device
    if named is None and isinstance(budget, DeviceTime):
        named = budget.device
    rate = query.train_rate or (budget.rate if isinstance(budget, Money) else None)
    if named is None and rate is not None:
        named = rate.device
    if named is None or query.train_devices is None:
        lacking = "train_devices" if query.train_devices is None else "train_device"
        raise QueryError(
            message(f"deadline_days without {lacking}", "how many devices train, and which", "512 and H100")
        )
    mfu = query.train_mfu or getattr(budget, "mfu", None) or ASSUMED_MFU
    flop = query.deadline_days * 86400.0 * query.train_devices * device(named).peak * mfu
    return ((f"deadline_days = {query.deadline_days:g} on {query.train_devices} x {device(named).name}", flop),)


def _services(query: JointQuery, basis: Any, coverage: bool) -> list[tuple[Choice, Service | None]]:
    """Every choice of bits and samples with its bill."""
    counts = [1.0]
    while coverage and counts[-1] * 2 <= query.max_samples:
        counts.append(counts[-1] * 2)
    if coverage and counts[-1] < query.max_samples:
        counts.append(float(query.max_samples))
    found: list[tuple[Choice, Service | None]] = []
    for bits in sorted(dict.fromkeys(query.bits), reverse=True):
        for samples in counts:
            serve = _service(query, basis, bits, samples)
            if serve is None:
                found.append((Choice(bits, samples, Bill(1.0, lambda N: 0.0 * N, 0.0), math.inf, ""), None))
                continue
            held, most = min(serve.limits, key=lambda item: item[1], default=("", math.inf))
            found.append((Choice(bits, samples, serve.bill, most, held), serve))
    if all(choice.most <= 0 for choice, _ in found):
        names = " and ".join(
            name for name in ("serve_device", "devices", "min_speed", "batch") if getattr(query, name)
        )
        raise QueryError(message(f"{names} leave no model at all", "limits that leave a model", "relax one of them"))
    return [(choice, serve) for choice, serve in found if choice.most > 0]


def _service(query: JointQuery, basis: Any, bits: float, samples: float) -> Service | None:
    if query.served is None and query.per_year is None and query.years is None:
        alone = [
            name for name in ("serve_rate", "serve_device", "devices", "min_speed", "batch") if getattr(query, name)
        ]
        if alone:
            raise QueryError(
                message(
                    f"{' and '.join(alone)} and nothing that is served", "served, or per_year with years", "served=2T"
                )
            )
        return None
    # Every further sample repeats the answer; the prompt is read once (Brown et al. 2024).
    more = query.prompt_share + samples * (1.0 - query.prompt_share)
    priced = query.train_rate is not None or isinstance(query.budget, Money)
    return service(
        cast(
            "Any",
            SimpleNamespace(
                served=None if query.served is None else query.served * more,
                per_year=None if query.per_year is None else query.per_year * more,
                years=query.years,
                budget=query.budget,
                train_rate=query.train_rate,
                train_mfu=query.train_mfu if priced or query.budget is not None else None,
                serve_rate=query.serve_rate,
                serve_device=query.serve_device,
                devices=query.devices,
                min_speed=query.min_speed,
                mbu=None,
                batch=query.batch,
                context=query.context,
                aspect=ASPECT,
                kv_share=SHARED,
                weight_bits=bits,
                cache_bits=FULL,
                prompt_share=_prompts(query.prompt_share, samples) if priced else None,
                prompt_mfu=None,
                decode_mfu=None,
            ),
        ),
        _money.measured(basis),
    )


def _prompts(share: float, samples: float) -> float:
    """Share of prompts among all tokens where each prompt has several answers."""
    return share / (share + samples * (1.0 - share))


def _spend(query: JointQuery, basis: Any, serve: Service | None) -> tuple[Array | None, tuple[str, ...]]:
    """(1,) the budget in the currency of the bills, None where a goal is to be reached; what had to be assumed."""
    if query.budget is None:
        return None, ()
    if serve is not None and serve.money and isinstance(query.budget, Money):
        return np.array([query.budget.dollars]), ()
    found = _money.budget(basis, query.budget, query.train_mfu)
    return np.array([found.flop]), (*found.assumptions, *found.notes)


# ------------------------------------------------------------------------------------------------------- the answer


def _best(problem: Problem, choices: tuple[Choice, ...], spend: Array) -> _Answer:
    budgets = np.full(problem.count, spend[0])
    bests = tuple(solved(problem, choice, budgets) for choice in choices)
    quality = np.stack([best.quality for best in bests])
    return _Answer(np.argmin(np.where(np.isfinite(quality), quality, np.inf), axis=0), bests, budgets)


def _reached(problem: Problem, choices: tuple[Choice, ...], query: JointQuery, basis: Any) -> _Answer:
    """The choice that reaches the goal for the least."""
    alone = problem.rows(slice(1))
    least: list[Array] = []
    for choice in choices:
        if query.coverage is not None:
            level = problem.needed(query.coverage, choice.samples)
        else:
            assert query.target is not None  # noqa: S101 - `_goal` has looked
            level = np.full(problem.count, parse_loss(query.target, basis.surface.conventions.get("loss")))
        price = choice.bill.training
        middle = least_budget(alone, choice, level[:1], np.array([1e12 * price]), np.array([1e34 * price]))
        if not math.isfinite(middle[0]):
            least.append(np.full(problem.count, np.inf))
            continue
        low, high = (np.full(problem.count, middle[0] * factor) for factor in (1e-4, 1e4))
        least.append(least_budget(problem, choice, level, low, high))
    budgets = np.stack(least)
    pick = np.argmin(budgets, axis=0)
    own = np.take_along_axis(budgets, pick[None], axis=0)[0]
    spend = np.where(np.isfinite(own), own, 1.0)
    return _Answer(pick, tuple(solved(problem, choice, spend) for choice in choices), own)


def _binding(problem: Problem, choice: Choice, found: _Answer, place: int, goal: str) -> str:
    best, spent = found.bests[place], of_estimate(found.budgets)
    held = problem.binding(choice, spent, of_estimate(best.N), of_estimate(best.D), of_estimate(best.useful))
    held = [words for words in held if words != "the budget" or goal == "budget"]
    aim = {"budget": [], "target": ["the target loss"], "coverage": ["the coverage asked for"]}[goal]
    return " and ".join(aim + held) or "nothing: the budget is more than the plan can use"


def _none(problem: Problem, choices: tuple[Choice, ...], found: _Answer, query: JointQuery, goal: str) -> Exception:
    if goal != "budget":
        aim = f"target = {query.target}" if goal == "target" else f"coverage = {query.coverage:g}"
        held = ", ".join(
            [words for words, _ in (*problem.sizes, *problem.tokens, *problem.flop)]
            + list(dict.fromkeys(c.held for c in choices if c.held))
        )
        return refused(
            f"No budget reaches {aim}" + (f" with {held}" if held else ""),
            "a goal above the floor of the law, and limits that leave room",
            "ask for less, or relax a limit",
        )
    if found.bests[0].shrinking[0]:
        return refused(
            "the loss keeps falling towards ever smaller models, so no size is the best",
            "a law with a best size at this budget",
            "fit chinchilla",
        )
    return refused(
        "no model and number of tokens keep the limits, or the law is not finite there",
        "finite constants, and limits that leave room",
        "relax a limit",
    )


def _decision(
    grounds: Grounds,
    query: JointQuery,
    problem: Problem,
    services: list[tuple[Choice, Service | None]],
    found: _Answer,
    choices: tuple[Choice, ...],
) -> dict[str, Decided]:
    level, conventions = grounds.level, grounds.laws["loss"].surface.conventions
    counted, _ = _evidence.stated(conventions, "N", "total")
    unit, _ = _evidence.stated(conventions, "D", "tokens")
    N, D = found.of("N"), found.of("D")
    decision: dict[str, Decided] = {
        "N": decided(N, "parameters", level, f"parameters N ({counted})"),
        "D": decided(D, unit, level, f"{unit} D"),
        "D/N": decided(D / N, f"{unit}/parameter", level, f"{unit} per parameter"),
    }
    if math.isfinite(problem.unique):
        decision["epochs"] = decided(D / problem.unique, "x", level, "passes over the data")
    bits, samples = (np.array([getattr(c, name) for c in choices])[found.pick] for name in ("bits", "samples"))
    if len(query.bits) > 1 or query.bits[0] < FULL:
        decision["bits"] = decided(bits, "bits", level, "width of a served weight")
    if problem.coverage is not None:
        decision["samples"] = decided(samples, "count", level, "answers per question")
        decision["coverage"] = decided(100.0 * -found.of("quality"), "%", level, "questions solved by one of them")
    training = 6.0 * N * D
    decision["training"] = decided(training, "FLOP", level, "compute of training (6ND)")
    serve = services[int(found.pick[0])][1]
    if serve is not None:
        serving = np.stack([s.flop(N) for _, s in services if s is not None])
        own = np.take_along_axis(serving, found.pick[None], axis=0)[0]
        decision["serving"] = decided(own, "FLOP", level, f"compute of serving {format_short(serve.tokens)} tokens")
        decision["total"] = decided(training + own, "FLOP", level, "compute of both")
        if serve.money:
            price = [s.bill.total(N, D) for _, s in services if s is not None]
            paid = np.take_along_axis(np.stack(price), found.pick[None], axis=0)[0]
            decision["dollars"] = decided(paid, "dollars", level, "dollars for both")
    if problem.flop:
        days = training / problem.flop[0][1] * (query.deadline_days or math.nan)
        decision["days"] = decided(days, "days", level, "days of training")
    return decision


def _regret(problem: Problem, choice: Choice, n: float, d: float, budgets: Array) -> Decided | None:
    """Share of the budget wasted by this plan if a draw is the truth, in %: median and interval."""
    few = problem.thinned()
    if few.count < 2:
        return None
    spent = np.full(few.count, budgets[0])
    loss = few.loss(np.full((few.count, 1), n), np.full((few.count, 1), d), choice.bits)[:, 0]
    enough = least_budget(few, choice, loss, 1e-6 * spent, spent * (1 + 1e-6))
    wasted = np.maximum(100.0 * (1.0 - enough / spent), 0.0)
    wasted = np.where(np.isfinite(enough), wasted, np.where(np.isfinite(loss), 0.0, np.nan))
    ends, middle = interval(wasted, 0.9), interval(wasted, 0.0)
    if ends is None or middle is None:
        return None
    return Decided(middle[0], *ends, "%", "of the budget wasted if a draw is true")


def _setup(grounds: Grounds, query: JointQuery, N: Array, D: Array) -> dict[str, Decided]:
    """Learning rate, batch, steps and vocabulary that go with the size and the tokens."""
    level = grounds.level
    n, d = N[:, None], D[:, None]
    rate = grounds.values("rate", **_inputs(grounds.law("rate").inputs, n, d))[:, 0]
    batch = grounds.values("batch", **_inputs(grounds.law("batch").inputs, n, d))[:, 0]
    embedding = grounds.values("vocabulary", N=n)[:, 0]
    width = np.where(np.isfinite(N), of_size(np.where(np.isfinite(N), N, 1.0)).width, np.nan)
    steps = D / batch
    return {
        "lr_peak": decided(rate, "", level, "peak learning rate"),
        "batch_tokens": decided(batch, "tokens", level, "tokens per step"),
        "steps": decided(steps, "count", level, "steps"),
        **_cool_down(grounds, of_estimate(rate), of_estimate(steps)),
        "vocabulary": decided(embedding / width, "count", level, "entries of the vocabulary"),
    }


def _cool_down(grounds: Grounds, peak: float, steps: float) -> dict[str, Decided]:
    """The share of the steps that cool down, where a law along curves is given, at the steps of the estimate."""
    if not grounds.has("curve"):
        return {}
    whole = round(steps)
    warmup = round(_WARMUP * whole)
    family = Family(whole, peak, warmup, 0.0, "linear", 1.0 - warmup / whole)
    found = family.cooldowns(first(grounds, MOST_DRAWS + 1).laws["curve"].surface)
    share = decided(100.0 * found.share, "%", grounds.level, "of the steps cool down, linearly to zero")
    return {"cool_down": share}


def _inputs(names: tuple[str, ...], N: Array, D: Array) -> dict[str, Array]:
    known = {"N": N, "D": D}
    return {name: known[name] for name in names}


def _next_runs(grounds: Grounds, query: JointQuery, C: float) -> list[Table]:
    """The runs that would teach most about the size at this compute, where there is money for them."""
    fit = grounds.laws["loss"].fit
    if query.next_budget is None or fit is None:
        return []
    from forescale.planning._run import plan  # a plan within a plan: only where it is asked for

    found = plan("next-runs", fit, draws=MOST_DRAWS, at=f"{C:.6g} FLOP", budget=query.next_budget)
    runs = found.table("runs")
    return [Table("next-runs", "Runs that would change the decision most", runs.columns, runs.rows, found.headline)]


# ------------------------------------------------------------------------------------------------ what must be said


def _headline(
    query: JointQuery,
    decision: dict[str, Decided],
    choice: Choice,
    serve: Service | None,
    n: float,
    d: float,
    loss: float,
    binding: str,
) -> str:
    passes = f", {d / query.unique:.2g} passes" if query.unique is not None else ""
    how = f", served in {choice.bits:g} bits" if "bits" in decision else ""
    how += f" with {choice.samples:g} answers per question" if choice.samples > 1 else ""
    cost = decision.get("dollars") or decision.get("total") or decision["training"]
    whole = "to train and to serve" if serve is not None else "to train"
    return (
        f"Train {format_short(n, 'parameters')} parameters on {format_short(d)} tokens{passes}{how}: a loss of "
        f"{show(loss, 'loss')} for {show(cost.value, cost.unit)} {whole}. What binds is {binding}."
    )


def _warnings(
    grounds: Grounds, query: JointQuery, problem: Problem, choice: Choice, n: float, d: float, found: _Answer
) -> list[Finding]:
    warned: list[Finding] = []
    # A quarter of the draws that prefer another way to serve makes that choice a matter of opinion.
    if len(found.bests) > 1 and grounds.rows > 1:
        own = found.pick[1:]
        share = float(np.mean(own != found.pick[0]))
        if share > (1 - grounds.level):
            warned.append(
                Finding(
                    "undecided",
                    "amber",
                    f"{100 * share:.0f} % of the parameter draws choose other bits or samples.",
                    "The table of choices shows how little lies between them.",
                )
            )
    if problem.coverage is not None:
        C = of_estimate(problem.rows(slice(1)).optimal(found.of("loss")[:1]))
        warned += _evidence.distance_findings(grounds.laws["coverage"], C, attempts=choice.samples)
        warned += unerring(choice.samples)
    if query.unique is not None and d / query.unique > 4.0:
        warned.append(
            Finding(
                "many-passes",
                "amber",
                f"{d / query.unique:.3g} passes over the data: beyond four each is worth much less, and where many "
                "passes make the loss rise the law cannot follow.",
                "Hold max_epochs, or bring more data.",
            )
        )
    return warned


def _assumptions(grounds: Grounds, query: JointQuery, serve: Service | None) -> list[str]:
    said = [] if serve is None else list(serve.assumptions)
    if query.deadline_days is not None and query.train_mfu is None and getattr(query.budget, "mfu", None) is None:
        said.append(f"The devices that train before the deadline are taken to reach {100 * ASSUMED_MFU:g} % MFU.")
    if min(query.bits) < FULL:
        said.append(
            "Few bits are for serving; the model is trained in 16 (the plan of precision asks about training)."
        )
    if grounds.has("coverage"):
        said.append(
            "Coverage is read at the compute of an optimal run of the same loss: two models of one loss are taken to "
            "solve the same questions. All answers are drawn, also after a right one."
        )
    said += [
        "Laws of different papers are joined: repetition acts on the tokens, bits add to the loss, and neither paper "
        "has tested the other's effect.",
        "Learning rate, batch and vocabulary follow from size and tokens by rules and cost nothing here; N counts "
        "as the fit counts it.",
        f"Served shapes and the width behind the vocabulary: width = {ASPECT:g} x depth.",
    ]
    return said


def _used(grounds: Grounds, query: JointQuery) -> Grounds:
    """The ground without the laws that nothing was asked of, that of the loss first: the evidence speaks of it."""
    idle = {"quantised"} if min(query.bits) >= FULL else set()
    idle |= {"repeated"} if query.unique is None else set()
    first_loss = sorted(grounds.laws.items(), key=lambda item: item[0] != "loss")
    return replace(
        grounds,
        laws=Frozen({name: basis for name, basis in first_loss if name not in idle}),
        defaulted=Frozen({name: source for name, source in grounds.defaulted.items() if name not in idle}),
    )


def _asked(grounds: Grounds, n: float, d: float, choice: Choice) -> dict[str, dict[str, float]]:
    asked = {"loss": {"N": n, "D": d}, "rate": {"N": n, "D": d}, "batch": {"D": d}, "vocabulary": {"N": n}}
    return asked | ({"quantised": {"N": n, "D": d, "bits": choice.bits}} if choice.bits < FULL else {})


planner = Planner(
    id="joint",
    question="What should be trained and how should it be served, all choices together?",
    query=JointQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "loss of a model of N parameters trained on D tokens",
            laws=("chinchilla",),
            inputs=("N", "D"),
            default="chinchilla:besiroglu2024",
        ),
        Part(
            "repeated",
            "what a token seen again is worth",
            laws=("data-constrained",),
            default="data-constrained:muennighoff2023",
        ),
        Part(
            "quantised",
            "loss that serving in few bits adds",
            laws=("quantisation",),
            default="quantisation:ouyang2024",
        ),
        Part("rate", "the best peak learning rate", laws=("lr-power",), default="lr-power:li2025steplaw"),
        Part("batch", "the best batch", laws=("batch-power",), default="batch-power:li2025steplaw"),
        Part(
            "vocabulary",
            "the best token embedding",
            laws=("vocabulary-size",),
            default="vocabulary-size:tao2024-isoflop",
        ),
        Part(
            "curve",
            "loss at every step from the learning rates, to say when they should fall",
            laws=("annealing", "multi-power"),
            optional=True,
        ),
        Part(
            "coverage",
            "questions solved from training compute and samples",
            laws=("coverage-surface",),
            optional=True,
        ),
    ),
    papers=("hoffmann2022", "sardana2024", "muennighoff2023"),
    example=Frozen({"budget": "10k H100-hours @40% MFU", "unique": "300B", "per_year": "2T", "years": 1}),
    topic="all together",
)

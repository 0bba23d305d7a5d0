# SPDX-License-Identifier: Apache-2.0
"""Which problems deserve how many samples of a common budget?

Each next sample goes where it is most likely to be the first to solve its problem (Damani et al. 2024). Known
success rates give the most that any rule could gain; counts of earlier attempts give what can be had, with a beta
distribution of success rates learned from all problems and sharpened by the counts of each. Instead of a budget, the
worth of a solved problem decides when a sample is no longer worth its cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting.allocation import (
    allocated,
    marginal_of_beta,
    marginal_of_rates,
    solved_of_rates,
    used_of_beta,
    used_of_rates,
    worth_drawing,
)
from forescale.laws.coverage import beta_rates
from forescale.numerics.resample import bootstrap_rows
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided
from forescale.planning._numbers import NumbersText
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._show import show
from forescale.runs.samples import of_model
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

DRAWS = 400
SHOWN = 30  # groups of like problems in the table
MOST_BUDGET = 1e12
FACTORS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


class AllocationQuery(BaseModel):
    """What there is to spend, and what is known of the problems."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    budget: float | None = Field(None, gt=0, description="samples for all problems together, e.g. 12800")
    worth: float | None = Field(
        None, gt=0, description="value of a solved problem in costs of a sample, e.g. 1000; instead of a budget"
    )
    floor: int = Field(0, ge=0, description="fewest samples that any problem gets, for fairness, e.g. 1")
    kept: bool = Field(
        False, description="answers found by the attempts in the table are kept: solved problems need no samples"
    )
    rates: NumbersText | None = Field(
        None, description="success rates of the problems, where known instead of counts, e.g. 0.9,0.5,0.1,0.01"
    )
    model: str | None = Field(None, description="which model of the table, e.g. pythia-1b")


@dataclass(frozen=True, eq=False)
class _Problems:
    """P problems: success rates, or beta distributions of them for B resamples.

    Attributes:
        rates: (P,) or None.
        alpha, beta: (1 + B,) of the distribution of rates over all problems, row 0 the estimate; empty with rates.
        weight: (1 + B, P) how often each problem counts.
        trials, passed: (P,) what was counted, which sharpens the distribution; empty with rates.
        open: (P,) bool, problems that may get samples.
    """

    rates: Array | None
    alpha: Array
    beta: Array
    weight: Array
    trials: Array
    passed: Array
    open: NDArray[np.bool_]

    def samples(self, query: AllocationQuery, budget: float | None) -> Array:
        """(P,) samples for each problem."""
        out = np.zeros(self.open.size)
        if budget is not None:
            out[self.open] = allocated(self._marginal(), int(self.open.sum()), int(budget), query.floor)
        else:
            alpha, beta = self._own()
            out[self.open] = np.maximum(worth_drawing(alpha, beta, query.worth or 0.0), query.floor)
        return out

    def _own(self) -> tuple[Array, Array]:
        """What is known of each open problem, by the estimate."""
        return (self.alpha[0] + self.passed)[self.open], (self.beta[0] + self.trials - self.passed)[self.open]

    def _marginal(self) -> Callable[[Array], Array]:
        if self.rates is not None:
            return marginal_of_rates(self.rates[self.open])
        return marginal_of_beta(*self._own())

    def solved(self, b: Array, *, draws: bool = True) -> Array:
        """(1 + B,) share of the problems with a pass among b (P,) samples, or one kept from before."""
        if self.rates is not None:
            return np.array([solved_of_rates(self.rates, b).mean()])
        return self._mean(b, beta_rates, 1.0, draws)

    def used(self, b: Array) -> Array:
        """(1 + B,) samples per problem that are drawn if the first pass ends them."""
        if self.rates is not None:
            return np.array([used_of_rates(self.rates, b).mean()])
        return self._mean(b, lambda k, alpha, beta: used_of_beta(alpha, beta, k), 0.0, True)

    def _mean(self, b: Array, of: Callable[[Array, Array, Array], Array], closed: float, draws: bool) -> Array:
        """Mean over problems of a function of samples, alpha and beta; like problems are reckoned once."""
        rows = slice(None) if draws else slice(1)
        (c, n, k, open_), place = np.unique(
            np.stack([self.passed, self.trials, b, self.open]), axis=1, return_inverse=True
        )
        count = np.zeros((len(self.weight[rows]), k.size))
        np.add.at(count.T, place.ravel(), self.weight[rows].T)
        value = of(np.maximum(k, 1e-9), self.alpha[rows, None] + c, self.beta[rows, None] + n - c)
        value = np.where(open_ > 0, np.where(k > 0, value, 0.0), closed)
        return np.asarray((count * value).sum(axis=1) / count.sum(axis=1))

    def equal(self, budget: float) -> Array:
        """(P,) an equal share for every problem that may get samples; may be a fraction."""
        return np.where(self.open, budget / self.open.sum(), 0.0)


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: AllocationQuery) -> Plan:
    """Samples for each problem, and what an equal share would solve.

    Raises:
        QueryError: rates beside a table, or neither; budget and worth together, or neither; a floor that the budget
            cannot pay; worth with known rates.
        DataError: counts or rates that are none.
        RefusedError: no problem is left to solve, or no sample is worth its cost.
    """
    problems = _problems(grounds, query)
    budget = _budget(query, problems)
    b = problems.samples(query, budget)
    spent = float(b.sum())
    if spent == 0:
        raise refused(
            "no problem has a chance to be solved"
            if budget is not None
            else f"no sample is worth its cost where a solved problem is worth {query.worth:g} of them",
            "some worth of a sample",
            "a higher worth, or a floor",
        )
    level = grounds.level
    if budget is None:
        return _by_worth(grounds, query, problems, b)
    solved, plain, used = problems.solved(b), problems.solved(problems.equal(spent)), problems.used(b)
    nothing = float((problems.open & (b == 0)).sum() / problems.open.sum())
    decision: dict[str, Decided] = {
        "solved": decided(solved, "", level, "share of the problems solved by this allocation"),
        "equal": decided(plain, "", level, "share solved if every problem gets the same"),
        "gain": decided(solved - plain, "", level, "share of the problems gained over equal samples"),
        "budget": Decided(spent, None, None, "count", "samples allotted in all"),
        "drawn": decided(used * len(b), "count", level, "samples really drawn, if the first pass ends a problem"),
        "saved": Decided(
            100 * (1 - _enough(problems, query, plain[0], spent) / spent), None, None, "%",
            "of the budget could be saved, and as many solved as with equal samples",
        ),
        "most": Decided(float(b.max()), None, None, "count", "samples of the problem that gets most"),
        "nothing": Decided(nothing, None, None, "", "share of the open problems that get none"),
    }  # fmt: skip
    bound = " at most (the rates are taken as known)" if problems.rates is not None else ""
    return composed(
        grounds,
        planner,
        query,
        headline=(
            f"{format_short(spent)} samples, each where it most likely solves its problem, solve "
            f"{show(solved[0])} of the problems{bound}; the same number spread evenly solves {show(plain[0])}. "
            f"No problem gets more than {show(float(b.max()), 'count')}."
        ),
        decision=decision,
        binding=f"budget = {format_short(spent)} samples",
        tables=(_groups(problems, b), _sensitivity(problems, query, spent, level), _floors(problems, query, spent)),
        curves={"coverage": _drawn(problems, query, spent)},
        warnings=_warned(problems, nothing, decision["gain"]),
        assumptions=_assumed(problems, query),
    )


def _by_worth(grounds: Grounds, query: AllocationQuery, problems: _Problems, b: Array) -> Plan:
    """The plan that a worth makes: how long to go on with a problem that goes on failing."""
    worth, level = query.worth or 0.0, grounds.level
    solved, used = problems.solved(b), problems.used(b)
    hard = problems.open & (problems.passed == 0)
    unsolved = b[hard] if hard.any() else b[problems.open]
    decision: dict[str, Decided] = {
        "draws": Decided(float(np.median(unsolved)), None, None, "count",
                         "failures more after which to give up a problem that never passed (median)"),
        "solved": decided(solved, "", level, "share of the problems solved"),
        "drawn": decided(used * len(b), "count", level, "samples drawn in all, the first pass ends a problem"),
        "net": decided((worth * _new(problems, solved) - used) * len(b), "count", level,
                       "worth of what is solved, less the samples, in costs of a sample"),
        "most": Decided(float(b.max()), None, None, "count", "failures after which any problem is given up"),
    }  # fmt: skip
    rows: list[Row] = []
    for factor in FACTORS:
        other = query.model_copy(update={"worth": factor * worth})
        there = problems.samples(other, None)
        drawn = problems.used(there)
        net = (worth * _new(problems, problems.solved(there)) - drawn) * len(b)
        median = float(np.median(there[hard] if hard.any() else there[problems.open]))
        rows.append((factor, median, float(problems.solved(there)[0]), float(drawn[0] * len(b)), float(net[0])))
    sensitivity = Table(
        "sensitivity",
        "Planned for another worth, paid at this one",
        (
            ("worth / here", "x"), ("give up after", "count"), ("solved", ""), ("drawn", "count"), ("net", "count"),
        ),
        tuple(rows),
    )  # fmt: skip
    given_up = decision["draws"].value
    return composed(
        grounds,
        planner,
        query,
        headline=(
            f"Give up a problem that never passed after {show(given_up, 'count')} failures more. That solves "
            f"{show(solved[0])} of the problems with {show(decision['drawn'].value, 'count')} samples in all."
        ),
        decision=decision,
        binding=f"worth = {worth:g}",
        tables=(_groups(problems, b), sensitivity),
        warnings=_warned(problems, float((problems.open & (b == 0)).sum() / problems.open.sum()), None),
        assumptions=[
            *_assumed(problems, query),
            "A pass ends a problem. Each failure lowers what is expected of the next sample, so the first one that "
            "is not worth its cost ends it.",
        ],
    )


def _new(problems: _Problems, solved: Array) -> Array:
    """Share of all problems that samples solve now, without answers that were kept."""
    if problems.open.all():
        return solved
    kept = (problems.weight * ~problems.open).sum(axis=1) / problems.weight.sum(axis=1)
    return np.asarray(solved - kept)


# ------------------------------------------------------------------------------------------------ what there is


def _problems(grounds: Grounds, query: AllocationQuery) -> _Problems:
    table = grounds.tables.get("attempts")
    if (table is None) == (query.rates is None):
        seen = "neither rates nor a table of attempts" if table is None else "rates beside a table of attempts"
        raise QueryError(
            message(seen, "one of them", "a table with trials and passed for each problem, or rates=0.9,0.5,0.1")
        )
    if table is not None:
        return _counted(of_model(table, query.model), query.kept)
    p = np.asarray(query.rates, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError(message(f"rates = {', '.join(f'{x:g}' for x in p[:5])}", "chances between 0 and 1"))
    if query.kept or query.model is not None:
        named = "kept" if query.kept else "model"
        raise QueryError(message(f"{named} beside rates", f"{named} speaks of a table of attempts"))
    empty = np.empty(0)
    return _Problems(p, empty, empty, np.ones((1, p.size)), empty, empty, np.ones(p.size, dtype=bool))


def _counted(table: Runs, kept: bool) -> _Problems:
    # Plans from known rates start without the likelihood.
    from forescale.fitting.attempts import attempts_of
    from forescale.fitting.estimators.success_rates import likeliest

    # The likelihood is right however attempts were stopped, whatever the table says of it.
    unruled = replace(table, labels={name: v for name, v in table.labels.items() if name != "stop_rule"})
    counts = attempts_of(unruled, "adaptive")
    n, c = counts.trials, counts.passed
    if c.sum() == 0 or (c == n).all():
        raise refused(
            "no attempt passed, so problems cannot be told apart" if c.sum() == 0 else "every attempt passed",
            "some attempts that passed and some that failed",
        )
    open_ = c == 0 if kept else np.ones(len(n), dtype=bool)
    if not open_.any():
        raise refused("every problem is solved already and its answer kept", "some unsolved problem", "kept = no")
    weight = np.concatenate([np.ones((1, len(n))), bootstrap_rows(len(n), DRAWS, 0)]) * counts.weight
    pairs, place = np.unique(np.stack([n, c]), axis=1, return_inverse=True)
    every = np.zeros((len(weight), pairs.shape[1]))
    np.add.at(every.T, place.ravel(), weight.T)
    usable = (every @ pairs[1] > 0) & (every @ (pairs[0] - pairs[1]) > 0)
    found = np.full((len(weight), 2), np.nan)
    found[usable] = likeliest(pairs[0], pairs[1], every[usable], accuracy=1e-6)
    return _Problems(None, found[:, 0], found[:, 1], weight, n, c, open_)


def _budget(query: AllocationQuery, problems: _Problems) -> float | None:
    if (query.budget is None) == (query.worth is None):
        seen = "neither budget nor worth" if query.budget is None else "budget and worth together"
        raise QueryError(
            message(seen, "one of them: samples to spend, or the worth of a solved problem", "budget=12800")
        )
    if query.budget is None:
        if problems.rates is not None:
            raise QueryError(
                message(
                    "worth beside rates: a known rate is worth its cost for ever or never",
                    "a budget with rates, or worth with a table of attempts",
                )
            )
        return None
    whole = math.floor(query.budget)
    if whole < 1 or whole > MOST_BUDGET:
        raise QueryError(message(f"budget = {query.budget:g}", f"between 1 and {MOST_BUDGET:g} samples"))
    least = query.floor * int(problems.open.sum())
    if least > whole:
        raise QueryError(
            message(
                f"floor = {query.floor} for {problems.open.sum()} problems takes {least:,}, and budget is {whole:,}",
                "a budget that pays the floor",
                "lower the floor, or raise the budget",
            )
        )
    return float(whole)


def _enough(problems: _Problems, query: AllocationQuery, target: float, spent: float) -> float:
    """Samples with which this kind of allocation solves what equal samples do."""
    least, most = float(query.floor * problems.open.sum()), spent
    while most - least > max(1.0, 1e-4 * spent):
        middle = math.floor(0.5 * (least + most))
        reached = problems.solved(problems.samples(query, middle), draws=False)[0] >= target
        least, most = (least, middle) if reached else (middle, most)
    return most


# ------------------------------------------------------------------------------------------------------------- words


def _warned(problems: _Problems, nothing: float, gain: Decided | None) -> list[Finding]:
    found: list[Finding] = []
    if problems.rates is not None:
        found.append(
            Finding(
                "upper-bound", "amber",
                "The success rates are taken as known: no rule that has to learn them gains so much.",
                "Give counts of a few attempts at each problem to see what can be had.",
            )
        )  # fmt: skip
    if nothing > 0:
        found.append(
            Finding(
                "unfair", "amber",
                f"{show(100 * nothing, '%')} of the open problems get no sample at all, the hardest ones.",
                "Hold a floor, where every problem belongs to somebody.",
            )
        )  # fmt: skip
    if gain is not None and gain.lower is not None and gain.lower <= 0:
        found.append(
            Finding(
                "no-gain", "amber",
                "Over resamples of the problems the gain over equal samples is not certain.",
                "More attempts at each problem tell them apart better.",
            )
        )  # fmt: skip
    return found


def _assumed(problems: _Problems, query: AllocationQuery) -> list[str]:
    out = [
        "A pass is recognised: a checker accepts right answers and no wrong ones.",
        "Samples of a problem are independent, with one success rate.",
    ]
    if problems.rates is None:
        out.append(
            f"Success rates follow a beta distribution, learned from all counts; intervals: {DRAWS} resamples of the "
            "problems, the allocation held."
        )
        kept = "count as solved and get no samples" if query.kept else "get new samples like the others"
        out.append(f"Problems that passed before {kept}.")
    return out


# ------------------------------------------------------------------------------------------------------------ tables


def _groups(problems: _Problems, b: Array) -> Table:
    """Like problems together: a rule that needs no more than a look-up."""
    if problems.rates is not None:
        order = np.argsort(-problems.rates, kind="stable")[:SHOWN]
        rows: list[Row] = [(float(problems.rates[i]), float(b[i]), float(solved_of_rates(problems.rates[i], b[i])))
                           for i in order]  # fmt: skip
        return Table(
            "allocation", "Samples by success rate, the easiest first",
            (("rate", ""), ("samples", "count"), ("solved", "")), tuple(rows),
        )  # fmt: skip
    keys = np.stack([problems.passed, problems.trials])
    pairs, place, count = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
    # Ties at the threshold may differ by one sample.
    mean = np.bincount(place.ravel(), b) / count
    alpha, beta = problems.alpha[0] + pairs[0], problems.beta[0] + pairs[1] - pairs[0]
    rows = []
    for i in np.argsort(-mean, kind="stable")[:SHOWN]:
        chance = float(beta_rates(max(float(mean[i]), 1.0), alpha[i], beta[i])) if mean[i] > 0 else 0.0
        rate = float(alpha[i] / (alpha[i] + beta[i]))
        rows.append((float(pairs[0, i]), float(pairs[1, i]), float(count[i]), rate, float(mean[i]), chance))
    return Table(
        "allocation",
        "Samples by what was counted, most first",
        (
            ("passed", "count"), ("of", "count"), ("problems", "count"), ("expected rate", ""),
            ("samples each", ""), ("solved", ""),
        ),
        tuple(rows),
        "A rule for problems like these: look up the counts of a few attempts, and give so many samples.",
    )  # fmt: skip


def _sensitivity(problems: _Problems, query: AllocationQuery, spent: float, level: float) -> Table:
    rows: list[Row] = []
    least = query.floor * int(problems.open.sum())
    for factor in FACTORS:
        budget = math.floor(factor * spent)
        if max(budget, 1) < max(least, 1):
            continue
        b = problems.samples(query, budget)
        solved = decided(problems.solved(b), "", level)
        equal = float(problems.solved(problems.equal(budget), draws=False)[0])
        rows.append((factor, float(budget), solved.value, solved.lower, solved.upper, equal, solved.value - equal))
    return Table(
        "sensitivity",
        "With another budget",
        (
            ("budget / here", "x"), ("budget", "count"), ("solved", ""), ("from", ""), ("to", ""), ("equal", ""),
            ("gain", ""),
        ),
        tuple(rows),
    )  # fmt: skip


def _floors(problems: _Problems, query: AllocationQuery, budget: float) -> Table:
    share = int(budget // problems.open.sum())
    rows: list[Row] = []
    for floor in sorted({0, 1, query.floor, *(max(share // by, 0) for by in (10, 4, 2, 1))}):
        if floor * problems.open.sum() > budget:
            continue
        b = problems.samples(query.model_copy(update={"floor": floor}), budget)
        without = float((problems.open & (b == 0)).sum())
        rows.append((float(floor), float(problems.solved(b, draws=False)[0]), without, float(b.max())))
    return Table(
        "alternatives",
        "What fairness costs: a floor under every open problem",
        (("floor", "count"), ("solved", ""), ("problems without", "count"), ("most samples", "count")),
        tuple(rows),
    )


def _drawn(problems: _Problems, query: AllocationQuery, spent: float) -> Frozen[str, Array]:
    least = max(query.floor * int(problems.open.sum()), 1)
    budgets = np.unique(np.round(np.geomspace(max(least, spent / 20), 10 * spent, 16)))
    best = np.array([problems.solved(problems.samples(query, b), draws=False)[0] for b in budgets])
    equal = np.array([problems.solved(problems.equal(b), draws=False)[0] for b in budgets])
    return Frozen({"samples in all": budgets, "solved": best, "equal samples": equal})


planner = Planner(
    id="allocation",
    question="Which problems deserve how many samples of a common budget?",
    query=AllocationQuery,
    answer=answer,
    parts=(
        Part(
            "attempts",
            "earlier attempts at each problem: trials made and passed, one row per problem",
            columns=("trials", "passed"),
            optional=True,
        ),
    ),
    papers=("damani2024", "schaeffer2025"),
    example=Frozen({"budget": 12, "rates": "0.9,0.5,0.1,0.01"}),
    topic="how to sample and to serve",
)

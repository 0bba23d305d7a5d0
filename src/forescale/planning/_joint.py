# SPDX-License-Identifier: Apache-2.0
"""One problem of training and serving: loss of all choices together, what they cost, what limits them, the best.

The pieces are laws of their own papers: loss in N and D; tokens seen again are worth less (Muennighoff et al. 2023);
serving in few bits adds to the loss, the more the longer the training (Ouyang et al. 2024). For each choice of bits
and samples there is one line to search, in log N: what the budget, the deadline and the corpus leave of D follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.fitting.surface import Surface
from forescale.laws._terms import saturating
from forescale.laws.quantisation import added
from forescale.laws.repetition import matched
from forescale.numerics.optimum import Where, minimise, root
from forescale.planning._frontier import MOST_DRAWS, at, frontier, least_compute, rows
from forescale.planning._lifetime import Bill, left_tokens

Array = NDArray[np.float64]

FULL = 16.0
"""Bits of a weight as trained: served in these, nothing is added to the loss."""

_FEWEST = 1e-3  # tokens per parameter below which no best plan lies
_DEPTH = 1e-8  # how far below the largest size the best one is looked for
_STEP = 0.8  # in log N, between points of the line on which the longest useful training is tabled
_POINTS, _SECTIONS = 32, 6  # sizes of a line that is narrowed, and how many times
_CLEAR = 1e-3  # in log N: a minimum nearer to the low end lies there
_COMPUTE = (1e10, 1e34)  # FLOP of a run between which one of a given coverage is looked for
_NOTHING = 1e6  # loss of what no model reaches: worse than any
_PASSES = 1e4  # no more passes over a corpus are looked at


@dataclass(frozen=True, eq=False)
class Choice:
    """One way to serve: bits per weight and samples per question, and what follows from them.

    Attributes:
        bits, samples: of the choice.
        bill: price of training and of all service.
        most: largest model that the serving devices allow; `held` says which limit that is.
    """

    bits: float
    samples: float
    bill: Bill
    most: float
    held: str


@dataclass(frozen=True, eq=False)
class Problem:
    """What is asked, for B parameter vectors.

    Attributes:
        surface: loss in N and D.
        repeated: R_N and R_D, (B, 1) each; what a token seen again is worth.
        quantised: k, beta, alpha, gamma of the loss that few bits add, (B, 1) each.
        coverage: share of questions solved from equivalent compute and samples, (B, k) of (B, k) and a number; None
            where the loss decides.
        unique: different tokens that there are; infinite where nobody says.
        tokens: (words, most tokens) that a run may read.
        flop: (words, most FLOP) that training may take, beside the budget.
        sizes: (words, largest N), beside what the serving devices allow.
    """

    surface: Surface
    repeated: Mapping[str, Array]
    quantised: Mapping[str, Array]
    coverage: Callable[[Array, float], Array] | None
    unique: float
    tokens: tuple[tuple[str, float], ...] = ()
    flop: tuple[tuple[str, float], ...] = ()
    sizes: tuple[tuple[str, float], ...] = ()

    @property
    def count(self) -> int:
        """Number of parameter vectors B."""
        return rows(self.surface)

    def thinned(self, count: int = MOST_DRAWS + 1) -> Problem:
        """The estimate and the first draws."""
        return self.rows(slice(count))

    def rows(self, some: Any) -> Problem:
        """The problem of some of the parameter vectors."""

        def cut(params: Mapping[str, Array]) -> dict[str, Array]:
            return {name: values[some] for name, values in params.items()}

        coverage = self.coverage
        within: Callable[[Array, float], Array] | None = None
        if coverage is not None:
            solved, total = coverage, self.count

            def within(C: Array, k: float) -> Array:
                whole = np.full((total, C.shape[1]), np.nan)
                whole[some] = C
                return np.asarray(solved(whole, k)[some])

        return replace(
            self,
            surface=self.surface.take(some),
            repeated=cut(self.repeated),
            quantised=cut(self.quantised),
            coverage=within,
        )

    def relaxed(self, name: str, factor: float) -> Problem:
        """The problem with one of its limits raised."""

        def raised(limits: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
            return tuple((words, most * factor if words == name else most) for words, most in limits)

        unique = self.unique * factor if name == "unique" else self.unique
        return replace(
            self, unique=unique, tokens=raised(self.tokens), flop=raised(self.flop), sizes=raised(self.sizes)
        )

    # ------------------------------------------------------------------------------------------------- the loss

    def loss(self, N: Array, D: Array, bits: float) -> Array:
        """Loss as served, (B, k)."""
        n, d = np.broadcast_arrays(np.asarray(N, dtype=np.float64), np.asarray(D, dtype=np.float64))
        seen, size = d, n
        if np.isfinite(self.unique):
            fresh = np.minimum(d, self.unique)
            seen = saturating(fresh, d, self.repeated["R_D"])
            if self.surface.law.id == "chinchilla":
                own = {name: self.surface.params[name] for name in ("A", "alpha", "B", "beta")}
                fed = np.minimum(n, matched(fresh, **own))
                size = saturating(fed, n, self.repeated["R_N"])
        value = at(self.surface, size, seen)
        return value if bits >= FULL else value + added(n, d, bits, **self.quantised)

    def turns(self, low: Array, high: Array, bits: float) -> Array:
        """(B, points) tokens beyond which more of them make the model worse as served, on a line of sizes.

        Args:
            low, high: (B,) ends of the line, even in log N.
        """
        points = 2 + int(np.max(np.log(high / low)) / _STEP)
        if bits >= FULL:
            return np.full((self.count, points), np.inf)
        line = np.exp(np.linspace(np.log(low), np.log(high), points, axis=1))

        def slope(D: Array) -> Array:
            d = D.reshape(line.shape)
            step = np.exp(1e-4)
            return (self.loss(line, d * step, bits) - self.loss(line, d / step, bits)).reshape(-1, 1)

        wide = np.ones(line.size)
        end = min(1e22, self.unique * _PASSES)
        found = root(slope, 1e6 * wide, end * wide, rtol=1e-4)
        lost = np.where(found.where == Where.NOT_FINITE, np.nan, np.inf)
        return np.where(found.found, found.x, lost).reshape(line.shape)

    def needed(self, share: float, samples: float) -> Array:
        """(B,) loss at which that many samples solve a share of the questions; 0 where none is low enough."""
        assert self.coverage is not None  # noqa: S101 - asked only where there is one
        coverage, wide = self.coverage, np.ones(self.count)
        found = root(lambda C: coverage(C, samples), *(C * wide for C in _COMPUTE), target=share)
        path = frontier(self.surface, np.where(found.found, found.x, 1e20)[:, None])
        return np.where(found.found, path.loss[:, 0], np.where(found.where == Where.LOWER, _NOTHING, 0.0))

    def optimal(self, loss: Array) -> Array:
        """(B,) compute of an optimal run on fresh tokens, served as trained, with losses (B,): equivalent compute."""
        found = least_compute(self.surface, loss)
        return np.where(found.reached, found.C, np.nan)

    # ------------------------------------------------------------------------------------------------- the limits

    def trained(self, choice: Choice, budget: Array, N: Array, useful: Array | float) -> Array:
        """(B, k) tokens that models of N parameters, (B, k), are trained on: all that limits leave, none that hurt.

        Args:
            budget: (B,) in the currency of the bill.
        """
        D = left_tokens(choice.bill, budget[:, None], N)
        for _, most in self.tokens:
            D = np.minimum(D, most)
        for _, flop in self.flop:
            D = np.minimum(D, flop / (6.0 * N))
        return np.asarray(np.minimum(D, useful))

    def largest(self, choice: Choice) -> float:
        """Largest model that any limit allows."""
        return min([choice.most, *(most for _, most in self.sizes)])

    def binding(self, choice: Choice, budget: float, N: float, D: float, useful: float) -> list[str]:
        """What holds a plan back: every limit that it touches."""
        close = 1.0 + 1e-3
        found = [words for words, most in self.sizes if N * close >= most]
        found += [choice.held] if N * close >= choice.most else []
        limits = [(words, most) for words, most in self.tokens]
        limits += [(words, flop / (6.0 * N)) for words, flop in self.flop]
        limits += [("the budget", float(left_tokens(choice.bill, budget, N)))]
        limits += [(f"tokens that {choice.bits:g}-bit weights can carry", useful)]
        return found + [words for words, most in limits if D * close >= most]


@dataclass(frozen=True, eq=False)
class Best:
    """(B,) the best of one choice: loss NaN where a parameter vector has none.

    Attributes:
        N, D, loss: of the best.
        useful: tokens beyond which more would hurt.
        quality: what was minimised: the loss, or minus the coverage.
        shrinking: whether the loss keeps falling towards ever smaller models.
    """

    N: Array
    D: Array
    loss: Array
    useful: Array
    quality: Array
    shrinking: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Line:
    """The losses of one choice along log N.

    Attributes:
        low, high: (B,) sizes between which turning points are known, their logarithms.
        turns: (B, points) logarithms of `Problem.turns` between them.
    """

    problem: Problem
    choice: Choice
    low: Array
    high: Array
    turns: Array

    def useful(self, N: Array) -> Array:
        """(B, k) tokens beyond which more would hurt."""
        if self.choice.bits >= FULL:
            return np.full(N.shape, np.inf)
        last = self.turns.shape[1] - 1
        place = (np.log(N) - self.low[:, None]) / (self.high - self.low)[:, None] * last
        left = np.clip(place.astype(np.int64), 0, last - 1)
        row = np.arange(len(N))[:, None]
        before, after = self.turns[row, left], self.turns[row, left + 1]
        return np.asarray(np.exp(np.where(np.isfinite(after), before + (after - before) * (place - left), before)))

    def tokens(self, budget: Array, N: Array) -> Array:
        """(B, k) tokens that budgets (B,) train models of N parameters, (B, k), on."""
        return self.problem.trained(self.choice, budget, N, self.useful(N))

    def height(self, budget: Array, N: Array) -> Array:
        """(B, k) losses as served, infinite where nothing is left to train on."""
        sizes = np.broadcast_to(N, (self.problem.count, N.shape[-1]))
        D = self.tokens(budget, sizes)
        return np.where(D > 0, self.problem.loss(sizes, np.where(D > 0, D, 1.0), self.choice.bits), np.inf)


def line(problem: Problem, choice: Choice, low: Array, high: Array) -> Line:
    """The line of sizes that hold the best of budgets from `low` to `high`, (B,) each."""
    least, most = (_most(problem, choice, budget) for budget in (low, high))
    low, high = least * _DEPTH, most
    return Line(problem, choice, np.log(low), np.log(high), np.log(problem.turns(low, high, choice.bits)))


def _most(problem: Problem, choice: Choice, budget: Array) -> Array:
    return np.minimum(payable(choice, budget), problem.largest(choice))


def solved(problem: Problem, choice: Choice, budget: Array) -> Best:
    """(B,) the best N and D of one choice for budgets (B,) in the currency of its bill."""
    along = line(problem, choice, budget, budget)
    low, high = np.exp(along.low), np.exp(along.high)
    found = minimise(lambda N: along.height(budget, N), low, high)
    known = np.isin(found.where, (Where.INTERIOR, Where.UPPER)) & np.isfinite(found.value)
    # Where two limits meet the loss has a kink, of which a search for smooth minima knows the place to 1e-4 only.
    near = np.where(known, found.x, high)
    x, value = _narrowed(along, budget, near * np.exp(-_CLEAR), np.minimum(near * np.exp(_CLEAR), high), 4)
    kinked = value < found.value * (1.0 - 1e-12)
    N = np.where(known, np.where(kinked, x, found.x), np.nan)
    sizes = np.where(known, N, high)[:, None]
    loss = np.where(known, np.where(kinked, value, found.value), np.nan)
    quality = loss
    if problem.coverage is not None:
        quality = -problem.coverage(problem.optimal(loss)[:, None], choice.samples)[:, 0]
    D = np.where(known, along.tokens(budget, sizes)[:, 0], np.nan)
    return Best(N, D, loss, along.useful(sizes)[:, 0], quality, found.where == Where.LOWER)


def payable(choice: Choice, budget: Array) -> Array:
    """(B,) sizes whose service leaves next to nothing of the budget, or next to no tokens to train on."""
    wide = np.ones_like(budget)
    found = root(lambda N: np.asarray(np.log(choice.bill.serving(N))), wide, 1e24 * wide, target=np.log(budget))
    served = np.where(found.found, found.x * (1.0 - 1e-9), np.inf)
    return np.asarray(np.minimum(served, np.sqrt(budget / (6.0 * choice.bill.training * _FEWEST))))


def least_loss(along: Line, budget: Array) -> Array:
    """(B,) loss of the best plan of budgets (B,), NaN where there is none: what `solved` finds, without its place."""
    high = _most(along.problem, along.choice, budget)
    N, loss = _narrowed(along, budget, high * _DEPTH, high, _SECTIONS)
    # A loss that keeps falling towards ever smaller models has no best plan.
    return np.where(np.isfinite(loss) & (high * _DEPTH * np.exp(_CLEAR) < N), loss, np.nan)


def _narrowed(along: Line, budget: Array, low: Array, high: Array, times: int) -> tuple[Array, Array]:
    """(B,) size of least loss between two, and that loss: the line is cut to two of its intervals, so many times."""
    start, end = np.log(low), np.log(high)
    row = np.arange(len(end))
    for _ in range(times):
        t = start[:, None] + (end - start)[:, None] * np.linspace(0.0, 1.0, _POINTS)
        value = along.height(budget, np.exp(t))
        value = np.where(np.isfinite(value), value, np.inf)
        place = np.argmin(value, axis=1)
        best, loss = t[row, place], value[row, place]
        start, end = t[row, np.maximum(place - 1, 0)], t[row, np.minimum(place + 1, _POINTS - 1)]
    return np.exp(best), loss


def least_budget(problem: Problem, choice: Choice, goal: Array, low: Array, high: Array) -> Array:
    """(B,) the least budget, to 1e-7, whose best plan has a loss of `goal` (B,).

    Args:
        low, high: (B,) budgets between which it is looked for.

    Returns:
        `low` where that is enough already, infinite where `high` is not.
    """
    along = line(problem, choice, low, high)

    def loss(budgets: Array) -> Array:
        value = least_loss(along, budgets[:, 0])
        return np.where(np.isfinite(value), value, _NOTHING)[:, None]

    found = root(loss, low, high, target=goal, rtol=1e-7)
    return np.where(found.found, found.x, np.where(found.where == Where.LOWER, low, np.inf))

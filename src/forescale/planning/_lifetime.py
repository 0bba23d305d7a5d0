# SPDX-License-Identifier: Apache-2.0
"""Training and serving paid for together: the cheapest size for a loss, the best size for a budget.

The bill is 6 N D for training and a rising function of N for all tokens that will ever be served. Where serving costs
6 N S (S: served tokens in the worth of training tokens; D_inference / 3 in FLOP, Sardana et al. 2024, section 2) and
the law is L = E + A N^-alpha + B D^-beta, the minimum satisfies

    alpha A N^-alpha = beta B D^-beta (1 + S / D),

with S = 0 the compute-optimal split. Both unknowns follow from one monotone equation in D. Any other law, or bill, is
searched along log N, with the tokens that reach the loss by a root inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.numerics.optimum import Where, minimise, root
from forescale.planning._frontier import WINDOW, at, frontier, least_compute, rows

if TYPE_CHECKING:
    from forescale.fitting.surface import Surface

Array = NDArray[np.float64]

_LEAST_TOKENS, _MOST_TOKENS = 1.0, 1e30
_ENDLESS = 1e90  # tokens whose share of the loss is below rounding for any exponent that was ever fitted
_DEPTH = 1e-5  # how far below the compute-optimal size a search looks
_ABOVE = 1.05  # and how far above: paying for service never makes the best model larger


@dataclass(frozen=True, eq=False)
class Bill:
    """What one FLOP of training costs, and all serving as a function of N, in one currency.

    Attributes:
        training: price of a training FLOP; 1 where the currency is FLOP.
        serving: price of all served tokens as a function of N, vectorised and rising.
        worth: S, a number or (B,), where serving costs `training` x 6 N S for every N; None where it does not.
    """

    training: float
    serving: Callable[[Any], Any]
    worth: float | Array | None = None

    def total(self, N: Any, D: Any) -> Any:
        """The whole bill of a model of N parameters on D tokens."""
        return 6.0 * N * D * self.training + self.serving(N)

    def times(self, factor: float) -> Bill:
        """The bill if `factor` times as much is served."""
        serving = self.serving
        worth = None if self.worth is None else self.worth * factor
        return Bill(self.training, lambda N: factor * serving(N), worth)


@dataclass(frozen=True, eq=False)
class Best:
    """(B,) the cheapest, or best, N and D; NaN where a parameter vector has none, infinite where no data suffice."""

    N: Array
    D: Array


def like(surface: Surface, N: float) -> Array:
    """(B,) loss of a compute-optimal model of N parameters: the frontier inverted in N."""
    count = rows(surface)
    low, high = np.full(count, 1e6), np.full(count, 1e40)
    if surface.law.optimum is None:
        # A searched optimum lies inside the window of tokens per parameter, hence N in a window of budgets; a law
        # without an optimum far out must not be asked there.
        ladder = 6.0 * N * N * np.geomspace(*WINDOW, 12)
        passed = frontier(surface, ladder).N >= N
        place = np.clip(np.argmax(passed, axis=1), 1, len(ladder) - 1)
        low, high = ladder[place - 1], ladder[place]
    found = root(lambda C: np.asarray(np.log(frontier(surface, C).N)), low, high, target=np.full(count, np.log(N)))
    best = frontier(surface, np.where(found.found, found.x, 1e20)[:, None])
    return np.where(found.found, best.loss[:, 0], np.nan)


def tokens_for(surface: Surface, N: ArrayLike, loss: Array) -> Array:
    """Tokens with which models of N parameters, (k,) or (B, k), reach losses (B,): (B, k).

    Infinite where no amount suffices (de Vries 2023: every loss has a least size), NaN where the law has no number.
    """
    count = rows(surface)
    sizes = np.asarray(N, dtype=np.float64)
    sizes = np.broadcast_to(sizes, (count, sizes.shape[-1]))
    if surface.law.id == "chinchilla":
        E, A, alpha, B, beta = (surface.params[name] for name in ("E", "A", "alpha", "B", "beta"))
        left = loss[:, None] - E - A * sizes**-alpha
        return np.where(left > 0, (B / np.where(left > 0, left, 1.0)) ** (1.0 / beta), np.inf + 0.0 * left)
    goal = np.broadcast_to(loss[:, None], sizes.shape)

    def above(D: Array) -> Array:
        return (at(surface, sizes, D.reshape(sizes.shape)) - goal).reshape(-1, 1)

    wide = np.ones(sizes.size)
    found = root(above, _LEAST_TOKENS * wide, _MOST_TOKENS * wide)
    lost = np.where(found.where == Where.UPPER, np.inf, np.nan)
    return np.where(found.found, found.x, lost).reshape(sizes.shape)


def sizes_for(surface: Surface, D: float, loss: Array) -> Array:
    """(B,) size that reaches losses (B,) on D tokens: infinite where none does, 0 where any does."""
    count = rows(surface)
    tokens = np.full((count, 1), D)
    wide = np.ones(count)
    found = root(lambda N: at(surface, N, tokens) - loss[:, None], _LEAST_TOKENS * wide, _MOST_TOKENS * wide)
    lost = np.select([found.where == Where.UPPER, found.where == Where.LOWER], [np.inf, 0.0], np.nan)
    return np.where(found.found, found.x, lost)


def least_size(surface: Surface, loss: Array) -> Array:
    """(B,) size below which no amount of data reaches losses (B,) (de Vries 2023)."""
    return sizes_for(surface, _ENDLESS, loss)


# ------------------------------------------------------------------------------------------------ the cheapest model


def optimal(surface: Surface, loss: Array) -> Best:
    """(B,) the compute-optimal N and D of a loss."""
    found = least_compute(surface, loss)
    lost = np.where(found.reached, 0.0, found.C)
    return Best(np.where(found.reached, found.N, lost), np.where(found.reached, found.D, lost))


def cheapest(surface: Surface, loss: Array, bill: Bill, *, closed: bool = True) -> Best:
    """(B,) N and D of least bill that reach losses (B,).

    Args:
        closed: use the closed condition where there is one; False searches, for laws without.
    """
    plain = optimal(surface, loss)
    if closed and surface.law.id == "chinchilla" and bill.worth is not None:
        return _balanced(surface, loss, bill.worth, plain)
    known = np.isfinite(plain.N)
    most = np.where(known, plain.N, 1.0)

    def cost(N: Array) -> Array:
        D = tokens_for(surface, N, loss)
        return np.asarray(np.log(bill.total(N, D)))

    found = minimise(cost, _DEPTH * most, _ABOVE * most)
    inside = known & (found.where == Where.INTERIOR)
    N = np.where(inside, found.x, np.where(known, np.nan, plain.N))
    D = tokens_for(surface, np.where(inside, N, most)[:, None], loss)[:, 0]
    return Best(N, np.where(inside, D, N))


def _balanced(surface: Surface, loss: Array, worth: float | Array, plain: Best) -> Best:
    E, A, alpha, B, beta = (surface.params[name][:, 0] for name in ("E", "A", "alpha", "B", "beta"))
    left = loss - E
    S = np.broadcast_to(np.asarray(worth, dtype=np.float64), left.shape)
    known = np.isfinite(plain.D) & np.isfinite(S) & (left > 0)
    start = np.where(known, plain.D, 1.0)
    far = np.where(known, start * 1e12 + S, 1e12)

    def short(D: Array) -> Array:
        data = B[:, None] * D ** -beta[:, None]
        return np.asarray(left[:, None] - data * (1.0 + beta[:, None] / alpha[:, None] * (1.0 + S[:, None] / D)))

    # Served tokens only ever raise D above the compute-optimal; both ends leave room for rounding.
    found = root(short, start * (1.0 - 1e-6), far, rtol=1e-14)
    D = np.where(known & found.found, found.x, np.nan)
    data = B * D**-beta
    N = (A / (beta / alpha * data * (1.0 + S / D))) ** (1.0 / alpha)
    lost = ~known
    return Best(np.where(lost, plain.N, N), np.where(lost, plain.D, D))


# ---------------------------------------------------------------------------------------------------- the best model


def affordable(bill: Bill, budget: float) -> float:
    """The size at which serving alone uses the budget up; infinite where it never does."""
    found = root(
        lambda N: np.asarray(np.log(bill.serving(N))), np.array([1.0]), np.array([1e24]), target=np.log(budget)
    )
    return float(found.x[0]) if found.found[0] else np.inf


def left_tokens(bill: Bill, budget: Any, N: Any) -> Any:
    """Tokens that what serving leaves of the budget can train models of N parameters on."""
    return (budget - bill.serving(N)) / (6.0 * N * bill.training)


def best(surface: Surface, budget: float, bill: Bill, *, closed: bool = True) -> Best:
    """(B,) N and D of least loss whose bill is the budget."""
    count = rows(surface)
    flop = budget / bill.training
    if closed and surface.law.id == "chinchilla" and bill.worth is not None:
        return _split(surface, flop, bill.worth)
    free = frontier(surface, [flop]).N[:, 0]
    known = np.isfinite(free)
    most = np.minimum(np.where(known, free, 1.0) * _ABOVE, affordable(bill, budget) * (1.0 - 1e-9))
    most = np.broadcast_to(most, (count,))

    def height(N: Array) -> Array:
        D = left_tokens(bill, budget, N)
        return np.where(D > 0, at(surface, N, np.where(D > 0, D, 1.0)), np.inf)

    found = minimise(height, _DEPTH * most, most)
    inside = known & (found.where == Where.INTERIOR)
    N = np.where(inside, found.x, np.nan)
    return Best(N, left_tokens(bill, budget, N))


def _split(surface: Surface, flop: float, S: float | Array) -> Best:
    A, alpha, B, beta = (surface.params[name] for name in ("A", "alpha", "B", "beta"))
    free = frontier(surface, [flop])
    known = free.interior[:, 0]
    start = np.where(known, free.D[:, 0], 1.0)

    def excess(D: Array) -> Array:
        size = np.log(alpha * A) - alpha * np.log(flop / (6.0 * (D + S)))
        data = np.log(beta * B) - (beta + 1.0) * np.log(D) + np.log(D + S)
        return np.asarray(size - data)

    found = root(excess, start * 1e-9, start * 1e9, rtol=1e-14)
    D = np.where(known & found.found, found.x, np.nan)
    return Best(flop / (6.0 * (D + S)), D)


def size_for_tokens(bill: Bill, budget: float, D: float) -> Array:
    """(1,) size whose training on D tokens and service together use the budget up."""
    ends = np.array([1e-3]), np.array([1e24])
    found = root(lambda N: np.asarray(np.log(bill.total(N, D))), *ends, target=np.log(budget))
    return np.where(found.found, found.x, np.inf)

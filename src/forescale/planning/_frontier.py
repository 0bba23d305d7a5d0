# SPDX-License-Identifier: Apache-2.0
"""The compute-optimal frontier of a loss surface, for many parameter vectors at once.

A surface that falls in N and in D has, along a line of constant compute, at most one useful minimum. Where a law
knows it in closed form, that is used; elsewhere it is searched in log N inside a window of tokens per parameter, and
only a stationary point of positive curvature counts: a loss that falls all the way to the edge of the window has no
optimum that a plan could rest on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import QueryError, RefusedError, message
from forescale.core.quantity import format_short
from forescale.numerics.optimum import Where, minimise, root

if TYPE_CHECKING:
    from forescale.fitting.surface import Surface
    from forescale.laws import Law

Array = NDArray[np.float64]
PerToken = Callable[[Any], Any]  # compute of one token as a function of N, vectorised and increasing

WINDOW = (1.0, 2000.0)  # tokens per parameter between which an optimum is looked for
_WIDE = (1e-5, 1e8)  # the same for laws whose closed form says that there is one optimum, wherever it is
MOST_DRAWS = 200
_LEAST, _MOST = 1e6, 1e40  # FLOP between which the frontier is inverted
_SEARCHED = (1e10, 1e34)  # the same where each point of the frontier is a search
COUNTS = (1.0, 1e30)  # parameters or tokens between which a single one of them is looked for
_STEP = 1e-3  # in log N: curvature is judged over this distance


def six(N: Any) -> Any:
    """Compute of one token under C = 6ND."""
    return 6.0 * N


@dataclass(frozen=True, eq=False)
class Frontier:
    """Optima of B surfaces at k budgets: arrays of shape (B, k).

    Attributes:
        N, D, loss: the optimum; NaN where there is none.
        interior: whether there is one.
        edge: where there is none: -1 when the loss keeps falling towards small models, +1 towards large ones, 0 when
            the surface is not finite.
    """

    N: Array
    D: Array
    loss: Array
    interior: NDArray[np.bool_]
    edge: NDArray[np.int8]


def searched(least: float, most: float) -> tuple[float, float]:
    """The window of tokens per parameter that a query asks to search. Raises QueryError when it is empty."""
    if not least < most:
        raise QueryError(message(f"least_ratio = {least:g} and most_ratio = {most:g}", "an increasing window"))
    return least, most


def of_law(surface: Surface, N: Any, D: Any) -> dict[str, Any]:
    """The inputs of the law at model size N and tokens D; C is 6ND and M is D/N.

    Raises:
        RefusedError: the law needs an input that is none of N, D, C, M.
    """
    known: dict[str, Callable[[], Any]] = {
        "N": lambda: N,
        "D": lambda: D,
        "C": lambda: 6.0 * N * D,
        "M": lambda: D / N,
    }
    for name in surface.law.inputs:
        if name not in known:
            raise RefusedError(
                message(
                    f"the law {surface.law.id!r} needs {name}, which a plan over model size and tokens does not know",
                    "a law in N and D",
                    f"fit a law without {name}",
                )
            )
    return {name: known[name]() for name in surface.law.inputs}


def at(surface: Surface, N: ArrayLike, D: ArrayLike) -> Array:
    """Loss at model sizes and token counts, (B, k); inputs (k,) or (B, k)."""
    n, d = np.asarray(N, dtype=np.float64), np.asarray(D, dtype=np.float64)
    return surface.loss(**of_law(surface, n, d))


def rows(surface: Surface) -> int:
    """Number of parameter vectors B."""
    return int(max((np.asarray(v).shape[0] for v in surface.params.values()), default=1))


def thinned(surface: Surface) -> Surface:
    """The estimate and the first `MOST_DRAWS` draws (their order is random), for charts and side tables."""
    return surface if rows(surface) <= MOST_DRAWS + 1 else surface.take(slice(MOST_DRAWS + 1))


def frontier(
    surface: Surface, C: ArrayLike, *, per_token: PerToken | None = None, window: tuple[float, float] = WINDOW
) -> Frontier:
    """Compute-optimal N and D at budgets C.

    Args:
        surface: B parameter vectors.
        C: budgets in FLOP, (k,) for all rows, or (B, k).
        per_token: compute of one token as a function of N; None is 6N, and lets a law's closed form answer.
        window: tokens per parameter between which a numerical search looks. Laws with a closed form have one optimum
            wherever it lies, and are not cut by the window.

    Returns:
        Frontier with arrays of shape (B, k). D is `C / per_token(N)` exactly, so the budget is always spent.
    """
    cost = per_token or six
    count = rows(surface)
    budgets = np.broadcast_to(np.asarray(C, dtype=np.float64), (count, np.shape(np.atleast_1d(C))[-1]))
    if per_token is None and surface.law.optimum is not None:
        return _closed(surface, budgets)
    within = window if surface.law.optimum is None else _WIDE
    columns = [_searched(surface, budgets[:, [j]], cost, within) for j in range(budgets.shape[1])]
    return Frontier(*(np.concatenate([getattr(c, name) for c in columns], axis=1) for name in _FIELDS))


_FIELDS = ("N", "D", "loss", "interior", "edge")


def _closed(surface: Surface, C: Array) -> Frontier:
    assert surface.law.optimum is not None  # noqa: S101 - the caller has looked
    with np.errstate(all="ignore"):
        N = np.broadcast_to(np.asarray(surface.law.optimum(C, **surface.params)["N"], dtype=np.float64), C.shape)
        D = C / six(N)
        loss = at(surface, N, D)
        # The stationary point of a draw with a negative exponent is no minimum: look at both sides of it.
        up, down = N * math.exp(_STEP), N * math.exp(-_STEP)
        rises = (at(surface, up, C / six(up)) >= loss) & (at(surface, down, C / six(down)) >= loss)
    interior = np.isfinite(N) & (N > 0) & np.isfinite(loss) & rises
    blank = np.where(interior, 0.0, np.nan)
    return Frontier(N + blank, D + blank, loss + blank, interior, np.zeros(C.shape, dtype=np.int8))


def _searched(surface: Surface, C: Array, cost: PerToken, window: tuple[float, float]) -> Frontier:
    low, high = _sizes(C[:, 0], cost, window)

    def profile(N: Array) -> Array:
        return at(surface, N, C / cost(N))

    with np.errstate(all="ignore"):  # draws that are no law at all are answered as such
        found = minimise(profile, low, high, prefer_local=True)
    interior = (found.where == Where.INTERIOR) & (found.curvature > 0)
    edge = np.where(interior, 0, np.select([found.where == Where.LOWER, found.where == Where.UPPER], [-1, 1], 0))
    N = np.where(interior, found.x, np.nan)[:, None]
    loss = np.where(interior, found.value, np.nan)[:, None]
    return Frontier(N, C / cost(N), loss, interior[:, None], edge.astype(np.int8)[:, None])


def _sizes(C: Array, cost: PerToken, window: tuple[float, float]) -> tuple[Array, Array]:
    """Model sizes at which the budget buys the most and the fewest tokens per parameter of the window, each (B,)."""
    least, most = window
    if cost is six:
        return np.sqrt(C / (6.0 * most)), np.sqrt(C / (6.0 * least))
    # C / cost(N) / N falls in N: one scalar root per distinct budget and end.
    ends = []
    for ratio in (most, least):
        budgets, back = np.unique(C, return_inverse=True)
        wide = np.ones_like(budgets)
        found = root(_Tokens(cost, budgets, ratio), wide, 1e18 * wide)
        ends.append(np.where(found.found, found.x, 1.0)[back])
    return ends[0], ends[1]


@dataclass(frozen=True, eq=False)
class _Tokens:
    """log of (tokens per parameter that the budgets buy at size N) / ratio."""

    cost: PerToken
    budgets: Array
    ratio: float

    def __call__(self, N: Array) -> Array:
        return np.asarray(np.log(self.budgets[:, None] / (self.cost(N) * N * self.ratio)))


@dataclass(frozen=True, eq=False)
class Inverse:
    """Least compute that reaches a loss, for B surfaces.

    Attributes:
        C: (B,) FLOP; inf where it cannot be reached, NaN where the surface gives no answer.
        N, D, loss: (B,) where it is reached.
        reached: (B,) bool.
    """

    C: Array
    N: Array
    D: Array
    loss: Array
    reached: NDArray[np.bool_]


def least_compute(
    surface: Surface,
    target: ArrayLike,
    *,
    window: tuple[float, float] = WINDOW,
    between: tuple[float, float] = (_LEAST, _MOST),
    accuracy: float = 1e-11,
) -> Inverse:
    """Least compute, under C = 6ND, whose optimum reaches a loss: the frontier inverted.

    Args:
        target: loss to reach, scalar or (B,).
        between: FLOP between which the answer is known to lie, if it is.
        accuracy: relative, of the compute.

    Returns:
        Inverse. Unreachable (C = inf) is a loss that the frontier still exceeds at the upper end; where a searched
        frontier ends before it gets there, the answer is NaN.
    """
    count = rows(surface)
    goal = np.log(np.broadcast_to(np.asarray(target, dtype=np.float64), (count,)))
    if surface.law.optimum is None:
        low, high, never = _brackets(surface, goal, window, between)
    else:
        low, high, never = np.full(count, between[0]), np.full(count, between[1]), np.zeros(count, dtype=np.bool_)

    def excess(C: Array) -> Array:
        if surface.law.optimum is not None:
            N = surface.law.optimum(C, **surface.params)["N"]
            return np.asarray(np.log(at(surface, N, C / six(N))))
        return np.asarray(np.log(frontier(surface, C, window=window).loss))

    found = root(excess, low, high, target=goal, rtol=accuracy)
    C = np.where(found.found, found.x, np.nan)
    if surface.law.optimum is not None:
        C = np.where(found.where == Where.UPPER, np.inf, C)
    C = np.where(never, np.inf, C)
    reached = np.isfinite(C)
    best = frontier(surface, np.where(reached, C, 1.0)[:, None], window=window)
    blank = np.where(reached, 0.0, np.nan)
    return Inverse(C, best.N[:, 0] + blank, best.D[:, 0] + blank, best.loss[:, 0] + blank, reached)


SPLIT = ("a law with a compute-optimal split", "fit chinchilla or skaling")
"""What a question that needs a split expects, and what to try."""


def must_split(law: Law, said: str, expected: str, hint: str = "") -> None:
    """Refuse a law that may not be asked for the compute-optimal split.

    Args:
        said: what it therefore cannot do: "does not say how to split compute".
    """
    if "compute-optimal" not in law.valid_for:
        reason = law.refuses.get("compute-optimal", "it has no compute-optimal split")
        raise RefusedError(message(f"The law {law.id!r} {said}: {reason}", expected, hint))


def reaching(
    surface: Surface, target: ArrayLike, held: Mapping[str, float], window: tuple[float, float] = WINDOW
) -> tuple[Array, Array, str]:
    """Model size and tokens that reach a loss with the least compute, or with what is held.

    Args:
        target: loss to reach, scalar or (B,).
        held: empty, or one of params, tokens, ratio (tokens per parameter) -> value.

    Returns:
        N and D, each (B,), infinite where the loss cannot be reached and NaN where the surface gives no answer; and
        what binds, in words.

    Raises:
        RefusedError: nothing is held and the law does not say how to split compute.
    """
    if not held:
        must_split(
            surface.law,
            "does not say how to split compute",
            "params, tokens or ratio",
            "reach with a held ratio, e.g. ratio=20",
        )
        best = least_compute(surface, target, window=window)
        lost = np.where(best.reached, 0.0, best.C)
        return np.where(best.reached, best.N, lost), np.where(best.reached, best.D, lost), "the target loss"
    name, value = next(iter(held.items()))
    path: Callable[[Array], tuple[Array, Array]]
    if name == "params":
        path, shown = (lambda x: (np.full_like(x, value), x)), f"params = {format_short(value)}"
    elif name == "tokens":
        path, shown = (lambda x: (x, np.full_like(x, value))), f"tokens = {format_short(value)}"
    else:
        path, shown = (lambda x: (x, value * x)), f"ratio = {value:g}"
    wide = np.ones(rows(surface))
    found = root(lambda x: at(surface, *path(x)), COUNTS[0] * wide, COUNTS[1] * wide, target=np.asarray(target))
    x = np.where(found.found, found.x, np.where(found.where == Where.UPPER, np.inf, np.nan))
    N, D = path(x)
    return N, D, f"the target loss and {shown}"


def _brackets(
    surface: Surface, goal: Array, window: tuple[float, float], between: tuple[float, float]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Neighbouring budgets between which a searched frontier passes the goal, each (B,); and who never will."""
    low, high = max(between[0], _SEARCHED[0]), min(between[1], _SEARCHED[1])
    ladder = np.geomspace(low, high, 2 + math.ceil(math.log10(high / low)))
    with np.errstate(all="ignore"):
        height = np.log(frontier(surface, ladder, window=window).loss) - goal[:, None]
    passes = (height[:, :-1] >= 0) & (height[:, 1:] <= 0)
    place = np.argmax(passes, axis=1)
    # Without a passage any bracket will do: the root finder reports that it holds none.
    never = ~passes.any(axis=1) & (height[:, -1] > 0)
    return ladder[place], ladder[place + 1], never

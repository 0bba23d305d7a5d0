# SPDX-License-Identifier: Apache-2.0
"""What a mixture is judged by: the weighted losses of laws or of a regression, with exact first and second slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, RefusedError, message
from forescale.fitting.estimators import regmix
from forescale.fitting.estimators.regmix import Refits
from forescale.laws._terms import domain_names
from forescale.numerics.simplex import Shares, least_shares
from forescale.planning._plan import Basis

Array = NDArray[np.float64]
Slopes = tuple[Array, Array, Array]

FAMILIES = ("mixing-exponential", "mixture-joint", "mixture-additive")
TRIED = 6
"""Mixtures of the runs from which a search of a regression begins, besides the middle of what is allowed."""


class Judge(Protocol):
    """The loss of mixtures, under B parameter vectors."""

    @property
    def rows(self) -> int:
        """B."""

    @property
    def convex(self) -> bool:
        """Whether the loss is known to be convex in the shares."""

    def smooth(self, p: Array, which: NDArray[np.intp]) -> Slopes:
        """Values (k,), gradients (k, M), Hessians (k, M, M) at shares (k, M) under the vectors `which`."""

    def loss(self, shares: Array) -> Array:
        """(B, k) of mixtures (k, M)."""

    def estimate(self, shares: Array) -> Array:
        """(k,) of mixtures (k, M), under the first vector."""


@dataclass(frozen=True, eq=False)
class Exponential:
    """c + prod K_j^p_j (Ye et al. 2024), (B,) and (B, M)."""

    c: Array
    log_K: Array

    convex = True

    def slopes(self, p: Array, which: NDArray[np.intp]) -> Slopes:
        k = self.log_K[which]
        over = np.exp((k * p).sum(axis=1))
        return (
            self.c[which] + over,
            over[:, None] * k,
            over[:, None, None] * k[:, :, None] * k[:, None, :],
        )


@dataclass(frozen=True, eq=False)
class Scaled:
    """E + 1 / sum C p^gamma + A.p / N^alpha + B.p / D^beta at one N and D (Shukor et al. 2025), (B,) and (B, M)."""

    level: Array
    C: Array
    gamma: Array
    linear: Array

    @property
    def convex(self) -> bool:
        """Where every power is at most one: the reciprocal of a positive concave function."""
        return bool((self.gamma <= 1.0).all())

    def slopes(self, p: Array, which: NDArray[np.intp]) -> Slopes:
        C, gamma, linear = self.C[which], self.gamma[which], self.linear[which]
        share = np.maximum(p, 1e-300)
        term = C * share**gamma
        share = np.maximum(share, 1e-100)  # a power above zero of less than that is zero, and so is its slope
        use = term.sum(axis=1)
        slope = gamma * term / share
        bend = (gamma - 1.0) * slope / share
        hessian = 2.0 / use[:, None, None] ** 3 * slope[:, :, None] * slope[:, None, :]
        place = np.arange(p.shape[1])
        hessian[:, place, place] -= bend / use[:, None] ** 2
        value = self.level[which] + 1.0 / use + (linear * p).sum(axis=1)
        return value, linear - slope / use[:, None] ** 2, hessian


@dataclass(frozen=True, eq=False)
class OfLaws:
    """The weighted mean of several laws over the same domains."""

    parts: Sequence[Exponential | Scaled]
    weights: Array
    rows: int

    @property
    def convex(self) -> bool:
        return all(part.convex for part in self.parts)

    def smooth(self, p: Array, which: NDArray[np.intp]) -> Slopes:
        found = [part.slopes(p, which) for part in self.parts]
        value, slope, bend = (sum(w * one[i] for w, one in zip(self.weights, found)) for i in range(3))
        return np.asarray(value), np.asarray(slope), np.asarray(bend)

    def loss(self, shares: Array) -> Array:
        every = np.arange(self.rows)
        columns = [self.smooth(np.broadcast_to(p, (self.rows, p.size)), every)[0] for p in shares]
        return np.stack(columns, axis=1)

    def estimate(self, shares: Array) -> Array:
        return self.smooth(shares, np.zeros(len(shares), dtype=np.intp))[0]

    def losses(self, p: Array) -> list[float]:
        """The loss of each law at one mixture (M,), under the first vector."""
        return [float(part.slopes(p[None], np.zeros(1, dtype=np.intp))[0][0]) for part in self.parts]


@dataclass(frozen=True, eq=False)
class OfRuns:
    """A regression on runs and its refits."""

    refits: Refits

    convex = False

    @property
    def rows(self) -> int:
        return len(self.refits.intercept)

    def smooth(self, p: Array, which: NDArray[np.intp]) -> Slopes:
        return self.refits.smooth(p, which)

    def loss(self, shares: Array) -> Array:
        return self.refits.loss(shares)

    def estimate(self, shares: Array) -> Array:
        state = self.refits.state
        return regmix.predict(state, dict(zip(state.columns, shares.T)))


def of_laws(
    bases: Sequence[Basis], weights: Array, N: float | None, D: float | None, rows: int
) -> tuple[OfLaws, tuple[str, ...]]:
    """The judge of several fits, and the names of their domains.

    Raises:
        RefusedError: fits of other domains.
        QueryError: laws of size and tokens without params and tokens.
    """
    first: tuple[str, ...] = ()
    parts: list[Exponential | Scaled] = []
    for basis in bases:
        law = basis.surface.law
        family = law.id.partition("(")[0]
        columns = law.inputs if family == FAMILIES[0] else law.inputs[2:]
        first = first or columns
        if set(columns) != set(first):
            raise RefusedError(
                message(f"fits over {', '.join(first)} and over {', '.join(columns)}", "laws over the same domains")
            )

        params = {name: value[:, 0] for name, value in basis.surface.params.items()}
        if family == FAMILIES[0]:
            parts.append(Exponential(params["c"], np.log(_each(basis, "K", first))))
            continue
        if N is None or D is None:
            raise QueryError(
                message(
                    f"{law.id!r} is a law of size and tokens as well", "params and tokens", "params='7B', tokens='1T'"
                )
            )
        small, short = N ** -params["alpha"], D ** -params["beta"]
        joint = family == "mixture-joint"
        level, linear = params["E"], np.zeros((rows, len(first)))
        for head, factor in (("A", small), ("B", short)):
            if joint:
                linear = linear + _each(basis, head, first) * factor[:, None]
            else:
                level = level + params[head] * factor
        parts.append(Scaled(level, _each(basis, "C", first), _each(basis, "gamma", first), linear))
    return OfLaws(parts, weights / weights.sum(), rows), tuple(name.removeprefix("weight_") for name in first)


def _each(basis: Basis, head: str, domains: tuple[str, ...]) -> Array:
    """(B, M) the parameters of one kind, in the order of the domains."""
    return np.stack([basis.surface.params[name][:, 0] for name in domain_names(head, domains)], axis=1)


def best(judge: Judge, lower: Array, upper: Array, near: Array | None = None) -> Shares:
    """The best mixtures under all vectors. A search that may have several ends begins at several places.

    Args:
        near: (k, M) mixtures to begin at, best first, besides the middle of what is allowed.
    """
    if judge.convex or near is None:
        return least_shares(judge.smooth, lower, upper, judge.rows, convex=judge.convex)
    starts = np.concatenate([np.full((1, lower.size), 1.0 / lower.size), near[:TRIED]])
    zero = np.zeros(len(starts), dtype=np.intp)
    tried = least_shares(lambda p, which: judge.smooth(p, zero[which]), lower, upper, len(starts), starts)
    begin = tried.p[int(np.nanargmin(tried.value))] if np.isfinite(tried.value).any() else None
    return least_shares(judge.smooth, lower, upper, judge.rows, begin)


def bounds(
    names: Sequence[str],
    least: Mapping[str, float],
    most: Mapping[str, float],
    available: Mapping[str, float],
    tokens: float | None,
    passes: float,
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """(M,) bounds of the shares, and where the upper one is what the tokens of the domain allow.

    Raises:
        QueryError: names that are no domains, bounds that no mixture meets.
    """  # fmt: skip
    for field, given in (("least", least), ("most", most), ("available", available)):
        for name in given:
            if name not in names:
                raise QueryError(message(f"{field} names {name!r}", "one of " + ", ".join(names)))
    if available and tokens is None:
        raise QueryError(message("available without tokens", "how many tokens are trained on", "tokens='1T'"))
    low = np.array([least.get(name, 0.0) for name in names])
    high = np.array([most.get(name, 1.0) for name in names])
    supply = np.array([available.get(name, np.inf) * passes / (tokens or 1.0) for name in names])
    held = np.minimum(high, supply)
    tight = [name for name, a, b in zip(names, low, held) if a > b * (1 + 1e-12)]
    if not tight and abs(low.sum() - 1.0) < 1e-9:
        raise QueryError(message("least sums to one", "room for a choice", "lower least, or compare with given"))
    if tight or not low.sum() < 1.0 < held.sum() + 1e-12:
        limits = (("least", least), ("most", most), ("available and tokens", available))
        fields = " and ".join(name for name, given in limits if given)
        where = f"{', '.join(tight)}: " if tight else ""
        raise QueryError(
            message(
                f"{where}{fields} allow no mixture: sums between {low.sum():.4g} and {held.sum():.4g}",
                "bounds between which shares can sum to one",
                "lower least, raise most, or allow more passes",
            )
        )
    return low, np.minimum(held + 1e-9, 1.0), supply < high

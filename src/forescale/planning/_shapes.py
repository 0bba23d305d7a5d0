# SPDX-License-Identifier: Apache-2.0
"""Shapes of least loss: the best width of a size, the best size of a budget, and the tables around them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.costs.shapes import family_width
from forescale.laws.gemstones import best_width
from forescale.numerics.optimum import Minimum, Where, minimise, root
from forescale.planning._curves import banded
from forescale.planning._intervals import of_estimate
from forescale.planning._plan import Grounds, Table

if TYPE_CHECKING:
    from forescale.planning.shape import ShapeQuery

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

RATIOS = (1.0, 2000.0)
"""Tokens per parameter between which a size is looked for."""

_FACTORS = (1 / 16, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 16.0)


# ------------------------------------------------------------------------------------------------- sizes and shapes


@dataclass(frozen=True, eq=False)
class Shape:
    """(B,) or (B, k) widths and depths."""

    width: Array
    depth: Array

    @property
    def aspect(self) -> Array:
        """Width over depth."""
        return self.width / self.depth


@dataclass(frozen=True, eq=False)
class Best:
    """(B,) the best size at a budget, its shape and loss; `found` where it was searched."""

    N: Array
    shape: Shape
    loss: Array
    found: Minimum | None

    def first(self) -> Best:
        """Of the estimate alone."""
        return Best(self.N[:1], Shape(self.shape.width[:1], self.shape.depth[:1]), self.loss[:1], self.found)


@dataclass(frozen=True, eq=False)
class Asked:
    """One question: the law, and how blocks and vocabulary are counted."""

    grounds: Grounds
    query: ShapeQuery

    @property
    def matrices(self) -> float:
        """Parameters of the vocabulary over the width."""
        return float(self.query.vocab) * (1.0 if self.query.tied else 2.0)

    def depth(self, N: Array, width: Array) -> Array:
        """Blocks of a model of N parameters and that width."""
        return (N - self.matrices * width) / (self.query.block * width**2)

    def of_aspect(self, N: Array, aspect: Any) -> Shape:
        """The shape of N parameters with that width / depth."""
        width = family_width(N, aspect, block=self.query.block, matrices=self.matrices)
        return Shape(width, width / aspect)

    def of_size(self, N: Array) -> Shape:
        """The best shape of N parameters inside the window: (B, k) for N (B, k)."""
        known = {name: self.grounds.param("loss", name)[:, None] for name in ("A", "alpha", "B", "beta")}
        width = best_width(N, **known, block=self.query.block, matrices=self.matrices)
        ends = [self.of_aspect(N, end).width for end in (self.query.least_aspect, self.query.most_aspect)]
        width = np.clip(width, *ends)  # the loss is convex in log width
        return Shape(width, self.depth(N, width))

    def loss(self, shape: Shape, N: Array, C: Any) -> Array:
        """(B, k) loss of a shape of N parameters that spends C."""
        return self.grounds.values("loss", width=shape.width, depth=shape.depth, N=N, D=C / (6.0 * N))

    def best(self, C: float, aspect: float | None = None) -> Best:
        """The best size at a budget, or the one that is settled, with the best shape or one of that aspect."""

        def shaped(N: Array) -> Shape:
            return self.of_size(N) if aspect is None else self.of_aspect(N, aspect)

        count = self.grounds.rows
        found: Minimum | None = None
        if self.query.params is not None:
            N = np.full((count, 1), self.query.params)
        else:
            ones = np.ones(count)
            low, high = (math.sqrt(C / (6.0 * ratio)) * ones for ratio in RATIOS[::-1])
            found = minimise(lambda n: self.loss(shaped(n), n, C), low, high)
            N = np.where(found.interior, found.x, np.nan)[:, None]
        shape = shaped(N)
        return Best(N[:, 0], Shape(shape.width[:, 0], shape.depth[:, 0]), self.loss(shape, N, C)[:, 0], found)

    def make_up(self, plan: Best, C: float, aspect: Array, goal: Array) -> Array:
        """(B,) extra compute, as a share, with which models of that aspect reach the loss `goal`.

        They keep the tokens per parameter of the plan: N and D grow alike. Infinite where they never reach it.
        """
        size, held = plan.N[:, None], aspect[:, None]

        def along(x: Array) -> Array:
            N = size * np.sqrt(x)
            return self.loss(self.of_aspect(N, held), N, C * x)

        ones = np.ones_like(goal)
        found = root(along, 0.999 * ones, 1e12 * ones, target=goal, rtol=1e-10)
        never = np.where(found.where == Where.UPPER, np.inf, np.where(found.where == Where.LOWER, 0.0, np.nan))
        return np.where(found.found, np.maximum(found.x - 1.0, 0.0), never)

    def growth(self) -> Array:
        """(B,) a, where the best width grows as N^a: beta / (alpha + 2 beta), without a vocabulary."""
        alpha, beta = (self.grounds.param("loss", name) for name in ("alpha", "beta"))
        return beta / (alpha + 2.0 * beta)


# -------------------------------------------------------------------------------------------------------- tables


def mistakes(asked: Asked, plan: Best, C: float, goal: Array) -> Table:
    """Other aspect ratios for the same parameters and tokens."""
    lines: list[Row] = []
    for factor in _FACTORS:
        aspect = plan.shape.aspect * factor
        shape = asked.of_aspect(plan.N[:, None], aspect[:, None])
        loss = of_estimate(asked.loss(shape, plan.N[:, None], C))
        extra = 100.0 * of_estimate(asked.make_up(plan, C, aspect, goal))
        best = of_estimate(goal)
        lines.append(
            (
                factor, of_estimate(aspect), of_estimate(shape.width), of_estimate(shape.depth), loss,
                100.0 * (loss / best - 1.0), extra,
            )
        )  # fmt: skip
    return Table(
        "sensitivity",
        "What another width / depth costs, for the same parameters and tokens",
        (
            ("of plan", "x"), ("width/depth", ""), ("width", "count"), ("depth", "count"), ("loss", "loss"),
            ("loss +", "%"), ("make up", "%"),
        ),
        tuple(lines),
        "make up: extra compute with that shape, at the same tokens per parameter, for the best loss.",
    )  # fmt: skip


def buildable(asked: Asked, plan: Best, C: float) -> Table:
    """Whole shapes of about the plan's size, nearest the best loss first."""
    query, size = asked.query, of_estimate(plan.N)
    middle = max(round(of_estimate(plan.shape.width) / query.multiple), 1)
    lines: list[Row] = []
    for step in sorted({max(middle + i, 1) for i in (-4, -2, -1, 0, 1, 2, 4)}):
        width = float(step * query.multiple)
        depth = float(max(round(float(asked.depth(np.array(size), np.array(width)))), 1))
        N = query.block * width**2 * depth + asked.matrices * width
        shape = Shape(np.array([[width]]), np.array([[depth]]))
        loss = of_estimate(asked.loss(shape, np.array([[N]]), C))
        lines.append((width, depth, width / depth, N, C / (6.0 * N), loss, loss - of_estimate(plan.loss)))
    lines.sort(key=lambda line: float(line[5] or 0.0))
    return Table(
        "alternatives",
        "Shapes that can be built, for the same compute",
        (
            ("width", "count"), ("depth", "count"), ("width/depth", ""), ("N", "parameters"), ("D", "tokens"),
            ("loss", "loss"), ("loss +", "loss"),
        ),
        tuple(lines),
    )  # fmt: skip


def budgets_table(asked: Asked, C: float) -> Table:
    """The best shape at other budgets."""
    budgets = C * np.array([[0.01], [0.1], [1.0], [10.0], [100.0]])

    def along(N: Array) -> Array:
        """All budgets at once, though there is one parameter vector."""
        flat = N.reshape(1, -1)
        spent = np.broadcast_to(budgets, N.shape).reshape(1, -1)
        return asked.loss(asked.of_size(flat), flat, spent).reshape(N.shape)

    if asked.query.params is not None:
        N = np.full(budgets.size, asked.query.params)
    else:
        low, high = (np.sqrt(budgets[:, 0] / (6.0 * ratio)) for ratio in RATIOS[::-1])
        found = minimise(along, low, high)
        N = np.where(found.interior, found.x, np.nan)
    shape, loss = asked.of_size(N[None, :]), along(N[:, None])[:, 0]
    lines: list[Row] = [
        (
            float(budgets[i, 0]), float(shape.width[0, i]), float(shape.depth[0, i]), float(shape.aspect[0, i]),
            float(N[i]), float(budgets[i, 0] / (6.0 * N[i])), float(loss[i]),
        )
        for i in range(N.size)
    ]  # fmt: skip
    return Table(
        "budgets",
        "The best shape at other budgets",
        (
            ("C", "FLOP"), ("width", "count"), ("depth", "count"), ("width/depth", ""), ("N", "parameters"),
            ("D", "tokens"), ("loss", "loss"),
        ),
        tuple(lines),
        "" if np.isfinite(N).all() else f"-: no best size between {RATIOS[0]:g} and {RATIOS[1]:,.0f} tokens per "
        "parameter.",
    )  # fmt: skip


def curves(asked: Asked, plan: Best, C: float, level: float) -> Frozen[str, Frozen[str, Array]]:
    """Loss above the lowest over width / depth, for the same parameters and tokens."""
    aspect = of_estimate(plan.shape.aspect) * np.geomspace(1 / 16, 16, 65)
    N = np.broadcast_to(plan.N[:, None], (plan.N.size, aspect.size))
    loss = asked.loss(asked.of_aspect(N, aspect), N, C)
    above = 100.0 * (loss / loss.min(axis=1, keepdims=True) - 1.0)
    return Frozen({"aspect": banded({"width / depth": aspect}, "loss + %", above, level)})

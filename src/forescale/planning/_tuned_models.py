# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning curves of candidate models: what ranks them, and the tables and lines that compare them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.laws.rectified import knee, needed
from forescale.planning._curves import banded
from forescale.planning._intervals import interval, of_estimate
from forescale.planning._plan import Basis, Table

Array = NDArray[np.float64]

_SHOWN = 6
"""Models that the chart shows."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One model: its ground, and the parameters of its curve (B,)."""

    name: str
    basis: Basis
    params: Mapping[str, Array]

    def loss(self, D: Array) -> Array:
        """(B, k) at k sizes."""
        return self.basis.surface.loss(D=D)

    @property
    def knee(self) -> Array:
        """(B,) examples at which the pre-power phase ends."""
        return np.asarray(knee(self.params["D_l"], self.params["beta"]))

    @property
    def seen(self) -> float:
        """Most examples of the fit; NaN when unknown."""
        return float(self.basis.surface.fitted_range.get("D", (math.nan, math.nan))[1])


def score(curve: Curve, target: float | None, examples: float | None) -> Array:
    """(B,) what ranks the models: examples for the target, or loss at the examples."""
    if target is not None:
        return np.asarray(needed(target, **curve.params))
    return curve.loss(np.array([examples or math.nan]))[:, 0]


def models(order: list[Curve], target: float | None, examples: float | None, unit: str) -> list[Table]:
    """Every model: its loss or its examples, with the interval."""
    if len(order) == 1:
        return []
    kind = "samples" if target is not None else unit
    lines: list[tuple[float | str | None, ...]] = []
    for curve in order:
        scored = score(curve, target, examples)
        low, high = interval(scored, curve.basis.level) or (None, None)
        middle = of_estimate(curve.knee)
        lines.append(
            (
                curve.name,
                of_estimate(scored),
                low,
                high,
                middle,
                of_estimate(curve.params["E"]),
                "all before the knee" if middle > curve.seen else "",
            )
        )
    what = "examples" if target is not None else "loss"
    return [
        Table(
            "alternatives",
            "The models, best first",
            (
                ("model", ""), (what, kind), ("from", kind), ("to", kind),
                ("knee", "samples"), ("floor", unit), ("data", ""),
            ),
            tuple(lines),
            "Models whose intervals overlap that of the first are not told apart: fine-tune them on larger sets.",
        )
    ]  # fmt: skip


def crossings(curves: list[Curve], size: float) -> list[Table]:
    """Which model is best at which size of the set, by the estimates."""
    if len(curves) == 1:
        return []
    least = min((c.basis.surface.fitted_range.get("D", (size, size))[0] for c in curves), default=size)
    sizes = np.geomspace(least, 10.0 * max(size, least), 400)
    losses = np.stack([curve.loss(sizes)[0] for curve in curves])
    first = np.argmin(np.where(np.isnan(losses), np.inf, losses), axis=0)
    starts = np.concatenate([[0], 1 + np.flatnonzero(np.diff(first))])
    lines = tuple((float(sizes[i]), curves[int(first[i])].name, float(losses[first[i], i])) for i in starts)
    return [
        Table(
            "crossings",
            "Which model is best from how many examples on",
            (("from", "samples"), ("model", ""), ("loss", "loss")),
            lines,
            "By the estimates: a model that is best on a small set need not be on a large one.",
        )
    ]


def ladder(best: Curve, target: float | None, size: float) -> Table:
    """What a slightly different target takes, or what other sizes give."""
    if target is not None:
        lines: list[tuple[float | str | None, ...]] = []
        for change in (0.02, 0.01, 0.005, 0.0, -0.005, -0.01, -0.02):
            sizes = needed(target * (1 + change), **best.params)
            low, high = interval(sizes, best.basis.level) or (None, None)
            lines.append((target * (1 + change), of_estimate(sizes), low, high))
        return Table(
            "sensitivity",
            "What a slightly different target takes",
            (("loss", "loss"), ("examples", "samples"), ("from", "samples"), ("to", "samples")),
            tuple(lines),
        )
    factors = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    losses = best.loss(size * factors)
    rows = []
    for k, factor in enumerate(factors):
        low, high = interval(losses[:, k], best.basis.level) or (None, None)
        rows.append((float(factor), float(size * factor), float(losses[0, k]), low, high))
    return Table(
        "sensitivity",
        "What fewer and more examples give",
        (("factor", "x"), ("examples", "samples"), ("loss", "loss"), ("from", "loss"), ("to", "loss")),
        tuple(rows),
    )


def drawn(order: list[Curve], size: float, level: float) -> dict[str, Frozen[str, Array]]:
    """Loss against examples: the chosen model with its band, the next ones as lines."""
    best = order[0]
    least = best.basis.surface.fitted_range.get("D", (size / 100.0, size))[0]
    sizes = np.geomspace(min(least, size / 10.0), 4.0 * max(size, best.seen if best.seen > 0 else size), 60)
    losses = best.loss(sizes)
    curve = dict(banded({"examples": sizes}, "loss" if len(order) == 1 else best.name, losses, level))
    for other in order[1:_SHOWN]:
        curve[other.name] = other.loss(sizes)[0]
    return {"loss": Frozen(curve)}

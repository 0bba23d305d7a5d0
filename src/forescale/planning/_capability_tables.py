# SPDX-License-Identifier: Apache-2.0
"""What stands beside a score predicted from benchmarks: tests, components, families, the curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.planning._capability import Line, Linked, Models, linked
from forescale.planning._curves import band
from forescale.planning._plan import Table

if TYPE_CHECKING:
    from forescale.fitting.estimators.observational import Capabilities

Array = NDArray[np.float64]


def mean_squares(predicted: Array, seen: Array, rows: NDArray[np.bool_]) -> float:
    return float(np.mean((predicted - seen)[rows] ** 2)) if rows.any() else math.nan


def tested(by: Linked, alone: Linked | None, models: Models) -> Table:
    """Errors on models that were not learned from: those beyond the cut, and each family without itself."""
    assert models.score is not None  # noqa: S101 - the caller has looked
    seen = models.score
    beyond = np.isfinite(seen) & ~models.space_rows
    counted = beyond & np.isfinite(models.C)
    inside = by.rows & np.isfinite(models.C)
    rows: list[tuple[float | str | None, ...]] = []
    if beyond.any():
        rows.append(("components", "all beyond the cut", int(beyond.sum()), mean_squares(by.scores(), seen, beyond)))
    for name, way in (("components", by), ("compute alone", alone)):
        if way is None:
            continue
        if counted.any():
            rows.append(
                (name, "beyond the cut, compute known", int(counted.sum()), mean_squares(way.scores(), seen, counted))
            )
        rows.append((name, "families left out one by one", int(inside.sum()), mean_squares(way.apart, seen, inside)))
    return Table(
        "backtest",
        "Errors on models that were not learned from",
        (("score by", ""), ("models", ""), ("count", "count"), ("mean squared error", "")),
        tuple(rows),
    )


def more_components(space: Capabilities, models: Models, codes: NDArray[np.intp], by: Linked) -> Table:
    """The same score by fewer and by more components."""
    assert models.score is not None  # noqa: S101 - the caller has looked
    k = by.x.shape[1]
    rows: list[tuple[float | str | None, ...]] = []
    for j in sorted({*range(1, min(5, len(models.benchmarks)) + 1), k}):
        way = by if j == k else linked(space.standard(models.runs.columns, j), models.score, models.learned, codes, 0)
        rows.append(
            (
                j,
                100.0 * float(space.explained[:j].sum()),
                float(way.scores()[models.place]),
                float(way.left[0]),
                mean_squares(way.apart, models.score, models.learned),
            )
        )
    return Table(
        "sensitivity",
        "The same score by other numbers of components",
        (
            ("components", "count"), ("variance", "%"), ("score", ""), ("mean squares left", ""),
            ("families left out", ""),
        ),
        tuple(rows),
    )  # fmt: skip


def components(space: Capabilities, models: Models) -> Table:
    shown = min(3, len(models.benchmarks))
    rows: list[tuple[float | str | None, ...]] = [
        ("share of variance", *(float(v) for v in space.explained[:shown])),
    ]
    for i, name in enumerate(space.benchmarks):
        rows.append((name, *(float(space.axes[j, i]) for j in range(shown))))
    return Table(
        "components",
        "Components of the benchmarks",
        (("benchmark", ""), *((f"PC{j + 1}", "") for j in range(shown))),
        tuple(rows),
        "Of the models that are learned from; missing scores are filled from these models alone.",
    )


def families(every: list[Line], first: float, level: float) -> Table:
    rows = tuple(
        (line.family, line.models, line.r2, line.rise, *(line.worth(first, level) if line.rise > 0 else (None,) * 3))
        for line in every
    )
    return Table(
        "alternatives",
        "What it is worth in other families",
        (
            ("family", ""), ("models", "count"), ("R2", ""), ("PC1 per decade", ""), ("worth", "FLOP"),
            ("from", "FLOP"), ("to", "FLOP"),
        ),
        rows,
        "A line through two models fits exactly and says nothing about its error.",
    )  # fmt: skip


def along(by: Linked, place: int, spread: float, level: float) -> Frozen[str, Array]:
    """The score along the first component, from the models learned from to the target; the others as the target's."""
    from forescale.fitting.estimators.observational import link

    x = by.x[by.rows]
    here = by.x[place]
    grid = np.tile(here, (41, 1))
    grid[:, 0] = np.linspace(min(x[:, 0].min(), here[0]), max(x[:, 0].max(), here[0]), 41)
    values = by.at(grid)
    low, high = band(values, level)
    found = {"PC1": grid[:, 0] * spread, "score": values[0], "lower": low, "upper": high}
    for i in range(1, len(by.theta)):
        found[f"link {i + 1}"] = link(grid, by.theta[i])
    return Frozen(found)

# SPDX-License-Identifier: Apache-2.0
"""Around a mixture: what other mixtures cost, how far each share may move within the noise of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.planning._mixtures import Judge
from forescale.planning._plan import Table

Array = NDArray[np.float64]

POINTS = 201
LINES = 4  # domains that the chart shows


def moved(p: Array, j: int, shares: Array) -> Array:
    """(k, M) the mixture with the share of one domain changed and the others in proportion."""
    rest = np.delete(p, j)
    rest = rest / rest.sum() if rest.sum() > 1e-12 else np.full(rest.size, 1.0 / rest.size)
    return np.insert((1.0 - shares)[:, None] * rest, j, shares, axis=1)


def around(
    judge: Judge, names: tuple[str, ...], p: Array, low: Array, high: Array, noise: float, others: Mapping[str, Array]
) -> list[Table]:
    """Tables "sensitivity" and "alternatives"."""
    grid = np.linspace(0.0, 1.0, POINTS)
    best = float(judge.estimate(p[None])[0])
    rows: list[tuple[float | str | None, ...]] = []
    for name, q in others.items():
        level = float(judge.estimate(q[None])[0])
        rows.append((f"{name} mixture", level, _above(level, best)))
    ends: list[tuple[float | str | None, ...]] = []
    for j in np.argsort(-p, kind="stable"):
        shares = np.sort(np.append(grid, p[j]))
        loss = judge.estimate(moved(p, j, shares))
        without = float(loss[0])
        rows.append((f"without {names[j]}", without, _above(without, best)))
        within = shares[loss <= best * (1.0 + noise) * (1 + 1e-12)]
        held = 100.0 * np.clip([within.min(), within.max()], low[j], high[j])
        ends.append((names[j], 100.0 * float(p[j]), float(held[0]), float(held[1])))
    return [
        Table(
            "sensitivity",
            "What other mixtures cost",
            (("mixture", ""), ("loss", "loss"), ("loss +", "%")),
            tuple(rows),
            "without: the share of that domain is zero, the others grow in proportion.",
        ),
        Table(
            "alternatives",
            f"How far a share may move while the loss stays within {100 * noise:.2g} %, the scatter of one run",
            (("domain", ""), ("share", "%"), ("from", "%"), ("to", "%")),
            tuple(ends),
            "One share moves at a time, the others in proportion, within the bounds.",
        ),
    ]


def curves(
    judge: Judge, names: tuple[str, ...], p: Array, low: Array, high: Array
) -> Mapping[str, Mapping[str, Array]]:
    """The loss over the share of each of the largest domains, the others in proportion."""
    shares = np.linspace(0.0, 1.0, 61)
    lines = {names[j]: judge.estimate(moved(p, int(j), shares)) for j in np.argsort(-p, kind="stable")[:LINES]}
    return {"loss": Frozen({"share": shares, **lines})}


def _above(loss: float, best: float) -> float:
    """Per cent above the best; zero to the rounding of a search that ends just inside its bounds."""
    above = 100.0 * (loss / best - 1.0)
    return 0.0 if abs(above) < 1e-6 else above

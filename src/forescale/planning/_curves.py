# SPDX-License-Identifier: Apache-2.0
"""What a chart of a plan needs: the loss along the budget, and the frontier out to the budget and beyond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.planning._evidence import compute_seen
from forescale.planning._frontier import at, frontier, thinned
from forescale.planning._intervals import interval
from forescale.planning._plan import Basis

if TYPE_CHECKING:
    from forescale.fitting.surface import Surface

Array = NDArray[np.float64]


def both(basis: Basis, C: float, N: Array, window: tuple[float, float]) -> Frozen[str, Frozen[str, Array]]:
    """Curves "profile" (N, D, loss, lower, upper at the budget) and "frontier" (C, N, D, loss, lower, upper)."""
    few = thinned(basis.surface)
    sizes = float(N[0]) * np.geomspace(1 / 16, 16, 49)
    tokens = C / (6.0 * sizes)
    heights = at(few, sizes, tokens)
    low, high = band(heights, basis.level)
    profile = Frozen({"N": sizes, "D": tokens, "loss": heights[0], "lower": low, "upper": high})
    return Frozen({"profile": profile, "frontier": along(basis, few, C, window)})


def along(basis: Basis, few: Surface, C: float, window: tuple[float, float]) -> Frozen[str, Array]:
    """The frontier from the smallest compute of the fit (or C / 1000) to 3 C."""
    known = basis.surface.fitted_range.get("C")
    start = min(float(known[0]), C / 10) if known is not None and known[0] > 0 else C / 1000
    budgets = np.geomspace(start, 3.0 * max(C, compute_seen(basis) or C), 33)
    best = frontier(few, budgets, window=window)
    low, high = band(best.loss, basis.level)
    return Frozen({"C": budgets, "N": best.N[0], "D": best.D[0], "loss": best.loss[0], "lower": low, "upper": high})


def banded(x: Mapping[str, Array], name: str, values: Array, level: float) -> Frozen[str, Array]:
    """A curve of values (B, k) over its axis `x`, with the band of its draws where there are any."""
    lower, upper = band(values, level)
    ends = {} if np.isnan(lower).all() else {"lower": lower, "upper": upper}
    return Frozen({**x, name: values[0], **ends})


def band(values: Array, level: float) -> tuple[Array, Array]:
    """(k,) lower and (k,) upper ends of values (B, k), row 0 the estimate; NaN without draws."""
    ends = [interval(values[:, [j]], level) or (np.nan, np.nan) for j in range(values.shape[1])]
    return np.array([e[0] for e in ends]), np.array([e[1] for e in ends])

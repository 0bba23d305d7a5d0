# SPDX-License-Identifier: Apache-2.0
"""Trends with a turn: inverse scaling, U-shapes and inverted U-shapes (McKenzie et al. 2023, Wei et al. 2022).

The variable is compute C; `turning(N)`, `distracted(thinking_tokens)` read any other column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, Parameter, exponent, location, real
from forescale.numerics.curves import best, regressions, spaced

Array = NDArray[np.float64]

MOST_ROWS = 200
"""Rows that a grid of starts looks at."""


def parabola(C: Any, y_0: Any, q: Any, x_0: Any) -> Any:
    """y = y_0 + q (log10 C - x_0)^2 (the quadratic that U-shapes are tested with; Wu & Lo 2024 fit it)."""
    return y_0 + q * (np.log10(C) - x_0) ** 2


def distraction(C: Any, K: Any, s: Any, kappa: Any, K_d: Any, s_d: Any) -> Any:
    """y = 1 / (1 + (K / C)^s) - kappa / (1 + (K_d / C)^s_d) (our form of a cause named by McKenzie et al. 2023).

    What is learned, minus what distracts.
    """
    return 1.0 / (1.0 + (K / C) ** s) - kappa / (1.0 + (K_d / C) ** s_d)


def parabola_starts(C: Array, y: Array) -> dict[str, Array]:
    """The parabola of least squares, and the same with vertices at the ends of the data."""
    x = np.log10(C)
    a, b, _ = (float(v) for v in np.polyfit(x - x.mean(), y, 2))
    vertex = np.array([x.mean() - b / (2.0 * a) if a != 0.0 else np.nan, x.min(), x.max()])
    vertex = vertex[np.isfinite(vertex)]
    columns = np.stack([np.ones((vertex.size, x.size)), (x - vertex[:, None]) ** 2], axis=1)
    found, _ = regressions(columns, y, np.ones(y.size))
    return {"y_0": found[:, 0], "q": found[:, 1], "x_0": vertex}


def distraction_starts(C: Array, y: Array) -> dict[str, Array]:
    """The best cells of a grid of both middles and slopes, with the share of distraction by regression."""
    some = spaced(C, MOST_ROWS)
    C, y = C[some], y[some]
    low, high = float(np.log(C.min())), float(np.log(C.max()))
    span = (high - low) or 1.0
    middles = np.linspace(low - 0.3 * span, high + 0.3 * span, 15)
    slopes = np.geomspace(2.5, 40.0, 4) / span
    K, s, K_d, s_d = (g.ravel() for g in np.meshgrid(middles, slopes, middles, slopes, indexing="ij"))
    log_c = np.log(C)
    one = 1.0 / (1.0 + np.exp(-s[:, None] * (log_c - K[:, None])))
    two = 1.0 / (1.0 + np.exp(-s_d[:, None] * (log_c - K_d[:, None])))
    share = np.clip(((one - y) * two).sum(axis=1) / ((two * two).sum(axis=1) + 1e-12), 0.02, 0.98)
    left = ((one - share[:, None] * two - y) ** 2).sum(axis=1)
    places = np.stack([K / span, np.log(s * span), K_d / span, np.log(s_d * span)], axis=1)
    chosen = best(left, places, 8, 0.3)
    return {
        "K": np.exp(K[chosen]),
        "s": s[chosen],
        "kappa": share[chosen],
        "K_d": np.exp(K_d[chosen]),
        "s_d": s_d[chosen],
    }


turning = Law(
    id="turning",
    topic="task performance",
    title="A metric that turns: a parabola in log compute",
    inputs=("C",),
    output="score",
    params={
        "y_0": real("the metric where it turns", start=(-1.0, 0.7)),
        "q": real("curvature per squared decade: positive for a U, negative for an inverted U", start=(-0.1, 0.2)),
        "x_0": real("log10 of the compute at which it turns", start=(-5.0, 46.0)),
    },
    formula=parabola,
    linear=("y_0", "q"),
    starts=parabola_starts,
    loss="squared",
    latex=r"y = y_{0} + q \, (\log_{10} C - x_{0})^{2}",
    meaning=(
        "The smallest form with a turn, for metrics that get worse before they get better with scale, or better "
        "before worse. Its vertex, with an interval, is the question: does the turn lie inside the data? "
        "fs.regimes tests that, by this form and by the slopes on both sides."
    ),
    traps=(
        "Never extrapolated: a parabola rises without end on both sides.",
        "A vertex outside the data means a bent monotone trend, not a turn.",
        "Two-sided slopes must both be there: look at the data on each side of the vertex alone.",
        "A curve of one family has few sizes, and families mix tokens and data: bootstrap items, not sizes.",
    ),
    papers=("wu2024ushaped", "mckenzie2023", "wei2022"),
)

distracted = Law(
    id="distracted",
    topic="task performance",
    title="What is learned minus what distracts: two logistic curves",
    inputs=("C",),
    output="score",
    params={
        "K": location("compute at which half of the task is learned", start=(1e21, 1e24)),
        "s": exponent("how sharply it is learned", start=(0.3, 3.0)),
        "kappa": Parameter("share", "what full distraction costs", 0.0, 1.0, start=(0.1, 0.9)),
        "K_d": location("compute at which half of the distraction is learned", start=(1e19, 1e21)),
        "s_d": exponent("how sharply that is learned", start=(0.3, 3.0)),
    },
    formula=distraction,
    starts=distraction_starts,
    loss="squared",
    domain={"C": (1e18, 1e25)},
    latex=(r"y = \frac{1}{1 + (K / C)^{s}} - \frac{\kappa}{1 + (K_{d} / C)^{s_{d}}}"),
    meaning=(
        "A mechanism for U-shapes: models first learn an easier task that distracts (a strong prior, imitation), and "
        "the true one later. Unlike a parabola it levels off on both sides: at 0, so scale the metric to 0 for "
        "guessing, and at 1 - kappa, because a distraction once learned stays. The papers name the cause; the form "
        "is ours."
    ),
    traps=(
        "Five numbers: half a curve, before the turn or after it, does not hold them.",
        "Whether a falling curve will turn is not in the data before it does.",
        "Another mechanism with the same shape cannot be told apart by it.",
    ),
    papers=("wei2022", "mckenzie2023"),
)

# SPDX-License-Identifier: Apache-2.0
"""Backtest: error of the predictions of hidden, larger runs, by distance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.judge.backtest import Backtest
from forescale.reporting.charts import _axes as axes
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import records, tame

Array = NDArray[np.float64]

INSIDE, OUTSIDE = "the run fell inside its band", "outside"
MOST = 400
"""Predictions drawn; of more, an even selection by distance."""
SPREAD, MOST_SPREAD = 0.006, 0.1
"""Share of the axis by which each further dot at one distance moves them apart, on either side, and the most."""
FAR = 4.0
"""Bands wider than this multiple of the 95 % quantile of the errors are cut at the frame."""


def backtest(result: Backtest, *, width: int = look.WIDTH) -> look.Spec:
    """Percent error of each prediction with its band, against distance."""
    points = result.points
    count = len(points["distance"])
    data = errors(
        points["distance"], points["observed"], points["estimate"], points["prediction_lower"],
        points["prediction_upper"],
    )  # fmt: skip
    percent = f"{100 * result.level:g} %"
    return look.finish(
        layers(data, f"distance: {tame(result.variable)} of the run / largest fitted", width),
        "Backtest: hidden larger runs",
        [
            f"each dot is a run that the fit had not seen; its bar, the {percent} band, should reach the zero line",
            f"{100 * result.covered:.0f} % of {count} predictions fell inside; mean error {result.mape:.2g} %"
            + (f"; {len(data)} of them are drawn" if len(data) < count else ""),
        ],
        about=(
            f"Errors of {count} predictions of hidden runs, up to {float(points['distance'].max()):.3g} "
            f"times the largest fitted {tame(result.variable)}; "
            f"{100 * result.covered:.0f} % inside their {percent} bands."
        ),
        width=width,
        height=300,
    )


def errors(distance: Array, observed: Array, estimate: Array, lower: Array, upper: Array) -> list[dict[str, Any]]:
    """Rows for `layers`: percent errors and bands of k predictions (each (k,)), or of an even selection of them.

    Dots at one distance, as grids of sizes give them, are moved apart a little: `x` is where they are drawn.
    """
    order = np.argsort(distance, kind="stable")
    rows = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST)).astype(np.intp))]
    far, came = distance[rows], observed[rows]
    error, low, high = (100 * (values[rows] / came - 1) for values in (estimate, lower, upper))
    inside = (low <= 0) & (high >= 0)
    return records(
        x=_apart(far), distance=far, error=error, lower=low, upper=high, observed=came, estimate=estimate[rows],
        hit=np.where(inside, INSIDE, OUTSIDE),
    )  # fmt: skip


def _apart(distance: Array) -> Array:
    """Positions on the axis for rising distances (k,): equal ones are spread, no further than halfway to the next."""
    place = np.log(distance)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(place) > 1e-3]))
    ends = np.append(starts[1:], len(place))
    width = math.log(_span(distance)[1] / _span(distance)[0])
    gaps = np.concatenate([[width], np.diff(place[starts]), [width]])
    moved = place.copy()
    for i, (start, end) in enumerate(zip(starts, ends)):
        room = min(SPREAD * (end - start - 1) * width, MOST_SPREAD * width, 0.4 * gaps[i], 0.4 * gaps[i + 1])
        moved[start:end] += np.linspace(-room, room, end - start) if end - start > 1 else 0.0
    return np.asarray(np.exp(moved))


def _span(distance: Array) -> tuple[float, float]:
    """Ends of the axis; where the distances are nearly one, it starts at the largest fitted run."""
    low, high = axes.widened(float(distance.min()), float(distance.max()))
    return (low, high) if high > 3 * low else (1.0, max(1.15 * float(distance.max()), 2.0))


def layers(data: list[dict[str, Any]], title: str, width: int) -> list[look.Spec]:
    """Bands, dots and the zero line of what `errors` made, over distance on a logarithmic axis with this title."""
    error, lower, upper, far = (
        np.array([row[name] for row in data]) for name in ("error", "lower", "upper", "distance")
    )
    limit = _limit(error, lower, upper)
    where = {
        "x": axes.logarithmic("x", title, "number", _span(far), look.x_ticks(width)),
        "y": axes.linear("error", "predicted minus measured (%)", (-limit, limit)),
    }
    color = {
        "field": "hit",
        "type": "nominal",
        "scale": {"domain": [INSIDE, OUTSIDE], "range": [look.LAW, look.FLAG]},
        "legend": {
            "title": None,
            "orient": "top",
            "offset": 8,
            "symbolType": "circle",
            "symbolSize": 70,
            "symbolOpacity": 1,
        },
    }
    fields = {
        "distance": ("number", "distance"), "error": ("percent", "error"), "observed": ("loss", "measured"),
        "estimate": ("loss", "predicted"),
    }  # fmt: skip
    coloured = {**where, "color": color}
    bands = {"x": where["x"], "y": {**where["y"], "field": "lower"}, "y2": {"field": "upper"}, "color": color}
    return [
        look.layer([{"error": 0}], "rule", {"y": where["y"]}, color=look.MUTED),
        look.layer(data, "rule", bands, opacity=0.3 if len(data) < 120 else 0.16, strokeWidth=1.4, clip=True),
        look.spoken(
            look.layer(data, "point", coloured, shape="circle", filled=True, size=36, opacity=0.9, clip=True), fields
        ),
    ]


def _limit(error: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    ends = np.abs(np.concatenate([lower, upper]))
    ends = ends[np.isfinite(ends)]
    errors = np.abs(error[np.isfinite(error)])
    most = float(errors.max()) if errors.size else 1.0
    core = FAR * float(np.quantile(errors, 0.95)) if errors.size else 1.0
    wanted = max(most, min(float(ends.max()) if ends.size else most, core))
    return 1.08 * wanted if wanted > 0 else 1.0

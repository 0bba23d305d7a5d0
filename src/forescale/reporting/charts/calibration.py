# SPDX-License-Identifier: Apache-2.0
"""Calibration: the PIT histogram, which is flat where error bars are right, and coverage by distance."""

from __future__ import annotations

import math

import numpy as np

from forescale.judge.calibration import SHAPE, Calibration
from forescale.reporting.charts import _axes as axes
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import records

PANEL, HEIGHT = 300, 230
TWO_SIDED = 1.96
"""Limits of a bar of the histogram, in standard deviations: 95 %, as the limits of the shares."""


def calibration(result: Calibration, *, width: int = look.WIDTH) -> look.Spec:
    """Two panels: PIT values in tenths, and the share inside the band with its limits by distance."""
    slim = min(PANEL, width - 60) if width < look.NARROW else PANEL
    percent = f"{100 * result.level:g} %"
    said = [
        "left: how often outcomes fell into each tenth of their predicted distribution; inside the dots is chance",
        f"right: share inside the {percent} band; the bars are 95 % limits and should reach the line",
        result.shape,
    ]
    about = (
        f"Calibration of {result.all.points} predictions: {100 * result.all.covered:.0f} % inside their {percent} "
        "bands. "
        + " ".join(f"{row.name}: {100 * row.covered:.0f} %." for row in result.by_distance)
        + f" {result.shape}"
    )
    return look.beside([_pit(result, slim), _coverage(result, slim)], "Calibration", said, about, columns=2)


def _pit(result: Calibration, width: int) -> look.Spec:
    counts = result.histogram / len(result.pit)
    noise = TWO_SIDED * math.sqrt((1 / SHAPE) * (1 - 1 / SHAPE) / max(result.all.effective, 1.0))
    top = 1.15 * max(float(counts.max()), 1 / SHAPE + noise)
    edges = np.linspace(0.0, 1.0, SHAPE + 1)
    data = records(start=edges[:-1], end=edges[1:], share=100 * counts, count=result.histogram)
    x = axes.linear("start", "predicted probability of less", (0.0, 1.0), 5)
    y = axes.linear("share", "share of outcomes (%)", (0.0, 100 * top), 5)
    limits = [{"share": 100 * max(1 / SHAPE - noise, 0.0)}, {"share": 100 * (1 / SHAPE + noise)}]
    bars = look.layer(
        data,
        "rect",
        {"x": x, "x2": {"field": "end"}, "y": y, "y2": {"datum": 0}},
        color=look.LAW,
        opacity=0.8,
        stroke="white",
        strokeWidth=1,
    )
    layers = [
        look.spoken(bars, {"start": ("number", "from"), "end": ("number", "to"), "count": ("number", "outcomes")}),
        look.layer([{"share": 100 / SHAPE}], "rule", {"y": y}, color=look.INK, strokeDash=[4, 3]),
        look.layer(limits, "rule", {"y": y}, color=look.TARGET, strokeDash=[2, 2]),
    ]
    return look.panel(layers, width, HEIGHT)


def _coverage(result: Calibration, width: int) -> look.Spec:
    rows = [*result.by_distance, result.all]
    names = [row.name for row in rows]
    data = records(
        name=names,
        covered=[100 * row.covered for row in rows],
        low=[100 * row.low for row in rows],
        high=[100 * row.high for row in rows],
        points=[row.points for row in rows],
        kind=[row.verdict(result.level) for row in rows],
    )
    bottom = 10 * math.floor(min(10 * row.low for row in rows))
    x = {
        "field": "name",
        "type": "nominal",
        "title": "distance",
        "sort": names,
        "axis": {"labelAngle": 0},
    }
    y = axes.linear("covered", "inside the band (%)", (float(min(bottom, 80)), 102.0), 6)
    color = {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": ["holds", "too short", "too long"], "range": [look.LAW, look.FLAG, look.MUTED]},
        "legend": None,
    }
    bars = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color}
    dots = look.layer(
        data, "point", {"x": x, "y": y, "color": color}, shape="circle", filled=True, size=70, opacity=1
    )
    fields = {
        "name": ("text", "distance"), "covered": ("number", "inside %"), "low": ("number", "from"),
        "high": ("number", "to"), "points": ("number", "predictions"),
    }  # fmt: skip
    layers = [
        look.layer([{"covered": 100 * result.level}], "rule", {"y": y}, color=look.MUTED, strokeDash=[4, 3]),
        look.layer(data, "rule", bars, strokeWidth=2, opacity=0.7),
        look.spoken(dots, fields),
    ]
    return look.panel(layers, width, HEIGHT)

# SPDX-License-Identifier: Apache-2.0
"""A comparison of two arms: their difference along compute with the crossing, and the compute that one saves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, InputError, message, nearest
from forescale.judge.compare import Comparison
from forescale.reporting.charts import _axes as axes
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import records, tame

COMPARISON_CHARTS = ("difference", "savings")
ROOM = 6.0
"""Bands wider than this multiple of the difference inside the range are cut at the frame."""
MOST = 1e3
"""Multipliers beyond this are drawn at the frame."""
BESIDE = 4.0
"""The frame of savings goes this factor beyond the curve at most: bands of the first runs have no end."""


def compare(value: Comparison, kind: str | None = None, *, width: int = look.WIDTH) -> look.Spec:
    """The chart "difference" (default) or "savings".

    Raises:
        InputError: another kind.
        DataError: savings of laws that do not fall.
    """
    if kind in (None, "difference"):
        return difference(value, width=width)
    if kind == "savings":
        return savings(value, width=width)
    raise InputError(
        message(f"there is no chart {kind!r} of a comparison", "", nearest(str(kind), COMPARISON_CHARTS))
    )


def difference(value: Comparison, *, width: int = look.WIDTH) -> look.Spec:
    """Percent by which B's loss lies above A's, with its band, the pairs, the crossings and their intervals."""
    a, b = map(tame, value.names)
    curve = value.curve
    good = np.isfinite(curve["difference"])
    x = curve["x"][good]
    d, lower, upper = (100 * curve[name][good] for name in ("difference", "lower", "upper"))
    banded = bool(np.isfinite(lower).any())
    low, high = value.range
    inside = (x >= low * 0.999) & (x <= high * 1.001)
    pairs = np.empty(0) if value.pairs is None else 100 * value.pairs.log_ratio
    limit = _limit(d[inside], lower[inside], upper[inside], pairs)
    where = {
        "x": axes.logarithmic(
            "x", _title(value), "flop" if value.variable == "C" else "number", _span(x),
            look.x_ticks(width),
        ),
        "y": axes.linear("difference", f"loss of {b} against {a} (%)", (-limit, limit)),
    }  # fmt: skip
    line, band = "difference of the curves", f"{100 * value.level:g} %: where it is"
    crossing, run = "crossing with its interval", "runs at one design point"
    entries = {line: look.LAW}
    if banded:
        entries[band] = look.CURVE_BAND
    if value.crossings:
        entries[crossing] = look.TARGET
    if pairs.size:
        entries[run] = look.RUN
    color = look.key(entries, width)
    layers: list[look.Spec] = []
    if banded:
        area = {"x": where["x"], "y": {**where["y"], "field": "lower"}, "y2": {"field": "upper"}}
        layers.append(
            look.keyed(
                look.layer(records(x=x, lower=lower, upper=upper), "area", area, opacity=1, clip=True), band, color
            )
        )
    layers.append(look.layer([{"difference": 0}], "rule", {"y": where["y"]}, color=look.MUTED))
    edge = [{"x": high, "label": "end of the runs"}]
    if x[-1] > high * 1.001:
        layers.append(look.layer(edge, "rule", {"x": where["x"]}, color=look.MUTED, strokeDash=[4, 3]))
        layers += look.words(
            edge, {"x": where["x"], "y": {"value": 0}}, look.MUTED, align="right", baseline="top", dx=-5, dy=2
        )
    rows = records(x=x, difference=d)
    layers.append(look.keyed(look.layer(rows, "line", where, strokeWidth=2.4, clip=True), line, color))
    if value.pairs is not None:
        dots = look.layer(
            records(x=value.pairs.x, difference=pairs), "point", where, shape="circle", filled=True, size=34,
            opacity=0.8, clip=True,
        )  # fmt: skip
        fields = {"x": ("flop" if value.variable == "C" else "number", tame(value.variable))}
        layers.append(look.spoken(look.keyed(dots, run, color), {**fields, "difference": ("percent", "difference")}))
    for found in value.crossings:
        ends = {"lower": max(found.lower, float(x[0])), "upper": min(found.upper, float(x[-1]))}
        if np.isfinite(found.lower):
            bar = {"x": {**where["x"], "field": "lower"}, "x2": {"field": "upper"}, "y": where["y"]}
            layers.append(look.layer([{**ends, "difference": 0}], "rule", bar, color=look.TARGET, strokeWidth=4))
        mark = look.layer(
            [{"x": found.x, "difference": 0}], "point", where, shape="diamond", filled=True, size=110, opacity=1
        )
        layers.append(look.keyed(mark, crossing, color))
    return look.finish(
        layers,
        f"{b} against {a}",
        [tame(value.headline), f"below the zero line {b} is better"],
        about=f"{tame(value.headline)}. Difference of the losses along {tame(value.variable)}, in per cent.",
        width=width,
        height=320,
    )


def savings(value: Comparison, *, width: int = look.WIDTH) -> look.Spec:
    """How many times the compute of B arm A needs for the same loss, with its band.

    Raises:
        DataError: the laws do not fall in the variable, or no multiplier is finite.
    """
    found = value.savings
    if found is None or not np.isfinite(found.multiplier).any():
        raise DataError(message("there are no savings to draw", "laws that fall in the variable"))
    a, b = map(tame, value.names)
    good = np.isfinite(found.multiplier) & (found.multiplier > 0)
    x, multiplier = found.x[good], found.multiplier[good]
    lower, upper = (np.clip(ends[good], 1 / MOST, MOST) for ends in (found.lower, found.upper))
    banded = bool(np.isfinite(lower).any())
    shown = [multiplier.min(), multiplier.max(), 1.0]
    if banded:
        within = x <= value.range[1] * 1.001
        if within.any():
            shown.append(max(np.nanmin(lower[within]), min(shown) / BESIDE))
            shown.append(min(np.nanmax(upper[within]), max(shown) * BESIDE))
    where = {
        "x": axes.logarithmic(
            "x", _title(value), "flop" if value.variable == "C" else "number", _span(x),
            look.x_ticks(width),
        ),
        "y": axes.logarithmic(
            "multiplier", f"{tame(value.variable)} that {a} needs / {b} needs", "number",
            axes.widened(float(min(shown)), float(max(shown))),
        ),
    }  # fmt: skip
    line, band = "for the same loss", f"{100 * value.level:g} % interval"
    color = look.key({line: look.LAW, **({band: look.CURVE_BAND} if banded else {})}, width)
    layers: list[look.Spec] = []
    if banded:
        area = {"x": where["x"], "y": {**where["y"], "field": "lower"}, "y2": {"field": "upper"}}
        rows = records(x=x, lower=lower, upper=upper)
        layers.append(look.keyed(look.layer(rows, "area", area, opacity=1, clip=True), band, color))
    layers.append(look.layer([{"multiplier": 1}], "rule", {"y": where["y"]}, color=look.MUTED))
    outside = found.extrapolates[good]
    rows = records(x=x, multiplier=multiplier)
    layers.append(
        look.keyed(look.layer(rows, "line", where, strokeWidth=2.4, strokeDash=[5, 3], clip=True), line, color)
    )
    if (~outside).any():
        seen = records(x=x[~outside], multiplier=multiplier[~outside])
        layers.append(look.keyed(look.layer(seen, "line", where, strokeWidth=2.8, clip=True), line, color))
    fields = {
        "x": ("flop" if value.variable == "C" else "number", tame(value.variable)),
        "multiplier": ("number", "multiplier"),
    }
    layers.append(look.spoken(look.layer(rows, "circle", where, size=60, opacity=0), fields))
    return look.finish(
        layers,
        f"What {b} saves",
        [f"above 1 {b} reaches the loss of {a} with less; dashed where a curve is read outside of its runs"],
        about=f"Compute multiplier of {b} over {a} along {tame(value.variable)}.",
        width=width,
        height=320,
    )


def _span(x: NDArray[Any]) -> tuple[float, float]:
    return axes.widened(float(x[0]), float(x[-1]), 0.015)


def _title(value: Comparison) -> str:
    return "training compute C (FLOP)" if value.variable == "C" else tame(value.variable)


def _limit(d: NDArray[Any], lower: NDArray[Any], upper: NDArray[Any], pairs: NDArray[Any]) -> float:
    """Half the height of the frame: the difference inside the range, and its band where that is not far more."""
    most = max(float(np.abs(d).max()), float(np.abs(pairs).max()) if pairs.size else 0.0, 1e-6)
    ends = np.abs(np.concatenate([lower, upper]))
    ends = ends[np.isfinite(ends)]
    wanted = float(ends.max()) if ends.size else most
    return 1.08 * max(most, min(wanted, ROOM * most))

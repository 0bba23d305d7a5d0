# SPDX-License-Identifier: Apache-2.0
"""A plain chart of named series over one axis: measured points, lines of laws, bands. Studies draw with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import InputError, message
from forescale.reporting.charts import _axes as axes
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import tame

Mark = Literal["points", "line", "dashes", "band"]

MOST_POINTS = 600
"""Points drawn per series: more hide each other."""


@dataclass(frozen=True, eq=False)
class Series:
    """One named series.

    Attributes:
        name: entry of the legend; series of one name share a colour.
        x, y: (n,) numbers; rows that are not finite (or not positive on a logarithmic axis) are not drawn.
        mark: "points" for what was measured, "line" or "dashes" for what a law says, "band" between y and `upper`.
        upper: (n,) upper end of a band.
        color: a colour of the theme; by default the next one of the palette.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    mark: Mark = "points"
    upper: ArrayLike | None = None
    color: str | None = None


def xy(
    title: str,
    said: Sequence[str],
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    kind_x: str = "number",
    kind_y: str = "number",
    about: str = "",
    width: int = look.WIDTH,
    height: int = look.HEIGHT,
) -> look.Spec:
    """The chart.

    Args:
        said: what to see, one line each.
        x, y: titles of the axes, with units.
        log_x, log_y: logarithmic axes.
        kind_x, kind_y: how ticks are written: "count" (7B), "flop" (1e21) or "number".
        about: the chart in words for readers who cannot see it (default: title and what is said).

    Raises:
        InputError: no series, or none with a point that can be drawn.
    """
    drawn = [(one, _rows(one, log_x, log_y)) for one in series]
    drawn = [(one, rows) for one, rows in drawn if rows]
    if not drawn:
        raise InputError(message(f"the chart {title!r} has nothing to draw", "a series with finite points"))
    colors: dict[str, str] = {}
    for one, _ in drawn:
        name = tame(one.name)
        if one.color is not None:
            colors[name] = one.color
        elif name not in colors:
            free = [c for c in look.CATEGORIES if c not in colors.values()]
            colors[name] = free[0] if free else look.CATEGORIES[len(colors) % len(look.CATEGORIES)]
    every = [row for _, rows in drawn for row in rows]
    where = {
        "x": _axis("x", x, kind_x, log_x, [row["x"] for row in every], look.x_ticks(width)),
        "y": _axis("y", y, kind_y, log_y, [v for row in every for v in (row["y"], row.get("upper", row["y"]))], 7),
    }
    color = look.key(colors, width)
    layers = [_layer(one, rows, where, color) for one, rows in sorted(drawn, key=lambda pair: _ORDER[pair[0].mark])]
    filled = {tame(one.name) for one, _ in drawn if one.mark in ("points", "band")}
    for one, rows in drawn:
        if tame(one.name) not in filled:
            # The legend's squares are filled; a name that is only a line gets a dot of no size to fill them with.
            filled.add(tame(one.name))
            dot = look.layer(rows[:1], "point", where, filled=True, size=0)
            layers.append(look.keyed(dot, tame(one.name), color))
    words = about or f"{title}. " + "; ".join(said)
    return look.finish(layers, title, said, about=words, width=width, height=height)


_ORDER = {"band": 0, "line": 1, "dashes": 2, "points": 3}


def _rows(one: Series, log_x: bool, log_y: bool) -> list[dict[str, float]]:
    xs, ys = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (one.x, one.y))
    ups: NDArray[np.float64] | None = None if one.upper is None else np.asarray(one.upper, dtype=np.float64)
    if xs.shape != ys.shape or (ups is not None and ups.shape != xs.shape):
        raise InputError(message(f"the series {one.name!r} has {xs.size} x and {ys.size} y", "equal numbers"))
    good = np.isfinite(xs) & np.isfinite(ys) & ((xs > 0) | (not log_x)) & ((ys > 0) | (not log_y))
    kept = np.flatnonzero(good)
    if one.mark != "points":
        kept = kept[np.argsort(xs[kept], kind="stable")]
    if kept.size > MOST_POINTS:
        kept = kept[np.linspace(0, kept.size - 1, MOST_POINTS).round().astype(np.intp)]
    rows = [{"x": _short(xs[i]), "y": _short(ys[i])} for i in kept]
    if ups is not None:
        for row, i in zip(rows, kept):
            row["upper"] = _short(ups[i])
    return rows


def _short(value: Any) -> float:
    return float(f"{float(value):.6g}")


def _axis(field: str, title: str, kind: str, log: bool, values: Iterable[float], most: int) -> look.Spec:
    ends = list(values)
    low, high = min(ends), max(ends)
    if log:
        return axes.logarithmic(field, title, kind, axes.widened(low, high), most)
    pad = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    channel = axes.linear(field, title, (low - pad, high + pad), most)
    return {**channel, "axis": {**channel["axis"], "labelExpr": axes.axis_label(kind)}}


def _layer(one: Series, rows: list[dict[str, float]], where: look.Spec, color: look.Spec) -> look.Spec:
    name = tame(one.name)
    if one.mark == "band":
        channels = {**where, "y2": {"field": "upper"}}
        return look.keyed(look.layer(rows, "area", channels, opacity=0.22), name, color)
    if one.mark == "points":
        dots = look.layer(rows, "point", where, shape="circle", filled=True, size=38, opacity=0.8)
        return look.keyed(dots, name, color)
    dash = {"strokeDash": [6, 4]} if one.mark == "dashes" else {}
    return look.keyed(look.layer(rows, "line", where, strokeWidth=2, **dash), name, color)

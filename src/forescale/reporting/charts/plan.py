# SPDX-License-Identifier: Apache-2.0
"""A plan as pictures: the valley of the loss along its budget, the frontier up to its target, any other curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forescale.core.errors import InputError, RefusedError, message, nearest
from forescale.core.quantity import format_short
from forescale.planning._plan import Plan
from forescale.planning._show import show
from forescale.reporting.charts import _axes as axes
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import records
from forescale.reporting.charts.xy import Series, xy

VALLEY, FRONTIER = ("profile", ("N", "D", "loss")), ("frontier", ("C", "N", "D", "loss", "lower", "upper"))
"""Curves that have a chart of their own, and the columns by which they are known."""

WIDE, MOST = 10.0, 1e4
"""Factors that numbers span on a logarithmic axis; beyond the second, what a line shows comes close to zero."""

LINEAR = ("step", "share", "depth", "%", "rate", "accuracy")
"""Words of quantities that are read on a linear axis whatever they span."""


def kinds(plan: Plan) -> tuple[str, ...]:
    """The charts of a plan, in reading order: "valley" and "frontier" for plans along a budget, else its curves."""
    special = {VALLEY[0]: ("valley", VALLEY[1]), FRONTIER[0]: ("frontier", FRONTIER[1])}
    found = []
    for name, curve in plan.curves.items():
        own, columns = special.get(name, (name, ()))
        fits = bool(columns) and set(columns) <= set(curve) and {"C", "N"} <= set(plan.decision)
        found.append(own if fits else name)
    return tuple(found)


def plan(plan: Plan, kind: str | None = None, *, width: int = look.WIDTH) -> look.Spec:
    """The chart of a plan.

    Args:
        kind: one of `kinds(plan)`, default the first: for plans along a budget "valley" (loss against N at the
            budget) or "frontier" (least loss against C), else the name of a curve.

    Raises:
        InputError: unknown kind, or a curve that this plan does not hold.
        RefusedError: a plan without curves.
    """
    there = kinds(plan)
    if not there:
        raise RefusedError(
            message(f"this plan ({plan.question}) holds no curve to draw", hint="fit.plot() draws the law behind it")
        )
    chosen = kind or there[0]
    if chosen not in there:
        raise InputError(message(f"there is no chart {chosen!r} of this plan", "", nearest(chosen, there)))
    if chosen == "valley":
        return valley(plan, width=width)
    if chosen == "frontier" and set(FRONTIER[1]) <= set(plan.curves[FRONTIER[0]]) and "N" in plan.decision:
        return frontier(plan, width=width)
    return curve(plan, chosen, width=width)


def curve(plan: Plan, name: str, *, width: int = look.WIDTH) -> look.Spec:
    """One of the plan's curves: its first column across, the others up, with the band of `lower` and `upper`.

    The curve's name is the heading; where it has several lines it says what they are, and names their axis.
    """
    columns = dict(plan.curves[name])
    band = columns.pop("lower", None), columns.pop("upper", None)
    across, *lines = columns
    x = columns[across]
    drawn: list[Series] = []
    for line in lines:
        color = None
        if line == lines[0] and band[0] is not None and band[1] is not None:
            drawn.append(Series(f"{line}, {100 * plan.level:g} %", x, band[0], "band", band[1]))
        drawn.append(Series(line, x, columns[line], "line", color=color))
    ups = np.concatenate([np.asarray(series.y, dtype=np.float64) for series in drawn])
    title = name.replace("_", " ").replace("-", " ")
    up = _titled(plan, lines[0]) if len(lines) == 1 else title
    return xy(
        f"{title[:1].upper()}{title[1:]}",
        [f"{', '.join(lines)} against {across}"],
        drawn,
        x=_titled(plan, across),
        y=up,
        log_x=_log(across, x),
        log_y=_log(lines[0] if len(lines) == 1 else title, ups, MOST),
        kind_x=_kind(across),
        kind_y=_kind(lines[0] if len(lines) == 1 else title),
        width=width,
        height=300,
    )


def _titled(plan: Plan, name: str) -> str:
    """The plan's own words for its quantities that are axes everywhere; any other name as it is."""
    if name not in ("N", "D", "C", *plan.expected):
        return name
    held = plan.expected.get(name) or plan.decision.get(name)
    return (held.meaning if held is not None else "") or name


def _log(name: str, values: Any, most: float = math.inf) -> bool:
    """Whether an axis is logarithmic: positive over more than a decade and, where no count, less than `most`."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size or finite.min() <= 0 or any(word in name for word in LINEAR):
        return False
    span = finite.max() / finite.min()
    return bool(span > WIDE and (span < most or _kind(name) != "number"))


def _kind(name: str) -> str:
    if name in ("C", "FLOP", "budget"):
        return "flop"
    counted = ("N", "D", "tokens", "params", "steps", "step", "V", "batch")
    return (
        "count"
        if any(name == word or name.startswith(f"{word} ") or word in name.split() for word in counted)
        else "number"
    )


def valley(plan: Plan, *, width: int = look.WIDTH) -> look.Spec:
    """Loss against N at the budget, with the interval of N* and the sizes that one run could not tell apart."""
    curve = plan.curves["profile"]
    C = plan["C"].value
    best = plan["N"]
    bounded = _finite(best.lower) and _finite(best.upper)
    low, high = best.value / 9, best.value * 9
    if bounded and best.lower is not None and best.upper is not None:
        low, high = min(low, best.lower / 1.3), max(high, best.upper * 1.3)
    inside = (curve["N"] >= low) & (curve["N"] <= high) & np.isfinite(curve["loss"])
    N, D, loss = (curve[name][inside] for name in ("N", "D", "loss"))
    domain = (float(N.min()), float(N.max()))
    least = plan.expected["loss"].value
    top = float(loss.max())
    room = 0.05 * (top - least or least)
    where = {
        "x": axes.logarithmic("N", plan["N"].meaning or "parameters N", "count", domain, look.x_ticks(width)),
        "y": axes.linear("loss", _loss_title(plan), (min(least, float(loss.min())) - 3 * room, top + room)),
    }
    said = "loss of the law at this budget"
    entries, spans = {said: look.LAW}, []
    same = _alternatives(plan)
    if same is not None:
        text = "sizes that one run could not tell apart"
        entries[text] = look.QUIET_BAND
        spans.append((text, *same))
    if bounded and best.lower is not None and best.upper is not None:
        text = f"{100 * plan.level:g} % interval of N*"
        entries[text] = look.TARGET_BAND
        spans.append((text, best.lower, best.upper))
    color = look.key(entries, width)
    layers = [
        look.keyed(
            look.layer(
                [{"N": max(start, domain[0]), "end": min(end, domain[1])}],
                "rect", {"x": where["x"], "x2": {"field": "end"}}, opacity=1, clip=True,
            ),
            text,
            color,
        )
        for text, start, end in spans
    ]  # fmt: skip
    rows = records(N=N, D=D, loss=loss, extra=100 * (loss / least - 1))
    layers.append(look.keyed(look.layer(rows, "line", where, strokeWidth=2.4, clip=True), said, color))
    fields = {
        "N": ("count", "N"),
        "D": ("count", "D"),
        "loss": ("loss", "loss"),
        "extra": ("percent", "above the least"),
    }
    layers.append(look.spoken(look.layer(rows, "circle", where, size=60, opacity=0), fields))
    layers += _mistakes(N, loss, best.value, least, where, width > 500)
    here = [{"N": best.value, "loss": least, "label": f"N* = {format_short(best.value, 'parameters')}"}]
    layers.append(
        look.layer(here, "point", where, shape="diamond", filled=True, size=110, color=look.TARGET, opacity=1)
    )
    layers.append(
        look.layer(
            here, "text", {**where, "text": {"field": "label"}}, baseline="top", dy=10, fontSize=12.5,
            fontWeight="bold", color=look.TARGET,
        )
    )  # fmt: skip
    interval = (
        f" Its interval is {format_short(best.lower or 0)} to {format_short(best.upper or 0)}." if bounded else ""
    )
    return look.finish(
        layers,
        f"The valley at {format_short(C, 'flop')}",
        ["where it is flat, missing N* costs little; the small figures say how much"],
        about=(
            f"Loss against model size at {format_short(C, 'flop')}. The least loss, {least:.4g}, lies at "
            f"N = {format_short(best.value, 'parameters')}.{interval}"
        ),
        width=width,
        height=300,
    )


def frontier(plan: Plan, *, width: int = look.WIDTH) -> look.Spec:
    """Least loss against compute with its band, and where the plan stands."""
    curve = plan.curves["frontier"]
    good = np.isfinite(curve["loss"])
    C, loss = curve["C"][good], curve["loss"][good]
    lower, upper = curve["lower"][good], curve["upper"][good]
    here = (plan["C"].value, plan.expected["loss"].value)
    banded = bool(np.isfinite(lower).any())
    ends = [loss.min(), loss.max(), here[1], *([np.nanmin(lower), np.nanmax(upper)] if banded else [])]
    where = {
        "x": axes.logarithmic(
            "C", "training compute C (FLOP)", "flop", (float(C.min()), float(C.max())), look.x_ticks(width)
        ),
        "y": axes.logarithmic("loss", _loss_title(plan), "loss", axes.widened(min(ends), max(ends))),
    }
    line, band = "least loss of the law", f"{100 * plan.level:g} %: where the curve is"
    color = look.key({line: look.LAW, **({band: look.CURVE_BAND} if banded else {})}, width)
    layers = []
    if banded:
        rows = records(C=C, loss=lower, upper=upper)
        area = look.layer(rows, "area", {**where, "y2": {"field": "upper"}}, opacity=1, clip=True)
        layers.append(look.keyed(area, band, color))
    rows = records(C=C, loss=loss, N=curve["N"][good], D=curve["D"][good])
    layers.append(look.keyed(look.layer(rows, "line", where, strokeWidth=2.4), line, color))
    fields = {"C": ("flop", "C"), "loss": ("loss", "loss"), "N": ("count", "N*"), "D": ("count", "D*")}
    layers.append(look.spoken(look.layer(rows, "circle", where, size=60, opacity=0), fields))
    seen = plan.evidence.seen
    if seen is not None and C.min() < seen < C.max():
        edge = [{"C": seen, "label": f"largest run {format_short(seen, 'flop').removesuffix(' FLOP')}"}]
        layers.append(look.layer(edge, "rule", {"x": where["x"]}, color=look.MUTED, strokeDash=[4, 3]))
        top = {"x": where["x"], "y": {"value": 0}}
        layers += look.words(edge, top, look.MUTED, align="right", baseline="top", dx=-5, dy=2)
    mark = [{"C": here[0], "loss": here[1], "label": show(here[1], "loss")}]
    layers.append(
        look.layer(mark, "point", where, shape="diamond", filled=True, size=110, color=look.TARGET, opacity=1)
    )
    layers += look.words(mark, where, look.TARGET, size=12.5, align="left", baseline="bottom", dx=7, dy=-5)
    return look.finish(
        layers,
        "From the runs to the plan",
        ["diamond: this plan"],
        about=f"Least loss against compute; the plan stands at {here[0]:.3g} FLOP with a loss of {here[1]:.4g}.",
        width=width,
        height=300,
    )


def _finite(value: float | None) -> bool:
    return value is not None and np.isfinite(value)


def _alternatives(plan: Plan) -> tuple[float, float] | None:
    table = next((t for t in plan.tables if t.id == "alternatives"), None)
    sizes = [] if table is None else [v for v in table.column("N") if isinstance(v, float) and np.isfinite(v)]
    return (min(sizes), max(sizes)) if len(sizes) == 3 else None


def _loss_title(plan: Plan) -> str:
    return plan.expected["loss"].meaning or "loss"


def _mistakes(N: Any, loss: Any, best: float, least: float, where: look.Spec, long: bool) -> list[look.Spec]:
    """The cost of a quarter, half, double and four times the size, written beside the curve."""
    rows = []
    for factor in (0.25, 0.5, 2.0, 4.0):
        if not N.min() < best * factor < N.max():
            continue
        height = float(np.interp(np.log(best * factor), np.log(N), loss))
        cost = f"{100 * (height / least - 1):+.2f} %"
        text = f"{factor:g} N*: {cost}" if long else cost
        rows.append({"N": best * factor, "loss": height, "label": text, "side": "left" if factor < 1 else "right"})
    layers = [look.layer(rows, "point", where, shape="circle", filled=True, size=34, color=look.LAW, opacity=1)]
    for side, align, away in (("left", "right", -8), ("right", "left", 8)):  # outside of the valley nothing is drawn
        beside = [row for row in rows if row["side"] == side]
        written = {**where, "text": {"field": "label"}}
        looks = {"align": align, "baseline": "top", "dx": away, "dy": 1, "fontSize": 11, "color": look.MUTED}
        layers.append(look.layer(beside, "text", written, **looks))
    return layers

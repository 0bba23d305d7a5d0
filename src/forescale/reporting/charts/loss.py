# SPDX-License-Identifier: Apache-2.0
"""Loss against compute (or the one input of the law): the runs, the law, its bands, and what is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forescale.core.errors import InputError, message
from forescale.core.quantity import format_short
from forescale.fitting._fit import Fit
from forescale.fitting._stack import Member, Stack
from forescale.planning._splitting import splitting
from forescale.reporting.charts import _axes as axes
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import (
    KINDS,
    Array,
    compute,
    frontier,
    grid,
    inputs,
    levels,
    plane,
    records,
    run_names,
    shown,
    tame,
    thinned,
    titled,
)
from forescale.runs.table import Runs

WITHOUT_RUNS = (1e18, 1e24)
"""FLOP over which published constants are drawn when their range is not known."""
FRAME = 1.6
"""Bands and stray runs beyond this factor of what the law and nearly all runs span do not stretch the frame."""


@dataclass(frozen=True, eq=False)
class _Line:
    level: str | None
    x: Array
    loss: Array
    confidence: tuple[Array, Array]
    prediction: tuple[Array, Array]
    N: Array | None = None
    D: Array | None = None


def loss(
    value: Fit | Stack,
    *,
    target: float | Sequence[float] | None = None,
    beyond: float = 10.0,
    width: int = look.WIDTH,
) -> look.Spec:
    """Runs and law in one plane: for laws in N and D the least loss at each C, else the law of its one input.

    Of a stack, the pool with its bands, and each member as a thin line.

    Args:
        target: compute (or value of the input) to mark; the bands reach there. Several may be given.
        beyond: how far past the largest run the law is drawn when there is no target.
        width: of the frame in pixels.

    Raises:
        InputError: a law of several inputs that are not N and D.
    """
    fit = _law_of(value)
    surface = plane(fit.law)
    if not surface and len(fit.law.inputs) != 1:
        raise InputError(
            message(f"the law {fit.law.id!r} has the inputs {', '.join(fit.law.inputs)}", "N and D, or one input",
                    "the chart 'residuals'")
        )  # fmt: skip
    name = "C" if surface else fit.law.inputs[0]
    targets = [float(t) for t in np.atleast_1d(np.asarray([] if target is None else target, dtype=np.float64))]
    low, high = _seen(fit, name)
    end = max([high, *targets]) * (1.7 if targets else beyond)
    x_domain = (low / 1.7, max(end, low * 3.0))
    lines = [_line(value, name, grid(*x_domain, 81), level) for level in levels(fit)]
    ends, outside = _frame(fit, lines)
    x = axes.logarithmic("x", titled(fit, name), KINDS.get(name, "number"), x_domain, look.x_ticks(width))
    y = axes.logarithmic("loss", titled(fit, fit.law.output), "loss", ends)
    plane_of = {"x": x, "y": y}
    stack = None if isinstance(value, Fit) else value
    bands, curves = _law_layers(fit, lines, plane_of, width, stack)
    layers = [*bands]
    if fit.runs is not None:
        layers.append(_runs_layer(fit, fit.runs, name, plane_of))
    layers += curves
    if fit.runs is not None:
        layers += _edge(high, x, "largest run", name, look.MUTED, 0)
    for i, aim in enumerate(targets):
        layers += _edge(aim, x, "target", name, look.TARGET, 1 + i)
        layers += _landing(value, name, aim, plane_of)
    return look.finish(
        layers,
        "Loss against compute" if name == "C" else f"Loss against {tame(name)}",
        _words(fit, lines, outside, stack),
        about=_about(fit, name, lines, high, targets),
        width=width,
    )


def _law_of(value: Fit | Stack) -> Fit:
    """The fit whose optimum is followed: of a stack, the pool of those that know how to split compute."""
    return value if isinstance(value, Fit) else splitting(value).pooled


def _seen(fit: Fit, name: str) -> tuple[float, float]:
    """Least and largest value of the horizontal axis among the runs."""
    if fit.runs is not None and (name in fit.runs.columns or (name == "C" and {"N", "D"} <= set(fit.runs.columns))):
        values = compute(fit.runs) if name == "C" else fit.runs[name]
        good = values[np.isfinite(values) & (values > 0)]
        if good.size:
            return float(good.min()), float(good.max())
    low, high = fit.fitted_range.get(name, WITHOUT_RUNS)
    return (float(low), float(high)) if 0 < low < high else WITHOUT_RUNS


def _line(source: Fit | Stack, name: str, x: Array, level: str | None) -> _Line:
    fit = _law_of(source)
    N = D = None
    if plane(fit.law):
        N, D, height = frontier(fit, x, level)
        there = np.isfinite(height)
        x, N, D = x[there], N[there], D[there]
        given: dict[str, Any] = inputs(fit, N, D, level) if x.size else {}
    else:
        given = {name: x}
        if level is not None and fit.law.groups is not None:
            given[fit.law.groups.by] = level
    if not x.size:
        nothing = np.zeros(0)
        return _Line(level, x, nothing, (nothing, nothing), (nothing, nothing), N, D)
    found = source.predict(None, **given)
    c, p = found.confidence, found.prediction
    return _Line(level, x, found.estimate, (c.lower, c.upper), (p.lower, p.upper), N, D)


def _frame(fit: Fit, lines: Sequence[_Line]) -> tuple[tuple[float, float], int]:
    """Ends of the loss axis, and how many runs lie outside of them."""
    values = np.concatenate([line.loss for line in lines])
    observed = np.zeros(0) if fit.runs is None else fit.runs[fit.law.output]
    core = np.concatenate([values, np.quantile(observed, [0.01, 0.99]) if observed.size else observed])
    core = core[np.isfinite(core) & (core > 0)]
    if not core.size:
        return (1.0, 10.0), 0
    low, top = float(core.min()), float(core.max())
    banded = [b for line in lines for b in (*line.confidence, *line.prediction)] if len(lines) == 1 else []
    others = np.concatenate([observed, *banded])
    others = others[np.isfinite(others) & (others > 0)]
    if others.size:
        low = max(min(low, float(others.min())), low / FRAME)
        top = min(max(top, float(others.max())), top * FRAME)
    ends = axes.widened(low, top)
    return ends, int(np.sum((observed < ends[0]) | (observed > ends[1])))


def _law_layers(
    fit: Fit, lines: Sequence[_Line], where: Mapping[str, Any], width: int, stack: Stack | None
) -> tuple[list[look.Spec], list[look.Spec]]:
    """What lies under the runs (bands, tooltips of the line), and what lies over them (lines)."""
    if len(lines) > 1:
        return [], [_levels_layer(fit, lines, where, width)]
    line, said = lines[0], "the law" if stack is None else "the pool"
    said += ": least loss at each C" if plane(fit.law) else ""
    percent = f"{100 * fit.level:g} %"
    bands = {
        f"{percent}: where a new run lands": (look.RUN_BAND, line.prediction),
        f"{percent}: where the curve is": (look.CURVE_BAND, line.confidence),
    }
    drawn = {text: band for text, band in bands.items() if np.isfinite(band[1][0]).any()}
    color = look.key({said: look.LAW, **{text: band[0] for text, band in reversed(drawn.items())}}, width)
    between = {**where, "y2": {"field": "upper"}}
    layers = [
        look.keyed(
            look.layer(records(x=line.x, loss=lower, upper=upper), "area", between, clip=True, opacity=1), text, color
        )
        for text, (_, (lower, upper)) in drawn.items()
    ]
    extra = {} if line.N is None or line.D is None else {"N": line.N, "D": line.D}
    name = "C" if extra else fit.law.inputs[0]
    fields = {"x": (KINDS.get(name, "number"), tame(name)), "loss": ("loss", "loss")}
    fields |= {column: ("count", f"{column}*") for column in extra}
    rows = records(x=line.x, loss=line.loss, **extra)
    stroke = look.keyed(look.layer(rows, "line", where, strokeWidth=2.2, clip=True), said, color)
    hover = look.layer(rows, "circle", where, size=60, opacity=0, clip=True)
    members = [] if stack is None else [_member_layer(m, line, where) for m in stack.members]
    return [*layers, look.spoken(hover, fields)], [*members, stroke]


def _member_layer(member: Member, line: _Line, where: Mapping[str, Any]) -> look.Spec:
    """What one law of a pool says along the pool's line, from the smallest of its own rows on."""
    law, runs = member.fit.law, member.fit.runs
    columns = {law.inputs[0]: line.x}
    if line.N is not None and line.D is not None:
        columns = {"N": line.N, "D": line.D, "C": 6.0 * line.N * line.D}
    with np.errstate(all="ignore"):
        value = np.broadcast_to(law(member.fit.params, **{k: columns[k] for k in law.inputs}), line.x.shape)
    least = 0.0
    if runs is not None:
        least = float((compute(runs) if line.N is not None else runs[law.inputs[0]]).min())
    rows = [row for row in records(x=line.x, loss=value) if row["loss"] is not None and row["x"] >= least]
    return look.layer(rows, "line", where, color=look.INK, strokeWidth=0.9, opacity=0.45, clip=True)


def _levels_layer(fit: Fit, lines: Sequence[_Line], where: Mapping[str, Any], width: int) -> look.Spec:
    named = [tame(str(line.level)) for line in lines]
    rows = [
        row
        for line, level in zip(lines, named)
        for row in records(x=line.x, loss=line.loss, level=np.full(len(line.x), level))
    ]
    color = {
        "field": "level",
        "type": "nominal",
        "scale": {"domain": named, "range": (list(look.CATEGORIES) * len(named))[: len(named)]},
        "legend": {
            "title": tame(fit.law.groups.by) if fit.law.groups is not None else None, "symbolType": "circle",
            "columns": 2 if width < look.NARROW else 4,
        },
    }  # fmt: skip
    return look.layer(rows, "line", {**where, "color": color}, strokeWidth=2.2, clip=True)


def _runs_layer(fit: Fit, runs: Runs, name: str, where: Mapping[str, Any]) -> look.Spec:
    rows = shown(len(runs))
    columns: dict[str, Any] = {
        "x": (compute(runs) if name == "C" else runs[name])[rows],
        "loss": runs[fit.law.output][rows],
        "run": run_names(runs)[rows],
    }
    fields = {"run": ("text", ""), "x": (KINDS.get(name, "number"), tame(name)), "loss": ("loss", "loss")}
    for extra in ("N", "D"):
        if extra in runs.columns and extra != name:
            columns[extra] = runs[extra][rows]
            fields[extra] = ("count", extra)
    looks: dict[str, Any] = {"stroke": "white", "strokeWidth": 0.5}
    encoding = dict(where)
    if fit.law.groups is not None:
        by = fit.law.groups.by
        columns["level"] = np.array([tame(str(v)) for v in runs.labels[by][rows]])
        encoding["color"] = {"field": "level", "type": "nominal"}
        fields["level"] = ("text", tame(by))
        looks = {}
    elif "N" in columns and len(np.unique(columns["N"])) > 1:
        domain = (float(columns["N"].min()), float(columns["N"].max()))
        encoding["fill"] = {**look.quantity("N"), **look.ramp("runs, by parameters N", "count", domain)}
    else:
        looks["fill"] = look.RUN
    dots = look.layer(
        records(**columns), "point", encoding, shape="circle", filled=True, size=38, opacity=0.9, clip=True, **looks
    )
    return look.spoken(dots, fields)


def _edge(value: float, x: look.Spec, what: str, name: str, color: str, line: int) -> list[look.Spec]:
    """A vertical rule with its words at the top."""
    number = format_short(value, "flop").removesuffix(" FLOP") if name == "C" else format_short(value)
    rows = [{"x": float(value), "label": f"{what} {number}"}]
    dash = [4, 3] if color == look.MUTED else [1, 0]
    return [
        look.layer(rows, "rule", {"x": x}, color=color, strokeDash=dash, strokeWidth=1.2, opacity=0.8),
        *look.words(
            rows, {"x": x, "y": {"value": 0}}, color, align="right", baseline="top", dx=-5, dy=2 + 17 * line
        ),
    ]  # fmt: skip


def _landing(source: Fit | Stack, name: str, value: float, where: Mapping[str, Any]) -> list[look.Spec]:
    """The law at the target, with the interval of a new run."""
    if isinstance(source, Fit) and len(levels(source)) > 1:
        return []
    line = _line(source, name, np.array([value]), levels(source)[0] if isinstance(source, Fit) else None)
    if not line.x.size:
        return []
    lower, upper = line.prediction
    rows = records(x=line.x, loss=line.loss, lower=lower, upper=upper)
    mark = look.layer(rows, "point", where, shape="diamond", filled=True, size=95, color=look.TARGET, opacity=1)
    spoken = look.spoken(mark, {"x": (KINDS.get(name, "number"), tame(name)), "loss": ("loss", "loss")})
    if not np.isfinite(lower).all():
        return [spoken]
    ends = {"x": where["x"], "y": {**where["y"], "field": "lower"}, "y2": {"field": "upper"}}
    return [look.layer(rows, "rule", ends, color=look.TARGET, strokeWidth=2.6, clip=True), spoken]


def _words(fit: Fit, lines: Sequence[_Line], outside: int, stack: Stack | None) -> list[str]:
    if fit.runs is None:
        said = [f"published constants {fit.source}: no runs stand behind this line"]
    elif len(lines) > 1:
        said = ["dots: runs; lines: the law, one for each level"]
    elif plane(fit.law):
        said = ["each dot is one run; runs above the line spent their compute less than optimally"]
    else:
        said = ["each dot is one run"]
    if stack is not None and len(stack.members) > 1:
        said.append("thin lines: the laws of the pool, one by one")
    if all(line.loss.size == 0 for line in lines):
        said.append("the law has no line of compute-optimal runs here: its loss has no minimum along a budget")
    if outside:
        said.append(f"{outside} run{'s lie' if outside > 1 else ' lies'} outside of the frame")
    if fit.runs is not None and thinned(len(fit.runs)):
        said.append(thinned(len(fit.runs)))
    return said


def _about(fit: Fit, name: str, lines: Sequence[_Line], high: float, targets: Sequence[float]) -> str:
    parts = [f"Loss against {tame(name)} on logarithmic axes."]
    if fit.runs is not None:
        parts.append(f"{len(fit.runs)} runs, the largest at {tame(name)} = {high:.3g}.")
    line = lines[0]
    if line.loss.size:
        parts.append(
            f"The law falls from {line.loss[0]:.4g} at {line.x[0]:.2g} to {line.loss[-1]:.4g} at {line.x[-1]:.2g}."
        )
    parts += [f"Marked target: {value:.3g}." for value in targets]
    return " ".join(parts)

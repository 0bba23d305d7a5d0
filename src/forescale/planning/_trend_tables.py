# SPDX-License-Identifier: Apache-2.0
"""What stands beside a trend: means, influence, errors beyond a threshold, descriptions, curves, warnings."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.judge.regimes import Regimes
from forescale.planning import _trend
from forescale.planning._curves import band
from forescale.planning._intervals import interval
from forescale.planning._plan import Table
from forescale.planning._show import show
from forescale.planning._trend import Drawn
from forescale.runs.table import Runs

Array = NDArray[np.float64]


class Asked(Protocol):
    """The fields of the query that are read here."""

    @property
    def y(self) -> str: ...
    @property
    def better(self) -> str: ...
    @property
    def at(self) -> float | None: ...
    @property
    def below(self) -> float | None: ...


LEAST = 6
"""Different sizes below which nothing is said to be beyond chance: each of the two lines needs three for a slope with
a residual, and the four sizes of one family never do."""
BEYOND = 10.0
"""Sizes further out than this factor are said to be."""
NEXT = 3.0
"""How far beyond the threshold the next models are, in the table of errors."""
UNITS = {"C": "FLOP", "N": "parameters", "D": "tokens"}
TURNS = {"U-shape": "U-shape", "inverted-U": "inverted U"}


def apart(values: Array, level: float) -> bool:
    """Whether an interval excludes zero."""
    ends = interval(values, level)
    return ends is not None and (ends[0] > 0 or ends[1] < 0)


def by_size(log: Array, y: Array, w: Array, unit: str, metric: str) -> Table:
    """Means along the size: of each one where they are few, else of thirds of the rows."""
    order = np.argsort(log, kind="stable")
    levels = np.unique(log)
    if levels.size <= 8:
        parts = [np.flatnonzero(log == level) for level in levels]
    else:
        parts = list(np.array_split(order, 3))
    rows = tuple(
        (
            10.0 ** float(log[part].min()), 10.0 ** float(log[part].max()), int(part.size),
            float(np.average(y[part], weights=w[part])) if w[part].sum() > 0 else math.nan,
        )
        for part in parts
    )  # fmt: skip
    return Table(
        "means", "Means along the size", (("from", unit), ("to", unit), ("rows", "count"), (metric, "")), rows
    )


def influence(
    log: Array, y: Array, drawn: Drawn, clusters: NDArray[np.str_] | None, label: str, unit: str
) -> list[Table]:
    """The turn and the curvature without each family: the five that move the curvature most."""
    if clusters is None or label in ("items", "problems") or len(set(clusters)) < 3:
        return []
    lines = _trend.left_out(log, y, drawn.weights[0], clusters)
    lines.sort(key=lambda line: -abs(line[2] - drawn.curvature[0]))
    rows = tuple((name, 10.0 ** min(max(turn, -300.0), 300.0), bend) for name, turn, bend in lines[:5])
    return [
        Table("sensitivity", "Without one of the groups", (("without", ""), ("turn", unit), ("curvature", "")), rows)
    ]


def described(found: Regimes) -> list[Table]:
    if not found.scores:
        return []
    rows = tuple(sorted(((name, float(score)) for name, score in found.scores.items()), key=lambda row: row[1]))
    return [
        Table(
            "alternatives",
            "Descriptions of the same rows",
            (("description", ""), ("worse by (BIC)", "")),
            rows,
            "Ten is decisive; two is not. Of the logarithm where all values are positive.",
        )
    ]


def tested(whole: Runs, query: Asked, name: str, slices: tuple[Array, Array, Array] | None, w: Array) -> list[Table]:
    """Forecasts of what lies beyond the threshold against what is there: slices, and a line."""
    if query.below is None:
        return []
    keep = whole[name] < query.below
    if keep.all():
        return []
    log = np.log10(whole[name])
    target = whole[query.y] if slices is None else slices[2]
    once = w[None, :]
    made = {"a line in log size": _trend.line_at(log[keep], target[keep], once, log[~keep])[0]}
    if slices is not None:
        easy, hard, accuracy = (half[keep] for half in slices)
        made = {"slices of difficulty": _trend.sandwich(log[keep], easy, hard, accuracy, once, log[~keep])[0], **made}
    made["no change from the largest"] = np.full(int((~keep).sum()), target[keep][np.argmax(log[keep])])
    gap = log[~keep] - math.log10(query.below)
    rows = tuple(
        (way, f"up to {NEXT:g}x beyond" if near else "all beyond", int(some.sum()),
         float(np.mean(np.abs(p - target[~keep])[some])), float(np.mean((p - target[~keep])[some])))
        for near, some in ((True, gap <= math.log10(NEXT)), (False, np.ones(gap.size, dtype=bool)))
        if some.any()
        for way, p in made.items()
    )  # fmt: skip
    return [
        Table(
            "backtest",
            "Forecasts beyond the threshold",
            (("by", ""), ("rows", ""), ("count", "count"), ("mean distance", ""), ("too high by", "")),
            rows,
        )
    ]


def curves(
    log: Array, y: Array, drawn: Drawn, name: str, metric: str, level: float
) -> Frozen[str, Frozen[str, Array]]:
    grid = np.linspace(float(log.min()), float(log.max()), 41)
    center = float(log.mean())
    bent = _trend.values(_trend.polynomials(log - center, y, drawn.weights, 2), grid - center)
    low, high = band(bent, level)
    line = _trend.line_at(log, y, drawn.weights[:1], grid)[0]
    return Frozen(
        {"trend": Frozen({name: 10.0**grid, metric: bent[0], "lower": low, "upper": high, "one line": line})}
    )


def warnings(
    shape: str, drawn: Drawn, log: Array, sizes: int, label: str, query: Asked, sliced: bool, level: float
) -> list[Finding]:
    found: list[Finding] = []
    if sizes < LEAST:
        found.append(
            Finding(
                "few-sizes",
                "amber",
                f"{sizes} different sizes: whatever their order, nothing is claimed about the next one.",
                "Resampled items tell these models apart; they do not tell what size does.",
            )
        )
    if label in ("items", "problems"):
        found.append(
            Finding(
                "items", "amber", f"Intervals are over {label}: they speak for these models, not for other sizes."
            )
        )
    if shape in TURNS:
        found.append(
            Finding(
                "turns",
                "amber",
                f"It turns: {TURNS[shape]}, slopes {drawn.before[0]:+.3g} and {drawn.after[0]:+.3g} per decade.",
                "No monotone law may be fitted through the turn.",
            )
        )
    if shape == "bent":
        found.append(
            Finding(
                "bends",
                "amber",
                "The curvature is not zero, and the slopes on both sides are not shown to differ in sign.",
                "It levels off, speeds up, or turns too near the end to be seen.",
            )
        )
    worse = (drawn.slope[0] < 0) == (query.better == "higher")
    if shape == "inverse" or (shape not in ("undetermined", "plateau") and worse and apart(drawn.slope, level)):
        found.append(
            Finding(
                "inverse",
                "amber",
                f"{query.y} gets worse with size, by {abs(drawn.slope[0]):.3g} per decade.",
                "Of eleven inverse tasks six turned at five times the compute (Wei et al. 2022): examples in the "
                "prompt or reasoning steps may turn it too. The data before the turn do not say.",
            )
        )
    if query.at is not None:
        ratio = query.at / 10.0 ** float(log.max())
        if ratio > BEYOND:
            found.append(
                Finding("distance", "amber", f"The size asked about is {show(ratio, 'x')} the largest seen.")
            )
    if sliced:
        found.append(
            Finding(
                "degree-five",
                "amber",
                "A polynomial of degree five is extrapolated: its interval grows with every tenth of a decade.",
                "Read the backtest beside it.",
            )
        )
    return found

# SPDX-License-Identifier: Apache-2.0
"""Which regime is a curve in? Local exponents, change points, and a name for the trend.

In log-log coordinates a power law is a line. Four descriptions compete: flat, one power, a power with a floor, and
up to four breaks between powers; a quadratic in the logarithm of the variable, with the two-lines test, finds trends
that turn. Scores are BIC with the residual degrees of freedom in place of n (short curves have few); a break costs
three parameters: its place, its change of slope and the search for it. Where values are not all positive, the trend
alone is judged, in the value itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.columns import resolve
from forescale.core.errors import DataError, QueryError, message
from forescale.core.files import to_plain
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.judge._trends import (
    FEWEST_TURN,
    Curve,
    Scores,
    half_width,
    least,
    local_slopes,
    powers,
    turning,
    with_floor,
)
from forescale.numerics.segmented import Segmented, segmented
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

TAGS = {
    "power": "one power law, with or without a floor",
    "variance-limited": "an exponent near -1: more data average out noise, and the trend need not go on",
    "plateau": "nothing changes any more",
    "inverse": "it gets worse with size",
    "U-shape": "it falls, then rises",
    "inverted-U": "it rises, then falls",
    "broken": "the exponent changes at one or more sizes",
    "monotone": "it gets better with size (values that are not all positive have no exponent)",
    "undetermined": "the rows do not tell",
}

VARIANCE = (0.85, 1.15)
"""Exponents that are called variance-limited (Bahri et al. 2021: 1)."""

FLAT = 0.1
"""A change of less than this (10 %) over all sizes, with the whole of its interval, is no change."""

BREAK = 3.0
"""Parameters that a break counts for. On pure powers 1 to 5 % of curves of 8 to 300 sizes then show a break."""


@dataclass(frozen=True)
class Segment:
    """One piece of a curve: `exponent` is d ln y / d ln x between `low` and `high`, with its interval."""

    low: float
    high: float
    exponent: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Break:
    """A change of the exponent: where, and the interval of the place."""

    at: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Regimes:
    """What a curve does.

    Attributes:
        x, y: the columns.  rows: used.  sizes: distinct values of x.
        better: "lower" or "higher": what counts as progress.
        tag: one of `TAGS`.  sentence: it in words.
        model: "flat", "power", "power with a floor", "1 break", ... or, for trends that turn, "quadratic"; for values
            that are not all positive "flat", "linear" or "quadratic" in ln x.
        segments: pieces with their exponents; one without breaks, none where values are not all positive.
        breaks: between them.
        floor: of the power with a floor, else None.  excess: exponent of what is above it, with its interval.
        turn: where a trend turns, else None.  turn_interval: of that.
        curvature: second-order coefficient of the quadratic in log10 x (of log10 y, or of y where not all positive).
        scores: description -> how much worse than the best one it is (BIC; 10 is decisive).
        local: "x", "exponent", "error": slopes in a moving window with their standard errors.
        sigma: residual standard deviation of the chosen description (of ln y, or of y).
        level: of all intervals.
    """

    x: str
    y: str
    rows: int
    sizes: int
    better: str
    tag: str
    sentence: str
    model: str
    segments: tuple[Segment, ...]
    breaks: tuple[Break, ...]
    floor: float | None
    excess: tuple[float, tuple[float, float]] | None
    turn: float | None
    turn_interval: tuple[float, float] | None
    curvature: float | None
    scores: Mapping[str, float]
    local: Mapping[str, Array]
    sigma: float
    level: float

    def summary(self) -> str:
        """Plain text: the tag and the sentence, the segments, the breaks, what was compared."""
        share = f"{100 * self.level:.0f} %"
        lines = [f"{self.y} against {self.x}: {self.tag}", self.sentence]
        if self.segments:
            lines.append(f"\nSegments: exponent d ln {self.y} / d ln {self.x}, {share} interval")
            for s in self.segments:
                low, high = s.interval
                lines.append(
                    f"  {_size(s.low):>8} to {_size(s.high):<8} {s.exponent:+.4f}  ({low:+.4f}, {high:+.4f})"
                )
        for b in self.breaks:
            lines.append(f"  break at {_size(b.at)}  ({_size(b.interval[0])}, {_size(b.interval[1])})")
        if self.excess is not None and self.floor is not None:
            value, (low, high) = self.excess
            lines.append(f"  above a floor of {self.floor:.4g}: {value:+.4f}  ({low:+.4f}, {high:+.4f})")
        if self.scores:
            told = ", ".join(f"{name} {score:.1f}" for name, score in sorted(self.scores.items(), key=lambda i: i[1]))
            lines.append(f"\nCompared (BIC above the best): {told}")
        lines.append(f"{self.rows} rows, {self.sizes} sizes")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = (
            "x", "y", "rows", "sizes", "better", "tag", "sentence", "model", "floor", "turn", "turn_interval",
            "curvature", "sigma", "level",
        )  # fmt: skip
        out: dict[str, Any] = {name: to_plain(getattr(self, name)) for name in names}
        out["segments"] = [
            {"low": s.low, "high": s.high, "exponent": s.exponent, "interval": list(s.interval)}
            for s in self.segments
        ]
        out["breaks"] = [{"at": b.at, "interval": list(b.interval)} for b in self.breaks]
        out["excess"] = None if self.excess is None else {"exponent": self.excess[0], "interval": [*self.excess[1]]}
        out["scores"] = dict(self.scores)
        out["local"] = {name: to_plain(values) for name, values in self.local.items()}
        return out


def regimes(
    runs: Runs, x: str | None = None, y: str | None = None, *, better: str | None = None, level: float = 0.90
) -> Regimes:
    """Name the regime of a curve of one variable.

    Args:
        runs: one curve; several curves are several calls.
        x: column of the variable; default the first of C, N, D, steps that varies.
        y: column of the metric; default "loss", or "score" in a table without losses.
        better: "lower" for losses and errors, "higher" for accuracies; default "higher" for score.
        level: of all intervals.

    Raises:
        ColumnError: a column is missing.
        DataError: fewer than three rows, a variable that is not positive, values that are not finite.
        QueryError: `better` or `level` make no sense.
    """
    name = _known(runs, y) if y is not None else ("loss" if "loss" in runs.columns else "score")
    variable = _known(runs, x) if x is not None else _variable(runs)
    better = better or ("higher" if name == "score" else "lower")
    table = require(runs, variable, name)
    return regimes_of(table[variable], table[name], table.weights, names=(variable, name), better=better, level=level)


def _known(runs: Runs, name: str) -> str:
    """The column of that name, or the canonical one that it is another name of."""
    return name if name in runs.columns else next(iter(resolve([name]).columns), name)


def _variable(runs: Runs) -> str:
    for name in ("C", "N", "D", "steps"):
        if name in runs.columns and np.unique(runs[name]).size > 1:
            return name
    raise QueryError(
        message("no column x was named", "one of C, N, D, steps that varies", 'regimes(runs, x="tokens", y="loss")')
    )


def regimes_of(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    names: tuple[str, str] = ("x", "y"),
    better: str = "lower",
    level: float = 0.90,
) -> Regimes:
    """As `regimes`, from arrays (n,); `names` is what the two are called."""
    if better not in ("lower", "higher"):
        raise QueryError(message(f"better={better!r}", "lower or higher"))
    if not 0.0 < level < 1.0:
        raise QueryError(message(f"an interval level of {level}", "a number between 0 and 1, e.g. 0.9"))
    at, value = (np.asarray(a, dtype=np.float64).ravel() for a in (x, y))
    w = np.ones(at.size) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if not at.size == value.size == w.size:
        raise DataError(message(f"{at.size} x, {value.size} y, {w.size} weights", "as many of each"))
    at, value, w = at[w > 0], value[w > 0], w[w > 0]
    if at.size < 3:
        raise DataError(message(f"{at.size} rows", "at least 3", "add runs"))
    if not (np.isfinite(at).all() and np.isfinite(value).all() and np.isfinite(w).all()):
        raise DataError(message("values that are not finite", "a number in each row", "drop these rows"))
    if (at <= 0).any():
        raise DataError(message(f"x falls to {at.min():g}", "positive sizes: exponents need their logarithm"))
    order = np.lexsort((value, at))
    curve = Curve(np.log(at[order]), value[order], w[order] * (at.size / w.sum()), better, level)
    found = _positive(curve) if (value > 0).all() else _signed(curve)
    return Regimes(
        x=names[0], y=names[1], rows=at.size, sizes=curve.levels.size, better=better, level=level,
        local=Frozen(local_slopes(curve)), **found,
    )  # fmt: skip


# --- positive values: exponents ------------------------------------------------------------------------------------


def _positive(curve: Curve) -> dict[str, Any]:
    y = np.log(curve.value)
    lines = segmented(curve.x, y, curve.w)
    flat, line = (least(powers(curve.x - curve.x.mean(), k), y, curve.w) for k in (0, 1))
    scores = Scores(line, y)
    compared = {"flat": scores.of(flat.squares, 1, -1.0), "power": 0.0}
    floor = with_floor(curve) if curve.better == "lower" and line.c[1] < 0 and curve.levels.size > 3 else None
    if floor is not None:
        compared["power with a floor"] = scores.of(floor.squares, 3, 1.0)
    for k, found in enumerate(lines[1:], start=1):
        compared[_breaks(k)] = scores.of(found.squares, 2 + 2 * k, BREAK * k)
    model = min(compared, key=lambda name: (compared[name], len(name)))
    k = int(model.split()[0]) if model.endswith(("break", "breaks")) else 0
    chosen = lines[k]
    df = curve.n - 2 - 2 * k
    segments, breaks = _pieces(curve, chosen, df)
    out: dict[str, Any] = {
        "model": model, "segments": segments, "breaks": breaks, "floor": None, "excess": None, "turn": None,
        "turn_interval": None, "curvature": None,
    }  # fmt: skip
    squares = {"flat": flat.squares, "power with a floor": floor.squares if floor else 0.0}.get(model, chosen.squares)
    used = {"flat": 1, "power with a floor": 3}.get(model, 2 + 2 * k)
    out["sigma"] = math.sqrt(squares / (curve.n - used)) if curve.n > used else math.nan
    turn = turning(curve, y)
    if turn is not None:
        out["curvature"] = turn["curvature"] * math.log(10.0)
    signs = _signs(segments)
    turned = {"-+": "U-shape", "+-": "inverted-U"}.get(signs)
    if turn is not None and turn["tag"]:
        compared["quadratic"] = scores.of(turn["squares"], 3, 1.0)
    if turned and curve.levels.size >= FEWEST_TURN and compared[model] <= compared.get("quadratic", math.inf):
        first = segments[0].exponent
        place = next(b for b, s in zip(breaks, segments[1:]) if s.exponent * first < 0)
        out |= {"turn": place.at, "turn_interval": place.interval}
        tag, sentence = turned, _turned(turned, place.at)
    elif turn is not None and turn["tag"]:
        out |= {"model": min(compared, key=lambda name: (compared[name], len(name)))}
        out |= {"turn": turn["turn"], "turn_interval": turn["interval"]}
        tag, sentence = turn["tag"], _turned(turn["tag"], turn["turn"])
    elif curve.levels.size < 3:
        tag, sentence = "undetermined", f"{curve.levels.size} sizes give no trend; at least 3 do."
    elif model == "flat":
        tag, sentence = _flat(curve, segments[0].interval, 1.0)
    elif model == "power with a floor" and floor is not None:
        value, half = -float(floor.c[1]), half_width(floor.spread[1, 1], floor.squares, floor.df, curve.level)
        out |= {"floor": float(floor.c[2]), "excess": (value, (value - half, value + half))}
        limited = VARIANCE[0] <= -value <= VARIANCE[1]
        tag = "variance-limited" if limited else "power"
        sentence = f"What is above a floor of {floor.c[2]:.4g} goes as the power {value:.3f} of the size."
        if limited:
            sentence += " An exponent near -1 is noise that averages out: do not carry it further."
    elif k:
        tag, sentence = _broken(curve, segments, breaks)
    else:
        tag, sentence = _one_power(curve, segments[0])
    return out | {"tag": tag, "sentence": sentence, "scores": _relative(compared)}


def _breaks(k: int) -> str:
    return f"{k} break" + "s" * (k > 1)


def _relative(compared: Mapping[str, float]) -> Mapping[str, float]:
    best = min(compared.values())
    return Frozen({name: value - best for name, value in compared.items() if math.isfinite(value)})


def _pieces(curve: Curve, found: Segmented, df: int) -> tuple[tuple[Segment, ...], tuple[Break, ...]]:
    edges = [float(curve.x[0]), *found.breaks.tolist(), float(curve.x[-1])]
    segments = []
    for j, slope in enumerate(found.slopes.tolist()):
        half = half_width(float(found.slope_spread[j, j]), found.squares, df, curve.level)
        segments.append(Segment(math.exp(edges[j]), math.exp(edges[j + 1]), slope, (slope - half, slope + half)))
    breaks = []
    for at, spread in zip(found.breaks.tolist(), found.break_spread.tolist()):
        half = half_width(spread, found.squares, df, curve.level)
        ends = (max(at - half, edges[0]), min(at + half, edges[-1]))
        breaks.append(Break(math.exp(at), (math.exp(ends[0]), math.exp(ends[1]))))
    return tuple(segments), tuple(breaks)


def _signs(segments: tuple[Segment, ...]) -> str:
    """Signs of the exponents that differ from zero, repeats merged: "-", "-+", ..."""
    signs = ""
    for s in segments:
        sign = "+" if s.interval[0] > 0 else ("-" if s.interval[1] < 0 else "")
        signs += "" if signs.endswith(sign) else sign
    return signs


def _one_power(curve: Curve, segment: Segment) -> tuple[str, str]:
    low, high = segment.interval
    if low <= 0.0 <= high:
        return "undetermined", f"The exponent {segment.exponent:+.3f} ({low:+.3f}, {high:+.3f}) may be zero."
    if not curve.good(segment.exponent):
        return "inverse", f"It gets worse with size: exponent {segment.exponent:+.3f} ({low:+.3f}, {high:+.3f})."
    text = f"One power of the size: exponent {segment.exponent:+.3f} ({low:+.3f}, {high:+.3f})."
    if curve.better == "lower" and VARIANCE[0] <= -segment.exponent <= VARIANCE[1]:
        return "variance-limited", text + " Near -1 it is noise that averages out: do not carry it further."
    return "power", text


def _flat(curve: Curve, interval: tuple[float, float], unit: float) -> tuple[str, str]:
    change = max(abs(interval[0]), abs(interval[1])) * curve.span / unit
    if change <= FLAT:
        return "plateau", f"Nothing changes with size: less than {100 * change:.2g} % over all of it."
    return "undetermined", "No trend is seen, and none of less than " + (
        f"{100 * change:.2g} % over all sizes could be." if math.isfinite(change) else "any size could be."
    )


def _broken(curve: Curve, segments: tuple[Segment, ...], breaks: tuple[Break, ...]) -> tuple[str, str]:
    last, before = segments[-1], segments[-2]
    places = ", ".join(_size(b.at) for b in breaks)
    steps = ", ".join(f"{s.exponent:+.3f}" for s in segments)
    earlier = f"the exponent was {segments[0].exponent:+.3f}"
    if len(segments) > 2:
        earlier = "exponents were " + ", ".join(f"{s.exponent:+.3f}" for s in segments[:-1])
    largest = max(abs(last.interval[0]), abs(last.interval[1])) * (math.log(last.high) - math.log(last.low))
    if largest <= FLAT and last.interval[0] <= 0.0 <= last.interval[1] and abs(before.exponent) > abs(last.exponent):
        return "plateau", f"Nothing changes any more above {_size(last.low)}; before, {earlier}."
    return "broken", f"The exponent changes at {places}: {steps}. Only the last one says what comes next."


def _size(x: float) -> str:
    return format_short(x)


def _turned(tag: str, at: float) -> str:
    way = "falls to about {} and rises" if tag == "U-shape" else "rises to about {} and falls"
    return f"It {way.format(_size(at))} beyond: no power law may be carried over the turn."


# --- values of either sign -----------------------------------------------------------------------------------------


def _signed(curve: Curve) -> dict[str, Any]:
    y = curve.value
    out: dict[str, Any] = {
        "segments": (), "breaks": (), "floor": None, "excess": None, "turn": None, "turn_interval": None,
        "curvature": None,
    }  # fmt: skip
    turn = turning(curve, y)
    if turn is None:
        tag, sentence = "undetermined", f"{curve.levels.size} sizes give no trend; at least 3 do."
        return out | {"tag": tag, "sentence": sentence, "model": "flat", "sigma": math.nan, "scores": Frozen({})}
    compared = {name: turn[name] for name in ("flat", "linear", "quadratic")}
    model = min(compared, key=lambda name: (compared[name], len(name)))
    line = least(powers(curve.x - curve.x.mean(), 1), y, curve.w)
    low, high = line.interval(1, curve.level)
    degree = ("flat", "linear", "quadratic").index(model)
    sigma = least(powers(curve.x - curve.x.mean(), degree), y, curve.w).sigma
    out |= {"model": model, "sigma": sigma, "scores": _relative(compared)}
    out["curvature"] = turn["curvature"] * math.log(10.0) ** 2
    if turn["tag"]:
        out |= {"turn": turn["turn"], "turn_interval": turn["interval"]}
        return out | {"tag": turn["tag"], "sentence": _turned(turn["tag"], turn["turn"])}
    if model == "flat":
        tag, sentence = _flat(curve, (low, high), float(np.abs(y).max()) or 1.0)
    elif low <= 0.0 <= high:
        tag, sentence = "undetermined", "Neither rise nor fall nor a turn is beyond doubt."
    elif curve.good(float(line.c[1])):
        tag, sentence = "monotone", "It gets better with size; values of either sign have no exponent."
    else:
        tag, sentence = "inverse", "It gets worse with size."
    return out | {"tag": tag, "sentence": sentence}

# SPDX-License-Identifier: Apache-2.0
"""Calibration: do predictions with error bars come out as often as they say, and how short are the bars?

Over plain arrays, by distance: the share of outcomes inside the band with limits that know about clusters, the mean
interval score and CRPS (both proper: too short and too long cost alike), and the PIT, which is uniform where the
predictive distribution is right (Gneiting, Balabdaoui & Raftery 2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, InputError, message
from forescale.core.files import to_json
from forescale.fitting._tails import t_quantile
from forescale.judge import _proper

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

EDGES = (3.0, 10.0)
"""Distance bins of the extrapolation benchmark: up to 3x, 3-10x, beyond."""
SHAPE = 10
"""Bins of the PIT histogram."""
LIMITS = 0.95
"""Level of the limits of a share."""


@dataclass(frozen=True)
class Stretch:
    """One range of distance, or all of them.

    Attributes:
        name: "<= 3x", "3-10x", "> 10x", "all".
        points, clusters: predictions, and independent units among them.
        covered: share inside the band; low, high: its 95 % limits.
        width: mean full width of the band. interval_score, crps: means; NaN where the CRPS is not defined.
        pit_mean, pit_sd: 1/2 and 0.289 where predictions are right. uniform: p value of a uniform PIT.
        effective: how many independent predictions the PIT values are worth.
    """

    name: str
    points: int
    clusters: int
    covered: float
    low: float
    high: float
    width: float
    interval_score: float
    crps: float
    pit_mean: float
    pit_sd: float
    uniform: float
    effective: float

    def verdict(self, level: float) -> str:
        """ "holds" where the nominal level lies inside the limits, else "too short" or "too long"."""
        return "too short" if self.high < level else "too long" if self.low > level else "holds"


@dataclass(frozen=True, eq=False)
class Calibration:
    """How predictions with error bars were borne out.

    Attributes:
        level: nominal level of the bands.
        unit: "log" (widths and scores are relative) or "raw".
        all: every prediction. by_distance: the ranges that hold predictions; empty without distances.
        pit: (k,) probability that the prediction gave to outcomes at or below what came.
        distance: (k,) or empty.
        notes: what the reader must know.
    """

    level: float
    unit: str
    all: Stretch
    by_distance: tuple[Stretch, ...]
    pit: Array
    distance: Array
    notes: tuple[str, ...] = ()

    @property
    def histogram(self) -> NDArray[np.intp]:
        """(10,) PIT values per tenth."""
        return np.histogram(self.pit, bins=SHAPE, range=(0.0, 1.0))[0].astype(np.intp)

    @property
    def shape(self) -> str:
        """What the PIT says, in words."""
        return _shape(self.all)

    def summary(self) -> str:
        """Plain text: one line per range of distance, and the shape of the PIT."""
        scale = 100.0 if self.unit == "log" else 1.0
        unit = " %" if self.unit == "log" else ""
        percent = f"{100 * self.level:g} %"
        lines = [
            f"Calibration of {self.all.points} predictions at {percent}: {100 * self.all.covered:.0f} % inside "
            f"(95 % limits {100 * self.all.low:.0f}-{100 * self.all.high:.0f} %): "
            + {"holds": "nothing says that the bands are off", "too short": "the bands are too short"}.get(
                self.all.verdict(self.level), "the bands are too long"
            ),
            "  distance   predictions (units)   inside   95 % limits   half-width   interval score      CRPS   PIT p",
        ]
        for row in (*self.by_distance, self.all):
            fit = f"{row.uniform:9.3f}" if math.isfinite(row.uniform) else "        -"
            crps = f"{scale * row.crps:7.3f}{unit}" if math.isfinite(row.crps) else "       -  "
            lines.append(
                f"  {row.name:9s} {row.points:9d} ({row.clusters:d})".ljust(33)
                + f"{100 * row.covered:6.0f} %   {100 * row.low:4.0f}-{100 * row.high:3.0f} %"
                f"   {scale * row.width / 2:8.3f}{unit}   {scale * row.interval_score:11.3f}{unit} {crps} {fit}"
            )
        lines.append(f"  {self.shape}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "schema": "forescale/calibration",
            "version": 1,
            "level": self.level,
            "unit": self.unit,
            "all": _plain(self.all, self.level),
            "by_distance": [_plain(row, self.level) for row in self.by_distance],
            "pit_histogram": self.histogram.tolist(),
            "shape": self.shape,
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict())

    def __str__(self) -> str:
        return self.summary()


def calibration(
    observed: ArrayLike,
    estimate: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    *,
    sd: ArrayLike | None = None,
    df: ArrayLike = math.inf,
    draws: ArrayLike | None = None,
    level: float = 0.90,
    distance: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    edges: Sequence[float] = EDGES,
    unit: str = "log",
    notes: Sequence[str] = (),
) -> Calibration:
    """The calibration of k predictions.

    A prediction is one of three: a band (`estimate`, `lower`, `upper`: read as a Student-t distribution with its
    median at the estimate and a scale of its own on each side), a mean with its standard error (`estimate`, `sd`), or
    `draws`.

    Args:
        observed, estimate, lower, upper: (k,) in the units of the outcome. `estimate` defaults to the middle of the
            band or the median of the draws.
        sd: (k,) scale of the predictive t distribution: of log outcome where `unit` is "log".
        df: degrees of freedom of bands or `sd`, one number or (k,); infinity is the normal distribution.
        draws: (k, m) draws of the outcome.
        level: nominal level of the band.
        distance: (k,) >= 0, e.g. compute over largest compute fitted.
        cluster: (k,) labels of what shares its luck: a fit, a run, a data set. Default: every prediction by itself.
        edges: where ranges of distance end.
        unit: "log" compares logarithms, and widths and scores are relative; "raw" compares as given.
        notes: sentences to carry along.

    Raises:
        InputError: none or several of the three kinds, an unknown unit, falling edges, a level outside (0, 1).
        DataError: no predictions, shapes that differ, bands upside down, values without logarithm or not finite.
    """
    if unit not in ("log", "raw"):
        raise InputError(message(f"unit {unit!r}", "log or raw"))
    if not 0.0 < level < 1.0:
        raise InputError(message(f"a level of {level}", "a number between 0 and 1, e.g. 0.9"))
    if any(not a < b for a, b in pairwise((0.0, *edges))):
        raise InputError(message(f"distance edges {tuple(edges)}", "rising positive numbers, e.g. (3, 10)"))
    band = lower is not None and upper is not None
    if (lower is None) != (upper is None) or sum((band, sd is not None, draws is not None)) != 1:
        raise InputError(
            message("predictions must come in one form", "lower and upper, or estimate and sd, or draws (k, m)")
        )
    y = _column("observed", observed, None, unit)
    k = y.size
    if k == 0:
        raise DataError(message("no predictions", "one or more"))
    if draws is not None:
        pit, crps, low, high = _from_draws(y, draws, level, unit)
    else:
        freedom = _plain_column("df", df, k, infinite=True)
        if not (freedom > 0).all():
            raise DataError(message("degrees of freedom that are not positive", "positive numbers, or inf"))
        q = np.array([t_quantile(level, one) for one in np.unique(freedom)])
        q = q[np.searchsorted(np.unique(freedom), freedom)]
        if band:
            low, high = _column("lower", lower, k, unit), _column("upper", upper, k, unit)
            centre = 0.5 * (low + high) if estimate is None else _column("estimate", estimate, k, unit)
        else:
            if estimate is None:
                raise InputError(message("sd without estimates", "estimate (k,) and sd (k,)"))
            centre = _column("estimate", estimate, k, unit)
            half = q * _plain_column("sd", sd, k)
            low, high = centre - half, centre + half
        if not ((low <= centre) & (centre <= high) & (low < high)).all():
            raise DataError(
                message("bands whose estimate lies outside, or of no width", "lower < upper around estimate")
            )
        tiny = 1e-12 * (high - low)
        below, above = np.maximum(centre - low, tiny) / q, np.maximum(high - centre, tiny) / q
        pit, crps = _proper.split_t(y, centre, below, above, freedom)
    groups = np.arange(k) if cluster is None else _codes(cluster, k)
    inside = (low <= y) & (y <= high)
    score = _proper.interval_score(y, low, high, level)

    def stretch(name: str, rows: NDArray[np.bool_]) -> Stretch:
        hits, units, p = inside[rows], groups[rows], pit[rows]
        limits = _proper.share_limits(hits, units, LIMITS)
        return Stretch(
            name, int(rows.sum()), int(np.unique(units).size), float(hits.mean()), *limits,
            float((high - low)[rows].mean()), float(score[rows].mean()), float(crps[rows].mean()),
            float(p.mean()), float(p.std()), *_proper.uniformity(p, units),
        )  # fmt: skip

    far = np.empty(0)
    found: list[Stretch] = []
    if distance is not None:
        far = _plain_column("distance", distance, k)
        ends = (-math.inf, *edges, math.inf)
        for start, end in pairwise(ends):
            rows = (far > start) & (far <= end)
            if rows.any():
                name = (
                    f"<= {end:g}x"
                    if math.isinf(start)
                    else f"> {start:g}x"
                    if math.isinf(end)
                    else f"{start:g}-{end:g}x"
                )
                found.append(stretch(name, rows))
    whole = stretch("all", np.ones(k, dtype=bool))
    return Calibration(level, unit, whole, tuple(found), pit, far, tuple(notes))


def _from_draws(y: Array, draws: ArrayLike, level: float, unit: str) -> tuple[Array, Array, Array, Array]:
    values = np.asarray(draws, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != y.size or values.shape[1] < 2:
        raise DataError(message(f"draws of shape {values.shape}", f"({y.size}, m) with two draws or more"))
    if not np.isfinite(values).all() or (unit == "log" and (values <= 0).any()):
        raise DataError(message("draws that are not finite" + (" and positive" if unit == "log" else ""), "numbers"))
    x = np.log(values) if unit == "log" else values
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(x, [tail, 1.0 - tail], axis=1)
    return (*_proper.of_draws(y, x), low, high)


def _column(name: str, values: Any, k: int | None, unit: str) -> Array:
    out = _plain_column(name, values, k)
    if unit == "log":
        if (out <= 0).any():
            raise DataError(message(f"{name} holds values that are not positive", "positive values", "unit='raw'"))
        return np.log(out)
    return out


def _plain_column(name: str, values: Any, k: int | None, infinite: bool = False) -> Array:
    out = np.asarray(values, dtype=np.float64)
    if k is not None and out.ndim == 0:
        out = np.full(k, float(out))
    if out.ndim != 1 or (k is not None and out.size != k):
        raise DataError(message(f"{name} of shape {out.shape}", f"({'k' if k is None else k},)"))
    if np.isnan(out).any() or not (infinite or np.isfinite(out).all()):
        bad = int(np.flatnonzero(~np.isfinite(out))[0])
        raise DataError(message(f"{name} is {out[bad]} in row {bad + 1}", "finite numbers", "leave that row out"))
    return out


def _codes(labels: Any, k: int) -> Labels:
    values = np.asarray(labels)
    if values.shape != (k,):
        raise DataError(message(f"cluster of shape {values.shape}", f"({k},)"))
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.intp)


def _shape(row: Stretch) -> str:
    """Bias and dispersion of the PIT where it is not uniform."""
    if not math.isfinite(row.uniform):
        return "Too few independent predictions to judge the shape of the PIT."
    if row.uniform >= 0.05:
        return f"The PIT is not distinguishable from uniform (p = {row.uniform:.2g})."
    even = 1.0 / math.sqrt(12.0)
    said = []
    if abs(row.pit_mean - 0.5) > 0.05:
        said.append("outcomes came out " + ("higher" if row.pit_mean > 0.5 else "lower") + " than predicted")
    if abs(row.pit_sd / even - 1.0) > 0.05:
        said.append("the distributions are too " + ("narrow" if row.pit_sd > even else "wide"))
    return f"The PIT is not uniform (p = {row.uniform:.2g}): " + (" and ".join(said) or "its shape is odd") + "."


def _plain(row: Stretch, level: float) -> dict[str, Any]:
    return {
        "distance": row.name,
        "points": row.points,
        "clusters": row.clusters,
        "covered": row.covered,
        "covered_low": row.low,
        "covered_high": row.high,
        "verdict": row.verdict(level),
        "width": row.width,
        "interval_score": row.interval_score,
        "crps": row.crps,
        "pit_mean": row.pit_mean,
        "pit_sd": row.pit_sd,
        "uniform_p": row.uniform,
    }

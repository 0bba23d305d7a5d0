# SPDX-License-Identifier: Apache-2.0
"""Backtest: hide the largest runs, fit the rest, predict what was hidden; errors and coverage by distance.

With rolling origins the same question is asked at several sizes, and the errors at each distance become the `Spread`
that later predictions carry: what a law gets wrong beyond its own intervals, because it is a law.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InputError, LawError, RefusedError, message
from forescale.core.files import to_json, write_atomic
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Fit, Spread
from forescale.fitting._tails import t_quantile
from forescale.fitting.estimate import fit as estimate
from forescale.judge._proper import interval_score
from forescale.judge._sizes import largest_of_run
from forescale.judge._spread import cells, spread_of
from forescale.judge.calibration import EDGES, Calibration, calibration
from forescale.laws import Law
from forescale.numerics.losses import Objective
from forescale.runs.derive import derive, require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

ORIGINS = 8
"""Most rolling origins: each costs a fit, and neighbouring ones share most of their rows."""
APART = 1.05
"""A held-out run this close to the largest fitted one is no extrapolation."""


@dataclass(frozen=True)
class Origin:
    """One cut: everything above `cutoff` was hidden.

    Attributes:
        cutoff: largest C (or input) of the fitted runs.
        fitted, held: rows fitted and predicted.
        params: the law there.
        rms: root mean square log error of its predictions; bias: their mean (positive: runs came out worse).
        covered: share inside the prediction band.
    """

    cutoff: float
    fitted: int
    held: int
    params: Mapping[str, float]
    rms: float
    bias: float
    covered: float


@dataclass(frozen=True, eq=False)
class Backtest:
    """Predictions of hidden runs and what became of them.

    Attributes:
        law, loss: what was fitted.
        level: nominal level of the bands.
        variable: what "larger" means: "C", or the law's input.
        origins: the cuts, in rising order.
        points: columns of shape (k,), one row per prediction: `origin` (index), `row` (of the table), `distance`,
            `observed`, `estimate`, `prediction_lower`, `prediction_upper`, `log_error` (log observed / estimate),
            `own_sd` (the fit's own predictive standard deviation, log units), `df` (degrees of freedom of its
            band), and `widened_lower`, `widened_upper`: the band with the spread that earlier origins alone would
            have given; NaN before there are any.
        spread: extra predictive sd by distance; None with a single point.
        notes: origins that were left out, and why.
        source, data_hash: the table.
    """

    law: str
    loss: str
    level: float
    variable: str
    origins: tuple[Origin, ...]
    points: Mapping[str, Array]
    spread: Spread | None
    notes: tuple[str, ...]
    source: str
    data_hash: str

    @property
    def covered(self) -> float:
        """Share of the predictions inside their band."""
        return float(np.mean(_inside(self.points, "prediction")))

    @property
    def covered_widened(self) -> float:
        """Share inside the bands widened by what earlier origins had shown; NaN where none had."""
        known = np.isfinite(self.points["widened_lower"])
        return float(np.mean(_inside(self.points, "widened")[known])) if known.any() else math.nan

    @property
    def mape(self) -> float:
        """Mean absolute error in per cent of the loss."""
        return float(100 * np.mean(np.abs(self.points["estimate"] / self.points["observed"] - 1)))

    def calibration(self, *, widened: bool = False, edges: Sequence[float] = EDGES) -> Calibration:
        """Coverage with limits, interval score, CRPS and PIT by distance.

        Predictions of one origin share its fit, so origins are the independent units; with fewer than three of them
        the runs are, and the limits hold for these fits alone.

        Args:
            widened: the bands with the spread of earlier origins, where there were any, instead of the fits' own.
            edges: where ranges of distance end.

        Raises:
            RefusedError: no band was widened.
        """
        p = self.points
        which = "widened" if widened else "prediction"
        rows = np.isfinite(p[f"{which}_lower"])
        if not rows.any():
            raise RefusedError(
                message("no origin had an earlier one to learn its spread from", "two origins or more", "no beyond=")
            )
        few = len(np.unique(p["origin"][rows])) < 3
        note = "Fewer than three origins: the limits hold for these fits, not for fits like them."
        return calibration(
            p["observed"][rows],
            p["estimate"][rows],
            p[f"{which}_lower"][rows],
            p[f"{which}_upper"][rows],
            df=p["df"][rows],
            level=self.level,
            distance=p["distance"][rows],
            cluster=p["row" if few else "origin"][rows],
            edges=edges,
            notes=(note,) if few else (),
        )

    def by_distance(self) -> list[dict[str, float]]:
        """One row per factor of two in distance: errors, coverage and interval score (log units, lower is better)."""
        p = self.points
        inside = _inside(p, "prediction")
        score = _interval_score(p, self.level)
        rows = []
        for low, high, members in cells(p["distance"]):
            e = p["log_error"][members]
            wide = np.isfinite(p["widened_lower"][members])
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "points": float(len(members)),
                    "origins": float(len(np.unique(p["origin"][members]))),
                    "bias": float(100 * np.mean(np.expm1(-e))),
                    "mape": float(100 * np.mean(np.abs(np.expm1(-e)))),
                    "rms": float(np.sqrt(np.mean(e**2))),
                    "covered": float(np.mean(inside[members])),
                    "covered_widened": float(np.mean(_inside(p, "widened")[members][wide]))
                    if wide.any()
                    else math.nan,
                    "interval_score": float(np.mean(score[members])),
                }
            )
        return rows

    def summary(self) -> str:
        """Plain text: by distance, by origin, and the spread."""
        n = len(self.points["distance"])
        lines = [
            f"Backtest of {self.law} ({self.loss}) on {self.source}: {n} predictions from {len(self.origins)} "
            f"origin{'s' if len(self.origins) != 1 else ''}; mean error {self.mape:.2f} %, "
            f"{100 * self.covered:.0f} % inside the {100 * self.level:.0f} % band"
            + (
                f", {100 * self.covered_widened:.0f} % with the spread of earlier origins"
                if math.isfinite(self.covered_widened)
                else ""
            ),
            f"  distance        predictions   error (mean, bias)   inside {100 * self.level:.0f} %   widened",
        ]
        for row in self.by_distance():
            wide = "" if math.isnan(row["covered_widened"]) else f"{100 * row['covered_widened']:9.0f} %"
            lines.append(
                f"  {row['from']:5.3g} - {row['to']:<5.3g}x {row['points']:12.0f}   {row['mape']:6.2f} %  "
                f"{row['bias']:+6.2f} % {100 * row['covered']:11.0f} %{wide}"
            )
        for o in self.origins:
            lines.append(
                f"  fitted {self.variable} <= {o.cutoff:.3g} ({o.fitted} rows): {o.held} held out, rms error "
                f"{100 * o.rms:.2f} %, {100 * o.covered:.0f} % inside"
            )
        if self.spread is not None:
            shown = ", ".join(f"{100 * float(self.spread.at(r)):.2f} % at {r}x" for r in (2, 10, 100))
            lines.append(f"  spread to add to later predictions: {shown}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "schema": "forescale/backtest",
            "version": 1,
            "law": self.law,
            "loss": self.loss,
            "level": self.level,
            "variable": self.variable,
            "source": self.source,
            "data_hash": self.data_hash,
            "mape": self.mape,
            "covered": self.covered,
            "covered_widened": self.covered_widened,
            "by_distance": self.by_distance(),
            "calibration": self.calibration().to_dict(),
            "origins": [
                {
                    "cutoff": o.cutoff,
                    "fitted": o.fitted,
                    "held": o.held,
                    "params": dict(o.params),
                    "rms": o.rms,
                    "bias": o.bias,
                    "covered": o.covered,
                }
                for o in self.origins
            ],
            "points": dict(self.points),
            "spread": None if self.spread is None else self.spread.to_dict(),
            "notes": self.notes,
        }

    def to_json(self) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result as JSON; whole or not at all."""
        return write_atomic(path, self.to_json())

    def __str__(self) -> str:
        return self.summary()


def backtest(
    runs: Runs,
    law: Law,
    *,
    beyond: float | None = None,
    loss: str | Objective | None = None,
    origins: int = ORIGINS,
    level: float = 0.90,
    group_by: str | None = None,
    separate: Sequence[str] = (),
    seed: int = 0,
) -> Backtest:
    """Hide larger runs, fit the rest, predict the hidden ones.

    Checkpoints of a run never stand on both sides: a run is fitted only when its last row lies below the cut, and
    predicted only above it.

    Args:
        runs: the table.
        law: the law.
        beyond: hide everything above the largest C divided by this; None: rolling origins.
        loss: as in `fit`.
        origins: most rolling origins, spread evenly in log C.
        level: nominal level of the bands.
        group_by, separate: as in `fit`.
        seed: of the fits.

    Raises:
        InputError: `beyond` not above 1, fewer than one origin.
        RefusedError: too few runs remain below the cut, or none above it.
    """
    if beyond is not None and not (math.isfinite(beyond) and beyond > 1):
        raise InputError(message(f"a backtest beyond {beyond}", "a factor above 1, such as 10"))
    if origins < 1:
        raise InputError(message(f"{origins} origins", "one or more"))
    runs = require(runs, *law.inputs, law.output)
    if group_by is not None:
        law = law.grouped(group_by, sorted(runs.group_codes(group_by)[1]), list(separate))
    variable, size = _size(runs, law)
    whole = largest_of_run(runs, size)
    least = max(len(law.params) + 3, 2 * len(law.params))
    if beyond is not None:
        cuts = [float(size.max()) / beyond]
        fitted = int(np.sum(whole <= cuts[0]))
        if fitted < least:
            raise RefusedError(
                message(
                    f"hiding everything above {variable} = {cuts[0]:.3g} leaves {fitted} of {len(runs)} rows for the "
                    f"{len(law.params)} parameters of {law.id!r}",
                    f"at least {least}",
                    "a smaller beyond, a law with fewer parameters, or more small runs",
                )
            )
    else:
        cuts = _cuts(whole, size, least, origins)
        if not cuts:
            raise RefusedError(
                message(
                    f"{len(runs)} rows are too few to hide the largest and still fit {law.id!r}",
                    f"{least} rows and more below the first cut, and larger runs above it",
                    "more small runs, or a law with fewer parameters",
                )
            )
    found: list[Origin] = []
    parts: list[dict[str, Array]] = []
    notes: list[str] = []
    for cut in cuts:
        part, origin, note = _one(runs, law, size, whole, cut, loss, level, seed, parts, len(found))
        if note:
            notes.append(note)
        if part is not None and origin is not None:
            parts.append(part)
            found.append(origin)
    if not found:
        raise RefusedError(
            message("no origin gave a prediction with a band: " + "; ".join(notes[:2]), "runs that determine the law")
        )
    points = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    used = loss.id if isinstance(loss, Objective) else (loss or law.loss)
    return Backtest(
        law=law.id,
        loss=used,
        level=level,
        variable=variable,
        origins=tuple(found),
        points=Frozen(points),
        spread=spread_of(points, used_by=law.id),
        notes=tuple(notes),
        source=runs.source,
        data_hash=runs.hash,
    )


def _size(runs: Runs, law: Law) -> tuple[str, Array]:
    """What orders the runs: compute where it is known or follows, else the law's first input."""
    if "C" in law.inputs:
        return "C", runs["C"]
    if {"N", "D"} <= set(law.inputs):
        # The same measure of distance as predictions use.
        return "C", 6.0 * runs["N"] * runs["D"]
    if {"N", "D"} <= set(runs.columns) or "C" in runs.columns:
        full = derive(runs)
        if "C" in full.columns and law.inputs[0] in ("N", "D"):
            return law.inputs[0], runs[law.inputs[0]]
    return law.inputs[0], runs[law.inputs[0]]


def _cuts(whole: Array, size: Array, least: int, most: int) -> list[float]:
    """Cutoffs that leave enough rows below and a larger run above, spread evenly in log size."""
    # Values that differ by rounding or by read-off scatter are one budget.
    levels = np.unique(whole)
    ends = levels[np.append(np.diff(np.log(levels)) > math.log(APART), True)]
    usable = [float(c) for c in ends if np.sum(whole <= c) >= least and np.any(size > c * APART)]
    if len(usable) <= most:
        return usable
    wanted = np.linspace(math.log(usable[0]), math.log(usable[-1]), most)
    nearest = {int(np.argmin(np.abs(np.log(usable) - w))) for w in wanted}
    return [usable[i] for i in sorted(nearest)]


def _one(
    runs: Runs,
    law: Law,
    size: Array,
    whole: Array,
    cut: float,
    loss: str | Objective | None,
    level: float,
    seed: int,
    earlier: list[dict[str, Array]],
    index: int,
) -> tuple[dict[str, Array] | None, Origin | None, str]:
    below = whole <= cut
    largest = float(size[below].max())
    above = np.flatnonzero(size > largest * APART)
    label = f"cut at {largest:.3g}"
    if len(above) == 0:
        return None, None, f"{label}: no run lies above it"
    known = runs.where(below)
    for name in law.inputs:
        if len(np.unique(known[name])) < 3:
            return None, None, f"{label}: {name} takes fewer than three values below it"
    if law.groups is not None:
        seen = set(np.unique(known.labels[law.groups.by]).tolist()) if law.groups.by in known.labels else set()
        if seen:
            above = above[np.isin(runs.labels[law.groups.by][above], list(seen))]
            if len(above) == 0:
                return None, None, f"{label}: the larger runs belong to groups without smaller ones"
    try:
        fit = estimate(known, law, loss=loss, level=level, rng=seed)
    except (InputError, RefusedError, LawError) as error:
        return None, None, f"{label}: {error}"
    held = runs.where(above)
    prediction = fit.predict(held)
    lower, upper = prediction.prediction.lower, prediction.prediction.upper
    observed = held[law.output]
    good = np.isfinite(lower) & np.isfinite(upper) & (lower > 0) & (observed > 0) & (prediction.estimate > 0)
    if not good.any():
        return None, None, f"{label}: the rows below it do not determine the law, so nothing can be predicted"
    above, observed, lower, upper = above[good], observed[good], lower[good], upper[good]
    expected = prediction.estimate[good]
    distance = size[above] / largest
    part = {
        "origin": np.full(len(above), float(index)),
        "row": above.astype(np.float64),
        "size": size[above],
        "distance": distance,
        "observed": observed,
        "estimate": expected,
        "prediction_lower": lower,
        "prediction_upper": upper,
        "log_error": np.log(observed / expected),
        "own_sd": np.log(upper / lower) / (2 * t_quantile(level, fit.df)),
        "df": np.full(len(above), fit.df),
        **_widened(fit, held.where(good), earlier, largest),
    }
    inside = _inside(part, "prediction")
    e = part["log_error"]
    origin = Origin(
        cutoff=largest,
        fitted=len(known),
        held=len(above),
        params=Frozen(dict(fit.params)),
        rms=float(np.sqrt(np.mean(e**2))),
        bias=float(np.mean(e)),
        covered=float(np.mean(inside)),
    )
    missed = int(np.sum(~good))
    return part, origin, f"{label}: {missed} runs without a band" if missed else ""


def _widened(fit: Fit, held: Runs, earlier: list[dict[str, Array]], largest: float) -> dict[str, Array]:
    """The band with the spread that could have been known at this cut: earlier origins, runs below the cut."""
    nothing = np.full(len(held), np.nan)
    chosen = {"widened_lower": nothing, "widened_upper": nothing}
    if not earlier:
        return chosen
    joined = {name: np.concatenate([p[name] for p in earlier]) for name in earlier[0]}
    then = joined["size"] <= largest
    if not then.any():
        return chosen
    spread = spread_of({name: values[then] for name, values in joined.items()}, used_by=fit.law.id)
    if spread is None:
        return chosen
    band = fit.with_spread(spread).predict(held).prediction
    return {"widened_lower": band.lower, "widened_upper": band.upper}


def _inside(points: Mapping[str, Array], which: str) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (points["observed"] >= points[f"{which}_lower"]) & (points["observed"] <= points[f"{which}_upper"])
        )


def _interval_score(points: Mapping[str, Array], level: float) -> Array:
    y, low, high = (np.log(points[name]) for name in ("observed", "prediction_lower", "prediction_upper"))
    return interval_score(y, low, high, level)

# SPDX-License-Identifier: Apache-2.0
"""What a fit says about points: where the curve is, and where a new run will land.

Two bands. *Confidence*: parameter uncertainty alone (delta method on log loss with t quantiles; quantiles of the
draws when the fit was bootstrapped). *Prediction*: that, the noise of one run, and, where `fit.spread` knows it from
backtests, the extra error at that distance, added in quadrature in log loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, message
from forescale.fitting._covariance import stretch_of_draws
from forescale.fitting._frame import Columns
from forescale.fitting._points import columns_of, distance_of, read_points, schedules_at
from forescale.fitting._space import Space
from forescale.fitting._tails import noise_halfwidth, t_quantile
from forescale.numerics import jet
from forescale.runs.curves import curve_points
from forescale.runs.table import Note, Runs

if TYPE_CHECKING:
    from forescale.fitting._fit import Fit

Array = NDArray[np.float64]

FAR = 10.0
"""Beyond this multiple of the largest compute fitted, a prediction carries an amber note."""


@dataclass(frozen=True)
class Band:
    """Lower and upper ends, each of shape (k,)."""

    lower: Array
    upper: Array


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions at k points.

    Attributes:
        inputs: what was asked: input -> (k,) floats (labels of a grouped law as text).
        estimate: (k,) the law at the estimate.
        confidence: band for the curve at `level`.
        prediction: band for the measured loss of one new run at `level`.
        distance: (k,) compute asked over largest compute fitted (largest ratio over the inputs where C is unknown).
        level: nominal level of both bands.
        notes: what the reader must know.
    """

    inputs: Mapping[str, NDArray[Any]]
    estimate: Array
    confidence: Band
    prediction: Band
    distance: Array
    level: float
    notes: tuple[Note, ...]
    _bands: Any = None

    def summary_frame(self, alpha: float | None = None) -> Columns:
        """Columns estimate, confidence_lower, confidence_upper, prediction_lower, prediction_upper, each (k,).

        Args:
            alpha: 1 - level; default the level of the fit.
        """
        confidence, new = (self.confidence, self.prediction) if alpha is None else self._bands(1.0 - alpha)
        return Columns(
            {
                "estimate": self.estimate,
                "confidence_lower": confidence.lower,
                "confidence_upper": confidence.upper,
                "prediction_lower": new.lower,
                "prediction_upper": new.upper,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "inputs": {name: values.tolist() for name, values in self.inputs.items()},
            **self.summary_frame().to_dict(),
            "distance": self.distance.tolist(),
            "level": self.level,
            "notes": [note.text for note in self.notes],
        }

    def __len__(self) -> int:
        return int(self.estimate.size)

    def __repr__(self) -> str:
        shown = Columns({**self.inputs, **self.summary_frame(), "distance": self.distance})
        head = f"Prediction at level {self.level:.0%}: curve (confidence) and one new run (prediction)"
        return "\n".join([head, repr(shown), *(f"[{note.level}] {note.text}" for note in self.notes)])


def predict(fit: Fit, points: Any = None, /, **inputs: Any) -> Prediction:
    """Predict at points.

    Args:
        points: a Runs, a mapping of columns, or a frame; instead of keywords.
        inputs: the law's inputs as numbers, human text ("70B", "1.4T"), or arrays that broadcast. With the input D
            missing, C may be given instead (D = C / 6N), and the same for N. A law along training curves takes its
            schedule too: `step=[...], lr=Schedule.cosine(...)`, or run -> Schedule and the labels `run`; a table of
            runs with curves is predicted at their logged points.

    Raises:
        ColumnError: an input is missing, unknown, or not positive and finite.
        LawError: an unknown level of a grouped law.
        QuantityError: text that is no number.
    """
    if points is not None and inputs:
        raise ColumnError(message("predict got both a table and single inputs", "one of the two"))
    law, space = fit.law, Space.of(fit.law)
    if law.schedule is not None and isinstance(points, Runs):
        points = curve_points(points)
    given = columns_of(points) if points is not None else inputs
    columns, labels, notes = read_points(fit, given, strict=points is None)
    asked: dict[str, NDArray[Any]] = {**{name: columns[name] for name in law.inputs}, **labels}
    formula_columns: dict[str, Any] = {name: columns[name] for name in law.inputs}
    if law.groups is not None:
        formula_columns[law.groups.by] = law.groups.codes(labels[law.groups.by])
    if law.schedule is not None:
        formula_columns[law.schedule] = schedules_at(law, points, given, columns["step"], labels.get("run"))
    u = space.search(space.vector(fit.params))

    def formula(*search: Any) -> Any:
        values = {name: space.natural_one(p, search[p]) for p, name in enumerate(space.names)}
        return law.formula(**formula_columns, **values)

    k = next(iter(columns.values())).size
    value, jacobian = jet.value_and_jacobian(formula, u[None])
    estimate = np.broadcast_to(value[0], (k,)).copy()
    jac = np.broadcast_to(jacobian[0], (len(space.names), k))
    distance = distance_of(fit, columns)
    notes = [*notes, *_cautions(fit, columns, distance, estimate)]
    draws = _draws_at(fit, formula_columns, k) if fit.draws_from.startswith("bootstrap") else None
    bands = _Bands(fit, estimate, jac, draws, distance)
    confidence, new = bands(fit.level)
    if not np.all(np.isfinite(new.lower)):
        why = "Some points have no band: the rows do not determine the curve there."
        if fit.runs is None:
            why = "Published constants come without residuals: no prediction band for a new run."
        notes.append(Note("amber", "no-band", why))
    return Prediction(asked, estimate, confidence, new, distance, fit.level, tuple(dict.fromkeys(notes)), bands)


@dataclass(frozen=True, eq=False)
class _Bands:
    fit: Fit
    estimate: Array
    jac: Array
    draws: Array | None
    distance: Array

    def __call__(self, level: float) -> tuple[Band, Band]:
        fit = self.fit
        with np.errstate(all="ignore"):
            positive = bool(np.all(self.estimate > 0)) and fit.scale == "log"
            centre = np.log(self.estimate) if positive else self.estimate
            low, high = self._curve(level, centre, positive)
            runs = fit.runs.group_codes("run")[1] if fit.runs is not None and "run" in fit.runs.labels else None
            count = len(runs) if runs is not None and len(runs) > 1 else None
            noise = noise_halfwidth(fit.residuals, len(fit.params), fit.sigma, level, fit.df, count)
            if fit.residuals.size == 0:
                noise = math.nan
            extra = np.zeros_like(centre)
            if fit.spread is not None:
                extra = t_quantile(level, math.inf) * fit.spread.at(self.distance)
            below = centre - np.sqrt((centre - low) ** 2 + noise**2 + extra**2)
            above = centre + np.sqrt((high - centre) ** 2 + noise**2 + extra**2)
            bands = [low, high, below, above]
            if positive:
                bands = [np.exp(b) for b in bands]
        return Band(bands[0], bands[1]), Band(bands[2], bands[3])

    def _curve(self, level: float, centre: Array, positive: bool) -> tuple[Array, Array]:
        if self.draws is not None:
            values = np.log(self.draws) if positive else self.draws
            tail = 0.5 * (1.0 - level)
            low, high = np.nanquantile(values, [tail, 1.0 - tail], axis=0)
            if self.fit.draws_from == "bootstrap-runs":
                stretch = stretch_of_draws(self.fit.covariance_from, self.fit.df, level)
                low, high = centre + stretch * (low - centre), centre + stretch * (high - centre)
            # The estimate itself is never outside of the band, however skew the draws are.
            return np.minimum(low, centre), np.maximum(high, centre)
        slope = self.jac / self.estimate if positive else self.jac
        sd = curve_sd(slope, self.fit.covariance)
        half = t_quantile(level, self.fit.df) * sd
        return centre - half, centre + half


def curve_sd(slope: Array, covariance: Array) -> Array:
    """Standard deviation (k,) of the curve by the delta method: slope (P, k), covariance (P, P).

    A parameter without a variance makes a point NaN unless the curve does not depend on it there.
    """
    known = np.isfinite(np.diag(covariance))
    part, along = covariance[np.ix_(known, known)], slope[known]
    sd = np.sqrt(np.maximum(np.einsum("pk,pq,qk->k", along, part, along), 0.0))
    if not known.all():
        size = np.abs(slope).max(axis=0)
        depends = (np.abs(slope[~known]) > 1e-9 * np.maximum(size, 1e-300)).any(axis=0)
        sd = np.where(depends, np.nan, sd)
    return np.asarray(sd)


def _draws_at(fit: Fit, columns: Mapping[str, Any], k: int) -> Array:
    params = {name: fit.draws[:, p : p + 1] for p, name in enumerate(fit.law.names)}
    with np.errstate(all="ignore"):
        value = np.asarray(fit.law.formula(**columns, **params), dtype=np.float64)
    value = np.where(np.isfinite(value), value, np.nan)
    return np.broadcast_to(value, (fit.draws.shape[0], k))


def _cautions(fit: Fit, columns: Mapping[str, Array], distance: Array, estimate: Array) -> list[Note]:
    notes: list[Note] = []
    far = float(np.nanmax(distance)) if np.isfinite(distance).any() else 0.0
    if far > FAR:
        text = f"Up to {far:.3g} times the largest compute of the fit: the bands assume that the law holds out there."
        if fit.spread is not None:
            text = f"Up to {far:.3g} times the largest compute of the fit; bands include {fit.spread.origin}."
        notes.append(Note("amber", "far-out", text))
    for name in fit.law.inputs:
        if name in fit.fitted_range and name in columns:
            low, high = fit.fitted_range[name]
            if low > 0 and (columns[name].min() < low / FAR or columns[name].max() > high * FAR):
                notes.append(
                    Note(
                        "amber",
                        f"{name}-outside",
                        f"{name} is more than {FAR:.0f} x outside {low:.3g} ... {high:.3g}.",
                    )
                )
    if not np.all(np.isfinite(estimate)):
        notes.append(Note("red", "not-finite", "The law is not finite at some of these points."))
    return notes

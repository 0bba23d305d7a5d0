# SPDX-License-Identifier: Apache-2.0
"""From draws to intervals: quantiles that know infinities, the two bands of a loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.planning._plan import Basis, Decided, Expected

Array = NDArray[np.float64]


def interval(values: Array, level: float) -> tuple[float, float] | None:
    """Central interval of draws at a level.

    Args:
        values: (B,) or (B, 1), row 0 the estimate, rows 1.. the draws. Infinite draws stay in the order (they have no
            finite answer on that side); NaN draws have no answer at all and are left out.

    Returns:
        (lower, upper), possibly infinite; None when fewer than 20 draws have an answer.
    """
    draws = np.asarray(values, dtype=np.float64).reshape(len(values))[1:]
    draws = np.sort(draws[~np.isnan(draws)])
    if len(draws) < 20:
        return None
    return quantile(draws, (1 - level) / 2), quantile(draws, (1 + level) / 2)


def quantile(ordered: Array, q: float) -> float:
    """Linear interpolation between order statistics; infinite as soon as one of the two is."""
    place = q * (len(ordered) - 1)
    below, above = float(ordered[math.floor(place)]), float(ordered[math.ceil(place)])
    if math.isinf(below) or math.isinf(above):
        return below if math.isinf(below) and q < 0.5 else above
    return below + (above - below) * (place - math.floor(place))


def decided(values: Array, unit: str, level: float, meaning: str = "") -> Decided:
    """Row 0 of `values` as a decision with the interval of the other rows.

    A number that no draw moves by more than rounding (a budget, a limit, or a law without draws among others that
    have some) has no interval: one of no width would claim a certainty that nobody measured.
    """
    known = np.asarray(values, dtype=np.float64).reshape(-1)
    ends = None if np.allclose(known, known[0], rtol=1e-9, atol=0.0) else interval(values, level)
    lower, upper = (None, None) if ends is None else ends
    return Decided(float(np.asarray(values).reshape(-1)[0]), lower, upper, unit, meaning)


def expected(basis: Basis, unit: str, meaning: str = "", **inputs: float) -> Expected:
    """The loss at one point with its two bands: as the fit (or stack) predicts them, or from draws without a fit.

    Args:
        inputs: one number for each input of the law.
    """
    if basis.fit is None:
        values = basis.surface.loss(**{name: np.array([value]) for name, value in inputs.items()})[:, 0]
        return Expected(of_estimate(values), interval(values, basis.level), None, unit, meaning)
    found = (basis.stack or basis.fit).predict(None, **inputs, **basis.labels)
    ends = [(of_estimate(band.lower), of_estimate(band.upper)) for band in (found.confidence, found.prediction)]
    confidence, prediction = (pair if all(map(math.isfinite, pair)) else None for pair in ends)
    return Expected(of_estimate(found.estimate), confidence, prediction, unit, meaning)


def of_estimate(values: Any) -> float:
    """The entry of the estimate (row 0) as a float."""
    return float(np.asarray(values).reshape(-1)[0])

# SPDX-License-Identifier: Apache-2.0
"""Quantiles of Student's t and of residuals, and a robust residual scale."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def t_quantile(level: float, df: float) -> float:
    """Two-sided quantile: a t variable with `df` degrees of freedom lies within +-q with probability `level`.

    NaN when there are no degrees of freedom; `df = inf` is the normal distribution.
    """
    if not df > 0:
        return math.nan
    upper = 0.5 + 0.5 * level
    if math.isinf(df):
        return NormalDist().inv_cdf(upper)  # published constants: their plans start without SciPy
    from scipy.special import stdtrit  # not at import: this room starts without SciPy

    return float(stdtrit(df, upper))


def robust_scale(residuals: Array, parameters: int) -> float:
    """Standard deviation of the bulk of the residuals: normal-consistent median absolute deviation about zero.

    `parameters` of n residuals are forced near zero by the fit, so the median is taken over the n - P + 1 largest
    (Street, Carroll & Ruppert 1988); 0 when nothing is left.
    """
    size = np.sort(np.abs(residuals[np.isfinite(residuals)]))
    kept = size[max(parameters - 1, 0) :] if size.size > parameters else size[:0]
    return float(np.median(kept)) / 0.6744897501960817 if kept.size else 0.0


def root_mean_square(residuals: Array, parameters: int) -> float:
    """sqrt(sum of squares / (n - P)); NaN without degrees of freedom."""
    df = residuals.size - parameters
    return float(np.sqrt(np.sum(residuals**2) / df)) if df > 0 else math.nan


def noise_halfwidth(
    residuals: Array, parameters: int, sigma: float, level: float, df: float, runs: int | None = None
) -> float:
    """Half-width of the band of one new run around a known curve, in the units of the residuals.

    With enough rows it is the empirical quantile of |residual| (noise of real runs has heavy tails, and a band of
    sigmas would miss them), widened by sqrt(n / (n - P)) for what the fit absorbed; with few rows t times sigma.
    Levels beyond what n rows can show take the larger of the two, so that a higher level never gives a shorter band.

    Where n rows belong to fewer `runs`, the fit absorbs more of what rows share: the noise is taken to be shared in
    half, so that P / n becomes P (1 / n + 1 / runs) / 2.
    """
    n = int(residuals.size)
    normal = t_quantile(level, df) * sigma
    if n < 3 * parameters or n - parameters < 10:
        return normal
    shown = min(level, 1.0 - 1.5 / (n + 1))
    rank = min(math.ceil((n + 1) * shown), n)
    absorbed = 0.5 * parameters * (1.0 / n + 1.0 / (runs or n))
    seen = float(np.sort(np.abs(residuals))[rank - 1]) / math.sqrt(max(1.0 - absorbed, 0.1))
    return seen if shown == level else max(seen, normal)

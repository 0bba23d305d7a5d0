# SPDX-License-Identifier: Apache-2.0
"""Learning curves that level off at one or both ends (Alabdulmohsin, Neyshabur & Zhai 2022: estimators M3 and M4).

M1 is `power` and M2 `power-floor`; they are known by those names too. The variable is data D; `m4.on(D="C")`, in the
CLI `m4(C)`, reads any other column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._implicit import root
from forescale.laws._law import Law, Parameter, amplitude, exponent, floor, location
from forescale.laws._terms import ONE_VARIABLE
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

SHARP = 0.02
"""Least s: the curve then bends within a few percent of K. At zero it has a kink."""

KEEP = 4
"""Starts that a grid hands to least squares."""


def levelling(D: Any, A: Any, K: Any, alpha: Any) -> Any:
    """L = A (1 / D + 1 / K)^alpha."""
    return A * (1.0 / D + 1.0 / K) ** alpha


def levelling_starts(D: Array, y: Array) -> dict[str, Array]:
    """For each K of a grid the best A and alpha come from a regression of log y."""
    K = np.geomspace(1e-2 * D.min(), 1e4 * D.max(), 48)
    x = np.log(1.0 / D + 1.0 / K[:, None])
    found, left = regressions(np.stack([np.ones_like(x), x], axis=1), np.log(y), np.ones(y.size))
    log_a, alpha = found.T
    with np.errstate(over="ignore", under="ignore"):
        A = np.exp(log_a)
    left = np.where((alpha > 0) & (A > 0) & np.isfinite(A), left, np.inf)
    chosen = best(left, np.log(K)[:, None], KEEP, 1.5)
    return {"A": A[chosen], "K": K[chosen], "alpha": alpha[chosen]}


class _Sigmoidal:
    """L = E + (E_0 - E) h with h / (1 - h)^s = (K / D)^alpha.

    A class, because what calls `root` is no formula that could be traced.
    """

    def __call__(self, D: Any, E: Any, E_0: Any, K: Any, alpha: Any, s: Any) -> Any:
        share = _share(alpha * (np.log(K) - np.log(D)), s)
        return E + (E_0 - E) * share


def _logit(t: Any, z: Any, s: Any) -> Any:
    """log h - s log(1 - h) - z at h = 1 / (1 + exp(-t)): convex or concave, with slopes between 1 and s."""
    return t + (s - 1.0) * np.logaddexp(0.0, t) - z


def _logit_slope(t: Any, z: Any, s: Any) -> Any:
    return 1.0 + (s - 1.0) / (1.0 + np.exp(-t))


def _share(z: Any, s: Any) -> Any:
    """The share h in (0, 1) with h / (1 - h)^s = exp(z)."""
    value_z, value_s = (getattr(v, "value", v) for v in (z, s))
    with np.errstate(all="ignore"):
        # The slope is near 1 on one side and near s on the other; at t = 0 the bend adds (s - 1) log 2.
        start = np.where(value_z > 0, value_z / value_s, value_z) * np.ones_like(value_s)
        reach = np.abs(value_s - 1.0) * np.log(2.0) / np.minimum(value_s, 1.0)
        reach = reach + 1e-6 * (1.0 + np.abs(start))  # room for rounding
    t = root(_logit, start, (start - reach, start + reach), z, s, slope=_logit_slope)
    return 1.0 / (1.0 + np.exp(-t))


def sigmoidal_starts(D: Array, y: Array) -> dict[str, Array]:
    """For each pair of plateaus the rest comes from a regression of log(y - E) on log D and log(E_0 - y)."""
    low, high = float(y.min()), float(y.max())
    below = np.array([1e-3, 0.4, 0.7, 0.85, 0.93, 0.97, 0.99]) * low
    above = high + (high - low + 1e-12 * high) * np.array([0.005, 0.02, 0.08, 0.3, 1.0, 4.0])
    E, E_0 = (grid.ravel() for grid in np.meshgrid(below, above, indexing="ij"))
    over, under = y - E[:, None], E_0[:, None] - y
    x = np.broadcast_to(-np.log(D), over.shape)
    columns = np.stack([np.ones_like(over), x, np.log(under)], axis=1)
    # d log(y) = (y - E) / y d log(y - E): errors of log y, not of the logarithm of the excess
    found, _ = regressions(columns, np.log(over), (over / y) ** 2)
    log_b, alpha, s = found[:, 0], np.maximum(found[:, 1], 0.02), np.clip(found[:, 2], 2.0 * SHARP, 30.0)
    # Clipping moves the other coefficient: the level is fitted again.
    weight = (over / y) ** 2
    level = (weight * (np.log(over) + alpha[:, None] * np.log(D) - s[:, None] * np.log(under))).sum(axis=1)
    log_b = level / weight.sum(axis=1)
    log_k = (log_b + (s - 1.0) * np.log(E_0 - E)) / alpha
    share = _share(alpha[:, None] * (log_k[:, None] - np.log(D)), s[:, None])
    with np.errstate(all="ignore"):
        left = ((np.log(E[:, None] + (E_0 - E)[:, None] * share) - np.log(y)) ** 2).sum(axis=1)
        K = np.exp(log_k)
    left = np.where(np.isfinite(K) & (K > 0), left, np.inf)
    chosen = best(left, np.stack([np.log(low - E), np.log(E_0 - high)], axis=1), KEEP, 0.5)
    found_all = {"E": E, "E_0": E_0, "K": K, "alpha": alpha, "s": s}
    return {name: values[chosen] for name, values in found_all.items()}


_REFUSES = {
    "compute-optimal": ONE_VARIABLE,
}

m3 = Law(
    id="m3",
    topic="one variable",
    title="Power law of one variable that levels off",
    inputs=("D",),
    params={
        "A": amplitude("loss at one unit of the variable, before the curve levels off"),
        "K": location("size at which the curve leaves the power law; the loss ends at A K^-alpha"),
        "alpha": exponent("how fast the loss falls before that"),
    },
    formula=levelling,
    linear=("A",),
    decreasing_in=("D",),
    valid_for=("predict",),
    refuses={
        **_REFUSES,
        "reach": "the level at which the curve ends is no parameter of its own; power-floor says where that is",
    },
    loss="log-squared",
    starts=levelling_starts,
    latex=r"L(D) = A \left( \frac{1}{D} + \frac{1}{K} \right)^{\alpha}",
    meaning=(
        "A power law with an end: above the size K more of the variable brings nothing. The estimator M3 of "
        "Alabdulmohsin et al., there with gamma = 1/K; M1 is power, M2 power-floor, M4 m4."
    ),
    traps=(
        "It has no curvature beyond K: a curve that still falls there wants a floor of its own (power-floor).",
        "K above the largest size seen says that the data see no end, not where it is.",
    ),
    papers=("alabdulmohsin2022",),
)

m4 = Law(
    id="m4",
    topic="one variable",
    title="Learning curve between random guessing and a floor",
    inputs=("D",),
    params={
        "E": floor("loss in the limit of infinite data"),
        "E_0": amplitude("loss of random guessing: where the curve starts from"),
        "K": location("size at which the power law sets in: for s = 1 half of the way is done there"),
        "alpha": exponent("scaling exponent: what is above the floor falls as D^-alpha far out"),
        "s": Parameter(
            "exponent",
            "how softly the curve leaves random guessing; 1 is the logistic curve in log D",
            SHARP,
            start=(0.05, 5.0),
        ),
    },
    formula=_Sigmoidal(),
    linear=("E", "E_0"),
    decreasing_in=("D",),
    floor="E",
    valid_for=("predict", "reach"),
    refuses=_REFUSES,
    loss="log-squared",
    starts=sigmoidal_starts,
    latex=r"L = E + (E_{0} - E) \, h, \quad \frac{h}{(1 - h)^{s}} = \left( \frac{K}{D} \right)^{\alpha}",
    meaning=(
        "Error rates start at random guessing, fall, and end at a floor: a sigmoid in log D whose right tail is a "
        "power law. The estimator M4 of Alabdulmohsin et al., (L - E) / (E_0 - L)^a = b D^-c, with a = s, c = alpha "
        "and b = K^alpha (E_0 - E)^(1 - s): so both ends enter linearly. The value solves this equation. Where the "
        "loss of random guessing is known, hold it: m4.fix(E_0=1.0)."
    ),
    traps=(
        "E_0, K and s are known only when the data hold the part near random guessing; hold E_0 where you know it.",
        "The paper fits the logarithm of the excess, (L - E); here errors of log L are squared, as they are scored.",
        "Below E_0 = E the same formula rises; a metric that grows with scale wants 1 - metric.",
    ),
    papers=("alabdulmohsin2022",),
)

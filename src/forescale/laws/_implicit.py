# SPDX-License-Identifier: Apache-2.0
"""Laws that are given by an equation instead of a formula: residual(t; inputs, parameters) = 0.

The value is found by Newton steps that a bracket keeps in bounds. Its derivatives are exact: one more Newton step,
taken with parameters that carry derivatives, is the implicit function theorem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.numerics.jet import Jet

Array = NDArray[np.float64]

MOST = 100
"""Steps at most: halving alone brings a bracket of any width to rounding in about sixty."""

NEAR = 1e-6
"""A Newton step below this (relative) leaves an error of its square: rounding."""


def root(
    residual: Callable[..., Any],
    start: Any,
    bracket: tuple[Any, Any],
    *args: Any,
    slope: Callable[..., Any] | None = None,
) -> Any:
    """The root t of `residual(t, *args)`, which rises in t, elementwise.

    Args:
        residual: called with t (array or Jet) and the arguments; plain NumPy.
        start: first guess, an array of the shape of the result.
        bracket: ends (arrays or numbers) with residual <= 0 at the lower and >= 0 at the upper one.
        args: arrays, numbers or Jets.
        slope: the derivative of the residual in t, for speed; without it the residual is differentiated.

    Returns:
        Array, or a Jet when an argument is one: derivatives follow from the equation, not from the steps. NaN where
        the residual is.
    """
    plain = [a.value if isinstance(a, Jet) else a for a in args]
    t = np.array(start, dtype=np.float64)
    low, high = bracket
    with np.errstate(all="ignore"):
        for _ in range(MOST):
            f, rise = _with_slope(residual, slope, t, plain)
            there = t - f / rise
            if not ((there < low) | (there > high)).any():
                step = np.abs(there - t)
                t = there
                # The last step squares the error of the one before; NaN counts as done.
                if not (step > NEAR * np.maximum(np.abs(t), 1.0)).any():
                    break
                continue
            # Some steps leave the bracket: tighten it everywhere, and halve there.
            low, high = np.where(f < 0, t, low), np.where(f < 0, high, t)
            there = np.where((there < low) | (there > high), 0.5 * (low + high), there)
            t = np.where(np.isnan(f), np.nan, there)
        if not any(isinstance(a, Jet) for a in args):
            return t
        return t - residual(t, *args) / _with_slope(residual, slope, t, plain)[1]


def _with_slope(
    residual: Callable[..., Any], slope: Callable[..., Any] | None, t: Array, plain: list[Any]
) -> tuple[Array, Array]:
    if slope is not None:
        return residual(t, *plain), slope(t, *plain)
    out = residual(Jet(t, {0: 1.0}), *plain)
    return np.asarray(out.value), np.asarray(out.partials[0])

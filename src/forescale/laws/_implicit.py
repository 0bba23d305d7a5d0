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


def root(residual: Callable[..., Any], start: Any, bracket: tuple[Any, Any], *args: Any) -> Any:
    """The root t of `residual(t, *args)`, which rises in t, elementwise.

    Args:
        residual: called with a Jet or array t and the arguments; plain NumPy.
        start: first guess, an array of the shape of the result.
        bracket: ends (arrays or numbers) with residual <= 0 at the lower and >= 0 at the upper one.
        args: arrays, numbers or Jets.

    Returns:
        Array, or a Jet when an argument is one: derivatives follow from the equation, not from the steps. NaN where
        the residual is.
    """
    plain = [a.value if isinstance(a, Jet) else a for a in args]
    t = np.array(start, dtype=np.float64)
    low = np.array(np.broadcast_to(bracket[0], t.shape), dtype=np.float64)
    high = np.array(np.broadcast_to(bracket[1], t.shape), dtype=np.float64)
    slope: Any = 1.0
    with np.errstate(all="ignore"):
        for _ in range(MOST):
            f, slope = _with_slope(residual, t, plain)
            below = f < 0
            low, high = np.where(below, t, low), np.where(below, high, t)
            there = t - f / slope
            inside = (there >= low) & (there <= high)
            there = np.where(inside, there, 0.5 * (low + high))
            step = np.abs(there - t)
            t = np.where(np.isnan(f), np.nan, there)
            if not (step > 4e-16 * np.maximum(np.abs(t), 1.0)).any():
                break
        if not any(isinstance(a, Jet) for a in args):
            return t
        _, slope = _with_slope(residual, t, plain)
        return t - residual(t, *args) / slope


def _with_slope(residual: Callable[..., Any], t: Array, plain: list[Any]) -> tuple[Array, Array]:
    out = residual(Jet(t, {0: 1.0}), *plain)
    return np.asarray(out.value), np.asarray(out.partials[0])

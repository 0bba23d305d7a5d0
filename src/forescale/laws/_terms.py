# SPDX-License-Identifier: Apache-2.0
"""Terms that several laws share: small pure functions in NumPy, differentiable as they stand."""

from __future__ import annotations

from typing import Any

import numpy as np


def power_term(x: Any, size: Any, exponent: Any) -> Any:
    """size * x^-exponent: what is missing because x is finite."""
    return size * x**-exponent


def equivalent(x: Any, rate: Any) -> Any:
    """1 + rate ln x: how many times larger something appears when there are x copies of it."""
    return 1.0 + rate * np.log(x)


def saturating(unique: Any, total: Any, scale: Any) -> Any:
    """What `total` is worth in fresh units when only `unique` of them differ (Muennighoff et al. 2023, eq. 5).

    unique (1 + scale (1 - exp(-r / scale))), r = total / unique - 1 repetitions (none where total <= unique): each
    further repetition is worth exp(-1 / scale) of the one before, and all of them together at most `scale` passes.
    """
    repeated = np.maximum(total / unique - 1.0, 0.0)
    return np.minimum(unique, total) * (1.0 - scale * np.expm1(-repeated / scale))

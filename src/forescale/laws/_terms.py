# SPDX-License-Identifier: Apache-2.0
"""Terms that several laws share: small pure functions in NumPy, differentiable as they stand."""

from __future__ import annotations

from typing import Any

import numpy as np

PF_DAY = 8.64e19
"""FLOP in one petaFLOP/s-day, the unit of the papers from 2020."""

ONE_VARIABLE = "one variable says nothing about the split into parameters and data; chinchilla does"
"""Why a law of one variable refuses "compute-optimal"."""


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


def endless_batch_steps(step: Any, batch: Any, critical: Any) -> Any:
    """S_min = S / (1 + B_crit / B): the steps that an endless batch would need (McCandlish et al. 2018)."""
    return step / (1.0 + critical / batch)


def loss_batch(loss: Any, B_star: Any, alpha_B: Any) -> Any:
    """B_star / L^(1 / alpha_B): the batch that belongs to a level of the loss (Kaplan et al. 2020)."""
    return B_star * loss ** (-1.0 / alpha_B)


def log_coefficients(y: Any, *columns: Any) -> Any:
    """(1 + K,) least squares of log y on 1 and the logarithms of K columns."""
    matrix = np.stack([np.ones_like(y), *(np.log(x) for x in columns)], axis=1)
    return np.linalg.lstsq(matrix, np.log(y), rcond=None)[0]


def log_line(x: Any, y: Any) -> dict[str, Any]:
    """Starts of y = a x^b: the regression of the logarithms."""
    level, b = log_coefficients(y, x)
    return {"a": np.exp([level]), "b": np.array([b])}


def domain_names(head: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Names of parameters that belong to the domains of a mixture: K, (weight_c4, weight_book) -> K_c4, K_book."""
    return tuple(f"{head}_{column.removeprefix('weight_')}" for column in columns)


def shares_of(weights: list[Any]) -> list[Any]:
    """Weights divided by their sum."""
    total = sum(weights[1:], start=weights[0])
    return [weight / total for weight in weights]

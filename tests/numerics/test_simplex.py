# SPDX-License-Identifier: Apache-2.0
"""Minima over shares: closed forms, bounds, certificates, rows that are no function."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from forescale.core.errors import InternalError
from forescale.numerics.simplex import capped, gaps, least_shares

Array = NDArray[np.float64]


class Quadratic:
    """(p - t)' (p - t) / 2 for each row."""

    def __init__(self, target: Array) -> None:
        self.target = target

    def __call__(self, p: Array, which: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        apart = p - self.target[which]
        return (
            1.0 + 0.5 * (apart**2).sum(axis=1),
            apart,
            np.broadcast_to(np.eye(p.shape[1]), (len(p), p.shape[1], p.shape[1])),
        )


@pytest.mark.parametrize("convex", [True, False])
def test_nearest_shares(convex: bool) -> None:
    """The nearest point of the simplex, as the projection finds it by itself."""
    target = np.random.default_rng(0).normal(0.2, 0.5, (50, 6))
    found = least_shares(Quadratic(target), np.zeros(6), np.ones(6), 50, convex=convex)
    np.testing.assert_allclose(found.p, capped(target, np.zeros(6), np.ones(6)), atol=2e-6)
    assert found.gap.max() < 1e-9
    np.testing.assert_allclose(found.p.sum(axis=1), 1.0, atol=1e-12)


def test_bounds_hold() -> None:
    low, high = np.array([0.1, 0.0, 0.2, 0.0]), np.array([0.4, 0.3, 0.6, 1.0])
    target = np.random.default_rng(1).normal(0.2, 0.5, (30, 4))
    found = least_shares(Quadratic(target), low, high, 30)
    assert (found.p >= low).all()
    assert (found.p <= high).all()
    np.testing.assert_allclose(found.p, capped(target, low, high), atol=2e-6)


def test_a_linear_function_ends_in_a_corner() -> None:
    """Least costs first, each up to its bound: the fractional knapsack."""
    cost = np.array([[3.0, 1.0, 2.0]])

    def linear(p: Array, which: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        return (cost[which] * p).sum(axis=1), cost[which], np.zeros((len(p), 3, 3))

    found = least_shares(linear, np.zeros(3), np.array([1.0, 0.5, 0.3]), 1)
    np.testing.assert_allclose(found.p[0], [0.2, 0.5, 0.3], atol=1e-6)
    assert gaps(np.array([[0.2, 0.5, 0.3]]), cost, np.zeros(3), np.array([1.0, 0.5, 0.3]))[0] == pytest.approx(0.0)
    assert gaps(np.array([[1.0, 0.0, 0.0]]), cost, np.zeros(3), np.ones(3))[0] == pytest.approx(2.0)


def test_negative_curvature_is_left() -> None:
    """From a saddle's side the search goes downhill to a corner, not to the stationary point in the middle."""

    def hill(p: Array, which: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        return 2.0 - (p**2).sum(axis=1), -2.0 * p, np.broadcast_to(-2.0 * np.eye(3), (len(p), 3, 3))

    found = least_shares(hill, np.zeros(3), np.ones(3), 1, np.array([0.5, 0.3, 0.2]))
    np.testing.assert_allclose(found.p[0], [1.0, 0.0, 0.0], atol=1e-6)
    assert found.value[0] == pytest.approx(1.0, abs=1e-6)


def test_rows_without_a_value_are_nan() -> None:
    target = np.full((3, 4), 0.25)
    target[1] = np.nan
    found = least_shares(Quadratic(target), np.zeros(4), np.ones(4), 3)
    assert np.isnan(found.p[1]).all()
    np.testing.assert_allclose(found.p[[0, 2]], 0.25, atol=1e-6)


@pytest.mark.parametrize(("low", "high"), [([0.6, 0.6], [1, 1]), ([0, 0], [0.4, 0.4])])
def test_no_shares(low: list[float], high: list[float]) -> None:
    with pytest.raises(InternalError):
        least_shares(Quadratic(np.zeros((1, 2))), np.array(low), np.array(high), 1)

# SPDX-License-Identifier: Apache-2.0
"""Means over regressions: Bayes' rule for one cell, weights of several, draws, thinning, scatter."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.numerics.averaged import averaged, scatter, thinned


def line(n: int = 400, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regressors 1 and x, and y = 1 + 2 x with noise."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, n)
    return np.stack([np.ones(n), x], axis=1)[None], 1.0 + 2.0 * x + noise * rng.standard_normal(n), x


def test_one_cell_is_least_squares_where_the_prior_is_wide() -> None:
    columns, y, _ = line()
    found = averaged(columns, y, np.zeros(2), np.full(2, 1e6), least=1e-6)
    wanted, left, *_ = np.linalg.lstsq(columns[0], y, rcond=None)
    assert found.mean[0] == pytest.approx(wanted, rel=1e-8)
    assert found.noise == pytest.approx(np.sqrt(left[0] / (y.size - 2)), rel=1e-6)
    alone = found.noise**2 * np.linalg.inv(columns[0].T @ columns[0])
    # neighbouring residuals of white noise go together by chance alone: 1 / sqrt(400)
    assert np.diag(found.covariance[0]) == pytest.approx(np.diag(alone), rel=0.2)


def test_a_narrow_prior_holds() -> None:
    columns, y, _ = line(noise=0.5)
    found = averaged(columns, y, np.array([0.0, 5.0]), np.array([10.0, 1e-4]), least=1e-6)
    assert found.mean[0, 1] == pytest.approx(5.0, abs=1e-3)


def test_the_cell_that_explains_weighs() -> None:
    columns, y, x = line()
    wrong = np.stack([np.ones_like(x), x**2], axis=1)[None]
    found = averaged(np.concatenate([columns, wrong]), y, np.zeros(2), np.full(2, 10.0), least=1e-6)
    assert found.weight == pytest.approx([1.0, 0.0], abs=1e-6)
    mean, spread = found.moments(np.array([[[1.0, 3.0]], [[1.0, 9.0]]]))
    assert mean[0] == pytest.approx(7.0, abs=5 * spread[0])


def test_residuals_that_go_together_count_less() -> None:
    columns, y, x = line()
    waved = y + 0.3 * np.sin(12 * x)
    one, other = (averaged(columns, v, np.zeros(2), np.full(2, 10.0), least=1e-6) for v in (y, waved))
    assert other.covariance[0, 0, 0] > 10 * one.covariance[0, 0, 0]


def test_draws_have_the_moments() -> None:
    columns, y, x = line(40, 0.3)
    wrong = np.stack([np.ones_like(x), np.tanh(x)], axis=1)[None]
    found = averaged(np.concatenate([columns, wrong]), y, np.zeros(2), np.full(2, 10.0), least=1e-6)
    at = np.array([[[1.0, 2.0]], [[1.0, np.tanh(2.0)]]])
    mean, spread = found.moments(at)
    drawn = found.draws(at, 20_000, np.random.default_rng(1))[:, 0]
    assert drawn.mean() == pytest.approx(mean[0], abs=4 * spread[0] / np.sqrt(20_000))
    assert drawn.std() == pytest.approx(spread[0], rel=0.03)


def test_scatter_sees_noise_and_no_trend() -> None:
    x = np.linspace(0, 3, 5000)
    noise = 0.2 * np.random.default_rng(2).standard_normal(5000)
    assert scatter(np.exp(x) + noise) == pytest.approx(0.2, rel=0.05)
    assert scatter(3.0 * x) < 1e-12
    assert scatter(np.array([1.0, 2.0])) == 0.0


def test_thinned() -> None:
    x = np.arange(10.0)
    few, means = thinned(x, x**2, 5)
    assert few == pytest.approx([0.5, 2.5, 4.5, 6.5, 8.5])
    assert means == pytest.approx([0.5, 6.5, 20.5, 42.5, 72.5])
    assert thinned(x, x, 10)[0] is x

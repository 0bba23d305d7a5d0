# SPDX-License-Identifier: Apache-2.0
"""One-sided objectives: the penalised envelope, expectiles, and the frontier with its excess per run."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from forescale.core.errors import QueryError
from forescale.fitting.estimate import fit
from forescale.laws.chinchilla import chinchilla
from forescale.numerics import losses
from forescale.runs.table import Runs

TRUTH = {"E": 1.8172, "A": 477.8, "alpha": 0.3473, "B": 2143.4, "beta": 0.3672}


def sweep(
    noise: float, share: float = 0.0, excess: float = 0.0, seed: int = 0, budgets: int = 8, each: int = 12
) -> tuple[Runs, NDArray[np.float64]]:
    """An IsoFLOP sweep around the optimum of TRUTH: (runs, excess (n,)) with normal noise in log loss."""
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(1e18, 1e21, budgets), each)
    best = chinchilla.optimum(C, **TRUTH)["N"]  # type: ignore[misc]
    N = best * np.tile(np.geomspace(1 / 6, 6, each), budgets)
    D = C / (6 * N)
    u = np.where(rng.random(C.size) < share, rng.exponential(excess, C.size) if excess else 0.0, 0.0)
    loss = chinchilla(TRUTH, N=N, D=D) * np.exp(noise * rng.standard_normal(C.size) + u)
    return Runs.from_columns({"N": N, "D": D, "loss": loss}), u


@pytest.mark.parametrize("name", ["lower-envelope", "lower-envelope:10", "one-sided:10", "one_sided"])
def test_the_envelope_has_two_names(name: str) -> None:
    assert losses.loss(name) == losses.one_sided(10.0)


def test_overestimates_cost_ten_times_a_log_huber() -> None:
    y, pred = np.array([2.0, 2.0, 2.0, 2.0]), np.array([[2.001, 1.999, 2.1, 1.9]])
    o, plain = losses.loss("lower-envelope"), losses.loss("log-huber")
    data = o.response(y)
    ratio = o.pointwise(pred, data, np.zeros((1, 0)))[0] / plain.pointwise(pred, data, np.zeros((1, 0)))[0]
    np.testing.assert_allclose(ratio, [[10.0, 1.0, 10.0, 1.0]], rtol=1e-9)


def test_expectile_is_asymmetric_least_squares() -> None:
    y = np.exp(np.random.default_rng(3).exponential(0.02, 400))
    o = losses.loss("expectile:0.2")
    data = o.response(y)
    grid = np.exp(np.linspace(0.0, 0.04, 4001))[:, None] * np.ones(y.size)
    best = np.log(grid[np.argmin(o.value(grid, data, np.ones(y.size))), 0])
    r = np.log(y) - best
    # The q-expectile balances the weighted means of both sides (Newey & Powell 1987, eq. 2.2).
    assert 0.2 * r[r > 0].sum() == pytest.approx(-0.8 * r[r < 0].sum(), rel=2e-3)
    half = losses.loss("expectile:0.5").value(grid[:3], data, np.ones(y.size))
    np.testing.assert_allclose(half, losses.loss("log-squared").value(grid[:3], data, np.ones(y.size)))


@pytest.mark.parametrize("name", ["lower-envelope", "expectile:0.1", "pinball:0.1"])
def test_one_sided_fits_are_certified(name: str) -> None:
    runs, _ = sweep(0.003, share=0.3, excess=0.02)
    found = fit(runs, chinchilla, loss=name)
    assert found.convergence is not None
    assert found.convergence.certified
    assert found.convergence.agree >= 12
    assert found.covariance_from == "sandwich"
    low, high = found.intervals["wald"]["E"]
    assert low < found.params["E"] < high < 2.2


@pytest.mark.parametrize(
    "name", ["expectile:0", "expectile:1.5", "lower-envelope:-1", "lower-envelope:x", "expectil:.1"]
)
def test_bad_numbers_are_refused(name: str) -> None:
    with pytest.raises(QueryError):
        losses.loss(name)

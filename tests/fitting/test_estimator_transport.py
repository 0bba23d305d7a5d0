# SPDX-License-Identifier: Apache-2.0
"""Transport distances and the projection to more data: closed forms, the gradient, the published checks, the kit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, InputError
from forescale.fitting.estimators.transport import (
    gradient,
    project,
    squared_distance,
    transport,
    transport_projection,
)
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

# -- the distance ---------------------------------------------------------------------------------------------------


def test_on_a_line_the_order_is_kept() -> None:
    """Exact transport of as many points on a line pairs them in order; the entropic cost comes down to it."""
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(0, 1, 40)), np.sort(rng.uniform(0.2, 1.4, 40))
    exact = float(np.mean((x - y) ** 2))
    costs = [transport(squared_distance(x[:, None], y[:, None]), reg=r).cost for r in (0.1, 0.03, 0.01, 0.003)]
    assert (np.diff(costs) < 0).all()
    assert costs[-1] == pytest.approx(exact, rel=0.02)
    assert min(costs) >= exact - 1e-9


def test_the_plan_has_its_margins_and_no_gap() -> None:
    rng = np.random.default_rng(1)
    C = squared_distance(rng.standard_normal((30, 3)), rng.standard_normal((50, 3)) + 0.5)
    a, b = rng.dirichlet(np.ones(30)), rng.dirichlet(np.ones(50))
    found = transport(C, a, b)
    reg = 1e-2 * C.mean()
    plan = a[:, None] * b * np.exp((found.f[:, None] + found.g - C) / reg)
    assert found.error < 1e-9
    np.testing.assert_allclose(plan.sum(axis=1), a, atol=1e-8)
    np.testing.assert_allclose(plan.sum(axis=0), b, atol=1e-12)
    # primal value: cost plus reg times the divergence from the product of the margins
    divergence = float((plan * np.log(np.maximum(plan, 1e-300) / (a[:, None] * b))).sum())
    assert found.value == pytest.approx(found.cost + reg * divergence, rel=1e-7)


def test_potentials_are_the_gradient() -> None:
    rng = np.random.default_rng(2)
    source = np.repeat(["a", "b", "c"], [10, 10, 20])
    C = squared_distance(rng.standard_normal((40, 2)) + (source == "a")[:, None], rng.standard_normal((30, 2)))
    slope = gradient(transport(C, tolerance=1e-13).f, source)
    for name, expected in slope.items():
        n = int((source == name).sum())
        move = 1e-5 * np.where(source == name, 1 / n, -1 / (40 - n))
        up, down = (transport(C, np.full(40, 1 / 40) + s * move, tolerance=1e-13).value for s in (1, -1))
        assert (up - down) / 2e-5 == pytest.approx(expected, rel=1e-6)
    assert slope["a"] > 0 > min(slope["b"], slope["c"])  # the shifted source is the one to leave out


def test_the_gradient_of_the_paper() -> None:
    """(1 / n_i) [sum of f over i - n_i / (n - n_i) sum of f over the others]."""
    f, source = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), ["a", "a", "b", "b", "b"]
    assert gradient(f, source)["a"] == pytest.approx((3.0 - 2 / 3 * 28.0) / 2, rel=1e-14)


def test_bad_distances() -> None:
    with pytest.raises(DataError, match="sum 1"):
        transport(np.ones((3, 3)), a=np.full(3, 0.5))
    with pytest.raises(DataError, match="finite"):
        transport(np.full((2, 2), np.nan))
    with pytest.raises(DataError, match="two sources"):
        gradient(np.ones(3), ["a", "a", "a"])


# -- the projection -------------------------------------------------------------------------------------------------


def test_the_projected_accuracy() -> None:
    found = project(10_000, (1000, 0.50), (1500, 0.55), most=1.0)
    assert found.value == pytest.approx(0.78394, abs=5e-6)
    assert found.warning == ""


def test_an_accuracy_above_one_is_said() -> None:
    found = project(1e6, (1000, 0.50), (1500, 0.55), most=1.0)
    assert found.value == pytest.approx(1.352, abs=5e-4)
    assert "lies outside of 0 to 1" in found.warning


def test_log_loss_stays_positive() -> None:
    found = project(10_000, (1000, 0.50), (1500, 0.45), scale="log")
    assert found.value == pytest.approx(0.27486, abs=5e-6)
    assert project(1e12, (1000, 0.50), (1500, 0.45), scale="log").value > 0
    with pytest.raises(DataError, match="two numbers of samples"):
        project(1e4, (1000, 0.5), (1000, 0.6))


def pilots(sizes: tuple[float, ...] = (1000.0, 1500.0), noise: float = 0.0, seed: int = 0) -> Runs:
    """Mixtures of three sources at each size; ln loss is of the law's own form and linear in ln N."""
    rng = np.random.default_rng(seed)
    p = np.tile(rng.dirichlet(np.ones(3), 24), (len(sizes), 1))
    N, distance = np.repeat(sizes, 24), np.tile(rng.uniform(0.5, 3.0, 24), len(sizes))
    x = np.log(N / 1000.0)
    level = 0.3 + p @ [0.1, 0.4, 0.2] + (p**2) @ [0.2, 0.0, 0.3] + distance * (0.1 + p @ [0.0, 0.05, 0.1])
    y = np.exp(level - x * (0.1 + p @ [0.05, 0.0, 0.02]) + noise * rng.standard_normal(N.size))
    columns: dict[str, Any] = {f"weight_{k}": p[:, j] for j, k in enumerate("abc")}
    return Runs.from_columns({"N": N, "transport": distance, "loss": y, **columns})


class TestTransport(EstimatorCase):
    examples = (
        (transport_projection, pilots(noise=0.003), {}),
        (transport_projection, pilots(noise=0.003), {"scale": "raw"}),
    )


@pytest.mark.parametrize("sizes", [(1000.0, 1500.0), (500.0, 1000.0, 2000.0)])
def test_its_own_form_comes_back(sizes: tuple[float, ...]) -> None:
    found = fs.estimate(pilots(sizes), "transport-projection")
    far = pilots((10_000.0,))
    np.testing.assert_allclose(found.predict(far).estimate, far["loss"], rtol=1e-8)
    assert found.numbers["error"] < 1e-10


def test_two_close_sizes_multiply_noise() -> None:
    """ln(N / N0) / ln(N1 / N0) = 5.7 at N = 1e4 is the weight of the larger size's noise."""
    assert math.log(10) / math.log(1.5) == pytest.approx(5.68, abs=0.01)
    close, apart = (fs.estimate(pilots(s), "transport-projection").numbers for s in ((1e3, 1.5e3), (1e3, 1e4)))
    assert close["noise_at_10x"] > 5 * apart["noise_at_10x"] / 3


def test_tables_that_it_cannot_use() -> None:
    with pytest.raises(DataError, match="two sizes"):
        fs.estimate(pilots((1000.0,)), "transport-projection")
    with pytest.raises(InputError, match="log or raw"):
        fs.estimate(pilots(), "transport-projection", scale="logit")
    with pytest.raises(DataError, match="two or more columns"):
        fs.estimate(pilots(), "transport-projection", weights="share_")

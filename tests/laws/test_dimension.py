# SPDX-License-Identifier: Apache-2.0
"""Exponents of theory: 4 / d, the variance-limited 1, and linear regression exactly."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting.estimate import fit
from forescale.judge.regimes import regimes
from forescale.laws import find
from forescale.laws.dimension import exponent_of_dimension
from forescale.runs.table import Runs

EXCESS = {100: 0.6835, 200: 0.3017, 400: 0.1425, 800: 0.0693, 1600: 0.0342}


def test_the_excess_of_regression() -> None:
    """P = 20 features, noise 2.7: s2 P / (D - P - 1) at D = 100 ... 1600."""
    law = find("regression-excess")
    for D, expected in EXCESS.items():
        assert float(law({"s2": 2.7}, N=20.0, D=float(D))) == pytest.approx(expected, abs=5e-5)
    with pytest.raises(DataError, match="D > N"):
        law({"s2": 2.7}, N=20.0, D=21.0)


def test_regression_by_simulation() -> None:
    rng = np.random.default_rng(0)
    P, D, repeats = 20, 100, 400
    excess = []
    for _ in range(repeats):
        x = rng.standard_normal((D, P))
        beta = np.linalg.lstsq(x, np.sqrt(2.7) * rng.standard_normal(D), rcond=None)[0]
        excess.append(float(beta @ beta))
    error = np.std(excess) / np.sqrt(repeats)
    assert np.mean(excess) == pytest.approx(EXCESS[100], abs=4 * error)


def test_far_above_its_features_regression_is_variance_limited() -> None:
    D = np.array(list(EXCESS))
    slope = np.polyfit(np.log(D), np.log(list(EXCESS.values())), 1)[0]
    assert slope == pytest.approx(-1.07, abs=0.02)
    runs = Runs.from_columns({"D": D, "loss": np.array(list(EXCESS.values()))})
    assert regimes(runs, "D", "loss").tag == "variance-limited"


def test_variance_limited_is_power_floor_with_the_exponent_held() -> None:
    D = np.geomspace(1e3, 1e6, 7)
    held = find("power-floor").on(C="D").fix(alpha=1.0)
    np.testing.assert_allclose(
        find("variance-limited")({"E": 1.2, "V": 900.0}, D=D), held({"E": 1.2, "A": 900.0}, D=D), rtol=1e-12
    )


def test_the_dimension_sets_the_exponent() -> None:
    assert list(exponent_of_dimension(19)) == pytest.approx([1 / 19, 4 / 19])
    law = find("dimension")
    D = np.geomspace(1e2, 1e6, 9)
    same = find("power").on(C="D")({"A": 2.0, "alpha": 4 / 19}, D=D)
    np.testing.assert_allclose(law({"K": 2.0, "c": 4.0}, D=D, dimension=19.0), same, rtol=1e-12)


def test_c_comes_from_data_sets_of_different_dimension() -> None:
    rng = np.random.default_rng(0)
    d, D = (grid.ravel() for grid in np.meshgrid([8.0, 16.0, 30.0], np.geomspace(1e2, 1e5, 8)))
    law = find("dimension")
    made = law({"K": 1.5, "c": 4.0}, D=D, dimension=d) * np.exp(0.01 * rng.standard_normal(d.size))
    found = fit(Runs.from_columns({"D": D, "dimension": d, "error": made}), law)
    # 1 % of noise on 24 rows: c to about half a percent
    assert found.params["c"] == pytest.approx(4.0, rel=0.02)

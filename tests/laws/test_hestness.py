# SPDX-License-Identifier: Apache-2.0
"""Hestness et al. (2017): three regions, the limits of the formula, and the arithmetic of slow exponents."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

THREE = {"E": 0.1, "E_0": 0.9, "K": 2e3, "beta": 0.3, "w": 0.4}


def test_recovery_of_the_papers_curve() -> None:
    """alpha = 1, beta = -.3, gamma = .1 on m = 2^k."""
    D = 2.0 ** np.arange(1, 25)
    y = 1.0 * D**-0.3 + 0.1
    found = fit(Runs.from_columns({"D": D, "loss": y}), find("power-floor(D)"))
    assert found.params == pytest.approx({"A": 1.0, "alpha": 0.3, "E": 0.1}, rel=1e-6)


def test_recovery_of_three_regions() -> None:
    D = 2.0 ** np.arange(4, 34)
    law = find("hestness")
    found = fit(Runs.from_columns({"D": D, "loss": law(THREE, D=D)}), law)
    assert found.params == pytest.approx(THREE, rel=1e-6)
    assert found.convergence is not None
    assert found.convergence.certified


def test_far_above_the_knee_it_is_the_papers_curve() -> None:
    law = find("hestness")
    D = np.geomspace(1e9, 1e14, 20)
    alpha = (THREE["E_0"] - THREE["E"]) * THREE["K"] ** THREE["beta"]
    np.testing.assert_allclose(law(THREE, D=D), alpha * D ** -THREE["beta"] + THREE["E"], rtol=1e-10)
    below = law(THREE, D=np.array([1e-9]))
    np.testing.assert_allclose(below, THREE["E_0"], rtol=1e-12)


def test_a_data_set_without_a_knee_gives_the_papers_curve() -> None:
    """K and E_0 are free then; the curve and its exponent are not."""
    D = 2.0 ** np.arange(4, 28)
    found = fit(Runs.from_columns({"D": D, "loss": D**-0.3 + 0.1}), find("hestness"))
    far = 2.0 ** np.arange(28, 34)
    np.testing.assert_allclose(found.predict(D=far).estimate, far**-0.3 + 0.1, rtol=1e-5)
    assert found.params["beta"] == pytest.approx(0.3, rel=1e-4)


def test_its_neighbours() -> None:
    D = np.geomspace(1.0, 1e9, 40)
    law = find("hestness")
    logistic = {"E": 0.1, "E_0": 0.9, "K": 2e3, "alpha": 0.3, "s": 1.0}
    np.testing.assert_allclose(law({**THREE, "w": 1 / 0.3}, D=D), find("m4")(logistic, D=D), rtol=1e-11)
    shifted = {"E": 0.1, "A": 0.8 * 2e3**0.3, "B": 2e3, "alpha": 0.3}
    np.testing.assert_allclose(
        law({**THREE, "w": 1.0}, D=D), find("shifted-power").on(C="D")(shifted, D=D), rtol=1e-12
    )


def test_a_known_best_guess_is_held() -> None:
    law = find("hestness").fix(E_0=0.9)
    D = np.geomspace(30.0, 1e8, 40)
    rng = np.random.default_rng(2)
    y = find("hestness")(THREE, D=D) * np.exp(0.01 * rng.standard_normal(40))
    found = fit(Runs.from_columns({"D": D, "loss": y}), law)
    for name in ("E", "K", "beta"):
        assert abs(found.params[name] - THREE[name]) < 4 * found.standard_errors()[name], name


@pytest.mark.parametrize(("slope", "factor"), [(0.0656, 38804.0), (0.309, 9.42)])
def test_data_that_halve_the_error(slope: float, factor: float) -> None:
    law = find("hestness")
    p = {"E": 0.0, "E_0": 1.0, "K": 1.0, "beta": slope, "w": 0.5}
    D = 1e9
    assert 2 ** (1 / slope) == pytest.approx(factor, rel=1e-3)
    assert float(law(p, D=D * 2 ** (1 / slope)) / law(p, D=D)) == pytest.approx(0.5, rel=1e-9)


def test_examples_for_a_target_error() -> None:
    """m = ((eps - gamma) / alpha)^(1 / beta_g)."""
    alpha = (THREE["E_0"] - THREE["E"]) * THREE["K"] ** THREE["beta"]
    m = ((0.12 - THREE["E"]) / alpha) ** (-1 / THREE["beta"])
    assert float(find("hestness")(THREE, D=m)) == pytest.approx(0.12, rel=1e-6)


def test_the_size_that_a_set_needs() -> None:
    law = find("hestness-size")
    D = np.geomspace(1e5, 1e9, 9)
    found = fit(Runs.from_columns({"D": D, "N": 40.0 * D**0.68}), law)
    assert found.params == pytest.approx({"kappa": 40.0, "beta": 0.68}, rel=1e-8)

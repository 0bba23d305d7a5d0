# SPDX-License-Identifier: Apache-2.0
"""M1 to M4: the printed equations, laws given by an equation, and the authors' benchmark of 92 curves."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import as_law, find
from forescale.laws._implicit import root
from forescale.numerics.jet import evaluate, value_and_jacobian
from forescale.numerics.starts import sobol
from forescale.runs.table import Runs


def test_m1_and_m2_are_the_power_laws() -> None:
    assert find("m1") is find("power")
    assert find("m2") is find("power-floor")
    assert as_law("m2(D)").id == as_law("power-floor(D)").id == "power-floor(D)"


def test_m3_is_the_printed_form() -> None:
    D = np.geomspace(1e5, 1e12, 9)
    beta, gamma, c = 12.0, 3e-9, 0.27
    expected = beta * (1 / D + gamma) ** c
    np.testing.assert_allclose(find("m3")({"A": beta, "K": 1 / gamma, "alpha": c}, D=D), expected, rtol=1e-14)


def random_m4(count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    u = sobol(count, 6).T
    E, E_0 = 0.5 * u[0], 0.6 + 5.0 * u[1]
    params = {"E": E, "E_0": E_0, "K": 10 ** (5 + 4 * u[2]), "alpha": 0.05 + 2 * u[3], "s": 0.02 * 2000 ** u[4]}
    return params, 10 ** (4 + 8 * u[5])


def test_m4_solves_its_equation() -> None:
    """(L - E) / (E_0 - L)^s = K^alpha (E_0 - E)^(1 - s) D^-alpha, Alabdulmohsin et al. 2022, eq. 3."""
    params, D = random_m4(2000)
    E, E_0, K, alpha, s = (params[k] for k in ("E", "E_0", "K", "alpha", "s"))
    L = find("m4")(params, D=D)
    assert ((L > E) & (L <= E_0)).all()
    inside = (E_0 - L > 1e-6 * E_0) & (L - E > 1e-6 * E_0)
    assert inside.mean() > 0.5
    L, D, E, E_0, K, alpha, s = (v[inside] for v in (L, D, E, E_0, K, alpha, s))
    left = np.log(L - E) - s * np.log(E_0 - L)
    right = alpha * np.log(K / D) + (1 - s) * np.log(E_0 - E)
    # one rounding of L moves its distance from either end by 1e-16 / 1e-6
    assert (np.abs(left - right) <= 1e-9 * (1 + s)).all()


def test_m4_is_the_logistic_curve_for_s_of_one() -> None:
    D = np.geomspace(1e3, 1e12, 40)
    value = find("m4")({"E": 0.2, "E_0": 1.0, "K": 3e7, "alpha": 0.6, "s": 1.0}, D=D)
    np.testing.assert_allclose(value, 0.2 + 0.8 / (1 + (D / 3e7) ** 0.6), rtol=1e-14)


@pytest.mark.parametrize("s", [0.02, 0.3, 4.0, 50.0])
def test_m4_derivatives_follow_the_equation(s: float) -> None:
    law, D = find("m4"), np.geomspace(1e4, 1e10, 13)
    theta = np.array([[0.2, 1.1, 3e6, 0.5, s]])

    def formula(*values: object) -> object:
        return law.formula(D=D, **dict(zip(law.names, values)))

    value, jacobian = value_and_jacobian(formula, theta)
    np.testing.assert_allclose(value, evaluate(formula, theta), rtol=1e-12)
    for p in range(5):
        step = np.zeros((1, 5))
        step[0, p] = 1e-5 * theta[0, p]
        # fourth order: the curve bends sharply for small s
        at = [evaluate(formula, theta + k * step)[0] for k in (-2, -1, 1, 2)]
        slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step[0, p])
        np.testing.assert_allclose(jacobian[0, p], slope, rtol=1e-6, atol=1e-8 / theta[0, p])


@pytest.mark.parametrize("slope", [None, lambda t, a: 3 * t * t + a])
def test_root_of_a_cubic(slope: object) -> None:
    """t^3 + a t = 5: value and dt/da = -t / (3 t^2 + a), with and without the slope."""

    def formula(a: object) -> object:
        return root(lambda t, a: t**3 + a * t - 5.0, np.ones((3, 1)), (0.0, 5.0), a, slope=slope)

    a = np.array([[0.1], [1.0], [30.0]])
    value, jacobian = value_and_jacobian(formula, a)
    t = value[:, 0]
    np.testing.assert_allclose(t**3 + a[:, 0] * t, 5.0, rtol=1e-14)
    np.testing.assert_allclose(jacobian[:, 0, 0], -t / (3 * t * t + a[:, 0]), rtol=1e-13)


def test_root_where_newton_diverges() -> None:
    """arctan: steps from afar overshoot ever more; the bracket halves until they do not."""
    found = root(lambda t, a: np.arctan(t - a), np.array([9.0, -8.0]), (-10.0, 10.0), np.array([1.0, 2.5]))
    np.testing.assert_allclose(found, [1.0, 2.5], rtol=1e-12)
    assert np.isnan(root(lambda t, a: t - a, np.zeros(2), (-1.0, 1.0), np.array([np.nan, 0.5]))[0])


def test_m4_with_known_random_guessing() -> None:
    law = find("m4").fix(E_0=1.0)
    D = np.geomspace(1e6, 1e10, 40)
    truth = {"E": 0.15, "K": 4e7, "alpha": 0.45, "s": 0.6}
    found = fit(Runs.from_columns({"D": D, "loss": law(truth, D=D)}), law)
    assert found.params == pytest.approx(truth, rel=1e-6)
    assert found.convergence is not None
    assert found.convergence.starts <= 8, "the law's own starts serve the law with a fixed end"


def test_starts_step_aside_for_values_without_logarithm() -> None:
    D = np.geomspace(1.0, 100.0, 12)
    found = fit(Runs.from_columns({"D": D, "loss": 1 - 0.5 * D**-0.5}), find("power-floor(D)"), loss="squared")
    assert np.isfinite(found.objective)


# -- the 92 curves --------------------------------------------------------------------------------------------------


def test_m4_is_as_good_as_the_released_one(curves) -> None:
    """Released M4, same rows: mean .0350, median .0233, 10.9 CPU-s per curve."""
    errors, domain, seconds = curves(find("m4"))
    assert errors.size == 92
    assert errors.mean() <= 0.0350
    assert np.median(errors) <= 0.0233
    for name, released in (("IC", 0.0415), ("NMT", 0.0208), ("LM", 0.00094), ("BB", 0.0123)):
        assert errors[domain == name].mean() <= max(1.1 * released, released + 0.0005), name
    assert seconds < 0.2, "20 ms on a quiet machine"

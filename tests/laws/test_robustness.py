# SPDX-License-Identifier: Apache-2.0
"""Attacks: kappa from dimension and vocabulary, an adversarial slope near one, the window that moves it."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.robustness import attack_multiplier, attack_resistance
from forescale.runs.table import Runs


@pytest.mark.parametrize(
    ("dimension", "kappa"), [(512, 23.8), (768, 35.8), (1024, 47.7), (2048, 95.4), (2560, 119.2)]
)
def test_kappa_of_pythia(dimension: int, kappa: float) -> None:
    """70m, 160m, 410m, 1.4b, 2.8b: chi = 22, 16 bits, 50,304 tokens."""
    found = attack_multiplier(dimension, 50304, chi=22)
    assert found == pytest.approx(kappa, abs=0.05)
    assert attack_resistance(found, dimension, 50304) == pytest.approx(22, rel=1e-12)


def test_kappa_of_a_small_model() -> None:
    assert attack_multiplier(64, 64, chi=20) == pytest.approx(8.5, abs=0.05)


def test_a_token_attack_has_the_inverse_of_kappa() -> None:
    """One token of log2 V bits fixes at most one token: kappa in theory is 1, so chi = 1 / kappa."""
    V = 4096.0
    assert attack_multiplier(np.log2(V), V, bits=1.0) == pytest.approx(1.0)


def test_the_slope_of_a_random_network() -> None:
    """Errors of a random linear network at five radii: slope .97 below 20 %; the radius of 31 % pulls it to .94."""
    radius = np.array([0.002, 0.004, 0.008, 0.016, 0.03])
    error = np.array([0.0236, 0.0485, 0.0939, 0.1771, 0.3056])
    law = find("adversarial-power")
    small = fit(Runs.from_columns({"radius": radius[:4], "error": error[:4]}), law)
    assert small.params["B"] == pytest.approx(0.97, abs=0.005)
    every = fit(Runs.from_columns({"radius": radius, "error": error}), law)
    assert every.params["B"] == pytest.approx(0.944, abs=0.001)


def test_the_amplitude_form() -> None:
    law = find("adversarial-power")
    eps = np.geomspace(1e-4, 1e-2, 7)
    A, B = 12.0, 1.1
    np.testing.assert_allclose(law({"R": A ** (-1 / B), "B": B}, radius=eps), A * eps**B, rtol=1e-12)

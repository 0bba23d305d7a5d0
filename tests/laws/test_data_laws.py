# SPDX-License-Identifier: Apache-2.0
"""Pruned data, diverse data, synthetic data: the numbers of the sources."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

# -- pruning (Sorscher et al. 2022) ---------------------------------------------------------------------------------

SIMULATED = {1: 0.281, 2: 0.371, 4: 0.441, 8: 0.466, 16: 0.475, 32: 0.494}
"""Samples per dimension -> error times that, largest margin, 200 dimensions, four seeds."""

KEPT_FOUR = {4: 0.1102, 8: 0.0561, 16: 0.0300, 32: 0.0155, 64: 0.0078}
"""All samples per dimension -> error when the four hardest per dimension are kept by a perfect score."""


def test_the_error_tends_to_half_over_alpha() -> None:
    law = find("teacher-student")
    params = law.constants("sorscher2022-margin")
    short = [float(law(params, samples_per_dimension=a)) * a - value for a, value in SIMULATED.items()]
    assert short == sorted(short, reverse=True)
    assert abs(short[-1]) <= 0.03


def test_with_a_perfect_score_the_error_halves_as_the_whole_set_doubles() -> None:
    sizes, errors = np.array(list(KEPT_FOUR)), np.array(list(KEPT_FOUR.values()))
    np.testing.assert_allclose(errors[1:] / errors[:-1], 0.5, atol=0.04)
    law = find("teacher-student")
    # the error of the whole set, not of the four that were kept
    np.testing.assert_allclose(
        errors[2:], law(law.constants("sorscher2022-margin"), samples_per_dimension=sizes[2:]), rtol=0.05
    )
    found = fit(Runs.from_columns({"samples_per_dimension": sizes, "error": errors}), law)
    assert found.params["p"] == pytest.approx(1.0, abs=0.06)


def test_rules_of_learning_keep_their_order() -> None:
    law = find("teacher-student")
    bayes, margin, gibbs, hebb = (
        float(law(law.constants(f"sorscher2022-{rule}"), samples_per_dimension=100.0))
        for rule in ("bayes", "margin", "gibbs", "hebb")
    )
    assert bayes < margin < gibbs < hebb


# -- diversity (Lin et al. 2024) ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "gap", "needed"),
    [
        ("lin2024-pour-objects", 0.0722, 20.1),
        ("lin2024-pour-environments", 0.0633, 18.6),
        ("lin2024-pour-pairs", 0.1436, 59.8),
        ("lin2024-mouse-objects", 0.0738, 20.7),
        ("lin2024-mouse-environments", 0.1645, 93.1),
        ("lin2024-mouse-pairs", 0.1184, 41.0),
    ],
)
def test_gap_at_32_and_environments_for_a_gap_of_a_tenth(source: str, gap: float, needed: float) -> None:
    law = find("diversity")
    p = law.constants(source)
    assert float(law(p, environments=32.0)) == pytest.approx(gap, abs=5e-5)
    x = (p["a"] / 0.1) ** (1 / p["b"])
    assert x == pytest.approx(needed, abs=0.05)
    assert float(law(p, environments=x)) == pytest.approx(0.1, rel=1e-12)


def test_ample_demonstrations_leave_the_law_of_environments() -> None:
    both, one = find("diversity-demonstrations"), find("diversity")
    p = one.constants("lin2024-pour-pairs")
    x = np.array([1.0, 4.0, 32.0])
    value = both({**p, "c": 0.6, "g": 1.5}, environments=x, demonstrations=1e12)
    np.testing.assert_allclose(value, one(p, environments=x), rtol=1e-9)


def test_which_axis_to_spend_on() -> None:
    """The cheapest way to a gap of 0.15 balances a b x^-b / cost share against c g m^-g / cost share."""
    law, p = find("diversity-demonstrations"), {"a": 0.9, "b": 0.6, "c": 0.5, "g": 0.8}
    x = np.geomspace(25.0, 400.0, 4000)
    m = (p["c"] / (0.15 - p["a"] * x ** -p["b"])) ** (1 / p["g"])
    feasible = np.isfinite(m) & (p["a"] * x ** -p["b"] < 0.149)
    np.testing.assert_allclose(law(p, environments=x[feasible], demonstrations=m[feasible]), 0.15, rtol=1e-12)
    cost = np.where(feasible, 40.0 * x + 1.0 * x * m, np.inf)
    best = int(np.argmin(cost))
    env, demo = p["a"] * p["b"] * x[best] ** -p["b"], p["c"] * p["g"] * m[best] ** -p["g"]
    assert env / (40.0 * x[best] + x[best] * m[best]) == pytest.approx(demo / (x[best] * m[best]), rel=0.01)


# -- synthetic images (Fan et al. 2023) -----------------------------------------------------------------------------


def test_synthetic_images_against_real_ones() -> None:
    """Exponents .53 and .247, read off a figure: halving the loss takes 3.70 and 16.5 times the images."""
    law = find("power(D)")
    for exponent, times in ((0.53, 3.70), (0.247, 16.5)):
        p = {"A": 7.0, "alpha": exponent}
        assert float(law(p, D=times * 1e6) / law(p, D=1e6)) == pytest.approx(0.5, abs=1e-3)

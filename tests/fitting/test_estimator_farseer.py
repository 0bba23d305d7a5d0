# SPDX-License-Identifier: Apache-2.0
"""Farseer's three stages: exact on a noise-free grid, a start for the joint fit with noise, and ragged tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting._estimator import estimate
from forescale.fitting.estimate import fit
from forescale.fitting.estimators.farseer import differences, farseer_staged
from forescale.laws import find
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

LAW = find("farseer")
REFIT = LAW.constants("farseer-refit")
RATIO = math.sqrt(2.0)
FAR = {"N": np.array([1e10, 2.5e10, 5e10]), "D": np.array([5e11, 1e12, 2e12])}


def grid(noise: float = 0.0, seed: int = 0) -> Runs:
    """Thirteen sizes by twelve token counts, both in steps of sqrt(2)."""
    N, D = (a.ravel() for a in np.meshgrid(2e8 * RATIO ** np.arange(13), 4e9 * RATIO ** np.arange(12)))
    y = LAW(REFIT, N=N, D=D) * np.exp(noise * np.random.default_rng(seed).standard_normal(N.size))
    return Runs.from_columns({"N": N, "D": D, "loss": y})


class TestFarseer(EstimatorCase):
    examples = ((farseer_staged, grid(1e-3), {}),)


def test_stage_one_is_exact_without_noise() -> None:
    runs = grid()
    found = differences(runs["N"], runs["D"], runs["loss"], RATIO)
    assert found.N.size == 13
    assert found.R.size == 13 * 11
    np.testing.assert_allclose(found.A, np.exp(REFIT["a1"] * found.N ** REFIT["alpha"] + REFIT["b1"]), rtol=1e-8)
    np.testing.assert_allclose(found.B, np.exp(REFIT["a2"] * found.N ** REFIT["beta"] + REFIT["b2"]), rtol=1e-8)


def test_stages_two_and_three_are_as_near_as_their_grids_of_powers() -> None:
    made = estimate(grid(), "farseer-staged", polish=False)
    relative = made.residuals / made.runs["loss"]
    assert np.sqrt(np.mean(relative**2)) < 1e-3
    np.testing.assert_allclose(made.predict(FAR).estimate, LAW(REFIT, **FAR), rtol=5e-3)
    assert made.numbers["certified"] == 0


def test_the_joint_fit_brings_the_constants_back() -> None:
    made = estimate(grid(), "farseer-staged")
    assert made.numbers["certified"] == 1
    np.testing.assert_allclose(made.predict(FAR).estimate, LAW(REFIT, **FAR), rtol=1e-8)
    for name, value in REFIT.items():
        assert made.numbers[name] == pytest.approx(value, rel=1e-4), name


def test_with_noise_it_ends_where_the_joint_search_does() -> None:
    runs = grid(1e-3, seed=3)
    made, joint = estimate(runs, "farseer-staged"), fit(runs, LAW)
    np.testing.assert_allclose(made.predict(FAR).estimate, joint.predict(FAR).estimate, rtol=1e-6)
    rough = estimate(runs, "farseer-staged", polish=False)
    truth = LAW(REFIT, **FAR)
    error = [np.abs(e.predict(FAR).estimate / truth - 1).max() for e in (made, rough)]
    assert error[0] < error[1]
    assert error[0] < 0.005


def test_a_table_without_pairs_gets_the_joint_fit_alone() -> None:
    rng = np.random.default_rng(5)
    N, D = np.exp(rng.uniform(np.log(2e8), np.log(1e10), 120)), np.exp(rng.uniform(np.log(4e9), np.log(2e11), 120))
    runs = Runs.from_columns({"N": N, "D": D, "loss": LAW(REFIT, N=N, D=D)})
    made = estimate(runs, "farseer-staged")
    assert made.numbers["sizes"] == made.numbers["pairs"] == 0
    np.testing.assert_allclose(made.predict(FAR).estimate, LAW(REFIT, **FAR), rtol=1e-6)
    with pytest.raises(DataError, match="0 sizes"):
        estimate(runs, "farseer-staged", polish=False)


def test_missing_and_repeated_cells_do_not_matter_without_noise() -> None:
    runs = grid()
    rng = np.random.default_rng(8)
    kept = np.concatenate([rng.permutation(len(runs))[:120], np.arange(30)])
    made = estimate(runs.where(kept), "farseer-staged")
    np.testing.assert_allclose(made.predict(FAR).estimate, LAW(REFIT, **FAR), rtol=1e-7)


def test_the_ratio_is_that_of_the_grid() -> None:
    with pytest.raises(DataError, match="grid ratio"):
        estimate(grid(), "farseer-staged", ratio=1.0)
    assert estimate(grid(), "farseer-staged", ratio=2.0).numbers["pairs"] == 13 * 10

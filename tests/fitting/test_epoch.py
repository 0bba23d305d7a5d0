# SPDX-License-Identifier: Apache-2.0
"""The published figures: Epoch's rows of the Chinchilla runs (Besiroglu et al. 2024)."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

CHINCHILLA = find("chinchilla")


@pytest.fixture(scope="module")
def huber(epoch240: Runs) -> Fit:
    return fit(epoch240, CHINCHILLA)


@pytest.fixture(scope="module")
def student(epoch240: Runs) -> Fit:
    return fit(epoch240, CHINCHILLA, loss="student-t")


@pytest.fixture(scope="module")
def resampled(huber: Fit) -> Fit:
    return huber.bootstrap(4000)


def _shift(after: Fit, before: Fit, errors: dict[str, float]) -> dict[str, float]:
    return {name: abs(after.params[name] - before.params[name]) / errors[name] for name in before.params}


def test_the_optimum_of_the_published_objective(huber: Fit) -> None:
    assert huber.objective <= 0.00101827403
    expected = {"E": 1.8172181, "A": 477.826, "alpha": 0.3473105, "B": 2143.417, "beta": 0.3671724}
    for name, value in expected.items():
        assert huber.params[name] == pytest.approx(value, rel=3e-6), name


def test_the_optimum_is_certified(huber: Fit) -> None:
    found = huber.convergence
    assert found is not None
    assert found.certified
    assert found.agree == found.polished == 16
    assert "16 of 16 polished starts agree" in found.message


def test_bootstrap_standard_errors(resampled: Fit) -> None:
    errors = resampled.standard_errors()
    for name, value in {"E": 0.0252, "alpha": 0.0149, "beta": 0.0203}.items():
        assert errors[name] == pytest.approx(value, rel=0.05), name
    assert resampled.draws.shape == (4000, 5)
    assert resampled.draws_from == "bootstrap-rows"


def test_wald_errors_agree_with_the_middle_of_the_bootstrap(huber: Fit, resampled: Fit) -> None:
    # The draws have long tails; their quartiles are what a normal approximation can know.
    wald = huber.standard_errors("wald")
    low, high = np.quantile(resampled.draws, [0.25, 0.75], axis=0)
    for i, name in enumerate(huber.law.names):
        assert wald[name] == pytest.approx((high[i] - low[i]) / 1.349, rel=0.2), name


def test_five_rows_move_log_huber_as_published(epoch245: Runs) -> None:
    found = fit(epoch245, CHINCHILLA)
    assert found.params["E"] == pytest.approx(1.891, abs=6e-4)
    assert found.params["beta"] == pytest.approx(0.453, abs=6e-4)


def test_five_rows_do_not_move_student_t(student: Fit, epoch245: Runs) -> None:
    shift = _shift(fit(epoch245, CHINCHILLA, loss="student-t"), student, student.standard_errors())
    assert max(shift.values()) <= 0.5, shift


@pytest.mark.parametrize("loss", ["log-huber", "student-t"])
def test_five_rows_times_one_and_a_half(loss: str, huber: Fit, student: Fit, epoch240: Runs) -> None:
    clean = huber if loss == "log-huber" else student
    errors = clean.standard_errors("wald")
    still = 0
    for seed in range(100):
        rows = np.random.default_rng(seed).choice(240, 5, replace=False)
        losses = epoch240["loss"].copy()
        losses[rows] *= 1.5
        moved = fit(epoch240.with_column("loss", losses), CHINCHILLA, loss=loss, starts=48, polish=2)
        still += max(_shift(moved, clean, errors).values()) <= 1.0
    assert still >= 95


def test_the_optimum_of_least_squares(epoch240: Runs) -> None:
    found = fit(epoch240, CHINCHILLA, loss="squared")
    assert 2 * found.objective == pytest.approx(0.08320381, rel=1e-6)
    assert found.params["beta"] == pytest.approx(0.42762, abs=2e-5)

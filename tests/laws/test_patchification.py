# SPDX-License-Identifier: Apache-2.0
"""Error against patch size: the fits and hidden points of the notes, limits, and total bits (bit-frontier)."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="FORESCALE_MIRROR names no local folder")

LAW = find("patchification")


@mirrored
@pytest.mark.parametrize(
    ("sequence", "E", "A", "beta"),
    [("DeiT-Base@64", 18.56, 0.172, 1.57), ("Adventurer-Base@224", 15.39, 0.037, 1.44)],
)
def test_fits_of_the_table(sequence: str, E: float, A: float, beta: float) -> None:
    found = fit(dataset("patchification", sequence=sequence), LAW, loss="squared")
    assert found.convergence is not None
    assert found.convergence.certified
    assert 100 * found.params["E"] == pytest.approx(E, abs=0.005)
    assert 100 * found.params["A"] == pytest.approx(A, abs=0.0005)
    assert found.params["beta"] == pytest.approx(beta, abs=0.005)


@mirrored
@pytest.mark.parametrize(
    ("sequence", "limit", "power", "true"),
    [
        ("DeiT-Base@64", 18.77, 15.19, 18.70),
        ("Adventurer-Base@64", 19.14, 15.71, 19.10),
        ("Adventurer-Base@128", 17.89, 16.57, 17.60),
        ("Adventurer-Base@224", 15.46, 14.72, 15.40),
    ],
)
def test_patches_of_one_pixel_from_coarser_ones(sequence: str, limit: float, power: float, true: float) -> None:
    runs = dataset("patchification", sequence=sequence)
    coarse, fine = runs.where(runs["patch"] > 1), runs.where(runs["patch"] == 1)
    assert len(coarse) == 4
    assert 100 * fine["loss"][0] == pytest.approx(true, abs=1e-9)
    found = 100 * float(fit(coarse, LAW, loss="squared").predict(fine).estimate[0])
    pure = 100 * float(fit(coarse, LAW.fix(E=0.0), loss="log-squared").predict(fine).estimate[0])
    assert found == pytest.approx(limit, abs=0.006)
    assert pure == pytest.approx(power, abs=0.006)
    assert abs(found - true) <= 0.3
    assert abs(pure - true) > 2 * abs(found - true)


@mirrored
def test_a_pure_power_misses_the_table() -> None:
    """The trap: 0.3 to 2 points (root mean square), where the law with a limit misses by less than 0.15."""
    runs = dataset("patchification")
    for sequence in sorted(set(runs.labels["sequence"].tolist())):
        one = runs.where(runs.labels["sequence"] == sequence)
        limit, power = (
            100 * float(np.sqrt(np.mean((fit(one, law, loss="squared").predict(one).estimate - one["loss"]) ** 2)))
            for law in (LAW, LAW.fix(E=0.0))
        )
        assert limit < 0.15
        assert 0.3 < power < 2.1


def test_it_rises_in_the_patch_and_ends_at_its_limit() -> None:
    p = {"E": 0.186, "A": 0.0017, "beta": 1.57}
    value = LAW(p, patch=np.array([1e-9, 1.0, 2.0, 4.0, 16.0]))
    assert (np.diff(value) > 0).all()
    assert value[0] == pytest.approx(0.186, rel=1e-9)
    assert LAW.floor is None, "the floor of a law is its limit for large inputs"
    assert not LAW.decreasing_in


def test_it_is_the_power_with_a_floor_in_tokens() -> None:
    """tokens = (H / p)^2, so that the exponent in tokens is beta / 2."""
    p = {"E": 0.186, "A": 0.0017, "beta": 1.57}
    patch = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    tokens = (64 / patch) ** 2
    same = {"E": 0.186, "A": 0.0017 * 64**1.57, "alpha": 1.57 / 2}
    np.testing.assert_allclose(LAW(p, patch=patch), find("power-floor")(same, C=tokens), rtol=1e-13)


def test_without_a_power_in_the_data_nothing_breaks() -> None:
    patch = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    found = fit(Runs.from_columns({"patch": patch, "loss": np.array([0.3, 0.29, 0.31, 0.3, 0.305])}), LAW)
    assert np.isfinite(found.objective)


def test_total_bits() -> None:
    """bit-frontier: parameters and bits act through their product alone."""
    law = find("bit-frontier")
    p = {"E": 1.3, "A": 295.0, "alpha": 0.27}
    one = law(p, N=np.array([1e9, 2e9, 4e9]), bits=np.array([8.0, 4.0, 2.0]))
    np.testing.assert_allclose(one, one[0], rtol=1e-14)
    np.testing.assert_allclose(law(p, N=1e9, bits=1.0), find("power-floor")(p, C=1e9), rtol=1e-14)
    assert "compute-optimal" in law.refuses

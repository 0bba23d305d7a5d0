# SPDX-License-Identifier: Apache-2.0
"""The Hitchhiker's Guide: family laws from training curves, and their error on the end of the largest model."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.core.errors import DataError, QuantityError
from forescale.fitting._estimator import estimate
from forescale.fitting.estimators.family_law import family_law, grid, members
from forescale.laws import find
from forescale.runs.table import Runs, concat
from forescale.testing.estimators import EstimatorCase

LAW = find("chinchilla")
TRUTH = {"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2100.0, "beta": 0.37}
SIZES = (7e7, 1.6e8, 4.1e8, 1.0e9, 2.8e9, 6.9e9)


def family(noise: float = 0.005, early: float = 0.0, sizes: tuple[float, ...] = SIZES, rows: int = 25) -> Runs:
    """Curves of 300B tokens; `early` adds that share of the loss, fading over the first tokens."""
    rng = np.random.default_rng(4)
    D = np.geomspace(1e9, 3e11, rows)
    parts = []
    for size in sizes:
        N = np.full(rows, size)
        y = LAW(TRUTH, N=N, D=D) * np.exp(noise * rng.standard_normal(rows)) * (1 + early * np.exp(-D / 2e9))
        parts.append(Runs.from_columns({"N": N, "D": D, "loss": y, "run": [f"model-{size:g}"] * rows}))
    return concat(parts)


class TestFamilyLaw(EstimatorCase):
    examples = ((family_law, family(), {}),)


def test_the_guides_constants() -> None:
    """Its fits start at Muennighoff's constants."""
    p = LAW.constants("muennighoff2023-c4")
    assert p["A"] == pytest.approx(np.exp(6.255414), rel=1e-12)
    assert p["A"] == pytest.approx(520.825, rel=1e-5)
    assert p["B"] == pytest.approx(1487.716, rel=1e-6)
    assert p["E"] == pytest.approx(1.86914, rel=1e-5)


def test_without_noise_the_law_comes_back() -> None:
    found = estimate(family(noise=0.0), "family-law").numbers
    for name, value in TRUTH.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name
    assert found["ARE"] < 1e-10
    assert found["models"] == 5
    assert found["ARE_best_so_far"] > 0.01


def test_the_target_is_the_end_of_the_largest_run() -> None:
    """No row of the largest model is fitted, unless a share of its run is said to be seen."""
    runs = family()
    hidden = runs.where(~((runs.labels["run"] == "model-6.9e+09") & (runs["D"] < 2.1e11)))
    one, other = (estimate(r, "family-law").numbers for r in (runs, hidden))
    assert one["rows"] == other["rows"]
    assert one["E"] == other["E"]
    seen = estimate(runs, "family-law", seen=0.3).numbers
    assert seen["rows"] > one["rows"]
    assert seen["models"] == 6
    assert estimate(runs, "family-law", seen=1.0).numbers["rows"] < len(runs)


def test_early_checkpoints_spoil_the_law() -> None:
    runs = family(early=1.5)
    kept, all_of_it = (estimate(runs, "family-law", skip=s).numbers["ARE"] for s in (10e9, 0.0))
    assert kept < 0.5 * all_of_it


def test_no_more_than_a_fifth_of_a_short_run_is_skipped() -> None:
    runs = family()
    short = runs.with_column("D", runs["D"] / 100)
    assert estimate(short, "family-law").numbers["rows"] == estimate(short, "family-law", skip=0.6e9).numbers["rows"]


def test_one_model_is_enough_with_a_borrowed_parameter_term() -> None:
    runs = family(sizes=SIZES[-2:], noise=0.002)
    with pytest.raises(DataError, match="borrow A and alpha"):
        estimate(runs, "family-law")
    found = estimate(runs, "family-law", A=TRUTH["A"], alpha=TRUTH["alpha"]).numbers
    assert found["A"] == TRUTH["A"]
    assert found["ARE"] < 0.01


def test_numbers_are_read_as_people_write_them() -> None:
    found = estimate(family(noise=0.0), "family-law")
    assert found.predict(N="13B", D="1T").estimate[0] == pytest.approx(float(LAW(TRUTH, N=1.3e10, D=1e12)), rel=1e-6)
    with pytest.raises(QuantityError):
        found.predict(N="thirteen", D="1T")


def test_two_sizes_are_too_few() -> None:
    with pytest.raises(DataError, match="2 models"):
        estimate(family(sizes=SIZES[:3]), "family-law")


def test_the_grid() -> None:
    runs = family(noise=0.01)
    found = grid(runs, shares=(0.03, 0.3, 1.0))
    assert found.models == (3, 4, 5)
    assert found.error.shape == (3, 3)
    assert np.isfinite(found.error[:, 1:]).all()
    whole = estimate(runs, "family-law").numbers["ARE"]
    assert found.error[-1, -1] == pytest.approx(whole)
    # three per cent of a run of 300B tokens lie within the 10B that are skipped
    assert np.isnan(found.error[:, 0]).all()


def test_members_are_ordered_by_size_then_length() -> None:
    runs = family(sizes=(1e9, 1e8))
    longer = Runs.from_columns({"N": [1e8, 1e8], "D": [1e9, 6e11], "loss": [4.0, 2.5], "run": ["longer", "longer"]})
    assert members(concat([runs, longer])) == ["model-1e+08", "longer", "model-1e+09"]

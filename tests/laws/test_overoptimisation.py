# SPDX-License-Identifier: Apache-2.0
"""Over-optimisation: KL of best-of-n, peaks, synthetic recoveries, and the Gaussian case where nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.overoptimisation import (
    expected_maximum,
    kl_of_best_of_n,
    kl_of_best_of_n_binary,
    n_of_kl,
    peak_best_of_n,
    peak_reinforced,
)
from forescale.runs.table import Runs


@pytest.mark.parametrize(
    ("n", "kl", "d"),
    [
        (2, 0.193147, 0.439485), (4, 0.636294, 0.797681), (16, 1.835089, 1.354654), (64, 3.174508, 1.781715),
        (100, 3.615170, 1.901360), (1000, 5.908755, 2.430793), (60000, 10.002117, 3.162612),
    ],
)  # fmt: skip
def test_kl_of_best_of_n(n: int, kl: float, d: float) -> None:
    assert float(kl_of_best_of_n(n)) == pytest.approx(kl, abs=6e-7)
    assert float(kl_of_best_of_n(n)) ** 0.5 == pytest.approx(d, abs=6e-7)
    assert n_of_kl(float(kl_of_best_of_n(n))) == pytest.approx(n, rel=1e-9)


def test_n_of_a_kl() -> None:
    assert n_of_kl(6.25) == pytest.approx(1407.10, abs=0.005)


def test_the_formula_is_a_bound_where_samples_tie() -> None:
    exact = kl_of_best_of_n_binary([2, 4, 8])
    np.testing.assert_allclose(exact, [0.130812, 0.459356, 0.667588], atol=6e-7)
    assert (exact < kl_of_best_of_n([2, 4, 8])).all()


def test_peaks() -> None:
    assert peak_best_of_n(1.0, 0.2) == pytest.approx({"d": 2.5, "kl": 6.25, "score": 1.25})
    rl = peak_reinforced(1.0, 0.2)
    assert rl["d"] == pytest.approx(54.598, abs=5e-4)
    assert rl["score"] == pytest.approx(10.920, abs=5e-4)
    for law_id, peak in (("overoptimisation-bon", peak_best_of_n), ("overoptimisation-rl", peak_reinforced)):
        p = {"alpha": 0.9, "beta": 0.25}
        top = peak(**p)
        around = find(law_id)(p, kl=top["kl"] * np.array([0.98, 1.0, 1.02]))
        assert around[1] == pytest.approx(top["score"], rel=1e-12)
        assert around[1] > max(around[0], around[2])


def test_recoveries() -> None:
    """One generator: 25 distances for best-of-n, noise .01; then 40 for reinforcement learning, noise .02."""
    rng = np.random.default_rng(0)
    d = np.linspace(0.2, 3.2, 25)
    score = d * (1.0 - 0.2 * d) + 0.01 * rng.standard_normal(25)
    found = fit(Runs.from_columns({"kl": d * d, "score": score}), find("overoptimisation-bon")).params
    assert found == pytest.approx({"alpha": 0.99383, "beta": 0.19756}, abs=6e-6)
    assert peak_best_of_n(**found)["d"] == pytest.approx(2.5153, abs=5e-5)
    d = np.linspace(1.0, 25.0, 40)
    score = d * (0.6 - 0.2 * np.log(d)) + 0.02 * rng.standard_normal(40)
    found = fit(Runs.from_columns({"kl": d * d, "score": score}), find("overoptimisation-rl")).params
    assert found == pytest.approx({"alpha": 0.60221, "beta": 0.20068}, abs=6e-6)
    top = peak_reinforced(**found)
    assert top["d"] == pytest.approx(7.395, abs=5e-4)
    assert top["kl"] == pytest.approx(54.69, abs=5e-3)


@pytest.mark.parametrize(
    ("n", "mean"), [(1, 0.0), (2, 0.564190), (5, 1.162964), (10, 1.538753), (100, 2.507594), (1000, 3.241436)]
)
def test_expected_maximum(n: int, mean: float) -> None:
    assert expected_maximum(n) == pytest.approx(mean, abs=6e-7)


def test_gaussian_noise_alone_makes_no_hump() -> None:
    gains = [expected_maximum(n) for n in (1, 2, 4, 16, 256, 4096)]
    assert (np.diff(gains) > 0).all()

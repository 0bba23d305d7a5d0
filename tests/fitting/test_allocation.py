# SPDX-License-Identifier: Apache-2.0
"""Samples over problems: the greedy optimum against exhaustion, thresholds, posteriors, stopping."""

from __future__ import annotations

import itertools
import math
import os

import numpy as np
import pytest

from forescale.fitting.allocation import (
    allocated,
    marginal_of_beta,
    marginal_of_rates,
    samples_at_threshold,
    solved_of_rates,
    used_of_beta,
    used_of_rates,
    worth_drawing,
)
from forescale.laws.coverage import beta_rates
from forescale.runs.datasets import dataset

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")
RATES = np.array([0.9, 0.5, 0.1, 0.01])
PRIOR = (0.2156, 25.489)  # Pythia 1B on MATH


@pytest.mark.parametrize(
    ("budget", "samples", "solved"),
    [
        (12, (2, 4, 6, 0), 2.396059),
        (4, (1, 3, 0, 0), 1.775),
        (8, (2, 3, 3, 0), 2.136),
        (20, (2, 5, 13, 0), 2.704563),
    ],
)
def test_greedy(budget: int, samples: tuple[int, ...], solved: float) -> None:
    """Allocations and expected numbers of solved problems of the specification, section 16.5."""
    found = allocated(marginal_of_rates(RATES), 4, budget)
    assert found.tolist() == list(samples)
    assert solved_of_rates(RATES, found).sum() == pytest.approx(solved, abs=6e-7)


def test_an_equal_share_solves_less() -> None:
    assert solved_of_rates(RATES, 3).sum() == pytest.approx(2.174701, abs=6e-7)


def test_greedy_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        p = rng.beta(0.5, 1.0, 4)
        found = solved_of_rates(p, allocated(marginal_of_rates(p), 4, 7)).sum()
        every = [b for b in itertools.product(range(8), repeat=4) if sum(b) == 7]
        assert found == pytest.approx(max(solved_of_rates(p, b).sum() for b in every), rel=1e-12)


def test_the_threshold_form_is_the_same() -> None:
    found = allocated(marginal_of_rates(RATES), 4, 20)
    last = np.exp(marginal_of_rates(RATES)(found))[found > 0].min()
    assert samples_at_threshold(RATES, last * (1 - 1e-12)).tolist() == found.tolist()


def test_a_floor_comes_first() -> None:
    found = allocated(marginal_of_rates(RATES), 4, 12, floor=2)
    assert found.tolist() == [2.0, 3.0, 5.0, 2.0]


def test_hopeless_problems_get_nothing_and_certain_ones_one() -> None:
    p = np.array([0.0, 1.0, 0.3])
    assert allocated(marginal_of_rates(p), 3, 6).tolist() == [0.0, 1.0, 5.0]
    assert allocated(marginal_of_rates(np.zeros(2)), 2, 6).tolist() == [0.0, 0.0]


def test_beta_marginals_are_steps_of_the_coverage() -> None:
    b = np.array([1.0, 2.0, 10.0, 1000.0])
    steps = beta_rates(b, *PRIOR) - beta_rates(b - 1, *PRIOR)
    np.testing.assert_allclose(np.exp(marginal_of_beta(*PRIOR)(b)), steps, rtol=1e-9)


def test_beta_allocation_is_the_best_of_all() -> None:
    alpha, beta = np.array([0.2, 1.2, 3.2]), np.array([30.0, 20.0, 10.0])
    found = beta_rates(allocated(marginal_of_beta(alpha, beta), 3, 12), alpha, beta).sum()
    every = [b for b in itertools.product(range(13), repeat=3) if sum(b) == 12]
    assert found == pytest.approx(max(beta_rates(np.array(b, dtype=float), alpha, beta).sum() for b in every))


@pytest.mark.parametrize(("k", "samples"), [(10, 8.02526), (50, 18.46110)])
def test_samples_until_a_pass(k: int, samples: float) -> None:
    """Section 1.8 of the specification: p = .05."""
    assert used_of_rates(0.05, k) == pytest.approx(samples, abs=6e-6)


@pytest.mark.parametrize("alpha", [0.2156, 1.0, 2.5])
def test_samples_until_a_pass_over_a_prior(alpha: float) -> None:
    direct = sum(1.0 - beta_rates(float(j), alpha, 25.489) for j in range(40))
    assert used_of_beta(alpha, 25.489, 40) == pytest.approx(direct, rel=1e-9)


@pytest.mark.parametrize(("worth", "draws"), [(1000, 190), (200, 18), (118, 0)])
def test_stopping(worth: float, draws: int) -> None:
    """Section 1.8 of the specification, and the rule behind it: draw while a sample is worth its cost."""
    assert worth_drawing(*PRIOR, worth) == draws
    n = 0
    while worth * PRIOR[0] / (sum(PRIOR) + n) > 1:
        n += 1
    assert n == draws


@pytest.mark.parametrize(("failed", "solved"), [(0, 0.29271), (100, 0.11896), (10_000, 0.00214)])
def test_what_an_unsolved_problem_is_worth(failed: int, solved: float) -> None:
    """Section 1.8 of the specification: 100 samples more."""
    assert beta_rates(100.0, PRIOR[0], PRIOR[1] + failed) == pytest.approx(solved, abs=6e-6)


@mirrored
@pytest.mark.parametrize(
    ("model", "k", "equal", "best", "share"),
    [
        ("160M", 10, 0.02508, 0.07867, 0.171),
        ("1B", 100, 0.27390, 0.36274, 0.456),
        ("12B", 100, 0.48268, 0.55594, 0.584),
    ],
)
def test_what_known_rates_would_gain(model: str, k: int, equal: float, best: float, share: float) -> None:
    """Section 16.5 of the specification: upper bounds, for the rates are those of all 10,000 attempts."""
    runs = dataset("pythia-math-counts")
    p = runs["passed"][runs.labels["model"] == f"Pythia {model}"] / 10_000
    marginal = marginal_of_rates(p)
    assert solved_of_rates(p, k).mean() == pytest.approx(equal, abs=6e-6)
    assert solved_of_rates(p, allocated(marginal, 128, 128 * k)).mean() == pytest.approx(best, abs=6e-6)
    least, most = 0, 128 * k
    while most - least > 1:
        middle = (least + most) // 2
        enough = solved_of_rates(p, allocated(marginal, 128, middle)).mean() >= solved_of_rates(p, k).mean()
        least, most = (least, middle) if enough else (middle, most)
    assert most / (128 * k) == pytest.approx(share, abs=6e-4)


@mirrored
def test_stopping_at_a_pass_saves() -> None:
    """Section 16.5 of the specification: Pythia 12B, up to 100 samples."""
    runs = dataset("pythia-math-counts")
    p = runs["passed"][runs.labels["model"] == "Pythia 12B"] / 10_000
    assert used_of_rates(p, 100).mean() == pytest.approx(66.1, abs=0.05)
    assert math.isclose(used_of_rates(0.0, 7.0), 7.0)

# SPDX-License-Identifier: Apache-2.0
"""Counts of attempts: pass@k against exact rationals, order statistics, stopped attempts, the beta likelihood."""

from __future__ import annotations

import os
from itertools import combinations

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting._estimator import estimate
from forescale.fitting.estimators.success_rates import (
    State,
    all_of_k,
    best_of_n,
    pass_at_k,
    predict,
    rate_until,
    success_rates,
)
from forescale.laws import find
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


def counts(problems: int = 400, trials: int = 500, seed: int = 0) -> Runs:
    rng = np.random.default_rng(seed)
    passed = rng.binomial(trials, rng.beta(0.3, 8.0, problems))
    return Runs.from_columns({"trials": np.full(problems, float(trials)), "passed": passed.astype(float)})


def with_scores(runs: Runs) -> Runs:
    return runs.with_column("score", runs["passed"] / runs["trials"])


class TestSuccessRates(EstimatorCase):
    examples = ((success_rates, with_scores(counts(60)), {}),)


@pytest.mark.parametrize(
    ("trials", "passed", "k", "expected"),
    [
        (10000, 37, 1, 0.0037),
        (10000, 37, 10, 0.036406102958),
        (10000, 37, 100, 0.311015706031),
        (10000, 37, 1000, 0.979874309416),
        (10000, 1, 100, 0.01),
        (10000, 5000, 5, 0.968781248436),
        (200, 3, 10, 0.143307446323),
        (128, 2, 64, 0.751968503937),
        (10, 4, 5, 0.976190476190),
        (10, 4, 7, 1.0),
        (5, 2, 2, 0.7),
        (100, 0, 10, 0.0),
    ],
)
def test_pass_at_k(trials: int, passed: int, k: int, expected: float) -> None:
    assert float(pass_at_k(trials, passed, k)) == pytest.approx(expected, abs=1e-12)


def test_pass_at_k_is_unbiased_and_its_plug_in_is_not() -> None:
    """p = .02, 200 attempts, k = 10: mean .182927, spread .08271; with c / n for p the mean is .179219."""
    c = np.arange(201.0)
    log_p = np.concatenate([[0.0], np.cumsum(np.log((201 - c[1:]) / c[1:]))]) + c * np.log(0.02)
    p = np.exp(log_p + (200 - c) * np.log(0.98))
    value = pass_at_k(200.0, c, 10.0)
    mean = float(p @ value)
    assert mean == pytest.approx(1 - 0.98**10, abs=1e-12)
    assert mean == pytest.approx(0.182927, abs=6e-7)
    assert float(p @ (value - mean) ** 2) ** 0.5 == pytest.approx(0.08271, abs=6e-6)
    assert float(p @ (1 - (1 - c / 200) ** 10)) == pytest.approx(0.179219, abs=6e-7)


def test_all_of_k() -> None:
    assert float(pass_at_k(5, 3, 3)) == pytest.approx(1.0)
    assert float(all_of_k(5, 3, 3)) == pytest.approx(0.1)
    with pytest.raises(DataError, match="6 attempts of 5"):
        pass_at_k(5, 3, 6)


def test_best_of_n() -> None:
    """True rewards 1, 3, 2, 0 in the order of the proxy: 3/2, 7/6, 1/2, 0; ties share, as all draws would."""
    gold = [1.0, 3.0, 2.0, 0.0]
    found = [best_of_n([1.0, 2.0, 3.0, 4.0], gold, n) for n in (1, 2, 3, 4)]
    assert found == pytest.approx([3 / 2, 7 / 6, 1 / 2, 0.0], abs=1e-12)
    proxy, true = np.array([1.0, 2.0, 2.0, 3.0, 3.0]), np.array([0.0, 1.0, 4.0, 2.0, 5.0])
    drawn = []
    for some in combinations(range(5), 3):
        first = np.array(some)[proxy[list(some)] == proxy[list(some)].max()]
        drawn.append(true[proxy == proxy[first[0]]].mean())
    assert best_of_n(proxy, true, 3) == pytest.approx(np.mean(drawn), abs=1e-12)
    with pytest.raises(DataError, match="best of 6"):
        best_of_n(proxy, true, 6)


@pytest.mark.parametrize(("r", "p", "bias"), [(2, 0.01, 0.926), (5, 0.01, 0.246), (10, 0.001, 0.111)])
def test_attempts_that_stop(r: int, p: float, bias: float) -> None:
    """Passes over attempts is too high by these shares; (r - 1) / (attempts - 1) is unbiased (Monte Carlo, 2 %)."""
    rng = np.random.default_rng(r)
    attempts = r + rng.negative_binomial(r, p, 200_000)
    assert np.mean(r / attempts) / p - 1 == pytest.approx(bias, abs=0.02)
    assert np.mean(rate_until(r, attempts)) / p == pytest.approx(1.0, abs=0.02)
    with pytest.raises(DataError, match="first pass"):
        rate_until(1, 30)


def test_the_likelihood_finds_the_rates() -> None:
    """400 problems: standard errors over 20 seeds are 7 % for alpha and 11 % for beta; three of them."""
    found = estimate(counts(), "success-rates").numbers
    assert found["alpha"] == pytest.approx(0.3, rel=0.21)
    assert found["beta"] == pytest.approx(8.0, rel=0.33)
    assert found["mean"] == pytest.approx(found["alpha"] / (found["alpha"] + found["beta"]))


def test_stopping_does_not_matter() -> None:
    """Attempts that end at the second pass or after 2,000: the same rates within their errors."""
    rng = np.random.default_rng(5)
    rate = rng.beta(0.3, 8.0, 400)
    needed = 2 + rng.negative_binomial(2, np.maximum(rate, 1e-12))
    trials = np.minimum(needed, 2000).astype(float)
    passed = np.full(400, 2.0)
    for i in np.flatnonzero(needed > 2000):
        # given fewer than two passes: none or one, by their binomial chances
        none, one = (1 - rate[i]) ** 2000, 2000 * rate[i] * (1 - rate[i]) ** 1999
        passed[i] = float(rng.random() < one / (none + one))
    found = estimate(Runs.from_columns({"trials": trials, "passed": passed.astype(float)}), "success-rates").numbers
    assert found["alpha"] == pytest.approx(0.3, rel=0.21)


def test_it_is_the_law_of_coverage() -> None:
    made = estimate(counts(), "success-rates")
    k = np.array([1.0, 10.0, 1e4])
    p = {name: made.numbers[name] for name in ("alpha", "beta")}
    np.testing.assert_allclose(made.predict(attempts=k).estimate, find("coverage-beta")(p, attempts=k), rtol=1e-12)


def test_an_unsolved_problem() -> None:
    """Rates of Pythia 1B: chance of 100 more attempts after none, 100 and 10,000 failures."""
    state = State(0.2156, 25.489, 128.0, 33.0)
    found = predict(state, {"attempts": 100.0, "trials": np.array([0.0, 100.0, 1e4]), "passed": np.zeros(3)})
    np.testing.assert_allclose(found, [0.29271, 0.11896, 0.00214], atol=6e-6)


def test_what_it_cannot_learn_from() -> None:
    def learned(passed: list[float]) -> object:
        return estimate(Runs.from_columns({"trials": [10.0] * 6, "passed": passed}), "success-rates")

    with pytest.raises(DataError, match="all failed"):
        learned([0.0] * 6)
    with pytest.raises(DataError, match="more passes than attempts"):
        learned([1.0, 2.0, 11.0, 0.0, 0.0, 1.0])
    with pytest.raises(DataError, match="no more than chance"):
        learned([5.0] * 6)


@mirrored
@pytest.mark.parametrize(("model", "alpha", "beta"), [("12B", 0.2955, 12.37), ("1B", 0.2156, 25.49)])
def test_counts_of_pythia(model: str, alpha: float, beta: float) -> None:
    """To 1 % of the figures that were computed before, and to seven digits of the constants of coverage-beta."""
    from forescale.runs.datasets import dataset

    runs = dataset("pythia-math-counts")
    found = estimate(runs.where(runs.labels["model"] == f"Pythia {model}"), "success-rates").numbers
    assert [found["alpha"], found["beta"]] == pytest.approx([alpha, beta], rel=0.01)
    constants = find("coverage-beta").constants(f"pythia-{model.lower()}-math")
    assert found["alpha"] == pytest.approx(constants["alpha"], rel=1e-7)
    assert found["beta"] == pytest.approx(constants["beta"], rel=1e-7)


def test_bands_say_what_they_rest_on() -> None:
    """Rows without the output have no scatter: no band before a bootstrap, the band of the curve after it."""
    runs = Runs.from_columns({"trials": np.full(8, 20.0), "passed": np.arange(8.0)})
    made = estimate(runs, "success-rates")
    before, after = made.predict(attempts=[1, 10]), made.bootstrap(20).predict(attempts=[1, 10])
    assert np.isnan(before.prediction.lower).all()
    np.testing.assert_allclose(after.prediction.upper, after.confidence.upper)
    assert [note.code for note in after.notes] == ["bootstrap", "no-scatter"]

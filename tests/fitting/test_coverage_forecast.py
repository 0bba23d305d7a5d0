# SPDX-License-Identifier: Apache-2.0
"""Forecasts of coverage: each form where it is true, what carries on from what is seen, thinning, weights."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting import coverage_forecast as module
from forescale.fitting.attempts import Attempts
from forescale.fitting.coverage_forecast import (
    FORMS,
    HeldOut,
    carried,
    foretell,
    forms,
    held_out,
    pool,
)
from forescale.laws.coverage import beta_rates


def fixed(passed: np.ndarray, trials: float) -> Attempts:
    P = len(passed)
    return Attempts(np.full(P, trials), passed.astype(float), "fixed_n", np.zeros(P, dtype=bool), np.ones(P))


def drawn(problems: int = 300, trials: int = 100, largest: float = 1.0, seed: int = 0) -> Attempts:
    rng = np.random.default_rng(seed)
    return fixed(rng.binomial(trials, largest * rng.beta(0.3, 5.0, problems)), float(trials))


def one(attempts: Attempts) -> np.ndarray:
    return np.ones((1, len(attempts.trials)))


def test_the_beta_form_is_the_posterior_of_unsolved_problems() -> None:
    attempts = drawn()
    k = np.array([100.0, 1000.0, 10000.0])
    found = carried(attempts, one(attempts), forms(attempts, one(attempts))["beta"], k)[0]
    from forescale.fitting._estimator import estimate
    from forescale.runs.table import Runs

    prior = estimate(
        Runs.from_columns({"trials": attempts.trials, "passed": attempts.passed}), "success-rates"
    ).numbers
    unsolved = (attempts.passed == 0).mean()
    later = beta_rates(k - 100.0, prior["alpha"], prior["beta"] + 100.0)
    np.testing.assert_allclose(found, 1 - unsolved + unsolved * later, rtol=1e-6)


def test_a_stretched_form_without_a_stretch_is_the_beta_form() -> None:
    """Quadrature against the closed form: one problem always passes, so that the largest rate is 1."""
    passed = drawn().passed.copy()
    passed[0] = 100
    attempts = fixed(passed, 100.0)
    found = forms(attempts, one(attempts))
    made, k = np.array([0.0, 100.0]), np.array([100.0, 1e4])
    np.testing.assert_allclose(found["scaled-beta"](made, k), found["beta"](made, k), rtol=2e-3)


def test_a_stretched_form_finds_the_exponent_of_a_small_largest_rate() -> None:
    """Simulated as Schaeffer et al. (2025) do, alpha = .4, largest rate .1."""
    rng = np.random.default_rng(4)
    attempts = fixed(rng.binomial(10_000, 0.1 * rng.beta(0.4, 5.0, 2000)), 10_000.0)
    k = np.array([1e5, 1e6])
    slopes = {}
    for name, left in forms(attempts, one(attempts), ("beta", "scaled-beta")).items():
        value = left(np.zeros(1), k)[0, 0]
        slopes[name] = -np.log(value[1] / value[0]) / np.log(10)
    assert slopes["scaled-beta"] == pytest.approx(0.4, abs=0.05)  # about 2 standard errors of 2,000 problems


def test_a_true_line_is_found() -> None:
    """Shares that follow exp(-a k^-b) exactly: two kinds of problems cannot, so the curve itself is given."""
    attempts = drawn()
    k = module.grid(100.0)
    exact = np.exp(-3.0 * k**-0.4)

    class Exact(Attempts):
        def curve(self, k: np.ndarray) -> np.ndarray:
            return np.broadcast_to(np.exp(-3.0 * k**-0.4), (len(self.trials), len(k)))

    straight = Exact(attempts.trials, attempts.passed, "fixed_n", attempts.stopped, attempts.weight)
    left = forms(straight, one(attempts), ("line",))["line"]
    found = left(np.array([100.0]), np.array([1e4]))[0, 0, 0]
    assert found == pytest.approx((1 - np.exp(-3.0 * 1e4**-0.4)) / (1 - exact[-1]), rel=1e-9)


def test_up_to_the_horizon_the_unbiased_share_answers() -> None:
    attempts = drawn()
    k = np.array([1.0, 7.0, 100.0])
    for left in forms(attempts, one(attempts)).values():
        np.testing.assert_allclose(carried(attempts, one(attempts), left, k)[0], attempts.coverage(k), rtol=1e-12)


def test_solved_problems_stay_solved() -> None:
    attempts = drawn()
    k = np.geomspace(100, 1e4, 20)
    for left in forms(attempts, one(attempts)).values():
        found = carried(attempts, one(attempts), left, k)[0]
        assert (np.diff(found) >= 0).all()
        assert (found >= (attempts.passed > 0).mean() - 1e-12).all()
        assert (found <= 1).all()


def test_weights_are_repeated_problems() -> None:
    attempts = drawn(60)
    twice = np.ones((1, 60))
    twice[0, :20] = 2.0
    copied = fixed(np.concatenate([attempts.passed, attempts.passed[:20]]), 100.0)
    k = np.array([3000.0])
    for name in ("line", "beta"):
        a = carried(attempts, twice, forms(attempts, twice)[name], k)
        b = carried(copied, one(copied), forms(copied, one(copied))[name], k)
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_rows_that_say_nothing_are_nan() -> None:
    attempts = fixed(np.array([0, 0, 50, 0]), 50.0)
    weight = np.array([[1.0, 1, 1, 1], [1, 1, 0, 2]])
    found = carried(attempts, weight, forms(attempts, weight)["beta"], np.array([500.0]))
    assert np.isfinite(found[0, 0])
    assert np.isnan(found[1, 0])


def test_held_out_errors_are_those_of_thinned_attempts() -> None:
    attempts = drawn(trials=200)
    found = held_out(attempts, repeats=4)
    assert found is not None
    assert found.kept.tolist() == [10.0, 20.0, 40.0]
    assert found.asked == 200.0
    assert found.known == pytest.approx((attempts.passed > 0).mean())
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))  # the stream of the first split
    thin = attempts.thinned(10, rng)
    by_hand = carried(thin, one(thin), forms(thin, one(thin))["line"], np.array([200.0]))[0, 0] - found.known
    assert found.errors["line"][0, 0] == pytest.approx(by_hand, rel=1e-9)


def test_too_few_attempts_are_not_thinned() -> None:
    assert held_out(drawn(trials=15)) is None
    assert pool(None, FORMS) == dict.fromkeys(FORMS, 1 / 3)


def test_weights_follow_errors() -> None:
    def held(line: float, beta: float) -> HeldOut:
        return HeldOut(
            np.array([10.0]), 100.0, 0.5,
            {"line": np.full((1, 3), line), "beta": np.full((1, 3), beta), "scaled-beta": np.full((1, 3), np.nan)},
        )  # fmt: skip

    weights = pool(held(0.01, 0.02), FORMS)
    assert weights == pytest.approx({"line": 16 / 17, "beta": 1 / 17, "scaled-beta": 0.0})


def test_intervals_hold_simulated_truths() -> None:
    """A beta truth, 20 tables of 128 problems, 100 attempts, coverage of problems like these at 3,000."""
    rng = np.random.default_rng(5)
    truth = float(beta_rates(3000.0, 0.3, 5.0))
    held = 0
    for _ in range(20):
        attempts = fixed(rng.binomial(100, rng.beta(0.3, 5.0, 128)), 100.0)
        found = foretell(attempts, np.array([3000.0]), draws=100).pooled[1:, 0]
        held += float(np.quantile(found, 0.05)) <= truth <= float(np.quantile(found, 0.95))
    assert held >= 15  # 18 expected of a true 90 %; less than 15 with a chance of 1 %


def test_the_draws_are_shared_by_weight() -> None:
    found = foretell(drawn(80), np.array([1000.0]), draws=50)
    assert found.pooled[0, 0] == pytest.approx(sum(w * found.by_form[n][0, 0] for n, w in found.weights.items()))
    every = np.stack([found.by_form[name][1:, 0] for name in found.weights])
    assert (found.pooled[1:, 0] == every).any(axis=0).all()

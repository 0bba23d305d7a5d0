# SPDX-License-Identifier: Apache-2.0
"""U-PaLM's savings rate: its printed figures, pooled curves, bounds, and a bootstrap over tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting._estimator import estimate
from forescale.fitting.estimators.savings import monotone, savings
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

ZETTA = 1e21


def two_curves(tasks: int = 26, seed: int = 0, gain: float = np.log(2.0), noise: float = 0.02) -> Runs:
    """Scores that rise by .1 per e-fold of compute; the method is worth a shift of `gain` in log C."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {"C": [], "score": [], "method": [], "task": []}
    level = rng.uniform(0.2, 0.5, tasks)
    slope = rng.uniform(0.05, 0.15, tasks)
    for method, shift, budgets in (
        ("base", 0.0, (300.0, 800.0, 1600.0, 2500.0)),
        ("ul2r", gain, (600.0, 1075.0)),
    ):
        for C in budgets:
            for t in range(tasks):
                rows["C"].append(C * ZETTA)
                mean = level[t] + slope[t] * (np.log(C / 300.0) + shift)
                rows["score"].append(mean + noise * rng.standard_normal())
                rows["method"].append(method)
                rows["task"].append(f"task{t}")
    return Runs.from_columns(rows)


class TestSavings(EstimatorCase):
    examples = ((savings, two_curves(), {}),)


def test_u1() -> None:
    """2500 against 1075 zettaFLOP: 2.3256 (the paper writes 2.35).

    Its 4.4M TPUv4-hours then mean 90 TFLOP/s a chip, a third of the chip's peak of 275.
    """
    runs = Runs.from_columns(
        {
            "C": np.array([500.0, 1250.0, 2500.0, 1075.0]) * ZETTA,
            "score": [40.0, 46.0, 50.0, 50.0],
            "method": ["base", "base", "base", "ul2r"],
        }
    )
    found = estimate(runs, "savings", flop_per_second=9.0e13).numbers
    assert found["savings"] == pytest.approx(2500 / 1075, rel=1e-12)
    assert found["savings"] == pytest.approx(2.3256, abs=5e-5)
    assert found["bound"] == 0
    assert found["FLOP_saved"] == pytest.approx(1425 * ZETTA, rel=1e-12)
    assert found["device_hours_saved"] == pytest.approx(1425 * ZETTA / 9.0e13 / 3600, rel=1e-12)
    assert found["device_hours_saved"] == pytest.approx(4.4e6, rel=0.01)


def test_the_extra_training() -> None:
    """20,000 steps of 32 sequences of 2,048 tokens: 1.311B tokens, .16 to .17 % of 780B."""
    extra = 20_000 * 32 * 2048
    assert extra == 1.31072e9
    assert 0.0016 < extra / 780e9 < 0.0017


def test_between_checkpoints_the_line_is_straight_in_log_compute() -> None:
    runs = Runs.from_columns(
        {"C": [1e21, 1e23, 5e21], "score": [10.0, 20.0, 15.0], "method": ["base", "base", "new"]}
    )
    made = estimate(runs, "savings")
    assert made.numbers["C_base"] == pytest.approx(1e22, rel=1e-12)
    assert made.numbers["savings"] == pytest.approx(2.0, rel=1e-12)
    assert made.predict(C=1e22).estimate[0] == pytest.approx(15.0)


@pytest.mark.parametrize(("score", "bound", "least"), [(25.0, 1.0, 10.0), (5.0, -1.0, 0.1)])
def test_beyond_the_base_curve_there_are_only_bounds(score: float, bound: float, least: float) -> None:
    runs = Runs.from_columns(
        {"C": [1e21, 1e23, 1e22], "score": [10.0, 20.0, score], "method": ["base", "base", "new"]}
    )
    found = estimate(runs, "savings").numbers
    assert found["bound"] == bound
    assert found["savings"] == pytest.approx(least)


def test_scores_that_fall_are_pooled() -> None:
    ones = np.ones(5)
    np.testing.assert_allclose(monotone(np.array([1.0, 3.0, 2.0, 2.5, 4.0]), ones), [1.0, 2.5, 2.5, 2.5, 4.0])
    np.testing.assert_allclose(monotone(np.array([3.0, 2.0, 1.0, 5.0, 6.0]), ones), [2.0, 2.0, 2.0, 5.0, 6.0])
    assert monotone(np.array([2.0, 1.0]), np.array([1.0, 3.0]))[0] == pytest.approx(1.25)
    runs = Runs.from_columns(
        {
            "C": [1e21, 2e21, 4e21, 8e21, 3e21],
            "score": [10.0, 14.0, 12.0, 20.0, 13.0],
            "method": ["base", "base", "base", "base", "new"],
        }
    )
    # both middle checkpoints count as 13: the first of them has it
    assert estimate(runs, "savings").numbers["C_base"] == pytest.approx(2e21, rel=1e-12)


def test_the_true_saving_is_inside_the_interval_over_tasks() -> None:
    inside = 0
    for seed in range(20):
        made = estimate(two_curves(seed=seed), "savings").bootstrap(200, rng=seed)
        draws = [savings.numbers(state)["savings"] for state in made.draws]
        low, high = np.quantile(draws, [0.05, 0.95])
        inside += low < 2.0 < high
        assert low < made.numbers["savings"] < high
    # P(X <= 14) is .002 for twenty intervals of 90 %
    assert inside >= 15


def test_tables_that_cannot_be_compared_are_refused() -> None:
    runs = two_curves()
    with pytest.raises(DataError, match="methods"):
        estimate(runs.where(runs.labels["method"] == "base"), "savings")
    with pytest.raises(DataError, match="different tasks"):
        estimate(runs.where(np.arange(len(runs)) > 0), "savings")
    with pytest.raises(DataError, match="label `method`"):
        estimate(runs.without("method"), "savings")

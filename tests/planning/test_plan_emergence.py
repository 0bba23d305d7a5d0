# SPDX-License-Identifier: Apache-2.0
"""Pass rates of larger models: unbiased estimates, the line and its bend, the negative control on Pythia."""

from __future__ import annotations

import math
import os
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError, QueryError, RefusedError
from forescale.fitting.attempts import Attempts, attempts_of
from forescale.fitting.estimators.success_rates import rate_until
from forescale.fitting.pass_until import by_problem, line, mean_rate, rates, read
from forescale.planning import emergence
from forescale.planning._plan import Plan
from forescale.planning._run import plan
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")

SIZES = np.array([18.915e6, 85.056e6, 302.31e6, 805.74e6, 2.5177e9, 6.4442e9, 11.327e9])
"""Parameters of Pythia without embeddings."""
MODELS = ("70M", "160M", "410M", "1B", "2.8B", "6.9B", "12B")


def task(sizes: Any = (1e8, 3e8, 1e9, 3e9), bend: float = 0.0, problems: int = 200, seed: int = 0) -> Runs:
    """A task whose rate is exp(-exp(F)) with F = log 300 - .2 log N + bend (log N - 20)^2, hard and easy problems."""
    rng = np.random.default_rng(seed)
    spread = rng.beta(2.0, 2.0, problems)
    spread /= spread.mean()
    rows: dict[str, list[Any]] = {"N": [], "trials": [], "passed": [], "problem": []}
    for N in sizes:
        F = math.log(300) - 0.2 * math.log(N) + bend * (math.log(N) - 20) ** 2
        p = np.clip(math.exp(-math.exp(F)) * spread, 0, 1)
        rows["N"] += [N] * problems
        rows["trials"] += [20_000.0] * problems
        rows["passed"] += rng.binomial(20_000, p).astype(float).tolist()
        rows["problem"] += [f"p{i}" for i in range(problems)]
    return Runs.from_columns(rows)


def truth(N: float) -> float:
    return math.exp(-300 * N**-0.2)


def codes(found: Plan) -> set[str]:
    return {w.code for w in found.warnings if w.level != "green"}


class TestEmergence(PlannerCase):
    planners = (emergence.planner,)
    grounds: ClassVar = {"emergence": (task(),)}
    ladders: ClassVar = {"emergence": Ladder("params", ("4B", "8B", "12B"), rising=("rate", "times"))}
    conflicts: ClassVar = {"emergence": ({"params": "12B", "compute": "1e22 FLOP"},)}


# ------------------------------------------------------------------------------------------------- rates (10.2, 17.7)


@pytest.mark.parametrize(
    ("r", "p", "bias"), [(1, 0.01, 3.65), (2, 0.01, 0.926), (5, 0.01, 0.246), (10, 0.001, 0.111)]
)
def test_passes_over_attempts_is_too_high(r: int, p: float, bias: float) -> None:
    """Relative bias of r / K, exactly; (r - 1) / (K - 1) has none. The specification, section 10.2."""
    K = np.arange(r, int(60 * r / p))
    log_chance = r * math.log(p) + (K - r) * math.log1p(-p)
    # log C(K - 1, r - 1), step by step from K = r
    log_chance = log_chance + np.concatenate([[0.0], np.cumsum(np.log(K[:-1] / (K[:-1] - r + 1)))])
    chance = np.exp(log_chance)
    assert chance.sum() == pytest.approx(1.0)
    assert chance @ (r / K) / p - 1 == pytest.approx(bias, rel=5e-3)
    if r >= 2:
        assert chance @ rate_until(r, K) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize(("r", "p", "spread"), [(5, 0.01, 0.5717), (10, 0.001, 0.3533)])
def test_spread_of_the_unbiased_rate(r: int, p: float, spread: float) -> None:
    """CV of (r - 1) / (K - 1) is about sqrt((1 - p) / (r - 2)), and exactly this."""
    K = np.arange(r, int(60 * r / p))
    log_chance = r * math.log(p) + (K - r) * math.log1p(-p)
    chance = np.exp(log_chance + np.concatenate([[0.0], np.cumsum(np.log(K[:-1] / (K[:-1] - r + 1)))]))
    assert math.sqrt(chance @ rate_until(r, K) ** 2 / p**2 - 1) == pytest.approx(spread, abs=6e-5)
    assert math.sqrt((1 - p) / (r - 2)) == pytest.approx(spread, rel=0.01)


def test_stopped_rates_by_the_rule() -> None:
    table = Runs.from_columns({"trials": [40, 25, 100], "passed": [5, 5, 2]})
    found = mean_rate(attempts_of(table, "until_r"), np.ones((1, 3)))
    assert found[0] == pytest.approx((4 / 39 + 4 / 24 + 2 / 100) / 3, rel=1e-12)  # the third met its cap


# ----------------------------------------------------------------------------------------------------------- the line


def test_a_true_line_is_found() -> None:
    found = plan("emergence", task(), params="10B", stop_rule="fixed_n")
    assert (found["rate"].lower or 0.0) < truth(1e10) < (found["rate"].upper or 0.0)
    assert found["rate"].value == pytest.approx(truth(1e10), rel=0.1)
    assert found["alpha"].value == pytest.approx(0.2, abs=0.01)
    assert "progress is steady" in found.headline
    assert "left-out" not in codes(found)


@pytest.mark.parametrize(("bend", "word"), [(0.03, "convex"), (-0.03, "concave")])
def test_a_bend_is_seen(bend: float, word: str) -> None:
    found = plan("emergence", task(bend=bend), params="4B", stop_rule="fixed_n")
    assert word in found.headline
    assert "bend" in codes(found)
    assert np.sign(found["bend"].value) == np.sign(bend)


def test_a_rate_is_the_inverse() -> None:
    there = plan("emergence", task(), params="10B", stop_rule="fixed_n")
    level = there.table("alternatives").records()[0]["rate"]
    found = plan("emergence", task(), rate=level, stop_rule="fixed_n")
    assert found["N"].value == pytest.approx(1e10, rel=1e-9)


def test_weights_are_those_of_the_delta_method() -> None:
    x = np.array([1e8, 1e9, 1e10])
    F = np.array([[1.0, 0.8, 0.1]])
    w = np.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(line(x, F, w)[0], np.polyfit(np.log(x[:2]), F[0, :2], 1)[::-1], rtol=1e-9)
    w = np.array([1.0, 4.0, 2.0])
    np.testing.assert_allclose(line(x, F, w)[0], np.polyfit(np.log(x), F[0], 1, w=np.sqrt(w))[::-1], rtol=1e-9)
    tables = [attempts_of(task([N]), "fixed_n") for N in (1e8, 1e9)]
    found = rates(np.array([1e8, 1e9]), tables, [[], []], 200)
    by_hand = found.error / (found.rate[0] * np.abs(np.log(found.rate[0])))
    np.testing.assert_allclose(found.precision, by_hand**-2, rtol=1e-12)


def test_sizes_without_a_pass_are_bounds() -> None:
    table = task([1e8, 3e8, 1e9, 3e9])
    quiet = np.where(table["N"] == 1e8, 0.0, table["passed"])
    found = plan("emergence", table.with_column("passed", quiet), params="4B", stop_rule="fixed_n")
    assert "silent" in codes(found)
    quiet = np.where(table["N"] <= 3e8, 0.0, table["passed"])
    with pytest.raises(RefusedError, match="2 sizes"):
        plan("emergence", table.with_column("passed", quiet), params="4B", stop_rule="fixed_n")


def test_falling_rates_are_refused() -> None:
    table = task()
    with pytest.raises(RefusedError, match="does not rise"):
        plan("emergence", table.with_column("N", 1e18 / table["N"]), params="10B", stop_rule="fixed_n")


@pytest.mark.parametrize(
    ("query", "error", "named"),
    [
        ({}, QueryError, "params"),
        ({"params": "1B"}, QueryError, "stop_rule"),
        ({"compute": "1e22 FLOP", "stop_rule": "fixed_n"}, ColumnError, "C"),
    ],
)
def test_bad_questions(query: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        plan("emergence", task(), **query)


def test_bad_tables() -> None:
    table = task()
    twice = Runs.from_columns({**dict(table.columns), "problem": ["p"] * len(table)})
    with pytest.raises(DataError, match="stands in"):
        plan("emergence", twice, params="10B", stop_rule="fixed_n")


# ---------------------------------------------------------------------------------------- the negative control (10.4)


def pythia(count: int) -> Runs:
    runs = dataset("pythia-math-counts")
    size = dict(zip((f"Pythia {m}" for m in MODELS), SIZES))
    N = np.array([size[m] for m in runs.labels["model"].tolist()])
    return runs.with_column("N", N).where(np.isin(N, SIZES[:count]))


@mirrored
def test_pythia_bends_away() -> None:
    """The specification, section 10.4: F, an even line, its errors, and those of a line for each problem."""
    runs = pythia(7)
    tables, names = [], []
    for N in SIZES:
        part = runs.where(runs["N"] == N)
        tables.append(attempts_of(part, "fixed_n"))
        names.append(part.labels["problem"].tolist())
    found = rates(SIZES, tables, names, 1000)
    np.testing.assert_allclose(found.F[0], [1.9938, 1.7791, 1.6253, 1.5660, 1.3601, 1.3830, 1.3255], atol=5.1e-5)
    even = line(SIZES[:5], found.F[:1, :5], np.ones(5))
    assert -even[0, 1] == pytest.approx(0.1235, abs=5e-5)
    assert math.exp(even[0, 0]) == pytest.approx(57.62, abs=0.01)
    np.testing.assert_allclose(read(even, SIZES[5:])[0], [0.02906, 0.03687], atol=6e-6)
    np.testing.assert_allclose(read(even, SIZES[5:])[0] / found.rate[0, 5:], [1.57, 1.59], atol=0.01)
    six = line(SIZES[:6], found.F[:1, :6], np.ones(6))
    assert read(six, SIZES[6:])[0, 0] == pytest.approx(0.02953, abs=6e-6)
    each = by_problem(found, SIZES[5:], np.tile(np.arange(7) < 5, (1001, 1)).astype(float))
    assert each is not None
    np.testing.assert_allclose(each[0] / found.rate[0, 5:], [1.75, 1.79], atol=0.01)
    relative = found.error / found.rate[0]
    assert 0.13 < relative.min() < relative.max() < 0.48  # "14-46 %": another bootstrap of the problems


@mirrored
@pytest.mark.parametrize(("size", "rate"), [("6.4442B", 0.018560), ("11.327B", 0.023191)])
def test_the_plan_knows_that_it_may_be_wrong(size: str, rate: float) -> None:
    """Five sizes foretell half as much again; the interval holds what was measured, and the plan warns."""
    found = plan("emergence", pythia(5), params=size, stop_rule="fixed_n")
    assert found["rate"].value > 1.4 * rate
    assert (found["rate"].lower or 0.0) < rate < (found["rate"].upper or 0.0)
    assert "tokens" in codes(found)


def test_a_table_of_attempts_is_checked_for_each_size() -> None:
    empty = Attempts(np.array([3.0]), np.array([0.0]), "fixed_n", np.array([False]), np.ones(1))
    assert np.isnan(mean_rate(empty, np.ones((1, 1)))[0])

# SPDX-License-Identifier: Apache-2.0
"""Coverage planned from counts: measured shares, forecasts, targets, stopping rules, what is refused."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, QueryError, RefusedError
from forescale.fitting.estimators.success_rates import pass_at_k
from forescale.planning import coverage
from forescale.planning._plan import Plan
from forescale.planning._run import plan
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


def counts(problems: int = 100, trials: int = 100, seed: int = 0, **more: Any) -> Runs:
    rng = np.random.default_rng(seed)
    passed = rng.binomial(trials, rng.beta(0.3, 6.0, problems)).astype(float)
    names = [f"p{i}" for i in range(problems)]
    return Runs.from_columns({"trials": np.full(problems, float(trials)), "passed": passed, "problem": names, **more})


def codes(found: Plan) -> set[str]:
    return {w.code for w in found.warnings if w.level != "green"}


class TestCoverage(PlannerCase):
    planners = (coverage.planner,)
    grounds: ClassVar = {"coverage": (counts(),)}
    ladders: ClassVar = {"coverage": Ladder("attempts", ("100", "300", "1000", "10000"), rising=("coverage",))}


def test_up_to_the_attempts_made_shares_are_measured() -> None:
    table = counts()
    found = plan("coverage", table, stop_rule="fixed_n", attempts="10,100")
    for name, k in (("coverage", 10.0), ("coverage_100", 100.0)):
        assert found[name].value == pytest.approx(float(pass_at_k(100.0, table["passed"], k).mean()), rel=1e-9)
    assert found["seen"].value == found["coverage_100"].value
    assert not codes(found)


def test_beyond_them_forms_are_pooled_and_shown() -> None:
    found = plan("coverage", counts(), stop_rule="fixed_n", attempts="1000")
    table = found.table("alternatives")
    weights = [float(w or 0.0) for w in table.column("weight")[:-1]]
    values = [float(v or 0.0) for v in table.column("coverage")[:-1]]
    assert table.column("form") == ("line", "beta", "scaled-beta", "pooled")
    assert sum(weights) == pytest.approx(1.0)
    assert found["coverage"].value == pytest.approx(np.dot(weights, values), rel=1e-9)
    assert found["coverage"].lower is not None
    assert found["coverage"].lower < found["coverage"].value < (found["coverage"].upper or 0.0)
    assert all(isinstance(e, float) for e in found.table("held-out").column("line"))
    assert len(found.table("held-out").rows) == 3


def test_a_target_is_the_inverse_of_a_forecast() -> None:
    there = plan("coverage", counts(), stop_rule="fixed_n", attempts="1500")
    found = plan("coverage", counts(), stop_rule="fixed_n", target=there["coverage"].value)
    assert found["attempts"].value == pytest.approx(1500, rel=2e-3)  # the grid of k is 8 % wide
    assert (found["attempts"].lower or 0.0) < 1500 < (found["attempts"].upper or 0.0)


def test_a_target_out_of_reach_is_unbounded() -> None:
    found = plan("coverage", counts(), stop_rule="fixed_n", target=0.999)
    assert found["attempts"].value == np.inf
    assert "not reached" in found.headline


def test_far_is_amber_and_farther_is_refused() -> None:
    assert not codes(plan("coverage", counts(), stop_rule="fixed_n", attempts="1000"))
    assert codes(plan("coverage", counts(), stop_rule="fixed_n", attempts="1001")) == {"distance"}
    with pytest.raises(RefusedError, match="at most 100 times"):
        plan("coverage", counts(), stop_rule="fixed_n", attempts="10001")


def test_without_unsolved_problems_there_is_no_tail() -> None:
    table = Runs.from_columns({"trials": [20.0] * 40, "passed": [3.0] * 39 + [20.0]})
    assert plan("coverage", table, stop_rule="fixed_n", attempts="20")["coverage"].value == 1.0
    with pytest.raises(RefusedError, match="every problem is solved"):
        plan("coverage", table, stop_rule="fixed_n", attempts="21")


def test_without_a_pass_there_is_a_bound_only() -> None:
    table = Runs.from_columns({"trials": [100.0] * 40, "passed": [0.0] * 40})
    with pytest.raises(RefusedError, match=r"below 0\.00075 at 95 %"):  # 3 / 4,000
        plan("coverage", table, stop_rule="fixed_n")


def test_never_passed_is_not_impossible() -> None:
    """An upper bound of three over the attempts (the specification, section 10.2)."""
    found = plan("coverage", counts(), stop_rule="fixed_n")
    text = next(w.text for w in found.warnings if w.code == "never-passed")
    assert "below 0.03 at 95 %" in text


def test_few_problems_and_few_attempts_are_said() -> None:
    assert "few-problems" in codes(plan("coverage", counts(20), stop_rule="fixed_n"))
    found = plan("coverage", counts(trials=10), stop_rule="fixed_n")
    assert "untried" in codes(found)
    assert found.table("alternatives").column("weight")[0] == pytest.approx(1 / 3)


def stopped(r: int, cap: int, problems: int = 400) -> Runs:
    """Attempts until the r-th pass or a cap."""
    rng = np.random.default_rng(2)
    right = rng.random((problems, cap)) < rng.beta(0.4, 4.0, problems)[:, None]
    done = right.cumsum(axis=1) >= r
    n = np.where(done.any(axis=1), done.argmax(axis=1) + 1, cap)
    c = np.minimum(right.sum(axis=1), r)
    return Runs.from_columns({"trials": n.astype(float), "passed": c.astype(float)})


@pytest.mark.parametrize(("rule", "r"), [("until_first", 1), ("until_r", 3)])
def test_stopped_attempts(rule: str, r: int) -> None:
    """The same problems: stopped at a pass, forecast, and measured by a cap ten times as high."""
    near, far = stopped(r, 60), stopped(1, 600)
    found = plan("coverage", near, stop_rule=rule, attempts="60,600")
    measured = float((far["passed"] > 0).mean())
    assert found["coverage"].value == pytest.approx(float((near["passed"] > 0).mean()))
    value = found["coverage_600"]
    assert (value.lower or 0.0) <= measured <= (value.upper or 0.0)
    assert "held-out" in {t.id for t in found.tables}


def test_an_adaptive_rule_leaves_the_likelihood() -> None:
    found = plan("coverage", stopped(3, 60), stop_rule="adaptive", attempts="600")
    assert found.table("alternatives").column("form") == ("beta", "scaled-beta", "pooled")
    assert "adaptive" in codes(found)


def test_the_rule_is_mandatory_and_may_stand_in_the_table() -> None:
    with pytest.raises(QueryError, match="no stop_rule"):
        plan("coverage", counts())
    said = counts(stop_rule=["fixed_n"] * 100)
    assert (
        plan("coverage", said)["coverage"].value == plan("coverage", counts(), stop_rule="fixed_n")["coverage"].value
    )


@pytest.mark.parametrize(
    ("query", "error", "named"),
    [
        ({"attempts": "0"}, QueryError, "attempts"),
        ({"attempts": "2.5"}, QueryError, "attempts"),
        ({"attempts": "10,10"}, QueryError, "repeats"),
        ({"until": 3}, QueryError, "until"),
        ({"model": "a"}, QueryError, "model"),
    ],
)
def test_bad_questions(query: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        plan("coverage", counts(), stop_rule="fixed_n", **query)


def test_bad_tables() -> None:
    with pytest.raises(DataError, match="2 rows"):
        plan(
            "coverage",
            Runs.from_columns({"trials": [5, 5], "passed": [1, 0], "problem": ["a", "a"]}),
            stop_rule="fixed_n",
        )


@mirrored
def test_jailbreaks_stopped_by_what_they_showed() -> None:
    """The likelihood answers for attempts in batches (the specification, section 1.5); GPT-4o at 10,000."""
    runs = dataset("jailbreak-counts")
    found = plan("coverage", runs, stop_rule="adaptive", model="GPT4o", attempts="10000")
    beta = dict(zip(found.table("alternatives").column("form"), found.table("alternatives").column("coverage")))[
        "beta"
    ]
    from forescale.laws.coverage import beta_rates

    assert beta == pytest.approx(float(beta_rates(1e4, 0.2359, 4.289)), abs=1e-3)
    with pytest.raises(RefusedError, match="every problem is solved"):  # the lightest tail: nothing is left unsolved
        plan("coverage", runs, stop_rule="adaptive", model="Llama 3 8B IT", attempts="10000")

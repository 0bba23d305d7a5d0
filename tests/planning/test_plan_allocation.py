# SPDX-License-Identifier: Apache-2.0
"""Samples for problems of unlike difficulty: known rates, counts, floors, the worth of a solution."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, QueryError, RefusedError
from forescale.fitting.allocation import worth_drawing
from forescale.planning import allocation
from forescale.planning._run import plan
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


def counts(problems: int = 60, trials: int = 40, seed: int = 0) -> Runs:
    rng = np.random.default_rng(seed)
    passed = rng.binomial(trials, rng.beta(0.3, 6.0, problems)).astype(float)
    return Runs.from_columns(
        {"trials": np.full(problems, float(trials)), "passed": passed, "problem": [f"p{i}" for i in range(problems)]}
    )


class TestAllocation(PlannerCase):
    planners = (allocation.planner,)
    ladders: ClassVar = {"allocation": Ladder("budget", (4, 8, 12, 20), rising=("solved", "equal", "drawn"))}
    conflicts: ClassVar = {"allocation": ({"budget": 12, "floor": 4}, {"budget": 12, "worth": 100})}


@pytest.mark.parametrize(
    ("budget", "samples", "solved"),
    [(12, (2, 4, 6, 0), 2.396059), (4, (1, 3, 0, 0), 1.775), (8, (2, 3, 3, 0), 2.136), (20, (2, 5, 13, 0), 2.704563)],
)
def test_known_rates(budget: float, samples: tuple[float, ...], solved: float) -> None:
    """The specification, section 16.5."""
    found = plan("allocation", budget=budget, rates="0.9,0.5,0.1,0.01")
    assert found.table("allocation").column("samples") == samples
    assert 4 * found["solved"].value == pytest.approx(solved, abs=6e-7)
    assert found["solved"].lower is None
    assert "upper-bound" in {w.code for w in found.warnings}


def test_equal_samples_stand_beside() -> None:
    found = plan("allocation", budget=12, rates="0.9,0.5,0.1,0.01")
    assert 4 * found["equal"].value == pytest.approx(2.174701, abs=6e-7)
    assert "unfair" in {w.code for w in found.warnings}


def test_a_floor_costs_and_is_fair() -> None:
    free = plan("allocation", budget=12, rates="0.9,0.5,0.1,0.01")
    held = plan("allocation", budget=12, rates="0.9,0.5,0.1,0.01", floor=1)
    assert held["nothing"].value == 0
    assert held["solved"].value < free["solved"].value
    assert "unfair" not in {w.code for w in held.warnings}


def test_counts_tell_problems_apart() -> None:
    found = plan("allocation", counts(), budget=1200)
    table = found.table("allocation")
    spent = sum(float(n or 0) * float(b or 0) for n, b in zip(table.column("problems"), table.column("samples each")))
    assert spent == pytest.approx(1200)
    assert found["gain"].value > 0
    assert found["solved"].lower is not None
    assert found["solved"].lower < found["solved"].value < (found["solved"].upper or 0.0)
    assert found["drawn"].value < 1200
    assert "upper-bound" not in {w.code for w in found.warnings}


def test_what_can_be_had_is_less_than_what_known_rates_would_gain() -> None:
    """The promise is kept: rates drawn from a beta distribution, new samples by the plan of the counts."""
    rng = np.random.default_rng(3)
    p = rng.beta(0.3, 6.0, 600)
    passed = rng.binomial(40, p).astype(float)
    found = plan("allocation", Runs.from_columns({"trials": np.full(600, 40.0), "passed": passed}), budget=12_000)
    table = found.table("allocation")
    each = dict(zip(table.column("passed"), table.column("samples each")))
    b = np.array([float(each.get(c) or 0.0) for c in passed])
    truth = float((1 - (1 - p) ** b).mean())
    assert found["solved"].value == pytest.approx(truth, abs=0.03)  # over three standard errors of 600 problems
    oracle = plan("allocation", rates=p.tolist(), budget=12_000)
    assert truth < oracle["solved"].value


def test_kept_answers_need_no_samples() -> None:
    table = counts()
    found = plan("allocation", table, budget=1200, kept=True)
    solved = float((table["passed"] > 0).mean())
    assert found["solved"].value > solved
    assert all(
        b == 0 for c, b in zip(*(found.table("allocation").column(n) for n in ("passed", "samples each"))) if c
    )


def test_a_stopping_rule_in_the_table_changes_nothing() -> None:
    table = counts()
    ruled = Runs.from_columns({**dict(table.columns), **dict(table.labels), "stop_rule": ["fixed_n"] * len(table)})
    ways = [plan("allocation", runs, budget=1200)["solved"] for runs in (table, ruled)]
    assert ways[0] == ways[1]


def test_worth_ends_a_problem() -> None:
    table = counts()
    found = plan("allocation", table, worth=500)
    from forescale.fitting._estimator import estimate

    prior = estimate(table, "success-rates").numbers
    draws = worth_drawing(prior["alpha"], prior["beta"] + 40, 500)
    assert found["draws"].value == pytest.approx(float(draws), abs=1)
    rows = found.table("sensitivity").records()
    here = next(row["net"] for row in rows if row["worth / here"] == 1.0)
    assert all(float(row["net"] or 0.0) <= float(here or 0.0) for row in rows)


def test_a_small_worth_is_refused() -> None:
    with pytest.raises(RefusedError, match="worth"):
        plan("allocation", counts(), worth=1.0)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"rates": "0.5,0.1"}, "budget"),
        ({"budget": 10}, "rates"),
        ({"rates": "0.5", "worth": 10}, "worth"),
        ({"rates": "0.5", "budget": 10, "kept": True}, "kept"),
        ({"rates": "0.5,0.5", "budget": 3, "floor": 2}, "floor"),
        ({"rates": "0.5", "budget": 1e13}, "budget"),
    ],
)
def test_contradictions(query: dict[str, Any], named: str) -> None:
    with pytest.raises(QueryError, match=named):
        plan("allocation", **query)


def test_bad_numbers() -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        plan("allocation", rates="0.5,1.5", budget=10)
    with pytest.raises(RefusedError, match="no attempt passed"):
        plan("allocation", Runs.from_columns({"trials": [5.0, 5.0], "passed": [0.0, 0.0]}), budget=10)
    with pytest.raises(RefusedError, match="no problem has a chance"):
        plan("allocation", rates="0,0", budget=10)


@mirrored
def test_pythia() -> None:
    """The specification, section 16.5: what known rates gain on Pythia 12B, an upper bound."""
    runs = dataset("pythia-math-counts")
    rates = runs["passed"][runs.labels["model"] == "Pythia 12B"] / 10_000
    found = plan("allocation", rates=rates.tolist(), budget=12_800)
    assert found["equal"].value == pytest.approx(0.48268, abs=6e-6)
    assert found["solved"].value == pytest.approx(0.55594, abs=6e-6)
    assert found["saved"].value == pytest.approx(100 * (1 - 0.584), abs=0.06)
    assert "at most" in found.headline

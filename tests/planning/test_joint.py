# SPDX-License-Identifier: Apache-2.0
"""All choices together: each special case is a plan that stands on its own, and no neighbour of the optimum wins."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import QueryError, RefusedError
from forescale.planning import joint
from forescale.testing.planners import Ladder, PlannerCase

C = "1e22 FLOP"
CHINCHILLA = "chinchilla:besiroglu2024"


class TestJoint(PlannerCase):
    planners = (joint.planner,)
    ladders: ClassVar = {"joint": Ladder("budget", ("1e21", "1e22", "1e23"), rising=("N", "D", "training"))}
    conflicts: ClassVar = {
        "joint": [
            {"budget": C, "target": 2.2},
            {"coverage": 0.8},
            {"max_samples": 8},
            {"train_devices": 8},
            {"max_epochs": 2, "unique": None},
        ]
    }


def test_without_service_and_limits_it_is_the_compute_optimal_plan() -> None:
    plain = fs.plan("compute-optimal", CHINCHILLA, budget=C)
    plan = fs.plan("joint", budget=C)
    for name in ("N", "D"):
        assert plan[name].value == pytest.approx(plain[name].value, rel=1e-6)
    assert plan["N"].lower == pytest.approx(plain["N"].lower, rel=1e-5)
    assert plan["training"].value == pytest.approx(1e22, rel=1e-9)
    assert plan.binding == "the budget"


def test_with_service_it_is_the_cheapest_to_train_and_to_serve() -> None:
    whole = fs.plan("train-and-serve", CHINCHILLA, budget=C, served="2T")
    plan = fs.plan("joint", CHINCHILLA, budget=C, served="2T")
    assert plan["N"].value == pytest.approx(whole["N"].value, rel=1e-6)
    assert plan["total"].value == pytest.approx(1e22, rel=1e-9)


def test_with_few_tokens_it_is_the_plan_of_limited_data() -> None:
    fit = fs.open("data-constrained:muennighoff2023")
    base = fs.law("chinchilla")
    constants = {name: fit.params[name] for name in base.names}
    own = fs.Law(**{**vars(base), "published": {"same": fs.Published(values=constants, source="muennighoff2023")}})
    from forescale.fitting.published import published

    limited = fs.plan("limited-data", fit, budget="1e22 FLOP", unique="50B")
    plan = fs.plan("joint", published("chinchilla:same", law=own), fit, budget=C, unique="50B")
    assert plan["epochs"].value > 1
    assert plan["N"].value == pytest.approx(limited["N"].value, rel=1e-5)
    assert plan["D"].value == pytest.approx(limited["D"].value, rel=1e-5)


def test_a_target_and_the_budget_that_reaches_it_are_one_plan() -> None:
    target = fs.plan("joint", target=2.2, served="10T")
    back = fs.plan("joint", budget=f"{target['total'].value!r} FLOP", served="10T")
    assert back.expected["loss"].value == pytest.approx(2.2, abs=1e-7)
    assert back["N"].value == pytest.approx(target["N"].value, rel=1e-4)


def test_no_neighbour_is_better_and_keeps_the_limits() -> None:
    query = {"budget": "$3M @ $2.10/H100-hour", "unique": "300B", "per_year": "2T", "years": 1, "max_epochs": 4}
    served = {"serve_device": "L4", "min_speed": 20, "bits": "16,8,4", "deadline_days": 20, "train_devices": 512}
    plan = fs.plan("joint", **query, **served)
    assert plan["D"].value <= 4 * 300e9 * (1 + 1e-9)
    assert plan["dollars"].value <= 3e6 * (1 + 1e-9)
    assert plan["days"].value <= 20
    assert "min_speed" in plan.binding
    assert "max_epochs" in plan.binding
    # Every other way to serve is worse at the same budget.
    losses = {row["bits"]: row["loss"] for row in plan.table("choices").records()}
    assert min(losses, key=losses.__getitem__) == plan["bits"].value
    # Wrong sizes lose, where they are allowed at all.
    rows = plan.table("sensitivity").records()
    assert all(row["loss"] is None or row["loss"] >= plan.expected["loss"].value - 1e-12 for row in rows)


def test_the_worth_of_a_limit_is_what_lifting_it_gains() -> None:
    plan = fs.plan("joint", budget=C, unique="50B", max_epochs=2)
    rows = {row["limit"]: row for row in plan.table("limits").records()}
    held = next(row for words, row in rows.items() if words.startswith("max_epochs"))
    lifted = fs.plan("joint", budget=C, unique="50B", max_epochs=4)
    gained = plan.expected["loss"].value - lifted.expected["loss"].value
    assert held["loss if doubled -"] == pytest.approx(gained, abs=1e-9)


def test_samples_are_bought_only_where_coverage_is_asked_for() -> None:
    surface = fs.open("coverage-surface:pythia-math")
    plan = fs.plan("joint", surface, budget="1e22 FLOP", served="1T", max_samples=64)
    assert 1 < plan["samples"].value <= 64
    alone = fs.plan("joint", surface, budget="1e22 FLOP", served="1T", max_samples=1)
    assert plan["coverage"].value > alone["coverage"].value
    reached = fs.plan("joint", surface, coverage=plan["coverage"].value / 100, served="1T", max_samples=64)
    assert reached["total"].value <= 1e22 * (1 + 1e-4)


def test_few_bits_stop_the_training_where_more_tokens_would_hurt() -> None:
    plan = fs.plan("joint", budget="1e24 FLOP", max_params="1B", bits="3")
    assert "3-bit" in plan.binding
    from forescale.planning._joint import Problem  # the loss that was minimised

    problem = Problem(
        *(_surface(), {}, _quantised()), coverage=None, unique=math.inf
    )  # fmt: skip
    N = np.array([[plan["N"].value]])
    around = plan["D"].value * np.array([[0.9, 1.0, 1.1]])
    loss = problem.loss(N, around, 3.0)[0]
    assert loss[1] < loss[0]
    assert loss[1] < loss[2]


def _surface():  # type: ignore[no-untyped-def]
    from forescale.fitting.surface import surface

    return surface(fs.open(CHINCHILLA), draws=0)


def _quantised() -> dict[str, np.ndarray]:
    return {name: np.array([[value]]) for name, value in fs.open("quantisation:ouyang2024").params.items()}


def test_next_runs_for_the_decision() -> None:
    plan = fs.plan("joint", fs.fit("pystdlib", "chinchilla"), budget="1e14 FLOP", next_budget="1e13 FLOP")
    table = plan.table("next-runs")
    assert table.rows
    assert plan["regret"].value >= 0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "budget"),
        ({"budget": C, "bits": "0.5"}, "bits"),
        ({"budget": C, "deadline_days": 3}, "train_devices"),
        ({"budget": C, "deadline_days": 3, "train_devices": 8}, "train_device"),
        ({"budget": C, "serve_device": "L4"}, "serve_device"),
        ({"budget": C, "per_year": "1T"}, "years"),
        ({"budget": C, "served": "1T", "serve_device": "L4", "min_speed": 1e9}, "min_speed"),
    ],
)
def test_questions_that_contradict_themselves(query: dict[str, object], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        fs.plan("joint", **query)


def test_goals_that_nothing_reaches() -> None:
    with pytest.raises(RefusedError, match=r"target = .*max_params"):
        fs.plan("joint", target=2.0, max_params="100M")
    with pytest.raises(RefusedError, match="which size is the best"):
        fs.plan("joint", "overtraining:gadre2024-redpajama", budget=C)

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
    served = {
        "serve_device": "L4",
        "serve_rate": "$0.70/L4-hour",
        "min_speed": 20,
        "bits": "16,8,4",
        "deadline_days": 20,
        "train_devices": 512,
    }
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


def test_no_size_is_better_by_brute_force() -> None:
    """All sizes by formulas written out here: Chinchilla, repeated tokens, 4 bits, an L4 at its roofline, money."""
    words = {"unique": "100B", "max_epochs": 3, "served": "1T", "bits": "4", "serve_device": "L4"}
    rates = {"train_rate": "$2/H100-hour", "serve_rate": "$0.7/L4-hour", "train_mfu": 0.4, "prompt_share": 0.25}
    plan = fs.plan("joint", budget="$400k @ $2/H100-hour", **words, **rates)
    # All sizes, and closely around the best: two limits meet there in a kink.
    N = np.union1d(np.geomspace(2e8, 6e10, 4001), np.geomspace(1.4e10, 1.6e10, 200_001))
    width = np.cbrt(N * 128 / 12)
    cache = width / 128 * 2 * 0.25 * width * 2
    batch = np.clip((24e9 - N / 2) / (2048 * cache), 1, 64)
    step = np.maximum((N / 2 + batch * 2048 * cache) / 300e9, batch * (2 * N + 4 * width**2 / 128 * 2048) / 121e12)
    serving = 0.7 / 3600 * (0.25e12 * 2 * N / (121e12 * 0.4) + 0.75e12 * step / batch)
    D = np.minimum((4e5 - serving) / (6 * N * 2 / 3600 / (989.4e12 * 0.4)), 300e9)
    fits = (N / 2 + 2048 * cache <= 24e9) & (D > 0)
    N, D = N[fits], D[fits]
    E, A, alpha, B, beta = (fs.open(CHINCHILLA).params[name] for name in ("E", "A", "alpha", "B", "beta"))
    R_N, R_D = (fs.open("data-constrained:muennighoff2023").params[name] for name in ("R_N", "R_D"))
    U = np.minimum(D, 100e9)
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    U_N = np.minimum(N, G * (U * G) ** (beta / alpha))
    seen = U * (1 + R_D * (1 - np.exp(-(D / U - 1) / R_D)))
    size = U_N * (1 + R_N * (1 - np.exp(-(N / U_N - 1) / R_N)))
    low = {name: values[0, 0] for name, values in _quantised().items()}
    loss = E + A * size**-alpha + B * seen**-beta
    loss += low["k"] * D ** low["beta"] / (N ** low["alpha"] * 4 ** low["gamma"])
    best = int(np.argmin(loss))
    assert plan.expected["loss"].value == pytest.approx(loss[best], abs=1e-7)
    assert plan["N"].value == pytest.approx(N[best], rel=1e-5)


def test_the_worth_of_a_limit_is_what_lifting_it_gains() -> None:
    plan = fs.plan("joint", budget=C, unique="50B", max_epochs=2)
    rows = {row["limit"]: row for row in plan.table("limits").records()}
    held = next(row for words, row in rows.items() if words.startswith("max_epochs"))
    lifted = fs.plan("joint", budget=C, unique="50B", max_epochs=4)
    gained = plan.expected["loss"].value - lifted.expected["loss"].value
    assert held["loss if doubled -"] == pytest.approx(gained, abs=1e-9)
    # Twice the data, read as often.
    more = fs.plan("joint", budget=C, unique="100B", max_epochs=2).expected["loss"].value
    assert rows["unique = 50B"]["loss if doubled -"] == pytest.approx(plan.expected["loss"].value - more, abs=1e-9)
    # What a limit is worth is the budget that buys the same under it.
    spent = plan["training"].value
    doubled = fs.plan("joint", budget=f"{2 * spent!r} FLOP", unique="50B", max_epochs=2).expected["loss"].value
    assert rows["the budget: 1e22 FLOP"]["loss if doubled -"] == pytest.approx(
        plan.expected["loss"].value - doubled, abs=1e-9
    )
    assert rows["the budget: 1e22 FLOP"]["worth"] == pytest.approx(100.0, abs=0.01)


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


def test_a_law_along_curves_says_when_the_rate_should_fall() -> None:
    """The share is that of the question `schedule` at the plan's own steps and peak rate."""
    plan = fs.plan("joint", "multi-power:luo2025-400m", budget="1e19 FLOP")
    steps, peak = round(plan["steps"].value), plan["lr_peak"].value
    alone = fs.plan("schedule", "multi-power:luo2025-400m", steps=steps, peak=peak, warmup=round(0.01 * steps))
    assert plan["cool_down"].value == pytest.approx(alone["decay_share"].value, rel=1e-6)
    assert "cool_down" not in fs.plan("joint", budget="1e19 FLOP").decision

# SPDX-License-Identifier: Apache-2.0
"""Experts (Clark et al. 2022): closed forms against searches, memory as the limit, and the released runs."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.optimize import brentq

from forescale.core.errors import InputError, QuantityError, QueryError, RefusedError
from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.laws import find
from forescale.laws.routing import cutoff, dense_equivalent, routed_size
from forescale.planning import experts
from forescale.planning._plan import Plan
from forescale.planning._run import plan
from forescale.runs.datasets import dataset
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

LAW = find("routing")
SOURCE = "clark2022-s-base-refit"
P = LAW.constants(SOURCE)
PRINTED = {"s-base": 1e12, "rl-r": 10**10.5, "hash": 10 ** (0.136 / 0.012)}
"""Size above which experts hurt, 10^(-b/c), from the constants of table 3 as printed."""


def ask(*given: Any, **query: Any) -> Plan:
    return plan("experts", *given, **query)


class TestExperts(PlannerCase):
    planners = (experts.planner,)
    ladders: ClassVar = {
        "experts": Ladder("N", ("100M", "300M", "1B", "10B"), rising=("N_equivalent",), falling=("factor", "experts"))
    }
    conflicts: ClassVar = {
        "experts": [
            {"N": "1B", "dense": "7B"},
            {"total": "40B", "memory": 80},
            {"N": "70B", "memory": 80},
            {"N": "1B", "experts": 512, "memory": 80},
        ]
    }

    def test_neither_size_is_refused(self) -> None:
        with pytest.raises(QueryError, match="N and dense"):
            ask(memory=80)


class TestMatching(PlannerCase):
    """The smallest routed model that matches a dense one."""

    planners = (replace(experts.planner, example={"dense": "7B", "memory": 80}),)
    ladders: ClassVar = {
        "experts": Ladder("memory", (20, 40, 80, 160), rising=("experts", "factor", "loss_saved"), falling=("N",))
    }


# --------------------------------------------------------------------------------------- searches and closed forms


@pytest.mark.parametrize("source", sorted(LAW.published))
@pytest.mark.parametrize(("N", "number"), [(1e8, 2.0), (1.3e9, 64.0), (1e10, 512.0)])
def test_dense_equivalent(source: str, N: float, number: float) -> None:
    """The dense model of the same loss, by a root of the law; routed_size leads back."""
    p = LAW.constants(source)
    loss = float(LAW(p, N=N, experts=number))
    closed = float(dense_equivalent(loss, **{k: v for k, v in p.items() if k != "E_max"}))
    found = brentq(lambda n: float(LAW(p, N=10**n, experts=1)) - loss, 4, 18, xtol=1e-14)
    assert closed == pytest.approx(10**found, rel=1e-6)
    assert float(routed_size(loss, number, **p)) == pytest.approx(N, rel=1e-9)


@pytest.mark.parametrize("source", sorted(LAW.published))
def test_experts_help_below_the_cutoff_and_hurt_above(source: str) -> None:
    p = LAW.constants(source)
    edge = float(cutoff(p["b"], p["c"]))
    found = brentq(
        lambda n: math.log(float(LAW(p, N=10**n, experts=512)) / float(LAW(p, N=10**n, experts=1))), 8, 16, xtol=1e-14
    )
    assert edge == pytest.approx(10**found, rel=1e-6)
    assert ask(published(f"routing:{source}"), N=0.9 * edge)["experts"].value == 512
    above = ask(published(f"routing:{source}"), N=1.1 * edge)
    assert above["experts"].value == 1
    assert above["factor"].value == pytest.approx(1.0)
    assert above.headline.startswith("Do not route")
    assert "above-cutoff" in {w.code for w in above.warnings}


@pytest.mark.parametrize(("router", "N"), PRINTED.items())
def test_the_printed_cutoffs(router: str, N: float) -> None:
    """Table 3: b -.108, c .009; -.126, .012; -.136, .012. The refits have 684B, 88B and 81B."""
    rows = {row["constants"]: row["N cutoff"] for row in ask(N="1B").table("routers").records()}
    assert rows[f"clark2022-{router}"] == pytest.approx(N, rel=1e-9)
    refit = {"s-base": 6.84e11, "rl-r": 8.81e10, "hash": 8.14e10}[router]
    assert rows[f"clark2022-{router}-refit"] == pytest.approx(refit, rel=5e-3)


def test_an_endless_gain_has_no_cutoff() -> None:
    assert math.isinf(float(cutoff(-0.1, 0.0)))
    assert math.isinf(float(cutoff(-0.1, -0.01)))
    assert math.isnan(float(cutoff(-0.1, math.nan)))


# ---------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("room", [5e9, 40e9, 200e9])
def test_memory_is_filled(room: float) -> None:
    found = ask(N="1B", total=room)
    number = found["experts"].value
    assert number == int(number)
    assert found["N_total"].value <= room
    most = 1e9 * (1 + 0.309 * number)
    assert most > room or number == 512
    assert ("total" if number < 512 else "most_experts") in found.binding
    assert ask(N="1B", memory=room * 2 / 1e9)["experts"].value == number


@pytest.mark.parametrize(("dense", "memory"), [("7B", 80), ("7B", 20), ("70B", 1000), ("1.3B", None)])
def test_the_smallest_routed_model_of_a_loss(dense: str, memory: float | None) -> None:
    """No smaller one matches: at every number of experts the size of equal loss is larger, or does not fit."""
    query = {} if memory is None else {"memory": memory}
    found = ask(dense=dense, **query)
    N, room = found["N"].value, math.inf if memory is None else memory * 1e9 / 2
    goal = float(LAW(P, N={"7B": 7e9, "70B": 70e9, "1.3B": 1.3e9}[dense], experts=1))
    assert float(LAW(P, N=N, experts=found["experts"].value)) == pytest.approx(goal, rel=1e-12)
    assert found["N_total"].value <= room * (1 + 1e-9)
    number = np.arange(1, 513)
    sizes = np.asarray(routed_size(goal, number, **P))
    fits = sizes * (1 + 0.309 * (number - 1)) <= room
    assert math.isclose(N, sizes[fits].min(), rel_tol=1e-9)


def test_a_dense_model_needs_less_memory() -> None:
    """Routing saves compute, not memory: less than the dense model's memory is refused."""
    with pytest.raises(RefusedError, match="No routed model"):
        ask(dense="7B", memory=13)


@pytest.mark.parametrize(
    ("query", "binding"),
    [
        ({"N": "1B", "memory": 2.2}, "memory = 2.2 GB"),
        ({"N": "1B", "total": "1B"}, "total = 1B"),
        ({"N": "1B", "most_experts": 1}, "most_experts = 1"),
        ({"dense": "7B", "experts": 1}, "experts = 1"),
        ({"dense": "7B", "memory": 14.2}, "memory = 14.2 GB"),
    ],
)
def test_one_expert_has_its_reason(query: dict[str, Any], binding: str) -> None:
    """Below the cutoff experts help: it is the limit that leaves none."""
    found = ask(**query)
    assert found["experts"].value == 1
    assert found["N_equivalent"].value == pytest.approx(found["N"].value, rel=1e-9)
    assert found.binding == binding
    assert found.headline.startswith(f"One expert, which is a dense model: {binding}")
    assert "above-cutoff" not in {w.code for w in found.warnings}


def test_above_the_cutoff_nothing_matches_but_the_dense_model() -> None:
    found = ask(dense="10T", experts=64)
    assert found["experts"].value == 1
    assert found.binding.startswith("N_cutoff")
    assert found.headline.startswith("Do not route")


def test_what_experts_are_worth_along_the_curves() -> None:
    """The curves against a root of the law, at every point."""
    found = ask(N="1B", memory=80)
    numbers = found.curves["experts"]
    for number, equal in list(zip(numbers["experts"], numbers["dense N"]))[::10]:
        goal = float(LAW(P, N=1e9, experts=number))
        same = brentq(lambda n, goal=goal: float(LAW(P, N=10**n, experts=1)) - goal, 4, 18, xtol=1e-14)
        assert equal == pytest.approx(10**same, rel=1e-6)
    sizes = found.curves["worth"]
    for N, worth in list(zip(sizes["N"], sizes["64 experts"]))[::10]:
        assert float(LAW(P, N=N, experts=64)) == pytest.approx(float(LAW(P, N=N * worth, experts=1)), rel=1e-9)


def test_held_experts_are_kept() -> None:
    found = ask(N="1B", experts=64)
    assert found["experts"].value == 64
    assert found.binding == "experts = 64"
    above = ask(N="2T", experts=64)
    assert above["experts"].value == 64
    assert above["factor"].value < 1
    assert {w.level for w in above.warnings if w.code == "above-cutoff"} == {"red"}
    assert "many-experts" in {w.code for w in ask(N="1B", experts=2048).warnings}


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ({"N": -1}, QuantityError, "parameters"),
        ({"N": math.nan}, QuantityError, "parameters"),
        ({"N": "1B", "experts": 0}, QueryError, "experts"),
        ({"N": "1B", "memory": 0}, QueryError, "memory"),
        ({"N": "1B", "routed": -1}, QueryError, "routed"),
        ({"N": "1B", "device": "abacus"}, QuantityError, "abacus"),
    ],
)
def test_bad_questions(query: dict[str, Any], error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        ask(**query)


# ------------------------------------------------------------------------------------------------------- real runs


@mirrored
def test_the_released_runs() -> None:
    """What the law says of released models: their parameters in all, and which dense model they are worth."""
    every = dataset("routing")
    plain = (every["k"] == 1) & (every["routing_frequency"] == 0.5) & (every["flop_increase"] == 1)
    runs = every.where(plain & np.isin(every.labels["router"], ["S-Base", "Dense"]))
    found = fit(runs, LAW)
    # 370M parameters with 64 experts reached 2.2108, below the 2.2420 of the dense 1.3B
    small = ask(found, N=3.68123904e8, experts=64)
    assert small["N_equivalent"].value > 1.30881946e9
    assert small["N_equivalent"].lower is not None
    assert float(small.expected["loss"].value) == pytest.approx(2.2108, rel=0.01)
    large = ask(found, N=1.30881946e9, experts=512)
    assert large["N_total"].value == pytest.approx(2.07077179e11, rel=0.005)
    sizes = runs["N_total"] / runs["N"] - 1
    some = (runs["experts"] > 1) & (runs["N"] > 1e8)
    assert np.median(sizes[some] / (runs["experts"][some] - 1)) == pytest.approx(0.309, abs=0.003)

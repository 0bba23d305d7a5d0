# SPDX-License-Identifier: Apache-2.0
"""Size, tokens and samples together: limits that other plans know, brute force, the samples really drawn."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import QueryError, RefusedError
from forescale.fitting.published import published
from forescale.fitting.surface import surface
from forescale.laws.coverage import surface as coverage
from forescale.planning import plan, train_and_sample
from forescale.planning._lifetime import tokens_for
from forescale.planning._parts import grounds
from forescale.planning._plan import Plan
from forescale.testing.planners import Ladder, PlannerCase

LOSS, COVERAGE = "chinchilla:besiroglu2024", "coverage-surface:pythia-math"


class TestKit(PlannerCase):
    planners = (train_and_sample.planner,)
    grounds: ClassVar = {"train-and-sample": (LOSS, COVERAGE)}
    ladders: ClassVar = {
        "train-and-sample": Ladder("target", (0.3, 0.5, 0.7, 0.8), rising=("training", "total", "C_path"))
    }


def asked(**query: Any) -> Plan:
    return plan("train-and-sample", published(LOSS), published(COVERAGE), **{"path_tokens": "300B", **query})


def constants() -> dict[str, float]:
    return published(COVERAGE).params  # type: ignore[return-value]


def test_one_sample_is_train_and_serve() -> None:
    """With a single sample the plan is that of serving so many tokens, for the loss of the run that is as good."""
    found = asked(target=0.3, problems=1e9, max_samples=1)
    N = found["C_path"].value / (6.0 * 3e11)
    loss = surface(published(LOSS), 0).loss(N=[N], D=[3e11])[0, 0]
    assert coverage(found["C_path"].value, 1.0, **constants()) == pytest.approx(0.3, rel=1e-9)
    other = plan("train-and-serve", published(LOSS), target=float(loss), served=1e9 * 1300)
    for name in ("N", "D", "training", "serving", "total"):
        assert found[name].value == pytest.approx(other[name].value, rel=1e-8)
    assert found.binding == "max_samples = 1"


def test_few_problems_and_one_sample_are_compute_optimal() -> None:
    found = asked(target=0.3, problems=1e-3, max_samples=1)
    other = plan("compute-optimal", published(LOSS), budget=found["training"].value)
    assert found["N"].value == pytest.approx(other["N"].value, rel=1e-6)


def test_no_other_model_or_number_of_samples_is_cheaper() -> None:
    """By brute force over sizes and samples, each sample paid for."""
    found = asked(target=0.5, problems=1e9, stop=False)
    bare = surface(published(LOSS), 0)
    best = np.inf
    for k in np.unique(np.round(np.geomspace(1, 10_000, 60))):
        x = (np.log(constants()["A"]) - constants()["beta"] * np.log(k) - np.log(-np.log(0.5))) / (
            constants()["alpha"] + constants()["delta"] * np.log(k)
        )
        loss = bare.loss(N=[np.exp(x) / (6 * 3e11)], D=[3e11])[:, 0]
        sizes = np.geomspace(1e7, 1e12, 1500)
        D = tokens_for(bare, sizes, loss)[0]
        best = min(best, float(np.nanmin(6 * sizes * D + 2 * sizes * 1e9 * (1000 + k * 300))))
    # The plan tries 25 numbers of samples, even in the logarithm: the bill is flat around the best.
    assert found["total"].value == pytest.approx(best, rel=0.01)


@pytest.mark.parametrize("most", [1, 2, 7, 64, 500])
def test_samples_really_drawn(most: int) -> None:
    """Stopping at the first right one draws the sum of what j samples leave unsolved, j < k."""
    on = grounds(train_and_sample.planner, [published(LOSS), published(COVERAGE)], draws=0)
    C = np.array([1e21])
    exact = 1.0 + sum(1.0 - float(coverage(1e21, float(j), **constants())) for j in range(1, most))
    assert train_and_sample.samples_drawn(on, C, float(most))[0] == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("stop", [True, False])
def test_at_the_optimum_all_choices_are_worth_the_same(stop: bool) -> None:
    """The bill for one more point of coverage, whether by parameters, tokens or samples; not where one is held."""
    free = asked(target=0.5, problems=1e9, stop=stop).table("margins").column("bill per point")
    # samples are whole and tried 1 or 2 % apart
    assert free[1] == pytest.approx(free[0], rel=1e-3)
    assert free[2] == pytest.approx(free[0], rel=0.01)
    held = asked(target=0.5, problems=1e9, stop=stop, max_samples=50).table("margins").column("bill per point")
    assert held[1] == pytest.approx(held[0], rel=1e-3)
    assert held[2] < 0.7 * held[0]  # type: ignore[operator]


def test_stopping_saves() -> None:
    stops, all_drawn = asked(target=0.5, problems=1e9), asked(target=0.5, problems=1e9, stop=False)
    assert stops["total"].value < all_drawn["total"].value
    assert stops["drawn"].value < stops["samples"].value
    assert all_drawn["drawn"].value == all_drawn["samples"].value


def test_more_problems_want_fewer_samples() -> None:
    few, many = asked(target=0.5, problems=1e6), asked(target=0.5, problems=1e12)
    assert many["drawn"].value < few["drawn"].value


def test_the_path_of_the_surface() -> None:
    """By default that of Pythia where its surface stands in, else the compute-optimal one."""
    default = plan("train-and-sample", target=0.5, problems=1e9)
    assert any("300B tokens" in text for text in default.assumptions)
    own = plan("train-and-sample", published(LOSS), published(COVERAGE), target=0.5, problems=1e9)
    assert any("compute-optimal" in text for text in own.assumptions)
    assert own["C_path"].value > 0


@pytest.mark.parametrize("query", [{"target": 1.0, "problems": 1}, {"target": 0.5, "problems": 0}, {"problems": 1e9}])
def test_questions_that_make_no_sense(query: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        asked(**query)


def test_what_no_model_reaches() -> None:
    with pytest.raises(RefusedError, match="samples"):
        asked(target=0.999, problems=1e9, max_samples=1)
    with pytest.raises(RefusedError, match="compute-optimal"):
        plan("train-and-sample", published("overtraining:gadre2024-c4"), target=0.5, problems=1e9)

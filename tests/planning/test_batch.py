# SPDX-License-Identifier: Apache-2.0
"""Time against compute: the critical batch from the loss, from runs and from gradients; deadlines and prices."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, QueryError, RefusedError
from forescale.fitting.estimators.gradient_noise import resampled
from forescale.laws import find
from forescale.laws.critical_batch import batch_for_price, batch_for_steps, steps_to_level
from forescale.laws.kaplan_steps import cheapest_size, least_steps
from forescale.planning import batch
from forescale.testing.planners import Ladder, PlannerCase

SIZE = {"N_c": 6.5e13, "alpha_N": 0.077, "S_c": 2.1e3, "alpha_S": 0.76}


class TestBatch(PlannerCase):
    """The conformance tests, on Kaplan's constants."""

    planners = (batch.planner,)
    ladders: ClassVar = {
        "batch": Ladder("target", (3.2, 2.9, 2.6), rising=("critical_batch", "least_steps", "least_tokens", "C"))
    }
    conflicts: ClassVar = {
        "batch": (
            {"batch": "1M", "hour_price": 5.0},
            {"deadline_hours": 10.0, "hour_price": 5.0},
            {"batch": "1M", "deadline_hours": 10.0},
            {"budget": "1e20 FLOP", "target": 2.6},
        )
    }


# -- numbers of the notes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "critical"), [(4.0, 2.853e5), (3.0, 1.1226e6), (2.5, 2.675e6)])
def test_kaplans_critical_batch_decides_where_nothing_is_given(loss: float, critical: float) -> None:
    """B_crit of the notes (pretraining 3b), and twice of steps and tokens there."""
    plan = fs.plan("batch", target=loss, params="1B")
    assert plan["batch_tokens"].value == pytest.approx(critical, rel=1e-3)
    assert plan["steps_over_least"].value == pytest.approx(2.0)
    assert plan["tokens_over_least"].value == pytest.approx(2.0)
    assert plan["least_tokens"].value == pytest.approx(plan["least_steps"].value * critical, rel=1e-3)


@pytest.mark.parametrize(("size", "loss"), [(2.5e5, 2.63657), (5e5, 2.55090), (2e6, 2.45278), (1e9, 2.40064)])
def test_steps_of_a_batch_invert_the_finite_batch_law(size: float, loss: float) -> None:
    """Notes, 3b: L(N = 1e9, S = 1e5, B). Asked the other way round, each loss takes 1e5 steps of that batch.

    The losses are known to 5e-6, and steps go as (L - L_N)^(-1 / .76): 1e5 comes back to about 1e-4.
    """
    plan = fs.plan("batch", target=loss, params=1e9, batch=size)
    assert plan["steps"].value == pytest.approx(1e5, rel=3e-4)
    exact = float(find("kaplan-steps")(
        find("kaplan-steps").constants("kaplan2020"), N=1e9, step=plan["steps"].value, batch_tokens=size
    ))  # fmt: skip
    assert exact == pytest.approx(loss, rel=1e-9)


def test_every_point_lies_on_the_hyperbola() -> None:
    """(S / S_min - 1) (E / E_min - 1) = 1, and C_min = C / (1 + B / B_crit) is 6 N E_min at every batch."""
    for size in (3e4, 2e6, 3e7):
        plan = fs.plan("batch", target=2.7, params="1B", batch=size)
        over, more = plan["steps_over_least"].value, plan["tokens_over_least"].value
        assert (over - 1) * (more - 1) == pytest.approx(1.0, rel=1e-12)
        assert plan["tokens"].value == pytest.approx(plan["steps"].value * size, rel=1e-12)
        assert plan["C"].value / (1 + size / plan["critical_batch"].value) == pytest.approx(
            6e9 * plan["least_tokens"].value, rel=1e-12
        )
    for row in plan.table("alternatives").records():
        assert (row["steps / fewest"] - 1) * (row["tokens / fewest"] - 1) == pytest.approx(1.0)


def test_the_size_of_least_compute_is_the_numerical_one() -> None:
    for loss in (2.0, 2.6, 3.5):
        closed = float(cheapest_size(loss, SIZE["N_c"], SIZE["alpha_N"], SIZE["alpha_S"]))
        sizes = closed * np.geomspace(0.9, 1.1, 200_001)
        spent = sizes * least_steps(loss, sizes, **SIZE)
        assert closed == pytest.approx(sizes[np.argmin(spent)], rel=1e-4)
    plan = fs.plan("batch", target=2.6)
    assert plan["params"].value == pytest.approx(cheapest_size(2.6, SIZE["N_c"], SIZE["alpha_N"], SIZE["alpha_S"]))
    rows = plan.table("sizes").records()
    assert min(row["C / least"] for row in rows) == pytest.approx(1.0)


def test_a_budget_goes_to_the_efficient_size_batch_and_steps() -> None:
    """Notes, 3b: N as C^.681, B as C^.250, S as C^.069, L as C^-.05245 (the paper's text: .71 and .054)."""
    one, two = (fs.plan("batch", budget=f"{C} FLOP") for C in (1e20, 1e22))
    assert one["C"].value == pytest.approx(1e20, rel=1e-9)
    for name, power in (("params", 0.681), ("batch_tokens", 0.250), ("steps", 0.069), ("loss", -0.05245)):
        found = np.log(two[name].value / one[name].value) / np.log(100)
        assert found == pytest.approx(power, abs=6e-4), name
    back = fs.plan("batch", target=one["loss"].value)
    for name in ("params", "batch_tokens", "steps", "C"):
        assert back[name].value == pytest.approx(one[name].value, rel=1e-9), name
    # No neighbour of that size has a lower loss at the same compute and the same batch.
    law = find("kaplan-steps")
    sizes = one["params"].value * np.geomspace(0.5, 2.0, 41)
    size = one["batch_tokens"].value
    found = law(law.constants("kaplan2020"), N=sizes, step=1e20 / (6 * sizes * size), batch_tokens=size)
    assert abs(int(np.argmin(found)) - 20) <= 1
    # Device time and money are spent at the speed that is said.
    hours = fs.plan("batch", budget="10k H100-hours", mfu=0.4)
    assert hours["C"].value == pytest.approx(1e4 * 3600 * 0.4 * 989.4e12, rel=1e-3)
    assert fs.plan("batch", budget="$20k @ $2/H100-hour", mfu=0.4)["C"].value == pytest.approx(hours["C"].value)


def test_prices_and_deadlines_against_a_search_in_the_finite_batch_law() -> None:
    """Steps of every batch by bisection in L(N, S, B), waiting and compute added up, the least one taken."""
    law = find("kaplan-steps")
    p = law.constants("kaplan2020")
    sizes = np.geomspace(2e5, 2e8, 4001)
    low, high = np.full(sizes.size, 1e2), np.full(sizes.size, 1e9)
    for _ in range(60):
        middle = np.sqrt(low * high)
        short = law(p, N=1e9, step=middle, batch_tokens=sizes) > 2.5
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    asked = {"target": 2.5, "params": "1B", "step_seconds": 3.0}
    dear = fs.plan("batch", **asked, hour_price=200.0, rate="$2/H100-hour", mfu=0.4)
    dollars = low * 3 / 3600 * 200 + 6e9 * low * sizes * 2 / 3600 / (0.4 * 989.4e12)
    assert dear["batch_tokens"].value == pytest.approx(sizes[np.argmin(dollars)], rel=0.01)
    assert dear["dollars"].value == pytest.approx(dollars.min(), rel=1e-3)
    late = fs.plan("batch", **asked, deadline_hours=30.0)
    assert late["batch_tokens"].value == pytest.approx(sizes[np.argmin(np.abs(low - 36_000))], rel=0.01)


def test_the_critical_batch_grows_on_the_way() -> None:
    rows = fs.plan("batch", target=2.6, params="1B").table("along").records()
    assert np.all(np.diff([row["critical batch"] for row in rows]) > 0)
    assert rows[-1]["loss"] == 2.6


# -- deadlines and prices -------------------------------------------------------------------------------------------


def test_a_deadline_is_met_exactly_and_an_early_one_refused() -> None:
    plan = fs.plan("batch", target=2.6, params="1B", deadline_hours=40, step_seconds=2)
    assert plan["hours"].value == pytest.approx(40.0, rel=1e-12)
    assert "deadline" in plan.binding
    assert float(steps_to_level(batch_for_steps(5e3, 4e3, 1e6), 4e3, 1e6)) == pytest.approx(5e3)
    assert np.isnan(batch_for_steps(3e3, 4e3, 1e6))
    least = plan["least_steps"].value * 2 / 3600
    with pytest.raises(RefusedError, match="no batch reaches"):
        fs.plan("batch", target=2.6, params="1B", deadline_hours=0.99 * least, step_seconds=2)


def test_the_price_of_time_is_weighed_against_compute() -> None:
    """The closed form against a search over batches; time worth four times as much doubles the batch."""
    critical, steps, step, token = 1.5e6, 2e4, 0.3, 4e-8
    sizes = np.geomspace(1e5, 1e8, 400_001)
    cost = steps * (step * (1 + critical / sizes) + token * (sizes + critical))
    assert batch_for_price(critical, step, token) == pytest.approx(sizes[np.argmin(cost)], rel=1e-4)
    asked = {"target": 2.6, "params": "1B", "step_seconds": 2.0, "rate": "$2.10/H100-hour"}
    dear, cheap = (fs.plan("batch", hour_price=price, **asked) for price in (400.0, 100.0))
    assert dear["batch_tokens"].value == pytest.approx(2 * cheap["batch_tokens"].value, rel=1e-12)
    # Dollars of compute are those of the table, and waiting is hours times its price.
    row = next(row for row in dear.table("alternatives").records() if row["batch / critical"] == 1.0)
    per_token = row["dollars of compute"] / row["tokens"]
    assert dear["dollars"].value == pytest.approx(
        400.0 * dear["hours"].value + per_token * dear["tokens"].value, rel=1e-9
    )


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({}, "target"),
        ({"target": 2.6, "deadline_hours": 10}, "step_seconds"),
        ({"target": 2.6, "hour_price": 10, "step_seconds": 1}, "rate"),
        ({"target": 2.6, "lr": 1e-3}, "lr_batch"),
        ({"target": 2.6, "lr_batch": 1e5}, "lr"),
        ({"target": 2.6, "step_seconds": -1}, "step_seconds"),
        ({"target": 2.6, "mfu": 0.4}, "rate"),
        ({"target": 2.6, "hour_price": 9, "step_seconds": 1, "rate": "$2/nothing-hour"}, "nothing"),
    ],
)
def test_what_is_missing_is_named(query: dict[str, object], named: str) -> None:
    with pytest.raises(QueryError, match=named):
        fs.plan("batch", **query)


def test_less_than_a_token_is_no_batch() -> None:
    """At a loss of 100, or with years to wait."""
    for asked in ({"target": 100.0}, {"target": 2.6, "deadline_hours": 1e9, "step_seconds": 2}):
        with pytest.raises(RefusedError, match="one token"):
            fs.plan("batch", **asked)


def test_a_model_that_is_too_small_is_refused() -> None:
    with pytest.raises(RefusedError, match="never reach"):
        fs.plan("batch", target=2.0, params="100M")


def test_a_rate_is_carried_to_the_batch() -> None:
    """McCandlish: lr(B) = lr_max / (1 + B_noise / B); with Adam about the root of the batch."""
    plan = fs.plan("batch", target=3.0, params="1B", batch="4M", lr=6e-4, lr_batch="500k")
    critical = plan["critical_batch"].value
    assert plan["lr"].value == pytest.approx(6e-4 * (1 + critical / 5e5) / (1 + critical / 4e6), rel=1e-12)
    assert plan["lr_root"].value == pytest.approx(6e-4 * np.sqrt(8), rel=1e-12)
    with_fit = fs.plan("batch", *[fs.fit({"batch_tokens": b, "lr_peak": y}, "lr-batch") for b, y in [_rates()]],
                       target=3.0, params="1B", batch="4M")  # fmt: skip
    assert with_fit["lr"].value == pytest.approx(2e-3 / (1 + 1e6 / 4e6), rel=1e-4)
    with pytest.raises(QueryError, match="leave out lr"):
        fs.plan("batch", fs.fit(dict(zip(("batch_tokens", "lr_peak"), _rates())), "lr-batch"), target=3.0, lr=1e-3,
                lr_batch="1M")  # fmt: skip


def _rates() -> tuple[np.ndarray, np.ndarray]:
    sizes = np.geomspace(5e4, 2e7, 9)
    return sizes, 2e-3 / (1 + 1e6 / sizes)


# -- runs at several batches, gradient norms ------------------------------------------------------------------------


def test_runs_at_several_batches() -> None:
    """Both ends and their intervals from steps to one loss at nine batches, 1 % noise."""
    rng = np.random.default_rng(2)
    sizes = np.geomspace(1e5, 3e7, 9)
    steps = 8e3 * (1 + 1.2e6 / sizes) * np.exp(0.01 * rng.standard_normal(9))
    plan = fs.plan("batch", fs.load({"batch_tokens": sizes, "steps": steps}), params="300M")
    assert plan["critical_batch"].lower < 1.2e6 < plan["critical_batch"].upper
    assert plan["least_steps"].value == pytest.approx(8e3, rel=0.03)
    assert plan["C"].value == pytest.approx(6 * 3e8 * plan["tokens"].value, rel=1e-12)
    paid = fs.plan("batch", fs.load({"batch_tokens": sizes, "steps": steps}), params="300M", rate="$2/H100-hour")
    assert paid["compute_dollars"].lower < paid["compute_dollars"].value < paid["compute_dollars"].upper
    with pytest.raises(QueryError, match="params"):
        fs.plan("batch", fs.load({"batch_tokens": sizes, "steps": steps}), rate="$2/H100-hour")
    assert plan.evidence.law == "batch-steps"
    with pytest.raises(QueryError, match="target"):
        fs.plan("batch", fs.load({"batch_tokens": sizes, "steps": steps}), target=2.6)


def _norms(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """|G|^2 = .02 and tr(Sigma) = 3e4: B_simple = 1.5e6. Norms scatter by 30 %."""
    rng = np.random.default_rng(seed)
    sizes = np.repeat([1e5, 4e6], count)
    return {
        "batch_tokens": sizes,
        "grad_norm_sq": (0.02 + 3e4 / sizes) * np.exp(0.3 * rng.standard_normal(2 * count) - 0.045),
    }


def test_gradient_norms_give_the_critical_batch() -> None:
    plan = fs.plan("batch", fs.load(_norms(400)))
    assert plan["critical_batch"].lower < 1.5e6 < plan["critical_batch"].upper
    assert plan["batch_tokens"].value == plan["critical_batch"].value
    assert "steps" not in plan.decision
    with_target = fs.plan("batch", fs.load(_norms(400)), target=2.6, params="1B")
    assert with_target["critical_batch"].value == plan["critical_batch"].value
    assert with_target["steps"].value == pytest.approx(2 * with_target["least_steps"].value)
    for timed in ({"deadline_hours": 10}, {}):
        with pytest.raises(QueryError, match="target"):
            fs.plan("batch", fs.load(_norms(400)), step_seconds=1, **timed)


def test_the_resampled_intervals_cover() -> None:
    """Sixty tables of 60 norms each: the share of 90 % intervals that hold the truth is .9 within 3 errors (.12)."""
    hits = []
    for seed in range(60):
        found = resampled(fs.load(_norms(60, seed)), 300)
        low, high = np.nanquantile(found[1:], [0.05, 0.95])
        hits.append(low < 1.5e6 < high)
    assert np.mean(hits) == pytest.approx(0.9, abs=0.12)


def test_norms_that_cannot_tell() -> None:
    one_each = fs.plan("batch", fs.load({"batch_tokens": [1e5, 4e6], "grad_norm_sq": [0.32, 0.0275]}))
    assert one_each["critical_batch"].value == pytest.approx(1.5e6, rel=1e-9)
    assert one_each["critical_batch"].lower is None
    assert any("scatter" in text for text in one_each.assumptions)
    with pytest.raises(DataError, match="both positive"):
        fs.plan("batch", fs.load({"batch_tokens": [1e5, 4e6], "grad_norm_sq": [0.3, 0.4]}))
    with pytest.raises(DataError, match="batch_tokens"):
        fs.plan("batch", fs.load({"batch_tokens": [-1e5, 4e6], "grad_norm_sq": [0.3, 0.2]}))
    with pytest.raises(DataError, match="grad_norm_sq"):
        fs.plan("batch", fs.load({"batch_tokens": [1e5, 4e6], "grad_norm_sq": [0.3, float("nan")]}))
    with pytest.raises(DataError, match="one batch"):
        fs.plan("batch", fs.load({"batch_tokens": [1e5, 1e5], "grad_norm_sq": [0.3, 0.4]}))


def test_far_beyond_the_critical_batch_is_said() -> None:
    plan = fs.plan("batch", target=3.0, params="1B", batch="100M")
    assert any(w.code == "beyond-critical" for w in plan.warnings)

# SPDX-License-Identifier: Apache-2.0
"""Accuracy against thinking tokens: slopes by item, two stages on the same items, power, position bias, rollouts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, QueryError, RefusedError
from forescale.fitting.estimators.thinking_slopes import (
    agreement,
    anti_concentration,
    error_between,
    items_needed,
    rewards,
    slopes,
    sums,
)
from forescale.planning import thinking
from forescale.planning._run import plan
from forescale.runs.table import Runs
from forescale.testing.planners import PlannerCase

BUDGETS = (256, 1024, 4096)


def judge(
    items: int = 120, stages: dict[str, float] | None = None, seed: int = 0, each: int = 1, spread: float = 0.25
) -> Runs:
    """Items of different difficulty, asked at three budgets, with a slope for each stage."""
    rng = np.random.default_rng(seed)
    easy = rng.uniform(0.5 - spread, 0.5 + spread, items)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("problem", "stage", "token_budget", "thinking_tokens", "correct")
    }
    for stage, slope in (stages or {"": 0.04}).items():
        for budget in BUDGETS:
            chance = np.clip(easy + slope * (math.log2(budget) - 10.0), 0.0, 1.0)
            for _ in range(each):
                rows["problem"] += [f"q{i}" for i in range(items)]
                rows["stage"] += [stage] * items
                rows["token_budget"] += [budget] * items
                rows["thinking_tokens"] += [budget] * items
                rows["correct"] += (rng.random(items) < chance).tolist()
    return Runs.from_columns({k: v for k, v in rows.items() if k != "stage" or stages})


class TestThinking(PlannerCase):
    planners = (thinking.planner,)
    grounds: ClassVar = {"thinking": (judge(),)}


def test_a_slope_is_recovered() -> None:
    """Within four of its own errors, which is that of the bootstrap; the interval holds the truth."""
    found = plan("thinking", judge(400, each=4))["slope"]
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < 0.04 < found.upper
    error = (found.upper - found.lower) / (2 * 1.645)
    # 1,600 answers at each of three budgets two doublings apart: .5 / sqrt(1600) / sqrt(8)
    assert error == pytest.approx(0.5 / math.sqrt(1600) / math.sqrt(8), rel=0.25)


def test_slopes_against_least_squares() -> None:
    """Pooled: numpy's regression; within: the regression with a mean for each item, on unbalanced rows."""
    rng = np.random.default_rng(4)
    items = rng.integers(0, 12, 200)
    x, y = rng.normal(10, 2, 200), (rng.random(200) < 0.6).astype(float)
    weights = rng.integers(0, 3, (5, 12)).astype(float)
    found = slopes(sums(x, y, items, 12), weights)
    for b in range(5):
        w = weights[b][items]
        design = np.stack([np.ones_like(x), x], axis=1) * np.sqrt(w)[:, None]
        pooled = np.linalg.lstsq(design, y * np.sqrt(w), rcond=None)[0][1]
        assert found.pooled[b] == pytest.approx(pooled, rel=1e-9)
        dummies = np.concatenate([x[:, None], np.eye(12)[items]], axis=1) * np.sqrt(w)[:, None]
        within = np.linalg.lstsq(dummies, y * np.sqrt(w), rcond=None)[0][0]
        assert found.within[b] == pytest.approx(within, rel=1e-9)


def test_two_stages_are_compared_on_the_same_items() -> None:
    """A reinforced stage that gains from tokens, a fine-tuned one that does not; difficulty is common to both."""
    table = judge(300, {"sft": 0.0, "rl": 0.06}, each=2)
    found = plan("thinking", table)
    assert "'rl'" in found.headline
    lower = found["difference"].lower
    assert lower is not None
    assert lower > 0
    assert found["difference"].value == pytest.approx(found["slope"].value - found["other"].value)
    turned = plan("thinking", table, stage="sft", against="rl")
    assert turned["difference"].value == pytest.approx(-found["difference"].value)
    alone = plan("thinking", judge(300, {"sft": 0.0, "rl": 0.0, "base": 0.0}), stage="rl")
    assert "difference" not in alone.decision
    assert len(next(t for t in alone.tables if t.id == "stages").rows) == 3


def test_no_difference_is_not_found_too_often() -> None:
    """Equal slopes: 90 % intervals leave 0 out in about 4 of 40 repeats; four deviations are allowed."""
    missed = 0
    for seed in range(40):
        found = plan("thinking", judge(80, {"a": 0.03, "b": 0.03}, seed=seed))["difference"]
        assert found.lower is not None
        assert found.upper is not None
        missed += not found.lower <= 0 <= found.upper
    assert missed <= 4 + 4 * 1.9


def test_the_error_of_two_budgets() -> None:
    """.5 sqrt(2 (1 - rho) / m) / doublings is the error of a slope between two budgets on the same m items."""
    rng = np.random.default_rng(0)
    m, rho, made = 200, 0.5, []
    for _ in range(400):
        # two correlated answers, each right half of the time
        shared = rng.random(m) < rho
        first = rng.random(m) < 0.5
        second = np.where(shared, first, rng.random(m) < 0.5)
        made.append((second.mean() - first.mean()) / 3.0)
    # the error of a deviation from 400 repeats is 3.5 %
    assert float(np.std(made)) == pytest.approx(error_between(m, rho, 3.0), rel=0.14)


def test_items_needed() -> None:
    """Four times the items for half the effect; at 90 % and .8, (1.645 + .842)^2 errors squared."""
    assert items_needed(0.01, 100, 0.01, 0.9, 0.8) == pytest.approx(100 * (1.6449 + 0.8416) ** 2, rel=1e-4)
    assert items_needed(0.01, 100, 0.005, 0.9, 0.8) == pytest.approx(4 * items_needed(0.01, 100, 0.01, 0.9, 0.8))
    assert items_needed(0.01, 100, 0.0, 0.9, 0.8) == math.inf
    found = plan("thinking", judge(100), effect=0.02, power=0.9)
    assert found["items"].value < plan("thinking", judge(100), effect=0.01, power=0.9)["items"].value


def test_hard_items_that_got_more_tokens() -> None:
    """Easy items short, hard items long: over all rows thinking seems to hurt; within items it helps."""
    rng = np.random.default_rng(1)
    items = np.repeat(np.arange(200), 6)
    hard = rng.random(200)
    tokens = 2.0 ** (9 + 4 * hard[items] + np.tile([0, 0, 0, 1, 1, 1], 200))
    chance = 0.8 - 0.6 * hard[items] + 0.1 * np.tile([0, 0, 0, 1, 1, 1], 200)
    table = Runs.from_columns(
        {"problem": items.astype(str), "thinking_tokens": tokens, "correct": rng.random(1200) < chance}
    )
    found = plan("thinking", table)
    row = next(t for t in found.tables if t.id == "stages").records()[0]
    assert float(row["slope over all rows"] or 0) < 0 < found["slope"].value
    codes = {w.code for w in found.warnings}
    assert {"difficulty-confounds", "tokens-not-set"} <= codes


def test_tokens_for_a_target() -> None:
    table = judge(300, each=4)
    found = plan("thinking", table, target=0.55)
    line = found["accuracy"].value + found["slope"].value * (math.log2(found["tokens"].value) - 10.0)
    assert line == pytest.approx(0.55)
    assert any(w.code == "beyond-budgets" for w in plan("thinking", table, target=0.9).warnings)
    with pytest.raises(RefusedError, match="no number of them"):
        plan("thinking", judge(300, {"x": -0.06}), target=0.9)


def test_position_bias() -> None:
    """A judge that likes the first candidate: right when the better one stands there."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[Any]] = {
        "problem": [],
        "thinking_tokens": [],
        "correct": [],
        "swapped": [],
        "token_budget": [],
    }
    for swapped, chance in ((0, 0.85), (1, 0.55)):
        for budget in (100, 400):
            rows["problem"] += [f"q{i}" for i in range(200)]
            rows["thinking_tokens"] += [budget] * 200
            rows["token_budget"] += [budget] * 200
            rows["correct"] += (rng.random(200) < chance).tolist()
            rows["swapped"] += [swapped] * 200
    found = plan("thinking", Runs.from_columns(rows))
    table = {str(row["what"]): row for row in next(t for t in found.tables if t.id == "position").records()}
    # errors of .5 / sqrt(400) each
    assert table["difference"]["value"] == pytest.approx(0.3, abs=0.12)
    assert float(table["difference"]["from"] or 0) > 0
    assert abs(float(table["kappa of the two"]["value"] or 0)) < 0.2


def test_kappa() -> None:
    """Two by two with .5 and .6 right, .7 agreement: (.7 - .5) / (1 - .5) = .4."""
    first = np.array([1.0] * 5 + [0.0] * 5)
    second = np.array([1.0] * 4 + [0.0] + [1.0] * 2 + [0.0] * 3)
    assert agreement(first, second) == pytest.approx(0.4)
    assert agreement(first, first) == 1.0
    assert math.isnan(agreement(np.ones(3), np.ones(3)))


@pytest.mark.parametrize(
    ("p", "epsilon", "share"), [(0.2, 1.0, 0.2), (0.8, 1.0, 0.0), (0.2, 4.0, 0.2), (0.1, 4.0, 0.1)]
)
def test_anti_concentration_of_binary_rewards(p: float, epsilon: float, share: float) -> None:
    """Mass p where p <= 1 / (1 + epsilon), none above; the boundary (.2, 4) belongs."""
    reward = np.array([1.0] * round(100 * p) + [0.0] * round(100 * (1 - p)))
    found = anti_concentration(reward, np.zeros(100, dtype=int), (epsilon,))
    assert found.reaching[0, 0] == pytest.approx(share)
    assert found.deviation[0] ** 2 == pytest.approx(p * (1 - p))


def test_bilevel_rewards() -> None:
    """Solved at step 3 of 10 pays 8, at the last pays 1, beyond the horizon or never nothing."""
    np.testing.assert_array_equal(rewards(np.array([3.0, 10.0, 11.0, np.nan]), 10.0), [8.0, 1.0, 0.0, 0.0])


def test_rollouts() -> None:
    """Half of the problems solved in a tenth of their rollouts, half in nine tenths: half are ready."""
    after = np.concatenate([np.where(np.arange(20) < solved, 5.0, np.nan) for solved in (2, 2, 18, 18)])
    rollouts = Runs.from_columns({"problem": np.repeat(list("abcd"), 20), "solved_after": after})
    found = plan("thinking", judge(60), rollouts, horizon=10)
    table = {str(row["what"]): row["value"] for row in next(t for t in found.tables if t.id == "rollouts").records()}
    assert table["problems ready for training with a verifier"] == 0.5
    assert table["mean reward over the horizon"] == pytest.approx(0.5 * 0.6)
    with pytest.raises(QueryError, match="horizon"):
        plan("thinking", judge(60), rollouts)
    with pytest.raises(DataError, match="rollouts of a problem"):
        plan("thinking", judge(60), rollouts.where(np.arange(80) % 20 < 10), horizon=10)


@pytest.mark.parametrize(
    ("query", "named"),
    [({"stage": "x"}, "stage"), ({"against": "x"}, "against"), ({"stage": "sft", "against": "sft"}, "two stages"),
     ({"effect": 0}, "effect"), ({"power": 0.3}, "power"), ({"target": 1.5}, "target")],
)  # fmt: skip
def test_bad_queries(query: dict[str, Any], named: str) -> None:
    with pytest.raises(QueryError, match=named):
        plan("thinking", judge(40, {"sft": 0.0, "rl": 0.05}), **query)


def test_bad_tables() -> None:
    table = judge(40)
    with pytest.raises(DataError, match="thinking_tokens is 0"):
        plan("thinking", table.with_column("thinking_tokens", np.zeros(len(table))))
    with pytest.raises(DataError, match="neither 0 nor 1"):
        plan("thinking", table.with_column("correct", np.full(len(table), 0.5)))
    with pytest.raises(RefusedError, match="same tokens"):
        plan("thinking", table.where(table["token_budget"] == 256))
    with pytest.raises(QueryError, match="3 stages"):
        plan("thinking", judge(40, {"a": 0.0, "b": 0.0, "c": 0.0}))
    apart = judge(40, {"a": 0.0, "b": 0.0})
    other = np.where(apart.labels["stage"] == "a", "x", "y")
    with pytest.raises(QueryError, match="no item in common"):
        plan("thinking", apart.with_column("problem", np.char.add(apart.labels["problem"], other)))

# SPDX-License-Identifier: Apache-2.0
"""Routing by difficulty: thresholds worth having, what the score is worth, aims, caveats, bad tables."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, QueryError, RefusedError
from forescale.planning import difficulty_routing
from forescale.planning._run import plan
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

# Qwen3-32B under SCALE: Xiao et al. (2025), table 2: threshold, then accuracy in % and thousands of tokens.
TAU = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
AIME24 = ((78.75, 77.50, 73.33, 74.58, 70.00, 50.00, 46.25, 27.50), (22.5, 19.2, 19.5, 20.3, 17.8, 12.2, 11.4, 8.2))
AIME25 = ((63.75, 61.67, 51.67, 56.25, 58.75, 39.17, 35.83, 25.00), (23.2, 20.6, 20.5, 21.0, 19.0, 11.7, 10.6, 6.8))


def thresholds(table: tuple[tuple[float, ...], tuple[float, ...]]) -> Runs:
    return Runs.from_columns(
        {"threshold": TAU, "score": np.array(table[0]) / 100, "decode_tokens": 1000 * np.array(table[1])}
    )


def problems(count: int = 200, informed: float = 1.0, seed: int = 0) -> Runs:
    """Fast is right with 1 - x, slow with 1 - x / 3 for ten times the tokens; the score knows x by `informed`."""
    rng = np.random.default_rng(seed)
    hard = rng.random(count)
    score = informed * hard + (1 - informed) * rng.random(count)
    rows: dict[str, list[Any]] = {k: [] for k in ("problem", "difficulty", "mode", "correct", "completion_tokens")}
    for mode, chance, tokens in (("fast", 1 - hard, 1000.0), ("slow", 1 - hard / 3, 10_000.0)):
        rows["problem"] += [f"p{i}" for i in range(count)]
        rows["difficulty"] += score.tolist()
        rows["mode"] += [mode] * count
        rows["correct"] += (rng.random(count) < chance).tolist()
        rows["completion_tokens"] += (tokens * np.exp(0.2 * rng.standard_normal(count))).tolist()
    return Runs.from_columns(rows)


class TestDifficultyRouting(PlannerCase):
    planners = (difficulty_routing.planner,)
    grounds: ClassVar = {"difficulty-routing": (problems(),)}
    ladders: ClassVar = {"difficulty-routing": Ladder("target", (0.55, 0.65, 0.75, 0.82), rising=("tokens",))}
    conflicts: ClassVar = {"difficulty-routing": ({"worth": 0.01, "target": 0.5}, {"most_tokens": 5, "target": 0.5})}


@pytest.mark.parametrize("table", [AIME24, AIME25])
def test_thresholds_worth_having(table: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    """On both benchmarks .4 and .5 are beaten; .9 .8 .7 .6 .3 .2 are worth having."""
    found = plan("difficulty-routing", thresholds(table), questions=30)
    rows = next(t for t in found.tables if t.id == "alternatives").records()
    kept = {float(str(row["threshold"])) for row in rows if row["state"] != "beaten"}
    assert kept == {0.9, 0.8, 0.7, 0.6, 0.3, 0.2}
    # the best accuracy is at the smallest threshold tested, and 30 questions are few
    codes = {w.code for w in found.warnings}
    assert {"end-of-thresholds", "few-problems"} <= codes


def test_aims_on_measured_thresholds() -> None:
    """AIME24: 20k tokens buy .3; 70 % takes .6; a dear token takes .9, a cheap one .2."""
    table = thresholds(AIME24)
    assert plan("difficulty-routing", table, most_tokens="20k")["threshold"].value == 0.3
    assert plan("difficulty-routing", table, target=0.7)["threshold"].value == 0.6
    assert plan("difficulty-routing", table, worth=0.1)["threshold"].value == 0.9
    assert plan("difficulty-routing", table, worth=1e-5)["threshold"].value == 0.2
    assert plan("difficulty-routing", table, slack=0.02)["threshold"].value == 0.3
    with pytest.raises(RefusedError, match="no threshold reaches"):
        plan("difficulty-routing", table, target=0.8)
    with pytest.raises(QueryError, match="most_tokens"):
        plan("difficulty-routing", table, most_tokens="5k")


def test_the_worths_are_those_of_the_choice() -> None:
    """Inside each interval of the hull its threshold is chosen."""
    table = thresholds(AIME24)
    rows = next(t for t in plan("difficulty-routing", table).tables if t.id == "sensitivity").records()
    assert len(rows) >= 4
    for row in rows:
        low, high = float(row["worth from"] or 0), float(row["to"] or 0)
        middle = 2 * low if np.isinf(high) else 0.5 * (low + high)
        assert plan("difficulty-routing", table, worth=middle)["threshold"].value == float(str(row["threshold"]))


def test_thresholds_against_a_loop() -> None:
    """Accuracy and tokens of a threshold, problem by problem."""
    table = problems(40)
    found = plan("difficulty-routing", table, target=0.7)
    tau, right, spent = found["threshold"].value, [], []
    for name in dict.fromkeys(table.labels["problem"].tolist()):
        rows = table.where(table.labels["problem"] == name)
        slow = rows["difficulty"][0] > tau
        pick = int(np.flatnonzero(rows.labels["mode"] == ("slow" if slow else "fast"))[0])
        right.append(rows["correct"][pick])
        spent.append(rows["decode_tokens"][pick])
    assert found["accuracy"].value == pytest.approx(np.mean(right))
    assert found["tokens"].value == pytest.approx(np.mean(spent))


def test_what_the_score_is_worth() -> None:
    """A score that knows the difficulty beats a coin, one that does not does not; perfect routing bounds both."""
    good, none = (plan("difficulty-routing", problems(600, informed), worth=0.02) for informed in (1.0, 0.0))
    assert good["over coin"].lower is not None
    assert good["over coin"].lower > 0
    # error of an accuracy of 600 problems: .02
    assert abs(none["over coin"].value) < 0.06
    for found in (good, none):
        assert found["perfect"].value >= found["accuracy"].value
    assert good["all slow"].value > good["accuracy"].value > good["all fast"].value


def test_route_where_the_gain_per_token_exceeds_the_worth() -> None:
    """Two kinds of problems, gains of .8 and .1 for 1,000 tokens more: the slow way for the first from .8 down."""
    rows: dict[str, list[Any]] = {k: [] for k in ("problem", "difficulty", "mode", "correct", "completion_tokens")}
    for kind, fast, slow in (("easy", 8, 9), ("hard", 1, 9)):
        for i in range(10):
            for mode, right, tokens in (("fast", fast, 500), ("slow", slow, 1500)):
                rows["problem"].append(f"{kind}{i}")
                rows["difficulty"].append(0.9 if kind == "hard" else 0.1)
                rows["mode"].append(mode)
                rows["correct"].append(i < right)
                rows["completion_tokens"].append(tokens)
    table = Runs.from_columns(rows)
    for worth, share in ((0.05, 1.0), (0.2, 0.5), (0.79, 0.5), (0.81, 0.0)):
        assert plan("difficulty-routing", table, worth=worth)["slow share"].value == share


def test_a_slow_way_that_is_no_better() -> None:
    rng = np.random.default_rng(0)
    table = problems(60)
    table = table.with_column("correct", (rng.random(len(table)) < 0.5).astype(float))
    assert any(w.code == "slow-not-better" for w in plan("difficulty-routing", table).warnings)


def test_bad_tables() -> None:
    table = problems(30)
    with pytest.raises(QueryError, match="needs problems"):
        plan("difficulty-routing")
    with pytest.raises(QueryError, match="both were given"):
        plan("difficulty-routing", table, thresholds(AIME24))
    with pytest.raises(DataError, match="not solved both ways"):
        plan("difficulty-routing", table.where(np.arange(60) != 3))
    with pytest.raises(DataError, match="3 modes"):
        plan("difficulty-routing", table.with_column("mode", np.array(["a", "b", "c"] * 20)))
    with pytest.raises(DataError, match="difficulty is nan"):
        plan("difficulty-routing", table.with_column("difficulty", np.full(60, np.nan)))
    with pytest.raises(QueryError, match="fast = 'x'"):
        plan("difficulty-routing", table, fast="x")
    measured = thresholds(AIME24)
    with pytest.raises(DataError, match="twice"):
        plan("difficulty-routing", measured.with_column("threshold", np.full(8, 0.5)))
    with pytest.raises(DataError, match="scores from"):
        plan("difficulty-routing", measured.with_column("score", 100 * measured["score"]))

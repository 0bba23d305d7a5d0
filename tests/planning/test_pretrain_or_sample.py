# SPDX-License-Identifier: Apache-2.0
"""A larger model or more compute at test time: the exchange, what it buys, strategies chosen by difficulty."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, QueryError
from forescale.fitting.published import published
from forescale.laws.coverage import beta_rates
from forescale.planning import _strategies, plan, pretrain_or_sample
from forescale.planning._plan import Plan
from forescale.planning.pretrain_or_sample import break_even, multiplier
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

SMALL, LARGE = "coverage-beta:pythia-1b-math", "coverage-beta:pythia-12b-math"


class TestKit(PlannerCase):
    planners = (pretrain_or_sample.planner,)
    grounds: ClassVar = {"pretrain-or-sample": (SMALL, LARGE)}
    ladders: ClassVar = {
        "pretrain-or-sample": Ladder("ratio", (0.1, 0.5, 1, 5, 50), falling=("multiplier", "pretraining_share"))
    }
    conflicts: ClassVar = {
        "pretrain-or-sample": [
            {"ratio": 1, "tokens": "2T", "served": "1T"},
            {"params": "3B"},
        ]
    }


def asked(*given: Any, **query: Any) -> Plan:
    fits = [published(value) if isinstance(value, str) else value for value in given]
    return plan("pretrain-or-sample", *fits, **query)


def table(seed: int = 0, problems: int = 120, noise: float = 0.25) -> Runs:
    """Two bins: search is better where problems are easy, revisions where they are hard, the larger model there."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {name: [] for name in ("problem", "bin", "strategy", "attempts", "score")}
    truth = {
        ("easy", "search"): 0.55, ("easy", "revise"): 0.40, ("easy", "large"): 0.50,
        ("hard", "search"): 0.05, ("hard", "revise"): 0.20, ("hard", "large"): 0.45,
    }  # fmt: skip
    for i in range(problems):
        kind = "easy" if i % 2 == 0 else "hard"
        for strategy in ("search", "revise", "large"):
            for k in (1,) if strategy == "large" else (1, 4, 16, 64):
                level = truth[kind, strategy] + (0.0 if strategy == "large" else 0.03 * np.log2(k))
                score = float(np.clip(level + noise * rng.standard_normal(), 0, 1))
                for name, value in zip(rows, (f"p{i}", kind, strategy, float(k), score)):
                    rows[name].append(value)
    return Runs.from_columns({name: np.array(values) for name, values in rows.items()}, source="made")


# ------------------------------------------------------------------------------------------------------ the exchange


@pytest.mark.parametrize(("ratio", "times"), [(0.16, 257.75), (0.79, 63.367), (22, 15.773)])
def test_snell(ratio: float, times: float) -> None:
    """M = 14, for the three ratios of the paper (figure 9)."""
    assert asked(larger=14, ratio=ratio)["multiplier"].value == pytest.approx(times, abs=5e-4)


@pytest.mark.parametrize(("M", "R"), [(2.0, 0.1), (14.0, 0.79), (70 / 8, 30.0)])
def test_flop_are_equal(M: float, R: float) -> None:
    """Pre-training and inference of the small model at the multiple are those of the larger."""
    N, D = 3e9, 1e12
    small = 6 * N * D + 2 * N * R * D * multiplier(M, R)
    assert small == pytest.approx(6 * M * N * D + 2 * M * N * R * D, rel=1e-12)
    assert break_even(M, multiplier(M, R)) == pytest.approx(R, rel=1e-12)
    assert break_even(M, 0.9 * M) == np.inf


def test_ratio_from_tokens() -> None:
    given = asked(larger=14, tokens="300B", served="237B")
    assert given["multiplier"].value == pytest.approx(63.367, abs=5e-4)
    assert given["pretraining_share"].value == pytest.approx(100 * 6 / (6 + 2 * 0.79), rel=1e-12)


# ---------------------------------------------------------------------------------------------------- coverage curves


def test_samples_of_pythia() -> None:
    """1B against 12B: 14 times the parameters without embeddings, 72 samples against one."""
    found = asked(SMALL, LARGE, larger=14, ratio=2 / 3)
    assert found["samples"].value == 72.0
    a, b = 0.215555208, 25.489056
    assert found["small"].value == pytest.approx(float(beta_rates(72.0, a, b)), rel=1e-9)
    assert found["large"].value == pytest.approx(0.295507005 / (0.295507005 + 12.3647589), rel=1e-9)
    needed = found["needed"].value
    assert beta_rates(needed, a, b) == pytest.approx(found["large"].value, rel=1e-8)
    assert found.headline.startswith("For the FLOP")
    assert "Sample: 72 samples" in found.headline


def test_far_beyond_the_attempts_is_said() -> None:
    """A fit of 10,000 attempts, asked about 300,000 samples."""
    found = asked(SMALL, larger=101, ratio=1e-3)
    assert any(w.code == "coverage" for w in found.warnings)
    assert any("30" in w.text and "attempts" in w.text for w in found.warnings)


def test_break_even_ratio() -> None:
    """Where the larger model solves what 300 samples do, sampling is better below R = 39 / 286 only."""
    score = float(beta_rates(300.0, 0.215555208, 25.489056))
    below = asked(SMALL, larger=14, ratio=0.99 * 39 / 286, large_score=score)
    above = asked(SMALL, larger=14, ratio=1.01 * 39 / 286, large_score=score)
    assert below["break_even"].value == pytest.approx(39 / 286, rel=1e-6)
    assert "Sample:" in below.headline
    assert "Train the larger model:" in above.headline


def test_pretraining_losses() -> None:
    """Each way of pre-training with the multiple that its FLOP are worth."""
    law = "chinchilla:besiroglu2024"
    found = asked(law, larger=1.5, tokens="300B", served="150B", params="1B").table("pre-training")
    assert found.column("multiplier")[0] == pytest.approx(1.0)
    assert found.column("multiplier")[1] == pytest.approx(multiplier(1.5, 0.5))
    loss = found.column("loss")
    assert loss[2] <= loss[1] < loss[0]  # type: ignore[operator]
    assert loss[3] == pytest.approx(loss[1], rel=1e-9)
    N, D = found.column("N")[3], found.column("D")[3]
    assert N == 1e9
    assert found.column("multiplier")[3] == pytest.approx(1.0 + 6e9 * (D - 3e11) / (2e9 * 1.5e11))  # type: ignore[operator]


# --------------------------------------------------------------------------------------------------------- strategies


def test_strategies_by_difficulty() -> None:
    """Choosing by bin wins where strategies differ by bin; the hard half belongs to the larger model.

    A mean over 600 scores of standard deviation .25 has an error of .01.
    """
    found = asked(table(problems=600), larger=4, ratio=0.75, large_strategy="large")
    assert found["multiplier"].value == pytest.approx(16.0)
    assert found["adaptive"].value == pytest.approx((0.67 + 0.32) / 2, abs=0.03)
    assert found["gain"].value == pytest.approx(0.075, abs=0.03)
    assert found["gain"].lower is not None
    assert found["gain"].lower > 0
    bins = {row["bin"]: row for row in found.table("bins").records()}
    assert bins["easy"]["best strategy"] == "search"
    assert bins["easy"]["better"] == "test time"
    assert bins["hard"]["best strategy"] == "revise"
    assert bins["hard"]["better"] == "larger model"
    assert found["times_fewer"].value > 2.0
    assert found["difference"].value == pytest.approx(found["adaptive"].value - found["large"].value, rel=1e-12)


def test_knowing_the_difficulty_is_charged() -> None:
    """8 samples of 16 spent on it leave the accuracy of 8, beside one strategy at 16."""
    free = asked(table(), larger=4, ratio=0.75, large_strategy="large")
    paid = asked(table(), larger=4, ratio=0.75, large_strategy="large", difficulty_cost=8)
    assert paid["fixed"].value == free["fixed"].value
    assert paid["adaptive"].value < free["adaptive"].value
    assert paid["gain"].value < free["gain"].value
    assert paid["times_fewer"].value < free["times_fewer"].value
    dear = asked(table(), larger=4, ratio=0.75, large_strategy="large", difficulty_cost=15)
    assert dear["gain"].value < 0
    assert "one strategy for all" in dear.headline


def test_cross_validation_is_honest() -> None:
    """Strategies that are all alike: chosen on themselves they seem to gain, chosen on others they do not."""
    rng = np.random.default_rng(1)
    P, S = 60, 12
    problem, strategy = (a.ravel() for a in np.meshgrid(np.arange(P), np.arange(S), indexing="ij"))
    gains, apparent = [], []
    for _ in range(8):
        data = Runs.from_columns(
            {
                "problem": np.array([f"p{i}" for i in problem]),
                "bin": np.array([f"b{i % 3}" for i in problem]),
                "strategy": np.array([f"s{i}" for i in strategy]),
                "attempts": np.full(problem.size, 4.0),
                "score": rng.integers(0, 2, problem.size).astype(float),
            }
        )
        of, _ = _strategies.scores(data)
        found = _strategies.validated(of)
        gains.append(found.adaptive[0, 0] - 0.5)
        apparent.append(found.apparent[0] - 0.5)
    # the mean of 60 coins has a standard deviation of .065; of 8 tables .023
    assert abs(np.mean(gains)) < 0.07
    assert np.mean(apparent) > 0.12


def test_validation_by_hand() -> None:
    """Without noise, choice and score are exact whatever the halves."""
    of, larger = _strategies.scores(table(noise=0.0), "large")
    found = _strategies.validated(of)
    assert larger is not None
    assert found.adaptive[0] == pytest.approx([(0.55 + 0.20) / 2 + 0.03 * x for x in (0, 2, 4, 6)])
    assert found.fixed[0] == pytest.approx([0.30 + 0.03 * x for x in (0, 2, 4, 6)])
    assert found.apparent == pytest.approx(found.adaptive[0])
    np.testing.assert_allclose(found.agree, 1.0, rtol=1e-12)


def test_tables_that_are_none() -> None:
    data = table()
    with pytest.raises(DataError, match="no strategy 'huge'"):
        asked(data, larger=4, ratio=0.75, large_strategy="huge")
    with pytest.raises(DataError, match="every problem"):
        asked(data.where(np.arange(len(data)) > 0), larger=4, ratio=0.75)
    labels = data.labels["bin"].copy()
    labels[0] = "hard"
    columns = {**{n: data[n] for n in ("attempts", "score")}, **{n: data.labels[n] for n in data.labels}}
    torn = Runs.from_columns({**columns, "bin": labels})
    with pytest.raises(DataError, match="two bins"):
        asked(torn, larger=4, ratio=0.75)
    with pytest.raises(QueryError, match="difficulty_cost"):
        asked(data, larger=4, ratio=0.75, difficulty_cost=20, large_strategy="large")
    one = data.where(np.isin(data.labels["problem"], ["p0", "p1", "p2"]))
    with pytest.raises(DataError, match="two or more in every bin"):
        asked(one, larger=4, ratio=0.75, large_strategy="large")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"larger": 14}, "ratio"),
        ({"larger": 14, "tokens": "2T"}, "served"),
        ({"larger": 0.5, "ratio": 1}, "larger"),
        ({"larger": 14, "ratio": 1, "large_score": 0.5}, "large_score"),
        ({"larger": 14, "ratio": 1, "difficulty_cost": 5}, "difficulty_cost"),
        ({"larger": 14, "ratio": -1}, "ratio"),
        ({"larger": 14, "ratio": float("inf")}, "ratio"),
        ({"larger": 14, "ratio": 1, "served": "1T"}, "served"),
        ({"larger": 14, "tokens": "2T", "served": "1T", "params": "3B"}, "params without a law"),
    ],
)
def test_questions_that_make_no_sense(query: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        asked(**query)

# SPDX-License-Identifier: Apache-2.0
"""Picking among samples: rules, plateaus, intervals by problem, tokens, rounds of feedback, and bad tables."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError, QueryError, RefusedError
from forescale.planning import selection
from forescale.planning._run import plan
from forescale.runs.table import Runs
from forescale.testing.planners import PlannerCase


def samples(problems: int = 40, each: int = 16, seed: int = 0, signal: float = 1.0, **drop: bool) -> Runs:
    """Answers of a heterogeneous model, and a score that knows right from wrong by `signal` deviations."""
    rng = np.random.default_rng(seed)
    rate = rng.beta(1.0, 1.2, problems)
    rows: dict[str, list[Any]] = {name: [] for name in ("problem", "correct", "answer", "score", "completion_tokens")}
    for i in range(problems):
        wrong = 1 + rng.choice(4, each, p=rng.dirichlet(np.full(4, 0.6)))
        answers = np.where(rng.random(each) < rate[i], 0, wrong)
        right = answers == 0
        rows["problem"] += [f"p{i}"] * each
        rows["correct"] += right.tolist()
        rows["answer"] += [f"a{a}" for a in answers]
        rows["score"] += (1 / (1 + np.exp(-(signal * right + rng.standard_normal(each))))).tolist()
        rows["completion_tokens"] += np.round(400 * (2 - rate[i]) * np.exp(0.3 * rng.standard_normal(each))).tolist()
    return Runs.from_columns({name: values for name, values in rows.items() if not drop.get(name)})


class TestSelection(PlannerCase):
    planners = (selection.planner,)
    grounds: ClassVar = {"selection": (samples(12, 6),)}


def accuracy(table: Runs, rule: str, k: int) -> float:
    found = plan("selection", table, samples=k)
    sensitivity = next(t for t in found.tables if t.id == "sensitivity")
    return float(next(row for row in sensitivity.records() if row["samples"] == k)[rule])  # type: ignore[arg-type]


def test_nakano() -> None:
    """Gold by ascending proxy (1, 3, 2, 0) / 3: 1/2, 7/18, 1/6, 0 for the best of 1 to 4."""
    table = Runs.from_columns(
        {"problem": ["p"] * 4, "correct": [1 / 3, 1.0, 2 / 3, 0.0], "score": [0.1, 0.2, 0.3, 0.4]}
    )
    found = plan("selection", table)
    sensitivity = next(t for t in found.tables if t.id == "sensitivity")
    np.testing.assert_allclose(
        np.array(sensitivity.column("best of k by score"), dtype=float), [1 / 2, 7 / 18, 1 / 6, 0.0], atol=1e-12
    )
    assert found["samples"].value == 1


def test_bounds_bound() -> None:
    """No rule is above the perfect judge or below the perverse one; one sample is one sample under every rule."""
    found = plan("selection", samples(30, 10))
    for row in next(t for t in found.tables if t.id == "sensitivity").records():
        for rule in ("majority vote", "best of k by score"):
            assert row["a perverse judge"] - 1e-9 <= row[rule] <= row["a perfect judge"] + 1e-9  # type: ignore[operator]
    first = next(t for t in found.tables if t.id == "sensitivity").records()[0]
    assert first["majority vote"] == pytest.approx(first["best of k by score"], abs=1e-12)


def test_a_perfect_score_is_a_perfect_judge() -> None:
    table = samples(20, 8)
    table = table.with_column("score", table["correct"])
    for k in (1, 3, 8):
        assert accuracy(table, "best of k by score", k) == pytest.approx(accuracy(table, "a perfect judge", k))


def test_a_score_of_noise_gains_nothing() -> None:
    """A score that knows nothing: the best of k is one sample, and votes decide."""
    found = plan("selection", samples(150, 12, signal=0.0))
    assert "best score" not in found.headline
    rows = next(t for t in found.tables if t.id == "sensitivity").records()
    # standard error of the difference: .5 / sqrt(150)
    assert rows[-1]["best of k by score"] == pytest.approx(rows[0]["best of k by score"], abs=4 * 0.041)


def test_a_good_score_wins() -> None:
    found = plan("selection", samples(60, 16, signal=3.0))
    assert "best score" in found.headline
    lead = found["lead"]
    assert lead.lower is not None
    assert lead.lower > 0


@pytest.mark.slow
def test_the_interval_covers() -> None:
    """The accuracy of a vote of 3 over 60 problems: 90 % intervals hold the truth, within the error of 40 repeats."""
    rate = np.random.default_rng(1).beta(1.0, 1.0, 200_000)
    truth = float((rate**3 + 3 * rate**2 * (1 - rate)).mean())
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        right = rng.random((60, 3)) < rng.beta(1.0, 1.0, 60)[:, None]
        table = Runs.from_columns(
            {"problem": np.repeat(np.arange(60).astype(str), 3), "correct": right.ravel(),
             "answer": np.where(right.ravel(), "right", "wrong")}
        )  # fmt: skip
        found = plan("selection", table, samples=3)["asked"]
        assert found.lower is not None
        assert found.upper is not None
        held += found.lower <= truth <= found.upper
    # binomial: 36 expected, four standard deviations of 1.9
    assert 28 <= held <= 40


def test_beyond_the_samples() -> None:
    """The limit of the vote is the share of problems whose modal answer is right; many new samples come near it."""
    table = Runs.from_columns(
        {"problem": ["a"] * 5 + ["b"] * 5, "correct": [1, 1, 1, 1, 0, 1, 0, 0, 0, 0],
         "answer": list("xxxxy") + list("xzzzz")}
    )  # fmt: skip
    found = plan("selection", table, samples=500)
    assert found["limit"].value == 0.5
    assert found["asked"].value == pytest.approx(0.5, abs=1e-6)
    assert any(w.code == "beyond-samples" for w in found.warnings)
    with pytest.raises(QueryError, match="beyond the 5"):
        plan("selection", Runs.from_columns(
            {"problem": ["a"] * 5, "correct": [1, 0, 0, 1, 0], "score": [1, 2, 3, 4, 5]}), samples=6)  # fmt: skip


def test_warnings() -> None:
    """Falling curves, curves that still rise, few problems, uneven samples, negative scores, mixed grades."""
    rng = np.random.default_rng(2)
    n, problems = 32, 80
    right = rng.random((problems, n)) < 0.5
    # a score that is right about ordinary samples, and fooled by a rare wrong one
    score = right + 0.3 * rng.standard_normal((problems, n)) + 10.0 * (~right & (rng.random((problems, n)) < 0.1))
    table = Runs.from_columns(
        {"problem": np.repeat(np.arange(problems).astype(str), n), "correct": right.ravel(), "score": score.ravel()}
    )
    assert any(w.code == "falls" for w in plan("selection", table).warnings)
    codes = {w.code for w in plan("selection", samples(10, 6)).warnings}
    assert "few-problems" in codes
    rising = samples(80, 16, signal=0.5)
    assert any(w.code == "still-rising" for w in plan("selection", rising).warnings)
    uneven = samples(10, 6).where(np.arange(60) >= 4)
    assert any(w.code == "uneven-samples" for w in plan("selection", uneven).warnings)
    negative = rising.with_column("score", rising["score"] - 0.5)
    assert any(w.code == "negative-scores" for w in plan("selection", negative).warnings)
    mixed = rising.with_column("answer", np.full(len(rising), "same"))
    assert any(w.code == "mixed-grades" for w in plan("selection", mixed).warnings)


def test_tokens_and_dollars() -> None:
    table = samples(30, 8)
    found = plan("selection", table, price=2.0)
    k, mean = found["samples"].value, float(table["decode_tokens"].mean())
    assert found["tokens"].value == pytest.approx(k * mean)
    assert found["dollars"].value == pytest.approx(2e-6 * k * mean)
    tokens = next(t for t in found.tables if t.id == "tokens")
    assert tokens.column("problems")[0] == "all"
    assert 0 < float(tokens.column("icc")[0] or 0) < 1
    with pytest.raises(QueryError, match="price"):
        plan("selection", samples(10, 6, completion_tokens=True), price=1.0)


def test_rounds_of_feedback() -> None:
    """By round m: 1 - prod (1 - q_j); beside it as many fresh samples as cost the same tokens."""
    fresh = {"problem": ["a"] * 4 + ["b"] * 4, "correct": [1, 0, 0, 0, 1, 1, 0, 0], "round": [0] * 8,
             "completion_tokens": [100] * 8, "answer": list("xyyyxxyy"), "run": ["f"] * 8}  # fmt: skip
    chains = {"problem": ["a", "a", "b", "b", "b"], "correct": [0, 1, 0, 0, 1], "round": [1, 2, 1, 2, 3],
              "completion_tokens": [100, 200, 100, 200, 200], "answer": list("yxyyx"), "run": ["s"] * 5}  # fmt: skip
    table = Runs.from_columns({name: fresh[name] + chains[name] for name in fresh})
    found = plan("selection", table)
    rows = next(t for t in found.tables if t.id == "sequential").records()
    assert [row["solved by then"] for row in rows] == pytest.approx([0.0, 0.5, 1.0])
    # 100 tokens, then 200 by both, then 200 by the half that is left
    assert [row["tokens"] for row in rows] == pytest.approx([100, 300, 400])
    assert [row["fresh samples"] for row in rows] == pytest.approx([1, 3, 4])
    assert [row["solved by them"] for row in rows] == pytest.approx([0.375, (0.75 + 1.0) / 2, 1.0])


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"correct": [2.0] * 60}, DataError, "outside 0 to 1"),
        ({"correct": [math.nan] * 60}, DataError, "outside 0 to 1"),
        ({"score": [math.nan] * 60}, DataError, "score is no number"),
    ],
)
def test_bad_tables(change: dict[str, Any], error: type[Exception], named: str) -> None:
    table = samples(10, 6)
    for name, values in change.items():
        table = table.with_column(name, np.array(values))
    with pytest.raises(error, match=named):
        plan("selection", table)


def test_nothing_to_select_by() -> None:
    with pytest.raises(DataError, match="neither answers nor scores"):
        plan("selection", samples(10, 6, answer=True, score=True))
    with pytest.raises((DataError, ColumnError)):
        plan("selection", samples(10, 6).without("problem"))
    with pytest.raises(QueryError, match="most = 9"):
        plan("selection", samples(10, 6), most=9)
    with pytest.raises(RefusedError, match="1 of 10 problems"):
        plan("selection", samples(10, 6).where(np.arange(60) >= 5))
    with pytest.raises(QueryError, match="slack"):
        plan("selection", samples(10, 6), slack=1.5)


def test_one_rule_alone() -> None:
    """Answers alone, or scores alone, are enough; the cap binds where it is reached."""
    vote = plan("selection", samples(20, 8, score=True))
    assert "lead" not in vote.decision
    held = plan("selection", samples(40, 8, answer=True), most=2, slack=0)
    assert held["samples"].value == 2
    assert held.binding == "most = 2"

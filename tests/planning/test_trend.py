# SPDX-License-Identifier: Apache-2.0
"""Trends that turn: the published figures of MMLU, known shapes, few sizes, refusals, slices of difficulty."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError, QuantityError, QueryError, RefusedError
from forescale.planning import trend
from forescale.planning._parts import grounds
from forescale.planning._plan import Plan
from forescale.planning._run import read
from forescale.planning._trend import polynomials, sandwich
from forescale.runs.table import Runs
from forescale.testing.planners import PlannerCase

MIRROR = os.environ.get("FORESCALE_MIRROR")
mirrored = pytest.mark.skipif(not MIRROR, reason="FORESCALE_MIRROR is not set")
ZETTA = 21.0


def ask(*given: Any, **query: Any) -> Plan:
    planner = trend.planner
    return planner.answer(grounds(planner, given, draws=200), read(planner, query))


def curve(shape: str, n: int = 30, noise: float = 0.01, seed: int = 0, **labels: Any) -> Runs:
    """A score against compute over three decades, 1e20 to 1e23."""
    u = np.linspace(-1.5, 1.5, n)
    truth = {
        "U": 0.3 + 0.1 * u**2, "n": 0.6 - 0.1 * u**2, "line": 0.4 + 0.1 * u, "inverse": 0.5 - 0.1 * u,
        "flat": np.full(n, 0.5), "bent": 0.4 + 0.1 * u + 0.03 * u**2,
    }[shape]  # fmt: skip
    y = truth + noise * np.random.default_rng(seed).standard_normal(n)
    return Runs.from_columns({"C": 10 ** (21.5 + u), "score": y, **labels})


class TestTrend(PlannerCase):
    planners = (trend.planner,)
    grounds: ClassVar = {"trend": (curve("U"),)}


# ---------------------------------------------------------------------------------------------- published numbers


@mirrored
def test_mmlu_turns() -> None:
    """specs/inference 15 and 17.17: vertex .87 +- .02, curvature +.0917, means of thirds -.427, -.509, -.370."""
    from forescale.runs.datasets import dataset

    plan = ask(dataset("u-shaped"), y="score_1")
    assert math.log10(plan["turn"].value) - ZETTA == pytest.approx(0.87, abs=0.02)
    assert plan["curvature"].value == pytest.approx(0.0917, abs=5e-5)
    np.testing.assert_allclose(plan.table("means").column("score_1"), [-0.427, -0.509, -0.370], atol=5e-4)
    assert plan["slope_before"].value < 0 < plan["slope_after"].value
    low, high = plan["turn"].lower, plan["turn"].upper
    assert low is not None
    assert high is not None
    assert low < plan["turn"].value < high
    assert "turns" in {w.code for w in plan.warnings}
    with pytest.raises(RefusedError, match="monotone"):
        ask(dataset("u-shaped"), y="score_1", at="1e25 FLOP")


@mirrored
def test_mmlu_hardest_group_only_rises() -> None:
    """specs/inference 15: the last group rises (r = .82), with a vertex far outside (-3.74): no turn is claimed."""
    from forescale.runs.datasets import dataset

    plan = ask(dataset("u-shaped"), y="score_10", at="1e24 FLOP")
    assert "turn" not in plan.decision
    assert plan["forecast"].value > -0.5247
    assert plan["slope"].lower is not None
    assert plan["slope"].lower > 0


@mirrored
def test_pilot_families_claim_nothing() -> None:
    """specs/inference 15: pilot tasks with the four sizes of one family are never beyond chance.

    Conjunction fallacy, one example, GPT-3 ada to davinci: .471, .500, .687, .347, an inverted U to the eye.
    """
    path = Path(MIRROR or "") / "inference_counts" / "inverse_scaling_pilot_means.csv"
    if not path.exists():
        pytest.skip("the mirror holds no pilot means")
    sizes = {
        "gpt3": {"ada": 3.5e8, "babbage": 1.3e9, "curie": 6.7e9, "davinci": 1.75e11},
        "gpt2": {"gpt2": 1.24e8, "gpt2-medium": 3.55e8, "gpt2-large": 7.74e8, "gpt2-xl": 1.558e9},
    }
    tasks: dict[tuple[str, str], dict[float, float]] = {}
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        for family, known in sizes.items():
            if row["model"] in known and row["correct"]:
                tasks.setdefault((row["dir"], family), {})[known[row["model"]]] = float(row["correct"])
    whole = {name: found for name, found in tasks.items() if len(found) == 4}
    assert len(whole) >= 5
    for name, found in whole.items():
        table = Runs.from_columns({"N": np.array(list(found)), "score": np.array(list(found.values()))})
        plan = ask(table, x="N")
        assert "few-sizes" in {w.code for w in plan.warnings}, name
        assert all(d.lower is None for d in plan.decision.values()), name
        assert "turn" not in plan.decision
        assert "no trend" in plan.headline
        with pytest.raises(RefusedError, match="4 different N"):
            ask(table, x="N", at="1e12")
    printed = next(found for name, found in whole.items() if "conjunction" in name[0] and "1shot-gpt3" in name[0])
    np.testing.assert_allclose([printed[k] for k in sorted(printed)], [0.471, 0.500, 0.687, 0.347], atol=5e-4)


# ------------------------------------------------------------------------------------------------------ known shapes


def test_a_turn_comes_back() -> None:
    for shape, curvature in (("U", 0.1), ("n", -0.1)):
        plan = ask(curve(shape))
        assert math.log10(plan["turn"].value) == pytest.approx(21.5, abs=0.05)
        assert plan["curvature"].value == pytest.approx(curvature, abs=0.01)
        for name in ("turn", "curvature", "slope_before", "slope_after"):
            low, high = plan[name].lower, plan[name].upper
            assert low is not None
            assert high is not None
            assert low < plan[name].value < high
        assert ("falls and then rises" if shape == "U" else "rises and then falls") in plan.headline


def test_a_turn_s_interval_covers() -> None:
    """A nominal 90 % interval of the turn. Resamples of thirty rows are a little narrow: over 200 other worlds they
    held it in .865, so that 46 or more of 60 do in 99 of 100 cases (binomial)."""
    inside = 0
    for seed in range(60):
        turn = ask(curve("U", noise=0.03, seed=seed), resamples=300).decision.get("turn")
        if turn is None or turn.lower is None or turn.upper is None:
            continue
        inside += turn.lower <= 10**21.5 <= turn.upper
    assert inside >= 46


@pytest.mark.parametrize("shape", ["line", "inverse", "flat"])
def test_straight_trends_claim_no_turn(shape: str) -> None:
    """A curvature apart from zero in .135 of straight trends (200 other worlds, nominal .10), a turn that both sides
    show in none, or in .02 where nothing changes at all: 11 of 40, none and 3 are passed in 1 of 100 cases."""
    turned = bent = 0
    for seed in range(40):
        plan = ask(curve(shape, noise=0.03, seed=seed), resamples=200)
        turned += "turn" in plan.decision
        bent += "bends" in {w.code for w in plan.warnings}
    assert turned <= (3 if shape == "flat" else 0)
    assert bent + turned <= 11


def test_inverse_scaling_is_said() -> None:
    codes = {w.code for w in ask(curve("inverse")).warnings}
    assert "inverse" in codes
    assert "inverse" not in {w.code for w in ask(curve("line")).warnings}
    assert "inverse" in {w.code for w in ask(curve("line"), better="lower").warnings}


def test_forecasts() -> None:
    """A line is carried on; a bend refuses it, and so does a turn."""
    plan = ask(curve("line", noise=0.01), at="1e24 FLOP")
    assert plan["forecast"].value == pytest.approx(0.4 + 0.1 * 2.5, abs=0.03)
    low, high = plan["forecast"].lower, plan["forecast"].upper
    assert low is not None
    assert high is not None
    assert low < plan["forecast"].value < high
    for shape in ("bent", "U"):
        with pytest.raises(RefusedError, match="curvature"):
            ask(curve(shape), at="1e24 FLOP")


def test_a_share_stays_one() -> None:
    with pytest.raises(RefusedError, match="no share"):
        ask(curve("line"), at="1e29 FLOP")
    signed = curve("line")
    assert ask(signed.with_column("score", 2.0 * signed["score"]), at="1e29 FLOP")["forecast"].value > 1


def test_items_are_resampled_and_speak_for_these_models() -> None:
    """Item-level rows at four sizes: intervals over items would be narrow, and no trend is claimed all the same."""
    rng = np.random.default_rng(0)
    rate = np.array([0.47, 0.5, 0.69, 0.35])
    hits = (rng.random((200, 4)) < rate).astype(float)
    table = Runs.from_columns(
        {
            "N": np.tile([3.5e8, 1.3e9, 6.7e9, 1.75e11], 200), "score": hits.ravel(),
            "item": [f"q{i}" for i in range(200) for _ in range(4)],
        }
    )  # fmt: skip
    plan = ask(table, x="N")
    assert {"few-sizes", "items"} <= {w.code for w in plan.warnings}
    assert "turn" not in plan.decision
    np.testing.assert_allclose(plan.table("means").column("score"), hits.mean(axis=0))


# ------------------------------------------------------------------------------------------------------------ slices


def test_slices_of_known_polynomials() -> None:
    """Easy and hard questions that are polynomials of their degrees, accuracy a line in their mean: exact."""
    u = np.linspace(-1.0, 1.0, 20)
    there = np.array([1.3])

    def easy(v: Any) -> Any:
        return -0.4 + 0.1 * v - 0.2 * v**2 + 0.05 * v**4 + 0.03 * v**5

    def hard(v: Any) -> Any:
        return -0.6 + 0.05 * v + 0.1 * v**2

    accuracy = 0.9 + 0.8 * 0.5 * (easy(u) + hard(u))
    found = sandwich(u + 21.5, easy(u), hard(u), accuracy, np.ones((1, 20)), there + 21.5)
    assert found[0, 0] == pytest.approx(float(0.9 + 0.4 * (easy(1.3) + hard(1.3))), rel=1e-9)


def test_weighted_polynomials_are_numpy_s() -> None:
    rng = np.random.default_rng(3)
    u, y, w = rng.uniform(-2, 2, 15), rng.standard_normal(15), rng.uniform(0.2, 3, (4, 15))
    for row, found in zip(w, polynomials(u, y, w, 3)):
        np.testing.assert_allclose(found, np.polyfit(u, y, 3, w=np.sqrt(row))[::-1], rtol=1e-8)
    assert np.isnan(polynomials(u, y, np.eye(15)[:1], 1)).all()


@mirrored
def test_mmlu_by_slices() -> None:
    """Next to MMLU's threshold the slices give a share; far out they are refused, and a line errs less."""
    from forescale.runs.datasets import dataset

    runs = dataset("u-shaped")
    how = {
        "easy": ", ".join(f"score_{i}" for i in range(1, 6)), "hard": ", ".join(f"score_{i}" for i in range(6, 11)),
        "accuracy": "accuracy", "below": "3.16e22 FLOP",
    }  # fmt: skip
    plan = ask(runs, at="4e22 FLOP", **how)
    assert 0 <= plan["forecast"].value <= 1
    rows = {(row[0], row[1]): row[3] for row in plan.table("backtest").rows}
    assert rows["slices of difficulty", "all beyond"] > rows["a line in log size", "all beyond"]
    with pytest.raises(RefusedError, match="no share"):
        ask(runs, at="1e24 FLOP", **how)


# ------------------------------------------------------------------------------------------------------------ trouble


def test_what_it_needs() -> None:
    runs = curve("U")
    with pytest.raises(ColumnError, match="tokens"):
        ask(runs, x="tokens")
    with pytest.raises(ColumnError, match="accuracy_2"):
        ask(runs, y="accuracy_2")
    with pytest.raises(ColumnError, match="family"):
        ask(runs, by="family")
    with pytest.raises(QueryError, match="easy without hard"):
        ask(runs, easy="score", at="1e24", below="1e22")
    with pytest.raises(QueryError, match="accuracy without easy"):
        ask(runs, accuracy="score")
    with pytest.raises(QueryError, match="both 'C'"):
        ask(runs, y="C")
    with pytest.raises(QueryError, match="at or below"):
        ask(runs, easy="score", hard="score")
    with pytest.raises(DataError, match="positive"):
        ask(Runs.from_columns({"steps": np.arange(8.0), "score": np.ones(8)}))
    with pytest.raises(DataError, match="not finite"):
        ask(Runs.from_columns({"N": np.arange(1.0, 9.0), "score": np.full(8, np.nan)}))
    with pytest.raises(DataError, match="three or more"):
        ask(runs, below="1.2e20 FLOP")
    with pytest.raises(QueryError, match="varies"):
        ask(Runs.from_columns({"score": np.ones(8)}))
    with pytest.raises(QuantityError, match="above zero"):
        ask(runs, at=0)

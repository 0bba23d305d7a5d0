# SPDX-License-Identifier: Apache-2.0
"""The value of pre-training to a translator: the law's figures, the inverse, the test of alignment, trouble."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, QueryError, RefusedError
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.planning import translation
from forescale.planning._parts import grounds
from forescale.planning._plan import Plan
from forescale.planning._run import read
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

LAW = find("bleu-pretraining")
TRUTH = {"A": 1e-3, "alpha": 0.5, "beta": 1.5}


def ask(*given: Any, **query: Any) -> Plan:
    planner = translation.planner
    return planner.answer(grounds(planner, given, draws=400), read(planner, query))


def checkpoints(noise: float = 0.0, n: int = 7, seed: int = 0, **columns: Any) -> Runs:
    D = np.geomspace(1e9, 1e11, n)
    y = LAW(TRUTH, D=D) + noise * np.random.default_rng(seed).standard_normal(n)
    return Runs.from_columns({"D": D, "bleu": y, **columns})


@cache
def known() -> Fit:
    """The law with the constants of the check, as if it were published: no runs behind it."""
    found = fit(checkpoints(0.01), LAW)
    return replace(found, params=TRUTH, runs=None, source="bleu-pretraining:check", verdict=None)


class TestTranslation(PlannerCase):
    planners = (translation.planner,)
    grounds: ClassVar = {"translation": (known(),)}
    ladders: ClassVar = {"translation": Ladder("tokens", ("5B", "50B", "500B"), rising=("bleu",), falling=())}
    conflicts: ClassVar = {"translation": ({"source_share": 0.7, "target_share": 0.6},)}


@pytest.mark.parametrize(("D", "bleu"), [(1e8, 3.494004), (1e9, 6.418897), (1e10, 9.882539), (1e11, 13.811268)])
def test_figures_of_the_law(D: float, bleu: float) -> None:
    """specs/inference 14 and 17.19: A = 1e-3, alpha = .5, beta = 1.5; and back, from the BLEU to the tokens.

    The first is (log 10)^1.5 = 3.4940051, which the source gives as 3.494004: one unit of its last digit off.
    """
    assert ask(known(), tokens=D)["bleu"].value == pytest.approx(bleu, abs=1.2e-6)
    there = ask(known(), tokens="10B", target=bleu)
    assert there["D"].value == pytest.approx(D, rel=1e-5)
    assert there["times"].value == pytest.approx(D / 1e10, rel=1e-5)


@pytest.mark.parametrize(
    ("source", "target", "score"),
    [(0.5, 0.5, 1.0), (1.0, 0.0, 0.7), (0.0, 1.0, 0.8), (0.3, 0.7, 0.98), (0.7, 0.3, 0.94)],
)
def test_alignment_scores(source: float, target: float, score: float) -> None:
    """specs/inference 14: 50/50 is 1, all source .7, all target .8, 30/70 .98, 70/30 .94."""
    plan = ask(known(), tokens="10B", source_share=source, target_share=target)
    assert plan["alignment"].value == pytest.approx(score, rel=1e-12)
    assert any(row[3] == "yours" for row in plan.table("alternatives").rows)


def test_inverse_is_the_forward() -> None:
    plan = ask(checkpoints(0.05), target=13.0, noise=0.05)
    assert ask(checkpoints(0.05), tokens=plan["D"].value, noise=0.05)["bleu"].value == pytest.approx(13.0, rel=1e-9)


def test_the_four_smallest_foretell_the_rest() -> None:
    """From noiseless checkpoints the law of the four smallest is exact beyond them; keeping the level is not."""
    rows = ask(checkpoints(), noise=0.05).table("backtest").rows
    law = [row for row in rows if "law" in str(row[0])]
    assert len(law) == 3
    for row in law:
        assert abs(float(row[4] or 0.0)) < 1e-3
    assert max(abs(float(row[4] or 0.0)) for row in rows) > 2.0


def test_intervals_follow_the_curve() -> None:
    """Parameters trade off, the curve does not: the interval in range is of the order of the noise."""
    plan = ask(checkpoints(0.05), tokens="50B", noise=0.05)
    low, high = plan["bleu"].lower, plan["bleu"].upper
    assert low is not None
    assert high is not None
    assert low < float(LAW(TRUTH, D=5e10)) < high
    assert high - low < 6 * 0.05
    assert plan.evidence.draws_from == "simulated tables"


def test_aligned_is_valued() -> None:
    plan = ask(checkpoints(0.05), noise=0.05)
    assert {w.code: w.level for w in plan.warnings}["alignment"] == "green"
    assert plan["gain_ten"].value > plan["gain_twice"].value > 0
    assert plan["gain_twice"].value == pytest.approx(float(LAW(TRUTH, D=2e11) - LAW(TRUTH, D=1e11)), abs=0.15)


def test_misaligned_is_not_valued() -> None:
    """BLEU that falls while cross-entropy improves (Isik et al. 2024): neither curve nor loss may be asked."""
    D = np.geomspace(1e9, 1e11, 7)
    runs = Runs.from_columns(
        {"D": D, "bleu": [20.0, 22.0, 23.5, 24.0, 22.0, 20.5, 19.0], "loss": 2.0 + 30.0 / D**0.15}
    )
    plan = ask(runs, noise=0.2)
    found = {w.code: w for w in plan.warnings}
    assert found["alignment"].level == "red"
    assert "loss-misleads" in found
    assert "misaligned" in plan.headline
    assert "gain_twice" not in plan.decision
    with pytest.raises(RefusedError, match="misaligned"):
        ask(runs, noise=0.2, target=30.0)


def test_flat_is_of_no_use() -> None:
    """A large fine-tuning set: pre-training adds nothing within noise."""
    D = np.geomspace(1e9, 1e11, 7)
    runs = Runs.from_columns({"D": D, "bleu": [30.1, 30.0, 30.2, 30.1, 30.15, 30.05, 30.2]})
    plan = ask(runs, noise=0.2)
    assert "no use" in plan.headline
    assert plan["bleu_most"].value == 30.2
    with pytest.raises(RefusedError, match="no use"):
        ask(runs, noise=0.2, target=31.0)


def test_noise_is_taken_from_repeats() -> None:
    base = checkpoints()
    D = np.repeat(base["D"], 2)
    y = np.repeat(base["bleu"], 2) + np.tile([0.1, -0.1], 7)
    plan = ask(Runs.from_columns({"D": D, "bleu": y}))
    # each pair spreads by .1 sqrt(2): the pooled standard deviation is .1414
    assert any("0.1414" in text and "repeats" in text for text in plan.assumptions)
    assert "noise-unknown" in {w.code for w in ask(checkpoints(0.05)).warnings}


def test_what_it_needs() -> None:
    with pytest.raises(QueryError, match="target_share"):
        ask(known(), tokens="1B", source_share=0.5)
    with pytest.raises(QueryError, match="tokens"):
        ask(replace(known(), fitted_range={}))
    with pytest.raises(QueryError, match="target"):
        ask(known(), tokens="1B", target=-3.0)
    with pytest.raises(QueryError, match="target"):
        ask(known(), tokens="1B", target=101.0)
    with pytest.raises(RefusedError, match="more than there will be"):
        ask(known(), tokens="1B", target=80.0)
    # A D^alpha = 1 at D = 1e6: the logarithm begins there
    with pytest.raises(RefusedError, match="begins at 1M"):
        ask(known(), tokens="900k")
    with pytest.raises(DataError):
        ask(Runs.from_columns({"D": [1e9, 1e10, 1e11], "bleu": [np.nan, 2.0, 3.0]}))

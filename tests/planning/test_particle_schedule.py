# SPDX-License-Identifier: Apache-2.0
"""Search in stages: cost of a schedule, reward against best of n, correlations from a table, bad schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forescale.core.errors import DataError, QueryError
from forescale.laws.overoptimisation import expected_maximum
from forescale.planning import particle_schedule
from forescale.planning._run import plan
from forescale.runs.table import Runs
from forescale.testing.planners import PlannerCase

SIDES = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64)
TOKENS = [float(side**2) for side in SIDES]
ERROR = 1 / np.sqrt(particle_schedule.DRAWS)
"""Of the mean of rewards with one standard deviation; the best of 8 varies by .6 of one."""
BATCH = (8, 8, 6, 6, 6, 4, 2, 2, 2, 1, 1, 1, 1)


class TestParticleSchedule(PlannerCase):
    planners = (particle_schedule.planner,)


def test_the_schedule_of_the_paper() -> None:
    """Thirteen scales of 10,521 tokens: 12,800 token units, 1.2166 samples, 15.2 % of the best of 8."""
    found = plan("particle-schedule", stage_tokens=TOKENS, particles=BATCH)
    assert sum(TOKENS) == 10521
    assert found["cost"].value == 12800
    assert found["over one"].value == pytest.approx(1.2166, abs=5e-5)
    assert found["over best of n"].value == pytest.approx(15.2, abs=0.05)
    twice = plan("particle-schedule", stage_tokens=TOKENS, particles=BATCH, samples=2)
    assert twice["cost"].value == 2 * 12800


def test_perfect_scores_are_best_of_n() -> None:
    """A score that knows the end from the first stage finds the best of all that began."""
    found = plan("particle-schedule", stage_tokens="1,10", particles="8,1", rho="1,1")
    assert found["reward"].value == pytest.approx(expected_maximum(8), abs=4 * 0.6 * ERROR)
    assert found["all finished"].value == pytest.approx(expected_maximum(8), abs=4 * 0.6 * ERROR)
    assert found["reward"].value > found["best of n"].value


def test_a_noisy_score_gains_its_correlation() -> None:
    """Kept by a score of correlation rho: rho times the expected maximum, in one step."""
    found = plan("particle-schedule", stage_tokens="1,10", particles="16,1", rho="0.6,1")
    assert found["reward"].value == pytest.approx(0.6 * expected_maximum(16), abs=4 * ERROR)


def test_blind_stages() -> None:
    """Dropping by a score that knows nothing loses to finished samples for the same, and is said."""
    found = plan("particle-schedule", stage_tokens="10,10", particles="4,1", rho="0,1")
    assert {w.code for w in found.warnings} == {"schedule-loses", "blind-stages"}
    assert found["reward"].value == pytest.approx(0.0, abs=4 * ERROR)


def test_correlations_from_a_table() -> None:
    """Stage scores of known correlation, with problems of different level: the correlation is within problems."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[Any]] = {"problem": [], "stage": [], "stage_score": [], "final_score": []}
    for problem in range(50):
        level, final = 5 * rng.standard_normal(), rng.standard_normal(20)
        for stage, r in ((1, 0.3), (2, 0.9)):
            rows["problem"] += [f"p{problem}"] * 20
            rows["stage"] += [stage] * 20
            rows["stage_score"] += (level + r * final + np.sqrt(1 - r * r) * rng.standard_normal(20)).tolist()
            rows["final_score"] += (level + final).tolist()
    table = Runs.from_columns(rows)
    found = plan("particle-schedule", table, stage_tokens="1,10", particles="8,1")
    rho = next(t for t in found.tables if t.id == "stages").column("rho")
    # errors of 1 / sqrt(950) times (1 - rho^2)
    assert rho == pytest.approx((0.3, 0.9), abs=0.12)
    with pytest.raises(QueryError, match="rho"):
        plan("particle-schedule", table, stage_tokens="1,10", particles="8,1", rho="1,1")
    with pytest.raises(DataError, match="stage 3"):
        plan("particle-schedule", table, stage_tokens="1,10,20", particles="8,4,1")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"particles": "4"}, "particles"), ({"particles": "1,2"}, "rise"), ({"particles": "0,0"}, "whole numbers"),
        ({"particles": "2.5,1"}, "whole numbers"), ({"stage_tokens": "0,1"}, "stage_tokens"), ({"rho": "1"}, "rho"),
        ({"rho": "1.5,1"}, "rho above 1"), ({"samples": 0}, "samples"), ({"particles": "9999,1"}, "whole numbers"),
    ],
)  # fmt: skip
def test_bad_schedules(query: dict[str, Any], named: str) -> None:
    with pytest.raises(QueryError, match=named):
        plan("particle-schedule", **{"stage_tokens": "1,10", "particles": "4,1", **query})

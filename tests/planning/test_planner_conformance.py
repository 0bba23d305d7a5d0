# SPDX-License-Identifier: Apache-2.0
"""The built-in planners pass the kit that planners of other packages are given.

Those that stand on one law do so here; those of several parts beside their own tests, which a test here sees to.
"""

from __future__ import annotations

import re
from inspect import unwrap
from pathlib import Path
from typing import ClassVar

from forescale.planning import planners
from forescale.testing.planners import Ladder, PlannerCase


class TestBuiltIn(PlannerCase):
    planners = tuple(planner for planner in planners().values() if not planner.parts)
    ladders: ClassVar = {
        "compute-optimal": Ladder("budget", (1e19, 1e20, 1e21, 1e22, 1e24, 1e26), rising=("N", "D", "C")),
        "next-runs": Ladder("at", (1e21, 1e23, 1e25), rising=("N",), falling=("loss",)),
        "reach": Ladder("target", (2.6, 2.4, 2.2, 2.0, 1.9), rising=("N", "D", "C")),
    }
    scaled: ClassVar = {"budget": "FLOP", "at": "FLOP", "max_params": "parameters", "max_tokens": "tokens"}
    conflicts: ClassVar = {
        "next-runs": [
            {"min_params": "10B", "max_params": "1B"},
            {"min_tokens": "1T", "max_tokens": "1B"},
            {"least_ratio": 100, "most_ratio": 10},
            {"min_params": "100B", "min_tokens": "10T", "max_run": "1e20 FLOP"},
            {"checks": 12, "runs": 12},
            {"device": "A100", "rate": "$2.10/H100-hour"},
        ],
        "compute-optimal": [
            {"max_params": "1B", "max_tokens": "100B"},
            {"budget": "6e21 FLOP", "target": 2.0},
            {"least_ratio": 100, "most_ratio": 10},
            {"device": "A100", "rate": "$2.10/H100-hour"},
        ],
        "reach": [{"params": "7B", "ratio": 20}, {"params": "7B", "tokens": "1T"}, {"target": 2.0, "budget": "1e21"}],
    }


def test_every_planner_of_several_parts_has_a_case_of_its_own() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    covered = {name for text in texts if "PlannerCase)" in text for name in re.findall(r"(\w+)\.planner\b", text)}
    modules = {unwrap(p.answer).__module__.rpartition(".")[2] for p in planners().values() if p.parts}
    assert not modules - covered

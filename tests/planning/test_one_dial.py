# SPDX-License-Identifier: Apache-2.0
"""The rules of one dial, worked by hand, and what a law says of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import pytest

import forescale as fs
from forescale.core.errors import QueryError, RefusedError
from forescale.fitting.published import published
from forescale.planning import one_dial
from forescale.testing.planners import Ladder, PlannerCase


class TestOneDial(PlannerCase):
    planners = (one_dial.planner,)
    ladders: ClassVar = {"one-dial": Ladder("depth", (8, 12, 20, 32), rising=("N", "D", "C", "width"))}


def test_at_the_tuned_depth_nothing_is_scaled() -> None:
    plan = fs.plan("one-dial", depth=12)
    # 12 blocks of 12 width^2, and a head of 32,768 x 768.
    assert plan["width"].value == 768
    assert plan["heads"].value == 6
    assert plan["counted"].value == 12 * 12 * 768**2 + 32_768 * 768
    assert plan["batch_tokens"].value == 2**19
    assert plan["steps"].value == 12 * plan["counted"].value // 2**19
    assert plan["matrix_lr"].value == 0.02
    assert plan["weight_decay"].value == 0.28


def test_at_another_depth_everything_follows() -> None:
    plan = fs.plan("one-dial", depth=20)
    counted, tuned = 12 * 20 * 1280**2 + 32_768 * 1280, 12 * 12 * 768**2 + 32_768 * 768
    assert plan["counted"].value == counted
    batch = 2 ** round(math.log2(2**19 * (counted / tuned) ** 0.383))
    assert batch == 2**20
    assert plan["batch_tokens"].value == batch
    assert plan["embedding_lr"].value == pytest.approx(0.3 * math.sqrt(2), rel=1e-12)
    # B / (lr x decay x D) is that of the tuned depth.
    own = batch / (plan["matrix_lr"].value * plan["weight_decay"].value * counted)
    assert own == pytest.approx(2**19 / (0.02 * 0.28 * tuned), rel=1e-12)
    # 6 (matrices + head) + 12 L H Q T for each token (Chowdhery et al. 2022, as the script counts).
    assert plan["flop"].value == pytest.approx(plan["D"].value * (6 * counted + 12 * 20 * 1280 * 2048), rel=1e-12)


def test_widths_are_rounded_up_to_whole_heads() -> None:
    assert fs.plan("one-dial", depth=5)["width"].value == 384


def test_the_ratio_of_the_law_wastes_nothing() -> None:
    plan = fs.plan("one-dial", depth=20)
    again = fs.plan("one-dial", depth=20, ratio=plan["ratio_best"].value)
    # Another ratio is another budget, whose own best ratio lies a little elsewhere; steps are whole.
    for _ in range(6):
        again = fs.plan("one-dial", depth=20, ratio=again["ratio_best"].value)
    assert again["wasted"].value < 0.01 < plan["wasted"].value
    assert again["N_best"].value == pytest.approx(again["N"].value, rel=1e-2)


def test_a_law_that_counts_otherwise_is_asked_in_its_own_count() -> None:
    fit = published("chinchilla:besiroglu2024")
    headed = replace(fit, conventions={**fit.conventions, "N": "matrices+head"})
    plan = fs.plan("one-dial", headed, depth=20)
    assert plan["N"].value == plan["counted"].value
    assert plan["ratio_best"].value == pytest.approx(plan["D_best"].value / plan["N_best"].value, rel=1e-9)
    with pytest.raises(RefusedError, match="active"):
        fs.plan("one-dial", replace(fit, conventions={**fit.conventions, "N": "active"}), depth=20)


@pytest.mark.parametrize(
    "query", [{"depth": 0}, {"depth": 12, "ratio": math.inf}, {"depth": 12, "warmdown": math.nan}]
)
def test_dials_that_are_none(query: dict[str, float]) -> None:
    with pytest.raises(QueryError, match=list(query)[-1]):
        fs.plan("one-dial", **query)

# SPDX-License-Identifier: Apache-2.0
"""`benchmarks/regret_datablations.py`, held to what it measured: cheap runs decide, large ones are looked up."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from forescale.core.errors import ForescaleError


@pytest.fixture(scope="module")
def replay(script: Callable[[str], ModuleType]) -> ModuleType:
    module = script("benchmarks/regret_datablations.py")
    try:
        module.tables()
    except ForescaleError as error:
        pytest.skip(f"public data are not at hand: {error}")
    return module


def test_decisions_from_the_cheap_part(replay: ModuleType) -> None:
    """Eight of thirteen choices lie within .5 % of the best run.

    The five others: 6e20 FLOP on 12B tokens, 1.5 % above the best; and four budgets that read 100M or 400M tokens 190
    times and more, where every run was hurt by repetition, of which the plan warns.
    """
    decisions = replay.replay("all sound rows")
    regrets = np.array([d.regret for d in decisions])
    assert len(regrets) == 13
    assert (regrets <= replay.BAR).sum() >= 8
    assert all(d.warned or d.regret < 2.0 for d in decisions)
    # Budget by budget: all five cells above 7e20 FLOP, three of the five at 6e20.
    budgets = replay.by_budget(decisions)
    assert all(kept == count for C, (kept, count) in budgets.items() if C > 7e20)
    assert [pair for C, pair in budgets.items() if 5e20 < C < 7e20] == [(3, 5)]
    # The measured optimum of the budgets with many sizes lies between the ends of the interval.
    many = [d for d in decisions if len(d.cell.N) >= 6]
    assert len(many) == 3
    assert all(d.held for d in many)


@pytest.mark.slow
def test_the_way_was_chosen_on_the_cheap_part(replay: ModuleType) -> None:
    """All sound rows decide the dearest of the cheap budgets best; others reach .5 % on three choices at most."""
    mean = replay.cheap_decisions()
    assert min(mean, key=lambda name: mean[name]) == "all sound rows"
    assert all(sum(r <= replay.BAR for r in regrets) <= 3 for regrets in replay.beside().values())

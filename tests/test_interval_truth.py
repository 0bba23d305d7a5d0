# SPDX-License-Identifier: Apache-2.0
"""Intervals hold the truth as often as documented: a third of the panel here, the whole with `-m slow`.

The levels in tests/data/interval_levels.toml come from `benchmarks/coverage.py --write`; here each is measured again
with other seeds and must agree within 99.9 % limits, which hold the error of both measurements.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.fitting.uncertainty import profiles
from forescale.laws import find

THIRD = [
    ("gaussian", 8),
    ("gaussian", 60),
    ("t3", 20),
    ("outliers", 240),
    ("heteroscedastic", 60),
    ("clustered", 8),
    ("clustered", 20),
    ("checkpoints", 60),
]
"""Every kind of noise and every number of rows, the refusal of eight rows in three runs, and the seven runs that no
sandwich can serve."""


def _coverage() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


coverage: Any = _coverage()
CELLS = [(noise, n) for noise in coverage.NOISES for n in coverage.SIZES]


def off(noise: str, n: int, tables: int, bootstraps: int) -> list[str]:
    seen = coverage.measure(noise, n, tables=tables, bootstraps=bootstraps)
    checks = coverage.check(noise, n, coverage.documented()[(noise, n)], seen)
    assert {c.method for c in checks} == set(coverage.METHODS)
    return [
        f"{c.method}: documented {c.stated.rate:.3f} ({c.stated.refused:.2f} refused), "
        f"now {c.seen.rate:.3f} ({c.seen.refused:.2f})"
        for c in checks
        if not c.held
    ]


@pytest.mark.parametrize(("noise", "n"), THIRD)
def test_a_third_of_the_panel_is_as_documented(noise: str, n: int) -> None:
    assert off(noise, n, tables=160, bootstraps=16) == []


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "n"), CELLS)
def test_the_whole_panel_is_as_documented(noise: str, n: int) -> None:
    assert off(noise, n, tables=400, bootstraps=60) == []


def test_every_cell_has_a_level_and_none_is_far_below_nominal() -> None:
    stated = coverage.documented()
    assert set(stated) == set(CELLS)
    assert len(THIRD) == len(CELLS) // 3
    for cell, methods in stated.items():
        assert set(methods) == set(coverage.METHODS), cell
        for method, level in methods.items():
            # A method either refuses nearly always, or comes within ten points of the 90 % that it names.
            assert level.refused > 0.9 or level.rate >= 0.80, (cell, method, level)
            assert level.refused > 0.9 or level.refused < 0.2, (cell, method, level)


def test_the_panel_sees_a_level_that_is_off() -> None:
    stated = coverage.documented()[("gaussian", 60)]["wald"]
    wrong = coverage.Rate(stated.rate - 0.12, stated.error, 300, 0.0)
    refusing = coverage.Rate(stated.rate, stated.error, 300, 0.5)
    for seen in (wrong, refusing):
        assert not coverage.check("gaussian", 60, {"wald": stated}, {"wald": seen})[0].held
    same = coverage.Rate(stated.rate, stated.error, 300, stated.refused)
    assert coverage.check("gaussian", 60, {"wald": stated}, {"wald": same})[0].held


# --- the batch stands for single fits -----------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "n"), [("gaussian", 8), ("outliers", 60), ("clustered", 20)])
def test_batched_tables_are_single_fits(noise: str, n: int) -> None:
    law = find("chinchilla")
    truth = law.constants("besiroglu2024")
    batch = coverage.fitted(noise, n, "log-huber", 3, np.random.default_rng([11, n]))
    held = coverage.profiled(batch, truth)
    resampled = coverage.bootstrapped(batch, 2, 40)
    by = "run" if noise == "clustered" else "row"
    for row, quick in enumerate(batch.fits):
        alone = fit(quick.runs, law)
        assert quick.objective == pytest.approx(alone.objective, rel=1e-4)
        for name in law.names:
            assert quick.interval(name, "wald") == pytest.approx(alone.interval(name, "wald"), rel=0.02)
        for p, (name, profile) in enumerate(profiles(quick).items()):
            low, high = profile.interval
            near = min(abs(np.log(truth[name] / end)) if end > 0 else 1.0 for end in (low, high))
            assert held[row, p] == (low <= truth[name] <= high) or near < 0.02
        if row < 2:
            again = quick.bootstrap(40, by=by)
            for name in law.names:
                assert resampled[row].interval(name) == pytest.approx(again.interval(name), rel=1e-4)

# SPDX-License-Identifier: Apache-2.0
"""Filtered pools whose utility fades: the authors' numbers, recovery, mixtures, and the pools for a budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import ColumnError, DataError, InputError
from forescale.fitting.estimators.qqt import GOYAL2024, UNIT, Pool, Pools, error, qqt
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

SEEN = np.array([12.8e6, 32e6, 64e6, 128e6, 640e6])


def ablation(samples: Any, compat: bool = False) -> Any:
    """The constants of the authors' ablation: one pool of 12.8M."""
    return error(samples, 12.8e6, [Pool(-0.13106, 3.0)], 0.022, 0.1, compat)


def made(state: Pools, seen: Any = SEEN, noise: float = 0.0, seed: int = 0) -> Runs:
    rng = np.random.default_rng(seed)
    names = list(state.pools)
    y = np.concatenate([state.error(seen, [name]) for name in names])
    return Runs.from_columns(
        {
            "D": np.tile(seen, len(names)),
            "D_unique": np.full(y.size, state.size),
            "error": y + noise * rng.standard_normal(y.size),
            "group": np.repeat(names, len(seen)),
        }
    )


PAPER = Pools(GOYAL2024.pools, GOYAL2024.a, GOYAL2024.d, GOYAL2024.size)


class TestQqt(EstimatorCase):
    examples = (
        (qqt, made(PAPER, noise=0.001), {}),
        (qqt, made(GOYAL2024, noise=0.001), {"code_compat": True}),
        (qqt, made(PAPER, noise=0.001), {"d": None}),
    )


@pytest.mark.parametrize(
    ("compat", "expected"),
    [
        (False, [0.97311, 0.89755, 0.86206, 0.84682, 0.84332]),
        (True, [0.97311, 0.88889, 0.84934, 0.83235, 0.82845]),
    ],
)
def test_the_table_of_the_ablation(compat: bool, expected: list[float]) -> None:
    """t1 and the four numbers beside it."""
    np.testing.assert_allclose(ablation(SEEN, compat), expected, atol=1e-5)


def test_the_product_written_out() -> None:
    """Three passes and a half of two pools: a pass takes both, the half-life is twice as long."""
    pools, size, a, d = [Pool(-0.2, 2.0), Pool(-0.1, 6.0)], 1e6, 0.03, 0.05
    ends = np.array([2e6, 4e6, 6e6, 7e6])

    def b(j: int) -> float:
        return float(np.mean([p.b * 0.5 ** ((j - 1) / (2 * p.tau)) for p in pools]))

    y = (a * ends[0] / UNIT) ** b(1)
    for j in (2, 3, 4):
        y *= (ends[j - 1] / ends[j - 2]) ** b(j)
    assert error(7e6, size, pools, a, d)[0] == pytest.approx(y + d, rel=1e-13)


def test_less_than_one_pass_is_a_power_law() -> None:
    n = np.array([1e5, 1e6, 1e7])
    np.testing.assert_allclose(ablation(n), (0.022 * n / UNIT) ** -0.13106 + 0.1, rtol=1e-13)


def test_endless_repetition_ends_somewhere() -> None:
    """At half-lives of rounding more passes change nothing, and take no memory."""
    far = ablation([1e12, 1e18])
    assert far[0] == pytest.approx(far[1], rel=1e-12)
    assert far[0] < ablation(640e6)[0]


@pytest.mark.parametrize("state", [PAPER, GOYAL2024])
@pytest.mark.parametrize("d", [0.1, None])
def test_recovery(state: Pools, d: float | None) -> None:
    found = fs.estimate(made(state), "qqt", d=d, code_compat=state.code_compat).state
    assert found.a == pytest.approx(state.a, rel=1e-6)
    assert found.d == pytest.approx(state.d, rel=1e-6)
    for name, pool in state.pools.items():
        assert found.pools[name].b == pytest.approx(pool.b, rel=1e-6)
        assert found.pools[name].tau == pytest.approx(pool.tau, rel=1e-6)


def test_mixtures_are_predicted_from_single_pools() -> None:
    """Noise of .002 on five points a pool: mixtures, never fitted, within .01 (the largest of 40 seeds is .0068)."""
    found = fs.estimate(made(PAPER, noise=0.002, seed=1), "qqt")
    names = PAPER.ranked()
    mixed = "+".join(names[:3])
    predicted = found.predict({"D": [64e6, 640e6], "group": np.array([mixed, mixed])}).estimate
    np.testing.assert_allclose(predicted, PAPER.error([64e6, 640e6], names[:3]), atol=0.01)


def test_filtering_depends_on_the_budget() -> None:
    """Few of the best pools for a small budget, more for a large one, and never fewer as it grows."""
    budgets = np.geomspace(5e6, 1e11, 60)
    kept = GOYAL2024.best_prefix(budgets)
    assert kept[0] == 1
    assert kept[-1] > 1
    assert (np.diff(kept) >= 0).all()
    assert GOYAL2024.best_prefix([32e6, 64e6, 128e6, 640e6]).tolist() == [1, 1, 2, 2]
    errors = GOYAL2024.prefixes(budgets)
    np.testing.assert_allclose(errors.min(axis=1), errors[np.arange(60), kept - 1])


def test_pools_may_be_named_by_another_column() -> None:
    runs = made(PAPER)
    columns = {**{k: runs[k] for k in ("D", "D_unique", "error")}, "bucket": runs.labels["group"]}
    found = fs.estimate(Runs.from_columns(columns), "qqt", by="bucket")
    assert found.numbers == fs.estimate(runs, "qqt").numbers
    with pytest.raises(ColumnError, match="bucket"):
        found.predict(D=[1e6], group=np.array(["top 10 %"]))


def test_pools_that_cannot_be_used() -> None:
    runs = made(PAPER)
    uneven = runs.with_column("D_unique", np.where(np.arange(len(runs)) < 5, 1e6, 2e6))
    with pytest.raises(DataError, match="one size"):
        fs.estimate(uneven, "qqt")
    with pytest.raises(DataError, match="least error"):
        fs.estimate(runs, "qqt", d=0.95)
    with pytest.raises(ColumnError, match="label column pool"):
        fs.estimate(runs, "qqt", by="pool")
    with pytest.raises(InputError, match="no pool"):
        fs.estimate(runs, "qqt").predict(D=[1e6], group=np.array(["top 1 %"]))

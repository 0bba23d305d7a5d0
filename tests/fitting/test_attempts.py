# SPDX-License-Identifier: Apache-2.0
"""Tables of attempts: what is unbiased under which stopping rule, by exact sums over outcomes; thinning; errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError, QueryError
from forescale.fitting.attempts import Attempts, attempts_of
from forescale.runs.table import Runs


def table(trials: list[float], passed: list[float], **more: Any) -> Runs:
    return Runs.from_columns({"trials": trials, "passed": passed, **more})


def until(r: int, cap: int, p: float) -> tuple[Attempts, np.ndarray]:
    """Every (trials, passed) of attempts that stop at the r-th pass or at the cap, and how likely each is."""
    stops = [(n, r, math.comb(n - 1, r - 1) * p**r * (1 - p) ** (n - r)) for n in range(r, cap + 1)]
    caps = [(cap, c, math.comb(cap, c) * p**c * (1 - p) ** (cap - c)) for c in range(r)]
    n, c, chance = (np.array(column, dtype=float) for column in zip(*stops, *caps))
    assert chance.sum() == pytest.approx(1.0)
    rule = "until_first" if r == 1 else "until_r"
    return attempts_of(table(n.tolist(), c.tolist()), rule), chance


@pytest.mark.parametrize(("r", "cap", "p"), [(1, 12, 0.1), (2, 12, 0.2), (5, 20, 0.3), (3, 6, 0.05)])
def test_stopped_attempts_give_unbiased_coverage(r: int, cap: int, p: float) -> None:
    """E[estimate] = 1 - (1 - p)^k exactly, for every k up to the cap; as if fixed, it is too high."""
    attempts, chance = until(r, cap, p)
    k = np.arange(1.0, cap + 1)
    np.testing.assert_allclose(chance @ attempts.curve(k), 1 - (1 - p) ** k, rtol=1e-12)
    as_if_fixed = attempts_of(Runs.from_columns({"trials": attempts.trials, "passed": attempts.passed}), "fixed_n")
    assert chance @ as_if_fixed.curve(np.ones(1))[:, 0] > p * (1 + 1e-6)


def test_the_first_attempt_is_passuntil() -> None:
    """(r - 1) / (K - 1) (the specification, section 10.2)."""
    attempts = attempts_of(table([40, 25], [5, 5]), "until_r")
    np.testing.assert_allclose(attempts.curve(np.ones(1))[:, 0], [4 / 39, 4 / 24], rtol=1e-12)


def test_a_fixed_number_is_hypergeometric() -> None:
    attempts = attempts_of(table([200, 128], [3, 2]), "fixed_n")
    assert attempts.horizon == 128
    np.testing.assert_allclose(attempts.curve(np.array([10.0]))[0, 0], 0.143307446323, rtol=1e-11)
    np.testing.assert_allclose(attempts.curve(np.array([64.0]))[1, 0], 0.751968503937, rtol=1e-11)
    with pytest.raises(DataError, match="129"):
        attempts.curve(np.array([129.0]))


@pytest.mark.parametrize(("r", "cap", "p"), [(2, 15, 0.2), (1, 15, 0.1)])
def test_thinning_is_attempts_that_were_cut(r: int, cap: int, p: float) -> None:
    """Attempts thinned to m have the distribution of attempts capped at m."""
    attempts, chance = until(r, cap, p)
    rng, m, seen = np.random.default_rng(0), 6, []
    for _ in range(4000):
        thin = attempts.thinned(m, rng)
        seen.append(chance @ np.stack([thin.trials, thin.passed, thin.stopped]).T)
        assert (thin.trials <= m).all()
    direct, weight = until(r, m, p)
    expected = weight @ np.stack([direct.trials, direct.passed, direct.stopped]).T
    error = np.std(seen, axis=0) / np.sqrt(len(seen))
    assert (np.abs(np.mean(seen, axis=0) - expected) <= 4 * error + 1e-12).all()


def test_the_rule_may_stand_in_the_table() -> None:
    said = attempts_of(table([9, 9], [1, 0], stop_rule=["fixed_n", "fixed_n"]))
    assert said.rule == "fixed_n"
    assert attempts_of(table([9, 9], [1, 0]), "adaptive").horizon == 0


@pytest.mark.parametrize(
    ("runs", "rule", "error", "text"),
    [
        (table([9], [1]), None, QueryError, "no stop_rule"),
        (table([9], [1]), "fixed", QueryError, "fixed_n"),
        (table([9, 9], [1, 1], stop_rule=["fixed_n", "adaptive"]), None, QueryError, "one rule"),
        (table([9], [1], stop_rule=["fixed_n"]), "adaptive", QueryError, "fixed_n and adaptive"),
        (table([9], [10]), "fixed_n", DataError, "10 of 9"),
        (table([9], [-1]), "fixed_n", DataError, "no counts"),
        (table([9.5], [1]), "fixed_n", DataError, "no counts"),
        (table([math.nan], [1]), "fixed_n", DataError, "no counts"),
        (table([0], [0]), "fixed_n", DataError, "no counts"),
        (table([9, 9], [1, 1], problem=["a", "a"]), "fixed_n", DataError, "2 rows"),
        (table([9], [2]), "until_first", DataError, "2 passes"),
        (Runs.from_columns({"trials": [3.0]}), "fixed_n", ColumnError, "passed"),
    ],
)
def test_bad_tables(runs: Runs, rule: str | None, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        attempts_of(runs, rule)


def test_until_belongs_to_until_r() -> None:
    with pytest.raises(QueryError, match="until"):
        attempts_of(table([9], [1]), "fixed_n", 3)
    assert not attempts_of(table([9, 9], [1, 2]), "until_r", 3).stopped.any()

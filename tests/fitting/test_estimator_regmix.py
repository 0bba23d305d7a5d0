# SPDX-License-Identifier: Apache-2.0
"""Mixtures by regression: the conformance kit, the closed form of leave-one-out, and the ranks of the public data."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import ColumnError, DataError, InputError
from forescale.fitting.estimators.regmix import METHODS, regmix
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="FORESCALE_MIRROR names no local folder")


def made(rows: int = 60, domains: int = 3, seed: int = 0, noise: float = 0.003) -> Runs:
    """Losses that fall with the logarithm of the first share, as real ones do."""
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.full(domains, 0.7), rows)
    y = 3.0 - 0.25 * np.log(w[:, 0] + 0.01) + 0.3 * w[:, -1] ** 2
    columns = {f"weight_{'abcdefgh'[j]}": w[:, j] for j in range(domains)}
    return Runs.from_columns({**columns, "loss": y * np.exp(noise * rng.standard_normal(rows))})


class TestRegmix(EstimatorCase):
    examples = (
        (regmix, made(), {}),
        *((regmix, made(), {"method": method}) for method in METHODS),
    )


def test_the_method_of_the_least_error_is_taken() -> None:
    found = fs.estimate(made(), "regmix").numbers
    tried = {method: found[f"error_{method}"] for method in METHODS}
    assert found["error"] == min(tried.values())
    assert tried["linear"] > 3 * tried["kernel"]


@pytest.mark.parametrize("method", METHODS)
def test_leave_one_out_is_what_it_says(method: str) -> None:
    """The closed form equals refits without each row, at the settings chosen."""
    runs = made(24)
    whole = fs.estimate(runs, "regmix", method=method)
    state = whole.state
    shares = np.stack([runs[name] for name in state.columns], axis=1)
    y, misses = np.log(runs["loss"]), []
    for i in range(len(runs)):
        rest = np.arange(len(runs)) != i
        if method == "kernel":
            features = (np.log(shares + state.shift) - state.mean) / state.scale
            squares = ((features[:, None] - features) ** 2).sum(axis=2)
            kernel = np.exp(-0.5 * squares / state.width**2) + 10.0
            dual = np.linalg.solve(kernel[np.ix_(rest, rest)] + state.ridge * np.eye(23), y[rest])
            misses.append(y[i] - kernel[i, rest] @ dual)
        else:
            table = shares if method == "linear" else np.column_stack([np.ones(24), np.log(shares + state.shift)])
            target = runs["loss"] if method == "linear" else y
            without = table[i] @ np.linalg.lstsq(table[rest], target[rest], rcond=None)[0]
            misses.append((np.log(without) if method == "linear" else without) - y[i])
    assert state.error == pytest.approx(float(np.sqrt(np.mean(np.square(misses)))), rel=1e-6)


def test_a_linear_loss_is_recovered_exactly() -> None:
    runs = made(30)
    loss = 2.0 * runs["weight_a"] + 3.0 * runs["weight_b"] + 4.5 * runs["weight_c"]
    found = fs.estimate(runs.with_column("loss", loss), "regmix", method="linear").numbers
    assert [found[f"weight_{k}"] for k in "abc"] == pytest.approx([2.0, 3.0, 4.5], rel=1e-10)


def test_repeated_mixtures_count_as_often_as_they_are_seen() -> None:
    """A row twice is a row of weight two: resamples of a bootstrap leak nothing into leave-one-out."""
    runs = made(20)
    twice = runs.where(np.concatenate([np.arange(20), np.arange(20)]))
    for method in METHODS:
        one, two = (fs.estimate(r, "regmix", method=method) for r in (runs, twice))
        assert two.numbers["error"] == pytest.approx(one.numbers["error"], rel=0.35)
        assert two.numbers["error"] > 0.5 * one.numbers["error"]


def test_weights_need_not_sum_to_one() -> None:
    runs = made()
    scaled: dict[str, Any] = {name: 100 * runs[name] for name in runs.columns if name.startswith("weight_")}
    found = fs.estimate(Runs.from_columns({**scaled, "loss": runs["loss"]}), "regmix")
    np.testing.assert_allclose(found.predict(runs).estimate, fs.estimate(runs, "regmix").predict(runs).estimate)


def test_tables_that_it_cannot_use() -> None:
    runs = made()
    with pytest.raises(InputError, match="log-linear"):
        fs.estimate(runs, "regmix", method="boosting")
    with pytest.raises(DataError, match="two or more columns"):
        fs.estimate(runs, "regmix", weights="share_")
    with pytest.raises(DataError, match="positive losses"):
        fs.estimate(runs.with_column("loss", runs["loss"] - 5.0), "regmix")
    with pytest.raises(DataError, match="distinct mixtures"):
        fs.estimate(runs.where(np.zeros(9, dtype=int)), "regmix")
    with pytest.raises(ColumnError, match="weight_c"):
        fs.estimate(runs, "regmix").predict(weight_a=0.5, weight_b=0.5)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


@mirrored
@pytest.mark.parametrize(
    ("method", "at_1m", "at_60m", "tolerance"),
    [
        ("linear", 0.9021, 0.8933, 1e-3),  # our least squares on the table as it is; here shares are over their sum
        ("best", 0.9934, 0.9881, 2e-4),
    ],
)
def test_the_ranks_of_the_public_mixtures(method: str, at_1m: float, at_60m: float, tolerance: float) -> None:
    found = fs.estimate(fs.dataset("regmix"), "regmix", method=method)
    for name, expected in (("regmix-test-1m", at_1m), ("regmix-test-60m", at_60m)):
        test = fs.dataset(name)
        assert spearman(found.predict(test).estimate, test["loss"]) == pytest.approx(expected, abs=tolerance)
    assert found.state.method == ("linear" if method == "linear" else "kernel")

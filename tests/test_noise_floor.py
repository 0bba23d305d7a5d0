# SPDX-License-Identifier: Apache-2.0
"""E^2 = B^2 + V / n: exact lines, intervals that hold, the published figures, separation of two methods."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, ForescaleError, InputError
from forescale.judge.compare import Comparison, compare
from forescale.judge.noise_floor import noise_floor, separation
from forescale.laws import find


def test_an_exact_line() -> None:
    n = np.arange(1, 30)
    found = noise_floor(n, np.sqrt(0.25 + 3.0 / n))
    assert (found.bias2, found.variance, found.r2) == pytest.approx((0.25, 3.0, 1.0), rel=1e-10)
    assert found.bias == pytest.approx(0.5)
    np.testing.assert_allclose(found.predict([1.0, 4.0]), np.sqrt([3.25, 1.0]), rtol=1e-10)
    assert found.needed(0.1) == pytest.approx(3.0 / (0.25 * 0.21), rel=1e-9)
    assert json.loads(found.to_json())["schema"] == "forescale/noise-floor"
    assert "R^2 1.000" in str(found)


def test_intervals_cover() -> None:
    """90 % of 3000 intervals of each, within binomial error."""
    rng = np.random.default_rng(0)
    n = np.repeat(np.arange(1, 11), 3)
    truth = {"bias2": 0.04, "variance": 0.5}
    hits = dict.fromkeys(truth, 0)
    for _ in range(3000):
        squared = 0.04 + 0.5 / n + 0.005 * rng.standard_normal(n.size)
        found = noise_floor(n, np.sqrt(squared))
        for name, value in truth.items():
            low, high = found.intervals[name]
            hits[name] += low <= value <= high
    for name, count in hits.items():
        assert abs(count / 3000 - 0.9) < 2.6 * math.sqrt(0.09 / 3000), name


def test_no_bias_seen() -> None:
    n = np.arange(1, 12)
    found = noise_floor(n, np.sqrt(np.maximum(2.0 / n - 0.01, 0.0)))
    assert found.bias2 < 0
    assert found.bias == 0.0
    assert found.needed() == math.inf
    assert json.loads(found.to_json())["needed_for_10_percent"] is None


def test_two_methods() -> None:
    """A stiff method with little variance, a flexible one with little bias: the order turns at V/B^2."""
    rng = np.random.default_rng(2)
    n = np.arange(1, 51)
    stiff = noise_floor(n, np.sqrt(0.20 + 0.5 / n + 0.004 * rng.standard_normal(50)))
    flexible = noise_floor(n, np.sqrt(0.10 + 1.5 / n + 0.004 * rng.standard_normal(50)))
    found = separation(stiff, flexible)
    assert found.flip == pytest.approx(10.0, rel=0.1)
    assert (found.better_few, found.better_many) == ("a", "b")
    assert found.separate is not None
    assert 10 <= found.separate <= 14
    same = separation(stiff, stiff)
    assert same.separate is None


def climate(variable: str, target: str, model: str) -> Any:
    try:
        runs = fs.dataset("climate-emulator", variable=variable, target=target, model=model)
    except ForescaleError as error:
        pytest.skip(f"theory_tables: {error}")
    return fs.noise_floor(runs["n_members"], runs["loss"])


@pytest.mark.parametrize(
    ("variable", "target", "bias2", "variance", "r2"),
    [
        ("tas", "same_n", 0.00923, 0.02534, 0.977), ("pr", "same_n", 0.00628, 0.01320, 0.807),
        ("tas", "all50", None, 0.0032, 0.862), ("pr", "all50", None, 0.0010, 0.26),
    ],
)  # fmt: skip
def test_climate_emulators(variable: str, target: str, bias2: float | None, variance: float, r2: float) -> None:
    found = climate(variable, target, "pattern_scaling")
    assert found.variance == pytest.approx(variance, abs=6e-5 if target == "all50" else 6e-6)
    assert found.r2 == pytest.approx(r2, abs=6e-3 if variable == "pr" and target == "all50" else 6e-4)
    if bias2 is not None:
        assert found.bias2 == pytest.approx(bias2, abs=6e-6)


def test_which_emulator_wins_depends_on_the_variable() -> None:
    """Temperature: pattern scaling with many members; precipitation: the network."""
    tas = [climate("tas", "same_n", model) for model in ("pattern_scaling", "cnn_lstm")]
    pr = [climate("pr", "same_n", model) for model in ("pattern_scaling", "cnn_lstm")]
    assert separation(*tas).better_many == "a"
    assert separation(*pr).better_many == "b"
    law = find("noise-floor").on(D="n_members")
    found = compare(fs.dataset("climate-emulator-pr"), by="model", law=law, reference="pattern_scaling", at=(3, 50))
    assert isinstance(found, Comparison)
    assert found.variable == "n_members"
    assert found.b_better(50) > 0.95
    assert 0.2 < found.b_better(3) < 0.8


@pytest.mark.parametrize(
    ("n", "error", "words"),
    [
        ([1, 2], [1.0, 1.0], "three rows"),
        ([2, 2, 2], [1.0, 1.0, 1.0], "1 values of n"),
        ([1, 2, 3], [1.0, 1.0], "one length"),
        ([0, 1, 2], [1.0, 1.0, 1.0], "not positive"),
        ([1, 2, 3], [1.0, math.nan, 1.0], "not positive"),
    ],
)
def test_clear_errors(n: list[float], error: list[float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        noise_floor(n, error)


def test_impossible_questions() -> None:
    with pytest.raises(InputError, match="level"):
        noise_floor([1, 2, 3], [3.0, 2.0, 1.0], level=0.0)
    with pytest.raises(InputError, match="share"):
        noise_floor([1, 2, 3], [3.0, 2.0, 1.0]).needed(0.0)


def test_a_negative_error_is_refused() -> None:
    with pytest.raises(DataError, match=r"an error of -0\.1"):
        noise_floor([1, 2, 4], [0.3, -0.1, 0.1])

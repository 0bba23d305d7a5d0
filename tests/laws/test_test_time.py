# SPDX-License-Identifier: Apache-2.0
"""Scores in logarithms, the ceiling that raters set, and ceilings that the data do not hold."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

D = np.geomspace(1e5, 1e7, 5)
LINE = 50.0 + 4.0 * np.log10(D / 1e5)


def predictions(score: np.ndarray) -> tuple[float, float, dict[str, float], tuple[float, float]]:
    """At 3e7 by the line and by the power, the constants of the power, the interval of its ceiling."""
    runs = Runs.from_columns({"D": D, "score": score})
    line, power = fit(runs, find("log-linear")), fit(runs, find("saturating-score"))
    at = [float(found.predict(D=3e7).estimate[0]) for found in (line, power)]
    return at[0], at[1], dict(power.params), power.interval("S")


def test_a_line_has_no_ceiling_to_find() -> None:
    """Exact log-linear scores: b = 4.000, 59.908 at 3e7; the power has an exponent below .001 and predicts alike."""
    line = fit(Runs.from_columns({"D": D, "score": LINE}), find("log-linear"))
    assert line.params["b"] == pytest.approx(4.0, rel=1e-12)
    by_line, by_power, power, _ = predictions(LINE)
    assert by_line == pytest.approx(59.908, abs=5e-4)
    assert by_power == pytest.approx(by_line, abs=0.006)
    assert power["k"] < 1e-3
    assert power["S"] > 1000.0


def test_with_noise_the_ceiling_is_not_identified() -> None:
    """Noise of .1: 59.77 by the line, 59.56 by the power, whose ceiling of 115 could as well be 20 times that."""
    noise = np.random.default_rng(0).normal(0.0, 0.1, 10)[5:]
    by_line, by_power, power, ceiling = predictions(LINE + noise)
    assert by_line == pytest.approx(59.77, abs=0.005)
    assert by_power == pytest.approx(59.56, abs=0.005)
    assert power["k"] == pytest.approx(0.028, abs=5e-4)
    assert power["S"] == pytest.approx(114.9, abs=0.1)
    assert ceiling[0] < 70.0
    assert ceiling[1] > 180.0


def test_the_line_is_a_limit_of_the_power() -> None:
    k = 1e-7
    slope = 4.0 / np.log(10.0)
    power = {"S": 50.0 + slope / k, "A": (slope / k) * 1e5**k, "k": k}
    np.testing.assert_allclose(find("saturating-score")(power, D=D), LINE, rtol=1e-6)


def test_the_ceiling_of_raters() -> None:
    """Noise as large as the spread: .707 .866 .949 for 1, 3, 9 raters, and so in simulation."""
    law = find("rater-ceiling")
    k = np.array([1.0, 3.0, 9.0])
    np.testing.assert_allclose(law({"r": 1.0}, members=k), [0.707, 0.866, 0.949], atol=5e-4)
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(20000)
    for raters in (1, 3, 9):
        mean = truth + rng.standard_normal((raters, truth.size)).mean(axis=0)
        # the error of a correlation of 20,000 pairs is below .004
        assert np.corrcoef(truth, mean)[0, 1] == pytest.approx(float(law({"r": 1.0}, members=raters)), abs=0.012)


def test_thinking_counts_doublings() -> None:
    law = find("thinking")
    p = {"a": 0.1, "b": 0.04}
    assert float(law(p, thinking_tokens=2048.0) - law(p, thinking_tokens=1024.0)) == pytest.approx(0.04, rel=1e-12)
    assert float(law(p, thinking_tokens=1.0)) == 0.1

# SPDX-License-Identifier: Apache-2.0
"""Calibration: scores against their integrals, limits that know clusters, and verdicts on right and wrong bands."""

from __future__ import annotations

import json
import math
from itertools import combinations

import numpy as np
import pytest
from scipy import integrate, stats

from forescale.core.errors import DataError, InputError, RefusedError
from forescale.judge import _proper
from forescale.judge.backtest import Backtest, backtest
from forescale.judge.calibration import calibration
from forescale.laws import find
from forescale.reporting import export
from forescale.reporting.charts import render, specification
from forescale.runs.table import Runs


def crps_by_integral(cdf, y: float) -> float:
    below = integrate.quad(lambda x: cdf(x) ** 2, -np.inf, y)[0]
    return below + integrate.quad(lambda x: (1 - cdf(x)) ** 2, y, np.inf)[0]


# --- scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [2.0, 5.5, np.inf])
def test_the_crps_of_t_is_its_integral(df: float) -> None:
    cdf = stats.norm.cdf if np.isinf(df) else lambda x: stats.t.cdf(x, df)
    for z in (-3.0, 0.0, 0.4, 8.0):
        assert float(_proper.t_crps(np.array(z), np.array(df))) == pytest.approx(crps_by_integral(cdf, z), rel=1e-8)
    assert np.isnan(_proper.t_crps(np.array(0.0), np.array(1.0)))


@pytest.mark.parametrize("y", [-2.0, 1.0, 1.3, 6.0])
def test_a_split_t_has_its_own_scale_on_each_side(y: float) -> None:
    def cdf(x: float) -> float:
        return float(stats.t.cdf((x - 1.0) / (0.5 if x < 1.0 else 2.0), 4.0))

    arrays = (np.array([v]) for v in (y, 1.0, 0.5, 2.0, 4.0))
    pit, crps = _proper.split_t(*arrays)
    assert pit[0] == pytest.approx(cdf(y), rel=1e-12)
    assert crps[0] == pytest.approx(crps_by_integral(cdf, y), rel=1e-7)


def test_the_crps_of_draws() -> None:
    rng = np.random.default_rng(0)
    draws, y = rng.standard_normal((3, 5)), np.array([0.2, -4.0, 1.0])
    pit, crps = _proper.of_draws(y, draws)
    for k in range(3):
        pairs = np.mean([abs(a - b) for a, b in combinations(draws[k], 2)])
        assert crps[k] == pytest.approx(np.abs(draws[k] - y[k]).mean() - 0.5 * pairs, rel=1e-12)
    assert pit[1] == pytest.approx(0.5 / 6)
    many = rng.standard_normal((1, 40_000))
    close = float(_proper.of_draws(np.array([0.7]), many)[1][0])
    assert close == pytest.approx(float(_proper.t_crps(np.array(0.7), np.array(np.inf))), abs=0.01)


def test_the_interval_score_is_width_and_penalty() -> None:
    score = _proper.interval_score(np.array([0.5, 1.2, -0.1]), np.zeros(3), np.ones(3), 0.9)
    assert score == pytest.approx([1.0, 1.0 + 20 * 0.2, 1.0 + 20 * 0.1])


# --- limits -------------------------------------------------------------------------------------------------------


def test_limits_of_independent_trials_are_exact() -> None:
    hits = np.arange(40) < 33
    low, high = _proper.share_limits(hits, np.arange(40), 0.95)
    known = stats.binomtest(33, 40).proportion_ci(0.95, "exact")
    assert (low, high) == pytest.approx((known.low, known.high), rel=1e-9)
    assert _proper.share_limits(np.ones(20, dtype=bool), np.arange(20), 0.95)[1] == 1.0


def test_copies_are_not_evidence() -> None:
    hits = np.random.default_rng(2).random(30) < 0.8
    unit = np.repeat(np.arange(30), 5)
    assert _proper.design_effect(np.repeat(hits, 5).astype(float), unit) == pytest.approx(5 * 30 / 29)
    once = _proper.share_limits(hits, np.arange(30), 0.95)
    five = _proper.share_limits(np.repeat(hits, 5), unit, 0.95)
    assert five[0] <= once[0] + 0.01
    assert five[1] >= once[1] - 0.01
    assert _proper.share_limits(np.repeat(hits, 5), np.zeros(150, dtype=np.intp), 0.95) == (0.0, 1.0)


def test_limits_hold_the_share_of_clustered_trials() -> None:
    """95 % nominal, 400 repetitions: the binomial 99.9 % lower limit is 91.4 %."""
    rng = np.random.default_rng(3)
    unit, held = np.repeat(np.arange(15), 8), 0
    for _ in range(400):
        z = 0.8 * rng.standard_normal(15)[unit] + 0.6 * rng.standard_normal(120)
        low, high = _proper.share_limits(np.abs(z) < stats.norm.ppf(0.95), unit, 0.95)
        held += low <= 0.90 <= high
    assert held / 400 >= 0.914


def test_uniformity_of_clustered_values() -> None:
    """A test at 5 % alarms in 5 % of tables (99.9 % limits at 400: 1.9 ... 9.2 %), and sees what is not uniform."""
    rng = np.random.default_rng(4)
    unit = np.repeat(np.arange(40), 5)
    p = []
    for _ in range(400):
        z = 0.7 * rng.standard_normal(40)[unit] + np.sqrt(0.51) * rng.standard_normal(200)
        p.append(_proper.uniformity(stats.norm.cdf(z), unit)[0])
    assert 0.019 <= np.mean(np.array(p) < 0.05) <= 0.092
    assert _proper.uniformity(rng.beta(0.5, 0.5, 300), np.arange(300))[0] < 1e-6
    assert np.isnan(_proper.uniformity(rng.random(6), np.arange(6))[0])


# --- the report ---------------------------------------------------------------------------------------------------


def outcomes(k: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed, estimate, distance: log errors with an sd of 2 %."""
    rng = np.random.default_rng(seed)
    estimate = 3.0 * np.exp(0.1 * rng.standard_normal(k))
    return estimate * np.exp(0.02 * rng.standard_normal(k)), estimate, np.exp(rng.uniform(0, 4, k))


def test_right_bands_hold_and_wrong_ones_are_named() -> None:
    y, estimate, distance = outcomes()
    right = calibration(y, estimate, sd=0.02, distance=distance)
    assert right.all.verdict(0.9) == "holds"
    assert right.all.covered == pytest.approx(0.9, abs=0.035)
    assert "not distinguishable" in right.shape
    assert right.all.crps == pytest.approx(0.02 / math.sqrt(math.pi), rel=0.06)
    short, wide = (calibration(y, estimate, sd=sd, distance=distance) for sd in (0.01, 0.04))
    assert short.all.verdict(0.9) == "too short"
    assert "too narrow" in short.shape
    assert wide.all.verdict(0.9) == "too long"
    assert "too wide" in wide.shape
    # Proper scores: only the right spread is best.
    for other in (short, wide):
        assert right.all.crps < other.all.crps
        assert right.all.interval_score < other.all.interval_score
    biased = calibration(y * 1.02, estimate, sd=0.02)
    assert "higher" in biased.shape


def test_bands_standard_errors_and_draws_say_the_same() -> None:
    y, estimate, _ = outcomes(200)
    q = stats.t.ppf(0.95, 6)
    by_sd = calibration(y, estimate, sd=0.02, df=6)
    by_band = calibration(y, estimate, estimate * np.exp(-q * 0.02), estimate * np.exp(q * 0.02), df=6)
    assert by_band.pit == pytest.approx(by_sd.pit, rel=1e-9)
    assert by_band.all.crps == pytest.approx(by_sd.all.crps, rel=1e-9)
    draws = estimate[:, None] * np.exp(0.02 * np.random.default_rng(1).standard_t(6, (200, 4000)))
    by_draws = calibration(y, draws=draws)
    assert by_draws.all.crps == pytest.approx(by_sd.all.crps, rel=0.02)
    assert by_draws.all.width == pytest.approx(by_sd.all.width, rel=0.02)
    assert np.abs(by_draws.pit - by_sd.pit).max() < 0.04


def test_ranges_of_distance() -> None:
    y, estimate, distance = outcomes(90)
    distance[:3] = 3.0
    found = calibration(y, estimate, sd=0.02, distance=distance)
    assert [row.name for row in found.by_distance] == ["<= 3x", "3-10x", "> 10x"]
    assert found.by_distance[0].points == int((distance <= 3).sum())
    assert sum(row.points for row in found.by_distance) == found.all.points == 90
    assert found.histogram.sum() == 90
    assert [r.name for r in calibration(y, estimate, sd=0.02, distance=distance, edges=(100.0,)).by_distance] == [
        "<= 100x"
    ]
    text = found.summary()
    assert "3-10x" in text
    assert "90 predictions" in text
    body = json.loads(found.to_json())
    assert body["schema"] == "forescale/calibration"
    assert body["by_distance"][2]["points"] == found.by_distance[2].points


def test_what_cannot_be_judged() -> None:
    y, estimate, distance = outcomes(20)
    with pytest.raises(InputError, match="one form"):
        calibration(y, estimate)
    with pytest.raises(InputError, match="one form"):
        calibration(y, estimate, estimate, estimate * 2, sd=0.1)
    with pytest.raises(InputError, match="edges"):
        calibration(y, estimate, sd=0.1, distance=distance, edges=(10.0, 3.0))
    with pytest.raises(InputError, match="unit"):
        calibration(y, estimate, sd=0.1, unit="percent")
    with pytest.raises(InputError, match="level"):
        calibration(y, estimate, sd=0.1, level=90.0)
    with pytest.raises(DataError, match="no predictions"):
        calibration([], [], sd=0.1)
    with pytest.raises(DataError, match="not positive"):
        calibration(-y, estimate, sd=0.1)
    with pytest.raises(DataError, match="row 1"):
        calibration(np.where(np.arange(20) == 0, np.nan, y), estimate, sd=0.1)
    with pytest.raises(DataError, match="outside"):
        calibration(y, estimate, estimate * 1.1, estimate * 1.2)
    with pytest.raises(DataError, match="cluster"):
        calibration(y, estimate, sd=0.1, cluster=["a"])
    with pytest.raises(DataError, match="draws"):
        calibration(y, draws=np.ones((3, 4)))


# --- of a backtest ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tested() -> Backtest:
    rng = np.random.default_rng(5)
    C = np.repeat(np.geomspace(1e17, 1e21, 14), 3)
    loss = (1.7 + 300 * C**-0.15) * np.exp(0.004 * rng.standard_normal(C.size))
    return backtest(Runs.from_columns({"C": C, "loss": loss}), find("power-floor"))


def test_a_backtest_gives_its_calibration(tested: Backtest) -> None:
    found = tested.calibration()
    assert found.all.points == len(tested.points["distance"])
    assert found.all.clusters == len(tested.origins)
    assert found.all.covered == pytest.approx(tested.covered)
    widened = tested.calibration(widened=True)
    assert widened.all.covered == pytest.approx(tested.covered_widened)
    assert widened.all.points < found.all.points
    assert json.loads(tested.to_json())["calibration"]["all"]["points"] == found.all.points
    assert (tested.points["df"] > 0).all()


def test_one_origin_is_said_to_be_one(tested: Backtest) -> None:
    C = np.geomspace(1e17, 1e21, 30)
    loss = (1.7 + 300 * C**-0.15) * np.exp(0.004 * np.random.default_rng(6).standard_normal(30))
    once = backtest(Runs.from_columns({"C": C, "loss": loss}), find("power-floor"), beyond=10)
    found = once.calibration()
    assert found.all.clusters == found.all.points
    assert "Fewer than three origins" in found.summary()
    with pytest.raises(RefusedError, match="earlier one"):
        once.calibration(widened=True)


def test_the_chart_draws(tested: Backtest) -> None:
    found = tested.calibration()
    for width in (600, 300):
        spec = specification(found, width=width)
        assert "<svg" in export.svg(spec)
        bars = spec["concat"][0]["layer"][0]["data"]["values"]
        assert sum(row["count"] for row in bars) == found.all.points
        dots = spec["concat"][1]["layer"][2]["data"]["values"]
        assert [row["name"] for row in dots] == [*(row.name for row in found.by_distance), "all"]
    assert render(found).to_dict()["title"]["text"] == "Calibration"

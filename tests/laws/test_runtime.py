# SPDX-License-Identifier: Apache-2.0
"""Running times: which of four forms, what tells the time of a RegNet, and the time law of ResNet-RS."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="FORESCALE_MIRROR names no local folder")

FORMS = ("runtime-power", "runtime-linearithmic", "runtime-exponential", "runtime-linear")
TIMES = {
    "runtime-power": (np.geomspace(10, 1e4, 25), {"c": 3e-6, "k": 1.6}),
    "runtime-linearithmic": (np.geomspace(10, 1e4, 25), {"c": 2e-7}),
    "runtime-exponential": (np.linspace(2, 14, 25), {"c": 1e-3, "k": 0.62}),
    "runtime-linear": (np.geomspace(10, 1e4, 25), {"c": 0.02, "d": 3e-5}),
}


@pytest.mark.parametrize("truth", FORMS)
def test_the_right_form_has_the_least_aic(truth: str) -> None:
    """2 % noise on 25 sizes; AIC of least squares in log time."""
    size, p = TIMES[truth]
    rng = np.random.default_rng(8)
    seconds = find(truth)(p, size=size) * np.exp(0.02 * rng.standard_normal(size.size))
    runs = Runs.from_columns({"size": size, "seconds": seconds})
    aic = {}
    for name in FORMS:
        law = find(name)
        found = fit(runs, law)
        off = np.log(found.predict(runs).estimate / seconds)
        aic[name] = size.size * np.log(np.mean(off**2)) + 2 * len(law.names)
    assert min(aic, key=aic.__getitem__) == truth


def test_exponential_times_stay_numbers() -> None:
    assert np.isfinite(find("runtime-exponential")({"c": 1.0, "k": 1.0}, size=np.array([1.0, 1e4, 1e18]))).all()


def test_times_per_item() -> None:
    """Apriori over rows is linear, over the length of a set exponential: 500 to 4,000 rows, .004 to .030 s."""
    rows = np.array([500.0, 1000.0, 2000.0, 4000.0])
    found = fit(Runs.from_columns({"size": rows, "seconds": 0.004 * (rows / 500) ** 0.97}), find("runtime-power"))
    assert found.params["k"] == pytest.approx(0.97, rel=1e-8)
    length = np.array([4.0, 6.0, 8.0, 10.0, 12.0])
    grown = fit(
        Runs.from_columns({"size": length, "seconds": [2e-3, 5e-3, 12e-3, 38e-3, 140e-3]}),
        find("runtime-exponential"),
    )
    assert 1.5 < np.exp(grown.params["k"]) < 1.9


@mirrored
def test_activations_tell_the_time_of_regnets() -> None:
    runs = dataset("regnet-runtime")
    assert len(runs) == 24
    for column, value in (("acts", 0.950), ("flops", 0.855), ("N", 0.820)):
        assert np.corrcoef(runs["seconds"], runs[column])[0, 1] == pytest.approx(value, abs=6e-4)
    slope = np.polyfit(np.log(runs["flops"]), np.log(runs["acts"]), 1)[0]
    assert slope == pytest.approx(0.533, abs=6e-4)
    law = find("runtime-power")
    rms = {}
    for column in ("acts", "flops", "N"):
        off = np.log(fit(runs, law.on(size=column)).predict(runs).estimate / runs["seconds"])
        rms[column] = float(np.sqrt(np.mean(off**2)))
    assert rms["acts"] < rms["flops"] < rms["N"]


@mirrored
def test_resnet_rs_in_time() -> None:
    runs = dataset("resnet-rs")
    found = fit(runs, find("power-floor").on(C="tpu_ms"), loss="log-squared")
    assert 100 * found.params["E"] == pytest.approx(14.31, abs=0.005)
    assert 100 * found.params["A"] == pytest.approx(60.9, abs=0.05)
    assert found.params["alpha"] == pytest.approx(0.510, abs=5e-4)
    off = np.log(found.predict(runs).estimate / runs["loss"])
    assert 100 * np.sqrt(np.mean(off**2)) == pytest.approx(0.70, abs=0.005)
    assert 100 * float(found.predict(tpu_ms=4000.0).estimate[0]) == pytest.approx(15.19, abs=0.01)

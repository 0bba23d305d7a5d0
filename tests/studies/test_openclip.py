# SPDX-License-Identifier: Apache-2.0
"""CLIP and MaMMUT: compute of the largest models and the accuracy foretold for them (checks l1, l2)."""

from __future__ import annotations

import os

import numpy as np
import pytest

import forescale as fs
from forescale.studies.openclip_comparison import frontier
from forescale.studies.openclip_scaling import best

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="FORESCALE_MIRROR names no local folder")

GIGA = 1e9


@mirrored
@pytest.mark.parametrize(
    ("arm", "gflop", "accuracy"), [("clip", 2.158e12, 79.5), ("mammut", 2.593e12, 81.6)], ids=["l1", "l2"]
)
def test_the_largest_models(arm: str, gflop: float, accuracy: float) -> None:
    runs = fs.dataset("openclip-mammut")
    scanned = runs.where(runs.labels["procedure"] == arm)
    large = scanned.where(scanned.labels["model"] == "ViT-L-14")
    per_sample = large["C"] / large["D"]
    assert np.ptp(per_sample) <= 1e-6 * per_sample[0]
    compute = 12.8e9 * float(per_sample[0])
    assert compute / GIGA == pytest.approx(gflop, rel=1e-3)
    found = fs.fit(frontier(scanned), "shifted-power", loss="squared")
    assert found.convergence is not None
    assert found.convergence.certified
    assert 100 * (1 - float(found.predict(C=compute).estimate[0])) == pytest.approx(accuracy, abs=0.3)


@pytest.mark.parametrize(
    ("arm", "errors"),
    [
        ("clip", (0.63204, 0.42440, 0.29696, 0.20486, 0.20117)),
        ("mammut", (0.69367, 0.44782, 0.29465, 0.18780, 0.18365)),
    ],
)
def test_errors_of_the_stored_constants(arm: str, errors: tuple[float, ...]) -> None:
    law = fs.law("shifted-power")
    at = np.array([1e9, 1e10, 1e11, 2.158e12, 2.593e12]) * GIGA
    np.testing.assert_allclose(law(law.constants(f"nezhurina2025-{arm}"), C=at), errors, atol=2e-5)


def test_the_frontier_keeps_running_minima() -> None:
    C = np.geomspace(1e16, 1e20, 40)
    loss = 0.9 - 0.01 * np.arange(40.0)
    loss[::3] += 0.05
    kept = frontier(fs.load({"C": C, "loss": loss}))
    assert (np.diff(kept["loss"]) < 0).all()
    assert kept["loss"].min() == loss.min()


def test_the_best_models_are_beaten_by_none_of_less_compute() -> None:
    runs = fs.load({"C": [4e18, 1e18, 2e18, 8e18], "loss": [0.45, 0.5, 0.6, 0.4]})
    assert sorted(best(runs)["loss"].tolist()) == [0.4, 0.45, 0.5]

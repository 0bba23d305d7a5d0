# SPDX-License-Identifier: Apache-2.0
"""inference_counts: attempts and passes as stated in the notes on inference-time compute, section 1.5."""

from __future__ import annotations

import os

import pytest

from forescale.runs.datasets import dataset

pytestmark = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")

PASSED = {
    "Pythia 70M": (828, 94), "Pythia 160M": (3422, 55), "Pythia 410M": (7960, 44), "Pythia 1B": (10667, 33),
    "Pythia 2.8B": (25999, 24), "Pythia 6.9B": (23757, 21), "Pythia 12B": (29685, 16),
}  # fmt: skip


def test_pythia() -> None:
    runs = dataset("pythia-math-counts")
    assert set(runs["trials"].tolist()) == {10000.0}
    for model, (passed, never) in PASSED.items():
        some = runs.where(runs.labels["model"] == model)
        assert len(some) == 128
        assert some["passed"].sum() == passed
        assert (some["passed"] == 0).sum() == never


def test_jailbreaks_stop_in_batches_of_60() -> None:
    runs = dataset("jailbreak-counts")
    assert len(runs) == 7 * 159
    assert (runs["trials"] % 60 == 0).all()
    assert (runs["passed"] <= runs["trials"]).all()

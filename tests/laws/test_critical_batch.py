# SPDX-License-Identifier: Apache-2.0
"""The critical batch: the hyperbola of steps and data, the law in the loss, the learning rate against the batch."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

HYPERBOLA = find("batch-steps")
RATE = find("lr-batch")


@pytest.mark.parametrize(
    ("source", "loss", "batch"),
    [
        ("kaplan2020", 4.0, 2.853e5),
        ("kaplan2020", 3.0, 1.1226e6),
        ("kaplan2020", 2.5, 2.675e6),
        ("kaplan2020", 2.0, 7.740e6),
        ("hu2024", 2.5, 3.98e6),
        ("hu2024", 2.2, 8.83e6),
    ],
)
def test_batch_of_a_loss(source: str, loss: float, batch: float) -> None:
    """k5, its neighbours, and MiniCPM's batch."""
    law = find("critical-batch")
    assert float(law(law.constants(source), loss=loss)) == pytest.approx(batch, rel=1e-3)


def test_misprints_are_kept_in_words_only() -> None:
    law = find("critical-batch")
    for source in ("kaplan2020", "hu2024"):
        assert "2e18" in law.published[source].note
        assert law.constants(source)["B_star"] < 1e10


def test_steps_and_data_lie_on_the_hyperbola() -> None:
    B = np.geomspace(1e3, 1e9, 40)
    S_min, B_crit = 2.5e4, 7e5
    S = HYPERBOLA({"S_min": S_min, "B_crit": B_crit}, batch_tokens=B)
    np.testing.assert_allclose((S / S_min - 1) * (S * B / (S_min * B_crit) - 1), 1.0, rtol=1e-10)
    assert float(HYPERBOLA({"S_min": S_min, "B_crit": B_crit}, batch_tokens=B_crit)) == 2 * S_min


def test_learning_rate_is_linear_then_constant() -> None:
    p = {"lr_max": 4e-3, "B_noise": 1e6}
    assert float(RATE(p, batch_tokens=1e2)) == pytest.approx(4e-3 * 1e2 / 1e6, rel=2e-4)
    assert float(RATE(p, batch_tokens=1e6)) == pytest.approx(2e-3, rel=1e-12)
    assert float(RATE(p, batch_tokens=1e12)) == pytest.approx(4e-3, rel=2e-6)


@pytest.mark.parametrize(("law", "scale"), [(HYPERBOLA, "B_crit"), (RATE, "B_noise")])
def test_recovery_from_noisy_sweeps(law: object, scale: str) -> None:
    """Twelve batches around the bend, 5 % noise: the bend is found to four of its Cramer-Rao errors."""
    truth = {"S_min": 3e4} if scale == "B_crit" else {"lr_max": 2e-3}
    truth[scale] = 5e5
    B = np.geomspace(2e4, 1e7, 12)
    y = law(truth, batch_tokens=B) * np.exp(0.05 * np.random.default_rng(2).standard_normal(12))  # type: ignore[operator]
    found = fit(Runs.from_columns({"batch_tokens": B, law.output: y}), law)  # type: ignore[attr-defined,arg-type]
    # d log y / d log scale = 1 / (1 + B / scale); the level is free.
    share = 1 / (1 + B / truth[scale])
    error = 0.05 / np.sqrt(((share - share.mean()) ** 2).sum())
    assert abs(np.log(found.params[scale] / truth[scale])) < 4 * error

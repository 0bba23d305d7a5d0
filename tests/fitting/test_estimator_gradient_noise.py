# SPDX-License-Identifier: Apache-2.0
"""The gradient noise scale: the two-batch formulas, simulated gradients, and when it cannot be had."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting._estimator import estimate
from forescale.fitting.estimators.gradient_noise import gradient_noise
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase


def measured(batches: tuple[float, ...], times: int, seed: int = 0, width: int = 200) -> tuple[Runs, float]:
    """Squared norms of gradients averaged over batches, and the true noise scale."""
    rng = np.random.default_rng(seed)
    true = rng.standard_normal(width) / np.sqrt(width)
    spread = np.exp(rng.standard_normal(width))
    scale = 3e4 / (spread**2).sum() * (true @ true)  # tr(Sigma) / |G|^2 = 3e4
    batch = np.repeat(batches, times)
    noise = rng.standard_normal((batch.size, width)) * spread * np.sqrt(scale / batch[:, None])
    return Runs.from_columns({"batch_tokens": batch, "grad_norm_sq": ((true + noise) ** 2).sum(axis=1)}), 3e4


class TestGradientNoise(EstimatorCase):
    examples = ((gradient_noise, measured((2e3, 3e4, 4e5), 40)[0], {}),)


def test_two_batches_are_the_printed_formulas() -> None:
    small, big, norm_small, norm_big = 4096.0, 262144.0, 0.83, 0.021
    runs = Runs.from_columns({"batch_tokens": [small, big], "grad_norm_sq": [norm_small, norm_big]})
    signal = (big * norm_big - small * norm_small) / (big - small)
    noise = (norm_small - norm_big) / (1 / small - 1 / big)
    found = estimate(runs, "gradient-noise").numbers
    assert found["signal"] == pytest.approx(signal, rel=1e-9)
    assert found["noise"] == pytest.approx(noise, rel=1e-9)
    assert found["B_simple"] == pytest.approx(noise / signal, rel=1e-9)


@pytest.mark.parametrize("batches", [(4e3, 2e5), (2e3, 2e4, 2e5)])
def test_simulated_gradients(batches: tuple[float, ...]) -> None:
    """400 measurements per batch: the mean of 40 repetitions is the truth to four of its errors."""
    found = [estimate(measured(batches, 400, seed)[0], "gradient-noise").numbers["B_simple"] for seed in range(40)]
    assert abs(np.mean(found) - 3e4) < 4 * np.std(found) / np.sqrt(40) + 0.005 * 3e4


def test_means_come_before_the_ratio() -> None:
    """Ratios of single pairs are useless: some are negative, the mean is dominated by a few."""
    runs, truth = measured((4e3, 6e4), 300, 7)
    norm = runs["grad_norm_sq"].reshape(2, 300)
    signal = (6e4 * norm[1] - 4e3 * norm[0]) / 5.6e4
    noise = (norm[0] - norm[1]) / (1 / 4e3 - 1 / 6e4)
    assert np.std(noise / signal) > 0.2 * truth
    assert estimate(runs, "gradient-noise").numbers["B_simple"] == pytest.approx(truth, rel=0.05)


def test_what_cannot_be_estimated_is_said() -> None:
    one = Runs.from_columns({"batch_tokens": [1e3, 1e3, 1e3], "grad_norm_sq": [1.0, 1.1, 0.9]})
    with pytest.raises(DataError, match="one batch"):
        estimate(one, "gradient-noise")
    rising = Runs.from_columns({"batch_tokens": [1e3, 1e5], "grad_norm_sq": [1.0, 1.1]})
    with pytest.raises(DataError, match="both positive"):
        estimate(rising, "gradient-noise")

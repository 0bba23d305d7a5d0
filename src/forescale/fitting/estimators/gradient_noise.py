# SPDX-License-Identifier: Apache-2.0
"""The gradient noise scale from gradient norms at two or more batches (McCandlish et al. 2018, appendix A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.core.streams import block_streams
from forescale.fitting._estimator import Estimator, Options
from forescale.runs.derive import require, require_positive
from forescale.runs.table import Runs

Array = NDArray[np.float64]


_BLOCK = 1 << 22
"""Numbers drawn at once, to bound memory."""


@dataclass(frozen=True)
class State:
    """E|G_B|^2 = signal + noise / B: the squared norm of the true gradient, and the trace of the noise covariance."""

    signal: float
    noise: float


def learn(runs: Runs, _: Options) -> State:
    """Means per batch first, the ratio last: a ratio of noisy numbers is biased, a ratio of means hardly."""
    table = require_positive(runs, "batch_tokens", "grad_norm_sq")
    batch, norm = table["batch_tokens"], table["grad_norm_sq"]
    batches, place, count = np.unique(batch, return_inverse=True, return_counts=True)
    if batches.size < 2:
        raise DataError(message("gradient norms at one batch", "two batches or more, well apart"))
    signal, noise = parts(batches, np.bincount(place, norm) / count, count)
    if not (signal > 0 and noise > 0):
        raise DataError(
            message(
                f"the norms give |G|^2 = {signal:.3g} and tr(Sigma) = {noise:.3g}",
                "both positive",
                "measure more often, and at batches further apart",
            )
        )
    return State(float(signal), float(noise))


def parts(batches: Array, mean: Array, count: NDArray[np.intp]) -> tuple[Any, Any]:
    """|G|^2 and tr(Sigma) from mean squared norms (..., k) at k batches, by weighted least squares.

    With two batches any weights give the two-batch estimator; with more, errors in proportion to the norm.
    """
    weight, x = count / mean**2, 1.0 / batches
    total = weight.sum(axis=-1)
    x_0, y_0 = (weight * x).sum(axis=-1) / total, (weight * mean).sum(axis=-1) / total
    away = x - np.asarray(x_0)[..., None]
    noise = (weight * away * mean).sum(axis=-1) / (weight * away**2).sum(axis=-1)
    return y_0 - noise * x_0, noise


def resampled(runs: Runs, draws: int, rng: int = 0) -> Array:
    """(1 + draws,) B_simple: the estimate, then from norms resampled within each batch; NaN where it cannot be had.

    All draws are NaN where a batch was measured once: nothing shows its scatter.

    Raises:
        DataError: as `learn`.
    """
    state = learn(runs, {})
    table = require(runs, "batch_tokens", "grad_norm_sq")
    batches, place, count = np.unique(table["batch_tokens"], return_inverse=True, return_counts=True)
    found = np.full(1 + draws, np.nan)
    found[0] = state.noise / state.signal
    if count.min() < 2:
        return found
    random = block_streams(rng, 1)[0]
    means = np.empty((draws, batches.size))
    for k in range(batches.size):
        norms = table["grad_norm_sq"][place == k]
        block = max(1, _BLOCK // norms.size)
        for start in range(0, draws, block):
            some = min(block, draws - start)
            means[start : start + some, k] = norms[random.integers(0, norms.size, (some, norms.size))].mean(axis=1)
    signal, noise = parts(batches, means, count)
    good = (signal > 0) & (noise > 0)
    found[1:] = np.where(good, noise / np.where(good, signal, 1.0), np.nan)
    return found


def predict(state: State, columns: Mapping[str, Any]) -> Array:
    """The expected squared norm of the gradient at a batch."""
    return np.asarray(state.signal + state.noise / columns["batch_tokens"], dtype=np.float64)


gradient_noise = Estimator(
    id="gradient-noise",
    title="Gradient noise scale from gradient norms at two batches",
    topic="training dynamics",
    output="grad_norm_sq",
    learn=learn,
    predict=predict,
    numbers=lambda state: {
        "B_simple": state.noise / state.signal,
        "signal": state.signal,
        "noise": state.noise,
    },
    needs=("batch_tokens",),
    least=2,
    meaning=(
        "The squared norm of a gradient averaged over B tokens is |G|^2 + tr(Sigma) / B: signal and noise. Norms at "
        "a small and a large batch, such as one device and all of them, give both, and their ratio B_simple is about "
        "the critical batch: larger batches than that save few steps. No training run is needed beyond the one that "
        "goes on anyway."
    ),
    traps=(
        "Use squared norms, before clipping, at the same weights for both batches.",
        "One measurement is far too noisy: average hundreds, numerator and denominator apart.",
        "The noise scale grows during training: give the rows of one stretch of it at a time.",
        "B_simple ignores curvature and the optimiser's preconditioning: it gives the order of the critical batch.",
    ),
    papers=("mccandlish2018",),
)

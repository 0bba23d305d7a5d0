# SPDX-License-Identifier: Apache-2.0
"""The gradient noise scale from gradient norms at two or more batches (McCandlish et al. 2018, appendix A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """E|G_B|^2 = signal + noise / B: the squared norm of the true gradient, and the trace of the noise covariance."""

    signal: float
    noise: float


def learn(runs: Runs, _: Options) -> State:
    """Means per batch first, the ratio last: a ratio of noisy numbers is biased, a ratio of means hardly."""
    table = require(runs, "batch_tokens", "grad_norm_sq")
    batch, norm = table["batch_tokens"], table["grad_norm_sq"]
    if not (norm > 0).all():
        raise DataError(message("squared gradient norms that are zero or negative", "positive numbers"))
    batches, place, count = np.unique(batch, return_inverse=True, return_counts=True)
    if batches.size < 2:
        raise DataError(message("gradient norms at one batch", "two batches or more, well apart"))
    mean = np.bincount(place, norm) / count
    # With two batches any weights give the two-batch estimator; with more, errors in proportion to the norm.
    weight = np.sqrt(count) / mean
    columns = np.stack([np.ones_like(batches), 1.0 / batches], axis=1)
    signal, noise = np.linalg.lstsq(columns * weight[:, None], mean * weight, rcond=None)[0]
    if not (signal > 0 and noise > 0):
        raise DataError(
            message(
                f"the norms give |G|^2 = {signal:.3g} and tr(Sigma) = {noise:.3g}",
                "both positive",
                "measure more often, and at batches further apart",
            )
        )
    return State(float(signal), float(noise))


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

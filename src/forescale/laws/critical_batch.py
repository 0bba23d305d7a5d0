# SPDX-License-Identifier: Apache-2.0
"""The critical batch: what a larger batch saves, and when (McCandlish et al. 2018, Kaplan et al. 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor, location
from forescale.laws._terms import log_coefficients, loss_batch

Array = NDArray[np.float64]


def batch_of_loss(loss: Any, B_star: Any, alpha_B: Any) -> Any:
    """B_crit(L) = B_star / L^(1 / alpha_B) (Kaplan et al. 2020, eq. 1.4)."""
    return loss_batch(loss, B_star, alpha_B)


def batch_starts(loss: Array, y: Array) -> dict[str, Array]:
    """A regression of the logarithms."""
    level, slope = log_coefficients(y, loss)
    return {"B_star": np.exp([level]), "alpha_B": np.array([1.0 / max(-slope, 1e-2)])}


def steps_to_level(batch_tokens: Any, S_min: Any, B_crit: Any) -> Any:
    """S(B) = S_min (1 + B_crit / B): the same as (S / S_min - 1) (E / E_min - 1) = 1 (McCandlish et al. 2018)."""
    return S_min * (1.0 + B_crit / batch_tokens)


def batch_for_steps(steps: Any, S_min: Any, B_crit: Any) -> Any:
    """B with S(B) = `steps`: B_crit S_min / (S - S_min); NaN where no batch takes so few steps."""
    return np.where(steps > S_min, B_crit * S_min / np.where(steps > S_min, steps - S_min, 1.0), np.nan)


def batch_for_price(B_crit: Any, step: Any, token: Any) -> Any:
    """B of least cost where a step costs `step` and a token `token`: sqrt(B_crit step / token).

    The cost is S_min [step (1 + B_crit / B) + token (B + B_crit)].
    """
    return np.sqrt(B_crit * step / token)


def rate_of_batch(batch_tokens: Any, lr_max: Any, B_noise: Any) -> Any:
    """lr(B) = lr_max / (1 + B_noise / B) (McCandlish et al. 2018)."""
    return lr_max / (1.0 + B_noise / batch_tokens)


def small_batch_compute(C: Any, batch: Any, critical: Any) -> Any:
    """C_min = C / (1 + B / B_crit): the compute that a tiny batch would need (McCandlish et al. 2018)."""
    return C / (1.0 + batch / critical)


critical_batch = Law(
    id="critical-batch",
    topic="training dynamics",
    title="Batch that belongs to a level of the loss",
    inputs=("loss",),
    output="batch_tokens",
    params={
        "B_star": amplitude("batch at a loss of 1", start=(1e6, 1e11), unit="tokens"),
        "alpha_B": exponent("the batch grows as the loss falls, as L^(-1 / alpha_B)", start=(0.05, 1.0)),
    },
    formula=batch_of_loss,
    linear=("B_star",),
    decreasing_in=("loss",),
    loss="log-squared",
    starts=batch_starts,
    latex=r"B(L) = \frac{B_{star}}{L^{1 / \alpha_{B}}}",
    meaning=(
        "Below the critical batch a larger batch saves steps at almost no cost in data, above it hardly saves any. "
        "Kaplan et al. find that it depends on the loss alone, not on the size of the model: raise the batch as the "
        "loss falls. MiniCPM gives its best batch in the same form."
    ),
    traps=(
        "Measured by hyperbolas at levels of the loss that all batches reach, with the learning rate tuned for each "
        "batch; a rate that suits one batch only makes an artefact.",
        "The critical batch (Kaplan) and the batch of least loss (MiniCPM) are different questions.",
        "Depends on the unit of the loss: nats per token of one tokenizer.",
    ),
    papers=("kaplan2020", "mccandlish2018", "hu2024", "li2025steplaw"),
    published={
        "kaplan2020": Published(
            values={"B_star": 2.1e8, "alpha_B": 0.21},
            source="kaplan2020",
            conventions={"D": "tokens", "loss": "nats/token"},
            note=(
                "WebText2. The paper's text says 2e8 as well. The table of competitors in Li et al. 2025 prints 2e18 "
                "L^-4.7619, a misprint."
            ),
        ),
        "hu2024": Published(
            values={"B_star": 1.21e9, "alpha_B": 1 / 6.24},
            source="hu2024",
            conventions={"D": "tokens", "loss": "nats/token"},
            note=(
                "MiniCPM: the batch of least loss, not the critical one; printed as 1.21e9 / L^6.24, here "
                "alpha_B = 1 / 6.24. The table of competitors in Li et al. 2025 prints 2e18, a misprint."
            ),
        ),
    },
    checks=(
        Check("kaplan2020", {"loss": 4.0}, 2.853e5, 2.853e2, "kaplan2020"),
        Check("kaplan2020", {"loss": 3.0}, 1.1226e6, 1.1226e3, "kaplan2020"),
        Check("kaplan2020", {"loss": 2.5}, 2.675e6, 2.675e3, "kaplan2020"),
        Check("kaplan2020", {"loss": 2.0}, 7.740e6, 7.740e3, "kaplan2020"),
        Check("hu2024", {"loss": 2.5}, 3.98e6, 3.98e3, "hu2024"),
        Check("hu2024", {"loss": 2.2}, 8.83e6, 8.83e3, "hu2024"),
    ),
)

batch_steps = Law(
    id="batch-steps",
    topic="training dynamics",
    title="Steps to a level of the loss against the batch",
    inputs=("batch_tokens",),
    output="steps",
    params={
        "S_min": floor("steps that no batch can save", start=(1e2, 1e6)),
        "B_crit": location("critical batch: there steps and data are both twice their least", start=(1e4, 1e8)),
    },
    formula=steps_to_level,
    linear=("S_min",),
    decreasing_in=("batch_tokens",),
    floor="S_min",
    loss="log-squared",
    refuses={"compute-optimal": "it is about one model; the data it needs are steps times batch"},
    latex=r"S(B) = S_{min} \left( 1 + \frac{B_{crit}}{B} \right)",
    meaning=(
        "Runs of one model at several batches, and the steps at which each first reaches a given loss. Small batches "
        "need the least data, E_min = B_crit S_min; large ones the fewest steps, S_min; in between the two trade on "
        "a hyperbola, (S / S_min - 1) (E / E_min - 1) = 1 with E = B S. Training at B_crit costs twice of each; "
        "small_batch_compute of laws/critical_batch.py gives the compute that a tiny batch would need."
    ),
    traps=(
        "The learning rate must be tuned for every batch, or scaled by lr-batch; otherwise large batches look bad.",
        "One level of the loss, reached by all batches: the critical batch grows as the loss falls (critical-batch).",
        "Smooth the losses before reading off the step: the first noisy crossing comes too early.",
    ),
    papers=("mccandlish2018", "kaplan2020", "su2024"),
)

lr_batch = Law(
    id="lr-batch",
    topic="training dynamics",
    title="Best learning rate against the batch",
    inputs=("batch_tokens",),
    output="lr_peak",
    params={
        "lr_max": amplitude("best learning rate of an endless batch", start=(1e-5, 1.0)),
        "B_noise": location("noise scale: the batch at which half of that is best", start=(1e4, 1e8)),
    },
    formula=rate_of_batch,
    linear=("lr_max",),
    loss="log-squared",
    refuses={"compute-optimal": "it predicts a learning rate, not a loss"},
    latex=r"\epsilon_{opt}(B) = \frac{\mathrm{lr}_{max}}{1 + B_{noise} / B}",
    meaning=(
        "Small batches want learning rates in proportion to the batch, because the noise of the gradient limits the "
        "step; large ones a constant, because the curvature does. The bend is the gradient noise scale, which the "
        "estimator gradient-noise measures without training runs. Use it to carry a tuned rate to another batch."
    ),
    traps=(
        "Derived for SGD; with Adam, rates at small batches grow more slowly, about as the root of the batch.",
        "The noise scale grows during training: the bend belongs to the stretch of training it was measured on.",
        "Batches on one side of the bend only leave one of the two parameters unknown.",
    ),
    papers=("mccandlish2018",),
)

# SPDX-License-Identifier: Apache-2.0
"""What quantising a trained model costs (Ouyang et al. 2024), and the tokens that a tolerance allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, amplitude, exponent
from forescale.numerics.curves import regressions

Array = NDArray[np.float64]


def added(N: Any, D: Any, bits: Any, k: Any, beta: Any, alpha: Any, gamma: Any) -> Any:
    """degradation = k D^beta / (N^alpha bits^gamma) (Ouyang et al. 2024, the unified law)."""
    return k * D**beta * N**-alpha * bits**-gamma


def allowed_tokens(tolerance: Any, N: Any, bits: Any, *, k: Any, beta: Any, alpha: Any, gamma: Any) -> Any:
    """Training tokens at which quantising to `bits` costs `tolerance`: the law solved for D."""
    return (tolerance * N**alpha * bits**gamma / k) ** (1 / beta)


def starts(N: Array, D: Array, bits: Array, y: Array) -> dict[str, Array]:
    """The regression of log y on the three logarithms."""
    columns = np.stack([np.ones_like(y), np.log(D), -np.log(N), -np.log(bits)])
    found = regressions(columns[None], np.log(y), np.ones(y.size))[0][0]
    beta, alpha, gamma = np.maximum(found[1:], 1e-3)
    # the level that belongs to the exponents, where those were moved
    level = np.mean(np.log(y) - beta * columns[1] - alpha * columns[2] - gamma * columns[3])
    return {"k": np.exp([level]), "beta": beta[None], "alpha": alpha[None], "gamma": gamma[None]}


quantisation = Law(
    id="quantisation",
    topic="precision and inference shape",
    title="Loss added by quantising a trained model",
    inputs=("N", "D", "bits"),
    output="degradation",
    params={
        "k": amplitude("loss added at one token, one parameter and one bit"),
        "beta": exponent("how fast more training tokens make it worse"),
        "alpha": exponent("how fast more parameters make it better"),
        "gamma": exponent("how fast more bits make it better", start=(1.0, 12.0)),
    },
    formula=added,
    linear=("k",),
    decreasing_in=("N", "bits"),
    domain={"bits": (2.0, 8.0)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": "this is what comes on top of a loss: add it to a law in N and D",
        "reach": "it grows with tokens; allowed_tokens of laws/quantisation.py says how many a tolerance allows",
    },
    loss="log-squared",
    starts=starts,
    latex=r"\Delta L = k \, \frac{D^{\beta}}{N^{\alpha} \, \mathrm{bits}^{\gamma}}",
    meaning=(
        "Loss after quantising the weights of a trained model to few bits, minus its loss before (in 16 bits): more "
        "for models that saw many tokens per parameter, so that a model is hard to quantise when it is well trained. "
        "A straight line in all three logarithms. The other way round it says how many tokens a model can be trained "
        "on until quantising costs a given tolerance, and so how well trained a model is."
    ),
    traps=(
        "A pure power law without an end: it answers 50 nats for 2 bits at 1e14 tokens, where guessing does better. "
        "Cap it at the logarithm of the vocabulary, or at the loss of word frequencies, minus the loss.",
        "Fitted up to 2e11 tokens and used up to 1e14: an extrapolation by a factor of 500.",
        "Checkpoints in the middle of a learning-rate schedule; annealing changes how sensitive a model is.",
        "The constants belong to one quantiser (GPTQ) and one family (Pythia): refit for others.",
        "Quantising after training is no training in low precision: take this law or float-precision, never both.",
        "Rows without a positive degradation have no logarithm; leaving them out favours large values.",
    ),
    papers=("ouyang2024",),
    published={
        "ouyang2024": Published(
            values={"k": 0.017, "beta": 0.5251, "alpha": 0.2261, "gamma": 5.4967},
            source="ouyang2024",
            conventions={"N": "non-embedding", "D": "tokens", "loss": "nats/token"},
            fitted_range={"N": (1.6e8, 1.2e10), "D": (1e9, 2.06e11), "bits": (2.0, 4.0)},
            note=(
                "More than 1,500 quantised checkpoints of Pythia 160M to 12B (sizes by name) of up to 206B tokens, "
                "GPTQ. Printed to these digits. In the range above the least tokens and the bits are our reading. "
                "The losses are not public as a table, so not refitted."
            ),
        ),
    },
    checks=(
        Check("ouyang2024", {"N": 7e9, "D": 1e14, "bits": 4}, 1.1131, 1e-4, "ouyang2024"),
        Check("ouyang2024", {"N": 1e9, "D": 1e11, "bits": 4}, 0.045952, 5e-7, "ouyang2024"),
        Check("ouyang2024", {"N": 70e9, "D": 1e14, "bits": 3}, 3.21, 5e-3, "ouyang2024"),
        Check("ouyang2024", {"N": 405e9, "D": 1e14, "bits": 2}, 20.1, 5e-2, "ouyang2024"),
    ),
)

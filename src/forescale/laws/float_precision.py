# SPDX-License-Identifier: Apache-2.0
"""Training in floating-point formats of few bits (Sun et al. 2025), and what follows from it in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor

HALF = 0.5
"""The law counts half a bit more than a format has: no format is worth nothing."""


def precision(exponent_bits: Any, mantissa_bits: Any, block: Any, gamma: Any, delta: Any, nu: Any) -> Any:
    """log2(block) / (gamma (e + 1/2)^delta (m + 1/2)^nu): loss added per D^beta / N^alpha."""
    return np.log2(block) / (gamma * (exponent_bits + HALF) ** delta * (mantissa_bits + HALF) ** nu)


def loss(
    N: Any,
    D: Any,
    exponent_bits: Any,
    mantissa_bits: Any,
    block: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    gamma: Any,
    delta: Any,
    nu: Any,
) -> Any:
    """L = E + A / N^alpha + B / D^beta + (D^beta / N^alpha) log2(block) / (gamma (e + .5)^delta (m + .5)^nu).

    e and m are exponent and mantissa bits (Sun et al. 2025, the unified law).
    """
    added = precision(exponent_bits, mantissa_bits, block, gamma, delta, nu)
    return E + A * N**-alpha + B * D**-beta + D**beta * N**-alpha * added


# -- closed forms: any numbers or arrays that broadcast --------------------------------------------------------------


def best_split(bits: Any, delta: Any, nu: Any) -> tuple[Any, Any]:
    """Exponent and mantissa bits (real numbers) that add least loss in a format of `bits`, one of them the sign."""
    return delta * bits / (delta + nu) - HALF, nu * bits / (delta + nu) - HALF


def best_split_scale(gamma: Any, delta: Any, nu: Any) -> Any:
    """gamma_rho: the best split adds (D^beta / N^alpha) log2(block) / (gamma_rho bits^(delta + nu))."""
    total = delta + nu
    return gamma * delta**delta * nu**nu / total**total


def critical_tokens(
    N: Any,
    exponent_bits: Any,
    mantissa_bits: Any,
    block: Any,
    *,
    alpha: Any,
    B: Any,
    beta: Any,
    gamma: Any,
    delta: Any,
    nu: Any,
    **_: Any,
) -> Any:
    """D_crit, beyond which more tokens make the loss worse: B D^-beta + D^beta (...) is least there."""
    added = precision(exponent_bits, mantissa_bits, block, gamma, delta, nu)
    return (B * N**alpha / added) ** (1 / (2 * beta))


def best_bits(D: Any, block: Any, *, A: Any, alpha: Any, beta: Any, gamma: Any, delta: Any, nu: Any, **_: Any) -> Any:
    """Bits of least loss at D tokens when the cost goes with N times bits: more bits leave fewer parameters.

    bits^(delta + nu) = (delta + nu - alpha) / (alpha A gamma_rho) D^beta log2(block), each format at its best split.
    """
    total = delta + nu
    scale = (total - alpha) / (alpha * A * best_split_scale(gamma, delta, nu))
    return (scale * D**beta * np.log2(block)) ** (1 / total)


_CONSTANTS = {
    "E": 1.9061,
    "A": 69.2343,
    "alpha": 0.2368,
    "B": 68973.0621,
    "beta": 0.5162,
    "gamma": 11334.5197,
    "delta": 3.1926,
    "nu": 2.9543,
}
_SOURCE = "sun2025"

float_precision = Law(
    id="float-precision",
    topic="precision and inference shape",
    title="Parameters, tokens and a floating-point training format",
    inputs=("N", "D", "exponent_bits", "mantissa_bits", "block"),
    params={
        "E": floor("irreducible loss in a format without rounding", start=(0.1, 5.0)),
        "A": amplitude("size of the penalty for finite parameters"),
        "alpha": exponent("how fast more parameters help, against few parameters and against rounding alike"),
        "B": amplitude("size of the penalty for finite data"),
        "beta": exponent("how fast more tokens help, and how fast they make rounding hurt"),
        "gamma": amplitude("how much rounding is forgiven: the added loss goes as 1 / gamma", start=(1e1, 1e6)),
        "delta": exponent("how fast exponent bits take the added loss away", start=(0.5, 6.0)),
        "nu": exponent("how fast mantissa bits take the added loss away", start=(0.5, 6.0)),
    },
    formula=loss,
    linear=("E", "A", "B"),
    decreasing_in=("N", "exponent_bits", "mantissa_bits"),
    absolute=("exponent_bits", "mantissa_bits", "block"),
    domain={"exponent_bits": (1.0, 8.0), "mantissa_bits": (1.0, 7.0), "block": (16.0, 512.0)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": "which format costs what is no part of the law; best_bits, best_split and critical_tokens "
        "of laws/float_precision.py answer for a cost that goes with N times bits",
        "reach": "with rounding the loss does not fall for ever in tokens: see critical_tokens",
    },
    latex=(
        r"L = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}} + \frac{D^{\beta}}{N^{\alpha}} \, "
        r"\frac{\log_{2} b}{\gamma \, (e + \frac{1}{2})^{\delta} (m + \frac{1}{2})^{\nu}}"
    ),
    meaning=(
        "Chinchilla's law plus what rounding adds when the inputs of the matrix products are quantised while "
        "training: more, the more tokens per parameter have been packed in, and less with each exponent bit e and "
        "mantissa bit m; b numbers share one scaling factor. Beyond a critical number of tokens more data makes the "
        "loss worse. Use it to choose a training format, its split into bits, and how far it carries."
    ),
    traps=(
        "A format of P bits has P = e + m + 1: the sign counts.",
        "gamma, delta and nu move together: compare predictions and the best split, not gamma.",
        "Fitted on 41M to 679M parameters and 1e10 to 1e11 tokens; the critical tokens of 1e9 parameters lie "
        "4 (E2M1) to 17,000 times (E8M7) further out, and only a few runs up to 70B parameters were checked.",
        "For one scaling factor per channel the paper takes log2 b = 13.1567; one per tensor depends on N and D.",
        "Quantising after training is another matter: see quantisation.",
    ),
    papers=("sun2025",),
    published={
        "sun2025": Published(
            values=_CONSTANTS,
            source=_SOURCE,
            conventions={"D": "tokens", "loss": "nats/token"},
            fitted_range={"N": (4.1e7, 6.79e8), "D": (1e10, 1e11)},
            note=(
                "366 runs, 358 of them fitted, of 41M, 85M, 154M and 679M parameters; checked by them at 1.2B, "
                "7B and 70B. Here E is their epsilon, A their n, B their d. The runs are not public: not refitted. "
                "Which N was counted, and the formats and block sizes of the grid, were not found."
            ),
        ),
    },
    checks=(
        Check(
            _SOURCE,
            {"N": 1e9, "D": 1e11, "exponent_bits": 4, "mantissa_bits": 3, "block": 128},
            2.56307,
            1e-5,
            _SOURCE,
        ),
        Check(
            _SOURCE,
            {"N": 1e9, "D": 1e11, "exponent_bits": 2, "mantissa_bits": 1, "block": 128},
            2.59787,
            1e-5,
            _SOURCE,
        ),
        # One number per scaling factor: nothing is rounded together, the law without its last term.
        Check(
            _SOURCE, {"N": 1e9, "D": 1e11, "exponent_bits": 8, "mantissa_bits": 7, "block": 1}, 2.56263, 1e-5, _SOURCE
        ),
    ),
)

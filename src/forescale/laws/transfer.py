# SPDX-License-Identifier: Apache-2.0
"""The spectrum of a trained matrix, and weight decay that carries over to wider models (Fan et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, amplitude, exponent
from forescale.laws._terms import log_coefficients

Array = NDArray[np.float64]


def top_singular_value(lr_peak: Any, weight_decay: Any, width: Any, k: Any, b: Any, c: Any, w: Any) -> Any:
    """sigma_max = k lr^b wd^-c width^w (Fan et al. 2025: b = c = 1/2, w = 3/4)."""
    return k * lr_peak**b * weight_decay**-c * width**w


def starts(lr_peak: Array, weight_decay: Array, width: Array, y: Array) -> dict[str, Array]:
    """A regression of the logarithms."""
    level, b, c, w = log_coefficients(y, lr_peak, weight_decay, width)
    powers = {"b": b, "c": -c, "w": w}
    return {"k": np.exp([level]), **{name: np.array([max(v, 1e-2)]) for name, v in powers.items()}}


def decay_power(b: Any, c: Any, w: Any, rate_power: Any = -1.0) -> Any:
    """The power of width at which weight decay must grow for the top singular value not to move.

    sigma ~ lr^b wd^-c width^w with lr ~ width^rate_power and wd ~ width^x stands still at
    x = (w + b rate_power) / c; with the powers .5, .5, .75 of Fan et al. 2025 and lr ~ 1 / width that is 1/2.
    """
    return (w + b * rate_power) / c


def to_width(lr: Any, wd: Any, ratio: Any, x: Any = 0.5) -> tuple[Any, Any]:
    """lr / ratio, wd ratio^x: rate and weight decay of matrices at `ratio` times the width (Fan et al. 2025).

    Vectors (norms, biases, the embedding) keep their learning rate and get no decay. `wd` multiplies the learning
    rate, as in PyTorch's AdamW; where it does not, it must equal their product.
    """
    return lr / ratio, wd * ratio**x


def decay_steps(lr: Any, wd: Any) -> Any:
    """1 / (lr wd): the steps over which AdamW forgets, and which a run must exceed by far to settle."""
    return 1.0 / (lr * wd)


@dataclass(frozen=True)
class Scaling:
    """Powers of the width at which one kind of tensor scales under muP with Adam (Yang et al. 2022, tables 3 and 8).

    Attributes:
        variance, rate, multiplier: powers of the fan-in, as ratios to the proxy; of the initial variance, of Adam's
            learning rate, and of the factor on the tensor's output.
        decays: whether the tensor gets weight decay: matrices do, vectors do not (Fan et al. 2025).
    """

    variance: float
    rate: float
    multiplier: float
    decays: bool


MUP: Mapping[str, Scaling] = {
    "embedding": Scaling(0.0, 0.0, 0.0, False),
    "vector": Scaling(0.0, 0.0, 0.0, False),
    "matrix": Scaling(-1.0, -1.0, 0.0, True),
    "head": Scaling(-2.0, -1.0, 0.0, False),
    "head with multiplier": Scaling(0.0, 0.0, -1.0, False),
}
"""Kinds of tensors: a vector has one side that grows with width (norms, biases), a matrix two. The two heads are one
function under Adam: a tensor m times as large, with m times the rate and 1 / m on its output. Some start the head
with the multiplier at 1 / fan-in: then what reaches the logits from the layers below falls as width^-1/2."""


singular_value = Law(
    id="top-singular-value",
    topic="training dynamics",
    title="Top singular value of a trained matrix against learning rate, weight decay and width",
    inputs=("lr_peak", "weight_decay", "width"),
    output="sigma_max",
    params={
        "k": amplitude("prefactor; no published value", start=(1e-3, 1e3)),
        "b": exponent("power of the learning rate of matrices, 1/2 as published", start=(0.05, 2.0)),
        "c": exponent("power of one over weight decay, 1/2 as published", start=(0.05, 2.0)),
        "w": exponent("power of width, 3/4 as published, measured on models of LLaMA's kind", start=(0.05, 2.0)),
    },
    formula=top_singular_value,
    linear=("k",),
    decreasing_in=("weight_decay",),
    loss="log-squared",
    starts=starts,
    domain={"weight_decay": (1e-3, 1.0)},
    refuses={"compute-optimal": "it predicts the size of a matrix, not a loss"},
    latex=r"\sigma_{max} = k \, \eta^{b} \lambda^{-c} d^{w}",
    meaning=(
        "Long into training, AdamW balances gradient noise against decay: the spectrum of each matrix keeps its "
        "shape, with a size of sqrt(lr / wd), and its top grows with width. A wider model behaves like the proxy "
        "when that top stands still: with lr ~ 1 / width this asks for wd ~ width^((w - b) / c), the root of width "
        "for the published powers; decay_power and to_width of laws/transfer.py do it. Fit it to sigma_max of "
        "proxies of several widths to check the rule and correct it."
    ),
    traps=(
        "The rule is wd ~ sqrt(width). Plain-text copies of the abstract lost the root sign: with wd ~ width the top "
        "falls as width^-1/4, with constant wd it grows as width^1/4.",
        "lr and wd are those of matrices, in the convention of PyTorch's AdamW, where decay is lr times wd. Where "
        "decay is not multiplied by the rate, that product must fall as 1 / sqrt(width).",
        "Norms, biases and embeddings are vectors: their rate stays, and they get no decay.",
        "Needs a steady state: runs much longer than 1 / (lr wd) steps, which itself grows as sqrt(width).",
        "Published are the powers only, no prefactor and no table; batch and depth are not covered.",
    ),
    papers=("fan2025", "yang2022"),
    published={
        "fan2025": Published(
            values={"k": 1.0, "b": 0.5, "c": 0.5, "w": 0.75},
            source="fan2025",
            note=(
                "The powers only: no prefactor is published, k = 1 stands for it, and only ratios of singular values "
                "mean anything."
            ),
        )
    },
    checks=(
        Check("fan2025", {"lr_peak": 4e-3, "weight_decay": 0.1, "width": 256.0}, 12.8, 1e-9, "fan2025"),
        Check("fan2025", {"lr_peak": 1e-3, "weight_decay": 0.2, "width": 1024.0}, 12.8, 1e-9, "fan2025"),
    ),
)

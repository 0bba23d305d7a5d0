# SPDX-License-Identifier: Apache-2.0
"""Quality against the total bits of a model (Ding et al. 2025)."""

from __future__ import annotations

from typing import Any

from forescale.laws._law import Law, amplitude, exponent, floor


def loss(N: Any, bits: Any, E: Any, A: Any, alpha: Any) -> Any:
    """L(N, bits) = E + A (N bits)^-alpha (ours; Ding et al. 2025 draw quality over total bits)."""
    return E + A * (N * bits) ** -alpha


bit_frontier = Law(
    id="bit-frontier",
    topic="precision and inference shape",
    title="Total bits, parameters times bits each, with a floor",
    inputs=("N", "bits"),
    params={
        "E": floor("loss in the limit of endless memory"),
        "A": amplitude("reducible loss of a model of one bit"),
        "alpha": exponent("how fast more bits help, whichever way they are spent"),
    },
    formula=loss,
    linear=("E", "A"),
    decreasing_in=("N", "bits"),
    floor="E",
    domain={"bits": (2.0, 16.0)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": "the law has no term for data, and by its form the split into parameters and bits does "
        "not matter: whether it does is what its residuals tell",
        "reach": "a level of loss fixes only the product of parameters and bits",
    },
    latex=r"L(N, \mathrm{bits}) = E + A \, (N \, \mathrm{bits})^{-\alpha}",
    meaning=(
        "A model of N parameters of b bits takes N b bits of memory; if that is all that counts, models of all "
        "widths lie on one curve. The null hypothesis of bit-level scaling: rows of one bit width that lie off the "
        "common curve say which width spends memory best. One curve per method gives the bits that a method saves."
    ),
    traps=(
        "It cannot say which bit width is best: to ask that, group by bits or fit parameter-efficiency.",
        "Rows of 16 bits lie far above the frontier where 8 bits cost nothing: fit the best rows per budget of bits, "
        "not all.",
        "Models compared must have seen the same data; distillation and longer training of the quantised model are "
        "costs of their own.",
    ),
    papers=("ding2025",),
)

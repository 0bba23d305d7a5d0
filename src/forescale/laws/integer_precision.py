# SPDX-License-Identifier: Apache-2.0
"""What a parameter is worth in few bits: by a curve in bits (Kumar et al. 2024), or freely per scheme (QuEST)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forescale.core.errors import LawError, message
from forescale.laws._family import Family
from forescale.laws._law import Law, amplitude, exponent, floor, location, symbol


def worth(bits: Any, gamma: Any) -> Any:
    """1 - exp(-bits / gamma): the share of a parameter that is left at `bits`."""
    return -np.expm1(-bits / gamma)


def loss(
    N: Any,
    D: Any,
    bits: Any,
    activation_bits: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    gamma_w: Any,
    gamma_a: Any,
) -> Any:
    """L = E + A / N_eff^alpha + B / D^beta, N_eff = N (1 - e^(-bits / gamma_w)) (1 - e^(-activation_bits / gamma_a)).

    Kumar et al. (2024), weights and activations.
    """
    effective = N * worth(bits, gamma_w) * worth(activation_bits, gamma_a)
    return E + A * effective**-alpha + B * D**-beta


_SIZE_AND_DATA = {
    "E": floor("irreducible loss: endless parameters, data and bits", start=(0.1, 5.0)),
    "A": amplitude("size of the penalty for finite parameters in full precision"),
    "alpha": exponent("how fast more effective parameters help"),
    "B": amplitude("size of the penalty for finite data"),
    "beta": exponent("how fast more tokens help"),
}
_REFUSES = {
    "compute-optimal": "what a bit costs is no part of the law: at one precision ask chinchilla, with A / eff^alpha",
    "reach": "many precisions reach a level of loss: at one of them ask chinchilla, with A / eff^alpha",
}

integer_precision = Law(
    id="integer-precision",
    topic="precision and inference shape",
    title="Parameters, tokens, and bits of weights and activations",
    inputs=("N", "D", "bits", "activation_bits"),
    params={
        **_SIZE_AND_DATA,
        "gamma_w": location("bits at which a weight keeps 63 % of its worth", start=(0.2, 8.0), unit="bits"),
        "gamma_a": location("the same for activations", start=(0.2, 8.0), unit="bits"),
    },
    formula=loss,
    linear=("E", "A", "B"),
    decreasing_in=("N", "D", "bits", "activation_bits"),
    floor="E",
    domain={"bits": (1.0, 8.0), "activation_bits": (1.0, 8.0)},
    valid_for=("predict",),
    refuses=_REFUSES,
    latex=(
        r"L = E + \frac{A}{N_{\mathrm{eff}}^{\alpha}} + \frac{B}{D^{\beta}}, \quad N_{\mathrm{eff}} = N "
        r"\left( 1 - e^{-\mathrm{bits} / \gamma_{w}} \right) "
        r"\left( 1 - e^{-\mathrm{activation}_{bits} / \gamma_{a}} \right)"
    ),
    meaning=(
        "A model trained in few bits behaves like one of fewer parameters in full precision, and the shares "
        "that weights and activations keep, 1 - exp(-bits / gamma) each, multiply. Use it to interpolate between "
        "precisions that were trained, or to ask which size at 4 bits is worth one at 16."
    ),
    traps=(
        "Rows whose weights and activations have equal bits throughout tell the product of the two shares, not "
        "gamma_w from gamma_a: train some with few bits for the weights only.",
        "One curve in bits belongs to one quantiser: another rounding or clipping moves gamma.",
        "One number per component makes a stiff curve; where it misses, parameter-efficiency leaves schemes free.",
        "With one ratio D / N in the data A, alpha and B, beta are hardly told apart; predictions at that ratio are.",
    ),
    papers=("kumar2024",),
)


@dataclass(frozen=True)
class Efficient:
    """L = E + A / (N eff)^alpha + B / D^beta, eff the product of eff_k over the schemes k that a row has.

    QuEST (Panferov et al. 2025) with a free efficiency per scheme.
    """

    columns: tuple[str, ...]

    def __call__(self, **values: Any) -> Any:
        """Inputs and parameters by name."""
        N, D, *schemes = self.columns
        log_eff: Any = 0.0
        for name in schemes:
            # What is no share of a scheme counts as all of it: nothing is more than fully quantised.
            log_eff = log_eff + np.minimum(values[name], 1.0) * np.log(values[f"eff_{name}"])
        effective = values[N] ** -values["alpha"] * np.exp(-values["alpha"] * log_eff)
        return values["E"] + values["A"] * effective + values["B"] * values[D] ** -values["beta"]


def efficient(columns: tuple[str, ...]) -> Law:
    """The law of parameters, tokens and a column per scheme. Raises LawError where a column would be a parameter."""
    N, D, *schemes = columns
    clash = sorted(set(columns) & {*_SIZE_AND_DATA, *(f"eff_{name}" for name in schemes)})
    if clash:
        raise LawError(message(f"parameter-efficiency was given the columns {clash}", "names that are no parameters"))
    factors = " ".join(rf"{symbol(f'eff_{name}')}^{{{symbol(name)}}}" for name in schemes)
    return Law(
        id=f"parameter-efficiency({', '.join(columns)})",
        topic="precision and inference shape",
        title="Parameters, tokens, and what a parameter is worth under each scheme",
        inputs=columns,
        params={
            **_SIZE_AND_DATA,
            **{
                f"eff_{name}": amplitude(f"parameters that one of {name} is worth", start=(0.01, 1.5))
                for name in schemes
            },
        },
        formula=Efficient(columns),
        linear=("E", "A", "B"),
        decreasing_in=(N, D),
        absolute=tuple(schemes),
        domain=dict.fromkeys(schemes, (0.0, 1.0)),
        valid_for=("predict",),
        refuses=_REFUSES,
        latex=(
            rf"L = E + \frac{{A}}{{\left( {symbol(N)} \, {factors} \right)^{{\alpha}}}} "
            rf"+ \frac{{B}}{{{symbol(D)}^{{\beta}}}}"
        ),
        meaning=(
            "A parameter of a model trained under some scheme (bits, sparsity, another block) is worth eff of one of "
            "the plain model, at every size and length. Each scheme has a column that is 1 for its rows and 0 for "
            "others; rows with zeros throughout are the plain model, whose efficiency is 1. What is best at fixed "
            "memory follows: the scheme of largest eff per bit."
        ),
        traps=(
            "Without rows of the plain model only ratios of efficiencies are known.",
            "One number for all sizes is the claim, not a finding: plot residuals of each scheme against N.",
            "Efficiencies far below one reach back to sizes that nobody trained: they rest on alpha.",
            "With one ratio D / N in the data A, alpha and B, beta are hardly told apart, and eff goes as 1 / alpha.",
        ),
        papers=("panferov2025", "kumar2024"),
    )


parameter_efficiency = Family(
    id="parameter-efficiency",
    title="Parameters, tokens, and what a parameter is worth under each scheme (QuEST)",
    make=efficient,
    example=("N", "D", "w4a4", "w2a2"),
    least=3,
)

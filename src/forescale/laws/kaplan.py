# SPDX-License-Identifier: Apache-2.0
"""The laws of Kaplan et al. (2020): loss against parameters and data together, and against one variable at a time."""

from __future__ import annotations

from typing import Any

from forescale.laws._law import Check, Law, Published, exponent, location
from forescale.laws._terms import ONE_VARIABLE

_WEBTEXT = {"N": "non-embedding", "C": "6N(non-embedding)D", "D": "tokens", "loss": "nats/token"}
_NOTE = "WebText2, non-embedding parameters; the critical sizes depend on the tokenizer and mean little alone."


def joint(N: Any, D: Any, N_c: Any, D_c: Any, alpha_N: Any, alpha_D: Any) -> Any:
    """L(N, D) = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D (Kaplan et al. 2020, eq. 1.5)."""
    return ((N_c / N) ** (alpha_N / alpha_D) + D_c / D) ** alpha_D


def frontier(C: Any, N_c: Any, D_c: Any, alpha_N: Any, alpha_D: Any) -> dict[str, Any]:
    """N and D of least loss under C = 6 N D: the minimum of (N_c / N)^p + 6 D_c N / C, p = alpha_N / alpha_D."""
    p = alpha_N / alpha_D
    # Powers of N_c / C before the product: N_c^p C alone overflows far out.
    N = (p * N_c**p * (C / (6 * D_c))) ** (1 / (p + 1))
    return {"N": N, "D": C / (6 * N)}


def in_parameters(N: Any, N_c: Any, alpha_N: Any) -> Any:
    """L(N) = (N_c / N)^alpha_N."""
    return (N_c / N) ** alpha_N


def in_tokens(D: Any, D_c: Any, alpha_D: Any) -> Any:
    """L(D) = (D_c / D)^alpha_D."""
    return (D_c / D) ** alpha_D


def in_compute(C: Any, C_c: Any, alpha_C: Any) -> Any:
    """L(C) = (C_c / C)^alpha_C."""
    return (C_c / C) ** alpha_C


kaplan = Law(
    id="kaplan",
    title="Coupled power law in parameters and tokens, without floor",
    inputs=("N", "D"),
    params={
        "N_c": location("parameters at which the loss would be 1 with endless data", start=(1e10, 1e17)),
        "D_c": location("tokens at which the loss would be 1 for an endless model", start=(1e10, 1e17)),
        "alpha_N": exponent("how fast more parameters help when data are ample", start=(0.02, 0.5)),
        "alpha_D": exponent("how fast more tokens help when the model is large", start=(0.02, 0.5)),
    },
    formula=joint,
    decreasing_in=("N", "D"),
    optimum=frontier,
    valid_for=("predict", "compute-optimal"),
    refuses={"reach": "without a floor every loss is reached at some compute; chinchilla and skaling have a floor"},
    latex=(
        r"L(N, D) = \left[ \left( \frac{N_{c}}{N} \right)^{\alpha_{N} / \alpha_{D}} "
        r"+ \frac{D_{c}}{D} \right]^{\alpha_{D}}"
    ),
    meaning=(
        "Parameters and data act together inside one power: a lack of one makes more of the other worthless. It "
        "tends to the one-variable laws when either is ample, and was made for the over-fitting of a model of N "
        "parameters that is trained to its best on D tokens."
    ),
    traps=(
        "N counts no embeddings, which bends every trend at small sizes.",
        "The published constants hold for early-stopped training on D tokens seen many times: their split under "
        "C = 6 N D is not Kaplan's compute-optimal split, which comes from L(N, S_min) and gives N ~ C^0.73.",
        "No floor: far out the loss falls below the entropy of text.",
        "All runs had one schedule length and a fixed warm-up, which makes small and short runs look worse.",
    ),
    papers=("kaplan2020",),
    published={
        "kaplan2020": Published(
            values={"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103},
            source="kaplan2020",
            conventions=_WEBTEXT,
            fitted_range={"N": (768.0, 1.5e9), "D": (2.2e7, 2.3e10)},
            note=_NOTE + " Printed to two or three digits; nothing finer is public.",
        ),
    },
    checks=(Check("kaplan2020", {"N": 1e9, "D": 1e10}, 2.41965, 1e-5, "kaplan2020"),),
)

kaplan_n = Law(
    id="kaplan-N",
    topic="one variable",
    title="Power law in parameters, in Kaplan's form",
    inputs=("N",),
    params={
        "N_c": location("parameters at which the loss would be 1", start=(1e10, 1e17)),
        "alpha_N": exponent("how fast more parameters help", start=(0.02, 0.5)),
    },
    formula=in_parameters,
    decreasing_in=("N",),
    refuses={"compute-optimal": ONE_VARIABLE},
    latex=r"L(N) = \left( \frac{N_{c}}{N} \right)^{\alpha_{N}}",
    meaning="Loss against non-embedding parameters, data ample and training to convergence. Same curves as power(N).",
    traps=(
        "N_c lies far outside any data and is exponentially sensitive to alpha_N: for a fit of your own use "
        "power(N), whose amplitude is A = N_c^alpha_N.",
    ),
    papers=("kaplan2020",),
    published={
        "kaplan2020": Published(
            values={"N_c": 8.8e13, "alpha_N": 0.076},
            source="kaplan2020",
            conventions=_WEBTEXT,
            fitted_range={"N": (768.0, 1.5e9)},
            note=_NOTE + " In the form A N^-alpha: A = 11.48.",
        ),
    },
    checks=(Check("kaplan2020", {"N": 1.5e9}, 2.30355, 1e-5, "kaplan2020"),),
)

kaplan_d = Law(
    id="kaplan-D",
    topic="one variable",
    title="Power law in tokens, in Kaplan's form",
    inputs=("D",),
    params={
        "D_c": location("tokens at which the loss would be 1", start=(1e10, 1e17)),
        "alpha_D": exponent("how fast more tokens help", start=(0.02, 0.5)),
    },
    formula=in_tokens,
    decreasing_in=("D",),
    refuses={"compute-optimal": ONE_VARIABLE},
    latex=r"L(D) = \left( \frac{D_{c}}{D} \right)^{\alpha_{D}}",
    meaning="Loss against unique tokens for a large model with early stopping. Same curves as power(D).",
    traps=(
        "D is the size of the data set, seen until the held-out loss stops falling, not the tokens of one pass.",
        "D_c is exponentially sensitive to alpha_D: for a fit of your own use power(D).",
    ),
    papers=("kaplan2020",),
    published={
        "kaplan2020": Published(
            values={"D_c": 5.4e13, "alpha_D": 0.095},
            source="kaplan2020",
            conventions=_WEBTEXT,
            fitted_range={"D": (2.2e7, 2.3e10)},
            note=_NOTE + " In the form A D^-alpha: A = 20.2 from the printed constants.",
        ),
    },
    checks=(Check("kaplan2020", {"D": 22e9}, 2.09917, 1e-5, "kaplan2020"),),
)

kaplan_c = Law(
    id="kaplan-C",
    topic="one variable",
    title="Power law in least compute, in Kaplan's form",
    inputs=("C",),
    params={
        "C_c": location("compute at which the loss would be 1", start=(1e25, 1e32), unit="FLOP"),
        "alpha_C": exponent("how fast more compute helps", start=(0.02, 0.5)),
    },
    formula=in_compute,
    decreasing_in=("C",),
    refuses={"compute-optimal": ONE_VARIABLE},
    latex=r"L(C) = \left( \frac{C_{c}}{C} \right)^{\alpha_{C}}",
    meaning="Loss of the best model per budget against the least compute that reaches it (small batches), in FLOP.",
    traps=(
        "C_min is the compute at a batch far below the critical one; compute actually spent is larger.",
        "C_c is exponentially sensitive to alpha_C: for a fit of your own use power.",
    ),
    papers=("kaplan2020",),
    published={
        "kaplan2020": Published(
            values={"C_c": 3.1e8 * 8.64e19, "alpha_C": 0.05},
            source="kaplan2020",
            conventions=_WEBTEXT,
            note=_NOTE + " Printed as C_c = 3.1e8 PF-days of 8.64e19 FLOP. In the form A C^-alpha: A = 26.39.",
        ),
    },
    checks=(Check("kaplan2020", {"C": 8.64e19}, 2.6581, 5e-5, "kaplan2020"),),
)

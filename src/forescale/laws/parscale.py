# SPDX-License-Identifier: Apache-2.0
"""Parallel streams as a third axis of scale (Chen et al. 2025, ParScale)."""

from __future__ import annotations

from typing import Any

from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor, location, share
from forescale.laws._terms import equivalent


def loss(N: Any, P: Any, E: Any, A: Any, alpha: Any, k: Any) -> Any:
    """L(N, P) = E + (A / (N (1 + k ln P)))^alpha (Chen et al. 2025)."""
    return E + (A / (N * equivalent(P, k))) ** alpha


def correlated(N: Any, P: Any, E: Any, A: Any, alpha: Any, rho: Any) -> Any:
    """L(N, P) = E + (A / N)^alpha (1 + (P - 1) rho) / P (Chen et al. 2025, the form from theory)."""
    return E + (A / N) ** alpha * ((1.0 - rho) / P + rho)


_WORDS = {"N": "non-embedding", "D": "tokens", "loss": "nats/token"}
_RANGE = {"N": (5.35813376e8, 4.414502408e9), "P": (1.0, 8.0)}
_ABOUT = (
    "24 runs: six sizes with 1, 2, 4 and 8 streams, 42B tokens each. N counts the few parameters that streams add."
)


def _published(corpus: str, E: float, A: float, alpha: float, k: float) -> Published:
    return Published(
        values={"E": E, "A": A, "alpha": alpha, "k": k},
        source="chen2025parscale",
        conventions=_WORDS,
        fitted_range=_RANGE,
        reproduced="yes",
        note=f"{corpus}. {_ABOUT}",
    )


parscale = Law(
    id="parscale",
    title="Parameters and parallel streams at a fixed number of tokens",
    topic="precision and inference shape",
    inputs=("N", "P"),
    params={
        "E": floor("irreducible loss at this number of tokens", start=(0.1, 3.0)),
        "A": location("parameters at which one stream has a reducible loss of 1", start=(1e5, 1e10)),
        "alpha": exponent("how fast more parameters help", start=(0.05, 1.0)),
        "k": amplitude("parameters that one e-fold of streams is worth, as a share of N", start=(0.05, 2.0)),
    },
    formula=loss,
    decreasing_in=("N", "P"),
    floor="E",
    absolute=("P",),
    valid_for=("predict",),
    refuses={
        "compute-optimal": "the law has no term for data: all its runs saw one number of tokens, and P streams cost "
        "about P times the compute of one",
    },
    latex=r"L(N, P) = E + \left( \frac{A}{N \, (1 + k \ln P)} \right)^{\alpha}",
    meaning=(
        "P copies of a model run side by side on transformed inputs and are averaged; their loss is that of one "
        "model with 1 + k ln P times the parameters. Use it to weigh streams (compute) against parameters (memory)."
    ),
    traps=(
        "The number of tokens is fixed: do not add it to a law in N and D without a joint fit.",
        "Beyond eight streams ln P is an extrapolation.",
        "The gain depends on the corpus: k is larger for code than for text.",
        "Streams cost compute: P multiplies the work of a forward pass even where memory hardly grows.",
    ),
    papers=("chen2025parscale",),
    published={
        "chen2025-stack": _published("Stack-V2-Python", 0.69123678, 1.130616e7, 0.18937067, 0.393463),
        "chen2025-pile": _published("The Pile", 1.28876563, 1.9735203e8, 0.19633308, 0.33445557),
    },
    checks=(
        Check("chen2025-stack", {"N": 4353203200, "P": 1}, 1.01512, 1e-5, "chen2025parscale"),
        Check("chen2025-stack", {"N": 4353203200, "P": 2}, 1.00066, 1e-5, "chen2025parscale"),
        Check("chen2025-stack", {"N": 4353203200, "P": 4}, 0.98949, 1e-5, "chen2025parscale"),
        Check("chen2025-stack", {"N": 4353203200, "P": 8}, 0.98045, 1e-5, "chen2025parscale"),
        Check("chen2025-pile", {"N": 4353203200, "P": 1}, 1.83354, 1e-5, "chen2025parscale"),
        Check("chen2025-pile", {"N": 4353203200, "P": 8}, 1.77989, 1e-5, "chen2025parscale"),
    ),
)

parscale_correlated = Law(
    id="parscale-correlated",
    title="Parameters and parallel streams whose errors are correlated",
    topic="precision and inference shape",
    inputs=("N", "P"),
    params={
        "E": floor("irreducible loss at this number of tokens", start=(0.1, 3.0)),
        "A": location("parameters at which one stream has a reducible loss of 1", start=(1e5, 1e10)),
        "alpha": exponent("how fast more parameters help", start=(0.05, 1.0)),
        "rho": share("correlation of the errors of two streams: 1 leaves nothing to average, 0 averages all"),
    },
    formula=correlated,
    decreasing_in=("N", "P"),
    absolute=("P",),
    domain={"N": (5e8, 5e9), "P": (1.0, 8.0)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": "the law has no term for data, and P streams cost about P times the compute of one",
        "reach": "the streams alone level off at rho times the reducible loss",
    },
    latex=r"L(N, P) = E + \left( \frac{A}{N} \right)^{\alpha} \frac{1 + (P - 1) \, \rho}{P}",
    meaning=(
        "P streams with errors of equal size and correlation rho are averaged: what is above the floor falls to "
        "(1 + (P - 1) rho) / P of one stream's. From this theory the logarithm of parscale was read off; fitted "
        "itself, it says how much of the gain is left beyond the streams that were trained."
    ),
    traps=(
        "The gain ends at rho; the released runs go on gaining: fitted up to four streams, this law misses eight by "
        "0.7 % of the loss, parscale by 0.2 to 0.3 %.",
        "The number of tokens is fixed: do not add it to a law in N and D without a joint fit.",
        "rho is a property of how the streams are made to differ, not of the corpus alone.",
    ),
    papers=("chen2025parscale",),
)

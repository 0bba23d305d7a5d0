# SPDX-License-Identifier: Apache-2.0
"""Farseer (Li et al. 2025, arXiv:2506.10972): a data power law whose floor, size and exponent all depend on N."""

from __future__ import annotations

from typing import Any

import numpy as np

from forescale.laws._law import Check, Law, Published, real


def loss(
    N: Any, D: Any, a1: Any, alpha: Any, b1: Any, a2: Any, beta: Any, b2: Any, a3: Any, gamma: Any, b3: Any
) -> Any:
    """L = exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^-exp(a1 N^alpha + b1) (Li et al. 2025, eq. 15)."""
    # One exponential for size and data: exp(a2 N^beta + b2) alone overflows for small N.
    return np.exp(a3 * N**gamma + b3) + np.exp(a2 * N**beta + b2 - np.exp(a1 * N**alpha + b1) * np.log(D))


_WORDS = {"N": "non-embedding", "D": "tokens", "loss": "bits/char"}
_BILLION = 1e9
_REFIT = {
    # a, exponent, b with N in units of 1e9.
    "1": (-3.64018052694574, 0.04227158138097161, 2.426767169414907),
    "2": (6.521067537526011, -0.12577666979396562, -1.8538051793707684),
    "3": (-2.0823163727130565, 0.05307598573983473, 1.277014316755749),
}


def _in_parameters() -> dict[str, float]:
    """The refit with N in parameters: a (N / 1e9)^g = (a 1e9^-g) N^g."""
    values: dict[str, float] = {}
    for i, name in (("1", "alpha"), ("2", "beta"), ("3", "gamma")):
        a, g, b = _REFIT[i]
        values.update({f"a{i}": a * _BILLION**-g, name: g, f"b{i}": b})
    return values


# Most starts in wide boxes overflow (exponents of exponents), so the boxes hold the two published fits and a margin.
farseer = Law(
    id="farseer",
    title="Power law in tokens whose floor, size and exponent depend on parameters",
    inputs=("N", "D"),
    params={
        "a1": real("slope of the log of the data exponent in N^alpha; below 0 it falls with N", start=(-2, -0.05)),
        "alpha": real("power of N in the data exponent", start=(0.03, 0.2)),
        "b1": real("level of the log of the data exponent", start=(0, 3)),
        "a2": real("slope of the log of the data term in N^beta", start=(40, 140)),
        "beta": real("power of N in the data term; below 0", start=(-0.16, -0.08)),
        "b2": real("level of the log of the data term", start=(-8, 0)),
        "a3": real("slope of the log of the floor of a model in N^gamma; below 0", start=(-1, -0.01)),
        "gamma": real("power of N in the floor of a model", start=(0.03, 0.25)),
        "b3": real("level of the log of the floor of a model", start=(-0.5, 2)),
    },
    formula=loss,
    decreasing_in=("D",),
    absolute=("N", "D"),
    valid_for=("predict", "compute-optimal"),
    refuses={
        "reach": (
            "the floor of the law tends to 0 as N grows, so every target is reached somewhere; chinchilla and "
            "skaling have a floor"
        ),
    },
    conventions={"N": "non-embedding"},
    latex=(
        r"L(N, D) = e^{a_{3} N^{\gamma} + b_{3}} + e^{a_{2} N^{\beta} + b_{2}} \, "
        r"D^{-\exp\left( a_{1} N^{\alpha} + b_{1} \right)}"
    ),
    meaning=(
        "For each model size the loss is a floor plus a power of tokens; all three numbers of that curve change "
        "smoothly with N. More flexible than chinchilla, where only the floor depends on N, and made to compare data "
        "recipes by their whole surfaces. Nine parameters: at least 5 sizes x 5 token counts."
    ),
    traps=(
        "a3 < 0 makes the floor vanish as N grows, so every compute optimum is a local minimum: search D/N in 1 to "
        "2,000 for a stationary point of positive curvature, and refuse where there is none.",
        "The printed constants are rounded so far that they have no optimum from 1e23 FLOP on.",
        "An exponent inside an exponent is badly conditioned: report predictions, not parameters.",
        "Loss is in bits per character; N counts no embeddings.",
        "Fitted on budgets of about 1e20 to 1e22 FLOP: D/N outside is an extrapolation of an extrapolation.",
    ),
    papers=("li2025farseer",),
    published={
        "li2025farseer": Published(
            values={
                "a1": -0.124, "alpha": 0.123, "b1": 0.424,
                "a2": 88.01, "beta": -0.1, "b2": -6.287,
                "a3": -0.021, "gamma": 0.169, "b3": -0.091,
            },
            source="li2025farseer",
            conventions=_WORDS,
            fitted_range={"N": (2.01e8, 2.51e10)},
            reproduced="no",
            note=(
                "Equation 15, English, three digits: no local optimum at 1e23 FLOP and beyond. Full precision is not "
                "public."
            ),
        ),
        "farseer-refit": Published(
            values=_in_parameters(),
            source="li2025farseer",
            conventions=_WORDS,
            fitted_range={"N": (2.01e8, 2.51e10)},
            note=(
                "A third party's refit of 404 released runs (English), at full precision, with N in 1e9 parameters "
                "(a unit inferred from the values, not stated there); stored here for N in parameters. "
                "Between 1e18 and 1e25 FLOP it has a local optimum, with D/N from 25 (1e20) to 549 (1e25)."
            ),
        ),
    },
    checks=(
        Check("li2025farseer", {"N": 1e9, "D": 2e10}, 0.527224, 1e-5, "li2025farseer"),
        Check("li2025farseer", {"N": 6.4e9, "D": 1.28e11}, 0.44169, 1e-5, "li2025farseer"),
        Check("farseer-refit", {"N": 1e9, "D": 2e10}, 0.53936, 1e-5, "li2025farseer"),
        Check("farseer-refit", {"N": 6.4e9, "D": 1.28e11}, 0.45686, 1e-5, "li2025farseer"),
    ),
)  # fmt: skip

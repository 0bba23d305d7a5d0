# SPDX-License-Identifier: Apache-2.0
"""A power of compute with a shift, for error rates that start flat (Nezhurina et al. 2025, LAION)."""

from __future__ import annotations

from typing import Any

from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor, location
from forescale.laws._terms import ONE_VARIABLE

GIGA = 1e9
"""The source counts GFLOP; C here is FLOP, so that its B is multiplied by 1e9 and its A by 1e9^alpha."""


def error(C: Any, E: Any, A: Any, B: Any, alpha: Any) -> Any:
    """err(C) = E + A (C + B)^-alpha (Nezhurina et al. 2025)."""
    return E + A * (C + B) ** -alpha


def _in1k(model: str, E: float, A: float, B: float, alpha: float) -> Published:
    return Published(
        values={"E": E, "A": A * GIGA**alpha, "B": B * GIGA, "alpha": alpha},
        source="nezhurina2025",
        conventions={"D": "samples", "C": "reported", "loss": "1-accuracy"},
        fitted_range={"C": (7.0e15, 1e21)},
        reproduced="not tried",
        note=(
            f"{model} on DataComp-1.4B, zero-shot ImageNet-1k error. The paper's own constants were not found: this "
            "is our fit to its public tables, C up to 1e12 GFLOP (in GFLOP: "
            f"A = {A}, B = {B:.5g}). C is forward compute only: GFLOP per sample times samples seen."
        ),
    )


shifted_power = Law(
    id="shifted-power",
    topic="one variable",
    title="Power law of compute with a shift and a floor",
    inputs=("C",),
    params={
        "E": floor("irreducible error"),
        "A": amplitude("size of the reducible error"),
        "B": location("compute below which the error hardly falls", unit="FLOP"),
        "alpha": exponent("how fast the reducible error falls once C is well above B"),
    },
    formula=error,
    linear=("E", "A"),
    decreasing_in=("C",),
    floor="E",
    valid_for=("predict", "reach"),
    refuses={
        "compute-optimal": ONE_VARIABLE,
    },
    latex=r"\mathrm{err}(C) = E + A \, (C + B)^{-\alpha}",
    meaning=(
        "Error rates are bounded: small models are all equally wrong, and a power law sets in only above some "
        "compute B. The form that the LAION comparison of language-vision models fits to the best runs per budget."
    ),
    traps=(
        "E, B and A move together: with little curvature at the small end B is hardly known, at the large end E.",
        "Fitted to the best run of each budget: the number of bins changes the fit, and points of a frontier are "
        "minima, not independent runs.",
        "Two fits are compared in one count of compute only: forward or total, with or without the text tower.",
    ),
    papers=("nezhurina2025",),
    published={
        "nezhurina2025-clip": _in1k("CLIP", 0.11703, 66.72, 1.0896e8, 0.23355),
        "nezhurina2025-mammut": _in1k("MaMMUT", 0.09489, 110.62, 2.2788e8, 0.24937),
    },
    checks=(
        Check("nezhurina2025-clip", {"C": 1e18}, 0.63204, 5e-4, "nezhurina2025"),
        Check("nezhurina2025-clip", {"C": 1e20}, 0.29696, 5e-5, "nezhurina2025"),
        Check("nezhurina2025-clip", {"C": 2.158e21}, 0.20486, 5e-5, "nezhurina2025"),
        Check("nezhurina2025-mammut", {"C": 1e18}, 0.69367, 5e-4, "nezhurina2025"),
        Check("nezhurina2025-mammut", {"C": 1e20}, 0.29465, 5e-5, "nezhurina2025"),
        Check("nezhurina2025-mammut", {"C": 2.593e21}, 0.18365, 5e-5, "nezhurina2025"),
    ),
)

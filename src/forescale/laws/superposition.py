# SPDX-License-Identifier: Apache-2.0
"""Loss against width where more features than dimensions are represented (Liu et al. 2025)."""

from __future__ import annotations

import math
from typing import Any

from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor
from forescale.laws._terms import power_term


def loss(width: Any, B: Any, A: Any, alpha: Any) -> Any:
    """L(m) = A m^-alpha + B, m = width (Liu et al. 2025)."""
    return B + power_term(width, A, alpha)


def overlap(dimensions: float) -> tuple[float, float]:
    """Mean and variance of the squared overlap of random directions: 1 / m and 2 (m - 1) / (m^2 (m + 2))."""
    m = float(dimensions)
    return 1.0 / m, 2.0 * (m - 1.0) / (m * m * (m + 2.0))


def welch_bound(vectors: float, dimensions: float) -> float:
    """The least that the largest overlap of n unit vectors can be: sqrt((n - m) / (m (n - 1))), 0 for n <= m."""
    return math.sqrt(max(vectors - dimensions, 0.0) / (dimensions * (vectors - 1.0)))


def toy_exponent(alpha: float, *, strong: bool) -> float:
    """Exponent in width that theory gives where feature frequencies fall as i^-alpha, alpha > 1.

    Weak superposition represents the m most frequent features only: alpha - 1. Strong superposition shares the
    dimensions among all: 1 for alpha up to 1.5, 2 (alpha - 1) beyond.
    """
    return max(1.0, 2.0 * (alpha - 1.0)) if strong else alpha - 1.0


_FLOORS = {
    "OPT": (2.2074, 2.2745, 1.7193, 2.1845),
    "Qwen2.5": (1.6079, 2.1009, 1.4890, 1.9348),
    "GPT-2": (2.3018, 2.3546, 1.9413, 2.2961),
    "Pythia": (2.1407, 2.2998, 1.5203, 2.2415),
}
_TEXTS = {"wikitext": "WikiText", "c4": "C4", "pile": "the Pile", "bookcorpus": "BookCorpus"}

superposition = Law(
    id="superposition",
    topic="robustness and theory",
    title="Loss as a power of the width, above a floor per family and text",
    inputs=("width",),
    params={
        "B": floor("loss that no width removes, of one family of models on one text", start=(0.1, 5.0)),
        "A": amplitude("reducible loss at a width of one", start=(1.0, 1e4)),
        "alpha": exponent("how fast width helps: 1 in strong superposition", start=(0.2, 2.0)),
    },
    formula=loss,
    linear=("B", "A"),
    decreasing_in=("width",),
    floor="B",
    valid_for=("predict", "reach"),
    refuses={"compute-optimal": "width alone says nothing about the split into parameters and tokens"},
    latex=r"L(m) = B + \frac{A}{m^{\alpha}}, \quad m = \mathrm{width}",
    meaning=(
        "A layer of width m holds many more features than dimensions, and their overlaps, of squared size 1/m, are "
        "the loss: so it falls as 1/m whatever the data, as long as superposition is strong. One A and one exponent "
        "describe four families of language models on four texts; only the floor differs: "
        "fs.fit(runs, 'superposition', group_by='group', separate=['B'])."
    ),
    traps=(
        "Models of a family grow in depth as well: the width stands for the size.",
        "The smallest widths deviate. The widths that the constants were fitted to were not found.",
        "An exponent near 1 in width is an exponent near 1/2 in parameters where both grow together.",
    ),
    papers=("liu2025",),
    published={
        f"liu2025-{family.lower()}-{text}": Published(
            values={"B": level, "A": 476.08, "alpha": 0.9098},
            printed={"alpha": 0.91},
            standard_errors={"alpha": 0.036},
            source="liu2025",
            conventions={"loss": "nats/token"},
            note=f"{family} on {words}. A and alpha are shared by all 16 pairs of family and text.",
        )
        for family, floors in _FLOORS.items()
        for (text, words), level in zip(_TEXTS.items(), floors)
    },
    checks=(
        Check("liu2025-opt-c4", {"width": 1024.0}, 3.143278, 1e-6, "liu2025"),
        Check("liu2025-pythia-pile", {"width": 512.0}, 3.152548, 1e-6, "liu2025"),
    ),
)

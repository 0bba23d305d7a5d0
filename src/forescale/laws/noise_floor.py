# SPDX-License-Identifier: Apache-2.0
"""What is left of an error when n noisy pieces are averaged (Lutjens et al. 2024)."""

from __future__ import annotations

from typing import Any

import numpy as np

from forescale.laws._law import Check, Law, Published, amplitude, floor


def error(D: Any, B: Any, V: Any) -> Any:
    """E(n) = sqrt(B^2 + V / n); n is the column D."""
    return np.sqrt(B * B + V / D)


noise_floor = Law(
    id="noise-floor",
    topic="robustness and theory",
    title="Noise averaged over n samples, above a bias that stays",
    inputs=("D",),
    params={
        "B": floor("bias: the error that remains when all noise is averaged away", start=(1e-4, 1e3)),
        "V": amplitude("variance of one sample, in squared units of the error", start=(1e-6, 1e6)),
    },
    formula=error,
    decreasing_in=("D",),
    floor="B",
    valid_for=("predict", "reach"),
    refuses={"compute-optimal": "n is a number of samples or seeds, not a model"},
    latex=r"E(n) = \sqrt{B^{2} + V / n}, \quad n = D",
    meaning=(
        "A root mean square error measured against (or trained on) the mean of n noisy members: the squared error is "
        "the squared bias of the method plus the variance of one member over n. Tells how many members, or seeds, "
        "are needed before a comparison of two methods says something about their biases."
    ),
    traps=(
        "n in training and n in the target that is scored against are two axes: the first gives the variance of the "
        "method, the second that of the yardstick.",
        "Scoring on a noisy target rewards methods that are too smooth: their ranking may turn over as n grows.",
    ),
    papers=("lutjens2024",),
    published={
        "lutjens2024-tas": Published(
            values={"B": 0.00923**0.5, "V": 0.02534},
            source="lutjens2024",
            conventions={"D": "samples"},
            fitted_range={"D": (1.0, 50.0)},
            reproduced="yes",
            note=(
                "Linear pattern scaling, surface temperature, target averaged over the n members of training: our "
                "least-squares line of the squared error on 1/n through the 50 released points, R^2 .977."
            ),
        ),
    },
    checks=(Check("lutjens2024-tas", {"D": 1.0}, 0.185930, 5e-6, "lutjens2024"),),
)

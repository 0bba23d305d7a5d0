# SPDX-License-Identifier: Apache-2.0
"""What theory says about exponents: the dimension of the data, and the four regimes (Bahri et al. 2021).

Variance-limited: what is missing falls as 1 / D (or 1 / width) once D (or width) is the larger resource, whatever the
task. Resolution-limited: the smaller resource resolves a manifold of dimension d, and the exponent is about 4 / d.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.laws._law import Law, amplitude, floor
from forescale.laws._terms import ONE_VARIABLE, power_term
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

SMOOTHNESS = (1.0, 4.0)
"""Numerators of the exponent c / d: 1 from Lipschitz bounds, 4 for piecewise linear interpolation (ReLU networks)."""


def resolved(D: Any, dimension: Any, K: Any, c: Any) -> Any:
    """err = K D^(-c / d), d = dimension (Bahri et al. 2021; Konz & Mazurowski 2024 with c = 1)."""
    return K * D ** (-c / dimension)


def variance(D: Any, E: Any, V: Any) -> Any:
    """L(D) = E + V / D (Bahri et al. 2021, theorem 1)."""
    return E + power_term(D, V, 1.0)


class _Excess:
    """L = s2 N / (D - N - 1), N features, D > N + 1 samples (classical; the example of variance-limited scaling).

    A class, because it looks at its inputs before it computes.
    """

    def __call__(self, N: Any, D: Any, s2: Any) -> Any:
        if not np.all(D > N + 1.0):
            raise DataError(
                message(
                    "as few samples as features, where the excess loss of least squares has no mean",
                    "D > N + 1 in each row",
                )
            )
        return s2 * N / (D - N - 1.0)


def exponent_of_dimension(dimension: float) -> tuple[float, float]:
    """Least and largest exponent in D that a dimension of the data suggests: 1 / d and 4 / d."""
    return SMOOTHNESS[0] / dimension, SMOOTHNESS[1] / dimension


def resolved_starts(D: Array, dimension: Array, y: Array) -> dict[str, Array]:
    """A regression of log error on log D / d."""
    columns = np.stack([np.ones_like(y), -np.log(D) / dimension])[None]
    found, _ = regressions(columns, np.log(y), np.ones(y.size))
    return {"K": np.exp(np.clip(found[:, 0], -300.0, 300.0)), "c": np.maximum(found[:, 1], 1e-3)}


def variance_starts(D: Array, y: Array) -> dict[str, Array]:
    """A regression on 1 / D, plain and with weights for relative errors."""
    columns = np.broadcast_to(np.stack([np.ones_like(y), 1.0 / D]), (2, 2, y.size))
    found, left = regressions(columns, y, np.stack([np.ones_like(y), y**-2]))
    found = np.maximum(found, 1e-6 * np.abs(found).max(axis=0))
    chosen = best(left, np.arange(2.0)[:, None], 2, 0.5)
    return {"E": np.maximum(found[chosen, 0], 1e-3 * y.min()), "V": found[chosen, 1]}


dimension_law = Law(
    id="dimension",
    topic="robustness and theory",
    title="Error from data where the dimension of the data is known",
    inputs=("D", "dimension"),
    output="error",
    params={
        "K": amplitude("error at one sample; grows with the sharpness of the labels", start=(1e-3, 1e3)),
        "c": amplitude(
            "smoothness: exponent times dimension; 1 for a bound, about 4 for ReLU networks", start=(0.2, 10)
        ),
    },
    formula=resolved,
    starts=resolved_starts,
    decreasing_in=("D",),
    domain={"D": (1e2, 1e6), "dimension": (5.0, 50.0)},
    absolute=("D", "dimension"),
    loss="log-squared",
    latex=r"\mathrm{err} = K \, D^{-c / \mathrm{dimension}}",
    meaning=(
        "Where data lie on a manifold of dimension d, a network resolves it with D samples to a distance D^(-1/d), "
        "and the error falls as D^(-c/d): c near 4 for piecewise linear interpolation of a smooth target. The column "
        "`dimension` is measured on the data (by nearest neighbours), one value per data set. For one data set "
        "alone, power(D) with the exponent c / d is the same law, and theory expects that exponent between 1 / d and "
        "4 / d (`exponent_of_dimension`)."
    ),
    traps=(
        "Estimates of dimension are too low above about 10: at a true 20 they say 14 to 17, and c comes out too low.",
        "Data sets differ in the sharpness of their labels as well: give each its own K (grouped).",
        "The exponent is that of the resource that limits: at the other end of the table everything falls as 1 / D.",
        "A floor (label noise) bends the curve: this law has none.",
    ),
    papers=("bahri2021", "konz2024"),
)

variance_limited = Law(
    id="variance-limited",
    topic="robustness and theory",
    title="Excess loss that falls as one over the larger resource",
    inputs=("D",),
    params={
        "E": floor("loss for infinite data, the other resource held", start=(1e-3, 10.0)),
        "V": amplitude("variance: the excess loss times D", start=(1e-2, 1e12)),
    },
    formula=variance,
    linear=("E", "V"),
    starts=variance_starts,
    decreasing_in=("D",),
    floor="E",
    domain={"D": (1e3, 1e6)},
    valid_for=("predict", "reach"),
    refuses={"compute-optimal": ONE_VARIABLE},
    latex=r"L(D) = E + \frac{V}{D}",
    meaning=(
        "With ample data a model of fixed size approaches its limit as 1 / D, for any task with a smooth loss; with "
        "ample width a model on fixed data as 1 / width: variance-limited(width). The exponent 1 carries no news "
        "about the task: it is power-floor with the exponent held; fs.regimes says where a curve has it."
    ),
    traps=(
        "It holds where D is much larger than what the model can use; elsewhere the exponent is that of the data.",
        "Not a law to extrapolate a scaling study with: E is the loss of this one size.",
        "In parameters of deep networks, which grow as width squared, the exponent is 1/2.",
    ),
    papers=("bahri2021",),
)

regression_excess = Law(
    id="regression-excess",
    topic="robustness and theory",
    title="Excess loss of linear regression, exactly",
    inputs=("N", "D"),
    params={"s2": amplitude("variance of the noise", start=(1e-3, 1e3))},
    formula=_Excess(),
    linear=("s2",),
    domain={"N": (5.0, 50.0), "D": (600.0, 1e5)},
    absolute=("N", "D"),
    valid_for=("predict",),
    refuses={
        "compute-optimal": "the loss of the best regression, which features lower, is not in it: only the excess",
        "reach": "the loss of the best regression is not in it: only the excess",
    },
    latex=r"L = \frac{s_{2} \, N}{D - N - 1}",
    meaning=(
        "Least squares with N Gaussian features on D samples loses s2 N / (D - N - 1) on average over what the best "
        "coefficients give. The yardstick for variance-limited scaling: 1 / D for D far above N, and a pole at "
        "D = N + 1, of which a pure power law knows nothing. N counts the features."
    ),
    traps=(
        "For D > N + 1 only; below, the pseudo-inverse has another law (double descent).",
        "A ridge, or features that are not Gaussian, change it near the pole.",
    ),
    papers=("bahri2021",),
)

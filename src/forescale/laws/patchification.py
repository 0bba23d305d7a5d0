# SPDX-License-Identifier: Apache-2.0
"""Error of a vision model against the side of its patches (Wang et al. 2025)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, amplitude, exponent
from forescale.laws._terms import ONE_VARIABLE
from forescale.numerics.curves import power_above_floor

Array = NDArray[np.float64]


def error(patch: Any, E: Any, A: Any, beta: Any) -> Any:
    """L(p) = E + A p^beta, p the side of a patch (Wang et al. 2025)."""
    return E + A * patch**beta


def starts(patch: Array, y: Array) -> dict[str, Array]:
    """A power of 1 / p above a limit, by regressions of log(y - E) for a grid of limits."""
    E, log_A, beta = power_above_floor(1.0 / patch, y)
    with np.errstate(over="ignore", under="ignore"):
        A = np.exp(log_A)
    return {"E": E, "A": A, "beta": beta}


patchification = Law(
    id="patchification",
    topic="vision and other fields",
    title="Error against patch size, with the limit of ever finer patches",
    inputs=("patch",),
    params={
        "E": amplitude("error in the limit of patches of no size: what finer tokens cannot mend"),
        "A": amplitude("error that patches of one pixel add"),
        "beta": exponent("how fast coarser patches hurt", start=(0.1, 3.0)),
    },
    formula=error,
    linear=("E", "A"),
    domain={"patch": (1.0, 32.0)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": ONE_VARIABLE,
        "reach": "below a patch of one pixel there is nothing: the least error is E + A",
    },
    starts=starts,
    latex=r"L(p) = E + A \, p^{\beta}",
    meaning=(
        "An image of side H is cut into (H/p)^2 patches, one token each; finer patches lose less of the image, and "
        "the error falls to a limit that belongs to the model and its resolution. Use it to weigh a longer sequence "
        "(tokens grow as p^-2) against a larger model."
    ),
    traps=(
        "Rises in p: a limit for small patches, none for large ones, where the error is bounded by guessing.",
        "A pure power, without the limit, misses the published tables by 0.3 to 2 points and puts the finest patch, "
        "when it is hidden, 0.7 to 3.5 points too low.",
        "Five points for three parameters: intervals are wide.",
        "At 224 pixels recipes change with p (training in stages).",
    ),
    papers=("wang2025",),
)

# SPDX-License-Identifier: Apache-2.0
"""Error of a vision model against the side of its patches (Wang et al. 2025)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, amplitude, exponent
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]


def error(patch: Any, E: Any, A: Any, beta: Any) -> Any:
    """L(p) = E + A p^beta, p the side of a patch (Wang et al. 2025)."""
    return E + A * patch**beta


def starts(patch: Array, y: Array) -> dict[str, Array]:
    """For each limit of a grid the rest comes from a regression of log(y - E) on log p."""
    E = float(y.min()) * np.array([1e-3, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.996, 0.999, 0.9997])
    over = y - E[:, None]
    columns = np.broadcast_to(np.stack([np.ones_like(y), np.log(patch)]), (E.size, 2, y.size))
    # weights that make errors of log y of errors of log(y - E)
    found, left = regressions(columns, np.log(over), (over / y) ** 2)
    chosen = best(left, np.log(y.min() - E)[:, None], 4, 0.3)
    beta = np.maximum(found[:, 1], 1e-3)
    with np.errstate(over="ignore", under="ignore"):
        A = np.exp(found[:, 0])
    return {"E": E[chosen], "A": A[chosen], "beta": beta[chosen]}


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
        "compute-optimal": "one variable says nothing about the split into parameters and tokens",
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

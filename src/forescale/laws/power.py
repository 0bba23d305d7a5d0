# SPDX-License-Identifier: Apache-2.0
"""Power laws of one variable with and without a floor (Hestness et al. 2017, Kaplan et al. 2020).

The variable is compute C; `power.on(C="N")`, in the CLI `power(N)`, reads any other column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor
from forescale.laws._terms import ONE_VARIABLE, PF_DAY
from forescale.numerics.curves import power_above_floor, regressions

Array = NDArray[np.float64]


def decay(C: Any, A: Any, alpha: Any) -> Any:
    """L(C) = A C^-alpha."""
    return A * C**-alpha


def decay_to_floor(C: Any, E: Any, A: Any, alpha: Any) -> Any:
    """L(C) = E + A C^-alpha."""
    return E + A * C**-alpha


def starts(C: Array, y: Array) -> dict[str, Array]:
    """A regression of log y on log C: of all rows, of the smaller and of the larger half."""
    middle = np.median(C)
    weights = np.stack([np.ones_like(C), np.where(middle < C, 0.0, 1.0), np.where(middle > C, 0.0, 1.0)])
    columns = np.broadcast_to(np.stack([np.ones_like(y), -np.log(C)]), (3, 2, y.size))
    found, _ = regressions(columns, np.log(y), weights)
    alpha = np.maximum(found[:, 1], 1e-3)
    # the level that belongs to the exponent, where that was moved
    level = (weights * (np.log(y) + alpha[:, None] * np.log(C))).sum(axis=1) / weights.sum(axis=1)
    return {"A": np.exp(level), "alpha": alpha}


def floor_starts(C: Array, y: Array) -> dict[str, Array]:
    """For each floor of a grid the rest comes from a regression of log(y - E) on log C."""
    E, log_A, alpha = power_above_floor(C, y)
    with np.errstate(over="ignore", under="ignore"):
        A = np.exp(log_A)
    usable = (A > 0) & np.isfinite(A)
    return {"E": E[usable], "A": A[usable], "alpha": alpha[usable]}


power = Law(
    id="power",
    topic="one variable",
    title="Power law of one variable, without floor",
    inputs=("C",),
    params={
        "A": amplitude("value of the loss at one unit of the variable"),
        "alpha": exponent("how fast the loss falls: doubling the variable divides the loss by 2^alpha"),
    },
    formula=decay,
    linear=("A",),
    decreasing_in=("C",),
    starts=starts,
    valid_for=("predict",),
    refuses={
        "compute-optimal": ONE_VARIABLE,
        "reach": "without a floor every loss is reached at some compute; power-floor says where that ends",
    },
    latex=r"L(C) = A \, C^{-\alpha}",
    meaning=(
        "A straight line in a log-log plot. Right where the loss is still far above its floor, and the simplest "
        "thing that can be said about a trend of one variable."
    ),
    traps=(
        "Without a floor the prediction falls for ever; far out it is an optimist's bound, not a forecast.",
        "A trend in C holds for runs that split their compute in one way: best runs per budget, or constant D/N.",
        "A carries the unit of the variable to the power alpha: a change of unit changes A, never alpha.",
    ),
    papers=("hestness2017", "kaplan2020"),
    published={
        "kaplan2020": Published(
            values={"A": (3.1e8 * PF_DAY) ** 0.05, "alpha": 0.05},
            printed={"alpha": 0.05},
            source="kaplan2020",
            conventions={"N": "non-embedding", "C": "6N(non-embedding)D", "D": "tokens", "loss": "nats/token"},
            reproduced="not tried",
            note=(
                "L(C_min) on WebText2, printed as (C_c / C_min)^0.050 with C_c = 3.1e8 PF-days, which is A = 26.39 "
                "in FLOP. C_min is the compute at a batch far below the critical one, less than what was spent. The "
                "laws kaplan-N, kaplan-D and kaplan-C keep the printed form."
            ),
        ),
    },
    checks=(Check("kaplan2020", {"C": PF_DAY}, 2.6581, 5e-5, "kaplan2020"),),
)

power_floor = Law(
    id="power-floor",
    topic="one variable",
    title="Power law of one variable, with a floor",
    inputs=("C",),
    params={
        "E": floor("irreducible loss: the limit of the loss as the variable grows"),
        "A": amplitude("reducible loss at one unit of the variable"),
        "alpha": exponent("how fast the reducible loss falls"),
    },
    formula=decay_to_floor,
    linear=("E", "A"),
    decreasing_in=("C",),
    floor="E",
    starts=floor_starts,
    valid_for=("predict", "reach"),
    refuses={
        "compute-optimal": ONE_VARIABLE,
    },
    latex=r"L(C) = E + A \, C^{-\alpha}",
    meaning=(
        "What is above the floor falls as a power. The work-horse for one variable: loss of the best run per budget "
        "against compute, loss against parameters with ample data, error against samples."
    ),
    traps=(
        "The floor and the exponent trade off: on less than two decades of the variable both are hardly known, while "
        "predictions nearby are.",
        "A trend in C holds for runs that split their compute in one way: best runs per budget, or constant D/N.",
        "A fitted floor near zero says that the data do not see it, not that there is none.",
    ),
    papers=("hestness2017", "henighan2020"),
)

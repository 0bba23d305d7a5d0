# SPDX-License-Identifier: Apache-2.0
"""The three regions of a learning curve, and the model that a data set needs (Hestness et al. 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, Parameter, amplitude, exponent, floor, location
from forescale.laws._terms import ONE_VARIABLE
from forescale.numerics.curves import above_floor, best

Array = NDArray[np.float64]


def error(D: Any, E: Any, E_0: Any, K: Any, beta: Any, w: Any) -> Any:
    """L(D) = E + (E_0 - E) (1 + (D / K)^(1 / w))^(-w beta): Hestness et al. 2017, figure 6, made one formula."""
    # log(1 + (D/K)^(1/w)) without overflow for a sharp knee and D far above it
    rise = np.logaddexp(0.0, (np.log(D) - np.log(K)) / w)
    return E + (E_0 - E) * np.exp(-w * beta * rise)


def starts(D: Array, y: Array) -> dict[str, Array]:
    """For each knee, exponent and width of a grid, both plateaus come from a regression of the error on the shape."""
    knees = np.concatenate([[1e-3 * D.min()], np.geomspace(0.3 * D.min(), D.max(), 9)])
    K, beta, w = (
        g.ravel() for g in np.meshgrid(knees, [0.06, 0.15, 0.3, 0.6, 1.2, 2.5], [0.12, 0.4, 1.2, 4.0], indexing="ij")
    )
    shape = error(D, 0.0, 1.0, K[:, None], beta[:, None], w[:, None])
    E, drop, left = above_floor(shape, y)
    places = np.stack([np.log(K), 2.0 * np.log(beta), np.log(w)], axis=1)
    chosen = best(left, places, 8, 1.2)
    return {"E": E[chosen], "E_0": (E + drop)[chosen], "K": K[chosen], "beta": beta[chosen], "w": w[chosen]}


def size(D: Any, kappa: Any, beta: Any) -> Any:
    """N(D) = kappa D^beta (Hestness et al. 2017, s(m))."""
    return kappa * D**beta


_ONE = {
    "compute-optimal": ONE_VARIABLE,
}

hestness = Law(
    id="hestness",
    topic="one variable",
    title="Learning curve of three regions: best guess, power law, irreducible error",
    inputs=("D",),
    params={
        "E": floor("irreducible error: where the curve ends"),
        "E_0": amplitude("error of the best guess: where the curve begins"),
        "K": location("examples at which the power law sets in: the knee of the two lines", start=(1e3, 1e6)),
        "beta": exponent("steepness of the power-law region", start=(0.03, 1.5)),
        "w": Parameter(
            "width",
            "width of the knee in e-folds of D; 0 is a kink, 1 takes about two decades",
            0.02,
            8.0,
            start=(0.2, 3.0),
        ),
    },
    formula=error,
    linear=("E", "E_0"),
    decreasing_in=("D",),
    floor="E",
    starts=starts,
    valid_for=("predict", "reach"),
    refuses=_ONE,
    loss="log-squared",
    latex=r"L(D) = E + (E_{0} - E) \left( 1 + (D / K)^{1 / w} \right)^{-w \, \beta}",
    meaning=(
        "With few examples a model does no better than the best guess, then its error falls as a power of the data, "
        "and it ends at an irreducible error. The paper draws the three regions and fits alpha m^beta_g + gamma to "
        "the middle and right ones; this is that curve far above the knee, with gamma = E, beta_g = -beta and "
        "alpha = (E_0 - E) K^beta. The numbers are those that one reads off the figure: two plateaus, the knee, the "
        "slope between. For a known best guess hold it: hestness.fix(E_0=1.0). With w = 1/beta it is m4 with s = 1, "
        "with w = 1 shifted-power."
    ),
    traps=(
        "Rows of one region alone know the numbers of that region alone: without rows below K use power-floor(D), "
        "without a bend at the end hold E.",
        "Small sets taken for the power-law region make the slope too flat; small-data rows are what E_0 and K are "
        "for.",
        "The error of one fixed model bends because the model is full, not because the data are: take the best size "
        "per set.",
        "Two decades of data leave the exponent wide open: read its interval.",
    ),
    papers=("hestness2017",),
    domain={"D": (1e2, 1e8)},
)

hestness_size = Law(
    id="hestness-size",
    topic="size and data",
    title="Parameters that a data set needs",
    inputs=("D",),
    output="N",
    params={
        "kappa": amplitude("parameters of the best model for one example"),
        "beta": exponent("growth of the best model with the data, 0.5 to 1", start=(0.1, 1.2)),
    },
    formula=size,
    linear=("kappa",),
    refuses={
        **_ONE,
        "reach": "the law gives a size and no error; hestness gives the error",
    },
    latex=r"N(D) = \kappa \, D^{\beta}",
    meaning=(
        "The smallest model that fits a training set of D examples, as a power of D: below linear, because a larger "
        "set holds less that is new per example. With it and hestness a target error becomes examples, and examples "
        "a model size."
    ),
    traps=(
        "Best sizes come from a grid: the smallest and largest ones of each sweep must not be the best.",
        "It says what fits the data, not how to split a compute budget.",
    ),
    papers=("hestness2017",),
    domain={"D": (1e5, 1e10)},
)

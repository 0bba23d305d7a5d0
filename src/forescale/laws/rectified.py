# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning loss against the size of the fine-tuning set (Lin et al. 2024, arXiv:2402.02314)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, amplitude, exponent, floor
from forescale.laws._terms import ONE_VARIABLE
from forescale.numerics.curves import above_floor, best

Array = NDArray[np.float64]


def loss(D: Any, E: Any, B: Any, D_l: Any, beta: Any) -> Any:
    """L(D) = B / (D_l + D^beta) + E (Lin et al. 2024)."""
    return E + B / (D_l + D**beta)


def knee(D_l: Any, beta: Any) -> Any:
    """D_l^(1 / beta): where half of what can be learned is learned, and the pre-power phase ends."""
    return D_l ** (1.0 / beta)


def needed(target: Any, E: Any, B: Any, D_l: Any, beta: Any) -> Any:
    """D with L(D) = target: (B / (L - E) - D_l)^(1 / beta). Infinite from the floor down; 0 where none are needed."""
    reducible = target - E
    left = B / np.where(reducible > 0, reducible, 1.0) - D_l
    found = np.where(left > 0, np.where(left > 0, left, 1.0) ** (1.0 / beta), 0.0)
    return np.where(np.isnan(reducible), np.nan, np.where(reducible > 0, found, np.inf))


def starts(D: Array, y: Array) -> dict[str, Array]:
    """For each exponent and knee of a grid, E and B come from a regression of the loss on 1 / (D_l + D^beta)."""
    knees = np.concatenate([[1e-3 * D.min()], np.geomspace(0.3 * D.min(), 3.0 * D.max(), 9)])
    beta, knee = (g.ravel() for g in np.meshgrid([0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6], knees, indexing="ij"))
    D_l = knee**beta
    E, B, left = above_floor(1.0 / (D_l[:, None] + D ** beta[:, None]), y)
    chosen = best(left, np.stack([np.log(knee), 3.0 * np.log(beta)], axis=1), 5, 1.0)
    return {"E": E[chosen], "B": B[chosen], "D_l": D_l[chosen], "beta": beta[chosen]}


rectified = Law(
    id="rectified",
    topic="one variable",
    title="Fine-tuning loss with the data that pre-training was worth",
    inputs=("D",),
    params={
        "E": floor("loss in the limit of endless fine-tuning data"),
        "B": amplitude("size of the reducible loss"),
        "D_l": amplitude("what pre-training already knows of the task, in units of D^beta", start=(1.0, 300.0)),
        "beta": exponent("how fast more fine-tuning data help beyond the knee", start=(0.05, 1.5)),
    },
    formula=loss,
    linear=("E", "B"),
    decreasing_in=("D",),
    floor="E",
    starts=starts,
    valid_for=("predict", "reach"),
    refuses={
        "compute-optimal": ONE_VARIABLE,
    },
    loss="log-squared",
    latex=r"L(D) = \frac{B}{D_{l} + D^{\beta}} + E",
    meaning=(
        "A pre-trained model behaves as if it had seen part of the task: up to about D_l^(1/beta) examples the loss "
        "falls slowly (the pre-power phase), beyond as D^-beta. With D_l = 0 it is power-floor(D). Without "
        "fine-tuning the loss is E + B / D_l. Fit it to a few small sets to choose, before spending, which model to "
        "fine-tune. The same curves as m4 with s = 1, K = D_l^(1/beta) and E_0 = E + B / D_l."
    ),
    traps=(
        "On small sets alone a straight line in the log-log plot looks right and mostly predicts too high a loss (75 "
        "of the 90 released curves, from an eighth of the data): the bend is the point.",
        "D_l, B and beta move together; compare knees D_l^(1/beta) and predictions.",
        "The loss at D = 0 is a measurement of its own: it is not on the curve exactly.",
        "One model, one task, one recipe per curve: nothing here carries over to another model.",
    ),
    papers=("lin2024rectified",),
    domain={"D": (200.0, 1.6384e6)},
)

# SPDX-License-Identifier: Apache-2.0
"""Multilingual translation: what a task gets of a shared model at its sampling weight (Fernandes et al. 2023)."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, amplitude, exponent, floor
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

TINY = 1e-300

_SHAPES = (0.4, 1.0, 2.0)
_GAINS = (0.02, 0.15, 0.6)
_FLOORS = (1e-3, 0.35, 0.6, 0.75, 0.87, 0.94, 0.98)
"""Grids of the starts: c2 and c3, c1, and the floor as a share of the least loss."""


def fraction(share: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """f(p) = p + c1 p^c2 (1 - p)^c3: effective parameters of a task over all parameters (Fernandes et al. 2023)."""
    rest = np.maximum(1.0 - share, TINY)
    gained = np.exp(c2 * np.log(np.maximum(share, TINY)) + c3 * np.log(rest))
    return share + np.where((share > 0.0) & (share < 1.0), c1 * gained, 0.0)


def loss(N: Any, share: Any, E: Any, A: Any, alpha: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """L(N, p) = E + A (f(p) N)^-alpha, f(p) = p + c1 p^c2 (1 - p)^c3 (Fernandes et al. 2023)."""
    return E + A * (fraction(share, c1, c2, c3) * N) ** -alpha


def fraction_of_penalties(penalty: Any, penalty_alone: Any, alpha: Any) -> Any:
    """f = (beta_1 / beta_p)^(1 / alpha), from the sizes of the reducible loss at weight p and at weight 1."""
    return (penalty_alone / penalty) ** (1.0 / alpha)


def starts(N: Array, share: Array, y: Array) -> dict[str, Array]:
    """Given the floor and f, log(L - E) is linear in log(f N)."""
    grid = np.array(list(product(_FLOORS, _GAINS, _SHAPES, _SHAPES)))
    E = float(y.min()) * grid[:, 0]
    worth = fraction(share, *(grid[:, j, None] for j in (1, 2, 3)))
    x = -np.log(worth * N)
    over = y - E[:, None]
    found, left = regressions(np.stack([np.ones_like(x), x], axis=1), np.log(over), (over / y) ** 2)
    log_a, alpha = found.T
    with np.errstate(over="ignore", under="ignore"):
        A = np.exp(log_a)
    left = np.where((alpha > 0) & (A > 0) & np.isfinite(A), left, np.inf)
    places = np.concatenate([np.log(y.min() - E)[:, None] / 0.3, np.log(grid[:, 1:])], axis=1)
    chosen = best(left, places, 6, 0.8)
    c1, c2, c3 = grid[chosen, 1:].T
    return {"E": E[chosen], "A": A[chosen], "alpha": alpha[chosen], "c1": c1, "c2": c2, "c3": c3}


effective_parameters = Law(
    id="effective-parameters",
    topic="mixtures",
    title="One task of a shared model: parameters that its sampling weight is worth",
    inputs=("N", "share"),
    params={
        "E": floor("loss of the task left by an endless model", start=(0.1, 3.0)),
        "A": amplitude("size of the penalty for finite parameters, trained on this task alone"),
        "alpha": exponent("how fast more parameters help; the same at every weight", start=(0.1, 0.8)),
        "c1": amplitude(
            "what the other tasks give on top of the weight; near zero where tasks only split a model",
            start=(0.02, 1.0),
        ),
        "c2": exponent("how soon they give it as the weight grows", start=(0.2, 2.0)),
        "c3": exponent("how it ends as the weight goes to one", start=(0.2, 2.0)),
    },
    formula=loss,
    linear=("E", "A"),
    decreasing_in=("N",),
    starts=starts,
    domain={"N": (2e7, 1e9), "share": (0.05, 1.0)},
    absolute=("share",),
    valid_for=("predict",),
    refuses={
        "compute-optimal": "at a fixed weight this is a power law in parameters; tokens are no variable of it",
        "reach": "the weight is free as well: fix it, which leaves power-floor(N)",
    },
    latex=r"L(N, p) = E + \frac{A}{(f(p) \, N)^{\alpha}}, \quad f(p) = p + c_{1} \, p^{c_{2}} (1 - p)^{c_{3}}",
    meaning=(
        "A model of N parameters that samples a task with weight p does as well on it as one of f(p) N parameters "
        "trained on it alone, whatever N. f(p) = p says that tasks split the model, f(p) > p that they help each "
        "other: translation into English gains, translation out of English splits. One law per task; the losses of "
        "two tasks at weights p and 1 - p are their trade-off."
    ),
    traps=(
        "At weight zero a task has no effective parameters: the law answers infinity, as there is no such model.",
        "c2 and c3 are known only where c1 is clearly above zero, and from several weights. Where tasks only split "
        "the model, hold all three: fix(c1=0, c2=1, c3=1) is f(p) = p.",
        "For more than two tasks f depends on the task's own weight alone: an assumption of the paper.",
        "Weights change how often small data sets repeat, which the law does not know.",
        "First fit power-floor(N) with one E and alpha and an A per weight (group by weight, A separate), and see "
        "whether f = (A at weight 1 / A)^(1 / alpha) is a curve at all.",
        "The constants of the paper were not found.",
    ),
    papers=("fernandes2023",),
)

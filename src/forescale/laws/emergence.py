# SPDX-License-Identifier: Apache-2.0
"""Tasks that small models almost never pass, measured finely enough to be predicted (Hu et al. 2023, PassUntil)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.laws._law import Law, amplitude, exponent
from forescale.numerics.curves import regressions

Array = NDArray[np.float64]


def passed(N: Any, c: Any, alpha: Any) -> Any:
    """PU(N) = exp(-c N^-alpha) (Hu et al. 2023, eq. 3)."""
    return np.exp(-c * N**-alpha)


def transformed(score: ArrayLike) -> Array:
    """F = log(-log score): a straight line in log N, with the slope -alpha, where the law holds.

    Convex in log N: progress slows down. Concave: it gains speed, which is what emergence would be.
    """
    return np.log(-np.log(np.asarray(score, dtype=np.float64)))


def starts(N: Array, y: Array) -> dict[str, Array]:
    """A regression of F on log N: evenly weighted, and with weights that make errors of log y of errors of F."""
    depth = -np.log(np.clip(y, 1e-300, 1.0 - 1e-12))
    columns = np.broadcast_to(np.stack([np.ones_like(y), -np.log(N)]), (2, 2, y.size))
    found, _ = regressions(columns, np.log(depth), np.stack([np.ones_like(y), depth**2]))
    return {"c": np.exp(found[:, 0]), "alpha": np.maximum(found[:, 1], 1e-3)}


pass_until = Law(
    id="pass-until",
    topic="task performance",
    title="Share of passes that is predictable below any threshold",
    inputs=("N",),
    output="score",
    params={
        "c": amplitude("minus the log of the pass rate of a model of one parameter", start=(1.0, 300.0)),
        "alpha": exponent("how fast it falls with parameters", start=(0.05, 0.5)),
    },
    formula=passed,
    starts=starts,
    loss="log-squared",
    latex=r"\mathrm{PU}(N) = \exp(-c \, N^{-\alpha})",
    meaning=(
        "What looks like a sudden ability is a pass rate too small to be seen with few samples. Sampled until it "
        "passes, it follows exp(-c N^-alpha): log(-log pass rate) is a straight line in log N. For tasks without "
        "chance of guessing. Other columns by pass-until(C)."
    ),
    traps=(
        "Passes over samples, when sampling stops at the r-th pass, is too high by a factor up to r / (r - 1) and, "
        "for r = 1, much more: use (r - 1) / (samples - 1).",
        "Models trained on one number of tokens bend away from it: on Pythia and MATH, five sizes predict rates 57 "
        "% and 59 % too high for the next two.",
        "The error of a pass rate comes from the choice of problems, not from the samples: bootstrap problems.",
        "Where log(-log score) is not straight in log N, it does not hold: look before you extrapolate.",
    ),
    papers=("hu2023",),
)

# SPDX-License-Identifier: Apache-2.0
"""Farseer's differential piecewise fit (Li et al. 2025, arXiv:2506.10972): three stages of regressions, and a polish.

Losses of one model at D and at lambda D differ by a pure power of D: the floor is gone, and a regression of the log
difference on log D gives the exponent and the size of that model's curve. Their dependence on N, and that of the
floors that are left, are regressions again. The nine numbers then start one joint fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

NEAR = 2e-3
"""Two token counts are a pair when their ratio is lambda to this share."""

POWERS = np.array([s * p for p in (0.02, 0.04, 0.06, 0.09, 0.13, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0) for s in (-1, 1)])
"""Powers of N that the stages try; the smallest ones are as good as a logarithm."""

LEAST_SIZES = 3
"""Sizes with differences that stage 2 needs for its three numbers."""


@dataclass(frozen=True, eq=False)
class Differences:
    """Stage 1: sizes with at least two pairs.

    Attributes:
        N: (m,) sizes.
        A, B: (m,) exponent and size of each model's power law in D.
        row: (k,) which size a difference belongs to; D, R: (k,) where it begins, and the difference.
    """

    N: Array
    A: Array
    B: Array
    row: NDArray[np.intp]
    D: Array
    R: Array


@dataclass(frozen=True)
class Farseer:
    """What was found.

    Attributes:
        params: of the law `farseer`.
        sizes: sizes that stage 1 could use.
        pairs: differences that it had.
        certified: whether the joint fit was made, and found the optimum beyond doubt.
    """

    params: Mapping[str, float]
    sizes: int
    pairs: int
    certified: bool


def differences(N: Array, D: Array, loss: Array, ratio: float) -> Differences:
    """Stage 1: for each N the regression of log(L(D) - L(ratio D)) on log D.

    A power B D^-A has the differences B (1 - ratio^-A) D^-A, exactly. Pairs whose loss does not fall are left out.
    """
    sizes: list[float] = []
    exponents: list[float] = []
    levels: list[float] = []
    rows: list[NDArray[np.intp]] = []
    places: list[Array] = []
    gaps: list[Array] = []
    for n in np.unique(N):
        mine = n == N
        d, first = np.unique(D[mine], return_inverse=True)
        y = np.bincount(first, loss[mine]) / np.bincount(first)  # repeated runs count by their mean
        partner = np.abs(d[None, :] / (ratio * d[:, None]) - 1.0) < NEAR
        i, j = np.nonzero(partner)
        gap = y[i] - y[j]
        i, gap = i[gap > 0], gap[gap > 0]
        if np.unique(i).size < 2:
            continue
        slope, level = np.polyfit(np.log(d[i]), np.log(gap), 1)
        if not slope < 0:
            continue
        rows.append(np.full(i.size, len(sizes), dtype=np.intp))
        places.append(d[i])
        gaps.append(gap)
        sizes.append(float(n))
        exponents.append(-float(slope))
        levels.append(math.exp(level) / -math.expm1(slope * math.log(ratio)))
    return Differences(
        np.array(sizes),
        np.array(exponents),
        np.array(levels),
        np.concatenate([*rows, np.empty(0, dtype=np.intp)]),
        np.concatenate([*places, np.empty(0)]),
        np.concatenate([*gaps, np.empty(0)]),
    )


def _lines(x: Array, y: Array) -> tuple[Array, Array]:
    """For each power of N in `POWERS` the regression of y on x^power: slopes and intercepts."""
    powers = np.exp(POWERS[:, None] * np.log(x))
    centred = powers - powers.mean(axis=1, keepdims=True)
    slope = (centred * (y - y.mean())).sum(axis=1) / (centred**2).sum(axis=1)
    return slope, y.mean() - slope * powers.mean(axis=1)


def staged(found: Differences, N: Array, D: Array, loss: Array, ratio: float) -> dict[str, float]:
    """Stages 2 and 3: parameters of the law `farseer` from the curves of single sizes.

    Stage 2 takes, of all pairs of powers, the one whose differences lie nearest to the measured ones; stage 3 what is
    left of the losses as the floor of each size.

    Raises:
        DataError: fewer than three sizes with differences, or floors that are not positive.
    """
    if found.N.size < LEAST_SIZES:
        raise DataError(message(f"{found.N.size} sizes with two pairs of D and {ratio:.4g} D", f"{LEAST_SIZES}"))
    unit = float(np.exp(np.log(found.N).mean()))
    x = found.N / unit
    a1, b1 = _lines(x, np.log(found.A))
    a2, b2 = _lines(x, np.log(found.B))
    powers = np.exp(POWERS[:, None] * np.log(x))
    A = np.exp(a1[:, None] * powers + b1[:, None])
    log_B = a2[:, None] * powers + b2[:, None]
    log_D = np.log(found.D)
    with np.errstate(all="ignore"):
        at = A[:, found.row]
        log_gap = np.log(-np.expm1(-at * math.log(ratio))) - at * log_D
        made = np.exp(log_B[:, None, found.row] + log_gap[None])
        left = ((made - found.R) ** 2).sum(axis=2)
    k2, k1 = np.unravel_index(int(np.nanargmin(left)), left.shape)
    size = np.exp(a1[k1] * (N / unit) ** POWERS[k1] + b1[k1])
    data = np.exp(a2[k2] * (N / unit) ** POWERS[k2] + b2[k2] - size * np.log(D))
    sizes, place = np.unique(N, return_inverse=True)
    floors = np.bincount(place, loss - data) / np.bincount(place)
    good = floors > 0
    if good.sum() < LEAST_SIZES:
        raise DataError(message("the data terms of the stages exceed the losses", "positive floors for three sizes"))
    a3, b3 = _lines(sizes[good] / unit, np.log(floors[good]))
    fitted = np.exp(a3[:, None] * (sizes[good] / unit) ** POWERS[:, None] + b3[:, None])
    k3 = int(np.argmin(((fitted - floors[good]) ** 2).sum(axis=1)))
    stages = ((a1, b1, k1, "1", "alpha"), (a2, b2, k2, "2", "beta"), (a3, b3, k3, "3", "gamma"))
    params: dict[str, float] = {}
    for slope, level, k, number, power in stages:
        # a (N / unit)^p = (a unit^-p) N^p
        params[f"a{number}"] = float(slope[k] * unit ** -POWERS[k])
        params[power] = float(POWERS[k])
        params[f"b{number}"] = float(level[k])
    return params


def learn(runs: Runs, options: Options) -> Farseer:
    """Three stages where the grid has pairs, then the joint fit of all rows (or, without pairs, that fit alone)."""
    runs = require(runs, "N", "D", "loss")
    N, D, loss, ratio = runs["N"], runs["D"], runs["loss"], float(options["ratio"])
    if not ratio > 1.0:
        raise DataError(message(f"a grid ratio of {ratio}", "above 1: D and ratio D are compared"))
    found = differences(N, D, loss, ratio)
    try:
        first = staged(found, N, D, loss, ratio)
    except DataError:
        if not options["polish"]:
            raise
        first = {}
    if not options["polish"]:
        return Farseer(first, found.N.size, found.R.size, False)
    law = find("farseer")
    if first:
        law = replace(law, starts=lambda *_: {name: np.array([first[name]]) for name in law.names})
    made = fit(runs, law)
    certified = made.convergence is not None and made.convergence.certified
    return Farseer(dict(made.params), found.N.size, found.R.size, certified)


def predict(state: Farseer, columns: Mapping[str, Any]) -> Array:
    """L(N, D) of the law `farseer`."""
    return find("farseer")(state.params, N=columns["N"], D=columns["D"])


def numbers(state: Farseer) -> dict[str, float]:
    """The nine parameters, and what the stages could use."""
    return {
        **state.params,
        "sizes": float(state.sizes),
        "pairs": float(state.pairs),
        "certified": float(state.certified),
    }


farseer_staged = Estimator(
    id="farseer-staged",
    title="Farseer by differences: regressions per size, across sizes, then a joint fit",
    topic="size and data",
    output="loss",
    learn=learn,
    predict=predict,
    numbers=numbers,
    meaning=(
        "The published way to nine parameters that a joint search finds badly: differences of the losses of one "
        "model at D and lambda D remove its floor, so that regressions give the exponent and size of each model's "
        "curve; regressions across models give how these, and the floors that remain, change with N. The result "
        "starts a joint log-Huber fit of the law farseer. On a table without pairs that fit starts in the law's own "
        "boxes."
    ),
    traps=(
        "Differences double the variance of the noise and are small at large D: without the joint fit the exponents "
        "are those of the noisiest pairs.",
        "lambda must be the ratio of the grid; pairs are matched to .2 %.",
        "A bootstrap by row breaks the pairs in D: its draws have fewer differences than the estimate had.",
        "Nine parameters need five sizes by five token counts at least.",
        "Report predictions: exponents inside exponents trade off, so parameters differ where predictions agree.",
        "The law has no optimum in N for large budgets: see the law farseer before planning with it.",
    ),
    papers=("li2025farseer",),
    needs=("N", "D"),
    options={"ratio": math.sqrt(2.0), "polish": True},
    about_options={
        "ratio": "ratio lambda of neighbouring token counts of the grid",
        "polish": "whether the three stages are followed by the joint fit",
    },
    least=9,
)

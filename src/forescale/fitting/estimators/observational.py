# SPDX-License-Identifier: Apache-2.0
"""Observational scaling (Ruan et al. 2024): a task's score from few capabilities that benchmarks have in common.

Public models differ in data and architecture, so compute explains little across families. Their benchmark scores have
few common components; each family moves along the first one linearly in log compute, and other tasks follow the
components by a logistic link:

    y = h + (1 - h) / (1 + exp(-(w . S + b))),  0 <= h <= 0.2.

Everything is learned from the rows given: gaps are filled by a component of rank one, fitted to the standardised
benchmarks of these rows alone; components are those of the filled benchmarks, centred but not standardised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from forescale.core.errors import ColumnError, DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.numerics import lm, losses
from forescale.numerics.starts import sobol
from forescale.runs.table import Runs

Array = NDArray[np.float64]

BENCHMARKS = ("MMLU", "ARC_C", "HellaSwag", "Winograd", "TruthfulQA", "GSM8K", "XWinograd", "HumanEval")

TOLERANCE = 1e-4
"""Filling ends when no filled score, in standard deviations, moves by more."""

ROUNDS = 1000
STARTS = 64
BLOCK = 512
"""Links solved together: some forty models each."""
ENOUGH = 1e-8
"""Share of its squares that a link may still promise: links to separable scores steepen for ever."""
GUESS = 0.2
"""Largest chance level of the link."""


@dataclass(frozen=True, eq=False)
class Capabilities:
    """Benchmarks turned into components.

    Attributes:
        benchmarks: (m,) columns.
        mean, sd: (m,) of each, without the gaps. middle, direction: (m,) of the rank-one component, standardised.
        center: (m,) mean of the filled scores. axes: (m, m), one component per row, each of positive sum.
        explained: (m,) shares of variance.
        spread: (m,) standard deviation of each component.
    """

    benchmarks: tuple[str, ...]
    mean: Array
    sd: Array
    middle: Array
    direction: Array
    center: Array
    axes: Array
    explained: Array
    spread: Array

    def of(self, columns: Mapping[str, Any]) -> Array:
        """Components (n, m) of models with these benchmark scores; missing ones (NaN) are filled."""
        scores = _scores(columns, self.benchmarks)
        gaps = np.isnan(scores)
        z = np.where(gaps, 0.0, (scores - self.mean) / self.sd)
        for _ in range(ROUNDS if gaps.any() else 0):
            along = (z - self.middle) @ self.direction
            filled = np.where(gaps, along[:, None] * self.direction + self.middle, z)
            moved = float(np.abs(filled - z).max())
            z = filled
            if moved < TOLERANCE:
                break
        return np.asarray((z * self.sd + self.mean - self.center) @ self.axes.T)

    def standard(self, columns: Mapping[str, Any], k: int) -> Array:
        """The first k components (n, k) in standard deviations of the models they were learned from."""
        return np.asarray(self.of(columns)[:, :k] / np.where(self.spread[:k] > 0, self.spread[:k], 1.0))


def capabilities(columns: Mapping[str, Any], benchmarks: tuple[str, ...] = BENCHMARKS) -> Capabilities:
    """Components of the benchmark scores of some models.

    Raises:
        ColumnError: a benchmark that is not among the columns.
        DataError: fewer models than benchmarks, or a benchmark that is missing or the same everywhere.
    """
    scores = _scores(columns, benchmarks)
    if scores.shape[0] < len(benchmarks):
        raise DataError(
            message(f"{scores.shape[0]} models for {len(benchmarks)} benchmarks", "more models than that")
        )
    gaps = np.isnan(scores)
    known = (~gaps).sum(axis=0)
    mean = np.where(gaps, 0.0, scores).sum(axis=0) / np.maximum(known, 1)
    sd = np.sqrt(np.where(gaps, 0.0, (scores - mean) ** 2).sum(axis=0) / np.maximum(known, 1))
    if (sd == 0).any():
        bad = benchmarks[int(np.argmin(sd))]
        raise DataError(message(f"the benchmark {bad} does not vary among these models", "scores that differ"))
    z = np.where(gaps, 0.0, (scores - mean) / sd)
    for _ in range(ROUNDS):
        middle = z.mean(axis=0)
        direction = np.linalg.svd(z - middle, full_matrices=False)[2][0]
        along = (z - middle) @ direction
        filled = np.where(gaps, along[:, None] * direction + middle, z)
        moved = float(np.abs(filled - z).max())
        z = filled
        if moved < TOLERANCE:
            break
    whole = z * sd + mean
    center = whole.mean(axis=0)
    _, singular, axes = np.linalg.svd(whole - center, full_matrices=False)
    axes = axes * np.where(axes.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    variance = singular**2
    spread = np.sqrt(variance / scores.shape[0])
    return Capabilities(
        tuple(benchmarks), mean, sd, middle, direction, center, axes, variance / variance.sum(), spread
    )


def _scores(columns: Mapping[str, Any], benchmarks: tuple[str, ...]) -> Array:
    missing = [name for name in benchmarks if name not in columns]
    if missing:
        raise ColumnError(message(f"the benchmarks {missing} are no columns", "a column of scores for each"))
    return np.stack([np.asarray(columns[name], dtype=np.float64) for name in benchmarks], axis=1)


@dataclass(frozen=True, eq=False)
class State:
    """Components, and the link: `weights` (k,) on the components in standard deviations, `offset`, `guess` = h."""

    space: Capabilities
    weights: Array
    offset: float
    guess: float


def learn(runs: Runs, options: Options) -> State:
    """Components of the rows' benchmarks, then the link to the column `score` by least squares from many starts.

    Raises:
        ColumnError, DataError: see `capabilities`; more components than benchmarks.
    """
    k = int(options["components"])
    benchmarks = tuple(options["benchmarks"])
    if not 1 <= k <= len(benchmarks):
        raise DataError(message(f"{k} components of {len(benchmarks)} benchmarks", "between one and their number"))
    space = capabilities(runs.columns, benchmarks)
    x = space.standard(runs.columns, k)
    y = runs["score"]
    weights = np.ones(y.size) if runs.weights is None else runs.weights
    best = links(x, y, weights, link_starts(k))[0][0]
    return State(space, best[:k], float(best[k]), float(best[k + 1]))


def link_starts(k: int) -> Array:
    """Starts (STARTS, k + 2) of the link to k components."""
    starts = 8.0 * sobol(STARTS, k + 2) - 4.0
    starts[:, -1] = GUESS * (starts[:, -1] + 4.0) / 8.0
    starts[0] = 0.03
    return np.asarray(starts)


def link(x: Array, theta: Array) -> Array:
    """Scores (..., n) of models with components x (n, k) by links theta (..., k + 2): weights, offset, guess."""
    k = x.shape[1]
    guess = theta[..., k + 1 :]
    return np.asarray(guess + (1.0 - guess) * expit(theta[..., :k] @ x.T + theta[..., k : k + 1]))


def links(x: Array, y: Array, weights: Array, starts: Array, patience: int = 200) -> tuple[Array, Array]:
    """Links by least squares from each start, best first.

    Args:
        x: (n, k) components. y: (n,) scores. weights: (n,), or (B, n), one row for each start.
        starts: (B, k + 2). patience: most iterations; links to separable scores steepen for ever.

    Returns:
        (B, k + 2) links and (B,) what each leaves; in the order of the starts where each has weights of its own.
    """
    k, n = x.shape[1], y.size

    def model(theta: Array) -> tuple[Array, Array]:
        p = expit(theta[:, :k] @ x.T + theta[:, k : k + 1])
        guess = theta[:, k + 1 :]
        slope = (1.0 - guess) * p * (1.0 - p)
        jacobian = np.empty((theta.shape[0], k + 2, n))
        jacobian[:, :k] = slope[:, None, :] * x.T
        jacobian[:, k] = slope
        jacobian[:, k + 1] = 1.0 - p
        return guess + (1.0 - guess) * p, jacobian

    box = np.full(k + 2, np.inf)
    lower, upper = -box, box.copy()
    lower[-1], upper[-1] = 0.0, GUESS
    objective = losses.squared()
    found = lm.solve(
        model, objective, objective.response(y), starts, weights, lower=lower, upper=upper, max_iterations=patience,
        rtol=ENOUGH, block=BLOCK,
    )  # fmt: skip
    left = np.where(np.isfinite(found.objective), found.objective, np.inf)
    order = np.argsort(left, kind="stable") if weights.ndim == 1 else np.arange(left.size)
    return found.theta[order], left[order]


def predict(state: State, columns: Mapping[str, Any]) -> Array:
    """The score from the benchmarks' columns."""
    theta = np.concatenate([state.weights, [state.offset, state.guess]])
    return link(state.space.standard(columns, state.weights.size), theta)


def numbers(state: State) -> dict[str, float]:
    """Shares of variance of the components that are used, loadings of the first, the link."""
    space, k = state.space, state.weights.size
    out = {f"explained_{i + 1}": float(space.explained[i]) for i in range(k)}
    out |= {f"loading_{name}": float(v) for name, v in zip(space.benchmarks, space.axes[0])}
    out |= {f"weight_{i + 1}": float(state.weights[i]) for i in range(k)}
    return {**out, "offset": state.offset, "guess": state.guess}


observational = Estimator(
    id="observational",
    title="A task's score from common components of benchmarks",
    topic="task performance",
    output="score",
    learn=learn,
    predict=predict,
    numbers=numbers,
    meaning=(
        "Public models of many families as the experiment: three components of eight benchmarks explain 97 % of "
        "their variance, and scores of other, seemingly emergent tasks follow them by a logistic curve, from weak "
        "models to strong ones. Missing benchmark scores (NaN) are filled, from the rows that it learns from alone."
    ),
    traps=(
        "Split by compute, not at random: neighbours of a family leak.",
        "From one start the link can end in a poor optimum (three-digit addition does): here the best of 64 is kept.",
        "It does not always beat compute alone: for sums of three-digit numbers a few models decide either way.",
        "Benchmarks that leaked into training data tilt the components.",
        "Few strong models hold the upper end of the link: look at the band, bootstrapped by family.",
    ),
    papers=("ruan2024",),
    needs=(*BENCHMARKS, "score"),
    options={"components": 3, "benchmarks": BENCHMARKS},
    about_options={
        "components": "how many components the link reads",
        "benchmarks": "columns whose components are taken",
    },
    least=8,
    by="family",
)

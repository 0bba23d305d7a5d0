# SPDX-License-Identifier: Apache-2.0
"""A model ladder (Bhagia et al. 2024): task accuracy of a large model from checkpoints of small ones, in two steps.

1. The task's loss (bits per byte of the right answer) at the end of each run, the mean of its last checkpoints, is
   L(N, D) = E + A / N^alpha + B / D^beta: log-Huber loss, delta 1e-3.
2. Accuracy follows the loss of the checkpoints, averaged over a trailing window: a sigmoid, by least squares, with
   one added point of accuracy 1 at loss 0, and with an upper end of at most 1.

A bootstrap draws whole runs and learns both steps again, so that its bands carry the errors of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, DataError, message
from forescale.fitting import _search
from forescale.fitting._estimator import Estimator, Options
from forescale.fitting._optimum import optimum
from forescale.fitting._problem import bind
from forescale.laws import Law, find
from forescale.numerics import losses
from forescale.runs.table import Runs

Array = NDArray[np.float64]

NEAR_ZERO = 1e-9
"""The loss of the anchor: columns of losses are positive."""


@dataclass(frozen=True)
class State:
    """Constants of both steps, and the noise of the largest run's loss between its last ten checkpoints."""

    first: Mapping[str, float]
    second: Mapping[str, float]
    noise: float


def learn(runs: Runs, options: Options) -> State:
    """Both steps. Rows are checkpoints with N, D = tokens seen, loss, score and the label run, in any order.

    Raises:
        ColumnError: no label column run.
        DataError: fewer than five runs, which the first step needs.
    """
    if "run" not in runs.labels:
        raise ColumnError(message("checkpoints without the label column 'run'", "which run each row belongs to"))
    last, window, skip = int(options["last"]), int(options["window"]), float(options["skip"])
    codes, names = runs.group_codes("run")
    ends: list[tuple[float, float, float, float]] = []
    losses_, scores, weights = [], [], []
    largest, noise = -1.0, math.nan
    for code in range(len(names)):
        rows = np.flatnonzero(codes == code)
        # a resample may hold a run twice: it is one run that counts twice
        tokens, first, copies = np.unique(runs["D"][rows], return_index=True, return_counts=True)
        rows = rows[first]
        loss, score = runs["loss"][rows], runs["score"][rows]
        count = float(copies.min())
        size = float(runs["N"][rows[-1]])
        ends.append((size, float(tokens[-1]), float(loss[-last:].mean()), count))
        if size * tokens[-1] > largest:
            largest, noise = size * float(tokens[-1]), float(loss[-10:].std())
        kept = slice(math.ceil(skip * rows.size), None)
        losses_.append(trailing(loss[kept], window))
        scores.append(trailing(score[kept], window))
        weights.append(np.full(losses_[-1].size, count))
    if len(ends) < 5:
        raise DataError(message(f"{len(ends)} runs for a law of N and D", "five or more"))
    N, D, final, count_of = (np.array(column) for column in zip(*ends))
    one = _solved(find("chinchilla"), {"N": N, "D": D, "loss": final}, "log-huber", count_of)
    if options["anchor"]:
        losses_.append(np.array([NEAR_ZERO]))
        scores.append(np.array([1.0]))
        weights.append(np.ones(1))
    points = {"loss": np.concatenate(losses_), "score": np.concatenate(scores)}
    sigmoid = find("accuracy-sigmoid")
    two = _solved(sigmoid, points, "squared", np.concatenate(weights))
    if two["b"] > 1.0:
        two = {**_solved(sigmoid.fix(b=1.0), points, "squared", np.concatenate(weights)), "b": 1.0}
    return State(one, two, noise)


def trailing(values: Array, window: int) -> Array:
    """Means of each value and up to `window` - 1 before it."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, values.size + 1)
    begin = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[begin]) / (end - begin))


def _solved(law: Law, columns: Mapping[str, Array], loss: str, weights: Array) -> dict[str, float]:
    problem = bind(law, Runs.from_columns(columns), losses.loss(loss), weights)
    u = optimum(problem, *_search.candidates(problem, 16, None))[0]
    return dict(problem.space.mapping(problem.space.natural(u)))


def predict(state: State, columns: Mapping[str, Any]) -> Array:
    """Accuracy from N and D by both steps; where the loss is among the columns, from that by the second alone."""
    if "loss" in columns:
        loss = np.asarray(columns["loss"], dtype=np.float64)
    else:
        loss = find("chinchilla")(state.first, N=columns["N"], D=columns["D"])
    return find("accuracy-sigmoid")(state.second, loss=loss)


def numbers(state: State) -> dict[str, float]:
    """E, A, alpha, B, beta of the first step, a, L_0, k, b of the second, sd10."""
    return {**state.first, **state.second, "sd10": state.noise}


ladder = Estimator(
    id="ladder",
    title="Task accuracy by a model ladder: loss from N and D, accuracy from loss",
    topic="task performance",
    output="score",
    learn=learn,
    predict=predict,
    numbers=numbers,
    meaning=(
        "Small models, each trained for several lengths, show two things about a task: how its loss falls with "
        "parameters and tokens, and how accuracy follows the loss. Chained, they predict the accuracy of a model "
        "that costs a hundred times as much. Give one task's checkpoints; ask by N and D, or by a known loss."
    ),
    traps=(
        "Bootstrap before you believe: sixteen runs leave the exponents of single tasks wide open.",
        "The upper end of the sigmoid is the anchor's, not the data's: set anchor=False to see what the data say.",
        "The loss is a mean over the last checkpoints of a finished schedule; checkpoints before serve step 2 only.",
        "Tasks whose loss is noisy between checkpoints (sd10) are the tasks that are predicted badly.",
        "Residuals on the rows are those of step 2, whose loss is known: the chain's errors are larger.",
    ),
    papers=("bhagia2024",),
    needs=("N", "D", "loss", "score", "run"),
    options={"last": 5, "window": 5, "skip": 0.1, "anchor": True},
    about_options={
        "last": "checkpoints at the end of a run whose mean loss is its final loss",
        "window": "checkpoints in the trailing mean of step 2",
        "skip": "share of each run, from its start, that step 2 leaves out",
        "anchor": "whether step 2 gets the point of accuracy 1 at loss 0",
    },
    least=20,
    by="run",
)

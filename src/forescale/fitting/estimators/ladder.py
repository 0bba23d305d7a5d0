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
from forescale.core.frozen import Frozen
from forescale.fitting import _search
from forescale.fitting._estimator import Estimator, Options
from forescale.fitting._optimum import ROUNDING, optimum
from forescale.fitting._problem import bind
from forescale.laws import Law, find
from forescale.numerics import lm, losses, resample
from forescale.runs.table import Runs

Array = NDArray[np.float64]

NEAR_ZERO = 1e-9
"""The loss of the anchor: columns of losses are positive."""

LEAST = 5
"""Different runs that the first step needs, which has as many parameters."""

PATIENT = 800
"""Most iterations of a refit: a few runs drawn several times leave long valleys."""

ENOUGH = 1e-2
"""Share of its objective that a refit may still have to gain: a hundredth of the squares of some sixteen rows moves
the answer by less than half of a standard error, and what is left in such valleys is far below that."""

SLOW, QUICK = 1e-9, 1e-6
"""Shares of its objective that the next step of a refit may still promise, in step 1 and in step 2: log-Huber crawls
where squares leap."""

SMALL = 16 * lm.BLOCK
"""Refits of step 1 solved together: with as few rows as there are runs, calls cost more than sums."""


@dataclass(frozen=True)
class State:
    """Constants of both steps, and the noise of the largest run's loss between its last ten checkpoints."""

    first: Mapping[str, float]
    second: Mapping[str, float]
    noise: float


@dataclass(frozen=True, eq=False)
class Steps:
    """What each step learns from.

    Attributes:
        ends: N, D and loss of each run at its end, (R,) each. copies: (R,) how often the table holds the run.
        points: loss and score of step 2, (n,) each. of: (n,) the run of each point, -1 for the anchor.
        noise: standard deviation of the largest run's loss over its last ten checkpoints.
    """

    ends: Mapping[str, Array]
    copies: Array
    points: Mapping[str, Array]
    of: NDArray[np.intp]
    noise: float

    def spread(self, weights: Array) -> Array:
        """Weights (..., n) of the points of step 2 from weights (..., R) of the runs; the anchor counts once."""
        return np.where(self.of < 0, 1.0, weights[..., self.of])


def steps(runs: Runs, options: Options) -> Steps:
    """The rows of both steps. Rows are checkpoints with N, D = tokens seen, loss, score and the label run.

    Raises:
        ColumnError: no label column run.
        DataError: fewer than five runs, which the first step needs; scores outside 0 to 1.
    """
    if not ((runs["score"] >= 0) & (runs["score"] <= 1)).all():
        low, high = runs["score"].min(), runs["score"].max()
        raise DataError(
            message(f"scores from {low:g} to {high:g}", "accuracies between 0 and 1", "divide per cent by 100")
        )
    if "run" not in runs.labels:
        raise ColumnError(message("checkpoints without the label column 'run'", "which run each row belongs to"))
    last, window, skip = int(options["last"]), int(options["window"]), float(options["skip"])
    codes, names = runs.group_codes("run")
    ends: list[tuple[float, float, float, float]] = []
    losses_, scores, of = [], [], []
    largest, noise = -1.0, math.nan
    for code in range(len(names)):
        rows = np.flatnonzero(codes == code)
        # a resample may hold a run twice: it is one run that counts twice
        tokens, first, copies = np.unique(runs["D"][rows], return_index=True, return_counts=True)
        rows = rows[first]
        loss, score = runs["loss"][rows], runs["score"][rows]
        size = float(runs["N"][rows[-1]])
        ends.append((size, float(tokens[-1]), float(loss[-last:].mean()), float(copies.min())))
        if size * tokens[-1] > largest:
            largest, noise = size * float(tokens[-1]), float(loss[-10:].std())
        kept = slice(math.ceil(skip * rows.size), None)
        losses_.append(trailing(loss[kept], window))
        scores.append(trailing(score[kept], window))
        of.append(np.full(losses_[-1].size, code))
    if len(ends) < LEAST:
        raise DataError(message(f"{len(ends)} runs for a law of N and D", "five or more"))
    if options["anchor"]:
        losses_.append(np.array([NEAR_ZERO]))
        scores.append(np.array([1.0]))
        of.append(np.array([-1]))
    N, D, final, count = (np.array(column) for column in zip(*ends))
    return Steps(
        Frozen({"N": N, "D": D, "loss": final}),
        count,
        Frozen({"loss": np.concatenate(losses_), "score": np.concatenate(scores)}),
        np.concatenate(of).astype(np.intp),
        noise,
    )


def learn(runs: Runs, options: Options) -> State:
    """Both steps, from the rows that `steps` takes, in any order.

    Raises:
        ColumnError, DataError: see `steps`.
    """
    rows = steps(runs, options)
    one = _solved(find("chinchilla"), rows.ends, "log-huber", rows.copies)
    weights = rows.spread(rows.copies)
    sigmoid = find("accuracy-sigmoid")
    two = _solved(sigmoid, rows.points, "squared", weights)
    if two["b"] > 1.0:
        two = {**_solved(sigmoid.fix(b=1.0), rows.points, "squared", weights), "b": 1.0}
    return State(one, two, rows.noise)


def resampled(
    state: State, rows: Steps, draws: int, rng: int | np.random.SeedSequence = 0
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Both steps refitted to resamples of whole runs, from the optimum and all at once.

    The same runs are drawn for both, so that row i of the one belongs to row i of the other.

    Returns:
        parameters of step 1 and of step 2, each (draws,); NaN in both where a refit was lost, or fewer than five
        different runs were drawn.
    """
    w = resample.bootstrap_clusters(np.arange(rows.copies.size), draws, rng, rows.copies)
    sigmoid = find("accuracy-sigmoid")
    one = _refitted(find("chinchilla"), rows.ends, "log-huber", w, state.first, SLOW)
    spread = rows.spread(w)
    two = _refitted(sigmoid, rows.points, "squared", spread, state.second, QUICK)
    beyond = np.flatnonzero(two["b"] > 1.0)
    if beyond.size:
        held = _refitted(sigmoid.fix(b=1.0), rows.points, "squared", spread[beyond], state.second, QUICK)
        for name, values in {**held, "b": np.ones(beyond.size)}.items():
            two[name][beyond] = values
    lost = ~np.isfinite(np.stack([*one.values(), *two.values()])).all(axis=0) | ((w > 0).sum(axis=1) < LEAST)
    for values in (*one.values(), *two.values()):
        values[lost] = np.nan
    return one, two


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


def _refitted(
    law: Law, columns: Mapping[str, Array], loss: str, weights: Array, start: Mapping[str, float], rtol: float
) -> dict[str, Array]:
    """Parameters (draws,) of a law for each row of weights; NaN where the refit was lost."""
    problem = bind(law, Runs.from_columns(columns), losses.loss(loss))
    starts = np.tile(problem.space.search(problem.space.vector(start)), (len(weights), 1))
    found = lm.solve(
        problem.predict_and_jacobian, problem.objective, problem.response, starts, weights,
        rtol=rtol, lower=problem.lower, max_iterations=PATIENT, block=lm.BLOCK if problem.n > lm.BLOCK else SMALL,
    )  # fmt: skip
    near = (found.decrement <= ENOUGH) | (found.objective <= ROUNDING * weights.sum(axis=1))
    natural = np.where(near[:, None], problem.space.natural(found.theta), np.nan)
    return {name: natural[:, p].copy() for p, name in enumerate(problem.space.names)}


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

# SPDX-License-Identifier: Apache-2.0
"""The staged procedure of Su et al. (2024): constants of small models, and the whole loss curve of a larger one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.laws import find
from forescale.laws._terms import endless_batch_steps, loss_batch
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

LEVELS = 12
"""Levels of the loss at which hyperbolas are fitted, per model."""

BATCHES = 3
"""Batches that a hyperbola needs."""


@dataclass(frozen=True)
class State:
    """The six constants of the law kaplan-steps, and how many hyperbolas the critical batch rests on."""

    constants: Mapping[str, float]
    hyperbolas: int


@dataclass(frozen=True, eq=False)
class _Curve:
    """One run, smoothed: the logarithm of the loss falls with the logarithm of the step."""

    N: float
    batch: float
    log_step: Array
    log_loss: Array

    def step_at(self, level: float) -> float:
        """The step at which a loss is reached (log level, between the ends)."""
        return float(np.exp(np.interp(-level, -self.log_loss, self.log_step)))


def learn(runs: Runs, options: Options) -> State:
    """Sizes from the ends of the runs, the critical batch from hyperbolas, then the exponent of steps."""
    table = require(runs, "N", "step", "batch_tokens", "loss")
    if "run" not in table.labels:
        raise DataError(
            message("trajectories without the label run", "a column that says which rows belong together")
        )
    late = table["step"] > max(float(options["skip"]), 0.0)
    N, step, batch, loss = (table[name][late] for name in ("N", "step", "batch_tokens", "loss"))
    curves = _curves(table.labels["run"][late], N, step, batch, loss)
    B_star, alpha_B, hyperbolas = _critical(curves)
    S_min = endless_batch_steps(step, batch, loss_batch(loss, B_star, alpha_B))
    end: dict[float, tuple[float, float]] = {}
    for curve in curves:
        lowest = float(np.exp(curve.log_loss[-1]))
        if curve.N not in end or lowest < end[curve.N][0]:
            critical = loss_batch(lowest, B_star, alpha_B)
            end[curve.N] = lowest, endless_batch_steps(float(np.exp(curve.log_step[-1])), curve.batch, critical)
    if len(end) < 3:
        raise DataError(message(f"runs of {len(end)} sizes", "three or more"))
    sizes, lowest, steps = np.array(sorted((n, *there) for n, there in end.items())).T
    remaining = np.zeros(sizes.size)
    for _ in range(max(int(options["rounds"]), 1)):
        alpha_N, N_c = _line(sizes, lowest - remaining, "N")
        excess = loss - (N_c / N) ** alpha_N
        good = excess > 0
        if good.sum() < 3:
            raise DataError(message("no row lies above the losses that the sizes end at", "rows from early training"))
        # An error of the loss is one of excess / loss in the logarithm of the excess.
        alpha_S, S_c = _line(S_min[good], excess[good], "the steps", (excess[good] / loss[good]) ** 2)
        remaining = np.minimum((S_c / steps) ** alpha_S, 0.5 * lowest)
    found = {"N_c": N_c, "alpha_N": alpha_N, "S_c": S_c, "alpha_S": alpha_S, "B_star": B_star, "alpha_B": alpha_B}
    return State(found, hyperbolas)


def _curves(labels: NDArray[Any], N: Array, step: Array, batch: Array, loss: Array) -> list[_Curve]:
    """One smoothed curve per run, from large losses to small ones."""
    out = []
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        rows = rows[np.lexsort((loss[rows], step[rows]))]
        if np.unique(N[rows]).size > 1 or np.unique(batch[rows]).size > 1:
            raise DataError(message(f"the run {name!r} has several sizes or batches", "one N and one batch per run"))
        if rows.size >= 2:
            where, height = _falling(np.log(step[rows]), np.log(loss[rows]))
            out.append(_Curve(float(N[rows[0]]), float(batch[rows[0]]), where, height))
    return out


def _falling(x: Array, y: Array) -> tuple[Array, Array]:
    """The falling curve nearest to y in least squares (pooling adjacent violators): centres and heights of blocks."""
    blocks: list[list[float]] = []
    for here, value in zip(x, y):
        blocks.append([1.0, here, value])
        while len(blocks) > 1 and blocks[-1][2] / blocks[-1][0] >= blocks[-2][2] / blocks[-2][0]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last)]
    count, where, height = np.array(blocks).T
    return where / count, height / count


def _critical(curves: list[_Curve]) -> tuple[float, float, int]:
    """B_star and alpha_B from hyperbolas at losses that all batches of a model reach."""
    levels, critical = [], []
    for size in sorted({curve.N for curve in curves}):
        same = [curve for curve in curves if size == curve.N]
        batches = np.array([curve.batch for curve in same])
        top = min(float(curve.log_loss[0]) for curve in same)
        bottom = max(float(curve.log_loss[-1]) for curve in same)
        if np.unique(batches).size < BATCHES or not bottom < top:
            continue
        for level in np.linspace(top, bottom, LEVELS + 2)[1:-1]:
            steps = np.array([curve.step_at(float(level)) for curve in same])
            # (S / S_min - 1) (E / E_min - 1) = 1 is S = S_min + E_min / B, here with errors of log S.
            S_min, E_min = np.linalg.lstsq(np.stack([1.0 / steps, 1.0 / (batches * steps)], 1), np.ones(steps.size))[
                0
            ]
            if S_min > 0 and E_min > 0:
                levels.append(float(np.exp(level)))
                critical.append(E_min / S_min)
    if len(levels) < 3:
        raise DataError(
            message(
                f"{len(levels)} levels of the loss show a critical batch",
                f"a model with {BATCHES} or more batches, well apart, that all reach the same losses",
            )
        )
    power, location = _line(np.array(levels), np.array(critical), "the loss")
    return float(location**power), 1.0 / power, len(levels)


def _line(x: Array, y: Array, name: str, weights: Array | None = None) -> tuple[float, float]:
    """alpha and x_c of y = (x_c / x)^alpha, by a regression of the logarithms."""
    if (y <= 0).any() or np.unique(x).size < 2:
        raise DataError(message(f"nothing can be regressed on {name}", "positive values at two or more places"))
    w = np.ones(x.size) if weights is None else weights
    lx, ly = np.log(x), np.log(y)
    mx, my = np.average(lx, weights=w), np.average(ly, weights=w)
    alpha = -np.average((lx - mx) * (ly - my), weights=w) / np.average((lx - mx) ** 2, weights=w)
    if not alpha > 0:
        raise DataError(message(f"the values do not fall with {name} (power {alpha:.3g})", "a falling power law"))
    return float(alpha), float(np.exp(mx + my / alpha))


def predict(state: State, columns: Mapping[str, Any]) -> Array:
    """The loss at N, step, batch_tokens."""
    law = find("kaplan-steps")
    return law(state.constants, **{name: columns[name] for name in law.inputs})


su = Estimator(
    id="su",
    title="Loss curves of large models from constants of small ones, in three steps",
    topic="training dynamics",
    output="loss",
    learn=learn,
    predict=predict,
    numbers=lambda state: {**state.constants, "hyperbolas": float(state.hyperbolas)},
    options={"skip": 0.0, "rounds": 20},
    about_options={
        "skip": "steps at the start of each run that are left out: warm-up and what follows it at once",
        "rounds": "how often the ends of the runs are corrected for the training that they lack; 1 is the paper's "
        "procedure, which asks for training until the loss is flat",
    },
    needs=("N", "step", "batch_tokens", "loss", "run"),
    least=12,
    by="run",
    meaning=(
        "Runs of several small models, and of one of them at three or more batches, give the six constants of the "
        "law kaplan-steps: the power of parameters from the losses that the runs end at; the critical batch from "
        "hyperbolas of steps and tokens at losses that all batches reach; the power of steps from what is left, with "
        "steps counted as at an endless batch. Then the loss of a larger model is predicted at every step and batch. "
        "Losses are smoothed by the nearest falling curve before levels are read off."
    ),
    traps=(
        "Stages pass their errors on: with noise of 0.3 % the power of steps comes out 4 % too small in simulations, "
        "with a scatter of 5 %; a fit of the law kaplan-steps to the same rows is unbiased, with a scatter of 1 %.",
        "One learning rate after warm-up, tuned for each batch; a decaying schedule breaks the third step, repeated "
        "data the first.",
        "The law has no floor: far beyond the sizes seen it is too hopeful.",
        "The paper's own constants were not found: nothing here is compared with them.",
    ),
    papers=("su2024", "kaplan2020", "mccandlish2018"),
)

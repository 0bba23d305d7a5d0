# SPDX-License-Identifier: Apache-2.0
"""What a method saves: the compute that the base run needs for the same score (Tay et al. 2022, U-PaLM)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.runs.table import Runs

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Savings:
    """Two curves of mean scores against compute, and what follows for each point of the second.

    Attributes:
        base: label of the base run.
        base_C, base_score: (k,) checkpoints of the base run, the scores made monotone.
        C, score: (m,) checkpoints of the new method, rising in C.
        needed: (m,) compute at which the base reaches that score, held at the ends of the base's range.
        bound: (m,) 0 where the base has that score in its range; 1 where it never gets there, and `needed` is the
            least it can be; -1 where it had it before its first checkpoint, and `needed` is the most it can be.
        rate: achieved FLOP per second and device, or 0.
    """

    base: str
    base_C: Array
    base_score: Array
    C: Array
    score: Array
    needed: Array
    bound: Array
    rate: float

    @property
    def multiplier(self) -> Array:
        """(m,) compute that the base needs over what the method spent."""
        return self.needed / self.C


def monotone(values: Array, weights: Array) -> Array:
    """The rising sequence nearest to `values` in weighted least squares: neighbours that fall are pooled."""
    level: list[float] = []
    weight: list[float] = []
    count: list[int] = []
    for value, w in zip(values.tolist(), weights.tolist()):
        level.append(value)
        weight.append(w)
        count.append(1)
        while len(level) > 1 and level[-2] >= level[-1]:
            total = weight[-2] + weight[-1]
            level[-2:] = [(weight[-2] * level[-2] + weight[-1] * level[-1]) / total]
            weight[-2:] = [total]
            count[-2:] = [count[-2] + count[-1]]
    return np.repeat(level, count)


def needed(log_C: Array, score: Array, wanted: Array) -> tuple[Array, Array]:
    """Compute at which a rising curve first has each score, and whether that is exact (0) or a bound (1, -1)."""
    # Equal scores of a pooled stretch: the first point that has them counts.
    first = np.concatenate([[True], np.diff(score) > 0])
    found = np.exp(np.interp(wanted, score[first], log_C[first]))
    return found, np.where(wanted > score[-1], 1.0, np.where(wanted < score[0], -1.0, 0.0))


def learn(runs: Runs, options: Options) -> Savings:
    """Mean over tasks at each checkpoint; the base curve inverted in log C at each score of the other method."""
    for name in ("C", "score"):
        if name not in runs.columns:
            raise DataError(message(f"savings without a column {name}", "C in FLOP and a score, higher is better"))
    if "method" not in runs.labels:
        raise DataError(message("savings without a label `method`", f"{options['base']!r} and one other"))
    base = str(options["base"])
    is_base = runs.labels["method"] == base
    others = sorted(set(runs.labels["method"][~is_base].tolist()))
    if not is_base.any() or len(others) != 1:
        seen = sorted(set(runs.labels["method"].tolist()))
        raise DataError(
            message(f"methods {seen}", f"{base!r} and one other", "name the base with base=..., choose rows before")
        )
    base_C, base_mean, counts = _means(runs.where(is_base))
    C, score, _ = _means(runs.where(~is_base))
    if base_C.size < 2:
        raise DataError(message(f"{base_C.size} checkpoint of the base run", "two or more"))
    curve = monotone(base_mean, counts)
    spent, bound = needed(np.log(base_C), curve, score)
    return Savings(base, base_C, curve, C, score, spent, bound, float(options["flop_per_second"]))


def _means(runs: Runs) -> tuple[Array, Array, Array]:
    """Checkpoints in order, mean score over tasks, rows of each. DataError where tasks differ between checkpoints."""
    C, place = np.unique(runs["C"], return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    if "task" in runs.labels:
        tasks = [tuple(sorted(runs.labels["task"][place == i].tolist())) for i in range(C.size)]
        if len(set(tasks)) > 1:
            raise DataError(
                message("checkpoints were scored on different tasks", "every task at every checkpoint of a method")
            )
    return C, np.bincount(place, runs["score"]) / counts, counts


def predict(state: Savings, columns: Mapping[str, Any]) -> Array:
    """Mean score at C: of the base run, or of the other method where the label `method` says so."""
    log_C = np.log(np.asarray(columns["C"], dtype=np.float64))
    base = np.interp(log_C, np.log(state.base_C), state.base_score)
    if "method" not in columns:
        return base
    other = np.interp(log_C, np.log(state.C), state.score)
    return np.where(np.asarray(columns["method"]) == state.base, base, other)


def numbers(state: Savings) -> dict[str, float]:
    """For the last checkpoint, then the multiplier at each."""
    spent, saved = float(state.C[-1]), float(state.needed[-1] - state.C[-1])
    found = {
        "savings": float(state.multiplier[-1]),
        "score": float(state.score[-1]),
        "C": spent,
        "C_base": float(state.needed[-1]),
        "FLOP_saved": saved,
        "bound": float(state.bound[-1]),
    }
    if state.rate > 0:
        found["device_hours_saved"] = saved / state.rate / 3600.0
    if state.C.size > 1:
        found |= {f"savings at {C:.4g}": float(m) for C, m in zip(state.C, state.multiplier)}
    return found


savings = Estimator(
    id="savings",
    title="Savings rate: compute of the base run for the score of a new method",
    topic="task performance",
    output="score",
    learn=learn,
    predict=predict,
    numbers=numbers,
    meaning=(
        "A new method spends some compute and reaches a mean score over tasks. The base run's own curve of scores is "
        "read backwards, by monotone interpolation in log C: the compute that it needs for that score, over what the "
        "method spent, is the savings rate. Needs no law and no loss: two or three checkpoints of the base run do. "
        "The bootstrap draws tasks."
    ),
    traps=(
        "`bound` is 1 where the base never reaches the score: the savings are then at least the number given, and -1 "
        "where it had the score before its first checkpoint: at most. Nothing is extrapolated.",
        "Three checkpoints make a coarse curve: between them a straight line in log C is an assumption.",
        "A base run measured at the end of its schedule and a method in the middle of its own are not alike.",
        "Every task at every checkpoint: a mean over other tasks is another score.",
        "Scores, not losses: higher is better.",
    ),
    papers=("tay2022",),
    needs=("C", "method", "task"),
    options={"base": "base", "flop_per_second": 0.0},
    about_options={
        "base": "label of the base run in `method`",
        "flop_per_second": "achieved FLOP per second of one device, to count device-hours saved; 0 counts none",
    },
    least=3,
    by="task",
)

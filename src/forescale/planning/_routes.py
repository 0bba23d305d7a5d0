# SPDX-License-Identifier: Apache-2.0
"""Problems solved in a fast and a slow way, and what thresholds on their difficulty give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message
from forescale.numerics.resample import bootstrap_rows
from forescale.runs.samples import judged
from forescale.runs.table import Runs

Array = NDArray[np.float64]

DRAWS = 1000
MOST = 100
"""Most thresholds that are looked at."""


@dataclass(frozen=True, eq=False)
class Routes:
    """Thresholds with their accuracies and mean tokens.

    Attributes:
        tau: (K,) thresholds in rising order; -inf sends everything the slow way.
        accuracy, tokens: (B, K); row 0 the estimate.
    """

    tau: Array
    accuracy: Array
    tokens: Array


@dataclass(frozen=True, eq=False)
class Items:
    """Problems solved both ways, (P,): difficulty, accuracies and tokens of the fast and the slow way."""

    difficulty: Array
    right: tuple[Array, Array]
    tokens: tuple[Array, Array]
    modes: tuple[str, str]
    repeats: float


def solved(table: Runs, fast: str | None) -> Items:
    judged(table, "correct")
    for name in ("difficulty", "decode_tokens"):
        bad = np.flatnonzero(~np.isfinite(table[name]) | ((table[name] <= 0) & (name == "decode_tokens")))
        if bad.size:
            raise DataError(message(f"{name} is {table[name][bad[0]]:g} in row {bad[0] + 1} of {table.source}",
                                    "a number (of tokens: above zero)"))  # fmt: skip
    modes, names = table.group_codes("mode")
    if len(names) != 2:
        raise DataError(
            message(f"{len(names)} modes in {table.source} ({', '.join(names[:5])})", "a fast and a slow")
        )
    problems, known = table.group_codes("problem")
    cell = 2 * problems + modes
    count = np.bincount(cell, minlength=2 * len(known)).reshape(-1, 2)
    if (count == 0).any():
        lacking = np.flatnonzero((count == 0).any(axis=1))
        raise DataError(
            message(
                f"problem {known[lacking[0]]!r} and {lacking.size - 1} more were not solved both ways",
                "every problem in both modes",
            )
        )

    def mean(values: Array) -> Array:
        return np.bincount(cell, values, minlength=2 * len(known)).reshape(-1, 2) / count

    right, tokens = mean(table["correct"]), mean(table["decode_tokens"])
    if fast is not None and fast not in names:
        raise QueryError(message(f"fast = {fast!r} is no mode of {table.source}", " or ".join(names)))
    first = names.index(fast) if fast is not None else int(np.argmin(tokens.mean(axis=0)))
    order = (first, 1 - first)
    return Items(
        np.bincount(problems, table["difficulty"]) / np.bincount(problems),
        (right[:, order[0]], right[:, order[1]]),
        (tokens[:, order[0]], tokens[:, order[1]]),
        (names[order[0]], names[order[1]]),
        float(count.min()),
    )


def routes(items: Items) -> Routes:
    levels = np.unique(items.difficulty)
    if levels.size > MOST:
        levels = np.unique(np.quantile(levels, np.linspace(0.0, 1.0, MOST), method="nearest"))
    tau = np.concatenate([[-np.inf], levels])
    problems = items.difficulty.size
    weights = np.concatenate([np.ones((1, problems)), bootstrap_rows(problems, DRAWS, 0)]) / problems
    slow = items.difficulty[:, None] > tau
    return Routes(
        tau,
        weights @ np.where(slow, items.right[1][:, None], items.right[0][:, None]),
        weights @ np.where(slow, items.tokens[1][:, None], items.tokens[0][:, None]),
    )


def measured(table: Runs) -> Routes:
    tau, score, tokens = (table[name] for name in ("threshold", "score", "decode_tokens"))
    if not bool(np.isfinite(tau).all() and np.isfinite(score).all() and (tokens > 0).all()):
        raise DataError(message(f"numbers of {table.source} are missing or not positive", "threshold, score, tokens"))
    if float(score.min()) < 0 or float(score.max()) > 1:
        raise DataError(message(f"scores from {score.min():g} to {score.max():g}", "shares between 0 and 1"))
    if np.unique(tau).size < tau.size:
        raise DataError(message(f"a threshold stands twice in {table.source}", "one benchmark and model at a time"))
    order = np.argsort(tau)
    return Routes(tau[order], score[order][None], tokens[order][None])

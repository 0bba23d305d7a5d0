# SPDX-License-Identifier: Apache-2.0
"""Samples of problems, and the expected accuracy of each rule that picks an answer among k of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.core.streams import block_streams
from forescale.fitting.estimators.success_rates import best_of_each
from forescale.fitting.estimators.voting import Ballot, ballot, plurality, weighted_vote
from forescale.runs.samples import judged, of_model
from forescale.runs.table import Runs

Array = NDArray[np.float64]

POINTS = 12
"""Numbers of samples that are looked at, even in the logarithm."""
BEST, WORST = "a perfect judge", "a perverse judge"
VOTE, SCORE, BOTH = "majority vote", "best of k by score", "vote weighted by score"


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples of one problem: whether right, scores, codes of answers, where there is none; empty where not known."""

    correct: Array
    score: Array
    answers: NDArray[np.intp]
    silent: NDArray[np.bool_]
    ballot: Ballot


def read(table: Runs, model: str | None) -> Runs:
    samples = of_model(table, model)
    judged(samples)
    right = samples["correct"]
    bad = np.flatnonzero(~((right >= 0.0) & (right <= 1.0)))
    if bad.size:
        raise DataError(
            message(
                f"correct lies outside 0 to 1 in {bad.size} rows of {samples.source} (row {bad[0] + 1}: "
                f"{right[bad[0]]:g})",
                "1 or 0, or a grade between them",
            )
        )
    if "score" in samples.columns and not bool(np.isfinite(samples["score"]).all()):
        row = int(np.flatnonzero(~np.isfinite(samples["score"]))[0])
        raise DataError(
            message(f"score is no number in row {row + 1} of {samples.source}", "a score for each sample, or none")
        )
    if "score" not in samples.columns and answers_of(samples) is None:
        raise DataError(
            message(
                f"{samples.source} has neither answers nor scores",
                "answer (for a vote), or score (for the best of k)",
                'columns={"answer": "..."}',
            )
        )
    return samples


def answers_of(samples: Runs) -> tuple[NDArray[np.intp], NDArray[np.bool_]] | None:
    """Codes of the answers and which samples have none; None without a column of answers."""
    if "answer" in samples.labels:
        codes, names = samples.group_codes("answer")
        return codes, np.array([not name.strip() for name in names])[codes]
    return None


def problems(table: Runs) -> list[Problem]:
    codes, _ = table.group_codes("problem")
    order = np.argsort(codes, kind="stable")
    answers = answers_of(table)
    found = []
    for rows in np.split(order, np.cumsum(np.bincount(codes))[:-1]):
        right = table["correct"][rows]
        score = table["score"][rows] if "score" in table.columns else np.empty(0)
        given, silent = (np.empty(0, dtype=np.intp), np.empty(0, dtype=bool)) if answers is None else (
            answers[0][rows], answers[1][rows]
        )  # fmt: skip
        found.append(Problem(right, score, given, silent, ballot(given, right[: given.size], silent)))
    return found


def grid(most: int, asked: int | None) -> Array:
    wanted = [asked] if asked is not None and asked <= most else []
    return np.unique(np.concatenate([np.round(np.geomspace(1.0, most, POINTS)), wanted]))


def expected(problems: list[Problem], ks: Array) -> dict[str, Array]:
    """Rule -> (P, K) expected accuracy of each problem."""
    whole = [int(k) for k in ks]
    streams = block_streams(0, len(problems))
    rules: dict[str, Callable[[Problem, int], Any]] = {
        BEST: lambda p, _: best_of_each(p.correct, p.correct, ks),
        WORST: lambda p, _: best_of_each(-p.correct, p.correct, ks),
    }
    one = problems[0]
    if one.answers.size:
        rules[VOTE] = lambda p, i: [plurality(p.ballot, k, streams[i]) for k in whole]
    if one.score.size:
        rules[SCORE] = lambda p, _: best_of_each(p.score, p.correct, ks)
    if one.answers.size and one.score.size:
        rules[BOTH] = lambda p, i: weighted_vote(p.answers, p.score, p.correct, p.silent, whole, streams[i])
    return {rule: np.array([of(p, i) for i, p in enumerate(problems)]) for rule, of in rules.items()}

# SPDX-License-Identifier: Apache-2.0
"""Sums over the results of the extrapolation benchmark: by case, by domain, by distance, method against method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.judge import _proper
from forescale.judge._results import Array, Result

BINS = (("<= 3x", 0.0, 3.0), ("3-10x", 3.0, 10.0), ("> 10x", 10.0, math.inf), ("all", 0.0, math.inf))
"""Distance bins: name, above, up to."""
LIMITS = 0.95
"""Level of the limits of a share."""


@dataclass(frozen=True)
class Row:
    """One line of a table: a method on a group of tasks.

    Attributes:
        group, method, metric: what is summed up; metric "" where tasks of several are.
        tasks, answered: how many, and on how many the method answered. Everything else is about those.
        error, median: mean and median over tasks of their errors; worst: the largest.
        bias: mean over tasks, per cent.
        wins: tasks on which no method of the table was better.
        covered: share of the rows with a band that lie in it; covered_tasks: mean over tasks of that share.
        score, score_tasks: mean interval score over rows, and mean over tasks.
        points: rows with a band.
        cpu: CPU-seconds of all tasks.
    """

    group: str
    method: str
    metric: str
    tasks: int
    answered: int
    error: float
    median: float
    worst: float
    bias: float
    wins: float
    covered: float
    covered_tasks: float
    score: float
    score_tasks: float
    points: int
    cpu: float


def table(results: Sequence[Result], level: float, key: Callable[[Result], str]) -> list[Row]:
    """One row per group and method."""
    wins = _wins(results)
    groups = dict.fromkeys(key(r) for r in results)
    rows = []
    for group in groups:
        for method in _methods(results):
            mine = [r for r in results if key(r) == group and r.method == method]
            if mine:
                rows.append(_row(group, method, mine, wins, level))
    return rows


def _row(group: str, method: str, mine: Sequence[Result], wins: Mapping[tuple[str, str], float], level: float) -> Row:
    done = [r for r in mine if not r.failed]
    banded = [r for r in done if r.banded]
    metrics = {r.metric for r in mine}
    # errors of different metrics have no mean
    errors = np.array([r.error for r in done]) if len(metrics) == 1 and done else np.array([math.nan])
    inside = [r.inside for r in banded] or [np.array([math.nan])]
    scores = [r.interval_score(level) for r in banded] or [np.array([math.nan])]
    return Row(
        group=group,
        method=method,
        metric=metrics.pop() if len(metrics) == 1 else "",
        tasks=len(mine),
        answered=len(done),
        error=float(errors.mean()),
        median=float(np.median(errors)),
        worst=float(errors.max()),
        bias=float(np.mean([r.bias for r in done])) if done else math.nan,
        wins=float(sum(wins.get((r.task, method), 0.0) for r in mine)),
        covered=float(np.concatenate(inside).mean()),
        covered_tasks=float(np.mean([part.mean() for part in inside])),
        score=float(np.concatenate(scores).mean()),
        score_tasks=float(np.mean([part.mean() for part in scores])),
        points=sum(len(r.observed) for r in banded),
        cpu=float(sum(r.cpu for r in mine)),
    )


def by_distance(results: Sequence[Result], level: float) -> list[dict[str, Any]]:
    """One row per method and distance bin: rows with a band, share inside, its 95 % limits, interval score."""
    rows = []
    for method in _methods(results):
        answers = [r for r in results if r.method == method and r.banded]
        if not answers:
            continue
        distance, inside, score, clusters = _pooled(answers, level)
        for name, low, high in BINS:
            part = (distance > low) & (distance <= high)
            if part.any():
                ends = _proper.share_limits(inside[part], clusters[part], LIMITS)
                rows.append(
                    {
                        "method": method,
                        "distance": name,
                        "points": int(part.sum()),
                        "covered": float(inside[part].mean()),
                        "low": ends[0],
                        "high": ends[1],
                        "score": float(score[part].mean()),
                    }
                )
    return rows


def pairs(results: Sequence[Result], level: float, first: str) -> list[dict[str, Any]]:
    """`reference` (default: `REFERENCE`, where it took part) against every other method with bands, on the rows
    for which both have one: rows, share inside and mean interval score, over rows and as a mean over tasks."""
    mine = {r.task: r for r in results if r.method == first and r.banded}
    rows = []
    for method in _methods(results) if mine else ():
        both = [(mine[r.task], r) for r in results if r.method == method != first and r.banded and r.task in mine]
        if both:
            scores = [[r.interval_score(level) for r in side] for side in zip(*both)]
            inside = [np.concatenate([r.inside for r in side]) for side in zip(*both)]
            rows.append(
                {
                    "method": first,
                    "other": method,
                    "tasks": len(both),
                    "points": len(inside[0]),
                    "covered": float(inside[0].mean()),
                    "covered_other": float(inside[1].mean()),
                    "score": float(np.concatenate(scores[0]).mean()),
                    "score_other": float(np.concatenate(scores[1]).mean()),
                    "score_tasks": float(np.mean([part.mean() for part in scores[0]])),
                    "score_tasks_other": float(np.mean([part.mean() for part in scores[1]])),
                }
            )
    return rows


def _pooled(answers: Sequence[Result], level: float) -> tuple[Array, NDArray[np.bool_], Array, NDArray[np.intp]]:
    names = [f"{r.task}|{c}" for r in answers for c in r.clusters.tolist()]
    _, clusters = np.unique(names, return_inverse=True)
    return (
        np.concatenate([r.distance for r in answers]),
        np.concatenate([r.inside for r in answers]),
        np.concatenate([r.interval_score(level) for r in answers]),
        clusters.astype(np.intp),
    )


def _wins(results: Sequence[Result]) -> dict[tuple[str, str], float]:
    """(task, method) -> 1 for the least error, shared where several have it."""
    best: dict[str, list[Result]] = {}
    for r in results:
        if not r.failed:
            best.setdefault(r.task, []).append(r)
    won = {}
    for task, answers in best.items():
        least = min(r.error for r in answers)
        first = [r for r in answers if r.error <= least * (1 + 1e-9)]
        won.update({(task, r.method): 1.0 / len(first) for r in first})
    return won


def _methods(results: Sequence[Result]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r.method for r in results))

# SPDX-License-Identifier: Apache-2.0
"""The extrapolation benchmark: every method on every case, larger runs hidden, one table.

Cases are protocol files (`judge/_protocol.py`), methods are values (`judge/_methods.py`). Each prediction of a
held-out row is kept; tables are sums over them. Bands are scored in log units (Gneiting & Raftery 2007, section 6.2).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ForescaleError, InputError, message
from forescale.core.files import to_json, write_atomic
from forescale.judge import _proper
from forescale.judge._methods import Method, methods
from forescale.judge._protocol import Load, Protocol, Task, available, protocols
from forescale.numerics.parallel import map_blocks
from forescale.runs.datasets import dataset as public

Array = NDArray[np.float64]

LEVEL = 0.90
BINS = ((0.0, 3.0), (3.0, 10.0), (10.0, math.inf))
"""Distance bins: up to 3x, 3-10x, beyond."""
REFERENCE = "auto"
"""The method that others are set against: the automatic choice of the law."""
WIDEST = 1000.0
"""A bound further from the outcome than this factor counts as that factor: no band scores infinity."""


@dataclass(frozen=True, eq=False)
class Result:
    """One method on one task.

    Attributes:
        case, task, domain, metric, method: who and what.
        distance, observed: (k,) of the held-out rows.
        clusters: (k,) runs that they belong to.
        estimate: (k,) NaN where the method failed.
        lower, upper: (k,) NaN where it gave no band.
        cpu: CPU-seconds of fit and prediction.
        failed: why there is no answer, or "".
    """

    case: str
    task: str
    domain: str
    metric: str
    method: str
    distance: Array
    observed: Array
    clusters: NDArray[np.str_]
    estimate: Array
    lower: Array
    upper: Array
    cpu: float
    failed: str = ""

    @cached_property
    def error(self) -> float:
        """The task's error in its metric; NaN where the method failed."""
        if self.failed:
            return math.nan
        if self.metric == "rmsle":
            return float(np.sqrt(np.mean(np.log(self.estimate / self.observed) ** 2)))
        return float(100 * np.mean(np.abs(self.estimate / self.observed - 1)))

    @cached_property
    def bias(self) -> float:
        """Mean of estimate / observed - 1 in per cent: positive where runs came out better than predicted."""
        return float(100 * np.mean(self.estimate / self.observed - 1))

    @cached_property
    def banded(self) -> bool:
        """Whether every row has a band."""
        return not self.failed and bool(np.all(np.isfinite(self.lower) & ~np.isnan(self.upper)))

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(k,) whether the outcome lies in the band."""
        return (self.lower <= self.observed) & (self.observed <= self.upper)

    def interval_score(self, level: float) -> Array:
        """(k,) width of the band plus what misses cost, log units; lower is better."""
        y = np.log(self.observed)
        lower = np.log(np.clip(self.lower, self.observed / WIDEST, self.observed * WIDEST))
        upper = np.log(np.clip(self.upper, self.observed / WIDEST, self.observed * WIDEST))
        return _proper.interval_score(y, lower, upper, level)


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


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What came out.

    Attributes:
        level: nominal level of the bands.
        results: one for each method and task that it is about, in the order of the tasks.
        left_out: cases that could not be run, and why.
        published: case -> figures of others on the same rows, as their protocol file states them.
    """

    level: float
    results: tuple[Result, ...]
    left_out: Mapping[str, str]
    published: Mapping[str, tuple[Mapping[str, Any], ...]]

    @property
    def methods(self) -> tuple[str, ...]:
        """Who took part, in order of appearance."""
        return tuple(dict.fromkeys(r.method for r in self.results))

    def by_case(self) -> list[Row]:
        """One row per case and method."""
        return self._table(lambda r: r.case)

    def by_domain(self) -> list[Row]:
        """One row per domain and method."""
        return self._table(lambda r: r.domain)

    def overall(self) -> list[Row]:
        """One row per method, over everything."""
        return self._table(lambda r: "all")

    def by_distance(self) -> list[dict[str, Any]]:
        """One row per method and distance bin: rows with a band, share inside, its 95 % limits, interval score."""
        rows = []
        for method in self.methods:
            answers = [r for r in self.results if r.method == method and r.banded]
            if not answers:
                continue
            distance, inside, score, clusters = self._pooled(answers)
            for low, high in (*BINS, (0.0, math.inf)):
                part = (distance > low) & (distance <= high)
                if part.any():
                    ends = _proper.share_limits(inside[part], clusters[part], 0.95)
                    rows.append(
                        {
                            "method": method,
                            "from": low,
                            "to": high,
                            "points": int(part.sum()),
                            "covered": float(inside[part].mean()),
                            "low": ends[0],
                            "high": ends[1],
                            "score": float(score[part].mean()),
                        }
                    )
        return rows

    def pairs(self, reference: str | None = None) -> list[dict[str, Any]]:
        """`reference` (default: `REFERENCE`, where it took part) against every other method with bands, on the rows
        for which both have one: rows, share inside and mean interval score, over rows and as a mean over tasks."""
        first = reference or REFERENCE
        mine = {r.task: r for r in self.results if r.method == first and r.banded}
        rows = []
        for method in self.methods if mine else ():
            both = [
                (mine[r.task], r) for r in self.results if r.method == method != first and r.banded and r.task in mine
            ]
            if both:
                scores = [[r.interval_score(self.level) for r in side] for side in zip(*both)]
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

    def _pooled(self, answers: Sequence[Result]) -> tuple[Array, NDArray[np.bool_], Array, NDArray[np.intp]]:
        names = [f"{r.task}|{c}" for r in answers for c in r.clusters.tolist()]
        _, clusters = np.unique(names, return_inverse=True)
        return (
            np.concatenate([r.distance for r in answers]),
            np.concatenate([r.inside for r in answers]),
            np.concatenate([r.interval_score(self.level) for r in answers]),
            clusters.astype(np.intp),
        )

    def _table(self, key: Any) -> list[Row]:
        wins = self._wins()
        groups = dict.fromkeys(key(r) for r in self.results)
        rows = []
        for group in groups:
            for method in self.methods:
                mine = [r for r in self.results if key(r) == group and r.method == method]
                if mine:
                    rows.append(self._row(group, method, mine, wins))
        return rows

    def _row(self, group: str, method: str, mine: Sequence[Result], wins: Mapping[tuple[str, str], float]) -> Row:
        done = [r for r in mine if not r.failed]
        banded = [r for r in done if r.banded]
        metrics = {r.metric for r in mine}
        # errors of different metrics have no mean
        errors = np.array([r.error for r in done]) if len(metrics) == 1 and done else np.array([math.nan])
        inside = [r.inside for r in banded] or [np.array([math.nan])]
        scores = [r.interval_score(self.level) for r in banded] or [np.array([math.nan])]
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

    def _wins(self) -> dict[tuple[str, str], float]:
        """(task, method) -> 1 for the least error, shared where several have it."""
        best: dict[str, list[Result]] = {}
        for r in self.results:
            if not r.failed:
                best.setdefault(r.task, []).append(r)
        won = {}
        for task, answers in best.items():
            least = min(r.error for r in answers)
            first = [r for r in answers if r.error <= least * (1 + 1e-9)]
            won.update({(task, r.method): 1.0 / len(first) for r in first})
        return won

    def failures(self) -> dict[str, dict[str, str]]:
        """method -> task -> why there is no answer."""
        out: dict[str, dict[str, str]] = {}
        for r in self.results:
            if r.failed:
                out.setdefault(r.method, {})[r.task] = r.failed
        return out

    def and_(self, other: Benchmark) -> Benchmark:
        """Both in one table; an earlier result of the same method and task is replaced.

        Raises:
            InputError: bands of different levels.
        """
        if other.level != self.level:
            raise InputError(message(f"bands at {self.level:.0%} and at {other.level:.0%}", "one level"))
        new = {(r.method, r.task) for r in other.results}
        kept = [r for r in self.results if (r.method, r.task) not in new]
        return Benchmark(
            self.level,
            (*kept, *other.results),
            {**self.left_out, **other.left_out},
            {**self.published, **other.published},
        )

    def summary(self) -> str:
        """Plain text: by case, by distance, what was left out."""
        from forescale.judge._tables import text

        return text(self)

    def markdown(self) -> str:
        """The tables of the documentation."""
        from forescale.judge._tables import markdown

        return markdown(self)

    def to_dict(self, *, rows: bool = False) -> dict[str, Any]:
        """Plain values: the tables, and every prediction with `rows`."""
        from forescale.judge._tables import plain

        return plain(self, rows)

    def to_json(self, *, rows: bool = False) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict(rows=rows))

    def save(self, path: Any) -> Any:
        """Write every prediction; `.csv`: one line for each, else JSON that `read` reads back."""
        from forescale.judge._tables import csv

        return write_atomic(path, csv(self) if str(path).endswith(".csv") else self.to_json(rows=True))

    def __str__(self) -> str:
        return self.summary()


def run(
    cases: Sequence[str | Protocol] = (),
    using: Sequence[str | Method] = (),
    *,
    level: float = LEVEL,
    workers: int = 1,
    load: Load = public,
    folder: Any = None,
    progress: Any = None,
) -> Benchmark:
    """Run methods on cases.

    Args:
        cases: ids or protocols; none: all.
        using: ids or methods; none: all laws and recipes.
        level: nominal level of the bands.
        workers: processes; the result does not depend on it.
        load: name, filters -> Runs.
        folder: further protocol files.
        progress: called with each finished method id.

    Raises:
        InputError: an unknown case or method.
    """
    if not 0 < level < 1:
        raise InputError(message(f"a level of {level}", "a number between 0 and 1, such as 0.9"))
    named = [c for c in cases if isinstance(c, str)]
    chosen = [
        *(protocols(named, folder) if named or not cases else ()),
        *(c for c in cases if isinstance(c, Protocol)),
    ]
    ids = [m for m in using if isinstance(m, str)]
    who = [*(methods(ids) if ids or not using else ()), *(m for m in using if isinstance(m, Method))]
    tasks, left_out = available(chosen, load)
    results: list[Result] = []
    for method in who:
        blocks = [(method, task, level) for task in tasks if method.applies(task)]
        results += map_blocks(_one, blocks, workers)
        if progress is not None:
            progress(method.id)
    place = {task.name: i for i, task in enumerate(tasks)}
    results.sort(key=lambda r: place[r.task])
    return Benchmark(level, tuple(results), left_out, {p.case: p.published for p in chosen if p.published})


def _one(block: tuple[Method, Task, float]) -> Result:
    method, task, level = block
    began = time.process_time()
    failed, said = "", None
    try:
        with np.errstate(all="ignore"):
            said = method.predict(task, level)
        if not np.all(np.isfinite(said.estimate) & (said.estimate > 0)):
            failed = "a prediction is not a positive number"
    except ForescaleError as error:
        failed = str(error)
    spent = time.process_time() - began
    nothing = np.full(len(task.held), math.nan)
    if failed or said is None:
        return result(task, method.id, nothing, nothing, nothing, spent, failed)
    lower = nothing if said.lower is None else said.lower
    upper = nothing if said.upper is None else said.upper
    return result(task, method.id, said.estimate, lower, upper, spent)


def result(
    task: Task, method: str, estimate: Array, lower: Array, upper: Array, cpu: float, failed: str = ""
) -> Result:
    """The result of a method on a task from its arrays (held,)."""
    return Result(
        case=task.case,
        task=task.name,
        domain=task.domain,
        metric=task.metric,
        method=method,
        distance=task.distance,
        observed=np.asarray(task.held["loss"]),
        clusters=task.clusters,
        estimate=np.asarray(estimate, dtype=np.float64),
        lower=np.asarray(lower, dtype=np.float64),
        upper=np.asarray(upper, dtype=np.float64),
        cpu=cpu,
        failed=failed,
    )


def read(path: Any, tasks: Iterable[Task] = ()) -> Benchmark:
    """Read back what `save` wrote as JSON, or the predictions of another program.

    The file of another program holds `level` and `results`: a list of {method, task, estimate, lower, upper, cpu,
    failed}, with arrays over the held-out rows of the task; `tasks` says what those rows are.

    Raises:
        InputError: no such file, an unknown task, arrays of another length.
    """
    from forescale.judge._tables import restore

    return restore(path, {task.name: task for task in tasks})

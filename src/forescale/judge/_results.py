# SPDX-License-Identifier: Apache-2.0
"""One method on one task of the extrapolation benchmark: its predictions, their error and the score of their bands.

Bands are scored in log units (Gneiting & Raftery 2007, section 6.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InputError, message, nearest
from forescale.judge import _proper
from forescale.judge._protocol import Task

Array = NDArray[np.float64]

ARRAYS = ("distance", "observed", "estimate", "lower", "upper")
"""Columns of a prediction."""
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

    def to_dict(self, *, rows: bool) -> dict[str, Any]:
        """Plain values: the task as a whole, or with `rows` what is needed to make this value again."""
        said = {name: getattr(self, name) for name in ("case", "task", "domain", "metric", "method", "cpu", "failed")}
        if rows:
            arrays = {name: getattr(self, name).tolist() for name in ARRAYS}
            return {**said, "clusters": self.clusters.tolist(), **arrays}
        covered = float(self.inside.mean()) if self.banded else math.nan
        return {**said, "held": len(self.observed), "error": self.error, "covered": covered}

    def lines(self) -> Iterator[tuple[str, ...]]:
        """One line of texts per prediction."""
        columns = [getattr(self, name) for name in ARRAYS]
        for i, run in enumerate(self.clusters.tolist()):
            values = ("" if math.isnan(c[i]) else f"{c[i]:.10g}" for c in columns)
            yield (self.case, self.task, self.domain, self.method, run, *values, f"{self.cpu:.4g}")


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


def restored(path: Any, entry: Mapping[str, Any], tasks: Mapping[str, Task]) -> Result:
    """What `Result.to_dict(rows=True)` wrote, or the answer of another program on one of `tasks`.

    Raises:
        InputError: an unknown task, arrays of another length.
    """
    if "observed" in entry:
        distance, observed, estimate, lower, upper = (_floats(entry[name], 0) for name in ARRAYS)
        return Result(
            case=entry["case"],
            task=entry["task"],
            domain=entry["domain"],
            metric=entry["metric"],
            method=entry["method"],
            distance=distance,
            observed=observed,
            clusters=np.array(entry["clusters"], dtype=np.str_),
            estimate=estimate,
            lower=lower,
            upper=upper,
            cpu=float(entry["cpu"]),
            failed=entry["failed"],
        )
    task = tasks.get(entry["task"])
    if task is None:
        hint = nearest(str(entry["task"]), tasks)
        raise InputError(message(f"{path} has the task {entry['task']!r}", "a task of the cases", hint))
    n = len(task.held)
    estimate, lower, upper = (_floats(entry.get(name), n) for name in ("estimate", "lower", "upper"))
    if not (len(estimate) == len(lower) == len(upper) == n):
        raise InputError(message(f"{path}, {task.name}: {len(estimate)} predictions", f"{n}"))
    failed = str(entry.get("failed", ""))
    return result(task, str(entry["method"]), estimate, lower, upper, float(entry.get("cpu", 0)), failed)


def _floats(values: Sequence[float | None] | None, n: int) -> Array:
    if values is None:
        return np.full(n, math.nan)
    return np.array([math.nan if v is None else float(v) for v in values], dtype=np.float64)

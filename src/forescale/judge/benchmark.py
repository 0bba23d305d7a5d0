# SPDX-License-Identifier: Apache-2.0
"""The extrapolation benchmark: every method on every case, larger runs hidden, one table.

Cases are protocol files (`judge/_protocol.py`), methods are values (`judge/_methods.py`). Each prediction of a
held-out row is kept; tables are sums over them.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from forescale.core.errors import ForescaleError, InputError, message
from forescale.core.files import to_json, write_atomic
from forescale.judge import _standings, _tables
from forescale.judge._methods import Forecast, Method, bare, methods
from forescale.judge._protocol import Load, Protocol, Task, available, protocols
from forescale.judge._results import Result, restored, result
from forescale.judge._standings import Row
from forescale.numerics.parallel import map_blocks
from forescale.runs.datasets import dataset as public

__all__ = ["Benchmark", "Forecast", "Method", "Result", "Row", "Task", "joined", "read", "run"]

Detail = Literal["tables", "tasks", "rows"]

SCHEMA, VERSION = "forescale/benchmark", 1
LEVEL = 0.90
REFERENCE = "auto"
"""The method that others are set against: the automatic choice of the law."""


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
        return _standings.table(self.results, self.level, lambda r: r.case)

    def by_domain(self) -> list[Row]:
        """One row per domain and method."""
        return _standings.table(self.results, self.level, lambda r: r.domain)

    def overall(self) -> list[Row]:
        """One row per method, over everything."""
        return _standings.table(self.results, self.level, lambda r: "all")

    def by_distance(self) -> list[dict[str, Any]]:
        """One row per method and distance bin: rows with a band, share inside, its 95 % limits, interval score."""
        return _standings.by_distance(self.results, self.level)

    def pairs(self, reference: str = REFERENCE) -> list[dict[str, Any]]:
        """`reference`, where it took part, against every other method with bands, on the rows for which both have
        one: rows, share inside and mean interval score, over rows and as a mean over tasks."""
        return _standings.pairs(self.results, self.level, reference)

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
        """Plain text: every table, and what was left out."""
        return _tables.text(self.to_dict("tables"))

    def markdown(self) -> str:
        """The tables of the documentation."""
        return _tables.markdown(self.to_dict("tables"))

    def to_dict(self, detail: Detail = "tasks") -> dict[str, Any]:
        """Plain values: the tables, with `tasks` also every task, with `rows` also every prediction."""
        tables: dict[str, Any] = {
            "schema": SCHEMA,
            "version": VERSION,
            "level": self.level,
            "by_case": [asdict(row) for row in self.by_case()],
            "by_domain": [asdict(row) for row in self.by_domain()],
            "by_distance": self.by_distance(),
            "pairs": self.pairs(),
            "overall": [asdict(row) for row in self.overall()],
            "left_out": dict(self.left_out),
            "published": {case: [dict(entry) for entry in entries] for case, entries in self.published.items()},
        }
        if detail == "tables":
            return tables
        return {**tables, "results": [r.to_dict(rows=detail == "rows") for r in self.results]}

    def to_json(self, detail: Detail = "tasks") -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict(detail), indent=2 if detail == "tables" else None)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write every prediction as JSON; `read` reads it back."""
        return write_atomic(path, self.to_json("rows"))

    def save_table(self, path: str | os.PathLike[str]) -> Path:
        """Write the tables: `.md` as Markdown, `.json` as JSON; or, as `.csv`, one line per prediction.

        Raises:
            InputError: another ending.
        """
        ending = Path(path).suffix
        if ending == ".md":
            return write_atomic(path, self.markdown() + "\n")
        if ending == ".json":
            return write_atomic(path, to_json(_short(self.to_dict("tables")), indent=1) + "\n")
        if ending == ".csv":
            return write_atomic(path, _tables.csv(r.lines() for r in self.results))
        raise InputError(message(f"a table called {Path(path).name}", "a name that ends in .md, .json or .csv"))

    def __str__(self) -> str:
        return self.summary()


def _short(value: Any) -> Any:
    """Six digits, so that a table in a repository changes only where it changed."""
    if isinstance(value, dict):
        return {name: _short(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_short(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


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
    chosen = [protocols([c], folder)[0] if isinstance(c, str) else c for c in cases] or protocols((), folder)
    who = [methods([m])[0] if isinstance(m, str) else m for m in using] or methods()
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
            said = method.predict(replace(task, held=bare(task, held=True)), level)
        if not np.all(np.isfinite(said.estimate) & (said.estimate > 0)):
            failed = "a prediction is not a positive number"
    except ForescaleError as error:
        failed = str(error)
    except Exception as error:  # a bug in one method must not cost the answers of the others
        failed = f"{type(error).__name__}: {error}"
    spent = time.process_time() - began
    nothing = np.full(len(task.held), math.nan)
    if failed or said is None:
        return result(task, method.id, nothing, nothing, nothing, spent, failed)
    lower = nothing if said.lower is None else said.lower
    upper = nothing if said.upper is None else said.upper
    return result(task, method.id, said.estimate, lower, upper, spent)


def joined(
    found: Benchmark, files: Sequence[Any], cases: Sequence[str] = (), folder: Any = None, load: Load = public
) -> Benchmark:
    """The benchmark with the predictions of files (see `read`), of the given cases (none: all) alone.

    Raises:
        InputError: a file cannot be read, or holds tasks that are not there.
    """
    if not files:
        return found
    chosen = protocols(cases, folder)
    tasks, _ = available(protocols((), folder) if cases else chosen, load)
    for path in files:
        said = read(path, tasks)
        kept = tuple(r for r in said.results if r.case in {p.case for p in chosen})
        found = found.and_(Benchmark(said.level, kept, {}, {}))
    return found


def read(path: str | os.PathLike[str], tasks: Iterable[Task] = ()) -> Benchmark:
    """Read back what `save` wrote, or the predictions of another program.

    The file of another program holds `level` and `results`: a list of {method, task, estimate, lower, upper, cpu,
    failed}, with arrays over the held-out rows of the task; `tasks` says what those rows are.

    Raises:
        InputError: no such file, an unknown task, arrays of another length.
    """
    known = {task.name: task for task in tasks}
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        level, entries = float(value["level"]), list(value["results"])
        results = tuple(restored(path, entry, known) for entry in entries)
        published = {case: tuple(said) for case, said in value.get("published", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(message(f"{path} cannot be read: {error}", "a file of benchmark results")) from error
    return Benchmark(level, results, dict(value.get("left_out", {})), published)

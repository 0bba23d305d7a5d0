# SPDX-License-Identifier: Apache-2.0
"""How a benchmark is shown and kept: plain text, Markdown, JSON, CSV, and back."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from csv import writer
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InputError, message, nearest
from forescale.core.files import to_plain

if TYPE_CHECKING:
    from forescale.judge._protocol import Task
    from forescale.judge.benchmark import Benchmark, Result, Row

Array = NDArray[np.float64]
Cells = tuple[str, ...]
Section = tuple[str, Cells, list[Cells]]
"""Title, head and lines of a table."""

SCHEMA, VERSION = "forescale/benchmark", 1
HEAD = ("method", "tasks", "error", "median", "worst", "bias %", "wins", "inside", "interval score", "CPU-s")
UNITS = {"mape": "MAPE, per cent", "rmsle": "root mean squared log error", "": "several metrics"}


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.{digits}f}" if abs(value) >= 0.1 or value == 0 else f"{value:.{digits + 2}f}"


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.0f} %"


def cells(row: Row) -> tuple[str, ...]:
    """One line of a table, as texts in the order of `HEAD`."""
    whole = str(row.tasks) if row.answered == row.tasks else f"{row.answered} of {row.tasks}"
    inside = "" if math.isnan(row.covered) else f"{_share(row.covered)} of {row.points}"
    return (
        row.method,
        whole,
        _number(row.error),
        _number(row.median),
        _number(row.worst, 2),
        "" if math.isnan(row.bias) else f"{row.bias:+.2f}",
        f"{row.wins:.4g}",
        inside,
        _number(row.score),
        f"{row.cpu:.2f}",
    )


def _published(entry: Mapping[str, Any]) -> tuple[str, ...]:
    said = f"{entry['method']} (published)"
    cpu = "" if "cpu" not in entry else f"{entry['cpu']:g}"
    return (said, "", _number(entry.get("error")), _number(entry.get("median")), "", "", "", "", "", cpu)


def sections(found: Benchmark) -> list[Section]:
    """Every table: (title, head, rows), the cases in order of error, then distance, domains and everything."""
    out: list[Section] = []
    heads: Cells
    rows = found.by_case()
    for case in dict.fromkeys(row.group for row in rows):
        mine = sorted((row for row in rows if row.group == case), key=_order)
        lines = [cells(row) for row in mine] + [_published(entry) for entry in found.published.get(case, ())]
        out.append((f"{case}: {UNITS[mine[0].metric]}", HEAD, lines))
    domains = found.by_domain()
    if len({row.group for row in domains}) > 1:
        for domain in dict.fromkeys(row.group for row in domains):
            mine = sorted((row for row in domains if row.group == domain), key=_order)
            out.append((f"domain {domain}: {UNITS[mine[0].metric]}", HEAD, [cells(row) for row in mine]))
    far: list[Cells] = [
        (
            entry["method"],
            _range(entry["from"], entry["to"]),
            str(entry["points"]),
            f"{100 * entry['covered']:.1f} %",
            f"{100 * entry['low']:.0f} - {100 * entry['high']:.0f} %",
            _number(entry["score"]),
        )
        for entry in found.by_distance()
    ]
    if far:
        heads = ("method", "distance", "points", f"inside {found.level:.0%}", "95 % limits", "interval score")
        out.append(("coverage by distance, all points together", heads, far))
    pairs: list[Cells] = [
        (
            entry["method"],
            entry["other"],
            f"{entry['points']} in {entry['tasks']} tasks",
            f"{_number(entry['score'])} / {_number(entry['score_other'])}",
            f"{_number(entry['score_tasks'])} / {_number(entry['score_tasks_other'])}",
            f"{100 * entry['covered']:.0f} / {100 * entry['covered_other']:.0f} %",
        )
        for entry in found.pairs()
    ]
    if pairs:
        heads = ("method", "other", "points of both", "interval score", "mean of tasks", "inside")
        out.append(("bands on the same points", heads, pairs))
    everything = sorted(found.overall(), key=lambda row: (-row.wins, row.method))
    heads = (
        "method",
        "tasks",
        "wins",
        "bias %",
        "inside, points",
        "inside, mean of tasks",
        "interval score",
        "",
        "CPU-s",
    )
    lines = [
        (
            row.method,
            f"{row.answered} of {row.tasks}",
            f"{row.wins:.4g}",
            "" if math.isnan(row.bias) else f"{row.bias:+.2f}",
            _share(row.covered),
            _share(row.covered_tasks),
            _number(row.score),
            "" if math.isnan(row.score_tasks) else f"{_number(row.score_tasks)} per task",
            f"{row.cpu:.1f}",
        )
        for row in everything
    ]
    out.append(("everything", heads, lines))
    return out


def _order(row: Row) -> tuple[bool, int, float]:
    """Those that answered everywhere first, by error."""
    return (math.isnan(row.error), row.tasks - row.answered, row.error)


def _range(low: float, high: float) -> str:
    if math.isinf(high):
        return "all" if low == 0 else f"> {low:g}x"
    return f"<= {high:g}x" if low == 0 else f"{low:g}-{high:g}x"


def text(found: Benchmark) -> str:
    """Plain text, columns aligned."""
    lines = [f"Extrapolation benchmark: bands at {found.level:.0%}; {len(found.methods)} methods"]
    for title, head, rows in sections(found):
        widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
        lines += ["", title]
        lines += [
            "  " + "  ".join(_pad(c, w, i) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
            for line in (head, *rows)
        ]
    lines += [f"\nnot run: {case}: {why}" for case, why in found.left_out.items()]
    return "\n".join(lines)


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def markdown(found: Benchmark) -> str:
    """The same tables for a page."""
    blocks = []
    for title, head, rows in sections(found):
        lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        blocks.append("\n".join(lines))
    if found.left_out:
        blocks.append("Not run:\n\n" + "\n".join(f"- {case}: {why}" for case, why in found.left_out.items()))
    return "\n\n".join(blocks)


def plain(found: Benchmark, rows: bool) -> dict[str, Any]:
    """Plain values."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "level": found.level,
        "by_case": [asdict(row) for row in found.by_case()],
        "by_domain": [asdict(row) for row in found.by_domain()],
        "overall": [asdict(row) for row in found.overall()],
        "by_distance": found.by_distance(),
        "pairs": found.pairs(),
        "left_out": dict(found.left_out),
        "failures": found.failures(),
        "published": {case: [dict(entry) for entry in entries] for case, entries in found.published.items()},
        "results": [_kept(r, rows) for r in found.results],
    }


def _kept(result: Result, rows: bool) -> dict[str, Any]:
    said = {"case": result.case, "task": result.task, "domain": result.domain, "metric": result.metric}
    said |= {"method": result.method, "cpu": result.cpu, "failed": result.failed}  # type: ignore[dict-item]
    if not rows:
        error = None if result.failed else result.error
        covered = float(result.inside.mean()) if result.banded else None
        return {**said, "held": len(result.observed), "error": error, "covered": covered}
    arrays = {name: to_plain(getattr(result, name)) for name in _ARRAYS}
    return {**said, "clusters": result.clusters.tolist(), **arrays}


_ARRAYS = ("distance", "observed", "estimate", "lower", "upper")


def csv(found: Benchmark) -> str:
    """One line per prediction."""
    out = io.StringIO()
    lines = writer(out, lineterminator="\n")
    lines.writerow(("case", "task", "domain", "method", "run", *_ARRAYS, "cpu"))
    for r in found.results:
        columns = [getattr(r, name) for name in _ARRAYS]
        for i, run in enumerate(r.clusters.tolist()):
            values = ["" if math.isnan(c[i]) else f"{c[i]:.10g}" for c in columns]
            lines.writerow((*(_tame(t) for t in (r.case, r.task, r.domain, r.method, run)), *values, f"{r.cpu:.4g}"))
    return out.getvalue()


def _tame(cell: str) -> str:
    """A text that a spreadsheet takes for a formula gets an apostrophe."""
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def restore(path: Any, tasks: Mapping[str, Task]) -> Benchmark:
    """See `benchmark.read`."""
    from forescale.judge.benchmark import Benchmark, Result, result

    try:
        with open(path, encoding="utf-8") as handle:
            value = json.load(handle)
        level, entries = float(value["level"]), list(value["results"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(message(f"{path} cannot be read: {error}", "a file of benchmark results")) from error
    known = {f.name for f in fields(Result)}
    results: list[Result] = []
    for entry in entries:
        if "observed" in entry:
            arrays = {name: _floats(entry[name], len(entry["observed"])) for name in _ARRAYS}
            rest = {k: v for k, v in entry.items() if k in known and k not in arrays}
            results.append(Result(**{**rest, **arrays, "clusters": np.array(entry["clusters"], dtype=np.str_)}))
            continue
        task = tasks.get(entry.get("task", ""))
        if task is None:
            hint = nearest(str(entry.get("task")), tasks)
            raise InputError(message(f"{path} has the task {entry.get('task')!r}", "a task of the cases", hint))
        n = len(task.held)
        estimate, lower, upper = (_floats(entry.get(name), n) for name in ("estimate", "lower", "upper"))
        if not (len(estimate) == len(lower) == len(upper) == n):
            raise InputError(message(f"{path}, {task.name}: {len(estimate)} predictions", f"{n}"))
        failed = str(entry.get("failed", ""))
        results.append(result(task, str(entry["method"]), estimate, lower, upper, float(entry.get("cpu", 0)), failed))
    published = {case: tuple(said) for case, said in value.get("published", {}).items()}
    return Benchmark(level, tuple(results), dict(value.get("left_out", {})), published)


def _floats(values: Sequence[float | None] | None, n: int) -> Array:
    if values is None:
        return np.full(n, math.nan)
    return np.array([math.nan if v is None else float(v) for v in values], dtype=np.float64)

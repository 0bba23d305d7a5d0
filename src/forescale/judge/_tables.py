# SPDX-License-Identifier: Apache-2.0
"""How a benchmark is shown: its plain tables (`Benchmark.to_dict("tables")`) as text, Markdown, CSV."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from csv import writer
from typing import Any

from forescale.core.errors import InputError, message

Cells = tuple[str, ...]
Section = tuple[str, Cells, list[Cells]]
"""Title, head and lines of a table."""

HEAD = ("method", "tasks", "error", "median", "worst", "bias %", "wins", "inside", "interval score", "CPU-s")
UNITS = {"mape": "MAPE, per cent", "rmsle": "root mean squared log error", "": "several metrics"}
COLUMNS = (
    "case", "task", "domain", "method", "run", "distance", "observed", "estimate", "lower", "upper", "cpu",
)  # fmt: skip


def sections(tables: Mapping[str, Any]) -> list[Section]:
    """Every table: cases and domains with the methods in order of error, bands by distance and on the same points,
    and the sums.

    Raises:
        InputError: not the tables of a benchmark.
    """
    if tables.get("schema") != "forescale/benchmark":
        raise InputError(message(f"a file with the schema {tables.get('schema')!r}", "the tables of a benchmark"))
    out: list[Section] = []
    for case in dict.fromkeys(row["group"] for row in tables["by_case"]):
        mine = sorted((row for row in tables["by_case"] if row["group"] == case), key=_order)
        lines = [_cells(row) for row in mine] + [_published(entry) for entry in _others(tables, case, "")]
        out.append((f"{case}: {UNITS[mine[0]['metric']]}", HEAD, lines))
    domains = list(dict.fromkeys(row["group"] for row in tables["by_domain"]))
    for domain in domains if len(domains) > 1 else ():
        mine = sorted((row for row in tables["by_domain"] if row["group"] == domain), key=_order)
        cases = [case for case in tables["published"] if _others(tables, case, domain)]
        lines = [_cells(row) for row in mine]
        lines += [_published(entry) for case in cases for entry in _others(tables, case, domain)]
        out.append((f"domain {domain}: {UNITS[mine[0]['metric']]}", HEAD, lines))
    if tables["by_distance"]:
        heads: Cells = (
            "method",
            "distance",
            "points",
            f"inside {tables['level']:.0%}",
            "95 % limits",
            "interval score",
        )
        out.append(("coverage by distance, all points together", heads, [_far(e) for e in tables["by_distance"]]))
    if tables["pairs"]:
        heads = ("method", "other", "points of both", "interval score", "mean of tasks", "inside")
        out.append(("bands on the same points", heads, [_pair(entry) for entry in tables["pairs"]]))
    heads = ("method", "tasks", "wins", "bias %", "inside, points", "inside, mean of tasks", "interval score",
             "interval score, mean of tasks", "CPU-s")  # fmt: skip
    everything = sorted(tables["overall"], key=lambda row: (-row["wins"], row["method"]))
    out.append(("everything", heads, [_sum(row) for row in everything]))
    return out


def text(tables: Mapping[str, Any]) -> str:
    """Plain text, columns aligned."""
    lines = [f"Extrapolation benchmark, bands at {tables['level']:.0%}"]
    for title, head, rows in sections(tables):
        widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
        lines += ["", title]
        for line in (head, *rows):
            padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))]
            lines.append("  " + "  ".join(padded).rstrip())
    lines += [f"\nnot run: {case}: {why}" for case, why in tables["left_out"].items()]
    return "\n".join(lines)


def markdown(tables: Mapping[str, Any]) -> str:
    """The same tables for a page."""
    blocks = []
    for title, head, rows in sections(tables):
        lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        blocks.append("\n".join(lines))
    if tables["left_out"]:
        blocks.append("Not run:\n\n" + "\n".join(f"- {case}: {why}" for case, why in tables["left_out"].items()))
    return "\n\n".join(blocks)


def csv(lines: Iterable[Iterable[tuple[str, ...]]]) -> str:
    """One line per prediction; a text that a spreadsheet takes for a formula gets an apostrophe."""
    out = io.StringIO()
    table = writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for block in lines:
        for line in block:
            table.writerow([f"'{c}" if c[:1] in ("=", "+", "-", "@", "\t", "\r") else c for c in line])
    return out.getvalue()


def _nan(value: float | None) -> float:
    """Strict JSON has no NaN."""
    return math.nan if value is None else float(value)


def _number(value: float | None, digits: int = 3) -> str:
    value = _nan(value)
    if math.isnan(value):
        return ""
    return f"{value:.{digits}f}" if abs(value) >= 0.1 or value == 0 else f"{value:.{digits + 2}f}"


def _signed(value: float | None) -> str:
    return "" if math.isnan(_nan(value)) else f"{_nan(value):+.2f}"


def _share(value: float | None) -> str:
    return "" if math.isnan(_nan(value)) else f"{100 * _nan(value):.0f} %"


def _tasks(row: Mapping[str, Any]) -> str:
    return str(row["tasks"]) if row["answered"] == row["tasks"] else f"{row['answered']} of {row['tasks']}"


def _order(row: Mapping[str, Any]) -> tuple[bool, int, float]:
    """Those that answered everywhere first, by error."""
    error = _nan(row["error"])
    return (math.isnan(error), row["tasks"] - row["answered"], error)


def _cells(row: Mapping[str, Any]) -> Cells:
    inside = _share(row["covered"])
    return (
        row["method"],
        _tasks(row),
        _number(row["error"]),
        _number(row["median"]),
        _number(row["worst"], 2),
        _signed(row["bias"]),
        f"{row['wins']:.4g}",
        f"{inside} of {row['points']}" if inside else "",
        _number(row["score"]),
        f"{row['cpu']:.2f}",
    )


def _others(tables: Mapping[str, Any], case: str, domain: str) -> list[Mapping[str, Any]]:
    """Figures that others reported for a case as a whole, or for one domain of it."""
    return [entry for entry in tables["published"].get(case, ()) if entry.get("domain", "") == domain]


def _published(entry: Mapping[str, Any]) -> Cells:
    cpu = "" if "cpu" not in entry else f"{entry['cpu']:g}"
    name = f"{entry['method']} (reported)"
    return (name, "", _number(entry.get("error")), _number(entry.get("median")), "", "", "", "", "", cpu)


def _far(entry: Mapping[str, Any]) -> Cells:
    limits = f"{100 * entry['low']:.0f} - {100 * entry['high']:.0f} %"
    inside = f"{100 * entry['covered']:.1f} %"
    return (entry["method"], entry["distance"], str(entry["points"]), inside, limits, _number(entry["score"]))


def _pair(entry: Mapping[str, Any]) -> Cells:
    return (
        entry["method"],
        entry["other"],
        f"{entry['points']} in {entry['tasks']} tasks",
        f"{_number(entry['score'])} / {_number(entry['score_other'])}",
        f"{_number(entry['score_tasks'])} / {_number(entry['score_tasks_other'])}",
        f"{100 * entry['covered']:.0f} / {100 * entry['covered_other']:.0f} %",
    )


def _sum(row: Mapping[str, Any]) -> Cells:
    return (
        row["method"],
        _tasks(row),
        f"{row['wins']:.4g}",
        _signed(row["bias"]),
        _share(row["covered"]),
        _share(row["covered_tasks"]),
        _number(row["score"]),
        _number(row["score_tasks"]),
        f"{row['cpu']:.1f}",
    )

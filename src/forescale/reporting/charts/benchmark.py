# SPDX-License-Identifier: Apache-2.0
"""The extrapolation benchmark: error of every method on every case, over that of the best one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forescale.core.errors import InputError, message
from forescale.reporting.charts import _axes as axes
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import tame

FURTHEST = 10.0
"""Methods worse than this multiple of the best one stand at the edge."""
ROW = 26


def chosen(tables: Mapping[str, Any]) -> str:
    """The method that is drawn in colour: the reference, or the one with the most wins."""
    names = [row["method"] for row in tables["overall"]]
    if not names:
        raise InputError(message("a benchmark without results", "at least one method on one case"))
    if tables["pairs"]:
        return str(tables["pairs"][0]["method"])
    return str(max(tables["overall"], key=lambda row: row["wins"])["method"])


def benchmark(tables: Mapping[str, Any], *, width: int = look.WIDTH) -> look.Spec:
    """One row per case, one dot per method that answered every task of it.

    Args:
        tables: `Benchmark.to_dict("tables")`.

    Raises:
        InputError: no method answered every task of any case.
    """
    first = chosen(tables)
    rows = [r for r in tables["by_case"] if r["answered"] == r["tasks"] and _known(r["error"])]
    if not rows:
        raise InputError(message("no method answered every task of a case", "at least one that did"))
    least = {
        case: min(r["error"] for r in rows if r["group"] == case) for case in dict.fromkeys(r["group"] for r in rows)
    }
    data = [
        {
            "case": tame(r["group"]),
            "method": tame(r["method"]),
            "ratio": min(r["error"] / max(least[r["group"]], 1e-12), FURTHEST),
            "error": r["error"],
        }
        for r in rows
    ]
    mine = [d for d in data if d["method"] == tame(first)]
    rest = [d for d in data if d["method"] != tame(first)]
    names = [tame(case) for case in least]
    where = {
        "x": axes.logarithmic("ratio", "error / error of the best method", "number", (0.97, 1.04 * FURTHEST), 6),
        "y": {
            "field": "case",
            "type": "nominal",
            "sort": names,
            "title": None,
            "axis": {"labelLimit": 130, "grid": True},
        },
    }
    fields = {
        "case": ("text", ""),
        "method": ("text", ""),
        "error": ("number", "error"),
        "ratio": ("number", "ratio"),
    }
    color = look.key({first: look.LAW, "another method": look.FRAME}, width)
    layers = [
        look.keyed(
            look.spoken(
                look.layer(part, "point", where, shape="circle", filled=True, size=size, opacity=shade), fields
            ),
            entry,
            color,
        )
        for part, size, shade, entry in ((rest, 34, 0.7, "another method"), (mine, 90, 0.95, first))
        if part
    ]
    wins = sum(1 for d in mine if d["ratio"] <= 1 + 1e-9)
    return look.finish(
        layers,
        "Error by case",
        [
            "each dot is a method that answered every task of the case; left is better, the best stands at 1",
            f"{tame(first)} is the best on {wins} of {len(names)} cases; dots beyond {FURTHEST:g} stand at the edge",
        ],
        about=(
            f"Errors of {len({d['method'] for d in data})} methods on {len(names)} cases, over the least of each."
        ),
        width=width,
        height=ROW * len(names),
    )


def _known(value: float | None) -> bool:
    return value is not None and value == value

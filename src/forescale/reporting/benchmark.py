# SPDX-License-Identifier: Apache-2.0
"""The page of an extrapolation benchmark: what was held out, who predicted it how well, and whose bands held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from forescale.core.errors import ForescaleError
from forescale.judge._tables import sections
from forescale.reporting import _figures as figures
from forescale.reporting._page import Report, policy, resource, template
from forescale.reporting._sections import Grid
from forescale.reporting.charts.benchmark import benchmark as chart

NOTES = {
    "coverage by distance, all points together": (
        "Distance: size of a hidden run over that of the largest fitted one. The limits know that rows of a run err "
        "together."
    ),
    "bands on the same points": (
        "Mean interval scores in log units, on the rows for which both have a band; lower is better."
    ),
    "everything": "A win is a task on which no other method has a smaller error; equal ones share it.",
}


def page(
    tables: Mapping[str, Any], titles: Mapping[str, str], commands: Sequence[str] = (), *, title: str | None = None
) -> Report:
    """The page.

    Args:
        tables: `Benchmark.to_dict("tables")`.
        titles: case -> one line.
        commands: what made this page.
        title: heading.
    """
    drawn: list[figures.Figure] = []
    remarks: list[str] = []
    try:
        wide, slim = (chart(tables, width=width) for width in (figures.WIDE - 90, figures.SLIM - 60))
        drawn.append(figures.figure("errors", wide, slim))
    except ForescaleError as error:
        remarks.append(f"No chart: {error}")
    grids = [
        Grid(name, head, tuple(rows), note=NOTES.get(name, titles.get(name.partition(":")[0], "")))
        for name, head, rows in sections(tables)
    ]
    style = resource("report.css")
    text = template("benchmark.html").render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=policy(style),
        title=title or "Extrapolation benchmark",
        facts=[
            ("Cases", str(len({row["group"] for row in tables["by_case"]}))),
            ("Methods", str(len(tables["overall"]))),
            ("Bands", f"{tables['level']:.0%}"),
        ],
        figures=drawn,
        grids=grids,
        remarks=remarks,
        left_out=list(tables["left_out"].items()),
        commands=list(commands),
    )
    return Report(text)

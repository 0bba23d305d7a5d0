# SPDX-License-Identifier: Apache-2.0
"""The page of a study: what was claimed, what came out, with charts, tables and citations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from forescale.reporting import _figures as figures
from forescale.reporting._page import Report, cited, policy, resource, template
from forescale.reporting._sections import Grid


def page(
    *,
    title: str,
    question: str,
    verdict: str,
    sentence: str,
    claims: Sequence[tuple[str, ...]],
    charts: Mapping[str, Any],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]], str]],
    papers: Sequence[str],
    datasets: Sequence[str],
    laws: Sequence[str],
    commands: Sequence[str],
) -> Report:
    """The page.

    Args:
        claims: (claim, ours, theirs, verdict, source and note) as texts.
        charts: name -> Vega-Lite specification in the house style.
        tables: (title, head, rows, note).
        papers: keys of the bibliography.
    """
    style = resource("report.css")
    grids = [
        Grid(
            "Claims",
            ("claim", "ours", "theirs or bar", "verdict", "source and remarks"),
            tuple(tuple(row) for row in claims),
            left=(0, 3, 4),
        )
    ]
    further = [Grid(name, tuple(head), tuple(tuple(r) for r in rows), note=note) for name, head, rows, note in tables]
    text = template("study.html").render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=policy(style),
        title=title,
        question=question,
        verdict=verdict,
        sentence=sentence,
        facts=[("Laws", ", ".join(laws)), ("Data", ", ".join(datasets) or "none"), ("Claims", str(len(claims)))],
        grids=grids,
        figures=[_drawn(name, spec) for name, spec in charts.items()],
        further=further,
        papers=[cited(key) for key in papers],
        commands=list(commands),
    )
    return Report(text)


def _drawn(name: str, spec: Mapping[str, Any]) -> figures.Figure:
    """The chart at the width of the page and of a telephone; several panels keep their own widths."""
    if "width" not in spec:
        return figures.figure(name, dict(spec))
    wide, slim = ({**spec, "width": width} for width in (figures.WIDE - 90, figures.SLIM - 60))
    return figures.figure(name, wide, slim)

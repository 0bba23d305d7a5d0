# SPDX-License-Identifier: Apache-2.0
"""A Fit in words: the summary table, its HTML twin for notebooks, and what to cite."""

from __future__ import annotations

import html as escape_html
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from forescale.core import cite
from forescale.core.quantity import format_short

if TYPE_CHECKING:
    from forescale.fitting._fit import Fit

WIDTH = 100
MARKS = {"green": "ok", "amber": "!", "red": "!!", "info": "-"}


def summary(fit: Fit) -> str:
    """Header, parameter table, convergence, verdict, notes."""
    head, rows = table(fit)
    lines = [f"{fit.law.id}: {fit.law.title}", *(wrap(line) for line in facts(fit)), ""]
    lines += aligned(head, rows)
    for line in remarks(fit):
        lines.append(wrap(line))
    return "\n".join(lines) + "\n"


def facts(fit: Fit) -> list[str]:
    """What was fitted to what, and how the search ended."""
    out = []
    if fit.runs is None:
        out.append(f"published constants {fit.source}")
    else:
        noise = f"residual sd {fit.sigma:.3g}" + (" of log loss" if fit.scale == "log" else "")
        out.append(f"{fit.n} rows from {fit.runs.source}; loss {fit.loss}, objective {fit.objective:.9g}; {noise}")
    ranges = [
        f"{name} {format_short(low) if low > 0 else f'{low:g}'} ... {format_short(high) if high > 0 else f'{high:g}'}"
        for name, (low, high) in fit.fitted_range.items()
    ]
    if ranges:
        out.append("fitted on " + ", ".join(ranges))
    if fit.conventions:
        out.append("conventions: " + ", ".join(f"{name} = {what}" for name, what in fit.conventions.items()))
    if fit.convergence is not None:
        out.append(f"search: {fit.convergence.starts} points scored; {fit.convergence.message}")
    if fit.covariance_from != "none":
        df = "" if math.isinf(fit.df) else f", {fit.df:.0f} degrees of freedom"
        out.append(f"standard errors: {fit.covariance_from}{df}; draws: {fit.draws_from}")
    return out


def table(fit: Fit) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the parameter table; a column for each set of published constants of the same parameters."""
    errors = fit.standard_errors()
    methods = [m for m in ("bootstrap", "profile", "wald") if m in fit.intervals] or ["wald"]
    level = f"{fit.level:.0%}"
    published = [] if fit.runs is None else list(fit.law.published.items())[:2]
    head = ["parameter", "estimate", "std. error", *(f"{level} {m}" for m in methods), *(key for key, _ in published)]
    rows = []
    for name in fit.law.names:
        cells = [name, _number(fit.params[name]), _number(errors[name], 3)]
        for method in methods:
            low, high = fit.intervals.get(method, {}).get(name, (math.nan, math.nan))
            cells.append(_ends(low, high))
        cells += [_number(facts_.values[name]) if name in facts_.values else "" for _, facts_ in published]
        rows.append(cells)
    return head, rows


def remarks(fit: Fit) -> list[str]:
    """Verdict and notes, one line each."""
    out: list[str] = []
    if fit.verdict is not None:
        out += ["", f"verdict: {fit.verdict.level}. {fit.verdict.headline}"]
        for finding in fit.verdict.findings:
            advice = f" {finding.advice}" if finding.advice and finding.level != "green" else ""
            out.append(f"  {MARKS.get(finding.level, '-'):>2} {finding.text}{advice}")
    if fit.notes:
        out += ["", "notes"]
        out += [f"  {MARKS.get(note.level, '-'):>2} {note.text}" for note in fit.notes]
    return out


def html(fit: Fit) -> str:
    """The summary as an HTML fragment."""
    head, rows = table(fit)

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(f"<{tag} style='text-align:left'>{escape_html.escape(v)}</{tag}>" for v in values)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    said = "".join(f"<li>{escape_html.escape(line.strip())}</li>" for line in remarks(fit) if line.strip())
    about = "<br>".join(escape_html.escape(line) for line in facts(fit))
    title = escape_html.escape(f"{fit.law.id}: {fit.law.title}")
    return f"<div><b>{title}</b><br>{about}<table><tr>{cells('th', head)}</tr>{body}</table><ul>{said}</ul></div>"


def citation(fit: Fit) -> str:
    """BibTeX of the papers of the law, of the constants, of the data and of forescale itself.

    What has no entry is a comment: the data's own words, and papers that only the author of a law knows.
    """
    keys = list(fit.law.papers)
    key = fit.source.partition(":")[2].partition("@")[0]
    if key in fit.law.published:
        keys.append(fit.law.published[key].source)
    cited = () if fit.runs is None else fit.runs.citations
    if fit.runs is not None and fit.loss.startswith("log-huber"):
        keys.append("besiroglu2024")
    end = f"fitted with forescale {fit.version}, data hash {fit.data_hash[:16] or 'none'}"
    return cite.bibliography(keys, cited, end)


def _number(value: float, digits: int = 5) -> str:
    if math.isnan(value):
        return "?"
    return f"{value:.{digits}g}"


def _ends(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "not determined"
    return f"[{low:.4g}, {high:.4g}]"


def aligned(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in [head, *rows]]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def wrap(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + (3 if line.startswith("  ") else 2))
    return textwrap.fill(line, WIDTH, subsequent_indent=indent, drop_whitespace=True) if line.strip() else ""

# SPDX-License-Identifier: Apache-2.0
"""A Stack in words: who is in it and why, and what to cite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forescale.core import cite
from forescale.core.quantity import format_short
from forescale.fitting._text import MARKS, aligned, wrap

if TYPE_CHECKING:
    from forescale.fitting._stack import Stack

OTHERS = 6
"""Candidates without weight that the summary shows."""


def summary(stack: Stack) -> str:
    """Header, members, the best of the rest, how the pool was chosen, verdict, notes."""
    ranges = ", ".join(
        f"{name} {format_short(low)} ... {format_short(high)}" for name, (low, high) in stack.fitted_range.items()
    )
    lines = [
        f"stack: {len(stack.members)} of {len(stack.scores['candidate'])} candidates",
        wrap(f"{stack.n} rows from {stack.runs.source}; fitted on {ranges}"),
        "",
    ]
    head, rows, remark = scoreboard(stack)
    lines += aligned(head, rows)
    if remark:
        lines.append(wrap(remark))
    lines.append("")
    lines += [wrap(line) for line in stack.why]
    width = stack.width
    lines.append(
        wrap(
            f"bands: tau {width.tau:.2f} from {width.cuts} cuts, scatter of a run {100 * width.noise:.2f} %, "
            f"Student-t with {width.df:g} degrees of freedom"
        )
    )
    if stack.verdict is not None:
        lines += ["", f"verdict: {stack.verdict.level}. {stack.verdict.headline}"]
        for finding in stack.verdict.findings:
            advice = f" {finding.advice}" if finding.advice and finding.level != "green" else ""
            lines.append(wrap(f"  {MARKS.get(finding.level, '-'):>2} {finding.text}{advice}"))
    said = {finding.text for finding in stack.verdict.findings} if stack.verdict is not None else set()
    notes = [note for note in stack.notes if note.text not in said]
    if notes:
        lines += ["", "notes"]
        lines += [wrap(f"  {MARKS.get(note.level, '-'):>2} {note.text}") for note in notes]
    return "\n".join(lines) + "\n"


def scoreboard(stack: Stack, others: int = OTHERS) -> tuple[list[str], list[list[str]], str]:
    """The members and the best candidates without weight as a table (head, rows), and what it leaves out.

    Columns that no row fills are not there: leave-group-out is made on request, evidence needs fits to all rows.
    """
    s = stack.scores
    tried = np.isfinite(s["score"])
    without = np.flatnonzero((s["weight"] <= 0) & tried)
    shown = [*np.flatnonzero(s["weight"] > 0).tolist(), *without[:others].tolist()]
    columns: dict[str, list[str]] = {
        "weight": [f"{s['weight'][i]:.2f}" if s["weight"][i] > 0 else "-" for i in shown],
        "rolling error": [f"{100 * s['score'][i]:.2f} %" for i in shown],
        "law": [str(s["law"][i]) for i in shown],
        "loss": [str(s["loss"][i]) for i in shown],
        "rows": [str(s["rows"][i]) for i in shown],
        "leave-group-out": [_percent(s["leave_out"][i]) for i in shown],
        "evidence (AICc)": ["" if np.isnan(s["evidence"][i]) else f"{s['evidence'][i]:.2g}" for i in shown],
    }
    if stack.width.cuts == 0:
        columns.pop("rolling error")
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    left = []
    if len(without) > others:
        left.append(f"{len(without) - others} more without weight.")
    if not tried.all():
        some = int((~tried).sum())
        left.append(f"{some} more could not be used: their part of the rows is too small, or it is all of them.")
    return list(columns), [list(row) for row in zip(*columns.values())], " ".join(left)


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.2f} %"


def citation(stack: Stack) -> str:
    """BibTeX of the papers of all laws with weight, of the data and of forescale itself."""
    keys = list(dict.fromkeys(key for m in stack.members for key in m.fit.law.papers))
    end = f"fitted with forescale {stack.version}, data hash {stack.data_hash[:16] or 'none'}"
    return cite.bibliography(keys, stack.runs.citations, end)

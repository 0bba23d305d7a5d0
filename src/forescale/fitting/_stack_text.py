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
    head = ["weight", "rolling error", "law", "loss", "rows", "AICc weight"]
    rows, without = [], 0
    s = stack.scores
    for i in range(len(s["candidate"])):
        if s["weight"][i] <= 0:
            without += 1
            if without > OTHERS:
                continue
        evidence = "" if np.isnan(s["evidence"][i]) else f"{s['evidence'][i]:.2g}"
        score = "not fitted" if np.isnan(s["score"][i]) else f"{100 * s['score'][i]:.2f} %"
        rows.append([f"{s['weight'][i]:.2f}", score, s["law"][i], s["loss"][i], s["rows"][i], evidence])
    lines += aligned(head, rows)
    if without > OTHERS:
        lines.append(f"... and {without - OTHERS} more without weight")
    lines.append("")
    lines += [wrap(line) for line in stack.why]
    width = stack.width
    lines.append(
        wrap(
            f"bands: tau {width.tau:.2f} from {width.cuts} cuts, noise of a run {100 * width.noise:.2f} %, Student-t "
            f"with {width.df:g} degrees of freedom"
        )
    )
    if stack.verdict is not None:
        lines += ["", f"verdict: {stack.verdict.level}. {stack.verdict.headline}"]
        for finding in stack.verdict.findings:
            advice = f" {finding.advice}" if finding.advice and finding.level != "green" else ""
            lines.append(wrap(f"  {MARKS.get(finding.level, '-'):>2} {finding.text}{advice}"))
    if stack.notes:
        lines += ["", "notes"]
        lines += [wrap(f"  {MARKS.get(note.level, '-'):>2} {note.text}") for note in stack.notes]
    return "\n".join(lines) + "\n"


def citation(stack: Stack) -> str:
    """BibTeX of the papers of all laws with weight; the data's own citations as comments."""
    known = set(cite.keys())
    keys = dict.fromkeys(key for m in stack.members for key in m.fit.law.papers)
    entries = [cite.bibtex(key) for key in keys if key in known]
    data = [f"% data: {text}\n" for text in stack.runs.citations]
    software = f"% fitted with forescale {stack.version}, data hash {stack.data_hash[:16] or 'none'}\n"
    return "\n".join([*entries, "".join([*data, software])])

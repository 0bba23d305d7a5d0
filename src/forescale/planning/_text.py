# SPDX-License-Identifier: Apache-2.0
"""A plan as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from forescale.core.quantity import format_short
from forescale.planning._plan import Evidence, Plan
from forescale.planning._show import cited, show, wrapped


def summary(plan: Plan) -> str:
    """The plan as text."""
    percent = f"{100 * plan.level:g} %"
    lines = [*wrapped(plan.headline), ""]
    bounded = any(d.lower is not None for d in plan.decision.values())
    width = max([len(d.meaning or name) for name, d in plan.decision.items()] + [24])
    if bounded:
        lines.append(" " * (width + 2) + f"{'estimate':>14}   {percent} interval")
    for name, decided in plan.decision.items():
        line = f"  {decided.meaning or name:<{width}}{show(decided.value, decided.unit):>14}"
        if decided.lower is not None and decided.upper is not None:
            line += f"   {show(decided.lower, decided.unit)} to {show(decided.upper, decided.unit)}"
        lines.append(line)
    for name, expected in plan.expected.items():
        line = f"  {expected.meaning or name:<{width}}{show(expected.value, expected.unit):>14}"
        if expected.confidence is not None:
            low, high = expected.confidence
            line += f"   {show(low, expected.unit)} to {show(high, expected.unit)} (the curve)"
        lines.append(line)
        if expected.prediction is not None:
            low, high = expected.prediction
            band = f"{show(low, expected.unit)} to {show(high, expected.unit)} (a new run)"
            lines.append(" " * (width + 19) + band)
    alarms = [w for w in plan.warnings if w.level != "green"]
    if alarms:
        lines += ["", "Read this first"]
        for w in alarms:
            lines += wrapped(f"[{w.level}] {w.text} {w.advice}", "  ", "    ")
    for table in plan.tables:
        lines += ["", table.title, *(f"  {line}" for line in table.lines())]
        lines += wrapped(table.note, "  ")
    lines += ["", "Rests on"]
    for text in rests_on(plan):
        lines += wrapped(text, "  ", "    ")
    lines += ["", "Assumed"] if plan.assumptions else []
    for text in plan.assumptions:
        lines += wrapped(f"- {text}", "  ", "    ")
    if plan.citations:
        lines += ["", *wrapped("Sources: " + "; ".join(cited(key) for key in plan.citations), "", "  ")]
    return "\n".join(lines)


def rests_on(plan: Plan, *, judged: bool = True) -> Iterator[str]:
    """What the plan stands on, one sentence each; without `judged` the verdict is left to the page around."""
    e = plan.evidence
    verdict = f", verdict {e.verdict}: {e.headline}" if e.verdict and judged else ""
    yield f"{e.source or 'The question itself'}: {_grounded(e)}{verdict}"
    if e.distance is not None and e.seen is not None:
        yield (
            f"{format_short(e.asked, 'flop')} asked, {format_short(e.seen, 'flop')} the largest seen: "
            + (f"{e.distance:.3g}x further out" if e.distance > 1 else "not beyond the runs")
        )
    if e.draws:
        yield f"{e.draws} parameter draws ({e.draws_from}), {100 * e.answered:.3g} % with an answer of their own"
    elif any(d.lower is not None for d in plan.decision.values()):
        yield "intervals by resampling the rows of the table"
    else:
        yield f"no {'draws' if not e.law else 'parameter draws'} ({_drawless(e)}), so there are no intervals"
    yield f"What binds: {plan.binding}"


def _grounded(evidence: Evidence) -> str:
    """What kind of ground the plan stands on, in words."""
    e = evidence
    if not e.law:
        return f"a table of {e.rows} rows" if e.rows is not None else "no data of one's own"
    laws = f"law{'s' if ' + ' in e.law else ''} {e.law}"
    return f"published constants, {laws}" if e.rows is None else f"a fit to {e.rows} runs, {laws}"


def _drawless(e: Evidence) -> str:
    if not e.law:
        return "nothing was fitted"
    return "constants without published uncertainty" if e.rows is None else "the runs do not determine the parameters"


def html(plan: Plan) -> str:
    """The plan as a fragment of HTML, escaped."""

    def cells(texts: list[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag} style='text-align:right'>{escape(t)}</{tag}>" for t in texts) + "</tr>"

    percent = f"{100 * plan.level:g} %"
    rows = [cells(["", "estimate", f"{percent} from", "to"], "th")]
    for name, d in plan.decision.items():
        ends = ["", ""] if d.lower is None or d.upper is None else [show(d.lower, d.unit), show(d.upper, d.unit)]
        rows.append(cells([d.meaning or name, show(d.value, d.unit), *ends]))
    for name, e in plan.expected.items():
        for band, kind in ((e.confidence, ""), (e.prediction, " (a new run)")):
            ends = ["", ""] if band is None else [show(band[0], e.unit), show(band[1], e.unit)]
            if band is not None or not kind:
                rows.append(cells([(e.meaning or name) + kind, show(e.value, e.unit), *ends]))
    notes = "".join(
        f"<li><b>{escape(w.level)}</b> {escape(w.text)} {escape(w.advice)}</li>"
        for w in plan.warnings
        if w.level != "green"
    )
    blocks = ""
    for table in plan.tables:
        body = cells([name for name, _ in table.columns], "th")
        for row in table.rows:
            body += cells([show(cell, unit) for cell, (_, unit) in zip(row, table.columns)])
        title, note = escape(table.title), escape(table.note)
        blocks += f"<details><summary>{title}</summary><table>{body}</table>{note}</details>"
    return (
        f"<div><p><b>{escape(plan.headline)}</b></p><table>{''.join(rows)}</table>"
        f"<ul>{notes}</ul>{blocks}<p>{escape(' '.join(rests_on(plan)))}</p></div>"
    )

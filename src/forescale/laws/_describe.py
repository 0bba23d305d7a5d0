# SPDX-License-Identifier: Apache-2.0
"""A law in words: what `forescale laws chinchilla` prints and the documentation shows."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from forescale.core import cite
from forescale.core.columns import COLUMNS
from forescale.core.errors import InputError
from forescale.laws._law import Law, Parameter, Published

_WIDTH = 100

MANY = 6
"""More sets of constants than this stand in one table, with what they share said once."""


def describe(law: Law) -> str:
    """The law as plain text: formula, columns, parameters, questions, traps, papers, constants in full."""
    blocks = [f"{law.id}: {law.title}", "", *_wrap(law.meaning)]
    blocks += _section("Formula", [law.expression or formula_text(law)])
    along = [] if law.schedule is None else [f"{law.schedule}: the learning rate of every step, from the curves"]
    blocks += _section("Inputs", [*(f"{name}: {_column(name, law)}" for name in law.inputs), *along])
    blocks += _section("Predicts", [f"{law.output}: {_column(law.output, law)}"])
    blocks += _section("Parameters", [f"{name}: {_parameter(p)}" for name, p in law.params.items()])
    blocks += _section("Answers", [", ".join(law.valid_for)])
    blocks += _section("Refuses", [f"{question}: {why}" for question, why in law.refuses.items()])
    blocks += _section("Traps", law.traps)
    if law.published:
        blocks += ["", "Published constants", ""]
        if len(law.published) > MANY:
            blocks += _many_constants(law)
        else:
            blocks += [line for item in law.published.items() for line in (*_constants(law, *item), "")][:-1]
    blocks += _section("Papers", [_paper(key) for key in law.papers])
    return "\n".join(blocks).rstrip() + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = [piece for line in lines if line for piece in _wrap(line, "  ", "    ")]
    return ["", title, *body] if body else []


def _wrap(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def formula_text(law: Law) -> str:
    """The first line of the formula's docstring holds it in plain text; LaTeX otherwise."""
    doc = (getattr(law.formula, "__doc__", None) or "").strip().splitlines()
    return doc[0].rstrip(".") if doc and "=" in doc[0] and not law.recipe else law.latex or repr(law)


def _column(name: str, law: Law) -> str:
    known = COLUMNS.get(name)
    meaning = known.meaning if known else "a column of the runs"
    return f"{meaning} ({law.conventions[name]})" if name in law.conventions else meaning


def _parameter(parameter: Parameter) -> str:
    support = {(0.0, float("inf")): "> 0", (float("-inf"), float("inf")): "any sign"}.get(
        (parameter.lower, parameter.upper), f"in ({parameter.lower:g}, {parameter.upper:g})"
    )
    unit = f", in {parameter.unit}" if parameter.unit else ""
    return f"{parameter.meaning} [{parameter.kind}, {support}{unit}]"


def _constants(law: Law, source: str, published: Published) -> list[str]:
    """A table of one published set; `as printed` only where it differs."""
    rows = [("", "value", "as printed", "s.e.")]
    for name in law.params:
        printed = published.printed.get(name)
        error = published.standard_errors.get(name)
        rows.append(
            (
                name,
                f"{published.values[name]:.10g}",
                "" if printed is None else f"{printed:.10g}",
                "" if error is None else f"{error:.4g}",
            )
        )
    keep = [i for i in range(4) if i < 2 or any(row[i] for row in rows[1:])]
    widths = {i: max(len(row[i]) for row in rows) for i in keep}
    lines = [f"  {law.id}:{source}"]
    lines += ["    " + "  ".join(row[i].ljust(widths[i]) for i in keep).rstrip() for row in rows]
    for label, text in _about(published):
        lines += _wrap(f"{label}: {text}", "    ", "      ")
    return lines


def _about(published: Published) -> list[tuple[str, str]]:
    words = "; ".join(f"{what}: {convention}" for what, convention in published.conventions.items())
    spans = "; ".join(f"{what} {low:.3g} to {high:.3g}" for what, (low, high) in published.fitted_range.items())
    said = (
        ("Conventions", words),
        ("Fitted on", spans),
        ("Reproduced by us", published.reproduced),
        ("Note", published.note),
    )
    return [(label, text) for label, text in said if text]


def _many_constants(law: Law) -> list[str]:
    """All sets as one table, then each distinct remark with the sets that it is about."""
    rows = [("", *law.params)]
    rows += [(key, *(f"{p.values[n]:.6g}" for n in law.params)) for key, p in law.published.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"  as {law.id}:SOURCE"]
    lines += ["    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    for (label, text), sources in remarks(law).items():
        whose = "all" if len(sources) == len(law.published) else ", ".join(sources)
        lines += _wrap(f"{label} ({whose}): {text}", "    ", "      ")
    return lines


def remarks(law: Law) -> dict[tuple[str, str], list[str]]:
    """(label, text) of each distinct remark on published constants -> the sources that carry it."""
    found: dict[tuple[str, str], list[str]] = {}
    for source, published in law.published.items():
        for remark in _about(published):
            found.setdefault(remark, []).append(source)
    return found


def _paper(key: str) -> str:
    try:
        reference = cite.reference(key)
    except InputError:
        return key  # a plug-in may cite what our bibliography does not hold
    return f"{cite.short(key)} {reference.link}".strip()


def facts(law: Law) -> dict[str, Any]:
    """A law as plain values, for JSON."""
    return {
        "id": law.id,
        "title": law.title,
        "inputs": list(law.inputs),
        "schedule": law.schedule,
        "output": law.output,
        "latex": law.latex,
        "meaning": law.meaning,
        "parameters": {name: {"kind": p.kind, "meaning": p.meaning} for name, p in law.params.items()},
        "valid_for": list(law.valid_for),
        "refuses": dict(law.refuses),
        "traps": list(law.traps),
        "papers": list(law.papers),
        "published": {
            source: {
                "values": dict(p.values),
                "printed": dict(p.printed),
                "standard_errors": dict(p.standard_errors),
                "conventions": dict(p.conventions),
                "reproduced": p.reproduced,
                "note": p.note,
            }
            for source, p in law.published.items()
        },
    }

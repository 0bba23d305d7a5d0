# SPDX-License-Identifier: Apache-2.0
"""Plans as the report tells them: the decision first, then what it costs to be wrong, then what it rests on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from forescale.fitting._fit import Finding
from forescale.planning._plan import Plan, Table
from forescale.planning._show import show
from forescale.planning._text import rests_on
from forescale.reporting._sections import Grid, Number

TITLES = {"compute-optimal": "Plan", "reach": "Reaching a loss"}
FIRST = {"reach": ("C", "N", "D", "loss")}
"""What is set large, by question."""


@dataclass(frozen=True)
class Decision:
    """One plan on the page."""

    id: str
    title: str
    headline: str
    numbers: tuple[Number, ...]
    rest: tuple[Number, ...]
    warnings: tuple[Finding, ...]
    tables: tuple[Grid, ...]
    evidence: tuple[str, ...]
    assumptions: tuple[str, ...]


def decision(plan: Plan, number: int, told: Collection[str] = ()) -> Decision:
    """A plan as texts. Warnings whose words the page already holds (`told`) are left out."""
    percent = f"{100 * plan.level:g} %"
    entries: dict[str, Number] = {}
    for name, d in plan.decision.items():
        bounded = d.lower is not None and d.upper is not None
        ends = (f"{percent}: {show(d.lower, d.unit)} to {show(d.upper, d.unit)}",) if bounded else ()
        entries[name] = Number(show(d.value, d.unit), d.meaning or name, ends)
    for name, e in plan.expected.items():
        bands = [("curve", e.confidence), ("new run", e.prediction)]
        said = tuple(f"{what}: {show(b[0], e.unit)} to {show(b[1], e.unit)}" for what, b in bands if b is not None)
        entries[name] = Number(show(e.value, e.unit), e.meaning or name, said)
    usual = ("N", "D", "D/N", "loss") if {"N", "D"} <= set(plan.decision) else tuple(plan.decision)[:4]
    first = FIRST.get(plan.question, usual)
    alarms = (w for w in plan.warnings if w.level != "green" and w.code != "verdict" and w.text not in told)
    return Decision(
        id=f"plan-{number}",
        title=TITLES.get(plan.question, plan.question),
        headline=plan.headline,
        numbers=tuple(entries[name] for name in first if name in entries),
        rest=tuple(entry for name, entry in entries.items() if name not in first),
        warnings=tuple(alarms),
        tables=tuple(_grid(table) for table in plan.tables),
        evidence=tuple(f"{text.rstrip('.')}." for text in rests_on(plan, judged=not told)),
        assumptions=plan.assumptions,
    )


def _grid(table: Table) -> Grid:
    units = [unit for _, unit in table.columns]
    names = tuple(name for name, _ in table.columns)
    rows = tuple(tuple(show(cell, unit) for cell, unit in zip(row, units)) for row in table.rows)
    words = tuple(i for i in range(len(units)) if any(_worded(row[i]) for row in table.rows))
    strong = [
        i for i, row in enumerate(table.rows) if "this plan" in row or (names[0] == "N / plan" and row[0] == 1.0)
    ]
    return Grid(table.title, names, rows, table.note, words, tuple(strong))


def _worded(cell: float | str | None) -> bool:
    """A word, not a number that came as text."""
    return isinstance(cell, str) and not cell[:1].isdigit()

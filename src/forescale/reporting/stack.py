# SPDX-License-Identifier: Apache-2.0
"""The page of a stack: the verdict, the plans, who was chosen and why, and how the pool did on runs it had not seen.

The pool is never shown as one law with the parameters of all its members: each member has its own line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from forescale.core.errors import ForescaleError
from forescale.fitting._stack import Stack
from forescale.fitting._stack_text import scoreboard
from forescale.judge._stack_verdict import stack_calibration, stack_verdict
from forescale.judge.calibration import EDGES
from forescale.judge.checklist import stack_checklist
from forescale.planning._plan import Plan
from forescale.planning._splitting import splitting
from forescale.reporting import _decisions as decisions
from forescale.reporting import _figures as figures
from forescale.reporting import _sections as sections
from forescale.reporting._page import Report, policy, resource, template
from forescale.reporting._sections import Grid, Number
from forescale.reporting.charts import residuals as residual_charts
from forescale.reporting.charts import specification
from forescale.reporting.charts._data import plane

__all__ = ["page"]

OTHERS = 12
"""Candidates without weight that the table shows."""


def page(
    stack: Stack,
    plans: Sequence[Plan] = (),
    commands: Sequence[str] = (),
    *,
    title: str | None = None,
    date: str | None = None,
) -> Report:
    """The page of a stack.

    Args:
        stack: a stack; one without a verdict is judged here.
        plans: decisions that rest on it.
        commands: what made this page, one shell command or line of Python each.
        title: heading (default: how many fits, of which table).
        date: as it should be printed. Without it the page carries no date, and stays the same from day to day.
    """
    judged = stack if stack.verdict is not None else stack.with_verdict(stack_verdict(stack))
    pool = judged.pooled
    split = splitting(judged).pooled
    drawn, missing = _figures(judged, plans)
    alarms, fine = sections.advice(pool)
    told = {finding.text for finding in (*alarms, *fine)}
    short, bibtex = sections.citations(pool, plans)
    style = resource("report.css")
    laws = ", ".join(dict.fromkeys(m.fit.law.id for m in judged.members))
    parts: dict[str, list[tuple[str, str, str]]] = {}
    for item in stack_checklist(judged):
        parts.setdefault(item.part, []).append((item.question, item.answer, item.level))
    found = template("stack.html")
    text = found.render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=policy(style),
        title=title or f"{judged.runs.source}: {len(judged.members)} fits, pooled",
        facts=[("Laws", laws), *sections.facts(pool, date)[1:]],
        verdict=judged.verdict,
        words=sections.WORDS,
        alarms=alarms,
        fine=fine,
        numbers=_numbers(judged),
        decisions=[decisions.decision(plan, i, told) for i, plan in enumerate(plans, 1)],
        why=judged.why,
        members=_members(judged),
        formulas=_formulas(judged),
        bands=_bands(judged),
        figures={figure.id: figure for figure in drawn},
        tested=_tested(judged),
        profiles=sections.profiles_read(split) if plane(split.law) else None,
        checklist=list(parts.items()),
        notes=judged.notes,
        remarks=missing,
        citations=short,
        bibtex=bibtex,
        commands=list(commands),
        seed=judged.seed,
    )
    return Report(text)


def _inside(stack: Stack) -> NDArray[np.bool_]:
    r = stack.rolling
    return np.asarray((r["observed"] >= r["lower"]) & (r["observed"] <= r["upper"]))


def _numbers(stack: Stack) -> list[Number]:
    """A few figures that say what stands behind the page."""
    out = [number for number in sections.key_numbers(stack.pooled, None) if "scatter" not in number.what]
    noise = stack.width.noise
    if noise > 0:
        out.append(Number(f"{100 * noise:.2g} %", "scatter of one run about the pool"))
    r = stack.rolling
    if len(r["cut"]):
        mean = 100 * float(np.mean(np.abs(r["estimate"] / r["observed"] - 1)))
        out.append(
            Number(
                f"{_inside(stack).sum()} of {len(r['cut'])}",
                f"hidden larger runs inside their {100 * stack.level:g} % band",
                (f"mean error {mean:.2g} %",),
            )
        )
    return out


def _members(stack: Stack) -> Grid:
    """Members and the best candidates without weight; law, loss and rows first."""
    head, rows, remark = scoreboard(stack, OTHERS)
    first = [head.index(name) for name in ("law", "loss", "rows")]
    order = [*first, *(i for i in range(len(head)) if i not in first)]
    said = ["Rolling error: typical error on hidden larger runs; it alone decides the weights."]
    if "leave-group-out" in head:
        said.append("Leave-group-out: error on one level of sizes (or one run), predicted from all others.")
    if any(name.startswith("evidence") for name in head):
        said.append(
            "Evidence: exp(-AICc/2) relative to the best, of candidates fitted to all rows; it speaks of the rows "
            "fitted, not of larger ones."
        )
    return Grid(
        "Who predicted larger runs best",
        tuple(head[i] for i in order),
        tuple(tuple(row[i] for i in order) for row in rows),
        " ".join([*said, remark]).strip(),
        (0, 1, 2),
    )


def _formulas(stack: Stack) -> list[tuple[str, Markup | None, str]]:
    """(who, formula with its numbers, the numbers as text) for each member."""
    out = []
    for member in stack.members:
        fit = member.fit
        values = ", ".join(f"{name} = {fit.params[name]:.4g}" for name in fit.law.names)
        who = f"{member.weight:.2f} x {fit.law.id} ({fit.loss}, {member.rows}, {fit.n} runs)"
        out.append((who, sections.formula(fit)[1], values))
    return out


def _bands(stack: Stack) -> str:
    """The recipe of the bands with this table's numbers, in two sentences."""
    w = stack.width
    side = "wider" if w.tau > 1 else "narrower"
    scale = f"{abs(100 * (w.tau - 1)):.0f} % {side} than usual" if round(100 * w.tau) != 100 else "as wide as usual"
    source = (
        f"judged by the pool's own errors at {w.cuts} cut{'s' if w.cuts != 1 else ''}" if w.cuts else "untested here"
    )
    return (
        f"The {100 * stack.level:g} % bands add the disagreement of the members, what laws lose with distance, the "
        f"scatter of a run ({100 * w.noise:.2g} %), and a least error, as a Student-t distribution with {w.df:g} "
        f"degrees of freedom; here they are {scale}, {source}."
    )


def _tested(stack: Stack) -> list[Grid]:
    """Rolling predictions by distance, with the limits of each share, and by cut."""
    found = stack_calibration(stack)
    if found is None:
        return []
    r = stack.rolling
    error = 100 * (r["estimate"] / r["observed"] - 1)
    inside = _inside(stack)
    where = np.searchsorted(EDGES, r["distance"], side="left")
    percent = f"inside {100 * stack.level:g} %"
    rows: list[tuple[str, ...]] = []
    for stretch, place in zip(found.by_distance, np.unique(where)):
        here = where == place
        rows.append(
            (
                stretch.name, f"{stretch.points}", f"{np.abs(error[here]).mean():.2f} %",
                f"{error[here].mean():+.2f} %",
                f"{100 * stretch.covered:.0f} %", f"{100 * stretch.low:.0f} to {100 * stretch.high:.0f} %",
                f"{100 * stretch.width / 2:.2f} %",
            )
        )  # fmt: skip
    head: tuple[str, ...] = (
        "beyond the cut",
        "predictions",
        "mean error",
        "bias",
        percent,
        "95 % limits of that",
        "half-width",
    )
    note = "Bias: predicted minus measured. The limits know that predictions from one cut share their luck."
    by_distance = Grid("Rolling predictions by distance", head, tuple(rows), f"{note} {found.shape}")
    rows = []
    for cut in np.unique(r["cut"]):
        here = r["cut"] == cut
        rows.append(
            (
                sections._amount(float(cut), stack.variable), f"{here.sum()}", f"{r['distance'][here].max():.3g}x",
                f"{np.abs(error[here]).mean():.2f} %", f"{error[here].mean():+.2f} %",
                f"{100 * inside[here].mean():.0f} %",
            )
        )  # fmt: skip
    head = (f"largest {stack.variable} fitted", "predictions", "farthest", "mean error", "bias", percent)
    by_cut = Grid("Rolling predictions by cut", head, tuple(rows), "At each cut the pool was chosen anew.")
    return [by_distance, by_cut]


def _figures(stack: Stack, plans: Sequence[Plan]) -> tuple[list[figures.Figure], list[str]]:
    """Every chart that these values can fill, and a sentence for each that failed although it should not."""
    pool = stack.pooled
    drawn: list[figures.Figure] = []
    missing: list[str] = []

    def add(what: str, name: str, value: Any, kind: str | None, **options: Any) -> None:
        attempt(
            what,
            lambda: figures.figure(
                name,
                specification(value, kind, width=figures.WIDE, **options),
                specification(value, kind, width=figures.SLIM, **options),
            ),
        )

    def attempt(what: str, make: Callable[[], figures.Figure]) -> None:
        try:
            drawn.append(make())
        except ForescaleError as error:
            missing.append(f"No chart of {what}: {error}")

    targets = sorted({plan["C"].value for plan in plans if "C" in plan.decision})
    add("the loss", "loss", stack, "loss", target=targets if stack.inputs != ("N",) else [])
    for i, plan in enumerate(plans, 1):
        if plan.curves:
            add(f"plan {i}", f"plan-{i}-chart", plan, None)
    add("the rolling test", "rolling", stack, "rolling")
    split = splitting(stack).pooled
    if plane(split.law) and "compute-optimal" in split.law.valid_for:
        add("iso-loss contours", "contours", split, "contours")
        if sections.profiles_read(split) is not None:
            add("IsoFLOP profiles", "isoflop", split, "isoflop")
    attempt(
        "residuals",
        lambda: figures.panels(
            "residuals", "Residuals of the pool", residual_charts.words(pool), residual_charts.about(pool),
            residual_charts.panels(pool, width=figures.SMALL),
        ),
    )  # fmt: skip
    return drawn, missing

# SPDX-License-Identifier: Apache-2.0
"""The report: one page that holds the verdict, the plans, the law, the evidence, and the commands that made it.

The page is one file without scripts; it loads nothing, and its content policy forbids it to. The same inputs give the
same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from forescale.core.errors import ForescaleError
from forescale.fitting._fit import Fit
from forescale.judge.backtest import Backtest
from forescale.judge.verdict import verdict, widened
from forescale.planning._plan import Plan
from forescale.reporting import _decisions as decisions
from forescale.reporting import _figures as figures
from forescale.reporting import _sections as sections
from forescale.reporting._page import Report, policy, resource, template
from forescale.reporting.charts import profiles as profile_charts
from forescale.reporting.charts import residuals as residual_charts
from forescale.reporting.charts import specification
from forescale.reporting.charts._data import plane

__all__ = ["Report", "report"]


def report(
    fit: Fit,
    plans: Sequence[Plan] = (),
    backtest: Backtest | None = None,
    commands: Sequence[str] = (),
    remarks: Sequence[str] = (),
    *,
    title: str | None = None,
    date: str | None = None,
) -> Report:
    """The page of a fit.

    Args:
        fit: a fit, or published constants. A fit without a verdict is judged here.
        plans: decisions that rest on it.
        backtest: predictions of hidden runs.
        commands: what made this page, one shell command or line of Python each.
        remarks: further sentences for the reader, e.g. why there is no backtest.
        title: heading (default: law and data).
        date: as it should be printed. Without it the page carries no date, and stays the same from day to day.
    """
    judged = _judged(fit, backtest)
    drawn, missing = _figures(judged, plans, backtest)
    alarms, fine = sections.advice(judged)
    told = {finding.text for finding in (*alarms, *fine)}
    general, filled, latex = sections.formula(judged)
    short, bibtex = sections.citations(judged, plans)
    source = judged.source if judged.runs is None else judged.runs.source
    style = resource("report.css")
    page = template("report.html").render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=policy(style),
        title=title or (source if judged.runs is None else f"{judged.law.id} fitted to {source}"),
        facts=sections.facts(judged, date),
        verdict=judged.verdict,
        words=sections.WORDS,
        alarms=alarms,
        fine=fine,
        numbers=sections.key_numbers(judged, backtest),
        decisions=[decisions.decision(plan, i, told) for i, plan in enumerate(plans, 1)],
        formula=general,
        filled=filled,
        latex=latex,
        meaning=judged.law.meaning,
        traps=judged.law.traps,
        parameters=sections.parameters(judged),
        search=sections.search(judged),
        named=sections.named_rows(judged),
        profiles=sections.profiles_read(judged),
        backtested=None if backtest is None else sections.backtested(backtest),
        figures={figure.id: figure for figure in drawn},
        checklist=sections.questions(judged, backtest),
        notes=judged.notes,
        remarks=[*remarks, *missing],
        citations=short,
        bibtex=bibtex,
        commands=list(commands),
        seed=judged.seed,
    )
    return Report(page)


def _judged(fit: Fit, backtest: Backtest | None) -> Fit:
    """The fit with a verdict; a backtest of the same law on the same runs lends it its spread first."""
    same = backtest is not None and (backtest.law, backtest.data_hash) == (fit.law.id, fit.data_hash)
    if fit.spread is None and backtest is not None and same and backtest.spread is not None:
        return widened(fit, backtest.spread)
    return fit if fit.verdict is not None else fit.with_verdict(verdict(fit))


def _figures(fit: Fit, plans: Sequence[Plan], backtest: Backtest | None) -> tuple[list[figures.Figure], list[str]]:
    """Every chart that these values can fill, and a sentence for each that failed although it should not."""
    targets = sorted({plan["C"].value for plan in plans if "C" in plan.decision})
    drawn: list[figures.Figure] = []
    missing: list[str] = []

    def add(make: Callable[[], figures.Figure], what: str) -> None:
        try:
            drawn.append(make())
        except ForescaleError as error:
            missing.append(f"No chart of {what}: {error}")

    def both(name: str, value: Any, kind: str | None, **options: Any) -> Callable[[], figures.Figure]:
        return lambda: figures.figure(
            name,
            specification(value, kind, width=figures.WIDE, **options),
            specification(value, kind, width=figures.SLIM, **options),
        )

    surface = plane(fit.law)
    if fit.law.schedule is not None:
        if fit.runs is not None:
            add(both("loss", fit, "curves"), "the curves")
    elif surface or len(fit.law.inputs) == 1:
        marked = targets if surface or fit.law.inputs == ("C",) else []
        add(both("loss", fit, "loss", target=marked), "the loss")
    for i, plan in enumerate(plans, 1):
        if plan.curves:
            add(both(f"plan-{i}-chart", plan, None), f"plan {i}")
    if fit.runs is not None:
        if surface:
            add(both("contours", fit, "contours"), "iso-loss contours")
            if sections.profiles_read(fit) is not None:
                add(both("isoflop", fit, "isoflop"), "IsoFLOP profiles")
        add(
            lambda: figures.panels(
                "residuals",
                "Residuals",
                residual_charts.words(fit),
                residual_charts.about(fit),
                residual_charts.panels(fit, width=figures.SMALL),
            ),
            "residuals",
        )
        add(
            lambda: figures.panels(
                "likelihoods", "Profile likelihoods", profile_charts.words(fit), profile_charts.about(fit),
                profile_charts.panels(fit, width=figures.SMALL),
            ),
            "profile likelihoods",
        )  # fmt: skip
    if backtest is not None:
        add(both("backtest", backtest, None), "the backtest")
    return drawn, missing

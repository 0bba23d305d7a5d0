# SPDX-License-Identifier: Apache-2.0
"""The page of one plan: the decision, what it costs to be wrong, its charts, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from pydantic.fields import FieldInfo

from forescale.core.errors import InputError
from forescale.core.quantity import format_short
from forescale.planning._plan import Plan
from forescale.planning._run import find
from forescale.reporting import _figures as figures
from forescale.reporting._decisions import decision
from forescale.reporting._page import Report, cited, policy, resource, template
from forescale.reporting._sections import WORDS
from forescale.reporting.charts.plan import kinds
from forescale.reporting.charts.plan import plan as chart


def page(plan: Plan, commands: Sequence[str] = ()) -> Report:
    """One self-contained page, without scripts; the same plan gives the same bytes.

    Args:
        commands: what made it, one command each.
    """
    style = resource("report.css")
    told = decision(plan, 1)
    drawn = [
        figures.figure(f"chart-{i}", chart(plan, kind, width=figures.WIDE), chart(plan, kind, width=figures.SLIM))
        for i, kind in enumerate(kinds(plan), 1)
    ]
    text = template("plan.html").render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=policy(style),
        title=_question(plan),
        facts=_asked(plan),
        plan=told,
        words=WORDS,
        figures=drawn,
        papers=[cited(key) for key in plan.citations],
        commands=list(commands),
    )
    return Report(text)


def _question(plan: Plan) -> str:
    """The question in words; its id where its planner is not installed here."""
    try:
        return find(plan.question).question
    except InputError:
        return plan.question


def _asked(plan: Plan) -> list[tuple[str, str]]:
    """The fields of the query that say something, as people write them."""
    try:
        fields = find(plan.question).query.model_fields
    except InputError:
        fields = {}
    given = {name: value for name, value in plan.query.items() if name not in fields or value != _plain(fields[name])}
    return [(name.replace("_", " "), _written(value)) for name, value in given.items()]


def _plain(field: FieldInfo) -> Any:
    """The default of a field as a query holds it."""
    default = field.get_default()
    return list(default) if isinstance(default, tuple) else default


def _written(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_written(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return format_short(float(value), "number") if abs(value) >= 1e4 else f"{value:g}"
    return str(value)

# SPDX-License-Identifier: Apache-2.0
"""Asking a question: find the planner, read the query, check that the law may answer it, push the draws through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from forescale.core.errors import ForescaleError, QueryError, RefusedError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.registry import discover, seek
from forescale.fitting._fit import Fit
from forescale.fitting.surface import Surface, surface
from forescale.planning._parts import grounds
from forescale.planning._plan import Basis, Plan, Planner
from forescale.planning._splitting import splitting
from forescale.runs.table import Runs

if TYPE_CHECKING:
    from forescale.fitting._stack import Stack

DRAWS = 1000


@cache
def planners() -> Mapping[str, Planner]:
    """All planners, built-in and plugged in, by id."""
    found = discover("forescale.planning", Planner)
    return Frozen({name: entry.value for name, entry in found.items()})


def find(question: str) -> Planner:
    """The planner of that id.

    Raises:
        QueryError: unknown question; the known ones are named.
    """
    # A built-in costs its own module; only what is none costs the whole room and the plug-ins.
    found = seek("forescale.planning", Planner, question) or planners().get(question)
    if found is None:
        raise QueryError(message(f"there is no question {question!r}", "", nearest(question, planners())))
    return found


def plan(
    question: str,
    *given: Fit | Stack | Runs,
    draws: int = DRAWS,
    group: str | None = None,
    refit: bool = True,
    **query: Any,
) -> Plan:
    """Answer a question from a fit, from several, or from tables.

    Args:
        question: id of a planner, e.g. "compute-optimal" or "reach".
        given: what it stands on: a Fit, of runs or of published constants, or a Stack; for planners of several parts
            (`Planner.parts`) as many fits and tables as they take, in any order.
        draws: parameter draws pushed through the planner (at most; as many as the fit has).
        group: which level of a grouped law to plan for.
        refit: fit the law again where the runs carry other counts of N, for the table of conventions.
        query: the fields of the planner's query; numbers as people write them.

    Returns:
        Plan.

    Raises:
        QueryError: an unknown question or field, a missing or contradictory one; no fit, or more than can be used.
        QuantityError: text that is no quantity.
        RefusedError: the law may not answer this question, or has no answer here.
    """
    planner = find(question)
    asked = read(planner, query)
    if planner.parts:
        return planner.answer(grounds(planner, given, draws=draws, group=group), asked)
    if len(given) != 1 or isinstance(given[0], Runs):
        held = " and ".join(f"a {type(value).__name__}" for value in given) or "nothing"
        raise QueryError(message(f"{planner.id!r} was given {held} to stand on", "one fit"))
    return planner.answer(basis(given[0], planner, draws=draws, group=group, refit=refit), asked)


def read(planner: Planner, query: Mapping[str, Any]) -> BaseModel:
    """The query as the planner's model. Raises QueryError, or the error of the quantity that could not be read."""
    for name in query:
        if name not in planner.query.model_fields:
            raise _unknown(planner, name)
    try:
        return planner.query.model_validate(dict(query))
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ForescaleError):
            raise cause from None
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            fields = planner.query.model_fields
            described = fields[name].description if name in fields else ""
            raise QueryError(message(f"{planner.id} needs {name}", described or "")) from None
        shown = str(first.get("input"))[:60]
        raise QueryError(message(f"{name} = {shown!r} ({first['msg'].lower()})", f"a valid {name}")) from None


def _unknown(planner: Planner, name: str) -> QueryError:
    holders = [p for p in planners().values() if p.id != planner.id and name in p.query.model_fields]
    # Of many questions with a field of that name, one of the same ground that cannot do without it is meant.
    other = min(
        holders,
        key=lambda p: (bool(p.parts) != bool(planner.parts), not p.query.model_fields[name].is_required(), p.id),
        default=None,
    )
    if other is not None:
        needed = [k for k, f in planner.query.model_fields.items() if f.is_required()]
        return QueryError(
            message(
                f"{name} belongs to the question {other.id!r}, and {planner.id!r} was asked; "
                f"{' and '.join([*needed, name])} together are two questions",
                f"{', '.join(planner.query.model_fields)}",
                f"plan({other.id!r}, ...) without {', '.join(needed)}",
            )
        )
    return QueryError(
        message(f"{planner.id} has no field {name!r}", "", nearest(name, planner.query.model_fields, most=20))
    )


def basis(
    value: Fit | Stack, planner: Planner, *, draws: int = DRAWS, group: str | None = None, refit: bool = True
) -> Basis:
    """What a planner stands on: the fit's surface with its draws, checked for the question.

    A stack is planned on as its pool, each draw one of its members, weighted by what they know about N*; it is not
    fitted again under other conventions, since its members were chosen under these.

    Raises:
        RefusedError: the law may not answer the question.
        LawError: a grouped law without a group, or an unknown level.
        QueryError: a group for a law without groups.
    """
    stack: Stack | None = None
    if isinstance(value, Fit):
        fit = value
    else:
        stack = splitting(value)
        fit = stack.pooled
    law = fit.law
    base = law if law.groups is None else law.groups.base
    if planner.asks not in base.valid_for or planner.id in base.refuses:
        why = base.refuses.get(planner.asks, "its formula does not hold what the question needs")
        reason = base.refuses.get(planner.id, why)
        raise RefusedError(
            message(
                f"The law {law.id!r} may not be asked for {planner.id!r}: {reason}",
                f"a law that answers {planner.asks!r}",
                "fit one of: " + ", ".join(_able(planner.asks)),
            )
        )
    lacking = [name for name in planner.needs if name not in base.inputs]
    if lacking:
        raise RefusedError(
            message(
                f"The law {law.id!r} is in {', '.join(base.inputs)} and {planner.id!r} needs {', '.join(lacking)}",
                "a law in " + ", ".join(planner.needs),
                "fit one of: " + ", ".join(_able(planner.asks)),
            )
        )
    chosen = surface(fit, draws=draws, group=group)
    labels: Mapping[str, str] = Frozen() if law.groups is None else Frozen({law.groups.by: str(group)})
    again = _Refit(fit, draws, group) if refit and stack is None and fit.runs is not None else None
    return Basis(chosen, fit, fit.sigma if fit.sigma > 0 else math.nan, labels, again, stack)


class _Refit:
    """Fits the same law again to recounted runs."""

    def __init__(self, fit: Fit, draws: int, group: str | None) -> None:
        self._fit, self._draws, self._group = fit, draws, group

    def __call__(self, runs: Runs) -> tuple[Surface, float]:
        from forescale.fitting import estimate  # not at import: plans from published constants start without it

        fit = self._fit
        again = estimate.fit(runs, fit.law, loss=fit.loss, level=fit.level, rng=fit.seed)
        return surface(again, draws=self._draws, group=self._group), again.sigma


def _able(question: str) -> list[str]:
    from forescale.laws import catalogue

    return [name for name, entry in catalogue().items() if question in entry.value.valid_for][:6]

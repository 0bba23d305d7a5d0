# SPDX-License-Identifier: Apache-2.0
"""From the numbers of a planner of several parts to a Plan: evidence, warnings, assumptions, citations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from forescale.core.errors import RefusedError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.planning import _evidence
from forescale.planning._plan import Decided, Evidence, Expected, Grounds, Plan, Planner, Table

Array = NDArray[np.float64]

_LEVELS = ("green", "amber", "red")


def refused(seen: str, expected: str = "", hint: str = "") -> RefusedError:
    """The error of a question that is clear and has no answer here."""
    return RefusedError(message(seen, expected, hint))


def composed(
    grounds: Grounds,
    planner: Planner,
    query: BaseModel,
    *,
    headline: str,
    decision: Mapping[str, Decided],
    binding: str,
    expected: Mapping[str, Expected] | None = None,
    tables: Sequence[Table] = (),
    curves: Mapping[str, Mapping[str, Array]] | None = None,
    warnings: Sequence[Finding] = (),
    assumptions: Sequence[str] = (),
    answered: Any = None,
    at: Mapping[str, Mapping[str, float]] | None = None,
    C: float | None = None,
    papers: Sequence[str] = (),
    ground: str = "",
) -> Plan:
    """A Plan with all that every plan must say.

    Args:
        headline, decision, binding, expected, tables, curves, warnings, assumptions: as of the Plan.
        answered: (B,) bool, which draws have an answer of their own; None: those whose parameters are finite.
        at: part -> the inputs that its law is asked about, to say how far outside its fitted range they lie.
        C: compute asked about in FLOP, where the question has one.
        papers: keys beyond those of the laws, tables and the planner.
        ground: what it stands on where neither a law nor a table was given, in words.

    Raises:
        RefusedError: the estimate itself has no answer.
    """
    own = _finite(grounds) if answered is None else np.broadcast_to(np.asarray(answered, dtype=bool), (grounds.rows,))
    if not own[0]:
        raise refused(
            f"{planner.id!r} has no answer from these constants: a number on the way is not finite",
            "finite constants for which the question has an answer",
            "look at the fit's verdict",
        )
    share = float(np.mean(own[1:])) if len(own) > 1 else 1.0
    found = [
        *_fit_findings(grounds),
        *_distances(grounds, at or {}, C),
        *_evidence.answered_finding(share, "have no answer of their own"),
        *_guessing(expected or {}),
        *warnings,
    ]
    distinct = _merged(list({(w.code, w.text): w for w in found}.values()), grounds)
    meanings = {part.name: part.meaning for part in planner.parts}
    taken = [f"No {name} was given ({meanings.get(name, name)}): taken from {source}."
             for name, source in grounds.defaulted.items()]  # fmt: skip
    return Plan(
        question=planner.id,
        headline=headline + _evidence.caution(distinct),
        decision=Frozen(dict(decision)),
        expected=Frozen(dict(expected or {})),
        tables=tuple(tables),
        binding=binding,
        evidence=_grounded(grounds, C, share, ground),
        warnings=tuple(distinct),
        assumptions=(*taken, *assumptions),
        citations=_citations(grounds, (*planner.papers, *papers)),
        curves=Frozen(dict(curves or {})),
        level=grounds.level,
        query=Frozen(query.model_dump(mode="json", exclude_none=True)),
    )


GUESSING = math.log(1e6)
"""No loss in nats per token is above guessing among the words of the largest vocabularies."""


def _guessing(expected: Mapping[str, Expected]) -> list[Finding]:
    """A loss that no model has: the law is asked where it does not hold."""
    return [
        Finding(
            "worse-than-guessing",
            "red",
            f"A loss of {e.value:.3g} nats per token is worse than guessing among a million words ({GUESSING:.3g}).",
            "The law does not hold for models or data so small.",
        )
        for e in expected.values()
        if e.unit == "nats/token" and e.value > GUESSING
    ]


def _fit_findings(grounds: Grounds) -> list[Finding]:
    """What is wrong with the fits; among several each says which it is."""
    found: list[Finding] = []
    for name, basis in grounds.laws.items():
        own = _evidence.fit_findings(basis)
        if len(grounds.laws) > 1:
            named = basis.fit.source if basis.fit is not None and basis.fit.source else name
            own = [f if f.code == "no-uncertainty" else replace(f, text=f"{named}: {f.text}") for f in own]
        found += own
    return found


def _merged(found: list[Finding], grounds: Grounds) -> list[Finding]:
    """One sentence for all constants without errors: with many parts it would be said many times."""
    bare = [f for f in found if f.code == "no-uncertainty"]
    if len(bare) < 2:
        return found
    fits = [basis.fit for basis in grounds.laws.values() if basis.fit is not None]
    names = dict.fromkeys(fit.source for fit in fits if any(n.code == "no-uncertainty" for n in fit.notes))
    text = f"{', '.join(names)} come without standard errors: what they add to the intervals is missing."
    return [*(f for f in found if f.code != "no-uncertainty"), Finding("no-uncertainty", "amber", text)]


def _finite(grounds: Grounds) -> NDArray[np.bool_]:
    ok = np.ones(grounds.rows, dtype=bool)
    for basis in grounds.laws.values():
        for values in basis.surface.params.values():
            ok &= np.isfinite(values).all(axis=1)
    return ok


def _distances(grounds: Grounds, at: Mapping[str, Mapping[str, float]], C: float | None) -> list[Finding]:
    first = next(iter(grounds.laws), None)
    found: list[Finding] = []
    for name, basis in grounds.laws.items():
        compute = C if C is not None and name == first else math.nan
        found += _evidence.distance_findings(basis, compute, **at.get(name, {}))
    return found


def _grounded(grounds: Grounds, C: float | None, share: float, ground: str) -> Evidence:
    parts = [_evidence.evidence(basis, math.nan if C is None else C, share) for basis in grounds.laws.values()]
    tables = list(grounds.tables.values())
    counts = [e.rows for e in parts if e.rows is not None] + [len(table) for table in tables]
    worst = max((e for e in parts if e.verdict), key=lambda e: _LEVELS.index(e.verdict or "green"), default=None)
    origins = dict.fromkeys(e.draws_from for e in parts if e.draws_from != "none")
    return Evidence(
        source=_joined([e.source for e in parts] + [table.source for table in tables]) or ground,
        law=_joined([e.law for e in parts]),
        rows=sum(counts) if counts else None,
        verdict=None if worst is None else worst.verdict,
        headline="" if worst is None else worst.headline,
        asked=math.nan if C is None else C,
        seen=parts[0].seen if parts and C is not None else None,
        draws=grounds.rows - 1,
        draws_from=_joined(origins) or "none",
        answered=share,
        data_hash=_joined([e.data_hash for e in parts if e.data_hash]),
        seed=next((e.seed for e in parts), 0),
    )


def _joined(texts: Any) -> str:
    return " + ".join(dict.fromkeys(texts))


def _citations(grounds: Grounds, papers: Sequence[str]) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for basis in grounds.laws.values():
        keys.update(dict.fromkeys(_evidence.citations(basis, ())))
    for table in grounds.tables.values():
        keys.update(dict.fromkeys(table.citations))
    keys.update(dict.fromkeys(papers))
    return tuple(keys)

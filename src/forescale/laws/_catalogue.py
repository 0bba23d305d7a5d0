# SPDX-License-Identifier: Apache-2.0
"""The laws that are known by name."""

from __future__ import annotations

import re
from functools import cache

from forescale.core.columns import COLUMNS
from forescale.core.errors import LawError, message, nearest
from forescale.core.registry import Entry, discover, seek
from forescale.laws._family import Family
from forescale.laws._law import Law

ALIASES = {"m1": "power", "m2": "power-floor"}
"""Other names of laws in the literature: M1 to M4 of Alabdulmohsin et al. 2022."""

_ON = re.compile(r"([^()]*?)\s*\(([^()]*)\)")


@cache
def catalogue() -> dict[str, Entry[Law]]:
    """All laws, built-in and plugged in: id -> Entry(value, origin)."""
    return discover("forescale.laws", Law)


@cache
def _sought(law_id: str) -> Law | None:
    """A built-in law by id, at the cost of its own module."""
    return seek("forescale.laws", Law, law_id)


@cache
def families() -> dict[str, Entry[Family]]:
    """All families of laws, built-in and plugged in: id -> Entry(value, origin)."""
    return discover("forescale.laws", Family)


def known(law_id: str) -> Law | None:
    """The law of that id, or None. A built-in costs its own module; only what is none costs the whole room."""
    law = _sought(law_id)
    if law is None and law_id in catalogue():
        law = catalogue()[law_id].value
    return law


def find(name: str) -> Law:
    """The law of that name, with the columns it is to be read from where named: "chinchilla", "kaplan(N_nonemb, D)".

    A family makes its law from the columns: "mixing-exponential(arxiv, book)".

    Raises:
        LawError: unknown id (the nearest known ones are named), unknown column, or the wrong number of columns.
    """
    name = name.strip()
    on = _ON.fullmatch(name)
    law_id = on[1] if on else name
    law_id = ALIASES.get(law_id, law_id)
    law = known(law_id)
    if law is None and law_id in families():
        return _member(families()[law_id].value, on)
    if law is None:
        hint = nearest(law_id[:60], [*catalogue(), *families()])
        shown = repr(law_id if len(law_id) <= 60 else law_id[:57] + "...")
        raise LawError(message(f"there is no law {shown}", "a law of the catalogue, or a formula", hint))
    if on is None:
        return law
    columns = [column.strip() for column in on[2].split(",")]
    if len(columns) != len(law.inputs):
        raise LawError(
            message(f"{name!r} names {len(columns)} columns", f"{len(law.inputs)}: {law_id}({', '.join(law.inputs)})")
        )
    _identifiers(name, columns)
    return law.on(**dict(zip(law.inputs, columns)))


def _member(family: Family, on: re.Match[str] | None) -> Law:
    columns = [] if on is None else [column.strip() for column in on[2].split(",")]
    shown = f"{family.id}({', '.join(family.example)})"
    if len(columns) < family.least:
        raise LawError(
            message(f"the family {family.id!r} was given {len(columns)} columns", f"{family.least} or more", shown)
        )
    _identifiers(shown if on is None else on[0], columns)
    if len(set(columns)) < len(columns):
        raise LawError(message(f"the family {family.id!r} was given {columns}", "distinct columns", shown))
    return family.make(tuple(columns))


def _identifiers(name: str, columns: list[str]) -> None:
    for column in columns:
        if not column.isidentifier():
            hint = nearest(column, COLUMNS)
            raise LawError(message(f"{name!r} holds {column!r}", "the name of a column", hint))

# SPDX-License-Identifier: Apache-2.0
"""What the automatic choice tries: laws, losses and subsets of the rows, as `candidates.toml` lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import LawError, QueryError, message
from forescale.laws import Law, as_law
from forescale.runs.derive import derive
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW = (5.0, 100.0)
"""Tokens per parameter of the window "5-100"."""
STEP = 1.1
"""Sizes within this factor are one level where the least loss of a level is looked for."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to fit: a law, a loss, and which of the rows.

    Attributes:
        law: the law.
        loss: name of the objective.
        rows: name of the subset, see `chosen`.
    """

    law: Law
    loss: str
    rows: str

    @property
    def name(self) -> str:
        """Law, loss and rows in one line."""
        return f"{self.law.id}, {self.loss}, {described(self.rows)}"


def described(rows: str) -> str:
    """A subset in words."""
    if rows == "all":
        return "all rows"
    if rows == "frontier":
        return "least loss at each size"
    if rows == "5-100":
        return f"{WINDOW[0]:g} to {WINDOW[1]:g} tokens per parameter"
    return f"within {rows} of the largest"


def chosen(rows: str, runs: Runs, size: Array) -> Mask:
    """(n,) the rows of a subset.

    Args:
        rows: "all", "frontier", "5-100", or a factor such as "30x".
        size: (n,) what orders the rows.

    Raises:
        QueryError: no such subset.
    """
    if rows == "all":
        return np.ones(len(runs), dtype=bool)
    if rows == "5-100":
        ratio = runs["D"] / runs["N"]
        return np.asarray((ratio >= WINDOW[0]) & (ratio <= WINDOW[1]))
    if rows == "frontier":
        return _frontier(size, runs["loss"])
    try:
        factor = float(rows.removesuffix("x"))
    except ValueError:
        raise QueryError(message(f"rows {rows!r}", 'all, frontier, 5-100, or a factor such as "30x"')) from None
    return np.asarray(size >= size.max() / factor)


def _frontier(size: Array, loss: Array) -> Mask:
    """Rows that are the best of their level, and better than every smaller level."""
    order = np.argsort(size, kind="stable")
    level = np.concatenate([[0], np.cumsum(np.diff(np.log(size[order])) > np.log(STEP))])
    keep = np.zeros(len(size), dtype=bool)
    least = np.inf
    for number in range(int(level[-1]) + 1):
        members = order[level == number]
        best = members[int(np.argmin(loss[members]))]
        if loss[best] < least:
            keep[best], least = True, float(loss[best])
    return keep


@cache
def _listed() -> dict[str, Any]:
    text = resources.files("forescale.judge").joinpath("candidates.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def varying(runs: Runs) -> tuple[str, ...]:
    """The columns that make runs larger: those of N, D and C that take at least two values.

    Raises:
        LawError: none of the three varies.
    """
    found = [name for name in ("N", "D", "C") if name in runs.columns and _varies(runs[name])]
    if {"N", "D"} <= set(found):
        return ("N", "D")
    if "C" in found and len(found) == 2 and {"N", "D"} <= set(derive(runs).columns):
        return ("N", "D")
    if found:
        return (found[0],)
    raise LawError(
        message(
            f"in {runs.source} neither N nor D nor C takes two values",
            "runs of several sizes",
            "name the column: columns={'N': 'my size'}, or write a law: law='E + A*x**-a'",
        )
    )


def _varies(values: Array) -> bool:
    finite = values[np.isfinite(values) & (values > 0)]
    return finite.size > 1 and float(finite.max()) > 1.01 * float(finite.min())


def candidates(inputs: Sequence[str], laws: Sequence[Law | str] | None = None) -> tuple[Candidate, ...]:
    """The candidates for a table in these inputs.

    Args:
        inputs: ("N", "D"), or one column.
        laws: only these laws; each with every loss and subset that the list gives to its own, or, for a law that is
            not listed, with its own loss on all rows.

    Raises:
        LawError: an unknown law, or one that reads other columns.
    """
    if laws is not None and len(laws) == 0:
        raise LawError(message("no law to choose from", "one law or more", "leave laws out for the list"))
    surface = len(inputs) > 1
    entries = _listed()["surface" if surface else "curve"]["cover"]
    if laws is None:
        wanted = [(_entered(entry, inputs), entry) for entry in entries]
    else:
        wanted = []
        for name in laws:
            law = _on(name, inputs)
            known = name if isinstance(name, str) else law.id
            own = [entry for entry in entries if entry["law"] == known]
            wanted += [(_entered(entry, inputs), entry) for entry in own]
            if not own:
                wanted.append((law, {"loss": [law.loss], "rows": ["all"]}))
    found = []
    for law, entry in wanted:
        for loss in entry["loss"]:
            found += [Candidate(law, loss, rows) for rows in entry["rows"] if surface or rows != "5-100"]
    return tuple(found)


def _entered(entry: Mapping[str, Any], inputs: Sequence[str]) -> Law:
    law = _on(entry["law"], inputs)
    return law.tie(**entry["tie"]) if "tie" in entry else law


def _on(value: Law | str, inputs: Sequence[str]) -> Law:
    law = as_law(value)
    if len(inputs) == 1 and len(law.inputs) == 1 and law.inputs[0] != inputs[0]:
        law = law.on(**{law.inputs[0]: inputs[0]})
    readable = {*inputs, "C"} if len(inputs) > 1 else set(inputs)
    if not set(law.inputs) <= readable:
        raise LawError(message(f"the law {law.id!r} reads {', '.join(law.inputs)}", f"a law in {', '.join(inputs)}"))
    return law

# SPDX-License-Identifier: Apache-2.0
"""Mixtures that are given: read from a table or from a field, and ranked by what the plan stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message
from forescale.planning._intervals import interval
from forescale.planning._mixtures import Judge
from forescale.planning._plan import Table
from forescale.runs.table import Runs

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mixture that was given."""

    name: str
    shares: Array


def shares_of(table: Runs, columns: Sequence[str]) -> Array:
    """(k, M) the shares in a table. Raises DataError where they are no weights of a mixture."""
    lacking = [c for c in columns if c not in table.columns]
    if lacking:
        raise DataError(message(f"{table.source} has no {lacking[0]}", "one column of weights for each domain"))
    weights = np.stack([table[c] for c in columns], axis=1)
    total = weights.sum(axis=1, keepdims=True)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (total > 0).all()):
        raise DataError(message("weights of a mixture below zero, or all zero", "weights >= 0, not all zero"))
    return np.asarray(weights / total)


def mixture(names: Sequence[str], given: Mapping[str, float]) -> Array:
    """(M,) the shares that a field names. Raises QueryError for names that are no domains."""
    for name in given:
        if name not in names:
            raise QueryError(message(f"given names {name!r}", "one of " + ", ".join(names)))
    weights = np.array([given.get(name, 0.0) for name in names])
    positive(weights)
    return np.asarray(weights / weights.sum())


def positive(weights: Array) -> None:
    """Refuse weights that are all zero."""
    if not weights.sum() > 0:
        raise QueryError(message("weights that are all zero", "one above zero at least"))


def ranked(
    table: Runs, columns: Sequence[str], judge: Judge, bounds: tuple[Array, Array], level: float
) -> tuple[Candidate, Table, float | None]:
    """The best of the mixtures given, those that are allowed by predicted loss, and per cent in which it is the best.

    Raises:
        DataError: no names or no weights.
        QueryError: none of them keeps to the bounds.
    """
    shares = shares_of(table, columns)
    if "mixture" not in table.labels:
        raise DataError(message("candidates without names", "a label column mixture"))
    allowed = np.asarray(((shares >= bounds[0] - 1e-6) & (shares <= bounds[1] + 1e-6)).all(axis=1))
    if not allowed.any():
        raise QueryError(
            message(
                f"none of the {len(table)} mixtures given keeps to the bounds of the shares",
                "one that does",
                "widen least, most or available, or leave out inside",
            )
        )
    shares = shares[allowed]
    names = [str(name) for name, ok in zip(table.labels["mixture"], allowed) if ok]
    losses = judge.loss(shares)
    first = int(np.argmin(losses[0]))
    drawn = losses[1:][np.isfinite(losses[1:]).all(axis=1)]
    wins = np.bincount(np.argmin(drawn, axis=1), minlength=len(names)) if len(drawn) else None
    rows = []
    for place, i in enumerate(np.argsort(losses[0], kind="stable"), start=1):
        ends = interval(losses[:, i], level) or (None, None)
        odds = None if wins is None else 100.0 * float(wins[i] / wins.sum())
        rows.append((float(place), names[i], float(losses[0, i]), *ends, odds))
    ranking = Table(
        "candidates",
        "The mixtures given, by predicted loss",
        (("place", "count"), ("mixture", ""), ("loss", "loss"), ("from", "loss"), ("to", "loss"), ("best in", "%")),
        tuple(rows),
        "" if allowed.all() else f"{int((~allowed).sum())} of those given lie outside of the bounds.",
    )
    odds = None if wins is None else 100.0 * float(wins[first] / wins.sum())
    return Candidate(names[first], shares[first]), ranking, odds

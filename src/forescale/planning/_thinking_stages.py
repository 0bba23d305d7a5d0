# SPDX-License-Identifier: Apache-2.0
"""Answers to items at several budgets of thinking tokens, by stage of training, with their slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message, nearest
from forescale.fitting.estimators.thinking_slopes import Slopes, slopes, sums
from forescale.numerics.resample import bootstrap_rows
from forescale.runs.samples import judged
from forescale.runs.table import Runs

Array = NDArray[np.float64]

DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage: its rows, x = log2 of the tokens, codes of the items in the shared list."""

    name: str
    x: Array
    right: Array
    items: NDArray[np.intp]
    found: Slopes

    @property
    def slope(self) -> Array:
        """(1 + B,) within items where they were asked at several lengths, else over all rows."""
        return self.found.within if np.isfinite(self.found.within[0]) else self.found.pooled


def read(table: Runs) -> Runs:
    judged(table, "correct")
    tokens = table["thinking_tokens"]
    bad = np.flatnonzero(~(np.isfinite(tokens) & (tokens > 0)))
    if bad.size:
        raise DataError(
            message(
                f"thinking_tokens is {tokens[bad[0]]:g} in row {bad[0] + 1} of {table.source} ({bad.size} rows)",
                "a positive number: for answers without thought count the tokens of the answer",
            )
        )
    return table


def stages(table: Runs, stage: str | None, against: str | None) -> tuple[str, ...]:
    """The stages that are fitted, the asked one first; one unnamed stage where the table has none."""
    known = list(dict.fromkeys(table.labels["stage"].tolist())) if "stage" in table.labels else []
    asked = {name: value for name, value in (("stage", stage), ("against", against)) if value is not None}
    for name, value in asked.items():
        if value not in known:
            hint = nearest(value, known) if known else ""
            raise QueryError(message(f"{name} = {value!r} is not in {table.source}", "a stage of the table", hint))
    if stage is not None and stage == against:
        raise QueryError(message(f"stage and against are both {stage!r}", "two stages"))
    if len(known) < 2:
        return tuple(known) or ("",)
    if len(known) == 2 and not asked:
        return known[1], known[0]
    if not asked:
        raise QueryError(message(f"{table.source} has {len(known)} stages", f"stage: {', '.join(known[:8])}"))
    first = stage if stage is not None else next(name for name in reversed(known) if name != against)
    if against is not None:
        return first, against
    return (first, next(name for name in known if name != first)) if len(known) == 2 else (first,)


def fitted(table: Runs, names: tuple[str, ...]) -> list[Stage]:
    """The stages with their slopes, two stages on the items that both have and on the same resamples of them."""
    labels = table.labels["stage"] if "stage" in table.labels else np.full(len(table), "")
    rows = [labels == name for name in names] if names != ("",) else [np.ones(len(table), dtype=bool)]
    sets = [set(table.labels["problem"][chosen].tolist()) for chosen in rows]
    shared = sorted(set.intersection(*sets))
    if not shared:
        raise QueryError(message(f"stage and against have no item in common in {table.source}", "the same items"))
    place = {name: i for i, name in enumerate(shared)}
    x = log_tokens(table)
    weights = np.concatenate([np.ones((1, len(shared))), bootstrap_rows(len(shared), DRAWS, 0)])
    fits = []
    for name, chosen in zip(names, rows):
        kept = chosen & np.isin(table.labels["problem"], shared)
        items = np.array([place[p] for p in table.labels["problem"][kept].tolist()], dtype=np.intp)
        found = slopes(sums(x[kept], table["correct"][kept], items, len(shared)), weights)
        fits.append(Stage(name, x[kept], table["correct"][kept], items, found))
    return fits


def log_tokens(table: Runs) -> Array:
    """log2 of the tokens; with a `token_budget`, of their mean at each: spent tokens follow difficulty."""
    tokens = table["thinking_tokens"]
    if "token_budget" not in table.columns:
        return np.asarray(np.log2(tokens))
    _, place = np.unique(table["token_budget"], return_inverse=True)
    mean = np.bincount(place, tokens) / np.bincount(place)
    return np.asarray(np.log2(mean[place]))

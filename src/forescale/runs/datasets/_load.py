# SPDX-License-Identifier: Apache-2.0
"""From a name to `Runs`: find the card, fetch and check its files, read them, state what they mean."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, InputError, InternalError, message, nearest
from forescale.runs.datasets._cards import Card, card, find
from forescale.runs.datasets._fetch import fetch
from forescale.runs.derive import derive
from forescale.runs.readers._open import to_runs
from forescale.runs.readers._reader import Raw
from forescale.runs.table import Runs


@dataclass(frozen=True)
class Source:
    """How the files of a card become columns.

    Attributes:
        read: (function that gives the path of a file, options of the variant) -> Raw.
        settle: states conventions that are known only after rows were chosen.
    """

    read: Callable[[Callable[[str], Path], Mapping[str, Any]], Raw]
    settle: Callable[[Runs], Runs]


def source(name: str) -> Source:
    """The reader that a card names: the module `_read_NAME` beside this file, with `read` and, at need, `settle`."""
    where = f"forescale.runs.datasets._read_{name}"
    try:
        module = importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise InternalError(message(f"a card names the reader {name!r}", f"a module {where}")) from error
    return Source(module.read, getattr(module, "settle", _as_it_is))


def _as_it_is(runs: Runs) -> Runs:
    return runs


def dataset(name: str, *, on_bad: Literal["error", "drop"] = "error", **filters: Any) -> Runs:
    """A public data set.

    Args:
        name: id of a card, or one of its variants (`forescale.runs.datasets.names()`).
        on_bad: as in `forescale.load`.
        filters: column = value (or a list of values): only these rows, e.g. `dataset="rpj"`. Options of the data
            set's own reader (e.g. `eval="c4"` of gadre_overtraining) are given in the same way.

    Returns:
        Runs with the data set's licence and citation in its notes.

    Raises:
        InputError: no such data set, or a filter that matches nothing.
        ReadError, DependencyError: see `_fetch.fetch`.
    """
    made = card(name)
    found = find(name)
    variant = found[1] if found is not None else made.default
    known = _own_options(made)
    options = {**variant.options, **{k: v for k, v in filters.items() if k in known}}
    rest = {**variant.filters, **{k: v for k, v in filters.items() if k not in known}}
    files = source(made.source)
    raw = files.read(lambda file: fetch(made, file), options)
    runs = to_runs(
        raw,
        name,
        conventions=variant.conventions,
        on_bad=on_bad,
        dataset=made.id,
        citations=made.citations,
        licence=made.licence,
    )
    for column, value in rest.items():
        runs = _filtered(runs, column, value)
    runs = derive(files.settle(runs))
    origin = made.repository + (f" at commit {made.commit[:10]}" if made.commit else "")
    cited = "; ".join(made.citations)
    return runs.with_note("info", "dataset", f"{made.title} ({origin}). Licence: {made.licence}. Cite: {cited}.")


def _own_options(made: Card) -> frozenset[str]:
    """Options that the user may set: those that some variant of the card sets."""
    return frozenset(
        k for v in made.variants.values() for k in v.options if k not in ("file", "files", "columns", "keep")
    )


def _filtered(runs: Runs, column: str, value: Any) -> Runs:
    if column not in runs:
        known = [*runs.labels, *runs.columns]
        raise ColumnError(
            message(f"{runs.source} has no column {column!r} to choose rows by", hint=nearest(column, known))
        )
    wanted = list(value) if isinstance(value, (list, tuple, set, frozenset, np.ndarray)) else [value]
    mask: NDArray[np.bool_]
    if column in runs.labels:
        mask = np.isin(runs.labels[column], [str(v) for v in wanted])
    else:
        mask = np.isin(runs[column], [float(v) for v in wanted])
    if not bool(mask.any()):
        names = runs.group_codes(column)[1]
        raise InputError(
            message(
                f"no row of {runs.source} has {column} = {value!r}",
                "one of " + ", ".join(names[:12]) + (", ..." if len(names) > 12 else ""),
            )
        )
    return runs.where(mask)

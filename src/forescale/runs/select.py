# SPDX-License-Identifier: Apache-2.0
"""Rows by conditions as people type them: `C<1e21`, `N>=1B`, `dataset=c4`, `seed!=0`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, QuantityError, QueryError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.quantity import parse_number
from forescale.runs.table import Runs

_CONDITION = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign><=|>=|!=|==|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = Frozen(
    {
        "<=": operator.le,
        ">=": operator.ge,
        "!=": operator.ne,
        "==": operator.eq,
        "=": operator.eq,
        "<": operator.lt,
        ">": operator.gt,
    }
)


def select(runs: Runs, conditions: Sequence[str]) -> Runs:
    """The rows for which every condition holds, with a note of what was chosen.

    Args:
        runs: the table.
        conditions: `COLUMN SIGN VALUE` with a sign of = != < <= > >=. Text columns know = and !=, and several values
            separated by `|`. Rows where a number is missing meet no condition on it but `!=`.

    Raises:
        QueryError: no such form, or no row is left.
        ColumnError: no such column.
    """
    if not conditions:
        return runs
    mask = np.ones(len(runs), dtype=bool)
    for condition in conditions:
        mask &= _holds(runs, condition)
        if not mask.any():
            raise QueryError(
                message(f"no row of {runs.source} is left after {condition!r}", "a condition that some row meets")
            )
    chosen = runs.where(mask)
    return chosen.with_note(
        "info", "rows-chosen", f"{len(chosen)} of {len(runs)} rows were chosen by {' and '.join(conditions)}."
    )


def matches(runs: Runs, conditions: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) which rows meet every condition; there may be none.

    Raises:
        QueryError, ColumnError: as in `select`.
    """
    mask = np.ones(len(runs), dtype=bool)
    for condition in conditions:
        mask &= _holds(runs, condition)
    return mask


def _holds(runs: Runs, condition: str) -> NDArray[np.bool_]:
    found = _CONDITION.fullmatch(condition)
    if found is None or not found["value"]:
        raise QueryError(
            message(
                f"the condition {condition[:60]!r}", "COLUMN SIGN VALUE with a sign of = != < <= > >=", '"C<1e21"'
            )
        )
    name, sign, value = found["name"], found["sign"], found["value"]
    if name in runs.labels:
        if sign not in ("=", "==", "!="):
            raise QueryError(message(f"{condition!r} orders text", f"= or != for the text column {name!r}"))
        wanted = [part.strip().strip("\"'") for part in value.split("|")]
        same: NDArray[np.bool_] = np.isin(runs.labels[name], wanted)
        return same if sign != "!=" else ~same
    if name not in runs.columns:
        known = [*runs.columns, *runs.labels]
        raise ColumnError(message(f"{runs.source} has no column {name!r}", hint=nearest(name, known)))
    try:
        number = -parse_number(value[1:]) if value.startswith("-") else parse_number(value)
    except QuantityError as error:
        raise QueryError(message(f"{condition!r}: {error}", f"a number for the column {name!r}")) from error
    held: NDArray[np.bool_] = _SIGNS[sign](runs[name], number)
    return held

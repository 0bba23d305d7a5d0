# SPDX-License-Identifier: Apache-2.0
"""Tables that are already in memory: frames, dicts of columns, lists of dicts, structured arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forescale.core.errors import InputError, message
from forescale.runs.readers._reader import Raw


def from_object(source: object) -> tuple[Raw, str]:
    """Columns of an in-memory table, and what to call it. Nothing is changed in it.

    Raises:
        InputError: no table.
    """
    if isinstance(source, Mapping):
        return Raw(columns={str(k): v for k, v in source.items()}), "dict"
    if isinstance(source, np.ndarray) and source.dtype.names:
        return Raw(columns={name: source[name] for name in source.dtype.names}), "structured array"
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        if source and all(isinstance(row, Mapping) for row in source):
            names = list(dict.fromkeys(str(k) for row in source for k in row))
            return Raw(columns={name: [row.get(name) for row in source] for name in names}), "list of dicts"
    elif type(source).__module__.split(".")[0] not in ("builtins", "numpy"):
        frame = _frame(source)
        if frame is not None:
            return frame, "DataFrame"
    raise InputError(
        message(
            f"a value of the type {type(source).__name__} is no table of runs",
            "a path, a data-set name, a DataFrame, a dict of columns or a list of dicts",
        )
    )


def _frame(source: object) -> Raw | None:
    import narwhals as nw

    native: Any = nw.from_native(source, pass_through=True)
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    if not isinstance(native, nw.DataFrame):
        return None
    columns: dict[str, Any] = {}
    for name in native.columns:
        column = native[name]
        if column.dtype.is_numeric() and not column.dtype.is_decimal():
            columns[str(name)] = column.cast(nw.Float64()).to_numpy()
        else:
            columns[str(name)] = column.to_list()
    return Raw(columns=columns)

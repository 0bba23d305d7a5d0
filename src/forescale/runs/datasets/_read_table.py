# SPDX-License-Identifier: Apache-2.0
"""Data sets that are one delimited file: a column map, and at most a rule for known outliers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw
from forescale.runs.table import Note


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """Read `file`; map `columns` (canonical -> foreign); keep the columns `keep`; apply the variant's rules.

    Options: `constant` (name -> value of a column that the file leaves out), `product` (name -> [column, factor]),
    `drop_highest_loss` (how many), `without_empty` (a column whose empty cells leave the row out).
    """
    raw = read_delimited(fetch(options["file"]))
    mapping = dict(options["columns"])
    columns: dict[str, Any] = {name: raw.columns[name] for name in [*mapping.values(), *options.get("keep", ())]}
    n = len(next(iter(columns.values())))
    for name, (factor_of, factor) in options.get("product", {}).items():
        columns[name] = raw.columns[factor_of] * factor
    for name, value in options.get("constant", {}).items():
        columns[name] = np.full(n, float(value))
    kept = np.ones(n, dtype=bool)
    notes: list[Note] = []
    outliers = int(options.get("drop_highest_loss", 0))
    if outliers:
        kept[np.argsort(columns[mapping["loss"]], kind="stable")[-outliers:]] = False
        notes.append(
            Note("info", "outliers-dropped", f"the {outliers} rows of highest loss are left out of this variant.")
        )
    empty = options.get("without_empty")
    if empty is not None:
        gaps = np.isnan(np.asarray(columns[empty], dtype=np.float64))
        kept &= ~gaps
        if gaps.any():
            notes.append(
                Note("amber", "diverged-dropped", f"{int(gaps.sum())} runs without a final {empty} are left out.")
            )
    if not kept.all():
        columns = {k: Coded(v.codes[kept], v.names) if isinstance(v, Coded) else v[kept] for k, v in columns.items()}
    return Raw(columns=columns, mapping=mapping, notes=tuple(notes))

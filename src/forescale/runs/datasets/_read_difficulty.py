# SPDX-License-Identifier: Apache-2.0
"""Wu & Lo (2024): Brier scores of public models in ten groups of questions of one task, sorted by difficulty."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import InputError, ReadError, message, nearest
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw
from forescale.runs.table import Note

_GROUP = re.compile(r"(\d+)_\d+_brier")


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model: C = training compute, `family`, `accuracy`, `score` = minus the Brier score of all
    questions, and `score_1` ... `score_10` = the same of each group, from the easiest questions to the hardest.

    Models without known compute or without scores are left out.

    Options: `task`; `files`: task -> file.

    Raises:
        InputError: an unknown task.
        ReadError: a table without ten groups.
    """
    files, task = options["files"], options["task"]
    if task not in files:
        raise InputError(message(f"there is no task {task!r}", "", nearest(task, files)))
    path = fetch(files[task])
    table = read_delimited(path).columns
    groups = sorted((int(m[1]), name) for name in table if (m := _GROUP.fullmatch(name)))
    if len(groups) != 10 or not isinstance(table.get("Model"), Coded):
        raise ReadError(message(f"{path.name} has {len(groups)} groups of questions", "ten, and names of models"))
    if lacking := {"Model Family", "FLOPs (1E21)", "acc", "brier"} - set(table):
        raise ReadError(message(f"{path.name} lacks the columns {sorted(lacking)}", "a CSV file of ExpEmergence"))
    flops = table["FLOPs (1E21)"]
    kept = np.flatnonzero(np.isfinite(flops) & np.isfinite(table[groups[0][1]]))
    columns: dict[str, Any] = {
        name: [table[source].names[c] for c in table[source].codes[kept].tolist()]
        for name, source in (("model", "Model"), ("family", "Model Family"))
    }
    columns["C"] = 1e21 * flops[kept]
    columns["accuracy"] = table["acc"][kept]
    columns["score"] = -table["brier"][kept]
    for i, (_, name) in enumerate(groups, start=1):
        columns[f"score_{i}"] = -table[name][kept]
    left = flops.size - kept.size
    note = Note("info", "models-left-out", f"{left} models without compute or without scores are left out.")
    return Raw(columns=columns, mapping={name: name for name in columns}, notes=(note,) if left else ())

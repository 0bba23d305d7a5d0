# SPDX-License-Identifier: Apache-2.0
"""Lin et al. (2024): test loss of thirty models after fine-tuning on sets of 200 to 1,638,400 examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model, task and size: D = examples, N = parameters, `loss_before` = loss without fine-tuning.

    Raises:
        ReadError: a table without model names, or without sizes as headings.
    """
    parts: dict[str, list[Any]] = {name: [] for name in ("D", "loss", "loss_before", "N", "model", "family", "task")}
    for file in options["files"]:
        path = fetch(file)
        table = read_delimited(path).columns
        sizes = [name for name in table if name.isdigit() and name != "0"]
        model, family = table.get("config name"), table.get("family")
        if not (isinstance(model, Coded) and isinstance(family, Coded) and sizes and "0" in table):
            raise ReadError(message(f"{path.name} has other columns", "config name, 0, 200, ..., size, family"))
        for i in range(len(model.codes)):
            for size in sizes:
                parts["D"].append(float(size))
                parts["loss"].append(float(table[size][i]))
                parts["loss_before"].append(float(table["0"][i]))
                parts["N"].append(float(table["size"][i]))
                parts["model"].append(model.names[model.codes[i]])
                parts["family"].append(family.names[family.codes[i]])
                parts["task"].append(path.stem)
    columns: dict[str, Any] = {
        name: values if isinstance(values[0], str) else np.array(values, dtype=np.float64)
        for name, values in parts.items()
    }
    columns["run"] = [f"{task}/{model}" for task, model in zip(parts["task"], parts["model"])]
    return Raw(columns=columns, mapping={name: name for name in columns})

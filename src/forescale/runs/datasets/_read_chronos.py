# SPDX-License-Identifier: Apache-2.0
"""Ansari et al. (2024): forecasting errors of Chronos models of several sizes on 42 data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

BENCHMARKS = ("in-domain", "zero-shot")
NAIVE = "seasonal-naive"


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model and data set; loss = its error, `relative` = that over the seasonal naive forecast's.

    Options: `metric`: "WQL" (weighted quantile loss) or "MASE"; `sizes`: model -> parameters.

    Raises:
        ReadError: a table without its columns, or a data set that the naive forecast lacks.
    """
    metric = str(options["metric"])
    parts: dict[str, list[Any]] = {
        name: [] for name in ("N", "loss", "naive", "relative", "model", "family", "benchmark", "task")
    }
    for benchmark in BENCHMARKS:
        naive = _table(fetch(f"{NAIVE}-{benchmark}.csv"), metric)
        for model, size in options["sizes"].items():
            scores = _table(fetch(f"{model}-{benchmark}.csv"), metric)
            for task, value in scores.items():
                if task not in naive:
                    raise ReadError(message(f"{NAIVE} has no {benchmark} result for {task}", "one per data set"))
                row = (
                    float(size),
                    value,
                    naive[task],
                    value / naive[task],
                    model,
                    model.rpartition("-")[0],
                    benchmark,
                    task,
                )
                for name, cell in zip(parts, row):
                    parts[name].append(cell)
    columns: dict[str, Any] = {
        name: values if isinstance(values[0], str) else np.array(values, dtype=np.float64)
        for name, values in parts.items()
    }
    columns["run"] = parts["model"]
    return Raw(columns=columns, mapping={name: name for name in columns})


def _table(path: Path, metric: str) -> dict[str, float]:
    columns = read_delimited(path).columns
    names, values = columns.get("dataset"), columns.get(metric)
    if not isinstance(names, Coded) or values is None or isinstance(values, Coded):
        raise ReadError(message(f"{path.name} has other columns", f"dataset, model, {metric}"))
    return {names.names[code]: float(value) for code, value in zip(names.codes.tolist(), values)}

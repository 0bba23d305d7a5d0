# SPDX-License-Identifier: Apache-2.0
"""Tables of quantised models from three READMEs: perplexity against bits, with what quantising added."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

FULL = 16.0
"""Bits of what was not quantised."""

_BILLIONS = re.compile(r"-(\d+(?:\.\d+)?)[bB](?:-|$)")


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model and bit width: N, bits, loss = log perplexity on WikiText-2, degradation against 16 bits.

    `table` = "qat" (ParetoQ: trained in few bits) or "ptq" (EfficientQAT: quantised after training; rows without
    bits, those of AQLM, are left out: their bits are no column).

    Raises:
        ReadError: a column is missing, or a model without its 16-bit row or its size.
    """
    path = fetch(options["file"])
    table = read_delimited(path).columns
    qat = options["table"] == "qat"
    names = ("size", "params_nominal", "weight_bits", "wikitext_ppl", "avg") if qat else (
        "model", "method", "weight_bits", "group_size", "wikitext2_ppl"
    )  # fmt: skip
    lacking = [name for name in names if name not in table]
    if lacking:
        raise ReadError(message(f"{path.name} lacks {', '.join(lacking)}", "the tables of the three READMEs"))
    bits = np.asarray(table["weight_bits"], dtype=np.float64)
    loss = np.log(np.asarray(table[names[3] if qat else names[4]], dtype=np.float64))
    model = _texts(table[names[0]])
    rows = np.flatnonzero(np.isfinite(bits))
    before = {model[i]: loss[i] for i in rows if bits[i] == FULL}
    orphans = sorted({model[i] for i in rows} - set(before))
    if orphans:
        raise ReadError(message(f"{path.name} has no row of 16 bits for {orphans[0]}", "one for each model"))
    columns: dict[str, Any] = {
        "bits": bits[rows],
        "loss": loss[rows],
        "loss_before": np.array([before[model[i]] for i in rows]),
        "model": [model[i] for i in rows],
    }
    columns["degradation"] = columns["loss"] - columns["loss_before"]
    if qat:
        columns["N"] = np.asarray(table["params_nominal"], dtype=np.float64)[rows]
        columns["error"] = 1.0 - np.asarray(table["avg"], dtype=np.float64)[rows] / 100.0
    else:
        columns["N"] = np.array([_size(model[i], path) for i in rows])
        columns["group_size"] = np.nan_to_num(np.asarray(table["group_size"], dtype=np.float64)[rows])
    return Raw(columns=columns, mapping={name: name for name in columns})


def _texts(column: Any) -> list[str]:
    return [column.names[code] for code in column.codes] if isinstance(column, Coded) else [str(v) for v in column]


def _size(model: str, path: Path) -> float:
    found = _BILLIONS.search(model)
    if found is None:
        return LARGE[model] if model in LARGE else _unknown(model, path)
    return float(found[1]) * 1e9


LARGE = {"Mistral-Large-Instruct-2407": 123e9}
"""Sizes that a name does not tell."""


def _unknown(model: str, path: Path) -> float:
    raise ReadError(message(f"{path.name} names the model {model!r}", "a name with its size, such as Llama-2-7B"))

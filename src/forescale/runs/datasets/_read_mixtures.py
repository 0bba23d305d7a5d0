# SPDX-License-Identifier: Apache-2.0
"""Losses of language models on mixtures of seven domains, by size and tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """N, D, the weights `weight_<domain>`, one `loss_<domain>` each; `mixture` names equal weights, `run` a model.

    Options: `eval`: the domain whose loss is `loss`.

    Raises:
        ReadError: no such table.
    """
    path = fetch(options["file"])
    table = read_delimited(path).columns
    weights = [name for name in table if name.startswith("weight_")]
    losses = {name.removesuffix("_loss"): name for name in table if name.endswith("_loss")}
    if not weights or options["eval"] not in losses or not {"model_size", "n_tokens"} <= set(table):
        raise ReadError(message(f"{path.name} has other columns", "weight_*, model_size, n_tokens, *_loss"))
    number = {name: np.asarray(table[name], dtype=np.float64) for name in (*weights, *losses.values())}
    N, D = (np.asarray(table[name], dtype=np.float64) for name in ("model_size", "n_tokens"))
    mixture = ["/".join(f"{value:.4f}" for value in row) for row in zip(*(number[name].tolist() for name in weights))]
    columns: dict[str, Any] = {
        "N": N,
        "D": D,
        "loss": number[losses[options["eval"]]],
        **{name: number[name] for name in weights},
        **{f"loss_{domain}": number[name] for domain, name in losses.items()},
        "mixture": mixture,
        "run": [f"{mix}/{size:g}" for mix, size in zip(mixture, N.tolist())],
    }
    return Raw(columns=columns, mapping={name: name for name in columns})

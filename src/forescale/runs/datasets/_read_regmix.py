# SPDX-License-Identifier: Apache-2.0
"""Liu et al. (2024): small models on random mixtures of 17 domains of the Pile, and their losses on 13 of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

WEIGHT = "train_the_pile_"
LOSS = ("metric/the_pile_", "_val_loss")


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """The weights `weight_<domain>`, one `loss_<domain>` each, N; `run` names the size and the index of the mixture.

    Options: `mixtures`, `losses`: the two files, row by row of one index; `size`: (label, parameters); `eval`: the
    domain whose loss is `loss`.

    Raises:
        ReadError: no such tables, or tables of different rows.
    """
    mixtures, losses = (read_delimited(fetch(options[name])).columns for name in ("mixtures", "losses"))
    weights = {name.removeprefix(WEIGHT): name for name in mixtures if name.startswith(WEIGHT)}
    measured = {n.removeprefix(LOSS[0]).removesuffix(LOSS[1]): n for n in losses if n.startswith(LOSS[0])}
    if not weights or options["eval"] not in measured or "index" not in mixtures or "index" not in losses:
        seen = f"{options['mixtures']} and {options['losses']} have other columns"
        raise ReadError(message(seen, f"index, {WEIGHT}*; index, {LOSS[0]}*{LOSS[1]}"))
    index, other = (np.asarray(table["index"], dtype=np.float64) for table in (mixtures, losses))
    if not np.array_equal(index, other):
        seen = f"{options['mixtures']} and {options['losses']} hold other rows"
        raise ReadError(message(seen, "one index for both"))
    label, size = options["size"]
    columns: dict[str, Any] = {
        "N": np.full(index.size, float(size)),
        "loss": np.asarray(losses[measured[options["eval"]]], dtype=np.float64),
        **{f"weight_{domain}": np.asarray(mixtures[name], dtype=np.float64) for domain, name in weights.items()},
        **{f"loss_{domain}": np.asarray(losses[name], dtype=np.float64) for domain, name in measured.items()},
        "mixture": [f"#{i:g}" for i in index.tolist()],
        "run": [f"{label}#{i:g}" for i in index.tolist()],
    }
    return Raw(columns=columns, mapping={name: name for name in columns})

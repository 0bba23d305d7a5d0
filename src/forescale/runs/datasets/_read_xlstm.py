# SPDX-License-Identifier: Apache-2.0
"""Beck et al. (2025): IsoFLOP sweeps of Llama and xLSTM at several context lengths."""

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
    """N = parameters as logged, D = tokens, loss = last validation loss, `arm` = llama or xlstm.

    Runs that stopped before their planned last step, and restarts of the same run, are left out with a note.
    """
    source = read_delimited(fetch(options["file"])).columns
    done = np.isfinite(source["val_loss"]) & (source["val_step"] == source["planned_steps"])
    names, files, tags = (_texts(source[name]) for name in ("name", "file", "run_tag"))
    latest = {name: i for i, name in enumerate(names) if done[i]}
    kept = np.array(sorted(latest.values()), dtype=np.intp)
    columns: dict[str, Any] = {
        "run": [names[i] for i in kept],
        "arm": ["xlstm" if "mlstm" in files[i] else "llama" for i in kept],
        "sweep": [tags[i] for i in kept],
        "N": source["params"][kept],
        "D": (source["global_batch_seqs"] * source["ctx_len"] * source["planned_steps"])[kept],
        "context": source["ctx_len"][kept],
        "lr_peak": source["peak_lr"][kept],
        "loss": source["val_loss"][kept],
        "train_loss": source["last_train_loss"][kept],
    }
    columns["C"] = 6.0 * columns["N"] * columns["D"]
    left = len(names) - kept.size
    note = Note(
        "info", "unfinished", f"{left} rows of {len(names)} are unfinished runs or restarts and are left out."
    )
    return Raw(columns=columns, mapping={name: name for name in columns}, notes=(note,))


def _texts(column: Any) -> list[str]:
    return [column.names[code] for code in column.codes.tolist()] if isinstance(column, Coded) else list(column)

# SPDX-License-Identifier: Apache-2.0
"""The Marin speedrun board: one JSON file per submitted run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._json import parse_json, whole_text
from forescale.runs.readers._reader import Raw

_OPTIMIZERS = {
    "adamc_llama_scaling": "adamc", "adamw_llama_scaling": "adamw", "c-adamc_llama_scaling": "cautious-adamc",
    "cautious_llama_scaling": "cautious", "muon_llama_scaling": "muon", "muon_qwen3_scaling": "muon",
    "hackable_transformer_starter": "muon", "llama_75m_adamax": "adamax",
}  # fmt: skip


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """N = all parameters, D = tokens, C = the model's FLOP as reported, loss = bits per byte on C4 (Paloma).

    `submission` is the top folder, `optimizer` what it is known to have used ("unstated" else), `size` the name of
    the size. Names of people and links are not carried.

    Raises:
        ReadError: a file without one of these numbers.
    """
    rows = [_row(fetch(name), name) for name in options["files"]]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("N", "D", "C", "C_hardware", "loss", "wall_seconds", "batch_sequences", "steps", "context"):
        columns[name] = np.array(columns[name], dtype=np.float64)
    return Raw(columns=columns, mapping={name: name for name in columns})


def _row(path: Path, name: str) -> dict[str, Any]:
    value = parse_json(whole_text(path, "utf-8"), path, "it")
    try:
        info = value["runs"][0]["run_info"]
        folder = name.removesuffix("/speedrun_results.json")
        top = folder.partition("/")[0]
        return {
            "run": folder,
            "submission": top,
            "optimizer": _OPTIMIZERS.get(top, "unstated"),
            "size": folder.rpartition("/")[2].replace(".", "_"),
            "N": info["model_size"],
            "D": info["total_tokens"],
            "C": info["model_flops"],
            "C_hardware": info["training_hardware_flops"],
            "loss": info["eval/paloma/c4_en/bpb"],
            "wall_seconds": info["training_time"],
            "batch_sequences": info["train_config"]["train_batch_size"],
            "steps": info["train_config"]["num_train_steps"],
            "context": info["model_config"]["seq_len"],
        }
    except (KeyError, IndexError, TypeError) as error:
        raise ReadError(message(f"{name} lacks {error!r}", "a result of the Marin speedrun")) from error

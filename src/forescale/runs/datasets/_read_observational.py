# SPDX-License-Identifier: Apache-2.0
"""Ruan et al. (2024): benchmark scores of public base models, and their scores on tasks said to be emergent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import InputError, ReadError, message, nearest
from forescale.runs._coded import Coded
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

BENCHMARKS = {
    "MMLU": "MMLU", "ARC_C": "ARC-C", "HellaSwag": "HellaSwag", "Winograd": "Winograd", "TruthfulQA": "TruthfulQA",
    "GSM8K": "GSM8K", "XWinograd": "XWinograd", "HumanEval": "HumanEval",
}  # fmt: skip

TASKS = {
    "word_unscrambling": ("word_unscrambling_2_exact_match", 1.0),
    "parsinlu_qa": ("parsinlu_qa_2_acc", 1.0),
    "ipa_transliterate": ("ipa_transliterate_2_bleu", 0.01),
    "subtraction_3": ("arithmetic_3ds_2_acc", 1.0),
    "addition_3": ("arithmetic_3da_2_acc", 1.0),
    "multiplication_2": ("arithmetic_2dm_2_acc", 1.0),
    "addition_2": ("arithmetic_2da_2_acc", 1.0),
}
"""Task -> its column, and the factor to a score between 0 and 1. The digit counts the digits of the numbers."""

_PAPER = frozenset(
    [
        "Llama-2", "Llama", "Llama-3", "Qwen1.5", "Qwen", "Mistral", "Mixtral", "Yi", "Gemma", "Falcon", "Phi",
        "Pythia", "BLOOM", "GPT-Neo/J", "OPT", "MPT", "XGLM", "CodeLlama", "StarCoder", "StarCoder2",
        "DeepSeek-Coder",
    ]
)  # fmt: skip
_LATER = ("Qwen1.5-110B", "Mistral-Nemo-Base-2407", "Mixtral-8x22B-v0.1")


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model: benchmark scores, `family`, `exaflops` = training compute in 1e18 FLOP, `in_paper`.

    The compute is not called C, because it is unknown for some models. `in_paper` is 1 for the 77 models of 21
    families of the paper's analysis.

    Options: `task`: one of `TASKS`; the column `score` is added, and only models with that score are kept.

    Raises:
        InputError: an unknown task.
        ReadError: a table without the expected columns.
    """
    try:
        return _models(fetch, options)
    except KeyError as error:
        raise ReadError(message(f"a table lacks the column {error}", "a CSV file of ObsScaling")) from error


def _models(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    table = read_delimited(fetch(options["file"])).columns
    models, families = _texts(table["Model"]), _texts(table["Model Family"])
    columns: dict[str, Any] = {
        "model": models,
        "family": families,
        "exaflops": 1e3 * table["FLOPs (1E21)"],
        "in_paper": np.array(
            [float(f in _PAPER and m.rpartition("/")[2] not in _LATER) for m, f in zip(models, families)]
        ),
        **{name: table[column] for name, column in BENCHMARKS.items()},
    }
    task = options.get("task")
    if task is not None:
        if task not in TASKS:
            raise InputError(message(f"there is no task {task!r}", "", nearest(task, TASKS)))
        column, factor = TASKS[task]
        other = read_delimited(fetch(options["scores"])).columns
        known = dict(zip(_texts(other["Model"]), (factor * other[column]).tolist()))
        score = np.array([known.get(name, np.nan) for name in models])
        kept = np.flatnonzero(np.isfinite(score))
        columns = {name: [v[i] for i in kept] if isinstance(v, list) else v[kept] for name, v in columns.items()}
        columns["score"] = score[kept]
    return Raw(columns=columns, mapping={name: name for name in columns})


def _texts(column: Any) -> list[str]:
    if not isinstance(column, Coded):
        raise ReadError(message("a column of names holds numbers", "names of models and families"))
    return [column.names[code] for code in column.codes.tolist()]

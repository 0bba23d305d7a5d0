# SPDX-License-Identifier: Apache-2.0
"""Bhagia et al. (2024), OLMo's ladder: one table per run, evaluated along training; the last rows, or all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import InputError, ReadError, message, nearest
from forescale.runs.readers._delimited import read_delimited
from forescale.runs.readers._reader import Raw

SIZES = {"190M": 190354176.0, "370M": 371262464.0, "760M": 758220288.0, "1B": 1279395840.0, "3B": 3.16954e9}
"""Parameters: the authors' configuration; 3B by the differences of its tokens, to five digits."""

TASKS = {
    "mmlu": {
        "mmlu_stem_test": 0.215,
        "mmlu_humanities_test": 0.335,
        "mmlu_social_sciences_test": 0.219,
        "mmlu_other_test": 0.231,
    },
    "hellaswag": {"hellaswag_val": 1.0},
    "arc_challenge": {"arc_challenge_test": 1.0},
    "arc_easy": {"arc_easy_test": 1.0},
    "piqa": {"piqa_val": 1.0},
    "csqa": {"csqa_val": 1.0},
    "socialiqa": {"socialiqa_val": 1.0},
    "openbookqa": {"openbookqa_test": 1.0},
}
"""Task -> parts of it in the logs, with their weights: MMLU's groups by number of questions."""

_NAME = re.compile(r"(?P<size>\d+[MB])-(?P<factor>[\d.]+)xC")
_LOSS = re.compile(r"eval/(?P<text>[\w-]+?)(-validation)?/CrossEntropyLoss")


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per run: N, D = tokens seen, `multiplier` = D / (20 N) as planned, and one `loss_<text>` per text.

    With `checkpoints` one row per evaluation along training instead, for one task: `loss` in bits per byte of the
    right answer, `score` = accuracy (normalised by length), D = tokens seen so far.

    Options: `eval`: the text whose loss is `loss`. `checkpoints`: true. `task`: one of `TASKS`.

    Raises:
        InputError: an unknown task.
        ReadError: a table without the columns of the authors' logs.
    """
    if options.get("checkpoints"):
        return _checkpoints(fetch, options["files"], options["task"])
    rows = []
    for file in options["files"]:
        path = fetch(file)
        table = read_delimited(path).columns
        found = _NAME.search(path.stem)
        losses = {m["text"]: name for name in table if (m := _LOSS.fullmatch(name))}
        if found is None or "throughput/total_tokens" not in table or options["eval"] not in losses:
            raise ReadError(message(f"{path.name} is no log of a ladder run", "a CSV file of OLMo-ladder"))
        last = int(np.argmax(np.asarray(table["throughput/total_tokens"], dtype=np.float64)))
        rows.append(
            {
                "run": path.stem.removesuffix("-rerun"),
                "N": SIZES[found["size"]],
                "D": float(table["throughput/total_tokens"][last]),
                "multiplier": float(found["factor"]),
                **{f"loss_{text}": float(table[name][last]) for text, name in losses.items()},
            }
        )
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in columns:
        if name != "run":
            columns[name] = np.array(columns[name], dtype=np.float64)
    columns["loss"] = columns[f"loss_{options['eval']}"]
    return Raw(columns=columns, mapping={name: name for name in columns})


def _checkpoints(fetch: Callable[[str], Path], files: Sequence[str], task: str) -> Raw:
    if task not in TASKS:
        raise InputError(message(f"there is no task {task!r} in the ladder", "", nearest(task, TASKS)))
    names: list[str] = []
    parts: dict[str, list[Any]] = {name: [] for name in ("N", "D", "step", "multiplier", "loss", "score")}
    for file in files:
        path = fetch(file)
        table = read_delimited(path).columns
        found = _NAME.search(path.stem)
        try:
            if found is None:
                raise KeyError("a size and a length in the file's name")
            tokens = np.asarray(table["throughput/total_tokens"], dtype=np.float64)
            loss, score = (
                sum(w * np.asarray(table[pattern.format(part)]) for part, w in TASKS[task].items())
                for pattern in (
                    "eval/downstream_bpb/{}_rc_5shot_bpb",
                    "eval/downstream/{}_rc_5shot_len_norm",
                )
            )
            steps = np.asarray(table["_step"], dtype=np.float64)
        except KeyError as error:
            raise ReadError(message(f"{path.name} lacks {error}", "a CSV file of OLMo-ladder")) from error
        n = tokens.size
        names += [path.stem.removesuffix("-rerun")] * n
        parts["N"].append(np.full(n, SIZES[found["size"]]))
        parts["multiplier"].append(np.full(n, float(found["factor"])))
        for name, values in (("D", tokens), ("step", steps), ("loss", loss), ("score", score)):
            parts[name].append(values)
    columns: dict[str, Any] = {"run": names, **{name: np.concatenate(part) for name, part in parts.items()}}
    return Raw(columns=columns, mapping={name: name for name in columns})

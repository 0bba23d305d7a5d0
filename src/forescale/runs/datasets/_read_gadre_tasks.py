# SPDX-License-Identifier: Apache-2.0
"""Gadre et al. (2024): the models of `_read_gadre` with their top-1 errors on 46 tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.datasets._read_gadre import read as read_models
from forescale.runs.readers._json import parse_json, whole_text
from forescale.runs.readers._reader import Raw

SCALABLE = (
    "arc_easy", "bigbench_cs_algorithms", "bigbench_dyck_languages", "bigbench_novel_concepts", "bigbench_operators",
    "bigbench_qa_wikidata", "boolq", "commonsense_qa", "copa", "coqa", "hellaswag", "hellaswag_zeroshot",
    "lambada_openai", "piqa", "pubmed_qa_labeled", "squad", "winograd",
)  # fmt: skip
"""The authors' 17 tasks: those on which some model of 154M parameters is ten points or more above chance. Their
published constants come out with this set, and with no other that such a rule gives."""


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per model: the columns of `_read_gadre`, `error` (mean of the tasks chosen) and `error_<task>`.

    Options: as of `_read_gadre`; `tasks`: "all" (46) or "scalable" (17) for `error`.

    Raises:
        ReadError: a file without tasks, or models that were not given the same ones.
    """
    models = read_models(fetch, options)
    scores = [_scores(fetch(f"evals/evaluation_{stem}_heavy.json")) for stem in options["files"]]
    names = sorted(scores[0])
    if any(sorted(row) != names for row in scores):
        raise ReadError(message("models were evaluated on different tasks", "the same tasks for every model"))
    errors = {name: 1.0 - np.array([row[name] for row in scores]) for name in names}
    chosen = SCALABLE if options["tasks"] == "scalable" else tuple(names)
    if lacking := sorted(set(chosen) - set(names)):
        raise ReadError(message(f"the task {lacking[0]} was not evaluated", "the tasks of Gadre et al."))
    columns = {
        **models.columns,
        "error": np.mean([errors[name] for name in chosen], axis=0),
        **{f"error_{name}": errors[name] for name in names},
    }
    return Raw(columns=columns, mapping={name: name for name in columns})


def _scores(path: Path) -> dict[str, float]:
    value = parse_json(whole_text(path, "utf-8"), path, "it")
    try:
        return {str(task): float(score) for task, score in value["eval_metrics"]["icl"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReadError(message(f"{path.name} lacks {error!r}", "an evaluation file of Gadre et al.")) from error

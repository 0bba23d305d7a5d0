# SPDX-License-Identifier: Apache-2.0
"""lm-evaluation-harness: logged samples (`samples_*.jsonl`), aggregated scores (`results_*.json`), a folder of both.

A folder gives its samples: one row for each response, with `problem`, `answer` and `correct`. Where a filter keeps
several responses (`take_first_k` after `repeats`), the harness writes their mean grade only; the responses are graded
here by equality with the target, and kept if their mean is the harness's own. Of several filters the one that keeps
most responses is taken. Without samples a folder gives scores: one row for each task, metric and filter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forescale.core.errors import ReadError, message
from forescale.runs.readers._json import json_lines, parse_json, whole_text
from forescale.runs.readers._reader import Raw, Reader
from forescale.runs.readers._text import decoded, head_of, is_binary, with_encoding
from forescale.runs.table import Conventions, Note

SAMPLES, RESULTS = "samples_*.jsonl", "results_*.json"
MOST_FILES = 10_000
"""Most files looked at below a folder."""
LABEL = 256
"""Most characters of an answer that is kept."""

_SAMPLES = re.compile(r'^\s*\{\s*"doc_id"\s*:\s*\d+\s*,\s*"doc"\s*:')
_RESULTS = re.compile(r'^\s*\{\s*"results"\s*:\s*\{')
_FILE = re.compile(r"(?:samples|results)_(.*?)_?(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}[\d.]*)\.jsonl?$")
_STATED = ("exact_match", "acc", "acc_norm", "pass@1")


def sniff(head: bytes, path: Path) -> bool:
    """The first keys of a logged sample, or of aggregated results under their file name."""
    if is_binary(head):
        return False
    text = decoded(head).lstrip("\ufeff")
    return bool(_SAMPLES.match(text)) or (path.match(RESULTS) and bool(_RESULTS.match(text)))


def read(path: Path) -> Raw:
    """Read one file, or the newest file of each task below a folder.

    Raises:
        ReadError: damaged files, records that are no samples of the harness, or a folder without any.
    """
    if not path.is_dir():
        head = decoded(head_of(path)).lstrip("\ufeff")
        return _scores([path]) if _RESULTS.match(head) else _logged([(path, None)])
    samples, results = _below(path, SAMPLES), _below(path, RESULTS)
    if samples:
        return _logged([(file, _model_beside(file, results)) for file in samples])
    if results:
        return _scores(results)
    raise ReadError(message(f"no {SAMPLES} and no {RESULTS} below {path}", "a folder that lm-eval wrote"))


# ---------------------------------------------------------------------------------------------------------- samples


@dataclass
class _Columns:
    problem: list[str] = field(default_factory=list)
    task: list[str] = field(default_factory=list)
    model: list[str | None] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    correct: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Logged:
    """One logged record: its problem, the responses that its filter kept, their grades (NaN: not known)."""

    doc: str
    answers: tuple[str, ...]
    grades: tuple[float, ...]


def _logged(files: Sequence[tuple[Path, str | None]]) -> Raw:
    columns = _Columns()
    notes: list[Note] = []
    ungraded: list[str] = []
    passed_over: list[str] = []
    for path, model in files:
        kept, said = with_encoding(path, lambda encoding, path=path: _filters(path, encoding))  # type: ignore[misc]
        notes += said
        task = _task(path)
        chosen = max(kept, key=lambda name: sum(len(record.answers) for record in kept[name]))
        passed_over += [f"{name} of {task}" for name in kept if name != chosen]
        for record in kept[chosen]:
            for answer, grade in zip(record.answers, record.grades):
                columns.problem.append(f"{task}/{record.doc}")
                columns.task.append(task)
                columns.model.append(model)
                columns.answer.append(answer)
                columns.correct.append(grade)
        if any(math.isnan(grade) for record in kept[chosen] for grade in record.grades):
            ungraded.append(task)
    if passed_over:
        listed = ", ".join(passed_over[:5]) + (", ..." if len(passed_over) > 5 else "")
        notes.append(Note("info", "filters", f"other filters of the same samples were left out: {listed}."))
    if ungraded:
        notes.append(
            Note(
                "amber",
                "not-graded",
                f"the grade of single responses is not logged and is not equality with the target: "
                f"{', '.join(ungraded[:5])}. Their `correct` is empty.",
            )
        )
    known = {name: values for name, values in vars(columns).items() if name != "model"}
    if any(model is not None for model in columns.model):
        known["model"] = columns.model
    return Raw(columns=known, mapping={"problem": "problem", "answer": "answer", "correct": "correct"},
               notes=tuple(notes))  # fmt: skip


def _filters(path: Path, encoding: str) -> dict[str, list[_Logged]]:
    """Filter -> its records."""
    found: dict[str, list[_Logged]] = {}
    for place, value in json_lines(path, encoding):
        if not isinstance(value, dict) or "doc_id" not in value or "filtered_resps" not in value:
            raise ReadError(
                message(f"{path.name}, {place}: no doc_id and filtered_resps", "samples as lm-eval logs them")
            )
        found.setdefault(str(value.get("filter", "none"))[:LABEL], []).append(_record(value, path, place))
    if not found:
        raise ReadError(message(f"{path.name} holds no samples", "at least one"))
    return found


def _record(value: Mapping[str, Any], path: Path, place: str) -> _Logged:
    grade = _grade(value, path, place)
    doc, kept = value["doc_id"], value["filtered_resps"]
    if isinstance(doc, (list, dict)) or not isinstance(kept, list) or not kept:
        raise ReadError(message(f"{path.name}, {place}: doc_id or filtered_resps is unusable", "a number, a list"))
    if all(_is_scored(part) for part in kept):
        # log-likelihoods of the choices: the answer is the likeliest
        likelihoods = [_float(part[0]) for part in kept]
        return _Logged(str(doc), (str(max(range(len(kept)), key=likelihoods.__getitem__)),), (grade,))
    answers = kept[0] if len(kept) == 1 and isinstance(kept[0], list) else kept
    texts = tuple(part[:LABEL] if isinstance(part, str) else str(part)[:LABEL] for part in answers)
    if len(texts) <= 1:
        return _Logged(str(doc), texts or ("",), (grade,))
    target = str(value.get("target"))
    equal = tuple(float(isinstance(part, str) and part == target) for part in answers)
    known = math.isclose(sum(equal) / len(equal), grade, abs_tol=1e-9)
    return _Logged(str(doc), texts, equal if known else (math.nan,) * len(equal))


def _is_scored(part: Any) -> bool:
    """Whether a response is (log-likelihood, is it the greedy one): numbers, or texts of them in newer versions."""
    return isinstance(part, list) and len(part) == 2 and str(part[1]) in ("True", "False", "0", "1", "0.0", "1.0")


def _grade(value: Mapping[str, Any], path: Path, place: str) -> float:
    listed = value.get("metrics")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    for name in (*(n for n in _STATED if n in names or not names), *names):
        number = value.get(name)
        if isinstance(number, (bool, int, float)):
            return float(number)
    raise ReadError(
        message(f"{path.name}, {place}: no metric that is a number", f"one of {', '.join(names or _STATED)}")
    )


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return -math.inf


# ----------------------------------------------------------------------------------------------------------- scores


def _scores(files: Sequence[Path]) -> Raw:
    rows: list[dict[str, Any]] = []
    notes: list[Note] = []
    for path in files:
        found, said = with_encoding(path, lambda encoding, path=path: _results(path, encoding))  # type: ignore[misc]
        rows += found
        notes += said
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Raw(columns=columns, conventions=Conventions(N="total"), notes=tuple(notes))


def _results(path: Path, encoding: str) -> list[dict[str, Any]]:
    document = parse_json(whole_text(path, encoding), path, "it")
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict) or not all(isinstance(task, dict) for task in results.values()):
        raise ReadError(message(f"{path.name} has no results by task", "what lm-eval writes"))
    model, parameters = _model(document, path), _within(document, "config", "model_num_parameters")
    rows = []
    for task, metrics in results.items():
        for key, value in metrics.items():
            metric, comma, chosen = key.partition(",")
            if not comma or metric.endswith("_stderr") or isinstance(value, bool):
                continue
            if not isinstance(value, (int, float)):
                continue
            row = {
                "model": model, "eval_set": str(task), "metric": metric, "filter": chosen, "score": float(value),
                "stderr": _number(metrics.get(f"{metric}_stderr,{chosen}")),
                "questions": _number(_within(document, "n-samples", task, "effective")),
                "shots": _number(_within(document, "n-shot", task)),
            }  # fmt: skip
            if isinstance(parameters, (int, float)) and parameters > 0:
                row["N"] = float(parameters)
            rows.append(row)
    if not rows:
        raise ReadError(message(f"{path.name} holds no score", "keys such as 'acc,none' under results"))
    return rows


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _within(document: Any, *keys: str) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _model(document: Mapping[str, Any], path: Path) -> str:
    name = document.get("model_name")
    return str(name)[:LABEL] if isinstance(name, str) and name else path.parent.name


# ---------------------------------------------------------------------------------------------------------- folders


def _below(root: Path, pattern: str) -> list[Path]:
    """The newest file of each task in each folder below."""
    newest: dict[tuple[Path, str], Path] = {}
    for count, path in enumerate(sorted(root.rglob(pattern))):
        if count >= MOST_FILES:
            raise ReadError(message(f"more than {MOST_FILES:,} files {pattern} below {root}", "fewer at a time"))
        if path.is_file():
            newest[path.parent, _task(path)] = path  # the date in the name sorts
    return list(newest.values())


def _task(path: Path) -> str:
    found = _FILE.search(path.name)
    return path.stem if found is None else found.group(1)


def _model_beside(samples: Path, results: Sequence[Path]) -> str:
    """The model of a file of samples: as the results of its folder say, else the folder's name."""
    for path in results:
        if path.parent == samples.parent:
            document, _ = with_encoding(path, lambda e, path=path: parse_json(whole_text(path, e), path, "it"))  # type: ignore[misc]
            if isinstance(document, dict):
                return _model(document, path)
    return samples.parent.name


reader = Reader(
    id="lm_eval",
    summary="lm-evaluation-harness: logged samples or results",
    globs=(f"**/{SAMPLES}", f"**/{RESULTS}"),
    sniff=sniff,
    read=read,
    folders=True,
)

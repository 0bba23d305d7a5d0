# SPDX-License-Identifier: Apache-2.0
"""Samples of a model, as evaluations of repeated sampling write them: JSON Lines, or a JSON array of objects.

One object for each sample (`problem_id`, `correct`, `answer`, `score`, `tokens`, ...), or one for each problem with
lists in it (`is_corrects`, `answers`, ...), which become one row for each entry. EvalPlus marks a sample twice: what
passes its base tests is `accepted`, what passes all tests is `correct`. Texts longer than a label are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from forescale.core.errors import ReadError, message
from forescale.core.frozen import Frozen
from forescale.runs.readers._json import json_lines, parse_json, whole_text
from forescale.runs.readers._reader import Raw, Reader
from forescale.runs.readers._text import decoded, is_binary, with_encoding
from forescale.runs.table import Note

NAMES: Mapping[str, tuple[str, ...]] = Frozen(
    {
        "problem": ("problem", "problem_id", "question_id", "task_id", "item_id", "prompt_id", "unique_id"),
        "correct": ("correct", "is_correct", "is_corrects", "corrects", "plus_status", "passed"),
        "accepted": ("accepted", "verifier_accept", "verifier_accepts", "base_status"),
        "score": ("score", "scores", "verifier_score", "proxy_score", "rm_score", "reward", "rewards"),
        "answer": ("answer", "answers", "answer_key", "final_answer", "extracted_answer", "prediction"),
        "decode_tokens": ("decode_tokens", "tokens", "num_tokens", "completion_tokens", "output_tokens"),
        "thinking_tokens": ("thinking_tokens", "reasoning_tokens"),
    }
)
"""Canonical column -> keys, the first that a record has is taken."""

JUDGED = ("correct", "accepted")
TRUE = frozenset({"1", "true", "pass", "passed", "correct", "right", "success", "accept", "accepted"})
FALSE = frozenset({"0", "false", "fail", "failed", "incorrect", "wrong", "error", "timeout", "reject", "rejected"})
LABEL = 256
"""Most characters of a text that is kept."""
MOST_COLUMNS = 200
MOST_SAMPLES = 5_000_000
"""Rows that a file may come to: about 2 GB of Python objects."""

_PROBLEM = re.compile(r'"(?:' + "|".join(NAMES["problem"]) + r')"\s*:')
_OUTCOME = re.compile(r'"(?:' + "|".join((*NAMES["correct"], *NAMES["accepted"])) + r')"\s*:')


def sniff(head: bytes, path: Path) -> bool:
    """An object (or an array of them) that names a problem and says whether a sample of it is right."""
    if is_binary(head):
        return False
    text = decoded(head).lstrip("\ufeff \t\r\n")
    return text[:1] in ("{", "[") and bool(_PROBLEM.search(text)) and bool(_OUTCOME.search(text))


def read(path: Path) -> Raw:
    """Read samples: `problem` and what else each record says, under canonical names where they are known.

    Raises:
        ReadError: not JSON, a record without a problem, lists of different lengths, an outcome that is neither right
            nor wrong, or more than MOST_SAMPLES rows.
    """
    table, notes = with_encoding(path, lambda encoding: _read(path, encoding))
    remarks = list(notes)
    if table.left_out:
        named = ", ".join(repr(name) for name in sorted(table.left_out)[:5])
        remarks.append(
            Note("info", "long-text-left-out", f"keys of {path.name} that hold texts were left out: {named}.")
        )
    return Raw(
        columns=table.columns,
        mapping={name: name for name in NAMES if name in table.columns},
        notes=tuple(remarks),
    )


class _Table:
    """Columns that grow row by row; a key missing in a row is a gap."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.columns: dict[str, list[Any]] = {}
        self.left_out: set[str] = set()

    def add(self, record: Any, place: str) -> None:
        if not isinstance(record, dict):
            raise self._error(place, f"a {type(record).__name__}", "an object for each sample or problem")
        named = _named(record)
        if named.get("problem") in (None, ""):
            raise self._error(place, "no problem", "one of " + ", ".join(NAMES["problem"]))
        if isinstance(named["problem"], (list, dict)):
            raise self._error(place, "a problem that is no name", "text or a number")
        lists = {name: value for name, value in named.items() if isinstance(value, list)}
        lengths = {name: len(value) for name, value in lists.items() if name in NAMES}
        if len(set(lengths.values())) > 1:
            seen = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise self._error(place, f"lists of different lengths ({seen})", "one entry for each sample")
        count = next(iter(lengths.values()), 1)
        if self.rows + count > MOST_SAMPLES:
            raise self._error(place, f"more than {MOST_SAMPLES:,} samples", f"at most {MOST_SAMPLES:,}")
        for i in range(count):
            self._row({k: v[i] if k in lengths else v for k, v in named.items()}, place)

    def _row(self, values: Mapping[str, Any], place: str) -> None:
        for name, value in values.items():
            if name in JUDGED:
                kept: Any = self._judged(name, value, place)
            elif isinstance(value, (list, dict)) or (isinstance(value, str) and len(value) > LABEL):
                if name == "problem":
                    raise self._error(place, f"a problem of {len(value)} characters", "a name")
                self.left_out.add(name)
                continue
            else:
                kept = value
            column = self.columns.get(name)
            if column is None:
                if len(self.columns) >= MOST_COLUMNS:
                    raise self._error(
                        place, f"more than {MOST_COLUMNS} different keys", "the same keys in each record"
                    )
                column = self.columns[name] = []
            column.extend([None] * (self.rows - len(column)))
            column.append(kept)
        self.rows += 1

    def _judged(self, name: str, value: Any, place: str) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        word = value.strip().lower() if isinstance(value, str) else ""
        if word in TRUE or word in FALSE:
            return float(word in TRUE)
        raise self._error(place, f"{name} = {str(value)[:40]!r}", "true or false, 1 or 0, pass or fail")

    def _error(self, place: str, seen: str, expected: str) -> ReadError:
        return ReadError(message(f"{self.path.name}, {place}: {seen}", expected))

    def finish(self) -> _Table:
        # a text left out of one row must not stand in others
        for name in self.left_out & set(self.columns):
            del self.columns[name]
        if self.rows == 0:
            raise ReadError(message(f"{self.path.name} holds no samples", "at least one"))
        for column in self.columns.values():
            column.extend([None] * (self.rows - len(column)))
        return self


def _named(record: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    taken: set[str] = set()
    for name, keys in NAMES.items():
        key = next((key for key in keys if key in record), None)
        if key is not None:
            found[name] = record[key]
            taken.add(key)
    found.update((key, value) for key, value in record.items() if key not in taken and key not in found)
    return found


def _read(path: Path, encoding: str) -> _Table:
    table = _Table(path)
    for place, value in _records(path, encoding):
        table.add(value, place)
    return table.finish()


def _records(path: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    with open(path, encoding=encoding) as handle:
        start = handle.read(1)
        while start and (start.isspace() or start == "\ufeff"):
            start = handle.read(1)
    if start != "[":
        yield from json_lines(path, encoding)
        return
    document = parse_json(whole_text(path, encoding), path, "it")
    for number, value in enumerate(document, start=1):
        yield f"element {number}", value


reader = Reader(
    id="samples",
    summary="samples of problems as JSON Lines, right or wrong",
    globs=("*.jsonl", "*.json"),
    sniff=sniff,
    read=read,
)

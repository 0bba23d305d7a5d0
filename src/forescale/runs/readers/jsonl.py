# SPDX-License-Identifier: Apache-2.0
"""JSON Lines (one object on each line), or a JSON array of objects, or an object of columns.

Nested objects become dotted names (`config.lr`); lists are left out with a note. `NaN`, `Infinity` and numbers beyond
double precision are read as what they are, so that the checks of N, D, C and loss name their rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forescale.core.errors import ReadError, message
from forescale.runs.readers._json import json_lines, parse_json, whole_text
from forescale.runs.readers._reader import MAX_LINE, Raw, Reader
from forescale.runs.readers._text import decoded, is_binary, with_encoding
from forescale.runs.table import Note

MAX_DEPTH = 8
"""Objects nested deeper than this are no settings of a run."""

MAX_COLUMNS = 10_000
"""More names than this are data used as keys."""


def sniff(head: bytes, path: Path) -> bool:
    """Text that begins with an object or an array of objects."""
    if is_binary(head):
        return False
    text = decoded(head).lstrip("\ufeff \t\r\n")
    return text[:1] == "{" or (text[:1] == "[" and text[1:].lstrip()[:1] in ("{", ""))


def read(path: Path) -> Raw:
    """Read JSON Lines, a JSON array of objects, or an object of equally long lists.

    Raises:
        ReadError: not JSON, a duplicate key, no objects, too deep, or too large.
    """
    table, notes = with_encoding(path, lambda encoding: _read(path, encoding))
    remarks = list(notes)
    if table.lists:
        named = ", ".join(repr(name) for name in sorted(table.lists)[:5])
        remarks.append(Note("info", "lists-left-out", f"keys of {path.name} that hold lists were left out: {named}."))
    return Raw(columns=table.columns, notes=tuple(remarks))


class _Table:
    """Columns that grow row by row; a key missing in a row is a gap."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.columns: dict[str, list[Any]] = {}
        self.lists: set[str] = set()

    def add(self, record: dict[str, Any]) -> None:
        for name, value in _flat(record, "", 0, self):
            column = self.columns.get(name)
            if column is None:
                if len(self.columns) >= MAX_COLUMNS:
                    raise ReadError(
                        message(f"{self.path.name} has more than {MAX_COLUMNS:,} different keys", "columns")
                    )
                column = self.columns[name] = []
            column.extend([None] * (self.rows - len(column)))
            column.append(value)
        self.rows += 1

    def finish(self) -> _Table:
        if self.rows == 0 or not self.columns:
            raise ReadError(message(f"{self.path.name} holds no objects with values", "at least one run"))
        for column in self.columns.values():
            column.extend([None] * (self.rows - len(column)))
        return self


def _flat(record: dict[str, Any], prefix: str, depth: int, table: _Table) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        raise ReadError(
            message(f"row {table.rows + 1} of {table.path.name} is nested deeper than {MAX_DEPTH}", "flat records")
        )
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.", depth + 1, table)
        elif isinstance(value, list):
            table.lists.add(name)
        else:
            yield name, value


def _read(path: Path, encoding: str) -> _Table:
    table = _Table(path)
    if _by_lines(path, encoding):
        for place, value in json_lines(path, encoding):
            table.add(_record(value, path, place))
        return table.finish()
    document = parse_json(whole_text(path, encoding), path, "it")
    if isinstance(document, list):
        for number, item in enumerate(document, start=1):
            table.add(_record(item, path, f"element {number}"))
        return table.finish()
    record = _record(document, path, "it")
    lists = {name: value for name, value in record.items() if isinstance(value, list)}
    if len({len(value) for value in lists.values()}) == 1:
        for row in zip(*lists.values()):
            table.add(dict(zip(lists, row)))
        return table.finish()
    table.add(record)
    return table.finish()


def _by_lines(path: Path, encoding: str) -> bool:
    """Whether the first line is a whole object and another line follows."""
    with open(path, encoding=encoding, newline=None) as handle:
        first = ""
        while not first.strip():
            first = handle.readline(MAX_LINE)
            if not first:
                raise ReadError(message(f"{path.name} holds only blank lines", "at least one object"))
        if not first.lstrip().startswith("{"):
            return False
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return False
        return any(line.strip() for line in iter(lambda: handle.readline(MAX_LINE), ""))


def _record(value: Any, path: Path, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReadError(
            message(
                f"{path.name}, {place}: a {type(value).__name__}", "an object with the columns of one run as its keys"
            )
        )
    return value


reader = Reader(
    id="jsonl",
    summary="JSON Lines, or a JSON array of objects",
    globs=("*.jsonl", "*.ndjson", "*.json"),
    sniff=sniff,
    read=read,
    general=True,
)

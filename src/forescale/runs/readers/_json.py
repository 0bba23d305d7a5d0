# SPDX-License-Identifier: Apache-2.0
"""JSON documents of bounded size, with errors that say where."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from forescale.core.errors import ReadError, message
from forescale.runs.readers._reader import MAX_JSON
from forescale.runs.readers._text import line_blocks


def whole_text(path: Path, encoding: str) -> str:
    """The text of one JSON document.

    Raises:
        ReadError: larger than MAX_JSON.
    """
    size = path.stat().st_size
    if size > MAX_JSON:
        raise ReadError(
            message(
                f"{path.name} is one JSON document of {size:,} bytes",
                f"at most {MAX_JSON:,}",
                "write it as JSON Lines, one object on each line",
            )
        )
    with open(path, encoding=encoding) as handle:
        return handle.read()


def json_lines(path: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    """The values of a file with one on each line, each with the place where it stands; blank lines are passed over.

    Raises:
        ReadError: a line that is not JSON, or longer than MAX_LINE.
    """
    number = 0
    for lines in line_blocks(path, encoding):
        for line in lines:
            number += 1
            if line.strip():
                place = f"line {number}"
                yield place, parse_json(line, path, place)


def parse_json(text: str, path: Path, place: str) -> Any:
    """JSON with clear errors. Duplicate keys are refused: which of the two is meant cannot be known."""
    try:
        return json.loads(text, object_pairs_hook=_pairs(path, place), parse_int=_integer)
    except RecursionError as error:
        raise ReadError(message(f"{place} of {path.name} is nested too deeply", "flat records")) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}" if place == "it" else place
        raise ReadError(
            message(
                f"{path.name}, {where}, column {error.colno}: {error.msg}, so it is not JSON or it is cut",
                "one object on each line, or one array of objects",
            )
        ) from error


def _pairs(path: Path, place: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ReadError(message(f"{path.name}, {place}: the key {twice[:40]!r} occurs twice", "each key once"))
        return record

    return hook


def _integer(text: str) -> int | float:
    # beyond 18 digits a float keeps all that matters, and Python refuses integers of more than 4,300 digits
    if len(text) <= 18:
        return int(text)
    return float(text) if len(text) < 400 else (-math.inf if text.startswith("-") else math.inf)

# SPDX-License-Identifier: Apache-2.0
"""Named numbers as fields of a query: "arxiv=0.05, book=20B" or "arxiv=5%", or a mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from forescale.core.errors import QuantityError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import parse_number


def _named(value: Any) -> Frozen[str, float]:
    """Names and numbers; at least one, each name once, no number below zero."""
    if isinstance(value, Mapping):
        pairs = [(str(name).strip(), number) for name, number in value.items()]
    else:
        parts = [part for part in re.split(r"[,;]", str(value)) if part.strip()]
        split = [part.split("=") for part in parts]
        if not parts or any(len(pair) != 2 or not pair[0].strip() for pair in split):
            raise QuantityError(message(f"{value!r}", "names and numbers, such as arxiv=5%, book=20B"))
        pairs = [(name.strip(), number.strip()) for name, number in split]
    found = {name: _number(number) for name, number in pairs}
    if len(found) < len(pairs) or not found:
        raise QuantityError(message(f"{value!r}", "one number for each name, each name once"))
    if not all(0.0 <= number < float("inf") for number in found.values()):
        raise QuantityError(message(f"{value!r}", "finite numbers that are not below zero"))
    return Frozen(found)


def _number(value: Any) -> float:
    """A number as people write it; a share may be a percentage."""
    text = str(value).strip()
    return parse_number(text[:-1]) / 100.0 if text.endswith("%") else parse_number(value)


NamedText = Annotated[
    Mapping[str, float],
    PlainValidator(_named),
    PlainSerializer(lambda value: dict(value), return_type=dict[str, float]),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "number"}}],
            "examples": ["arxiv=0.05, book=20B"],
        }
    ),
]

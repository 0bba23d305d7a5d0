# SPDX-License-Identifier: Apache-2.0
"""Lists of numbers as fields of a query: "0.87, 0.13" or [0.87, 0.13]."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from forescale.core.errors import QuantityError, message
from forescale.core.quantity import parse_number


def _numbers(value: Any) -> tuple[float, ...]:
    """Numbers separated by commas or spaces, or a sequence of them; at least one."""
    if isinstance(value, str):
        parts: list[Any] = [part for part in re.split(r"[,;\s]+", value.strip()) if part]
    elif isinstance(value, Iterable) and not isinstance(value, (bytes, dict)):
        parts = list(value)
    else:
        parts = [value]
    if not parts:
        raise QuantityError(message("an empty list", "numbers with commas between them, such as 0.87,0.13"))
    return tuple(parse_number(part) for part in parts)


NumbersText = Annotated[
    tuple[float, ...],
    PlainValidator(_numbers),
    PlainSerializer(list, return_type=list[float]),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}], "examples": ["0.87,0.13"]}
    ),
]

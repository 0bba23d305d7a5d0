# SPDX-License-Identifier: Apache-2.0
"""Families: laws whose form follows from the shape of the data, such as one weight per domain of a mixture.

A family is a value like a law and stands in the same registry. Naming it with columns makes the law:
`mixing-exponential(arxiv, book, c4)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from forescale.laws._law import Law


@dataclass(frozen=True)
class Family:
    """A way to make laws.

    Attributes:
        id: short name.
        title: one line.
        make: columns -> Law. The law's id must be `id(column, ...)`, its inputs the columns in that order, so that a
            saved fit can make it again; raises LawError for columns it cannot take.
        example: columns of one member, which the documentation shows and the conformance kit tests.
        least: fewest columns.
    """

    id: str
    title: str
    make: Callable[[tuple[str, ...]], Law]
    example: tuple[str, ...]
    least: int = 2

    def member(self) -> Law:
        """The law of the example columns."""
        return self.make(self.example)

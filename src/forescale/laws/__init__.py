# SPDX-License-Identifier: Apache-2.0
"""The catalogue: a law is a value; one file per family."""

from __future__ import annotations

from forescale.laws._catalogue import catalogue, families, find
from forescale.laws._describe import describe, facts
from forescale.laws._family import Family
from forescale.laws._formula import as_law, law_from_formula, law_from_function
from forescale.laws._law import (
    TOPICS,
    Check,
    Law,
    Parameter,
    Published,
    amplitude,
    exponent,
    floor,
    location,
    real,
    share,
)
from forescale.laws._recipe import law_from_json, law_to_json

__all__ = [
    "TOPICS",
    "Check",
    "Family",
    "Law",
    "Parameter",
    "Published",
    "amplitude",
    "as_law",
    "catalogue",
    "describe",
    "exponent",
    "facts",
    "families",
    "find",
    "floor",
    "law_from_formula",
    "law_from_function",
    "law_from_json",
    "law_to_json",
    "location",
    "real",
    "share",
]

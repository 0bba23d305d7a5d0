# SPDX-License-Identifier: Apache-2.0
"""The decision of a plan as a training script reads it: environment variables, YAML or arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from forescale.core.errors import QueryError, message
from forescale.planning._plan import Decided, Plan

WHOLE = ("parameters", "tokens", "count", "samples", "steps", "layers")
"""Units whose numbers are counts: written without a fraction."""


def settings(plan: Plan, style: str) -> str:
    """One line per number of the decision, in reading order; numbers that are not finite are left out.

    Args:
        style: "env" (N=70000000000), "yaml" (N: 70000000000) or "argv" (--N 70000000000, one line in all).

    Raises:
        QueryError: another style.
    """
    if style not in STYLES:
        raise QueryError(message(f"settings as {style!r}", " or ".join(STYLES)))
    found = {_name(name): number(d) for name, d in plan.decision.items() if math.isfinite(d.value)}
    return STYLES[style](found)


def number(decided: Decided) -> str:
    """A number that every language reads, at full precision; counts as whole numbers."""
    return f"{decided.value:.0f}" if decided.unit in WHOLE else repr(float(decided.value))


def _name(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


def _env(found: Mapping[str, str]) -> str:
    return "\n".join(f"{name.upper()}={value}" for name, value in found.items())


def _yaml(found: Mapping[str, str]) -> str:
    # N, y and no are booleans to some YAML readers.
    return "\n".join(f'"{name}": {value}' for name, value in found.items())


def _argv(found: Mapping[str, str]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in found.items())


STYLES: Mapping[str, Callable[[Mapping[str, str]], str]] = {"env": _env, "yaml": _yaml, "argv": _argv}

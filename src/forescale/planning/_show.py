# SPDX-License-Identifier: Apache-2.0
"""Numbers and paragraphs as a plan shows them."""

from __future__ import annotations

import math

from forescale.core.quantity import format_short

UNBOUNDED = "unbounded"
_KIND = {"parameters": "parameters", "FLOP": "flop", "dollars": "dollars", "device-hours": "number"}
_LOSSES = ("loss", "nats/token", "bits/token", "nats/byte", "bits/byte", "bits/char", "1-accuracy", "perplexity")
_MEASURED = ("GB", "ms", "s", "bits", "days")
_COUNTED = ("tokens", "bytes", "characters", "samples")


def show(value: float | str | None, unit: str = "") -> str:
    """A cell for people: three digits and a suffix for counts, four digits for losses, signs for percentages."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return UNBOUNDED
    if unit in _KIND:
        return format_short(value, _KIND[unit])
    if unit in _COUNTED:
        return format_short(value, "number")
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "%":
        return f"{round(value, 2) + 0.0:.2f} %" if abs(value) < 10 else f"{value:,.0f} %"  # no "-0.00 %"
    if unit == "x":
        return f"{value:.3g}x" if value < 1000 else f"{value:,.0f}x" if value < 1e9 else f"{value:.2e}x"
    if unit.endswith("/parameter"):
        return f"{value:.3g}" if value < 1000 else f"{value:,.0f}" if value < 1e9 else f"{value:.2e}"
    if unit in _MEASURED:
        return f"{value:.4g} {unit}"
    if unit in _LOSSES:
        return f"{value:#.4g}"
    return f"{value:.4g}"


def wrapped(text: str, first: str = "", then: str | None = None) -> list[str]:
    """A paragraph as lines of at most 110 characters; nothing for an empty one."""
    from textwrap import wrap  # only to show

    return wrap(text.strip(), 110, initial_indent=first, subsequent_indent=first if then is None else then)


def cited(key: str) -> str:
    """A short citation where the bibliography knows the key; data sets carry their citation as text."""
    from forescale.core import cite  # the bibliography is read only to be shown

    known = cite.keys()
    return cite.short(key) if key in known else key

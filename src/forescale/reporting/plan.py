# SPDX-License-Identifier: Apache-2.0
"""The page of one plan."""

from __future__ import annotations

from collections.abc import Sequence

from forescale.planning._plan import Plan
from forescale.reporting._page import Report


def page(plan: Plan, commands: Sequence[str] = ()) -> Report:
    """One self-contained page."""
    return Report(plan._repr_html_())

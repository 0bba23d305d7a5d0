# SPDX-License-Identifier: Apache-2.0
"""The ground of a plan with fewer parameter vectors: for side tables, which show the estimate and no interval."""

from __future__ import annotations

from dataclasses import replace

from forescale.core.frozen import Frozen
from forescale.planning._plan import Grounds


def first(grounds: Grounds, count: int = 1) -> Grounds:
    """The estimate, and the first `count` - 1 draws (their order is random)."""
    alone = {name: replace(b, surface=b.surface.take(slice(count))) for name, b in grounds.laws.items()}
    return replace(grounds, laws=Frozen(alone))

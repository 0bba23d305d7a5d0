# SPDX-License-Identifier: Apache-2.0
"""The ground of a plan with fewer parameter vectors: for side tables, which show the estimate and no interval."""

from __future__ import annotations

from dataclasses import replace

from forescale.core.frozen import Frozen
from forescale.planning._plan import Basis, Grounds


def first(grounds: Grounds, count: int = 1) -> Grounds:
    """The estimate, and the first `count` - 1 draws (their order is random)."""
    return replace(grounds, laws=Frozen({name: _first(basis, count) for name, basis in grounds.laws.items()}))


def _first(basis: Basis, count: int) -> Basis:
    params = Frozen({name: values[:count] for name, values in basis.surface.params.items()})
    return replace(basis, surface=replace(basis.surface, params=params))

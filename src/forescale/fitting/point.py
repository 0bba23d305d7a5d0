# SPDX-License-Identifier: Apache-2.0
"""Parameters alone, without certificate, covariance or verdict: for procedures that fit a law hundreds of times.

The search is that of `estimate.fit`, shorter: four starts instead of sixteen, one round, no polish. On the public
tables rolling errors come out the same to a few per cent, in half the time; what a user sees is fitted to the end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forescale.core.errors import RefusedError, message
from forescale.core.frozen import Frozen
from forescale.fitting import _search
from forescale.fitting._optimum import refined
from forescale.fitting._problem import bind
from forescale.laws import Law
from forescale.numerics import losses
from forescale.numerics.losses import Objective
from forescale.runs.table import Runs

POLISHED = 4
"""Starts solved to the end. The best of four is the best of sixteen in all but a few of the public tables."""

SCORED = 128
"""Starts scored by variable projection."""

ROUNDS = (60,)
"""Iterations."""


def point(
    runs: Runs, law: Law, *, loss: str | Objective | None = None, polish: int = POLISHED, starts: int = SCORED
) -> Mapping[str, float]:
    """Parameters near the optimum of a law on rows.

    Args:
        loss: as in `estimate.fit`.
        polish: starts solved to the end.
        starts: starts scored.

    Raises:
        ColumnError, DataError, RefusedError: as `estimate.fit`.
    """
    objective = losses.loss(law.loss if loss is None else loss)
    problem = bind(law, runs, objective)
    u0, _ = _search.candidates(problem, polish, starts)
    ends, value = refined(problem, u0, ROUNDS)
    if not np.isfinite(value).any():
        raise RefusedError(message(f"the law {law.id!r} is not finite at any of {len(u0)} starts on these rows"))
    best = int(np.argmin(np.where(np.isfinite(value), value, np.inf)))
    return Frozen(problem.space.mapping(problem.space.natural(ends[best])))

# SPDX-License-Identifier: Apache-2.0
"""The optimum alone, without covariance, draws or verdict: for procedures that fit the same law hundreds of times."""

from __future__ import annotations

from collections.abc import Mapping

from forescale.core.frozen import Frozen
from forescale.fitting import _search
from forescale.fitting._optimum import optimum
from forescale.fitting._problem import bind
from forescale.laws import Law
from forescale.numerics import losses
from forescale.numerics.losses import Objective
from forescale.runs.table import Runs

POLISHED = 4
"""Starts solved to the end. The best of four is the best of sixteen in all but a few of the public tables."""

SCORED = 128
"""Starts scored by variable projection."""


def point(
    runs: Runs, law: Law, *, loss: str | Objective | None = None, polish: int = POLISHED, starts: int = SCORED
) -> Mapping[str, float]:
    """Parameters at the optimum of a law on rows.

    Args:
        loss: as in `estimate.fit`.
        polish: starts solved to the end.
        starts: starts scored.

    Raises:
        ColumnError, DataError, RefusedError: as `estimate.fit`.
    """
    objective = losses.loss(law.loss if loss is None else loss)
    problem = bind(law, runs, objective)
    u0, tried = _search.candidates(problem, polish, starts)
    u, *_ = optimum(problem, u0, tried)
    return Frozen(problem.space.mapping(problem.space.natural(u)))

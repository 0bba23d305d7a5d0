# SPDX-License-Identifier: Apache-2.0
"""How far one run's loss scatters, as a share of the loss."""

from __future__ import annotations

import math

from forescale.planning._plan import Basis

NOISE = 0.003
"""Relative standard deviation of one run where the fit does not know it; announced."""


def scatter(basis: Basis, loss: float) -> float:
    """Relative standard deviation of a run around a loss; NaN where the fit does not know it."""
    raw = basis.fit is not None and basis.fit.scale == "raw"
    return basis.sigma / loss if raw and loss > 0 else math.nan if raw else basis.sigma


def known(basis: Basis, loss: float) -> tuple[float, str | None]:
    """Relative standard deviation of a run around a loss, and the sentence that is owed where it is assumed."""
    share = scatter(basis, loss)
    return (share, None) if share > 0 else (NOISE, assumed())


def assumed() -> str:
    """What a plan says that takes `NOISE`."""
    return f"One run's loss is taken to vary by {100 * NOISE:g} % (the fit does not know it)."

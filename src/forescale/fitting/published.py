# SPDX-License-Identifier: Apache-2.0
"""Published constants as a Fit: `chinchilla:besiroglu2024` stands wherever a fit does."""

from __future__ import annotations

import math

import numpy as np

from forescale.core.errors import LawError, message
from forescale.core.frozen import Frozen
from forescale.fitting import _covariance
from forescale.fitting._fit import Fit
from forescale.fitting._space import Space
from forescale.laws import Law, find
from forescale.runs.table import Note

DRAWS = 1000


def published(source: str, *, law: Law | None = None, level: float = 0.90, seed: int = 0) -> Fit:
    """A fit made of published constants.

    Args:
        source: "law:source", e.g. "chinchilla:besiroglu2024"; "@printed" at the end takes the digits of the paper.
        law: the law, when it is in no catalogue; `source` is then the name of the constants alone.

    Raises:
        LawError: unknown law or constants; the known ones are named.
    """
    if law is None:
        law_id, colon, key = source.partition(":")
        if not colon or not key:
            raise LawError(message(f"{source!r} names no constants", "law:source", "chinchilla:besiroglu2024"))
        law = find(law_id)
    else:
        key = source.partition(":")[2] or source
    params = law.constants(key)
    facts = law.published[key.partition("@")[0]]
    space = Space.of(law)
    theta = space.vector(params)
    u = space.search(theta)
    p = theta.size
    covariance = np.full((p, p), np.nan)
    notes: list[Note] = []
    draws = np.empty((0, p))
    origin = "none"
    errors = facts.standard_errors
    if errors:
        known = np.array([float(errors.get(name, math.nan)) for name in law.names])
        slope = np.abs(space.slope(u))
        sd = known / slope
        covariance = np.diag(sd**2)
        for (one, other), r in facts.correlations.items():
            i, j = law.names.index(one), law.names.index(other)
            covariance[i, j] = covariance[j, i] = r * sd[i] * sd[j]
        lost = ~np.isfinite(known)
        covariance[lost, :] = np.nan
        covariance[:, lost] = np.nan
        draws = _covariance.laplace(space, u, covariance, math.inf, level, DRAWS, seed)
        origin = "published standard errors"
        if not facts.correlations:
            notes.append(
                Note(
                    "amber",
                    "covariance-unknown",
                    "The paper gives standard errors without their covariance, so the draws treat parameters as "
                    "independent. A and alpha, B and beta move together in truth: intervals of predictions and plans "
                    "are far too wide. Fit the runs to have honest ones.",
                )
            )
    else:
        notes.append(
            Note("amber", "no-uncertainty", f"{law.id}:{key} comes without standard errors: no intervals, no bands.")
        )
    if facts.reproduced == "no":
        notes.append(Note("amber", "not-reproduced", facts.note or "These constants could not be reproduced."))
    elif facts.note:
        notes.append(Note("info", "constants", facts.note))
    covariance.flags.writeable = False
    draws.flags.writeable = False
    return Fit(
        law=law,
        params=Frozen(params),
        covariance=covariance,
        draws=draws,
        draws_from=origin,
        loss=law.loss,
        objective=math.nan,
        sigma=math.nan,
        runs=None,
        residuals=np.empty(0),
        convergence=None,
        conventions=facts.conventions,
        fitted_range=facts.fitted_range,
        notes=tuple(notes),
        intervals=Frozen({"wald": _covariance.wald(space, u, covariance, math.inf, level)} if errors else {}),
        level=level,
        seed=seed,
        version=_version(),
        source=f"{law.id}:{key}",
        covariance_from="published standard errors" if errors else "none",
    )


def _version() -> str:
    from forescale import __version__

    return __version__

# SPDX-License-Identifier: Apache-2.0
"""What planners receive: a law with many parameter vectors at once, the estimate first, then the draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import LawError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Fit
from forescale.laws import Law

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Surface:
    """A law with B parameter vectors.

    Attributes:
        law: an ungrouped law (the law of the chosen group, if the fit was grouped).
        params: parameter -> (B, 1); row 0 is the estimate, rows 1.. are draws in random order.
        conventions: what N, D, C and loss mean.
        fitted_range: input (and "C") -> (least, largest) value seen.
        group: the chosen level of a grouped fit, or None.
        dropped: draws left out because a parameter or the law itself was not finite there.
    """

    law: Law
    params: Mapping[str, Array]
    conventions: Mapping[str, str] = field(default_factory=Frozen)
    fitted_range: Mapping[str, tuple[float, float]] = field(default_factory=Frozen)
    group: str | None = None
    dropped: int = 0

    def take(self, rows: Any) -> Surface:
        """The surface with some of its parameter vectors: a slice, or row numbers."""
        return replace(self, params=Frozen({name: values[rows] for name, values in self.params.items()}))

    def loss(self, **inputs: ArrayLike) -> Array:
        """The law at inputs of shape (k,) or (B, k) or floats; returns (B, k)."""
        shaped: dict[str, Array] = {}
        for name, value in inputs.items():
            array = np.asarray(value, dtype=np.float64)
            shaped[name] = array[None, :] if array.ndim == 1 else array.reshape(1, 1) if array.ndim == 0 else array
        value = self.law(self.params, **shaped)
        rows = next((v.shape[0] for v in self.params.values()), 1)
        columns = max((v.shape[1] for v in shaped.values()), default=1)
        if value.shape == (rows, columns):
            return value
        return np.array(np.broadcast_to(value, (rows, columns)))


def surface(fit: Fit, draws: int = 1000, group: str | None = None) -> Surface:
    """The surface of a fit with up to `draws` draws (bootstrap if present, else Laplace, else published errors).

    Args:
        group: level of a grouped fit.

    Raises:
        LawError: a grouped fit without a group, or an unknown level.
        QueryError: a group of a fit that is not grouped.
    """
    if draws < 0:
        raise QueryError(message(f"{draws} draws", "zero or more"))
    estimate = np.array([[fit.params[name] for name in fit.law.names]])
    chosen = fit.draws[:draws]
    finite = np.isfinite(chosen).all(axis=1)
    rows = np.concatenate([estimate, chosen[finite]]) if len(fit.draws) else estimate
    params: dict[str, Any] = {name: np.ascontiguousarray(rows[:, p : p + 1]) for p, name in enumerate(fit.law.names)}
    law = fit.law
    if law.groups is not None:
        if group is None:
            raise LawError(
                message(
                    f"the fit has a surface for each {law.groups.by}",
                    "one of " + ", ".join(map(repr, law.groups.levels)),
                    f"group={law.groups.levels[0]!r}",
                )
            )
        params = law.groups.select(params, group)
        law = law.groups.base
    elif group is not None:
        raise QueryError(message(f"the group {group!r} of a fit that is not grouped", "no group"))
    return Surface(law, Frozen(params), fit.conventions, fit.fitted_range, group, int((~finite).sum()))

# SPDX-License-Identifier: Apache-2.0
"""A law bound to rows: the function of the search coordinates that estimation and uncertainty work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import ColumnError, DataError, message
from forescale.fitting._space import REACH, Space
from forescale.laws import Law
from forescale.laws._schedule import Schedules
from forescale.numerics import jet
from forescale.numerics.losses import Objective, Response
from forescale.runs.curves import schedules
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

FLOOR = 1e-9
STEEPEST = 50.0  # largest exponent searched
BESIDE = 1  # levels of the input beyond a break, on each side: what lies beyond none of them no row shows


@dataclass(frozen=True, eq=False)
class Problem:
    """Law, rows and objective.

    Attributes:
        columns: what the formula receives besides parameters: input -> (n,) floats, the label column of a grouped
            law as integer codes, the `Schedules` of a law along curves.
        response: what was observed.
        weights: (n,), positive.
        rows: (n,) row numbers in the table given (rows of weight zero are left out).
    """

    law: Law
    space: Space
    objective: Objective
    columns: Mapping[str, Any]
    response: Response
    weights: Array
    rows: NDArray[np.intp]

    @property
    def n(self) -> int:
        """Number of rows that count."""
        return int(self.weights.size)

    def formula(self, *search: Any) -> Any:
        """The law at search coordinates: arrays or jets of shape (B, 1); gives (B, n)."""
        values = {name: self.space.natural_one(p, search[p]) for p, name in enumerate(self.space.names)}
        return self.law.formula(**self.columns, **values)

    @property
    def upper(self) -> Array:
        """(P,) upper search bounds: where a law has no finite optimum, parameters run away until exp overflows; an
        exponent beyond STEEPEST is a step, not a power."""
        scales = [self.space.scale_of(p) for p in range(len(self.space.names))]
        bound = np.array([np.inf if scale == "line" else REACH for scale in scales])
        for p, parameter in enumerate(self.law.params.values()):
            if parameter.kind == "exponent" and scales[p] == "log":
                bound[p] = np.log(STEEPEST)
            if parameter.kind == "break":
                bound[p] = self._within[1]
        return bound

    @property
    def lower(self) -> Array:
        """(P,) lower search bounds: a floor below a billionth of the response is no floor, and its logarithm would
        run to minus infinity."""
        typical = float(np.median(np.abs(self.response.y)))
        bound = np.where(np.isinf(self.upper), -np.inf, -REACH)
        bound[list(self.space.floor)] = np.log(FLOOR * typical) if typical > 0 else -REACH
        for p, parameter in enumerate(self.law.params.values()):
            if parameter.kind == "break":
                bound[p] = self._within[0]
        return bound

    @property
    def _within(self) -> tuple[float, float]:
        """Where the logarithm of a break may lie: inside the data, which else would bend at their last point."""
        levels = np.unique(np.abs(self.columns[self.law.inputs[0]]))
        levels = np.log(levels[levels > 0])
        if levels.size == 0:
            return -REACH, REACH
        side = BESIDE if levels.size > 2 * BESIDE + 2 else 0
        return float(levels[side]), float(levels[levels.size - 1 - side])

    def predict(self, u: Array) -> Array:
        """Predictions (B, n) at search coordinates (B, P)."""
        return jet.evaluate(self.formula, u)

    def predict_and_jacobian(self, u: Array) -> tuple[Array, Array]:
        """Predictions (B, n) and their derivatives in the search coordinates (B, P, n)."""
        return jet.value_and_jacobian(self.formula, u)

    def value(self, u: Array, weights: Array | None = None) -> Array:
        """The objective (B,) at search coordinates (B, P), nuisance parameters profiled out."""
        w = self.weights if weights is None else weights
        return self.objective.value(self.predict(u), self.response, w)

    def residuals(self, u: Array) -> tuple[Array, str]:
        """log(observed) - log(predicted), shape (n,), at (P,), and "log"; plain differences and "raw" where observed
        or predicted values are not all positive."""
        pred = self.predict(u[None])[0]
        y = self.response.y if self.response.trials is None else self.response.target
        with np.errstate(all="ignore"):
            if self.objective.scale == "log" or (np.all(y > 0) and np.all(pred > 0)):
                return np.asarray(np.log(y) - np.log(pred)), "log"
        return np.asarray(y - pred), "raw"

    def take(self, keep: NDArray[np.intp]) -> Problem:
        """The problem on some rows (indices into the present ones)."""
        return replace(
            self,
            columns={name: values[keep] for name, values in self.columns.items()},
            response=self.response.row_subset(keep),
            weights=self.weights[keep],
            rows=self.rows[keep],
        )


def bind(law: Law, runs: Runs, objective: Objective, weights: ArrayLike | None = None) -> Problem:
    """Bind a law to a table.

    Raises:
        ColumnError: a column that the law or the objective needs is missing.
        DataError: values that the law cannot take; weights of the wrong shape or sign; no row left.
    """
    trials_wanted = objective.scale == "probability"
    runs = require(runs, *law.inputs, law.output)
    given = runs.weights if weights is None else np.asarray(weights, dtype=np.float64)
    if given is None:
        given = np.ones(len(runs))
    if given.shape != (len(runs),) or not np.all(np.isfinite(given)) or np.any(given < 0):
        raise DataError(
            message(f"weights of shape {given.shape}", f"{len(runs)} finite numbers >= 0, one for each row")
        )
    rows = np.flatnonzero(given > 0)
    if rows.size == 0:
        raise DataError(message("no row has a positive weight", "at least one row that counts"))
    columns: dict[str, Any] = {}
    for name in law.inputs:
        values = np.array(runs[name][rows], dtype=np.float64)
        if not np.all(np.isfinite(values)):
            bad = int(rows[np.flatnonzero(~np.isfinite(values))[0]])
            raise DataError(
                message(f"{name} is not a finite number in row {bad + 1}", "a number in each row", "drop that row")
            )
        columns[name] = values
    if law.groups is not None:
        by = law.groups.by
        if by in runs.labels:
            labels: NDArray[Any] = runs.labels[by]
        elif by in runs.columns:
            codes, names = runs.group_codes(by)
            labels = np.asarray(names)[codes]
        else:
            raise ColumnError(
                message(f"the law {law.id!r} is grouped by {by!r}, which the table does not have", f"a column {by!r}")
            )
        columns[by] = law.groups.codes(labels[rows])
    if law.schedule is not None:
        columns[law.schedule] = schedules_of(runs, columns["step"], rows)
    y = runs[law.output][rows]
    trials = None
    if trials_wanted:
        trials = runs["trials"][rows] if "trials" in runs.columns else np.ones(rows.size)
    response = objective.response(y, trials)
    kept = np.array(given[rows], dtype=np.float64)
    return Problem(law, Space.of(law), objective, columns, response, kept, rows)


def schedules_of(runs: Runs, step: Array, rows: NDArray[np.intp] | None = None) -> Schedules:
    """The schedules of some rows of a table whose rows are points of its curves; `step` (n,) of those rows.

    Raises:
        ColumnError, DataError: see `runs.curves.schedules`; a step outside of its schedule.
    """
    known = schedules(runs)
    names = runs.labels["run"] if "run" in runs.labels else np.full(len(runs), next(iter(known)))
    return Schedules.of(known, step, names if rows is None else names[rows])

# SPDX-License-Identifier: Apache-2.0
"""Ask, run, tell, ask again: the next runs as a conversation of immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, message
from forescale.fitting._fit import Fit
from forescale.planning import _money, _run, next_runs
from forescale.planning._batch import Batch
from forescale.planning._candidates import Candidates, given
from forescale.planning._plan import Basis, Plan
from forescale.runs.derive import require
from forescale.runs.table import Runs, concat

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One told run against what the fit before it said: z is the surprise in standard deviations of a new run."""

    N: float
    D: float
    observed: float
    expected: float
    z: float


@dataclass(frozen=True, eq=False)
class Design:
    """The runs to make next, with everything needed to ask again.

    Attributes:
        fit: what is believed so far.
        query: the question; its budget, runs and rounds are what is left.
        batch: what was chosen.
        spent: FLOP of the runs told so far.
        told: the checks of the last batch told against the fit before it.
    """

    fit: Fit
    query: next_runs.NextRunsQuery
    batch: Batch
    candidates: Candidates | None = None
    group: str | None = None
    spent: float = 0.0
    told: tuple[Check, ...] = ()
    _basis: Basis | None = field(default=None, repr=False)

    @cached_property
    def plan(self) -> Plan:
        """The batch as a Plan: tables, what more money would buy, other designs, warnings."""
        from forescale.judge.verdict import verdict  # `tell` fits without one: only who reads needs it

        assert self._basis is not None  # noqa: S101 - `ask` fills it
        unjudged = self.fit.runs is not None and self.fit.verdict is None
        fit = replace(self.fit, verdict=verdict(self.fit)) if unjudged else self.fit
        with np.errstate(all="ignore"):
            return next_runs.described(replace(self._basis, fit=fit), self.query, self.batch)

    @property
    def runs(self) -> Mapping[str, Array]:
        """One row per run, repeats apart: N, D, C in FLOP, and check (1 for a run that checks the law)."""
        pick, counts = self.batch.candidates, self.batch.counts
        index = np.repeat(np.arange(counts.size), counts)
        check = np.concatenate([np.arange(n) < c for n, c in zip(counts, self.batch.checks)] or [np.empty(0)])
        return {"N": pick.N[index], "D": pick.D[index], "C": pick.cost[index], "check": check.astype(np.float64)}

    @property
    def cost(self) -> float:
        """FLOP of the batch."""
        return self.batch.cost

    @property
    def stop(self) -> bool:
        """Whether no batch saves what it costs (never, when the query is not economical), or nothing is left."""
        return self.query.economical and self.query.about == "size" and self.batch.stop

    def tell(self, new: Any) -> Design:
        """The design after new runs: fit again, spend less, ask again.

        Args:
            new: Runs, or anything `Runs.from_columns` takes: columns N, D and the loss.

        Raises:
            QueryError: the budget, the runs or the rounds are used up; `fit_of` still gives the fit.
            DataError, ColumnError: runs that do not fit the table so far.
        """
        table = _table(new)
        fit = fit_with(self.fit, table)
        cost = _cost(table)
        total = _money.budget(_run.basis(self.fit, next_runs.planner, group=self.group), self.query.budget, None).flop
        left, runs = float(total - cost), self.query.runs - len(table)
        if left <= 0 or runs < 1:
            raise QueryError(
                message(
                    f"{len(table)} runs of {cost:.3g} FLOP use up the {self.query.runs} runs and {total:.3g} FLOP "
                    "that were left",
                    "something left to plan with",
                    "fit the runs: fs.fit(...), or ask again with another budget: fs.next_runs(fit, ...)",
                )
            )
        changed = {"budget": f"{left!r} FLOP", "runs": runs, "rounds": max(self.query.rounds - 1, 1)}
        query = self.query.model_dump(mode="json", exclude_none=True) | changed
        told = checks(self.fit, table, self.group)
        pool = _left(self.candidates, fit, query["repeats"])
        return ask(fit, query, candidates=pool, group=self.group, spent=self.spent + cost, told=told)

    def summary(self) -> str:
        """The plan as text."""
        return self.plan.summary()

    def __repr__(self) -> str:
        return self.plan.headline


def ask(
    fit: Fit,
    query: Mapping[str, Any],
    *,
    candidates: Candidates | None = None,
    group: str | None = None,
    spent: float = 0.0,
    told: tuple[Check, ...] = (),
) -> Design:
    """Choose the next runs.

    Args:
        fit: a fit of runs, or published constants when nothing has been run.
        query: fields of `NextRunsQuery`.
        candidates: the only runs that can be made; default a ladder of budgets with sizes around the optimum.

    Raises:
        QueryError, QuantityError, RefusedError: as `fs.plan`.
    """
    basis = _run.basis(fit, next_runs.planner, group=group, refit=False)
    asked = _run.read(next_runs.planner, query)
    assert isinstance(asked, next_runs.NextRunsQuery)  # noqa: S101 - the planner's own model
    return Design(fit, asked, next_runs.chosen(basis, asked, candidates), candidates, group, spent, told, basis)


def fit_with(fit: Fit, new: Runs) -> Fit:
    """The same law fitted to the runs of a fit and new ones together, with the same loss, level and seed.

    Published constants have no runs: the new ones stand alone.
    """
    from forescale.fitting import estimate  # not at import: plans from published constants start without it

    table = require(new, "N", "D", fit.law.output)
    if fit.runs is not None:
        table = replace(table, conventions=table.conventions.filled(fit.runs.conventions))
        table = concat([require(fit.runs, "N", "D"), table])
    return estimate.fit(table, fit.law, loss=fit.loss, level=fit.level, rng=fit.seed)


def checks(fit: Fit, new: Runs, group: str | None = None) -> tuple[Check, ...]:
    """New runs against the fit that was made without them."""
    runs = require(new, "N", "D", fit.law.output)
    labels = {} if group is None or fit.law.groups is None else {fit.law.groups.by: group}
    found = fit.predict(**{name: runs[name] for name in fit.law.inputs}, **labels)
    frame = found.summary_frame()
    half = 0.5 * (frame["prediction_upper"] - frame["prediction_lower"]) / 1.6449
    seen = runs[fit.law.output]
    return tuple(
        Check(float(n), float(d), float(y), float(e), float((y - e) / h) if h > 0 else float("nan"))
        for n, d, y, e, h in zip(runs["N"], runs["D"], seen, frame["estimate"], half)
    )


def candidates_of(source: Any) -> Candidates:
    """Candidates from columns N and D, and C where a run does not cost 6ND.

    Raises:
        ColumnError: N or D is missing.  DataError: values that are not positive.
    """
    if isinstance(source, Candidates):
        return source
    if isinstance(source, Mapping):
        return given(source.get("N", ()), source.get("D", ()), source.get("C"))
    table = require(_table(source), "N", "D")
    return given(table["N"], table["D"], table["C"] if "C" in table.columns else None)


def _left(pool: Candidates | None, fit: Fit, repeats: int) -> Candidates | None:
    """The caller's candidates that were not yet made `repeats` times."""
    if pool is None or fit.runs is None:
        return pool
    made = [(n, d) for n, d in zip(np.round(np.log(fit.runs["N"]), 9), np.round(np.log(fit.runs["D"]), 9))]
    places = zip(np.round(np.log(pool.N), 9), np.round(np.log(pool.D), 9))
    keep = np.array([made.count(place) < repeats for place in places])
    if not keep.any():
        raise QueryError(message("every candidate was made", "candidates that are left", "fs.fit the runs"))
    return pool.keep(keep)


def _cost(table: Runs) -> float:
    full = require(table, "N", "D")
    return float(full["C"].sum() if "C" in full.columns else 6.0 * (full["N"] * full["D"]).sum())


def _table(source: Any) -> Runs:
    if isinstance(source, Runs):
        return source
    return Runs.from_columns({name: np.asarray(values) for name, values in dict(source).items()})

# SPDX-License-Identifier: Apache-2.0
"""From runs and a law to a Fit: start search, batched least squares, certified polish, covariance, draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.streams import seed_sequence
from forescale.fitting import _covariance, _search
from forescale.fitting._fit import Convergence, Fit
from forescale.fitting._optimum import optimum
from forescale.fitting._problem import Problem, bind
from forescale.fitting._tails import robust_scale, root_mean_square
from forescale.laws import Law
from forescale.numerics import losses
from forescale.numerics.losses import Objective
from forescale.runs.curves import curve_points
from forescale.runs.derive import derive, require
from forescale.runs.table import Note, Runs

Array = NDArray[np.float64]

DRAWS = 1000

GROUPING = 2e-4
"""Largest share of the loss by which merged drops of a learning rate may change predictions without a warning."""


def fit(
    runs: Runs,
    law: Law,
    *,
    loss: str | Objective | None = None,
    level: float = 0.90,
    rng: int = 0,
    starts: int | None = None,
    polish: int = 16,
    weights: ArrayLike | None = None,
    group_by: str | None = None,
    separate: Sequence[str] = (),
) -> Fit:
    """Fit a law to runs.

    Candidates come from variable projection where parameters are linear and from Sobol points otherwise; the `polish`
    best distinct ones are solved together, and the best of them is brought to its optimum and certified.

    A law along training curves takes a table of runs with curves, and is fitted to their logged points.

    Args:
        loss: name or objective (see `numerics.losses`); default the law's own, "log-huber" for losses.
        level: nominal level of all intervals.
        rng: seed of the draws.
        starts: how many candidates are scored (default: as the law needs).
        polish: how many of them are solved to the end.
        weights: (n,) >= 0; default the table's own weights.
        group_by, separate: one value of the parameters `separate` per level of a label column, the others shared.

    Returns:
        Fit without verdict (see `judge.verdict`).

    Raises:
        ColumnError: a column is missing.
        DataError: fewer rows than parameters; values that the objective cannot take.
        LawError: unknown parameters in `separate`.
        RefusedError: the law is finite at no start: it cannot describe these columns.
    """
    if not 0.0 < level < 1.0:
        raise DataError(message(f"an interval level of {level}", "a number between 0 and 1, e.g. 0.9"))
    if law.schedule is not None:
        runs = curve_points(runs if weights is None else runs.with_weights(weights))
        weights = None
    if group_by is not None:
        runs = require(runs, *law.inputs, law.output)
        _, names = runs.group_codes(group_by)
        law = law.grouped(group_by, sorted(names), list(separate))
    objective = losses.loss(law.loss if loss is None else loss)
    runs = require(runs, *law.inputs, law.output)
    problem = bind(law, runs, objective, weights)
    p = len(law.params)
    if problem.n < p:
        raise DataError(
            message(
                f"{problem.n} rows for the {p} parameters of {law.id!r} ({', '.join(law.params)})",
                f"at least {p} rows, {p + 2} for intervals, and better {3 * p}",
                "add runs, use a law with fewer parameters, or fix some: law.fix(...)",
            )
        )
    u0, tried = _search.candidates(problem, polish, starts)
    u, convergence, value, alternatives = optimum(problem, u0, tried)
    return _describe(problem, runs, u, value, convergence, alternatives, level=level, seed=_seed(rng))


def refit(fit: Fit, rows: NDArray[np.intp] | None = None, *, law: Law | None = None) -> Fit:
    """The same fit (law, loss, level, seed) on some rows of its table, or with another law."""
    if fit.runs is None:
        raise RefusedError(message(f"a refit of {fit.source or 'published constants'}", "a fit to runs"))
    runs = fit.runs if rows is None else fit.runs.where(rows)
    return _again(runs, fit.law if law is None else law, fit)


def _again(runs: Runs, law: Law, like: Fit) -> Fit:
    return fit(runs, law, loss=like.loss, level=like.level, rng=like.seed)


def problem_of(fit: Fit) -> Problem:
    """The problem that a fit solved.

    Raises:
        RefusedError: published constants have no rows.
    """
    if fit.runs is None:
        raise RefusedError(
            message(
                f"{fit.source or 'published constants'} come without their runs",
                "a fit to runs",
                "fs.fit(runs, law) on runs of your own or on a public data set",
            )
        )
    return bind(fit.law, fit.runs, losses.loss(fit.loss))


def _seed(rng: int) -> int:
    entropy = seed_sequence(rng).entropy
    return entropy if isinstance(entropy, int) else 0


def _describe(
    problem: Problem,
    runs: Runs,
    u: Array,
    value: float,
    convergence: Convergence,
    alternatives: Array,
    *,
    level: float,
    seed: int,
) -> Fit:
    from forescale import __version__

    space, n, p = problem.space, problem.n, u.size
    notes = list(runs.notes)
    by_run = "run" in runs.labels
    clusters = _covariance.clusters_of(runs, problem.rows, "run") if by_run else None
    if clusters is not None:
        groups = int(clusters.max()) + 1
        alone = Note("amber", "one-run", f"{n} rows of one run: intervals take its rows as independent.")
        many = Note("info", "clustered", f"{n} rows of {groups} runs; rows of a run are one cluster.")
        notes.append(alone if groups == 1 else many)
    spread = _covariance.knowledge_at(problem, u, clusters)
    notes += _doubts(problem, u, spread, alternatives)
    notes += _frontier_notes(problem, u)
    notes += _grouping_notes(problem, u)
    residuals, residual_scale = problem.residuals(u)
    plain = problem.objective.kind in ("squared", "gaussian") or n < _covariance.FEW * p
    scale = root_mean_square if plain else robust_scale
    intervals = _covariance.wald(space, u, spread.covariance, spread.df, level)
    draws = _covariance.laplace(space, u, spread.covariance, spread.df, level, DRAWS, seed)
    if problem.rows.size < len(runs):
        notes.append(
            Note("info", "zero-weight", f"{len(runs) - n} of {len(runs)} rows have weight zero and were not used.")
        )
        runs = runs.where(problem.rows)
    if runs.weights is not None or not np.all(problem.weights == 1.0):
        runs = runs.with_weights(problem.weights)
    return Fit(
        law=problem.law,
        params=Frozen(space.mapping(space.natural(u))),
        covariance=_frozen(spread.covariance),
        draws=_frozen(draws),
        draws_from="laplace" if draws.shape[0] else "none",
        loss=problem.objective.id,
        objective=value,
        sigma=scale(residuals, p),
        runs=runs,
        residuals=_frozen(residuals),
        convergence=replace(convergence, rank=min(convergence.rank, p)),
        conventions=_conventions(runs),
        fitted_range=fitted_range(problem.law, runs),
        notes=tuple(dict.fromkeys(notes)),
        intervals=Frozen({"wald": intervals}),
        level=level,
        seed=seed,
        version=__version__,
        data_hash=runs.hash,
        source="",
        df=spread.df,
        covariance_from=spread.method,
        scale=residual_scale,
    )


def _doubts(problem: Problem, u: Array, spread: _covariance.Knowledge, alternatives: Array) -> list[Note]:
    """Notes on what the rows do not determine. They state; the verdict judges."""
    n, p = problem.n, u.size
    notes: list[Note] = []
    if n < p + 2:
        notes.append(
            Note(
                "red", "too-few-rows",
                f"{n} rows for {p} parameters leave {n - p} to estimate noise from: no intervals, no bands.",
            )
        )  # fmt: skip
        return notes
    if spread.method == _covariance.TOO_FEW_RUNS:
        notes.append(
            Note(
                "red", "too-few-runs",
                f"{n} rows of so few runs leave nothing to see the noise between runs by: no intervals, no bands.",
            )
        )  # fmt: skip
        return notes
    sd = np.sqrt(np.where(np.diag(spread.covariance) >= 0, np.diag(spread.covariance), np.nan))
    space = problem.space
    wide = (sd > _covariance.UNKNOWN) & ~np.array(space.floor)
    lost = [name for name, s, w in zip(space.names, sd, wide) if not np.isfinite(s) or w]
    gone = [name for name, isfloor, low in zip(space.names, space.floor, u - problem.lower) if isfloor and low < 7.0]
    ends = np.minimum(u - problem.lower, problem.upper - u)
    breaks = [p.kind == "break" for p in problem.law.params.values()]
    inner = zip(space.names, np.array(space.floor) | breaks, ends)
    far = [name for name, held, gap in inner if not held and gap < 1.0]
    edge = [name for name, isbreak, gap in zip(space.names, breaks, ends) if isbreak and gap < 1e-9]
    if far:
        notes.append(
            Note(
                "red", "runaway",
                f"{', '.join(far)} ran to the end of the search: the law has no finite optimum on these rows. "
                "One with fewer parameters says the same.",
            )
        )  # fmt: skip
    if edge:
        notes.append(
            Note("amber", "no-break", f"{', '.join(edge)} lies at the end of the rows: they show no such break.")
        )
    if gone:
        notes.append(
            Note(
                "amber", "at-bound",
                f"{', '.join(gone)} ended at zero: the rows see no floor. The interval says how high it may be.",
            )
        )  # fmt: skip
    if lost:
        notes.append(
            Note(
                "red", "not-determined",
                f"The rows do not determine {', '.join(lost)}: other values fit as well. Predictions far from the "
                "rows have no interval.",
            )
        )  # fmt: skip
    if alternatives.shape[0] > 1:
        with np.errstate(all="ignore"):
            away = np.abs(alternatives - u) / np.where(sd > 0, sd, np.inf)
        natural = problem.space.natural(alternatives)
        at = problem.space.natural(u)
        differs = (np.abs(natural - at) > 1e-3 * np.maximum(np.abs(at), 1e-300)) & ((away > 0.05) | ~np.isfinite(sd))
        names = [name for i, name in enumerate(problem.space.names) if differs[:, i].any() and name not in lost]
        if names:
            notes.append(
                Note(
                    "amber", "several-optima",
                    f"Different values of {', '.join(names)} reach the same objective to 8 digits.",
                )
            )  # fmt: skip
    return notes


def _frontier_notes(problem: Problem, u: Array) -> list[Note]:
    """What was estimated beside the law under the loss `frontier`."""
    if problem.objective.kind != "frontier" or problem.objective.numbers[0] == 0.0:
        return []
    pred = problem.predict(u[None])
    scale, share = problem.objective.profile(pred, problem.response, problem.weights[None])[0]
    text = f"{100 * share:.0f} % of the rows lie above the law by an excess; noise of the others {100 * scale:.2g} %."
    if share >= 0.99 * problem.objective.numbers[0]:
        return [Note("amber", "frontier", text + " That is the most it may be: few rows are left to hold the law.")]
    return [Note("info", "frontier", text + (" Which ones: fs.excess(fit)." if share > 0 else ""))]


def _grouping_notes(problem: Problem, u: Array) -> list[Note]:
    """What merging the drops of the learning rates into groups changed, for laws along curves."""
    name = problem.law.schedule
    if name is None:
        return []
    exact = replace(problem, columns={**problem.columns, name: problem.columns[name].exact()}).predict(u[None])
    change = float(np.abs(problem.predict(u[None]) / exact - 1.0).max())
    if change == 0.0:
        return []
    text = f"Drops of the learning rate were merged into groups, which changes predictions by at most {change:.1e}."
    return [Note("info" if change < GROUPING else "amber", "grouped-drops", text)]


def _frozen(array: Array) -> Array:
    out = np.ascontiguousarray(array, dtype=np.float64)
    if out is array:
        out = out.copy()
    out.flags.writeable = False
    return out


def _conventions(runs: Runs) -> Mapping[str, str]:
    stated = {name: getattr(runs.conventions, name) for name in ("N", "D", "C", "loss")}
    return Frozen({name: value for name, value in stated.items() if value})


def fitted_range(law: Law, runs: Runs) -> Mapping[str, tuple[float, float]]:
    """Least and largest value of each input, and of C where it is known or follows from N and D."""
    ranges: dict[str, tuple[float, float]] = {}
    full = runs
    if "C" not in runs.columns and {"N", "D"} <= set(runs.columns):
        full = derive(runs)
    for name in (*law.inputs, *(k for k in ("N", "D", "C") if k not in law.inputs)):
        if name in full.columns:
            values = full.columns[name]
            finite = values[np.isfinite(values)]
            if finite.size:
                ranges[name] = (float(finite.min()), float(finite.max()))
    return Frozen(ranges)

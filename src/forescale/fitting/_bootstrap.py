# SPDX-License-Identifier: Apache-2.0
"""The bootstrap: all resamples refitted from the optimum, as one batch or as blocks over processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.streams import seed_sequence
from forescale.fitting._covariance import TOO_FEW_RUNS, clusters_of, stretch_of_draws
from forescale.fitting._optimum import ROUNDING
from forescale.fitting._problem import Problem
from forescale.numerics import lm, parallel, resample
from forescale.runs.table import Note, Runs

if TYPE_CHECKING:
    from forescale.fitting._fit import Fit

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


SHARE = 8 * lm.BLOCK
"""Refits per task of a worker: whole blocks of the solver, so that the bits do not depend on the workers."""


def bootstrap(fit: Fit, n: int = 4000, by: str = "row", rng: int | None = None, workers: int = 1) -> Fit:
    """Refit `n` resamples from the optimum; draws and percentile intervals of a new Fit.

    Args:
        by: "row"; "run" or the name of any label column: whole clusters are drawn together.
        rng: seed (default the seed of the fit).
        workers: processes to spread the refits over; the draws are the same for any number. Starting one costs about
            a second, so it pays for slow laws, large tables and tens of thousands of draws. A law that was written
            in the running script or notebook cannot be sent to another process and is refitted in this one.

    Grouped laws draw rows inside each group, so that no group can vanish. Refits that do not converge are dropped
    and counted in a note.

    Raises:
        QueryError: fewer than 2 resamples or 1 worker, or an unknown column.
        InputError: a worker died, also where a script lacks its `__main__` guard.
        DataError: fewer than P + 2 rows, or three clusters: resamples would often hold fewer distinct rows than
            parameters.
        RefusedError: published constants, or runs too few for intervals.
    """
    from forescale.fitting.estimate import problem_of

    problem = problem_of(fit)
    if n < 2:
        raise QueryError(message(f"{n} bootstrap resamples", "at least 2; 1,000 for intervals"))
    if workers < 1:
        raise QueryError(message(f"{workers} workers", "1 or more"))
    if fit.runs is None:
        raise RefusedError(message("a bootstrap of published constants", "a fit to runs"))
    seed = fit.seed if rng is None else rng
    stream = np.random.SeedSequence(seed_sequence(seed).entropy, spawn_key=(2,))
    clusters, origin = _units(fit.runs, problem, by)
    if fit.covariance_from == TOO_FEW_RUNS:
        raise RefusedError(
            message("a bootstrap of runs that do not determine the law", "more runs than parameters", "more runs")
        )
    count = problem.n if clusters is None else int(clusters.max()) + 1
    p = len(problem.space.names)
    if count < p + 2 and clusters is None:
        raise DataError(
            message(f"{count} rows were to be resampled for {p} parameters", f"at least {p + 2}", "profile intervals")
        )
    if clusters is not None and count < 3:
        raise DataError(message(f"{count} clusters by {by!r}", "at least 3", 'by="row"'))
    w = _weights(problem, clusters, n, stream)
    u0 = problem.space.search(problem.space.vector(fit.params))
    tasks = [_Task(problem, u0, w[part]) for part in parallel.slices(n, SHARE)]
    if workers > 1 and parallel.can_travel(tasks[0]):
        parts = parallel.map_blocks(_refit, tasks, workers)
    else:
        parts = [_refit(task) for task in tasks]
    theta, objective, converged = (np.concatenate(arrays) for arrays in zip(*parts))
    return resampled(fit, problem, clusters, origin, w, theta, objective, converged)


def resampled(
    fit: Fit,
    problem: Problem,
    clusters: Labels | None,
    origin: str,
    w: Array,
    theta: Array,
    objective: Array,
    converged: NDArray[np.bool_],
) -> Fit:
    """The fit with the refits theta (B, P) of its resamples, weights w (B, n), as draws and intervals."""
    if fit.runs is None:
        raise RefusedError(message("a bootstrap of published constants", "a fit to runs"))
    n, u0 = theta.shape[0], problem.space.search(problem.space.vector(fit.params))
    natural = problem.space.natural(theta)
    exact = objective <= ROUNDING * w.sum(axis=1) if not problem.objective.likelihood else False
    good = (converged | exact) & np.isfinite(natural).all(axis=1)
    notes = fit.notes
    if clusters is None and "run" in fit.runs.labels and clusters_of(fit.runs, problem.rows, "run") is not None:
        text = "Rows of one run were resampled apart, as if independent: the intervals are too short. Use by='run'."
        notes = (*notes, Note("amber", "bootstrap-splits-runs", text))
    lost = int((~good).sum())
    if lost > 0.01 * n:
        text = f"{lost} of {n} bootstrap refits did not converge and were left out; the intervals may be too short."
        notes = (*notes, Note("amber", "bootstrap-lost", text))
    if good.sum() < 2:
        raise RefusedError(message("no bootstrap refit converged", "a fit with a clear optimum", "more rows"))
    draws = natural[good]
    tail = 0.5 * (1.0 - fit.level)
    ends = np.quantile(theta[good], [tail, 1.0 - tail], axis=0)
    if clusters is not None:
        ends = u0 + stretch_of_draws(fit.covariance_from, fit.df, fit.level) * (ends - u0)
    ends = np.sort(problem.space.natural(ends), axis=0)
    named = {name: (float(ends[0, i]), float(ends[1, i])) for i, name in enumerate(problem.space.names)}
    return replace(
        fit,
        draws=draws,
        draws_from=origin,
        notes=notes,
        intervals=Frozen({**fit.intervals, "bootstrap": Frozen(named)}),
    )


@dataclass(frozen=True)
class _Task:
    problem: Problem
    start: Array  # (P,)
    weights: Array  # (b, n)


def _refit(task: _Task) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Search coordinates (b, P), objectives and convergence (b,) of some resamples."""
    problem = task.problem
    found = lm.solve(
        problem.predict_and_jacobian, problem.objective, problem.response,
        np.tile(task.start, (task.weights.shape[0], 1)), task.weights, rtol=1e-9, lower=problem.lower,
    )  # fmt: skip
    return found.theta, found.objective, found.converged


def _units(runs: Runs, problem: Problem, by: str) -> tuple[Labels | None, str]:
    if by in ("row", "rows"):
        return None, "bootstrap-rows"
    if by == "group" and problem.law.groups is not None and by not in runs:
        by = problem.law.groups.by
    if by not in runs.labels:
        raise QueryError(
            message(
                f"a bootstrap by {by!r}, which is no label column",
                "row, or one of " + (", ".join(runs.labels) or "(the table has no label columns)"),
            )
        )
    labels = clusters_of(runs, problem.rows, by)
    return labels, "bootstrap-runs" if by == "run" else "bootstrap-groups"


def _weights(problem: Problem, clusters: Labels | None, n: int, rng: np.random.SeedSequence) -> Array:
    base = None if np.all(problem.weights == 1.0) else problem.weights
    groups = problem.law.groups
    if groups is not None:
        codes = np.asarray(problem.columns[groups.by], dtype=np.intp)
        nested = clusters is None or all(np.unique(codes[clusters == c]).size == 1 for c in np.unique(clusters))
        whole = clusters is not None and np.unique(clusters).size == np.unique(codes).size
        if nested and not whole:
            return resample.bootstrap_groups(codes, n, rng, clusters, base)
        raise QueryError(
            message(
                "the bootstrap would draw whole groups of a law that has a parameter per group, and leave some out",
                'by="row" or by="run"',
            )
        )
    if clusters is None:
        return resample.bootstrap_rows(problem.n, n, rng, base)
    return resample.bootstrap_clusters(clusters, n, rng, base)

# SPDX-License-Identifier: Apache-2.0
"""Draws by simulation: values drawn anew around a fit, and the law fitted to each of these tables.

For laws whose parameters trade off along a bent valley, seen by few rows: normal draws leave the valley, and
resampled rows would often hold fewer points than the law has parameters.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from forescale.core.errors import RefusedError, message
from forescale.core.streams import block_streams
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import problem_of
from forescale.numerics import lm

ENOUGH = 1e-4
"""Share of its objective that a refit may still promise: far below the scatter of the tables, and along a valley the
last digits of the objective cost nearly all of the time."""

PATIENCE = 60
BLOCK = 512
"""Refits solved together: the tables are small."""


def simulated(fit: Fit, n: int = 1000, rng: int = 0) -> Fit:
    """The fit with `n` draws of this kind. Its curve is what they are for; parameters wander along the valley.

    The noise of each table is drawn too, from what the residuals say of it with `fit.df` degrees of freedom.

    Raises:
        RefusedError: published constants; residuals that leave no freedom; fewer than two refits that are finite.
    """
    problem = problem_of(fit)
    free = fit.df if fit.df > 0 else float(problem.n - len(fit.law.names))
    if free < 1:
        raise RefusedError(
            message(
                f"draws around a fit of {problem.n} rows to {len(fit.law.names)} parameters", "more rows than that"
            )
        )
    random = block_streams(rng, 1)[0]
    u0 = problem.space.search(problem.space.vector(fit.params))
    center = problem.predict(u0[None])[0]
    log = problem.objective.scale == "log"
    sigma = fit.sigma
    if not log:
        left = problem.objective.residual(center[None], problem.response)[0]
        sigma = math.sqrt(float((problem.weights * left * left).sum()) / free)
    scale = np.full(n, sigma)
    if math.isfinite(free):
        scale = sigma * np.sqrt(free / random.chisquare(free, n))
    noise = scale[:, None] * random.standard_normal((n, problem.n)) / np.sqrt(problem.weights)
    values = center * np.exp(noise) if log else center + noise
    found = lm.solve(
        problem.predict_and_jacobian, problem.objective, problem.objective.response(values), np.tile(u0, (n, 1)),
        problem.weights, rtol=ENOUGH, lower=problem.lower, upper=problem.upper, max_iterations=PATIENCE, block=BLOCK,
    )  # fmt: skip
    natural = problem.space.natural(found.theta)
    good = np.isfinite(found.objective) & np.isfinite(natural).all(axis=1)
    if good.sum() < 2:
        raise RefusedError(message("no simulated table could be fitted", "a fit with a clear optimum", "more rows"))
    return replace(fit, draws=natural[good], draws_from="simulated tables")

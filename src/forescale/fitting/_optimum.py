# SPDX-License-Identifier: Apache-2.0
"""From starts to a certified optimum, and the certificate in words."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import RefusedError, message
from forescale.fitting import _search
from forescale.fitting._fit import Convergence
from forescale.fitting._problem import Problem
from forescale.numerics import lm

Array = NDArray[np.float64]

ROUNDING = 1e-20
"""An objective below this times the weights is rounding: residuals of 1e-10 of what was observed."""

AGREE = 1e-8
"""Starts agree when their objectives differ by less than this share."""

EXACT = 1e-10
"""Residuals below this share of what was observed are rounding: the rows lie on the law."""

REACHED = 1e-6
"""A start reached rows that lie on the law when its residuals are below this share: ratios of objectives near zero
say nothing."""

ROUNDS = (60, 60, 120, 120)
"""Iterations of each round of refinement."""

QUICK = (30,)
"""The same for starts that the law itself proposed: they are near, and the polish does the rest."""

QUICK_POLISH = 25
POLISH = 60
"""Iterations of the polish. A start from `refined` needs about five; more only walk along a ridge to infinity."""

NEAR = 0.2
"""Starts whose objective is worse than the best by this share after a round are another basin."""


def optimum(problem: Problem, u0: Array, tried: int) -> tuple[Array, Convergence, float, Array]:
    """Solve all starts u0 (K, P), certify the best; also the end points (K, P) that reach the same objective."""
    data, w = problem.response, problem.weights
    # The law's own starts are few, and all of them are solved; robust losses have several basins all the same.
    own = tried == u0.shape[0] and problem.objective.kind in _search.PLAIN
    theta, objective = refined(problem, u0, QUICK if own else ROUNDS)
    if not np.isfinite(objective).any():
        raise RefusedError(
            message(
                f"the law {problem.law.id!r} is not finite at any of {tried} starts on these rows",
                "inputs in the units the law is written for",
                "check the columns " + ", ".join(problem.law.inputs),
            )
        )
    size = _size(problem, float(np.nanmin(objective)))
    certificate = lm.polish(
        problem.predict_and_jacobian, problem.objective, data, theta[int(np.argmin(objective))], w,
        lower=problem.lower, upper=problem.upper, max_iterations=QUICK_POLISH if own else POLISH, again=not own,
    )  # fmt: skip
    best = min(certificate.objective, float(np.min(objective)))
    u = certificate.theta if certificate.objective <= best + 1e-12 * size else theta[int(np.argmin(objective))]
    # Rows that lie on the law leave nothing to certify: the objective is rounding, and so are its differences.
    unit = _unit(problem)
    left = float(np.abs(problem.objective.residual(problem.predict(u[None]), data)).max())
    exact = left <= EXACT * unit
    same = objective <= best + (1e-4 if exact and problem.objective.likelihood else AGREE) * size
    polished = int(np.isfinite(objective).sum())
    if exact:
        with np.errstate(all="ignore"):
            off = np.abs(problem.objective.residual(problem.predict(theta), data)).max(axis=1)
        agree, gap = max(int((off <= REACHED * unit).sum()), 1), math.inf
    else:
        other = objective[~same & np.isfinite(objective)]
        # the certified point descends from one of the starts, even where the last polish went below all of them
        agree, gap = max(int(same.sum()), 1), float((other.min() - best) / size) if other.size else math.inf
    certified = certificate.certified or exact
    convergence = Convergence(
        starts=tried,
        polished=polished,
        agree=agree,
        next_basin=gap,
        gradient=certificate.gradient_norm,
        decrease=certificate.predicted_decrease,
        condition=certificate.condition,
        rank=certificate.rank,
        certified=certified,
        message=_sentence(polished, agree, gap, certified, exact),
    )
    return u, convergence, best, theta[same]


def refined(problem: Problem, u0: Array, rounds: tuple[int, ...]) -> tuple[Array, Array]:
    """All starts brought to the ends of their basins: (K, P) and objectives (K,).

    In rounds, each with fresh damping: on curved valleys a restart gets further than more iterations. After the first
    round only starts that are near the best go on.
    """
    theta, objective = u0.copy(), np.full(u0.shape[0], np.inf)
    alive = np.ones(u0.shape[0], dtype=bool)
    for iterations in rounds:
        found = lm.solve(
            problem.predict_and_jacobian, problem.objective, problem.response, theta[alive], problem.weights,
            max_iterations=iterations, lower=problem.lower, upper=problem.upper,
        )  # fmt: skip
        theta[alive], objective[alive] = found.theta, found.objective
        done = np.zeros(alive.size, dtype=bool)
        done[alive] = found.converged | ~np.isfinite(found.objective)
        best = float(objective.min())
        alive &= ~done & (objective <= best + NEAR * _size(problem, best))
        if not alive.any():
            break
    return theta, objective


def _size(problem: Problem, best: float) -> float:
    """What an objective is compared with: itself, or the sum of weights for likelihoods (they may be near zero);
    never below the rounding of noiseless data."""
    total = float(problem.weights.sum())
    return total if problem.objective.likelihood else max(abs(best), ROUNDING * total * _unit(problem) ** 2)


def _unit(problem: Problem) -> float:
    """What residuals are compared with: they are shares on the log scale, and in units of the response elsewhere."""
    if problem.objective.scale == "log":
        return 1.0
    return max(float(np.abs(problem.response.target).max()), 1e-300)


def _sentence(polished: int, agree: int, gap: float, certified: bool, exact: bool) -> str:
    text = f"{agree} of {polished} polished starts agree"
    if exact:
        return text + "; the law passes through every row, so no other optimum is better"
    text += "; no other basin was met" if math.isinf(gap) else f"; next basin +{_percent(gap)}"
    return text + ("" if certified else "; the optimum is not certified: it is flat, at a bound, or on a kink")


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share < 10.0 else "1,000 % or more"

# SPDX-License-Identifier: Apache-2.0
"""How well the rows determine the parameters: covariance, Wald intervals, Laplace draws.

Everything works on the search scale (see `_space`), so an interval of a positive parameter stays positive. The
covariance is a sandwich for every loss that is no true likelihood, and for student-t, whose tails are an assumption;
it is the inverse information only for `binomial`, `beta-binomial`, where the noise is known, and `gaussian-log`,
`gaussian`. Rows that share a `run` are one cluster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.fitting._clusters import components
from forescale.fitting._problem import Problem
from forescale.fitting._space import Space
from forescale.fitting._tails import robust_scale, t_quantile
from forescale.numerics import linalg, resample
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

LIKELIHOODS = frozenset({"gaussian", "gaussian-log", "binomial", "beta-binomial"})
"""Objectives whose covariance is the inverse information."""

UNKNOWN = 1e4
"""A standard error above this on the search scale is no knowledge: the interval is the whole support."""

ROUNDING = 1e-12
"""Relative rounding that stands for noise where there is none, so that what rows without noise do not determine does
not look certain."""

FEW = 3
"""Rows per parameter below which the residuals are pooled. Simulated at n = 8, 10, 14 (benchmarks/coverage.py): the
sandwich of student-t holds the curve in 66-83 % of tables at a nominal 90 %, pooled residuals in 89-95 %."""

COMPONENTS = "variance components"
"""How `covariance_from` begins where the noise of few runs is one variance per run and one per row."""

TOO_FEW_RUNS = "none: too few runs"
"""`covariance_from` where rows share runs, and the runs leave nothing to see their noise by."""

WIDEST_DRAW = 3.0
"""Laplace draws of one coordinate have at most this standard deviation (a factor of 20 in a positive parameter):
beyond, the quadratic picture of the optimum has lost its meaning, and exp would overflow."""


@dataclass(frozen=True)
class Knowledge:
    """Covariance (P, P) on the search scale, its degrees of freedom, and how it was made.

    Parameters that the rows do not determine have NaN rows and columns.
    """

    covariance: Array
    df: float
    rank: int
    condition: float
    method: str


def clusters_of(runs: Runs, rows: Labels, by: str) -> Labels | None:
    """Cluster labels (n,) of the fitted rows by a label column; None when each row is its own cluster."""
    codes, _ = runs.group_codes(by)
    labels = resample.cluster_labels(codes[rows])
    return None if int(labels.max()) + 1 == rows.size else labels


def knowledge_at(problem: Problem, u: Array, clusters: Labels | None = None) -> Knowledge:
    """Covariance of the estimate at the optimum u (P,).

    Sandwich H^-1 M H^-1: H from the expected curvature of the loss, M from the squared scores of rows (of clusters),
    each inflated by 1 / (1 - leverage) (HC3; MacKinnon & White 1985) because a fit bends towards the rows that
    pull hardest. With fewer than 3 P rows there is no seeing which rows are noisier, and the density at zero of n - P
    residuals is a guess: there the covariance is the residual variance times (J J')^-1, as in least squares.
    Quantiles are Student's t with n - P degrees of freedom.

    Rows of a cluster are summed before they are squared; quantiles are those of G - 1 degrees of freedom. With fewer
    than 3 P clusters the noise is one variance per cluster and one per row (see `_clusters`), and so are the degrees
    of freedom. One cluster tells nothing of its noise: its rows are taken as independent.
    """
    p, n = u.size, problem.n
    nothing = np.full((p, p), np.nan)
    if n < p + 2:
        return Knowledge(nothing, float(max(n - p, 0)), 0, math.inf, "none: too few rows")
    pred, jacobian = problem.predict_and_jacobian(u[None])
    w, o = problem.weights, problem.objective
    nuisance = o.profile(pred, problem.response, w)
    with np.errstate(all="ignore"):
        score = (w * o.pointwise(pred, problem.response, nuisance)[1])[0]
        curvature = (w * bread(problem, pred, nuisance))[0]
    jac = jacobian[0]
    usable = np.isfinite(jac).all() and np.isfinite(score).all() and np.isfinite(curvature).all()
    if not usable or not (curvature > 0).any():
        return Knowledge(nothing, float(n - p), 0, math.inf, "none: the curvature is not finite")
    score = np.sign(score) * np.hypot(score, ROUNDING * curvature * pred[0])
    score = np.where(score == 0.0, ROUNDING * curvature * pred[0], score)
    holding = np.maximum(curvature, 0.0)
    factor = linalg.scaled_svd(jac, holding)
    df = float(n - p)
    groups = n if clusters is None else int(clusters.max()) + 1
    clusters = None if groups == 1 else clusters
    known = o.scale == "probability"
    if o.id in LIKELIHOODS and (known or clusters is None):
        inflate = 1.0 if known else n / (n - p)
        found = linalg.covariance(jac, curvature, inflate)
        method = "inverse information"
        df = math.inf if known else df
    elif clusters is not None and groups < FEW * p:
        residual = o.residual(pred, problem.response)[0]
        level = linalg.scaled_svd(jac, w * _flat(problem, pred))
        root = level.precision_root()
        parts = components(root, level.u[:, : level.rank], np.sqrt(w) * residual, clusters)
        if parts is None:
            return Knowledge(nothing, 0.0, level.rank, level.condition, TOO_FEW_RUNS)
        with np.errstate(all="ignore"):
            matrix = linalg.opened(parts.matrix + ROUNDING**2 * (root @ root.T), level)
        found = linalg.Covariance(matrix, level.rank, level.condition, level.weakest)
        df = float(min(parts.df.min(), n - p))
        method = f"{COMPONENTS}, {groups} clusters"
    elif n < FEW * p and clusters is None:
        residual = problem.objective.residual(pred, problem.response)[0]
        flat = w * _flat(problem, pred)
        found = linalg.covariance(jac, flat, float((w * residual**2).sum()) / (n - p) + ROUNDING**2)
        method = "pooled residuals (few rows)"
    else:
        level = linalg.scaled_svd(jac, w * _flat(problem, pred))
        leverage = np.clip((level.u[:, : level.rank] ** 2).sum(axis=1), 0.0, 0.99)
        inflated = score / (1.0 - leverage)
        hessian = (jac * curvature) @ jac.T if (curvature < 0).any() else None
        shift = None
        followed = following(problem, pred, nuisance, jac, curvature)
        if followed is not None:
            hessian, shift = followed[0], followed[1] / (1.0 - leverage)
        if hessian is not None and not _positive(hessian):
            hessian = None
        found = linalg.sandwich(
            jac, holding, inflated, clusters, bread=hessian, shift=shift, correction=clusters is not None
        )
        method = "sandwich"
        if clusters is not None:
            method = f"sandwich, {groups} clusters"
            df = float(max(min(groups - 1, n - p), 1))
    matrix = np.array(found.matrix)
    lost = ~np.isfinite(np.diag(matrix))
    matrix[lost, :] = np.nan
    matrix[:, lost] = np.nan
    return Knowledge(matrix, df, factor.rank, factor.condition, method)


def following(
    problem: Problem, pred: Array, nuisance: Array, jac: Array, curvature: Array
) -> tuple[Array, Array] | None:
    """Where nuisance parameters follow the curve: the Hessian (P, P) of the profiled objective and what each row's
    score (P, n) loses; None where they do not, or where the Hessian is not positive.

    With an excess above the curve, its share and the height of the curve are estimated from the same rows: without
    this the standard error of a floor is too small by a factor of up to two.
    """
    w = problem.weights
    coupling = problem.objective.coupling(pred, problem.response, w[None], nuisance)
    if coupling is None:
        return None
    cross = jac @ (w[:, None] * coupling.cross[0])
    turned = cross @ coupling.inverse[0]
    hessian = (jac * curvature) @ jac.T - turned @ cross.T
    return (hessian, turned @ (w[:, None] * coupling.score[0]).T) if _positive(hessian) else None


def stretch_of_draws(covariance_from: str, df: float, level: float) -> float:
    """Factor by which quantiles of resampled few runs are moved away from the estimate: t over normal quantile.

    A resample of seven runs repeats some and leaves others out, and knows as little of the noise between them as the
    table itself; 1 where there are runs enough (simulated in benchmarks/coverage.py).
    """
    if not covariance_from.startswith(COMPONENTS):
        return 1.0
    return t_quantile(level, df) / t_quantile(level, math.inf)


def _flat(problem: Problem, pred: Array) -> Array:
    """Curvature (n,) if every row held the curve alike: leverage is a matter of the design, not of the noise."""
    return np.asarray(1.0 / (pred[0] * pred[0]) if problem.objective.scale == "log" else np.ones(pred.shape[1]))


def _positive(hessian: Array) -> bool:
    scale = np.sqrt(np.abs(np.diag(hessian)))
    if not (scale > 0).all():
        return False
    values = np.linalg.eigvalsh(hessian / np.outer(scale, scale))
    return bool(values[0] > 1e-12 * values[-1])


def bread(problem: Problem, pred: Array, nuisance: Array) -> Array:
    """E[d2f/dpred2] per row, (1, n): how strongly each row holds the curve.

    Noise differs from row to row (runs far from the optimum of their budget scatter more), so the mean over all rows
    is not good enough: it makes the standard errors of the Chinchilla rows too small by a factor of 1.7. For losses
    with a narrow quadratic zone the density of the noise at zero is taken row by row with a kernel (Powell 1991;
    Koenker 2005, section 3.4.2), for student-t and frontier the true second derivative.
    """
    o, data = problem.objective, problem.response
    if o.kind in ("huber", "asymmetric"):
        return _kernel_bread(problem, pred)
    if o.kind in ("student-t", "frontier"):
        g = o.pointwise(pred, data, nuisance)[1]
        true = o.curvature(pred, data, nuisance)
        return np.asarray(true + g / pred if o.scale == "log" else true)
    return o.pointwise(pred, data, nuisance)[2]


def _kernel_bread(problem: Problem, pred: Array) -> Array:
    from scipy.special import ndtr

    o = problem.objective
    r = o.residual(pred, problem.response)
    n, p = r.shape[1], len(problem.space.names)
    scale = robust_scale(r[0], p)
    # Silverman's rule for a normal kernel; a table without noise has no width, and every row is inside its zone.
    width = max(1.06 * scale * n**-0.2, 1e-12)
    if o.kind == "huber":
        delta = o.numbers[0]
        slope = ndtr((r + delta) / width) - ndtr((r - delta) / width)
    else:
        zone, above, below = o.numbers
        slope = (above / zone) * (ndtr(r / width) - ndtr((r - zone) / width))
        slope += (below / zone) * (ndtr((r + zone) / width) - ndtr(r / width))
    return np.asarray(slope / (pred * pred) if o.scale == "log" else slope)


def wald(space: Space, u: Array, covariance: Array, df: float, level: float) -> Mapping[str, tuple[float, float]]:
    """Wald intervals: symmetric on the search scale, carried back; NaN where the parameter is not determined."""
    q = t_quantile(level, df)
    sd = np.sqrt(np.where(np.diag(covariance) >= 0, np.diag(covariance), np.nan))
    ends = space.natural(np.stack([u - q * sd, u + q * sd]))
    ends = np.sort(ends, axis=0)
    out: dict[str, tuple[float, float]] = {}
    natural = space.natural(u)
    for p, name in enumerate(space.names):
        if space.floor[p] and q * sd[p] > 1.0:
            # Zero is as good as any other floor here: symmetric in natural units, cut at zero.
            out[name] = (float(natural[p] * max(1.0 - q * sd[p], 0.0)), float(natural[p] * (1.0 + q * sd[p])))
        elif np.isfinite(sd[p]) and sd[p] > UNKNOWN:
            out[name] = (space.lower[p], space.upper[p])
        else:
            out[name] = (float(ends[0, p]), float(ends[1, p]))
    return Frozen(out)


def laplace(space: Space, u: Array, covariance: Array, df: float, level: float, draws: int, seed: int) -> Array:
    """Normal draws (draws, P) in natural units around u, as wide as the Wald intervals at `level`.

    No draws when some parameter is not determined: draws that hold it fixed would be falsely certain. A floor that
    may be zero is drawn in natural units and cut at zero.
    """
    p = u.size
    stretch = t_quantile(level, df) / t_quantile(level, math.inf)
    if not np.isfinite(covariance).all() or not math.isfinite(stretch):
        return np.empty((0, p))
    part = covariance * stretch**2
    sd = np.sqrt(np.diag(part))
    if (sd[~np.array(space.floor)] > UNKNOWN).any():
        return np.empty((0, p))
    floor = np.array(space.floor) & (sd > 0.5)
    shrink = np.minimum(1.0, WIDEST_DRAW / np.where(sd > 0, sd, 1.0))
    bounded = np.array([space.scale_of(i) != "line" for i in range(p)])
    shrink = np.where(bounded & ~floor, shrink, 1.0)
    part = part * np.outer(shrink, shrink)
    scale = np.where(sd * shrink > 0, sd * shrink, 1.0)
    values, vectors = np.linalg.eigh(part / np.outer(scale, scale))
    root = scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
    stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    away = stream.standard_normal((draws, p)) @ root.T
    natural = space.natural(u + np.where(floor, 0.0, away))
    natural = np.where(floor, natural * np.maximum(1.0 + away, 1e-12), natural)
    return natural[np.isfinite(natural).all(axis=1)]

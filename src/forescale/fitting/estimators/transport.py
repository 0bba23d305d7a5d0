# SPDX-License-Identifier: Apache-2.0
"""Performance from transport distances of mixtures, carried to more data (Kang et al. 2023, projektor).

Stage 1, one regression per number of training samples: quadratic in the shares, with and without a factor of the
distance between the mixture and the validation set. Stage 2: a straight line in the logarithm of that number. The
distance is `transport` below: entropic optimal transport between two samples, whose potentials are its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, InputError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

ROUNDS = (30.0, 10.0, 3.0)
"""Coarser regularisations, in units of the one asked for, that bring the potentials near."""

LEAST_ROWS = 3
"""Mixtures per number of samples."""


# --- the distance ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Transport:
    """Entropic optimal transport between weighted samples.

    Attributes:
        value: the regularised optimum; its gradient with respect to the weights is `f` and `g`, up to constants.
        cost: mean cost of the plan, without the entropy.
        f, g: (n,), (m,) dual potentials.
        error: how far the plan misses the given weights (total variation).
    """

    value: float
    cost: float
    f: Array
    g: Array
    error: float


def squared_distance(x: ArrayLike, y: ArrayLike) -> Array:
    """(n, m) squared Euclidean distances of features (n, q) and (m, q)."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    return np.asarray(np.maximum((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * a @ b.T, 0.0))


def transport(
    cost: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    reg: float = 1e-2,
    tolerance: float = 1e-9,
    most: int = 5000,
) -> Transport:
    """Sinkhorn's iterations on a cost matrix.

    Args:
        cost: (n, m), finite.
        a, b: (n,), (m,) weights >= 0 that sum to one; equal by default.
        reg: entropic regularisation, as a share of the mean cost.
        tolerance: total variation between the plan and the weights, at which to stop; most: iterations at most.

    Raises:
        DataError: shapes, or weights that are no distributions.
    """
    C = np.asarray(cost, dtype=np.float64)
    if C.ndim != 2 or C.size == 0 or not np.isfinite(C).all() or not reg > 0:
        raise DataError(message(f"a cost of shape {C.shape} and reg {reg}", "a finite (n, m) matrix and reg > 0"))
    weights = []
    for given, n in ((a, C.shape[0]), (b, C.shape[1])):
        w = np.full(n, 1.0 / n) if given is None else np.asarray(given, dtype=np.float64)
        if w.shape != (n,) or (w < 0).any() or not abs(w.sum() - 1.0) < 1e-8:
            raise DataError(message(f"weights of shape {w.shape} that sum to {w.sum():.6g}", f"({n},), sum 1"))
        weights.append(w)
    one, two = weights
    final = reg * (float(C.mean()) or 1.0)
    g = C.min(axis=0)
    f = (C - g).min(axis=1)
    error = math.inf
    for factor in (*ROUNDS, 1.0):
        last = factor == 1.0
        f, g, error = _sinkhorn(C, one, two, f, g, factor * final, tolerance if last else 1e-3, most if last else 100)
    plan = one[:, None] * two * np.exp((f[:, None] + g - C) / final)
    # The total mass is one after an update of g, so that the entropy's term vanishes.
    value = float(one @ f + two @ g - final * (plan.sum() - 1.0))
    return Transport(value, float((plan * C).sum()), f, g, error)


def _sinkhorn(
    C: Array, a: Array, b: Array, f: Array, g: Array, reg: float, tolerance: float, most: int
) -> tuple[Array, Array, float]:
    """Matrix scaling; what it scales by is taken into the potentials every few steps, so that nothing overflows."""
    error = math.inf
    for first in range(0, most, 10):
        f = f - reg * _log_mean((f[:, None] + g - C) / reg, b)
        scaled = np.exp((f[:, None] + g - C) / reg)
        v = np.ones_like(g)
        for _ in range(min(10, most - first)):
            u = 1.0 / (scaled @ (b * v))
            v = 1.0 / ((a * u) @ scaled)
        error = float(0.5 * np.abs(a * (u * (scaled @ (b * v)) - 1.0)).sum())
        f, g = f + reg * np.log(u), g + reg * np.log(v)
        if error <= tolerance:
            break
    return f, g, error


def _log_mean(exponent: Array, weights: Array) -> Array:
    top = exponent.max(axis=1)
    return np.asarray(top + np.log(np.exp(exponent - top[:, None]) @ weights))


def gradient(f: ArrayLike, source: ArrayLike) -> dict[str, float]:
    """How the distance changes as one source's share grows and the others shrink in proportion.

    The mean potential of the source's samples minus that of all others (Kang et al. 2023).

    Args:
        f: (n,) potentials of the training samples; source: (n,) the source of each.

    Raises:
        DataError: a single source.
    """
    potential, names = np.asarray(f, dtype=np.float64), np.asarray(source).astype(str)
    kinds = sorted(set(names.tolist()))
    if len(kinds) < 2:
        raise DataError(message(f"samples of {kinds}", "two sources or more"))
    return {k: float(potential[names == k].mean() - potential[names != k].mean()) for k in kinds}


# --- the two stages -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Projected:
    """A performance at more data; `warning` is empty where nothing speaks against it."""

    value: float
    warning: str = ""


def project(
    N: float, small: tuple[float, float], large: tuple[float, float], *, scale: str = "raw", most: float = math.inf
) -> Projected:
    """Stage 2 for two numbers of samples: the straight line in ln N through two performances (Kang et al. 2023).

    Args:
        N: where to; small, large: (N0, performance), (N1, performance).
        scale: "raw", or "log" for the line of ln performance (losses).
        most: largest performance that makes sense, e.g. 1 for an accuracy.

    Raises:
        DataError: equal numbers of samples, or "log" of what is not positive.
    """
    (n_0, y_0), (n_1, y_1) = small, large
    if n_0 == n_1 or (scale == "log" and min(y_0, y_1) <= 0):
        raise DataError(message(f"performances {y_0}, {y_1} at {n_0:g}, {n_1:g}", "two numbers of samples"))
    if scale == "log":
        y_0, y_1 = math.log(y_0), math.log(y_1)
    found = (math.log(N / n_0) * y_1 - math.log(N / n_1) * y_0) / math.log(n_1 / n_0)
    value = math.exp(found) if scale == "log" else found
    if 0.0 <= value <= most:
        return Projected(value)
    return Projected(value, f"a performance of {value:.4g} lies outside of 0 to {most:g}: project ln loss instead.")


@dataclass(frozen=True, eq=False)
class Projection:
    """What was learned.

    Attributes:
        columns: (M,) weights; distance: the column of distances.
        N: (s,) numbers of samples; coefficients: (s, 4 M + 2) of stage 1, of least norm.
        log: whether logarithms of the loss were regressed.
        error: root mean square residual of stage 1, on the scale regressed.
    """

    columns: tuple[str, ...]
    distance: str
    N: Array
    coefficients: Array
    log: bool
    error: float


def learn(runs: Runs, options: Options) -> Projection:
    """Stage 1 at each number of samples N.

    Raises:
        DataError: one number of samples, too few mixtures at one, or losses without a logarithm.
        InputError: an unknown scale.
    """
    if options["scale"] not in ("log", "raw"):
        raise InputError(message(f"the scale {options['scale']!r}", "log or raw"))
    log, distance = options["scale"] == "log", str(options["distance"])
    columns = tuple(sorted(name for name in runs.columns if name.startswith(str(options["weights"]))))
    if len(columns) < 2:
        raise DataError(message(f"weights of {list(columns)}", f"two or more columns {options['weights']}..."))
    table = require(runs, "N", "loss", distance, *columns)
    y = table["loss"]
    if log and not (y > 0).all():
        raise DataError(message(f"a loss of {y.min():.4g}", "positive losses, or scale='raw'"))
    y = np.log(y) if log else y
    sizes, counts = np.unique(table["N"], return_counts=True)
    if sizes.size < 2 or counts.min() < LEAST_ROWS:
        raise DataError(
            message(f"{counts.tolist()} rows at N = {sizes.tolist()}", f"two sizes, {LEAST_ROWS} rows each")
        )
    design = _design(np.stack([table[c] for c in columns], axis=1), table[distance])
    order = np.lexsort((y, *design.T))  # sums in one order, whatever that of the rows
    design, y, N = design[order], y[order], table["N"][order]
    found = [np.linalg.lstsq(design[size == N], y[size == N], rcond=1e-10)[0] for size in sizes]
    left = np.concatenate([y[size == N] - design[size == N] @ c for size, c in zip(sizes, found)])
    return Projection(columns, distance, sizes, np.stack(found), log, float(np.sqrt(np.mean(left**2))))


def _design(p: Array, distance: Array) -> Array:
    """(n, 4 M + 2): 1, p, p^2, and the same times the distance. As p sums to one, of these a part is redundant."""
    once = np.column_stack([np.ones(len(p)), p, p * p])
    return np.concatenate([once, once * distance[:, None]], axis=1)


def predict(state: Projection, columns: Mapping[str, Any]) -> Array:
    """Loss (k,) at N: the line in ln N through what stage 1 says at each size, by least squares if three or more."""
    design = _design(np.stack([columns[name] for name in state.columns], axis=1), columns[state.distance])
    each = design @ state.coefficients.T
    x = np.log(state.N) - np.log(state.N).mean()
    slope = each @ x / (x @ x)
    value = each.mean(axis=1) + slope * (np.log(columns["N"]) - np.log(state.N).mean())
    return np.asarray(np.exp(value) if state.log else value)


def numbers(state: Projection) -> dict[str, float]:
    """Residual of stage 1, and by how much stage 2 multiplies its noise at ten times the largest N."""
    x = np.log(state.N) - np.log(state.N).mean()
    at = math.log(10.0 * float(state.N.max())) - float(np.log(state.N).mean())
    return {
        "error": state.error,
        "sizes": float(state.N.size),
        "noise_at_10x": math.sqrt(1 / x.size + at**2 / (x @ x)),
    }


transport_projection = Estimator(
    id="transport-projection",
    title="Performance from a mixture's transport distance, projected to more data",
    topic="mixtures",
    output="loss",
    learn=learn,
    predict=predict,
    numbers=numbers,
    options={"weights": "weight_", "distance": "transport", "scale": "log"},
    about_options={
        "weights": "what the names of the weight columns begin with",
        "distance": "the column of distances between a mixture's samples and the validation set",
        "scale": "log regresses and projects ln loss; raw the value itself, as the paper does accuracies",
    },
    needs=("N", "transport", "weight_..."),
    least=6,
    meaning=(
        "Two pilot sizes of a few mixtures from sources of which only samples are seen: the performance on a "
        "validation set is regressed on the shares and the optimal-transport distance of the mixture to that set, "
        "and carried to more samples along ln N. It values sources before they are bought; the gradient of the "
        "distance says which source to add."
    ),
    traps=(
        "N counts training samples, not parameters.",
        "A line in ln N has no end: an accuracy passes one (.50 at 1,000 and .55 at 1,500 give 1.352 at 1e6). A loss "
        "projected in its logarithm stays positive: the default here. The paper projects accuracies.",
        "Two sizes a factor of 1.5 apart multiply noise by 5.7 at ten times the first: number noise_at_10x.",
        "Shares sum to one, so many coefficients say the same; those of the least norm are taken, and predictions do "
        "not depend on it. With fewer mixtures than terms they follow the noise.",
        "The published notebook leaves out the quadratic terms without distance, which its formula has.",
        "Distances to a labelled validation set carry its labels into the choice of data.",
    ),
    papers=("kang2023",),
)

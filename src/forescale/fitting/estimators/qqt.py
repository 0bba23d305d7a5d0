# SPDX-License-Identifier: Apache-2.0
"""Quality against quantity when filtered data repeat (Goyal et al. 2024): pools whose utility fades, and mixtures.

y(n) = (a n_1)^b_1 prod_j (n_j / n_(j-1))^b_j + d with n_j = min(j pool, n) samples after pass j and
b_j = b (1/2)^((j - 1) / tau): each pass over a pool lowers the error by a smaller power than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import ColumnError, DataError, InputError, message, nearest
from forescale.core.frozen import Frozen
from forescale.fitting._estimator import Estimator, Options
from forescale.runs.table import Runs

Array = NDArray[np.float64]

UNIT = 1e5
"""Samples in which `a` counts, as the authors have it."""

NEGLIGIBLE = 60.0
"""Half-lives after which the utility is below rounding."""

JOIN = "+"
"""Between the names of the pools of a mixture."""


@dataclass(frozen=True)
class Pool:
    """Utility b < 0 of the first pass over a pool, and its half-life in passes."""

    b: float
    tau: float


@dataclass(frozen=True)
class Pools:
    """What was learned.

    Attributes:
        pools: name -> Pool.
        a: shared by all; per `UNIT` samples.
        d: error that stays.
        size: samples of one pool.
        code_compat: as in `error`.
        by: label column that names the pools.
        d_given: d was not fitted.
    """

    pools: Mapping[str, Pool]
    a: float
    d: float
    size: float
    code_compat: bool = False
    by: str = "group"
    d_given: bool = True

    def error(self, samples: ArrayLike, names: Sequence[str]) -> Array:
        """Error of models that saw that many samples of a mixture of these pools, (n,).

        Raises:
            InputError: an unknown pool.
        """
        for name in names:
            if name not in self.pools:
                raise InputError(message(f"there is no pool {name!r}", "", nearest(name, self.pools)))
        chosen = [self.pools[name] for name in names]
        return error(samples, self.size, chosen, self.a, self.d, self.code_compat)

    def ranked(self) -> tuple[str, ...]:
        """Names, most useful first."""
        return tuple(sorted(self.pools, key=lambda name: self.pools[name].b))

    def prefixes(self, samples: ArrayLike) -> Array:
        """(n, p) errors of the best pool alone, the two best, ... all: what a filter of each strictness gives."""
        names = self.ranked()
        return np.stack([self.error(samples, names[: q + 1]) for q in range(len(names))], axis=1)

    def best_prefix(self, samples: ArrayLike) -> NDArray[np.int64]:
        """(n,) how many of the best pools give the least error for that many samples."""
        return np.asarray(self.prefixes(samples).argmin(axis=1) + 1, dtype=np.int64)


def error(
    samples: ArrayLike, size: float, pools: Sequence[Pool], a: float, d: float, code_compat: bool = False
) -> Array:
    """Error after n samples of a mixture of equal pools (Goyal et al. 2024).

    Mixed with p pools each is seen p times less often: a pass takes p `size` samples, its half-life is p tau, and the
    utility of pass j is the mean of the pools'.

    Args:
        samples: (n,) samples seen in all.
        size: samples of one pool.
        code_compat: the released code adds d before the passes multiply, which lets them shrink d too.
    """
    n = np.atleast_1d(np.asarray(samples, dtype=np.float64))
    p = len(pools)
    utility = np.array([pool.b for pool in pools])
    life = p * np.array([pool.tau for pool in pools])
    first, steps = _passes(n, p * size, NEGLIGIBLE * float(life.max()) + 1.0)
    j = np.arange(1, steps.shape[1] + 1)
    later = steps @ (utility[:, None] * 0.5 ** (j / life[:, None])).mean(axis=0)
    once = utility.mean() * (first + math.log(a / UNIT))
    if code_compat:
        return np.asarray((np.exp(once) + d) * np.exp(later))
    return np.asarray(np.exp(once + later) + d)


def _passes(n: Array, size: float, most: float) -> tuple[Array, Array]:
    """log n_1 (n,), and log(n_j / n_(j-1)) of the passes after the first (n, passes); at most `most` of them."""
    count = max(math.ceil(min(float(n.max()) / size, most)), 1)
    seen = np.log(np.minimum(n[:, None], size * np.arange(1, count + 1)))
    return seen[:, 0], np.diff(seen, axis=1)


# -- learning -------------------------------------------------------------------------------------------------------

MOST_PASSES = 3000
"""Passes that a fit looks at: beyond, with half-lives of tens of passes, nothing is left to learn."""


@dataclass(frozen=True)
class _Rows:
    """The rows of one pool: errors, log n_1, and the steps of the later passes."""

    name: str
    y: Array
    first: Array
    steps: Array

    def later(self, tau: float) -> tuple[Array, Array]:
        """The sum over later passes for b = 1, and its derivative by log tau."""
        j = np.arange(1, self.steps.shape[1] + 1) / tau
        fading = 0.5**j
        return self.steps @ fading, self.steps @ (fading * j * math.log(2.0))


def learn(runs: Runs, options: Options) -> Pools:
    """Shared a (and d, if it is not given), b and tau of each pool: least squares of the error from a grid.

    Raises:
        DataError: pools of different sizes, or errors at or below d.
        ColumnError: no column that names the pools.
    """
    from scipy.optimize import least_squares

    by = str(options["by"])
    if by not in runs.labels:
        raise ColumnError(
            message(f"{runs.source} has no label column {by}", "the name of each row's pool", f"by={by!r}")
        )
    sizes = np.unique(runs["D_unique"])
    if sizes[-1] > sizes[0] * (1 + 1e-6):
        raise DataError(
            message(f"pools of {sizes[0]:.4g} to {sizes[-1]:.4g} samples", "pools of one size in D_unique")
        )
    size, y, compat, given = float(sizes[0]), runs["error"], bool(options["code_compat"]), options["d"]
    if given is not None and not 0.0 <= float(given) < float(y.min()):
        raise DataError(message(f"d = {given} with errors down to {y.min():.4g}", "0 <= d < the least error"))
    labels = np.array([str(v) for v in runs.labels[by]])
    rows = [
        _Rows(name, y[labels == name], *_passes(runs["D"][labels == name], size, MOST_PASSES))
        for name in sorted(set(labels.tolist()))
    ]
    grid = [float(given)] if given is not None else [share * float(y.min()) for share in (0.02, 0.3, 0.6, 0.9)]
    starts = sorted((_start(rows, a, d) for a in np.geomspace(1e-3, 1.0, 16) for d in grid), key=lambda s: s[0])
    free = np.array([given is None or k != 1 for k in range(2 + 2 * len(rows))])
    least, theta = math.inf, starts[0][1]
    for _, start in starts[:3]:

        def whole(x: Array, start: Array = start) -> Array:
            full = start.copy()
            full[free] = np.clip(x, -40.0, 40.0)
            return full

        found = least_squares(
            lambda x, whole=whole: _residuals(rows, whole(x), compat)[0], start[free],
            jac=lambda x, whole=whole: _residuals(rows, whole(x), compat)[1][:, free],
            xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=200, x_scale="jac",
        )  # fmt: skip
        if found.cost < least:
            least, theta = float(found.cost), whole(found.x)
    values = np.exp(theta)
    pools = {one.name: Pool(-float(values[2 + 2 * i]), float(values[3 + 2 * i])) for i, one in enumerate(rows)}
    stays = float(given) if given is not None else float(values[1])
    return Pools(Frozen(pools), float(values[0]), stays, size, compat, by, given is not None)


def _residuals(rows: Sequence[_Rows], theta: Array, compat: bool) -> tuple[Array, Array]:
    """Predicted less observed errors (n,), and derivatives (n, P) by theta = log (a, d, -b, tau, -b, tau, ...)."""
    a, d = np.exp(theta[:2])
    found, slopes = [], []
    for i, one in enumerate(rows):
        b, tau = -np.exp(theta[2 + 2 * i]), float(np.exp(theta[3 + 2 * i]))
        first = one.first + math.log(a / UNIT)
        later, by_life = one.later(tau)
        slope = np.zeros((one.y.size, theta.size))
        power = np.exp(b * (first + later))
        fade = np.exp(b * later) if compat else 1.0
        slope[:, 0] = b * power
        slope[:, 1] = d * fade
        slope[:, 2 + 2 * i] = b * (first + later) * power
        slope[:, 3 + 2 * i] = b * by_life * power
        if compat:
            slope[:, 2 + 2 * i] += b * later * d * fade
            slope[:, 3 + 2 * i] += b * by_life * d * fade
        found.append(power + d * fade - one.y)
        slopes.append(slope)
    return np.concatenate(found), np.concatenate(slopes)


def _start(rows: Sequence[_Rows], a: float, d: float) -> tuple[float, Array]:
    """The squared error and the logarithms of (a, d, -b, tau, ...): for each tau of a grid b is one regression."""
    total, theta = 0.0, [math.log(a), math.log(max(d, 1e-300))]
    for one in rows:
        target = np.log(np.maximum(one.y - d, 1e-6))
        tried = []
        for tau in np.geomspace(0.5, 30.0, 12):
            x = one.first + math.log(a / UNIT) + one.later(float(tau))[0]
            b = min(float(x @ target / (x @ x)), -1e-3)
            tried.append((float(((np.exp(b * x) + d - one.y) ** 2).sum()), b, float(tau)))
        left, b, tau = min(tried)
        total += left
        theta += [math.log(-b), math.log(tau)]
    return total, np.array(theta)


@dataclass(frozen=True, eq=False)
class Draws:
    """Pools with B vectors of constants; row 0 is the estimate.

    Attributes:
        names: pools, most useful first by the estimate.
        b, tau: (B, P); a, d: (B,).
    """

    names: tuple[str, ...]
    b: Array
    tau: Array
    a: Array
    d: Array
    size: float
    code_compat: bool

    def error(self, samples: ArrayLike, chosen: Sequence[int]) -> Array:
        """(B, n) errors of a mixture of some pools (by place) after numbers of samples (n,)."""
        n, p = np.atleast_1d(np.asarray(samples, dtype=np.float64)), len(chosen)
        b, life = self.b[:, chosen], p * self.tau[:, chosen]
        first, steps = _passes(n, p * self.size, NEGLIGIBLE * float(np.nanmax(life)) + 1.0)
        j = np.arange(1, steps.shape[1] + 1)
        fading = sum(b[:, [k]] * 0.5 ** (j / life[:, [k]]) for k in range(p)) / p
        later = fading @ steps.T
        once = b.mean(axis=1)[:, None] * (first + np.log(self.a / UNIT)[:, None])
        stays = self.d[:, None]
        return np.asarray(
            (np.exp(once) + stays) * np.exp(later) if self.code_compat else np.exp(once + later) + stays
        )


def draws(state: Pools, runs: Runs | None, count: int, seed: int = 0) -> Draws:
    """The estimate and draws around it, from the curvature of the squared errors in the logarithms of the constants.

    Without runs, or with no more rows than constants, the estimate alone.
    """
    names = state.ranked()
    theta = np.log(
        [state.a, max(state.d, 1e-300), *(x for n in names for x in (-state.pools[n].b, state.pools[n].tau))]
    )
    some = theta[None]
    if runs is not None and count > 0:
        labels = np.array([str(v) for v in runs.labels[state.by]])
        rows = [
            _Rows(name, runs["error"][labels == name], *_passes(runs["D"][labels == name], state.size, MOST_PASSES))
            for name in names
        ]
        left, slope = _residuals(rows, theta, state.code_compat)
        free = np.abs(slope).max(axis=0) > 0
        free[1] &= not state.d_given
        degrees = left.size - int(free.sum())
        if degrees > 0:
            spread = np.linalg.pinv(slope[:, free], rcond=1e-8) * math.sqrt(float(left @ left) / degrees)
            noise = np.random.default_rng(seed).standard_normal((count, left.size))
            moved = np.repeat(theta[None], count, axis=0)
            moved[:, free] += np.clip(noise @ spread.T, -2.0, 2.0)
            some = np.concatenate([some, moved])
    values = np.exp(some)
    return Draws(names, -values[:, 2::2], values[:, 3::2], values[:, 0], values[:, 1], state.size, state.code_compat)


def predict(state: Pools, columns: Mapping[str, Any]) -> Array:
    """Errors (k,) at D samples of the pool or mixture ("a+b") that the label column names."""
    names, n = columns[state.by], np.asarray(columns["D"], dtype=np.float64)
    out = np.empty(n.size)
    for name in dict.fromkeys(str(v) for v in names):
        rows = np.array([str(v) == name for v in names])
        out[rows] = state.error(n[rows], [part.strip() for part in name.split(JOIN)])
    return out


def numbers(state: Pools) -> dict[str, float]:
    """a, d, and b and tau of each pool."""
    found = {"a": state.a, "d": state.d}
    for name in state.ranked():
        found |= {f"b[{name}]": state.pools[name].b, f"tau[{name}]": state.pools[name].tau}
    return found


GOYAL2024 = Pools(
    Frozen(
        {
            "top 10 %": Pool(-0.16, 6.7272727272727275),
            "top 10-20 %": Pool(-0.125, 8.545454545454547),
            "top 20-30 %": Pool(-0.1, 5.2727272727272725),
            "top 30-40 %": Pool(-0.085, 2.2727272727272725),
        }
    ),
    a=0.025,
    d=0.1,
    size=12.8e6,
    code_compat=True,
)
"""Buckets of DataComp by T-MARS score, error 1 - ImageNet accuracy: results/parameter_values.jsonl of the authors'
repository, key tmars_imagenet1k_utility, commit 251f695. Fitted with the form of their code."""

qqt = Estimator(
    id="qqt",
    title="Pools of filtered data whose utility fades with each pass, and their mixtures",
    topic="data",
    output="error",
    learn=learn,
    predict=predict,
    numbers=numbers,
    meaning=(
        "Each pool of a filter lowers the error by a power b of the samples seen, which halves every tau passes. "
        "From runs on single pools it predicts mixtures without training them, and which share of the best pools to "
        "keep for a budget: few for a small one, more for a large one, where the best have been seen too often. The "
        "authors' constants for DataComp are GOYAL2024 of fitting/estimators/qqt.py."
    ),
    traps=(
        "a, b, d and tau of one pool rest on four to six points: a is shared, and d is better given.",
        "Pools must have one size, in D_unique; the half-life counts passes over that pool.",
        "Pools are taken to add up without interaction; only contrastive image-text training was studied.",
        "The released code adds d before the passes multiply: its constants need code_compat=True.",
        "With p pools a pass is longer and the half-life p times as many passes, both as the authors have it.",
    ),
    papers=("goyal2024",),
    needs=("D", "D_unique", "group"),
    options={"d": 0.1, "code_compat": False, "by": "group"},
    about_options={
        "d": "the error that stays, or None to fit it",
        "code_compat": "the form of the released code, which adds d before the passes multiply",
        "by": "label column that names the pools",
    },
    least=4,
)

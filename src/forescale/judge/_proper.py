# SPDX-License-Identifier: Apache-2.0
"""Proper scores and limits of shares: CRPS, interval score, PIT, binomial limits for clustered trials.

Everything is on one scale: the caller takes logarithms where errors are relative.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


def t_cdf(z: Array, df: Array) -> Array:
    """Distribution function of Student's t, shapes broadcast; df = inf is the normal distribution."""
    from scipy.special import ndtr, stdtr

    z, df = np.broadcast_arrays(np.asarray(z, dtype=np.float64), np.asarray(df, dtype=np.float64))
    finite = np.isfinite(df)
    return np.asarray(np.where(finite, stdtr(np.where(finite, df, 1.0), z), ndtr(z)))


def t_crps(z: Array, df: Array) -> Array:
    """CRPS of a standard t variable that came out at z (Jordan, Krueger & Lerch 2019, appendix A); NaN for df <= 1,
    whose tails are so heavy that the expectation does not exist."""
    from scipy.special import betaln, gammaln

    z, df = np.broadcast_arrays(np.asarray(z, dtype=np.float64), np.asarray(df, dtype=np.float64))
    central = 2.0 * t_cdf(z, df) - 1.0
    normal = z * central + 2.0 * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) - 1.0 / math.sqrt(math.pi)
    heavy = np.isfinite(df) & (df > 1.0)
    nu = np.where(heavy, df, 3.0)
    logs = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(nu * math.pi)
    density = np.exp(logs - 0.5 * (nu + 1.0) * np.log1p(z * z / nu))
    at_zero = 2.0 * np.sqrt(nu) / (nu - 1.0) * np.exp(betaln(0.5, nu - 0.5) - 2.0 * betaln(0.5, 0.5 * nu))
    student = z * central + 2.0 * density * (nu + z * z) / (nu - 1.0) - at_zero
    return np.where(heavy, student, np.where(np.isinf(df), normal, np.nan))


def split_t(y: Array, centre: Array, below: Array, above: Array, df: Array) -> tuple[Array, Array]:
    """PIT and CRPS (k,) of a t distribution with median `centre` and another scale on each side of it.

    The median parts it into halves, so both integrals are those of the symmetric distribution, half by half.
    """
    low = y < centre
    own, other = np.where(low, below, above), np.where(low, above, below)
    with np.errstate(all="ignore"):
        z = (y - centre) / own
        zero = t_crps(np.zeros_like(z), df)
        crps = own * (t_crps(z, df) - 0.5 * zero) + other * 0.5 * zero
    return t_cdf(z, df), np.asarray(crps)


def of_draws(y: Array, draws: Array) -> tuple[Array, Array]:
    """PIT and CRPS (k,) of a sample of m draws per prediction, draws (k, m) without NaN.

    CRPS = mean |x - y| - sum over pairs |x - x'| / (2 m (m - 1)): unbiased for the distribution behind the draws
    (Zamo & Naveau 2018). PIT: the mid-rank of y among the draws.
    """
    m = draws.shape[1]
    x = np.sort(draws, axis=1)
    # sum_{i<j} (x_j - x_i) = sum_i (2 i - m - 1) x_i over sorted values
    pairs = (x * (2.0 * np.arange(1, m + 1) - m - 1.0)).sum(axis=1)
    crps = np.abs(x - y[:, None]).mean(axis=1) - (pairs / (m * (m - 1.0)) if m > 1 else 0.0)
    less, equal = (x < y[:, None]).sum(axis=1), (x == y[:, None]).sum(axis=1)
    return np.asarray((less + 0.5 * equal + 0.5) / (m + 1.0)), np.asarray(crps)


def interval_score(y: Array, lower: Array, upper: Array, level: float) -> Array:
    """Width of the interval plus the penalty for a miss (Gneiting & Raftery 2007, eq. 43)."""
    miss = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return np.asarray(upper - lower + 2.0 / (1.0 - level) * miss)


def design_effect(x: Array, clusters: Labels) -> float:
    """How many times larger the variance of the mean of x (n,) is than if its members were independent, >= 1.

    With members that are all alike nothing can be seen of it, and each cluster counts once.
    """
    n, groups = x.size, np.unique(clusters).size
    if groups == n:
        return 1.0
    away = x - x.mean()
    total = float(away @ away)
    if total <= 1e-12 * n:
        return n / groups
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], away)
    return max(groups / max(groups - 1, 1) * float(sums @ sums) / total, 1.0)


def share_limits(hits: NDArray[np.bool_], clusters: Labels, level: float) -> tuple[float, float]:
    """Limits of a share at `level`: Clopper & Pearson's exact ones with the effective number of trials.

    Trials of a cluster share their luck: n is divided by the design effect and by what few clusters leave open about
    it (Korn & Graubard 1998). One cluster says nothing: limits 0 and 1.
    """
    from scipy.special import betaincinv, stdtrit

    n, groups = hits.size, np.unique(clusters).size
    if groups < n:
        if groups < 2:
            return 0.0, 1.0
        tail = 0.5 + 0.5 * level
        few = (stdtrit(n - 1.0, tail) / stdtrit(groups - 1.0, tail)) ** 2
        n_eff = n / design_effect(hits.astype(np.float64), clusters) * float(few)
    else:
        n_eff = float(n)
    k = float(hits.mean()) * n_eff
    out = 0.5 * (1.0 - level)
    low = float(betaincinv(k, n_eff - k + 1.0, out)) if k > 0 else 0.0
    high = float(betaincinv(k + 1.0, n_eff - k, 1.0 - out)) if k < n_eff else 1.0
    return low, high


def uniformity(pit: Array, clusters: Labels) -> tuple[float, float]:
    """p value of the hypothesis that PIT values (n,) are uniform, and the effective number of them.

    Pearson's chi-square over equal bins (at most ten, at least five values each), divided by the mean design effect
    of the bins (Rao & Scott 1981). NaN and the number of clusters where there are too few.
    """
    from scipy.special import chdtrc

    n, groups = pit.size, int(np.unique(clusters).size)
    bins = min(10, min(n, groups * 4) // 5)
    if bins < 2 or groups < 2:
        return math.nan, float(groups)
    index = np.minimum((pit * bins).astype(np.intp), bins - 1)
    effect = float(np.mean([design_effect((index == b).astype(np.float64), clusters) for b in range(bins)]))
    counts = np.bincount(index, minlength=bins)
    statistic = float(((counts - n / bins) ** 2).sum() / (n / bins)) / effect
    return float(chdtrc(bins - 1, statistic)), n / effect

# SPDX-License-Identifier: Apache-2.0
"""Pass rates of a task over model sizes, and the line that foretells them (Hu et al. 2023, PassUntil).

F = log(-log rate) is a straight line in log size where the law `pass-until` holds; convex F is slower progress,
concave F is progress that gains speed. Rates are unbiased under the rule by which attempts stopped: passes over
attempts, when attempts stop at the r-th pass, is too high by r / (r - 1) and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.fitting.attempts import Attempts
from forescale.fitting.estimators.success_rates import likeliest
from forescale.laws.emergence import transformed
from forescale.numerics.resample import bootstrap_rows

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rates:
    """Pass rates at S sizes for the problems as they are (row 0) and B resamples of them.

    Attributes:
        x: (S,) sizes, rising.
        rate: (1 + B, S) mean pass rate; NaN where a resample has no pass.
        each: (P, S) rates of the problems, kept off 0 and 1 (Jeffreys); None where sizes do not share their problems.
        weight: (1 + B, P) how often each problem counts, for `each`.
    """

    x: Array
    rate: Array
    each: Array | None
    weight: Array

    @property
    def error(self) -> Array:
        """(S,) standard error of the rates by the choice of problems."""
        return np.asarray(np.nanstd(self.rate[1:], axis=0))

    @property
    def F(self) -> Array:
        """(1 + B, S) log(-log rate)."""
        return transformed(self.rate)

    @property
    def precision(self) -> Array:
        """(S,) 1 / SE(F)^2, SE(F) = SE(rate) / (rate |log rate|) by the delta method."""
        rate = self.rate[0]
        return np.asarray((rate * np.log(rate) / self.error) ** 2)


def rates(
    x: Array, tables: Sequence[Attempts], problems: Sequence[Sequence[str]], draws: int, seed: int = 0
) -> Rates:
    """Pass rates of models of sizes x, problems resampled.

    Args:
        problems: names of the problems of each table, in its order; empty where they are not known.
    """
    shared = bool(problems[0]) and all(sorted(names) == sorted(problems[0]) for names in problems)
    columns, each = [], []
    common = _weights(len(tables[0].trials), draws, seed)
    for place, (table, names) in enumerate(zip(tables, problems)):
        if shared:
            index = {name: i for i, name in enumerate(names)}
            order = np.array([index[name] for name in problems[0]])
            weight = np.empty_like(common)
            weight[:, order] = common
            each.append(_kept_off(table)[order])
        else:
            weight = _weights(len(table.trials), draws, seed + place)
        columns.append(mean_rate(table, weight * table.weight))
    return Rates(x, np.stack(columns, axis=1), np.stack(each, axis=1) if shared else None, common)


def _weights(problems: int, draws: int, seed: int) -> Array:
    return np.concatenate([np.ones((1, problems)), bootstrap_rows(problems, draws, seed)])


def _kept_off(table: Attempts) -> Array:
    last = table.stopped.astype(np.float64)  # the order of the others is free
    return np.asarray((table.passed - last + 0.5) / (table.trials - last + 1.0))


def mean_rate(table: Attempts, weight: Array) -> Array:
    """(B,) mean pass rate of one attempt: unbiased where the rule leaves an order free, else by likelihood."""
    if table.rule in ("fixed_n", "until_r"):
        found = weight @ table.curve(np.ones(1))[:, 0] / weight.sum(axis=1)
        return np.where(found > 0, found, np.nan)
    pairs, place = np.unique(np.stack([table.trials, table.passed]), axis=1, return_inverse=True)
    every = np.zeros((len(weight), pairs.shape[1]))
    np.add.at(every.T, place.ravel(), weight.T)
    usable = (every @ pairs[1] > 0) & (every @ (pairs[0] - pairs[1]) > 0)
    out = np.full(len(weight), np.nan)
    if usable.any():
        alpha, beta = likeliest(pairs[0], pairs[1], every[usable], accuracy=1e-8).T
        out[usable] = alpha / (alpha + beta)
    return out


def line(x: Array, F: Array, precision: Array, degree: int = 1) -> Array:
    """Weighted least squares of F on powers of log x: coefficients (B, degree + 1), the constant first.

    Args:
        F: (B, S); NaN leaves a size out.
        precision: (S,) or (B, S).
    """
    powers = np.log(x)[:, None] ** np.arange(degree + 1)
    w = np.where(np.isfinite(F), np.broadcast_to(precision, F.shape), 0.0)
    scale = np.abs(powers).max(axis=0)
    design = powers / scale
    normal = np.einsum("bs,si,sj->bij", w, design, design)
    right = np.einsum("bs,si,bs->bi", w, design, np.where(np.isfinite(F), F, 0.0))
    able = (w > 0).sum(axis=1) > degree
    out = np.full((len(F), degree + 1), np.nan)
    if able.any():
        # Three powers of log x at most: normal equations of scaled columns keep ten digits.
        out[able] = np.linalg.solve(normal[able], right[able][:, :, None])[:, :, 0] / scale
    return out


def read(coefficients: Array, x: Array) -> Array:
    """Pass rates (B, K) that lines in log x foretell at sizes (K,)."""
    powers = np.log(x)[:, None] ** np.arange(coefficients.shape[1])
    return np.asarray(np.exp(-np.exp(coefficients @ powers.T)))


def by_problem(found: Rates, x: Array, counted: Array) -> Array | None:
    """Pass rates (1 + B, K) as the mean of what a line for each problem foretells; None without shared problems.

    Args:
        counted: (1 + B, S) how often each size counts; sizes weigh alike, for a problem has no choice of problems.
    """
    if found.each is None:
        return None
    F = transformed(found.each)
    kinds, place = np.unique(counted, axis=0, return_inverse=True)  # sizes are few: so are the ways to draw them
    out = np.empty((len(counted), x.size))
    for kind, weights in enumerate(kinds):
        rows = place.ravel() == kind
        each = read(line(found.x, F, weights), x)
        out[rows] = found.weight[rows] @ each / found.weight[rows].sum(axis=1)[:, None]
    return out


def resampled_sizes(sizes: int, rows: int, seed: int = 1) -> Array:
    """(rows, sizes) how often each size counts: row 0 once each, then drawn with replacement."""
    return (
        np.concatenate([np.ones((1, sizes)), bootstrap_rows(sizes, rows - 1, seed)])
        if rows > 1
        else np.ones((1, sizes))
    )

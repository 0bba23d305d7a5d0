# SPDX-License-Identifier: Apache-2.0
"""Rolling extrapolation of many candidates at once: what each would have said about larger runs, from smaller ones.

The cuts lie at halves of the largest size: largest / 2, / 4, ... down to where too few rows are left. At every cut
each candidate is fitted to the rows below and predicts those above, up to `REACH` times the cut. The score of a
candidate is the geometric mean over the cuts of its root-mean-square log error, a cut counting half as much as the
next larger one: what held near the largest runs says most about those beyond them, and one bad early cut does not
decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ForescaleError
from forescale.fitting._stack import pooled
from forescale.fitting.point import point
from forescale.judge._candidates import Candidate, chosen
from forescale.laws import Law
from forescale.runs.table import Runs

Array = NDArray[np.float64]

MOST = 4
"""Most cuts: earlier ones count too little to be worth their fits."""
REACH = 10.0
"""Rows further above a cut than this are not predicted from it."""
LEAST = 6
"""Least rows below a cut."""
HALF = 2.0
"""A cut counts this many times less than the next larger one."""
FLOOR = 0.002
"""Log error added in quadrature: candidates that differ by less than the noise of a good run are equals."""
CAP = 0.3
"""Log errors are cut here: beyond, a candidate has failed, by how much does not matter."""
KEPT = 0.75
"""Share of the candidates that are pooled: the worst quarter is left out. Which of the others is best depends on the
table more than its rolling errors can tell, and their mean is better than any of them."""
PER_VALUE = 3
"""Parameters that a distinct value of an input can bear: many checkpoints of two sizes are two sizes still."""
POWER = 2.0
"""Power of the inverse score in the weights."""
MISSING = 0.6
"""A candidate that could not be fitted at a cut gets this quantile of the others' scores there."""


@dataclass(frozen=True, eq=False)
class Cut:
    """One cut, with what every candidate said.

    Attributes:
        size: largest size fitted.
        fitted: rows below.
        rows: (h,) row numbers of those predicted.
        distance: (h,) their size over the cut.
        observed: (h,) losses.
        said: (m, h) predictions, NaN where a candidate has none.
    """

    size: float
    fitted: int
    rows: NDArray[np.intp]
    distance: Array
    observed: Array
    said: Array

    def errors(self) -> Array:
        """(m, h) log(observed) - log(said)."""
        with np.errstate(all="ignore"):
            return np.asarray(np.log(self.observed) - np.log(self.said))


def said_by(candidate: Candidate, runs: Runs, size: Array, held: Runs, few: bool = False) -> Array | None:
    """(h,) what a candidate fitted to `runs` says about `held`; None where it cannot be fitted."""
    params = parameters(candidate, runs, size, few)
    if params is None:
        return None
    value = evaluate(candidate.law, params, held)
    return value if np.isfinite(value).all() and (value > 0).all() else None


def parameters(candidate: Candidate, runs: Runs, size: Array, few: bool = False) -> Mapping[str, float] | None:
    """The candidate's parameters on these rows; None where its rows are too few or all, or it has no optimum."""
    rows = subset(candidate, runs, size, few)
    if rows is None:
        return None
    try:
        return point(rows, candidate.law, loss=candidate.loss)
    except ForescaleError:
        return None


def subset(candidate: Candidate, runs: Runs, size: Array, few: bool = False) -> Runs | None:
    """The rows that the candidate is fitted to; None where they do not suffice, or are the same as all rows.

    Two rows more than parameters suffice, and a distinct value of every input for each `PER_VALUE`; where no
    candidate has them (`few`), as many rows as parameters. A part of the rows must have two for each parameter.
    """
    count = len(candidate.law.params)
    if any(PER_VALUE * levels(runs[name]) < count for name in candidate.law.inputs):
        return None
    if candidate.rows == "all":
        return runs if len(runs) >= (count if few else count + 2) else None
    keep = chosen(candidate.rows, runs, size)
    if keep.all() or keep.sum() < (2 * count if candidate.rows != "frontier" else count + 2):
        return None
    return runs.where(keep)


def levels(values: Array) -> int:
    """How many values differ by more than a per cent."""
    ordered = np.sort(values)
    return 1 + int(np.sum(ordered[1:] > 1.01 * ordered[:-1]))


def evaluate(law: Law, params: Mapping[str, float], points: Runs) -> Array:
    """(k,) the law at the rows of a table."""
    with np.errstate(all="ignore"):
        value = law(params, **{name: points[name] for name in law.inputs})
    return np.asarray(np.broadcast_to(value, (len(points),)), dtype=np.float64)


def cuts(size: Array, whole: Array, most: int = MOST) -> list[float]:
    """Sizes to cut at, rising: halves of the largest, moved down to the next size there is.

    Args:
        size: (n,) sizes of the rows.
        whole: (n,) largest size of the run that a row belongs to: a run is fitted whole or not at all.
    """
    found: list[float] = []
    target = float(whole.max()) / HALF
    smallest = float(whole.min())
    while len(found) < most and target >= smallest:
        below = whole <= target * (1 + 1e-9)
        if not below.any():
            break
        at = float(whole[below].max())
        if below.sum() >= LEAST and np.sum(size > at * (1 + 1e-9)) >= 2 and (not found or at < found[-1] / 1.05):
            found.append(at)
        target = min(target, at) / HALF
    return found[::-1]


def roll(candidates: Sequence[Candidate], runs: Runs, size: Array, whole: Array, few: bool = False) -> list[Cut]:
    """Every candidate at every cut."""
    found = []
    for at in cuts(size, whole):
        below = whole <= at * (1 + 1e-9)
        above = np.flatnonzero((size > at * (1 + 1e-9)) & (size <= at * REACH) & ~below)
        if len(above) < 2:
            continue
        known, held = runs.where(below), runs.where(above)
        said = np.full((len(candidates), len(above)), np.nan)
        for number, candidate in enumerate(candidates):
            value = said_by(candidate, known, size[below], held, few)
            if value is not None:
                said[number] = value
        if np.isfinite(said).any():
            found.append(Cut(at, int(below.sum()), above, size[above] / at, held["loss"], said))
    return found


def score(found: Sequence[Cut], count: int, known: float = math.inf, half: float = HALF) -> Array:
    """(m,) score of each candidate: a typical log error, lower is better; 1 for all where there is no cut.

    Args:
        found: rising cuts.
        count: number of candidates.
        known: only rows up to this size count: what could be known at a cut.
        half: a cut counts this many times less than the next larger one.
    """
    total, weight = np.zeros(count), 0.0
    rising = sorted(found, key=lambda cut: cut.size)
    for age, cut in enumerate(reversed(rising)):
        use = cut.distance * cut.size <= known * (1 + 1e-9)
        if not use.any():
            continue
        error = np.minimum(np.abs(cut.errors()[:, use]), CAP)
        at = np.sqrt(np.mean(error**2, axis=1) + FLOOR**2)
        there = np.isfinite(at)
        if not there.any():
            continue
        share = half**-age
        total += share * np.log(np.where(there, at, np.quantile(at[there], MISSING)))
        weight += share
    return np.exp(total / weight) if weight > 0 else np.ones(count)


def weights(scores: Array, able: NDArray[np.bool_], kept: float = KEPT, power: float = POWER) -> Array:
    """(m,) weights of the pool: a power of the inverse scores of the better part of those able to predict."""
    w = np.zeros(len(scores))
    if not able.any():
        return w
    order = np.flatnonzero(able)[np.argsort(scores[able], kind="stable")]
    best = order[: math.ceil(kept * len(order))]
    w[best] = (scores[best].min() / scores[best]) ** power
    return np.asarray(w / w.sum())


def pool(said: Array, w: Array) -> tuple[Array, Array]:
    """The pool's log prediction (h,), and the standard deviation between the candidates (h,)."""
    kept = w > 0
    return pooled(np.log(said[kept]), w[kept])

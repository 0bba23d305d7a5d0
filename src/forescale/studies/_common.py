# SPDX-License-Identifier: Apache-2.0
"""What several studies compute and say: errors on rows, which of two methods errs less, and figures in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

import forescale as fs
from forescale.studies._study import EQUAL, Claim, better, holds

Array = NDArray[np.float64]

LEAST_GROUPS = 3
"""Groups of rows from which on a standard error is taken over groups."""


def relative_errors(fit: fs.Fit, runs: fs.Runs) -> Array:
    """(n,) |predicted / observed - 1| of the loss."""
    return np.abs(fit.predict(runs).estimate / runs["loss"] - 1)


def log_errors(fit: fs.Fit, runs: fs.Runs) -> Array:
    """(n,) log of predicted over observed loss."""
    return np.log(fit.predict(runs).estimate / runs["loss"])


def rms(values: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def huber(residuals: Array, delta: float = 1e-3) -> float:
    """Sum of Huber's losses."""
    e = np.abs(residuals)
    return float(np.where(e <= delta, 0.5 * e * e, delta * (e - 0.5 * delta)).sum())


def tally(claims: Sequence[Claim]) -> str:
    """How many claims hold, for a sentence: "all 4", "3 of 4", "none of 4"."""
    good, n = sum(claim.good for claim in claims), len(claims)
    return f"all {n}" if good == n else f"{good or 'none'} of {n}"


def span(values: Iterable[float], form: str = ".2g") -> str:
    """Least and largest of some figures, for a sentence: "2.1 to 13"."""
    found = sorted(values)
    low, high = format(found[0], form), format(found[-1], form)
    return low if low == high else f"{low} to {high}"


def mean_error(values: Array, groups: ArrayLike | None = None) -> tuple[float, int, str]:
    """Standard error of a mean, the number of parts that it counts as independent, and their name.

    Parts are groups of rows (n,) where there are at least three, else rows: two groups do not give a spread.
    """
    off, parts = values - values.mean(), np.arange(values.size)
    if groups is not None and np.unique(np.asarray(groups)).size >= LEAST_GROUPS:
        parts = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = np.bincount(parts, off)
    error = float(np.sqrt(sums.size / (sums.size - 1) * (sums**2).sum()) / values.size)
    return error, sums.size, "rows" if sums.size == values.size else "groups of rows"


def fewer_errors(
    text: str,
    *,
    ours: Array,
    theirs: Array,
    groups: ArrayLike | None = None,
    names: tuple[str, str] = ("ours", "theirs"),
    source: str,
    note: str = "",
) -> Claim:
    """Which of two methods errs less in the mean on the same hidden rows.

    A difference below its standard error is none, and said to be so in the note.

    Args:
        ours, theirs: (n,) absolute errors, n >= 2; `names` are what the verdict calls the two.
        groups: (n,) which rows share their errors (checkpoints of a run); the standard error is then over groups.
        source: whose the second method is.
    """
    error, count, what = mean_error(ours - theirs, groups)
    claim = better(
        text,
        ours=float(ours.mean()),
        theirs=float(theirs.mean()),
        tie=error / float(theirs.mean()),
        names=names,
        source=source,
        note=note,
    )
    if claim.verdict != EQUAL:
        return claim
    rule = f"The difference is below its standard error over the {count} {what}, {error:.2g}."
    return replace(claim, note=f"{note} {rule}".strip())


def same_figures(text: str, pairs: Iterable[tuple[float, str]], *, source: str, note: str = "") -> Claim:
    """How many of our figures are those of a source to one unit of its last digit, which must be all of them.

    Args:
        text: of what, with {n} for their number.
        pairs: ours, and theirs in the digits that the source prints.
    """
    known = list(pairs)
    same = sum(abs(ours - float(theirs)) <= 10.0 ** -len(theirs.partition(".")[2]) for ours, theirs in known)
    text = f"{text.format(n=len(known))} within a unit of the last digit of earlier ones"
    return holds(text, ours=float(same), least=len(known), source=source, note=note)

# SPDX-License-Identifier: Apache-2.0
"""What several studies compute: errors on rows, Huber's objective, and which of two methods errs less on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.studies._study import EQUAL, Claim, better, holds

Array = NDArray[np.float64]


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


def fewer_errors(
    text: str,
    *,
    ours: Array,
    theirs: Array,
    names: tuple[str, str] = ("ours", "theirs"),
    source: str,
    note: str = "",
) -> Claim:
    """Which of two methods errs less in the mean on the same hidden rows.

    A difference below its standard error over the rows is none, and said to be so in the note.

    Args:
        ours, theirs: (n,) absolute errors, n >= 2; `names` are what the verdict calls the two.
        source: whose the second method is.
    """
    error = float((ours - theirs).std(ddof=1) / np.sqrt(ours.size))
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
    rule = f"The difference is below its standard error over the {ours.size} rows, {error:.2g}."
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

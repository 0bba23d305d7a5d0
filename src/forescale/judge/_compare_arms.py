# SPDX-License-Identifier: Apache-2.0
"""The arms of a comparison: fits that were given, or made per level of a label, apart or with shared parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.columns import resolve
from forescale.core.errors import ColumnError, DataError, InputError, LawError, message, nearest
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit as estimate
from forescale.laws import Law
from forescale.numerics.losses import Objective
from forescale.runs.derive import derive, require
from forescale.runs.table import Runs

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm.

    Attributes:
        name: what people call it.
        fit: its fit; of a grouped fit, all arms hold the same one.
        level: its level of a grouped fit, else None.
        runs: its own rows, with C where it is known or follows; None for published constants.
        residuals: (n,) log residuals of those rows.
    """

    name: str
    fit: Fit
    level: str | None
    runs: Runs | None
    residuals: Array

    @property
    def law(self) -> Law:
        """The law of one arm."""
        groups = self.fit.law.groups
        return self.fit.law if groups is None else groups.base


def of_fit(fit: Fit, name: str, level: str | None = None) -> Arm:
    """A fit as an arm; of a grouped fit the rows of one level."""
    runs, residuals = fit.runs, fit.residuals
    if level is not None and runs is not None and fit.law.groups is not None:
        mask = runs.labels[fit.law.groups.by] == level
        runs, residuals = runs.where(mask), residuals[mask]
    if runs is not None and {"N", "D"} <= set(runs.columns):
        runs = derive(runs)
    return Arm(name, fit, level, runs, residuals)


def label_of(runs: Runs, by: str) -> str:
    """The column that a user means: the name itself, or what it was read as ("arm" becomes "group").

    Raises:
        ColumnError: no such column.
    """
    for name in (by, *resolve([by]).columns):
        if name in runs:
            return name
    raise ColumnError(message(f"{runs.source} has no column {by!r}", "", nearest(by, [*runs.labels])))


def of_table(
    runs: Runs,
    by: str,
    law: Law,
    *,
    share: Sequence[str] | None,
    loss: str | Objective | None,
    level: float,
    rng: int,
) -> tuple[tuple[Arm, ...], list[str]]:
    """One arm per level of the label column `by`, in order of appearance, and remarks.

    Args:
        share: parameters with one value for all arms; () fits each arm alone; None shares only where an arm has too
            few rows to be fitted alone: then everything but the amplitudes.

    Raises:
        DataError: fewer than two levels.
        LawError: an unknown parameter, or all of them shared.
    """
    runs = require(runs, *law.inputs, law.output)
    if by not in runs.labels:
        codes, named = runs.group_codes(by)
        runs = runs.with_column(by, np.array(named)[codes])
    codes, names = runs.group_codes(by)
    if len(names) < 2:
        raise DataError(message(f"{by} has the single level {', '.join(names)}", "two arms or more"))
    counts = np.bincount(codes, minlength=len(names))
    p = len(law.params)
    remarks: list[str] = []
    if share is None:
        least = int(counts.min())
        share = ()
        if least < p + 2:
            share = tuple(n for n, parameter in law.params.items() if parameter.kind != "amplitude")
            scarce = names[int(counts.argmin())]
            if not share or len(share) == p:
                raise DataError(
                    message(
                        f"{scarce} has {least} rows for the {p} parameters of {law.id!r}",
                        f"at least {p + 2}",
                        "more runs, or share= some parameters between the arms",
                    )
                )
            remarks.append(
                f"{scarce} has {least} rows for {p} parameters: the arms share {', '.join(share)}, and differ in "
                f"{', '.join(n for n in law.names if n not in share)} alone."
            )
    for name in share:
        if name not in law.params:
            raise LawError(message(f"{name!r} is no parameter of {law.id!r}", "", nearest(name, law.params)))
    separate = [name for name in law.names if name not in share]
    if not separate:
        raise LawError(message(f"all parameters of {law.id!r} are shared", "one that differs between the arms"))
    if share:
        whole = estimate(runs, law.grouped(by, names, separate), loss=loss, level=level, rng=rng)
        return tuple(of_fit(whole, name, name) for name in names), remarks
    arms = []
    for code, name in enumerate(names):
        arms.append(of_fit(estimate(runs.where(codes == code), law, loss=loss, level=level, rng=rng), name))
    return tuple(arms), remarks


def joined(one: Runs, two: Runs, names: tuple[str, str], by: str) -> Runs:
    """Two tables as one, with the arm as the label `by`; columns that both have.

    Raises:
        InputError: their conventions differ, so that their numbers cannot be compared.
    """
    for word in ("N", "D", "C", "loss"):
        first, second = getattr(one.conventions, word), getattr(two.conventions, word)
        if first and second and first != second:
            raise InputError(
                message(
                    f"{word} is {first} in {names[0]} and {second} in {names[1]}",
                    "one meaning in both tables",
                    "convert one of them first",
                )
            )
    columns = {k: np.concatenate([one.columns[k], two.columns[k]]) for k in one.columns if k in two.columns}
    labels = {k: np.concatenate([one.labels[k], two.labels[k]]) for k in one.labels if k in two.labels and k != by}
    labels[by] = np.array([names[0]] * len(one) + [names[1]] * len(two))
    return Runs(
        columns=columns,
        labels=labels,
        conventions=one.conventions.filled(two.conventions),
        source=f"{one.source} and {two.source}",
        citations=tuple(dict.fromkeys((*one.citations, *two.citations))),
    )

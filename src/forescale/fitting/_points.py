# SPDX-License-Identifier: Apache-2.0
"""The points of a prediction as people give them: numbers, "70B", arrays, mappings, frames, tables of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, LawError, QuantityError, message, nearest
from forescale.core.quantity import Compute, parse_budget, parse_number, parse_params, parse_tokens
from forescale.fitting._problem import schedules_of
from forescale.laws import Law
from forescale.laws._schedule import Schedules
from forescale.runs.table import Note, Runs

if TYPE_CHECKING:
    from forescale.fitting._fit import Fit

Array = NDArray[np.float64]


def columns_of(points: Any) -> Mapping[str, Any]:
    """Name -> values of a Runs, a mapping or a frame. Raises ColumnError for anything else."""
    if isinstance(points, Runs):
        return {**points.columns, **points.labels}
    if isinstance(points, Mapping):
        return points
    import narwhals as nw

    try:
        frame = nw.from_native(points, eager_only=True)
    except TypeError as error:
        raise ColumnError(
            message(f"predict got a {type(points).__name__}", "a Runs, a mapping of columns, a frame, or N=...")
        ) from error
    return {name: frame[name].to_list() for name in frame.columns}


def read_points(
    fit: Fit, given: Mapping[str, Any], *, strict: bool = True
) -> tuple[dict[str, Array], dict[str, NDArray[Any]], list[Note]]:
    """Inputs as float columns (k,), labels of a grouped law, and notes; N, D and C complete each other by C = 6ND.

    `strict` refuses names that the law does not know; tables may carry more columns than it needs.
    """
    law = fit.law
    by = law.groups.by if law.groups is not None else None
    along = set() if law.schedule is None else {law.schedule, "run"}
    wanted = set(law.inputs) | ({by} if by else set()) | along
    helpers = {"N", "D", "C"}
    if strict:
        for name in given:
            if name not in wanted | helpers:
                raise ColumnError(
                    message(f"{name!r} is no input of the law {law.id!r}", "", nearest(name, wanted | helpers))
                )
    columns = {name: read_numbers(name, given[name]) for name in given if name in set(law.inputs) | helpers}
    labels: dict[str, NDArray[Any]] = {}
    if by is not None:
        if by not in given:
            levels = law.groups.levels if law.groups is not None else ()
            raise LawError(message(f"the law {law.id!r} needs to know which {by}", " or ".join(map(repr, levels))))
        labels[by] = np.atleast_1d(np.asarray(given[by], dtype=np.str_))
    if along and "run" in given:
        labels["run"] = np.atleast_1d(np.asarray(given["run"], dtype=np.str_))
    notes: list[Note] = []
    for name, other in (("D", "N"), ("N", "D")):
        if name in law.inputs and name not in columns and {"C", other} <= set(columns):
            columns[name] = columns["C"] / (6.0 * columns[other])
            notes.append(Note("info", f"{name}-derived", f"{name} was derived from C by {name} = C / (6 {other})."))
    if "C" in law.inputs and "C" not in columns and {"N", "D"} <= set(columns):
        columns["C"] = 6.0 * columns["N"] * columns["D"]
        notes.append(Note("info", "C-derived", "C was derived by C = 6 N D."))
    missing = [name for name in law.inputs if name not in columns]
    if missing:
        raise ColumnError(
            message(
                f"the law {law.id!r} was asked for a prediction without {', '.join(missing)}",
                "values for " + ", ".join(law.inputs),
                "fit.predict(" + ", ".join(f"{name}=..." for name in law.inputs) + ")",
            )
        )
    try:
        shape = np.broadcast_shapes(*(v.shape for v in [*columns.values(), *labels.values()]))
    except ValueError as error:
        sizes = ", ".join(f"{name} {v.size}" for name, v in [*columns.items(), *labels.items()])
        raise ColumnError(message(f"the inputs have different lengths ({sizes})", "one length, or single")) from error
    columns = {name: np.broadcast_to(v, shape).astype(np.float64) for name, v in columns.items()}
    return columns, {name: np.broadcast_to(v, shape) for name, v in labels.items()}, notes


def schedules_at(law: Law, points: Any, given: Mapping[str, Any], step: Array, run: Any) -> Schedules:
    """The schedules of the points of a law along curves: from the curves of a table, or as they were given.

    Raises:
        ColumnError: there are none.
        LawError, DataError: see `laws._schedule.Schedules`.
    """
    name = str(law.schedule)
    if name in given and not isinstance(points, Runs):
        return Schedules.of(given[name], step, run)
    if isinstance(points, Runs):
        return schedules_of(points, step)
    raise ColumnError(
        message(
            f"the law {law.id!r} was asked for a prediction without {name}",
            "the learning rate of every step",
            f"fit.predict(step=..., {name}=fs.Schedule.cosine(3e-4, 24_000)), or a table of runs with curves",
        )
    )


def read_numbers(name: str, value: Any) -> Array:
    """One column as floats (k,); text as people write it ("70B"). ColumnError or QuantityError for anything else."""
    if isinstance(value, str):
        value = _human(name, value)
    elif isinstance(value, (list, tuple)) and any(isinstance(v, str) for v in value):
        value = [_human(name, v) if isinstance(v, str) else v for v in value]
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        array = np.array([_human(name, str(v)) for v in array.ravel()], dtype=np.float64).reshape(array.shape)
    try:
        numbers = np.atleast_1d(array.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise ColumnError(message(f"{name} is {value!r}", "a number, or text such as 70B")) from error
    if numbers.ndim != 1:
        raise ColumnError(message(f"{name} has shape {numbers.shape}", "one number or one row of numbers"))
    if not np.all(np.isfinite(numbers)) or (name in ("N", "D", "C") and np.any(numbers <= 0)):
        raise ColumnError(message(f"{name} has values that are not positive finite numbers", "values above zero"))
    return numbers


def _human(name: str, text: str) -> float:
    if name == "N":
        return parse_params(text)
    if name == "D":
        return parse_tokens(text)
    if name == "C":
        budget = parse_budget(text)
        if not isinstance(budget, Compute):
            raise QuantityError(message(f"C = {text!r} is device time or money", "FLOP"))
        return budget.flop
    return parse_number(text)


def distance_of(fit: Fit, columns: Mapping[str, Array]) -> Array:
    """(k,) compute asked over the largest compute fitted; without C the largest ratio over the inputs."""
    k = next(iter(columns.values())).size
    top = fit.fitted_range.get("C")
    compute = columns.get("C")
    if compute is None and {"N", "D"} <= set(columns):
        compute = 6.0 * columns["N"] * columns["D"]
    if compute is not None and {"N", "D"} <= set(fit.law.inputs):
        compute = 6.0 * columns["N"] * columns["D"]
    if top is not None and compute is not None:
        return np.asarray(compute / top[1])
    ratios = [columns[name] / fit.fitted_range[name][1] for name in fit.law.inputs if name in fit.fitted_range]
    ratios = [r for r in ratios if np.all(np.isfinite(r))]
    return np.asarray(np.max(ratios, axis=0)) if ratios else np.full(k, np.nan)

# SPDX-License-Identifier: Apache-2.0
"""Methods of the extrapolation benchmark: the rows of a task in, predictions with bands out.

Every method has one configuration for all tasks. `methods()` knows every law of the catalogue by its id, and the
recipes below; another method is a `Method` value that is handed to `benchmark.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InputError, RefusedError, message, nearest
from forescale.fitting.estimate import fit
from forescale.judge._protocol import Task
from forescale.judge.backtest import Backtest, backtest
from forescale.judge.select import select
from forescale.laws import Law, catalogue, find
from forescale.runs.table import Runs

Array = NDArray[np.float64]

SURFACE, CURVE = "chinchilla", "power-floor"
"""The law of recipes that need one: of N and D, of one variable."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a method says about the held-out rows.

    Attributes:
        estimate: (held,) the loss.
        lower, upper: (held,) prediction band at the level that was asked for; None: the method has none.
    """

    estimate: Array
    lower: Array | None = None
    upper: Array | None = None


def _everything(task: Task) -> bool:
    return True


def _surfaces(task: Task) -> bool:
    return {"N", "D"} <= set(task.inputs)


@dataclass(frozen=True)
class Method:
    """One way to predict.

    Attributes:
        id: the name in tables.
        about: one line.
        predict: (task, level) -> Forecast. The task that it gets holds the inputs of the held-out rows, not their
            loss. It raises a `ForescaleError` where it refuses. Importable by name, so that it can go to another
            process.
        applies: whether the method is about such a task.
    """

    id: str
    about: str
    predict: Callable[[Task, float], Forecast]
    applies: Callable[[Task], bool] = _everything


@dataclass(frozen=True)
class _ByLaw:
    """Least squares, or the loss of its own, on all rows."""

    law: str
    loss: str | None = None

    def __call__(self, task: Task, level: float) -> Forecast:
        return _law_forecast(task, task.train, law_for(task, self.law), level, self.loss)


@dataclass(frozen=True)
class _Fits:
    """Whether a law predicts a loss from the columns of a task, or can be told to."""

    law: str

    def __call__(self, task: Task) -> bool:
        law = find(self.law)
        if law.output != "loss" or law.schedule is not None:
            return False
        if len(law.inputs) > 1:
            return set(law.inputs) <= set(task.inputs)  # it may know fewer columns than the task has
        return len(task.inputs) == 1 and (law.topic == "one variable" or law.inputs == task.inputs)


def law_for(task: Task, name: str = "") -> Law:
    """The law on the columns of the task; without a name the one that recipes use."""
    law = find(name or (SURFACE if _surfaces(task) else CURVE))
    return law.on(**{law.inputs[0]: task.inputs[0]}) if len(law.inputs) == 1 else law


def _law_forecast(task: Task, rows: Runs, law: Law, level: float, loss: str | None = None) -> Forecast:
    found = fit(rows, law, loss=loss, level=level)
    said = found.predict(task.held)
    return Forecast(said.estimate, said.prediction.lower, said.prediction.upper)


def bare(task: Task, *, held: bool = False) -> Runs:
    """The fitted rows with the columns that laws may read, the loss and which run they belong to; no more. Of the
    held-out rows not even the loss."""
    rows = task.held if held else task.train
    names = task.inputs if held else (*task.inputs, "loss")
    labels = {"run": rows.labels["run"]} if "run" in rows.labels else {}
    return Runs(
        columns={name: rows[name] for name in names}, labels=labels, conventions=rows.conventions, source=task.name
    )


def auto(task: Task, level: float) -> Forecast:
    """The automatic choice of the law: what `fs.fit` without a law does."""
    said = select(bare(task), level=level).predict(task.held)
    return Forecast(said.estimate, said.prediction.lower, said.prediction.upper)


def last(task: Task, level: float) -> Forecast:
    """The least loss so far, for ever."""
    return Forecast(np.full(len(task.held), float(task.train["loss"].min())))


def curve_fit(task: Task, level: float) -> Forecast:
    """`scipy.optimize.curve_fit` on raw losses, from Hoffmann's constants or from a straight line in log-log."""
    from scipy.optimize import curve_fit as solve

    law = law_for(task)
    y = np.asarray(task.train["loss"])
    inputs, held = ([rows[name] for name in law.inputs] for rows in (task.train, task.held))
    if _surfaces(task):
        start = [float(find("chinchilla").published["hoffmann2022"].values[name]) for name in law.params]
    else:
        slope, level_at_one = np.polyfit(np.log(inputs[0]), np.log(y), 1)
        start = [0.5 * float(y.min()), float(np.exp(level_at_one)), max(-float(slope), 0.01)]

    def formula(x: Array, *values: float) -> Array:
        return np.asarray(law.formula(**dict(zip(law.inputs, x)), **dict(zip(law.params, values))), dtype=np.float64)

    with np.errstate(all="ignore"):
        try:
            values, _ = solve(formula, np.stack(inputs), y, p0=start, maxfev=20000)
        except (RuntimeError, ValueError, TypeError) as error:
            raise RefusedError(message(f"curve_fit gave up: {error}")) from error
        return Forecast(formula(np.stack(held), *values))


def near_the_top(task: Task, level: float) -> Forecast:
    """Least squares on the rows within a factor ten of the largest compute."""
    size = 6.0 * task.train["N"] * task.train["D"]
    return _law_forecast(task, task.train.where(size >= size.max() / 10), law_for(task), level, "squared")


def usual_ratios(task: Task, level: float) -> Forecast:
    """Least squares on the rows with 5 to 100 tokens per parameter."""
    ratio = task.train["D"] / task.train["N"]
    return _law_forecast(task, task.train.where((ratio >= 5) & (ratio <= 100)), law_for(task), level, "squared")


def rolled(task: Task, law: Law, level: float) -> Backtest:
    """A rolling backtest of the fitted rows; by row where there are too few runs to hide whole ones.

    Raises:
        RefusedError: too few rows as well.
    """
    rows = bare(task)
    try:
        return backtest(rows, law, level=level)
    except RefusedError:
        if "run" not in rows.labels:
            raise
    return backtest(replace(rows, labels={}), law, level=level)


def widened(task: Task, level: float) -> Forecast:
    """The default law with the spread that a rolling backtest of the fitted rows teaches, where one is possible."""
    law = law_for(task)
    found = fit(task.train, law, level=level)
    with suppress(RefusedError):  # too few rows to hide any: the bands stay the fit's own
        found = found.with_spread(rolled(task, law, level).spread)
    said = found.predict(task.held)
    return Forecast(said.estimate, said.prediction.lower, said.prediction.upper)


def conformal(task: Task, level: float) -> Forecast:
    """The default law with split-conformal bands: a quantile of absolute log errors that a rolling backtest made.

    The same width at every distance. Where no backtest is possible there is no band; where it made fewer errors than
    the level needs, the largest one is taken.
    """
    law = law_for(task)
    estimate = fit(task.train, law, level=level).predict(task.held).estimate
    try:
        errors = np.abs(rolled(task, law, level).points["log_error"])
    except RefusedError:
        return Forecast(estimate)
    rank = int(np.ceil(level * (errors.size + 1)))
    half = float(np.sort(errors)[min(rank, errors.size) - 1])
    return Forecast(estimate, estimate * np.exp(-half), estimate * np.exp(half))


RECIPES: tuple[Method, ...] = (
    Method("auto", "the automatic choice: laws scored by rolling extrapolation and pooled", auto),
    Method("last", "the least loss so far", last),
    Method("curve-fit", "scipy curve_fit on raw losses, one start", curve_fit),
    Method(
        "envelope", "one-sided loss, overestimates cost ten times as much", _ByLaw(SURFACE, "one-sided:10"), _surfaces
    ),
    Method("student-t", "chinchilla with Student-t errors", _ByLaw(SURFACE, "student-t"), _surfaces),
    Method("cmax/10", "least squares on rows above a tenth of the largest compute", near_the_top, _surfaces),
    Method("5-100", "least squares on rows of 5 to 100 tokens per parameter", usual_ratios, _surfaces),
    Method("widened", "the default law with the spread of a rolling backtest", widened),
    Method("conformal", "the default law with split-conformal bands from rolling residuals", conformal),
)
"""What people do, as methods."""


def methods(names: Sequence[str] = ()) -> list[Method]:
    """The named methods; without names all laws of the catalogue, then the recipes.

    Raises:
        InputError: an unknown method.
    """
    known = {
        law_id: Method(law_id, entry.value.title, _ByLaw(law_id), _Fits(law_id))
        for law_id, entry in catalogue().items()
    }
    known.update({method.id: method for method in RECIPES})
    for name in names:
        if name not in known:
            raise InputError(message(f"there is no method {name!r}", hint=nearest(name, known)))
    return [known[name] for name in names] if names else list(known.values())

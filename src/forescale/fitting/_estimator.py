# SPDX-License-Identifier: Apache-2.0
"""Estimators: what learns from runs and predicts, and is no formula with parameters.

Regressions on mixtures, staged procedures, nonparametric inversions. An `Estimator` is a value in a registry, as a
law is; `estimate(runs, estimator)` gives an `Estimate`, which predicts with the same two bands as a `Fit`: where the
curve is (bootstrap), and where a new run will land (with the scatter of the rows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, DataError, InputError, LawError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.registry import Entry, discover
from forescale.core.streams import block_streams
from forescale.fitting._points import columns_of, read_numbers
from forescale.fitting.prediction import Band, Prediction
from forescale.laws import TOPICS
from forescale.runs.table import Note, Runs

Array = NDArray[np.float64]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Estimator:
    """A way to predict that is no formula.

    Attributes:
        id, title, meaning, traps, papers: as of a law.
        topic: one of `laws.TOPICS`.
        output: column that it predicts.
        learn: (runs, options) -> state, anything that pickles; raises DataError for rows it cannot use.
        predict: (state, columns of the points, each (k,)) -> (k,).
        numbers: state -> name -> number: what it found, for people and tests.
        options: name -> default, of what `learn` may be told.
        about_options: name -> meaning.
        needs: columns that `learn` reads besides `output`, for the documentation; label columns too.
        least: fewest rows.
        by: what a bootstrap draws: "row", or a label column whose levels stay together.
    """

    id: str
    title: str
    topic: str
    output: str
    learn: Callable[[Runs, Options], Any]
    predict: Callable[[Any, Mapping[str, Any]], Array]
    meaning: str
    traps: tuple[str, ...]
    papers: tuple[str, ...]
    needs: tuple[str, ...] = ()
    numbers: Callable[[Any], Mapping[str, float]] = lambda _: {}
    options: Options = field(default_factory=dict)
    about_options: Mapping[str, str] = field(default_factory=dict)
    least: int = 3
    by: str = "row"

    def __post_init__(self) -> None:
        if self.topic not in TOPICS:
            raise LawError(message(f"the topic of {self.id!r} is {self.topic!r}", "one of " + ", ".join(TOPICS)))
        if set(self.options) != set(self.about_options):
            raise LawError(message(f"{self.id!r} explains other options than it has", ", ".join(self.options)))


@dataclass(frozen=True, eq=False)
class Estimate:
    """What an estimator learned from runs.

    Attributes:
        estimator: the value that learned.
        state: what it learned.
        runs: the rows.
        options: what it was told.
        draws: states learned from resampled rows; empty before `bootstrap`.
        residuals: (n,) observed - predicted on the rows.
        level: nominal level of the bands.
        notes: what the reader must know.
    """

    estimator: Estimator
    state: Any
    runs: Runs
    options: Options
    residuals: Array
    level: float = 0.90
    draws: tuple[Any, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def numbers(self) -> Mapping[str, float]:
        """What was found: name -> number."""
        return Frozen({k: float(v) for k, v in self.estimator.numbers(self.state).items()})

    def interval(self, name: str) -> tuple[float, float]:
        """Percentile interval of one number at `level`; NaN before `bootstrap`.

        Raises:
            InputError: no such number.
        """
        if name not in self.numbers:
            raise InputError(message(f"{self.estimator.id} finds no {name!r}", "", nearest(name, self.numbers)))
        if not self.draws:
            return np.nan, np.nan
        values = [float(self.estimator.numbers(state).get(name, np.nan)) for state in self.draws]
        tail = 0.5 * (1.0 - self.level)
        low, high = np.nanquantile(values, [tail, 1.0 - tail])
        return float(low), float(high)

    def predict(self, points: Any = None, /, **inputs: Any) -> Prediction:
        """Predict at points: a Runs, a mapping, a frame, or keywords; numbers may be text ("70B"), labels are.

        Without draws the band of the curve is NaN, and that of a new run holds the scatter of the rows alone.

        Raises:
            ColumnError: a column is missing.
            QuantityError: text that is no number, in a column of numbers.
        """
        given = dict(columns_of(points) if points is not None else inputs)
        columns = _arrays(given, self.runs)
        try:
            estimate = np.asarray(self.estimator.predict(self.state, columns), dtype=np.float64)
        except KeyError as error:
            raise ColumnError(
                message(f"{self.estimator.id} predicts from {error.args[0]!r}", "that column among the points")
            ) from error

        drawn = [np.asarray(self.estimator.predict(state, columns)) for state in self.draws]

        def bands(level: float) -> tuple[Band, Band]:
            tail = 0.5 * (1.0 - level)
            nothing = np.full_like(estimate, np.nan)
            low, high = nothing, nothing
            if drawn:
                low, high = np.nanquantile(np.stack(drawn), [tail, 1.0 - tail], axis=0)
                low, high = np.minimum(low, estimate), np.maximum(high, estimate)
            noise = float(np.quantile(np.abs(self.residuals), level)) if self.residuals.size else 0.0
            if not self.draws and not self.residuals.size:
                noise = np.nan  # nothing is known: no band, rather than one without width
            below = np.sqrt(np.nan_to_num(estimate - low) ** 2 + noise**2)
            above = np.sqrt(np.nan_to_num(high - estimate) ** 2 + noise**2)
            return Band(low, high), Band(estimate - below, estimate + above)

        confidence, new = bands(self.level)
        unknown, notes = np.full(estimate.shape, np.nan), self.notes
        if self.draws and not self.residuals.size:
            text = f"The rows hold no {self.estimator.output}: the band of a new run is that of the curve."
            notes = (*notes, Note("info", "no-scatter", text))
        return Prediction(columns, estimate, confidence, new, unknown, self.level, notes, bands)

    def bootstrap(self, n: int = 200, rng: int = 0) -> Estimate:
        """This estimate with `n` states learned from resampled rows (or groups of rows)."""
        random, by = block_streams(rng, 1)[0], self.estimator.by
        count = len(self.runs)
        if by == "row" or by not in self.runs:
            groups = [np.array([i]) for i in range(count)]
        else:
            codes, names = self.runs.group_codes(by)
            groups = [np.flatnonzero(codes == g) for g in range(len(names))]
        draws = []
        for _ in range(n):
            chosen = np.concatenate([groups[i] for i in random.integers(0, len(groups), len(groups))])
            try:
                draws.append(self.estimator.learn(self.runs.where(chosen), self.options))
            except (DataError, np.linalg.LinAlgError):
                continue  # a resample may lack what the estimator needs; how many did is said below
        note = Note("info", "bootstrap", f"{len(draws)} of {n} resamples by {by} could be learned from.")
        return replace(self, draws=tuple(draws), notes=(*self.notes, note))

    def summary(self) -> str:
        """Title, numbers, scatter, notes as text."""
        lines = [f"{self.estimator.id}: {self.estimator.title}", f"{len(self.runs)} rows"]
        for name, value in self.numbers.items():
            low, high = self.interval(name)
            lines.append(f"  {name:<24} {value:.6g}" + (f"  [{low:.4g}, {high:.4g}]" if self.draws else ""))
        if self.residuals.size:
            lines.append(f"  scatter of the rows      {float(np.sqrt(np.mean(self.residuals**2))):.4g}")
        lines += [f"[{note.level}] {note.text}" for note in self.notes]
        return "\n".join(lines)

    def citation(self) -> str:
        """BibTeX of the estimator's papers."""
        from forescale.core import cite

        return "\n".join(cite.bibtex(key) for key in self.estimator.papers)

    def __repr__(self) -> str:
        found = ", ".join(f"{k}={v:.4g}" for k, v in list(self.numbers.items())[:6])
        return f"Estimate({self.estimator.id}: {found}; {len(self.runs)} rows)"


@cache
def estimators() -> dict[str, Entry[Estimator]]:
    """All estimators, built-in and plugged in: id -> Entry(value, origin)."""
    return discover("forescale.fitting.estimators", Estimator)


def find(name: str) -> Estimator:
    """One estimator by id. Raises LawError with the nearest ids."""
    entry = estimators().get(name)
    if entry is None:
        raise LawError(message(f"there is no estimator {name!r}", "", nearest(name, estimators())))
    return entry.value


def described(estimator: Estimator) -> str:
    """An estimator in words, as `laws.describe` gives a law."""
    from forescale.core import cite

    def section(title: str, lines: Iterable[str]) -> list[str]:
        body = [piece for line in lines for piece in wrap(line, 100, initial_indent="  ", subsequent_indent="    ")]
        return ["", title, *body] if body else []

    reads = ", ".join(estimator.needs) or "what its options name"
    blocks = [f"{estimator.id}: {estimator.title}", "", *wrap(estimator.meaning, 100)]
    blocks += section("Reads and predicts", [f"{reads} -> {estimator.output}; {estimator.least} rows or more"])
    options = estimator.options.items()
    blocks += section("Options", [f"{k} = {v!r}: {estimator.about_options[k]}" for k, v in options])
    blocks += section("Traps", estimator.traps)
    blocks += section("Papers", [f"{cite.short(key)} {cite.reference(key).link}" for key in estimator.papers])
    return "\n".join([*blocks, "", f'fs.estimate(runs, "{estimator.id}")']) + "\n"


def estimate(runs: Runs, estimator: Estimator | str, *, level: float = 0.90, **options: Any) -> Estimate:
    """Learn from runs.

    Args:
        runs: the rows, with the columns that the estimator needs.
        estimator: a value or its id.
        level: nominal level of the bands.
        **options: of that estimator.

    Raises:
        LawError: unknown estimator.
        InputError: an option that it does not have.
        DataError, ColumnError: rows it cannot use.
    """
    chosen = find(estimator) if isinstance(estimator, str) else estimator
    for name in options:
        if name not in chosen.options:
            known = ", ".join(chosen.options) or "no options"
            raise InputError(message(f"{chosen.id} has no option {name!r}", known))
    if not 0.0 < level < 1.0:
        raise DataError(message(f"an interval level of {level}", "a number between 0 and 1, e.g. 0.9"))
    if len(runs) < chosen.least:
        raise DataError(message(f"{len(runs)} rows for {chosen.id}", f"{chosen.least} or more"))
    told = Frozen({**chosen.options, **options})
    state = chosen.learn(runs, told)
    residuals = np.empty(0)
    if chosen.output in runs.columns:
        columns = _arrays(columns_of(runs), runs)
        residuals = runs[chosen.output] - np.asarray(chosen.predict(state, columns), dtype=np.float64)
    residuals = residuals[np.isfinite(residuals)]
    residuals.flags.writeable = False
    return Estimate(chosen, state, runs, told, residuals, level)


def _arrays(given: Mapping[str, Any], runs: Runs) -> dict[str, NDArray[Any]]:
    """Columns as one-dimensional arrays of one length; text stays text unless the runs hold numbers there."""
    out: dict[str, NDArray[Any]] = {}
    for name, values in given.items():
        array = np.atleast_1d(np.asarray(values))
        if array.dtype.kind not in "US":
            out[name] = array.astype(np.float64)
        else:
            out[name] = read_numbers(name, values) if name in runs.columns else array
    if not out:
        raise ColumnError(message("a prediction without points", "a table, or values by name"))
    shape = np.broadcast_shapes(*(a.shape for a in out.values()))
    return {name: np.broadcast_to(a, shape) for name, a in out.items()}

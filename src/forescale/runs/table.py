# SPDX-License-Identifier: Apache-2.0
"""Runs: the immutable table of observations on which everything else stands.

One row is one run (or one checkpoint of a run, told apart by the text column `run`). Numbers are float64 arrays
under canonical names (`N`, `D`, `C`, `loss`, ...), text is kept in `labels`, and the conventions (which N, which D,
which C, which loss) travel with the numbers. Every method returns a new value; no array can be written to.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.columns import check_convention
from forescale.core.errors import (
    ColumnError,
    ConventionError,
    DataError,
    DependencyError,
    InputError,
    message,
    nearest,
)
from forescale.core.frozen import Frozen

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
Level = Literal["info", "amber", "red"]

POSITIVE = ("N", "D", "C", "loss")
"""Columns whose every value must be positive and finite: laws take their logarithms. They also carry conventions."""


@dataclass(frozen=True)
class Conventions:
    """What the numbers of a table mean; None = the source does not say. The words are those of `core.columns`.

    Attributes:
        N: which parameters are counted: `total`, `non-embedding`, `matrices+head`, `active`.
        D: what is counted as data: `tokens`, `bytes`, `characters`, `samples`.
        C: which compute: `6ND`, `6N(non-embedding)D`, `exact`, `reported`.
        loss: the unit of the loss: `nats/token`, `bits/byte`, `1-accuracy`, `perplexity`, ...

    Raises:
        ConventionError: a word that is not known.
    """

    N: str | None = None
    D: str | None = None
    C: str | None = None
    loss: str | None = None

    def __post_init__(self) -> None:
        for name in POSITIVE:
            stated = getattr(self, name)
            if stated is not None:
                check_convention(name, stated)

    def filled(self, other: Conventions) -> Conventions:
        """These conventions, with what is not stated here taken from `other`."""
        return Conventions(
            N=self.N or other.N, D=self.D or other.D, C=self.C or other.C, loss=self.loss or other.loss
        )


@dataclass(frozen=True)
class Note:
    """One remark about a table: `info` (good to know), `amber` (look at this), `red` (do not trust this)."""

    level: Level
    code: str
    text: str


@dataclass(frozen=True, eq=False)
class Curve:
    """The loss of one run along training.

    Attributes:
        step: optimiser steps, shape (T,), increasing.
        loss: loss at those steps, shape (T,); NaN where only the learning rate is known.
        lr: learning rate at those steps, shape (T,); NaN where it was not logged.
        D: data seen at those steps, shape (T,); NaN where it was not logged.
        split: `train` or `eval`.
    """

    step: Floats
    loss: Floats
    lr: Floats
    D: Floats
    split: str = "train"

    def __post_init__(self) -> None:
        arrays = {name: frozen_floats(getattr(self, name)) for name in ("step", "loss", "lr", "D")}
        if len({len(a) for a in arrays.values()}) != 1:
            raise DataError(message("the arrays of a curve differ in length", "step, loss, lr and D of one length"))
        for name, array in arrays.items():
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.step)

    def __repr__(self) -> str:
        ends = f", steps {self.step[0]:.10g} to {self.step[-1]:.10g}" if len(self) else ""
        return f"Curve({len(self)} points of {self.split}{ends})"


@dataclass(frozen=True, eq=False)
class Runs:
    """A table of n observations. Build it with `Runs.from_columns` or `forescale.load`.

    Attributes:
        columns: canonical name -> read-only float64 array of shape (n,).
        labels: name -> read-only text array of shape (n,).
        weights: read-only float64 array of shape (n,) with values >= 0, or None for equal weights.
        conventions: what N, D, C and loss mean.
        notes: remarks made while reading, deriving or checking.
        source: where the table came from (a file name, a data-set name, "in memory").
        dataset: id of the public data set, or None.
        citations: how to cite the source.
        licence: licence of the data, or None if unknown.
        curves: run name -> Curve.
    """

    columns: Mapping[str, Floats]
    labels: Mapping[str, Texts] = field(default_factory=dict)
    weights: Floats | None = None
    conventions: Conventions = Conventions()
    notes: tuple[Note, ...] = ()
    source: str = "in memory"
    dataset: str | None = None
    citations: tuple[str, ...] = ()
    licence: str | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = {str(k): frozen_floats(v) for k, v in self.columns.items()}
        labels = {str(k): frozen_texts(v) for k, v in self.labels.items()}
        weights = None if self.weights is None else frozen_floats(self.weights)
        lengths = {len(a) for a in [*columns.values(), *labels.values()]}
        if weights is not None:
            lengths.add(len(weights))
            if not bool(np.all(np.isfinite(weights) & (weights >= 0))):
                raise DataError(message("a weight is negative or not finite", "weights >= 0"))
        if len(lengths) > 1:
            raise DataError(
                message(f"columns of different lengths: {sorted(lengths)}", "one value per row in each column")
            )
        shared = sorted(set(columns) & set(labels))
        if shared:
            raise ColumnError(message(f"{shared[0]!r} is both a number and a text column", "distinct names"))
        object.__setattr__(self, "columns", Frozen(columns))
        object.__setattr__(self, "labels", Frozen(labels))
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "curves", Frozen(dict(self.curves)))

    # --- construction -------------------------------------------------------------------------------------------

    @staticmethod
    def from_columns(
        columns: Mapping[str, ArrayLike],
        *,
        mapping: Mapping[str, str] | None = None,
        conventions: Conventions | None = None,
        weights: ArrayLike | None = None,
        on_bad: Literal["error", "drop"] = "error",
        source: str = "in memory",
        dataset: str | None = None,
        citations: Sequence[str] = (),
        licence: str | None = None,
        curves: Mapping[str, Curve] | None = None,
        notes: Sequence[Note] = (),
    ) -> Runs:
        """Build a table from columns under any names.

        Foreign names are resolved by the shared alias table; `mapping` (canonical name -> column) wins over it.
        Numbers may be typed as people write them ("7B"). Inputs are copied, never changed.

        Args:
            columns: name -> values, all of one length.
            mapping: canonical name -> name in `columns`.
            conventions: what the numbers mean; overrides what the names imply.
            weights: one non-negative weight per row.
            on_bad: `error` refuses rows with a bad N, D, C or loss; `drop` leaves them out and keeps a note.

        Raises:
            ColumnError: a named column is missing, two columns claim one name, or text stands in a number column.
            DataError: N, D, C or loss is zero, negative, NaN or infinite (and `on_bad="error"`), or no row is left.
        """
        from forescale.runs._build import build

        return build(
            columns,
            mapping=mapping or {},
            conventions=conventions or Conventions(),
            weights=weights,
            on_bad=on_bad,
            source=source,
            dataset=dataset,
            citations=tuple(citations),
            licence=licence,
            curves=curves or {},
            notes=tuple(notes),
        )

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> Runs:
        """Read back what `to_dict` wrote.

        Raises:
            InputError: not a table of ours, or of a later version.
        """
        if value.get("schema") != SCHEMA or value.get("version") != VERSION:
            raise InputError(
                message(
                    f"schema {value.get('schema')!r}, version {value.get('version')!r}",
                    f"schema {SCHEMA!r}, version {VERSION}",
                )
            )
        weights = value.get("weights")
        return Runs(
            columns={k: _restore(v) for k, v in value["columns"].items()},
            labels={k: np.asarray(v, dtype=np.str_) for k, v in value["labels"].items()},
            weights=None if weights is None else _restore(weights),
            conventions=Conventions(**value["conventions"]),
            notes=tuple(Note(**n) for n in value["notes"]),
            source=value["source"],
            dataset=value["dataset"],
            citations=tuple(value["citations"]),
            licence=value["licence"],
            curves={run: _restore_curve(curve) for run, curve in value["curves"].items()},
        )

    # --- reading ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        for array in [*self.columns.values(), *self.labels.values()]:
            return len(array)
        return 0

    def __contains__(self, name: object) -> bool:
        return name in self.columns or name in self.labels

    def __getitem__(self, name: str) -> Floats:
        """The number column `name`, shape (n,), read-only.

        Raises:
            ColumnError: no such number column.
        """
        if name in self.columns:
            return self.columns[name]
        if name in self.labels:
            raise ColumnError(message(f"column {name!r} holds text", "a number column", f'runs.labels["{name}"]'))
        raise ColumnError(
            message(
                f"no column {name!r} in {self.source}",
                "one of " + (", ".join([*self.columns, *self.labels]) or "(the table has no columns)"),
                nearest(name, [*self.columns, *self.labels]) if len(self.columns) + len(self.labels) else "",
            )
        )

    def group_codes(self, label: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
        """Integer codes of shape (n,) and the names they index, in order of first appearance.

        Works for text columns and for number columns of few values (names are then shortest-form numbers).

        Raises:
            ColumnError: no such column.
        """
        if label in self.labels:
            values: NDArray[Any] = self.labels[label]
        else:
            values = self[label]
        unique, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        names = tuple(str(v) if isinstance(v, str) else f"{float(v):.12g}" for v in unique[order].tolist())
        return rank[inverse.reshape(-1)].astype(np.intp), names

    @cached_property
    def hash(self) -> str:
        """SHA-256 over names, numbers, texts, weights, conventions and curves; row order counts, notes do not."""
        digest = hashlib.sha256(b"forescale.runs.1")
        for name in sorted(self.columns):
            digest.update(f"\0column\0{name}\0{len(self)}\0".encode())
            # + 0.0 turns -0.0 into 0.0; a NaN has many bit patterns and must have one here
            values = self.columns[name] + 0.0
            values[np.isnan(values)] = np.nan
            digest.update(values.astype("<f8").tobytes())
        for name in sorted(self.labels):
            digest.update(f"\0label\0{name}\0".encode())
            codes, names = self.group_codes(name)
            digest.update("\0".join(names).encode("utf-8", "surrogatepass"))
            digest.update(codes.astype("<i8").tobytes())
        if self.weights is not None:
            digest.update(b"\0weights\0" + self.weights.astype("<f8").tobytes())
        digest.update(repr(asdict(self.conventions)).encode())
        for run in sorted(self.curves):
            curve = self.curves[run]
            digest.update(f"\0curve\0{run}\0{curve.split}\0{len(curve)}\0".encode("utf-8", "surrogatepass"))
            for values in (curve.step, curve.loss, curve.lr, curve.D):
                digest.update(np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes())
        return digest.hexdigest()

    # --- new tables ---------------------------------------------------------------------------------------------

    def where(self, mask: ArrayLike) -> Runs:
        """The rows where `mask` (booleans of shape (n,), or row indices) holds; an empty result is allowed.

        Raises:
            InputError: a boolean mask of the wrong length, or an index out of range.
        """
        chosen = np.asarray(mask)
        if chosen.size == 0 and chosen.dtype != np.bool_:
            chosen = chosen.astype(np.intp)
        if chosen.dtype == np.bool_ and chosen.shape != (len(self),):
            raise InputError(message(f"a mask of shape {chosen.shape}", f"shape ({len(self)},)"))
        if chosen.dtype != np.bool_ and not np.issubdtype(chosen.dtype, np.integer):
            raise InputError(message(f"a mask of type {chosen.dtype}", "booleans or row numbers"))
        try:
            columns = {k: v[chosen] for k, v in self.columns.items()}
        except IndexError:
            raise InputError(message("a row number is out of range", f"0 to {len(self) - 1}")) from None
        labels = {k: v[chosen] for k, v in self.labels.items()}
        kept = set(labels["run"].tolist()) if "run" in labels else None
        return replace(
            self,
            columns=columns,
            labels=labels,
            weights=None if self.weights is None else self.weights[chosen],
            curves={k: c for k, c in self.curves.items() if kept is None or k in kept},
        )

    def with_column(self, name: str, values: ArrayLike) -> Runs:
        """This table with the number (or text) column `name` added or replaced; values of shape (n,) or a scalar."""
        array = np.asarray(values)
        if array.ndim == 0:
            array = np.full(len(self), array)
        columns = {k: v for k, v in self.columns.items() if k != name}
        labels = {k: v for k, v in self.labels.items() if k != name}
        if array.dtype.kind in "USO":
            labels[name] = array.astype(np.str_)
        else:
            columns[name] = array.astype(np.float64)
        return replace(self, columns=columns, labels=labels)

    def without(self, *names: str) -> Runs:
        """This table without some columns (names that are not there are ignored)."""
        return replace(
            self,
            columns={k: v for k, v in self.columns.items() if k not in names},
            labels={k: v for k, v in self.labels.items() if k not in names},
        )

    def with_weights(self, weights: ArrayLike | None) -> Runs:
        """This table with other weights, shape (n,), >= 0."""
        return replace(self, weights=None if weights is None else np.asarray(weights, dtype=np.float64))

    def with_note(self, level: Level, code: str, text: str) -> Runs:
        """This table with one more note; the same note is kept once."""
        note = Note(level, code, text)
        return self if note in self.notes else replace(self, notes=(*self.notes, note))

    def with_conventions(self, **stated: str | None) -> Runs:
        """State what the numbers mean (`N="total"`, `C="6ND"`, ...). Changes no number.

        Raises:
            ConventionError: a key that is not N, D, C or loss.
        """
        unknown = sorted(set(stated) - {f.name for f in fields(Conventions)})
        if unknown:
            raise ConventionError(message(f"a convention for {unknown[0]!r}", "N, D, C or loss"))
        return replace(self, conventions=replace(self.conventions, **stated))

    # --- out ----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON (NaN becomes None); `Runs.from_dict` reads it back."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "columns": {k: _plain(v) for k, v in self.columns.items()},
            "labels": {k: v.tolist() for k, v in self.labels.items()},
            "weights": None if self.weights is None else self.weights.tolist(),
            "conventions": asdict(self.conventions),
            "notes": [asdict(n) for n in self.notes],
            "source": self.source,
            "dataset": self.dataset,
            "citations": list(self.citations),
            "licence": self.licence,
            "curves": {
                run: {**{k: _plain(getattr(c, k)) for k in ("step", "loss", "lr", "D")}, "split": c.split}
                for run, c in self.curves.items()
            },
        }

    def to_frame(self, backend: str = "pandas") -> Any:
        """The table as a frame of the caller's library: `pandas`, `polars`, `pyarrow` (whatever narwhals knows).

        Raises:
            DependencyError: that library is not installed.
        """
        import narwhals as nw

        data: dict[str, Any] = {**{k: v.tolist() for k, v in self.labels.items()}}
        data.update({k: v.copy() for k, v in self.columns.items()})
        if self.weights is not None:
            data["weight"] = self.weights.copy()
        try:
            return nw.from_dict(data, backend=cast(Any, backend)).to_native()
        except ImportError as error:
            raise DependencyError(
                message(f"{backend} is not installed ({error})", "a frame library", f"pip install {backend}")
            ) from error

    def __reduce__(self) -> tuple[Callable[..., Runs], tuple[Any, ...]]:
        values = [getattr(self, f.name) for f in fields(self)]
        return Runs, tuple(dict(v) if isinstance(v, Frozen) else v for v in values)

    def __repr__(self) -> str:
        lines = [f"Runs: {len(self)} rows from {self.source}"]
        lines += [f"  {name:<14} {span:<28} {meaning}".rstrip() for name, span, meaning in self._overview()]
        lines += [f"  [{note.level}] {note.text}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._overview()
        )
        notes = "".join(f"<li>[{n.level}] {html.escape(n.text)}</li>" for n in self.notes)
        return (
            f"<div><b>Runs</b>: {len(self)} rows from {html.escape(self.source)}"
            f"<table><tr><th>column</th><th>values</th><th>meaning</th></tr>{rows}</table><ul>{notes}</ul></div>"
        )

    def _overview(self) -> list[tuple[str, str, str]]:
        stated = asdict(self.conventions)
        rows: list[tuple[str, str, str]] = []
        for name, values in self.columns.items():
            finite = values[np.isfinite(values)]
            span = "no values" if len(finite) == 0 else f"{finite.min():.4g} ... {finite.max():.4g}"
            missing = len(values) - len(finite)
            meaning = stated.get(name) or ("not stated" if name in stated else "")
            rows.append((name, span, meaning + (f" ({missing} missing)" if missing else "")))
        for name in self.labels:
            names = self.group_codes(name)[1]
            shown = ", ".join(n[:24] for n in names[:3]) + (", ..." if len(names) > 3 else "")
            rows.append((name, f"{len(names)} distinct", shown))
        return rows


SCHEMA = "forescale/runs"
VERSION = 1


def concat(tables: Sequence[Runs]) -> Runs:
    """Stack tables row by row.

    Columns that are not in every table are left out, with a note. Conventions must agree.

    Raises:
        ConventionError: two tables state (or one states and one does not state) different meanings.
        InputError: no table given.
    """
    if not tables:
        raise InputError(message("no tables to join", "at least one"))
    first = tables[0]
    for other in tables[1:]:
        for name in (f.name for f in fields(Conventions)):
            ours, theirs = getattr(first.conventions, name), getattr(other.conventions, name)
            if ours != theirs and (name in first or name in other):
                raise ConventionError(
                    message(
                        f"{name} is {ours or 'not stated'} in {first.source} and {theirs or 'not stated'} "
                        f"in {other.source}",
                        "one meaning in one table",
                        f'state it with runs.with_conventions({name}="..."), or convert one of them first',
                    )
                )
    columns = [k for k in first.columns if all(k in t.columns for t in tables)]
    labels = [k for k in first.labels if all(k in t.labels for t in tables)]
    every = dict.fromkeys(k for t in tables for k in [*t.columns, *t.labels])
    lost = [k for k in every if k not in columns and k not in labels]
    weighted = any(t.weights is not None for t in tables)
    joined = Runs(
        columns={k: np.concatenate([t.columns[k] for t in tables]) for k in columns},
        labels={k: np.concatenate([t.labels[k] for t in tables]) for k in labels},
        weights=np.concatenate([np.ones(len(t)) if t.weights is None else t.weights for t in tables])
        if weighted
        else None,
        conventions=first.conventions,
        notes=tuple(dict.fromkeys(n for t in tables for n in t.notes)),
        source=" + ".join(dict.fromkeys(t.source for t in tables)),
        dataset=first.dataset if all(t.dataset == first.dataset for t in tables) else None,
        citations=tuple(dict.fromkeys(c for t in tables for c in t.citations)),
        licence=first.licence if all(t.licence == first.licence for t in tables) else None,
        curves={k: c for t in tables for k, c in t.curves.items()},
    )
    if lost:
        joined = joined.with_note("info", "columns-left-out", "columns not in every table: " + ", ".join(lost))
    return joined


def frozen_floats(values: ArrayLike) -> Floats:
    """A read-only float64 array of one dimension; copies unless it is one already."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(message(f"a column of shape {array.shape}", "one dimension"))
    if array.dtype == np.float64 and not array.flags.writeable and array.flags.c_contiguous and array.base is None:
        return array
    fresh = np.array(array, dtype=np.float64, order="C")
    fresh.flags.writeable = False
    return fresh


def frozen_texts(values: ArrayLike) -> Texts:
    """A read-only text array of one dimension; copies unless it is one already."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(message(f"a text column of shape {array.shape}", "one dimension"))
    if array.dtype.kind == "U" and not array.flags.writeable and array.base is None:
        return cast(Texts, array)
    fresh = np.array(array, dtype=np.str_, order="C")
    fresh.flags.writeable = False
    return fresh


def _plain(values: Floats) -> list[float | None]:
    return [v if np.isfinite(v) else None for v in values.tolist()]


def _restore(values: Sequence[float | None]) -> Floats:
    return np.asarray([np.nan if v is None else v for v in values], dtype=np.float64)


def _restore_curve(value: Mapping[str, Any]) -> Curve:
    step, loss, lr, D = (_restore(value[name]) for name in ("step", "loss", "lr", "D"))
    return Curve(step, loss, lr, D, value["split"])

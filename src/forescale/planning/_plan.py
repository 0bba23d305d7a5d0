# SPDX-License-Identifier: Apache-2.0
"""What a planner is, and what it answers with.

A `Planner` is one question; a `Plan` is the answer: every number with its interval, what it costs to be wrong, what
else would do as well, what binds, and what all of it rests on. Both are values. The framework that validates a query,
pushes parameter draws through a planner and records the evidence is `planning._run`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from forescale.core.errors import InputError, message, nearest
from forescale.core.files import to_json, write_atomic
from forescale.core.frozen import Frozen
from forescale.core.registry import renderer
from forescale.planning._show import show

if TYPE_CHECKING:
    from forescale.fitting._fit import Finding, Fit
    from forescale.fitting._stack import Stack
    from forescale.fitting.surface import Surface
    from forescale.laws import Law
    from forescale.runs.table import Runs

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Basis:
    """What a planner stands on.

    Attributes:
        surface: the law with B parameter vectors: row 0 the estimate, rows 1.. the draws (none when B = 1).
        fit: where the surface comes from; None when a caller planned on a bare surface.
        sigma: standard deviation of one run in the residual units of the fit (log loss as a rule), NaN when unknown.
        labels: levels of a grouped law that the surface stands for, e.g. {"dataset": "c4"}.
        refit: fits the same law again, to runs counted under another convention, and gives the surface and its
            residual standard deviation; None where that is not wanted.
        stack: the laws behind `fit`, where it is the pool of several: its bands are the stack's.
    """

    surface: Surface
    fit: Fit | None = None
    sigma: float = math.nan
    labels: Mapping[str, str] = field(default_factory=Frozen)
    refit: Callable[[Runs], tuple[Surface, float]] | None = None
    stack: Stack | None = None

    @property
    def level(self) -> float:
        """Nominal level of every interval."""
        return 0.90 if self.fit is None else self.fit.level


TOPICS = ("what to train", "how a task will go", "how to sample and to serve", "all together")
"""What questions are about: the order of the lists in the documentation."""


@dataclass(frozen=True)
class Part:
    """One thing that a planner stands on: a law with its constants, or a table.

    Attributes:
        name: how the planner calls it: "loss", "accuracy", "attempts".
        meaning: one sentence for people.
        laws: ids of the laws that can play the part; the first is fitted where bare runs are given.
        inputs, output: or any law that reads exactly these columns and predicts that one.
        default: published constants ("law:source") that are taken where nothing is given.
        columns: or a table that has these columns, numbers or labels; no law.
        optional: the planner can do without.
        most: how many of its kind may be given; the second is then called "name 2".
    """

    name: str
    meaning: str
    laws: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    output: str = "loss"
    default: str = ""
    columns: tuple[str, ...] = ()
    optional: bool = False
    most: int = 1

    def __post_init__(self) -> None:
        if bool(self.columns) == bool(self.laws or self.inputs):
            held = "laws and a table" if self.columns else "neither laws nor a table"
            raise InputError(message(f"the part {self.name!r} names {held}", "laws or inputs, or else columns"))

    def names(self) -> tuple[str, ...]:
        """What the members of this part are called."""
        return (self.name, *(f"{self.name} {i}" for i in range(2, self.most + 1)))

    @property
    def is_table(self) -> bool:
        """Whether a table plays this part, and no law."""
        return bool(self.columns)

    def accepts(self, law: Law) -> bool:
        """Whether a law can play this part."""
        # A member of a family, as "mixing-exponential(web, code)", plays its family's part.
        if law.id in self.laws or (law.id.endswith(")") and law.id.partition("(")[0] in self.laws):
            return True
        return bool(self.inputs) and set(law.inputs) == set(self.inputs) and law.output == self.output

    def wanted(self) -> str:
        """What can play this part, in words."""
        if self.is_table:
            return f"a table with {', '.join(self.columns)}"
        ways = [f"a fit of {' or '.join(self.laws)}"] if self.laws else []
        ways += [f"a law of {self.output} in {', '.join(self.inputs)}"] if self.inputs else []
        return " or ".join(ways)


@dataclass(frozen=True, eq=False)
class Grounds:
    """What a planner of several parts stands on.

    Attributes:
        laws: part -> Basis. All surfaces have the same number of parameter vectors; row i of one belongs to row i of
            the others (fits are independent of each other, so any pairing of their draws is as good).
        tables: part -> Runs.
        defaulted: part -> the published constants that stand in where nothing was given.
        level: nominal level of every interval.
    """

    laws: Mapping[str, Basis] = field(default_factory=Frozen)
    tables: Mapping[str, Runs] = field(default_factory=Frozen)
    defaulted: Mapping[str, str] = field(default_factory=Frozen)
    level: float = 0.90

    @property
    def rows(self) -> int:
        """Number of parameter vectors: 1 without draws."""
        return max((len(values) for b in self.laws.values() for values in b.surface.params.values()), default=1)

    def has(self, part: str) -> bool:
        """Whether something plays this part."""
        return part in self.laws or part in self.tables

    def each(self, part: str) -> tuple[Basis, ...]:
        """All laws that play a part of which there may be several."""
        return tuple(b for name, b in self.laws.items() if name == part or name.startswith(f"{part} "))

    def law(self, part: str) -> Law:
        """The law of a part."""
        return self.laws[part].surface.law

    def values(self, part: str, **inputs: Any) -> Array:
        """The law of a part at inputs of shape (k,), (B, k) or floats: (B, k)."""
        return self.laws[part].surface.loss(**inputs)

    def param(self, part: str, parameter: str) -> Array:
        """(B,) one parameter of the law of a part."""
        return np.asarray(self.laws[part].surface.params[parameter], dtype=np.float64)[:, 0]


@dataclass(frozen=True)
class Planner:
    """A question that plans can answer.

    It stands on one law in N and D (`needs`, `asks`: `answer` gets its `Basis`), or on `parts` (it gets the
    `Grounds`).

    Attributes:
        id: short name; also the name in the API, the CLI and the docs.
        question: the question in one sentence.
        query: pydantic model of what may be asked; it is the CLI flags and the JSON schema. Fields that no model of
            this class declares are refused.
        answer: `answer(basis or grounds, query) -> Plan`; vectorised over the parameter vectors.
        parts: what it stands on, where that is not one law in N and D.
        needs: inputs that the law must have.
        asks: what the law must be valid for ("predict", "compute-optimal", "reach"), besides not refusing `id`.
        papers: keys of the bibliography (`core.cite`).
        example: fields of a valid query, for the docs and the conformance tests.
        topic: one of `TOPICS`.
        shown: files that the example stands on, where its parts do not say: "attempts.csv".
    """

    id: str
    question: str
    query: type[BaseModel]
    answer: Callable[[Any, Any], Plan]
    parts: tuple[Part, ...] = ()
    needs: tuple[str, ...] = ()
    asks: str = "predict"
    papers: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=Frozen)
    topic: str = TOPICS[0]
    shown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.topic not in TOPICS:
            raise InputError(message(f"the topic of {self.id!r} is {self.topic!r}", "one of " + ", ".join(TOPICS)))

    def schema(self) -> dict[str, Any]:
        """JSON schema of the query."""
        return self.query.model_json_schema()


@dataclass(frozen=True)
class Decided:
    """A number of the plan. `lower` and `upper` are the ends of its interval, None when there are no draws.

    An end may be infinite: more draws than the level leaves out have no finite answer.
    """

    value: float
    lower: float | None
    upper: float | None
    unit: str
    meaning: str = ""

    def __str__(self) -> str:
        text = show(self.value, self.unit)
        if self.lower is None or self.upper is None:
            return text
        return f"{text} [{show(self.lower, self.unit)}, {show(self.upper, self.unit)}]"


@dataclass(frozen=True)
class Expected:
    """What the plan is expected to give: where the curve is (confidence) and where a new run lands (prediction)."""

    value: float
    confidence: tuple[float, float] | None
    prediction: tuple[float, float] | None
    unit: str
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the plan: `columns` are (name, unit); cells are numbers, texts or None."""

    id: str
    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[float | str | None, ...], ...]
    note: str = ""

    def column(self, name: str) -> tuple[float | str | None, ...]:
        """One column by name. Raises InputError for an unknown one."""
        names = [title for title, _ in self.columns]
        if name not in names:
            raise InputError(message(f"the table {self.id!r} has no column {name!r}", "", nearest(name, names)))
        return tuple(row[names.index(name)] for row in self.rows)

    def records(self) -> list[dict[str, float | str | None]]:
        """Rows as mappings from column name to cell."""
        return [dict(zip((name for name, _ in self.columns), row)) for row in self.rows]

    def lines(self) -> Iterator[str]:
        """The table as aligned text, header first."""
        cells = [[name for name, _ in self.columns]]
        cells += [[show(cell, unit) for cell, (_, unit) in zip(row, self.columns)] for row in self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        texts = [all(isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]
        for row in cells:
            yield "  ".join(c.ljust(w) if t else c.rjust(w) for c, w, t in zip(row, widths, texts)).rstrip()


@dataclass(frozen=True)
class Evidence:
    """What the plan rests on.

    Attributes:
        source: the fit: "chinchilla:besiroglu2024", a file, a data set.
        law: id of the law.
        rows: number of runs that were fitted, None for published constants.
        verdict: level of the fit's verdict, None when it was not judged.
        headline: the verdict in one sentence.
        asked, seen: the compute asked about and the largest compute of the fit, in the fit's convention; `seen` None
            when unknown.
        draws, draws_from: how many parameter draws stand behind the intervals, and where they come from.
        answered: share of the draws that have an answer of their own (an interior optimum, a reachable target).
        data_hash, seed: provenance of the fit.
    """

    source: str
    law: str
    rows: int | None
    verdict: str | None
    headline: str
    asked: float
    seen: float | None
    draws: int
    draws_from: str
    answered: float
    data_hash: str = ""
    seed: int = 0

    @property
    def distance(self) -> float | None:
        """How far out: compute asked about / largest compute of the fit."""
        return None if self.seen is None or not self.seen > 0 else self.asked / self.seen


@dataclass(frozen=True, eq=False)
class Plan:
    """A decision with its intervals, alternatives, warnings and evidence.

    Attributes:
        question: id of the planner.
        headline: the decision in one or two sentences.
        decision: name -> Decided, in reading order.
        expected: name -> Expected, e.g. "loss".
        tables: what it costs to be wrong, alternatives, conventions, shapes; by `table(id)`.
        curves: name -> column -> array, for the charts. The first column goes across, the others up; "lower" and
            "upper" are a band. With several lines the name says what they are ("loss", "coverage").
        binding: the constraint that binds.
        warnings: findings with level "amber" or "red" ("green" ones say what was checked).
        evidence: what the plan rests on.
        assumptions: what was assumed, one sentence each.
        citations: paper keys.
        level: nominal level of the intervals.
        query: the question as it was asked.
    """

    question: str
    headline: str
    decision: Mapping[str, Decided]
    expected: Mapping[str, Expected]
    tables: tuple[Table, ...]
    binding: str
    evidence: Evidence
    warnings: tuple[Finding, ...] = ()
    assumptions: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    curves: Mapping[str, Mapping[str, Array]] = field(default_factory=Frozen)
    level: float = 0.90
    query: Mapping[str, Any] = field(default_factory=Frozen)

    def __getitem__(self, name: str) -> Decided:
        if name not in self.decision:
            raise InputError(message(f"the plan has no {name!r}", "", nearest(name, self.decision)))
        return self.decision[name]

    def table(self, name: str) -> Table:
        """A table by id. Raises InputError for an unknown one."""
        for table in self.tables:
            if table.id == name:
                return table
        raise InputError(message(f"the plan has no table {name!r}", "", nearest(name, [t.id for t in self.tables])))

    def summary(self) -> str:
        """The plan as text."""
        from forescale.planning import _text

        return _text.summary(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an infinite number becomes the text "unbounded", NaN becomes null."""
        from forescale.planning import _files

        return _files.to_dict(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Plan:
        """The plan that `to_dict` wrote.

        Raises:
            ReadError: another schema or version, or parts are missing.
        """
        from forescale.planning import _files

        return _files.from_dict(content)

    def to_json(self, *, indent: int | None = 2) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict(), indent=indent)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `to_json()` to a file, all or nothing."""
        return write_atomic(path, self.to_json())

    def settings(self, style: str = "env") -> str:
        """The decision for a training script: "env", "yaml" or "argv". Raises QueryError for another style."""
        from forescale.planning import _settings

        return _settings.settings(self, style)

    def plot(self, kind: str | None = None, **options: Any) -> Any:
        """A chart: "valley" or "frontier". Raises DependencyError when the charting library is missing."""
        return renderer("plan")(self, kind, **options)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from forescale.planning import _text

        return _text.html(self)

# SPDX-License-Identifier: Apache-2.0
"""A law is a value: one formula in ordinary NumPy and the facts that belong to it.

Everything else (exact Jacobian, starts, bounds, intervals, docs page, CLI form, conformance tests) is derived from
this value. Laws are never changed; the operators `fix`, `tie`, `rename`, `+` and `grouped` return new ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import LawError, message, nearest
from forescale.core.frozen import Frozen
from forescale.laws._schedule import Schedules

Array = NDArray[np.float64]
Formula = Callable[..., Any]

EMPTY: Mapping[str, Any] = Frozen()
UNRELATED: Mapping[tuple[str, str], float] = Frozen()

KINDS = (
    "floor",
    "amplitude",
    "exponent",
    "location",
    "break",
    "width",
    "rate",
    "share",
    "period",
    "rational",
    "real",
)


TOPICS = (
    "size and data",
    "one variable",
    "training dynamics",
    "data",
    "mixtures",
    "precision and inference shape",
    "vision and other fields",
    "task performance",
    "samples at test time",
    "robustness and theory",
)
"""What laws are about: the order of the lists in the documentation and in `forescale laws`."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: what it is, where it may live, where to look for it.

    Attributes:
        kind: one of `KINDS`; the start rules of `numerics.starts` derive a search box from it and the data.
        meaning: one sentence in the field's words.
        lower, upper: open support. (0, inf) is searched in the logarithm, a finite interval in the logit,
            the whole line as it is.
        start: optional search box, where the field knows one; it must contain the published values.
        unit: unit of the parameter, or "" when it depends on the exponents.
    """

    kind: str
    meaning: str
    lower: float = 0.0
    upper: float = math.inf
    start: tuple[float, float] | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LawError(message(f"a parameter has the kind {self.kind!r}", "one of " + ", ".join(KINDS)))
        if not self.lower < self.upper:
            raise LawError(message(f"a parameter has the support ({self.lower}, {self.upper})", "lower < upper"))

    def contains(self, value: float) -> bool:
        """Whether a value lies in the (closed) support."""
        return bool(self.lower <= value <= self.upper)


def floor(meaning: str, *, start: tuple[float, float] | None = None, unit: str = "") -> Parameter:
    """The limit of the output as every input grows without bound; positive."""
    return Parameter("floor", meaning, 0.0, math.inf, start, unit)


def amplitude(meaning: str, *, start: tuple[float, float] | None = None, unit: str = "") -> Parameter:
    """A positive factor that usually enters linearly."""
    return Parameter("amplitude", meaning, 0.0, math.inf, start, unit)


def exponent(meaning: str, *, start: tuple[float, float] = (0.02, 1.5), upper: float = math.inf) -> Parameter:
    """A positive power of an input."""
    return Parameter("exponent", meaning, 0.0, upper, start)


def location(meaning: str, *, start: tuple[float, float] | None = None, unit: str = "") -> Parameter:
    """A positive scale of an input: a knee, a critical size."""
    return Parameter("location", meaning, 0.0, math.inf, start, unit)


def breaking(meaning: str, *, start: tuple[float, float] | None = None, unit: str = "") -> Parameter:
    """A scale of the input at which the law changes; it lies inside the data, because outside nothing shows it."""
    return Parameter("break", meaning, 0.0, math.inf, start, unit)


def real(meaning: str, *, start: tuple[float, float] | None = None, unit: str = "") -> Parameter:
    """A number of either sign."""
    return Parameter("real", meaning, -math.inf, math.inf, start, unit)


def share(meaning: str, *, start: tuple[float, float] = (0.05, 0.95)) -> Parameter:
    """A number between 0 and 1."""
    return Parameter("share", meaning, 0.0, 1.0, start)


@dataclass(frozen=True)
class Published:
    """Constants that somebody published, at full precision and as printed.

    Attributes:
        values: parameter -> value at the best precision known.
        printed: parameter -> value as the paper prints it, where that differs.
        standard_errors: parameter -> standard error, where published.
        correlations: (parameter, other parameter) -> correlation of their errors (those of positive parameters in the
            logarithm), where known; without it, errors are taken for independent.
        conventions: what N, D, C and loss mean there, e.g. {"N": "total", "D": "tokens", "loss": "nats/token"}.
        fitted_range: input (or "C") -> (least, largest) that the constants were fitted on.
        source: key of the bibliography (`core.cite`).
        reproduced: "yes", "no" or "not tried", with our figure in `note`.
        note: what a user of these constants must know.
    """

    values: Mapping[str, float]
    source: str
    printed: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    standard_errors: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    correlations: Mapping[tuple[str, str], float] = field(default_factory=lambda: UNRELATED)
    conventions: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    fitted_range: Mapping[str, tuple[float, float]] = field(default_factory=lambda: EMPTY)
    reproduced: str = "not tried"
    note: str = ""


@dataclass(frozen=True)
class Check:
    """One number that the law must give: at the inputs `at`, from the constants `constants`, `value`."""

    constants: str
    at: Mapping[str, Any]
    value: float
    tolerance: float
    source: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Law:
    """A scaling law.

    Attributes:
        id: short name; also the name in the API, the CLI and the docs.
        title: one line.
        inputs: canonical column names, in the order in which people write them, e.g. ("N", "D").
        params: parameter name -> Parameter, in the order in which people write them.
        formula: `formula(**inputs, **params)` in plain NumPy; receives floats, arrays of shape (n,) for inputs and
            arrays or jets of shape (B, 1) for parameters; returns something that broadcasts to (B, n).
        output: canonical column that the law predicts.
        linear: parameters that enter linearly given the others (turns on variable projection).
        decreasing_in: inputs in which the output falls; checked, and used by planners.
        floor: parameter that is the limit of the output, or None.
        optimum: closed form of the compute-optimal inputs under C = 6 N D:
            `optimum(C, **params) -> {"N": ..., "D": ...}`, vectorised; None where there is none.
        valid_for: the questions that may be asked: "predict", "compute-optimal", "reach", ...
        refuses: question -> why it may not be asked, and which law may.
        conventions: what the inputs mean where the law insists on it.
        loss: name of the default loss of a fit.
        latex: the formula for people.
        meaning: one paragraph: what it says and when to use it.
        traps: what goes wrong with it.
        papers: keys of the bibliography (`core.cite`).
        published: source -> Published.
        checks: numbers that must come out.
        starts: where a fit may begin, for laws that know better than start boxes: `starts(*inputs, y)`, arrays (n,)
            of positive numbers (zero too for an input in `absolute`; with the `Schedules` before y for a law along
            curves), gives parameter -> (m,), good starts first. A parameter that it does not name, or an empty
            answer, brings the ordinary search.
        topic: one of `TOPICS`, for lists.
        domain: input -> (least, largest) where it usually lies, for inputs that are no column of the vocabulary, or
            lie elsewhere here; a published fitted range comes first.
        absolute: inputs whose unit the formula fixes (bits, shares, counts whose logarithm it takes): a change of
            their unit leaves the family.
        schedule: for a law along training curves, the name under which the formula gets the learning rates of the
            rows' runs as `Schedules`; it reads the column "step" too. None for laws of single numbers.
        groups: label column that the formula reads as integer codes (see `grouped`), or None.
        expression: the formula string that the law was written as, or None.
        recipe: how the law came about: a base step ("law", Law), ("formula", {...}) or ("function", name), then one
            step per operator. Empty for a law that stands for itself. `laws.law_to_json` writes it.
    """

    id: str
    title: str
    inputs: tuple[str, ...]
    params: Mapping[str, Parameter]
    formula: Formula
    output: str = "loss"
    linear: tuple[str, ...] = ()
    decreasing_in: tuple[str, ...] = ()
    floor: str | None = None
    optimum: Callable[..., dict[str, Any]] | None = None
    valid_for: tuple[str, ...] = ("predict",)
    refuses: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    conventions: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    loss: str = "log-huber"
    latex: str = ""
    meaning: str = ""
    traps: tuple[str, ...] = ()
    papers: tuple[str, ...] = ()
    published: Mapping[str, Published] = field(default_factory=lambda: EMPTY)
    checks: tuple[Check, ...] = ()
    starts: Callable[..., Mapping[str, Array]] | None = None
    topic: str = "size and data"
    domain: Mapping[str, tuple[float, float]] = field(default_factory=lambda: EMPTY)
    absolute: tuple[str, ...] = ()
    schedule: str | None = None
    groups: Groups | None = None
    expression: str | None = None
    recipe: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name in ("inputs", "linear", "decreasing_in", "valid_for", "absolute"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise LawError(message(f"{name} of the law {self.id!r} is the text {value!r}", "a tuple of names"))
        for name in self.linear:
            self._known(name)
        if self.floor is not None and self.floor not in self.params:
            raise LawError(message(f"the floor of {self.id!r} is {self.floor!r}, which is not a parameter of it"))
        clash = set(self.inputs) & set(self.params)
        if clash:
            raise LawError(message(f"{sorted(clash)} are inputs and parameters of {self.id!r}", "distinct names"))
        for name in self.decreasing_in:
            if name not in self.inputs:
                raise LawError(message(f"{self.id!r} is said to fall in {name!r}", f"one of {list(self.inputs)}"))
        if self.schedule is not None and ("step" not in self.inputs or self.schedule in (*self.inputs, *self.params)):
            raise LawError(
                message(f"the inputs of {self.id!r}, a law along curves, are {list(self.inputs)}", "step among them")
            )
        if self.topic not in TOPICS:
            raise LawError(message(f"the topic of {self.id!r} is {self.topic!r}", "one of " + ", ".join(TOPICS)))
        for name in ("params", "published", "refuses", "conventions", "domain"):
            object.__setattr__(self, name, Frozen(getattr(self, name)))

    # -- evaluation ---------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(self.params)

    def __call__(self, params: Mapping[str, Any], /, **inputs: Any) -> Array:
        """Value of the law.

        Args:
            params: parameter -> value (floats, or arrays that broadcast with the inputs).
            inputs: input -> array of shape (n,) or float. A law along curves takes its schedule too: one `Schedule`
                for all steps, or run -> Schedule and the labels `run` of shape (n,).

        Returns:
            Array of the broadcast shape, float64.

        Raises:
            LawError: an input or parameter is missing or unknown.
        """
        missing = [name for name in self.inputs if name not in inputs]
        if self.groups is not None and self.groups.by not in inputs:
            missing.append(self.groups.by)
        if self.schedule is not None and self.schedule not in inputs:
            missing.append(self.schedule)
        if missing:
            raise LawError(message(f"the law {self.id!r} was evaluated without {missing}", f"{list(self.inputs)}"))
        lacking = [name for name in self.params if name not in params]
        if lacking:
            raise LawError(message(f"the law {self.id!r} was evaluated without the parameters {lacking}"))
        columns: dict[str, Any] = {name: np.asarray(inputs[name], dtype=np.float64) for name in self.inputs}
        if self.groups is not None:
            columns[self.groups.by] = self.groups.codes(inputs[self.groups.by])
        alone = False  # schedules hold rows, and one step alone is one number again
        if self.schedule is not None:
            steps = np.broadcast_to(columns["step"], np.broadcast_shapes(*(np.shape(v) for v in columns.values())))
            columns[self.schedule] = Schedules.of(inputs[self.schedule], steps, inputs.get("run"))
            alone = steps.ndim == 0
        values = {name: np.asarray(params[name], dtype=np.float64) for name in self.params}
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            value = np.asarray(self.formula(**columns, **values), dtype=np.float64)
        return value[..., 0] if alone else value

    def constants(self, source: str) -> dict[str, float]:
        """Published parameter values by source; `hoffmann2022@printed` gives them as the paper prints them.

        Raises:
            LawError: unknown source; the known ones are listed.
        """
        key, _, variant = source.partition("@")
        found = self.published.get(key)
        if found is None or variant not in ("", "printed"):
            hint = nearest(key, self.published) if self.published else "fit it to runs of your own"
            raise LawError(message(f"the law {self.id!r} has no constants {source!r}", "a published source", hint))
        values = dict(found.values)
        if variant == "printed":
            values.update(found.printed)
        return {name: float(values[name]) for name in self.params}

    # -- operators ----------------------------------------------------------------------------------------------

    def _known(self, name: str) -> None:
        if name not in self.params:
            raise LawError(
                message(f"{name!r} is no parameter of the law {self.id!r}", "", nearest(name, self.params))
            )

    def _derived(self, suffix: str, step: tuple[str, Any], **changes: Any) -> Law:
        """A law derived from this one: published constants, checks and closed forms no longer apply."""
        fresh: dict[str, Any] = {
            "id": f"{self.id}[{suffix}]",
            "published": EMPTY,
            "checks": (),
            "optimum": None,
            "expression": None,
            "recipe": (*self._base(), step),
        }
        return replace(self, **{**fresh, **changes})

    @property
    def _reads(self) -> tuple[str, ...]:
        return self.inputs if self.schedule is None else (*self.inputs, self.schedule)

    def _base(self) -> tuple[tuple[str, Any], ...]:
        return self.recipe or (("law", self),)

    def fix(self, **values: float) -> Law:
        """The law with parameters held at given values. Raises LawError for unknown names and impossible values."""
        if self.groups is not None:
            return self.groups.again(self.groups.shared("fix", values).fix(**values))
        for name, value in values.items():
            self._known(name)
            p = self.params[name]
            number = isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)
            if not (number and p.contains(value)):
                raise LawError(
                    message(f"{name} of {self.id!r} was fixed at {value!r}", f"a number in [{p.lower}, {p.upper}]")
                )
        held = {name: float(value) for name, value in values.items()}
        return self._derived(
            ",".join(f"{k}={v:.12g}" for k, v in held.items()),
            ("fix", held),
            params={k: p for k, p in self.params.items() if k not in held},
            formula=_Fixed(self.formula, held),
            optimum=None if self.optimum is None else _Fixed(self.optimum, held),
            linear=tuple(k for k in self.linear if k not in held),
            floor=None if self.floor in held else self.floor,
            latex=_with(self.latex, [f"{symbol(k)} = {v:.12g}" for k, v in held.items()]),
        )

    def tie(self, **ties: str) -> Law:
        """The law with parameters set equal: `tie(beta="alpha")` uses alpha wherever beta stood."""
        if self.groups is not None:
            return self.groups.again(self.groups.shared("tie", [*ties, *ties.values()]).tie(**ties))
        for name, target in ties.items():
            self._known(name)
            self._known(target)
            if target in ties:
                raise LawError(message(f"{name} is tied to {target}, which is itself tied", "a free parameter"))
        tied = dict(ties)
        linear = tuple(k for k in self.linear if k not in tied)
        # A nonlinear parameter tied to a linear one (or the reverse) makes both nonlinear.
        for name, target in tied.items():
            if (name in self.linear) != (target in self.linear):
                linear = tuple(k for k in linear if k != target)
        return self._derived(
            ",".join(f"{k}={v}" for k, v in tied.items()),
            ("tie", tied),
            params={k: p for k, p in self.params.items() if k not in tied},
            formula=_Tied(self.formula, tied),
            optimum=None if self.optimum is None else _Tied(self.optimum, tied),
            linear=linear,
            floor=None if self.floor is None else tied.get(self.floor, self.floor),
            latex=_with(self.latex, [f"{symbol(k)} = {symbol(v)}" for k, v in tied.items()]),
        )

    def rename(self, **names: str) -> Law:
        """The law with parameters renamed: `rename(alpha="a")`. Published constants come along."""
        if self.groups is not None:
            base = self.groups.shared("rename", ()).rename(**names)
            groups = replace(self.groups, separate=tuple(names.get(n, n) for n in self.groups.separate))
            return groups.again(base)
        for name in names:
            self._known(name)
        new = [names.get(name, name) for name in self.params]
        if len(set(new)) < len(new) or set(new) & set(self.inputs):
            raise LawError(message(f"renaming {dict(names)} in {self.id!r} gives the names {new}", "distinct names"))
        back = {names.get(name, name): name for name in self.params}
        return self._derived(
            ",".join(f"{k}->{v}" for k, v in names.items()),
            ("rename", dict(names)),
            params={names.get(k, k): p for k, p in self.params.items()},
            formula=_Renamed(self.formula, back),
            optimum=None if self.optimum is None else _Renamed(self.optimum, back),
            linear=tuple(names.get(k, k) for k in self.linear),
            floor=None if self.floor is None else names.get(self.floor, self.floor),
            starts=None if self.starts is None else _RenamedStarts(self.starts, names),
            published={source: _renamed_constants(p, names) for source, p in self.published.items()},
            latex=_relabelled(self.latex, names),
        )

    def on(self, **columns: str) -> Law:
        """The law read from other columns: `power.on(C="N")` is a power law in parameters.

        Published constants and closed forms stay behind: they belong to the columns that they were made for.
        """
        if self.groups is not None:
            return self.groups.again(self.groups.shared("on", ()).on(**columns))
        for name in columns:
            if name not in self.inputs:
                hint = nearest(name, self.inputs)
                raise LawError(message(f"{name!r} is no input of the law {self.id!r}", "", hint))
        new = tuple(columns.get(name, name) for name in self.inputs)
        if len(set(new)) < len(new) or set(new) & set(self.params):
            raise LawError(
                message(
                    f"reading {self.id!r} from {list(new)} gives one name to two things",
                    f"distinct names, none of them a parameter ({', '.join(self.params)})",
                )
            )
        if new == self.inputs:
            return self
        return replace(
            self._derived("", ("on", dict(columns))),
            id=f"{self.id}({', '.join(new)})",
            inputs=new,
            formula=_Renamed(self.formula, dict(zip(new, self.inputs))),
            decreasing_in=tuple(columns.get(name, name) for name in self.decreasing_in),
            conventions={columns.get(k, k): v for k, v in self.conventions.items()},
            absolute=tuple(columns.get(name, name) for name in self.absolute),
            domain={},
            latex=_relabelled(self.latex, columns),
        )

    def __add__(self, other: Law) -> Law:
        """The sum of two laws of the same output. Inputs are shared by name; parameters must differ by name."""
        if not isinstance(other, Law):
            return NotImplemented
        clash = sorted(set(self.params) & set(other.params))
        if clash:
            raise LawError(
                message(
                    f"{self.id!r} + {other.id!r} would have two parameters {clash}",
                    "distinct parameter names",
                    f"{other.id}.rename({clash[0]}='{clash[0]}2')",
                )
            )
        mixed = sorted((set(self.params) & set(other.inputs)) | (set(self.inputs) & set(other.params)))
        if mixed:
            raise LawError(
                message(f"{mixed} are inputs on one side of {self.id!r} + {other.id!r} and parameters on the other")
            )
        if self.output != other.output:
            raise LawError(message(f"{self.id!r} predicts {self.output!r} and {other.id!r} {other.output!r}"))
        if self.groups is not None or other.groups is not None:
            raise LawError(message("a grouped law was added", "add first, group the sum afterwards"))
        if None not in (self.schedule, other.schedule) and self.schedule != other.schedule:
            raise LawError(message(f"{self.id!r} reads {self.schedule!r} and {other.id!r} {other.schedule!r}"))
        if self.floor is not None and other.floor is not None:
            raise LawError(
                message(
                    f"{self.id!r} and {other.id!r} both have a floor, and data can only tell their sum",
                    "one floor in a sum",
                    "add a law without floor, such as power, or a formula",
                )
            )
        inputs = (*self.inputs, *(name for name in other.inputs if name not in self.inputs))
        falling = tuple(
            name
            for name in inputs
            if all(name in law.decreasing_in or name not in law.inputs for law in (self, other))
        )
        return Law(
            id=f"{self.id}+{other.id}",
            title=f"{self.title} + {other.title}",
            inputs=inputs,
            params={**self.params, **other.params},
            formula=_Sum(self.formula, self._reads, self.names, other.formula, other._reads, other.names),
            output=self.output,
            linear=(*self.linear, *other.linear),
            decreasing_in=falling,
            # The floor of one side is the limit of the sum only where every input drives the sum down to it.
            floor=(self.floor or other.floor) if set(falling) == set(inputs) else None,
            valid_for=tuple(q for q in self.valid_for if q in other.valid_for),
            refuses={**self.refuses, **other.refuses},
            conventions={**other.conventions, **self.conventions},
            loss=self.loss,
            latex=_summed(self.latex, other.latex),
            meaning=f"{self.meaning} Plus: {other.meaning}".strip(),
            traps=(*self.traps, *other.traps),
            papers=tuple(dict.fromkeys((*self.papers, *other.papers))),
            topic=self.topic,
            domain={**other.domain, **self.domain},
            absolute=tuple(dict.fromkeys((*self.absolute, *other.absolute))),
            schedule=self.schedule or other.schedule,
            recipe=(*self._base(), ("add", other._base())),
        )

    def grouped(self, by: str, levels: Sequence[str], separate: Sequence[str]) -> Law:
        """One law for several groups: `separate` parameters get a value per level, the others are shared.

        "One alpha, an E per data set" is `chinchilla.grouped("dataset", ["c4", "pile"], ["E"])`, with parameters
        `E[c4]`, `E[pile]`, A, alpha, B, beta.
        """
        if self.groups is not None:
            raise LawError(message(f"{self.id!r} is grouped already"))
        if len(set(map(str, levels))) < max(2, len(levels)):
            raise LawError(
                message(f"grouping {self.id!r} by {by!r} found the levels {list(levels)}", "two or more of them")
            )
        if not separate:
            raise LawError(message(f"grouping {self.id!r} by {by!r} separates no parameter", "at least one"))
        for name in separate:
            self._known(name)
        params: dict[str, Parameter] = {}
        for name, parameter in self.params.items():
            if name in separate:
                params.update({f"{name}[{level}]": parameter for level in levels})
            else:
                params[name] = parameter
        linear: list[str] = []
        for name in self.linear:
            linear.extend([f"{name}[{level}]" for level in levels] if name in separate else [name])
        groups = Groups(by, tuple(str(level) for level in levels), tuple(separate), self)
        return self._derived(
            f"{','.join(separate)} by {by}",
            ("group", {"by": by, "levels": list(groups.levels), "separate": list(groups.separate)}),
            params=params,
            formula=_Grouped(self.formula, by, groups.levels, groups.separate),
            linear=tuple(linear),
            floor=None if self.floor in separate else self.floor,
            groups=groups,
        )

    # -- identity -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        inputs, params = ", ".join(self.inputs), ", ".join(self.params)
        return f"Law({self.id}: {self.output}({inputs}); {params})"


@dataclass(frozen=True)
class Groups:
    """How a grouped law reads its label column; `base` is the law of one group."""

    by: str
    levels: tuple[str, ...]
    separate: tuple[str, ...]
    base: Law

    def codes(self, labels: Any) -> NDArray[np.int64]:
        """Labels (or codes) as integer codes, shape as given. Raises LawError for an unknown level."""
        array = np.asarray(labels)
        if array.dtype.kind in "iu":
            return array.astype(np.int64)
        index = {level: i for i, level in enumerate(self.levels)}
        flat = [str(label) for label in array.ravel()]
        unknown = sorted({label for label in flat if label not in index})
        if unknown:
            raise LawError(
                message(f"{self.by} has the unknown level {unknown[0]!r}", "", nearest(unknown[0], self.levels))
            )
        return np.array([index[label] for label in flat], dtype=np.int64).reshape(array.shape)

    def shared(self, operator: str, names: Any) -> Law:
        """The law of one group, for an operator that then groups again. LawError for a name of one level only."""
        for name in names:
            if name not in self.base.params or (operator == "fix" and name in self.separate):
                raise LawError(
                    message(
                        f"{operator} was given {name!r} on a law that is grouped by {self.by!r}",
                        "a parameter that the groups share",
                        f"{operator} before grouping",
                    )
                )
        return self.base

    def again(self, base: Law) -> Law:
        """The changed law of one group, grouped as before."""
        return base.grouped(self.by, self.levels, [name for name in self.separate if name in base.params])

    def select(self, params: Mapping[str, Any], level: str) -> dict[str, Any]:
        """The parameters of one level, under the base law's names."""
        self.codes([level])
        return {
            name: params[f"{name}[{level}]"] if name in self.separate else params[name] for name in self.base.params
        }


# Operators are small callables of plain data, not closures, so that laws travel to worker processes.


@dataclass(frozen=True)
class _Fixed:
    base: Formula
    held: Mapping[str, float]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.base(*args, **kwargs, **self.held)


@dataclass(frozen=True)
class _Tied:
    base: Formula
    ties: Mapping[str, str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.base(*args, **kwargs, **{name: kwargs[target] for name, target in self.ties.items()})


@dataclass(frozen=True)
class _Renamed:
    base: Formula
    back: Mapping[str, str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.base(*args, **{self.back.get(name, name): value for name, value in kwargs.items()})


@dataclass(frozen=True)
class _RenamedStarts:
    base: Callable[..., Mapping[str, Array]]
    names: Mapping[str, str]

    def __call__(self, *columns: Array) -> Mapping[str, Array]:
        return {self.names.get(name, name): values for name, values in self.base(*columns).items()}


@dataclass(frozen=True)
class _Sum:
    first: Formula
    first_inputs: tuple[str, ...]
    first_params: tuple[str, ...]
    second: Formula
    second_inputs: tuple[str, ...]
    second_params: tuple[str, ...]

    def __call__(self, **kwargs: Any) -> Any:
        one = self.first(**{k: kwargs[k] for k in (*self.first_inputs, *self.first_params)})
        two = self.second(**{k: kwargs[k] for k in (*self.second_inputs, *self.second_params)})
        return one + two


@dataclass(frozen=True)
class _Grouped:
    base: Formula
    by: str
    levels: tuple[str, ...]
    separate: tuple[str, ...]

    def __call__(self, **kwargs: Any) -> Any:
        codes = kwargs.pop(self.by)
        for name in self.separate:
            chosen = kwargs.pop(f"{name}[{self.levels[0]}]")
            for code, level in enumerate(self.levels[1:], start=1):
                chosen = np.where(codes == code, kwargs.pop(f"{name}[{level}]"), chosen)
            kwargs[name] = chosen
        return self.base(**kwargs)


# LaTeX of derived laws, from the LaTeX of the law they come from.

_GREEK = frozenset(
    [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
        "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
    ]
)  # fmt: skip


def symbol(name: str) -> str:
    """The LaTeX symbol of an input or parameter: alpha -> \\alpha, a1 -> a_{1}, alpha_N -> \\alpha_{N}."""
    stem, _, index = name.partition("_")
    if not index and (found := re.fullmatch(r"([A-Za-z]+)(\d+)", stem)):
        stem, index = found[1], found[2]
    head = f"\\{stem}" if stem in _GREEK else (stem if len(stem) == 1 else rf"\mathrm{{{stem}}}")
    return head + (f"_{{{index.replace('_', ',')}}}" if index else "")


def _relabelled(latex: str, names: Mapping[str, str]) -> str:
    if not names or not latex:
        return latex
    table = {symbol(old): symbol(new) for old, new in names.items()}
    pattern = "|".join(re.escape(old) for old in sorted(table, key=len, reverse=True))
    return re.sub(rf"(?<![\\A-Za-z])(?:{pattern})(?![A-Za-z_])", lambda m: table[m[0]], latex)


def _with(latex: str, equations: list[str]) -> str:
    return r", \quad ".join([latex, *equations]) if latex else ""


def _summed(one: str, two: str) -> str:
    if not one or not two or r"\quad" in one + two:
        return ""
    return f"{one} + {two.partition('=')[2].strip()}"


def _renamed_constants(published: Published, names: Mapping[str, str]) -> Published:
    def changed(values: Mapping[str, float]) -> Frozen[str, float]:
        return Frozen({names.get(k, k): v for k, v in values.items()})

    return replace(
        published,
        values=changed(published.values),
        printed=changed(published.printed),
        standard_errors=changed(published.standard_errors),
    )

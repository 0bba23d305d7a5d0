# SPDX-License-Identifier: Apache-2.0
"""Protocols of the extrapolation benchmark: which rows are fitted and which larger ones are predicted, as data.

One file of `judge/protocols/` is one case. A case gives tasks: rows to fit and rows to predict. Which rows those are
is written in the file and nowhere else, so that a case can be read, cited and committed before its first result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ForescaleError, InputError, message, nearest
from forescale.core.frozen import Frozen
from forescale.judge._sizes import size_of
from forescale.judge._splits import RULES, Split, either
from forescale.runs.datasets import dataset as public
from forescale.runs.derive import require
from forescale.runs.select import select
from forescale.runs.table import Runs, concat

Array = NDArray[np.float64]
Load = Callable[..., Runs]
Metric = Literal["mape", "rmsle"]

METRICS = ("mape", "rmsle")
FOLDER_VARIABLE = "FORESCALE_PROTOCOLS"
"""Names a folder of further protocol files."""


@dataclass(frozen=True, eq=False)
class Task:
    """Rows to fit and larger rows to predict.

    Attributes:
        case: id of the protocol.
        name: unique within all cases: case, group, output and split.
        domain: what a table may be split by.
        train, held: the rows; the loss to predict is the column `loss` of both, whatever the source calls it.
        inputs: columns that a law may read: ("N", "D"), or one column.
        variable: what "larger" means: "C" (6 N D where there are N and D), "N" or "D".
        distance: (held,) `variable` of the held rows over its largest value among the fitted ones; above 1.
        metric: error of a task: "mape" (per cent of the loss) or "rmsle" (root mean squared log error).
    """

    case: str
    name: str
    domain: str
    train: Runs
    held: Runs
    inputs: tuple[str, ...]
    variable: str
    distance: Array
    metric: Metric
    output: str = "loss"

    @property
    def clusters(self) -> NDArray[np.str_]:
        """(held,) which run a held row belongs to: rows of one run err together."""
        if "run" in self.held.labels:
            return self.held.labels["run"]
        return np.array([str(i) for i in range(len(self.held))])


@dataclass(frozen=True)
class Family:
    """Models of one family: checkpoints as rows, with the sizes that their curves leave out.

    Attributes:
        name: what the task is called.
        members: run -> number of parameters.
        dataset: where the curves are.
        perplexity: the values are perplexities: the loss is their logarithm.
    """

    name: str
    members: Mapping[str, float]
    dataset: str
    perplexity: bool = False


@dataclass(frozen=True)
class Protocol:
    """One case, as its file states it.

    Attributes:
        case: id, the stem of the file.
        title, about: one line; what is held out and why that way.
        origin: "published" (a protocol of others, figures to compare with exist) or "own".
        domain: heading under which the case is summed up; `domain_label` takes it from a label instead.
        metric: error of a task.
        dataset, options: what is loaded, and with which filters.
        where: conditions that rows must meet (`runs.select`).
        drop: label -> values whose rows are left out.
        by, only: one task per value of these labels (joined by "/"); of these values alone.
        inputs, variable: as in `Task`.
        outputs: columns to predict; one task for each.
        best_of: columns; of rows that agree in them only the one of least loss stays (a sweep's best setting).
        splits: how rows are divided; one task for each.
        families: for curves of model families.
        published: figures of others on these tasks: `method`, `error`, where known `median` and `cpu`; `domain` if
            it is about one domain alone.
        source: the file.
    """

    case: str
    title: str
    about: str
    origin: str
    domain: str
    metric: Metric
    inputs: tuple[str, ...]
    variable: str
    splits: tuple[Split, ...]
    dataset: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    where: tuple[str, ...] = ()
    drop: Mapping[str, Sequence[str]] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    domain_label: str = ""
    outputs: tuple[str, ...] = ("loss",)
    best_of: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()
    published: tuple[Mapping[str, Any], ...] = ()
    source: str = ""

    def tasks(self, load: Load = public) -> Iterator[Task]:
        """The tasks of this case, in a fixed order.

        Raises:
            InputError, ReadError, DependencyError: the data set cannot be had.
            InputError: a split leaves nothing to fit or to predict.
        """
        for group, runs in self._groups(load):
            for output in self.outputs:
                rows = self._prepared(runs, output)
                for split in self.splits:
                    parts = (self.case, group, output if len(self.outputs) > 1 else "", split.name)
                    yield self._task("/".join(p for p in parts if p), rows, split)

    def _groups(self, load: Load) -> Iterator[tuple[str, Runs]]:
        if self.families:
            tables = {name: load(name) for name in dict.fromkeys(f.dataset for f in self.families)}
            for family in self.families:
                yield family.name, _family(family, tables[family.dataset])
            return
        runs = select(load(self.dataset, **self.options), self.where)
        for label, values in self.drop.items():
            runs = runs.where(~np.isin(runs.labels[label], list(values)))
        if not self.by:
            yield "", runs
            return
        keys = np.array(["/".join(parts) for parts in zip(*(_texts(runs, label) for label in self.by))])
        names = list(dict.fromkeys(keys.tolist()))
        for name in self.only or names:
            if name not in names:
                raise InputError(
                    message(f"{self.case} asks for {'/'.join(self.by)} = {name!r}", hint=nearest(name, names))
                )
            yield name, runs.where(keys == name)

    def _prepared(self, runs: Runs, output: str) -> Runs:
        """The rows that have the output, under the name `loss`; the best of each cell where that is asked for."""
        values = runs[output]
        good = np.isfinite(values) & (values > 0)
        rows = require(runs.where(good), *self.inputs, self.variable)
        rows = rows.with_column("loss", values[good])
        if not self.best_of:
            return rows
        keys = np.stack([rows[name] for name in self.best_of], axis=1)
        _, cell = np.unique(keys, axis=0, return_inverse=True)
        order = np.lexsort((rows["loss"], cell.ravel()))
        first = np.append(True, np.diff(cell.ravel()[order]) != 0)
        keep = np.zeros(len(rows), dtype=bool)
        keep[order[first]] = True
        return rows.where(keep)

    def _task(self, name: str, rows: Runs, split: Split) -> Task:
        size = size_of(rows, self.variable)
        train, held = RULES[split.rule](rows, size, split)
        if not train.any() or not held.any():
            raise InputError(
                message(
                    f"the split of {name} fits {int(train.sum())} rows and predicts {int(held.sum())}",
                    "at least one of each",
                )
            )
        distance = size / float(size[train].max())
        held = held & ~train & (distance > 1)
        if not held.any():
            raise InputError(message(f"no held-out row of {name} is larger than the fitted ones"))
        below = rows.where(train)
        domain = str(below.labels[self.domain_label][0]) if self.domain_label else self.domain
        return Task(
            case=self.case,
            name=name,
            domain=domain,
            train=below,
            held=rows.where(held),
            inputs=self.inputs,
            variable=self.variable,
            distance=distance[held],
            metric=self.metric,
        )


def _texts(runs: Runs, label: str) -> list[str]:
    codes, names = runs.group_codes(label)
    return [names[code] for code in codes.tolist()]


def _family(family: Family, curves: Runs) -> Runs:
    parts = []
    for run, size in family.members.items():
        rows = curves.where(curves.labels["run"] == run)
        if len(rows) == 0:
            raise InputError(
                message(f"{family.dataset} has no curve {run!r}", hint=nearest(run, set(curves.labels["run"])))
            )
        parts.append(rows.with_column("N", np.full(len(rows), float(size))))
    joined = concat(parts)
    if family.perplexity:
        joined = joined.with_conventions(loss=None).with_column("loss", np.log(joined["loss"]))
    return joined


def parse(value: Mapping[str, Any], case: str, source: str = "") -> Protocol:
    """A protocol from its TOML table.

    Raises:
        InputError: a missing or unknown field, rule or metric.
    """
    known = {f for f in Protocol.__dataclass_fields__ if f not in ("case", "source")}
    unknown = sorted(set(value) - known)
    if unknown:
        raise InputError(message(f"{source or case} has a field {unknown[0]!r}", hint=nearest(unknown[0], known)))
    missing = [
        f for f in ("title", "about", "origin", "domain", "metric", "inputs", "variable", "splits") if f not in value
    ]
    if missing:
        raise InputError(message(f"{source or case} lacks {missing[0]!r}", "a complete protocol"))
    if value["metric"] not in METRICS:
        raise InputError(message(f"{source or case} measures {value['metric']!r}", either(METRICS)))
    if bool(value.get("dataset")) == bool(value.get("families")):
        raise InputError(message(f"{source or case} names no data, or two kinds", "`dataset` or `families`"))
    splits = []
    for entry in value["splits"]:
        if entry.get("rule") not in RULES:
            raise InputError(message(f"{source or case} has the rule {entry.get('rule')!r}", either(RULES)))
        options = {k: v for k, v in entry.items() if k not in ("name", "rule")}
        splits.append(Split(entry.get("name", ""), entry["rule"], Frozen(options)))
    families = tuple(
        Family(f["name"], Frozen(f["members"]), f["dataset"], f.get("perplexity", False))
        for f in value.get("families", ())
    )
    rest = {k: v for k, v in value.items() if k not in ("splits", "families", "options", "drop")}
    lists = {k: tuple(v) for k, v in rest.items() if isinstance(v, list)}
    return Protocol(
        **{**rest, **lists},
        case=case,
        splits=tuple(splits),
        families=families,
        options=Frozen(value.get("options", {})),
        drop=Frozen(value.get("drop", {})),
        source=source,
    )


def read(path: Path) -> Protocol:
    """The protocol in one TOML file; the file's stem is the case.

    `families_of` names the case beside it whose families are meant.

    Raises:
        InputError: no TOML, or no protocol.
    """
    value = _table(path)
    beside = value.pop("families_of", None)
    if beside is not None:
        value["families"] = _table(path.with_name(f"{beside}.toml")).get("families", [])
    return parse(value, path.stem, str(path))


def _table(path: Path) -> dict[str, Any]:
    import tomllib  # only where a case is asked for

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(message(f"{path} cannot be read: {error}", "a TOML file of a protocol")) from error


def protocols(names: Sequence[str] = (), folder: str | os.PathLike[str] | None = None) -> list[Protocol]:
    """The cases, by name: those of the package, then those of a folder (or of `FORESCALE_PROTOCOLS`).

    Args:
        names: only these cases.
        folder: a folder of further `.toml` files; each is a case.

    Raises:
        InputError: an unknown case, a case that two files define, a file that is no protocol.
    """
    with resources.as_file(resources.files("forescale.judge").joinpath("protocols")) as packaged:
        files = sorted(packaged.glob("*.toml"))
        further = folder if folder is not None else os.environ.get(FOLDER_VARIABLE)
        if further:
            if not Path(further).is_dir():
                raise InputError(message(f"{further} is no folder", "a folder of protocol files"))
            files += sorted(Path(further).glob("*.toml"))
        found: dict[str, Protocol] = {}
        for path in files:
            if path.stem in found:
                raise InputError(
                    message(
                        f"{path} and {found[path.stem].source} define one case", "one file per case", "rename one"
                    )
                )
            found[path.stem] = read(path)
    for name in names:
        if name not in found:
            raise InputError(message(f"there is no case {name!r}", hint=nearest(name, found)))
    return [found[name] for name in (names or found)]


def available(cases: Sequence[Protocol], load: Load = public) -> tuple[list[Task], dict[str, str]]:
    """All tasks of the cases whose data can be had; and for the other cases why not."""
    tasks: list[Task] = []
    left_out: dict[str, str] = {}
    for protocol in cases:
        try:
            tasks += list(protocol.tasks(load))
        except ForescaleError as error:
            left_out[protocol.case] = str(error)
    return tasks, left_out

# SPDX-License-Identifier: Apache-2.0
"""A Stack as strict JSON and back.

Rows are held once, by the stack; members remember which of them they used. Laplace draws are made again when a file
is opened: a thousand for each of a dozen members would be most of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import LawError, ReadError, message
from forescale.core.frozen import Frozen
from forescale.fitting._covariance import laplace
from forescale.fitting._files import fit_from_dict, fit_to_dict, plain, special, verdict_from
from forescale.fitting._fit import Fit
from forescale.fitting._space import Space
from forescale.fitting._stack import Member, Stack, Width
from forescale.fitting.estimate import DRAWS
from forescale.laws import Law
from forescale.runs.table import Note, Runs

Array = NDArray[np.float64]

SCHEMA = "forescale/stack"
VERSION = 1


def stack_to_dict(stack: Stack) -> dict[str, Any]:
    """Plain values for JSON; NaN becomes null, an infinity the text "inf" or "-inf"."""
    members = []
    for member in stack.members:
        used = _used(stack.runs, member.fit.runs)
        fit = member.fit if used is None else replace(member.fit, runs=None)
        if _drawn_again(fit) is not None:
            fit = replace(fit, draws=fit.draws[:0])
        value = fit_to_dict(fit)
        members.append(
            {"fit": value, "used": used, "rows": member.rows, "weight": member.weight, "score": plain(member.score)}
        )
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "members": members,
        "inputs": list(stack.inputs),
        "variable": stack.variable,
        "width": asdict(stack.width),
        "scores": {name: plain(values.tolist()) for name, values in stack.scores.items()},
        "rolling": {name: plain(values.tolist()) for name, values in stack.rolling.items()},
        "runs": stack.runs.to_dict(),
        "residuals": plain(stack.residuals.tolist()),
        "why": list(stack.why),
        "conventions": dict(stack.conventions),
        "fitted_range": {name: list(ends) for name, ends in stack.fitted_range.items()},
        "verdict": None if stack.verdict is None else plain(asdict(stack.verdict)),
        "notes": [asdict(note) for note in stack.notes],
        "level": stack.level,
        "seed": stack.seed,
        "code_version": stack.version,
        "data_hash": stack.data_hash,
    }


def _drawn_again(fit: Fit) -> Array | None:
    """Laplace draws from what the fit holds beside them; None where these are not its draws."""
    if fit.draws_from != "laplace":
        return None
    space = Space.of(fit.law)
    u = space.search(space.vector(fit.params))
    draws = laplace(space, u, fit.covariance, fit.df, fit.level, DRAWS, fit.seed)
    draws.flags.writeable = False
    same = not len(fit.draws) or (draws.shape == fit.draws.shape and np.allclose(draws, fit.draws, 1e-9, 0.0))
    return draws if same else None


def _used(table: Runs, part: Runs | None) -> list[int] | None:
    """Row numbers of a part of a table; None where the part holds anything that those rows do not."""
    if part is None:
        return None
    places: dict[tuple[Any, ...], list[int]] = {}
    for number, row in enumerate(_rows(table)):
        places.setdefault(row, []).append(number)
    found = []
    for row in _rows(part):
        there = places.get(row)
        if not there:
            return None
        found.append(there.pop(0))
    return found if table.where(found).to_dict() == part.to_dict() else None


def _rows(table: Runs) -> Iterator[tuple[Any, ...]]:
    columns = [table.columns[name].tolist() for name in sorted(table.columns)]
    labels = [table.labels[name].tolist() for name in sorted(table.labels)]
    # NaN is not equal to itself, and as a key it must be.
    return zip(*([None if v != v else v for v in column] for column in columns), *labels)


def stack_from_dict(data: Any, *, law: Law | None = None) -> Stack:
    """The stack that `Stack.to_json` wrote, from the parsed object.

    Args:
        law: the law of members whose law was a Python function (it cannot be written to a file).

    Raises:
        ReadError: not a stack, of another version, or damaged.
        LawError: a law that this installation does not know.
    """
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        seen = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
        raise ReadError(message(f"the schema is {seen!r}", f"{SCHEMA!r}", "forescale fit RUNS -o stack.json"))
    if data.get("version") != VERSION:
        raise ReadError(
            message(f"the file has version {data.get('version')!r}", f"version {VERSION}", "a newer forescale")
        )
    try:
        return _read(data, law)
    except (LawError, ReadError):
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ReadError(
            message(f"the stack file is damaged ({type(error).__name__}: {error})", "a file that Stack.save wrote")
        ) from error


def _read(data: Mapping[str, Any], law: Law | None) -> Stack:
    runs = Runs.from_dict(data["runs"])
    members = tuple(_member(m, runs, law) for m in data["members"])
    if not members or not math.isclose(sum(m.weight for m in members), 1.0, rel_tol=1e-6):
        raise ValueError("the weights of the members do not add up to one")
    scores = {
        name: np.array(values) if name in ("candidate", "law", "loss", "rows") else _floats(values)
        for name, values in data["scores"].items()
    }
    return Stack(
        members=members,
        inputs=tuple(data["inputs"]),
        variable=str(data["variable"]),
        width=_width(data["width"]),
        scores=Frozen(scores),
        rolling=Frozen({name: _floats(values) for name, values in data["rolling"].items()}),
        runs=runs,
        residuals=_floats(data["residuals"]),
        why=tuple(data["why"]),
        conventions=Frozen(data["conventions"]),
        fitted_range=Frozen({name: (float(a), float(b)) for name, (a, b) in data["fitted_range"].items()}),
        verdict=verdict_from(data["verdict"]),
        notes=tuple(Note(**note) for note in data["notes"]),
        level=float(data["level"]),
        seed=int(data["seed"]),
        version=str(data["code_version"]),
        data_hash=str(data["data_hash"]),
    )


def _member(data: Mapping[str, Any], runs: Runs, law: Law | None) -> Member:
    mine = law if law is not None and data["fit"]["law"]["id"] == law.id else None
    fit = fit_from_dict(data["fit"], law=mine)
    if data["used"] is not None:
        fit = replace(fit, runs=runs.where(data["used"]))
    if fit.draws_from == "laplace" and not len(fit.draws):
        draws = _drawn_again(fit)
        if draws is not None:
            fit = replace(fit, draws=draws)
    return Member(fit, str(data["rows"]), float(data["weight"]), float(special(data["score"])))


def _width(data: Mapping[str, Any]) -> Width:
    known = {f.name for f in fields(Width)}
    if set(data) != known:
        raise KeyError(f"width has {sorted(data)}")
    numbers = {name: float(data[name]) for name in known - {"cuts"}}
    return Width(**numbers, cuts=int(data["cuts"]))


def _floats(values: Any) -> Any:
    return np.array([special(v) for v in values], dtype=np.float64)

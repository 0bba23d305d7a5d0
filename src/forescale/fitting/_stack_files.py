# SPDX-License-Identifier: Apache-2.0
"""A Stack as strict JSON and back. Rows are held once, by the stack; members remember which of them they used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.core.frozen import Frozen
from forescale.fitting._files import fit_from_dict, fit_to_dict, plain, special
from forescale.fitting._fit import Finding, Verdict
from forescale.fitting._stack import Member, Stack, Width
from forescale.runs.table import Note, Runs

SCHEMA = "forescale/stack"
VERSION = 1


def stack_to_dict(stack: Stack) -> dict[str, Any]:
    """Plain values for JSON; NaN becomes null, an infinity the text "inf" or "-inf"."""
    members = []
    for member in stack.members:
        value = fit_to_dict(member.fit)
        members.append({"fit": value, "rows": member.rows, "weight": member.weight, "score": member.score})
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


def stack_from_dict(data: Any) -> Stack:
    """The stack that `Stack.to_json` wrote, from the parsed object.

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
        return _read(data)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ReadError(
            message(f"the stack file is damaged ({type(error).__name__}: {error})", "a file that Stack.save wrote")
        ) from error


def _read(data: Mapping[str, Any]) -> Stack:
    members = tuple(
        Member(fit_from_dict(m["fit"]), str(m["rows"]), float(m["weight"]), float(special(m["score"])))
        for m in data["members"]
    )
    verdict = data["verdict"]
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
        runs=Runs.from_dict(data["runs"]),
        residuals=_floats(data["residuals"]),
        why=tuple(data["why"]),
        conventions=Frozen(data["conventions"]),
        fitted_range=Frozen({name: (float(a), float(b)) for name, (a, b) in data["fitted_range"].items()}),
        verdict=None
        if verdict is None
        else Verdict(
            verdict["level"],
            verdict["headline"],
            tuple(Finding(**{**f, "rows": tuple(f["rows"])}) for f in verdict["findings"]),
        ),
        notes=tuple(Note(**note) for note in data["notes"]),
        level=float(data["level"]),
        seed=int(data["seed"]),
        version=str(data["code_version"]),
        data_hash=str(data["data_hash"]),
    )


def _width(data: Mapping[str, Any]) -> Width:
    known = {f.name for f in fields(Width)}
    if set(data) != known:
        raise KeyError(f"width has {sorted(data)}")
    numbers = {name: float(data[name]) for name in known - {"cuts"}}
    return Width(**numbers, cuts=int(data["cuts"]))


def _floats(values: Any) -> Any:
    return np.array([special(v) for v in values], dtype=np.float64)

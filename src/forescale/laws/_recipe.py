# SPDX-License-Identifier: Apache-2.0
"""How a saved fit names its law: a base (catalogue id or formula) and the operators that were applied to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from forescale.core.errors import LawError, message
from forescale.laws._catalogue import families, find, known
from forescale.laws._formula import law_from_formula
from forescale.laws._law import Law, Parameter

_MOST_STEPS = 50
_MOST_DEPTH = 10


def law_to_json(law: Law) -> dict[str, Any]:
    """The law as plain data for JSON: id, output, inputs, params and the recipe that makes it again.

    A law made from a Python function, or a `Law` that stands in no catalogue, is written too, but reading it back
    needs the law itself.
    """
    return {
        "id": law.id,
        "output": law.output,
        "inputs": list(law.inputs),
        "params": list(law.params),
        "recipe": _plain(law.recipe or (("law", law),)),
    }


def law_from_json(data: Mapping[str, Any], law: Law | None = None) -> Law:
    """The law that `law_to_json` wrote.

    Args:
        data: what `law_to_json` returned.
        law: the law itself, for one that was made from a Python function; checked against what was saved.

    Raises:
        LawError: malformed data, a law that cannot be made again, or one that has changed since.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("recipe"), (list, tuple)):
        raise LawError(message("the saved law has no recipe", "an object with id, inputs, params and recipe"))
    made = law if law is not None else _make(data["recipe"], 0)
    for what, seen in (("inputs", list(made.inputs)), ("params", list(made.params)), ("output", made.output)):
        if data.get(what) != seen:
            raise LawError(
                message(
                    f"the law {data.get('id')!r} was saved with the {what} {data.get(what)}, but "
                    f"{made.id!r} has {seen}",
                    "the law that was saved",
                    "pass the law that the fit was made with" if law is not None else "fit again with this version",
                )
            )
    return made


def _named(law: Law) -> list[str]:
    """A law that stands for itself: by id where the catalogue holds the same law under it."""
    named = known(law.id)
    if named is None and law.id.partition("(")[0] in families():
        named = find(law.id)
    # Not by identity: a law that came back from a worker process is a copy, its formula is the same function.
    same = named is not None and all(
        getattr(named, what) == getattr(law, what) for what in ("formula", "inputs", "names", "output")
    )
    return ["law" if same else "value", law.id]


def _plain(recipe: tuple[tuple[str, Any], ...]) -> list[Any]:
    steps: list[Any] = []
    for kind, what in recipe:
        if kind == "law":
            steps.append(_named(what))
        elif kind == "add":
            steps.append([kind, _plain(what)])
        elif kind == "formula" and "params" in what:
            steps.append([kind, {**what, "params": {k: _plain_parameter(p) for k, p in what["params"].items()}}])
        else:
            steps.append([kind, dict(what) if isinstance(what, Mapping) else what])
    return steps


def _plain_parameter(parameter: Parameter) -> dict[str, Any]:
    ends = (parameter.lower, parameter.upper)
    return {
        "kind": parameter.kind,
        "meaning": parameter.meaning,
        "support": [x if math.isfinite(x) else None for x in ends],
        "start": None if parameter.start is None else list(parameter.start),
        "unit": parameter.unit,
    }


def _parameter(data: Any) -> Parameter:
    low, high = data["support"]
    return Parameter(
        str(data["kind"]),
        str(data["meaning"]),
        -math.inf if low is None else float(low),
        math.inf if high is None else float(high),
        None if data["start"] is None else (float(data["start"][0]), float(data["start"][1])),
        str(data["unit"]),
    )


def _make(recipe: Any, depth: int) -> Law:
    if not isinstance(recipe, (list, tuple)) or not 1 <= len(recipe) <= _MOST_STEPS or depth > _MOST_DEPTH:
        raise LawError(message("the recipe of the saved law is malformed", f"1 to {_MOST_STEPS} steps [kind, what]"))
    made: Law | None = None
    for step in recipe:
        try:
            kind, what = step
            made = _base(kind, what) if made is None else _applied(made, kind, what, depth)
        except LawError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            # FormulaError is a ValueError too, and already says what is wrong.
            detail = str(error) if isinstance(error, ValueError) else type(error).__name__
            raise LawError(message(f"the step {str(step)[:200]} of a saved law cannot be read ({detail})")) from error
    assert made is not None  # noqa: S101  (at least one step, each of which makes a law or raises)
    return made


def _base(kind: str, what: Any) -> Law:
    if kind == "law":
        return find(str(what))
    if kind == "formula":
        settings = dict(what)
        settings["params"] = {name: _parameter(p) for name, p in settings.get("params", {}).items()}
        return law_from_formula(settings.pop("text"), **settings)
    if kind in ("function", "value"):
        made_from = "a Python function" if kind == "function" else "a Law that stands in no catalogue"
        raise LawError(
            message(
                f"the law {what!r} was made from {made_from}, which a file cannot hold",
                "the law itself beside the file",
                "fs.open(path, law=my_law), or register the law under the entry-point group forescale.laws",
            )
        )
    raise LawError(message(f"a saved law begins with the step {kind!r}", "law, formula, function or value"))


def _applied(law: Law, kind: str, what: Any, depth: int) -> Law:
    if kind == "fix":
        return law.fix(**{str(k): float(v) for k, v in what.items()})
    if kind == "tie":
        return law.tie(**{str(k): str(v) for k, v in what.items()})
    if kind == "rename":
        return law.rename(**{str(k): str(v) for k, v in what.items()})
    if kind == "on":
        return law.on(**{str(k): str(v) for k, v in what.items()})
    if kind == "add":
        return law + _make(what, depth + 1)
    if kind == "group":
        return law.grouped(str(what["by"]), [str(x) for x in what["levels"]], [str(x) for x in what["separate"]])
    raise LawError(message(f"a saved law holds the step {kind!r}", "fix, tie, rename, on, add or group"))

# SPDX-License-Identifier: Apache-2.0
"""A page for each question that plans answer. `generate.py` writes and checks them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from inspect import cleandoc, unwrap
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOM = HERE.parent / "src" / "forescale" / "planning"
MADE = "<!-- made by docs/generate.py: do not edit -->"

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def pages(table: Table) -> dict[Path, str]:
    """Path -> text of every page."""
    return {HERE / "plans" / f"{p.id}.md": _page(p, table).rstrip() + "\n" for p in _planners()}


def questions(table: Table) -> str:
    """All questions by topic, one line each."""
    from forescale.planning._plan import TOPICS

    blocks = []
    for topic in TOPICS:
        rows = [(f"[`{p.id}`](plans/{p.id}.md)", p.question, _stands_on(p)) for p in _planners() if p.topic == topic]
        if rows:
            blocks += [f"### {topic[0].upper()}{topic[1:]}", table(("plan", "question", "stands on"), rows)]
    return "\n\n".join(blocks)


def _planners() -> list[Any]:
    from forescale.core.registry import discover
    from forescale.planning._plan import Planner

    return [entry.value for entry in discover("forescale.planning", Planner, plugins=False).values()]


def _stands_on(planner: Any) -> str:
    if not planner.parts:
        return "a law in " + " and ".join(planner.needs or ("N", "D"))
    words = []
    for part in planner.parts:
        what = f"a table ({', '.join(f'`{c}`' for c in part.columns)})" if part.is_table else f"law of {part.name}"
        ending = "" if part.default or not part.optional else " (optional)"
        words.append(what + ending)
    return ", ".join(words)


def _page(planner: Any, table: Table) -> str:
    from forescale import api
    from forescale.core import cite

    known = cite.keys()
    blocks = [
        MADE,
        f"# {planner.id}",
        f"*{planner.topic}* · **{planner.question}**",
        cleandoc(sys.modules[unwrap(planner.answer).__module__].__doc__ or ""),
        f"```text\n$ {api.plan_example(planner)}\n```",
        "## What it stands on",
        *_grounds(planner, table),
        "## What may be asked",
        table(
            ("field", "meaning", "default"),
            (
                (f"`{name}`", field.description or "", "needed" if field.is_required() else _shown(field))
                for name, field in planner.query.model_fields.items()
            ),
        ),
        "On the command line a field is an option: `--name value`, with `-` for `_`. The answer's JSON schema of the "
        f"question: `fs.planners()[{planner.id!r}].schema()`.",
        *_warnings(planner, table),
        "## Papers",
        "\n".join(
            f"- {cite.short(key)} {cite.reference(key).link}" if key in known else f"- {key}"
            for key in planner.papers
        ),
    ]
    return "\n\n".join(block for block in blocks if block)


def _grounds(planner: Any, table: Table) -> list[str]:
    if not planner.parts:
        needs = " and ".join(f"`{name}`" for name in planner.needs)
        asked = f"A fit, a stack or published constants of a law that may be asked for `{planner.asks}`"
        return [asked + (f", in {needs}." if needs else ".")]
    rows = []
    for part in planner.parts:
        without = f"`{part.default}`" if part.default else "left out" if part.optional else "needed"
        several = f", up to {part.most}" if part.most > 1 else ""
        rows.append((part.name, part.meaning, part.wanted() + several, without))
    return [table(("part", "meaning", "what can play it", "without it"), rows)]


SHARED = ("_compose", "_evidence", "_parts", "_plan", "_run")
"""Modules of the room whose warnings every plan may have: docs/plans.md lists them."""


def _warnings(planner: Any, table: Table) -> list[str]:
    """What this plan may warn of: the findings in its module and in the modules of the room that it is made of."""
    rows = {
        code: (f"`{code}`", text)
        for module in _made_of(unwrap(planner.answer).__module__.rpartition(".")[2])
        for code, text in _findings(module)
    }
    if not rows:
        return []
    return ["## What it may warn of", table(("code", "what it says, with its numbers left out"), rows.values())]


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((ROOM / f"{module}.py").read_text(encoding="utf-8"))


def _made_of(module: str) -> list[str]:
    """The module and, one after another, the private modules of the room that it imports."""
    found = [module]
    for name in found:
        for node in ast.walk(_tree(name)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("forescale.planning"):
                last = (node.module or "").rpartition(".")[2]
                near = [alias.name for alias in node.names] if last == "planning" else [last]
                found += [
                    n
                    for n in near
                    if n.startswith("_") and n not in (*SHARED, *found) and (ROOM / f"{n}.py").exists()
                ]
    return found


def _findings(module: str) -> list[tuple[str, str]]:
    """(code, text) of each finding, its numbers as an ellipsis."""
    found = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            code = node.args[0] if node.args else None
            if isinstance(code, ast.Constant) and len(node.args) > 2:
                found.append((str(code.value), _said(node.args[2])))
    return found


def _said(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_said(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _said(node.left) + _said(node.right)
    return "…"


def _shown(field: Any) -> str:
    default = field.get_default()
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ", ".join(f"{value:g}" for value in default)
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:g}" if isinstance(default, float) else str(default)

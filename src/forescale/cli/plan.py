# SPDX-License-Identifier: Apache-2.0
"""`forescale plan QUESTION FIT ...`: one sub-command per planner, its flags read off the planner's query model."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forescale.cli._shell import JSON, LAW, LOSS, OUT, say

if TYPE_CHECKING:
    from forescale.planning._plan import Planner

OWN = ("fits", "law", "loss", "out", "style", "as_json")

FITS = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FIT",
        help="A fit or stack file, law:source, or runs (fitted with --law). Questions that stand on several fits or "
        "tables take them in any order; what is left out is taken from published constants, where there are any.",
    ),
]
STYLE = Annotated[
    str | None, typer.Option("--as", help="Print only the settings, for a training script: env, yaml or argv.")
]


def register(app: typer.Typer, summary: str, words: Sequence[str] = ()) -> None:
    """Add the command group; with the words of the command line, only the question that is asked."""
    from forescale import api

    group = typer.Typer(
        help=summary + "\n\nExample: forescale plan compute-optimal chinchilla:besiroglu2024 --budget '1e24 FLOP'",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for planner in api.asked(words):
        group.command(planner.id, help=_help(planner))(_command(planner))
    app.add_typer(group, name="plan")


def _help(planner: Planner) -> str:
    from forescale import api

    parts = [f"{part.name}: {part.meaning} ({part.wanted()}; " + (f"default {part.default})" if part.default else
             "may be left out)" if part.optional else "needed)") for part in planner.parts]  # fmt: skip
    stands = "\n\nStands on " + "; ".join(parts) if parts else ""
    return f"{planner.question}{stands}\n\nExample: {api.plan_example(planner)}"


def _command(planner: Planner) -> Callable[..., None]:
    def command(**given: Any) -> None:
        from forescale import api

        query = {k: v for k, v in given.items() if k not in OWN and v is not None}
        answer = api.plan(planner.id, *(given["fits"] or ()), law=given["law"], loss=given["loss"], **query)
        if given["out"] is not None:
            api.save_plan(answer, given["out"], commands=(shlex.join(["forescale", *sys.argv[1:]]),))
        if given["style"] is not None:
            say(answer.settings(given["style"]))
            return
        say(answer.to_json() if given["as_json"] else answer.summary())
        if given["out"] is not None and not given["as_json"]:
            say(f"\nwritten: {given['out']}")

    command.__signature__ = inspect.Signature(_parameters(planner))  # type: ignore[attr-defined]
    return command


def _parameters(planner: Planner) -> list[inspect.Parameter]:
    """The fit, one option per field of the query (as text: the model reads human numbers), and the common options."""
    named = inspect.Parameter.KEYWORD_ONLY
    found = [
        inspect.Parameter(
            "fits",
            named,
            annotation=FITS,
            default=None,
        )
    ]
    for name, field in planner.query.model_fields.items():
        flag = "--" + name.replace("_", "-")
        words = field.description or ""
        if field.annotation is bool:
            option: Any = Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=words)]
        else:
            option = Annotated[str | None, typer.Option(flag, help=words)]
        found.append(inspect.Parameter(name, named, annotation=option, default=None))
    for name, annotation, default in (
        ("group", Annotated[str | None, typer.Option("--group", help="The group of a grouped fit.")], None),
        ("law", LAW, None),
        ("loss", LOSS, None),
        ("out", OUT, None),
        ("style", STYLE, None),
        ("as_json", JSON, False),
    ):
        found.append(inspect.Parameter(name, named, annotation=annotation, default=default))
    return found

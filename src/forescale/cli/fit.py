# SPDX-License-Identifier: Apache-2.0
"""`forescale fit RUNS`: of one law with --law, else of the laws that extrapolate best."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forescale.cli._shell import (
    ADD,
    COLUMN,
    CONVENTION,
    DROP_BAD,
    FIX,
    JSON,
    LAW,
    LOSS,
    OUT,
    READER,
    RENAME,
    STRICT,
    TIE,
    WHERE,
    pairs,
    read,
    say,
)
from forescale.core.errors import QueryError, message

if TYPE_CHECKING:
    from forescale.api import Fit, Stack


COMMAS = re.compile(r",(?![^()]*\))")
"""Those outside of brackets: "chinchilla,power(N)"."""


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command("fit", help=summary + "\n\nExample: forescale fit runs.csv --law chinchilla -o fit.json")
    def fit(
        source: Annotated[str, typer.Argument(help="Runs: a file, a folder, a data set name, or - for stdin.")],
        law: LAW = None,
        laws: Annotated[
            str | None,
            typer.Option("--laws", help="Compare and pool only these laws, e.g. chinchilla,skaling."),
        ] = None,
        secondary: Annotated[
            bool, typer.Option("--secondary", help="Without --law: add leave-group-out errors; takes longer.")
        ] = False,
        loss: LOSS = None,
        fix: FIX = None,
        tie: TIE = None,
        rename: RENAME = None,
        add: ADD = None,
        group_by: Annotated[
            str | None, typer.Option("--group-by", help="Fit groups together; a label column, e.g. dataset.")
        ] = None,
        separate: Annotated[
            str | None, typer.Option("--separate", help="Parameters with a value per group, e.g. E or E,A.")
        ] = None,
        column: COLUMN = None,
        convention: CONVENTION = None,
        where: WHERE = None,
        drop_bad: DROP_BAD = False,
        reader: READER = None,
        bootstrap: Annotated[int, typer.Option("--bootstrap", min=0, help="Bootstrap draws; 0 for none.")] = 0,
        resample: Annotated[
            str, typer.Option("--resample", help="What the bootstrap draws: row, run, or a label column.")
        ] = "row",
        profile: Annotated[bool, typer.Option("--profile", help="Add profile-likelihood intervals.")] = False,
        level: Annotated[float, typer.Option("--level", help="Level of all intervals.")] = 0.90,
        seed: Annotated[int, typer.Option("--seed", help="Seed of draws and resampling.")] = 0,
        out: OUT = None,
        strict: STRICT = False,
        as_json: JSON = False,
    ) -> int:
        from forescale import api

        runs = read(source, column=column, convention=convention, where=where, drop_bad=drop_bad, reader=reader)
        about_one = {
            "--law": law, "--loss": loss, "--fix": fix, "--tie": tie, "--rename": rename, "--add": add,
            "--group-by": group_by, "--separate": separate, "--bootstrap": bootstrap, "--profile": profile,
        }  # fmt: skip
        given = [option for option, value in about_one.items() if value not in (None, 0, [])]
        if given and (laws or secondary):
            seen = f"{'--laws' if laws else '--secondary'} and {given[0]}"
            raise QueryError(message(seen, "several laws compared, or one law fitted", f"leave out {given[0]}"))
        if not given:
            named = [name.strip() for name in COMMAS.split(laws) if name.strip()] if laws else None
            stack = api.select(runs, laws=named, level=level, rng=seed, secondary=secondary)
            return _shown(stack, out, strict, as_json)
        changed = api.change_law(
            api.default_law(runs) if law is None else law,
            add=add or (),
            fix=pairs(fix, "--fix"),
            tie=pairs(tie, "--tie"),
            rename=pairs(rename, "--rename"),
            columns=tuple(runs.columns),
        )
        result = api.fit(
            runs,
            changed,
            loss=loss,
            group_by=group_by,
            separate=tuple(s.strip() for s in separate.split(",")) if separate else (),
            level=level,
            rng=seed,
        )
        if bootstrap:
            result = result.bootstrap(bootstrap, by=resample, rng=seed)
        if profile:
            result = result.profile()
        if law is None:
            result = api.default_noted(result)
        return _shown(result, out, strict, as_json)


def _shown(result: Fit | Stack, out: Path | None, strict: bool, as_json: bool) -> int:
    from forescale import api

    if out is not None:
        result.save(out)
    if as_json:
        say(result.to_json())
    else:
        say(result.summary())
        if out is not None:
            say(f"\nwritten: {out}")
    return api.exit_code(result, strict)

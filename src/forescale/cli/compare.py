# SPDX-License-Identifier: Apache-2.0
"""`forescale compare A B` and `forescale compare RUNS --by COLUMN`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from forescale.cli._shell import (
    COLUMN,
    CONVENTION,
    DROP_BAD,
    JSON,
    LAW,
    LOSS,
    OUT,
    READER,
    WHERE,
    read,
    say,
)
from forescale.core.errors import QuantityError, QueryError, message
from forescale.core.quantity import parse_number


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command(
        "compare",
        help=summary + "\n\nExample: forescale compare runs.csv --by optimizer --law 'power-floor(C)' --at 1e22"
        "\n\nExample: forescale compare adamw.json muon.json --at 1e21 --at 1e22",
    )
    def compare(
        a: Annotated[str, typer.Argument(help="A fit file, law:source, or runs; runs with --by hold all arms.")],
        b: Annotated[str | None, typer.Argument(help="The other arm: a fit file, law:source, or runs.")] = None,
        by: Annotated[str | None, typer.Option("--by", help="Label column whose levels are the arms.")] = None,
        law: LAW = None,
        share: Annotated[
            str | None, typer.Option("--share", help="Parameters with one value for all arms, e.g. E,alpha.")
        ] = None,
        reference: Annotated[
            str | None, typer.Option("--reference", help="The arm called A (default: first).")
        ] = None,
        names: Annotated[
            str | None, typer.Option("--names", help="What two fits or tables are called: old,new.")
        ] = None,
        pareto: Annotated[
            bool, typer.Option("--pareto", help="Fit the best run of each factor of two in compute: scanned tables.")
        ] = False,
        at: Annotated[
            list[str] | None, typer.Option("--at", help="Compute (or input) of interest, e.g. 1e22 (repeatable).")
        ] = None,
        between: Annotated[
            tuple[str, str] | None, typer.Option("--between", help="Range of the verdict: --between 1e18 1e22.")
        ] = None,
        pair_by: Annotated[
            str | None, typer.Option("--pair-by", help="Columns that make two runs a pair, e.g. N,D (the default).")
        ] = None,
        method: Annotated[str, typer.Option("--method", help="auto, curves or pairs.")] = "auto",
        margin: Annotated[
            str | None, typer.Option("--margin", help="Difference that does not matter, e.g. 0.5% of the loss.")
        ] = None,
        noise: Annotated[
            str | None,
            typer.Option(
                "--noise", help="Noise between runs of one setting, e.g. 0.05%, or a table of repeated runs."
            ),
        ] = None,
        loss: LOSS = None,
        where: WHERE = None,
        column: COLUMN = None,
        convention: CONVENTION = None,
        drop_bad: DROP_BAD = False,
        reader: READER = None,
        level: Annotated[float, typer.Option("--level", help="Level of all intervals.")] = 0.90,
        seed: Annotated[int, typer.Option("--seed", help="Seed of the draws.")] = 0,
        out: OUT = None,
        as_json: JSON = False,
    ) -> None:
        from forescale import api

        if by is None and b is None:
            raise QueryError(message(f"{a} alone", "a second arm, or --by COLUMN with the arms of one table"))

        def arm(source: str) -> Any:
            if by is None and law is None and api.is_fit(source):
                return source
            return read(source, column=column, convention=convention, where=where, drop_bad=drop_bad, reader=reader)

        result = api.compare(
            arm(a),
            None if b is None else arm(b),
            by=by,
            law=law,
            share=None if share is None else _words(share),
            reference=reference,
            names=_two(names),
            pareto=pareto,
            at=[parse_number(text) for text in at or ()],
            between=None if between is None else (parse_number(between[0]), parse_number(between[1])),
            pair_by=None if pair_by is None else _words(pair_by),
            method=method,
            margin=_share(margin),
            noise=_noise(noise),
            loss=loss,
            level=level,
            rng=seed,
        )
        if out is not None:
            result.save(out)
        say(result.to_json() if as_json else result.summary())
        if out is not None and not as_json:
            say(f"\nwritten: {out}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _two(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    found = _words(text)
    if len(found) != 2:
        raise QueryError(message(f"--names {text!r}", "two names", "--names old,new"))
    return found[0], found[1]


def _noise(text: str | None) -> Any:
    """A share, or the runs of a table."""
    try:
        return _share(text)
    except QuantityError:
        return read(str(text))


def _share(text: str | None) -> float | None:
    """ "0.5%" or "0.005" as a share."""
    if text is None:
        return None
    stripped = text.strip()
    return parse_number(stripped[:-1]) / 100.0 if stripped.endswith("%") else parse_number(stripped)

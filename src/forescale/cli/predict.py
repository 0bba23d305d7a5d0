# SPDX-License-Identifier: Apache-2.0
"""`forescale predict FIT --N 70B --D 1.4T`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forescale.cli._shell import FIT, JSON, LAW, LOSS, emit, pairs, say


def register(app: typer.Typer, summary: str) -> None:
    """Add the command."""

    @app.command(
        "predict",
        help=summary + "\n\nExample: forescale predict fit.json --N 70B --D 1.4T --record ledger.jsonl",
    )
    def predict(
        fit: FIT,
        N: Annotated[list[str] | None, typer.Option("--N", help="Parameters, e.g. 70B (repeatable).")] = None,
        D: Annotated[list[str] | None, typer.Option("--D", help="Training tokens, e.g. 1.4T (repeatable).")] = None,
        C: Annotated[
            list[str] | None, typer.Option("--C", help="Compute, e.g. 6e23 FLOP, instead of N or D.")
        ] = None,
        at: Annotated[
            list[str] | None, typer.Option("--at", help="Any other input of the law: --at M=20 (repeatable).")
        ] = None,
        points: Annotated[
            str | None, typer.Option("--points", help="A table of points (file or -), instead of --N and --D.")
        ] = None,
        group: Annotated[str | None, typer.Option("--group", help="The group of a grouped fit.")] = None,
        law: LAW = None,
        loss: LOSS = None,
        record: Annotated[
            Path | None, typer.Option("--record", help="Append the predictions to this ledger (JSON lines).")
        ] = None,
        run: Annotated[
            list[str] | None, typer.Option("--run", help="Name of the run to come (with --record).")
        ] = None,
        as_json: JSON = False,
    ) -> None:
        from forescale import api

        believed = api.fit_of(fit, law=law, loss=loss)
        prediction = api.predict_at(believed, N=N, D=D, C=C, at=pairs(at, "--at"), points=points, group=group)
        if record is not None:
            api.record(believed, prediction, record, runs=run)
        if as_json:
            emit("prediction", prediction.to_dict())
            return
        say(str(prediction))
        if record is not None:
            say(f"\nrecorded: {record} (score it after the run with: forescale score {record} RUNS)")

# SPDX-License-Identifier: Apache-2.0
"""ParScale: is a model of P parallel streams worth 1 + k ln P times its parameters?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, better, holds, measured, reproduced

SOURCE = "Chen et al. 2025, fitting script"
CORPORA = {"pile": "chen2025-pile", "stack_v2_python": "chen2025-stack"}
R2 = {"pile": 0.998676, "stack_v2_python": 0.997833}


def run() -> Outcome:
    """Fit both corpora by the authors' objective; then hide the largest models and all runs with eight streams."""
    claims: list[Claim] = []
    series: list[Series] = []
    law = fs.law("parscale")
    for corpus, source in CORPORA.items():
        runs = fs.dataset("parscale", dataset=corpus)
        fit = fs.fit(runs, law)
        published = law.constants(source)
        for name, within in (("E", 0.001), ("alpha", 0.005), ("k", 0.005)):
            claims.append(
                reproduced(
                    f"{corpus}: {name}",
                    ours=fit.params[name],
                    theirs=published[name],
                    within=within,
                    relative=True,
                    source=SOURCE,
                )
            )
        predicted = fit.predict(runs).estimate
        r2 = 1 - ((runs["loss"] - predicted) ** 2).sum() / ((runs["loss"] - runs["loss"].mean()) ** 2).sum()
        claims.append(reproduced(f"{corpus}: R2", ours=r2, theirs=R2[corpus], within=1e-4, source=SOURCE))
        claims += _held_out(corpus, runs)
        series += _drawn(corpus, runs, fit)
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "The released losses give the published constants back, and fits without eight streams, or without the "
            "largest model, predict what was left out."
        ),
        charts={
            "streams": xy(
                "Loss against the parameters that a model is worth",
                ["each dot is a run at N (1 + k ln P): if streams act like that, a corpus falls on one line"],
                series,
                x="N (1 + k ln P), parameters",
                y="loss (nats per token)",
                log_x=True,
                kind_x="count",
            )
        },
    )


def _held_out(corpus: str, runs: fs.Runs) -> list[Claim]:
    found = []
    for what, hidden in (("eight streams", runs["P"] == 8), ("the largest model", runs["N"] > 4e9)):
        fit = fs.fit(runs.where(~hidden), "parscale")
        rest = runs.where(hidden)
        error = float(np.mean(np.abs(fit.predict(rest).estimate / rest["loss"] - 1)))
        plain = fs.fit(runs.where(~hidden), "power-floor(N)").predict(rest).estimate
        without = float(np.mean(np.abs(plain / rest["loss"] - 1)))
        found.append(
            holds(
                f"{corpus}: error on {what}, hidden", ours=error, most=without, source="the same law without streams"
            )
        )
    eight = runs["P"] == 8
    errors = [
        float(
            np.mean(
                np.abs(fs.fit(runs.where(~eight), law).predict(runs.where(eight)).estimate / runs["loss"][eight] - 1)
            )
        )
        for law in ("parscale", "parscale-correlated")
    ]
    found.append(
        better(
            f"{corpus}: error on eight streams, hidden, by ln P",
            ours=errors[0],
            theirs=errors[1],
            source="parscale-correlated, the theory of streams with one correlation",
        )
    )
    found.append(measured(f"{corpus}: parameters that eight streams are worth", 1 + fit.params["k"] * np.log(8)))
    return found


def _drawn(corpus: str, runs: fs.Runs, fit: fs.Fit) -> list[Series]:
    worth = runs["N"] * (1 + fit.params["k"] * np.log(runs["P"]))
    grid = np.geomspace(worth.min(), worth.max(), 60)
    line = fit.predict(N=grid, P=np.ones_like(grid)).estimate
    return [Series(corpus, worth, runs["loss"]), Series(corpus, grid, line, "line")]


parscale = Study(
    id="parscale",
    title="Parallel streams as a third axis of scale",
    question="Is a model of P parallel streams worth 1 + k ln P times its parameters?",
    papers=("chen2025parscale",),
    datasets=("parscale",),
    laws=("parscale", "parscale-correlated"),
    run=run,
)

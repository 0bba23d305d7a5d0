# SPDX-License-Identifier: Apache-2.0
"""ParScale: is a model of P parallel streams worth 1 + k ln P times its parameters?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, relative_errors, tally
from forescale.studies._study import Claim, Outcome, Study, measured, reproduced

SOURCE = "Chen et al. 2025, fitting script"
CORPORA = {"pile": "chen2025-pile", "stack_v2_python": "chen2025-stack"}
R2 = {"pile": 0.998676, "stack_v2_python": 0.997833}


def run() -> Outcome:
    """Fit both corpora by the authors' objective; then hide the largest models and all runs with eight streams."""
    claims: list[Claim] = []
    series: list[Series] = []
    streams, largest = [], []
    law = fs.law("parscale")
    for corpus, source in CORPORA.items():
        runs = fs.dataset("parscale", dataset=corpus)
        fit = fs.fit(runs, law)
        published = law.constants(source)
        for name in ("E", "alpha", "k"):
            claims.append(
                reproduced(
                    f"{corpus}: {name}",
                    ours=fit.params[name],
                    theirs=published[name],
                    within=0.001,
                    relative=True,
                    source=SOURCE,
                )
            )
        predicted = fit.predict(runs).estimate
        r2 = 1 - ((runs["loss"] - predicted) ** 2).sum() / ((runs["loss"] - runs["loss"].mean()) ** 2).sum()
        claims.append(reproduced(f"{corpus}: R2", ours=r2, theirs=R2[corpus], within=1e-4, source=SOURCE))
        held = _held_out(corpus, runs, fit)
        claims += held
        streams.append(f"{100 * held[0].ours:.1f}")
        largest.append(f"{100 * held[2].ours:.1f}")
        series += _drawn(corpus, runs, fit)
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"Of the published constants and R2 {tally([c for c in claims if c.source == SOURCE])} come back. Fits "
            f"without eight streams predict their losses to {' and '.join(streams)} % (two corpora), fits without "
            f"the largest model those of that to {' and '.join(largest)} %."
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


def _held_out(corpus: str, runs: fs.Runs, fit: fs.Fit) -> list[Claim]:
    """Errors on hidden runs, against those of laws without streams, and with streams of one correlation."""
    found = []
    eight = runs["P"] == 8
    for what, hidden, rival, source in (
        ("eight streams", eight, "power-floor(N)", "the same law without streams"),
        ("eight streams", eight, "parscale-correlated", "the theory of streams with one correlation"),
        ("the largest model", runs["N"] > 4e9, "power-floor(N)", "the same law without streams"),
    ):
        ours, theirs = (
            relative_errors(fs.fit(runs.where(~hidden), law), runs.where(hidden)) for law in ("parscale", rival)
        )
        text = f"{corpus}: error on {what}, hidden, against {rival}"
        found.append(fewer_errors(text, ours=ours, theirs=theirs, source=source))
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

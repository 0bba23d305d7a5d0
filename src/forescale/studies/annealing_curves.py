# SPDX-License-Identifier: Apache-2.0
"""The annealing law on the training curves of a 100M GPT: what one schedule says about two others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, better, measured, reproduced

OWN = "an earlier computation on the same curves"
BEGIN = 2000
"""First step that counts: the curves of all schedules are one until then."""

TIE = 0.05
"""Errors of three curves that differ by less than this share do not differ."""

FROM_WSD = {"L0": 2.7119, "A": 1.0841, "alpha": 0.8422, "C": 0.6365}
FROM_COSINE = {"L0": 2.7987, "A": 1.1885, "alpha": 1.1366, "C": 0.1917}


@dataclass(frozen=True)
class Error:
    """Mean relative error of a curve, and predicted minus measured at its end (nats)."""

    mean: float
    last: float


def run() -> Outcome:
    """Fit one curve, predict the others: as recomputed before (least squares, memory held), then by our defaults."""
    points = fs.curve_points(fs.dataset("tissue"), from_step=BEGIN)
    runs = {name: points.where(points.labels["run"] == name) for name in ("811", "wsd", "cosine")}
    law = fs.law("annealing")
    wsd = fs.fit(runs["wsd"], law.fix(tau=200.0), loss="log-squared")
    cosine = fs.fit(runs["cosine"], law.fix(tau=1000.0), loss="log-squared")
    free, free_cosine, power = (
        fs.fit(runs["wsd"], law),
        fs.fit(runs["cosine"], law),
        fs.fit(runs["wsd"], "multi-power"),
    )
    fits = {
        "WSD, tau 200": wsd, "WSD, tau fitted": free, "WSD, multi-power": power, "cosine, tau 1000": cosine,
        "cosine, tau fitted": free_cosine,
    }  # fmt: skip
    errors = {who: {name: error(fit, one) for name, one in runs.items()} for who, fit in fits.items()}
    one, other = errors["WSD, tau 200"], errors["cosine, tau 1000"]
    claims: list[Claim] = [
        *(reproduced(f"fit on WSD: {name}", ours=wsd.params[name], theirs=value, within=1e-3, source=OWN)
          for name, value in FROM_WSD.items()),
        reproduced("fit on WSD: relative error on 811", ours=one["811"].mean, theirs=0.00219, within=1e-4,
                   source=OWN),
        reproduced("fit on WSD: error at the end of 811", ours=one["811"].last, theirs=0.001, within=1e-3,
                   source=OWN),
        reproduced("fit on WSD: relative error on the cosine", ours=one["cosine"].mean, theirs=0.00308, within=1e-4,
                   source=OWN),
        reproduced("fit on WSD: error at the end of the cosine", ours=one["cosine"].last, theirs=0.026, within=1e-3,
                   source=OWN),
        *(reproduced(f"fit on the cosine: {name}", ours=cosine.params[name], theirs=value, within=1e-3, source=OWN)
          for name, value in FROM_COSINE.items()),
        reproduced("fit on the cosine: relative error on 811", ours=other["811"].mean, theirs=0.0075, within=1e-4,
                   source=OWN),
        reproduced("fit on the cosine: relative error on WSD", ours=other["wsd"].mean, theirs=0.0097, within=1e-4,
                   source=OWN),
        better("error on 811 of the law from WSD, against the law from the cosine alone",
               ours=one["811"].mean, theirs=other["811"].mean, source="the same law fitted to the cosine"),
        better("memory fitted from the cosine: error on WSD", ours=errors["cosine, tau fitted"]["wsd"].mean,
               theirs=other["wsd"].mean, tie=TIE, source="memory held at 1,000 steps"),
        better("memory fitted from WSD: error on the cosine", ours=errors["WSD, tau fitted"]["cosine"].mean,
               theirs=one["cosine"].mean, tie=TIE, source="memory held at 200 steps"),
        better("multi-power law from WSD: error on the cosine", ours=errors["WSD, multi-power"]["cosine"].mean,
               theirs=one["cosine"].mean, tie=TIE, source="annealing law, memory held at 200 steps"),
        measured("memory fitted from WSD, in steps", free.params["tau"]),
        measured("C tau of fits on WSD with tau held, tau 2,000 over tau 200", _trade(runs["wsd"]),
                 note="1: the curve knows the product, what a drop gives in the end; 10: C does not depend on tau."),
    ]  # fmt: skip
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "From the curve with a cool-down alone the annealing law predicts the one with two drops to "
            f"{100 * one['811'].mean:.1f} % and the cosine to {100 * one['cosine'].mean:.1f} %, "
            f"{one['cosine'].last:+.3f} nats off at its end. From the cosine alone its error on the two drops is "
            f"{other['811'].mean / one['811'].mean:.1f} times that: there one smooth curve must tell the fall by "
            "training from the fall by annealing."
        ),
        charts={"curves": _drawn(runs, wsd)},
        tables=(
            Table(
                "Relative error along each curve (%), and predicted minus measured at its end (nats)",
                ("fitted on", "811", "WSD", "cosine"),
                tuple(
                    (who, *(f"{100 * e.mean:.2f} ({e.last:+.3f})" for e in found.values()))
                    for who, found in errors.items()
                ),
                "tau held: least squares of log loss, as before; tau fitted and multi-power: log-huber.",
            ),
        ),
    )


def error(fit: fs.Fit, points: fs.Runs) -> Error:
    """How far a law is off along one curve."""
    off = fit.predict(points).estimate - points["loss"]
    return Error(float(np.mean(np.abs(off / points["loss"]))), float(off[np.argmax(points["step"])]))


def _trade(points: fs.Runs) -> float:
    long, short = (fs.fit(points, fs.law("annealing").fix(tau=tau), loss="log-squared") for tau in (2000.0, 200.0))
    return float(2000.0 * long.params["C"] / (200.0 * short.params["C"]))


def _drawn(runs: dict[str, fs.Runs], fit: fs.Fit) -> object:
    series = []
    for name, points in runs.items():
        late = points.where(points["step"] > 6000)
        series += [
            Series(name, late["step"], late["loss"]),
            Series(name, late["step"], fit.predict(late).estimate, "line"),
        ]
    return xy(
        "Three schedules of a 100M GPT",
        ["points: losses averaged over 201 steps; lines: the annealing law fitted to wsd alone"],
        series,
        x="step",
        kind_x="count",
        y="training loss (nats per token)",
    )


annealing_curves = Study(
    id="annealing-curves",
    title="One training curve, and the schedules that were not fitted",
    question="Does the annealing law, fitted to one learning-rate schedule, predict the loss under two others?",
    papers=("tissue2024", "luo2025"),
    datasets=("tissue_annealing_curves",),
    laws=("annealing", "multi-power"),
    run=run,
)

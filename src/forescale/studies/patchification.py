# SPDX-License-Identifier: Apache-2.0
"""Patchification: does the error of a vision model fall to a limit as patches shrink to one pixel?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, better, reproduced

SOURCE = "an earlier fit of the paper's Table 1 (the paper prints no exponents)"
FITS = {"DeiT-Base@64": (18.56, 0.172, 1.57), "Adventurer-Base@224": (15.39, 0.037, 1.44)}
HIDDEN = {
    "DeiT-Base@64": (18.77, 15.19),
    "Adventurer-Base@64": (19.14, 15.71),
    "Adventurer-Base@128": (17.89, 16.57),
    "Adventurer-Base@224": (15.46, 14.72),
}
"""Errors at one pixel, in percent, predicted from 16 to 2 pixels: with a limit, and by a pure power."""

WITHOUT = fs.law("patchification").fix(E=0.0)


def run() -> Outcome:
    """Fit each sequence by least squares; hide patches of one pixel and predict them with and without a limit."""
    runs = fs.dataset("patchification")
    claims: list[Claim] = []
    hidden: list[Claim] = []
    rows = []
    series = []
    for name in sorted(set(runs.labels["sequence"].tolist())):
        one = runs.where(runs.labels["sequence"] == name)
        fit = fs.fit(one, "patchification", loss="squared")
        if name in FITS:
            for what, ours, theirs, within in zip(
                ("E, %", "A, %", "beta"),
                (100 * fit.params["E"], 100 * fit.params["A"], fit.params["beta"]),
                FITS[name],
                (0.005, 0.0005, 0.005),
            ):
                claims.append(reproduced(f"{name}: {what}", ours=ours, theirs=theirs, within=within, source=SOURCE))
        fine = one["patch"] == 1
        if fine.any():
            hidden += held_out(name, one.where(~fine), one.where(fine))
        low, high = fit.interval("E")
        between = f"{100 * low:.2f} to {100 * high:.2f}" if np.isfinite(low) else "four rows do not say"
        shown = (name, f"{100 * fit.params['E']:.2f}", between)
        rows.append((*shown, f"{100 * fit.params['A']:.3f}", f"{fit.params['beta']:.2f}"))
        sizes = np.geomspace(1.0, 16.0, 60)
        series += [
            Series(name, one["patch"], 100 * one["loss"]),
            Series(name, sizes, 100 * fit.predict(patch=sizes).estimate, "line"),
        ]
    return Outcome(
        claims=(*hidden, *claims),
        sentence=(
            "Error falls to a limit as patches shrink: from patches of 16 to 2 pixels the error at one pixel is "
            "predicted to 0.3 points, where a straight line in log-log misses by 0.7 to 3.5. The limits differ more "
            "by resolution than by model."
        ),
        charts={
            "patches": xy(
                "Error against patch size, with the fitted limit",
                ["each sequence: one model at one image size; lines are E + A p^beta"],
                series,
                x="patch size (pixels)",
                y="ImageNet top-1 error (%)",
                log_x=True,
            )
        },
        tables=(
            Table(
                "Limits",
                ("sequence", "E, %", "90 % interval", "A, %", "beta"),
                tuple(rows),
                "Least squares on the error.",
            ),
        ),
    )


def held_out(name: str, coarse: fs.Runs, fine: fs.Runs) -> list[Claim]:
    """The error at one pixel from coarser patches, against the table and against a pure power."""
    limit = 100 * float(fs.fit(coarse, "patchification", loss="squared").predict(fine).estimate[0])
    power = 100 * float(fs.fit(coarse, WITHOUT, loss="log-squared").predict(fine).estimate[0])
    theirs, line = HIDDEN[name]
    true = 100 * float(fine["loss"][0])
    return [
        reproduced(f"{name}: error at one pixel, hidden, %", ours=limit, theirs=theirs, within=0.01, source=SOURCE),
        reproduced(f"{name}: the same by a pure power, %", ours=power, theirs=line, within=0.01, source=SOURCE),
        better(
            f"{name}: distance from the measured {true:.2f} %, points",
            ours=abs(limit - true),
            theirs=abs(power - true),
            source="the pure power",
        ),
    ]


patchification = Study(
    id="patchification",
    title="Image patches down to one pixel",
    question="Does the error of a vision model fall to a limit as its patches shrink to one pixel?",
    papers=("wang2025",),
    datasets=("patchification",),
    laws=("patchification",),
    run=run,
)

# SPDX-License-Identifier: Apache-2.0
"""Patchification: does the error of a vision model fall to a limit as patches shrink to one pixel?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import span
from forescale.studies._study import Claim, Outcome, Study, Table, better, holds

PAPER = "Wang et al. 2025: finer patches go on helping, down to one pixel"
WITHOUT = fs.law("patchification").fix(E=0.0)


def run() -> Outcome:
    """Fit each sequence by least squares; hide patches of one pixel and predict them with and without a limit."""
    runs = fs.dataset("patchification")
    hidden: list[Claim] = []
    steps: list[float] = []
    limits = []
    rows = []
    series = []
    for name in sorted(set(runs.labels["sequence"].tolist())):
        one = runs.where(runs.labels["sequence"] == name)
        fit = fs.fit(one, "patchification", loss="squared")
        fine = one["patch"] == 1
        if fine.any():
            hidden.append(held_out(name, one.where(~fine), one.where(fine)))
        steps += np.diff(100 * one["loss"][np.argsort(one["patch"])]).tolist()
        limits.append(100 * fit.params["E"])
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
        claims=(
            holds(
                f"least fall of the error from one patch size to the next finer one, of {len(steps)}, points",
                ours=min(steps),
                least=0.0,
                source=PAPER,
            ),
            *hidden,
        ),
        sentence=(
            f"From one patch size to the next finer one the error falls by {span(steps, '.1f')} points. From patches "
            f"of 16 to 2 pixels the error at one pixel is predicted to {max(c.ours for c in hidden):.1f} points with "
            f"a limit, where a straight line in log-log misses by {span([float(c.theirs or 0) for c in hidden])}; "
            f"the limits lie at {span(limits)} %."
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
                "Least squares on the error; the paper prints no constants.",
            ),
        ),
    )


def held_out(name: str, coarse: fs.Runs, fine: fs.Runs) -> Claim:
    """The error at one pixel from coarser patches, with a limit and by a pure power."""
    limit = 100 * float(fs.fit(coarse, "patchification", loss="squared").predict(fine).estimate[0])
    power = 100 * float(fs.fit(coarse, WITHOUT, loss="log-squared").predict(fine).estimate[0])
    true = 100 * float(fine["loss"][0])
    return better(
        f"{name}: error at one pixel, hidden, predicted with a limit: points off the measured {true:.2f} %",
        ours=abs(limit - true),
        theirs=abs(power - true),
        source="the same by a pure power",
        note=f"{limit:.2f} % with a limit, {power:.2f} % without.",
    )


patchification = Study(
    id="patchification",
    title="Image patches down to one pixel",
    question="Does the error of a vision model fall to a limit as its patches shrink to one pixel?",
    papers=("wang2025",),
    datasets=("patchification",),
    laws=("patchification",),
    run=run,
)

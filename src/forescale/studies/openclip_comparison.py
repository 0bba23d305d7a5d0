# SPDX-License-Identifier: Apache-2.0
"""CLIP against MaMMUT: which one wins at what compute, and what do small runs say of large ones?"""

from __future__ import annotations

from typing import Any

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, better, holds, measured, reproduced

README = "Nezhurina et al. 2025, README"
EARLIER = "an earlier fit to the public ImageNet tables (39 models by 11 scales), C up to 1e12 GFLOP"
GIGA = 1e9
LEAST = 1500.0
"""The authors' number of bins is log2 of the largest compute over this, in GFLOP."""

LARGE = 12.8e9
"""Samples of the largest models, which are not in the table."""

STATED = {
    # errors at 1e9, 1e10, 1e11 GFLOP; accuracy of ViT-L-14 at 12.8e9 samples, %; measured
    "clip": ((0.63204, 0.42440, 0.29696), 79.5, 79.2),
    "mammut": ((0.69367, 0.44782, 0.29465), 81.6, 80.34),
}
STATED_CROSSING = 7.5e10
COMPUTE = {"clip": 2.158e12, "mammut": 2.593e12}
CUTS = (2.5e11, 5e10)
"""GFLOP above which runs are hidden: the authors' smaller cut, and a tenth of the largest run here."""


def run() -> Outcome:
    """The authors' protocol on the released table; then hidden large runs, and the crossing with its interval."""
    runs = fs.dataset("openclip-mammut")
    arms = {arm: runs.where(runs.labels["procedure"] == arm) for arm in STATED}
    claims: list[Claim] = []
    series: list[Series] = []
    for arm, scanned in arms.items():
        front = frontier(scanned)
        fit = fs.fit(front, "shifted-power", loss="squared")
        claims += predicted(arm, scanned, fit)
        grid = np.geomspace(front["C"].min(), 3e12 * GIGA, 80)
        series += [
            Series(arm, front["C"] / GIGA, front["loss"]),
            Series(arm, grid / GIGA, fit.predict(C=grid).estimate, "line"),
        ]
    for arm, scanned in arms.items():
        claims += held_out(arm, scanned)
    return Outcome(
        claims=(*crossing(), *claims),
        sentence=(
            "CLIP is better at small compute, MaMMUT above a crossing whose interval holds the published one; "
            "predictions for ViT-L/14 come out within half a point of the full table's. Large runs that were hidden "
            "are predicted better by a curve that starts at random guessing than by the paper's shifted power."
        ),
        charts={
            "frontier": xy(
                "ImageNet error of the best runs per budget",
                ["lines: the shifted power fitted by the authors' protocol, drawn on to ViT-L/14 at 12.8B samples"],
                series,
                x="forward compute (GFLOP)",
                y="zero-shot error",
                log_x=True,
                kind_x="flop",
            )
        },
    )


def frontier(runs: fs.Runs) -> fs.Runs:
    """Least error of each of log2(Cmax / 1500 GFLOP) logarithmic bins, and of those only the running minima."""
    low, high = float(runs["C"].min()), float(runs["C"].max())
    bins = np.digitize(runs["C"], np.geomspace(low, high, int(np.log2(high / (LEAST * GIGA)))))
    kept: list[int] = []
    for k in np.unique(bins):
        inside = np.flatnonzero(bins == k)
        least = int(inside[np.argmin(runs["loss"][inside])])
        if not kept or runs["loss"][least] < runs["loss"][kept[-1]]:
            kept.append(least)
    return runs.where(np.array(sorted(kept)))


def predicted(arm: str, scanned: fs.Runs, fit: fs.Fit) -> list[Claim]:
    """What the fit says at the computes of the stated figures."""
    errors, accuracy, seen = STATED[arm]
    large = scanned.where(scanned.labels["model"] == "ViT-L-14")
    compute = float(np.median(large["C"] / large["D"])) * LARGE / GIGA
    claims = [
        reproduced(
            f"{arm}: forward compute of ViT-L/14 at 12.8B samples, GFLOP",
            ours=compute,
            theirs=COMPUTE[arm],
            within=1e-3,
            relative=True,
            source="model_profile.csv",
        )
    ]
    at = fit.predict(C=np.array([1e9, 1e10, 1e11, compute]) * GIGA).estimate
    claims += [
        reproduced(f"{arm}: error at {c:.0e} GFLOP", ours=float(ours), theirs=theirs, within=0.005, source=EARLIER)
        for c, ours, theirs in zip((1e9, 1e10, 1e11), at, errors)
    ]
    said = 100 * (1 - float(at[-1]))
    claims += [
        reproduced(
            f"{arm}: accuracy of ViT-L/14 at 12.8B samples, %", ours=said, theirs=accuracy, within=0.3, source=EARLIER
        ),
        measured(
            f"{arm}: the same, above what was measured, points",
            said - seen,
            note=f"{seen} % measured ({README}); 12.8B samples are nine passes over 1.4B pairs, 3B are two.",
        ),
    ]
    if arm == "mammut":
        claims.append(
            better(
                "mammut: distance of that prediction from the measured 80.34 %, points",
                ours=abs(said - seen),
                theirs=82.0 - seen,
                source=f"{README}: 82.0 % predicted",
                note="Theirs was made from all their tables, ours from runs of up to 3.1B samples.",
            )
        )
    return claims


def held_out(arm: str, scanned: fs.Runs) -> list[Claim]:
    """Best runs above a cut, predicted from those below: by the paper's form and by curves from random guessing."""
    found = []
    for cut in CUTS:
        rest = frontier(scanned.where(scanned["C"] > cut * GIGA))
        train = frontier(scanned.where(scanned["C"] <= cut * GIGA))
        error = {
            law: rms(fs.fit(train, law, loss=loss).predict(rest).estimate - rest["loss"])
            for law, loss in (("shifted-power", "squared"), ("power-floor", "squared"), ("m4(C)", None))
        }
        where = f"{arm}: error on the {len(rest)} best runs above {cut:.1e} GFLOP, hidden"
        found += [
            better(where, ours=error["m4(C)"], theirs=error["shifted-power"], source="shifted-power, least squares"),
            holds(
                f"{where}, by shifted-power",
                ours=error["shifted-power"],
                most=error["power-floor"],
                source="power-floor, without the shift",
            ),
        ]
    return found


def crossing() -> list[Claim]:
    """Where the two arms cross, on ImageNet and on ADE20K."""
    found: list[Claim] = []
    for name, words in (("openclip-mammut", "ImageNet"), ("openclip-mammut-ade20k", "ADE20K segmentation")):
        compared: Any = fs.compare(name, by="procedure", law="shifted-power", pareto=True, reference="clip")
        cross = compared.crossover
        if cross is None:
            found.append(measured(f"crossings of CLIP and MaMMUT on {words}", 0.0))
            continue
        low, x, high = (value / GIGA for value in (cross.lower, cross.x, cross.upper))
        if words == "ImageNet":
            found.append(
                holds(
                    "upper end of the 90 % interval of the crossing over the stated 7.5e10 GFLOP",
                    ours=high / STATED_CROSSING,
                    least=1.0,
                    source=EARLIER,
                )
            )
            found.append(
                holds("lower end over the same", ours=low / STATED_CROSSING, most=1.0, source=EARLIER),
            )
        note = f"90 %: {low:.2g} to {high:.2g}; MaMMUT is better above."
        found.append(measured(f"crossing of CLIP and MaMMUT on {words}, GFLOP", x, note=note))
    return found


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


openclip_comparison = Study(
    id="openclip_comparison",
    title="CLIP against MaMMUT from small to large compute",
    question="Which of two ways to train a language-vision model wins, and at what compute?",
    papers=("nezhurina2025", "alabdulmohsin2022"),
    datasets=("openclip-mammut", "openclip-mammut-ade20k"),
    laws=("shifted-power", "power-floor", "m4"),
    run=run,
)

# SPDX-License-Identifier: Apache-2.0
"""OpenCLIP: how fast do zero-shot errors fall with compute, and do they on every training set alike?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, tally
from forescale.studies._study import Claim, Outcome, Study, reproduced

PAPER = "Cherti et al. 2023, figure 1"
NOTEBOOK = "Cherti et al. 2023, output of their notebook"
GMAC = 2e9
"""FLOP in 1e9 multiply-adds."""

EXPONENTS = {
    "openclip-scaling": ("ImageNet error", {"LAION": 0.11, "WIT-400M": 0.16}),
    "openclip-scaling-coco": ("MS-COCO retrieval error", {"LAION": 0.08, "WIT-400M": 0.05}),
}
LONG = {
    # model -> its GMAC at 34B samples, accuracy predicted by theirs and measured, %
    "ViT-L/14": (2.80736e12, 76.126, 75.202),
    "ViT-B/32": (2.5696793e11, 68.556, 66.474),
}
LONGEST = 1.5e10


def run() -> Outcome:
    """Power laws through the best models per compute; then the models of 34B samples from those of fewer."""
    claims: list[Claim] = []
    found: list[float] = []
    for name, (what, stated) in EXPONENTS.items():
        for data, runs in sets(fs.dataset(name)).items():
            fit = fs.fit(best(runs), "power", loss="log-squared")
            found.append(fit.params["alpha"])
            claims.append(
                reproduced(
                    f"exponent of {what} in compute, {data}",
                    ours=fit.params["alpha"],
                    theirs=stated[data],
                    within=0.005,
                    source=PAPER,
                    note=f"{len(best(runs))} of {len(runs)} models are on the frontier; printed to two decimals.",
                )
            )
    laion = sets(fs.dataset("openclip-scaling"))["LAION"]
    short = best(laion.where(laion["D"] < LONGEST))
    line, floored = fs.fit(short, "power", loss="log-squared"), fs.fit(short, "power-floor", loss="log-squared")
    at = np.array([gmac for gmac, _, _ in LONG.values()]) * GMAC
    straight, bent = (100 * (1 - fit.predict(C=at).estimate) for fit in (line, floored))
    true = np.array([accuracy for _, _, accuracy in LONG.values()])
    for i, (model, (_, theirs, _)) in enumerate(LONG.items()):
        claims.append(
            reproduced(
                f"accuracy of {model} at 34B samples from runs of up to 13B, by a power, %",
                ours=float(straight[i]),
                theirs=theirs,
                within=0.05,
                source=NOTEBOOK,
            )
        )
    last = list(LONG)[-1]
    claims.append(
        fewer_errors(
            "distance from the two measured accuracies, points: with a floor, against their power",
            ours=np.abs(bent - true),
            theirs=np.array([abs(theirs - accuracy) for _, theirs, accuracy in LONG.values()]),
            source=NOTEBOOK,
            note=f"{last} lies {straight[-1] - true[-1]:.1f} points below the power: a law of compute knows "
            "the frontier, not how far off a model is.",
        )
    )
    off = float(np.abs(straight - true).mean())
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"Of the exponents {tally(claims[: len(found)])} come back: for classification {found[0]:.2f} on LAION "
            f"against {found[1]:.2f} on WIT-400M, for retrieval {found[2]:.2f} against {found[3]:.2f}. Of the "
            f"predictions of the longest runs {tally(claims[len(found) : -1])} come back; with a floor they are "
            f"{claims[-1].ours:.1f} points off what was measured, without {off:.1f}, but two models say little."
        ),
        charts={"frontier": drawn(sets(fs.dataset("openclip-scaling")))},
    )


def sets(runs: fs.Runs) -> dict[str, fs.Runs]:
    """LAION in all its sizes, and OpenAI's own data."""
    own = runs.labels["dataset"] == "CLIP-WIT"
    return {"LAION": runs.where(~own), "WIT-400M": runs.where(own)}


def best(runs: fs.Runs) -> fs.Runs:
    """The models that no model of less compute beats."""
    order = np.argsort(runs["C"], kind="stable")
    least = np.minimum.accumulate(runs["loss"][order])
    return runs.where(np.sort(order[runs["loss"][order] == least]))


def drawn(parts: dict[str, fs.Runs]) -> dict[str, object]:
    """Errors of all models, and the power through the best."""
    series = []
    for data, runs in parts.items():
        grid = np.geomspace(runs["C"].min(), runs["C"].max(), 40)
        line = fs.fit(best(runs), "power", loss="log-squared").predict(C=grid).estimate
        series += [Series(data, runs["C"], runs["loss"]), Series(data, grid, line, "line")]
    return xy(
        "ImageNet error against forward compute",
        ["all models; lines go through those that no model of less compute beats"],
        series,
        x="forward compute (FLOP)",
        y="zero-shot error",
        log_x=True,
        log_y=True,
        kind_x="flop",
    )


openclip_scaling = Study(
    id="openclip-scaling",
    title="Zero-shot errors of CLIP against compute",
    question="Do the exponents of OpenCLIP's scaling laws and their predictions come back?",
    papers=("cherti2022",),
    datasets=("openclip-scaling", "openclip-scaling-coco"),
    laws=("power", "power-floor"),
    run=run,
)

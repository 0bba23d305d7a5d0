# SPDX-License-Identifier: Apache-2.0
"""Optimal mixtures: does one law of size, tokens and mixture, fitted to small models, hold for larger ones?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, better, holds

Array = NDArray[np.float64]

SOURCE = "Shukor et al. 2025: 1 to 2 %, as noted beside the data"
SMALL = 7e8
"""Sizes up to here are fitted (122M, 310M, 680M); 937M, 1.2B and 2.7B are predicted."""

KINDS = ("additive", "joint")
DRAWN = "c4"


def run() -> Outcome:
    """Fit every validation domain on the three small sizes; predict all rows of the three large ones."""
    every = fs.dataset("dmsl-mixture-llm")
    weights = [name for name in every.columns if name.startswith("weight_")]
    domains = [name.removeprefix("loss_") for name in every.columns if name.startswith("loss_")]
    errors: dict[tuple[str, str], Array] = {}
    sizes: dict[str, Array] = {}
    drawn: list[Series] = []
    for domain in domains:
        runs = fs.dataset("dmsl-mixture-llm", eval=domain, on_bad="drop")
        small, large = runs.where(runs["N"] <= SMALL), runs.where(runs["N"] > SMALL)
        sizes[domain] = large["N"]
        for kind in (*KINDS, "chinchilla"):
            law = "chinchilla" if kind == "chinchilla" else f"mixture-{kind}(N, D, {', '.join(weights)})"
            fit = fs.fit(small, law, polish=6)
            found = np.asarray(fit.predict(large).estimate)
            errors[kind, domain] = found / large["loss"] - 1.0
            if domain == DRAWN:
                label = {"additive": "additive law", "joint": "joint law", "chinchilla": "no mixture"}[kind]
                drawn.append(Series(label, found, large["loss"]))
    mean = {
        kind: float(np.mean([np.abs(errors[kind, d]).mean() for d in domains])) for kind in (*KINDS, "chinchilla")
    }
    largest = max(float(n.max()) for n in sizes.values())
    at_largest = {kind: [errors[kind, d][n == largest] for d, n in sizes.items()] for kind in KINDS}
    last = {kind: float(np.mean([np.abs(e).mean() for e in parts])) for kind, parts in at_largest.items()}
    below = {kind: float(np.mean(np.concatenate(parts) > 0)) for kind, parts in at_largest.items()}
    return Outcome(
        claims=tuple(_claims(mean, last, below)),
        sentence=(
            f"Fitted up to 680M parameters, the joint law predicts 937M to 2.7B on any mixture with a mean error of "
            f"{100 * mean['joint']:.1f} %, the additive one with {100 * mean['additive']:.1f} %; at 2.7B alone the "
            f"errors are {100 * last['joint']:.1f} and {100 * last['additive']:.1f} %."
        ),
        charts={
            "larger": xy(
                "Loss on C4 of 937M to 2.7B models, predicted from up to 680M",
                ["each dot is a checkpoint on some mixture"],
                drawn[::-1],
                x="predicted (nats per token)",
                y="measured (nats per token)",
            )
        },
        tables=(_table(domains, errors, sizes),),
    )


def _claims(mean: dict[str, float], last: dict[str, float], below: dict[str, float]) -> list[Claim]:
    return [
        *(
            holds(f"{kind} law: mean relative error on larger models", ours=mean[kind], most=0.02, source=SOURCE)
            for kind in KINDS
        ),
        better(
            "larger models: joint law against additive law", ours=mean["joint"], theirs=mean["additive"],
            source="the additive law, same rows",
        ),
        better(
            "larger models: joint law against a law without the mixture", ours=mean["joint"],
            theirs=mean["chinchilla"], source="chinchilla, same rows",
        ),
        *(
            holds(
                f"{kind} law: mean relative error on the largest models, 2.7B", ours=last[kind], most=0.02,
                source=SOURCE,
                note=f"Four mixtures, one of them trained at no other size. {100 * below[kind]:.0f} % of the "
                "measured losses lie below the law.",
            )
            for kind in KINDS
        ),
    ]  # fmt: skip


def _table(domains: list[str], errors: dict[tuple[str, str], Array], sizes: dict[str, Array]) -> Table:
    rows = []
    for domain in domains:
        cells = [domain]
        for kind in KINDS:
            for size in np.unique(sizes[domain]):
                cells.append(f"{100 * np.abs(errors[kind, domain][sizes[domain] == size]).mean():.2f}")
        rows.append(tuple(cells))
    head = ("domain", *(f"{kind}, {size}" for kind in KINDS for size in ("937M", "1.2B", "2.7B")))
    return Table("Mean relative error in percent, by validation domain and size", head, tuple(rows))


joint_mixture = Study(
    id="joint-mixture",
    title="Size, tokens and mixture in one law",
    question="Does a law of size, tokens and mixture, fitted to models of up to 680M, hold for up to 2.7B?",
    papers=("shukor2025",),
    datasets=("dmsl-mixture-llm",),
    laws=("mixture-additive", "mixture-joint", "chinchilla"),
    run=run,
    slow=True,
)

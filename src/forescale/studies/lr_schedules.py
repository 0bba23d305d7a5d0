# SPDX-License-Identifier: Apache-2.0
"""Cool-downs against cosines: final losses of 186 runs, and what the annealing law says of cool-downs from three."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.runs.curves import schedules
from forescale.studies._common import span
from forescale.studies._study import Claim, Outcome, Study, Table, better, holds, measured

PAPER = "Hägele et al. 2024; Schaipp et al. 2025"
SWEPT = 123587328
"""Parameters of the model whose cool-downs were varied."""

LENGTHS = (15_000, 25_000, 35_000, 50_000)
PEAK = 1e-3
"""Peak rate at which the law is tried."""

TIE = 0.001
"""Final losses that differ by less than this share (0.003 nats) do not differ."""


def run() -> Outcome:
    """Pairs of a cool-down and a cosine; the best of each schedule at 124M; the share of the cool-down."""
    runs = fs.dataset("lr-schedules")
    swept = runs.where((np.abs(runs["N"] - SWEPT) < 1) & (runs["lr_peak"] < 4e-3))
    gaps = paired(runs)
    pairs = _best_of(swept)
    claims: list[Claim] = [
        holds("20 % cool-down minus the cosine of the same size, data and length, mean of the pairs (nats)",
              ours=float(gaps.mean()), most=0.0, source=PAPER,
              note=f"{gaps.size} pairs, {int((gaps < 0).sum())} of them negative, standard deviation "
              f"{gaps.std(ddof=1):.4f}; the peak rate of the cool-downs is half that of the cosines, which end at a "
              "tenth of it."),
        *pairs,
    ]  # fmt: skip
    table = shares(swept)
    best = {steps: min(found, key=found.__getitem__) for steps, found in table.items()}
    taken = span([100 * share for share in best.values()], ".0f")
    claims += [
        measured("share of the steps that the best linear cool-down takes at 124M", max(best.values()),
                 note=f"of 10, 20, 40, 60, 80 and 90 %: {taken} % over the lengths; peak rate chosen for each"),
        measured("what 20 % lose against it, mean of the lengths (nats)",
                 float(np.mean([found[0.2] - min(found.values()) for found in table.values()]))),
    ]  # fmt: skip
    said, drawn = _law(swept)
    zero = {25_000: pairs[1], 50_000: pairs[3]}
    fifth = [claim.ours - float(claim.theirs or 0.0) for claim in zero.values()]
    longer = [min(table[steps].values()) - float(claim.theirs or 0.0) for steps, claim in zero.items()]
    return Outcome(
        claims=(*claims, *said),
        sentence=(
            f"A cool-down over a fifth of the steps ends {gaps.mean():+.4f} nats from the cosine that ends at a "
            f"tenth of its peak, on the mean of {gaps.size} pairs. At 124M and 25,000 steps it is {fifth[0]:+.4f} "
            f"from a cosine to zero, at 50,000 {fifth[1]:+.4f}; the best linear cool-downs, over {taken} % of the "
            f"steps, are {longer[0]:+.4f} and {longer[1]:+.4f} from it. The annealing law from three curves ranks "
            f"the other schedules with a correlation of {said[0].ours:.2f}, and its choice of the share costs "
            f"{said[2].ours:.4f} nats at most."
        ),
        charts={"cooldown": drawn},
        tables=(
            Table(
                "Final loss of the 124M model by share of a linear cool-down, best peak rate",
                ("steps", *(f"{100 * share:.0f} %" for share in next(iter(table.values())))),
                tuple((f"{steps:,}", *(f"{loss:.4f}" for loss in found.values())) for steps, found in table.items()),
            ),
        ),
    )


def paired(runs: fs.Runs) -> NDArray[np.float64]:
    """Final loss of each 20 % cool-down that has a cosine of its size, data and length, minus that of the cosine."""
    label = runs.labels
    cool = np.flatnonzero(np.char.startswith(label["run"], "ann0.2"))
    cosine = (label["schedule"] == "cosine") & ~np.char.startswith(label["run"], "cos-")
    gaps = []
    for i in cool:
        same = cosine & (label["dataset"] == label["dataset"][i])
        same &= (runs["D"] == runs["D"][i]) & (runs["N"] == runs["N"][i])
        gaps += (runs["loss"][i] - runs["loss"][same]).tolist()
    return np.array(gaps)


def lowest(runs: fs.Runs, steps: int, **wanted: str | float) -> float:
    """Least final loss over peak rates."""
    chosen = runs["steps"] == steps
    for name, value in wanted.items():
        chosen &= (runs.labels[name] == value) if isinstance(value, str) else np.isclose(runs[name], value, atol=0.02)
    return float(runs["loss"][chosen].min())


def _best_of(swept: fs.Runs) -> list[Claim]:
    claims = []
    for steps in (25_000, 50_000):
        cool = lowest(swept, steps, schedule="cooldown", shape="1-sqrt", decay=0.2)
        for words, end in (("a tenth", 0.1), ("zero", 0.0)):
            claims.append(
                better(
                    f"124M, {steps:,} steps, best peak rates: 20 % cool-down (1-sqrt) and cosine to {words}",
                    ours=cool, theirs=lowest(swept, steps, schedule="cosine", end=end), tie=TIE, source=PAPER,
                    note="ours is the cool-down",
                )
            )  # fmt: skip
    return claims


def shares(swept: fs.Runs) -> dict[int, dict[float, float]]:
    """Least final loss by length and by share of a linear cool-down."""
    return {
        steps: {
            share: lowest(swept, steps, schedule="cooldown", shape="linear", decay=share)
            for share in (0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
        }
        for steps in LENGTHS
    }


def _law(swept: fs.Runs) -> tuple[list[Claim], object]:
    """The annealing law from a constant rate, a cosine and a 20 % cool-down, all at one peak rate."""
    one = swept.where((swept["lr_peak"] == PEAK) & ~np.char.startswith(swept.labels["run"], "sl"))
    label, short = one.labels, one["steps"] == 25_000
    fitted = label["schedule"] == "constant"
    fitted |= short & (label["schedule"] == "cosine") & (one["end"] < 0.05)
    fitted |= short & (label["shape"] == "linear") & (one["decay"] == 0.2)
    fit = fs.fit(fs.curve_points(one.where(fitted), from_step=2000), "annealing")
    # losses along training are those of another, smaller sample: the fitted runs say by how much it is easier
    ends = [float(c.loss[np.isfinite(c.loss)][-1]) for c in one.where(fitted & short).curves.values()]
    easier = float(np.mean(one["loss"][fitted & short] - ends))
    rest = one.where(~fitted)
    known = schedules(rest)
    final = np.array([float(fit.predict(step=len(known[r]), lr=known[r]).estimate[0]) for r in rest.labels["run"]])
    final += easier
    linear = (rest.labels["schedule"] == "cooldown") & (rest.labels["shape"] == "linear")
    cost, series = [], []
    for steps in LENGTHS:
        at = linear & (rest["steps"] == steps)
        cost.append(float(rest["loss"][at][np.argmin(final[at])] - rest["loss"][at].min()))
        series += [
            Series(f"{steps:,} steps", rest["decay"][at], rest["loss"][at]),
            Series(f"{steps:,} steps", rest["decay"][at], final[at], "line"),
        ]
    claims = [
        measured(f"annealing law from three runs: rank correlation with {len(rest)} other final losses",
                 float(np.corrcoef(_ranks(final), _ranks(rest["loss"]))[0, 1])),
        measured("the same: mean relative error", float(np.mean(np.abs(final / rest["loss"] - 1)))),
        measured("the same: loss given away by its choice of the share, worst length (nats)", max(cost)),
    ]  # fmt: skip
    drawn = xy(
        "Final loss by share of a linear cool-down, 124M, peak rate 1e-3",
        ["points: measured; lines: the annealing law from a constant rate, a cosine and one cool-down"],
        series,
        x="share of the steps that cool down",
        y="final loss (nats per token)",
    )
    return claims, drawn


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.argsort(np.argsort(values)).astype(np.float64)


lr_schedules = Study(
    id="lr-schedules",
    title="Cool-downs against cosines",
    question="Does a constant rate with a short cool-down reach the loss of a cosine, and which share is best?",
    papers=("hagele2024", "schaipp2025", "tissue2024"),
    datasets=("epfl_lr_schedules",),
    laws=("annealing",),
    run=run,
)

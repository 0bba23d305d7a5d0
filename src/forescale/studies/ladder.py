# SPDX-License-Identifier: Apache-2.0
"""OLMo's model ladder (Bhagia et al. 2024): task accuracies of 7B and 13B models from models up to 1.3B."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured

Array = NDArray[np.float64]

SOURCE = "Bhagia et al. 2024: their released code on the released data, to four digits"
PREDICTED = {
    # task: (words, accuracy of 7B at 4T tokens, of 13B at 5T)
    "mmlu": ("MMLU", 0.4838, 0.5127),
    "hellaswag": ("HellaSwag", 0.8252, 0.8530),
    "arc_challenge": ("ARC-Challenge", 0.5150, 0.5267),
    "arc_easy": ("ARC-Easy", 0.7659, 0.7724),
    "piqa": ("PIQA", 0.8122, 0.8208),
    "csqa": ("CommonsenseQA", 0.7571, 0.7761),
    "socialiqa": ("SocialIQA", 0.5874, 0.5995),
    "openbookqa": ("OpenBookQA", 0.4417, 0.4486),
}
TARGETS = {"7B, 4T tokens": (6887575552.0, 3945065873408.0), "13B, 5T tokens": (13202396160.0, 5000088518656.0)}
LARGEST = 2e9
"""Parameters above which a run is hidden: the four runs of 3B."""
BANDED = ("hellaswag", "arc_challenge")
DRAWS = 30


def ends(runs: fs.Runs) -> fs.Runs:
    """The end of each run: loss and accuracy as means of the last five checkpoints."""
    codes, names = runs.group_codes("run")
    rows: dict[str, list[float]] = {name: [] for name in ("N", "D", "loss", "score")}
    for code in range(len(names)):
        some = np.flatnonzero(codes == code)
        some = some[np.argsort(runs["D"][some])]
        rows["N"].append(float(runs["N"][some[-1]]))
        rows["D"].append(float(runs["D"][some[-1]]))
        for name in ("loss", "score"):
            rows[name].append(float(runs[name][some[-5:]].mean()))
    return fs.Runs.from_columns(rows)


def run() -> Outcome:
    """The published predictions; then the runs of 3B, hidden, by the ladder and by one step from N and D."""
    claims: list[Claim] = []
    off: dict[str, list[Array]] = {"ladder": [], "sigmoid": [], "direct": []}
    published: list[float] = []
    predictions: list[tuple[str, ...]] = []
    rows: list[tuple[str, ...]] = []
    series: list[Series] = []
    inside: list[NDArray[np.bool_]] = []
    widths: list[Claim] = []
    for task, (words, *theirs) in PREDICTED.items():
        runs = fs.dataset("olmo-ladder-tasks", task=task)
        small, every = runs.where(runs["N"] < LARGEST), ends(runs)
        large = every.where(every["N"] > LARGEST)
        made = fs.estimate(small, "ladder")
        N, D = (np.array(column) for column in zip(*TARGETS.values()))
        ours = made.predict(N=N, D=D).estimate
        published += np.abs(ours - theirs).tolist()
        at = {"N": large["N"], "D": large["D"]}
        direct = fs.fit(every.where(every["N"] < LARGEST), "accuracy-direct")
        seen = {
            "ladder": made.predict(at).estimate,
            "sigmoid": made.predict(loss=large["loss"]).estimate,
            "direct": direct.predict(at).estimate,
        }
        for name, predicted in seen.items():
            off[name].append(np.abs(predicted / large["score"] - 1))
        both = (f"{a:.4f} ({b:.4f})" for a, b in zip(ours, theirs))
        errors = (f"{100 * off[name][-1].mean():.1f}" for name in ("ladder", "sigmoid", "direct"))
        predictions.append((words, *both))
        rows.append((words, f"{made.numbers['alpha']:.2f}", f"{made.numbers['b']:.3f}", *errors))
        if task in BANDED:
            drawn = made.bootstrap(DRAWS)
            band = drawn.predict(at).prediction
            inside.append((large["score"] >= band.lower) & (large["score"] <= band.upper))
            far = drawn.predict(N=N[-1], D=D[-1]).confidence
            widths.append(
                measured(
                    f"{words}, 13B: width of the 90 % interval of the curve, both steps",
                    float(far.upper[0] - far.lower[0]),
                    note=f"{DRAWS} bootstraps of whole runs",
                )
            )
        if task == "hellaswag":
            series = _drawn(small, large, made)
    mean = {name: 100 * float(np.mean(values)) for name, values in off.items()}
    claims += [
        holds(
            f"largest distance of {len(published)} predicted accuracies of 7B and 13B from the authors' predictions",
            ours=max(published),
            most=5e-4,
            source=SOURCE,
        ),
        fewer_errors(
            "mean relative error on 32 hidden accuracies of 3B models, one step from N and D",
            ours=np.concatenate(off["direct"]),
            theirs=np.concatenate(off["ladder"]),
            names=("one step", "the ladder"),
            source="the ladder on the same 16 runs",
            note="accuracy-direct sees the ends of the runs only, no checkpoints and no losses.",
        ),
        measured("the same with the loss of the 3B models known: step 2 of the ladder alone", mean["sigmoid"] / 100),
        *widths,
        measured(
            f"share of {sum(part.size for part in inside)} hidden accuracies of these {len(inside)} tasks inside the "
            "90 % band of a new run",
            float(np.mean(inside)),
        ),
    ]
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "All sixteen predictions of the authors come back. The released runs stop at 3B; for 13B they report "
            "errors from 0.7 % (MMLU) to 17.5 % (ARC-Challenge). On hidden models of 3B the ladder is "
            f"{mean['ladder']:.1f} % off on average, {mean['sigmoid']:.1f} % if their loss is known, and one step "
            f"straight from N and D {mean['direct']:.1f} %."
        ),
        charts={
            "step-2": xy(
                "HellaSwag: accuracy against the task's loss",
                ["the sigmoid is learned from models up to 1.3B; the ends of the 3B runs lie on it"],
                series,
                x="bits per byte of the right answer",
                y="accuracy",
            )
        },
        tables=(
            Table("Predicted accuracies, the authors' in brackets", ("task", *TARGETS), tuple(predictions)),
            Table(
                "Errors on hidden 3B models, per cent",
                ("task", "alpha of step 1", "b of step 2", "ladder", "step 2, loss known", "one step"),
                tuple(rows),
                "Errors are means of four lengths. An alpha of step 1 near .8 says that 16 runs do not hold it.",
            ),
        ),
    )


def _drawn(small: fs.Runs, large: fs.Runs, made: Any) -> list[Series]:
    loss = np.linspace(min(large["loss"].min(), 0.6), small["loss"].max(), 80)
    curve = made.predict(loss=loss).estimate
    return [
        Series("checkpoints up to 1.3B", small["loss"], small["score"]),
        Series("step 2", loss, curve, "line"),
        Series("ends of 3B", large["loss"], large["score"]),
    ]


ladder_study = Study(
    id="ladder",
    title="A model ladder: tasks of large models from small ones",
    question="Do models up to 1.3B predict the task accuracies of larger ones in two steps?",
    papers=("bhagia2024", "krajewski2025"),
    datasets=("olmo-ladder-tasks",),
    laws=("ladder", "chinchilla", "accuracy-sigmoid", "accuracy-direct"),
    run=run,
)

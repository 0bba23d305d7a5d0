# SPDX-License-Identifier: Apache-2.0
"""U-shapes behind emergence (Wu & Lo 2024): do scores of hard questions fall before they rise, and of easy ones rise
before they fall?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import same_figures
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured, reproduced

Array = NDArray[np.float64]

EARLIER = "an earlier computation of ours from the released scores"
PAPER = "Wu & Lo 2024, abstract"
SCRIPTS = "released scripts"

EMERGENT = {
    # task: (words, log10 of the compute, in zettaFLOP, at which the released scripts set the threshold of emergence)
    "mmlu": ("MMLU", 1.5),
    "arithmetic": ("arithmetic", 1.8),
    "parsinlu_qa_mc": ("Persian questions", 2.3),
    "hindu_knowledge": ("Hindu knowledge", 1.0),
    "analogical_similarity": ("analogies", 2.0),
    "conceptual_combinations": ("concepts", 1.5),
}
OTHERS = {"arc": "ARC", "hellaswag": "HellaSwag", "abstract_narrative_understanding": "narratives"}
"""Tasks that the released scripts file under no emergence."""
LEFT_OUT = (
    "microsoft/phi-1_5",
    "microsoft/phi-2",
    "Qwen/Qwen1.5-0.5B",
    "Qwen/Qwen1.5-1.8B",
    "Qwen/Qwen1.5-4B",
    "stabilityai/stablelm-2-1_6b",
    "meta-llama/Meta-Llama-3-8B",
)
"""Models that the released scripts leave out: small ones trained for long."""
EASIEST, HARDEST = "score_1", "score_10"
ZETTA = 21.0
"""log10 of the unit in which the source counts compute."""
ENOUGH = 10
"""Models on one side of a threshold without which no slope is given."""
SHORT = {"U-shape": "U", "inverted-U": "n", "monotone": "/", "inverse": "\\", "plateau": "-", "undetermined": "?"}


def side(x: Array, y: Array) -> tuple[float, float]:
    """Slope of a line and its t value: one half of the two-lines test."""
    u = x - x.mean()
    slope = float(u @ y / (u @ u))
    left = y - y.mean() - slope * u
    error = math.sqrt(float(left @ left) / (y.size - 2) / float(u @ u))
    return slope, slope / error


def shape(runs: fs.Runs, column: str) -> str:
    """What fs.regimes calls a group of questions: a turn must show on both of its sides."""
    return fs.regimes(runs, "C", column, better="higher").tag


def bent(runs: fs.Runs, column: str) -> str:
    """The weaker reading: "U" or "n" where a parabola scores best (BIC) and its vertex lies among the models."""
    if fs.regimes(runs, "C", column, better="higher").model != "quadratic":
        return ""
    fit = _turning(runs, column)
    if not np.log10(runs["C"].min()) < fit.params["x_0"] < np.log10(runs["C"].max()):
        return ""
    return "U" if fit.params["q"] > 0 else "n"


def run() -> Outcome:
    """Shapes of every group of nine tasks; then MMLU's easiest and hardest group in detail."""
    claims, table, counts = _shapes()
    claims += _mmlu(fs.dataset("u-shaped"))
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"Where a turn must show on both sides, the hardest tenth of questions is U-shaped on {counts[0]} of six "
            f"emergent tasks and the easiest tenth an inverted U below the threshold on {counts[1]}; where it is "
            f"enough that a parabola fits better than a line, on {counts[2]} and {counts[3]}. MMLU's easiest "
            "questions show half of what the paper describes: worse up to the threshold, then better. "
            f"{counts[4]} of 60 groups turn on emergent tasks, and {counts[5]} of 30 on others."
        ),
        charts={"mmlu": _chart(fs.dataset("u-shaped"))},
        tables=(table,),
    )


def _shapes() -> tuple[list[Claim], Table, tuple[int, ...]]:
    rows, hard, easy, bent_hard, bent_easy, below, above = [], [], [], [], [], [], []
    turns = {True: 0, False: 0}
    for task, words in {**{name: words for name, (words, _) in EMERGENT.items()}, **OTHERS}.items():
        runs = fs.dataset("u-shaped", task=task)
        runs = runs.where(~np.isin(runs.labels["model"], LEFT_OUT))
        marks = [SHORT[shape(runs, f"score_{i}")] for i in range(1, 11)]
        turns[task in EMERGENT] += sum(mark in "Un" for mark in marks)
        if task not in EMERGENT:
            rows.append((f"{words} (not emergent)", str(len(runs)), *marks, SHORT[shape(runs, "score")], ""))
            continue
        low = runs["C"] < 10.0 ** (EMERGENT[task][1] + ZETTA)
        early, late = runs.where(low), runs.where(~low)
        first = SHORT[shape(early, EASIEST)]
        rows.append((words, str(len(runs)), *marks, SHORT[shape(runs, "score")], first))
        hard.append(marks[-1] == "U")
        easy.append(first == "n")
        bent_hard.append(bent(runs, HARDEST) == "U")
        bent_easy.append(bent(early, EASIEST) == "n")
        below.append(_per_decade(early))
        if len(late) >= ENOUGH:
            above.append(_per_decade(late))
    most = len(EMERGENT) // 2 + 1
    counts = (sum(hard), sum(easy), sum(bent_hard), sum(bent_easy), turns[True], turns[False])
    bar = f"the bar, most of the six tasks that the {SCRIPTS} call emergent, is ours"
    claims = [
        holds(
            "emergent tasks of six whose hardest tenth of questions is U-shaped (shown on both sides)",
            ours=float(counts[0]),
            least=most,
            source=f"{PAPER}: U-shapes for hard questions; {bar}",
            note=f"A parabola with its vertex among the models fits better than a line on {counts[2]}.",
        ),
        holds(
            "emergent tasks of six whose easiest tenth is an inverted U below the threshold (shown on both sides)",
            ours=float(counts[1]),
            least=most,
            source=f"{PAPER}: inverted U, then steady improvement, for easy questions; {bar}",
            note=f"A parabola with its vertex among the models fits better than a line on {counts[3]}.",
        ),
        measured(
            "groups of 60 that turn on emergent tasks",
            float(turns[True]),
            note=f"{turns[False]} of 30 do on the three tasks that the {SCRIPTS} file under no emergence.",
        ),
        measured(
            "accuracy gained per decade of compute below the threshold, mean of six tasks", float(np.mean(below))
        ),
        measured(
            f"the same above the threshold, mean of {len(above)} tasks",
            float(np.mean(above)),
            note=f"{PAPER}: performance stagnates, then improves sharply; tasks with {ENOUGH} models or more there.",
        ),
    ]
    table = Table(
        "Shapes of ten groups of questions, from the easiest (1) to the hardest (10), and of the whole task",
        ("task", "models", *(str(i) for i in range(1, 11)), "all questions", "1, below the threshold"),
        tuple(rows),
        "U, inverted U (n), rising (/), falling (\\), flat (-), not told by the models (?), by fs.regimes. Groups "
        "were sorted by the scores of models up to the threshold, which are among these.",
    )
    return claims, table, counts


def _per_decade(runs: fs.Runs) -> float:
    return side(np.log10(runs["C"]), runs["accuracy"])[0]


def _mmlu(runs: fs.Runs) -> list[Claim]:
    """All models with known compute, as in the earlier computation."""
    x, y = np.log10(runs["C"]), runs[EASIEST]
    fit, late = (_turning(runs, name) for name in (EASIEST, HARDEST))
    vertex = fit.params["x_0"]
    before = x < vertex
    r = [float(np.corrcoef(x[rows], y[rows])[0, 1]) for rows in (before, ~before)]
    r.append(float(np.corrcoef(x, runs[HARDEST])[0, 1]))
    thirds = [float(part.mean()) for part in np.array_split(y[np.argsort(x, kind="stable")], 3)]
    (down, t_down), (up, t_up) = side(x[before], y[before]), side(x[~before], y[~before])
    line = np.polyfit(x[before], y[before], 1)
    return [
        reproduced(
            "MMLU, easiest group: log10 of the compute at the turn, zettaFLOP",
            ours=vertex - ZETTA,
            theirs=0.87,
            within=0.02,
            source=EARLIER,
            note=_interval(fit, "x_0"),
        ),
        holds(
            "MMLU, easiest group: smaller t value of the two slopes, which have opposite signs",
            ours=min(-t_down, t_up),
            least=1.96,
            source="two-lines test (Simonsohn 2018): both sides significant",
            note=(
                f"{before.sum()} models, slope {down:+.3f}; then {(~before).sum()}, slope {up:+.3f} per decade; "
                "models of a family are taken as independent, and the turn was chosen on the same models."
            ),
        ),
        measured(
            "MMLU, easiest group: mean error after the turn of the line before it",
            float(np.mean(np.polyval(line, x[~before]) - y[~before])),
            note="Nothing before the turn announces it.",
        ),
        same_figures(
            "figures of {n} of MMLU",
            [
                (fit.params["q"], "0.0917"),
                *zip(r, ("-0.72", "0.76", "0.82")),
                *zip(thirds, ("-0.427", "-0.509", "-0.370")),
                (late.params["x_0"] - ZETTA, "-3.74"),
            ],
            source=EARLIER,
            note=(
                "Easiest group: curvature, correlations with log compute before and after the turn, means of three "
                "thirds of the models. Hardest group: correlation, and a vertex far outside the data: no turn."
            ),
        ),
    ]


def _turning(runs: fs.Runs, column: str) -> fs.Fit:
    return fs.fit(fs.Runs.from_columns({"C": runs["C"], "score": runs[column]}), "turning")


def _interval(fit: fs.Fit, name: str) -> str:
    low, high = fit.interval(name)
    shift = ZETTA if name == "x_0" else 0.0
    return f"90 %: {low - shift:.3f} to {high - shift:.3f}."


def _chart(runs: fs.Runs) -> object:
    C = np.geomspace(runs["C"].min(), runs["C"].max(), 80)
    series = []
    for name, words in ((EASIEST, "easiest group"), (HARDEST, "hardest group")):
        fit = _turning(runs, name)
        series += [Series(words, runs["C"], runs[name]), Series(words, C, fit.predict(C=C).estimate, "line")]
    return xy(
        "MMLU: scores of two of ten groups of questions",
        ["dots are models of many families; the easiest group falls before it rises, the hardest only rises"],
        series,
        x="training compute (FLOP)",
        y="minus the Brier score",
        log_x=True,
        kind_x="flop",
    )


u_shape = Study(
    id="u-shape",
    title="U-shapes behind emergent abilities",
    question="With more compute, do hard questions get worse before better, and easy ones better before worse?",
    papers=("wu2024ushaped", "wei2022"),
    datasets=("u-shaped",),
    laws=("turning",),
    run=run,
)

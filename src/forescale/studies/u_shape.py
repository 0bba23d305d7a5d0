# SPDX-License-Identifier: Apache-2.0
"""U-shapes behind emergence (Wu & Lo 2024): do scores of groups of questions fall before they rise?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.laws.trends import trend
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured, reproduced

Array = NDArray[np.float64]

SOURCE = "noted from the released scores"
PAPER = "Wu & Lo 2024, abstract: U-shapes on hard questions, inverted U-shapes on easy ones"
TASKS = {
    "mmlu": "MMLU", "arithmetic": "arithmetic", "parsinlu_qa_mc": "Persian questions", "arc": "ARC",
    "hellaswag": "HellaSwag", "abstract_narrative_understanding": "narratives", "hindu_knowledge": "Hindu knowledge",
    "analogical_similarity": "analogies", "conceptual_combinations": "concepts",
}  # fmt: skip
ZETTA = 21.0
"""log10 of the unit in which the source counts compute."""


def side(x: Array, y: Array) -> tuple[float, float]:
    """Slope of a line and its t value: one half of the two-lines test."""
    u = x - x.mean()
    slope = float(u @ y / (u @ u))
    left = y - y.mean() - slope * u
    error = math.sqrt(float(left @ left) / (y.size - 2) / float(u @ u))
    return slope, slope / error


def run() -> Outcome:
    """MMLU's first and last group in detail; then the shape of every group of nine tasks."""
    runs = fs.dataset("u-shaped")
    claims = _mmlu(runs)
    rows, hard, easy = [], [], []
    for task, words in TASKS.items():
        some = fs.dataset("u-shaped", task=task)
        mean = [float(some[f"score_{i}"].mean()) for i in range(1, 11)]
        shapes = [trend(some["C"], some[f"score_{i}"])[0] for i in range(1, 11)]
        hard.append(shapes[int(np.argmin(mean))])
        easy.append(shapes[int(np.argmax(mean))])
        rows.append((words, str(len(some)), *(_SHORT[shape] for shape in shapes), trend(some["C"], some["score"])[0]))
    most = len(TASKS) // 2 + 1
    claims += [
        holds(
            f"tasks of {len(TASKS)} whose group of lowest mean score is U-shaped", ours=float(hard.count("U")),
            least=most, source=f"{PAPER}; bar: most tasks",
        ),
        holds(
            f"tasks of {len(TASKS)} whose group of highest mean score is an inverted U",
            ours=float(easy.count("inverted U")), least=most, source=f"{PAPER}; bar: most tasks",
        ),
    ]  # fmt: skip
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "MMLU's first group turns at 10^21.9 FLOP, with both sides significant. The hardest group is U-shaped on "
            f"{hard.count('U')} of {len(TASKS)} tasks, the easiest an inverted U on {easy.count('inverted U')}: the "
            "pattern holds, but on MMLU itself it is the group of highest mean score that is U-shaped."
        ),
        charts={"mmlu": _chart(runs)},
        tables=(
            Table(
                "Shapes of ten groups of questions, and of the whole task",
                ("task", "models", *(str(i) for i in range(1, 11)), "all questions"),
                tuple(rows),
                "U, inverted U (n), rising (/), falling (\\), flat (-): by BIC, with a turn only inside the data.",
            ),
        ),
    )


_SHORT = {"U": "U", "inverted U": "n", "rising": "/", "falling": "\\", "flat": "-"}


def _mmlu(runs: fs.Runs) -> list[Claim]:
    x = np.log10(runs["C"])
    first, last = (fs.Runs.from_columns({"C": runs["C"], "score": runs[name]}) for name in ("score_1", "score_10"))
    fit = fs.fit(first, "turning")
    vertex = fit.params["x_0"]
    y, before = runs["score_1"], x < vertex
    thirds = [float(part.mean()) for part in np.array_split(y[np.argsort(x, kind="stable")], 3)]
    claims = [
        reproduced("MMLU, first group: log10 of the compute at the turn, zettaFLOP", ours=vertex - ZETTA, theirs=0.87,
                   within=0.02, source=SOURCE, note=_interval(fit, "x_0")),
        reproduced("MMLU, first group: curvature per squared decade", ours=fit.params["q"], theirs=0.0917,
                   within=5e-5, source=SOURCE, note=_interval(fit, "q")),
    ]  # fmt: skip
    for words, rows, noted in (("before", before, -0.72), ("after", ~before, 0.76)):
        r = float(np.corrcoef(x[rows], y[rows])[0, 1])
        slope, t = side(x[rows], y[rows])
        claims.append(
            reproduced(f"MMLU, first group: correlation with log compute {words} the turn", ours=r, theirs=noted,
                       within=5e-3, source=SOURCE, note=f"{int(rows.sum())} models, slope {slope:+.3f}, t {t:+.1f}")
        )  # fmt: skip
    ts = [abs(side(x[rows], y[rows])[1]) for rows in (before, ~before)]
    claims.append(
        holds("MMLU, first group: smaller t value of the two slopes", ours=min(ts), least=1.96,
              source="two-lines test: both sides significant, with opposite signs",
              note="models of a family are taken as independent")
    )  # fmt: skip
    for name, value, noted in zip(("smallest", "middle", "largest"), thirds, (-0.427, -0.509, -0.370)):
        claims.append(
            reproduced(f"MMLU, first group: mean of the {name} third of models", ours=value, theirs=noted,
                       within=5e-4, source=SOURCE)
        )  # fmt: skip
    late = fs.fit(last, "turning")
    claims += [
        reproduced("MMLU, last group: log10 of the compute at the vertex, zettaFLOP", ours=late.params["x_0"] - ZETTA,
                   theirs=-3.74, within=0.02, source=SOURCE, note="far outside the data: a bent rise, no turn"),
        reproduced("MMLU, last group: correlation with log compute",
                   ours=float(np.corrcoef(x, runs["score_10"])[0, 1]), theirs=0.82, within=5e-3, source=SOURCE),
    ]  # fmt: skip
    line = np.polyfit(x[before], y[before], 1)
    claims.append(
        measured("MMLU, first group: mean error after the turn of the line before it",
                 float(np.mean(np.polyval(line, x[~before]) - y[~before])),
                 note="nothing before the turn announces it")
    )  # fmt: skip
    return claims


def _interval(fit: fs.Fit, name: str) -> str:
    low, high = fit.interval(name)
    shift = ZETTA if name == "x_0" else 0.0
    return f"90 %: {low - shift:.3f} to {high - shift:.3f}"


def _chart(runs: fs.Runs) -> object:
    C = np.geomspace(runs["C"].min(), runs["C"].max(), 80)
    series = []
    for name, words in (("score_1", "first group"), ("score_10", "last group")):
        fit = fs.fit(fs.Runs.from_columns({"C": runs["C"], "score": runs[name]}), "turning")
        series += [Series(words, runs["C"], runs[name]), Series(words, C, fit.predict(C=C).estimate, "line")]
    return xy(
        "MMLU: scores of two of ten groups of questions",
        ["dots are models of many families; the first group falls before it rises, the last only rises"],
        series,
        x="training compute (FLOP)",
        y="minus the Brier score",
        log_x=True,
        kind_x="flop",
    )


u_shape = Study(
    id="u_shape",
    title="U-shapes behind emergent abilities",
    question="Do scores of groups of questions fall before they rise with compute?",
    papers=("wu2024ushaped", "wei2022"),
    datasets=("u-shaped",),
    laws=("turning",),
    run=run,
)

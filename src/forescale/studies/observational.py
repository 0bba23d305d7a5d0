# SPDX-License-Identifier: Apache-2.0
"""Observational scaling (Ruan et al. 2024): do components of benchmarks foretell tasks better than compute?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.fitting.estimators.observational import BENCHMARKS, capabilities
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, better, measured, reproduced

Array = NDArray[np.float64]

SOURCE = "noted from the released tables"
PAPER = "Ruan et al. 2024"
CUTOFF = 84e3
"""Exaflops of Llama-2-7B: what is learned from, and what is foretold."""

LOADINGS = {
    "GSM8K": 0.552, "MMLU": 0.448, "HellaSwag": 0.379, "HumanEval": 0.347, "ARC_C": 0.344, "Winograd": 0.242,
    "XWinograd": 0.214, "TruthfulQA": 0.085,
}  # fmt: skip
FAMILIES = {
    "Pythia": 0.985, "OPT": 0.984, "BLOOM": 0.981, "Llama": 0.981, "XGLM": 0.988, "Qwen1.5": 0.972,
    "CodeLlama": 0.959, "GPT-Neo/J": 0.945, "Falcon": 0.940,
}  # fmt: skip
TASKS = {
    # task: (words, noted mean squared error by three components, by compute alone)
    "word_unscrambling": ("word unscrambling", 0.0037, 0.0180),
    "multiplication_2": ("2-digit multiplication", 0.0089, 0.0254),
    "parsinlu_qa": ("Persian questions", 0.0137, 0.0261),
    "ipa_transliterate": ("transliteration", 0.0806, 0.3649),
    "addition_3": ("3-digit addition", 0.0297, 0.0058),
    "subtraction_3": ("3-digit subtraction", None, None),
}


def run() -> Outcome:
    """Components and families of the paper's models; then each task, learned below Llama-2-7B and foretold above."""
    claims = _components(fs.dataset("obs-scaling"))
    rows: list[tuple[str, ...]] = []
    series: list[Series] = []
    wins = 0
    for task, (words, by_components, by_compute) in TASKS.items():
        runs = fs.dataset("obs-scaling-tasks", task=task)
        runs = runs.with_column("log_flop", np.log10(runs["exaflops"]))
        known = np.isfinite(runs["exaflops"])
        weak = known & (runs["exaflops"] <= CUTOFF)
        made = fs.estimate(runs.where(weak), "observational")
        alone = fs.estimate(runs.where(weak), "observational", benchmarks=("log_flop",), components=1)
        every, same = runs.where(~weak), runs.where(~weak & known)
        errors = (_error(made, every), _error(made, same), _error(alone, same))
        wins += errors[1] < errors[2]
        if by_components is not None and by_compute is not None:
            claims.append(
                reproduced(
                    f"{words}: squared error beyond Llama-2-7B, three components", ours=errors[0],
                    theirs=by_components, within=1e-4, source=SOURCE,
                    note=(
                        "the noted figure is a local optimum of the link, reached from one start: ours, the best of "
                        "64 starts, fits the weak models better too" if task == "addition_3" else ""
                    ),
                )
            )  # fmt: skip
            claims.append(
                reproduced(f"{words}: the same, compute alone", ours=errors[2], theirs=by_compute, within=1e-4,
                           source=SOURCE)
            )  # fmt: skip
        claims.append(
            better(f"{words}: components against compute on the same {len(same)} models", ours=errors[1],
                   theirs=errors[2], tie=0.02, source="compute alone", note="models of known compute only")
        )  # fmt: skip
        rows.append((words, str(int(weak.sum())), str(len(same)), *(f"{e:.4f}" for e in errors)))
        if task == "word_unscrambling":
            series = [
                Series("learned from", made.predict(runs.where(weak)).estimate, runs.where(weak)["score"]),
                Series("foretold", made.predict(every).estimate, every["score"]),
                Series("equal", np.array([0.0, 0.8]), np.array([0.0, 0.8]), "dashes"),
            ]
    claims.append(measured(f"tasks of {len(TASKS)} on which components beat compute", float(wins)))
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "Components, loadings and family lines come back to all digits. Components foretell strong models better "
            f"than compute on {wins} of {len(TASKS)} tasks, also on 3-digit addition, where the released code stops "
            "in a local optimum; on 3-digit subtraction compute alone is better."
        ),
        charts={
            "tasks": xy(
                "Word unscrambling: scores against what weak models foretell",
                ["learned from models up to the compute of Llama-2-7B, by three components of eight benchmarks"],
                series,
                x="predicted score",
                y="score",
            )
        },
        tables=(
            Table(
                "Mean squared error beyond Llama-2-7B",
                ("task", "learned from", "tested", "components, all", "components", "compute alone"),
                tuple(rows),
                "The first of the three columns includes models whose compute is not known.",
            ),
        ),
    )


def _error(made: Any, runs: fs.Runs) -> float:
    predicted: Array = made.predict(runs).estimate
    return float(np.mean((predicted - runs["score"]) ** 2))


def _components(runs: fs.Runs) -> list[Claim]:
    paper = runs.where(runs["in_paper"] == 1)
    few, every = capabilities(paper.columns), capabilities(runs.columns)
    claims = [
        reproduced("77 models: variance explained by one component", ours=float(few.explained[0]), theirs=0.8016,
                   within=2e-3, source=SOURCE, note=f"{PAPER}: about 80 %"),
        reproduced("77 models: variance explained by three", ours=float(few.explained[:3].sum()), theirs=0.9670,
                   within=2e-3, source=SOURCE, note=f"{PAPER}: about 97 %"),
        reproduced("148 models: variance explained by three", ours=float(every.explained[:3].sum()), theirs=0.9736,
                   within=2e-3, source=SOURCE),
    ]  # fmt: skip
    loading = dict(zip(BENCHMARKS, few.axes[0]))
    farthest = max(LOADINGS, key=lambda name: abs(loading[name] - LOADINGS[name]))
    claims.append(
        reproduced(f"loading of the first component that is farthest from the noted one: {farthest}",
                   ours=float(loading[farthest]), theirs=LOADINGS[farthest], within=1e-3, source=SOURCE)
    )  # fmt: skip
    first = few.of(paper.columns)[:, 0]
    for family, noted in FAMILIES.items():
        some = (paper.labels["family"] == family) & np.isfinite(paper["exaflops"])
        r = np.corrcoef(np.log(paper["exaflops"][some]), first[some])[0, 1]
        claims.append(
            reproduced(f"{family}: R2 of the first component on log compute", ours=float(r * r), theirs=noted,
                       within=1e-3, source=SOURCE, note=f"{int(some.sum())} models")
        )  # fmt: skip
    return claims


observational_study = Study(
    id="observational",
    title="Observational scaling: components of benchmarks against compute",
    question="Do components of benchmarks of weak models foretell the tasks of strong ones better than compute does?",
    papers=("ruan2024",),
    datasets=("obs-scaling", "obs-scaling-tasks"),
    laws=("observational",),
    run=run,
)

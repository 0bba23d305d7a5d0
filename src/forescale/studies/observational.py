# SPDX-License-Identifier: Apache-2.0
"""Observational scaling (Ruan et al. 2024): do components of benchmarks foretell tasks better than compute?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.fitting.estimators.observational import BENCHMARKS, capabilities
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, same_figures
from forescale.studies._study import EQUAL, Claim, Outcome, Study, Table, reproduced

Array = NDArray[np.float64]

PAPER = "Ruan et al. 2024, to two digits"
EARLIER = "an earlier computation of ours from the released tables"
CUTOFF = 84e3
"""Exaflops of Llama-2-7B: what is learned from, and what is foretold."""

EXPLAINED = ("0.8016", "0.9670", "0.9736")
"""Earlier shares of variance: one component and three of the paper's 77 models, three of all 148."""
LOADINGS = {
    "GSM8K": "0.552", "MMLU": "0.448", "HellaSwag": "0.379", "HumanEval": "0.347", "ARC_C": "0.344",
    "Winograd": "0.242", "XWinograd": "0.214", "TruthfulQA": "0.085",
}  # fmt: skip
FAMILIES = {
    "Pythia": "0.985", "OPT": "0.984", "BLOOM": "0.981", "Llama": "0.981", "XGLM": "0.988", "Qwen1.5": "0.972",
    "CodeLlama": "0.959", "GPT-Neo/J": "0.945", "Falcon": "0.940",
}  # fmt: skip
TASKS = {
    # task: (words, earlier mean squared error by three components, by compute alone)
    "word_unscrambling": ("word unscrambling", "0.0037", "0.0180"),
    "multiplication_2": ("2-digit multiplication", "0.0089", "0.0254"),
    "parsinlu_qa": ("Persian questions", "0.0137", "0.0261"),
    "ipa_transliterate": ("transliteration", "0.0806", "0.3649"),
    "addition_3": ("3-digit addition", "", "0.0058"),
    "subtraction_3": ("3-digit subtraction", "", ""),
}
ADDITION = 0.0297
"""Earlier error of three components on 3-digit addition, from one start of the link."""
LEAST = 4
"""Models of a family below which its line is not judged."""


def run() -> Outcome:
    """Components and families of the paper's models; then each task, learned below Llama-2-7B and foretold above."""
    claims, pairs, families = _components(fs.dataset("obs-scaling"))
    rows: list[tuple[str, ...]] = []
    series: list[Series] = []
    wins = 0
    for task, (words, *earlier) in TASKS.items():
        runs = fs.dataset("obs-scaling-tasks", task=task)
        runs = runs.with_column("log_flop", np.log10(runs["exaflops"]))
        known = np.isfinite(runs["exaflops"])
        weak = known & (runs["exaflops"] <= CUTOFF)
        made = fs.estimate(runs.where(weak), "observational")
        alone = fs.estimate(runs.where(weak), "observational", benchmarks=("log_flop",), components=1)
        every, same = runs.where(~weak), runs.where(~weak & known)
        errors = [float(_errors(one, some).mean()) for one, some in ((made, every), (made, same), (alone, same))]
        pairs += zip((errors[0], errors[2]), earlier)
        note = "Models of known compute only."
        if task == "addition_3":
            claims.append(
                reproduced(
                    f"{words}: mean squared error beyond Llama-2-7B, three components",
                    ours=errors[0],
                    theirs=ADDITION,
                    within=1e-4,
                    source=f"{EARLIER}, from one start, as in the released code",
                    note=(
                        "That start ends in a local optimum, .8 % worse on the weak models than ours, the best of "
                        "64: so small a difference does not tell the two apart."
                    ),
                )
            )
            note = "By the link that fits the weak models .8 % better; by the other one compute is better."
        claims.append(
            fewer_errors(
                f"{words}: mean squared error on {len(same)} models beyond Llama-2-7B, components",
                ours=_errors(made, same),
                theirs=_errors(alone, same),
                names=("prediction by components", "compute alone"),
                source="compute alone, on the same models",
                note=note,
            )
        )
        wins += claims[-1].good and claims[-1].verdict != EQUAL
        rows.append((words, str(int(weak.sum())), str(len(same)), *(f"{e:.4f}" for e in errors)))
        if task == "word_unscrambling":
            series = [
                Series("learned from", made.predict(runs.where(weak)).estimate, runs.where(weak)["score"]),
                Series("foretold", made.predict(every).estimate, every["score"]),
                Series("equal", np.array([0.0, 0.8]), np.array([0.0, 0.8]), "dashes"),
            ]
    claims.append(
        same_figures(
            "figures of {n} (shares, loadings, lines of families, errors)",
            (pair for pair in pairs if pair[1]),
            source=EARLIER,
        )
    )
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "Three components hold 97 % of the variance of eight benchmarks, and families of models move along the "
            "first in proportion to log compute. Learned from weak models, they foretell strong ones better than "
            f"compute does on {wins} of {len(TASKS)} tasks; on addition and subtraction of 3-digit numbers too few "
            "models are left to tell."
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
            families,
        ),
    )


def _errors(made: Any, runs: fs.Runs) -> Array:
    """(n,) squared errors."""
    predicted: Array = made.predict(runs).estimate
    return np.asarray((predicted - runs["score"]) ** 2)


def _components(runs: fs.Runs) -> tuple[list[Claim], list[tuple[float, str]], Table]:
    paper = runs.where(runs["in_paper"] == 1)
    few, every = capabilities(paper.columns), capabilities(runs.columns)
    first = few.of(paper.columns)[:, 0]
    known = np.isfinite(paper["exaflops"])
    lines: dict[str, tuple[int, float]] = {}
    for family in sorted(set(paper.labels["family"].tolist())):
        some = (paper.labels["family"] == family) & known
        if some.sum() >= LEAST - 1:
            r = np.corrcoef(np.log(paper["exaflops"][some]), first[some])[0, 1]
            lines[family] = (int(some.sum()), float(r * r))
    judged = {family: r2 for family, (count, r2) in lines.items() if count >= LEAST}
    worst = min(judged, key=judged.__getitem__)
    smaller = {family: r2 for family, (count, r2) in lines.items() if count < LEAST}
    shares = (float(few.explained[0]), float(few.explained[:3].sum()), float(every.explained[:3].sum()))
    claims = [
        reproduced(
            "variance of 77 models that one component explains",
            ours=shares[0],
            theirs=0.80,
            within=5e-3,
            source=PAPER,
        ),
        reproduced(
            "variance of 77 models that three explain", ours=shares[1], theirs=0.97, within=5e-3, source=PAPER
        ),
        reproduced(
            f"smallest R2 of the first component on log compute, {len(judged)} families of {LEAST} models or more",
            ours=judged[worst],
            theirs=0.94,
            within=5e-3,
            source=f"{PAPER}: above .94",
            note=f"{worst}; with fewer models {min(smaller, key=smaller.__getitem__)}: {min(smaller.values()):.2f}.",
        ),
    ]
    loadings = dict(zip(BENCHMARKS, few.axes[0].tolist()))
    pairs = [
        *zip(shares, EXPLAINED),
        *((loadings[name], value) for name, value in LOADINGS.items()),
        *((lines[name][1], value) for name, value in FAMILIES.items()),
    ]
    rows = tuple((family, str(count), f"{r2:.3f}") for family, (count, r2) in lines.items())
    return claims, pairs, Table("The first component in log compute", ("family", "models", "R2"), rows)


observational_study = Study(
    id="observational",
    title="Observational scaling: components of benchmarks against compute",
    question="Do components of benchmarks of weak models foretell the tasks of strong ones better than compute does?",
    papers=("ruan2024",),
    datasets=("obs-scaling", "obs-scaling-tasks"),
    laws=("observational",),
    run=run,
)

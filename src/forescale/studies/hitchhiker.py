# SPDX-License-Identifier: Apache-2.0
"""Family laws from training curves (Choshen, Zhang & Andreas 2024): their advice on 42 published families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import forescale as fs
from forescale.fitting.estimators.family_law import Grid, grid, members
from forescale.judge._protocol import Family, protocols
from forescale.reporting.charts.xy import Series, xy
from forescale.runs.table import concat
from forescale.studies._common import fewer_errors, span
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured, reproduced

SOURCE = "Choshen et al. 2024"
MOST_ROWS = 150
"""Checkpoints of a run that are used, evenly spaced: some logs have hundreds, which say no more."""
LONG = ("opt", "pythia", "pythia-deduped", "pythia-v0", "pythia-deduped-v0")
"""The families that the advice on early tokens is about."""
SHOWN = "gpt3"
BORROWED = "muennighoff2023-c4"


def table(family: Family, curves: Mapping[str, fs.Runs]) -> fs.Runs:
    """The checkpoints of one family, with sizes; perplexities as logarithms."""
    parts = []
    for run, size in family.members.items():
        rows = curves[family.dataset].where(curves[family.dataset].labels["run"] == run)
        kept = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(np.intp))
        rows = rows.where(kept)
        parts.append(rows.with_column("N", np.full(len(rows), float(size))))
    joined = concat(parts)
    if family.perplexity:
        joined = joined.with_conventions(loss=None).with_column("loss", np.log(joined["loss"]))
    return joined


def error(runs: fs.Runs, name: str = "ARE", **options: Any) -> float:
    """One number of the estimator, in per cent."""
    return 100 * float(fs.estimate(runs, "family-law", **options).numbers[name])


def run() -> Outcome:
    """All families by their protocol and by ours; early tokens, part of the target, one model, the grid."""
    families = protocols(["colpret"])[0].families
    curves = {name: fs.dataset(name) for name in dict.fromkeys(f.dataset for f in families)}
    tables = {family.name: table(family, curves) for family in families}
    large = [name for name, runs in tables.items() if len(members(runs)) >= 4]
    term = fs.law("chinchilla").constants(BORROWED)
    one_term = {"A": term["A"], "alpha": term["alpha"]}
    errors: dict[str, list[float]] = {key: [] for key in ("theirs", "ours", "part", "guess", "borrowed")}
    rows: list[tuple[str, ...]] = []
    params = []
    for name, runs in tables.items():
        if name not in large:
            found = fs.estimate(runs, "family-law", **one_term).numbers
            errors["borrowed"].append(100 * found["ARE"])
        else:
            found = fs.estimate(runs, "family-law").numbers
            params.append([found["alpha"], found["beta"], *(np.log(found[k]) for k in ("A", "B", "E"))])
            errors["theirs"].append(100 * found["ARE"])
            errors["ours"].append(error(runs, loss="log-huber"))
            errors["part"].append(error(runs, seen=0.3))
            rows.append(
                (name, str(len(members(runs))), f"{errors['theirs'][-1]:.2f}", f"{errors['ours'][-1]:.2f}",
                 f"{errors['part'][-1]:.2f}", f"{100 * found['ARE_best_so_far']:.2f}")
            )  # fmt: skip
        errors["guess"].append(100 * found["ARE_best_so_far"])
    mean = {key: float(np.mean(values)) for key, values in errors.items()}
    early = {skip: float(np.mean([error(tables[name], skip=skip) for name in LONG])) for skip in (10e9, 0.0)}
    helped = int(np.sum(np.array(errors["part"]) < np.array(errors["theirs"])))
    report = grid(tables[SHOWN], loss="log-huber")
    seen = [guess for name, guess in zip(tables, errors["guess"]) if name in large]
    ratios = [float(sizes[-1] / sizes[-2]) for sizes in (np.unique(runs["N"]) for runs in tables.values())]
    single, near, far = _single(tables)
    claims = [
        fewer_errors(
            f"mean error on the end of the largest model, {len(large)} families, log-Huber, per cent",
            ours=np.array(errors["ours"]),
            theirs=np.array(errors["theirs"]),
            source="squared errors of the raw loss, as in the guide, certified, same rows",
        ),
        holds(
            "that error against the best that the guide calls attainable, per cent",
            ours=mean["ours"],
            most=4.0,
            source=f"{SOURCE}: about 4 %",
        ),
        reproduced(
            f"error of the lowest loss seen so far as the guess, {len(tables)} families, per cent",
            ours=mean["guess"],
            theirs=18.0,
            within=0.5,
            source=SOURCE,
            note=f"{len(errors['borrowed'])} of the families have fewer than four models; in all, the largest is "
            f"{float(np.median(ratios)):.1f} times the next one in the median.",
        ),
        reproduced(
            "OPT and Pythia, all checkpoints: mean error, per cent",
            ours=early[0.0],
            theirs=15.0,
            within=0.5,
            source=f"{SOURCE}: above 15 %",
        ),
        holds(
            "OPT and Pythia without the first 10B tokens: mean error, per cent",
            ours=early[10e9],
            least=4.0,
            most=10.0,
            source=f"{SOURCE}: 4 to 10 %",
        ),
        holds(
            "mean error with the first 30 % of the target's run seen, squared errors, per cent",
            ours=mean["part"],
            most=mean["theirs"],
            source="the same without",
            note=f"Lower in {helped} of {len(large)} families.",
        ),
        holds(
            f"mean error of {len(errors['borrowed'])} families of three with a borrowed parameter term, per cent",
            ours=mean["borrowed"],
            most=float(np.mean([g for name, g in zip(tables, errors["guess"]) if name not in large])),
            source="lowest loss so far, same families",
            note="A and alpha of Muennighoff et al.; two sizes cannot give them.",
        ),
        *single,
        _components(np.array(params)),
    ]
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"One law per family predicts the end of its largest model to {mean['ours']:.1f} % by log-Huber and "
            f"{mean['theirs']:.1f} % by squared errors; the lowest loss seen is {float(np.mean(seen)):.1f} % off. "
            f"Leaving out the first 10B tokens takes the error of long runs from {early[0.0]:.0f} to "
            f"{early[10e9]:.0f} %. One model with a borrowed parameter term is {near} % off if it is the next "
            f"smaller one, and {far} % if it is the smallest."
        ),
        charts={"grid": _chart(report)},
        tables=(
            Table(
                "Mean relative error (ARE) on the last 30 % of the largest model, per cent",
                (
                    "family",
                    "models",
                    "squared",
                    "log-Huber",
                    "squared, 30 % of the target seen",
                    "lowest loss so far",
                ),
                tuple(rows),
            ),
            Table(
                f"{SHOWN}: error by models used (smallest first) and share of their training, per cent",
                ("models", *(f"{100 * share:.0f} %" for share in report.shares)),
                tuple(
                    (str(m), *("" if np.isnan(v) else f"{100 * v:.2f}" for v in line))
                    for m, line in zip(report.models, report.error)
                ),
                "Log-Huber.",
            ),
        ),
    )


def _single(tables: Mapping[str, fs.Runs]) -> tuple[list[Claim], str, str]:
    """OPT-175B from one smaller OPT, with the parameter term of another family; errors from the first and last."""
    opt = tables["opt"]
    order = members(opt)
    found, near, far = [], [], []
    for other in ("gpt3", "pythia-deduped-v0"):
        term = fs.estimate(tables[other], "family-law", loss="log-huber").numbers
        values = []
        for name in (order[-2], order[len(order) // 2], order[0]):
            pair = opt.where(np.isin(opt.labels["run"], [name, order[-1]]))
            values.append(error(pair, A=term["A"], alpha=term["alpha"], loss="log-huber"))
        said = ", ".join(f"{v:.1f}" for v in values)
        near.append(values[0])
        far.append(values[-1])
        found.append(
            measured(
                f"OPT-175B from OPT-30B alone, parameter term of {other}: error, per cent",
                values[0],
                note=f"From 30B, 13B and .12B: {said} %. The guide: 37, 25 and 15 % for OPT, by the family lent.",
            )
        )
    return found, span(near), span(far)


def _components(params: np.ndarray) -> Claim:
    scaled = (params - params.mean(axis=0)) / params.std(axis=0)
    share = np.linalg.svd(scaled, compute_uv=False) ** 2
    return holds(
        "variance of the five parameters in three principal components, per cent",
        ours=float(100 * share[:3].sum() / share.sum()),
        least=99.49,
        source=SOURCE,
        note=f"{len(params)} families; A, B and E by their logarithms, all scaled.",
    )


def _chart(report: Grid) -> object:
    series = []
    for m, line in zip(report.models, report.error):
        share = 100 * np.array(report.shares)
        series += [Series(f"{m} models", share, 100 * line), Series(f"{m} models", share, 100 * line, "line")]
    return xy(
        f"{SHOWN}: error by what was spent on smaller models",
        ["error on the last 30 % of the largest model; models are added smallest first"],
        series,
        x="share of their training used (per cent)",
        y="error (ARE, per cent)",
        log_y=True,
    )


hitchhiker = Study(
    id="hitchhiker",
    title="Family laws from training curves",
    question="How well do the curves of smaller models predict the end of the largest, and which advice helps?",
    papers=("choshen2024",),
    datasets=("colpret", "colpret-opt"),
    laws=("family-law", "chinchilla"),
    run=run,
)

# SPDX-License-Identifier: Apache-2.0
"""Over-training and tasks (Gadre et al. 2024): large models from five small runs, and what the law's form adds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, tally
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured, reproduced

CORPORA = {"c4_original": "C4", "rpj": "RedPajama", "rw_original": "RefinedWeb"}
PAPER = "Gadre et al. 2024"
SOURCE = f"{PAPER}, released notebook"
TASKS = (
    "Which 17 tasks is inferred from the published constants of the task law: those on which some model of 154M "
    "parameters is ten points above chance."
)
LARGE = 1e9
"""Parameters above which a model is large: 1.4B and 6.9B."""


def chosen(runs: fs.Runs) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The authors' five runs for the loss and six for the error."""
    M = np.round(runs["M"])
    five = ((M == 20) & (runs["N"] < 5e8)) | ((M == 320) & (runs["N"] < 2e7))
    return five, five | ((M == 20) & (runs["N"] < 2e9))


def row(runs: fs.Runs, model: str, multiplier: float) -> fs.Runs:
    """One model."""
    return runs.where((runs.labels["model"] == model) & (np.round(runs["M"]) == multiplier))


def off(predicted: NDArray[np.float64], seen: NDArray[np.float64]) -> float:
    """Mean relative error in per cent."""
    return float(100 * np.mean(np.abs(predicted / seen - 1)))


def run() -> Outcome:
    """The published protocol, the same five runs by our objective, and all small runs with free exponents."""
    claims: list[Claim] = []
    rows: list[tuple[str, ...]] = []
    errors: dict[str, list[float]] = {name: [] for name in ("theirs", "ours", "equal", "free")}
    for corpus, words in CORPORA.items():
        runs = fs.dataset("gadre-downstream-17", dataset=corpus)
        five, six = chosen(runs)
        large = runs.where(runs["N"] > LARGE)
        law = fs.fit(runs.where(five), "overtraining", loss="squared")
        small = runs.where(runs["N"] < LARGE)
        fits = {
            "theirs": law,
            "ours": fs.fit(runs.where(five), fs.law("chinchilla").tie(beta="alpha")),
            "equal": fs.fit(small, "overtraining"),
            "free": fs.fit(small, "chinchilla"),
        }
        seen = {
            name: [off(fit.predict(one).estimate, one["loss"]) for one in _each(large)] for name, fit in fits.items()
        }
        for name, values in seen.items():
            errors[name] += values
        rows += [
            (words, f"{N / 1e9:.1f}B", f"{M:.0f}", *(f"{seen[name][i]:.2f}" for name in errors))
            for i, (N, M) in enumerate(zip(large["N"], large["M"]))
        ]
        if corpus == "rpj":
            claims = [*_four(runs, law, fs.fit(runs.where(six), "error-exponential", loss="squared")), *claims]
            claims.append(_fragile(runs, law, five))
            short = claims[-1].ours
            claims += _compute(runs, five, six)
            chart = _chart(runs, law, five)
        else:
            theirs = {"c4_original": 4.295, "rw_original": 1.619}[corpus]
            claims.append(
                reproduced(
                    f"{words}, 6.9B, M = 20: predicted loss, per cent off",
                    ours=seen["theirs"][int(np.argmax(large["N"]))],
                    theirs=theirs,
                    within=1e-3,
                    source=SOURCE,
                )
            )
    claims += _compared(errors)
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"Of the published figures {tally([c for c in claims if c.source.startswith(PAPER)])} "
            f"come back. Without its one run of 1.4B parameters the prediction of the task errors at 6.9B is "
            f"{short:.1f} % off. With free exponents all small runs together err "
            f"{np.mean(errors['free']) / np.mean(errors['equal']):.1f} times as much on large models as with equal "
            "ones."
        ),
        charts={"losses": chart},
        tables=(
            Table(
                "Relative error of the loss of large models, per cent",
                ("corpus", "model", "M", "five runs, theirs", "five runs, log-Huber", "all small", "all small, free"),
                tuple(rows),
                "Theirs: least squares. Small: up to 412M parameters, at every M. Free: alpha and beta not equal.",
            ),
        ),
    )  # fmt: skip


def _each(runs: fs.Runs) -> list[fs.Runs]:
    return [runs.where(np.arange(len(runs)) == i) for i in range(len(runs))]


def _four(runs: fs.Runs, law: fs.Fit, error: fs.Fit) -> list[Claim]:
    """Loss and mean error of 17 tasks, at 1.4B parameters and M = 640, and at 6.9B and M = 20."""
    found = []
    for model, multiplier, words, loss_off, error_off in (
        ("open_lm_1b", 640, "1.4B, M = 640", 0.7103, 3.6365),
        ("open_lm_7b", 20, "6.9B, M = 20", 0.7320, 0.0464),
    ):
        one = row(runs, model, multiplier)
        loss = law.predict(N=one["N"], D=one["D"]).estimate
        chain = error.predict(loss=loss).estimate
        for what, predicted, column, theirs, note in (
            ("loss", loss, "loss", loss_off, ""),
            ("top-1 error (mean of 17 tasks)", chain, "error", error_off, TASKS),
        ):
            found.append(
                reproduced(
                    f"RedPajama, {words}: predicted {what}, per cent off",
                    ours=off(predicted, one[column]),
                    theirs=theirs,
                    within=1e-4,
                    source=SOURCE,
                    note=note,
                )
            )
    return found


def _fragile(runs: fs.Runs, law: fs.Fit, five: NDArray[np.bool_]) -> Claim:
    """The task law without its largest run."""
    short = fs.fit(runs.where(five), "error-exponential", loss="squared")
    one = row(runs, "open_lm_7b", 20)
    predicted = short.predict(loss=law.predict(one).estimate).estimate
    return reproduced(
        "RedPajama, 6.9B, M = 20: predicted top-1 error without the run of 1.4B parameters, per cent off",
        ours=off(predicted, one["error"]),
        theirs=10.64,
        within=0.01,
        source=PAPER,
    )


def _compute(runs: fs.Runs, five: NDArray[np.bool_], six: NDArray[np.bool_]) -> list[Claim]:
    longest, largest = row(runs, "open_lm_1b", 640)["C"][0], row(runs, "open_lm_7b", 20)["C"][0]
    spent = [float(runs["C"][some].sum()) for some in (five, six)]
    return [
        reproduced(
            "compute of the longest run over that of the five runs",
            ours=longest / spent[0],
            theirs=300.0,
            within=50.0,
            source=f"{PAPER}, abstract",
            note="One digit is printed.",
        ),
        reproduced(
            "compute of the largest run over that of the six runs",
            ours=largest / spent[1],
            theirs=20.0,
            within=1.0,
            source=f"{PAPER}, abstract",
        ),
    ]


def _compared(errors: dict[str, list[float]]) -> list[Claim]:
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    count = len(errors["ours"])
    return [
        fewer_errors(
            f"loss of {count} large models from the five runs, certified log-Huber, mean per cent off",
            ours=np.array(errors["ours"]),
            theirs=np.array(errors["theirs"]),
            source="the same five runs by the authors' least squares",
        ),
        holds(
            f"loss of {count} large models from all small runs, equal exponents as in the paper, mean per cent off",
            ours=mean["equal"],
            most=mean["free"],
            source="chinchilla with free exponents on the same runs",
            note="The authors assume equal exponents.",
        ),
        measured("error from all small runs over error from the five chosen ones", mean["equal"] / mean["theirs"]),
    ]


def _chart(runs: fs.Runs, law: fs.Fit, five: NDArray[np.bool_]) -> object:
    series = []
    for multiplier in (20, 80, 320, 640):
        some = runs.where((np.round(runs["M"]) == multiplier) & ~five)
        C = np.geomspace(1e16, 2e22, 60)
        line = law.predict(N=np.sqrt(C / (6 * multiplier)), D=np.sqrt(C * multiplier / 6)).estimate
        series += [Series(f"M = {multiplier}", some["C"], some["loss"]), Series(f"M = {multiplier}", C, line, "line")]
    used = runs.where(five)
    series.append(Series("the five runs of the fit", used["C"], used["loss"]))
    return xy(
        "Loss on C4 of models trained on RedPajama",
        ["lines: the law fitted to five small runs; each M (tokens per parameter) has its own, all one exponent"],
        series,
        x="training compute (FLOP)",
        y="loss (nats per token)",
        log_x=True,
        kind_x="flop",
    )


gadre = Study(
    id="gadre",
    title="Over-trained models and their tasks from five small runs",
    question="Do five small runs predict the loss and task errors of models with 300 times their compute?",
    papers=("gadre2024",),
    datasets=("gadre-downstream-17",),
    laws=("overtraining", "chinchilla", "error-exponential"),
    run=run,
)

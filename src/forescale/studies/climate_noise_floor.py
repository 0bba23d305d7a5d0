# SPDX-License-Identifier: Apache-2.0
"""Climate emulators (Lutjens et al. 2024): is the error of a method bias, plus the noise of its yardstick over n?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import same_figures
from forescale.studies._study import Claim, Outcome, Study, Table, better, holds, measured

Array = NDArray[np.float64]

PAPER = "Lutjens et al. 2024, abstract"
EARLIER = "an earlier computation of ours from the released errors"
VARIABLES = {"tas": "temperature", "pr": "precipitation"}
METHODS = {"pattern_scaling": "linear pattern scaling", "cnn_lstm": "CNN-LSTM"}

LINES = {
    # variable, target: earlier squared bias, variance of one member, R2 of linear pattern scaling; in their digits
    ("tas", "same_n"): ("0.00923", "0.02534", "0.977"),
    ("pr", "same_n"): ("0.00628", "0.01320", "0.807"),
    ("tas", "all50"): ("", "0.0032", "0.862"),
    ("pr", "all50"): ("", "0.0010", "0.26"),
}
AT = {("pr", 3): ("0.1043", "0.1087"), ("pr", 50): ("0.0785", "0.0597"), ("tas", 50): ("0.0989", "0.0978")}
"""Variable and members -> earlier errors of both methods."""
FEW, MANY = 10, 20


def errors(runs: fs.Runs, variable: str, model: str, target: str = "same_n") -> tuple[Array, Array]:
    """Members and errors of one method, by members."""
    some = runs.where(
        (runs.labels["variable"] == variable) & (runs.labels["model"] == model) & (runs.labels["target"] == target)
    )
    order = np.argsort(some["n_members"])
    return some["n_members"][order], some["loss"][order]


def run() -> Outcome:
    """The order of the methods, what ten members tell about twenty, and the line of the squared error in 1 / n."""
    runs = fs.dataset("climate-emulator")
    both = {v: {model: errors(runs, v, model) for model in METHODS} for v in VARIABLES}
    claims = [_order(both[v], v) for v in VARIABLES]
    claims += [_ahead(words, *both[v]["pattern_scaling"]) for v, words in VARIABLES.items()]
    lines, table = _lines(runs, both)
    return Outcome(
        claims=(*claims, *lines),
        sentence=(
            "With many members linear pattern scaling stays ahead on temperature and mostly falls behind the network "
            "on precipitation, as the paper says. Its squared error is a line in 1 / n for temperature, and ten "
            "members predict fifty; for precipitation the line is rougher, and a power law with a floor predicts "
            "better."
        ),
        charts={
            "members": xy(
                "Precipitation: error against members averaged",
                ["few members hide the bias of both methods; lines are bias and noise over n"],
                [part for model in METHODS for part in _drawn(METHODS[model], *both["pr"][model])],
                x="members averaged, for training and target",
                y="root mean square error (mm/day)",
                log_x=True,
            )
        },
        tables=(table,),
    )


def _order(both: Mapping[str, tuple[Array, Array]], variable: str) -> Claim:
    """How often the CNN-LSTM wins where there are many members."""
    n = both["pattern_scaling"][0]
    gap = both["pattern_scaling"][1] - both["cnn_lstm"][1]
    turns, last = int((np.diff(np.sign(gap)) != 0).sum()), gap[-1] / both["pattern_scaling"][1][-1]
    said, least, most = {
        "tas": ("stays more accurate", None, 0.5),
        "pr": ("can be outperformed by a deep network", 0.5, None),
    }[variable]
    return holds(
        f"{VARIABLES[variable]}: share of the n from {MANY} members on at which the CNN-LSTM errs less",
        ours=float((gap[n >= MANY] > 0).mean()),
        least=least,
        most=most,
        source=f"{PAPER}: with 50 members pattern scaling {said}; the bar, half of the n, is ours",
        note=(
            f"One draw of members per n: from 1 to {n.max():.0f} the order turns over {turns} times, and a single n "
            f"would mislead (at {n.max():.0f} the CNN-LSTM errs {100 * last:.0f} % less)."
        ),
    )


def _ahead(words: str, n: Array, error: Array) -> Claim:
    """The error at twenty members and more, from up to ten."""
    few, many = n <= FEW, n >= MANY
    seen = fs.Runs.from_columns({"D": n[few], "loss": error[few]})
    off = {
        law: float(np.mean(np.abs(fs.fit(seen, law, loss="squared").predict(D=n[many]).estimate / error[many] - 1)))
        for law in ("noise-floor", "power-floor(D)")
    }
    return better(
        f"{words}: relative error of pattern scaling's error from {MANY} members on, predicted from up to {FEW}",
        ours=off["noise-floor"],
        theirs=off["power-floor(D)"],
        tie=0.02,
        names=("the noise floor", "the power law"),
        source="a power law with a floor, on the same rows",
    )


def _lines(runs: fs.Runs, both: Mapping[str, Mapping[str, tuple[Array, Array]]]) -> tuple[list[Claim], Table]:
    """Bias and noise of linear pattern scaling, and how many figures round to earlier ones."""
    pairs: list[tuple[float, str]] = []
    rows, straight = [], []
    for (variable, target), earlier in LINES.items():
        line = fs.noise_floor(*errors(runs, variable, "pattern_scaling", target))
        pairs += zip((line.bias2, line.variance, line.r2), earlier)
        words = "the same n" if target == "same_n" else "all 50"
        rows.append((VARIABLES[variable], words, f"{line.bias2:.5f}", f"{line.variance:.5f}", f"{line.r2:.3f}"))
        if target == "same_n":
            straight.append(
                measured(f"{VARIABLES[variable]}: R2 of the line of the squared error in 1 / n", float(line.r2))
            )
    for (variable, members), values in AT.items():
        for model, value in zip(METHODS, values):
            n, error = both[variable][model]
            pairs.append((float(error[n == members][0]), value))
    pairs = [(ours, value) for ours, value in pairs if value]
    text = "figures of {n} (lines, errors at 3 and 50 members)"
    claims = [*straight, same_figures(text, pairs, source=EARLIER)]
    return claims, Table(
        "Linear pattern scaling: squared error = squared bias + variance of one member / n",
        ("variable", "target averages", "squared bias", "variance of one member", "R2"),
        tuple(rows),
        "With a target of all 50 members only the noise of training is left.",
    )


def _drawn(words: str, n: Array, error: Array) -> list[Series]:
    line = fs.noise_floor(n, error)
    fine = np.geomspace(n.min(), n.max(), 60)
    return [Series(words, n, error), Series(words, fine, line.predict(fine), "line")]


climate_noise_floor = Study(
    id="climate-noise-floor",
    title="The noise floor of climate emulators",
    question="Is the squared error of a method its squared bias plus the noise of one member over n?",
    papers=("lutjens2024",),
    datasets=("climate-emulator",),
    laws=("noise-floor", "power-floor"),
    run=run,
)

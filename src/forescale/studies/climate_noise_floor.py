# SPDX-License-Identifier: Apache-2.0
"""Climate emulators (Lutjens et al. 2024): is the error of a method bias, plus the noise of its yardstick over n?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, better, measured, reproduced

Array = NDArray[np.float64]

SOURCE = "noted from the released errors"
PAPER = "Lutjens et al. 2024"
VARIABLES = {"tas": "temperature", "pr": "precipitation"}
METHODS = {"pattern_scaling": "linear pattern scaling", "cnn_lstm": "CNN-LSTM"}

LINES = {
    # variable, target: bias^2, variance, R^2 of linear pattern scaling
    ("tas", "same_n"): (0.00923, 0.02534, 0.977),
    ("pr", "same_n"): (0.00628, 0.01320, 0.807),
    ("tas", "all50"): (None, 0.0032, 0.862),
    ("pr", "all50"): (None, 0.0010, 0.26),
}
AT = {("pr", 3): (0.1043, 0.1087), ("pr", 50): (0.0785, 0.0597), ("tas", 50): (0.0989, 0.0978)}
"""Errors of both methods as noted."""
WINS = {"pr": 0.74, "tas": 0.23}
FEW, MANY = 10, 20


def errors(runs: fs.Runs, variable: str, model: str, target: str = "same_n") -> tuple[Array, Array]:
    """Members and errors of one method, by members."""
    some = runs.where(
        (runs.labels["variable"] == variable) & (runs.labels["model"] == model) & (runs.labels["target"] == target)
    )
    order = np.argsort(some["n_members"])
    return some["n_members"][order], some["loss"][order]


def run() -> Outcome:
    """The line of the squared error in 1 / n, the order of the methods, and what ten members tell about twenty."""
    runs = fs.dataset("climate-emulator")
    claims: list[Claim] = []
    for (variable, target), (bias2, variance, r2) in LINES.items():
        line = fs.noise_floor(*errors(runs, variable, "pattern_scaling", target))
        words = f"{VARIABLES[variable]}, target of {'the same n' if target == 'same_n' else 'all 50'} members"
        if bias2 is not None:
            claims.append(
                reproduced(f"{words}: squared bias", ours=line.bias2, theirs=bias2, within=1e-5, source=SOURCE)
            )
        claims.append(
            reproduced(
                f"{words}: variance of one member", ours=line.variance, theirs=variance, within=5e-5, source=SOURCE
            )
        )
        claims.append(reproduced(f"{words}: R2 of the line", ours=line.r2, theirs=r2, within=2e-3, source=SOURCE))
    series = []
    for variable, words in VARIABLES.items():
        both = {model: errors(runs, variable, model) for model in METHODS}
        n = both["pattern_scaling"][0]
        gap = both["pattern_scaling"][1] - both["cnn_lstm"][1]
        for (name, members), noted in AT.items():
            if name == variable:
                for model, value in zip(METHODS, noted):
                    claims.append(
                        reproduced(
                            f"{words}, {members} members: error of {METHODS[model]}",
                            ours=float(both[model][1][n == members][0]), theirs=value, within=5e-5, source=SOURCE,
                        )
                    )  # fmt: skip
        claims.append(
            reproduced(
                f"{words}: share of draws of {MANY} members or more in which the CNN-LSTM wins",
                ours=float((gap[n >= MANY] > 0).mean()), theirs=WINS[variable], within=5e-3, source=SOURCE,
            )
        )  # fmt: skip
        claims.append(
            measured(
                f"{words}: how often the order turns over between 1 and 50 members",
                float((np.diff(np.sign(gap)) != 0).sum()),
                note="one draw of members per n: neighbours differ by chance, and each n alone would mislead",
            )
        )
        claims += _ahead(words, *both["pattern_scaling"])
        if variable == "pr":
            series = [part for model in METHODS for part in _drawn(METHODS[model], *both[model])]
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "The squared error of linear pattern scaling is a line in 1 / n for temperature, and ten members predict "
            "fifty; for precipitation the line is rougher, and a plain power law predicts better. Which method wins "
            "depends on the number of members: on precipitation the network does from twenty on, mostly."
        ),
        charts={
            "members": xy(
                "Precipitation: error against members averaged",
                [f"{PAPER}: few members hide the bias of both methods; lines are bias and noise over n"],
                series,
                x="members averaged, for training and target",
                y="root mean square error (mm/day)",
                log_x=True,
            )
        },
    )


def _ahead(words: str, n: Array, error: Array) -> list[Claim]:
    """The error at twenty members and more, from up to ten."""
    few, many = n <= FEW, n >= MANY
    seen = fs.Runs.from_columns({"D": n[few], "loss": error[few]})
    off = {
        law: float(np.mean(np.abs(fs.fit(seen, law, loss="squared").predict(D=n[many]).estimate / error[many] - 1)))
        for law in ("noise-floor", "power-floor(D)")
    }
    return [
        better(
            f"{words}: error of pattern scaling from {MANY} members on, predicted from up to {FEW}",
            ours=off["noise-floor"], theirs=off["power-floor(D)"], tie=0.02, source="a power law with a floor",
        )
    ]  # fmt: skip


def _drawn(words: str, n: Array, error: Array) -> list[Series]:
    line = fs.noise_floor(n, error)
    fine = np.geomspace(n.min(), n.max(), 60)
    return [Series(words, n, error), Series(words, fine, line.predict(fine), "line")]


climate_noise_floor = Study(
    id="climate_noise_floor",
    title="The noise floor of climate emulators",
    question="Is the squared error of a method its squared bias plus the noise of one member over n?",
    papers=("lutjens2024",),
    datasets=("climate-emulator",),
    laws=("noise-floor", "power-floor"),
    run=run,
)

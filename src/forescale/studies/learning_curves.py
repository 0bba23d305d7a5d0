# SPDX-License-Identifier: Apache-2.0
"""Learning curves (Hestness et al. 2017): the three regions in ninety-two measured curves, and their hidden ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.fitting.estimate import fit  # 368 fits: no verdict is read
from forescale.laws import as_law
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import log_errors, rms
from forescale.studies._study import Claim, Outcome, Study, Table, better, holds, measured

Array = NDArray[np.float64]

M4_MEAN = 0.0350
M4 = "released M4 (Alabdulmohsin et al. 2022), same rows"
DOMAINS = {"IC": "images, few-shot", "NMT": "translation", "LM": "language", "BB": "BIG-Bench"}
RANGE = (0.07, 0.35)
"""Exponents that the paper observed."""
STRONG = 10.0
"""Difference of BIC from which on a region counts as seen: odds of 150 to 1."""
EXAMPLES = ("IC/bird_5/MiX/B/16", "IC/cal_5/BiT/101/3", "IC/bird_5/ViT/S/16")


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve.

    Attributes:
        name, domain: of the benchmark.
        beta: exponent of the power-law region; line: of a straight line through all fitted rows.
        knee, floor: evidence for each: how much BIC rises without it.
        hidden: root mean squared log error of the hidden end, by law.
    """

    name: str
    domain: str
    beta: float
    line: float
    knee: float
    floor: float
    hidden: dict[str, float]

    @property
    def task(self) -> str:
        """Domain and data set."""
        return "/".join(self.name.split("/")[:2])


def bic(found: fs.Fit) -> float:
    """n log(sum of squared log residuals) + p log n; the fits here are least squares of log loss."""
    n = found.n
    return n * math.log(2 * found.objective) + len(found.params) * math.log(n)


def measure(runs: fs.Runs) -> list[Curve]:
    """All curves: fits to the rows marked for it, errors on the others."""
    names, training = runs.labels["run"], runs["training"] == 1
    three = as_law("hestness")
    laws = {
        "hestness": three,
        "no floor": three.fix(E=0.0),
        "power-floor": as_law("power-floor(D)"),
        "power": as_law("power(D)"),
    }
    found = []
    for name in dict.fromkeys(names.tolist()):
        begun, rest = runs.where((names == name) & training), runs.where((names == name) & ~training)
        fits = {key: fit(begun, law, loss="log-squared") for key, law in laws.items()}
        hidden = {key: rms(log_errors(one, rest)) for key, one in fits.items()}
        scores = {key: bic(one) for key, one in fits.items()}
        found.append(
            Curve(
                name,
                name.split("/")[0],
                fits["hestness"].params["beta"],
                fits["power"].params["alpha"],
                min(scores["power-floor"], scores["power"]) - scores["hestness"],
                min(scores["no floor"], scores["power"]) - min(scores["hestness"], scores["power-floor"]),
                hidden,
            )
        )
    return found


def run() -> Outcome:
    """Fit, count what the curves show, and predict their ends."""
    runs = fs.dataset("nsl-benchmark")
    curves = measure(runs)
    knee = [c for c in curves if c.knee > STRONG]
    error = {key: np.array([c.hidden[key] for c in curves]) for key in curves[0].hidden}
    mean = {key: float(values.mean()) for key, values in error.items()}
    low, high = RANGE
    floors, steep = sum(c.floor > STRONG for c in curves), float(np.median([c.beta for c in knee]))
    claims = [
        _against_m4("mean error on the hidden ends (RMSLE)", error["hestness"], np.mean, M4_MEAN),
        _against_m4("median error on the hidden ends", error["hestness"], np.median, 0.0233),
        holds(
            "mean error on the hidden ends, three regions against a power law with a floor",
            ours=mean["hestness"],
            most=mean["power-floor"],
            source="power-floor on the same rows",
        ),
        measured(
            f"curves of {len(curves)} whose fitted part shows a knee",
            len(knee),
            note=f"BIC worse by more than {STRONG:g} without best guess and knee.",
        ),
        measured(f"curves of {len(curves)} whose fitted part shows a floor", floors),
        measured("median exponent of the curves with a knee", steep),
        measured(
            "share of the curves with a knee whose exponent is within .07 to .35",
            float(np.mean([low <= c.beta <= high for c in knee])),
            note="The paper's range is of other fields; most here are few-shot images against pre-training examples.",
        ),
        measured(
            "the same by straight lines through all fitted rows, all curves",
            float(np.mean([low <= c.line <= high for c in curves])),
            note="A line through knee and floor is flatter than the region between them.",
        ),
        *_architectures(knee),
    ]
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"{len(knee)} of {len(curves)} curves show a best guess and a knee before their power law, and {floors} "
            f"a floor. On the hidden ends the three regions err by {mean['hestness']:.3f} in the mean, a power law "
            f"with a floor by {mean['power-floor']:.3f}, the released M4 by {M4_MEAN:.3f}. Between knee and floor "
            f"the median exponent is {steep:.2f}; the paper has .07 to .35."
        ),
        charts={"curves": _chart(runs)},
        tables=(_table(curves),),
    )


def _against_m4(text: str, errors: Array, what: Callable[..., Any], theirs: float) -> Claim:
    """A difference below the standard error over curves is none; their errors are known by mean and median alone."""
    drawn = np.random.default_rng(0).integers(0, errors.size, (2000, errors.size))
    error = float(what(errors[drawn], axis=1).std())
    note = f"Standard error of ours over curves: {error:.2g}."
    return better(text, ours=float(what(errors)), theirs=theirs, tie=error / theirs, source=M4, note=note)


def _architectures(knee: list[Curve]) -> list[Claim]:
    """How far exponents of one task differ between models: by the paper architecture moves the offset alone."""
    spreads = []
    for task in sorted({c.task for c in knee}):
        betas = [c.beta for c in knee if c.task == task]
        if len(betas) >= 5:
            spreads.append(float(np.std(np.log(betas), ddof=1)))
    return [
        measured(
            "standard deviation of log exponent between models of one task, median over tasks",
            float(np.median(spreads)),
            note="The paper: architectures shift the curve and leave its slope.",
        )
    ]


def _table(curves: list[Curve]) -> Table:
    rows = []
    for domain, words in DOMAINS.items():
        mine = [c for c in curves if c.domain == domain]
        seen = [c for c in mine if c.knee > STRONG]
        exponents = f"{np.median([c.beta for c in seen]):.2f}" if seen else ""
        errors = [f"{np.mean([c.hidden[key] for c in mine]):.4f}" for key in ("hestness", "power-floor", "power")]
        floors = sum(c.floor > STRONG for c in mine)
        rows.append((words, str(len(mine)), str(len(seen)), str(floors), exponents, *errors))
    return Table(
        "By domain",
        ("domain", "curves", "with a knee", "with a floor", "median exponent", "hestness", "power-floor", "power"),
        tuple(rows),
        "Last three: mean error (RMSLE) on the hidden ends. Exponent: of the curves with a knee.",
    )


def _chart(runs: fs.Runs) -> object:
    series = []
    for name in EXAMPLES:
        rows = runs.where(runs.labels["run"] == name)
        found = fit(rows.where(rows["training"] == 1), as_law("hestness"), loss="log-squared")
        D = np.geomspace(rows["D"].min(), rows["D"].max(), 80)
        series += [Series(name, rows["D"], rows["loss"]), Series(name, D, found.predict(D=D).estimate, "line")]
        edge = rows["D"][rows["training"] == 1].max()
        series.append(Series("end of the fitted part", [edge], found.predict(D=edge).estimate))
    return xy(
        "Three curves and their three regions",
        ["lines: fitted to the dots left of the mark, drawn to the end of the data"],
        series,
        x="examples seen",
        y="error rate",
        log_x=True,
        log_y=True,
        kind_x="count",
    )


learning_curves = Study(
    id="learning-curves",
    title="Three regions of a learning curve",
    question="Do measured curves show best guess, power law and floor, and does knowing that predict their ends?",
    papers=("hestness2017", "alabdulmohsin2022"),
    datasets=("nsl-benchmark",),
    laws=("hestness", "power-floor", "power"),
    run=run,
)

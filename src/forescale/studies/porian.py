# SPDX-License-Identifier: Apache-2.0
"""From Kaplan's exponent to Chinchilla's in five settings (Porian et al. 2024), by IsoFLOP curves and by a law."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import span
from forescale.studies._study import Claim, Outcome, Study, Table, holds, reproduced

SETTINGS = (
    ("porian-kaplan", "Kaplan's procedure", 0.834),
    ("porian-head", "last layer counted", 0.701),
    ("porian-warmup", "warm-up shortened", 0.604),
    ("porian-cosine", "decay to each run's end", 0.571),
    ("porian-tuned", "tuned per size", 0.497),
)
SOURCE = "n_exponent in the authors' released fits, RefinedWeb"
CHINCHILLA = "Hoffmann et al. 2022, IsoFLOP curves: .49, .462 to .534"
WITHIN = 0.005
REMARKS = {
    "porian-head": "{left} are left out here, as an optimum at the smallest size is none; the authors keep one more.",
}


def run() -> Outcome:
    """The exponent of N* in each setting by interpolated IsoFLOP curves, by parabolas and by chinchilla."""
    claims: list[Claim] = []
    series: list[Series] = []
    rows: list[tuple[str, ...]] = []
    found: dict[str, float] = {}
    moved: list[float] = []
    for name, words, theirs in SETTINGS:
        runs = fs.dataset(name)
        curves = fs.isoflop(runs, method="interpolation", correct=False)
        parabolas = fs.isoflop(runs, method="parabola", correct=False)
        law = fs.fit(runs, "chinchilla")
        assert curves.N is not None  # noqa: S101
        assert parabolas.N is not None  # noqa: S101
        share = law.params["beta"] / (law.params["alpha"] + law.params["beta"])
        found[name] = curves.N.exponent
        moved.append(abs(parabolas.N.exponent - curves.N.exponent))
        left = f"{len(curves.profiles) - len(curves.used)} of {len(curves.profiles)} budgets"
        claims.append(
            reproduced(
                f"exponent of N*: {words}",
                ours=curves.N.exponent,
                theirs=theirs,
                within=WITHIN,
                source=SOURCE,
                note=REMARKS.get(name, "").format(left=left),
            )
        )
        low, high = curves.N.interval
        rows.append(
            (
                words,
                f"{theirs:.3f}",
                f"{curves.N.exponent:.3f} ({low:.3f} to {high:.3f})",
                f"{parabolas.N.exponent:.3f}",
                f"{len(parabolas.used)} of {len(parabolas.profiles)}",
                f"{share:.3f}",
            )
        )
        C = np.array([p.budget for p in curves.used])
        N = np.array([p.N_star for p in curves.used])
        series += [Series(words, C, N), Series(words, C, curves.N(C), "line")]
    at = list(found.values())
    claims += _steps(found)
    claims += _open_web()
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "Counting the last layer, a shorter warm-up, a decay that ends with the run and tuning per size take the "
            f"exponent of the best size from {at[0]:.2f} by way of {', '.join(f'{x:.2f}' for x in at[1:-1])} to "
            f"{at[-1]:.2f}. How the minimum of a curve is read (parabola or interpolation) moves it by "
            f"{span(moved, '.3f')}."
        ),
        charts={
            "optima": xy(
                "Best size by budget in five settings",
                ["each dot is the minimum of one IsoFLOP curve; the slopes are the exponents"],
                series,
                x="training compute (FLOP, as the setting counts it)",
                y="best size (parameters, as the setting counts them)",
                log_x=True,
                log_y=True,
                kind_x="flop",
                kind_y="count",
            )
        },
        tables=(
            Table(
                "Exponent of N* by method",
                ("setting", "authors", "interpolation, 90 %", "parabola", "budgets a parabola can use", "chinchilla"),
                tuple(rows),
                "The law of loss is fitted to all points of a setting; its exponent is beta / (alpha + beta).",
            ),
        ),
    )


def _steps(found: dict[str, float]) -> list[Claim]:
    values = list(found.values())
    falls = [before - after for before, after in pairwise(values)]
    return [
        holds(
            "smallest fall of the exponent from one setting to the next",
            ours=min(falls),
            least=0.0,
            source="the authors' released exponents fall at every step",
        ),
        holds(
            "exponent after tuning, inside Chinchilla's interval",
            ours=values[-1],
            least=0.462,
            most=0.534,
            source=CHINCHILLA,
        ),
    ]


def _open_web() -> list[Claim]:
    """The same two ends on the other corpus."""
    runs = fs.dataset("porian")
    claims = []
    for group, words, note in (
        ("owt2/base/long/kaplan/kaplan/train", "Kaplan's procedure", "Figure 1 of the paper has .88."),
        ("owt2/tuned/short/const/standard/val", "tuned per size", ""),
    ):
        rows = runs.where(runs.labels["group"] == group)
        curves = fs.isoflop(rows, method="interpolation", correct=False)
        assert curves.N is not None  # noqa: S101
        budgets, first = np.unique(rows["C"], return_index=True)
        low, high = curves.N.interval
        claims.append(
            reproduced(
                f"OpenWebText2, exponent of N*: {words}",
                ours=curves.N.exponent,
                theirs=float(np.polyfit(np.log(budgets), np.log(rows["n_opt_authors"][first]), 1)[0]),
                within=WITHIN,
                source="slope of the authors' released optima",
                note=f"90 %: {low:.3f} to {high:.3f}. {note}".strip(),
            )
        )
    return claims


porian = Study(
    id="porian",
    title="Where Kaplan's exponent comes from",
    question="Does the exponent of the best size fall from Kaplan's to Chinchilla's as the procedure is corrected?",
    papers=("porian2024", "kaplan2020", "hoffmann2022"),
    datasets=("porian", "porian-kaplan", "porian-head", "porian-warmup", "porian-cosine", "porian-tuned"),
    laws=("chinchilla",),
    run=run,
)

# SPDX-License-Identifier: Apache-2.0
"""Tables and remarks of the question which answer to pick among samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from forescale.fitting._fit import Finding
from forescale.planning._ballots import BEST, BOTH, SCORE, VOTE, WORST, Problem, answers_of
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Table
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

FEW = 30
"""Problems below which a bootstrap over problems is too narrow."""


def end(curve: Array, level: float, side: int) -> Array:
    tail = 0.5 * (1.0 - level)
    return np.asarray(np.quantile(curve[1:], 1.0 - tail if side else tail, axis=0))


def by_rule(
    curves: dict[str, Array], able: list[str], ks: Array, place: int, enough: dict[str, Array], level: float
) -> Table:
    at = np.stack([curves[rule][:, place] for rule in able])
    first = at == at.max(axis=0)
    wins = (first / first.sum(axis=0))[:, 1:].mean(axis=1)
    rows: list[Row] = []
    for i in np.argsort(-at[:, 0], kind="stable"):
        rule = able[i]
        ends = interval(at[i], level) or (None, None)
        k = decided(enough[rule], "count", level)
        rows.append((rule, float(at[i, 0]), *ends, float(wins[i]), float(curves[rule][0].max()), k.value, k.lower,
                     k.upper))  # fmt: skip
    return Table(
        "alternatives",
        f"The rules, with {ks[place]:,.0f} samples",
        (
            ("rule", ""), ("accuracy", ""), ("from", ""), ("to", ""), ("best in", ""), ("its own best", ""),
            ("enough samples", "count"), ("at least", "count"), ("at most", "count")
        ),
        tuple(rows),
        "best in: share of the resamples of the problems. enough: within the slack of the rule's own best.",
    )  # fmt: skip


def by_samples(curves: dict[str, Array], able: list[str], ks: Array) -> Table:
    names = (*able, BEST, WORST)
    rows = tuple((float(k), *(float(curves[name][0, i]) for name in names)) for i, k in enumerate(ks))
    error = max(float(np.std(curves[name][1:, -1])) for name in able)
    return Table(
        "sensitivity",
        "Accuracy by samples per problem",
        (("samples", "count"), *((name, "") for name in names)),
        rows,
        f"Each number has a standard error of up to {error:.2g} from the choice of problems; differences have less.",
    )


def limit_table(limits: tuple[Array, Array] | None) -> list[Table]:
    if limits is None:
        return []
    right, rate = limits
    rows: list[Row] = []
    for name, chosen in (("the vote ends right", right == 1.0), ("it ends wrong", right == 0.0)):
        if chosen.any():
            quarter, half = (float(np.quantile(rate[chosen], q, method="lower")) for q in (0.25, 0.5))
            rows.append((name, float(chosen.sum()), half, quarter, math.log(100.0) / half if half > 0 else math.inf))
    return [
        Table(
            "limit",
            "Where majority votes end",
            (
                ("problems where", ""), ("how many", "count"), ("exponent, median", ""), ("lower quarter", ""),
                ("samples to 1 %", "count"),
            ),
            tuple(rows),
            "A vote ends at the most frequent answer. Chances that another wins fall as exp(-exponent k); the last "
            "column is log(100) over the median. Shares are those of the samples, so close calls are uncertain.",
        )
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------- what must be said


def verb(rule: str) -> str:
    return {
        VOTE: "let the majority decide",
        SCORE: "keep the one with the best score",
        BOTH: "let them vote with their scores as weights",
    }[rule]


def about_rules(curves: dict[str, Array], able: list[str], ks: Array, slack: float, level: float) -> list[Finding]:
    found = []
    for rule in able:
        curve = curves[rule]
        peak = int(np.argmax(curve[0]))
        lost = interval(curve[:, peak] - curve[:, -1], level)
        if lost is not None and lost[0] > 0 and curve[0, peak] - curve[0, -1] > slack:
            found.append(
                Finding(
                    "falls",
                    "amber",
                    f"{rule} is best with {ks[peak]:,.0f} samples and loses "
                    f"{100 * (curve[0, peak] - curve[0, -1]):.3g} points by {ks[-1]:,.0f}.",
                    "More samples find the judge's mistakes: stop there (see over-optimisation).",
                )
            )
        half = int(np.argmin(np.abs(ks - 0.5 * ks[-1])))
        rise = interval(curve[:, -1] - curve[:, half], level)
        if rise is not None and rise[0] > 0 and curve[0, -1] - curve[0, half] > slack:
            found.append(
                Finding(
                    "still-rising",
                    "amber",
                    f"{rule} still gains {100 * (curve[0, -1] - curve[0, half]):.3g} points from {ks[half]:,.0f} to "
                    f"{ks[-1]:,.0f} samples: its plateau is not in the table.",
                    "Draw more samples per problem.",
                )
            )
    return found


def about_table(table: Runs, problems: list[Problem], asked: int | None) -> list[Finding]:
    found = []
    sizes = [len(p.correct) for p in problems]
    if len(problems) < FEW:
        found.append(
            Finding(
                "few-problems",
                "amber",
                f"{len(problems)} problems: an interval from resampling so few is too narrow.",
                "Problems, not samples, make the error: measure on more of them.",
            )
        )
    if min(sizes) < 0.5 * max(sizes):
        found.append(
            Finding(
                "uneven-samples",
                "amber",
                f"Problems have {min(sizes)} to {max(sizes)} samples; the curves end at {min(sizes)}.",
                "If sampling stopped early on some outcome, these accuracies are biased.",
            )
        )
    if "score" in table.columns and answers_of(table) is not None and float(table["score"].min()) < 0:
        found.append(
            Finding(
                "negative-scores",
                "amber",
                "Some scores are negative: in a weighted vote they speak against their own answer.",
                "Give probabilities, or another positive scale, to weight votes by.",
            )
        )
    if answers_of(table) is not None:
        mixed = sum(int(((p.ballot.credit > 0) & (p.ballot.credit < 1)).any()) for p in problems)
        if mixed and bool(np.isin(table["correct"], (0.0, 1.0)).all()):
            found.append(
                Finding(
                    "mixed-grades",
                    "amber",
                    f"In {mixed} problems equal answers are right in some samples and wrong in others.",
                    "A vote cannot tell them apart: use the part of the answer that is graded.",
                )
            )
    if asked is not None and asked > min(sizes):
        found.append(
            Finding(
                "beyond-samples",
                "amber",
                f"{asked:,} samples are more than the {min(sizes):,} of the table: the vote is worked out "
                "from the shares of the answers as they are, which flatters it where they are close.",
            )
        )
    return found

# SPDX-License-Identifier: Apache-2.0
"""Which runs are under-tuned: how far each lies above the law of the well-tuned ones, and whether any does.

A loss above the curve is noise or a badly chosen learning rate. The loss `frontier` estimates the noise, the share of
runs with an excess, and the law of the others together; here each run gets the probability of an excess and its
expected size (Jondrow, Lovell, Materov & Schmidt 1982), and the table a test of "no run has an excess".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, RefusedError, message
from forescale.fitting._fit import Fit
from forescale.fitting._stack import Stack
from forescale.fitting.estimate import fit as fitted
from forescale.fitting.estimate import problem_of
from forescale.numerics import _frontier, losses

Array = NDArray[np.float64]

LEAST = 0.5
"""Probability of an excess from which a run is called under-tuned."""


@dataclass(frozen=True, eq=False)
class Excess:
    """The under-tuned runs of a table.

    Attributes:
        fit: the law of the well-tuned runs (loss `frontier`).
        share: estimated share of runs with an excess.
        scale: noise of one run, standard deviation of the bulk of log loss.
        probability: (n,) that a run has an excess.
        excess: (n,) expected excess in log loss: 0.01 is one percent of the loss. Zero where no share is estimated.
        names: (n,) names of the runs, or "row 1", ...
        ratio: likelihood-ratio statistic of "no run has an excess".
        p_value: of that test, from its boundary law 1/2 chi2(0) + 1/2 chi2(1).
        found: p_value <= 1 - level of the fit.
        note: what to keep in mind, or "".
    """

    fit: Fit
    share: float
    scale: float
    probability: Array
    excess: Array
    names: tuple[str, ...]
    ratio: float
    p_value: float
    found: bool
    note: str = ""

    @property
    def rows(self) -> NDArray[np.intp]:
        """Rows (of `fit.runs`, from 0) of the under-tuned runs, largest excess first; none where none are found."""
        if not self.found:
            return np.empty(0, dtype=np.intp)
        named = np.flatnonzero(self.probability >= LEAST)
        return named[np.argsort(-self.excess[named], kind="stable")]

    def frame(self) -> dict[str, list[Any]]:
        """Columns of the under-tuned runs: row (from 0), run, excess (log loss), probability."""
        rows = self.rows
        return {
            "row": rows.tolist(),
            "run": [self.names[i] for i in rows],
            "excess": self.excess[rows].tolist(),
            "probability": self.probability[rows].tolist(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "share": self.share,
            "scale": self.scale,
            "ratio": self.ratio,
            "p_value": self.p_value,
            "found": self.found,
            "note": self.note,
            "runs": [dict(zip(("row", "run", "excess", "probability"), r)) for r in zip(*self.frame().values())],
        }

    def __str__(self) -> str:
        p = "p < .0001" if self.p_value < 1e-4 else f"p = {self.p_value:.2g}"
        if not self.found:
            text = f"No run is shown to be under-tuned ({p}); noise of one run {100 * self.scale:.2g} %."
            return text + (f"\n{self.note}" if self.note else "")
        rows = self.rows
        lines = [
            f"{100 * self.share:.0f} % of {self.excess.size} runs lie above the law by more than noise of "
            f"{100 * self.scale:.2g} % ({p}); {rows.size} can be named:"
        ]
        width = max((len(self.names[i]) for i in rows[:12]), default=0)
        lines += [
            f"  {self.names[i]:<{width}}  +{100 * math.expm1(self.excess[i]):.2g} %  "
            f"(probability {self.probability[i]:.2f})"
            for i in rows[:12]
        ]
        if rows.size > 12:
            lines.append(f"  and {rows.size - 12} more")
        return "\n".join([*lines, self.note] if self.note else lines)


def excess(fit: Fit | Stack) -> Excess:
    """The under-tuned runs behind a fit.

    A fit with another loss is made again with `frontier`; of a stack the law of its best member, on all rows.

    Raises:
        RefusedError: published constants have no runs; the law predicts counts or probabilities.
        QueryError: the fit was made with `frontier:0`, which has no excess.
        DataError: losses that are not positive.
    """
    if isinstance(fit, Stack):
        fit = fitted(fit.runs, fit.best.law, loss="frontier", level=fit.level, rng=fit.seed)
    runs = fit.runs
    if runs is None:
        raise RefusedError(
            message(f"the excess of {fit.source or 'published constants'}", "a fit to runs", "fs.fit(runs, law)")
        )
    objective = losses.loss(fit.loss)
    if objective.scale == "probability":
        raise RefusedError(message(f"an excess under the loss {fit.loss!r}", "a law of a positive loss"))
    if objective.kind == "frontier" and objective.numbers[0] == 0.0:
        raise QueryError(message("an excess of a fit with the loss 'frontier:0'", "loss='frontier'"))
    if objective.kind != "frontier":
        fit = fitted(runs, fit.law, loss="frontier", level=fit.level, rng=fit.seed)
    problem = problem_of(fit)
    u = problem.space.search(problem.space.vector(fit.params))[None]
    pred = problem.predict(u)
    scale, share = (float(x) for x in problem.objective.profile(pred, problem.response, problem.weights[None])[0])
    residuals = -problem.objective.residual(pred, problem.response)[0]
    probability, expected = _frontier.posterior(residuals, scale, share)
    names = tuple(f"row {i + 1}" for i in range(residuals.size))
    note = ""
    if "run" in runs.labels:
        named = [str(x) for x in runs.labels["run"]]
        repeated = len(set(named)) < len(named)
        names = tuple(f"{name} (row {i + 1})" for i, name in enumerate(named)) if repeated else tuple(named)
        if repeated:
            note = "Rows of one run are not independent: the test takes them as if, and finds an excess too easily."
    if share >= 0.98 * problem.objective.numbers[0]:
        note = (note + " " if note else "") + (
            f"The share is at its bound of {problem.objective.numbers[0]:g}: few runs say where the law is."
        )
    ratio = 0.0
    if share > 0.0:
        null = fitted(runs, fit.law, loss="frontier:0", level=fit.level, rng=fit.seed)
        ratio = max(2.0 * (null.objective - fit.objective), 0.0)
    p_value = 0.5 * math.erfc(math.sqrt(0.5 * ratio)) if ratio > 0.0 else 1.0
    return Excess(
        fit, share, scale, probability, expected, names, ratio, p_value, p_value <= 1.0 - fit.level + 1e-12, note
    )

# SPDX-License-Identifier: Apache-2.0
"""Training curves and what a law along curves says of them: loss against the step, a colour for each run."""

from __future__ import annotations

import numpy as np

from forescale.fitting._fit import Fit
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import KINDS, runs_of, titled
from forescale.reporting.charts.xy import Series, xy

MOST_RUNS = len(look.CATEGORIES)
"""Runs drawn at most: colours that can be told apart."""

FIRST = 0.05
"""Share of the points, the first of a run, that does not stretch the frame: losses fall steeply there."""


def curves(fit: Fit, *, width: int = look.WIDTH) -> look.Spec:
    """Logged losses as points and the law as lines. Raises InputError for published constants."""
    runs = runs_of(fit, fit.law.output)
    law = fit.predict(runs).estimate
    codes, names = runs.group_codes("run") if "run" in runs.labels else (np.zeros(len(runs), dtype=int), ("run",))
    drawn = np.linspace(0, len(names) - 1, min(len(names), MOST_RUNS)).round().astype(int)
    step, loss = runs["step"], runs[fit.law.output]
    series: list[Series] = []
    for code in drawn:
        rows = np.flatnonzero(codes == code)
        rows = rows[np.argsort(step[rows], kind="stable")][int(FIRST * rows.size) :]
        series += [Series(names[code], step[rows], loss[rows]), Series(names[code], step[rows], law[rows], "line")]
    said = ["points: logged losses; lines: the law, from the learning rates alone"]
    if len(names) > MOST_RUNS:
        said.append(f"{MOST_RUNS} of {len(names)} runs are drawn")
    return xy(
        "Loss along training", said, series, x=titled(fit, "step"), y=titled(fit, fit.law.output),
        kind_x=KINDS.get("step", "number"), width=width,
    )  # fmt: skip

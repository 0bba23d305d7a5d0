# SPDX-License-Identifier: Apache-2.0
"""The members of a stack, weighted for a question about N and D apart.

A member may predict the loss of larger runs well and yet not know how to split a budget: fitted to the few runs near
the largest, it sees no size but the best ones. Its optimum N* says so itself, by the spread of its draws. Members
are weighted as the studies of a meta-analysis with random effects: by w / (s^2 + t^2), where w is the weight for
prediction, s the standard deviation of log N* over the draws, and t that of log N* between the members (DerSimonian
and Laird 1986). N* is taken at the largest compute of the runs, where they know most about it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from forescale.fitting._fit import Fit
from forescale.fitting._stack import Stack
from forescale.fitting.surface import surface
from forescale.planning._frontier import frontier

DRAWS = 200
LEAST_SD = 0.02
"""Standard deviations of log N* below this count as this: no member is known to 2 %."""
LEAST_SHARE = 0.5
"""Draws of a member with an optimum, below which it does not say where the optimum is."""
LEAST_WEIGHT = 0.002
"""Members with less are left out."""
WINDOW = (0.1, 1e4)
"""Tokens per parameter between which an optimum is looked for."""


def splitting(stack: Stack) -> Stack:
    """The members that answer most questions, weighted by what they know about N*.

    The weights for prediction stay where there is one member, one variable, no compute, or no member with an optimum.
    """
    planned = stack.planned()
    top = stack.fitted_range.get("C")
    able = all("compute-optimal" in m.fit.law.valid_for for m in planned.members)
    if len(planned.members) < 2 or len(stack.inputs) < 2 or top is None or not able:
        return planned
    found = np.array([_optimum(m.fit, top[1]) for m in planned.members])
    weight = np.array([m.weight for m in planned.members])
    usable = np.isfinite(found).all(axis=1)
    if not usable.any():
        return planned
    centre, sd = found[:, 0], np.maximum(found[:, 1], LEAST_SD)
    v = np.where(usable, weight / sd**2, 0.0)
    mean = np.sum(v[usable] * centre[usable]) / v.sum()
    between = np.sum(v[usable] * (centre[usable] - mean) ** 2) / v.sum()
    w = np.where(usable, weight / (sd**2 + between), 0.0)
    w = np.where(w >= LEAST_WEIGHT * w.sum(), w, 0.0)
    w /= w.sum()
    order = [int(i) for i in np.argsort(-w, kind="stable") if w[i] > 0]
    return replace(planned, members=tuple(replace(planned.members[i], weight=float(w[i])) for i in order))


@np.errstate(all="ignore")
def _optimum(fit: Fit, C: float) -> tuple[float, float]:
    """log N* at a budget and its standard deviation over the draws; NaN where the fit has no optimum there."""
    if not len(fit.draws):
        return math.nan, math.nan
    log = np.log(frontier(surface(fit, draws=DRAWS), [C], window=WINDOW).N[:, 0])
    own = log[1:][np.isfinite(log[1:])]
    if not math.isfinite(log[0]) or len(own) < LEAST_SHARE * min(DRAWS, len(fit.draws)):
        return math.nan, math.nan
    low, high = np.quantile(own, [0.05, 0.95])
    return float(log[0]), float(high - low) / 3.29

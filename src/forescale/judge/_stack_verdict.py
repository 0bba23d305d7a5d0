# SPDX-License-Identifier: Apache-2.0
"""The verdict of a stack: was it tested, did its own bands hold, do its members agree? And its calibration."""

from __future__ import annotations

import numpy as np

from forescale.fitting._fit import Finding, Verdict
from forescale.fitting._stack import Stack
from forescale.judge._thresholds import threshold
from forescale.judge.calibration import Calibration, calibration

ORDER = ("green", "amber", "red")


def stack_verdict(stack: Stack) -> Verdict:
    """Findings about the pool's rolling predictions; the headline says how far it may be believed."""
    found = [_tested(stack)]
    if stack.width.cuts >= 2:
        found += [_held(stack), _errors(stack)]
    found.append(_certified(stack))
    level = max((f.level for f in found), key=ORDER.index)
    return Verdict(level, _headline(stack, level), tuple(found))


def stack_calibration(stack: Stack) -> Calibration | None:
    """How the pool's rolling predictions came out, by distance; those of one cut share their luck. None without."""
    r = stack.rolling
    if not len(r["cut"]):
        return None
    return calibration(
        r["observed"], r["estimate"], r["lower"], r["upper"], df=stack.width.df, level=stack.level,
        distance=r["distance"], cluster=r["cut"],
    )  # fmt: skip


def _reach(stack: Stack) -> float:
    distance = stack.rolling["distance"]
    return float(distance.max()) if len(distance) else 1.0


def _tested(stack: Stack) -> Finding:
    cuts, reach = stack.width.cuts, _reach(stack)
    if cuts == 0:
        return Finding(
            "untested",
            "red",
            "No cut leaves enough rows to hide larger runs: nothing about this table says how the pool extrapolates.",
            "Add smaller runs, in at least two more sizes.",
        )
    level = "green" if cuts >= threshold("stack_cuts") else "amber"
    text = (
        f"The pool predicted hidden larger runs at {cuts} cut{'s' if cuts > 1 else ''}, up to {reach:.3g}x further."
    )
    return Finding("tested", level, text, "" if level == "green" else "More sizes would say more about its errors.")


def _held(stack: Stack) -> Finding:
    r = stack.rolling
    inside = (r["observed"] >= r["lower"]) & (r["observed"] <= r["upper"])
    cuts = np.unique(r["cut"])
    share = float(np.mean([inside[r["cut"] == cut].mean() for cut in cuts]))
    level = "green" if share >= threshold("stack_held") else "amber"
    return Finding(
        "held",
        level,
        f"{inside.sum()} of {len(inside)} hidden runs lay inside the {stack.level:.0%} bands that were known at their cut.",
        "" if level == "green" else "The bands have been widened by these misses; still, expect more of them.",
    )


def _errors(stack: Stack) -> Finding:
    r = stack.rolling
    last = r["cut"] == r["cut"].max()
    error = np.log(r["observed"][last] / r["estimate"][last])
    rms, bias = float(np.sqrt(np.mean(error**2))), float(np.mean(error))
    level = "green" if rms <= threshold("stack_error") else "amber"
    side = "worse" if bias > 0 else "better"
    return Finding(
        "errors",
        level,
        f"At the largest cut the pool erred by {100 * rms:.2g} % (runs came out {100 * abs(bias):.2g} % {side}).",
        "" if level == "green" else "Look for a change of recipe between the small runs and the large ones.",
    )


def _certified(stack: Stack) -> Finding:
    lost = [m.fit.law.id for m in stack.members if m.fit.convergence is None or not m.fit.convergence.certified]
    if lost:
        share = sum(m.weight for m in stack.members if m.fit.law.id in lost)
        level = "amber" if share > 0.5 else "green"
        return Finding("certified", level, f"Members without a certified optimum: {', '.join(dict.fromkeys(lost))}.")
    return Finding("certified", "green", f"All {len(stack.members)} members are at a certified optimum.")


def _headline(stack: Stack, level: str) -> str:
    if stack.width.cuts == 0:
        return "Untested: believe the numbers inside the range of the runs only."
    reach = _reach(stack)
    if level == "green":
        return f"Good for predictions up to about {reach:.2g} times the largest run, with the bands shown."
    return f"Usable up to about {reach:.2g} times the largest run if the bands are taken seriously."

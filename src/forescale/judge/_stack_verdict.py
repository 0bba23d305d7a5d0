# SPDX-License-Identifier: Apache-2.0
"""The verdict of a stack: was it tested, did its own bands hold, do its members agree? And its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forescale.fitting._fit import Finding, Verdict
from forescale.fitting._stack import Stack
from forescale.judge import _checks
from forescale.judge._reference import reference
from forescale.judge._thresholds import threshold
from forescale.judge.calibration import Calibration, calibration
from forescale.judge.verdict import lowered

ORDER = ("green", "amber", "red")

OWN = ("tested", "held", "errors")
"""Findings about the pool's own predictions."""
SPLIT = ("confounded", "levels")
"""Findings that forbid splitting a budget between N and D even where predictions along the runs hold."""
UNUSABLE = ("constant", "convention-differs", "C-disagrees", "groups")
"""Findings that, when red, leave nothing to use."""


def stack_verdict(stack: Stack) -> Verdict:
    """Findings about the pool's rolling predictions and about the table; the headline says how far to believe it."""
    found = [_tested(stack)]
    if stack.width.cuts >= 2:
        found += [_held(stack), _errors(stack)]
    found += [_certified(stack), *_table(stack)]
    level = max((f.level for f in found), key=ORDER.index)
    order = sorted(found, key=lambda f: -ORDER.index(f.level))
    return Verdict(level, _headline(stack, found), tuple(order))


def _table(stack: Stack) -> list[Finding]:
    """What the table lacks for any law in these inputs, as for a verdict on one law: design, conventions, groups."""
    best = stack.best
    all_rows = replace(
        best, runs=stack.runs, residuals=stack.residuals, fitted_range=stack.fitted_range, notes=stack.notes
    )
    found = [*_checks.design(all_rows), *_checks.conventions(all_rows)]
    if set(stack.runs.labels) - {"run"}:
        found += [f for f in _checks.structure(best, reference(best)) if f.code == "groups"]
    return found


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
        f"{inside.sum()} of {len(inside)} hidden runs lay inside the {stack.level:.0%} bands known at their cut.",
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


def _headline(stack: Stack, found: Sequence[Finding]) -> str:
    fatal = next((f for f in found if f.level == "red" and f.code in UNUSABLE), None)
    if fatal is not None:
        return f"Do not use this pool: {lowered(fatal.text)}"
    reach = _reach(stack)
    doubted = any(f.level != "green" and f.code in OWN for f in found)
    if stack.width.cuts == 0:
        text = "Untested: believe the numbers inside the range of the runs only"
    elif doubted:
        text = f"Usable up to about {reach:.2g} times the largest run if the bands are taken seriously"
    else:
        text = f"Good for predictions up to about {reach:.2g} times the largest run, with the bands shown"
    blocked = next((f for f in found if f.level != "green" and f.code in SPLIT), None)
    if blocked is not None and len(stack.inputs) > 1:
        text += f"; do not split a budget with it: {lowered(blocked.text.partition(' (')[0])}"
    return text.rstrip(".") + "."

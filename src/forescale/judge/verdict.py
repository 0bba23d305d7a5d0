# SPDX-License-Identifier: Apache-2.0
"""The verdict on a fit: one level, one headline, and a sentence for each thing that was looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from forescale.fitting._fit import Finding, Fit, Spread, Verdict
from forescale.judge import _checks
from forescale.judge._reference import reference
from forescale.judge._thresholds import threshold

LEVELS = ("green", "amber", "red")

_REPEATED = (("not-determined", "identifiable"), ("too-few-rows", "rows"), ("at-bound", "bounds"))
"""Notes of a fit, and the check that says the same in more words."""
_PATTERNS = ("trend", "groups", "lack-of-fit")

_SPLIT = ("confounded", "identifiable", "levels")
"""Findings that forbid splitting a budget between N and D even where predictions near the runs hold."""
_UNUSABLE = (
    "optimum", "constant", "rows", "too-few-rows", "too-few-runs", "convention-differs", "C-disagrees", "groups"
)  # fmt: skip
"""Findings that, when red, leave nothing to use."""


def verdict(fit: Fit, *, seed: int = 0) -> Verdict:
    """Judge a fit.

    Looked at: the optimum, parameters at bounds, identifiability, rows that do not belong or decide the answer,
    structure in the residuals, the design, conventions, and how far it may be used. Thresholds and their reasons
    stand in `judge/thresholds.toml`. Never raises on a fit, however poor; poor fits are what it is for.

    Args:
        fit: a fit to runs, or published constants.
        seed: of the random halves in the robust reference.
    """
    found = reference(fit, seed) if fit.runs is not None else None
    findings = [
        *_checks.optimum(fit),
        *_checks.bounds(fit),
        *_checks.identifiable(fit),
        *_checks.rows(fit, found),
        *_checks.structure(fit, found),
        *_checks.design(fit),
        *_checks.conventions(fit),
    ]
    # The fit's own notes say again, in fewer words, what a check has found.
    said = {f.code for f in findings if f.level != "green"}
    repeated = {new for new, old in _REPEATED if old in said}
    findings = [f for f in findings if f.code not in repeated]
    findings.append(_reach(fit, findings))
    level = max((f.level for f in findings), key=LEVELS.index)
    order = sorted(findings, key=lambda f: -LEVELS.index(f.level))
    return Verdict(level, _headline(fit, findings, level), tuple(order))


def widened(fit: Fit, spread: Spread | None) -> Fit:
    """The fit with the spread of a backtest, judged again: its verdict then knows what the backtest covered."""
    wider = fit.with_spread(spread)
    return wider.with_verdict(verdict(wider))


def reach_factor(fit: Fit, findings: Sequence[Finding]) -> float:
    """How far beyond the largest run, as a factor of compute, a fit is offered for prediction without a backtest."""
    low, high = _range(fit)
    span = high / low if low > 0 and high > 0 else 1.0
    patterned = any(f.code in _PATTERNS for f in findings)
    return float(min(threshold("reach_patterned") if patterned else threshold("reach"), max(span, 1.0)))


def _range(fit: Fit) -> tuple[float, float]:
    if "C" in fit.fitted_range:
        return fit.fitted_range["C"]
    return next((fit.fitted_range[x] for x in fit.law.inputs if x in fit.fitted_range), (1.0, 1.0))


def _scales(fit: Fit) -> bool:
    """Whether "beyond the largest run" means anything: not for laws of shares, bits and the like."""
    return fit.runs is None or bool(_checks.span(fit, fit.law.inputs)[0])


def _reach(fit: Fit, findings: list[Finding]) -> Finding:
    if not _scales(fit):
        names = ", ".join(fit.law.inputs)
        return Finding("reach", "green", f"The law is asked about {names} within the ranges of the runs.")
    variable = "C" if "C" in fit.fitted_range else fit.law.inputs[0]
    low, high = _range(fit)
    where = f"The runs span {variable} = {low:.2g} to {high:.2g}"
    if fit.spread is not None:
        most = fit.spread.tested or float(fit.spread.distance[-1])
        tested = f"{where}; backtests reach {most:.0f}x beyond the fitted runs"
        covered = fit.spread.covered
        if covered is not None and covered < threshold("own_coverage") * fit.level:
            return Finding(
                "reach",
                "amber",
                f"{tested}, where the law's own {fit.level:.0%} bands held {covered:.0%} of the hidden runs; the "
                "bands are widened by those errors.",
                "Believe the prediction bands, not the intervals of the parameters; another law or a narrower set of "
                "runs may extrapolate better.",
            )
        return Finding("reach", "green", f"{tested}, and the bands carry their errors.")
    return Finding(
        "reach",
        "green",
        f"{where}; nothing larger was tested, so it goes no further than {_times(reach_factor(fit, findings))} that.",
        "Run a backtest: hide the largest runs and predict them.",
    )


def _headline(fit: Fit, findings: list[Finding], level: str) -> str:
    red = [f for f in findings if f.level == "red"]
    fatal = [f for f in red if f.code in _UNUSABLE]
    if fatal:
        return f"Do not use this fit: {lowered(fatal[0].text)}"
    blocked = next((f for f in findings if f.code in _SPLIT and f.level != "green"), None)
    most = reach_factor(fit, findings)
    outliers = next((f for f in findings if f.code == "outliers" and f.level != "green"), None)
    several = len(fit.law.inputs) > 1
    if any(f.code in ("identifiable", "not-determined", "confounded", "profile", "levels") for f in red):
        text = "Usable only among the runs themselves, not beyond them"
    elif red:
        text = "Do not use it before you have looked at the rows it names"
    elif not _scales(fit):
        text = "Usable for prediction within the ranges of the runs"
    else:
        text = f"Usable for prediction up to about {_times(most)} the largest run"
    if several and blocked is not None:
        text += f"; do not split a budget with it: {_why(blocked)}"
    elif outliers is not None and not text.startswith("Do not"):
        text += (
            f"; look at the {len(outliers.rows)} rows it names first"
            if len(outliers.rows) > 1
            else ("; look at the row it names first")
        )
    elif level == "green":
        text += ", and for splitting a budget" if several else ""
    else:
        amber = next(f for f in findings if f.level == level)
        if not red:
            text += f"; note: {lowered(amber.text)}"
    return text.rstrip(".") + "."


def _why(finding: Finding) -> str:
    if finding.code == "confounded":
        return lowered(finding.text.partition(" in these runs")[0])
    return lowered(finding.text.partition(" (")[0].rstrip("."))


def lowered(text: str) -> str:
    """A sentence in the middle of another: its first letter small, unless it is a symbol."""
    head, _, _ = text.partition(" ")
    return text if len(head) == 1 or not head[:1].isupper() or head[1:2].isupper() else text[0].lower() + text[1:]


def _times(factor: float) -> str:
    return f"{factor:.0f}x" if factor >= 2 or not math.isfinite(factor) else f"{factor:.1f}x"

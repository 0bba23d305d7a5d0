# SPDX-License-Identifier: Apache-2.0
"""The checklist of "(Mis)Fitting: A Survey of Scaling Laws" (Li, Kudugunta & Zettlemoyer 2025), filled in from a fit.

Four parts: the form, the training setup, data extraction, and the fit itself. What the fit and its table cannot know
is answered "not stated", in amber: a reader should find it in the text around the fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from forescale.fitting._fit import Fit
from forescale.fitting._stack import Stack
from forescale.judge import _checks
from forescale.judge.backtest import Backtest
from forescale.numerics.losses import loss as objective_of


@dataclass(frozen=True)
class Item:
    """One question with its answer; `level` is "green" (answered), "amber" (missing or doubtful) or "red"."""

    part: str
    question: str
    answer: str
    level: str


FORM, SETUP, DATA, FIT = "Form", "Training setup", "Data", "Fit"


def checklist(fit: Fit, backtest: Backtest | None = None) -> tuple[Item, ...]:
    """All questions in order, each answered from the fit, its table, its verdict and a backtest if there is one."""
    return (*_form(fit), *_setup(fit), *_data(fit), *_fitting(fit, backtest))


def stack_checklist(stack: Stack) -> tuple[Item, ...]:
    """The same questions about a pool of laws; the setup and the data are those of any fit to its rows."""
    pool = stack.pooled
    laws = dict.fromkeys(m.fit.law.id for m in stack.members)
    counts = [len(m.fit.law.params) for m in stack.members]
    lost = [m.fit.law.id for m in stack.members if m.fit.convergence is None or not m.fit.convergence.certified]
    r = stack.rolling
    tested = "no: the table is too small"
    if len(r["cut"]):
        inside = (r["observed"] >= r["lower"]) & (r["observed"] <= r["upper"])
        tested = (
            f"{len(r['cut'])} rolling predictions at {stack.width.cuts} cuts, up to {r['distance'].max():.3g}x: mean "
            f"error {100 * np.mean(np.abs(r['estimate'] / r['observed'] - 1)):.2f} %, {inside.sum()} "
            f"inside the {100 * stack.level:.0f} % band known then"
        )
    items = [
        Item(FORM, "Which form is fitted?", f"a weighted geometric mean of {', '.join(laws)}", "green"),
        Item(
            FORM,
            "Which variables does it use, and what does it predict?",
            f"{', '.join(stack.inputs)} -> {stack.law.output}",
            "green",
        ),
        Item(
            FORM,
            "How many free parameters?",
            f"{len(counts)} members of {min(counts)} to {max(counts)} each; the weights come from rolling errors",
            "green",
        ),
        Item(FORM, "Which parameters are shared or separate between groups?", "one curve for all rows", "green"),
        *_setup(pool),
        *_data(pool),
        Item(FIT, "Which objective?", ", ".join(dict.fromkeys(m.fit.loss for m in stack.members)), "green"),
        Item(
            FIT,
            "Which optimiser and starts?",
            "variable projection, then batched Levenberg-Marquardt, the best of each member polished",
            "green",
        ),
        Item(
            FIT,
            "Was the optimum reached?",
            f"not certified: {', '.join(dict.fromkeys(lost))}" if lost else "certified for every member",
            "amber" if lost else "green",
        ),
        Item(
            FIT,
            "How uncertain are the predictions?",
            f"Student-t bands with {stack.width.df:g} degrees of freedom, from rolling errors, the disagreement of "
            "the members, the distance, and the noise of a run",
            "green",
        ),
        Item(FIT, "Was it checked on held-out, larger runs?", tested, "green" if len(r["cut"]) else "red"),
        Item(FIT, "Can it be repeated?", f"seed {stack.seed}, forescale {stack.version or 'unknown'}", "green"),
    ]
    if stack.verdict is not None:
        items.append(Item(FIT, "Verdict", stack.verdict.headline, stack.verdict.level))
    return tuple(items)


def _form(fit: Fit) -> list[Item]:
    law = fit.law
    used = ", ".join(law.inputs)
    return [
        Item(
            FORM, "Which form is fitted?", f"{law.title} ({law.id}): {law.latex or law.expression or used}", "green"
        ),
        Item(FORM, "Which variables does it use, and what does it predict?", f"{used} -> {law.output}", "green"),
        Item(FORM, "How many free parameters?", f"{len(law.params)} ({', '.join(law.params)})", "green"),
        Item(
            FORM,
            "Which parameters are shared or separate between groups?",
            "one law for all rows"
            if law.groups is None
            else f"{', '.join(law.groups.separate)} per {law.groups.by}, the others shared",
            "green",
        ),
    ]


def _setup(fit: Fit) -> list[Item]:
    items = []
    wants = {"N": "Which parameters are counted?", "D": "What is counted as data?", "C": "How is compute counted?"}
    wants["loss"] = "Which loss, in which unit?"
    for name, question in wants.items():
        stated = fit.conventions.get(name)
        items.append(Item(SETUP, question, stated or "not stated", "green" if stated else "amber"))
    runs = fit.runs
    columns = set() if runs is None else set(runs.columns) | set(runs.labels)
    for question, names in (
        ("Was the learning rate tuned per size?", ("lr_peak", "lr")),
        ("Which batch sizes?", ("batch_tokens", "batch")),
        ("Which schedule, and did it end at each run's horizon?", ("schedule", "schedule_ended", "warmup_steps")),
        ("How many passes over the data?", ("epochs",)),
    ):
        held = [name for name in names if name in columns]
        if runs is None or not held:
            items.append(Item(SETUP, question, "not stated in the table", "amber"))
            continue
        name = held[0]
        if name in runs.columns:
            values = runs[name][np.isfinite(runs[name])]
            if len(values) == 0:
                items.append(Item(SETUP, question, f"{name}: no values", "amber"))
                continue
            levels = len(np.unique(values))
            text = f"{name}: {values.min():.3g} to {values.max():.3g}, {levels} value{'s' if levels > 1 else ''}"
        else:
            names_ = runs.group_codes(name)[1]
            text = f"{name}: " + ", ".join(names_[:4]) + (", ..." if len(names_) > 4 else "")
        items.append(Item(SETUP, question, text, "green"))
    return items


def _data(fit: Fit) -> list[Item]:
    runs = fit.runs
    if runs is None:
        source = fit.source or "published constants"
        return [Item(DATA, "Which runs?", f"{source}: the runs are not at hand", "amber")]
    items = [
        Item(
            DATA,
            "How many data points?",
            f"{len(runs)} rows from {runs.source}, sha256 {fit.data_hash[:12]}",
            "green",
        )
    ]
    spans = [f"{k} {low:.2g} to {high:.2g}" for k, (low, high) in fit.fitted_range.items()]
    low, high = fit.fitted_range.get("C", (1.0, 1.0))
    decades = math.log10(high / low) if low > 0 else 0.0
    items.append(Item(DATA, "Over which range?", "; ".join(spans), "green" if decades >= 1 else "amber"))
    several = _checks.checkpoints(runs)
    items.append(
        Item(
            DATA,
            "Final losses or checkpoints?",
            "one row per run" if several is None else f"{several[1]} rows of {several[0]} runs: checkpoints",
            "green" if several is None else "amber",
        )
    )
    chosen = [n.text for n in fit.notes if n.code in ("rows-chosen", "rows-dropped", "dropped", "zero-weight")]
    items.append(
        Item(DATA, "How were points selected?", " ".join(chosen) or "all rows of the table were used", "green")
    )
    named = _finding(fit, "outliers")
    if named is not None:
        items.append(Item(DATA, "Are there outliers?", named[0], named[1]))
    repeats = len(runs) - len(np.unique(np.column_stack([np.log(runs[x]) for x in fit.law.inputs]).round(6), axis=0))
    items.append(
        Item(
            DATA,
            "Are runs repeated with other seeds?",
            f"{repeats} repeats" if repeats else "no: the noise of one run is only seen through the residuals",
            "green" if repeats else "amber",
        )
    )
    return items


def _fitting(fit: Fit, backtest: Backtest | None) -> list[Item]:
    objective = objective_of(fit.loss)
    items = [
        Item(
            FIT,
            "Which objective?",
            f"{fit.loss}, on {'log' if objective.scale == 'log' else objective.scale} scale, summed over rows",
            "green",
        )
    ]
    if fit.runs is not None:
        weighted = fit.runs.weights is not None
        items.append(Item(FIT, "Are points weighted?", "yes, by the table" if weighted else "no", "green"))
    c = fit.convergence
    if c is None:
        items.append(Item(FIT, "Which optimiser and starts?", "published constants: see the source", "amber"))
    else:
        items.append(
            Item(
                FIT,
                "Which optimiser and starts?",
                f"{c.starts} starts scored, {c.polished} solved by batched Levenberg-Marquardt, the best polished",
                "green",
            )
        )
        items.append(
            Item(FIT, "Was the optimum reached?", c.message or "certified", "green" if c.certified else "red")
        )
    intervals = ", ".join(fit.intervals) if fit.intervals else "none"
    items.append(
        Item(
            FIT,
            "How uncertain are the parameters?",
            f"{intervals} intervals at {100 * fit.level:.0f} %"
            + (f"; draws: {fit.draws_from}" if fit.draws_from != "none" else ""),
            "green" if fit.intervals or fit.draws_from != "none" else "amber",
        )
    )
    if backtest is not None:
        far = float(backtest.points["distance"].max())
        items.append(
            Item(
                FIT,
                "Was it checked on held-out, larger runs?",
                f"{len(backtest.points['distance'])} predictions up to {far:.0f}x: mean error {backtest.mape:.2f} %, "
                f"{100 * backtest.covered:.0f} % inside the {100 * backtest.level:.0f} % band",
                "green",
            )
        )
    else:
        text = "no" if fit.spread is None else fit.spread.origin
        items.append(
            Item(FIT, "Was it checked on held-out, larger runs?", text, "amber" if fit.spread is None else "green")
        )
    items.append(Item(FIT, "Can it be repeated?", f"seed {fit.seed}, forescale {fit.version or 'unknown'}", "green"))
    if fit.verdict is not None:
        items.append(Item(FIT, "Verdict", fit.verdict.headline, fit.verdict.level))
    return items


def _finding(fit: Fit, code: str) -> tuple[str, str] | None:
    if fit.verdict is None:
        return None
    found = next((f for f in fit.verdict.findings if f.code == code), None)
    return None if found is None else (found.text, found.level)

# SPDX-License-Identifier: Apache-2.0
"""What decides learning rate and batch: sweeps, a valley or a rule; and what must be said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting.surface import surface
from forescale.laws.step_law import bottom, cost, tuning_surface
from forescale.planning import _evidence
from forescale.planning._compose import refused
from forescale.planning._intervals import interval, of_estimate
from forescale.planning._plan import Basis, Grounds
from forescale.planning._published_rules import CELLS_N, RULES, Asked, distance
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

SWEEP = (*tuning_surface.inputs, tuning_surface.output)
"""Columns of a table of sweeps."""

RATES = ("lr-power", "lr-by-compute", "lr-by-size", "lr-by-log-size")
BATCHES = ("batch-power", "batch-by-compute", "batch-by-size", "critical-batch")


@dataclass(frozen=True, eq=False)
class Tuning:
    """What decides rate and batch.

    Attributes:
        rate, batch: (B,) the settings of least loss.
        shape: s, k_lr and k_B of the valley, (B,) each.
        shape_is_fitted: whether the shape belongs to the fit that decides (else it is published and has no draws).
        shape_source: whose shape, in a sentence.
        name: what decides, for the headline.
        grounds: the grounds without what was not used.
    """

    rate: Array
    batch: Array
    shape: Mapping[str, Array]
    shape_is_fitted: bool
    shape_source: str
    name: str
    grounds: Grounds
    warnings: tuple[Finding, ...] = ()
    assumptions: tuple[str, ...] = ()


def tuning(grounds: Grounds, asked: Asked, within: float) -> Tuning:
    """The rule that decides: sweeps before a given surface, a given surface before rules."""
    if grounds.has("sweep"):
        return _of_surface(grounds, _swept(grounds, within), asked, within)
    if "surface" not in grounds.defaulted:
        return _of_surface(grounds, grounds.laws["surface"], asked, within)
    return _of_rules(grounds, asked)


def _swept(grounds: Grounds, within: float) -> Basis:
    # Only sweeps are fitted here: plans from fits and published constants start without it.
    from forescale.fitting.tuning import valley
    from forescale.judge.verdict import verdict

    found = valley(grounds.tables["sweep"], within)
    found = replace(found, verdict=verdict(found))
    first = found.law.groups.levels[0] if found.law.groups is not None else None
    return Basis(surface(found, draws=max(grounds.rows - 1, 0) or 1000, group=first), found, found.sigma)


def _of_surface(grounds: Grounds, basis: Basis, asked: Asked, within: float) -> Tuning:
    p = {name: values[:, 0] for name, values in basis.surface.params.items()}
    rate, batch = bottom(p, asked.N, asked.D)
    swept = grounds.has("sweep")
    used = Grounds(Frozen({"surface": basis}), Frozen(), Frozen(), grounds.level)
    said = [
        "The optimiser, its schedule and the data are those of the sweeps: another least rate or decay moves the "
        "best peak."
    ]
    if swept:
        said.append(
            f"Of each cell of N and D the runs within {100 * within:g} % of its best were fitted, all cells with one "
            "shape of the valley."
        )
    return Tuning(
        rate,
        batch,
        {name: p[name] for name in ("s", "k_lr", "k_B")},
        True,
        "The shape of the fitted valley.",
        "the valley fitted to the sweeps" if swept else "the fitted valley",
        used,
        (*_outside(basis.surface.fitted_range, asked), *(_at_ends(grounds.tables["sweep"]) if swept else ())),
        tuple(said),
    )


def _of_rules(grounds: Grounds, asked: Asked) -> Tuning:
    rate, batch = (_of_part(grounds, part, asked) for part in ("rate", "batch"))
    kept = Grounds(
        Frozen({name: grounds.laws[name] for name in ("rate", "batch")}),
        Frozen(),
        Frozen({k: v for k, v in grounds.defaulted.items() if k != "surface"}),
        grounds.level,
    )
    p = {name: v[:, 0] for name, v in grounds.laws["surface"].surface.params.items()}
    names = dict.fromkeys(_named(grounds.laws[name]) for name in ("rate", "batch"))
    ranges = {
        name: span for part in ("rate", "batch") for name, span in grounds.laws[part].surface.fitted_range.items()
    }
    published = "lr-power:li2025steplaw" in grounds.defaulted.values()
    said = [
        "What a wrong choice costs, and how the rate moves with the batch, is taken from our fit to the released "
        "cells of Step Law (tuning-surface:li2025steplaw-cells): a sweep of your own tells your own.",
    ]
    if published:
        said.append(
            "Step Law: AdamW, decay to a least rate of 1e-5, N without embeddings. With a tenth of the peak as least "
            "rate, with WSD or with other data the best peak is another one."
        )
    mixed = _mixed(grounds)
    outside = _outside({**ranges, "N": CELLS_N}, asked, unseen=("N",)) if published else _outside(ranges, asked)
    findings = [*outside, *mixed]
    if published and not mixed:
        findings += _narrow(rate, batch, p, asked, grounds.level)
    return Tuning(
        rate,
        batch,
        {name: p[name] for name in ("s", "k_lr", "k_B")},
        False,
        "The shape is that of our fit to the released cells of Step Law.",
        " and ".join(names),
        kept,
        tuple(findings),
        tuple(said),
    )


def _of_part(grounds: Grounds, part: str, asked: Asked) -> Array:
    law = grounds.law(part)
    columns = asked.columns(law, grounds.laws[part].surface.conventions)
    if columns is None:
        raise refused(
            f"the law {law.id!r} reads {', '.join(law.inputs)}, and no final loss was given",
            "final_loss: the loss expected at the end",
            "final_loss=2.1",
        )
    return grounds.values(part, **columns)[:, 0]


def _named(basis: Basis) -> str:
    source = basis.surface.law.id if basis.fit is None else (basis.fit.source or basis.surface.law.id)
    known = {constants: whose for whose, _, _, constants in RULES}
    return known.get(source.partition(":")[2].partition("@")[0], source)


def _at_ends(sweep: Runs) -> list[Finding]:
    """Cells whose best run has the least or the largest rate or batch that was tried in it."""
    sweep = require(sweep, *SWEEP)
    N, D, loss = sweep["N"], sweep["D"], sweep["loss"]
    _, cell = np.unique(np.stack([N, D]), axis=1, return_inverse=True)
    cell = cell.ravel()
    count = int(cell.max()) + 1
    best = np.array([np.flatnonzero(cell == i)[np.argmin(loss[cell == i])] for i in range(count)])
    found = []
    for text, name in (("rate", "lr_peak"), ("batch", "batch_tokens")):
        values = sweep[name]
        low, high = np.full(count, np.inf), np.zeros(count)
        np.minimum.at(low, cell, values)
        np.maximum.at(high, cell, values)
        ends = int(np.sum((values[best] <= low) | (values[best] >= high)))
        if ends:
            found.append(
                Finding(
                    f"edge-{text}",
                    "amber" if ends > 0.25 * count else "green",
                    f"In {ends} of {count} cells of the sweep the best run has the least or the largest {text} that "
                    "was tried: there the bottom of the valley is not between its runs.",
                    f"Sweep further {text}{'es' if text == 'batch' else 's'} in those cells.",
                )
            )
    return found


def _mixed(grounds: Grounds) -> list[Finding]:
    """A rate and a batch that do not come from the same runs."""
    origins = []
    for part in ("rate", "batch"):
        basis = grounds.laws[part]
        key = "" if basis.fit is None else (basis.fit.source or "").partition(":")[2].partition("@")[0]
        facts = basis.surface.law.published.get(key)
        origins.append("a fit" if facts is None else facts.source)
    if origins[0] == origins[1]:
        return []
    return [
        Finding(
            "mixed-rules",
            "amber",
            f"The rate is that of {_named(grounds.laws['rate'])}, the batch that of {_named(grounds.laws['batch'])}: "
            "a rate belongs to the batch of its own rule, and this one was tuned beside another batch.",
            "Give both of one rule, or hold this batch under one rule (batch), which moves the rate along.",
        )
    ]


SEEDS = 1e-3
"""Share of the loss below which differences are seed noise."""


def _narrow(rate: Array, batch: Array, p: Mapping[str, Array], asked: Asked, level: float) -> list[Finding]:
    """Whether the valley of the same cells lies outside the intervals of the published powers, and matters."""
    other = [of_estimate(values) for values in bottom(p, asked.N, asked.D)]
    ends = [interval(values, level) for values in (rate, batch)]
    if None in ends or all(pair[0] <= value <= pair[1] for value, pair in zip(other, ends) if pair is not None):
        return []
    lost = of_estimate(cost(p, other[0] / of_estimate(rate), other[1] / of_estimate(batch)))
    if lost < SEEDS:
        return []
    return [
        Finding(
            "narrow-intervals",
            "amber",
            "The intervals are those of the published bootstrap of one recipe. Our fit to the same released cells "
            f"says a rate of {other[0]:.3g} and a batch of {format_short(other[1])} tokens, outside them: "
            f"whichever is right, the other gives away {100 * lost:.2g} % of the loss.",
            "A sweep around the prediction, on the largest model that can be swept.",
        )
    ]


def _outside(ranges: Mapping[str, tuple[float, float]], asked: Asked, unseen: tuple[str, ...] = ()) -> list[Finding]:
    """N and D outside the cells; of far ones `composed` speaks, but for ranges that the constants do not know."""
    found = []
    for name, value in (("N", asked.N), ("D", asked.D)):
        text, times = distance(name, value, ranges.get(name))
        if times > 1.0 and (times <= _evidence.AMBER_DISTANCE or name in unseen):
            found.append(
                Finding(
                    f"outside-{name}",
                    "amber" if times > 2.0 else "green",
                    f"{name} = {format_short(value)} is {text} that the rule was fitted to.",
                    "" if times <= 2.0 else "Check with a sweep on the way there.",
                )
            )
    return found

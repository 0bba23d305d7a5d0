# SPDX-License-Identifier: Apache-2.0
"""The tables and curves of the plan of a schedule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.core.schedule import LEAST, SHAPES, Schedule
from forescale.planning import _schedules
from forescale.planning._intervals import interval, of_estimate
from forescale.planning._plan import Basis, Table
from forescale.planning._schedules import Cooldowns, Family

Array = NDArray[np.float64]


def compared(names: list[str], made: dict[str, Schedule], losses: Array, level: float, unit: str) -> Table:
    draws = losses[1:][np.isfinite(losses[1:]).all(axis=1)]
    wins = np.bincount(np.argmin(draws, axis=1), minlength=len(names)) / max(len(draws), 1)
    rows = []
    for i, name in enumerate(names):
        own, gap = interval(losses[:, i], level), losses[:, i] - losses[:, 0]
        ends = interval(gap, level) if i else None
        rows.append(
            (
                name, float(losses[0, i]), *(own or (None, None)), None if i == 0 else of_estimate(gap),
                *(ends or (None, None)), 100.0 * float(wins[i]) if len(draws) >= 20 else None,
                _last(made[name]),
            )
        )  # fmt: skip
    return Table(
        "schedules",
        "Last losses at equal steps",
        (
            ("schedule", ""), ("loss", unit), ("from", unit), ("to", unit), (f"minus {names[0]}", ""), ("from ", ""),
            ("to ", ""), ("lowest in", "%"), ("last rate", ""),
        ),
        tuple(rows),
        "Differences are taken draw by draw, so what the schedules share drops out of them.",
    )  # fmt: skip


def _last(made: Schedule) -> float:
    """The last rate; what rounding leaves of zero is zero."""
    rate = float(made.lr[-1])
    return rate if rate > LEAST * made.peak else 0.0


def mistakes(family: Family, found: Cooldowns, level: float, unit: str) -> Table:
    """What another share of the estimate's best costs."""
    share = of_estimate(found.share)
    tried = np.array([f for f in (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0)
                      if found.shares[0] <= f * share <= found.shares[-1] * (1 + 1e-9)])  # fmt: skip
    losses = found.at(tried * share)
    extra = losses - found.loss[:, None]
    rows = []
    for i, factor in enumerate(tried.tolist()):
        ends = interval(extra[:, i], level) or (None, None)
        part = factor * share
        rows.append((factor, 100 * part, family.steps * (1 - part), float(losses[0, i]), float(extra[0, i]), *ends))
    return Table(
        "sensitivity",
        "What a cool-down of another length costs",
        (
            ("share / best", "x"), ("share", "%"), ("from step", "count"), ("loss", unit), ("loss added", ""),
            ("from", ""), ("to", ""),
        ),
        tuple(rows),
    )  # fmt: skip


def alternatives(basis: Basis, family: Family, own: Cooldowns, noise: float, unit: str) -> Table:
    """Each form at its own best share, and the shares that lie within the noise of one run of the plan."""
    surface, best = basis.surface.take(slice(1)), of_estimate(own.loss)
    rows = []
    for shape in SHAPES:
        if shape == "exponential" and family.end == 0.0:
            continue
        other = replace(family, shape=shape)
        found = own if shape == family.shape else other.cooldowns(surface, _schedules.FEW_KNOTS)
        fine = np.geomspace(found.shares[0], found.shares[-1], 400)
        near = fine[found.at(fine)[0] <= best + noise]
        share = of_estimate(found.share)
        ends = (100 * float(near[0]), 100 * float(near[-1])) if near.size else (None, None)
        rows.append((shape, 100 * share, family.steps * (1 - share), of_estimate(found.loss), *ends))
    return Table(
        "alternatives",
        "The forms at their best shares, and shares within the noise of one run",
        (("form", ""), ("share", "%"), ("from step", "count"), ("loss", unit), ("least share", "%"),
         ("most share", "%")),
        tuple(rows),
        f"Within noise: at most {noise:.4f} above the plan.",
    )  # fmt: skip


def horizons(basis: Basis, family: Family, own: Cooldowns, begun: int, unit: str) -> Table:
    """The best cool-down when the deadline moves."""
    surface = basis.surface.take(slice(1))
    rows = []
    for factor in (0.5, 1.0, 2.0):
        steps = round(factor * family.steps)
        if begun + 2 > steps:
            continue
        other = replace(family, steps=steps, longest=1.0 - begun / steps)
        found = own if factor == 1.0 else other.cooldowns(surface, _schedules.FEW_KNOTS)
        share = of_estimate(found.share)
        rows.append((float(steps), 100 * share, steps * share, steps * (1 - share), of_estimate(found.loss)))
    return Table(
        "horizons",
        "When the deadline moves",
        (("steps", "count"), ("share", "%"), ("decay steps", "count"), ("from step", "count"), ("loss", unit)),
        tuple(rows),
    )


def rates(made: Schedule) -> Table:
    """The free form at a few steps: where its rate has fallen to a share of the peak."""
    rows = []
    for share in (1.0, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01):
        below = np.flatnonzero((made.lr < share * made.peak * (1 - 1e-9)) & (np.arange(len(made)) >= made.warmup))
        if below.size:
            at = int(below[0])
            rows.append((100 * share, float(at + 1), 100 * (1 - at / len(made)), float(made.lr[at])))
    return Table(
        "free form",
        "Where the best schedule under the law falls below a share of the peak",
        (("below", "%"), ("step", "count"), ("steps left", "%"), ("rate there", "")),
        tuple(rows),
        f"It ends at {made.lr[-1]:.3g}. Optimal for the law: a law of other errors has another optimum.",
    )


def curves(
    basis: Basis, family: Family, made: dict[str, Schedule], found: Cooldowns
) -> dict[str, Frozen[str, Array]]:
    surface = basis.surface.take(slice(1))
    begin = max(family.warmup, family.steps // 20, 1)
    steps = np.unique(np.round(np.linspace(begin, family.steps, 90)))
    lines = {name: _schedules.along(surface, one, steps, family.inputs)[0] for name, one in made.items()}
    rates = {name: one.lr[steps.astype(np.intp) - 1] for name, one in made.items()}
    shares = np.geomspace(found.shares[0], found.shares[-1], 60)
    across = found.at(shares)
    band: dict[str, Array] = {}
    if len(across) > 20:
        tail = 50.0 * (1.0 - basis.level)
        gap = across[1:] - found.loss[1:, None]
        low, high = np.nanpercentile(gap, [tail, 100.0 - tail], axis=0)
        band = {"lower": low, "upper": high}
    return {
        "loss": Frozen({"step": steps, **lines}),
        "rate": Frozen({"step": steps, **rates}),
        "share": Frozen(
            {"share of the steps that cool down": shares, "loss added": across[0] - found.loss[0], **band}
        ),
    }

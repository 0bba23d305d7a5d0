# SPDX-License-Identifier: Apache-2.0
"""Steps against tokens: the two ends of the trade, the critical batch, and the tables and the curve along it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.laws._terms import loss_batch
from forescale.laws.kaplan_steps import cheapest_size, least_steps
from forescale.planning._intervals import of_estimate
from forescale.planning._plan import Grounds, Table

Array = NDArray[np.float64]

_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
TRAJECTORY = ("N_c", "alpha_N", "S_c", "alpha_S")


@dataclass(frozen=True, eq=False)
class Ends:
    """The two ends of the trade: (B,) critical batch and least steps (None where only their ratio is known)."""

    critical: Array
    steps: Array | None
    grounds: Grounds
    how: str
    params: Array | None = None
    target: float | Array | None = None
    assumptions: list[str] = field(default_factory=list)


def critical_part(grounds: Grounds) -> str:
    """A fit of kaplan-steps knows the critical batch of its own runs: better than published constants."""
    own = grounds.law("trajectory").id == "kaplan-steps"
    return "trajectory" if own and "critical" in grounds.defaulted else "critical"


def critical_at(grounds: Grounds, loss: Any) -> Array:
    """(B,) critical batch at a loss."""
    part = critical_part(grounds)
    return np.asarray(loss_batch(loss, grounds.param(part, "B_star"), grounds.param(part, "alpha_B")))


def trade(ends: Ends, token: float, step_seconds: float | None) -> Table:
    """Steps, tokens, time and dollars along the curve; `token` in dollars, NaN where it has no price."""
    critical = of_estimate(ends.critical)
    steps = math.nan if ends.steps is None else of_estimate(ends.steps)
    lines: list[tuple[float | str | None, ...]] = []
    for factor in _FACTORS:
        over, more = 1.0 + 1.0 / factor, 1.0 + factor
        line: list[float | str | None] = [factor, factor * critical, over, more]
        if ends.steps is not None:
            line += [steps * over, steps * critical * more]
        if ends.steps is not None and step_seconds is not None:
            line.append(steps * over * step_seconds / 3600.0)
        if ends.steps is not None and math.isfinite(token):
            line.append(steps * critical * more * token)
        lines.append(tuple(line))
    columns = [("batch / critical", "x"), ("batch", "tokens"), ("steps / fewest", "x"), ("tokens / fewest", "x")]
    if ends.steps is not None:
        columns += [("steps", "count"), ("tokens", "tokens")]
    if ends.steps is not None and step_seconds is not None:
        columns.append(("hours", ""))
    if ends.steps is not None and math.isfinite(token):
        columns.append(("dollars of compute", "dollars"))
    return Table(
        "alternatives",
        "Time against compute",
        tuple(columns),
        tuple(lines),
        "Every row reaches the same loss; each is best for some price of time.",
    )


def mistakes(ends: Ends, batch: float) -> Table:
    """What the chosen batch takes if the critical one is another."""
    critical = of_estimate(ends.critical)
    lines = tuple(
        (factor, factor * critical, 1.0 + factor * critical / batch, 1.0 + batch / (factor * critical))
        for factor in (0.25, 0.5, 1.0, 2.0, 4.0)
    )
    return Table(
        "sensitivity",
        "What this batch takes if the critical one is another",
        (("true / assumed", "x"), ("critical batch", "tokens"), ("steps / fewest", "x"), ("tokens / fewest", "x")),
        lines,
        "The noise scale of a gradient gives the order of the critical batch: a factor of two is no surprise.",
    )


def along(grounds: Grounds, ends: Ends) -> list[Table]:
    """The critical batch on the way to the target: it grows as the loss falls."""
    if ends.target is None or ends.params is None or ends.grounds.tables:
        return []
    p = {name: grounds.param("trajectory", name)[:1] for name in TRAJECTORY}
    lines: list[tuple[float | str | None, ...]] = []
    for factor in (2.0, 1.5, 1.25, 1.1, 1.05, 1.0):
        loss = factor * of_estimate(ends.target)
        steps = of_estimate(least_steps(loss, ends.params[:1], **p))
        lines.append((loss, of_estimate(critical_at(grounds, loss)), steps))
    return [
        Table(
            "along",
            "The critical batch on the way",
            (("loss", "loss"), ("critical batch", "tokens"), ("fewest steps to there", "count")),
            tuple(lines),
            "A batch that grows with it wastes least; one batch for the whole run is too large early on.",
        )
    ]


def sizes(grounds: Grounds, ends: Ends, params: float | None) -> list[Table]:
    """The same loss with other sizes, each at the critical batch."""
    if ends.target is None or ends.steps is None:
        return []
    p = {name: grounds.param("trajectory", name)[:1] for name in TRAJECTORY}
    target = of_estimate(ends.target)
    least = of_estimate(cheapest_size(target, p["N_c"], p["alpha_N"], p["alpha_S"]))
    critical = of_estimate(ends.critical)
    several = sorted({*(least * f for f in (0.7, 1.0, 1.5, 2.0, 4.0)), *([params] if params else [])})
    base = 12.0 * least * critical * of_estimate(least_steps(target, least, **p))
    lines: list[tuple[float | str | None, ...]] = []
    for size in several:
        steps = 2.0 * of_estimate(least_steps(target, size, **p))
        tokens = steps * critical
        lines.append((size, steps, tokens, 6.0 * size * tokens, 6.0 * size * tokens / base))
    return [
        Table(
            "sizes",
            "The same loss with other sizes, at the critical batch",
            (("N", "parameters"), ("steps", "count"), ("tokens", "tokens"), ("C", "FLOP"), ("C / least", "x")),
            tuple(lines),
            "Larger models take fewer steps: where time counts, go beyond the size of least compute.",
        )
    ]


def curve(ends: Ends) -> dict[str, Frozen[str, Array]]:
    factors = np.geomspace(1 / 30, 30, 61)
    scale = 1.0 if ends.steps is None else of_estimate(ends.steps)
    tokens = 1.0 if ends.steps is None else scale * of_estimate(ends.critical)
    names = ("steps / fewest", "tokens / fewest") if ends.steps is None else ("steps", "tokens")
    return {
        "time against data": Frozen({names[0]: scale * (1 + 1 / factors), names[1]: tokens * (1 + factors)}),
    }

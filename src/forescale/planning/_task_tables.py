# SPDX-License-Identifier: Apache-2.0
"""What stands beside a task's prediction: a wrong loss, other targets, other sizes, the one-step rival, curves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.numerics.optimum import Where, root
from forescale.planning._chain import Chain
from forescale.planning._curves import band
from forescale.planning._evidence import compute_seen
from forescale.planning._frontier import COUNTS, reaching
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Table

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

_CHANGES = (-0.05, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05)
_TARGETS = (-0.05, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05)
_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_SIZES = (0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0)


def one_step(both: Chain, n: float, d: float, goal: float | None) -> dict[str, Decided]:
    """What the law straight from N and D says of the same model, and of the compute of the same target."""
    if not both.grounds.has("direct"):
        return {}
    level = both.grounds.level
    value = _direct(both, np.array([n]), np.array([d]))[:, 0]
    found = {
        f"one_step_{both.metric}": decided(value, "", level, f"{both.metric} by one step from parameters and tokens")
    }
    if goal is not None:
        ratio, wide = d / n, np.ones(both.grounds.rows)
        size = root(lambda x: _direct(both, x, ratio * x), COUNTS[0] * wide, COUNTS[1] * wide, target=goal)
        N = np.where(size.found, size.x, np.where(size.where == Where.UPPER, math.inf, math.nan))
        found["one_step_C"] = decided(
            6.0 * ratio * N * N, "FLOP", level, "compute by one step, at the same tokens per parameter"
        )
    return found


def _direct(both: Chain, N: Array, D: Array) -> Array:
    value = both.grounds.values("direct", N=N, D=D)
    return 1.0 - value if both.metric == "error" else value


def wrong_loss(both: Chain, n: float, d: float, left: tuple[str, float] | None) -> Table:
    """How the metric moves when the loss that is predicted is wrong, and when step 2 loses its best run."""
    loss = both.loss(n, d)[0, 0]
    base = both.of_loss(np.array([loss]))[0, 0]
    lines: list[Row] = []
    for change in _CHANGES:
        at_loss = loss * (1.0 + change)
        values = both.of_loss(np.array([at_loss]))[:, 0]
        ends = interval(values, both.grounds.level) or (None, None)
        words = "as predicted" if change == 0 else f"{100 * abs(change):g} % {'lower' if change < 0 else 'higher'}"
        lines.append((words, at_loss, of_estimate(values), *ends, of_estimate(values) - base))
    if left is not None:
        lines.append((f"without {left[0]}", loss, left[1], None, None, left[1] - base))
    return Table(
        "sensitivity",
        "If the predicted loss is wrong",
        (("loss", ""), ("value", "loss"), (both.metric, ""), ("from", ""), ("to", ""), ("difference", "")),
        tuple(lines),
        "The intervals here are those of step 2 alone.",
    )


def other_targets(both: Chain, goal: float, held: dict[str, float]) -> Table:
    """What a slightly different target costs."""
    lines: list[Row] = []
    base = math.nan
    for change in sorted(_TARGETS, key=abs):
        target = goal + change
        if not 0.0 < target < 1.0:
            continue
        required, where = both.required(target)
        N, D, _ = reaching(both.surface, required, held)
        C = np.where(where == Where.LOWER, math.inf, 6.0 * N * D)
        c = of_estimate(C)
        base = c if change == 0 else base
        ends = interval(C, both.grounds.level) or (None, None)
        lines.append((target, of_estimate(required), c, *ends, c / base, of_estimate(N)))
    lines.sort(key=lambda line: float(line[0] or 0.0), reverse=both.metric == "error")
    return Table(
        "targets",
        "What a slightly different target takes",
        (
            (both.metric, ""), ("loss", "loss"), ("C", "FLOP"), ("from", "FLOP"), ("to", "FLOP"), ("C / C here", "x"),
            ("N", "parameters"),
        ),
        tuple(lines),
    )  # fmt: skip


def splits(both: Chain, n: float, d: float) -> Table:
    """The same compute at other ratios of tokens to parameters."""
    ratio = d / n * np.array(_FACTORS)
    N = np.sqrt(n * d / ratio)
    D = ratio * N
    loss, values = both.loss(N, D), both.value(N, D)
    lines = [
        (
            ratio[j],
            N[j],
            D[j],
            loss[0, j],
            values[0, j],
            *(interval(values[:, [j]], both.grounds.level) or (None, None)),
        )
        for j in range(len(ratio))
    ]
    return Table(
        "alternatives",
        "The same compute, split otherwise",
        (
            ("D/N", "tokens/parameter"), ("N", "parameters"), ("D", "tokens"), ("loss", "loss"), (both.metric, ""),
            ("from", ""), ("to", ""),
        ),
        tuple(lines),
        "A smaller model on more tokens costs less to serve." + _no_optimum(both),
    )  # fmt: skip


def _no_optimum(both: Chain) -> str:
    law = both.surface.law
    if "compute-optimal" in law.valid_for:
        return ""
    return f" {law.id} does not know the best split: rows tell what over-training costs, not where the optimum is."


def routes(both: Chain, loss: float, n: float, d: float) -> Table:
    """Other sizes that reach the same loss."""
    lines: list[Row] = []
    for factor in _SIZES:
        size = factor * n
        _, D, _ = reaching(both.surface, loss, {"params": size})
        tokens = of_estimate(D) if factor != 1.0 else d
        C = 6.0 * size * tokens
        lines.append((factor, size, tokens, tokens / size, C, 100.0 * (C / (6.0 * n * d) - 1.0)))
    return Table(
        "alternatives",
        "The same loss with other sizes",
        (
            ("N / plan", "x"), ("N", "parameters"), ("D", "tokens"), ("D/N", "tokens/parameter"), ("C", "FLOP"),
            ("extra compute", "%"),
        ),
        tuple(lines),
        "A smaller model costs less to serve." + _no_optimum(both),
    )  # fmt: skip


def curves(both: Chain, n: float, d: float) -> Frozen[str, Frozen[str, Array]]:
    """The metric against compute at the plan's tokens per parameter, and against the loss (step 2 alone)."""
    C = 6.0 * n * d
    known = both.surface.fitted_range.get("C")
    start = min(float(known[0]), C / 10) if known is not None and known[0] > 0 else C / 1000
    budgets = np.geomspace(start, 3.0 * max(C, compute_seen(both.grounds.laws["loss"]) or C), 41)
    N = np.sqrt(budgets * n / (6.0 * d))
    values = both.value(N, d / n * N)
    low, high = band(values, both.grounds.level)
    found: dict[str, Array] = {"C": budgets, both.metric: values[0], "lower": low, "upper": high}
    if both.grounds.has("direct"):
        found["one step"] = _direct(both, N, d / n * N)[0]
    here = of_estimate(both.loss(n, d))
    seen = both.grounds.laws["accuracy"].surface.fitted_range.get("loss", (0.8 * here, 1.5 * here))
    losses = np.linspace(0.95 * min(float(seen[0]), here), max(float(seen[1]), here), 41)
    second = both.of_loss(losses)
    low, high = band(second, both.grounds.level)
    return Frozen(
        {
            "task": Frozen(found),
            "step 2": Frozen({"loss": losses, both.metric: second[0], "lower": low, "upper": high}),
        }
    )

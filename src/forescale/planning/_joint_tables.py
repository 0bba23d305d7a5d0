# SPDX-License-Identifier: Apache-2.0
"""What stands beside a joint plan: the other choices, what each limit costs, wrong sizes, sizes as good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.numerics.optimum import root
from forescale.planning._intervals import interval
from forescale.planning._joint import FULL, Best, Choice, Problem, least_budget, payable, solved
from forescale.planning._plan import Table
from forescale.planning._service import Service

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def choices(
    problem: Problem,
    every: Sequence[Choice],
    services: Sequence[Service | None],
    bests: Sequence[Best],
    spent: float,
    place: int,
) -> Table:
    """The best plan of each choice of bits and samples, at the budget of the plan."""
    lines: list[Row] = []
    for i, (choice, serve) in enumerate(zip(every, services)):
        best = solved(problem.rows(slice(1)), choice, np.array([spent])) if len(bests) > 1 else bests[i]
        n, d, loss = (float(v[0]) for v in (best.N, best.D, best.loss))
        solved_share = None if problem.coverage is None else -100.0 * float(best.quality[0])
        lines.append(
            (
                choice.bits, choice.samples, n, d, d / n, loss, solved_share, 6.0 * n * d,
                None if serve is None else float(serve.flop(n)), "this plan" if i == place else "",
            )
        )  # fmt: skip
    return Table(
        "choices",
        "The best plan of every way to serve, at the same budget",
        (
            ("bits", "bits"), ("samples", "count"), ("N", "parameters"), ("D", "tokens"), ("D/N", "tokens/parameter"),
            ("loss", "loss"), ("solved", "%"), ("training", "FLOP"), ("serving", "FLOP"), ("", ""),
        ),
        tuple(lines),
    )  # fmt: skip


def limits(problem: Problem, choice: Choice, spent: float, n: float, d: float, loss: float) -> Table:
    """Each limit: how much of it the plan uses, and what doubling it would be worth."""
    alone = problem.rows(slice(1))
    budget = np.array([spent])
    entries: list[tuple[str, float, float, Problem, Choice, float]] = [
        ("the budget", spent, choice.bill.total(n, d) / spent, alone, choice, 2.0 * spent)
    ]
    for words, most in alone.sizes:
        entries.append((words, most, n / most, alone.relaxed(words, 2.0), choice, spent))
    if math.isfinite(choice.most):
        entries.append(
            (choice.held, choice.most, n / choice.most, alone, replace(choice, most=2 * choice.most), spent)
        )
    for words, most in alone.tokens:
        entries.append((words, most, d / most, alone.relaxed(words, 2.0), choice, spent))
    for words, most in alone.flop:
        entries.append((words, most, 6.0 * n * d / most, alone.relaxed(words, 2.0), choice, spent))
    if math.isfinite(alone.unique):
        doubled = alone.relaxed("unique", 2.0)
        entries.append(("unique tokens", alone.unique, d / alone.unique, doubled, choice, spent))
    lines: list[Row] = []
    for words, most, used, other, way, money in entries:
        better = solved(other.of_loss, way, np.array([money]))
        gain = loss - float(better.loss[0])
        worth = math.nan
        if gain > 1e-9:
            found = least_budget(alone.of_loss, choice, better.loss, budget, 1e4 * budget)
            worth = 100.0 * (float(found[0]) / spent - 1.0)
        lines.append((words, most, 100.0 * used, max(gain, 0.0), worth if gain > 1e-9 else 0.0))
    return Table(
        "limits",
        "What each limit costs",
        (("limit", ""), ("value", "number"), ("used", "%"), ("loss if doubled -", "loss"), ("worth", "%")),
        tuple(lines),
        "used: share of the limit that the plan takes (passes, in %, for unique tokens); loss if doubled: how much "
        "lower the loss would be; worth: extra budget that buys the same, unbounded where none does.",
    )


def sensitivity(problem: Problem, choice: Choice, spent: float, n: float, loss: float) -> Table:
    """What a wrong size costs, at the same budget and under the same limits."""
    alone = problem.rows(slice(1)).of_loss
    found = [_at(alone, choice, np.array([spent]), n * factor) for factor in _FACTORS]
    missed = np.array([value for _, _, value in found])
    # All wrong sizes at once: each is a row of a problem with the same constants.
    budget = np.full(missed.size, spent)
    enough = least_budget(alone.rows(np.zeros(missed.size, dtype=np.int64)), choice, missed, 1e-9 * budget, budget)
    lines: list[Row] = []
    for factor, (size, d, value), least in zip(_FACTORS, found, enough):
        if not math.isfinite(value):
            lines.append((factor, size, None, None, None, None, "the budget buys no tokens"))
            continue
        waste = max(100.0 * (1.0 - float(least) / spent), 0.0) if math.isfinite(least) else 0.0
        allowed = "" if size <= alone.largest(choice) * (1 + 1e-9) else "not allowed"
        lines.append((factor, size, d, value, 100.0 * (value / loss - 1.0), waste, allowed))
    return Table(
        "sensitivity",
        "What it costs to be wrong about the size, at the same budget",
        (
            ("N / plan", "x"), ("N", "parameters"), ("D", "tokens"), ("loss", "loss"), ("loss +", "%"),
            ("wasted", "%"), ("", ""),
        ),
        tuple(lines),
        "wasted: share of the budget that the best plan would not have needed for that loss.",
    )  # fmt: skip


def alternatives(problem: Problem, choice: Choice, spent: float, n: float, loss: float, sigma: float) -> Table:
    """The smallest and the largest model whose loss is within one standard deviation of one run."""
    alone = problem.rows(slice(1)).of_loss
    budget = np.array([spent])
    edge = loss * math.exp(sigma)

    def over(N: Array) -> Array:
        return np.array([[_at(alone, choice, budget, float(x))[2] for x in row] for row in N])

    lines: list[Row] = []
    for name, low, high in (("smallest", n * 1e-3, n), ("this plan", n, n), ("largest", n, n * 1e3)):
        size = n
        if low < high:
            top = min(high, alone.largest(choice), float(payable(choice, budget)[0]) * (1 - 1e-9))
            found = root(over, np.array([low]), np.array([max(top, low * (1 + 1e-9))]), target=edge, rtol=1e-6)
            size = float(found.x[0]) if found.found[0] else (top if name == "largest" and top < high else math.nan)
        if not math.isfinite(size):
            lines.append((name, None, None, None, None))
            continue
        size, d, value = _at(alone, choice, budget, size)
        lines.append((name, size, d, value, size / n))
    return Table(
        "alternatives",
        f"Sizes that one run could not tell apart (loss within {100 * sigma:.2g} %)",
        (("model", ""), ("N", "parameters"), ("D", "tokens"), ("loss", "loss"), ("cost to serve", "x")),
        tuple(lines),
    )


def _at(alone: Problem, choice: Choice, budget: Array, size: float) -> tuple[float, float, float]:
    """Size, tokens and loss of a model that is given, at the budget; NaN loss where it buys no tokens."""
    N = np.array([[size]])
    useful = np.inf
    if choice.bits < FULL:
        edge = np.array([size])
        useful = float(alone.turns(edge * 0.999, edge * 1.001, choice.bits)[0, 0])
    D = alone.trained(choice, budget, N, useful)
    if not D[0, 0] > 0:
        return size, math.nan, math.nan
    return size, float(D[0, 0]), float(alone.loss(N, D, choice.bits)[0, 0])


def curves(few: Problem, choice: Choice, budgets: Array, n: float, level: float) -> dict[str, Frozen[str, Array]]:
    """The loss along the sizes at the budget of the plan, and the best loss of other budgets."""
    sizes = n * np.geomspace(1 / 16, 16, 49)
    spent = np.full(few.count, budgets[0])
    N = np.broadcast_to(sizes, (few.count, sizes.size))
    useful = few.turns(np.full(few.count, sizes[0]), np.full(few.count, sizes[-1]), choice.bits)
    line = np.geomspace(sizes[0], sizes[-1], useful.shape[1])
    near = np.abs(np.log(line)[None, :] - np.log(sizes)[:, None]).argmin(axis=1)
    D = few.trained(choice, spent, N, useful[:, near])
    loss = np.where(D > 0, few.loss(N, np.where(D > 0, D, 1.0), choice.bits), np.nan)
    keep = np.isfinite(loss[0])
    factors = np.geomspace(1 / 64, 64, 13)
    best = np.stack([solved(few.of_loss, choice, spent * f).loss for f in factors], axis=1)
    currency = "budget"
    return {
        "size": _banded({"N": sizes[keep]}, "loss", loss[:, keep], level),
        "frontier": _banded({currency: float(budgets[0]) * factors}, "loss", best, level),
    }


def _banded(x: dict[str, Array], name: str, values: Array, level: float) -> Frozen[str, Array]:
    ends = [interval(values[:, j], level) for j in range(values.shape[1])]
    found = {**x, name: values[0]}
    if all(e is not None for e in ends) and ends:
        found["lower"] = np.array([e[0] for e in ends if e is not None])
        found["upper"] = np.array([e[1] for e in ends if e is not None])
    return Frozen(found)

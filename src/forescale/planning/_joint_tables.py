# SPDX-License-Identifier: Apache-2.0
"""What stands beside a joint plan: the other choices, what each limit costs, wrong sizes, sizes as good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.numerics.optimum import root
from forescale.planning._curves import banded
from forescale.planning._joint import Choice, Line, Problem, least_budget, least_loss, line, payable, solved
from forescale.planning._plan import Table
from forescale.planning._service import Service

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def choices(
    problem: Problem,
    every: Sequence[Choice],
    services: Sequence[Service | None],
    spent: float,
    place: int,
) -> list[Table]:
    """The best plan of each choice of bits and samples, at the budget of the plan; none where there is no choice."""
    if len(every) < 2:
        return []
    lines: list[Row] = []
    for i, (choice, serve) in enumerate(zip(every, services)):
        best = solved(problem.rows(slice(1)), choice, np.array([spent]))
        n, d, loss = (float(v[0]) for v in (best.N, best.D, best.loss))
        solved_share = None if problem.coverage is None else -100.0 * float(best.quality[0])
        lines.append(
            (
                choice.bits, choice.samples, n, d, d / n, loss, solved_share, 6.0 * n * d,
                None if serve is None else float(serve.flop(n)), "this plan" if i == place else "",
            )
        )  # fmt: skip
    table = Table(
        "choices",
        "The best plan of every way to serve, at the same budget",
        (
            ("bits", "bits"), ("samples", "count"), ("N", "parameters"), ("D", "tokens"), ("D/N", "tokens/parameter"),
            ("loss", "loss"), ("solved", "%"), ("training", "FLOP"), ("serving", "FLOP"), ("", ""),
        ),
        tuple(lines),
    )  # fmt: skip
    return [table]


def limits(problem: Problem, choice: Choice, spent: float, currency: str, n: float, d: float, loss: float) -> Table:
    """Each limit: how much of it the plan uses, and what doubling it would be worth."""
    alone = problem.rows(slice(1))
    entries: list[tuple[str, float, Problem, Choice, float]] = [
        (
            f"the budget: {format_short(spent, currency.lower())}",
            choice.bill.total(n, d) / spent,
            alone,
            choice,
            2.0 * spent,
        )
    ]
    if math.isfinite(choice.most):
        words = f"{choice.held}: {format_short(choice.most, 'parameters')} parameters"
        entries.append((words, n / choice.most, alone, replace(choice, most=2 * choice.most), spent))
    for used, every in ((n, alone.sizes), (d, alone.tokens), (6.0 * n * d, alone.flop)):
        entries += [(words, used / most, alone.relaxed(words, 2.0), choice, spent) for words, most in every]
    if math.isfinite(alone.unique):
        words = f"unique = {format_short(alone.unique)}"
        doubled = alone.relaxed("unique", 2.0)
        for limit, _ in alone.tokens:
            doubled = doubled.relaxed(limit, 2.0) if "unique" in limit else doubled  # as many passes as before
        entries.append((words, d / alone.unique, doubled, choice, spent))
    better = np.array([solved(other, way, np.array([money])).loss[0] for *_, other, way, money in entries])
    gains = np.where(loss - better > 1e-9, loss - better, 0.0)
    budgets = np.full(len(entries), spent)
    enough = least_budget(_copies(problem, len(entries)), choice, better, budgets, 1e4 * budgets)
    lines: list[Row] = []
    for (words, used, *_), gain, least in zip(entries, gains, enough):
        lines.append((words, 100.0 * used, float(gain), 100.0 * (float(least) / spent - 1.0) if gain else 0.0))
    return Table(
        "limits",
        "What each limit costs",
        (("limit", ""), ("used", "%"), ("loss if doubled -", "loss"), ("worth", "%")),
        tuple(lines),
        "used: share of the limit that the plan takes (passes, in %, for unique tokens); loss if doubled: how much "
        "lower the loss would be; worth: extra budget that buys the same, unbounded where none does.",
    )


def sensitivity(problem: Problem, choice: Choice, spent: float, n: float, loss: float) -> Table:
    """What a wrong size costs, at the same budget and under the same limits."""
    sizes = n * np.array(_FACTORS)
    tokens, missed = _at(_alone(problem, choice, spent), spent, sizes)
    budget = np.full(missed.size, spent)
    enough = least_budget(_copies(problem, missed.size), choice, missed, 1e-9 * budget, budget)
    lines: list[Row] = []
    for factor, size, d, value, least in zip(_FACTORS, sizes, tokens, missed, enough):
        if not math.isfinite(value):
            lines.append((factor, float(size), None, None, None, None, "the budget buys no tokens"))
            continue
        waste = max(100.0 * (1.0 - float(least) / spent), 0.0) if math.isfinite(least) else 0.0
        allowed = "" if size <= problem.largest(choice) * (1 + 1e-9) else "not allowed"
        above = 100.0 * (float(value) / loss - 1.0)
        lines.append((factor, float(size), float(d), float(value), above, waste, allowed))
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
    edge, along = loss * math.exp(sigma), _alone(problem, choice, spent)
    top = min(n * 1e3, problem.largest(choice), float(payable(choice, np.array([spent]))[0]) * (1 - 1e-9))
    ends = np.array([n * 1e-3, n]), np.array([n, max(top, n * (1 + 1e-9))])
    found = root(lambda N: _at(along, spent, N)[1][:, None], *ends, target=edge, rtol=1e-6)
    # Where every size that is allowed is as good, the largest of them is.
    highest = found.x[1] if found.found[1] else top if top < n * 1e3 else math.nan
    sizes = np.array([found.x[0], n, highest])
    tokens, losses = _at(along, spent, sizes)
    lines: list[Row] = []
    for name, size, d, value in zip(("smallest", "this plan", "largest"), sizes, tokens, losses):
        known = math.isfinite(size)
        lines.append((name, *((float(size), float(d), float(value), float(size) / n) if known else (None,) * 4)))
    return Table(
        "alternatives",
        f"Sizes that one run could not tell apart (loss within {100 * sigma:.2g} %)",
        (("model", ""), ("N", "parameters"), ("D", "tokens"), ("loss", "loss"), ("cost to serve", "x")),
        tuple(lines),
    )


def _copies(problem: Problem, count: int) -> Problem:
    """The problem of the estimate, that often: many goals are solved at once."""
    return problem.rows(np.zeros(count, dtype=np.int64))


def _alone(problem: Problem, choice: Choice, spent: float) -> Line:
    """The sizes that the budget buys, by the estimate."""
    budget = np.array([spent])
    return line(problem.rows(slice(1)), choice, budget, budget)


def _at(along: Line, spent: float, N: Array) -> tuple[Array, Array]:
    """Tokens and losses of sizes that are given, at the budget; NaN losses where it buys no tokens."""
    budget, sizes = np.array([spent]), np.reshape(N, (1, -1))
    loss = along.height(budget, sizes)
    return along.tokens(budget, sizes)[0], np.where(np.isfinite(loss), loss, np.nan)[0]


def curves(
    few: Problem, choice: Choice, budget: float, currency: str, n: float, level: float
) -> dict[str, Frozen[str, Array]]:
    """The loss along the sizes at the budget of the plan, and the best loss of other budgets."""
    spent, factors = np.full(few.count, budget), np.geomspace(1 / 64, 64, 13)
    along = line(few, choice, spent * factors[0], spent * factors[-1])
    sizes = n * np.geomspace(1 / 16, 16, 49)
    loss = along.height(spent, np.broadcast_to(sizes, (few.count, sizes.size)))
    keep = np.isfinite(loss[0])
    loss = np.where(np.isfinite(loss), loss, np.nan)
    best = np.stack([least_loss(along, spent * f) for f in factors], axis=1)
    return {
        "size": banded({"N": sizes[keep]}, "loss", loss[:, keep], level),
        "frontier": banded({f"budget ({currency})": budget * factors}, "loss", best, level),
    }

# SPDX-License-Identifier: Apache-2.0
"""The side tables of a plan on limited data, at the estimate: passes, corpora, sizes, versions; and its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.numerics.optimum import root
from forescale.planning._limited import Repeated, Version
from forescale.planning._plan import Table

Array = NDArray[np.float64]

PASSES = (1.0, 2.0, 4.0, 8.0, 16.0, 40.0, 100.0)
CORPORA = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
SIZES = (0.25, 0.5, 1.0, 2.0, 4.0)
BUDGETS = (0.01, 0.1, 1.0, 10.0, 100.0)

_SPLIT = (("N", "parameters"), ("D", "tokens"), ("passes", ""), ("loss", "loss"))


def passes(law: Repeated, N: float, D: float, U: float) -> Table:
    """What passes over the same tokens are worth, with the size of the plan."""
    counts = np.array(sorted({*PASSES, max(D / U, 1.0)}))
    cases = law.estimate(counts.size)
    tokens = counts * U
    worth = cases.worth(N, tokens, U)[1]
    following = np.exp(-(counts - 1.0) / cases.R_D)
    return Table(
        "passes",
        "What passes over the same tokens are worth, with the size of the plan",
        (("passes", ""), ("D'/D", ""), ("D'/U", ""), ("next token", ""), ("loss", "loss")),
        _rows(counts, worth / tokens, worth / U, following, cases.loss(N, tokens, U)),
        f"next token: what one more repeated token is worth, a fresh one being 1. Endless passes are worth "
        f"{1 + float(law.R_D[0]):.4g} fresh ones.",
    )


def corpora(law: Repeated, U: float, C: float) -> Table:
    """The best plan for this budget with less and with more unique data, and the compute that would do the same."""
    factors = np.array([*CORPORA, np.inf])
    cases = law.estimate(factors.size)
    N, D = cases.allocated(C, factors * U)
    loss = cases.loss(N, D, factors * U)
    return Table(
        "unique",
        "The same budget with less and with more unique data",
        (("U / given", "x"), ("U", "tokens"), *_SPLIT, ("compute", "x")),
        _rows(factors, factors * U, N, D, D / (factors * U), loss, law.compute_on(U, loss, C) / C),
        "compute: budget with which the given data reach that loss, over the budget; unbounded where none does.",
    )


def sizes(law: Repeated, C: float, n: float, U: float, noise: float) -> list[Table]:
    """What a wrong size costs at this budget, and the sizes that are as good within the noise of one run."""
    factors = np.array(SIZES)
    cases = law.estimate(factors.size)
    N = factors * n
    D = C / (6.0 * N)
    loss = cases.loss(N, D, U)
    best = float(law.loss(n, C / (6.0 * n), U)[0])
    wasted = np.maximum(100.0 * (1.0 - law.compute_on(U, loss, C) / C), 0.0)
    costs = Table(
        "sensitivity",
        "What it costs to be wrong about the size, at the same budget",
        (("N / plan", "x"), *_SPLIT, ("loss +", "%"), ("wasted", "%")),
        _rows(factors, N, D, D / U, loss, 100.0 * (loss / best - 1.0), np.where(wasted < 1e-2, 0.0, wasted)),
        "wasted: share of the compute that the best size would not have needed for that loss.",
    )
    two = law.estimate(2)
    bar = best * math.exp(noise)
    ends = root(
        lambda x: two.loss(x, C / (6.0 * x), np.full_like(x, U)), np.array([n / 1e4, n]), np.array([n, 1e4 * n]),
        target=bar, rtol=1e-9,
    ).x  # fmt: skip
    same = Table(
        "alternatives",
        f"Sizes whose loss is within {100 * noise:.2g} % of the best, one standard deviation of a run",
        (("end", ""), *_SPLIT),
        tuple(
            (end, *row)
            for end, row in zip(
                ("smallest", "largest"),
                _rows(ends, C / (6 * ends), C / (6 * ends * U), two.loss(ends, C / (6 * ends), U)),
            )
        ),
    )
    return [costs, same]


def versions(law: Repeated, found: Sequence[Version], C: float) -> Table:
    """The best plan on each version of the corpus, at this budget and at others."""
    budgets = C * np.array(BUDGETS)
    plans = []
    for version in found:
        cases = law.estimate(budgets.size).on(version)
        N, D = cases.allocated(budgets, version.unique)
        plans.append((N, D, cases.loss(N, D, version.unique)))
    least = np.min([loss for _, _, loss in plans], axis=0)
    rows: list[tuple[float | str | None, ...]] = [
        (
            float(budget), version.name, version.unique, version.quality, float(N[j]), float(D[j]),
            float(D[j] / version.unique), float(loss[j]), "best" if loss[j] == least[j] else "",
        )
        for j, budget in enumerate(budgets)
        for version, (N, D, loss) in zip(found, plans)
    ]  # fmt: skip
    return Table(
        "versions",
        "Versions of the corpus, by budget",
        (("C", "FLOP"), ("version", ""), ("U", "tokens"), ("quality", ""), *_SPLIT, ("choice", "")),
        tuple(rows),
        "A strict filter serves small budgets, and is read too often by large ones.",
    )


def curves(law: Repeated, C: float, n: float, U: float) -> Mapping[str, Mapping[str, Array]]:
    """Loss along the budget with the given and with endless data, and the least loss over the unique tokens."""
    N = n * np.geomspace(1 / 16, 16, 65)
    unique = U * np.geomspace(1 / 32, 32, 41)
    along, over = law.estimate(N.size), law.estimate(unique.size)
    given, endless = (along.loss(N, C / (6.0 * N), u) for u in (U, np.inf))
    return {
        "loss": Frozen({"N": N, "given data": given, "endless fresh data": endless}),
        "unique": Frozen({"unique tokens": unique, "loss": over.best(C, unique)}),
    }


def _rows(*columns: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(cell) for cell in row) for row in zip(*columns))

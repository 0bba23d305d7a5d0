# SPDX-License-Identifier: Apache-2.0
"""Models and their prices side by side: what a budget buys of each, where they cross, what wrong prices change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.numerics.optimum import root
from forescale.planning._coverage import Candidate
from forescale.planning._intervals import interval, of_estimate
from forescale.planning._plan import Table

Array = NDArray[np.float64]

_LARGEST = 1e9  # budget beside one sample of the dearer model up to which a crossing is looked for


@dataclass(frozen=True)
class Price:
    """What k samples of a model cost on one problem: `once` + k `each`."""

    once: float
    each: float

    def of(self, samples: Any) -> Any:
        """The bill of samples; nothing for none."""
        k = np.asarray(samples, dtype=np.float64)
        return np.where(k > 0, self.once + k * self.each, 0.0)[()]

    def buys(self, budget: float) -> float:
        """Whole samples for a budget."""
        # A budget that is an exact multiple must not lose a sample to rounding.
        return max(math.floor((budget - self.once) / self.each * (1.0 + 1e-12)), 0)


@dataclass(frozen=True, eq=False)
class Market:
    """Models, what their samples cost in one currency, the number of rows of each, the level of intervals."""

    models: list[Candidate]
    prices: list[Price]
    currency: str
    rows: int
    level: float

    def per_budget(self, i: int, budget: Any) -> Array:
        """Coverage of budgets by model i, in samples that need not be whole."""
        return self.models[i].coverage(
            (np.asarray(budget, dtype=np.float64) - self.prices[i].once) / self.prices[i].each
        )

    def one(self, i: int) -> float:
        """The price of a single sample."""
        return float(self.prices[i].of(1))

    def crossing(self, i: int, j: int) -> Array:
        """(B,) budget at which two models solve as much: infinite if the cheaper stays ahead, 0 if the other does."""
        cheap, dear = (i, j) if self.one(i) <= self.one(j) else (j, i)

        def ahead(budget: Array) -> Array:
            return self.per_budget(dear, budget) - self.per_budget(cheap, budget)

        wide = np.full(self.rows, max(self.one(i), self.one(j)))
        found = root(ahead, wide, _LARGEST * wide, rtol=1e-10)
        first = np.broadcast_to(ahead(wide[:, None])[:, 0], (self.rows,))
        lost = np.where(first > 0, 0.0, np.where(np.isfinite(first), np.inf, np.nan))
        return np.where(found.found, found.x, lost)

    def axis(self, spent: float) -> Array:
        """Budgets for tables and charts, from the cheapest sample to a thousand times the plan."""
        single = [self.one(i) for i in range(len(self.models))]
        return np.geomspace(min(single), 1e3 * max(spent, *single), 121)


def side_by_side(market: Market, samples: list[float], solved: list[Array], bills: list[Array]) -> Table:
    """What so many samples of each model cost and bring."""
    lines: list[tuple[float | str | None, ...]] = []
    for i, (model, k, share, bill) in enumerate(zip(market.models, samples, solved, bills)):
        ends = interval(share, market.level) or (None, None)
        cost, value = of_estimate(bill), of_estimate(share)
        lines.append(
            (
                model.name, market.one(i), market.prices[i].each, k, cost, value, *ends, model.measured(k),
                cost / value if value > 0 else None,
            )
        )  # fmt: skip
    unit = market.currency
    return Table(
        "models",
        "The models side by side",
        (
            ("model", ""), ("first sample", unit), ("each further", unit), ("samples", "count"), ("cost", unit),
            ("coverage", ""), ("from", ""), ("to", ""), ("measured", ""), ("per solved", unit),
        ),
        tuple(lines),
        "measured: the unbiased share in the attempts themselves, where they are enough.",
    )  # fmt: skip


def budgets(market: Market, spent: float) -> Table:
    """The best model at other budgets, in whole samples."""
    axis = market.axis(spent)
    lines: list[tuple[float | str | None, ...]] = []
    for budget in np.geomspace(axis[0], axis[-1], 9):
        bought = [float(price.buys(float(budget) * (1.0 + 1e-9))) for price in market.prices]
        share = [float(model.coverage(np.array([k]))[0, 0]) for model, k in zip(market.models, bought)]
        lines.append((float(budget), market.models[int(np.argmax(share))].name, *share))
    return Table(
        "budgets",
        "Share solved at other budgets for each problem",
        (("budget", market.currency), ("best", ""), *((model.name, "") for model in market.models)),
        tuple(lines),
    )


def crossings(market: Market) -> Table:
    """For each pair of models, the budget from which the dearer one solves more."""
    order = sorted(range(len(market.models)), key=market.one)
    lines: list[tuple[float | str | None, ...]] = []
    for a, i in enumerate(order):
        for j in order[a + 1 :]:
            found = market.crossing(i, j)
            at = of_estimate(found)
            real = 0.0 < at < math.inf
            ends = interval(found, market.level) if real else None
            shared = of_estimate(market.per_budget(i, np.full((market.rows, 1), at))) if real else None
            words = "" if real else f"{market.models[j if at == 0 else i].name} is ahead at every budget"
            names = market.models[i].name, market.models[j].name
            lines.append((*names, at if real else None, *(ends or (None, None)), shared, words))
    unit = market.currency
    return Table(
        "crossings",
        "From which budget the dearer model solves more",
        (
            ("cheaper", ""), ("dearer", ""), ("budget", unit), ("from", unit), ("to", unit), ("coverage", ""),
            ("", ""),
        ),
        tuple(lines),
        "Samples count as divisible here.",
    )  # fmt: skip


def sensitivity(market: Market, samples: list[float], best: int, spent: float) -> Table:
    """What changes if the price of the chosen model is wrong."""
    rivals = [
        float(model.coverage(np.array([k]))[0, 0])
        for i, (model, k) in enumerate(zip(market.models, samples))
        if i != best
    ]
    lines: list[tuple[float | str | None, ...]] = []
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        price = Price(market.prices[best].once * factor, market.prices[best].each * factor)
        k = samples[best] if factor == 1.0 else float(price.buys(spent))
        share = float(market.models[best].coverage(np.array([k]))[0, 0])
        lines.append((factor, k, share, share - max(rivals), "yes" if share >= max(rivals) else "no"))
    return Table(
        "sensitivity",
        f"If a sample of {market.models[best].name} costs more or less, for the same {market.currency}",
        (("price", "x"), ("samples", "count"), ("coverage", ""), ("ahead by", ""), ("still best", "")),
        tuple(lines),
    )


def curves(market: Market, spent: float) -> Frozen[str, Frozen[str, Array]]:
    """Coverage against the budget, one line for each model from its first sample on."""
    axis = market.axis(spent)
    lines = {
        model.name: np.where(axis * (1 + 1e-12) >= market.one(i), market.per_budget(i, axis[None, :])[0], np.nan)
        for i, model in enumerate(market.models)
    }
    return Frozen({"coverage": Frozen({f"{market.currency} per problem": axis, **lines})})

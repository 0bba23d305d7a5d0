# SPDX-License-Identifier: Apache-2.0
"""Models of one loss, from the compute-optimal to the smallest that can reach it: their training and serving."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.fitting.surface import Surface
from forescale.planning._intervals import of_estimate
from forescale.planning._lifetime import Bill, cheapest, tokens_for
from forescale.planning._plan import Basis, Table
from forescale.planning._show import show

Array = NDArray[np.float64]

SIZES = (1.0, 0.9, 0.75, 0.57, 0.5, 0.4, 0.3, 0.25, 0.2)
"""Sizes beside the compute-optimal model; de Vries (2023) discusses .57, .5 and .3."""

DEMAND = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
NOISE = 0.01  # choices within 1 % of the least bill are as good: no forecast of demand is better than that
BALANCED = 100.0  # tokens per parameter up to which laws of loss were fitted as a rule
TRAINED = 1e4  # the most tokens per parameter that Sardana et al. (2024) trained


def _along(one: Surface, loss: float, bill: Bill, sizes: Array) -> tuple[Array, Array, Array]:
    """(k,) D, training and serving bill of models of these sizes that reach the loss; `one` has one row."""
    D = tokens_for(one, sizes, np.array([loss]))[0]
    return D, 6.0 * sizes * D * bill.training, np.asarray(bill.serving(sizes), dtype=np.float64)


def overhead(
    one: Surface, loss: float, bill: Bill, n: float, d: float, optimal: float, currency: str, data_unit: str
) -> Table:
    """What smaller models of one loss cost, from the compute-optimal one down."""
    sizes = optimal * np.array(SIZES)
    D, training, serving = _along(one, loss, bill, sizes)
    start, least = training[0], bill.total(n, d)
    lines = tuple(
        (
            k, float(size), float(tokens), float(tokens / size), 100.0 * float(spent / start - 1.0), float(spent),
            float(spent + served), 100.0 * float((spent + served) / least - 1.0),
        )
        for k, size, tokens, spent, served in zip(SIZES, sizes, D, training, serving)
        if math.isfinite(tokens)
    )  # fmt: skip
    return Table(
        "overhead",
        "Smaller models of the same loss",
        (
            ("N / optimal", "x"), ("N", "parameters"), ("D", data_unit), ("D/N", f"{data_unit}/parameter"),
            ("overhead", "%"), ("training", currency), ("with serving", currency), ("beside the plan", "%"),
        ),
        lines,
        "overhead: training compute above the compute-optimal model of that loss (de Vries 2023); sizes that no "
        "amount of data brings there are left out.",
    )  # fmt: skip


def demand(one: Surface, loss: float, bill: Bill, n: float, d: float, currency: str, data_unit: str) -> Table:
    goal = np.array([loss])
    lines: list[tuple[float | str | None, ...]] = []
    for factor in DEMAND:
        true = bill.times(factor)
        own = cheapest(one, goal, true)
        size, tokens = of_estimate(own.N), of_estimate(own.D)
        least, paid = float(true.total(size, tokens)), float(true.total(n, d))
        more = 100.0 * (paid / least - 1.0)
        lines.append((factor, size, tokens, tokens / size, least, paid, 0.0 if abs(more) < 1e-6 else more))
    return Table(
        "sensitivity",
        "What it costs to be wrong about the demand, at the same loss",
        (
            ("served / plan", "x"), ("best N", "parameters"), ("best D", data_unit),
            ("D/N", f"{data_unit}/parameter"), ("least bill", currency), ("bill of the plan", currency),
            ("too much", "%"),
        ),
        tuple(lines),
        "too much: what the plan's model costs above the best for what is really served.",
    )  # fmt: skip


def alternatives(
    one: Surface,
    loss: float,
    bill: Bill,
    n: float,
    d: float,
    allowed: tuple[float, float],
    currency: str,
    data_unit: str,
) -> Table:
    """The smallest and the largest model whose bill is as good as the plan's; `allowed`: most N, most D."""
    least = float(bill.total(n, d))
    sizes = np.geomspace(n / 20.0, min(20.0 * n, allowed[0]), 4001)
    D, training, serving = _along(one, loss, bill, sizes)
    total = training + serving
    enough = allowed[1] * (1.0 + 1e-9)
    good = np.flatnonzero((total <= least * (1.0 + NOISE)) & (enough >= D))
    places = [("smallest", good[0]), ("largest", good[-1])] if good.size else []
    rows: list[tuple[float | str | None, ...]] = [
        (words, float(sizes[i]), float(D[i]), float(D[i] / sizes[i]), float(total[i]),
         100.0 * float(total[i] / least - 1.0))
        for words, i in places
    ]  # fmt: skip
    rows.insert(1, ("plan", n, d, d / n, least, 0.0))
    return Table(
        "alternatives",
        f"Within {100 * NOISE:g} % of the bill of the plan",
        (
            ("which", ""), ("N", "parameters"), ("D", data_unit), ("D/N", f"{data_unit}/parameter"),
            ("bill", currency), ("more", "%"),
        ),
        tuple(rows),
    )  # fmt: skip


def curves(
    one: Surface, loss: float, bill: Bill, n: float, optimal: float, currency: str
) -> Frozen[str, Frozen[str, Array]]:
    """The bill of all models of the loss against their size, and its two parts."""
    sizes = np.geomspace(0.3 * min(n, optimal), 2.0 * max(n, optimal), 121)
    _, training, serving = _along(one, loss, bill, sizes)
    total = training + serving
    # The bill rises without end towards the smallest size: what exceeds ten times the least is not drawn.
    drawn = np.isfinite(total) & (total <= 10.0 * np.min(total[np.isfinite(total)], initial=np.inf))
    return Frozen(
        {
            f"bill ({currency})": Frozen(
                {
                    "N": sizes[drawn],
                    "both": total[drawn],
                    "training": training[drawn],
                    "serving": serving[drawn],
                }
            )
        }
    )


def ratio_findings(basis: Basis, ratio: float) -> list[Finding]:
    """Whether the plan trains on more tokens per parameter than anything behind the law did."""
    runs = None if basis.fit is None else basis.fit.runs
    known = runs is not None and "N" in runs.columns and "D" in runs.columns
    seen = float(np.nanmax(runs["D"] / runs["N"])) if runs is not None and known else BALANCED
    if ratio <= 2.0 * seen:
        return []
    where = (
        f"the runs of the fit went up to {show(seen, 'tokens/parameter')}"
        if known
        else f"laws are fitted up to about {BALANCED:g} as a rule"
    )
    return [
        Finding(
            "over-trained",
            "red" if ratio > TRAINED else "amber",
            f"The plan trains on {show(ratio, 'tokens/parameter')} tokens per parameter; {where}. Laws fitted near "
            "balance overstate what further tokens bring (Sardana et al. 2024 found alpha and beta to change where "
            "runs at extreme ratios are fitted).",
            "Train a small model at that ratio and fit again; a larger model on fewer tokens is the safer side.",
        )
    ]

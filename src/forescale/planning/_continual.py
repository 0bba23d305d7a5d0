# SPDX-License-Identifier: Apache-2.0
"""Continual pre-training as a function of the share: what a plan shows around its answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.laws.continual import shape
from forescale.planning._plan import Grounds, Table

Array = NDArray[np.float64]

LEAST, MOST = 1e-3, 1.0 - 1e-6  # shares between which is looked
SHARES = (0.05, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class Run:
    """Size and tokens (B,) that belong to shares (B,)."""

    N: Array
    D: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """The laws at shares: each function takes shares (B, k) and gives (B, k)."""

    run: Callable[[Array], Run]
    domain: Callable[[Array], Array]
    general: Callable[[Array], Array] | None


def shares_table(problem: Problem, r: float, high: float) -> Table:
    """What other shares give, at the estimate."""
    shares = np.array(sorted({*SHARES, r}))
    at = problem.run(shares[None])
    domain = problem.domain(shares[None])[0]
    general = None if problem.general is None else problem.general(np.minimum(shares, MOST)[None])[0]
    tokens = np.broadcast_to(at.D[0], shares.shape)
    best = float(domain[shares == r][0])
    columns: list[tuple[tuple[str, str], list[float | str | None]]] = [
        (("share", "%"), [100.0 * float(share) for share in shares]),
        (("D", "tokens"), [float(D) for D in tokens]),
        (("domain", "loss"), [float(loss) for loss in domain]),
        (("domain +", "%"), [100.0 * (float(loss) / best - 1.0) for loss in domain]),
    ]
    if general is not None:
        columns.append((("general", "loss"), [float(loss) for loss in general]))
    if high < 1.0:
        columns.append((("allowed", ""), ["yes" if share <= high * (1 + 1e-9) else "no" for share in shares]))
    return Table(
        "sensitivity", "What other shares give", tuple(c for c, _ in columns), tuple(zip(*(v for _, v in columns)))
    )


def alternatives(problem: Problem, best: float, noise: float, low: float, high: float) -> Table:
    """Shares that are as good within the noise of one run."""
    grid = np.geomspace(low, max(high, low * (1 + 1e-9)), 2001)
    domain = problem.domain(grid[None])[0]
    within = grid[domain <= best * (1.0 + noise)]
    ends = (float(within.min()), float(within.max())) if within.size else (math.nan, math.nan)
    return Table(
        "alternatives",
        f"Shares whose loss on the domain is within {100 * noise:.2g} % of the best, the scatter of one run",
        (("from", "%"), ("to", "%")),
        ((100.0 * ends[0], 100.0 * ends[1]),),
    )


def curves(problem: Problem) -> Mapping[str, Mapping[str, Array]]:
    """Both losses over the share."""
    shares = np.linspace(0.01, 0.99, 99)
    lines = {"share": shares, "domain loss": problem.domain(shares[None])[0]}
    if problem.general is not None:
        lines["general loss"] = problem.general(shares[None])[0]
    return {"loss": Frozen(lines)}


# ------------------------------------------------------------------------------------------------ what must be said


def shape_findings(grounds: Grounds, r: float, n: float, d: float, *, inside: bool) -> list[Finding]:
    """The signs that Que et al. ask of a fit, at the plan."""
    params = {name: float(value[0, 0]) for name, value in grounds.laws["domain"].surface.params.items()}
    wrong = [what for what, holds in shape(params, n, d, r).items() if not bool(np.all(holds))]
    if inside:  # there the loss neither falls nor rises in the share, which the plan says as what binds
        wrong = [what for what in wrong if what != "falls in share"]
    if not wrong:
        return []
    return [
        Finding(
            "shape",
            "amber",
            f"At the plan the law of the domain has not the shape asked for: {', '.join(wrong)} fails.",
            "Where the loss does not fall in the share, more of the domain does not help any more: test it by a run.",
        )
    ]


def edge_findings(grounds: Grounds, r: float) -> list[Finding]:
    """Shares beyond those of the runs, where the general loss rises steeply and no run tells how steeply."""
    fit = grounds.laws["domain"].fit
    runs = None if fit is None else fit.runs
    if runs is None or "share" not in runs.columns:
        return []
    seen = runs["share"]
    if float(seen.min()) <= r <= float(seen.max()):
        return []
    return [
        Finding(
            "distance-share",
            "amber",
            f"A share of {r:.3g} lies outside of the {seen.min():.3g} to {seen.max():.3g} of the runs.",
            "Towards a share of one the general loss rises steeply.",
        )
    ]


def unit(grounds: Grounds) -> str:
    """The unit of the losses."""
    return grounds.laws["domain"].surface.conventions.get("loss", "loss")

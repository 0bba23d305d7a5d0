# SPDX-License-Identifier: Apache-2.0
"""Does a design for the decision need less compute than an IsoFLOP grid? By simulation and by replay of real sweeps.

    python benchmarks/design.py simulate                 three surfaces, 200 repeats (about 6 CPU-minutes)
    python benchmarks/design.py simulate --repeats 20    a look (under a minute)
    python benchmarks/design.py stop                     the same with the stop rule on (about 1 CPU-minute)
    python benchmarks/design.py bent                     where the law that is fitted is not the truth (1 CPU-minute)
    python benchmarks/design.py replay                   sweeps that were really made (half a CPU-minute)

Simulation. The truth is one of three surfaces L = E + A/N^alpha + B/D^beta, each run with .3 % noise. The grid is
five budgets 1e17 .. 1e21 FLOP with seven sizes within 8x of the true optimum (which it is given). The design starts
from ten runs of 1e16 and 1e17 FLOP, and then makes 25 runs in five batches, asking and telling; no run is larger than
the grid's largest, and grid and design have 35 runs each. Both are fitted by the same least squares in log loss;
Approach 2 on the grid stands beside. The error of a decision is the share of the compute that the size chosen for
1e23 FLOP, a hundred times the largest budget, wastes on the true surface; the figure is the median over repeats. The
ratio is the compute of the grid over that of the design where both err equally, interpolated in the logarithms
between batches.

The design starts in two ways: "blind", from sizes a decade apart over six decades, knowing nothing; "centred", from
sizes within 8x of the true optimum of its two small budgets, which is what the grid is given at all of its five.

Bent. The printed surface times 1 + excess: "small runs": 1 % too high at 1e17 FLOP, .1 % at 1e21; "off balance": .2 %
times the squared decades of D/N from 20. Nobody fits these; the compute is lost on the bent surface.

Stop. The designer may stop when no batch saves what it costs; compute spent on runs and lost at the decision add up.

Replay. Candidates are the runs of a sweep; the design picks among them, starting from the ten cheapest, at most half
of the grid's runs and a third of its compute. Beside it: the cheapest runs that the same compute buys. The decision
is N* at the largest budget, whose runs nobody sees. It is judged twice: on the surface fitted to the whole sweep,
that budget included (which favours the grid: it holds most of the same rows), and by the parabola through the hidden
runs. Nothing is tuned per sweep.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ForescaleError
from forescale.fitting import estimate
from forescale.fitting._fit import Fit
from forescale.fitting._profile import vertex
from forescale.fitting.approach2 import deadweight, frontier, grid_around, surface
from forescale.fitting.isoflop import _members
from forescale.laws import find
from forescale.planning import _asking
from forescale.planning._candidates import Candidates
from forescale.runs.table import Runs

Array = NDArray[np.float64]

SURFACES: Mapping[str, Mapping[str, float]] = {
    "Chinchilla as printed": {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28},
    "asymmetric": {"E": 1.69, "A": 406.4, "alpha": 0.465, "B": 410.7, "beta": 0.155},
    "symmetric": {"E": 1.69, "A": 400.0, "alpha": 0.31, "B": 400.0, "beta": 0.31},
}
NOISE = 0.003
BUDGETS = np.geomspace(1e17, 1e21, 5)
AT = 100.0 * BUDGETS[-1]
LOSS = "log-squared"  # Approach 3 by least squares in log loss, for grid and design alike
QUERY: Mapping[str, Any] = {
    "at": f"{AT:g} FLOP",
    "budget": "2.59e21 FLOP",  # a third of the grid
    "max_run": "1e21 FLOP",
    "runs": 25,
    "rounds": 5,
    "economical": False,
    "least_ratio": 1e-4,
    "most_ratio": 1e13,
}
LEVEL = 0.90


# ------------------------------------------------------------------------------------------------------- simulation


@dataclass(frozen=True, eq=False)
class Truth:
    """A surface, perhaps bent, on which runs are made and decisions judged."""

    params: Mapping[str, float]
    bend: str = ""

    def loss(self, N: Any, D: Any) -> Array:
        """Expected loss."""
        plain = surface(self.params, N, D)
        if self.bend == "small runs":
            return np.asarray(plain * (1 + 0.01 * (1e17 / (6 * np.asarray(N) * D)) ** 0.25))
        if self.bend == "off balance":
            return np.asarray(plain * (1 + 0.002 * np.log10(np.asarray(D) / N / 20) ** 2))
        return plain

    def made(self, N: Array, D: Array, rng: np.random.Generator) -> Runs:
        """Runs with noise."""
        noisy = self.loss(N, D) * np.exp(NOISE * rng.standard_normal(N.size))
        return Runs.from_columns({"N": N, "D": D, "loss": noisy})

    def error(self, N: float) -> float:
        """Share of AT that a model of size N wastes there; 1 where there is no size."""
        if not (np.isfinite(N) and N > 0):
            return 1.0
        if not self.bend:
            return float(deadweight(self.params, N, AT))
        budgets, best = self._frontier
        here = float(self.loss(N, AT / (6 * N)))
        worth = np.exp(np.interp(-here, -best, np.log(budgets)))
        return float(max(1 - worth / AT, 0.0))

    @cached_property
    def _frontier(self) -> tuple[Array, Array]:
        """Budgets below AT and the least loss of each."""
        budgets = np.geomspace(AT / 100, AT, 2000)
        steps = np.exp(np.linspace(-4, 4, 4001))
        centre = frontier(self.params, budgets)[0]
        best = np.array([self.loss(n * steps, c / (6 * n * steps)).min() for n, c in zip(centre, budgets)])
        return budgets, best


@dataclass(frozen=True, eq=False)
class Simulated:
    """Errors of decisions about one surface.

    Attributes:
        cost: FLOP of the grid.
        grid, approach2: (R,) errors of the grid's runs fitted by least squares, and by Approach 2.
        spent, error: (R, 1 + batches) compute and error of the design after its start and after each batch.
    """

    cost: float
    grid: Array
    approach2: Array
    spent: Array
    error: Array

    def ratio(self, level: float = LEVEL) -> tuple[float, float, float]:
        """Compute of the grid / compute of the design at the same median error, with its Monte-Carlo interval."""
        rng = np.random.default_rng(0)
        drawn = [_ratio(self, rng.integers(0, len(self.grid), len(self.grid))) for _ in range(400)]
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return _ratio(self, np.arange(len(self.grid))), float(low), float(high)


def _ratio(found: Simulated, rows: NDArray[np.intp]) -> float:
    goal = np.log(np.median(found.grid[rows]))
    error, spent = (np.log(np.median(values[rows], axis=0)) for values in (found.error, found.spent))
    best = np.minimum.accumulate(error)
    k = int(np.argmax(best <= goal))
    if best[k] > goal:
        return 0.0  # the whole design is worse than the grid
    if k == 0:
        return float(found.cost / np.exp(spent[0]))
    part = (error[k - 1] - goal) / (error[k - 1] - error[k])
    return float(found.cost / np.exp(spent[k - 1] + part * (spent[k] - spent[k - 1])))


def simulate(truth: Truth, repeats: int, start: str = "blind", seed: int = 0) -> Simulated:
    """The grid and the design on one surface."""
    plan = grid_around(truth.params, BUDGETS, factor=8.0, points=7)
    N, C = np.concatenate(plan.N), np.repeat(BUDGETS, 7)
    errors, others, spent, error = [], [], [], []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        runs = truth.made(N, C / (6 * N), rng)
        errors.append(truth.error(_optimum(_fit(runs))))
        others.append(truth.error(_approach2(runs)))
        costs, found = _designed(truth, start, rng)
        spent.append(costs)
        error.append(found)
    return Simulated(float(C.sum()), np.array(errors), np.array(others), np.array(spent), np.array(error))


def _pilot(truth: Truth, start: str, rng: np.random.Generator) -> Runs:
    if start == "blind":
        sizes: tuple[Array, ...] = (np.geomspace(1e4, 1e9, 6), np.geomspace(3e4, 3e7, 4))
    else:
        sizes = tuple(grid_around(truth.params, [C], factor=8.0, points=k).N[0] for C, k in ((1e17, 6), (1e16, 4)))
    N, C = np.concatenate(sizes), np.repeat([1e17, 1e16], [6, 4])
    return truth.made(N, C / (6 * N), rng)


def _designed(truth: Truth, start: str, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    runs = _pilot(truth, start, rng)
    fit = _fit(runs)
    costs, errors = [float((6 * runs["N"] * runs["D"]).sum())], [truth.error(_optimum(fit))]
    design = _asking.ask(fit, QUERY)
    for left in reversed(range(int(QUERY["rounds"]))):
        runs = truth.made(design.runs["N"], design.runs["D"], rng)
        costs.append(costs[-1] + design.cost)
        if left:
            design = design.tell(runs)
            fit = design.fit
        else:
            fit = _asking.fit_with(design.fit, runs)
        errors.append(truth.error(_optimum(fit)))
    return costs, errors


def stopped(truth: Truth, repeats: int, start: str = "blind", seed: int = 1) -> Array:
    """(R, 3) compute spent, runs made and share lost when the designer may stop."""
    found = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        runs = _pilot(truth, start, rng)
        spent, made = float((6 * runs["N"] * runs["D"]).sum()), len(runs)
        design = _asking.ask(_fit(runs), {**QUERY, "economical": True})
        for left in reversed(range(int(QUERY["rounds"]))):
            if design.stop or not left:
                break
            runs = truth.made(design.runs["N"], design.runs["D"], rng)
            spent, made = spent + design.cost, made + len(runs)
            design = design.tell(runs)
        found.append((spent, made, truth.error(_optimum(design.fit))))
    return np.array(found)


def _fit(runs: Runs) -> Fit:
    return estimate.fit(runs, find("chinchilla"), loss=LOSS)


def _optimum(fit: Fit, C: float = AT) -> float:
    return float(frontier(fit.params, C)[0])


def _approach2(runs: Runs) -> float:
    C = 6 * runs["N"] * runs["D"]
    found = []
    for budget in BUDGETS:
        rows = np.abs(np.log(C / budget)) < 0.1
        found.append(vertex(np.log(runs["N"][rows]), runs["loss"][rows], "parabola").log_x)
    good = np.isfinite(found)
    if good.sum() < 2:
        return float("nan")
    slope, height = np.polyfit(np.log(BUDGETS[good]), np.array(found)[good], 1)
    return float(np.exp(height + slope * np.log(AT)))


# ------------------------------------------------------------------------------------------------------------ words


def _simulation(repeats: int, starts: tuple[str, ...], out: Path | None) -> None:
    began = time.process_time()
    print(f"{repeats} repeats, noise {100 * NOISE:g} %, decision at {AT:g} FLOP; error: median share of it lost")
    kept = {}
    for start in starts:
        print(f"\nstart: {start}")
        print("| surface | grid | error | Approach 2 | design: compute / error after the start and each batch | "
              "design at the grid's error | ratio | 90 % |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|")
        for name in SURFACES:
            found = simulate(Truth(SURFACES[name]), repeats, start)
            ratio, low, high = found.ratio()
            steps = ", ".join(
                f"{c:.2g}: {100 * e:.3f} %"
                for c, e in zip(np.median(found.spent, axis=0), np.median(found.error, axis=0))
            )
            equal = f"{found.cost / ratio:.2g}" if ratio > 0 else "-"
            print(
                f"| {name} | {found.cost:.3g} | {100 * np.median(found.grid):.4f} % | "
                f"{100 * np.median(found.approach2):.3f} % | {steps} | {equal} | "
                f"{ratio:.0f} | {low:.0f} to {high:.0f} |",
                flush=True,
            )
            kept[f"{start}/{name}"] = {k: np.asarray(v).tolist() for k, v in vars(found).items()}
    print(f"\n{time.process_time() - began:.0f} CPU-s")
    if out is not None:
        out.write_text(json.dumps(kept), encoding="utf-8")


# ----------------------------------------------------------------------------------------------------------- replay

PILOT = 10  # cheapest runs, at least three sizes among them
SHARE = 1 / 3  # of the grid's compute
SWEEPS = (
    ("isoflop_collection", "group"),
    ("porian_compute_optimal", "group"),
    ("loss_to_loss", "dataset"),
    ("chinchilla_epoch", None),
)


@dataclass(frozen=True, eq=False)
class Replayed:
    """One sweep.

    Attributes:
        name: data set and group.
        runs, cost: of the whole grid below the budget of the decision.
        at: that budget.
        cheap: the two wastes of the cheapest runs for the same compute.
        grid: (waste on the surface of the whole sweep, waste by the profile of the hidden budget) of the grid.
        steps: (share of the grid's compute, runs, the same two wastes) of the design after its start and each batch.
    """

    name: str
    runs: int
    cost: float
    at: float
    grid: tuple[float, float]
    cheap: tuple[float, float]
    steps: tuple[tuple[float, int, float, float], ...]


def sweeps() -> list[tuple[str, Runs]]:
    """The sweeps, one per group, without the rows that their maintainers flag."""
    from forescale.runs.datasets import dataset
    from forescale.runs.derive import require

    found = []
    for name, by in SWEEPS:
        table = require(dataset(name), "N", "D", "C", "loss")
        if "outlier" in table.labels:
            table = table.where(np.char.lower(table.labels["outlier"].astype(str)) != "true")
        levels = [None] if by is None else list(dict.fromkeys(map(str, table.labels[by])))
        found += [
            (f"{name} {level or ''}".strip(), table if by is None else table.where(table.labels[by] == level))
            for level in levels
        ]
    return found


def replay(name: str, table: Runs, law: str = "chinchilla") -> Replayed | None:
    """The design among the runs of one sweep; None where no law has an optimum or the top budget has no profile."""
    budgets = [(budget, rows) for budget, rows in _members(table, None)[0] if np.unique(table["N"][rows]).size >= 5]
    top, profile = budgets[-1]
    hidden = table["C"] > top / 1.15
    below = table.where(~hidden)
    if abs(np.median(np.log(6 * table["N"][profile] * table["D"][profile] / table["C"][profile]))) > np.log(1.1):
        return None  # the sweep counts compute in another way than the decision spends it
    best = vertex(np.log(table["N"][profile]), np.log(table["loss"][profile]), "parabola")
    whole = _plain(table)
    cost = _costs(below)
    if not np.isfinite(best.log_x) or best.curvature <= 0 or not _usable(whole, top):
        return None
    judged = _Judge(whole, top, best.log_x, best.curvature)
    grid = judged(_plain(below))
    order = np.argsort(cost, kind="stable")
    start = order[:PILOT]
    while np.unique(below["N"][start]).size < 4 and start.size < order.size:
        start = order[: start.size + 1]
    fit = _plain(below.where(np.sort(start)))
    spent, made = float(cost[start].sum()), start.size
    steps = [(spent / cost.sum(), made, *judged(fit))]
    query = {
        "at": f"{top:.9g} FLOP", "budget": f"{SHARE * cost.sum() - spent:.9g} FLOP", "rounds": 4,
        "runs": len(below) // 2 - made,
        "repeats": 1, "economical": False, "least_ratio": 1e-4, "most_ratio": 1e13,
    }  # fmt: skip
    rest = np.setdiff1d(np.arange(len(below)), start)
    pool = Candidates(below["N"][rest], below["D"][rest], cost[rest])
    try:
        design = _asking.ask(fit, query, candidates=pool)
        for _ in range(4):
            picked = _rows(below, design.runs)
            spent, made = spent + design.cost, made + picked.size
            fit = _asking.fit_with(design.fit, below.where(np.sort(picked)))
            steps.append((spent / cost.sum(), made, *judged(fit)))
            design = design.tell(below.where(np.sort(picked)))
    except ForescaleError as error:  # the last batch leaves nothing to ask with
        if len(steps) < 2:
            print(f"  {name}: {error}", file=sys.stderr)
    cheapest = order[np.cumsum(cost[order]) <= spent]
    cheap = judged(_plain(below.where(np.sort(cheapest))))
    return Replayed(name, len(below), float(cost.sum()), top, grid, cheap, tuple(steps))


@dataclass(frozen=True, eq=False)
class _Judge:
    """Share of the top budget that a fit's N* wastes there: on the surface of all runs, and by the hidden profile."""

    whole: Fit
    top: float
    centre: float
    curvature: float

    def __call__(self, fit: Fit) -> tuple[float, float]:
        if not _usable(fit, self.top):
            return 1.0, 1.0
        N = _optimum(fit, self.top)
        here = _optimum(self.whole, self.top)
        losses = [surface(self.whole.params, here, c / (6 * here)) for c in (self.top * 1.01, self.top / 1.01)]
        fall = -float(np.log(losses[0] / losses[1])) / (2 * np.log(1.01))
        excess = 0.5 * self.curvature * (np.log(N) - self.centre) ** 2
        return float(deadweight(self.whole.params, N, self.top)), float(1.0 - np.exp(-excess / fall))


def _plain(runs: Runs) -> Fit:
    return estimate.fit(runs, find("chinchilla"))


def _usable(fit: Fit, C: float) -> bool:
    values = np.array([fit.params[name] for name in ("A", "alpha", "B", "beta")])
    return bool(np.all(np.isfinite(values)) and np.all(values > 0) and np.isfinite(_optimum(fit, C)))


def _costs(runs: Runs) -> Array:
    return np.asarray(runs["C"], dtype=np.float64)


def _rows(table: Runs, chosen: Mapping[str, Array]) -> NDArray[np.intp]:
    return np.array(
        [
            int(np.argmin(np.abs(np.log(table["N"] / n)) + np.abs(np.log(table["D"] / d))))
            for n, d in zip(chosen["N"], chosen["D"])
        ]
    )


def _replay() -> None:
    began = time.process_time()
    print("| sweep | grid runs | grid FLOP | grid's waste | design: share of the compute, runs: waste ... | |")
    print("|---|---|---|---|---|---|")
    found = []
    for name, table in sweeps():
        result = replay(name, table)
        if result is None:
            print(f"| {name} | no profile at its largest budget, or its C is not 6ND | | | | |")
            continue
        found.append(result)
        steps = "; ".join(f"{100 * s:.1f} %, {n}: {100 * a:.2f} / {100 * b:.2f}" for s, n, a, b in result.steps)
        print(f"| {name} | {result.runs} | {result.cost:.3g} | "
              f"{100 * result.grid[0]:.2f} / {100 * result.grid[1]:.2f} % | {steps} |", flush=True)  # fmt: skip
    print("\nMedians: of the grid, of the design after its start and each batch (share of the grid's compute: waste)")
    print("| data set | sweeps | judge | grid | design | no worse, within .1 % | cheapest first |\n|" + 7 * "---|")
    for name in dict.fromkeys(r.name.split()[0] for r in found):
        some = [r for r in found if r.name.split()[0] == name]
        for k, judge in enumerate(("whole sweep", "hidden runs")):
            grid = np.array([r.grid[k] for r in some])
            last = np.array([r.steps[-1][2 + k] for r in some])
            stages = [[r.steps[min(i, len(r.steps) - 1)] for r in some] for i in range(5)]
            said = ", ".join(
                f"{100 * np.median([s[0] for s in step]):.1f} %: {100 * np.median([s[2 + k] for s in step]):.2f} %"
                for step in stages
            )
            cheap = 100 * float(np.median([r.cheap[k] for r in some]))
            good = int(np.sum(last <= grid + 1e-3))
            whole = 100 * float(np.median(grid))
            print(f"| {name} | {len(some)} | {judge} | {whole:.2f} % | {said} | {good} | {cheap:.2f} % |")
    print(f"{time.process_time() - began:.0f} CPU-s")


def _bent(repeats: int) -> None:
    print("| truth | grid | error | design: compute / error after the start and each batch |\n|---|---|---|---|")
    for bend in ("small runs", "off balance"):
        found = simulate(Truth(SURFACES["Chinchilla as printed"], bend), repeats, "centred")
        steps = ", ".join(
            f"{c:.2g}: {100 * e:.2f} %"
            for c, e in zip(np.median(found.spent, axis=0), np.median(found.error, axis=0))
        )
        print(f"| {bend} | {found.cost:.3g} | {100 * np.median(found.grid):.2f} % | {steps} |", flush=True)


def _stop(repeats: int) -> None:
    print("| surface | runs | spent on runs | lost at the decision | together | grid: spent |")
    print("|---|---|---|---|---|---|")
    for name, params in SURFACES.items():
        found = stopped(Truth(params), repeats)
        grid = simulate(Truth(params), 1).cost
        spent, made, lost = np.mean(found, axis=0)
        lost *= AT
        print(f"| {name} | {made:.0f} | {spent:.2g} | {lost:.2g} | {spent + lost:.2g} | {grid:.2g} |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("simulate", "stop", "bent", "replay"))
    parser.add_argument("--repeats", type=int, help="tables per cell (default 200; 40 for stop and bent)")
    parser.add_argument("--out", type=Path, help="keep every repeat as JSON (simulate)")
    parser.add_argument(
        "--start", choices=("blind", "centred"), help="how the design starts (simulate; default both)"
    )
    given = parser.parse_args()
    if given.what == "simulate":
        starts = ("blind", "centred") if given.start is None else (given.start,)
        _simulation(given.repeats or 200, starts, given.out)
    elif given.what == "replay":
        _replay()
    else:
        (_bent if given.what == "bent" else _stop)(given.repeats or 40)


if __name__ == "__main__":
    main()

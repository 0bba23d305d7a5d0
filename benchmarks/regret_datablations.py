# SPDX-License-Identifier: Apache-2.0
"""Regret of plans on limited data, by replay on the runs of Muennighoff et al. (2023).

    python benchmarks/regret_datablations.py            half a minute

Runs: one of each configuration (replicates and runs on other corpora are left out). Cheap part: below 1e20 FLOP, and
of those the runs below a loss of 4.5, which neither diverged nor learnt their corpus by heart; both limits are those
of the study `datablations`, set before any decision was looked up. The law `data-constrained` is fitted to the cheap
part alone. Decisions: every budget from 1e20 FLOP on (runs whose compute lies within 10 % of each other) and every
number of unique tokens for which two sizes or more were run ("fresh": each token seen once). The planner
`limited-data` is asked for that budget and those tokens; the run next to the size that it chooses is looked up, and
its regret is how far its loss lies above the best run of that budget and those tokens.

Whether the fit leaves out the runs that passed their minimum is chosen on the cheap part alone: fits below 5e19 FLOP
decide the budgets between 5e19 and 1e20 FLOP ("cheap decisions"), and the least mean regret wins. Beside it stand the
published constants and a plan that counts repeated tokens as fresh.

The number of unique tokens belongs to the question: (N, epochs) at a budget is a choice of N only where it is given.
Were it free, the answer at every budget would be the fresh tokens, of which most budgets have runs of one size.
Cells of two sizes, and those with 100M or 400M unique tokens, which ask for 190 passes and more, are counted like
the others; at 6e20 FLOP on 100M tokens every run ended above the loss at which this protocol calls a run failed.

A plan is "warned" where it says that repetition may do harm (the band of Hernandez et al. 2022): no law of this form
can follow a loss that rises. Needs the data set `datablations` (a download, or FORESCALE_MIRROR).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import forescale as fs

CUT, EARLIER, FAILED, NEAR = 1e20, 5e19, 4.5, 1.1
BAR = 0.5  # per cent: the promise
LAW = "data-constrained"
MARKS = ("seed", "opt", "c4")


@dataclass(frozen=True)
class Cell:
    """The runs of one budget and one number of unique tokens (infinite: each token seen once)."""

    C: float
    unique: float
    N: NDArray[np.float64]
    loss: NDArray[np.float64]

    def chosen(self, N: float) -> int:
        """The run next to a size."""
        return int(np.argmin(np.abs(np.log(self.N / N))))

    def regret(self, N: float) -> float:
        """Per cent above the best run."""
        return 100.0 * float(self.loss[self.chosen(N)] / self.loss.min() - 1.0)


@dataclass(frozen=True)
class Decision:
    """A size for a cell, and whether the plan warned of harm."""

    cell: Cell
    N: float
    low: float
    high: float
    passes: float
    warned: bool

    @property
    def regret(self) -> float:
        """Per cent above the best run of the cell."""
        return self.cell.regret(self.N)

    @property
    def held(self) -> bool:
        """Whether the plan's interval holds the size of the best run."""
        return self.low <= float(self.cell.N[self.cell.loss.argmin()]) <= self.high


def plain(runs: fs.Runs) -> fs.Runs:
    """One run of each configuration on the corpus of all."""
    return runs.where(np.array([not any(mark in str(name) for mark in MARKS) for name in runs.labels["run"]]))


def cells(runs: fs.Runs, least: float, below: float = np.inf) -> Iterator[Cell]:
    """Budgets of a range, and the unique tokens for which there is a choice."""
    some = runs.where((runs["C"] >= least) & (runs["C"] < below))
    order = np.argsort(some["C"], kind="stable")
    C = some["C"][order]
    level, starts = np.zeros(len(C), dtype=int), C[0]
    for i, c in enumerate(C):
        if c > NEAR * starts:
            starts = c
            level[i:] += 1
    unique = np.where(some["epochs"] < 1.001, np.inf, some["D_unique"])[order]
    for k in range(level.max() + 1):
        for u in np.unique(unique[level == k]):
            rows = order[(level == k) & (unique == u)]
            if np.unique(some["N"][rows]).size > 1:
                yield Cell(
                    float(np.exp(np.log(some["C"][rows]).mean())), float(u), some["N"][rows], some["loss"][rows]
                )


def passed(runs: fs.Runs) -> NDArray[np.bool_]:
    """Runs with a better one that saw fewer tokens, or had fewer parameters, all else equal: past their minimum."""
    N, D, U, loss = (runs[name][:, None] for name in ("N", "D", "D_unique", "loss"))
    better = (U == U.T) & (loss > loss.T)
    return np.asarray((better & (((N == N.T) & (D > D.T)) | ((D == D.T) & (N > N.T)))).any(axis=1))


def decide(cell: Cell, *fit: fs.Fit) -> Decision:
    """What the planner chooses for a cell; without a fit, from the published constants."""
    tokens = cell.unique if np.isfinite(cell.unique) else 1e15
    plan = fs.plan("limited-data", *fit, draws=200, budget=cell.C, unique=tokens)
    N = plan["N"]
    warned = any(warning.code == "repetition-band" for warning in plan.warnings)
    return Decision(cell, N.value, N.lower or np.nan, N.upper or np.nan, plan["epochs"].value, warned)


WAYS: dict[str, Callable[[fs.Runs], fs.Runs]] = {
    "all sound rows": lambda rows: rows,
    "before the minimum": lambda rows: rows.where(~passed(rows)),
}


def tables() -> tuple[fs.Runs, fs.Runs]:
    """Sound runs, and one run of each configuration."""
    runs = fs.dataset("datablations")
    return runs.where(runs["loss"] < FAILED), plain(runs)


def cheap_decisions() -> dict[str, float]:
    """Mean regret of each way to choose the rows, on the cheap part."""
    sound, single = tables()
    early, before = sound.where(sound["C"] < EARLIER), list(cells(single, EARLIER, CUT))
    mean: dict[str, float] = {}
    for name, some in WAYS.items():
        fit = fs.fit(some(early), LAW)
        mean[name] = float(np.mean([decide(cell, fit).regret for cell in before]))
    return mean


def replay(way: str) -> list[Decision]:
    """The decisions for the larger budgets."""
    sound, single = tables()
    fit = fs.fit(WAYS[way](sound.where(sound["C"] < CUT)), LAW)
    return [decide(cell, fit) for cell in cells(single, CUT)]


def beside() -> dict[str, list[float]]:
    """Regrets of the published constants, of a law without repetition, and of the worst run."""
    sound, single = tables()
    larger = list(cells(single, CUT))
    fresh = fs.fit(sound.where(sound["C"] < CUT), "chinchilla")
    return {
        "published constants": [decide(cell).regret for cell in larger],
        "repeated counted as fresh": [
            cell.regret(fs.plan("compute-optimal", fresh, budget=cell.C, refit=False)["N"].value) for cell in larger
        ],
        "the worst run": [100.0 * float(cell.loss.max() / cell.loss.min() - 1.0) for cell in larger],
    }


def by_budget(decisions: list[Decision]) -> dict[float, tuple[int, int]]:
    """Budget -> how many of its decisions keep the promise, and how many there are."""
    found: dict[float, tuple[int, int]] = {}
    for d in decisions:
        C = next((C for C in found if 1 / NEAR < C / d.cell.C < NEAR), d.cell.C)
        kept, count = found.get(C, (0, 0))
        found[C] = (kept + (d.regret <= BAR), count + 1)
    return found


def main() -> None:
    mean, others = cheap_decisions(), beside()
    best = min(mean, key=lambda name: mean[name])
    decisions = replay(best)
    print("mean regret of the cheap decisions, %: " + ", ".join(f"{k} {v:.2f}" for k, v in mean.items()))
    print(f"fitted: {best}\n")
    head = ("C", "unique", "sizes", "N planned", "from", "to", "passes", "warned", "regret %", *others)
    print("  ".join(head))
    for i, d in enumerate(decisions):
        cells_of_row = (
            f"{d.cell.C:.1e}", f"{d.cell.unique:.2g}", f"{len(d.cell.N)}", f"{d.N:.2e}", f"{d.low:.1e}",
            f"{d.high:.1e}", f"{d.passes:.1f}", "yes" if d.warned else "", f"{d.regret:.2f}",
            *(f"{values[i]:.2f}" for values in others.values()),
        )  # fmt: skip
        print("  ".join(cell.rjust(len(name)) for cell, name in zip(cells_of_row, head)))
    kept = ", ".join(f"{C:.1e} {k} of {n}" for C, (k, n) in by_budget(decisions).items())
    print(f"\nwithin {BAR} %, by budget: {kept}")
    held = sum(d.held for d in decisions)
    print(f"plan's 90 % interval holds the best size: {held} of {len(decisions)}")
    for what, chosen in (
        ("all", range(len(decisions))),
        ("three sizes or more", [i for i, d in enumerate(decisions) if len(d.cell.N) > 2]),
        ("not warned", [i for i, d in enumerate(decisions) if not d.warned]),
        ("warned", [i for i, d in enumerate(decisions) if d.warned]),
    ):
        regrets = {"planned": [decisions[i].regret for i in chosen]}
        regrets |= {name: [values[i] for i in chosen] for name, values in others.items()}
        print(
            f"\n{what}: within {BAR} % of the best measured: "
            + ", ".join(
                f"{name} {sum(r <= BAR for r in values)} of {len(values)}" for name, values in regrets.items()
            )
        )


if __name__ == "__main__":
    main()

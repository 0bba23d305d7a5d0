# SPDX-License-Identifier: Apache-2.0
"""Regret of rules for learning rate and batch, by replay on the released grids of Step Law (Li et al. 2025).

    python benchmarks/regret_step_law.py              about three minutes
    python benchmarks/regret_step_law.py --json regret.json

The fifteen cells of N and D, about 119 runs each, are ordered by compute. The eight cheapest are seen; on the seven
others each rule chooses a rate and a batch, and the run of the grid next to them is looked up: its gap is how far its
smoothed loss lies above the best of that cell, in thousandths. Which method and which window are used is decided on
the eight cheapest cells alone, by leaving out each of them in turn ("left out"); the column "seven larger" is shown
for all of them and chooses nothing. The last line is what `fs.plan("learning-rate", sweeps, ...)` decides.

The constant (1.95e-3, 256 sequences) was picked by others with all cells in view, and the constants that Step Law
publishes were fitted to all cells: neither is a fair forecast. Needs the data set `step-law` (a download, or
FORESCALE_MIRROR).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import forescale as fs
from forescale.studies.step_law import CHEAP, WINDOWS, Cell, Rule, by_laws, by_surface, cells, constant, left_out

Method = Callable[[Sequence[Cell]], Rule]


def methods(runs: fs.Runs) -> dict[str, Method]:
    """What turns cells into a rule: their recipe, and valleys with and without a power of N in the batch."""
    narrow = fs.law("tuning-surface").fix(f=0.0)

    def recipe(within: float) -> Method:
        def method(train: Sequence[Cell]) -> Rule:
            some = runs.where(np.concatenate([cell.rows for cell in train]))
            rate, batch = (fs.estimate(some, name, within=within) for name in ("step-law-lr", "step-law-batch"))
            return lambda cell: (
                float(rate.predict(N=cell.N, D=cell.D).estimate[0]),
                float(batch.predict(D=cell.D).estimate[0]),
            )

        return method

    def valley(within: float, law: object) -> Method:
        return lambda train: by_surface(train, within, law)[0]

    return {
        "constant": lambda _: constant,
        **{f"their recipe, runs within {100 * w:g} %": recipe(w) for w in (0.0025, 0.005)},
        **{f"valley, batch of D, {100 * w:g} %": valley(w, narrow) for w in WINDOWS},
        **{f"valley, batch of N and D, {100 * w:g} %": valley(w, "tuning-surface") for w in WINDOWS},
    }


def planned(runs: fs.Runs, train: Sequence[Cell]) -> Rule:
    """What the planner decides from the sweeps of some cells."""
    some = runs.where(np.concatenate([cell.rows for cell in train]))

    def rule(cell: Cell) -> tuple[float, float]:
        plan = fs.plan("learning-rate", some, params=cell.N, tokens=cell.D)
        return plan["lr_peak"].value, plan["batch_tokens"].value

    return rule


def replay() -> dict[str, tuple[float, list[float]]]:
    """Method -> (gap on left-out cheap cells, gaps on the larger cells)."""
    runs = fs.dataset("step-law")
    every = cells(runs)
    cheap, large = every[:CHEAP], every[CHEAP:]
    found = {}
    for name, method in methods(runs).items():
        rule = method(cheap)
        found[name] = (left_out(cheap, method), [cell.gap(rule) for cell in large])
    step = by_laws("lr-power", "batch-power", "li2025steplaw")
    found["Step Law, published"] = (float("nan"), [cell.gap(step) for cell in large])
    plan = planned(runs, cheap)
    found["the planner"] = (float("nan"), [cell.gap(plan) for cell in large])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = replay()
    print("| rule | eight cheapest, left out | seven larger | standard error | each |")
    print("|---|---|---|---|---|")
    for name, (inside, gaps) in found.items():
        error = np.std(gaps, ddof=1) / np.sqrt(len(gaps))
        each = " ".join(f"{gap:.2f}" for gap in gaps)
        print(
            f"| {name} | {'' if np.isnan(inside) else f'{inside:.3f}'} | {np.mean(gaps):.3f} | {error:.2f} | {each} |"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps({k: {"left_out": a, "larger": b} for k, (a, b) in found.items()}))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Step Law: do power laws of N and D choose learning rate and batch better than constants, and beyond their data?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, tally
from forescale.studies._study import EQUAL, Claim, Outcome, Study, Table, measured, reproduced

Array = NDArray[np.float64]
Rule = Callable[["Cell"], tuple[float, float]]

PAPER = "Li et al. 2025, table of competitors (17 cells)"
ALL = 17
"""Cells of the release. A mirror may lack those of its largest model."""

ALIKE = 0.1
"""Share by which two mean gaps may differ: two of 17 cells may be missing."""

CHEAP = 8
"""Cells that the extrapolation is fitted on, the cheapest ones; the others are decided."""

WINDOWS = (0.005, 0.01, 0.02)
"""Runs of a cell that the surface is fitted to: up to this share above the best. Chosen on the cheap cells alone."""


@dataclass(frozen=True, eq=False)
class Cell:
    """The grid of one N and D."""

    N: float
    D: float
    rate: Array
    batch: Array
    loss: Array
    rows: NDArray[np.intp]

    @property
    def compute(self) -> float:
        """6 N D."""
        return 6 * self.N * self.D

    def gap(self, rule: Rule) -> float:
        """Thousandths of the loss that a rule loses at the grid point next to its choice."""
        rate, batch = rule(self)
        chosen = np.argmin(np.log(self.rate / rate) ** 2 + np.log(self.batch / batch) ** 2)
        return float(1e3 * (self.loss[chosen] / self.loss.min() - 1))


def cells(runs: fs.Runs) -> list[Cell]:
    """The cells of the release, the cheapest first."""
    found = []
    for N, D in np.unique(np.stack([runs["N"], runs["D"]]), axis=1).T:
        rows = np.flatnonzero((runs["N"] == N) & (runs["D"] == D))
        rate, batch, loss = (runs[k][rows] for k in ("lr_peak", "batch_tokens", "loss"))
        found.append(Cell(N, D, rate, batch, loss, rows))
    return sorted(found, key=lambda cell: cell.compute)


def by_laws(rate: str, batch: str, source: str) -> Rule:
    """Published constants of two laws."""
    laws = [(fs.law(name), fs.law(name).constants(source)) for name in (rate, batch)]

    def rule(cell: Cell) -> tuple[float, float]:
        columns = {"N": cell.N, "D": cell.D, "C": cell.compute, "loss": cell.loss.min()}
        one, two = (float(law(p, **{k: columns[k] for k in law.inputs})) for law, p in laws)
        return one, two

    return rule


def constant(_: Cell) -> tuple[float, float]:
    """1.95e-3 and 256 sequences of 2,048 tokens, whatever the model."""
    return 1.95e-3, 256 * 2048


def by_method(runs: fs.Runs, train: Sequence[Cell]) -> tuple[Rule, Any, Any]:
    """Their recipe on some cells."""
    some = runs.where(np.concatenate([cell.rows for cell in train]))
    rate, batch = fs.estimate(some, "step-law-lr"), fs.estimate(some, "step-law-batch")

    def rule(cell: Cell) -> tuple[float, float]:
        return float(rate.predict(N=cell.N, D=cell.D).estimate[0]), float(batch.predict(D=cell.D).estimate[0])

    return rule, rate, batch


def by_surface(train: Sequence[Cell], within: float, law: Any = "tuning-surface") -> tuple[Rule, fs.Fit]:
    """Ours: one valley for all cells, its place a power of N and D, fitted to the runs near the best."""
    near = [cell.loss <= cell.loss.min() * (1 + within) for cell in train]
    pairs = list(zip(train, near))
    columns: dict[str, Any] = {
        "N": np.concatenate([np.full(keep.sum(), cell.N) for cell, keep in pairs]),
        "D": np.concatenate([np.full(keep.sum(), cell.D) for cell, keep in pairs]),
        "lr_peak": np.concatenate([cell.rate[keep] for cell, keep in pairs]),
        "batch_tokens": np.concatenate([cell.batch[keep] for cell, keep in pairs]),
        "loss": np.concatenate([cell.loss[keep] for cell, keep in pairs]),
        "group": np.repeat([f"cell {i}" for i in range(len(train))], [keep.sum() for keep in near]),
    }
    fit = fs.fit(columns, law, group_by="group", separate=["E"])
    p = fit.params

    def rule(cell: Cell) -> tuple[float, float]:
        size, data = cell.N / 1e9, cell.D / 1e11
        rate = p["lr_0"] * size ** p["b"] * data ** p["c"]
        return rate, p["B_0"] * size ** p.get("f", 0.0) * data ** p["d"]

    return rule, fit


def chosen_window(train: Sequence[Cell]) -> float:
    """The window with the least mean gap when each training cell is left out in turn."""
    return min(WINDOWS, key=lambda within: left_out(train, lambda some: by_surface(some, within)[0]))


def left_out(train: Sequence[Cell], method: Callable[[Sequence[Cell]], Rule]) -> float:
    """Mean gap of the rule that a method makes of all cells but one, on that one, in thousandths of the loss."""
    return float(np.mean([cell.gap(method([other for other in train if other is not cell])) for cell in train]))


def run() -> Outcome:
    """Gaps of all rules on all cells; then constants from the eight cheapest cells decide the others."""
    runs = fs.dataset("step-law")
    every = cells(runs)
    cheap, large = every[:CHEAP], every[CHEAP:]
    refit, rate, batch = by_method(runs, every)
    within = chosen_window(cheap)
    ours, valley = by_surface(every, within)
    rules: dict[str, Rule] = {
        "Step Law": by_laws("lr-power", "batch-power", "li2025steplaw"),
        "constant": constant,
        "DeepSeek, C = 6ND": by_laws("lr-by-compute", "batch-by-compute", "deepseek2024"),
        "Porian": by_laws("lr-by-size", "batch-by-size", "porian2024"),
        "Kaplan": by_laws("lr-by-log-size", "critical-batch", "kaplan2020"),
        "their recipe": refit,
        "tuning-surface": ours,
    }
    gaps = {name: np.array([cell.gap(rule) for cell in every]) for name, rule in rules.items()}
    ahead = {
        "constant": constant,
        "their recipe": by_method(runs, cheap)[0],
        "tuning-surface": by_surface(cheap, within)[0],
    }
    beyond = {name: np.array([cell.gap(rule) for cell in large]) for name, rule in ahead.items()}
    ahead_of = _beyond(beyond, within)
    alike = sum(claim.verdict == EQUAL for claim in ahead_of)
    *powers, spread = _constants(rate, batch, gaps)
    return Outcome(
        claims=(*_on_all(gaps), _batch_of_size(valley), *ahead_of, *powers, spread, *_others(gaps)),
        sentence=(
            f"The published law loses {gaps['Step Law'].mean():.2f} thousandths of the loss on the released cells, a "
            f"constant {gaps['constant'].mean():.2f}; of its powers {tally(powers)} come back from the released "
            f"runs. On the {len(large)} larger cells the shape of the valley, fitted to the {CHEAP} cheapest, loses "
            f"{beyond['tuning-surface'].mean():.2f}, their recipe {beyond['their recipe'].mean():.2f}, the constant "
            f"{beyond['constant'].mean():.2f}; {alike} of {len(ahead_of)} differences are below their standard error."
        ),
        charts={"gap": _gap_chart(every, gaps), "rate": _rate_chart(every, rules["Step Law"], ours)},
        tables=(_table(every, gaps),),
    )


def _on_all(gaps: dict[str, Array]) -> list[Claim]:
    step = gaps["Step Law"]
    return [
        reproduced(
            "Step Law: mean gap, thousandths",
            ours=step.mean(),
            theirs=0.94,
            within=ALIKE,
            relative=True,
            source=PAPER,
            note=_about(step.size),
        ),
        measured("Step Law: median gap, thousandths", float(np.median(step))),
        measured("Step Law: largest gap, thousandths", float(step.max())),
        measured("constant 1.95e-3 and 256 sequences: mean gap, thousandths", gaps["constant"].mean()),
        measured("their recipe on these cells: mean gap, thousandths", gaps["their recipe"].mean()),
        measured("tuning-surface on these cells: mean gap, thousandths", gaps["tuning-surface"].mean()),
    ]


def _batch_of_size(valley: fs.Fit) -> Claim:
    low, high = valley.intervals["wald"]["f"]
    return measured(
        "power of N in the best batch, tuning-surface on these cells",
        valley.params["f"],
        note=(
            f"{100 * valley.level:g} % interval {low:.2f} to {high:.2f}. Step Law has none: there the batch "
            "follows D alone. These cells span sizes of a factor of 2.5 only."
        ),
    )


def _about(count: int) -> str:
    return f"{count} of the {ALL} cells; within a tenth. Gap of the grid point nearest to the choice, smoothed loss."


def _constants(rate: Any, batch: Any, gaps: dict[str, Array]) -> list[Claim]:
    one, two = fs.law("lr-power").published["li2025steplaw"], fs.law("batch-power").published["li2025steplaw"]
    claims = [
        reproduced(
            f"power of {text}, their recipe on the released runs",
            ours=found.numbers[name],
            theirs=law.values[name],
            within=2 * law.standard_errors[name],
            source="Li et al. 2025, eq. 1, within two of its bootstrap errors",
            note=(
                f"{gaps['Step Law'].size} of the {ALL} cells are here, of all but the largest model. The valley is "
                f"flat: these powers lose {gaps['their recipe'].mean():.2f} thousandths, the published ones "
                f"{gaps['Step Law'].mean():.2f}."
            ),
        )
        for text, found, law, name in (
            ("D in the learning rate", rate, one, "c"),
            ("N in the learning rate", rate, one, "b"),
            ("D in the batch", batch, two, "b"),
        )
    ]
    drawn = rate.bootstrap(200).draws
    claims.append(
        measured(
            "bootstrap error of the power of N in the learning rate",
            float(np.std([state.rate["b"] for state in drawn], ddof=1)),
            note=(
                f"{one.standard_errors['b']:.3g} in their 1,000 released rows; ours draws runs of the whole grid "
                "with replacement, what theirs draws is not said."
            ),
        )
    )
    return claims


def _others(gaps: dict[str, Array]) -> list[Claim]:
    note = f"{_about(gaps['Porian'].size)} Which N, C and batch the table took is not said."
    return [
        reproduced(
            f"{name}: mean gap, thousandths",
            ours=gaps[name].mean(),
            theirs=theirs,
            within=ALIKE,
            relative=True,
            source=PAPER,
            note=f"{note} {more}".strip(),
        )
        for name, theirs, more in (
            ("Porian", 3.71, ""),
            ("DeepSeek, C = 6ND", 9.26, ""),
            ("Kaplan", 9.51, "Batch: the critical one at the least loss of the cell."),
        )
    ]


def _beyond(beyond: dict[str, Array], within: float) -> list[Claim]:
    ours = beyond["tuning-surface"]
    window = (
        f"Runs within {100 * within:g} % of the best, a window chosen by leaving out each of the {CHEAP} in turn, as "
        "the power of N in the batch was; these larger cells had been looked at before. See "
        "benchmarks/regret_step_law.py."
    )
    return [
        fewer_errors(
            f"mean gap on the {ours.size} larger cells, thousandths: tuning-surface from the {CHEAP} cheapest {text}",
            ours=ours,
            theirs=beyond[name],
            source=source,
            note=window,
        )
        for name, text, source in (
            ("their recipe", "against their recipe", f"their recipe on the same {CHEAP} cells"),
            ("constant", "against a constant", "1.95e-3 and 256 sequences, which were picked with all cells in view"),
        )
    ]


def _table(every: Sequence[Cell], gaps: dict[str, Array]) -> Table:
    rows = [
        (f"{cell.N:.3g}", f"{cell.D:.3g}", *(f"{gaps[name][i]:.2f}" for name in gaps)) for i, cell in enumerate(every)
    ]
    last = ("mean", "", *(f"{values.mean():.2f}" for values in gaps.values()))
    return Table("Gap of each rule in each cell, thousandths of the loss", ("N", "D", *gaps), (*rows, last))


def _gap_chart(every: Sequence[Cell], gaps: dict[str, Array]) -> Any:
    shown = ("Step Law", "tuning-surface", "constant", "Porian")
    C = np.array([cell.compute for cell in every])
    return xy(
        "What a rule for learning rate and batch costs",
        ["each dot is one cell of N and D: how far the grid point nearest to the choice lies above the best one"],
        [Series(name, C, gaps[name]) for name in shown],
        x="compute of the cell, 6ND (FLOP)",
        y="gap (thousandths of the loss)",
        log_x=True,
        kind_x="flop",
    )


def _rate_chart(every: Sequence[Cell], law: Rule, ours: Rule) -> Any:
    series: list[Series] = []
    no = np.ones(1)  # a cell without runs
    for N in sorted({cell.N for cell in every}):
        same = [cell for cell in every if cell.N == N]
        near = [cell.loss <= 1.0025 * cell.loss.min() for cell in same]
        best = [np.exp(np.log(cell.rate[keep]).mean()) for cell, keep in zip(same, near)]
        D = np.geomspace(min(c.D for c in same), max(c.D for c in same), 40)
        along = [Cell(N, d, no, no, no, np.empty(0, dtype=np.intp)) for d in D]
        name = f"N = {N / 1e6:.0f}M"
        series += [
            Series(name, [cell.D for cell in same], best),
            Series(name, D, [law(cell)[0] for cell in along], "line"),
            Series(name, D, [ours(cell)[0] for cell in along], "dashes"),
        ]
    return xy(
        "Best learning rate by size and tokens",
        ["dots: mean of the runs within 0.25 % of the best; lines: Step Law; dashes: the valley fitted to all cells"],
        series,
        x="training tokens D",
        y="peak learning rate",
        log_x=True,
        log_y=True,
        kind_x="count",
    )


step_law = Study(
    id="step-law",
    title="Learning rate and batch by power laws",
    question="Do power laws of N and D choose learning rate and batch better than constants, and beyond their data?",
    papers=("li2025steplaw", "porian2024", "deepseek2024", "kaplan2020"),
    datasets=("step-law",),
    laws=(
        "lr-power",
        "batch-power",
        "tuning-surface",
        "lr-by-compute",
        "batch-by-compute",
        "lr-by-size",
        "batch-by-size",
        "lr-by-log-size",
        "critical-batch",
    ),
    run=run,
)

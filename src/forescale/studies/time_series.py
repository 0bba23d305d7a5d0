# SPDX-License-Identifier: Apache-2.0
"""Time-series models (Yao et al. 2024; Ansari et al. 2024): is the slope outside the training data that inside?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import span, tally
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured

Array = NDArray[np.float64]

FAMILIES = {"chronos-t5": "Chronos-T5", "chronos-bolt": "Chronos-Bolt"}
BENCHMARKS = ("in-domain", "zero-shot")
DRAWS = 4000


@dataclass(frozen=True, eq=False)
class Slopes:
    """Fall of log error per unit of log N, one number per data set, by the same sizes for all of them.

    The slope of the mean over data sets is the mean of the slopes; intervals draw data sets.
    """

    tasks: tuple[str, ...]
    each: Array
    draws: Array

    @property
    def mean(self) -> float:
        """Over data sets."""
        return float(self.each.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """90 %."""
        low, high = np.quantile(self.draws, [0.05, 0.95])
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.mean:.4f} ({low:.4f} to {high:.4f})"


def _drawn(each: Array, rng: np.random.Generator) -> Array:
    return np.asarray(each[rng.integers(0, each.size, (DRAWS, each.size))].mean(axis=1))


def slopes(runs: fs.Runs, rng: np.random.Generator) -> Slopes:
    """One family on one benchmark."""
    tasks = sorted(set(runs.labels["task"].tolist()))
    each = []
    for task in tasks:
        rows = runs.where(runs.labels["task"] == task)
        each.append(-float(np.polyfit(np.log(rows["N"]), np.log(rows["relative"]), 1)[0]))
    return Slopes(tuple(tasks), np.array(each), _drawn(np.array(each), rng))


def means(runs: fs.Runs) -> fs.Runs:
    """One row per size: the geometric mean of the relative errors, as the authors aggregate them."""
    sizes = np.unique(runs["N"])
    loss = [float(np.exp(np.log(runs["relative"][runs["N"] == size]).mean())) for size in sizes]
    return fs.load({"N": sizes, "loss": np.array(loss)})


def run() -> Outcome:
    """Slopes of two families inside and outside, by two metrics; the largest model from the smaller ones."""
    rng = np.random.default_rng(0)
    claims: list[Claim] = []
    largest: list[Claim] = []
    rows: list[tuple[str, ...]] = []
    pairs: list[tuple[str, ...]] = []
    series: list[Series] = []
    falls: list[float] = []
    unseen: list[float] = []
    levels: list[float] = []
    for metric in ("WQL", "MASE"):
        runs = fs.dataset("chronos-sizes", metric=metric)
        found: dict[tuple[str, str], Slopes] = {}
        for family, words in FAMILIES.items():
            for benchmark in BENCHMARKS:
                chosen = runs.where((runs.labels["family"] == family) & (runs.labels["benchmark"] == benchmark))
                found[family, benchmark] = slopes(chosen, rng)
                table = means(chosen)
                fit = fs.fit(table, "time-series-N")
                rows.append(
                    (words, benchmark, metric, str(found[family, benchmark]), f"{fit.params['k']:.3f}",
                     f"{table['loss'].min():.4f}")
                )  # fmt: skip
                if metric == "WQL":
                    largest += _largest(words, benchmark, table)
                    grid = np.geomspace(6e6, 1e9, 40)
                    name = f"{words}, {benchmark}"
                    series += [
                        Series(name, table["N"], table["loss"]),
                        Series(name, grid, fit.predict(N=grid).estimate, "line"),
                    ]
        falls += [100 * one.mean for one in found.values()]
        said, halves = _alike(metric, found)
        claims += said
        unseen += halves
        told, over = _bolt(metric, runs, found, rng)
        pairs += told
        levels += over
        count = sum(len(found["chronos-t5", benchmark].tasks) for benchmark in BENCHMARKS)
    return Outcome(
        claims=(*claims, *largest),
        sentence=(
            f"Errors of Chronos models fall by {span(falls)} % per e-fold of parameters. The slope on the data sets "
            "they were trained on differs from that on others by less than half its 90 % interval in "
            f"{tally(claims)} cases, as far as {count} data sets tell: a difference of {span(unseen, '.3f')} would "
            f"go unseen. At 200M parameters the error of Bolt is {span(levels)} times that of T5."
        ),
        charts={
            "sizes": xy(
                "Error relative to the seasonal naive forecast",
                ["weighted quantile loss, geometric mean over data sets; lines: power laws"],
                series,
                x="parameters",
                y="relative error",
                log_x=True,
                log_y=True,
                kind_x="count",
            )
        },
        tables=(
            Table(
                "Fall of log error per e-fold of parameters (90 %, over data sets)",
                ("family", "data", "metric", "slope", "level k", "least error"),
                tuple(rows),
                "WQL: weighted quantile loss, MASE: mean absolute scaled error, over those of a seasonal naive "
                "forecast. Level: log of the error at one parameter; it and the slope move together. The published "
                "slopes of likelihoods against parameters (Yao et al. 2024) are .023 to .029 for encoders, .015 to "
                ".017 for decoders: other models, another metric.",
            ),
            Table(
                "Bolt against T5",
                ("metric", "data", "slope of Bolt less that of T5 (90 %)", "error of Bolt over T5 at 200M"),
                tuple(pairs),
                "Of four such intervals one leaves zero out by chance in a third of all studies.",
            ),
        ),
    )


def _alike(metric: str, found: dict[tuple[str, str], Slopes]) -> tuple[list[Claim], list[float]]:
    """Whether the slopes inside and outside can be told apart, and what difference could be."""
    claims, halves = [], []
    for family, words in FAMILIES.items():
        inside, outside = (found[family, benchmark] for benchmark in BENCHMARKS)
        low, high = np.quantile(inside.draws - outside.draws, [0.05, 0.95])
        half = 0.5 * float(high - low)
        halves.append(half)
        claims.append(
            holds(
                f"{words}, {metric}: slope inside the training data less slope outside",
                ours=inside.mean - outside.mean,
                least=-half,
                most=half,
                source="Yao et al. 2024: slopes are alike, levels differ",
                note=f"90 % from {low:.4f} to {high:.4f}; the bar is half the width of that.",
            )
        )
    return claims, halves


def _bolt(
    metric: str, runs: fs.Runs, found: dict[tuple[str, str], Slopes], rng: np.random.Generator
) -> tuple[list[tuple[str, ...]], list[float]]:
    """Slope and level of Bolt against T5 on the same data sets, so that what these share cancels."""
    rows: list[tuple[str, ...]] = []
    levels: list[float] = []
    for benchmark in BENCHMARKS:
        each = found["chronos-bolt", benchmark].each - found["chronos-t5", benchmark].each
        low, high = np.quantile(_drawn(each, rng), [0.05, 0.95])
        one, two = (
            np.log(runs["relative"][(runs.labels["model"] == m) & (runs.labels["benchmark"] == benchmark)]).mean()
            for m in ("chronos-bolt-base", "chronos-t5-base")
        )
        levels.append(float(np.exp(one - two)))
        rows.append((metric, benchmark, f"{each.mean():.4f} ({low:.4f} to {high:.4f})", f"{levels[-1]:.3f}"))
    return rows, levels


def _largest(words: str, benchmark: str, table: fs.Runs) -> list[Claim]:
    """The largest size from the smaller ones."""
    last = table["N"] == table["N"].max()
    fit = fs.fit(table.where(~last), "time-series-N")
    rest = table.where(last)
    error = float(100 * abs(fit.predict(rest).estimate[0] / rest["loss"][0] - 1))
    return [measured(f"{words}, {benchmark}: error of the power law on the largest model, hidden, per cent", error)]


time_series = Study(
    id="time-series",
    title="Time-series models inside and outside their training data",
    question="Do errors fall with size outside the training data as they do inside, and what changes the slope?",
    papers=("yao2024", "ansari2024"),
    datasets=("chronos-sizes",),
    laws=("time-series-N",),
    run=run,
)

# SPDX-License-Identifier: Apache-2.0
"""How well do few attempts per problem foretell coverage at many? The planner `coverage`, on real and simulated data.

    python benchmarks/coverage_forecasts.py               seven sizes of Pythia on 128 problems of MATH (minutes)
    python benchmarks/coverage_forecasts.py --simulated   what set the sharpness of the weights (minutes)

Real: of the 10,000 attempts at each problem 100 or 1,000 are drawn without replacement (seed 0, 40 times), and the
share of the problems that all 10,000 solve is foretold from them. Printed for each model: mean absolute errors of a
plain line in log(-log coverage) and of a plain beta-binomial likelihood (both of new problems, as published), of the
forms of the planner, which carry on from what is seen, and of their pool; whether the 90 % interval of the first
drawing holds the truth. Nothing of the planner was set on these counts.

Simulated (Schaeffer et al. 2025): beta and Kumaraswamy success rates, alpha in {.15, .4}, beta in {3.5, 5}, largest
rate in {.1, .8}, 128 problems.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.fitting.attempts import Attempts
from forescale.fitting.coverage_forecast import (
    FORMS,
    SHARPNESS,
    HeldOut,
    carried,
    foretell,
    forms,
    grid,
    held_out,
    pool,
)
from forescale.planning._intervals import interval
from forescale.runs.datasets import dataset

Array = NDArray[np.float64]

MODELS = ("70M", "160M", "410M", "1B", "2.8B", "6.9B", "12B")
MADE = 10_000
KEPT = (100, 1000)
REPEATS = 40
PLAIN = ("plain line", "plain beta")


@dataclass(frozen=True)
class Hindcast:
    """One model and number of attempts.

    Attributes:
        errors: name -> mean absolute error; names are PLAIN, FORMS and "pool".
        truth: share of the problems that all attempts solve.
        lower, upper: the 90 % interval from the first drawing; NaN where none was asked for.
    """

    model: str
    kept: int
    errors: dict[str, float]
    truth: float
    lower: float
    upper: float

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        return self.lower <= self.truth <= self.upper


def fixed(trials: int, passed: Array) -> Attempts:
    """A table of attempts whose number was fixed beforehand."""
    P = len(passed)
    return Attempts(np.full(P, float(trials)), passed, "fixed_n", np.zeros(P, dtype=bool), np.ones(P))


def forecasts(attempts: Attempts) -> dict[str, float]:
    """Every forecast of the coverage at MADE attempts, without the pool."""
    one, end = np.ones((1, len(attempts.trials))), np.array([float(MADE)])
    learned = forms(attempts, one)
    found = {name: float(carried(attempts, one, learned[name], end)[0, 0]) for name in FORMS}
    found["plain beta"] = 1.0 - float(learned["beta"](np.zeros(1), end)[0, 0, 0])  # of a problem never tried
    found["plain line"] = plain_line(attempts)
    return found


def plain_line(attempts: Attempts) -> float:
    """log(-log coverage) as a straight line in log k, by least squares, read at MADE."""
    k = grid(attempts.horizon)
    share = attempts.coverage(k)
    inside = (share > 0) & (share < 1)
    slope, height = np.polyfit(np.log(k[inside]), np.log(-np.log(share[inside])), 1)
    return float(np.exp(-np.exp(height + slope * np.log(MADE))))


def pooled(found: dict[str, float], held: HeldOut | None, sharpness: float = SHARPNESS) -> float:
    """The forecast of the planner."""
    return sum(weight * found[name] for name, weight in pool(held, FORMS, sharpness).items())


def hindcasts(kept: int, *, repeats: int = REPEATS, draws: int = 400, seed: int = 0) -> list[Hindcast]:
    """The seven models from `kept` attempts; `draws` resamples for the interval of the first drawing, 0 for none."""
    runs = dataset("pythia-math-counts")
    passed = {m: runs["passed"][runs.labels["model"] == f"Pythia {m}"].astype(np.int64) for m in MODELS}
    truth = {m: float((c > 0).mean()) for m, c in passed.items()}
    rng = np.random.default_rng([seed, kept])
    errors: dict[str, dict[str, list[float]]] = {m: {} for m in MODELS}
    ends: dict[str, tuple[float, float]] = {}
    for repeat in range(repeats):
        table = {m: fixed(kept, rng.hypergeometric(c, MADE - c, kept).astype(float)) for m, c in passed.items()}
        for model, attempts in table.items():
            found = forecasts(attempts)
            found["pool"] = pooled(found, held_out(attempts))
            for name, value in found.items():
                errors[model].setdefault(name, []).append(abs(value - truth[model]))
            if repeat == 0 and draws:
                told = foretell(attempts, np.array([float(MADE)]), draws=draws)
                ends[model] = interval(told.pooled[:, 0], 0.90) or (np.nan, np.nan)
    return [
        Hindcast(
            m, kept, {n: float(np.nanmean(e)) for n, e in errors[m].items()}, truth[m], *ends.get(m, (np.nan, np.nan))
        )
        for m in MODELS
    ]


# -- simulated ------------------------------------------------------------------------------------------------------


def rates(kind: str, alpha: float, beta: float, largest: float, problems: int, rng: np.random.Generator) -> Array:
    """Success rates of problems."""
    if kind == "beta":
        return np.asarray(largest * rng.beta(alpha, beta, problems))
    return np.asarray(largest * (1 - (1 - rng.random(problems)) ** (1 / beta)) ** (1 / alpha))  # Kumaraswamy


def simulated(kept: int, sharpness: tuple[float, ...], repeats: int, seed: int = 2) -> dict[str, float]:
    """Mean absolute errors over the simulated distributions: of each form, and of pools by their sharpness."""
    rng = np.random.default_rng([seed, kept])
    cells = [
        (kind, a, b, c)
        for kind in ("beta", "kumaraswamy")
        for a in (0.15, 0.4)
        for b in (3.5, 5.0)
        for c in (0.1, 0.8)
    ]
    means: dict[str, list[float]] = {}
    for cell in cells:
        errors: dict[str, list[float]] = {}
        for _ in range(repeats):
            passed = rng.binomial(MADE, rates(*cell, 128, rng))
            attempts = fixed(kept, rng.hypergeometric(passed, MADE - passed, kept).astype(np.float64))
            if attempts.solved.sum() < 2 or attempts.solved.all():
                continue
            found, held = forecasts(attempts), held_out(attempts)
            for power in sharpness:
                found[f"pool {power:g}"] = pooled(found, held, power)
            for name, value in found.items():
                errors.setdefault(name, []).append(abs(value - float((passed > 0).mean())))
        for name, values in errors.items():
            means.setdefault(name, []).append(float(np.nanmean(values)))
    return {name: float(np.mean(values)) for name, values in means.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    chosen = parser.parse_args()
    if chosen.simulated:
        for kept in KEPT:
            found = simulated(kept, (1.0, 2.0, 4.0, 8.0), chosen.repeats)
            print(
                f"{kept:5d} attempts: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()),
                flush=True,
            )
        return
    names = (*PLAIN, *FORMS, "pool")
    print("| attempts | model | " + " | ".join(names) + " | truth | 90 % interval |")
    print("|" + "---|" * (len(names) + 4))
    held = 0
    for kept in KEPT:
        rows = hindcasts(kept, repeats=chosen.repeats)
        for row in rows:
            held += row.held
            cells = " | ".join(f"{row.errors[name]:.4f}" for name in names)
            ends = f"{row.lower:.3f} to {row.upper:.3f}" + ("" if row.held else " (missed)")
            print(f"| {kept} | {row.model} | {cells} | {row.truth:.3f} | {ends} |", flush=True)
        means = " | ".join(f"{np.mean([row.errors[name] for row in rows]):.4f}" for name in names)
        print(f"| {kept} | mean | {means} | | |", flush=True)
    print(f"\n{held} of {len(KEPT) * len(MODELS)} intervals hold the truth")


if __name__ == "__main__":
    main()

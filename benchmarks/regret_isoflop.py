# SPDX-License-Identifier: Apache-2.0
"""Regret of compute-optimal plans: by simulation 100 times beyond the runs, and on real top budgets.

    python -m benchmarks.regret_isoflop             about two minutes
    python -m benchmarks.regret_isoflop --quick     the simulation with a tenth of the repetitions

Simulation: the three surfaces of Czech (2026), who showed that parabolas are biased on them: Chinchilla's printed
constants, an asymmetric one (alpha .465, beta .155) and a symmetric one. Five budgets from 1e17 to 1e21 FLOP, 15
sizes each, evenly in log within a factor of 8 of the true optimum; a run's loss varies by .3 %. The law `chinchilla`
is fitted as `fs.fit` does it by default, the plan is asked for 1e23 FLOP, and its size is judged on the true surface:
the share of the compute that an optimal run would not have needed for the loss that it gets (equivalent compute
lost). Beside it stands approach 2: parabolas, and a power law through their vertices.

Real top budgets: the largest budget of each IsoFLOP experiment is hidden, a law (or several, pooled, as `fs.fit`
without a law does) is fitted to the rest, and the plan for the hidden budget is compared with the measured optimum,
the vertex of the hidden profile: inside the 90 % interval of N* or not. Needs the data set `isoflops` (a download, or
FORESCALE_MIRROR).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.core.errors import ForescaleError
from forescale.core.streams import block_streams

Array = NDArray[np.float64]

SURFACES = {
    "chinchilla, printed": {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28},
    "asymmetric": {"E": 1.69, "A": 406.4, "alpha": 0.465, "B": 410.7, "beta": 0.155},
    "symmetric": {"E": 1.69, "A": 400.0, "alpha": 0.31, "B": 400.0, "beta": 0.31},
}
BUDGETS, SIZES, WIDTH, NOISE = np.geomspace(1e17, 1e21, 5), 15, 8.0, 0.003
ASKED = 1e23
REPETITIONS = 40
DROPPED = ("exact_duplicate", "near_duplicate_params", "spline_outlier")  # as the benchmark case `isoflops`


@dataclass(frozen=True)
class Surface:
    """A true law of loss."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, N: Array | float, D: Array | float) -> Array:
        """Without noise."""
        return np.asarray(self.E + self.A * N**-self.alpha + self.B * D**-self.beta)

    def best(self, C: Array | float) -> Array:
        """The optimal size (Hoffmann et al. 2022, eq. 4)."""
        G = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        return np.asarray(G * (C / 6) ** (self.beta / (self.alpha + self.beta)))

    def lost(self, N: float, C: float) -> float:
        """Share of C, in %, that an optimal run would not have needed for the loss of a model of N parameters."""
        got = float(self.loss(N, C / (6 * N)))
        gamma = self.alpha * self.beta / (self.alpha + self.beta)
        least = float(self.loss(self.best(C), C / (6 * self.best(C)))) - self.E
        return 100.0 * (1.0 - ((got - self.E) / least) ** (-1.0 / gamma))


def simulated(surface: Surface, rng: np.random.Generator) -> fs.Runs:
    """Five profiles with noise."""
    C = np.repeat(BUDGETS, SIZES)
    N = (surface.best(BUDGETS)[:, None] * np.geomspace(1 / WIDTH, WIDTH, SIZES)).ravel()
    D = C / (6 * N)
    loss = surface.loss(N, D) * np.exp(NOISE * rng.standard_normal(N.size))
    return fs.Runs.from_columns({"N": N, "D": D, "C": C, "loss": loss}, source="simulated profiles")


def simulation(repetitions: int = REPETITIONS) -> dict[str, dict[str, Array]]:
    """Surface -> method -> (repetitions,) equivalent compute lost, in %."""
    found: dict[str, dict[str, Array]] = {}
    for name, constants in SURFACES.items():
        surface = Surface(**constants)
        rows = {"this plan": [], "approach 2": []}  # type: dict[str, list[float]]
        for stream in block_streams(0, repetitions):
            runs = simulated(surface, stream)
            plan = fs.plan("compute-optimal", fs.fit(runs, "chinchilla"), budget=ASKED, draws=0, refit=False)
            rows["this plan"].append(surface.lost(plan["N"].value, ASKED))
            parabolas = fs.isoflop(runs, correct=False)
            rows["approach 2"].append(surface.lost(parabolas.optimum(ASKED)["N"][0], ASKED))
        found[name] = {method: np.array(values) for method, values in rows.items()}
    return found


@dataclass(frozen=True)
class Top:
    """A hidden top budget: the vertex of its profile, and what a plan said of it."""

    experiment: str
    budget: float
    vertex: float
    method: str
    N: float
    lower: float
    upper: float

    @property
    def inside(self) -> bool:
        """Whether the vertex lies in the plan's interval."""
        return self.lower <= self.vertex <= self.upper


def tops() -> list[Top]:
    """Every experiment of the collection, its largest budget hidden."""
    runs = fs.load("isoflops")
    found: list[Top] = []
    for experiment in sorted(set(runs.labels["group"])):
        own = runs.where((runs.labels["group"] == experiment) & ~np.isin(runs.labels["reason"], DROPPED))
        profiles = [p for p in fs.isoflop(own, correct=False).profiles if not p.problem]
        top = max(profiles, key=lambda p: p.budget)
        below = own.where(own["C"] < top.budget / 1.15)
        for method, law in (("chinchilla", "chinchilla"), ("pool of laws", None)):
            try:
                fit = fs.fit(below, law) if law else fs.fit(below)
                plan = fs.plan("compute-optimal", fit, budget=top.budget, refit=False)
            except ForescaleError as error:
                print(f"{experiment}, {method}: {error}")
                continue
            size = plan["N"]
            lower, upper = (np.nan if end is None else end for end in (size.lower, size.upper))
            found.append(Top(experiment, top.budget, top.N_star, method, size.value, lower, upper))
    return found


def main(quick: bool) -> None:
    """Print both tables."""
    print(f"equivalent compute lost at {ASKED:g} FLOP, % (median, 90 % of repetitions below)")
    for name, methods in simulation(REPETITIONS // 10 if quick else REPETITIONS).items():
        said = "   ".join(
            f"{method}: {np.median(lost):.3f} ({np.quantile(lost, 0.9):.3f})" for method, lost in methods.items()
        )
        print(f"  {name:20} {said}")
    print("\nhidden top budgets: vertex of the profile against the plan's 90 % interval")
    for top in tops():
        print(
            f"  {top.experiment:42} {top.budget:.2g}  {top.method:13} vertex {top.vertex:.3g}, plan {top.N:.3g} "
            f"[{top.lower:.3g}, {top.upper:.3g}]  {'inside' if top.inside else 'OUTSIDE'}"
        )


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])

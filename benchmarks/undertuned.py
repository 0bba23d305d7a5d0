# SPDX-License-Identifier: Apache-2.0
"""Tables of under-tuned runs: which loss finds the law of the well-tuned ones?

    python benchmarks/undertuned.py                          simulation: error of E, of the curve, of the optimum
    python benchmarks/undertuned.py --test                   how often symmetric noise is called an excess
    FORESCALE_MIRROR=... python benchmarks/undertuned.py --rolling    real sweeps, below what the benchmark holds out

Simulation: the chinchilla law on IsoFLOP grids of 12 budgets from 1e18 to 1e21 FLOP and 10 sizes within a factor of 6
of the optimum, noise .3 % of the loss. A share of the runs has an exponential excess, at random or twice as often
among small ones. Errors against the truth, root mean square over tables (bias in brackets): E; the loss at 1e22 FLOP,
at the true optimum; log of the compute-optimal N at 1e23.

Rolling: loss-to-loss (six corpora) without its two largest budgets, and misfitting-final (three learning rates per
cell, all fitted) up to a tenth of its largest compute: what the benchmark fits, not what it holds out. Everything up
to a budget is fitted, everything above is predicted; of misfitting the best learning rate of each cell is predicted,
as its users would want.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from forescale.fitting import estimate
from forescale.fitting._covariance import knowledge_at
from forescale.fitting._problem import bind
from forescale.fitting._tails import t_quantile
from forescale.laws.chinchilla import chinchilla
from forescale.numerics import lm, losses
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs

Array = NDArray[np.float64]

TRUTH = {"E": 1.8172, "A": 477.8, "alpha": 0.3473, "B": 2143.4, "beta": 0.3672}
NOISE = 0.003
METHODS = ("log-huber", "student-t", "lower-envelope", "frontier")
CELLS = (
    (0.0, 0.0, "none"), (0.2, 0.01, "random"), (0.2, 0.03, "random"), (0.2, 0.01, "small"), (0.2, 0.03, "small"),
    (0.4, 0.01, "random"), (0.4, 0.03, "random"), (0.4, 0.01, "small"), (0.4, 0.03, "small"),
)  # fmt: skip
TAILS = ("normal", "laplace", "t5", "t3")


def table(
    rng: np.random.Generator, share: float, excess: float, where: str, tails: str = "normal", budgets: int = 12
) -> Runs:
    """One simulated sweep."""
    C = np.repeat(np.geomspace(1e18, 1e21, budgets), 10)
    assert chinchilla.optimum is not None
    N = chinchilla.optimum(C, **TRUTH)["N"] * np.tile(np.geomspace(1 / 6, 6, 10), budgets)
    p = np.full(C.size, share)
    if where == "small":
        p = np.clip(2 * share * (1 - np.argsort(np.argsort(N)) / N.size), 0, 1)
    above = np.where(rng.random(C.size) < p, rng.exponential(excess, C.size), 0.0)
    noise = {
        "normal": lambda: rng.standard_normal(C.size),
        "laplace": lambda: rng.laplace(size=C.size) / np.sqrt(2),
        "t5": lambda: rng.standard_t(5, C.size) / np.sqrt(5 / 3),
        "t3": lambda: rng.standard_t(3, C.size) / np.sqrt(3),
    }[tails]()
    D = C / (6 * N)
    return Runs.from_columns({"N": N, "D": D, "loss": chinchilla(TRUTH, N=N, D=D) * np.exp(NOISE * noise + above)})


def solved(runs: Runs, loss: str, starts: Sequence[Array]) -> tuple[Array, float, dict[str, float], Array]:
    """Optimum from the truth and other starts: search coordinates, objective, parameters, nuisance parameters."""
    problem = bind(chinchilla, runs, losses.loss(loss))
    u0 = np.array([problem.space.search(problem.space.vector(TRUTH)), *starts])
    found = lm.solve(
        problem.predict_and_jacobian, problem.objective, problem.response, u0, problem.weights,
        lower=problem.lower, upper=problem.upper,
    )  # fmt: skip
    b = found.best
    return (
        found.theta[b],
        float(found.objective[b]),
        problem.space.mapping(problem.space.natural(found.theta[b])),
        (found.nuisance[b]),
    )


def errors(params: Mapping[str, float]) -> tuple[float, float, float]:
    """Errors of E, of log loss at 1e22 FLOP, of log N* at 1e23 FLOP."""
    assert chinchilla.optimum is not None
    at = chinchilla.optimum(1e22, **TRUTH)
    here, true = (float(chinchilla(p, N=at["N"], D=at["D"])) for p in (params, TRUTH))
    best = chinchilla.optimum(1e23, **params)["N"] / chinchilla.optimum(1e23, **TRUTH)["N"]
    return params["E"] - TRUTH["E"], float(np.log(here / true)), float(np.log(best))


def simulate(repeats: int) -> None:
    """Print the table of errors, and coverage of E by nominal 90 % Wald intervals."""
    print("| share, excess, where | loss | E | loss at 10x | N* at 100x | E in its 90 % interval |")
    print("|---|---|---|---|---|---|")
    for cell, (share, excess, where) in enumerate(CELLS):
        found: dict[str, list[tuple[float, float, float]]] = {m: [] for m in METHODS}
        held: dict[str, list[bool]] = {m: [] for m in METHODS}
        for repeat in range(repeats):
            runs = table(np.random.default_rng([2027, cell, repeat]), share, excess, where)
            starts: list[Array] = []
            for method in METHODS:
                u, _, params, _ = solved(runs, method, starts if method == "frontier" else ())
                starts.append(u)
                found[method].append(errors(params))
                known = knowledge_at(bind(chinchilla, runs, losses.loss(method)), u)
                reach = t_quantile(0.9, known.df) * np.sqrt(known.covariance[0, 0])
                held[method].append(bool(abs(u[0] - np.log(TRUTH["E"])) <= reach))
        for method in METHODS:
            e = np.array(found[method])
            rms, bias = np.sqrt((e**2).mean(axis=0)), e.mean(axis=0)
            print(
                f"| {share:.0%}, {excess:.0%}, {where} | {method} | {rms[0]:.4f} ({bias[0]:+.4f}) | "
                f"{100 * rms[1]:.2f} % ({100 * bias[1]:+.2f}) | {rms[2]:.3f} ({bias[2]:+.3f}) | "
                f"{100 * np.mean(held[method]):.0f} % |",
                flush=True,
            )


def tested(repeats: int) -> None:
    """Print how often the test of `judge.excess` rejects where there is no excess, and where there is one."""
    print("| noise | runs | share, excess | p <= .05 | p <= .10 |\n|---|---|---|---|---|")
    for budgets in (3, 12):
        for tails, share, excess in [(t, 0.0, 0.0) for t in TAILS] + [("normal", 0.2, 0.01), ("normal", 0.2, 0.03)]:
            ratios = []
            for repeat in range(repeats):
                runs = table(np.random.default_rng([2028, budgets, repeat]), share, excess, "random", tails, budgets)
                u, null, _, _ = solved(runs, "frontier:0", ())
                low, _, _, _ = solved(runs, "lower-envelope", ())
                ratios.append(2 * (null - solved(runs, "frontier", (u, low))[1]))
            rates = [100 * float(np.mean(np.array(ratios) > cut)) for cut in (2.7055, 1.6424)]
            print(
                f"| {tails} | {10 * budgets} | {share:.0%}, {excess:.0%} | {rates[0]:.0f} % | {rates[1]:.0f} % |",
                flush=True,
            )


def rolling() -> None:
    """Print errors on real sweeps, one line per table and cut."""
    total: dict[str, list[float]] = {m: [] for m in METHODS}
    print("| table | fitted | predicted | " + " | ".join(METHODS) + " | share of under-tuned runs |")
    print("|---|---|---|" + "---|" * (len(METHODS) + 1))
    runs = dataset("loss-to-loss")
    cases = [(f"loss-to-loss/{name}", runs.where(runs.labels["dataset"] == name), 4.0, (2.0, 4.5), False)
             for name in np.unique(runs.labels["dataset"])]  # fmt: skip
    cases.append(("misfitting", dataset("misfitting-final"), 10.0, (3.0, 10.0, 30.0), True))
    for name, whole, beyond, cuts, best in cases:
        known = whole.where(whole["C"] <= whole["C"].max() / beyond)  # held out by the benchmark's nearest split
        for cut in cuts:
            low = known["C"] <= known["C"].max() / cut * 1.0001
            train, test = known.where(low), known.where(~low)
            if best:
                test = test.where(_least_per_cell(test))
            cells, share = [], 0.0
            for method in METHODS:
                fit = estimate.fit(train, chinchilla, loss=method)
                e = np.abs(np.log(chinchilla(fit.params, N=test["N"], D=test["D"]) / test["loss"]))
                total[method].append(float(e.mean()))
                cells.append(f"{100 * e.mean():.2f}")
                if method == "frontier":
                    problem = bind(chinchilla, train, losses.loss(method))
                    pred = problem.predict(problem.space.search(problem.space.vector(fit.params))[None])
                    share = float(problem.objective.profile(pred, problem.response, problem.weights[None])[0, 1])
            print(
                f"| {name} / {cut:g} | {len(train)} | {len(test)} | " + " | ".join(cells) + f" | {share:.2f} |",
                flush=True,
            )
    print("| mean | | | " + " | ".join(f"{100 * np.mean(total[m]):.2f}" for m in METHODS) + " | |")


def _least_per_cell(runs: Runs) -> NDArray[np.intp]:
    cells = np.unique(np.stack([runs["N"], runs["D"]], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    return np.array([min(np.flatnonzero(cells == c), key=lambda i: runs["loss"][i]) for c in np.unique(cells)])


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", action="store_true", help="size and power of the test for an excess")
    parser.add_argument("--rolling", action="store_true", help="real sweeps")
    parser.add_argument("--tables", type=int, default=100, help="simulated tables per cell")
    asked = parser.parse_args()
    before = time.process_time()
    if asked.test:
        tested(asked.tables)
    elif asked.rolling:
        rolling()
    else:
        simulate(asked.tables)
    print(f"\n{time.process_time() - before:.0f} CPU-seconds")


if __name__ == "__main__":
    main()

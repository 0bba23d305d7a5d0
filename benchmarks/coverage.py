# SPDX-License-Identifier: Apache-2.0
"""How often do 90 % intervals hold the truth? Simulated tables of runs, fitted many at a time.

    python benchmarks/coverage.py --panel                         every cell against its documented level
    python benchmarks/coverage.py --noise t3 --n 20 --tables 400  some cells, printed
    python benchmarks/coverage.py --write                         measure the documented levels anew (40 minutes)

The truth is the chinchilla law with noise of 1 % of the loss; sizes are drawn log-uniformly over two decades, tokens
per parameter too. A cell is a kind of noise and a number of rows. Its tables come in designs (the same sizes and
tokens, new noise), so that all tables of a design are solved as one batch: from the truth and from the best starts of
a search. What is counted is what `fs.fit` reports: Wald intervals of the parameters, the band of the curve and of a
new run at three points in range, profile and bootstrap intervals.

A profile interval holds the truth exactly where the deviance at the true value lies below the cut, so one constrained
solve stands for the search of both its ends.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import RefusedError
from forescale.fitting import _bootstrap, _search, estimate
from forescale.fitting._covariance import TOO_FEW_RUNS
from forescale.fitting._fit import Convergence, Fit
from forescale.fitting._problem import Problem, bind
from forescale.fitting._tails import t_quantile
from forescale.fitting.uncertainty import deviance_units
from forescale.laws import find
from forescale.numerics import lm, losses
from forescale.runs.table import Runs

Array = NDArray[np.float64]

NOISES = ("gaussian", "t3", "outliers", "heteroscedastic", "clustered", "checkpoints")
SIZES = (8, 20, 60, 240)
METHODS = ("wald", "curve", "new run", "profile", "bootstrap", "bootstrap curve")
SIGMA = 0.01
LEVEL = 0.90
PER_DESIGN = 20
"""Tables of one design: as many as make the batch pay; their designs' luck is shared, so not more."""
BLOCK = 640
"""Problems solved together: wide, because the rows are few."""
STARTS = 5
WHERE = {"N": np.array([2e8, 1e9, 4e9]), "D": np.array([2e10, 2e10, 1e11])}
LEVELS = Path(__file__).parents[1] / "tests" / "data" / "interval_levels.toml"


@dataclass(frozen=True)
class Rate:
    """How often a method held the truth.

    Attributes:
        rate: mean share over the tables that got an interval; NaN where none did.
        error: its standard error, designs taken as clusters.
        tables: tables simulated; refused: share of them that got no interval.
        width: median half-width relative to the noise (log units; NaN for parameters).
    """

    rate: float
    error: float
    tables: int
    refused: float
    width: float = float("nan")


# --- tables -------------------------------------------------------------------------------------------------------


def design(noise: str, n: int, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.intp]]:
    """N in 5e7 ... 5e9 and D/N in 2 ... 200, log-uniform, and the run of each row, each (n,).

    `clustered`: three rows a run, with the same size and tokens, as seeds have. `checkpoints`: five rows a run along
    its training, tokens a factor 1.6 apart.
    """
    rows = np.arange(n)
    run = rows // {"clustered": 3, "checkpoints": 5}.get(noise, 1)
    size = np.exp(rng.uniform(np.log(5e7), np.log(5e9), n))[run]
    tokens = size * np.exp(rng.uniform(np.log(2), np.log(200), n))[run]
    if noise == "checkpoints":
        tokens = tokens * 1.6 ** -(rows % 5).astype(float)
    return size, tokens, run


def errors(noise: str, N: Array, D: Array, run: NDArray[np.intp], tables: int, rng: np.random.Generator) -> Array:
    """Errors of log loss (tables, n)."""
    shape = (tables, N.size)
    normal = rng.standard_normal(shape)
    if noise == "t3":
        return np.asarray(SIGMA * rng.standard_t(3, shape) / np.sqrt(3.0))
    if noise == "outliers":
        return np.asarray(SIGMA * normal + np.where(rng.random(shape) < 0.02, 10 * SIGMA, 0.0))
    if noise == "heteroscedastic":
        away = np.abs(np.log(D / N / 20.0)) / np.log(10.0)
        return np.asarray(SIGMA * (0.3 + 1.4 * away) * normal)
    if noise == "clustered":
        shared = rng.standard_normal((tables, int(run.max()) + 1))[:, run]
        return np.asarray(SIGMA * np.sqrt(0.5) * (shared + normal))
    if noise == "checkpoints":
        out = normal.copy()
        for i in range(1, N.size):
            if run[i] == run[i - 1]:
                out[:, i] = 0.8 * out[:, i - 1] + 0.6 * normal[:, i]
        return np.asarray(SIGMA * out)
    return np.asarray(SIGMA * normal)


# --- many fits ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Tables of one design and their fits."""

    problem: Problem
    fits: tuple[Fit, ...]
    u: Array  # (tables, P) optima
    value: Array  # (tables,)
    observed: Array  # (tables, n)


def fitted(noise: str, n: int, loss: str, tables: int, rng: np.random.Generator) -> Batch:
    """The fits of some tables of one design, as `fs.fit` would report them."""
    law = find("chinchilla")
    truth = law.constants("besiroglu2024")
    N, D, run = design(noise, n, rng)
    y = law(truth, N=N, D=D) * np.exp(errors(noise, N, D, run, tables, rng))
    columns: dict[str, Any] = {"N": N, "D": D, "loss": y[0]}
    if int(run.max()) + 1 < n:
        columns["run"] = np.array([f"r{i}" for i in run])
    first = Runs.from_columns(columns)
    problem = bind(law, first, losses.loss(loss))
    starts = np.concatenate(
        [problem.space.search(problem.space.vector(truth))[None], _search.candidates(problem, STARTS, 48)[0]]
    )
    k = starts.shape[0]
    found = lm.solve(
        problem.predict_and_jacobian, problem.objective, problem.objective.response(np.repeat(y, k, axis=0)),
        np.tile(starts, (tables, 1)), problem.weights, lower=problem.lower, upper=problem.upper, block=BLOCK,
    )  # fmt: skip
    values = found.objective.reshape(tables, k)
    best = values.argmin(axis=1)
    u = found.theta.reshape(tables, k, -1)[np.arange(tables), best]
    value = values.min(axis=1)
    known = Convergence(k, k, 1, np.inf, 0.0, 0.0, 1.0, u.shape[1], True, "batched")
    fits = []
    for row in range(tables):
        one = replace(problem, response=problem.objective.response(y[row]))
        fits.append(
            estimate._describe(
                one, first.with_column("loss", y[row]), u[row], float(value[row]), known, u[row : row + 1],
                level=LEVEL, seed=0,
            )
        )  # fmt: skip
    return Batch(problem, tuple(fits), u, value, y)


def profiled(batch: Batch, truth: Mapping[str, float]) -> Array:
    """(tables, P) does the profile interval of each parameter hold the truth? NaN where there is none."""
    problem, (tables, p) = batch.problem, batch.u.shape
    at = problem.space.search(problem.space.vector(truth))
    held = np.tile(np.arange(p), tables)
    free = np.ones((held.size, p), dtype=bool)
    free[np.arange(held.size), held] = False
    response = problem.objective.response(np.repeat(batch.observed, p, axis=0))
    best = np.full(held.size, np.inf)
    for start in (batch.u, np.tile(at, (tables, 1))):  # from the optimum, and from the truth: the lower one counts
        theta0 = np.repeat(start, p, axis=0)
        theta0[np.arange(held.size), held] = at[held]
        found = lm.solve(
            problem.predict_and_jacobian, problem.objective, response, theta0, problem.weights,
            free=free, lower=problem.lower - 50.0, upper=problem.upper, block=BLOCK,
        )  # fmt: skip
        best = np.minimum(best, found.objective)
    rise = np.maximum(best.reshape(tables, p) - batch.value[:, None], 0.0)
    out = np.full((tables, p), np.nan)
    for row, fit in enumerate(batch.fits):
        cut = t_quantile(fit.level, fit.df)
        if np.isfinite(cut) and np.isfinite(fit.covariance).all():
            one = replace(problem, response=problem.objective.response(batch.observed[row]))
            unit = deviance_units(one, batch.u[row], fit.covariance)
            out[row] = np.sqrt(2.0 * rise[row] * unit) <= cut
    return out


def bootstrapped(batch: Batch, wanted: int, draws: int) -> list[Fit | None]:
    """`fit.bootstrap(draws)` of the first fits, by run where rows share runs, as one batch; None where refused."""
    found: list[Fit | None] = []
    chosen: list[int] = []
    for row, fit in enumerate(batch.fits[:wanted]):
        found.append(None)
        if fit.covariance_from != TOO_FEW_RUNS:
            chosen.append(row)
    if not chosen:
        return found
    runs = batch.fits[0].runs
    assert runs is not None
    clusters, origin = _bootstrap._units(runs, batch.problem, "run" if "run" in runs.labels else "row")
    if clusters is not None and clusters.max() < 2:  # as `bootstrap` refuses two runs
        return found
    w = _bootstrap._weights(batch.problem, clusters, draws, np.random.SeedSequence(0, spawn_key=(2,)))
    problem = batch.problem
    response = problem.objective.response(np.repeat(batch.observed[chosen], draws, axis=0))
    solved = lm.solve(
        problem.predict_and_jacobian, problem.objective, response, np.repeat(batch.u[chosen], draws, axis=0),
        np.tile(w, (len(chosen), 1)), rtol=1e-9, lower=problem.lower, block=BLOCK,
    )  # fmt: skip
    for i, row in enumerate(chosen):
        part = slice(i * draws, (i + 1) * draws)
        arrays = (solved.theta[part], solved.objective[part], solved.converged[part])
        try:
            found[row] = _bootstrap.resampled(batch.fits[row], problem, clusters, origin, w, *arrays)
        except RefusedError:
            continue
    return found


# --- one cell -----------------------------------------------------------------------------------------------------


def measure(
    noise: str, n: int, *, loss: str = "log-huber", tables: int = 240, bootstraps: int = 60, draws: int = 200,
    seed: int = 0,
) -> dict[str, Rate]:  # fmt: skip
    """The rates of one cell: of `tables` tables, the bootstrap of `bootstraps` in `draws` resamples each."""
    law = find("chinchilla")
    truth = law.constants("besiroglu2024")
    at = np.array([truth[name] for name in law.names])
    curve = law(truth, **WHERE)
    hits: dict[str, list[tuple[int, float, float]]] = {method: [] for method in METHODS}  # design, share, width
    left = bootstraps
    each = PER_DESIGN if tables >= PER_DESIGN else tables
    for index in range(-(-tables // each)):
        rng = np.random.default_rng([seed, n, NOISES.index(noise), index])
        batch = fitted(noise, n, loss, each, rng)
        run = np.arange(3)
        fresh = curve * np.exp(errors(noise, WHERE["N"], WHERE["D"], run, each, rng))
        by_profile = profiled(batch, truth)
        # Resampled tables are spread over the designs, whose luck they share.
        wanted = min(left, -(-bootstraps * each // tables))
        left -= wanted
        for row, fit in enumerate(batch.fits):
            ends = np.array([fit.interval(name, "wald") for name in law.names])
            hits["wald"].append((index, _held(ends, at), np.nan))
            seen = fit.predict(WHERE)
            hits["curve"].append((index, *_band(seen.confidence, curve)))
            hits["new run"].append((index, *_band(seen.prediction, fresh[row])))
            hits["profile"].append((index, float(by_profile[row].mean()), np.nan))
        for again in bootstrapped(batch, wanted, draws):
            if again is None:
                hits["bootstrap"].append((index, np.nan, np.nan))
                hits["bootstrap curve"].append((index, np.nan, np.nan))
                continue
            ends = np.array([again.interval(name, "bootstrap") for name in law.names])
            hits["bootstrap"].append((index, _held(ends, at), np.nan))
            hits["bootstrap curve"].append((index, *_band(again.predict(WHERE).confidence, curve)))
    return {method: _rate(found) for method, found in hits.items() if found}


def _held(ends: Array, truth: Array) -> float:
    if not np.isfinite(ends[:, 0]).all():
        return float("nan")
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))


def _band(band: Any, value: Array) -> tuple[float, float]:
    if not (np.isfinite(band.lower).all() and np.isfinite(band.upper).all()):
        return float("nan"), float("nan")
    with np.errstate(all="ignore"):
        half = 0.5 * np.mean(np.log(band.upper) - np.log(band.lower)) / SIGMA
    return float(np.mean((band.lower <= value) & (value <= band.upper))), float(half)


def _rate(found: Sequence[tuple[int, float, float]]) -> Rate:
    designs, share, width = (np.array(column) for column in zip(*found))
    good = np.isfinite(share)
    refused = float(np.mean(~good))
    if not good.any():
        return Rate(float("nan"), float("nan"), share.size, refused)
    rate = float(share[good].mean())
    # Tables of one design share its luck: the error is that of sums over designs, never below the binomial one of
    # a share of three in a row.
    sums = np.array([(share[good & (designs == d)] - rate).sum() for d in np.unique(designs[good])])
    k = sums.size
    clustered = np.sqrt(k / (k - 1) * (sums**2).sum()) / good.sum() if k > 1 else 0.0
    floor = np.sqrt(max(rate * (1 - rate), 0.02) / good.sum()) / np.sqrt(3.0)
    finite = width[np.isfinite(width)]
    return Rate(
        rate, float(max(clustered, floor)), share.size, refused, float(np.median(finite)) if finite.size else np.nan
    )


# --- documented levels --------------------------------------------------------------------------------------------


def documented() -> dict[tuple[str, int], dict[str, Rate]]:
    """(noise, n) -> method -> the level stated in tests/data/interval_levels.toml."""
    text = LEVELS.read_text(encoding="utf-8")
    out: dict[tuple[str, int], dict[str, Rate]] = {}
    for cell in tomllib.loads(text)["cell"]:
        out[(cell["noise"], cell["n"])] = {
            method: Rate(value["rate"], value["error"], value["tables"], value["refused"], value["width"])
            for method, value in cell["methods"].items()
        }
    return out


@dataclass(frozen=True)
class Check:
    """One method of one cell, measured again."""

    noise: str
    n: int
    method: str
    stated: Rate
    seen: Rate
    z: float  # how many standard errors apart
    refused_z: float

    @property
    def held(self) -> bool:
        """Within 99.9 % limits, of the rate and of the refusals."""
        return abs(self.z) <= 3.3 and abs(self.refused_z) <= 3.3


def check(noise: str, n: int, stated: Mapping[str, Rate], seen: Mapping[str, Rate]) -> list[Check]:
    """Every method of a cell against its documented level; the limits hold the error of that level too."""
    out = []
    for method, now in seen.items():
        then = stated[method]
        both = np.isnan(then.rate) or np.isnan(now.rate)
        z = 0.0 if both else (now.rate - then.rate) / np.hypot(now.error, then.error)
        share = (now.refused * now.tables + then.refused * then.tables) / (now.tables + then.tables)
        # One design more or less that refuses is 1 table in 20: designs are the units.
        sd = np.sqrt(max(share * (1 - share), 1e-3) * (PER_DESIGN / now.tables + PER_DESIGN / then.tables))
        out.append(Check(noise, n, method, then, now, float(z), float((now.refused - then.refused) / sd)))
    return out


def _toml(cells: Mapping[tuple[str, int], Mapping[str, Rate]]) -> str:
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# How often nominal 90 % intervals hold the truth in simulation, per method, rows and noise.",
        "# Measured by `python benchmarks/coverage.py --write`; tests measure a third of the cells again with",
        "# other seeds, `--panel` all. `error` is a standard error, `refused` the share of tables without interval,",
        "# `width` the median half-width of a band over the noise of one run.",
    ]
    for noise, n in sorted(cells, key=lambda cell: (NOISES.index(cell[0]), cell[1])):
        methods = cells[(noise, n)]
        lines += ["", "[[cell]]", f'noise = "{noise}"', f"n = {n}", "[cell.methods]"]
        for method, r in methods.items():
            lines.append(
                f'"{method}" = {{ rate = {_number(r.rate)}, error = {_number(r.error)}, tables = {r.tables}, '
                f"refused = {_number(r.refused)}, width = {_number(r.width)} }}"
            )
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "nan" if np.isnan(value) else f"{value:.4f}"


def _show(noise: str, n: int, seen: Mapping[str, Rate]) -> str:
    parts = []
    for method in METHODS:
        r = seen.get(method)
        if r is None:
            continue
        text = f"{r.rate:.3f}" if np.isfinite(r.rate) else "  -  "
        if np.isfinite(r.width):
            text += f" w{r.width:5.2f}"
        if r.refused > 0:
            text += f" ({100 * r.refused:.0f} % none)"
        parts.append(f"{method} {text}")
    return f"{noise:15s} {n:3d} | " + " | ".join(parts)


def main(arguments: Iterable[str] | None = None) -> int:
    """Print cells; with --panel compare them with the documented levels; with --write document them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", nargs="+", default=list(NOISES), choices=NOISES)
    parser.add_argument("--n", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--loss", default="log-huber")
    parser.add_argument("--tables", type=int, default=240)
    parser.add_argument("--bootstraps", type=int, default=60, help="tables that are bootstrapped; 0 for none")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--panel", action="store_true", help="compare with the documented levels; exit 1 if one is off"
    )
    parser.add_argument("--write", action="store_true", help="measure with many tables and document the levels")
    options = parser.parse_args(None if arguments is None else list(arguments))
    tables, bootstraps, seed = options.tables, options.bootstraps, options.seed
    if options.write:
        tables, bootstraps, seed = 1200, 160, 1
    stated = documented() if options.panel else {}
    cells = documented() if options.write and LEVELS.exists() else {}
    off = 0
    for noise in options.noise:
        for n in options.n:
            start = time.process_time()
            seen = measure(
                noise, n, loss=options.loss, tables=tables, bootstraps=bootstraps, draws=options.draws, seed=seed
            )
            if options.write:
                cells[(noise, n)] = seen
                LEVELS.write_text(_toml(cells), encoding="utf-8")
            print(_show(noise, n, seen), f"| {time.process_time() - start:.1f} s", flush=True)
            for line in check(noise, n, stated[(noise, n)], seen) if options.panel else ():
                if not line.held:
                    off += 1
                    print(f"  OFF: {line.method} documented {line.stated.rate:.3f}, now {line.seen.rate:.3f}")
    if options.panel:
        print(f"{off} off their documented level")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())

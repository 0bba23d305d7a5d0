# SPDX-License-Identifier: Apache-2.0
"""How the automatic choice was set: the only place where its configuration meets data.

    python -m benchmarks.develop                 # everything (about 20 CPU-minutes, kept in .develop.json)
    python -m benchmarks.develop --reuse         # the tables again, from the kept predictions

A development split is the train side of a benchmark task with its own largest rows hidden again: those above a third
and above a tenth of its largest size, above a half on curves. No held-out row of the benchmark is read. Printed are
the errors of pools by rule (how many candidates are kept, how they and the cuts are weighted), of pools without one
candidate and with one more, and the constants of the bands by maximum likelihood, with the coverage they give.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln, stdtrit

from forescale.core.errors import ForescaleError
from forescale.core.files import to_json
from forescale.fitting._stack import Width
from forescale.fitting._tails import robust_scale
from forescale.judge import _rolling
from forescale.judge import select as choice
from forescale.judge._candidates import Candidate, candidates, varying
from forescale.judge._protocol import available, protocols
from forescale.judge._sizes import size_of
from forescale.laws import as_law
from forescale.numerics.parallel import map_blocks
from forescale.runs.table import Runs

Array = NDArray[np.float64]
KEPT = Path(".develop.json")
CONSTANTS = ("floor", "noise", "disagreement", "distance", "growth", "prior", "shrink", "df")
SKIPPED = ("colpret_begun",)
"""The same curves as `colpret`."""


@dataclass(frozen=True, eq=False)
class Split:
    """A development split, before and after all candidates have spoken."""

    case: str
    name: str
    factor: float
    surface: bool
    metric: str
    train: Runs
    held: Runs


@dataclass(frozen=True, eq=False)
class Heard:
    """What the candidates said: `cuts` as in `_rolling`, `said` (m, held), `inside` (m, rows)."""

    case: str
    name: str
    factor: float
    surface: bool
    metric: str
    names: tuple[str, ...]
    cuts: list[_rolling.Cut]
    said: Array
    inside: Array
    size: Array
    loss: Array
    observed: Array
    distance: Array


def splits() -> Iterator[Split]:
    """All development splits."""
    tasks, _ = available(protocols())
    for task in tasks:
        if task.case in SKIPPED:
            continue
        size = size_of(task.train, task.variable)
        surface = len(task.inputs) > 1
        whole = choice.of_run(task.train, size) if surface else size
        for factor in (3.0, 10.0) if surface else (2.0,):
            below = whole <= whole.max() / factor
            if below.sum() < 8:
                continue
            above = ~below & (size > 1.001 * size[below].max())
            if above.sum() < 2:
                continue
            case = task.case if task.domain == task.case or surface else f"{task.case}, {task.domain}"
            yield Split(
                case, task.name, factor, surface, task.metric, task.train.where(below), task.train.where(above)
            )


def further(inputs: tuple[str, ...]) -> list[Candidate]:
    """Candidates that are not in the list, to see what they would add."""
    if len(inputs) > 1:
        gadre, joint = as_law("overtraining"), as_law("chinchilla")
        return [
            Candidate(joint, "frontier", "all"),
            Candidate(as_law("skaling"), "log-huber", "5x"),
            Candidate(joint, "log-huber", "100x"),
            Candidate(joint, "student-t", "all"),
            Candidate(gadre, "log-huber", "10x"),
            Candidate(gadre, "lower-envelope", "all"),
        ]
    name = inputs[0]
    return [
        Candidate(as_law("bnsl-2").on(D=name) if name != "D" else as_law("bnsl-2"), "log-squared", "all"),
        Candidate(as_law(f"power-floor({name})"), "log-squared", "2x"),
        Candidate(as_law(f"power({name})"), "log-squared", "8x"),
    ]


def hear(split: Split) -> Heard | None:
    """Every candidate on one split."""
    try:
        inputs = varying(split.train)
        wanted = [*candidates(inputs), *further(inputs)]
    except ForescaleError:
        return None
    surface = len(inputs) > 1
    train, held = split.train, split.held
    if surface:
        train, held = (t.with_column("C", 6.0 * t["N"] * t["D"]) for t in (train, held))
    variable = "C" if surface else inputs[0]
    thin = choice.thinned(train, size_of(train, variable))
    size = size_of(thin, variable)
    whole = choice.of_run(thin, size)
    few = all(len(thin) < len(c.law.params) + 2 for c in wanted)
    cuts = _rolling.roll(wanted, thin, size, whole, few) or _rolling.roll(wanted, thin, size, size, few)
    said = np.full((len(wanted), len(held)), np.nan)
    inside = np.full((len(wanted), len(thin)), np.nan)
    for i, candidate in enumerate(wanted):
        params = _rolling.parameters(candidate, thin, size, few)
        if params is not None:
            said[i] = _rolling.evaluate(candidate.law, params, held)
            inside[i] = _rolling.evaluate(candidate.law, params, thin)
    return Heard(
        split.case, split.name, split.factor, surface, split.metric, tuple(c.name for c in wanted), cuts, said,
        inside, size, np.asarray(thin["loss"]), np.asarray(held["loss"]), size_of(held, variable) / size.max(),
    )  # fmt: skip


def _heard(value: dict[str, Any]) -> Heard:
    """A `Heard` read back; null is NaN."""
    cuts = [
        _rolling.Cut(
            float(c["size"]), int(c["fitted"]), np.array(c["rows"], dtype=np.intp), _floats(c["distance"]),
            _floats(c["observed"]), _floats(c["said"]),
        )
        for c in value["cuts"]
    ]  # fmt: skip
    arrays = {name: _floats(value[name]) for name in ("said", "inside", "size", "loss", "observed", "distance")}
    return Heard(**{**value, **arrays, "cuts": cuts, "names": tuple(value["names"])})


def _floats(values: Any) -> Array:
    return np.array(values, dtype=np.float64)


# -- pools ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """How a pool is made: the share kept, the power of the inverse score, how much less an earlier cut counts."""

    kept: float = _rolling.KEPT
    power: float = _rolling.POWER
    half: float = _rolling.HALF
    most: int = _rolling.MOST


def weights(scores: Array, able: NDArray[np.bool_], rule: Rule) -> Array:
    """The pool's weights under a rule."""
    return _rolling.weights(scores, able, rule.kept, rule.power)


def pooled(h: Heard, index: Sequence[int], rule: Rule) -> tuple[Array, Array, Array, list[_rolling.Cut]] | None:
    """Log prediction, disagreement, weights and cuts of a pool of some candidates."""
    rows = list(index)
    cuts = [replace(c, said=c.said[rows]) for c in h.cuts][-rule.most :]
    said, inside = h.said[rows], h.inside[rows]
    good = np.isfinite(said).all(axis=1) & np.isfinite(inside).all(axis=1)
    able = np.asarray(good & (np.nan_to_num(said, nan=-1.0) > 0).all(axis=1))
    w = weights(scored(cuts, len(rows), rule), able, rule)
    if not w.any():
        return None
    return *_rolling.pool(said, w), w, cuts


def scored(cuts: Sequence[_rolling.Cut], count: int, rule: Rule, known: float = math.inf) -> Array:
    """The scores under a rule."""
    return _rolling.score(cuts, count, known, rule.half)


def error(h: Heard, log_said: Array) -> float:
    e = np.log(h.observed) - log_said
    return float(100 * (np.mean(np.abs(np.expm1(-e))) if h.metric == "mape" else np.sqrt(np.mean(e**2))))


def show(heard: Sequence[Heard], rules: dict[str, Callable[[Heard], float]]) -> None:
    """Geometric mean of the error over cases against the first rule, and the mean over cases in per cent."""
    cases = np.array([f"{h.case} {h.factor:g}x" for h in heard])
    names = sorted(set(cases.tolist()))
    errors = {name: np.array([rule(h) for h in heard]) for name, rule in rules.items()}
    base = next(iter(errors.values()))
    print(f"  {'rule':46s} against the first   mean   ({len(heard)} splits, {len(names)} cases)")
    lines = []
    for name, e in errors.items():
        there = [c for c in names if np.isfinite(e[cases == c]).any()]
        ratio = np.mean([np.nanmean(np.log(e[cases == c] / base[cases == c])) for c in there])
        mean = np.mean([np.nanmean(e[cases == c]) for c in there])
        lines.append((float(np.exp(ratio)), f"  {name:46s} {np.exp(ratio):10.3f} {mean:14.3f} %"))
    for _, line in sorted(lines, key=lambda x: x[0]):
        print(line)


def rules_of(heard: Sequence[Heard]) -> dict[str, Callable[[Heard], float]]:
    names, listed = heard[0].names, len(candidates(("N", "D") if heard[0].surface else ("D",)))
    base = list(range(listed))

    def pool(index: Sequence[int], rule: Rule = Rule()) -> Callable[[Heard], float]:
        def run(h: Heard) -> float:
            found = pooled(h, index, rule)
            return math.nan if found is None else error(h, found[0])

        return run

    def alone(i: int) -> Callable[[Heard], float]:
        def run(h: Heard) -> float:
            with np.errstate(all="ignore"):
                value = error(h, np.log(h.said[i]))
            return value if math.isfinite(value) else math.nan

        return run

    rules = {"as configured": pool(base)}
    for kept in (0.25, 0.5, 0.75, 1.0):
        for power in (0.0, 1.0, 2.0, 4.0):
            rules[f"best {kept:.0%}, power {power:g}"] = pool(base, Rule(kept, power))
    rules |= {f"cuts weigh 1/{half:g} each back": pool(base, Rule(half=half)) for half in (1.0, 4.0)}
    rules |= {f"at most {most} cuts": pool(base, Rule(most=most)) for most in (2, 3)}
    rules |= {f"without {names[i]}": pool([j for j in base if j != i]) for i in base}
    rules |= {f"with {names[i]}": pool([*base, i]) for i in range(listed, len(names))}
    rules |= {f"alone: {names[i]}": alone(i) for i in range(len(names)) if names[i].endswith("all rows")}
    return rules


# -- bands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Unit:
    """Errors of one pool: of its rolling predictions (`past`: error, disagreement, distance), then of the split."""

    case: str
    noise: float
    past: list[tuple[Array, Array, Array]]
    now: tuple[Array, Array, Array]


def units(heard: Sequence[Heard]) -> list[Unit]:
    found, rule = [], Rule()
    for h in heard:
        index = range(len(candidates(("N", "D") if h.surface else ("D",))))
        result = pooled(h, index, rule)
        if result is None:
            continue
        centre, between, w, cuts = result
        residuals = np.log(h.loss) - _rolling.pool(h.inside[list(index)], w)[0]
        near = residuals[h.size >= h.size.max() / choice.NEAR]
        past = []
        for number, cut in enumerate(cuts):
            able = np.asarray(np.isfinite(cut.said).all(axis=1))
            then = weights(scored(cuts[:number], len(index), rule, known=cut.size), able, rule)
            if then.any():
                at, apart = _rolling.pool(cut.said, then)
                past.append((np.log(cut.observed) - at, apart, cut.distance))
        noise = robust_scale(near if len(near) >= 8 else residuals, 1)
        found.append(Unit(h.case, noise, past, (np.log(h.observed) - centre, between, h.distance)))
    return found


def _plain(unit: Unit, part: tuple[Array, Array, Array], c: dict[str, float]) -> Array:
    _, between, distance = part
    width = Width(c["floor"], c["noise"], c["disagreement"], c["distance"], c["growth"], c["df"], noise=unit.noise)
    return width.variance(between, distance)


def variance(unit: Unit, c: dict[str, float], number: int | None = None) -> Array:
    """Variance of the split's errors, or of those of one cut, from the cuts before."""
    past = unit.past if number is None else unit.past[:number]
    ratios = [float(np.mean(part[0] ** 2 / _plain(unit, part, c))) for part in past]
    part = unit.now if number is None else unit.past[number]
    return np.asarray(choice.tau(ratios, c["prior"], c["shrink"]) ** 2 * _plain(unit, part, c))


def unpack(theta: Array) -> dict[str, float]:
    values = [*np.exp(theta[:4]), theta[4], np.exp(theta[5]), 1 / (1 + np.exp(-theta[6])), 2 + np.exp(theta[7])]
    return dict(zip(CONSTANTS, (float(v) for v in values)))


def likelihood(theta: Array, found: Sequence[Unit], share: dict[str, float]) -> float:
    """Negative mean log density of Student-t errors: every split once, its cuts a quarter each."""
    c = unpack(theta)
    nu = c["df"]
    constant = float(gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu))

    def one(e: Array, v: Array) -> float:
        return float(np.mean(0.5 * np.log(v) + 0.5 * (nu + 1) * np.log1p(e**2 / v / nu))) - constant

    total = 0.0
    for unit in found:
        own = one(unit.now[0], variance(unit, c))
        own += 0.25 * sum(one(unit.past[j][0], variance(unit, c, j)) for j in range(1, len(unit.past)))
        total += share[unit.case] * own
    return total / sum(share[unit.case] for unit in found)


def constants(found: Sequence[Unit], starts: int = 2, most: int = 2000) -> dict[str, float]:
    """The constants of greatest likelihood; a case counts as the square root of its splits."""
    count = Counter(unit.case for unit in found)
    share = {case: n**-0.5 for case, n in count.items()}
    places = (
        [np.log(0.0014), 0.0, np.log(0.5), np.log(0.0017), 0.4, 1.3, -0.3, 0.0],
        [np.log(0.003), np.log(0.7), np.log(0.3), np.log(0.005), 0.0, 0.6, 0.6, 0.0],
    )
    options = {"maxiter": most, "maxfev": most, "xatol": 1e-3, "fatol": 1e-6}
    begin = places[:starts]
    ends = [minimize(likelihood, np.array(s), (found, share), method="Nelder-Mead", options=options) for s in begin]
    return unpack(min(ends, key=lambda end: float(end.fun)).x)


def margins(found: Sequence[Unit], level: float = 0.90) -> None:
    """Coverage of each case under constants learned without it, by factor on the half-width."""
    factors = (1.0, 1.1, 1.2, 1.3, 1.5, 2.0)
    reached: dict[str, dict[str, list[list[float]]]] = {}
    for case in sorted({unit.case for unit in found}):
        c = constants([unit for unit in found if unit.case != case], starts=1, most=300)
        q = float(stdtrit(c["df"], 0.5 + 0.5 * level))
        for unit in found:
            if unit.case != case:
                continue
            z = np.abs(unit.now[0]) / (q * np.sqrt(variance(unit, c)))
            for name, low, high in (
                ("<= 3x", 0, 3),
                ("3 to 10x", 3, 10),
                ("> 10x", 10, math.inf),
                ("all", 0, math.inf),
            ):
                at = z[(unit.now[2] > low) & (unit.now[2] <= high)]
                if len(at):
                    reached.setdefault(name, {}).setdefault(case, []).append(
                        [float(np.mean(at <= f)) for f in factors]
                    )
    print("\ncoverage of a case under constants learned without it, by margin")
    print("  " + " " * 26 + "".join(f"{f:7.2f}" for f in factors))
    for name, by_case in reached.items():
        splits = np.mean([row for rows in by_case.values() for row in rows], axis=0)
        cases = np.mean([np.mean(rows, axis=0) for rows in by_case.values()], axis=0)
        for what, share in (("splits", splits), ("cases", cases)):
            print(f"  {name:10s} mean of {what:7s}" + "".join(f"{s:7.3f}" for s in share))


def coverage(found: Sequence[Unit], c: dict[str, float], level: float = 0.90) -> None:
    q = float(stdtrit(c["df"], 0.5 + 0.5 * level))
    rows: dict[str, list[tuple[float, float]]] = {}
    for unit in found:
        half = q * np.sqrt(variance(unit, c))
        miss = np.maximum(np.abs(unit.now[0]) - half, 0)
        value = (float(np.mean(miss == 0)), float(np.mean(2 * half + 2 / (1 - level) * miss)))
        rows.setdefault(unit.case, []).append(value)
        far = float(np.exp(np.mean(np.log(unit.now[2]))))
        rows.setdefault("<= 3x" if far <= 3 else "3 to 10x" if far <= 10 else "> 10x", []).append(value)
        rows.setdefault("all", []).append(value)
    for name, values in rows.items():
        cover, score = np.mean(values, axis=0)
        print(f"  {name:28s} {len(values):4d} splits, covered {cover:.3f}, interval score {100 * score:.2f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reuse", action="store_true", help=f"read {KEPT} instead of fitting again")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    if options.reuse:
        heard = [_heard(value) for value in json.loads(KEPT.read_text())]
    else:
        heard = [h for h in map_blocks(hear, list(splits()), options.workers) if h is not None]
        KEPT.write_text(to_json([asdict(h) for h in heard]))
    for surface, title in ((True, "surfaces"), (False, "curves")):
        chosen = [h for h in heard if h.surface == surface]
        print(f"\n{title}")
        show(chosen, rules_of(chosen))
    found = units(heard)
    learned = constants(found)
    print("\nbands: " + ", ".join(f"{name} {value:.4g}" for name, value in learned.items()))
    coverage(found, learned)
    margins(found)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Running jobs replayed: public curves are cut, their ends forecast, and what came is counted.

    python benchmarks/replay_curves.py                 coverage and error by set and cut, two to three minutes
    python benchmarks/replay_curves.py --cuts 0.2 0.4  other shares of the steps
    python benchmarks/replay_curves.py --write         also write src/forescale/planning/running.toml

Curves: the 21 of Luo et al. (25M, 100M, 400M), the runs of Hägele et al. and Schaipp et al. (a cool-down is continued
from the constant run of its size, data and peak that it branched off), three of a 100M GPT. Each set is forecast with
what the two others say: the bend of the drops, the prior of the gain, the widening that makes 90 % intervals cover
90 % of them. A forecast counts as held when the last logged loss lies in its nominal 90 % interval, as the planner
`stop-early` gives it. Needs the data sets `multi_power_law`, `epfl_lr_schedules`, `tissue_annealing_curves`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import forescale as fs
from forescale.core.errors import DataError
from forescale.core.schedule import Schedule
from forescale.planning._intervals import interval
from forescale.planning._running import PEAK, Futures, Pool, Seen, futures
from forescale.runs.curves import schedules

SETS = ("multi_power_law", "epfl_lr_schedules", "tissue_annealing_curves")
CUTS = (0.3, 0.5, 0.7)
LEVEL = 0.90
BENDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WHERE = Path(__file__).parents[1] / "src/forescale/planning/running.toml"
DIVERGED = 4.0
"""Final loss above which a run of the sweeps is left out."""

LEAST_SPREAD = 0.3
"""Two sets cannot show a smaller spread between sets than this (of the logarithm of the gain)."""

START = Pool(gain=0.06, power=1 / 3, spread=0.5, bend=1.0, widening=0.0)


@dataclass(frozen=True, eq=False)
class Whole:
    """One finished curve: its set and name, steps and losses, the rate of every step, its last loss."""

    set: str
    name: str
    kind: str
    step: Any
    loss: Any
    schedule: Schedule

    @property
    def end(self) -> float:
        """The last logged loss; of training losses of single batches the mean of three (they are means already)."""
        return float(self.loss[-3:].mean() if self.set == "tissue_annealing_curves" else self.loss[-1])

    def cut(self, share: float) -> Seen | None:
        """What was known at a share of the steps; None where that is too little."""
        last = share * self.step[-1]
        known = self.step <= last
        if not known.any() or self.step[known][-1] < 0.8 * last:
            return None
        at = int(self.step[known][-1])
        past = Schedule(self.schedule.lr[:at], min(self.schedule.warmup, at))
        return Seen(self.step[known], self.loss[known], past)


def curves() -> list[Whole]:
    """All of them."""
    found = []
    for size in ("25m", "100m", "400m"):
        found += _of(fs.dataset(f"mpl-{size}"), SETS[0], f"{size}/")
    found += _of(fs.dataset("tissue"), SETS[2], "")
    return found + _branched(fs.dataset("lr-schedules"))


def _of(runs: fs.Runs, where: str, prefix: str) -> list[Whole]:
    known = schedules(runs)
    return [
        _whole(where, prefix + run, run.split("_")[0], runs.curves[run].step, runs.curves[run].loss, known[run])
        for run in runs.labels["run"].tolist()
    ]


def _branched(runs: fs.Runs) -> list[Whole]:
    """Cool-downs are logged from where they begin: what came before is the constant run that they branched off."""
    known = schedules(runs)
    label, kept = runs.labels, runs["loss"] < DIVERGED
    keys = list(zip(label["dataset"].tolist(), runs["N"].tolist(), runs["lr_peak"].tolist()))
    trunks: dict[Any, Any] = {}
    for i, run in enumerate(label["run"].tolist()):
        constant = label["schedule"][i] == "constant" and kept[i]
        if constant and (keys[i] not in trunks or runs["steps"][i] > trunks[keys[i]][2]):
            trunks[keys[i]] = (runs.curves[run].step, runs.curves[run].loss, runs["steps"][i])
    found = []
    for i, run in enumerate(label["run"].tolist()):
        if not kept[i]:
            continue
        curve, kind = runs.curves[run], str(label["schedule"][i])
        step, loss = curve.step, curve.loss
        if kind == "cooldown":
            begins = (1.0 - runs["decay"][i]) * runs["steps"][i]
            if keys[i] not in trunks or trunks[keys[i]][2] < begins - 400:
                continue
            there = np.isfinite(loss)
            before, earlier, _ = trunks[keys[i]]
            early = before < step[there][0] - 1
            step = np.concatenate([before[early], step[there]])
            loss = np.concatenate([earlier[early], loss[there]])
        found.append(_whole(SETS[1], run, kind, step, loss, known[run]))
    return found


def _whole(where: str, name: str, kind: str, step: Any, loss: Any, made: Schedule) -> Whole:
    there = np.isfinite(loss) & (step >= max(made.warmup, 1))
    step, loss = step[there], loss[there]
    return Whole(where, name, kind, step, loss, Schedule(made.lr[: int(step[-1])], made.warmup))


# ------------------------------------------------------------------------------------- what other curves say


def pool(known: Sequence[Whole]) -> Pool:
    """Bend, gain and widening from finished curves; every set counts the same."""
    fitted = [whole for whole in known if whole.schedule.lr[-1] < 0.7 * whole.schedule.peak]
    errors = {bend: _by_set([(w.set, _whole_fit(w, bend).noise / w.loss[-1]) for w in fitted]) for bend in BENDS}
    bend = min(errors, key=errors.__getitem__)
    gains = [(w.set, math.log(w.schedule.peak / PEAK), _whole_fit(w, bend).gain / w.loss[-1]) for w in fitted]
    gains = [g for g in gains if g[2] > 0]
    weight = np.array([1.0 / sum(g[0] == other[0] for other in gains) for g in gains])
    x, y = np.array([[1.0, g[1]] for g in gains]), np.log([g[2] for g in gains])
    prior = np.diag([0.0, 0.1])  # sets of one peak do not know the power
    line = np.linalg.solve(x.T @ (x * weight[:, None]) + prior, x.T @ (y * weight) + prior @ [0.0, START.power])
    spread = math.sqrt(float((weight * (y - x @ line) ** 2).sum() / weight.sum()))
    first = Pool(math.exp(line[0]), float(line[1]), max(spread, LEAST_SPREAD), bend, 0.0)
    return replace(first, widening=widening(replay(known, first)))


def _whole_fit(whole: Whole, bend: float) -> Futures:
    seen = Seen(whole.step, whole.loss, whole.schedule)
    return futures(seen, [whole.schedule], replace(START, spread=10.0, bend=bend))


def _by_set(values: Sequence[tuple[str, float]]) -> float:
    return float(np.mean([np.median([v for s, v in values if s == where]) for where in {s for s, _ in values}]))


def widening(replayed: Sequence[Any]) -> float:
    """The least widening with which 90 % intervals cover 90 % of these forecasts, sets counted the same."""
    off = np.array([abs(r.end - r.future.mean[0]) for r in replayed])
    own = np.array([r.future.sd[0] for r in replayed])
    left = np.array([r.future.now - r.future.mean[0] for r in replayed])
    names = np.array([r.whole.set for r in replayed])
    weight = np.array([1.0 / np.sum(names == name) for name in names])
    low, high = 0.0, 4.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        held = off <= 1.6448536 * np.sqrt(own**2 + (middle * left) ** 2)
        low, high = (middle, high) if (weight * held).sum() < LEVEL * weight.sum() else (low, middle)
    return high


@dataclass(frozen=True, eq=False)
class Replayed:
    """A forecast and what came."""

    whole: Whole
    cut: float
    future: Futures
    last: float

    @property
    def end(self) -> float:
        """What came."""
        return self.whole.end

    @property
    def held(self) -> bool:
        """Whether the interval held it."""
        ends = interval(self.future.values[:, 0], LEVEL)
        return ends is not None and ends[0] <= self.end <= ends[1]


def replay(known: Sequence[Whole], said: Pool, cuts: Sequence[float] = CUTS) -> list[Replayed]:
    """Each curve forecast at each cut."""
    found = []
    for whole in known:
        for share in cuts:
            seen = whole.cut(share)
            if seen is None:
                continue
            try:
                future = futures(seen, [whole.schedule], said, level=LEVEL)
            except DataError:  # fewer points than a forecast takes
                continue
            found.append(Replayed(whole, share, future, float(seen.loss[-1])))
    return found


def line(name: str, rows: Sequence[Replayed]) -> str:
    """One line of the table."""
    off = np.array([r.future.mean[0] - r.end for r in rows])
    wide = np.median([np.ptp(interval(r.future.values[:, 0], LEVEL)) for r in rows])
    plain = np.mean([abs(r.last - r.end) for r in rows])
    held = 100 * np.mean([r.held for r in rows])
    return (
        f"| {name} | {len(rows)} | {np.abs(off).mean():.4f} | {off.mean():+.4f} | {plain:.4f} | {wide:.4f} | "
        f"{held:.1f} % |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=float, nargs="+", default=CUTS, help="shares of the steps that are known")
    parser.add_argument("--write", action="store_true", help="write the constants that the planner uses")
    chosen = parser.parse_args()
    known = curves()
    print("Each set is forecast with the constants of the others.\n")
    print("| curves, cut | forecasts | mean error | bias | error of the last loss so far | width | held by 90 % |")
    print("|---|---|---|---|---|---|---|")
    every, pools = [], {}
    for where in SETS:
        pools[where] = pool([w for w in known if w.set != where])
        rows = replay([w for w in known if w.set == where], pools[where], chosen.cuts)
        for share in chosen.cuts:
            print(line(f"{where}, {100 * share:.0f} %", [r for r in rows if r.cut == share]), flush=True)
        for kind in sorted({r.whole.kind for r in rows}) if where == SETS[1] else ():
            print(line(f"{where}, {kind}", [r for r in rows if r.whole.kind == kind]))
        if where == SETS[0]:
            for size in ("25m", "100m", "400m"):
                print(line(f"{where}, {size}", [r for r in rows if r.whole.name.startswith(size)]))
        print(line(where, rows))
        every += rows
    print(line("first two sets, all cuts", [r for r in every if r.whole.set != SETS[2]]))
    print(line("all", every))
    pools["all"] = pool(known)
    for where, said in pools.items():
        numbers = ", ".join(f"{k} {v:.4g}" for k, v in asdict(said).items())
        print(f"{'without ' if where != 'all' else ''}{where}: {numbers}")
    if chosen.write:
        _write(pools, every)


def _write(pools: dict[str, Pool], every: Sequence[Replayed]) -> None:
    text = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# What public training curves say about one that is under way (planning/_running.py explains the numbers).",
        "# Made by `python benchmarks/replay_curves.py --write`; [without.X]: from the other sets, to be tried on X.",
    ]
    for where, said in pools.items():
        text += ["", "[pool]" if where == "all" else f"[without.{where}]"]
        text += [f"{name} = {value:.6g}" for name, value in asdict(said).items()]
    cosines = [r.held for r in every if r.whole.kind == "cosine"]
    text += ["", "[replay]", f"forecasts = {len(every)}", f"held = {np.mean([r.held for r in every]):.4f}"]
    text += [f"held_cosines = {np.mean(cosines):.4f}"]
    WHERE.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Task scores along training replayed: trajectories are cut, their ends forecast, and what came is counted.

    python benchmarks/replay_checkpoints.py           coverage and error by size and cut, about ten seconds
    python benchmarks/replay_checkpoints.py --write   also write src/forescale/planning/checkpoints.toml

Trajectories: accuracies of eight tasks along the 20 runs of the OLMo ladder (190M to 3B, 1 to 10 times the
compute-optimal tokens). Each size is forecast with the widening that makes 90 % intervals cover 90 % of the other
sizes' ends. A forecast counts as held when the last score lies in its nominal 90 % interval, as the planner
`checkpoints` gives it. Needs the data set `olmo_ladder`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import forescale as fs
from forescale.planning._intervals import interval
from forescale.planning._trajectories import FEWEST, SETTLED, Ahead, Trajectory, ahead

TASKS = ("mmlu", "hellaswag", "arc_challenge", "arc_easy", "piqa", "csqa", "socialiqa", "openbookqa")
SIZES = ("190M", "370M", "760M", "1B", "3B")
CUTS = (0.2, 0.3, 0.5, 0.7)
LEVEL = 0.90
WHERE = Path(__file__).parents[1] / "src/forescale/planning/checkpoints.toml"


@cache
def table(task: str) -> fs.Runs:
    """All checkpoints of all runs."""
    return fs.dataset("olmo-ladder-tasks", task=task)


def trajectories() -> list[Trajectory]:
    """All tasks of all runs."""
    found = []
    for task in TASKS:
        runs = table(task)
        for name in dict.fromkeys(runs.labels["run"].tolist()):
            rows = np.flatnonzero(runs.labels["run"] == name)
            rows = rows[np.argsort(runs["D"][rows], kind="stable")]
            found.append(Trajectory(name, task, runs["D"][rows], runs["score"][rows]))
    return found


@dataclass(frozen=True, eq=False)
class Replayed:
    """A forecast and what came."""

    whole: Trajectory
    cut: float
    said: Ahead

    @property
    def end(self) -> float:
        """The last score."""
        return float(self.whole.score[-1])

    @property
    def held(self) -> bool:
        """Whether the interval held it."""
        ends = interval(self.said.values, LEVEL)
        return ends is not None and ends[0] <= self.end <= ends[1]


def replay(known: Sequence[Trajectory], widening: float, cuts: Sequence[float] = CUTS) -> list[Replayed]:
    """Each trajectory forecast at each cut."""
    found = []
    for whole in known:
        total = float(whole.tokens[-1])
        for share in cuts:
            part = whole.until(share * total)
            if np.sum(part.tokens >= SETTLED * share * total) >= FEWEST:
                found.append(Replayed(whole, share, ahead(part, total, widening)))
    return found


def widening(known: Sequence[Trajectory], cuts: Sequence[float] = CUTS) -> float:
    """The least widening with which 90 % intervals cover 90 % of these ends."""
    plain, wide = replay(known, 0.0, cuts), replay(known, 1.0, cuts)
    off = np.array([abs(r.end - r.said.mean) for r in plain])
    own = np.array([r.said.sd**2 for r in plain])
    reach = np.array([r.said.sd**2 for r in wide]) - own
    low, high = 0.0, 4.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        held = off <= 1.6448536 * np.sqrt(own + middle**2 * reach)
        low, high = (middle, high) if held.mean() < LEVEL else (low, middle)
    return high


def line(name: str, rows: Sequence[Replayed]) -> str:
    """One line of the table."""
    off = np.array([r.said.mean - r.end for r in rows])
    plain = np.mean([abs(r.said.now - r.end) for r in rows])
    width = np.median([np.ptp(interval(r.said.values, LEVEL)) for r in rows])
    held = 100 * np.mean([r.held for r in rows])
    return (
        f"| {name} | {len(rows)} | {np.abs(off).mean():.4f} | {off.mean():+.4f} | {plain:.4f} | {width:.4f} | "
        f"{held:.1f} % |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the constants that the planner uses")
    chosen = parser.parse_args()
    known = trajectories()
    print("| runs, cut | forecasts | mean error | bias | error of the score so far | width | held by 90 % |")
    print("|---|---|---|---|---|---|---|")
    every, wide = [], {}
    for size in SIZES:
        wide[size] = widening([t for t in known if not t.run.startswith(size)])
        rows = replay([t for t in known if t.run.startswith(size)], wide[size])
        print(line(size, rows))
        every += rows
    for share in CUTS:
        print(line(f"all, {100 * share:.0f} %", [r for r in every if r.cut == share]))
    for task in TASKS:
        print(line(f"all, {task}", [r for r in every if r.whole.task == task]))
    print(line("all", every))
    wide["all"] = widening(known)
    print("widening without " + ", ".join(f"{size} {value:.4g}" for size, value in wide.items()))
    if chosen.write:
        _write(wide, every)


def _write(wide: dict[str, float], every: Sequence[Replayed]) -> None:
    text = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# What trajectories of public runs say about one that is under way (planning/_trajectories.py).",
        "# Made by `python benchmarks/replay_checkpoints.py --write`; [without]: from the other sizes.",
        "",
        f"widening = {wide['all']:.6g}",
        "",
        "[without]",
        *(f'"{size}" = {value:.6g}' for size, value in wide.items() if size != "all"),
        "",
        "[replay]",
        f"forecasts = {len(every)}",
        f"held = {np.mean([r.held for r in every]):.4f}",
    ]
    WHERE.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What plans cost: cold from the command line, and warm with a thousand draws.

    python -m benchmarks.plans                 all questions, two or three minutes
    python -m benchmarks.plans joint task      some of them

Cold: CPU-seconds of a whole process that asks the question's example from published constants, beside those of a
process that plans compute-optimally (the figure of docs/benchmarks.md), least of three. Warm: CPU-seconds of the same
answer in a running process, every law with 1,000 made-up draws. Questions that stand on a user's table alone have no
constants to start from and are asked in their tests. Promised: .6 s cold, 2 s warm, 10 s for `joint`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time

import forescale as fs
from forescale import api
from forescale.core.errors import InputError
from forescale.planning._plan import Planner
from forescale.planning._run import read
from forescale.testing.planners import PlannerCase

DRAWS = 1_000
REPEATS = 3
REFERENCE = "forescale plan compute-optimal chinchilla:besiroglu2024 --budget '1e24 FLOP'"


def cold(command: str) -> float:
    """Least CPU-seconds of a process over some runs; raises where the command fails."""
    spent = []
    for _ in range(REPEATS):
        before = os.times()
        words = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        after = os.times()
        if done.returncode:
            raise InputError(done.stderr.strip())
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(spent)


def warm(planner: Planner) -> float:
    """CPU-seconds of one answer with draws behind every law, after one to warm up."""
    basis, query = PlannerCase().basis(planner, DRAWS), read(planner, planner.example)
    planner.answer(basis, query)
    start = time.process_time()
    planner.answer(basis, query)
    return time.process_time() - start


def main(names: list[str]) -> None:
    """Print a line for each question."""
    reference = cold(REFERENCE)
    print(f"{'question':22} {'cold, CPU-s':>12} {'x compute-optimal':>18} {'1,000 draws, CPU-s':>19}")
    print(f"{'(compute-optimal)':22} {reference:12.2f} {1:18.2f}")
    for name, planner in fs.planners().items():
        if names and name not in names:
            continue
        try:
            alone, drawn = cold(api.plan_example(planner)), warm(planner)
        except (InputError, AssertionError) as error:
            print(f"{name:22} needs more than constants: {str(error).splitlines()[0][:80]}")
            continue
        print(f"{name:22} {alone:12.2f} {alone / reference:18.2f} {drawn:19.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])

# SPDX-License-Identifier: Apache-2.0
"""Does every law of the catalogue fit 500 rows in one CPU-second, certified?

    python benchmarks/catalogue.py                  every law and family, about two minutes
    python benchmarks/catalogue.py chinchilla m4

Rows are drawn from the law's first published constants (else from the middle of its boxes) on a grid of its inputs,
with 0.3 % noise. Curve laws get three schedules with about 500 logged steps. Printed: rows, CPU-seconds of the fit
(the best of two: other processes share the machine), whether the optimum is certified, how many starts agree. Exit code
1 when a fit is not certified; CPU-seconds are no check, since seconds belong to a machine.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import forescale as fs
from forescale.fitting.estimate import fit
from forescale.laws import Law, families
from forescale.runs.table import Runs
from forescale.testing.laws import axis, domain, typical

ROWS = 500


def rows_of(law: Law) -> Runs:
    """About `ROWS` rows of a law's own making."""
    side = max(int(round(ROWS ** (1 / len(law.inputs)))), 2)
    axes = [axis(*domain(law, name), side) for name in law.inputs]
    inputs = {name: x.ravel() for name, x in zip(law.inputs, np.meshgrid(*axes, indexing="ij"))}
    made = law(typical(law), **inputs)
    noise = 0.003 * np.random.default_rng(1).standard_normal(made.size)
    return Runs.from_columns({**inputs, law.output: made * np.exp(noise)})


def main() -> int:
    """Print the table; 1 when a fit is not certified."""
    known = {**fs.catalogue(), **{name: entry.value.member() for name, entry in families().items()}}
    wanted = sys.argv[1:] or list(known)
    worst, bad = 0.0, []
    print("| law | rows | CPU-s | certified | starts that agree |")
    print("|---|---|---|---|---|")
    for name in wanted:
        law = known[name]
        if getattr(law, "schedule", None):
            from forescale.testing.curves import example

            runs = example(law)
        else:
            runs = rows_of(law)
        spent = []
        for _ in range(2):
            start = time.process_time()
            found = fit(runs, law)
            spent.append(time.process_time() - start)
        made = found.convergence
        assert made is not None
        worst = max(worst, min(spent))
        if not made.certified:
            bad.append(name)
        agree = f"{made.agree} of {made.polished}"
        print(f"| {name} | {found.n} | {min(spent):.2f} | {made.certified} | {agree} |", flush=True)
    print(f"\nslowest {worst:.2f} CPU-s; not certified: {', '.join(bad) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

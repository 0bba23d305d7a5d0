# SPDX-License-Identifier: Apache-2.0
"""The four-term width-depth law of Gemstones on its authors' own rows, against their constants.

    FORESCALE_MIRROR=... python benchmarks/gemstones.py [--wide]

Their objective: log-Huber, delta 1e-4, summed over the rows. They took the best of 4,050,000 starts of L-BFGS-B on
96 processes (arXiv:2502.06857, depth_width.py). `--wide` repeats the search from 8,192 points with 128 solved starts:
the optimum of the ordinary search is the one found there.
"""

from __future__ import annotations

import sys
import time

from forescale.fitting._problem import bind
from forescale.fitting.estimate import fit
from forescale.laws.gemstones import gemstones
from forescale.numerics import losses
from forescale.runs.datasets import dataset

LOSS = "log-huber:1e-4"
TABLES = {
    "mcleish2025": "gemstones",
    "mcleish2025-100b": "gemstones-100b",
    "mcleish2025-late": "gemstones-late",
    "mcleish2025-cooldown": "gemstones-cooldown",
    "mcleish2025-half-lr": "gemstones-half-lr",
}


def main() -> None:
    """Print one line per table."""
    wide = "--wide" in sys.argv[1:]
    print("| rows | at their constants | optimum | gap | starts that agree | certified | CPU-s |")
    print("|---|---|---|---|---|---|---|")
    fit(dataset("gemstones-100b"), gemstones, loss=LOSS)  # imports are not the fit
    for source, name in TABLES.items():
        runs = dataset(name)
        problem = bind(gemstones, runs, losses.loss(LOSS))
        theirs = float(
            problem.value(problem.space.search(problem.space.vector(gemstones.constants(source)))[None])[0]
        )
        before = time.process_time()
        found = fit(runs, gemstones, loss=LOSS, starts=8192 if wide else None, polish=128 if wide else 16)
        spent = time.process_time() - before
        known = found.convergence
        assert known is not None
        print(
            f"| {len(runs)} ({name}) | {theirs:.7g} | {found.objective:.9g} | "
            f"{100 * (theirs / found.objective - 1):.3f} % | "
            f"{known.agree} of {known.polished} | {'yes' if known.certified else 'no'} | {spent:.2f} |"
        )


if __name__ == "__main__":
    main()

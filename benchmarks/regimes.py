# SPDX-License-Identifier: Apache-2.0
"""How often does `regimes` see what is not there? Simulated curves that are one power, with and without a floor.

    python benchmarks/regimes.py              about a minute
    python benchmarks/regimes.py --curves 50

Noise is 0.5, 2 and 10 % of the value in turn; sizes span four decades. Printed: shares of the tags, CPU-ms per curve.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np

from forescale.judge.regimes import regimes_of

NOISE = (0.005, 0.02, 0.1)
TRUTHS = {"5 x^-0.1": lambda x: 5 * x**-0.1, "1 + 300 x^-0.35": lambda x: 1 + 300 * x**-0.35}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=200, help="per row; half as many from 150 sizes on")
    chosen = parser.parse_args()
    regimes_of([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])  # imports happen before the clock starts
    print("| truth | sizes | power | broken | turning | other | CPU-ms |")
    print("|---|---|---|---|---|---|---|")
    for name, truth in TRUTHS.items():
        for n in (5, 8, 12, 20, 60, 150, 300):
            rng = np.random.default_rng(3)
            count = chosen.curves // (2 if n >= 150 else 1)
            x = np.geomspace(1e6, 1e10, n)
            tags: Counter[str] = Counter()
            start = time.process_time()
            for i in range(count):
                tags[regimes_of(x, truth(x) * np.exp(NOISE[i % 3] * rng.standard_normal(n))).tag] += 1
            spent = 1e3 * (time.process_time() - start) / count
            told = [tags["power"], tags["broken"], tags["U-shape"] + tags["inverted-U"]]
            shares = [100 * k / count for k in (*told, count - sum(told))]
            print(f"| {name} | {n} | " + " | ".join(f"{s:.1f} %" for s in shares) + f" | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Does every law of the catalogue fit 500 rows in one CPU-second, certified?

    python -m benchmarks.catalogue                  every law, and a member of every family
    python -m benchmarks.catalogue chinchilla m4

Rows are drawn from the law's first published constants (else from the middle of its boxes) over the domain of its
inputs, with 0.3 % noise; curve laws get runs under three schedules. Exit code 1 when a fit is not certified. Seconds
belong to a machine and are no check here; `benchmarks.acceptance` holds them against their bar.
"""

from __future__ import annotations

import sys

from benchmarks.acceptance import law_fits


def main() -> int:
    """Print the table; 1 when a fit is not certified."""
    found = law_fits(names=sys.argv[1:])
    print("| law | CPU-s | certified |")
    print("|---|---|---|")
    for name, (spent, certified) in found.items():
        print(f"| {name} | {spent:.2f} | {'yes' if certified else 'no'} |")
    unsure = [name for name, (_, certified) in found.items() if not certified]
    slowest = max(spent for spent, _ in found.values())
    print(f"\n{len(found)} laws; slowest {slowest:.2f} CPU-s; not certified: {', '.join(unsure) or 'none'}")
    return 1 if unsure else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The bars of the extrapolation benchmark, beside what its tables hold.

    forescale benchmark --out all.json
    forescale benchmark --only-with --with all.json --with peers.json --table docs/benchmark.json
    python benchmarks/extrapolation.py [docs/benchmark.json]

Nothing is measured here: the tables are read. The exit code is 1 when a bar does not hold or cannot be read off.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METHOD = "auto"
RELEASED_M4 = {"NMT": 0.0208, "LM": 0.00094, "BB": 0.0123, "IC": 0.0415}
CASES = (
    ("isoflops", METHOD, "error", 0.60, "% MAPE, mean of five experiments"),
    ("chinchilla", METHOD, "error", 0.95, "% MAPE above 1e21 FLOP"),
    ("nsl", METHOD, "error", 0.029, "RMSLE, mean of 92 curves"),
    ("nsl", METHOD, "median", 0.022, "RMSLE, median of 92 curves"),
    ("nsl", METHOD, "cpu", 180.0, "CPU-s for 92 curves"),
    ("nsl", "m4", "error", 0.0347, "RMSLE of M4 alone"),
    ("nsl", "bnsl", "error", 0.0336, "RMSLE of a broken law alone"),
    ("colpret", METHOD, "median", 2.0, "% error, median of families"),
    ("colpret", METHOD, "error", 2.8, "% error, mean of families"),
)
RIVALS = ("conformal", "simple-scaling-laws skaling", "simple-scaling-laws separable")


def bars(tables: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """(what, bar, measured, whether it holds)."""
    cases = {(row["group"], row["method"]): row for row in tables["by_case"]}
    domains = {(row["group"], row["method"]): row for row in tables["by_domain"]}
    for case, method, field, bar, what in CASES:
        row = cases.get((case, method))
        value = None if row is None or row["answered"] < row["tasks"] else row[field]
        yield _at_most(f"{case}: {what}", value, bar)
    for domain, reference in RELEASED_M4.items():
        row = domains.get((domain, METHOD))
        bar = max(1.1 * reference, reference + 0.0005)
        yield _at_most(f"nsl, domain {domain}: RMSLE", None if row is None else row["error"], bar)
    far = {row["distance"]: row for row in tables["by_distance"] if row["method"] == METHOD}
    for name, low, high in (("all", 0.85, 0.95), ("<= 3x", 0.80, 0.97), ("3-10x", 0.80, 0.97), ("> 10x", 0.80, 0.97)):
        share = None if name not in far else float(far[name]["covered"])
        shown = "not there" if share is None else f"{share:.3f} of {far[name]['points']}"
        held = share is not None and low <= share <= high
        yield f"inside 90 % bands, {name}", f"{low} - {high}", shown, held
    pairs = {row["other"]: row for row in tables["pairs"] if row["method"] == METHOD}
    for rival in RIVALS:
        for field, what in (("score", "all points"), ("score_tasks", "mean of tasks")):
            row = pairs.get(rival)
            bar = float("nan") if row is None else float(row[f"{field}_other"])
            yield _at_most(f"interval score below {rival}, {what}", None if row is None else row[field], bar)


def _at_most(what: str, value: float | None, bar: float) -> tuple[str, str, str, bool]:
    shown = "not there" if value is None else f"{value:.4g}"
    return what, f"<= {bar:.4g}", shown, value is not None and value <= bar


def main() -> int:
    """Print the bars."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "benchmark.json")
    lines = list(bars(json.loads(path.read_text(encoding="utf-8"))))
    for what, bar, measured, held in lines:
        print(f"{'holds' if held else 'FAILS':6s} {what:64s} {bar:>16s} {measured:>18s}")
    failed = sum(1 for *_, held in lines if not held)
    print(f"{len(lines) - failed} of {len(lines)} hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

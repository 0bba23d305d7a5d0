# SPDX-License-Identifier: Apache-2.0
"""From training runs to a scaling law you can trust, and from the law to the next decision.

    import forescale as fs
    runs = fs.load("runs.csv")
    fit = fs.fit(runs, law="chinchilla")
    print(fit.summary())
    plan = fs.plan("compute-optimal", fit, budget="1e24 FLOP")

Everything public is here; it is imported from `forescale.api` when first used, so `import forescale` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Fit",
    "Law",
    "Plan",
    "Published",
    "Report",
    "Runs",
    "Schedule",
    "Stack",
    "amplitude",
    "backtest",
    "benchmark",
    "catalogue",
    "checks",
    "compare",
    "curve_points",
    "dataset",
    "datasets",
    "derive",
    "estimate",
    "estimators",
    "excess",
    "exponent",
    "fit",
    "floor",
    "isoflop",
    "law",
    "lint",
    "load",
    "location",
    "next_runs",
    "noise_floor",
    "open",
    "papers",
    "pareto",
    "partial",
    "plan",
    "planners",
    "real",
    "record",
    "regimes",
    "report",
    "score",
    "seeds_needed",
    "select",
    "share",
    "widen",
    "write_runs",
]

if TYPE_CHECKING:
    from forescale.api import (
        Fit,
        Law,
        Plan,
        Published,
        Report,
        Runs,
        Schedule,
        Stack,
        amplitude,
        backtest,
        benchmark,
        catalogue,
        checks,
        compare,
        curve_points,
        dataset,
        datasets,
        derive,
        estimate,
        estimators,
        excess,
        exponent,
        fit,
        floor,
        isoflop,
        law,
        lint,
        load,
        location,
        next_runs,
        noise_floor,
        open,
        papers,
        pareto,
        partial,
        plan,
        planners,
        real,
        record,
        regimes,
        report,
        score,
        seeds_needed,
        select,
        share,
        widen,
        write_runs,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        import importlib

        value = getattr(importlib.import_module("forescale.api"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'forescale' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

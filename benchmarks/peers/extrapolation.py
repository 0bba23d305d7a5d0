# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.peers.extrapolation [CASE ...] --out FILE`: other packages on our extrapolation tasks.

Writes their predictions with 90 % intervals as JSON, which `forescale benchmark --with FILE` puts into its tables.
Tasks of N and D only: that is what these packages fit. CPU-seconds are of one call, without imports.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from benchmarks.peers.__main__ import cpu
from benchmarks.peers.methods import DELTA

from forescale.core.files import to_json
from forescale.judge._protocol import Task, available, protocols
from forescale.judge.benchmark import LEVEL

Answer = dict[str, Any]
DRAWS = 400
"""Enough for the 5 % and 95 % quantiles; the package's cost is nearly proportional to it."""
MOST_ROWS = 600
"""More rows than this would keep the slow package busy for hours."""


def simple(task: Task, law: str) -> Answer:
    """simple-scaling-laws: new-run interval. It takes one row per run: checkpoints are runs of their own to it."""
    import polars as pl
    from simple_scaling_laws import fit

    rows = task.train
    runs = [f"run{i}" for i in range(len(rows))]
    table = pl.DataFrame(
        {
            "training_run_id": runs,
            "model_size__n": rows["N"],
            "dataset_size__d": rows["D"],
            "test_loss__l": rows["loss"],
        }
    )
    model = fit(table, law=law, n_draws=DRAWS, seed=0)
    points = pl.DataFrame({"model_size__n": task.held["N"], "dataset_size__d": task.held["D"]})
    low, high = 0.5 * (1 - LEVEL), 0.5 * (1 + LEVEL)
    said = model.predict(points, quantiles=[low, 0.5, high], kind="new-run")
    names = sorted(name for name in said.columns if name.startswith("test_loss__l__q"))
    return {
        "estimate": said["test_loss__l__median"].to_list(),
        "lower": said[names[0]].to_list(),
        "upper": said[names[-1]].to_list(),
    }


def chinchilla(task: Task) -> Answer:
    """chinchilla: log-Huber 1e-3, 243 starts; it has no intervals."""
    import pandas as pd
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    if len(task.train) > MOST_ROWS:
        raise ValueError(f"{len(task.train)} rows: left out for its cost")
    grid = {
        "E": (0.5, 1.0, 2.0),
        "a": (0.0, 10.0, 20.0),
        "b": (0.0, 10.0, 20.0),
        "alpha": (0.1, 0.75, 1.5),
        "beta": (0.1, 0.75, 1.5),
    }
    N, D = task.train["N"], task.train["D"]
    with tempfile.TemporaryDirectory() as folder:
        rows = pd.DataFrame({"C": 6 * N * D, "N": N, "D": D, "loss": task.train["loss"]})
        rows.to_csv(Path(folder) / "df.csv", index=False)
        model = Chinchilla(folder, param_grid=grid, loss_fn=partial(log_huber, delta=DELTA), log_level=50)
        model.fit()
        E, A, B, alpha, beta = (float(getattr(model, name)) for name in ("E", "A", "B", "alpha", "beta"))
    return {"estimate": (E + A * task.held["N"] ** -alpha + B * task.held["D"] ** -beta).tolist()}


PEERS: dict[str, Callable[[Task], Answer]] = {
    "simple-scaling-laws separable": partial(simple, law="separable-power"),
    "simple-scaling-laws skaling": partial(simple, law="skaling-joint-power"),
    "chinchilla 0.2.0": chinchilla,
}


def one(name: str, task: Task) -> Answer:
    """A package on a task: its answer, or why there is none."""
    began = cpu()
    try:
        answer = PEERS[name](task)
        answer["failed"] = "" if np.all(np.isfinite(answer["estimate"])) else "a prediction is not a number"
    except Exception as error:  # whatever a package raises is its answer
        answer = {"failed": f"{type(error).__name__}: {str(error)[:160]}"}
    return {"method": name, "task": task.name, "cpu": cpu() - began, **answer}


def main(arguments: list[str] | None = None) -> int:
    """Run the packages and write what they said."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.extrapolation")
    parser.add_argument("case", nargs="*", help="cases; none: all")
    parser.add_argument("--method", action="append", choices=list(PEERS), help="only this package")
    parser.add_argument("--out", type=Path, required=True, help="write the predictions here")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    tasks, left_out = available(protocols(options.case))
    results = []
    if options.out.is_file():  # goes on where an earlier run ended
        results = json.loads(options.out.read_text(encoding="utf-8"))["results"]
    done = {(entry["method"], entry["task"]) for entry in results}
    for name in options.method or PEERS:
        for task in tasks:
            if task.inputs == ("N", "D") and (name, task.name) not in done:
                results.append(one(name, task))
                said = results[-1]
                print(f"{name}, {task.name}: {said['cpu']:.1f} CPU-s {said['failed']}", flush=True)
                options.out.write_text(
                    to_json({"level": LEVEL, "left_out": left_out, "results": results}, indent=None)
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The 92 learning curves of Alabdulmohsin et al. (2022): laws of one variable, extrapolated and timed.

    python benchmarks/curves.py                       all laws, about a minute
    python benchmarks/curves.py m4 bnsl --loss log-huber
    python benchmarks/curves.py --json curves.json    also the error of every curve

Each law is fitted to the rows marked Training = 1 of a curve and scored on the others: the root of the mean squared
difference of logarithms (RMSLE), as published. One loss and one configuration for all curves. "point" is CPU time of
the estimate alone (start search, least squares, certified polish), "fit" that of `fs.fit` without the verdict
(covariance, intervals and 1,000 draws too). Needs the data set `nsl-benchmark` (a download, or FORESCALE_MIRROR).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import forescale as fs
from forescale.core.errors import ForescaleError
from forescale.fitting import _search
from forescale.fitting._optimum import optimum
from forescale.fitting._problem import bind
from forescale.fitting.estimate import fit
from forescale.numerics import losses

LAWS = ("power(D)", "power-floor(D)", "m3", "m4", "bnsl", "bnsl-2")
NAMES = {"power(D)": "m1 = power", "power-floor(D)": "m2 = power-floor"}
DOMAINS = ("IC", "NMT", "LM", "BB")
PUBLISHED = {
    "released M1": (0.0963, 0.0867, 0.1046, 0.2217, 0.01397, 0.0148),
    "released M2": (0.0679, 0.0611, 0.0823, 0.0341, 0.00102, 0.0148),
    "released M3": (0.0518, 0.0391, 0.0615, 0.0471, 0.00227, 0.0087),
    "released M4": (0.0350, 0.0233, 0.0415, 0.0208, 0.00094, 0.0123),
}
"""Mean and median of all curves, mean by domain: the authors' code, run on the same rows (10.9 CPU-s per M4 fit)."""


def curves() -> list[tuple[str, Any, Any, Any]]:
    """(domain, rows to fit, sizes to predict, values that came) of each curve."""
    runs = fs.load("nsl-benchmark")
    names = runs.labels["run"]
    training = runs["training"] == 1
    found = []
    for name in dict.fromkeys(names.tolist()):
        rows, seen = names == name, training
        held = rows & ~seen
        found.append(
            (name.split("/")[0], runs.where(np.flatnonzero(rows & seen)), runs["D"][held], runs["loss"][held])
        )
    return found


def scored(law: Any, loss: str, tasks: list[tuple[str, Any, Any, Any]]) -> dict[str, Any]:
    """Errors, certificates and CPU seconds of one law on all curves."""
    errors, certified, point, whole = [], [], [], []
    objective = losses.loss(loss)
    for _, rows, size, value in tasks:
        start = time.process_time()
        try:
            problem = bind(law, rows, objective)
            u, convergence, _, _ = optimum(problem, *_search.candidates(problem, 16, None))
            point.append(time.process_time() - start)
            predicted = law(problem.space.mapping(problem.space.natural(u)), D=size)
            errors.append(float(np.sqrt(np.mean(np.log(predicted / value) ** 2))))
            certified.append(convergence.certified)
            start = time.process_time()
            fit(rows, law, loss=loss)
            whole.append(time.process_time() - start)
        except ForescaleError as error:
            print(f"{law.id}: {error}")
            errors.append(float("nan"))
    return {
        "errors": np.array(errors),
        "certified": np.mean(certified),
        "point": np.array(point),
        "fit": np.array(whole),
    }


def line(name: str, numbers: Any, rest: str = "") -> str:
    """One row of the table."""
    mean, median, *by = numbers
    cells = [f"{mean:.4f}", f"{median:.4f}", *(f"{v:.4f}" for v in by)]
    cells[4] = f"{by[2]:.5f}"
    return f"| {name} | " + " | ".join(cells) + f" | {rest or ' | | |'} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laws", nargs="*", default=LAWS)
    parser.add_argument("--loss", default="log-squared")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    tasks = curves()
    domain = np.array([task[0] for task in tasks])
    scored(fs.law("power(D)"), chosen.loss, tasks[:1])  # imports happen before the clock starts
    kept = {}
    print(f"{len(tasks)} curves, loss {chosen.loss}: RMSLE of the hidden rows; CPU-ms per curve\n")
    print(
        "| law | mean | median | image | translation | language | BIG-Bench | point, mean | max | fit | certified |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in chosen.laws:
        found = scored(fs.law(name), chosen.loss, tasks)
        kept[name] = found
        e = found["errors"]
        numbers = [np.nanmean(e), np.nanmedian(e), *(np.nanmean(e[domain == d]) for d in DOMAINS)]
        point, whole = 1e3 * found["point"], 1e3 * found["fit"]
        rest = f"{point.mean():.1f} | {point.max():.0f} | {whole.mean():.1f} | {100 * found['certified']:.0f} %"
        print(
            line(f"`{name}`" if name not in NAMES else f"`{name}` ({NAMES[name].split()[0].upper()})", numbers, rest)
        )
    for name, published in PUBLISHED.items():
        print(line(name, published))
    best = np.stack([kept[name]["errors"] for name in kept]).argmin(axis=0)
    print("\nbest of these on: " + ", ".join(f"{name} {np.sum(best == i)}" for i, name in enumerate(kept)))
    if chosen.json:
        errors = {name: found["errors"].tolist() for name, found in kept.items()}
        chosen.json.write_text(json.dumps({"domain": domain.tolist(), **errors}), encoding="utf-8")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The benchmark of 92 learning curves, where the data are at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ForescaleError
from forescale.fitting import _search
from forescale.fitting._optimum import optimum
from forescale.fitting._problem import bind
from forescale.laws import Law
from forescale.numerics import losses
from forescale.runs.datasets import dataset

Scores = tuple[np.ndarray, np.ndarray, float]


@pytest.fixture(scope="session")
def curves() -> Callable[[Law], Scores]:
    """law -> RMSLE and domain of every curve, CPU-seconds per curve of the estimates (loss: log-squared)."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if "FORESCALE_MIRROR" not in os.environ and folder.is_dir():
        os.environ["FORESCALE_MIRROR"] = str(folder)
    try:
        runs = dataset("nsl-benchmark")
    except ForescaleError as error:
        pytest.skip(f"nsl-benchmark is not at hand: {error}")
    names, training = runs.labels["run"], runs["training"] == 1

    def scores(law: Law) -> Scores:
        errors, domains, spent = [], [], 0.0
        for name in dict.fromkeys(names.tolist()):
            rows = names == name
            held = rows & ~training
            start = time.process_time()
            problem = bind(law, runs.where(np.flatnonzero(rows & training)), losses.loss("log-squared"))
            u = optimum(problem, *_search.candidates(problem, 16, None))[0]
            spent += time.process_time() - start
            predicted = law(problem.space.mapping(problem.space.natural(u)), D=runs["D"][held])
            errors.append(np.sqrt(np.mean(np.log(predicted / runs["loss"][held]) ** 2)))
            domains.append(name.split("/")[0])
        return np.array(errors), np.array(domains), spent / len(errors)

    return scores

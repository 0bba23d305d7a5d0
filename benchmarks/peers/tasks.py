# SPDX-License-Identifier: Apache-2.0
"""The rows: one full table for the optimum, and six tables whose largest runs are held out.

The held-out ones are the cases `chinchilla` and `isoflops` of the extrapolation benchmark (`judge/protocols/`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.judge._protocol import protocols

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Rows to fit and rows to predict."""

    name: str
    N: Array
    D: Array
    loss: Array
    N_test: Array
    D_test: Array
    loss_test: Array


def _split(name: str, runs: fs.Runs, held: NDArray[np.bool_]) -> Task:
    N, D, loss = runs["N"], runs["D"], runs["loss"]
    return Task(name, N[~held], D[~held], loss[~held], N[held], D[held], loss[held])


def chinchilla_rows() -> Task:
    """Epoch's 240 rows, nothing held out."""
    runs = fs.load("chinchilla")
    return _split("chinchilla, 240 rows", runs, np.zeros(len(runs), dtype=bool))


def held_out() -> list[Task]:
    """The six held-out tasks."""
    tasks = [task for protocol in protocols(["chinchilla", "isoflops"]) for task in protocol.tasks()]
    return [Task(t.name, *(rows[c] for rows in (t.train, t.held) for c in ("N", "D", "loss"))) for t in tasks]

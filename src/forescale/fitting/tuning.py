# SPDX-License-Identifier: Apache-2.0
"""The valley of learning rate and batch from sweeps at several N and D: one shape, moved by powers of N and D."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forescale.core.errors import DataError, message
from forescale.core.frozen import Frozen
from forescale.fitting import estimate
from forescale.fitting._fit import Fit
from forescale.laws import find
from forescale.runs.derive import require_positive
from forescale.runs.table import Runs

WITHIN = 0.01
"""Runs up to this share above the best of their cell are fitted: of .5, 1 and 2 % the one that gives away least when
each of the eight cheapest released cells of Step Law is left out in turn (benchmarks/regret_step_law.py)."""


def valley(runs: Runs, within: float = WITHIN) -> Fit:
    """The law tuning-surface fitted to the runs near the best of each cell of N and D, each cell with its own E.

    Args:
        runs: a table with N, D, lr_peak, batch_tokens and loss.
        within: share of a cell's least loss up to which its runs count.

    Returns:
        A fit grouped by cell; all parameters but E are shared.

    Raises:
        DataError: settings that are no positive numbers, cells that lie on one line in log N and log D, or too few
            runs near the best.
        ColumnError: a column is missing.
    """
    if not within > 0.0:
        raise DataError(message(f"within = {within}", "a share above zero, e.g. 0.01"))
    law = find("tuning-surface")
    table = require_positive(runs, *law.inputs, law.output)
    N, D, loss = table["N"], table["D"], table["loss"]
    cells, cell = np.unique(np.stack([N, D]), axis=1, return_inverse=True)
    cell = cell.ravel()
    if np.linalg.matrix_rank(np.stack([np.ones_like(cells[0]), *np.log(cells)])) < 3:
        raise DataError(
            message(
                f"sweeps at {cells.shape[1]} settings of N and D, fewer than three or all on one line",
                "N and D that vary apart: the powers of both are fitted",
                "for settings on one line take the published powers (lr-power, batch-power)",
            )
        )
    least = np.full(cells.shape[1], np.inf)
    np.minimum.at(least, cell, loss)
    near = loss <= least[cell] * (1.0 + within)
    labels = np.array([f"{n:.6g} on {d:.6g}" for n, d in cells.T])[cell]
    kept = replace(table, labels=Frozen({**table.labels, "group": labels})).where(near)
    return estimate.fit(kept, law, group_by="group", separate=["E"])

# SPDX-License-Identifier: Apache-2.0
"""Rolling predictions of a stack: what the pool said about hidden larger runs, cut by cut, against what came."""

from __future__ import annotations

import numpy as np

from forescale.core.errors import RefusedError, message
from forescale.fitting._stack import Stack
from forescale.reporting.charts import _theme as look
from forescale.reporting.charts._data import tame
from forescale.reporting.charts.backtest import errors, layers


def rolling(stack: Stack, *, width: int = look.WIDTH) -> look.Spec:
    """Percent error of each rolling prediction with the band that was known at its cut, against distance.

    Raises:
        RefusedError: no cut leaves enough rows to hide larger runs.
    """
    r = stack.rolling
    count = len(r["cut"])
    if not count:
        raise RefusedError(
            message("the pool made no rolling predictions: the table is too small", "runs in more sizes")
        )
    data = errors(r["distance"], r["observed"], r["estimate"], r["lower"], r["upper"])
    inside = (r["observed"] >= r["lower"]) & (r["observed"] <= r["upper"])
    mean = 100 * float(np.mean(np.abs(r["estimate"] / r["observed"] - 1)))
    percent = f"{100 * stack.level:g} %"
    cuts = len(np.unique(r["cut"]))
    share = f"{inside.sum()} of {count}"
    return look.finish(
        layers(data, f"distance: {tame(stack.variable)} of the run / largest fitted", width),
        "Rolling test: hidden larger runs",
        [
            f"each dot is a run hidden from the pool; its bar, the {percent} band known then, should reach the zero "
            "line",
            f"{share} predictions at {cuts} cut{'s' if cuts > 1 else ''} fell inside; mean error "
            f"{mean:.2g} %" + (f"; {len(data)} of them are drawn" if len(data) < count else ""),
        ],
        about=(
            f"Errors of {count} rolling predictions, up to {float(r['distance'].max()):.3g} times the largest fitted "
            f"{tame(stack.variable)}; {share} inside their {percent} bands."
        ),
        width=width,
        height=300,
    )

# SPDX-License-Identifier: Apache-2.0
"""Which mixture of partially revealed sources to buy more of (Kang et al. 2023, projektor)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting.estimators import transport
from forescale.numerics.resample import bootstrap_rows
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Decided, Expected, Table
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]

RESAMPLES = 200


def plan(runs: Runs, candidates: Runs | None, samples: float, scale: str, level: float) -> dict[str, Any]:
    """What `composed` needs: the mixture of least loss at a number of samples, among those given or run.

    Args:
        runs: N (training samples), loss, transport and weight_... of two sizes or more.
        candidates: weight_..., transport and mixture; None chooses among the mixtures that were run.
        scale: "log" projects ln loss, "raw" the value itself, as the paper does; of a raw value more is better.

    Raises:
        RefusedError: the projection leaves what a value can be.
        DataError: candidates without the weights.
    """
    options = {"weights": "weight_", "distance": "transport", "scale": scale}
    state = transport.learn(runs, options)
    asked = runs if candidates is None else candidates
    for column in (*state.columns, "transport"):
        if column not in asked.columns:
            raise DataError(message(f"{asked.source} has no {column}", "weights and the distance of each mixture"))
    points = {c: asked[c] for c in (*state.columns, "transport")}
    labels = [str(v) for v in asked.labels["mixture"]] if "mixture" in asked.labels else []
    key = [tuple(float(v) for v in row) for row in zip(*points.values())]
    first = {k: i for i, k in reversed(list(enumerate(key)))}
    rows = sorted(first.values())
    names = [labels[i] if labels else f"mixture {n + 1}" for n, i in enumerate(rows)]
    at = {c: values[rows] for c, values in points.items()} | {"N": np.full(len(rows), samples)}
    predicted = transport.predict(state, at)
    sign = 1.0 if scale == "log" else -1.0
    values = [predicted]
    for w in bootstrap_rows(len(runs), RESAMPLES, 0):
        drawn = runs.where(np.repeat(np.arange(len(runs)), w.astype(int)))
        try:
            values.append(transport.predict(transport.learn(drawn, options), at))
        except DataError:  # a resample with one size, or too few mixtures at one
            values.append(np.full(len(rows), np.nan))
    losses = np.stack(values)
    best = int(np.argmin(sign * predicted))
    value = float(predicted[best])
    if scale == "raw" and not 0.0 <= value <= 1.0:
        raise RefusedError(
            message(
                f"a straight line in ln N gives {value:.4g} at {format_short(samples)} samples, outside of 0 to 1",
                "a share",
                "scale='log' on a loss (1 - accuracy), or fewer samples",
            )
        )
    alive = np.isfinite(losses[1:]).all(axis=1)
    winners = np.argmin(sign * losses[1:][alive], axis=1)
    noise = transport.numbers(state)["noise_at_10x"]
    shares = np.array([at[c][best] for c in state.columns])
    shares = shares / shares.sum()
    decision: dict[str, Decided] = {
        name.removeprefix("weight_"): Decided(
            100.0 * float(p), None, None, "%", f"share of {name.removeprefix('weight_')}"
        )
        for name, p in sorted(zip(state.columns, shares), key=lambda pair: -pair[1])
    }
    if len(rows) > 1:
        second = int(np.argsort(sign * predicted, kind="stable")[1])
        behind = sign * 100.0 * (losses[:, second] / losses[:, best] - 1.0)
        decision["next_costs"] = decided(
            behind, "%", level, f"how much worse the next one, {names[second]}, is expected to be"
        )
    chance = 100.0 * float(np.mean(winners == best)) if winners.size else math.nan
    decision["chance"] = Decided(chance, None, None, "%", "resamples in which this mixture is the best")
    unit = "loss" if scale == "log" else ""
    table = Table(
        "alternatives",
        f"Mixtures at {format_short(samples)} samples",
        (("mixture", ""), ("transport", ""), ("value", unit), ("from", unit), ("to", unit), ("best in", "%")),
        tuple(
            (names[i], float(at["transport"][i]), float(predicted[i]),
             *(interval(losses[:, i], level) or (None, None)),
             100.0 * float(np.mean(winners == i)) if winners.size else None)
            for i in np.argsort(sign * predicted, kind="stable")
        ),
    )  # fmt: skip
    grid = np.geomspace(float(state.N.min()), max(samples, 2 * float(state.N.max())), 31)
    some = np.argsort(sign * predicted, kind="stable")[:4]
    lines = {
        names[i]: np.array(
            [
                float(transport.predict(state, {c: v[[i]] for c, v in at.items()} | {"N": np.array([n])})[0])
                for n in grid
            ]
        )
        for i in some
    }
    far = samples / float(state.N.max())
    near = samples / float(state.N.min())
    warnings = [
        Finding(
            "noise",
            "amber" if noise > 3 else "green",
            f"At ten times the largest of {state.N.size} pilot sizes the projection multiplies noise by {noise:.3g}.",
            "Pilot sizes further apart, or a third one." if noise > 3 else "",
        )
    ]
    if far > 10:
        warnings.append(
            Finding("distance", "amber", f"{format_short(samples)} samples are {show(far, 'x')} the largest pilot.")
        )
    elif near < 0.5:
        warnings.append(
            Finding("distance", "amber", f"{format_short(samples)} samples are {show(near, 'x')} the smallest pilot.")
        )
    ends = interval(losses[:, best], level)
    return {
        "headline": (
            f"Buy {names[best]}: "
            + ", ".join(
                f"{c.removeprefix('weight_')} {show(100 * float(p), '%')}"
                for c, p in sorted(zip(state.columns, shares), key=lambda pair: -pair[1])
                if p >= 0.005
            )
            + f"; {value:.4g} is expected at {format_short(samples)} samples."
            + (f" The pilots hardly tell: it is the best in {show(chance, '%')} of resamples." if chance < 50 else "")
        ),
        "decision": decision,
        "expected": {"value": Expected(value, ends, None, unit, "loss" if scale == "log" else "value projected")},
        "binding": "the mixtures given" if candidates is not None else "the mixtures that were run",
        "tables": (table,),
        "curves": {"loss" if scale == "log" else "value": Frozen({"samples": grid, **lines})},
        "warnings": warnings,
        "assumptions": [
            f"Stage 1 on {len(runs)} runs, stage 2 a straight line of {'ln loss' if scale == 'log' else 'the value'} "
            "in ln samples.",
            f"Intervals: {int(alive.sum())} of {RESAMPLES} resamples of the runs that hold enough mixtures, seed 0.",
        ],
        "papers": ("kang2023",),
    }

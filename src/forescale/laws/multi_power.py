# SPDX-License-Identifier: Apache-2.0
"""Loss along training under any schedule of the learning rate: the multi-power law (Luo et al. 2025)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.schedule import Schedule
from forescale.laws._law import Check, Law, Parameter, Published, amplitude, exponent, floor
from forescale.laws._schedule import Past, Schedules
from forescale.numerics.curves import best, regressions, spaced

Array = NDArray[np.float64]

KEEP = 2
"""Starts handed over."""

THINNED = 64
"""Rows that starts are looked for on."""

EXPONENTS = np.array([0.2, 0.35, 0.5, 0.7, 1.0])
RATES = np.array([0.5, 5.0, 50.0, 500.0])
BENDS = np.array([0.1, 0.25, 0.6, 1.2])
PULLS = np.array([0.3, 0.6, 0.9, 1.3])


def multi(step: Any, lr: Schedules, L0: Any, A: Any, alpha: Any, B: Any, C: Any, beta: Any, gamma: Any) -> Any:
    """L = L0 + A S1^-alpha - B sum over drops d_k of d_k (1 - (1 + C lr_k^-gamma S_k)^-beta).

    S1 = sum of the learning rates up to step t, S_k = the part of it from the drop on, lr_k = the rate after it; the
    rises of the warm-up count as negative drops. Luo et al. 2025, arXiv 2503.12811.
    """
    return L0 + A * lr.total**-alpha - B * lr.over_drops(gain, C, beta, gamma, warmup=True)


def gain(past: Past, C: Any, beta: Any, gamma: Any) -> Any:
    """The share of a drop's full effect that has come: 1 - (1 + C lr^-gamma S)^-beta."""
    return -np.expm1(-beta * np.log1p(C * past.after**-gamma * past.since))


def multi_starts(step: Array, lr: Schedules, y: Array) -> dict[str, Array]:
    """For each alpha, C, beta, gamma of a grid the rest comes from a linear regression on a few of the rows.

    C is laid out by what C lr^-gamma S is over the whole of the runs.
    """
    rows = spaced(step, THINNED)
    few, loss = lr[rows], y[rows]
    typical = max(schedule.peak for schedule in few.schedules)
    whole = float(few.total.max())
    size, beta, gamma = (g.ravel() for g in np.meshgrid(RATES, BENDS, PULLS, indexing="ij"))
    C = size * typical**gamma / whole
    gains = few.over_drops(gain, C[:, None], beta[:, None], gamma[:, None], warmup=True)
    alpha, other = (g.ravel() for g in np.meshgrid(EXPONENTS, np.arange(C.size), indexing="ij"))
    areas = few.total ** -alpha[:, None]
    columns = np.stack([np.ones_like(areas), areas, -gains[other]], axis=1)
    found, left = regressions(columns, loss, 1.0 / loss**2)
    left = np.where((found > 0).all(axis=1), left, np.inf)
    places = np.stack([np.log(alpha), 0.3 * np.log(size[other]), np.log(beta[other]), np.log(gamma[other])], axis=1)
    chosen = best(left, places, KEEP, 0.3)
    other = other[chosen]
    return {
        "L0": found[chosen, 0], "A": found[chosen, 1], "alpha": alpha[chosen], "B": found[chosen, 2],
        "C": C[other], "beta": beta[other], "gamma": gamma[other],
    }  # fmt: skip


_PRINTED = {
    "25m": {"L0": 3.040, "A": 0.525, "alpha": 0.508, "B": 363.8, "C": 2.066, "beta": 0.583, "gamma": 0.641},
    "100m": {"L0": 2.651, "A": 0.601, "alpha": 0.453, "B": 437.9, "C": 2.132, "beta": 0.598, "gamma": 0.655},
    "400m": {"L0": 2.375, "A": 0.654, "alpha": 0.429, "B": 523.4, "C": 2.025, "beta": 0.594, "gamma": 0.635},
}
_VALUES = {
    "25m": (3.04045, 0.52469, 0.50787, 363.788, 2.06561, 0.58279, 0.64142),
    "100m": (2.65145, 0.60115, 0.45296, 437.946, 2.13246, 0.59785, 0.65524),
    "400m": (2.37474, 0.65421, 0.42879, 523.425, 2.02463, 0.59350, 0.63472),
}
_NAMES = ("L0", "A", "alpha", "B", "C", "beta", "gamma")


def _published(size: str) -> Published:
    return Published(
        values=dict(zip(_NAMES, _VALUES[size])),
        printed=_PRINTED[size],
        source="luo2025",
        conventions={"step": "optimiser steps, warm-up of 2,160 included", "loss": "nats/token, validation"},
        fitted_range={"step": (2160.0, 23936.0), "lr_now": (3e-5, 3e-4)},
        reproduced="no",
        note=(
            f"{size[:-1]}M parameters, fitted to cosine_24000, constant_24000 and wsdcon_9 (peak rate "
            "3e-4). These constants are where the authors' optimiser was stopped, not the optimum of its objective, "
            "which lies lower; their errors on other schedules come out."
        ),
    )


def _flat(lr: float, step: int) -> dict[str, Any]:
    return {"step": step, "lr": Schedule.constant(lr, step)}


multi_power = Law(
    id="multi-power",
    topic="training dynamics",
    title="Multi-power law: loss along training under any schedule",
    inputs=("step",),
    schedule="lr",
    params={
        "L0": floor("loss after endless training as the learning rate goes to zero"),
        "A": amplitude("loss above that when the rates sum to one"),
        "alpha": exponent("how fast the loss falls with the sum of the rates"),
        "B": amplitude("loss gained per unit that the learning rate falls, once the drop has had its full effect"),
        "C": Parameter("rate", "how soon a drop takes effect, at a rate of one", start=(1e-4, 1e3)),
        "beta": exponent("how slowly the last part of that effect comes", start=(0.02, 3.0)),
        "gamma": exponent("how much sooner it comes at a low rate than at a high one", start=(0.05, 3.0)),
    },
    formula=multi,
    linear=("L0", "A", "B"),
    valid_for=("predict",),
    refuses={
        "compute-optimal": "the loss of one model under a schedule says nothing about the split into N and D",
        "reach": "which loss is reached depends on the schedule; predict it for the one that is meant",
    },
    starts=multi_starts,
    latex=(
        r"L(t) = L_{0} + A \, S_{1}(t)^{-\alpha} - B \sum_{k \le t} (\eta_{k-1} - \eta_{k}) \left( 1 - \left( 1 + "
        r"C \, \eta_{k}^{-\gamma} \, S_{k}(t) \right)^{-\beta} \right)"
    ),
    meaning=(
        "The loss at every step of a run from the learning rates alone. Besides the power of their sum, each drop of "
        "the rate lowers the loss by B times its size, and comes to that as a power of the rates since; the more so "
        "the lower the rate it dropped to. Unlike the annealing law it saturates, so sharp drops are described. "
        "Fitted to three curves (a cosine, a constant rate, one with a step) it predicts others of the same model. "
        "It reads training curves with their learning rates."
    ),
    traps=(
        "B, C, beta and gamma trade off: three curves determine predictions at similar lengths, not the constants.",
        "The optimum of the objective predicts schedules of the same length better than the published constants, and "
        "a cosine of three times the length worse: hold beta and gamma at published values to reach far.",
        "S1 has the unit of the learning rate: constants belong to one model, batch and optimiser.",
        "Give the rate of every step or of every logged step, never every hundredth one alone.",
        "The rises of the warm-up count as negative drops, so L0 is B times the peak rate below what a constant rate "
        "reaches.",
        "The loss rows right after a drop are steep: a jump that the log shows only at its next line is a ramp.",
    ),
    papers=("luo2025",),
    published={f"luo2025-{size}": _published(size) for size in _VALUES},
    checks=(
        Check("luo2025-25m", _flat(3e-4, 10_000), 3.448092, 1e-6, "the equation at one rise, by hand"),
        Check("luo2025-100m", _flat(3e-4, 10_000), 3.146511, 1e-6, "the equation at one rise, by hand"),
        Check("luo2025-400m", _flat(3e-4, 10_000), 2.937678, 1e-6, "the equation at one rise, by hand"),
    ),
    absolute=("step",),
)

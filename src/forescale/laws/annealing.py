# SPDX-License-Identifier: Apache-2.0
"""Loss along training under any schedule of the learning rate: annealing with a memory (Tissue, Wang & Wang 2024).

Two areas describe a schedule: S1, the sum of the learning rates so far, and S2, the sum of the momentum that their
drops have given. A drop of size d adds d lambda^i in the i-th step after it, so after n steps d (1 - lambda^n) tau,
with tau = 1 / (1 - lambda) the memory in steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, Parameter, amplitude, exponent, floor
from forescale.laws._schedule import Past, Schedules
from forescale.numerics.curves import best, regressions, spaced

Array = NDArray[np.float64]

KEEP = 8
"""Starts handed over."""

THINNED = 96
"""Rows that starts are looked for on."""

EXPONENTS = np.array([0.15, 0.3, 0.45, 0.65, 0.9, 1.3])
MEMORIES = np.array([30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0])


def annealed(step: Any, lr: Schedules, L0: Any, A: Any, alpha: Any, C: Any, tau: Any) -> Any:
    """L = L0 + A S1^-alpha - C S2, with S2 = sum over drops d_k of d_k tau (1 - (1 - 1/tau)^(t - k + 1)).

    S1 = sum of the learning rates up to step t, S2 = sum of m_i, m_i = (1 - 1/tau) m_(i-1) + drop at step i, which
    starts at the peak with m = 0. Tissue, Wang & Wang 2024, arXiv 2408.11029, with lambda = 1 - 1/tau.
    """
    return L0 + A * lr.total**-alpha - C * lr.over_drops(momentum, tau, warmup=False)


def annealed_by_size(
    N: Any, step: Any, lr: Schedules, L0: Any, A: Any, alpha: Any, B: Any, beta: Any, C: Any, tau: Any
) -> Any:
    """L = L0 + A S1^-alpha + B N^-beta - C S2, with S1 and S2 as in the law annealing.

    Tissue, Wang & Wang 2024, arXiv 2408.11029: the form with model size.
    """
    fallen = C * lr.over_drops(momentum, tau, warmup=False)
    return L0 + A * lr.total**-alpha + B * N**-beta - fallen


def momentum(past: Past, tau: Any) -> Any:
    """What a drop of one has given so far: the sum of lambda^i over the steps since, lambda = 1 - 1/tau."""
    return -tau * np.expm1(past.lag * np.log1p(-1.0 / tau))


def annealing_starts(step: Array, lr: Schedules, y: Array) -> dict[str, Array]:
    """For each exponent and memory of a grid the rest comes from a linear regression on a few of the rows."""
    rows = spaced(step, THINNED)
    found = _grid(lr[rows], y[rows], [])
    return {"L0": found[0], "A": found[1], "alpha": found[2], "C": found[-2], "tau": found[-1]}


def annealing_size_starts(N: Array, step: Array, lr: Schedules, y: Array) -> dict[str, Array]:
    """The same for each exponent of the model size."""
    rows = spaced(step, THINNED)
    parts = [_grid(lr[rows], y[rows], [N[rows] ** -beta]) for beta in (0.1, 0.3, 0.6)]
    betas = np.concatenate([np.full(part[0].size, beta) for part, beta in zip(parts, (0.1, 0.3, 0.6))])
    L0, A, alpha, B, C, tau = (np.concatenate(column) for column in zip(*parts))
    return {"L0": L0, "A": A, "alpha": alpha, "B": B, "beta": betas, "C": C, "tau": tau}


def _grid(lr: Schedules, y: Array, others: list[Array]) -> tuple[Array, ...]:
    """L0, A, alpha, amplitudes of `others`, C and tau of the best starts, (m,) each."""
    gains = lr.over_drops(momentum, MEMORIES[:, None], warmup=False)
    alpha, memory = (g.ravel() for g in np.meshgrid(EXPONENTS, np.arange(MEMORIES.size), indexing="ij"))
    areas = lr.total ** -alpha[:, None]
    columns = np.stack([np.ones_like(areas), areas, *(np.broadcast_to(x, areas.shape) for x in others),
                        -gains[memory]], axis=1)  # fmt: skip
    found, left = regressions(columns, y, 1.0 / y**2)
    # A coefficient of the wrong sign has no logarithm: a tenth of a percent of the loss stands for it.
    least = 1e-3 * float(np.median(y)) / np.maximum(np.abs(columns).max(axis=2), 1e-300)
    positive = np.where(found > 0, found, least)
    scores = left * np.where((found > 0).all(axis=1), 1.0, 4.0)
    places = np.stack([np.log(alpha), np.log(MEMORIES[memory])], axis=1)
    chosen = best(scores, places, KEEP, 0.3)
    linear = positive[chosen].T
    return (*linear[:2], alpha[chosen], *linear[2:], MEMORIES[memory[chosen]])


_MEMORY = Parameter(
    "location",
    "memory of the annealing: a drop of the rate has its full effect after a few times this many steps; lambda = "
    "1 - 1/tau",
    1.0,
    start=(30.0, 30000.0),
    unit="steps",
)
_REFUSED = {
    "compute-optimal": "the loss of one model under a schedule says nothing about the split into N and D",
    "reach": "which loss is reached depends on the schedule; predict it for the one that is meant",
}
_TRAPS = (
    "C and tau trade off, C roughly as 1/tau: hold one of them (annealing.fix(tau=1000) is lambda = 0.999), or "
    "compare C tau.",
    "One cosine curve does not identify the law: fit schedules that differ (constant, cosine, a drop).",
    "It is linear in the drops: it promises a sudden large drop more than there is, where multi-power saturates.",
    "S1 has the unit of the learning rate: constants do not carry over to another peak rate, batch or optimiser.",
    "Give the rate of every step or of every logged step; every hundredth rate summed up changes S1, S2 and tau.",
    "The rises of the warm-up are no drops: S2 starts at the peak.",
)

annealing = Law(
    id="annealing",
    topic="training dynamics",
    title="Learning-rate annealing: loss along training under any schedule",
    inputs=("step",),
    schedule="lr",
    params={
        "L0": floor("loss after endless training at a constant rate", start=(1.5, 4.0)),
        "A": amplitude("loss above that when the rates sum to one", start=(0.3, 1.5)),
        "alpha": exponent("how fast the loss falls with the sum of the rates"),
        "C": amplitude("loss gained per unit of S2, the summed momentum of the drops", start=(0.1, 1.0)),
        "tau": _MEMORY,
    },
    formula=annealed,
    linear=("L0", "A", "C"),
    valid_for=("predict",),
    refuses=_REFUSED,
    starts=annealing_starts,
    latex=(
        r"L(t) = L_{0} + A \, S_{1}(t)^{-\alpha} - C \, S_{2}(t), \quad S_{2}(t) = \sum_{k \le t} "
        r"(\eta_{k-1} - \eta_{k}) \, \tau \left( 1 - \left( 1 - \frac{1}{\tau} \right)^{t-k+1} \right)"
    ),
    meaning=(
        "The loss at every step of a run from the learning rates alone: it falls as a power of their sum, and each "
        "drop of the rate takes a further bite that sets in over tau steps. Fitted to a few curves it predicts other "
        "schedules of the same model: cosine, constant with a cool-down, steps. It reads training curves with their "
        "learning rates."
    ),
    traps=_TRAPS,
    papers=("tissue2024",),
    absolute=("step",),
)

annealing_size = Law(
    id="annealing-size",
    topic="training dynamics",
    title="Learning-rate annealing with model size",
    inputs=("N", "step"),
    schedule="lr",
    params={
        "L0": floor("loss of an endless model after endless training at a constant rate", start=(1.5, 4.0)),
        "A": amplitude("loss above that when the rates sum to one", start=(0.3, 1.5)),
        "alpha": exponent("how fast the loss falls with the sum of the rates"),
        "B": amplitude("loss of a model of one parameter above the limit"),
        "beta": exponent("how fast the loss falls with the model size"),
        "C": amplitude("loss gained per unit of S2, the summed momentum of the drops", start=(0.1, 1.0)),
        "tau": _MEMORY,
    },
    formula=annealed_by_size,
    linear=("L0", "A", "B", "C"),
    valid_for=("predict",),
    refuses=_REFUSED,
    starts=annealing_size_starts,
    latex=(
        r"L(N, t) = L_{0} + A \, S_{1}(t)^{-\alpha} + B \, N^{-\beta} - C \, S_{2}(t), \quad S_{2}(t) = "
        r"\sum_{k \le t} (\eta_{k-1} - \eta_{k}) \, \tau \left( 1 - \left( 1 - \frac{1}{\tau} \right)^{t-k+1} \right)"
    ),
    meaning=(
        "The law annealing for several model sizes at once: size shifts the whole curve by B N^-beta, and the effect "
        "of the learning rates is the same for all. Use it for curves of a few sizes, to predict a larger model "
        "under a schedule that it was not trained with."
    ),
    traps=(
        *_TRAPS,
        "The gain of annealing may grow with size, and this form holds it fixed: compare with a fit per size.",
    ),
    papers=("tissue2024",),
    absolute=("step",),
)

# SPDX-License-Identifier: Apache-2.0
"""Loss along training: parameters, steps and batch (Kaplan et al. 2020, McCandlish et al. 2018, Su et al. 2024)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._implicit import root
from forescale.laws._law import Check, Law, Published, exponent, location
from forescale.laws._terms import endless_batch_steps, loss_batch
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

_WEBTEXT = {"N": "non-embedding", "D": "tokens", "loss": "nats/token"}


def in_steps(N: Any, S_min: Any, N_c: Any, alpha_N: Any, S_c: Any, alpha_S: Any) -> Any:
    """L(N, S_min) = (N_c / N)^alpha_N + (S_c / S_min)^alpha_S (Kaplan et al. 2020, eq. 1.6)."""
    return (N_c / N) ** alpha_N + (S_c / S_min) ** alpha_S


def least_steps(loss: Any, N: Any, N_c: Any, alpha_N: Any, S_c: Any, alpha_S: Any) -> Any:
    """S_min of a loss: S_c (L - (N_c / N)^alpha_N)^(-1 / alpha_S); NaN where the model never gets there."""
    left = loss - (N_c / N) ** alpha_N
    return np.where(left > 0, S_c * np.where(left > 0, left, 1.0) ** (-1.0 / alpha_S), np.nan)


def cheapest_size(loss: Any, N_c: Any, alpha_N: Any, alpha_S: Any) -> Any:
    """N of least compute N S_min on the way to a loss: there the part of size is alpha_S / (alpha_N + alpha_S) L."""
    return N_c * (loss * alpha_S / (alpha_N + alpha_S)) ** (-1.0 / alpha_N)


def cheapest_loss(C: Any, N_c: Any, alpha_N: Any, S_c: Any, alpha_S: Any, B_star: Any, alpha_B: Any) -> Any:
    """The least loss that compute C buys at the critical batch, 12 N B_crit S_min = C, at the size `cheapest_size`.

    A power of compute, 1 / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N) (Kaplan et al. 2020, section 6).
    """
    total = alpha_N + alpha_S
    logs = np.log(12.0 * N_c * S_c * B_star) - np.log(C)
    logs = logs - np.log(alpha_S / total) / alpha_N - np.log(alpha_N / total) / alpha_S
    return np.exp(logs / (1.0 / alpha_N + 1.0 / alpha_S + 1.0 / alpha_B))


class _FiniteBatch:
    """L = (N_c / N)^alpha_N + [(S_c / S) (1 + B_star / (B L^(1 / alpha_B)))]^alpha_S (Su et al. 2024; implicit in L).

    A class, because what calls `root` is no formula that could be traced.
    """

    def __call__(
        self,
        N: Any,
        step: Any,
        batch_tokens: Any,
        N_c: Any,
        alpha_N: Any,
        S_c: Any,
        alpha_S: Any,
        B_star: Any,
        alpha_B: Any,
    ) -> Any:
        size = alpha_N * (np.log(N_c) - np.log(N))
        steps = np.log(S_c) - np.log(step)
        batch = np.log(B_star) - np.log(batch_tokens)
        plain = [getattr(v, "value", v) for v in (size, steps, batch, alpha_S, 1.0 / alpha_B)]
        with np.errstate(all="ignore"):
            # The loss lies between that of an endless batch and the right-hand side there. Its logarithm is a concave
            # equation, on which Newton steps from the left never overshoot.
            low = np.logaddexp(plain[0], plain[3] * plain[1])
            room = 1e-9 * (1.0 + np.abs(low))
            high = low - _unsolved(low, *plain)
        bracket = (low - room, high + room)
        return np.exp(root(_unsolved, low, bracket, size, steps, batch, alpha_S, 1.0 / alpha_B, slope=_slope))


def _unsolved(t: Any, size: Any, steps: Any, batch: Any, alpha_S: Any, power: Any) -> Any:
    """log L less the logarithm of the right-hand side, at t = log L."""
    return t - np.logaddexp(size, alpha_S * (steps + np.logaddexp(0.0, batch - power * t)))


def _slope(t: Any, size: Any, steps: Any, batch: Any, alpha_S: Any, power: Any) -> Any:
    over = batch - power * t
    training = alpha_S * (steps + np.logaddexp(0.0, over))
    return 1.0 + alpha_S * power / (1.0 + np.exp(-over)) / (1.0 + np.exp(size - training))


_SLOW = np.array([0.03, 0.06, 0.12, 0.25, 0.5])
"""Exponents of parameters that starts try."""

_FAST = np.array([0.2, 0.4, 0.7, 1.1])
"""Exponents of steps that starts try."""


def steps_starts(N: Array, S_min: Array, y: Array) -> dict[str, Array]:
    """For each pair of exponents the two sizes come from a regression."""
    alpha_N, alpha_S = (grid.ravel() for grid in np.meshgrid(_SLOW, _FAST, indexing="ij"))
    found, left = _sizes(N, np.broadcast_to(S_min, (alpha_N.size, N.size)), y, alpha_N, alpha_S)
    chosen = best(left, np.stack([np.log(alpha_N), np.log(alpha_S)], axis=1), 6, 0.1)
    return {name: values[chosen] for name, values in found.items()}


def batch_starts(N: Array, step: Array, batch_tokens: Array, y: Array) -> dict[str, Array]:
    """The observed loss gives each row its critical batch, and so its S_min, for a grid of the laws of the batch."""
    middle, typical = float(np.median(y)), float(np.median(batch_tokens))
    axes = (_SLOW, _FAST, np.array([0.1, 0.2, 0.4, 0.8]), typical * np.geomspace(1e-2, 1e2, 7))
    alpha_N, alpha_S, alpha_B, critical = (grid.ravel() for grid in np.meshgrid(*axes, indexing="ij"))
    B_star = critical * middle ** (1.0 / alpha_B)
    there = loss_batch(y, B_star[:, None], alpha_B[:, None])
    S_min = endless_batch_steps(step, batch_tokens, there)
    found, left = _sizes(N, S_min, y, alpha_N, alpha_S)
    place = np.stack([np.log(alpha_N), np.log(alpha_S), np.log(alpha_B), np.log(critical)], axis=1)
    chosen = best(left, place, 6, 0.1)
    return {name: values[chosen] for name, values in {**found, "B_star": B_star, "alpha_B": alpha_B}.items()}


def _sizes(N: Array, S_min: Array, y: Array, alpha_N: Array, alpha_S: Array) -> tuple[dict[str, Array], Array]:
    """N_c and S_c for m pairs of exponents, S_min (m, n); sums of squares, infinite where a size is not positive."""
    columns = np.stack([N ** -alpha_N[:, None], S_min ** -alpha_S[:, None]], axis=1)
    found, left = regressions(columns, y, y**-2)
    with np.errstate(all="ignore"):
        N_c, S_c = found[:, 0] ** (1.0 / alpha_N), found[:, 1] ** (1.0 / alpha_S)
    good = (found > 0).all(axis=1) & np.isfinite(N_c) & np.isfinite(S_c) & (N_c > 0) & (S_c > 0)
    return {"N_c": N_c, "alpha_N": alpha_N, "S_c": S_c, "alpha_S": alpha_S}, np.where(good, left, np.inf)


_STEPS_PARAMS = {
    "N_c": location("parameters at which the loss would be 1 after endless training", start=(1e10, 1e17)),
    "alpha_N": exponent("how fast more parameters help", start=(0.02, 0.5)),
    "S_c": location("steps with an endless batch after which the part due to training is 1", start=(1e1, 1e6)),
    "alpha_S": exponent("how fast more steps help", start=(0.1, 2.0)),
}
_STEPS_NOTE = (
    "WebText2, non-embedding parameters; one learning rate after 3,000 steps of warm-up. The critical sizes depend "
    "on the tokenizer. To two or three digits, as commonly quoted; not checked against the paper itself."
)
_SPLIT = {
    "compute-optimal": (
        "compute is spent on parameters, batch and steps, and the best batch follows the loss (critical-batch): the "
        "split into N and D alone is a question for chinchilla"
    ),
    "reach": "without a floor every loss is reached after enough steps of a model that is large enough",
}
_NO_FLOOR = "No floor: far out the loss falls below the entropy of text."

kaplan_smin = Law(
    id="kaplan-smin",
    topic="training dynamics",
    title="Loss along training against parameters and steps at an endless batch",
    inputs=("N", "S_min"),
    params=_STEPS_PARAMS,
    formula=in_steps,
    decreasing_in=("N", "S_min"),
    refuses=_SPLIT,
    starts=steps_starts,
    domain={"S_min": (1e3, 1e6)},
    latex=(
        r"L(N, S_{min}) = \left( \frac{N_{c}}{N} \right)^{\alpha_{N}} "
        r"+ \left( \frac{S_{c}}{S_{min}} \right)^{\alpha_{S}}"
    ),
    meaning=(
        "The loss of a model on its way: what its size leaves, plus what the steps taken so far leave. S_min are the "
        "steps that an endless batch would need; the column is made from measured steps by "
        "S_min = S / (1 + B_crit(L) / B). The law of kaplan-steps takes measured steps and batches directly."
    ),
    traps=(
        "Steps are not S_min: at the critical batch twice as many are taken.",
        "Holds for one learning rate after warm-up; a decaying schedule bends the curve at its end.",
        _NO_FLOOR,
    ),
    papers=("kaplan2020", "mccandlish2018"),
    published={
        "kaplan2020": Published(
            values={"N_c": 6.5e13, "alpha_N": 0.077, "S_c": 2.1e3, "alpha_S": 0.76},
            source="kaplan2020",
            conventions=_WEBTEXT,
            fitted_range={"N": (768.0, 1.5e9)},
            note=_STEPS_NOTE,
        ),
    },
    checks=(Check("kaplan2020", {"N": 1e9, "S_min": 1e5}, 2.40051, 1e-5, "kaplan2020"),),
)

kaplan_steps = Law(
    id="kaplan-steps",
    topic="training dynamics",
    title="Loss at every step of a model trained with a finite batch",
    inputs=("N", "step", "batch_tokens"),
    params={
        **_STEPS_PARAMS,
        "B_star": location("critical batch at a loss of 1", start=(1e6, 1e11), unit="tokens"),
        "alpha_B": exponent("the critical batch grows as L^(-1 / alpha_B)", start=(0.05, 1.0)),
    },
    formula=_FiniteBatch(),
    decreasing_in=("N", "step", "batch_tokens"),
    refuses=_SPLIT,
    starts=batch_starts,
    domain={"step": (1e3, 1e6)},
    latex=(
        r"L = \left( \frac{N_{c}}{N} \right)^{\alpha_{N}} + \left[ \frac{S_{c}}{S} \left( 1 + "
        r"\frac{B_{star}}{B \, L^{1 / \alpha_{B}}} \right) \right]^{\alpha_{S}}"
    ),
    meaning=(
        "kaplan-smin with the critical batch put in: the loss after `step` steps of `batch_tokens` tokens each. The "
        "loss stands on both sides, because the critical batch grows as it falls. Su et al. estimate the constants "
        "on models up to 60M parameters and predict the whole curve of larger ones (estimator su); a fit of this "
        "law does the same in one go. With an endless batch it is kaplan-smin."
    ),
    traps=(
        "Steps of warm-up and the first steps after it belong to no power law: leave them out.",
        "One learning rate after warm-up, tuned (or scaled) for each batch; a decaying schedule bends the end.",
        "With one batch only, S_c and B_star say the same thing: fit three batches or more, well apart.",
        "No repeated data: over-fitting is not in this law.",
        _NO_FLOOR,
    ),
    papers=("kaplan2020", "mccandlish2018", "su2024"),
    published={
        "kaplan2020": Published(
            values={
                "N_c": 6.5e13,
                "alpha_N": 0.077,
                "S_c": 2.1e3,
                "alpha_S": 0.76,
                "B_star": 2.1e8,
                "alpha_B": 0.21,
            },
            source="kaplan2020",
            conventions=_WEBTEXT,
            fitted_range={"N": (768.0, 1.5e9)},
            note=_STEPS_NOTE + " The constants of Su et al. 2024 for the same form were not found.",
        ),
    },
    checks=(
        Check("kaplan2020", {"N": 1e9, "step": 1e5, "batch_tokens": 2.5e5}, 2.63657, 1e-4, "kaplan2020"),
        Check("kaplan2020", {"N": 1e9, "step": 1e5, "batch_tokens": 5e5}, 2.55090, 1e-4, "kaplan2020"),
        Check("kaplan2020", {"N": 1e9, "step": 1e5, "batch_tokens": 2e6}, 2.45278, 1e-4, "kaplan2020"),
        Check("kaplan2020", {"N": 1e9, "step": 1e5, "batch_tokens": 1e9}, 2.40064, 1e-4, "kaplan2020"),
    ),
)

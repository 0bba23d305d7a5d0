# SPDX-License-Identifier: Apache-2.0
"""What is gained, and lost again, when a policy is optimised against a learned reward (Gao et al. 2022).

Distance is d = sqrt(KL), the square root of the Kullback-Leibler divergence from the initial policy, in nats; the
column is `kl`. The output is the gain in the true reward.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from forescale.laws._law import Law, amplitude

Array = NDArray[np.float64]


def best_of_n(kl: Any, alpha: Any, beta: Any) -> Any:
    """R(d) = d (alpha - beta d), d = sqrt(kl) (Gao et al. 2022, best-of-n)."""
    return np.sqrt(kl) * (alpha - beta * np.sqrt(kl))


def reinforced(kl: Any, alpha: Any, beta: Any) -> Any:
    """R(d) = d (alpha - beta log d), d = sqrt(kl) (Gao et al. 2022, reinforcement learning)."""
    return np.sqrt(kl) * (alpha - 0.5 * beta * np.log(kl))


def peak_best_of_n(alpha: Any, beta: Any) -> dict[str, Any]:
    """Where best-of-n stops gaining: d = alpha / (2 beta), the KL there, and the gain alpha^2 / (4 beta)."""
    d = alpha / (2.0 * beta)
    return {"d": d, "kl": d * d, "score": alpha * alpha / (4.0 * beta)}


def peak_reinforced(alpha: Any, beta: Any) -> dict[str, Any]:
    """Where reinforcement learning stops gaining: d = exp(alpha / beta - 1), the KL there, and the gain beta d."""
    d = np.exp(alpha / beta - 1.0)
    return {"d": d, "kl": d * d, "score": beta * d}


def kl_of_best_of_n(n: ArrayLike) -> Array:
    """KL divergence of the best of n samples from one sample, nats: log n - (n - 1) / n.

    Exact where no two samples tie in score; otherwise an upper bound (Beirami et al. 2024).
    """
    n = np.asarray(n, dtype=np.float64)
    return np.asarray(np.log(n) - (n - 1.0) / n)


def kl_of_best_of_n_binary(n: ArrayLike, share: float = 0.5) -> Array:
    """The same, exact, where the score only tells good (a `share` of the samples) from bad."""
    bad = (1.0 - share) ** np.asarray(n, dtype=np.float64)
    return np.asarray((1.0 - bad) * np.log((1.0 - bad) / share) + bad * np.log(bad / (1.0 - share)))


def n_of_kl(kl: ArrayLike) -> Array:
    """The n (not rounded) whose best sample is `kl` nats away: Newton's method on `kl_of_best_of_n` in log n.

    Infinite where n is beyond all numbers; NaN for a negative KL.
    """
    wanted = np.asarray(kl, dtype=np.float64)
    with np.errstate(all="ignore"):
        log_n = wanted + 1.0
        for _ in range(50):
            n = np.exp(log_n)
            step = (log_n - 1.0 + 1.0 / n - wanted) / (1.0 - 1.0 / n)
            log_n = log_n - np.where(np.isfinite(step), step, 0.0)
            if not (np.abs(step) > 1e-14 * np.abs(log_n)).any():
                break
        # near one sample the KL is (n - 1)^2 / 2, and Newton's steps only halve the distance
        small = 1.0 + np.sqrt(2.0 * wanted)
        return np.asarray(np.where(wanted < 1e-12, small, np.exp(log_n)))


def expected_maximum(n: int) -> float:
    """E[max of n standard normals]: the gain of best-of-n where the score is the true reward plus Gaussian noise.

    Then nothing is ever lost: the gain is this times s_g^2 / sqrt(s_g^2 + s_e^2), s_g and s_e the standard deviations
    of reward and noise.
    """
    x, w = leggauss(400)
    x, w = 12.0 * x, 12.0 * w
    above = ndtr(x) ** n
    # E[X] = integral of 1 - F over x > 0 minus integral of F over x < 0
    return float((w * np.where(x > 0, 1.0 - above, -above)).sum())


_TRAPS = (
    "The peak is identified only by points beyond it: an interval of alpha / beta from earlier points is wide.",
    "Errors of one curve are common to its points (one reward model, one set of prompts): bootstrap prompts.",
    "The paper prints no alpha or beta: they are in figures only.",
)

overoptimisation_bon = Law(
    id="overoptimisation-bon",
    topic="samples at test time",
    title="Gain of best-of-n against a learned reward",
    inputs=("kl",),
    output="score",
    params={
        "alpha": amplitude("gain per unit of distance at the start", start=(1e-3, 1e3)),
        "beta": amplitude("how fast the gain fades with distance", start=(1e-4, 1e3)),
    },
    formula=best_of_n,
    linear=("alpha", "beta"),
    domain={"kl": (0.05, 10.0)},
    loss="squared",
    latex=r"R(d) = d \, (\alpha - \beta d), \quad d = \sqrt{\mathrm{kl}}",
    meaning=(
        "True reward of the sample that a learned reward ranks first among n, over the distance d = sqrt(KL), KL = "
        "log n - (n - 1) / n: it rises, peaks at d = alpha / (2 beta), gain alpha^2 / (4 beta), and falls. Both "
        "constants change about as the logarithm of the size of the reward model."
    ),
    traps=(*_TRAPS, "log n - (n - 1) / n is an upper bound of the KL where samples tie."),
    papers=("gao2022", "beirami2024"),
)

overoptimisation_rl = Law(
    id="overoptimisation-rl",
    topic="samples at test time",
    title="Gain of reinforcement learning against a learned reward",
    inputs=("kl",),
    output="score",
    params={
        "alpha": amplitude("gain per unit of distance at a distance of 1", start=(1e-3, 1e3)),
        "beta": amplitude("how fast the gain fades per e-fold of distance", start=(1e-4, 1e3)),
    },
    formula=reinforced,
    linear=("alpha", "beta"),
    domain={"kl": (1.0, 625.0)},
    absolute=("kl",),
    loss="squared",
    latex=r"R(d) = d \, (\alpha - \beta \ln d), \quad d = \sqrt{\mathrm{kl}}",
    meaning=(
        "True reward of a policy trained against a learned reward, over the distance d = sqrt(KL) from where it "
        "began: it peaks at d = exp(alpha / beta - 1) with the gain beta d. Stop there. Win rates of policies that "
        "are aligned directly on preferences follow the same form above one half (Rafailov et al. 2024): fit "
        "score = win rate - 0.5."
    ),
    traps=(
        *_TRAPS,
        "The slope at d = 0 is infinite: the form is not meant for the first steps.",
        "A KL penalty moves the policy along the curve, it does not lift the curve.",
    ),
    papers=("gao2022", "rafailov2024"),
)

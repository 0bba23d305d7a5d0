# SPDX-License-Identifier: Apache-2.0
"""Translation after fine-tuning, over pre-training tokens (Isik et al. 2024): BLEU's law, and when to trust it.

The cross-entropy of the fine-tuned model is a power law with a floor: `power-floor(D)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, QueryError, message
from forescale.laws._law import Law, amplitude, exponent
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

TINY = 1e-12
"""Stands for a logarithm that is not positive: the law says a BLEU of zero there."""

LEAST = 3
"""Checkpoints that the test of alignment needs."""


def quality(D: Any, A: Any, alpha: Any, beta: Any) -> Any:
    """BLEU(D_p) = (log(A D_p^alpha))^beta (Isik et al. 2024), zero where A D_p^alpha <= 1."""
    return np.maximum(np.log(A) + alpha * np.log(D), TINY) ** beta


def tokens_for(bleu: Any, *, A: Any, alpha: Any, beta: Any) -> Any:
    """Pre-training tokens for a BLEU: (exp(s^(1/beta)) / A)^(1/alpha), the law solved for D_p."""
    return np.exp((np.asarray(bleu, dtype=np.float64) ** (1.0 / beta) - np.log(A)) / alpha)


def first_tokens(*, A: Any, alpha: Any) -> Any:
    """Pre-training tokens below which the law has no value, A D^alpha = 1."""
    return np.exp(-np.log(A) / alpha)


def alignment(source: ArrayLike, target: ArrayLike) -> Array:
    """How well pre-training suits a translation: P_s P_t + .7 P_s + .8 P_t (Isik et al. 2024).

    Args:
        source, target: shares of the source and of the target language in pre-training, shapes that broadcast.

    Raises:
        QueryError: shares outside [0, 1], or that sum to more than one.
    """
    s, t = np.broadcast_arrays(np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64))
    if not ((s >= 0) & (t >= 0) & (s + t <= 1 + 1e-12)).all():
        raise QueryError(message("shares of the two languages", "numbers in [0, 1] that sum to at most one"))
    return np.asarray(s * t + 0.7 * s + 0.8 * t)


@dataclass(frozen=True)
class Advice:
    """What checkpoints of growing D_p say about a pre-training set for one translation task.

    Attributes:
        verdict: "aligned" (value it by the fitted curve), "misaligned" (take other data; the cross-entropy is no
            proxy), or "no use" (fine-tuning alone does as well).
        sentence: why.
    """

    verdict: str
    sentence: str


def advise(D: ArrayLike, measured: ArrayLike, fitted: ArrayLike, *, noise: float) -> Advice:
    """The test of alignment (Isik et al. 2024, section 3.5).

    Args:
        D: (n,) pre-training tokens.
        measured: (n,) BLEU (or COMET) after fine-tuning.
        fitted: (n,) what the logarithmic law, fitted to them, says.
        noise: standard deviation of one measurement, from repeated fine-tuning.

    Flat is a range within 2 sqrt(2) noises, a fall one of that size from the best before, a misfit a root mean square
    above two noises.

    Raises:
        DataError: fewer than three checkpoints, or a noise that is not positive.
    """
    order = np.argsort(np.asarray(D, dtype=np.float64), kind="stable")
    y, f = (np.asarray(v, dtype=np.float64)[order] for v in (measured, fitted))
    if y.size < LEAST or not noise > 0:
        raise DataError(
            message(f"{y.size} checkpoints and a noise of {noise}", f"{LEAST} or more, and a positive noise")
        )
    differs = 2.0 * np.sqrt(2.0) * noise
    if y.max() - y.min() <= differs:
        return Advice("no use", f"it moves by {y.max() - y.min():.3g}, within noise: pre-training adds nothing here.")
    fall = float((np.maximum.accumulate(y) - y).max())
    if fall > differs:
        return Advice(
            "misaligned", f"it falls by {fall:.3g} while pre-training grows: do not judge by cross-entropy."
        )
    miss = float(np.sqrt(np.mean((y - f) ** 2)))
    if miss > 2.0 * noise:
        return Advice("misaligned", f"the logarithmic law misses by {miss:.3g}, noise is {noise:.3g}.")
    return Advice("aligned", f"it rises as the law says, to {miss:.3g}: value more tokens by the curve.")


def starts(D: Array, y: Array) -> dict[str, Array]:
    """Given beta, BLEU^(1/beta) is linear in log D."""
    beta = np.geomspace(0.15, 8.0, 24)
    x = np.log(D)
    target = y ** (1.0 / beta[:, None])
    columns = np.broadcast_to(np.stack([np.ones_like(x), x]), (beta.size, 2, x.size))
    found, _ = regressions(columns, target, (beta[:, None] / target) ** 2)
    log_a, alpha = found[:, 0], np.maximum(found[:, 1], 1e-6)
    inner = log_a[:, None] + alpha[:, None] * x
    with np.errstate(all="ignore"):
        left = ((beta[:, None] * np.log(inner) - np.log(y)) ** 2).sum(axis=1)
        A = np.exp(log_a)
    left = np.where((inner > 0).all(axis=1) & np.isfinite(A) & (A > 0), left, np.inf)
    chosen = best(left, np.log(beta)[:, None], 4, 0.4)
    return {"A": A[chosen], "alpha": alpha[chosen], "beta": beta[chosen]}


bleu_pretraining = Law(
    id="bleu-pretraining",
    topic="task performance",
    title="BLEU after fine-tuning, over pre-training tokens",
    inputs=("D",),
    output="bleu",
    params={
        "A": amplitude("where the law begins: its argument A D^alpha is one there", start=(0.05, 1.0)),
        "alpha": exponent("how fast the argument grows with pre-training tokens", start=(0.2, 2.0)),
        "beta": exponent("how BLEU follows the logarithm", start=(0.3, 4.0)),
    },
    formula=quality,
    starts=starts,
    domain={"D": (1e9, 1e12)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": "one variable, at one model and one fine-tuning set",
        "reach": "BLEU rises; `tokens_for` of laws/transfer_translation.py gives the tokens for a BLEU",
    },
    loss="log-huber:0.1",
    latex=r"\mathrm{BLEU}(D_p) = \left( \log( A \, D_p^{\alpha} ) \right)^{\beta}",
    meaning=(
        "Translation quality after fine-tuning on a fixed set, over the tokens of pre-training before it: a power of "
        "a logarithm, so that each further gain wants a multiple of the tokens. It holds where the pre-training text "
        "suits the task; that it does not fit, or that BLEU falls while cross-entropy improves, is the sign that it "
        "does not. COMET and ROUGE follow the same form."
    ),
    traps=(
        "A, alpha and beta trade off: give intervals of the curve, not of them.",
        "Where A D^alpha <= 1 the law has no value; it answers zero there.",
        "BLEU from 0 to 100 and from 0 to 1 have different constants. So have other metrics.",
        "Three parameters on six to eight points: fit the smallest few, and test on the rest.",
        "With a large fine-tuning set pre-training may add nothing, and the curve is flat.",
        "Constants of the paper were not found.",
    ),
    papers=("isik2024",),
)

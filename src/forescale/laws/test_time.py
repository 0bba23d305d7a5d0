# SPDX-License-Identifier: Apache-2.0
"""Scores that grow with the logarithm of something spent: thinking tokens, training samples; and what raters allow.

Judges that think longer (Chan et al. 2025, J1), instruction data of a vision-language model (Tang et al. 2024,
TextSquare), labels of an assessment model (Zhang et al. 2025, Q-Eval-100K). None of them prints coefficients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, amplitude, exponent, real
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]


def doublings(thinking_tokens: Any, a: Any, b: Any) -> Any:
    """acc = a + b log2(tokens) (the regression that the slopes of Chan et al. 2025 ask for)."""
    return a + b * np.log2(thinking_tokens)


def decades(D: Any, a: Any, b: Any) -> Any:
    """score = a + b log10(D) (Tang et al. 2024)."""
    return a + b * np.log10(D)


def saturating(D: Any, S: Any, A: Any, k: Any) -> Any:
    """score = S - A D^-k (the common saturating form; no paper of the list prints it)."""
    return S - A * D**-k


def rated(members: Any, r: Any) -> Any:
    """rho(k) = 1 / sqrt(1 + r^2 / k), k = members (classical test theory).

    The most that a score can correlate with the mean of k raters.
    """
    return 1.0 / np.sqrt(1.0 + r * r / members)


def saturating_starts(D: Array, y: Array) -> dict[str, Array]:
    """For each exponent of a grid a regression on D^-k, written so that small exponents stay solvable."""
    k = np.geomspace(3e-4, 2.5, 40)
    x = np.expm1(-k[:, None] * np.log(D / D.max()))
    found, left = regressions(np.stack([np.ones_like(x), -x], axis=1), y, np.ones(y.size))
    A = found[:, 1] * D.max() ** k
    S = found[:, 0] + found[:, 1]
    left = np.where((A > 0) & (S > 0) & np.isfinite(A), left, np.inf)
    chosen = best(left, np.log(k)[:, None], 4, 0.5)
    return {"S": S[chosen], "A": A[chosen], "k": k[chosen]}


thinking = Law(
    id="thinking",
    topic="samples at test time",
    title="Accuracy in the logarithm of thinking tokens",
    inputs=("thinking_tokens",),
    output="score",
    params={
        "a": real("accuracy at one token, far from any data", start=(-0.5, 1.0)),
        "b": real("what a doubling of tokens brings", start=(-0.1, 0.2)),
    },
    formula=doublings,
    linear=("a", "b"),
    domain={"thinking_tokens": (64.0, 65536.0)},
    loss="squared",
    latex=r"\mathrm{acc} = a + b \log_{2} \mathrm{tokens}",
    meaning=(
        "The slope b says whether thinking longer helps a model at all: points of accuracy per doubling. Compare the "
        "slopes of two stages of training (fine-tuned, then reinforced) on the same items, as J1 does for judges."
    ),
    traps=(
        "It has no ceiling: within the range of tokens that was measured only.",
        "Lengths differ by item, and hard items take longer: vary the budget on the same items, and bootstrap items.",
        "A slope needs many items: between two budgets its error is about .5 sqrt(2 (1 - rho) / items) over their "
        "distance in doublings, rho the correlation of right answers at the two.",
        "Accuracy may fall with tokens (inverse scaling at test time): b can be negative.",
    ),
    papers=("chan2025j1", "gema2025"),
)

log_linear = Law(
    id="log-linear",
    topic="one variable",
    title="A score in the logarithm of data",
    inputs=("D",),
    output="score",
    params={
        "a": real("score at one unit of data, far from any data", start=(-100.0, 140.0)),
        "b": real("what ten times the data bring", start=(-10.0, 18.0)),
    },
    formula=decades,
    linear=("a", "b"),
    loss="squared",
    latex=r"\mathrm{score} = a + b \log_{10} D",
    meaning=(
        "The plainest reading of a learning curve in benchmark points: so many points per tenfold data. It is the "
        "limit of saturating-score for a small exponent, and over one or two decades the two cannot be told apart."
    ),
    traps=(
        "It has no ceiling: never more than one decade beyond the data.",
        "Quality filters change with scale: a curve over filtered data mixes both.",
    ),
    papers=("tang2024", "zhang2025"),
)

saturating_score = Law(
    id="saturating-score",
    topic="one variable",
    title="A score that rises to a ceiling as a power of data",
    inputs=("D",),
    output="score",
    params={
        "S": amplitude("score in the limit of infinite data", start=(1e-2, 1e5)),
        "A": amplitude("what is missing at one unit of data", start=(1.0, 1e6)),
        "k": exponent("how fast the gap closes", start=(3e-4, 2.5)),
    },
    formula=saturating,
    linear=("S", "A"),
    starts=saturating_starts,
    loss="squared",
    latex=r"\mathrm{score} = S - A \, D^{-k}",
    meaning=(
        "The rising twin of power-floor: accuracy, correlation with human ratings, points of a benchmark. Where the "
        "exponent comes out near zero the ceiling is not in the data: log-linear says as much with one number less."
    ),
    traps=(
        "S is an extrapolation wherever the curve is still straight in log D: look at its interval, and compare "
        "with log-linear. On exact log-linear data k comes out below .001 with a ceiling of thousands of points.",
        "Agreement with raters cannot exceed what the raters' own noise allows: see rater-ceiling.",
    ),
    papers=("tang2024", "zhang2025"),
)

rater_ceiling = Law(
    id="rater-ceiling",
    topic="task performance",
    title="How well any score can agree with the mean of k raters",
    inputs=("members",),
    output="score",
    params={"r": amplitude("noise of one rater over the spread of true values, s / t", start=(1e-2, 1e2))},
    formula=rated,
    domain={"members": (1.0, 16.0)},
    loss="squared",
    latex=r"\rho(k) = \frac{1}{\sqrt{1 + r^{2} / k}}, \quad k = \mathrm{members}",
    meaning=(
        "The mean of k noisy ratings correlates with the truth by 1 / sqrt(1 + s^2 / (k t^2)), where s is the noise "
        "of a rater and t the spread of true values: no assessment model scores higher against them. Says whether "
        "more raters or more items would help."
    ),
    traps=(
        "Model-level correlations average many items first: their ceiling is nearer to 1, their error larger.",
        "Raters that share a bias are not independent: the ceiling is then lower than it says.",
    ),
    papers=("zhang2025",),
)

# SPDX-License-Identifier: Apache-2.0
"""From loss to tasks: error rates (Gadre et al. 2024), accuracy (Bhagia et al. 2024), accuracy straight from N and D.

The second step of two: a law of loss says what a larger model's loss will be, one of these what it then gets right.
The loss must be one and the same throughout: a held-out text for error rates, the task's own bits per byte for the
sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Parameter, Published, amplitude, exponent, location, real
from forescale.numerics.curves import best, regressions, spaced

Array = NDArray[np.float64]

MOST_ROWS = 200
"""Rows that a grid of starts looks at."""


def error(loss: Any, eps: Any, k: Any, gamma: Any) -> Any:
    """err(L) = eps - k exp(-gamma L) (Gadre et al. 2024, eq. 5)."""
    return eps - k * np.exp(-gamma * loss)


def accuracy(loss: Any, a: Any, L_0: Any, k: Any, b: Any) -> Any:
    """acc(L) = a / (1 + exp(-k (L - L_0))) + b with a < 0 (Bhagia et al. 2024, step 2)."""
    return a / (1.0 + np.exp(-k * (loss - L_0))) + b


def direct(N: Any, D: Any, A: Any, alpha: Any, B: Any, beta: Any) -> Any:
    """acc(N, D) = exp(-A / N^alpha - B / D^beta) (Krajewski et al. 2025)."""
    return np.exp(-A * N**-alpha - B * D**-beta)


def error_starts(loss: Array, y: Array) -> dict[str, Array]:
    """For each gamma of a grid, in units of the spread of the losses, a regression on exp(-gamma L)."""
    span = float(np.ptp(loss)) or 1.0
    gamma = np.geomspace(0.02, 30.0, 40) / span
    # measured from the least loss, so that no exponential underflows
    x = np.exp(-gamma[:, None] * (loss - loss.min()))
    found, left = regressions(np.stack([np.ones_like(x), -x], axis=1), y, np.ones(y.size))
    with np.errstate(over="ignore"):
        k = found[:, 1] * np.exp(gamma * loss.min())
    left = np.where((found[:, 0] > 0) & (k > 0) & np.isfinite(k), left, np.inf)
    chosen = best(left, np.log(gamma)[:, None], 4, 0.5)
    return {"eps": found[chosen, 0], "k": k[chosen], "gamma": gamma[chosen]}


def accuracy_starts(loss: Array, y: Array) -> dict[str, Array]:
    """For each middle and steepness of a grid a regression on the sigmoid; then a finer grid around the best cell.

    Where the middle lies below all losses only a tail is seen, and the objective is a long bent valley: without the
    finer grid least squares crawls along it.
    """
    some = spaced(loss, MOST_ROWS)
    loss, y = loss[some], y[some]
    low, high = float(loss.min()), float(loss.max())
    span = (high - low) or 1.0
    middle, steep = (
        np.maximum(low + span * np.linspace(-0.6, 1.2, 19), 0.02 * high),
        np.geomspace(0.7, 60.0, 14) / span,
    )
    coarse, left = _sigmoids(loss, y, middle, steep)
    places = np.stack([(coarse["L_0"] - low) / span, np.log(coarse["k"])], axis=1)
    chosen = best(left, places, 6, 0.3)
    top = int(np.argmin(left))
    around = np.linspace(-1.0, 1.0, 21)
    fine, close = _sigmoids(
        loss,
        y,
        np.maximum(coarse["L_0"][top] + 0.1 * span * around, 0.02 * high),
        coarse["k"][top] * 1.4**around,
    )
    first = int(np.argmin(close))
    return {name: np.append(fine[name][first], coarse[name][chosen]) for name in coarse}


def _sigmoids(loss: Array, y: Array, middle: Array, steep: Array) -> tuple[dict[str, Array], Array]:
    """All pairs of middle and steepness, with the ends of the sigmoid by regression, and what each leaves."""
    L_0, k = (grid.ravel() for grid in np.meshgrid(middle, steep))
    x = 1.0 / (1.0 + np.exp(-np.clip(k[:, None] * (loss - L_0[:, None]), -700.0, 700.0)))
    found, left = regressions(np.stack([np.ones_like(x), x], axis=1), y, np.ones(y.size))
    b, a = np.maximum(found[:, 0], 0.02), np.minimum(found[:, 1], -0.01)
    # far ends beyond 1 are the tail of an exponential, not a sigmoid
    left = np.where(b < 3.0, left, np.inf) + ((b - found[:, 0]) ** 2 + (a - found[:, 1]) ** 2) * y.size
    return {"a": a, "L_0": L_0, "k": k, "b": b}, left


def direct_starts(N: Array, D: Array, y: Array) -> Mapping[str, Array]:
    """For each pair of exponents a regression of -log(acc) on both powers."""
    alpha, beta = (grid.ravel() for grid in np.meshgrid(np.geomspace(0.04, 1.0, 12), np.geomspace(0.04, 1.0, 12)))
    target = -np.log(np.minimum(y, 1.0 - 1e-9))
    columns = np.stack([(N / N.min()) ** -alpha[:, None], (D / D.min()) ** -beta[:, None]], axis=1)
    found, left = regressions(columns, target, y**2)
    found = np.maximum(found, 1e-3 * float(np.median(target)))
    chosen = best(left, np.log(np.stack([alpha, beta], axis=1)), 6, 0.3)
    return {
        "A": found[chosen, 0] * N.min() ** alpha[chosen],
        "alpha": alpha[chosen],
        "B": found[chosen, 1] * D.min() ** beta[chosen],
        "beta": beta[chosen],
    }


_LOSSES = {
    "c4": ("C4", (2.6568, 5.2207)),
    "redpajama": ("RedPajama", (2.7687, 5.3871)),
    "refinedweb": ("RefinedWeb", (2.7633, 5.2719)),
}


def _gadre(
    corpus: str, tasks: int, values: tuple[float, float, float], printed: tuple[float, float, float]
) -> Published:
    words, range_ = _LOSSES[corpus]
    names = ("k", "gamma", "eps")
    return Published(
        values=dict(zip(names, values)),
        printed=dict(zip(names, printed)),
        source="gadre2024",
        conventions={"loss": "nats/token"},
        fitted_range={"loss": range_},
        reproduced="yes",
        note=(
            f"Mean top-1 error of {tasks} tasks of models trained on {words}, loss on C4's held-out text. Six runs: "
            "four sizes and 1.4B parameters at M = 20, the smallest at M = 320. The full precision is our "
            "least-squares fit to these released runs."
        ),
    )


error_exponential = Law(
    id="error-exponential",
    topic="task performance",
    title="Mean error of many tasks from loss",
    inputs=("loss",),
    output="error",
    params={
        "eps": amplitude("error at high loss: near guessing for the mix of tasks", start=(0.1, 2.0)),
        "k": amplitude("how far the error would fall below that at a loss of zero", start=(0.01, 1e4)),
        "gamma": Parameter("rate", "how fast the error falls per unit of loss", start=(0.01, 20.0)),
    },
    formula=error,
    linear=("eps", "k"),
    starts=error_starts,
    loss="squared",
    latex=r"\mathrm{err}(L) = \mathrm{eps} - k \, e^{-\gamma L}",
    meaning=(
        "Averaged over many tasks, the top-1 error falls exponentially as the loss on one held-out text falls. With "
        "a law of loss in N and D before it, the chain predicts the mean error of a model that is not trained yet."
    ),
    traps=(
        "For averages over many tasks only: single tasks are noisy, and most do not follow it.",
        "It knows no floor: below the smallest loss of the fit it goes on falling, through zero.",
        "All models must be evaluated on one held-out text, with one tokenizer.",
        "Six runs for three parameters: without the one run of 1.4B parameters the published prediction for 6.9B is "
        "10.6 % off.",
    ),
    papers=("gadre2024",),
    published={
        "gadre2024-c4-46": _gadre(
            "c4", 46, (1.28851382113, 0.972163573147, 0.758949470524), (1.28852, 0.97216, 0.75895)
        ),
        "gadre2024-c4-17": _gadre(
            "c4", 17, (2.07889916918, 0.756119140192, 0.849742291777), (2.07891, 0.75612, 0.84974)
        ),
        "gadre2024-redpajama-46": _gadre(
            "redpajama", 46, (1.32290700096, 0.890710337988, 0.760849390333), (1.3229, 0.89071, 0.76085)
        ),
        "gadre2024-redpajama-17": _gadre(
            "redpajama", 17, (2.20649066657, 0.714590667682, 0.856991905875), (2.20649, 0.71459, 0.85699)
        ),
        "gadre2024-refinedweb-46": _gadre(
            "refinedweb", 46, (1.12807561215, 0.821523275399, 0.767679183082), (1.12807, 0.82152, 0.76768)
        ),
        "gadre2024-refinedweb-17": _gadre(
            "refinedweb", 17, (2.21481588723, 0.707048712561, 0.865279494209), (2.21481, 0.70705, 0.86528)
        ),
    },
    checks=(
        # measured .47522 and .47164: 3.6365 % and .0464 % off, at the losses that the law of loss predicts
        Check("gadre2024-redpajama-17", {"loss": 2.519826}, 0.492497, 5e-6, "gadre2024"),
        Check("gadre2024-redpajama-17", {"loss": 2.442745}, 0.471856, 5e-6, "gadre2024"),
    ),
)


def _ladder(
    task: str, values: tuple[float, ...], printed: tuple[float, ...], range_: tuple[float, float]
) -> Published:
    names = ("a", "L_0", "k", "b")
    return Published(
        values=dict(zip(names, values)),
        printed=dict(zip(names, printed)),
        source="bhagia2024",
        conventions={"loss": "bits/byte"},
        fitted_range={"loss": range_},
        reproduced="yes",
        note=(
            f"{task}; five examples in the prompt, loss in bits per byte of the right answer. Our fit by the "
            "authors' protocol to 16 released runs (1,401 checkpoints and the anchor, see the estimator ladder), "
            "which rounds to their coefficients. A b of 1 is the end of the range that the protocol allows."
        ),
    )


accuracy_sigmoid = Law(
    id="accuracy-sigmoid",
    topic="task performance",
    title="Accuracy of one task from its loss",
    inputs=("loss",),
    output="score",
    params={
        "a": real("minus the way from guessing to the best accuracy", start=(-0.99, -0.05)),
        "L_0": location("loss at which half of the way is done", start=(0.05, 5.0)),
        "k": Parameter("rate", "steepness there, per unit of loss", start=(0.3, 100.0)),
        "b": amplitude("accuracy at low loss; b + a is that of guessing", start=(0.3, 1.2)),
    },
    formula=accuracy,
    linear=("a", "b"),
    decreasing_in=("loss",),
    starts=accuracy_starts,
    loss="squared",
    latex=r"\mathrm{acc}(L) = \frac{a}{1 + e^{-k (L - L_{0})}} + b",
    meaning=(
        "Accuracy against the task's own loss (bits per byte of the right answer) is a sigmoid between guessing, "
        "b + a, and b. It is learned from the checkpoints of small models, which pass through all losses, and read "
        "at the loss that a law in N and D predicts for the large one: the second step of a model ladder."
    ),
    traps=(
        "In the paper a and b hang on an added point of accuracy 1 at loss 0; without it b is extrapolated.",
        "Nothing keeps b below 1: where a fit puts it above, fit again with accuracy-sigmoid.fix(b=1).",
        "An error of .05 bits per byte costs several points of accuracy where the sigmoid is steep.",
        "Ranked classification only: with another format of the same task the sigmoid is another.",
        "Accuracy follows the right answer's loss only as far as the wrong answers' losses move with it.",
    ),
    papers=("bhagia2024", "schaeffer2024"),
    published={
        "bhagia2024-hellaswag": _ladder(
            "HellaSwag",
            (-0.73011156, 0.766735237, 12.7417061, 0.992103654),
            (-0.7301, 0.7667, 12.7417, 0.9921),
            (0.7594, 1.1768),
        ),
        "bhagia2024-mmlu": _ladder(
            "MMLU, mean of its four groups by number of questions",
            (-0.742064334, 0.615951623, 4.83337895, 1.0),
            (-0.7421, 0.6160, 4.8334, 1.0),
            (0.9844, 1.8561),
        ),
        "bhagia2024-arc-challenge": _ladder(
            "ARC-Challenge",
            (-0.777672705, 0.708640734, 5.91060741, 1.0),
            (-0.7777, 0.7086, 5.9106, 1.0),
            (0.9062, 1.7407),
        ),
        "bhagia2024-arc-easy": _ladder(
            "ARC-Easy",
            (-0.646271614, 0.740713586, 4.12985025, 1.0),
            (-0.6463, 0.7407, 4.1298, 1.0),
            (0.6842, 1.6663),
        ),
        "bhagia2024-piqa": _ladder(
            "PIQA", (-0.458562935, 0.963022844, 5.03295732, 1.0), (-0.4586, 0.9630, 5.0330, 1.0), (0.9985, 1.5156)
        ),
        "bhagia2024-csqa": _ladder(
            "CommonsenseQA",
            (-0.85555381, 1.13130643, 2.20852145, 1.0),
            (-0.8556, 1.1313, 2.2085, 1.0),
            (1.0005, 2.0183),
        ),
        "bhagia2024-socialiqa": _ladder(
            "SocialIQA",
            (-0.598525715, 0.89380684, 7.16436262, 0.999467781),
            (-0.5985, 0.8938, 7.1644, 0.9995),
            (1.0747, 1.6866),
        ),
        "bhagia2024-openbookqa": _ladder(
            "OpenBookQA",
            (-0.790602024, 1.08129063, 4.30974368, 1.0),
            (-0.7906, 1.0813, 4.3097, 1.0),
            (1.3796, 2.1166),
        ),
    },
    checks=(
        # at the losses that step 1 predicts for 7B and 4T tokens, and for 13B and 5T
        Check("bhagia2024-mmlu", {"loss": 0.7869}, 0.4838, 5e-4, "bhagia2024"),
        Check("bhagia2024-mmlu", {"loss": 0.7502}, 0.5127, 5e-4, "bhagia2024"),
        Check("bhagia2024-hellaswag", {"loss": 0.6713}, 0.8252, 5e-4, "bhagia2024"),
        Check("bhagia2024-hellaswag", {"loss": 0.6532}, 0.8530, 5e-4, "bhagia2024"),
        Check("bhagia2024-csqa", {"loss": 0.7123}, 0.7571, 5e-4, "bhagia2024"),
        Check("bhagia2024-openbookqa", {"loss": 1.2848}, 0.4417, 5e-4, "bhagia2024"),
    ),
)

accuracy_direct = Law(
    id="accuracy-direct",
    topic="task performance",
    title="Accuracy straight from parameters and tokens",
    inputs=("N", "D"),
    output="score",
    params={
        "A": amplitude("what finite parameters add to -log(accuracy), at N = 1"),
        "alpha": exponent("how fast more parameters help"),
        "B": amplitude("what finite data add to -log(accuracy), at D = 1"),
        "beta": exponent("how fast more tokens help"),
    },
    formula=direct,
    starts=direct_starts,
    loss="squared",
    valid_for=("predict",),
    refuses={
        "compute-optimal": (
            "planners minimise a loss and this is a score. The split is that of chinchilla with the same A, alpha, B "
            "and beta and any floor: fit it to -log(accuracy)"
        ),
        "reach": "planners minimise a loss and this is a score; fit chinchilla to -log(accuracy)",
    },
    latex=r"\mathrm{acc}(N, D) = \exp\left( -\frac{A}{N^{\alpha}} - \frac{B}{D^{\beta}} \right)",
    meaning=(
        "The one-step rival of the ladder: minus the log of the accuracy is a power law in parameters plus one in "
        "tokens, without a loss in between and without a sigmoid. Chance level must be taken out first where it "
        "matters: (acc - chance) / (1 - chance)."
    ),
    traps=(
        "The limit is an accuracy of 1: tasks with wrong labels never get there.",
        "Near guessing the accuracy is flat and the law is not: leave those runs out, or take chance out.",
        "The constants of the paper were not found.",
    ),
    papers=("krajewski2025",),
)

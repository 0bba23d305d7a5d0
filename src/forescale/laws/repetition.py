# SPDX-License-Identifier: Apache-2.0
"""Data seen more than once: what repeats are worth (Muennighoff et al. 2023), where they hurt (Hernandez et al.)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import LawError, message
from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor
from forescale.laws._terms import power_term, saturating
from forescale.numerics.curves import best, regressions
from forescale.numerics.optimum import root

Array = NDArray[np.float64]

KEEP = 6
"""Starts that the grid hands to least squares."""


def matched(unique: Any, A: Any, alpha: Any, B: Any, beta: Any) -> Any:
    """N_opt(U) = G (U G)^(beta / alpha), G = (alpha A / (beta B))^(1 / (alpha + beta)).

    The parameters for which `unique` tokens, each seen once, are compute-optimal (Hoffmann et al. 2022, eq. 4).
    """
    return (alpha * A / (beta * B)) ** (1.0 / alpha) * unique ** (beta / alpha)


def loss(N: Any, D: Any, D_unique: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, R_N: Any, R_D: Any) -> Any:
    """L = E + A / N'^alpha + B / D'^beta, D' = U (1 + R_D (1 - e^((1 - D / U) / R_D))), N' likewise from U_N.

    Muennighoff et al. (2023). U = min(D, D_unique) different tokens, U_N = min(N, N_opt(U)): parameters beyond those
    that U tokens feed count ever less.
    """
    unique = np.minimum(D, D_unique)
    fed = np.minimum(N, matched(unique, A, alpha, B, beta))
    return E + A * saturating(fed, N, R_N) ** -alpha + B * saturating(unique, D, R_D) ** -beta


def starts(N: Array, D: Array, D_unique: Array, y: Array) -> dict[str, Array]:
    """For each (alpha, beta, R_D) of a grid E, A and B come from a regression; R_N from a few values."""
    alpha, beta, R_D = (
        grid.ravel()
        for grid in np.meshgrid(np.geomspace(0.1, 1.0, 9), np.geomspace(0.1, 1.0, 9), np.geomspace(1.0, 100.0, 5))
    )
    worth = saturating(D_unique, D, R_D[:, None])
    columns = np.stack([np.ones_like(worth), N ** -alpha[:, None], worth ** -beta[:, None]], axis=1)
    found, left = regressions(columns, y, y**-2.0)
    found = np.maximum(found, 1e-6 * np.median(y) / np.abs(columns).max(axis=2))
    predicted = (found[:, None, :] @ columns)[:, 0]
    left = (np.log(predicted / y) ** 2).sum(axis=1)
    chosen = best(left, np.log(np.stack([alpha, beta, R_D], axis=1)), KEEP, 0.3)
    kept = {"alpha": alpha[chosen], "beta": beta[chosen], "R_D": R_D[chosen]}
    kept |= {name: found[chosen, k] for k, name in enumerate(("E", "A", "B"))}
    several = {name: np.repeat(values, 3) for name, values in kept.items()}
    several["R_N"] = np.tile([3.0, 12.0, 50.0], chosen.size)
    return several


def band_edge(N: Any, k: Any, a: Any) -> Any:
    """epochs(N) = k N^-a: passes over the repeated part at one edge of the band (Hernandez et al. 2022)."""
    return power_term(N, k, a)


def effective_size(
    law: Law,
    params: Mapping[str, float],
    loss: ArrayLike,
    of: str = "N",
    *,
    within: tuple[float, float] = (1e3, 1e15),
    **held: ArrayLike,
) -> Array:
    """The size at which a law of undisturbed runs has the losses observed (Hernandez et al. 2022).

    With repeats in the data a run of N parameters has the loss of a smaller one trained on fresh tokens; N_eff / N is
    what the repeats left of it. With `of="D"` and N held, the fresh tokens that the repeated ones were worth.

    Args:
        law, params: fitted to runs without the disturbance.
        loss: (n,) observed losses.
        of: the input that is asked for.
        within: where it is looked for.
        held: the other inputs, (n,) or numbers.

    Returns:
        (n,), NaN where no size within the bounds has that loss.

    Raises:
        LawError: `of` is no input of the law, or other inputs are missing.
    """
    if of not in law.inputs or set(held) != set(law.inputs) - {of}:
        raise LawError(
            message(f"{of!r} was asked of {law.id!r} with {sorted(held)} held", f"all of {list(law.inputs)}")
        )
    target, *others = np.broadcast_arrays(np.atleast_1d(np.asarray(loss, dtype=np.float64)), *held.values())
    columns = {name: np.asarray(values, dtype=np.float64)[:, None] for name, values in zip(held, others)}
    low, high = (np.full(target.size, end) for end in within)
    return root(lambda x: law(params, **{of: x}, **columns), low, high, target=target).x


data_constrained = Law(
    id="data-constrained",
    topic="data",
    title="Parameters and repeated tokens, each worth less than the one before",
    inputs=("N", "D", "D_unique"),
    params={
        "E": floor("irreducible loss", start=(0.1, 5.0)),
        "A": amplitude("size of the penalty for finite parameters"),
        "alpha": exponent("how fast more parameters help"),
        "B": amplitude("size of the penalty for finite data"),
        "beta": exponent("how fast more fresh tokens help"),
        "R_N": amplitude(
            "how many times the matched parameters all excess parameters are worth at most", start=(0.3, 1e3)
        ),
        "R_D": amplitude("how many passes of fresh tokens all repetitions are worth at most", start=(0.3, 1e3)),
    },
    formula=loss,
    linear=("E",),
    decreasing_in=("D",),
    floor="E",
    starts=starts,
    valid_for=("predict",),
    refuses={
        "compute-optimal": (
            "the best number of passes depends on how many different tokens there are, which a budget does not say: "
            "minimise over N along 6 N D = C with D_unique held"
        ),
        "reach": "with D_unique held the loss ends at a level of its own, above the floor",
    },
    latex=(
        r"L(N, D, U) = E + \frac{A}{N'^{\alpha}} + \frac{B}{D'^{\beta}}, \quad "
        r"D' = U + U R_{D} \left( 1 - e^{-(D / U - 1) / R_{D}} \right), \quad "
        r"N' = U_{N} + U_{N} R_{N} \left( 1 - e^{-(N / U_{N} - 1) / R_{N}} \right), \quad "
        r"U_{N} = \min(N, N_{\mathrm{opt}}(U))"
    ),
    meaning=(
        "Chinchilla's loss in effective sizes. Tokens seen again are worth exp(-1 / R_D) of the pass before, so that "
        "endless repetition of U tokens is worth 1 + R_D passes of fresh ones; parameters beyond those for which U "
        "tokens are compute-optimal fade in the same way. One pass, and no more parameters than that, give "
        "chinchilla back. Use it when a budget asks for more tokens than there are."
    ),
    traps=(
        "It only flattens: where many passes make the loss rise, as they do for large models, it cannot follow. See "
        "repetition-band, and leave out runs that passed their minimum.",
        "R_N is hardly known, and R_D follows the base law: when E, A, B and the exponents come from other runs, "
        "what they miss goes into R_D and R_N.",
        "D_unique larger than D means that nothing was repeated: D different tokens are taken.",
        "At N = N_opt(U) the law changes its form, with a jump in its curvature: intervals near there are "
        "approximate.",
    ),
    papers=("muennighoff2023",),
    published={
        "muennighoff2023": Published(
            values={
                "E": math.exp(0.6254804),
                "A": math.exp(6.255414),
                "alpha": 0.3526596,
                "B": math.exp(7.3049974),
                "beta": 0.3526596,
                "R_N": 5.309743,
                "R_D": 15.387756,
            },
            printed={"R_N": 5.31, "R_D": 15.39},
            source="muennighoff2023",
            conventions={"D": "tokens", "C": "6ND", "loss": "nats/token"},
            fitted_range={"N": (7.1e6, 8.67e9), "D": (1e8, 9e11), "D_unique": (1e8, 1.78e11)},
            reproduced="no",
            note=(
                "C4, alpha and beta tied. E, A, B and alpha come from 54 points of Hoffmann's C4 figure and lie "
                "about 8 % off these runs; R_D and R_N were then fitted to 182 chosen runs, from starts up to 20. "
                "Our objective at the constants is theirs (.0158259); its optimum is .0158047 at R_D = 95.4, R_N = "
                "1.71: it is nearly flat in both. Which N was counted is not stated with the constants."
            ),
        ),
    },
    checks=(
        Check(
            "muennighoff2023",
            {"N": 6.34e9, "D": 242e9, "D_unique": 25e9},
            2.2256440889984477,
            1e-9,
            "muennighoff2023",
        ),
        Check(
            "muennighoff2023",
            {"N": 8.67e9, "D": 178e9, "D_unique": 25e9},
            2.2269634075087867,
            1e-9,
            "muennighoff2023",
        ),
    ),
)

_ABOUT = (
    "Runs of 1.5M to 800M parameters on 100B tokens, of which a share of 1 to 90 % repeats a small part; the line "
    "through the edges of the peaks."
)

repetition_band = Law(
    id="repetition-band",
    topic="data",
    title="Passes over repeated data at which a model of N parameters is hurt most",
    inputs=("N",),
    output="epochs",
    params={
        "k": amplitude("passes at one parameter", start=(1e4, 1e10)),
        "a": exponent("how much earlier larger models are hurt", start=(0.1, 1.5)),
    },
    formula=band_edge,
    linear=("k",),
    decreasing_in=("N",),
    valid_for=("predict",),
    refuses={
        "compute-optimal": "an edge in passes over the data; it has no loss and no compute",
        "reach": "it predicts passes, not a loss",
    },
    loss="log-squared",
    latex=r"\mathrm{epochs}(N) = k \, N^{-a}",
    meaning=(
        "When a part of the training data is seen again and again, the test loss has a peak in the number of passes: "
        "few do no harm; for very many the part must be small, and little is lost to it; between two edges it is "
        "learnt by heart at the cost of all else. Each edge is a power law in N: the published sets "
        "hernandez2022-left and hernandez2022-right. Keep the passes below the left edge."
    ),
    traps=(
        "Two laws of one form: the left edge, where harm begins, and the right edge, where it ends.",
        "Passes over the repeated part, not over the whole corpus.",
        "The depth of the peak is not given: it grows with the share of repeated tokens.",
    ),
    papers=("hernandez2022",),
    published={
        "hernandez2022-left": Published(
            values={"k": 4.2e6, "a": 0.56},
            source="hernandez2022",
            fitted_range={"N": (1.5e6, 8e8)},
            note=_ABOUT + " Where harm begins.",
        ),
        "hernandez2022-right": Published(
            values={"k": 5.1e7, "a": 0.50},
            source="hernandez2022",
            fitted_range={"N": (1.5e6, 8e8)},
            note=_ABOUT + " Where it ends.",
        ),
    },
    checks=(
        Check("hernandez2022-left", {"N": 8e8}, 43.40, 0.0434, "hernandez2022"),
        Check("hernandez2022-right", {"N": 8e8}, 1803.1, 1.8031, "hernandez2022"),
        Check("hernandez2022-left", {"N": 1e11}, 2.91, 0.005, "hernandez2022"),
        Check("hernandez2022-right", {"N": 1e11}, 161.0, 0.5, "hernandez2022"),
    ),
)

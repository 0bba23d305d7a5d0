# SPDX-License-Identifier: Apache-2.0
"""Continual pre-training on a domain: loss over size, tokens and share (Que et al. 2024; Gu et al. 2024).

`d-cpt` describes one domain, `d-cpt-cross` several through two measurements of the untrained model, `critical-share`
the largest share that spares the general loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import QueryError, message
from forescale.laws._law import Check, Law, Published, amplitude, exponent, floor, location, real
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

_ALPHAS = (0.1, 0.3, 0.7)
_BETAS = (0.15, 0.4, 0.8)
_ETAS = (0.1, 0.4, 1.0)
_SHIFTS = (0.02, 0.1, 0.4)
_GAMMAS = (0.1, 0.5, 1.5)
"""Grids of the starts. Every point costs one small regression."""


def domain_loss(
    N: Any,
    D: Any,
    share: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    eta: Any,
    beta: Any,
    C: Any,
    epsilon: Any,
    gamma: Any,
) -> Any:
    """L(N, D, r) = E + A / N^alpha + B r^eta / D^beta + C / (r + epsilon)^gamma (Que et al. 2024)."""
    return E + A * N**-alpha + B * share**eta * D**-beta + C * (share + epsilon) ** -gamma


def cross_domain_loss(
    N: Any,
    D: Any,
    share: Any,
    loss_before: Any,
    loss_slope_initial: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    eta: Any,
    beta: Any,
    C: Any,
    epsilon: Any,
    gamma: Any,
    w1: Any,
    w2: Any,
    mu: Any,
) -> Any:
    """L = d-cpt + K^-mu, K = w1 / k1 + w2 k2, k1 the loss before and k2 its first decline (Que et al. 2024).

    The paper's F / K^mu: F only sets the scale of K and is one here.
    """
    learnable = w1 / loss_before + w2 * loss_slope_initial
    return domain_loss(N, D, share, E, A, alpha, B, eta, beta, C, epsilon, gamma) + learnable**-mu


def critical(D: Any, a: Any, s: Any, b: Any) -> Any:
    """r*(T) = a T^s + b (Gu et al. 2024)."""
    return a * D**s + b


def shape(params: Mapping[str, float], N: ArrayLike, D: ArrayLike, share: ArrayLike) -> dict[str, NDArray[np.bool_]]:
    """Whether a fitted d-cpt has the shape that the paper asks for, at points (n,).

    Returns:
        "falls in N", "falls in D", "falls in share": signs of the first derivatives; "share and D": the mixed second
        derivative is negative, so that more tokens help more at a larger share.
    """
    size, tokens, r = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (N, D, share)))
    p = params
    of_tokens = p["B"] * r ** p["eta"] * tokens ** -p["beta"]
    falls = p["gamma"] * p["C"] * (r + p["epsilon"]) ** (-p["gamma"] - 1.0)
    return {
        "falls in N": p["alpha"] * p["A"] * size ** -p["alpha"] > 0.0,
        "falls in D": p["beta"] * of_tokens > 0.0,
        "falls in share": p["eta"] * of_tokens / r < falls,
        "share and D": p["eta"] * p["beta"] * of_tokens / r / tokens > 0.0,
    }


def share_within(share: ArrayLike, general_loss: ArrayLike, limit: float) -> float:
    """The largest share of a domain whose general loss keeps to a limit, by linear interpolation between runs.

    Args:
        share: (n,) shares of the domain; general_loss: (n,) loss on general text, which rises with it.
        limit: e.g. (1 + tolerance) times the loss before.

    Raises:
        QueryError: the general loss does not rise with the share, or the limit lies outside of what was measured.
    """
    r, loss = (np.asarray(x, dtype=np.float64) for x in (share, general_loss))
    order = np.argsort(r, kind="stable")
    r, loss = r[order], loss[order]
    if r.size < 2 or (np.diff(loss) <= 0).any():
        raise QueryError(
            message("the general loss does not rise with the share of the domain", "two or more rising runs")
        )
    if not loss[0] <= limit <= loss[-1]:
        raise QueryError(
            message(f"a limit of {limit:.6g}", f"a loss between {loss[0]:.6g} and {loss[-1]:.6g}, where runs exist")
        )
    return float(np.interp(limit, loss, r))


def _columns(N: Array, D: Array, share: Array, grid: Array) -> tuple[Array, tuple[float, float]]:
    """(m, 4, n) columns that E, A, B and C multiply, with N and D over their geometric means, and those."""
    at = float(np.exp(np.log(N).mean())), float(np.exp(np.log(D).mean()))
    alpha, beta, eta, epsilon, gamma = (grid[:, j, None] for j in range(5))
    parts = (
        np.broadcast_to(np.ones_like(N), (grid.shape[0], N.size)),
        (N / at[0]) ** -alpha,
        share**eta * (D / at[1]) ** -beta,
        (share + epsilon) ** -gamma,
    )
    return np.stack(parts, axis=1), at


def starts(N: Array, D: Array, share: Array, y: Array) -> dict[str, Array]:
    """For each of a grid of the five shapes the rest is a regression; of those the best few that lie apart."""
    grid = np.array(list(product(_ALPHAS, _BETAS, _ETAS, _SHIFTS, _GAMMAS)))
    columns, at = _columns(N, D, share, grid)
    found, left = regressions(columns, y, 1.0 / y**2)
    # Sizes of terms may not be negative: a small one stands for zero, and the rest is regressed again.
    sizes = np.maximum(found, 1e-3 * float(y.min()))
    with np.errstate(all="ignore"):
        left = np.where((found > 0).all(axis=1), left, 100.0 * left)
    chosen = best(left, np.log(grid), 6, 0.9)
    E, A, B, C = sizes[chosen].T
    alpha, beta, eta, epsilon, gamma = grid[chosen].T
    return {
        "E": E, "A": A * at[0] ** alpha, "alpha": alpha, "B": B * at[1] ** beta, "eta": eta, "beta": beta,
        "C": C, "epsilon": epsilon, "gamma": gamma,
    }  # fmt: skip


def cross_starts(N: Array, D: Array, share: Array, before: Array, slope: Array, y: Array) -> dict[str, Array]:
    """d-cpt and a plane in 1 / k1 and k2; then the power of that plane, given a floor."""
    grid = np.array(list(product(_ALPHAS, _BETAS, _ETAS, _SHIFTS[1:], _GAMMAS[1:])))
    columns, at = _columns(N, D, share, grid)
    plane = np.stack([1.0 / before, slope])
    plane = np.concatenate([plane, plane**2, plane[:1] * plane[1:]])
    table = np.concatenate([columns, np.broadcast_to(plane, (len(grid), *plane.shape))], axis=1)
    found, left = regressions(table, y, 1.0 / y**2)
    left = np.where((found[:, 1:4] > 0).all(axis=1), left, 100.0 * left)
    pieces: list[dict[str, float]] = []
    for i in best(left, np.log(grid), 3, 0.9):
        sizes = np.maximum(found[i, 1:4], 1e-3 * float(y.min()))
        rest = np.maximum(y - sizes @ columns[i, 1:], 0.02 * y)
        for kept in (0.2, 0.6, 0.9):
            E = kept * float(rest.min())
            for mu in (0.5, 1.0, 2.0):
                over = rest - E
                target = over ** (-1.0 / mu)
                weight = (over / target) ** 2
                w = regressions(np.stack([1.0 / before, slope])[None], target, weight)[0][0]
                w = np.maximum(w, 0.02 * np.abs(w).max())
                miss = float((((w[0] / before + w[1] * slope) ** -mu - over) ** 2).sum())
                alpha, beta, eta, epsilon, gamma = grid[i]
                pieces.append({
                    "E": E, "A": sizes[0] * at[0] ** alpha, "alpha": alpha, "B": sizes[1] * at[1] ** beta, "eta": eta,
                    "beta": beta, "C": sizes[2], "epsilon": epsilon, "gamma": gamma, "w1": w[0], "w2": w[1], "mu": mu,
                    "miss": miss,
                })  # fmt: skip
    pieces = sorted(pieces, key=lambda piece: piece["miss"])[:8]
    return {name: np.array([piece[name] for piece in pieces]) for name in pieces[0] if name != "miss"}


_PARAMS = {
    "E": floor("loss that neither size, nor tokens, nor the share brings down", start=(0.1, 3.0)),
    "A": amplitude("size of the penalty for finite parameters"),
    "alpha": exponent("how fast more parameters help", start=(0.1, 0.8)),
    "B": amplitude("size of the penalty for finite tokens, at a share of one"),
    "eta": exponent("how the penalty for finite tokens grows with the share", start=(0.1, 1.5)),
    "beta": exponent("how fast more tokens help", start=(0.1, 0.8)),
    "C": amplitude("size of the penalty for a small share", start=(0.05, 3.0)),
    "epsilon": location("share below which less of the domain hardly hurts more", start=(0.02, 0.6)),
    "gamma": exponent("how fast a larger share helps", start=(0.1, 1.5)),
}
_REFUSES = {
    "compute-optimal": "at a fixed share this is chinchilla with B r^eta in place of B: fix the share and ask that",
    "reach": "the loss falls in the share too; ask for the share at which the general loss keeps to a limit",
}
_TRAPS = (
    "epsilon and gamma trade off, and so do E and C: compare predictions, not these.",
    "Rows without the domain (share 0) need epsilon, and runs at two or more small shares to know it.",
    "D counts all tokens of continual training, not those of the domain.",
    "The general loss is a function of what is left, 1 - share: near a share of one its share goes to zero, where "
    "the law rises steeply and no run tells how steeply.",
    "Checkpoints along a cosine schedule are no runs that ended there.",
    "That the loss falls in the share is asked of the data, not built in: test it with `shape` of laws/continual.py.",
    "Constants per domain were not found; the published tables of usage alone are tested.",
)

d_cpt = Law(
    id="d-cpt",
    topic="mixtures",
    title="Continual pre-training: size, tokens and the domain's share",
    inputs=("N", "D", "share"),
    params=_PARAMS,
    formula=domain_loss,
    linear=("E", "A", "B", "C"),
    decreasing_in=("N", "D"),
    starts=starts,
    domain={"N": (3e8, 1e10), "D": (1e9, 1e11), "share": (0.05, 1.0)},
    absolute=("share",),
    valid_for=("predict",),
    refuses=_REFUSES,
    latex=(
        r"L(N, D, r) = E + \frac{A}{N^{\alpha}} + \frac{B \, r^{\eta}}{D^{\beta}} "
        r"+ \frac{C}{(r + \epsilon)^{\gamma}}"
    ),
    meaning=(
        "A model that is trained further on a mixture of a domain (share r) and general text: the loss on the domain "
        "over size, tokens and share. The same form, with r the general share, describes the general loss that is "
        "lost meanwhile; the two together say how much of the domain a tolerated loss allows. At a fixed share it is "
        "chinchilla."
    ),
    traps=_TRAPS,
    papers=("que2024",),
)

d_cpt_cross = Law(
    id="d-cpt-cross",
    topic="mixtures",
    title="Continual pre-training across domains, through how a domain begins",
    inputs=("N", "D", "share", "loss_before", "loss_slope_initial"),
    params={
        **_PARAMS,
        "w1": amplitude("weight of a low loss before training in how learnable a domain is", start=(0.5, 5.0)),
        "w2": amplitude("weight of a fast first decline in how learnable a domain is", start=(0.5, 5.0)),
        "mu": exponent("how much a domain's loss depends on how learnable it is", start=(0.3, 2.0)),
    },
    formula=cross_domain_loss,
    linear=("E", "A", "B", "C"),
    decreasing_in=("N", "D", "loss_slope_initial"),
    starts=cross_starts,
    domain={
        "N": (3e8, 1e10),
        "D": (1e9, 1e11),
        "share": (0.05, 1.0),
        "loss_before": (0.8, 3.5),
        "loss_slope_initial": (0.05, 1.0),
    },
    absolute=("share",),
    valid_for=("predict",),
    refuses=_REFUSES,
    latex=(
        r"L = E + \frac{A}{N^{\alpha}} + \frac{B \, r^{\eta}}{D^{\beta}} + \frac{C}{(r + \epsilon)^{\gamma}} "
        r"+ \left( \frac{w_{1}}{k_1} + w_{2} k_2 \right)^{-\mu}"
    ),
    meaning=(
        "One law for several domains. A domain enters by how learnable it is, K = w1 / k1 + w2 k2 from its loss "
        "before training (k1) and the first decline of it (k2), so that a new domain needs only a short run."
    ),
    traps=(
        "The paper's factor F of K^-mu and the scale of w1 and w2 say the same; F is one here.",
        "The unit of k2 (per how many steps) is part of w2: measure it alike in all domains.",
        *_TRAPS,
    ),
    papers=("que2024",),
)

critical_share = Law(
    id="critical-share",
    topic="mixtures",
    title="Largest share of a domain that spares the general loss",
    inputs=("D",),
    output="share",
    params={
        "a": amplitude("how large the share is that the first tokens allow"),
        "s": exponent("how fast more tokens allow a larger share", start=(0.05, 1.0)),
        "b": real("share at no tokens; below zero, so that short training allows none", start=(-1.0, 0.2)),
    },
    formula=critical,
    linear=("a", "b"),
    domain={"D": (25.0, 400.0)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": "it says what share to take, not what model",
        "reach": "it predicts a share, not a loss",
    },
    loss="squared",
    latex=r"r^{*}(T) = a \, T^{s} + b",
    meaning=(
        "The critical mixture ratio: the largest share of the domain in continual training of T tokens at which the "
        "general loss ends no higher than a tolerance above where it began. Longer training allows more. One set of "
        "constants per model size."
    ),
    traps=(
        "Below zero it means that no share of the domain is harmless at so few tokens; above one it means nothing.",
        "The unit of T is part of a and not stated with the constants.",
    ),
    papers=("gu2024",),
    published={
        "gu2024-460m": Published(
            values={"a": 0.22524761, "s": 0.26944345, "b": -0.48139982},
            source="gu2024",
            note=(
                "A model of 460M parameters. The unit of T was not found with the constants; in it the share is zero "
                "at T = 16.8 and one at 1,086."
            ),
        ),
    },
    checks=(Check("gu2024-460m", {"D": 100.0}, 0.2976, 1e-4, "gu2024"),),
)

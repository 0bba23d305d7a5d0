# SPDX-License-Identifier: Apache-2.0
"""Loss over the weights of a training mixture (Ye et al. 2024): exponential in the shares of the domains.

A family: `mixing-exponential(arxiv, book, c4)` reads one weight per domain from the columns so named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import LawError, message
from forescale.laws._family import Family
from forescale.laws._law import Law, amplitude, floor, symbol
from forescale.laws._terms import domain_names
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

_FLOORS = (1e-3, 0.3, 0.5, 0.65, 0.75, 0.82, 0.88, 0.92, 0.95, 0.97, 0.985, 0.995)
"""Floors of the starts, as shares of the least loss."""


@dataclass(frozen=True)
class Mixing:
    """L(r) = c + prod_j K_j^r_j, r_j = w_j / sum w (Ye et al. 2024).

    The paper writes c + k exp(sum_j t_j r_j): K_j = k exp(t_j).
    """

    weights: tuple[str, ...]
    excess: tuple[str, ...]

    def __call__(self, c: Any, **values: Any) -> Any:
        total: Any = 0.0
        exponent: Any = 0.0
        for weight, excess in zip(self.weights, self.excess):
            total = total + values[weight]
            exponent = exponent + values[weight] * np.log(values[excess])
        return c + np.exp(exponent / total)


@dataclass(frozen=True)
class Starts:
    """Given the floor c, log(L - c) is linear in the shares, without a constant: they sum to one."""

    excess: tuple[str, ...]

    def __call__(self, *columns: Array) -> dict[str, Array]:
        *weights, y = columns
        shares = np.stack(weights) / np.sum(weights, axis=0)
        c = float(y.min()) * np.array(_FLOORS)
        over = y - c[:, None]
        repeated = np.broadcast_to(shares, (c.size, *shares.shape))
        # errors of log y, not of the logarithm of the excess
        found, left = regressions(repeated, np.log(over), (over / y) ** 2)
        chosen = best(left, np.log(y.min() - c)[:, None], 3, 0.3)
        with np.errstate(over="ignore", under="ignore"):
            K = np.exp(found[chosen])
        return {"c": c[chosen], **{name: K[:, j] for j, name in enumerate(self.excess)}}


def from_paper(k: Any, t: Any) -> Any:
    """K_j = k exp(t_j), shape of t: the paper's k and t, which data on the simplex tell only up to a shift of t."""
    return k * np.exp(np.asarray(t, dtype=np.float64))


def make(columns: tuple[str, ...]) -> Law:
    """The law of one weight per column. Raises LawError for fewer than two, and for names that clash."""
    if len(columns) < 2:
        raise LawError(message(f"a mixture of {list(columns)}", "two domains or more"))
    excess = domain_names("K", columns)
    powers = r" \, ".join(f"{symbol(k)}^{{r_{{{i}}}}}" for i, k in enumerate(excess, start=1))
    shares = ", ".join(symbol(name) for name in columns)
    return Law(
        id=f"mixing-exponential({', '.join(columns)})",
        topic="mixtures",
        title=f"Loss over the weights of {len(columns)} domains, exponential in the shares",
        inputs=columns,
        params={
            "c": floor("loss that no mixture of these domains goes below"),
            **{
                name: amplitude(
                    f"loss above c of a model trained on {column} alone",
                    # Equal ones would make every mixture equal, and c unknown: the boxes stand apart.
                    start=(0.05 * 2.0 ** (i % 4), 2.5 * 2.0 ** (i % 4)),
                )
                for i, (name, column) in enumerate(zip(excess, columns))
            },
        },
        formula=Mixing(columns, excess),
        linear=("c",),
        starts=Starts(excess),
        domain=dict.fromkeys(columns, (0.02, 1.0)),
        absolute=columns,
        valid_for=("predict",),
        refuses={
            "compute-optimal": "the weights of a mixture at one size and one number of tokens; see mixture-joint",
            "reach": "a mixture is chosen, not grown: no budget makes it better",
        },
        latex=rf"L(r) = c + {powers}, \quad r \propto ({shares})",
        meaning=(
            "The loss on one validation domain over the shares of the training domains: what is above c is the "
            "geometric mean of what single-domain models would have, weighted by the shares. So its logarithm is "
            "linear in the shares, and a domain helps by how small its K is. One law per validation domain, at one "
            "model size and one number of tokens; the loss on a mixed validation set is the weighted sum of several."
        ),
        traps=(
            "The shares sum to one, so of the paper's k and t_1 ... t_M one is redundant: adding a constant to all t "
            "and dividing k by its exponential changes nothing. Here k is absorbed, K_j = k exp(t_j), and all M + 1 "
            "parameters are determined.",
            "Weights are divided by their sum: rounding of a table does no harm, but a domain that is left out does.",
            "c is known only when the shares vary enough to bend log(L - c); it trades off with all K.",
            "K of a domain that is rare in all mixtures is an extrapolation to training on that domain alone.",
            "The best mixture at a small size is not the best at a large one: carry each mixture's loss to the large "
            "size first (laws in N and D), then fit the weights.",
        ),
        papers=("ye2024",),
    )


mixing_exponential = Family(
    id="mixing-exponential",
    title="Loss over the weights of a training mixture, exponential in the shares",
    make=make,
    example=("arxiv", "book", "c4"),
)

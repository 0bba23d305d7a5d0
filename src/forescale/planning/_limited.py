# SPDX-License-Identifier: Apache-2.0
"""The best split of a budget when tokens repeat (Muennighoff et al. 2023), for many parameter vectors at once.

Along 6 N D = C two pulls balance: -dL / d log N = g_N and -dL / d log D = g_D. With D' and N' of the law, for
D >= U and N >= U_N,

    g_D = beta B D'^-beta (D / D') e^(-(D / U - 1) / R_D),   g_N likewise with alpha, A, N, U_N and R_N.

Both fall strictly, g_D in D and g_N in N, for every positive R (with x = 1 + R y passes this is
(1 - 1/R - y) / (1 + R y) <= e^-y / (1 + R (1 - e^-y))). At D = U, where the compute-optimal split would want more
than U tokens, g_D is the larger. So there is exactly one balance, beyond one pass, and a bracketed root finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import RefusedError, message
from forescale.laws import Law
from forescale.laws._terms import saturating
from forescale.laws.chinchilla import frontier
from forescale.laws.repetition import loss, matched
from forescale.numerics.optimum import root
from forescale.planning._plan import Grounds

Array = NDArray[np.float64]

LAW = "data-constrained"

_MOST_PASSES = 1e9
"""No balance is looked for beyond: the worth of a pass is zero to rounding long before."""


@dataclass(frozen=True)
class Version:
    """A version of the corpus: its unique tokens, and how many tokens of the corpus of the fit each is worth."""

    name: str
    unique: float
    quality: float = 1.0


@dataclass(frozen=True, eq=False)
class Repeated:
    """The law `data-constrained` with B parameter vectors, (B,) each."""

    E: Array
    A: Array
    alpha: Array
    B: Array
    beta: Array
    R_N: Array
    R_D: Array

    @staticmethod
    def of(grounds: Grounds, part: str) -> Repeated:
        """The law of a part, some of its parameters fixed or tied or none.

        Raises:
            RefusedError: another law in N, D and D_unique.
        """
        law = grounds.law(part)
        held = {name: grounds.param(part, name) for name in law.params}
        values = _undone(law, held, grounds.rows)
        if set(values) != set(Repeated.__annotations__):
            raise RefusedError(
                message(
                    f"the law {law.id!r} has not the parameters of {LAW!r}, in which this plan balances sizes and "
                    "passes",
                    f"a fit of {LAW}, with its parameters free, fixed or tied",
                    f"--law {LAW}",
                )
            )
        return Repeated(**values)

    def estimate(self, copies: int = 1) -> Repeated:
        """The estimate, as many times as there are cases to solve at once."""
        return Repeated(*(np.repeat(value[:1], copies) for value in vars(self).values()))

    def loss(self, N: Array | float, D: Array | float, U: Array | float) -> Array:
        """(B,) or (B, k) at sizes, tokens and unique tokens of matching shapes."""
        n, d, u = (np.asarray(x, dtype=np.float64) for x in (N, D, U))
        wide = max(n.ndim, d.ndim, u.ndim) == 2
        params = {name: value[:, None] if wide else value for name, value in vars(self).items()}
        return np.asarray(loss(n, d, u, **params))

    def fresh(self, C: Array | float) -> tuple[Array, Array]:
        """(B,) N and D of the compute-optimal split where no token repeats, in closed form."""
        found = frontier(np.asarray(C, dtype=np.float64), self.E, self.A, self.alpha, self.B, self.beta)
        return found["N"], found["D"]

    def fed(self, U: Array | float) -> Array:
        """(B,) parameters for which U tokens, each seen once, are compute-optimal."""
        return np.asarray(matched(U, self.A, self.alpha, self.B, self.beta))

    def wanted(self, N: Array | float) -> Array:
        """(B,) tokens, each seen once, for which N parameters are compute-optimal."""
        return np.asarray(
            (N * (self.beta * self.B / (self.alpha * self.A)) ** (1 / self.alpha)) ** (self.alpha / self.beta)
        )

    def worth(self, N: Array | float, D: Array | float, U: Array | float) -> tuple[Array, Array]:
        """(B,) effective parameters N' and tokens D'."""
        unique = np.minimum(U, D)
        return (
            np.asarray(saturating(np.minimum(N, self.fed(unique)), N, self.R_N)),
            np.asarray(saturating(unique, D, self.R_D)),
        )

    def pulls(self, N: Array | float, D: Array | float, U: Array | float) -> tuple[Array, Array]:
        """(B,) g_N and g_D, for D >= U."""
        n, d = self.worth(N, D, U)
        fed = np.minimum(N, self.fed(U))
        slow_n = np.exp(-(N / fed - 1.0) / self.R_N)
        slow_d = np.exp(-(D / U - 1.0) / self.R_D)
        return (
            np.asarray(self.alpha * self.A * n**-self.alpha * (N / n) * slow_n),
            np.asarray(self.beta * self.B * d**-self.beta * (D / d) * slow_d),
        )

    def on(self, version: Version) -> Repeated:
        """The law in tokens of a version: each counts as q of the corpus of the fit, so that B becomes B q^-beta."""
        return self if version.quality == 1.0 else replace(self, B=self.B * version.quality**-self.beta)

    def allocated(self, C: Array | float, U: Array | float, rtol: float = 1e-12) -> tuple[Array, Array]:
        """(B,) the best N and D for a budget on U unique tokens, to `rtol`; NaN where there is none."""
        N, D = self.fresh(C)
        held = self._balance(lambda tokens: (C / (6.0 * tokens), tokens), D, U, rtol)
        D = np.where(D <= U, D, held)
        return np.where(held == D, C / (6.0 * D), N), D

    def fitting(self, N: Array | float, U: Array | float) -> Array:
        """(B,) tokens at which N parameters are the best size for the compute that they take, on U unique tokens."""
        D = self.wanted(N)
        held = self._balance(lambda tokens: (np.broadcast_to(N, tokens.shape), tokens), D, U)
        return np.where(D <= U, D, held)

    def _balance(
        self,
        path: Callable[[Array], tuple[Array, Array]],
        fresh: Array,
        U: Array | float,
        rtol: float = 1e-12,
    ) -> Array:
        if np.all(fresh <= U):
            return np.full_like(fresh, np.nan)

        def excess(tokens: Array) -> Array:
            N, D = path(tokens[:, 0])
            g_N, g_D = self.pulls(N, D, U)
            return np.asarray((g_N - g_D)[:, None])

        low = np.broadcast_to(np.where(np.isfinite(U), U, 1.0), fresh.shape)
        return root(excess, low, _MOST_PASSES * low, rtol=rtol).x

    def best(self, C: Array | float, U: Array | float) -> Array:
        """(B,) least loss of a budget on U unique tokens, to 1e-12: it is flat in the split."""
        N, D = self.allocated(C, U, 1e-7)
        return self.loss(N, D, U)

    def compute_on(self, U: float, loss: Array, near: float) -> Array:
        """(k,) budgets whose best plans on U unique tokens have these losses, to 1e-4; infinite where none has.

        For the estimate alone: a table of budgets within a factor of 1e6 of `near`, read backwards.
        """
        budgets = near * np.geomspace(1e-6, 1e6, 2001)  # `near` is one of them
        least = self.estimate(budgets.size).best(budgets, U)
        found = np.interp(-loss, -least, np.log(budgets))
        return np.where((loss > least[-1]) & (loss < least[0]), np.exp(found), np.inf)

    def compute_for(self, loss: Array) -> Array:
        """(B,) compute of an optimal run on fresh tokens with that loss; infinite at or below the floor."""
        gamma = self.alpha * self.beta / (self.alpha + self.beta)
        N, D = self.fresh(1.0)
        scale = self.A * N**-self.alpha + self.B * D**-self.beta
        over = loss - self.E
        return np.where(over > 0, (np.maximum(over, 0.0) / scale) ** (-1.0 / gamma), np.inf)


def _undone(law: Law, held: dict[str, Array], rows: int) -> dict[str, Array]:
    """(B,) parameters of the law that `law` was made of by fixing and tying; none where it was made otherwise."""
    (_, base), *steps = law.recipe or (("law", law),)
    if not isinstance(base, Law) or base.id != LAW or any(step not in ("fix", "tie") for step, _ in steps):
        return {}
    found = dict(held)
    for step, what in reversed(steps):
        found |= {name: np.full(rows, other) if step == "fix" else found[other] for name, other in what.items()}
    return found

# SPDX-License-Identifier: Apache-2.0
"""Loss in size, tokens and the weights of the training mixture together (Shukor et al. 2025).

Two families: `mixture-additive(N, D, arxiv, book, ...)` moves a law in N and D up and down with the mixture;
`mixture-joint(N, D, arxiv, book, ...)` lets the two penalties depend on the mixture as well. The first two columns
are size and tokens, the others one weight per domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import LawError, message
from forescale.laws._family import Family
from forescale.laws._law import Law, Parameter, amplitude, exponent, floor, symbol
from forescale.laws._terms import domain_names, shares_of
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

TINY = 1e-300
"""Stands for a share of zero in logarithms; its power counts as zero."""

_EXPONENTS = (0.1, 0.25, 0.5)
_POWERS = (0.15, 0.4, 0.8)
_FLOORS = (0.05, 0.4, 0.7, 0.9)
"""Grids of the starts: alpha and beta, gamma, and E as a share of what neither N nor D explains."""


@dataclass(frozen=True)
class Mixed:
    """L = E + 1 / sum_i C_i h_i^gamma_i + A^h / N^alpha + B^h / D^beta, h_i = w_i / sum w (Shukor et al. 2025).

    Additive: A^h = A and B^h = B. Joint: A^h = sum_i A_i h_i and B^h = sum_i B_i h_i, the mean over the mixture.
    """

    columns: tuple[str, ...]
    joint: bool

    def __call__(self, E: Any, alpha: Any, beta: Any, **values: Any) -> Any:
        size, tokens, *domains = self.columns
        h = shares_of([values[name] for name in domains])
        names = {head: domain_names(head, tuple(domains)) for head in ("C", "gamma", "A", "B")}
        use = _summed([values[c] * _power(x, values[g]) for c, g, x in zip(names["C"], names["gamma"], h)])
        if self.joint:
            A, B = (_summed([values[n] * x for n, x in zip(names[head], h)]) for head in ("A", "B"))
        else:
            A, B = values["A"], values["B"]
        return E + 1.0 / use + A * values[size] ** -alpha + B * values[tokens] ** -beta


def _power(h: Any, gamma: Any) -> Any:
    """h^gamma, with 0^gamma = 0 and a derivative there."""
    return np.where(h > 0, np.exp(gamma * np.log(np.maximum(h, TINY))), 0.0)


def _summed(terms: list[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


@dataclass(frozen=True)
class Starts:
    """Regressions: first on powers of N and D and the shares; then 1 / (what is left - E) on powers of the shares."""

    columns: tuple[str, ...]
    joint: bool

    def __call__(self, *columns: Array) -> dict[str, Array]:
        N, D, *weights, y = columns
        h = np.stack(shares_of(list(weights)))
        pairs = np.array([(a, b) for a in _EXPONENTS for b in _EXPONENTS])
        N_0, D_0 = float(np.exp(np.log(N).mean())), float(np.exp(np.log(D).mean()))
        small, short = ((x / x_0) ** -e[:, None] for x, x_0, e in ((N, N_0, pairs[:, 0]), (D, D_0, pairs[:, 1])))
        # The shares sum to one and stand for the constant; their squares, because they are seldom linear.
        mixture = np.concatenate([h, h * h])
        table = np.concatenate(
            [small[:, None], short[:, None], np.broadcast_to(mixture, (len(pairs), *mixture.shape))], axis=1
        )
        found, left = regressions(table, y, 1.0 / y**2)
        left = np.where((found[:, :2] > 0).all(axis=1), left, np.inf)
        order = best(left, pairs, 2, 0.01)
        if order.size == 0:
            order = np.array([int(np.argmin(np.where(np.isfinite(left), left, np.inf)))])
        starts = [
            self._completed(h, y, pairs[i], np.maximum(found[i, :2], 1e-3 * y.min()), small[i], short[i], (N_0, D_0))
            for i in order
        ]
        return {name: np.concatenate([one[name] for one in starts]) for name in starts[0]}

    def _completed(
        self, h: Array, y: Array, pair: Array, sizes: Array, small: Array, short: Array, at: tuple[float, float]
    ) -> dict[str, Array]:
        domains = self.columns[2:]
        rest = y - sizes[0] * small - sizes[1] * short
        rest = np.maximum(rest, 0.05 * y)
        grid = [(share * float(rest.min()), gamma) for share in _FLOORS for gamma in _POWERS]
        E, gamma = np.array(grid).T
        over = rest - E[:, None]
        powers = np.maximum(h, TINY) ** gamma[:, None, None]
        # 1 / over is linear in C; errors of `over` are over^2 times as large
        found, left = regressions(powers, 1.0 / over, over**4)
        C = np.maximum(found, 0.02 * np.abs(found).max(axis=1, keepdims=True))
        over_again = 1.0 / (C[:, :, None] * powers).sum(axis=1)
        left = ((over_again - over) ** 2).sum(axis=1)
        chosen = best(left, np.stack([E / y.min(), gamma], axis=1), 2, 0.1)
        m = chosen.size
        out = {"E": E[chosen], "alpha": np.full(m, pair[0]), "beta": np.full(m, pair[1])}
        for i, (c, g) in enumerate(zip(domain_names("C", domains), domain_names("gamma", domains))):
            out[c], out[g] = C[chosen, i], gamma[chosen]
        penalties = {"A": sizes[0] * at[0] ** pair[0], "B": sizes[1] * at[1] ** pair[1]}
        for head, value in penalties.items():
            for name in domain_names(head, domains) if self.joint else (head,):
                out[name] = np.full(m, value)
        return out


def _make(columns: tuple[str, ...], joint: bool) -> Law:
    if len(columns) < 4:
        raise LawError(
            message(f"a mixture over {list(columns)}", "size, tokens and the weights of two domains or more")
        )
    size, tokens, *rest = columns
    domains = tuple(rest)
    kind = "mixture-joint" if joint else "mixture-additive"
    params: dict[str, Parameter] = {"E": floor("loss left by an endless model on endless data of the best mixture")}
    for i, (name, domain) in enumerate(zip(domain_names("C", domains), domains)):
        low = 0.3 * 3.0 ** (i % 3)
        params[name] = amplitude(f"how much {domain} lowers the loss that the mixture leaves", start=(low, 10 * low))
    for name, domain in zip(domain_names("gamma", domains), domains):
        params[name] = exponent(f"how soon a little of {domain} is enough", start=(0.1, 1.0))
    penalty = {"A": "penalty for finite size", "B": "penalty for finite data"}
    for head, power, column in (("A", "alpha", size), ("B", "beta", tokens)):
        if joint:
            for i, (name, domain) in enumerate(zip(domain_names(head, domains), domains)):
                params[name] = amplitude(
                    f"{penalty[head]} when trained on {domain} alone", start=(30.0 * 2**i, 300.0 * 2**i)
                )
        else:
            params[head] = amplitude(f"{penalty[head]}, for every mixture", start=(50.0, 500.0))
        params[power] = exponent(f"how fast more of {column} helps", start=(0.15, 0.6))
    mixture = " + ".join(
        f"{symbol(c)} h_{{{i}}}^{{{symbol(g)}}}"
        for i, (c, g) in enumerate(zip(domain_names("C", domains), domain_names("gamma", domains)), start=1)
    )

    def mean(head: str) -> str:
        terms = [f"{symbol(name)} h_{{{i}}}" for i, name in enumerate(domain_names(head, domains), start=1)]
        return " + ".join(terms) if joint else head

    linear = (
        "E",
        *(domain_names("A", domains) if joint else ("A",)),
        *(domain_names("B", domains) if joint else ("B",)),
    )
    return Law(
        id=f"{kind}({', '.join(columns)})",
        topic="mixtures",
        title=f"Size, tokens and the weights of {len(domains)} domains, " + ("jointly" if joint else "additively"),
        inputs=columns,
        params=params,
        formula=Mixed(columns, joint),
        linear=linear,
        decreasing_in=(size, tokens),
        starts=Starts(columns, joint),
        domain=dict.fromkeys(domains, (0.02, 1.0)),
        absolute=domains,
        valid_for=("predict",),
        refuses={
            "compute-optimal": "at fixed weights this is chinchilla with the E and penalties of that mixture",
            "reach": "the weights are free: what a budget reaches depends on the mixture as well",
        },
        latex=(
            rf"L = E + \frac{{1}}{{{mixture}}} + \frac{{{mean('A')}}}{{{symbol(size)}^{{\alpha}}}} "
            rf"+ \frac{{{mean('B')}}}{{{symbol(tokens)}^{{\beta}}}}"
        ),
        meaning=(
            "The loss on one validation domain for any size, number of tokens and mixture, so that the best mixture "
            "for a large budget follows from small runs. "
            + (
                "The penalties for finite size and data depend on the mixture too, as the mean of what each domain "
                "alone would give: the best mixture may change with scale."
                if joint
                else "The mixture moves the whole surface up and down: the best mixture is the same at every scale."
            )
        ),
        traps=(
            "Weights are divided by their sum; a domain without a column is not part of the law.",
            "One law per validation domain; the loss on several is their weighted sum.",
            "E and the C trade off: only their sum is known for mixtures like those of the data.",
            "A domain whose share hardly varies has a gamma that nothing determines.",
            "Rows along one training run share its noise and its learning-rate schedule: D of a row that is not the "
            "end of a schedule is no horizon.",
            "How A^h and B^h depend on the weights did not come with the form. Here each is the mean over domains, "
            "linear in 2 M parameters; a power of that mean, tried on seven domains, predicted no better.",
        ),
        papers=("shukor2025",),
    )


def additive(columns: tuple[str, ...]) -> Law:
    """The additive law of size, tokens and weights. Raises LawError for fewer than two domains."""
    return _make(columns, joint=False)


def joint(columns: tuple[str, ...]) -> Law:
    """The joint law of size, tokens and weights. Raises LawError for fewer than two domains."""
    return _make(columns, joint=True)


mixture_additive = Family(
    id="mixture-additive",
    title="Size, tokens and mixture: the mixture moves the loss, and its best is the same at every scale",
    make=additive,
    example=("N", "D", "book", "c4"),
    least=4,
)

mixture_joint = Family(
    id="mixture-joint",
    title="Size, tokens and mixture together: the best mixture may change with scale",
    make=joint,
    example=("N", "D", "book", "c4"),
    least=4,
)

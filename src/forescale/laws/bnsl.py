# SPDX-License-Identifier: Apache-2.0
"""Smoothly broken neural scaling laws with one to four breaks (Caballero et al. 2022, eq. 1).

The variable is data D; `bnsl.on(D="C")`, in the CLI `bnsl(C)`, reads any other column.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import LawError, message
from forescale.laws._law import Law, Parameter, amplitude, breaking, floor, real
from forescale.laws._terms import ONE_VARIABLE
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

MOST = 4
SHARP = 0.05
"""Least width of a break: it then spreads over a fifth of its size. Sharper breaks are kinks: they pass through
single points, and the objective has no derivative there."""

_WIDTHS = {1: (0.08, 0.25, 0.6, 1.5), 2: (0.1, 0.4, 1.0), 3: (0.15, 0.4), 4: (0.15, 0.4)}
_PLACES = {1: 14, 2: 12, 3: 11, 4: 12}
_FLOORS = (1e-3, 0.5, 0.8, 0.93)
_KEEP = {1: 4, 2: 6, 3: 8, 4: 8}
"""Grids of the starts: widths of the breaks, number of places, floors as a share of the least value, starts kept."""


@dataclass(frozen=True)
class Broken:
    """L = a + b D^-c_0 prod_i (1 + (D / d_i)^(1 / f_i))^(-c_i f_i).

    In the exponent the product is a sum of soft pluses, which neither overflow nor lose digits.
    """

    breaks: int

    def __call__(self, D: Any, a: Any, b: Any, c_0: Any, **rest: Any) -> Any:
        x = np.log(D)
        exponent = -c_0 * x
        for i in range(1, self.breaks + 1):
            f = rest[f"f_{i}"]
            exponent = exponent - rest[f"c_{i}"] * f * np.logaddexp(0.0, (x - np.log(rest[f"d_{i}"])) / f)
        return a + b * np.exp(exponent)


@dataclass(frozen=True)
class Starts:
    """Given the floor, the places and the widths of the breaks, log(L - a) is linear in log b and the slopes."""

    breaks: int

    def __call__(self, D: Array, y: Array) -> dict[str, Array]:
        x, k = np.log(D), self.breaks
        span = float(x.max() - x.min())
        inside = x.min() + span * (np.arange(_PLACES[k]) + 1.0) / (_PLACES[k] + 1)
        widths = np.array(_WIDTHS[k])
        soft = widths[:, None, None] * np.logaddexp(0.0, (x - inside[:, None]) / widths[:, None, None])
        sets = np.array(list(combinations(range(inside.size), k)))
        # every break of a set with the same width: (widths * sets, k, n)
        hinges = soft[:, sets].reshape(-1, k, x.size)
        lines = np.broadcast_to(np.stack([np.ones_like(x), x]), (hinges.shape[0], 2, x.size))
        columns = np.concatenate([lines, hinges], axis=1)
        pieces = []
        for share in _FLOORS:
            over = y - share * y.min()
            found, left = regressions(columns, np.log(over), (over / y) ** 2)
            order = np.argsort(left, kind="stable")[: 4 * _KEEP[k]]
            pieces.append((np.full(order.size, share * y.min()), found[order], left[order], order))
        a, found, left, order = (np.concatenate(part) for part in zip(*pieces))
        where, width = inside[sets[order % len(sets)]], widths[order // len(sets)]
        with np.errstate(over="ignore", under="ignore"):
            b = np.exp(found[:, 0])
        left = np.where(np.isfinite(b) & (b > 0), left, np.inf)
        places = np.concatenate([where / span, np.log(width)[:, None] / 5.0, (a / y.min())[:, None]], axis=1)
        chosen = best(left, places, _KEEP[k], 0.07)
        out = {"a": a[chosen], "b": b[chosen], "c_0": -found[chosen, 1]}
        for i in range(k):
            out[f"c_{i + 1}"] = -found[chosen, 2 + i]
            out[f"d_{i + 1}"] = np.exp(where[chosen, i])
            out[f"f_{i + 1}"] = width[chosen]
        return out


def broken(breaks: int) -> Law:
    """The law with `breaks` breaks. Raises LawError for fewer than 1 or more than 4."""
    if not 1 <= breaks <= MOST:
        raise LawError(message(f"a broken law with {breaks} breaks", f"1 to {MOST} breaks", "power-floor has none"))
    params: dict[str, Parameter] = {
        "a": floor("irreducible loss, where the last segment falls"),
        "b": amplitude("size of the reducible loss"),
        "c_0": real("slope of the first segment: minus d log(L - a) / d log D", start=(-0.2, 0.6)),
    }
    factors = []
    for i in range(1, breaks + 1):
        middle = 10.0 ** (9.0 + 4.0 * (i - 0.5) / breaks)
        # Slopes that rise and fall in turn: what several breaks are for.
        change = (-0.5, 0.8) if breaks == 1 else ((-0.2, 1.0) if i % 2 else (-1.0, 0.2))
        params[f"c_{i}"] = real(f"change of that slope at break {i}", start=change)
        params[f"d_{i}"] = breaking(f"size at break {i}", start=(middle / 1.5, middle * 1.5))
        params[f"f_{i}"] = Parameter(
            "width", f"width of break {i} in log D: small is sharp", SHARP, start=(0.06, 1.5)
        )
        factors.append(
            rf"\left( 1 + \left( \frac{{D}}{{d_{{{i}}}}} \right)^{{1 / f_{{{i}}}}} \right)^{{-c_{{{i}}} f_{{{i}}}}}"
        )
    words = ("one break", "two breaks", "three breaks", "four breaks")[breaks - 1]
    return Law(
        id="bnsl" if breaks == 1 else f"bnsl-{breaks}",
        topic="one variable",
        title=f"Smoothly broken power law with {words}",
        inputs=("D",),
        params=params,
        formula=Broken(breaks),
        linear=("a", "b"),
        valid_for=("predict",),
        refuses={
            "compute-optimal": ONE_VARIABLE,
            "reach": "beyond its last break the curve may rise again; power-floor says where a trend ends",
        },
        loss="log-squared",
        starts=Starts(breaks),
        latex=r"L(D) = a + b \, D^{-c_{0}} \, " + r" \, ".join(factors),
        meaning=(
            f"Power laws joined by {words}; a segment may be steep, flat or rising. For curves whose slope in a "
            "log-log plot changes inside the data: delayed take-off, double descent, emergence."
        ),
        traps=(
            "Breaks are sought inside the data, not at its ends: no curve tells a change it does not show.",
            f"{3 + 3 * breaks} parameters: on fewer than {9 + 9 * breaks} points the breaks follow the noise.",
            "Far beyond the data the last slope decides alone, and rests on the points after the last break.",
        ),
        papers=("caballero2022",),
    )


bnsl = broken(1)
bnsl_2 = broken(2)
bnsl_3 = broken(3)
bnsl_4 = broken(4)

# SPDX-License-Identifier: Apache-2.0
"""How many environments, objects and demonstrations a robot needs (Lin et al. 2024, imitation learning)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, amplitude, exponent
from forescale.laws._terms import power_term
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]


def gap(environments: Any, a: Any, b: Any) -> Any:
    """1 - score = a x^-b, x = number of different environments (or objects, or pairs of both)."""
    return power_term(environments, a, b)


def gap_of_both(environments: Any, demonstrations: Any, a: Any, b: Any, c: Any, g: Any) -> Any:
    """1 - score = a x^-b + c m^-g, m = demonstrations in each environment."""
    return power_term(environments, a, b) + power_term(demonstrations, c, g)


def starts(environments: Array, demonstrations: Array, y: Array) -> dict[str, Array]:
    """For each pair of exponents of a grid a and c come from a regression."""
    b, g = (grid.ravel() for grid in np.meshgrid(np.geomspace(0.1, 2.0, 16), np.geomspace(0.1, 3.0, 16)))
    columns = np.stack([environments ** -b[:, None], demonstrations ** -g[:, None]], axis=1)
    found, left = regressions(columns, y, np.ones(y.size))
    left = np.where((found > 0).all(axis=1), left, np.inf)
    chosen = best(left, np.log(np.stack([b, g], axis=1)), 6, 0.2)
    return {"a": found[chosen, 0], "b": b[chosen], "c": found[chosen, 1], "g": g[chosen]}


def _task(a: float, b: float, r: float, what: str) -> Published:
    return Published(
        values={"a": a, "b": b},
        source="lin2024imitation",
        fitted_range={"environments": (1.0, 32.0)},
        note=f"{what}: six points, x = 1 to 32; correlation of the logarithms {r}.",
    )


_REFUSES = {
    "compute-optimal": "the budget is one of collecting: costs of an environment and of a demonstration, not compute",
    "reach": "it predicts a success gap, not a loss",
}
_DOMAIN = {"environments": (1.0, 32.0), "demonstrations": (2.0, 200.0)}
_ZERO = "A gap of zero has no logarithm: fit counts of successes (binomial), or loss='squared', where it occurs."

diversity = Law(
    id="diversity",
    topic="vision and other fields",
    title="Success gap of a robot policy against the variety of its training environments",
    inputs=("environments",),
    output="gap",
    params={
        "a": amplitude("gap after one environment", start=(0.05, 20.0)),
        "b": exponent("how fast more environments help"),
    },
    formula=gap,
    linear=("a",),
    decreasing_in=("environments",),
    domain=_DOMAIN,
    valid_for=("predict",),
    refuses=_REFUSES,
    loss="log-squared",
    latex=r"1 - \mathrm{score} = a \, x^{-b}",
    meaning=(
        "The gap to perfect execution in unseen environments falls as a power of how many different environments, "
        "objects, or pairs of both, the demonstrations come from; the number of demonstrations in each saturates at "
        "about fifty. Vary first, then repeat: 32 pairs with 50 demonstrations each give about 90 % success."
    ),
    traps=(
        "Six points per line: b is known to about 0.1, and where a gap of 0.1 is reached to a factor of two or more.",
        "The first point lies above the line and the last below it: scores near 1 saturate.",
        "Environments, objects and pairs are three different x.",
        _ZERO,
    ),
    papers=("lin2024imitation",),
    published={
        "lin2024-pour-objects": _task(0.825, 0.703, -0.987, "Pouring water, objects"),
        "lin2024-pour-environments": _task(1.180, 0.844, -0.960, "Pouring water, environments"),
        "lin2024-pour-pairs": _task(1.068, 0.579, -0.980, "Pouring water, pairs of environment and object"),
        "lin2024-mouse-objects": _task(0.826, 0.697, -0.991, "Arranging a mouse, objects"),
        "lin2024-mouse-environments": _task(0.827, 0.466, -0.966, "Arranging a mouse, environments"),
        "lin2024-mouse-pairs": _task(1.263, 0.683, -0.942, "Arranging a mouse, pairs of environment and object"),
    },
    checks=(
        Check("lin2024-pour-objects", {"environments": 32.0}, 0.0722, 5e-5, "lin2024imitation"),
        Check("lin2024-pour-environments", {"environments": 32.0}, 0.0633, 5e-5, "lin2024imitation"),
        Check("lin2024-pour-pairs", {"environments": 32.0}, 0.1436, 5e-5, "lin2024imitation"),
        Check("lin2024-mouse-objects", {"environments": 32.0}, 0.0738, 5e-5, "lin2024imitation"),
        Check("lin2024-mouse-environments", {"environments": 32.0}, 0.1645, 5e-5, "lin2024imitation"),
        Check("lin2024-mouse-pairs", {"environments": 32.0}, 0.1184, 5e-5, "lin2024imitation"),
    ),
)

diversity_demonstrations = Law(
    id="diversity-demonstrations",
    topic="vision and other fields",
    title="Success gap of a robot policy against environments and demonstrations",
    inputs=("environments", "demonstrations"),
    output="gap",
    params={
        "a": amplitude("gap that one environment leaves with ample demonstrations", start=(0.05, 20.0)),
        "b": exponent("how fast more environments help"),
        "c": amplitude("gap that one demonstration in each of ample environments leaves", start=(0.01, 20.0)),
        "g": exponent("how fast more demonstrations in each help", start=(0.05, 3.0)),
    },
    formula=gap_of_both,
    linear=("a", "c"),
    decreasing_in=("environments", "demonstrations"),
    domain=_DOMAIN,
    starts=starts,
    valid_for=("predict",),
    refuses=_REFUSES,
    loss="log-squared",
    latex=r"1 - \mathrm{score} = a \, x^{-b} + c \, m^{-g}",
    meaning=(
        "Environments and demonstrations as two axes of one budget: what is missing because x environments are few, "
        "and because each was shown m times only. With prices for both the least cost of a given gap follows. The "
        "second term is ours, without published constants: Lin et al. choose m so large that it is gone."
    ),
    traps=(
        "The two terms are told apart only if x and m vary apart.",
        "A gap that stays for many of both, such as a limit of the hardware, has no term here.",
        _ZERO,
    ),
    papers=("lin2024imitation",),
)

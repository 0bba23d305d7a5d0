# SPDX-License-Identifier: Apache-2.0
"""Running times against size: four forms to choose between, all rising in size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, Parameter, amplitude, exponent
from forescale.numerics.curves import regressions

Array = NDArray[np.float64]

LARGEST = 600.0
"""Exponent at which exponential times stop growing: 1e260 is longer than anybody waits, and still a number."""


def as_power(size: Any, c: Any, k: Any) -> Any:
    """t = c size^k."""
    return c * size**k


def linearithmic(size: Any, c: Any) -> Any:
    """t = c size ln(size)."""
    return c * size * np.log(size)


def as_exponential(size: Any, c: Any, k: Any) -> Any:
    """t = c exp(k size)."""
    return c * np.exp(np.minimum(k * size, LARGEST))


def as_line(size: Any, c: Any, d: Any) -> Any:
    """t = c + d size."""
    return c + d * size


def _line(x: Array, y: Array) -> tuple[Array, Array]:
    """Level and slope of log y over x; the slope positive."""
    columns = np.stack([np.ones_like(x), x])
    slope = np.maximum(regressions(columns[None], np.log(y), np.ones(y.size))[0][0, 1], 1e-9)
    return np.exp([np.mean(np.log(y) - slope * x)]), np.array([slope])


def power_starts(size: Array, y: Array) -> dict[str, Array]:
    """A regression of log t on log size."""
    c, k = _line(np.log(size), y)
    return {"c": c, "k": k}


def exponential_starts(size: Array, y: Array) -> dict[str, Array]:
    """A regression of log t on size."""
    c, k = _line(size, y)
    return {"c": c, "k": k}


_REFUSES = {
    "compute-optimal": "a running time says nothing about the split into parameters and tokens",
    "reach": "time grows with size: solve the formula for the size that a time allows",
}
_TRAPS = (
    "Fit the least of several repeats: noise of a clock only adds.",
    "Times below a millisecond are mostly overhead.",
    "Forms are told apart far out, not inside the data: compare them by AIC and by what they say of hidden sizes.",
)
_CHOOSE = "Compare the four forms with forescale.select, or by hiding the largest sizes."

runtime_power = Law(
    id="runtime-power",
    topic="vision and other fields",
    title="Running time as a power of size",
    inputs=("size",),
    output="seconds",
    params={
        "c": amplitude("time of one unit of size"),
        "k": exponent("how fast time grows: doubling the size multiplies it by 2^k", start=(0.1, 4.0)),
    },
    formula=as_power,
    linear=("c",),
    domain={"size": (1.0, 1e6)},
    refuses=_REFUSES,
    loss="log-squared",
    starts=power_starts,
    latex=r"t = c \, \mathrm{size}^{k}",
    meaning=(
        "A straight line in a log-log plot of time against size: parameters, activations, rows, tokens. Read it from "
        "any column, runtime-power(macts), and compare columns: on accelerators the activations of a convolutional "
        "network tell its time better than its FLOP. " + _CHOOSE
    ),
    traps=(*_TRAPS, "Small sizes are slower than the power says: a device is not full yet."),
    papers=("dollar2021", "heaton2017"),
)

runtime_linearithmic = Law(
    id="runtime-linearithmic",
    topic="vision and other fields",
    title="Running time of sorting: size times its logarithm",
    inputs=("size",),
    output="seconds",
    params={"c": amplitude("time per unit of size and e-fold of it")},
    formula=linearithmic,
    linear=("c",),
    absolute=("size",),
    domain={"size": (10.0, 1e6)},
    refuses=_REFUSES,
    loss="log-squared",
    latex=r"t = c \, \mathrm{size} \ln \mathrm{size}",
    meaning="What algorithms that sort or divide take, with size counted in items. " + _CHOOSE,
    traps=(*_TRAPS, "Size is a count of items, above one: the logarithm fixes its unit."),
    papers=("heaton2017",),
)

runtime_exponential = Law(
    id="runtime-exponential",
    topic="vision and other fields",
    title="Running time that multiplies with each unit of size",
    inputs=("size",),
    output="seconds",
    params={
        "c": amplitude("time at size zero"),
        "k": Parameter("rate", "growth per unit of size: each unit multiplies the time by e^k", start=(0.01, 3.0)),
    },
    formula=as_exponential,
    linear=("c",),
    domain={"size": (1.0, 20.0)},
    refuses=_REFUSES,
    loss="log-squared",
    starts=exponential_starts,
    latex=r"t = c \, e^{k \, \mathrm{size}}",
    meaning=(
        "What searches through all subsets take: branches of a tree, or Apriori (timed by Heaton), with size "
        "counted in items per set. " + _CHOOSE
    ),
    traps=(*_TRAPS, "On a narrow range of sizes a power fits as well."),
    papers=("heaton2017",),
)

runtime_linear = Law(
    id="runtime-linear",
    topic="vision and other fields",
    title="Running time as overhead plus a rate",
    inputs=("size",),
    output="seconds",
    params={
        "c": amplitude("overhead: time of nothing at all"),
        "d": amplitude("time per unit of size"),
    },
    formula=as_line,
    linear=("c", "d"),
    domain={"size": (1.0, 1e3)},
    refuses=_REFUSES,
    loss="log-squared",
    latex=r"t = c + d \, \mathrm{size}",
    meaning=(
        "Launching costs c, each unit of size d: one pass over rows, one kernel per layer. Small sizes are flat, "
        "large ones proportional. " + _CHOOSE
    ),
    traps=(*_TRAPS, "An overhead near zero says that the smallest size seen is too large to show it."),
    papers=("heaton2017",),
)

# SPDX-License-Identifier: Apache-2.0
"""The smallest next run that would settle a comparison.

The draws of the difference are taken as jointly normal. A pair of runs at x (one per arm, m seeds each) measures
d(x) with variance 2 noise^2 / m. What it says about the sign of d at the target follows from the correlation of the
two: the expected chance of a wrong sign afterwards, and the expected information about the sign in bits. The most
informative single pair is the argmax of the latter; the smallest that settles it is the cheapest (x times m) after
which the expected chance of a wrong sign is at most (1 - level) / 2.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.judge._compare_difference import Difference

Array = NDArray[np.float64]

SEEDS = (1, 2, 4, 8, 16)
CANDIDATES = 25


@dataclass(frozen=True)
class NextRun:
    """Attributes:
    target: x at which the sign is asked.
    chance_wrong: of calling the better arm there now.
    settled: it is at most (1 - level) / 2 already; the rest is then NaN.
    informative: x of the most informative single pair of runs, and its `bits` about the sign.
    x, seeds: the cheapest pair that is expected to settle it, seeds per arm; NaN and 0 where none does.
    after: expected chance of a wrong sign after it (after the most informative pair, where none settles it).
    """

    target: float
    chance_wrong: float
    settled: bool
    informative: float
    bits: float
    x: float
    seeds: int
    after: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def next_run(difference: Difference, target: float, noise: float, level: float) -> NextRun | None:
    """The next pair of runs for the sign at `target`, at sizes up to it; None without draws or without noise.

    Sizes lie between the low end of the range and the larger of its high end and the target.
    """
    if not len(difference.draws) or not (math.isfinite(noise) and noise > 0):
        return None
    mean, at_target = difference.column(target)
    spread = float(at_target.std())
    if spread <= 0:
        return None
    wrong = _wrong(abs(mean) / spread)
    enough = 0.5 * (1.0 - level)
    if wrong <= enough:
        return NextRun(target, wrong, True, math.nan, math.nan, math.nan, 0, wrong)
    x = np.geomspace(difference.low, max(difference.high, target), CANDIDATES)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    best: tuple[float, float, int, float] | None = None
    informative, bits, least = math.nan, -1.0, 1.0
    now = _entropy(np.array([wrong]))[0]
    for place in x:
        _, here = difference.column(float(place))
        shared = float(np.cov(here, at_target)[0, 1])
        for m in SEEDS:
            total = float(here.var()) + 2.0 * noise**2 / m
            learnt = min(shared**2 / total, spread**2 * (1 - 1e-12))
            after = np.sqrt(spread**2 - learnt)
            z = (mean + math.sqrt(learnt) * nodes) / after
            misses = np.array([_wrong(abs(value)) for value in z])
            expected = float(weights @ misses)
            if m == 1:
                gained = float(now - weights @ _entropy(misses))
                if gained > bits:
                    informative, bits, least = float(place), gained, expected
            if expected <= enough and (best is None or place * m < best[0]):
                best = (float(place) * m, float(place), m, expected)
    if best is None:
        return NextRun(target, wrong, False, informative, bits, math.nan, 0, least)
    return NextRun(target, wrong, False, informative, bits, best[1], best[2], best[3])


def _wrong(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _entropy(p: Array) -> Array:
    q = np.clip(p, 1e-300, 1 - 1e-16)
    return np.asarray(-(q * np.log2(q) + (1 - q) * np.log2(1 - q)))

# SPDX-License-Identifier: Apache-2.0
"""How many seeds tell two arms apart."""

from __future__ import annotations

import math
from statistics import NormalDist

from forescale.core.errors import InputError, message

MOST = 10_000_000
"""Beyond, the answer is that seeds do not help."""


def power_of(k: int, difference: float, sd: float, level: float = 0.90) -> float:
    """Chance that a two-sided t test at 1 - `level` sees the difference of two arms with `k` seeds each."""
    from scipy.special import nctdtr, stdtrit

    if k < 2:
        return 0.0
    df = 2 * (k - 1)
    shift = abs(difference) / sd * math.sqrt(k / 2)
    cut = float(stdtrit(df, 0.5 + 0.5 * level))
    return float(1.0 - nctdtr(df, shift, cut) + nctdtr(df, shift, -cut))


def seeds_needed(
    difference: float, sd: float, *, level: float = 0.90, power: float = 0.80, test: str = "t"
) -> int | None:
    """Seeds per arm with which a test at `level` sees a difference with probability `power`.

    Args:
        difference: of the two means, in the unit of `sd` (log loss, for shares of the loss).
        sd: standard deviation between seeds of one arm.
        level: 1 - the chance of seeing a difference where there is none.
        power: chance of seeing it where it is.
        test: "t" (two-sample t test, the noise is estimated from the same seeds), or "normal" (the noise is known):
            k = 2 ((z_level + z_power) sd / difference)^2.

    Returns:
        Seeds per arm, at least 2 for the t test; None for no difference, or beyond ten million.

    Raises:
        InputError: a noise, level or power that cannot be; an unknown test.
    """
    if not (math.isfinite(sd) and sd >= 0):
        raise InputError(message(f"a noise of {sd}", "a standard deviation, zero or more"))
    if not math.isfinite(difference):
        raise InputError(message(f"a difference of {difference}", "a finite number"))
    for name, value in (("level", level), ("power", power)):
        if not 0.0 < value < 1.0:
            raise InputError(message(f"a {name} of {value}", "a number between 0 and 1"))
    if test not in ("t", "normal"):
        raise InputError(message(f"the test {test!r}", "t or normal"))
    if difference == 0.0:
        return None
    if sd == 0.0:
        return 2 if test == "t" else 1
    z = NormalDist().inv_cdf(0.5 + 0.5 * level) + NormalDist().inv_cdf(power)
    k = 2.0 * (z * sd / difference) ** 2
    if k > MOST:
        return None
    known = max(math.ceil(k), 1)
    if test == "normal":
        return known
    # The t test needs a few more: climb from the normal answer.
    found = max(known, 2)
    while power_of(found, difference, sd, level) < power:
        found += 1
    return found

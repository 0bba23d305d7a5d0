# SPDX-License-Identifier: Apache-2.0
"""One word for a comparison, by one rule.

1. A simultaneous band of the difference over the whole range (level `compare_sure`) says where an arm is surely
   better. Two arms that do not differ are called different in about 5 % of comparisons, however many sizes are looked
   at.
2. An arm is surely better somewhere and the estimates cross inside the range: the winner above the crossing, if its
   interval lies inside the range and spans at most `compare_decades` decades. If it does not, and both arms are
   surely better somewhere: undetermined; if one is: it is better above (below) the point from which that is sure.
3. An arm is surely better somewhere and the estimates do not cross: it is better.
4. No arm is surely better anywhere: no difference, if the pointwise band (two one-sided tests at 5 % for a level of
   90 %) is small enough; else undetermined. A margin of the caller must hold everywhere, and comes first: a
   difference that is sure and too small to matter is no difference. Without one, the far side of the band, as a root
   mean square over the range, must stay below `compare_margin` standard deviations of the difference of two single
   runs: less than one pair of runs would show. Where runs at the same design points tell the arms apart (at 99 %) and
   the curves do not, that is undetermined (`judge.compare` sees the pairs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forescale.judge._compare_difference import Crossing, Difference
from forescale.judge._thresholds import threshold

Array = NDArray[np.float64]

WORDS = (
    "A better", "B better", "A better above C*", "B better above C*", "A better below C*", "B better below C*",
    "no difference", "undetermined",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The verdict of a comparison.

    Attributes:
        word: one of `WORDS`.
        where: the C* of the word (or the point from which the winner is sure); NaN for other words.
        reason: one sentence, with A and B as {a} and {b}.
        sure_a, sure_b: (from, to) of x where the arm is surely better; None if nowhere.
        largest: largest difference in log loss that the pointwise band leaves possible; NaN without a band.
        margin: what "no difference" was compared with.
    """

    word: str
    where: float
    reason: str
    sure_a: tuple[float, float] | None
    sure_b: tuple[float, float] | None
    largest: float
    margin: float


def outcome(
    difference: Difference,
    crossings: Sequence[Crossing],
    *,
    noise: float,
    margin: float | None,
    sure: float,
    level: float,
    scatter: float | None = None,
) -> Outcome:
    """The verdict; see the rule above.

    Args:
        noise: standard deviation of log loss between runs of one setting.
        margin: difference in log loss that does not matter; None for the default.
        sure: level of the simultaneous band; level: of the pointwise one.
        scatter: of the pairs about their mean, where that is all that is known; for the words.
    """
    inside = difference.inside()
    x = difference.x[inside]
    limit = margin if margin is not None else threshold("compare_margin") * math.sqrt(2.0) * noise
    if not len(difference.draws):
        return Outcome(
            "undetermined", math.nan, "nothing is known of the uncertainty of the curves", None, None, math.nan, limit
        )
    low, high = (end[inside] for end in difference.band(level))
    far = np.maximum(np.abs(low), np.abs(high))
    largest, typical = float(far.max()), float(np.sqrt(np.mean(far**2)))
    below, above = (end[inside] for end in difference.everywhere(sure))
    a_sure, b_sure = below > 0, above < 0

    def made(word: str, reason: str, where: float = math.nan) -> Outcome:
        return Outcome(word, where, reason, _span(x, a_sure), _span(x, b_sure), largest, limit)

    if margin is not None and largest <= margin:
        return made("no difference", f"the curves differ by less than the margin of {100 * margin:.3g} %")
    if not a_sure.any() and not b_sure.any():
        if typical <= limit and scatter is not None:
            mean = f"a difference of the mean is below {100 * largest:.2g} %"
            return made("no difference", f"{mean}; single pairs scatter by {100 * scatter:.2g} %")
        if typical <= limit:
            return made(
                "no difference",
                f"any difference is below {100 * typical:.2g} % on average over the range (at worst "
                f"{100 * largest:.2g} %), where a pair of single runs shows {100 * limit:.2g} %",
            )
        against = f"margin {100 * limit:.2g} %" if math.isfinite(limit) else "no noise is known to measure it by"
        return made(
            "undetermined",
            f"no difference is sure, and one of {100 * typical:.2g} % on average is not excluded ({against})",
        )
    within = [c for c in crossings if not c.beyond]
    last = within[-1] if within else None
    if last is not None and _placed(last, difference):
        other = "A" if last.better_above == "B" else "B"
        more = " (they change places more than once)" if len(within) > 1 else ""
        return made(
            f"{last.better_above} better above C*",
            f"{{{other.lower()}}} is better below, {{{last.better_above.lower()}}} above{more}",
            last.x,
        )
    if a_sure.any() and b_sure.any():
        return made("undetermined", "they change places, and where is not known to two decades")
    winner, region = ("B", b_sure) if b_sure.any() else ("A", a_sure)
    at = f"{{{winner.lower()}}}"
    if not within:
        share = float(region.mean())
        where = "over the whole range" if share > 0.999 else f"surely so over {100 * share:.0f} % of the range (log)"
        return made(f"{winner} better", f"{at} is better, {where}")
    if within[-1].better_above == winner:
        return made(
            f"{winner} better above C*",
            f"{at} is surely better above; below, the arms cannot be told apart",
            float(x[region][0]),
        )
    return made(
        f"{winner} better below C*",
        f"{at} is surely better below; above, the arms cannot be told apart",
        float(x[region][-1]),
    )


def _placed(crossing: Crossing, difference: Difference) -> bool:
    """Whether the place of a crossing is known: interval inside the range and narrow enough."""
    inside = difference.low <= crossing.lower and crossing.upper <= difference.high * (1 + 1e-12)
    return inside and crossing.decades <= threshold("compare_decades")


def _span(x: Array, mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    return (float(x[mask][0]), float(x[mask][-1])) if mask.any() else None

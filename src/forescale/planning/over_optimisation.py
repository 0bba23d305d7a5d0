# SPDX-License-Identifier: Apache-2.0
"""How far should a policy be optimised against a learned reward before the true reward falls again?

The true reward gained at a distance d = sqrt(KL) from the initial policy rises, peaks and falls (Gao, Schulman and
Hilton 2022): best-of-n should stop at the n whose KL is that of the peak, reinforcement learning at that KL. A peak
is known only where something was measured beyond it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner, Table
from forescale.planning._show import show

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

STEPS = (0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0)
"""KL over that of the plan, in the table of what it costs to stop elsewhere."""
NEAR = (0.01, 0.05, 0.1)
"""Shares of the gain that one gives away, in the table of stops that do as well."""
POINTS = 200


class OverOptimisationQuery(BaseModel):
    """What is asked about, besides where to stop."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    samples: int | None = Field(None, ge=1, description="a number of samples n to ask about (best of n), e.g. 64")
    kl: float | None = Field(None, gt=0, description="a KL divergence in nats to ask about, e.g. 10")


@dataclass(frozen=True, eq=False)
class _Peak:
    """Where one way of optimising peaks.

    Attributes:
        part: "bon" or "rl".
        kl, gain: (B,) KL of the peak and the true reward gained there.
        stop: KL at which to stop: the peak's, or the largest KL measured where the peak lies beyond it.
        seen: largest KL measured, NaN where the constants do not say.
        d: (B,) distance of the peak.
    """

    part: str
    d: Array
    kl: Array
    gain: Array
    stop: float
    seen: float

    @property
    def measured(self) -> bool:
        """Whether something was measured beyond the peak."""
        return not self.seen <= self.kl[0]


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: OverOptimisationQuery) -> Plan:
    """Where to stop, and what that gains.

    Raises:
        QueryError: no fit at all, or a question about samples without a fit of best-of-n, or two questions.
        RefusedError: constants without a peak.
    """
    if query.samples is not None and query.kl is not None:
        raise QueryError(
            message("samples and kl are both asked about", "one of them: the KL of n samples is log n - (n - 1) / n")
        )
    parts = [part for part in ("bon", "rl") if grounds.has(part)]
    if not parts:
        raise QueryError(
            message(
                "over-optimisation needs a fit of the true reward over the KL divergence",
                "a fit of overoptimisation-bon or of overoptimisation-rl, or runs with kl and score",
                "no constants are published: those of Gao et al. are in figures only",
            )
        )
    if query.samples is not None and "bon" not in parts:
        raise QueryError(message("samples are asked about without a fit of best-of-n", "kl instead of samples"))
    peaks = [_peak(grounds, part) for part in parts]
    level = grounds.level
    first = peaks[0]
    decision: dict[str, Decided] = {}
    expected: dict[str, Expected] = {}
    for peak in peaks:
        prefix = "" if peak is first else f"{peak.part} "
        there = _gain(grounds, peak.part, peak.stop)[:, 0]
        decision.update(_decided(peak, 100.0 * np.maximum(1.0 - there / peak.gain, 0.0), level, prefix))
        named = f"true reward gained at the stop, {_NAMES[peak.part]}"
        expected[f"{prefix}gain"] = Expected(of_estimate(there), interval(there, level), None, "", named)
    decision.update(_asked(grounds, query, first, level))
    answered = np.all([np.isfinite(peak.gain) & np.isfinite(peak.kl) for peak in peaks], axis=0)
    return composed(
        grounds,
        planner,
        query,
        headline=" ".join(_headline(grounds, peak) for peak in peaks),
        decision=decision,
        expected=expected,
        binding="the peak of the true reward" if first.measured else "the largest KL that was measured",
        tables=tuple(table for peak in peaks for table in (_elsewhere(grounds, peak), _as_well(grounds, peak))),
        curves={f"gain ({_NAMES[peak.part]})": _curve(grounds, peak, level) for peak in peaks},
        warnings=[finding for peak in peaks for finding in _warned(peak, level)],
        assumptions=(
            "Distance is the KL divergence from the initial policy in nats, counted as in the runs.",
            *(_ABOUT_N if "bon" in parts else ()),
            *(("A KL penalty moves the policy along the curve, it does not lift it.",) if "rl" in parts else ()),
            "The learned reward, its training data and the policy stay what they were: each has a curve of its own.",
        ),
        answered=answered,
    )


_NAMES = {"bon": "best of n", "rl": "reinforcement learning"}
_ABOUT_N = (
    "The KL of the best of n samples is taken as log n - (n - 1) / n, an upper bound: samples that tie in score, or "
    "a score that takes few values, are nearer (Beirami et al. 2024). n is exact where the runs counted KL by n too.",
)


# ---------------------------------------------------------------------------------------------------------- the peak


def _peak(grounds: Grounds, part: str) -> _Peak:
    # the laws of this room take the special functions with them: only this question pays for them
    from forescale.laws.overoptimisation import peak_best_of_n, peak_reinforced

    found = (peak_best_of_n if part == "bon" else peak_reinforced)(
        grounds.param(part, "alpha"), grounds.param(part, "beta")
    )
    seen = float(grounds.laws[part].surface.fitted_range.get("kl", (math.nan, math.nan))[1])
    kl, gain = np.asarray(found["kl"]), np.asarray(found["score"])
    if not (math.isfinite(kl[0]) and kl[0] > 0 and gain[0] > 0):
        raise refused(
            f"the fit of {_NAMES[part]} has no peak of the true reward that a number could say",
            "alpha and beta above zero",
            "a score that only rises has no peak in the data: measure further out",
        )
    return _Peak(part, np.asarray(found["d"]), kl, gain, float(kl[0]) if not seen <= kl[0] else seen, seen)


def _samples(kl: Any) -> Array:
    from forescale.laws.overoptimisation import n_of_kl

    return n_of_kl(kl)


def _gain(grounds: Grounds, part: str, kl: Any) -> Array:
    """(B, k) true reward gained at KL divergences (k,)."""
    return grounds.values(part, kl=np.atleast_1d(np.asarray(kl, dtype=np.float64)))


def _decided(peak: _Peak, missed: Array, level: float, prefix: str) -> dict[str, Decided]:
    """The numbers of one way of optimising; missed (B,) is the share of the gain that the stop gives away."""
    found: dict[str, Decided] = {}
    if peak.part == "bon":
        n = decided(_samples(peak.kl), "count", level, "samples to choose from")
        found[f"{prefix}samples"] = replace(n, value=float(_samples(peak.stop)))
    found |= {
        f"{prefix}stop": replace(decided(peak.kl, "", level, f"KL to stop at, {_NAMES[peak.part]}"), value=peak.stop),
        f"{prefix}d": decided(peak.d, "", level, "distance sqrt(KL) of the peak"),
        f"{prefix}kl": decided(peak.kl, "", level, "KL of the peak, nats"),
        f"{prefix}peak": decided(peak.gain, "", level, "true reward gained at the peak"),
    }
    ends, middle = interval(missed, level), interval(missed, 0.0)
    if ends is not None and middle is not None:
        found[f"{prefix}regret"] = Decided(middle[0], *ends, "%", "gain missed if a draw is true")
    return found


def _asked(grounds: Grounds, query: OverOptimisationQuery, first: _Peak, level: float) -> dict[str, Decided]:
    if query.samples is None and query.kl is None:
        return {}
    from forescale.laws.overoptimisation import kl_of_best_of_n

    kl = float(kl_of_best_of_n(query.samples)) if query.samples is not None else float(query.kl or 0.0)
    there = _gain(grounds, first.part, kl)[:, 0]
    shown = f"{query.samples:,} samples (KL {kl:.4g})" if query.samples is not None else f"a KL of {kl:.4g}"
    return {
        "asked": decided(there, "", level, f"true reward gained with {shown}"),
        "missed": decided(first.gain - there, "", level, "true reward missed there, against the peak"),
    }


# ------------------------------------------------------------------------------------------------------------ tables


def _elsewhere(grounds: Grounds, peak: _Peak) -> Table:
    """What it costs to stop early or late."""
    kl = peak.stop * np.array(STEPS)
    gain = _gain(grounds, peak.part, kl)
    rows: list[Row] = []
    for i, step in enumerate(STEPS):
        ends = interval(gain[:, i], grounds.level) or (None, None)
        n: Row = (float(_samples(kl[i])),) if peak.part == "bon" else ()
        share = 100.0 * float(gain[0, i]) / of_estimate(peak.gain)
        rows.append((step, float(kl[i]), *n, float(gain[0, i]), *ends, share))
    return Table(
        f"sensitivity-{peak.part}",
        f"Stopping elsewhere, {_NAMES[peak.part]}",
        (
            ("KL / plan", "x"), ("KL", ""), *((("n", "count"),) if peak.part == "bon" else ()), ("gain", ""),
            ("from", ""), ("to", ""), ("of the peak", "%"),
        ),
        tuple(rows),
    )  # fmt: skip


def _as_well(grounds: Grounds, peak: _Peak) -> Table:
    """The stops that give nearly as much: the peak is flat."""
    top = of_estimate(peak.kl)
    kl = top * np.geomspace(1e-4, 1e2, 4001)
    gain = _gain(grounds, peak.part, kl)[0]
    rows: list[Row] = []
    for share in NEAR:
        inside = kl[gain >= (1.0 - share) * of_estimate(peak.gain)]
        n: Row = tuple(float(v) for v in _samples(inside[[0, -1]])) if peak.part == "bon" else ()
        rows.append((100.0 * share, float(inside[0]), float(inside[-1]), *n))
    return Table(
        f"alternatives-{peak.part}",
        f"Stops that do nearly as well, {_NAMES[peak.part]}",
        (
            ("gain given away", "%"), ("KL from", ""), ("to", ""),
            *((("n from", "count"), ("n to", "count")) if peak.part == "bon" else ()),
        ),
        tuple(rows),
        "The nearer end is the cheaper and the safer one: it asks less of the learned reward.",
    )  # fmt: skip


def _curve(grounds: Grounds, peak: _Peak, level: float) -> Frozen[str, Array]:
    last = max(2.0 * peak.stop, peak.seen if math.isfinite(peak.seen) else 0.0)
    kl = last * np.linspace(0.02, 1.0, POINTS) ** 2
    gain = _gain(grounds, peak.part, kl)
    held = {"KL, nats": kl, "true reward gained": gain[0]}
    if len(gain) > 20:
        tail = 0.5 * (1.0 - level)
        held["lower"], held["upper"] = np.nanquantile(gain[1:], [tail, 1.0 - tail], axis=0)
    return Frozen(held)


# -------------------------------------------------------------------------------------------------- what must be said


def _headline(grounds: Grounds, peak: _Peak) -> str:
    gain = of_estimate(_gain(grounds, peak.part, peak.stop)[:, 0])
    n = f"{float(_samples(peak.stop)):,.0f} samples, " if peak.part == "bon" else ""
    verb = "Choose among" if peak.part == "bon" else "Stop at"
    if peak.measured:
        return f"{verb} {n}a KL of {show(peak.stop)} nats: the true reward gains {show(gain)} there and falls beyond."
    return (
        f"Peak not identified ({_NAMES[peak.part]}): the fit puts it at a KL of {show(of_estimate(peak.kl))}, and "
        f"nothing was measured beyond {show(peak.seen)}. Go no further than {n}a KL of {show(peak.stop)} nats, where "
        f"the true reward gains {show(gain)}."
    )


def _warned(peak: _Peak, level: float) -> list[Finding]:
    name = _NAMES[peak.part]
    if not peak.measured:
        return [
            Finding(
                "peak-not-identified",
                "amber",
                f"The peak of {name} lies at a KL of {show(of_estimate(peak.kl))}, beyond the largest one measured "
                f"({show(peak.seen)}): it is an extrapolation.",
                "Measure the true reward further out, past its fall.",
            )
        ]
    ends = interval(peak.kl, level)
    if ends is not None and math.isfinite(peak.seen) and ends[1] > peak.seen:
        return [
            Finding(
                "peak-weakly-identified",
                "amber",
                f"The interval of the peak of {name} reaches a KL of {show(ends[1])}; the largest one measured is "
                f"{show(peak.seen)}.",
                "Measure further out, or stop at the lower end: the peak is flat, and early costs little.",
            )
        ]
    return []


planner = Planner(
    id="over-optimisation",
    question="How far should one optimise against a learned reward before the true reward falls?",
    query=OverOptimisationQuery,
    answer=answer,
    parts=(
        Part("bon", "true reward gained by the best of n samples, over the KL divergence",
             laws=("overoptimisation-bon",), output="score", optional=True),
        Part("rl", "true reward gained by reinforcement learning, over the KL divergence",
             laws=("overoptimisation-rl",), output="score", optional=True),
    ),
    papers=("gao2022", "beirami2024", "rafailov2024"),
    example=Frozen({"kl": 4.0}),
    topic="how to sample and to serve",
    shown=("reward.json",),
)  # fmt: skip

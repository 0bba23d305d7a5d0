# SPDX-License-Identifier: Apache-2.0
"""Laws along curves under schedules that are asked about: last losses, the best cool-down, what the fit has seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from forescale.core.errors import QuantityError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_number, parse_number
from forescale.core.schedule import Schedule
from forescale.core.schedule_text import LONGEST
from forescale.fitting.surface import Surface
from forescale.laws._schedule import Schedules
from forescale.numerics.curves import smooth
from forescale.numerics.optimum import Where, minimise
from forescale.planning._plan import Basis
from forescale.runs.curves import schedules as schedules_of

Array = NDArray[np.float64]

KNOTS, FEW_KNOTS = 33, 17
"""Cool-downs at which the laws are evaluated (few: in side tables); between them a spline in the log of the share."""

SHORTEST = 0.004
"""Share of the shortest cool-down that is looked at."""


def parse_steps(value: Any) -> int:
    """A number of optimiser steps: "24k", "24000 steps", 24000. Raises QuantityError."""
    text = (
        value.lower().strip().removesuffix("steps").removesuffix("step").strip() if isinstance(value, str) else value
    )
    number = parse_number(text)
    if number != int(number) or not 1 <= number <= LONGEST:
        raise QuantityError(message(f"{value!r} steps", f"a whole number from 1 to {format_number(LONGEST)}"))
    return int(number)


StepsText = Annotated[
    int,
    PlainValidator(parse_steps),
    PlainSerializer(int, return_type=int),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "examples": ["24k"]}),
]


@dataclass(frozen=True)
class Seen:
    """What a law along curves was fitted on; NaN and 0 where nothing says it.

    Attributes:
        steps: the longest horizon. peak, least: highest peak and lowest last rate. warmup: steps. curves: how many.
        peaks: lowest and highest peak of the runs.
    """

    steps: float = math.nan
    peak: float = math.nan
    least: float = math.nan
    warmup: int = 0
    curves: int = 0
    peaks: tuple[float, float] = (math.nan, math.nan)


def seen(basis: Basis) -> Seen:
    """From the runs of a fit, or from the ranges of published constants."""
    runs = None if basis.fit is None else basis.fit.runs
    if runs is None:
        ranges = basis.surface.fitted_range
        low, high = ranges.get("lr_now", (math.nan, math.nan))
        return Seen(ranges.get("step", (0.0, math.nan))[1], high, low, peaks=(high, high))
    known = list(schedules_of(runs).values())
    peaks = [s.peak for s in known]
    return Seen(
        float(max(len(s) for s in known)),
        max(peaks),
        min(float(s.lr[-1]) for s in known),
        int(np.median([s.warmup for s in known])),
        len(known),
        (min(peaks), max(peaks)),
    )


def finals(surface: Surface, made: Sequence[Schedule], inputs: Mapping[str, float]) -> Array:
    """(B, k) losses at the last step of each schedule."""
    last = np.array([float(len(one)) for one in made])
    return _values(surface, Schedules(tuple(made), np.arange(len(made)), last), inputs)


def along(surface: Surface, made: Schedule, steps: Array, inputs: Mapping[str, float]) -> Array:
    """(B, n) losses at steps of one schedule."""
    return _values(surface, Schedules.of(made, steps), inputs)


def _values(surface: Surface, rows: Schedules, inputs: Mapping[str, float]) -> Array:
    law = surface.law
    given: dict[str, Any] = {name: np.full(len(rows), value) for name, value in inputs.items()}
    value = law(surface.params, step=rows.step, **{str(law.schedule): rows}, **given)
    problems = max((len(v) for v in surface.params.values()), default=1)
    return np.array(np.broadcast_to(value, (problems, len(rows))))


@dataclass(frozen=True, eq=False)
class Cooldowns:
    """Last losses by the share of the steps that cool down, and the best share of each parameter vector.

    Attributes:
        shares: (m,) evaluated ones. losses: (B, m) there.
        share, loss: (B,) the best of each; NaN without a finite loss.
        where: (B,) int8, values of `Where`: inside, or at the shortest or the longest that was allowed.
    """

    shares: Array
    losses: Array
    share: Array
    loss: Array
    where: NDArray[np.int8]

    def at(self, share: Array) -> Array:
        """(B, k) losses at shares (k,) or (B, k), by the spline."""
        x = np.broadcast_to(np.asarray(share, dtype=np.float64), (len(self.losses), np.shape(share)[-1]))
        return smooth(np.log(self.shares), self.losses)(np.log(x))


@dataclass(frozen=True)
class Family:
    """Constant rate, then a cool-down of one form: all shares of it."""

    steps: int
    peak: float
    warmup: int
    end: float
    shape: str
    longest: float
    """Largest share allowed: what is left after the warm-up, or after the steps that are done."""
    inputs: Mapping[str, float] = field(default_factory=Frozen)

    def schedule(self, share: float) -> Schedule:
        """The schedule of one share."""
        length = min(share * self.steps, float(self.steps - self.warmup))
        length = max(length, 1.0 + 1e-9)  # at most 1 is a share to Schedule.wsd
        return Schedule.wsd(self.peak, self.steps, decay=length, end=self.end, shape=self.shape, warmup=self.warmup)

    def cooldowns(self, surface: Surface, knots: int = KNOTS) -> Cooldowns:
        """Losses of all shares, and the best."""
        shortest = min(max(SHORTEST, 2.0 / self.steps), 0.5 * self.longest)
        shares = np.geomspace(shortest, self.longest, knots)
        losses = finals(surface, [self.schedule(float(share)) for share in shares], self.inputs)
        line = smooth(np.log(shares), np.where(np.isfinite(losses), losses, np.nan))
        found = minimise(lambda x: line(np.log(x)), np.array([shares[0]]), np.array([shares[-1]]), points=97)
        bad = ~np.isfinite(losses).all(axis=1)
        share, loss = np.where(bad, np.nan, found.x), np.where(bad, np.nan, found.value)
        return Cooldowns(shares, losses, share, loss, np.where(bad, np.int8(Where.NOT_FINITE), found.where))

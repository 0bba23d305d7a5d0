# SPDX-License-Identifier: Apache-2.0
"""What a comparison is: two arms along one variable; and several arms against one."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, message, nearest
from forescale.core.files import to_json, write_atomic
from forescale.core.registry import renderer
from forescale.fitting._fit import Fit
from forescale.judge import _compare_text as text
from forescale.judge._compare_difference import Crossing
from forescale.judge._compare_next import NextRun
from forescale.judge._compare_pairs import Pairs
from forescale.judge._compare_savings import Savings
from forescale.judge._compare_verdict import Outcome

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """The arms at one x: difference in log loss (negative: B better) with its interval, P(B better)."""

    x: float
    difference: float
    lower: float
    upper: float
    b_better: float
    beyond: bool


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two arms compared.

    Attributes:
        names: of A and B. laws: their laws. fits: their fits (one, twice, where they share parameters).
        variable: what they are compared along: the law's input, or C on the compute-optimal frontier.
        range: least and largest x that the verdict speaks of.
        method: "curves" (fits of a law) or "pairs" (differences of runs at shared design points).
        outcome: the verdict and what it rests on.
        crossings: where the estimates change places, up to ten times the range; empty: no crossover in range.
        chance_of_crossing: share of the draws that change places inside the range.
        points: what was asked (`at`), or the ends and the middle of the range.
        savings_at: compute multiplier at the same points; savings: over the range. None where a curve does not fall.
        curve: columns `x`, `a`, `b` (losses), `difference`, `lower`, `upper` (pointwise), over the range and beyond.
        pairs: differences at shared design points, None where there are none.
        target: x at which seeds and the next run are asked: the largest of `at`, or the top of the range.
        noise: standard deviation of log loss between runs of one setting; noise_from: what it was taken from.
        seeds: per arm, to see the difference at the target; None: too small to be seen.
        next: the next run.
        level: of all intervals. notes: what the reader must know.
    """

    names: tuple[str, str]
    laws: tuple[str, str]
    fits: tuple[Fit, Fit]
    variable: str
    range: tuple[float, float]
    method: str
    outcome: Outcome
    crossings: tuple[Crossing, ...]
    chance_of_crossing: float
    points: tuple[Point, ...]
    savings_at: Savings | None
    savings: Savings | None
    curve: Mapping[str, Array]
    pairs: Pairs | None
    target: float
    noise: float
    noise_from: str
    seeds: int | None
    next: NextRun | None
    level: float
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One of `judge._compare_verdict.WORDS`."""
        return self.outcome.word

    @property
    def crossover(self) -> Crossing | None:
        """The last crossing inside the range of the runs; None is "no crossover in range"."""
        inside = [c for c in self.crossings if not c.beyond]
        return inside[-1] if inside else None

    def b_better(self, x: float) -> float:
        """P(B better) at one of the points asked.

        Raises:
            QueryError: no such point; ask for it with `at`.
        """
        for point in self.points:
            if math.isclose(point.x, x, rel_tol=1e-9):
                return point.b_better
        raise QueryError(message(f"{x:g} was not asked", "one of " + ", ".join(f"{p.x:g}" for p in self.points)))

    def summary(self) -> str:
        """Plain text."""
        return text.summary(self)

    def __repr__(self) -> str:
        return f"Comparison({self.names[1]} against {self.names[0]}: {self.headline})"

    @property
    def headline(self) -> str:
        """The verdict in one sentence, with the names of the arms."""
        return text.headline(self)

    def plot(self, kind: str | None = None, **options: Any) -> Any:
        """A chart: "difference" (with its band and crossings) or "savings"."""
        return renderer("comparison")(self, kind, **options)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        o = self.outcome
        return {
            "schema": "forescale/comparison",
            "version": 1,
            "a": self.names[0],
            "b": self.names[1],
            "laws": list(self.laws),
            "variable": self.variable,
            "range": list(self.range),
            "method": self.method,
            "level": self.level,
            "verdict": o.word,
            "headline": self.headline,
            "where": o.where,
            "surely_better": {"a": o.sure_a, "b": o.sure_b},
            "largest_possible_difference": o.largest,
            "margin": o.margin,
            "crossings": [c.to_dict() for c in self.crossings],
            "chance_of_crossing": self.chance_of_crossing,
            "points": [
                {
                    "x": p.x,
                    "difference": p.difference,
                    "lower": p.lower,
                    "upper": p.upper,
                    "b_better": p.b_better,
                    "beyond": p.beyond,
                }
                for p in self.points
            ],
            "savings": None if self.savings_at is None else self.savings_at.to_dict(),
            "savings_curve": None if self.savings is None else self.savings.to_dict(),
            "pairs": None if self.pairs is None else self.pairs.to_dict(),
            "noise": self.noise,
            "noise_from": self.noise_from,
            "target": self.target,
            "seeds": self.seeds,
            "next": None if self.next is None else self.next.to_dict(),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Strict JSON with `schema` and `version`; open ends and unknowns are null."""
        return to_json(self.to_dict())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result as JSON; whole or not at all."""
        return write_atomic(path, self.to_json())

    def __str__(self) -> str:
        return self.summary()


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Several arms against one.

    Attributes:
        reference: the arm that is A in every pair.
        each: one comparison per other arm; a sure difference is asked at 1 - .05 / (arms - 1), so that the chance of
            any false winner stays at 5 %.
        target: x of the ranking.
        best: arm -> chance of being the best of all at the target; NaN without draws.
    """

    reference: str
    each: tuple[Comparison, ...]
    target: float
    best: Mapping[str, float]

    def __getitem__(self, name: str) -> Comparison:
        """The comparison of one arm with the reference.

        Raises:
            QueryError: no such arm.
        """
        for comparison in self.each:
            if comparison.names[1] == name:
                return comparison
        raise QueryError(message(f"there is no arm {name!r}", "", nearest(name, [c.names[1] for c in self.each])))

    def __repr__(self) -> str:
        return f"Comparisons({', '.join(c.names[1] for c in self.each)} against {self.reference})"

    def summary(self) -> str:
        """Plain text: one line per arm, and the ranking."""
        first = self.each[0]
        width = max(len(name) for name in self.best)
        lines = [
            f"{len(self.each) + 1} arms against {self.reference}, over "
            f"{text.place(first.variable, first.range[0])} to {text.place(first.variable, first.range[1])}",
            "",
        ]
        for c in self.each:
            lines.append(f"  {c.names[1]:<{width}}  {c.headline}")
            if c.pairs is not None and math.isfinite(c.pairs.lower):
                ends = f"{100 * c.pairs.lower:+.3f} to {100 * c.pairs.upper:+.3f}"
                lines.append(f"  {'':<{width}}  {len(c.pairs)} pairs: {100 * c.pairs.mean:+.3f} % ({ends})")
        lines += ["", f"  at {text.place(first.variable, self.target)}: chance of being the best"]
        for name, chance in sorted(self.best.items(), key=lambda item: -item[1]):
            lines.append(f"    {name:<{width}}  {chance:.3f}")
        notes = dict.fromkeys(note for c in self.each for note in c.notes)
        return "\n".join([*lines, *(f"  note: {note}" for note in notes)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "schema": "forescale/comparisons",
            "version": 1,
            "reference": self.reference,
            "target": self.target,
            "best": dict(self.best),
            "each": [c.to_dict() for c in self.each],
        }

    def to_json(self) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result as JSON; whole or not at all."""
        return write_atomic(path, self.to_json())

    def __str__(self) -> str:
        return self.summary()

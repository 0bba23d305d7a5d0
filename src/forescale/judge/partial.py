# SPDX-License-Identifier: Apache-2.0
"""Does an arm matter, or is it only larger? Effects with and without control for size.

metric ~ arm, then metric ~ arm + log size, by least squares (Hepler 2025's pipeline in its smallest form). An effect
that is there both times with one sign is robust; one that vanishes was size in disguise (confounded); one that only
then appears was hidden by size (emergent); one that changes sign is reversed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, DataError, InputError, message, nearest
from forescale.core.files import to_json, write_atomic
from forescale.runs.table import Runs

Array = NDArray[np.float64]

VERDICTS = ("robust", "confounded", "emergent", "reversed", "no effect")


@dataclass(frozen=True)
class Effect:
    """The effect of one arm against the reference, or of one numeric variable.

    Attributes:
        name: the arm's level, or the variable.
        simple, simple_t, simple_p: coefficient of metric ~ arm, its t value and two-sided p value.
        controlled, controlled_t, controlled_p: the same with log size in the regression.
        interaction, interaction_t, interaction_p: how the effect changes per unit of log size; NaN where the rows
            cannot tell.
        r, partial: correlation of arm and metric, and given log size.
        verdict: one of `VERDICTS`.
    """

    name: str
    simple: float
    simple_t: float
    simple_p: float
    controlled: float
    controlled_t: float
    controlled_p: float
    interaction: float
    interaction_t: float
    interaction_p: float
    r: float
    partial: float
    verdict: str

    def sentence(self, metric: str, size: str) -> str:
        """What the verdict means here."""
        means = {
            "robust": f"it goes with {metric} in the same direction with and without {size}",
            "confounded": f"what goes with {metric} is {size}: with it held the effect is gone",
            "emergent": f"{size} hides it: the effect shows only with {size} held",
            "reversed": f"its sign turns over once {size} is held",
            "no effect": f"nothing is seen, with or without {size}",
        }
        return f"{self.name}: {self.verdict}: {means[self.verdict]}"


@dataclass(frozen=True)
class Partial:
    """Effects on a metric, controlled for size.

    Attributes:
        metric, arm, size: columns; logs: which of metric and arm were taken as logarithms.
        reference: the level that the others are compared with; "" for a numeric variable.
        n: rows. level: 1 - the p value below which an effect counts.
        effects: one per level but the reference, or one for a numeric variable.
        alone: correlation of metric and log size.
    """

    metric: str
    arm: str
    size: str
    logs: tuple[str, ...]
    reference: str
    n: int
    level: float
    effects: tuple[Effect, ...]
    alone: float

    @property
    def verdict(self) -> str:
        """The verdict of the only effect.

        Raises:
            InputError: there are several.
        """
        if len(self.effects) != 1:
            raise InputError(message(f"{len(self.effects)} effects", "one", "read .effects"))
        return self.effects[0].verdict

    def summary(self) -> str:
        """Plain text."""
        against = f" against {self.reference}" if self.reference else ""
        lines = [
            f"{self.metric} by {self.arm}{against}, controlled for log {self.size}: {self.n} rows, level "
            f"{100 * self.level:g} %; {self.metric} and log {self.size} correlate by {self.alone:+.3f}",
        ]
        for e in self.effects:
            lines.append(f"  {e.sentence(self.metric, self.size)}")
            lines.append(
                f"    alone {e.simple:+.4g} (t {e.simple_t:+.1f}, r {e.r:+.3f}); with {self.size} held "
                f"{e.controlled:+.4g} (t {e.controlled_t:+.1f}, partial r {e.partial:+.3f})"
            )
            if math.isfinite(e.interaction_p) and e.interaction_p < 1 - self.level:
                lines.append(
                    f"    the effect changes by {e.interaction:+.3g} per unit of log {self.size} "
                    f"(t {e.interaction_t:+.1f}): one number does not tell it all"
                )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"schema": "forescale/partial", "version": 1, **asdict(self)}

    def to_json(self) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result as JSON; whole or not at all."""
        return write_atomic(path, self.to_json())

    def __str__(self) -> str:
        return self.summary()


def partial(
    runs: Runs,
    metric: str,
    arm: str,
    *,
    size: str = "N",
    log: Sequence[str] = (),
    reference: str | None = None,
    level: float = 0.90,
) -> Partial:
    """The effect of an arm, or of a numeric variable, on a metric, controlled for size.

    Args:
        metric: number column.
        arm: label column (each level against `reference`, default the first) or number column.
        size: positive number column; its logarithm is held.
        log: those of metric and arm that are taken as logarithms.
        level: 1 - the p value below which an effect counts.

    Raises:
        ColumnError: a missing column, or one of the wrong kind.
        DataError: fewer than five rows, values that have no logarithm, a column without variation.
    """
    if not 0.0 < level < 1.0:
        raise InputError(message(f"a level of {level}", "a number between 0 and 1, e.g. 0.9"))
    unknown = [name for name in log if name not in (metric, arm)]
    if unknown:
        raise ColumnError(message(f"the logarithm of {unknown[0]!r} was asked", f"{metric} or {arm}"))
    y = _numbers(runs, metric, metric in log)
    s = _numbers(runs, size, True)
    columns: list[tuple[str, Array, NDArray[np.bool_]]] = []
    first = ""
    every = np.ones(len(runs), dtype=bool)
    if arm in runs.labels:
        codes, names = runs.group_codes(arm)
        if len(names) < 2:
            raise DataError(message(f"{arm} has the single level {names[0]!r}", "two or more"))
        first = names[0] if reference is None else reference
        if first not in names:
            raise ColumnError(message(f"{arm} has no level {first!r}", "", nearest(first, names)))
        base = codes == names.index(first)
        for code, name in enumerate(names):
            if name != first:
                columns.append((name, (codes == code).astype(np.float64), base | (codes == code)))
    elif reference is not None:
        raise ColumnError(message(f"{arm} holds numbers and a reference {reference!r} was given", "a label column"))
    else:
        columns.append((arm, _numbers(runs, arm, arm in log), every))
    effects = tuple(_effect(name, x[rows], y[rows], s[rows], level) for name, x, rows in columns)
    return Partial(metric, arm, size, tuple(log), first, len(runs), level, effects, _correlation(y, s))


def _numbers(runs: Runs, name: str, logarithm: bool) -> Array:
    values = runs[name]
    if logarithm:
        if not bool(np.all(values > 0)):
            raise DataError(message(f"{name} has values that are not positive", "values above zero for a logarithm"))
        values = np.log(values)
    if not bool(np.all(np.isfinite(values))):
        raise DataError(message(f"{name} is not a finite number in some rows", "a number in each row"))
    return values


def _effect(name: str, x: Array, y: Array, s: Array, level: float) -> Effect:
    n = y.size
    if n < 5:
        raise DataError(message(f"{n} rows for {name}", "five or more"))
    if float(np.ptp(x)) == 0.0 or float(np.ptp(y)) == 0.0 or float(np.ptp(s)) == 0.0:
        raise DataError(message(f"the arm {name}, the metric or the size does not vary", "columns that vary"))
    middle = s - s.mean()
    one = np.ones(n)
    simple = _last([one, x], y)
    controlled = _last([one, middle, x], y)
    interaction = _last([one, middle, x, x * middle], y) if n >= 6 else (math.nan,) * 3
    alpha = 1.0 - level
    before, after = simple[2] < alpha, controlled[2] < alpha
    if before and after:
        verdict = "robust" if simple[0] * controlled[0] > 0 else "reversed"
    else:
        verdict = "confounded" if before else "emergent" if after else "no effect"
    t = controlled[1]
    partial_r = t / math.sqrt(t * t + n - 3) if math.isfinite(t) else math.nan
    return Effect(name, *simple, *controlled, *interaction, _correlation(x, y), partial_r, verdict)


def _last(columns: Sequence[Array], y: Array) -> tuple[float, float, float]:
    """Coefficient, t value and p value of the last column; NaN where the columns are collinear."""
    from scipy.special import stdtr

    design = np.stack(columns, axis=1)
    scale = np.linalg.norm(design, axis=0)
    u, singular, v = np.linalg.svd(design / np.where(scale > 0, scale, 1.0), full_matrices=False)
    df = y.size - design.shape[1]
    if df < 1 or singular[-1] < 1e-10 * singular[0]:
        return math.nan, math.nan, math.nan
    inverse = v.T / singular
    beta = inverse @ (u.T @ y)
    rest = y - u @ (u.T @ y)
    variance = float(rest @ rest) / df * float((inverse[-1] ** 2).sum())
    value = float(beta[-1] / scale[-1])
    error = math.sqrt(variance) / float(scale[-1])
    t = value / error if error > 0 else math.copysign(math.inf, value)
    return value, t, float(2.0 * stdtr(df, -abs(t))) if math.isfinite(t) else 0.0


def _correlation(a: Array, b: Array) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else math.nan

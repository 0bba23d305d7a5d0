# SPDX-License-Identifier: Apache-2.0
"""Runs of two arms that were made at the same design point, and what their differences say without any law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.columns import COLUMNS
from forescale.core.errors import ColumnError, message
from forescale.fitting._tails import t_quantile
from forescale.judge._compare_arms import Arm
from forescale.runs.table import Runs

Array = NDArray[np.float64]

NO_DESIGN = frozenset(
    [
        "loss", "train_loss", "loss_sd", "weight", "wall_seconds", "devices", "seed", "ended", "score", "tokens_seen",
        "step", "lr_now", "C", "C_nonemb", "C_budget", "M", "flop_per_token",
    ]
)  # fmt: skip
"""Columns of the vocabulary that are outcomes, follow from others, or tell repeats of one setting apart."""
DIGITS = 5
"""Two runs share a design point when the columns of the key agree to this many significant digits."""
LEAST_REPEATS = 3
"""Fewer degrees of freedom from repeats say nothing about the noise: a chi-square of two spans a factor of ten."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Differences at shared design points; all in log(loss of B) - log(loss of A), negative where B is better.

    Attributes:
        key: columns that define a design point.
        x: (k,) the variable at each; n_a, n_b: (k,) runs of each arm there.
        log_ratio: (k,) difference of the mean log losses.
        mean: their mean, with `lower`, `upper` (Student t, k - 1 degrees of freedom; NaN for one pair).
        sd: standard deviation of a difference between design points.
        slope: change of the difference per decade of x, with `slope_lower`, `slope_upper`; NaN for k < 4.
        b_wins: design points at which B is better.
        correlation: of the residuals of the two fits over the pairs: what the arms share beyond their laws; NaN
            without fits to runs.
    """

    key: tuple[str, ...]
    x: Array
    n_a: NDArray[np.int64]
    n_b: NDArray[np.int64]
    log_ratio: Array
    mean: float
    lower: float
    upper: float
    sd: float
    slope: float
    slope_lower: float
    slope_upper: float
    b_wins: int
    correlation: float

    def __len__(self) -> int:
        return int(self.x.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def pairs(a: Arm, b: Arm, variable: str, key: Sequence[str] | None, level: float) -> Pairs | None:
    """The pairs of two arms; None where no design point is shared.

    Args:
        key: columns that define a design point; default N and D where both tables have them, else the law's inputs.

    Raises:
        ColumnError: a column of `key` is missing.
    """
    if a.runs is None or b.runs is None:
        return None
    columns = tuple(key) if key else _default_key(a, b)
    if not columns or variable not in a.runs.columns or variable not in b.runs.columns:
        return None
    output = a.law.output
    one, two = _cells(a, columns, output, variable), _cells(b, columns, output, variable)
    shared = sorted((cell for cell in one if cell in two), key=lambda cell: one[cell][3])
    if not shared:
        return None
    rows = [(one[cell], two[cell]) for cell in shared]
    x = np.array([0.5 * (p[3] + q[3]) for p, q in rows])
    delta = np.array([q[1] - p[1] for p, q in rows])
    k = delta.size
    mean = float(delta.mean())
    sd = float(delta.std(ddof=1)) if k > 1 else math.nan
    half = t_quantile(level, k - 1) * sd / math.sqrt(k) if k > 1 else math.nan
    slope, slope_half = _slope(x, delta, level)
    return Pairs(
        key=columns,
        x=x,
        n_a=np.array([p[0] for p, _ in rows], dtype=np.int64),
        n_b=np.array([q[0] for _, q in rows], dtype=np.int64),
        log_ratio=delta,
        mean=mean,
        lower=mean - half,
        upper=mean + half,
        sd=sd,
        slope=slope,
        slope_lower=slope - slope_half,
        slope_upper=slope + slope_half,
        b_wins=int((delta < 0).sum()),
        correlation=_correlation([p[2] for p, _ in rows], [q[2] for _, q in rows]),
    )


def _default_key(a: Arm, b: Arm) -> tuple[str, ...]:
    known = [arm.runs for arm in (a, b) if arm.runs is not None]
    if all({"N", "D"} <= set(runs.columns) for runs in known):
        return ("N", "D")
    return tuple(name for name in a.law.inputs if all(name in runs.columns for runs in known))


def _cells(arm: Arm, key: tuple[str, ...], output: str, variable: str) -> dict[Any, tuple[int, float, float, float]]:
    """Design point -> (runs, mean log loss, mean residual, variable)."""
    runs = arm.runs
    assert runs is not None  # noqa: S101  (the caller has looked)
    parts: list[list[str]] = []
    for name in key:
        if name in runs.labels:
            parts.append(runs.labels[name].tolist())
        elif name in runs.columns:
            parts.append([f"{value:.{DIGITS}g}" for value in runs[name].tolist()])
        else:
            raise ColumnError(message(f"{runs.source} has no column {name!r} to pair by", "columns of both arms"))
    y, x, residuals = np.log(runs[output]), runs[variable], arm.residuals
    found: dict[Any, list[int]] = {}
    for i, cell in enumerate(zip(*parts)):
        found.setdefault(cell, []).append(i)
    return {
        cell: (len(rows), float(y[rows].mean()), float(residuals[rows].mean()), float(x[rows].mean()))
        for cell, rows in found.items()
    }


def _slope(x: Array, delta: Array, level: float) -> tuple[float, float]:
    """Slope per decade and half its interval."""
    t = np.log10(x)
    k = delta.size
    spread = float(((t - t.mean()) ** 2).sum())
    if k < 4 or spread <= 0:
        return math.nan, math.nan
    slope = float(((t - t.mean()) * delta).sum() / spread)
    rest = delta - delta.mean() - slope * (t - t.mean())
    return slope, t_quantile(level, k - 2) * math.sqrt(float((rest**2).sum()) / (k - 2) / spread)


def _correlation(a: Sequence[float], b: Sequence[float]) -> float:
    one, two = np.array(a), np.array(b)
    if one.size < 3 or one.std() == 0 or two.std() == 0:
        return math.nan
    return float(np.corrcoef(one, two)[0, 1])


def safe_correlation(found: Pairs | None) -> float:
    """A correlation that may be relied on: the lower end of the one-sided 90 % interval (Fisher's z), at least 0.

    Too high a correlation makes the difference of two curves look more certain than it is; too low a one only wastes
    some of the pairing."""
    if found is None or len(found) < 6 or not math.isfinite(found.correlation):
        return 0.0
    z = math.atanh(min(max(found.correlation, -0.999), 0.999)) - 1.2816 / math.sqrt(len(found) - 3)
    return min(max(math.tanh(z), 0.0), 0.98)


def repeats(tables: Sequence[Runs | None], output: str) -> tuple[float, int]:
    """Standard deviation of log loss between runs of one setting, pooled, and its degrees of freedom; (NaN, 0) where
    no setting was run twice. A setting is every column of the vocabulary that is a choice, not an outcome."""
    total, freedom = 0.0, 0
    for runs in tables:
        if runs is None:
            continue
        names = [n for n in runs.columns if n in COLUMNS and n not in NO_DESIGN and n != output]
        if not names:
            continue
        texts = [[f"{v:.{DIGITS}g}" for v in runs[n].tolist()] for n in names]
        texts += [runs.labels[n].tolist() for n in runs.labels if n != "run"]
        y = np.log(runs[output])
        cells: dict[Any, list[int]] = {}
        for i, cell in enumerate(zip(*texts)):
            cells.setdefault(cell, []).append(i)
        for rows in cells.values():
            if len(rows) > 1:
                total += float(((y[rows] - y[rows].mean()) ** 2).sum())
                freedom += len(rows) - 1
    if freedom < LEAST_REPEATS:
        return math.nan, freedom
    return math.sqrt(total / freedom), freedom

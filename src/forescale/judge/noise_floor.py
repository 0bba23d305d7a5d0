# SPDX-License-Identifier: Apache-2.0
"""The noise floor of a score: E^2(n) = B^2 + V / n, a line of the squared error in 1 / n (Lutjens et al. 2024).

The line is fitted by least squares with the exact intervals of a linear model. As a law (`noise-floor`) it can be
fitted and compared like any other; here are the two questions that belong to it: from which n on can two methods be
told apart, and does their order turn over?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, InputError, message
from forescale.core.files import to_json
from forescale.core.frozen import Frozen
from forescale.fitting._tails import t_quantile

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """Attributes:
    bias2, variance: B^2 and V; a negative B^2 means that the rows see no bias.
    covariance: (2, 2) of the two.
    r2: share of the variance of E^2 that 1 / n explains.
    n: rows; df = n - 2; level of the intervals.
    least, most: least and largest n seen.
    intervals: "bias2" and "variance" -> (lower, upper).
    """

    bias2: float
    variance: float
    covariance: Array
    r2: float
    n: int
    level: float
    least: float
    most: float
    intervals: Mapping[str, tuple[float, float]]

    @property
    def bias(self) -> float:
        """B; zero where the rows see no bias."""
        return math.sqrt(max(self.bias2, 0.0))

    @property
    def df(self) -> int:
        """Degrees of freedom of the line."""
        return self.n - 2

    def predict(self, n: ArrayLike) -> Array:
        """E at n, of the shape of n."""
        return np.sqrt(np.maximum(self.bias2 + self.variance / np.asarray(n, dtype=np.float64), 0.0))

    def needed(self, share: float = 0.1) -> float:
        """The n beyond which noise adds less than `share` to the error; inf where no bias is seen.

        From B^2 + V / n = (1 + share)^2 B^2.
        """
        if not share > 0:
            raise InputError(message(f"a share of {share}", "a positive number, such as 0.1"))
        if self.bias2 <= 0:
            return math.inf
        return max(self.variance, 0.0) / (self.bias2 * ((1.0 + share) ** 2 - 1.0))

    def summary(self) -> str:
        """Plain text."""
        (b_low, b_high), (v_low, v_high) = self.intervals["bias2"], self.intervals["variance"]
        lines = [
            f"E^2(n) = B^2 + V / n on {self.n} rows, n = {self.least:g} to {self.most:g}; R^2 {self.r2:.3f}",
            f"  B^2 = {self.bias2:.4g} ({100 * self.level:g} %: {b_low:.4g} to {b_high:.4g}), B = {self.bias:.4g}",
            f"  V   = {self.variance:.4g} ({v_low:.4g} to {v_high:.4g})",
        ]
        if math.isfinite(self.needed()):
            lines.append(f"  noise adds less than 10 % to the error from n = {math.ceil(self.needed())} on")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "schema": "forescale/noise-floor",
            "version": 1,
            "bias2": self.bias2,
            "bias": self.bias,
            "variance": self.variance,
            "r2": self.r2,
            "n": self.n,
            "level": self.level,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "needed_for_10_percent": self.needed(),
        }

    def to_json(self) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict())

    def __str__(self) -> str:
        return self.summary()


def noise_floor(
    n: ArrayLike, error: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.90
) -> NoiseFloor:
    """Fit E^2 = B^2 + V / n.

    Args:
        n: (m,) members, seeds or samples averaged, >= 1.
        error: (m,) root mean square errors, >= 0.
        weights: (m,) of the rows; default equal.
        level: of the intervals. Rows that share members are not independent: their intervals are too short.

    Raises:
        DataError: fewer than three rows, a single n, values that cannot be.
    """
    count = np.atleast_1d(np.asarray(n, dtype=np.float64))
    given = np.atleast_1d(np.asarray(error, dtype=np.float64))
    if (given < 0).any():
        raise DataError(message(f"an error of {given.min():g}", "root mean square errors, zero or more"))
    squared = given**2
    if count.shape != squared.shape or count.ndim != 1:
        raise DataError(message(f"n of shape {count.shape} and errors of shape {squared.shape}", "one length"))
    w = np.ones(count.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if count.size < 3 or np.unique(count).size < 2:
        raise DataError(
            message(f"{count.size} rows at {np.unique(count).size} values of n", "three rows, two values")
        )
    usable = np.isfinite(count).all() and np.isfinite(squared).all() and (count > 0).all()
    if not usable or w.shape != count.shape or not (w > 0).all():
        raise DataError(message("n, errors or weights that are not positive finite numbers", "values above zero"))
    if not 0.0 < level < 1.0:
        raise InputError(message(f"a level of {level}", "a number between 0 and 1, e.g. 0.9"))
    design = np.stack([np.ones(count.size), 1.0 / count], axis=1)
    root = np.sqrt(w)[:, None]
    inverse = np.linalg.inv((design * root).T @ (design * root))
    beta = inverse @ ((design * w[:, None]).T @ squared)
    rest = squared - design @ beta
    df = count.size - 2
    total = squared - np.average(squared, weights=w)
    residual = float((w * rest**2).sum())
    spread = float((w * total**2).sum())
    covariance = inverse * residual / df
    q = t_quantile(level, df)
    sd = np.sqrt(np.diag(covariance))
    ends = {name: (float(b - q * s), float(b + q * s)) for name, b, s in zip(("bias2", "variance"), beta, sd)}
    return NoiseFloor(
        float(beta[0]), float(beta[1]), covariance, 1.0 - residual / spread if spread > 0 else math.nan, count.size,
        level, float(count.min()), float(count.max()), Frozen(ends),
    )  # fmt: skip


@dataclass(frozen=True)
class Separation:
    """Two methods as n grows.

    Attributes:
        flip: n at which their order turns over; None where it does not at any n >= 1.
        separate: smallest whole n in the range of both from which on they differ by more than the interval of their
            difference allows; None where that is nowhere.
        better_few, better_many: "a" or "b": the lower error at the least n, and for n without end.
    """

    flip: float | None
    separate: int | None
    better_few: str
    better_many: str


def separation(a: NoiseFloor, b: NoiseFloor, *, level: float = 0.90) -> Separation:
    """From which n two methods can be told apart, and whether their order turns over.

    In squared errors the difference is the line (B_a^2 - B_b^2) + (V_a - V_b) / n with the sum of both covariances.
    """
    bias, variance = a.bias2 - b.bias2, a.variance - b.variance
    flip = -variance / bias if bias != 0 and -variance / bias >= 1.0 else None
    covariance = a.covariance + b.covariance
    q = t_quantile(level, min(a.df, b.df))
    least, most = math.ceil(max(a.least, b.least)), math.floor(min(a.most, b.most))
    separate = None
    for n in range(most, least - 1, -1):  # from the largest n down, as long as the two stay apart
        at = np.array([1.0, 1.0 / n])
        if abs(bias + variance / n) <= q * math.sqrt(float(at @ covariance @ at)):
            break
        separate = n
    few = bias + variance / max(least, 1)
    return Separation(flip, separate, "a" if few < 0 else "b", "a" if bias < 0 else "b")

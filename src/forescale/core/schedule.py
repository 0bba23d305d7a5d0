# SPDX-License-Identifier: Apache-2.0
"""The learning rate of every step of a run, and where it falls.

Steps are counted from 1: the rate of step k is the one that update k was made with. Step 0 is the model before
training, at rate 0; so a run without warm-up begins with one rise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, message

Array = NDArray[np.float64]

GROUPS = 200
"""Groups that the drops are merged into at most: 1e-4 of the loss for the multi-power law on a cosine."""

SHAPES = ("linear", "1-sqrt", "exponential")
"""How a cool-down may fall."""

NOTHING = 1e-12
"""A change of the rate below this share of the peak is the rounding of a log."""

LEAST = 1e-9
"""Share of the peak that stands for a rate of zero, whose negative power laws take."""


@dataclass(frozen=True, eq=False)
class Drops:
    """The K changes of a rate, or K groups of neighbouring ones.

    Attributes:
        size: how far the rate falls; negative where it rises.
        step: the first step at the new rate.
        before: sum of the rates of all steps before that one.
        after: the new rate, never quite zero.
        warmup: whether it belongs to the warm-up.
    """

    size: Array
    step: Array
    before: Array
    after: Array
    warmup: NDArray[np.bool_]

    def __len__(self) -> int:
        return self.size.size

    def where(self, chosen: NDArray[Any]) -> Drops:
        """Some of them: a mask (K,) or indices."""
        return Drops(*(getattr(self, name)[chosen] for name in ("size", "step", "before", "after", "warmup")))


@dataclass(frozen=True, eq=False)
class Schedule:
    """The learning rate of the steps 1 to T of a run.

    Attributes:
        lr: rate of each step, shape (T,), >= 0, read-only.
        warmup: steps of the warm-up: rises up to there belong to it.

    Raises:
        DataError: no steps, a rate that is negative or not finite, no rate above zero, or a warm-up that is no number
            of steps.
    """

    lr: Array
    warmup: int = 0

    def __post_init__(self) -> None:
        rates = np.array(self.lr, dtype=np.float64)
        if rates.ndim != 1 or rates.size == 0:
            raise DataError(message(f"learning rates of shape {rates.shape}", "one for each step of a run"))
        bad = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
        if bad.size:
            raise DataError(
                message(
                    f"the learning rate of step {int(bad[0]) + 1} is {rates[bad[0]]:g}", "a number >= 0 each step"
                )
            )
        if not rates.any():
            raise DataError(message("the learning rate is zero at every step", "a run that learns"))
        if isinstance(self.warmup, bool) or self.warmup != int(self.warmup) or not 0 <= self.warmup <= rates.size:
            raise DataError(message(f"a warm-up of {self.warmup} steps", f"0 to {rates.size} whole steps"))
        rates.flags.writeable = False
        object.__setattr__(self, "lr", rates)
        object.__setattr__(self, "warmup", int(self.warmup))

    # -- the usual ones -----------------------------------------------------------------------------------------

    @staticmethod
    def constant(peak: float, steps: int, *, warmup: int = 0) -> Schedule:
        """One rate throughout, after a linear warm-up."""
        return _warmed(np.full(_count(steps), float(peak)), peak, warmup)

    @staticmethod
    def cosine(peak: float, steps: int, *, end: float = 0.0, warmup: int = 0) -> Schedule:
        """Half a cosine from the peak at the end of the warm-up to `end` at the last step."""
        total = _count(steps)
        along = (np.arange(1, total + 1) - warmup) / max(total - warmup, 1)
        return _warmed(end + 0.5 * (peak - end) * (1.0 + np.cos(np.pi * along)), peak, warmup)

    @staticmethod
    def wsd(
        peak: float, steps: int, *, decay: float = 0.2, end: float = 0.0, shape: str = "linear", warmup: int = 0
    ) -> Schedule:
        """Warm-up, stable, decay: the rate falls from the peak to `end` over the last steps.

        Args:
            decay: length of the cool-down: a share of all steps below 1, else a number of steps.
            shape: `linear`; `1-sqrt`: by 1 - sqrt(share of the cool-down); `exponential`: by equal factors.

        Raises:
            DataError: an unknown shape, an exponential that would end at zero, or a cool-down of no or of all steps.
        """
        total = _count(steps)
        length = decay * total if decay < 1 else float(decay)
        if not 0 < length <= total - warmup:
            raise DataError(
                message(
                    f"a cool-down of {length:g} of {total} steps, {warmup} of which are warm-up",
                    "at least one step and at most all after the warm-up",
                )
            )
        along = np.clip((np.arange(1, total + 1) - (total - length)) / length, 0.0, 1.0)
        if shape == "linear":
            rates = peak + (end - peak) * along
        elif shape == "1-sqrt":
            rates = peak + (end - peak) * np.sqrt(along)
        elif shape == "exponential":
            if end <= 0:
                raise DataError(message("an exponential cool-down that ends at zero", "an end above zero"))
            rates = peak * (end / peak) ** along
        else:
            raise DataError(message(f"a cool-down of the shape {shape!r}", "one of " + ", ".join(SHAPES)))
        return _warmed(rates, peak, warmup)

    @staticmethod
    def stepped(rates: Mapping[int, float], steps: int, *, warmup: int = 0) -> Schedule:
        """Constant pieces: first step of a piece -> its rate, e.g. `stepped({1: 3e-4, 8000: 9e-5}, 16_000)`.

        Raises:
            DataError: no piece begins at step 1, or one begins after the last step.
        """
        total, begins = _count(steps), sorted(rates)
        if not begins or begins[0] != 1 or begins[-1] > total:
            raise DataError(message(f"pieces that begin at {begins}", f"the first at 1, all within {total} steps"))
        pieces = np.searchsorted(np.array(begins), np.arange(1, total + 1), side="right") - 1
        return _warmed(np.array([float(rates[k]) for k in begins])[pieces], float(rates[1]), warmup)

    @staticmethod
    def logged(step: ArrayLike, lr: ArrayLike, *, warmup: int | None = None) -> Schedule:
        """From the rates that a log holds at some steps: linear in between.

        Before the first logged step the rate is taken to have risen linearly from zero over the warm-up, which ends
        there unless `warmup` says that it ended earlier. NaN rates are steps where none was logged.

        Args:
            step: (n,) increasing, >= 0.  lr: (n,).
            warmup: steps of warm-up; default: as long as the logged rate rises.

        Raises:
            DataError: no rate at all, steps that do not increase, rates that are negative.
        """
        at, rates = np.asarray(step, dtype=np.float64), np.asarray(lr, dtype=np.float64)
        if at.ndim != 1 or at.shape != rates.shape:
            raise DataError(message(f"{at.shape} steps and {rates.shape} learning rates", "two rows of one length"))
        there = np.isfinite(rates)
        if not there.any():
            raise DataError(message("a log without learning rates", "the rate at some steps at least"))
        if not np.isfinite(at).all() or at[0] < 0 or np.any(np.diff(at) <= 0):
            raise DataError(message("logged steps that do not increase", "each step once, in order, from 0 on"))
        if np.any(rates[there] < 0):
            raise DataError(message("a negative learning rate was logged", "rates >= 0"))
        steps = np.arange(1, max(int(at[-1]), 1) + 1)
        at, rates = at[there], rates[there]
        filled = np.interp(steps, at, rates)
        if warmup is None:
            rising = np.diff(rates) > NOTHING * rates.max()
            turn = int(np.argmin(rising)) if rising.size and not rising.all() else rising.size
            warmup = int(at[turn])
            warmup = 0 if warmup <= 1 else warmup
        rise = min(at[0], warmup)
        filled = np.where(steps < rise, rates[0] * steps / max(rise, 1.0), filled)
        return Schedule(filled, min(warmup, steps.size))

    # -- reading ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.lr.size

    @property
    def peak(self) -> float:
        """The highest rate."""
        return float(self.lr.max())

    @cached_property
    def total(self) -> Array:
        """Sum of the rates up to each step, warm-up included, (T,): the S1 of annealing laws."""
        return np.cumsum(self.lr)

    def drops(self) -> Drops:
        """All changes of the rate, with the rises of the warm-up, in order."""
        return self._drops

    @cached_property
    def _drops(self) -> Drops:
        falls = -np.diff(self.lr, prepend=0.0)
        at = np.flatnonzero(np.abs(falls) > NOTHING * self.peak)
        before = np.concatenate([[0.0], self.total[:-1]])
        after = np.maximum(self.lr[at], LEAST * self.peak)
        return Drops(falls[at], at + np.float64(1.0), before[at], after, at < max(self.warmup, 1))

    def grouped(self, most: int = GROUPS) -> Drops:
        """Neighbouring changes merged into about `most` groups of equal size, and an eighth as many for the warm-up.

        A group stands at the mean of its changes, weighted by their size, so that what smooth laws make of it is
        right to second order. Rises and falls never share a group: a rate that turns more often than `most` times
        has more groups.
        """
        every = self.drops()
        if len(every) <= most:
            return every
        place = np.zeros(len(every))
        for part, groups in ((every.warmup, max(most // 8, 1)), (~every.warmup, most)):
            amount = np.abs(every.size[part])
            place[part] = np.floor((np.cumsum(amount) - 0.5 * amount) / max(amount.sum(), 1e-300) * groups)
        turns = (np.diff(np.sign(every.size)) != 0) | (np.diff(every.warmup.astype(np.int8)) != 0)
        group = np.concatenate([[0], np.cumsum((np.diff(place) != 0) | turns)])
        size = np.bincount(group, every.size).astype(np.float64)
        step, before, after = (
            np.bincount(group, every.size * x) / size for x in (every.step, every.before, every.after)
        )
        first = np.concatenate([[True], np.diff(group) != 0])
        return Drops(size, step, before, after, every.warmup[first])

    def __repr__(self) -> str:
        warm = f", warm-up {self.warmup}" if self.warmup else ""
        return f"Schedule({len(self)} steps{warm}, peak {self.peak:.4g}, end {self.lr[-1]:.4g})"


def _count(steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, (int, float, np.integer, np.floating)) or steps != int(steps):
        raise DataError(message(f"{steps!r} steps", "a whole number"))
    if steps < 1:
        raise DataError(message(f"a schedule of {steps} steps", "at least one"))
    return int(steps)


def _warmed(rates: Array, peak: float, warmup: int) -> Schedule:
    """The rates after a linear rise from zero that reaches the peak at step `warmup`."""
    if not 0 <= warmup < rates.size:
        raise DataError(message(f"a warm-up of {warmup} of {rates.size} steps", "fewer steps than the run has"))
    steps = np.arange(1, rates.size + 1)
    return Schedule(np.where(steps <= warmup, peak * steps / max(warmup, 1), rates), warmup)

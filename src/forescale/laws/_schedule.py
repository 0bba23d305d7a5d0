# SPDX-License-Identifier: Apache-2.0
"""What a law along training curves receives beside the columns: the schedules of the runs that its rows belong to.

Every row is one step of one run. What the law needs of the past of a row is a sum over the drops of the learning
rate before it; `over_drops` takes such sums run by run, in blocks that fit the cache, with exact derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import DataError, LawError, message, nearest
from forescale.core.schedule import GROUPS, Drops, Schedule

Array = NDArray[np.float64]

BLOCK = 1 << 14
"""Numbers per array of a block: 128 kB, so that a handful of them stays in the cache."""


@dataclass(frozen=True, eq=False)
class Past:
    """The K drops seen from the n rows of one block.

    Attributes:
        after: (K,) the rate after each drop.
        since: (n, K) sum of the rates from the drop to the row, both included; zero for drops to come.
        lag: (n, K) steps from the drop to the row, both included; zero for drops to come.
    """

    after: Array
    since: Array
    lag: Array


@dataclass(frozen=True, eq=False)
class Schedules:
    """The schedules of n rows.

    Attributes:
        schedules: one for each run.
        code: which of them each row belongs to, (n,).
        step: step of each row, (n,), 1 to the last of its schedule.
        most: groups that drops are merged into at most; None takes each drop by itself.
    """

    schedules: tuple[Schedule, ...]
    code: NDArray[np.intp]
    step: Array
    most: int | None = GROUPS

    def __post_init__(self) -> None:
        last = np.array([len(s) for s in self.schedules], dtype=np.float64)[self.code]
        bad = np.flatnonzero(~((self.step >= 1) & (self.step <= last)))
        if bad.size:
            i = int(bad[0])
            raise DataError(
                message(
                    f"step {self.step[i]:g} of a schedule of {last[i]:.0f} steps",
                    "steps from 1 to the last",
                    "make the schedule longer",
                )
            )

    @staticmethod
    def of(given: Any, step: ArrayLike, run: ArrayLike | None = None) -> Schedules:
        """From one Schedule for all rows, or run -> Schedule and the run of each row.

        Raises:
            LawError: neither of them, or a run without a schedule.
            DataError: a step outside of its schedule.
        """
        steps = np.atleast_1d(np.asarray(step, dtype=np.float64))
        if isinstance(given, Schedules):
            if given.step.shape != steps.shape:
                raise LawError(message(f"schedules of {given.step.size} rows for {steps.size} steps", "one each"))
            return given
        if isinstance(given, Schedule):
            return Schedules((given,), np.zeros(steps.shape, dtype=np.intp), steps)
        if not isinstance(given, Mapping) or run is None:
            seen = "a mapping without the run of each row" if isinstance(given, Mapping) else type(given).__name__
            raise LawError(
                message(f"the learning rate was given as {seen}", "a Schedule, or run -> Schedule and run=[...]")
            )
        names, code = np.unique(np.asarray(run, dtype=np.str_), return_inverse=True)
        for name in names.tolist():
            if name not in given:
                raise LawError(message(f"the run {name!r} has no schedule", "", nearest(name, map(str, given))))
        code = np.broadcast_to(code.reshape(-1), steps.shape)
        return Schedules(tuple(given[name] for name in names.tolist()), code.astype(np.intp), steps)

    def __len__(self) -> int:
        return int(self.step.size)

    def __getitem__(self, rows: Any) -> Schedules:
        """Some rows: a mask (n,) or indices."""
        return replace(self, code=self.code[rows], step=self.step[rows])

    def exact(self) -> Schedules:
        """The same with each drop by itself."""
        return replace(self, most=None)

    @cached_property
    def total(self) -> Array:
        """S1 (n,): sum of the rates of all steps up to each row, warm-up included."""
        out = np.empty(self.step.shape)
        for rows, schedule, _ in self._runs:
            out[rows] = schedule.total[self.step[rows].astype(np.intp) - 1]
        return out

    def over_drops(self, size: Callable[..., Any], *params: Any, warmup: bool) -> Any:
        """For each row the sum over the drops so far of their size times what the law makes of it.

        Args:
            size: `size(past, *params)` gives, from a `Past` of (n, K) and parameters of shape (..., n or 1, 1),
                an array or jet of shape (..., n, K).
            params: arrays or jets of shape (), (..., 1) or (..., n), as formulas get them.
            warmup: whether the rises of the warm-up count, as negative drops.

        Returns:
            Array or jet of shape (..., n).
        """
        problems = max((int(np.prod(np.shape(p)[:-1])) for p in params if np.ndim(p) > 1), default=1)
        parts, places = [], []
        for rows, schedule, drops in self._runs:
            chosen = drops if warmup else drops.where(~drops.warmup)
            width = max(BLOCK // max(problems * len(chosen), 1), 1)
            for first in range(0, rows.size, width):
                block = rows[first : first + width]
                parts.append(self._block(block, schedule, chosen, size, params))
                places.append(block)
        order = np.argsort(np.concatenate(places), kind="stable")
        return np.concatenate(parts, axis=-1)[..., order]

    def _block(
        self, rows: NDArray[np.intp], schedule: Schedule, drops: Drops, size: Callable[..., Any], params: Any
    ) -> Any:
        steps = self.step[rows]
        seen = int(np.searchsorted(drops.step, steps[-1], side="right"))
        past = drops.where(np.arange(seen))
        there = past.step <= steps[:, None]
        lag = np.where(there, np.floor(steps)[:, None] - past.step + 1.0, 0.0)
        since = np.where(there, schedule.total[steps.astype(np.intp) - 1][:, None] - past.before, 0.0)
        view = Past(past.after, since, lag)
        made = size(view, *(_lifted(p, rows) for p in params))
        return np.einsum("...nk,nk->...n", made, np.where(there, past.size, 0.0))

    @cached_property
    def _runs(self) -> list[tuple[NDArray[np.intp], Schedule, Drops]]:
        """Rows in order of their steps, schedule and drops of each run that has rows."""
        found = []
        for code, schedule in enumerate(self.schedules):
            rows = np.flatnonzero(self.code == code)
            if rows.size:
                drops = schedule.drops() if self.most is None else schedule.grouped(self.most)
                found.append((rows[np.argsort(self.step[rows], kind="stable")], schedule, drops))
        return found

    def __repr__(self) -> str:
        return f"Schedules({len(self)} rows of {len(self.schedules)} runs)"


def _lifted(param: Any, rows: NDArray[np.intp]) -> Any:
    """A parameter with an axis for the drops, at these rows where it differs from row to row."""
    shape = np.shape(param)
    if not shape:
        return param
    return param[..., None] if shape[-1] == 1 else param[..., rows, None]

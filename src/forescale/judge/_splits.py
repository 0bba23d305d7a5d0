# SPDX-License-Identifier: Apache-2.0
"""The rules by which a protocol divides rows into fitted and held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InputError, message
from forescale.core.frozen import Frozen
from forescale.runs.select import matches
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """One way to divide the rows of a case.

    Attributes:
        name: part of the task's name; "" where a case has one split.
        rule: key of `RULES`.
        options: what the rule needs.
    """

    name: str
    rule: str
    options: Mapping[str, Any]

    def option(self, name: str) -> Any:
        """One option.

        Raises:
            InputError: the file does not state it.
        """
        if name not in self.options:
            raise InputError(message(f"a split by {self.rule!r} lacks {name!r}"))
        return self.options[name]


def _top(rows: Runs, size: Array, split: Split) -> tuple[Mask, Mask]:
    """The largest levels of a column are held out: `levels`, or `levels_then` where there are `fewer_than`."""
    values = rows[split.option("column")]
    known = np.unique(values)
    few = len(known) < split.options.get("fewer_than", 0)
    held = np.isin(values, known[-int(split.option("levels_then") if few else split.option("levels")) :])
    return ~held, held


def _beyond(rows: Runs, size: Array, split: Split) -> tuple[Mask, Mask]:
    """Everything above the largest size divided by `ratio` is held out."""
    held = size > float(size.max()) / float(split.option("ratio"))
    return ~held, held


def _conditions(rows: Runs, size: Array, split: Split) -> tuple[Mask, Mask]:
    """Rows that meet all conditions of any list of `train`, and of any list of `held`."""
    return _any(rows, split.option("train")), _any(rows, split.option("held"))


def _flag(rows: Runs, size: Array, split: Split) -> tuple[Mask, Mask]:
    """A column of the source says which rows are fitted (1) and which predicted (0)."""
    values = rows[split.option("column")]
    return values == 1, values == 0


def _tail(rows: Runs, size: Array, split: Split) -> tuple[Mask, Mask]:
    """Of the largest model the last `share` of its tokens is held out; of every model the start is left aside.

    The start is the first `skip` tokens, or the share `skip_share` of a run where that is less. With `begun` the
    earlier checkpoints of the largest model are fitted too, else none of that model is.
    """
    codes, names = rows.group_codes("run")
    D = rows["D"]
    longest = np.array([D[codes == k].max() for k in range(len(names))])[codes]
    start = np.minimum(float(split.option("skip")), float(split.option("skip_share")) * longest)
    end = (1 - float(split.option("share"))) * longest
    target = rows["N"] == rows["N"].max()
    held = target & (end < D)
    used = (start <= D) & ~held
    train = used if split.option("begun") else used & ~target
    return train, held


RULES: Mapping[str, Callable[[Runs, Array, Split], tuple[Mask, Mask]]] = Frozen(
    {"top": _top, "beyond": _beyond, "conditions": _conditions, "flag": _flag, "tail": _tail}
)
"""Rule -> (rows, their sizes, the split) -> which rows are fitted, which are held out."""


def either(names: Iterable[str]) -> str:
    """What may stand in a field."""
    return "one of " + ", ".join(names)


def _any(rows: Runs, alternatives: Iterable[Iterable[str]]) -> Mask:
    mask = np.zeros(len(rows), dtype=bool)
    for conditions in alternatives:
        mask |= matches(rows, tuple(conditions))
    return mask

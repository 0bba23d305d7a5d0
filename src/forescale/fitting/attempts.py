# SPDX-License-Identifier: Apache-2.0
"""Tables of attempts, and what may be estimated from them under the rule by which they stopped.

Attempts at one problem are independent with one chance of a pass. Given the counts, their order is free where their
number was fixed; where they stopped at the r-th pass, the last one is a pass and the order of the others is free. So
"is there a pass among the first k?" has an unbiased estimate for either: its mean over all orders that are left. A
rule that nobody wrote down leaves only the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message, nearest
from forescale.fitting.estimators.success_rates import pass_at_k
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

STOP_RULES = {
    "fixed_n": "as many attempts as was decided beforehand",
    "until_r": "until the r-th pass, or until a cap",
    "until_first": "until the first pass, or until a cap",
    "adaptive": "any rule that looks at past outcomes only",
}
"""Why attempts at a problem ended."""


@dataclass(frozen=True, eq=False)
class Attempts:
    """Attempts at P problems.

    Attributes:
        trials, passed: (P,) counts.
        rule: a key of STOP_RULES.
        stopped: (P,) bool, the last attempt is the pass at which the attempts ended.
        weight: (P,) how much each problem counts.
    """

    trials: Array
    passed: Array
    rule: str
    stopped: NDArray[np.bool_]
    weight: Array

    @property
    def horizon(self) -> float:
        """Up to so many attempts the share of problems solved is known without a model; 0 for adaptive rules."""
        if self.rule == "adaptive":
            return 0.0
        running = ~self.stopped
        return float(self.trials[running].min() if running.any() else self.trials.max())

    @property
    def solved(self) -> NDArray[np.bool_]:
        """(P,) problems with a pass."""
        return self.passed > 0

    def curve(self, k: Array) -> Array:
        """Unbiased chance of a pass among the first k attempts at each problem, (P, K), for k up to `horizon`.

        Raises:
            DataError: k beyond the horizon, or attempts that stopped by a rule that looks at outcomes otherwise.
        """
        k = np.asarray(k, dtype=np.float64)
        if k.size and k.max() > self.horizon:
            raise DataError(
                message(f"{k.max():g} attempts, measured are {self.horizon:g} ({self.rule})", "no more than those")
            )
        kinds, place = np.unique(np.stack([self.trials, self.passed, self.stopped]), axis=1, return_inverse=True)
        n, c, last = kinds[:, :, None]  # like problems are reckoned once
        free, passes = n - last, c - last
        found = pass_at_k(free, passes, np.minimum(k, free))
        # Only a problem that stopped at a pass can be asked beyond its attempts.
        return np.asarray(np.where(k > free, 1.0, found)[place.ravel()])

    def coverage(self, k: Array) -> Array:
        """Unbiased share of problems with a pass among the first k attempts, (K,)."""
        return np.asarray(self.weight @ self.curve(k) / self.weight.sum())

    def thinned(self, most: int, rng: np.random.Generator) -> Attempts:
        """The same problems, had attempts ended after `most`: a random order of what is free, cut."""
        last = self.stopped.astype(np.float64)
        free, passes = self.trials - last, self.passed - last
        cut = self.trials > most
        drawn = rng.hypergeometric(
            passes.astype(np.int64), (free - passes).astype(np.int64), np.minimum(most, free).astype(np.int64)
        )
        return replace(
            self,
            trials=np.where(cut, float(most), self.trials),
            passed=np.where(cut, drawn, self.passed),
            stopped=self.stopped & ~cut,
        )  # fmt: skip


def attempts_of(table: Runs, rule: str | None = None, until: int | None = None) -> Attempts:
    """Check a table of attempts: columns trials and passed, one row per problem; perhaps the label stop_rule.

    Args:
        rule: a key of STOP_RULES; None: as the label `stop_rule` says.
        until: passes at which attempts ended, for until_r; None: the most that any problem has.

    Raises:
        QueryError: no rule, an unknown one, or two that differ; until without until_r.
        DataError: counts that are none or that contradict the rule; a problem that stands in two rows.
    """
    table = require(table, "trials", "passed")
    n, c = table["trials"], table["passed"]
    if not len(table):
        raise DataError(message("a table of attempts without rows", "one row per problem"))
    whole = np.isfinite(n) & np.isfinite(c) & (n == np.round(n)) & (c == np.round(c)) & (n >= 1) & (c >= 0) & (c <= n)
    if not whole.all():
        bad = np.flatnonzero(~whole)[:5]
        shown = ", ".join(f"row {i + 1}: {c[i]:g} of {n[i]:g}" for i in bad)
        raise DataError(
            message(
                f"{(~whole).sum()} of the rows are no counts ({shown})",
                "whole numbers, 0 <= passed <= trials",
            )
        )
    _once(table)
    rule = _rule(table, rule)
    if rule != "until_r" and until is not None:
        raise QueryError(
            message(f"until = {until} beside stop_rule = {rule}", "until belongs to stop_rule = until_r")
        )
    stopped = np.zeros(len(n), dtype=bool)
    if rule in ("until_r", "until_first"):
        wanted = 1.0 if rule == "until_first" else float(c.max() if until is None else until)
        if (c > wanted).any():
            raise DataError(
                message(
                    f"{c.max():g} passes where attempts stop at {wanted:g} ({rule})",
                    f"at most {wanted:g}",
                    "adaptive, if attempts were made in batches",
                )
            )
        stopped = (c >= wanted) & (wanted > 0)
    weight = np.ones(len(n)) if table.weights is None else np.asarray(table.weights)
    return Attempts(n, c, rule, stopped, weight)


def _rule(table: Runs, rule: str | None) -> str:
    known = f"one of {', '.join(STOP_RULES)}"
    said = sorted(set(table.labels["stop_rule"].tolist())) if "stop_rule" in table.labels else []
    if rule is None and not said:
        raise QueryError(
            message(
                "no stop_rule: why the attempts at a problem ended decides what may be estimated from them",
                f"{known}, as a field of the query or as a column",
                "fixed_n, if every problem got a number of attempts that was set beforehand",
            )
        )
    if len(said) > 1 or (rule is not None and said and said != [rule]):
        both = [*said, *([rule] if rule is not None and rule not in said else [])]
        raise QueryError(
            message(f"stop_rule is {' and '.join(both)}", "one rule for all problems", "split the table")
        )
    found = rule if rule is not None else said[0]
    if found not in STOP_RULES:
        raise QueryError(message(f"stop_rule = {found!r}", known, nearest(found, list(STOP_RULES))))
    return found


def _once(table: Runs) -> None:
    if "problem" not in table.labels:
        return
    names, count = np.unique(table.labels["problem"], return_counts=True)
    if (count > 1).any():
        raise DataError(
            message(
                f"problem {names[np.argmax(count)]!r} stands in {count.max()} rows",
                "one row per problem",
                "choose one model, or add up the counts",
            )
        )

# SPDX-License-Identifier: Apache-2.0
"""Models that answer the same problems: what share samples solve, with draws from fits or from counts.

Fits bring their draws. Counts (attempts and passes per problem) have none: problems are drawn again, the same for all
models where they share them, and a beta distribution of success rates is fitted to each resample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message
from forescale.fitting._fit import Finding
from forescale.laws.coverage import beta_rates
from forescale.numerics.optimum import Where, root
from forescale.numerics.resample import bootstrap_rows
from forescale.planning._plan import Basis, Grounds
from forescale.runs.table import Runs

Array = NDArray[np.float64]

RESAMPLES = 200
MOST = 1e12  # samples beyond which nothing is looked for


def unerring(samples: float) -> list[Finding]:
    """What must be said of coverage as a score: it takes a checker that never errs to choose among samples."""
    if samples <= 1:
        return []
    return [
        Finding(
            "coverage",
            "amber",
            "Coverage is what a perfect choice among samples reaches. A majority vote or a reward model reaches "
            "less, and stops gaining early (Brown et al. 2024: of Llama-3-8B's 98 % on MATH, votes reach 41 %).",
            "Ask the question 'verifier' for a checker that errs.",
        )
    ]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model.

    Attributes:
        name: what it is called.
        coverage: samples (B, K) or (K,) -> share of the problems with a right one, (B, K).
        seen: most samples per problem that were measured; NaN where nobody says.
        problems, unsolved: how many stand behind it, and how many never passed; NaN from a fit.
        trials, passed: the counts, empty from a fit.
        facts: mean of the columns that price a sample: "dollars", "N", "prompt_tokens", "decode_tokens".
    """

    name: str
    coverage: Callable[[Any], Array]
    seen: float
    problems: float
    unsolved: float
    trials: Array
    passed: Array
    facts: Mapping[str, float]

    def measured(self, samples: float) -> float | None:
        """The unbiased share at a whole number of samples, where all problems had one number of attempts, enough."""
        if not self.trials.size or samples < 1 or samples > self.trials.min() or np.ptp(self.trials) > 0:
            return None
        from forescale.fitting.estimators.success_rates import pass_at_k

        return float(pass_at_k(self.trials, self.passed, samples).mean())

    def samples_for(self, coverage: Array) -> Array:
        """(B,) samples, not rounded, that reach coverages (B,): 1 where one does, infinite where none do."""
        wide = np.ones(len(coverage))
        found = root(lambda k: self.coverage(k) - coverage[:, None], wide, MOST * wide, rtol=1e-10)
        lost = np.select([found.where == Where.LOWER, found.where == Where.UPPER], [1.0, np.inf], np.nan)
        return np.where(found.found, found.x, lost)


def candidates(grounds: Grounds, names: Sequence[str]) -> tuple[list[Candidate], int]:
    """All models of fits and tables, in the order in which they were given, and the number of rows B of each.

    Raises:
        QueryError: fewer than two models, names that repeat or are too many.
        DataError: counts that are none.
    """
    fits = grounds.each("coverage")
    tables = [table for name, table in grounds.tables.items() if name.startswith("attempts")]
    rows = grounds.rows if grounds.rows > 1 or not tables else RESAMPLES + 1
    found = [_from_fit(basis) for basis in fits]
    found += _from_tables(tables, rows)
    if len(found) < 2:
        held = found[0].name if found else "no model"
        raise QueryError(
            message(
                f"a choice between models, and {held} alone was given",
                "two fits of coverage-beta or coverage-power, or counts of attempts of two models",
                "a table with trials and passed for each problem and the label model",
            )
        )
    if names and len(names) != len(found):
        known = ", ".join(one.name for one in found)
        raise QueryError(message(f"names has {len(names)} and there are {len(found)} models: {known}"))
    called = list(names) or [one.name for one in found]
    if len(set(called)) < len(called):
        called = [f"{name} ({i})" if called.count(name) > 1 else name for i, name in enumerate(called, 1)]
    return [_named(one, name) for one, name in zip(found, called)], rows


def _named(one: Candidate, name: str) -> Candidate:
    return replace(one, name=name)


def _from_fit(basis: Basis) -> Candidate:
    surface = basis.surface

    def coverage(samples: Any) -> Array:
        k = np.asarray(samples, dtype=np.float64)
        return np.where(k > 0, surface.law(surface.params, attempts=np.where(k > 0, k, 1.0)), 0.0)

    source = "" if basis.fit is None else basis.fit.source
    name = source.partition(":")[2] or source or surface.law.id
    seen = surface.fitted_range.get("attempts", (np.nan, np.nan))[1]
    empty = np.empty(0)
    return Candidate(name, coverage, float(seen), np.nan, np.nan, empty, empty, {})


# ------------------------------------------------------------------------------------------------------------ counts


def _from_tables(tables: Sequence[Runs], rows: int) -> list[Candidate]:
    parts = [part for table in tables for part in _models(table)]
    if not parts:
        return []
    for name, table in parts:
        _check(name, table)
    weights = _weights([table for _, table in parts], rows - 1)
    return [_from_counts(name, table, weight) for (name, table), weight in zip(parts, weights)]


def _models(table: Runs) -> list[tuple[str, Runs]]:
    if "model" not in table.labels:
        return [(table.source, table)]
    labels = table.labels["model"]
    return [(str(name), table.where(labels == name)) for name in dict.fromkeys(labels.tolist())]


def _check(name: str, table: Runs) -> None:
    n, c = table["trials"], table["passed"]
    if not (np.isfinite(n) & np.isfinite(c) & (n >= 1) & (c >= 0) & (c <= n)).all():
        raise DataError(message(f"attempts of {name} that are no counts", "0 <= passed <= trials, one trial or more"))
    if len(table) < 2 or c.sum() == 0 or (c == n).all():
        seen = "one problem" if len(table) < 2 else "no pass at all" if c.sum() == 0 else "no failure at all"
        raise DataError(
            message(f"{seen} by {name}", "several problems, some attempts that passed and some that did not")
        )


def _weights(tables: Sequence[Runs], draws: int) -> list[Array]:
    """(draws, m) how often each problem was drawn, for each table; the same draw where tables share all problems."""
    keys = [table.labels["problem"].tolist() if "problem" in table.labels else None for table in tables]
    first = keys[0]
    once = first is not None and len(set(first)) == len(first)
    if once and first and all(key is not None and sorted(key) == sorted(first) for key in keys):
        place = {problem: i for i, problem in enumerate(first)}
        drawn = bootstrap_rows(len(first), draws, 0) if draws else np.empty((0, len(first)))
        return [drawn[:, [place[problem] for problem in key or ()]] for key in keys]
    return [bootstrap_rows(len(t), draws, i) if draws else np.empty((0, len(t))) for i, t in enumerate(tables)]


def _from_counts(name: str, table: Runs, drawn: Array) -> Candidate:
    # Only tables need the likelihood: plans from fits and published constants start without it.
    from forescale.fitting.estimators.success_rates import likeliest

    n, c = table["trials"], table["passed"]
    pairs, place = np.unique(np.stack([n, c]), axis=1, return_inverse=True)
    place = place.ravel()
    once = np.ones(len(n)) if table.weights is None else table.weights
    whole = np.bincount(place, once).astype(np.float64)[None, :]
    estimate = likeliest(pairs[0], pairs[1], whole)[0]
    every = np.zeros((len(drawn), pairs.shape[1]))
    np.add.at(every.T, place, (drawn * once).T)
    usable = (every @ pairs[1] > 0) & (every @ (pairs[0] - pairs[1]) > 0)
    fitted = np.full((len(drawn), 2), np.nan)
    if usable.any():
        fitted[usable] = likeliest(pairs[0], pairs[1], every[usable], start=estimate, accuracy=1e-6)
    alpha, beta = np.concatenate([estimate[None, :], fitted]).T[:, :, None]

    def coverage(samples: Any) -> Array:
        k = np.asarray(samples, dtype=np.float64)
        return np.where(k > 0, beta_rates(np.where(k > 0, k, 1.0), alpha, beta), 0.0)

    facts = {
        column: float(np.mean(table[column]))
        for column in ("dollars", "N", "prompt_tokens", "decode_tokens")
        if column in table.columns and np.isfinite(table[column]).all()
    }
    return Candidate(name, coverage, float(n.max()), float(len(n)), float((c == 0).sum()), n, c, facts)

# SPDX-License-Identifier: Apache-2.0
"""What tables of samples say beside the answer: tokens and their spread, rounds of feedback against fresh samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from forescale.fitting.estimators.success_rates import pass_at_k
from forescale.fitting.estimators.voting import spread, within_correlation
from forescale.planning._plan import Table
from forescale.runs.samples import attempts
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

STRATA = (("hard", 0.0, 1 / 3), ("medium", 1 / 3, 2 / 3), ("easy", 2 / 3, 1.0))
"""Problems by the share of their samples that is right."""


def costs(samples: Runs) -> list[Table]:
    """Tokens of a sample, split between and within problems, and whether longer samples are right more often.

    One row for all problems, and one for each third of difficulty that some problems fall in.
    """
    if "decode_tokens" not in samples.columns:
        return []
    known = samples.where(np.isfinite(samples["decode_tokens"]) & (samples["decode_tokens"] > 0))
    if len(known) == 0:
        return []
    problems, _ = known.group_codes("problem")
    tokens, right = known["decode_tokens"], known["correct"]
    rate = np.bincount(problems, right) / np.bincount(problems)
    rows = [_cost("all", tokens, right, problems)]
    for name, low, high in STRATA:
        inside = (rate >= low) & ((rate < high) | (high == 1.0))
        chosen = inside[problems]
        if 1 < inside.sum() < inside.size:
            _, codes = np.unique(problems[chosen], return_inverse=True)
            rows.append(_cost(name, tokens[chosen], right[chosen], codes))
    return [
        Table(
            "tokens",
            "Tokens of a sample",
            (
                ("problems", ""), ("how many", "count"), ("mean", "tokens"), ("sd between problems", "tokens"),
                ("sd within", "tokens"), ("cv within", ""), ("icc", ""), ("right and tokens, within", ""),
            ),
            tuple(rows),
            "The last column is the correlation among samples of one problem: longer is not better where it is not "
            "above zero. icc: share of the variance that the problem explains.",
        )
    ]  # fmt: skip


def _cost(name: str, tokens: Array, right: Array, problems: NDArray[np.intp]) -> Row:
    split = spread(tokens, problems)
    tied = within_correlation(tokens, right, problems)
    count = float(problems.max() + 1)
    if split is None:
        return name, count, float(tokens.mean()), None, None, None, None, None
    return (
        name, count, split.mean, math.sqrt(split.between), math.sqrt(split.within), split.repeated, split.icc,
        None if math.isnan(tied) else tied,
    )  # fmt: skip


def rounds(samples: Runs) -> tuple[Runs, list[Table]]:
    """Samples drawn independently, and what rounds of feedback solve beside them.

    A sample with a `round` (1, 2, ...) belongs to a chain in which each round sees the criticism of the one before
    (one chain a problem, or as the label `run` says). Of the chains that reach round j unsolved a share q_j is solved
    there; by round m it is 1 - prod (1 - q_j). Beside it stands the share of problems solved by as many fresh samples
    as cost the same tokens (Balachandran et al. 2025 compare the two).
    """
    if "round" not in samples.columns:
        return samples, []
    number = samples["round"]
    fresh, chained = samples.where(~(number >= 1)), samples.where(number >= 1)
    if len(fresh) == 0 or len(chained) == 0:
        return (fresh if len(fresh) else samples), []
    chain = np.char.add(np.char.add(chained.labels["problem"], "\x1f"), chained.labels.get("run", ""))
    names, chains = np.unique(chain, return_inverse=True)
    known = "decode_tokens" in samples.columns
    counts = attempts(fresh)
    per = float(fresh["decode_tokens"].mean()) if known else 1.0
    open_, unsolved, spent = np.ones(names.size, dtype=bool), 1.0, 0.0
    rows: list[Row] = []
    for j in range(1, int(chained["round"].max()) + 1):
        here = (chained["round"] == j) & open_[chains]
        if not here.any():
            break
        share = float(chained["correct"][here].mean())
        spent += unsolved * (float(chained["decode_tokens"][here].mean()) if known else 1.0)
        unsolved *= 1.0 - share
        open_[chains[here & (chained["correct"] == 1.0)]] = False
        k = spent / per
        rows.append((float(j), float(here.sum()), share, 1.0 - unsolved, spent if known else None, k,
                     _parallel(counts, k)))  # fmt: skip
    return fresh, [
        Table(
            "sequential",
            "Rounds of feedback against fresh samples of the same tokens",
            (
                ("round", "count"), ("chains", "count"), ("solved there", ""), ("solved by then", ""),
                ("tokens", "tokens"), ("fresh samples", ""), ("solved by them", ""),
            ),
            tuple(rows),
            "Both count a problem as solved when some sample is right: a perfect verifier ends the chain. A solved "
            "chain stops spending; fresh samples are all paid for.",
        )
    ]  # fmt: skip


def _parallel(counts: Runs, k: float) -> float | None:
    """Share of problems solved by k fresh samples, k between whole numbers; None beyond the samples."""
    low = max(1, math.floor(k))
    if math.ceil(k) > counts["trials"].min():
        return None
    ends = [float(pass_at_k(counts["trials"], counts["passed"], at).mean()) for at in (low, max(low, math.ceil(k)))]
    return ends[0] + (ends[1] - ends[0]) * max(0.0, k - low)

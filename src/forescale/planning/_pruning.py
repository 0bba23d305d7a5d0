# SPDX-License-Identifier: Apache-2.0
"""Keep the hard or the easy examples, and how many (Sorscher et al. 2022)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.numerics.resample import bootstrap_rows
from forescale.planning._compose import refused
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Expected, Table
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]

RESAMPLES = 400

PERCEPTRON = (
    # samples per dimension, share kept, rule, error
    (1.5, 0.25, "hard", 0.462), (1.5, 0.25, "random", 0.347), (1.5, 0.25, "easy", 0.228),
    (16.0, 0.25, "hard", 0.030), (16.0, 0.25, "random", 0.103), (16.0, 0.25, "easy", 0.054),
    (48.0, 0.25, "hard", 0.0104), (48.0, 0.25, "random", 0.0391), (48.0, 0.25, "easy", 0.0190),
    (1.0, 1.0, "all", 0.281), (2.0, 1.0, "all", 0.1855), (4.0, 1.0, "all", 0.11025), (8.0, 1.0, "all", 0.05825),
    (16.0, 1.0, "all", 0.0297), (32.0, 1.0, "all", 0.494 / 32),
)  # fmt: skip
"""Our simulation of a perceptron of largest margin taught by another one, with a perfect score: 200 dimensions, four
seeds. Rule "all": everything is kept."""


def plan(runs: Runs | None, size: float, keep: float | None, tolerance: float, level: float) -> dict[str, Any]:
    """What `composed` needs: the rule and the share of least error, by lines of ln error in ln size.

    Args:
        runs: D (examples before pruning), keep, rule and error; None takes the perceptron, whose size is samples per
            dimension.
        size: examples there are.
        keep: the share that may be kept; None chooses the least one whose error is within `tolerance` of the best.

    Raises:
        QueryError: a share that no rule was run at.
        DataError: rules at fewer than two sizes, errors that are not positive.
        RefusedError: a size at which the lines leave what an error can be.
    """
    D, share, rule, error = _columns(runs)
    pairs = sorted({(str(r), f) for r, f in zip(rule, share.tolist())}, key=lambda pair: (-pair[1], pair[0]))
    rng = np.random.default_rng(0)
    lines = {pair: _line(D, error, (rule == pair[0]) & (share == pair[1]), size, rng) for pair in pairs}
    values = {pair: line for pair, line in lines.items() if line is not None}
    shares = sorted({f for _, f in values})
    if keep is not None and not any(abs(f - keep) < 1e-9 for f in shares):
        raise QueryError(
            message(f"keep = {keep:g}", "one of the shares that were run: " + ", ".join(f"{f:g}" for f in shares))
        )
    if not values:
        raise DataError(message("no rule at two sizes", "each rule and share at two numbers of examples or more"))
    rows = max(len(v) for v in values.values())
    least = min(of_estimate(v) for v in values.values())
    able = [pair for pair in values if keep is None or abs(pair[1] - keep) < 1e-9]
    within = [pair for pair in able if of_estimate(values[pair]) <= (1 + tolerance) * least]
    chosen = (
        min(within, key=lambda pair: (pair[1], of_estimate(values[pair])))
        if keep is None and within
        else min(able, key=lambda pair: of_estimate(values[pair]))
    )
    kept_rule, kept_share = chosen
    if of_estimate(values[chosen]) >= 1.0 > error.max():
        raise refused(
            f"at {format_short(size)} the lines would have an error of {of_estimate(values[chosen]):.4g}",
            "an error below one",
            "a size nearer to the runs",
        )
    what = "examples" if runs is not None else "samples per dimension"
    here = np.broadcast_to(values[chosen], rows)
    at_share = [pair for pair in values if pair[1] == kept_share]
    wins = np.stack([np.broadcast_to(values[pair], rows) for pair in at_share]).argmin(axis=0)
    decision: dict[str, Decided] = {
        "keep": Decided(100.0 * kept_share, None, None, "%", f"share to keep, by the rule {kept_rule!r}"),
        "kept": Decided(kept_share * size, None, None, "samples", f"{what} that are left"),
    }
    if rows > 1:
        won = 100.0 * float(np.mean(wins[1:] == at_share.index(chosen)))
        decision["chance"] = Decided(won, None, None, "%", "resamples in which this rule is the best at this share")
    full = [pair for pair in values if pair[1] >= 1.0]
    if full:
        cost = 100.0 * (here / np.broadcast_to(values[full[0]], rows) - 1.0)
        decision["pruning_costs"] = decided(cost, "%", level, "error that pruning adds to that of all examples")
    if {("easy", kept_share), ("hard", kept_share)} <= set(values):
        decision["switch_at"] = decided(
            _switch(D, error, rule, share, kept_share), "samples", level,
            f"{what} above which the hard ones are the ones to keep",
        )  # fmt: skip
    table = Table(
        "alternatives",
        f"Rules and shares at {format_short(size)} {what}",
        (("rule", ""), ("keep", "%"), ("kept", "samples"), ("error", ""), ("from", ""), ("to", ""), ("error +", "%")),
        tuple(
            (r, 100.0 * f, f * size, of_estimate(v), *(interval(v, level) or (None, None)),
             100.0 * (of_estimate(v) / least - 1.0))
            for (r, f), v in sorted(values.items(), key=lambda item: of_estimate(item[1]))
        ),
        "Errors by a straight line of ln error in ln size, through what was run.",
    )  # fmt: skip
    grid = size * np.geomspace(1 / 16, 16, 41)
    curves = {
        f"{r} {100 * f:g} %": _at(D, error, (rule == r) & (share == f), grid)
        for r, f in values
        if f == kept_share or f >= 1.0
    }
    seen = D[np.isin(rule, ["hard", "easy"])] if np.isin(rule, ["hard", "easy"]).any() else D
    warnings = []
    if size > 2 * seen.max() or size < seen.min() / 2:
        warnings.append(
            Finding(
                "distance",
                "amber",
                f"{format_short(size)} {what} lie outside of the {format_short(float(seen.min()))} to "
                f"{format_short(float(seen.max()))} of the runs.",
                "Keep-easy wins where examples are scarce and keep-hard where they are plenty: a third size tells.",
            )
        )
    if kept_share < 1:
        warnings.append(
            Finding(
                "imperfect-score",
                "amber",
                "An imperfect score fails suddenly below a least share: at 48 samples per dimension and 8 % kept the "
                "error is .0105 with a perfect score and .35 with one 10 degrees off.",
                "Do not keep less than was run; keep at least half of the even share of each class.",
            )
        )
    return {
        "headline": (
            f"Keep {_rule(kept_rule, kept_share)} of {format_short(size)} {what}: expected error "
            f"{of_estimate(here):.4g}"
            + (f", {of_estimate(values[full[0]]):.4g} with all." if full and kept_share < 1 else ".")
        ),
        "decision": decision,
        "expected": {"error": Expected(of_estimate(here), interval(here, level), None, "", "error")},
        "binding": f"keep = {keep:g}" if keep is not None else f"an error within {100 * tolerance:g} % of the least",
        "tables": (table,),
        "curves": {"error": Frozen({what: grid, **curves})},
        "warnings": warnings,
        "assumptions": [
            "No runs were given: a perceptron of largest margin, a perfect score; sizes are samples per dimension."
            if runs is None
            else f"Runs: {len(runs)}; intervals by drawing the runs of each cell with replacement, seed 0, where it "
            "has several.",
            "Scores cost compute of their own, which is not counted.",
        ],
        "papers": ("sorscher2022",),
    }


def _rule(name: str, share: float) -> str:
    return "all" if share >= 1 else f"{show(100 * share, '%')} by the rule {name!r}"


def _columns(runs: Runs | None) -> tuple[Array, Array, NDArray[np.str_], Array]:
    if runs is None:
        D, keep, rule, error = (np.array(x) for x in zip(*PERCEPTRON))
        return D.astype(float), keep.astype(float), rule, error.astype(float)
    rule = np.array([str(v) for v in runs.labels["rule"]])
    D, keep, error = runs["D"], runs["keep"], runs["error"]
    if not ((error > 0).all() and (D > 0).all() and (keep > 0).all() and (keep <= 1).all()):
        raise DataError(message("errors, sizes or shares out of range", "error > 0, D > 0, 0 < keep <= 1"))
    return D, keep, rule, error


def _line(D: Array, error: Array, rows: NDArray[np.bool_], size: float, rng: np.random.Generator) -> Array | None:
    """(B,) error at a size, by lines through the means of resampled cells; None for a single size."""
    sizes = np.unique(D[rows])
    if sizes.size < 2:
        return None
    means = []
    for one in sizes:
        y = np.log(error[rows & (one == D)])
        drawn = bootstrap_rows(y.size, RESAMPLES, int(rng.integers(2**31))) @ y / y.size
        means.append(np.concatenate([[y.mean()], drawn]))
    found = np.exp(_through(np.log(sizes), np.stack(means, axis=1), math.log(size)))
    return found if np.ptp(found) > 0 else found[:1]


def _through(x: Array, y: Array, at: Array | float) -> Array:
    """(B,) or (k,) lines through (B, m), or one (1, m) at (k,): the two neighbours, the last two beyond the ends."""
    j = np.clip(np.searchsorted(x, at), 1, x.size - 1)
    part = (at - x[j - 1]) / (x[j] - x[j - 1])
    return np.asarray(y[:, j - 1] * (1 - part) + y[:, j] * part).reshape(-1)


def _at(D: Array, error: Array, rows: NDArray[np.bool_], sizes: Array) -> Array:
    """(k,) errors of one rule and share at sizes."""
    run = np.unique(D[rows])
    y = np.array([[np.log(error[rows & (one == D)]).mean() for one in run]])
    return np.exp(_through(np.log(run), y, np.log(sizes)))


def _switch(D: Array, error: Array, rule: NDArray[np.str_], share: Array, keep: float) -> Array:
    """(1,) examples at which easy and hard err alike, on the lines between sizes; infinite or zero where one wins."""
    grid = np.geomspace(D.min() / 100, D.max() * 100, 2001)
    easy, hard = (np.log(_at(D, error, (rule == name) & (share == keep), grid)) for name in ("easy", "hard"))
    gain = easy - hard
    turns = np.flatnonzero((gain[:-1] <= 0) & (gain[1:] > 0))
    if not turns.size:
        return np.array([np.inf if gain[-1] <= 0 else 0.0])
    k = int(turns[-1])
    part = -gain[k] / (gain[k + 1] - gain[k])
    return np.array([grid[k] * (grid[k + 1] / grid[k]) ** part])

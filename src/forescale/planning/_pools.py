# SPDX-License-Identifier: Apache-2.0
"""Which pools of filtered data to use for a number of samples, and how often (Goyal et al. 2024)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting.estimators import qqt
from forescale.planning._compose import refused
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Expected, Table
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]

DRAWS = 400
FEW = 4  # numbers of samples of a pool below which b and tau hardly part
PUBLISHED = (32e6, 640e6)  # samples of the runs behind the published constants
BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
WIDE = np.geomspace(1e-2, 1e2, 161)  # around the budget, where the next pool is looked for


def plan(runs: Runs | None, samples: float, by: str, floor: float | None, level: float) -> dict[str, Any]:
    """What `composed` needs: the best of the prefixes "the q most useful pools".

    Args:
        runs: D, D_unique, error and the label column `by`; None takes the authors' constants for DataComp.
        floor: the error that stays; None fits it.

    Raises:
        QueryError: a floor that runs fell below.
        DataError: errors that are no shares.
        RefusedError: fewer samples than the curves of the pools can stand for.
    """
    if runs is not None:
        _fit_for_pools(runs, by, floor)
    state = qqt.GOYAL2024 if runs is None else qqt.learn(runs, {"by": by, "d": floor, "code_compat": False})
    drawn = qqt.draws(state, runs, DRAWS)
    P = len(drawn.names)
    errors = _errors(drawn, samples)[:, 0]
    best = errors.argmin(axis=1)
    q = int(best[0])
    value = float(errors[0, q])
    if value >= 1.0:
        raise refused(
            f"at {format_short(samples)} samples the curves of the pools would have an error of {value:.4g}",
            f"an error below one: about a pass over a pool ({format_short(state.size)} samples) or more",
            "more samples",
        )
    passes = samples / ((best + 1) * state.size)
    chance = 100.0 * np.bincount(best[1:], minlength=P) / max(len(best) - 1, 1)
    decision: dict[str, Decided] = {
        "pools": decided(best + 1.0, "count", level, f"most useful pools to use, of {P}"),
        "share": decided(100.0 * (best + 1.0) / P, "%", level, "share of the data kept"),
        "passes": decided(passes, "", level, "passes over each pool used"),
        "all_cost": decided(
            100.0 * (errors[:, -1] / errors.min(axis=1) - 1.0), "%", level, "error that using all adds"
        ),
    }
    following = _next(drawn, samples, q)
    if following is not None:
        decision["next_pool_at"] = decided(following, "samples", level, "samples from which one more pool pays")
    b, tau = drawn.b[0], drawn.tau[0]
    used = tuple(drawn.names[: q + 1])
    count = of_estimate(passes)
    left = 0.5 ** (count / ((q + 1) * tau))
    pools = Table(
        "pools",
        "The pools, most useful first",
        (("pool", ""), ("b", ""), ("half-life", ""), ("use", ""), ("passes", ""), ("utility left", "%")),
        tuple(
            (n, float(b[i]), float(tau[i]), "yes" if i <= q else "", count if i <= q else 0.0,
             100.0 * float(left[i]) if i <= q else 100.0)
            for i, n in enumerate(drawn.names)
        ),
        "half-life: passes over the pool alone after which a pass is worth half; p times as many in a mix of p.",
    )  # fmt: skip
    filters = Table(
        "alternatives",
        f"Filters of each strictness at {format_short(samples)} samples",
        (("pools", "count"), ("passes", ""), ("error", ""), ("from", ""), ("to", ""), ("error +", "%"),
         ("best in", "%")),
        tuple(
            (float(k + 1), samples / ((k + 1) * state.size), float(errors[0, k]),
             *(interval(errors[:, k], level) or (None, None)), 100.0 * float(errors[0, k] / errors[0].min() - 1.0),
             float(chance[k]) if len(best) > 1 else None)
            for k in range(P)
        ),
    )  # fmt: skip
    sizes = samples * np.array(BUDGETS)
    rows = [
        (float(n), k + 1.0, float(n) / ((k + 1) * state.size), float(line[k]), float(line[-1]))
        for n, line in zip(sizes, _errors(drawn, sizes)[0])
        for k in [int(line.argmin())]
    ]
    budgets = Table(
        "budgets",
        "A filter must depend on the compute",
        (("samples", "samples"), ("pools", "count"), ("passes", ""), ("error", ""), ("error of all", "")),
        tuple(rows),
    )
    least, most = PUBLISHED if runs is None else (float(runs["D"].min()), float(runs["D"].max()))
    warnings = [
        Finding(
            "additive",
            "amber",
            "Pools are taken to add up without interaction, as in contrastive image-text training, where this was "
            "studied.",
            "Train the first two filters of the list once at this budget.",
        )
    ]
    if samples > 2 * most or samples < least / 2:
        end, which = (most, "most") if samples > most else (least, "least")
        warnings.append(
            Finding(
                "distance",
                "amber",
                f"{format_short(samples)} samples are {show(samples / end, 'x')} the {which} of the runs "
                f"({format_short(least)} to {format_short(most)}).",
            )
        )
    few = [] if runs is None else [n for n in drawn.names if np.unique(_of(runs, by, n)).size < FEW]
    if few:
        warnings.append(
            Finding(
                "few-sizes",
                "amber",
                f"{', '.join(few[:4])}: fewer than {FEW} numbers of samples each, from which b and the half-life "
                "hardly part.",
                "Runs of the same pools at other numbers of samples, some within a pass and some of many passes.",
            )
        )
    grid = samples * np.geomspace(1 / 30, 30, 61)
    lines = _errors(drawn, grid)[0]
    grid, lines = (part[lines.min(axis=1) < 1.0] for part in (grid, lines))  # an error is a share
    said = ["Every prefix mixes its pools in equal parts; each is read samples / (q size) times."]
    said.append(
        "No runs of pools were given: the authors' constants for DataComp by T-MARS score, in the form of their code."
        if runs is None
        else f"Constants: least squares on {len(runs)} runs"
        + (f", with an error of {state.d:g} that stays (given)." if state.d_given else ".")
        + (f" Intervals: {len(best) - 1} draws from its curvature, seed 0." if len(best) > 1 else "")
    )
    return {
        "headline": (
            f"Use {'the ' + format_short(q + 1.0) + ' most useful' if q else 'only the best'} of {P} pools "
            f"({', '.join(used)}), each {count:.3g} times: expected error {value:.4g}, where all of them have "
            f"{float(errors[0, -1]):.4g}."
        ),
        "decision": decision,
        "expected": {"error": Expected(value, interval(errors.min(axis=1), level), None, "", "error")},
        "binding": "the number of samples",
        "tables": (pools, filters, budgets),
        "curves": {
            "error": Frozen({"samples": grid, **{f"{k + 1} pools" if k else "1 pool": lines[:, k] for k in range(P)}})
        },
        "warnings": warnings,
        "assumptions": said,
        "papers": ("goyal2024",),
    }


def _fit_for_pools(runs: Runs, by: str, floor: float | None) -> None:
    """Refuse runs from which no pool can be learnt."""
    error = runs["error"]
    once = [n for n in sorted({str(v) for v in runs.labels.get(by, ())}) if np.unique(_of(runs, by, n)).size < 2]
    if once:
        raise DataError(
            message(
                f"the pool {once[0]!r} was run at one number of samples",
                f"each pool at two or more, better {FEW}, within a pass and beyond",
            )
        )
    if not ((error > 0) & (error < 1.1)).all():  # noise may lift an error of one by a little
        raise DataError(
            message(
                f"errors of {error.min():.4g} to {error.max():.4g}",
                "shares between 0 and 1",
                "divide per cent by 100",
            )
        )
    if floor is not None and floor >= error.min():
        raise QueryError(
            message(
                f"floor = {floor:g}, and a run with an error of {error.min():.4g}",
                "a floor below the least error",
                "floor=0",
            )
        )


def _of(runs: Runs, by: str, name: str) -> Array:
    """Samples of the runs on one pool."""
    return np.asarray(runs["D"][np.array([str(v) == name for v in runs.labels[by]])])


def _errors(drawn: qqt.Draws, samples: Any) -> Array:
    """(B, n, P) errors of the q most useful pools after numbers of samples (n,)."""
    return np.stack([drawn.error(samples, list(range(q + 1))) for q in range(len(drawn.names))], axis=2)


def _next(drawn: qqt.Draws, samples: float, q: int) -> Array | None:
    """(B,) samples above which q + 2 pools err less than q + 1; infinite where never within a hundredfold."""
    if q + 1 >= len(drawn.names):
        return None
    few, many = list(range(q + 1)), list(range(q + 2))
    gain = drawn.error(samples * WIDE, few) - drawn.error(samples * WIDE, many)
    better = gain > 0
    # the last change from worse to better
    turns = ~better[:, :-1] & better[:, 1:]
    place = np.where(turns.any(axis=1), turns.shape[1] - 1 - np.argmax(turns[:, ::-1], axis=1), -1)
    rows = np.arange(len(gain))
    a, b = gain[rows, place], gain[rows, place + 1]
    step = math.log(WIDE[1] / WIDE[0])
    at = samples * WIDE[place] * np.exp(step * a / (a - b))
    return np.where(place >= 0, at, np.where(better.all(axis=1), samples * WIDE[0], np.inf))

# SPDX-License-Identifier: Apache-2.0
"""The automatic choice: candidates are scored by rolling extrapolation; the worst quarter is left out.

The others are pooled, each by the inverse square of its error.

Nothing here looks at how well a candidate fits the rows that it was fitted to. AICc and leave-group-out stand beside
the scores for the reader; they do not choose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ForescaleError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Fit
from forescale.fitting._stack import Member, Stack, Width
from forescale.fitting._tails import robust_scale
from forescale.fitting.estimate import fit as estimate
from forescale.fitting.estimate import fitted_range
from forescale.judge import _rolling
from forescale.judge._candidates import Candidate, candidates, described, varying
from forescale.judge._compare_pairs import repeats
from forescale.judge._rolling import Cut
from forescale.judge._secondary import leave_group_out
from forescale.judge._sizes import largest_of_run, size_of
from forescale.judge._thresholds import threshold
from forescale.laws import Law
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

THIN = 400
"""Rows used to score candidates; tables of checkpoints are thinned to it, run by run."""
LEAST_RUNS = 4
"""With fewer runs, rows of one run may stand on both sides of a cut."""
NEAR = 10.0
"""The noise of a run is measured on rows within this factor of the largest."""


def select(
    runs: Runs,
    *,
    laws: Sequence[Law | str] | None = None,
    level: float = 0.90,
    rng: int = 0,
    secondary: bool = False,
) -> Stack:
    """Score candidates by rolling extrapolation and pool the better three quarters.

    Args:
        runs: the table; N and D, or one of N, D and C.
        laws: only these; default the list of `judge/candidates.toml`.
        level: nominal level of the bands.
        rng: seed of the draws.
        secondary: fill `leave_out` of the scores as well; it takes about as long as the choice itself.

    Raises:
        LawError: nothing in the table varies, or a law that reads other columns.
        DataError, ColumnError: rows that no law can use.
        RefusedError: no candidate can be fitted.
    """
    inputs = varying(runs)
    wanted = candidates(inputs, laws)
    runs = require(runs, *inputs, wanted[0].law.output)
    if len(inputs) > 1:
        runs = runs.with_column("C", 6.0 * runs["N"] * runs["D"]) if _recount(runs) else runs
    variable = "C" if len(inputs) > 1 else inputs[0]
    stack = _select(runs, wanted, inputs, variable, level, rng)
    if not secondary:
        return stack
    thin = thinned(runs, size_of(runs, variable))
    left = leave_group_out(wanted, thin, size_of(thin, variable), inputs)
    by_name = {candidate.name: error for candidate, error in zip(wanted, left.tolist())}
    column = np.array([by_name[name] for name in stack.scores["candidate"].tolist()])
    return replace(stack, scores=Frozen({**stack.scores, "leave_out": column}))


def _recount(runs: Runs) -> bool:
    """Whether C must be written as 6 N D for laws that read C beside laws that read N and D."""
    return "C" not in runs.columns or not np.allclose(runs["C"], 6.0 * runs["N"] * runs["D"], rtol=1e-9)


def _select(
    runs: Runs, wanted: Sequence[Candidate], inputs: tuple[str, ...], variable: str, level: float, rng: int
) -> Stack:
    thin = thinned(runs, size_of(runs, variable))
    size = size_of(thin, variable)
    whole = of_run(thin, size)
    few = False
    found, said = _heard(wanted, thin, size, whole, few)
    if not np.isfinite(said).all(axis=1).any():
        few = True
        found, said = _heard(wanted, thin, size, whole, few)
    scores = _rolling.score(found, len(wanted))
    able = np.asarray(np.isfinite(said).all(axis=1) & (np.nan_to_num(said, nan=-1.0) > 0).all(axis=1))
    if not able.any():
        raise RefusedError(
            message(
                f"none of {len(wanted)} candidates can be fitted to {len(runs)} rows of {runs.source}",
                "more rows, in more sizes",
                'name a law with fewer parameters: law="power"',
            )
        )
    w = _rolling.weights(scores, able)
    members, w = _members(wanted, runs, variable, w, scores, level, rng, few)
    residuals = np.log(thin["loss"]) - _rolling.pool(said, np.where(able, w, 0.0))[0]
    noise = _noise(residuals, size, repeats([runs], "loss")[0])
    width, rolled = calibrated(found, len(wanted), noise, level)
    stack = Stack(
        members=members,
        inputs=inputs,
        variable=variable,
        width=width,
        scores=Frozen(_table(wanted, scores, w, able, thin, size, said)),
        rolling=Frozen(rolled),
        runs=runs,
        residuals=np.zeros(0),
        why=_why(wanted, members, found, variable),
        conventions=members[0].fit.conventions,
        fitted_range=fitted_range(_widest(members, inputs), runs),
        notes=runs.notes,
        level=level,
        seed=rng,
        version=members[0].fit.version,
        data_hash=runs.hash,
    )
    centre, _ = stack.curve({name: np.asarray(runs[name]) for name in inputs})
    residuals = np.log(runs["loss"]) - centre
    residuals.flags.writeable = False
    return replace(stack, residuals=residuals)


def _heard(wanted: Sequence[Candidate], runs: Runs, size: Array, whole: Array, few: bool) -> tuple[list[Cut], Array]:
    """The candidates at the cuts, and (m, n) what they say about the rows when fitted to all of them."""
    found = _rolling.roll(wanted, runs, size, whole, few)
    if not found and not np.array_equal(whole, size):
        found = _rolling.roll(wanted, runs, size, size, few)
    said = np.full((len(wanted), len(runs)), np.nan)
    for i, candidate in enumerate(wanted):
        params = _rolling.parameters(candidate, runs, size, few)
        if params is not None:
            said[i] = _rolling.evaluate(candidate.law, params, runs)
    return found, said


def _widest(members: Sequence[Member], inputs: tuple[str, ...]) -> Law:
    return next((m.fit.law for m in members if set(m.fit.law.inputs) == set(inputs)), members[0].fit.law)


def _members(
    wanted: Sequence[Candidate],
    runs: Runs,
    variable: str,
    w: Array,
    scores: Array,
    level: float,
    rng: int,
    few: bool,
) -> tuple[tuple[Member, ...], Array]:
    """Full fits of the candidates with weight; one that cannot be fitted to all its rows loses its weight."""
    size = size_of(runs, variable)
    fits: dict[int, Fit] = {}
    for i in np.flatnonzero(w > 0).tolist():
        rows = _rolling.subset(wanted[i], runs, size, few)
        if rows is None:
            continue
        try:
            fits[i] = estimate(rows, wanted[i].law, loss=wanted[i].loss, level=level, rng=rng, polish=8, starts=256)
        except ForescaleError:
            continue
    if not fits:
        raise RefusedError(message("no candidate with weight can be fitted to all its rows", "more rows"))
    kept = np.zeros_like(w)
    for i in fits:
        kept[i] = w[i]
    kept /= kept.sum()
    order = sorted(fits, key=lambda i: -kept[i])
    members = tuple(Member(fits[i], described(wanted[i].rows), float(kept[i]), float(scores[i])) for i in order)
    return members, kept


def of_run(runs: Runs, size: Array) -> Array:
    """(n,) largest size of the run that a row belongs to; the row's own where the table has few runs or no labels."""
    labelled = "run" in runs.labels and len(runs.group_codes("run")[1]) >= LEAST_RUNS
    return largest_of_run(runs, size) if labelled else size


def thinned(runs: Runs, size: Array) -> Runs:
    """At most about `THIN` rows: evenly spaced in the order of size within each run, its ends included."""
    if len(runs) <= THIN:
        return runs
    codes = runs.group_codes("run")[0] if "run" in runs.labels else np.zeros(len(runs), dtype=np.intp)
    keep = np.zeros(len(runs), dtype=bool)
    share = THIN / len(runs)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        rows = rows[np.argsort(size[rows], kind="stable")]
        wanted = max(2, round(share * len(rows)))
        keep[rows[np.unique(np.round(np.linspace(0, len(rows) - 1, wanted)).astype(int))]] = True
    return runs.where(keep)


def _noise(residuals: Array, size: Array, repeated: float) -> float:
    """Noise of one run: the pool's residuals near the largest runs, or what repeats show where that is more."""
    near = residuals[size >= size.max() / NEAR]
    used = near if len(near) >= 8 else residuals
    return max(robust_scale(used, 1), 0.0 if math.isnan(repeated) else repeated)


def recipe() -> Width:
    """The constants that the development splits taught."""
    return Width(
        floor=threshold("stack_floor"),
        noise_share=threshold("stack_noise"),
        disagreement=threshold("stack_disagreement"),
        distance=threshold("stack_distance"),
        growth=threshold("stack_growth"),
        df=threshold("stack_df"),
        margin=threshold("stack_margin"),
    )


def calibrated(found: Sequence[Cut], count: int, noise: float, level: float) -> tuple[Width, dict[str, Array]]:
    """The recipe with this table's own scale, and the pool's rolling predictions with the bands known at each cut."""
    rising = sorted(found, key=lambda cut: cut.size)
    width = replace(recipe(), noise=noise)
    columns: dict[str, list[Array]] = {
        k: [] for k in ("cut", "distance", "observed", "estimate", "lower", "upper", "between")
    }
    ratios: list[float] = []

    def past() -> float:
        return tau(ratios, threshold("stack_prior"), threshold("stack_shrink"))

    for number, cut in enumerate(rising):
        able = np.asarray(np.isfinite(cut.said).all(axis=1))
        w = _rolling.weights(_rolling.score(rising[:number], count, known=cut.size), able)
        if not w.any():
            continue
        centre, between = _rolling.pool(cut.said, w)
        now = replace(width, tau=past(), cuts=len(ratios))
        half = now.half(level, between, cut.distance)
        for name, values in (
            ("cut", np.full(len(centre), cut.size)),
            ("distance", cut.distance),
            ("observed", cut.observed),
            ("estimate", np.exp(centre)),
            ("lower", np.exp(centre - half)),
            ("upper", np.exp(centre + half)),
            ("between", between),
        ):
            columns[name].append(values)
        error = np.log(cut.observed) - centre
        ratios.append(float(np.mean(error**2 / width.variance(between, cut.distance))))
    joined = {k: np.concatenate(v) if v else np.zeros(0) for k, v in columns.items()}
    return replace(width, tau=past(), cuts=len(ratios)), joined


def tau(ratios: Sequence[float], prior: float, shrink: float) -> float:
    """Scale of past errors against the recipe: later cuts count double, `prior` cuts say one, a power shrinks it."""
    total, count = prior, prior
    for age, ratio in enumerate(reversed(ratios)):
        share = _rolling.HALF**-age
        total += share * ratio
        count += share
    return float((total / count) ** (0.5 * shrink))


def _table(
    wanted: Sequence[Candidate],
    scores: Array,
    w: Array,
    able: NDArray[np.bool_],
    runs: Runs,
    size: Array,
    said: Array,
) -> dict[str, NDArray[Any]]:
    """All candidates, best first; AICc and its evidence weight where all rows are fitted."""
    aicc = np.full(len(wanted), np.nan)
    n = len(runs)
    logs = np.log(runs["loss"])
    for i, candidate in enumerate(wanted):
        k = len(candidate.law.params) + 1
        if candidate.rows == "all" and able[i] and n > k + 1:
            rss = float(np.sum((logs - np.log(said[i])) ** 2))
            aicc[i] = n * math.log(max(rss, 1e-300) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    evidence = np.exp(-0.5 * (aicc - np.nanmin(aicc))) if np.isfinite(aicc).any() else aicc.copy()
    order = np.lexsort((np.arange(len(wanted)), np.where(able, scores, np.inf)))
    columns: dict[str, NDArray[Any]] = {
        "candidate": np.array([c.name for c in wanted]),
        "law": np.array([c.law.id for c in wanted]),
        "loss": np.array([c.loss for c in wanted]),
        "rows": np.array([described(c.rows) for c in wanted]),
        "score": np.where(able, scores, np.nan),
        "weight": w,
        "parameters": np.array([float(len(c.law.params)) for c in wanted]),
        "aicc": aicc,
        "evidence": evidence,
        "leave_out": np.full(len(wanted), np.nan),
    }
    return {name: values[order] for name, values in columns.items()}


def _why(
    wanted: Sequence[Candidate], members: Sequence[Member], found: Sequence[Cut], variable: str
) -> tuple[str, ...]:
    if not found:
        return (
            "The table is too small to hide its largest runs and fit the rest: what could be fitted of "
            f"{_counted(len(wanted), 'candidate')} is pooled with equal weights, and the bands are those usual for "
            "scaling laws.",
        )
    best = members[0]
    reach = max(float(cut.distance.max()) for cut in found)
    many = f"{len(members)} members are pooled by the inverse square of their error"
    pooled = "it stands alone" if len(members) == 1 else many
    at = f"{_counted(len(found), 'cut')} ({variable} from {found[0].size:.3g} to {found[-1].size:.3g})"
    return (
        f"{_counted(len(wanted), 'candidate')} predicted larger runs from smaller ones at {at}, up to {reach:.3g} "
        "times beyond the cut.",
        f"Least rolling error: {best.fit.law.id} ({best.fit.loss}, {best.rows}), {100 * best.score:.2g} %. The "
        f"worst quarter is left out; {pooled}.",
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

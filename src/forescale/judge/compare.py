# SPDX-License-Identifier: Apache-2.0
"""Compare two procedures, data sets, architectures or optimisers by their curves, not at one size.

A comparison at a single scale is no comparison: arms change places. Here two arms are compared over the whole range
of their runs, with joint draws of both curves: is one surely better, where do they cross, how much compute does one
save, how sure is that, and which run would settle it (Xiao 2024; Nezhurina et al. 2025; Tay et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import InputError, QueryError, message, nearest
from forescale.fitting._covariance import FEW
from forescale.fitting._fit import Fit
from forescale.fitting._tails import robust_scale, t_quantile
from forescale.judge import _compare_arms as arms_of
from forescale.judge._compare_arms import Arm
from forescale.judge._compare_curves import Curves, curves
from forescale.judge._compare_difference import (
    Difference,
    chance_of_crossing,
    crossings,
    of_curves,
    of_paired_curves,
    of_pairs,
)
from forescale.judge._compare_next import next_run
from forescale.judge._compare_pairs import Pairs, pairs, repeats, safe_correlation
from forescale.judge._compare_savings import savings
from forescale.judge._compare_verdict import outcome
from forescale.judge._comparison import Comparison, Comparisons, Point
from forescale.judge._thresholds import threshold
from forescale.judge.seeds import seeds_needed
from forescale.laws import Law
from forescale.numerics.losses import Objective
from forescale.runs.pareto import pareto as frontier
from forescale.runs.table import Runs

Array = NDArray[np.float64]

__all__ = ["Comparison", "Comparisons", "Point", "compare"]

DRAWS = 2000
RELATED = 0.3
"""Residuals of pairs that correlate less share too little for the pairing to pay."""
METHODS = ("auto", "curves", "pairs")


def compare(
    a: Fit | Runs,
    b: Fit | Runs | None = None,
    *,
    by: str | None = None,
    law: Law | None = None,
    share: Sequence[str] | None = None,
    reference: str | None = None,
    names: tuple[str, str] | None = None,
    pareto: bool = False,
    at: Sequence[float] = (),
    between: tuple[float, float] | None = None,
    given: Mapping[str, float] | None = None,
    pair_by: Sequence[str] | None = None,
    method: str = "auto",
    margin: float | None = None,
    noise: float | Runs | None = None,
    loss: str | Objective | None = None,
    level: float = 0.90,
    rng: int = 0,
) -> Comparison | Comparisons:
    """Compare two fits, two tables, or the arms of one table.

    Args:
        a, b: two fits; or two tables (fitted with `law`); or one table and `by`; or one grouped fit.
        by: label column of a table with two or more arms.
        law: the law of each arm of a table.
        share: parameters with one value for all arms. None: none, unless an arm has too few rows to stand alone; then
            all but the amplitudes.
        reference: the arm called A; default the first. With more than two arms, each other is compared with it.
        names: what two fits or tables are called.
        pareto: fit only the best run of each factor of two in compute (`runs.pareto`), for scanned tables.
        at: x at which differences, P(B better) and savings are wanted; the largest is the target of the next run.
        between: range of the verdict; default where both arms have runs.
        given: values of further inputs of the law.
        pair_by: columns that make two runs a pair; default N and D, else the law's inputs.
        method: "curves"; "pairs": differences of runs at shared design points, without a law; "auto": curves, but
            pairs where the arms pair throughout and have at most two rows per parameter.
        margin: difference of log loss that does not matter.
        noise: standard deviation of log loss between runs of one setting, or a table in which settings are repeated;
            default: repeats among the arms' own runs, else the residuals of the fits.
        loss, level, rng: as in `fit`.

    Returns:
        Comparison; for more than two arms Comparisons.

    Raises:
        InputError, QueryError, ColumnError, DataError, LawError: what was seen, what was expected, what to try.
        RefusedError: the range is not known, or the curves cannot be evaluated over it.
    """
    if method not in METHODS:
        raise QueryError(message(f"the method {method!r}", "", nearest(method, METHODS)))
    if not 0.0 < level < 1.0:
        raise InputError(message(f"a level of {level}", "a number between 0 and 1, e.g. 0.9"))
    if isinstance(noise, Runs):
        noise = _repeated(noise, "loss" if law is None else law.output)
    for word, value in (("margin", margin), ("noise", noise)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(message(f"a {word} of {value}", "a positive share of the loss, such as 0.005"))
    if isinstance(at, str):
        raise QueryError(message(f"at = {at!r}", "numbers", "at=[1e21, 1e22]"))
    wanted = [float(x) for x in at]
    if any(not (math.isfinite(x) and x > 0) for x in wanted):
        raise InputError(message(f"points at {wanted}", "positive finite numbers"))
    found, remarks = _arms(
        a, b, by=by, law=law, share=share, names=names, pareto=pareto, loss=loss, level=level, rng=rng
    )
    found = _ordered(found, reference)
    rule = _Rule(method, margin, noise, level, rng, tuple(wanted), between, dict(given or {}), pair_by)
    if len(found) == 2:
        return _pair(found, rule, remarks, threshold("compare_sure"))[0]
    sure = 1.0 - (1.0 - threshold("compare_sure")) / (len(found) - 1)
    made = [_pair((found[0], other), rule, remarks, sure, i) for i, other in enumerate(found[1:], start=1)]
    each = tuple(comparison for comparison, _ in made)
    target = min(c.target for c in each)
    called = [arm.name for arm in found]
    if all(c.method == "pairs" for c in each):
        relative = [difference.column(target)[1] for _, difference in made]
        here = np.stack([np.zeros_like(relative[0]), *relative])
    else:
        together = _curves(found, rule)
        here = together.draws[:, :, int(np.argmin(np.abs(np.log(together.x / target))))]
    return Comparisons(found[0].name, each, target, _best(called, here))


@dataclass(frozen=True)
class _Rule:
    method: str
    margin: float | None
    noise: float | None
    level: float
    seed: int
    at: tuple[float, ...]
    between: tuple[float, float] | None
    given: Mapping[str, float]
    pair_by: Sequence[str] | None


def _arms(
    a: Fit | Runs,
    b: Fit | Runs | None,
    *,
    by: str | None,
    law: Law | None,
    share: Sequence[str] | None,
    names: tuple[str, str] | None,
    pareto: bool,
    loss: str | Objective | None,
    level: float,
    rng: int,
) -> tuple[tuple[Arm, ...], list[str]]:
    if isinstance(a, Fit):
        if b is None and a.law.groups is not None:
            return tuple(arms_of.of_fit(a, name, name) for name in a.law.groups.levels), []
        if not isinstance(b, Fit):
            raise QueryError(
                message("one fit alone" if b is None else "a fit and a table", "two fits, or two tables")
            )
        if a.law.groups is not None or b.law.groups is not None:
            raise QueryError(
                message("a grouped fit beside another", "the grouped fit alone: its groups are the arms")
            )
        called = names or _names(a, b)
        return (arms_of.of_fit(a, called[0]), arms_of.of_fit(b, called[1])), _unlike(a, b)
    if law is None:
        raise QueryError(message("runs without a law", "law=..."))
    if isinstance(b, Runs):
        if by is not None:
            raise QueryError(message(f"two tables and by={by!r}", "two tables, or one table and by"))
        called = names or ("A", "B")
        if called[0] == called[1]:
            raise QueryError(message(f"both arms are called {called[0]!r}", "two names"))
        a, by = arms_of.joined(a, b, called, "arm"), "arm"
    elif b is not None:
        raise QueryError(message("a table and a fit", "two fits, or two tables"))
    if by is None:
        raise QueryError(
            message("one table without arms", "by=COLUMN, or a second table", _hint(a) or "a label column")
        )
    by = arms_of.label_of(a, by)
    if pareto:
        a = frontier(a, by=by)
    return arms_of.of_table(a, by, law, share=share, loss=loss, level=level, rng=rng)


def _hint(runs: Runs) -> str:
    few = [n for n in runs.labels if 2 <= len(set(runs.labels[n].tolist())) <= max(len(runs) // 3, 2)]
    return f"by={few[0]!r}" if few else ""


def _names(a: Fit, b: Fit) -> tuple[str, str]:
    found = []
    for fit in (a, b):
        found.append(fit.source.partition(":")[2] or (fit.runs.source if fit.runs is not None else "") or fit.law.id)
    return (found[0], found[1]) if found[0] != found[1] else ("A", "B")


def _unlike(a: Fit, b: Fit) -> list[str]:
    notes = []
    for name in ("N", "D", "C", "loss"):
        one, two = a.conventions.get(name), b.conventions.get(name)
        if one and two and one != two:
            notes.append(f"{name} is {one} in one fit and {two} in the other: the curves are not in one unit.")
    return notes


def _ordered(found: tuple[Arm, ...], reference: str | None) -> tuple[Arm, ...]:
    if reference is None:
        return found
    first = [arm for arm in found if arm.name == reference]
    if not first:
        raise QueryError(
            message(f"there is no arm {reference!r}", "", nearest(reference, [arm.name for arm in found]))
        )
    return (*first, *(arm for arm in found if arm.name != reference))


def _curves(found: Sequence[Arm], rule: _Rule) -> Curves:
    return curves(
        found,
        between=rule.between,
        given=rule.given,
        count=DRAWS,
        seed=rule.seed,
        also=rule.at,
    )


def _pair(
    found: Sequence[Arm], rule: _Rule, remarks: Sequence[str], sure: float, number: int = 1
) -> tuple[Comparison, Difference]:
    one, two = found
    notes = list(remarks)
    both = _curves(found, rule)
    paired = pairs(one, two, both.variable, rule.pair_by, rule.level)
    difference = of_curves(both, 0, 1)
    method, scatter = "curves", None
    if len(difference.draws) and paired is not None and _whole(found, paired) and one.fit is not two.fit:
        related = safe_correlation(paired) if one.law.id == two.law.id else 0.0
        closer = of_paired_curves(both, paired, DRAWS, rule.seed) if related > RELATED else None
        if closer is not None:
            difference, both = closer, _through_pairs(both, closer)
            notes.append(
                f"Runs that pair share noise (correlation of residuals {related:.2f} at least): the difference of "
                "the curves is fitted to the pairs, where it cancels."
            )
    noise, noise_from, known = _noise(found, rule.noise)
    if rule.method == "pairs" or (rule.method == "auto" and (_few(found, paired) or not len(difference.draws))):
        if paired is not None and len(paired) >= 2:
            method = "pairs"
            difference = of_pairs(paired, both.x, DRAWS, rule.seed, sure, noise if known else None, number)
            notes.append(
                "The verdict rests on the pairs, each with the noise between runs, and says nothing outside of them."
                if known
                else "The verdict rests on the pairs: their scatter stands for the noise between runs."
            )
            both = _through_pairs(both, difference)
            if not known:
                noise, noise_from, scatter = paired.sd / math.sqrt(2.0), "scatter of the pairs", paired.sd
        elif rule.method == "pairs":
            raise QueryError(
                message("no two design points have runs of both arms", "runs that pair", "method='curves'")
            )
    notes += _reach(both, found)
    if not len(difference.draws):
        notes.append("No intervals: a curve comes without uncertainty, or its rows do not determine it.")
    crossed = crossings(difference, rule.level)
    judged = outcome(
        difference, crossed, noise=noise, margin=rule.margin, sure=sure, level=rule.level, scatter=scatter
    )
    if method == "curves" and judged.word in ("no difference", "undetermined"):
        notes += _more(paired, sure)
        if rule.margin is None and judged.word == "no difference" and _more(paired, 1.0 - 0.2 * (1.0 - sure)):
            doubt = "the curves do not tell the arms apart, but runs at the same design points do"
            judged = replace(judged, word="undetermined", reason=doubt)
    low, high = difference.low, difference.high
    asked = list(rule.at) or [low, math.sqrt(low * high), high]
    target = max(asked) if rule.at else high
    over = np.geomspace(low, high if method == "pairs" and known else high * 10.0, 41)
    saved = savings(both, 0, 1, [*asked, *over], rule.level)
    at_target = difference.column(target)[0]
    made = Comparison(
        names=(one.name, two.name),
        laws=(one.law.id, two.law.id),
        fits=(one.fit, two.fit),
        variable=both.variable,
        range=(low, high),
        method=method,
        outcome=judged,
        crossings=crossed,
        chance_of_crossing=chance_of_crossing(difference),
        points=tuple(_point(difference, x, rule.level) for x in asked),
        savings_at=None if saved is None else saved.part(slice(0, len(asked))),
        savings=None if saved is None else saved.part(slice(len(asked), None)),
        curve=_columns(both, difference, rule.level),
        pairs=paired,
        target=target,
        noise=noise,
        noise_from=noise_from,
        seeds=seeds_needed(at_target, noise, level=rule.level) if math.isfinite(noise * at_target) else None,
        next=next_run(difference, target, noise, rule.level),
        level=rule.level,
        notes=tuple(dict.fromkeys(notes)),
    )
    return made, difference


def _more(paired: Pairs | None, sure: float) -> list[str]:
    """A remark where the pairs are sure of a difference and the curves are not."""
    if paired is None or len(paired) < 6:
        return []
    k = len(paired)
    if abs(paired.mean) <= t_quantile(sure, k - 1) * paired.sd / math.sqrt(k):
        return []
    better = "B" if paired.mean < 0 else "A"
    return [
        f"The pairs say more than the curves: over {k} shared design points {better} is lower by "
        f"{100 * abs(paired.mean):.2g} % on average. method='pairs' judges by them."
    ]


def _reach(both: Curves, found: Sequence[Arm]) -> list[str]:
    """Remarks where the range is not that of both arms' runs."""
    beyond = [
        arm.name
        for arm, (least, most) in zip(found, both.seen)
        if both.low < least * (1 - 1e-9) or both.high > most * (1 + 1e-9)
    ]
    if not beyond:
        return []
    return [f"The range goes beyond the runs of {' and '.join(beyond)}: there the verdict trusts the law."]


def _whole(found: Sequence[Arm], paired: Pairs) -> bool:
    """Whether every run of both arms has a partner."""
    rows = [0 if arm.runs is None else len(arm.runs) for arm in found]
    return int(paired.n_a.sum()) == rows[0] and int(paired.n_b.sum()) == rows[1]


def _few(found: Sequence[Arm], paired: Pairs | None) -> bool:
    """Whether the arms pair throughout, with at most two rows per parameter: curves of their own would say less."""
    if paired is None or len(paired) < 2 or not _whole(found, paired):
        return False
    return int(min(paired.n_a.sum(), paired.n_b.sum())) <= 2 * len(found[0].law.params)


def _through_pairs(both: Curves, difference: Difference) -> Curves:
    """Arm A's curve, and B's as the pairs see it: A's times the difference."""
    draws = both.draws
    if draws.shape[1] and len(difference.draws):
        b = min(draws.shape[1], len(difference.draws))
        draws = np.stack([draws[0, :b], draws[0, :b] + difference.draws[:b]])
    else:
        draws = draws[:, :0]
    return replace(both, log_loss=np.stack([both.log_loss[0], both.log_loss[0] + difference.estimate]), draws=draws)


def _repeated(runs: Runs, output: str) -> float:
    sd, freedom = repeats([runs], output)
    if not sd > 0:
        raise InputError(
            message(
                f"{runs.source} has {freedom} degrees of freedom of repeated settings",
                "three or more, of runs that differ",
                "give the noise as a number",
            )
        )
    return sd


def _noise(found: Sequence[Arm], given: float | None) -> tuple[float, str, bool]:
    """Noise, its origin in words, and whether it is that of runs alone (not the misfit of a law)."""
    if given is not None:
        return given, "given", True
    sd, freedom = repeats([arm.runs for arm in found], found[0].law.output)
    if math.isfinite(sd) and sd > 0:
        return sd, f"{freedom} degrees of freedom of repeated settings", True
    fits = {id(arm.fit): arm.fit for arm in found}.values()
    parameters = sum(len(fit.params) for fit in fits)
    rest = [fit.residuals for fit in fits if fit.residuals.size]
    residuals = np.concatenate(rest) if rest else np.empty(0)
    if residuals.size <= parameters:
        return math.nan, "unknown", False
    # Cut at three robust deviations: nearly as steady as the plain one without outliers, and blind to them. A few
    # residuals have no robust scale.
    cut = 3.0 * robust_scale(residuals, parameters) if residuals.size >= FEW * parameters else math.inf
    squares = float((np.clip(residuals, -cut, cut) ** 2).sum())
    return math.sqrt(squares / (residuals.size - parameters)), "residuals of the fits; no setting was repeated", False


def _point(difference: Difference, x: float, level: float) -> Point:
    estimate, draws = difference.column(x)
    lower, upper, chance = math.nan, math.nan, math.nan
    if draws.size:
        tail = 0.5 * (1.0 - level)
        low, high = np.quantile(draws, [tail, 1.0 - tail])
        lower, upper = min(float(low), estimate), max(float(high), estimate)
        chance = float((draws < 0).mean())
    beyond = not difference.low * (1 - 1e-9) <= x <= difference.high * (1 + 1e-9)
    return Point(float(x), estimate, lower, upper, chance, beyond)


def _columns(both: Curves, difference: Difference, level: float) -> Mapping[str, Array]:
    shown = (both.x >= difference.low * (1 - 1e-12)) & (both.x <= difference.high * 10.0 * (1 + 1e-12))
    lower, upper = difference.band(level)
    return {
        "x": both.x[shown],
        "a": np.exp(both.log_loss[0][shown]),
        "b": np.exp(both.log_loss[1][shown]),
        "difference": difference.estimate[shown],
        "lower": lower[shown],
        "upper": upper[shown],
    }


def _best(names: Sequence[str], here: Array) -> dict[str, float]:
    """Chance of being the lowest, from joint draws (arms, B)."""
    good = np.isfinite(here).all(axis=0)
    if not good.any():
        return dict.fromkeys(names, math.nan)
    winner = np.argmin(here[:, good], axis=0)
    return {name: float((winner == i).mean()) for i, name in enumerate(names)}

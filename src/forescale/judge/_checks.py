# SPDX-License-Identifier: Apache-2.0
"""The single checks behind a verdict: each looks at one thing and says it in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from forescale.fitting._fit import Finding, Fit
from forescale.judge._reference import Reference, row_influence, without
from forescale.judge._thresholds import threshold
from forescale.runs.table import Runs

Array = NDArray[np.float64]

NOISELESS = 1e-9
"""Residual standard deviation (log units) below which the rows were computed, not measured."""

# Notes of a table or a fit that are findings of a verdict as they stand, and the advice that goes with them.
_ADVICE = {
    "N-derived": "State N, or say which convention C follows.",
    "D-derived": "State D, or say which N and C the table uses.",
    "C-derived": "State C, or say which N the table counts.",
    "C-disagrees": "Say what C counts, or drop the column and let it follow from N and D.",
    "too-few-rows": "Add runs, or fix parameters that are known: law.fix(...).",
    "too-few-runs": "Add runs: more checkpoints or repeats of the same runs do not help.",
    "one-run": "Add runs; checkpoints of one run share its noise, and the intervals do not know how much.",
    "not-determined": "Add runs where these parameters matter, or fix them: law.fix(...).",
    "several-optima": "Fix one of them, or use a law with fewer parameters.",
}


def optimum(fit: Fit) -> Iterator[Finding]:
    """Was the best set of parameters found?"""
    c = fit.convergence
    if c is None:
        return
    count = f"{c.agree} of {c.polished} polished starts"
    if 0 <= fit.sigma < NOISELESS:
        # What is left is rounding; its relative decrease says nothing.
        yield Finding("optimum", "green", f"The law passes through every row; {count} agree.")
        return
    if not c.certified and not c.decrease <= threshold("decrease_red"):
        yield Finding(
            "optimum",
            "red",
            f"The optimum was not reached: one more step would lower the objective by {_percent(c.decrease)}.",
            "Give more starts, or a law with fewer parameters; do not use these values.",
        )
    elif c.polished >= 3 and c.agree < threshold("agree_red"):
        yield Finding(
            "optimum",
            "red",
            f"The starts disagree: only {count} reach the best objective, so a better one may exist.",
            "Raise starts=, or use a law with fewer parameters.",
        )
    elif c.polished >= 3 and c.agree < threshold("agree_amber") * c.polished:
        yield Finding(
            "optimum",
            "amber",
            f"{count} reach the best objective: the surface has many basins.",
            "Raise starts= and see whether the best holds.",
        )
    elif not c.certified:
        yield Finding(
            "optimum",
            "amber",
            f"{count} agree, but the optimum is flat, at a bound or on a kink: it could not be certified.",
            "See which parameters are not determined.",
        )
    else:
        yield Finding("optimum", "green", f"The optimum is certified; {count} agree.")
    if c.next_basin <= threshold("next_basin"):
        yield Finding(
            "next-basin",
            "amber",
            f"Another set of parameters fits nearly as well (objective +{_percent(c.next_basin)}).",
            "Compare the predictions of both before you rely on a parameter.",
        )


def bounds(fit: Fit) -> Iterator[Finding]:
    """Has a parameter run to the edge of its support?"""
    edge: list[str] = []
    for name, parameter in fit.law.params.items():
        value = fit.params[name]
        span = parameter.upper - parameter.lower
        near_lower = math.isfinite(parameter.lower) and abs(value - parameter.lower) < 1e-8 * max(
            1.0, parameter.lower
        )
        near_upper = math.isfinite(parameter.upper) and parameter.upper - value < 1e-8 * max(1.0, span)
        if near_lower or near_upper or not math.isfinite(value):
            edge.append(f"{name} = {value:.3g}")
    if edge:
        yield Finding(
            "bounds",
            "amber",
            f"{_join(edge)} ended at the edge of what the law allows.",
            "That part of the law has no support in these runs: drop it (law.fix), or add runs that show it.",
        )
    floor = fit.law.floor
    if floor is not None and fit.runs is not None and fit.law.output in fit.runs.columns:
        least = float(np.min(fit.runs[fit.law.output]))
        if 0 <= fit.params[floor] < threshold("floor_share") * least and f"{floor} =" not in " ".join(edge):
            yield Finding(
                "no-floor",
                "amber",
                f"The floor {floor} went to zero ({fit.params[floor]:.2g}): the runs show no levelling off, so how "
                "far the loss can fall is unknown.",
                "Add larger runs, or say that there is no floor: law.fix.",
            )


def identifiable(fit: Fit) -> Iterator[Finding]:
    """Do the rows determine the parameters?"""
    c = fit.convergence
    if c is None:
        return
    names = fit.law.names
    errors = np.sqrt(np.where(np.diag(fit.covariance) >= 0, np.diag(fit.covariance), np.nan))
    if len(errors) != len(names):
        errors = np.full(len(names), np.nan)
    positive = np.array([p.lower == 0.0 and math.isinf(p.upper) for p in fit.law.params.values()])
    exponents = np.array([p.kind == "exponent" for p in fit.law.params.values()])
    telling = positive & np.array([p.kind != "amplitude" for p in fit.law.params.values()])
    lost = [
        n for n, s, pos in zip(names, errors, positive) if not s <= threshold("log_se_red") and (pos or math.isnan(s))
    ]
    loose = [
        n for n, s, told in zip(names, errors, telling) if n not in lost and told and s > threshold("log_se_amber")
    ]
    vague = [n for n, s, e in zip(names, errors, exponents) if n not in lost and e and s > threshold("exponent_se")]
    if c.rank < len(names) or lost:
        which = _join(lost) if lost else "some combination of the parameters"
        yield Finding(
            "identifiable",
            "red",
            f"The rows do not determine {which} (rank {c.rank} of {len(names)}): other values fit as well.",
            "Vary the inputs independently, add runs, or fix a parameter: law.fix.",
        )
    elif loose or vague or c.condition > threshold("condition"):
        which = _join(list(dict.fromkeys([*vague, *loose]))) or "The parameters together"
        yield Finding(
            "identifiable",
            "amber",
            f"{which} {'are' if ',' in which or ' ' in which else 'is'} barely determined "
            f"(condition {c.condition:.2g}).",
            "Trust predictions near the runs, not the parameters; add runs at the extremes.",
        )
    else:
        yield Finding("identifiable", "green", f"All parameters are determined (condition {c.condition:.2g}).")
    for interval in [fit.intervals["profile"]] if "profile" in fit.intervals else []:
        open_ = [n for n, (low, high) in interval.items() if not (math.isfinite(low) and math.isfinite(high))]
        if open_:
            yield Finding(
                "profile",
                "red",
                f"The profile of {_join(open_)} does not close at {100 * fit.level:.0f} %.",
                "The runs set no limit there; add runs or fix the parameter.",
            )


def rows(fit: Fit, found: Reference | None) -> Iterator[Finding]:
    """Which rows do not belong, and which decide the answer?"""
    if fit.runs is None:
        return
    if found is None:
        return
    most = int(threshold("outlier_named"))
    outside = found.outliers
    if len(outside):
        named = outside[:most]
        moved, which = _moved(fit, found, outside)
        level = "red" if moved > threshold("influence_red") else "amber"
        effect = (
            f"without them {which} moves by {moved:.1f} standard errors"
            if moved > threshold("influence_amber")
            else "leaving them out moves no parameter by more than half a standard error"
        )
        more = f" and {len(outside) - len(named)} more" if len(outside) > len(named) else ""
        yield Finding(
            "outliers",
            level,
            f"{len(outside)} of {len(found.rows)} rows do not follow the law that the others follow: "
            f"{describe(fit.runs, found.rows[named])}{more}; {effect}.",
            "Look at these runs: diverged, mistyped, cut short, or outside what the law describes? Drop them, or fit "
            'with loss="student-t".',
            tuple(int(i) for i in found.rows[named]),
        )
    else:
        yield Finding("outliers", "green", f"No row stands out (largest studentised residual {_largest(found):.1f}).")
    n, parameters = len(found.rows), len(found.search)
    belongs = np.abs(found.z) <= found.cut
    alone = np.flatnonzero(belongs & (found.leverage > threshold("leverage")))
    if len(alone) and n > parameters + 2:
        yield Finding(
            "leverage",
            "amber",
            f"{_rows(len(alone))} alone in {'its region' if len(alone) == 1 else 'their regions'} and cannot be "
            "checked by the others: "
            f"{describe(fit.runs, found.rows[alone[:most]])}.",
            "Repeat these runs, or add neighbours.",
            tuple(int(i) for i in found.rows[alone[:most]]),
        )
    if len(outside) and level == "red":
        return  # rows that decide the answer make every other row look heavy
    pull = np.where(belongs, row_influence(fit, found), 0.0)
    heavy = np.argsort(-pull, kind="stable")[: int(np.sum(pull > threshold("row_influence")))]
    if len(heavy) and n >= threshold("rows_per_parameter") * parameters:
        yield Finding(
            "influence",
            "amber",
            f"A single row moves a parameter by up to {pull[heavy[0]]:.1f} standard errors: "
            f"{describe(fit.runs, found.rows[heavy[:most]])}.",
            "Repeat these runs with another seed before you rely on the parameters.",
            tuple(int(i) for i in found.rows[heavy[:most]]),
        )


def _moved(fit: Fit, found: Reference, outside: NDArray[np.intp]) -> tuple[float, str]:
    """Largest move of a parameter, in robust standard errors, when the rows are left out, and which parameter."""
    rest = without(fit, found, outside)
    if rest is None:
        return 0.0, ""
    here = found.problem.space.search(found.problem.space.vector(fit.params))
    with np.errstate(invalid="ignore"):
        steps = np.abs(rest - here) / found.standard_errors
    steps = np.where(np.isfinite(steps), steps, 0.0)
    # Amplitudes move along with their exponents by far more of their own error and say nothing by themselves.
    kinds = np.array([p.kind == "amplitude" for p in fit.law.params.values()])
    worst = int(np.argmax(np.where(kinds & ~kinds.all(), -1.0, steps)))
    return float(steps[worst]), fit.law.names[worst]


def _largest(found: Reference) -> float:
    return float(np.max(np.abs(found.z)))


def structure(fit: Fit, found: Reference | None) -> Iterator[Finding]:
    """Is there a pattern left in the residuals?"""
    if found is None or fit.runs is None:
        return
    n, parameters = len(found.rows), len(found.search)
    inside = np.abs(found.z) <= found.cut
    if inside.sum() < parameters + 6:
        return
    p_cut, share_cut = threshold("structure_p"), threshold("structure_share")
    basis, r = _orthonormal(found.jacobian[inside]), found.residuals[inside]
    r = r - basis @ (basis.T @ r)
    seen = fit.runs.where(found.rows[inside])
    spoke = False
    trends: list[tuple[float, str, Array]] = []
    for name in dict.fromkeys([*fit.law.inputs, "C"]):
        if name not in seen.columns or not np.all(seen[name] > 0) or len(np.unique(seen[name])) < 3:
            continue
        x = np.log(seen[name])
        u = (x - x.mean()) / (float(np.std(x)) or 1.0)
        p, share = extra_terms(r, basis, np.stack([u, u * u, u**3], axis=1)[:, : min(3, len(np.unique(x)) - 1)])
        if p < p_cut and share > share_cut:
            trends.append((share, name, x))
    if trends:
        # One bend shows in every input that goes along with it: the strongest speaks.
        share, name, x = max(trends, key=lambda t: t[0])
        third = np.array_split(np.argsort(x, kind="stable"), 3)
        ends = [float(np.median(r[part])) for part in third]
        spoke = True
        yield Finding(
            "trend",
            "amber",
            f"The residuals follow {name}: median {100 * ends[0]:+.2f} % at the small end, {100 * ends[1]:+.2f} % in "
            f"the middle, {100 * ends[2]:+.2f} % at the large end ({100 * share:.0f} % of their variance).",
            "The law bends differently from the runs: leave out the smallest runs, or try a law with one more term.",
        )
    splits: list[tuple[float, str, str, float]] = []
    for label in seen.labels:
        codes, names = seen.group_codes(label)
        counts = np.bincount(codes)
        if not 2 <= len(names) <= min(20, len(r) // 3) or counts.min() < 2 or label == "run":
            continue
        p, share = extra_terms(r, basis, np.eye(len(names))[codes][:, 1:])
        if p < p_cut and share > share_cut:
            means = np.bincount(codes, r) / counts
            worst = int(np.argmax(np.abs(means)))
            splits.append((share, label, names[worst], float(means[worst])))
    if splits:
        share, label, name, off = max(splits, key=lambda split: split[0])
        spoke = True
        yield Finding(
            "groups",
            "red" if share > threshold("groups_red") else "amber",
            f"Runs differ by {label}: {name} lies {100 * off:+.2f} % off the common law ({100 * share:.0f} % of the "
            "residual variance).",
            f'Fit them together with shared exponents: group_by="{label}".',
        )
    lack = _lack_of_fit(found, inside, fit, seen)
    if lack is not None:
        p, ratio, pure = lack
        if p < p_cut:
            spoke = True
            yield Finding(
                "lack-of-fit",
                "amber",
                f"The law misses the means of repeated runs by {math.sqrt(ratio):.1f} times what their noise "
                f"({100 * pure:.2f} %) explains.",
                "The form of the law is wrong somewhere in this range; its intervals are too narrow.",
            )
    if not spoke and n > parameters + 6:
        yield Finding("structure", "green", "No pattern is left in the residuals.")


def extra_terms(r: Array, basis: Array, extra: Array) -> tuple[float, float]:
    """F test of added columns against residuals orthogonal to `basis`: (p value, share of variance explained)."""
    from scipy.special import fdtrc

    added = extra - basis @ (basis.T @ extra)
    added = _orthonormal(added)
    freedom = len(r) - basis.shape[1] - added.shape[1]
    total = float(r @ r)
    if added.shape[1] == 0 or freedom < 3 or total <= 0:
        return 1.0, 0.0
    explained = float(np.sum((added.T @ r) ** 2))
    rest = max(total - explained, 1e-300)
    return float(fdtrc(added.shape[1], freedom, explained / added.shape[1] / (rest / freedom))), explained / total


def _orthonormal(a: Array) -> Array:
    """Orthonormal basis of the columns (n, rank)."""
    norms = np.sqrt(np.sum(a * a, axis=0))
    kept = a[:, norms > 1e-12 * max(float(norms.max(initial=0.0)), 1e-300)]
    if kept.shape[1] == 0:
        return np.zeros((a.shape[0], 0))
    u, s, _ = np.linalg.svd(kept / np.sqrt(np.sum(kept * kept, axis=0)), full_matrices=False)
    return np.asarray(u[:, s > 1e-8 * s[0]], dtype=np.float64)


def span(fit: Fit, inputs: Sequence[str]) -> tuple[str, float]:
    """What the runs scale in, and its decades: compute where the law reads N, D or C, else the input of the widest
    range; nothing for laws of shares, bits and the like, whose inputs have no decades."""
    ranges = {name: ends for name, ends in fit.fitted_range.items() if ends[0] > 0}
    if "C" in ranges and {"N", "D", "C"} & set(inputs):
        return "compute", math.log10(ranges["C"][1] / ranges["C"][0])
    spans = [
        (math.log10(ranges[name][1] / ranges[name][0]), name)
        for name in inputs
        if name in ranges and name not in fit.law.absolute
    ]
    decades, name = max(spans, default=(0.0, ""))
    return name, decades


def _lack_of_fit(
    found: Reference, inside: NDArray[np.bool_], fit: Fit, seen: Runs
) -> tuple[float, float, float] | None:
    """(p, ratio of mean squares, pure sd) from rows with equal inputs; None without repeats."""
    from scipy.special import fdtrc

    r = found.residuals[inside]
    with np.errstate(divide="ignore"):  # a share of zero is as good a key
        keys = np.stack([np.round(np.log(seen[name]), 6) for name in fit.law.inputs if name in seen.columns], axis=1)
    if fit.law.groups is not None:
        keys = np.column_stack([keys, seen.group_codes(fit.law.groups.by)[0]])
    _, cell = np.unique(keys, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    counts = np.bincount(cell)
    within = int(np.sum(counts - 1))
    between = len(counts) - len(found.search)
    if within < 3 or between < 2:
        return None
    means = np.bincount(cell, r) / counts
    pure = float(np.sum((r - means[cell]) ** 2)) / within
    lack = float(np.sum(counts * means**2)) / between
    if pure <= 0:
        return None
    return float(fdtrc(between, within, lack / pure)), lack / pure, math.sqrt(pure)


def design(fit: Fit) -> Iterator[Finding]:
    """Do the runs vary what the law needs varied?"""
    if fit.runs is None:
        return
    table, inputs = fit.runs, [x for x in fit.law.inputs if x in fit.runs.columns]
    n, parameters = len(table), len(fit.law.params)
    worst = "green"
    if len(inputs) >= 2 and all(np.all(table[x] > 0) for x in inputs) and n >= 3:
        for i, first in enumerate(inputs):
            for second in inputs[i + 1 :]:
                r = correlation(np.log(table[first]), np.log(table[second]))
                if abs(r) > threshold("correlation_red"):
                    worst = "red"
                    yield Finding(
                        "confounded",
                        "red",
                        f"{first} and {second} are proportional in these runs (correlation of their logs {r:.4f}): "
                        "the runs cannot tell what each of them does.",
                        f"Add runs at the same {first} with other {second}, or fit a law of one variable.",
                    )
                elif abs(r) > threshold("correlation_amber"):
                    worst = "amber"
                    yield Finding(
                        "confounded",
                        "amber",
                        f"{first} and {second} move together in these runs (correlation of their logs {r:.3f}).",
                        f"Add runs that vary {second} at fixed {first} before you split a budget with this fit.",
                    )
    for name in inputs:
        levels = len(np.unique(np.round(np.log(np.abs(table[name]) + 1e-300), 6)))
        if levels < threshold("levels") and n > 1:
            lost = levels < 3
            worst = "red" if lost else max(worst, "amber", key=_rank)
            yield Finding(
                "levels",
                "red" if lost else "amber",
                f"{name} takes {levels} value{'s' if levels > 1 else ''}: a power law with a floor needs at least "
                f"{int(threshold('levels'))}.",
                f"Add runs at other values of {name}, spread over a factor of ten or more.",
            )
    what, decades = span(fit, inputs)
    if what and decades < threshold("decades_amber"):
        worst = max(worst, "amber", key=_rank)
        yield Finding(
            "range",
            "amber",
            f"The runs span {decades:.1f} decade{'s' if round(decades, 1) != 1 else ''} of {what}: floor and "
            "exponents trade off.",
            "Add smaller and larger runs; two decades and more pin the exponents.",
        )
    if n <= parameters + 1 or n < threshold("rows_per_parameter") * parameters:
        few = n <= parameters + 1
        worst = "red" if few else max(worst, "amber", key=_rank)
        yield Finding(
            "rows",
            "red" if few else "amber",
            f"{n} row{'s' if n != 1 else ''} for {parameters} parameters"
            + (": the law fits anything." if few else ": the noise is estimated from little."),
            f"Add runs ({int(threshold('rows_per_parameter')) * parameters} or more), or fix parameters: law.fix.",
        )
    values = table[fit.law.output] if fit.law.output in table.columns else np.zeros(0)
    if n > 1 and len(values) and float(np.ptp(values)) <= 1e-9 * float(np.max(np.abs(values))):
        worst = "red"
        yield Finding(
            "constant",
            "red",
            f"All {n} rows have the same {fit.law.output} ({values[0]:.4g}): there is nothing to scale.",
            "Check the column; a law needs runs that differ.",
        )
    if worst == "green":
        over = f", over {decades:.1f} decades of {what}" if what else ""
        yield Finding("design", "green", f"The runs vary their inputs apart{over}.")


def conventions(fit: Fit) -> Iterator[Finding]:
    """Is it known what the numbers mean, and are they what the law wants?"""
    for note in fit.notes:
        if note.level in ("amber", "red"):
            yield Finding(note.code, note.level, note.text, _ADVICE.get(note.code, ""))
    if fit.runs is not None:
        stated = fit.runs.conventions
        missing = [
            k for k in ("N", "loss") if getattr(stated, k) is None and (k in fit.law.inputs or k == fit.law.output)
        ]
        if missing and not any(note.code.endswith("-derived") and note.level == "amber" for note in fit.notes):
            what = {"N": "which parameters N counts", "loss": "the unit of the loss"}
            yield Finding(
                "conventions",
                "amber",
                f"The table does not say {' or '.join(what[k] for k in missing)}.",
                'State it: conventions={"N": "total", "loss": "nats/token"}; other counts give other exponents.',
            )
        wanted = {k: v for k, v in fit.law.conventions.items() if getattr(stated, k, None) not in (None, v)}
        for k, v in wanted.items():
            yield Finding(
                "convention-differs",
                "red",
                f"{fit.law.id} means {k} as {v}; the table counts {getattr(stated, k)}.",
                "Convert the column first.",
            )
        codes = checkpoints(fit.runs)
        if codes is not None:
            runs_count, rows_count = codes
            yield Finding(
                "checkpoints",
                "amber",
                f"{rows_count} rows come from {runs_count} runs: checkpoints of a run share its noise, and before "
                "the schedule ends they lie above a law of final losses.",
                "Keep the last row of each run, or use a law of the learning-rate schedule; bootstrap by run.",
            )
    elif fit.source:
        key = fit.source.partition(":")[2].partition("@")[0]
        published = fit.law.published.get(key)
        if published is not None and published.reproduced != "yes":
            yield Finding(
                "published",
                "amber",
                f"The published constants {fit.source} "
                + ("could not be reproduced. " if published.reproduced == "no" else "were not checked. ")
                + published.note,
                "Use constants that were reproduced, or fit your own runs.",
            )


def checkpoints(runs: Runs) -> tuple[int, int] | None:
    """(runs, rows) when a run has several rows with different D; None otherwise."""
    if "run" not in runs.labels or "D" not in runs.columns:
        return None
    codes, names = runs.group_codes("run")
    spread = np.zeros(len(names))
    low, high = np.full(len(names), np.inf), np.zeros(len(names))
    np.minimum.at(low, codes, runs["D"])
    np.maximum.at(high, codes, runs["D"])
    spread = high / low
    return (len(names), len(runs)) if np.any(spread > 1.001) else None


def correlation(x: Array, y: Array) -> float:
    """Pearson correlation; 0 when one of them is constant."""
    a, b = x - x.mean(), y - y.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    if size <= 1e-12 * len(x) * max(float(np.max(np.abs(x))), 1.0):
        return 0.0
    return float(a @ b) / size


def describe(runs: Runs, numbers: Sequence[int] | NDArray[np.intp]) -> str:
    """Rows as people look for them: "row 3 (N 6.8e9, D 2.4e8, loss 5.01)"; numbers count from 1, by run if named."""
    parts = []
    for i in (int(k) for k in numbers):
        name = f" {runs.labels['run'][i]}" if "run" in runs.labels else ""
        inside = [f"{k} {runs[k][i]:.3g}" for k in ("N", "D", "loss") if k in runs.columns]
        parts.append(f"row {i + 1}{name}" + (f" ({', '.join(inside)})" if len(numbers) <= 3 and inside else ""))
    return ", ".join(parts)


def _rank(level: str) -> int:
    return ("green", "amber", "red").index(level)


def _rows(k: int) -> str:
    return "One row is" if k == 1 else f"{k} rows are each"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"

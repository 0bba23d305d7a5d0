# SPDX-License-Identifier: Apache-2.0
"""The facade: the only place that joins floors. Doors (CLI) and users call this; nothing below imports it.

Rooms are imported inside the functions, so that a plan from published constants does not pay for charts or readers.
"""

from __future__ import annotations

import importlib.util
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from forescale.core.errors import DataError, InputError, QueryError, ReadError, RefusedError, message
from forescale.core.schedule import Schedule
from forescale.fitting._fit import Finding, Fit
from forescale.laws import (
    Law,
    Published,
    amplitude,
    as_law,
    describe,
    exponent,
    floor,
    location,
    real,
    share,
)
from forescale.runs.table import Runs

if TYPE_CHECKING:
    from forescale.core.cite import Paper
    from forescale.fitting._estimator import Estimate, Estimator
    from forescale.fitting._stack import Stack
    from forescale.fitting.isoflop import IsoFlop
    from forescale.fitting.prediction import Prediction
    from forescale.judge.backtest import Backtest
    from forescale.judge.benchmark import Benchmark
    from forescale.judge.compare import Comparison, Comparisons
    from forescale.judge.excess import Excess
    from forescale.judge.noise_floor import NoiseFloor
    from forescale.judge.partial import Partial
    from forescale.judge.regimes import Regimes
    from forescale.judge.score import ScoreReport
    from forescale.planning._asking import Design
    from forescale.planning._plan import Plan, Planner
    from forescale.reporting.report import Report

__all__ = [
    "Fit", "Law", "Plan", "Published", "Report", "Runs", "Schedule", "Stack", "amplitude", "backtest", "benchmark",
    "catalogue", "checks", "compare", "curve_points", "dataset", "datasets", "derive", "describe", "estimate",
    "estimators", "excess", "exponent", "fit", "floor", "isoflop", "law", "lint", "load", "location", "next_runs",
    "noise_floor", "open", "papers", "pareto", "partial", "plan", "planners", "real", "record", "regimes", "report",
    "score", "seeds_needed", "select", "share", "widen", "write_runs",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "Plan":
        from forescale.planning._plan import Plan

        return Plan
    if name == "Report":
        from forescale.reporting.report import Report

        return Report
    if name == "Stack":
        from forescale.fitting._stack import Stack

        return Stack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# -- runs -----------------------------------------------------------------------------------------------------------


def load(source: Any, *, where: Sequence[str] | None = None, **options: Any) -> Runs:
    """Read runs from a path, folder, `-`, data set name, DataFrame, dict or list of dicts.

    Args:
        source: see above.
        where: row conditions such as "C<1e21" or "dataset=c4"; all must hold.
        **options: `columns`, `conventions`, `on_bad`, `weights`, `reader`; see `forescale.runs.readers`.

    Raises:
        ReadError, ColumnError, DataError, QueryError: what was seen, what was expected, what to try.
    """
    from forescale.runs.readers._open import load as read
    from forescale.runs.select import select

    if not options.get("columns"):
        options.pop("columns", None)
    return select(read(source, **options), tuple(where or ()))


def derive(runs: Runs, convention: str | None = None) -> Runs:
    """C from N and D, or back, by a named convention (default 6 N D, said in amber when the table does not tell)."""
    from forescale.runs.derive import derive as derived

    return derived(runs, convention)


def dataset(name: str, **filters: Any) -> Runs:
    """A public data set by name; licence and citation come as notes."""
    from forescale.runs.datasets import dataset as named

    return named(name, **filters)


def datasets() -> list[Any]:
    """The cards of all public data sets."""
    from forescale.runs.datasets import datasets as cards

    return list(cards())


def curve_points(runs: Any, *, from_step: float = 0) -> Runs:
    """One row per logged point of the runs' curves, after the warm-up: what laws along curves are fitted to.

    `fit` does this by itself; here to begin later, or to choose points.
    """
    from forescale.runs.curves import curve_points as points

    return points(runs if isinstance(runs, Runs) else load(runs), from_step=from_step)


def checks(runs: Runs) -> tuple[Any, ...]:
    """What the table itself shows: units, duplicates, levels, confounding (see `runs.checks`)."""
    from forescale.runs.checks import check

    return tuple(check(runs))


def lint(runs: Runs, fit: Fit | Stack | None = None) -> tuple[Finding, ...]:
    """What needs a fit to be seen: outliers, diverged runs, un-bracketed IsoFLOP profiles.

    With a stack, outliers are looked for with its best member that was fitted to all rows, if there is one.
    """
    from forescale.judge.lint import lint as linted

    if fit is not None and not isinstance(fit, Fit):
        fit = next((m.fit for m in fit.members if m.fit.data_hash == fit.data_hash), None)
    return tuple(linted(runs, fit))


# -- laws -----------------------------------------------------------------------------------------------------------


def catalogue() -> dict[str, Law]:
    """All laws: id -> Law."""
    from forescale.laws import catalogue as entries

    return {name: entry.value for name, entry in entries().items()}


def papers(of: Law | str | None = None) -> tuple[Paper, ...]:
    """The map of the literature: each paper with the laws and files where it works, and what is missing.

    Args:
        of: only the papers of this law.

    Raises:
        LawError: an unknown law.
    """
    from forescale.core.cite import papers as mapped

    if of is None:
        return mapped()
    wanted = as_law(of)
    return tuple(p for p in mapped() if p.reference.key in wanted.papers or wanted.id in p.works)


def shelf() -> dict[str, list[tuple[str, str, str]]]:
    """Laws, families and estimators for a list: topic -> (id, what it predicts from what, title)."""
    from forescale.laws import TOPICS, families

    found: dict[str, list[tuple[str, str, str]]] = {topic: [] for topic in TOPICS}
    for value in catalogue().values():
        found[value.topic].append((value.id, f"{value.output}({', '.join(value.inputs)})", value.title))
    for entry in families().values():
        member = entry.value.member()
        found[member.topic].append((f"{entry.value.id}(...)", f"{member.output}(your columns)", member.title))
    for name, estimator in estimators().items():
        found[estimator.topic].append((name, f"{estimator.output}: fs.estimate", estimator.title))
    return {topic: sorted(rows) for topic, rows in found.items() if rows}


def explained(name: str) -> tuple[str, dict[str, Any]]:
    """A law, a family (by one member) or an estimator: its kind, and its facts with the whole as `text`."""
    from forescale.laws import facts, families

    if name in estimators():
        from forescale.fitting._estimator import described

        found = estimators()[name]
        return "estimator", {"id": found.id, "title": found.title, "output": found.output, "text": described(found)}
    value = families()[name].value.member() if name in families() else law(name)
    return "law", {**facts(value), "text": describe(value)}


def law(value: Law | str | Callable[..., Any]) -> Law:
    """A law from its id, `power(N)`, a formula string, or a Python function of columns and parameters."""
    return as_law(value)


def default_law(runs: Runs) -> Law:
    """The law that is fitted when none is named: Chinchilla's where N and D are known, else a power law with a floor.

    Raises:
        InputError: no column that a law could use.
    """
    known = {name for name in ("N", "D", "C") if name in runs}
    if len(known) >= 2:
        return as_law("chinchilla")
    if known:
        return as_law(f"power-floor({known.pop()})")
    raise InputError(
        message(
            f"{runs.source} has no N, D or C; it has {', '.join([*runs.columns, *runs.labels])}",
            "parameters, training tokens or compute",
            "name it: columns={'N': 'my size'} (CLI: --column N='my size'), or write a law: law='E + A*x**-a'",
        )
    )


def change_law(
    value: Law | str,
    *,
    add: Sequence[str] = (),
    fix: Mapping[str, Any] | None = None,
    tie: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    columns: Sequence[str] = (),
) -> Law:
    """A law after `+`, `rename`, `fix` and `tie`, in this order; `columns` are names that a formula may read."""
    from forescale.core.quantity import parse_number

    changed = as_law(value, columns=tuple(columns))
    for other in add:
        changed = changed + as_law(other, columns=tuple(columns))
    if rename:
        changed = changed.rename(**rename)
    if fix:
        changed = changed.fix(**{name: parse_number(text, signed=True) for name, text in fix.items()})
    if tie:
        changed = changed.tie(**tie)
    return changed


# -- fits -----------------------------------------------------------------------------------------------------------


@overload
def fit(
    runs: Any,
    law: Law | str | Callable[..., Any],
    *,
    loss: Any = None,
    group_by: str | None = None,
    separate: Sequence[str] = (),
    level: float = 0.90,
    rng: int = 0,
    **options: Any,
) -> Fit: ...


@overload
def fit(
    runs: Any,
    law: None = None,
    *,
    loss: Any = None,
    group_by: str | None = None,
    separate: Sequence[str] = (),
    level: float = 0.90,
    rng: int = 0,
    **options: Any,
) -> Fit | Stack: ...


def fit(
    runs: Any,
    law: Law | str | Callable[..., Any] | None = None,
    *,
    loss: Any = None,
    group_by: str | None = None,
    separate: Sequence[str] = (),
    level: float = 0.90,
    rng: int = 0,
    **options: Any,
) -> Fit | Stack:
    """Fit a law to runs: start search, certificate, intervals, verdict.

    Without a law the candidates of `judge/candidates.toml` are scored by rolling extrapolation and the better three
    quarters are pooled into a Stack (see `select`). With a loss, groups or other options but no law, the law is
    Chinchilla's where N and D are known, else a power law with a floor.

    Args:
        runs: a Runs, or anything `load` reads.
        law: see `law`.
        loss: name of a loss ("log-huber", "student-t", "frontier", "lower-envelope", ...); default the law's own.
        group_by, separate: one value of the parameters `separate` per level of a label column, the others shared.
        level: nominal level of all intervals.
        rng: seed.
        **options: passed to `fitting.estimate.fit`.

    Returns:
        Fit with a verdict; Stack with a verdict when nothing but the runs is given.

    Raises:
        DataError, ColumnError, LawError, FormulaError: what was seen, what was expected, what to try.
    """
    from forescale.fitting.estimate import fit as estimate
    from forescale.judge.verdict import verdict

    table = runs if isinstance(runs, Runs) else load(runs)
    if law is None and loss is None and group_by is None and not options:
        return select(table, level=level, rng=rng)
    chosen = default_law(table) if law is None else as_law(law, columns=tuple(table.columns))
    result = estimate(
        table, chosen, loss=loss, group_by=group_by, separate=tuple(separate), level=level, rng=rng, **options
    )
    judged = replace(result, verdict=verdict(result))
    return judged if law is not None else default_noted(judged)


def default_noted(fit: Fit) -> Fit:
    """The fit with a note that no law was named, and that several were not compared."""
    from forescale.runs.table import Note

    text = (
        f"No law was named: {fit.law.id} was fitted, since the options are about one law. Without them several laws "
        "are compared by how well they extrapolate, and pooled."
    )
    return fit.with_notes(Note("info", "default-law", text))


def select(
    runs: Any,
    *,
    laws: Sequence[Law | str] | None = None,
    level: float = 0.90,
    rng: int = 0,
    secondary: bool = False,
) -> Stack:
    """Score candidates by rolling extrapolation and pool the better three quarters: what `fit` without a law does.

    Args:
        runs: a Runs, or anything `load` reads.
        laws: only these laws, each with the losses and subsets of rows that the list of candidates gives to its own.
        level: nominal level of the bands.
        rng: seed of the draws.
        secondary: also leave one group of rows out at a time (`judge._secondary`): the column `leave_out` of
            `scores`. It stands beside the rolling error and chooses nothing.

    Raises:
        InputError: no column that a law could use.
        LawError: nothing in the table varies, an unknown law, or one that reads other columns.
        DataError, ColumnError: rows that no law can use.
        RefusedError: no candidate can be fitted.
    """
    from forescale.judge._stack_verdict import stack_verdict
    from forescale.judge.select import select as chosen

    if not 0.0 < level < 1.0:
        raise DataError(message(f"an interval level of {level}", "a number between 0 and 1, e.g. 0.9"))
    default_law(table := runs if isinstance(runs, Runs) else load(runs))
    stack = chosen(table, laws=laws, level=level, rng=rng, secondary=secondary)
    return stack.with_verdict(stack_verdict(stack))


def estimators() -> dict[str, Estimator]:
    """What predicts and is no formula (regressions on mixtures, staged procedures, ...): id -> Estimator."""
    from forescale.fitting._estimator import estimators as entries

    return {name: entry.value for name, entry in entries().items()}


def estimate(runs: Any, estimator: Estimator | str, *, level: float = 0.90, **options: Any) -> Estimate:
    """Learn an estimator from runs; the result predicts with the bands of a fit.

    Raises:
        LawError: no such estimator; the nearest are named.
        InputError, DataError, ColumnError: options or rows that it cannot use.
    """
    from forescale.fitting._estimator import estimate as learned

    return learned(runs if isinstance(runs, Runs) else load(runs), estimator, level=level, **options)


def as_fit(value: Fit | Stack) -> Fit:
    """A Fit as it is; a Stack as one: its pooled law, with draws from all members."""
    return value if isinstance(value, Fit) else value.pooled


def open(source: Any, *, law: Law | None = None) -> Any:
    """A saved Fit, Stack or Plan from its file, or published constants from `law:source`.

    Args:
        source: path of a file that `save` wrote, or e.g. "chinchilla:besiroglu2024".
        law: the law of a fit whose law was a Python function (it cannot be written to a file).

    Raises:
        ReadError: not a file of ours; says what it is instead.
        LawError: unknown law or constants.
    """
    path = Path(str(source))
    if not path.exists() and isinstance(source, str) and ":" in source:
        from forescale.fitting.published import published

        return published(source)
    content = _json_file(path)
    schema = content.get("schema")
    if schema == "forescale/fit":
        from forescale.fitting._files import fit_from_dict

        return fit_from_dict(content, law=law)
    if schema == "forescale/stack":
        from forescale.fitting._stack_files import stack_from_dict

        return stack_from_dict(content, law=law)
    if schema == "forescale/plan":
        from forescale.planning._plan import Plan

        return Plan.from_dict(content)
    raise ReadError(
        message(
            f"{path} is JSON with the schema {schema!r}",
            "a file that forescale wrote: a fit, a stack or a plan",
            "forescale fit RUNS -o fit.json",
        )
    )


def _json_file(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise ReadError(message(f"{path} is a folder", "a file that forescale wrote"))
    if not path.exists():
        raise ReadError(
            message(
                f"there is no file {path}", "a fit file, or law:source", "forescale laws lists the published ones"
            )
        )
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ReadError(message(f"{path} is not JSON ({error})", "a file that forescale wrote")) from None
    if not isinstance(content, dict):
        raise ReadError(message(f"{path} holds a JSON {type(content).__name__}", "a file that forescale wrote"))
    return content


def fit_of(text: str, *, law: Law | str | None = None, loss: str | None = None) -> Fit | Stack:
    """What stands where a fit is asked for: a fit or stack file, `law:source`, or runs (fitted with `law`).

    Raises:
        ReadError, LawError: none of the three.
        QueryError: another kind of file, or a loss for what is fitted already.
    """
    if law is None:
        path = Path(text)
        if path.suffix == ".json" or (":" in text and not path.exists()):
            found = open(text)
            if type(found).__name__ not in ("Fit", "Stack"):
                raise QueryError(message(f"{text} holds a {type(found).__name__}", "a fit or a stack"))
            if loss is not None:
                raise QueryError(
                    message(f"{text} is fitted already, and the loss {loss!r} was given", "runs to fit, or no loss")
                )
            return cast("Fit | Stack", found)
    table = load(text)
    return fit(table, loss=loss) if law is None else fit(table, law, loss=loss)


# -- judging --------------------------------------------------------------------------------------------------------


def backtest(runs: Any, law: Law | str | None = None, *, beyond: float | None = None, **options: Any) -> Backtest:
    """Hide the largest runs, predict them: errors, coverage and interval score by distance."""
    from forescale.judge.backtest import backtest as judged

    table = runs if isinstance(runs, Runs) else load(runs)
    chosen = default_law(table) if law is None else as_law(law, columns=tuple(table.columns))
    return judged(table, chosen, beyond=beyond, **options)


def benchmark(
    cases: Sequence[str] = (),
    methods: Sequence[Any] = (),
    *,
    predictions: Sequence[Any] = (),
    run: bool = True,
    **options: Any,
) -> Benchmark:
    """Every method on every case of the extrapolation benchmark: larger runs hidden, predicted, scored.

    Args:
        cases: ids of protocol files; none: all whose data can be had.
        methods: ids, or `forescale.judge.benchmark.Method` values; none: all laws and recipes.
        predictions: files that an earlier run or another program wrote; they go into the same tables.
        run: without it nothing but `predictions` is shown.
        options: `level`, `workers`, `folder` (of further protocol files), `progress`.
    """
    from forescale.judge import benchmark as room

    if not run and not predictions:
        raise InputError(message("a benchmark that runs nothing", "files of predictions, or cases to run"))
    level, folder = options.get("level", room.LEVEL), options.get("folder")
    found = room.run(cases, methods, **options) if run else room.Benchmark(level, (), {}, {})
    return room.joined(found, predictions, cases, folder)


def benchmark_contents(folder: Any = None) -> dict[str, list[dict[str, str]]]:
    """What the benchmark knows: cases and methods, each with its id and one line."""
    from forescale.judge._methods import methods
    from forescale.judge._protocol import protocols

    return {
        "cases": [{"id": p.case, "title": p.title} for p in protocols((), folder)],
        "methods": [{"id": m.id, "title": m.about} for m in methods()],
    }


def widen(fit: Fit, tested: Backtest) -> Fit:
    """The fit with what a backtest taught: bands carry its errors by distance, the verdict its coverage.

    Raises:
        QueryError: a Stack: its bands come from its own rolling errors already.
    """
    from forescale.judge.verdict import widened

    if not isinstance(fit, Fit):
        raise QueryError(
            message(f"a {type(fit).__name__} was to be widened", "a Fit", "use the stack: its bands carry its errors")
        )
    return widened(fit, tested.spread)


def isoflop(runs: Any, *, method: str = "parabola", **options: Any) -> IsoFlop:
    """IsoFLOP profiles (Approach 2): N*(C) and D*(C), the known bias and its correction."""
    from forescale.fitting.isoflop import isoflop as profiles

    return profiles(runs if isinstance(runs, Runs) else load(runs), method=cast("Any", method), **options)


def compare(
    a: Any, b: Any = None, *, by: str | None = None, law: Law | str | None = None, **options: Any
) -> Comparison | Comparisons:
    """Compare two arms over the whole range of their runs: who is better where, crossing, savings, the next run.

    Args:
        a, b: two fits, stacks, fit files or `law:source`; or two tables; or one table and `by`.
        by: label column of one table; its levels are the arms. More than two are each compared with the first.
        law: the law of each arm of a table; default as `default_law`.
        **options: see `judge.compare.compare`: at, between, share, reference, names, pareto, method, margin, noise,
            pair_by, given, loss, level, rng.

    Returns:
        Comparison, or Comparisons for more than two arms; `.verdict`, `.summary()`, `.plot()`, `.to_json()`.
    """
    from forescale.judge.compare import compare as judged

    first, second = (_arm(value, law, by) for value in (a, b))
    chosen: Law | None = None
    if isinstance(first, Runs):
        columns = tuple(first.columns)
        chosen = default_law(first) if law is None else as_law(law, columns=columns)
    elif law is not None:
        raise QueryError(message("a law for what is fitted already", "runs to fit, or no law"))
    return judged(first, second, by=by, law=chosen, **options)


def _arm(value: Any, law: Law | str | None, by: str | None) -> Any:
    """A fit or a table from what stands for one; text that could be a fit file is one where no law is given."""
    if value is None or isinstance(value, (Fit, Runs)):
        return value
    if type(value).__name__ == "Stack":
        return as_fit(value)
    if isinstance(value, (str, Path)) and law is None and by is None and is_fit(str(value)):
        return as_fit(fit_of(str(value)))
    return load(value)


def is_fit(text: str) -> bool:
    """Whether text names a fit (a JSON file, or `law:source`) and not a table."""
    path = Path(text)
    return path.suffix == ".json" or (":" in text and not path.exists())


def excess(fit: Fit | Stack) -> Excess:
    """The under-tuned runs: how far each lies above the law of the well-tuned ones, and whether any does."""
    from forescale.fitting._stack import Stack
    from forescale.judge.excess import excess as judged

    if not isinstance(fit, (Fit, Stack)):
        raise QueryError(message(f"the excess of a {type(fit).__name__}", "a fit to runs", "fs.excess(fs.fit(runs))"))
    return judged(fit)


def partial(runs: Any, metric: str, arm: str, **options: Any) -> Partial:
    """The effect of an arm or a variable on a metric with size held: robust, confounded, emergent or reversed."""
    from forescale.judge.partial import partial as judged

    return judged(runs if isinstance(runs, Runs) else load(runs), metric, arm, **options)


def noise_floor(n: Any, error: Any, **options: Any) -> NoiseFloor:
    """Fit E^2 = B^2 + V / n: the bias that stays and the noise that averages away."""
    from forescale.judge.noise_floor import noise_floor as fitted

    return fitted(n, error, **options)


def seeds_needed(difference: float, sd: float, **options: Any) -> int | None:
    """Seeds per arm that show a difference: `seeds_needed(0.004, 0.003, level=0.9, power=0.8, test="t")`."""
    from forescale.judge.seeds import seeds_needed as counted

    return counted(difference, sd, **options)


def pareto(runs: Any, **options: Any) -> Runs:
    """The best run of each factor of two in compute: what is left of a table of scanned runs."""
    from forescale.runs.pareto import pareto as best

    return best(runs if isinstance(runs, Runs) else load(runs), **options)


def regimes(
    runs: Any, x: str | None = None, y: str | None = None, *, better: str | None = None, level: float = 0.90
) -> Regimes:
    """The regime of one curve: local exponents, change points with intervals, and a name for the trend.

    Args:
        runs: a table, or anything that `load` reads.
        x, y: columns of the variable and the metric; default the first of C, N, D, steps that varies, and loss, or
            score in a table without losses.
        better: "lower" for losses and errors, "higher" for accuracies; default "higher" for score.
        level: of the intervals.
    """
    from forescale.judge.regimes import regimes as judged

    return judged(runs if isinstance(runs, Runs) else load(runs), x, y, better=better, level=level)


def record(fit: Fit | Stack, prediction: Any, ledger: Any, *, runs: Sequence[str] | None = None) -> None:
    """Append predictions to a ledger before the runs are made (append-only, flushed to disk)."""
    from forescale.judge.score import record as written

    written(fit, prediction, ledger, runs=runs)


def score(ledger: Any, runs: Any) -> ScoreReport:
    """Compare recorded predictions with the runs that came: error, covered or not, updated verdict."""
    from forescale.judge.score import score as scored

    return scored(ledger, runs if isinstance(runs, Runs) else load(runs))


def exit_code(fit: Fit | Stack, strict: bool) -> int:
    """1 for a red verdict when asked to be strict, else 0."""
    return 1 if strict and fit.verdict is not None and fit.verdict.level == "red" else 0


# -- planning -------------------------------------------------------------------------------------------------------


def planners() -> dict[str, Planner]:
    """All questions: id -> Planner."""
    from forescale.planning import planners as known

    return dict(known())


def asked(words: Sequence[str]) -> list[Planner]:
    """The planner that a command line names, found without looking at plug-ins when it is built in; else all."""
    from forescale.planning._run import find

    if len(words) > 1 and words[0] == "plan" and not words[1].startswith("-"):
        try:
            return [find(words[1])]
        except QueryError:
            pass  # the parser says what is wrong, with all questions in view
    return list(planners().values())


ONE_LAW = ("next-runs",)
"""Questions about the parameters of one law: of a stack, the member that knows most about the split is asked."""


def plan(question: str, *given: Any, law: Law | str | None = None, loss: str | None = None, **query: Any) -> Plan:
    """Answer a question with intervals: `plan("compute-optimal", fit, budget="1e24 FLOP")`.

    Args:
        question: id of a planner.
        given: what it stands on: a Fit, a Stack or what `fit_of` accepts; for questions with several parts as many
            fits and tables as they take, in any order, or nothing where published constants stand in.
        law, loss: what runs are fitted with.
        **query: the fields of the planner's query, typed as people write them.

    Raises:
        QueryError, QuantityError: a malformed question.
        RefusedError: the law may not answer it, or the honest answer is no.
    """
    from forescale.planning._run import find
    from forescale.planning._run import plan as answer
    from forescale.planning._splitting import splitting

    planner = find(question)
    believed = [_ground(value, bool(planner.parts), law, loss) for value in given]
    if question in ONE_LAW:
        believed = [splitting(value).best if type(value).__name__ == "Stack" else value for value in believed]
    return answer(question, *believed, **query)


def _ground(value: Any, several: bool, law: Law | str | None, loss: str | None) -> Any:
    """A fit, or, for a planner of several parts, perhaps a table: it knows which part that plays."""
    if isinstance(value, (Fit, Runs)) or type(value).__name__ == "Stack":
        return value
    text = isinstance(value, (str, Path))
    if several and law is None and not (text and is_fit(str(value))):
        return load(value)
    if text:
        return fit_of(str(value), law=law, loss=loss)
    raise QueryError(message(f"a plan from a {type(value).__name__}", "a fit, or the file of one"))


def plan_example(planner: Planner) -> str:
    """A command that asks a planner's example."""
    from shlex import quote

    needed = [part for part in planner.parts if not part.default and not part.optional]
    files = [f"{part.name.replace(' ', '-')}.{'csv' if part.is_table else 'json'}" for part in needed]
    stands = list(planner.shown) or (files if planner.parts else ["chinchilla:besiroglu2024"])
    words = ["forescale", "plan", planner.id, *stands]
    for name, value in planner.example.items():
        flag = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return " ".join(word if word.startswith("--") else quote(word) for word in words)


def save_plan(plan: Plan, path: Any, commands: Sequence[str] = ()) -> Path:
    """Write a plan: a page where the name ends in .html, else JSON that `open` reads.

    Args:
        commands: shown at the end of the page.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        return plan.save(path)
    from forescale.reporting.plan import page

    return page(plan, commands).save(path)


def next_runs(fit: Fit | Stack | str, *, candidates: Any = None, group: str | None = None, **query: Any) -> Design:
    """Which runs to make next, as a conversation: `design.runs`, then `design.tell(new_runs)`, which asks again.

    Args:
        fit: a Fit, a Stack, or what `fit_of` accepts: "law:source" when nothing has been run.
        candidates: the only runs that can be made: columns N and D, and C where a run does not cost 6ND.
        group: which level of a grouped law to plan for.
        **query: fields of the planner "next-runs": `at`, `budget`, `runs`, `rounds`, ...

    Returns:
        Design, immutable: `runs`, `plan`, `stop`, `tell`.

    Raises:
        QueryError, QuantityError: a malformed question, limits that contradict each other.
        RefusedError: no decision to design for.
        DataError: candidates that cost nothing.
    """
    from forescale.planning import _asking
    from forescale.planning._splitting import splitting

    believed = fit_of(fit) if isinstance(fit, str) else fit
    if not isinstance(believed, Fit):
        believed = splitting(believed).best
    pool = None if candidates is None else _asking.candidates_of(candidates)
    return _asking.ask(believed, query, candidates=pool, group=group)


# -- reporting ------------------------------------------------------------------------------------------------------


def report(
    fit: Fit | Stack | Benchmark | str, *plans: Any, backtest: Any = False, commands: Sequence[str] = ()
) -> Report:
    """One self-contained page: verdict, tables, charts, checklist, citations, and the commands that made it.

    Args:
        fit: what the page is about: a Fit, a Stack, or what `fit_of` accepts; or a Benchmark, whose page has its
            tables.
        *plans: plans made from it.
        backtest: a Backtest, or True to run one on the rows of the fit. A Stack shows its own rolling test.
        commands: shown at the end, so that a reader can make the page again.
    """
    from forescale.judge.benchmark import Benchmark
    from forescale.reporting.report import report as page

    if isinstance(fit, Benchmark):
        from forescale.judge._protocol import protocols
        from forescale.reporting.benchmark import page as benchmark_page

        return benchmark_page(fit.to_dict("tables"), {p.case: p.title for p in protocols()}, commands)
    believed = fit_of(fit) if isinstance(fit, str) else fit
    tested = None if isinstance(backtest, bool) else backtest
    if not isinstance(believed, Fit):
        if tested is not None:
            raise QueryError(
                message("a backtest of one law for the page of a stack", "its own rolling test: no backtest")
            )
        return _stack_page(believed, plans, commands)
    remarks: tuple[str, ...] = ()
    if backtest is True:
        tested, remarks = _tested(believed)
    return page(believed, plans=plans, backtest=tested, commands=tuple(commands), remarks=remarks)


def report_with_plans(
    fit: Fit | Stack, budgets: Sequence[str] = (), *, backtest: bool = True, commands: Sequence[str] = ()
) -> Report:
    """A report whose plans know what the backtest taught: backtest, widen, plan each budget, write the page.

    A stack has its rolling test already.
    """
    from forescale.reporting.report import report as page

    if not isinstance(fit, Fit):
        return _stack_page(fit, [plan("compute-optimal", fit, budget=budget) for budget in budgets], commands)
    tested, remarks = _tested(fit) if backtest else (None, ())
    believed = fit if tested is None else widen(fit, tested)
    plans = [plan("compute-optimal", believed, budget=budget) for budget in budgets]
    return page(believed, plans=plans, backtest=tested, commands=tuple(commands), remarks=remarks)


def _stack_page(stack: Stack, plans: Sequence[Any], commands: Sequence[str]) -> Report:
    from forescale.reporting.stack import page

    return page(stack, plans=plans, commands=tuple(commands))


def _tested(fit: Fit) -> tuple[Backtest | None, tuple[str, ...]]:
    """A backtest of a fit's own rows, or why there is none: a report does not fail for it."""
    from forescale.judge.backtest import backtest as judged

    if fit.runs is None:
        return None, ()
    try:
        return judged(fit.runs, fit.law, loss=fit.loss), ()
    except (InputError, RefusedError) as error:
        return None, (f"No backtest: {error}",)


# -- for the doors -------------------------------------------------------------------------------------------------


def inspect(runs: Runs) -> tuple[Any, ...]:
    """Structural checks, and lint where the table allows it."""
    return (*checks(runs), *lint(runs))


def write_runs(runs: Runs, path: Any) -> Path:
    """Write a table as CSV under canonical names."""
    from forescale.runs.write import write_csv

    return write_csv(runs, path)


def card(name: str) -> Any:
    """The card of a data set. Raises InputError with the nearest names."""
    from forescale.runs.datasets import card as named

    return named(name)


def predict_at(
    fit: Fit | Stack,
    *,
    N: Sequence[str] | None = None,
    D: Sequence[str] | None = None,
    C: Sequence[str] | None = None,
    at: Mapping[str, str] | None = None,
    points: str | None = None,
    group: str | None = None,
) -> Prediction:
    """A prediction from what people type: single points, or a table that may hold more than the law reads.

    Raises:
        QueryError: nothing to predict, both a table and single points, lists of different lengths, or a group for a
            fit without groups.
    """
    labels = _group_input(fit, group)
    if points is None:
        return fit.predict(**_point_inputs(N, D, C, at), **labels)
    if N or D or C or at:
        raise QueryError(message("both a table of points and single values", "one of the two"))
    table = load(points)
    for name, level in labels.items():
        table = table.with_column(name, level)
    return fit.predict(table)


def _point_inputs(
    N: Sequence[str] | None, D: Sequence[str] | None, C: Sequence[str] | None, at: Mapping[str, str] | None
) -> dict[str, Any]:
    from forescale.core.quantity import parse_number

    single = {name: list(values) for name, values in (("N", N), ("D", D), ("C", C)) if values}
    other = {name: [text] for name, text in (at or {}).items()}
    given = {**single, **other}
    if not given:
        raise QueryError(message("no point to predict", "for example --N 70B --D 1.4T, or --points runs.csv"))
    longest = max(len(values) for values in given.values())
    short = sorted(name for name, values in given.items() if len(values) not in (1, longest))
    if short:
        raise QueryError(
            message(f"{short} given {len(given[short[0]])} times, others {longest} times", "equal numbers")
        )
    typed = {name: values[0] if len(values) == 1 else values for name, values in single.items()}
    return {**typed, **{name: parse_number(values[0], signed=True) for name, values in other.items()}}


def _group_input(fit: Fit | Stack, group: str | None) -> dict[str, str]:
    if group is None:
        return {}
    if fit.law.groups is None:
        raise QueryError(message(f"the group {group!r} of a fit without groups", "a fit made with --group-by"))
    return {fit.law.groups.by: group}


def doctor() -> list[tuple[str, str, str]]:
    """(what, state, detail) lines: versions, optional packages, plug-ins that failed to load."""
    import numpy
    import scipy

    import forescale
    from forescale.core.registry import failures

    lines = [
        ("forescale", "ok", forescale.__version__),
        ("python", "ok", f"{platform.python_version()} on {platform.system()}"),
        ("numpy", "ok", numpy.__version__),
        ("scipy", "ok", scipy.__version__),
    ]
    for package, extra, why in (
        ("pyarrow", "parquet", "Parquet files"),
        ("torch", "lab", "training runs of your own"),
    ):
        there = importlib.util.find_spec(package) is not None
        lines.append(
            (package, "ok" if there else "absent", why if there else f"{why}: pip install 'forescale[{extra}]'")
        )
    catalogue()
    planners()
    lines.extend(("plug-in", "broken", f"{origin}: {reason}") for origin, reason in failures().items())
    return lines

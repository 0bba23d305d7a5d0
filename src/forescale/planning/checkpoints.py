# SPDX-License-Identifier: Apache-2.0
"""Task scores along training: where will they end, which can be told from noise, which need not be evaluated?

Yang et al. (2024) read the checkpoints of many models: tasks of one domain move together, so that some follow from
others, and a task's course repeats from size to size. Here the last scores are forecast from the part so far, with an
interval from replayed runs (`_trajectories`), and each task is held against its noise and against the other tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short, parse_number
from forescale.fitting._fit import Finding
from forescale.planning import _trajectories
from forescale.planning._compose import composed
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import TokensText
from forescale.planning._trajectories import Ahead, Trajectory
from forescale.runs.table import Runs

Array = NDArray[np.float64]

TOKENS = ("tokens_seen", "D", "step")
"""Columns that say how far a checkpoint is, the best first."""

FOLLOWS = 2.0
"""A task follows from others where they give the second half of its course to within this many times its noise."""

EARLIEST = 0.2
"""Share of the tokens before which forecasts were not tried."""


class CheckpointsQuery(BaseModel):
    """A run and its length; a task."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    total: TokensText | None = Field(
        None, description="tokens (or steps) of the whole run, e.g. 100B; without it the run is taken to have ended"
    )
    run: str | None = Field(None, description="which run of the table is meant, e.g. 1B-10xC; needed for several")
    task: str | None = Field(None, description="the task that matters, e.g. mmlu; without it the mean of all")
    chance: str | None = Field(
        None, description="score of guessing, one for all tasks or by task, e.g. '25%' or 'mmlu=25%; piqa=50%'"
    )


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: CheckpointsQuery) -> Plan:
    """Forecasts, noise, and what moves together.

    Raises:
        QueryError: an unknown run or task, several runs and none named, a total that is passed already.
        DataError: checkpoints that repeat, too few of them, scores that are not finite.
    """
    table, level = grounds.tables["trajectories"], grounds.level
    every = _trajectories_of(table, query.chance)
    run = _run(every, query)
    tasks = [t for t in every if t.run == run]
    last = max(float(t.tokens[-1]) for t in tasks)
    if query.total is not None and query.total <= last:
        raise QueryError(message(f"total = {query.total:g} and the run has done {last:g}", "more than it has done"))
    ended = query.total is None
    total = last if query.total is None else float(query.total)
    wide = float(_trajectories.constants()["widening"])
    said = {} if ended else {t.task: _trajectories.ahead(t, total, wide) for t in tasks}
    focus = query.task or "the mean of the tasks"
    chosen = [t for t in tasks if query.task in (None, t.task)]
    noise = float(np.mean([t.noise for t in chosen]))
    halves = _halves(tasks)
    alike = _alike(tasks)
    decision: dict[str, Decided] = {}
    if ended:
        value = float(np.mean([_trajectories.moving(t.score)[-1] for t in chosen]))
        decision["score"] = Decided(value, None, None, "", f"smooth last score of {focus}")
    else:
        values = np.mean([said[t.task].values for t in chosen], axis=0)
        now = float(np.mean([said[t.task].now for t in chosen]))
        decision["score"] = decided(values, "", level, f"last score of {focus}")
        decision["to_come"] = decided(values - now, "", level, "score that the tokens left will bring")
    decision |= {
        "noise": Decided(noise, None, None, "", f"SD10 of {'its score' if query.task else 'a task, on average'}"),
        "visible": Decided(
            math.sqrt(2.0) * 1.645 * noise,
            None,
            None,
            "",
            "difference of two checkpoints that is no noise (90 %)",
        ),
        "alike": Decided(alike[0], None, None, "", "mean rank correlation of two tasks"),
        "tasks": Decided(float(len(tasks)), None, None, "count", "tasks of the run"),
    }
    if halves is not None:
        decision["keep"] = Decided(float(len(halves[0])), None, None, "count", "tasks from which the others follow")
    end = decision["score"]
    return composed(
        grounds, planner, query,
        headline=(
            (f"{run} ended at {end} for {focus}. " if ended else
             f"After {format_short(last)} of {format_short(total)} tokens {run} will end at {end} for {focus}. ")
            + _advice(tasks, halves, noise)
        ),
        decision=decision,
        binding="the tokens of the run",
        expected={} if ended else {"score": Expected(end.value, None, _pair(end), "", f"last score of {focus}")},
        tables=[
            _tasks(tasks, said, halves, level),
            *([_moving_together(tasks, alike[1])] if len(tasks) > 1 else []),
            *_runs(every, run, total),
            *([] if ended else [_earlier(chosen, total, wide, level)]),
        ],
        curves=_curves(chosen[0], said.get(chosen[0].task)),
        warnings=_trouble(tasks, said, last / total, query),
        assumptions=[
            *([] if ended else _owed()),
            "These are checkpoints of one run: with another seed scores differ by more than the noise of one run.",
        ],
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the question


def _trajectories_of(table: Runs, chance: str | None) -> list[Trajectory]:
    """One per run and task, in the order of the table."""
    axis = next((name for name in TOKENS if name in table.columns), None)
    if axis is None:
        raise DataError(message(f"{table.source} says not how far its checkpoints are", " or ".join(TOKENS)))
    names = table.labels.get("run", table.labels.get("model", np.full(len(table), "run")))
    tasks = table.labels["task"]
    guessed = _chances(chance, list(dict.fromkeys(tasks.tolist())))
    tokens, score = table[axis], table["score"]
    if not np.isfinite(score).all() or not (np.isfinite(tokens) & (tokens > 0)).all():
        raise DataError(message("scores or tokens that are not finite numbers", "a score and tokens in each row"))
    found = []
    for name in dict.fromkeys(zip(names.tolist(), tasks.tolist())):
        rows = np.flatnonzero((names == name[0]) & (tasks == name[1]))
        rows = rows[np.argsort(tokens[rows], kind="stable")]
        if np.any(np.diff(tokens[rows]) <= 0):
            raise DataError(message(f"checkpoints of {name[1]} of {name[0]} repeat", "each once"))
        if rows.size < 3:
            raise DataError(message(f"{rows.size} checkpoints of {name[1]} of {name[0]}", "three or more"))
        found.append(Trajectory(name[0], name[1], tokens[rows], score[rows], guessed.get(name[1], 0.0)))
    return found


def _chances(text: str | None, tasks: list[str]) -> dict[str, float]:
    if text is None:
        return {}
    found: dict[str, float] = {}
    for part in text.split(";"):
        name, equals, value = part.rpartition("=")
        name, value = name.strip(), value.strip()
        number = parse_number(value.removesuffix("%").strip()) / (100.0 if value.endswith("%") else 1.0)
        if not 0.0 <= number < 1.0:
            raise QueryError(message(f"chance = {part.strip()!r}", "a share below one, e.g. 25%"))
        if equals and name not in tasks:
            raise QueryError(message(f"chance of the task {name!r}", "", nearest(name, tasks)))
        found |= {name: number} if equals else dict.fromkeys(tasks, number)
    return found


def _run(every: list[Trajectory], query: CheckpointsQuery) -> str:
    names = list(dict.fromkeys(t.run for t in every))
    if query.run is not None and query.run not in names:
        raise QueryError(message(f"there is no run {query.run!r}", "", nearest(query.run, names)))
    if query.run is None and len(names) > 1:
        raise QueryError(message(f"{len(names)} runs and none was named", "run", nearest("", names)))
    run = query.run or names[0]
    tasks = [t.task for t in every if t.run == run]
    if query.task is not None and query.task not in tasks:
        raise QueryError(message(f"{run} has no task {query.task!r}", "", nearest(query.task, tasks)))
    return run


# --------------------------------------------------------------------------------------------------------- the answer


def _common(tasks: list[Trajectory]) -> tuple[Array, Array]:
    """Tokens (n,) that all tasks were evaluated at, and their scores (k, n)."""
    shared = tasks[0].tokens
    for t in tasks[1:]:
        shared = np.intersect1d(shared, t.tokens)
    return shared, np.stack([t.score[np.searchsorted(t.tokens, shared)] for t in tasks])


def _alike(tasks: list[Trajectory]) -> tuple[float, Array]:
    """Mean rank correlation of two tasks, and all of them (k, k); NaN where there is nothing to compare."""
    shared, scores = _common(tasks)
    if len(tasks) < 2 or shared.size < 4:
        return math.nan, np.full((len(tasks), len(tasks)), np.nan)
    matrix = _trajectories.spearman(scores)
    return float(np.nanmean(matrix[~np.eye(len(tasks), dtype=bool)])), matrix


def _halves(tasks: list[Trajectory]) -> tuple[list[str], Array] | None:
    """The tasks to keep evaluating, and (k,) errors of each task's second half from all the others."""
    shared, scores = _common(tasks)
    if len(tasks) < 3 or shared.size < 2 * _trajectories.FEWEST:
        return None
    smooth = np.stack([_trajectories.moving(row) for row in scores])
    allowed = FOLLOWS * np.array([t.noise for t in tasks])
    chosen = _trajectories.kept(smooth, shared.size // 2, allowed)
    return [tasks[i].task for i in chosen], _trajectories.left_out(smooth, shared.size // 2)


def _advice(tasks: list[Trajectory], halves: tuple[list[str], Array] | None, noise: float) -> str:
    if halves is None:
        return f"One checkpoint's noise is {noise:.3g}."
    names, left = halves[0], len(tasks) - len(halves[0])
    if not left:
        return "No task follows from the others: evaluate all."
    rest = "the other follows" if left == 1 else f"the other {left} follow"
    return f"Evaluating {', '.join(names)} often is enough: {rest} to within {FOLLOWS:g} times the noise."


def _pair(found: Decided) -> tuple[float, float] | None:
    return None if found.lower is None or found.upper is None else (found.lower, found.upper)


def _tasks(
    tasks: list[Trajectory], said: Mapping[str, Ahead], halves: tuple[list[str], Array] | None, level: float
) -> Table:
    rows: list[tuple[float | str | None, ...]] = []
    for i, t in enumerate(tasks):
        smooth = _trajectories.moving(t.score)
        half = float(np.interp(np.log(0.5 * t.tokens[-1]), np.log(t.tokens), smooth))
        ahead = said.get(t.task)
        ends = None if ahead is None else interval(ahead.values, level)
        error = None if halves is None else float(halves[1][i])
        role = "-" if halves is None else "evaluate" if t.task in halves[0] else "follows"
        ratio = (float(smooth[-1]) - half) / t.noise if t.noise > 0 else math.nan
        rows.append(
            (
                t.task, float(smooth[-1]), float(_trajectories.moving(t.normalised)[-1]),
                None if ahead is None else ahead.mean, *(ends or (None, None)), t.noise, t.scatter, ratio, error,
                role,
            )
        )  # fmt: skip
    return Table(
        "tasks",
        "The tasks of this run",
        (
            ("task", ""), ("score now", ""), ("above chance", ""), ("at the end", ""), ("from", ""), ("to", ""),
            ("SD10", ""), ("scatter", ""), ("last doubling / SD10", ""), ("error by others", ""), ("role", ""),
        ),
        tuple(rows),
        "SD10: standard deviation of the last ten checkpoints; scatter: about a moving average of five. error by "
        "others: of a ridge regression on all the others, learnt on the first half of the course, over the second; "
        "the tasks to evaluate were chosen by that second half, so look at them again in another run.",
    )  # fmt: skip


def _moving_together(tasks: list[Trajectory], matrix: Array) -> Table:
    rows: list[tuple[float | str | None, ...]] = []
    for i, t in enumerate(tasks):
        others = np.where(np.arange(len(tasks)) == i, np.nan, matrix[i])
        if not np.isfinite(others).any():
            rows.append((t.task, None, "-", None))
            continue
        best = int(np.nanargmax(others))
        rows.append((t.task, float(np.nanmean(others)), tasks[best].task, float(others[best])))
    return Table(
        "alike",
        "Which tasks move together (rank correlation over checkpoints)",
        (("task", ""), ("mean with the others", ""), ("closest", ""), ("with it", "")),
        tuple(rows),
    )


def _runs(every: list[Trajectory], run: str, total: float) -> list[Table]:
    """How alike the tasks of this run move in the other runs, at equal shares of their tokens."""
    own = {t.task: t for t in every if t.run == run}
    rows: list[tuple[float | str | None, ...]] = []
    if max(float(t.tokens[-1]) for t in own.values()) < 2.0 * _trajectories.EARLIEST * total:
        return []
    for other in dict.fromkeys(t.run for t in every if t.run != run):
        found = {
            t.task: _trajectories.similarity(own[t.task], t, total) for t in every if t.run == other and t.task in own
        }
        known = {task: value for task, value in found.items() if math.isfinite(value)}
        if known:
            least = min(known, key=known.__getitem__)
            rows.append((other, float(len(known)), float(np.mean(list(known.values()))), least, known[least]))
    if not rows:
        return []
    return [
        Table(
            "runs",
            "The same tasks along other runs (correlation of smooth scores at equal shares of the tokens)",
            (("run", ""), ("tasks", "count"), ("mean", ""), ("least alike", ""), ("there", "")),
            tuple(rows),
        )
    ]


def _earlier(chosen: list[Trajectory], total: float, widening: float, level: float) -> Table:
    """What would have been forecast earlier: a forecast that moves with the question is none."""
    rows: list[tuple[float | str | None, ...]] = []
    for share in (0.5, 0.7, 0.85, 1.0):
        try:
            parts = [_trajectories.ahead(t.until(share * float(t.tokens[-1])), total, widening) for t in chosen]
        except DataError:  # too few checkpoints by then
            continue
        values = np.mean([part.values for part in parts], axis=0)
        rows.append(
            (
                100 * share,
                share * float(chosen[0].tokens[-1]),
                float(values[0]),
                *(interval(values, level) or (None, None)),
            )
        )
    return Table(
        "sensitivity",
        "The forecast from less of the run",
        (("of the part so far", "%"), ("tokens", "tokens"), ("last score", ""), ("from", ""), ("to", "")),
        tuple(rows),
    )


def _owed() -> list[str]:
    came = _trajectories.constants()["replay"]
    return [
        f"Intervals are widened as replayed runs ask for: nominal 90 % held {100 * came['held']:.0f} % of "
        f"{came['forecasts']} last scores of eight tasks of the OLMo ladder, from 20 to 70 % of the tokens, each "
        "size with the widening of the others.",
        "Errors of tasks are taken to go together in their mean.",
        "Tokens left are like those so far; a cool-down still to come lifts scores beyond this.",
    ]


def _curves(one: Trajectory, said: Ahead | None) -> dict[str, Mapping[str, Array]]:
    found: dict[str, Mapping[str, Array]] = {
        "so far": Frozen({"tokens": one.tokens, one.task: one.score, "smooth": _trajectories.moving(one.score)})
    }
    if said is not None:
        found["forecast"] = Frozen(
            {"tokens": said.tokens, one.task: said.line[:, 0], "lower": said.line[:, 1], "upper": said.line[:, 2]}
        )
    return found


# ------------------------------------------------------------------------------------------------ what must be said


def _trouble(
    tasks: list[Trajectory], said: Mapping[str, Ahead], done: float, query: CheckpointsQuery
) -> list[Finding]:
    found = []
    silent = [t.task for t in tasks if t.task in said and abs(said[t.task].mean - said[t.task].now) < t.noise]
    if silent:
        found.append(
            Finding(
                "within-noise", "amber",
                f"What is still to come lies below the noise of one checkpoint for {', '.join(silent)}.",
                "Mean the last checkpoints, or read the loss of the right answer: it is quieter.",
            )
        )  # fmt: skip
    if said and done < EARLIEST:
        found.append(
            Finding(
                "early", "amber",
                f"{100 * done:.0f} % of the tokens are done; forecasts were tried from {100 * EARLIEST:.0f} % on.",
            )
        )  # fmt: skip
    if query.chance is not None:
        asleep = [
            t.task for t in tasks
            if _trajectories.moving(t.score)[-1] - t.chance < 2.0 * max(t.noise, t.scatter)
        ]  # fmt: skip
        if asleep:
            found.append(
                Finding(
                    "at-chance", "amber",
                    f"{', '.join(asleep)}: not above guessing yet, so the course so far does not show when it rises.",
                    "Follow the loss of the right answer until the score moves.",
                )
            )  # fmt: skip
    else:
        found.append(
            Finding(
                "no-chance", "green", "Scores of guessing were not given: 'above chance' is the score itself.",
                "chance='25%', or by task",
            )
        )  # fmt: skip
    return found


planner = Planner(
    id="checkpoints",
    question="Where will the scores of these tasks end, and which of them are worth evaluating?",
    query=CheckpointsQuery,
    answer=answer,
    parts=(
        Part(
            "trajectories",
            "scores of tasks at checkpoints: run, task, tokens_seen (or D, or step), score",
            columns=("task", "score"),
        ),
    ),
    papers=("yang2024",),
    example=Frozen({"total": "60B", "chance": "25%"}),
    topic="how a task will go",
)

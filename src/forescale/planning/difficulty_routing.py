# SPDX-License-Identifier: Apache-2.0
"""Which problems should get the slow and dear way of solving, judged by how difficult they look?

A threshold on a difficulty score sends what looks easy the fast way and the rest the slow way (Xiao et al. 2025,
SCALE). From problems solved both ways: accuracy and cost of every threshold, those worth having, and what the score
is worth beside a coin and beside perfect knowledge. Or from a table of measured thresholds alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.planning import _routes
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, interval
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import TokensText
from forescale.planning._routes import DRAWS, Items, Routes
from forescale.planning._show import show

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

SHOWN = 12
"""Most thresholds in the table."""
FEW = 100
"""Problems below which the error of an accuracy is above several points."""


class DifficultyRoutingQuery(BaseModel):
    """What accuracy is worth, or what there is to spend, or what is to be reached: one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    worth: float | None = Field(
        None, gt=0, description="accuracy that one gives for saving 1,000 tokens per problem, e.g. 0.005"
    )
    most_tokens: TokensText | None = Field(None, description="most tokens per problem, on the mean, e.g. 20k")
    target: float | None = Field(None, gt=0, le=1, description="accuracy to reach with the fewest tokens, e.g. 0.7")
    slack: float = Field(
        0.01, ge=0, lt=1, description="without any of these: accuracy given away for fewer tokens, e.g. 0.01"
    )
    fast: str | None = Field(None, description="the mode for what looks easy, e.g. system1 (default: the cheaper)")
    questions: int | None = Field(
        None, ge=1, description="questions behind each measured threshold, for its error, e.g. 30"
    )


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: DifficultyRoutingQuery) -> Plan:
    """The threshold, its accuracy and its cost.

    Raises:
        QueryError: no table, both, more than one aim, or an aim out of reach of any threshold.
        DataError: problems that were not solved both ways, or numbers that are none.
        RefusedError: a target that no threshold reaches.
    """
    aims = [name for name in ("worth", "most_tokens", "target") if getattr(query, name) is not None]
    if len(aims) > 1:
        raise QueryError(message(f"{' and '.join(aims)} are all given", "one of them"))
    table, measured = grounds.tables.get("items"), grounds.tables.get("thresholds")
    if (table is None) == (measured is None):
        raise QueryError(
            message(
                "difficulty-routing needs problems solved both ways, or measured thresholds"
                + ("; both were given" if table is not None else ""),
                "one table: problem, difficulty, mode, correct and decode_tokens; or threshold, score, decode_tokens",
            )
        )
    items = None if table is None else _routes.solved(table, query.fast)
    routes = _routes.measured(measured) if measured is not None else _routes.routes(items)  # type: ignore[arg-type]
    level = grounds.level
    front = _front(routes.tokens[0], routes.accuracy[0])
    place = _chosen(routes, front, query)
    accuracy, tokens = routes.accuracy[:, place], routes.tokens[:, place]
    cheapest = float(routes.tokens[0].min())
    decision: dict[str, Decided] = {
        "threshold": Decided(
            float(routes.tau[place]), None, None, "", "difficulty up to which the fast way is taken"
        ),
        "accuracy": decided(accuracy, "", level, "accuracy"),
        "tokens": decided(tokens, "tokens", level, "tokens per problem, mean"),
        "over fast": decided(tokens / routes.tokens.min(axis=1), "x", level, "tokens over the cheapest way"),
    }
    extra: list[Table] = []
    if items is not None:
        decision.update(_beside(items, routes, place, level))
        extra.append(_rule(items))
    warnings = _warned(routes, front, place, items, query)
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(routes, place, cheapest, items),
        decision=decision,
        binding=aims[0] if aims else f"the slack of {query.slack:g}",
        tables=(_front_table(routes, front, place, level, query), _worths(routes, front), *extra),
        curves={"accuracy": _curve(routes, front)},
        warnings=warnings,
        assumptions=(
            *(
                (f"Intervals resample whole problems {DRAWS:,} times (seed 0).",)
                if items is not None
                else ("Each threshold is taken as measured: a router's own calls are in its tokens, or not at all.",)
            ),
            "A problem goes the fast way where its difficulty is at most the threshold.",
        ),
    )


# ---------------------------------------------------------------------------------------------------------- decisions


def _front(tokens: Array, accuracy: Array) -> NDArray[np.intp]:
    """Places that no other beats in both, in rising order of tokens; of equal ones the first."""
    order = np.lexsort((-accuracy, tokens))
    best, kept = -math.inf, []
    for i in order:
        if accuracy[i] > best:
            best = float(accuracy[i])
            kept.append(int(i))
    return np.array(kept, dtype=np.intp)


def _chosen(routes: Routes, front: NDArray[np.intp], query: DifficultyRoutingQuery) -> int:
    accuracy, tokens = routes.accuracy[0][front], routes.tokens[0][front]
    if query.worth is not None:
        return int(front[np.argmax(accuracy - query.worth * tokens / 1000.0)])
    if query.most_tokens is not None:
        able = np.flatnonzero(tokens <= query.most_tokens)
        if able.size == 0:
            raise QueryError(
                message(
                    f"most_tokens = {show(query.most_tokens, 'tokens')} is less than the cheapest way takes",
                    f"at least {show(float(tokens.min()), 'tokens')}",
                )
            )
        return int(front[able[-1]])
    wanted = query.target if query.target is not None else float(accuracy.max()) - query.slack
    able = np.flatnonzero(accuracy >= wanted - 1e-12)
    if able.size == 0:
        raise refused(
            f"no threshold reaches an accuracy of {wanted:g}; the best has {accuracy.max():.4g}",
            "a target that the slow way reaches",
        )
    return int(front[able[0]])


def _beside(items: Items, routes: Routes, place: int, level: float) -> dict[str, Decided]:
    """What the score is worth: a coin that sends as many tokens' worth the slow way, and perfect knowledge."""
    fast, slow = routes.tokens[:, -1], routes.tokens[:, 0]
    share = np.clip((routes.tokens[:, place] - fast) / (slow - fast), 0.0, 1.0)
    coin = (1.0 - share) * routes.accuracy[:, -1] + share * routes.accuracy[:, 0]
    found = {
        "slow share": Decided(float((items.difficulty > routes.tau[place]).mean()), None, None, "",
                              "share of the problems that go the slow way"),
        "over coin": decided(routes.accuracy[:, place] - coin, "", level, "accuracy over a coin of the same cost"),
        "all slow": decided(routes.accuracy[:, 0], "", level, f"accuracy of {items.modes[1]} for everything"),
        "all fast": decided(routes.accuracy[:, -1], "", level, f"accuracy of {items.modes[0]} for everything"),
    }  # fmt: skip
    gain, cost = items.right[1] - items.right[0], items.tokens[1] - items.tokens[0]
    # perfect knowledge takes the best gain per token first, until the tokens of the plan are spent
    free = float(np.maximum(gain[cost <= 0], 0.0).sum())
    paid = np.flatnonzero((gain > 0) & (cost > 0))
    paid = paid[np.argsort(-gain[paid] / cost[paid], kind="stable")]
    budget = float(routes.tokens[0, place] - items.tokens[0].mean()) * gain.size
    budget -= float(cost[(cost <= 0) & (gain > 0)].sum())
    spent = np.cumsum(cost[paid])
    taken = float(gain[paid[spent <= budget + 1e-9]].sum())
    best = float(items.right[0].mean()) + (free + taken) / gain.size
    found["perfect"] = Decided(best, None, None, "", "accuracy of perfect routing at that cost (an upper bound)")
    return found


# ------------------------------------------------------------------------------------------------------------- tables


def _name(tau: float) -> str:
    return "all slow" if math.isinf(tau) else f"{tau:.4g}"


def _front_table(
    routes: Routes, front: NDArray[np.intp], place: int, level: float, query: DifficultyRoutingQuery
) -> Table:
    rows: list[Row] = []
    order = np.argsort(routes.tokens[0], kind="stable")
    if order.size > SHOWN:
        some = front[np.unique(np.linspace(0, front.size - 1, SHOWN).round().astype(np.intp))]
        order = np.array([i for i in order if i in some or i == place])
    for i in order:
        ends = interval(routes.accuracy[:, i], level)
        if ends is None and query.questions is not None:
            p = float(routes.accuracy[0, i])
            error = 1.645 * math.sqrt(p * (1.0 - p) / query.questions)
            ends = (max(0.0, p - error), min(1.0, p + error))
        state = "the plan" if i == place else "worth having" if i in front else "beaten"
        rows.append((_name(float(routes.tau[i])), float(routes.accuracy[0, i]), *(ends or (None, None)),
                     float(routes.tokens[0, i]), state))  # fmt: skip
    return Table(
        "alternatives",
        "Thresholds",
        (("threshold", ""), ("accuracy", ""), ("from", ""), ("to", ""), ("tokens", "tokens"), ("state", "")),
        tuple(rows),
        "Beaten: another threshold is at least as good for fewer tokens.",
    )


def _worths(routes: Routes, front: NDArray[np.intp]) -> Table:
    """From which worth of accuracy each threshold of the upper hull is the best."""
    accuracy, tokens = routes.accuracy[0][front], routes.tokens[0][front]
    hull: list[int] = []
    for i in range(len(front)):
        while len(hull) > 1 and (accuracy[i] - accuracy[hull[-1]]) * (tokens[hull[-1]] - tokens[hull[-2]]) >= (
            accuracy[hull[-1]] - accuracy[hull[-2]]
        ) * (tokens[i] - tokens[hull[-1]]):
            hull.pop()
        hull.append(i)
    rows: list[Row] = []
    for place, i in enumerate(hull):
        least = 0.0
        if place + 1 < len(hull):
            j = hull[place + 1]
            least = 1000.0 * (accuracy[j] - accuracy[i]) / (tokens[j] - tokens[i])
        most = math.inf
        if place:
            j = hull[place - 1]
            most = 1000.0 * (accuracy[i] - accuracy[j]) / (tokens[i] - tokens[j])
        rows.append((_name(float(routes.tau[front[i]])), float(least), float(most), float(accuracy[i]),
                     float(tokens[i])))  # fmt: skip
    return Table(
        "sensitivity",
        "What 1,000 tokens must be worth for each threshold",
        (("threshold", ""), ("worth from", ""), ("to", ""), ("accuracy", ""), ("tokens", "tokens")),
        tuple(rows),
        "In accuracy per 1,000 tokens. A problem should go the slow way where its own gain per token exceeds that.",
    )


def _rule(items: Items) -> Table:
    """Gain and cost of the slow way by difficulty."""
    ends = np.unique(np.quantile(items.difficulty, np.linspace(0.0, 1.0, 6)))
    place = np.clip(np.searchsorted(ends, items.difficulty, side="right") - 1, 0, max(len(ends) - 2, 0))
    rows: list[Row] = []
    for i in np.unique(place):
        inside = place == i
        fast, slow = (float(values[inside].mean()) for values in items.right)
        cost = float((items.tokens[1] - items.tokens[0])[inside].mean())
        rows.append(
            (
                float(items.difficulty[inside].min()), float(items.difficulty[inside].max()), float(inside.sum()),
                fast, slow, cost, 1000.0 * (slow - fast) / cost if cost > 0 else None,
            )
        )  # fmt: skip
    return Table(
        "by-difficulty",
        "What the slow way brings, by difficulty",
        (
            ("difficulty from", ""), ("to", ""), ("problems", "count"), (items.modes[0], ""), (items.modes[1], ""),
            ("extra tokens", "tokens"), ("gain per 1,000", ""),
        ),
        tuple(rows),
        "A threshold is the right rule where the last column rises with difficulty.",
    )  # fmt: skip


def _curve(routes: Routes, front: NDArray[np.intp]) -> Frozen[str, Array]:
    return Frozen({"tokens per problem": routes.tokens[0][front], "accuracy": routes.accuracy[0][front]})


# -------------------------------------------------------------------------------------------------- what must be said


def _headline(routes: Routes, place: int, cheapest: float, items: Items | None) -> str:
    tokens = float(routes.tokens[0, place])
    slow, fast = ("slow way", "fast way") if items is None else (items.modes[1], items.modes[0])
    tau = float(routes.tau[place])
    what = f"Send everything the {slow}" if math.isinf(tau) else f"Take {fast} up to a difficulty of {tau:.4g}"
    return (
        f"{what}: {show(100 * float(routes.accuracy[0, place]), '%')} right for {show(tokens, 'tokens')} tokens per "
        f"problem, {show(tokens / cheapest, 'x')} the cheapest way."
    )


def _warned(
    routes: Routes, front: NDArray[np.intp], place: int, items: Items | None, query: DifficultyRoutingQuery
) -> list[Finding]:
    found = []
    questions = query.questions if items is None else items.difficulty.size
    if questions is not None and questions < FEW:
        p = float(routes.accuracy[0, place])
        found.append(
            Finding(
                "few-problems",
                "amber",
                f"{questions} problems: the standard error of an accuracy of {p:.3g} is "
                f"{100 * math.sqrt(p * (1 - p) / questions):.2g} points, more than most thresholds differ by.",
                "Repeated answers to the same problems do not help: bring more problems.",
            )
        )
    if items is None and int(np.argmax(routes.accuracy[0])) == 0:
        found.append(
            Finding(
                "end-of-thresholds",
                "amber",
                f"The best accuracy is at the smallest threshold that was measured ({routes.tau[0]:g}): where the "
                "gain ends is not in the table.",
                "Measure smaller thresholds, and the slow way for everything.",
            )
        )
    beaten = [float(tau) for i, tau in enumerate(routes.tau) if i not in front]
    if items is None and beaten:
        found.append(
            Finding(
                "beaten-thresholds",
                "green",
                f"Beaten by cheaper ones: {', '.join(f'{tau:g}' for tau in beaten)}.",
            )
        )
    if items is not None:
        fast, slow = routes.accuracy[:, -1], routes.accuracy[:, 0]
        gain = interval(slow - fast, 0.9)
        if gain is not None and gain[0] <= 0:
            found.append(
                Finding(
                    "slow-not-better",
                    "amber",
                    f"{items.modes[1]!r} is not shown to be better than {items.modes[0]!r}: "
                    f"{100 * float(slow[0] - fast[0]):.2g} points ({100 * gain[0]:.2g} to {100 * gain[1]:.2g}).",
                    "Without a gain to route for, take the fast way.",
                )
            )
        if items.repeats < 4:
            found.append(
                Finding(
                    "perfect-is-optimistic",
                    "green",
                    f"Perfect routing is picked by {items.repeats:.0f} answers of each way: mostly luck.",
                )
            )
    return found


planner = Planner(
    id="difficulty-routing",
    question="Which problems should get the slow way, judged by how difficult they look?",
    query=DifficultyRoutingQuery,
    answer=answer,
    parts=(
        Part(
            "items",
            "problems solved in a fast and in a slow mode, with a difficulty score",
            columns=("problem", "difficulty", "mode", "correct", "decode_tokens"),
            optional=True,
        ),
        Part(
            "thresholds",
            "accuracy and mean tokens at measured thresholds",
            columns=("threshold", "score", "decode_tokens"),
            optional=True,
        ),
    ),
    papers=("xiao2025",),
    example=Frozen({"slack": 0.01}),
    topic="how to sample and to serve",
    shown=("problems.csv",),
)

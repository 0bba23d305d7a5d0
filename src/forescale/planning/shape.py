# SPDX-License-Identifier: Apache-2.0
"""How wide and how deep should a model be for a budget, and what does a wrong shape cost?

The law of McLeish et al. (2025, Gemstones) has a term each for width, depth, parameters and tokens. Width and depth
decide the parameters, and these with the budget the tokens, so two numbers are free: at each size the best width is
the zero of a slope (a closed form without a vocabulary), and the best size is searched along 6ND = C.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Compute, format_short
from forescale.costs.budget import to_flop
from forescale.fitting._fit import Finding
from forescale.numerics.optimum import Where
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, expected, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._quantities import BudgetText, ParamsText
from forescale.planning._shapes import RATIOS, Asked, Best, Shape, budgets_table, buildable, curves, mistakes
from forescale.planning._show import show

Array = NDArray[np.float64]

FEWEST = 5.0
"""Tokens per parameter of the largest released models where their training begins to count: 10B tokens."""

RANGE = (3.2, 320.0)
"""Width over depth of the released models."""

FEW = 0.01
"""Tokens per parameter below which a settled size is no question of training."""

WRONG = 4.0
"""Factor in width / depth whose price the plan gives."""


class ShapeQuery(BaseModel):
    """A budget, what is settled, and how blocks are built."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    budget: BudgetText = Field(description="training compute, e.g. 1e21 FLOP or '1k H100-hours @40% MFU'")
    params: ParamsText | None = Field(None, description="parameters, if they are settled, e.g. 1B")
    aspect: float | None = Field(None, gt=0, description="width / depth, if it is settled, e.g. 128")
    least_aspect: float = Field(RANGE[0], gt=0, description="least width / depth to be considered, e.g. 16")
    most_aspect: float = Field(RANGE[1], gt=0, description="largest width / depth to be considered, e.g. 200")
    block: float = Field(
        15.0, gt=0, description="weights of a block over width^2: 12 plain, 15 in the Gemstones suite"
    )
    vocab: int = Field(50_304, ge=0, description="entries of the vocabulary, e.g. 50304")
    tied: bool = Field(False, description="the head shares the token embedding")
    multiple: int = Field(128, ge=1, description="widths that can be built are multiples of this, e.g. 128")
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation, for a budget in device time")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: ShapeQuery) -> Plan:
    """The plan of a shape.

    Raises:
        QueryError: a window that is empty or does not hold the aspect, parameters that the budget does not train.
        RefusedError: constants without an answer.
    """
    spend = to_flop(query.budget, mfu=query.mfu)
    C = spend.flop
    asked = Asked(grounds, query)
    _check(asked, C)
    free = asked.best(C)
    plan = free if query.aspect is None else asked.best(C, query.aspect)
    N, shape = plan.N, plan.shape
    D = C / (6.0 * N)
    own = np.isfinite(plan.loss) & np.isfinite(N) & np.isfinite(shape.width)
    if not own[0]:
        raise _no_size(query, C, plan)
    level, loss = grounds.level, plan.loss
    wrong = np.fmax(*(asked.make_up(plan, C, shape.aspect * x, free.loss) for x in (WRONG, 1 / WRONG)))
    decision: dict[str, Decided] = {
        "width": decided(shape.width, "count", level, "width of the residual stream"),
        "depth": decided(shape.depth, "count", level, "blocks"),
        "aspect": decided(shape.aspect, "", level, "width / depth"),
        "N": decided(N, "parameters", level, "parameters N (total)"),
        "D": decided(D, "tokens", level, "tokens D"),
        "D/N": decided(D / N, "tokens/parameter", level, "tokens per parameter"),
        "growth": decided(asked.growth(), "", level, "a, where the best width grows as N^a without a vocabulary"),
        "C": Decided(C, None, None, "FLOP", "compute C (6ND)"),
    }
    if query.aspect is None:
        decision["wrong"] = decided(
            100.0 * wrong, "%", level, f"extra compute, width / depth {WRONG:g}x off, on the worse side"
        )
    else:
        held = asked.make_up(plan, C, shape.aspect, free.loss)
        decision["held"] = decided(100.0 * held, "%", level, f"extra compute for width / depth {query.aspect:g}")
        decision["best_aspect"] = decided(free.shape.aspect, "", level, "width / depth without that limit")
    alone = Asked(first(grounds), query)
    alone_free, alone_plan = free.first(), plan.first()
    at = {
        "width": of_estimate(shape.width), "depth": of_estimate(shape.depth), "N": of_estimate(N), "D": of_estimate(D)
    }  # fmt: skip
    cost = of_estimate(decision["wrong" if query.aspect is None else "held"].value)
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(query, at, of_estimate(loss), cost, free.shape.aspect[0]),
        decision=decision,
        binding=_binding(query, asked, N, shape),
        expected={"loss": expected(grounds.laws["loss"], "nats/token", "loss (nats/token)", **at)},
        tables=(
            mistakes(alone, alone_plan, C, alone_free.loss),
            buildable(alone, alone_plan, C),
            budgets_table(alone, C),
        ),
        curves=curves(asked, plan, C, level),
        warnings=_warnings(query, shape, D / N, plan),
        assumptions=[*_assumptions(grounds, query), *spend.assumptions, spend.how],
        answered=own,
        at={"loss": at},
        C=C,
    )


def _check(asked: Asked, C: float) -> None:
    query = asked.query
    if not query.least_aspect < query.most_aspect:
        raise QueryError(
            message(
                f"least_aspect = {query.least_aspect:g} and most_aspect = {query.most_aspect:g}",
                "an increasing window",
            )
        )
    if query.mfu is not None and isinstance(query.budget, Compute):
        raise QueryError(message(f"mfu = {query.mfu:g} with a budget in FLOP", "a budget in device time"))
    if query.params is None:
        return
    size = f"params = {format_short(query.params)}"
    least = query.block + asked.matrices
    if query.params < least:
        raise QueryError(
            message(
                f"{size} with vocab = {query.vocab:,}: one block of width 1 has {format_short(least)}",
                "a larger size, or a smaller vocabulary",
            )
        )
    if C / (6.0 * query.params) < FEW * query.params:
        raise QueryError(
            message(
                f"{size} with budget = {query.budget}: {C / (6.0 * query.params):.3g} tokens, less than {FEW:g} for "
                "each parameter",
                "a size that the budget trains",
                f"params={format_short(_usual(C))}",
            )
        )


def _usual(C: float) -> float:
    """Parameters with 20 tokens each."""
    return math.sqrt(C / 120.0)


def _no_size(query: ShapeQuery, C: float, plan: Best) -> Exception:
    where = None if plan.found is None else int(plan.found.where[0])
    towards = {int(Where.LOWER): "smaller models", int(Where.UPPER): "larger models"}.get(where or 0, "no size")
    return refused(
        f"At {format_short(C, 'flop')} the loss falls all the way towards {towards} "
        f"({RATIOS[0]:g} to {RATIOS[1]:,.0f} tokens per parameter)",
        "a best size in between",
        f"settle the size: params={format_short(_usual(C))}",
    )


# --------------------------------------------------------------------------------------------------- what to say


def _headline(query: ShapeQuery, at: dict[str, float], loss: float, cost: float, best: float) -> str:
    shape = f"Width {at['width']:,.0f} and {at['depth']:,.0f} blocks (width / depth {at['width'] / at['depth']:,.4g})"
    model = f"{format_short(at['N'], 'parameters')} parameters on {format_short(at['D'])} tokens"
    end = (
        f"width / depth {WRONG:g} times off asks for {_more(cost)} compute, on the worse side"
        if query.aspect is None
        else f"it asks for {_more(cost)} compute than the best width / depth, {best:,.4g}"
    )
    return f"{shape}, {model}: expected loss {loss:.4g}; {end}."


def _more(cost: float) -> str:
    return f"{show(cost, '%')} more" if math.isfinite(cost) else "endlessly more"


def _binding(query: ShapeQuery, asked: Asked, N: Array, shape: Shape) -> str:
    if query.aspect is not None:
        return f"aspect = {query.aspect:g}"
    for name, end in (("least_aspect", query.least_aspect), ("most_aspect", query.most_aspect)):
        if math.isclose(shape.aspect[0], end, rel_tol=1e-9):
            return f"{name} = {end:g}"
    return "the budget" if query.params is None else f"params = {format_short(query.params)}"


def _warnings(query: ShapeQuery, shape: Shape, ratio: Array, plan: Best) -> list[Finding]:
    found: list[Finding] = []
    aspect = of_estimate(shape.aspect)
    if not RANGE[0] <= aspect * (1 + 1e-9) or not aspect <= RANGE[1] * (1 + 1e-9):
        found.append(
            Finding(
                "aspect",
                "amber",
                f"Width / depth {aspect:.3g} lies outside the {RANGE[0]:g} to {RANGE[1]:g} of the released models.",
            )
        )
    if shape.depth[0] < 2.0:
        level = "red" if shape.depth[0] < 1.0 else "amber"
        found.append(Finding("shallow", level, f"A model of {shape.depth[0]:.2g} blocks is no model of this kind."))
    per = of_estimate(ratio)
    if not FEWEST <= per <= RATIOS[1]:
        found.append(
            Finding(
                "ratio",
                "amber",
                f"{per:.3g} tokens per parameter: no model so far from balance was trained.",
                "With growing budgets this law asks for ever fewer tokens: settle the size (params) by another law.",
            )
        )
    return found


def _assumptions(grounds: Grounds, query: ShapeQuery) -> list[str]:
    said = [
        f"N = {query.block:g} width^2 depth + {1 if query.tied else 2} x {query.vocab:,} width, and C = 6ND.",
        "Width and depth are real numbers in the decision; see the shapes that can be built.",
        "The loss alone is weighed: at equal compute wide models take less time than deep ones.",
    ]
    if grounds.defaulted:
        said.append(
            "Constants: our optimum of the authors' objective; 22 models carry its 770 rows, and the best width / "
            "depth of 1B parameters moves from 27 to 38 between fits to their five tables (study gemstones)."
        )
    return said


planner = Planner(
    id="shape",
    question="How wide and how deep should a model be for this budget?",
    query=ShapeQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "loss from width, depth, parameters and tokens",
            laws=("gemstones",),
            default="gemstones:mcleish2025-optimum",
        ),
    ),
    papers=("mcleish2025",),
    example=Frozen({"budget": "1e21 FLOP"}),
)

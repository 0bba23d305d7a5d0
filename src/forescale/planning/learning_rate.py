# SPDX-License-Identifier: Apache-2.0
"""Which peak learning rate and which batch for a model of N parameters on D tokens?

From sweeps of one's own the answer is the bottom of a valley (the law tuning-surface) fitted to the runs near the
best of each cell of N and D; without sweeps it is a published rule, Step Law unless another is given (Li et al. 2025,
eq. 1). The other published rules stand beside it, each with whose constants and units it has and how far outside its
range it is asked. What a wrong choice costs is read from the shape of the valley.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.laws.step_law import beside, cost
from forescale.planning import _rules
from forescale.planning._compose import composed, refused
from forescale.planning._curves import banded
from forescale.planning._intervals import decided, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._published_rules import Asked, table
from forescale.planning._quantities import LossText, ParamsText, TokensText
from forescale.planning._rules import SWEEP, Tuning
from forescale.runs.derive import require_positive
from forescale.runs.table import Runs

Array = NDArray[np.float64]

_WIDE = np.geomspace(0.125, 8.0, 49)
"""Factors along the curves: three octaves to each side."""


class LearningRateQuery(BaseModel):
    """A model and its tokens, and what is held."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    params: ParamsText = Field(description="parameters of the model, counted as the rule counts them, e.g. 7B")
    tokens: TokensText = Field(description="tokens it is trained on, e.g. 1.4T")
    batch: TokensText | None = Field(None, description="hold the batch, in tokens, e.g. 4M")
    context: int = Field(2048, ge=1, description="tokens of one sequence, e.g. 2048")
    final_loss: LossText | None = Field(
        None, description="loss expected at the end, for rules that go by the loss, e.g. 2.1"
    )
    within: float = Field(
        0.01,
        gt=0,
        le=0.1,
        description="runs of a sweep up to this share above the best of their cell count, e.g. 0.01",
    )


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: LearningRateQuery) -> Plan:
    """Peak learning rate and batch.

    Raises:
        QueryError: a batch of more than the tokens, or of less than one sequence.
        ConventionError: a final loss in another unit than that of the rule.
        DataError: sweeps that do not vary N and D apart.
        RefusedError: the rule has no positive rate there, or no batch within the tokens.
    """
    _check(query)
    if grounds.has("sweep"):
        _in_tokens(grounds.tables["sweep"], query.context)
    asked = Asked(query.params, query.tokens, query.final_loss)
    chosen = _rules.tuning(grounds, asked, query.within)
    best, own = chosen.rate, chosen.batch
    batch, binding = _held(query, own)
    rate, given_up = beside(chosen.shape, best, own, batch)
    good = np.isfinite(rate) & np.isfinite(batch) & (rate > 0) & (batch > 0) & (batch <= query.tokens)
    if not good[0]:
        raise refused(
            f"{chosen.name} gives a rate of {of_estimate(rate):.3g} and a batch of {of_estimate(batch):.3g} tokens "
            f"at {format_short(query.params, 'parameters')} parameters on {format_short(query.tokens)} tokens",
            "a positive rate and a batch of at most the tokens",
            "another rule (lr-power, batch-power), or sweeps of your own",
        )
    rate, batch = np.where(good, rate, np.nan), np.where(good, batch, np.nan)
    steps = query.tokens / batch
    level = grounds.level
    decision: dict[str, Decided] = {
        "lr_peak": decided(rate, "", level, "peak learning rate"),
        "batch_tokens": decided(batch, "tokens", level, "batch (tokens)"),
        "batch_sequences": decided(batch / query.context, "count", level, f"batch (sequences of {query.context:,})"),
        "steps": decided(steps, "count", level, "optimiser steps"),
    }
    for name, text, wrong in (("rate", "learning rate", (2.0, 1.0)), ("batch", "batch", (1.0, 2.0))):
        decision[f"cost_{name}_2x"] = _given_up(
            chosen, cost(chosen.shape, *wrong), level, f"loss given away by a {text} wrong by 2x"
        )
    if binding:
        decision["cost_batch_held"] = _given_up(chosen, given_up, level, "loss given away by the batch that is held")
    sequences = of_estimate(batch) / query.context
    return composed(
        chosen.grounds,
        planner,
        query,
        headline=(
            f"Peak learning rate {of_estimate(rate):.3g} with a batch of {format_short(of_estimate(batch))} tokens "
            f"({sequences:,.0f} sequence{'' if round(sequences) == 1 else 's'} of {query.context:,}) for "
            f"{format_short(query.params, 'parameters')} parameters on {format_short(query.tokens)} tokens: "
            f"{of_estimate(steps):,.0f} steps. By {chosen.name}."
        ),
        decision=decision,
        binding=binding or "the bottom of the valley: nothing else binds",
        tables=(
            _mistakes(chosen),
            _usual(chosen, query),
            table(of_estimate(best), of_estimate(own), _shape(chosen), asked),
            _sweep(rate, batch),
        ),
        curves=_curves(chosen, rate, batch, level),
        warnings=[*chosen.warnings, *_few_steps(of_estimate(steps))],
        assumptions=chosen.assumptions,
        answered=good,
        at={name: asked.place(basis.surface.law) for name, basis in chosen.grounds.laws.items()},
    )


def _check(query: LearningRateQuery) -> None:
    batch = query.context if query.batch is None else query.batch
    if batch > query.tokens:
        name = "context" if query.batch is None else "batch"
        raise QueryError(
            message(
                f"{name} = {format_short(batch)} tokens and a run of {format_short(query.tokens)} tokens",
                f"a {name} of at most the tokens",
                f"lower {name} or raise tokens",
            )
        )
    if batch < query.context:
        raise QueryError(
            message(
                f"batch = {format_short(batch)} tokens and context = {query.context:,}: less than one sequence",
                "a batch of one sequence or more, in tokens",
                f"batch={format_short(batch * query.context)} if {batch:,.0f} are sequences, or a lower context",
            )
        )


def _in_tokens(sweep: Runs, context: int) -> None:
    least = float(np.min(require_positive(sweep, "batch_tokens")["batch_tokens"]))
    if least < context:
        raise QueryError(
            message(
                f"context = {context:,} and batch_tokens of {least:,.6g} in the sweep: less than one sequence",
                "batches in tokens, of one sequence or more",
                "multiply batches that are counted in sequences by the context, or lower context",
            )
        )


def _held(query: LearningRateQuery, own: Array) -> tuple[Array, str]:
    """(B,) batch and what holds it: the query, or one sequence, where the rule would split it."""
    if query.batch is not None:
        return np.full_like(own, query.batch), "the batch that is held"
    if of_estimate(own) < query.context:
        return np.full_like(own, query.context), "one sequence: the rule would take less"
    return own, ""


def _given_up(chosen: Tuning, share: Array, level: float, meaning: str) -> Decided:
    """A share of the loss in per cent; with an interval where the shape of the valley has draws."""
    return decided(100.0 * (share if chosen.shape_is_fitted else share[:1]), "%", level, meaning)


# ------------------------------------------------------------------------------------------------------- the tables


def _shape(chosen: Tuning) -> dict[str, float]:
    """The shape of the valley by the estimate."""
    return {name: of_estimate(values) for name, values in chosen.shape.items()}


def _percent(chosen: Tuning, rate: float, batch: float) -> float:
    """Loss given away, in per cent, where rate and batch are these multiples of the best, by the estimate."""
    return 100.0 * of_estimate(cost(chosen.shape, rate, batch))


def _mistakes(chosen: Tuning) -> Table:
    """What wrong settings cost, the other kept or moved along."""
    s = of_estimate(chosen.shape["s"])
    lines: list[tuple[float | str | None, ...]] = []
    for factor in (0.25, 0.5, 0.7, 1.5, 2.0, 4.0):
        lines.append(
            (
                factor,
                _percent(chosen, factor, 1.0),
                _percent(chosen, 1.0, factor),
                _percent(chosen, factor**s, factor),
            )
        )
    return Table(
        "sensitivity",
        "Loss given away by settings that are wrong by a factor",
        (("factor", "x"), ("rate wrong", "%"), ("batch wrong, same rate", "%"), ("batch wrong, rate moved", "%")),
        tuple(lines),
        f"{chosen.shape_source} A parabola: beyond a factor of about 2, high rates cost more than it says.",
    )


def _usual(chosen: Tuning, query: LearningRateQuery) -> Table:
    """Batches of powers of two sequences, each with the rate that belongs to it, in two digits."""
    best, own = of_estimate(chosen.rate), of_estimate(chosen.batch)
    middle = round(np.log2(max(own / query.context, 1.0)))
    shape = _shape(chosen)
    lines: list[tuple[float | str | None, ...]] = []
    for power in range(max(middle - 2, 0), middle + 3):
        batch = float(2**power * query.context)
        if batch > query.tokens:
            continue
        rate = float(f"{of_estimate(beside(shape, best, own, batch)[0]):.2g}")
        lines.append((float(2**power), batch, rate, query.tokens / batch, _percent(chosen, rate / best, batch / own)))
    return Table(
        "alternatives",
        "Usual values: powers of two, the rate moved along and rounded",
        (("sequences", "count"), ("batch", "tokens"), ("rate", ""), ("steps", "count"), ("loss given away", "%")),
        tuple(lines),
        "Differences below about a tenth of a per cent are seed noise: take what fits the hardware.",
    )


def _sweep(rate: Array, batch: Array) -> Table:
    """The grid that would check the prediction: two octaves to each side."""
    lines = tuple(
        (factor, of_estimate(rate) * factor, of_estimate(batch) * factor) for factor in (0.25, 0.5, 1.0, 2.0, 4.0)
    )
    return Table(
        "sweep",
        "A sweep around the prediction",
        (("factor", "x"), ("rate", ""), ("batch", "tokens")),
        lines,
        "Every rate with every batch, on a model and a horizon that are cheap; the best must not lie at the edge.",
    )


def _curves(chosen: Tuning, rate: Array, batch: Array, level: float) -> dict[str, Frozen[str, Array]]:
    """The best rate at each batch, and the loss given away by a wrong rate."""
    sizes = of_estimate(batch) * _WIDE
    ridge, _ = beside(
        {k: v[:, None] for k, v in chosen.shape.items()}, chosen.rate[:, None], chosen.batch[:, None], sizes
    )
    narrow = np.geomspace(0.25, 4.0, 41)
    lost = np.array([_percent(chosen, factor, 1.0) for factor in narrow])
    return {
        "best rate at a batch": banded({"batch_tokens": sizes}, "lr_peak", ridge, level),
        "cost of a wrong rate": Frozen({"lr_peak": of_estimate(rate) * narrow, "loss given away (%)": lost}),
    }


def _few_steps(steps: float) -> list[Finding]:
    if steps >= 1000:
        return []
    return [
        Finding(
            "few-steps",
            "amber",
            f"{steps:,.0f} steps are fewer than any run behind these rules took.",
            "Warm-up alone takes hundreds of steps: a smaller batch, or more tokens.",
        )
    ]


planner = Planner(
    id="learning-rate",
    question="Which peak learning rate and batch for this model and these tokens?",
    query=LearningRateQuery,
    answer=answer,
    parts=(
        Part("sweep", "runs at several learning rates and batches, at several N and D", columns=SWEEP, optional=True),
        Part(
            "surface",
            "the valley of loss around the best learning rate and batch",
            laws=("tuning-surface",),
            default="tuning-surface:li2025steplaw-cells",
        ),
        Part("rate", "the best peak learning rate", laws=_rules.RATES, default="lr-power:li2025steplaw"),
        Part("batch", "the best batch", laws=_rules.BATCHES, default="batch-power:li2025steplaw"),
    ),
    papers=("li2025steplaw",),
    example=Frozen({"params": "7B", "tokens": "1.4T"}),
)

# SPDX-License-Identifier: Apache-2.0
"""Which batch: how much time does a larger one save, and how much data and compute does it cost?

Steps S and tokens E that reach one loss trade off as (S / S_min - 1) (E / E_min - 1) = 1, with the critical batch
E_min / S_min in the middle (McCandlish et al. 2018). Both ends come from runs at several batches (the law
batch-steps), or the critical batch from gradient norms (estimator gradient-noise) or from the loss (Kaplan et al.
2020, eq. 1.4), and S_min from the law of loss along training (eq. 1.6). A deadline, a price of time or a batch in
mind picks the point on the curve; without any it is the critical batch, which takes twice of each.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QuantityError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Compute, format_short, parse_loss
from forescale.costs.budget import price
from forescale.fitting._fit import Finding
from forescale.laws.critical_batch import batch_for_price, batch_for_steps, rate_of_batch, steps_to_level
from forescale.laws.kaplan_steps import cheapest_loss, cheapest_size, least_steps
from forescale.planning import _money
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._quantities import BudgetText, LossText, ParamsText, RateText, TokensText
from forescale.planning._show import show
from forescale.planning._trade import (
    TRAJECTORY,
    Ends,
    along,
    critical_at,
    critical_part,
    curve,
    mistakes,
    sizes,
    trade,
)

Array = NDArray[np.float64]


class BatchQuery(BaseModel):
    """A loss to reach, and what time and compute are worth."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    target: LossText | None = Field(None, description="loss to reach, in the unit of the laws, e.g. 2.6")
    budget: BudgetText | None = Field(
        None,
        description="or what there is to spend, at the critical batch on the size of least loss, e.g. 1e21 FLOP",
    )
    params: ParamsText | None = Field(
        None, description="parameters without embeddings (default: those of least compute for the target), e.g. 1B"
    )
    batch: TokensText | None = Field(None, description="a batch in mind, in tokens, e.g. 2M")
    context: int | None = Field(None, ge=1, description="tokens of one sequence, to count sequences, e.g. 2048")
    deadline_hours: float | None = Field(None, gt=0, description="hours in which the run must end, e.g. 72")
    hour_price: float | None = Field(None, gt=0, description="dollars that an hour of waiting is worth, e.g. 500")
    step_seconds: float | None = Field(
        None, gt=0, description="seconds of one step, the same at every batch (more devices), e.g. 2"
    )
    rate: RateText | None = Field(None, description="price of device time, e.g. $2.10/H100-hour")
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of the devices, e.g. 0.4")
    lr: float | None = Field(
        None, gt=0, description="a learning rate that was tuned, to carry to the batch, e.g. 6e-4"
    )
    lr_batch: TokensText | None = Field(None, description="batch at which lr was tuned, in tokens, e.g. 500K")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: BatchQuery) -> Plan:
    """A batch, and the time and data that it takes.

    Raises:
        QueryError: more than one of batch, deadline_hours and hour_price; a field whose partner is missing.
        RefusedError: the loss is never reached by this model, no batch meets the deadline, or one below a token.
    """
    _check(query)
    ends = _ends(grounds, query)
    if not (of_estimate(ends.critical) > 0 and (ends.steps is None or of_estimate(ends.steps) > 0)):
        raise _never(ends)
    batch, binding = _chosen(ends, query)
    if of_estimate(batch) < 1.0:
        raise refused(
            f"a batch of {of_estimate(batch):.3g} tokens ({binding})",
            "a batch of at least one token",
            "a lower target, an earlier deadline or a dearer hour",
        )
    over = steps_to_level(batch, 1.0, ends.critical)
    more = 1.0 + batch / ends.critical
    level = grounds.level
    decision: dict[str, Decided] = {
        "batch_tokens": decided(batch, "tokens", level, "batch (tokens)"),
        "critical_batch": decided(ends.critical, "tokens", level, "critical batch (tokens)"),
        "steps_over_least": decided(over, "x", level, "steps over the fewest that any batch takes"),
        "tokens_over_least": decided(more, "x", level, "tokens over the fewest that any batch takes"),
    }
    if query.context is not None:
        name = f"batch (sequences of {query.context:,})"
        decision["batch_sequences"] = decided(batch / query.context, "count", level, name)
    if ends.steps is not None:
        steps = ends.steps * over
        decision["steps"] = decided(steps, "count", level, "optimiser steps")
        decision["tokens"] = decided(steps * batch, "tokens", level, "tokens")
        decision["least_steps"] = decided(ends.steps, "count", level, "fewest steps, with an endless batch")
        decision["least_tokens"] = decided(ends.steps * ends.critical, "tokens", level, "fewest tokens, a tiny batch")
        if ends.params is not None:
            decision["params"] = decided(ends.params, "parameters", level, "parameters without embeddings")
            decision["C"] = decided(6.0 * ends.params * steps * batch, "FLOP", level, "compute C (6ND)")
        if query.step_seconds is not None:
            decision["hours"] = decided(steps * query.step_seconds / 3600.0, "", level, "hours of training")
    if query.budget is not None and ends.target is not None:
        decision["loss"] = decided(np.asarray(ends.target), "loss", level, "loss at the end")
    decision.update(_dollars(ends, query, batch))
    decision.update(_rates(grounds, ends, query, batch))
    ratios = f"{show(of_estimate(over), 'x')} the fewest steps and {show(of_estimate(more), 'x')} the fewest tokens"
    takes = ratios
    if ends.steps is not None:
        steps_, tokens_ = decision["steps"].value, decision["tokens"].value
        takes = f"{steps_:,.0f} steps and {format_short(tokens_)} tokens, {ratios}"
    good = np.isfinite(batch) & (batch > 0) & (ends.critical > 0)
    return composed(
        ends.grounds,
        planner,
        query,
        headline=(
            f"A batch of {format_short(of_estimate(batch))} tokens takes {takes} (critical batch "
            f"{format_short(of_estimate(ends.critical))} tokens, {ends.how})."
        ),
        decision=decision,
        binding=binding,
        tables=[
            trade(ends, of_estimate(_token_dollars(ends, query)), query.step_seconds),
            mistakes(ends, of_estimate(batch)),
            *along(grounds, ends),
            *sizes(grounds, ends, query.params),
        ],
        curves=curve(ends),
        warnings=_warnings(ends, of_estimate(batch)),
        assumptions=[
            "The learning rate is tuned, or scaled, for every batch; steps take the same time at every batch.",
            *ends.assumptions,
        ],
        answered=good if good.size == ends.grounds.rows else None,
        at=_asked_at(ends),
    )


# ------------------------------------------------------------------------------------------------- what is known


def _check(query: BatchQuery) -> None:
    picks = [name for name in ("batch", "deadline_hours", "hour_price") if getattr(query, name) is not None]
    if len(picks) > 1:
        raise QueryError(
            message(
                f"{' and '.join(picks)} each pick a point on the curve of time and data",
                "at most one of them",
                f"leave out {picks[-1]}",
            )
        )
    if query.budget is not None:
        fixed = [n for n in ("target", "params", *picks) if getattr(query, n) is not None]
        if fixed:
            raise QueryError(
                message(
                    f"budget and {' and '.join(fixed)}",
                    "budget alone: it fixes the loss, the size and the batch",
                    f"leave out budget, or {' and '.join(fixed)}",
                )
            )
    if query.mfu is not None and query.rate is None and isinstance(query.budget, Compute | None):
        raise QueryError(
            message("mfu without a rate", "rate, or a budget in device-hours or dollars", "rate='$2.10/H100-hour'")
        )
    for name, needed in (
        ("deadline_hours", ("step_seconds",)),
        ("hour_price", ("step_seconds", "rate")),
        ("lr", ("lr_batch",)),
        ("lr_batch", ("lr",)),
    ):
        lacking = [other for other in needed if getattr(query, other) is None]
        if getattr(query, name) is not None and lacking:
            raise QueryError(message(f"{name} without {' and '.join(lacking)}", f"{name} and {' and '.join(needed)}"))


def _ends(grounds: Grounds, query: BatchQuery) -> Ends:
    """The ends of the trade: from runs at several batches, else from gradient norms, else from the loss."""
    if grounds.has("steps"):
        for name in ("target", "budget"):
            if getattr(query, name) is not None:
                raise QueryError(
                    message(
                        f"{name} was given with a fit of batch-steps, which is about one level of the loss",
                        "the level that its runs were read off at",
                        f"leave out {name}",
                    )
                )
        params = None if query.params is None else np.full(grounds.rows, query.params)
        unused = ["The gradient norms are not used: the runs measure the critical batch itself."]
        return Ends(
            grounds.param("steps", "B_crit"),
            grounds.param("steps", "S_min"),
            _only(grounds, "steps"),
            "from runs at several batches",
            params,
            assumptions=unused if grounds.has("noise") else [],
        )
    if query.target is None and query.budget is None and not grounds.has("noise"):
        raise QueryError(
            message(
                "batch needs target, the loss to reach",
                "target, a budget, runs at several batches (batch_tokens, steps), or gradient norms (batch_tokens, "
                "grad_norm_sq)",
                "target=2.6",
            )
        )
    target: float | Array | None = None
    params, steps = None, None
    used: list[str] = []
    said: list[str] = []
    if query.budget is not None and grounds.has("noise"):
        raise QueryError(
            message("budget with gradient norms", "a critical batch by its law of the loss", "target=2.6")
        )
    if query.target is not None:
        target = parse_loss(query.target, grounds.laws["trajectory"].surface.conventions.get("loss"))
    elif query.budget is not None:
        spend = _money.budget(grounds.laws["trajectory"], query.budget, query.mfu)
        target = _loss_of(grounds, spend.flop)
        said += [*([] if isinstance(query.budget, Compute) else [spend.how]), *spend.assumptions]
    if target is not None:
        p = {name: grounds.param("trajectory", name) for name in TRAJECTORY}
        least = cheapest_size(target, p["N_c"], p["alpha_N"], p["alpha_S"])
        params = least if query.params is None else np.full(grounds.rows, query.params)
        steps = least_steps(target, params, **p)
        used.append("trajectory")
    if grounds.has("noise"):
        # Imported here: the estimators are needed for gradient norms only.
        from forescale.fitting.estimators.gradient_noise import resampled

        noise = resampled(grounds.tables["noise"], max(grounds.rows - 1, 0) or 1000)
        said += ["B_simple of the gradient norms stands for the critical batch: it gives the order of it."]
        if not np.isfinite(noise[1:]).any():
            said.append("Each batch has one norm: nothing shows their scatter, so there are no intervals.")
        else:
            said.append("Intervals of the critical batch: norms resampled within each batch, seed 0.")
        kept = _only(grounds, *used, tables=("noise",))
        return Ends(noise, steps, kept, "from gradient norms", params, target, said)
    assert target is not None  # noqa: S101 - checked above
    part = critical_part(grounds)
    kept = _only(grounds, *dict.fromkeys((part, *used)))
    return Ends(critical_at(grounds, target), steps, kept, "by its law of the loss", params, target, said)


def _loss_of(grounds: Grounds, flop: float) -> Array:
    """(B,) the least loss of a budget at the critical batch."""
    part = critical_part(grounds)
    p = {name: grounds.param("trajectory", name) for name in TRAJECTORY}
    return np.asarray(cheapest_loss(flop, **p, **{name: grounds.param(part, name) for name in ("B_star", "alpha_B")}))


def _only(grounds: Grounds, *names: str, tables: tuple[str, ...] = ()) -> Grounds:
    """The grounds without what was not used."""
    return Grounds(
        Frozen({name: grounds.laws[name] for name in names}),
        Frozen({name: grounds.tables[name] for name in tables}),
        Frozen({k: v for k, v in grounds.defaulted.items() if k in names}),
        grounds.level,
    )


def _never(ends: Ends) -> Exception:
    if ends.target is not None and ends.params is not None and ends.steps is not None:
        return refused(
            f"{format_short(of_estimate(ends.params), 'parameters')} parameters never reach a loss of "
            f"{show(of_estimate(ends.target), 'loss')}: what their size leaves lies above it",
            "a target that the model can reach",
            "a higher target, or more params",
        )
    return refused(
        "least steps or a critical batch that are not positive numbers",
        "finite constants",
        "look at the fit's verdict",
    )


# ------------------------------------------------------------------------------------------------ which batch


def _chosen(ends: Ends, query: BatchQuery) -> tuple[Array, str]:
    """(B,) batch, and what binds."""
    timed = [name for name in ("deadline_hours", "hour_price", "step_seconds", "rate") if getattr(query, name)]
    if timed and ends.steps is None:
        raise QueryError(
            message(f"{timed[0]} with gradient norms alone", "the steps that the run takes", "target=2.6")
        )
    if query.batch is not None:
        return np.full_like(ends.critical, query.batch), "the batch in mind"
    seconds = query.step_seconds or math.nan
    if query.deadline_hours is not None and ends.steps is not None:
        allowed = 3600.0 * query.deadline_hours / seconds
        batch = batch_for_steps(allowed, ends.steps, ends.critical)
        if not math.isfinite(of_estimate(batch)):
            least = of_estimate(ends.steps)
            raise refused(
                f"{query.deadline_hours:g} hours are {allowed:,.0f} steps of {seconds:g} s, and no batch reaches the "
                f"loss in fewer than {least:,.0f}",
                f"more than {least * seconds / 3600.0:.3g} hours",
                "a later deadline, a faster step, a larger model or a higher target",
            )
        return batch, f"deadline_hours = {query.deadline_hours:g}"
    if query.hour_price is not None:
        batch = batch_for_price(ends.critical, query.hour_price * seconds / 3600.0, _token_dollars(ends, query))
        return batch, f"hour_price = ${query.hour_price:g} against the price of compute"
    return ends.critical, "nothing: the critical batch, twice the least of steps and of tokens"


def _token_dollars(ends: Ends, query: BatchQuery) -> Array:
    """(B,) dollars of compute for one token; NaN without a rate."""
    if query.rate is None:
        return np.full_like(ends.critical, np.nan)
    if ends.params is None:
        raise QueryError(message("rate without params", "params, to know what a token costs", "params=1B"))
    try:
        paid = price(Compute(1e21), query.rate.device, query.rate, query.mfu)
    except QuantityError as error:
        raise QueryError(message(f"rate = {query.rate}: {error}")) from error
    return 6.0 * ends.params * (paid.dollars or math.nan) / 1e21


def _dollars(ends: Ends, query: BatchQuery, batch: Array) -> dict[str, Decided]:
    """What the compute costs, and the waiting where an hour of it has a price."""
    if query.rate is None or ends.steps is None:
        return {}
    steps = ends.steps * steps_to_level(batch, 1.0, ends.critical)
    compute = steps * batch * _token_dollars(ends, query)
    found = {"compute_dollars": decided(compute, "dollars", ends.grounds.level, "compute")}
    if query.hour_price is not None and query.step_seconds is not None:
        waiting = steps * query.step_seconds / 3600.0 * query.hour_price
        found["dollars"] = decided(waiting + compute, "dollars", ends.grounds.level, "waiting and compute together")
    return found


def _rates(grounds: Grounds, ends: Ends, query: BatchQuery, batch: Array) -> dict[str, Decided]:
    """The learning rate at the chosen batch: by a fit of lr-batch, or carried over from a tuned one."""
    if grounds.has("rate"):
        if query.lr is not None:
            raise QueryError(message("lr and a fit of lr-batch", "one of them to carry the rate by", "leave out lr"))
        values = rate_of_batch(batch, grounds.param("rate", "lr_max"), grounds.param("rate", "B_noise"))
        return {"lr": decided(values, "", grounds.level, "learning rate at that batch, by its fit")}
    if query.lr is None or query.lr_batch is None:
        return {}
    unit = rate_of_batch(batch, 1.0, ends.critical) / rate_of_batch(query.lr_batch, 1.0, ends.critical)
    root = query.lr * np.sqrt(batch / query.lr_batch)
    return {
        "lr": decided(query.lr * unit, "", grounds.level, "learning rate at that batch (SGD: noise scale)"),
        "lr_root": decided(root, "", grounds.level, "learning rate at that batch (root of the batch)"),
    }


# ------------------------------------------------------------------------------------------------ what must be said


def _asked_at(ends: Ends) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    if "trajectory" in ends.grounds.laws and ends.params is not None:
        found["trajectory"] = {"N": of_estimate(ends.params)}
    return found


def _warnings(ends: Ends, batch: float) -> list[Finding]:
    found = []
    critical = of_estimate(ends.critical)
    if batch > 4.0 * critical:
        found.append(
            Finding(
                "beyond-critical",
                "amber",
                f"The batch is {show(batch / critical, 'x')} the critical one: a doubling saves "
                f"{100 * (1 - (1 + critical / (2 * batch)) / (1 + critical / batch)):.2g} % of the steps.",
                "Spend the devices on a larger model instead.",
            )
        )
    if ends.target is not None and ends.grounds.defaulted:
        found.append(
            Finding(
                "other-tokens",
                "amber",
                "Kaplan's constants belong to the losses of one tokenizer and corpus (WebText2, nats per token): a "
                "loss of other data is another loss. They have no floor.",
                "Fit kaplan-steps and critical-batch to runs of your own, or give gradient norms.",
            )
        )
    return found


planner = Planner(
    id="batch",
    question="Which batch: how much time does it save, and what does it cost?",
    query=BatchQuery,
    answer=answer,
    parts=(
        Part("steps", "steps to one level of the loss at several batches", laws=("batch-steps",), optional=True),
        Part(
            "noise",
            "squared gradient norms at two batches or more",
            columns=("batch_tokens", "grad_norm_sq"),
            optional=True,
        ),
        Part("rate", "the best learning rate at several batches", laws=("lr-batch",), optional=True),
        Part(
            "critical",
            "the critical batch by the loss",
            laws=("critical-batch",),
            default="critical-batch:kaplan2020",
        ),
        Part(
            "trajectory",
            "the loss along training",
            laws=("kaplan-smin", "kaplan-steps"),
            default="kaplan-smin:kaplan2020",
        ),
    ),
    papers=("mccandlish2018", "kaplan2020"),
    example=Frozen({"target": 2.6, "params": "1B"}),
)

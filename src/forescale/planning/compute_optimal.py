# SPDX-License-Identifier: Apache-2.0
"""How large a model, on how many tokens, for a given budget?

Loss is minimised along 6ND = C (Hoffmann et al. 2022, section 3.3), in closed form where the law has one. The other
conventions for N and C, the cost of a wrong size and the shapes that could be built stand beside the answer.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.planning import _conventions, _curves, _evidence, _money, _scatter, _sizes
from forescale.planning._family import family
from forescale.planning._frontier import WINDOW, Frontier, at, frontier, of_law, rows, searched, thinned
from forescale.planning._intervals import decided, expected, interval, of_estimate
from forescale.planning._plan import Basis, Decided, Plan, Planner
from forescale.planning._quantities import BudgetText, ParamsText, RateText, TokensText
from forescale.planning._show import show

Array = NDArray[np.float64]


class ComputeOptimalQuery(BaseModel):
    """A budget, and what is known about the models that it may be spent on."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    budget: BudgetText = Field(
        description="what there is to spend: '6e21 FLOP', '10k H100-hours @40% MFU', '$2M @ $2.10/H100-hour'"
    )
    max_params: ParamsText | None = Field(None, description="largest model that can be used, e.g. 8B")
    max_tokens: TokensText | None = Field(None, description="most tokens that can be used, e.g. 1.4T")
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of the devices, e.g. 0.4")
    device: str | None = Field(None, description="device to give hours for, e.g. H100")
    rate: RateText | None = Field(None, description="price of device time, e.g. $2.10/H100-hour")
    vocab: int | None = Field(None, ge=1, description="vocabulary of the models (default: of the runs, or 50,304)")
    context: int | None = Field(None, ge=1, description="context length (default: of the runs, or 2,048)")
    aspect: float | None = Field(None, gt=0, description="width / depth (default: of the largest runs, or 100)")
    tied: bool | None = Field(
        None, description="the head shares the token embedding (default: as in the runs, or no)"
    )
    least_ratio: float = Field(WINDOW[0], gt=0, description="fewest tokens per parameter that a search looks at")
    most_ratio: float = Field(WINDOW[1], gt=0, description="most tokens per parameter that a search looks at")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(basis: Basis, query: ComputeOptimalQuery) -> Plan:
    """The compute-optimal plan.

    Raises:
        QueryError: limits that contradict each other or the budget.
        RefusedError: the law has no interior optimum at this budget and no limit binds instead.
    """
    surface, level = basis.surface, basis.level
    window = searched(query.least_ratio, query.most_ratio)
    spend = _money.budget(basis, query.budget, query.mfu)
    C = spend.flop
    free = frontier(surface, [C], window=window)
    N, binding = _limited(free, C, query)
    if not 0.0 < N[0] < math.inf:
        raise _no_optimum(basis, C, free, window)
    interior = np.isfinite(N) & (N > 0)
    D = C / (6.0 * N)
    ratio = D / N
    own = np.where(interior, N, np.nan)
    loss = at(surface, own[:, None], C / (6.0 * own[:, None]))[:, 0]
    share = float(np.mean(interior[1:])) if len(N) > 1 else 1.0

    counted, owed_n = _evidence.stated(surface.conventions, "N", "total")
    data_unit, _ = _evidence.stated(surface.conventions, "D", "tokens")
    unit, _ = _evidence.stated(surface.conventions, "loss", "loss")
    per = f"{data_unit}/parameter"
    n, d, best = of_estimate(N), of_estimate(D), of_estimate(loss)
    bound = binding != "the budget"
    # Each inverse of a searched frontier is a search of searches: side tables then make do with fewer draws.
    few = basis if surface.law.optimum is not None else replace(basis, surface=thinned(surface))
    some = slice(rows(few.surface))

    decision: dict[str, Decided] = {
        "N": decided(N, "parameters", level, f"parameters N ({counted})"),
        "D": decided(D, data_unit, level, f"{data_unit} D"),
        "D/N": decided(ratio, per, level, f"{data_unit} per parameter"),
    }
    if not bound:
        decision["growth"] = decided(_growth(basis, C, window), "", level, "a, where N* grows as C^a")
        waste = _regret(few, C, n, d, window)
        if waste is not None:
            decision["regret"] = Decided(*waste, "%", "compute wasted if a draw is true")
    decision["C"] = Decided(C, None, None, "FLOP", "compute C (6ND)")
    decision.update(_money.decisions(basis, spend, query.device, query.rate, query.mfu))

    sigma, owed_noise = _scatter.known(basis, best)
    evidence = _evidence.evidence(basis, C, share)
    kin = family(basis, counted, data_unit, query.vocab, query.context, query.aspect, query.tied)
    others, remarks = _conventions.table(basis, C, counted, kin, window, data_unit)
    tables = [
        _sizes.mistakes(few, C, own[some], loss[some], window, data_unit),
        _sizes.within_noise(basis, C, n, best, sigma, data_unit),
        *([others] if others is not None else []),
        *_sizes.shapes(basis, C, n, counted, kin, data_unit),
    ]
    ratio_text = f"{show(d / n, per)} {data_unit} per parameter"
    headline = (
        f"Train {format_short(n, 'parameters')} parameters on {format_short(d)} {data_unit} ({ratio_text}) "
        f"for {format_short(C, 'flop')}: expected loss {show(best, 'loss')}{_evidence.named(unit)}."
    )
    warnings = [
        *_evidence.fit_findings(basis),
        *_evidence.distance_findings(basis, C, N=n, D=d),
        *_evidence.answered_finding(share, "have no interior optimum at this budget"),
        *_evidence.repetition_findings(basis, d, data_unit),
        *_outside(d / n, window, bound),
    ]
    assumed = [owed_n, _evidence.other_compute(basis), owed_noise, *spend.assumptions, *remarks]
    return Plan(
        question="compute-optimal",
        headline=headline + (f" Held back by {binding}." if bound else "") + _evidence.caution(warnings),
        decision=decision,
        expected={"loss": expected(basis, unit, _evidence.labelled("loss", unit), **of_law(surface, n, d))},
        tables=tuple(tables),
        binding=binding,
        evidence=evidence,
        warnings=tuple(warnings),
        assumptions=(
            "The budget is spent as C = 6ND with the N of the fit; schedules end at the horizon of the run.",
            *(text for text in assumed if text),
            *spend.notes,
        ),
        citations=_evidence.citations(basis, planner.papers),
        curves=_curves.both(basis, C, own, window),
        level=level,
        query=query.model_dump(mode="json", exclude_none=True),
    )


# ------------------------------------------------------------------------------------------------------ the optimum


def _limited(free: Frontier, C: float, query: ComputeOptimalQuery) -> tuple[Array, str]:
    """(B,) model sizes after the caller's limits, and what binds.

    0 or inf: the loss keeps falling towards small or large models and no limit stops it; NaN: no loss at all.
    """
    N = np.where(free.interior, free.N, np.select([free.edge > 0, free.edge < 0], [np.inf, 0.0], np.nan))[:, 0]
    least = 0.0 if query.max_tokens is None else C / (6.0 * query.max_tokens)
    most = math.inf if query.max_params is None else query.max_params
    if least > most:
        raise QueryError(
            message(
                f"max_params {format_short(most)} and max_tokens {format_short(query.max_tokens or 0.0)} together "
                f"spend {format_short(6.0 * most * (query.max_tokens or 0.0), 'flop')} at most, less than the budget "
                f"of {format_short(C, 'flop')}",
                "a budget that fits between the limits",
                "lower the budget, or raise max_params or max_tokens",
            )
        )
    held = np.clip(N, least, most)
    binding = "the budget"
    if N[0] < least:
        binding = f"max_tokens = {format_short(query.max_tokens or 0.0)}"
    elif N[0] > most:
        binding = f"max_params = {format_short(most)}"
    return held, binding


def _no_optimum(basis: Basis, C: float, free: Frontier, window: tuple[float, float]) -> RefusedError:
    towards = {1: "larger models on fewer tokens", -1: "smaller models on more tokens"}.get(int(free.edge[0, 0]))
    law = basis.surface.law.id
    seen = (
        f"the loss of {law!r} falls all the way towards {towards}"
        if towards
        else f"the loss of {law!r} has no minimum"
    )
    return RefusedError(
        message(
            f"At {format_short(C, 'flop')} {seen} (between {window[0]:g} and {window[1]:g} tokens per parameter), so "
            "there is no compute-optimal size that a plan could rest on",
            "a stationary point of positive curvature",
            "a budget inside the range of the fit, a law with an optimum everywhere (chinchilla), or a limit of your "
            f"own ({'max_params' if towards != 'smaller models on more tokens' else 'max_tokens'})",
        )
    )


def _growth(basis: Basis, C: float, window: tuple[float, float]) -> Array:
    """d log N* / d log C at the budget, (B,), by a central difference over +-10 %."""
    step = 0.1
    around = frontier(basis.surface, C * np.exp([-step, step]), window=window).N
    return np.asarray((np.log(around[:, 1]) - np.log(around[:, 0])) / (2 * step))


def _regret(
    basis: Basis, C: float, n: float, d: float, window: tuple[float, float]
) -> tuple[float, float, float] | None:
    """Share of the budget wasted by this plan if a draw is the truth, in %: median and interval over the draws."""
    if rows(basis.surface) == 1:
        return None
    there = at(basis.surface, [n], [d])[:, 0]
    worth = _sizes.worth(basis, C, there, window)
    wasted = np.maximum(100.0 * (1.0 - worth / C), 0.0)
    ends = interval(wasted, basis.level)
    middle = interval(wasted, 0.0)
    return None if ends is None or middle is None else (middle[0], *ends)


# ------------------------------------------------------------------------------------------------ what must be said


def _outside(ratio: float, window: tuple[float, float], bound: bool) -> list[Finding]:
    if window[0] <= ratio <= window[1] or bound:
        return []
    return [
        Finding(
            "ratio",
            "amber" if window[0] / 10 <= ratio <= 10 * window[1] else "red",
            f"{show(ratio, 'tokens/parameter')} tokens per parameter lies outside {window[0]:g} to {window[1]:g}.",
            "No runs that far from balance are known to us: treat the split as an extrapolation.",
        )
    ]


planner = Planner(
    id="compute-optimal",
    question="How large a model, on how many tokens, for this budget?",
    query=ComputeOptimalQuery,
    answer=answer,
    needs=("N", "D"),
    asks="compute-optimal",
    papers=("hoffmann2022",),
    example=Frozen({"budget": "5.76e23 FLOP"}),
)

# SPDX-License-Identifier: Apache-2.0
"""How large a model, and how many passes, when there are only so many different tokens?

Muennighoff et al. (2023), sections 5 and 6: the loss in effective parameters and effective tokens, minimised along
6ND = C with the unique tokens held. Also: what one more unique token is worth, when repetition stops to pay, and
whether a smaller and better version of the corpus would do more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Compute, format_short
from forescale.fitting._fit import Finding
from forescale.laws.repetition import band_edge, repetition_band
from forescale.planning import _limited_tables, _money
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, expected, of_estimate
from forescale.planning._limited import LAW, Repeated, Version
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._quantities import BudgetText, ParamsText, RateText, TokensText
from forescale.planning._scatter import NOISE, assumed, scatter
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]

STEP = 1e-3  # in log U and log C: the price of a token is a ratio of slopes over this distance


class LimitedDataQuery(BaseModel):
    """A budget, or a size, and the different tokens there are."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    unique: TokensText | None = Field(
        None, description="different tokens there are, e.g. 25B; a table of versions of the corpus says it instead"
    )
    budget: BudgetText | None = Field(
        None, description="what there is to spend, e.g. '1e22 FLOP'; without it, what the size is the best one for"
    )
    params: ParamsText | None = Field(None, description="hold the model size, e.g. 7B")
    max_params: ParamsText | None = Field(None, description="largest model that can be used, e.g. 8B")
    max_passes: float | None = Field(None, ge=1, description="most passes over the data that are allowed, e.g. 4")
    least_worth: float = Field(
        0.1, gt=0, lt=1, description="share of a fresh token below which a repeated one counts as nothing, e.g. 0.1"
    )
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of the devices, e.g. 0.4")
    device: str | None = Field(None, description="device to give hours for, e.g. H100")
    rate: RateText | None = Field(None, description="price of device time, e.g. $2.10/H100-hour")


@dataclass(frozen=True, eq=False)
class Split:
    """(B,) size and tokens on one version of the corpus; `binding` is what holds the estimate."""

    N: Array
    D: Array
    loss: Array
    binding: str


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: LimitedDataQuery) -> Plan:
    """The best size and passes.

    Raises:
        QueryError: neither budget nor size, no corpus or two, limits that contradict each other.
        DataError: a version of the corpus without tokens, or two of one name.
        RefusedError: another law, or constants that give no balance of size and data.
    """
    basis, level = grounds.laws["loss"], grounds.level
    law = Repeated.of(grounds, "loss")
    versions = _versions(grounds, query)
    if query.budget is None and query.params is None:
        raise QueryError(message("neither budget nor params", "one of them, or both", "budget='1e22 FLOP'"))
    spend = None if query.budget is None else _money.budget(basis, query.budget, query.mfu)
    given = None if spend is None else spend.flop
    losses = [of_estimate(_split(law.estimate().on(v), v.unique, given, query).loss) for v in versions]
    chosen = versions[int(np.nanargmin(losses))] if np.isfinite(losses).any() else versions[0]
    U, here = chosen.unique, law.on(chosen)
    found = _split(here, U, given, query)
    N, D, C = found.N, found.D, 6.0 * found.N * found.D
    answered = np.isfinite(found.loss) & (N > 0)
    if not answered[0]:
        raise refused(
            "these constants give no balance between parameters and repeated tokens",
            "finite positive constants of data-constrained",
            "look at the fit's verdict: R_N and R_D need runs of several passes",
        )
    c, n, d, best = (of_estimate(x) for x in (C, N, D, found.loss))
    passes = D / U
    saved = 100.0 * (1.0 - here.compute_for(found.loss) / C)
    fresh = here.loss(*here.fresh(C), np.inf)
    decision: dict[str, Decided] = {
        "N": decided(N, "parameters", level, "parameters N"),
        "D": decided(D, "tokens", level, "tokens D, all passes together"),
        "epochs": decided(passes, "", level, "passes over the unique tokens, D / U"),
        "D/N": decided(D / N, "tokens/parameter", level, "tokens per parameter"),
        "D_effective": decided(here.worth(N, D, U)[1], "tokens", level, "fresh tokens that D is worth, D'"),
        "loss_added": decided(found.loss - fresh, "", level, "loss above an optimal run on endless fresh data"),
        "compute_lost": decided(
            np.where(saved < 1e-9, 0.0, saved), "%", level, "compute that such a run would not need for this loss"
        ),
        "token_price": decided(
            _token_price(here, U, C, query), "FLOP", level, "compute that one more unique token replaces"
        ),
        "half_life": decided(
            law.R_D * math.log(2.0), "", level, "passes after the first until a repeated token is worth half"
        ),
        "useful_passes": decided(
            1.0 - law.R_D * math.log(query.least_worth),
            "",
            level,
            f"passes after which a token is worth less than {query.least_worth:g} of a fresh one",
        ),
        "C": Decided(c if given is None else given, None, None, "FLOP", "compute C (6ND)"),
    }
    if given is None:
        decision["C"] = decided(C, "FLOP", level, "compute C (6ND)")
    paid = spend or _money.budget(basis, Compute(c), query.mfu)
    decision.update(_money.decisions(basis, paid, query.device, query.rate, query.mfu))

    noise = scatter(basis, best)
    one = here.estimate()
    tables = [
        _limited_tables.passes(one, n, d, U),
        _limited_tables.corpora(one, U, c),
        *([] if query.params else _limited_tables.sizes(one, c, n, U, noise if noise > 0 else NOISE)),
        *([_limited_tables.versions(law.estimate(), versions, c)] if len(versions) > 1 else []),
    ]
    unit = basis.surface.conventions.get("loss", "loss")
    count = of_estimate(passes)
    read = f"{count:.3g} passes over {format_short(U)}" if count > 1 else f"at most once, of {format_short(U)}"
    which = f" of {chosen.name}" if len(versions) > 1 else ""
    return composed(
        grounds, planner, query,
        headline=(
            f"Train {format_short(n, 'parameters')} parameters on {format_short(d)} tokens ({read} unique{which}) "
            f"for {format_short(c, 'flop')}: expected loss {show(best, 'loss')}. "
            + _costs(decision, c, U, count, found.binding)
        ),
        decision=decision,
        expected=(
            {"loss": expected(basis, unit, "loss", N=n, D=d, D_unique=U)} if chosen.quality == 1.0 else {}
        ),
        binding=found.binding,
        tables=tables,
        curves=_limited_tables.curves(one, c, n, U),
        warnings=[*_band(n, count), *_tired(one, U, c, best, count, query), *_unseen(grounds, count)],
        assumptions=(
            "Compute is C = 6ND; every pass reads all unique tokens; schedules end at the horizon of the run.",
            *(
                ["A token of quality q counts as q tokens of the corpus of the fit, in its first and its later "
                 "passes: a reading of ours that no public runs test."]
                if any(v.quality != 1.0 for v in versions) else []
            ),
            *([] if noise > 0 else [assumed()]),
            *paid.assumptions,
            *paid.notes,
        ),
        answered=answered,
        at={"loss": {"N": n, "D": d, "D_unique": min(U, d)}},
        C=c,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the choice


def _versions(grounds: Grounds, query: LimitedDataQuery) -> list[Version]:
    """The corpus, or the versions of it that the table lists."""
    if not grounds.has("versions"):
        if query.unique is None:
            raise QueryError(message("no unique tokens", "how many different tokens there are", "unique='25B'"))
        return [Version("the corpus", query.unique)]
    table: Runs = grounds.tables["versions"]
    if query.unique is not None:
        raise QueryError(message("unique and a table of versions", "one of the two", "leave out unique"))
    label = next(iter(table.labels), None)
    names = (
        [f"version {i + 1}" for i in range(len(table))] if label is None else [str(v) for v in table.labels[label]]
    )
    unique, quality = table["D_unique"], table["quality"]
    bad = ~(np.isfinite(unique) & (unique > 0) & np.isfinite(quality) & (quality > 0))
    if len(names) == 0 or bad.any() or len(set(names)) < len(names):
        raise DataError(
            message(
                f"{len(names)} versions {names[:5]} with D_unique {unique[:5]} and quality {quality[:5]}",
                "one row a version, names that differ, positive D_unique and quality",
            )
        )
    return [Version(name, float(u), float(q)) for name, u, q in zip(names, unique, quality)]


def _split(law: Repeated, U: float, C: float | None, query: LimitedDataQuery) -> Split:
    """Size and tokens within the limits; without C, the tokens for which the size held is the best one.

    Raises:
        QueryError: limits that cannot hold together.
    """
    size, largest, passes = query.params, query.max_params or math.inf, query.max_passes or math.inf
    if size is None:
        return _free(law, U, C or math.nan, query)
    if size > largest:
        raise QueryError(
            message(
                f"params {format_short(size)} above max_params {format_short(largest)}", "params within max_params"
            )
        )
    N = np.full_like(law.E, size)
    if C is None:
        wanted = law.fitting(size, U)
        D = np.minimum(wanted, passes * U)
        held = f"max_passes = {passes:g}" if wanted[0] > passes * U else f"params = {format_short(size)}"
        return Split(N, D, law.loss(N, D, U), held)
    D = np.full_like(N, C / (6.0 * size))
    if D[0] > passes * U * (1 + 1e-9):
        raise QueryError(
            message(
                f"budget and params {format_short(size)} make {D[0] / U:.3g} passes over unique {format_short(U)}, "
                f"above max_passes {passes:g}",
                "limits that hold together",
                "leave params free, or raise max_passes",
            )
        )
    return Split(N, D, law.loss(N, D, U), f"the budget and params = {format_short(size)}")


def _free(law: Repeated, U: float, C: float, query: LimitedDataQuery) -> Split:
    largest, most = query.max_params or math.inf, (query.max_passes or math.inf) * U
    least = C / (6.0 * most)
    if least > largest * (1 + 1e-9):
        raise QueryError(
            message(
                f"budget {format_short(C, 'flop')}, but max_params {format_short(largest)} and max_passes "
                f"{query.max_passes:g} over unique {format_short(U)} spend at most "
                f"{format_short(6 * largest * most, 'flop')}",
                "a budget that fits between the limits",
                "lower the budget, or raise max_params or max_passes",
            )
        )
    N, D = law.allocated(C, U)
    binding = "the budget" if D[0] <= U else "the budget and the unique tokens"
    if N[0] < least:
        binding = f"max_passes = {query.max_passes:g}"
    elif N[0] > largest:
        binding = f"max_params = {format_short(largest)}"
    held = np.minimum(np.maximum(N, least), largest)
    D = np.where(held == N, D, C / (6.0 * held))
    return Split(held, D, law.loss(held, D, U), binding)


def _token_price(law: Repeated, U: float, C: Array, query: LimitedDataQuery) -> Array:
    """(B,) FLOP per unique token: slopes of the least loss in log U and in log C at the plan, limits held."""
    largest, most = query.max_params or math.inf, query.max_passes or math.inf
    size = query.params if query.budget is not None else None

    def lowest(c: Array, u: float) -> Array:
        N = law.allocated(c, u)[0] if size is None else np.full_like(c, size)
        N = N if size is not None else np.minimum(np.maximum(N, c / (6.0 * most * u)), largest)
        return law.loss(N, c / (6.0 * N), u)

    of_data = lowest(C, U * math.exp(-STEP)) - lowest(C, U * math.exp(STEP))
    of_compute = lowest(C * math.exp(-STEP), U) - lowest(C * math.exp(STEP), U)
    return np.asarray(np.maximum(of_data / of_compute, 0.0) * C / U)


# ------------------------------------------------------------------------------------------------ what must be said


def _costs(decision: dict[str, Decided], C: float, U: float, count: float, binding: str) -> str:
    """What the given data cost, and the limits that hold the plan besides them."""
    lost, price = decision["compute_lost"].value, decision["token_price"].value
    if price == 0.0:
        return "The data do not bind: more unique tokens change nothing."
    limit = binding.removeprefix("the budget and ")
    to = ["repetition"] if count > 1 else []
    to += [limit] if limit.startswith(("max_", "params")) else []
    worth = 0.01 * price * U
    more = (
        f"one per cent more unique tokens is worth {format_short(worth, 'flop')} more"
        if worth < C  # beyond, the slope says nothing but that compute hardly helps any more
        else "hardly any compute does what more unique tokens would"
    )
    return f"That is {show(lost, '%')} of the compute lost to {' and '.join(to)}; {more}."


def _band(N: float, passes: float) -> list[Finding]:
    """Whether so many passes are known to hurt a model of this size (Hernandez et al. 2022)."""
    left, right = (
        float(band_edge(N, **repetition_band.constants(f"hernandez2022-{side}"))) for side in ("left", "right")
    )
    if passes <= left:
        return []
    where = f"in the band of {left:.3g} to {right:.3g}" if passes < right else f"beyond the {left:.3g}"
    return [
        Finding(
            "repetition-band",
            "amber",
            f"{passes:.3g} passes with {format_short(N)} parameters lie {where} passes in which repeated data were "
            "seen to do harm.",
            "The law flattens and cannot rise: a smaller model, fewer passes (max_passes) or more data; watch the "
            "validation loss.",
        )
    ]


def _tired(law: Repeated, U: float, C: float, best: float, passes: float, query: LimitedDataQuery) -> list[Finding]:
    """When the last passes buy next to nothing: what compute would have been enough."""
    useful = 1.0 - float(law.R_D[0]) * math.log(query.least_worth)
    if passes <= useful:
        return []
    enough = float(law.compute_on(U, np.array([best * (1 + NOISE)]), C)[0])
    return [
        Finding(
            "useless-passes",
            "amber",
            f"{passes:.3g} passes are planned; after {useful:.3g} a repeated token is worth less than "
            f"{query.least_worth:g} of a fresh one.",
            f"The best plan for {format_short(enough, 'flop')} comes within {100 * NOISE:g} % of its loss: bring "
            "more unique data, or spend less.",
        )
    ]


def _unseen(grounds: Grounds, passes: float) -> list[Finding]:
    fit = grounds.laws["loss"].fit
    runs = None if fit is None else fit.runs
    if runs is None or "D" not in runs.columns or "D_unique" not in runs.columns:
        return []
    most = float(np.nanmax(runs["D"] / runs["D_unique"]))
    if not most < passes:
        return []
    return [
        Finding("distance-epochs", "amber", f"{passes:.3g} passes are planned; the runs made {most:.3g} at most.")
    ]


planner = Planner(
    id="limited-data",
    question="How large a model, and how many passes, when there are only so many different tokens?",
    query=LimitedDataQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "the loss over parameters, tokens and unique tokens: data-constrained, any parameters fixed or tied",
            laws=(LAW,),
            inputs=("N", "D", "D_unique"),  # as a law with parameters fixed or tied has; `Repeated.of` refuses others
            default=f"{LAW}:muennighoff2023",
        ),
        Part(
            "versions",
            "versions of the corpus: unique tokens of each, and what one of its tokens is worth in tokens of the fit",
            columns=("D_unique", "quality"),
            optional=True,
        ),
    ),
    papers=("muennighoff2023", "hernandez2022"),
    example=Frozen({"budget": "1e22 FLOP", "unique": "25B"}),
)

# SPDX-License-Identifier: Apache-2.0
"""How much of a domain belongs into continual pre-training?

Que et al. (2024) use their law in three ways, all here: the largest share that keeps the general loss within a
tolerance; the best share when the domain's tokens are limited, so that a larger share means a shorter run; size and
tokens for a budget, where B r^eta stands for chinchilla's B. The law of the critical share (Gu et al. 2024) may stand
for the general loss, and a table of measured shares for both laws.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short, parse_loss
from forescale.laws.chinchilla import frontier
from forescale.laws.continual import share_within
from forescale.numerics.optimum import Where, minimise, root
from forescale.planning import _continual, _money
from forescale.planning._compose import composed, refused
from forescale.planning._continual import LEAST, MOST, Problem, Run
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import BudgetText, LossText, ParamsText, TokensText
from forescale.planning._scatter import NOISE, assumed, scatter
from forescale.planning._show import show

Array = NDArray[np.float64]

_INSIDE = "nothing: a larger share makes the loss on the domain rise again"


class ContinualQuery(BaseModel):
    """The model and its data, and what must not be lost."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    params: ParamsText | None = Field(None, description="model size, e.g. 1.8B; free where a budget is given")
    tokens: TokensText | None = Field(None, description="tokens of continual training, all together, e.g. 10B")
    domain_tokens: TokensText | None = Field(
        None,
        description="tokens that there are of the domain, each read once: the run is as long as they last, e.g. 5B",
    )
    budget: BudgetText | None = Field(None, description="compute of continual training, e.g. 1e21 FLOP")
    share: float | None = Field(None, gt=0, le=1, description="hold the domain's share, e.g. 0.5")
    tolerance: float | None = Field(
        None, ge=0, description="rise of the general loss that is allowed, e.g. 0.03 for three per cent"
    )
    general_before: LossText | None = Field(None, description="general loss before continual training, e.g. 2.8602")
    loss_before: float | None = Field(None, gt=0, description="d-cpt-cross: the domain's loss before, e.g. 1.9")
    loss_slope_initial: float | None = Field(
        None, gt=0, description="d-cpt-cross: its first decline, in the unit of the fit, e.g. 0.3"
    )


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: ContinualQuery) -> Plan:
    """The share of the domain.

    Raises:
        QueryError: too little or too much is said of size, tokens and budget, or the general loss has no law.
        RefusedError: no share keeps to the tolerance.
    """
    limit = _limit(grounds, query)
    if grounds.has("measured"):
        return _measured(grounds, query, limit)
    if not grounds.has("domain"):
        raise QueryError(
            message("no law of the domain's loss", "a fit of d-cpt or d-cpt-cross, or a table of measured shares")
        )
    problem, spent = _problem(grounds, query)
    B, level = grounds.rows, grounds.level
    if limit is not None and problem.general is None:
        raise QueryError(
            message(
                "a tolerance, and nothing that says what becomes of the general loss",
                "a second fit of d-cpt, of the general loss over the general share",
                "leave out tolerance and general_before; a fit of critical-share needs neither",
            )
        )
    low = np.full(B, LEAST)
    if query.tokens is not None and query.domain_tokens is not None:
        least = query.domain_tokens / query.tokens  # the run is no longer than tokens
        if least > 1.0 or (query.share is not None and query.share < least * (1 - 1e-9)):
            raise QueryError(
                message(
                    f"tokens {format_short(query.tokens)}, and domain_tokens {format_short(query.domain_tokens)} "
                    "make a longer run at " + ("any share" if query.share is None else f"share {query.share:g}"),
                    "domain_tokens / share within tokens",
                    "more tokens, fewer domain_tokens, or leave one out",
                )
            )
        low = np.maximum(low, least)
    high, capped = _cap(grounds, problem, query, limit, low)
    if not (high[0] > low[0]):
        if limit is None:
            raise refused(f"at these tokens {capped} is zero", "a share above zero", "more tokens")
        raise refused(
            f"no share of the domain keeps the general loss to {limit:.4g}"
            + (f" in a run within tokens, which takes {low[0]:.3g} or more" if low[0] > LEAST else ""),
            "a share that does",
            "a larger tolerance, or other tokens",
        )
    if query.share is not None:
        if query.share > high[0]:
            raise refused(
                f"a share of {query.share:g} lies above {high[0]:.4g}, the largest that keeps the general loss",
                "a smaller share",
                "leave share out",
            )
        share = np.where(high >= query.share, query.share, np.nan)
        binding = f"share = {query.share:g}"
    else:
        share, binding = _best(problem, low, np.where(high > low, high, np.nan), capped)
    run = problem.run(share)
    loss = problem.domain(share[:, None])[:, 0]
    general = None if problem.general is None else problem.general(share[:, None])[:, 0]
    answered = np.isfinite(loss) & np.isfinite(share)
    if not answered[0]:
        raise refused("these constants give no best share", "a law that is finite between the bounds", "its verdict")
    r, n, d, best = (of_estimate(x) for x in (share, run.N, run.D, loss))
    decision: dict[str, Decided] = {
        "share": decided(100.0 * share, "%", level, "share of the domain"),
        "D": decided(run.D, "tokens", level, "tokens of continual training"),
        "domain_tokens": decided(share * run.D, "tokens", level, "of these from the domain"),
        "N": decided(run.N, "parameters", level, "parameters"),
        "C": Decided(spent, None, None, "FLOP", "compute C (6ND)")
        if spent is not None
        else decided(6.0 * run.N * run.D, "FLOP", level, "compute C (6ND)"),
    }
    outcomes = {"loss": Expected(best, interval(loss, level), None, _continual.unit(grounds), "loss on the domain")}
    if general is not None:
        outcomes["general"] = Expected(
            of_estimate(general), interval(general, level), None, _continual.unit(grounds), "general loss"
        )
        if query.general_before is not None:
            rise = 100.0 * (general / query.general_before.value - 1.0)
            decision["general_rise"] = decided(rise, "%", level, "rise of the general loss")
    sigma = scatter(grounds.laws["domain"], best)
    noise = sigma if sigma > 0 else NOISE
    at = {"domain": {"N": n, "D": d, "share": r}}
    if grounds.has("general"):
        at["general"] = {"N": n, "D": d, "share": 1.0 - r}
    said = f", general loss {show(of_estimate(general), 'loss')}" if general is not None else ""
    return composed(
        grounds, planner, query,
        headline=(
            f"Take {show(100 * r, '%')} of the domain in {format_short(d)} tokens for "
            f"{format_short(n, 'parameters')} parameters: expected loss on it {show(best, 'loss')}{said}."
        ),
        decision=decision,
        expected=outcomes,
        binding=binding,
        tables=[
            _continual.shares_table(problem, r, float(high[0])),
            *([] if query.share else [_continual.alternatives(problem, best, noise, float(low[0]), float(high[0]))]),
        ],
        curves=_continual.curves(problem),
        warnings=[
            *_continual.shape_findings(grounds, r, n, d, inside=binding == _INSIDE),
            *_continual.edge_findings(grounds, r),
        ],
        assumptions=(
            "Tokens count all of continual training, not those of the domain; the schedule ends with them.",
            *(["The domain's tokens are read once: the run has domain_tokens / share tokens."]
              if query.domain_tokens is not None else []),
            *(["Size and tokens split the budget as chinchilla does with B r^eta for its B."] if spent else []),
            *(["The general loss is a law of what is left, 1 - share."] if general is not None else []),
            *([] if sigma > 0 else [assumed()]),
        ),
        answered=answered,
        at=at,
        C=spent or 6.0 * n * d,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ the problem


def _limit(grounds: Grounds, query: ContinualQuery) -> float | None:
    """The general loss that is allowed at most.

    Raises:
        QueryError: half of what says it.
        ConventionError: in another unit than the fits.
    """
    if (query.tolerance is None) != (query.general_before is None):
        given = "tolerance" if query.tolerance is not None else "general_before"
        raise QueryError(message(f"{given} alone", "tolerance and general_before together"))
    if query.tolerance is None or query.general_before is None:
        return None
    unit = next((b.surface.conventions.get("loss") for n, b in grounds.laws.items() if n != "critical"), None)
    return (1.0 + query.tolerance) * parse_loss(query.general_before, unit)


def _problem(grounds: Grounds, query: ContinualQuery) -> tuple[Problem, float | None]:
    """The laws at shares, and the compute where it is given.

    Raises:
        QueryError: size, tokens, domain tokens and budget do not fix the run.
    """
    sizes = {"params": query.params, "tokens": query.tokens, "domain_tokens": query.domain_tokens}
    held = [name for name, value in sizes.items() if value is not None]
    spent = None
    if query.budget is not None:
        if held:
            raise QueryError(
                message(f"budget and {' and '.join(held)}", "the budget alone, which splits into both, or the others")
            )
        spent = _money.budget(grounds.laws["domain"], query.budget, None).flop
    elif query.params is None or len(held) < 2:
        raise QueryError(
            message(
                f"{'only ' + ' and '.join(held) if held else 'nothing'} of the run",
                "params with tokens or domain_tokens, or a budget",
                "params='1.8B', tokens='10B'",
            )
        )
    needed = {"loss_before": query.loss_before, "loss_slope_initial": query.loss_slope_initial}
    cross = {name: needed[name] for name in grounds.law("domain").inputs if name in needed}
    idle = [name for name, value in needed.items() if value is not None and name not in cross]
    if idle:
        raise QueryError(
            message(f"{idle[0]}, which the law {grounds.law('domain').id!r} does not read", "d-cpt-cross")
        )
    lacking = [name for name, value in cross.items() if value is None]
    if lacking:
        raise QueryError(message(f"{grounds.law('domain').id!r} without {lacking[0]}", f"{' and '.join(cross)}"))
    p = grounds.laws["domain"].surface.params

    def run(share: Array) -> Run:
        r = share if share.ndim == 2 else share[:, None]
        if spent is not None:
            found = frontier(spent, p["E"], p["A"], p["alpha"], p["B"] * r ** p["eta"], p["beta"])
            N, D = found["N"], found["D"]
        else:
            N = np.full_like(r, query.params or math.nan)
            D = np.full_like(r, query.tokens or math.nan) if query.domain_tokens is None else query.domain_tokens / r
        return Run(N, D) if share.ndim == 2 else Run(N[:, 0], D[:, 0])

    def domain(share: Array) -> Array:
        at = run(share)
        return grounds.values("domain", N=at.N, D=at.D, share=share, **cross)

    def general(share: Array) -> Array:
        at = run(share)
        return grounds.values("general", N=at.N, D=at.D, share=1.0 - share)

    return Problem(run, domain, general if grounds.has("general") else None), spent


def _cap(
    grounds: Grounds, problem: Problem, query: ContinualQuery, limit: float | None, low: Array
) -> tuple[Array, str]:
    """(B,) the largest share allowed, NaN where none is; and what allows no more."""
    high, why = np.full(grounds.rows, 1.0), "a share of one"
    if limit is not None and problem.general is not None:
        found = root(problem.general, low, np.full(grounds.rows, MOST), target=limit, rtol=1e-13)
        high = np.where(found.found, found.x, np.where(found.where == Where.UPPER, 1.0, np.nan))
        # the law rises towards a share of one: whoever ends at the lower bound is above the limit there already
        start = problem.general(low[:, None])[:, 0]
        high = np.where(start > limit, np.nan, high)
        why = f"the general loss, {limit:.4g} at most"
    if grounds.has("critical"):
        tokens = problem.run(np.minimum(high, MOST)).D
        critical = np.clip(grounds.values("critical", D=tokens[:, None])[:, 0], 0.0, 1.0)
        if critical[0] < high[0]:
            why = "the critical share"
        high = np.minimum(high, critical)
    return high, why


def _best(problem: Problem, low: Array, high: Array, capped: str) -> tuple[Array, str]:
    """(B,) the share of least loss on the domain between the bounds, and what binds."""
    fine = np.isfinite(high)
    upper = np.where(fine, np.maximum(high, low * (1 + 1e-9)), 2.0 * low)
    found = minimise(problem.domain, low, upper, points=80)
    share = np.select([found.where == Where.UPPER, found.where == Where.LOWER], [upper, low], found.x)
    ends = {Where.UPPER: capped, Where.LOWER: "the tokens of the run" if low[0] > LEAST else "a share of zero"}
    binding = ends.get(Where(int(found.where[0])), _INSIDE)
    return np.where(fine & (found.where != Where.NOT_FINITE), share, np.nan), binding


# --------------------------------------------------------------------------------------------------- without a law


def _measured(grounds: Grounds, query: ContinualQuery, limit: float | None) -> Plan:
    """The first use by interpolation between measured shares."""
    if grounds.laws:
        raise QueryError(message("fits and a table of measured shares", "one of the two"))
    if limit is None:
        raise QueryError(message("measured shares without tolerance", "tolerance and general_before"))
    for name in ("share", "budget", "domain_tokens"):
        if getattr(query, name) is not None:
            raise QueryError(
                message(f"{name}, and a table of measured shares", "a fit of d-cpt for that", f"leave {name} out")
            )
    table = grounds.tables["measured"]
    share, general = table["share"], table["loss_general"]
    r = share_within(share, general, limit)
    run = float(share[general <= limit].max())
    order = np.argsort(share)
    outcomes: dict[str, Expected] = {"general": Expected(limit, None, None, "loss", "general loss")}
    domain = table["loss_domain"] if "loss_domain" in table.columns else None
    if domain is not None:
        between = float(np.interp(r, share[order], domain[order]))
        outcomes = {"loss": Expected(between, None, None, "loss", "loss on the domain"), **outcomes}
    rows = tuple(
        (100.0 * float(share[i]), None if domain is None else float(domain[i]), float(general[i]),
         "yes" if general[i] <= limit else "no")
        for i in order
    )  # fmt: skip
    return composed(
        grounds, planner, query,
        headline=f"Take {100 * r:.4g} % of the domain: the general loss stays within {limit:.4g}.",
        decision={
            "share": Decided(100.0 * r, None, None, "%", "share of the domain, between runs"),
            "run_share": Decided(100.0 * run, None, None, "%", "largest share that was run and keeps to the limit"),
        },
        expected=outcomes,
        binding=f"the general loss, {limit:.4g} at most",
        tables=[
            Table(
                "sensitivity", "The shares that were run",
                (("share", "%"), ("domain", "loss"), ("general", "loss"), ("allowed", "")), rows,
            )
        ],
        curves={
            "loss": Frozen(
                {
                    "share": share[order],
                    **({} if domain is None else {"domain loss": domain[order]}),
                    "general loss": general[order],
                }
            )
        },
        assumptions=("Straight lines between the runs; no intervals.",),
    )  # fmt: skip


planner = Planner(
    id="continual",
    question="How much of a domain belongs into continual pre-training?",
    query=ContinualQuery,
    answer=answer,
    parts=(
        Part("domain", "the loss on the domain over size, tokens and its share", laws=("d-cpt", "d-cpt-cross"),
             optional=True),
        Part("general", "the general loss over size, tokens and the general share", laws=("d-cpt",), optional=True),
        Part("critical", "the largest share of the domain that spares the general loss", laws=("critical-share",),
             optional=True),
        Part("measured", "measured shares of the domain with the general loss (and loss_domain)",
             columns=("share", "loss_general"), optional=True),
    ),
    papers=("que2024", "gu2024"),
    example=Frozen({"params": "1.8B", "domain_tokens": "5B"}),
    shown=("d-cpt.json",),
)  # fmt: skip

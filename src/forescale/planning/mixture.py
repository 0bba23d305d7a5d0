# SPDX-License-Identifier: Apache-2.0
"""Which mixture of domains gives the least loss?

From laws of the mixture, one for each validation loss (Ye et al. 2024; Shukor et al. 2025, with size and tokens), or
from a table of small runs on many mixtures, regressed (Liu et al. 2024, RegMix). Within bounds on the shares and what
the tokens of each domain allow, or among mixtures that are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting.estimators import regmix
from forescale.planning import _mixture_given, _mixture_tables, _mixtures
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._mixtures import FAMILIES, Judge, OfRuns
from forescale.planning._named import NamedText
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner
from forescale.planning._quantities import ParamsText, TokensText
from forescale.planning._scatter import NOISE, assumed, scatter
from forescale.planning._show import show

Array = NDArray[np.float64]

RESAMPLES = 100
"""Times that the regression is fitted again to resampled mixtures."""

EDGE = 1e-7  # a search ends this near to a share of zero or one, where that is best

BEYOND = 1.05  # times the largest share of a domain in the runs above which the plan says that it goes further


class MixtureQuery(BaseModel):
    """What is to be low, and what the shares may be."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    target: NamedText | None = Field(
        None,
        description="weights of the validation losses: 'arxiv=1, github=2' for columns loss_arxiv and loss_github of "
        "the runs, '1=0.7, 2=0.3' for the first and second fit; default the column loss, or all fits alike",
    )
    least: NamedText | None = Field(None, description="least share of a domain, e.g. 'github=0.05'")
    most: NamedText | None = Field(None, description="largest share of a domain, e.g. 'pile_cc=0.5, arxiv=0.2'")
    params: ParamsText | None = Field(None, description="model size, for laws of size and mixture, e.g. 7B")
    tokens: TokensText | None = Field(None, description="tokens to train on, e.g. 1T")
    available: NamedText | None = Field(
        None, description="tokens that there are of a domain, e.g. 'book=20B, arxiv=30B'"
    )
    max_passes: float = Field(4.0, ge=1, description="most passes over the tokens of a domain, e.g. 4")
    inside: bool = Field(False, description="keep each share within those of the runs")
    given: NamedText | None = Field(
        None, description="a mixture to compare with, such as the natural one: 'arxiv=0.1, pile_cc=0.9'"
    )
    weights: str = Field("weight_", description="what the names of the weight columns begin with, e.g. weight_")


@dataclass(frozen=True, eq=False)
class Stand:
    """What the answer stands on.

    Attributes:
        judge: the loss of mixtures.
        names: domains; columns: where tables have their weights.
        seen: (2, M) least and largest share of each in the runs, NaN where unknown.
        noise: relative scatter of one run.
        near: (k, M) mixtures of the runs, best first.
        said: assumptions.
        what: how the target is called.
    """

    judge: Judge
    names: tuple[str, ...]
    columns: tuple[str, ...]
    seen: Array
    noise: float
    near: Array | None
    said: tuple[str, ...]
    what: str


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: MixtureQuery) -> Plan:
    """The best mixture.

    Raises:
        QueryError: neither fits nor runs, or both; unknown domains; bounds that no mixture meets.
        DataError: runs or candidates without the weights.
        RefusedError: fits over other domains, or constants without an optimum.
    """
    stand = _runs(grounds, query) if grounds.has("proxies") else _laws(grounds, query)
    names, judge, level = stand.names, stand.judge, grounds.level
    low, high, scarce = _mixtures.bounds(
        names, query.least or {}, query.most or {}, query.available or {}, query.tokens, query.max_passes
    )
    if query.inside:
        low, high = _within(stand, low, high)
    found = _mixtures.best(judge, low, high, stand.near)
    if not found.value[0] > 0:
        raise refused(
            "the best mixture would have no finite loss above zero",
            "constants that predict a loss wherever the bounds allow",
            "stay within the runs (inside), or look at the verdict of the fit",
        )
    uniform = np.full(len(names), 1.0 / len(names))
    others = {"uniform": uniform}
    if query.given is not None:
        others["given"] = _mixture_given.mixture(names, query.given)
    p, values = np.where(found.p < EDGE, 0.0, np.where(found.p > 1.0 - EDGE, 1.0, found.p)), found.value
    chosen, tables, chance = None, [], {}
    if grounds.has("candidates"):
        chosen, ranking, odds = _mixture_given.ranked(
            grounds.tables["candidates"], stand.columns, judge, (low, high), level
        )
        tables.append(ranking)
        p, values = np.broadcast_to(chosen.shares, p.shape), judge.loss(chosen.shares[None])[:, 0]
        if odds is not None:
            chance["chance"] = Decided(
                odds, None, None, "%", "draws or resamples in which it is the best of those given"
            )
    order = np.argsort(-p[0], kind="stable")
    lost = {name: 100.0 * (judge.loss(q[None])[:, 0] / values - 1.0) for name, q in others.items()}
    decision: dict[str, Decided] = {
        names[j]: decided(100.0 * p[:, j], "%", level, f"share of {names[j]}")
        if chosen is None
        else Decided(100.0 * float(p[0, j]), None, None, "%", f"share of {names[j]}")
        for j in order
    }
    decision |= {
        f"{name}_costs": decided(values_, "%", level, f"loss that the {name} mixture adds")
        for name, values_ in lost.items()
    }
    decision |= chance
    best = of_estimate(values)
    largest = [f"{names[j]} {show(100 * float(p[0, j]), '%')}" for j in order if p[0, j] >= 0.005]
    tables += _mixture_tables.around(judge, names, p[0], low, high, stand.noise, others)
    ends = interval(values, level)
    return composed(
        grounds, planner, query,
        headline=(
            (f"Of the mixtures given, take {chosen.name}: " if chosen is not None else "Mix ")
            + ", ".join(largest)
            + f": {stand.what} {show(best, 'loss')}, where equal shares have "
            f"{show(float(judge.estimate(uniform[None])[0]), 'loss')}."
        ),
        decision=decision,
        expected={"loss": Expected(best, ends, None, _unit(grounds), stand.what)},
        binding=(
            "the mixtures given" if chosen is not None else _binding(names, p[0], low, high, scarce)
        ),
        tables=tables,
        curves=_mixture_tables.curves(judge, names, p[0], low, high),
        warnings=[*_transfer(grounds), *_outside(stand, p[0])],
        assumptions=(
            *stand.said,
            *_supply(query),
            ("The optimum is certified" if judge.convex else "The best of several searches; there may be others")
            + f": no allowed mixture promises more than {found.gap[0] / best:.1e} of the loss at first order.",
        ),
        answered=np.isfinite(values) if grounds.laws else None,
        C=6.0 * query.params * query.tokens if query.params and query.tokens and grounds.laws else None,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ what it stands on


def _laws(grounds: Grounds, query: MixtureQuery) -> Stand:
    bases = grounds.each("loss")
    if not bases:
        raise QueryError(
            message(
                "neither fits nor runs",
                f"fits of {', '.join(FAMILIES)}, one for each validation loss, or a table of runs on many mixtures",
                "forescale plan mixture runs.csv",
            )
        )
    weights = np.ones(len(bases))
    if query.target is not None:
        places = [str(i + 1) for i in range(len(bases))]
        unknown = [name for name in query.target if name not in places]
        if unknown:
            raise QueryError(message(f"target names {unknown[0]!r}", "the places of the fits: " + ", ".join(places)))
        weights = np.array([query.target.get(place, 0.0) for place in places])
        _mixture_given.positive(weights)
    if all(basis.surface.law.id.startswith(FAMILIES[0]) for basis in bases):
        _sizeless(query, FAMILIES[0])
    judge, names = _mixtures.of_laws(bases, weights, query.params, query.tokens, grounds.rows)
    seen = np.full((2, len(names)), np.nan)
    tables = [basis.fit.runs for basis in bases if basis.fit is not None and basis.fit.runs is not None]
    inputs = {name.removeprefix("weight_"): name for name in bases[0].surface.law.inputs}
    columns = tuple(inputs[name] for name in names)
    if tables:
        shares = np.concatenate([_mixture_given.shares_of(table, columns) for table in tables])
        seen = np.stack([shares.min(axis=0), shares.max(axis=0)])
    even = judge.losses(np.full(len(names), 1.0 / len(names)))
    sigmas = [sigma for sigma in map(scatter, bases, even) if sigma > 0]
    said = [] if sigmas else [assumed()]
    if len(bases) > 1:
        said.append(f"The target is the weighted mean of the losses of {len(bases)} fits.")
    what = "loss" if len(bases) == 1 else "mean loss"
    noise = float(np.mean(sigmas)) if sigmas else NOISE
    return Stand(judge, names, columns, seen, noise, None, tuple(said), what)


def _sizeless(query: MixtureQuery, what: str) -> None:
    """A size that nothing here depends on must not look as if it were answered for."""
    if query.params is not None:
        raise QueryError(
            message(f"params, and {what}, which knows no size", "fits of mixture-joint", "leave params out")
        )


def _runs(grounds: Grounds, query: MixtureQuery) -> Stand:
    if grounds.laws:
        raise QueryError(message("fits and a table of runs", "one of the two", "leave one out"))
    _sizeless(query, "a table of runs")
    table = grounds.tables["proxies"]
    runs, what = table, "loss"
    if query.target is not None:
        columns = {name: f"loss_{name}" for name in query.target}
        for name, column in columns.items():
            if column not in table.columns:
                known = [c.removeprefix("loss_") for c in table.columns if c.startswith("loss_") and c != "loss_sd"]
                raise QueryError(message(f"target names {name!r}", "one of " + ", ".join(known)))
        weights = np.array(list(query.target.values()))
        _mixture_given.positive(weights)
        mean = sum(w * table[c] for w, c in zip(weights / weights.sum(), columns.values()))
        runs, what = table.with_column("loss", mean), f"loss on {', '.join(columns)}"
    state = regmix.learn(runs, {"method": "best", "weights": query.weights})
    refits = regmix.refits(state, runs, RESAMPLES)
    shares = _mixture_given.shares_of(runs, state.columns)
    names = tuple(column.removeprefix(query.weights) for column in state.columns)
    said = (
        f"Regression: {state.method}, of the least leave-one-out error ({100 * state.error:.2g} % of the loss) on "
        f"{len(runs)} runs.",
        f"Intervals: {RESAMPLES} refits to mixtures drawn with replacement, seed 0; settings stay.",
    )
    seen = np.stack([shares.min(axis=0), shares.max(axis=0)])
    near = shares[np.argsort(runs["loss"])]
    return Stand(OfRuns(refits), names, state.columns, seen, state.error, near, said, what)


def _within(stand: Stand, low: Array, high: Array) -> tuple[Array, Array]:
    """Bounds that are those of the runs as well."""
    least, most = np.maximum(low, stand.seen[0] * (1 - 1e-9)), np.minimum(high, stand.seen[1] * (1 + 1e-9))
    if not np.isfinite(stand.seen).all():
        raise QueryError(
            message("inside, but the fits do not say what their runs were", "fits of runs", "leave it out")
        )
    if (least > most).any() or not least.sum() < 1.0 < most.sum():
        raise QueryError(
            message("inside, least, most and available together allow no mixture", "bounds that the runs reach")
        )
    return least, most


# ------------------------------------------------------------------------------------------------ what must be said


def _binding(names: tuple[str, ...], p: Array, low: Array, high: Array, scarce: NDArray[np.bool_]) -> str:
    held = []
    for j, name in enumerate(names):
        if low[j] > 0 and p[j] - low[j] < 1e-6:
            held.append(f"least {name}")
        elif high[j] < 1 and high[j] - p[j] < 1e-6:
            held.append(f"tokens of {name}" if scarce[j] else f"most {name}")
    return ", ".join(held) or "nothing but that the shares sum to one"


def _supply(query: MixtureQuery) -> list[str]:
    if not query.available:
        return []
    return [
        f"A domain is read {query.max_passes:g} times at most in {format_short(query.tokens or math.nan)} tokens; "
        "repeated tokens count as fresh ones."
    ]


def _transfer(grounds: Grounds) -> list[Finding]:
    if any(basis.surface.law.id.startswith("mixture-") for basis in grounds.each("loss")):
        return []
    return [
        Finding(
            "rank-transfer",
            "amber",
            "The order of mixtures at the size and tokens of these runs is taken for that at the size planned; the "
            "losses are those of the small size.",
            "Train the first mixtures of the list, and equal shares, at one larger size before the large run.",
        )
    ]


def _outside(stand: Stand, p: Array) -> list[Finding]:
    low, high = stand.seen
    far = [
        f"{name} {show(100 * share, '%')} (runs: {show(100 * a, '%')} to {show(100 * b, '%')})"
        for name, share, a, b in zip(stand.names, p, low, high)
        if share > BEYOND * b + 1e-3 or share < a / BEYOND - 1e-3
    ]
    if not far:
        return []
    return [
        Finding(
            "outside",
            "amber",
            f"Shares lie beyond those of all runs: {', '.join(far[:4])}.",
            "Hold them with least and most, or run mixtures out there.",
        )
    ]


def _unit(grounds: Grounds) -> str:
    first = next(iter(grounds.laws.values()), None)
    return "loss" if first is None else first.surface.conventions.get("loss", "loss")


planner = Planner(
    id="mixture",
    question="Which mixture of domains gives the least loss?",
    query=MixtureQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "the loss over the shares of the domains, one fit for each validation loss",
            laws=FAMILIES,
            optional=True,
            most=30,
        ),
        Part("proxies", "small runs on many mixtures, with one weight_... column for each domain", columns=("loss",),
             optional=True),
        Part("candidates", "mixtures to choose among, named in the column mixture", columns=("mixture",),
             optional=True),
    ),
    papers=("liu2024regmix", "ye2024", "shukor2025"),
    example=Frozen({"max_passes": 4}),
    shown=("runs.csv",),
)  # fmt: skip

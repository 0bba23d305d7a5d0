# SPDX-License-Identifier: Apache-2.0
"""How many experts should a routed language model have, and what are they worth?

The law of Clark et al. (2022): loss from the parameters N that a token passes through and the number of experts per
routed layer. More experts always help below N_cutoff = 10^(-b/c), and never above; they cost memory, not compute, so
memory, or the largest number that was ever trained, sets their number. Asked the other way round, with the dense
model that is to be matched, the answer is the smallest routed one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.costs.hardware import device
from forescale.fitting._fit import Finding
from forescale.laws import find
from forescale.laws.routing import cutoff, dense_equivalent, routed_size, saturated
from forescale.numerics.optimum import minimise, root
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._curves import banded
from forescale.planning._intervals import decided, expected, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import ParamsText
from forescale.planning._show import show

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

ROUTED = 0.309
"""Parameters that one more expert in every second layer adds, over those of the dense model: .308 to .312 in the
released runs of 27M, 370M and 1.3B parameters."""

LARGEST = 512
"""Most experts of the released runs."""

ROUTERS = ("s-base", "rl-r", "hash")


class ExpertsQuery(BaseModel):
    """A size, or the dense model to be matched, and what holds the experts back."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    N: ParamsText | None = Field(None, description="parameters that a token passes through, e.g. 1B")
    dense: ParamsText | None = Field(None, description="dense model whose loss is wanted instead, e.g. 7B")
    experts: int | None = Field(None, ge=1, description="experts per routed layer, if they are settled, e.g. 64")
    total: ParamsText | None = Field(None, description="most parameters in all, e.g. 40B")
    memory: float | None = Field(None, gt=0, description="most memory for the weights in GB, e.g. 80")
    bits: float = Field(16.0, gt=0, le=32, description="bits per weight in that memory, e.g. 16")
    most_experts: int = Field(LARGEST, ge=1, description="most experts to be considered, e.g. 512")
    routed: float = Field(
        ROUTED, gt=0, description="parameters that one more expert adds, over those of the dense model, e.g. 0.309"
    )
    device: str = Field("H100", description="device that holds the weights, e.g. H100")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: ExpertsQuery) -> Plan:
    """The plan of experts.

    Raises:
        QueryError: neither or both of N and dense, total and memory together, limits that leave no expert.
        QuantityError: an unknown device.
        RefusedError: the dense model cannot be matched in that memory.
    """
    asked = _Asked(grounds, query, _room(query))
    if (query.N is None) == (query.dense is None):
        raise QueryError(message("N and dense", "one of them: the model that is widened, or the one to be matched"))
    edge = cutoff(**asked.constants("b", "c"))
    if query.dense is not None:
        N, experts = asked.matching(query.dense)
        pays = edge > N
    else:
        N = np.full(grounds.rows, float(query.N or 0))
        pays = edge > N
        experts = np.where(pays | (query.experts is not None), asked.allowed(N), 1.0)
    if not math.isfinite(N[0]) or math.isnan(edge[0]):
        raise refused("the size of the model, or that above which experts hurt, is no number", "finite constants")
    loss, plain = asked.loss(N, experts), asked.loss(N, np.ones_like(N))
    equivalent = asked.dense(N, experts)
    total = N * (1.0 + query.routed * (experts - 1.0))
    gigabytes = total * query.bits / 8e9
    chip = device(query.device)

    level = grounds.level
    decision: dict[str, Decided] = {
        "experts": decided(experts, "count", level, "experts per routed layer, one of them per token"),
        "N": decided(N, "parameters", level, "parameters that a token passes through"),
        "N_total": decided(total, "parameters", level, "parameters in all"),
        "gigabytes": decided(gigabytes, "GB", level, f"GB of weights in {query.bits:g} bits"),
        "devices": decided(
            np.ceil(gigabytes * 1e9 / chip.memory), "count", level, f"{chip.name} to hold the weights"
        ),
        "N_equivalent": decided(equivalent, "parameters", level, "parameters of the dense model of equal loss"),
        "factor": decided(equivalent / N, "x", level, "compute per token that routing is worth"),
        "loss_saved": decided(plain - loss, "loss", level, "loss saved against the dense model of N"),
        "N_cutoff": decided(edge, "parameters", level, "N above which experts hurt"),
        "saturation": decided(asked.saturation(experts), "%", level, "share of what endless experts would bring"),
    }
    alone = replace(asked, grounds=first(grounds))
    n, e, saved = of_estimate(N), of_estimate(experts), of_estimate(plain - loss)
    tables = [alone.choices(n, e), alone.sizes(n, e), _routers(n, e)]
    binding = _binding(query, e, bool(pays[0]))
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(query, n, e, of_estimate(equivalent), of_estimate(total), saved, bool(pays[0]), binding),
        decision=decision,
        binding=binding,
        expected={"loss": expected(grounds.laws["loss"], "nats/token", "loss (nats/token)", N=n, experts=e)},
        tables=tables,
        curves=asked.curves(n),
        warnings=_warnings(query, N, pays, of_estimate(edge), e),
        assumptions=_assumptions(grounds, query),
        answered=np.isfinite(loss) & np.isfinite(equivalent),
        at={"loss": {"N": n, "experts": e}},
    )


def _room(query: ExpertsQuery) -> float:
    """Most parameters in all. Raises QueryError for two limits of one kind."""
    if query.total is not None and query.memory is not None:
        raise QueryError(message("total and memory", "one of them: parameters, or GB at so many bits each"))
    room = math.inf
    if query.total is not None:
        room = query.total
    if query.memory is not None:
        room = query.memory * 8e9 / query.bits
    if query.N is not None and room < query.N:
        name = "total" if query.memory is None else "memory"
        raise QueryError(
            message(f"N = {format_short(query.N)} and {name} for {format_short(room)} parameters", "N that fits")
        )
    if query.N is not None and query.experts is not None:
        need = query.N * (1.0 + query.routed * (query.experts - 1))
        if room < need:
            name = "total" if query.memory is None else "memory"
            raise QueryError(
                message(
                    f"N = {format_short(query.N)} with experts = {query.experts} is {format_short(need)} parameters, "
                    f"{name} holds {format_short(room)}",
                    "experts that fit",
                )
            )
    return room


@dataclass(frozen=True, eq=False)
class _Asked:
    """One question; `room`: most parameters in all."""

    grounds: Grounds
    query: ExpertsQuery
    room: float

    def constants(self, *names: str) -> dict[str, Array]:
        """(B,) parameters of the law by name; all of them without names."""
        return {name: self.grounds.param("loss", name) for name in names or self.grounds.law("loss").names}

    def loss(self, N: Array, experts: Array) -> Array:
        """(B,) or (B, k)."""
        N, experts = np.broadcast_arrays(np.asarray(N, dtype=float), np.asarray(experts, dtype=float))
        if N.ndim == 2:
            return self.grounds.values("loss", N=N, experts=experts)
        return self.grounds.values("loss", N=N[:, None], experts=experts[:, None])[:, 0]

    def dense(self, N: Array, experts: Array) -> Array:
        """(B,) or (B, k) parameters of the dense model of equal loss."""
        loss = self.loss(N, experts)
        known = self.constants("a", "b", "c", "d", "E_start")
        shape = (-1, *[1] * (loss.ndim - 1))
        return np.asarray(dense_equivalent(loss, **{name: values.reshape(shape) for name, values in known.items()}))

    def allowed(self, N: Array) -> Array:
        """Most experts at N: the number held, else what memory and the caller leave."""
        if self.query.experts is not None:
            return np.full(np.shape(N), float(self.query.experts))
        return np.maximum(np.floor(self._filling(N) * (1 + 1e-12)), 1.0)

    def _filling(self, N: Array) -> Array:
        most = float(self.query.most_experts if self.query.experts is None else self.query.experts)
        return np.minimum(1.0 + (self.room / N - 1.0) / self.query.routed, most)

    def saturation(self, experts: Array) -> Array:
        """Share of the gain of endless experts, in %: it goes with log H."""
        least, most = self.constants("E_start")["E_start"], self.constants("E_max")["E_max"]
        h = np.log(saturated(experts, least, most) / least)
        return np.asarray(100.0 * h / np.log(most / least))

    def matching(self, dense: float) -> tuple[Array, Array]:
        """(B,) the smallest N whose routed model has the loss of the dense one, and its experts; memory is filled.

        Raises:
            RefusedError: no routed model in that memory has that loss.
        """
        ones, known = np.ones(self.grounds.rows), self.constants()
        goal = self.loss(dense * ones, ones)
        most = float(self.query.most_experts if self.query.experts is None else self.query.experts)
        if math.isinf(self.room):
            N = np.asarray(routed_size(goal, most, **known))
        else:
            # Up to `low` all experts fit and the loss falls in N; beyond it some must go, and it may rise again.
            low = self.room / (1.0 + self.query.routed * (most - 1.0))
            high = low * ones
            if self.query.experts is None and most > 1:
                high = np.maximum(minimise(self._in_memory, 1e-6 * low * ones, self.room * ones).x, low)
            N = np.asarray(root(self._in_memory, 1e-6 * low * ones, high, target=goal).x)
            if math.isfinite(goal[0]) and not math.isfinite(N[0]):
                raise refused(
                    f"No routed model of {format_short(self.room)} parameters in all has the loss of a dense one of "
                    f"{format_short(dense)} ({goal[0]:.4g})",
                    "more memory: routing saves compute, not memory",
                    "raise total or memory",
                )
        experts = np.where(np.isfinite(N), self.allowed(N), np.nan)
        N = np.asarray(routed_size(goal, experts, **known))  # of a whole number of experts
        worse = ~(dense > N) & np.isfinite(N)
        return np.where(worse, dense, N), np.where(worse, 1.0, experts)

    def _in_memory(self, N: Array) -> Array:
        """Loss where the memory that N leaves is filled with experts, in fractions: (B, k)."""
        return self.loss(N, self._filling(N))

    def choices(self, N: float, experts: float) -> Table:
        """Numbers of experts for this N."""
        some = sorted({2.0**i for i in range(10)} | {experts})
        lines: list[Row] = []
        for e in some:
            one, number = np.array([N]), np.array([e])
            size = N * (1.0 + self.query.routed * (e - 1.0))
            equal = float(self.dense(one, number)[0])
            fits = "yes" if size <= self.room * (1 + 1e-12) else "no"
            loss, gigabytes = float(self.loss(one, number)[0]), size * self.query.bits / 8e9
            lines.append((e, loss, equal, equal / N, size, gigabytes, fits))
        return Table(
            "alternatives",
            f"Experts for {format_short(N)} parameters per token",
            (
                ("experts", "count"), ("loss", "loss"), ("dense N", "parameters"), ("worth", "x"),
                ("N total", "parameters"), ("GB", ""), ("fits", ""),
            ),
            tuple(lines),
        )  # fmt: skip

    def sizes(self, N: float, experts: float) -> Table:
        """The same number of experts at other sizes: how the gain fades."""
        lines: list[Row] = []
        for factor in (0.1, 0.5, 1.0, 2.0, 10.0, 100.0):
            one, number = np.array([N * factor]), np.array([experts])
            equal = float(self.dense(one, number)[0])
            lines.append((factor, N * factor, float(self.loss(one, number)[0]), equal, equal / (N * factor)))
        return Table(
            "sensitivity",
            f"{experts:,.0f} experts at other sizes",
            (("N / plan", "x"), ("N", "parameters"), ("loss", "loss"), ("dense N", "parameters"), ("worth", "x")),
            tuple(lines),
        )

    def curves(self, N: float) -> Frozen[str, Frozen[str, Array]]:
        """What experts are worth: against their number at N, and against N for three numbers."""
        number, sizes = np.geomspace(1.0, 1024.0, 41), N * np.geomspace(1e-2, 1e3, 41)
        worth = self.dense(np.full((self.grounds.rows, 1), N), number)
        alone = replace(self, grounds=first(self.grounds))
        across = {
            f"{e} experts": alone.dense(sizes[None, :], np.array(float(e)))[0] / sizes for e in (8, 64, LARGEST)
        }
        return Frozen(
            {
                "experts": banded({"experts": number}, "dense N", worth, self.grounds.level),
                "worth": Frozen({"N": sizes, **across}),
            }
        )


def _routers(N: float, experts: float) -> Table:
    """What the other routers' constants say, refitted and as printed."""
    law = find("routing")
    lines: list[Row] = []
    for router in ROUTERS:
        for source in (f"clark2022-{router}-refit", f"clark2022-{router}"):
            p = law.constants(source)
            loss = float(law(p, N=N, experts=experts))
            some = {name: p[name] for name in ("a", "b", "c", "d", "E_start")}
            equal = float(dense_equivalent(loss, **some))
            lines.append((source, loss, equal, equal / N, float(cutoff(p["b"], p["c"]))))
    return Table(
        "routers",
        "The same model by the constants of each router",
        (("constants", ""), ("loss", "loss"), ("dense N", "parameters"), ("worth", "x"), ("N cutoff", "parameters")),
        tuple(lines),
        "As printed, c has one or two digits: it moves the cutoff by several times. Predict from the refits.",
    )


# --------------------------------------------------------------------------------------------------- what to say


def _headline(
    query: ExpertsQuery,
    N: float,
    experts: float,
    equal: float,
    total: float,
    saved: float,
    pays: bool,
    binding: str,
) -> str:
    if experts == 1:
        size = f"{format_short(N)} parameters per token"
        if not pays:
            return f"Do not route: at {size} more experts than one do not help."
        return f"One expert, which is a dense model: {binding} leaves no more to {size}."
    memory = show(total * query.bits / 8e9, "GB")
    change = f"{abs(saved):.3g} {'below' if saved > 0 else 'above'}"
    if query.dense is not None:
        return (
            f"{experts:,.0f} experts for {format_short(N)} parameters per token match a dense model of "
            f"{format_short(query.dense)} at {show(100 * N / equal, '%')} of its compute; {format_short(total)} "
            f"parameters in all, {memory}."
        )
    return (
        f"{experts:,.0f} experts for {format_short(N)} parameters per token: worth a dense model of "
        f"{format_short(equal)} ({show(equal / N, 'x')} the compute), {format_short(total)} parameters in all, "
        f"{memory}; loss {change} that of the dense {format_short(N)}."
    )


def _binding(query: ExpertsQuery, experts: float, pays: bool) -> str:
    if query.experts == experts:
        return f"experts = {query.experts}"
    if not pays:
        return "N_cutoff: above it experts do not help"
    if experts < query.most_experts:
        return f"memory = {query.memory:g} GB" if query.memory else f"total = {format_short(query.total or 0.0)}"
    return f"most_experts = {query.most_experts}" + (
        ", the largest number that was trained" if query.most_experts == LARGEST else ""
    )


def _warnings(query: ExpertsQuery, N: Array, pays: Any, edge: float, experts: float) -> list[Finding]:
    found: list[Finding] = []
    if not pays[0]:
        found.append(
            Finding(
                "above-cutoff",
                "red" if query.experts not in (None, 1) else "amber",
                f"N = {format_short(float(N[0]))} lies above {format_short(edge)}, where the law says that experts "
                "stop helping.",
                "That edge is an extrapolation from 1.3B parameters and one number of tokens.",
            )
        )
    share = float(np.mean(pays[1:])) if len(pays) > 1 else float(pays[0])
    if pays[0] and share < 0.95:
        found.append(
            Finding(
                "cutoff-unsure",
                "amber",
                f"{100 * (1 - share):.0f} % of the parameter draws put the size above which experts hurt below N.",
            )
        )
    if experts > LARGEST:
        found.append(
            Finding(
                "many-experts",
                "amber",
                f"No model with more than {LARGEST} experts was trained: {experts:,.0f} asked.",
            )
        )
    return found


def _assumptions(grounds: Grounds, query: ExpertsQuery) -> list[str]:
    said = [
        "One expert per token in every second layer, as in the runs: the compute per token is that of the dense N.",
        f"Each further expert adds {query.routed:g} of the dense model's parameters.",
        "All runs were trained alike for 250,000 steps: the law has no term for data, and knows no longer training.",
        "Balanced experts and the price of moving tokens between devices are not counted.",
    ]
    if grounds.defaulted.get("loss", "").endswith("refit"):
        said.append("The constants are our refit of the released S-Base runs; the printed ones are rounded too far.")
    return said


planner = Planner(
    id="experts",
    question="How many experts should a routed model have, and what are they worth?",
    query=ExpertsQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "loss from parameters per token and experts",
            laws=("routing",),
            default="routing:clark2022-s-base-refit",
        ),
    ),
    papers=("clark2022",),
    example=Frozen({"N": "1B", "memory": 80}),
)

# SPDX-License-Identifier: Apache-2.0
"""What is the least compute for a target loss, and which model and how much data does it take?

The compute-optimal frontier inverted; or, with the size, the tokens or their ratio held, the one number that is left.
Draws that can never reach the target (their floor lies above it) count as infinite: they stay in the intervals.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import ForescaleError, QueryError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import Compute, format_short, parse_loss
from forescale.fitting._fit import Finding
from forescale.numerics.optimum import Where, root
from forescale.planning import _curves, _evidence, _money
from forescale.planning._frontier import COUNTS, WINDOW, at, frontier, of_law, reaching, rows, searched
from forescale.planning._intervals import decided, expected, interval, of_estimate
from forescale.planning._plan import Basis, Decided, Plan, Planner, Table
from forescale.planning._quantities import LossText, ParamsText, RateText, TokensText
from forescale.planning._show import show

Array = NDArray[np.float64]

_LEAST, _MOST = 1e6, 1e40  # FLOP


class ReachQuery(BaseModel):
    """A loss to reach, and what is held."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    target: LossText = Field(description="loss to reach, e.g. 2.1, or '2.1 nats/token' in the unit of the fit")
    params: ParamsText | None = Field(None, description="hold the model size, e.g. 8B")
    tokens: TokensText | None = Field(None, description="hold the tokens, e.g. 1.4T")
    ratio: float | None = Field(None, gt=0, description="hold the tokens per parameter, e.g. 20")
    device: str | None = Field(None, description="device to give hours for, e.g. H100")
    rate: RateText | None = Field(None, description="price of device time, e.g. $2.10/H100-hour")
    mfu: float | None = Field(None, gt=0, le=1, description="model FLOP utilisation of the devices, e.g. 0.4")
    least_ratio: float = Field(WINDOW[0], gt=0, description="fewest tokens per parameter that a search looks at")
    most_ratio: float = Field(WINDOW[1], gt=0, description="most tokens per parameter that a search looks at")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(basis: Basis, query: ReachQuery) -> Plan:
    """The least compute that reaches a loss.

    Raises:
        QueryError: more than one of params, tokens and ratio.
        ConventionError: a target in another unit than the fit's loss.
        RefusedError: the target lies below what the fit can reach, or the law has no optimum to rest on.
    """
    surface, level = basis.surface, basis.level
    unit, _ = _evidence.stated(surface.conventions, "loss", "loss")
    target = parse_loss(query.target, surface.conventions.get("loss"))
    held = {k: v for k, v in (("params", query.params), ("tokens", query.tokens), ("ratio", query.ratio)) if v}
    if len(held) > 1:
        raise QueryError(
            message(
                f"{' and '.join(held)} are all held",
                "at most one of them: with the target it fixes the others",
                f"leave out {list(held)[-1]}",
            )
        )
    if len(surface.law.inputs) == 1:
        return _one_variable(basis, query, target, unit)
    window = searched(query.least_ratio, query.most_ratio)
    N, D, binding = reaching(surface, target, held, window)
    C = 6.0 * N * D
    reached = np.isfinite(C)
    if not reached[0]:
        raise _unreachable(basis, target, held, unit, C, window)
    share = float(np.mean(reached[1:])) if len(C) > 1 else 1.0

    counted, owed = _evidence.stated(surface.conventions, "N", "total")
    data_unit, _ = _evidence.stated(surface.conventions, "D", "tokens")
    per = f"{data_unit}/parameter"
    c, n, d = of_estimate(C), of_estimate(N), of_estimate(D)
    ratio = np.where(reached, D / np.where(reached, N, 1.0), np.nan)
    decision: dict[str, Decided] = {
        "C": decided(C, "FLOP", level, "compute C (6ND)"),
        "N": decided(N, "parameters", level, f"parameters N ({counted})"),
        "D": decided(D, data_unit, level, f"{data_unit} D"),
        "D/N": decided(ratio, per, level, f"{data_unit} per parameter"),
    }
    spend = _money.budget(basis, Compute(c), query.mfu)
    decision.update(_money.decisions(basis, spend, query.device, query.rate, query.mfu))
    evidence = _evidence.evidence(basis, c, share)
    warnings = [
        *_evidence.fit_findings(basis),
        *_evidence.distance_findings(basis, c, N=n, D=d),
        *_evidence.repetition_findings(basis, d, data_unit),
        *_never(share, target),
        *_near_floor(basis, target),
    ]
    return Plan(
        question="reach",
        headline=(
            f"A loss of {_loss(target)}{_evidence.named(unit)} takes {format_short(c, 'flop')}: "
            f"{format_short(n, 'parameters')} parameters on {format_short(d)} {data_unit} "
            f"({show(d / n, per)} per parameter)." + _evidence.caution(warnings)
        ),
        decision=decision,
        expected={
            "loss": expected(basis, unit, _evidence.labelled("loss of that run", unit), **of_law(surface, n, d))
        },
        tables=(
            *_ladder(basis, target, held, window),
            *_routes(basis, target, held, N, C, data_unit),
        ),
        binding=binding,
        evidence=evidence,
        warnings=tuple(warnings),
        assumptions=(
            "Compute is C = 6ND with the N of the fit; schedules end at the horizon of the run.",
            *(text for text in (owed, _evidence.other_compute(basis), *spend.assumptions) if text),
        ),
        citations=_evidence.citations(basis, planner.papers),
        curves=_curves.both(basis, c, N, window) if not held else Frozen(),
        level=level,
        query=query.model_dump(mode="json", exclude_none=True),
    )


# ------------------------------------------------------------------------------------------------------- solutions


def _loss(value: float) -> str:
    return show(value, "loss")


def _floor(basis: Basis) -> Array | None:
    """(B,) the floor of the law, None when it has no parameter for it."""
    name = basis.surface.law.floor
    return None if name is None or name not in basis.surface.params else basis.surface.params[name][:, 0]


def _lowest(basis: Basis, held: dict[str, float], window: tuple[float, float]) -> Array:
    """(B,) loss that can be approached but not passed: the floor, or the limit with what is held."""
    surface = basis.surface
    if not held:
        floor = _floor(basis)
        return frontier(surface, [_MOST], window=window).loss[:, 0] if floor is None else floor
    most = np.full((rows(surface), 1), COUNTS[1])
    name, value = next(iter(held.items()))
    if name == "params":
        return at(surface, np.full_like(most, value), most)[:, 0]
    if name == "tokens":
        return at(surface, most, np.full_like(most, value))[:, 0]
    return at(surface, most, value * most)[:, 0]


def _unreachable(
    basis: Basis, target: float, held: dict[str, float], unit: str, C: Array, window: tuple[float, float]
) -> ForescaleError:
    floor = _lowest(basis, held, window)
    best, ends = of_estimate(floor), interval(floor, basis.level)
    first = frontier(basis.surface, [_LEAST], window=window).loss[0, 0] if not held else math.nan
    if best < target and (held or first < target):
        return _too_easy(basis, target)
    if not math.isfinite(best) or best < target:
        return RefusedError(
            message(
                f"The law {basis.surface.law.id!r} has no compute-optimal size on the way to a loss of {target:g}",
                "a frontier that passes the target",
                "hold the tokens per parameter, e.g. ratio=20",
            )
        )
    between = "" if ends is None else f" ({100 * basis.level:g} % {_loss(ends[0])}-{_loss(ends[1])})"
    if held:
        name, value = next(iter(held.items()))
        return RefusedError(
            message(
                f"The target {_loss(target)} lies below {_loss(best)}{between}, the least loss with {name} = "
                f"{format_short(value)} and everything else without end",
                f"a target above {_loss(best)}{_evidence.named(unit)}",
                f"leave {name} free, or choose a larger one",
            )
        )
    able = float(np.mean(np.isfinite(C[1:]))) if len(C) > 1 else 0.0
    hope = f"; {100 * able:.2g} % of the draws could reach it" if able > 0 else ""
    return RefusedError(
        message(
            f"The target {_loss(target)} lies below the fitted floor {_loss(best)}{between}{hope}: no compute "
            "reaches it",
            f"a target above {_loss(best)}{_evidence.named(unit)}",
            "a higher target, better data (a floor belongs to its data and tokenizer), or larger runs that pin the "
            "floor down; check that target and fit use the same loss unit",
        )
    )


def _too_easy(basis: Basis, target: float) -> ForescaleError:
    return RefusedError(
        message(
            f"A loss of {_loss(target)} is no target: the law {basis.surface.law.id!r} gives less to any run at all",
            "a target between the floor and the losses of the runs",
            "check that target and fit use the same loss unit",
        )
    )


def _one_variable(basis: Basis, query: ReachQuery, target: float, unit: str) -> Plan:
    """The least value of the one input of a law that reaches the target."""
    surface, level = basis.surface, basis.level
    name = surface.law.inputs[0]
    held = [k for k in ("params", "tokens", "ratio") if getattr(query, k) is not None]
    if held:
        raise QueryError(
            message(f"{held[0]} is held, but the law {surface.law.id!r} knows {name} only", "a law in N and D")
        )
    wide = np.ones(rows(surface))
    found = root(lambda x: surface.loss(**{name: x}), 1e-3 * wide, _MOST * wide, target=target)
    x = np.where(found.found, found.x, np.where(found.where == Where.UPPER, np.inf, np.nan))
    if not math.isfinite(x[0]):
        if found.where[0] == Where.LOWER:
            raise _too_easy(basis, target)
        floor = _floor(basis)
        if floor is None:
            floor = surface.loss(**{name: np.full((rows(surface), 1), _MOST)})[:, 0]
        ends = interval(floor, level)
        between = "" if ends is None else f" ({100 * level:g} % {_loss(ends[0])}-{_loss(ends[1])})"
        raise RefusedError(
            message(
                f"The target {_loss(target)} lies below the fitted floor {_loss(of_estimate(floor))}{between}: no "
                f"{name} reaches it",
                f"a target above {_loss(of_estimate(floor))}{_evidence.named(unit)}",
                "a higher target, or larger runs that pin the floor down",
            )
        )
    share = float(np.mean(np.isfinite(x[1:]))) if len(x) > 1 else 1.0
    units = {"C": "FLOP", "N": "parameters", "D": "tokens"}
    value = of_estimate(x)
    asked = value if name == "C" else math.nan
    warnings = (
        *_evidence.fit_findings(basis),
        *_evidence.distance_findings(basis, asked, **({} if name == "C" else {name: value})),
        *_never(share, target),
        *_near_floor(basis, target),
    )
    return Plan(
        question="reach",
        headline=(
            f"A loss of {_loss(target)}{_evidence.named(unit)} takes {name} = {show(value, units.get(name, ''))}."
            + _evidence.caution(warnings)
        ),
        decision={name: decided(x, units.get(name, ""), level, name)},
        expected={"loss": expected(basis, unit, _evidence.labelled("loss", unit), **{name: value})},
        tables=(),
        binding="the target loss",
        evidence=_evidence.evidence(basis, asked, share),
        warnings=warnings,
        assumptions=(f"The law knows {name} only: everything else stays as it was in the runs.",),
        citations=_evidence.citations(basis, planner.papers),
        level=level,
        query=query.model_dump(mode="json", exclude_none=True),
    )


# ------------------------------------------------------------------------------------------------------- the tables


def _ladder(basis: Basis, target: float, held: dict[str, float], window: tuple[float, float]) -> list[Table]:
    """What a slightly different target costs: the floor makes the last hundredths dear."""
    lines: list[tuple[float | str | None, ...]] = []
    base = None
    for change in (0.0, 0.02, 0.01, 0.005, -0.005, -0.01, -0.02):
        N, D, _ = reaching(basis.surface, target * (1 + change), held, window)
        C = 6.0 * N * D
        base = of_estimate(C) if base is None else base
        ends = interval(C, basis.level) or (None, None)
        c = of_estimate(C)
        n = of_estimate(N) if math.isfinite(c) else math.nan
        lines.append((target * (1 + change), c, *ends, c / base, n))
    lines.sort(key=lambda line: -float(line[0] or 0.0))
    return [
        Table(
            "sensitivity",
            "What a slightly different target takes",
            (
                ("loss", "loss"),
                ("C", "FLOP"),
                ("from", "FLOP"),
                ("to", "FLOP"),
                ("C / C here", "x"),
                ("N", "parameters"),
            ),
            tuple(lines),
        )
    ]


def _routes(basis: Basis, target: float, held: dict[str, float], N: Array, C: Array, data_unit: str) -> list[Table]:
    """The same loss with smaller models on more data, and the reverse."""
    if held:
        return []
    lines: list[tuple[float | str | None, ...]] = []
    for factor in (0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0):
        size = np.where(np.isfinite(N), N, np.nan) * factor
        wide = np.ones_like(size)
        found = root(
            lambda x, size=size: at(basis.surface, np.broadcast_to(size[:, None], x.shape), x),  # type: ignore[misc]
            COUNTS[0] * wide,
            COUNTS[1] * wide,
            target=target,
        )
        n = of_estimate(size)
        if not found.found[0]:
            lines.append((factor, n, math.inf, None, math.inf, math.inf))
            continue
        d = float(found.x[0])
        extra = 0.0 if factor == 1.0 else 100.0 * (6.0 * n * d / of_estimate(C) - 1.0)
        lines.append((factor, n, d, d / n, 6.0 * n * d, extra))
    return [
        Table(
            "alternatives",
            "The same loss with other sizes",
            (
                ("N / plan", "x"), ("N", "parameters"), ("D", data_unit), ("D/N", f"{data_unit}/parameter"),
                ("C", "FLOP"), ("extra compute", "%"),
            ),
            tuple(lines),
            "A smaller model costs less to serve, and more to train.",
        )
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ what must be said


def _never(share: float, target: float) -> list[Finding]:
    if share >= _evidence.FEW_ANSWERS:
        return []
    return [
        Finding(
            "draws-never-reach",
            "amber",
            f"{100 * (1 - share):.3g} % of the parameter draws never reach {_loss(target)}: their floor lies above "
            "it. Upper ends of the intervals may be unbounded.",
            "Larger runs pin the floor down; plan with a target further above it.",
        )
    ]


def _near_floor(basis: Basis, target: float) -> list[Finding]:
    floors = _floor(basis)
    floor = math.nan if floors is None else of_estimate(floors)
    if not floor < target < 1.05 * floor:
        return []
    return [
        Finding(
            "near-floor",
            "amber",
            f"The target is {100 * (target / floor - 1):.2g} % above the fitted floor {_loss(floor)}, where compute "
            "depends on the floor more than on anything measured.",
            "Read the interval, not the estimate.",
        )
    ]


planner = Planner(
    id="reach",
    question="What is the least compute for this loss?",
    query=ReachQuery,
    answer=answer,
    asks="reach",
    papers=("hoffmann2022",),
    example=Frozen({"target": 2.1}),
)

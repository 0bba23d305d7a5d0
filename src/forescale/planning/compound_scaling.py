# SPDX-License-Identifier: Apache-2.0
"""How should the depth, width and resolution of an image model grow with its FLOP?

Published ways: compound scaling (Tan and Le 2019, EfficientNet); fast scaling, which spends most on width because
time follows activations (Dollar et al. 2021); ResNet-RS (Bello et al. 2021), which scales depth where training is
long, width where it is short, and the resolution more slowly. Where that switch lies is a matter of the recipe: a
sweep of both arms at several numbers of epochs decides it, where one is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.costs.convnet import EFFICIENTNET, FAST, Factors, Scaling, compound, factors, fast, per_phi
from forescale.fitting._fit import Finding
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]
Way = Literal["fast", "compound", "uniform", "resnet-rs", "depth", "width", "resolution"]

SHORT, LONG = 10.0, 350.0
"""Epochs at which Bello et al. found width, and depth, the better arm; in between it is open."""

SLOW = 2.0 * math.log(320 / 160) / math.log(420 / 50 * (320 / 160) ** 2)
"""Share of the FLOP that the resolution takes in ResNet-RS: 50 layers at 160 pixels to 420 at 320, width fixed."""


class CompoundScalingQuery(BaseModel):
    """A model, and how much larger it is to be."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    scale: float | None = Field(None, gt=0, le=1e9, description="FLOP of the new model over those of the old, e.g. 4")
    phi: float | None = Field(
        None, ge=-30, le=30, description="the same as EfficientNet's coefficient, 1.92^phi, e.g. 3"
    )
    way: Way | None = Field(
        None,
        description="how to scale: fast, compound, uniform, resnet-rs, depth, width or resolution "
        "(default: fast, or resnet-rs where epochs are given)",
    )
    share: float = Field(
        FAST, ge=0, le=1, description="share of the FLOP that goes to width in the way 'fast', e.g. 0.8"
    )
    epochs: float | None = Field(None, gt=0, description="passes over the data in training, e.g. 350")
    depth: int = Field(50, ge=1, description="layers of the old model, e.g. 50")
    width: int = Field(64, ge=1, description="channels of the old model, e.g. 64")
    resolution: int = Field(224, ge=1, description="image side of the old model in pixels, e.g. 224")
    acts: float | None = Field(None, gt=0, description="activations of the old model per image, e.g. 1.1e7")
    seconds: float | None = Field(None, gt=0, description="time of the old model per step or image, e.g. 0.07")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: CompoundScalingQuery) -> Plan:
    """The plan of a larger image model.

    Raises:
        QueryError: neither or both of scale and phi, a share for a way that has none, a law of time without
            activations, a model too small for whole layers and channels.
        DataError: a sweep that does not hold both arms, or numbers in it that are not positive.
        RefusedError: constants without an answer.
    """
    scale = _scale(query)
    sweep = _sweep(grounds.tables["arms"]) if grounds.has("arms") else None
    arm = _arm(query, sweep)
    way = query.way or ("resnet-rs" if query.epochs is not None else "fast")
    if "share" in query.model_fields_set and way != "fast":
        raise QueryError(message(f"share = {query.share:g} with way = {way!r}", "way = 'fast', which alone has one"))
    if way == "resnet-rs" and arm is None:
        raise QueryError(
            message("way = 'resnet-rs' without epochs", "epochs: depth for long training, width for short")
        )
    ways = _ways(query.share, arm)
    new = _rounded(query, factors(ways[way], scale))
    if abs(math.log(new.flop / scale)) > math.log(2.0):
        raise QueryError(
            message(
                f"scale = {scale:.3g} of {query.depth} layers, {query.width} channels and {query.resolution} pixels: "
                f"whole ones have {new.flop:.3g} times the FLOP",
                "a scale that whole layers, channels and pixels can follow",
            )
        )
    level = grounds.level
    decision: dict[str, Decided] = {
        "depth": Decided(round(query.depth * new.depth), None, None, "count", "layers"),
        "width": Decided(round(query.width * new.width), None, None, "count", "channels"),
        "resolution": Decided(round(query.resolution * new.resolution), None, None, "count", "pixels"),
        "flop": Decided(new.flop, None, None, "x", "FLOP, after rounding"),
        "parameters": Decided(new.parameters, None, None, "x", "parameters"),
        "activations": Decided(new.activations, None, None, "x", "activations"),
    }
    slower = _slower(grounds, query, new)
    decision["time"] = decided(
        slower, "x", level, "time, as activations" + (" by the fit" if grounds.has("time") else "")
    )
    whole = np.isfinite(slower)
    if query.seconds is not None:
        decision["seconds"] = decided(query.seconds * slower, "s", level, "time of the new model")
    if grounds.has("error"):
        before, after = _errors(grounds, query, slower)
        whole &= np.isfinite(after)
        decision["error"] = decided(100.0 * after, "%", level, "error that its time gives it in the family")
        decision["error_now"] = decided(100.0 * before, "%", level, "error of the old model, by the same")
    if not whole[0]:
        raise refused("the time or the error of the new model is not finite", "finite constants")
    tables = [_alternatives(grounds, query, ways, scale, way), _sensitivity(scale)]
    if sweep is not None:
        tables.append(_arms(sweep))
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(query, way, arm, decision, new),
        decision=decision,
        binding=f"scale = {scale:.4g}" if query.phi is None else f"phi = {query.phi:g}",
        tables=tables,
        curves=_curves(ways, scale),
        warnings=_warnings(query, scale, new, way, sweep),
        assumptions=_assumptions(grounds, way),
        answered=whole,
        at={
            "time": {} if query.acts is None else {"acts": query.acts * new.activations},
            "error": {} if query.seconds is None else {"seconds": query.seconds * of_estimate(slower)},
        },
    )


def _scale(query: CompoundScalingQuery) -> float:
    if (query.scale is None) == (query.phi is None):
        raise QueryError(
            message("scale and phi", "one of them: FLOP of the new model over the old, or a coefficient")
        )
    return query.scale if query.scale is not None else per_phi(*EFFICIENTNET) ** (query.phi or 0.0)


def _ways(share: float, arm: str | None) -> Mapping[str, Scaling]:
    """All ways of scaling; ResNet-RS where an arm is known."""
    known = {
        "fast": fast(share),
        "compound": compound(*EFFICIENTNET),
        "uniform": Scaling(1 / 3, 1 / 3, 1 / 3),
        "depth": Scaling(1.0, 0.0, 0.0),
        "width": Scaling(0.0, 1.0, 0.0),
        "resolution": Scaling(0.0, 0.0, 1.0),
    }
    if arm == "depth":
        known["resnet-rs"] = Scaling(1.0 - SLOW, 0.0, SLOW)
    elif arm == "width":
        known["resnet-rs"] = Scaling(0.0, 1.0 - SLOW, SLOW)
    return known


def _rounded(query: CompoundScalingQuery, exact: Factors) -> Factors:
    """Whole layers, channels in multiples of 8, pixels in multiples of 4, never below what is one of them."""
    depth = max(round(query.depth * exact.depth), 1)
    width = _multiple(query.width, exact.width, 8)
    resolution = _multiple(query.resolution, exact.resolution, 4)
    return Factors(depth / query.depth, width / query.width, resolution / query.resolution)


def _multiple(old: int, by: float, step: int) -> float:
    return float(old) if by == 1.0 else float(max(round(old * by / step), 1) * step)


# ----------------------------------------------------------------------------------------------- time and error


def _slower(grounds: Grounds, query: CompoundScalingQuery, new: Factors) -> Array:
    """(B,) time of the new model over that of the old: by the law of time, else in proportion to activations."""
    if not grounds.has("time"):
        return np.full(grounds.rows, new.activations)
    if query.acts is None:
        raise QueryError(
            message("a law of time without acts", "activations of the old model per image", "acts=1.1e7")
        )
    both = grounds.values("time", acts=np.array([query.acts, query.acts * new.activations]))
    return both[:, 1] / both[:, 0]


def _errors(grounds: Grounds, query: CompoundScalingQuery, slower: Array) -> tuple[Array, Array]:
    """(B,) error of a model of the family at the old time and at the new."""
    if query.seconds is None:
        raise QueryError(message("a law of error without seconds", "the time of the old model", "seconds=0.07"))
    times = query.seconds * np.stack([np.ones_like(slower), slower], axis=1)
    found = grounds.values("error", seconds=times)
    return found[:, 0], found[:, 1]


# ------------------------------------------------------------------------------------------------- depth or width


@dataclass(frozen=True, eq=False)
class _Sweep:
    """Both arms at several numbers of epochs: log loss of the depth arm minus that of the width arm, (k,)."""

    epochs: Array
    gap: Array

    def at(self, epochs: float) -> float:
        """The gap at other epochs: a line between neighbours in log epochs, constant beyond the ends."""
        return float(np.interp(math.log(epochs), np.log(self.epochs), self.gap))


def _sweep(table: Runs) -> _Sweep:
    """Compare the arms at equal compute, epochs by epochs. Raises DataError where one is missing."""
    epochs, C, loss, arms = table["epochs"], table["C"], table["loss"], table.labels["group"]
    for name, values in (("epochs", epochs), ("C", C), ("loss", loss)):
        if not (np.isfinite(values) & (values > 0)).all():
            raise DataError(message(f"a sweep whose {name} is not positive everywhere", "positive numbers"))
    if not {"depth", "width"} <= set(arms.tolist()):
        raise DataError(message("a sweep whose group is " + ", ".join(sorted(set(arms.tolist()))), "depth and width"))
    some: list[float] = []
    gaps: list[float] = []
    for one in np.unique(epochs):
        rows = {arm: np.flatnonzero((epochs == one) & (arms == arm)) for arm in ("depth", "width")}
        if min(len(r) for r in rows.values()) == 0:
            continue
        spans = [(C[r].min(), C[r].max()) for r in rows.values()]
        low, high = max(a for a, _ in spans), min(b for _, b in spans)
        if low > high:
            continue
        grid = np.linspace(math.log(low), math.log(high), 33)
        lines = [
            np.interp(grid, np.log(C[r][o]), np.log(loss[r][o])) for r in rows.values() for o in [np.argsort(C[r])]
        ]
        some.append(float(one))
        gaps.append(float(np.mean(lines[0] - lines[1])))
    if not some:
        raise DataError(message("no epochs at which both arms spend the same compute", "arms that overlap in C"))
    return _Sweep(np.array(some), np.array(gaps))


def _arm(query: CompoundScalingQuery, sweep: _Sweep | None) -> str | None:
    """The arm for these epochs: by the sweep, else by the published ends; None without epochs."""
    if query.epochs is None:
        return None
    if sweep is not None:
        return "depth" if sweep.at(query.epochs) <= 0 else "width"
    return "depth" if math.log(query.epochs) >= 0.5 * math.log(SHORT * LONG) else "width"


def _arms(sweep: _Sweep) -> Table:
    lines: list[Row] = [
        (epochs, 100.0 * math.expm1(gap), "depth" if gap <= 0 else "width")
        for epochs, gap in zip(sweep.epochs.tolist(), sweep.gap.tolist())
    ]
    return Table(
        "arms",
        "Scaling depth against scaling width, at equal compute",
        (("epochs", "count"), ("depth over width", "%"), ("better", "")),
        tuple(lines),
        "depth over width: loss of the depth arm above that of the width arm.",
    )


# -------------------------------------------------------------------------------------------------------- tables


def _alternatives(
    grounds: Grounds, query: CompoundScalingQuery, ways: Mapping[str, Scaling], scale: float, chosen: str
) -> Table:
    lines: list[Row] = []
    for name, scaling in ways.items():
        exact = factors(scaling, scale)
        time = of_estimate(_slower(grounds, query, exact))
        mark = f"{name} (this plan)" if name == chosen else name
        lines.append((mark, exact.depth, exact.width, exact.resolution, exact.parameters, exact.activations, time))
    return Table(
        "alternatives",
        f"Ways to {scale:.3g} times the FLOP, before rounding",
        (
            ("way", ""), ("depth", "x"), ("width", "x"), ("resolution", "x"), ("parameters", "x"),
            ("activations", "x"), ("time", "x"),
        ),
        tuple(lines),
    )  # fmt: skip


def _sensitivity(scale: float) -> Table:
    """What the share of the width does to parameters and activations."""
    lines: list[Row] = []
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        found = factors(fast(share), scale)
        lines.append((share, found.depth, found.width, found.resolution, found.parameters, found.activations))
    return Table(
        "sensitivity",
        "Other shares of the FLOP for width",
        (
            ("share", ""), ("depth", "x"), ("width", "x"), ("resolution", "x"), ("parameters", "x"),
            ("activations", "x"),
        ),
        tuple(lines),
    )  # fmt: skip


def _curves(ways: Mapping[str, Scaling], scale: float) -> Frozen[str, Frozen[str, Array]]:
    """Activations of each way against the FLOP; depth and resolution take as many."""
    grid = np.geomspace(1.0, max(scale, 2.0) ** 2, 33)
    lines = {
        name: np.array([factors(way, float(s)).activations for s in grid])
        for name, way in ways.items()
        if name != "resolution"
    }
    lines["depth, resolution"] = lines.pop("depth")
    return Frozen({"activations": Frozen({"scale": grid, **lines})})


# --------------------------------------------------------------------------------------------------- what to say


def _headline(
    query: CompoundScalingQuery, way: str, arm: str | None, decision: Mapping[str, Decided], new: Factors
) -> str:
    size = " and ".join(
        [f"{decision['depth'].value:,.0f} layers of {decision['width'].value:,.0f} channels",
         f"{decision['resolution'].value:,.0f} pixels"]
    )  # fmt: skip
    reason = f": scale {arm} at {query.epochs:g} epochs" if way == "resnet-rs" else ""
    return (
        f"{size} ({way}{reason}): {show(new.flop, 'x')} the FLOP, {show(new.parameters, 'x')} the parameters, "
        f"{show(new.activations, 'x')} the activations, {show(decision['time'].value, 'x')} the time."
    )


def _warnings(
    query: CompoundScalingQuery, scale: float, new: Factors, way: str, sweep: _Sweep | None
) -> list[Finding]:
    found: list[Finding] = []
    if abs(math.log(new.flop / scale)) > 0.1:
        found.append(
            Finding(
                "rounding",
                "amber",
                f"Whole layers, channels and pixels make {new.flop:.3g} times the FLOP of the {scale:.3g} asked for.",
            )
        )
    if way != "resnet-rs" or query.epochs is None:
        return found
    if sweep is None and SHORT < query.epochs < LONG:
        found.append(
            Finding(
                "switch",
                "amber",
                f"Depth was better at {LONG:g} epochs and width at {SHORT:g}; at {query.epochs:g} it is open.",
                "Sweep both arms at two numbers of epochs and give the table (epochs, C, loss, group).",
            )
        )
    if sweep is not None and not sweep.epochs[0] <= query.epochs <= sweep.epochs[-1]:
        found.append(
            Finding(
                "outside-sweep",
                "amber",
                f"{query.epochs:g} epochs lie outside the sweep ({sweep.epochs[0]:g} to {sweep.epochs[-1]:g}).",
            )
        )
    return found


def _assumptions(grounds: Grounds, way: str) -> list[str]:
    said = [
        "FLOP go as depth width^2 resolution^2, activations as depth width resolution^2: not so with grouped or "
        "depthwise convolutions.",
        "Layers are whole, channels multiples of 8, pixels multiples of 4.",
    ]
    if not grounds.has("time"):
        said.append(
            "Time is taken to follow activations, as on accelerators; a fit of times (runtime-power) says it."
        )
    if way == "resnet-rs" and not grounds.has("arms"):
        said.append(
            f"Depth for long training, width for short (Bello et al.: {LONG:g} and {SHORT:g} epochs); the switch "
            "between them is taken halfway in log epochs, and is a matter of the recipe."
        )
    return said


planner = Planner(
    id="compound-scaling",
    question="How should depth, width and resolution of an image model grow with its FLOP?",
    query=CompoundScalingQuery,
    answer=answer,
    parts=(
        Part("time", "time of a model from its activations", inputs=("acts",), output="seconds", optional=True),
        Part("error", "error of the models of a family from their time", inputs=("seconds",), optional=True),
        Part(
            "arms",
            "a sweep that scales depth (group depth) and width (group width) at several numbers of epochs",
            columns=("epochs", "C", "loss", "group"),
            optional=True,
        ),
    ),
    papers=("dollar2021", "tan2019", "bello2021"),
    example=Frozen({"scale": 4, "acts": 1.1e7, "seconds": 0.07}),
)

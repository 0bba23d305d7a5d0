# SPDX-License-Identifier: Apache-2.0
"""Parallel streams, or more parameters?

P streams of one model are worth 1 + k ln P times its parameters (Chen et al. 2025, ParScale). They share the weights,
so memory hardly grows, and while decoding is bound by reading the weights, time hardly does; compute grows as P. What
that costs is counted by the roofline of `costs.serving`, beside the single model of equal loss. Asked for a size, the
answer is the largest P that the limits leave; asked for a single model to be matched, the fewest streams that fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.costs import serving
from forescale.costs.hardware import device
from forescale.fitting._fit import Finding
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, expected, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._quantities import ParamsText, RateText
from forescale.planning._show import show
from forescale.planning._streams import PREFIX, TRAINED, Asked, Bill, Taker, choice, corpora, increases

Array = NDArray[np.float64]


class StreamsQuery(BaseModel):
    """A size, or the single model to be matched, and the limits of serving."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    N: ParamsText | None = Field(None, description="parameters of the model whose streams are asked about, e.g. 1.6B")
    single: ParamsText | None = Field(None, description="single model whose loss is wanted instead, e.g. 3B")
    most_streams: int = Field(TRAINED, ge=1, le=4096, description="most streams to be considered, e.g. 8")
    memory: float | None = Field(None, gt=0, description="most GB for weights and cache (default: the devices')")
    milliseconds: float | None = Field(None, gt=0, description="longest time of a token in milliseconds, e.g. 5")
    device: str = Field("H100", description="device that serves, e.g. H100")
    devices: int = Field(1, ge=1, description="devices that share one copy, e.g. 1")
    rate: RateText | None = Field(None, description="price of device time, e.g. $2.10/H100-hour")
    batch: int = Field(1, ge=1, description="requests served at once, e.g. 1")
    context: int = Field(2_048, ge=1, description="tokens of context of each request, e.g. 2048")
    bits: float = Field(16.0, gt=0, le=32, description="bits per weight, e.g. 16")
    aspect: float = Field(serving.ASPECT, gt=0, description="width / depth of the model, e.g. 128")
    shared: float = Field(serving.SHARED, gt=0, le=1, description="key-value heads over query heads, e.g. 0.25")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: StreamsQuery) -> Plan:
    """The plan of streams.

    Raises:
        QueryError: neither or both of N and single, limits that leave nothing, a rate for another device.
        QuantityError: an unknown device.
        RefusedError: constants without an answer.
    """
    if (query.N is None) == (query.single is None):
        raise QueryError(message("N and single", "one of them: the model with streams, or the one to be matched"))
    asked = Asked(grounds, query, serving.Server(device(query.device), query.devices), _price(query))
    streams = np.arange(1.0, query.most_streams + 1)
    N = asked.sizes(streams)
    bill = asked.bill(N, streams)
    place, chosen = choice(query, asked, bill, np.isfinite(N))
    take = Taker(place)
    P, N = np.where(chosen, streams[place], np.nan), np.where(chosen, take(N), np.nan)
    loss, plain = asked.loss(N, P), asked.loss(N, np.ones_like(N))
    factor = asked.factor(P)
    whole = np.isfinite(loss) & np.isfinite(factor)
    if not whole[0]:
        raise refused("the loss of the model or the worth of its streams is not finite", "finite constants")
    worth = factor * N
    own, rival = asked.bill(N, P), asked.bill(worth, 1.0)
    base = asked.bill(N, 1.0)
    level = grounds.level
    decision: dict[str, Decided] = {
        "P": decided(P, "count", level, "parallel streams"),
        "N": decided(N, "parameters", level, "parameters of the model"),
        "N_equivalent": decided(worth, "parameters", level, "parameters of the single model of equal loss"),
        "factor": decided(factor, "x", level, "parameters that the streams are worth"),
        "loss_saved": decided(plain - loss, "loss", level, "loss saved against one stream"),
        "gigabytes": decided(own.gigabytes, "GB", level, "GB of weights and cache"),
        "gigabytes_single": decided(rival.gigabytes, "GB", level, "GB of the single model of equal loss"),
        "milliseconds": decided(own.milliseconds, "ms", level, "time of a token"),
        "milliseconds_single": decided(rival.milliseconds, "ms", level, "time of the single model of equal loss"),
        "work": decided(own.flop / rival.flop, "x", level, "FLOP per token, against the single model"),
        "batch_even": decided(
            np.floor(asked.even(N, P)), "count", level, "requests at once up to which streams are faster"
        ),
    }
    if own.dollars is not None and rival.dollars is not None:
        decision["dollars"] = decided(own.dollars, "dollars", level, "for a million tokens")
        decision["dollars_single"] = decided(rival.dollars, "dollars", level, "for the single model")
    saved = increases(own, rival, base)
    if saved is not None:
        more = "that parameters of equal worth add, over what streams add"
        decision["memory_increase"] = decided(saved[0], "x", level, f"memory {more}")
        decision["time_increase"] = decided(saved[1], "x", level, f"time {more}")
    alone = Asked(first(grounds), query, asked.server, asked.dollars)
    n, p = of_estimate(N), of_estimate(P)
    binding = _binding(query, asked, p, bill)
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(asked, n, p, of_estimate(worth), own, rival, binding),
        decision=decision,
        binding=binding,
        expected={"loss": expected(grounds.laws["loss"], "nats/token", "loss (nats/token)", N=n, P=p)},
        tables=(alone.choices(n, p), alone.batches(n, p), corpora(p)),
        curves=asked.curves(n, p),
        warnings=_warnings(query, p, of_estimate(decision["batch_even"].value)),
        assumptions=_assumptions(grounds, query, n),
        answered=whole,
        at={"loss": {"N": n, "P": p}},
    )


def _price(query: StreamsQuery) -> float | None:
    if query.rate is None:
        return None
    if device(query.rate.device).name != device(query.device).name:
        raise QueryError(
            message(
                f"rate {str(query.rate)!r} is for another device than device {query.device!r}", "one kind of device"
            )
        )
    return query.rate.per_hour


# --------------------------------------------------------------------------------------------------- what to say


def _headline(asked: Asked, N: float, P: float, worth: float, own: Bill, rival: Bill, binding: str) -> str:
    if P == 1:
        return f"One stream of {format_short(N)} parameters: " + (
            f"{binding} leaves no more." if asked.query.N is not None else "it fits the limits by itself."
        )
    smaller, faster = (
        bool(ours[0] < theirs[0])
        for ours, theirs in ((own.gigabytes, rival.gigabytes), (own.milliseconds, rival.milliseconds))
    )
    beyond = "" if asked.within(rival)[0] else ", which is beyond the limits"
    # What is faster is smaller: streams have the more arithmetic, so they can only gain while bytes set the time.
    if beyond or faster:
        verdict = "Streams"
    else:
        verdict = "Streams for memory, parameters for time" if smaller else "More parameters"
    return (
        f"{verdict}: {P:.0f} streams of {format_short(N)} parameters are worth a single model of "
        f"{format_short(worth)}{beyond}, with {own.gigabytes[0]:.3g} GB instead of {rival.gigabytes[0]:.3g} and "
        f"{own.milliseconds[0]:.3g} ms per token instead of {rival.milliseconds[0]:.3g}, for "
        f"{show(float(own.flop[0] / rival.flop[0]), 'x')} the arithmetic."
    )


def _binding(query: StreamsQuery, asked: Asked, P: float, bill: Bill) -> str:
    if query.N is not None and query.most_streams == P:
        return f"most_streams = {query.most_streams}" + (
            ", the largest number that was trained" if query.most_streams == TRAINED else ""
        )
    # For a size the next stream breaks a limit; for a single model one stream fewer does.
    beyond = int(P) if query.N is not None else int(P) - 2
    if beyond < 0:
        return "nothing: a single model fits"
    if bill.gigabytes[0, beyond] > asked.room:
        if asked.room == query.memory:
            return f"memory = {query.memory:g} GB"
        return f"devices = {query.devices}: {asked.room:g} GB"
    return f"milliseconds = {query.milliseconds:g}"


def _warnings(query: StreamsQuery, P: float, even: float) -> list[Finding]:
    found: list[Finding] = []
    if P > TRAINED:
        found.append(
            Finding(
                "many-streams",
                "amber",
                f"No model with more than {TRAINED} streams was trained: ln P is an extrapolation at {P:.0f}.",
            )
        )
    if P > 1 and query.batch > even:
        found.append(
            Finding(
                "arithmetic-bound",
                "amber",
                f"At {query.batch:,} request{'s' if query.batch > 1 else ''} at once streams are slower than the "
                "single model of equal loss: their arithmetic and caches set the time. "
                + (f"Up to {even:,.0f} they are faster." if even >= 1 else "They are at any number."),
            )
        )
    return found


def _assumptions(grounds: Grounds, query: StreamsQuery, N: float) -> list[str]:
    said = [
        "All runs saw one number of tokens (42B): the gain after other lengths is not known, and the law may not be "
        "joined with one of data.",
        "Training costs about P times as much per token, and so does reading a prompt.",
        f"Each stream keeps a cache of its own, {PREFIX:.0f} tokens longer, and adds h (h + 1) weights, h the width.",
        f"Width / depth {query.aspect:g}, {query.shared:.3g} key-value heads per query head, context "
        f"{query.context:,}; roofline at the peak of {query.devices} {device(query.device).name}.",
    ]
    if grounds.defaulted:
        said.append("The constants are those of text (The Pile); for code streams are worth more, see the table.")
    return said


planner = Planner(
    id="streams",
    question="Parallel streams, or more parameters?",
    query=StreamsQuery,
    answer=answer,
    parts=(
        Part(
            "loss", "loss from parameters and parallel streams", laws=("parscale",), default="parscale:chen2025-pile"
        ),
    ),
    papers=("chen2025parscale",),
    example=Frozen({"N": "1.6B"}),
)

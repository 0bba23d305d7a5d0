# SPDX-License-Identifier: Apache-2.0
"""A lifetime of service as a bill: tokens, the devices that serve them, their price, and the sizes that they hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, message
from forescale.core.quantity import Compute, Money, Rate, format_short
from forescale.costs import serving
from forescale.costs.budget import ASSUMED_MFU, Throughput, price
from forescale.costs.hardware import device
from forescale.costs.serving import Decoder, Server
from forescale.numerics.optimum import root
from forescale.planning._lifetime import Bill
from forescale.planning._plan import Table

if TYPE_CHECKING:
    from forescale.planning.train_and_serve import TrainAndServeQuery

Array = NDArray[np.float64]

PROMPT_SHARE = 0.5
CONTEXT = 2048.0
BATCH = 64.0
_UNIT = 1e20  # FLOP that are priced to have the price of one


@dataclass(frozen=True, eq=False)
class Service:
    """What is served, and what it costs.

    Attributes:
        tokens: all tokens ever served.
        bill: in FLOP, or in dollars where prices are known.
        money: whether the bill is in dollars.
        flop, dollars: FLOP and dollars of all service as functions of N; `dollars` is None without prices.
        decoder: what a size stands for.
        limits: what the serving devices allow: words, largest N.
        server: the devices of one copy, where a device is known; `batch`, `context` of its steps.
        train: dollars and device-hours of one FLOP of training, and the device; None without a price.
        hourly: dollars of one serving device-hour, None without a price.
        assumptions: sentences.
    """

    tokens: float
    bill: Bill
    money: bool
    flop: Callable[[Any], Any]
    dollars: Callable[[Any], Any] | None
    decoder: Callable[[Any], Decoder]
    limits: tuple[tuple[str, float], ...]
    server: Server | None
    batch: float
    context: float
    train: tuple[float, float, str] | None
    hourly: float | None
    assumptions: tuple[str, ...]


def service(query: TrainAndServeQuery, measured: Throughput | None) -> Service:
    """The bill of a query.

    Raises:
        QueryError: tokens said twice or not at all, fields that need others.
        QuantityError: unknown devices, a rate for another device.
    """
    tokens = _tokens(query)
    said: list[str] = []
    train_rate, train_mfu = _paid(query)
    serve_rate = query.serve_rate or train_rate
    _priced(query, train_rate)
    server = _server(query, serve_rate)
    context = query.context
    length = CONTEXT if context is None else context
    batch = BATCH if query.batch is None else query.batch

    def decoder(N: Any) -> Decoder:
        return serving.of_size(
            N,
            aspect=query.aspect,
            shared=query.kv_share,
            weight_bits=query.weight_bits,
            cache_bits=query.cache_bits,
        )

    def per_token(N: Any) -> Any:
        return 2.0 * N if context is None else serving.flop_per_token(decoder(N), context)

    def flop(N: Any) -> Any:
        return _known(N, lambda n: tokens * per_token(n))

    train: tuple[float, float, str] | None = None
    hourly: float | None = None
    dollars: Callable[[Any], Any] | None = None
    bill, money = Bill(1.0, flop, tokens / 3.0 if context is None else None), False
    if train_rate is not None and serve_rate is not None and server is not None:
        paid = price(_UNIT, train_rate.device, train_rate, train_mfu, measured)
        said += paid.assumptions
        train = ((paid.dollars or 0.0) / _UNIT, paid.device_hours / _UNIT, paid.device)
        hourly = per_hour = serve_rate.per_hour
        seconds = _seconds(query, server, decoder, per_token, tokens, batch, length, said)

        def spent(N: Any) -> Any:
            return _known(N, lambda n: seconds(n) * per_hour / 3600.0)

        dollars = spent
        money = query.budget is None or isinstance(query.budget, Money)
        if money:
            linear = context is None and (query.decode_mfu is not None or query.prompt_share == 1.0)
            bill = Bill(train[0], spent, float(spent(1.0)) / (6.0 * train[0]) if linear else None)
    if server is not None:
        most = "as many as fit, up to " if query.serve_device or query.devices else ""
        said.append(
            f"Steps of the servers: {most}{batch:,.0f} sequences of {length:,.0f} tokens, {query.weight_bits:g}-bit "
            f"weights, {query.cache_bits:g}-bit cache; shapes of the family width = {query.aspect:g} x depth with "
            f"{query.kv_share:g} of the keys and values of full attention."
        )
    counted = "" if context is None else f", and attention over {context:,.0f} tokens"
    said.append(f"A served token costs 2N{counted}.")
    return Service(
        tokens, bill, money, flop, dollars, decoder, _limits(query, server, decoder, length), server, batch, length,
        train, hourly, tuple(said),
    )  # fmt: skip


def _tokens(query: TrainAndServeQuery) -> float:
    yearly = query.per_year is not None or query.years is not None
    if query.served is not None and yearly:
        raise QueryError(message("served and per_year or years say the same twice", "served, or per_year with years"))
    if query.served is not None:
        return query.served
    if query.per_year is None or query.years is None:
        raise QueryError(
            message(
                "how much is served is not said" if not yearly else "only one of per_year and years",
                "served (all tokens ever), or per_year with years",
                "served=2T",
            )
        )
    return query.per_year * query.years


def _paid(query: TrainAndServeQuery) -> tuple[Rate | None, float | None]:
    """Price and MFU of training: of the query, or of a budget in dollars."""
    budget = query.budget
    rate, mfu = query.train_rate, query.train_mfu
    if not isinstance(budget, Money):
        return rate, mfu
    for name, mine, theirs in (("train_rate", rate, budget.rate), ("train_mfu", mfu, budget.mfu)):
        if mine is not None and theirs is not None and mine != theirs:
            raise QueryError(message(f"{name} = {mine} and the budget {budget} disagree", "one of them"))
    rate, mfu = rate or budget.rate, mfu or budget.mfu
    if rate is None:
        raise QueryError(
            message(
                f"the budget {budget} buys nothing without the price of a device-hour",
                "money and a rate",
                f"budget='{budget} @ $2.10/H100-hour', or train_rate",
            )
        )
    return rate, mfu


def _priced(query: TrainAndServeQuery, rate: Rate | None) -> None:
    """Refuse fields that only a price gives a meaning."""
    if rate is not None:
        return
    lone = [name for name in ("serve_rate", "prompt_share", "prompt_mfu", "decode_mfu") if getattr(query, name)]
    if query.train_mfu is not None and (query.budget is None or isinstance(query.budget, Compute)):
        lone.append("train_mfu")
    if lone:
        raise QueryError(
            message(f"{' and '.join(lone)} without train_rate", "the price of both", "train_rate=$2.10/H100-hour")
        )


def _server(query: TrainAndServeQuery, rate: Rate | None) -> Server | None:
    name = query.serve_device or (rate.device if rate is not None else None)
    if name is None:
        lone = [f for f in ("devices", "min_speed", "batch", "mbu") if getattr(query, f)]
        if lone:
            raise QueryError(message(f"{' and '.join(lone)} without a serving device", "serve_device", "H100"))
        return None
    chip = device(name)
    if rate is not None and query.serve_rate is None and device(rate.device).name != chip.name:
        raise QueryError(
            message(
                f"serve_device = {query.serve_device!r} without serve_rate, and {rate} is no price of it",
                "the price of the serving devices",
                f"serve_rate=$1/{chip.name}-hour",
            )
        )
    if query.serve_device and query.serve_rate and device(query.serve_rate.device).name != chip.name:
        raise QueryError(
            message(f"serve_device = {query.serve_device!r} and serve_rate = {str(query.serve_rate)!r} do not agree")
        )
    return Server(chip, query.devices or 1, mbu=query.mbu or 1.0)


def _known(N: Any, cost: Callable[[Any], Any]) -> Any:
    """A cost at sizes of which some are no number: those stay what they are."""
    sizes = np.asarray(N, dtype=np.float64)
    fine = np.isfinite(sizes) & (sizes > 0)
    return np.where(fine, cost(np.where(fine, sizes, 1.0)), sizes)[()]


def _seconds(
    query: TrainAndServeQuery,
    server: Server,
    decoder: Callable[[Any], Decoder],
    per_token: Callable[[Any], Any],
    tokens: float,
    batch: float,
    context: float,
    said: list[str],
) -> Callable[[Any], Any]:
    """Device-seconds of all service as a function of N."""
    share = query.prompt_share
    if share is None:
        share = PROMPT_SHARE
        said.append(f"Half of the served tokens are taken to be prompts (prompt_share = {share:g}).")
    prompt_mfu = query.prompt_mfu
    if prompt_mfu is None and share > 0:
        prompt_mfu = ASSUMED_MFU
        said.append(f"Prompts are taken to be read at {100 * ASSUMED_MFU:g} % MFU (prompt_mfu).")
    if query.decode_mfu is None and share < 1:
        speed = f"{100 * server.mbu:g} % of the memory bandwidth"
        said.append(
            f"Answers are taken to be decoded at the roofline of the device, {speed}: less in practice, so serving "
            "costs more (decode_mfu or mbu, measured)."
        )

    def seconds(N: Any) -> Any:
        # `price` knows the peak of the chip; here all devices of the server share the work, and all are paid.
        peak = server.device.peak
        read = share * tokens * per_token(N) / (peak * prompt_mfu) if prompt_mfu is not None and share > 0 else 0.0
        if share >= 1:
            return read
        if query.decode_mfu is not None:
            return read + (1.0 - share) * tokens * per_token(N) / (peak * query.decode_mfu)
        model = decoder(N)
        held = batch
        if query.serve_device or query.devices:
            # Devices that were named are all there are: what the weights leave of their memory holds the sequences.
            room = (server.memory - model.weight_bytes) / (context * model.cache_bytes)
            held = np.clip(room, 1.0, batch)
        step = serving.decode_seconds(model, server, held, context)
        return read + (1.0 - share) * tokens * step * server.count / held

    return seconds


def _limits(
    query: TrainAndServeQuery, server: Server | None, decoder: Callable[[Any], Decoder], context: float
) -> tuple[tuple[str, float], ...]:
    """Sizes beyond which the devices that were named run out of memory or speed."""
    found: list[tuple[str, float]] = []
    batch = 1.0 if query.batch is None else query.batch
    if server is not None and (query.serve_device or query.devices):

        def filled(N: Any) -> Any:
            return (decoder(N).weight_bytes + batch * context * decoder(N).cache_bytes) / server.memory

        words = f"the memory of {server.count} x {server.device.name} (serve_device, devices)"
        found.append((words, _largest(filled)))
    if server is not None and query.min_speed is not None:
        least = query.min_speed

        def slow(N: Any) -> Any:
            return least * serving.decode_seconds(decoder(N), server, batch, context)

        found.append((f"min_speed = {least:g} tokens/s", _largest(slow)))
    return tuple(found)


def _largest(used: Callable[[Any], Any]) -> float:
    """Size at which a rising share reaches 1; 0 where no size is small enough."""
    ends = np.array([1e3]), np.array([1e18])
    found = root(lambda N: np.asarray(np.log(used(N))), *ends)
    if found.found[0]:
        return float(found.x[0])
    return math.inf if float(np.max(used(ends[1]))) < 1.0 else 0.0


def devices_for(service: Service, N: float) -> int:
    """Fewest devices that hold the weights of a model."""
    assert service.server is not None  # noqa: S101 - asked only where a device is known
    return max(1, math.ceil(float(service.decoder(N).weight_bytes) / service.server.device.memory))


def table(service: Service, sizes: dict[str, float]) -> Table | None:
    """How models of some sizes are served: memory, speed, price; None where no device is known."""
    if service.server is None:
        return None
    lines: list[tuple[float | str | None, ...]] = []
    for words, N in sizes.items():
        model = service.decoder(N)
        count = max(service.server.count, devices_for(service, N))
        server = Server(service.server.device, count, mbu=service.server.mbu)
        most = float(serving.largest_batch(model, server, service.context))
        batch = min(service.batch, most)
        step = (model, server, batch, service.context)
        fits = batch >= 1
        cost = service.hourly if fits else None
        lines.append(
            (
                words, N, float(model.weight_bytes) / 1e9, float(model.cache_bytes) / 1e3, float(count), most,
                1.0 / float(serving.decode_seconds(model, server, 1.0, service.context)), batch,
                float(serving.tokens_per_second(*step)) if fits else None,
                None if cost is None else float(serving.dollars_per_million(*step, cost)),
                1e3 * float(serving.prefill_seconds(model, server, service.context)),
                float(serving.critical_batch(model, server)),
            )
        )  # fmt: skip
    chip = service.server.device
    return Table(
        "serving",
        f"Served on {chip.name}, at its roofline",
        (
            ("model", ""), ("N", "parameters"), ("weights GB", ""), ("cache kB/token", ""), ("devices", "count"),
            ("most sequences", "count"), ("tokens/s alone", ""), ("batch", "count"), ("tokens/s", ""),
            ("$/Mtok", ""), ("first token ms", ""), ("critical batch", "count"),
        ),
        tuple(lines),
        f"At {service.context:,.0f} tokens each, {format_short(chip.memory / 1e9)} GB and "
        f"{format_short(chip.bandwidth / 1e12)} TB/s per device; devices: at least as many as hold the weights. "
        "Critical batch: from there arithmetic is slower than reading the weights.",
    )  # fmt: skip

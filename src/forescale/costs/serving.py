# SPDX-License-Identifier: Apache-2.0
"""What it costs to serve a decoder-only transformer: FLOP, memory, time and money for each token.

FLOP follow Brown et al. (2024, section 2): 2 N for the weights and 4 L d for each position attended to. Time follows
the roofline: a step lasts as long as the slower of moving the bytes and doing the arithmetic, at the peak of the
devices, which nobody reaches; `Server` carries the shares that are. Every function takes numbers or arrays that
broadcast; nothing is looked up but the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, message
from forescale.costs.hardware import Device
from forescale.costs.transformer import Shape, parameters

Array = NDArray[np.float64]

ASPECT = 128.0
"""Width over depth where nothing is said: Llama-2-7B and Llama-3-8B."""

SHARED = 0.25
"""Key-value heads over query heads where nothing is said: Llama-3-8B (8 of 32)."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A model as it is served. Fields are numbers or arrays that broadcast.

    Attributes:
        N: parameters that a token passes through (the active ones of a mixture of experts).
        depth, width: number of blocks; width of the residual stream (heads x head dimension).
        cached: numbers kept per token and block: 2 kv_heads d_head with grouped queries, the latent and rotary
            dimensions with multi-head latent attention.
        weight_bits, cache_bits: bits per weight and per cached number.
        stored: parameters held in memory, where they are more than N (a mixture of experts).
    """

    N: Any
    depth: Any
    width: Any
    cached: Any
    weight_bits: float = 16.0
    cache_bits: float = 16.0
    stored: Any = None

    def __post_init__(self) -> None:
        for name in ("N", "depth", "width", "cached", "weight_bits", "cache_bits"):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if not (np.isfinite(value) & (value > 0)).all():
                raise QueryError(message(f"{name} = {getattr(self, name)!r} of a served model", "a positive number"))

    @property
    def weight_bytes(self) -> Any:
        """Bytes of the weights."""
        return (self.N if self.stored is None else self.stored) * (self.weight_bits / 8.0)

    @property
    def cache_bytes(self) -> Any:
        """Bytes of the key-value cache for one token."""
        return self.depth * self.cached * (self.cache_bits / 8.0)


def of_shape(shape: Shape, *, weight_bits: float = 16.0, cache_bits: float = 16.0) -> Decoder:
    """The decoder of an exact architecture, N counting every parameter (Brown et al. count so)."""
    return Decoder(
        N=float(parameters(shape).total),
        depth=float(shape.depth),
        width=float(shape.heads * shape.d_head),
        cached=2.0 * shape.kv_heads * shape.d_head,
        weight_bits=weight_bits,
        cache_bits=cache_bits,
    )


def of_size(
    N: Any, *, aspect: float = ASPECT, shared: float = SHARED, weight_bits: float = 16.0, cache_bits: float = 16.0
) -> Decoder:
    """The decoder that a size stands for: N = 12 depth width^2 and width = aspect x depth.

    Args:
        N: number of parameters, number or array.
        aspect: width over depth.
        shared: numbers cached, as a share of the 2 x width that full multi-head attention caches; kv_heads / heads
            with grouped queries.
    """
    width = np.cbrt(np.asarray(N, dtype=np.float64) * aspect / 12.0)
    return Decoder(N, width / aspect, width, 2.0 * shared * width, weight_bits, cache_bits)


@dataclass(frozen=True)
class Server:
    """The devices that hold one copy of the model, and what they achieve.

    Attributes:
        device: one entry of the hardware table.
        count: devices that share the weights, the cache and the work evenly.
        mfu, mbu: achieved share of the peak FLOP/s and of the memory bandwidth, above 0 and at most 1.
        free: share of the memory left to weights and cache.
    """

    device: Device
    count: int = 1
    mfu: float = 1.0
    mbu: float = 1.0
    free: float = 1.0

    def __post_init__(self) -> None:
        shares = {"mfu": self.mfu, "mbu": self.mbu, "free": self.free}
        wrong = [f"{name} = {value!r}" for name, value in shares.items() if not 0.0 < value <= 1.0]
        if wrong or self.count < 1:
            raise QueryError(
                message(
                    ", ".join(wrong) or f"{self.count} devices", "shares above 0 and at most 1, one device or more"
                )
            )

    @property
    def flop_per_second(self) -> float:
        """Achieved FLOP/s of all devices together."""
        return self.device.peak * self.count * self.mfu

    @property
    def bytes_per_second(self) -> float:
        """Achieved bytes/s of all devices together."""
        return self.device.bandwidth * self.count * self.mbu

    @property
    def memory(self) -> float:
        """Bytes that weights and cache may fill."""
        return self.device.memory * self.count * self.free


# ------------------------------------------------------------------------------------------------------------ FLOP


def flop_per_token(decoder: Decoder, context: Any) -> Any:
    """FLOP of a token that attends to `context` positions: 2 N + 4 depth width context."""
    return 2.0 * decoder.N + 4.0 * decoder.depth * decoder.width * context


def sequence_flop(decoder: Decoder, tokens: Any, before: Any = 0.0) -> Any:
    """FLOP of `tokens` tokens in a row, after `before` others: each attends to those before it and to itself."""
    return tokens * flop_per_token(decoder, before + (tokens + 1.0) / 2.0)


def attempts_flop(decoder: Decoder, prompt: Any, answer: Any, attempts: Any) -> Any:
    """FLOP of several answers to one prompt, the prompt paid for once (Brown et al. 2024, section 2).

    Args:
        prompt, answer: tokens of the prompt and of one answer.
    """
    return sequence_flop(decoder, prompt) + attempts * sequence_flop(decoder, answer, prompt)


def attempts_for(decoder: Decoder, prompt: Any, answer: Any, flop: Any) -> Any:
    """Whole answers to one prompt that the FLOP pay for, the prompt paid for once; below 0 counts as 0."""
    left = flop - sequence_flop(decoder, prompt)
    # A budget that is an exact multiple must not lose an answer to rounding.
    return np.maximum(np.floor(left / sequence_flop(decoder, answer, prompt) * (1.0 + 1e-12)), 0.0)


# ------------------------------------------------------------------------------------------------------------ time


def decode_seconds(decoder: Decoder, server: Server, batch: Any, context: Any) -> Any:
    """Seconds of one step that gives each of `batch` sequences a token, at `context` tokens each.

    The weights are read once, the cache of every sequence as well; the slower of that and the arithmetic counts. A
    mixture of experts is taken to read the experts of all.
    """
    moved = decoder.weight_bytes + batch * context * decoder.cache_bytes
    return np.maximum(
        moved / server.bytes_per_second, batch * flop_per_token(decoder, context) / server.flop_per_second
    )


def prefill_seconds(decoder: Decoder, server: Server, prompt: Any, batch: Any = 1.0) -> Any:
    """Seconds to read `batch` prompts of `prompt` tokens: arithmetic as a rule, the weights for short prompts."""
    work = batch * sequence_flop(decoder, prompt) / server.flop_per_second
    return np.maximum(work, decoder.weight_bytes / server.bytes_per_second)


def tokens_per_second(decoder: Decoder, server: Server, batch: Any, context: Any) -> Any:
    """Tokens that one server gives out per second, over all sequences of the batch."""
    return batch / decode_seconds(decoder, server, batch, context)


def dollars_per_million(decoder: Decoder, server: Server, batch: Any, context: Any, dollars_per_hour: float) -> Any:
    """Dollars for a million tokens given out, at the price of one device-hour."""
    hours = 1e6 / tokens_per_second(decoder, server, batch, context) / 3600.0
    return hours * dollars_per_hour * server.count


def critical_batch(decoder: Decoder, server: Server, context: Any = 0.0) -> Any:
    """Batch from which arithmetic, not memory, sets the time of a step; infinite where the cache alone is slower.

    At no context it is bytes per weight x FLOP/s / (2 bytes/s): the "ops per byte" of the device for 16-bit weights.
    """
    work = flop_per_token(decoder, context) / server.flop_per_second
    cache = context * decoder.cache_bytes / server.bytes_per_second
    weights = decoder.weight_bytes / server.bytes_per_second
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(work > cache, weights / (work - cache), np.inf)[()]


def largest_batch(decoder: Decoder, server: Server, context: Any) -> Any:
    """Sequences of `context` tokens whose cache fits beside the weights; 0 where the weights alone do not fit."""
    left = server.memory - decoder.weight_bytes
    return np.maximum(np.floor(left / (context * decoder.cache_bytes)), 0.0)

# SPDX-License-Identifier: Apache-2.0
"""What streams of a model take to serve, beside the single model of equal loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.costs import serving
from forescale.laws import find
from forescale.laws._terms import equivalent
from forescale.numerics.optimum import root
from forescale.planning._curves import banded
from forescale.planning._plan import Grounds, Table

if TYPE_CHECKING:
    from forescale.planning.streams import StreamsQuery

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

PREFIX = 48.0
"""Tokens of prefix that tell a stream from the others (Chen et al. 2025)."""

TRAINED = 8
"""Most streams of the released runs."""

LARGEST_BATCH = 1e6


# ------------------------------------------------------------------------------------------------------- the bill


@dataclass(frozen=True, eq=False)
class Bill:
    """What serving takes: arrays of one shape; `dollars` per million tokens, None without a price."""

    gigabytes: Array
    milliseconds: Array
    flop: Array
    dollars: Array | None


@dataclass(frozen=True, eq=False)
class Asked:
    """One question and its devices."""

    grounds: Grounds
    query: StreamsQuery
    server: serving.Server
    dollars: float | None

    @property
    def room(self) -> float:
        """GB that weights and cache may take."""
        held = self.server.memory / 1e9
        return held if self.query.memory is None else min(held, self.query.memory)

    def within(self, bill: Bill) -> NDArray[np.bool_]:
        """Whether the limits of memory and time hold."""
        longest = math.inf if self.query.milliseconds is None else self.query.milliseconds
        return np.asarray((bill.gigabytes <= self.room) & (bill.milliseconds <= longest))

    def factor(self, P: Any) -> Array:
        """(B,) or, for P of shape (m,) that is not (B,), (B, m): 1 + k ln P."""
        k = self.grounds.param("loss", "k")
        return np.asarray(equivalent(P, k))

    def sizes(self, streams: Array) -> Array:
        """(B, m) parameters with each number of streams: as given, or as the single model asks for."""
        if self.query.N is not None:
            return np.full((self.grounds.rows, streams.size), self.query.N)
        k = self.grounds.param("loss", "k")[:, None]
        return np.asarray((self.query.single or math.nan) / equivalent(streams, k))

    def loss(self, N: Array, P: Array) -> Array:
        """(B,) loss."""
        return self.grounds.values("loss", N=N[:, None], P=P[:, None])[:, 0]

    def bill(self, N: Any, P: Any, batch: Any = None) -> Bill:
        """What P streams of N parameters take; NaN where N or P is none."""
        N, P, batch = np.broadcast_arrays(
            np.asarray(N, dtype=float), np.asarray(P, dtype=float), self.query.batch if batch is None else batch
        )
        known = np.isfinite(N) & (N > 0) & np.isfinite(P)
        model = self._decoder(np.where(known, N, 1e9), np.where(known, P, 1.0))
        rows = batch * np.where(known, P, 1.0)
        context = self.query.context + np.where(P > 1, PREFIX, 0.0)
        blank = np.where(known, 0.0, np.nan)
        seconds = serving.decode_seconds(model, self.server, rows, context) + blank
        held = (model.weight_bytes + rows * context * model.cache_bytes) / 1e9 + blank
        paid = None if self.dollars is None else self.dollars * self.server.count * seconds / 3600.0 * 1e6 / batch
        work = np.where(known, P, np.nan) * serving.flop_per_token(model, context)
        return Bill(held, 1e3 * seconds, work, paid)

    def _decoder(self, N: Array, P: Array) -> serving.Decoder:
        """The model with what its streams add: h (h + 1) weights each to put them together, and their prefixes."""
        plain = serving.of_size(N, aspect=self.query.aspect, shared=self.query.shared, weight_bits=self.query.bits)
        added = P * (plain.width * (plain.width + 1.0) + PREFIX * plain.depth * plain.cached)
        stored = N + np.where(P > 1, added, 0.0)
        return serving.Decoder(N, plain.depth, plain.width, plain.cached, self.query.bits, stored=stored)

    def even(self, N: Array, P: Array) -> Array:
        """(B,) requests at once at which streams and the single model of equal loss take equal time; inf: never."""
        worth = self.factor(P) * N

        def ratio(batch: Array) -> Array:
            own = self.bill(N[:, None], P[:, None], batch).milliseconds
            return np.asarray(np.log(own / self.bill(worth[:, None], 1.0, batch).milliseconds))

        ones = np.ones_like(N)
        found = root(ratio, ones, LARGEST_BATCH * ones)
        start, end = ratio(ones[:, None])[:, 0], ratio(LARGEST_BATCH * ones[:, None])[:, 0]
        never = np.select([start > 0, end < 0], [0.0, np.inf], np.nan)
        return np.where(found.found & (P > 1), found.x, np.where(P > 1, never, np.where(P == 1, np.inf, np.nan)))

    def choices(self, N: float, P: float) -> Table:
        """Numbers of streams for this N, each beside the single model of equal loss."""
        some = np.array(sorted({1.0, 2.0, 4.0, 8.0, P} | ({16.0} if P > TRAINED else set())))
        worth = self.factor(some) * N
        loss = self.grounds.values("loss", N=N, P=some)[0]
        own, rival = self.bill(N, some), self.bill(worth, 1.0)
        fits = self.within(own)
        lines: list[Row] = [
            (
                some[i], float(loss[i]), float(worth[i]), float(own.gigabytes[i]), float(rival.gigabytes[i]),
                float(own.milliseconds[i]), float(rival.milliseconds[i]),
                *(() if own.dollars is None or rival.dollars is None else (own.dollars[i], rival.dollars[i])),
                "yes" if fits[i] else "no",
            )
            for i in range(some.size)
        ]  # fmt: skip
        paid = () if own.dollars is None else (("$/M", "dollars"), ("$/M single", "dollars"))
        return Table(
            "alternatives",
            f"Streams of {format_short(N)} parameters, and the single model of equal loss",
            (
                ("P", "count"), ("loss", "loss"), ("single N", "parameters"), ("GB", ""), ("GB single", ""),
                ("ms", ""), ("ms single", ""), *paid, ("fits", ""),
            ),
            tuple(lines),
        )  # fmt: skip

    def batches(self, N: float, P: float) -> Table:
        """What serving more requests at once changes."""
        lines: list[Row] = []
        worth = float(self.factor(P)[0]) * N
        for batch in (1, 4, 16, 64, 256, 1024):
            own, rival = self.bill(N, P, batch), self.bill(worth, 1.0, batch)
            times = float(own.milliseconds), float(rival.milliseconds)
            held = float(own.gigabytes), float(rival.gigabytes)
            lines.append((batch, *times, times[0] / times[1], *held, held[0] / held[1]))
        return Table(
            "sensitivity",
            f"{P:.0f} streams against the single model, by requests at once",
            (
                ("batch", "count"), ("ms", ""), ("ms single", ""), ("time", "x"), ("GB", ""), ("GB single", ""),
                ("memory", "x"),
            ),
            tuple(lines),
            "Streams are cheap while reading the weights sets the time; then they cost their arithmetic.",
        )  # fmt: skip

    def curves(self, N: float, P: float) -> Frozen[str, Frozen[str, Array]]:
        """What streams are worth, and their time against that of the single model."""
        number = np.geomspace(1.0, max(P, 16.0), 33)
        worth = self.grounds.param("loss", "k")[:, None] * np.log(number) + 1.0
        batch = np.geomspace(1.0, 4096.0, 49)
        own = self.bill(N, P, batch).milliseconds
        rival = self.bill(float(self.factor(P)[0]) * N, 1.0, batch).milliseconds
        return Frozen(
            {
                "worth": banded({"P": number}, "factor", worth, self.grounds.level),
                "milliseconds": Frozen({"batch": batch, "streams": own, "single model": rival}),
            }
        )


@dataclass(frozen=True, eq=False)
class Taker:
    """(B, m) -> (B,): the chosen column of each row."""

    place: NDArray[np.intp]

    def __call__(self, values: Array) -> Array:
        return np.take_along_axis(values, self.place[:, None], axis=1)[:, 0]


def choice(
    query: StreamsQuery, asked: Asked, bill: Bill, known: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(B,) which number of streams, and whether any fits: for a size the most, for a single model the fewest."""
    fits = asked.within(bill) & known
    any_fits = np.asarray(fits.any(axis=1))
    if known[0].any() and not any_fits[0]:
        raise _nothing_fits(query, asked, bill)
    if query.N is not None:
        return fits.shape[1] - 1 - np.argmax(fits[:, ::-1], axis=1), any_fits
    return np.argmax(fits, axis=1), any_fits


def _nothing_fits(query: StreamsQuery, asked: Asked, bill: Bill) -> QueryError:
    size = f"N = {format_short(query.N)}" if query.N is not None else f"single = {format_short(query.single or 0.0)}"
    limit = f"memory = {query.memory:g}" if query.memory is not None else f"devices = {query.devices}"
    time = "" if query.milliseconds is None else f" and milliseconds = {query.milliseconds:g}"
    return QueryError(
        message(
            f"{size} with {limit}{time}: one to {query.most_streams} streams take at least "
            f"{np.nanmin(bill.gigabytes[0]):.3g} GB (room for {asked.room:.3g}) and "
            f"{np.nanmin(bill.milliseconds[0]):.3g} ms",
            "a model that fits",
            "a smaller model, more devices, fewer bits, or a longer time",
        )
    )


def increases(own: Bill, rival: Bill, base: Bill) -> tuple[Array, Array] | None:
    """How many times less memory and time streams add to one stream than parameters of equal worth do."""
    if own.gigabytes[0] == base.gigabytes[0]:
        return None
    memory = (rival.gigabytes - base.gigabytes) / (own.gigabytes - base.gigabytes)
    time = (rival.milliseconds - base.milliseconds) / (own.milliseconds - base.milliseconds)
    return memory, time


def corpora(P: float) -> Table:
    """What the streams are worth by both published corpora."""
    law = find("parscale")
    lines: list[Row] = []
    for source in law.published:
        k = law.constants(source)["k"]
        lines.append((source, k, *(float(equivalent(p, k)) for p in (2.0, 4.0, 8.0, P))))
    return Table(
        "corpora",
        "What streams are worth, by corpus",
        (("constants", ""), ("k", ""), ("P = 2", "x"), ("P = 4", "x"), ("P = 8", "x"), ("here", "x")),
        tuple(lines),
        "The gain is larger for code than for text.",
    )

# SPDX-License-Identifier: Apache-2.0
"""Losses and tables of the plan of bits: after training and while training."""

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
from forescale.costs.hardware import device
from forescale.laws.float_precision import best_bits, best_split, critical_tokens
from forescale.laws.integer_precision import worth
from forescale.numerics.optimum import Minimum, Where, minimise, root
from forescale.planning._intervals import of_estimate
from forescale.planning._plan import Grounds, Table

if TYPE_CHECKING:
    from forescale.planning.precision import PrecisionQuery

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

FULL = 16.0
"""Bits per weight that a model is trained in and quantised from."""

SCALE_BITS = 16.0
"""Bits of a scaling factor, which a block of weights shares."""

SERVED = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
FORMATS = (4, 5, 6, 8, 12, 16)
INTEGERS = (2.0, 3.0, 4.0, 6.0, 8.0, 16.0)

LEAST_SHARE = 1e-9
"""Least share of the parameters, or of the scale of a run, that an equivalent is looked for down to."""

MOST_TOKENS = 1e24
"""Tokens up to which a turning point is looked for."""


# ------------------------------------------------------------------------------------------------- after training


@dataclass(frozen=True, eq=False)
class InMemory:
    """(B,) bits of least loss where parameters x bits are given, and that loss; NaN where it lies at an end."""

    bits: Array
    loss: Array


@dataclass(frozen=True, eq=False)
class Asked:
    """The losses of one question: shapes (B, k)."""

    grounds: Grounds
    query: PrecisionQuery

    @property
    def guessing(self) -> float:
        """Loss of guessing: nothing is worse."""
        return math.log(self.query.vocab)

    def constants(self, part: str) -> dict[str, Array]:
        """(B,) parameters of the law of a part."""
        return {name: self.grounds.param(part, name) for name in self.grounds.law(part).names}

    def trained(self, N: Any, D: Any = None) -> Array:
        """Loss in 16 bits."""
        return self.grounds.values("loss", **_together(N=N, D=self.query.D if D is None else D))

    def added(self, N: Any, bits: Any, D: Any = None) -> Array:
        """Loss that quantising adds, by the law."""
        return self.grounds.values("quantised", **_together(N=N, D=self.query.D if D is None else D, bits=bits))

    def after(self, N: Any, bits: Any, D: Any = None) -> Array:
        """Loss after quantising."""
        return np.minimum(self.trained(N, D) + self.added(N, bits, D), self.guessing)

    def size_of(self, loss: Array) -> Array:
        """(B,) share of the parameters that has that loss in 16 bits on the same tokens."""
        return self._share(lambda s: self.trained(s * self.query.N), loss)

    def scale_of(self, loss: Array) -> Array:
        """(B,) share s of N and of D at which a run has that loss: s^2 of the compute."""
        return self._share(lambda s: self.trained(s * self.query.N, s * self.query.D), loss)

    def _share(self, of: Any, loss: Array) -> Array:
        ones = np.ones(self.grounds.rows)
        found = root(of, LEAST_SHARE * ones, ones, target=loss)
        # What costs nothing is worth all of it, though rounding may put it a hair beyond.
        whole = (found.where == Where.UPPER) & np.isclose(loss, of(ones[:, None])[:, 0], rtol=1e-12)
        return np.where(found.found, found.x, np.where(whole, 1.0, np.nan))

    def best_at_memory(self) -> InMemory:
        """Bits of least loss in the memory of the model asked about."""
        total, ones = self.query.N * self.query.bits, np.ones(self.grounds.rows)
        found = minimise(lambda b: self.trained(total / b) + self.added(total / b, b), ones, FULL * ones)
        return InMemory(np.where(found.interior, found.x, np.nan), found.value)

    def turning(self) -> Array:
        """(B,) tokens at which the loss after quantising is least; inf where it falls as far as is looked."""
        N, bits, ones = self.query.N, self.query.bits, np.ones(self.grounds.rows)
        found = minimise(lambda D: self.trained(N, D) + self.added(N, bits, D), 1e6 * ones, MOST_TOKENS * ones)
        return np.where(found.interior, found.x, np.where(found.where == Where.UPPER, np.inf, np.nan))


def decoder(query: PrecisionQuery, bits: float) -> serving.Decoder:
    """The model as it is served; scaling factors count, in 16 bits there are none."""
    return serving.of_size(query.N, weight_bits=bits if bits == FULL else bits + SCALE_BITS / query.block)


def held(query: PrecisionQuery) -> float:
    """Bytes of weights and cache in the bits asked about."""
    model = decoder(query, query.bits)
    return float(model.weight_bytes + query.batch * query.context * model.cache_bytes)


def same_model(asked: Asked) -> Table:
    """The same model in other bits."""
    query = asked.query
    server = serving.Server(device(query.device))
    lines: list[Row] = []
    for bits in sorted({*SERVED, FULL, query.bits}):
        whole = bits == FULL
        added = 0.0 if whole else of_estimate(asked.added(query.N, bits))
        loss = asked.trained(query.N)[:, 0] if whole else asked.after(query.N, bits)[:, 0]
        model = decoder(query, bits)
        size = query.N * of_estimate(asked.size_of(loss))
        speed = float(serving.tokens_per_second(model, server, query.batch, query.context))
        lines.append((bits, added, of_estimate(loss), size, float(model.weight_bytes) / 1e9, speed))
    return Table(
        "bits",
        "This model, quantised after training",
        (
            ("bits", ""), ("added", "loss"), ("loss", "loss"), ("equivalent N", "parameters"), ("GB", ""),
            ("tokens/s", "count"),
        ),
        tuple(lines),
        f"tokens/s: roofline of {server.device.name} at its peak, batch {query.batch}, context {query.context:,}.",
    )  # fmt: skip


def same_memory(asked: Asked, best: float) -> Table:
    """Other sizes in the memory of this one; `best` is the least loss of all bits."""
    total = asked.query.N * asked.query.bits
    lines: list[Row] = []
    for bits in sorted({*SERVED, FULL, asked.query.bits}):
        loss = of_estimate(asked.trained(total / bits) if bits == FULL else asked.after(total / bits, bits))
        lines.append((bits, total / bits, loss, loss - best))
    return Table(
        "alternatives",
        "Other sizes on the same tokens, in the same memory",
        (("bits", ""), ("N", "parameters"), ("loss", "loss"), ("above the best", "loss")),
        tuple(lines),
    )


def other_lengths(asked: Asked) -> Table:
    """What longer or shorter training changes."""
    query = asked.query
    lines: list[Row] = []
    for factor in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0):
        D = factor * query.D
        before, after = asked.trained(query.N, D)[0, 0], asked.after(query.N, query.bits, D)[0, 0]
        small = asked.trained(query.N * query.bits / FULL, D)[0, 0]
        lines.append((factor, D, before, after - before, after, small - after))
    return Table(
        "sensitivity",
        f"The same question after other lengths of training, {query.bits:g} bits",
        (
            ("D / plan", "x"), ("D", "tokens"), ("16 bits", "loss"), ("added", "loss"), ("after", "loss"),
            ("gain", "loss"),
        ),
        tuple(lines),
        "gain: what is saved against a model of 16 bits in the same memory; below 0 quantising does not pay.",
    )  # fmt: skip


def curves(asked: Asked) -> Frozen[str, Frozen[str, Array]]:
    """Loss against tokens, before and after; against bits in the memory of this model."""
    query = asked.query
    D, bits = query.D * np.geomspace(1e-2, 1e2, 60), np.geomspace(2.0, FULL, 60)
    few = asked.after(query.N, query.bits, D)[0]
    tokens = Frozen({"D": D, f"{query.bits:g} bits": few, "16 bits": asked.trained(query.N, D)[0]})
    memory = Frozen({"bits": bits, "loss": asked.after(query.N * query.bits / bits, bits)[0]})
    return Frozen({"loss": tokens, "in the same memory": memory})


# ------------------------------------------------------------------------------------------------- while training


def formats(asked: Asked) -> Table:
    """Formats of whole bits, each at its best split."""
    query, shape = asked.query, asked.constants("format")
    plain = _in_format(asked, 1e9, 1e9, query.N)[0, 0]
    lines: list[Row] = []
    for bits in FORMATS:
        e, m = whole_split(bits, float(shape["delta"][0]), float(shape["nu"][0]))
        loss, cheap = (_in_format(asked, e, m, size)[0, 0] for size in (query.N, query.N * FULL / bits))
        turn = of_estimate(critical_tokens(query.N, e, m, query.block, **shape))
        lines.append((bits, f"E{e}M{m}", loss - plain, loss, cheap, turn))
    return Table(
        "formats",
        "Training in a floating-point format",
        (
            ("bits", ""), ("format", ""), ("added", "loss"), ("loss", "loss"), ("same cost", "loss"),
            ("critical D", "tokens"),
        ),
        tuple(lines),
        "same cost: of a model larger by 16 / bits, on the same tokens; critical D: beyond it more tokens hurt.",
    )  # fmt: skip


def whole_split(bits: int, delta: float, nu: float) -> tuple[int, int]:
    """Whole exponent and mantissa bits (at least one each) of least loss; one bit is the sign."""
    e = np.arange(1, bits - 1)
    # The added loss goes as the inverse of (e + 1/2)^delta (m + 1/2)^nu.
    best = int(e[np.argmax(delta * np.log(e + 0.5) + nu * np.log(bits - 1 - e + 0.5))])
    return best, bits - 1 - best


def _in_format(asked: Asked, e: Any, m: Any, N: Any, D: Any = None) -> Array:
    """(B, k) loss by the law of formats."""
    D = asked.query.D if D is None else D
    block = float(asked.query.block)
    return asked.grounds.values("format", **_together(N=N, D=D, exponent_bits=e, mantissa_bits=m, block=block))


def best_budget(asked: Asked, C: float) -> tuple[Minimum, Array]:
    """Tokens of least loss at 6 N D bits / 16 = C in the best format for them, and its bits (B,)."""
    shape = {name: values[:, None] for name, values in asked.constants("format").items()}

    def bits_at(D: Array) -> Array:
        return np.asarray(best_bits(D, asked.query.block, **shape))

    def loss(D: Array) -> Array:
        bits = bits_at(D)
        return _in_format(asked, *best_split(bits, shape["delta"], shape["nu"]), FULL * C / (6.0 * D * bits), D)

    found = minimise(loss, *_tokens(asked, C))
    return found, bits_at(found.x[:, None])[:, 0]


def budget(asked: Asked, C: float) -> Table:
    """N, D and format of least loss together."""
    shape = asked.constants("format")
    lines: list[Row] = []
    for bits in FORMATS:
        e, m = whole_split(bits, float(shape["delta"][0]), float(shape["nu"][0]))
        sizes = FULL * C / (6.0 * bits)
        found = minimise(_Fixed(asked, e, m, sizes), *_tokens(asked, C))
        lines.append((float(bits), f"E{e}M{m}", *_split(found, sizes)))
    found, best = best_budget(asked, C)
    lines.append((of_estimate(best), "best, in fractions", *_split(found, FULL * C / (6.0 * of_estimate(best)))))
    return Table(
        "budget",
        f"{format_short(C, 'flop')}, counted in 16 bits, spent as 6 N D bits / 16",
        (("bits", ""), ("format", ""), ("N", "parameters"), ("D", "tokens"), ("loss", "loss")),
        tuple(lines),
    )


@dataclass(frozen=True, eq=False)
class _Fixed:
    """Loss over tokens in one format, where N D is given."""

    asked: Asked
    e: int
    m: int
    product: float

    def __call__(self, D: Array) -> Array:
        return _in_format(self.asked, self.e, self.m, self.product / D, D)


def _split(found: Minimum, product: float) -> Row:
    if not found.interior[0]:
        return None, None, None
    return product / float(found.x[0]), float(found.x[0]), float(found.value[0])


def _tokens(asked: Asked, C: float) -> tuple[Array, Array]:
    """Where tokens are looked for: a million, up to what the budget buys for a model of ten thousand parameters."""
    ones = np.ones(asked.grounds.rows)
    if C <= 1e13:
        raise QueryError(message(f"budget = {format_short(C, 'flop')}", "at least 1e13 FLOP"))
    return 1e6 * ones, C / 6e4 * ones


def best_integers(grounds: Grounds) -> Array:
    """(B,) bits, of weights and activations alike, of most effective parameters where N x bits is given.

    N and D do not enter: N (1 - e^(-b / gamma_w)) (1 - e^(-b / gamma_a)) at N b = 1 is largest there.
    """
    weights, activations = (grounds.param("integer", name)[:, None] for name in ("gamma_w", "gamma_a"))
    ones = np.ones(grounds.rows)
    found = minimise(lambda b: b / (worth(b, weights) * worth(b, activations)), 0.05 * ones, 64.0 * ones)
    return np.where(found.interior, found.x, np.nan)


def integers(asked: Asked) -> Table:
    """What is left of the parameters in few bits, and the loss."""
    grounds, query = asked.grounds, asked.query
    weights, activations = (float(grounds.param("integer", name)[0]) for name in ("gamma_w", "gamma_a"))
    lines: list[Row] = []
    for bits in INTEGERS:
        for act in dict.fromkeys((bits, FULL)):
            kept = float(worth(bits, weights) * worth(act, activations))
            inputs = {"D": query.D, "bits": bits, "activation_bits": act}
            sizes = np.array([query.N, query.N * FULL / max(bits, act)])
            loss, cheap = grounds.values("integer", **_together(N=sizes, **inputs))[0]
            lines.append((bits, act, kept, kept * query.N, float(loss), float(cheap), kept * FULL / bits))
    return Table(
        "integers",
        "Training in few bits for weights and activations",
        (
            ("weights", ""), ("activations", ""), ("kept", ""), ("effective N", "parameters"), ("loss", "loss"),
            ("same cost", "loss"), ("per bit of weight", "x"),
        ),
        tuple(lines),
        "same cost: of a model larger by 16 / the wider of the two, on the same tokens.",
    )  # fmt: skip


def _together(**inputs: Any) -> dict[str, Array]:
    """Inputs of one shape, (k,) or (B, k)."""
    return dict(zip(inputs, np.broadcast_arrays(*(np.atleast_1d(x) for x in inputs.values()))))

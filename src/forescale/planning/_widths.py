# SPDX-License-Identifier: Apache-2.0
"""A proxy and a wider target: their shapes, the settings of their tensors, and what other rules say of their runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from forescale.costs.transformer import Shape, count
from forescale.planning._plan import Table


@dataclass(frozen=True)
class Model:
    """Proxy or target."""

    width: int
    depth: int
    heads: int
    d_ff: int
    tokens: float | None
    batch: float | None

    @property
    def d_head(self) -> float:
        return self.width / self.heads

    @property
    def steps(self) -> float | None:
        """Optimiser steps of the run."""
        return None if self.tokens is None or self.batch is None else self.tokens / self.batch

    def params(self, vocab: int, tied: bool) -> int:
        """Parameters without embeddings: two feed-forward matrices, no biases."""
        shape = Shape(
            self.depth, self.width, self.heads, self.heads, self.d_ff, vocab, 2048, tied, gated_mlp=False,
            head_dim=max(int(self.d_head), 1),
        )  # fmt: skip
        return count(shape, "non-embedding")


@dataclass(frozen=True)
class Tensor:
    """Settings of one kind of tensor in the target; a std of NaN is none of its own."""

    what: str
    rate: float
    std: float
    multiplier: float
    decays: bool


def nearest(width: int, heads: int) -> int:
    """The divisor of a width that is next to a number of heads."""
    down = next((k for k in range(min(heads, width), 0, -1) if width % k == 0), 1)
    up = next((k for k in range(heads, min(2 * heads, width) + 1) if width % k == 0), down)
    return min(down, up, key=lambda k: abs(k - heads))


def settings(tensors: dict[str, Tensor], decay: float) -> Table:
    """The settings of every kind of tensor."""
    return Table(
        "tensors",
        "Settings of the target by tensor",
        (("tensor", ""), ("learning rate", ""), ("initial std", ""), ("multiplier", ""), ("weight decay", "")),
        tuple(
            (one.what, one.rate, one.std, one.multiplier, decay if one.decays else 0.0) for one in tensors.values()
        ),
        "Multipliers stand next to those of the proxy. A head that starts at zero does so at every width.",
    )


def shapes(proxy: Model, target: Model, vocab: int, tied: bool) -> Table:
    """Proxy and target, counted."""
    lines = tuple(
        (name, one.width, one.depth, one.heads, one.d_head, one.d_ff, float(one.params(vocab, tied)))
        for name, one in (("proxy", proxy), ("target", target))
    )
    return Table(
        "shapes",
        "Proxy and target",
        (
            ("model", ""), ("width", "count"), ("depth", "count"), ("heads", "count"), ("head size", "count"),
            ("feed-forward", "count"), ("N without embeddings", "parameters"),
        ),
        lines,
        "Two feed-forward matrices, no biases.",
    )  # fmt: skip


def horizon(proxy: Model, target: Model) -> list[Table]:
    """What other rules say where tokens or batch change too; muP says nothing."""
    lines: list[tuple[float | str | None, ...]] = []
    if proxy.tokens and target.tokens and proxy.tokens != target.tokens:
        ratio = target.tokens / proxy.tokens
        lines.append(("tokens, batch as it is best (Li et al. 2025): D^.307", ratio, ratio**0.307))
        lines.append(("tokens, same batch (Bjorck et al. 2024): D^-.32", ratio, ratio**-0.32))
    if proxy.batch and target.batch and proxy.batch != target.batch:
        ratio = target.batch / proxy.batch
        lines.append(("batch, Adam: root of the batch", ratio, math.sqrt(ratio)))
    if not lines:
        return []
    return [
        Table(
            "horizon",
            "Factors on all learning rates that the plan does not apply",
            (("what changes", ""), ("target / proxy", "x"), ("factor", "x")),
            tuple(lines),
            ("The rules for tokens disagree in sign: t" if len(lines) > 1 else "T")
            + "une the proxy at the batch of the target, at two horizons or more.",
        )
    ]


def to_check() -> Table:
    """Measures that show whether the rules hold."""
    return Table(
        "checks",
        "What should not change with width",
        (("measure", ""), ("expected slope in log width", ""), ("if not", "")),
        (
            (
                "size of each layer's output after a few steps, less that at the start",
                0.0,
                "a rate or multiplier is off",
            ),
            ("top singular value of each matrix, late in training", 0.0, "give the slope: slope=..."),
            ("best learning rate of the proxies, as given here", 0.0, "a larger proxy; longer runs"),
        ),
        "Three widths of a small model show it within minutes.",
    )

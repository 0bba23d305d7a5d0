# SPDX-License-Identifier: Apache-2.0
"""From a number of parameters to real architectures, and between the ways of counting parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from forescale.core.errors import ConventionError, QueryError, message
from forescale.costs.transformer import Shape, count

FloatOrArray = TypeVar("FloatOrArray", float, npt.NDArray[np.float64])

N_CONVENTIONS = ("total", "non-embedding", "matrices+head")
PEARCE_OMEGA = 47491.0
"""omega of N_T = N_E + omega N_E^(1/3), fitted by Pearce and Song (2024, arXiv 2406.12907) to Chinchilla's table."""


@dataclass(frozen=True)
class Candidate:
    """A real shape near a wanted size: `n` parameters under the convention asked for, `off` = n / wanted - 1."""

    shape: Shape
    n: int
    off: float


def nearest_shapes(
    n: float,
    *,
    convention: str = "total",
    vocab: int = 50_304,
    context: int = 2048,
    tied: bool = False,
    gated_mlp: bool = True,
    aspect: tuple[float, float] = (48.0, 160.0),
    most: int = 5,
) -> tuple[Candidate, ...]:
    """The nearest architectures that someone would build.

    Width is a multiple of the head dimension, 128 from width 1024 on (in steps of 256 above 2048, 512 above 4096,
    1024 above 8192), 64 below, 16 or 8 for models too small for that. Depth follows from the size; width / depth lies
    in the window `aspect`, whose ends shrink in proportion below width 512, where nobody builds one wide block. The
    feed-forward width is 4 x width, or 8/3 x width rounded up to a multiple of 64 (16 below width 256) when gated.
    Full multi-head attention, no biases.

    Args:
        n: wanted number of parameters under `convention`.
        aspect: window of width / depth; GPT-2 small is 64, Llama-2-7B and Llama-3-8B are 128.
        most: how many to return.

    Returns:
        up to `most` candidates, nearest first; of sizes within about 2 % of each other, the one nearer the middle of
        the aspect window comes first. Empty when `n` is too small for this vocabulary, or
        above what width 65,536 reaches (some 7e13).

    Raises:
        ConventionError: unknown convention. QueryError: a size, window or number that makes no sense.
    """
    _check_n_convention(convention)
    low, high = aspect
    if not (math.isfinite(n) and n >= 1.0) or not 0.0 < low < high or most < 1 or vocab < 1 or context < 1:
        raise QueryError(
            message(
                f"n = {n!r}, aspect = {aspect!r}, most = {most!r}, vocab = {vocab!r}, context = {context!r}",
                "a size of at least 1, an increasing window of positive numbers, whole numbers of at least 1",
            )
        )
    ranked: list[tuple[float, float, Candidate]] = []
    for width, d_head in _widths():
        step = 64 if width >= 256 else 16
        d_ff = -(-8 * width // (3 * step)) * step if gated_mlp else 4 * width
        one = Shape(1, width, width // d_head, width // d_head, d_ff, vocab, context, tied, gated_mlp)
        base = count(one, convention)
        block = count(replace(one, depth=2), convention) - base
        if base - block > n * 1.5:
            break  # the vocabulary alone exceeds the size, and wider is worse
        exact = (n - (base - block)) / block
        shrink = min(1.0, width / 512)
        for depth in {max(1, math.floor(exact)), max(1, math.ceil(exact))}:
            if low * shrink <= width / depth <= high:
                found = count(replace(one, depth=depth), convention)
                off = found / n - 1.0
                squareness = abs(math.log(width / depth / (math.sqrt(low * high) * shrink)))
                # Steps of 2 % in size are traded against the aspect ratio, which matters less than that.
                score = round(abs(off) / 0.02) + 0.2 * squareness
                ranked.append((score, abs(off), Candidate(replace(one, depth=depth), found, off)))
    ranked.sort(key=lambda item: item[:2])
    return tuple(candidate for _, _, candidate in ranked[:most])


def _widths() -> Iterator[tuple[int, int]]:
    """(width, head dimension), narrow to wide."""
    steps = [
        (8, 8, 56, 8), (16, 64, 240, 16), (64, 256, 960, 64), (128, 1024, 1920, 128), (128, 2048, 3840, 256),
        (128, 4096, 7680, 512), (128, 8192, 65_536, 1024),
    ]  # fmt: skip
    for d_head, first, last, step in steps:
        for width in range(first, last + 1, step):
            yield width, d_head


def convert_n(
    n: FloatOrArray,
    source: str,
    target: str,
    *,
    vocab: int | None = None,
    aspect: float | None = None,
    tied: bool = False,
    shape: Shape | None = None,
    omega: float = PEARCE_OMEGA,
) -> FloatOrArray:
    """Convert parameter counts between "total", "non-embedding" and "matrices+head".

    Three ways, the most exact that the arguments allow:

    - `shape`: exact for that shape (`n` must be its count under `source`, to rounding).
    - `vocab` and `aspect` (width / depth): the family of transformers with 12 width^2 weights per block, so that
      N_nonemb = 12 width^3 / aspect and each vocabulary matrix has vocab x width; one of them when `tied`, else two.
    - neither: Pearce and Song (2024), N_total = N_nonemb + omega N_nonemb^(1/3) with their omega = 47491, fitted to
      the Chinchilla suite (vocabulary of about 32k); "matrices+head" is not defined there.

    Args:
        n: number or float64 array of counts, positive.

    Raises:
        ConventionError: unknown convention, or one that the chosen way does not know.
        QueryError: counts that are not positive, only one of `vocab` and `aspect`, or a shape of another size.
    """
    _check_n_convention(source)
    _check_n_convention(target)
    if not np.all(np.isfinite(n)) or np.any(np.asarray(n) <= 0.0):
        raise QueryError(message("a parameter count that is not a positive finite number"))
    if source == target:
        return n
    if shape is not None:
        own = count(shape, source)
        if np.any(np.abs(np.asarray(n) / own - 1.0) > 5e-3):
            raise QueryError(
                message(
                    f"the shape has {own:,} parameters ({source}), not {float(np.max(n)):,.0f}",
                    "a shape of the size that is converted",
                )
            )
        return n * (count(shape, target) / own)
    if (vocab is None) != (aspect is None):
        raise QueryError(message("only one of vocab and aspect is given", "both (an exact family) or neither"))
    if vocab is not None and aspect is not None:
        if vocab < 1 or not aspect > 0.0:
            raise QueryError(message(f"vocab = {vocab!r}, aspect = {aspect!r}", "positive numbers"))
        cubic = 12.0 / aspect
        matrices = {"non-embedding": 0.0, "matrices+head": 1.0, "total": 1.0 if tied else 2.0}
        width = _root(n / cubic, matrices[source] * vocab / cubic)
        return _like(n, cubic * width**3 + matrices[target] * vocab * width)
    if "matrices+head" in (source, target):
        raise ConventionError(
            message(
                f"from {source} to {target} without a family",
                "vocab and aspect, or a shape; the relation of Pearce and Song knows total and non-embedding only",
                "vocab=50304, aspect=128",
            )
        )
    if source == "non-embedding":
        return _like(n, n + omega * np.cbrt(n))
    return _like(n, _root(n, omega) ** 3)


def _like(given: FloatOrArray, result: Any) -> FloatOrArray:
    """A float for a float, an array for an array."""
    converted: FloatOrArray = result if isinstance(given, np.ndarray) else float(result)
    return converted


def family_width(n: Any, aspect: Any, *, block: float = 12.0, matrices: float = 0.0) -> Any:
    """Width of the transformer of n parameters: block width^2 weights per block, depth = width / aspect.

    Args:
        n, aspect: numbers or arrays that broadcast.
        block: weights of a block over width^2: 12 for full attention and a feed-forward of 4 widths.
        matrices: parameters of the vocabulary over the width: its size for a tied head, twice that otherwise.
    """
    return _root(n * aspect / block, matrices * aspect / block)


def _root(q: Any, p: Any) -> Any:
    """The positive root of x^3 + p x = q for p >= 0, q > 0 (numbers or arrays), to full precision."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # Hyperbolic form of Cardano's root, then one Newton step that removes its rounding.
        scale = 2.0 * np.sqrt(np.asarray(p) / 3.0)
        x = np.where(np.asarray(p) > 0.0, scale * np.sinh(np.arcsinh(3.0 * q / (p * scale)) / 3.0), np.cbrt(q))
        return x - (x * x * x + p * x - q) / (3.0 * x * x + p)


def _check_n_convention(convention: str) -> None:
    if convention not in N_CONVENTIONS:
        raise ConventionError(
            message(f"{convention!r} cannot be converted", "one of " + ", ".join(map(repr, N_CONVENTIONS)))
        )

# SPDX-License-Identifier: Apache-2.0
"""One dial for a whole run: the rules of nanochat, from the depth to everything else, and what they cost.

The training script of nanochat (scripts/base_train.py at commit 00255c1) sets a run by its depth: width = 64 x depth,
heads of 128, tokens = ratio x (matrices + head), batch as D^0.383 from a tuned reference of depth 12, learning rates
as the square root of the batch, weight decay so that B / (lr x decay x D) stays. Here the same rules are a plan, with
what a law of loss says of it: the split that it would make of the same compute, and the compute that the rule wastes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import ConventionError
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.costs.transformer import Shape, count, parameters, training_flop
from forescale.fitting._fit import Finding
from forescale.planning import _evidence
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._curves import banded
from forescale.planning._frontier import SPLIT, Frontier, at, frontier, least_compute, must_split, of_law
from forescale.planning._intervals import decided, expected, interval, of_estimate
from forescale.planning._plan import Basis, Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import TokensText
from forescale.planning._show import show

Array = NDArray[np.float64]

DIALS = (4, 8, 12, 16, 20, 24, 28, 32, 40)
"""Depths of the table."""

BATCH_POWER = 0.383
"""B grows as D^0.383 (nanochat, after Bergsma et al. 2025)."""


class OneDialQuery(BaseModel):
    """The dial, and the settings of the rules, which are those of nanochat unless said otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    depth: int = Field(ge=1, le=1000, description="the dial: number of blocks, e.g. 20")
    ratio: float = Field(12.0, gt=0, description="tokens per parameter of matrices and head, e.g. 12")
    aspect: int = Field(64, ge=1, description="width / depth, e.g. 64")
    head_dim: int = Field(128, ge=1, description="dimension of a head; the width is rounded up to it, e.g. 128")
    vocab: int = Field(32_768, ge=2, description="entries of the vocabulary, e.g. 32768")
    context: int = Field(2_048, ge=1, description="tokens of one sequence, e.g. 2048")
    tuned_depth: int = Field(12, ge=1, description="depth at which batch, rates and decay were tuned, e.g. 12")
    tuned_batch: TokensText = Field(524_288.0, description="best batch there, in tokens, e.g. 524288")
    matrix_lr: float = Field(0.02, gt=0, description="learning rate of the matrices there (Muon), e.g. 0.02")
    embedding_lr: float = Field(0.3, gt=0, description="learning rate of the embedding there (Adam), e.g. 0.3")
    head_lr: float = Field(0.008, gt=0, description="learning rate of the head there (Adam), e.g. 0.008")
    weight_decay: float = Field(0.28, ge=0, description="weight decay of the matrices there, e.g. 0.28")
    warmdown: float = Field(0.65, ge=0, le=1, description="share of the steps that cool down, e.g. 0.65")


@dataclass(frozen=True)
class Dialled:
    """What the rules make of a depth. Learning rates and decay are those at the start of the cool-down."""

    shape: Shape
    counted: int
    tokens: float
    batch: float
    steps: int
    scale: float
    decay: float

    @property
    def trained(self) -> float:
        """Tokens in whole steps."""
        return self.batch * self.steps


def dialled(query: OneDialQuery, depth: int) -> Dialled:
    """The rules of the script, step by step."""
    shape = _shape(query, depth)
    counted = parameters(shape).matrices_head
    tokens = query.ratio * counted
    tuned = query.ratio * parameters(_shape(query, query.tuned_depth)).matrices_head
    batch = 2.0 ** round(math.log2(query.tuned_batch * (tokens / tuned) ** BATCH_POWER))
    scale = math.sqrt(batch / query.tuned_batch)
    return Dialled(
        shape,
        counted,
        tokens,
        batch,
        max(int(tokens // batch), 1),
        scale,
        query.weight_decay * scale * tuned / tokens,
    )


def _shape(query: OneDialQuery, depth: int) -> Shape:
    width = math.ceil(depth * query.aspect / query.head_dim) * query.head_dim
    heads = width // query.head_dim
    return Shape(depth, width, heads, heads, 4 * width, query.vocab, query.context, tied=False, gated_mlp=False)


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: OneDialQuery) -> Plan:
    """The run that the dial sets, and what a law says of it.

    Raises:
        RefusedError: a law without a compute-optimal split, or one that counts parameters as no shape can.
    """
    basis, level = grounds.laws["loss"], grounds.level
    alone = first(grounds).laws["loss"]
    surface = basis.surface
    must_split(surface.law, "has no split to compare the dial with", *SPLIT)
    counted, owed = _evidence.stated(surface.conventions, "N", "total")
    made = dialled(query, query.depth)
    n, d = _size(made.shape, counted), made.trained
    C = 6.0 * n * d
    loss, worth, best = _judged(basis, n, d)
    wasted = _waste(worth, C)
    answered = np.isfinite(loss) & np.isfinite(worth) & np.isfinite(best.N[:, 0])
    own = best.D[:, 0] / best.N[:, 0]
    per_counted = _ratio(made.shape, own, counted)
    data_unit, _ = _evidence.stated(surface.conventions, "D", "tokens")
    unit, _ = _evidence.stated(surface.conventions, "loss", "loss")
    shape = made.shape
    decision: dict[str, Decided] = {
        "depth": _plain(shape.depth, "count", "blocks"),
        "width": _plain(shape.width, "count", "width of the residual stream"),
        "heads": _plain(shape.heads, "count", "heads"),
        "N": _plain(n, "parameters", f"parameters N ({counted})"),
        "counted": _plain(made.counted, "parameters", "parameters that the rule counts (matrices and head)"),
        "D": _plain(d, data_unit, f"{data_unit} D, in whole steps"),
        "batch_tokens": _plain(made.batch, "count", "tokens per step"),
        "steps": _plain(made.steps, "count", "steps"),
        "warmdown_steps": _plain(round(query.warmdown * made.steps), "count", "of these cooling down, at the end"),
        "matrix_lr": _plain(query.matrix_lr * made.scale, "", "learning rate of matrices (Muon)"),
        "embedding_lr": _plain(query.embedding_lr * made.scale, "", "learning rate of the embedding (Adam)"),
        "head_lr": _plain(query.head_lr * made.scale, "", "learning rate of the head (Adam)"),
        "weight_decay": _plain(made.decay, "", "weight decay of matrices"),
        "flop": _plain(training_flop(shape, "palm") * d, "FLOP", "compute as the script counts it"),
        "C": _plain(C, "FLOP", "compute C (6ND)"),
        "wasted": decided(wasted, "%", level, "of the compute that the law's split would not need"),
        "N_best": decided(best.N[:, 0], "parameters", level, "parameters of the law's split of the same compute"),
        "D_best": decided(best.D[:, 0], data_unit, level, f"{data_unit} of it"),
        "ratio_best": decided(per_counted, "tokens/parameter", level, "its ratio, as the rule counts parameters"),
    }
    lost = of_estimate(wasted)
    headline = (
        f"Depth {shape.depth} is {format_short(n, 'parameters')} parameters on {format_short(d)} {data_unit} in "
        f"{made.steps:,} steps of {format_short(made.batch)}. The law would train "
        f"{format_short(of_estimate(best.N), 'parameters')} on {format_short(of_estimate(best.D))} for the same "
        f"compute; the dial wastes {show(lost, '%')} of it."
    )
    return composed(
        grounds,
        planner,
        query,
        headline=headline,
        decision=decision,
        binding=f"the dial: depth = {query.depth}, with ratio = {query.ratio:g}",
        expected={"loss": expected(basis, unit, _evidence.labelled("loss", unit), **of_law(surface, n, d))},
        tables=[_dials(alone, query, counted), _ratios(alone, query, made, counted)],
        curves=_curves(basis, query, counted, level),
        warnings=_warnings(query, wasted, level),
        assumptions=[
            "The rules are those of nanochat's training script at one commit (00255c1); it changes its ratio often.",
            "Its table of value embeddings is left out: it adds parameters that are looked up, not multiplied.",
            "What a wrong batch, rate or decay costs is not in the law: see the plans of learning-rate and batch.",
            *([owed] if owed else []),
        ],
        answered=answered,
        at={"loss": {"N": n, "D": d}},
        C=C,
    )


def _plain(value: float, unit: str, meaning: str) -> Decided:
    return Decided(float(value), None, None, unit, meaning)


def _size(shape: Shape, counted: str) -> float:
    try:
        return float(count(shape, counted))
    except ConventionError as error:
        raise refused(f"the law counts N as {counted!r}", "total, non-embedding or matrices+head") from error


def _judged(basis: Basis, n: float, d: float) -> tuple[Array, Array, Frontier]:
    """Loss, the compute that the law would need for it, and the law's split of 6 n d."""
    C = 6.0 * n * d
    loss = at(basis.surface, [n], [d])[:, 0]
    # A hair above C, so that a loss that is optimal to rounding still lies inside.
    worth = least_compute(basis.surface, loss, between=(1e-9 * C, C * (1 + 1e-6)), accuracy=1e-12).C
    return loss, worth, frontier(basis.surface, [C])


def _waste(worth: Array, C: float) -> Array:
    """(B,) share of C, in %, that the law's split would not need; below the accuracy of `worth` it is none."""
    wasted = 100.0 * (1.0 - worth / C)
    return np.where(np.abs(wasted) < 1e-3, 0.0, wasted)


def _ratio(shape: Shape, ratio: Array, counted: str) -> Array:
    """Tokens per parameter of the law's count, as tokens per parameter of matrices and head of this shape."""
    return ratio * _size(shape, counted) / parameters(shape).matrices_head


def _dials(basis: Basis, query: OneDialQuery, counted: str) -> Table:
    """The same rules at other depths."""
    lines: list[tuple[float | str | None, ...]] = []
    for depth in sorted({*DIALS, query.depth}):
        made = dialled(query, depth)
        n, d = _size(made.shape, counted), made.trained
        loss, worth, best = _judged(basis, n, d)
        C = 6.0 * n * d
        lines.append(
            (
                float(depth), float(made.shape.width), n, d, made.batch, float(made.steps), C, float(loss[0]),
                float(_waste(worth, C)[0]), float(best.N[0, 0]), float(best.D[0, 0] / best.N[0, 0]),
                "this plan" if depth == query.depth else "",
            )
        )  # fmt: skip
    return Table(
        "alternatives",
        "The dial at other depths",
        (
            ("depth", "count"), ("width", "count"), ("N", "parameters"), ("D", "tokens"), ("batch", "count"),
            ("steps", "count"), ("C", "FLOP"), ("loss", "loss"), ("wasted", "%"), ("law's N", "parameters"),
            ("law's D/N", "tokens/parameter"), ("", ""),
        ),
        tuple(lines),
    )  # fmt: skip


def _ratios(basis: Basis, query: OneDialQuery, made: Dialled, counted: str) -> Table:
    """The same depth with other ratios: less or more training than the law would give."""
    lines: list[tuple[float | str | None, ...]] = []
    n = _size(made.shape, counted)
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        ratio = query.ratio * factor
        d = ratio * made.counted
        loss, worth, _ = _judged(basis, n, d)
        waste = float(_waste(worth, 6.0 * n * d)[0])
        lines.append((ratio, d, 6.0 * n * d, float(loss[0]), waste, "this plan" if factor == 1.0 else ""))
    return Table(
        "sensitivity",
        "The same depth, trained for less or more",
        (("ratio", "tokens/parameter"), ("D", "tokens"), ("C", "FLOP"), ("loss", "loss"), ("wasted", "%"), ("", "")),
        tuple(lines),
        "A ratio above the law's wastes training compute and saves it when the model is served.",
    )


def _curves(basis: Basis, query: OneDialQuery, counted: str, level: float) -> dict[str, Frozen[str, Array]]:
    """Waste against the dial, with its interval."""
    depths = np.array(sorted({*DIALS, query.depth}), dtype=np.float64)
    found = []
    for depth in depths:
        made = dialled(query, int(depth))
        n, d = _size(made.shape, counted), made.trained
        _, worth, _ = _judged(basis, n, d)
        found.append(_waste(worth, 6.0 * n * d))
    waste = np.stack(found, axis=1)
    return {"compute wasted by the dial (%)": banded({"depth": depths}, "wasted", waste, level)}


def _warnings(query: OneDialQuery, wasted: Array, level: float) -> list[Finding]:
    ends = interval(wasted, level)
    far = max(query.depth / query.tuned_depth, query.tuned_depth / query.depth)
    found = []
    if ends is not None and ends[0] > 5.0:
        found.append(
            Finding(
                "wasteful",
                "amber",
                f"Under this law the rule wastes {show(ends[0], '%')} of the compute or more.",
                "Its ratio was measured on other data: fit a law to runs of one's own before changing it.",
            )
        )
    if far > 2.0:
        found.append(
            Finding(
                "far-from-tuned",
                "amber",
                f"Depth {query.depth} is {far:.3g}x the depth at which batch, rates and decay were tuned.",
                "Check one learning rate to each side there.",
            )
        )
    return found


planner = Planner(
    id="one-dial",
    question="What run does a single dial set, and what does that cost against a law?",
    query=OneDialQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "loss of a model of N parameters trained on D tokens",
            laws=("chinchilla",),
            inputs=("N", "D"),
            default="chinchilla:besiroglu2024",
        ),
    ),
    papers=("karpathy2025nanochat", "bergsma2025", "hoffmann2022"),
    example=Frozen({"depth": 20}),
    topic="all together",
)

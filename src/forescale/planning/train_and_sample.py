# SPDX-License-Identifier: Apache-2.0
"""How large a model, on how much data, with how many samples for each problem, is the cheapest over its life?

Training (6ND) and all samples that will ever be drawn are paid for together, and a share of the problems must be
solved: a better model needs fewer samples. Coverage comes from a surface in training compute and samples (Krajewski
et al. 2025); compute on its path stands for a loss, and a loss can be reached with fewer parameters on more tokens,
as in Sardana et al. (2024). For each number of samples the cheapest model follows; the least of these bills is the
answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting.surface import Surface
from forescale.numerics.optimum import Where, root
from forescale.planning import _evidence, _overtrained
from forescale.planning._alone import first
from forescale.planning._compose import composed, refused
from forescale.planning._coverage import unerring
from forescale.planning._frontier import at, frontier, least_compute
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._lifetime import Bill, cheapest, sizes_for
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import TokensText
from forescale.planning._show import show

Array = NDArray[np.float64]

PATH = 3e11
"""Tokens that every Pythia was trained on: the path of the published surface."""

STEPS = 25  # numbers of samples that are tried, even in the logarithm
WITHIN = 0.01  # choices whose bill is within 1 % of the least are as good
_LEAST, _MOST = 1e10, 1e40  # FLOP


class TrainAndSampleQuery(BaseModel):
    """What share must be solved, how many problems there will be, and how long prompts and samples are."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    target: float = Field(gt=0, lt=1, description="share of the problems to be solved, e.g. 0.6")
    problems: float = Field(gt=0, description="problems that the model will meet in its life, e.g. 1e9")
    prompt_tokens: float = Field(1000.0, ge=0, description="tokens of a prompt, paid for once, e.g. 1000")
    answer_tokens: float = Field(300.0, gt=0, description="tokens of one sample, e.g. 300")
    max_samples: int = Field(10_000, ge=1, description="most samples for a problem, as the checker allows, e.g. 100")
    stop: bool = Field(True, description="stop at the first sample that a checker, taken not to err, finds right")
    path_tokens: TokensText | None = Field(
        None, description="tokens of all runs behind the coverage surface, where they had one number, e.g. 300B"
    )


@dataclass(frozen=True, eq=False)
class _Ways:
    """The cheapest model for each number of samples: arrays (K,) or (B, K)."""

    k: Array
    C: Array
    loss: Array
    N: Array
    D: Array
    drawn: Array
    training: Array
    serving: Array

    @property
    def total(self) -> Array:
        return self.training + self.serving


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: TrainAndSampleQuery) -> Plan:
    """Size, tokens and samples of the least bill.

    Raises:
        RefusedError: a law without a compute-optimal split, a target that no model reaches.
    """
    law = grounds.law("loss")
    if "compute-optimal" not in law.valid_for or law.optimum is None:
        raise refused(
            f"the law {law.id!r} has no compute-optimal split in closed form, and this plan needs many of them",
            "chinchilla, kaplan or skaling",
            "fit chinchilla",
        )
    ways = _ways(grounds, query, _counts(grounds, query))
    total = np.where(np.isfinite(ways.total), ways.total, np.inf)
    own = np.argmin(total, axis=1)
    j = int(own[0])
    if not math.isfinite(total[0, j]):
        raise refused(
            f"no model solves {show(100 * query.target, '%')} of the problems with {query.max_samples:,} samples",
            "a lower target, or more samples",
        )
    row = np.arange(grounds.rows)
    level, basis = grounds.level, grounds.laws["loss"]
    N, D, k = ways.N[row, own], ways.D[row, own], ways.k[own]
    training, serving, C = ways.training[row, own], ways.serving[row, own], ways.C[row, own]
    one = total[:, 0]
    decision: dict[str, Decided] = {
        "N": decided(N, "parameters", level, "parameters N"),
        "D": decided(D, "tokens", level, "tokens D"),
        "D/N": decided(D / N, "tokens/parameter", level, "tokens per parameter"),
        "samples": decided(k, "count", level, "samples for each problem, at most"),
        "drawn": decided(ways.drawn[row, own], "count", level, "samples really drawn, mean"),
        "training": decided(training, "FLOP", level, "compute of training (6ND)"),
        "serving": decided(serving, "FLOP", level, f"compute of {format_short(query.problems)} problems"),
        "total": decided(training + serving, "FLOP", level, "compute of both"),
        "saving": decided(100.0 * (1.0 - total.min(axis=1) / one), "%", level, "of the bill with one sample"),
        "C_path": decided(C, "FLOP", level, "compute of the run of the surface that is as good"),
    }
    n, d, best = of_estimate(N), of_estimate(D), ways.k[j]
    bound = best == ways.k[-1]
    c = of_estimate(C)
    few = f"{best:,.0f} sample{'' if best == 1 else 's'}"
    beside = (
        f"; one sample would cost {show(of_estimate(one / total.min(axis=1)), 'x')} as much"
        if best > 1 and math.isfinite(one[0])
        else ""
    )
    return composed(
        grounds,
        planner,
        query,
        headline=(
            f"Train {format_short(n, 'parameters')} parameters on {format_short(d)} tokens and draw up to {few} for "
            f"each problem: {100 * query.target:.6g} % are solved for "
            f"{format_short(of_estimate(training + serving), 'flop')} in all{beside}."
        ),
        decision=decision,
        binding=f"max_samples = {query.max_samples:,}" if bound else "the target",
        tables=[_sensitivity(ways, level), _alternatives(ways, total), _margins(first(grounds), query, n, d, best)],
        curves={
            "compute (FLOP)": Frozen(
                {
                    "samples": ways.k,
                    "both": ways.total[0],
                    "training": ways.training[0],
                    "serving": ways.serving[0],
                }
            )
        },
        warnings=[
            *_overtrained.ratio_findings(basis, d / n),
            *_evidence.distance_findings(grounds.laws["coverage"], c, attempts=float(best)),
            *unerring(best),
        ],
        assumptions=[
            "Training costs 6ND, a token of prompts and samples 2N; a prompt is paid for once.",
            "A problem is solved when any sample is right, and a checker that never errs finds it for nothing.",
            _path(grounds, query),
        ],
        answered=np.isfinite(total.min(axis=1)),
        at={"loss": {"N": n, "D": d}},
        C=6.0 * n * d,
    )


def _counts(grounds: Grounds, query: TrainAndSampleQuery) -> Array:
    """(K,) numbers of samples to try: even in the logarithm, and closer together around the best of the estimate."""
    k = np.unique(np.round(np.geomspace(1.0, float(query.max_samples), STEPS)))
    total = _ways(first(grounds), query, k).total[0]
    j = int(np.argmin(np.where(np.isfinite(total), total, np.inf)))
    near = np.geomspace(k[max(j - 1, 0)], k[min(j + 1, len(k) - 1)], STEPS)
    return np.union1d(k, np.round(near))


def _ways(grounds: Grounds, query: TrainAndSampleQuery, k: Array) -> _Ways:
    """The cheapest model for each number of samples; parameter vectors and numbers of samples are solved together."""
    shape = (grounds.rows, len(k))
    C = _compute(grounds, query.target, k)
    loss = _loss_of(grounds, query, C)
    drawn = np.broadcast_to(k, shape)
    if query.stop:
        drawn = np.stack([samples_drawn(grounds, C[:, j], float(n)) for j, n in enumerate(k)], axis=1)
    tokens = query.problems * (query.prompt_tokens + drawn * query.answer_tokens)
    # Only the worth of the samples in training tokens decides.
    bill = Bill(1.0, lambda size: np.nan * size, (tokens / 3.0).ravel())
    found = cheapest(_repeated(grounds.laws["loss"].surface, len(k)), loss.ravel(), bill)
    N, D = found.N.reshape(shape), found.D.reshape(shape)
    return _Ways(k, C, loss, N, D, drawn, 6.0 * N * D, 2.0 * N * tokens)


def _repeated(surface: Surface, times: int) -> Surface:
    """Each parameter vector that often in a row."""
    params = {name: np.repeat(values, times, axis=0) for name, values in surface.params.items()}
    return replace(surface, params=Frozen(params))


def _compute(grounds: Grounds, target: float, k: Array) -> Array:
    """(B, K) compute on the path of the surface at which k samples solve the target; infinite where none does."""
    surface = _repeated(grounds.laws["coverage"].surface, len(k))
    samples = np.tile(k, grounds.rows)[:, None]
    wide = np.ones(len(samples))
    found = root(lambda C: surface.loss(C=C, attempts=samples) - target, _LEAST * wide, _MOST * wide, rtol=1e-12)
    lost = np.where(found.where == Where.UPPER, np.inf, np.nan)
    return np.where(found.found, found.x, lost).reshape(grounds.rows, len(k))


def _loss_of(grounds: Grounds, query: TrainAndSampleQuery, C: Array) -> Array:
    """(B, K) loss of the run of the surface's path with compute C: on `path_tokens`, or compute-optimal."""
    surface = grounds.laws["loss"].surface
    tokens = _path_tokens(grounds, query)
    known = np.isfinite(C)
    safe = np.where(known, C, 1e20)
    loss = (
        frontier(surface, safe).loss
        if tokens is None
        else at(surface, safe / (6.0 * tokens), np.full_like(C, tokens))
    )
    return np.where(known, loss, np.nan)


def _path_tokens(grounds: Grounds, query: TrainAndSampleQuery) -> float | None:
    if query.path_tokens is not None:
        return query.path_tokens
    return PATH if "coverage" in grounds.defaulted else None


def samples_drawn(grounds: Grounds, C: Array, most: float) -> Array:
    """(B,) mean samples until one is right, `most` at the end: the sum of what j samples leave unsolved, j < most."""
    surface = grounds.laws["coverage"].surface
    j = np.unique(np.round(np.concatenate([np.arange(1.0, min(most, 64.0) + 1), np.geomspace(1.0, most, 80)])))
    fail = 1.0 - surface.loss(C=np.broadcast_to(C[:, None], (len(C), len(j))), attempts=j)
    # Between the points the share unsolved is a line: its sum over whole numbers is exact.
    width = np.diff(j)
    steps = width * (fail[:, :-1] + fail[:, 1:]) / 2.0 + (fail[:, :-1] - fail[:, 1:]) / 2.0
    return np.asarray(1.0 + steps.sum(axis=1))


# ------------------------------------------------------------------------------------------------- tables and words


def _sensitivity(ways: _Ways, level: float) -> Table:
    own = int(np.nanargmin(ways.total[0]))
    least = float(ways.total[0, own])
    # One row for each factor of two or so, and that of the plan.
    step = np.unique(np.searchsorted(ways.k, np.geomspace(1.0, ways.k[-1], STEPS // 2)))
    lines: list[tuple[float | str | None, ...]] = []
    for j in sorted({*step.tolist(), own}):
        if math.isfinite(ways.total[0, j]):
            ends = interval(ways.total[:, j], level) or (None, None)
            lines.append(
                (
                    float(ways.k[j]), float(ways.drawn[0, j]), float(ways.N[0, j]), float(ways.D[0, j]),
                    float(ways.training[0, j]), float(ways.total[0, j]), *ends,
                    100.0 * float(ways.total[0, j] / least - 1.0),
                )
            )  # fmt: skip
    return Table(
        "sensitivity",
        "What another number of samples costs, each with its own cheapest model",
        (
            ("samples", "count"), ("drawn", "count"), ("N", "parameters"), ("D", "tokens"), ("training", "FLOP"),
            ("both", "FLOP"), ("from", "FLOP"), ("to", "FLOP"), ("too much", "%"),
        ),
        tuple(lines),
    )  # fmt: skip


def _alternatives(ways: _Ways, total: Array) -> Table:
    good = np.flatnonzero(total[0] <= total[0].min() * (1.0 + WITHIN))
    lines = tuple(
        (float(ways.k[j]), float(ways.N[0, j]), float(ways.D[0, j]), float(total[0, j]),
         100.0 * float(total[0, j] / total[0].min() - 1.0))
        for j in dict.fromkeys([good[0], int(np.argmin(total[0])), good[-1]])
    )  # fmt: skip
    return Table(
        "alternatives",
        f"Within {100 * WITHIN:g} % of the least bill: fewest, best and most samples",
        (("samples", "count"), ("N", "parameters"), ("D", "tokens"), ("both", "FLOP"), ("more", "%")),
        lines,
    )


def _margins(alone: Grounds, query: TrainAndSampleQuery, n: float, d: float, k: float) -> Table:
    """What one per cent more parameters, tokens or samples costs, and what it solves."""
    step = 1e-3
    up, down = math.exp(step), math.exp(-step)
    each = query.prompt_tokens, query.answer_tokens

    def solved(N: float, D: float, samples: float) -> tuple[float, float]:
        C = _as_good(alone, query, N, D)
        return float(alone.values("coverage", C=C[:, None], attempts=samples)[0, 0]), float(
            samples_drawn(alone, C, k)[0] if query.stop else k
        )

    def bill(N: float, D: float, drawn: float) -> float:
        return 6.0 * N * D + 2.0 * N * query.problems * (each[0] + drawn * each[1])

    share, drawn = solved(n, d, k)
    whole = bill(n, d, drawn)
    lines: list[tuple[float | str | None, ...]] = []
    for words, ends in (
        ("parameters", ((n * up, d), (n * down, d))),
        ("tokens", ((n, d * up), (n, d * down))),
    ):
        (more, drawn_more), (less, drawn_less) = (solved(*end, k) for end in ends)
        cost = bill(*ends[0], drawn_more) - bill(*ends[1], drawn_less)
        lines.append(_margin(words, cost / whole / (2 * step), (more - less) / (2 * step)))
    # One sample more is drawn where all before it were wrong.
    further = k * (1.0 - share if query.stop else 1.0)
    cost = 2.0 * n * query.problems * each[1] * further / whole
    lines.append(_margin("samples", cost, (solved(n, d, k * up)[0] - solved(n, d, k * down)[0]) / (2 * step)))
    return Table(
        "margins",
        "What one per cent more of each costs and solves",
        (("of", ""), ("bill +", "%"), ("solved +", "%"), ("bill per point", "%")),
        tuple(lines),
        "bill per point: part of the bill for one more per cent of the problems; equal for all where nothing but the "
        "target binds, and cheapest in what is held back.",
    )


def _margin(words: str, cost: float, gain: float) -> tuple[float | str | None, ...]:
    """The row of one choice: what the share of the bill, and that of the problems, is per unit of its logarithm."""
    return words, cost, gain, cost / gain


def _as_good(grounds: Grounds, query: TrainAndSampleQuery, N: float, D: float) -> Array:
    """(B,) compute of the run of the surface's path that has the loss of N parameters on D tokens."""
    surface = grounds.laws["loss"].surface
    loss = at(surface, [N], [D])[:, 0]
    tokens = _path_tokens(grounds, query)
    return least_compute(surface, loss).C if tokens is None else 6.0 * tokens * sizes_for(surface, tokens, loss)


def _path(grounds: Grounds, query: TrainAndSampleQuery) -> str:
    tokens = _path_tokens(grounds, query)
    runs = "compute-optimal" if tokens is None else f"trained on {format_short(tokens)} tokens"
    return (
        f"The runs of the coverage surface were {runs} (path_tokens), models of one loss solve the same problems, "
        "and both laws count parameters alike."
    )


planner = Planner(
    id="train-and-sample",
    question="How large a model, and how many samples for each problem, is the cheapest over its life?",
    query=TrainAndSampleQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "the loss of a model of N parameters trained on D tokens",
            laws=("chinchilla",),
            inputs=("N", "D"),
            default="chinchilla:besiroglu2024",
        ),
        Part(
            "coverage",
            "share of problems solved by samples of a model trained with a compute C",
            laws=("coverage-surface",),
            default="coverage-surface:pythia-math",
        ),
    ),
    papers=("krajewski2025", "sardana2024"),
    example=Frozen({"target": 0.5, "problems": 1e9, "max_samples": 100}),
    topic="all together",
)

# SPDX-License-Identifier: Apache-2.0
"""In how many bits should a model be served, and in how many trained?

Served: quantising the weights of a trained model adds k D^beta / (N^alpha bits^gamma) to its loss (Ouyang et al.
2024, the unified law). Whether that pays is asked at equal memory: a model of b bits holds 16 / b times the
parameters of one in 16 bits. Trained: the loss of a floating-point format (Sun et al. 2025, the unified law: best
split into exponent and mantissa, critical data size, cost-optimal bits) and, from a fit of the user's own runs, of
bits for weights and activations (Kumar et al. 2024, effective parameters).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.costs import serving
from forescale.costs.hardware import device
from forescale.fitting._fit import Finding
from forescale.laws.float_precision import best_bits, best_split
from forescale.laws.quantisation import allowed_tokens
from forescale.planning import _bits
from forescale.planning._alone import first
from forescale.planning._bits import FULL, Asked, InMemory
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner
from forescale.planning._quantities import BudgetText, ParamsText, TokensText
from forescale.planning._show import show

Array = NDArray[np.float64]


class PrecisionQuery(BaseModel):
    """A model, its tokens, and the bits asked about."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    N: ParamsText = Field(description="parameters of the model, e.g. 8B")
    D: TokensText = Field(description="tokens it is trained on, e.g. 1T")
    bits: float = Field(4.0, ge=1.5, le=12.0, description="bits per weight to quantise to after training, e.g. 4")
    tolerance: float = Field(0.05, gt=0, description="loss that quantising may add, nats per token, e.g. 0.05")
    block: int = Field(128, ge=2, description="numbers that share one 16-bit scaling factor, e.g. 128")
    vocab: int = Field(50_304, ge=2, description="entries of the vocabulary: no loss exceeds guessing, e.g. 50304")
    budget: BudgetText | None = Field(
        None, description="training compute, counted in 16 bits, to find N, D and format together for: '1e22 FLOP'"
    )
    device: str = Field("H100", description="device that serves, e.g. H100")
    batch: int = Field(1, ge=1, description="sequences served at once, e.g. 1")
    context: int = Field(4_096, ge=1, description="tokens of context while serving, e.g. 4096")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: PrecisionQuery) -> Plan:
    """The plan of bits: after training and while training.

    Raises:
        QueryError: a budget in device time or dollars, or too small.
        QuantityError: an unknown device.
        RefusedError: constants without an answer, or a model that the law of the loss puts above guessing.
    """
    asked, alone = Asked(grounds, query), Asked(first(grounds), query)
    before = asked.trained(query.N)[:, 0]
    rise = asked.added(query.N, query.bits)[:, 0]
    after = asked.after(query.N, query.bits)[:, 0]
    gain = asked.trained(query.N * query.bits / FULL)[:, 0] - after
    bits_trained = best_bits(query.D, query.block, **asked.constants("format"))
    whole = np.isfinite(gain) & np.isfinite(rise) & np.isfinite(bits_trained)
    if not whole[0]:
        raise refused("a loss before or after quantising is not finite", "finite constants of all laws")
    if before[0] >= asked.guessing:
        raise refused(
            f"The loss of {format_short(query.N)} parameters on {format_short(query.D)} tokens would be "
            f"{before[0]:.4g} in 16 bits, no better than guessing among {query.vocab:,} words ({asked.guessing:.4g})",
            "a model that the law of the loss knows",
            "a larger N or D",
        )
    share, memory = asked.size_of(after), asked.best_at_memory()
    server = serving.Server(device(query.device))
    few, full = (_bits.decoder(query, bits) for bits in (query.bits, FULL))
    slow, fast = (serving.decode_seconds(d, server, query.batch, query.context) for d in (full, few))

    level, said = grounds.level, f"{query.bits:g} bits"
    shape = asked.constants("format")
    e, m = best_split(bits_trained, shape["delta"], shape["nu"])
    allowed = allowed_tokens(query.tolerance, query.N, query.bits, **asked.constants("quantised"))
    lost = 100.0 * (1.0 - asked.scale_of(after) ** 2)
    decision: dict[str, Decided] = {
        "gain": decided(gain, "loss", level, f"loss saved by {said} against 16 in the same memory"),
        "rise": decided(rise, "loss", level, f"loss that quantising to {said} adds"),
        "loss": decided(after, "loss", level, "loss that is left after quantising"),
        "N_equivalent": decided(share * query.N, "parameters", level, "parameters of equal loss in 16 bits, same D"),
        "compute_lost": decided(lost, "%", level, "training compute lost, at the same D/N"),
        "gigabytes": Decided(float(few.weight_bytes) / 1e9, None, None, "GB", f"GB of weights in {said}"),
        "gigabytes_16": Decided(float(full.weight_bytes) / 1e9, None, None, "GB", "GB of weights in 16 bits"),
        "faster": Decided(float(slow / fast), None, None, "x", f"decoding on {server.device.name}, against 16 bits"),
        "best_bits": decided(memory.bits, "bits", level, "bits of least loss in the memory of this model"),
        "best_N": decided(query.N * query.bits / memory.bits, "parameters", level, "parameters that then fit"),
        "critical_D": decided(asked.turning(), "tokens", level, f"tokens beyond which more hurt in {said}"),
        "allowed_D": decided(allowed, "tokens", level, f"tokens at which quantising adds {query.tolerance:g}"),
        "train_bits": decided(bits_trained, "bits", level, "bits to train in, of least loss for N x bits x D"),
        "exponent_bits": decided(e, "bits", level, "of these for the exponent"),
        "mantissa_bits": decided(m, "bits", level, "of these for the mantissa (the sign has one)"),
    }
    tables = [
        _bits.same_model(alone),
        _bits.same_memory(alone, float(memory.loss[0])),
        _bits.other_lengths(alone),
        _bits.formats(alone),
    ]
    if grounds.has("integer"):
        decision["integer_bits"] = decided(
            _bits.best_integers(grounds), "bits", level, "whole-number bits, of weights and activations alike"
        )
        tables.append(_bits.integers(alone))
    if query.budget is not None:
        tables.append(_bits.budget(alone, _flop(query)))
    asked_of = {"N": query.N, "D": query.D}
    return composed(
        grounds,
        planner,
        query,
        headline=_headline(query, before[0], after[0], gain[0], share[0], float(slow / fast), memory.bits[0]),
        decision=decision,
        binding=f"the memory of {format_short(query.N)} parameters in {said}",
        tables=tables,
        curves=_bits.curves(alone),
        warnings=_warnings(asked, before, rise, gain, memory),
        assumptions=_assumptions(grounds, query),
        answered=whole,
        at={
            "loss": asked_of,
            "quantised": {**asked_of, "bits": query.bits},
            "format": asked_of,
            "integer": asked_of,
        },
    )


def _flop(query: PrecisionQuery) -> float:
    flop = getattr(query.budget, "flop", None)
    if flop is None:
        raise QueryError(
            message(f"budget = {query.budget}", "FLOP, counted in 16 bits: a device has another speed in each format")
        )
    return float(flop)


def _headline(
    query: PrecisionQuery, before: float, after: float, gain: float, share: float, faster: float, best: float
) -> str:
    smaller = format_short(query.N * query.bits / FULL)
    worth = f"{100 * share:.2g} %" if share >= 1e-4 else "next to none"
    verdict = "Quantise" if gain > 0 else "Do not quantise"
    least = f"; {best:.2g} bits are best in that memory" if math.isfinite(best) else ""
    return (
        f"{verdict} to {query.bits:g} bits: that adds {after - before:.3g} to a loss of {before:.4g}, {smaller} "
        f"parameters in 16 bits, which take the same memory, add {after + gain - before:.3g}. What is left is worth "
        f"{worth} of the parameters, at {show(faster, 'x')} the speed{least}."
    )


# --------------------------------------------------------------------------------------------------- what to say


def _warnings(asked: Asked, before: Array, rise: Array, gain: Array, memory: InMemory) -> list[Finding]:
    query, found = asked.query, list[Finding]()
    if before[0] + rise[0] > asked.guessing:
        found.append(
            Finding(
                "capped",
                "red",
                f"The law adds {rise[0]:.3g} to {before[0]:.3g}, more than guessing among {query.vocab:,} words "
                f"({asked.guessing:.3g}): it is a power without an end, and is cut there.",
                "Nothing is known about so few bits after so much training.",
            )
        )
    held, chip = _bits.held(query) / 1e9, device(query.device)
    if held > chip.memory / 1e9:
        found.append(
            Finding(
                "memory",
                "amber",
                f"In {query.bits:g} bits weights and cache take {held:,.4g} GB, and one {chip.name} holds "
                f"{chip.memory / 1e9:,.4g}: the speeds are those of a device that is large enough.",
            )
        )
    draws = gain[1:][np.isfinite(gain[1:])]
    against = float(np.mean((draws > 0) != (gain[0] > 0))) if draws.size else 0.0
    if against > (1 - asked.grounds.level) / 2:
        found.append(
            Finding(
                "undecided",
                "amber",
                f"{100 * against:.0f} % of the parameter draws decide the other way.",
                "Quantise one checkpoint and measure its loss: that settles it.",
            )
        )
    if not math.isfinite(memory.bits[0]):
        found.append(
            Finding(
                "no-best-bits",
                "amber",
                "Between 1 and 16 bits the loss at equal memory has no single lowest point by these laws.",
            )
        )
    return found


def _assumptions(grounds: Grounds, query: PrecisionQuery) -> list[str]:
    said = [
        "Quantising after training and training in few bits are alternatives: their losses are not added.",
        f"Weights in few bits carry a 16-bit scaling factor per {query.block} of them, beside their memory above.",
        f"Decoding: {query.batch} sequence{'s' if query.batch > 1 else ''} of {query.context:,} tokens, cache in 16 "
        "bits, at the peak of the device (roofline); kernels for few bits reach less of it.",
        "A training step costs in proportion to its bits: 6 N D bits / 16.",
        "N is one number: the law of quantising counts it without embeddings, the others as their sources say.",
    ]
    if "quantised" in grounds.defaulted:
        said.append(
            "What quantising adds was fitted to GPTQ on Pythia checkpoints in the middle of their learning-rate "
            "schedule, up to 206B tokens; other quantisers and annealed models lose differently."
        )
    if not grounds.has("integer"):
        said.append(
            "Nothing is said of bits for weights and activations apart: no published constants could be verified; "
            "give a fit of integer-precision to your own runs."
        )
    return said


planner = Planner(
    id="precision",
    question="In how many bits should a model be served, and in how many trained?",
    query=PrecisionQuery,
    answer=answer,
    parts=(
        Part(
            "loss",
            "loss of a model in 16 bits from parameters and tokens",
            laws=("chinchilla",),
            inputs=("N", "D"),
            default="chinchilla:besiroglu2024",
        ),
        Part(
            "quantised",
            "loss that quantising a trained model adds",
            laws=("quantisation",),
            default="quantisation:ouyang2024",
        ),
        Part(
            "format",
            "loss of training in a floating-point format",
            laws=("float-precision",),
            default="float-precision:sun2025",
        ),
        Part("integer", "loss of training in few bits", laws=("integer-precision",), optional=True),
    ),
    papers=("ouyang2024", "sun2025", "kumar2024"),
    example=Frozen({"N": "8B", "D": "1T", "bits": 4}),
)

# SPDX-License-Identifier: Apache-2.0
"""Learning rate and batch from one number: compute (DeepSeek LLM) or parameters (Porian et al., Kaplan et al.).

With `step_law` and `critical_batch` these are the rules that the Step Law paper compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from forescale.laws._law import Check, Law, Published, amplitude, real
from forescale.laws._terms import log_line


def of_compute(C: Any, a: Any, b: Any) -> Any:
    """y(C) = a C^b (DeepSeek LLM 2024)."""
    return a * C**b


def of_size(N: Any, a: Any, b: Any) -> Any:
    """y(N) = a N^b (Porian et al. 2024)."""
    return a * N**b


def of_log_size(N: Any, a: Any, b: Any) -> Any:
    """lr(N) = a - b ln N (Kaplan et al. 2020)."""
    return a - b * np.log(N)


_DEEPSEEK = (
    "DeepSeek LLM, multi-step schedule. C = M D, where M counts the FLOP of one token without embeddings, attention "
    "included: 72 layers d^2 + 12 layers d context. As commonly quoted; not checked against the paper itself."
)
_NOT_A_LOSS = "it predicts a setting, not a loss"


def _law(
    id: str,
    output: str,
    title: str,
    meaning: str,
    *,
    size: tuple[float, float],
    power: tuple[float, float],
    published: Mapping[str, Published],
    checks: tuple[Check, ...],
    traps: tuple[str, ...],
    of: str = "C",
) -> Law:
    """A power of one column, of either sign."""
    symbol = {"lr_peak": r"\eta", "batch_tokens": "B", "flop_per_token": "M", "D": "D"}[output]
    return Law(
        id=id,
        topic="training dynamics",
        title=title,
        inputs=(of,),
        output=output,
        params={
            "a": amplitude("prefactor", start=size),
            "b": real(f"power of {'compute' if of == 'C' else 'parameters'}", start=power),
        },
        formula=of_compute if of == "C" else of_size,
        linear=("a",),
        loss="log-squared",
        refuses={"compute-optimal": _NOT_A_LOSS},
        starts=log_line,
        latex=rf"{symbol}({of}) = a \, {of}^{{b}}",
        meaning=meaning,
        traps=traps,
        papers=tuple(dict.fromkeys((*(p.source for p in published.values()), "li2025steplaw"))),
        published=published,
        checks=checks,
    )


def _deepseek(a: float, b: float, note: str = "") -> dict[str, Published]:
    return {
        "deepseek2024": Published(
            values={"a": a, "b": b},
            source="deepseek2024",
            conventions={"C": "reported", "D": "tokens"},
            note=" ".join(part for part in (_DEEPSEEK, note) if part),
        )
    }


def _at(low: float, high: float) -> tuple[Check, ...]:
    return tuple(
        Check("deepseek2024", {"C": C}, value, 1e-3 * value, "deepseek2024")
        for C, value in ((1e20, low), (1e17, high))
    )


_COMPUTE_TRAP = (
    "C is M D with attention and without embeddings; read as 6 N D, rate and batch together cost 7.6 thousandths of "
    "the loss on the 17 cells of Step Law.",
    "Holds at a compute-optimal split: it cannot tell a small model on many tokens from a large one on few.",
)

lr_by_compute = _law(
    "lr-by-compute",
    "lr_peak",
    "Best peak learning rate: a power of compute",
    "One rate per budget, for models of the compute-optimal size: larger budgets want smaller rates.",
    size=(1e-4, 1e2),
    power=(-1.0, 1.0),
    published=_deepseek(0.3118, -0.1250, "The table of competitors in Li et al. 2025 prints .3188, a misprint."),
    checks=_at(9.860e-4, 2.338e-3),
    traps=_COMPUTE_TRAP,
)

batch_by_compute = _law(
    "batch-by-compute",
    "batch_tokens",
    "Best batch: a power of compute",
    "One batch per budget, in tokens, for models of the compute-optimal size.",
    size=(1e-6, 1e6),
    power=(-1.0, 1.0),
    published=_deepseek(0.2920, 0.3271),
    checks=_at(1.0171e6, 1.062e5),
    traps=(*_COMPUTE_TRAP, "Tokens, not sequences: divide by the context length."),
)

scale_by_compute = _law(
    "scale-by-compute",
    "flop_per_token",
    "Compute-optimal model scale: a power of compute",
    "The size of the model, counted as FLOP of one token, that IsoFLOP profiles find best at each budget.",
    size=(1e-6, 1e6),
    power=(0.0, 1.0),
    published=_deepseek(0.1715, 0.5243),
    checks=_at(5.251e9, 1.404e8),
    traps=(
        "FLOP per token, not parameters: a model of N parameters has about 6 N, and attention on top.",
        "Exponents of IsoFLOP parabolas carry the bias of that method (isoflop).",
    ),
)

tokens_by_compute = _law(
    "tokens-by-compute",
    "D",
    "Compute-optimal tokens: a power of compute",
    "The tokens that IsoFLOP profiles find best at each budget; C divided by scale-by-compute.",
    size=(1e-4, 1e4),
    power=(0.0, 1.0),
    published=_deepseek(5.8316, 0.4757),
    checks=_at(1.9045e10, 7.123e8),
    traps=(
        "The exponent follows the quality of the data, as DeepSeek found: it is no constant of nature.",
        "Exponents of IsoFLOP parabolas carry the bias of that method (isoflop).",
    ),
)

_PORIAN = {"D": "tokens"}
_PORIAN_NOTE = (
    "As the table of competitors in Li et al. 2025 prints it; which N it takes is not said there. With non-embedding "
    "N, rate and batch together cost 7.4 thousandths of the loss on the 17 cells of Step Law; their table says 3.7."
)

lr_by_size = _law(
    "lr-by-size",
    "lr_peak",
    "Best peak learning rate: a power of parameters",
    "Larger models want smaller rates, whatever their number of tokens: fitted where tokens follow parameters.",
    size=(1e-4, 1e4),
    power=(-1.0, 1.0),
    published={
        "porian2024": Published(
            values={"a": 3.7, "b": -0.36}, source="porian2024", conventions=_PORIAN, note=_PORIAN_NOTE
        )
    },
    checks=(Check("porian2024", {"N": 1e9}, 2.1294e-3, 1e-6, "porian2024"),),
    traps=("Tokens do not enter: fitted near the compute-optimal ratio of tokens to parameters, off it it errs.",),
    of="N",
)

batch_by_size = _law(
    "batch-by-size",
    "batch_tokens",
    "Best batch: a power of parameters",
    "Larger models want larger batches, in tokens: fitted where tokens follow parameters.",
    size=(1e-6, 1e6),
    power=(-1.0, 2.0),
    published={
        "porian2024": Published(
            values={"a": 0.7576, "b": 0.703}, source="porian2024", conventions=_PORIAN, note=_PORIAN_NOTE
        )
    },
    checks=(Check("porian2024", {"N": 1e9}, 1.6089e6, 1e3, "porian2024"),),
    traps=(
        "Tokens do not enter: fitted near the compute-optimal ratio of tokens to parameters, off it it errs.",
        "Tokens, not sequences: divide by the context length.",
    ),
    of="N",
)

lr_by_log_size = Law(
    id="lr-by-log-size",
    topic="training dynamics",
    title="Peak learning rate: linear in the logarithm of parameters",
    inputs=("N",),
    output="lr_peak",
    params={
        "a": real("rate of one parameter", start=(-1e-2, 1e-2)),
        "b": amplitude("fall of the rate per e-fold of parameters", start=(1e-6, 1e-2)),
    },
    formula=of_log_size,
    linear=("a", "b"),
    decreasing_in=("N",),
    loss="squared",
    refuses={"compute-optimal": _NOT_A_LOSS},
    latex=r"\eta(N) = a - b \ln N",
    meaning=(
        "Kaplan et al.'s rule of thumb for their own sweeps, kept for comparison: a straight line in the logarithm "
        "of non-embedding parameters."
    ),
    traps=(
        "It ends: with the published constants the rate is zero at 1.2e10 parameters and negative beyond.",
        "Neither tokens nor batch enter.",
    ),
    papers=("kaplan2020", "li2025steplaw"),
    published={
        "kaplan2020": Published(
            values={"a": 3.239e-3, "b": 1.395e-4},
            source="kaplan2020",
            conventions={"N": "non-embedding"},
            note=(
                "WebText2. With the critical batch it costs more on the cells of Step Law than any other rule that "
                "the study step-law compares."
            ),
        )
    },
    checks=(Check("kaplan2020", {"N": 1e9}, 3.4811e-4, 1e-8, "kaplan2020"),),
)

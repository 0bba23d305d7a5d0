# SPDX-License-Identifier: Apache-2.0
"""Knowledge that a model holds, in bits (Allen-Zhu & Li 2024, Physics of Language Models 3.3).

People with a name and six attributes, drawn at random: how many bits of them a trained model stores follows from its
losses, because what was not stored must be paid for when it is said.
"""

from __future__ import annotations

import math
from typing import Any

from forescale.laws._law import Check, Law, Published, amplitude

NAMES = 400 * 400 * 1000
"""Different full names of the data bioS."""

ATTRIBUTES = 2 * (12 * 28 * 200) * 200 * 300 * 100 * 263
"""Different sets of attributes: pronoun, birth date, city, university, major, employer."""


def stored(N: Any, R: Any) -> Any:
    """bits = R N (Allen-Zhu & Li 2024, result 1)."""
    return R * N


def biography_bits(people: float) -> float:
    """Bits in the biographies of so many people: n log2(names / n) + n log2(attributes)."""
    return people * (math.log2(NAMES / people) + math.log2(ATTRIBUTES))


def bits_per_parameter(people: float, parameters: float, name_nats: float, value_nats: float) -> float:
    """R(F): bits per parameter that a model's losses prove to be stored.

    Args:
        people: n. parameters: P, embeddings included.
        name_nats: loss summed over the tokens of a name, mean over people.
        value_nats: loss summed over the tokens of all attributes, mean over people.

    What a model does not know counts zero, not less.
    """
    names = people * max(math.log2(NAMES) - name_nats / math.log(2.0), 0.0)
    values = people * max(math.log2(ATTRIBUTES) - value_nats / math.log(2.0), 0.0)
    return (names + values) / parameters


def most_bits_per_parameter(people: float, parameters: float) -> float:
    """R_max: bits per parameter if everything is stored."""
    return biography_bits(people) / parameters


def least_parameters(bits: float, rate: float = 1.8) -> float:
    """Parameters that hold so many bits nearly without fault after 1,000 exposures of each fact."""
    return bits / rate


def _published(R: float, note: str) -> Published:
    return Published(values={"R": R}, source="allenzhu2024", conventions={"N": "total"}, note=note)


knowledge_capacity = Law(
    id="knowledge-capacity",
    topic="robustness and theory",
    title="Bits of knowledge that parameters can hold",
    inputs=("N",),
    output="knowledge",
    params={"R": amplitude("bits per parameter", start=(0.05, 5.0))},
    formula=stored,
    linear=("R",),
    loss="squared",
    latex=r"\mathrm{bits} = R \, N",
    meaning=(
        "Models trained on more facts than they can hold store a number of bits proportional to their parameters, "
        "whatever their shape: about 2 per parameter if each fact is seen a thousand times, about 1 at a hundred. "
        "So facts of b bits take about b / 1.8 parameters to be held nearly without fault."
    ),
    traps=(
        "A law of the ceiling: a model offered fewer bits than R N holds what it is offered.",
        "Between 100 and 1,000 exposures there are two numbers, not a law: measure in between.",
        "Exposures are not epochs: a fact in several wordings is exposed once per wording.",
        "Sum losses over tokens, do not average them; small models count embeddings in N.",
        "Junk in the training mix (1 part of facts in 8) costs a factor 20 at 100 exposures.",
    ),
    papers=("allenzhu2024",),
    published={
        "exposures-1000": _published(2.0, "Each fact seen 1,000 times: 2 at the peak, all models at most 2.3."),
        "exposures-100": _published(
            1.0, "Each fact seen 100 times; gated feed-forward layers (Llama, Mistral) 1.3 times less."
        ),
        "int4": _published(0.7, "Quantised to 4 bits after 1,000 exposures; 8 bits lose nothing."),
    },
    checks=(Check("exposures-1000", {"N": 1e9}, 2e9, 1.0, "allenzhu2024"),),
)

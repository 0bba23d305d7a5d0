# SPDX-License-Identifier: Apache-2.0
"""Published rules for learning rate and batch side by side: what each says, and how far from its runs it is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from forescale.core.quantity import Loss, format_short, parse_loss
from forescale.laws import Law, find
from forescale.laws.step_law import bottom, cost
from forescale.planning._plan import Table

CONSTANT = (1.95e-3, 256 * 2048.0)
"""One rate and one batch whatever the model: the baseline to beat on the cells of Step Law."""

CELLS_N = (2.15e8, 5.37e8)
"""Sizes of the released cells of Step Law that are public here; the release has one larger model."""

RULES = (
    ("Step Law", "lr-power", "batch-power", "li2025steplaw"),
    ("our fit to the cells of Step Law", "tuning-surface", "tuning-surface", "li2025steplaw-cells"),
    ("DeepSeek LLM", "lr-by-compute", "batch-by-compute", "deepseek2024"),
    ("Porian et al.", "lr-by-size", "batch-by-size", "porian2024"),
    ("Kaplan et al.", "lr-by-log-size", "critical-batch", "kaplan2020"),
    ("MiniCPM", "", "critical-batch", "hu2024"),
)
"""(whose, law of the rate, law of the batch, constants)."""

_REMARKS = {
    "DeepSeek LLM": "C read as 6ND; theirs counts attention and leaves embeddings out",
    "Porian et al.": "which N it takes is not said",
    "Kaplan et al.": "batch: the critical one, not that of least loss",
    "MiniCPM": "rate 0.01 at every size, but under muP: not comparable",
}


@dataclass(frozen=True)
class Asked:
    """Parameters, tokens, and the loss expected at the end where that is known."""

    N: float
    D: float
    loss: Loss | None = None

    def columns(self, law: Law, conventions: Mapping[str, str]) -> dict[str, float] | None:
        """The inputs of a law in its conventions, None when one of them is not known.

        Raises:
            ConventionError: the loss is in another unit than that of the law.
        """
        loss = None
        if self.loss is not None and "loss" in law.inputs:
            loss = parse_loss(self.loss, conventions.get("loss"))
        known = {"N": self.N, "D": self.D, "C": 6.0 * self.N * self.D, "loss": loss}
        found = {name: known.get(name) for name in law.inputs}
        return None if None in found.values() else {name: float(v) for name, v in found.items() if v is not None}

    def place(self, law: Law) -> dict[str, float]:
        """N and D, as far as a law reads them."""
        return {name: value for name, value in (("N", self.N), ("D", self.D)) if name in law.inputs}


def distance(name: str, value: float, span: tuple[float, float] | None) -> tuple[str, float]:
    """How far a value lies outside a range, in words and as a factor (1 inside)."""
    if span is None or not math.isfinite(value):
        return "", 1.0
    low, high = span
    if value > high:
        return f"{value / high:.3g} times the largest {name} ({format_short(high)})", value / high
    if value < low:
        return f"{low / value:.3g} times below the least {name} ({format_short(low)})", low / value
    return "", 1.0


def table(best: float, own: float, shape: Mapping[str, float], asked: Asked) -> Table:
    """What all rules say, and what they would cost if the plan's valley is true.

    Args:
        best, own: rate and batch of the plan.
        shape: s, k_lr and k_B of the valley.
    """
    lines: list[tuple[float | str | None, ...]] = []
    for whose, rate_law, batch_law, constants in RULES:
        rate, batch = _says(rate_law, batch_law, constants, asked)
        lines.append(
            _line(whose, rate, batch, best, own, shape, _about(whose, rate_law, batch_law, constants, asked))
        )
    lines.append(("Bjorck et al. (Microsoft)", None, None, None, None, None, "units of N and D unknown: not usable"))
    lines.append(_line("constant", *CONSTANT, best, own, shape, "a baseline picked on the cells of Step Law"))
    return Table(
        "rules",
        "What other rules say",
        (
            ("rule", ""), ("rate", ""), ("batch", "tokens"), ("rate / plan", "x"), ("batch / plan", "x"),
            ("loss given away", "%"), ("remarks", ""),
        ),
        tuple(lines),
        "Loss given away if the plan is right, by the parabola of the valley: far away it is a rough figure. "
        "A rule without a batch is held to that of the plan.",
    )  # fmt: skip


def _says(rate_law: str, batch_law: str, constants: str, asked: Asked) -> tuple[float | None, float | None]:
    if rate_law == "tuning-surface":
        rate, batch = bottom(find(rate_law).constants(constants), asked.N, asked.D)
        return float(rate), float(batch)
    return _value(rate_law, constants, asked) if rate_law else None, _value(batch_law, constants, asked)


def _value(name: str, constants: str, asked: Asked) -> float | None:
    law = find(name)
    columns = asked.columns(law, law.published[constants].conventions)
    if columns is None:
        return None
    value = float(law(law.constants(constants), **columns))
    return value if math.isfinite(value) and value > 0 else None


def _about(whose: str, rate_law: str, batch_law: str, constants: str, asked: Asked) -> str:
    parts = [_REMARKS[whose]] if whose in _REMARKS else []
    ranges: dict[str, tuple[float, float]] = {}
    for name in filter(None, (rate_law, batch_law)):
        ranges.update(find(name).published[constants].fitted_range)
    if constants == "li2025steplaw":
        ranges["N"] = CELLS_N
    far = [distance(name, value, ranges.get(name))[0] for name, value in (("N", asked.N), ("D", asked.D))]
    parts += [text for text in far if text] or ([] if ranges else ["range of its runs not known here"])
    if asked.loss is None and "loss" in find(batch_law).inputs:
        parts.append("its batch needs final_loss")
    if rate_law and _says(rate_law, batch_law, constants, asked)[0] is None:
        parts.append("its rate is not positive there")
    return "; ".join(parts)


def _line(
    whose: str,
    rate: float | None,
    batch: float | None,
    best: float,
    own: float,
    shape: Mapping[str, float],
    remarks: str,
) -> tuple[float | str | None, ...]:
    x = None if rate is None else rate / best
    z = None if batch is None else batch / own
    lost = None if x is None else 100.0 * float(cost(shape, x, 1.0 if z is None else z))
    return whose, rate, batch, x, z, lost, remarks

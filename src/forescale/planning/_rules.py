# SPDX-License-Identifier: Apache-2.0
"""Rules for learning rate and batch: which one decides, what the others say, and how far each is from its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.frozen import Frozen
from forescale.core.quantity import Loss, format_short, parse_loss
from forescale.fitting._fit import Finding
from forescale.fitting.surface import surface
from forescale.laws import Law, find
from forescale.laws.step_law import bottom, cost, tuning_surface
from forescale.planning import _evidence
from forescale.planning._compose import refused
from forescale.planning._intervals import interval, of_estimate
from forescale.planning._plan import Basis, Grounds, Table
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

SWEEP = (*tuning_surface.inputs, tuning_surface.output)
"""Columns of a table of sweeps."""

RATES = ("lr-power", "lr-by-compute", "lr-by-size", "lr-by-log-size")
BATCHES = ("batch-power", "batch-by-compute", "batch-by-size", "critical-batch")

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


@dataclass(frozen=True, eq=False)
class Tuning:
    """What decides rate and batch.

    Attributes:
        rate, batch: (B,) the settings of least loss.
        shape: s, k_lr and k_B of the valley, (B,) each.
        shape_is_fitted: whether the shape belongs to the fit that decides (else it is published and has no draws).
        shape_source: whose shape, in a sentence.
        name: what decides, for the headline.
        grounds: the grounds without what was not used.
    """

    rate: Array
    batch: Array
    shape: Mapping[str, Array]
    shape_is_fitted: bool
    shape_source: str
    name: str
    grounds: Grounds
    warnings: tuple[Finding, ...] = ()
    assumptions: tuple[str, ...] = ()


def tuning(grounds: Grounds, asked: Asked, within: float) -> Tuning:
    """The rule that decides: sweeps before a given surface, a given surface before rules."""
    if grounds.has("sweep"):
        return _of_surface(grounds, _swept(grounds, within), asked, within)
    if "surface" not in grounds.defaulted:
        return _of_surface(grounds, grounds.laws["surface"], asked, within)
    return _of_rules(grounds, asked)


def _swept(grounds: Grounds, within: float) -> Basis:
    # Only sweeps are fitted here: plans from fits and published constants start without it.
    from forescale.fitting.tuning import valley
    from forescale.judge.verdict import verdict

    found = valley(grounds.tables["sweep"], within)
    found = replace(found, verdict=verdict(found))
    first = found.law.groups.levels[0] if found.law.groups is not None else None
    return Basis(surface(found, draws=max(grounds.rows - 1, 0) or 1000, group=first), found, found.sigma)


def _of_surface(grounds: Grounds, basis: Basis, asked: Asked, within: float) -> Tuning:
    p = {name: values[:, 0] for name, values in basis.surface.params.items()}
    rate, batch = bottom(p, asked.N, asked.D)
    swept = grounds.has("sweep")
    used = Grounds(Frozen({"surface": basis}), Frozen(), Frozen(), grounds.level)
    said = [
        "The optimiser, its schedule and the data are those of the sweeps: another least rate or decay moves the "
        "best peak."
    ]
    if swept:
        said.append(
            f"Of each cell of N and D the runs within {100 * within:g} % of its best were fitted, all cells with one "
            "shape of the valley."
        )
    return Tuning(
        rate,
        batch,
        {name: p[name] for name in ("s", "k_lr", "k_B")},
        True,
        "The shape of the fitted valley.",
        "the valley fitted to the sweeps" if swept else "the fitted valley",
        used,
        (*_outside(basis.surface.fitted_range, asked), *(_at_ends(grounds.tables["sweep"]) if swept else ())),
        tuple(said),
    )


def _of_rules(grounds: Grounds, asked: Asked) -> Tuning:
    rate, batch = (_of_part(grounds, part, asked) for part in ("rate", "batch"))
    kept = Grounds(
        Frozen({name: grounds.laws[name] for name in ("rate", "batch")}),
        Frozen(),
        Frozen({k: v for k, v in grounds.defaulted.items() if k != "surface"}),
        grounds.level,
    )
    p = {name: v[:, 0] for name, v in grounds.laws["surface"].surface.params.items()}
    names = dict.fromkeys(_named(grounds.laws[name]) for name in ("rate", "batch"))
    ranges = {
        name: span for part in ("rate", "batch") for name, span in grounds.laws[part].surface.fitted_range.items()
    }
    published = "lr-power:li2025steplaw" in grounds.defaulted.values()
    said = [
        "What a wrong choice costs, and how the rate moves with the batch, is taken from our fit to the released "
        "cells of Step Law (tuning-surface:li2025steplaw-cells): a sweep of your own tells your own.",
    ]
    if published:
        said.append(
            "Step Law: AdamW, decay to a least rate of 1e-5, N without embeddings. With a tenth of the peak as least "
            "rate, with WSD or with other data the best peak is another one."
        )
    mixed = _mixed(grounds)
    outside = _outside({**ranges, "N": CELLS_N}, asked, unseen=("N",)) if published else _outside(ranges, asked)
    findings = [*outside, *mixed]
    if published and not mixed:
        findings += _narrow(rate, batch, p, asked, grounds.level)
    return Tuning(
        rate,
        batch,
        {name: p[name] for name in ("s", "k_lr", "k_B")},
        False,
        "The shape is that of our fit to the released cells of Step Law.",
        " and ".join(names),
        kept,
        tuple(findings),
        tuple(said),
    )


def _of_part(grounds: Grounds, part: str, asked: Asked) -> Array:
    law = grounds.law(part)
    columns = asked.columns(law, grounds.laws[part].surface.conventions)
    if columns is None:
        raise refused(
            f"the law {law.id!r} reads {', '.join(law.inputs)}, and no final loss was given",
            "final_loss: the loss expected at the end",
            "final_loss=2.1",
        )
    return grounds.values(part, **columns)[:, 0]


def _named(basis: Basis) -> str:
    source = basis.surface.law.id if basis.fit is None else (basis.fit.source or basis.surface.law.id)
    known = {constants: whose for whose, _, _, constants in RULES}
    return known.get(source.partition(":")[2].partition("@")[0], source)


def _at_ends(sweep: Runs) -> list[Finding]:
    """Cells whose best run has the least or the largest rate or batch that was tried in it."""
    sweep = require(sweep, *SWEEP)
    N, D, loss = sweep["N"], sweep["D"], sweep["loss"]
    _, cell = np.unique(np.stack([N, D]), axis=1, return_inverse=True)
    cell = cell.ravel()
    count = int(cell.max()) + 1
    best = np.array([np.flatnonzero(cell == i)[np.argmin(loss[cell == i])] for i in range(count)])
    found = []
    for text, name in (("rate", "lr_peak"), ("batch", "batch_tokens")):
        values = sweep[name]
        low, high = np.full(count, np.inf), np.zeros(count)
        np.minimum.at(low, cell, values)
        np.maximum.at(high, cell, values)
        ends = int(np.sum((values[best] <= low) | (values[best] >= high)))
        if ends:
            found.append(
                Finding(
                    f"edge-{text}",
                    "amber" if ends > 0.25 * count else "green",
                    f"In {ends} of {count} cells of the sweep the best run has the least or the largest {text} that "
                    "was tried: there the bottom of the valley is not between its runs.",
                    f"Sweep further {text}{'es' if text == 'batch' else 's'} in those cells.",
                )
            )
    return found


def _mixed(grounds: Grounds) -> list[Finding]:
    """A rate and a batch that do not come from the same runs."""
    origins = []
    for part in ("rate", "batch"):
        basis = grounds.laws[part]
        key = "" if basis.fit is None else (basis.fit.source or "").partition(":")[2].partition("@")[0]
        facts = basis.surface.law.published.get(key)
        origins.append("a fit" if facts is None else facts.source)
    if origins[0] == origins[1]:
        return []
    return [
        Finding(
            "mixed-rules",
            "amber",
            f"The rate is that of {_named(grounds.laws['rate'])}, the batch that of {_named(grounds.laws['batch'])}: "
            "a rate belongs to the batch of its own rule, and this one was tuned beside another batch.",
            "Give both of one rule, or hold this batch under one rule (batch), which moves the rate along.",
        )
    ]


SEEDS = 1e-3
"""Share of the loss below which differences are seed noise."""


def _narrow(rate: Array, batch: Array, p: Mapping[str, Array], asked: Asked, level: float) -> list[Finding]:
    """Whether the valley of the same cells lies outside the intervals of the published powers, and matters."""
    other = [of_estimate(values) for values in bottom(p, asked.N, asked.D)]
    ends = [interval(values, level) for values in (rate, batch)]
    if None in ends or all(pair[0] <= value <= pair[1] for value, pair in zip(other, ends) if pair is not None):
        return []
    lost = of_estimate(cost(p, other[0] / of_estimate(rate), other[1] / of_estimate(batch)))
    if lost < SEEDS:
        return []
    return [
        Finding(
            "narrow-intervals",
            "amber",
            "The intervals are those of the published bootstrap of one recipe. Our fit to the same released cells "
            f"says a rate of {other[0]:.3g} and a batch of {format_short(other[1])} tokens, outside them: "
            f"whichever is right, the other gives away {100 * lost:.2g} % of the loss.",
            "A sweep around the prediction, on the largest model that can be swept.",
        )
    ]


def _outside(ranges: Mapping[str, tuple[float, float]], asked: Asked, unseen: tuple[str, ...] = ()) -> list[Finding]:
    """N and D outside the cells; of far ones `composed` speaks, but for ranges that the constants do not know."""
    found = []
    for name, value in (("N", asked.N), ("D", asked.D)):
        text, times = _distance(name, value, ranges.get(name))
        if times > 1.0 and (times <= _evidence.AMBER_DISTANCE or name in unseen):
            found.append(
                Finding(
                    f"outside-{name}",
                    "amber" if times > 2.0 else "green",
                    f"{name} = {format_short(value)} is {text} that the rule was fitted to.",
                    "" if times <= 2.0 else "Check with a sweep on the way there.",
                )
            )
    return found


def _distance(name: str, value: float, span: tuple[float, float] | None) -> tuple[str, float]:
    """How far a value lies outside a range, in words and as a factor (1 inside)."""
    if span is None or not math.isfinite(value):
        return "", 1.0
    low, high = span
    if value > high:
        return f"{value / high:.3g} times the largest {name} ({format_short(high)})", value / high
    if value < low:
        return f"{low / value:.3g} times below the least {name} ({format_short(low)})", low / value
    return "", 1.0


# ------------------------------------------------------------------------------------------------- the other rules


def table(chosen: Tuning, asked: Asked, context: int) -> Table:
    """What other rules say, and what they would cost if the plan's valley is true."""
    best, own = of_estimate(chosen.rate), of_estimate(chosen.batch)
    shape = {name: of_estimate(values) for name, values in chosen.shape.items()}
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
    far = [_distance(name, value, ranges.get(name))[0] for name, value in (("N", asked.N), ("D", asked.D))]
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

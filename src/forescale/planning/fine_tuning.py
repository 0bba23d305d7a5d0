# SPDX-License-Identifier: Apache-2.0
"""How many examples does fine-tuning take to reach a loss, and which pre-trained model is worth fine-tuning?

The rectified law of a model and task, L(D) = B / (D_l + D^beta) + E, knows what pre-training was worth: up to the
knee D_l^(1 / beta) the loss falls slowly, beyond as a power (Lin et al. 2024). Inverted it says how many examples a
loss takes; for several models, fitted to small sets, it says which one to take to the large one.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short, parse_loss
from forescale.core.streams import block_streams
from forescale.fitting._fit import Finding
from forescale.fitting.surface import surface
from forescale.laws.rectified import needed
from forescale.planning import _evidence
from forescale.planning._compose import composed, refused
from forescale.planning._intervals import decided, expected, of_estimate
from forescale.planning._plan import Basis, Decided, Expected, Grounds, Part, Plan, Planner
from forescale.planning._quantities import LossText, TokensText
from forescale.planning._show import show
from forescale.planning._tuned_models import Curve, crossings, drawn, ladder, models, score
from forescale.runs.table import Runs

Array = NDArray[np.float64]

MOST = 40
"""Candidate models that can be given as fits."""


class FineTuningQuery(BaseModel):
    """A loss to reach, or the examples that there are."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    target: LossText | None = Field(None, description="loss to reach, in the unit of the fit, e.g. 1.9")
    examples: TokensText | None = Field(None, description="examples that there will be, e.g. 1M")
    most_examples: TokensText | None = Field(None, description="most examples that can be had, e.g. 500K")
    example_price: float | None = Field(None, gt=0, description="dollars that one example costs, e.g. 0.05")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: FineTuningQuery) -> Plan:
    """Examples for a loss, or the loss of examples; of several models the best one.

    Raises:
        QueryError: neither target nor examples, or both; nothing to stand on.
        DataError: a table of several tasks, or of too few sizes.
        RefusedError: no model reaches the target, or one needs no fine-tuning for it.
        ConventionError: a target in another unit than the fit's loss.
    """
    if (query.target is None) == (query.examples is None):
        both = query.target is not None
        raise QueryError(
            message(
                "target and examples together are two questions" if both else "neither target nor examples",
                "one of them: the loss to reach, or the examples that there are",
                "leave out examples" if both else "target=1.9 or examples=1M",
            )
        )
    curves = _curves(grounds)
    target = None
    if query.target is not None:
        target = parse_loss(query.target, curves[0].basis.surface.conventions.get("loss"))
    order = _ranked(curves, target, query.examples)
    best = order[0]
    unit, _ = _evidence.stated(best.basis.surface.conventions, "loss", "loss")
    level = best.basis.level
    if target is not None:
        sizes = needed(target, **best.params)
        _can(best, target, of_estimate(sizes), len(curves))
    else:
        sizes = np.full_like(best.params["E"], query.examples or math.nan)
    binding, sizes, held = _held(query, sizes, target)
    size = of_estimate(sizes)
    answered = np.isfinite(best.params["E"]) & ~np.isnan(sizes)
    decision = _decision(best, query, sizes, level)
    warnings = [*_before_knee(best, size), *_far(best, size), *_never(sizes, target), *_normal(best)]
    if len(curves) > 1:
        decision["share_best"] = Decided(
            100.0 * _share_best(order, target, query.examples), None, None, "%", "draws in which this model is best"
        )
    name = f" of {best.name}" if len(curves) > 1 else ""
    at_size = of_estimate(best.loss(np.array([size]))[:, 0])
    return composed(
        Grounds(Frozen({"curve": best.basis}), Frozen(), Frozen(), level),
        planner,
        query,
        headline=(
            f"Fine-tuning{name} on {format_short(size)} examples gives a loss of {show(at_size, 'loss')}"
            f"{_evidence.named(unit)}" + (f" ({held})" if held else "") + "."
        ),
        decision=decision,
        expected={"loss": _expected(best.basis, unit, size)},
        binding=binding,
        tables=[
            *models(order, target, query.examples, unit),
            *crossings(curves, size),
            ladder(best, target, size),
        ],
        curves=drawn(order, size, level),
        warnings=warnings,
        assumptions=[
            "One task, one recipe of fine-tuning, one curve for each model: nothing carries over to another.",
            *(
                [f"{len(curves)} models are compared; the intervals are those of the one that is chosen."]
                if len(curves) > 1
                else []
            ),
            *(
                [
                    "Intervals hold if the law does. From an eighth of the data, 70 % of the 90 % intervals held the "
                    "loss of the largest set on the 90 released curves."
                ]
                if grounds.has("sweep")
                else []
            ),
        ],
        answered=answered,
        at={"curve": {"D": size}},
    )


# ------------------------------------------------------------------------------------------------------- the curves


def _curves(grounds: Grounds) -> list[Curve]:
    """The candidate models: fits that were given, or one fit for each model of a table."""
    found = [_curve(f"model {i + 1}", basis) for i, basis in enumerate(grounds.each("curve"))]
    if grounds.has("sweep"):
        found += _fitted(grounds.tables["sweep"], max(grounds.rows - 1, 0) or 1000)
    if not found:
        raise QueryError(
            message(
                "fine-tuning needs losses at several sizes of the fine-tuning set",
                "a table with D (examples) and loss, and model where there are several; or fits of rectified",
                "fs.plan('fine-tuning', runs, target=1.9)",
            )
        )
    return found


def _curve(name: str, basis: Basis) -> Curve:
    runs = None if basis.fit is None else basis.fit.runs
    if runs is not None and "model" in runs.labels and len(runs.group_codes("model")[1]) == 1:
        name = runs.group_codes("model")[1][0]
    return Curve(name, basis, {p: v[:, 0] for p, v in basis.surface.params.items()})


def _fitted(table: Runs, draws: int) -> list[Curve]:
    """One fit of the rectified law for each model of a table.

    Raises:
        DataError: more than one task, or a model with too few sizes.
    """
    # Only tables are fitted here: plans from fits start without it.
    from forescale.fitting.rectified import LEAST, rectified

    for label in ("task", "eval_set"):
        if label in table.labels and len(table.group_codes(label)[1]) > 1:
            levels = table.group_codes(label)[1]
            raise DataError(
                message(
                    f"the table holds {len(levels)} of {label}: {', '.join(levels[:3])} ...",
                    f"one {label} at a time",
                    "keep its rows: runs.where(...)",
                )
            )
    # A row is a fine-tuning of its own, not a checkpoint: rows of one curve do not share their noise.
    bare = replace(table, labels=Frozen({name: v for name, v in table.labels.items() if name != "run"}))
    if "model" not in bare.labels:
        one = rectified(bare, draws)
        return [_curve("the model", Basis(surface(one, draws=draws), one, one.sigma))]
    codes, names = bare.group_codes("model")
    sizes = [len(np.unique(bare["D"][codes == i])) for i in range(len(names))]
    if min(sizes) < LEAST:
        few = names[sizes.index(min(sizes))]
        raise DataError(
            message(
                f"the model {few!r} was fine-tuned on {min(sizes)} sizes of the set",
                f"{LEAST} sizes or more of each model",
                f"more sizes, or the table without {few!r}",
            )
        )
    fits = [rectified(bare.where(codes == i), draws) for i in range(len(names))]
    return [_curve(name, Basis(surface(one, draws=draws), one, one.sigma)) for name, one in zip(names, fits)]


def _ranked(curves: list[Curve], target: float | None, examples: float | None) -> list[Curve]:
    """Best first; models without an answer last."""

    def key(curve: Curve) -> float:
        value = of_estimate(score(curve, target, examples))
        return math.inf if math.isnan(value) else value

    return sorted(curves, key=key)


def _share_best(order: list[Curve], target: float | None, examples: float | None) -> float:
    """Share of draws in which the first model is best; where none has an answer, none is.

    Fits are independent, but their draws come from one seed: in their order they would move together, and are
    shuffled, each by a stream of its own. A model without draws stands with its estimate.
    """
    scores = [score(curve, target, examples) for curve in order]
    count = min((len(values) - 1 for values in scores if len(values) > 1), default=0)
    if not count:
        return math.nan
    table = np.stack(
        [
            stream.permutation(values[1:])[:count] if len(values) > 1 else np.full(count, of_estimate(values))
            for values, stream in zip(scores, block_streams(0, len(scores)))
        ]
    )
    table = np.where(np.isnan(table), np.inf, table)
    return float(np.mean((np.argmin(table, axis=0) == 0) & np.isfinite(table[0])))


def _can(best: Curve, target: float, size: float, count: int) -> None:
    start = of_estimate(best.params["E"] + best.params["B"] / best.params["D_l"])
    who = "the model" if count == 1 else f"none of {count} models"
    if math.isinf(size):
        floor = of_estimate(best.params["E"])
        raise refused(
            f"the target {show(target, 'loss')} lies below the floor {show(floor, 'loss')} of the curve: "
            f"{who if count > 1 else 'no number of examples'} reaches it",
            f"a target above {show(floor, 'loss')}",
            "a higher target, another model, or larger sets that pin the floor down",
        )
    if size == 0.0:
        raise refused(
            f"{best.name if count > 1 else 'the model'} has a loss of {show(start, 'loss')} before any fine-tuning, "
            f"below the target {show(target, 'loss')}",
            f"a target below {show(start, 'loss')}",
            "a lower target",
        )


def _held(query: FineTuningQuery, sizes: Array, target: float | None) -> tuple[str, Array, str]:
    """What binds, the examples after the limit, and what to say of it."""
    most = query.most_examples
    if most is None or not of_estimate(sizes) > most:
        return ("the target loss" if target is not None else "the examples that there are"), sizes, ""
    if target is None:
        raise QueryError(
            message(
                f"examples {format_short(query.examples or 0.0)} and most_examples {format_short(most)}",
                "examples that can be had",
                "raise most_examples or lower examples",
            )
        )
    asked = format_short(of_estimate(sizes))
    text = f"the target {show(target, 'loss')} would take {asked}"
    return f"most_examples = {format_short(most)}", np.full_like(sizes, most), text


def _decision(best: Curve, query: FineTuningQuery, sizes: Array, level: float) -> dict[str, Decided]:
    p = best.params
    raised = sizes ** p["beta"]
    found = {
        "examples": decided(sizes, "samples", level, "examples of the fine-tuning set"),
        "knee": decided(best.knee, "samples", level, "knee: examples that pre-training is worth"),
        "floor": decided(p["E"], "loss", level, "loss with endless examples"),
        "loss_before": decided(p["E"] + p["B"] / p["D_l"], "loss", level, "loss without fine-tuning, by the curve"),
        "power": decided(
            p["beta"] * raised / (p["D_l"] + raised), "", level, "power at which the reducible loss falls there"
        ),
    }
    if query.example_price is not None:
        found["dollars"] = decided(sizes * query.example_price, "dollars", level, "price of the examples")
    return found


def _expected(basis: Basis, unit: str, size: float) -> Expected:
    return expected(basis, unit, _evidence.labelled("loss there", unit), D=size)


# ------------------------------------------------------------------------------------------------ what must be said


def _before_knee(best: Curve, size: float) -> list[Finding]:
    """Data that all lie before the break say little about what comes after it."""
    middle, seen = of_estimate(best.knee), best.seen
    if not middle > seen:
        return []
    beyond = size > seen
    return [
        Finding(
            "before-knee",
            "red" if beyond and size > middle else "amber",
            f"All sets that were fitted (up to {format_short(seen)} examples) lie before the knee at "
            f"{format_short(middle)}: where the loss begins to fall as a power is not in the data"
            + (", and the plan goes beyond." if beyond else "."),
            "Fine-tune on larger sets until the curve bends; a straight line through such points predicts too high a "
            "loss.",
        )
    ]


def _far(best: Curve, size: float) -> list[Finding]:
    if not size > 8.0 * best.seen:
        return []
    return [
        Finding(
            "beyond-eight",
            "amber",
            f"{format_short(size)} examples are {size / best.seen:.3g} times the largest set; on the released curves "
            "predictions were tested up to 8 times.",
            "A larger set on the way there tests it.",
        )
    ]


def _never(sizes: Array, target: float | None) -> list[Finding]:
    never = float(np.mean(np.isinf(sizes[1:]))) if len(sizes) > 1 and target is not None else 0.0
    if never <= 1 - _evidence.FEW_ANSWERS:
        return []
    return [
        Finding(
            "draws-never-reach",
            "amber",
            f"{100 * never:.3g} % of the draws never reach {show(target, 'loss')}: their floor lies above it.",
            "Larger sets pin the floor down; plan with a target further above it.",
        )
    ]


def _normal(best: Curve) -> list[Finding]:
    if best.basis.fit is None or best.basis.fit.draws_from != "laplace":
        return []
    return [
        Finding(
            "normal-draws",
            "amber",
            "The draws of the fit are normal around its optimum: of knee, exponent and floor, which move together, "
            "they say too little, and of the released curves their 90 % intervals held half.",
            "Give the runs instead of the fit; where their scatter is tiny, normal draws are right.",
        )
    ]


planner = Planner(
    id="fine-tuning",
    question="How many examples does fine-tuning take, and which model is worth it?",
    query=FineTuningQuery,
    answer=answer,
    parts=(
        Part(
            "sweep",
            "losses after fine-tuning on sets of several sizes, of one model or, with a column model, of several",
            columns=("D", "loss"),
            optional=True,
        ),
        Part(
            "curve",
            "the loss of one model by the size of its fine-tuning set",
            laws=("rectified",),
            optional=True,
            most=MOST,
        ),
    ),
    papers=("lin2024rectified",),
    example=Frozen({"target": 2.2}),
    shown=("curve.csv",),
)

# SPDX-License-Identifier: Apache-2.0
"""What is more pre-training worth to a translator that is fine-tuned afterwards?

BLEU after fine-tuning is a power of the logarithm of pre-training tokens where the pre-training text suits the task
(Isik et al. 2024). Whether it does is tested first, as in their section 3.5: a fall, a flat line or a misfit means
that the curve values nothing, and that the cross-entropy may not be asked instead.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.fitting._tails import t_quantile
from forescale.fitting.surface import surface
from forescale.laws.transfer_translation import LEAST, Advice, advise, alignment, first_tokens, tokens_for
from forescale.planning._compose import composed, refused
from forescale.planning._curves import band
from forescale.planning._intervals import decided, interval, of_estimate
from forescale.planning._plan import Decided, Expected, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import TokensText
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]

DRAWS = 400
"""Simulated tables behind the intervals."""

SMALLEST = 4
"""Pre-training sizes that the law is fitted to in the paper; the larger ones test it."""
TEXT = 1e18
"""Tokens that nobody will have: more than a thousand times all text there is."""
FACTORS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)
MIXES = ((1.0, 0.0), (0.7, 0.3), (0.5, 0.5), (0.3, 0.7), (0.0, 1.0))


class TranslationQuery(BaseModel):
    """How much pre-training there is, and what it should reach."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    tokens: TokensText | None = Field(
        None, description="pre-training tokens to value, e.g. 100B (default: the most of the runs)"
    )
    target: float | None = Field(
        None, gt=0, le=100, description="BLEU (COMET, ROUGE) to reach after fine-tuning, e.g. 30"
    )
    noise: float | None = Field(
        None, gt=0, description="standard deviation of one BLEU between repeated fine-tunings, e.g. 0.2"
    )
    source_share: float | None = Field(
        None, ge=0, le=1, description="share of the source language in pre-training, e.g. 0.5"
    )
    target_share: float | None = Field(
        None, ge=0, le=1, description="share of the target language in pre-training, e.g. 0.5"
    )


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: TranslationQuery) -> Plan:
    """The value of pre-training tokens, or the tokens of a BLEU.

    Raises:
        QueryError: one share of a language without the other, shares of more than everything, no tokens to value.
        DataError: BLEU values that are not finite.
        RefusedError: a target where the test says that the curve values nothing, or that no tokens reach.
    """
    grounds = _along_the_valley(grounds)
    basis, level = grounds.laws["bleu"], grounds.level
    runs = None if basis.fit is None else basis.fit.runs
    score = _alignment(query)
    most = basis.surface.fitted_range.get("D")
    if query.tokens is None and most is None:
        raise QueryError(message("no tokens, and a fit that does not know its runs", "tokens", "tokens='100B'"))
    D = query.tokens if query.tokens is not None else float(most[1] if most is not None else math.nan)
    noise, how = _noise(grounds, query, runs)
    advice = _advice(grounds, runs, noise)
    value = grounds.values("bleu", D=D)[:, 0]
    A, alpha, beta = (grounds.param("bleu", name) for name in ("A", "alpha", "beta"))
    useful = advice is None or advice.verdict == "aligned"
    if not useful and query.target is not None and advice is not None:
        raise refused(
            f"the curve may not be asked for a BLEU of {query.target:g}: {advice.verdict}, {advice.sentence}",
            "checkpoints whose BLEU rises as the law says",
            "other pre-training text, or none"
            if advice.verdict == "misaligned"
            else "spend on fine-tuning data instead",
        )
    begins = first_tokens(A=A, alpha=alpha)
    if useful and of_estimate(begins) >= D:
        raise refused(
            f"the law says nothing at {format_short(D)} tokens: it begins at {format_short(of_estimate(begins))}",
            "tokens within the reach of the runs",
        )
    decision: dict[str, Decided] = {}
    if query.target is not None:
        needed = tokens_for(query.target, A=A, alpha=alpha, beta=beta)
        if not of_estimate(needed) < TEXT:
            raise refused(
                f"a BLEU of {query.target:g} takes {format_short(of_estimate(needed))} tokens by this curve, "
                "more than there will be",
                "a target nearer to the runs",
                f"the curve gives {show(of_estimate(value))} at {format_short(D)} tokens",
            )
        decision["D"] = decided(needed, "tokens", level, f"pre-training tokens for a BLEU of {query.target:g}")
        decision["times"] = decided(needed / D, "x", level, f"of the {format_short(D)} tokens there are")
    if useful:
        twice, ten = (grounds.values("bleu", D=by * D)[:, 0] - value for by in (2.0, 10.0))
        decision |= {
            "bleu": decided(value, "", level, f"BLEU after {format_short(D)} tokens of pre-training"),
            "gain_twice": decided(twice, "", level, "BLEU gained by twice the tokens"),
            "gain_ten": decided(ten, "", level, "BLEU gained by ten times the tokens"),
            "first": decided(begins, "tokens", level, "tokens below which the law is zero"),
        }
    elif runs is not None:
        least, best = float(runs["bleu"].min()), float(runs["bleu"].max())
        decision["bleu_least"] = Decided(least, None, None, "", "least BLEU of the runs")
        decision["bleu_most"] = Decided(best, None, None, "", "greatest BLEU of the runs")
    if score is not None:
        decision["alignment"] = Decided(score, None, None, "", "alignment of pre-training and task (50/50 is 1)")
    asked = of_estimate(decision["D"].value) if "D" in decision else D
    answered = np.isfinite(_finite(value, A, alpha, beta, query.target))
    tables = [
        *([_more(grounds, D)] if useful else []),
        *_held_out(grounds, runs),
        *([_mixes(query)] if score is not None else []),
    ]
    return composed(
        grounds, planner, query,
        headline=_headline(query, advice, decision, D),
        decision=decision,
        expected={"bleu": _expected(value, noise, level)} if useful else {},
        binding="the pre-training tokens" if useful else f"the pre-training text: {advice.verdict}" if advice else "",
        tables=tables,
        curves=_curve(grounds, D, asked) if useful else {},
        warnings=_warnings(advice, runs, how),
        assumptions=(
            "One model, one fine-tuning set, one learning-rate schedule: only the pre-training tokens change.",
            "A, alpha and beta trade off against each other: intervals are of the curve, not of them.",
            *([f"A fall or a misfit counts from {show(noise)} of noise: {how}."] if math.isfinite(noise) else []),
        ),
        answered=answered,
        at={"bleu": {"D": asked}},
    )  # fmt: skip


def _along_the_valley(grounds: Grounds) -> Grounds:
    """Normal draws of parameters that trade off leave the curve: tables simulated around the fit take their place."""
    basis = grounds.laws["bleu"]
    fit = basis.fit
    if fit is None or fit.runs is None or grounds.rows == 1 or fit.draws_from != "laplace":
        return grounds
    from forescale.fitting.simulated import simulated  # only with runs: plans from constants start without it

    again = simulated(fit, DRAWS, fit.seed)
    drawn = surface(again, draws=DRAWS)
    return replace(grounds, laws=Frozen({"bleu": replace(basis, fit=again, surface=drawn)}))


def _expected(value: Array, noise: float, level: float) -> Expected:
    best, ends = of_estimate(value), interval(value, level)
    band = None
    if math.isfinite(noise):
        half = t_quantile(level, math.inf) * noise
        low, high = ends or (best, best)
        band = (best - math.hypot(best - low, half), best + math.hypot(high - best, half))
    return Expected(best, ends, band, "", "BLEU of a new fine-tuning")


def _finite(value: Array, A: Array, alpha: Array, beta: Array, target: float | None) -> Array:
    """(B,) what must be finite for a draw to have an answer of its own."""
    return value if target is None else np.asarray(tokens_for(target, A=A, alpha=alpha, beta=beta))


# ------------------------------------------------------------------------------------------------------- alignment


def _alignment(query: TranslationQuery) -> float | None:
    shares = (query.source_share, query.target_share)
    if shares == (None, None):
        return None
    if None in shares:
        given, other = ("source_share", "target_share") if shares[1] is None else ("target_share", "source_share")
        raise QueryError(message(f"{given} without {other}", "both shares: the score is of the pair"))
    if sum(s or 0.0 for s in shares) > 1.0 + 1e-12:
        raise QueryError(
            message(f"source_share {shares[0]} and target_share {shares[1]} together", "at most one", "as shares")
        )
    return float(alignment(shares[0] or 0.0, shares[1] or 0.0))


def _noise(grounds: Grounds, query: TranslationQuery, runs: Runs | None) -> tuple[float, str]:
    """Standard deviation of one BLEU, and where it comes from."""
    if query.noise is not None:
        return query.noise, "as given"
    if runs is None:
        return math.nan, ""
    D, y = runs["D"], runs["bleu"]
    _, places, counts = np.unique(D, return_inverse=True, return_counts=True)
    free = D.size - counts.size
    if free >= 1:
        means = np.bincount(places, y) / counts
        spread = math.sqrt(float(((y - means[places]) ** 2).sum()) / free)
        if spread > 0:
            return spread, f"the spread of repeats at one number of tokens ({free} degrees of freedom)"
    fitted = grounds.values("bleu", D=D)[0]
    left = math.sqrt(float(((y - fitted) ** 2).sum()) / max(D.size - 3, 1))
    floor = 1e-9 * float(np.abs(y).max())
    return max(left, floor), "the fit's own scatter, which cannot tell a misfit"


def _advice(grounds: Grounds, runs: Runs | None, noise: float) -> Advice | None:
    if runs is None or not noise > 0:
        return None
    if not np.isfinite(runs["bleu"]).all():
        raise DataError(message("BLEU values that are not finite", "a number in each row"))
    if np.unique(runs["D"]).size < LEAST:
        return None
    return advise(runs["D"], runs["bleu"], grounds.values("bleu", D=runs["D"])[0], noise=noise)


# --------------------------------------------------------------------------------------------------- what is answered


def _headline(query: TranslationQuery, advice: Advice | None, decision: dict[str, Decided], D: float) -> str:
    if advice is not None and advice.verdict == "misaligned":
        return f"This pre-training text does not suit the task (misaligned): {advice.sentence}"
    if advice is not None and advice.verdict == "no use":
        return f"Pre-training is of no use at this size of the fine-tuning set: {advice.sentence}"
    gain = f"twice the tokens add {decision['gain_twice']}"
    if query.target is not None:
        return (
            f"A BLEU of {query.target:g} takes {decision['D']} tokens of pre-training, "
            f"{show(decision['times'].value, 'x')} the {format_short(D)} there are; {gain}."
        )
    return f"After {format_short(D)} tokens of pre-training BLEU is {decision['bleu']}; {gain}."


def _more(grounds: Grounds, D: float) -> Table:
    points = D * np.array(FACTORS)
    values = grounds.values("bleu", D=points)
    base = grounds.values("bleu", D=D)[0, 0]
    rows = tuple(
        (factor, points[j], values[0, j], *(interval(values[:, [j]], grounds.level) or (None, None)),
         values[0, j] - base)
        for j, factor in enumerate(FACTORS)
    )  # fmt: skip
    return Table(
        "sensitivity",
        "What other amounts of pre-training give",
        (("tokens / these", "x"), ("D", "tokens"), ("BLEU", ""), ("from", ""), ("to", ""), ("difference", "")),
        rows,
    )


def _held_out(grounds: Grounds, runs: Runs | None) -> list[Table]:
    """The law fitted to the four smallest sizes, on the larger ones (Isik et al. 2024)."""
    fit = grounds.laws["bleu"].fit
    if runs is None or fit is None:
        return []
    sizes = np.unique(runs["D"])
    if sizes.size <= SMALLEST:
        return []
    from forescale.fitting import estimate  # only with runs: plans from constants start without it

    small = runs["D"] <= sizes[SMALLEST - 1]
    made = estimate.fit(runs.where(small), fit.law, loss=fit.loss, level=fit.level, rng=fit.seed)
    large = runs.where(~small)
    seen, D = large["bleu"], large["D"]
    ways = {
        "the law, from the four smallest": np.asarray(made.law(made.params, D=D)),
        "no change from the fourth": np.full(seen.size, float(runs["bleu"][runs["D"] == sizes[SMALLEST - 1]].mean())),
    }
    rows = tuple(
        (way, D[i], seen[i], predicted[i], predicted[i] - seen[i])
        for way, predicted in ways.items()
        for i in np.argsort(D, kind="stable")
    )
    return [
        Table(
            "backtest",
            "Larger pre-training, foretold from the four smallest",
            (("by", ""), ("D", "tokens"), ("BLEU", ""), ("foretold", ""), ("too high by", "")),
            rows,
        )
    ]


def _mixes(query: TranslationQuery) -> Table:
    own = (query.source_share or 0.0, query.target_share or 0.0)
    rows = tuple(
        (s, t, float(alignment(s, t)), "yours" if (s, t) == own else "")
        for s, t in {own: 0, **dict.fromkeys(MIXES, 0)}
    )
    return Table(
        "alternatives",
        "Alignment of other mixes of the two languages",
        (("source", ""), ("target", ""), ("alignment", ""), ("", "")),
        rows,
    )


def _curve(grounds: Grounds, D: float, asked: float) -> Frozen[str, Frozen[str, Array]]:
    span = grounds.laws["bleu"].surface.fitted_range.get("D", (D / 100.0, D))
    grid = np.geomspace(min(float(span[0]), D), min(3.0 * max(asked, D), 1e3 * D), 41)
    values = grounds.values("bleu", D=grid)
    low, high = band(values, grounds.level)
    return Frozen({"bleu": Frozen({"pre-training tokens": grid, "BLEU": values[0], "lower": low, "upper": high})})


def _warnings(advice: Advice | None, runs: Runs | None, how: str) -> list[Finding]:
    found: list[Finding] = []
    if advice is None:
        found.append(
            Finding(
                "untested",
                "amber",
                f"Whether pre-training suits the task was not tested: that takes {LEAST} checkpoints that differ.",
                "Fine-tune from checkpoints on the way.",
            )
        )
    else:
        level = {"aligned": "green", "no use": "amber", "misaligned": "red"}[advice.verdict]
        found.append(
            Finding("alignment", level, f"{advice.verdict[0].upper()}{advice.verdict[1:]}: {advice.sentence}")
        )
    if how.startswith("the fit's own"):
        found.append(
            Finding(
                "noise-unknown",
                "amber",
                "Nobody said how much BLEU varies between repeats of one fine-tuning: the fit's scatter stands in.",
                "Repeat one fine-tuning, or give noise.",
            )
        )
    if runs is not None and "loss" in runs.columns and np.isfinite(runs["loss"]).all():
        order = np.argsort(runs["D"], kind="stable")
        better = float(runs["loss"][order][-1]) < float(runs["loss"][order][0])
        if better and (advice is not None and advice.verdict != "aligned"):
            found.append(
                Finding(
                    "loss-misleads",
                    "amber",
                    "The cross-entropy improves all the same: it does not tell how well the model translates here.",
                    "Judge by BLEU or COMET.",
                )
            )
    return found


planner = Planner(
    id="translation",
    question="What is more pre-training worth to a translator that is fine-tuned afterwards?",
    query=TranslationQuery,
    answer=answer,
    parts=(
        Part(
            "bleu",
            "BLEU (or COMET, ROUGE) after fine-tuning, over pre-training tokens D; loss beside it where known",
            laws=("bleu-pretraining",),
        ),
    ),
    papers=("isik2024",),
    example=Frozen({"tokens": "100B"}),
    topic="how a task will go",
)

# SPDX-License-Identifier: Apache-2.0
"""A study: one published claim, from data to law to a verdict, written against the public surface as a user would.

One file in this folder, one `Study` value in it; `forescale study` lists them, `forescale study ID -o page.html` runs
one and writes its page, and the documentation is made from their results. A claim is stated by one of

    reproduced("MAE of the six test curves", ours=mae, theirs=0.00376, within=1e-4, source="Luo et al. 2025, README")
    better("mean error on larger runs", ours=0.0042, theirs=0.0057, source="...")      # out of sample, smaller wins
    holds("Spearman with the 60M losses", ours=0.981, least=0.97, source="...")        # against a stated bar
    measured("CPU-seconds of the fit", 0.4)                                            # a figure without a verdict

so that a verdict always follows from the numbers, by a tolerance that stands beside them. `theirs` is what the source
says; nothing here is tuned on the targets it is scored on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forescale.core.errors import InputError, QueryError, message, nearest
from forescale.core.registry import discover

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
BETTER, EQUAL, WORSE = "ours is better out of sample", "no difference", "theirs is better out of sample"
HOLDS, FAILS = "holds", "does not hold"
MEASURED = "measured"


@dataclass(frozen=True)
class Claim:
    """One sentence with two numbers.

    Attributes:
        text: what is claimed or measured, with its unit.
        ours: our figure.
        theirs: what the source states: a number, a bar in words, or None.
        verdict: one of the words of this module.
        source: where `theirs` stands.
        note: what a reader must know; for what is not reproduced, why, as far as known.
        within: the difference that was allowed, in the unit of the figures; None where none was stated.
        good: whether the verdict speaks for the claim.
    """

    text: str
    ours: float
    theirs: float | str | None
    verdict: str
    source: str = ""
    note: str = ""
    within: float | None = None
    good: bool = True


def reproduced(
    text: str, *, ours: float, theirs: float, within: float, relative: bool = False, source: str, note: str = ""
) -> Claim:
    """Whether our figure is theirs to `within` (a share of theirs if `relative`)."""
    allowed = within * abs(theirs) if relative else within
    ok = abs(ours - theirs) <= allowed
    verdict = REPRODUCED if ok else NOT_REPRODUCED
    return Claim(text, float(ours), float(theirs), verdict, source, note, allowed, ok)


def better(
    text: str,
    *,
    ours: float,
    theirs: float,
    tie: float = 0.0,
    higher: bool = False,
    names: tuple[str, str] = ("ours", "theirs"),
    source: str,
    note: str = "",
) -> Claim:
    """Which of two out-of-sample errors is smaller (scores: `higher`); a relative difference up to `tie` is none.

    `names` are what the two are called in the verdict, where both are somebody's published form.
    """
    gap = (theirs - ours) * (-1.0 if higher else 1.0)
    if abs(gap) <= tie * abs(theirs):
        verdict, good = EQUAL, True
    else:
        good = bool(gap > 0)
        verdict = f"{names[0] if good else names[1]} is better out of sample"
    return Claim(text, float(ours), float(theirs), verdict, source, note, tie * abs(theirs) or None, good)


def holds(
    text: str, *, ours: float, least: float | None = None, most: float | None = None, source: str, note: str = ""
) -> Claim:
    """Whether our figure keeps to a bar that the source states."""
    if least is None and most is None:
        raise InputError(message(f"the claim {text!r} has no bar", "least=... or most=..."))
    ok = (least is None or ours >= least) and (most is None or ours <= most) and math.isfinite(ours)
    ends = (("at least", least), ("at most", most))
    bar = " and ".join(f"{word} {end:.4g}" for word, end in ends if end is not None)
    return Claim(text, float(ours), bar, HOLDS if ok else FAILS, source, note, None, ok)


def measured(text: str, ours: float, *, note: str = "") -> Claim:
    """A figure that no source states."""
    return Claim(text, float(ours), None, MEASURED, "", note)


@dataclass(frozen=True)
class Table:
    """A table for the page: title, head, rows of texts."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Attributes:
        claims: at least one; the first ones are what the paper is known for.
        sentence: the finding in one or two sentences, for lists.
        charts: name -> Vega-Lite specification (see `reporting.charts.xy`).
        tables: further tables.
    """

    claims: tuple[Claim, ...]
    sentence: str
    charts: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()

    def __post_init__(self) -> None:
        if not self.claims:
            raise InputError(message("a study without claims", "at least one"))

    @property
    def verdict(self) -> str:
        """All claims in few words: "4 of 5 hold", with the first that does not."""
        judged = [claim for claim in self.claims if claim.verdict != MEASURED]
        good = [claim for claim in judged if claim.good]
        if not judged:
            return MEASURED
        if len(good) == len(judged):
            words = list(dict.fromkeys(claim.verdict for claim in judged))
            return "; ".join(words)
        first = next(claim for claim in judged if not claim.good)
        return f"{len(good)} of {len(judged)} hold; {first.verdict}: {first.text} ({compared(first)})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without charts."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "claims": [
                {
                    "text": c.text,
                    "ours": c.ours,
                    "theirs": c.theirs,
                    "within": c.within,
                    "verdict": c.verdict,
                    "source": c.source,
                    "note": c.note,
                }
                for c in self.claims
            ],
            "tables": [
                {"title": t.title, "head": list(t.head), "rows": [list(row) for row in t.rows], "note": t.note}
                for t in self.tables
            ],
        }


def compared(claim: Claim) -> str:
    """The two figures of a claim as text."""
    if claim.theirs is None:
        return f"ours {shown(claim.ours)}"
    word = "theirs " if isinstance(claim.theirs, float) else "bar: "
    return f"ours {shown(claim.ours)}, {word}{stated(claim)}"


def stated(claim: Claim) -> str:
    """What a source states, with the difference that was allowed: "0.4464 ± 0.001"."""
    text = shown(claim.theirs)
    return text if claim.within is None else f"{text} ± {claim.within:.2g}"


def shown(value: float | str | None) -> str:
    """A figure for people."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        id: short name.
        title: one line.
        question: what is asked, in one sentence.
        papers: keys of the bibliography.
        datasets: names of data sets that it loads.
        laws: ids of laws and families that it is about.
        run: makes the outcome; no arguments.
        slow: takes more than 20 CPU-seconds.
    """

    id: str
    title: str
    question: str
    papers: tuple[str, ...]
    datasets: tuple[str, ...]
    laws: tuple[str, ...]
    run: Callable[[], Outcome]
    slow: bool = False


def studies() -> dict[str, Study]:
    """All studies: id -> Study."""
    return {name: entry.value for name, entry in discover("forescale.studies", Study).items()}


def find(name: str) -> Study:
    """One study. Raises QueryError with the nearest ids."""
    known = studies()
    if name not in known:
        raise QueryError(message(f"there is no study {name!r}", "", nearest(name, known)))
    return known[name]


def page(study: Study, outcome: Outcome, commands: Sequence[str] = ()) -> Any:
    """One self-contained HTML page: verdict, claims, charts, tables, citations."""
    from forescale.reporting.study import page as made

    claims = [
        (c.text, shown(c.ours), stated(c), c.verdict, ". ".join(part for part in (c.source, c.note) if part))
        for c in outcome.claims
    ]
    return made(
        title=study.title,
        question=study.question,
        verdict=outcome.verdict,
        sentence=outcome.sentence,
        claims=claims,
        charts=outcome.charts,
        tables=[(t.title, t.head, t.rows, t.note) for t in outcome.tables],
        papers=study.papers,
        datasets=study.datasets,
        laws=study.laws,
        commands=tuple(commands) or (f"forescale study {study.id} -o {study.id}.html",),
    )

# SPDX-License-Identifier: Apache-2.0
"""Running studies and keeping what they found: text, pages, charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, wrap
from typing import Any

from forescale.core.errors import QueryError, ReadError, message
from forescale.studies._study import Outcome, Study, compared, find, page


@dataclass(frozen=True)
class Done:
    """A study and its outcome, or the reason why it was left out."""

    study: Study
    outcome: Outcome | None
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        about = {
            "title": self.study.title,
            "question": self.study.question,
            "papers": list(self.study.papers),
            "datasets": list(self.study.datasets),
            "laws": list(self.study.laws),
        }
        return {**about, **(self.outcome.to_dict() if self.outcome is not None else {"left_out": self.why})}


def run(
    names: Sequence[str], *, skip_absent: bool = False, progress: Callable[[str], None] | None = None
) -> dict[str, Done]:
    """Run studies by id.

    Args:
        skip_absent: leave out a study whose data set cannot be had, with the reason; otherwise that is the error.

    Raises:
        QueryError: an unknown id.
        ReadError: a data set that cannot be had.
    """
    chosen = {name: find(name) for name in names}
    done: dict[str, Done] = {}
    for name, study in chosen.items():
        try:
            done[name] = Done(study, study.run())
        except ReadError as error:
            if not skip_absent:
                raise
            done[name] = Done(study, None, str(error))
        if progress is not None:
            outcome = done[name].outcome
            progress(f"{name}: {outcome.verdict if outcome is not None else 'left out'}")
    return done


def text(done: Done) -> str:
    """A study for a terminal."""
    study, outcome = done.study, done.outcome
    head = f"{study.id}: {study.title}\n" + fill(study.question, 100)
    if outcome is None:
        return f"{head}\n\nleft out: {done.why}"
    lines = []
    for c in outcome.claims:
        source = f"  ({c.source})" if c.source else ""
        lines += wrap(
            f"[{c.verdict}] {c.text}: {compared(c)}{source}", 100, initial_indent="  ", subsequent_indent="    "
        )
        lines += wrap(c.note, 100, initial_indent="      ", subsequent_indent="      ")
    body = "\n".join(lines)
    return f"{head}\n\n{fill(outcome.sentence, 100)}\n\n{body}\n\nverdict: {outcome.verdict}"


def write(done: Mapping[str, Done], out: Path | None, charts: Path | None) -> list[Path]:
    """Pages (one file for one study, else a folder) and charts as PNG files; returns the paths."""
    from forescale.reporting.export import save

    written: list[Path] = []
    found = {name: (d.study, d.outcome) for name, d in done.items() if d.outcome is not None}
    if out is not None:
        if len(done) > 1 and out.suffix:
            raise QueryError(message(f"{len(done)} studies for the file {out}", "a folder", "-o studies"))
        for name, (study, outcome) in found.items():
            target = out if out.suffix else out / f"{name}.html"
            written.append(page(study, outcome).save(target))
    if charts is not None:
        for name, (_, outcome) in found.items():
            for chart, spec in outcome.charts.items():
                written.append(save(spec, charts / f"{name}-{chart}.png", ppi=80))
    return written

# SPDX-License-Identifier: Apache-2.0
"""The bibliography: a key such as "hoffmann2022" as a short citation or as BibTeX.

Facts stand in two files. `laws/papers.toml` is the map of the literature: each paper with where it works here, and
what is missing. `core/references.toml` holds all other works. The map is read as a file of the package, so that
nothing above is imported.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from forescale.core.errors import InputError, InternalError, message, nearest


@dataclass(frozen=True)
class Reference:
    """One work. `authors` are family names; `others` says that the list goes on; `year` is 0 where there is none."""

    key: str
    authors: tuple[str, ...]
    title: str
    year: int = 0
    others: bool = False
    arxiv: str = ""
    url: str = ""
    venue: str = ""
    label: str = ""

    @property
    def link(self) -> str:
        """Where to read it."""
        return self.url or (f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else "")


@dataclass(frozen=True)
class Paper:
    """One paper on the map of the literature.

    Attributes:
        reference: its facts.
        spec: the sections of the notes where it is read, e.g. "pretraining 23".
        room: the floor that it belongs to.
        works: laws, and files below `forescale`, where it works today.
        missing: what is not there yet, in one sentence; "" where all of it works.
    """

    reference: Reference
    spec: tuple[str, ...]
    room: str
    works: tuple[str, ...] = ()
    missing: str = ""

    @property
    def where(self) -> str:
        """Where it works, and what does not yet, in words."""
        parts = [", ".join(self.works), f"not yet: {self.missing}" if self.missing else ""]
        return "; ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """The paper as plain values: its facts, its link and its place."""
        place = {"spec": self.spec, "room": self.room, "works": self.works, "missing": self.missing}
        facts = {**asdict(self.reference), "url": self.reference.link, **place}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}


_PLACE = ("spec", "room", "works", "missing")
_ARXIV = re.compile(r"\d{4}\.\d{4,5}")


def _read(room: str, name: str) -> dict[str, dict[str, Any]]:
    import tomllib  # loaded only when something is cited

    text = resources.files("forescale").joinpath(room, name).read_text(encoding="utf-8")
    return tomllib.loads(text)


def _reference(key: str, entry: Mapping[str, Any]) -> Reference:
    return Reference(key=key, **{**entry, "authors": tuple(entry["authors"])})


@functools.cache
def papers() -> tuple[Paper, ...]:
    """The map of the literature, in the order of its file."""
    found = []
    for key, entry in _read("laws", "papers.toml").items():
        facts = {name: value for name, value in entry.items() if name not in _PLACE}
        found.append(
            Paper(
                reference=_reference(key, facts),
                spec=tuple(entry["spec"]),
                room=entry["room"],
                works=tuple(entry["works"]),
                missing=entry["missing"],
            )
        )
    return tuple(found)


@functools.cache
def _references() -> Mapping[str, Reference]:
    found = {key: _reference(key, entry) for key, entry in _read("core", "references.toml").items()}
    return MappingProxyType(_joined(found, {paper.reference.key: paper.reference for paper in papers()}))


def _joined(others: Mapping[str, Reference], mapped: Mapping[str, Reference]) -> dict[str, Reference]:
    """Both files as one. A key in both would be two sets of facts, one of them forgotten at the next change."""
    twice = sorted(others.keys() & mapped.keys())
    if twice:
        raise InternalError(
            message(
                f"{', '.join(twice)} in both core/references.toml and laws/papers.toml", "each key in one of them"
            )
        )
    return {**others, **mapped}


def keys() -> tuple[str, ...]:
    """Every key of the bibliography, sorted."""
    return tuple(sorted(_references()))


def reference(key: str) -> Reference:
    """The facts behind a key. Raises InputError with the nearest keys."""
    found = _references().get(key)
    if found is None:
        raise InputError(message(f"there is no reference {key!r}", hint=nearest(key, _references())))
    return found


def named(text: str) -> tuple[str, ...]:
    """The keys of the works whose arXiv numbers stand in a text, in its order: data sets cite in words."""
    known = {work.arxiv: key for key, work in _references().items() if work.arxiv}
    return tuple(dict.fromkeys(known[number] for number in _ARXIV.findall(text) if number in known))


def short(key: str) -> str:
    """One line for tables and footnotes: "Hoffmann et al. (2022), arXiv:2203.15556"."""
    work = reference(key)
    if work.label:
        return work.label
    authors = [name.strip("{}") for name in work.authors]  # braces keep a name together in BibTeX alone
    if work.others or len(authors) > 3:
        who = f"{authors[0]} et al."
    elif len(authors) == 1:
        who = authors[0]
    else:
        who = ", ".join(authors[:-1]) + " and " + authors[-1]
    where = f"arXiv:{work.arxiv}" if work.arxiv else work.venue or work.url
    return f"{who} ({work.year}), {where}"


def bibtex(key: str) -> str:
    """A BibTeX entry, ending in a newline."""
    work = reference(key)
    fields = {
        "author": " and ".join([*work.authors, *(["others"] if work.others else [])]),
        "title": f"{{{work.title}}}",  # a second pair of braces keeps the capitals
        "year": str(work.year) if work.year else "",
        "note": work.venue,
        "eprint": work.arxiv,
        "archivePrefix": "arXiv" if work.arxiv else "",
        "url": work.link,
    }
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{{key},\n{body}}}\n"


def bibliography(keys: Sequence[str], texts: Sequence[str], end: str) -> str:
    """BibTeX of works and of forescale itself; what has no entry is a comment.

    Args:
        keys: of works; unknown ones (of a law from elsewhere) become comments.
        texts: citations in words, as data sets carry them; works that they name by arXiv number are cited too.
        end: last comment line, without its sign.
    """
    wanted = dict.fromkeys([*keys, *(key for text in texts for key in named(text))])
    known = set(_references())
    entries = [bibtex(key) for key in (*wanted, "forescale") if key in known]
    remarks = [f"% paper: {key}\n" for key in wanted if key not in known]
    remarks += [f"% data: {text}\n" for text in texts]
    return "\n".join([*entries, "".join([*remarks, f"% {end}\n"])])

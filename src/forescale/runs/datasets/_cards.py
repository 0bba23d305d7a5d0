# SPDX-License-Identifier: Apache-2.0
"""The cards: what each data set is, where it comes from, under which licence, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from forescale.core.errors import InputError, InternalError, message, nearest
from forescale.core.frozen import Frozen
from forescale.runs.table import Conventions

UNPINNED = ""
"""The hash of a file whose upstream hash is not known: recorded on first download, checked from then on."""


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        name: name in the mirror and in the cache.
        path: path below the card's upstream address.
        sha256: upstream SHA-256, its first 16 digits where only those are known, or `UNPINNED`.
    """

    name: str
    path: str
    sha256: str = UNPINNED


@dataclass(frozen=True)
class Variant:
    """A named way to read a data set, e.g. with or without known outliers.

    Attributes:
        name: what to ask for.
        summary: what is in it.
        rows: number of rows, or None where it grows with the data.
        options: for the data set's reader.
        filters: column -> value that the rows must have.
        conventions: what the numbers of this variant mean.
    """

    name: str
    summary: str
    rows: int | None
    options: Mapping[str, Any] = field(default_factory=dict)
    filters: Mapping[str, Any] = field(default_factory=dict)
    conventions: Conventions = field(default_factory=Conventions)


@dataclass(frozen=True)
class Card:
    """One data set.

    Attributes:
        id: name of its folder in a mirror.
        title: one line.
        about: what was measured, in a few sentences.
        upstream: address of the repository's raw files at a commit; None if there is no downloadable original.
        repository, commit: where that is, for people.
        licence: as stated upstream; "none stated" where it is not.
        citations: how to cite it.
        units: what the columns are.
        source: which reader in this package turns its files into columns.
        files: what is read.
        variants: name -> Variant; the first is the default.
        traps: what has misled people.
        shipped: the files are part of this package.
        folder: its folder in a mirror, where that is not the id.
    """

    id: str
    title: str
    about: str
    upstream: str | None
    repository: str
    commit: str
    licence: str
    citations: tuple[str, ...]
    units: str
    source: str
    files: tuple[File, ...]
    variants: Mapping[str, Variant]
    traps: tuple[str, ...] = ()
    shipped: bool = False
    folder: str = ""

    @property
    def default(self) -> Variant:
        """What the plain id means."""
        return next(iter(self.variants.values()))

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names of the variants."""
        return tuple(self.variants)

    @property
    def rows(self) -> int | None:
        """Rows of the default variant."""
        return self.default.rows

    def file(self, name: str) -> File:
        """The file of that name."""
        for known in self.files:
            if known.name == name:
                return known
        raise InternalError(message(f"the card {self.id} has no file {name!r}"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "about": self.about,
            "repository": self.repository,
            "commit": self.commit,
            "upstream": self.upstream,
            "licence": self.licence,
            "citations": list(self.citations),
            "units": self.units,
            "traps": list(self.traps),
            "shipped": self.shipped,
            "files": [{"name": f.name, "sha256": f.sha256 or "unpinned"} for f in self.files],
            "variants": [{"name": v.name, "summary": v.summary, "rows": v.rows} for v in self.variants.values()],
        }


@cache
def _all() -> Mapping[str, Card]:
    import tomllib  # only where a data set is asked for

    folder = resources.files("forescale.runs.datasets").joinpath("cards")
    found: dict[str, Card] = {}
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml") and entry.name != "mirror_hashes.toml":
            made = parse(tomllib.loads(entry.read_text(encoding="utf-8")))
            found[made.id] = made
    return Frozen(found)


def parse(value: Mapping[str, Any]) -> Card:
    """A card from its TOML table."""
    variants = {}
    for entry in value["variants"]:
        variants[entry["name"]] = Variant(
            name=entry["name"],
            summary=entry["summary"],
            rows=entry.get("rows"),
            options=Frozen(entry.get("options", {})),
            filters=Frozen(entry.get("filters", {})),
            conventions=Conventions(**{**value.get("conventions", {}), **entry.get("conventions", {})}),
        )
    return Card(
        id=value["id"],
        title=value["title"],
        about=value["about"],
        upstream=None if value["upstream"] == "none" else value["upstream"],
        repository=value["repository"],
        commit=value["commit"],
        licence=value["licence"],
        citations=tuple(value["citations"]),
        units=value["units"],
        source=value["source"],
        files=tuple(File(f["name"], f.get("path", f["name"]), f.get("sha256", UNPINNED)) for f in value["files"]),
        variants=Frozen(variants),
        traps=tuple(value.get("traps", ())),
        shipped=value.get("shipped", False),
        folder=value.get("folder", ""),
    )


def datasets() -> list[Card]:
    """All cards, by id."""
    return list(_all().values())


def names() -> list[str]:
    """Everything that may be asked for: ids and variants."""
    return sorted({name for made in _all().values() for name in (made.id, *made.variants)})


def find(name: str) -> tuple[Card, Variant] | None:
    """The card and variant that a name means, or None."""
    for made in _all().values():
        if name == made.id:
            return made, made.default
        if name in made.variants:
            return made, made.variants[name]
    return None


def card(name: str) -> Card:
    """The card behind an id or a variant's name.

    Raises:
        InputError: no such data set.
    """
    found = find(name)
    if found is None:
        raise InputError(message(f"there is no data set {name!r}", hint=nearest(name, names())))
    return found[0]


@cache
def mirror_hashes() -> Mapping[str, Mapping[str, str]]:
    """Data set -> file -> SHA-256 of the copies in a mirror; several are subsets of the originals."""
    import tomllib

    path = resources.files("forescale.runs.datasets").joinpath("cards", "mirror_hashes.toml")
    return Frozen(tomllib.loads(path.read_text(encoding="utf-8")))

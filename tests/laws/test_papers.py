# SPDX-License-Identifier: Apache-2.0
"""The map of the literature, and what a fit cites."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import shorten
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.cli.main import run
from forescale.core.cite import Paper, bibtex, keys, papers
from forescale.core.errors import LawError
from forescale.fitting._text import citation

SOURCE = Path(fs.__file__).parent
SECTIONS = {"pretraining": 23, "theory": 34, "inference": 16}
BUILT_IN = sorted(fs.catalogue())


def test_there_are_enough() -> None:
    assert len(papers()) >= 68


@pytest.mark.parametrize(("notes", "last"), SECTIONS.items())
def test_every_section_is_covered(notes: str, last: int) -> None:
    covered = {place for paper in papers() for place in paper.spec}
    assert [n for n in range(1, last + 1) if f"{notes} {n}" not in covered] == []


@pytest.mark.parametrize("paper", papers(), ids=lambda paper: paper.reference.key)
def test_each_has_its_place(paper: Paper) -> None:
    assert paper.spec
    for place in paper.spec:
        notes, number = place.split(" ")
        assert 1 <= int(number) <= SECTIONS[notes]
    assert (SOURCE / paper.room.split("/")[0]).is_dir()
    assert paper.works or paper.missing
    assert not paper.missing or (paper.missing[-1] == "." and paper.missing[0].isupper())
    for place in paper.works:
        if place.endswith(".py"):
            assert (SOURCE / place).is_file(), place
        else:
            assert place in fs.catalogue(), place
    assert paper.where


@pytest.mark.parametrize("law", BUILT_IN)
def test_the_works_of_a_law_are_known(law: str) -> None:
    """Whatever a law cites is in the bibliography, and what of it is on the map is found by the law's name."""
    cited = set(fs.law(law).papers)
    assert cited <= set(keys())
    assert cited & {p.reference.key for p in papers()} <= {p.reference.key for p in fs.papers(law)}


@pytest.mark.parametrize("law", BUILT_IN)
def test_every_law_can_be_cited(law: str) -> None:
    """Law, constants, data and forescale as BibTeX, with what has no entry as a comment."""
    value = fs.law(law)
    runs = SimpleNamespace(citations=("Li et al. (2025), arXiv:2502.18969", "The Marin community (2025)"))
    fit: Any = SimpleNamespace(law=value, source="", runs=runs, loss="log-huber", version="1", data_hash="ab" * 32)
    text = citation(fit)
    for key in (*value.papers, "besiroglu2024", "li2025misfitting", "forescale"):
        assert text.count(bibtex(key)) == 1
    assert "% data: The Marin community (2025)\n" in text
    assert "% paper:" not in text
    assert text.count("{") == text.count("}")
    for name, constants in value.published.items():
        said = fs.open(f"{law}:{name}").citation()
        assert said.count(bibtex(constants.source)) == 1
        assert "@misc{forescale," in said


def test_a_fit_cites_its_data() -> None:
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    fit = fs.fit({"N": N, "D": D, "loss": 1.8 + 480 * N**-0.35 + 2100 * D**-0.37}, law="chinchilla")
    assert "@misc{hoffmann2022," in fit.citation()
    assert fit.data_hash[:16] in fit.citation()


def test_the_papers_of_a_law() -> None:
    assert [p.reference.key for p in fs.papers("bnsl")] == ["caballero2022"]
    assert fs.papers() == papers()
    with pytest.raises(LawError, match="chinchilla"):
        fs.papers("chinchila")


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["laws", "--papers"]) == 0
    text = capsys.readouterr().out
    for paper in papers():
        assert paper.reference.key in text
        assert shorten(paper.where, 60, placeholder="") in text
    assert "not yet: " in text
    assert run(["laws", "--papers", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["schema"] == "forescale/papers"
    assert len(content["papers"]) == len(papers())
    assert content["papers"][0]["works"] == list(papers()[0].works)
    assert run(["laws", "chinchilla", "--papers"]) == 0
    assert "caballero2022" not in capsys.readouterr().out

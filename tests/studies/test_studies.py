# SPDX-License-Identifier: Apache-2.0
"""Studies give verdicts that follow from their numbers, and what the documentation says of them is what they find."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

import forescale as fs
from forescale.core import cite
from forescale.core.errors import InputError, QueryError, ReadError
from forescale.laws import families
from forescale.studies import _run
from forescale.studies._study import (
    BETTER,
    EQUAL,
    FAILS,
    HOLDS,
    NOT_REPRODUCED,
    REPRODUCED,
    WORSE,
    Outcome,
    Study,
    better,
    compared,
    find,
    holds,
    measured,
    page,
    reproduced,
    studies,
)

RECORDED = Path(__file__).parents[2] / "docs" / "studies.json"
SAME = 2e-3
"""Figures of a study that is run again may differ by rounding in the last printed digits (other processors, other
libraries); what they are compared with does not."""

ALL = [
    pytest.param(study, id=name, marks=[pytest.mark.slow] if study.slow else []) for name, study in studies().items()
]


# -- verdicts -------------------------------------------------------------------------------------------------------


def test_reproduced_is_decided_by_its_tolerance() -> None:
    assert reproduced("x", ours=1.04, theirs=1.0, within=0.05, source="s").verdict == REPRODUCED
    assert reproduced("x", ours=1.06, theirs=1.0, within=0.05, source="s").verdict == NOT_REPRODUCED
    assert reproduced("x", ours=104.0, theirs=100.0, within=0.05, relative=True, source="s").verdict == REPRODUCED
    assert reproduced("x", ours=math.nan, theirs=1.0, within=0.05, source="s").verdict == NOT_REPRODUCED


def test_better_is_decided_by_the_smaller_error() -> None:
    assert better("x", ours=0.9, theirs=1.0, source="s").verdict == BETTER
    named = better("x", ours=1.1, theirs=1.0, names=("a", "b"), source="s")
    assert (named.verdict, named.good) == ("b is better out of sample", False)
    assert better("x", ours=1.1, theirs=1.0, source="s").verdict == WORSE
    assert better("x", ours=1.005, theirs=1.0, tie=0.01, source="s").verdict == EQUAL
    assert better("x", ours=0.9, theirs=1.0, higher=True, source="s").verdict == WORSE
    assert better("x", ours=math.nan, theirs=1.0, source="s").verdict == WORSE


def test_holds_is_decided_by_its_bar() -> None:
    assert holds("x", ours=0.98, least=0.97, source="s").verdict == HOLDS
    assert holds("x", ours=0.96, least=0.97, source="s").verdict == FAILS
    assert holds("x", ours=3.0, least=1.0, most=2.0, source="s").verdict == FAILS
    assert holds("x", ours=math.nan, most=2.0, source="s").verdict == FAILS
    assert holds("x", ours=1.5, least=1.0, most=2.0, source="s").theirs == "at least 1 and at most 2"
    with pytest.raises(InputError, match="no bar"):
        holds("x", ours=1.0, source="s")


def test_the_verdict_of_a_study_names_what_fails() -> None:
    good, bad = holds("a", ours=1.0, most=2.0, source="s"), holds("b", ours=3.0, most=2.0, source="s")
    assert Outcome((good, measured("c", 1.0)), "said").verdict == HOLDS
    assert Outcome((good, bad), "said").verdict == f"1 of 2 hold; {FAILS}: b (ours 3, bar: at most 2)"
    assert Outcome((measured("c", 1.0),), "said").verdict == "measured"
    assert compared(reproduced("x", ours=1.0, theirs=2.0, within=0.1, source="s")) == "ours 1, theirs 2 ± 0.1"
    with pytest.raises(InputError, match="without claims"):
        Outcome((), "said")


# -- the registry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("study", ALL)
def test_a_study_is_documented(study: Study) -> None:
    assert study.title
    assert study.question.endswith("?")
    assert study.papers
    assert all(cite.short(key) for key in study.papers)
    known = {*fs.catalogue(), *families(), *fs.estimators()}
    assert study.laws
    assert set(study.laws) <= known, set(study.laws) - known
    for name in study.datasets:
        assert fs.api.card(name)  # type: ignore[attr-defined]


def test_unknown_studies_are_answered_with_near_ones() -> None:
    with pytest.raises(QueryError, match="did you mean 'parscale'"):
        find("parscal")


# -- what they find -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("study", ALL)
def test_a_study_finds_what_is_recorded(study: Study) -> None:
    """The figures of docs/studies.json come out again: no page says what the program does not."""
    if not os.environ.get("FORESCALE_MIRROR") and study.datasets:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    try:
        outcome = study.run()
    except ReadError as error:
        pytest.skip(f"{study.id}: {error}")
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["studies"][study.id]
    seen = json.loads(json.dumps(outcome.to_dict()))
    assert [c["text"] for c in seen["claims"]] == [c["text"] for c in recorded["claims"]]
    for new, old in zip(seen["claims"], recorded["claims"]):
        if "CPU" in new["text"]:
            continue  # a time belongs to the machine
        assert new["verdict"] == old["verdict"], f"{new['text']}: {new} was {old}"
        assert new["ours"] == pytest.approx(old["ours"], rel=SAME, abs=SAME * 1e-3), new["text"]
    html = page(study, outcome).html
    assert escape(study.title) in html
    assert "<script" not in html


def test_every_study_is_recorded() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["studies"]
    assert set(recorded) == set(studies())


# -- doors ----------------------------------------------------------------------------------------------------------


def example() -> Study:
    """A study that needs no data."""

    def run() -> Outcome:
        from forescale.reporting.charts.xy import Series, xy

        chart = xy("A line", ["it rises"], [Series("law", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "line")], x="x", y="y")
        return Outcome((holds("it rises", ours=1.0, least=0.0, source="here"),), "It does.", {"line": chart})

    return Study("example", "An example", "Does it rise?", ("hoffmann2022",), (), ("power",), run)


def test_pages_and_charts_are_written(tmp_path: Path) -> None:
    study = example()
    done = {study.id: _run.Done(study, study.run())}
    written = _run.write(done, tmp_path / "page.html", tmp_path / "charts")
    assert [p.name for p in written] == ["page.html", "example-line.png"]
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<svg") == 2  # for a page, and for a telephone
    assert (tmp_path / "charts" / "example-line.png").read_bytes().startswith(b"\x89PNG")
    two = {**done, "other": done["example"]}
    with pytest.raises(QueryError, match="2 studies for the file"):
        _run.write(two, tmp_path / "page.html", None)
    assert [p.name for p in _run.write(two, tmp_path / "pages", None)] == ["example.html", "other.html"]


def test_a_study_without_its_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FORESCALE_MIRROR", str(tmp_path))
    with pytest.raises(ReadError):
        _run.run(["parscale"])
    done = _run.run(["parscale"], skip_absent=True)
    assert done["parscale"].outcome is None
    assert "left out" in _run.text(done["parscale"])
    assert "left_out" in done["parscale"].to_dict()


def test_the_command_lists_and_runs(cli: Callable[..., Any], tmp_path: Path) -> None:
    listed = cli("study")
    assert listed.code == 0
    assert all(name in listed.out for name in studies())
    assert len(json.loads(cli("study", "--json").out)["studies"]) == len(studies())
    assert cli("study", "nothing-of-this-kind").code == 2
    if not os.environ.get("FORESCALE_MIRROR"):
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    said = cli("study", "parscale", "-o", tmp_path / "p.html")
    assert said.code == 0
    assert "verdict: reproduced" in said.out
    assert (tmp_path / "p.html").exists()

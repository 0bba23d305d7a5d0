# SPDX-License-Identifier: Apache-2.0
"""The bibliography: two files, one set of keys."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from forescale.core import cite
from forescale.core.cite import bibtex, keys, named, papers, reference, short
from forescale.core.errors import InputError, InternalError


@pytest.mark.parametrize("key", keys())
def test_every_entry_is_complete(key: str) -> None:
    work = reference(key)
    assert work.authors
    assert work.title
    assert work.link.startswith("https://")
    assert not work.arxiv or re.fullmatch(r"\d{4}\.\d{5}", work.arxiv)
    if work.arxiv:
        # An arXiv number begins with the year and month of submission; a venue may be a year later.
        assert work.year == 2000 + int(work.arxiv[:2])
    assert "{" not in short(key)


@pytest.mark.parametrize("key", keys())
def test_bibtex_parses(key: str) -> None:
    entry = bibtex(key)
    first, *fields, last, after = entry.split("\n")
    assert (first, last, after) == (f"@misc{{{key},", "}", "")
    found = {}
    for line in fields:
        match = re.fullmatch(r"  (\w+) = \{(.*)\},", line)
        assert match, line
        depth = 0
        for letter in match[2]:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            assert depth >= 0, line
        assert depth == 0, line
        found[match[1]] = match[2]
    assert {"author", "title", "url"} <= set(found)
    assert found.get("year", "") == (str(reference(key).year) if reference(key).year else "")


def test_forms() -> None:
    assert short("hoffmann2022") == "Hoffmann et al. (2022), arXiv:2203.15556"
    assert short("pearce2024") == "Pearce and Song (2024), arXiv:2406.12907"
    assert short("choshen2024") == "Choshen, Zhang and Andreas (2024), arXiv:2410.11840"
    assert short("deepseek2024") == "DeepSeek-AI (2024), arXiv:2401.02954"
    assert short("nist_strd") == "NIST StRD"
    assert "author = {Hoffmann and others}" in bibtex("hoffmann2022")
    with pytest.raises(InputError, match="hoffmann2022"):
        short("hoffman2022")


def test_no_work_is_listed_twice() -> None:
    links = [reference(key).link for key in keys()]
    assert sorted(links) == sorted(set(links))
    assert {paper.reference.key for paper in papers()} < set(keys())


def test_a_key_in_both_files_is_named() -> None:
    work = reference("hoffmann2022")
    with pytest.raises(InternalError, match="hoffmann2022"):
        cite._joined({"hoffmann2022": work, "a": work}, {"hoffmann2022": work, "b": work})
    assert list(cite._joined({"a": work}, {"b": work})) == ["a", "b"]


def test_works_are_found_in_words() -> None:
    text = "Hoffmann et al. (2022), arXiv:2203.15556; Llama 3 herd (2024), arXiv:2407.21783; arXiv:9999.99999"
    assert named(text) == ("hoffmann2022", "dubey2024")
    assert named("no number") == ()


def test_the_map_is_read_without_the_laws() -> None:
    code = (
        "import sys\nfrom forescale.core import cite\nassert 'tomllib' not in sys.modules\n"
        "cite.keys(); cite.papers()\nassert not [m for m in sys.modules if m.startswith('forescale.laws')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

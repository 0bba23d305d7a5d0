# SPDX-License-Identifier: Apache-2.0
"""Mixtures of Ye et al.: how lines become rows, how shares get their names, and lists that are none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_mixing_laws import read
from forescale.runs.table import Runs

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="FORESCALE_MIRROR names no local folder")


def total(runs: Runs) -> np.ndarray:
    return np.asarray(np.sum([runs[name] for name in runs.columns if name.startswith("weight_")], axis=0))


@mirrored
@pytest.mark.parametrize(
    ("name", "mixtures", "domains"),
    [
        ("data-mixing-2", 5, 2),
        ("data-mixing-3", 33, 3),
        ("data-mixing-5", 26, 5),
        ("data-mixing-redpajama", 42, 7),
        ("data-mixing-continual", 5, 2),
    ],
)
def test_mixtures_of_ye(name: str, mixtures: int, domains: int) -> None:
    runs = dataset(name)
    assert len(runs.group_codes("mixture")[1]) == mixtures
    assert sum(column.startswith("weight_") for column in runs.columns) == domains
    assert np.abs(total(runs) - 1).max() < 0.02
    assert (runs["D"] == 1_048_576 * runs["step"]).all()
    assert set(runs["N"].tolist()) <= {18_915_328.0, 85_056_000.0, 201_541_632.0, 302_311_424.0}


@mirrored
@pytest.mark.parametrize(
    ("name", "step", "pairs"),
    [
        (
            "data-mixing-5", 30000,
            {"academic": "pubmed_abstracts", "prose": "pg19", "dialogue": "ubuntu_irc", "symbolic": "github",
             "internet": "wikipedia_en"},
        ),
        (
            "data-mixing-redpajama", 30000,
            {"github": "github", "arxiv": "arxiv", "book": "pg19", "stackexchange": "stackexchange",
             "wikipedia": "europarl"},
        ),
        ("data-mixing-continual", 10000, {"python": "python", "pile": "arxiv"}),
    ],
)  # fmt: skip
def test_names_of_shares_are_those_of_the_losses_that_they_lower(name: str, step: int, pairs: dict[str, str]) -> None:
    """The files do not name them; the share that goes with the lowest losses on a set of a kind is of that kind."""
    runs = dataset(name, step=step)
    last = runs.where(runs["N"] == runs["N"].max())
    domains = [column for column in last.columns if column.startswith("weight_")]
    for share, measured in pairs.items():
        slopes = {d: np.corrcoef(np.log(last[d] + 0.01), last[f"loss_{measured}"])[0, 1] for d in domains}
        assert min(slopes, key=lambda d: slopes[d]) == f"weight_{share}", slopes


@mirrored
def test_continual_training_knows_where_it_began() -> None:
    runs = dataset("data-mixing-continual", eval="github")
    assert runs["loss_before"] == pytest.approx(np.full(len(runs), 1.5652903197747976))
    assert dataset("data-mixing-continual")["loss_before"][0] == pytest.approx(2.9407, abs=5e-5)


@mirrored
def test_defaults_and_optima_are_told_apart() -> None:
    runs = dataset("data-mixing-redpajama", model="70M", group="reference", step=30000)
    assert sorted(runs["weight_commoncrawl"].tolist()) == [0.296875, 0.66796875]


# -- other files ----------------------------------------------------------------------------------------------------

MIX = {"files": [["m.txt", "70M"]], "domains": ["a", "b"], "eval": "mean"}
LINE = "/x/70M_base_1-0.25-0.75/{step}\t/y/pythia-pile.valid.{set}.bin\t{loss}\n"


def written(folder: Path, text: str) -> Path:
    (folder / "m.txt").write_text(text, encoding="utf-8")
    return folder


def test_lines_become_rows(tmp_path: Path) -> None:
    lines = [(1000, "Pile-CC", 3.0), (1000, "Github", 1.0), (2000, "Github", 0.9), ("last", "Github", 0.9)]
    written(tmp_path, "".join(LINE.format(step=s, set=n, loss=v) for s, n, v in lines))
    raw = read(lambda name: tmp_path / name, MIX)
    assert raw.columns["step"].tolist() == [1000.0]
    assert raw.columns["loss"].tolist() == [2.0]
    assert raw.columns["weight_b"].tolist() == [0.75]
    assert "1 of 2 checkpoints lack" in raw.notes[0].text
    only = read(lambda name: tmp_path / name, {**MIX, "eval": "github"})
    assert only.columns["loss"].tolist() == [1.0, 0.9]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "line of 1 cells"),
        (LINE.format(step=10, set="Github", loss="high"), "cannot be read"),
        ("/x/70M_base_1-0.25-0.25-0.5/10\t/y/pile.valid.Github.bin\t1.0\n", "mixture of 3 domains"),
        ("/x/seventy-0.25-0.75/10\t/y/pile.valid.Github.bin\t1.0\n", "ends in a number"),
        ("", "no losses"),
    ],
)
def test_another_list_is_refused(text: str, said: str, tmp_path: Path) -> None:
    written(tmp_path, text)
    with pytest.raises(ReadError, match=said):
        read(lambda name: tmp_path / name, MIX)


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_bytes(b"\xff\xfe\x00/x\t1\t2\n")
    with pytest.raises(ReadError, match="cannot be read"):
        read(lambda name: tmp_path / name, MIX)

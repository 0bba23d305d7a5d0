# SPDX-License-Identifier: Apache-2.0
"""Three published tables of vision models, mirrored in theory_tables: patches, RegNets, ResNet-RS."""

from __future__ import annotations

import os

import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import card, dataset
from forescale.runs.datasets._read_vision import read

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


def test_cards_share_a_folder_of_the_mirror() -> None:
    for name in ("patchification", "regnet-runtime", "resnet-rs"):
        assert card(name).folder == "theory_tables"
        assert card(name).id != "theory_tables"
    assert card("climate-emulator").folder == ""


@mirrored
def test_patches() -> None:
    runs = dataset("patchification")
    names, counts = runs.group_codes("sequence")[1], [4, 5]
    assert len(names) == 5
    assert sorted({int((runs.labels["sequence"] == name).sum()) for name in names}) == counts
    finest = runs.where((runs.labels["sequence"] == "Adventurer-Base@224") & (runs["patch"] == 1))
    assert finest["loss"][0] == pytest.approx(0.154)
    assert (finest["resolution"][0] / finest["patch"][0]) ** 2 == 50176


@mirrored
def test_regnets_and_resnets() -> None:
    runs = dataset("regnet-runtime")
    one = runs.where(runs.labels["model"] == "RegNetX-32GF")
    assert one["flops"][0] == pytest.approx(31.735930792e9)
    assert one["seconds"][0] == 0.5883
    assert one["loss"][0] == pytest.approx(0.19498)
    largest = dataset("resnet-rs").where(dataset("resnet-rs")["depth"] == 420)
    assert (largest["tpu_ms"][0], largest["resolution"][0]) == (2090, 320)
    assert largest["loss"][0] == pytest.approx(0.156)


def test_another_table_is_refused(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,top1\na,80\n")
    with pytest.raises(ReadError, match="patch"):
        read(lambda name: path, {"file": "t.csv", "right": "top1", "numbers": {"patch": ["patch", 1]}})

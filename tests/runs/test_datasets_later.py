# SPDX-License-Identifier: Apache-2.0
"""Data sets that came with the extrapolation benchmark: their facts, and files that are not what they should be."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_datablations import read as read_datablations
from forescale.runs.datasets._read_olmo import read as read_olmo
from forescale.runs.datasets._read_rectified import read as read_rectified

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


@mirrored
def test_the_ladder_has_five_sizes_by_five_lengths():
    runs = dataset("olmo-ladder")
    assert len(set(runs["N"].tolist())) == 5
    assert runs["D"] / (20 * runs["N"]) == pytest.approx(runs["multiplier"], rel=3e-3)
    smallest = runs.where(runs.labels["run"] == "190M-1xC")
    assert smallest["loss"][0] == pytest.approx(3.599918842315674)  # the second run of this point
    assert dataset("olmo-ladder", eval="pile")["loss"] == pytest.approx(runs["loss_pile"])


@mirrored
def test_runs_that_repeat_no_token_are_told_apart():
    every, once = dataset("datablations"), dataset("datablations-unique")
    assert np.all(once["epochs"] == 1)
    assert np.sum(every["epochs"] == 1) == len(once)
    assert every["epochs"].max() > 1000
    largest = once.where(once["N"] == once["N"].max())
    assert largest["loss"].min() == pytest.approx(2.336741)


@mirrored
def test_fine_tuning_has_thirty_models_by_three_tasks():
    runs = dataset("rectified-finetuning")
    assert len(runs.group_codes("run")[1]) == 90
    assert sorted(set(runs["D"].tolist()))[:2] == [200, 400]
    one = runs.where((runs.labels["run"] == "flan/MBZUAI/LaMini-GPT-124M") & (runs["D"] == 200))
    assert one["loss"].tolist() == pytest.approx([4.24795])
    assert one["loss_before"][0] == pytest.approx(4.891326, abs=1e-6)


@pytest.mark.parametrize(
    ("read", "name", "options", "content", "said"),
    [
        (read_olmo, "190M-1xC.csv", {"files": ["190M-1xC.csv"], "eval": "c4_en"}, "a,b\n1,2\n", "no log of a ladder"),
        (
            read_datablations, "v.csv", {"file": "v.csv", "unique": False},
            "name,params,tokens,unique_tokens,val_loss,status\nx,1,1,1,1,1\n", "status holds numbers",
        ),
        (read_rectified, "flan.csv", {"files": ["flan.csv"]}, "config name,size\nx,1\n", "has other columns"),
    ],
)  # fmt: skip
def test_another_table_is_refused(read, name, options, content, said, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ReadError, match=said):
        read(lambda file: tmp_path / file, options)

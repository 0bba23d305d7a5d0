# SPDX-License-Identifier: Apache-2.0
"""Data sets that came with the extrapolation benchmark: their facts, and files that are not what they should be."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_datablations import read as read_datablations
from forescale.runs.datasets._read_epfl import read as read_epfl
from forescale.runs.datasets._read_mixtures import read as read_mixtures
from forescale.runs.datasets._read_olmo import read as read_olmo
from forescale.runs.datasets._read_rectified import read as read_rectified
from forescale.runs.datasets._read_routing import read as read_routing

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
        (read_epfl, "run.json", {"files": ["run.json"]}, '{"config": {}, "summary": {}}', "lacks"),
        (read_routing, "curves.csv.gz", {"file": "curves.csv.gz"}, "hyper_id,step\n1,2\n", "cannot be read"),
        (read_mixtures, "m.csv", {"file": "m.csv", "eval": "c4"}, "a,b\n1,2\n", "has other columns"),
    ],
)  # fmt: skip
def test_another_table_is_refused(read, name, options, content, said, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ReadError, match=said):
        read(lambda file: tmp_path / file, options)


@mirrored
def test_cosine_runs_have_three_lengths_per_size():
    runs = dataset("schedules-cosine", dataset="slimpajama")
    sizes, counts = np.unique(runs["N"], return_counts=True)
    assert counts.tolist() == [3] * len(sizes) == [3] * 8
    largest = runs.where((runs["N"] == sizes[-1]) & (runs["steps"] == 50000))
    assert largest["loss"][0] == pytest.approx(2.709195613861084)
    assert np.all(largest["D"] == 50000 * 50 * 4 * 2 * 512)


@mirrored
def test_routed_models_end_at_their_last_step():
    runs = dataset("routing")
    assert set(runs["step"].tolist()) <= {248000.0, 249000.0, 250000.0}
    assert runs["N"].max() == pytest.approx(1.308819e9, rel=1e-6)
    dense = runs.where((runs.labels["router"] == "Dense") & (runs["N"] > 1e9))
    assert dense["loss"].min() == pytest.approx(2.242015)


@mirrored
def test_mixtures_sum_to_one_and_name_their_models():
    runs = dataset("dmsl-mixture-llm")
    total = sum(runs[name] for name in runs.columns if name.startswith("weight_"))
    assert total == pytest.approx(np.ones(len(runs)), abs=1e-3)
    assert len(runs.group_codes("mixture")[1]) == 61
    assert dataset("dmsl-mixture-llm", eval="arxiv")["loss"] == pytest.approx(runs["loss_arxiv"])

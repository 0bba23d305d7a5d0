# SPDX-License-Identifier: Apache-2.0
"""The data sets for comparisons: what their rows say, and what they do not carry."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import _read_collapse, dataset

pytestmark = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


def test_clip_and_mammut() -> None:
    runs = dataset("openclip-mammut")
    assert dict(zip(*np.unique(runs.labels["procedure"], return_counts=True))) == {"clip": 581, "mammut": 850}
    np.testing.assert_allclose(runs["loss"], 1.0 - runs["acc1"])
    large = runs.where((runs.labels["model"] == "ViT-L-14") & (runs["D"] > 3e9))
    assert sorted(set((large["C"] / large["D"] / 1e9).round(2).tolist())) == [168.61, 202.56]
    assert len(set(runs.labels["run"].tolist())) == len(runs)
    assert not any("/" in text for label in runs.labels.values() for text in label.tolist()), "a path was carried"
    other = dataset("openclip-mammut-ade20k")
    np.testing.assert_allclose(other["loss"], 1.0 - runs["miou"])


def test_the_speedrun() -> None:
    runs = dataset("marin-optimizers")
    optimizers, counts = np.unique(runs.labels["optimizer"], return_counts=True)
    assert optimizers.tolist() == ["adamc", "adamw", "cautious", "cautious-adamc", "muon"]
    assert set(counts.tolist()) == {4}
    assert len(set(zip(runs["N"].tolist(), runs["D"].tolist()))) == 4
    assert runs.conventions.loss == "bits/byte"
    every = dataset("marin-all")
    assert len(set(every.labels["run"].tolist())) == 52
    assert not any("@" in text or "http" in text for label in every.labels.values() for text in label.tolist())
    twice = dataset("marin-repeats")
    assert len(set(twice["N"].tolist())) == 3


def test_neural_collapse() -> None:
    grid, seeds = dataset("linguistic-collapse"), dataset("linguistic-collapse-seeds")
    assert set(grid["epochs"].tolist()) == {1.0, 3.0, 6.0, 10.0}
    assert (grid["ended"] == 0).sum() == 60
    assert set(grid["depth"].tolist()) == {1.0, 2.0, 4.0, 8.0, 12.0}
    best = int(np.argmin(grid["loss"]))
    assert grid["loss"][best] == pytest.approx(1.0998, abs=5e-5)
    assert grid["NC4"][best] == pytest.approx(0.368, abs=5e-4)
    assert set(seeds["N"].tolist()) == {seeds["N"][0]}


def test_a_model_name_that_says_nothing(tmp_path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("model,n_params,val_acc,val_loss,cdnv\nbig,1e6,0.1,3.0,1.0\n")
    with pytest.raises(ReadError, match="model name 'big'"):
        _read_collapse.read(lambda name: path, {"file": "x.csv"})


def test_xlstm() -> None:
    runs = dataset("xlstm-isoflop")
    assert set(runs["context"].tolist()) == {16384.0}
    assert set(runs.labels["arm"].tolist()) == {"llama", "xlstm"}
    assert len(set(runs.labels["run"].tolist())) == len(runs)
    assert any(note.code == "unfinished" for note in runs.notes)
    np.testing.assert_allclose(runs["C"], 6 * runs["N"] * runs["D"])


def test_climate_emulators() -> None:
    runs = dataset("climate-emulator")
    three = runs.where(
        (runs["n_members"] == 3) & (runs.labels["variable"] == "pr") & (runs.labels["target"] == "same_n")
    )
    found = {m: float(v) for m, v in zip(three.labels["model"].tolist(), three["loss"].tolist())}
    assert found["pattern_scaling"] == pytest.approx(0.1043, abs=5e-5)
    assert found["cnn_lstm"] == pytest.approx(0.1087, abs=5e-5)

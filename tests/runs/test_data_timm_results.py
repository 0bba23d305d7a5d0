# SPDX-License-Identifier: Apache-2.0
"""timm's benchmark tables: rows, units, and the join of training times with activations."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_timm import family, read

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


@mirrored
def test_inference() -> None:
    runs = dataset("timm-inference")
    one = runs.where(runs.labels["model"] == "resnet50")
    at = np.flatnonzero(one["resolution"] == 224)[0]
    assert one["N"][at] == pytest.approx(25.56e6, rel=1e-3)
    assert one["macs"][at] == pytest.approx(4.11e9, rel=1e-2)
    assert one["acts"][at] == pytest.approx(11.11e6, rel=1e-2)
    assert (one.labels["family"] == "resnet").all()


@mirrored
def test_training_has_the_work_of_the_same_image_size() -> None:
    inference, training = dataset("timm-inference"), dataset("timm-training")
    keys = zip(inference.labels["model"].tolist(), inference["resolution"].tolist())
    work = dict(zip(keys, inference["macs"].tolist()))
    for name, size, macs in zip(training.labels["model"].tolist(), training["resolution"].tolist(), training["macs"]):
        assert work[name, size] == macs
    assert len(training) == 665


def test_families() -> None:
    assert family("resnet50d.a1_in1k") == "resnet"
    assert family("tf_efficientnet_b0") == "efficientnet"
    assert family("vit_base_patch16_224") == "vit"


def test_another_table_is_refused(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,seconds\nresnet50,1\n")
    with pytest.raises(ReadError, match="infer_gmacs"):
        read(lambda name: path, {"file": "t.csv"})

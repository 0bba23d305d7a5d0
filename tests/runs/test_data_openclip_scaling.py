# SPDX-License-Identifier: Apache-2.0
"""OpenCLIP's zero-shot results: models, data sets, units."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_openclip_scaling import read

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

RESULTS = (
    "arch,name,samples_seen,gmacs_total,upstream_dataset,downstream_dataset,acc1\n"
    "ViT-B-32,a,3e9,2e10,LAION-2B,imagenet1k,0.6\n"
)


@mirrored
def test_models_and_errors() -> None:
    runs = dataset("openclip-scaling")
    names, counts = np.unique(runs.labels["dataset"], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist())) == {
        "CLIP-WIT": 3,
        "LAION-2B": 9,
        "LAION-400M": 9,
        "LAION-80M": 9,
    }
    large = runs.where((runs.labels["model"] == "ViT-L-14") & (runs.labels["dataset"] == "LAION-2B"))
    last = int(np.argmax(large["D"]))
    assert 1 - large["loss"][last] == pytest.approx(0.75202)
    assert large["C"][last] == pytest.approx(2 * 2.80736e21)
    assert large["N"][last] == pytest.approx(427.62e6)
    coco = dataset("openclip-scaling-coco")
    assert len(coco) == 30
    assert dataset("openclip-scaling", eval="imagenetv2")["loss"].mean() > runs["loss"].mean()


@pytest.mark.parametrize(
    ("results", "sizes", "said"),
    [
        ("arch,name\nViT-B-32,a\n", "model,mparams\nViT-B-32,151\n", "lacks"),
        (RESULTS.replace("imagenet1k", "pets"), "model,mparams\nViT-B-32,151\n", "one of pets"),
        (RESULTS, "model,mparams\nViT-L-14,427\n", "no parameters of ViT-B-32"),
    ],
)
def test_other_tables_are_refused(results: str, sizes: str, said: str, tmp_path) -> None:
    (tmp_path / "r.csv").write_text(results)
    (tmp_path / "s.csv").write_text(sizes)
    options = {"file": "r.csv", "sizes": "s.csv", "metric": "acc1", "eval": "imagenet1k"}
    with pytest.raises(ReadError, match=said):
        read(lambda name: tmp_path / name, options)

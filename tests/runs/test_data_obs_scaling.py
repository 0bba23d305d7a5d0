# SPDX-License-Identifier: Apache-2.0
"""obs_scaling: what its rows say, and files that are not what they should be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import InputError, ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_observational import BENCHMARKS, read

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


@mirrored
def test_models_and_benchmarks() -> None:
    runs = dataset("obs-scaling")
    assert len(runs) == 148
    assert runs["in_paper"].sum() == 77
    assert len(set(runs.labels["family"][runs["in_paper"] == 1].tolist())) == 21
    for name in BENCHMARKS:
        known = runs[name][np.isfinite(runs[name])]
        assert known.size > 110
        assert ((known >= 0) & (known <= 1)).all()
    llama = runs.where(runs.labels["model"] == "meta-llama/Llama-2-7b-hf")
    assert llama["exaflops"][0] == pytest.approx(84e3)
    assert llama["MMLU"][0] == pytest.approx(0.43796, abs=5e-6)


@mirrored
def test_tasks_are_joined_by_the_name_of_the_model() -> None:
    runs = dataset("obs-scaling-tasks")
    assert len(runs) == 84
    llama = runs.where(runs.labels["model"] == "meta-llama/Llama-2-7b-hf")
    assert llama["score"][0] == pytest.approx(0.089)
    bleu = dataset("obs-scaling-tasks", task="ipa_transliterate")["score"]
    assert 0 <= bleu.min() < bleu.max() < 1
    with pytest.raises(InputError, match="did you mean 'addition_3'"):
        dataset("obs-scaling-tasks", task="adition_3")


def test_names_that_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Model,Model Family,FLOPs (1E21)\n1,2,3\n")
    with pytest.raises(ReadError, match="holds numbers"):
        read(lambda name: path, {"file": "x.csv"})
    path.write_text("Model,Model Family,FLOPs (1E21)\na,b,3\n")
    with pytest.raises(ReadError, match="lacks the column 'MMLU'"):
        read(lambda name: path, {"file": "x.csv"})

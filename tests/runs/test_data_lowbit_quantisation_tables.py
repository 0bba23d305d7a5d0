# SPDX-License-Identifier: Apache-2.0
"""README tables of low-bit models: rows, perplexities, degradations."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_lowbit import read

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


@mirrored
def test_trained_in_few_bits() -> None:
    runs = dataset("lowbit-qat")
    assert sorted(set(runs["N"].tolist())) == [1.25e8, 3.5e8, 6e8, 1e9, 1.5e9]
    assert sorted(set(runs["bits"].tolist())) == [1.0, 1.58, 2.0, 3.0, 4.0, 16.0]
    large = runs.where((runs["N"] == 1.5e9) & (runs["bits"] == 2))
    assert large["loss"][0] == pytest.approx(math.log(8.3))
    assert large["error"][0] == pytest.approx(1 - 0.618)
    # the trap: 4-bit models were trained further and are better than 16-bit ones
    assert (runs.where(runs["bits"] == 4)["degradation"] < 0).all()


@mirrored
def test_quantised_after_training() -> None:
    runs = dataset("lowbit-ptq")
    assert (runs["bits"] == 16).sum() == 8
    one = runs.where((runs.labels["model"] == "Llama-2-70B") & (runs["bits"] == 3))
    assert one["N"][0] == 7e10
    assert one["degradation"][0] == pytest.approx(math.log(3.61 / 3.32))
    assert set(runs["group_size"].tolist()) == {0.0, 64.0, 128.0}
    assert np.all(runs.where(runs["bits"] == 16)["degradation"] == 0)
    assert (runs["degradation"] < 0).sum() == 1, "Llama-3-8B-Instruct in four bits"


@pytest.mark.parametrize(
    ("table", "content", "said"),
    [
        ("qat", "size,weight_bits\n125M,4\n", "lacks"),
        ("ptq", "model,method,weight_bits,group_size,wikitext2_ppl\nLlama-2-7B,x,4,128,5.5\n", "no row of 16 bits"),
        ("ptq", "model,method,weight_bits,group_size,wikitext2_ppl\nLlama,x,16,,5.5\n", "its size"),
    ],
)
def test_another_table_is_refused(table: str, content: str, said: str, tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(ReadError, match=said):
        read(lambda name: path, {"file": "t.csv", "table": table})

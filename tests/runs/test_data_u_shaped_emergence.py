# SPDX-License-Identifier: Apache-2.0
"""u_shaped_emergence: ten groups per task, and files that are not what they should be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import InputError, ReadError
from forescale.runs.datasets import card, dataset
from forescale.runs.datasets._read_difficulty import read

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


@mirrored
def test_groups_make_the_whole() -> None:
    for task in card("u_shaped_emergence").default.options["files"]:
        runs = dataset("u-shaped", task=task)
        groups = np.stack([runs[f"score_{i}"] for i in range(1, 11)])
        # groups differ by one question; the smallest task has ten questions in each
        np.testing.assert_allclose(groups.mean(axis=0), runs["score"], atol=0.01, err_msg=task)
        assert (runs["C"] > 1e17).all()
        assert any(note.code == "models-left-out" for note in runs.notes)
    with pytest.raises(InputError, match="did you mean 'mmlu'"):
        dataset("u-shaped", task="mmul")


@mirrored
def test_a_row_of_the_table() -> None:
    runs = dataset("u-shaped")
    assert len(runs) == 65
    llama = runs.where(runs.labels["model"] == "meta-llama/Llama-2-7b-hf")
    assert llama["C"][0] == pytest.approx(8.4e22)
    assert llama["score_1"][0] == pytest.approx(-0.382755, abs=5e-7)
    assert llama["score_10"][0] == pytest.approx(-0.587823, abs=5e-7)
    assert llama["accuracy"][0] == pytest.approx(0.458624, abs=5e-7)


def test_a_table_without_groups(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Model,FLOPs (1E21),0_10_brier\na,1,2\n")
    with pytest.raises(ReadError, match="1 groups"):
        read(lambda name: path, {"files": {"t": "x.csv"}, "task": "t"})
    groups = [f"{i}_{i + 1}_brier" for i in range(10)]
    path.write_text(",".join(["Model", *groups]) + "\na" + ",1" * 10 + "\n")
    with pytest.raises(ReadError, match="lacks the columns"):
        read(lambda name: path, {"files": {"t": "x.csv"}, "task": "t"})

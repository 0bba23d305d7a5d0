# SPDX-License-Identifier: Apache-2.0
"""Checkpoints with ten vocabularies: what the columns are, and a file that is another."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_vocab import read

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


@mirrored
def test_six_sizes_by_ten_vocabularies_by_twenty_checkpoints() -> None:
    runs = dataset("vocab-scaling")
    assert len(runs) == 1200
    codes, names = runs.group_codes("run")
    assert np.bincount(codes).tolist() == [20] * 60
    assert len(names) == 60
    assert (runs["loss_u"] < 0).all()
    np.testing.assert_allclose(
        runs["C"], 6 * (runs["N"] + runs["vocab_size"] * runs["width"]) * runs["D"], rtol=1e-12
    )
    assert runs.conventions.N == "non-embedding"
    assert runs["loss_u"][0] == pytest.approx(-1.3494449853897095)


@mirrored
def test_the_rows_of_the_fit() -> None:
    runs = dataset("vocab-scaling-fit")
    assert len(runs) == 1054
    assert runs["C"].min() > 2.18e17


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "exp_data.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ReadError, match="no column"):
        read(lambda file: tmp_path / file, {"file": "exp_data.csv", "least_flop": 0.0})

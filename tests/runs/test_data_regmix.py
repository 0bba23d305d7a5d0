# SPDX-License-Identifier: Apache-2.0
"""RegMix: three tables of one form, and tables of other rows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_regmix import read
from forescale.runs.table import Runs

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="FORESCALE_MIRROR names no local folder")


def total(runs: Runs) -> np.ndarray:
    return np.asarray(np.sum([runs[name] for name in runs.columns if name.startswith("weight_")], axis=0))


@mirrored
def test_regmix_has_three_tables_of_one_form() -> None:
    learned, small, large = (dataset(name) for name in ("regmix", "regmix-test-1m", "regmix-test-60m"))
    assert (len(learned), len(small), len(large)) == (512, 256, 256)
    weights = [name for name in learned.columns if name.startswith("weight_")]
    assert len(weights) == 17
    assert sum(name.startswith("loss_") for name in learned.columns) == 13
    assert all(np.array_equal(small[name], large[name]) for name in weights)
    assert np.abs(total(learned) - 1).max() < 0.0045
    assert (large["N"] == 60 * small["N"]).all()
    assert learned["loss"][0] == pytest.approx(5.169477939605713)
    assert dataset("regmix", eval="arxiv")["loss"][0] == pytest.approx(7.0255866050720215)
    assert np.array_equal(learned["loss"], learned["loss_pile_cc"])


def test_tables_of_other_rows_are_refused(tmp_path: Path) -> None:
    options = {"mixtures": "a.csv", "losses": "b.csv", "size": ["1M", 1e6], "eval": "arxiv"}
    (tmp_path / "a.csv").write_text("index,train_the_pile_arxiv,train_the_pile_github\n1,0.5,0.5\n2,0.1,0.9\n")
    (tmp_path / "b.csv").write_text("index,metric/the_pile_arxiv_val_loss\n1,5.0\n3,6.0\n")
    with pytest.raises(ReadError, match="hold other rows"):
        read(lambda name: tmp_path / name, options)
    with pytest.raises(ReadError, match="other columns"):
        read(lambda name: tmp_path / name, {**options, "eval": "github"})

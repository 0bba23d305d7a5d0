# SPDX-License-Identifier: Apache-2.0
"""Chronos models: the released aggregates come out, and other tables are refused."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_chronos import read

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


@mirrored
@pytest.mark.parametrize(("variant", "metric"), [("chronos-sizes", "WQL"), ("chronos-sizes-mase", "MASE")])
def test_the_released_aggregates(variant: str, metric: str) -> None:
    """The geometric mean of errors relative to the seasonal naive forecast."""
    runs = dataset(variant)
    folder = Path(os.environ["FORESCALE_MIRROR"]) / "chronos_tsfm_sizes"
    models = sorted(set(runs.labels["model"].tolist()))
    assert len(models) == 9
    for model in models:
        with (folder / f"{model}-agg-rel-scores.csv").open(encoding="utf-8") as handle:
            released = {
                row["benchmark"]: float(row["value"]) for row in csv.DictReader(handle) if row["metric"] == metric
            }
        for benchmark, value in released.items():
            rows = runs.where((runs.labels["model"] == model) & (runs.labels["benchmark"] == benchmark))
            assert len(rows) == {"in-domain": 15, "zero-shot": 27}[benchmark]
            assert np.exp(np.log(rows["relative"]).mean()) == pytest.approx(value, rel=1e-12)


@mirrored
def test_the_metric_may_be_chosen() -> None:
    one, other = dataset("chronos-sizes", metric="MASE"), dataset("chronos-sizes-mase")
    np.testing.assert_array_equal(one["loss"], other["loss"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("seasonal-naive-in-domain.csv", "a,b\n1,2\n", "has other columns"), ("", "", "no in-domain result")],
)
def test_another_table_is_refused(name: str, content: str, said: str, tmp_path: Path) -> None:
    for model, task in (("seasonal-naive", "m4"), ("chronos-t5-tiny", "weather")):
        for benchmark in ("in-domain", "zero-shot"):
            (tmp_path / f"{model}-{benchmark}.csv").write_text(f"dataset,model,MASE,WQL\n{task},{model},1.0,0.1\n")
    if name:
        (tmp_path / name).write_text(content)
    with pytest.raises(ReadError, match=said):
        read(lambda file: tmp_path / file, {"metric": "WQL", "sizes": {"chronos-t5-tiny": 8e6}})

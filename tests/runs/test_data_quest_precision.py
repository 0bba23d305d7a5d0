# SPDX-License-Identifier: Apache-2.0
"""QuEST's runs: what SOURCE.md says of them, and files that are not they."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_quest import read

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

RUN = {
    "w_quant": "NoQuantizer", "a_quant": "NoQuantizer", "w_bits": 16, "a_bits": 16,
    "non_embedding_parameters": 30482560, "tokens": 3e9, "loss": 3.2,
}  # fmt: skip


@mirrored
def test_sizes_schemes_and_lengths() -> None:
    runs = dataset("quest-precision")
    sizes = [30482560, 49556736, 102777856, 203188480, 443068288, 822151168]
    assert sorted(set(runs["N"].tolist())) == sizes
    assert (runs["N"] == sizes[-1]).sum() == 5
    assert {round(r / 25) * 25 for r in (runs["D"] / runs["N"]).tolist()} == {25, 50, 100}
    kinds, counts = np.unique(runs.labels["kind"], return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist())) == {"float": 4, "integer": 94, "sparse": 6}
    fp4 = runs.where(runs.labels["scheme"] == "fp4")
    assert set(fp4["bits"].tolist()) == set(fp4["activation_bits"].tolist()) == {4.0}, "logged as 16"
    plain = runs.where(runs.labels["quantiser"] == "plain")
    assert set(plain.labels["scheme"].tolist()) == {"w16a16"}
    assert plain["loss"].min() == pytest.approx(2.461, abs=5e-4)
    assert len(set(runs.labels["run"].tolist())) == len(runs)
    assert runs.conventions.N == "non-embedding"


@mirrored
def test_integers_leave_the_others_out() -> None:
    runs = dataset("quest-integers")
    assert len(runs) == 94
    assert set(runs["bits"].tolist()) == {1.0, 2.0, 3.0, 4.0, 8.0, 16.0}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "no list of runs"),
        (json.dumps([{**RUN, "w_quant": "OtherQuantizer"}]), "OtherQuantizer"),
        (json.dumps([{k: v for k, v in RUN.items() if k != "tokens"}]), "lacks"),
        ("[{", "not JSON"),
    ],
)
def test_another_file_is_refused(content: str, said: str, tmp_path) -> None:
    path = tmp_path / "runs.json"
    path.write_text(content)
    with pytest.raises(ReadError, match=said):
        read(lambda name: path, {"file": "runs.json"})


def test_a_rotation_that_is_not_undone_is_the_same_scheme(tmp_path) -> None:
    path = tmp_path / "runs.json"
    rows = [{**RUN, "w_quant": f"{half}HadamardTrustQuantizer", "w_bits": 4, "a_bits": 4} for half in ("", "Half")]
    path.write_text(json.dumps(rows))
    raw = read(lambda name: path, {"file": "runs.json"})
    assert raw.columns["scheme"] == ["w4a4", "w4a4"]
    assert raw.columns["quantiser"] == ["quest", "quest"]
    assert raw.columns["method"] == ["quest/w4a4", "quest-half/w4a4"]

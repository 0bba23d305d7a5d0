# SPDX-License-Identifier: Apache-2.0
"""The width-depth law of Gemstones: the conformance kit, the authors' objectives, and a certified global optimum."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError, ReadError
from forescale.fitting._problem import bind
from forescale.fitting.estimate import fit
from forescale.laws.gemstones import gemstones
from forescale.numerics import losses
from forescale.runs.datasets import _read_gemstones, dataset
from forescale.runs.table import Runs

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")

# Objectives that the authors store with their constants: log-Huber, delta 1e-4, summed over the rows of a table.
STATED = {
    ("mcleish2025", "gemstones"): 0.0002949708,
    ("mcleish2025-100b", "gemstones-100b"): 0.000111878,
    ("mcleish2025-late", "gemstones-late"): 0.0000892444,
    ("mcleish2025-cooldown", "gemstones-cooldown"): 0.0000900742,
    ("mcleish2025-half-lr", "gemstones-half-lr"): 0.0001102575,
}
LOSS = "log-huber:1e-4"


@mirrored
@pytest.mark.parametrize(("source", "table"), STATED)
def test_certified_below_the_authors_optimum_within_a_second(source: str, table: str) -> None:
    runs = dataset(table)
    problem = bind(gemstones, runs, losses.loss(LOSS))
    at_theirs = float(problem.value(problem.space.search(problem.space.vector(gemstones.constants(source)))[None])[0])
    stated = STATED[source, table]
    assert at_theirs == pytest.approx(stated, rel=1e-6)  # the digits that they store

    before = time.process_time()
    found = fit(runs, gemstones, loss=LOSS)
    assert time.process_time() - before < 2.0  # measured .2 to .85 on a quiet core
    assert found.convergence is not None
    assert found.convergence.certified
    assert found.convergence.agree >= 8
    assert found.objective < stated
    # Starts that differ do so by rounding of the last iteration, not by a basin.
    assert found.convergence.next_basin < 1e-5 or found.convergence.next_basin == float("inf")
    assert "clusters" in found.covariance_from


@mirrored
def test_our_optimum_is_stored() -> None:
    found = fit(dataset("gemstones"), gemstones, loss=LOSS)
    stored = gemstones.constants("mcleish2025-optimum")
    for name, value in found.params.items():
        assert value == pytest.approx(stored[name], rel=1e-6), name
    assert found.objective == pytest.approx(0.00029480528, rel=1e-7)


@mirrored
def test_the_table_says_what_its_columns_are() -> None:
    runs = dataset("gemstones-checkpoints")
    assert len(np.unique(runs.labels["run"])) == 22
    assert runs.conventions.N == "total"
    np.testing.assert_array_equal(runs["N"] - runs["N_matrices"], 50304 * runs["width"])
    # What is left per layer is the same share of width^2 in the shallowest and the deepest model: the head is counted
    # apart from the embedding, and neither is in N_nonemb.
    per_layer = runs["N_nonemb"] / runs["depth"] / runs["width"] ** 2
    assert per_layer.min() > 13.5
    assert per_layer.max() < 17.0


def test_tables_without_shapes_are_refused() -> None:
    x = np.geomspace(1e8, 1e10, 12)
    with pytest.raises(ColumnError, match="width"):
        fit(Runs.from_columns({"N": x, "D": 20 * x, "loss": 2 + x**-0.1}), gemstones)
    few = {"width": x[:5] / 1e6, "depth": x[:5] / 1e8, "N": x[:5], "D": 20 * x[:5], "loss": 2 + x[:5] ** -0.1}
    with pytest.raises(DataError, match="5 rows for the 9 parameters"):
        fit(Runs.from_columns(few), gemstones)


def test_one_shape_rule_does_not_determine_the_terms() -> None:
    N = np.geomspace(1e7, 1e10, 8)[:, None] * np.ones(6)
    D = np.geomspace(1e9, 1e12, 6)[None, :] * np.ones((8, 1))
    width = (N / 12 / 8) ** (1 / 3) * 2  # depth proportional to width
    columns = {"width": width.ravel(), "depth": width.ravel() / 64, "N": N.ravel(), "D": D.ravel()}
    columns["loss"] = gemstones(gemstones.constants("mcleish2025"), **columns)
    columns["loss"] = columns["loss"] * np.exp(0.003 * np.random.default_rng(0).standard_normal(48))
    found = fit(Runs.from_columns(columns), gemstones)
    assert any(note.code in ("not-determined", "several-optima", "runaway") for note in found.notes)


@pytest.mark.parametrize(
    "text", ["", "not json\n", json.dumps({"run_name": "a", "width": 1}) + "\n", '{"run_name": "a", "width":']
)
def test_damaged_files_end_in_a_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReadError):
        _read_gemstones.read(lambda name: path, {"file": "table.jsonl"})

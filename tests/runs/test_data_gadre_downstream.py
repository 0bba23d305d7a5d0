# SPDX-License-Identifier: Apache-2.0
"""Gadre's models with their tasks: the choice of 17 tasks, and files that are not what they should be."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_gadre_tasks import SCALABLE, _scores

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


@mirrored
def test_models_have_their_losses_and_tasks() -> None:
    runs, models = dataset("gadre-downstream"), dataset("gadre")
    assert runs.labels["run"].tolist() == models.labels["run"].tolist()
    np.testing.assert_array_equal(runs["loss"], models["loss"])
    tasks = [name for name in runs.columns if name.startswith("error_")]
    assert len(tasks) == 46
    np.testing.assert_allclose(runs["error"], np.mean([runs[name] for name in tasks], axis=0), rtol=1e-12)
    seven = dataset("gadre-downstream-17", dataset="rpj", model="open_lm_7b")
    assert seven["error"][0] == pytest.approx(1 - 0.528365, abs=1e-3)


@mirrored
def test_the_seventeen_tasks_follow_a_rule() -> None:
    """Ten points above chance for some model of 154M parameters; for the one on C4 at M = 20 alone they are seven."""
    path = Path(os.environ["FORESCALE_MIRROR"]) / "gadre_overtraining" / "eval_metadata.csv"
    with path.open(encoding="utf-8") as handle:
        chance = {row["Eval Task"]: float(row["Random baseline"]) / 100 for row in csv.DictReader(handle)}
    runs = dataset("gadre-downstream")
    tasks = [name.removeprefix("error_") for name in runs.columns if name.startswith("error_")]
    middle = runs.where((runs["N"] > 1.5e8) & (runs["N"] < 1.6e8))
    above = {t: 1 - middle[f"error_{t}"] - chance[t] for t in tasks}
    assert len(middle) == 24
    assert tuple(sorted(t for t in tasks if above[t].max() >= 0.10)) == SCALABLE
    one = (middle.labels["dataset"] == "c4_original") & (np.round(middle["M"]) == 20)
    assert sum(above[t][one][0] >= 0.10 for t in tasks) == 7


@pytest.mark.parametrize(
    "content", ["{}", '{"eval_metrics": {"icl": 3}}', '{"eval_metrics": {"icl": {"piqa": "x"}}}']
)
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    assert json.loads(content) is not None
    with pytest.raises(ReadError, match="lacks"):
        _scores(path)

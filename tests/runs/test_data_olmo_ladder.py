# SPDX-License-Identifier: Apache-2.0
"""olmo-ladder-tasks: checkpoints of 20 runs with a task's loss and accuracy."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import InputError, ReadError
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_olmo import TASKS, read

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")

SD10 = {
    "mmlu": 0.00256, "hellaswag": 0.00070, "arc_challenge": 0.00366, "arc_easy": 0.00453, "piqa": 0.00195,
    "csqa": 0.00556, "socialiqa": 0.00244, "openbookqa": 0.00473,
}  # fmt: skip


@mirrored
@pytest.mark.parametrize("task", TASKS)
def test_noise_of_the_last_ten_checkpoints(task: str) -> None:
    """Standard deviation of the loss over the last ten checkpoints of 1B-10xC, as the authors' variance analysis."""
    runs = dataset("olmo-ladder-tasks", task=task)
    assert len(set(runs.labels["run"].tolist())) == 20
    one = runs.where(runs.labels["run"] == "1B-10xC")
    assert np.all(np.diff(one["D"]) > 0)
    assert one["loss"][-10:].std() == pytest.approx(SD10[task], abs=5e-6)
    assert ((runs["score"] > 0.1) & (runs["score"] < 1)).all()
    assert runs.conventions.loss == "bits/byte"


@mirrored
def test_the_first_runs_of_one_times_chinchilla() -> None:
    """1,566 checkpoints of the 16 runs up to 1.3B: the authors' predictions read the first runs of 1xC."""
    runs = dataset("olmo-ladder-tasks")
    assert (runs["N"] < 2e9).sum() == 1566
    assert (runs.labels["run"] == "190M-1xC").sum() == 37
    with pytest.raises(InputError, match="did you mean 'hellaswag'"):
        dataset("olmo-ladder-tasks", task="helaswag")


def test_a_log_without_the_task(tmp_path) -> None:
    path = tmp_path / "190M-1xC.csv"
    path.write_text("_step,throughput/total_tokens\n1,2\n")
    with pytest.raises(ReadError, match="piqa"):
        read(lambda name: path, {"files": [path.name], "checkpoints": True, "task": "piqa"})

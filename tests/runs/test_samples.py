# SPDX-License-Identifier: Apache-2.0
"""Samples of problems: usual names, lists in records, logs of lm-evaluation-harness, counts per problem."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import ColumnError, DataError, QueryError, ReadError
from forescale.fitting.estimators.success_rates import pass_at_k
from forescale.runs.samples import attempts, judged, of_model
from forescale.runs.table import Runs

LOGS = Path(__file__).parents[1] / "data" / "lm_eval"


def written(path: Path, *records: object) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n", encoding="utf-8")
    return path


def test_usual_names(tmp_path: Path) -> None:
    """A sample a line; what it is called does not matter; long texts are left out with a note."""
    path = written(
        tmp_path / "s.jsonl",
        {"task_id": "HumanEval/0", "completion": "x" * 1000, "passed": True, "tokens": 120, "reward": 0.5},
        {"task_id": "HumanEval/0", "completion": "y", "passed": False, "tokens": 80},
    )
    runs = fs.load(path)
    assert runs.labels["problem"].tolist() == ["HumanEval/0"] * 2
    assert runs["correct"].tolist() == [1.0, 0.0]
    assert runs["decode_tokens"].tolist() == [120.0, 80.0]
    assert runs["score"][0] == 0.5
    assert math.isnan(runs["score"][1])
    assert "D" not in runs.columns
    assert "completion" not in runs.labels
    assert any(note.code == "long-text-left-out" for note in runs.notes)


def test_evalplus_marks_twice(tmp_path: Path) -> None:
    """What passes the base tests is accepted, what passes all of them is correct."""
    path = written(
        tmp_path / "eval.jsonl",
        {"task_id": "a", "base_status": "pass", "plus_status": "fail"},
        {"task_id": "a", "base_status": "pass", "plus_status": "pass"},
        {"task_id": "b", "base_status": "fail", "plus_status": "fail"},
    )
    counts = attempts(fs.load(path))
    assert counts.labels["problem"].tolist() == ["a", "b"]
    assert counts["trials"].tolist() == [2.0, 1.0]
    assert counts["passed"].tolist() == [1.0, 0.0]
    assert counts["accepted"].tolist() == [2.0, 0.0]
    assert counts["accepted_right"].tolist() == [1.0, 0.0]


def test_lists_become_rows(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s.jsonl",
        {"question_id": 7, "is_corrects": [True, False, True], "answers": ["4", "5", "4"], "model": "m"},
        {"question_id": 8, "is_corrects": [False], "answers": [None], "model": "m"},
    )
    runs = fs.load(path)
    assert runs.labels["problem"].tolist() == ["7", "7", "7", "8"]
    assert runs.labels["answer"].tolist() == ["4", "5", "4", ""]
    assert attempts(runs)["passed"].tolist() == [2.0, 0.0]
    as_array = tmp_path / "s.json"
    as_array.write_text(json.dumps([json.loads(line) for line in path.read_text().splitlines()]), encoding="utf-8")
    assert fs.load(as_array)["correct"].tolist() == runs["correct"].tolist()


def test_a_long_text_in_one_row_is_left_out_of_all(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s.jsonl",
        {"problem": "a", "correct": 1, "note": "short"},
        {"problem": "b", "correct": 0, "note": "z" * 300},
    )
    assert "note" not in fs.load(path).labels


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forescale.runs.readers import samples

    monkeypatch.setattr(samples, "MOST_SAMPLES", 5)
    path = written(tmp_path / "s.jsonl", {"problem": "a", "is_corrects": [True] * 6})
    with pytest.raises(ReadError, match="more than 5 samples"):
        fs.load(path)


def test_logged_samples_of_the_harness() -> None:
    """Of three filters the one that keeps all responses; each graded, as their mean in the log confirms."""
    runs = fs.load(LOGS / "sums-model")
    sums = runs.where(runs.labels["task"] == "tiny_sums")
    assert sums.labels["answer"].tolist() == ["5", "5", "4", "16", "17", "17", "8", "8", "8", "42", "42", "42"]
    assert sums["correct"].tolist() == [1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    # the harness's own score of that filter, in its results
    assert float(sums["correct"].mean()) == pytest.approx(0.8333, abs=5e-5)
    assert set(runs.labels["model"].tolist()) == {"sums-model"}
    colours = runs.where(runs.labels["task"] == "tiny_colours")
    # the likeliest choice, and the harness's accuracy of one in three
    assert colours.labels["answer"].tolist() == ["1", "2", "2"]
    assert colours["correct"].tolist() == [0.0, 0.0, 1.0]
    counts = attempts(sums)
    assert counts["trials"].tolist() == [3.0] * 4
    assert float(pass_at_k(counts["trials"], counts["passed"], 2).mean()) == pytest.approx(1.0)
    assert any(note.code == "filters" for note in runs.notes)


def test_results_of_the_harness() -> None:
    path = next((LOGS / "sums-model").glob("results_*.json"))
    runs = fs.load(path)
    found = {
        (task, metric, filter): score
        for task, metric, filter, score in zip(
            runs.labels["eval_set"], runs.labels["metric"], runs.labels["filter"], runs["score"]
        )
    }
    assert found["tiny_sums", "exact_match", "every"] == pytest.approx(10 / 12)
    assert found["tiny_sums", "exact_match", "first"] == 0.75
    assert found["tiny_sums", "exact_match", "maj"] == 1.0
    assert runs["stderr"][0] == pytest.approx(0.25)
    assert runs["questions"].tolist() == [4.0, 4.0, 4.0, 3.0]


def test_the_harness_s_folder_without_samples(tmp_path: Path) -> None:
    """Scores of several models, with the parameters that the log knows; the newest file of each folder."""
    for model, score, date in (("a", 0.1, "2026-01-01T00-00-00"), ("a", 0.2, "2026-01-02T00-00-00"),
                               ("b", 0.3, "2026-01-01T00-00-00")):  # fmt: skip
        folder = tmp_path / model
        folder.mkdir(exist_ok=True)
        (folder / f"results_{date}.json").write_text(
            json.dumps({"results": {"t": {"acc,none": score}}, "config": {"model_num_parameters": 7e7}})
        )
    runs = fs.load(tmp_path)
    assert runs["score"].tolist() == [0.2, 0.3]
    assert runs.labels["model"].tolist() == ["a", "b"]
    assert runs["N"].tolist() == [7e7, 7e7]
    assert runs.conventions.N == "total"


def test_grades_that_are_not_logged_stay_open(tmp_path: Path) -> None:
    """A mean that equality with the target does not give: no grade is invented, and counting refuses."""
    record = {"doc_id": 0, "doc": {}, "target": "5", "resps": [["5.", "6"]], "filtered_resps": [["5.", "6"]],
              "filter": "every", "metrics": ["exact_match"], "exact_match": 0.5}  # fmt: skip
    runs = fs.load(written(tmp_path / "samples_x_2026-01-01T00-00-00.jsonl", record))
    assert runs.labels["answer"].tolist() == ["5.", "6"]
    assert "correct" not in runs.columns or np.isnan(runs["correct"]).all()
    assert any(note.code == "not-graded" for note in runs.notes)
    with pytest.raises((ColumnError, DataError)):
        attempts(runs)


def test_counts_by_model() -> None:
    runs = Runs.from_columns(
        {"problem": ["b", "a", "b", "b"], "model": ["x", "x", "y", "x"], "correct": [1, 0, 1, 0],
         "decode_tokens": [10, 20, 30, 40]}
    )  # fmt: skip
    counts = attempts(runs)
    assert list(zip(counts.labels["problem"], counts.labels["model"])) == [("b", "x"), ("a", "x"), ("b", "y")]
    assert counts["trials"].tolist() == [2.0, 1.0, 1.0]
    assert counts["decode_tokens"].tolist() == [25.0, 20.0, 30.0]
    assert len(of_model(runs, "y")) == 1
    with pytest.raises(QueryError, match="2 models"):
        of_model(runs, None)
    with pytest.raises(QueryError, match="'z'"):
        of_model(runs, "z")


def test_what_is_no_sample() -> None:
    with pytest.raises(ColumnError, match="which problem"):
        judged(Runs.from_columns({"correct": [1.0]}), "correct")
    with pytest.raises(ColumnError, match="no column correct"):
        judged(Runs.from_columns({"problem": ["a"]}), "correct")
    with pytest.raises(DataError, match="row 2"):
        judged(Runs.from_columns({"problem": ["a", "a"], "correct": [1.0, 0.3]}), "correct")

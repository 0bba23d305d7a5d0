# SPDX-License-Identifier: Apache-2.0
"""Every built-in reader passes the shipped conformance kit."""

from __future__ import annotations

import io
from typing import ClassVar

import pytest

from forescale.runs.readers import delimited, hf_trainer, jsonl, lm_eval, nanochat, parquet, samples
from forescale.runs.readers._open import readers
from forescale.testing.readers import EXAMPLES, ReaderCase


class TestDelimited(ReaderCase):
    reader = delimited.reader
    name, content = EXAMPLES["delimited"]
    hostile: ClassVar = {
        "header_only": b"N,D,loss\n",
        "blank": b"\n\n\n",
        "ragged": b"N,D,loss\n1,2,3\n1,2\n",
        "too_many": b"N,D,loss\n1,2,3\n1,2,3,4\n",
        "open_quote": b'N,D,loss,run\n1,2,3,"open\n1,2,3,b\n',
        "no_header": b"1,2,3\n4,5,6\n",
        "nul": b"N,loss\n1,2\n\0\0,3\n",
        "text_in_number": b"N,D,loss\n1,2,3\n1,2,diverged\n",
        "comments_only": b"# nothing\n# here\n",
    }


class TestTabs(ReaderCase):
    reader = delimited.reader
    name = "runs.tsv"
    content = b'# made by hand\nmodel size\ttokens\tval_loss\trun\n"1M"\t20M\t3.25\t"cafe"\n2M\t\t3.01\tb\n'.replace(
        b"\t\t", b"\t40M\t"
    )


class TestJsonl(ReaderCase):
    reader = jsonl.reader
    name, content = EXAMPLES["jsonl"]
    hostile: ClassVar = {
        "twice": b'{"N": 1, "loss": 2, "loss": 3}\n{"N": 1, "loss": 2}\n',
        "deep": b'{"N": 1, "loss": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        "deep_objects": b'{"a": ' * 5000 + b"1" + b"}" * 5000,
        "bare": b"[1, 2, 3]",
        "scalar": b'{"N": 1, "loss": 2}\n3\n',
        "empty_array": b"[]",
        "empty_object": b"{}",
        "text": b'{"N": "seven", "loss": 2}\n{"N": 1, "loss": 2}\n',
    }


class TestJsonArray(ReaderCase):
    reader = jsonl.reader
    name = "runs.json"
    content = b'[\n  {"N": 1e6, "config": {"seed": 1}, "loss": 3.25, "run": "cafe"},\n  {"N": 2e6, "loss": 3.01}\n]\n'


class TestNanochat(ReaderCase):
    reader = nanochat.reader
    name, content = EXAMPLES["nanochat"]
    label = None
    number = b"0.95"


class TestHfTrainer(ReaderCase):
    reader = hf_trainer.reader
    name, content = EXAMPLES["hf_trainer"]
    label = None
    hostile: ClassVar = {
        "no_log": b'{"log_history": 3}',
        "no_loss": b'{"log_history": [{"step": 1}], "global_step": 1}',
        "list": b"[]",
        "twice": b'{"log_history": [], "log_history": []}',
    }


class TestSamples(ReaderCase):
    reader = samples.reader
    name, content = EXAMPLES["samples"]
    number = None
    column = "correct"
    hostile: ClassVar = {
        "no_problem": b'{"problem": "a", "correct": true}\n{"correct": true}\n',
        "null_problem": b'{"problem": null, "correct": true}\n',
        "nested_problem": b'{"problem": {"a": 1}, "correct": true}\n',
        "long_problem": b'{"problem": "' + b"a" * 5000 + b'", "correct": true}\n',
        "unequal": b'{"problem": "a", "is_corrects": [true, false], "answers": ["1"]}\n',
        "no_outcome": b'{"problem": "a", "correct": "perhaps"}\n',
        "nested_outcome": b'{"problem": "a", "correct": {"x": 1}}\n',
        "scalar": b'{"problem": "a", "correct": true}\n3\n',
        "cut": b'{"problem": "a", "correct": true}\n{"problem": "b", "corr',
        "twice": b'{"problem": "a", "correct": true, "correct": false}\n',
        "empty_lists": b'{"problem": "a", "is_corrects": []}\n',
        "keys": b'{"problem": "a", "correct": 1, ' + b", ".join(b'"k%d": 1' % i for i in range(500)) + b"}\n",
        "deep": b'{"problem": "a", "correct": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        "array_of_numbers": b'[1, {"problem": "a", "correct": 1}]',
    }


class TestSamplesOfProblems(ReaderCase):
    reader = samples.reader
    name = "counts.json"
    content = (
        b'[{"problem_id": "cafe", "is_corrects": [true, false]},\n {"problem_id": "b", "is_corrects": [true]}]\n'
    )
    number = None
    column = "correct"


class TestLmEval(ReaderCase):
    reader = lm_eval.reader
    name, content = EXAMPLES["lm_eval"]
    number = None
    column = "correct"
    hostile: ClassVar = {
        "no_metric": b'{"doc_id": 0, "doc": {}, "filtered_resps": ["1"], "metrics": ["acc"]}\n',
        "text_metric": b'{"doc_id": 0, "doc": {}, "filtered_resps": ["1"], "metrics": ["acc"], "acc": "high"}\n',
        "no_responses": b'{"doc_id": 0, "doc": {}, "filtered_resps": [], "acc": 1.0}\n',
        "responses": b'{"doc_id": 0, "doc": {}, "filtered_resps": 3, "acc": 1.0}\n',
        "nested_id": b'{"doc_id": [0], "doc": {}, "filtered_resps": ["1"], "acc": 1.0}\n',
        "mixed": b'{"doc_id": 0, "doc": {}, "filtered_resps": ["1"], "acc": 1.0}\n{"N": 1, "loss": 2}\n',
        "cut": b'{"doc_id": 0, "doc": {}, "filtered_resps": ["1"], "acc": 1.0}\n{"doc_id": 1, "doc": {',
        "scalar": b"3\n",
    }


class TestLmEvalResults(ReaderCase):
    reader = lm_eval.reader
    name = "results_2026-01-31T10-00-00.000000.json"
    content = (
        b'{"results": {"cafe": {"alias": "cafe", "acc,none": 0.25, "acc_stderr,none": 0.01, "acc_norm,none": 0.3}, '
        b'"sums": {"exact_match,first": 0.5}}, "n-samples": {"sums": {"original": 9, "effective": 8}}, '
        b'"config": {"model_num_parameters": 70000000}, "model_name": "m"}\n'
    )
    number = None
    label = None
    column = "score"
    hostile: ClassVar = {
        "no_results": b'{"results": 3}',
        "list": b'{"results": {"a": [1, 2]}}',
        "no_scores": b'{"results": {"a": {"alias": "a"}}}',
        "twice": b'{"results": {"a": {"acc,none": 1, "acc,none": 2}}}',
    }


def _parquet() -> bytes:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"N": [1_000_000, 2_000_000], "D": [2.0e7, 4.0e7], "loss": [3.25, 3.01], "run": ["cafe", "b"]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


class TestParquet(ReaderCase):
    reader = parquet.reader
    name = "runs.parquet"
    content = _parquet()
    text = False
    every_cut = False


def test_the_registry_holds_exactly_the_readers_tested_here() -> None:
    assert set(readers()) == {"delimited", "hf_trainer", "jsonl", "lm_eval", "nanochat", "parquet", "samples"}

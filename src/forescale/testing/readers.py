# SPDX-License-Identifier: Apache-2.0
"""What every reader must survive. A package with a reader of its own tests it by

    from forescale.testing.readers import ReaderCase

    class TestMyReader(ReaderCase):
        reader = my_reader
        name = "example.xyz"
        content = b"..."           # a small file: at least two rows with N and loss

A file may be cut, mis-encoded, huge, hostile: each time the reader gives rows or one of forescale's errors, never a
traceback of something else, never a process started, never an unbounded amount of memory.
"""

from __future__ import annotations

import os
import random
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, ForescaleError, ReadError
from forescale.core.frozen import Frozen
from forescale.runs.readers._open import choose, to_runs
from forescale.runs.readers._reader import HEAD, Raw, Reader
from forescale.runs.table import Runs

EXAMPLES: Mapping[str, tuple[str, bytes]] = Frozen(
    {
        "delimited": ("runs.csv", b"N,D,loss,run\n1000000,20000000,3.25,cafe\n2000000,40000000,3.01,b\n"),
        "jsonl": (
            "runs.jsonl",
            b'{"N": 1000000, "D": 20000000, "loss": 3.25, "run": "cafe"}\n{"N": 2000000, "D": 4e7, "loss": 3.01}\n',
        ),
        "nanochat": (
            "results.csv",
            b"flops_budget,depth,model_dim,params_wte,params_value_embeds,params_lm_head,params_transformer,"
            b"params_scalars,params_total,num_iterations,tokens_trained,val_bpb,core_score,train_time_sec\n"
            b"1e18,8,512,33554432,0,33554432,25165824,40,92274728,4000,2097152000,0.95,0.1,600\n"
            b"2e18,10,640,41943040,0,41943040,49152000,48,133038128,5000,2621440000,0.91,0.12,900\n",
        ),
        "hf_trainer": (
            "trainer_state.json",
            b'{"best_metric": null, "epoch": 1.0, "global_step": 20, "max_steps": 20, "total_flos": 1.2e15, '
            b'"log_history": [{"step": 10, "epoch": 0.5, "loss": 3.9, "learning_rate": 0.001}, '
            b'{"step": 20, "epoch": 1.0, "loss": 3.5, "learning_rate": 0.0001}, '
            b'{"step": 20, "epoch": 1.0, "eval_loss": 3.25}, {"step": 20, "train_runtime": 12.5}]}\n',
        ),
        "samples": (
            "samples.jsonl",
            b'{"problem_id": "cafe", "is_correct": true, "answer": "17", "tokens": 120}\n'
            b'{"problem_id": "b", "is_correct": false, "answer": "3", "tokens": 90}\n',
        ),
        "lm_eval": (
            "samples_sums_2026-01-31T10-00-00.000000.jsonl",
            b'{"doc_id": 0, "doc": {"a": 2, "b": 3}, "target": "5", "arguments": {"gen_args_0": {"arg_0": "2 + 3"}}, '
            b'"resps": [["cafe"]], "filtered_resps": ["cafe"], "filter": "none", "metrics": ["exact_match"], '
            b'"exact_match": 0.0}\n'
            b'{"doc_id": 1, "doc": {"a": 4, "b": 4}, "target": "8", "arguments": {"gen_args_0": {"arg_0": "4 + 4"}}, '
            b'"resps": [["8"]], "filtered_resps": ["8"], "filter": "none", "metrics": ["exact_match"], '
            b'"exact_match": 1.0}\n',
        ),
    }
)
"""A small file of each built-in text format: file name, content."""

WATCHED = frozenset(
    {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "pickle.find_class"}
)
"""Audit events that no reader may cause."""

MEMORY = 400 << 20
"""Peak of Python memory allowed for a 10 MB line: forty bytes a byte."""


class _Watch:
    """Records watched audit events while switched on. Hooks cannot be removed, so there is one for all tests."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        self.installed = False

    def hook(self, event: str, _: tuple[Any, ...]) -> None:
        if self.on and event in WATCHED:
            self.seen.append(event)

    def __enter__(self) -> _Watch:
        if not self.installed:
            sys.addaudithook(self.hook)
            self.installed = True
        self.seen.clear()
        self.on = True
        return self

    def __exit__(self, *_: object) -> None:
        self.on = False


_WATCH = _Watch()


class ReaderCase:
    """The properties of a reader. Subclasses set the attributes and change nothing else.

    Attributes:
        reader: what is tested.
        name, content: an example file. It should hold the label and the number below once each.
        text: whether the format is text (then encodings and line ends are tried).
        label: a text cell of the example; None if the format has none.
        number: a loss of the example, in digits; None to skip.
        column: a column that the example gives.
        hostile: name -> content of files that are wrong in the format's own ways; each must be an error.
        every_cut: whether to cut at each byte (else at 200 places).
    """

    reader: ClassVar[Reader]
    name: ClassVar[str]
    content: ClassVar[bytes]
    text: ClassVar[bool] = True
    label: ClassVar[bytes | None] = b"cafe"
    number: ClassVar[bytes | None] = b"3.25"
    column: ClassVar[str] = "loss"
    hostile: ClassVar[Mapping[str, bytes]] = Frozen()
    every_cut: ClassVar[bool] = True

    # -- recognition --------------------------------------------------------------------------------------------

    def test_described(self) -> None:
        """Id, summary and file names are there."""
        assert self.reader.id.isidentifier()
        assert len(self.reader.summary) > 5
        assert self.reader.globs

    def test_recognises_its_own(self, tmp_path: Path) -> None:
        """The example is recognised, and a special reader claims it by itself."""
        path = self._write(tmp_path, self.content)
        assert self.reader.sniff(self.content[:HEAD], path)
        assert self.reader.sniff(self.content[:HEAD], path) == self.reader.sniff(self.content[:HEAD], path)

    def test_leaves_others_alone(self, tmp_path: Path) -> None:
        """Files of other formats are not taken: a special reader says no, a general one is not asked."""
        for id, (name, content) in EXAMPLES.items():
            if id == self.reader.id:
                continue
            path = tmp_path / name
            path.write_bytes(content)
            assert choose(path, content[:HEAD]).id == id
            if not self.reader.general:
                assert not self.reader.sniff(content[:HEAD], path), f"{self.reader.id} claims the example of {id}"

    def test_sniff_never_raises(self, tmp_path: Path) -> None:
        """Any bytes at all give True or False."""
        rng = random.Random(0)  # noqa: S311  (test data)
        heads = [
            b"",
            b"\0" * HEAD,
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"{" * HEAD,
            b"[" * HEAD,
            b'"' * HEAD,
            b"\xff" * HEAD,
        ]
        heads += [rng.randbytes(rng.randrange(1, HEAD)) for _ in range(50)]
        heads += [self.content[:n] for n in range(min(len(self.content), 300))]
        for head in heads:
            for name in (self.name, "x", "x.csv", "x.json"):
                assert self.reader.sniff(head, tmp_path / name) in (True, False)

    # -- reading ------------------------------------------------------------------------------------------------

    def test_reads(self, tmp_path: Path) -> None:
        """The example gives rows with its column; twice the same; the file is not touched."""
        path = self._write(tmp_path, self.content)
        before = path.stat().st_mtime_ns
        with _WATCH as watch:
            first, second = self._load(path), self._load(path)
        assert len(first) > 0
        assert self.column in first.columns
        assert first.hash == second.hash
        assert [c.loss.tolist() for c in first.curves.values()] == [c.loss.tolist() for c in second.curves.values()]
        assert path.read_bytes() == self.content
        assert path.stat().st_mtime_ns == before
        assert watch.seen == []

    def test_paths(self, tmp_path: Path) -> None:
        """Spaces, `..`, letters of any script, and links to the file change nothing."""
        expected = self._load(self._write(tmp_path, self.content))
        folder = tmp_path / "my runs 2026 é 模型"
        folder.mkdir()
        odd = self._write(folder, self.content)
        assert self._load(odd).columns.keys() == expected.columns.keys()
        assert self._numbers(folder / ".." / folder.name / self.name) == self._numbers(odd)
        link = tmp_path / "linked"
        try:
            os.symlink(odd, link)
        except OSError:
            return  # no right to make links on this system
        assert self._numbers(link) == self._numbers(odd)

    def test_not_a_file(self, tmp_path: Path) -> None:
        """A missing file, an empty one, a loop of links and (for readers of files) a folder are read errors."""
        for path in (tmp_path / "missing", self._write(tmp_path, b"", "empty")):
            with pytest.raises(ReadError):
                self.reader.read(path)
        with pytest.raises(ReadError):
            self.reader.read(tmp_path)
        loop = tmp_path / "loop"
        try:
            os.symlink(loop, loop)
        except OSError:
            return
        with pytest.raises(ReadError):
            self.reader.read(loop)

    def test_cut_anywhere(self, tmp_path: Path) -> None:
        """A file cut at any byte gives a clear error, or no more rows than the whole file."""
        whole = len(self._load(self._write(tmp_path, self.content)))
        size = len(self.content)
        cuts = range(size) if self.every_cut else sorted({int(x) for x in np.linspace(0, size - 1, 200)})
        path = tmp_path / ("cut-" + self.name)
        for cut in cuts:
            path.write_bytes(self.content[:cut])
            found = self._survives(path)
            assert found is None or len(found) <= whole, f"cut at byte {cut}"

    def test_flipped_bits(self, tmp_path: Path) -> None:
        """Damage in place gives a clear error or rows."""
        rng = random.Random(1)  # noqa: S311  (test data)
        path = tmp_path / ("flipped-" + self.name)
        for _ in range(200):
            damaged = bytearray(self.content)
            for _ in range(rng.choice((1, 1, 3, 20))):
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            path.write_bytes(bytes(damaged))
            with _WATCH as watch:
                self._survives(path)
            assert watch.seen == []

    def test_hostile(self, tmp_path: Path) -> None:
        """Files that are wrong in the format's own ways are errors of ours."""
        for name, content in self.hostile.items():
            path = self._write(tmp_path, content, f"{name}-{self.name}")
            with pytest.raises(ForescaleError):
                self._load(path)

    # -- text ---------------------------------------------------------------------------------------------------

    def test_line_ends_and_marks(self, tmp_path: Path) -> None:
        """BOM, CRLF, CR, UTF-16 and blank lines at the end give the same numbers."""
        if not self.text:
            pytest.skip("not a text format")
        expected = self._numbers(self._write(tmp_path, self.content))
        text = self.content.decode("utf-8")
        others: dict[str, bytes] = {
            "bom": b"\xef\xbb\xbf" + self.content,
            "crlf": text.replace("\n", "\r\n").encode(),
            "cr": text.replace("\n", "\r").encode(),
            "utf16": text.encode("utf-16"),
            "blank": self.content + b"\n\n",
            "unended": self.content.rstrip(b"\n"),
        }
        for name, content in others.items():
            folder = tmp_path / name
            folder.mkdir()
            path = self._write(folder, content)
            assert choose(path, content[:HEAD]).id == self.reader.id, name
            assert self._numbers(path) == expected, name

    def test_latin_1(self, tmp_path: Path) -> None:
        """A letter in latin-1 is read, and a note says so."""
        if not self.text or self.label is None or self.label not in self.content:
            pytest.skip("no text cell")
        path = self._write(tmp_path, self.content.replace(self.label, "caf\u00e9".encode("latin-1")))
        runs = self._load(path)
        assert any("caf\u00e9" in values.tolist() for values in runs.labels.values())
        assert any(note.code == "latin-1" for note in runs.notes)

    def test_ten_megabytes_on_one_line(self, tmp_path: Path) -> None:
        """A 10 MB cell is refused or kept, in bounded memory."""
        if not self.text:
            pytest.skip("not a text format")
        if self.label is not None and self.label in self.content:
            content = self.content.replace(self.label, b"a" * 10_000_000)
        else:
            content = self.content.rstrip(b"\n") + b" " * 10_000_000 + b"x\n"
        path = self._write(tmp_path, content)
        tracemalloc.start()
        try:
            self._survives(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < MEMORY

    def test_impossible_numbers(self, tmp_path: Path) -> None:
        """A loss of NaN, infinity, 1e400, zero, below zero or 5,000 digits is an error, never a number."""
        if not self.text or self.number is None or self.number not in self.content:
            pytest.skip("no number to change")
        for i, bad in enumerate((b"NaN", b"Infinity", b"-Infinity", b"1e400", b"0", b"-3.25", b"9" * 5000)):
            path = self._write(tmp_path, self.content.replace(self.number, bad), f"{i}-{self.name}")
            with pytest.raises(ForescaleError) as caught:
                self._load(path)
            assert isinstance(caught.value, (DataError, ReadError)), bad

    # -- helpers ------------------------------------------------------------------------------------------------

    def _write(self, folder: Path, content: bytes, name: str | None = None) -> Path:
        path = folder / (name or self.name)
        path.write_bytes(content)
        return path

    def _load(self, path: Path) -> Runs:
        return to_runs(self.reader.read(path), path.name)

    def _numbers(self, path: Path) -> dict[str, str]:
        # as text, because a gap (NaN) equals nothing
        return {name: str(values.tolist()) for name, values in self._load(path).columns.items()}

    def _survives(self, path: Path) -> Runs | None:
        """Rows, or None after one of our errors; anything else propagates and fails the test."""
        steps: list[Callable[[Any], Any]] = [self.reader.read, lambda raw: to_runs(raw, path.name)]
        value: Any = path
        for step in steps:
            try:
                value = step(value)
            except ForescaleError as error:
                if not str(error).strip():
                    pytest.fail("an error without a message")
                return None
            assert isinstance(value, (Raw, Runs))
        assert isinstance(value, Runs)
        return value

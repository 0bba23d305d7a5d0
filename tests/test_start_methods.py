# SPDX-License-Identifier: Apache-2.0
"""Processes that start afresh (Windows, macOS), any number of workers, arrays that may not be written to."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import InputError
from forescale.core.streams import block_streams
from forescale.fitting._files import fit_from_json
from forescale.laws import as_law, catalogue
from forescale.numerics.parallel import map_blocks
from forescale.runs.table import Runs

METHODS = [m for m in ("spawn", "forkserver") if m in multiprocessing.get_all_start_methods()]

# Module level: a fresh process finds them by name.


def _estimates(task: tuple[np.random.Generator, dict[str, np.ndarray]]) -> list[float]:
    """Fit resampled rows: random streams, the engine, and a Runs built inside the worker."""
    stream, columns = task
    rows = stream.integers(0, 36, 36)
    fit = fs.fit(Runs.from_columns({k: v[rows] for k, v in columns.items()}), law="chinchilla", loss="squared")
    return [*fit.params.values(), *fit.draws[:3].ravel()]


def _evaluated(law: object) -> float:
    along = {law.schedule: fs.Schedule.constant(1.0, 2)} if law.schedule else {}  # type: ignore
    inputs = {name: 2.0 if along else 2.0 + 3.0 * i for i, name in enumerate(law.inputs)}  # type: ignore
    return float(law(dict.fromkeys(law.params, 0.5), **inputs, **along))  # type: ignore


def _table(runs: Runs) -> tuple[str, bool]:
    return runs.hash, any(a.flags.writeable for a in runs.columns.values())


def _identity(value: int) -> int:
    return value


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_the_workers(columns, method: str) -> None:
    def tasks() -> list[tuple[np.random.Generator, dict[str, np.ndarray]]]:
        return [(stream, columns) for stream in block_streams(5, 3)]

    alone = map_blocks(_estimates, tasks(), workers=1)
    together = map_blocks(_estimates, tasks(), workers=2, method=method)
    assert together == alone


@pytest.mark.parametrize("method", METHODS)
def test_values_travel(columns, method: str) -> None:
    chinchilla = as_law("chinchilla")
    laws = [
        *(entry.value for entry in catalogue().values()),
        as_law("E + A*N**-a"),
        chinchilla.fix(E=1.7),
        chinchilla.tie(beta="alpha"),
        chinchilla.rename(alpha="a"),
    ]
    here = [_evaluated(law) for law in laws]
    np.testing.assert_array_equal(map_blocks(_evaluated, laws, workers=2, method=method), here)
    runs = Runs.from_columns(columns)
    assert map_blocks(_table, [runs, runs], workers=2, method=method) == [(runs.hash, False)] * 2


def test_one_block_stays_here() -> None:
    assert map_blocks(_identity, [7], workers=8) == [7]
    assert map_blocks(_identity, [], workers=8) == []


def test_a_script_without_the_guard_learns_of_it(tmp_path: Path) -> None:
    """Without `if __name__ == "__main__"` a fresh process runs the script again: an error that says so, no hang."""
    script = tmp_path / "script.py"
    script.write_text(
        "from forescale.numerics.parallel import map_blocks\n"
        "def double(x):\n    return 2 * x\n"
        "print(map_blocks(double, [1, 2], workers=2, method='spawn'))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "__main__" in done.stderr
    assert InputError.__name__ in done.stderr


# -- arrays that may not be written to ------------------------------------------------------------------------------


def frozen(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {}
    for name, values in columns.items():
        out[name] = values.copy()
        out[name].flags.writeable = False
    return out


def end_to_end(source: object) -> dict[str, float]:
    """Load, fit with every interval, predict, plan, save and read back."""
    fit = fs.fit(fs.load(source), law="chinchilla").bootstrap(50).profile("alpha")
    fit.predict(N=np.array([1e9, 2e9]), D="20B")
    fs.plan("compute-optimal", fit, budget="1e21")
    again = fit_from_json(fit.to_json())
    assert dict(again.params) == dict(fit.params)
    return dict(fit.params)


def test_read_only_arrays_end_to_end(columns) -> None:
    expected = end_to_end(columns)
    assert end_to_end(frozen(columns)) == expected
    flipped = {name: np.ascontiguousarray(values[::-1])[::-1] for name, values in frozen(columns).items()}
    assert end_to_end(flipped) == expected  # negative strides


def test_frames_end_to_end(columns) -> None:
    expected = end_to_end(columns)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(frozen(columns))
    before = frame.copy(deep=True)
    # From 3.0 on, pandas hands out read-only views of its columns; earlier ones are told to.
    if int(pandas.__version__.split(".")[0]) >= 3:
        assert not frame["N"].to_numpy().flags.writeable
    assert end_to_end(frame) == expected
    pandas.testing.assert_frame_equal(frame, before)
    polars = pytest.importorskip("polars")
    assert end_to_end(polars.DataFrame(frozen(columns))) == expected
    pyarrow = pytest.importorskip("pyarrow")
    assert end_to_end(pyarrow.table(columns)) == expected


def test_what_comes_out_cannot_be_written_to(columns) -> None:
    runs = fs.load(columns)
    fit = fs.fit(runs, law="chinchilla")
    for array in (*runs.columns.values(), fit.covariance, fit.draws, fit.residuals):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0

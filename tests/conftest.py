# SPDX-License-Identifier: Apache-2.0
"""For all tests: one BLAS thread, the local mirror of public data where there is one, the command line in process."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

# Before NumPy is loaded: matrices here are tiny, and threads of BLAS only fight the test workers.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_BESIDE = Path(__file__).parents[2] / "shared" / "data"
if "FORESCALE_MIRROR" not in os.environ and _BESIDE.is_dir():
    os.environ["FORESCALE_MIRROR"] = str(_BESIDE)

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

# The gate sees the same examples at every run; without CI set, Hypothesis goes on looking for new ones.
hypothesis.settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("gate")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """A script of the repository as a module: `script("benchmarks/design.py")`."""

    @cache
    def loaded(path: str) -> ModuleType:
        name = f"{Path(path).stem}_script"
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return loaded


@dataclass(frozen=True)
class Said:
    """What a command did: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run `forescale ...` in this process; anything but an exit code escapes and fails the test."""
    from forescale.cli.main import run

    def call(*words: Any) -> Said:
        capsys.readouterr()
        code = run([str(word) for word in words])
        seen = capsys.readouterr()
        return Said(code, seen.out, seen.err)

    return call


@pytest.fixture(scope="session")
def columns() -> dict[str, np.ndarray]:
    """N, D and loss of 36 runs on a grid, drawn from Chinchilla's law with .4 % noise."""
    from forescale.laws import find

    law = find("chinchilla")
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(2e9, 2e12, 6), indexing="ij"))
    noise = 0.004 * np.random.default_rng(1).standard_normal(N.size)
    return {"N": N, "D": D, "loss": law(law.constants("besiroglu2024"), N=N, D=D) * np.exp(noise)}


def write_table(path: Path, columns: Mapping[str, Any]) -> Path:
    """Columns as CSV; text and numbers as Python writes them."""
    rows = zip(*(values.tolist() if hasattr(values, "tolist") else values for values in columns.values()))
    lines = [",".join(columns), *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str, Mapping[str, Any]], Path]:
    """Write columns as a CSV file: `table("runs.csv", columns)`."""
    return lambda name, values: write_table(tmp_path / name, values)


@pytest.fixture(scope="session")
def runs_csv(columns: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs as a file."""
    return write_table(tmp_path_factory.mktemp("runs") / "runs.csv", columns)


@pytest.fixture(scope="session")
def fit_json(runs_csv: Path) -> Path:
    """A fit to them on file, conventions stated."""
    import forescale as fs

    runs = fs.load(runs_csv, conventions={"N": "total", "D": "tokens", "loss": "nats/token"})
    return fs.fit(runs, law="chinchilla").save(runs_csv.with_name("fit.json"))

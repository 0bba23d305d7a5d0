# SPDX-License-Identifier: Apache-2.0
"""What an import costs, and what the source never does."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import forescale

HEAVY = ("scipy.stats", "altair", "pandas", "polars", "torch", "sqlalchemy", "jax", "typer", "jinja2", "pydantic")
SOURCE = Path(forescale.__file__).parent

LOOK = """
import json, sys, time
start = time.process_time()
{code}
spent = time.process_time() - start
print(json.dumps([sorted(m for m in sys.modules if m in {heavy!r}), spent, sorted(sys.modules)]))
"""


def look(code: str, heavy: tuple[str, ...] = HEAVY) -> tuple[list[str], float, list[str]]:
    """Heavy modules loaded, CPU-seconds spent, all modules, in a fresh interpreter."""
    text = LOOK.format(code=code, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True)
    loaded, spent, modules = json.loads(done.stdout.splitlines()[-1])
    return loaded, spent, modules


def test_import_is_light_and_quick() -> None:
    loaded, spent, modules = look("import forescale")
    assert loaded == []
    assert "numpy" not in modules
    assert spent <= 0.25


def test_names_of_the_surface_are_light() -> None:
    loaded, _, _ = look("import forescale as fs\nfor name in fs.__all__:\n    if name != 'Report': getattr(fs, name)")
    assert set(loaded) <= {"pydantic"}


def test_a_fit_stays_light() -> None:
    code = (
        "import forescale as fs, numpy as np\n"
        "N, D = [a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e12, 5))]\n"
        "fit = fs.fit({'N': N, 'D': D, 'loss': 1.8 + 480 * N**-.35 + 2100 * D**-.37}, law='chinchilla')\n"
        "fit.summary(); fit.predict(N='7B', D='1T'); fit.to_json()"
    )
    loaded, _, _ = look(code)
    assert set(loaded) <= {"pydantic"}, loaded


def test_a_plan_from_constants_needs_no_optimiser() -> None:
    code = (
        "import sys\nfrom forescale.cli.main import run\nimport io\nsys.stdout, out = io.StringIO(), sys.stdout\n"
        "code = run(['plan', 'compute-optimal', 'chinchilla:besiroglu2024', '--budget', '1e24 FLOP'])\n"
        "sys.stdout = out\nassert code == 0"
    )
    loaded, _, _ = look(code, ("scipy", "altair", "pandas", "torch", "jinja2"))
    assert loaded == []  # what it costs, `benchmarks/plans.py` measures


def test_core_to_planning_are_importable_alone() -> None:
    rooms = ("core", "numerics", "costs", "laws", "runs", "fitting", "judge", "planning")
    loaded, _, modules = look("\n".join(f"import forescale.{room}" for room in rooms))
    assert loaded == []
    assert not [name for name in modules if name.startswith(("forescale.cli", "forescale.reporting"))]


# -- what the source never does -------------------------------------------------------------------------------------

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}


# The conformance kit sends laws through the pickle of `multiprocessing` and reads back what it made itself.
READ_FROM_OUTSIDE = [p for p in sorted(SOURCE.rglob("*.py")) if p.parent != SOURCE / "testing"]


@pytest.mark.parametrize("path", READ_FROM_OUTSIDE, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_pickle_no_eval(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            assert name not in FORBIDDEN_CALLS, f"{name} at line {node.lineno}"
            if isinstance(node.func, ast.Attribute):
                dotted = ast.unparse(node.func)
                assert dotted not in ("torch.load", "os.system", "np.load") or any(
                    k.arg in ("weights_only", "allow_pickle") for k in node.keywords
                ), f"{dotted} at line {node.lineno}"
                for k in node.keywords:
                    off = isinstance(k.value, ast.Constant) and k.value.value is False
                    assert k.arg not in ("shell", "allow_pickle") or off, f"{k.arg} at line {node.lineno}"
        elif isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            assert not names & FORBIDDEN_MODULES, f"line {node.lineno}"
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in FORBIDDEN_MODULES, f"line {node.lineno}"


MEMBERS = ("laws", "runs/readers", "fitting/estimators", "planning", "studies")


@pytest.mark.parametrize("room", MEMBERS)
def test_members_of_a_room_do_not_know_each_other(room: str) -> None:
    """Each can be read, moved or removed alone; what they share stands in modules that begin with `_`."""
    dotted = "forescale." + room.replace("/", ".")
    members = {p.stem for p in (SOURCE / room).glob("[!_]*.py")}
    for path in sorted((SOURCE / room).glob("[!_]*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(dotted + "."):
                assert (node.module or "").removeprefix(dotted + ".") not in members, f"{path.name}: {node.module}"
            elif isinstance(node, ast.ImportFrom) and node.module == dotted:
                assert not members & {alias.name for alias in node.names}, f"{path.name}, line {node.lineno}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_file_states_its_licence(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: Apache-2.0\n")

# SPDX-License-Identifier: Apache-2.0
"""The documentation is true: its Python runs, its commands run, and nothing that a user can name is missing."""

from __future__ import annotations

import ast
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.cli.main import COMMANDS
from forescale.core.errors import ReadError
from forescale.laws import families
from forescale.studies._study import studies

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "forescale"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)

# Not run here: the first two have tests of their own and cost more than a test may, the others train or install.
NOT_RUN = ("forescale quickstart", "forescale report fit.json --budget 1e21 -o", "forescale lab", "python ")


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """(line, body) of the fenced blocks of a page."""
    text = path.read_text(encoding="utf-8")
    return [(text[: m.start()].count("\n") + 2, m["body"]) for m in FENCE.finditer(text) if m["language"] == language]


def with_blocks(language: str) -> list[Any]:
    return [pytest.param(p, id=p.name) for p in PAGES if blocks(p, language)]


@pytest.fixture
def desk(tmp_path: Path, columns: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, table: Mapping[str, Any]) -> None:
        rows = zip(*(np.asarray(v).tolist() for v in table.values()))
        lines = [",".join(table), *(",".join(map(str, row)) for row in rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    write("runs.csv", {"model_size": columns["N"], "D": columns["D"], "loss": columns["loss"]})
    both = {name: np.concatenate([values, values]) for name, values in columns.items()}
    both["loss"] = both["loss"] + np.repeat([0.0, 0.2], len(columns["N"]))
    write("groups.csv", {**both, "dataset": ["c4"] * len(columns["N"]) + ["pile"] * len(columns["N"])})
    write("came.csv", {"run": ["large"], "N": [2e10], "D": [4e11], "loss": [2.1]})
    fit = fs.fit("runs.csv", law="chinchilla")
    for name in ("fit.json", "adamw.json", "muon.json"):
        fit.save(name)
    return tmp_path


def needs_data(error: Exception) -> bool:
    """Whether a block failed because a public data set is not at hand."""
    return isinstance(error, ReadError) and "FORESCALE_MIRROR" in str(error)


# -- what is shown runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_blocks_run(page: Path, desk: Path) -> None:
    space: dict[str, Any] = {"__name__": "page"}
    for line, body in blocks(page, "python"):
        code = compile("\n" * (line - 1) + body, str(page), "exec")
        try:
            exec(code, space)  # noqa: S102  (the documentation is ours)
        except Exception as error:
            if needs_data(error):
                pytest.skip(f"{page.name}: {error}")
            raise


@pytest.mark.parametrize("page", with_blocks("console"))
def test_commands_run(page: Path, desk: Path, cli) -> None:
    for _, body in blocks(page, "console"):
        for line in body.splitlines():
            if not line.startswith("$ "):
                continue
            for command in line[2:].split("&&"):
                words = shlex.split(command)
                if command.strip().startswith(NOT_RUN):
                    assert words[0] == "python" or words[1] in COMMANDS
                    continue
                assert words[0] == "forescale", line
                stdin_needed = "-" in words
                assert not stdin_needed, "a page shows a pipe: run it by hand"
                said = cli(*words[1:])
                if said.code == 2 and "FORESCALE_MIRROR" in said.err:
                    continue
                assert said.code == 0, f"{page.name}: {line}\n{said.err}"


def test_python_blocks_are_what_the_reader_would_type() -> None:
    """No block hides an error: none is fenced as another language to escape the test above."""
    for page in PAGES:
        for _, body in blocks(page, "py") + blocks(page, "pycon"):
            raise AssertionError(f"{page.name} has a block that no test runs: {body[:60]}")


# -- nothing is missing ---------------------------------------------------------------------------------------------


def test_every_command_is_documented() -> None:
    cli_page = text_of("cli.md")
    for name in COMMANDS:
        assert f"\n## {name}\n" in cli_page, name


def test_every_law_is_documented() -> None:
    page = text_of("laws.md")
    for name in [*fs.catalogue(), *families(), *fs.estimators()]:
        assert f"[`{name}" in page, name
        assert (ROOT / "docs" / "laws" / f"{name}.md").exists(), name


def test_every_study_is_documented() -> None:
    page = text_of("studies.md")
    for name in studies():
        assert f"(studies/{name}.md)" in page, name


def test_every_planner_and_field_is_documented() -> None:
    page = text_of("plans.md")
    for name, planner in fs.planners().items():
        assert f"(plans/{name}.md)" in page, name
        own = text_of(f"plans/{name}.md")
        for field in planner.query.model_fields:
            assert f"| `{field}` |" in own, f"{name}: {field}"
        for part in planner.parts:
            assert f"| {part.name} |" in own, f"{name}: {part.name}"


def test_every_data_set_is_documented() -> None:
    from forescale.runs.datasets import names

    page = text_of("datasets.md")
    for name in names():
        assert f"`{name}`" in page or f"### {name}\n" in page, name


def test_every_setting_is_documented() -> None:
    everything = "".join(p.read_text(encoding="utf-8") for p in PAGES)
    settings = set()
    for path in SOURCE.rglob("*.py"):
        settings |= set(re.findall(r"FORESCALE_[A-Z]+", path.read_text(encoding="utf-8")))
    assert settings
    for name in settings:
        assert f"`{name}" in everything, name


def test_every_hook_is_documented() -> None:
    """Every room that is discovered has its entry-point group and its kit on the page about extending."""
    page = text_of("extending.md")
    rooms = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "discover":
                first = node.args[0]
                rooms.add(first.value if isinstance(first, ast.Constant) else names[first.id])  # type: ignore
    assert len(rooms) >= 3
    for room in rooms:
        assert f"`{room}`" in page, room
    for kit in ("LawCase", "EstimatorCase", "ReaderCase", "PlannerCase"):
        assert kit in page


def findings(folder: str) -> set[str]:
    """Codes of findings that the files of a room can give."""
    found = set()
    for path in (SOURCE / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                code = node.args[0] if node.args else None
                if isinstance(code, ast.Constant):
                    found.add(code.value)
    return found


def test_every_finding_is_documented() -> None:
    judged = text_of("verdict.md") + text_of("judging.md") + text_of("ledger.md")
    for code in findings("judge") - {"score"}:
        assert f"`{code}`" in judged, code
    planned = text_of("plans.md") + text_of("next_runs.md")
    planned += "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "plans").glob("*.md"))
    for code in findings("planning"):
        assert f"`{code}`" in planned, code


def test_every_threshold_is_documented() -> None:
    page = text_of("verdict.md")
    table = tomllib.loads((SOURCE / "judge" / "thresholds.toml").read_text(encoding="utf-8"))
    for name in table:
        assert f"`{name}`" in page, name


def test_every_loss_is_documented() -> None:
    from forescale.numerics.losses import loss_names

    page = text_of("fits.md")
    for name in loss_names():
        assert f"`{name}" in page, name


def test_every_room_is_documented() -> None:
    page = text_of("architecture.md")
    for folder in SOURCE.iterdir():
        if (folder / "__init__.py").exists():
            assert f"`{folder.name}`" in page, folder.name


# -- pages ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generate(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("docs/generate.py")


def test_generated_parts_are_up_to_date(generate: ModuleType) -> None:
    pages = generate.pages()
    assert {p.name for p in pages} >= {"laws.md", "cli.md", "datasets.md"}
    stale = [p.name for p, text in pages.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    assert not stale, f"python docs/generate.py writes {stale}"
    assert not generate.orphans(), f"python docs/generate.py removes {generate.orphans()}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = re.sub(FENCE, "", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_can_be_found() -> None:
    listed = set(re.findall(r"\b([\w-]+\.md)\b", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {p.name for p in (ROOT / "docs").glob("*.md")}
    assert listed <= pages
    linked = "".join(text_of(name) for name in listed)
    assert [name for name in sorted(pages - listed) if f"({name})" not in linked] == []


def test_pages_name_no_machine() -> None:
    home = os.path.expanduser("~")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "/work/" not in text
        assert home == "/" or f"{home}/" not in text

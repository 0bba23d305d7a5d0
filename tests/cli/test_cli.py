# SPDX-License-Identifier: Apache-2.0
"""The command line as its users meet it: examples, JSON, exit codes, pipes, files, and the whole loop."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forescale.cli.main import COMMANDS

SUBCOMMANDS = [(name,) for name in COMMANDS] + [("plan", "compute-optimal"), ("plan", "next-runs"), ("plan", "reach")]


def strict_json(text: str) -> dict[str, Any]:
    """Parse JSON that holds no NaN and no infinity, and look at its envelope."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    content = json.loads(text, parse_constant=refuse)
    assert content["schema"].startswith("forescale/")
    assert isinstance(content["version"], int)
    return content


# -- help and usage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", SUBCOMMANDS, ids=" ".join)
def test_every_command_shows_an_example(cli, words: tuple[str, ...]) -> None:
    said = cli(*words, "--help")
    assert said.code == 0
    assert f"Example: forescale {words[0]}" in " ".join(said.out.split())
    assert said.err == ""


def test_the_root_lists_every_command(cli) -> None:
    said = cli("--help")
    assert said.code == 0
    assert all(f"  {name} " in said.out for name in COMMANDS)


def test_version(cli) -> None:
    import forescale

    assert cli("--version").out == f"forescale {forescale.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [("nonsense",), ("fit",), ("fit", "--nonsense"), ("plan", "nonsense", "chinchilla:hoffmann2022"), ("lab",)],
    ids=" ".join,
)
def test_usage_errors_name_the_help(cli, words: tuple[str, ...]) -> None:
    said = cli(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("forescale: ")
    assert "--help" in said.err


# -- JSON -----------------------------------------------------------------------------------------------------------


def test_json_is_strict_everywhere(cli, runs_csv: Path, fit_json: Path) -> None:
    calls = [
        ("load", runs_csv),
        ("fit", runs_csv, "--law", "chinchilla"),
        ("predict", fit_json, "--N", "1B", "--D", "20B"),
        ("predict", "chinchilla:hoffmann2022", "--N", "70B", "--D", "1.4T"),
        ("plan", "compute-optimal", fit_json, "--budget", "1e21"),
        ("plan", "reach", fit_json, "--target", "2.3"),
        ("backtest", runs_csv, "--law", "chinchilla", "--beyond", "10"),
        ("laws",),
        ("laws", "chinchilla"),
        ("datasets",),
        ("datasets", "chinchilla"),
        ("doctor",),
    ]
    for words in calls:
        said = cli(*words, "--json")
        assert said.code == 0, said.err
        strict_json(said.out)


def test_an_unbounded_interval_is_strict_json_too(cli, columns, table) -> None:
    path = table("ray.csv", {**columns, "D": 20 * columns["N"]})
    said = cli("fit", path, "--json")
    assert said.code == 0
    assert strict_json(said.out)["verdict"]["level"] == "red"


# -- exit codes -----------------------------------------------------------------------------------------------------


def test_one_only_for_strict_and_red(cli, columns, table, runs_csv: Path, tmp_path: Path) -> None:
    red = table("ray.csv", {**columns, "D": 20 * columns["N"]})
    assert cli("fit", runs_csv, "--strict").code == 0  # amber
    assert cli("fit", red).code == 0
    assert cli("fit", red, "--strict").code == 1
    assert cli("fit", tmp_path / "absent.csv", "--strict").code == 2


def test_conventions_from_the_command_line_make_the_verdict_green(cli, runs_csv: Path) -> None:
    said = cli("fit", runs_csv, "--convention", "N=total", "--convention", "loss=nats/token", "--json")
    assert strict_json(said.out)["verdict"]["level"] == "green"


# -- files and pipes ------------------------------------------------------------------------------------------------


def test_stdin(cli, runs_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = strict_json(cli("fit", runs_csv, "--law", "chinchilla", "--json").out)

    class Pipe(io.TextIOWrapper):
        pass

    monkeypatch.setattr(sys, "stdin", Pipe(io.BytesIO(runs_csv.read_bytes())))
    from_pipe = strict_json(cli("fit", "-", "--law", "chinchilla", "--json").out)
    assert from_pipe["params"] == from_file["params"]


def test_out_is_written_whole_or_not_at_all(cli, runs_csv: Path, tmp_path: Path) -> None:
    target = tmp_path / "fit.json"
    assert cli("fit", runs_csv, "--law", "chinchilla", "-o", target).code == 0
    before = target.read_bytes()
    strict_json(before.decode())
    assert [p.name for p in tmp_path.iterdir()] == ["fit.json"]  # no temporary file stays
    assert cli("fit", runs_csv, "--law", "E + 10**N", "-o", target).code == 2
    assert target.read_bytes() == before
    said = cli("fit", runs_csv, "--law", "chinchilla", "-o", "/dev/null/fit.json")
    assert said.code == 2
    assert said.err.startswith("forescale: ")


def test_load_writes_what_load_reads(cli, runs_csv: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean.csv"
    assert cli("load", runs_csv, "-o", clean).code == 0
    first, second = (strict_json(cli("load", path, "--json").out) for path in (runs_csv, clean))
    assert first["runs"]["columns"] == second["runs"]["columns"]


def test_bad_rows_are_dropped_only_on_request(cli, columns, table) -> None:
    loss = columns["loss"].copy()
    loss[3] = np.nan
    path = table("holes.csv", {**columns, "loss": loss})
    assert cli("fit", path).code == 2
    said = cli("fit", path, "--law", "chinchilla", "--drop-bad", "--json")
    assert said.code == 0
    assert len(strict_json(said.out)["residuals"]) == 35


def test_where_and_column(cli, columns, table) -> None:
    path = table("odd.csv", {"size of it": columns["N"], "D": columns["D"], "loss": columns["loss"]})
    assert cli("fit", path, "--law", "chinchilla").code == 2
    law = ("--law", "chinchilla")
    said = cli("fit", path, *law, "--column", "N=size of it", "--where", "D>3e9", "--where", "N<5B", "--json")
    assert said.code == 0
    assert len(strict_json(said.out)["residuals"]) == 25


# -- laws from the command line -------------------------------------------------------------------------------------


def fitted(cli, *words: Any) -> dict[str, float]:
    said = cli("fit", *words, "--json")
    assert said.code == 0, said.err
    return strict_json(said.out)["params"]


def test_fix_tie_rename_add(cli, runs_csv: Path) -> None:
    fixed = fitted(cli, runs_csv, "--fix", "E=1.8172", "--fix", "alpha=0.35")
    assert list(fixed) == ["A", "B", "beta"]
    tied = fitted(cli, runs_csv, "--tie", "beta=alpha")
    assert list(tied) == ["E", "A", "alpha", "B"]
    renamed = fitted(cli, runs_csv, "--rename", "alpha=a", "--rename", "beta=b")
    plain = fitted(cli, runs_csv, "--law", "chinchilla")
    assert list(renamed) == ["E", "A", "a", "B", "b"]
    assert list(renamed.values()) == pytest.approx(list(plain.values()), rel=1e-7)
    # E + A N^-alpha, plus a power law in D under other names: Chinchilla again
    added = fitted(cli, runs_csv, "--law", "E + A*N**-alpha", "--add", "B*D**-beta")
    assert added == pytest.approx(plain, rel=1e-5)


def test_a_formula_is_a_law(cli, runs_csv: Path) -> None:
    plain = fitted(cli, runs_csv, "--law", "chinchilla")
    assert fitted(cli, runs_csv, "--law", "E + A*N**-alpha + B*D**-beta") == pytest.approx(plain, rel=1e-5)


def test_a_law_on_another_column(cli, runs_csv: Path) -> None:
    said = cli("fit", runs_csv, "--law", "power-floor(N)", "--where", "D>1e12", "--json")
    assert strict_json(said.out)["law"]["inputs"] == ["N"]
    assert cli("fit", runs_csv, "--law", "power(N, D)").code == 2


def test_grouped_fit(cli, columns, table, tmp_path: Path) -> None:
    two = {name: np.concatenate([values, values]) for name, values in columns.items()}
    two["loss"] = two["loss"] + np.repeat([0.0, 0.25], 36)
    path = table("two.csv", {**two, "dataset": ["c4"] * 36 + ["pile"] * 36})
    out = tmp_path / "grouped.json"
    params = fitted(cli, path, "--group-by", "dataset", "--separate", "E", "-o", out)
    assert params["E[pile]"] - params["E[c4]"] == pytest.approx(0.25, abs=0.02)
    here = strict_json(cli("predict", out, "--N", "1B", "--D", "20B", "--group", "c4", "--json").out)
    there = strict_json(cli("predict", out, "--N", "1B", "--D", "20B", "--group", "pile", "--json").out)
    assert there["estimate"][0] - here["estimate"][0] == pytest.approx(params["E[pile]"] - params["E[c4]"], abs=1e-9)


def test_bootstrap_and_profile(cli, runs_csv: Path) -> None:
    said = cli("fit", runs_csv, "--bootstrap", "200", "--profile", "--seed", "3", "--json")
    found = strict_json(said.out)
    assert set(found["intervals"]) == {"wald", "profile", "bootstrap"}
    assert found["draws_from"] == "bootstrap-rows"
    for method in ("profile", "bootstrap"):
        low, high = found["intervals"][method]["alpha"]
        assert low < found["params"]["alpha"] < high
    again = strict_json(cli("fit", runs_csv, "--bootstrap", "200", "--profile", "--seed", "3", "--json").out)
    assert again["intervals"] == found["intervals"]


# -- a fit file wherever a fit is taken -----------------------------------------------------------------------------


def test_fit_file_constants_and_runs_stand_in_the_same_place(cli, runs_csv: Path, fit_json: Path) -> None:
    for words in (("predict", "--N", "1B", "--D", "20B"), ("plan", "compute-optimal", "--budget", "1e21 FLOP")):
        place = 2 if words[0] == "plan" else 1
        for fit in ((fit_json,), ("chinchilla:besiroglu2024",), (runs_csv, "--law", "chinchilla")):
            said = cli(*words[:place], *fit, *words[place:])
            assert said.code == 0, said.err
            assert said.err == ""


def test_a_plan_is_no_fit(cli, fit_json: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert cli("plan", "compute-optimal", fit_json, "--budget", "1e21", "-o", plan).code == 0
    strict_json(plan.read_text())
    said = cli("predict", plan, "--N", "1B", "--D", "20B")
    assert said.code == 2
    assert "Plan" in said.err


def test_the_loop(cli, runs_csv: Path, tmp_path: Path) -> None:
    fit, ledger = tmp_path / "fit.json", tmp_path / "ledger.jsonl"
    assert cli("fit", runs_csv, "--law", "chinchilla", "-o", fit).code == 0
    said = cli("predict", fit, "--N", "20B", "--D", "400B", "--record", ledger, "--run", "large", "--json")
    estimate = strict_json(said.out)["estimate"][0]
    assert cli("predict", fit, "--N", "1B", "--D", "30B", "--record", ledger).code == 0
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [e["run"] for e in entries] == ["large", ""]
    came = tmp_path / "came.csv"
    came.write_text(f"run,N,D,loss\nlarge,2.003e10,4e11,{1.001 * estimate}\n")
    scored = strict_json(cli("score", ledger, came, "--json").out)
    assert [s["run"] for s in scored["scored"]] == ["large"]
    assert len(scored["pending"]) == 1
    assert scored["scored"][0]["covered"] is True
    assert scored["scored"][0]["error"] == pytest.approx(0.001, rel=1e-6)
    assert scored["verdict"]["level"] == "green"
    came.write_text(f"run,N,D,loss\nlarge,2e10,4e11,{1.3 * estimate}\n,1e9,3e10,1.1\n")
    worse = cli("score", ledger, came, "--json", "--strict")
    assert strict_json(worse.out)["verdict"]["level"] == "red"
    assert worse.code == 1
    assert cli("score", ledger, came).code == 0


def test_report_from_a_fit_file(cli, fit_json: Path, tmp_path: Path) -> None:
    pytest.importorskip("forescale.reporting.report")
    page = tmp_path / "report.html"
    said = cli("report", fit_json, "--budget", "1e21", "--no-backtest", "-o", page)
    assert said.code == 0, said.err
    text = page.read_text(encoding="utf-8")
    assert "chinchilla" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


# -- as a program ---------------------------------------------------------------------------------------------------


def program(*words: Any, stdin: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "forescale", *map(str, words)],
        input=None if stdin is None else stdin.decode("latin-1"),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_as_a_program(runs_csv: Path, tmp_path: Path) -> None:
    done = program("fit", "-", "--law", "chinchilla", "--json", stdin=runs_csv.read_bytes())
    assert done.returncode == 0
    assert done.stderr == ""
    strict_json(done.stdout)
    failed = program("fit", tmp_path / "absent.csv")
    assert failed.returncode == 2
    assert "Traceback" not in failed.stderr


def test_no_colour_when_asked_and_none_in_a_pipe(fit_json: Path) -> None:
    for environment in ({"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {}):
        done = program("plan", "compute-optimal", fit_json, "--budget", "1e21", **environment)
        assert done.returncode == 0
        assert "\x1b[" not in done.stdout + done.stderr
    assert "\x1b[" not in program("--help", NO_COLOR="1").stdout


def test_a_reader_that_goes_away_is_no_error(runs_csv: Path) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-m", "forescale", "fit", str(runs_csv), "--law", "chinchilla", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.read(10)
    reader.stdout.close()
    assert b"Traceback" not in reader.stderr.read()
    reader.stderr.close()
    assert reader.wait(60) == 0


def test_points_come_from_a_table_that_holds_more(cli: Any, runs_csv: Path, fit_json: Path) -> None:
    said = cli("predict", str(fit_json), "--points", str(runs_csv), "--json")
    assert said.code == 0, said.err
    rows = len(runs_csv.read_text().splitlines()) - 1
    assert len(json.loads(said.out)["estimate"]) == rows
    both = cli("predict", str(fit_json), "--points", str(runs_csv), "--N", "7B")
    assert both.code == 2
    assert "one of the two" in both.err

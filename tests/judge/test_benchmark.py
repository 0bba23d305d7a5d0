# SPDX-License-Identifier: Apache-2.0
"""The extrapolation benchmark: protocols hide what they say, scores are right, files come back, files add cases."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from judge_tables import grid, make

from forescale import api
from forescale.core.errors import ForescaleError, InputError, RefusedError
from forescale.judge import _results
from forescale.judge._methods import RECIPES, Forecast, Method, methods
from forescale.judge._protocol import Task, available, parse, protocols, read
from forescale.judge._sizes import size_of
from forescale.judge._standings import by_distance, table
from forescale.judge.benchmark import Benchmark, run
from forescale.judge.benchmark import read as read_results
from forescale.runs.table import Runs

CASES = {p.case: p for p in protocols()}
OWN = {
    "title": "A sweep",
    "about": "The largest budget is predicted.",
    "origin": "own",
    "domain": "IsoFLOP",
    "metric": "mape",
    "dataset": "sweep",
    "inputs": ["N", "D"],
    "variable": "C",
    "splits": [{"rule": "beyond", "ratio": 5}],
}
FILE = """
title = "Our sweep again"
about = "The two largest budgets are predicted."
origin = "own"
domain = "IsoFLOP"
metric = "rmsle"
dataset = "pystdlib"
inputs = ["N", "D"]
variable = "C"
splits = [{ rule = "top", column = "C_budget", levels = 2 }]
"""


def sweep(name: str = "sweep", **_: object) -> Runs:
    """Rows of a known Chinchilla surface, a tenth of a per cent of noise."""
    assert name == "sweep"
    return make(*grid(8, 6), seed=3)


def small(metric: str = "mape", **changes: object) -> Task:
    """A task of three held-out rows."""
    protocol = parse({**OWN, "metric": metric, **changes}, "small")
    return next(protocol.tasks(sweep))


def answer(task: Task, method: str, factor: float, half: float | None = None, cpu: float = 1.0) -> _results.Result:
    """A method that is off by a factor everywhere, with bands of half-width `half` in log units."""
    estimate = task.held["loss"] * factor
    nothing = np.full(len(estimate), math.nan)
    lower, upper = (nothing, nothing) if half is None else (estimate * np.exp(-half), estimate * np.exp(half))
    return _results.result(task, method, estimate, lower, upper, cpu)


# -- protocols ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_protocol_hides_larger_rows_and_fits_none_of_them(case):
    tasks, left_out = available([CASES[case]])
    if left_out:
        pytest.skip(f"{case}: {left_out[case]}")
    assert len({task.name for task in tasks}) == len(tasks)
    for task in tasks:
        assert task.case == case
        assert len(task.train) > 0
        assert len(task.held) == len(task.distance) == len(task.clusters) > 0
        assert np.all(task.distance > 1)
        largest = size_of(task.train, task.variable).max()
        assert task.distance == pytest.approx(size_of(task.held, task.variable) / largest)
        assert not _keys(task.train) & _keys(task.held)
        for rows in (task.train, task.held):
            assert np.all(np.isfinite(rows["loss"]) & (rows["loss"] > 0))
            assert set(task.inputs) <= set(rows.columns)


def _keys(rows: Runs) -> set[tuple[object, ...]]:
    run = rows.labels["run"].tolist() if "run" in rows.labels else [""] * len(rows)
    N = rows["N"] if "N" in rows.columns else rows["D"]
    D = rows["D"] if "D" in rows.columns else rows["N"]
    return set(zip(run, N.tolist(), D.tolist(), rows["loss"].tolist()))


@pytest.mark.parametrize(
    ("case", "tasks", "fitted", "held"),
    [
        ("isoflops", 5, None, 71),
        ("chinchilla", 1, 217, 23),
        ("nsl", 92, None, 15614),
        ("colpret", 42, None, 2950),
        ("gadre", 6, None, 12),
    ],
)
def test_published_protocols_have_the_rows_that_their_papers_have(case, tasks, fitted, held):
    found, left_out = available([CASES[case]])
    if left_out:
        pytest.skip(f"{case}: {left_out[case]}")
    assert len(found) == tasks
    assert sum(len(task.held) for task in found) == held
    if fitted is not None:
        assert sum(len(task.train) for task in found) == fitted
    if case == "gadre":
        assert sorted({len(task.train) for task in found if task.name.endswith("authors")}) == [5]
    if case == "nsl":
        domains = [task.domain for task in found]
        assert {d: domains.count(d) for d in set(domains)} == {"IC": 72, "NMT": 5, "LM": 5, "BB": 10}


def test_of_a_family_no_checkpoint_of_the_target_is_fitted_and_opt_is_in_logarithms():
    found, left_out = available([CASES["colpret"]])
    if left_out:
        pytest.skip(left_out["colpret"])
    for task in found:
        target = task.held["N"].max()
        assert np.all(task.held["N"] == target)
        assert np.all(task.train["N"] < target)
    opt = next(task for task in found if task.name == "colpret/opt")
    assert 2.2 < opt.held["loss"].min() < opt.held["loss"].max() < 2.5


def test_the_best_row_of_each_cell_stays():
    runs = Runs.from_columns({"N": [1e6, 1e6, 2e6, 9e6], "D": [1e9, 1e9, 1e9, 1e9], "loss": [3.1, 3.0, 2.9, 2.5]})
    protocol = parse({**OWN, "best_of": ["N", "D"]}, "cells")
    task = next(protocol.tasks(lambda name: runs))
    assert sorted(task.train["loss"].tolist()) == [3.0]
    assert sorted(task.held["loss"].tolist()) == [2.5, 2.9]


def test_several_outputs_are_several_tasks_and_rows_without_one_are_left_out():
    runs = make(*grid(8, 6), seed=3)
    other = np.array(runs["loss"]) + 1
    other[:2] = np.nan
    runs = runs.with_column("loss_pile", other)
    protocol = parse({**OWN, "outputs": ["loss", "loss_pile"]}, "two")
    first, second = protocol.tasks(lambda name: runs)
    assert (first.name, second.name) == ("two/loss", "two/loss_pile")
    assert second.held["loss"] == pytest.approx(first.held["loss"] + 1)
    assert len(first.train) + len(first.held) == len(second.train) + len(second.held) + 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": "rmse"}, "measures 'rmse'"),
        ({"speed": 1}, "a field 'speed'"),
        ({"splits": [{"rule": "random"}]}, "the rule 'random'"),
        ({"splits": [{"rule": "beyond"}]}, "lacks 'ratio'"),
        ({"splits": [{"rule": "beyond", "ratio": 1}]}, "predicts 0"),
        ({"splits": [{"rule": "conditions", "train": [["C>1e18"]], "held": [["C<1e18"]]}]}, "no held-out row"),
        ({"dataset": ""}, "names no data"),
        ({"by": ["dataset"], "only": ["c5"]}, "no column"),
        ({"about": None}, "lacks 'about'"),
    ],
)
def test_what_is_wrong_with_a_protocol_is_said(changes, said):
    value = {k: v for k, v in {**OWN, **changes}.items() if v is not None}
    with pytest.raises(ForescaleError, match=said):
        list(parse(value, "bad").tasks(sweep))


def test_a_file_adds_a_case_and_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "again.toml").write_text(FILE)
    assert {p.case for p in protocols((), tmp_path)} == {*CASES, "again"}
    found = run(["again"], ["last", "curve-fit"], folder=tmp_path)
    assert {r.task for r in found.results} == {"again"}
    assert {r.metric for r in found.results} == {"rmsle"}
    (tmp_path / "pystdlib.toml").write_text(FILE)
    with pytest.raises(InputError, match="define one case"):
        protocols((), tmp_path)
    with pytest.raises(InputError, match="there is no case 'agian'"):
        protocols(["agian"])
    (tmp_path / "broken.toml").write_text("title = ")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "broken.toml")
    with pytest.raises(InputError, match="is no folder"):
        protocols((), tmp_path / "nowhere")


def test_a_case_without_its_data_is_left_out_and_named():
    found = run([parse({**OWN, "dataset": "no-such-data"}, "gone")], ["last"])
    assert found.results == ()
    assert "no data set 'no-such-data'" in found.left_out["gone"]
    assert "not run: gone" in found.summary()


# -- scores ---------------------------------------------------------------------------------------------------------


def test_errors_bias_and_interval_scores_are_those_of_the_definitions():
    for metric, expected in (("mape", 2.0), ("rmsle", math.log(1.02))):
        task = small(metric)
        said = answer(task, "off", 1.02, half=0.01)
        assert said.error == pytest.approx(expected)
        assert said.bias == pytest.approx(2.0)
        assert not said.inside.any()
        # width .02, and the outcome lies log 1.02 - .01 below the band
        assert said.interval_score(0.9) == pytest.approx(0.02 + 2 / 0.1 * (math.log(1.02) - 0.01))
        assert answer(task, "off", 1.02, half=0.03).interval_score(0.9) == pytest.approx(0.06)
        assert not answer(task, "off", 1.02).banded


def test_a_band_without_end_has_a_finite_score():
    task = small()
    nothing = np.zeros(len(task.held))
    wide = _results.result(task, "wide", task.held["loss"], nothing, nothing + np.inf, 0.0)
    assert wide.banded
    assert wide.inside.all()
    assert wide.interval_score(0.9) == pytest.approx(2 * math.log(_results.WIDEST))


def test_tables_count_wins_failures_and_shares():
    task, other = small(), small("mape", splits=[{"rule": "beyond", "ratio": 40}])
    nothing = np.full(len(task.held), math.nan)
    results = [
        answer(task, "a", 1.01, half=0.02), answer(task, "b", 1.01, half=0.001),
        _results.result(task, "c", nothing, nothing, nothing, 2.0, "too few rows"),
    ]  # fmt: skip
    rows = {row.method: row for row in table(results, 0.9, lambda r: r.case)}
    assert (rows["a"].wins, rows["b"].wins, rows["c"].wins) == (0.5, 0.5, 0.0)
    assert (rows["c"].tasks, rows["c"].answered, rows["c"].cpu) == (1, 0, 2.0)
    assert math.isnan(rows["c"].error)
    assert (rows["a"].covered, rows["b"].covered) == (1.0, 0.0)
    found = Benchmark(0.9, tuple(results), {}, {"small": ({"method": "others", "error": 0.5},)})
    assert found.failures() == {"c": {task.name: "too few rows"}}
    shown = found.summary()
    assert "0 of 1" in shown
    assert "others (reported)" in shown
    distances = by_distance([answer(other, "a", 1.0, half=0.1)], 0.9)
    assert [row["distance"] for row in distances] == ["<= 3x", "3-10x", "> 10x", "all"]
    assert sum(row["points"] for row in distances[:-1]) == distances[-1]["points"] == len(other.held)
    pair = found.pairs("a")
    assert [p["other"] for p in pair] == ["b"]
    assert pair[0]["score"] == pytest.approx(0.04)


# -- runs -----------------------------------------------------------------------------------------------------------


def test_the_law_of_the_data_wins_and_its_bands_hold():
    found = run([parse(OWN, "sweep")], ["chinchilla", "kaplan", "last", "widened", "conformal"], load=sweep)
    rows = {row.method: row for row in found.by_case()}
    assert rows["chinchilla"].error < 0.8
    assert rows["chinchilla"].error < 0.5 * rows["kaplan"].error
    assert rows["chinchilla"].covered >= 0.75
    assert rows["widened"].covered >= 0.75
    assert math.isnan(rows["last"].score)


def test_every_recipe_answers_on_a_plain_sweep():
    found = run([parse(OWN, "sweep")], [m.id for m in RECIPES], load=sweep)
    assert not found.failures()
    assert {r.method for r in found.results} == {m.id for m in RECIPES}
    assert {pair["other"] for pair in found.pairs()} >= {"widened", "conformal"}
    bands = [r for r in found.results if r.method == "auto"]
    assert all(r.banded for r in bands)


def test_laws_of_one_variable_are_read_from_the_column_of_the_task():
    D = np.geomspace(1e3, 1e7, 14)
    curve = Runs.from_columns({"D": D, "loss": 0.4 + 30 * D**-0.5})
    value = {**OWN, "inputs": ["D"], "variable": "D", "splits": [{"rule": "beyond", "ratio": 10}]}
    found = run([parse(value, "curve")], ["power-floor", "curve-fit", "chinchilla"], load=lambda name: curve)
    assert {r.method for r in found.results} == {"power-floor", "curve-fit"}
    assert all(r.error < 0.1 for r in found.results)


def _refuses(task: Task, level: float) -> Forecast:
    raise RefusedError("not this one")


def _negative(task: Task, level: float) -> Forecast:
    return Forecast(-np.ones(len(task.held)))


def _looks(task: Task, level: float) -> Forecast:
    return Forecast(task.held["loss"])


def _broken(task: Task, level: float) -> Forecast:
    raise ZeroDivisionError("a bug")


def test_a_method_of_ones_own_takes_part_and_may_refuse():
    own = [Method("mine", "ours", _refuses), Method("below", "negative", _negative), "last"]
    looks = run([parse(OWN, "sweep")], [Method("looks", "at what is hidden", _looks)], load=sweep)
    assert "no column" in looks.failures()["looks"]["sweep"]
    broken = run([parse(OWN, "sweep")], [Method("broken", "a bug", _broken)], load=sweep)
    assert broken.failures()["broken"] == {"sweep": "ZeroDivisionError: a bug"}
    found = run([parse(OWN, "sweep")], own, load=sweep)
    assert found.failures()["mine"] == {"sweep": "not this one"}
    assert "positive" in found.failures()["below"]["sweep"]
    assert found.methods == ("mine", "below", "last")
    with pytest.raises(InputError, match="there is no method 'lats'"):
        methods(["lats"])
    with pytest.raises(InputError, match="a level of 90"):
        run(["pystdlib"], ["last"], level=90)


def test_workers_change_nothing():
    one = run(["pystdlib"], ["chinchilla", "last"])
    two = run(["pystdlib"], ["chinchilla", "last"], workers=2)
    for a, b in zip(one.results, two.results, strict=True):
        assert (a.method, a.task) == (b.method, b.task)
        assert np.array_equal(a.estimate, b.estimate)


def test_files_come_back_and_those_of_other_programs_join(tmp_path):
    found = run(["pystdlib"], ["chinchilla", "last"])
    again = read_results(found.save(tmp_path / "all.json"))
    assert again.summary() == found.summary()
    assert json.loads(again.to_json()) == json.loads(found.to_json())
    tasks, _ = available([CASES["pystdlib"]])
    held = tasks[0].held["loss"]
    said = {"method": "theirs", "task": "pystdlib", "estimate": held.tolist(), "cpu": 1.5}
    (tmp_path / "theirs.json").write_text(json.dumps({"level": 0.9, "results": [said]}))
    joined = api.benchmark(["pystdlib"], ["last"], predictions=[tmp_path / "theirs.json", tmp_path / "all.json"])
    assert {row.method: row.wins for row in joined.overall()} == {"theirs": 1.0, "last": 0.0, "chinchilla": 0.0}
    for wrong, why in (
        ({**said, "task": "pystdlip"}, "a task of the cases"),
        ({**said, "estimate": [1.0]}, "1 predictions"),
        ({"method": "theirs"}, "cannot be read"),
    ):
        (tmp_path / "wrong.json").write_text(json.dumps({"level": 0.9, "results": [wrong]}))
        with pytest.raises(InputError, match=why):
            read_results(tmp_path / "wrong.json", tasks)
    with pytest.raises(InputError, match="one level"):
        found.and_(Benchmark(0.8, (), {}, {}))


def test_tables_are_written_as_they_are_asked_for(tmp_path):
    found = run(["pystdlib"], ["chinchilla", "last"])
    lines = list(csv.reader((found.save_table(tmp_path / "t.csv")).read_text().splitlines()))
    assert len(lines) == 1 + sum(len(r.observed) for r in found.results)
    assert lines[0][:4] == ["case", "task", "domain", "method"]
    page = found.save_table(tmp_path / "t.md").read_text()
    assert "| chinchilla | 1 |" in page
    value = json.loads(found.save_table(tmp_path / "t.json").read_text())
    assert (value["schema"], value["version"]) == ("forescale/benchmark", 1)
    assert "results" not in value
    with pytest.raises(InputError, match="ends in"):
        found.save_table(tmp_path / "t.xlsx")


def test_the_page_holds_the_tables_and_runs_nothing():
    found = run(["pystdlib"], ["chinchilla", "last"])
    html = api.report(found, commands=["forescale benchmark pystdlib"]).html
    assert "<script" not in html
    assert "default-src &#39;none&#39;" in html
    assert "Our own sweep" in html
    assert html.count("<table>") >= 3


def test_the_command(cli, tmp_path):
    said = cli("benchmark", "pystdlib", "-m", "last", "--json", "--out", str(tmp_path / "o.json"))
    assert said.code == 0
    assert [row["method"] for row in json.loads(said.out)["by_case"]] == ["last"]
    shown = cli("benchmark", "--only-with", "--with", str(tmp_path / "o.json"), "--table", str(tmp_path / "t.md"))
    assert shown.code == 0
    assert "pystdlib" in shown.out
    assert (tmp_path / "t.md").exists()
    listed = cli("benchmark", "--list")
    assert "chinchilla" in listed.out
    assert "conformal" in listed.out
    assert cli("benchmark", "nowhere").code == 2
    assert cli("benchmark", "--only-with").code == 2

# SPDX-License-Identifier: Apache-2.0
"""A Stack wherever a Fit is taken: files, plans, ledger, charts, the page, the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale import api
from forescale.core.errors import InputError, LawError, QueryError, ReadError
from forescale.planning._splitting import splitting
from forescale.reporting.charts import specification

LAWS = ["chinchilla", "overtraining"]


@pytest.fixture(scope="module")
def stack(columns: Mapping[str, np.ndarray]) -> fs.Stack:
    runs = fs.load(dict(columns), conventions={"N": "total", "D": "tokens", "loss": "nats/token"})
    return fs.select(runs, laws=LAWS)


@pytest.fixture(scope="module")
def stack_json(stack: fs.Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stack.save(tmp_path_factory.mktemp("stack") / "stack.json")


# -- files ----------------------------------------------------------------------------------------------------------


def test_what_save_writes_open_reads(stack: fs.Stack, stack_json: Path) -> None:
    again = fs.open(stack_json)
    assert isinstance(again, fs.Stack)
    assert again.summary() == stack.summary()
    assert again.to_json() == stack.to_json()
    point = {"N": 7e10, "D": 1.4e12}
    for level in (0.1, 0.5):
        here, there = (s.predict(**point).summary_frame(alpha=level) for s in (stack, again))
        assert {k: v.tolist() for k, v in here.items()} == {k: v.tolist() for k, v in there.items()}
    assert again.pooled.params == stack.pooled.params
    np.testing.assert_allclose(again.pooled.draws, stack.pooled.draws, rtol=1e-9)
    assert stack_json.stat().st_size < 100_000, "neither rows nor draws of every member"


def test_rows_are_written_once(stack: fs.Stack, tmp_path: Path) -> None:
    assert stack.to_json().count('"forescale/runs"') == 1
    C = np.geomspace(1e17, 1e21, 16)
    names = [f"r{i}" for i in range(16)]
    extra = np.where(np.arange(16) % 3 == 0, np.nan, 1.0)  # a column that no law reads, with holes
    part = fs.select({"C": C, "loss": 1.8 + 900 * C**-0.15, "run": names, "extra": extra}, laws=["power"])
    read = fs.open(part.save(tmp_path / "part.json"))
    assert part.to_json().count('"forescale/runs"') == 1
    for one, other in zip(part.members, read.members):
        assert one.fit.runs is not None
        assert other.fit.runs is not None
        assert one.fit.runs.hash == other.fit.runs.hash


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("members"),
        lambda d: d["members"].clear(),
        lambda d: d["members"][0].update(weight=0.1),
        lambda d: d["members"][0].update(used=[10**6]),
        lambda d: d["members"][0]["fit"].pop("draws"),
        lambda d: d["members"][0]["fit"]["params"].pop("E"),
        lambda d: d["width"].pop("tau"),
        lambda d: d["width"].update(tau="wide"),
        lambda d: d["rolling"].update(cut=["x"]),
        lambda d: d["runs"].update(columns=7),
        lambda d: d.update(version=99),
        lambda d: d.update(schema="forescale/pile"),
        lambda d: d.update(fitted_range={"N": [1]}),
    ],
)
def test_damaged_files(stack_json: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(stack_json.read_text())
    spoil(content)
    path = tmp_path / "spoiled.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ReadError):
        fs.open(path)
    path.write_text(stack_json.read_text()[:-200])
    with pytest.raises(ReadError, match="not JSON"):
        fs.open(path)


def test_a_law_that_is_a_function(columns: Mapping[str, np.ndarray], tmp_path: Path) -> None:
    def mine(N, D, E, A, a, B, b):
        return E + A * N**-a + B * D**-b

    law = fs.law(mine)
    path = fs.select(columns, laws=[law]).save(tmp_path / "mine.json")
    with pytest.raises(LawError, match="Python function"):
        fs.open(path)
    assert fs.open(path, law=law).best.law.inputs == ("N", "D")


# -- prediction -----------------------------------------------------------------------------------------------------


def test_the_pool_is_the_weighted_mean_of_its_members(stack: fs.Stack) -> None:
    point = {"N": 7e10, "D": 1.4e12}
    each = [m.fit.law(m.fit.params, **point) for m in stack.members]
    weights = [m.weight for m in stack.members]
    assert stack.predict(**point).estimate[0] == pytest.approx(
        float(np.exp(np.dot(weights, np.log(each)))), rel=1e-12
    )
    table = stack.predict({"N": [1e9, 7e10], "D": [2e10, 1.4e12], "lr": [1, 2]})
    assert table.estimate[1] == stack.predict(**point).estimate[0]
    with pytest.raises(InputError, match="without D"):
        stack.predict(N="1B")
    with pytest.raises(InputError):
        stack.predict(N="1B", D="20B", M=20)


def test_the_pool_as_one_law_says_the_same(stack: fs.Stack) -> None:
    kept = stack.planned()
    assert sum(m.weight for m in kept.members) == pytest.approx(1)
    N, D = np.geomspace(1e8, 1e11, 4), np.geomspace(1e10, 1e13, 4)
    fit = stack.pooled
    assert fit.law(fit.params, N=N, D=D) == pytest.approx(kept.predict(N=N, D=D).estimate, rel=1e-12)
    assert fit.draws_from == "stack"


# -- plans ----------------------------------------------------------------------------------------------------------


def test_plans_carry_the_bands_of_the_stack(stack: fs.Stack, stack_json: Path) -> None:
    plan = fs.plan("compute-optimal", stack, budget="1e24 FLOP")
    size = plan.decision["N"]
    assert size.lower < size.value < size.upper
    expected = plan.expected["loss"]
    said = splitting(stack).predict(N=size.value, D=plan.decision["D"].value)
    assert expected.value == pytest.approx(said.estimate[0], rel=1e-9)
    assert expected.prediction == pytest.approx((said.prediction.lower[0], said.prediction.upper[0]), rel=1e-9)
    assert plan.evidence.draws_from == "stack"
    assert fs.plan("compute-optimal", str(stack_json), budget="1e24 FLOP").to_json() == plan.to_json()


def test_next_runs_rest_on_one_law(stack: fs.Stack) -> None:
    best = splitting(stack).best
    design = fs.next_runs(stack, at="1e24 FLOP", budget="1e22 FLOP")
    assert design.fit is best
    assert fs.plan("next-runs", stack, at="1e24 FLOP", budget="1e22 FLOP").evidence.law == best.law.id


def test_a_split_rests_on_the_members_that_know_it() -> None:
    """IsoFLOP budgets, and one more decade of compute-optimal runs alone: those say nothing about the size."""
    law = fs.law("chinchilla")
    constants = law.constants("besiroglu2024")
    C = np.concatenate([np.repeat(np.geomspace(1e18, 1e20, 4), 6), np.geomspace(3e20, 1e21, 8)])
    N = 0.1 * np.sqrt(C) * np.concatenate([np.tile(np.geomspace(0.2, 5.0, 6), 4), np.ones(8)])
    D = C / (6 * N)
    loss = law(constants, N=N, D=D) * np.exp(0.002 * np.random.default_rng(4).standard_normal(len(C)))
    stack = fs.select({"N": N, "D": D, "loss": loss}, laws=["chinchilla"])
    near = [m for m in stack.members if m.rows == "within 10x of the largest"]
    assert near, "a member near the largest runs predicts well"
    split = splitting(stack)
    share = sum(m.weight for m in split.members if m.rows == near[0].rows)
    assert share < 0.2 * near[0].weight
    assert sum(m.weight for m in split.members) == pytest.approx(1)
    size = fs.plan("compute-optimal", stack, budget="1e22").decision["N"]
    truth = fs.plan("compute-optimal", "chinchilla:besiroglu2024", budget="1e22").decision["N"].value
    assert size.lower < truth < size.upper < 10 * size.lower


# -- ledger, lint, verdict ------------------------------------------------------------------------------------------


def test_recorded_and_scored(stack: fs.Stack, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    prediction = stack.predict(N=2e10, D=4e11)
    fs.record(stack, prediction, ledger, runs=["large"])
    entry = json.loads(ledger.read_text())
    assert entry["law"] == "stack"
    assert entry["prediction"] == [prediction.prediction.lower[0], prediction.prediction.upper[0]]
    came = {"run": ["large"], "N": [2e10], "D": [4e11], "loss": [float(prediction.estimate[0])]}
    assert fs.score(ledger, came).scored[0].covered
    # other weights, another fit
    members = stack.members
    swapped = replace(stack, members=(replace(members[0], weight=0.0), *members[1:]))
    fs.record(swapped, prediction, ledger, runs=["again"])
    first, second = (json.loads(line) for line in ledger.read_text().splitlines())
    assert first["fit"] != second["fit"]


def test_a_stack_is_not_widened(stack: fs.Stack, columns: Mapping[str, np.ndarray]) -> None:
    tested = fs.backtest(columns, "chinchilla", beyond=10)
    with pytest.raises(QueryError, match="its bands carry its errors"):
        fs.widen(stack, tested)
    with pytest.raises(QueryError, match="its own rolling test"):
        fs.report(stack, backtest=tested)


def test_lint_takes_a_stack(stack: fs.Stack) -> None:
    assert {f.code for f in fs.lint(stack.runs, stack)} >= {f.code for f in fs.lint(stack.runs)}


def test_the_verdict_speaks_of_the_table_too(stack: fs.Stack, columns: Mapping[str, np.ndarray]) -> None:
    assert stack.verdict is not None
    assert {f.code for f in stack.verdict.findings} >= {"tested", "held", "errors", "certified", "design"}
    assert api.exit_code(stack, strict=True) == 0
    N = np.geomspace(1e7, 1e10, 16)
    ray = fs.select({"N": N, "D": 20 * N, "loss": 1.8 + 2000 * N**-0.4}, laws=["overtraining"])
    assert ray.verdict is not None
    assert ray.verdict.level == "red"
    assert "do not split a budget" in ray.verdict.headline
    assert api.exit_code(ray, strict=True) == 1


def test_options_about_one_law_mean_one_law(columns: Mapping[str, np.ndarray]) -> None:
    fit = fs.fit(columns, loss="student-t")
    assert isinstance(fit, fs.Fit)
    assert "default-law" in {note.code for note in fit.notes}
    assert "default-law" not in {note.code for note in fs.fit(columns, "chinchilla", loss="squared").notes}


# -- charts and the page --------------------------------------------------------------------------------------------


def test_charts(stack: fs.Stack) -> None:
    rolling = specification(stack, "rolling")
    dots = rolling["layer"][-1]["data"]["values"]
    assert len(dots) == len(stack.rolling["cut"])
    assert {row["observed"] for row in dots} == {float(f"{v:.7g}") for v in stack.rolling["observed"]}
    loss = specification(stack)
    thin = [one for one in loss["layer"] if one["mark"]["type"] == "line" and one["mark"].get("strokeWidth") == 0.9]
    assert len(thin) == len(stack.members)
    assert specification(stack, "residuals") == specification(stack.pooled, "residuals")
    with pytest.raises(InputError, match="rolling"):
        specification(stack, "roling")
    assert stack.plot("rolling").to_dict()["description"] == rolling["description"]


def test_dots_at_one_distance_are_moved_apart() -> None:
    from forescale.reporting.charts.backtest import errors

    distance = np.repeat([2.0, 4.0], [6, 2])
    rows = errors(distance, np.ones(8), np.ones(8), np.full(8, 0.9), np.full(8, 1.1))
    x = np.array([row["x"] for row in rows])
    assert len(np.unique(x)) == 8
    assert np.all(np.diff(x) > 0), "groups do not overlap"
    assert x == pytest.approx(distance, rel=0.1)
    assert [row["distance"] for row in rows] == distance.tolist()


def test_the_page(stack: fs.Stack) -> None:
    page = fs.report(stack, backtest=True, commands=["forescale report stack.json"])
    text = re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>", "", page.html, flags=re.DOTALL))
    assert stack.verdict is not None
    for words in (
        "The choice", "The rolling test", "Checklist", "Rolling predictions by distance",
        "Rolling predictions by cut", "Who predicted larger runs best",
        "forescale report stack.json", stack.data_hash, stack.verdict.headline,
    ):  # fmt: skip
        assert words in text, words
    for figure in ("loss", "rolling", "residuals", "contours"):
        assert f'<figure id="{figure}"' in page.html
    for member in stack.members:
        assert member.fit.law.id in text
        assert f"{member.weight:.2f}" in text
    assert "alpha_1" not in text, "the pool is not shown as one law"
    assert "<script" not in page.html
    assert not re.search(r"\bnan\b|None", text)


# -- the command line -----------------------------------------------------------------------------------------------


def test_from_runs_to_a_plan(cli, runs_csv: Path, tmp_path: Path) -> None:
    out, ledger = tmp_path / "stack.json", tmp_path / "ledger.jsonl"
    said = cli("fit", runs_csv, "--laws", "overtraining, chinchilla", "--secondary", "-o", out)
    assert said.code == 0, said.err
    assert "leave-group-out" in said.out
    assert "verdict:" in said.out
    found = json.loads(cli("predict", out, "--N", "70B", "--D", "1.4T", "--record", ledger, "--json").out)
    assert found["prediction_lower"][0] < found["estimate"][0] < found["prediction_upper"][0]
    assert json.loads(ledger.read_text())["law"] == "stack"
    said = cli("plan", "compute-optimal", out, "--budget", "1e24")
    assert said.code == 0, said.err
    assert "a new run" in said.out
    assert json.loads(cli("fit", runs_csv, "--laws", "overtraining", "--json").out)["schema"] == "forescale/stack"


def test_options_that_contradict_each_other(cli, runs_csv: Path, stack_json: Path) -> None:
    for options in (("--laws", "chinchilla", "--law", "kaplan"), ("--secondary", "--loss", "squared")):
        said = cli("fit", runs_csv, *options)
        assert said.code == 2
        assert "leave out" in said.err
    assert cli("predict", stack_json, "--N", "1B", "--D", "20B", "--group", "c4").code == 2
    said = cli("predict", stack_json, "--N", "1B", "--D", "20B", "--loss", "squared")
    assert "fitted already" in said.err
    said = cli("fit", runs_csv, "--laws", "chinchilla,power(N")
    assert said.code == 2

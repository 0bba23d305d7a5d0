# SPDX-License-Identifier: Apache-2.0
"""Tables with training curves: points of them, schedules, and the public data sets that hold such curves."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError, ReadError
from forescale.runs.curves import curve_points, schedules
from forescale.runs.datasets import dataset
from forescale.runs.datasets._read_annealing import read as read_annealing
from forescale.runs.datasets._read_epfl import read as read_epfl
from forescale.runs.datasets._read_multi_power import read as read_multi_power
from forescale.runs.table import Curve, Runs

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

NAN = np.nan


def curve(step, loss, lr, D=None) -> Curve:
    return Curve(*(np.array(x, dtype=float) for x in (step, loss, lr, [NAN] * len(step) if D is None else D)))


@pytest.fixture
def runs() -> Runs:
    return Runs(
        columns={"N": np.array([1e6, 2e6]), "D": np.array([9e6, 8e6]), "loss": np.array([2.5, 2.0])},
        labels={"run": np.array(["a", "b"]), "dataset": np.array(["x", "y"])},
        weights=np.array([1.0, 3.0]),
        curves={
            "a": curve([10, 20, 30, 40], [4.0, 3.0, NAN, 2.5], [1e-3, 1e-3, 5e-4, 1e-4]),
            "b": curve([5, 10, 20], [3.0, 2.5, 2.0], [5e-4, 1e-3, 1e-3]),
        },
    )


def test_points_repeat_what_a_run_is_and_drop_what_it_became(runs: Runs) -> None:
    points = curve_points(runs)
    assert points.labels["run"].tolist() == ["a"] * 3 + ["b"] * 2
    assert points["step"].tolist() == [10, 20, 40, 10, 20]
    assert points["loss"].tolist() == [4.0, 3.0, 2.5, 2.5, 2.0]
    assert points["lr_now"].tolist() == [1e-3, 1e-3, 1e-4, 1e-3, 1e-3]
    assert points["N"].tolist() == [1e6] * 3 + [2e6] * 2
    assert points.weights is not None
    assert points.weights.tolist() == [1, 1, 1, 3, 3]
    assert "D" not in points
    assert points.labels["dataset"].tolist() == ["x"] * 3 + ["y"] * 2
    assert dict(points.curves) == dict(runs.curves)
    notes = {note.code: note.text for note in points.notes}
    assert notes["warm-up"].startswith("1 points")  # b logs its warm-up


def test_points_of_points_are_the_same(runs: Runs) -> None:
    points = curve_points(runs)
    assert curve_points(points) is points
    assert curve_points(points, from_step=15)["step"].tolist() == [20, 40, 20]
    assert curve_points(runs, from_step=15)["step"].tolist() == [20, 40, 20]


def test_tokens_come_along_where_curves_hold_them(runs: Runs) -> None:
    curves = {k: curve(c.step, c.loss, c.lr, 1000 * c.step) for k, c in runs.curves.items()}
    points = curve_points(Runs(runs.columns, runs.labels, curves=curves))
    assert points["D"].tolist() == (1000 * points["step"]).tolist()


def test_schedules_know_the_warm_up(runs: Runs) -> None:
    found = schedules(runs)
    assert found["a"].warmup == 10
    assert found["b"].warmup == 10
    assert found["a"].lr[[0, 9, 29, 34]] == pytest.approx([1e-4, 1e-3, 5e-4, 3e-4])
    told = schedules(runs.with_column("warmup_steps", [4.0, 0.0]))
    assert told["a"].lr[:5] == pytest.approx(1e-3 * np.array([0.25, 0.5, 0.75, 1, 1]))
    assert told["b"].warmup == 0


def test_rows_of_a_log_have_curves(runs: Runs) -> None:
    rows = Runs(
        columns={
            "step": np.array([30.0, 10, 20, 20]), "lr_peak": np.array([1e-4, 1e-3, 1e-3, 1e-3]),
            "loss": np.array([2.5, 4.0, 3.0, 3.0]),
        }
    )  # fmt: skip
    points = curve_points(rows)
    assert points["step"].tolist() == [30, 10, 20, 20]
    assert points.labels["run"].tolist() == ["run"] * 4
    assert points.curves["run"].step.tolist() == [10, 20, 30]
    late = curve_points(rows, from_step=15)
    assert late["step"].tolist() == [30, 20, 20]
    # the rates before the chosen points still count
    assert schedules(late)["run"].total[-1] == schedules(points)["run"].total[-1]


def test_runs_without_a_curve_are_named(runs: Runs) -> None:
    one = Runs(runs.columns, runs.labels, curves={"a": runs.curves["a"]})
    points = curve_points(one)
    assert set(points.labels["run"].tolist()) == {"a"}
    assert "1 of 2 runs have no curve" in next(n.text for n in points.notes if n.code == "no-curve")
    with pytest.raises(ColumnError, match="no run of in memory has a curve"):
        curve_points(Runs(runs.columns, runs.labels, curves={"c": runs.curves["a"]}))
    with pytest.raises(ColumnError, match="no column run"):
        curve_points(Runs(runs.columns, curves=runs.curves))
    with pytest.raises(DataError, match="no point"):
        curve_points(runs, from_step=100)


# -- the data sets --------------------------------------------------------------------------------------------------


@mirrored
@pytest.mark.parametrize(
    ("name", "rows", "points"), [("mpl-25m", 9, 2059), ("mpl-100m", 9, 2103), ("mpl-400m", 3, 451)]
)
def test_nine_schedules(name: str, rows: int, points: int) -> None:
    runs = dataset(name)
    assert len(runs) == rows
    assert (runs.labels["role"] == "fit").sum() == 3
    found = curve_points(runs)
    assert len(found) == points
    known = schedules(runs)
    assert {s.warmup for s in known.values()} == {2160}
    for run, curve in runs.curves.items():
        lr = known[run].lr
        logged = np.isfinite(curve.loss)
        np.testing.assert_allclose(lr[curve.step[logged].astype(int) - 1], curve.lr[logged], rtol=1e-12)
        assert lr[2159] == pytest.approx(3e-4)
        if run.startswith("wsdcon"):
            assert lr[[7998, 7999]] == pytest.approx([3e-4, 1e-5 * float(run.split("_")[1])])
        if run.startswith(("wsd_", "wsdld_")):
            assert lr[19_999] == pytest.approx(3e-4)
            assert lr[20_031] < 3e-4


@mirrored
def test_a_cosine_between_its_logged_steps() -> None:
    step = np.arange(2160, 23_921)
    lr = schedules(dataset("mpl-25m", run="cosine_24000"))["cosine_24000"].lr[step - 1]
    exact = 3e-5 + 0.5 * 2.7e-4 * (1 + np.cos(np.pi * (step - 2160) / (24_000 - 2160)))
    np.testing.assert_allclose(lr, exact, rtol=2e-4)


@mirrored
def test_curves_of_every_step_are_smoothed_but_their_rates_are_not() -> None:
    runs = dataset("tissue")
    raw = dataset("tissue", smooth=1, every=1)
    assert runs.labels["run"].tolist() == ["811", "wsd", "cosine"]
    for run, curve in raw.curves.items():
        assert len(curve) >= 33_907
        assert curve.step[-1] == 33_908
        assert np.isfinite(curve.loss).all()
        ours = runs.curves[run]
        assert ours.lr.tolist() == curve.lr.tolist()
        kept = np.flatnonzero(np.isfinite(ours.loss))
        assert np.diff(kept).tolist() == [50] * (kept.size - 1)
        i = kept[100]
        assert ours.loss[i] == pytest.approx(curve.loss[i - 100 : i + 101].mean())
    assert schedules(runs)["cosine"].peak == 1e-3
    assert len(curve_points(runs)) == 3 * 675


@mirrored
def test_schedules_of_the_study_of_cool_downs() -> None:
    runs = dataset("lr-schedules", dataset="slimpajama")
    assert len(dataset("lr-schedules")) == 186
    kinds = runs.labels["schedule"]
    assert set(kinds.tolist()) == {"cosine", "cooldown", "constant"}
    known = schedules(runs)
    for i in np.flatnonzero(kinds == "cooldown")[::9]:
        s, T = known[runs.labels["run"][i]], int(runs["steps"][i])
        assert len(s) == T
        assert s.warmup == 300
        begin = round((1 - runs["decay"][i]) * T)
        assert s.lr[begin - 1] == pytest.approx(runs["lr_peak"][i])
        assert s.lr[-1] == pytest.approx(0, abs=1e-12)
    points = curve_points(runs.where(kinds == "constant"))
    assert points["D"] == pytest.approx(points["step"] * 50 * 2 * 2 * 512, rel=1.01)


@mirrored
def test_what_was_logged_follows_the_schedule() -> None:
    """The learning rates that the authors' runs logged, against those made from their settings."""
    import json

    from forescale.runs.datasets import card
    from forescale.runs.datasets._fetch import fetch

    made = card("lr-schedules")
    runs = dataset("lr-schedules")
    known = schedules(runs)
    for file in made.files[::7]:
        value = json.loads(fetch(made, file.name).read_bytes())["history"]["train"]
        step, lr = np.array(value["iter"]), np.array(value["train_lr"])
        s = known[file.name.removesuffix(".json")]
        inside = (step > 300) & (step < len(s))
        # a cosine of the authors ends one step earlier
        assert np.abs(s.lr[step[inside] - 1] - lr[inside]).max() <= 1e-3 * s.peak


@pytest.mark.parametrize(
    ("read", "name", "options", "content", "said"),
    [
        (
            read_multi_power, "c/constant_1.csv", {"folder": "c", "schedules": ["constant_1"], "N": 1},
            b"step,rate\n1,2\n", "the columns step, lr and loss",
        ),
        (
            read_annealing, "a.gz", {"files": {"a": "a.gz"}, "smooth": 1, "every": 1, "N": 1, "D": 1},
            gzip.compress(b"step,loss\n0,1\n", mtime=0), "cannot be read",
        ),
        (
            read_annealing, "a.gz", {"files": {"a": "a.gz"}, "smooth": 1, "every": 1, "N": 1, "D": 1}, b"plain",
            "cannot be read",
        ),
        (
            read_epfl, "r.json", {"files": ["r.json"], "curves": True},
            b'{"config": {"batch_size": 1, "acc_steps": 1, "world_size": 1, "sequence_length": 1, "iterations": 1, '
            b'"dataset": "d", "lr": 1}, "summary": {"parameters": 1, "final-val/loss": 2}}', "lacks",
        ),
    ],
)  # fmt: skip
def test_files_that_are_not_what_they_should_be(read, name, options, content, said, tmp_path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReadError, match=said):
        read(lambda file: tmp_path / file, options)

# SPDX-License-Identifier: Apache-2.0
"""The choice of the law from nothing but the runs: does the pool predict, are its bands honest, what is refused?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, LawError, RefusedError
from forescale.fitting.point import point
from forescale.judge._secondary import folds
from forescale.laws import find

FEW = ["overtraining", "kaplan"]
"""Laws with three candidates: quick."""


def curve(column: str, loss: Any, low: float, high: float, rows: int = 16, seed: int = 0) -> dict[str, np.ndarray]:
    """A table of one variable, with noise of .3 %."""
    x = np.geomspace(low, high, rows)
    return {column: x, "loss": loss(x) * np.exp(0.003 * np.random.default_rng(seed).standard_normal(rows))}


def smooth(C: np.ndarray) -> np.ndarray:
    return 1.8 + 900 * C**-0.15


def broken(C: np.ndarray) -> np.ndarray:
    """Falls as C^-.03 up to 1e19, and as C^-.12 from there on."""
    return 4.0 * (C / 1e19) ** -0.03 * (1 + (C / 1e19) ** 2) ** (-0.09 / 2)


@pytest.fixture(scope="module")
def clean() -> fs.Stack:
    return fs.fit(curve("C", smooth, 1e17, 1e21))


# -- what it predicts -----------------------------------------------------------------------------------------------


def test_ten_times_beyond_within_the_bands(columns: Mapping[str, np.ndarray]) -> None:
    C = 6 * columns["N"] * columns["D"]
    small = C.max() / 10 >= C
    stack = fs.select({k: v[small] for k, v in columns.items()}, laws=["chinchilla", "overtraining"])
    law = find("chinchilla")
    truth = law(law.constants("besiroglu2024"), N=columns["N"], D=columns["D"])
    said = stack.predict({k: columns[k] for k in ("N", "D")})
    far = ~small
    assert said.distance[far].max() == pytest.approx(10, rel=0.6)
    assert np.abs(said.estimate[far] / truth[far] - 1).max() < 0.01
    assert np.all((said.confidence.lower[far] < truth[far]) & (truth[far] < said.confidence.upper[far]))
    came = columns["loss"][far]
    assert np.all((said.prediction.lower[far] < came) & (came < said.prediction.upper[far]))
    # wider than inside the range, and not so wide that they say nothing
    width = np.log(said.prediction.upper / said.prediction.lower)
    assert np.median(width[small]) < width[far].max() < 0.2


def test_a_curve_in_compute(clean: fs.Stack) -> None:
    assert clean.inputs == ("C",)
    assert clean.variable == "C"
    said = clean.predict(C="1e22")
    assert said.distance[0] == pytest.approx(10)
    assert said.prediction.lower[0] < smooth(np.array(1e22)) < said.prediction.upper[0]
    assert abs(said.estimate[0] / smooth(np.array(1e22)) - 1) < 0.02


def test_a_curve_in_data() -> None:
    table = curve("D", lambda D: 1.8 + 400 * D**-0.35, 1e8, 1e11, rows=12)
    stack = fs.select(table, laws=["power", "power-floor"])
    assert stack.inputs == ("D",)
    assert {m.fit.law.inputs for m in stack.members} == {("D",)}
    assert stack.predict(D="1T").estimate[0] == pytest.approx(1.8 + 400 * 1e12**-0.35, rel=0.03)


def test_a_break_widens_the_bands(clean: fs.Stack) -> None:
    stack = fs.fit(curve("C", broken, 1e17, 1e21))

    def width(s: fs.Stack) -> float:
        p = s.predict(C=1e22).prediction
        return float(np.log(p.upper[0] / p.lower[0]))

    assert width(stack) > 1.5 * width(clean)
    band = stack.predict(C=1e22).prediction
    assert band.lower[0] < broken(np.array(1e22)) < band.upper[0]
    assert stack.verdict is not None
    assert stack.verdict.level != "green"


# -- the protocol ---------------------------------------------------------------------------------------------------


def test_scores_weights_and_rolling_predictions_belong_together(clean: fs.Stack) -> None:
    s, r = clean.scores, clean.rolling
    assert sum(m.weight for m in clean.members) == pytest.approx(1)
    assert s["weight"].sum() == pytest.approx(1)
    scored = s["score"][np.isfinite(s["score"])]
    assert np.all(np.diff(scored) >= 0), "best first"
    assert np.isfinite(s["score"][s["weight"] > 0]).all()
    assert [m.weight for m in clean.members] == sorted((m.weight for m in clean.members), reverse=True)
    assert set(r) >= {"cut", "distance", "observed", "estimate", "lower", "upper"}
    assert np.all(r["distance"] > 1)
    assert np.all((r["lower"] < r["estimate"]) & (r["estimate"] < r["upper"]))
    whole = fs.load(curve("C", smooth, 1e17, 1e21))
    assert set(r["observed"]) <= set(whole["loss"])
    for loss, size in zip(r["observed"], r["cut"] * r["distance"]):
        assert whole["loss"][np.argmin(np.abs(np.log(whole["C"] / size)))] == loss


def test_the_same_again_and_in_any_order(columns: Mapping[str, np.ndarray]) -> None:
    first, again = (fs.select(columns, laws=FEW) for _ in range(2))
    assert first.to_json() == again.to_json()
    mixed = np.random.default_rng(5).permutation(36)
    other = fs.select({k: v[mixed] for k, v in columns.items()}, laws=FEW)
    assert [m.weight for m in other.members] == pytest.approx([m.weight for m in first.members], rel=1e-4)
    here, there = (s.predict(N=7e10, D=1.4e12) for s in (first, other))
    assert there.estimate == pytest.approx(here.estimate, rel=1e-6)
    assert there.prediction.upper == pytest.approx(here.prediction.upper, rel=1e-4)


def test_only_these_laws(columns: Mapping[str, np.ndarray]) -> None:
    stack = fs.select(columns, laws=[fs.law("E + A*N**-a + B*D**-b")])
    assert len(stack.members) == 1
    assert stack.members[0].weight == 1
    assert stack.best.params["E"] == pytest.approx(1.82, abs=0.05)


# -- secondary columns ----------------------------------------------------------------------------------------------


def test_leave_group_out_is_what_it_says() -> None:
    table = curve("C", smooth, 1e17, 1e21, rows=8)
    plain = fs.select(table, laws=["power"])
    assert np.isnan(plain.scores["leave_out"]).all()
    stack = fs.select(table, laws=["power"], secondary=True)
    listed = dict(zip(stack.scores["candidate"].tolist(), stack.scores["leave_out"].tolist()))
    assert all(np.isnan(v) == ("all rows" not in name) for name, v in listed.items())
    # by hand, where the candidate is fitted to all rows
    stack = fs.select(table, laws=[fs.law("A*C**-a")], secondary=True)
    runs, errors = fs.load(table), []
    law = fs.law("A*C**-a")
    for i in range(8):
        rest = np.arange(8) != i
        found = point(runs.where(rest), law)
        errors.append(np.log(runs["loss"][i] / law(found, C=runs["C"][i])))
    by_hand = np.sqrt(np.mean(np.square(errors)))
    assert stack.scores["leave_out"][0] == pytest.approx(by_hand, rel=1e-6)
    assert stack.scores["score"][0] == fs.select(table, laws=[law]).scores["score"][0], "it chooses nothing"


def test_groups_that_are_left_out() -> None:
    def runs(**columns: Any) -> fs.Runs:
        return fs.Runs.from_columns(columns)

    N = np.repeat(np.geomspace(1e7, 1e9, 20), 2)
    table = runs(N=N, D=np.full(40, 1e9), loss=np.full(40, 3.0))
    groups = folds(table, table["N"], "N")
    assert groups is not None
    assert len(np.unique(groups)) == 8
    assert all(len(np.unique(groups[level == N])) == 1 for level in N)
    assert np.all(np.diff(groups[np.argsort(N)]) >= 0), "neighbours together"
    # checkpoints: whole runs
    names = np.repeat(["a", "b", "c", "d", "e"], 8)
    D = np.tile(np.geomspace(1e8, 1e9, 8), 5)
    table = runs(run=names, N=np.repeat([1e7, 3e7, 1e8, 3e8, 1e8], 8), D=D, loss=np.full(40, 3.0))
    groups = folds(table, table["N"] * D, "N")
    assert groups is not None
    assert len(np.unique(groups)) == 5
    assert all(len(np.unique(groups[names == name])) == 1 for name in names)
    few = runs(N=[1e7, 1e7, 1e8, 1e8], D=[1e9] * 4, loss=[3.0] * 4)
    assert folds(few, few["N"], "N") is None


# -- what is refused ------------------------------------------------------------------------------------------------


def test_refusals_say_what_is_missing(columns: Mapping[str, np.ndarray]) -> None:
    same = {"N": [1e8] * 8, "D": [2e9] * 8, "loss": np.linspace(3.0, 3.1, 8)}
    with pytest.raises(LawError, match="several sizes"):
        fs.fit(same)
    with pytest.raises((RefusedError, DataError), match="more rows"):
        fs.fit({k: v[:2] for k, v in columns.items()})
    holes = {**columns, "loss": np.where(np.arange(36) == 3, np.nan, columns["loss"])}
    with pytest.raises(DataError, match="row 4"):
        fs.fit(holes)
    with pytest.raises(LawError, match="did you mean 'chinchilla'"):
        fs.select(columns, laws=["chinchila"])
    with pytest.raises(LawError, match="a law in C"):
        fs.select(curve("C", smooth, 1e17, 1e21), laws=["chinchilla"])
    with pytest.raises(DataError, match="between 0 and 1"):
        fs.select(columns, level=90)
    with pytest.raises(LawError, match="no law to choose from"):
        fs.select(columns, laws=[])


def test_a_table_without_cuts_is_red() -> None:
    stack = fs.fit(curve("C", smooth, 1e20, 1e21, rows=6))
    assert stack.width.cuts == 0
    assert stack.verdict is not None
    assert stack.verdict.level == "red"
    assert "Untested" in stack.verdict.headline
    assert "too small" in stack.why[0]

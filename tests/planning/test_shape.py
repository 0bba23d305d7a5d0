# SPDX-License-Identifier: Apache-2.0
"""Width and depth (McLeish et al. 2025): the closed form, searches in two variables, the price of a wrong shape."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from forescale.core.errors import InputError, QuantityError, QueryError, RefusedError
from forescale.costs.shapes import family_width
from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.laws import find
from forescale.laws.gemstones import best_width
from forescale.planning import shape
from forescale.planning._plan import Plan
from forescale.planning._run import plan
from forescale.runs.datasets import dataset
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

LAW = find("gemstones")
P = LAW.constants("mcleish2025-optimum")
TERMS = {name: P[name] for name in ("A", "alpha", "B", "beta")}


def ask(*given: Any, **query: Any) -> Plan:
    return plan("shape", *given, **{"budget": 1e21, **query})


def loss(width: float, depth: float, C: float, block: float = 15.0, matrices: float = 2 * 50_304) -> float:
    N = block * width**2 * depth + matrices * width
    return float(LAW(P, width=width, depth=depth, N=N, D=C / (6 * N)))


class TestShape(PlannerCase):
    planners = (shape.planner,)
    ladders: ClassVar = {
        "shape": Ladder("budget", (1e19, 1e20, 1e21, 1e22), rising=("width", "depth", "aspect", "N", "D"))
    }
    scaled: ClassVar = {"budget": "FLOP"}
    conflicts: ClassVar = {
        "shape": [
            {"least_aspect": 100, "most_aspect": 10},
            {"budget": "1e21 FLOP", "mfu": 0.4},
            {"params": 1e30, "budget": "1e21 FLOP"},
            {"params": 100, "vocab": 50_304},
        ]
    }


class TestHeld(PlannerCase):
    """With a width / depth that is settled."""

    planners = (replace(shape.planner, example={"budget": "1e21 FLOP", "aspect": 128}),)
    ladders: ClassVar = {"shape": Ladder("aspect", (64, 128, 256), rising=("held", "width"), falling=("depth",))}


# --------------------------------------------------------------------------------------- searches and closed forms


@pytest.mark.parametrize("source", sorted(LAW.published))
@pytest.mark.parametrize("N", [1e8, 1e9, 1e11])
def test_the_best_width_of_a_size(source: str, N: float) -> None:
    """Without a vocabulary the closed form, with one Newton's steps: both where a search finds the least loss."""
    p = LAW.constants(source)
    some = {name: p[name] for name in ("A", "alpha", "B", "beta")}
    for matrices in (0.0, 32_000.0, 2 * 50_304.0):

        def of(t: float, m: float = matrices) -> float:
            width = math.exp(t)
            depth = (N - m * width) / (15 * width**2)
            return p["A"] * width ** -p["alpha"] + p["B"] * depth ** -p["beta"] if depth > 0 else 1e9

        top = math.log(N / matrices) if matrices else math.log(1e6)
        found = float(best_width(N, **some, block=15.0, matrices=matrices))
        near = minimize_scalar(of, bounds=(math.log(20), top), method="bounded", options={"xatol": 1e-11})
        assert found == pytest.approx(math.exp(near.x), rel=1e-5)  # as well as values tell a flat minimum
        # its slope vanishes: the distance from the zero, one Newton step of central differences
        h, t = 1e-3, math.log(found)
        up, here, down = of(t + h), of(t), of(t - h)
        assert abs((up - down) / 2 * h / (up - 2 * here + down)) < 1e-6


def test_newton_goes_on_from_the_closed_form() -> None:
    """A vanishing vocabulary changes nothing; arrays of draws are solved at once; NaN stays NaN."""
    N = np.geomspace(1e7, 1e12, 30)[None, :]
    draws = {name: np.array([[v], [1.1 * v], [math.nan]]) for name, v in TERMS.items()}
    closed = best_width(N, **draws, block=15.0)
    np.testing.assert_allclose(best_width(N, **draws, block=15.0, matrices=1e-6)[:2], closed[:2], rtol=1e-9)
    full = best_width(N, **draws, block=15.0, matrices=1e5)
    assert np.isnan(full[2]).all()
    assert (full[:2] < N / 1e5).all()


def test_widths_of_a_family() -> None:
    for matrices in (0.0, 5e4):
        width = family_width(np.array([1e8, 1e9]), np.array([[20.0], [200.0]]), block=15.0, matrices=matrices)
        depth = width / np.array([[20.0], [200.0]])
        np.testing.assert_allclose(15 * width**2 * depth + matrices * width, np.array([[1e8, 1e9]] * 2), rtol=1e-12)


@pytest.mark.parametrize("C", [1e19, 1e21])
def test_width_and_depth_are_best_together(C: float) -> None:
    """Against a search in two variables at once: the shape is stationary to 1e-6 by Newton's step there."""
    found = ask(budget=C)
    start = [math.log(found["width"].value), math.log(found["depth"].value)]
    other = minimize(
        lambda x: loss(math.exp(x[0]), math.exp(x[1]), C), [start[0] + 0.5, start[1] - 0.5], method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 4000},
    )  # fmt: skip
    assert other.fun == pytest.approx(found.expected["loss"].value, rel=1e-12)
    np.testing.assert_allclose(other.x, start, atol=2e-5)  # a flat minimum, by values alone
    h = 2e-3

    def at(i: float, j: float) -> float:
        return loss(math.exp(start[0] + i * h), math.exp(start[1] + j * h), C)

    slope = np.array([(at(1, 0) - at(-1, 0)) / (2 * h), (at(0, 1) - at(0, -1)) / (2 * h)])
    # Five points: the error of the slope goes as h^4.
    slope = (8 * slope * 2 * h - np.array([at(2, 0) - at(-2, 0), at(0, 2) - at(0, -2)])) / (12 * h)
    cross = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * h * h)
    bend = np.array(
        [[at(1, 0) - 2 * at(0, 0) + at(-1, 0), cross * h * h], [cross * h * h, at(0, 1) - 2 * at(0, 0) + at(0, -1)]]
    ) / (h * h)
    assert np.abs(np.linalg.solve(bend, slope)).max() < 1e-6
    spent = 6 * found["N"].value * found["D"].value
    assert spent == pytest.approx(C, rel=1e-12)


def test_growth_without_a_vocabulary() -> None:
    """Width goes as N^a with a = beta / (alpha + 2 beta): at the constants .41, depth as the rest."""
    found = ask()["growth"].value
    assert found == pytest.approx(P["beta"] / (P["alpha"] + 2 * P["beta"]), rel=1e-12)
    few, many = (ask(params=n, vocab=0, budget=6 * n * 20 * n)["width"].value for n in (1e9, 1e11))
    assert math.log(many / few) / math.log(100) == pytest.approx(found, rel=1e-9)


def test_the_study_finds_the_same_aspect() -> None:
    """Best width / depth at 1B parameters with 12 width^2 depth: the study's grid, per table of the authors."""
    for source in LAW.published:
        p = LAW.constants(source)
        width = np.geomspace(400.0, 5000.0, 4001)
        depth = 1e9 / (12 * width**2)
        across = LAW(p, width=width, depth=depth, N=1e9, D=1e11)
        grid = (width / depth)[np.argmin(across)]
        found = ask(published(f"gemstones:{source}"), params="1B", budget=6e20, vocab=0, block=12)
        assert found["aspect"].value == pytest.approx(grid, rel=3e-3)
        assert 20 < found["aspect"].value < 45


# ------------------------------------------------------------------------------------------------- a wrong shape


def test_the_price_of_a_wrong_shape() -> None:
    """Extra compute, at the same tokens per parameter, for the loss of the best shape."""
    found = ask()
    N, D, C = (found[name].value for name in ("N", "D", "C"))
    best = found.expected["loss"].value
    for row in found.table("sensitivity").records():
        more = 1 + float(row["make up"] or 0) / 100
        n = N * math.sqrt(more)
        width = float(family_width(n, float(row["width/depth"] or 0), block=15.0, matrices=2 * 50_304))
        depth = (n - 2 * 50_304 * width) / (15 * width**2)
        there = float(LAW(P, width=width, depth=depth, N=n, D=D * math.sqrt(more)))
        assert there == pytest.approx(best, rel=1e-9)
    extra = dict(zip(found.table("sensitivity").column("of plan"), found.table("sensitivity").column("make up")))
    assert extra[1.0] == pytest.approx(0.0, abs=1e-6)
    assert found["wrong"].value == pytest.approx(max(float(extra[4.0] or 0), float(extra[0.25] or 0)), rel=1e-6)
    assert C == 1e21


def test_a_settled_aspect() -> None:
    held = ask(aspect=16)
    assert held["aspect"].value == pytest.approx(16)
    assert held["best_aspect"].value == pytest.approx(ask()["aspect"].value)
    assert held["held"].value > 0
    assert held.binding == "aspect = 16"
    assert held.expected["loss"].value > ask().expected["loss"].value
    same = ask(aspect=ask()["aspect"].value)
    assert same["held"].value == pytest.approx(0.0, abs=1e-6)


def test_the_window_binds() -> None:
    found = ask(most_aspect=30)
    assert found["aspect"].value == pytest.approx(30)
    assert found.binding == "most_aspect = 30"
    assert ask(least_aspect=90)["aspect"].value == pytest.approx(90)


def test_shapes_that_can_be_built() -> None:
    found = ask().table("alternatives")
    for row in found.records():
        width, depth = float(row["width"] or 0), float(row["depth"] or 0)
        assert width % 128 == 0
        assert depth == int(depth)
        assert row["loss"] == pytest.approx(loss(width, depth, 1e21), rel=1e-12)
        assert row["loss +"] > -1e-12
    assert list(found.column("loss")) == sorted(found.column("loss"))


# --------------------------------------------------------------------------------------------------------- trouble


def test_ever_fewer_tokens_are_refused() -> None:
    """By these constants N grows as C^.7: at 1e23 FLOP the law wants less than a token per parameter."""
    with pytest.raises(RefusedError, match=r"towards larger models.*params=28\.9B"):
        ask(budget=1e23)
    empty = ask(budget=1e21).table("budgets")
    assert empty.rows[-1][1] is None or math.isnan(float(empty.rows[-1][1]))
    assert "no best size" in empty.note
    assert ask(budget=1e19).table("budgets").note == ""
    assert ask(budget=1e23, params="30B")["N"].value == 30e9
    assert "ratio" in {w.code for w in ask(budget=1e22).warnings}
    assert "ratio" not in {w.code for w in ask(budget=1e20).warnings}


def test_unusual_shapes_are_said() -> None:
    assert "aspect" in {w.code for w in ask(aspect=1000).warnings}
    assert "shallow" in {w.code for w in ask(budget=1e15, aspect=300).warnings}
    none = ask(params="4B", aspect=1e8)
    assert {w.level for w in none.warnings if w.code == "shallow"} == {"red"}
    assert "endlessly more compute" in none.headline


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ({"budget": -1}, QuantityError, "budget"),
        ({"budget": math.nan}, QuantityError, "budget"),
        ({"params": "7B tokens"}, QuantityError, "tokens"),
        ({"aspect": 0}, QueryError, "aspect"),
        ({"block": -1}, QueryError, "block"),
        ({"vocab": -1}, QueryError, "vocab"),
    ],
)
def test_bad_questions(query: dict[str, Any], error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        ask(**query)


@mirrored
def test_from_the_released_runs() -> None:
    """A fit of the 770 rows decides as our stored optimum does, with intervals; blocks hold about 15 width^2."""
    runs = dataset("gemstones")
    inner = (runs["N"] - 2 * 50_304 * runs["width"]) / (runs["width"] ** 2 * runs["depth"])
    assert np.median(inner) == pytest.approx(15.0, abs=0.01)
    np.testing.assert_allclose(inner, 15.0, rtol=0.023)
    found = ask(fit(runs, LAW, loss="log-huber:0.0001"), budget=1e20)
    assert found["width"].value == pytest.approx(ask(budget=1e20)["width"].value, rel=1e-3)
    assert found["aspect"].lower is not None

# SPDX-License-Identifier: Apache-2.0
"""The plan on limited unique data: published numbers, closed forms, prices, versions of the corpus, trouble."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, ForescaleError, QueryError, RefusedError
from forescale.core.frozen import Frozen
from forescale.fitting.surface import Surface
from forescale.laws import Law, as_law, find
from forescale.numerics.optimum import minimise
from forescale.planning import limited_data
from forescale.planning._limited import Repeated, Version
from forescale.planning._parts import grounds
from forescale.planning._plan import Basis, Grounds, Plan
from forescale.planning._run import read
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

LAW = find("data-constrained")
PAPER = LAW.constants("muennighoff2023")
PUBLISHED = Repeated(*(np.array([PAPER[name]]) for name in Repeated.__annotations__))


def ask(*given: Any, **query: Any) -> Plan:
    planner = limited_data.planner
    return planner.answer(grounds(planner, given, draws=200), read(planner, query))


def corpora(**columns: Any) -> Runs:
    numbers = {name: np.asarray(columns[name], dtype=np.float64) for name in ("D_unique", "quality")}
    return Runs.from_columns({**numbers, "group": columns.get("names", ["a", "b", "c"][: len(numbers["quality"])])})


class TestLimitedData(PlannerCase):
    planners = (limited_data.planner,)
    ladders: ClassVar = {
        "limited-data": Ladder(
            "budget", ("1e21 FLOP", "1e22 FLOP", "1e23 FLOP"), rising=("N", "D", "epochs", "compute_lost")
        )
    }
    conflicts: ClassVar = {
        "limited-data": (
            {"budget": "1e24 FLOP", "max_params": "1B", "max_passes": 2},
            {"params": "9B", "max_params": "7B"},
            {"budget": "1e24 FLOP", "params": "1B", "max_passes": 2},
        )
    }


# ---------------------------------------------------------------------------------------------- published numbers


def test_published_allocation() -> None:
    """specs/pretraining 17.2, r3: 1e22 FLOP on 25B tokens: D = 2.37337e11, 9.4935 passes, N = 7.0224e9, to 1e-3."""
    plan = ask(budget="1e22 FLOP", unique="25B")
    assert plan["D"].value == pytest.approx(2.37337e11, rel=1e-3)
    assert plan["epochs"].value == pytest.approx(9.4935, rel=1e-3)
    assert plan["N"].value == pytest.approx(7.0224e9, rel=1e-3)


def test_published_losses() -> None:
    """r2: the law at the paper's two plans for 25B unique tokens."""
    assert PUBLISHED.loss(6.34e9, 242e9, 25e9)[0] == pytest.approx(2.2256440889984477, abs=1e-9)
    assert PUBLISHED.loss(8.67e9, 178e9, 25e9)[0] == pytest.approx(2.2269634075087867, abs=1e-9)


def test_published_worth_of_passes() -> None:
    """r4 and the section's checks: D'/D at 2 ... 100 passes, and what endless passes are worth."""
    table = ask(budget="1e22 FLOP", unique="25B").table("passes")
    found = dict(zip(table.column("passes"), table.column("D'/D")))
    for passes, share in {2: 0.9841, 4: 0.93142, 8: 0.8280, 16: 0.66140, 40: 0.3792, 100: 0.1636}.items():
        assert found[passes] == pytest.approx(share, abs=5e-5)
    assert "16.39" in table.note  # 1 + R_D: limit 16.388


def test_published_ratio_of_fresh_data() -> None:
    """17.2: G = .225802, and 19.61 tokens per parameter where no token repeats."""
    plan = ask(budget="1e22 FLOP", unique="25T")
    assert plan["D/N"].value == pytest.approx(19.61, abs=0.005)
    assert math.sqrt(plan["N"].value / plan["D"].value) == pytest.approx(0.225802, abs=5e-7)


# ------------------------------------------------------------------------------------------------------ mathematics


@pytest.mark.parametrize("C", [1e19, 1e21, 1e22, 1e24])
@pytest.mark.parametrize("U", [1e8, 2.5e10, 1e12])
def test_balance_is_the_numerical_optimum(C: float, U: float) -> None:
    """The balance of the two pulls is the minimum of the law itself along 6ND = C, to 1e-6."""
    N, D = PUBLISHED.allocated(C, U)
    searched = minimise(lambda n: np.asarray(LAW(PAPER, N=n, D=C / (6 * n), D_unique=U)), N / 30, N * 30, points=400)
    # A search sees places apart only where the loss bends more than rounding; and where nothing repeats the law has a
    # jump in its curvature at the optimum, at which it is good to 1e-4.
    if searched.curvature[0] > 1e-6:
        assert searched.x[0] == pytest.approx(N[0], rel=1e-6 if D[0] > U else 1e-4)
    assert float(PUBLISHED.loss(N, D, U)[0]) <= searched.value[0] * (1 + 1e-12)
    assert 6 * N[0] * D[0] == pytest.approx(C, rel=1e-12)


def test_balance_for_many_constants() -> None:
    """The same for constants drawn far apart, unequal exponents, from R = .3 to 100."""
    rng = np.random.default_rng(5)
    B = 300
    drawn = Repeated(
        rng.uniform(0.5, 2, B), np.exp(rng.uniform(4, 8, B)), rng.uniform(0.2, 0.6, B), np.exp(rng.uniform(4, 8, B)),
        rng.uniform(0.2, 0.6, B), np.exp(rng.uniform(-1, 4.6, B)), np.exp(rng.uniform(-1, 4.6, B)),
    )  # fmt: skip
    U = 0.1 * drawn.fresh(1e22)[1]
    N, D = drawn.allocated(1e22, U)
    searched = minimise(
        lambda n: drawn.loss(n, 1e22 / (6 * n), np.broadcast_to(U[:, None], n.shape)), N / 30, N * 30, points=200
    )
    assert np.isfinite(N).all()
    assert (D > U).all()
    bent = searched.curvature > 1e-4
    assert bent.mean() > 0.8
    np.testing.assert_allclose(searched.x[bent], N[bent], rtol=1e-6)
    assert (drawn.loss(N, D, U) <= searched.value * (1 + 1e-12)).all()


def test_unlimited_data_is_compute_optimal_exactly() -> None:
    """With more unique tokens than are wanted: the closed form of chinchilla, to the last digit."""
    C = 1e22
    best = find("chinchilla").optimum(C, **{k: PAPER[k] for k in ("E", "A", "alpha", "B", "beta")})
    plan = ask(budget=C, unique="25T")
    assert plan["N"].value == best["N"]
    assert plan["D"].value == best["D"]
    assert plan["compute_lost"].value == 0.0
    assert plan["token_price"].value == 0.0
    assert plan.binding == "the budget"


def test_size_and_budget_are_inverse() -> None:
    """The tokens for which a size is best belong to the budget that this size is best for."""
    by_budget = ask(budget="1e22 FLOP", unique="25B")
    by_size = ask(params=by_budget["N"].value, unique="25B")
    assert by_size["D"].value == pytest.approx(by_budget["D"].value, rel=1e-9)
    assert by_size["C"].value == pytest.approx(1e22, rel=1e-9)
    assert by_size["token_price"].value == pytest.approx(by_budget["token_price"].value, rel=1e-6)
    fresh = ask(params="1B", unique="25T")
    assert fresh["D/N"].value == pytest.approx(19.61, abs=0.005)


def test_price_of_a_token_is_the_slope() -> None:
    """d log C at equal loss for d log U, against plans with 1 % more data or more compute."""
    plan = ask(budget="1e22 FLOP", unique="25B")
    more = float(PUBLISHED.best(1e22, 25e9 * 1.01)[0])
    C = 1e22 + plan["token_price"].value * 25e9 * 0.01
    assert float(PUBLISHED.best(C, 25e9)[0]) == pytest.approx(more, abs=2e-5 * more)
    assert float(PUBLISHED.best(1e22, 25e9)[0]) - more > 1e-4


def test_half_life_and_useful_passes() -> None:
    """A pass loses a factor exp(-1 / R_D): 1/2 after R_D ln 2 = 10.67, a tenth after 1 + R_D ln 10 = 36.4."""
    plan = ask(budget="1e22 FLOP", unique="25B")
    assert plan["half_life"].value == pytest.approx(15.387756 * math.log(2), rel=1e-12)
    assert plan["useful_passes"].value == pytest.approx(1 + 15.387756 * math.log(10), rel=1e-12)
    assert not any(w.code == "useless-passes" for w in plan.warnings)
    tired = ask(budget="1e25 FLOP", unique="1B")
    assert any(w.code == "useless-passes" for w in tired.warnings)


def test_compute_lost_is_the_inverse_of_the_fresh_frontier() -> None:
    """An optimal run on fresh data with 1 - lost of the budget has the same loss."""
    plan = ask(budget="1e22 FLOP", unique="25B")
    kept = 1e22 * (1 - plan["compute_lost"].value / 100)
    N, D = PUBLISHED.fresh(kept)
    assert PUBLISHED.loss(N, D, np.inf)[0] == pytest.approx(plan.expected["loss"].value, rel=1e-12)


# ----------------------------------------------------------------------------------------------------------- limits


def test_limits_bind() -> None:
    """max_passes and max_params move the plan to their edge, say so, and cost loss."""
    free = ask(budget="1e22 FLOP", unique="25B")
    passes = ask(budget="1e22 FLOP", unique="25B", max_passes=4)
    assert passes["epochs"].value == pytest.approx(4, rel=1e-12)
    assert "max_passes" in passes.binding
    size = ask(budget="1e22 FLOP", unique="25B", max_params="3B")
    assert size["N"].value == 3e9
    assert "max_params" in size.binding
    for held in (passes, size):
        assert held.expected["loss"].value > free.expected["loss"].value
    slack = ask(budget="1e22 FLOP", unique="25B", max_passes=40, max_params="20B")
    assert slack["N"].value == free["N"].value


def test_size_held_at_a_budget() -> None:
    plan = ask(budget="1e22 FLOP", unique="25B", params="8.67B")
    assert plan["D"].value == pytest.approx(1e22 / 6 / 8.67e9, rel=1e-12)
    assert "params" in plan.binding
    assert ask(params="8B", unique="25B", max_passes=3)["epochs"].value == pytest.approx(3)


def test_band_of_harm() -> None:
    """Passes beyond Hernandez' left edge (43.4 at 8e8 parameters) are warned of; fewer are not."""
    assert any(w.code == "repetition-band" for w in ask(params="800M", budget=6 * 8e8 * 44e9, unique="1B").warnings)
    assert not any(
        w.code == "repetition-band" for w in ask(params="800M", budget=6 * 8e8 * 43e9, unique="1B").warnings
    )


# ------------------------------------------------------------------------------------------- versions of the corpus


def test_filter_or_repeat_depends_on_the_budget() -> None:
    """A better and smaller corpus wins while it is not read too often; a larger one wins later."""
    table = corpora(D_unique=[10e9, 100e9], quality=[1.6, 1.0], names=["filtered", "raw"])
    small, large = ask(table, budget="1e20 FLOP"), ask(table, budget="1e24 FLOP")
    assert "filtered" in small.headline
    assert "raw" in large.headline
    assert small["epochs"].value == pytest.approx(small["D"].value / 10e9)
    rows = [r for r in large.table("versions").records() if math.isclose(float(r["C"] or 0), 1e24)]
    assert {r["version"]: r["choice"] for r in rows} == {"filtered": "", "raw": "best"}


def test_quality_is_a_change_of_units() -> None:
    """Tokens worth q of the reference: the law at q times the tokens, read and unique."""
    law = PUBLISHED.on(Version("x", 1e10, 2.0))
    assert law.loss(1e9, 4e10, 1e10)[0] == pytest.approx(PUBLISHED.loss(1e9, 8e10, 2e10)[0], rel=1e-12)
    alone = ask(corpora(D_unique=[25e9], quality=[1.0]), budget="1e22 FLOP")
    assert alone["N"].value == ask(budget="1e22 FLOP", unique="25B")["N"].value


@pytest.mark.parametrize(
    ("columns", "query", "error"),
    [
        ({"D_unique": [1e9, 2e9], "quality": [1.0, 1.0], "names": ["a", "a"]}, {}, DataError),
        ({"D_unique": [1e9, 2e9], "quality": [1.0, np.nan]}, {}, DataError),
        ({"D_unique": [1e9], "quality": [1.0]}, {"unique": "5B"}, QueryError),
    ],
)
def test_bad_versions(columns: dict[str, Any], query: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(corpora(**columns), budget="1e22 FLOP", **query)


@pytest.mark.parametrize(
    "query",
    [
        {"unique": "25B"},
        {"budget": "1e22 FLOP"},
        {"budget": "1e22 FLOP", "unique": "0"},
        {"budget": "-1e22 FLOP", "unique": "1B"},
        {"budget": "1e22 FLOP", "unique": "25B", "max_passes": 0.5},
        {"budget": "1e22 FLOP", "unique": "25B", "least_worth": 1.0},
    ],
)
def test_bad_questions(query: dict[str, Any]) -> None:
    with pytest.raises(ForescaleError):
        ask(**query)


# --------------------------------------------------------------------------------------------- laws derived from it


@pytest.mark.parametrize(
    "law", [LAW.tie(beta="alpha"), LAW.fix(R_N=5.0), LAW.fix(R_N=5.0).tie(beta="alpha"), LAW.fix(**PAPER)]
)
def test_fixed_and_tied_laws(law: Law) -> None:
    """The same numbers as the law with all its parameters free has there: the paper itself ties beta to alpha."""
    full = dict(PAPER) if "R_N" in law.params or not law.params else {**PAPER, "R_N": 5.0}
    where = Grounds(Frozen({"loss": Basis(Surface(law, Frozen({n: np.array([[full[n]]]) for n in law.params})))}))
    free = Grounds(Frozen({"loss": Basis(Surface(LAW, Frozen({n: np.array([[v]]) for n, v in full.items()})))}))
    query = read(limited_data.planner, {"budget": "1e22 FLOP", "unique": "25B"})
    held, plan = (limited_data.planner.answer(g, query) for g in (where, free))
    for name in plan.decision:
        assert held[name].value == plan[name].value
    assert held.expected["loss"].value == pytest.approx(plan.expected["loss"].value, rel=1e-12)


def test_a_tied_law_through_the_facade(tmp_path: Path) -> None:
    """Fitted, saved, opened, planned on: with an interval."""
    N, D, U = (a.ravel() for a in np.meshgrid([1e8, 1e9, 8e9], [1e10, 5e10, 2e11], [5e9, 2e10, 1e11], indexing="ij"))
    noise = 0.002 * np.random.default_rng(1).standard_normal(N.size)
    loss = LAW(PAPER, N=N, D=D, D_unique=U) * np.exp(noise)
    fit = fs.fit(Runs.from_columns({"N": N, "D": D, "D_unique": U, "loss": loss}), law=LAW.tie(beta="alpha"))
    fit.save(tmp_path / "tied.json")
    plan = fs.plan("limited-data", fs.open(tmp_path / "tied.json"), budget="1e22 FLOP", unique="25B")
    truth = ask(budget="1e22 FLOP", unique="25B")["N"].value
    assert plan["N"].lower is not None
    assert plan["N"].lower < truth < (plan["N"].upper or 0)


def test_other_laws_are_refused() -> None:
    law = as_law("E + A*N**-a + B*D**-b + G*D_unique**-g")
    surface = Surface(law, Frozen({name: np.array([[1.0]]) for name in law.params}))
    with pytest.raises(RefusedError, match="fixed or tied"):
        limited_data.planner.answer(
            Grounds(Frozen({"loss": Basis(surface)})),
            read(limited_data.planner, {"budget": "1e22 FLOP", "unique": "25B"}),
        )


# -------------------------------------------------------------------------------------------------------- headlines


def test_headlines_name_what_loses_compute() -> None:
    """A limit that holds the plan loses compute too; one pass that is all that is allowed does bind."""
    assert "lost to repetition;" in ask(budget="1e22 FLOP", unique="25B").headline
    assert "repetition and max_params = 1B" in ask(budget="1e22 FLOP", unique="25B", max_params="1B").headline
    once = ask(budget="1e21 FLOP", unique="5B", max_passes=1)
    assert "lost to max_passes = 1;" in once.headline
    assert once["token_price"].value > 0
    assert "do not bind" in ask(budget="1e20 FLOP", unique="1000B", params="7B").headline
    endless = ask(budget="1e25 FLOP", unique="1B").headline
    assert "hardly any compute" in endless
    assert "inf" not in endless

# SPDX-License-Identifier: Apache-2.0
"""The best mixture: closed forms, certificates, bounds, regressions on runs, mixtures that are given, trouble."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import forescale as fs
from forescale.core.errors import DataError, ForescaleError, QueryError, RefusedError
from forescale.core.frozen import Frozen
from forescale.fitting.estimators import regmix
from forescale.fitting.surface import Surface
from forescale.laws import Law, as_law
from forescale.planning import mixture
from forescale.planning._mixtures import FAMILIES, OfRuns, of_laws
from forescale.planning._parts import grounds
from forescale.planning._plan import Basis, Grounds, Plan
from forescale.planning._run import read
from forescale.runs.table import Runs
from forescale.testing.planners import PlannerCase

Array = NDArray[np.float64]

DOMAINS = ("weight_a", "weight_b", "weight_c")
EXPONENTIAL = as_law(f"{FAMILIES[0]}({', '.join(DOMAINS)})")
JOINT = as_law(f"{FAMILIES[1]}(N, D, {', '.join(DOMAINS)})")
ADDITIVE = as_law(f"{FAMILIES[2]}(N, D, {', '.join(DOMAINS)})")


def standing(*laws: tuple[Law, dict[str, Any]], rows: int = 1) -> Grounds:
    """Laws with parameters (B,) or numbers, as a fit would bring them."""
    bases = {}
    for i, (law, params) in enumerate(laws):
        values = {k: np.broadcast_to(np.asarray(v, dtype=float), rows).reshape(-1, 1) for k, v in params.items()}
        bases["loss" if i == 0 else f"loss {i + 1}"] = Basis(Surface(law, Frozen(values)))
    return Grounds(Frozen(bases))


def ask(where: Grounds, **query: Any) -> Plan:
    return mixture.planner.answer(where, read(mixture.planner, query))


def runs(n: int = 60, noise: float = 1e-3, seed: int = 0, **more: Any) -> Runs:
    """Random mixtures of three domains; the loss is a law's."""
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.ones(3), n)
    loss = {}
    for name, K in (("x", (0.5, 2.0, 1.0)), ("y", (2.0, 0.5, 1.0))):
        exact = 2.0 + np.exp(w @ np.log(K)) + 0.3 * ((w - 1 / 3) ** 2).sum(axis=1)
        loss[f"loss_{name}"] = exact * np.exp(noise * rng.standard_normal(n))
    columns = {**dict(zip(DOMAINS, w.T)), **loss, "loss": 0.5 * (loss["loss_x"] + loss["loss_y"])}
    return Runs.from_columns({**columns, "mixture": [f"m{i}" for i in range(n)], **more})


class TestMixture(PlannerCase):
    planners = (mixture.planner,)
    grounds: ClassVar = {"mixture": (runs(),)}
    conflicts: ClassVar = {
        "mixture": (
            {"least": "a=0.6, b=0.6"},
            {"least": "a=0.5", "most": "a=0.4"},
            {"most": "a=0.2, b=0.2, c=0.2"},
            {"least": "a=0.5", "available": "a=1B", "tokens": "100B"},
        )
    }


# ---------------------------------------------------------------------------------------------------------- of laws


def test_two_exponentials_balance() -> None:
    """K = (k, 1/k) against (1/k, k), with weights v and 1 - v.

    f = v k^(2p-1) + (1-v) k^(1-2p) is least at (2p - 1) ln k = ln((1-v)/v) / 2.
    """
    law = as_law(f"{FAMILIES[0]}(weight_a, weight_b)")
    k, v = 5.0, 0.7
    plan = ask(
        standing((law, {"c": 1.0, "K_a": k, "K_b": 1 / k}), (law, {"c": 2.0, "K_a": 1 / k, "K_b": k})),
        target=f"1={v}, 2={1 - v}",
    )
    p = 0.5 + math.log((1 - v) / v) / (4 * math.log(k))
    assert plan["a"].value == pytest.approx(100 * p, abs=1e-4)
    # c in all, and twice the geometric mean of the two terms.
    assert plan.expected["loss"].value == pytest.approx(v + 2 * (1 - v) + 2 * math.sqrt(v * (1 - v)), rel=1e-9)


def test_one_exponential_takes_the_best_domain() -> None:
    """The logarithm of the excess is linear in the shares: all of the smallest K, or as much as is allowed."""
    where = standing((EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}))
    assert ask(where)["b"].value == pytest.approx(100.0, abs=1e-4)
    held = ask(where, most="b=0.5, c=0.3")
    assert [held[name].value for name in "abc"] == pytest.approx([20.0, 50.0, 30.0], abs=1e-4)
    assert held.binding == "most b, most c"


def test_additive_shares_by_power() -> None:
    """Equal powers g < 1: sum C_i p_i^g is largest at p_i ~ C_i^(1 / (1 - g)), at every size."""
    C, g = np.array([1.0, 2.0, 3.0]), 0.5
    params = {"E": 1.0, "alpha": 0.3, "beta": 0.3, "A": 400.0, "B": 400.0}
    params |= {f"C_{n}": c for n, c in zip("abc", C)} | {f"gamma_{n}": g for n in "abc"}
    expected = 100 * C**2 / (C**2).sum()
    for params_, tokens in (("1B", "20B"), ("100B", "2T")):
        plan = ask(standing((ADDITIVE, params)), params=params_, tokens=tokens)
        assert [plan[n].value for n in "abc"] == pytest.approx(expected, abs=1e-4)


def test_joint_mixture_changes_with_scale() -> None:
    """A domain with a small penalty for finite data leads at few tokens, one with a low floor at many."""
    params = {"E": 1.0, "alpha": 0.3, "beta": 0.3, **{f"A_{n}": 400.0 for n in "abc"}}
    params |= {"B_a": 100.0, "B_b": 1000.0, "B_c": 1000.0, "C_a": 1.0, "C_b": 2.0, "C_c": 0.5}
    params |= {f"gamma_{n}": 0.5 for n in "abc"}
    few, many = (ask(standing((JOINT, params)), params="1B", tokens=t) for t in ("1B", "1000T"))
    assert few["a"].value > many["a"].value + 10
    assert many["b"].value > 60


@pytest.mark.parametrize("law", [EXPONENTIAL, ADDITIVE, JOINT])
def test_judges_are_the_laws(law: Law) -> None:
    """Values are those of the law; slopes are its differences; the optimum is certified and beats a fine grid."""
    rng = np.random.default_rng(3)
    params = {}
    for name, parameter in law.params.items():
        low, high = parameter.start or (0.5, 2.0)
        params[name] = np.exp(rng.uniform(np.log(low), np.log(high), 4))
    where = standing((law, params), rows=4)
    inputs = {} if law is EXPONENTIAL else {"N": 1e9, "D": 2e10}
    judge, names = of_laws(where.each("loss"), np.ones(1), inputs.get("N"), inputs.get("D"), 4)
    assert names == ("a", "b", "c")
    p = rng.dirichlet(np.ones(3), 4)
    every = np.arange(4)
    value, slope, bend = judge.smooth(p, every)
    np.testing.assert_allclose(judge.loss(p)[every, every], value, rtol=1e-12)
    table = where.laws["loss"].surface.loss(**{n: p[:, j] for j, n in enumerate(DOMAINS)}, **inputs)
    np.testing.assert_allclose(judge.loss(p), table, rtol=1e-12)
    for j in range(3):
        step = 1e-6 * np.eye(3)[j]
        up, down = judge.smooth(p + step, every), judge.smooth(p - step, every)
        np.testing.assert_allclose((up[0] - down[0]) / 2e-6, slope[:, j], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-6, bend[:, j], rtol=1e-4, atol=1e-4)
    query = {} if law is EXPONENTIAL else {"params": "1B", "tokens": "20B"}
    plan = ask(standing((law, {k: v[0] for k, v in params.items()})), **query)
    a, b = (x.ravel() for x in np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101)))
    grid = np.stack([a, b, 1 - a - b], axis=1)[a + b <= 1]
    assert plan.expected["loss"].value <= judge.loss(np.maximum(grid, 0))[0].min() * (1 + 1e-9)


def test_draws_give_intervals() -> None:
    """Each end is the quantile of the optima of the draws one by one."""
    rng = np.random.default_rng(4)
    rows = 41
    draws = [{"c": 1.0, **{f"K_{n}": k * np.exp(0.2 * rng.standard_normal(rows)) for n, k in zip("abc", K)}}
             for K in ((0.5, 2.0, 1.0), (2.0, 0.5, 1.0))]  # fmt: skip
    both = ask(standing(*((EXPONENTIAL, d) for d in draws), rows=rows))
    alone = [
        ask(standing(*((EXPONENTIAL, {k: np.asarray(v).reshape(-1)[i % np.size(v)] for k, v in d.items()})
                       for d in draws)))["a"].value
        for i in range(1, rows)
    ]  # fmt: skip
    ends = both["a"]
    assert ends.lower == pytest.approx(np.quantile(alone, 0.05), abs=1e-3)
    assert ends.upper == pytest.approx(np.quantile(alone, 0.95), abs=1e-3)


def test_draws_without_a_loss_are_counted() -> None:
    rows = 40
    c = np.ones(rows)
    c[1:11] = np.nan
    plan = ask(standing((EXPONENTIAL, {"c": c, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}), rows=rows))
    assert plan.evidence.answered == pytest.approx(29 / 39)
    assert any("draws" in w.code for w in plan.warnings)
    with pytest.raises(RefusedError):
        ask(standing((EXPONENTIAL, {"c": np.nan, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0})))


# ------------------------------------------------------------------------------------------------- bounds and supply


def test_tokens_of_a_domain_hold_it() -> None:
    """20B tokens read 4 times at most are 8 % of a trillion."""
    where = standing((EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}))
    plan = ask(where, tokens="1T", available="b=20B")
    assert plan["b"].value == pytest.approx(8.0, abs=1e-4)
    assert plan["c"].value == pytest.approx(92.0, abs=1e-4)
    assert plan.binding == "tokens of b"
    once = ask(where, tokens="1T", available="b=20B", max_passes=1)
    assert once["b"].value == pytest.approx(2.0, abs=1e-4)


def test_a_tighter_bound_costs_loss() -> None:
    where = standing((EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}))
    losses = [ask(where, most=f"b={share}").expected["loss"].value for share in (0.8, 0.4, 0.1)]
    assert losses == sorted(losses)
    given = ask(where, given="a=3, c=1")
    assert given["given_costs"].value > given["uniform_costs"].value > 0


# ----------------------------------------------------------------------------------------------------------- of runs


def test_regression_finds_the_optimum_of_the_truth() -> None:
    """With .1 % noise the mixture chosen loses less than .2 % on the exact losses."""
    table = runs()
    plan = ask(grounds(mixture.planner, [table], draws=0))

    def truth(w: Array) -> float:
        parts = [2.0 + math.exp(float(w @ np.log(K))) for K in ((0.5, 2.0, 1.0), (2.0, 0.5, 1.0))]
        return float(np.mean(parts) + 0.3 * ((w - 1 / 3) ** 2).sum())

    chosen = np.array([plan[n].value for n in "abc"]) / 100
    fine = np.random.default_rng(9).dirichlet(np.ones(3), 20000)
    assert truth(chosen) <= 1.002 * min(truth(w) for w in fine)
    assert plan["a"].lower is not None
    assert plan["a"].lower <= plan["a"].value <= (plan["a"].upper or 0)


@pytest.mark.parametrize("method", regmix.METHODS)
def test_refits_have_exact_slopes(method: str) -> None:
    """Row 0 is the estimator's own prediction, slopes are differences, refits scatter."""
    table = runs()
    state = regmix.learn(table, {"method": method, "weights": "weight_"})
    refits = regmix.refits(state, table, 30)
    judge = OfRuns(refits)
    p = np.random.default_rng(2).dirichlet(np.ones(3), 4)
    same = regmix.predict(state, dict(zip(state.columns, p.T)))
    np.testing.assert_allclose(judge.loss(p)[0], same, rtol=1e-10)
    which = np.array([0, 3, 7, 30])
    value, slope, bend = judge.smooth(p, which)
    np.testing.assert_allclose(value, judge.loss(p)[which, np.arange(4)], rtol=1e-10)
    for j in range(3):
        step = 1e-5 * np.eye(3)[j]
        up, down = judge.smooth(p + step, which), judge.smooth(p - step, which)
        np.testing.assert_allclose((up[0] - down[0]) / 2e-5, slope[:, j], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, bend[:, j], rtol=1e-3, atol=1e-3)
    assert 0 < judge.loss(p).std(axis=0).max() < 0.2


def test_targets() -> None:
    """Another target is another mixture; names must be those of columns."""
    table = runs()
    x, y = (ask(grounds(mixture.planner, [table], draws=0), target=f"{n}=1") for n in "xy")
    assert x["a"].value > y["a"].value + 20
    with pytest.raises(QueryError, match="target"):
        ask(grounds(mixture.planner, [table], draws=0), target="z=1")


def test_mixtures_that_are_given() -> None:
    """The best of those given is chosen, ranked by predicted loss, with how often it wins."""
    table, others = runs(), runs(n=20, seed=5)
    plan = ask(grounds(mixture.planner, [table, others], draws=0))
    ranking = plan.table("candidates")
    losses = [float(v or 0) for v in ranking.column("loss")]
    assert losses == sorted(losses)
    best = str(ranking.column("mixture")[0])
    place = int(best[1:])
    w = np.array([others[c][place] for c in DOMAINS])
    assert [plan[n].value / 100 for n in "abc"] == pytest.approx(w / w.sum(), abs=1e-6)
    assert 0 < plan["chance"].value <= 100
    assert sum(float(v or 0) for v in ranking.column("best in")) == pytest.approx(100.0)


def test_inside_the_runs() -> None:
    """inside keeps each share between the least and the largest of the runs, and quiets the warning."""
    table = runs().where(runs()["weight_a"] < 0.4)
    free = ask(grounds(mixture.planner, [table], draws=0), target="x=1")
    held = ask(grounds(mixture.planner, [table], draws=0), target="x=1", inside=True)
    assert held["a"].value <= 40 + 1e-6
    assert not any(w.code == "outside" for w in held.warnings)
    assert free["a"].value > 45
    assert any(w.code == "outside" for w in free.warnings)


# ----------------------------------------------------------------------------------------------------------- trouble


def test_nothing_or_both() -> None:
    with pytest.raises(QueryError, match="neither"):
        ask(grounds(mixture.planner, [], draws=0))
    laws = standing((EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}))
    with pytest.raises(QueryError):
        ask(Grounds(laws.laws, Frozen({"proxies": runs()})))


def test_laws_of_other_domains() -> None:
    other = as_law(f"{FAMILIES[0]}(weight_a, weight_b)")
    with pytest.raises(RefusedError, match="domains"):
        ask(
            standing(
                (EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}),
                (other, {"c": 1.0, "K_a": 2.0, "K_b": 0.5}),
            )
        )


def test_laws_of_size_need_one() -> None:
    params = {"E": 1.0, "alpha": 0.3, "beta": 0.3, "A": 400.0, "B": 400.0}
    params |= {f"{h}_{n}": 1.0 for h in ("C", "gamma") for n in "abc"}
    with pytest.raises(QueryError, match="params and tokens"):
        ask(standing((ADDITIVE, params)))


@pytest.mark.parametrize(
    "query",
    [
        {"least": "d=0.1"},
        {"most": "a"},
        {"most": "a=0.1, a=0.2"},
        {"most": "a=-0.1"},
        {"available": "a=1B"},
        {"given": "a=0, b=0"},
        {"given": "z=1"},
        {"target": "1=0"},
        {"target": "x=1"},
        {"max_passes": 0},
        {"params": "7B"},
        {"least": "a=0.3, b=0.3, c=0.4"},
        {"most": "a=x%"},
    ],
)
def test_bad_questions(query: dict[str, Any]) -> None:
    with pytest.raises(ForescaleError):
        ask(standing((EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0})), **query)


def test_bad_candidates() -> None:
    bad = Runs.from_columns({"weight_a": [0.5], "weight_b": [0.5], "mixture": ["m"]})
    with pytest.raises(DataError):
        ask(grounds(mixture.planner, [runs(), bad], draws=0))


# ------------------------------------------------------------------------------------------ from the outside


def test_laws_through_the_facade(tmp_path: Path, cli: Any) -> None:
    """Two fits of the family, saved and opened: fs.plan and the command line give one answer, near the balance."""
    fits = [fs.fit(exponential(K), law=EXPONENTIAL) for K in ((0.2, 5.0, 3.0), (5.0, 0.2, 3.0))]
    paths = [tmp_path / f"{name}.json" for name in "xy"]
    for one, path in zip(fits, paths):
        one.save(path)
    plan = fs.plan("mixture", *(fs.open(path) for path in paths), target="1=0.7, 2=0.3")
    # test_two_exponentials_balance: the third domain helps neither loss
    share = 50 + 100 * math.log(0.3 / 0.7) / (4 * math.log(0.2))
    assert plan["a"].value == pytest.approx(share, abs=0.2)
    assert plan["c"].value == 0.0
    assert plan["a"].lower is not None
    assert plan["a"].lower <= plan["a"].value <= (plan["a"].upper or 0)
    said = cli("plan", "mixture", *paths, "--target", "1=0.7, 2=0.3", "--json")
    assert said.code == 0
    assert json.loads(said.out)["decision"]["a"]["value"] == pytest.approx(plan["a"].value, rel=1e-9)
    text = cli("plan", "mixture", *paths, "--target", "1=0.7, 2=0.3")
    assert text.out.startswith("Mix a 63 %")


def exponential(K: tuple[float, float, float]) -> Runs:
    """30 mixtures whose loss is 2 + prod K^p, with .01 % noise."""
    rng = np.random.default_rng(7)
    w = rng.dirichlet(np.ones(3), 30)
    loss = (2.0 + np.exp(w @ np.log(K))) * np.exp(1e-4 * rng.standard_normal(30))
    return Runs.from_columns({**dict(zip(DOMAINS, w.T)), "loss": loss})


def test_candidates_keep_to_the_bounds() -> None:
    """A mixture given that the bounds forbid is not taken; none left is said."""
    where = standing((EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}))
    given = Runs.from_columns(
        {"weight_a": [0.1, 0.5], "weight_b": [0.8, 0.3], "weight_c": [0.1, 0.2], "mixture": ["p", "q"]}
    )
    both = Grounds(where.laws, Frozen({"candidates": given}))
    assert "take p" in ask(both).headline
    held = ask(both, most="b=0.5")
    assert "take q" in held.headline
    assert "1 of those given" in held.table("candidates").note
    assert "chance" not in held.decision  # without draws nothing says how often
    with pytest.raises(QueryError, match="keeps to the bounds"):
        ask(both, most="b=0.1")


def test_percentages_are_shares() -> None:
    where = standing((EXPONENTIAL, {"c": 1.0, "K_a": 2.0, "K_b": 0.5, "K_c": 1.0}))
    assert ask(where, most="b=50%, c=30 %")["b"].value == ask(where, most="b=0.5, c=0.3")["b"].value


def test_no_loss_below_zero() -> None:
    """A straight line through runs can be led below zero: no answer, and what to do."""
    w = np.linspace(0.3, 0.7, 9)
    line = Runs.from_columns({"weight_a": w, "weight_b": 1 - w, "loss": 2.0 * w - 0.5})
    with pytest.raises(RefusedError, match="above zero"):
        ask(grounds(mixture.planner, [line], draws=0))
    assert ask(grounds(mixture.planner, [line], draws=0), inside=True)["a"].value == pytest.approx(30.0, abs=1e-3)

# SPDX-License-Identifier: Apache-2.0
"""Learning rate and batch: published rules, sweeps of one's own, and what the decision costs on released grids."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import ConventionError, DataError, InputError, QueryError, RefusedError
from forescale.fitting.tuning import valley
from forescale.laws import find
from forescale.laws.step_law import beside, bottom
from forescale.planning import learning_rate
from forescale.testing.planners import Ladder, PlannerCase

TRUTH = {
    "E": 2.3, "lr_0": 1.7e-3, "b": -0.74, "c": 0.27, "B_0": 1.4e6, "d": 0.65, "f": -0.2, "s": 0.45,
    "k_lr": 6.5e-3, "k_B": 4e-3,
}  # fmt: skip


class TestLearningRate(PlannerCase):
    """The conformance tests; with made-up draws the valley decides."""

    planners = (learning_rate.planner,)
    ladders: ClassVar = {
        "learning-rate": Ladder("tokens", ("20B", "200B", "2T"), rising=("lr_peak", "batch_tokens", "steps"))
    }
    conflicts: ClassVar = {
        "learning-rate": ({"batch": "1T", "tokens": "1B"}, {"batch": 512, "context": 2048}, {"context": 10**13})
    }


def sweep(noise: float = 0.0, cells: Any = None, seed: int = 3) -> dict[str, np.ndarray]:
    """Grids of 8 rates and 8 batches at several N and D, from a valley that is known; each cell has its own loss."""
    rng = np.random.default_rng(seed)
    parts = []
    places = [(N, D) for N in (2e8, 4e8, 8e8) for D in (5e9, 2e10, 8e10)] if cells is None else cells
    for i, (N, D) in enumerate(places):
        rate, batch = (a.ravel() for a in np.meshgrid(np.geomspace(4e-4, 1.2e-2, 8), np.geomspace(6e4, 4e6, 8)))
        loss = find("tuning-surface")({**TRUTH, "E": 2.6 - 0.05 * i}, N=N, D=D, lr_peak=rate, batch_tokens=batch)
        parts.append((np.full(64, N), np.full(64, D), rate, batch, loss))
    N, D, rate, batch, loss = (np.concatenate(part) for part in zip(*parts))
    loss = loss * np.exp(noise * rng.standard_normal(loss.size))
    return {"N": N, "D": D, "lr_peak": rate, "batch_tokens": batch, "loss": loss}


# -- published rules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "tokens", "rate", "batch"),
    [("7B", "1.4T", 9.166e-4, 4.999e6), ("1B", "100B", 1.6325e-3, 1.1077e6)],
)
def test_step_law_decides_where_nothing_is_given(params: str, tokens: str, rate: float, batch: float) -> None:
    """s1 of the notes (pretraining 8.4): also 2,440.8 sequences of 2,048 at 1.4T tokens."""
    plan = fs.plan("learning-rate", params=params, tokens=tokens)
    assert plan["lr_peak"].value == pytest.approx(rate, rel=1e-3)
    assert plan["batch_tokens"].value == pytest.approx(batch, rel=1e-3)
    if tokens == "1.4T":
        assert plan["batch_sequences"].value == pytest.approx(2440.8, rel=1e-3)
    assert plan["steps"].value == pytest.approx(plan.query["tokens"] / batch, rel=1e-3)
    assert plan["lr_peak"].lower < plan["lr_peak"].value < plan["lr_peak"].upper
    assert "Step Law" in plan.headline


def test_the_interval_is_that_of_the_released_bootstrap() -> None:
    """At 7B and 1.4T the released rows spread by .112 in ln lr and .093 in ln B: 1.645 of that to each side."""
    plan = fs.plan("learning-rate", params="7B", tokens="1.4T")
    for name, sd in (("lr_peak", 0.112), ("batch_tokens", 0.0927)):
        half = 0.5 * np.log(plan[name].upper / plan[name].lower)
        assert half == pytest.approx(1.645 * sd, rel=0.12), name


def test_the_others_stand_beside_it_with_their_remarks() -> None:
    """The numbers of the notes (8.4): DeepSeek at C = 1e20, MiniCPM's batch at a loss of 2.5."""
    params, tokens = 1e9, 1e20 / 6e9
    rules = {
        row["rule"]: row
        for row in fs.plan("learning-rate", params=params, tokens=tokens, final_loss=2.5).table("rules").records()
    }
    assert rules["DeepSeek LLM"]["rate"] == pytest.approx(9.860e-4, rel=1e-3)
    assert rules["DeepSeek LLM"]["batch"] == pytest.approx(1.0171e6, rel=1e-3)
    assert rules["MiniCPM"]["batch"] == pytest.approx(3.98e6, rel=1e-3)
    assert rules["MiniCPM"]["rate"] is None
    assert "muP" in rules["MiniCPM"]["remarks"]
    assert rules["Bjorck et al. (Microsoft)"]["rate"] is None
    assert "units" in rules["Bjorck et al. (Microsoft)"]["remarks"]
    assert rules["Step Law"]["rate / plan"] == pytest.approx(1.0)
    assert rules["Step Law"]["loss given away"] == pytest.approx(0.0, abs=1e-12)
    assert rules["constant"]["rate"] == 1.95e-3
    without = fs.plan("learning-rate", params=params, tokens=tokens).table("rules").records()
    assert "final_loss" in next(row["remarks"] for row in without if row["rule"] == "MiniCPM")


def test_far_outside_is_said() -> None:
    plan = fs.plan("learning-rate", params="70B", tokens="15T")
    said = {w.code: w.text for w in plan.warnings}
    assert "130 times the largest N" in said["outside-N"]
    assert "150x the largest D" in said["distance-D"]
    row = plan.table("rules").records()[0]
    assert "130 times the largest N" in row["remarks"]
    near = fs.plan("learning-rate", params="400M", tokens="50B")
    assert not [w for w in near.warnings if w.code.startswith(("outside", "distance"))]


def test_another_rule_can_be_asked_and_its_end_is_refused() -> None:
    plan = fs.plan("learning-rate", "lr-by-size:porian2024", "batch-by-size:porian2024", params="1B", tokens="20B")
    assert plan["lr_peak"].value == pytest.approx(3.7 * 1e9**-0.36, rel=1e-12)
    assert "Porian" in plan.headline
    # Kaplan's straight line is zero at 1.2e10 parameters.
    with pytest.raises(RefusedError, match="positive rate"):
        fs.plan("learning-rate", "lr-by-log-size:kaplan2020", params="20B", tokens="100B")
    with pytest.raises(RefusedError, match="final_loss"):
        fs.plan("learning-rate", "critical-batch:hu2024", params="1B", tokens="20B")


def test_a_rate_and_a_batch_of_different_runs_are_said_not_to_belong_together() -> None:
    plan = fs.plan("learning-rate", "critical-batch:hu2024", params="1B", tokens="20B", final_loss="2.5 nats/token")
    assert plan["batch_tokens"].value == pytest.approx(3.98e6, rel=1e-3)
    assert "mixed-rules" in {w.code for w in plan.warnings}
    with pytest.raises(ConventionError, match="nats/token"):
        fs.plan("learning-rate", "critical-batch:hu2024", params="1B", tokens="20B", final_loss="3.6 bits/token")
    with pytest.raises(RefusedError, match="at most the tokens"):
        fs.plan("learning-rate", "critical-batch:hu2024", params="1B", tokens="1B", final_loss=1.0)


def test_intervals_that_another_fit_to_the_same_cells_leaves_are_said() -> None:
    """Far out the powers of the recipe and those of the valley part; near the cells they cost the same."""
    far, near = (fs.plan("learning-rate", params=N, tokens=D) for N, D in (("7B", "1.4T"), ("400M", "50B")))
    p = find("tuning-surface").constants("li2025steplaw-cells")
    assert not far["lr_peak"].lower < bottom(p, 7e9, 1.4e12)[0] < far["lr_peak"].upper
    said = next(w.text for w in far.warnings if w.code == "narrow-intervals")
    other = next(row for row in far.table("rules").records() if row["rule"].startswith("our fit"))
    assert f"{other['loss given away']:.2g} %" in said
    assert not any(w.code in ("narrow-intervals", "mixed-rules") for w in near.warnings)


# -- a batch that is held, and mistakes -----------------------------------------------------------------------------


def test_a_held_batch_wants_its_own_rate() -> None:
    """The rate along the valley's floor, and what the batch costs: against a search over rates."""
    surface = "tuning-surface:li2025steplaw-cells"
    free = fs.plan("learning-rate", surface, params=4e8, tokens=3e10)
    held = fs.plan("learning-rate", surface, params=4e8, tokens=3e10, batch="2M")
    law = find("tuning-surface")
    p = law.constants("li2025steplaw-cells")
    rates = np.geomspace(0.2, 8.0, 20_001) * free["lr_peak"].value
    along = law(p, N=4e8, D=3e10, lr_peak=rates, batch_tokens=2e6)
    assert held["lr_peak"].value == pytest.approx(rates[np.argmin(along)], rel=5e-4)
    assert held["cost_batch_held"].value == pytest.approx(100 * (along.min() / p["E"] - 1), rel=1e-6)
    assert held["batch_tokens"].value == 2e6
    assert held.binding == "the batch that is held"
    # No draw moves the shape of published constants: no interval, not one of no width.
    assert held["cost_batch_held"].lower is None
    assert held["cost_rate_2x"].lower is None
    assert free["batch_tokens"].value != 2e6


def test_a_batch_is_at_least_one_sequence() -> None:
    plan = fs.plan("learning-rate", params="1B", tokens="1M")
    assert (plan["batch_tokens"].value, plan["batch_sequences"].value) == (2048.0, 1.0)
    own = fs.law("batch-power")(fs.law("batch-power").constants("li2025steplaw"), D=1e6)
    assert own < 2048
    assert plan["lr_peak"].value > 1.79 * 1e9**-0.713 * 1e6**0.307
    assert "one sequence" in plan.binding
    assert "(1 sequence of 2,048)" in plan.headline


def test_mistakes_and_usual_values_cost_what_the_valley_says() -> None:
    surface = "tuning-surface:li2025steplaw-cells"
    plan = fs.plan("learning-rate", surface, params=4e8, tokens=3e10)
    law = find("tuning-surface")
    p = law.constants("li2025steplaw-cells")
    rate, batch = plan["lr_peak"].value, plan["batch_tokens"].value

    def lost(r: float, b: float) -> float:
        return 100 * (float(law(p, N=4e8, D=3e10, lr_peak=r, batch_tokens=b)) / p["E"] - 1)

    for row in plan.table("sensitivity").records():
        k = row["factor"]
        assert row["rate wrong"] == pytest.approx(lost(k * rate, batch), rel=1e-9)
        assert row["batch wrong, same rate"] == pytest.approx(lost(rate, k * batch), rel=1e-9)
        assert row["batch wrong, rate moved"] <= row["batch wrong, same rate"]
    assert plan["cost_rate_2x"].value == pytest.approx(lost(2 * rate, batch), rel=1e-9)
    usual = plan.table("alternatives").records()
    for row in usual:
        assert row["sequences"] == 2 ** round(np.log2(row["sequences"]))
        assert row["loss given away"] == pytest.approx(lost(row["rate"], row["batch"]), rel=1e-9, abs=1e-12)
    assert min(row["loss given away"] for row in usual) < 0.05
    assert len(plan.table("sweep").rows) == 5


# -- sweeps of one's own --------------------------------------------------------------------------------------------


def test_sweeps_give_the_bottom_of_their_valley() -> None:
    """Without noise the settings of an unseen cell come back exactly; a run that diverged does no harm."""
    table = sweep()
    table["loss"][0] = 50.0
    plan = fs.plan("learning-rate", fs.load(table), params=1.6e9, tokens=3e11)
    rate, batch = bottom(TRUTH, 1.6e9, 3e11)
    assert plan["lr_peak"].value == pytest.approx(rate, rel=1e-6)
    assert plan["batch_tokens"].value == pytest.approx(batch, rel=1e-6)
    assert plan["cost_rate_2x"].value == pytest.approx(100 * np.expm1(TRUTH["k_lr"] * np.log(2) ** 2), rel=1e-6)
    assert "sweeps" in plan.headline
    assert not any("taken from" in text for text in plan.assumptions)
    noisy = fs.plan("learning-rate", fs.load(sweep(1e-3)), params=1.6e9, tokens=3e11, batch=1e6)
    assert noisy["cost_batch_held"].lower < noisy["cost_batch_held"].value < noisy["cost_batch_held"].upper
    held = fs.plan("learning-rate", fs.load(table), params=1.6e9, tokens=3e11, batch=1e6)
    assert held["lr_peak"].value == pytest.approx(beside(TRUTH, rate, batch, 1e6)[0], rel=1e-6)


@pytest.mark.slow
def test_the_interval_covers_at_an_unseen_cell() -> None:
    """Seven noisy tables (.1 %): at least four of seven 90 % intervals hold the truth (chance of fewer: .003)."""
    rate, batch = bottom(TRUTH, 8e8, 2e11)
    hits = np.zeros(2, dtype=int)
    for seed in range(7):
        fit = valley(fs.load(sweep(1e-3, seed=seed)))
        drawn = bottom({name: fit.draws[:, i] for i, name in enumerate(fit.law.names)}, 8e8, 2e11)
        for k, (values, truth) in enumerate(zip(drawn, (rate, batch))):
            low, high = np.quantile(values, [0.05, 0.95])
            hits[k] += low < truth < high
    assert (hits >= 4).all(), hits


def test_far_beyond_the_sweeps_is_said() -> None:
    table = fs.load(sweep(1e-3))
    codes = {w.code for w in fs.plan("learning-rate", table, params="70B", tokens="15T").warnings}
    assert {"distance-N", "distance-D"} <= codes
    near = fs.plan("learning-rate", table, params=4e8, tokens=2e10)
    assert not any(w.code.startswith(("distance", "outside", "edge")) for w in near.warnings)


def test_a_best_run_at_the_end_of_its_rates_is_said() -> None:
    """Rates up to 1.2e-3 only: the best of most cells lies above them."""
    table = sweep()
    low = {name: values[table["lr_peak"] < 1.2e-3] for name, values in table.items()}
    plan = fs.plan("learning-rate", fs.load(low), params=4e8, tokens=2e10)
    said = next(w for w in plan.warnings if w.code == "edge-rate")
    assert said.level == "amber"
    best = {}
    for N, D, rate, loss in zip(low["N"], low["D"], low["lr_peak"], low["loss"]):
        best[N, D] = min(best.get((N, D), (9.0, 0.0)), (loss, rate))
    ends = sum(rate in (low["lr_peak"].min(), low["lr_peak"].max()) for _, rate in best.values())
    assert f"In {ends} of 9 cells" in said.text


def test_settings_that_are_none_are_named() -> None:
    for name, wrong in (("lr_peak", -1e-3), ("lr_peak", 0.0), ("batch_tokens", float("nan"))):
        table = sweep()
        table[name][5] = wrong
        with pytest.raises(DataError, match=f"{name} is missing, zero or negative in row 6"):
            fs.plan("learning-rate", fs.load(table), params=4e8, tokens=2e10)
    table = sweep()
    table["batch_tokens"] = table["batch_tokens"] / 2048
    with pytest.raises(QueryError, match="counted in sequences"):
        fs.plan("learning-rate", fs.load(table), params=4e8, tokens=2e10)


def test_sweeps_that_cannot_tell() -> None:
    line = fs.load(sweep(cells=[(1e8, 2e9), (2e8, 4e9), (4e8, 8e9)]))
    with pytest.raises(DataError, match="vary apart"):
        fs.plan("learning-rate", line, params=1e9, tokens=2e10)
    with pytest.raises(DataError, match="rows"):
        fs.plan("learning-rate", fs.load({name: v[::40] for name, v in sweep().items()}), params=1e9, tokens=2e10)
    for wrong in (-1, float("nan"), ""):
        with pytest.raises(InputError):
            fs.plan("learning-rate", params=wrong, tokens=2e10)
    with pytest.raises(QueryError, match="within"):
        fs.plan("learning-rate", params=1e9, tokens=2e10, within=0)


# -- the released grids ---------------------------------------------------------------------------------------------


def test_regret_on_the_larger_released_cells() -> None:
    """From the eight cheapest cells the seven larger ones are decided, and their measured gap is looked up.

    Required: a mean gap of at most 1.3 thousandths and below the constant's 1.507; the log-log recipe has 1.695.
    Window and form of the valley were chosen on the eight cells alone (benchmarks/regret_step_law.py).
    """
    if "FORESCALE_MIRROR" not in os.environ:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    from forescale.studies.step_law import CHEAP, by_method, cells, constant

    runs = fs.dataset("step-law")
    every = cells(runs)
    cheap, large = every[:CHEAP], every[CHEAP:]
    seen = runs.where(np.concatenate([cell.rows for cell in cheap]))
    fit = valley(seen)
    gaps = np.array([cell.gap(lambda c: bottom(fit.params, c.N, c.D)) for cell in large])
    assert gaps.mean() == pytest.approx(0.556, abs=0.001)
    fixed = np.mean([cell.gap(constant) for cell in large])
    assert fixed == pytest.approx(1.507, abs=0.001)
    assert gaps.mean() <= 1.3 < fixed
    recipe = by_method(runs, cheap)[0]
    assert np.mean([cell.gap(recipe) for cell in large]) == pytest.approx(1.695, abs=0.001)
    # What the planner says is that bottom.
    plan = fs.plan("learning-rate", seen, params=large[-1].N, tokens=large[-1].D)
    assert (plan["lr_peak"].value, plan["batch_tokens"].value) == pytest.approx(
        bottom(fit.params, large[-1].N, large[-1].D), rel=1e-6
    )


def test_the_published_valley_is_that_of_the_released_cells() -> None:
    if "FORESCALE_MIRROR" not in os.environ:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    fit = valley(fs.dataset("step-law"))
    constants = find("tuning-surface").constants("li2025steplaw-cells")
    for name, value in constants.items():
        if name != "E":
            assert fit.params[name] == pytest.approx(value, rel=1e-4), name
    assert fit.params["E[5.36873e+08 on 5e+10]"] == pytest.approx(constants["E"], rel=1e-5)

# SPDX-License-Identifier: Apache-2.0
"""Examples for a loss, the model for the examples, and what sets before the knee cannot say."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, QueryError, RefusedError
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.fitting.rectified import posterior, rectified
from forescale.laws import find
from forescale.laws.rectified import knee, needed
from forescale.planning import fine_tuning
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

LAW = find("rectified")
TRUTH = {"E": 1.2, "B": 300.0, "D_l": 90.0, "beta": 0.45}  # knee at 22,000 examples
SIZES = 200.0 * 2.0 ** np.arange(12)


def curve(truth: dict[str, float] = TRUTH, noise: float = 0.0, seed: int = 0, sizes: Any = SIZES) -> Runs:
    rng = np.random.default_rng(seed)
    loss = LAW(truth, D=np.asarray(sizes)) * np.exp(noise * rng.standard_normal(len(sizes)))
    return Runs.from_columns({"D": np.asarray(sizes), "loss": loss})


def exact() -> Fit:
    return fit(curve(noise=1e-3), LAW)


class TestFineTuning(PlannerCase):
    """The conformance tests, on a fit of twelve sizes."""

    planners = (fine_tuning.planner,)
    grounds: ClassVar = {"fine-tuning": (exact(),)}
    ladders: ClassVar = {"fine-tuning": Ladder("target", (3.0, 2.5, 2.2), rising=("examples",))}
    conflicts: ClassVar = {"fine-tuning": ({"target": 2.2, "examples": "1M"},)}


# -- the inverse ----------------------------------------------------------------------------------------------------


def test_examples_for_a_loss_invert_the_law() -> None:
    for target in (4.0, 2.0, 1.3):
        assert float(LAW(TRUTH, D=needed(target, **TRUTH))) == pytest.approx(target, rel=1e-12)
    assert np.isinf(needed(1.2, **TRUTH))
    assert needed(5.0, **TRUTH) == 0.0
    assert np.isnan(needed(np.nan, **TRUTH))
    middle = knee(TRUTH["D_l"], TRUTH["beta"])
    assert float(LAW(TRUTH, D=middle)) - 1.2 == pytest.approx(0.5 * TRUTH["B"] / TRUTH["D_l"], rel=1e-12)


def test_a_target_takes_what_the_curve_says() -> None:
    plan = fs.plan("fine-tuning", curve(), target=1.9, example_price=0.02)
    asked = float(needed(1.9, **TRUTH))
    assert plan["examples"].value == pytest.approx(asked, rel=1e-6)
    assert plan["dollars"].value == pytest.approx(0.02 * asked, rel=1e-6)
    assert plan["knee"].value == pytest.approx(knee(90.0, 0.45), rel=1e-5)
    assert plan["loss_before"].value == pytest.approx(1.2 + 300 / 90, rel=1e-6)
    assert plan.expected["loss"].value == pytest.approx(1.9, rel=1e-6)
    # The power at the knee is half of beta; the local slope of the reducible loss in log D.
    steps = asked * np.exp([-1e-4, 1e-4])
    slope = -np.diff(np.log(LAW(TRUTH, D=steps) - 1.2))[0] / 2e-4
    assert plan["power"].value == pytest.approx(slope, rel=1e-5)


def test_limits_bind_and_contradict() -> None:
    held = fs.plan("fine-tuning", curve(), target=1.6, most_examples="100k")
    assert held["examples"].value == 1e5
    assert "most_examples" in held.binding
    assert held.expected["loss"].value == pytest.approx(float(LAW(TRUTH, D=1e5)), rel=1e-6)
    assert "would take" in held.headline
    with pytest.raises(QueryError, match="target"):
        fs.plan("fine-tuning", curve())
    with pytest.raises(QueryError, match="several sizes"):
        fs.plan("fine-tuning", target=2.0)
    with pytest.raises(QueryError, match="most_examples"):
        fs.plan("fine-tuning", curve(), examples="1M", most_examples="10k")
    with pytest.raises(RefusedError, match="floor"):
        fs.plan("fine-tuning", curve(), target=1.0)
    with pytest.raises(RefusedError, match="before any fine-tuning"):
        fs.plan("fine-tuning", curve(), target=5.0)
    with pytest.raises(DataError, match="sizes"):
        fs.plan("fine-tuning", curve(sizes=SIZES[:4]), target=2.0)


def test_draws_that_never_reach_it_are_said() -> None:
    plan = fs.plan("fine-tuning", curve(noise=0.02), target=1.45)
    assert any(w.code == "draws-never-reach" for w in plan.warnings)
    assert plan["examples"].upper == np.inf


# -- before the knee ------------------------------------------------------------------------------------------------


def test_sets_that_all_lie_before_the_knee() -> None:
    """Up to 6,400 examples the knee at 22,000 is not in the data: amber inside, red beyond."""
    short = curve(noise=1e-4, sizes=np.geomspace(200, 6400, 12))
    inside = fs.plan("fine-tuning", short, examples=6000)
    beyond = fs.plan("fine-tuning", short, examples="400k")
    levels = [next(w.level for w in plan.warnings if w.code == "before-knee") for plan in (inside, beyond)]
    assert levels == ["amber", "red"]
    assert any(w.code == "beyond-eight" for w in beyond.warnings)
    assert not any(w.code == "before-knee" for w in fs.plan("fine-tuning", curve(), examples="400k").warnings)


# -- several models -------------------------------------------------------------------------------------------------


def models(seed: int = 0, noise: float = 2e-3) -> Runs:
    """A that is best on small sets and B that is best on large ones; C is never best."""
    truths = {"A": TRUTH | {"E": 1.9}, "B": TRUTH | {"B": 420.0}, "C": TRUTH | {"E": 2.5, "B": 420.0}}
    parts = [curve(truth, noise, seed + i) for i, truth in enumerate(truths.values())]
    return Runs.from_columns(
        {name: np.concatenate([part[name] for part in parts]) for name in ("D", "loss")}
        | {"model": np.repeat(list(truths), len(SIZES))}
    )


def test_the_best_model_depends_on_the_size_of_the_set() -> None:
    small, large = (fs.plan("fine-tuning", models(), examples=size) for size in (400, "1.6M"))
    assert "of A" in small.headline
    assert "of B" in large.headline
    assert large.table("alternatives").column("model") == ("B", "A", "C")
    assert large["share_best"].value > 95
    assert list(large.curves["loss"])[:2] == ["examples", "B"]
    crossing = large.table("crossings").records()
    assert [row["model"] for row in crossing] == ["A", "B"]
    even = np.geomspace(200, 1e6, 4000)
    there = even[np.argmax(LAW(TRUTH | {"B": 420.0}, D=even) < LAW(TRUTH | {"E": 1.9}, D=even))]
    assert crossing[1]["from"] == pytest.approx(there, rel=0.15)
    reach = fs.plan("fine-tuning", models(), target=1.7)
    assert "of B" in reach.headline  # A has its floor at 1.9
    assert reach.table("alternatives").records()[-1]["examples"] == np.inf


def test_the_share_in_which_a_model_is_best_takes_the_models_as_independent() -> None:
    """One curve under two names, at a target and at a size, from runs and from fits: each is best in half the draws.

    Within four errors of 1,000 draws (.06)."""
    one = curve(noise=5e-3, seed=1)
    twice = Runs.from_columns(
        {name: np.tile(one[name], 2) for name in ("D", "loss")} | {"model": np.repeat(["A", "B"], len(SIZES))}
    )
    found = fit(one, LAW)
    for grounds in ((twice,), (found, found)):
        for asked in ({"examples": 1e6}, {"target": 1.9}):
            share = fs.plan("fine-tuning", *grounds, **asked)["share_best"].value
            assert share == pytest.approx(50.0, abs=6.4)


def test_a_model_with_too_few_sizes_is_named() -> None:
    table = models()
    few = table.where((table.labels["model"] != "B") | (table["D"] <= 800))
    with pytest.raises(DataError, match="'B' was fine-tuned on 3 sizes"):
        fs.plan("fine-tuning", few, examples=1e6)


def test_fits_stand_where_a_table_does() -> None:
    table = models()
    codes, names = table.group_codes("model")
    fits = [fit(table.where(codes == i), LAW) for i in range(len(names))]
    plan = fs.plan("fine-tuning", *fits, examples="1.6M")
    assert plan.table("alternatives").column("model") == ("B", "A", "C")
    assert any(w.code == "normal-draws" for w in plan.warnings)


def test_one_task_at_a_time() -> None:
    table = models()
    tasks = replace(table, labels={**table.labels, "task": np.array(["x", "y"] * (len(table) // 2))})
    with pytest.raises(DataError, match="one task at a time"):
        fs.plan("fine-tuning", tasks, examples=1e6)


# -- intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_posterior_intervals_cover_on_simulated_curves() -> None:
    """Forty curves, .5 % noise: 90 % intervals at eight times the largest set hold within 3 errors (.14)."""
    hits = []
    for seed in range(40):
        table = curve(noise=5e-3, seed=seed, sizes=200.0 * 2.0 ** np.arange(11))
        drawn = posterior(table["D"], table["loss"], 400)
        far = LAW({n: drawn[:, i : i + 1] for i, n in enumerate(LAW.names)}, D=np.array([8 * 204_800.0]))[:, 0]
        low, high = np.quantile(far, [0.05, 0.95])
        hits.append(low < float(LAW(TRUTH, D=8 * 204_800.0)) < high)
    assert np.mean(hits) == pytest.approx(0.9, abs=0.14)


def test_the_posterior_narrows_with_the_scatter() -> None:
    """It holds the truth, and has the spread of normal draws where the scatter is small enough for these."""
    spread = []
    for noise in (1e-2, 2e-3):
        drawn = rectified(curve(noise=noise, seed=4), 500)
        assert drawn.draws_from == "posterior on a grid"
        powers = drawn.draws[:, LAW.names.index("beta")]
        assert np.quantile(powers, 0.01) < TRUTH["beta"] < np.quantile(powers, 0.99)
        spread.append(powers.std())
    assert spread[1] < 0.5 * spread[0]
    normal = fit(curve(noise=2e-3, seed=4), LAW).draws[:, LAW.names.index("beta")]
    assert spread[1] == pytest.approx(normal.std(), rel=0.35)
    # Without scatter it is narrower than any grid: normal draws take its place.
    assert rectified(curve(), 200).draws_from == "laplace"


@pytest.mark.slow
def test_on_the_released_curves() -> None:
    """Ninety curves from sets of up to an eighth: intervals, and the model that is chosen (Lin et al. 2024).

    Their rule selects with a correlation of 90.9, 98.9 and 98.9 % (FLAN, WMT19, Gigaword). The law's own predictions
    have 89.2, 98.1 and 95.4; the model chosen loses .10 of the range of losses on FLAN, at most .01 on the others.
    """
    if "FORESCALE_MIRROR" not in os.environ:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    runs = fs.dataset("rectified-finetuning")
    hits = []
    for task, lost in (("flan", 0.10), ("wmt19", 0.01), ("gigaword", 0.01)):
        rows = runs.where(runs.labels["task"] == task)
        top = rows["D"].max()
        last = rows.where(rows["D"] == top)
        came = dict(zip(last.labels["model"], last["loss"]))
        table = fs.plan("fine-tuning", rows.where(rows["D"] <= top / 8), examples=top).table("alternatives").records()
        span = max(came.values()) - min(came.values())
        assert (came[table[0]["model"]] - min(came.values())) / span <= lost
        hits += [row["from"] <= came[row["model"]] <= row["to"] for row in table]
    assert len(hits) == 90
    assert np.mean(hits) == pytest.approx(0.70, abs=0.03)  # 90 would be right: the law itself is off by more

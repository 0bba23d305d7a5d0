# SPDX-License-Identifier: Apache-2.0
"""Laws along training curves: their sums step by step, limits, published errors, and what they refuse."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import DataError, LawError
from forescale.core.schedule import Schedule
from forescale.fitting.published import published
from forescale.laws import find
from forescale.laws._law import Law, amplitude
from forescale.laws._schedule import Schedules
from forescale.numerics.jet import value_and_jacobian
from forescale.runs.curves import curve_points
from forescale.runs.datasets import dataset

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

WITH_TURNS = Schedule.stepped({1: 1e-3, 60: 4e-4, 90: 7e-4, 120: 1e-4}, 150, warmup=30)
ANNEALING = {"L0": 2.7, "A": 1.1, "alpha": 0.6, "C": 0.5, "tau": 40.0}
POWER = find("multi-power").constants("luo2025-25m")


def test_annealing_is_the_recursion_of_the_momentum() -> None:
    """m_i = lambda m_(i-1) + (lr_(i-1) - lr_i) from m = 0 at the peak; S2 is the sum of m."""
    lr, lam = WITH_TURNS.lr, 1 - 1 / ANNEALING["tau"]
    m = s2 = 0.0
    expected = []
    for i in range(150):
        if i >= WITH_TURNS.warmup:
            m = lam * m + (lr[i - 1] - lr[i])
            s2 += m
        expected.append(2.7 + 1.1 * lr[: i + 1].sum() ** -0.6 - 0.5 * s2)
    found = find("annealing")(ANNEALING, step=np.arange(1, 151), lr=WITH_TURNS)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_multi_power_is_its_double_sum() -> None:
    p, lr = POWER, WITH_TURNS.lr
    before = np.concatenate([[0.0], lr[:-1]])
    for t in (31, 60, 61, 100, 150):
        total = 0.0
        for k in range(1, t + 1):
            x = p["C"] * lr[k - 1] ** -p["gamma"] * lr[k - 1 : t].sum()
            total += (before[k - 1] - lr[k - 1]) * (1 - (1 + x) ** -p["beta"])
        expected = p["L0"] + p["A"] * lr[:t].sum() ** -p["alpha"] - p["B"] * total
        assert float(find("multi-power")(p, step=t, lr=WITH_TURNS)) == pytest.approx(expected, rel=1e-12)


def test_without_drops_both_are_power_laws_of_the_sum() -> None:
    flat = Schedule.constant(3e-4, 5000)
    step = np.arange(100, 5001, 100)
    power = 2.7 + 1.1 * (3e-4 * step) ** -0.6
    np.testing.assert_allclose(find("annealing")(ANNEALING, step=step, lr=flat), power, rtol=1e-13)
    # the one rise of the multi-power law adds B times the rate in the end
    p = {**POWER, "beta": 3.0, "C": 1e3}
    there = find("multi-power")(p, step=step, lr=flat)
    full = p["L0"] + p["A"] * (3e-4 * step) ** -p["alpha"] + p["B"] * 3e-4
    np.testing.assert_allclose(there, full, rtol=1e-9)


def test_memory_of_one_step_gives_the_drop_itself() -> None:
    """lambda = 0: S2 is the peak rate minus the rate now, summed up."""
    step = np.arange(30, 151)
    near = find("annealing")({**ANNEALING, "tau": 1 + 1e-12}, step=step, lr=WITH_TURNS)
    lost = np.cumsum(np.concatenate([[0.0], WITH_TURNS.lr[29:149] - WITH_TURNS.lr[30:150]]))
    expected = 2.7 + 1.1 * WITH_TURNS.total[step - 1] ** -0.6 - 0.5 * lost
    np.testing.assert_allclose(near, expected, rtol=1e-9)


def test_multi_power_saturates_where_annealing_goes_on() -> None:
    """Twice the drop at a time: twice the gain of annealing, and no more than B times the drop of multi-power."""
    small, large = (Schedule.stepped({1: 3e-4, 2000: 3e-4 - d}, 9000) for d in (1e-4, 2e-4))
    flat = Schedule.constant(3e-4, 9000)

    def gain(law: str, params: dict[str, float], schedule: Schedule) -> float:
        # without the effect of the sum of the rates
        held = {**params, "A": 1e-12}
        return float(find(law)(held, step=9000, lr=flat) - find(law)(held, step=9000, lr=schedule))

    assert gain("annealing", ANNEALING, large) == pytest.approx(2 * gain("annealing", ANNEALING, small), rel=1e-6)
    assert 0 < gain("multi-power", POWER, small) < gain("multi-power", POWER, large) < POWER["B"] * 2e-4


def test_size_shifts_the_curve() -> None:
    law, base = find("annealing-size"), find("annealing")
    p = {**ANNEALING, "B": 30.0, "beta": 0.25}
    step = np.array([50, 100, 150])
    shifted = law(p, N=1e8, step=step, lr=WITH_TURNS)
    np.testing.assert_allclose(shifted, base(ANNEALING, step=step, lr=WITH_TURNS) + 30.0 * 1e8**-0.25, rtol=1e-13)
    assert law.on(N="N_nonemb").inputs == ("N_nonemb", "step")


def test_a_schedule_that_ends_at_zero() -> None:
    """A rate of zero has no negative power, and no effect that is still to come."""
    s = Schedule.wsd(3e-4, 2000, decay=0.5)
    step = np.arange(900, 2001, 50)
    for law, params in (("annealing", ANNEALING), ("multi-power", POWER)):
        found = find(law)(params, step=step, lr=s)
        assert np.isfinite(found).all()
        assert np.all(np.diff(found) < 0)


def test_sums_of_laws_share_the_schedule() -> None:
    size = Law(
        id="size", title="t", inputs=("N",), params={"B": amplitude("size of the term")},
        formula=lambda N, B: B * N**-0.3,
    )  # fmt: skip
    both = find("annealing") + size
    assert both.schedule == "lr"
    value = both({**ANNEALING, "B": 30.0}, step=[100, 150], N=1e8, lr=WITH_TURNS)
    expected = find("annealing")(ANNEALING, step=[100, 150], lr=WITH_TURNS) + 30.0 * 1e8**-0.3
    np.testing.assert_allclose(value, expected, rtol=1e-13)


def test_a_parameter_per_group_of_rows() -> None:
    law = find("annealing").grouped("dataset", ["a", "b"], ["L0", "tau"])
    p = {"L0[a]": 2.7, "L0[b]": 2.9, "A": 1.1, "alpha": 0.6, "C": 0.5, "tau[a]": 40.0, "tau[b]": 80.0}
    found = law(p, step=[100, 150, 100], lr=WITH_TURNS, dataset=["a", "a", "b"])
    for i, (step, tau, floor) in enumerate(((100, 40.0, 2.7), (150, 40.0, 2.7), (100, 80.0, 2.9))):
        one = find("annealing")({**ANNEALING, "L0": floor, "tau": tau}, step=step, lr=WITH_TURNS)
        assert found[i] == pytest.approx(float(one), rel=1e-13)


def test_blocks_do_not_change_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    s = Schedule.cosine(3e-4, 3000, warmup=100)
    rows = Schedules((s, WITH_TURNS), np.tile([0, 1], 40), np.linspace(110, 150, 80).round())
    law, theta = find("multi-power"), np.tile(list(POWER.values()), (3, 1)) * [[1.0], [1.1], [0.9]]

    def formula(*values: object) -> object:
        return law.formula(step=rows.step, lr=rows, **dict(zip(law.names, values)))

    whole = value_and_jacobian(formula, theta)
    monkeypatch.setattr("forescale.laws._schedule.BLOCK", 100)
    parts = value_and_jacobian(formula, theta)
    for one, other in zip(whole, parts):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_errors_teach() -> None:
    law = find("annealing")
    with pytest.raises(LawError, match="without \\['lr'\\]"):
        law(ANNEALING, step=5)
    with pytest.raises(DataError, match="step 151 of a schedule of 150 steps"):
        law(ANNEALING, step=[10, 151], lr=WITH_TURNS)
    with pytest.raises(DataError, match="step 0"):
        law(ANNEALING, step=0, lr=WITH_TURNS)
    with pytest.raises(LawError, match="'b' has no schedule"):
        law(ANNEALING, step=[10, 20], lr={"a": WITH_TURNS}, run=["a", "b"])
    with pytest.raises(LawError, match="without the run of each row"):
        law(ANNEALING, step=[10, 20], lr={"a": WITH_TURNS})
    with pytest.raises(LawError, match="given as list"):
        law(ANNEALING, step=[10, 20], lr=[1e-3, 1e-3])
    with pytest.raises(LawError, match="step among them"):
        law.on(step="steps")
    for name in ("annealing", "annealing-size", "multi-power"):
        assert {"compute-optimal", "reach"} <= set(find(name).refuses)


@mirrored
@pytest.mark.parametrize(
    ("size", "mae", "relative", "largest"), [("25m", 0.00376, 0.00110, 0.0071), ("100m", 0.00435, 0.00142, 0.0103)]
)
def test_published_constants_give_the_published_errors(
    size: str, mae: float, relative: float, largest: float
) -> None:
    """Check m2: six curves that the authors did not fit; their worst point, relative."""
    points = curve_points(dataset(f"mpl-{size}", role="test"))
    found = published(f"multi-power:luo2025-{size}").predict(points).estimate
    off, runs = np.abs(found - points["loss"]), points.labels["run"]
    names = sorted(set(runs.tolist()))
    assert len(names) == 6
    assert np.mean([off[runs == n].mean() for n in names]) == pytest.approx(mae, abs=1e-4)
    assert np.mean([(off / points["loss"])[runs == n].mean() for n in names]) == pytest.approx(relative, abs=1e-4)
    assert (off / points["loss"]).max() == pytest.approx(largest, abs=2e-4)

# SPDX-License-Identifier: Apache-2.0
"""Schedules under laws along curves: closed forms, the published optimum, measured curves, deadlines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import ForescaleError, InputError, QueryError, RefusedError
from forescale.core.frozen import Frozen
from forescale.core.schedule import Schedule
from forescale.fitting._fit import Fit
from forescale.fitting.published import published
from forescale.fitting.surface import surface
from forescale.laws import find
from forescale.laws._law import Published
from forescale.laws._schedule import Schedules
from forescale.planning import plan, schedule
from forescale.planning._free_form import CELLS, _Problem, best_schedule, falling
from forescale.planning._schedules import Family
from forescale.testing.planners import Ladder, PlannerCase

PEAK, STEPS, WARMUP = 3e-4, 24_000, 2160
ANNEALED = {"L0": 2.5246, "A": 0.6536, "alpha": 0.4205, "C": 0.57, "tau": 1000.0}
"""Specification 7.5: the annealing law on the 400M curves (least squares, tau held)."""


def annealing(law: str = "annealing", **more: float) -> Fit:
    """A fit of the annealing law made of constants."""
    found = find(law)
    facts = Published(values={**ANNEALED, **more}, source="tissue2024", fitted_range={"step": (2160.0, 23936.0)})
    return published("made", law=replace(found, published={"made": facts}))


class TestSchedule(PlannerCase):
    planners = (schedule.planner,)
    grounds: ClassVar[Mapping[str, Sequence[Any]]] = Frozen({"schedule": ("multi-power:luo2025-100m",)})
    ladders: ClassVar[Mapping[str, Ladder]] = Frozen(
        {"schedule": Ladder("steps", (12_000, 24_000, 48_000), rising=("decay_start", "decay_steps"))}
    )
    conflicts: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = Frozen(
        {
            "schedule": (
                {"steps": 1000, "hours": 2, "seconds_per_step": 1},
                {"steps": 20_000, "done": 20_000},
                {"steps": 20_000, "schedules": "cosine: 10000 steps"},
                {"shape": "exponential", "end": 0},
            )
        }
    )

    def test_conflicts_are_named(self, planner: Any) -> None:
        """What contradicts is named; seconds_per_step alone contradicts nothing."""
        for query in self.conflicts[planner.id]:
            with pytest.raises(ForescaleError) as caught:
                self.ask(planner, **query)
            for name in set(query) - {"seconds_per_step"}:
                assert name in str(caught.value)


# ------------------------------------------------------------------------------------------------------ closed forms


def linear_by_hand(n: np.ndarray, p: Mapping[str, float]) -> np.ndarray:
    """The annealing law at the end of a constant rate with a linear cool-down to zero over n steps (2408.11029)."""
    lam = 1.0 - 1.0 / p["tau"]
    i = np.arange(STEPS + 1)
    gain = p["tau"] * (1.0 - lam**i)  # of a drop of one, i steps before the end
    done = np.concatenate([[0.0], np.cumsum(gain[1:])])
    S1 = PEAK * (0.5 * (WARMUP + 1) + (STEPS - WARMUP) - 0.5 * (n + 1))
    return p["L0"] + p["A"] * S1 ** -p["alpha"] - p["C"] * PEAK / n * done[n]


def test_the_best_linear_cooldown_of_the_annealing_law_is_that_of_its_closed_form() -> None:
    n = np.arange(100, STEPS - WARMUP)
    by_hand = linear_by_hand(n, ANNEALED)
    found = plan("schedule", annealing(), steps=STEPS, peak=PEAK, warmup=WARMUP)
    assert found["decay_steps"].value == pytest.approx(n[by_hand.argmin()], rel=2e-3)
    assert found.expected["loss"].value == pytest.approx(by_hand.min(), abs=2e-5)
    assert found.binding == "the horizon of 24,000 steps"


def test_the_free_form_of_the_annealing_law_is_one_drop_to_zero() -> None:
    """Its gain is linear in the drops and concave in their place, so all of the rate falls at once."""
    p = ANNEALED
    k = np.arange(WARMUP + 1, STEPS + 1)
    S1 = PEAK * (0.5 * (WARMUP + 1) + (k - 1 - WARMUP))
    S2 = PEAK * p["tau"] * (1.0 - (1.0 - 1.0 / p["tau"]) ** (STEPS - k + 1))
    by_hand = p["L0"] + p["A"] * S1 ** -p["alpha"] - p["C"] * S2
    made, loss = best_schedule(find("annealing"), p, PEAK, STEPS, WARMUP, {})
    assert by_hand.min() <= loss <= by_hand.min() + 2e-5
    dropped = int(np.flatnonzero(made.lr[WARMUP:] < 0.5 * PEAK)[0]) + WARMUP + 1
    widest = (STEPS - WARMUP) ** (1 / (CELLS - 1)) - 1.0  # cells grow by this factor from the end
    assert abs(dropped - k[by_hand.argmin()]) <= widest * (STEPS - dropped) + 1


def test_the_free_form_of_the_multi_power_law_is_the_published_one() -> None:
    """Specification 7.4: 400M, 24,000 steps: 2.5332 at the end, last rate about 1.4e-6, like a WSD.

    2.5332 counts no rises of the warm-up, which the law as published does (without them its errors on the authors'
    curves, 7.5, do not come out): with them any schedule here ends 0.156 higher. Without them our search ends at
    2.5304, below the 2.5332 of the authors' optimiser; the best linear cool-down lies above both.
    """
    law = find("multi-power")
    p = law.constants("luo2025-400m")
    made, loss = best_schedule(law, p, PEAK, STEPS, WARMUP, {})
    rows = Schedules.of(made, [float(STEPS)])
    rises = rows.schedules[0].grouped().where(rows.schedules[0].grouped().warmup)
    since = made.total[-1] - rises.before
    counted = -p["B"] * (rises.size * (1 - (1 + p["C"] * rises.after ** -p["gamma"] * since) ** -p["beta"])).sum()
    assert loss - counted == pytest.approx(2.5304, abs=2e-4)
    cooled = plan("schedule", steps=STEPS, peak=PEAK, warmup=WARMUP).expected["loss"].value - counted
    assert loss - counted < 2.5332 < cooled
    assert loss == pytest.approx(2.6862, abs=2e-4)
    assert 1e-6 < made.lr[-1] < 2e-6
    assert made.lr[int(0.9 * STEPS)] == pytest.approx(PEAK)  # a plateau, then a steep fall
    assert np.all(np.diff(made.lr[WARMUP:]) <= 0)
    assert float(law(p, step=STEPS, lr=made)) == pytest.approx(loss, abs=1e-9)


def test_the_gradient_of_the_free_form_is_exact() -> None:
    law, p = find("multi-power"), find("multi-power").constants("luo2025-25m")
    problem = _Problem(law, p, PEAK, 2160.0, np.linspace(2160, STEPS, 13).round(), {})
    x = np.log(PEAK * np.linspace(1.0, 0.05, 12))
    _, slope = problem.value(x)
    h = 1e-5
    for i, step in enumerate(h * np.eye(12)):
        change = (problem.value(x + step)[0] - problem.value(x - step)[0]) / (2 * h)
        assert slope[i] == pytest.approx(change, rel=1e-5, abs=1e-9)


def test_no_other_falling_schedule_of_a_short_run_is_better() -> None:
    law, p = find("multi-power"), find("multi-power").constants("luo2025-25m")
    made, loss = best_schedule(law, p, PEAK, 400, 40, {})
    rng = np.random.default_rng(0)
    others = [
        Schedule.wsd(PEAK, 400, decay=d, warmup=40, shape=s)
        for d in (0.05, 0.1, 0.2, 0.4)
        for s in ("linear", "1-sqrt")
    ]
    for _ in range(200):
        moved = made.lr[40:] * np.exp(0.3 * rng.standard_normal() * rng.standard_normal(360).cumsum() / 20)
        tail = np.minimum.accumulate(np.minimum(moved, PEAK))
        others.append(Schedule(np.concatenate([made.lr[:40], tail]), 40))
    rows = Schedules(tuple(others), np.arange(len(others)), np.full(len(others), 400.0))
    assert law(p, step=rows.step, lr=rows).min() > loss - 2e-4


def test_falling_is_the_projection() -> None:
    assert falling(np.array([1.0, 3.0, 2.0]), np.ones(3)) == pytest.approx(np.full(3, 2.0))
    assert falling(np.array([3.0, 2.0, 1.0]), np.ones(3)) == pytest.approx([3.0, 2.0, 1.0])
    assert falling(np.array([1.0, 4.0]), np.array([3.0, 1.0])) == pytest.approx([1.75, 1.75])


# --------------------------------------------------------------------------------------------------------- intervals


def test_what_schedules_share_drops_out_of_their_differences() -> None:
    fit = published("multi-power:luo2025-100m")
    draws = np.tile([fit.params[name] for name in fit.law.names], (300, 1))
    draws[:, 0] += 0.05 * np.random.default_rng(0).standard_normal(300)  # only the floor moves
    found = plan("schedule", replace(fit, draws=draws, draws_from="laplace"), steps=STEPS, peak=PEAK, warmup=WARMUP)
    table = found.table("schedules")
    loss = [b - a for a, b in zip(table.column("from"), table.column("to"))]  # type: ignore[operator]
    gap = [b - a for a, b in zip(table.column("from ")[1:], table.column("to ")[1:])]  # type: ignore[operator]
    assert min(loss) > 0.1
    assert max(gap) < 1e-9
    assert found["decay_share"].upper is None  # no draw moves it
    assert found.table("schedules").column("lowest in")[-1] == pytest.approx(100.0)


def test_the_spline_between_shares_is_the_law() -> None:
    fit = published("multi-power:luo2025-25m")
    family = Family(STEPS, PEAK, WARMUP, 0.0, "linear", 0.9)
    found = family.cooldowns(surface(fit, 0))
    for share in (0.013, 0.08, 0.21, 0.55):
        law = float(fit.law(fit.params, step=STEPS, lr=family.schedule(share)))
        assert found.at(np.array([share]))[0, 0] == pytest.approx(law, abs=2e-5)


# ---------------------------------------------------------------------------------------------------- measured curves


@pytest.fixture(scope="module")
def measured() -> dict[str, fs.Runs]:
    """The curves of Luo et al. for 25M and 100M."""
    try:
        return {size: fs.dataset(f"mpl-{size}") for size in ("25m", "100m")}
    except ForescaleError as error:
        pytest.skip(f"no data: {error}")


def last(runs: fs.Runs, run: str) -> tuple[float, float, Schedule]:
    """Last logged step and loss of a curve, and its schedule up to there."""
    from forescale.runs.curves import schedules

    curve = runs.curves[run]
    at = int(np.flatnonzero(np.isfinite(curve.loss))[-1])
    return curve.step[at], curve.loss[at], schedules(runs)[run]


def test_published_constants_at_the_last_step(measured: dict[str, fs.Runs]) -> None:
    """What the warning `last-step` says of them."""
    cool, cosine = [], []
    for size, runs in measured.items():
        fit = published(f"multi-power:luo2025-{size}")
        for run, off in (("wsd_20000_24000", cool), ("wsdld_20000_24000", cool), ("cosine_24000", cosine)):
            step, loss, made = last(runs, run)
            off.append(float(fit.law(fit.params, step=step, lr=made)) - loss)
    assert -0.0175 < min(cool) < max(cool) < -0.0095
    assert 0.0105 < min(cosine) < max(cosine) < 0.0115


@pytest.mark.parametrize("size", ["25m", "100m"])
def test_a_fit_to_three_curves_orders_the_schedules_as_measured(measured: dict[str, fs.Runs], size: str) -> None:
    """Bare runs are fitted with the annealing law; the exponential cool-down was not among them."""
    runs = measured[size]
    fitted = runs.where(runs.labels["role"] == "fit")
    asked = "cosine to 10%; constant; wsd: from 20000 exponential, end 10%"
    found = plan("schedule", fs.fit(fitted, "annealing"), steps=STEPS, schedules=asked)
    said = found.table("schedules").column("loss")[:3]
    came = [last(runs, run)[1] for run in ("cosine_24000", "constant_24000", "wsd_20000_24000")]
    assert np.argsort(said).tolist() == np.argsort(came).tolist() == [2, 0, 1]
    assert np.abs(np.array(said, dtype=float) - came).max() < 0.025  # the cool-down of 100M comes out 0.023 too low
    assert found["peak"].value == PEAK  # as in the fit
    assert found.evidence.rows is not None
    assert any("warm-up takes 2,160 steps" in text for text in found.assumptions)


# ---------------------------------------------------------------------------------------------------------- questions


def test_a_deadline_counts_the_steps() -> None:
    found = plan("schedule", hours=5, seconds_per_step=0.9, done=4000, peak=PEAK, warmup=WARMUP)
    assert found["steps"].value == 24_000
    wait = (found["decay_start"].value - 4000) * 0.9 / 3600
    assert found["hours_to_decay"].value == pytest.approx(wait)
    assert found["decay_start"].value == pytest.approx(
        plan("schedule", steps=STEPS, peak=PEAK, warmup=WARMUP)["decay_start"].value, rel=0.01
    )


def test_a_deadline_that_is_near_says_now() -> None:
    found = plan("schedule", steps=STEPS, done=23_500, peak=PEAK, warmup=WARMUP)
    assert found.binding == "the steps already done"
    assert found["decay_start"].value == pytest.approx(23_500)
    assert "edge" in {w.code for w in found.warnings}


def test_a_law_with_size() -> None:
    fit = annealing("annealing-size", B=20.0, beta=0.3)
    small, large = (plan("schedule", fit, steps=STEPS, peak=PEAK, params=n) for n in ("10M", "1B"))
    assert small["decay_share"].value == pytest.approx(large["decay_share"].value, rel=1e-6)
    shift = 20.0 * (1e7**-0.3 - 1e9**-0.3)
    assert small.expected["loss"].value - large.expected["loss"].value == pytest.approx(shift, rel=1e-6)
    with pytest.raises(QueryError, match="params"):
        plan("schedule", fit, steps=STEPS, peak=PEAK)
    with pytest.raises(QueryError, match="params"):
        plan("schedule", annealing(), steps=STEPS, peak=PEAK, params="10M")


def test_the_free_form_stands_beside_the_others() -> None:
    found = plan("schedule", steps=STEPS, peak=PEAK, warmup=WARMUP, free_form=True)
    names = found.table("schedules").column("schedule")
    losses = np.array(found.table("schedules").column("loss"), dtype=float)
    assert names[np.argmin(losses)] == schedule.FREE
    assert found["free_form_gain"].value == pytest.approx(losses[-2] - losses[-1])
    assert {"optimal-for-the-law", "end-rate", "last-step"} <= {w.code for w in found.warnings}
    assert found.table("free form").rows


def test_the_trap_of_the_annealing_law_is_said() -> None:
    found = plan("schedule", annealing(), steps=STEPS, peak=6e-4)
    assert {"linear-in-drops", "no-uncertainty"} <= {w.code for w in found.warnings}
    with pytest.raises(RefusedError, match="multi-power"):
        plan("schedule", annealing(), steps=STEPS, peak=PEAK, free_form=True)


def test_other_peaks_and_lengths_are_said() -> None:
    codes = {w.code for w in plan("schedule", steps=100_000, peak=1e-3).warnings}
    assert {"peak", "horizon"} <= codes
    assert not {"peak", "horizon"} & {w.code for w in plan("schedule", steps=STEPS, peak=PEAK).warnings}


@pytest.mark.parametrize(
    "query",
    [
        {"steps": 0}, {"steps": -5}, {"steps": "nan"}, {"steps": 1.5}, {"steps": "7 bananas"}, {"steps": 1e12},
        {"peak": 0}, {"peak": math.nan}, {"peak": -1}, {"warmup": 30_000}, {"end": 1.0}, {"schedules": ""},
        {"schedules": "sine"}, {"schedules": "wsd from 30000"}, {"shape": "square"},
        {"hours": 3, "steps": None}, {"steps": 3, "warmup": 2},
    ],
)  # fmt: skip
def test_bad_questions(query: Mapping[str, Any]) -> None:
    with pytest.raises(InputError):
        plan("schedule", **{"steps": STEPS, "peak": PEAK, **query})


def test_laws_without_schedules_play_no_part() -> None:
    with pytest.raises(RefusedError):
        plan("schedule", published("chinchilla:besiroglu2024"), steps=STEPS, peak=PEAK)

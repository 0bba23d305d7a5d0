# SPDX-License-Identifier: Apache-2.0
"""Runs that are under way: forecasts replayed on public curves, the options, the advice, bad curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, ForescaleError, InputError
from forescale.core.frozen import Frozen
from forescale.core.schedule import Schedule
from forescale.laws import find
from forescale.planning import _running, plan, stop_early
from forescale.planning._plan import Plan
from forescale.planning._running import Pool, Seen, futures
from forescale.testing.planners import PlannerCase

STEPS = 20_000
WSD = Schedule.wsd(3e-4, STEPS, decay=0.2, warmup=1000)
PLANNED = "wsd: peak 3e-4, decay 20%, warmup 1000"


def job(made: Schedule = WSD, done: float = 0.6, law: str = "luo2025-100m") -> dict[str, Any]:
    """The log of a run that a published law describes with .1 % of noise, cut at a share of its steps."""
    truth = find("multi-power")
    step = np.arange(100, int(done * len(made)) + 1, 100)
    loss = truth(truth.constants(law), step=step, lr=made)
    loss = loss * np.exp(1e-3 * np.random.default_rng(0).standard_normal(step.size))
    return {"run": ["job"] * step.size, "step": step, "loss": loss, "lr_now": made.lr[step - 1]}


def asked(log: Mapping[str, Any] | None = None, **query: Any) -> Plan:
    """The plan for a log."""
    table = fs.Runs.from_columns(job() if log is None else log)
    return plan("stop-early", table, **{"schedule": PLANNED, "steps": STEPS, **query})


class TestStopEarly(PlannerCase):
    planners = (stop_early.planner,)
    grounds: ClassVar[Mapping[str, Sequence[Any]]] = Frozen({"stop-early": (fs.Runs.from_columns(job()),)})
    conflicts: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = Frozen(
        {
            "stop-early": (
                {"target": 2.9, "reference": "job"},
                {"steps": 12_000},
                {"extend_to": 20_000, "steps": 20_000},
                {"run": "job", "reference": "job"},
            )
        }
    )


# ---------------------------------------------------------------------------------------------------------- forecasts


def end(law: str, made: Schedule) -> float:
    """What the law gives at the last step."""
    truth = find("multi-power")
    return float(truth(truth.constants(law), step=len(made), lr=made))


@pytest.mark.parametrize("law", ["luo2025-25m", "luo2025-100m", "luo2025-400m"])
def test_the_end_of_a_published_law_lies_in_the_interval(law: str) -> None:
    """Another law than the one that forecasts, before the rate has fallen at all, and in the fall."""
    for done in (0.4, 0.7, 0.9):
        found = asked(job(done=done, law=law))["last_loss"]
        assert found.lower is not None
        assert found.upper is not None
        assert found.lower < end(law, WSD) < found.upper
        assert abs(found.value - end(law, WSD)) < 0.04


def test_a_curve_of_the_own_form_is_continued_exactly() -> None:
    """Once the rate has fallen the gain is seen, and a wide prior leaves it alone (Specification 7.1)."""
    law, p = find("annealing"), {"L0": 2.5, "A": 0.55, "alpha": 0.5, "C": 0.8, "tau": 250.0}
    made = Schedule.wsd(3e-4, STEPS, decay=0.6, warmup=1000)
    step = np.arange(100.0, 0.8 * STEPS, 100.0)
    seen = Seen(step, law(p, step=step, lr=made), Schedule(made.lr[: int(step[-1])], 1000))
    free = Pool(gain=0.06, power=0.0, spread=10.0, bend=1.0, widening=0.0)
    found = futures(seen, [made], free)
    assert found.mean[0] == pytest.approx(float(law(p, step=STEPS, lr=made)), abs=2e-3)
    assert found.gain == pytest.approx(0.8 * 3e-4 * 250.0, rel=0.1)


def test_units_of_the_loss_and_of_the_rate_change_nothing() -> None:
    log = job()
    seen = Seen(log["step"].astype(float), log["loss"], Schedule(WSD.lr[: int(log["step"][-1])], 1000))
    pool = replace(_running.shipped(), power=0.0)
    one = futures(seen, [WSD], pool)
    other = futures(
        Seen(seen.step, seen.loss / math.log(2), Schedule(10 * seen.past.lr, 1000)),
        [Schedule(10 * WSD.lr, 1000)],
        pool,
    )
    assert other.mean[0] * math.log(2) == pytest.approx(one.mean[0], rel=1e-9)
    assert other.sd[0] * math.log(2) == pytest.approx(one.sd[0], rel=1e-9)


def test_the_draws_are_the_mean_and_the_deviation() -> None:
    log = job()
    seen = Seen(log["step"].astype(float), log["loss"], Schedule(WSD.lr[: int(log["step"][-1])], 1000))
    found = futures(seen, [WSD, Schedule.wsd(3e-4, 30_000, decay=0.2, warmup=1000)], _running.shipped())
    drawn = found.values[1:]
    assert np.abs(drawn.mean(axis=0) - found.mean).max() < 4 * found.sd.max() / math.sqrt(len(drawn))
    assert drawn.std(axis=0) == pytest.approx(found.sd, rel=0.1)  # 1,000 draws: 2.2 % standard error
    assert np.corrcoef(drawn.T)[0, 1] > 0.5  # one gain, one form


def test_more_of_the_curve_says_more() -> None:
    ends = [asked(job(done=done))["last_loss"] for done in (0.3, 0.6, 0.9)]
    widths = [found.upper - found.lower for found in ends]  # type: ignore[operator]
    assert widths[0] > widths[1] > widths[2]


# ------------------------------------------------------------------------------------------------------ public curves


@pytest.fixture(scope="module")
def replays(script: Callable[[str], ModuleType]) -> ModuleType:
    """The benchmark as a module."""
    return script("benchmarks/replay_curves.py")


@pytest.fixture(scope="module")
def whole(replays: ModuleType) -> list[Any]:
    """All public curves."""
    try:
        return replays.curves()  # type: ignore[no-any-return]
    except ForescaleError as error:
        pytest.skip(f"no data: {error}")


def pool_without(where: str) -> Pool:
    """What the other sets say."""
    return Pool(**_running.constants()["without"][where])


def test_nominal_intervals_hold_the_ends_of_the_curves_of_luo(replays: ModuleType, whole: list[Any]) -> None:
    """25M, 100M and 400M, 21 curves cut at 30, 50 and 70 %, with the constants of the other sets: all forecasts."""
    rows = replays.replay([w for w in whole if w.set == "multi_power_law"], pool_without("multi_power_law"))
    assert len(rows) == 63
    assert 0.85 <= np.mean([r.held for r in rows]) <= 0.95
    assert np.mean([abs(r.future.mean[0] - r.end) for r in rows]) < 0.1 * np.mean([abs(r.last - r.end) for r in rows])


def test_nominal_intervals_hold_the_ends_of_the_sweeps(replays: ModuleType, whole: list[Any]) -> None:
    """Every fourth of the 185 curves of Hägele et al.; the benchmark counts all: 88.9 % of 551."""
    some = [w for w in whole if w.set == "epfl_lr_schedules"][::4]
    rows = replays.replay(some, pool_without("epfl_lr_schedules"))
    assert len(rows) > 130
    held = np.mean([r.held for r in rows])
    assert abs(held - 0.889) < 3 * math.sqrt(0.889 * 0.111 / len(some))  # cuts of one curve go together
    assert np.mean([abs(r.future.mean[0] - r.end) for r in rows]) < 0.15 * np.mean(
        [abs(r.last - r.end) for r in rows]
    )


def test_the_constants_are_what_the_benchmark_makes(replays: ModuleType, whole: list[Any]) -> None:
    made = replays.pool([w for w in whole if w.set != "epfl_lr_schedules"])
    said = pool_without("epfl_lr_schedules")
    for name, value in asdict(made).items():
        assert value == pytest.approx(asdict(said)[name], rel=1e-3), name


def test_a_public_curve_through_the_planner(whole: list[Any]) -> None:
    runs = fs.dataset("mpl-100m")
    curve = runs.curves["cosine_24000"]
    known = curve.step <= 12_000
    known &= np.isfinite(curve.loss)
    log: dict[str, Any] = {"run": ["x"] * known.sum(), "step": curve.step[known], "loss": curve.loss[known]}
    log |= {"lr_now": curve.lr[known], "warmup_steps": np.full(known.sum(), 2160.0)}
    found = asked(log, schedule="cosine to 10%", steps=23_920, target=3.0)
    assert found["last_loss"].lower < 2.9791 < found["last_loss"].upper  # type: ignore[operator]
    assert found["p_better"].value > 50


# ------------------------------------------------------------------------------------------------------------ options


def test_cooling_down_now_ends_sooner_and_higher() -> None:
    found = asked(extend_to=30_000)
    table = found.table("options")
    assert table.column("option") == ("as planned", "cool down now", "extend", "stop")
    loss = np.array(table.column("loss"), dtype=float)
    assert loss[2] < loss[0] < loss[1] < loss[3]
    assert found["cool_down_now_loss"].value == pytest.approx(loss[1] - loss[0])
    assert found["cool_down_now_steps"].value == round(12_000 / 9)
    assert found["extend_steps"].value == 18_000
    gap, alone = found["cool_down_now_loss"], found["last_loss"]
    assert gap.upper - gap.lower < alone.upper - alone.lower  # type: ignore[operator]  # drawn together


def test_the_probability_of_beating_a_loss_rises_with_it() -> None:
    better = [asked(target=t)["p_better"].value for t in (2.5, 2.85, 2.92, 2.99, 3.5)]
    assert better[0] == 0.0
    assert better[-1] == 100.0
    assert np.all(np.diff(better) >= 0)
    said = {t: asked(target=t).headline.split(".")[0] for t in (2.5, 3.5)}
    assert said == {2.5: "Stop it", 3.5: "Cool down now: that is enough"}


def test_another_run_is_the_reference() -> None:
    log, other = job(), job(done=1.0, law="luo2025-25m")
    table = {name: np.concatenate([log[name], other[name]]) for name in ("step", "loss", "lr_now")}
    names = ["job"] * len(log["run"]) + ["small"] * len(other["run"])
    found = asked({"run": names, **table}, reference="small")
    assert found["p_better"].value == 100.0
    assert "small (3." in found.headline
    assert found["last_loss"].value == pytest.approx(asked()["last_loss"].value, rel=1e-9)
    with pytest.raises(InputError, match="2 runs"):
        asked({"run": names, **table})
    with pytest.raises(InputError, match="nobody"):
        asked({"run": names, **table}, reference="nobody")


def test_rates_of_the_log_or_of_the_plan() -> None:
    log = job()
    bare = {name: log[name] for name in ("step", "loss")}
    found = asked(bare)
    assert found["last_loss"].value == pytest.approx(asked(log)["last_loss"].value, abs=1e-4)
    assert any("no learning rates" in text for text in found.assumptions)
    with pytest.raises(InputError, match="peak"):
        asked(bare, schedule="cosine")


# ------------------------------------------------------------------------------------------------------------ trouble


def codes(found: Plan) -> set[str]:
    """Codes of the warnings."""
    return {w.code for w in found.warnings}


def test_what_is_said() -> None:
    assert "no-drop-yet" in codes(asked())
    assert "no-drop-yet" not in codes(asked(job(done=0.9)))
    assert "early" in codes(asked(job(done=0.15)))
    assert "early" not in codes(asked())
    assert "plan-jumps" in codes(asked(schedule="cosine: peak 3e-4, warmup 1000"))
    spiked = job()
    spiked["loss"][-8:] += 0.3
    found = asked(spiked)
    assert "rising" in codes(found)
    assert "Not to be relied on" in found.headline


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "wsd"}, {"schedule": "sine", "steps": STEPS}, {"schedule": ""},
        {"schedule": PLANNED, "steps": 12_000},
        {"schedule": "wsd: 30000 steps", "steps": STEPS}, {"schedule": PLANNED, "extend_to": STEPS, "steps": STEPS},
        {"schedule": PLANNED, "steps": STEPS, "target": -1}, {"schedule": PLANNED, "steps": STEPS, "decay": 1.5},
        {"schedule": PLANNED, "steps": STEPS, "sure": 0.2}, {"schedule": PLANNED, "steps": STEPS, "run": "x"},
    ],
)  # fmt: skip
def test_bad_questions(change: Mapping[str, Any]) -> None:
    with pytest.raises(InputError):
        plan("stop-early", fs.Runs.from_columns(job()), **change)


def test_bad_curves() -> None:
    log = job()
    twice = {name: np.concatenate([log[name], log[name][-3:]]) for name in log}
    with pytest.raises(DataError, match="repeat"):
        asked(twice)
    few = {name: log[name][:3] for name in log}
    with pytest.raises(DataError, match="at least 6"):
        asked(few)
    with pytest.raises(DataError):
        asked({"run": ["a", "b"], "loss": [3.0, 3.1]}, run="a")
    with pytest.raises(InputError):
        plan("stop-early", schedule=PLANNED, steps=STEPS)

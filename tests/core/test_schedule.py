# SPDX-License-Identifier: Apache-2.0
"""Learning-rate schedules: their shapes, logs of them, and the groups that their drops are merged into."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.core.schedule import Schedule

PEAK = 3e-4


def test_constant_and_its_warm_up() -> None:
    s = Schedule.constant(PEAK, 100, warmup=20)
    assert len(s) == 100
    assert s.warmup == 20
    np.testing.assert_allclose(s.lr[:20], PEAK * np.arange(1, 21) / 20)
    np.testing.assert_array_equal(s.lr[19:], PEAK)
    assert s.total[-1] == pytest.approx(PEAK * (10.5 + 80))


def test_cosine_has_its_ends_and_its_middle() -> None:
    s = Schedule.cosine(PEAK, 1100, end=0.1 * PEAK, warmup=100)
    assert s.lr[99] == pytest.approx(PEAK)
    assert s.lr[-1] == pytest.approx(0.1 * PEAK)
    assert s.lr[599] == pytest.approx(0.55 * PEAK)
    assert np.all(np.diff(s.lr[99:]) < 0)


@pytest.mark.parametrize(
    ("shape", "middle"), [("linear", 0.55), ("1-sqrt", 1 - 0.9 * 0.5**0.5), ("exponential", 0.1**0.5)]
)
def test_cool_downs(shape: str, middle: float) -> None:
    share = Schedule.wsd(PEAK, 1000, decay=0.2, end=0.1 * PEAK, shape=shape, warmup=10)
    steps = Schedule.wsd(PEAK, 1000, decay=200, end=0.1 * PEAK, shape=shape, warmup=10)
    np.testing.assert_array_equal(share.lr, steps.lr)
    np.testing.assert_array_equal(share.lr[9:800], PEAK)
    assert share.lr[899] == pytest.approx(middle * PEAK)
    assert share.lr[-1] == pytest.approx(0.1 * PEAK)


def test_steps_are_where_they_were_said_to_be() -> None:
    s = Schedule.stepped({1: PEAK, 8: 0.5 * PEAK, 12: 0.1 * PEAK}, 14)
    np.testing.assert_allclose(s.lr / PEAK, [1] * 7 + [0.5] * 4 + [0.1] * 3)
    d = s.drops()
    np.testing.assert_array_equal(d.step, [1, 8, 12])
    np.testing.assert_allclose(d.size / PEAK, [-1, 0.5, 0.4])
    np.testing.assert_allclose(d.before / PEAK, [0, 7, 9])
    np.testing.assert_allclose(d.after / PEAK, [1, 0.5, 0.1])
    assert d.warmup.tolist() == [True, False, False]


def test_a_log_is_interpolated() -> None:
    s = Schedule.logged([4, 6, 10], [1e-3, np.nan, 4e-4])
    np.testing.assert_allclose(s.lr, 1e-3 * np.array([0.25, 0.5, 0.75, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]))
    assert s.warmup == 4
    known = Schedule.logged([4, 6, 10], [1e-3, np.nan, 4e-4], warmup=2)
    np.testing.assert_allclose(known.lr[:5], 1e-3 * np.array([0.5, 1, 1, 1, 0.9]))
    assert Schedule.logged([4, 10], [1e-3, 1e-3], warmup=0).lr.tolist() == [1e-3] * 10


def test_a_log_of_the_warm_up_says_how_long_it_is() -> None:
    whole = Schedule.cosine(PEAK, 500, warmup=40)
    every = np.arange(1, 501)
    np.testing.assert_allclose(Schedule.logged(every, whole.lr).lr, whole.lr)
    assert Schedule.logged(every, whole.lr).warmup == 40
    assert Schedule.logged(every, Schedule.constant(PEAK, 500).lr).warmup == 0
    # a log that counts from the untrained model on
    zero = Schedule.logged(np.arange(501), np.concatenate([[0.0], whole.lr]))
    np.testing.assert_allclose(zero.lr, whole.lr)
    assert zero.warmup == 40


def test_a_thinned_log_keeps_the_sum_of_the_rates() -> None:
    """Every hundredth rate with its step gives the same sum; every hundredth rate alone a hundredth of it."""
    whole = Schedule.cosine(PEAK, 20_000, end=0.1 * PEAK, warmup=1000)
    at = np.arange(100, 20_001, 100)
    thinned = Schedule.logged(at, whole.lr[at - 1])
    assert thinned.total[-1] == pytest.approx(whole.total[-1], rel=1e-4)
    assert Schedule(whole.lr[at - 1]).total[-1] == pytest.approx(whole.total[-1] / 100, rel=1e-2)


def test_rounding_of_a_log_is_no_drop() -> None:
    rates = np.full(50, PEAK)
    rates[20] *= 1 + 1e-14
    assert len(Schedule(rates).drops()) == 1


@pytest.mark.parametrize("schedule", [
    Schedule.cosine(PEAK, 24_000, end=0.1 * PEAK, warmup=2000),
    Schedule.wsd(PEAK, 24_000, end=0.1 * PEAK, shape="exponential", warmup=2000),
    Schedule.wsd(PEAK, 24_000, decay=0.5, shape="1-sqrt"),
])  # fmt: skip
def test_groups_keep_what_they_must(schedule: Schedule) -> None:
    """Sizes and first moments add up; groups are about equal, and as many as asked for."""
    every, groups = schedule.drops(), schedule.grouped(200)
    assert 150 < len(groups) <= 225
    for part in (False, True):
        one, many = groups.where(groups.warmup == part), every.where(every.warmup == part)
        assert one.size.sum() == pytest.approx(many.size.sum(), rel=1e-12)
        for name in ("step", "before", "after"):
            moments = [(d.size * getattr(d, name)).sum() for d in (one, many)]
            assert moments[0] == pytest.approx(moments[1], rel=1e-12)
    falls = groups.size[~groups.warmup]
    assert falls.max() <= 2.5 * falls.mean()
    assert np.all(np.diff(groups.step) > 0)


def test_groups_are_right_to_second_order() -> None:
    """What a smooth function of the step makes of the groups: an error that falls with the square of their number."""
    s = Schedule.cosine(PEAK, 20_000, warmup=500)
    every = s.drops()
    exact = (every.size * np.exp(-every.step / 5000)).sum()
    errors = [abs((g.size * np.exp(-g.step / 5000)).sum() / exact - 1) for g in (s.grouped(50), s.grouped(200))]
    assert errors[1] < errors[0] / 8
    assert errors[1] < 1e-5


def test_rises_and_falls_do_not_cancel() -> None:
    saw = np.tile([2e-4, 3e-4], 200)
    d = Schedule(saw).grouped(10)
    assert len(d) == 400
    assert np.abs(d.size).min() > 9e-5


def test_it_is_a_value() -> None:
    s = Schedule.cosine(PEAK, 50)
    with pytest.raises(ValueError, match="read-only"):
        s.lr[0] = 1.0
    with pytest.raises(AttributeError):
        s.warmup = 3  # type: ignore[misc]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(s)).total, s.total)  # noqa: S301
    assert repr(s) == "Schedule(50 steps, peak 0.0002997, end 0)"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Schedule(np.array([1e-3, -1e-3])), "step 2 is -0.001"),
        (lambda: Schedule(np.array([1e-3, np.nan])), "step 2 is nan"),
        (lambda: Schedule(np.array([])), "one for each step"),
        (lambda: Schedule(np.zeros(5)), "zero at every step"),
        (lambda: Schedule(np.ones(5), 6), "warm-up of 6 steps"),
        (lambda: Schedule(np.ones(5), 1.5), "warm-up of 1.5 steps"),  # type: ignore[arg-type]
        (lambda: Schedule.constant(PEAK, 0), "at least one"),
        (lambda: Schedule.constant(PEAK, 10.5), "a whole number"),  # type: ignore[arg-type]
        (lambda: Schedule.constant(PEAK, 10, warmup=10), "fewer steps than the run has"),
        (lambda: Schedule.wsd(PEAK, 100, decay=200), "cool-down of 200 of 100 steps"),
        (lambda: Schedule.wsd(PEAK, 100, shape="steep"), "one of linear, 1-sqrt, exponential"),
        (lambda: Schedule.wsd(PEAK, 100, shape="exponential"), "an end above zero"),
        (lambda: Schedule.stepped({5: PEAK}, 10), "the first at 1"),
        (lambda: Schedule.logged([1, 3, 2], [1e-3] * 3), "do not increase"),
        (lambda: Schedule.logged([1, 2], [np.nan] * 2), "without learning rates"),
        (lambda: Schedule.logged([1, 2], [1e-3, -1e-3]), "negative learning rate"),
        (lambda: Schedule.logged([1, 2], [1e-3]), "two rows of one length"),
    ],
)  # fmt: skip
def test_errors_teach(make, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make()

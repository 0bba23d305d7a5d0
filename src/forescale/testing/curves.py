# SPDX-License-Identifier: Apache-2.0
"""What every law along training curves must pass. A package with such a law tests it by

    from forescale.testing.curves import CurveCase

    class TestMyLaws(CurveCase):
        laws = (my_law,)

The same properties as in `testing.laws`, as far as they apply, on runs under three schedules; and that merging the
drops of a learning rate into groups changes little.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from forescale.core.schedule import Schedule
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import GROUPING, fit
from forescale.laws import Law, law_from_json, law_to_json
from forescale.laws._schedule import Schedules
from forescale.numerics.jet import evaluate, value_and_jacobian
from forescale.numerics.starts import sobol
from forescale.runs.table import Curve, Runs
from forescale.testing.laws import LawCase, domain, parameter_box, typical

Array = NDArray[np.float64]

PEAK, WARMUP, STEPS = 3e-4, 300, 6000

SCHEDULES: Mapping[str, Schedule] = {
    "cosine": Schedule.cosine(PEAK, STEPS, end=0.1 * PEAK, warmup=WARMUP),
    "constant": Schedule.constant(PEAK, STEPS, warmup=WARMUP),
    "stepped": Schedule.stepped({1: PEAK, 2500: 0.3 * PEAK}, 4000, warmup=WARMUP),
}
"""What is fitted."""

OTHERS: Mapping[str, Schedule] = {
    "wsd": Schedule.wsd(PEAK, 2 * STEPS, decay=0.25, warmup=WARMUP),
    "cosine": Schedule.cosine(PEAK, 3 * STEPS, warmup=WARMUP),
}
"""What is predicted from it."""

ROWS = 40
"""Logged points of each curve."""


class CurveCase:
    """The properties of a law along curves. Subclasses name their `laws` and change nothing else.

    Attributes:
        laws: what is tested.
    """

    laws: ClassVar[Sequence[Law]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per property and law."""
        if "law" in metafunc.fixturenames and metafunc.cls is not None:
            metafunc.parametrize("law", metafunc.cls.laws, ids=lambda law: str(law.id))

    # words and published numbers: as for every law
    test_documented = LawCase.test_documented
    test_papers_are_known = LawCase.test_papers_are_known
    test_latex = LawCase.test_latex
    test_checks = LawCase.test_checks
    test_constants_in_support_and_start_boxes = LawCase.test_constants_in_support_and_start_boxes

    # -- values -------------------------------------------------------------------------------------------------

    def test_finite(self, law: Law) -> None:
        """Finite on quasi-random parameters, at the first step and at a rate of zero as well."""
        where = points(law, {**SCHEDULES, **{f"{k} (other)": s for k, s in OTHERS.items()}}, ROWS)
        ends = {"first": Schedule.constant(PEAK, 1), "zero": Schedule.stepped({1: PEAK, 3: 0.0}, 5)}
        for inputs in (where, points(law, ends, 5, first=1)):
            assert np.isfinite(law({k: v[:, None] for k, v in random(law, 32).items()}, **inputs)).all()

    def test_vectorised_is_scalar(self, law: Law) -> None:
        """Many rows and parameters at once give what they give one by one; nothing is written to."""
        params, inputs = random(law, 6), points(law, SCHEDULES, 5)
        for array in params.values():
            array.flags.writeable = False
        wide = law({k: v[:, None] for k, v in params.items()}, **inputs)
        n = inputs["step"].size
        assert wide.shape == (6, n)
        for row in range(0, n, 4):
            alone = {k: v[row] for k, v in inputs.items() if k not in ("lr", "run")}
            alone[str(law.schedule)] = SCHEDULES[str(inputs["run"][row])]
            for i in range(6):
                one = law({k: float(v[i]) for k, v in params.items()}, **alone)
                assert one.shape == ()
                assert float(one) == pytest.approx(wide[i, row], rel=1e-12)

    def test_rows_do_not_know_each_other(self, law: Law) -> None:
        """Any choice and order of rows gives the values of these rows."""
        params, inputs = typical(law), points(law, SCHEDULES, ROWS)
        whole = law(params, **inputs)
        chosen = np.random.default_rng(5).permutation(whole.size)[: whole.size // 3]
        part = {k: v if isinstance(v, Mapping) else v[chosen] for k, v in inputs.items()}
        np.testing.assert_allclose(law(params, **part), whole[chosen], rtol=1e-13)

    def test_groups_of_drops(self, law: Law) -> None:
        """Drops merged into groups change a loss by less than 2e-4 on schedules of 24,000 steps."""
        long = {
            "cosine": Schedule.cosine(PEAK, 24_000, end=0.1 * PEAK, warmup=2000),
            "wsd": Schedule.wsd(PEAK, 24_000, decay=0.2, end=0.1 * PEAK, shape="exponential", warmup=2000),
        }
        inputs = points(law, long, 150)
        merged = Schedules.of(long, inputs["step"], inputs["run"])
        assert merged.most is not None
        params, name = typical(law), str(law.schedule)
        change = law(params, **{**inputs, name: merged}) / law(params, **{**inputs, name: merged.exact()}) - 1
        assert np.abs(change).max() < GROUPING

    def test_linear_is_linear(self, law: Law) -> None:
        """Joint second differences in the parameters declared linear vanish."""
        params, inputs = random(law, 32), points(law, SCHEDULES, 8)
        step = {n: 0.3 * params[n] * (1 + 0.5 * i) for i, n in enumerate(law.linear)}
        up, down = ({n: (params[n] + s * step.get(n, 0.0))[:, None] for n in params} for s in (1, -1))
        middle = law({k: v[:, None] for k, v in params.items()}, **inputs)
        np.testing.assert_allclose(law(up, **inputs) + law(down, **inputs), 2 * middle, rtol=1e-12, atol=1e-12)

    def test_jacobian_is_central_difference(self, law: Law) -> None:
        """Exact derivatives agree with central differences."""
        theta = np.stack(list(random(law, 8).values()), axis=1)
        formula = positional(law, points(law, SCHEDULES, 10))
        value, jacobian = value_and_jacobian(formula, theta)
        np.testing.assert_allclose(value, evaluate(formula, theta), rtol=1e-13)
        for p, name in enumerate(law.names):
            step = 5e-6 * np.maximum(np.abs(theta[:, p]), 1e-3)
            up, down = theta.copy(), theta.copy()
            up[:, p] += step
            down[:, p] -= step
            slope = (evaluate(formula, up) - evaluate(formula, down)) / (up[:, p] - down[:, p])[:, None]
            rounding = 1e-15 * np.abs(value) / step[:, None]
            error = np.abs(slope - jacobian[:, p])
            assert (error <= 2e-7 * np.abs(jacobian[:, p]) + 300 * rounding + 1e-12).all(), name

    # -- identity -----------------------------------------------------------------------------------------------

    def test_json_round_trip(self, law: Law) -> None:
        """The law, and laws derived from it, come back from JSON."""
        params, inputs = typical(law), points(law, SCHEDULES, 6)
        first = law.names[0]
        rest = {k: v for k, v in params.items() if k != first}
        for derived, values in (
            (law, params),
            (law.fix(**{first: params[first]}), rest),
            (law.rename(**{first: "renamed"}), {"renamed": params[first], **rest}),
        ):
            again = law_from_json(json.loads(json.dumps(law_to_json(derived))))
            assert (again.id, again.schedule, again.linear) == (derived.id, derived.schedule, derived.linear)
            np.testing.assert_array_equal(again(values, **inputs), law(params, **inputs))

    def test_travels(self, law: Law) -> None:
        """The law and the schedules can be sent to a worker process."""
        params, inputs = typical(law), points(law, SCHEDULES, 6)
        again, sent = pickle.loads(pickle.dumps((law, inputs)))  # noqa: S301
        np.testing.assert_array_equal(again(params, **sent), law(params, **inputs))

    # -- fits ---------------------------------------------------------------------------------------------------

    def test_recovery(self, law: Law) -> None:
        """Noiseless curves come back: predictions to 8 digits for these schedules and for longer other ones."""
        params, runs = typical(law), made(law, noise=0.0)
        found = fit(runs, law)
        assert found.convergence is not None
        assert found.convergence.certified
        for schedules in (SCHEDULES, OTHERS):
            inputs = points(law, schedules, ROWS)
            np.testing.assert_allclose(law(found.params, **inputs), law(params, **inputs), rtol=1e-8)
        digits = min(8.0, 15.0 - math.log10(max(found.convergence.condition, 1.0)))
        for name, value in params.items():
            assert found.params[name] == pytest.approx(value, rel=10.0**-digits), name

    def test_rows_are_a_set(self, law: Law) -> None:
        """Points in any order, or split into two half-weights, give the fit of the curves that they come from."""
        runs = made(law)
        one = fit(runs, law)
        assert one.runs is not None
        rows = one.runs
        shuffled = fit(rows.where(np.random.default_rng(3).permutation(len(rows))), law)
        twice = np.concatenate([np.arange(len(rows)), np.arange(5)])
        weights = np.where(np.isin(twice, np.arange(5)), 0.5, 1.0)
        halved = fit(rows.where(twice).with_weights(weights), law)
        for other in (shuffled, halved):
            np.testing.assert_allclose(_at(law, other), _at(law, one), rtol=1e-8)

    def test_points_are_enough(self, law: Law) -> None:
        """A table of points with their rates, as a logger writes it, gives the fit of the curves."""
        one = fit(made(law), law)
        assert one.runs is not None
        rates = Schedules.of(SCHEDULES, one.runs["step"], _base(one.runs.labels["run"]))
        now = np.array([s.lr[int(k) - 1] for s, k in zip((rates.schedules[c] for c in rates.code), rates.step)])
        table = replace(one.runs, curves={}).with_column("lr_now", now)
        other = fit(table, law)
        # rates between points are interpolated: the drop of a step is a ramp of one interval
        np.testing.assert_allclose(_at(law, other), _at(law, one), rtol=5e-3)


# --- helpers ------------------------------------------------------------------------------------------------------


def random(law: Law, count: int) -> dict[str, Array]:
    """Parameters, each name -> (count,), quasi-random in their boxes."""
    u = sobol(count, len(law.params)).T
    return {
        name: low * (high / low) ** u[i] if low > 0 and high > 3 * low else low + u[i] * (high - low)
        for i, name in enumerate(law.params)
        for low, high in (parameter_box(law, name),)
    }


def points(law: Law, schedules: Mapping[str, Schedule], count: int, first: int = WARMUP) -> dict[str, Any]:
    """What a law is called with: steps of each schedule, other inputs over their ranges, the schedules, the runs."""
    steps = [np.unique(np.linspace(min(first, len(s)), len(s), count).round()) for s in schedules.values()]
    step, run = np.concatenate(steps), np.repeat(list(schedules), [k.size for k in steps])
    inputs: dict[str, Any] = {"step": step}
    for name in law.inputs:
        if name != "step":
            low, high = domain(law, name)
            inputs[name] = np.geomspace(low, high, step.size)
    return {**inputs, str(law.schedule): dict(schedules), "run": run}


def example(law: Law) -> Runs:
    """Runs with about 500 logged points and 0.3 % noise."""
    return made(law, 3e-3, 500 // (len(SCHEDULES) * 3 ** (len(law.inputs) - 1)))


def made(law: Law, noise: float = 2e-4, rows: int = ROWS) -> Runs:
    """Runs under the three schedules, for each of three values of every other input, with their curves."""
    params, rng = typical(law), np.random.default_rng(11)
    others = [name for name in law.inputs if name != "step"]
    grid = np.meshgrid(*(np.geomspace(*domain(law, name), 3) for name in others))
    count = grid[0].size if others else 1
    columns: dict[str, list[float]] = {name: [] for name in (*others, "loss", "warmup_steps")}
    curves: dict[str, Curve] = {}
    for run, schedule in SCHEDULES.items():
        every = np.arange(1.0, len(schedule) + 1)
        logged = np.unique(np.linspace(WARMUP, len(schedule), rows).round()).astype(np.intp)
        for i in range(count):
            at: dict[str, Any] = {name: float(values.ravel()[i]) for name, values in zip(others, grid)}
            loss = np.full(every.size, np.nan)
            exact = law(params, step=every[logged - 1], **at, **{str(law.schedule): schedule})
            loss[logged - 1] = exact * np.exp(noise * rng.standard_normal(exact.size))
            curves[f"{run}/{i}"] = Curve(every, loss, schedule.lr, np.full(every.size, np.nan))
            for name, value in {**at, "loss": loss[-1], "warmup_steps": float(WARMUP)}.items():
                columns[name].append(float(value))
    return Runs(
        columns={k: np.array(v) for k, v in columns.items()}, labels={"run": np.array(list(curves))}, curves=curves
    )


def positional(law: Law, inputs: Mapping[str, Any]) -> Any:
    """The formula as a function of its parameters in order."""
    columns = {k: v for k, v in inputs.items() if k in law.inputs}
    columns[str(law.schedule)] = Schedules.of(inputs[str(law.schedule)], inputs["step"], inputs["run"])
    return lambda *theta: law.formula(**columns, **dict(zip(law.names, theta)))


def _at(law: Law, found: Fit) -> Array:
    return law(found.params, **points(law, SCHEDULES, ROWS))


def _base(runs: NDArray[np.str_]) -> NDArray[np.str_]:
    return np.array([name.split("/")[0] for name in runs.tolist()])

# SPDX-License-Identifier: Apache-2.0
"""What every law must pass. A package with a law of its own tests it by

    from forescale.testing.laws import LawCase

    class TestMyLaws(LawCase):
        laws = (my_law,)

Each property is one test per law. The derivatives are compared with central differences, and with JAX where it is
installed and the formula is a plain function.
"""

from __future__ import annotations

import importlib.util
import json
import math
import pickle
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from forescale.core import cite
from forescale.core.columns import COLUMNS
from forescale.core.errors import ForescaleError, InputError
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.laws import Law, Parameter, describe, law_from_json, law_to_json
from forescale.laws._law import symbol
from forescale.numerics.jet import evaluate, value_and_jacobian
from forescale.numerics.starts import sobol
from forescale.runs.table import Runs

Array = NDArray[np.float64]

QUESTIONS = ("predict", "compute-optimal", "reach")
"""Questions that a law must either answer or, with a reason, refuse."""

_DOMAIN = {
    "N": (1e7, 1e11),
    "D": (1e9, 1e13),
    "C": (1e17, 1e24),
    "M": (1.0, 1e3),
    "loss": (1.0, 5.0),
    "steps": (1e1, 1e6),
    "epochs": (1.0, 1e2),
    "batch_tokens": (1e4, 1e8),
    "lr_peak": (1e-5, 1e-1),
    "width": (64.0, 16384.0),
}
_BOXES = {
    "floor": (0.5, 3.0),
    "amplitude": (10.0, 1e3),
    "exponent": (0.1, 0.8),
    "location": (1e8, 1e11),
    "break": (1e10, 1e12),
    "width": (0.5, 2.0),
    "rate": (1e-13, 1e-10),
    "share": (0.1, 0.9),
    "period": (1e8, 1e11),
    "rational": (0.1, 10.0),
    "real": (-1.0, 1.0),
}


class LawCase:
    """The properties of a law. Subclasses name their `laws` and change nothing else.

    Attributes:
        laws: what is tested.
    """

    laws: ClassVar[Sequence[Law]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per property and law."""
        if "law" in metafunc.fixturenames and metafunc.cls is not None:
            metafunc.parametrize("law", metafunc.cls.laws, ids=lambda law: str(law.id))

    # -- words --------------------------------------------------------------------------------------------------

    def test_documented(self, law: Law) -> None:
        """Title, meaning, traps, a sentence for each parameter; each known question is answered or refused."""
        assert law.id
        assert law.title
        assert len(law.meaning) > 40
        assert law.traps
        for name, parameter in law.params.items():
            assert len(parameter.meaning) > 5, f"{name} has no meaning"
        for question in QUESTIONS:
            if set(law.inputs) == {"N", "D"} or question == "predict":
                assert (question in law.valid_for) != (question in law.refuses), f"{question}: answered or refused?"
        assert law.id in describe(law)
        assert all(name in describe(law) for name in law.params)

    def test_papers_are_known(self, law: Law) -> None:
        """Papers and sources of constants stand in the bibliography."""
        assert law.papers
        for key in (*law.papers, *(p.source for p in law.published.values())):
            assert cite.short(key)

    def test_latex(self, law: Law) -> None:
        """LaTeX is there, balanced, and names each parameter."""
        text = law.latex
        assert text
        assert text.count("{") == text.count("}")
        assert text.count(r"\left") == text.count(r"\right")
        for name in law.params:
            assert symbol(name) in text, f"{name} is not in the LaTeX"

    # -- values -------------------------------------------------------------------------------------------------

    def test_checks(self, law: Law) -> None:
        """The numbers that must come out do."""
        assert law.checks or not law.published
        for check in law.checks:
            value = float(law(law.constants(check.constants), **check.at))
            assert abs(value - check.value) <= check.tolerance, f"{check} gives {value}"

    def test_constants_in_support_and_start_boxes(self, law: Law) -> None:
        """Published values lie in the support and in the start box of their parameter."""
        for source in (f"{key}{variant}" for key in law.published for variant in ("", "@printed")):
            for name, value in law.constants(source).items():
                parameter = law.params[name]
                low, high = parameter.start or (-math.inf, math.inf)
                assert parameter.contains(value), f"{source}: {name} = {value}"
                assert low <= value <= high, f"{source}: {name} = {value}"

    def test_finite_on_the_domain(self, law: Law) -> None:
        """Finite on a quasi-random grid of inputs and parameters."""
        params, inputs = samples(law, 256)
        assert np.isfinite(law(params, **inputs)).all()

    def test_vectorised_is_scalar(self, law: Law) -> None:
        """Arrays give what their elements give; shapes broadcast; nothing is written to."""
        params, inputs = samples(law, 16)
        for array in (*params.values(), *inputs.values()):
            array.flags.writeable = False
        together = law(params, **inputs)
        assert together.shape == (16,)
        for i in range(16):
            one = law({k: v[i] for k, v in params.items()}, **{k: float(v[i]) for k, v in inputs.items()})
            assert float(one) == pytest.approx(together[i], rel=1e-12)
        wide = law({k: v[:, None] for k, v in params.items()}, **inputs)
        assert wide.shape == (16, 16)
        np.testing.assert_allclose(np.diagonal(wide), together, rtol=1e-12)

    def test_float32_inputs(self, law: Law) -> None:
        """Float32 inputs are computed with in float64."""
        params, inputs = samples(law, 16)
        short = {k: v.astype(np.float32) for k, v in inputs.items()}
        value = law(params, **short)
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, law(params, **{k: v.astype(np.float64) for k, v in short.items()}))

    def test_extreme_inputs(self, law: Law) -> None:
        """One parameter, 1e18 tokens, 1e30 FLOP: a finite number or an error of ours, never a silent NaN."""
        params = typical(law)
        for ends in ((1.0, 1e18), (1e18, 1.0), (1.0, 1.0), (1e18, 1e18), (1e30, 1e30)):
            inputs = {name: min(ends[i % 2], most(name)) for i, name in enumerate(law.inputs)}
            try:
                assert np.isfinite(law(params, **inputs)), f"{inputs}"
            except ForescaleError:
                continue

    # -- declared facts -----------------------------------------------------------------------------------------

    def test_linear_is_linear(self, law: Law) -> None:
        """Joint second differences in the parameters declared linear vanish."""
        params, inputs = samples(law, 128)
        step = {n: 0.3 * params[n] * (1 + 0.5 * i) for i, n in enumerate(law.linear)}
        up, down = ({n: params[n] + s * step.get(n, 0.0) for n in params} for s in (1, -1))
        values = [law(p, **inputs) for p in (up, params, down)]
        np.testing.assert_allclose(values[0] + values[2], 2 * values[1], rtol=1e-12)

    def test_decreasing(self, law: Law) -> None:
        """The output falls in the inputs said so."""
        params, inputs = samples(law, 256)
        here = law(params, **inputs)
        for name in law.decreasing_in:
            there = law(params, **{**inputs, name: np.minimum(1.25 * inputs[name], most(name))})
            assert (there <= here).all(), f"rises in {name}"
            assert (there < here).mean() > 0.9, f"is flat in {name}"

    def test_floor_is_the_limit(self, law: Law) -> None:
        """The output stays above its floor and comes down to it as all inputs grow."""
        if law.floor is None:
            pytest.skip("no floor is declared")
        params, inputs = samples(law, 128)
        floor = params[law.floor]
        near = law(params, **inputs) - floor
        far = law(params, **{name: np.full(128, min(1e280, most(name))) for name in law.inputs}) - floor
        assert (near >= 0).all()
        assert (near > 0).mean() > 0.9, "is at its floor"
        assert (far >= 0).all()
        assert (far <= 1e-3 * near + 1e-9 * floor).all()

    # -- derivatives --------------------------------------------------------------------------------------------

    def test_jacobian_is_central_difference(self, law: Law) -> None:
        """Exact derivatives agree with central differences."""
        params, inputs = samples(law, 12)
        theta = np.stack(list(params.values()), axis=1)
        formula = positional(law, inputs)
        value, jacobian = value_and_jacobian(formula, theta)
        for p in range(theta.shape[1]):
            step = 5e-6 * np.maximum(np.abs(theta[:, p]), 1e-3)
            up, down = theta.copy(), theta.copy()
            up[:, p] += step
            down[:, p] -= step
            slope = (evaluate(formula, up) - evaluate(formula, down)) / (up[:, p] - down[:, p])[:, None]
            rounding = 1e-15 * np.abs(value) / step[:, None] + 1e-300
            error = np.abs(slope - jacobian[:, p])
            # The truncation of a central difference grows with the third derivative: log(N)^2 for a power.
            assert (error <= 2e-7 * np.abs(jacobian[:, p]) + 100 * rounding).all(), list(law.params)[p]

    def test_jacobian_is_jax(self, law: Law) -> None:
        """Exact derivatives agree with JAX to rounding."""
        if importlib.util.find_spec("jax") is None or not isinstance(law.formula, types.FunctionType):
            pytest.skip("JAX is not installed, or the formula is no plain function")
        params, inputs = samples(law, 12)
        theta = np.stack(list(params.values()), axis=1)
        value, jacobian = value_and_jacobian(positional(law, inputs), theta)
        expected, slopes = jax_value_and_jacobian(law, theta, inputs)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        # Large terms of a slope may cancel: rounding is relative to the value, per relative change of a parameter.
        error = np.abs((jacobian - slopes) * theta[:, :, None])
        assert (error <= 1e-13 * np.abs(value[:, None, :]) + 1e-10 * np.abs(slopes * theta[:, :, None])).all()

    # -- closed forms -------------------------------------------------------------------------------------------

    def test_optimum(self, law: Law) -> None:
        """The closed form keeps 6 N D = C and is the numeric optimum to 1e-6."""
        if law.optimum is None:
            assert set(law.inputs) != {"N", "D"} or "compute-optimal" in law.refuses or law.floor is None
            pytest.skip("no closed form is declared")
        for source in law.published or (None,):
            params = law.constants(source) if source else typical(law)
            for budget in (1e18, 5.76e23, 1e27):
                best = law.optimum(budget, **params)
                assert 6 * best["N"] * best["D"] == pytest.approx(budget, rel=1e-12)
                assert best["N"] == pytest.approx(numeric_optimum(law, params, budget), rel=1e-6)
            together = law.optimum(np.array([1e18, 1e24]), **params)["N"]
            assert together.shape == (2,)

    # -- identity -----------------------------------------------------------------------------------------------

    def test_json_round_trip(self, law: Law) -> None:
        """The law, and laws derived from it by each operator, come back from JSON."""
        params, inputs = samples(law, 8)
        for derived, values in derivations(law, params):
            again = law_from_json(json.loads(json.dumps(law_to_json(derived))))
            assert again.id == derived.id
            assert (again.linear, again.floor, again.latex) == (derived.linear, derived.floor, derived.latex)
            renamed = {new: inputs[old] for old, new in zip(law.inputs, derived.inputs)}
            np.testing.assert_array_equal(again(values, **renamed), derived(values, **renamed))

    def test_travels(self, law: Law) -> None:
        """The law can be sent to a worker process."""
        params, inputs = samples(law, 8)
        again = pickle.loads(pickle.dumps(law))  # noqa: S301
        np.testing.assert_array_equal(again(params, **inputs), law(params, **inputs))

    # -- fits ---------------------------------------------------------------------------------------------------

    def test_recovery(self, law: Law) -> None:
        """Noiseless data come back: predictions to 8 digits in range and 10x out, parameters as conditioned."""
        params, inputs, found = fitted(law, noise=0.0)
        for factor in (1.0, 10.0):
            there = {name: factor * x for name, x in inputs.items()}
            np.testing.assert_allclose(law(found.params, **there), law(params, **there), rtol=1e-8)
        assert found.convergence is not None
        digits = min(8.0, 15.0 - math.log10(max(found.convergence.condition, 1.0)))
        for name, value in params.items():
            assert found.params[name] == pytest.approx(value, rel=10.0**-digits), name

    def test_units_do_not_matter(self, law: Law) -> None:
        """Where the family is closed under a change of units, predictions stay."""
        name = next((name for name in law.inputs if name not in law.absolute), None)
        if name is None:
            pytest.skip("the formula fixes the units of all inputs")
        _, inputs, one = fitted(law)
        _, scaled, two = fitted(law, unit=1e-6, of=name)
        np.testing.assert_allclose(scaled[name], 1e-6 * inputs[name])
        far = {k: 10 * v for k, v in inputs.items()}
        np.testing.assert_allclose(
            law(two.params, **{**far, name: 1e-6 * far[name]}), law(one.params, **far), rtol=1e-7
        )

    def test_rows_are_a_set(self, law: Law) -> None:
        """Row order changes nothing; a row split into two half-weights leaves the estimate."""
        _, inputs, one = fitted(law)
        _, _, shuffled = fitted(law, order=True)
        _, _, halved = fitted(law, halves=True)
        for other in (shuffled, halved):
            np.testing.assert_allclose(law(other.params, **inputs), law(one.params, **inputs), rtol=1e-8)


# --- helpers, of use to other kits as well ------------------------------------------------------------------------


def domain(law: Law, name: str) -> tuple[float, float]:
    """Range of an input: what the published constants were fitted on, else the law's own, else the column's usual."""
    found = [p.fitted_range[name] for p in law.published.values() if name in p.fitted_range]
    if found and name in law.inputs:
        return min(low for low, _ in found), max(high for _, high in found)
    if name in law.domain:
        return law.domain[name]
    return _DOMAIN.get(name, (1.0, 100.0) if name in COLUMNS else (1e7, 1e11))


def parameter_box(law: Law, name: str) -> tuple[float, float]:
    """A box around the published values of a parameter, else from its start box or its kind."""
    parameter: Parameter = law.params[name]
    values = [law.constants(source)[name] for source in law.published]
    if values and parameter.lower >= 0:
        return min(values) / 1.25, min(max(values) * 1.25, parameter.upper)
    if values:
        margin = 0.1 * max(abs(v) for v in values)
        return min(values) - margin, max(values) + margin
    low, high = _BOXES[parameter.kind]
    if parameter.start is None:
        return low, high
    if parameter.kind == "exponent":
        return max(low, parameter.start[0]), min(high, parameter.start[1])
    return parameter.start


def most(name: str) -> float:
    """The largest value that a column can have."""
    return COLUMNS[name].most if name in COLUMNS else math.inf


def samples(law: Law, count: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and inputs, each name -> (count,), quasi-random in their boxes."""
    u = sobol(count, len(law.params) + len(law.inputs))
    params = {n: _stretched(u[:, i], *parameter_box(law, n)) for i, n in enumerate(law.params)}
    offset = len(law.params)
    inputs = {n: _stretched(u[:, offset + i], *domain(law, n)) for i, n in enumerate(law.inputs)}
    return params, inputs


def _stretched(u: Array, low: float, high: float) -> Array:
    if low > 0 and high > 3 * low:
        return np.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    return low + u * (high - low)


def axis(low: float, high: float, count: int) -> Array:
    """Evenly spaced in the logarithm where the range is wide and positive, as samples are; else evenly."""
    return np.geomspace(low, high, count) if low > 0 and high > 3 * low else np.linspace(low, high, count)


def typical(law: Law) -> dict[str, float]:
    """The first published constants, else the middle of the boxes."""
    if law.published:
        return law.constants(next(iter(law.published)))
    return {n: float(_stretched(np.array(0.5), *parameter_box(law, n))) for n in law.params}


def positional(law: Law, inputs: Mapping[str, Array]) -> Any:
    """The formula as a function of its parameters in order."""
    names = law.names
    return lambda *theta: law.formula(**inputs, **dict(zip(names, theta)))


def jax_value_and_jacobian(law: Law, theta: Array, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
    """Values (B, n) and Jacobians (B, P, n) by JAX in float64: the formula's own code, with jax.numpy for numpy."""
    import jax

    plain = law.formula
    assert isinstance(plain, types.FunctionType)
    with jax.enable_x64(True):
        translated = _translated(plain, jax.numpy, {})
        columns = {k: jax.numpy.asarray(v) for k, v in inputs.items()}

        def flat(vector: Any) -> Any:
            return translated(**columns, **{name: vector[p] for p, name in enumerate(law.names)})

        both = jax.jit(jax.vmap(lambda vector: (flat(vector), jax.jacfwd(flat)(vector))))
        value, slopes = both(jax.numpy.asarray(theta))
        return np.asarray(value), np.swapaxes(np.asarray(slopes), 1, 2)


def _translated(plain: types.FunctionType, numpy: Any, done: dict[int, types.FunctionType]) -> types.FunctionType:
    """A function with another library under the name np, and so for the functions of laws that it calls."""
    if id(plain) not in done:
        own: dict[str, Any] = {**plain.__globals__, "np": numpy}
        done[id(plain)] = types.FunctionType(
            plain.__code__, own, plain.__name__, plain.__defaults__, plain.__closure__
        )
        done[id(plain)].__kwdefaults__ = plain.__kwdefaults__
        for name in plain.__code__.co_names:
            called = own.get(name)
            if isinstance(called, types.FunctionType) and called.__module__.partition(".")[0] != "numpy":
                own[name] = _translated(called, numpy, done)
    return done[id(plain)]


def numeric_optimum(law: Law, params: Mapping[str, float], budget: float) -> float:
    """N of least loss under 6 N D = C: the root of the exact derivative in log N, by bisection, from all of 1e24."""

    def loss(log_n: Any) -> Any:
        n = np.exp(log_n)
        return law.formula(N=n, D=budget / (6 * n), **params)

    low, high = 0.0, math.log(budget / 6)
    for _ in range(200):
        middle = 0.5 * (low + high)
        slope = value_and_jacobian(loss, np.array([[middle]]))[1][0, 0, 0]
        low, high = (middle, high) if slope < 0 else (low, middle)
    best = 0.5 * (low + high)
    around = [float(loss(best + shift)) for shift in (-0.01, 0.0, 0.01)]
    assert around[1] < min(around[0], around[2]), "no interior minimum"
    return math.exp(best)


def derivations(law: Law, params: Mapping[str, Array]) -> list[tuple[Law, dict[str, Array]]]:
    """The law and one law per operator, each with parameters of its own."""
    first = law.names[0]
    free = {k: v for k, v in params.items() if k != first}
    held = float(params[first][0])
    out: list[tuple[Law, dict[str, Array]]] = [(law, dict(params)), (law.fix(**{first: held}), free)]
    same = [n for n in law.names[1:] if law.params[n].kind == law.params[first].kind]
    if same:
        out.append((law.tie(**{first: same[0]}), free))
    out.append((law.rename(**{first: "renamed"}), {"renamed" if k == first else k: v for k, v in params.items()}))
    column = next(c for c in COLUMNS if c not in law.inputs)
    out.append((law.on(**{law.inputs[0]: column}), dict(params)))
    try:
        other = law.rename(**{n: f"{n}_other" for n in law.names})
        other = other.fix(**{f"{law.floor}_other": held}) if law.floor else other
        twice = {**params, **{f"{n}_other": v for n, v in params.items() if n != law.floor}}
        out.append((law + other, twice))
    except InputError as error:  # pragma: no cover
        raise AssertionError(f"{law.id} cannot be added to itself under other names: {error}") from error
    return out


def fitted(
    law: Law, *, noise: float = 1e-3, unit: float = 1.0, of: str = "", order: bool = False, halves: bool = False
) -> tuple[dict[str, float], dict[str, Array], Fit]:
    """A fit to a synthetic grid: parameters that made it, inputs, fit. `unit` multiplies the input `of`."""
    params = typical(law)
    side = {1: 30, 2: 7, 3: 7}.get(len(law.inputs), 5)
    axes = [axis(*domain(law, name), side) for name in law.inputs]
    inputs = {name: x.ravel() for name, x in zip(law.inputs, np.meshgrid(*axes, indexing="ij"))}
    rng = np.random.default_rng(7)
    made = law(params, **inputs) * np.exp(noise * rng.standard_normal(inputs[law.inputs[0]].size))
    columns: dict[str, Array] = {**inputs, law.output: made}
    weights = np.ones(made.size)
    if order:
        shuffle = rng.permutation(made.size)
        columns = {k: v[shuffle] for k, v in columns.items()}
    if halves:
        columns = {k: np.concatenate([v, v[:5]]) for k, v in columns.items()}
        weights = np.concatenate([np.where(np.arange(made.size) < 5, 0.5, 1.0), np.full(5, 0.5)])
    if of:
        columns[of], inputs = unit * columns[of], {**inputs, of: unit * inputs[of]}
    return params, inputs, fit(Runs.from_columns(columns, weights=weights), law)

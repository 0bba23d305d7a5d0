# SPDX-License-Identifier: Apache-2.0
"""What every planner must pass. A package with a planner of its own tests it by

    from forescale.testing.planners import Ladder, PlannerCase

    class TestMyPlanners(PlannerCase):
        planners = (my_planner,)
        ladders = {"my-question": Ladder("budget", (1e20, 1e22), rising=("N",))}

Each property is one test per planner, on published constants (or on what `grounds` names) with made-up draws.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from forescale.core.errors import ForescaleError, InputError, RefusedError
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Fit
from forescale.fitting.published import published
from forescale.fitting.surface import Surface
from forescale.laws import Law
from forescale.planning._intervals import quantile
from forescale.planning._parts import grounds as grounds_of
from forescale.planning._plan import Basis, Grounds, Plan, Planner
from forescale.planning._run import basis as basis_of
from forescale.planning._run import read
from forescale.runs.table import Runs

Array = NDArray[np.float64]

RESERVED = ("fits", "law", "loss", "group", "out", "style", "as_json", "draws", "refit")
"""What `forescale plan` and `fs.plan` call their own options."""


@dataclass(frozen=True)
class Ladder:
    """Rising values of a field of the query, and the decisions that must rise (or fall) with them."""

    field: str
    values: tuple[Any, ...]
    rising: tuple[str, ...] = ()
    falling: tuple[str, ...] = ()


class PlannerCase:
    """The properties of a planner. Subclasses name their `planners` and change nothing but these attributes.

    Attributes:
        planners: what is tested.
        source: published constants that every planner of one law under test can answer from.
        grounds: planner id -> what a planner of several parts stands on: "law:source", fits, tables; what it leaves
            out is taken from the defaults.
        ladders: planner id -> Ladder.
        scaled: field of a query -> unit ("FLOP", "parameters", "tokens") in which a number of it is counted.
        conflicts: planner id -> queries that contradict themselves; the error must name every field of the query.
    """

    planners: ClassVar[Sequence[Planner]] = ()
    source: ClassVar[str] = "chinchilla:besiroglu2024"
    grounds: ClassVar[Mapping[str, Sequence[Any]]] = Frozen()
    ladders: ClassVar[Mapping[str, Ladder]] = Frozen()
    scaled: ClassVar[Mapping[str, str]] = Frozen()
    conflicts: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = Frozen()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per property and planner."""
        if "planner" in metafunc.fixturenames and metafunc.cls is not None:
            metafunc.parametrize("planner", metafunc.cls.planners, ids=lambda planner: str(planner.id))

    # -- words --------------------------------------------------------------------------------------------------

    def test_documented(self, planner: Planner) -> None:
        """A question, a sentence for every field, an example that can be read, unknown fields refused."""
        assert planner.id
        assert planner.question.endswith("?")
        assert planner.example
        for name, field in planner.query.model_fields.items():
            assert field.description, f"{name} has no description"
            assert name not in RESERVED, f"{name} is an option of every plan"
        for part in planner.parts:
            assert part.meaning, f"{part.name} has no meaning"
            assert part.wanted()
        assert read(planner, planner.example)
        with pytest.raises(InputError, match="no_such_field"):
            read(planner, {**planner.example, "no_such_field": 1})

    def test_schema(self, planner: Planner) -> None:
        """The query exports a JSON schema, which names every field and what is required."""
        schema = planner.schema()
        json.dumps(schema)
        assert set(schema["properties"]) == set(planner.query.model_fields)
        assert set(schema.get("required", ())) <= set(planner.example)
        assert schema["additionalProperties"] is False

    def test_missing_field(self, planner: Planner) -> None:
        """Leaving out what is required is an error that names it."""
        for name, field in planner.query.model_fields.items():
            if field.is_required():
                rest = {k: v for k, v in planner.example.items() if k != name}
                with pytest.raises(InputError, match=name):
                    read(planner, rest)

    def test_conflicts_are_named(self, planner: Planner) -> None:
        """Fields that contradict each other are named, all of them."""
        for query in self.conflicts.get(planner.id, ()):
            with pytest.raises(ForescaleError) as caught:
                self.ask(planner, **query)
            for name in query:
                assert name in str(caught.value), f"{query}: {caught.value}"

    # -- numbers ------------------------------------------------------------------------------------------------

    def test_budget_is_spent_exactly(self, planner: Planner) -> None:
        """6 N D is the compute of the plan, to rounding, and the compute that was asked for."""
        plan = self.ask(planner)
        if {"N", "D", "C"} <= set(plan.decision):
            spent = 6.0 * plan["N"].value * plan["D"].value
            assert math.isclose(spent, plan["C"].value, rel_tol=1e-12)
            given = getattr(read(planner, planner.example), "budget", None)
            if given is not None:
                assert plan["C"].value == given.flop

    def test_monotone(self, planner: Planner) -> None:
        """Along the ladder, what must rise rises, and what must fall falls."""
        ladder = self.ladders.get(planner.id)
        if ladder is None:
            pytest.skip("no ladder was given")
        plans = [self.ask(planner, **{ladder.field: value}) for value in ladder.values]
        for names, sign in ((ladder.rising, 1.0), (ladder.falling, -1.0)):
            for name in names:
                steps = np.diff([sign * plan[name].value for plan in plans])
                assert np.all(steps > 0), f"{name}: {[plan[name].value for plan in plans]}"

    def test_draws_propagate(self, planner: Planner) -> None:
        """Each interval is the quantile of the answers that the draws give one by one."""
        basis = self.basis(planner, 24)
        self.skip_tables(basis)
        together = planner.answer(basis, read(planner, planner.example))
        alone = [planner.answer(one(basis, i), read(planner, planner.example)) for i in range(1, 25)]
        compared = 0
        for name, decided in together.decision.items():
            if decided.lower is None or decided.upper is None or name not in alone[0].decision:
                continue
            values = np.sort([plan[name].value for plan in alone])
            low, high = (quantile(values, q) for q in ((1 - together.level) / 2, (1 + together.level) / 2))
            assert math.isclose(decided.lower, low, rel_tol=1e-6), name
            assert math.isclose(decided.upper, high, rel_tol=1e-6), name
            compared += 1
        assert compared, "no decision carries an interval"

    def test_order_of_draws(self, planner: Planner) -> None:
        """The order of the draws changes nothing."""
        basis = self.basis(planner, 60)
        self.skip_tables(basis)
        shuffled = np.concatenate([[0], 1 + np.random.default_rng(1).permutation(60)])
        query = read(planner, planner.example)
        ordered = planner.answer(basis, query)
        other = planner.answer(changed(basis, lambda values: values[shuffled]), query)
        for name in ordered.decision:
            for end in ("value", "lower", "upper"):
                a, b = getattr(ordered[name], end), getattr(other[name], end)
                assert a == b or math.isclose(a, b, rel_tol=1e-9), name

    def test_without_draws(self, planner: Planner) -> None:
        """Without draws the numbers are the same and carry no intervals."""
        basis = self.basis(planner, 40)
        self.skip_tables(basis)
        query = read(planner, planner.example)
        bare = planner.answer(one(basis, 0, fit=False), query)
        full = planner.answer(basis, query)
        for name, decided in bare.decision.items():
            assert decided.lower is None
            assert math.isclose(decided.value, full[name].value, rel_tol=1e-9), name

    def test_unit_equivariant(self, planner: Planner) -> None:
        """Counting parameters in thousands and tokens in millions changes no decision but its unit."""
        if planner.parts:
            pytest.skip("the laws of several parts fix their units")
        basis = self.basis(planner, 40)
        assert isinstance(basis, Basis)
        n, d = 1e-3, 1e-6
        factors = {"parameters": n, "tokens": d, "FLOP": n * d, "tokens/parameter": d / n, "%": 1.0, "": 1.0}
        ranges = {
            name: (low * by, high * by)
            for name, (low, high) in basis.surface.fitted_range.items()
            for by in [{"N": n, "D": d, "C": n * d}.get(name, 1.0)]
        }
        other = Surface(in_units(basis.surface.law, n, d), basis.surface.params, basis.surface.conventions, ranges)
        query = dict(planner.example)
        for name, unit in self.scaled.items():
            if name in query:
                query[name] = self.number(planner, name) * factors[unit]
        # A window of tokens per parameter changes its meaning with the units.
        for name in ("least_ratio", "most_ratio"):
            if name in planner.query.model_fields:
                query[name] = planner.query.model_fields[name].get_default() * d / n
        here = planner.answer(basis, read(planner, planner.example))
        there = planner.answer(Basis(other), read(planner, query))
        for name, decided in here.decision.items():
            by = factors.get(decided.unit)
            if by is None:
                continue
            # A searched optimum is flat: its place is known to about 1e-6.
            assert math.isclose(there[name].value, decided.value * by, rel_tol=2e-6, abs_tol=1e-6), name

    # -- trouble ------------------------------------------------------------------------------------------------

    def test_draws_without_answer_warn(self, planner: Planner) -> None:
        """Draws that are no law at all are counted and said, never a crash and never silently dropped."""
        basis = self.basis(planner, 100)
        self.skip_tables(basis)
        plan = planner.answer(
            changed(basis, lambda values: _spoilt(values, slice(1, 31))), read(planner, planner.example)
        )
        assert plan.evidence.answered == pytest.approx(0.7)
        assert any(w.level in ("amber", "red") and "draws" in w.code for w in plan.warnings)
        assert math.isfinite(next(iter(plan.decision.values())).value)

    def test_estimate_without_answer_is_refused(self, planner: Planner) -> None:
        """An estimate that is no law gives a refusal, not numbers."""
        basis = self.basis(planner, 40)
        self.skip_tables(basis)
        damaged = changed(basis, lambda values: _spoilt(values, slice(0, 1)), fit=False)
        with pytest.raises(RefusedError):
            planner.answer(damaged, read(planner, planner.example))

    # -- out ----------------------------------------------------------------------------------------------------

    def test_speaks(self, planner: Planner) -> None:
        """A headline, a summary that holds every decision, HTML without surprises, strict JSON that reads back."""
        plan = self.ask(planner)
        assert plan.question == planner.id
        assert plan.headline in " ".join(plan.summary().split())
        for decided in plan.decision.values():
            assert (decided.meaning or "") in plan.summary()
        assert "<script" not in plan._repr_html_()
        content = json.loads(plan.to_json(), parse_constant=_refuse)
        assert content["schema"] == "forescale/plan"
        assert Plan.from_dict(content).summary() == plan.summary()
        assert plan.citations
        assert plan.binding
        assert plan.evidence.source == self.source or planner.parts
        assert len({name.upper() for name in plan.decision}) == len(plan.decision)
        for style in ("env", "yaml", "argv"):
            assert plan.settings(style)

    # -- words of the case --------------------------------------------------------------------------------------

    def basis(self, planner: Planner, draws: int) -> Basis | Grounds:
        """Published constants with draws of 2 % around each parameter."""
        if not planner.parts:
            return basis_of(_made(published(self.source), draws), planner)
        given = [published(value) if isinstance(value, str) else value for value in self.grounds.get(planner.id, ())]
        made = [value if isinstance(value, Runs) else _made(value, draws) for value in given]
        found = grounds_of(planner, made, draws=draws)
        if not draws or not found.defaulted:
            return found
        # Defaults have no draws, or others than these.
        filled = [*made, *(_made(published(source), draws) for source in found.defaulted.values())]
        return grounds_of(planner, filled, draws=draws)

    def ask(self, planner: Planner, **changes: Any) -> Plan:
        """The example, with changes, answered from the constants without made-up draws."""
        query = read(planner, {**planner.example, **changes})
        if not planner.parts:
            return planner.answer(basis_of(published(self.source), planner), query)
        given = [published(value) if isinstance(value, str) else value for value in self.grounds.get(planner.id, ())]
        return planner.answer(grounds_of(planner, given, draws=200), query)

    def skip_tables(self, basis: Basis | Grounds) -> None:
        """A planner that stands on tables alone has no draws: it resamples rows by itself."""
        if isinstance(basis, Grounds) and not basis.laws:
            pytest.skip("stands on tables alone, without draws")

    def number(self, planner: Planner, name: str) -> float:
        """A field of the example as a plain number."""
        value = getattr(read(planner, planner.example), name)
        return float(getattr(value, "flop", getattr(value, "value", value)))


def changed(basis: Any, change: Callable[[Array], Array], *, fit: bool = True) -> Any:
    """The same ground with every (B, 1) array of parameters changed; without `fit`, bare surfaces."""
    if isinstance(basis, Grounds):
        return replace(basis, laws=Frozen({name: changed(b, change, fit=fit) for name, b in basis.laws.items()}))
    params = {name: change(values) for name, values in basis.surface.params.items()}
    return replace(basis, surface=replace(basis.surface, params=params), fit=basis.fit if fit else None)


def one(basis: Any, i: int, *, fit: bool = True) -> Any:
    """The ground with one parameter vector."""
    return changed(basis, lambda values: values[i : i + 1], fit=fit)


def _made(fit: Fit, draws: int) -> Fit:
    rng = np.random.default_rng(7)
    centre = np.array([fit.params[name] for name in fit.law.names])
    made = centre * np.exp(0.02 * rng.standard_normal((draws, len(centre))))
    return replace(fit, draws=made, draws_from="laplace")


def _spoilt(values: Array, rows: slice) -> Array:
    spoilt = values.copy()
    spoilt[rows] = np.nan
    return spoilt


def in_units(law: Law, n: float, d: float) -> Law:
    """The law with N counted in units of 1/n and D in units of 1/d parameters and tokens; no closed form."""
    base = law.formula

    def formula(**given: Any) -> Any:
        by = {"N": n, "D": d, "C": n * d, "M": d / n}
        return base(**{name: value / by.get(name, 1.0) for name, value in given.items()})

    # The parameters must keep their values, also where one has the name of an input.
    assert not set(law.params) & {"N", "D", "C", "M"}
    return replace(law, id=f"{law.id} in other units", formula=formula, optimum=None, published=Frozen(), checks=())


def _refuse(text: str) -> Any:
    raise AssertionError(f"{text} is no strict JSON")

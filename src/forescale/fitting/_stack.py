# SPDX-License-Identifier: Apache-2.0
"""The Stack: several fits with weights, and bands that were learned from what the pool got wrong further out.

The estimate is the weighted geometric mean of the members (the mean of their log losses). The bands follow one
recipe. At a point x, a distance r beyond the largest run,

    v(x) = tau^2 ( f^2 + (n s)^2 + ((a d(x))^2 + (c log r)^2) (log r)^2p )

s is the noise of one run, d(x) the standard deviation of log loss between the members, log r what every law loses
with distance, f a least error. tau is how much larger or smaller the pool's own rolling errors were than this says,
shrunk towards one. The constants were learned once, on development splits (`judge/thresholds.toml`). The prediction
band is m t_nu sqrt(v) in log loss, m a margin; the confidence band leaves f and s out: where the curve is, not where
a run lands.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, message
from forescale.core.files import to_json, write_atomic
from forescale.core.frozen import Frozen
from forescale.core.registry import renderer
from forescale.core.streams import seed_sequence
from forescale.fitting._fit import Fit, Spread, Verdict
from forescale.fitting._frame import Columns
from forescale.fitting._points import columns_of, distance_of, read_points
from forescale.fitting._tails import t_quantile
from forescale.fitting.prediction import FAR, Band, Prediction
from forescale.laws import Law, share
from forescale.laws._law import Parameter
from forescale.runs.table import Note, Runs

Array = NDArray[np.float64]

DRAWS = 1000

AWAY = 6.0
LEAST_AWAY = 0.15
"""How far a member may stand from the others before it counts less: log loss."""


@dataclass(frozen=True, eq=False)
class Member:
    """One fit of the stack.

    Attributes:
        fit: the law on its rows.
        rows: which of the rows, in words.
        weight: share in the pool.
        score: typical log error of its rolling predictions.
    """

    fit: Fit
    rows: str
    weight: float
    score: float


@dataclass(frozen=True)
class Width:
    """The recipe of the bands: constants learned on development splits, and what this table showed.

    Attributes:
        floor, noise_share, disagreement, distance: f, n, a and c above.
        growth: p.
        df: nu.
        margin: factor on all half-widths: what is learned on some tables holds less on others.
        tau: scale of this table's own rolling errors against the recipe, shrunk.
        noise: s, log units.
        cuts: how many cuts taught tau.
    """

    floor: float
    noise_share: float
    disagreement: float
    distance: float
    growth: float
    df: float
    margin: float = 1.0
    tau: float = 1.0
    noise: float = 0.0
    cuts: int = 0

    def variance(self, between: Array, distance: Array, *, run: bool = True) -> Array:
        """(k,) variance of log loss at points with this disagreement and distance; `run`: with the noise of one."""
        far = np.log(np.maximum(np.where(np.isfinite(distance), distance, 1.0), 1.05))
        law = ((self.disagreement * between) ** 2 + (self.distance * far) ** 2) * far ** (2 * self.growth)
        least = self.floor**2 + (self.noise_share * self.noise) ** 2 if run else 0.0
        return np.asarray(self.tau**2 * (law + least))

    def half(self, level: float, between: Array, distance: Array, *, run: bool = True) -> Array:
        """(k,) half-width of the band at a level, in log loss."""
        return np.asarray(
            self.margin * t_quantile(level, self.df) * np.sqrt(self.variance(between, distance, run=run))
        )


@dataclass(frozen=True, eq=False)
class Stack:
    """What `fs.fit` without a law returns: fits weighted by how well they extrapolated, with bands that know it.

    Attributes:
        members: those with weight, best first.
        inputs: columns that a point needs: ("N", "D"), or one.
        variable: what orders the runs.
        width: the recipe of the bands.
        scores: one row per candidate: candidate (its name), law, loss, rows, score, weight, parameters, aicc,
            evidence (relative to the best AICc), leave_out (filled on request).
        rolling: (k,) columns of the rolling predictions that the pool itself made: cut, distance, observed, estimate,
            lower, upper (bands from what was known at that cut).
        runs: the table.
        residuals: (n,) log(observed) - log(pool) on all rows.
        why: one sentence each: how it was chosen.
        verdict: filled by `judge`.
    """

    members: tuple[Member, ...]
    inputs: tuple[str, ...]
    variable: str
    width: Width
    scores: Mapping[str, NDArray[Any]]
    rolling: Mapping[str, Array]
    runs: Runs
    residuals: Array
    why: tuple[str, ...]
    conventions: Mapping[str, str]
    fitted_range: Mapping[str, tuple[float, float]]
    verdict: Verdict | None = None
    notes: tuple[Note, ...] = ()
    level: float = 0.90
    seed: int = 0
    version: str = ""
    data_hash: str = ""

    # -- reading ------------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.runs)

    @property
    def sigma(self) -> float:
        """Noise of one run in log units, as the pool sees it."""
        return self.width.noise

    @property
    def best(self) -> Fit:
        """The one fit with most weight, of those that answer most questions: where a single law is needed."""
        return _planned(self)[0].fit

    @cached_property
    def law(self) -> Law:
        """The pool as one law: every parameter of every member, and the weights."""
        return _pooled_law(self)

    @cached_property
    def pooled(self) -> Fit:
        """The pool as one Fit, for planners and pages: draws belong to one member each, drawn by weight."""
        return _pooled_fit(self)

    def predict(self, points: Any = None, /, **inputs: Any) -> Prediction:
        """Predict at points, as `Fit.predict`.

        Raises:
            ColumnError: an input is missing, unknown, or not positive and finite.
            QuantityError: text that is no number.
        """
        if points is not None and inputs:
            raise ColumnError(message("predict got both a table and single inputs", "one of the two"))
        given = columns_of(points) if points is not None else inputs
        columns, _, notes = read_points(self.pooled, given, strict=points is None)
        distance = distance_of(self.pooled, columns)
        centre, between = self.curve(columns)

        def bands(level: float) -> tuple[Band, Band]:
            ends = []
            for run in (False, True):
                half = self.width.half(level, between, distance, run=run)
                ends.append(Band(np.exp(centre - half), np.exp(centre + half)))
            return ends[0], ends[1]

        confidence, new = bands(self.level)
        notes = [*notes, *self._cautions(distance)]
        asked = {name: columns[name] for name in self.inputs}
        return Prediction(
            asked, np.exp(centre), confidence, new, distance, self.level, tuple(dict.fromkeys(notes)), bands
        )

    def curve(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        """(k,) log of the pooled loss, and the standard deviation between the members."""
        if len(self.inputs) > 1:
            columns = {**columns, "C": 6.0 * columns["N"] * columns["D"]}
        k = columns[self.inputs[0]].size
        weight = np.array([m.weight for m in self.members])
        logs = np.empty((len(self.members), k))
        for row, member in zip(logs, self.members):
            law = member.fit.law
            with np.errstate(all="ignore"):
                row[:] = np.log(law(member.fit.params, **{name: columns[name] for name in law.inputs}))
        return pooled(logs, weight)

    def _cautions(self, distance: Array) -> list[Note]:
        far = float(np.nanmax(distance)) if np.isfinite(distance).any() else 0.0
        tested = float(self.rolling["distance"].max()) if len(self.rolling["distance"]) else 1.0
        if far > max(tested, 1.0) and far > FAR:
            return [
                Note(
                    "amber",
                    "far-out",
                    f"Up to {far:.3g} times the largest run; the pool was tested up to {tested:.3g} times. Beyond "
                    "that the bands continue what is usual for scaling laws.",
                )
            ]
        return []

    # -- new values ---------------------------------------------------------------------------------------------

    def planned(self) -> Stack:
        """Only the members that answer most questions: a law that reads C alone knows nothing of how to split it."""
        kept = _planned(self)
        total = sum(m.weight for m in kept)
        return replace(self, members=tuple(replace(m, weight=m.weight / total) for m in kept))

    def with_verdict(self, verdict: Verdict) -> Stack:
        """This stack with its verdict."""
        return replace(self, verdict=verdict)

    def with_notes(self, *notes: Note) -> Stack:
        """This stack with more notes; the same note is kept once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    # -- out ----------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """A text table: members with weights and scores, how they were chosen, verdict, notes."""
        from forescale.fitting._stack_text import summary

        return summary(self)

    def summary_frame(self) -> Columns:
        """All candidates as columns, best first: see `scores`."""
        return Columns(dict(self.scores))

    def citation(self) -> str:
        """BibTeX of the laws with weight, of the method and of the data."""
        from forescale.fitting._stack_text import citation

        return citation(self)

    def plot(self, kind: str | None = None, **options: Any) -> Any:
        """A chart: "loss" (default), "rolling" (hidden larger runs, predicted), or any of `Fit.plot` of the pool."""
        return renderer("fit")(self, kind, **options)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `fitting._stack_files.stack_from_dict` reads them back."""
        from forescale.fitting._stack_files import stack_to_dict

        return stack_to_dict(self)

    def to_json(self, *, indent: int | None = None) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict(), indent=indent)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the stack as JSON; whole or not at all."""
        return write_atomic(path, self.to_json())

    def __repr__(self) -> str:
        shown = ", ".join(f"{m.weight:.2f} {m.fit.law.id}" for m in self.members[:4])
        rest = f", {len(self.members) - 4} more" if len(self.members) > 4 else ""
        return f"Stack({shown}{rest}; {self.n} rows)"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.summary())}</pre>"


def pooled(logs: Array, weight: Array) -> tuple[Array, Array]:
    """The weighted mean of log losses (k,), and the weighted standard deviation between the members (k,).

    A member that runs away does not carry the pool: it counts as if it lay `AWAY` weighted median absolute deviations
    from the weighted median, or `LEAST_AWAY` where that is more. One that is not finite at a point is left out there.

    Args:
        logs: (m, k) what the members say.
        weight: (m,) positive.
    """
    good = np.isfinite(logs)
    share_ = np.where(good, weight[:, None], 0.0)
    with np.errstate(all="ignore"):
        share_ = share_ / share_.sum(axis=0)
    none = ~good.any(axis=0)
    share_ = np.where(none, 0.0, share_)
    safe = np.where(good, logs, 0.0)
    median = _weighted_median(safe, share_)
    reach = np.maximum(AWAY * _weighted_median(np.abs(safe - median), share_), LEAST_AWAY)
    held = np.clip(safe, median - reach, median + reach)
    centre = np.where(none, np.nan, (share_ * held).sum(axis=0))
    return centre, np.sqrt(np.maximum((share_ * (held - centre) ** 2).sum(axis=0), 0.0))


def _weighted_median(values: Array, weight: Array) -> Array:
    order = np.argsort(np.where(weight > 0, values, np.inf), axis=0)
    total = np.cumsum(np.take_along_axis(weight, order, axis=0), axis=0)
    first = np.argmax(total >= 0.5 - 1e-12, axis=0)
    return np.asarray(np.take_along_axis(values, np.take_along_axis(order, first[None], axis=0), axis=0)[0])


# -- the pool as one law ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pool:
    """exp(sum_i w_i log L_i(inputs; parameters of i)): `names[i]` maps the pool's names to those of member i."""

    laws: tuple[Law, ...]
    names: tuple[Mapping[str, str], ...]

    def __call__(self, **values: Any) -> Any:
        columns = dict(values)
        if {"N", "D"} <= set(columns):
            columns["C"] = 6.0 * columns["N"] * columns["D"]
        total: Any = 0.0
        for i, (law, names) in enumerate(zip(self.laws, self.names), start=1):
            params = {own: values[pooled] for pooled, own in names.items()}
            value = law.formula(**{name: columns[name] for name in law.inputs}, **params)
            total = total + values[f"w_{i}"] * np.log(value)
        return np.exp(total)


def _planned(stack: Stack) -> list[Member]:
    """The members that may answer most questions: a law that reads C alone knows nothing about how to split it."""
    able = [m for m in stack.members if set(m.fit.law.inputs) == set(stack.inputs)] or list(stack.members)
    most = max(len(m.fit.law.valid_for) for m in able)
    return [m for m in able if len(m.fit.law.valid_for) == most]


def _pooled_law(stack: Stack) -> Law:
    members = _planned(stack)
    laws = tuple(m.fit.law for m in members)
    names: list[Mapping[str, str]] = []
    params: dict[str, Parameter] = {}
    for i, law in enumerate(laws, start=1):
        names.append(Frozen({f"{name}_{i}": name for name in law.params}))
        params |= {f"{name}_{i}": replace(p, start=None) for name, p in law.params.items()}
    params |= {f"w_{i}": share(f"weight of {law.id}") for i, law in enumerate(laws, start=1)}
    answers = [set(law.valid_for) for law in laws]
    return Law(
        id="stack",
        title="Several laws, weighted by how well they extrapolated",
        inputs=stack.inputs,
        params=params,
        formula=_Pool(laws, tuple(names)),
        output=laws[0].output,
        decreasing_in=tuple(name for name in stack.inputs if all(name in law.decreasing_in for law in laws)),
        valid_for=tuple(a for a in laws[0].valid_for if all(a in s for s in answers)),
        meaning="The weighted geometric mean of the laws that predicted larger runs best from smaller ones.",
        papers=tuple(dict.fromkeys(key for law in laws for key in law.papers)),
    )


def _pooled_fit(stack: Stack) -> Fit:
    members = _planned(stack)
    weight = np.array([m.weight for m in members])
    weight = weight / weight.sum()
    law = _pooled_law(stack)
    values = [value for m in members for value in (m.fit.params[name] for name in m.fit.law.names)]
    params = {name: float(v) for name, v in zip(law.names, [*values, *weight.tolist()])}
    rng = np.random.default_rng(seed_sequence(stack.seed))
    draws = np.tile(np.array([*values, *weight.tolist()]), (DRAWS, 1))
    whose = rng.choice(len(members), size=DRAWS, p=weight)
    first = 0
    for i, member in enumerate(members):
        count = len(member.fit.law.params)
        own = member.fit.draws
        rows = np.flatnonzero(whose == i)
        if len(own):
            draws[rows, first : first + count] = own[rows % len(own)]
        first += count
    draws[:, first:] = np.eye(len(members))[whose]
    draws.flags.writeable = False
    covariance = np.full((len(law.params), len(law.params)), np.nan)
    distance = np.array([1.0, 2.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 10000.0])
    alone = stack.width.variance(np.zeros_like(distance), distance, run=False)
    return Fit(
        law=law,
        params=Frozen(params),
        covariance=covariance,
        draws=draws,
        draws_from="stack",
        loss="stack",
        objective=math.nan,
        sigma=stack.width.noise,
        runs=stack.runs,
        residuals=stack.residuals,
        convergence=None,
        conventions=stack.conventions,
        fitted_range=stack.fitted_range,
        verdict=stack.verdict,
        spread=Spread(
            distance,
            stack.width.margin * np.sqrt(alone),
            f"the rolling errors of the pool at {stack.width.cuts} cuts",
        ),
        notes=stack.notes,
        level=stack.level,
        seed=stack.seed,
        version=stack.version,
        data_hash=stack.data_hash,
        df=stack.width.df,
        covariance_from="stack",
    )

# SPDX-License-Identifier: Apache-2.0
"""Two laws in a row, for many parameter vectors at once: loss from size and tokens, a task's metric from the loss.

Both steps come from fits of their own, whose draws are paired, or from one table of checkpoints (Bhagia et al. 2024),
where whole runs are resampled and both steps are learned again from the same ones.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forescale.core.errors import ConventionError, QueryError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Finding
from forescale.fitting._tails import t_quantile
from forescale.fitting.surface import Surface
from forescale.numerics.optimum import root
from forescale.planning._frontier import COUNTS, at, rows
from forescale.planning._intervals import interval, of_estimate
from forescale.planning._plan import Basis, Expected, Grounds
from forescale.planning._show import show

Array = NDArray[np.float64]

LOSSES = (1e-9, 1e3)
"""Losses between which step 2 is inverted."""

STEP = 1e-4  # relative, of the loss: the slope of step 2 is taken over this distance
FLAT = 0.1
"""Share of its steepest slope over the losses seen below which step 2 no longer tells losses apart."""
FEW = 3
"""Runs for each parameter of step 2 below which they are called few; announced with their number."""
MOVES = 0.05
"""Relative change of a prediction without an interval that one run may not cause."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Both steps.

    Attributes:
        grounds: the parts "loss" and "accuracy", and "direct" where there is one; one number of rows for all.
        metric: "accuracy", or "error" where step 2 predicts one.
        noise: standard deviation of one run's loss, NaN when unknown. scatter: of the metric at a known loss.
        units: different runs (or rows) behind step 2, 0 where that is not known.
        notes: what was assumed on the way.
    """

    grounds: Grounds
    metric: str
    noise: float
    scatter: float
    units: int
    notes: tuple[str, ...] = ()

    @property
    def surface(self) -> Surface:
        """Step 1."""
        return self.grounds.laws["loss"].surface

    def loss(self, N: ArrayLike, D: ArrayLike) -> Array:
        """(B, k) loss at sizes and tokens, each (k,) or (B, k)."""
        return at(self.surface, np.atleast_1d(N), np.atleast_1d(D))

    def of_loss(self, loss: Array) -> Array:
        """(B, k) metric at losses (B, k) or (k,)."""
        return self.grounds.values("accuracy", loss=loss)

    def value(self, N: ArrayLike, D: ArrayLike) -> Array:
        """(B, k) metric of a model."""
        return self.of_loss(self.loss(N, D))

    def required(self, target: float) -> tuple[Array, NDArray[np.int8]]:
        """(B,) loss at which step 2 reaches the target, NaN where none does; and at which end it then fails.

        `Where.LOWER`: not even a loss of zero is enough. `Where.UPPER`: any loss is.
        """
        wide = np.ones(self.grounds.rows)
        found = root(self.of_loss, LOSSES[0] * wide, LOSSES[1] * wide, target=target)
        return np.where(found.found, found.x, np.nan), found.where

    def lowest(self, held: dict[str, float]) -> Array:
        """(B,) loss that can be approached but not passed, with what is held: params, tokens or ratio."""
        floor = self.surface.law.floor
        if not held or "ratio" in held:
            if floor is not None and floor in self.surface.params:
                return self.surface.params[floor][:, 0]
            return self.loss(COUNTS[1], COUNTS[1])[:, 0]
        return self.loss(held.get("params", COUNTS[1]), held.get("tokens", COUNTS[1]))[:, 0]

    def slope(self, loss: float) -> float:
        """d metric / d loss of the estimate."""
        ends = self.of_loss(loss * (1.0 + STEP * np.array([-1.0, 1.0])))[0]
        return float((ends[1] - ends[0]) / (2.0 * STEP * loss))

    def expected(self, values: Array, loss: float) -> Expected:
        """The metric with both bands: the draws of both steps, and the noise of one run around them."""
        best, level = of_estimate(values), self.grounds.level
        ends = interval(values, level)
        known = [s for s in (abs(self.slope(loss)) * self.noise, self.scatter) if math.isfinite(s)]
        band = None
        if known and math.isfinite(best):
            half = t_quantile(level, math.inf) * math.hypot(*known)
            low, high = ends or (best, best)
            band = (
                max(best - math.hypot(best - low, half), 0.0),
                min(best + math.hypot(high - best, half), 1.0),
            )
        return Expected(best, ends, band, "", f"{self.metric} of a new run")


# ------------------------------------------------------------------------------------------------------- two origins


def chain(grounds: Grounds, loss_noise: float | None, resamples: int) -> Chain:
    """Both steps from what was given.

    Raises:
        QueryError: a table of checkpoints and a fit of one of the steps.
        RefusedError: one step was given and the other is not.
        ConventionError: the two steps count the loss in different units.
    """
    if "ladder" in grounds.tables:
        return _of_table(grounds, loss_noise, resamples)
    missing = [name for name in ("loss", "accuracy") if name in grounds.defaulted]
    if len(missing) == 1:
        raise RefusedError(
            message(
                f"{'accuracy' if missing[0] == 'loss' else 'loss'} was given and {missing[0]} was not: the loss that "
                "one predicts must be the loss that the other reads, on the same text",
                "both steps, or none for the published ones",
                "fit both to the same runs, or give one table of checkpoints with run, N, D, loss, score",
            )
        )
    first, second = grounds.laws["loss"], grounds.laws["accuracy"]
    units = [basis.surface.conventions.get("loss") for basis in (first, second)]
    if all(unit not in (None, "unknown") for unit in units) and units[0] != units[1]:
        raise ConventionError(
            message(f"step 1 predicts {units[0]} and step 2 reads {units[1]}", "one loss in one unit for both")
        )
    log = first.fit is None or first.fit.scale != "raw"
    noise, notes = first.sigma, []
    if loss_noise is not None:
        noise = loss_noise
    elif log:
        noise = math.nan  # a share of the loss: known where the loss is
    metric = "error" if second.surface.law.output == "error" else "accuracy"
    scatter = second.sigma
    if second.fit is not None and second.fit.scale != "raw":
        scatter = math.nan  # likewise a share
    if second.fit is None or second.fit.runs is None:
        notes.append("How many runs step 2 rests on is not known: no run was left out to see how much hangs on it.")
    return Chain(grounds, metric, noise, scatter, _units(second), tuple(notes))


def at_place(chain: Chain, loss: float, value: float) -> Chain:
    """The chain with noises that are known as shares turned into what they are at one loss and one value."""
    first, second = chain.grounds.laws["loss"], chain.grounds.laws["accuracy"]
    noise = chain.noise if math.isfinite(chain.noise) else first.sigma * loss
    scatter = chain.scatter if math.isfinite(chain.scatter) else second.sigma * value
    return replace(chain, noise=noise, scatter=scatter)


def _units(basis: Basis) -> int:
    runs = None if basis.fit is None else basis.fit.runs
    if runs is None:
        return 0
    return len(runs.group_codes("run")[1]) if "run" in runs.labels else len(runs)


def _of_table(grounds: Grounds, loss_noise: float | None, resamples: int) -> Chain:
    given = [name for name in ("loss", "accuracy") if name in grounds.laws and name not in grounds.defaulted]
    if given:
        raise QueryError(
            message(
                f"a table of checkpoints and a fit of {' and '.join(given)}",
                "the table alone, which holds both steps, or two fits",
            )
        )
    # Not at import: plans from published constants start without the fitting room.
    from forescale.fitting.estimators import ladder
    from forescale.laws import find

    runs = grounds.tables["ladder"]
    state, steps = ladder.learn(runs, ladder.ladder.options), ladder.steps(runs, ladder.ladder.options)
    drawn = ladder.resampled(state, steps, resamples)
    count = resamples + 1
    direct = grounds.laws.get("direct")
    if direct is not None and rows(direct.surface) > 1:
        count = min(count, rows(direct.surface))
    ends, seen = steps.ends, steps.points["loss"][steps.of >= 0]
    C = 6.0 * ends["N"] * ends["D"]
    words = {k: v for k, v in asdict(runs.conventions).items() if v is not None} | {"C": "6ND"}
    laws = {
        name: Basis(Surface(find(law), _params(estimate, draws, count), Frozen(words), Frozen(ranges)))
        for name, law, estimate, draws, ranges in (
            ("loss", "chinchilla", state.first, drawn[0],
             {k: _span(v) for k, v in {**ends, "C": C}.items() if k != "loss"}),
            ("accuracy", "accuracy-sigmoid", state.second, drawn[1], {"loss": _span(seen)}),
        )
    }  # fmt: skip
    if direct is not None:
        params = {name: np.resize(v, (count, 1)) if len(v) == 1 else v[:count]
                  for name, v in direct.surface.params.items()}  # fmt: skip
        laws["direct"] = replace(direct, surface=replace(direct.surface, params=Frozen(params)))
    points = ladder.predict(state, {"loss": steps.points["loss"]}) - steps.points["score"]
    scatter = float(np.sqrt(np.mean(points[steps.of >= 0] ** 2)))
    noise = state.noise if loss_noise is None else loss_noise
    return Chain(
        replace(grounds, laws=Frozen(laws), defaulted=Frozen()),
        "accuracy",
        noise,
        scatter,
        len(steps.copies),
        (
            f"Both steps were learned again from {resamples} resamples of the {len(steps.copies)} runs.",
            f"A run's loss varies by {noise:.2g} ({100 * noise / float(ends['loss'].min()):.2g} % of the least one)"
            + (", as that of the largest run over its last ten checkpoints." if loss_noise is None else "."),
            "Step 2 is tied to an accuracy of 1 at a loss of 0, which no run has shown.",
        ),
    )


def _span(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _params(estimate: object, draws: dict[str, Array], count: int) -> Frozen[str, Array]:
    first = dict(estimate)  # type: ignore[call-overload]
    return Frozen({name: np.concatenate([[first[name]], v[: count - 1]])[:, None] for name, v in draws.items()})


# ------------------------------------------------------------------------------------------------- how fragile it is


def without_best(chain: Chain, N: float, D: float) -> tuple[str, float] | None:
    """What step 2 says without its run of least loss: (which run, metric of the estimate); None where unknown."""
    if "ladder" in chain.grounds.tables:
        from forescale.fitting.estimators import ladder

        runs = chain.grounds.tables["ladder"]
        ends = ladder.steps(runs, ladder.ladder.options).ends["loss"]
        codes, names = runs.group_codes("run")
        worst = int(np.argmin(ends))
        if len(names) <= ladder.LEAST:
            return None
        left = ladder.learn(runs.where(codes != worst), ladder.ladder.options)
        return str(names[worst]), float(ladder.predict(left, {"N": np.array([N]), "D": np.array([D])})[0])
    fit = chain.grounds.laws["accuracy"].fit
    runs_ = None if fit is None else fit.runs
    if fit is None or runs_ is None or "loss" not in runs_.columns:
        return None
    low = int(np.argmin(runs_["loss"]))
    dropped = (
        runs_.labels["run"] == runs_.labels["run"][low] if "run" in runs_.labels else np.arange(len(runs_)) == low
    )
    if int((~dropped).sum()) < len(fit.law.names):
        return None
    from forescale.fitting import estimate

    again = estimate.fit(runs_.where(~dropped), fit.law, loss=fit.loss, level=fit.level, rng=fit.seed)
    name = str(runs_.labels["run"][low]) if "run" in runs_.labels else f"row {low + 1}"
    predicted = again.law(again.params, loss=chain.loss(N, D)[0])
    return f"{name} (loss {show(float(runs_['loss'][low]), 'loss')})", float(predicted[0])


def findings(chain: Chain, value: Array, loss: float, left: tuple[str, float] | None, inverse: bool) -> list[Finding]:
    """How far step 2 is carried, on how little, and what hangs on one run."""
    found: list[Finding] = []
    basis, best = chain.grounds.laws["accuracy"], of_estimate(value)
    seen = basis.surface.fitted_range.get("loss")
    if seen is not None and loss < seen[0]:
        found.append(
            Finding(
                "beyond-losses",
                "amber",
                f"Step 2 is read at a loss of {show(loss, 'loss')}, below the least it has seen "
                f"({show(float(seen[0]), 'loss')}): its lower end is a shape, not a measurement.",
                "A run on the way there tests it.",
            )
        )
    wanted = FEW * len(basis.surface.params)
    if 0 < chain.units < wanted:
        found.append(
            Finding(
                "few-runs",
                "amber",
                f"{chain.units} runs stand behind the {len(basis.surface.params)} parameters of step 2.",
                "Checkpoints of the same runs add losses in between, and no new lowest one.",
            )
        )
    if left is not None:
        name, other = left
        ends = interval(value, chain.grounds.level)
        width = MOVES * abs(best) if ends is None else 0.5 * (ends[1] - ends[0])
        moved = abs(other - best) > width
        found.append(
            Finding(
                "hangs-on-one-run",
                "amber" if moved else "green",
                f"Without {name}, the run of least loss, the same model is predicted an {chain.metric} of "
                f"{show(other)} in place of {show(best)} ({100 * (other / best - 1):+.3g} %).",
                "The prediction is that run's: make another of its kind before spending on it." if moved else "",
            )
        )
    if inverse and seen is not None:
        steepest = max(abs(chain.slope(float(x))) for x in np.linspace(float(seen[0]), float(seen[1]), 65))
        steep = abs(chain.slope(loss))
        if steep < FLAT * steepest:
            found.append(
                Finding(
                    "near-asymptote",
                    "amber",
                    f"At the loss that the target takes, the {chain.metric} moves by {steep:.2g} per unit of loss, "
                    f"{100 * steep / steepest:.2g} % of its steepest: the target is close to the end of the curve, "
                    "and the compute it takes hangs on where that end is.",
                    "Read the interval, or plan for a lower target.",
                )
            )
    top = basis.surface.params.get("b")
    if basis.surface.law.id.startswith("accuracy-sigmoid") and top is not None and of_estimate(top) > 1.0:
        found.append(
            Finding(
                "above-one",
                "amber",
                f"The upper end of step 2 is an accuracy of {of_estimate(top):.4g}.",
                "Fit it again with accuracy-sigmoid.fix(b=1).",
            )
        )
    return found

# SPDX-License-Identifier: Apache-2.0
"""Routed language models (Clark et al. 2022): the published law again, and the largest models from the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

import forescale as fs
from forescale.laws.routing import cutoff, dense_equivalent
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import relative_errors, rms, tally
from forescale.studies._study import MEASURED, Claim, Outcome, Study, Table, holds, measured

Array = NDArray[np.float64]

HALF = {"a": 5e-4, "b": 5e-4, "c": 5e-4, "d": 5e-4, "E_start": 5e-4, "E_max": 0.05}
"""Half a unit of the last printed digit."""
PAPER = "Clark et al. 2022, table 3"
ROUTERS = (("S-Base", "s-base"), ("RL-R", "rl-r"), ("Hash", "hash"))
LARGE = 3e8
"""Parameters of the dense model from which on models are hidden: the two largest of six sizes."""
DRAWN = 1.32163584e8
"""The size whose runs are drawn."""
PLAIN = "A * N**-a * experts**-b"
"""Powers of both, without product and saturation."""


def chosen(router: str) -> fs.Runs:
    """One expert per token in every second layer; dense models count as one expert."""
    runs = fs.dataset("routing")
    plain = (runs["k"] == 1) & (runs["routing_frequency"] == 0.5) & (runs["flop_increase"] == 1)
    return runs.where(plain & np.isin(runs.labels["router"], [router, "Dense"]))


def worth(params: dict[str, float], loss: Array) -> Array:
    """Parameters of the dense model with that loss."""
    some = {name: value for name, value in params.items() if name != "E_max"}
    return np.asarray(dense_equivalent(loss, **some))


def off(law: fs.Law, params: Mapping[str, float], runs: fs.Runs) -> Array:
    """(n,) log10 of predicted over observed loss."""
    return np.log10(law(params, N=runs["N"], experts=runs["experts"]) / runs["loss"])


def rounding_to(law: fs.Law, printed: Mapping[str, float], runs: fs.Runs) -> dict[str, float]:
    """The constants that fit best among those that round to the printed ones."""
    middle, half = (np.array([values[name] for name in law.names]) for values in (printed, HALF))

    def residuals(t: Array) -> Array:
        return 1e3 * off(law, dict(zip(law.names, t)), runs)

    found = least_squares(residuals, middle, bounds=(middle - half, middle + half), x_scale=half)
    return dict(zip(law.names, found.x.tolist()))


def run() -> Outcome:
    """Fit three routers, compare constants, hide the two largest sizes, and say what experts are worth."""
    law = fs.law("routing")
    claims: list[Claim] = []
    rows: list[tuple[str, ...]] = []
    series: list[Series] = []
    errors: dict[str, list[float]] = {"law": [], "plain": []}
    for label, key in ROUTERS:
        runs = chosen(label)
        fit = fs.fit(runs, law)
        params, se = dict(fit.params), fit.standard_errors()
        printed = law.constants(f"clark2022-{key}")
        near = rounding_to(law, printed, runs)
        claims += [
            holds(
                f"{label}: largest distance of the six constants from the printed ones, in our standard errors",
                ours=max(abs(params[name] - printed[name]) / se[name] for name in law.names),
                most=2.0,
                source=PAPER,
            ),
            holds(
                f"{label}: root mean square of log10 L at constants that round to the printed ones",
                ours=rms(off(law, near, runs)),
                most=0.0035,
                source="notes of the data: .003 at the optimum",
                note=f"Our optimum {rms(off(law, params, runs)):.5f}; as printed, with c to one or two digits, "
                f"{rms(off(law, printed, runs)):.4f}.",
            ),
        ]
        for kind, error in _hidden(runs, law).items():
            errors[kind] += error
        rows.append((label, *(f"{params[n]:.4g} ({printed[n]:.4g})" for n in law.names)))
        series += _drawn(label, runs, law, params)
        claims.append(
            measured(
                f"{label}: log10 of the size at which experts stop helping",
                float(np.log10(cutoff(params["b"], params["c"]))),
            )
        )
    agree = [claim for claim in claims if claim.verdict != MEASURED]
    ends = [claim.ours for claim in claims if claim.verdict == MEASURED]
    claims.append(
        holds(
            f"mean error of {len(errors['law'])} predictions for the two largest sizes, hidden, per cent",
            ours=float(np.mean(errors["law"])),
            most=float(np.mean(errors["plain"])),
            source="powers of N and experts alone, same rows",
            note="The product term is then known from a factor of eight in size.",
        )
    )
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"The released evaluations agree with the published constants in {tally(agree)} comparisons of three "
            f"routers. By our fits experts stop helping at 10^{min(ends):.1f} to 10^{max(ends):.1f} parameters. "
            f"Fitted to the four smaller sizes the law is {np.mean(errors['law']):.1f} % off on the two largest, "
            f"powers alone {np.mean(errors['plain']):.1f} %."
        ),
        charts={
            "worth": xy(
                "What experts are worth to a dense model of 130M parameters",
                ["dots: released runs, as the dense model of the same loss; lines: the law"],
                series,
                x="experts per routed layer",
                y="parameters of the dense model with the same loss",
                log_x=True,
                log_y=True,
                kind_y="count",
            )
        },
        tables=(
            Table(
                "Constants: ours (as printed)", ("router", *law.names), tuple(rows), "Ours: least squares of log L."
            ),
        ),
    )


def _hidden(runs: fs.Runs, law: fs.Law) -> dict[str, list[float]]:
    """Relative errors on the two largest sizes, in per cent: of the law and of powers alone, fitted to the rest."""
    large = runs["N"] > LARGE
    rest = runs.where(large)
    fits = {
        "law": fs.fit(runs.where(~large), law),
        "plain": fs.fit(runs.where(~large), PLAIN, loss="log-squared"),
    }
    return {name: (100 * relative_errors(fit, rest)).tolist() for name, fit in fits.items()}


def _drawn(label: str, runs: fs.Runs, law: fs.Law, params: dict[str, float]) -> list[Series]:
    some = runs.where(np.abs(runs["N"] / DRAWN - 1) < 1e-3)
    experts = np.geomspace(1.0, 512.0, 40)
    line = worth(params, law(params, N=DRAWN, experts=experts))
    return [
        Series(label, some["experts"], worth(params, some["loss"])),
        Series(label, experts, line, "line"),
    ]


routing = Study(
    id="routing",
    title="Parameters and experts of routed language models",
    question="Do the released runs give the published law back, and does it predict models larger than those fitted?",
    papers=("clark2022",),
    datasets=("routing",),
    laws=("routing",),
    run=run,
)

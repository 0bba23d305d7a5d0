# SPDX-License-Identifier: Apache-2.0
"""Coverage: the share of problems that at least one of k attempts solves (Brown et al. 2024, Schaeffer et al. 2025).

Three forms: an exponentiated power law of k, the closed form where success rates of problems follow a beta
distribution, and a surface in training compute and k. The published constants are all for Pythia on 128 problems of
MATH with 10,000 attempts each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, amplitude, exponent, real
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]

SHIFT = 12
"""Steps of the recurrence before Stirling's series: its first term left out is below 1e-16 there."""


def power(attempts: Any, a: Any, b: Any) -> Any:
    """pass@k = exp(-a k^-b), k = attempts (Brown et al. 2024, section 3.1)."""
    return np.exp(-a * attempts**-b)


def beta_rates(attempts: Any, alpha: Any, beta: Any) -> Any:
    """pass@k = 1 - B(alpha, beta + k) / B(alpha, beta), k = attempts (Schaeffer et al. 2025; Levi 2024)."""
    return -np.expm1(log_unsolved(attempts, alpha, beta))


def log_unsolved(attempts: Any, alpha: Any, beta: Any) -> Any:
    """log B(alpha, beta + k) - log B(alpha, beta).

    Differences of log-gamma functions lose up to five digits where coverage is small. Here each of the two ratios
    Gamma(z + alpha) / Gamma(z), z = beta and beta + k, is carried up to z + SHIFT, where Stirling's series is exact
    to rounding, and what the two have in common is taken out first.
    """
    low, high = beta + SHIFT, beta + attempts + SHIFT
    out = -alpha * np.log1p(attempts / low) + _stirling(low, alpha) - _stirling(high, alpha)
    for i in range(SHIFT):
        out = out + np.log1p(alpha / (beta + attempts + i)) - np.log1p(alpha / (beta + i))
    return out


def _stirling(z: Any, alpha: Any) -> Any:
    """log(Gamma(z + alpha) / Gamma(z)) - alpha log z for z >= SHIFT."""
    return (z + alpha - 0.5) * np.log1p(alpha / z) - alpha + _series(z + alpha) - _series(z)


def _series(z: Any) -> Any:
    x = 1.0 / (z * z)
    return (1 / 12 - x * (1 / 360 - x * (1 / 1260 - x * (1 / 1680 - x * (1 / 1188 - x * 691 / 360360))))) / z


def surface(C: Any, attempts: Any, A: Any, alpha: Any, beta: Any, delta: Any) -> Any:
    """pass@k = exp(-A C^-alpha k^-(beta + delta ln C)), k = attempts (Krajewski et al. 2025)."""
    return np.exp(-A * C**-alpha * attempts ** -(beta + delta * np.log(C)))


def asymptote(attempts: Any, alpha: Any, beta: Any) -> Any:
    """What coverage-beta leaves unsolved after many attempts: Gamma(alpha + beta) / Gamma(beta) k^-alpha."""
    from scipy.special import gammaln  # not at import: plans start without SciPy

    return np.exp(gammaln(alpha + beta) - gammaln(beta)) * attempts**-alpha


def _depth(y: Array) -> Array:
    """-log(pass@k), kept off its ends."""
    return np.asarray(-np.log(np.clip(y, 1e-300, 1.0 - 1e-12)))


def power_starts(attempts: Array, y: Array) -> dict[str, Array]:
    """A regression of log(-log y) on log k, with weights that make errors of y of them."""
    depth = _depth(y)
    columns = np.broadcast_to(np.stack([np.ones_like(y), -np.log(attempts)]), (2, 2, y.size))
    found, _ = regressions(columns, np.log(depth), np.stack([np.ones_like(y), (y * depth) ** 2]))
    return {"a": np.exp(found[:, 0]), "b": np.maximum(found[:, 1], 1e-3)}


def beta_starts(attempts: Array, y: Array) -> dict[str, Array]:
    """The best cells of a grid: alpha evenly in the logarithm, beta around the knee of the curve."""
    alpha, beta = (g.ravel() for g in np.meshgrid(np.geomspace(0.01, 20.0, 40), np.geomspace(0.05, 1e6, 60)))
    value = beta_rates(attempts, alpha[:, None], beta[:, None])
    left = ((value - y) ** 2).sum(axis=1)
    chosen = best(left, np.log(np.stack([alpha, beta], axis=1)), 6, 0.5)
    return {"alpha": alpha[chosen], "beta": beta[chosen]}


def surface_starts(C: Array, attempts: Array, y: Array) -> Mapping[str, Array]:
    """A regression of log(-log y) on log C, log k and their product."""
    depth, x, k = _depth(y), np.log(C), np.log(attempts)
    columns = np.broadcast_to(np.stack([np.ones_like(y), -x, -k, -x * k]), (2, 4, y.size))
    found, _ = regressions(columns, np.log(depth), np.stack([np.ones_like(y), (y * depth) ** 2]))
    A, alpha = np.exp(found[:, 0]), np.maximum(found[:, 1], 1e-3)
    return {"A": A, "alpha": alpha, "beta": found[:, 2], "delta": found[:, 3]}


_RANGE = {"attempts": (1.0, 1e4)}
_FITS = {
    # model: (a, b) by least squares on coverage, (alpha, beta) by maximum likelihood on the counts
    "12b": ((4.31387043, 0.379006537), (0.295507005, 12.3647589), 0.8629),
    "6.9b": ((4.50978357, 0.360133784), (0.269802553, 14.1629117), 0.8309),
    "2.8b": ((4.34134319, 0.347023848), (0.24601999, 11.7040747), 0.8116),
    "1b": ((5.60552771, 0.319664949), (0.215555208, 25.489056), 0.7251),
    "410m": ((5.59795673, 0.28988237), (0.180394121, 28.7478451), 0.6531),
    "160m": ((6.35521321, 0.276436636), (0.175508021, 65.5748772), 0.5871),
    "70m": ((8.28864741, 0.199242175), (0.0650369508, 100.078445), 0.2595),
}
_DATA = "on 128 problems of MATH, 10,000 attempts each; the counts are released, this fit to them is ours"

coverage_power = Law(
    id="coverage-power",
    topic="samples at test time",
    title="Coverage as an exponentiated power law of attempts",
    inputs=("attempts",),
    output="score",
    params={
        "a": amplitude("-log of the coverage of one attempt", start=(1e-3, 1e3)),
        "b": exponent("how fast -log of the coverage falls with attempts", start=(0.01, 3.0)),
    },
    formula=power,
    starts=power_starts,
    loss="squared",
    latex=r"\mathrm{pass}(k) = \exp(-a \, k^{-b}), \quad k = \mathrm{attempts}",
    meaning=(
        "The share of problems that at least one of k attempts solves, over several orders of magnitude of k: minus "
        "its log falls as a power. Fit it to unbiased estimates (pass_at_k) at few k, and ask how many attempts a "
        "target takes. "
        "The authors find the curves of a family of models to be copies of each other, shifted in log k."
    ),
    traps=(
        "Fitted to coverage, not to its log, it misses the first attempts: on Pythia 12B it says .0134 where .0232 "
        "is measured.",
        "Points of one curve come from the same attempts and problems: their scatter says nothing about its error. "
        "Bootstrap problems.",
        "It must reach 1: where some problems cannot be solved at all, it promises too much.",
        "Where every problem is solved already there is no power law to fit: the tail that makes it is empty.",
        "Equal slopes within a family are no rule: on Pythia and MATH b grows from .20 at 70M to .38 at 12B.",
    ),
    papers=("brown2024", "schaeffer2025", "kwok2025"),
    published={
        f"pythia-{model}-math": Published(
            values=dict(zip(("a", "b"), fit)),
            source="brown2024",
            fitted_range=_RANGE,
            reproduced="yes",
            note=f"Pythia {model.upper()} {_DATA}: least squares on coverage at 37 k, as in the paper.",
        )
        for model, (fit, _, _) in _FITS.items()
    }
    | {
        f"llama3-{model}-math": Published(
            values=dict(zip(("a", "b"), fit)),
            source="brown2024",
            fitted_range=_RANGE,
            note=(
                f"Llama 3 {model.upper()} Instruct on 128 problems of MATH: our fit to {points} points read off the "
                f"paper's figure ({error} of the coverage at most). That the problems are 128 moves each coverage by "
                ".04 (standard error), which the curve cannot show."
            ),
        )
        for model, fit, points, error in (
            ("8b", (1.3474476782791236, 0.4351197946653929), 23, "off by .010"),
            ("70b", (0.7671579644903248, 0.46097475545934097), 22, "off by .012"),
        )
    },
    checks=(
        Check("pythia-12b-math", {"attempts": 1.0}, 0.01338, 5e-6, "brown2024"),
        Check("pythia-12b-math", {"attempts": 1e4}, 0.87680, 5e-6, "brown2024"),
        Check("pythia-1b-math", {"attempts": 100.0}, 0.27634, 5e-6, "brown2024"),
    ),
)

coverage_beta = Law(
    id="coverage-beta",
    topic="samples at test time",
    title="Coverage where success rates follow a beta distribution",
    inputs=("attempts",),
    output="score",
    params={
        "alpha": exponent(
            "how many problems are nearly impossible: unsolved ones fall as k^-alpha", start=(0.01, 5.0)
        ),
        "beta": amplitude("how rare easy problems are: alpha / (alpha + beta) is the mean", start=(0.1, 1e5)),
    },
    formula=beta_rates,
    starts=beta_starts,
    absolute=("attempts",),
    loss="squared",
    latex=(
        r"\mathrm{pass}(k) = 1 - \frac{\mathrm{B}(\alpha, \beta + k)}{\mathrm{B}(\alpha, \beta)}, "
        r"\quad k = \mathrm{attempts}"
    ),
    meaning=(
        "Each problem has its own success rate; where these follow a beta distribution, coverage has this closed "
        "form. Unsolved problems fall as Gamma(alpha + beta) / Gamma(beta) k^-alpha in the end, so that alpha is the "
        "exponent of the left tail of success rates. From counts per problem the estimator success-rates fits it by "
        "likelihood, whatever the rule by which attempts were stopped."
    ),
    traps=(
        "Before the asymptote the slope is not alpha: with (.2155, 25.49) the asymptote is 5 % off at 100 attempts.",
        "Least squares on a coverage curve and likelihood on counts weigh differently; only the second is valid for "
        "attempts that stopped at a success.",
        "On real counts it forecasts no better than the power law one or two decades ahead: try both on your own.",
    ),
    papers=("schaeffer2025", "levi2024", "kazdan2025"),
    published={
        f"pythia-{model}-math": Published(
            values=dict(zip(("alpha", "beta"), fit)),
            source="schaeffer2025",
            fitted_range=_RANGE,
            reproduced="yes",
            note=f"Pythia {model.upper()} {_DATA}: maximum likelihood of beta-binomial counts.",
        )
        for model, (_, fit, _) in _FITS.items()
    },
    checks=tuple(
        Check(f"pythia-{model}-math", {"attempts": 1e4}, value, 5e-5, "schaeffer2025")
        for model, (_, _, value) in _FITS.items()
    ),
)

coverage_surface = Law(
    id="coverage-surface",
    topic="samples at test time",
    title="Coverage in training compute and attempts",
    inputs=("C", "attempts"),
    output="score",
    params={
        "A": amplitude("-log of the coverage of one attempt at one unit of compute"),
        "alpha": exponent("how fast training compute helps the first attempt", start=(0.005, 1.0)),
        "beta": real("what attempts bring at one unit of compute", start=(-3.0, 1.0)),
        "delta": real("how much more attempts bring per e-fold of compute", start=(-0.1, 0.1)),
    },
    formula=surface,
    starts=surface_starts,
    loss="squared",
    latex=(
        r"\mathrm{pass}(C, k) = \exp\left( -A \, C^{-\alpha} \, k^{-(\beta + \delta \ln C)} \right), "
        r"\quad k = \mathrm{attempts}"
    ),
    meaning=(
        "Minus the log of the coverage is a plane, with one product term, in log compute and log attempts. Use it to "
        "weigh a larger model against more attempts of a smaller one."
    ),
    traps=(
        "Extrapolated to larger models it is too optimistic: fitted up to Pythia 2.8B it is .05 too high for 12B.",
        "beta belongs to a compute of one unit, far from any run: judge beta + delta ln C at the compute you have.",
        "Constants of the paper were not found.",
    ),
    papers=("krajewski2025",),
    published={
        "pythia-math": Published(
            values={
                "A": float(np.exp(6.70299015)),
                "alpha": 0.103634144,
                "beta": -0.894141692,
                "delta": 0.024687175,
            },
            source="krajewski2025",
            conventions={"C": "6N(non-embedding)D"},
            fitted_range={"C": (3.40e19, 2.04e22), "attempts": (1.0, 1e4)},
            reproduced="yes",
            note=(
                "Seven sizes of Pythia, 300B tokens each, on 128 problems of MATH: our regression of log(-log(pass)) "
                "on 37 k, R^2 .9867, with the paper's form."
            ),
        ),
    },
    checks=(Check("pythia-math", {"C": 6 * 11.327e9 * 3e11, "attempts": 1e4}, 0.88095, 5e-6, "krajewski2025"),),
)

# SPDX-License-Identifier: Apache-2.0
"""Continual pre-training: check d1, the shape that the paper asks for, its special cases, and recovery."""

from __future__ import annotations

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import QueryError
from forescale.laws import find
from forescale.laws.continual import shape, share_within
from forescale.runs.table import Runs

TRUE = {
    "E": 1.1, "A": 120.0, "alpha": 0.25, "B": 60.0, "eta": 0.3, "beta": 0.3, "C": 0.25, "epsilon": 0.05, "gamma": 0.4,
}  # fmt: skip
RATIOS = np.array([0.0, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0])

USAGE_SHARE = np.array([0.9, 0.91, 0.92, 0.924, 0.93, 0.94, 1.0])
USAGE_GENERAL = np.array([2.9052, 2.9193, 2.9376, 2.9445, 2.9644, 2.9848, 3.4667])
USAGE_DOMAIN = np.array([1.7321, 1.7312, 1.7311, 1.7291, 1.7279, 1.7265, 1.7220])
BEFORE, TOLERANCE = 2.8602, 0.03


def table(noise: float, seed: int = 0) -> Runs:
    """Three sizes, nine shares, twenty checkpoints: the design of the paper."""
    N, D, share = (a.ravel() for a in np.meshgrid([5e8, 1.8e9, 4e9], np.linspace(1e9, 2e10, 20), RATIOS))
    y = find("d-cpt")(TRUE, N=N, D=D, share=share)
    y = y * np.exp(noise * np.random.default_rng(seed).standard_normal(y.size))
    return Runs.from_columns({"N": N, "D": D, "share": share, "loss": y})


# -- d1: the published table of usage 1 -----------------------------------------------------------------------------


def test_the_largest_share_within_a_tolerance() -> None:
    limit = (1 + TOLERANCE) * BEFORE
    assert limit == pytest.approx(2.9460, abs=5e-5)
    listed = USAGE_SHARE[limit >= USAGE_GENERAL]
    assert listed.max() == 0.924
    assert share_within(USAGE_SHARE, USAGE_GENERAL, limit) == pytest.approx(0.9245, abs=5e-5)
    assert (np.diff(USAGE_DOMAIN) < 0).all()  # so the largest share is the best


def test_limits_where_nothing_was_measured_are_refused() -> None:
    with pytest.raises(QueryError, match="where runs exist"):
        share_within(USAGE_SHARE, USAGE_GENERAL, 2.86)
    with pytest.raises(QueryError, match="does not rise"):
        share_within(USAGE_SHARE, USAGE_DOMAIN, 1.73)


# -- the law --------------------------------------------------------------------------------------------------------


def test_at_a_fixed_share_it_is_chinchilla() -> None:
    N, D = np.geomspace(1e8, 1e10, 9), np.geomspace(1e9, 1e11, 9)
    for r in (0.1, 0.6, 1.0):
        same = {
            "E": TRUE["E"] + TRUE["C"] / (r + TRUE["epsilon"]) ** TRUE["gamma"],
            "A": TRUE["A"], "alpha": TRUE["alpha"], "B": TRUE["B"] * r ** TRUE["eta"], "beta": TRUE["beta"],
        }  # fmt: skip
        found = find("d-cpt")(TRUE, N=N, D=D, share=r)
        np.testing.assert_allclose(found, find("chinchilla")(same, N=N, D=D), rtol=1e-13)


def test_without_the_domain_it_is_finite() -> None:
    value = float(find("d-cpt")(TRUE, N=1e9, D=1e10, share=0.0))
    assert value == pytest.approx(1.1 + 120 * 1e9**-0.25 + 0.25 * 0.05**-0.4, rel=1e-13)


def test_the_cross_domain_form() -> None:
    """d-cpt + K^-mu, K = w1 / k1 + w2 k2; with equal k it is d-cpt with another E."""
    extra = {"w1": 2.0, "w2": 1.5, "mu": 0.8}
    at = {"N": np.array([5e8, 4e9]), "D": np.array([1e9, 1e10]), "share": np.array([0.2, 0.9])}
    found = find("d-cpt-cross")({**TRUE, **extra}, **at, loss_before=2.5, loss_slope_initial=0.4)
    shifted = {**TRUE, "E": TRUE["E"] + (2.0 / 2.5 + 1.5 * 0.4) ** -0.8}
    np.testing.assert_allclose(found, find("d-cpt")(shifted, **at), rtol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_recovery_and_shape(seed: int) -> None:
    """Noise of .3 %: predictions within a few of their standard errors; the fitted law has the paper's shape."""
    law, runs = find("d-cpt"), table(0.003, seed)
    fit = fs.fit(runs, law)
    assert fit.convergence is not None
    assert fit.convergence.certified
    at = {name: runs[name] for name in law.inputs}
    error = law(fit.params, **at) / law(TRUE, **at) - 1
    assert np.sqrt(np.mean(error**2)) < 0.003 * np.sqrt(9 / 540) * 2
    inside = runs.where(runs["share"] >= 0.1)
    signs = shape(fit.params, inside["N"], inside["D"], inside["share"])
    assert set(signs) == {"falls in N", "falls in D", "falls in share", "share and D"}
    assert all(values.all() for values in signs.values())


def test_the_shape_is_that_of_differences() -> None:
    law, N, D, r, h = find("d-cpt"), 1e9, 1e10, 0.4, 1e-4

    def at(n: float, d: float, share: float) -> float:
        return float(law(TRUE, N=n, D=d, share=share))

    assert at(N * (1 + h), D, r) < at(N, D, r)
    assert at(N, D * (1 + h), r) < at(N, D, r)
    assert at(N, D, r + h) < at(N, D, r)
    mixed = at(N, D * 1.1, r + 0.1) - at(N, D * 1.1, r) - at(N, D, r + 0.1) + at(N, D, r)
    assert mixed < 0
    assert all(v.all() for v in shape(TRUE, N, D, r).values())
    # Enough weight on tokens makes the loss rise in the share: the shape is a finding, not an axiom.
    assert not shape({**TRUE, "B": 6e4, "eta": 1.0}, N, 1e9, 0.9)["falls in share"]


def test_cross_domain_recovery() -> None:
    """Six domains, each known by two numbers; one of them is predicted from the others."""
    law = find("d-cpt-cross")
    params = {**TRUE, "E": 0.3, "w1": 2.0, "w2": 1.5, "mu": 0.8}
    k1, k2 = np.array([0.9, 1.3, 1.7, 2.1, 2.5, 3.0]), np.array([0.1, 0.4, 0.2, 0.6, 0.3, 0.8])
    N, D, r, which = (
        a.ravel() for a in np.meshgrid([5e8, 1.8e9, 4e9], np.linspace(2e9, 2e10, 4), RATIOS[1:], np.arange(6))
    )
    at = {"N": N, "D": D, "share": r, "loss_before": k1[which], "loss_slope_initial": k2[which]}
    y = law(params, **at)
    noisy = y * np.exp(0.003 * np.random.default_rng(5).standard_normal(y.size))
    runs = Runs.from_columns({**at, "loss": noisy})
    fit = fs.fit(runs.where(which != 3), law)
    assert fit.convergence is not None
    assert fit.convergence.certified
    hidden = which == 3
    error = fit.predict(runs.where(hidden)).estimate / y[hidden] - 1
    assert np.abs(error).max() < 0.01


def test_the_critical_share() -> None:
    """R = a T^s + b at the constants of the 460M model, by hand."""
    law = find("critical-share")
    params = law.constants("gu2024-460m")
    for T in (20.0, 100.0, 200.0):
        expected = 0.22524761 * T**0.26944345 - 0.48139982
        assert float(law(params, D=T)) == pytest.approx(expected, rel=1e-13)
    assert float(law(params, D=16.756)) == pytest.approx(0.0, abs=1e-5)

# SPDX-License-Identifier: Apache-2.0
"""What quantising a trained model costs (Ouyang et al. 2024): the numbers of the notes (checks q4, q5)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.quantisation import allowed_tokens
from forescale.runs.table import Runs

LAW = find("quantisation")
P = LAW.constants("ouyang2024")


def test_q4() -> None:
    assert float(LAW(P, N=7e9, D=1e14, bits=4)) == pytest.approx(1.1131, abs=1e-4)


@pytest.mark.parametrize(
    ("N", "added"),
    [(7e9, ("50.3", "5.41", "1.113")), (70e9, ("29.9", "3.21", "0.661")), (405e9, ("20.1", "2.16", "0.445"))],
)
def test_at_1e14_tokens(N: float, added: tuple[str, ...]) -> None:
    for bits, printed in zip((2, 3, 4), added):
        digits = len(printed.split(".")[1])
        assert f"{float(LAW(P, N=N, D=1e14, bits=bits)):.{digits}f}" == printed


def test_small_model() -> None:
    assert f"{float(LAW(P, N=1e9, D=1e11, bits=4)):.6f}" == "0.045952"


@pytest.mark.parametrize(("N", "D"), [(1e9, 1.65e12), (7e9, 3.80e12), (70e9, 1.0253e13), (405e9, 2.18e13)])
def test_q5_tokens_that_a_tolerance_allows(N: float, D: float) -> None:
    found = float(allowed_tokens(0.2, N, 4, **P))
    assert found == pytest.approx(D, rel=1e-3 if N == 70e9 else 3e-3)
    assert float(LAW(P, N=N, D=found, bits=4)) == pytest.approx(0.2, rel=1e-12)


def test_there_is_no_cap() -> None:
    """50 nats, where guessing among 50,000 tokens costs 10.8: the traps say so."""
    assert float(LAW(P, N=7e9, D=1e14, bits=2)) > math.log(50_000)
    assert any("Cap it" in trap for trap in LAW.traps)
    assert "compute-optimal" in LAW.refuses
    assert LAW.floor is None


def test_recovery_with_noise() -> None:
    """OLS in logarithms: exponents within three standard errors of the regression, and the same as NumPy's."""
    rng = np.random.default_rng(2)
    N, D, bits = (
        a.ravel() for a in np.meshgrid(np.geomspace(1.6e8, 1.2e10, 6), np.geomspace(1e9, 2e11, 8), [2, 3, 4])
    )
    y = LAW(P, N=N, D=D, bits=bits) * np.exp(0.1 * rng.standard_normal(N.size))
    found = fit(Runs.from_columns({"N": N, "D": D, "bits": bits, "degradation": y}), LAW)
    X = np.stack([np.ones_like(y), np.log(D), -np.log(N), -np.log(bits)], axis=1)
    solution = np.linalg.lstsq(X, np.log(y), rcond=None)[0]
    errors = 0.1 * np.sqrt(np.diag(np.linalg.inv(X.T @ X)))
    for i, name in enumerate(("beta", "alpha", "gamma"), start=1):
        assert found.params[name] == pytest.approx(solution[i], rel=1e-8)
        assert abs(found.params[name] - P[name]) < 3 * errors[i]


def test_exponents_of_the_wrong_sign_end_at_zero() -> None:
    """Where larger models lose more, alpha is at its bound and the level belongs to it."""
    N, bits = (a.ravel() for a in np.meshgrid([7e9, 13e9, 70e9], [2.0, 3.0, 4.0]))
    y = 1e-3 * N**0.1 * bits**-4.0
    runs = Runs.from_columns({"N": N, "D": np.full(9, 2e12), "bits": bits, "degradation": y})
    found = fit(runs, LAW.fix(beta=0.5))
    assert found.params["alpha"] < 1e-6
    assert found.params["gamma"] == pytest.approx(4.0, rel=1e-6)

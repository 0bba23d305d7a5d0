# SPDX-License-Identifier: Apache-2.0
"""Clark et al. (2022): the saturating count of experts, the limits, and the refit of the released runs."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.routing import saturated
from forescale.studies._common import rms
from forescale.studies.routing import chosen, off, rounding_to

PRINTED = ("s-base", "rl-r", "hash")


def test_the_count_of_experts_saturates() -> None:
    assert saturated(1.0, 1.9, 400.0) == pytest.approx(1.9, rel=1e-12)
    assert saturated(1e12, 1.9, 400.0) == pytest.approx(400.0, rel=1e-6)
    E = np.geomspace(1, 1e4, 50)
    assert (np.diff(saturated(E, 1.9, 400.0)) > 0).all()
    np.testing.assert_allclose(saturated(E, 1.0, 1e15), E, rtol=1e-9)


def test_the_printed_formula() -> None:
    law = find("routing")
    for router in PRINTED:
        p = law.constants(f"clark2022-{router}")
        n, h = np.log10(3.7e8), np.log10(saturated(64.0, p["E_start"], p["E_max"]))
        expected = p["a"] * n + p["b"] * h + p["c"] * n * h + p["d"]
        assert np.log10(float(law(p, N=3.7e8, experts=64.0))) == pytest.approx(expected, rel=1e-12)


def test_experts_stop_helping_at_some_size() -> None:
    """At N = 10^(-b/c) the loss does not depend on the experts."""
    law = find("routing")
    p = law.constants("clark2022-s-base")
    N = 10 ** (-p["b"] / p["c"])
    assert 1e11 < N < 1e13
    np.testing.assert_allclose(law(p, N=N, experts=np.array([1.0, 8.0, 512.0])), law(p, N=N, experts=2.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("router", "label", "rows", "expected"),
    [
        ("s-base", "S-Base", 61, (-0.084, -0.123, 0.0104, 1.122, 2.39, 218)),
        ("rl-r", "RL-R", 62, (-0.083, -0.128, 0.0117, 1.114, 1.99, 424)),
        ("hash", "Hash", 59, (-0.089, -0.146, 0.0134, 1.173, 4.99, 369)),
    ],
)
def test_the_refit_of_the_released_runs(router: str, label: str, rows: int, expected: tuple[float, ...]) -> None:
    if "FORESCALE_MIRROR" not in os.environ:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    runs = chosen(label)
    assert len(runs) == rows
    law = find("routing")
    found = fit(runs, law)
    assert found.convergence is not None
    assert found.convergence.certified
    for name, value, step in zip(law.names, expected, (5e-4, 5e-4, 5e-5, 5e-4, 5e-3, 0.5)):
        assert found.params[name] == pytest.approx(value, abs=1.1 * step), name
        assert found.params[name] == pytest.approx(law.constants(f"clark2022-{router}-refit")[name], rel=1e-6), name
    least = rms(off(law, found.params, runs))
    assert least == pytest.approx(0.003, abs=5e-4)
    # the printed constants, rounded to one to three digits, are up to .0076 off; others that round to them are not
    printed = law.constants(f"clark2022-{router}")
    assert 0.0036 < rms(off(law, printed, runs)) < 0.0077
    assert rms(off(law, rounding_to(law, printed, runs), runs)) < 1.02 * least

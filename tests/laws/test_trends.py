# SPDX-License-Identifier: Apache-2.0
"""Turns: where a parabola puts them, and the vertex of MMLU's easiest questions."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.judge.regimes import regimes
from forescale.laws import find
from forescale.runs.table import Runs


def test_a_turn_is_found_and_a_bend_is_none() -> None:
    """The parabola's vertex is where the data turn; outside the data fs.regimes calls the shape monotone."""
    x = 10.0 ** np.arange(1.0, 6.0)
    for sign, tag in ((1.0, "U-shape"), (-1.0, "inverted-U")):
        runs = Runs.from_columns({"C": x, "score": sign * (np.arange(1.0, 6.0) - 3.0) ** 2})
        assert fit(runs, find("turning")).params == pytest.approx({"y_0": 0.0, "q": sign, "x_0": 3.0}, abs=1e-8)
        assert regimes(runs, better="higher").tag == tag
    bend = Runs.from_columns({"C": 10.0 ** np.arange(1.0, 8.0), "score": (np.arange(1.0, 8.0) + 2.0) ** 2 - 60.0})
    assert fit(bend, find("turning")).params["x_0"] == pytest.approx(-2.0, abs=1e-6)
    assert regimes(bend, better="higher").tag == "monotone"


@pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")
def test_the_vertex_of_mmlu() -> None:
    """Easiest group: curvature .0917, vertex 10^.87 zettaFLOP, r -.72 before and .76 after; hardest: no turn."""
    from forescale.runs.datasets import dataset

    runs = dataset("u-shaped")
    first, last = (Runs.from_columns({"C": runs["C"], "score": runs[name]}) for name in ("score_1", "score_10"))
    found = fit(first, find("turning"))
    assert found.params["x_0"] - 21 == pytest.approx(0.87, abs=0.02)
    assert found.params["q"] == pytest.approx(0.0917, abs=5e-5)
    assert found.interval("q")[0] > 0
    x, y = np.log10(runs["C"]), runs["score_1"]
    before = x < found.params["x_0"]
    assert np.corrcoef(x[before], y[before])[0, 1] == pytest.approx(-0.72, abs=0.005)
    assert np.corrcoef(x[~before], y[~before])[0, 1] == pytest.approx(0.76, abs=0.005)
    assert regimes(runs, "C", "score_1", better="higher").tag == "U-shape"
    assert regimes(runs, "C", "score_10", better="higher").tag == "monotone"
    assert fit(last, find("turning")).params["x_0"] - 21 == pytest.approx(-3.74, abs=0.02)


def test_the_two_logistic_curves_turn_between_their_middles() -> None:
    law = find("distracted")
    p = {"K": 1e23, "s": 1.5, "kappa": 0.4, "K_d": 1e20, "s_d": 1.5}
    C = np.geomspace(1e17, 1e26, 200)
    y = law(p, C=C)
    turn = C[np.argmin(y)]
    assert 1e20 < turn < 1e23
    assert abs(y[0]) < 0.01
    assert y[-1] == pytest.approx(0.6, abs=1e-3)


def test_the_two_logistic_curves_are_found_again() -> None:
    law = find("distracted")
    truth = {"K": 1e23, "s": 1.2, "kappa": 0.4, "K_d": 2e20, "s_d": 0.9}
    C = np.geomspace(1e18, 1e25, 80)
    rng = np.random.default_rng(2)
    made = law(truth, C=C) + 0.005 * rng.standard_normal(C.size)
    found = fit(Runs.from_columns({"C": C, "score": made}), law)
    # .005 over 80 rows and five numbers: .0013 on average, three times that at most
    np.testing.assert_allclose(law(found.params, C=C), law(truth, C=C), atol=0.004)

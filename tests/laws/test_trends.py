# SPDX-License-Identifier: Apache-2.0
"""Turns: the vertex of MMLU's first group, verdicts on shapes, and what a parabola may not claim."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.trends import trend
from forescale.runs.table import Runs


def test_shapes() -> None:
    x = 10.0 ** np.arange(1.0, 6.0)
    shape, turn = trend(x, (np.arange(1.0, 6.0) - 3.0) ** 2)
    assert shape == "U"
    assert turn == pytest.approx(1e3, rel=1e-9)
    assert trend(x, -((np.arange(1.0, 6.0) - 3.0) ** 2))[0] == "inverted U"
    assert trend(x, np.arange(5.0)) == ("rising", pytest.approx(np.nan, nan_ok=True))
    assert trend(x, -np.arange(5.0))[0] == "falling"
    assert trend(x, 0.5 + 1e-3 * np.array([1.0, -1.0, 0.5, -1.0, 1.0]))[0] == "flat"


def test_a_bend_without_a_turn_is_monotone() -> None:
    x = 10.0 ** np.arange(1.0, 8.0)
    shape, turn = trend(x, (np.arange(1.0, 8.0) + 2.0) ** 2)
    assert shape == "rising"
    assert np.isnan(turn)


def test_three_sizes_show_no_turn() -> None:
    with pytest.raises(DataError, match="4 or more"):
        trend([1.0, 10.0, 100.0], [1.0, 0.0, 1.0])


@pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")
def test_the_vertex_of_mmlu() -> None:
    """First group: curvature .0917, vertex 10^.87 zettaFLOP, r -.72 before and .76 after it; last group: no turn."""
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
    assert trend(runs["C"], y)[0] == "U"
    assert trend(runs["C"], runs["score_10"])[0] == "rising"
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

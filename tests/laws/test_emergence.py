# SPDX-License-Identifier: Apache-2.0
"""PassUntil: the transform is a line, and on Pythia the law is descriptive but over-predicts."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.emergence import transformed
from forescale.runs.table import Runs

N = np.array([18.915e6, 85.056e6, 302.31e6, 805.74e6, 2.5177e9, 6.4442e9, 11.327e9])
RATE = np.array([828, 3422, 7960, 10667, 25999, 23757, 29685]) / 1.28e6
"""Non-embedding parameters of Pythia, and passes per attempt on 128 problems of MATH."""


def test_the_transform_is_a_line() -> None:
    law = find("pass-until")
    p = {"c": 57.62, "alpha": 0.1235}
    F = transformed(law(p, N=N))
    np.testing.assert_allclose(np.diff(F) / np.diff(np.log(N)), -0.1235, rtol=1e-9)
    np.testing.assert_allclose(transformed(RATE), [1.9938, 1.7791, 1.6253, 1.5660, 1.3601, 1.3830, 1.3255], atol=6e-5)


def test_five_sizes_of_pythia_over_predict_the_next() -> None:
    """The source's regression of F on log N, equally weighted: alpha .1235, c 57.62, +57 % and +59 %."""
    F, x = transformed(RATE), np.log(N)
    slope, level = np.polyfit(x[:5], F[:5], 1)
    law = find("pass-until")
    p = {"c": np.exp(level), "alpha": -slope}
    assert p == pytest.approx({"c": 57.62, "alpha": 0.1235}, rel=1e-3)
    predicted = law(p, N=N[5:])
    np.testing.assert_allclose(predicted, [0.02906, 0.03687], atol=6e-6)
    np.testing.assert_allclose(predicted / RATE[5:] - 1, [0.57, 0.59], atol=0.01)


def test_our_fit_of_relative_errors_over_predicts_as_well() -> None:
    found = fit(Runs.from_columns({"N": N[:5], "score": RATE[:5]}), find("pass-until"))
    assert found.convergence is not None
    assert found.convergence.certified
    assert (found.predict(N=N[5:]).estimate > 1.2 * RATE[5:]).all()


def test_scores_near_zero() -> None:
    """Pass rates of 1e-30 are finite and fitted like any other: that is the point of the law."""
    law = find("pass-until")
    truth = {"c": 900.0, "alpha": 0.14}
    sizes = np.geomspace(1e7, 1e10, 12)
    made = law(truth, N=sizes)
    assert made.min() < 1e-30
    found = fit(Runs.from_columns({"N": sizes, "score": made}), law)
    assert found.params == pytest.approx(truth, rel=1e-6)

# SPDX-License-Identifier: Apache-2.0
"""Yao et al. (2024): the printed scales, the level that is stored instead, and likelihoods below zero."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs


def test_y1() -> None:
    law = find("time-series-N")
    assert float(law(law.constants("yao2024-encoder-id"), N=1e9)) == pytest.approx(1.6576, abs=1e-3)
    assert float(law(law.constants("yao2024-decoder-id"), N=1e9)) == pytest.approx(2.396, abs=1e-3)


@pytest.mark.parametrize(("column", "printed"), [("N", 3.7e16), ("D", 5.3e12), ("C", 1.5e7 * 8.64e19)])
def test_the_stored_level_is_the_printed_scale(column: str, printed: float) -> None:
    law = find(f"time-series-{column}")
    p = law.constants("yao2024-encoder-id")
    assert math.exp(p["k"] / p["alpha"]) == pytest.approx(printed, rel=1e-9)
    assert float(law(p, **{column: printed})) == pytest.approx(1.0, rel=1e-9)
    assert len(law.published) == 6


def test_slopes_inside_and_outside_are_alike_against_parameters() -> None:
    """The paper's reading: within .006 for the encoder, .002 for the decoder; against data they are not."""
    law = find("time-series-N").published
    slopes = {name: facts.values["alpha"] for name, facts in law.items()}
    for architecture, most in (("encoder", 0.0061), ("decoder", 0.0021)):
        for test in ("lsf", "monash"):
            gap = slopes[f"yao2024-{architecture}-{test}"] - slopes[f"yao2024-{architecture}-id"]
            assert abs(gap) <= most
    data = find("time-series-D").published
    assert data["yao2024-encoder-id"].values["alpha"] > 3 * data["yao2024-encoder-lsf"].values["alpha"]


def test_likelihoods_below_zero_are_no_losses() -> None:
    N = np.geomspace(1e6, 1e9, 12)
    y = -1.2 + 30.0 * N**-0.25
    assert (y < 0).any()
    with pytest.raises(DataError, match="positive"):
        Runs.from_columns({"N": N, "loss": y})
    found = fit(Runs.from_columns({"N": N, "log_score": y}), find("time-series-offset"))
    assert found.params == pytest.approx({"E": -1.2, "A": 30.0, "alpha": 0.25}, rel=1e-6)
    assert "time-series-offset" in " ".join(find("time-series-N").traps)


def test_on_positive_values_it_is_the_power_law_with_a_floor() -> None:
    N = np.geomspace(1e6, 1e9, 12)
    p = {"E": 0.4, "A": 30.0, "alpha": 0.25}
    np.testing.assert_allclose(find("time-series-offset")(p, N=N), find("power-floor(N)")(p, N=N), rtol=1e-14)

# SPDX-License-Identifier: Apache-2.0
"""Natural cubic splines of many rows: as SciPy's, and flat beyond the knots."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from forescale.numerics.curves import smooth


def test_as_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(0, 5, 9)), rng.standard_normal((3, 9))
    places = rng.uniform(x[0], x[-1], (3, 40))
    wanted = np.stack([CubicSpline(x, row, bc_type="natural")(at) for row, at in zip(y, places)])
    assert np.abs(smooth(x, y)(places) - wanted).max() < 1e-12


def test_one_row_of_places_serves_all_and_the_ends_hold() -> None:
    x, y = np.array([0.0, 1.0, 3.0]), np.array([[0.0, 1.0, 3.0], [2.0, np.nan, 1.0]])
    found = smooth(x, y)(np.array([[-5.0, 0.5, 9.0]]))
    assert np.allclose(found[0], [0.0, 0.5, 3.0])
    assert np.isnan(found[1]).all()

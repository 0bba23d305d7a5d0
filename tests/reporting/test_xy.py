# SPDX-License-Identifier: Apache-2.0
"""The plain chart of series that studies draw with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forescale.core.errors import InputError
from forescale.reporting.charts.xy import MOST_POINTS, Series, xy
from forescale.reporting.export import svg


def test_series_become_layers_in_order() -> None:
    x = np.linspace(1, 10, 20)
    spec = xy(
        "Title",
        ["see this"],
        [Series("runs", x, x), Series("law", x, x + 1, "line"), Series("band", x, x, "band", upper=x + 1)],
        x="x",
        y="y",
        log_x=True,
    )
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["area", "line", "point", "point"]
    assert spec["layer"][-1]["mark"]["size"] == 0  # fills the legend's square of a name that is only a line
    assert "<svg" in svg(spec)
    json.dumps(spec, allow_nan=False)


def test_what_cannot_be_drawn_is_left_out() -> None:
    spec = xy("T", ["s"], [Series("a", [1.0, -1.0, np.nan, 2.0], [1.0, 1.0, 1.0, np.inf])], x="x", y="y", log_x=True)
    assert len(spec["layer"][0]["data"]["values"]) == 1
    with pytest.raises(InputError, match="nothing to draw"):
        xy("T", ["s"], [Series("a", [-1.0], [1.0])], x="x", y="y", log_x=True)
    with pytest.raises(InputError, match="2 x and 1 y"):
        xy("T", ["s"], [Series("a", [1.0, 2.0], [1.0])], x="x", y="y")


def test_many_points_are_thinned() -> None:
    x = np.arange(1, 5001, dtype=float)
    spec = xy("T", ["s"], [Series("a", x, x)], x="x", y="y")
    assert len(spec["layer"][0]["data"]["values"]) == MOST_POINTS

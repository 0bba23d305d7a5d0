# SPDX-License-Identifier: Apache-2.0
"""Weight decay grows as the square root of width: the rule, why no other power does, and powers from a fit."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.transfer import decay_power, decay_steps, to_width
from forescale.runs.table import Runs

LAW = find("top-singular-value")
POWERS = {"k": 1.3, "b": 0.5, "c": 0.5, "w": 0.75}


def top(rate: float, decay: float, width: float) -> float:
    return float(LAW(POWERS, lr_peak=rate, weight_decay=decay, width=width))


def test_four_times_the_width() -> None:
    """w1: 256 to 1,024 with rate 4e-3 and decay 0.1."""
    rate, decay = to_width(4e-3, 0.1, 4.0)
    assert rate == 1e-3
    assert decay == 0.2
    assert decay_steps(4e-3, 0.1) == pytest.approx(2500)
    assert decay_steps(rate, decay) == pytest.approx(5000)
    assert top(rate, decay, 1024) / top(4e-3, 0.1, 256) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(("x", "drift"), [(0.5, 0.0), (1.0, -0.25), (0.0, 0.25)])
def test_only_the_square_root_keeps_the_spectrum(x: float, drift: float) -> None:
    """Decay in proportion to width (as plain-text copies have it) lets the top fall, constant decay lets it grow."""
    widths = 256.0 * 2.0 ** np.arange(6)
    found = [top(*to_width(4e-3, 0.1, width / 256, x), width) for width in widths]
    assert np.polyfit(np.log(widths), np.log(found), 1)[0] == pytest.approx(drift, abs=1e-12)


def test_the_power_follows_from_the_measured_ones() -> None:
    assert decay_power(0.5, 0.5, 0.75) == 0.5
    # A slope that is left over at the target is taken off with twice its power, since sigma ~ decay^-1/2.
    assert decay_power(0.5, 0.5, 0.85) == pytest.approx(0.5 + 2 * 0.1)
    # Decay that is not multiplied by the rate must fall as the inverse root of width.
    assert decay_power(0.5, 0.5, 0.75) - 1.0 == -0.5


def test_powers_from_noisy_proxies() -> None:
    """Three widths, rates and decays each, 2 % noise; errors from the design."""
    rng = np.random.default_rng(1)
    grid = np.meshgrid([1e-3, 2e-3, 4e-3], [0.05, 0.1, 0.2], [256.0, 512.0, 1024.0])
    rate, decay, width = (a.ravel() for a in grid)
    sigma = LAW(POWERS, lr_peak=rate, weight_decay=decay, width=width) * np.exp(0.02 * rng.standard_normal(27))
    runs = Runs.from_columns({"lr_peak": rate, "weight_decay": decay, "width": width, "sigma_max": sigma})
    found = fit(runs, LAW).params
    error = 0.02 / np.sqrt(((np.log(rate) - np.log(rate).mean()) ** 2).sum())
    for name in ("b", "c", "w"):
        assert abs(found[name] - POWERS[name]) < 4 * error, name

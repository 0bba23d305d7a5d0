# SPDX-License-Identifier: Apache-2.0
"""Draws by simulation: those of a line are the textbook's, and along a bent valley the curve stays covered."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.core.errors import RefusedError
from forescale.fitting._tails import t_quantile
from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.fitting.simulated import simulated
from forescale.fitting.surface import surface
from forescale.laws import find
from forescale.runs.table import Runs

BLEU = find("bleu-pretraining")
TRUTH = {"A": 1e-3, "alpha": 0.5, "beta": 1.5}


def test_spread_of_a_parabola_is_that_of_least_squares() -> None:
    """Linear parameters: the draws' 90 % interval at a point is the t interval of the curve, to Monte-Carlo error."""
    C = np.geomspace(1e20, 1e23, 12)
    rng = np.random.default_rng(2)
    y = 0.4 + 0.1 * (np.log10(C) - 21.5) ** 2 + 0.02 * rng.standard_normal(12)
    found = fit(Runs.from_columns({"C": C, "score": y}), find("turning"))
    drawn = surface(simulated(found, 4000), draws=4000).loss(C=1e24)[1:, 0]
    design = np.stack([np.ones(12), u := np.log10(C) - 21.5, u**2], axis=1)
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    at = np.array([1.0, 2.5, 6.25])
    spread = np.sqrt(left @ left / 9 * at @ np.linalg.inv(design.T @ design) @ at)
    low, high = np.quantile(drawn, [0.05, 0.95])
    # the standard error of a quantile of 4,000 draws is about 3 % of the half width
    assert 0.5 * (high - low) == pytest.approx(t_quantile(0.90, 9) * spread, rel=0.08)


def test_a_bent_valley_is_covered() -> None:
    """BLEU's three parameters trade off; the curve's interval holds the truth in about nine of ten worlds."""
    D = np.geomspace(1e9, 1e11, 7)
    inside = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = BLEU(TRUTH, D=D) * np.exp(0.01 * rng.standard_normal(7))
        found = fit(Runs.from_columns({"D": D, "bleu": y}), BLEU)
        drawn = surface(simulated(found, 200, seed), draws=200).loss(D=1e11)[1:, 0]
        low, high = np.quantile(drawn, [0.05, 0.95])
        inside += low <= float(BLEU(TRUTH, D=1e11)) <= high
    # binomial(20, .9): 15 or more in 99.8 of 100 cases
    assert inside >= 15


def test_refusals() -> None:
    with pytest.raises(RefusedError, match="runs"):
        simulated(published("chinchilla:besiroglu2024"))
    D = np.geomspace(1e9, 1e11, 3)
    exact = fit(Runs.from_columns({"D": D, "bleu": BLEU(TRUTH, D=D)}), BLEU)
    with pytest.raises(RefusedError, match="3 rows"):
        simulated(exact)

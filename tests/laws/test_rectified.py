# SPDX-License-Identifier: Apache-2.0
"""Lin et al. (2024): the rectified law, its limits, and starts that find its knee."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

D = 200.0 * 2.0 ** np.arange(14)


@pytest.mark.parametrize(
    "truth",
    [
        {"E": 0.6, "B": 9.0, "D_l": 25.0, "beta": 0.45},
        {"E": 1.2, "B": 300.0, "D_l": 900.0, "beta": 0.9},
        {"E": 0.2, "B": 4.0, "D_l": 2.0, "beta": 0.12},
    ],
)
def test_recovery(truth: dict[str, float]) -> None:
    law = find("rectified")
    found = fit(Runs.from_columns({"D": D, "loss": law(truth, D=D)}), law)
    assert found.params == pytest.approx(truth, rel=1e-5)
    assert found.convergence is not None
    assert found.convergence.certified


def test_without_prior_knowledge_it_is_the_power_law() -> None:
    law, p = find("rectified"), {"E": 0.6, "B": 9.0, "D_l": 0.0, "beta": 0.45}
    same = {"E": 0.6, "A": 9.0, "alpha": 0.45}
    np.testing.assert_allclose(law(p, D=D), find("power-floor(D)")(same, D=D), rtol=1e-13)


def test_it_is_a_logistic_curve_in_log_data() -> None:
    p = {"E": 0.6, "B": 9.0, "D_l": 25.0, "beta": 0.45}
    same = {"E": 0.6, "E_0": 0.6 + 9.0 / 25.0, "K": 25.0 ** (1 / 0.45), "alpha": 0.45, "s": 1.0}
    np.testing.assert_allclose(find("rectified")(p, D=D), find("m4")(same, D=D), rtol=1e-12)


def test_the_knee_halves_what_can_be_learned() -> None:
    p = {"E": 0.6, "B": 9.0, "D_l": 25.0, "beta": 0.45}
    law = find("rectified")
    knee = p["D_l"] ** (1 / p["beta"])
    assert float(law(p, D=knee)) - p["E"] == pytest.approx(0.5 * p["B"] / p["D_l"], rel=1e-12)


def test_a_straight_line_through_the_bend_predicts_too_high() -> None:
    """The trap: below the knee power laws look right and, while the floor is far, predict too high a loss."""
    law = find("rectified")
    p = {"E": 0.2, "B": 90.0, "D_l": 60.0, "beta": 0.45}
    small = D[:9]
    runs = Runs.from_columns({"D": small, "loss": law(p, D=small)})
    far = D[-1:]
    truth = float(law(p, D=far)[0])
    assert float(fit(runs, law).predict(D=far).estimate[0]) == pytest.approx(truth, rel=1e-4)
    for plain in ("power(D)", "power-floor(D)"):
        line = fit(runs, find(plain))
        np.testing.assert_allclose(line.predict(runs).estimate, runs["loss"], rtol=0.1)
        assert float(line.predict(D=far).estimate[0]) > 1.2 * truth

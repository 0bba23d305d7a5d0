# SPDX-License-Identifier: Apache-2.0
"""From loss to tasks: Gadre's six sets, the ladder's eight tasks, accuracy straight from N and D."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

SEVEN, THIRTEEN = (6887575552.0, 3945065873408.0), (13202396160.0, 5000088518656.0)

# task: step 1 as printed (E, A, alpha, B, beta), then the accuracies that both steps predict for 7B-4T and 13B-5T
LADDER = {
    "mmlu": ((0.4541, 38.07, 0.2262, 100.1, 0.2361), 0.4838, 0.5127),
    "hellaswag": ((0.5019, 11.23, 0.1955, 60.37, 0.2565), 0.8252, 0.8530),
    "arc-challenge": ((0.6546, 7.03e5, 0.7877, 38.45, 0.1970), 0.5150, 0.5267),
    "arc-easy": ((0.5582, 7.941e4, 0.6610, 3958.0, 0.4195), 0.7659, 0.7724),
    "piqa": ((0.7217, 405.7, 0.3978, 10.16, 0.1533), 0.8122, 0.8208),
    "csqa": ((1e-12, 56.86, 0.2350, 10.91, 0.1111), 0.7571, 0.7761),
    "socialiqa": ((0.9489, 1201.0, 0.4473, 7897.0, 0.4768), 0.5874, 0.5995),
    "openbookqa": ((1.1981, 8.635e4, 0.6865, 137.3, 0.2607), 0.4417, 0.4486),
}


@pytest.mark.parametrize(
    ("source", "loss", "predicted", "measured", "percent"),
    [
        # the losses are those that the law of loss predicts for the two runs
        ("gadre2024-redpajama-17", 2.51982634, 0.492497, 0.475215, 3.6365),
        ("gadre2024-redpajama-17", 2.44274523, 0.471856, 0.471637, 0.0464),
    ],
)
def test_gadre(source: str, loss: float, predicted: float, measured: float, percent: float) -> None:
    law = find("error-exponential")
    value = float(law(law.constants(source), loss=loss))
    assert value == pytest.approx(predicted, abs=2e-6)
    assert 100 * abs(value / measured - 1) == pytest.approx(percent, abs=5e-4)


def test_full_precision_is_what_is_printed() -> None:
    """To the sixth digit, where the optimiser of the source stopped."""
    law = find("error-exponential")
    assert len(law.published) == 6
    for published in law.published.values():
        for name, printed in published.printed.items():
            assert published.values[name] == pytest.approx(printed, rel=6e-6)


def test_limits_of_the_error() -> None:
    law = find("error-exponential")
    p = law.constants("gadre2024-c4-17")
    assert float(law(p, loss=1e6)) == pytest.approx(p["eps"], rel=1e-12)
    low = float(law(p, loss=1e-9))
    assert low == pytest.approx(p["eps"] - p["k"], rel=1e-6)
    assert low < 0, "no floor: it goes through zero"


@pytest.mark.parametrize("task", LADDER)
def test_the_ladder_chain(task: str) -> None:
    """Sixteen accuracies of the published chain, from rounded constants of step 1: within half a thousandth."""
    first, second = find("chinchilla"), find("accuracy-sigmoid")
    values, at_seven, at_thirteen = LADDER[task]
    one = dict(zip(("E", "A", "alpha", "B", "beta"), values))
    two = second.constants(f"bhagia2024-{task}")
    for (N, D), expected in ((SEVEN, at_seven), (THIRTEEN, at_thirteen)):
        assert float(second(two, loss=first(one, N=N, D=D))) == pytest.approx(expected, abs=5e-4)


def test_an_error_of_the_loss_is_an_error_of_the_accuracy() -> None:
    """.05 of loss cost 7.3 points where the sigmoid is steep. (b + a, -a) of the source are (b, a) there."""
    law = find("accuracy-sigmoid")
    p = {"a": -0.6, "L_0": 1.0, "k": 10.0, "b": 0.85}
    assert float(law(p, loss=1.00)) == pytest.approx(0.550, abs=1e-12)
    assert float(law(p, loss=1.05)) == pytest.approx(0.476524, abs=5e-7)


def test_ends_of_the_sigmoid() -> None:
    law = find("accuracy-sigmoid")
    p = law.constants("bhagia2024-hellaswag")
    assert float(law(p, loss=1e3)) == pytest.approx(p["b"] + p["a"], rel=1e-12)
    assert float(law(p, loss=p["L_0"])) == pytest.approx(p["b"] + p["a"] / 2, rel=1e-12)


def test_the_anchor_holds_the_upper_end() -> None:
    """Losses far above the middle: b comes from the anchor, may pass 1 a little, and can be held at 1."""
    law = find("accuracy-sigmoid")
    truth = {"a": -0.74, "L_0": 0.62, "k": 4.8, "b": 1.0}
    loss = np.linspace(0.98, 1.85, 200)
    rng = np.random.default_rng(0)
    score = law(truth, loss=loss) + 0.004 * rng.standard_normal(loss.size)
    runs = Runs.from_columns({"loss": np.append(loss, 1e-9), "score": np.append(score, 1.0)})
    free, held = fit(runs, law), fit(runs, law.fix(b=1.0))
    assert free.params["b"] == pytest.approx(1.0, abs=0.1)
    for found in (free, held):
        assert found.convergence is not None
        assert found.convergence.certified
        # .004 of noise over 200 rows: an error of about .0012 at the ends of the range
        np.testing.assert_allclose(found.predict(loss=loss).estimate, law(truth, loss=loss), atol=0.004)


def test_accuracy_direct_is_a_power_law_of_its_logarithm() -> None:
    law, chinchilla = find("accuracy-direct"), find("chinchilla")
    p = {"A": 40.0, "alpha": 0.2, "B": 90.0, "beta": 0.22}
    N, D = np.geomspace(1e8, 1e11, 9), np.geomspace(1e10, 1e13, 9)
    log = -np.log(law(p, N=N, D=D))
    np.testing.assert_allclose(log, chinchilla({**p, "E": 0.0}, N=N, D=D), rtol=1e-10)
    assert {"compute-optimal", "reach"} <= set(law.refuses)

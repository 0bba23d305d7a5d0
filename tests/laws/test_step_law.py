# SPDX-License-Identifier: Apache-2.0
"""Learning rate and batch: published rules, what they cost on the released grids, and the valley around the best."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.laws import find
from forescale.laws.step_law import beside, bottom, cost
from forescale.runs.table import Runs

RATE, BATCH, VALLEY = find("lr-power"), find("batch-power"), find("tuning-surface")
TRUTH = {
    "E": 2.3, "lr_0": 1.7e-3, "b": -0.74, "c": 0.27, "B_0": 1.4e6, "d": 0.65, "f": -0.2, "s": 0.45,
    "k_lr": 6.5e-3, "k_B": 4e-3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("N", "D", "rate", "batch"), [(7e9, 1.4e12, 9.166e-4, 4.999e6), (1e9, 1e11, 1.6325e-3, 1.1077e6)]
)
def test_step_law(N: float, D: float, rate: float, batch: float) -> None:
    """s1."""
    assert float(RATE(RATE.constants("li2025steplaw"), N=N, D=D)) == pytest.approx(rate, rel=1e-3)
    assert float(BATCH(BATCH.constants("li2025steplaw"), D=D)) == pytest.approx(batch, rel=1e-3)
    assert "compute-optimal" in RATE.refuses


def test_sequences_are_not_tokens() -> None:
    assert float(BATCH(BATCH.constants("li2025steplaw"), D=1.4e12)) / 2048 == pytest.approx(2440.8, rel=1e-3)


def test_the_means_of_the_released_bootstrap_round_to_what_is_printed() -> None:
    mean, printed = RATE.constants("li2025steplaw-bootstrap"), RATE.constants("li2025steplaw")
    assert mean["b"] == pytest.approx(printed["b"], abs=5e-4)
    assert mean["c"] == pytest.approx(printed["c"], abs=5e-4)
    assert np.log(mean["a"]) == pytest.approx(0.5863, abs=5e-5)
    assert BATCH.constants("li2025steplaw-bootstrap")["a"] == pytest.approx(0.58, abs=5e-3)


def test_the_released_bootstrap_has_these_means() -> None:
    if "FORESCALE_MIRROR" not in os.environ:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    path = os.path.join(os.environ["FORESCALE_MIRROR"], "step_law", "1004_fitted_lr_bs_scaling_model_parameters.csv")
    if not os.path.exists(path):
        pytest.skip("the bootstrap file is not in the mirror")
    rows = np.loadtxt(path, delimiter=",", skiprows=1)
    assert rows.shape == (1000, 5)
    rate, batch = RATE.published["li2025steplaw-bootstrap"], BATCH.published["li2025steplaw-bootstrap"]
    expected = [
        np.log(rate.values["a"]),
        rate.values["b"],
        rate.values["c"],
        np.log(batch.values["a"]),
        batch.values["b"],
    ]
    np.testing.assert_allclose(rows.mean(axis=0), expected, rtol=1e-8)
    errors = [rate.standard_errors["b"], rate.standard_errors["c"], batch.standard_errors["b"]]
    np.testing.assert_allclose(rows.std(axis=0, ddof=1)[[1, 2, 4]], errors, atol=5e-5)
    # The draws of the constants spread at a cell and far outside as the released rows do: 1,000 of each, so that a
    # ratio of standard deviations has a standard error of 3 %.
    at = np.array([[1.0, np.log(N), np.log(D)] for N, D in ((3e8, 2e10), (7e9, 1.4e12))])
    drawn = published("lr-power:li2025steplaw-bootstrap").draws
    ours = np.log(drawn[:, 0])[:, None] + drawn[:, 1:] @ at[:, 1:].T
    np.testing.assert_allclose(ours.std(axis=0), (rows[:, :3] @ at.T).std(axis=0), rtol=0.1)
    drawn = published("batch-power:li2025steplaw-bootstrap").draws
    ours = np.log(drawn[:, :1]) + drawn[:, 1:] * at[:, 2]
    np.testing.assert_allclose(ours.std(axis=0), (rows[:, 3:] @ at[:, [0, 2]].T).std(axis=0), rtol=0.1)


@pytest.mark.parametrize(
    ("C", "rate", "batch", "scale", "tokens"),
    [(1e20, 9.860e-4, 1.0171e6, 5.251e9, 1.9045e10), (1e17, 2.338e-3, 1.062e5, 1.404e8, 7.123e8)],
)
def test_deepseek(C: float, rate: float, batch: float, scale: float, tokens: float) -> None:
    """s4 and the model scale and tokens that belong to it; their product is the compute."""
    pairs = {"lr": rate, "batch": batch, "scale": scale, "tokens": tokens}
    found = {}
    for name, value in pairs.items():
        law = find(f"{name}-by-compute")
        found[name] = float(law(law.constants("deepseek2024"), C=C))
        assert found[name] == pytest.approx(value, rel=1e-3), name
    assert found["scale"] * found["tokens"] == pytest.approx(C, rel=1e-3)
    assert ".3188" in find("lr-by-compute").published["deepseek2024"].note


def test_kaplan_rate_ends() -> None:
    law = find("lr-by-log-size")
    p = law.constants("kaplan2020")
    assert float(law(p, N=1.2e10)) > 0 > float(law(p, N=1.3e10))


def test_bjorck_has_no_units() -> None:
    """In counts of parameters and tokens the printed constants give 3e-11: no learning rate, so not offered."""
    assert "bjorck2024" not in RATE.published
    assert float(RATE({"a": 1.3192e-5, "b": -0.23, "c": -0.32}, N=1e9, D=1e11)) == pytest.approx(3e-11, rel=0.2)
    assert any("units are unknown" in trap for trap in RATE.traps)


# -- the released grids -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells():
    if "FORESCALE_MIRROR" not in os.environ:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    from forescale.runs.datasets import dataset
    from forescale.studies.step_law import cells

    found = cells(dataset("step-law"))
    assert len(found) == 15
    return found


def gaps(cells, rate: str, batch: str, source: str) -> np.ndarray:
    from forescale.studies.step_law import by_laws

    return np.array([cell.gap(by_laws(rate, batch, source)) for cell in cells])


def test_what_step_law_costs(cells) -> None:
    """s2, on the 15 cells of the mirror."""
    found = gaps(cells, "lr-power", "batch-power", "li2025steplaw")
    assert found.mean() == pytest.approx(1.001, abs=0.01)
    assert np.median(found) == pytest.approx(0.669, abs=0.001)
    assert found.max() == pytest.approx(3.10, abs=0.01)


def test_what_others_cost(cells) -> None:
    """s3, and Porian; the refit of all 17 released cells, 77.7 N^-.766 D^.197 and .2085 D^.6125."""
    from forescale.studies.step_law import constant

    assert np.mean([cell.gap(constant) for cell in cells]) == pytest.approx(3.68, abs=0.02)
    assert gaps(cells, "lr-by-size", "batch-by-size", "porian2024").mean() == pytest.approx(6.72, abs=0.01)
    refit = [c.gap(lambda c: (77.7 * c.N**-0.766 * c.D**0.197, 0.2085 * c.D**0.6125)) for c in cells]
    assert np.mean(refit) == pytest.approx(1.10, abs=0.01)


# -- the valley ---------------------------------------------------------------------------------------------------


def test_the_valley_holds_the_two_laws() -> None:
    """Its bottom lies at lr-power and batch-power, and at a given batch at the best rate times (B / B*)^s."""
    N, D = 3e8, 2e10
    rate = TRUTH["lr_0"] * (N / 1e9) ** TRUTH["b"] * (D / 1e11) ** TRUTH["c"]
    batch = TRUTH["B_0"] * (N / 1e9) ** TRUTH["f"] * (D / 1e11) ** TRUTH["d"]
    assert bottom(TRUTH, N, D) == pytest.approx((rate, batch), rel=1e-12)
    a = TRUTH["lr_0"] * 1e9 ** -TRUTH["b"] * 1e11 ** -TRUTH["c"]
    assert rate == pytest.approx(float(RATE({"a": a, "b": TRUTH["b"], "c": TRUTH["c"]}, N=N, D=D)), rel=1e-12)
    assert float(VALLEY(TRUTH, N=N, D=D, lr_peak=rate, batch_tokens=batch)) == pytest.approx(TRUTH["E"], rel=1e-14)
    rates = np.geomspace(0.2, 5.0, 2001) * rate
    given = VALLEY(TRUTH, N=N, D=D, lr_peak=rates, batch_tokens=3 * batch)
    assert rates[np.argmin(given)] == pytest.approx(rate * 3 ** TRUTH["s"], rel=2e-3)
    assert given.min() == pytest.approx(TRUTH["E"] * np.exp(TRUTH["k_B"] * np.log(3) ** 2), rel=1e-6)
    moved, lost = beside(TRUTH, rate, batch, 3 * batch)
    assert moved == pytest.approx(rate * 3 ** TRUTH["s"], rel=1e-12)
    assert lost == pytest.approx(given.min() / TRUTH["E"] - 1, rel=1e-4)
    off = VALLEY(TRUTH, N=N, D=D, lr_peak=2 * rate, batch_tokens=0.5 * batch)
    assert cost(TRUTH, 2.0, 0.5) == pytest.approx(off / TRUTH["E"] - 1, rel=1e-12)


def test_the_valley_is_found_with_a_loss_per_cell() -> None:
    """Nine cells with losses of their own, 0.1 % noise: the best settings of an unseen, ten times larger cell."""
    law = VALLEY.grouped("group", [f"c{i}" for i in range(9)], ["E"])
    rng = np.random.default_rng(4)
    parts = []
    for i, (N, D) in enumerate((N, D) for N in (2e8, 3e8, 5e8) for D in (5e9, 1.5e10, 5e10)):
        rate, batch = (a.ravel() for a in np.meshgrid(np.geomspace(7e-4, 6e-3, 7), np.geomspace(1e5, 2e6, 7)))
        E = 1.7 + 0.1 * i
        loss = VALLEY({**TRUTH, "E": E}, N=N, D=D, lr_peak=rate, batch_tokens=batch)
        parts.append((np.full(49, N), np.full(49, D), rate, batch, loss, np.full(49, f"c{i}")))
    N, D, rate, batch, loss, group = (np.concatenate(part) for part in zip(*parts))
    loss = loss * np.exp(1e-3 * rng.standard_normal(loss.size))
    columns = {"N": N, "D": D, "lr_peak": rate, "batch_tokens": batch, "loss": loss, "group": group}
    found = fit(Runs.from_columns(columns), VALLEY, group_by="group", separate=["E"])
    assert found.convergence is not None
    assert found.convergence.certified
    assert set(found.law.names) == set(law.names)
    best = [p["lr_0"] * 2.0 ** p["b"] * 2.0 ** p["c"] for p in (found.params, TRUTH)]
    assert best[0] == pytest.approx(best[1], rel=0.15)
    assert found.params["B_0"] == pytest.approx(TRUTH["B_0"], rel=0.15)
    for name in ("f", "s", "k_lr", "k_B"):
        assert found.params[name] == pytest.approx(TRUTH[name], rel=0.1), name

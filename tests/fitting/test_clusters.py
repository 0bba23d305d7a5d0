# SPDX-License-Identifier: Apache-2.0
"""Few runs with several rows each: variance components, their degrees of freedom, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.core.errors import RefusedError
from forescale.fitting._clusters import Components, components
from forescale.fitting._covariance import COMPONENTS, TOO_FEW_RUNS, stretch_of_draws
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

POWER = find("power")


def least_squares(design: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> Components | None:
    u, s, vt = np.linalg.svd(design, full_matrices=False)
    left = u[:, s > 1e-10]
    return components(vt.T / s, left, y - left @ (left.T @ y), clusters)


def test_repeats_of_a_design_are_a_fit_of_their_means() -> None:
    """Balanced runs that share their design: the textbook answer is the regression of the run means."""
    rng = np.random.default_rng(0)
    runs, rows = 8, 4
    cell = np.stack([np.ones(runs), np.linspace(-1, 1, runs)], axis=1)
    clusters = np.repeat(np.arange(runs), rows)
    y = (0.3 * rng.standard_normal(runs))[clusters] + 0.2 * rng.standard_normal(runs * rows)
    found = least_squares(cell[clusters], y, clusters)
    assert found is not None
    means = y.reshape(runs, rows).mean(axis=1)
    _, rss, *_ = np.linalg.lstsq(cell, means, rcond=None)
    assert found.matrix == pytest.approx(rss[0] / (runs - 2) * np.linalg.inv(cell.T @ cell), rel=1e-9)
    assert found.df == pytest.approx(runs - 2, rel=1e-9)


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_components_are_unbiased(shared: float) -> None:
    """Unequal runs, 600 repetitions: means within 4 standard errors of the truth."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(9), [2, 7, 3, 5, 4, 6, 2, 8, 3])
    design = np.stack([np.ones(clusters.size), rng.standard_normal(clusters.size), np.linspace(0, 1, 9)[clusters]], 1)
    parts, matrices = [], []
    for _ in range(600):
        y = np.sqrt(shared) * rng.standard_normal(9)[clusters] + rng.standard_normal(clusters.size)
        found = least_squares(design, y, clusters)
        assert found is not None
        parts.append((found.shared, found.own))
        matrices.append(np.diag(found.matrix))
    mean, error = np.mean(parts, axis=0), np.std(parts, axis=0) / np.sqrt(600)
    assert np.all(np.abs(mean - [shared, 1.0]) < 4 * error + [0.02, 0.0])
    member = (clusters[:, None] == clusters[None, :]).astype(float)
    bread = np.linalg.pinv(design)
    true = np.diag(bread @ (shared * member + np.eye(clusters.size)) @ bread.T)
    got = np.array(matrices)
    assert np.all(np.abs(got.mean(axis=0) / true - 1) < 4 * got.std(axis=0) / true / np.sqrt(600) + 0.02)


def test_runs_that_leave_no_freedom_between_them() -> None:
    clusters = np.repeat(np.arange(3), 4)
    design = np.eye(3)[clusters]  # a mean for each run
    assert least_squares(design, np.random.default_rng(0).standard_normal(12), clusters) is None


def curves(runs: int, rows: int, seed: int = 0, spread: float = 0.02) -> Runs:
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(1e18, 1e22, runs), rows)
    shared = np.repeat(spread * rng.standard_normal(runs), rows)
    y = 50.0 * C**-0.06 * np.exp(shared + 0.002 * rng.standard_normal(C.size))
    return Runs.from_columns({"C": C, "loss": y, "run": np.repeat([f"r{i}" for i in range(runs)], rows)})


@pytest.fixture(scope="module")
def four() -> Fit:
    return fit(curves(4, 6), POWER, loss="log-squared")


def test_few_runs_have_few_degrees_of_freedom(four: Fit) -> None:
    assert four.covariance_from == f"{COMPONENTS}, 4 clusters"
    assert four.df == pytest.approx(2.0, abs=0.1)
    assert stretch_of_draws(four.covariance_from, four.df, 0.9) == pytest.approx(2.92 / 1.645, rel=0.05)
    assert stretch_of_draws("sandwich, 30 clusters", 29.0, 0.9) == 1.0


def test_resampled_few_runs_are_as_uncertain_as_wald(four: Fit) -> None:
    """Four runs: the draws alone would be too narrow by the t quantile and by sqrt(G / (G - P))."""
    again = four.bootstrap(400, by="run")
    low, high = np.quantile(again.draws[:, 1], [0.05, 0.95])
    ends = again.interval("alpha")
    assert ends[1] - ends[0] > 1.5 * (high - low)
    band = again.predict(C=1e20).confidence
    plain = np.quantile(
        POWER({"A": again.draws[:, :1], "alpha": again.draws[:, 1:]}, C=np.array([1e20])), [0.05, 0.95]
    )
    assert np.log(band.upper / band.lower)[0] > 1.5 * np.log(plain[1] / plain[0])


def test_a_likelihood_does_not_take_checkpoints_for_runs() -> None:
    runs = curves(30, 6)
    together = fit(runs, POWER, loss="gaussian-log")
    apart = fit(Runs.from_columns({"C": runs["C"], "loss": runs["loss"]}), POWER, loss="gaussian-log")
    ratio = together.standard_errors()["alpha"] / apart.standard_errors()["alpha"]
    assert ratio == pytest.approx(np.sqrt(6.0), rel=0.25)
    assert "clusters" in together.covariance_from


def test_one_run_is_said_to_be_one() -> None:
    rng = np.random.default_rng(2)
    C = np.geomspace(1e18, 1e22, 20)
    y = 50.0 * C**-0.06 * np.exp(0.01 * rng.standard_normal(20))
    alone = fit(Runs.from_columns({"C": C, "loss": y, "run": np.array(["a"] * 20)}), POWER)
    free = fit(Runs.from_columns({"C": C, "loss": y}), POWER)
    assert [note.level for note in alone.notes if note.code == "one-run"] == ["amber"]
    assert alone.interval("alpha") == free.interval("alpha")


def test_three_runs_do_not_determine_five_parameters() -> None:
    law = find("chinchilla")
    rng = np.random.default_rng(3)
    cell = np.repeat(np.arange(3), 4)
    N, D = np.array([1e8, 5e8, 2e9])[cell], np.array([2e10, 8e9, 6e10])[cell]
    y = law(law.constants("besiroglu2024"), N=N, D=D) * np.exp(0.01 * rng.standard_normal(12))
    found = fit(Runs.from_columns({"N": N, "D": D, "loss": y, "run": np.array(["a", "b", "c"])[cell]}), law)
    assert found.covariance_from == TOO_FEW_RUNS
    assert np.isnan(found.interval("alpha", "wald")).all()
    assert np.isnan(found.predict(N=1e9, D=2e10).prediction.lower).all()
    assert any(note.code == "too-few-runs" and note.level == "red" for note in found.notes)
    with pytest.raises(RefusedError, match="runs"):
        found.bootstrap(50, by="run")

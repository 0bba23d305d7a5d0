# SPDX-License-Identifier: Apache-2.0
"""The verdict: rows that do not belong, degenerate tables, and what a good fit earns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judge_tables import STATED, grid, make

from forescale.fitting._fit import Spread
from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.judge._reference import outlier_cut, reference
from forescale.judge._thresholds import table, threshold
from forescale.judge.verdict import verdict
from forescale.laws import find
from forescale.runs.table import Conventions, Note, Runs

CHINCHILLA = find("chinchilla")
POWER = find("power")


def codes(judged, *levels):
    return {f.code for f in judged.findings if f.level in (levels or ("amber", "red"))}


def the(judged, code):
    return next(f for f in judged.findings if f.code == code)


# --- rows that do not belong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["log-huber", "student-t"])
def test_the_five_rows_that_epoch_drops_are_named(mirror, loss):
    runs = mirror("chinchilla-all")
    five = set(np.argsort(-runs["loss"])[:5].tolist())
    judged = verdict(fit(runs, CHINCHILLA, loss=loss))
    assert judged.level != "green"
    rows = the(judged, "outliers").rows
    assert len(rows) <= 8
    assert len(five & set(rows)) >= 4


def test_the_clean_rows_are_not_flooded_with_names(mirror):
    judged = verdict(fit(mirror("chinchilla"), CHINCHILLA))
    assert len(the(judged, "outliers").rows) <= 3
    assert judged.level == "amber"
    assert judged.headline.startswith("Usable for prediction up to about 3x the largest run; look at")


def planted(mirror, loss, seeds):
    runs = mirror("chinchilla")
    hits = 0
    for seed in seeds:
        bad = np.random.default_rng(seed).choice(len(runs), 5, replace=False)
        losses = np.array(runs["loss"])
        losses[bad] *= 1.5
        judged = verdict(fit(runs.with_column("loss", losses), CHINCHILLA, loss=loss))
        rows = the(judged, "outliers").rows
        assert len(rows) <= 8
        hits += len(set(bad.tolist()) & set(rows)) >= 4
    return hits


@pytest.mark.parametrize("loss", ["log-huber", "student-t"])
def test_planted_rows_are_named(mirror, loss):
    assert planted(mirror, loss, range(12)) == 12


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["log-huber", "student-t"])
def test_planted_rows_are_named_hundred_times(mirror, loss):
    assert planted(mirror, loss, range(100)) >= 95


def test_a_clump_with_leverage_does_not_hide():
    """Rows in one corner pull the default fit towards them: judged by it alone, others would be named."""
    N, D = grid(8, 8)
    runs = make(N, D, seed=1)
    corner = np.flatnonzero((N > 1e9) & (D < 1e10))
    losses = np.array(runs["loss"])
    losses[corner] *= 1.12
    judged = verdict(fit(runs.with_column("loss", losses), CHINCHILLA))
    assert set(the(judged, "outliers").rows) <= set(corner.tolist())
    assert len(the(judged, "outliers").rows) >= min(len(corner), 8) - 1


def test_gaussian_tables_name_nobody():
    N, D = grid(8, 8)
    named = [len(reference(fit(make(N, D, seed=s), CHINCHILLA)).outliers) for s in range(12)]
    assert sum(named) <= 1


def test_the_cut_grows_with_the_table_and_with_lost_freedom():
    cuts = [outlier_cut(n, 5) for n in (20, 60, 240, 2000)]
    assert cuts == sorted(cuts)
    assert outlier_cut(9, 5) < outlier_cut(8, 5)


# --- what a good fit earns ----------------------------------------------------------------------------------------


def test_a_clean_fit_is_green():
    judged = verdict(fit(make(*grid(), seed=3), CHINCHILLA))
    assert judged.level == "green", [f.text for f in judged.findings if f.level != "green"]
    assert judged.headline == "Usable for prediction up to about 10x the largest run, and for splitting a budget."
    assert {"optimum", "identifiable", "outliers", "structure", "design", "reach"} <= codes(judged, "green")


def test_noiseless_rows_are_no_failure_of_the_optimiser():
    judged = verdict(fit(make(*grid(), sigma=0.0), CHINCHILLA))
    assert the(judged, "optimum").level == "green"
    assert judged.level == "green"


def test_same_fit_same_verdict():
    result = fit(make(*grid(), seed=3), CHINCHILLA)
    assert verdict(result) == verdict(result)


def test_published_constants():
    good, bad = verdict(published("chinchilla:besiroglu2024")), verdict(published("chinchilla:hoffmann2022"))
    assert "published" not in codes(good)
    assert "published" in codes(bad)
    assert "reproduced" in the(bad, "published").text


def test_a_spread_changes_what_is_said_about_reach():
    result = fit(make(*grid(), seed=3), CHINCHILLA)
    tested = result.with_spread(Spread(np.array([1.0, 30.0]), np.array([0.0, 0.01]), "test"))
    assert "30x" in the(verdict(tested), "reach").text


# --- each check ---------------------------------------------------------------------------------------------------


def test_N_and_D_in_proportion():
    N = np.geomspace(1e7, 1e10, 24)
    judged = verdict(fit(make(N, 20 * N), CHINCHILLA))
    assert judged.level == "red"
    assert "confounded" in codes(judged, "red")
    assert "do not split a budget" in judged.headline


def test_N_and_D_that_move_together():
    rng = np.random.default_rng(0)
    N = np.geomspace(1e7, 1e10, 40)
    judged = verdict(fit(make(N, 20 * N * np.exp(0.35 * rng.standard_normal(40))), CHINCHILLA))
    assert "confounded" in codes(judged, "amber")
    assert "do not split a budget" in judged.headline


def test_few_levels_few_rows_short_range():
    rng = np.random.default_rng(1)
    N = np.repeat([1e8, 2e8], 8)
    judged = verdict(fit(make(N, np.tile(np.geomspace(1e9, 4e9, 8), 2)), CHINCHILLA))
    assert "levels" in codes(judged, "red")
    assert "range" in codes(judged)
    short = verdict(fit(make(np.exp(rng.uniform(16, 20, 9)), np.exp(rng.uniform(21, 25, 9))), CHINCHILLA))
    assert "rows" in codes(short)


def test_all_losses_equal():
    N, D = grid()
    runs = Runs.from_columns({"N": N, "D": D, "loss": np.full(len(N), 3.0)}, conventions=STATED)
    for law in (CHINCHILLA, POWER):
        judged = verdict(fit(runs, law))
        assert judged.level == "red"
        assert judged.headline.startswith("Do not use this fit: all 36 rows have the same loss")


@pytest.mark.parametrize("n", [5, 6, 7])
def test_as_many_rows_as_parameters(n):
    N, D = grid()
    pick = np.random.default_rng(n).permutation(36)[:n]
    judged = verdict(fit(make(N[pick], D[pick]), CHINCHILLA))
    assert judged.level != "green"
    assert "rows" in codes(judged)
    assert (judged.level == "red") == (n <= 6) or n == 7


def test_two_rows_of_one_variable():
    judged = verdict(fit(make(*(x[:2] for x in grid())), POWER))
    assert judged.level == "red"
    assert judged.headline.startswith("Do not use this fit: 2 rows for 2 parameters")


def test_a_bend_that_the_law_does_not_have():
    N, D = grid(9, 9)
    runs = make(N, D, sigma=0.002)
    bent = np.array(runs["loss"]) * np.exp(0.02 * np.cos(np.log(N)))
    judged = verdict(fit(runs.with_column("loss", bent), CHINCHILLA))
    assert "trend" in codes(judged)
    assert "N" in the(judged, "trend").text


def test_groups_that_differ():
    N, D = grid()
    runs = make(np.tile(N, 2), np.tile(D, 2), dataset=np.repeat(["web", "books"], 36))
    losses = np.array(runs["loss"]) * np.where(np.arange(72) < 36, 1.0, 1.03)
    judged = verdict(fit(runs.with_column("loss", losses), CHINCHILLA, loss="log-squared"))
    assert "groups" in codes(judged)
    assert 'group_by="dataset"' in the(judged, "groups").advice
    assert judged.headline.startswith("Do not use this fit: runs differ by dataset")


def test_lack_of_fit_against_repeats():
    N, D = grid(5, 5)
    rng = np.random.default_rng(0)
    runs = make(np.repeat(N, 3), np.repeat(D, 3), sigma=0.001)
    cell = np.repeat(0.02 * rng.standard_normal(25), 3)
    judged = verdict(fit(runs.with_column("loss", np.array(runs["loss"]) * np.exp(cell)), CHINCHILLA))
    assert "lack-of-fit" in codes(judged)
    clean = verdict(fit(make(np.repeat(N, 3), np.repeat(D, 3), sigma=0.004), CHINCHILLA))
    assert "lack-of-fit" not in codes(clean)


def test_checkpoints_and_conventions():
    N, D = grid()
    runs = make(N, D, run=np.array([f"n{int(x):d}" for x in N]))
    assert "checkpoints" in codes(verdict(fit(runs, CHINCHILLA)))
    silent = Runs.from_columns({"N": N, "D": D, "loss": runs["loss"]})
    judged = verdict(fit(silent, CHINCHILLA))
    assert "conventions" in codes(judged, "amber")
    result = fit(make(N, D), CHINCHILLA)
    assert "odd" in codes(verdict(result.with_notes(Note("amber", "odd", "Something odd."))))
    wants = replace(CHINCHILLA, id="insisting", conventions={"N": "non-embedding"}, published={}, checks=())
    judged = verdict(fit(make(N, D), wants))
    assert judged.headline.startswith("Do not use this fit: insisting means N as non-embedding")


def test_an_optimum_that_was_not_reached():
    result = fit(make(*grid(), seed=3), CHINCHILLA)
    assert result.convergence is not None
    early = replace(result, convergence=replace(result.convergence, certified=False, decrease=0.1))
    assert "optimum" in codes(verdict(early), "red")
    lonely = replace(result, convergence=replace(result.convergence, agree=1, polished=16))
    assert "optimum" in codes(verdict(lonely), "red")
    rival = replace(result, convergence=replace(result.convergence, next_basin=0.001))
    assert "next-basin" in codes(verdict(rival), "amber")


def test_losses_that_are_noise_and_losses_of_any_size():
    rng = np.random.default_rng(0)
    N, D = grid()
    for losses in (np.exp(rng.uniform(-600, 600, 36)), rng.uniform(1e-300, 1, 36), np.exp(rng.standard_normal(36))):
        runs = Runs.from_columns({"N": N, "D": D, "loss": losses}, conventions=Conventions())
        for law in (CHINCHILLA, POWER):
            assert verdict(fit(runs, law)).level in ("amber", "red")


# --- thresholds ---------------------------------------------------------------------------------------------------


def test_every_threshold_has_a_reason_and_its_simulation_exists():
    from pathlib import Path

    script = (Path(__file__).parents[2] / "benchmarks" / "thresholds.py").read_text()
    for entry in table().values():
        assert len(entry.reason) > 40, entry.name
        assert entry.value >= 0
        if entry.simulated:
            assert f'"{entry.simulated}":' in script, entry.name
    source = "".join(p.read_text() for p in (Path(__file__).parents[2] / "src/forescale/judge").glob("*.py"))
    for name in table():
        assert f'threshold("{name}")' in source, name
    assert threshold("reach") == 10


def test_a_law_of_shares_has_no_largest_run() -> None:
    """Weights of a mixture end at one: nothing is said of decades of compute, or of ten times the largest run."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1.0, 1.0, 1.0], 40)
    loss = (2.0 + np.exp(shares @ np.log([0.9, 0.5, 1.4]))) * np.exp(0.003 * rng.standard_normal(40))
    table = {"arxiv": shares[:, 0], "book": shares[:, 1], "c4": shares[:, 2], "loss": loss}
    found = verdict(fit(Runs.from_columns(table), find("mixing-exponential(arxiv, book, c4)")))
    said = found.headline + " ".join(f.text for f in found.findings)
    assert "within the ranges of the runs" in found.headline
    assert "decade" not in said
    assert "largest run" not in said

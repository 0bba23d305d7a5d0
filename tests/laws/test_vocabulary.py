# SPDX-License-Identifier: Apache-2.0
"""Best vocabularies by three approaches: the authors' tables, and their fit with the tokens that their script has."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.vocabulary import (
    best_vocabulary,
    budget_of,
    cheapest_vocabulary,
    isoflop,
    tokens_per_character,
    width,
)
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

LAW = find("vocabulary")
SIZE = find("vocabulary-size")

TABLE = {
    2.87e9: (37942, 40993, 35244),
    3e9: (39367, 42538, 36623),
    7e9: (62280, 67450, 59613),
    13e9: (83429, 90503, 81543),
    30e9: (141711, 154071, 142490),
    70e9: (211860, 230861, 219258),
    130e9: (236500, 258138, 249987),
    300e9: (355894, 389324, 387117),
}
"""Non-vocabulary parameters -> vocabulary by the three approaches, as the authors' scripts print it (cut off)."""

SECOND = {"E": 5.5333, "A1": 1.8304, "A2": 0.1930, "B": 2.1242, "alpha1": 0.44637, "alpha2": 0.66645}
"""The fit that the column of approach 3 was printed with, in the authors' units."""


def raw(constants: dict[str, float]) -> dict[str, float]:
    """From 1e6 parameters and 1e9 tokens to one of each."""
    scale = {
        "A1": 1e6 ** constants["alpha1"],
        "A2": 1e6 ** constants["alpha2"],
        "B": 1e9 ** constants["alpha1"],
    }
    return {k: v * scale.get(k, 1.0) for k, v in constants.items()}


def in_their_units(params: dict[str, float]) -> dict[str, float]:
    found = dict(params)
    for name, unit, exponent in (("A1", 1e6, "alpha1"), ("A2", 1e6, "alpha2"), ("B", 1e9, "alpha1")):
        found[name] = params[name] / unit ** params[exponent]
    return found


def test_tokens_per_character_and_widths() -> None:
    np.testing.assert_allclose(
        tokens_per_character([32768, 131072, 10000]), [0.251803, 0.229169, 0.290702], atol=5e-7
    )
    assert float(tokens_per_character(1e6)) == float(tokens_per_character(2e5))
    assert width([33e6, 5e7, 5.1e7, 302e6, 7e9, 70e9, 1e12]).tolist() == [512, 512, 768, 1024, 4096, 8192, 16384]


@pytest.mark.parametrize(("N", "vocabularies"), TABLE.items())
def test_the_table(N: float, vocabularies: tuple[int, int, int]) -> None:
    """v1 and the whole table: approaches 1 and 2 to one entry, approach 3 to 1 %."""
    d = float(width(N))
    first = float(SIZE(SIZE.constants("tao2024-isoflop"), N=N)) / d
    second = float(SIZE(SIZE.constants("tao2024-derivative"), N=N)) / d
    assert abs(int(first) - vocabularies[0]) <= 1
    assert abs(int(second) - vocabularies[1]) <= 1
    third = best_vocabulary(LAW.constants("tao2024"), N)[0]
    assert third == pytest.approx(vocabularies[2], rel=0.01)
    # with the constants of that print the table is exact, as far as their four digits go
    assert best_vocabulary(raw(SECOND), N)[0] == pytest.approx(vocabularies[2], rel=3e-5)


def test_the_power_laws_of_approach_1_agree_with_their_elimination() -> None:
    C = np.geomspace(1e17, 1e25, 9)
    found = isoflop(C)
    np.testing.assert_allclose(found["N"], 0.0834 * C**0.5, rtol=6e-4)
    np.testing.assert_allclose(found["characters"], 6.42 * C**0.5, rtol=8e-4)
    np.testing.assert_allclose(budget_of(found["N"]), C, rtol=1e-12)
    expected = SIZE(SIZE.constants("tao2024-isoflop"), N=found["N"])
    np.testing.assert_allclose(found["N_embedding"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("N", "d", "expected"),
    [
        (33e6, 512, 10322), (85e6, 768, 15939), (151e6, 768, 24593), (302e6, 1024, 32776), (631e6, 1536, 40941),
        (1.13e9, 2048, 49416), (2.87e9, 3200, 65928),
    ],
)  # fmt: skip
def test_the_vocabulary_of_least_compute(N: float, d: float, expected: int) -> None:
    """Approach 2 before its power law; 302M parameters have width 1,024 there."""
    assert abs(int(cheapest_vocabulary(N, d)[0]) - expected) <= 1
    assert cheapest_vocabulary(N)[0] == pytest.approx(expected, abs=1.5)


def test_less_text_wants_a_smaller_vocabulary() -> None:
    """302M parameters with 0.2 to 6 times the data."""
    share = np.array([0.2, 0.3, 0.5, 1, 2, 3, 4, 5, 6])
    expected = np.array([10122, 11298, 12978, 15671, 18934, 21156, 22893, 24339, 25591])
    budget = share * budget_of(302e6)
    found = best_vocabulary(LAW.constants("tao2024"), np.full(9, 302e6), budget)
    np.testing.assert_allclose(found, expected, rtol=0.01)
    np.testing.assert_allclose(best_vocabulary(raw(SECOND), np.full(9, 302e6), budget), expected, atol=1.5)


def test_no_best_vocabulary_is_said_so() -> None:
    """Without a penalty for a small vocabulary the smallest one is best."""
    assert np.isnan(best_vocabulary({**LAW.constants("tao2024"), "A2": 1e-12}, 7e9)).all()


def test_a_negative_loss_is_fitted_on_the_raw_scale() -> None:
    assert LAW.loss == "huber"
    rng = np.random.default_rng(0)
    truth = LAW.constants("tao2024")
    N, V, D = 10 ** rng.uniform(7.5, 9.1, 200), 10 ** rng.uniform(6.3, 8.3, 200), 10 ** rng.uniform(8.5, 10.7, 200)
    y = LAW(truth, N=N, N_embedding=V, D=D) + 0.005 * rng.standard_normal(200)
    assert (y < 0).all()
    found = fit(Runs.from_columns({"N": N, "N_embedding": V, "D": D, "loss_u": y}), LAW)
    assert found.convergence is not None
    assert found.convergence.certified
    assert found.params["E"] == pytest.approx(truth["E"], rel=0.03)
    assert found.params["alpha1"] == pytest.approx(truth["alpha1"], rel=0.1)


@mirrored
def test_the_refit() -> None:
    """v3, with the tokens of the authors' script, whose optimizer stops short: its two fits have higher objectives.

    E comes to .0016 of the 5.5333 asked for, alpha1 to .0011 of .4464: both lie beyond 1e-3 because those are values
    of a fit that had not converged.
    """
    runs = dataset("vocab-scaling-fit")
    assert len(runs) == 1054
    slip = runs.with_column("D", runs["characters"] * tokens_per_character(runs["vocab_size"] / 1000))
    found = fit(slip, LAW)
    assert found.convergence is not None
    assert found.convergence.certified

    def objective(params: dict[str, float]) -> float:
        e = np.abs(LAW(params, N=slip["N"], N_embedding=slip["N_embedding"], D=slip["D"]) - slip["loss_u"])
        return float(np.where(e <= 1e-3, 0.5 * e * e, 1e-3 * (e - 5e-4)).sum())

    assert objective(dict(found.params)) == pytest.approx(0.0622913524, abs=1e-9)
    assert objective(raw(SECOND)) == pytest.approx(0.0622915293, abs=1e-9)
    assert objective(LAW.constants("tao2024")) == pytest.approx(0.0622917456, abs=1e-9)
    ours = in_their_units(dict(found.params))
    assert ours["E"] == pytest.approx(5.5349426, abs=1e-5)
    assert ours["alpha1"] == pytest.approx(0.4453170, abs=1e-5)
    assert ours["alpha2"] == pytest.approx(0.6636714, abs=1e-4)
    y = slip["loss_u"]
    e = LAW(raw(SECOND), N=slip["N"], N_embedding=slip["N_embedding"], D=slip["D"]) - y
    assert 1 - (e**2).sum() / ((y - y.mean()) ** 2).sum() == pytest.approx(0.9716, abs=1e-4)


@mirrored
def test_true_tokens_want_smaller_vocabularies() -> None:
    runs = dataset("vocab-scaling-fit")
    np.testing.assert_allclose(runs["D"], runs["characters"] * tokens_per_character(runs["vocab_size"]), rtol=1e-6)
    found = fit(runs, LAW)
    ours = in_their_units(dict(found.params))
    assert ours["alpha2"] == pytest.approx(1.0588, abs=1e-3)
    assert best_vocabulary(found.params, 70e9)[0] == pytest.approx(66402, rel=1e-3)

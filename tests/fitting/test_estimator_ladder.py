# SPDX-License-Identifier: Apache-2.0
"""The model ladder: both steps on checkpoints whose laws are known, and the published table on OLMo's."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError
from forescale.fitting._estimator import estimate
from forescale.fitting.estimators.ladder import ladder, learn, predict, resampled, steps, trailing
from forescale.laws import find
from forescale.numerics.resample import bootstrap_clusters
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

FIRST = {"E": 0.5, "A": 30.0, "alpha": 0.22, "B": 90.0, "beta": 0.24}
SECOND = {"a": -0.7, "L_0": 0.75, "k": 6.0, "b": 0.97}

# Coefficients as printed: A, B, alpha, beta, E | a, L_0, k, b | accuracies of 7B-4T and 13B-5T.
TABLE = {
    "mmlu": (38.07, 100.1, 0.2262, 0.2361, 0.4541, -0.7421, 0.6160, 4.8334, 1.0, 0.4838, 0.5127),
    "hellaswag": (11.23, 60.37, 0.1955, 0.2565, 0.5019, -0.7301, 0.7667, 12.7417, 0.9921, 0.8252, 0.8530),
    "arc_challenge": (7.03e5, 38.45, 0.7877, 0.1970, 0.6546, -0.7777, 0.7086, 5.9106, 1.0, 0.5150, 0.5267),
    "arc_easy": (7.941e4, 3958.0, 0.6610, 0.4195, 0.5582, -0.6463, 0.7407, 4.1298, 1.0, 0.7659, 0.7724),
    "piqa": (405.7, 10.16, 0.3978, 0.1533, 0.7217, -0.4586, 0.9630, 5.0330, 1.0, 0.8122, 0.8208),
    "csqa": (56.86, 10.91, 0.2350, 0.1111, 0.0, -0.8556, 1.1313, 2.2085, 1.0, 0.7571, 0.7761),
    "socialiqa": (1201.0, 7897.0, 0.4473, 0.4768, 0.9489, -0.5985, 0.8938, 7.1644, 0.9995, 0.5874, 0.5995),
    "openbookqa": (8.635e4, 137.3, 0.6865, 0.2607, 1.1981, -0.7906, 1.0813, 4.3097, 1.0, 0.4417, 0.4486),
}
TARGETS = {"N": [6887575552.0, 13202396160.0], "D": [3945065873408.0, 5000088518656.0]}


def checkpoints(noise: float = 0.0, seed: int = 0) -> Runs:
    """Nine runs of 30 checkpoints; the loss falls to that of FIRST at the end, where the last five are level."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {"run": [], "N": [], "D": [], "loss": [], "score": []}
    for N in (2e8, 4e8, 8e8):
        for ratio in (20.0, 60.0, 200.0):
            D = ratio * N * np.arange(1, 31) / 30
            end = float(find("chinchilla")(FIRST, N=N, D=D[-1]))
            loss = end + 0.5 * np.maximum(26 - np.arange(1, 31), 0) / 25
            rows["run"] += [f"{N:g}-{ratio:g}"] * 30
            rows["N"] += [N] * 30
            rows["D"] += D.tolist()
            rows["loss"] += (loss * np.exp(noise * rng.standard_normal(30))).tolist()
            rows["score"] += (find("accuracy-sigmoid")(SECOND, loss=loss) + noise * rng.standard_normal(30)).tolist()
    return Runs.from_columns(rows)


class TestLadder(EstimatorCase):
    examples = ((ladder, checkpoints(0.003), {}),)


def test_trailing_means() -> None:
    np.testing.assert_allclose(trailing(np.array([1.0, 3.0, 5.0, 7.0]), 2), [1.0, 2.0, 4.0, 6.0])
    np.testing.assert_allclose(trailing(np.array([4.0, 2.0]), 5), [4.0, 3.0])


def test_both_laws_come_back() -> None:
    """Without noise and without smoothing both steps are exact; the window alone bends step 2 a little."""
    made = estimate(checkpoints(), "ladder", window=1, anchor=False)
    for name, value in {**FIRST, **SECOND}.items():
        assert made.numbers[name] == pytest.approx(value, rel=1e-5), name
    at = made.predict(N=1e10, D=1e12).estimate[0]
    loss = float(find("chinchilla")(FIRST, N=1e10, D=1e12))
    assert at == pytest.approx(float(find("accuracy-sigmoid")(SECOND, loss=loss)), rel=1e-7)
    assert made.predict(loss=loss).estimate[0] == pytest.approx(at, rel=1e-9)


def test_a_run_drawn_twice_counts_twice() -> None:
    """Every run twice is the same table; one run twice is not, and its noise is not that of its copies."""
    runs, options = checkpoints(0.003), {**ladder.options, "anchor": False}
    every = np.arange(len(runs))
    one = learn(runs, options)
    same = learn(runs.where(np.tile(every, 2)), options)
    for name, value in {**one.first, **one.second}.items():
        assert {**same.first, **same.second}[name] == pytest.approx(value, rel=1e-5), name
    more = learn(runs.where(np.concatenate([every, every[:30]])), options)
    assert abs(more.first["E"] / one.first["E"] - 1) > 1e-4
    assert more.noise == same.noise == one.noise


def test_resamples_at_once_are_those_learned_one_by_one() -> None:
    """Both steps of a draw rest on the same runs, and predict what learning that draw from its rows predicts."""
    runs = checkpoints(0.003)
    state, rows = learn(runs, ladder.options), steps(runs, ladder.options)
    one, two = resampled(state, rows, 5)
    counts = bootstrap_clusters(np.arange(9), 5, 0).astype(int)
    for i, drawn in enumerate(counts):
        assert (drawn > 0).sum() >= 5  # so it is with this seed
        again = np.concatenate([np.arange(30 * r, 30 * r + 30) for r in np.repeat(np.arange(9), drawn)])
        alone = predict(learn(runs.where(again), ladder.options), TARGETS)
        loss = find("chinchilla")(
            {name: v[i] for name, v in one.items()}, **{k: np.array(v) for k, v in TARGETS.items()}
        )
        together = find("accuracy-sigmoid")({name: v[i] for name, v in two.items()}, loss=loss)
        np.testing.assert_allclose(together, alone, atol=2e-4)


def test_what_it_needs() -> None:
    runs = checkpoints()
    with pytest.raises(DataError, match="4 runs"):
        estimate(runs.where(runs["N"] < 5e8).where(np.arange(120)), "ladder")
    columns = {name: runs[name] for name in ("N", "D", "loss", "score")}
    with pytest.raises(ColumnError, match="'run'"):
        estimate(Runs.from_columns(columns), "ladder")


@pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")
@pytest.mark.parametrize("task", TABLE)
def test_the_published_table(task: str) -> None:
    """Nine coefficients to their printed digits, and both accuracies to theirs."""
    from forescale.runs.datasets import dataset

    runs = dataset("olmo-ladder-tasks", task=task)
    made = estimate(runs.where(runs["N"] < 2e9), "ladder")
    for name, printed in zip(("A", "B", "alpha", "beta", "E", "a", "L_0", "k", "b"), TABLE[task]):
        assert made.numbers[name] == pytest.approx(printed, rel=5e-4, abs=6e-5), name
    np.testing.assert_allclose(made.predict(TARGETS).estimate, TABLE[task][-2:], atol=6e-5)

# SPDX-License-Identifier: Apache-2.0
"""Observational scaling: components, gaps, the link from many starts, and the published figures."""

from __future__ import annotations

import os

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError
from forescale.fitting._estimator import estimate
from forescale.fitting.estimators.observational import BENCHMARKS, capabilities, observational
from forescale.runs.table import Runs
from forescale.testing.estimators import EstimatorCase

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


def models(count: int = 60, gaps: float = 0.0, seed: int = 0) -> Runs:
    """Models whose eight benchmarks have two common components, and a task that follows both."""
    rng = np.random.default_rng(seed)
    ability = rng.standard_normal((count, 2)) * np.array([1.0, 0.4])
    axes = np.linalg.qr(rng.standard_normal((8, 2)))[0].T
    scores = 0.5 + 0.1 * ability @ axes + 0.003 * rng.standard_normal((count, 8))
    task = 0.1 + 0.9 / (1.0 + np.exp(-(2.0 * ability[:, 0] - 1.5 * ability[:, 1] - 0.5)))
    scores[rng.random((count, 8)) < gaps] = np.nan
    columns: dict[str, object] = {name: scores[:, i] for i, name in enumerate(BENCHMARKS)}
    return Runs.from_columns({**columns, "score": task + 0.005 * rng.standard_normal(count)})


class TestObservational(EstimatorCase):
    examples = ((observational, models(gaps=0.05), {}),)


def test_the_link_is_found() -> None:
    runs = models()
    made = estimate(runs, "observational", components=2)
    residual = runs["score"] - made.predict(runs).estimate
    # noise of .005 in the task, and of .003 in benchmarks that vary by .1
    assert residual.std() < 0.02
    assert made.numbers["guess"] == pytest.approx(0.1, abs=0.03)
    assert made.numbers["explained_1"] + made.numbers["explained_2"] > 0.99


def test_gaps_are_filled_from_what_is_known() -> None:
    """One component behind all benchmarks: what is missing is known to the noise."""
    rng = np.random.default_rng(1)
    ability = rng.standard_normal(50)
    scores = 0.5 + np.outer(ability, np.linspace(0.05, 0.12, 8)) + 0.001 * rng.standard_normal((50, 8))
    whole = {name: scores[:, i] for i, name in enumerate(BENCHMARKS)}
    space = capabilities(whole)
    holes = scores.copy()
    holes[rng.random(scores.shape) < 0.2] = np.nan
    filled = space.of({name: holes[:, i] for i, name in enumerate(BENCHMARKS)})[:, 0]
    np.testing.assert_allclose(filled, space.of(whole)[:, 0], atol=0.02)


def test_new_models_change_nothing_that_was_learned() -> None:
    runs = models()
    weak = runs.where(np.argsort(runs["MMLU"])[:40])
    made = estimate(weak, "observational")
    together, alone = made.predict(runs).estimate, made.predict(runs.where(np.array([3]))).estimate
    assert together[3] == pytest.approx(alone[0], rel=1e-12)


def test_what_it_needs() -> None:
    runs = models()
    with pytest.raises(ColumnError, match="HumanEval"):
        estimate(Runs.from_columns({n: runs[n] for n in (*BENCHMARKS[:-1], "score")}), "observational")
    same = {**runs.columns, "GSM8K": np.full(len(runs), 0.5)}
    with pytest.raises(DataError, match="GSM8K does not vary"):
        estimate(Runs.from_columns(same), "observational")
    with pytest.raises(DataError, match="9 components"):
        estimate(runs, "observational", components=9)


@mirrored
def test_components_of_the_paper() -> None:
    """77 models: .8016, .1190, .0463, together .9670; all 148: .8529, .0933, .0274, together .9736."""
    from forescale.runs.datasets import dataset

    runs = dataset("obs-scaling")
    paper = capabilities(runs.where(runs["in_paper"] == 1).columns)
    assert paper.explained[0] == pytest.approx(0.8016, abs=2e-3)
    assert paper.explained[:3].sum() == pytest.approx(0.9670, abs=2e-3)
    np.testing.assert_allclose(paper.explained[:3], [0.8016, 0.1190, 0.0463], atol=6e-5)
    loadings = dict(zip(BENCHMARKS, paper.axes[0]))
    expected = {
        "GSM8K": 0.552, "MMLU": 0.448, "HellaSwag": 0.379, "HumanEval": 0.347, "ARC_C": 0.344, "Winograd": 0.242,
        "XWinograd": 0.214, "TruthfulQA": 0.085,
    }  # fmt: skip
    assert loadings == pytest.approx(expected, abs=1e-3)
    every = capabilities(runs.columns)
    np.testing.assert_allclose(every.explained[:3], [0.8529, 0.0933, 0.0274], atol=6e-5)
    assert every.explained[:3].sum() == pytest.approx(0.9736, abs=6e-5)


@mirrored
def test_families_are_lines_in_log_compute() -> None:
    from forescale.runs.datasets import dataset

    runs = dataset("obs-scaling")
    runs = runs.where(runs["in_paper"] == 1)
    first = capabilities(runs.columns).of(runs.columns)[:, 0]
    expected = {
        "Pythia": 0.985, "OPT": 0.984, "BLOOM": 0.981, "Llama": 0.981, "XGLM": 0.988, "Qwen1.5": 0.972,
        "CodeLlama": 0.959, "GPT-Neo/J": 0.945, "Falcon": 0.940,
    }  # fmt: skip
    for family, r2 in expected.items():
        rows = (runs.labels["family"] == family) & np.isfinite(runs["exaflops"])
        r = np.corrcoef(np.log(runs["exaflops"][rows]), first[rows])[0, 1]
        assert r * r == pytest.approx(r2, abs=1e-3), family


@mirrored
@pytest.mark.parametrize(
    ("task", "released", "ours"),
    [
        ("word_unscrambling", 0.0037, 0.0037),
        ("multiplication_2", 0.0089, 0.0089),
        ("parsinlu_qa", 0.0137, 0.0137),
        ("ipa_transliterate", 0.0806, 0.0806),
        # the released figure belongs to a poorer optimum: .0314 on the rows that it was fitted to, here .0312
        ("addition_3", 0.0297, 0.0035),
    ],
)
def test_extrapolation_beyond_llama_2_7b(task: str, released: float, ours: float) -> None:
    """Mean squared error on models above 84 zettaFLOP, or of unknown compute, learned from those below."""
    from forescale.runs.datasets import dataset

    runs = dataset("obs-scaling-tasks", task=task)
    weak = np.nan_to_num(runs["exaflops"], nan=np.inf) <= 84e3
    made = estimate(runs.where(weak), "observational")
    strong = runs.where(~weak)
    error = float(np.mean((made.predict(strong).estimate - strong["score"]) ** 2))
    assert error == pytest.approx(ours, abs=1e-4)
    assert error <= released + 1e-4

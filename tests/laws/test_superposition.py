# SPDX-License-Identifier: Apache-2.0
"""Superposition: Welch's bound, overlaps of random directions, one exponent for sixteen floors."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.superposition import overlap, toy_exponent, welch_bound
from forescale.runs.table import Runs


def test_the_bound_of_welch() -> None:
    assert welch_bound(1000, 100) == pytest.approx(0.09492, abs=5e-6)
    assert welch_bound(1000, 100) < 0.1, "below 1 / sqrt(m), which it approaches"
    assert welch_bound(50, 100) == 0.0


def test_overlaps_of_random_directions() -> None:
    """Mean of m times the squared overlap is 1 and its variance 7.538e-4 for m = 50, by formula and by simulation."""
    mean, variance = overlap(50)
    assert mean == 0.02
    assert variance == pytest.approx(7.538e-4, abs=5e-8)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((2, 40000, 50))
    w /= np.linalg.norm(w, axis=2, keepdims=True)
    squared = (w[0] * w[1]).sum(axis=1) ** 2
    assert squared.mean() == pytest.approx(mean, abs=4 * (variance / 40000) ** 0.5)
    assert squared.var() == pytest.approx(variance, rel=0.06)


def test_exponents_of_the_toy_model() -> None:
    assert toy_exponent(1.2, strong=True) == 1.0
    assert toy_exponent(2.0, strong=True) == 2.0
    assert toy_exponent(1.5, strong=False) == 0.5
    assert toy_exponent(2.0, strong=False) == 1.0


def test_floors_by_family_and_text() -> None:
    """Sixteen floors from 1.49 to 2.35 with one A and one exponent; in each family the Pile is lowest."""
    law = find("superposition")
    assert len(law.published) == 16
    floors = {name: law.constants(name)["B"] for name in law.published}
    assert min(floors.values()) == 1.4890
    assert max(floors.values()) == 2.3546
    for family in ("opt", "qwen2.5", "gpt-2", "pythia"):
        own = {name: level for name, level in floors.items() if name.startswith(f"liu2025-{family}-")}
        assert min(own, key=own.__getitem__) == f"liu2025-{family}-pile"
    assert len({(law.constants(n)["A"], law.constants(n)["alpha"]) for n in law.published}) == 1


def test_one_exponent_for_several_floors() -> None:
    law = find("superposition")
    rng = np.random.default_rng(0)
    rows: dict[str, list] = {"width": [], "loss": [], "group": []}
    for name in ("liu2025-opt-c4", "liu2025-pythia-pile", "liu2025-gpt-2-wikitext"):
        width = np.geomspace(512, 8192, 8)
        made = law(law.constants(name), width=width) * np.exp(0.003 * rng.standard_normal(8))
        rows["width"] += width.tolist()
        rows["loss"] += made.tolist()
        rows["group"] += [name] * 8
    found = fit(Runs.from_columns(rows), law, group_by="group", separate=["B"])
    # .3 % of noise: the exponent to about .03
    assert found.params["alpha"] == pytest.approx(0.9098, abs=0.12)
    assert found.params["B[liu2025-pythia-pile]"] == pytest.approx(1.5203, abs=0.05)

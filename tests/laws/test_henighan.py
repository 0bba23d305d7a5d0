# SPDX-License-Identifier: Apache-2.0
"""Henighan et al. (2020): tables 1 and 3, the units of the paper, and one floor for two curves."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.table import Runs

PF_DAY = 8.64e19
TOKENS = {"image-8": 192, "image-16": 768, "image-32": 3072, "image-vq-16": 256, "image-vq-32": 1024}


def loss(law: str, name: str, **at: float) -> float:
    value = find(law)
    return float(value(value.constants(f"henighan2020-{name}"), **at))


def test_h1_and_h3() -> None:
    assert loss("henighan-N", "image-8", N=1e9) == pytest.approx(3.13980, abs=1e-5)
    assert loss("henighan-N", "language", N=1.75e11) == pytest.approx(1.60214, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("language", 1.2927e9), ("image-8", 3.137e8), ("image-16", 3.084e8), ("image-32", 2.076e8),
        ("image-vq-16", 2.837e8), ("image-vq-32", 2.623e8), ("video-vq", 3.036e8), ("math", 1.073e8),
    ],
)  # fmt: skip
def test_h2_best_size_of_one_petaflop_day(name: str, size: float) -> None:
    assert loss("henighan-N-opt", name, C=PF_DAY) == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "amplitude"),
    [("image-8", 2.862), ("image-32", 1.713), ("image-vq-32", 3.972), ("video-vq", 12.48), ("math", 4.432)],
)
def test_the_amplitudes_of_the_registry(name: str, amplitude: float) -> None:
    """A = N_c^alpha, as Villalobos' registry lists the same laws."""
    p = find("henighan-N").constants(f"henighan2020-{name}")
    assert p["N_c"] ** p["alpha_N"] == pytest.approx(amplitude, rel=5e-4)


@pytest.mark.parametrize(("name", "amplitude"), [("image-8", 207.2), ("language", 23.27)])
def test_compute_is_counted_in_flop(name: str, amplitude: float) -> None:
    p = find("henighan-C").constants(f"henighan2020-{name}")
    assert p["C_c"] ** p["alpha_C"] == pytest.approx(amplitude, rel=5e-4)


def test_language_has_no_floor_and_twelve_kinds_of_data_are_there() -> None:
    law = find("henighan-N")
    assert len(law.published) == 12
    floors = {name: facts.values["E"] for name, facts in law.published.items()}
    without = {name for name, floor in floors.items() if floor == 0}
    assert without == {f"henighan2020-{n}" for n in ("language", "text-to-image-text", "image-to-text-text")}
    assert len(find("henighan-N-opt").published) == 10


def test_reducible_nats_of_an_image() -> None:
    """192 tokens of 8 x 8 images: 3.80 nats at N = 1e9 from table 1, 4.197 at 1 PF-day from table 3."""
    p = find("henighan-N").constants("henighan2020-image-8")
    assert 192 * (loss("henighan-N", "image-8", N=1e9) - p["E"]) == pytest.approx(3.80, abs=5e-3)
    assert loss("henighan-C", "image-8-per-image", C=PF_DAY) - 602 == pytest.approx(4.197, abs=1e-3)


@pytest.mark.parametrize("name", TOKENS)
def test_table_three_is_table_one_times_the_tokens(name: str) -> None:
    """Both the entropy and the divergence of an image, within the printed digits; 8 x 8 is off in the second."""
    token, image = (find("henighan-C").constants(f"henighan2020-{name}{end}") for end in ("", "-per-image"))
    assert image["E"] / token["E"] == pytest.approx(TOKENS[name], rel=4e-3)
    at = {"C": PF_DAY}
    nats = TOKENS[name] * (loss("henighan-C", name, **at) - token["E"])
    ratio = nats / (loss("henighan-C", f"{name}-per-image", **at) - image["E"])
    if name == "image-8":
        assert ratio == pytest.approx(1.545, abs=0.005)
        assert "disagree" in find("henighan-C").published["henighan2020-image-8-per-image"].note
    else:
        assert ratio == pytest.approx(1.0, abs=6e-3)


def test_compute_for_a_reducible_loss() -> None:
    p = find("henighan-C").constants("henighan2020-video-vq")
    needed = p["C_c"] * 0.1 ** (-1 / p["alpha_C"])
    assert loss("henighan-C", "video-vq", C=needed) - p["E"] == pytest.approx(0.1, rel=1e-12)


def test_the_same_curves_as_a_power_with_a_floor() -> None:
    N = np.geomspace(1e5, 1e10, 25)
    p = find("henighan-N").constants("henighan2020-math")
    same = {"E": p["E"], "A": p["N_c"] ** p["alpha_N"], "alpha": p["alpha_N"]}
    np.testing.assert_allclose(find("henighan-N")(p, N=N), find("power-floor(N)")(same, N=N), rtol=1e-12)


def test_one_floor_for_both_curves() -> None:
    """L(N) and L(C) with one entropy: two tables in one column, grouped; the shared floor is known better."""
    rng = np.random.default_rng(11)
    N, C = np.geomspace(3e5, 3e9, 12), np.geomspace(1e16, 1e22, 12)
    p, q = (find(f"henighan-{x}").constants("henighan2020-image-16") for x in "NC")
    y = np.concatenate([find("henighan-N")(p, N=N), find("henighan-C")({**q, "E": p["E"]}, C=C)])
    y = p["E"] + (y - p["E"]) * np.exp(0.02 * rng.standard_normal(24))
    table = Runs.from_columns({"x": np.concatenate([N, C]), "loss": y, "kind": ["N"] * 12 + ["C"] * 12})
    both = fit(table, find("power-floor(x)"), group_by="kind", separate=["A", "alpha"])
    assert set(both.params) == {"E", "A[C]", "A[N]", "alpha[C]", "alpha[N]"}
    alone = fit(Runs.from_columns({"N": N, "loss": y[:12]}), find("henighan-N"))
    assert abs(both.params["E"] - 2.64) < 4 * both.standard_errors()["E"]
    assert both.standard_errors()["E"] < alone.standard_errors()["E"]

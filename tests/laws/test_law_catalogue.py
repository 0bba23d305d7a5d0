# SPDX-License-Identifier: Apache-2.0
"""Every law of the catalogue passes the conformance kit; the published numbers of each family come out."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from forescale.core.errors import LawError
from forescale.fitting.estimate import fit
from forescale.laws import catalogue, describe, families, find
from forescale.laws._law import Law
from forescale.numerics.jet import value_and_jacobian
from forescale.runs.datasets import dataset
from forescale.testing.curves import CurveCase
from forescale.testing.laws import LawCase

BUILT_IN = tuple(entry.value for entry in catalogue().values() if entry.origin.startswith("forescale."))
MEMBERS = tuple(entry.value.member() for entry in families().values() if entry.origin.startswith("forescale."))


class TestCatalogue(LawCase):
    laws = tuple(law for law in (*BUILT_IN, *MEMBERS) if law.schedule is None)


class TestCurveLaws(CurveCase):
    laws = tuple(law for law in (*BUILT_IN, *MEMBERS) if law.schedule is not None)


def test_the_catalogue_holds_what_is_promised() -> None:
    promised = {"power", "power-floor", "chinchilla", "kaplan", "skaling", "farseer", "overtraining"}
    assert promised <= set(catalogue())


@pytest.mark.parametrize(
    ("source", "n", "d", "loss"),
    [
        ("hoffmann2022@printed", 3.219e10, 2.982e12, 1.9307),
        ("hoffmann2022", 4.036e10, 2.379e12, 1.9184),
        ("besiroglu2024@printed", 7.225e10, 1.329e12, 1.9744),
    ],
)
def test_chinchilla_optimum_at_its_own_budget(source: str, n: float, d: float, loss: float) -> None:
    law = find("chinchilla")
    params = law.constants(source)
    assert law.optimum is not None
    best = law.optimum(5.76e23, **params)
    assert best["N"] == pytest.approx(n, rel=1e-3)
    assert best["D"] == pytest.approx(d, rel=1e-3)
    assert float(law(params, **best)) == pytest.approx(loss, abs=6e-5)


@pytest.mark.parametrize(
    ("source", "ratios"),
    [
        ("hoffmann2022@printed", (40.08, 62.58, 97.73)),
        ("hoffmann2022", (27.76, 41.43, 61.83)),
        ("besiroglu2024", (22.88, 20.37, 18.14)),
        ("muennighoff2023-c4", (19.61, 19.61, 19.61)),
    ],
)
def test_tokens_per_parameter(source: str, ratios: tuple[float, ...]) -> None:
    law = find("chinchilla")
    assert law.optimum is not None
    for budget, ratio in zip((1e20, 1e22, 1e24), ratios):
        best = law.optimum(budget, **law.constants(source))
        assert best["D"] / best["N"] == pytest.approx(ratio, rel=1e-3)


def test_muennighoff_constants() -> None:
    params = find("chinchilla").constants("muennighoff2023-c4")
    assert params["A"] == pytest.approx(520.825, rel=1e-5)
    assert params["B"] == pytest.approx(1487.716, rel=1e-6)
    assert params["E"] == pytest.approx(1.86914, rel=1e-5)


def test_overtraining_is_chinchilla_with_equal_exponents() -> None:
    law, chinchilla = find("overtraining"), find("chinchilla")
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(7, 11, 50), 10 ** rng.uniform(8, 13, 50)
    for source, best in (("gadre2024-c4", 3.36), ("gadre2024-redpajama", 7.42), ("gadre2024-refinedweb", 5.85)):
        p = law.constants(source)
        eta = p["eta"]
        same = {"E": p["E"], "A": p["a"] * 6**-eta, "B": p["b"] * 6**-eta, "alpha": 2 * eta, "beta": 2 * eta}
        np.testing.assert_allclose(law(p, N=N, D=D), chinchilla(same, N=N, D=D), rtol=1e-12)
        assert (p["b"] / p["a"]) ** (1 / (2 * eta)) == pytest.approx(best, abs=0.006)
    assert "compute-optimal" in law.refuses


@pytest.mark.parametrize(
    ("corpus", "source", "errors"),
    [
        ("rpj", "gadre2024-redpajama", {("open_lm_1b", 640): 0.7103, ("open_lm_7b", 20): 0.7320}),
        ("c4_original", "gadre2024-c4", {("open_lm_7b", 20): 4.295}),
        ("rw_original", "gadre2024-refinedweb", {("open_lm_7b", 20): 1.619}),
    ],
)
def test_the_protocol_of_gadre(corpus: str, source: str, errors: dict[tuple[str, int], float]) -> None:
    if "FORESCALE_MIRROR" not in os.environ:
        pytest.skip("FORESCALE_MIRROR names no local folder of public data")
    runs = dataset("gadre_overtraining")
    runs = runs.where(runs.labels["dataset"] == corpus)
    multiplier = np.round(runs["M"])
    small = ((multiplier == 20) & (runs["N"] < 5e8)) | ((multiplier == 320) & (runs["N"] < 2e7))
    assert small.sum() == 5
    law = find("overtraining")
    found = fit(runs.where(small), law, loss="squared")
    for name, value in law.constants(source).items():
        assert found.params[name] == pytest.approx(value, rel=1e-8)
    for name, value in law.published[source].printed.items():
        assert found.params[name] == pytest.approx(value, rel=5e-5)
    for (model, m), error in errors.items():
        row = int(np.flatnonzero((runs.labels["model"] == model) & (multiplier == m))[0])
        measured = runs["loss"][row]
        predicted = float(law(found.params, N=runs["N"][row], D=runs["D"][row]))
        assert 100 * abs(predicted / measured - 1) == pytest.approx(error, abs=6e-5 if error < 1 else 6e-4)


def test_skaling_contains_chinchilla_kaplan_and_the_gamma_form() -> None:
    law = find("skaling")
    rng = np.random.default_rng(1)
    N, D = 10 ** rng.uniform(7, 11, 50), 10 ** rng.uniform(8, 13, 50)
    c = find("chinchilla").constants("besiroglu2024")
    one = {"E": c["E"], "A": c["A"], "alpha": c["alpha"], "R": c["B"] / c["A"], "beta": c["beta"], "k": 1.0}
    np.testing.assert_allclose(law(one, N=N, D=D), find("chinchilla")(c, N=N, D=D), rtol=1e-12)
    k = find("kaplan").constants("kaplan2020")
    p = k["alpha_N"] / k["alpha_D"]
    joint = {"E": 0.0, "A": k["N_c"] ** k["alpha_N"], "alpha": p, "R": k["D_c"] * k["N_c"] ** -p, "beta": 1.0}
    np.testing.assert_allclose(law({**joint, "k": k["alpha_D"]}, N=N, D=D), find("kaplan")(k, N=N, D=D), rtol=1e-10)
    A, B, a, b, g = 300.0, 900.0, 0.5, 0.45, 0.6
    gamma = {"E": 1.5, "A": A**g, "alpha": a, "R": B / A, "beta": b, "k": g}
    np.testing.assert_allclose(law(gamma, N=N, D=D), 1.5 + (A * N**-a + B * D**-b) ** g, rtol=1e-12)


def local_minimum(law: Law, params: dict[str, float], budget: float) -> float | None:
    """D/N between 1 and 2,000 where the loss has a stationary point of positive curvature."""
    ratio = np.geomspace(1.0, 2000.0, 4001)

    def loss(log_m: object) -> object:
        return law.formula(N=(budget / 6 / np.exp(log_m)) ** 0.5, D=(budget / 6 * np.exp(log_m)) ** 0.5, **params)

    slope = value_and_jacobian(loss, np.log(ratio)[:, None])[1][:, 0, 0]
    rising = np.flatnonzero((slope[:-1] < 0) & (slope[1:] >= 0))
    return float(ratio[rising[0]]) if rising.size else None


@pytest.mark.parametrize(
    ("source", "ratios"),
    [
        ("farseer-refit", {1e18: 65.0, 1e20: 25.22, 1e22: 42.70, 1e24: 195.2, 1e25: 549.0}),
        ("li2025farseer", {1e18: 64.1, 1e20: 10.8, 1e22: 13.9, 1e23: None, 1e24: None}),
    ],
)
def test_farseer_local_optima(source: str, ratios: dict[float, float | None]) -> None:
    law = find("farseer")
    for budget, ratio in ratios.items():
        found = local_minimum(law, law.constants(source), budget)
        if ratio is None:
            assert found is None
        else:
            assert found == pytest.approx(ratio, rel=5e-3)


def test_kaplan_split_has_its_exponent() -> None:
    law = find("kaplan")
    assert law.optimum is not None
    p = law.constants("kaplan2020")
    growth = math.log10(law.optimum(1e22, **p)["N"] / law.optimum(1e21, **p)["N"])
    assert growth == pytest.approx(1 / (1 + p["alpha_N"] / p["alpha_D"]), rel=1e-12)


def test_the_amplitude_form_of_kaplan() -> None:
    n = find("kaplan-N").constants("kaplan2020")
    assert n["N_c"] ** n["alpha_N"] == pytest.approx(11.48, abs=0.005)
    c = find("power").constants("kaplan2020")
    same = find("kaplan-C").constants("kaplan2020")
    at = np.geomspace(1e17, 1e24, 9)
    np.testing.assert_allclose(find("power")(c, C=at), find("kaplan-C")(same, C=at), rtol=1e-12)


def test_describe_shows_printed_and_full_precision() -> None:
    text = describe(find("chinchilla"))
    assert "1.693373681" in text
    assert "1.69\n" in text
    assert "as printed" in text
    assert "E + A / N^alpha + B / D^beta" in text
    assert "2203.15556" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(LawError, match="did you mean 'chinchilla'"):
        find("chinchila")
    with pytest.raises(LawError, match="did you mean 'hoffmann2022'"):
        find("chinchilla").constants("hofmann2022")
    with pytest.raises(LawError, match="names 2 columns"):
        find("power(N, D)")

# SPDX-License-Identifier: Apache-2.0
"""Mixtures: the exponential law of the shares, and laws of size, tokens and mixture together."""

from __future__ import annotations

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import LawError
from forescale.laws import find
from forescale.laws.mixing import from_paper
from forescale.numerics.jet import value_and_jacobian
from forescale.runs.table import Runs

NAMES = ("arxiv", "book", "c4", "github")


def simplex(rows: int, domains: int, seed: int = 0) -> dict[str, np.ndarray]:
    w = np.random.default_rng(seed).dirichlet(np.ones(domains), rows)
    return {name: w[:, j] for j, name in enumerate(NAMES[:domains])}


# -- the exponential law --------------------------------------------------------------------------------------------


def test_it_is_the_law_of_the_paper() -> None:
    """L = c + k exp(sum_j t_j r_j) with K_j = k exp(t_j)."""
    w, k, t = simplex(50, 3), 0.7, np.array([-2.0, 0.4, 1.1])
    law = find("mixing-exponential(arxiv, book, c4)")
    K = from_paper(k, t)
    params = {"c": 1.3, "K_arxiv": K[0], "K_book": K[1], "K_c4": K[2]}
    expected = 1.3 + k * np.exp(sum(t_j * w[name] for t_j, name in zip(t, w)))
    np.testing.assert_allclose(law(params, **w), expected, rtol=1e-13)


def test_one_number_of_the_paper_is_redundant() -> None:
    """A constant added to all t is taken back by k: the simplex cannot tell, and K does not change."""
    t = np.array([-2.0, 0.4, 1.1])
    np.testing.assert_allclose(from_paper(0.7 * np.exp(-0.9), t + 0.9), from_paper(0.7, t), rtol=1e-13)


def test_all_parameters_are_determined_on_the_simplex() -> None:
    w = simplex(60, 4)
    law = find("mixing-exponential(arxiv, book, c4, github)")
    theta = np.array([[1.3, 0.2, 0.9, 2.0, 0.6]])
    jacobian = value_and_jacobian(lambda *p: law.formula(**w, **dict(zip(law.names, p))), theta)[1][0]
    assert np.linalg.cond(jacobian / np.linalg.norm(jacobian, axis=1)[:, None]) < 100


def test_a_single_domain_has_its_own_excess() -> None:
    law = find("mixing-exponential(arxiv, book)")
    params = {"c": 1.0, "K_arxiv": 0.3, "K_book": 0.8}
    assert float(law(params, arxiv=1.0, book=0.0)) == pytest.approx(1.3, rel=1e-14)
    assert float(law(params, arxiv=0.0, book=1.0)) == pytest.approx(1.8, rel=1e-14)
    assert float(law(params, arxiv=0.5, book=0.5)) == pytest.approx(1 + np.sqrt(0.24), rel=1e-14)
    # Weights need not sum to one.
    assert float(law(params, arxiv=2.0, book=6.0)) == pytest.approx(float(law(params, arxiv=0.25, book=0.75)))


@pytest.mark.parametrize("seed", range(3))
def test_shares_of_zero_are_fitted(seed: int) -> None:
    """Noise of .3 %: predictions come back to a few standard errors, sqrt(4 / 60) of it on average."""
    w = simplex(60, 3, seed)
    w["book"] = np.where(np.arange(60) % 3 == 0, 0.0, w["book"])
    law = find("mixing-exponential(arxiv, book, c4)")
    true = {"c": 1.5, "K_arxiv": 0.2, "K_book": 1.0, "K_c4": 2.0}
    noise = np.exp(0.003 * np.random.default_rng(seed).standard_normal(60))
    fit = fs.fit(Runs.from_columns({**w, "loss": law(true, **w) * noise}), law)
    assert fit.convergence is not None
    assert fit.convergence.certified
    error = np.abs(law(fit.params, **w) / law(true, **w) - 1)
    assert np.sqrt(np.mean(error**2)) < 0.003 * np.sqrt(4 / 60) * 3


def test_prefixes_are_left_out_of_names() -> None:
    law = find("mixing-exponential(weight_c4, weight_book)")
    assert law.names == ("c", "K_c4", "K_book")
    assert law.inputs == ("weight_c4", "weight_book")


def test_a_mixture_has_two_domains() -> None:
    with pytest.raises(LawError, match="1 columns"):
        find("mixing-exponential(arxiv)")
    with pytest.raises(LawError, match="4 or more"):
        find("mixture-joint(N, D, arxiv)")


# -- size, tokens and mixture ---------------------------------------------------------------------------------------


def additive(w: dict[str, np.ndarray]) -> dict[str, float]:
    params = {"E": 1.1, "A": 300.0, "alpha": 0.33, "B": 500.0, "beta": 0.35}
    for i, name in enumerate(w):
        params |= {f"C_{name}": 0.5 + 0.6 * i, f"gamma_{name}": 0.3 + 0.1 * i}
    return params


def grid(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"N": 10 ** rng.uniform(8, 9.5, rows), "D": 10 ** rng.uniform(9.3, 11, rows)}


def test_the_additive_form() -> None:
    """E + 1 / sum C_i h_i^gamma_i + A / N^alpha + B / D^beta."""
    w, at = simplex(40, 3), grid(40)
    law, p = find("mixture-additive(N, D, arxiv, book, c4)"), additive(simplex(40, 3))
    use = sum(p[f"C_{name}"] * h ** p[f"gamma_{name}"] for name, h in w.items())
    expected = p["E"] + 1 / use + p["A"] * at["N"] ** -p["alpha"] + p["B"] * at["D"] ** -p["beta"]
    np.testing.assert_allclose(law(p, **at, **w), expected, rtol=1e-13)


def test_joint_with_equal_penalties_is_additive() -> None:
    w, at = simplex(40, 3), grid(40)
    p = additive(w)
    same = {k: v for k, v in p.items() if k not in ("A", "B")}
    same |= {f"A_{name}": p["A"] for name in w} | {f"B_{name}": p["B"] for name in w}
    joint = find("mixture-joint(N, D, arxiv, book, c4)")
    np.testing.assert_allclose(joint(same, **at, **w), find("mixture-additive(N, D, arxiv, book, c4)")(p, **at, **w))


def test_at_one_mixture_it_is_chinchilla() -> None:
    w = {"arxiv": 0.2, "book": 0.5, "c4": 0.3}
    at = grid(40)
    law = find("mixture-joint(N, D, arxiv, book, c4)")
    p = {k: v for k, v in additive({k: np.array(v) for k, v in w.items()}).items() if k not in ("A", "B")}
    A, B = {"arxiv": 200.0, "book": 500.0, "c4": 300.0}, {"arxiv": 900.0, "book": 400.0, "c4": 600.0}
    p |= {f"A_{k}": v for k, v in A.items()} | {f"B_{k}": v for k, v in B.items()}
    use = sum(p[f"C_{k}"] * h ** p[f"gamma_{k}"] for k, h in w.items())
    same = {
        "E": p["E"] + 1 / use, "alpha": p["alpha"], "beta": p["beta"],
        "A": sum(A[k] * h for k, h in w.items()), "B": sum(B[k] * h for k, h in w.items()),
    }  # fmt: skip
    np.testing.assert_allclose(law(p, **at, **w), find("chinchilla")(same, **at), rtol=1e-12)


def test_a_domain_that_is_absent_counts_for_nothing() -> None:
    w = {"arxiv": np.array([0.4]), "book": np.array([0.6]), "c4": np.array([0.0])}
    p, at = additive(w), {"N": 1e9, "D": 1e10}
    law = find("mixture-additive(N, D, arxiv, book, c4)")
    without = {k: v for k, v in p.items() if not k.endswith("_c4")}
    two = find("mixture-additive(N, D, arxiv, book)")
    np.testing.assert_allclose(law(p, **at, **w), two(without, **at, arxiv=0.4, book=0.6), rtol=1e-14)
    theta = np.array([list(p.values())])

    def formula(*values: object) -> object:
        return law.formula(**at, **w, **dict(zip(p, values)))

    assert np.isfinite(value_and_jacobian(formula, theta)[1]).all()


@pytest.mark.parametrize("kind", ["additive", "joint"])
def test_recovery_with_noise(kind: str) -> None:
    w, at = simplex(240, 3, 4), grid(240, 4)
    law = find(f"mixture-{kind}(N, D, arxiv, book, c4)")
    p = additive(w)
    if kind == "joint":
        p |= {f"{head}_{name}": p[head] * (1 + 0.4 * i) for head in ("A", "B") for i, name in enumerate(w)}
        del p["A"], p["B"]
    true = law(p, **at, **w)
    noisy = true * np.exp(0.003 * np.random.default_rng(2).standard_normal(240))
    fit = fs.fit(Runs.from_columns({**at, **w, "loss": noisy}), law)
    assert fit.convergence is not None
    assert fit.convergence.certified
    error = law(fit.params, **at, **w) / true - 1
    assert np.sqrt(np.mean(error**2)) < 0.003 * np.sqrt(len(p) / 240) * 1.6

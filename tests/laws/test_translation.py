# SPDX-License-Identifier: Apache-2.0
"""Translation: check n1, the split of encoder and decoder, effective parameters, BLEU, and the test of alignment."""

from __future__ import annotations

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, QueryError
from forescale.laws import find
from forescale.laws.multilingual import fraction, fraction_of_penalties
from forescale.laws.transfer_translation import Advice, advise, alignment, first_tokens, tokens_for
from forescale.laws.translation import split
from forescale.runs.table import Runs

# -- Ghorbani et al. 2021 -------------------------------------------------------------------------------------------


def test_the_best_split_is_in_proportion_to_the_exponents() -> None:
    encoder, decoder = split(3e9, 0.1, 0.2)
    assert encoder == pytest.approx(1e9, rel=1e-14)
    assert decoder == pytest.approx(2e9, rel=1e-14)
    law, params = find("encoder-decoder"), {"E": 1.1, "A": 60.0, "p_e": 0.1, "p_d": 0.2}
    share = np.linspace(0.01, 0.99, 9801)
    loss = law(params, N_enc=3e9 * share, N_dec=3e9 * (1 - share))
    assert share[np.argmin(loss)] == pytest.approx(1 / 3, abs=1e-3)
    # at the best split the reducible loss falls as the total to the power p_e + p_d
    total = np.array([1e8, 1e9])
    at = dict(zip(("N_enc", "N_dec"), split(total, 0.1, 0.2)))
    excess = law(params, **at) - params["E"]
    assert np.log(excess[0] / excess[1]) / np.log(10) == pytest.approx(0.3, rel=1e-12)


def test_test_sets_share_exponents() -> None:
    rng = np.random.default_rng(3)
    law, sets = find("encoder-decoder"), {"source": (1.3, 50.0), "target": (0.9, 80.0)}
    names = np.repeat(list(sets), 40)
    at = {"N_enc": 10 ** rng.uniform(7.5, 9, 80), "N_dec": 10 ** rng.uniform(7.5, 9, 80)}
    E, A = (np.array([sets[name][i] for name in names]) for i in (0, 1))
    y = law({"E": E, "A": A, "p_e": 0.12, "p_d": 0.21}, **at) + 0.003 * rng.standard_normal(80)
    runs = Runs.from_columns({**at, "loss": y, "group": names.tolist()})
    fit = fs.fit(runs, law, group_by="group", separate=["E", "A"])
    assert fit.convergence is not None
    assert fit.convergence.certified
    low, high = (fit.intervals["wald"]["p_e"][i] for i in (0, 1))
    assert fit.params["p_e"] == pytest.approx(0.12, abs=1.6 * (high - low))


# -- Gordon et al. 2021 (check n1), Bansal et al. 2022 --------------------------------------------------------------


@pytest.mark.parametrize(("pair", "loss"), [("ru", 1.51917), ("de", 1.13802), ("zh", 1.28232)])
def test_gordon(pair: str, loss: float) -> None:
    law = find("translation-joint")
    assert float(law(law.constants(f"gordon2021-{pair}-en"), N=5.6e7, D=5e7)) == pytest.approx(loss, abs=1e-5)


def test_gordon_is_kaplan() -> None:
    """N_c = A^(b/a) and D_c = B, with alpha_N = a, alpha_D = b."""
    law = find("translation-joint")
    p = law.constants("gordon2021-de-en")
    same = {"N_c": p["A"] ** (p["b"] / p["a"]), "D_c": p["B"], "alpha_N": p["a"], "alpha_D": p["b"]}
    at = {"N": np.geomspace(4e5, 5e7, 9), "D": np.geomspace(4e4, 5e7, 9)}
    np.testing.assert_allclose(law(p, **at), find("kaplan")(same, **at), rtol=1e-12)


def test_bansal_is_m3() -> None:
    law = find("translation-pairs")
    at = np.geomspace(0.5, 500, 9)
    assert len(law.published) == 12
    for source in law.published:
        p = law.constants(source)
        same = {"A": p["B"], "K": 1 / p["E"], "alpha": p["b"]}
        np.testing.assert_allclose(law(p, D=at), find("m3")(same, D=at), rtol=1e-13)


def test_noise_costs_a_constant_factor_of_data() -> None:
    """Equal exponents: where pairs are few, B_1 D_1^-b = B_2 D_2^-b for one ratio of D."""
    law = find("translation-pairs")
    clean, noisy = law.constants("bansal2022-bicleaner"), law.constants("bansal2022-no-filtering")
    factor = (noisy["B"] / clean["B"]) ** (1 / clean["b"])
    D = np.geomspace(1e-6, 1e-4, 5)
    np.testing.assert_allclose(law(noisy, D=factor * D), law(clean, D=D), rtol=1e-4)


# -- BLEU -----------------------------------------------------------------------------------------------------------


def test_bleu_is_a_power_of_the_loss() -> None:
    law = find("bleu-loss")
    rng = np.random.default_rng(0)
    loss = rng.uniform(0.9, 3.0, 40)
    runs = Runs.from_columns({"loss": loss, "bleu": 40 * loss**-1.5 * np.exp(0.01 * rng.standard_normal(40))})
    fit = fs.fit(runs, law)
    assert fit.params["p"] == pytest.approx(1.5, abs=4 * 0.01 / np.sqrt(40) / np.std(np.log(loss)))
    assert law.output == "bleu"


ISIK = {"A": 1e-3, "alpha": 0.5, "beta": 1.5}


@pytest.mark.parametrize(("D", "bleu"), [(1e8, 3.494004), (1e9, 6.418897), (1e10, 9.882539), (1e11, 13.811268)])
def test_the_logarithmic_law(D: float, bleu: float) -> None:
    # log(10)^1.5 is 3.494005; the notes print 3.494004
    assert float(find("bleu-pretraining")(ISIK, D=D)) == pytest.approx(bleu, abs=1.5e-6)
    assert float(tokens_for(bleu, **ISIK)) == pytest.approx(D, rel=1e-6)


def test_the_inverse_is_an_identity() -> None:
    D = np.geomspace(1e7, 1e13, 25)
    np.testing.assert_allclose(tokens_for(find("bleu-pretraining")(ISIK, D=D), **ISIK), D, rtol=1e-12)


def test_below_its_domain_it_says_nothing() -> None:
    """log(A D^alpha) must be positive; the guard answers zero, and rises from there."""
    law = find("bleu-pretraining")
    begin = float(first_tokens(A=ISIK["A"], alpha=ISIK["alpha"]))
    assert begin == pytest.approx(1e6, rel=1e-12)
    assert (law(ISIK, D=np.array([1.0, 1e3, 0.999 * begin])) < 1e-15).all()
    rising = law(ISIK, D=begin * np.geomspace(1.01, 1e6, 50))
    assert (np.diff(rising) > 0).all()


def test_cross_entropy_is_a_power_with_floor() -> None:
    """Four smallest fitted, the rest held out: the protocol of the paper, on its own form."""
    D = np.geomspace(1e9, 2.6e11, 9)
    runs = Runs.from_columns({"D": D, "loss": 0.8 + 30 * D**-0.2})
    fit = fs.fit(runs.where(np.arange(9) < 4), "power-floor(D)")
    np.testing.assert_allclose(fit.predict(runs).estimate, runs["loss"], rtol=1e-8)


# -- the test of alignment ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "score"),
    [(0.5, 0.5, 1.0), (1.0, 0.0, 0.7), (0.0, 1.0, 0.8), (0.3, 0.7, 0.98), (0.7, 0.3, 0.94)],
)
def test_alignment_scores(source: float, target: float, score: float) -> None:
    assert float(alignment(source, target)) == pytest.approx(score, abs=1e-12)


def test_alignment_needs_shares() -> None:
    with pytest.raises(QueryError, match="sum to at most one"):
        alignment(0.8, 0.3)


def checkpoints(y: np.ndarray) -> Advice:
    D = np.geomspace(1e9, 1e11, y.size)
    fit = fs.fit(Runs.from_columns({"D": D, "bleu": y}), "bleu-pretraining")
    return advise(D, y, fit.predict(D=D).estimate, noise=0.1)


def test_the_decision() -> None:
    """Seeded noise of .1 BLEU on the law, on a curve that breaks, and on none."""
    rng, D = np.random.default_rng(1), np.geomspace(1e9, 1e11, 7)
    rising = find("bleu-pretraining")(ISIK, D=D)
    noise = 0.1 * rng.standard_normal(7)
    assert checkpoints(rising + noise).verdict == "aligned"
    broken = rising + noise - np.array([0, 0, 0, 2.0, 0, 1.5, 3.0])
    assert checkpoints(broken).verdict == "misaligned"
    flat = advise(D, 20.0 + 0.4 * noise, np.full(7, 20.0), noise=0.1)
    assert flat.verdict == "no use"
    misfit = advise(D, rising, rising + np.array([0.6, -0.6, 0.6, -0.6, 0.6, -0.6, 0.6]), noise=0.1)
    assert misfit.verdict == "misaligned"
    with pytest.raises(DataError, match="3 or more"):
        advise(D[:2], rising[:2], rising[:2], noise=0.1)


# -- Fernandes et al. 2023 ------------------------------------------------------------------------------------------


def test_without_synergy_a_task_has_its_share() -> None:
    p = np.linspace(0.05, 1.0, 20)
    np.testing.assert_allclose(fraction(p, 0.0, 0.5, 1.0), p, rtol=1e-15)
    np.testing.assert_allclose(fraction(np.array([0.0, 1.0]), 0.4, 0.5, 1.0), [0.0, 1.0], atol=0)
    law = find("effective-parameters")
    params = {"E": 0.8, "A": 20.0, "alpha": 0.2, "c1": 0.0, "c2": 0.5, "c3": 1.0}
    alone = find("power-floor(N)")({"E": 0.8, "A": 20.0, "alpha": 0.2}, N=0.3e9)
    assert float(law(params, N=1e9, share=0.3)) == pytest.approx(float(alone), rel=1e-14)


def test_half_the_parameters_cost_a_penalty_of_1_2311() -> None:
    penalty = 0.5**-0.3
    assert penalty == pytest.approx(1.2311, abs=5e-5)
    assert float(fraction_of_penalties(penalty, 1.0, 0.3)) == pytest.approx(0.5, rel=1e-14)


def test_the_grouped_fit_gives_f() -> None:
    """The paper's first step: one E and alpha, an A per weight; f follows, and is the parametric one."""
    weights = np.array([0.1, 0.3, 0.5, 0.7, 1.0])
    N, p = (a.ravel() for a in np.meshgrid(np.geomspace(2e7, 1e9, 6), weights))
    law, params = find("effective-parameters"), {"E": 0.8, "A": 20.0, "alpha": 0.2, "c1": 0.2, "c2": 0.5, "c3": 1.0}
    rng = np.random.default_rng(0)
    y = law(params, N=N, share=p) * np.exp(0.001 * rng.standard_normal(N.size))
    labels = [f"{value:g}" for value in p.tolist()]
    runs = Runs.from_columns({"N": N, "share": p, "loss": y, "group": labels})
    fit = fs.fit(runs, "power-floor(N)", group_by="group", separate=["A"])
    A = np.array([fit.params[f"A[{w:g}]"] for w in weights])
    found = fraction_of_penalties(A, A[-1], fit.params["alpha"])
    np.testing.assert_allclose(found, fraction(weights, 0.2, 0.5, 1.0), rtol=0.05)
    whole = fs.fit(runs, law)
    assert whole.convergence is not None
    assert whole.convergence.certified
    np.testing.assert_allclose(whole.predict(runs).estimate, law(params, N=N, share=p), rtol=2e-3)


def test_no_weight_is_no_model() -> None:
    law = find("effective-parameters")
    params = {"E": 0.8, "A": 20.0, "alpha": 0.2, "c1": 0.2, "c2": 0.5, "c3": 1.0}
    assert np.isinf(float(law(params, N=1e9, share=0.0)))

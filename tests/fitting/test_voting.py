# SPDX-License-Identifier: Apache-2.0
"""Votes: Condorcet, ties, exact draws against all subsets, weighted votes, limits, spread of tokens."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from forescale.core.errors import DataError
from forescale.fitting.estimators import voting
from forescale.fitting.estimators.success_rates import all_of_k, best_of_each, best_of_n, pass_at_k
from forescale.fitting.estimators.voting import (
    Ballot,
    ballot,
    exponent,
    modal,
    plurality,
    plurality_of_shares,
    spread,
    weighted_vote,
    within_correlation,
)

RNG = np.random.default_rng(0)


def of(counts: list[float], credit: list[float], silent: float = 0.0) -> Ballot:
    return Ballot(np.array(counts, dtype=float), np.array(credit, dtype=float), silent)


@pytest.mark.parametrize(
    ("counts", "n", "expected"),
    [
        ([6, 4], 3, 0.648), ([6, 4], 5, 0.68256), ([6, 4], 11, 0.753498), ([6, 4], 51, 0.926471),
        ([6, 4], 101, 0.979103), ([45, 55], 11, 0.366877), ([45, 55], 101, 0.156245),
        ([4, 3, 3], 1, 0.4), ([4, 3, 3], 3, 0.424), ([4, 3, 3], 5, 0.44704), ([4, 3, 3], 9, 0.48865),
        ([4, 3, 3], 15, 0.534102), ([4, 3, 3], 31, 0.620596),
    ],
)  # fmt: skip
def test_votes_of_new_samples(counts: list[float], n: int, expected: float) -> None:
    """Condorcet with p = .6 and .45; plurality of (.4, .3, .3), ties split."""
    found = plurality_of_shares(of(counts, [1.0, *([0.0] * (len(counts) - 1))]), n, RNG)
    assert found == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(("shares", "expected"), [([4, 3, 3], 0.0072056), ([5, 3, 2], 0.0257316)])
def test_exponents(shares: list[float], expected: float) -> None:
    assert exponent(of(shares, [1, 0, 0])) == pytest.approx(expected, abs=6e-8)


def test_the_exponent_is_the_rate_of_wrong_votes() -> None:
    """-log(share of votes that go wrong) grows by I for each further sample, up to a power of k."""
    b = of([6, 4], [1, 0])
    k = np.array([101, 201])
    wrong = [1.0 - plurality_of_shares(b, int(n), RNG) for n in k]
    slope = math.log(wrong[0] / wrong[1]) / 100
    # the factor 1 / sqrt(k) adds log(201 / 101) / 2 over these hundred samples; the factor 1 + O(1 / k) is left
    assert slope - 0.5 * math.log(201 / 101) / 100 == pytest.approx(exponent(b), rel=0.05)


def test_exact_is_the_mean_over_all_subsets() -> None:
    """Four answers, one graded unevenly, two samples without an answer: every subset of ten, for every k."""
    answers = [0, 0, 0, 1, 1, 2, 3, 3, -1, -1]
    credit = [1.0, 0.0, 0.0, 0.5]
    b = of([3, 2, 1, 2], credit, silent=2)
    for k in range(1, 11):
        total = 0.0
        for subset in itertools.combinations(answers, k):
            votes = [subset.count(a) for a in range(4)]
            if max(votes) > 0:
                winners = [a for a in range(4) if votes[a] == max(votes)]
                total += sum(credit[a] for a in winners) / len(winners)
        assert plurality(b, k, RNG) == pytest.approx(total / math.comb(10, k), abs=1e-13)


def test_subsamples_agree_with_the_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within four standard errors of 1,000 subsamples, for votes of old and of new samples."""
    b = of([30, 20, 15, 10, 5, *([1] * 20)], [1, *([0] * 24)])
    for vote in (plurality, plurality_of_shares):
        exact = [vote(b, k, RNG) for k in (4, 16, 40)]
        monkeypatch.setattr(voting, "EXACT", 0)
        rough = [vote(b, k, np.random.default_rng(3)) for k in (4, 16, 40)]
        monkeypatch.undo()
        np.testing.assert_allclose(rough, exact, atol=4 * 0.5 / math.sqrt(voting.SUBSAMPLES))


def test_all_samples_vote_once() -> None:
    """k = n is one vote: the modal answer, ties split; never drawn with replacement."""
    assert plurality(of([3, 2], [1, 0]), 5, RNG) == pytest.approx(1.0)
    assert plurality(of([2, 2], [1, 0]), 4, RNG) == pytest.approx(0.5)
    assert plurality(of([2, 3], [1, 0]), 5, RNG) == pytest.approx(0.0, abs=1e-12)
    assert modal(of([2, 2], [1, 0])) == 0.5
    assert modal(of([3, 2], [1, 0])) == 1.0
    with pytest.raises(DataError, match="5 of 4"):
        plurality(of([2, 2], [1, 0]), 5, RNG)


def test_one_sample_is_its_accuracy() -> None:
    b = of([3, 2, 4], [1, 0, 0], silent=1)
    assert plurality(b, 1, RNG) == pytest.approx(0.3, abs=1e-13)
    assert plurality_of_shares(b, 1, RNG) == pytest.approx(0.3, abs=1e-13)


def test_ballots() -> None:
    """Codes need not be dense; silent samples vote for nothing; nothing at all is never right."""
    b = ballot(np.array([7, 7, 2, 9]), np.array([1.0, 0.0, 0.0, 1.0]), np.array([False, False, False, True]))
    assert b.counts.tolist() == [1.0, 2.0]
    assert b.credit.tolist() == [0.0, 0.5]
    assert b.silent == 1.0
    none = ballot(np.array([1, 1]), np.array([0.0, 0.0]), np.array([True, True]))
    assert plurality(none, 2, RNG) == 0.0
    assert modal(none) == 0.0


def test_weighted_votes() -> None:
    """Equal weights are a majority; one sure sample decides; an answer that nobody gave never wins."""
    answers = np.array([0, 0, 1, 1, 1, 2])
    credit = (answers == 0).astype(float)
    heard = np.zeros(6, dtype=bool)
    same = weighted_vote(answers, np.ones(6), credit, heard, [1, 3, 5], np.random.default_rng(1))
    exact = [plurality(of([2, 3, 1], [1, 0, 0]), k, RNG) for k in (1, 3, 5)]
    np.testing.assert_allclose(same, exact, atol=4 * 0.5 / math.sqrt(voting.SUBSAMPLES))
    sure = weighted_vote(answers, np.array([9.0, 9, 1, 1, 1, 1]), credit, heard, [6], np.random.default_rng(1))
    assert sure[0] == 1.0
    negative = weighted_vote(np.array([0, 1]), np.array([-1.0, -2.0]), np.array([1.0, 0.0]), np.zeros(2, dtype=bool),
                             [2], np.random.default_rng(1))  # fmt: skip
    assert negative[0] == 1.0
    with pytest.raises(DataError, match="7 of 6"):
        weighted_vote(answers, np.ones(6), credit, heard, [7], np.random.default_rng(1))


def test_best_and_worst_of_k() -> None:
    """n = 5, c = 3, k = 3: best 1, worst .1; p = .2 and .8 with k = 5."""
    assert float(pass_at_k(5, 3, 3)) == pytest.approx(1.0)
    assert float(all_of_k(5, 3, 3)) == pytest.approx(0.1, abs=1e-12)
    right = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    assert best_of_n(right, right, 3) == pytest.approx(1.0)
    assert best_of_n(-right, right, 3) == pytest.approx(0.1, abs=1e-12)
    # endless samples of a rate
    large = 10_000_000
    assert float(pass_at_k(large, 0.2 * large, 5)) == pytest.approx(0.67232, abs=1e-6)
    assert float(all_of_k(large, 0.2 * large, 5)) == pytest.approx(0.00032, abs=1e-6)
    assert float(pass_at_k(large, 0.8 * large, 5)) == pytest.approx(0.99968, abs=1e-6)
    assert float(all_of_k(large, 0.8 * large, 5)) == pytest.approx(0.32768, abs=1e-6)


def test_best_of_each_is_nakanos_sum() -> None:
    """Gold by ascending proxy (1, 3, 2, 0): 3/2, 7/6, 1/2, 0."""
    found = best_of_each([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 0.0], [1, 2, 3, 4])
    np.testing.assert_allclose(found, [1.5, 7 / 6, 0.5, 0.0], atol=1e-13)


def test_spread_of_tokens() -> None:
    """A one-way analysis of variance recovers the parts it was made of; repeats of one number have none within."""
    rng = np.random.default_rng(5)
    problems = np.repeat(np.arange(400), 10)
    tokens = 1000 + 30 * rng.standard_normal(400)[problems] + 40 * rng.standard_normal(4000)
    found = spread(tokens, problems)
    assert found is not None
    # errors: 900 sqrt(2 / 400) of the between part with its share of the within, 1600 sqrt(2 / 3600)
    assert found.between == pytest.approx(900, abs=4 * 80)
    assert found.within == pytest.approx(1600, abs=4 * 38)
    assert found.icc == pytest.approx(0.36, abs=0.08)
    assert found.repeated == pytest.approx(0.04, abs=0.002)
    flat = spread(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0, 0, 1, 1]))
    assert flat is not None
    assert flat.icc == 1.0
    assert spread(np.arange(4.0), np.zeros(4, dtype=int)) is None
    assert spread(np.arange(4.0), np.arange(4)) is None


def test_correlation_within_problems() -> None:
    """Hard problems are long and wrong; within a problem the longer samples are right: the signs differ."""
    problems = np.repeat([0, 1], 4)
    tokens = np.array([10.0, 11, 12, 13, 1, 2, 3, 4])
    right = np.array([0.0, 0, 0, 1, 0, 1, 1, 1])
    assert np.corrcoef(tokens, right)[0, 1] < 0
    assert within_correlation(tokens, right, problems) > 0.7
    assert math.isnan(within_correlation(tokens, np.ones(8), problems))

# SPDX-License-Identifier: Apache-2.0
"""Which answer wins a vote among samples of one problem, and how often it is the right one.

Expectations are over draws without replacement from the samples that there are (multivariate hypergeometric), exact
where that is cheap and by subsamples where it is not. Drawing with replacement would count one sample twice when k
comes near their number. Ties share the credit evenly; a sample without an answer votes for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from forescale.core.errors import DataError, message

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

EXACT = 500_000
"""Products that an exact expectation may take, some ten milliseconds; beyond, subsamples stand in."""
SUBSAMPLES = 1000
STEPS, FEWEST = 200_000, 200
"""Draws of single samples in the subsamples of one weighted vote, and the fewest subsamples whatever their length."""
TIED = 1e-12
"""Relative difference of two tallies that is rounding."""


@dataclass(frozen=True, eq=False)
class Ballot:
    """The answers to one problem.

    Attributes:
        counts: (A,) samples that gave each answer.
        credit: (A,) share of those that are right: 1 or 0, where equal answers are graded alike.
        silent: samples without an answer.
    """

    counts: Array
    credit: Array
    silent: float = 0.0

    @property
    def total(self) -> float:
        """Number of samples."""
        return float(self.counts.sum()) + self.silent


def ballot(answers: Codes, credit: Array, silent: NDArray[np.bool_]) -> Ballot:
    """Samples of one problem, counted: codes of answers (n,), whether right (n,), whether there is no answer (n,)."""
    _, place = np.unique(answers[~silent], return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    right = np.bincount(place, credit[~silent], minlength=counts.size)
    return Ballot(counts, right / np.maximum(counts, 1.0), float(silent.sum()))


def plurality(of: Ballot, k: int, rng: np.random.Generator) -> float:
    """Chance that the answer of most of k of the samples is right, k at most their number."""
    if k > of.total:
        raise DataError(message(f"a vote of {k} of {of.total:g} samples", "no more than there are"))
    if not of.credit.any():
        return 0.0
    length = int(of.total) + 1
    if _products(of, np.minimum(of.counts, k), k, length) > EXACT:
        parts = np.concatenate([of.counts, [of.silent]]).astype(np.int64)
        drawn = rng.multivariate_hypergeometric(parts, k, size=SUBSAMPLES, method="marginals")
        return _drawn(drawn, of.credit)
    share = k / of.total
    log_factorial = _log_factorials(int(of.total))
    # a binomial weight for each answer: what they have in common divides out, and nothing over- or underflows
    weights = [_binomial(int(c), k, share, log_factorial) for c in of.counts]
    silent = _binomial(int(of.silent), k, share, log_factorial)
    whole = _binomial(int(of.total), k, share, log_factorial)[k]
    return _winner(weights, of.credit, silent, k, length) / float(whole)


def plurality_of_shares(of: Ballot, k: int, rng: np.random.Generator) -> float:
    """The same for any number k of new samples, each answer taken to have the share that it has here (a plug-in)."""
    if not of.credit.any():
        return 0.0
    shares = np.concatenate([of.counts, [of.silent]]) / of.total
    # the sum of the counts is Poisson with mean k: what lies beyond this length is below rounding
    length = 4 * k + 64
    if _products(of, np.full(of.counts.size, float(k)), k, length) > EXACT:
        drawn = rng.multinomial(k, shares, size=SUBSAMPLES)
        return _drawn(drawn, of.credit)
    log_factorial = _log_factorials(k)
    weights = [_poisson(k * share, k, log_factorial) for share in shares]
    return _winner(weights[:-1], of.credit, weights[-1], k, length) / float(_poisson(float(k), k, log_factorial)[k])


def modal(of: Ballot) -> float:
    """What endless votes come to: whether the most frequent answer is right."""
    return float(_won(of.counts[None], of.credit)[0]) if of.counts.size else 0.0


def exponent(of: Ballot) -> float:
    """How fast a vote settles on its limit: another answer wins with a chance ~ exp(-I k).

    I = -log(1 - (sqrt p1 - sqrt p2)^2), where p1 and p2 are the shares of the two most frequent answers: 0 where they
    tie, infinite where all samples agree.
    """
    top = np.sort(of.counts / of.total)[::-1]
    first, second = (float(top[i]) if top.size > i else 0.0 for i in (0, 1))
    with np.errstate(divide="ignore"):
        return float(-np.log1p(-((np.sqrt(first) - np.sqrt(second)) ** 2)))


def weighted_vote(
    answers: Codes,
    scores: Array,
    credit: Array,
    silent: NDArray[np.bool_],
    ks: list[int],
    rng: np.random.Generator,
) -> Array:
    """Chance that the answer with the largest sum of scores among k samples is right, for each of ks, by subsamples.

    Args:
        answers: (n,) integer codes.
        scores: (n,) weight of each sample's vote.
        credit: (n,) 1 where right.
        silent: (n,) samples without an answer; their votes are not counted.
        ks: numbers of samples, none above n.
    """
    _, codes = np.unique(answers, return_inverse=True)
    n, kinds = codes.size, int(codes.max()) + 1
    right = np.bincount(codes, credit) / np.bincount(codes)
    if max(ks) > n:
        raise DataError(message(f"a vote of {max(ks)} of {n} samples", "no more than there are"))
    rows = int(np.clip(STEPS // max(ks), FEWEST, SUBSAMPLES))
    order = rng.permuted(np.broadcast_to(np.arange(n), (rows, n)), axis=1)
    tally = np.zeros((rows, kinds))
    given = np.zeros((rows, kinds), dtype=bool)
    row = np.arange(rows)
    found = np.empty(len(ks))
    done = 0
    for place in np.argsort(ks):
        for column in range(done, ks[place]):
            drawn = order[:, column]
            counted = ~silent[drawn]
            tally[row, codes[drawn]] += np.where(counted, scores[drawn], 0.0)
            given[row, codes[drawn]] |= counted
        done = ks[place]
        # an answer that nobody gave does not win, not even where all scores are negative
        found[place] = _won(np.where(given, tally, -np.inf), right).mean()
    return found


def _drawn(counts: NDArray[np.int64], credit: Array) -> float:
    """Mean credit of the winners of subsamples (S, A + 1); the last column are samples without an answer."""
    votes = counts[:, :-1].astype(np.float64)
    return float(_won(np.where(votes > 0, votes, -np.inf), credit).mean())


def _won(tally: Array, credit: Array) -> Array:
    """(S,) mean credit of the answers of the largest tally; -inf marks answers that nobody gave, 0 if nobody did."""
    most = tally.max(axis=1, keepdims=True)
    some = np.isfinite(most)
    best = some & (tally >= most - TIED * np.abs(np.where(some, most, 0.0)))
    return np.asarray(best @ credit / np.maximum(best.sum(axis=1), 1))


def _winner(weights: list[Array], credit: Array, silent: Array, k: int, length: int) -> float:
    """Coefficient of x^k of the generating function in which a right answer wins, ties shared.

    Answer a wins with m votes if every other has fewer, or ties with t others and takes 1 / (t + 1) of the credit.
    That fraction is the integral of y^t over 0..1, so each other answer stands for sum_{j < m} w_j x^j + y w_m x^m:
    the integral over y is exact by Gauss-Legendre, the coefficient is read off the values at `length` roots of unity.
    Answers of equal weights are raised to their power.
    """
    root = np.exp(-2j * np.pi * np.arange(length) / length)
    total = 0.0
    for a in np.flatnonzero(credit > 0):
        own = weights[a]
        m = np.flatnonzero(own > own.max() * 1e-18)
        m = m[m >= 1]
        others: dict[bytes, tuple[Array, int]] = {}
        for b, w in enumerate(weights):
            if b != a:
                others[w.tobytes()] = (w, others.get(w.tobytes(), (w, 0))[1] + 1)
        ties = min(len(weights) - 1, max(k // int(m[0]) - 1, 0)) if m.size else 0
        y, at = _nodes(ties // 2 + 1)
        power = root[None, :] ** np.arange(int(m.max(initial=0)) + 1)[:, None]
        heard = silent[:length] @ root[None, :] ** np.arange(min(silent.size, length))[:, None]
        product = np.broadcast_to(heard, (m.size, y.size, length)).astype(np.complex128)
        for w, times in others.values():
            full = np.zeros(power.shape[0])
            full[: min(w.size, full.size)] = w[: full.size]
            terms = full[:, None] * power
            fewer = np.cumsum(terms, axis=0) - terms
            factor = fewer[m][:, None, :] + y[None, :, None] * terms[m][:, None, :]
            product *= factor if times == 1 else factor**times
        shift = root[None, :] ** -(k - m)[:, None]
        rest = np.einsum("myl,ml,y->m", product, shift, at).real / length
        total += float(credit[a]) * float(own[m] @ rest)
    return total


@cache
def _nodes(n: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on 0..1."""
    x, w = leggauss(n)
    return 0.5 * (x + 1.0), 0.5 * w


def _products(of: Ballot, most: Array, k: int, length: int) -> float:
    """About the number of products that `_winner` takes; most (A,) votes that each answer can get."""
    nodes = (min(of.counts.size, k) - 1) // 2 + 1
    return float(np.unique(of.counts).size * most[of.credit > 0].sum() * nodes * length)


def _log_factorials(n: int) -> Array:
    """log 0!, ..., log n!"""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, n + 1.0)))])


def _binomial(n: int, k: int, share: float, log_factorial: Array) -> Array:
    """Probabilities of 0..min(n, k) successes of n, each with chance `share`."""
    j = np.arange(min(n, k) + 1)
    if share >= 1.0:
        return np.asarray(j == n, dtype=np.float64)
    log = log_factorial[n] - log_factorial[j] - log_factorial[n - j] + j * np.log(share) + (n - j) * np.log1p(-share)
    return np.asarray(np.exp(log))


def _poisson(mean: float, k: int, log_factorial: Array) -> Array:
    """Probabilities of 0..k events."""
    j = np.arange(k + 1)
    if mean == 0.0:
        return np.asarray(j == 0, dtype=np.float64)
    return np.asarray(np.exp(j * np.log(mean) - mean - log_factorial[: k + 1]))


# ------------------------------------------------------------------------------------------------------ token costs


@dataclass(frozen=True)
class Spread:
    """A one-way random-effects split of a number measured on samples of problems.

    Attributes:
        mean: over all samples.
        between, within: variance of the problems' means, and of samples around them.
        repeated: mean coefficient of variation of the samples of one problem.
    """

    mean: float
    between: float
    within: float
    repeated: float

    @property
    def icc(self) -> float:
        """Intraclass correlation: the part of the variance that the problem explains."""
        total = self.between + self.within
        return self.between / total if total > 0 else float("nan")


def spread(values: Array, problems: Codes) -> Spread | None:
    """Variance between and within problems by analysis of variance; None with one problem or one sample of each."""
    n = np.bincount(problems).astype(np.float64)
    means = np.bincount(problems, values) / n
    groups, total = n.size, float(n.sum())
    if groups < 2 or total <= groups:
        return None
    mean = float(values.mean())
    inside = np.bincount(problems, (values - means[problems]) ** 2)
    within = float(inside.sum()) / (total - groups)
    each = (total - float(n @ n) / total) / (groups - 1)
    between = max(0.0, (float(n @ (means - mean) ** 2) / (groups - 1) - within) / each)
    many = n > 1
    repeated = np.sqrt(inside[many] / (n[many] - 1)) / means[many]
    return Spread(mean, between, within, float(repeated.mean()))


def within_correlation(x: Array, y: Array, problems: Codes) -> float:
    """Correlation of two numbers among samples of the same problem, pooled: differences of problems play no part."""
    n = np.bincount(problems).astype(np.float64)
    u, v = (values - (np.bincount(problems, values) / n)[problems] for values in (x, y))
    scale = float(np.sqrt((u @ u) * (v @ v)))
    return float(u @ v) / scale if scale > 0 else float("nan")

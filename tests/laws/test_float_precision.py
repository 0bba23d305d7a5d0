# SPDX-License-Identifier: Apache-2.0
"""Floating-point training (Sun et al. 2025): the numbers of the notes (checks q1 to q3), limits, closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.laws.float_precision import best_bits, best_split, best_split_scale, critical_tokens, precision
from forescale.runs.table import Runs

LAW = find("float-precision")
P = LAW.constants("sun2025")
SHAPE = {"gamma": P["gamma"], "delta": P["delta"], "nu": P["nu"]}
FORMATS = {"E8M7": (8, 7), "E4M3": (4, 3), "E2M1": (2, 1)}


def value(N: float, D: float, fmt: str, block: float = 128) -> float:
    e, m = FORMATS[fmt]
    return float(LAW(P, N=N, D=D, exponent_bits=e, mantissa_bits=m, block=block))


def test_q1_loss_by_format() -> None:
    assert value(1e9, 1e11, "E4M3") == pytest.approx(2.56307, abs=1e-5)
    assert value(1e9, 1e11, "E2M1") == pytest.approx(2.59787, abs=1e-5)
    without = find("chinchilla")(P, N=1e9, D=1e11)
    assert float(without) == pytest.approx(2.56263, abs=1e-5)


@pytest.mark.parametrize(("fmt", "D"), [("E8M7", 1.7295e15), ("E4M3", 2.7329e13), ("E2M1", 3.9285e11)])
def test_q2_critical_tokens(fmt: str, D: float) -> None:
    e, m = FORMATS[fmt]
    found = float(critical_tokens(1e9, e, m, 128, **P))
    assert found == pytest.approx(D, rel=1e-3)
    # the loss is least there, and the same away on both sides in log D: B D^-beta against D^beta
    here = value(1e9, found, fmt)
    assert here < min(value(1e9, found / 1.1, fmt), value(1e9, 1.1 * found, fmt))
    assert value(1e9, found / 3, fmt) == pytest.approx(value(1e9, 3 * found, fmt), rel=1e-12)


@pytest.mark.parametrize(("D", "bits"), [(1e11, 4.27), (1e12, 5.18), (1e13, 6.28), (1e14, 7.62)])
def test_q3_best_bits(D: float, bits: float) -> None:
    assert float(best_bits(D, 128, **P)) == pytest.approx(bits, abs=0.01)


def test_best_bits_is_the_optimum_at_constant_cost() -> None:
    """At constant N times bits and D the loss with the best split is least at the closed form."""
    D, cost = 1e12, 4e9

    def loss(bits: float) -> float:
        e, m = best_split(bits, P["delta"], P["nu"])
        return float(LAW(P, N=cost / bits, D=D, exponent_bits=e, mantissa_bits=m, block=128))

    best = float(best_bits(D, 128, **P))
    assert loss(best) < min(loss(0.99 * best), loss(1.01 * best))


@pytest.mark.parametrize(
    ("bits", "e", "m", "rounded"), [(4, 1.58, 1.42, "E2M1"), (8, 3.66, 3.34, "E4M3"), (16, 7.81, 7.19, "E8M7")]
)
def test_best_split(bits: int, e: float, m: float, rounded: str) -> None:
    found = best_split(bits, P["delta"], P["nu"])
    assert found == pytest.approx((e, m), abs=0.005)
    assert sum(found) == pytest.approx(bits - 1, abs=1e-12)
    assert FORMATS[rounded] == (round(found[0]), round(found[1]))
    # no other split of these bits loses less
    least = precision(*found, 128, **SHAPE)
    for shift in (-0.1, 0.1):
        assert precision(found[0] + shift, found[1] - shift, 128, **SHAPE) > least


def test_scale_of_the_best_split() -> None:
    scale = best_split_scale(**SHAPE)
    assert scale == pytest.approx(160.70, abs=0.005)
    for bits in (4.0, 8.0, 16.0):
        closed = np.log2(128) / (scale * bits ** (P["delta"] + P["nu"]))
        assert precision(*best_split(bits, P["delta"], P["nu"]), 128, **SHAPE) == pytest.approx(closed, rel=1e-12)
    total = P["delta"] + P["nu"]
    assert (total - P["alpha"]) / (P["alpha"] * P["A"] * scale) == pytest.approx(0.0022433, rel=1e-4)


def test_without_rounding_it_is_chinchilla() -> None:
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(7, 10, 20), 10 ** rng.uniform(9, 12, 20)
    plain = find("chinchilla")(P, N=N, D=D)
    many = LAW(P, N=N, D=D, exponent_bits=1e6, mantissa_bits=1e6, block=128)
    np.testing.assert_allclose(many, plain, rtol=1e-12)
    single = LAW(P, N=N, D=D, exponent_bits=2, mantissa_bits=1, block=1)
    np.testing.assert_allclose(single, plain, rtol=1e-14)


def test_traps() -> None:
    assert set(LAW.refuses) == {"compute-optimal", "reach"}
    assert LAW.floor is None, "with rounding the loss rises without end in tokens"
    assert value(1e9, 1e13, "E2M1") > value(1e9, 4e11, "E2M1")
    assert any("sign" in trap for trap in LAW.traps)


def test_recovery_with_noise() -> None:
    """A grid like the paper's (four sizes, 1e10 to 1e11 tokens) with 0.3 % noise: predictions come back."""
    rng = np.random.default_rng(5)
    axes = ([4.1e7, 8.5e7, 1.54e8, 6.79e8], [1e10, 2e10, 5e10, 1e11], [1, 2, 4, 5], [1, 2, 3], [32, 128])
    N, D, e, m, block = (np.array(a, dtype=float).ravel() for a in np.meshgrid(*axes, indexing="ij"))
    inputs = {"N": N, "D": D, "exponent_bits": e, "mantissa_bits": m, "block": block}
    truth = LAW(P, **inputs)
    runs = Runs.from_columns({**inputs, "loss": truth * np.exp(3e-3 * rng.standard_normal(N.size))})
    found = fit(runs, LAW)
    assert found.convergence is not None
    assert found.convergence.certified
    # eight parameters from 384 rows: sd of a fitted value about 0.3 % sqrt(8 / 384) = 0.04 %, at corners thrice that
    assert np.sqrt(np.mean(np.log(LAW(found.params, **inputs) / truth) ** 2)) < 1e-3
    far = {"N": 7e9, "D": 1e11, "exponent_bits": 4, "mantissa_bits": 3, "block": 128}
    assert float(LAW(found.params, **far)) == pytest.approx(float(LAW(P, **far)), rel=0.02)
    assert best_split(8, found.params["delta"], found.params["nu"])[0] == pytest.approx(3.66, abs=0.15)

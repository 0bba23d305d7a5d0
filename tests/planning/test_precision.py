# SPDX-License-Identifier: Apache-2.0
"""Bits: the planning numbers of Ouyang et al. (2024) and Sun et al. (2025), and optima against closed forms."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from forescale.core.errors import InputError, QuantityError, QueryError, RefusedError
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.laws import find
from forescale.planning import precision
from forescale.planning._bits import Asked, best_budget, whole_split
from forescale.planning._parts import grounds
from forescale.planning._plan import Plan
from forescale.planning._run import plan, read
from forescale.runs.datasets import dataset
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

BASE = find("chinchilla").constants("besiroglu2024")
PTQ = find("quantisation").constants("ouyang2024")
FORMAT = find("float-precision").constants("sun2025")


def integers(gamma_w: float = 2.6, gamma_a: float = 2.2) -> Fit:
    """A fit of training bits with made-up constants: none are published that could be verified."""
    law = find("integer-precision")
    params = {**BASE, "gamma_w": gamma_w, "gamma_a": gamma_a}
    return replace(
        published("chinchilla:besiroglu2024"),
        law=law,
        params={name: params[name] for name in law.names},
        covariance=np.full((7, 7), np.nan),
        draws=np.empty((0, 7)),
        draws_from="none",
        fitted_range={},
        notes=(),
        intervals={},
        source="made up",
    )


def ask(**query: Any) -> Plan:
    return plan("precision", **{"N": "1B", "D": "100B", **query})


class TestPrecision(PlannerCase):
    planners = (precision.planner,)
    # More tokens are lost in quantising; the law of trained models says so whatever the other laws say.
    ladders: ClassVar = {
        "precision": Ladder(
            "D", ("100B", "300B", "1T", "10T"), rising=("rise", "train_bits", "best_bits"), falling=("gain",)
        )
    }


class TestWithIntegers(PlannerCase):
    planners = (precision.planner,)
    grounds: ClassVar = {"precision": (integers(),)}
    ladders: ClassVar = {"precision": Ladder("bits", (2, 3, 4, 6), falling=("rise", "faster", "compute_lost"))}


# ------------------------------------------------------------------------------------- the papers' planning numbers


@pytest.mark.parametrize(
    ("N", "added"), [("7B", (50.3, 5.41, 1.113)), ("70B", (29.9, 3.21, 0.661)), ("405B", (20.1, 2.16, 0.445))]
)
def test_what_quantising_adds_after_1e14_tokens(N: str, added: tuple[float, ...]) -> None:
    """q4 and its table: Ouyang et al. 2024, P = 2, 3, 4; half a unit of the last printed digit."""
    for bits, printed in zip((2, 3, 4), added):
        unit = 0.05 if printed > 10 else 0.005 if printed > 2 else 5e-4
        assert ask(N=N, D="100T", bits=bits)["rise"].value == pytest.approx(printed, abs=1.01 * unit)


def test_what_quantising_adds() -> None:
    """q4: Ouyang et al. 2024, four bits."""
    assert ask(N="7B", D="100T")["rise"].value == pytest.approx(1.1131, abs=1e-4)
    assert ask(N="1B", D="100B")["rise"].value == pytest.approx(0.045952, abs=5e-7)


@pytest.mark.parametrize(("N", "D"), [("1B", 1.65e12), ("7B", 3.80e12), ("70B", 1.0253e13), ("405B", 2.18e13)])
def test_tokens_that_a_tolerance_of_a_fifth_allows(N: str, D: float) -> None:
    """q5: Ouyang et al. 2024, four bits; printed to three digits but for 70B."""
    found = ask(N=N, tolerance=0.2)["allowed_D"].value
    assert found == pytest.approx(D, rel=1e-3 if N == "70B" else 3e-3)
    assert ask(N=N, D=found)["rise"].value == pytest.approx(0.2, rel=1e-12)


def test_formats_of_a_billion_parameters() -> None:
    """q1 and q2: Sun et al. 2025, one scaling factor per 128 numbers."""
    rows = {row["format"]: row for row in ask().table("formats").records()}
    assert rows["E4M3"]["loss"] == pytest.approx(2.56307, abs=1e-5)
    assert rows["E2M1"]["loss"] == pytest.approx(2.59787, abs=1e-5)
    # without the term of rounding: 2.56263
    assert rows["E4M3"]["loss"] - rows["E4M3"]["added"] == pytest.approx(2.56263, abs=1e-5)
    for name, tokens in (("E8M7", 1.7295e15), ("E4M3", 2.7329e13), ("E2M1", 3.9285e11)):
        assert rows[name]["critical D"] == pytest.approx(tokens, rel=1e-3)


@pytest.mark.parametrize(("D", "bits"), [("100B", 4.27), ("1T", 5.18), ("10T", 6.28), ("100T", 7.62)])
def test_bits_to_train_in(D: str, bits: float) -> None:
    """q3: Sun et al. 2025. The exponent and the mantissa share what the sign leaves."""
    found = ask(D=D)
    assert found["train_bits"].value == pytest.approx(bits, abs=0.01)
    assert found["exponent_bits"].value + found["mantissa_bits"].value == pytest.approx(
        found["train_bits"].value - 1, abs=1e-12
    )


@pytest.mark.parametrize(("bits", "e", "m"), [(4, 2, 1), (8, 4, 3), (16, 8, 7)])
def test_whole_formats(bits: int, e: int, m: int) -> None:
    """Sun et al. 2025: E2M1, E4M3 and E8M7 are the best splits of 4, 8 and 16 bits."""
    assert whole_split(bits, FORMAT["delta"], FORMAT["nu"]) == (e, m)


# --------------------------------------------------------------------------------------- searches and closed forms


def test_the_turning_point_is_its_closed_form() -> None:
    """B D^-beta + K D^b is least where D^(beta + b) = beta B / (b K), K = k N^-alpha bits^-gamma."""
    for N, bits in ((1e9, 4.0), (7e9, 3.0), (7e10, 6.0)):
        K = PTQ["k"] * N ** -PTQ["alpha"] * bits ** -PTQ["gamma"]
        closed = (BASE["beta"] * BASE["B"] / (PTQ["beta"] * K)) ** (1 / (BASE["beta"] + PTQ["beta"]))
        assert ask(N=N, bits=bits)["critical_D"].value == pytest.approx(closed, rel=1e-6)


def test_the_turning_point_in_a_format_is_that_of_the_law() -> None:
    law = find("float-precision")
    for row in ask().table("formats").records():
        e, m = (int(x) for x in str(row["format"])[1:].split("M"))
        held = {"N": 1e9, "exponent_bits": e, "mantissa_bits": m, "block": 128}
        found = minimize_scalar(
            lambda u, held=held: float(law(FORMAT, D=math.exp(u), **held)),
            bounds=(math.log(1e10), math.log(1e17)),
            method="bounded",
            options={"xatol": 1e-9},
        )
        # a search over values of f knows a flat minimum to about the root of the rounding error
        assert math.exp(found.x) == pytest.approx(row["critical D"], rel=1e-5)


def test_what_is_left_is_its_closed_form() -> None:
    """A / N'^alpha = A / N^alpha + rise; along one D / N by a root of its own."""
    found = ask(N="8B", D="1T")
    rise = found["rise"].value
    closed = ((8e9 ** -BASE["alpha"]) + rise / BASE["A"]) ** (-1 / BASE["alpha"])
    assert found["N_equivalent"].value == pytest.approx(closed, rel=1e-9)

    def excess(log_s: float) -> float:
        s = math.exp(log_s)
        terms = BASE["A"] * (8e9 * s) ** -BASE["alpha"] + BASE["B"] * (1e12 * s) ** -BASE["beta"]
        whole = BASE["A"] * 8e9 ** -BASE["alpha"] + BASE["B"] * 1e12 ** -BASE["beta"]
        return terms - whole - rise

    s = math.exp(brentq(excess, -10, 0, xtol=1e-14))
    assert found["compute_lost"].value == pytest.approx(100 * (1 - s * s), rel=1e-9)


def test_the_best_bits_are_stationary() -> None:
    """d/d log b of A (b/M)^alpha + k D^beta b^(a - g) M^-a is zero: both terms are powers of b."""
    found = ask(N="8B", D="1T")
    M = 8e9 * 4
    K = PTQ["k"] * 1e12 ** PTQ["beta"] * M ** -PTQ["alpha"]
    power = PTQ["gamma"] - PTQ["alpha"]
    closed = (power * K / (BASE["alpha"] * BASE["A"] * M ** -BASE["alpha"])) ** (1 / (BASE["alpha"] + power))
    assert found["best_bits"].value == pytest.approx(closed, rel=1e-6)
    assert found["best_N"].value == pytest.approx(M / closed, rel=1e-6)
    least = found.table("alternatives").column("above the best")
    assert all(float(x or 0) >= 0 for x in least)


def test_the_gain_is_against_a_model_of_the_same_memory() -> None:
    found = ask(N="8B", D="1T")
    law = find("chinchilla")
    small, large = (float(law(BASE, N=N, D=1e12)) for N in (2e9, 8e9))
    assert found["gain"].value == pytest.approx(small - large - found["rise"].value, rel=1e-12)
    assert found.headline.startswith("Quantise to 4 bits")
    assert ask(N="8B", D="15T").headline.startswith("Do not quantise to 4 bits")
    assert "undecided" in {w.code for w in found.warnings}


def test_integers_of_equal_gamma() -> None:
    """(1 - e^-x)^2 / x is largest where 2 x = e^x - 1, x = 1.2564: Lambert's W, not N or D."""
    x = brentq(lambda t: 2 * t - math.expm1(t), 0.5, 2.0, xtol=1e-15)
    for N, D in (("1B", "100B"), ("70B", "10T")):
        found = plan("precision", integers(2.5, 2.5), N=N, D=D)
        assert found["integer_bits"].value == pytest.approx(2.5 * x, rel=1e-6)
    rows = found.table("integers").records()
    assert [row["kept"] for row in rows if row["weights"] == 4] == [
        pytest.approx((1 - math.exp(-4 / 2.5)) ** 2),
        pytest.approx((1 - math.exp(-4 / 2.5)) * (1 - math.exp(-16 / 2.5))),
    ]


@pytest.mark.parametrize("C", [1e21, 1e24])
def test_the_budget_is_best_in_all_three(C: float) -> None:
    """N, D and bits together against a search in two variables at once."""
    law, delta, nu = find("float-precision"), FORMAT["delta"], FORMAT["nu"]
    asked = Asked(grounds(precision.planner, (), draws=0), read(precision.planner, {"N": "1B", "D": "1T"}))  # type: ignore[arg-type]
    found, bits = best_budget(asked, C)
    assert found.interior[0]

    def loss(log_d: float, log_b: float) -> float:
        D, b = math.exp(log_d), math.exp(log_b)
        e, m = delta * b / (delta + nu) - 0.5, nu * b / (delta + nu) - 0.5
        return float(law(FORMAT, N=16 * C / (6 * D * b), D=D, exponent_bits=e, mantissa_bits=m, block=128))

    here = math.log(found.x[0]), math.log(bits[0])
    assert loss(*here) == pytest.approx(found.value[0], rel=1e-12)
    for h in (1e-3, 1e-2):
        for du, dv in ((h, 0), (-h, 0), (0, h), (0, -h), (h, h), (h, -h), (-h, h), (-h, -h)):
            assert loss(here[0] + du, here[1] + dv) > loss(*here)
    # the gradient vanishes: the optimum is that of the closed form of the bits to 1e-6
    steps = [(loss(here[0] + 1e-3, here[1]), loss(here[0] - 1e-3, here[1])),
             (loss(here[0], here[1] + 1e-3), loss(here[0], here[1] - 1e-3))]  # fmt: skip
    for up, down in steps:
        bend = (up - 2 * loss(*here) + down) / 1e-6
        assert abs((up - down) / 2e-3 / bend) < 1e-5
    rows = ask(budget=C).table("budget").records()
    assert all(row["loss"] >= found.value[0] - 1e-12 for row in rows)
    for row in rows:
        assert 6 * row["N"] * row["D"] * row["bits"] / 16 == pytest.approx(C, rel=1e-9)


# --------------------------------------------------------------------------------------------------------- trouble


def test_no_loss_exceeds_guessing() -> None:
    """At 2 bits and 1e14 tokens the law adds 50 nats."""
    found = ask(N="7B", D="100T", bits=2)
    assert {"capped"} <= {w.code for w in found.warnings if w.level == "red"}
    assert "Not to be relied on" in found.headline
    after = [row["after"] for row in found.table("sensitivity").records()]
    assert max(after) <= math.log(50_304) * (1 + 1e-12)


def test_the_headline_says_what_is_cut() -> None:
    """What the text adds up is what the decision compares: the loss that is left, guessing at most."""
    found = ask(N="7B", D="100T", bits=2)
    before, small = (float(find("chinchilla")(BASE, N=N, D=1e14)) for N in (7e9, 7e9 / 8))
    assert found["loss"].value == pytest.approx(math.log(50_304), rel=1e-12)
    assert f"adds {math.log(50_304) - before:.3g} to" in found.headline
    assert f"add {small - before:.3g}." in found.headline
    assert "worth next to none of the parameters" in found.headline


def test_a_model_that_guesses_is_refused() -> None:
    with pytest.raises(RefusedError, match="no better than guessing"):
        ask(N=1, D=1)


def test_far_from_the_runs_is_said() -> None:
    codes = {w.code for w in ask(N="70B", D="15T").warnings}
    assert {"distance-D", "distance-N"} <= codes


def test_memory_and_speed() -> None:
    found = ask(N="8B", bits=4, context=1, batch=1)
    assert found["gigabytes"].value == pytest.approx(8 * (4 + 16 / 128) / 8)
    assert found["gigabytes_16"].value == pytest.approx(16.0)
    # one token of context: the weights are all that is read
    assert found["faster"].value == pytest.approx(16 / 4.125, rel=1e-3)
    assert ask(N="8B", context=1, batch=100_000)["faster"].value == pytest.approx(1.0), "arithmetic binds"


def test_what_one_device_cannot_hold_is_said() -> None:
    """80 GB hold the 4.125 bits of 155B parameters and no more, whatever the cache."""
    assert "memory" in {w.code for w in ask(N="156B", context=1).warnings}
    assert "memory" not in {w.code for w in ask(N="154B", context=1).warnings}
    assert "memory" in {w.code for w in ask(N="154B", context=4096, batch=64).warnings}


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ({"N": -1}, QuantityError, "parameters"),
        ({"N": math.nan}, QuantityError, "parameters"),
        ({"D": "7B parameters"}, QuantityError, "parameters"),
        ({"bits": 1}, QueryError, "bits"),
        ({"bits": math.nan}, QueryError, "bits"),
        ({"tolerance": 0}, QueryError, "tolerance"),
        ({"block": 1}, QueryError, "block"),
        ({"device": "abacus"}, QuantityError, "abacus"),
        ({"budget": "10 H100-hours"}, QueryError, "budget"),
        ({"budget": 1e10}, QueryError, "budget"),
    ],
)
def test_bad_questions(query: dict[str, Any], error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        ask(**query)


def test_a_law_that_plays_no_part_is_refused() -> None:
    with pytest.raises(RefusedError, match="plays no part"):
        plan("precision", published("routing:clark2022-hash"), N="1B", D="1T")


@mirrored
def test_own_runs_of_training_bits() -> None:
    """QuEST's runs: the bits of most effective parameters per bit, with an interval, whatever N and D."""
    every = dataset("quest-integers")
    runs = every.where(np.isin(every.labels["quantiser"], ["quest", "plain"]))
    found = fit(runs, find("integer-precision"))
    one = plan("precision", found, N="1B", D="100B")["integer_bits"]
    other = plan("precision", found, N="8B", D="1T")["integer_bits"]
    assert one.value == pytest.approx(other.value, rel=1e-9)
    assert one.lower is not None
    assert one.upper is not None
    # The study finds 4 bits best per bit among 2, 3, 4, 8 with a number for each: one curve puts it within a bit.
    assert one.value == pytest.approx(4.0, abs=1.0)

# SPDX-License-Identifier: Apache-2.0
"""The cheapest model to train and to serve: published numbers, closed conditions against searches, limits, money.

The constants of Sardana et al. (2024) are E = 1.69, A = 406.4, B = 410.7, alpha = .336, beta = .283: with them all
numbers of the paper come out; rounded to .34 and .28 they do not.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import QuantityError, QueryError, RefusedError
from forescale.core.frozen import Frozen
from forescale.costs import serving
from forescale.costs.hardware import device
from forescale.costs.serving import Server
from forescale.fitting._fit import Fit
from forescale.fitting.published import published
from forescale.fitting.surface import Surface, surface
from forescale.laws import find
from forescale.planning import _lifetime, plan, train_and_serve
from forescale.planning._frontier import frontier
from forescale.planning._lifetime import Bill
from forescale.planning._plan import Plan
from forescale.testing.planners import Ladder, PlannerCase

SARDANA = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}


class TestKit(PlannerCase):
    planners = (train_and_serve.planner,)
    ladders: ClassVar = {
        "train-and-serve": Ladder("served", (1e9, 1e11, 1e12, 1e13, 1e14), rising=("D", "saving"), falling=("N",))
    }
    conflicts: ClassVar = {
        "train-and-serve": [
            {"served": "2T", "per_year": "1T"},
            {"served": "2T", "years": 2},
            {"like_params": "13B", "target": 2.2},
            {"like_params": "13B", "budget": "1e24 FLOP"},
            {"max_params": "7B", "max_tokens": "100B"},
            {"decode_mfu": 0.01, "prompt_mfu": 0.5},
        ]
    }


def sardana(**changes: float) -> Fit:
    """A fit of the paper's constants."""
    bare = published("chinchilla:hoffmann2022")
    return replace(bare, params=Frozen({**SARDANA, **changes}), draws=bare.draws[:0], source="sardana2024", notes=())


def made(rows: int) -> Surface:
    """The paper's constants with rows - 1 draws of 2 % around them."""
    rng = np.random.default_rng(3)
    centre = np.array(list(SARDANA.values()))
    values = centre * np.exp(0.02 * rng.standard_normal((rows, 5)))
    values[0] = centre
    return Surface(find("chinchilla"), Frozen({name: values[:, [i]] for i, name in enumerate(SARDANA)}))


def in_flop(served: float) -> Bill:
    return Bill(1.0, lambda N: 2.0 * N * served, served / 3.0)


def asked(**query: Any) -> Plan:
    return plan("train-and-serve", sardana(), **query)


# ---------------------------------------------------------------------------------------------- Sardana and Frankle


@pytest.mark.parametrize(
    ("like", "served", "N", "ratio", "saving"),
    [
        # Figure 1 and section 3 of the paper: 7B, 17 %; 13.6B on 2.84 times the data, 28 %
        ("13B", "2T", 6.969e9, 1.248e12 / 576.49e9, 17.45),
        ("30B", "10T", 13.61e9, 2.845, 27.98),
        # the same sums at other points, worked out apart from this program
        ("7B", "2T", 3.076e9, None, 30.15),
        ("13B", "100B", None, None, 0.23),
        ("13B", "10T", None, None, 45.69),
    ],
)
def test_sardana(like: str, served: str, N: float | None, ratio: float | None, saving: float) -> None:
    found = asked(like_params=like, served=served)
    assert found["saving"].value == pytest.approx(saving, abs=0.006)
    if N is not None:
        assert found["N"].value == pytest.approx(N, rel=1e-3)
    if ratio is not None:
        assert found["k_D"].value == pytest.approx(ratio, rel=1e-3)


def test_sardana_in_flop() -> None:
    """13B after 2T tokens: 9.697e22 FLOP for Chinchilla's, 1.69e22 less for the plan."""
    found = asked(like_params="13B", served="2T")
    before = found["total"].value / (1.0 - found["saving"].value / 100.0)
    assert before == pytest.approx(9.697e22, rel=1e-3)
    assert before - found["total"].value == pytest.approx(1.69e22, rel=2e-3)
    assert found["D"].value == pytest.approx(1.248e12, rel=1e-3)


def test_sardana_70b() -> None:
    """70B after 2T tokens: Chinchilla's needs 1.33 % more FLOP than the plan."""
    found = asked(like_params="70B", served="2T")
    assert 100.0 * (1.0 / (1.0 - found["saving"].value / 100.0) - 1.0) == pytest.approx(1.33, abs=0.005)


def test_with_corrected_constants() -> None:
    """Besiroglu's constants, the default, for the first question: 6.098B, 28.96 %."""
    found = plan("train-and-serve", like_params="13B", served="2T")
    assert found["N"].value == pytest.approx(6.098e9, rel=1e-3)
    assert found["saving"].value == pytest.approx(28.96, abs=0.006)
    assert found["N"].lower is not None
    assert any("besiroglu2024" in text for text in found.assumptions)


@pytest.mark.parametrize(
    ("prices", "more"),
    [
        ({"prompt_share": 0.5}, 36.5),
        ({"prompt_share": 70 / 285, "train_rate": "$1.50/A100-hour", "serve_rate": "$1.10/A100-hour"}, 39.5),
    ],
)
def test_in_dollars(prices: dict[str, Any], more: float) -> None:
    """The paper has Chinchilla-70B at 36 % above the least price; its price inputs are not printed, and two guesses
    at them give 36.5 % and 39.5 %. Served in 8 bits, at twice the peak: 50 % and 1 % of that are 100 % and 2 % here.
    """
    given = {"train_rate": "$1.50/A100-hour", "train_mfu": 0.5, "prompt_mfu": 1.0, "decode_mfu": 0.02, **prices}
    found = asked(like_params="70B", served="2T", **given)
    assert 100.0 * (1.0 / (1.0 - found["saving"].value / 100.0) - 1.0) == pytest.approx(more, abs=0.06)


# ---------------------------------------------------------------------------------------------------------- de Vries


@pytest.mark.parametrize(
    ("k_N", "overhead"), [(0.75, 2.85), (0.57, 12.53), (0.5, 20.78), (0.3, 105.56), (0.25, 188.9)]
)
def test_de_vries(k_N: float, overhead: float) -> None:
    """Training compute of smaller models at equal loss, in % above the compute-optimal."""
    table = asked(like_params="13B", served="2T").table("overhead")
    at = table.column("N / optimal").index(k_N)
    assert table.column("overhead")[at] == pytest.approx(overhead, abs=0.06 if k_N == 0.25 else 0.006)
    # de Vries's formula, which needs no loss
    k_D = (1.0 - (k_N**-0.336 - 1.0) * 0.283 / 0.336) ** (-1.0 / 0.283)
    assert table.column("overhead")[at] == pytest.approx(100.0 * (k_N * k_D - 1.0), rel=1e-6)


def test_de_vries_least_size() -> None:
    """No amount of data makes up for less than (1 + alpha / beta)^(-1 / alpha) = .09736 of the size."""
    found = asked(like_params="13B", served="2T")
    assert found["N_least"].value / 13e9 == pytest.approx(0.09736, abs=5e-6)
    assert found["N_least"].value / 13e9 == pytest.approx((1 + 0.336 / 0.283) ** (-1 / 0.336), rel=1e-6)


@pytest.mark.parametrize(
    ("N", "D", "k_N", "overhead"),
    [
        ("6.9B", "1T", 0.580, 11.7), ("13B", "1T", 0.784, 2.0), ("65.2B", "1.4T", 1.65, 7.0),
        ("1.1B", "236B", 0.445, 31.0),
    ],
)  # fmt: skip
def test_models_that_were_trained(N: str, D: str, k_N: float, overhead: float) -> None:
    """LLaMA 7B, 13B, 65B and SantaCoder: size and training compute beside the compute-optimal of their loss."""
    found = asked(like_params=N, like_tokens=D, served="1T")
    own = found["N"].value / found["k_N"].value
    size = {"6.9B": 6.9e9, "13B": 13e9, "65.2B": 65.2e9, "1.1B": 1.1e9}[N]
    assert size / own == pytest.approx(k_N, abs=0.006)
    assert found["like_overhead"].value == pytest.approx(overhead, abs=0.15)


# ------------------------------------------------------------------------------------- closed conditions and searches


@pytest.mark.parametrize("served", [1e6, 1e11, 2e12, 1e14])
def test_closed_conditions_are_what_a_search_finds(served: float) -> None:
    """To 1e-6, over 50 parameter vectors: least bill of a loss, and least loss of a bill."""
    many = made(50)
    bill = in_flop(served)
    loss = _lifetime.like(many, 13e9)
    closed, searched = _lifetime.cheapest(many, loss, bill), _lifetime.cheapest(many, loss, bill, closed=False)
    np.testing.assert_allclose(searched.N, closed.N, rtol=1e-6)
    np.testing.assert_allclose(searched.D, closed.D, rtol=1e-6)
    closed, searched = _lifetime.best(many, 1e23, bill), _lifetime.best(many, 1e23, bill, closed=False)
    np.testing.assert_allclose(searched.N, closed.N, rtol=1e-6)
    np.testing.assert_allclose(searched.D, closed.D, rtol=1e-6)
    assert bill.total(closed.N, closed.D) == pytest.approx(1e23, rel=1e-12)


def test_no_smaller_or_larger_model_is_cheaper() -> None:
    """By brute force over sizes, and by brute force along the budget."""
    one = made(1)
    loss, bill = _lifetime.like(one, 13e9), in_flop(2e12)
    found = _lifetime.cheapest(one, loss, bill)
    sizes = np.geomspace(2e9, 13e9, 20001)
    D = _lifetime.tokens_for(one, sizes, loss)[0]
    assert bill.total(found.N, found.D)[0] <= np.min(bill.total(sizes, D))
    split = _lifetime.best(one, 1e23, bill)
    tokens = (1e23 - bill.serving(sizes)) / (6.0 * sizes)
    assert one.loss(N=split.N, D=split.D)[0, 0] <= np.min(one.loss(N=sizes, D=tokens))


def test_the_two_questions_are_dual() -> None:
    """The least bill of a loss, spent, gives that loss with the same model."""
    first = asked(like_params="13B", served="2T")
    second = asked(budget=first["total"].value, served="2T")
    for name in ("N", "D", "saving", "k_N"):
        assert second[name].value == pytest.approx(first[name].value, rel=1e-8)


def test_nothing_served_is_the_compute_optimal_plan() -> None:
    one = made(20)
    loss = _lifetime.like(one, 13e9)
    found = _lifetime.cheapest(one, loss, in_flop(0.0))
    plain = _lifetime.optimal(one, loss)
    np.testing.assert_allclose(found.N, plain.N, rtol=1e-11)
    np.testing.assert_allclose(plain.N, np.full(20, 13e9), rtol=1e-11)
    spent = _lifetime.best(one, 1e23, in_flop(0.0))
    np.testing.assert_allclose(spent.N, frontier(one, [1e23]).N[:, 0], rtol=1e-11)
    whole = asked(budget="1e23 FLOP", served=1)
    bare = plan("compute-optimal", sardana(), budget="1e23 FLOP")
    assert whole["N"].value == pytest.approx(bare["N"].value, rel=1e-9)
    assert whole["D"].value == pytest.approx(bare["D"].value, rel=1e-9)
    assert whole["saving"].value == pytest.approx(0.0, abs=1e-6)


def test_laws_without_a_closed_condition() -> None:
    """Chinchilla under another name gives the same plan by search."""
    one = find("chinchilla")
    other = replace(one, id="in other words", optimum=None)
    bare = surface(sardana(), 0)
    search = replace(bare, law=other)
    loss = _lifetime.like(bare, 13e9)
    assert _lifetime.like(search, 13e9) == pytest.approx(loss, rel=1e-9)
    found = _lifetime.cheapest(search, loss, in_flop(2e12))
    np.testing.assert_allclose(found.N, _lifetime.cheapest(bare, loss, in_flop(2e12)).N, rtol=1e-6)


def test_a_law_that_is_searched() -> None:
    """Farseer, whose optimum has no closed form and ends at large budgets: no size near the plan's is cheaper."""
    fit = published("farseer:farseer-refit")
    found = plan("train-and-serve", fit, like_params="1B", served="100B")
    bare, bill = surface(fit, 0), in_flop(1e11)
    loss = np.array([found.expected["loss"].value])
    assert found["N"].value / found["k_N"].value == pytest.approx(1e9, rel=1e-6)
    sizes = found["N"].value * np.geomspace(0.5, 1.5, 2001)
    total = bill.total(sizes, _lifetime.tokens_for(bare, sizes, loss)[0])
    assert found["total"].value <= np.nanmin(total) * (1 + 1e-9)


def test_attention_makes_service_dearer() -> None:
    """Counted, it pushes to smaller models; the bill is what the decoder of the family costs."""
    plain, long = asked(like_params="13B", served="2T"), asked(like_params="13B", served="2T", context=32768)
    assert long["N"].value < plain["N"].value
    cost = 2e12 * serving.flop_per_token(serving.of_size(long["N"].value), 32768)
    assert long["serving"].value == pytest.approx(float(cost), rel=1e-12)


# ------------------------------------------------------------------------------------------------------------- money


def test_dollars_of_both() -> None:
    """Prices by hand: 40 % of 989.4 TFLOP/s for training and prompts, the roofline for answers."""
    found = asked(like_params="13B", served="2T", prompt_share=0.25, train_rate="$2/H100-hour", prompt_mfu=0.4)
    hourly = 3600.0 * 989.4e12 * 0.4
    assert found["training_dollars"].value == pytest.approx(2.0 * found["training"].value / hourly, rel=1e-9)
    step = serving.decode_seconds(serving.of_size(found["N"].value), Server(device("H100")), 64, 2048)
    read = 0.25 * found["serving"].value / hourly
    hours = read + 0.75 * 2e12 * float(step) / 64 / 3600.0
    assert found["serving_hours"].value == pytest.approx(hours, rel=1e-9)
    assert found["dollars"].value == pytest.approx(2.0 * hours + found["training_dollars"].value, rel=1e-9)
    assert any("prompt_mfu" not in text and "roofline" in text for text in found.assumptions)
    assert found.table("serving").column("$/Mtok")[0] is not None


def test_at_one_price_dollars_are_flop() -> None:
    """Where training and serving use the devices equally well, money and FLOP agree about the model."""
    priced = asked(
        like_params="13B", served="2T", prompt_share=1, train_rate="$2/H100-hour", train_mfu=0.4, prompt_mfu=0.4
    )
    assert priced["N"].value == pytest.approx(asked(like_params="13B", served="2T")["N"].value, rel=1e-9)


def test_a_budget_in_dollars_is_spent() -> None:
    found = asked(budget="$5M @ $2.10/H100-hour @ 45% MFU", per_year="1T", years=2, decode_mfu=0.02, prompt_mfu=0.4)
    assert found["dollars"].value == pytest.approx(5e6, rel=1e-9)
    assert found["serving"].value == pytest.approx(2.0 * found["N"].value * 2e12, rel=1e-12)
    slow = asked(budget="$5M @ $2.10/H100-hour @ 45% MFU", per_year="1T", years=2)
    assert slow["dollars"].value == pytest.approx(5e6, rel=1e-6)


# ------------------------------------------------------------------------------------------------------------ limits


def test_the_memory_of_the_serving_device() -> None:
    """10B in 16 bits do not fit on an L4; in 4 bits they do."""
    held = asked(like_params="70B", served="2T", serve_device="L4", devices=2)
    model = serving.of_size(held["N"].value)
    assert model.weight_bytes + 2048 * model.cache_bytes == pytest.approx(48e9, rel=1e-9)
    assert "memory" in held.binding
    assert "L4" in held.headline
    assert asked(like_params="70B", served="2T", serve_device="L4", devices=8).binding == "the quality asked for"
    small = asked(like_params="70B", served="2T", serve_device="L4", devices=2, weight_bits=4)
    assert small["N"].value > held["N"].value


def test_sequences_that_fit() -> None:
    """On devices that were named, weights leave room for fewer sequences than the usual 64: answers are dearer."""
    rates = {"train_rate": "$2/H100-hour", "serve_rate": "$1/L4-hour", "prompt_share": 0}
    held = asked(like_params="40B", served="2T", serve_device="L4", max_params="7B", **rates)
    model = serving.of_size(held["N"].value)
    batch = (24e9 - 2 * held["N"].value) / (2048 * float(model.cache_bytes))
    assert 1 < batch < 64
    step = (2 * held["N"].value + batch * 2048 * float(model.cache_bytes)) / 300e9
    assert held["serving_hours"].value == pytest.approx(2e12 * step / batch / 3600, rel=1e-9)


def test_least_speed() -> None:
    held = asked(like_params="70B", served="2T", serve_device="H100", min_speed=100, weight_bits=8, batch=1)
    step = serving.decode_seconds(serving.of_size(held["N"].value, weight_bits=8), Server(device("H100")), 1, 2048)
    assert 1.0 / float(step) == pytest.approx(100.0, rel=1e-9)
    assert held.binding == "min_speed = 100 tokens/s"
    assert held.table("serving").column("tokens/s alone")[0] == pytest.approx(100.0, rel=1e-9)


def test_most_parameters_and_tokens() -> None:
    held = asked(like_params="13B", served="2T", max_params="5B")
    assert held["N"].value == 5e9
    assert held.binding == "max_params = 5B"
    short = asked(like_params="13B", served="2T", max_tokens="1T")
    assert short["D"].value == pytest.approx(1e12, rel=1e-9)
    assert short.binding == "max_tokens = 1T"
    spent = asked(budget="1e23 FLOP", served="2T", max_tokens="1T")
    assert spent["D"].value == pytest.approx(1e12, rel=1e-9)
    assert spent["total"].value == pytest.approx(1e23, rel=1e-9)
    sizes = held.table("alternatives").column("N")
    assert all(isinstance(size, float) and size <= 5e9 * (1 + 1e-9) for size in sizes)


def test_wrong_demand_costs() -> None:
    """Nothing where it is right, more the further it is off."""
    table = asked(like_params="13B", served="2T").table("sensitivity")
    cost = dict(zip(table.column("served / plan"), table.column("too much")))
    assert cost[1.0] == 0.0
    assert 0.0 < cost[0.3] < cost[0.1] < cost[0.0]
    assert 0.0 < cost[3.0] < cost[10.0]
    assert cost[0.0] == pytest.approx(asked(like_params="13B", served="2T")["overhead"].value, rel=1e-6)


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"served": "2T"}, "no quality"),
        ({"like_params": "13B"}, "served"),
        ({"like_params": "13B", "per_year": "1T"}, "years"),
        ({"target": 2.1, "like_tokens": "1T", "served": "2T"}, "like_tokens"),
        ({"like_params": "13B", "served": "2T", "min_speed": 10}, "serve_device"),
        ({"like_params": "13B", "served": "2T", "decode_mfu": 0.01}, "train_rate"),
        ({"like_params": "13B", "served": "2T", "train_mfu": 0.5}, "train_rate"),
        (
            {
                "like_params": "13B",
                "served": "2T",
                "serve_device": "A100",
                "train_rate": "$2/H100-hour",
                "serve_rate": "$2/H100-hour",
            },
            "serve_device",
        ),
        ({"budget": "$5M", "served": "2T"}, "price"),
        ({"budget": "$5M @ $2/H100-hour", "served": "2T", "train_rate": "$3/H100-hour"}, "train_rate"),
        ({"budget": "1e24 FLOP", "served": "2T", "max_params": "1B", "max_tokens": "1T"}, "max_tokens"),
    ],
)
def test_questions_that_contradict_themselves(query: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        asked(**query)


def test_what_cannot_be_reached() -> None:
    with pytest.raises(RefusedError, match=r"floor is 1\.690"):
        asked(target=1.5, served="2T")
    with pytest.raises(RefusedError, match="max_params"):
        asked(like_params="13B", served="2T", max_params="1B")
    with pytest.raises(RefusedError, match="1e10 FLOP"):
        asked(budget="1e10 FLOP", served="2T")
    with pytest.raises(RefusedError, match="like_params"):
        asked(like_params="1e30", served="2T")
    with pytest.raises(QueryError, match="serve_rate"):
        asked(like_params="13B", served="2T", train_rate="$2/H100-hour", serve_device="L4")
    with pytest.raises(RefusedError, match="max_tokens"):
        asked(like_params="13B", served="2T", max_tokens="1B")
    with pytest.raises(RefusedError, match="overtraining"):
        plan("train-and-serve", published("overtraining:gadre2024-c4"), like_params="13B", served="2T")
    with pytest.raises(QuantityError):
        asked(like_params="13B", served="-1")
    with pytest.raises(QueryError):
        asked(like_params="13B", served="2T", decode_mfu=math.nan)


def test_far_from_balance_is_said() -> None:
    """Beyond what laws were fitted to, the plan warns; beyond all runs that are known, in red."""
    near = asked(like_params="13B", served="100B")
    assert not any(w.code == "over-trained" for w in near.warnings)
    far = asked(like_params="1B", served="10T")
    assert any(w.code == "over-trained" and w.level == "amber" for w in far.warnings)
    beyond = asked(like_params="1B", served="3e16")
    assert any(w.code == "over-trained" and w.level == "red" for w in beyond.warnings)

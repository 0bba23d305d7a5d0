# SPDX-License-Identifier: Apache-2.0
"""Parallel streams (Chen et al. 2025): published factors and losses, limits of memory and time, the bill by hand."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.optimize import brentq

from forescale.core.errors import InputError, QuantityError, QueryError
from forescale.costs import serving
from forescale.costs.hardware import device
from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.laws import find
from forescale.planning import streams
from forescale.planning._plan import Plan
from forescale.planning._run import plan
from forescale.runs.datasets import dataset
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")

LAW = find("parscale")


def ask(*given: Any, **query: Any) -> Plan:
    return plan("streams", *given, **query)


class TestStreams(PlannerCase):
    planners = (streams.planner,)
    ladders: ClassVar = {
        "streams": Ladder(
            "most_streams", (2, 4, 8, 16), rising=("P", "N_equivalent", "gigabytes", "milliseconds", "work")
        )
    }
    conflicts: ClassVar = {
        "streams": [
            {"N": "1.6B", "single": "3B"},
            {"N": "1.6B", "memory": 1},
            {"N": "70B", "devices": 1},
            {"N": "1.6B", "memory": 80, "milliseconds": 0.1},
            {"device": "A100", "rate": "$2.10/H100-hour"},
        ]
    }


class TestMatching(PlannerCase):
    """The fewest streams in memory too small for the single model."""

    planners = (replace(streams.planner, example={"single": "3B", "memory": 5}),)
    ladders: ClassVar = {"streams": Ladder("memory", (4.7, 5, 5.5, 8), rising=("N",), falling=("P", "loss_saved"))}
    conflicts: ClassVar = {"streams": [{"single": "3B", "memory": 2}]}


# ------------------------------------------------------------------------------------------------ published numbers


@pytest.mark.parametrize(
    ("source", "factors"),
    [("chen2025-stack", (1.2727, 1.5455, 1.81818)), ("chen2025-pile", (1.2318, 1.4637, 1.6955))],
)
def test_p1_what_streams_are_worth(source: str, factors: tuple[float, ...]) -> None:
    """p1: the authors' fitting script; and the loss is that of the single model, by a root of the law to 1e-6."""
    p = LAW.constants(source)
    for number, factor in zip((2, 4, 8), factors):
        found = ask(published(f"parscale:{source}"), N="1.6B", most_streams=number)
        assert found["P"].value == number
        assert found["factor"].value == pytest.approx(factor, abs=1e-4)
        loss = float(LAW(p, N=1.6e9, P=number))
        same = brentq(lambda u, loss=loss: float(LAW(p, N=math.exp(u), P=1)) - loss, 20, 24, xtol=1e-14)
        assert found["N_equivalent"].value == pytest.approx(math.exp(same), rel=1e-6)
        assert found.expected["loss"].value == pytest.approx(loss, rel=1e-12)
    row = {r["constants"]: r for r in found.table("corpora").records()}[source]
    assert [row[f"P = {n}"] for n in (2, 4, 8)] == [pytest.approx(f, abs=1e-4) for f in factors]


@pytest.mark.parametrize(
    ("source", "losses"),
    [
        ("chen2025-stack", (1.01512, 1.00066, 0.98949, 0.98045)),
        ("chen2025-pile", (1.83354, 1.81169, 1.79428, 1.77989)),
    ],
)
def test_losses_of_the_largest_model(source: str, losses: tuple[float, ...]) -> None:
    """L at N = 4,353,203,200 with 1, 2, 4 and 8 streams, by the authors' constants."""
    found = ask(published(f"parscale:{source}"), N=4353203200)
    table = found.table("alternatives")
    assert table.column("P") == (1.0, 2.0, 4.0, 8.0)
    np.testing.assert_allclose(np.array(table.column("loss"), dtype=float), losses, atol=1e-5)


def test_streams_add_less_memory_than_parameters() -> None:
    """The paper's headline at batch 1: 22 times less memory added, 6 times less time, for equal loss.

    With the shape of a model of 1.6B (width / depth 55, six queries a key) and short contexts the first comes out, 23
    times at 64 tokens and 15 at 256; it falls with the context, since every stream has a cache. The time does not:
    by the roofline reading is all that takes time, and it gains as much as memory does; theirs has more in it.
    """
    shape = {"N": "1.6B", "aspect": 1536 / 28, "shared": 1 / 6, "device": "A100"}
    code = published("parscale:chen2025-stack")
    short, longer, chat = (ask(code, **shape, context=c) for c in (64, 256, 2048))
    assert short["memory_increase"].value == pytest.approx(22.6, abs=0.5)
    assert longer["memory_increase"].value == pytest.approx(14.8, abs=0.5)
    assert chat["memory_increase"].value < 5
    assert short["time_increase"].value == pytest.approx(short["memory_increase"].value, rel=1e-9)


# ------------------------------------------------------------------------------------------------------- the bill


def test_the_bill_by_hand() -> None:
    """Memory and time of eight streams from the functions of costs.serving, the weights that streams add included."""
    found = ask(N="1.6B", context=1000, rate="$2/H100-hour")
    plain = serving.of_size(1.6e9)
    added = 8 * (plain.width * (plain.width + 1) + 48 * plain.depth * plain.cached)
    moved = 2 * (1.6e9 + added) + 8 * 1048 * plain.cache_bytes
    assert found["gigabytes"].value == pytest.approx(moved / 1e9, rel=1e-12)
    seconds = moved / device("H100").bandwidth
    assert found["milliseconds"].value == pytest.approx(1e3 * seconds, rel=1e-12)
    assert found["dollars"].value == pytest.approx(2 * seconds / 3600 * 1e6, rel=1e-12)
    single = serving.of_size(found["N_equivalent"].value)
    server = serving.Server(device("H100"))
    assert found["milliseconds_single"].value == pytest.approx(
        1e3 * float(serving.decode_seconds(single, server, 1, 1000)), rel=1e-12
    )
    work = 8 * serving.flop_per_token(plain, 1048) / serving.flop_per_token(single, 1000)
    assert found["work"].value == pytest.approx(float(work), rel=1e-12)


def test_streams_are_cheap_only_in_small_batches() -> None:
    found = ask(N="1.6B", context=256)
    even = int(found["batch_even"].value)
    assert 1 < even < 1000
    below, above = (ask(N="1.6B", context=256, batch=b) for b in (even, even + 1))
    assert below["milliseconds"].value < below["milliseconds_single"].value
    assert above["milliseconds"].value > above["milliseconds_single"].value
    assert "arithmetic-bound" in {w.code for w in above.warnings}
    assert "arithmetic-bound" not in {w.code for w in below.warnings}


# ---------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("limit", [{"memory": 3.6}, {"milliseconds": 1.1}])
def test_the_most_streams_that_fit(limit: dict[str, float]) -> None:
    found = ask(N="1.6B", **limit)
    P = int(found["P"].value)
    assert 1 < P < 8
    assert next(iter(limit)) in found.binding
    held = {"memory": "gigabytes", "milliseconds": "milliseconds"}[next(iter(limit))]
    bound = next(iter(limit.values()))
    assert found[held].value <= bound
    assert ask(N="1.6B", most_streams=P + 1)[held].value > bound


@pytest.mark.parametrize("memory", [4.7, 5.0, 5.5])
def test_the_fewest_streams_that_match(memory: float) -> None:
    found = ask(single="3B", memory=memory)
    P, N = found["P"].value, found["N"].value
    p = LAW.constants("chen2025-pile")
    assert float(LAW(p, N=N, P=P)) == pytest.approx(float(LAW(p, N=3e9, P=1)), rel=1e-12)
    assert found["gigabytes"].value <= memory
    fewer = ask(N=3e9 / (1 + p["k"] * math.log(P - 1)), most_streams=int(P - 1))
    assert fewer["P"].value == P - 1
    assert fewer["gigabytes"].value > memory
    assert found.binding.startswith("memory")


def test_a_match_has_a_least_memory() -> None:
    """Each stream has a cache: at 2,048 tokens of context six streams take less than seven or eight."""
    held = ask(single="3B", memory=4.7).table("alternatives")
    assert held.column("P")[0] == 1.0
    with pytest.raises(QueryError, match=r"at least 4\.58 GB"):
        ask(single="3B", memory=4.5)


def test_a_single_model_that_fits_needs_no_streams() -> None:
    found = ask(single="3B")
    assert found["P"].value == 1
    assert found["N"].value == pytest.approx(3e9)
    assert found.headline.startswith("One stream")
    assert found.binding == "nothing: a single model fits"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ({"N": "1.6B"}, "Streams:"),
        ({"N": "1.6B", "batch": 16}, "More parameters:"),
        ({"single": "3B", "memory": 5}, "Streams:"),
        ({"N": "1.6B", "context": 1, "batch": 64}, "Streams for memory, parameters for time:"),
    ],
)
def test_the_question_is_answered(query: dict[str, Any], answer: str) -> None:
    found = ask(**query)
    assert found.headline.startswith(answer)
    smaller = found["gigabytes"].value < found["gigabytes_single"].value
    faster = found["milliseconds"].value < found["milliseconds_single"].value
    assert (smaller, faster) == {
        "Streams:": (True, True), "More parameters:": (False, False),
        "Streams for memory, parameters for time:": (True, False),
    }[answer]  # fmt: skip
    assert ("beyond the limits" in found.headline) == ("memory" in query)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"most_streams": 1}, "most_streams = 1"),
        ({"memory": 3.31}, "memory = 3.31 GB"),
        ({"milliseconds": 1}, "mill"),
    ],
)
def test_one_stream_has_its_reason(query: dict[str, Any], reason: str) -> None:
    found = ask(N="1.6B", **query)
    assert found["P"].value == 1
    assert found.binding.startswith(reason)
    assert found.headline == f"One stream of 1.6B parameters: {found.binding} leaves no more."


def test_more_streams_than_were_trained() -> None:
    codes = {w.code for w in ask(N="1.6B", most_streams=32).warnings}
    assert "many-streams" in codes
    assert "many-streams" not in {w.code for w in ask(N="1.6B").warnings}


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ({}, QueryError, "N and single"),
        ({"N": -1}, QuantityError, "parameters"),
        ({"N": math.nan}, QuantityError, "parameters"),
        ({"N": "1B", "most_streams": 0}, QueryError, "most_streams"),
        ({"N": "1B", "batch": 0}, QueryError, "batch"),
        ({"N": "1B", "memory": -5}, QueryError, "memory"),
        ({"N": "1B", "shared": 2}, QueryError, "shared"),
        ({"N": "1B", "device": "abacus"}, QuantityError, "abacus"),
    ],
)
def test_bad_questions(query: dict[str, Any], error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        ask(**query)


@mirrored
def test_from_the_released_runs() -> None:
    """A fit of the 24 runs on text decides as the published constants do, with intervals."""
    found = ask(fit(dataset("parscale", dataset="pile"), LAW), N="1.6B")
    assert found["factor"].value == pytest.approx(1.6955, rel=1e-3)
    lower, upper = found["factor"].lower, found["factor"].upper
    assert lower is not None
    assert upper is not None
    assert lower < 1.6955 < upper

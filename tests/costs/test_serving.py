# SPDX-License-Identifier: Apache-2.0
"""What serving costs: FLOP per token, key-value cache, step times and prices, against figures worked out by hand.

Shapes are those of Llama-3-8B and Llama-3-70B as released; the H100 has 989 TFLOP/s (bf16, dense) and 3.35 TB/s.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forescale.core.errors import QueryError
from forescale.costs import serving
from forescale.costs.hardware import device
from forescale.costs.serving import Decoder, Server
from forescale.costs.transformer import Shape

SMALL = Decoder(8.03e9, 32, 4096, 2 * 8 * 128)
LARGE = Decoder(70.6e9, 80, 8192, 2 * 8 * 128)
H100 = Server(device("H100"))


@pytest.mark.parametrize(
    ("model", "context", "flop"),
    [
        (SMALL, 1, 1.606e10), (SMALL, 1000, 1.658e10), (SMALL, 8192, 2.035e10),
        (LARGE, 1, 1.412e11), (LARGE, 1000, 1.438e11), (LARGE, 8192, 1.627e11),
    ],
)  # fmt: skip
def test_flop_per_token(model: Decoder, context: int, flop: float) -> None:
    """2 N + 4 L d ctx (Brown et al. 2024)."""
    assert serving.flop_per_token(model, context) == pytest.approx(flop, rel=5e-4)


def test_share_of_attention() -> None:
    """In percent of the FLOP of a token, at 1k, 8k, 32k and 128k positions."""
    context = np.array([1000, 8192, 32768, 131072])
    for model, shares in ((SMALL, (3.2, 21.1, 51.7, 81.1)), (LARGE, (1.8, 13.2, 37.8, 70.9))):
        found = 100.0 * (1.0 - 2.0 * model.N / serving.flop_per_token(model, context))
        assert found == pytest.approx(np.array(shares), abs=0.05)


def test_samples_of_the_small_model_for_one_of_the_large() -> None:
    """1000 tokens of prompt, 300 of answer: 33 samples of the 8B for one of the 70B."""
    assert serving.attempts_flop(SMALL, 1000, 300, 1) == pytest.approx(2.132e13, rel=5e-4)
    assert serving.attempts_flop(SMALL, 1000, 300, 100) == pytest.approx(5.162e14, rel=5e-4)
    one = serving.attempts_flop(LARGE, 1000, 300, 1)
    assert one == pytest.approx(1.858e14, rel=5e-4)
    assert serving.attempts_for(SMALL, 1000, 300, one) == 33
    assert serving.attempts_for(LARGE, 1000, 300, 0.99 * one) == 0


def test_the_sum_over_tokens() -> None:
    """A sequence costs what its tokens cost one by one; cut anywhere, the parts add up."""
    alone = sum(serving.flop_per_token(SMALL, 70 + i) for i in range(1, 31))
    assert serving.sequence_flop(SMALL, 30, 70) == pytest.approx(alone, rel=1e-14)
    whole = serving.sequence_flop(SMALL, 100)
    assert serving.sequence_flop(SMALL, 70) + alone == pytest.approx(whole, rel=1e-14)


@given(attempts=st.integers(1, 10_000), prompt=st.integers(1, 100_000), answer=st.integers(1, 100_000))
def test_attempts_and_their_inverse(attempts: int, prompt: int, answer: int) -> None:
    """What k answers cost pays for k answers."""
    cost = serving.attempts_flop(LARGE, prompt, answer, attempts)
    assert serving.attempts_for(LARGE, prompt, answer, cost) == attempts
    assert serving.attempts_for(LARGE, prompt, answer, cost * (1 - 1e-6)) == attempts - 1


def test_bytes_of_the_cache() -> None:
    """Grouped queries, bf16: 131,072 and 327,680 bytes per token; half of it at 8 bits."""
    assert SMALL.cache_bytes == 131_072
    assert LARGE.cache_bytes == 327_680
    assert Decoder(70.6e9, 80, 8192, 2 * 8 * 128, cache_bits=8).cache_bytes == 163_840
    # Multi-head latent attention of DeepSeek-V3 (61 blocks, 512 latent and 64 rotary dimensions) keeps 70 kB.
    latent = Decoder(37e9, 61, 7168, 512 + 64, weight_bits=8, stored=671e9)
    assert latent.cache_bytes == 70_272
    assert latent.weight_bytes == 671e9
    shape = Shape(32, 4096, 32, 8, 14336, 128256, 8192)
    assert serving.of_shape(shape).cache_bytes == 131_072
    assert serving.of_shape(shape, weight_bits=4).weight_bytes == 8_030_261_248 / 2


def test_time_of_a_step_and_price_of_a_token() -> None:
    """8B in bf16 on one H100 at $2 an hour: 4.794 ms alone; 9.922 ms, 6450 tokens/s, $0.0861/Mtok at 64 x 2048."""
    assert 1e3 * serving.decode_seconds(SMALL, H100, 1, 0) == pytest.approx(4.794, abs=5e-4)
    assert serving.tokens_per_second(SMALL, H100, 1, 0) == pytest.approx(209, abs=0.5)
    assert 1e3 * serving.decode_seconds(SMALL, H100, 64, 2048) == pytest.approx(9.922, abs=5e-4)
    assert serving.tokens_per_second(SMALL, H100, 64, 2048) == pytest.approx(6450, rel=0.01)
    assert serving.dollars_per_million(SMALL, H100, 64, 2048, 2.0) == pytest.approx(0.0861, abs=5e-5)
    assert serving.tokens_per_second(SMALL, H100, 256, 2048) == pytest.approx(10_116, rel=1e-3)


def test_critical_batch() -> None:
    """F / BW = 295 on an H100 for 16-bit weights, half of it for 8 bits; a long context never gets there."""
    assert serving.critical_batch(SMALL, H100) == pytest.approx(295, abs=0.5)
    assert serving.critical_batch(Decoder(8e9, 32, 4096, 2048, weight_bits=8), H100) == pytest.approx(147.7, abs=0.3)
    assert serving.critical_batch(SMALL, H100, 2048) == math.inf
    batch = serving.critical_batch(SMALL, H100, 100)
    step = serving.decode_seconds(SMALL, H100, batch * np.array([0.99, 1.0, 1.01]), 100)
    work = batch * np.array([0.99, 1.0, 1.01]) * serving.flop_per_token(SMALL, 100) / H100.flop_per_second
    assert step[0] > work[0] * (1 + 1e-9)
    assert step[1:] == pytest.approx(work[1:], rel=1e-12)


def test_largest_batch() -> None:
    """80 GB hold the 8B and 238 sequences of 2048 tokens; the 70B needs two devices or 8 bits."""
    assert serving.largest_batch(SMALL, H100, 2048) == math.floor((80e9 - 16.06e9) / (2048 * 131_072))
    assert serving.largest_batch(LARGE, H100, 2048) == 0
    assert serving.largest_batch(LARGE, Server(device("H100"), 2), 2048) > 0
    assert serving.largest_batch(Decoder(70.6e9, 80, 8192, 2048, weight_bits=8), H100, 2048) > 0


def test_reading_a_prompt() -> None:
    """A long prompt takes its arithmetic, a short one the time to read the weights."""
    long = serving.prefill_seconds(SMALL, H100, 4096)
    assert long == pytest.approx(serving.sequence_flop(SMALL, 4096) / 989.4e12, rel=1e-12)
    assert serving.prefill_seconds(SMALL, H100, 1) == pytest.approx(16.06e9 / 3.35e12, rel=1e-12)


def test_achieved_shares() -> None:
    """Half the bandwidth takes twice the time; two devices halve it and cost the same per token."""
    slow = Server(device("H100"), mbu=0.5)
    assert serving.decode_seconds(SMALL, slow, 1, 0) == pytest.approx(2 * serving.decode_seconds(SMALL, H100, 1, 0))
    two = Server(device("H100"), 2)
    assert serving.decode_seconds(SMALL, two, 64, 2048) == pytest.approx(9.922e-3 / 2, rel=1e-4)
    assert serving.dollars_per_million(SMALL, two, 64, 2048, 2.0) == pytest.approx(0.0861, abs=5e-5)


def test_a_size_stands_for_a_shape() -> None:
    """The family of a size is within 15 % of what Llama-3-8B is: width, depth, cache."""
    found = serving.of_size(8.03e9)
    for name in ("depth", "width", "cached"):
        assert getattr(found, name) == pytest.approx(getattr(SMALL, name), rel=0.15)
    many = serving.of_size(np.array([1e9, 8.03e9]))
    assert serving.flop_per_token(many, 2048)[1] == serving.flop_per_token(found, 2048)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_no_models_without_size(wrong: float) -> None:
    with pytest.raises(QueryError, match="N ="):
        Decoder(wrong, 32, 4096, 2048)


def test_no_impossible_servers() -> None:
    with pytest.raises(QueryError, match="mfu"):
        Server(device("H100"), mfu=1.2)
    with pytest.raises(QueryError, match="mbu"):
        Server(device("H100"), mbu=0.0)
    with pytest.raises(QueryError, match="devices"):
        Server(device("H100"), 0)

# SPDX-License-Identifier: Apache-2.0
"""Schedules as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.core.errors import InputError, QuantityError
from forescale.core.schedule import Schedule
from forescale.core.schedule_text import parse_recipe, parse_recipes

SAME = [
    ("cosine", Schedule.cosine(1e-3, 1000, warmup=10)),
    ("cosine to 10%", Schedule.cosine(1e-3, 1000, end=1e-4, warmup=10)),
    ("Cosine: end 3e-5, peak 3e-4", Schedule.cosine(3e-4, 1000, end=3e-5, warmup=10)),
    ("constant", Schedule.constant(1e-3, 1000, warmup=10)),
    ("wsd:24000 steps,peak 3e-4,decay 20% linear", Schedule.wsd(3e-4, 24000, decay=0.2, warmup=10)),
    ("wsd: 9k steps, decay over 4,000 steps 1-sqrt", Schedule.wsd(1e-3, 9000, decay=4000, shape="1-sqrt", warmup=10)),
    ("wsd from 700", Schedule.wsd(1e-3, 1000, decay=300, warmup=10)),
    ("wsd, exponential 12%, end 1%, warmup 0", Schedule.wsd(1e-3, 1000, decay=0.12, end=1e-5, shape="exponential")),
    ("wsd: decay", Schedule.wsd(1e-3, 1000, decay=0.2, warmup=10)),
    ("wsd", Schedule.wsd(1e-3, 1000, decay=0.2, warmup=10)),
    ("stepped: 3e-4, 9e-5 from 600", Schedule.stepped({1: 3e-4, 600: 9e-5}, 1000, warmup=10)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), SAME, ids=[text for text, _ in SAME])
def test_text_is_the_schedule(text: str, wanted: Schedule) -> None:
    made = parse_recipe(text).schedule(1000, 1e-3, 10)
    assert np.array_equal(made.lr, wanted.lr)
    assert made.warmup == wanted.warmup


def test_several() -> None:
    assert [r.kind for r in parse_recipes("cosine; wsd: decay 10% ;constant;")] == ["cosine", "wsd", "constant"]


@pytest.mark.parametrize(
    "text",
    [
        "", "sine", "cosine: decay 20%", "wsd: decay 120%", "wsd: decay 0.5", "wsd: decay -3", "wsd from 0",
        "wsd: peak 0", "wsd: peak 10%", "wsd: 1.5 steps", "wsd: 9e9 steps", "stepped", "wsd: bananas",
        "wsd: 10 bananas", "wsd: decay 20%, from 10", "cosine to nan", "wsd: peak 1e999", "x" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_recipe(text)


def test_open_numbers_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="1,200"):
        parse_recipe("wsd from 1200").schedule(1000, 1e-3)
    with pytest.raises(InputError, match="warm-up"):
        parse_recipe("wsd: decay 99%").schedule(1000, 1e-3, 100)
    with pytest.raises(InputError, match="above its peak"):
        parse_recipe("cosine to 2e-3").schedule(1000, 1e-3)

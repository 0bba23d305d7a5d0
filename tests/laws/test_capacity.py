# SPDX-License-Identifier: Apache-2.0
"""Bits of biographies, bits per parameter, and parameters that bits take."""

from __future__ import annotations

import math

import pytest

from forescale.laws import find
from forescale.laws.capacity import (
    ATTRIBUTES,
    NAMES,
    biography_bits,
    bits_per_parameter,
    least_parameters,
    most_bits_per_parameter,
)


@pytest.mark.parametrize(("people", "bits"), [(1e4, 615574), (1e5, 5823548), (1e6, 54913552)])
def test_bits_of_biographies(people: float, bits: int) -> None:
    assert biography_bits(people) == pytest.approx(bits, abs=0.5)


def test_attributes() -> None:
    assert math.log2(ATTRIBUTES) == pytest.approx(47.5916, abs=5e-5)
    assert NAMES == 160_000_000


def test_parameters_for_100000_people() -> None:
    assert least_parameters(biography_bits(1e5)) == pytest.approx(3235304, abs=0.5)


def test_bits_per_parameter() -> None:
    """1e5 people, 5e6 parameters, ln N + .5 nats for names and 3 for values: 1.06372 of 1.16471."""
    assert bits_per_parameter(1e5, 5e6, math.log(1e5) + 0.5, 3.0) == pytest.approx(1.06372, abs=5e-6)
    assert most_bits_per_parameter(1e5, 5e6) == pytest.approx(1.16471, abs=5e-6)
    assert bits_per_parameter(1e5, 5e6, math.log(1e5), 0.0) == pytest.approx(most_bits_per_parameter(1e5, 5e6))


def test_what_is_not_known_counts_zero() -> None:
    assert bits_per_parameter(1e5, 5e6, 1e3, 1e3) == 0.0


def test_the_law_is_a_ceiling() -> None:
    law = find("knowledge-capacity")
    assert float(law(law.constants("exposures-1000"), N=1e9)) == 2e9
    assert float(law(law.constants("exposures-100"), N=1e9)) == 1e9

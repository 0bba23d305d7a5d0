# SPDX-License-Identifier: Apache-2.0
"""Attacks: adversarial error against the size of a perturbation (Cubuk et al. 2017), tokens that an attack on
activations controls (Fort 2023)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Law, amplitude, exponent, location
from forescale.numerics.curves import regressions

Array = NDArray[np.float64]


def adversarial(radius: Any, R: Any, B: Any) -> Any:
    """err(eps) = A eps^B = (eps / R)^B, eps = radius (Cubuk et al. 2017)."""
    return (radius / R) ** B


def controlled(attacked: Any, kappa: Any) -> Any:
    """t_max = kappa a, a = attacked (Fort 2023)."""
    return kappa * attacked


def attack_multiplier(dimension: float, vocabulary: float, *, bits: float = 16.0, chi: float = 1.0) -> float:
    """kappa: output tokens that the activations of one token control.

    Counting bits, d numbers of p bits can fix d p / log2 V tokens; an attack needs `chi` bits of control per bit that
    it fixes (16 to 25 are measured for language models, Fort 2023).

    Args:
        dimension: of the activations, d. vocabulary: V. bits: per number, p. chi: attack resistance.
    """
    return dimension * bits / (chi * math.log2(vocabulary))


def attack_resistance(kappa: float, dimension: float, vocabulary: float, *, bits: float = 16.0) -> float:
    """chi: bits of control spent per bit that was fixed, from a measured kappa."""
    return attack_multiplier(dimension, vocabulary, bits=bits) / kappa


def starts(radius: Array, y: Array) -> dict[str, Array]:
    """A regression of log error on log radius."""
    columns = np.stack([np.ones_like(y), np.log(radius)])[None]
    found, _ = regressions(columns, np.log(y), np.ones(y.size))
    B = np.maximum(found[:, 1], 1e-2)
    return {"R": np.exp(np.clip(-found[:, 0] / B, -300.0, 300.0)), "B": B}


adversarial_power = Law(
    id="adversarial-power",
    topic="robustness and theory",
    title="Adversarial error as a power of the size of the perturbation",
    inputs=("radius",),
    output="error",
    params={
        "R": location("perturbation at which the power law would reach an error of 1", start=(1e-3, 10.0)),
        "B": exponent("1 where the gap between the two best logits has a finite density at zero", start=(0.1, 4.0)),
    },
    formula=adversarial,
    starts=starts,
    domain={"radius": (1e-4, 1e-2)},
    loss="log-squared",
    latex=r"\mathrm{err}(\epsilon) = \left( \frac{\epsilon}{R} \right)^{B}, \quad \epsilon = \mathrm{radius}",
    meaning=(
        "The share of points that were right and become wrong under the best perturbation of size eps (L-infinity) "
        "is A eps^B with B near 1, on networks from linear ones to large vision models: it follows the density of "
        "gaps between the two highest logits near zero. A = R^-B; R makes models comparable."
    ),
    traps=(
        "Use small errors (.2 % to 10 %): the choice of the window moves B by as much as .5.",
        "B near 1 is not universal: on small easy data the margin is depleted and B is 1.3 to 1.8.",
        "Radii without any error carry information: count them by likelihood, do not drop them.",
        "Small radii of one model share its test points: errors are not independent.",
    ),
    papers=("cubuk2017",),
)

activation_attack = Law(
    id="activation-attack",
    topic="robustness and theory",
    title="Output tokens controlled by an attack on activations",
    inputs=("attacked",),
    output="controlled",
    params={"kappa": amplitude("output tokens per attacked token", start=(1e-2, 1e3))},
    formula=controlled,
    linear=("kappa",),
    loss="squared",
    latex=r"t_{\max} = \kappa \, a, \quad a = \mathrm{attacked}",
    meaning=(
        "The longest continuation that can be forced by changing the activations of the first a tokens is "
        "proportional to a. Divided into d p / log2 V, what counting bits allows, kappa gives the attack resistance "
        "chi (`attack_resistance`), which hardly depends on the size of the model: 16 to 25."
    ),
    traps=(
        "The number of bits per activation is a convention (16): fewer are effective, and chi scales with it.",
        "The attack must be optimised longer for longer targets, or t_max bends.",
        "t_max is the length of half success: fit success against log length first.",
    ),
    papers=("fort2023",),
)

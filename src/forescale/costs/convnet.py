# SPDX-License-Identifier: Apache-2.0
"""How the costs of an image model grow with its depth, width and resolution.

FLOP go as depth width^2 resolution^2, parameters as depth width^2, activations as depth width resolution^2 (Dollar et
al. 2021, section 4). A way of scaling says which share of the FLOP each of the three takes, in logarithms: with
e_d + e_w + e_r = 1 a model of s times the FLOP has depth x s^e_d, width x s^(e_w / 2), resolution x s^(e_r / 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from forescale.core.errors import QueryError, message

EFFICIENTNET = (1.2, 1.1, 1.15)
"""alpha, beta, gamma of Tan and Le (2019): depth alpha^phi, width beta^phi, resolution gamma^phi."""

FAST = 0.8
"""Share of the width in the family d1_w8_r1 of Dollar et al. (2021)."""


@dataclass(frozen=True)
class Scaling:
    """Shares of the FLOP that depth, width and resolution take: they sum to one."""

    depth: float
    width: float
    resolution: float

    def __post_init__(self) -> None:
        if abs(self.depth + self.width + self.resolution - 1.0) > 1e-9:
            raise QueryError(
                message(f"shares {self.depth:g}, {self.width:g}, {self.resolution:g} of the FLOP", "a sum of one")
            )


@dataclass(frozen=True)
class Factors:
    """What a model is multiplied by: its dimensions and its costs."""

    depth: float
    width: float
    resolution: float

    @property
    def flop(self) -> float:
        """depth width^2 resolution^2."""
        return self.depth * self.width**2 * self.resolution**2

    @property
    def parameters(self) -> float:
        """depth width^2."""
        return self.depth * self.width**2

    @property
    def activations(self) -> float:
        """depth width resolution^2."""
        return self.depth * self.width * self.resolution**2


def fast(width: float = FAST) -> Scaling:
    """Dollar et al. (2021): `width` of the FLOP go to the width, the rest to depth and resolution alike."""
    return Scaling((1.0 - width) / 2.0, width, (1.0 - width) / 2.0)


def compound(alpha: float, beta: float, gamma: float) -> Scaling:
    """Tan and Le (2019): depth alpha^phi, width beta^phi, resolution gamma^phi, whatever phi is.

    Raises:
        QueryError: bases that are not positive, or that leave the FLOP as they are.
    """
    if not min(alpha, beta, gamma) > 0 or per_phi(alpha, beta, gamma) == 1.0:
        raise QueryError(message(f"bases {alpha:g}, {beta:g}, {gamma:g}", "positive bases that change the FLOP"))
    whole = math.log(per_phi(alpha, beta, gamma))
    return Scaling(math.log(alpha) / whole, 2.0 * math.log(beta) / whole, 2.0 * math.log(gamma) / whole)


def per_phi(alpha: float, beta: float, gamma: float) -> float:
    """FLOP of one step of phi: alpha beta^2 gamma^2, about 2 by design and 1.92 with the published bases."""
    return alpha * beta**2 * gamma**2


def factors(scaling: Scaling, flop: float) -> Factors:
    """What depth, width and resolution are multiplied by for `flop` times the FLOP."""
    if not flop > 0:
        raise QueryError(message(f"{flop!r} times the FLOP", "a positive number"))
    return Factors(flop**scaling.depth, flop ** (scaling.width / 2.0), flop ** (scaling.resolution / 2.0))

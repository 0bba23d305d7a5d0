# SPDX-License-Identifier: Apache-2.0
"""Curves of the rectified law with draws that know how little a few sizes say of knee, exponent and floor.

From eleven sizes the four parameters are hardly told apart, and normal draws around the optimum describe a banana by
an ellipsoid. Given knee and exponent the law is linear in floor and amplitude: the posterior is a regression at each
node of a grid, and its draws are exact up to the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from forescale.core.errors import DataError, message
from forescale.core.streams import block_streams
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

LEAST = 5
"""Sizes below which four parameters and a scatter cannot be had."""

_KNEES, _POWERS = 201, 121
_ZOOMS = 3
_LEAST_NODES = 40.0
_POWER = (0.03, 3.0)
_BEYOND = 100.0
"""Knees are looked for from this factor below the least size to this factor above the largest."""


def rectified(runs: Runs, draws: int = 1000, rng: int = 0) -> Fit:
    """The rectified law fitted to the sizes of one model, with draws from the posterior.

    Flat priors: in the logarithms of knee and exponent (within the grid), in the floor from zero, in the loss that
    can be learned, in the logarithm of the scatter, which is a share of the loss.

    Raises:
        DataError: fewer than `LEAST` sizes.
    """
    table = require(runs, "D", "loss")
    if len(np.unique(table["D"])) < LEAST:
        raise DataError(message(f"{len(np.unique(table['D']))} sizes of the set", f"{LEAST} sizes or more"))
    found = fit(runs, find("rectified"))
    drawn = posterior(table["D"], table["loss"], draws, rng) if draws > 0 else None
    return found if drawn is None else replace(found, draws=drawn, draws_from="posterior on a grid")


def posterior(D: Array, loss: Array, draws: int, rng: int = 0) -> Array | None:
    """(draws, 4) of E, B, D_l, beta; fewer where the loss hardly falls.

    None where the posterior is narrower than the grid: so close to the optimum it is normal.
    """
    random = block_streams(rng, 1)[0]
    low = np.log([D.min() / _BEYOND, _POWER[0]])
    high = np.log([D.max() * _BEYOND, _POWER[1]])
    axes = np.eye(2)
    ends = np.stack([low, high])
    for zoom in range(_ZOOMS + 1):
        lines = [np.linspace(ends[0, k], ends[1, k], count) for k, count in enumerate((_KNEES, _POWERS))]
        place = np.stack([grid.ravel() for grid in np.meshgrid(*lines, indexing="ij")], axis=1) @ axes.T
        place = place[((place >= low) & (place <= high)).all(axis=1)]
        nodes = _Nodes.at(D, loss, *np.exp(place.T))
        if zoom < _ZOOMS:
            cells = np.array([line[1] - line[0] for line in lines])
            axes, ends = _around(place, nodes.chance, axes @ np.diag(cells**2 / 12.0) @ axes.T)
    return nodes.draw(random, draws) if nodes.count > _LEAST_NODES else None


def _around(place: Array, chance: Array, cell: Array) -> tuple[Array, Array]:
    """Principal axes of the places that matter, and the box (2, 2) along them that holds those places.

    Args:
        cell: (2, 2) covariance within one cell of the grid.
    """
    matters = chance > 1e-6 * chance.max()
    off = place - chance @ place
    axes = np.linalg.eigh((off * chance[:, None]).T @ off + cell)[1]
    along = place[matters] @ axes
    margin = 3.0 * np.sqrt(np.einsum("ik,ij,jk->k", axes, cell, axes))
    return axes, np.stack([along.min(axis=0) - margin, along.max(axis=0) + margin])


@dataclass(frozen=True, eq=False)
class _Nodes:
    """Regressions of the loss on x at every node (m,), rows weighted as shares of the loss.

    x is 1 at the least size, so that the amplitude is a loss and its flat prior means the same at every node.
    """

    knee: Array
    beta: Array
    first: Array
    x_0: Array
    spread: Array
    floor: Array
    amplitude: Array
    left: Array
    above: Array
    chance: Array
    total: float
    freedom: int

    @staticmethod
    def at(D: Array, loss: Array, knee: Array, beta: Array) -> _Nodes:
        """The nodes at (m,) knees and powers, with their shares of the posterior."""
        first = 1.0 + (D.min() / knee) ** beta
        x = (first / (1.0 + (D[:, None] / knee) ** beta)).T
        weight = loss**-2.0
        total = float(weight.sum())
        x_0, y_0 = (x @ weight) / total, float(loss @ weight) / total
        away = x - x_0[:, None]
        spread = (away**2) @ weight
        amplitude = (away * (loss - y_0)) @ weight / spread
        freedom = D.size - 2
        # Rounding stands for noise where there is none.
        left = np.maximum(((loss - y_0 - amplitude[:, None] * away) ** 2) @ weight, D.size * 1e-24)
        # The floor lies at zero or above: each node counts with the share of its t distribution that does.
        floor = y_0 - amplitude * x_0
        above = stdtr(freedom, floor / np.sqrt((1.0 / total + x_0**2 / spread) * left / freedom))
        with np.errstate(divide="ignore"):
            log = np.log(above) - 0.5 * np.log(spread) - 0.5 * freedom * np.log(left)
        chance = np.exp(log - log.max())
        return _Nodes(
            knee, beta, first, x_0, spread, floor, amplitude, left, above, chance / chance.sum(), total, freedom
        )  # fmt: skip

    @property
    def count(self) -> float:
        """Nodes that carry the posterior."""
        return float(1.0 / np.sum(self.chance**2))

    def draw(self, random: np.random.Generator, draws: int) -> Array:
        """Draws of the four parameters: a node, its floor, the scatter given the floor, the amplitude given both."""
        node = random.choice(self.knee.size, size=2 * draws, p=self.chance)
        floor, x_0, spread, left = self.floor[node], self.x_0[node], self.spread[node], self.left[node]
        variance = 1.0 / self.total + x_0**2 / spread
        scale = np.sqrt(variance * left / self.freedom)
        E = floor - scale * stdtrit(self.freedom, self.above[node] * (1.0 - random.random(node.size)))
        off = E - floor
        sigma_2 = (left + off**2 / variance) / random.chisquare(self.freedom + 1, node.size)
        slope = -x_0 / spread / variance
        rest = 1.0 / spread + slope * x_0 / spread
        B = self.amplitude[node] + slope * off + np.sqrt(sigma_2 * rest) * random.standard_normal(node.size)
        good = np.flatnonzero((E > 0) & (B > 0))[:draws]
        D_l = self.knee[node[good]] ** self.beta[node[good]]
        return np.stack([E[good], B[good] * self.first[node[good]] * D_l, D_l, self.beta[node[good]]], axis=1)

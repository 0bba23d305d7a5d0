# SPDX-License-Identifier: Apache-2.0
"""The density of a residual when some runs are under-tuned, and its profile: the mathematics of the loss `frontier`.

    log y = log(law) + noise + excess,   noise = s z,   excess = 0 for a share 1 - p of the runs, else positive

A stochastic frontier (Aigner, Lovell & Schmidt 1977) with two changes. A share of the runs sits on the frontier
itself: a half-normal or exponential excess of all runs cannot be told from a shifted law, which is what this must
decide. And nothing but the share p and the scale s is estimated: noise has a fixed shape with tails (`NOISE`), an
excess is a fixed mixture of exponentials over the scales that matter, in units of s (`EXCESS`). Under p = 0 no
parameter is left without meaning, so the likelihood ratio of p = 0 has the boundary law 1/2 chi2(0) + 1/2 chi2(1)
(Chernoff 1954), and the excess cannot shrink to nothing while s goes to zero: likelihoods of mixtures are unbounded
where it can.

Everything is in z = (log y - log law) / s. With g_r the density of normal noise plus an exponential of mean r, closed
form, all derivatives follow from g_r' = (phi - g_r) / r.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

NOISE = ((0.9, 1.0), (0.08, 3.0), (0.02, 9.0))
"""(share, width): the noise of a tuned run in units of s, a contaminated normal (Tukey 1960). Without the widest part
tails of Student's t with 3 degrees of freedom are taken for an excess in 12 % of tables at a nominal 5 %, with it in
2 % (benchmarks/undertuned.py)."""

EXCESS = ((1 / 3, 2.0), (1 / 3, 6.0), (1 / 3, 18.0))
"""(share, mean): the excess of an under-tuned run in units of s, even in the logarithm of the scale."""

MOST = 0.6
"""Largest share of under-tuned runs: with fewer than two tuned runs in five, no model says where the law of those is
(compared in simulation at .5, .6, .75, .9)."""

GROSS = 1e-6
"""Density, per unit of log loss, of rows that belong to no law (a typing error): it costs 14 nats to be one."""

LEAST_SCALE = 1e-6
"""Smallest s: with few rows the likelihood of a curve through some of them would grow without bound."""

_ROOT = 1.0 / np.sqrt(2.0 * np.pi)


@dataclass(frozen=True)
class Density:
    """Densities and their derivatives in z, each (B, n): of a tuned (0) and of an under-tuned run (1)."""

    tuned: tuple[Array, Array, Array]
    under: tuple[Array, Array, Array]
    wide: tuple[Array, ...]

    def mixed(self, share: Array) -> tuple[Array, Array, Array]:
        """The density at a share (B, 1) of under-tuned runs, its first and second derivative."""
        f, slope, bend = (a + share * (b - a) for a, b in zip(self.tuned, self.under))
        return f, slope, bend


@dataclass(frozen=True)
class Score:
    """Derivatives of -log density of r = s z, each (B, n): `contribution` itself, by r and twice by r (times s and
    s^2), by log s (`scale`) and by the share (`share`), and the second ones that involve these."""

    contribution: Array
    slope: Array
    bend: Array
    scale: Array
    share: Array
    scale_scale: Array
    scale_share: Array
    slope_scale: Array
    slope_share: Array


def density(z: Array) -> Density:
    """Densities of tuned and under-tuned runs at z (B, n)."""
    from scipy.special import ndtr

    square = z * z
    core = _ROOT * np.exp(-0.5 * square)
    (first_share, _), *others = NOISE
    tuned, pull = first_share * core, first_share * core
    bend = first_share * (square - 1.0) * core
    wide = []
    for share, width in others:
        part = (share * _ROOT / width) * np.exp((-0.5 / width**2) * square)
        wide.append(part)
        tuned = tuned + part
        pull = pull + part / width**2
        bend = bend + (square / width**2 - 1.0) / width**2 * part
    slope = -z * pull
    core_slope = -z * core
    under, under_slope, under_bend = np.zeros_like(z), np.zeros_like(z), np.zeros_like(z)
    for share, mean in EXCESS:
        # Far to the left exp overflows where ndtr is zero: the product is below TINY there.
        g = np.exp(np.minimum((0.5 / mean - z) / mean, 600.0)) * ndtr(z - 1.0 / mean) / mean
        first = (core - g) / mean
        under += share * g
        under_slope += share * first
        under_bend += share * (core_slope - first) / mean
    return Density((tuned, slope, bend), (under, under_slope, under_bend), tuple(wide))


def score(z: Array, s: Array, share: Array, parts: Density) -> Score:
    """-log of density(z) / s + GROSS and its derivatives; z (B, n), s and share (B, 1)."""
    f, slope, bend = parts.mixed(share)
    gross = GROSS * s
    t = f + gross
    one, two = slope / t, bend / t
    q = (parts.under[0] - parts.tuned[0]) / t
    both = (parts.under[1] - parts.tuned[1]) / t
    moved = z * one - gross / t
    return Score(
        contribution=np.log(s) - np.log(t),
        slope=-one,
        bend=one * one - two,
        scale=1.0 + moved,
        share=-q,
        scale_scale=moved * moved - z * one - z * z * two - gross / t,
        scale_share=z * both - moved * q,
        slope_scale=one + z * two - one * moved,
        slope_share=one * q - both,
    )


def tightness(s: Array, share: Array, parts: Density) -> Array:
    """Expected 1/width^2 of each run's noise (B, n): the curvature of the bound that EM uses, always positive."""
    f = parts.mixed(share)[0] + GROSS * s
    out = np.ones_like(f)
    for part, (_, width) in zip(parts.wide, NOISE[1:]):
        out -= (1.0 - width**-2) * (1.0 - share) * part / f
    return np.maximum(out, NOISE[-1][1] ** -2)


def posterior(r: Array, s: float, share: float) -> tuple[Array, Array]:
    """Probability that a run is under-tuned, and its expected excess (Jondrow et al. 1982), both (n,)."""
    z = r / s
    parts = density(z)
    f = parts.mixed(np.asarray(share))[0] + GROSS * s
    expected = np.zeros_like(z)
    from scipy.special import erfcx

    for weight, mean in EXCESS:
        t = z - 1.0 / mean
        g = np.exp(np.minimum((0.5 / mean - z) / mean, 600.0)) * _ndtr(t) / mean
        # Mean of a normal (t, 1) cut at zero; phi/Phi = sqrt(2/pi) / erfcx(-t/sqrt(2)) stays finite on the left.
        above = t + np.sqrt(2.0 / np.pi) / erfcx(np.minimum(-t / np.sqrt(2.0), 1e8))
        expected += weight * g * np.maximum(above, 0.0)
    return share * parts.under[0] / f, s * share * expected / f


def _ndtr(t: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(t))


def profile(r: Array, w: Array, most: float, previous: Array | None) -> Array:
    """Scale and share (B, 2) that maximise the likelihood of residuals r = log y - log law (B, n).

    Newton steps in (log s, share) with step halving; the likelihood is concave in the share. Without `previous` the
    best of two starts: all runs tuned with wide noise, half of them with narrow noise.
    """
    total = w.sum(axis=1)
    if previous is not None:
        known = np.where(np.isfinite(previous) & (previous > 0), previous, [[1.0, 0.0]])
        return _newton(r, w, total, np.log(known[:, 0]), known[:, 1], most)
    size = np.sort(np.where(np.isfinite(r), np.abs(r), np.inf), axis=1)
    n = r.shape[1]
    middle = np.maximum(np.where(np.isfinite(size[:, n // 2]), size[:, n // 2], 1.0) / 0.6745, LEAST_SCALE)
    one = _newton(r, w, total, np.log(middle), np.zeros(middle.size), most)
    if most == 0.0:
        return one
    two = _newton(r, w, total, np.log(0.4 * middle), np.full(middle.size, 0.5 * most), most)
    better = _value(r, w, total, np.log(two[:, 0]), two[:, 1]) < _value(r, w, total, np.log(one[:, 0]), one[:, 1])
    return np.where(better[:, None], two, one)


def _value(r: Array, w: Array, total: Array, a: Array, p: Array) -> Array:
    s = np.exp(a)[:, None]
    f = density(r / s).mixed(p[:, None])[0] + GROSS * s
    return np.asarray(total * a - (w * np.log(f)).sum(axis=1))


def _newton(r: Array, w: Array, total: Array, a: Array, p: Array, most: float, limit: int = 60) -> Array:
    low = float(np.log(LEAST_SCALE))
    a, p = np.maximum(a, low), np.clip(p, 0.0, most)
    todo = np.arange(a.size)
    value = np.full(a.size, np.inf)
    step = np.zeros((a.size, 2))
    trial_a, trial_p = a.copy(), p.copy()
    for _ in range(limit):
        s = np.exp(trial_a[todo])[:, None]
        z = r[todo] / s
        share = trial_p[todo][:, None]
        by = score(z, s, share, density(z))
        weight = w[todo]
        here = (weight * by.contribution).sum(axis=1)
        better = here <= value[todo] + 1e-13 * total[todo]
        # A step that raised the value is halved from where it began.
        step[todo[~better]] *= 0.25
        gained = value[todo] - here
        gradient = np.stack([(weight * by.scale).sum(axis=1), (weight * by.share).sum(axis=1)], axis=1)
        bend_a = (weight * by.scale_scale).sum(axis=1)
        bend_p = (weight * by.share * by.share).sum(axis=1)
        bend_ap = (weight * by.scale_share).sum(axis=1)
        at_low = (share[:, 0] <= 0.0) & (gradient[:, 1] >= 0.0)
        at_high = (share[:, 0] >= most) & (gradient[:, 1] <= 0.0)
        held = at_low | at_high
        floor = (trial_a[todo] <= low) & (gradient[:, 0] >= 0.0)
        bend_a = np.where(bend_a > 0.0, bend_a, np.maximum(np.abs(bend_a), 0.1 * total[todo]))
        bend_p = np.where(bend_p > 0.0, bend_p, 1.0)
        bend_ap = np.where(held | floor, 0.0, bend_ap)
        det = bend_a * bend_p - bend_ap * bend_ap
        bend_ap = np.where(det > 1e-6 * bend_a * bend_p, bend_ap, 0.0)
        det = bend_a * bend_p - bend_ap * bend_ap
        d_a = -(bend_p * gradient[:, 0] - bend_ap * gradient[:, 1]) / det
        d_p = -(bend_a * gradient[:, 1] - bend_ap * gradient[:, 0]) / det
        d_a, d_p = np.where(floor, 0.0, np.clip(d_a, -1.0, 1.0)), np.where(held, 0.0, np.clip(d_p, -0.3, 0.3))
        promised = -(d_a * gradient[:, 0] + d_p * gradient[:, 1])
        good = todo[better]
        value[good], a[good], p[good] = here[better], trial_a[good], trial_p[good]
        step[good] = np.stack([d_a, d_p], axis=1)[better]
        # Newton's error is squared by each step: the one that promises 1e-9 needs no look at where it ends.
        small = better & (np.abs(promised) <= 1e-9 * np.maximum(total[todo], 1e-300))
        last = todo[small]
        a[last] = np.maximum(a[last] + step[last, 0], low)
        p[last] = np.clip(p[last] + step[last, 1], 0.0, most)
        done = small | (better & (np.abs(gained) <= 1e-15 * total[todo])) | ~np.isfinite(here)
        done |= ~better & (np.abs(step[todo]).max(axis=1) < 1e-9)
        trial_a[todo] = np.maximum(a[todo] + step[todo, 0], low)
        trial_p[todo] = np.clip(p[todo] + step[todo, 1], 0.0, most)
        todo = todo[~done]
        if todo.size == 0:
            break
    return np.stack([np.exp(a), p], axis=1)

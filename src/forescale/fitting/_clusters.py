# SPDX-License-Identifier: Apache-2.0
"""Few runs with several rows each: a covariance from two variance components, and its degrees of freedom.

A sandwich needs many clusters: the scores of seven runs are seven numbers, and five parameters bend towards them.
With few runs the noise is taken to be alike in all of them, a shared part per run and a part per row, and both
variances are estimated from the residuals with what the fit absorbed taken into account (equicorrelated errors;
Moulton 1986). Quantiles then come from Student's t with the degrees of freedom of that estimate (Satterthwaite 1946;
Bell & McCaffrey 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Components:
    """Variances of errors that rows of a cluster share in part.

    Attributes:
        shared, own: variance of the part of a cluster and of a row; `shared` may be negative as long as no cluster
            mean gets a negative variance, because cutting it at zero would bias what few clusters say.
        matrix: (P, P) covariance. df: (P,) degrees of freedom of each parameter's variance.
    """

    shared: float
    own: float
    matrix: Array
    df: Array


def components(root: Array, left: Array, residual: Array, clusters: Labels) -> Components | None:
    """Covariance of an estimate by least squares whose rows share noise in clusters.

    Args:
        root: (P, r) with root @ root.T the inverse of X'X (r = P where the design has full rank).
        left: (n, r) orthonormal columns that span the design.
        residual: (n,), times the root of the weight, as the rows of the design are.
        clusters: (n,) labels 0..G-1.

    Returns:
        None where the residuals leave no freedom between clusters.
    """
    n, groups = residual.size, int(clusters.max()) + 1
    member = np.zeros((n, groups))
    member[np.arange(n), clusters] = 1.0
    summed = left.T @ member  # (r, G)
    between = np.diag(member.sum(axis=0)) - summed.T @ summed  # Z'MZ
    free = n - left.shape[1]
    # E[sum r^2] = own * free + shared * tr(K); E[sum of squared cluster sums] = own * tr(K) + shared * tr(K K).
    trace, square = float(np.trace(between)), float((between * between).sum())
    if free < 1 or trace <= 1e-8 * n or free * square - trace**2 <= 1e-8 * free * square:
        return None
    moments = np.array([[free, trace], [trace, square]])
    per_cluster = np.bincount(clusters, residual, minlength=groups)
    seen = np.array([float(residual @ residual), float(per_cluster @ per_cluster)])
    inverse = np.linalg.inv(moments)
    own, shared = (float(v) for v in inverse @ seen)
    # Where one variance ends at its bound, the other follows from the sum of squares alone.
    least, most = 1e-3 * seen[0] / free, 0.9 / float(member.sum(axis=0).max())
    if own < least:
        own, shared = least, (seen[0] - least * free) / trace
    elif shared < -most * own:
        own = seen[0] / (free - most * trace)
        shared = -most * own
    # Covariance = own * root root' + shared * B B', B = root left' Z.
    with np.errstate(all="ignore"):  # parameters that ran away overflow, and are refused by their variance
        plain, spread = root @ root.T, root @ summed
        matrix = own * plain + shared * (spread @ spread.T)
    # Variances and covariance of the two moments, as quadratic forms of normal errors: 2 tr(F V G V) with
    # V = own I + shared ZZ', projected.
    k2 = between @ between
    k3, k4 = float((k2 * between).sum()), float((k2 * k2).sum())
    ss = own**2 * free + 2 * own * shared * trace + shared**2 * square
    sc = own**2 * trace + 2 * own * shared * square + shared**2 * k3
    cc = own**2 * square + 2 * own * shared * k3 + shared**2 * k4
    noise = inverse @ (2.0 * np.array([[ss, sc], [sc, cc]])) @ inverse.T
    with np.errstate(all="ignore"):
        parts = np.stack([np.diag(plain), (spread * spread).sum(axis=1)])  # (2, P)
        df = 2.0 * np.diag(matrix) ** 2 / np.einsum("ip,ij,jp->p", parts, noise, parts)
    return Components(shared, own, matrix, np.where(np.isfinite(df), df, 1.0))

# SPDX-License-Identifier: Apache-2.0
"""Loss as a regression on the weights of the training mixture (Liu et al. 2024, RegMix).

Many small models on random mixtures, one regression, and the mixture that it likes best: what ranks mixtures at a
small size ranks them at a large one. The paper regresses linearly, and with boosted trees. Here the alternatives are
linear regressions of the loss on the shares, of its logarithm on the logarithms of the shares, and kernel ridge
regression on those; settings and method are those of the least leave-one-out error on the rows learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, InputError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.numerics.resample import bootstrap_rows
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

METHODS = ("linear", "log-linear", "kernel")

SHIFTS = (3e-4, 2e-3, 1e-2, 5e-2)
"""What is added to a share before its logarithm: shares below it count as none."""

WIDTHS = (1.0, 2.5, 6.0)
"""Widths of the kernel, in typical distances between two mixtures."""

RIDGES = tuple(10.0**-k for k in range(7))
"""Noise over signal, as variances."""

FLAT = 10.0
"""Variance of the level, against that of the curve: the level is free."""


@dataclass(frozen=True, eq=False)
class Regression:
    """What was learned.

    Attributes:
        columns: (M,) weights, in the order of the table's names.
        method: one of `METHODS`.
        error: leave-one-out root mean square error of log loss.
        errors: method -> the same, of each that was tried.
        intercept: level; coefficients: (M,) of the linear methods.
        shift, width, ridge: settings in use; NaN where the method has none.
        mean, scale: (M,) and one number: features are (log(share + shift) - mean) / scale.
        at: (m, M) features of the mixtures; dual: (m,) their weights in a prediction.
    """

    columns: tuple[str, ...]
    method: str
    error: float
    errors: Mapping[str, float]
    intercept: float
    coefficients: Array
    shift: float
    width: float
    ridge: float
    mean: Array
    scale: float
    at: Array
    dual: Array


@dataclass(frozen=True, eq=False)
class _Rows:
    """Distinct mixtures: shares (m, M), mean log loss (m,), and how many rows each has (m,)."""

    shares: Array
    y: Array
    count: Array


def learn(runs: Runs, options: Options) -> Regression:
    """The method asked for, or the one of the least leave-one-out error.

    Raises:
        DataError: fewer than two weights, losses that are not positive, fewer distinct mixtures than weights.
        InputError: an unknown method.
    """
    wanted = str(options["method"])
    if wanted not in (*METHODS, "best"):
        raise InputError(message(f"the method {wanted!r}", ", ".join((*METHODS, "best"))))
    columns = tuple(sorted(name for name in runs.columns if name.startswith(str(options["weights"]))))
    if len(columns) < 2:
        raise DataError(message(f"weights of {list(columns)}", f"two or more columns {options['weights']}..."))
    rows = _distinct(require(runs, *columns, "loss"), columns)
    tried = METHODS if wanted == "best" else (wanted,)
    found = [min(_METHODS[name](rows, columns), key=lambda one: one.error) for name in tried]
    best = min(found, key=lambda one: one.error)
    return replace(best, errors={one.method: one.error for one in found})


def predict(state: Regression, columns: Mapping[str, Any]) -> Array:
    """Loss (k,) of mixtures given by their weights."""
    shares = _shares(np.stack([columns[name] for name in state.columns], axis=1))
    if state.method == "linear":
        return np.asarray(state.intercept + shares @ state.coefficients)
    features = (np.log(shares + state.shift) - state.mean) / state.scale
    if state.method == "log-linear":
        return np.asarray(np.exp(state.intercept + features @ state.coefficients))
    return np.asarray(np.exp(_kernel(features, state.at, state.width) @ state.dual))


@dataclass(frozen=True, eq=False)
class Refits:
    """A regression and its refits to resampled mixtures, with the settings of the first.

    Attributes:
        state: the regression.
        intercept: (B,); coefficients: (B, M) of the linear methods; dual: (B, m) of the kernel. Row 0 is `state`.
    """

    state: Regression
    intercept: Array
    coefficients: Array
    dual: Array

    @cached_property
    def products(self) -> Array:
        """(m, M M) products of the features of each mixture of the kernel."""
        at = self.state.at
        return np.asarray((at[:, :, None] * at[:, None, :]).reshape(len(at), -1))

    def loss(self, shares: Array) -> Array:
        """(B, k) losses of mixtures (k, M)."""
        state = self.state
        if state.method == "linear":
            return np.asarray(self.intercept[:, None] + self.coefficients @ shares.T)
        features = (np.log(shares + state.shift) - state.mean) / state.scale
        if state.method == "log-linear":
            return np.asarray(np.exp(self.intercept[:, None] + self.coefficients @ features.T))
        return np.asarray(np.exp(self.dual @ _kernel(features, state.at, state.width).T))

    def smooth(self, p: Array, which: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        """Losses (k,), gradients (k, M) and Hessians (k, M, M) of the refits `which` at shares (k, M)."""
        state, M = self.state, p.shape[1]
        if state.method == "linear":
            slope = self.coefficients[which]
            return self.intercept[which] + (slope * p).sum(axis=1), slope, np.zeros((len(p), M, M))
        u = (np.log(p + state.shift) - state.mean) / state.scale
        first = 1.0 / (state.scale * (p + state.shift))
        if state.method == "log-linear":
            by_u, bend = self.coefficients[which], np.zeros((len(p), M, M))
            log = self.intercept[which] + (by_u * u).sum(axis=1)
        else:
            near = _kernel(u, state.at, state.width)
            log = (self.dual[which] * near).sum(axis=1)
            # sums over the mixtures of pull (at - u) and of pull (at - u)(at - u)'
            pull = self.dual[which] * (near - FLAT) / state.width**2
            total, mean = pull.sum(axis=1)[:, None], pull @ state.at
            by_u = mean - total * u
            outer = (pull @ self.products).reshape(-1, M, M)
            cross = u[:, :, None] * (mean - 0.5 * total * u)[:, None, :]
            bend = (outer - cross - np.swapaxes(cross, 1, 2)) / state.width**2 - total[:, :, None] * np.eye(M)
        slope = by_u * first
        bend = bend * first[:, :, None] * first[:, None, :]
        bend[:, np.arange(M), np.arange(M)] -= slope / (p + state.shift)
        loss = np.exp(log)
        curved = loss[:, None, None] * (bend + slope[:, :, None] * slope[:, None, :])
        return loss, loss[:, None] * slope, curved


def refits(state: Regression, runs: Runs, draws: int, seed: int = 0) -> Refits:
    """The regression fitted again to mixtures drawn with replacement; its settings stay."""
    rows = _distinct(require(runs, *state.columns, "loss"), state.columns)
    drawn = bootstrap_rows(rows.y.size, draws, seed, rows.count)
    intercept, coefficients, dual = [state.intercept], [state.coefficients], [state.dual]
    features = (
        rows.shares if state.method == "linear" else (np.log(rows.shares + state.shift) - state.mean) / state.scale
    )
    kernel = _kernel(features, features, state.width) if state.method == "kernel" else None
    for count in drawn:
        on = count > 0
        root = np.sqrt(count[on])
        if kernel is not None:
            inner = kernel[np.ix_(on, on)] * root[:, None] * root
            weights = np.zeros(rows.y.size)
            weights[on] = root * np.linalg.solve(inner + state.ridge * np.eye(root.size), root * rows.y[on])
            dual.append(weights)
            intercept.append(0.0)
            continue
        level = np.zeros((root.size, 0)) if state.method == "linear" else np.ones((root.size, 1))
        table = np.concatenate([level, features[on]], axis=1)
        y = np.exp(rows.y[on]) if state.method == "linear" else rows.y[on]
        found = np.linalg.lstsq(table * root[:, None], y * root, rcond=1e-10)[0]
        intercept.append(float(found[0]) if state.method == "log-linear" else 0.0)
        coefficients.append(found[level.shape[1] :])
    return Refits(state, np.array(intercept), np.stack(coefficients), np.stack(dual))


def numbers(state: Regression) -> dict[str, float]:
    """Errors by method, settings in use, and, for a linear method, what each domain does."""
    out = {"error": state.error, **{f"error_{name}": value for name, value in state.errors.items()}}
    settings = {"shift": state.shift, "width": state.width, "ridge": state.ridge}
    out.update({name: value for name, value in settings.items() if np.isfinite(value)})
    return out | dict(zip(state.columns, state.coefficients.tolist()))


def _distinct(runs: Runs, columns: tuple[str, ...]) -> _Rows:
    loss = runs["loss"]
    if not (loss > 0).all():
        raise DataError(message(f"a loss of {loss.min():.4g}", "positive losses, whose logarithm is regressed"))
    shares = _shares(np.stack([runs[name] for name in columns], axis=1))
    _, first, of, count = np.unique(
        np.round(shares, 9), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    if count.size <= len(columns):
        raise DataError(message(f"{count.size} distinct mixtures of {len(columns)} domains", "more than domains"))
    y = np.bincount(of.reshape(-1), np.log(loss)) / count
    return _Rows(shares[first], y, count.astype(np.float64))


def _shares(weights: Array) -> Array:
    total = weights.sum(axis=1, keepdims=True)
    if (weights < 0).any() or not (total > 0).all():
        raise DataError(message("weights of a mixture below zero, or all zero", "weights >= 0, not all zero"))
    return np.asarray(weights / total)


def _linear(rows: _Rows, columns: tuple[str, ...]) -> Iterator[Regression]:
    """Least squares of the loss on the shares, which sum to one and so hold the level."""
    y = np.exp(rows.y)
    found, left, leverage = _least_squares(rows.shares, y, rows.count)
    without = np.maximum(y - left / (1.0 - leverage), 1e-6 * y)
    error = _root_mean(np.log(without) - rows.y, rows.count)
    yield _state(columns, "linear", error, coefficients=found)


def _log_linear(rows: _Rows, columns: tuple[str, ...]) -> Iterator[Regression]:
    """Least squares of log loss on the logarithms of the shares, for each shift."""
    for shift in SHIFTS:
        features, mean, scale = _features(rows.shares, shift)
        found, left, leverage = _least_squares(np.column_stack([np.ones(rows.y.size), features]), rows.y, rows.count)
        error = _root_mean(left / (1.0 - leverage), rows.count)
        parts = {"intercept": float(found[0]), "coefficients": found[1:], "mean": mean, "scale": scale}
        yield _state(columns, "log-linear", error, shift=shift, **parts)


def _ridge(rows: _Rows, columns: tuple[str, ...]) -> Iterator[Regression]:
    """Kernel ridge regression of log loss, for each setting; one decomposition per kernel gives all errors."""
    root = np.sqrt(rows.count)
    for shift, width in product(SHIFTS, WIDTHS):
        features, mean, scale = _features(rows.shares, shift)
        kernel = _kernel(features, features, width) * root[:, None] * root
        values, vectors = np.linalg.eigh(kernel)
        turned = vectors.T @ (root * rows.y)
        for ridge in RIDGES:
            inverse = 1.0 / (np.maximum(values, 0.0) + ridge)
            dual = vectors @ (inverse * turned)
            error = _root_mean(dual / (vectors**2 @ inverse) / root, rows.count)
            parts = {"mean": mean, "scale": scale, "at": features, "dual": root * dual}
            yield _state(columns, "kernel", error, shift=shift, width=width, ridge=ridge, **parts)


_METHODS = {"linear": _linear, "log-linear": _log_linear, "kernel": _ridge}


def _features(shares: Array, shift: float) -> tuple[Array, Array, float]:
    """Logarithms of the shares around their mean, so scaled that two mixtures typically lie one apart."""
    logs = np.log(shares + shift)
    mean = logs.mean(axis=0)
    scale = float(np.sqrt(2.0 * ((logs - mean) ** 2).sum(axis=1).mean())) or 1.0
    return (logs - mean) / scale, mean, scale


def _kernel(a: Array, b: Array, width: float) -> Array:
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2.0 * a @ b.T
    return np.asarray(np.exp(-0.5 * np.maximum(squares, 0.0) / width**2) + FLAT)


def _least_squares(table: Array, y: Array, count: Array) -> tuple[Array, Array, Array]:
    """Coefficients of the least norm, residuals, and leverages below one."""
    root = np.sqrt(count)
    found = np.linalg.lstsq(table * root[:, None], y * root, rcond=1e-10)[0]
    basis, sizes, _ = np.linalg.svd(table * root[:, None], full_matrices=False)
    kept = basis[:, sizes > 1e-10 * sizes[0]]
    leverage: Array = np.minimum((kept * kept).sum(axis=1), 1.0 - 1e-9)
    return np.asarray(found, dtype=np.float64), np.asarray(y - table @ found, dtype=np.float64), leverage


def _root_mean(errors: Array, count: Array) -> float:
    return float(np.sqrt(np.average(errors**2, weights=count)))


def _state(columns: tuple[str, ...], method: str, error: float, **parts: Any) -> Regression:
    nothing = np.empty(0)
    empty = {
        "errors": {}, "intercept": 0.0, "coefficients": nothing, "shift": np.nan, "width": np.nan, "ridge": np.nan,
        "mean": nothing, "scale": 1.0, "at": nothing, "dual": nothing,
    }  # fmt: skip
    return Regression(columns=columns, method=method, error=error, **{**empty, **parts})


regmix = Estimator(
    id="regmix",
    title="Regression of the loss on the weights of the training mixture",
    topic="mixtures",
    output="loss",
    learn=learn,
    predict=predict,
    numbers=numbers,
    options={"method": "best", "weights": "weight_"},
    about_options={
        "method": "linear, log-linear, kernel, or best: that of the least leave-one-out error on these rows",
        "weights": "what the names of the weight columns begin with",
    },
    needs=("weight_...",),
    least=3,
    meaning=(
        "Learns the loss on one validation domain from many small runs on random mixtures, and so ranks mixtures "
        "that were not trained. Its ranking at a small size is taken for that at a large size (rank invariance): the "
        "values are those of the small size, the order is what counts. Kernel ridge regression on logarithms of the "
        "shares is its strongest method with some hundreds of runs, a linear one with few."
    ),
    traps=(
        "It predicts the loss of the size that it learned from; only the order is carried to another size.",
        "It knows nothing about mixtures outside of those that were trained: draw them over the whole simplex.",
        "A linear regression on shares ranks worst: the first percent of a domain helps more than the second.",
        "Shares are weights over their sum. A domain without a column is not part of it.",
        "Settings are chosen by leave-one-out error, which the choice makes a little too good.",
    ),
    papers=("liu2024regmix",),
)

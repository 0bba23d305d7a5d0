# SPDX-License-Identifier: Apache-2.0
"""Routed language models (Clark et al. 2022): loss from the size of the dense model and the number of experts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, amplitude, real
from forescale.numerics.curves import best, regressions

Array = NDArray[np.float64]


def loss(N: Any, experts: Any, a: Any, b: Any, c: Any, d: Any, E_start: Any, E_max: Any) -> Any:
    """log10 L = a log10 N + b log10 H + c log10 N log10 H + d, H = saturated(experts) (Clark et al. 2022)."""
    n, h = np.log10(N), np.log10(saturated(experts, E_start, E_max))
    return np.exp((a * n + b * h + c * n * h + d) * np.log(10.0))


def saturated(experts: Any, E_start: Any, E_max: Any) -> Any:
    """1 / H = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max: E_start for one expert, at most E_max."""
    first = 1.0 / (1.0 / E_start - 1.0 / E_max)
    return 1.0 / (1.0 / (experts - 1.0 + first) + 1.0 / E_max)


# -- closed forms: any numbers or arrays that broadcast --------------------------------------------------------------


def dense_equivalent(loss: Any, a: Any, b: Any, c: Any, d: Any, E_start: Any) -> Any:
    """Parameters of the dense model with that loss: the law solved for N at one expert, which counts as E_start.

    With the loss of (N, E) it is Clark et al.'s effective parameter count.
    """
    h = np.log10(E_start)
    return 10.0 ** ((np.log10(loss) - d - b * h) / (a + c * h))


def routed_size(loss: Any, experts: Any, a: Any, b: Any, c: Any, d: Any, E_start: Any, E_max: Any) -> Any:
    """Parameters per token with which so many experts have that loss: the law solved for N."""
    return dense_equivalent(loss, a, b, c, d, saturated(experts, E_start, E_max))


def cutoff(b: Any, c: Any) -> Any:
    """N above which experts hurt, 10^(-b/c): there b + c log10 N = 0. Infinite where their gain does not fade."""
    fades = np.asarray(c) > 0
    edge = 10.0 ** np.minimum(-b / np.where(fades, c, 1.0), 300.0)
    return np.where(fades, edge, np.where(np.isnan(c), np.nan, np.inf))


def starts(N: Array, experts: Array, y: Array) -> dict[str, Array]:
    """For each pair of E_start and E_max of a grid the rest comes from a regression of log10 y."""
    few, many = np.meshgrid([1.05, 1.5, 2.2, 3.2, 5.0, 8.0], np.geomspace(12.0, 1e4, 10), indexing="ij")
    E_start, E_max = few.ravel(), many.ravel()
    n, h = np.log10(N), np.log10(saturated(experts, E_start[:, None], E_max[:, None]))
    columns = np.stack(np.broadcast_arrays(n, h, n * h, 1.0), axis=1)
    found, left = regressions(columns, np.log10(y), np.ones(y.size))
    chosen = best(left, np.log(np.stack([E_start, E_max], axis=1)), 4, 0.6)
    a, b, c, d = found[chosen].T
    return {"a": a, "b": b, "c": c, "d": d, "E_start": E_start[chosen], "E_max": E_max[chosen]}


_WORDS = {"D": "tokens", "loss": "nats/token"}
_RANGE = {"N": (1.65e7, 1.31e9), "experts": (1.0, 512.0)}


def _constants(values: tuple[float, ...], note: str) -> Published:
    return Published(
        values=dict(zip(("a", "b", "c", "d", "E_start", "E_max"), values)),
        source="clark2022",
        conventions=_WORDS,
        fitted_range=_RANGE,
        reproduced="yes",
        note=note,
    )


def _printed(router: str, values: tuple[float, ...], off: str, near: str, best: str) -> Published:
    return _constants(
        values,
        f"{router}, table 3, as printed; c to .001, which can move log10 L by .01. On the released last evaluations "
        f"these are {off} off (root mean square of log10 L), the best constants that round to them {near}, and our "
        f"optimum {best}: predict from the refit.",
    )


def _refit(router: str, values: tuple[float, ...], rows: int) -> Published:
    return _constants(
        values,
        f"Our least squares of log10 L on the last evaluation of the {rows} released runs with {router} or dense, "
        "one expert per token and every second layer routed; root mean square .003 in log10 L. It lies within one "
        "standard error of the printed constants, each of the six.",
    )


routing = Law(
    id="routing",
    topic="precision and inference shape",
    title="Parameters and experts of routed language models",
    inputs=("N", "experts"),
    params={
        "a": real("exponent of the dense model's parameters at one effective expert; below 0", start=(-0.3, -0.01)),
        "b": real("exponent of the experts at one parameter; below 0", start=(-0.5, -0.01)),
        "c": real("how fast the gain of experts fades with size; above 0", start=(0.0, 0.06)),
        "d": real("level: log10 of the loss at one parameter and one effective expert", start=(0.5, 2.5)),
        "E_start": amplitude("effective experts of a model with one", start=(1.01, 10.0)),
        "E_max": amplitude("effective experts that many cannot exceed", start=(20.0, 5000.0)),
    },
    formula=loss,
    starts=starts,
    decreasing_in=("N",),
    absolute=("experts",),
    valid_for=("predict",),
    refuses={
        "compute-optimal": "all models were trained on the same number of tokens, so the law has no term for data",
    },
    loss="log-squared",
    latex=(
        r"\log_{10} L = a \log_{10} N + b \log_{10} H + c \, \log_{10} N \log_{10} H + d, \quad "
        r"\frac{1}{H} = \frac{1}{E - 1 + \left( 1 / E_{start} - 1 / E_{max} \right)^{-1}} + \frac{1}{E_{max}}"
    ),
    meaning=(
        "Loss of a mixture-of-experts transformer from the parameters N of the dense model that it widens and the "
        "number E of experts per routed layer. Both act as powers; their product term c says that experts help less "
        "the larger the model, and H says that they help no more beyond E_max. A routed model is worth the dense "
        "model of the same loss: log10 N_dense = (log10 L - d - b h) / (a + c h) with h = log10 E_start."
    ),
    traps=(
        "Experts stop helping at N = 10^(-b/c): 3e10, 2e11 or 1e12 with the printed constants of the three routers. "
        "That is one to three decades beyond the runs, and for one number of tokens.",
        "All models saw the same number of tokens: no statement about longer training.",
        "E_start, E_max and b trade off: compare predictions, not constants.",
        "No floor: it is a law for interpolation and a decade beyond.",
        "One expert per token, every second layer routed: other routings change the compute per token as well.",
    ),
    papers=("clark2022",),
    published={
        "clark2022-s-base": _printed(
            "S-Base", (-0.082, -0.108, 0.009, 1.104, 1.847, 314.5), ".0037", ".00324", ".00320"
        ),
        "clark2022-rl-r": _printed("RL-R", (-0.083, -0.126, 0.012, 1.111, 1.880, 470.0), ".0076", ".00321", ".00321"),
        "clark2022-hash": _printed("Hash", (-0.087, -0.136, 0.012, 1.157, 4.175, 477.7), ".0051", ".00299", ".00298"),
        "clark2022-s-base-refit": _refit(
            "S-Base", (-0.0837827081, -0.123368635, 0.0104239169, 1.12155985, 2.39421727, 217.654898), 61
        ),
        "clark2022-rl-r-refit": _refit(
            "RL-R", (-0.083469155, -0.127925807, 0.0116883367, 1.11425941, 1.9870238, 424.496034), 62
        ),
        "clark2022-hash-refit": _refit(
            "Hash", (-0.0886803853, -0.14640526, 0.0134184126, 1.17302469, 4.98807103, 369.099673), 59
        ),
    },
    # measured losses: the largest dense model
    checks=(
        Check("clark2022-s-base", {"N": 1.30881946e9, "experts": 1}, 2.2420, 0.025, "clark2022"),
        Check("clark2022-rl-r", {"N": 1.30881946e9, "experts": 1}, 2.2420, 0.025, "clark2022"),
        Check("clark2022-hash", {"N": 1.30881946e9, "experts": 1}, 2.2420, 0.025, "clark2022"),
        Check("clark2022-s-base-refit", {"N": 1.30881946e9, "experts": 1}, 2.2420, 0.025, "clark2022"),
        Check("clark2022-rl-r-refit", {"N": 1.30881946e9, "experts": 1}, 2.2420, 0.025, "clark2022"),
        Check("clark2022-hash-refit", {"N": 1.30881946e9, "experts": 1}, 2.2420, 0.025, "clark2022"),
    ),
)

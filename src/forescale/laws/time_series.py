# SPDX-License-Identifier: Apache-2.0
"""Time-series foundation models (Yao et al. 2024, arXiv:2410.12360): laws of a likelihood that may be negative."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Formula, Law, Published, amplitude, exponent, real
from forescale.laws._terms import ONE_VARIABLE, PF_DAY

Array = NDArray[np.float64]


def in_parameters(N: Any, k: Any, alpha: Any) -> Any:
    """L(N) = exp(k) N^-alpha, printed as (N_c / N)^alpha with k = alpha ln N_c (Yao et al. 2024)."""
    return np.exp(k - alpha * np.log(N))


def in_points(D: Any, k: Any, alpha: Any) -> Any:
    """L(D) = exp(k) D^-alpha, printed as (D_c / D)^alpha with k = alpha ln D_c (Yao et al. 2024)."""
    return np.exp(k - alpha * np.log(D))


def in_compute(C: Any, k: Any, alpha: Any) -> Any:
    """L(C) = exp(k) C^-alpha, printed as (C_c / C)^alpha with k = alpha ln C_c (Yao et al. 2024)."""
    return np.exp(k - alpha * np.log(C))


def above_offset(N: Any, E: Any, A: Any, alpha: Any) -> Any:
    """L(N) = E + A N^-alpha with E of either sign."""
    return E + A * N**-alpha


def starts(x: Array, y: Array) -> dict[str, Array]:
    """The regression of log L on log x, of all rows and of each half."""
    middle, t, v = np.median(x), np.log(x), np.log(y)
    found = []
    for part in (np.ones(x.size, dtype=bool), x <= middle, x >= middle):
        if np.unique(t[part]).size < 2:
            continue
        alpha = max(-float(np.polyfit(t[part], v[part], 1)[0]), 1e-3)
        found.append((float(np.mean(v[part] + alpha * t[part])), alpha))
    return {name: np.array([row[i] for row in found]) for i, name in enumerate(("k", "alpha"))}


_FIGURES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    # (X_c, alpha) as the figures print them
    "N": {
        "encoder-id": (3.7e16, 0.029), "encoder-lsf": (1.4e31, 0.026), "encoder-monash": (6.7e36, 0.023),
        "decoder-id": (2.0e34, 0.015), "decoder-lsf": (2.9e47, 0.016), "decoder-monash": (1.5e48, 0.017),
    },
    "C": {
        "encoder-id": (1.5e7, 0.024), "encoder-lsf": (3.9e26, 0.020), "encoder-monash": (2.8e29, 0.020),
        "decoder-id": (6.0e23, 0.014), "decoder-lsf": (1.9e33, 0.017), "decoder-monash": (1.4e47, 0.013),
    },
    "D": {
        "encoder-id": (5.3e12, 0.094), "encoder-lsf": (9.6e30, 0.029), "encoder-monash": (1.0e39, 0.023),
        "decoder-id": (9.9e13, 0.090), "decoder-lsf": (1.1e44, 0.019), "decoder-monash": (4.4e31, 0.030),
    },
}  # fmt: skip
_RANGES = {"N": {"N": (1e3, 1e9)}, "D": {"D": (1e7, 1.6e10)}, "C": {}}
_SETS = {"id": "in distribution", "lsf": "long-horizon forecasting sets, outside", "monash": "Monash sets, outside"}


def _published(column: str) -> dict[str, Published]:
    found = {}
    for name, (scale, alpha) in _FIGURES[column].items():
        architecture, test = name.split("-")
        unit = PF_DAY if column == "C" else 1.0
        said = f"{architecture.capitalize()}, {_SETS[test]}; read from the figures of the released notebooks, which "
        said += f"print {column}_c = {scale:g}"
        said += (
            " PF-days. Their code counts training by an index of 1 to 100 instead of steps: the slope stands, the "
            "absolute compute is suspect."
            if column == "C"
            else "."
        )
        found[f"yao2024-{name}"] = Published(
            values={"k": alpha * math.log(scale * unit), "alpha": alpha},
            source="yao2024",
            conventions={"loss": "unknown"},
            fitted_range=_RANGES[column],
            note=said,
        )
    return found


_ONE = {
    "compute-optimal": ONE_VARIABLE,
    "reach": "without a floor every loss is reached somewhere; time-series-offset says where that ends",
}
_PARAMS = {
    "k": real("log of the loss at one unit of the variable: alpha ln X_c", start=(-1.0, 6.0)),
    "alpha": exponent("how fast the loss falls", start=(0.005, 0.5)),
}
_TRAPS = (
    "The loss is the negative log-likelihood of a density and may be zero or negative, where no power law without an "
    "offset exists: name the column log_score and fit time-series-offset.",
    "The scale X_c at which the loss would be 1 means nothing: with slopes near .02 it lies tens of decades beyond "
    "any model, and the last digit of alpha moves it by up to three. The level k is what data know; those stored "
    "here come from two printed digits of alpha, which leave the loss open by up to 5 %.",
    "Likelihoods of data that were scaled differently differ by a constant: compare slopes, within one scaling.",
)


def _law(
    column: str, what: str, formula: Formula, slopes: str, checks: tuple[Check, ...], traps: tuple[str, ...] = ()
) -> Law:
    """One of the three power laws."""
    return Law(
        id=f"time-series-{column}",
        topic="vision and other fields",
        title=f"Time-series models: likelihood against {what}",
        inputs=(column,),
        params=_PARAMS,
        formula=formula,
        decreasing_in=(column,),
        starts=starts,
        refuses=_ONE,
        loss="log-squared",
        latex=rf"L({column}) = e^{{k}} \, {column}^{{-\alpha}}",
        meaning=(
            f"The negative log-likelihood of a time-series forecaster with a probabilistic head, against {what}, "
            f"inside and outside the training distribution. {slopes} The same curves as power, held by the logarithm "
            "of their level."
        ),
        traps=(*_TRAPS, *traps),
        papers=("yao2024",),
        published=_published(column),
        checks=checks,
    )


_ALIKE = "The published slopes inside and outside are alike, the levels are not."

time_series_n = _law(
    "N",
    "parameters",
    in_parameters,
    _ALIKE,
    (
        Check("yao2024-encoder-id", {"N": 1e9}, 1.6576, 1e-3, "yao2024"),
        Check("yao2024-decoder-id", {"N": 1e9}, 2.396, 1e-3, "yao2024"),
    ),
)

time_series_d = _law(
    "D",
    "time points of the training set",
    in_points,
    "More data help inside the distribution (.09) three to five times as fast as outside (.02 to .03).",
    (
        Check("yao2024-encoder-id", {"D": 1e9}, (5.3e12 / 1e9) ** 0.094, 1e-9, "yao2024"),
        Check("yao2024-decoder-lsf", {"D": 1e9}, (1.1e44 / 1e9) ** 0.019, 1e-9, "yao2024"),
    ),
)

time_series_c = _law(
    "C",
    "training compute in FLOP",
    in_compute,
    _ALIKE,
    (Check("yao2024-encoder-id", {"C": PF_DAY}, 1.5e7**0.024, 1e-9, "yao2024"),),
    ("The compute of the published constants is counted in an unknown unit: use their slopes alone.",),
)

time_series_offset = Law(
    id="time-series-offset",
    topic="vision and other fields",
    title="Likelihood that may be negative, against parameters",
    inputs=("N",),
    output="log_score",
    params={
        "E": real("negative log-likelihood in the limit of large models; may be below 0"),
        "A": amplitude("what is above that at one unit of the variable"),
        "alpha": exponent("how fast it falls", start=(0.02, 1.5)),
    },
    formula=above_offset,
    linear=("E", "A"),
    decreasing_in=("N",),
    refuses=_ONE | {"reach": "with a limit of either sign a target is no share of it; read the inverse off predict"},
    loss="squared",
    latex=r"L(N) = E + A \, N^{-\alpha}",
    meaning=(
        "A power law above a limit of either sign, fitted to the raw values by least squares: for negative "
        "log-likelihoods of densities, which have no zero. They stand in the column `log_score`, the forecasters' "
        "word for them, because a `loss` is positive. Another variable: time-series-offset(D). Where a loss is "
        "positive by its nature use power-floor."
    ),
    traps=(
        "Errors are taken as equal in the unit of the loss, not as shares of it: shares of a number that may be zero "
        "mean nothing.",
        "Limit and exponent trade off: on two decades of the variable neither is known.",
    ),
    papers=("yao2024",),
)

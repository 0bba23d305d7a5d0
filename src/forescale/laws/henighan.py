# SPDX-License-Identifier: Apache-2.0
"""Power laws above the entropy of images, video, mathematics and text (Henighan et al. 2020, arXiv:2010.14701)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.laws._law import Check, Law, Published, exponent, floor, location
from forescale.laws._terms import ONE_VARIABLE, PF_DAY
from forescale.numerics.curves import power_above_floor

Array = NDArray[np.float64]


def in_parameters(N: Any, E: Any, N_c: Any, alpha_N: Any) -> Any:
    """L(N) = E + (N_c / N)^alpha_N (Henighan et al. 2020, eq. 1.1 and table 1)."""
    return E + (N_c / N) ** alpha_N


def in_compute(C: Any, E: Any, C_c: Any, alpha_C: Any) -> Any:
    """L(C) = E + (C_c / C)^alpha_C (Henighan et al. 2020, eq. 1.1 and table 1)."""
    return E + (C_c / C) ** alpha_C


def best_size(C: Any, C_0: Any, beta: Any) -> Any:
    """N_opt(C) = (C / C_0)^beta (Henighan et al. 2020, table 1)."""
    return (C / C_0) ** beta


def _above_floors(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """E, scale and exponent of a few good floors."""
    E, log_A, alpha = power_above_floor(x, y)
    with np.errstate(over="ignore", under="ignore"):
        scale = np.exp(log_A / alpha)
    usable = (scale > 0) & np.isfinite(scale)
    return E[usable], scale[usable], alpha[usable]


def starts_in_parameters(N: Array, y: Array) -> dict[str, Array]:
    """See `_above_floors`."""
    return dict(zip(("E", "N_c", "alpha_N"), _above_floors(N, y)))


def starts_in_compute(C: Array, y: Array) -> dict[str, Array]:
    """See `_above_floors`."""
    return dict(zip(("E", "C_c", "alpha_C"), _above_floors(C, y)))


def starts_of_size(C: Array, y: Array) -> dict[str, Array]:
    """The regression of log N on log C."""
    slope, level = np.polyfit(np.log(C), np.log(y), 1)
    beta = max(float(slope), 1e-3)
    return {"C_0": np.exp([-level / beta]), "beta": np.array([beta])}


# domain -> ((E, N_c, alpha_N), (E, C_c in PF-days, alpha_C), (C_0 in PF-days, beta)): table 1. Two-part models have
# one L(C) and one N_opt for both parts, kept with the image part's name.
_TABLE: Mapping[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "image-8": ((3.12, 8.0e1, 0.24), (3.13, 1.8e-8, 0.19), (5.3e-14, 0.64)),
    "image-16": ((2.64, 2.8e2, 0.22), (2.64, 1.6e-8, 0.16), (4.8e-12, 0.75)),
    "image-32": ((2.20, 6.3e1, 0.13), (2.21, 3.6e-9, 0.10), (1.6e-13, 0.65)),
    "image-vq-16": ((3.99, 2.7e4, 0.13), (4.09, 6.1e-7, 0.11), (6.2e-14, 0.64)),
    "image-vq-32": ((3.07, 1.9e4, 0.14), (3.17, 2.6e-6, 0.12), (9.4e-13, 0.70)),
    "text-to-image": ((2.0, 5.1e3, 0.16), (1.93, 1.5e-6, 0.15), (9.4e-13, 0.70)),
    "image-to-text": ((2.0, 5.5e3, 0.15), (1.97, 1.5e-6, 0.16), (3.3e-12, 0.72)),
    "video-vq": ((1.01, 3.7e4, 0.24), (0.95, 2.2e-5, 0.14), (1.13e-12, 0.71)),
    "math": ((0.28, 1.1e4, 0.16), (0.14, 1.4e-5, 0.17), (2.3e-12, 0.69)),
    "language": ((0.0, 1.47e14, 0.070), (0.0, 3.47e8, 0.048), (3.3e-13, 0.73)),
}
_TEXT_PARTS = {"text-to-image-text": (0.0, 5.6e8, 0.037), "image-to-text-text": (0.0, 7.0e8, 0.039)}

# resolution -> (E, C_c in PF-days, alpha_C): table 3, nats for a whole image.
_PER_IMAGE = {
    "image-8": (602.0, 1.9e3, 0.19),
    "image-16": (2026.0, 1.7e10, 0.16),
    "image-32": (6806.0, 2.7e26, 0.10),
    "image-vq-16": (1047.0, 4.7e15, 0.11),
    "image-vq-32": (3246.0, 3.1e19, 0.12),
}

# domain -> ((least, largest N), (least, largest C)) of the models, from a table of published laws by Villalobos.
_RANGES: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "image-8": ((1e5, 3e8), (1e13, 8.64e19)),
    "image-16": ((1e5, 2e9), (1.73e14, 8.64e20)),
    "image-32": ((1e5, 2e9), (1.73e14, 8.64e20)),
    "image-vq-16": ((1e5, 3e9), (1e13, 1.73e20)),
    "image-vq-32": ((1e5, 3e9), (3.46e14, 2.59e20)),
    "text-to-image": ((1e5, 8e8), (1.73e16, 3.46e20)),
    "image-to-text": ((1e5, 1e8), (2.59e16, 3.46e19)),
    "video-vq": ((1e4, 8e8), (8.64e13, 4.32e20)),
    "math": ((2e5, 3e9), (2.59e14, 4.32e20)),
    "language": ((1e5, 1.75e11), (8.64e14, 4.32e23)),
}

_WORDS = {"N": "non-embedding", "D": "tokens", "C": "6N(non-embedding)D", "loss": "nats/token"}
_ABOUT = "As printed, two digits or three; a token is a colour value, a VQ code or a piece of text."
_PARTS = {
    "text-to-image": "Image part of a model of text, then image.",
    "image-to-text": "Image part of a model of image, then text.",
    "text-to-image-text": "Text part of a model of text, then image.",
    "image-to-text-text": "Text part of a model of image, then text.",
    "math": "Loss on problems harder than those of the training set.",
}
_BOTH = "Loss of both parts, the image's weighted 9 to 1."


def _sizes() -> dict[str, Published]:
    rows = {**{name: row[0] for name, row in _TABLE.items()}, **_TEXT_PARTS}
    return {
        f"henighan2020-{name}": Published(
            values={"E": E, "N_c": N_c, "alpha_N": alpha},
            source="henighan2020",
            conventions=_WORDS,
            fitted_range={"N": _RANGES[name.removesuffix("-text") if name in _TEXT_PARTS else name][0]},
            note=f"{_PARTS.get(name, '')} {_ABOUT}".strip(),
        )
        for name, (E, N_c, alpha) in rows.items()
    }


def _computes() -> dict[str, Published]:
    def made(name: str, row: tuple[float, ...], words: Mapping[str, str], note: str) -> Published:
        E, C_c, alpha = row
        return Published(
            values={"E": E, "C_c": C_c * PF_DAY, "alpha_C": alpha},
            source="henighan2020",
            conventions=words,
            fitted_range={"C": _RANGES[name][1]},
            note=f"{note} Printed as C_c = {C_c:g} PF-days. {_ABOUT}".strip(),
        )

    found = {
        f"henighan2020-{name}": made(name, row[1], _WORDS, _BOTH if "-to-" in name else _PARTS.get(name, ""))
        for name, row in _TABLE.items()
    }
    words = {**_WORDS, "loss": "unknown"}
    for name, row in _PER_IMAGE.items():
        said = "Table 3, nats for a whole image: the loss of a token times the tokens of an image."
        if name == "image-8":
            said += (
                " Here the two tables disagree: at 1 PF-day table 1 gives 192 x .0338 = 6.49 reducible nats, table "
                "3 gives 4.197, as if C_c had been 1.8e-9 PF-days; at the other resolutions they agree."
            )
        found[f"henighan2020-{name}-per-image"] = made(name, row, words, said)
    return found


_KL = (
    "The floor E is the entropy of the data, and what is above it the Kullback-Leibler divergence from the data to "
    "the model"
)

henighan_n = Law(
    id="henighan-N",
    topic="one variable",
    title="Power law in parameters above an entropy",
    inputs=("N",),
    params={
        "E": floor("irreducible loss: the entropy of the data per token"),
        "N_c": location("parameters at which the reducible loss would be 1"),
        "alpha_N": exponent("how fast more parameters help", start=(0.02, 0.5)),
    },
    formula=in_parameters,
    linear=("E",),
    decreasing_in=("N",),
    floor="E",
    starts=starts_in_parameters,
    valid_for=("predict", "reach"),
    refuses={"compute-optimal": ONE_VARIABLE},
    latex=r"L(N) = E + \left( \frac{N_{c}}{N} \right)^{\alpha_{N}}",
    meaning=(
        f"Loss of models of N non-embedding parameters, trained to convergence on ample data. {_KL}. The same curves "
        "as power-floor(N), with the published constants of twelve kinds of data; language has no floor there."
    ),
    traps=(
        "The floors of L(N) and L(C) differ (3.99 and 4.09 for VQ images of 16 by 16): take the difference as the "
        "uncertainty of the entropy.",
        "One floor for both: stack the two tables with the variable in one column x and fit power-floor(x) grouped "
        "by the kind of row, with A and alpha separate.",
        "A token of an image is no token of text: compare losses of one kind of data only.",
        "The smallest models (1e4 parameters) lie off the trend, and the best aspect ratio of images is about 10, "
        "not 100.",
    ),
    papers=("henighan2020",),
    published=_sizes(),
    checks=(
        Check("henighan2020-image-8", {"N": 1e9}, 3.13980, 1e-5, "henighan2020"),
        Check("henighan2020-image-16", {"N": 1e9}, 2.67618, 1e-5, "henighan2020"),
        Check("henighan2020-image-32", {"N": 1e9}, 2.31585, 1e-5, "henighan2020"),
        Check("henighan2020-image-vq-16", {"N": 1e9}, 4.24473, 1e-5, "henighan2020"),
        Check("henighan2020-image-vq-32", {"N": 1e9}, 3.28829, 1e-5, "henighan2020"),
        Check("henighan2020-text-to-image", {"N": 1e9}, 2.14230, 1e-5, "henighan2020"),
        Check("henighan2020-image-to-text", {"N": 1e9}, 2.16258, 1e-5, "henighan2020"),
        Check("henighan2020-video-vq", {"N": 1e9}, 1.09637, 1e-5, "henighan2020"),
        Check("henighan2020-math", {"N": 1e9}, 0.44092, 1e-5, "henighan2020"),
        Check("henighan2020-language", {"N": 1.75e11}, 1.60214, 1e-5, "henighan2020"),
    ),
)

henighan_c = Law(
    id="henighan-C",
    topic="one variable",
    title="Power law in compute above an entropy",
    inputs=("C",),
    params={
        "E": floor("irreducible loss: the entropy of the data, per token or per image"),
        "C_c": location("compute at which the reducible loss would be 1", unit="FLOP"),
        "alpha_C": exponent("how fast more compute helps", start=(0.02, 0.5)),
    },
    formula=in_compute,
    linear=("E",),
    decreasing_in=("C",),
    floor="E",
    starts=starts_in_compute,
    valid_for=("predict", "reach"),
    refuses={"compute-optimal": ONE_VARIABLE},
    latex=r"L(C) = E + \left( \frac{C_{c}}{C} \right)^{\alpha_{C}}",
    meaning=(
        f"Least loss for a budget: the lower envelope of the learning curves of all sizes. {_KL}: per image (the "
        "sets -per-image) it says how many nats an image still costs. A reducible loss R takes "
        "C = C_c R^(-1/alpha_C)."
    ),
    traps=(
        "C_c is stored in FLOP; the paper counts PF-days of 8.64e19 FLOP.",
        "C_c is exponentially sensitive to alpha_C, whose rounding to two digits alone moves it by a factor of 1.2 "
        "to 3, for whole images of up to 20: compare losses, not C_c.",
        "It follows a frontier: points of one learning curve are not independent, and runs off the best size lie "
        "above it.",
    ),
    papers=("henighan2020",),
    published=_computes(),
    checks=(
        Check("henighan2020-image-8-per-image", {"C": PF_DAY}, 602 + 4.197, 1e-3, "henighan2020"),
        Check("henighan2020-image-8", {"C": PF_DAY}, 3.13 + 207.2 * PF_DAY**-0.19, 1e-4, "henighan2020"),
        Check("henighan2020-language", {"C": PF_DAY}, 23.27 * PF_DAY**-0.048, 1e-3, "henighan2020"),
    ),
)

henighan_n_opt = Law(
    id="henighan-N-opt",
    topic="size and data",
    title="Best model size for a budget",
    inputs=("C",),
    output="N",
    params={
        "C_0": location("compute at which the best model would have one parameter", unit="FLOP"),
        "beta": exponent("growth of the best size: 1 puts all new compute into parameters", start=(0.2, 1.2)),
    },
    formula=best_size,
    starts=starts_of_size,
    valid_for=("predict",),
    refuses={
        "compute-optimal": "the law is the answer, without the loss that a plan states: predict N, or fit chinchilla",
    },
    latex=r"N_{\mathrm{opt}}(C) = \left( \frac{C}{C_{0}} \right)^{\beta}",
    meaning=(
        "Parameters of the model that reaches the lowest loss for a budget, as a power of the budget. The exponent "
        "is near 0.7 for all kinds of data: there data grow more slowly than models, D ~ N^0.4."
    ),
    traps=(
        "For language the exponent falls to about 0.5 once the compute of the last layer is counted, the warm-up is "
        "shorter and batch and learning rate are tuned per size (Porian et al. 2024; study porian); these fits share "
        "the older procedure.",
        "C_0 is stored in FLOP; the paper counts PF-days.",
    ),
    papers=("henighan2020", "porian2024"),
    published={
        f"henighan2020-{name}": Published(
            values={"C_0": row[2][0] * PF_DAY, "beta": row[2][1]},
            source="henighan2020",
            conventions=_WORDS,
            fitted_range={"C": _RANGES[name][1]},
            note=f"Printed as C_0 = {row[2][0]:g} PF-days. {_ABOUT}",
        )
        for name, row in _TABLE.items()
    },
    checks=(
        Check("henighan2020-language", {"C": PF_DAY}, 1.2927e9, 1.3e6, "henighan2020"),
        Check("henighan2020-image-8", {"C": PF_DAY}, 3.137e8, 3e5, "henighan2020"),
        Check("henighan2020-image-16", {"C": PF_DAY}, 3.084e8, 3e5, "henighan2020"),
        Check("henighan2020-image-32", {"C": PF_DAY}, 2.076e8, 2e5, "henighan2020"),
        Check("henighan2020-image-vq-16", {"C": PF_DAY}, 2.837e8, 2.8e5, "henighan2020"),
        Check("henighan2020-image-vq-32", {"C": PF_DAY}, 2.623e8, 2.6e5, "henighan2020"),
        Check("henighan2020-video-vq", {"C": PF_DAY}, 3.036e8, 3e5, "henighan2020"),
        Check("henighan2020-math", {"C": PF_DAY}, 1.073e8, 1e5, "henighan2020"),
    ),
)

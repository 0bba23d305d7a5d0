# SPDX-License-Identifier: Apache-2.0
"""Test error of a perceptron taught by a perceptron: what data pruning is measured against (Sorscher et al. 2022).

A student that sees all examples, or a random part of them, errs as a power of how many it saw per dimension. The
hardest examples of a larger set, kept by a perfect score, do better: the error follows the size of the whole set, as
long as the kept part is not too small.
"""

from __future__ import annotations

from typing import Any

from forescale.laws._law import Check, Law, Published, amplitude, exponent
from forescale.laws._terms import power_term


def error(samples_per_dimension: Any, c: Any, p: Any) -> Any:
    """eps(alpha) = c alpha^-p, alpha = samples per dimension, large (Sorscher et al. 2022)."""
    return power_term(samples_per_dimension, c, p)


def _student(c: float, p: float, rule: str, note: str = "") -> Published:
    return Published(
        values={"c": c, "p": p},
        source="sorscher2022",
        conventions={"loss": "1-accuracy"},
        note=f"{rule}, limit of many samples per dimension. {note}".strip(),
    )


teacher_student = Law(
    id="teacher-student",
    topic="data",
    title="Error of a student perceptron against samples per dimension",
    inputs=("samples_per_dimension",),
    output="error",
    params={
        "c": amplitude("error at one sample per dimension, carried back from large ones", start=(0.01, 10.0)),
        "p": exponent("how fast more samples help: 1 for the best rules, 1/2 for Hebb's"),
    },
    formula=error,
    linear=("c",),
    decreasing_in=("samples_per_dimension",),
    domain={"samples_per_dimension": (4.0, 1e3)},
    valid_for=("predict",),
    refuses={
        "compute-optimal": "samples per dimension of a perceptron say nothing about a budget",
        "reach": "without a floor every error is reached",
    },
    loss="log-squared",
    latex=r"\epsilon(\alpha) = c \, \alpha^{-p}",
    meaning=(
        "How a perceptron that learns from examples of another one errs, far out: by the rule of largest margin as "
        "1 / (2 alpha). Random pruning to a share f moves along this line, from alpha to f alpha. Pruning by a "
        "perfect score leaves the error where the whole set has it: at 4 kept samples per dimension it halves when "
        "the whole set doubles, and the line in kept samples is beaten. With an imperfect score the power comes back."
    ),
    traps=(
        "Asymptotic: at one sample per dimension the error is 44 % below the line, at four 12 %, at 32 one percent.",
        "When samples are scarce keep the easy ones, when they are plentiful the hard ones: at 1.5 samples per "
        "dimension and a quarter kept the errors are .23 (easy), .35 (random) and .46 (hard), at 16 it is .05, .10 "
        "and .03.",
        "Below a least share of kept examples an imperfect score fails suddenly.",
    ),
    papers=("sorscher2022",),
    published={
        "sorscher2022-margin": _student(
            0.50, 1.0, "Largest margin", "A simulation in 200 dimensions has .494 / alpha at 32."
        ),
        "sorscher2022-bayes": _student(0.442, 1.0, "Bayes-optimal"),
        "sorscher2022-gibbs": _student(0.625, 1.0, "Gibbs"),
        "sorscher2022-hebb": _student(0.40, 0.5, "Hebb"),
    },
    checks=(Check("sorscher2022-margin", {"samples_per_dimension": 32.0}, 0.494 / 32, 0.03 / 32, "sorscher2022"),),
)

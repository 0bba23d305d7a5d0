# SPDX-License-Identifier: Apache-2.0
"""One law for a family of models from their training curves (Choshen, Zhang & Andreas 2024, "Hitchhiker's Guide").

Checkpoints are rows. The target is the last part of the largest model's run; what its law is worth is the mean
relative error there (ARE), beside that of two guesses that need no law.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, message
from forescale.fitting._estimator import Estimator, Options
from forescale.fitting.estimate import fit
from forescale.laws import find
from forescale.runs.derive import require
from forescale.runs.table import Runs

Array = NDArray[np.float64]

MOST_SKIPPED = 0.2
"""Share of a run that `skip` takes at most: some published runs are shorter than ten billion tokens."""

LEAST_MODELS = 3
"""Models besides the target: two sizes leave A and alpha open, and an extrapolation in N to chance."""


@dataclass(frozen=True)
class FamilyLaw:
    """What was learned.

    Attributes:
        params: E, A, alpha, B, beta.
        error: mean relative error on the target's rows (ARE).
        best_so_far: the same for the guess "the lowest loss among the fitted rows".
        most_trained: and for the loss of the fitted row with the most compute.
        models, rows: how many models and rows were fitted.
        target: name of the largest model.
    """

    params: Mapping[str, float]
    error: float
    best_so_far: float
    most_trained: float
    models: int
    rows: int
    target: str


@dataclass(frozen=True, eq=False)
class Grid:
    """The report of the guide: error on the target by how much was spent on smaller models.

    Attributes:
        models: (r,) numbers of (smallest) models used.
        shares: (c,) share of each of their runs that was used, from its beginning.
        error: (r, c) ARE on the target's rows; NaN where too little is left to fit.
    """

    models: tuple[int, ...]
    shares: tuple[float, ...]
    error: Array


def members(runs: Runs) -> list[str]:
    """Names of the models: smallest first, of equal sizes the one with fewer tokens."""
    names, first = np.unique(runs.labels["run"], return_index=True)
    longest = {name: float(runs["D"][runs.labels["run"] == name].max()) for name in names.tolist()}
    size = {name: float(runs["N"][i]) for name, i in zip(names.tolist(), first)}
    return sorted(names.tolist(), key=lambda name: (size[name], longest[name], name))


def _table(runs: Runs) -> Runs:
    table = require(runs, "N", "D", "loss")
    if "run" not in table.labels:
        raise DataError(message("training curves without the label `run`", "the name of the model of each row"))
    return table


def _ends(runs: Runs) -> Array:
    """(n,) tokens at the end of each row's run."""
    codes, names = runs.group_codes("run")
    longest = np.array([runs["D"][codes == i].max() for i in range(len(names))])
    return np.asarray(longest[codes])


def split(runs: Runs, options: Options) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """Rows to fit, rows to predict, and the target's name."""
    D, label, end = runs["D"], runs.labels["run"], _ends(runs)
    order = members(runs)
    target = order[-1]
    used = order[:-1][: int(options["models"]) or None]
    is_target = label == target
    late = np.minimum(float(options["skip"]), MOST_SKIPPED * end) <= D
    held = is_target & ((1.0 - float(options["held"])) * end <= D)
    share = np.where(is_target, float(options["seen"]), float(options["share"]))
    fitted = (np.isin(label, used) | is_target) & (end * share >= D) & late & ~held
    return fitted, held, target


def learn(runs: Runs, options: Options) -> FamilyLaw:
    """Chinchilla's form on the checkpoints of all models but the target, by the objective `loss`."""
    table = _table(runs)
    fitted, held, target = split(table, options)
    borrowed = {name: float(options[name]) for name in ("A", "alpha") if options[name]}
    names = set(table.labels["run"][fitted].tolist())
    if len(names) < LEAST_MODELS and len(borrowed) < 2:
        raise DataError(
            message(
                f"{len(names)} models with checkpoints to fit",
                f"{LEAST_MODELS} or more besides the target",
                "borrow A and alpha from another family: A=..., alpha=...",
            )
        )
    train, rest = table.where(fitted), table.where(held)
    law = find("chinchilla")
    made = fit(train, law.fix(**borrowed) if borrowed else law, loss=str(options["loss"]))
    params = {name: float({**borrowed, **made.params}[name]) for name in law.names}
    last = int(np.argmax(train["N"] * train["D"]))
    return FamilyLaw(
        params,
        _error(law(params, N=rest["N"], D=rest["D"]), rest["loss"]),
        _error(train["loss"].min(), rest["loss"]),
        _error(train["loss"][last], rest["loss"]),
        len(names),
        len(train),
        target,
    )


def _error(predicted: Any, seen: Array) -> float:
    return float(np.mean(np.abs(predicted - seen) / seen)) if seen.size else math.nan


def grid(
    runs: Runs, models: Sequence[int] = (), shares: Sequence[float] = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0), **told: Any
) -> Grid:
    """ARE on the target by the number of models used (smallest first) and the share of their training used.

    Args:
        runs: checkpoints of one family.
        models: numbers of models; default: from three to all but the target.
        shares: shares of each run, from its beginning.
        **told: options of the estimator `family-law`.

    Raises:
        DataError: fewer than four models.
    """
    count = len(members(_table(runs))) - 1
    wanted = tuple(models) or tuple(range(LEAST_MODELS, count + 1))
    if not wanted:
        raise DataError(message(f"a family of {count + 1} models", f"{LEAST_MODELS} and a target"))
    error = np.full((len(wanted), len(shares)), np.nan)
    for i, m in enumerate(wanted):
        for j, share in enumerate(shares):
            try:
                error[i, j] = learn(runs, {**family_law.options, **told, "models": m, "share": share}).error
            except DataError:
                continue  # what is left of so short a run lies within the skipped tokens
    return Grid(wanted, tuple(shares), error)


def predict(state: FamilyLaw, columns: Mapping[str, Any]) -> Array:
    """E + A / N^alpha + B / D^beta."""
    return find("chinchilla")(state.params, N=columns["N"], D=columns["D"])


def numbers(state: FamilyLaw) -> dict[str, float]:
    """Parameters, errors on the target, what was fitted."""
    return {
        **state.params,
        "ARE": state.error,
        "ARE_best_so_far": state.best_so_far,
        "ARE_most_trained": state.most_trained,
        "models": float(state.models),
        "rows": float(state.rows),
    }


family_law = Estimator(
    id="family-law",
    title="One law for a family from its training curves, with its error on the largest model",
    topic="size and data",
    output="loss",
    learn=learn,
    predict=predict,
    numbers=numbers,
    meaning=(
        "All checkpoints of the smaller models of one family, each a row of size, tokens seen and loss, fit E + "
        "A/N^alpha + B/D^beta; the end of the largest model's run is predicted. Checkpoints bring far more rows than "
        "final losses, at the price of a bias that the schedule gives all of them alike. With A and alpha borrowed "
        "from another family one model is enough. The module's `grid` gives the error by models and share of "
        "training used; about 4 % is the best that can be hoped for, 20 % still separates designs."
    ),
    traps=(
        "Rows of a run are not independent: the bootstrap draws models, and 1,000 checkpoints of three models are "
        "three models.",
        "The first 10B tokens belong to no law: leave them out (skip), also where squared errors would be ruled by "
        "them.",
        "Losses of one family in one unit: some published curves are perplexities.",
        "More models help more than longer runs, but not in every family: look at the grid.",
        "Under a decaying learning rate a checkpoint lies above the loss that a run ended there would have.",
    ),
    papers=("choshen2024",),
    needs=("N", "D", "run"),
    options={
        "skip": 10e9,
        "held": 0.3,
        "models": 0,
        "share": 1.0,
        "seen": 0.0,
        "A": 0.0,
        "alpha": 0.0,
        "loss": "squared",
    },
    about_options={
        "skip": "tokens at the beginning of each run that are left out; a fifth of the run at most",
        "held": "share of the largest model's tokens, from the end, that is predicted",
        "models": "how many of the other models are fitted, smallest first; 0: all",
        "share": "share of their runs, from the beginning, that is fitted",
        "seen": "share of the largest model's own run, from the beginning, that is fitted too",
        "A": "size of the parameter term borrowed from another family; 0: fitted",
        "alpha": "exponent of the parameter term borrowed from another family; 0: fitted",
        "loss": "objective of the fit; the guide squares errors of the raw loss",
    },
    least=6,
    by="run",
)

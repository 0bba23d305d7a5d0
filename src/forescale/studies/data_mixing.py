# SPDX-License-Identifier: Apache-2.0
"""Data mixing laws: do exponentials of the shares predict mixtures that were not trained?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, better, measured

Array = NDArray[np.float64]
Predict = Callable[[fs.Runs, fs.Runs], Array]

LAW = "the exponential law of Ye et al. 2024"
FOLDS = 5
CRITICAL = 0.28515625
"""Share of the Pile in the fifth run of continual training; it lies between the round shares of the other four."""


def run() -> Outcome:
    """Hide a fifth of the mixtures in turn; carry losses to a larger size; find the share that forgets nothing."""
    claims: list[Claim] = []
    rows: list[tuple[str, ...]] = []
    drawn: list[Series] = []
    found: dict[str, list[str]] = {method: [] for method in _METHODS}
    for name, step, words in (
        ("data-mixing-3", 60000, "three domains, 32 mixtures, 410M"),
        ("data-mixing-5", 30000, "five domains, 26 mixtures, 410M"),
    ):
        runs = fs.dataset(name, model="410M", step=step)
        errors, predicted = _hidden(runs)
        claims += [
            better(
                f"{words}: mean relative error on hidden mixtures, exponential law against linear regression",
                ours=errors["law"], theirs=errors["linear"], source="linear regression on the shares",
            ),
            better(
                f"{words}: the same, kernel regression on logarithms of the shares against the law",
                ours=errors["kernel"], theirs=errors["law"], source=LAW,
            ),
        ]  # fmt: skip
        rows += [(words, method, f"{100 * error:.2f} %") for method, error in errors.items()]
        if name == "data-mixing-3":
            on = predicted["set"] == _DRAWN
            drawn = [Series(label, predicted[key][on], predicted["seen"][on]) for key, label in _LABELS.items()]
        for method, error in errors.items():
            found[method].append(f"{100 * error:.1f}")
    said = {method: " and ".join(figures) for method, figures in found.items()}
    claims += _larger()
    claims += _continual()
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"On hidden mixtures of three and of five domains the exponential law errs by {said['law']} %, a linear "
            f"regression by {said['linear']} %, a kernel regression on logarithms of the shares by "
            f"{said['kernel']} %. The claim about 1B models cannot be checked: their files are not in the mirror."
        ),
        charts={
            "hidden": xy(
                "Loss on GitHub of hidden mixtures of GitHub, Books3 and Pile-CC, 410M",
                ["each dot is a mixture, predicted from the other four fifths of the mixtures"],
                drawn,
                x="predicted (nats per token)",
                y="measured (nats per token)",
            )
        },
        tables=(Table("Mean relative error on hidden mixtures", ("data", "method", "error"), tuple(rows)),),
    )


_DRAWN = "loss_github"

_LABELS = {"linear": "linear regression", "law": "exponential law", "kernel": "kernel regression"}


def _law(train: fs.Runs, test: fs.Runs) -> Array:
    weights = [name for name in train.columns if name.startswith("weight_")]
    return np.asarray(fs.fit(train, f"mixing-exponential({', '.join(weights)})").predict(test).estimate)


def _regression(method: str) -> Predict:
    return lambda train, test: np.asarray(fs.estimate(train, "regmix", method=method).predict(test).estimate)


_METHODS: dict[str, Predict] = {"law": _law, "linear": _regression("linear"), "kernel": _regression("kernel")}


def _hidden(runs: fs.Runs) -> tuple[dict[str, float], dict[str, Any]]:
    """Mean relative error of each method over validation sets and mixtures, and what was predicted."""
    fold = np.random.default_rng(0).permutation(np.arange(len(runs)) % FOLDS)
    sets = [name for name in runs.columns if name.startswith("loss_")]
    out: dict[str, Any] = {"seen": np.concatenate([runs[name] for name in sets]), "set": np.repeat(sets, len(runs))}
    for method, predict in _METHODS.items():
        parts = []
        for name in sets:
            table, found = runs.with_column("loss", runs[name]), np.empty(len(runs))
            for k in range(FOLDS):
                found[fold == k] = predict(table.where(fold != k), table.where(fold == k))
            parts.append(found)
        out[method] = np.concatenate(parts)
    errors = {method: float(np.mean(np.abs(out[method] / out["seen"] - 1.0))) for method in _METHODS}
    return errors, out


def _larger() -> list[Claim]:
    """Twenty mixtures of RedPajama: their losses at 410M from three smaller sizes, one power of N for all."""
    runs = fs.dataset("data-mixing-redpajama", step=30000, group="sampled")
    large = runs.where(runs.labels["model"] == "410M")
    names = set(large.labels["mixture"].tolist())
    small = runs.where((runs["N"] < large["N"].min()) & np.isin(runs.labels["mixture"], sorted(names)))
    fit = fs.fit(small, "power-floor(N)", group_by="mixture", separate=["E", "A"])
    found = fit.predict(N=large["N"], mixture=large.labels["mixture"]).estimate
    last = small.where(small["N"] == small["N"].max())
    before = dict(zip(last.labels["mixture"].tolist(), last["loss"].tolist()))
    smaller = np.array([before[mixture] for mixture in large.labels["mixture"].tolist()])
    return [
        better(
            "20 mixtures of RedPajama: mean relative error of the loss at 410M from 70M, 160M and 305M",
            ours=float(np.mean(np.abs(found / large["loss"] - 1.0))),
            theirs=float(np.mean(np.abs(smaller / large["loss"] - 1.0))),
            source="the loss at 305M as it is",
        ),
        better(
            "the same: Spearman of the order of mixtures at 410M",
            ours=_spearman(found, large["loss"]), theirs=_spearman(smaller, large["loss"]), higher=True,
            source="the order at 305M",
        ),
    ]  # fmt: skip


def _spearman(a: Array, b: Array) -> float:
    one, other = (np.argsort(np.argsort(v)) for v in (a, b))
    return float(np.corrcoef(one, other)[0, 1])


def _continual() -> list[Claim]:
    """Python beside the Pile: the law from four shares; the fifth, and where the Pile's loss is what it was."""
    runs = fs.dataset("data-mixing-continual", step=10000)
    hidden = np.isclose(runs["weight_pile"], CRITICAL)
    fit = fs.fit(runs.where(~hidden), "mixing-exponential(weight_pile, weight_python)")
    fifth = runs.where(hidden)
    error = float(np.abs(fit.predict(fifth).estimate / fifth["loss"] - 1.0)[0])
    above = float(fifth["loss"][0] / fifth["loss_before"][0] - 1.0)
    share = np.linspace(runs["weight_pile"].min(), runs["weight_pile"].max(), 2001)
    curve = fit.predict(weight_pile=share, weight_python=1.0 - share).estimate
    critical = float(np.interp(-runs["loss_before"][0], -curve, share))
    return [
        measured("continual training: relative error of the Pile's loss on the fifth mixture, hidden", error),
        measured(
            "continual training: share of the Pile at which its loss stays as it was", critical,
            note=(
                f"The fifth run has {CRITICAL:.3f}, and ends {100 * above:.2f} % above where it began. The 22 "
                "validation sets of the Pile count alike here; the authors weight them."
            ),
        ),
    ]  # fmt: skip


data_mixing = Study(
    id="data-mixing",
    title="Data mixing laws",
    question="Do exponentials of the shares of domains predict the losses of mixtures that were not trained?",
    papers=("ye2024",),
    datasets=("data-mixing-3", "data-mixing-5", "data-mixing-redpajama", "data-mixing-continual"),
    laws=("mixing-exponential", "regmix", "power-floor"),
    run=run,
)

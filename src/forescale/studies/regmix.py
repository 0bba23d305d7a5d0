# SPDX-License-Identifier: Apache-2.0
"""RegMix: do 512 models of 1M parameters rank mixtures for models of 60M?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, better, holds, measured, reproduced

SOURCE = "Liu et al. 2024, table 2 (as noted beside the data)"
BAR = "the bar that this study was given"
TARGET = "pile_cc"
LINEAR = {"1m": 0.9008, "60m": 0.8926}
BOOSTED = {"1m": 0.9845, "60m": 0.9864}
METHODS = {"linear": "linear", "chosen": "best"}
"""What is compared: the paper's linear regression, and the one of the least leave-one-out error on the 512 rows."""


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation; ties do not occur in these losses."""
    one, other = (np.argsort(np.argsort(v)) for v in (a, b))
    return float(np.corrcoef(one, other)[0, 1])


def run() -> Outcome:
    """Learn each domain's loss from 512 models of 1M; rank the 256 test mixtures; compare with the losses at 60M."""
    learned, test = fs.dataset("regmix"), {s: fs.dataset(f"regmix-test-{s}") for s in ("1m", "60m")}
    domains = sorted(name.removeprefix("loss_") for name in learned.columns if name.startswith("loss_"))
    rho: dict[tuple[str, str, str], float] = {}
    predicted: dict[tuple[str, str], NDArray[np.float64]] = {}
    errors: Mapping[str, float] = {}
    for domain in domains:
        rows = learned.with_column("loss", learned[f"loss_{domain}"])
        for method, option in METHODS.items():
            made = fs.estimate(rows, "regmix", method=option)
            if (domain, method) == (TARGET, "chosen"):
                errors = made.numbers
            found = made.predict(test["60m"]).estimate
            predicted[method, domain] = found
            for size, runs in test.items():
                rho[method, domain, size] = spearman(found, runs[f"loss_{domain}"])
    best = rho["chosen", TARGET, "60m"]
    claims = [
        *(
            reproduced(
                f"Pile-CC, linear regression: Spearman at {size.upper()}", ours=rho["linear", TARGET, size],
                theirs=LINEAR[size], within=2e-3, source=SOURCE,
                note="Shares are divided by their sum here, not taken as the table rounds them.",
            )
            for size in ("1m", "60m")
        ),
        holds("Pile-CC, chosen regression: Spearman at 60M", ours=best, least=0.97, source=BAR),
        *(
            better(
                f"Pile-CC, Spearman at {size.upper()}: chosen regression against boosted trees",
                ours=rho["chosen", TARGET, size], theirs=BOOSTED[size], higher=True, source=SOURCE,
                note=_tried(errors),
            )
            for size in ("1m", "60m")
        ),
        *_every_domain(domains, rho),
        *_choices(domains, predicted, test["60m"]),
    ]  # fmt: skip
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"Learned from models of 1M, the regression of least leave-one-out error ({_kind(errors)}) ranks the "
            f"test mixtures at 60M with a Spearman of {best:.3f} (linear {rho['linear', TARGET, '60m']:.3f}, boosted "
            f"trees {BOOSTED['60m']:.3f})."
        ),
        charts={"ranking": _chart(predicted, test["60m"])},
        tables=(_table(domains, rho),),
    )  # fmt: skip


def _ranked(errors: Mapping[str, float]) -> list[tuple[str, float]]:
    tried = {name.removeprefix("error_"): error for name, error in errors.items() if name.startswith("error_")}
    return sorted(tried.items(), key=lambda pair: pair[1])


def _kind(errors: Mapping[str, float]) -> str:
    return _ranked(errors)[0][0]


def _tried(errors: Mapping[str, float]) -> str:
    told = ", ".join(f"{name} {error:.4f}" for name, error in _ranked(errors))
    return f"Chosen by leave-one-out error of log loss on the 512 rows learned from: {told}."


def _every_domain(domains: list[str], rho: dict[tuple[str, str, str], float]) -> list[Claim]:
    chosen, linear = ([rho[method, domain, "60m"] for domain in domains] for method in ("chosen", "linear"))
    return [
        better(
            "all 13 domains: mean Spearman at 60M, chosen against linear", ours=float(np.mean(chosen)),
            theirs=float(np.mean(linear)), higher=True, source="the linear regression of the paper",
        ),
        measured(f"worst domain ({domains[int(np.argmin(chosen))]}): Spearman at 60M, chosen", min(chosen)),
    ]  # fmt: skip


def _choices(domains: list[str], predicted: dict[tuple[str, str], NDArray[np.float64]], test: fs.Runs) -> list[Claim]:
    """Where the mixture that a method likes best stands among the 256 at 60M: 1 is the best."""
    claims = []
    mean = np.mean([test[f"loss_{domain}"] for domain in domains], axis=0)
    for what, loss in (("Pile-CC", test[f"loss_{TARGET}"]), ("the mean of 13 domains", mean)):
        place = {}
        for method in METHODS:
            every = [predicted[method, d] for d in ([TARGET] if what == "Pile-CC" else domains)]
            chosen = int(np.argmin(np.mean(every, axis=0)))
            place[method] = 1 + int((loss < loss[chosen]).sum())
        claims.append(
            better(
                f"{what}: place of the chosen mixture among 256 at 60M, chosen against linear", ours=place["chosen"],
                theirs=place["linear"], source="the linear regression of the paper",
            )
        )  # fmt: skip
    return claims


def _table(domains: list[str], rho: dict[tuple[str, str, str], float]) -> Table:
    rows = tuple(
        (domain, *(f"{rho[method, domain, size]:.4f}" for method in METHODS for size in ("1m", "60m")))
        for domain in domains
    )
    return Table(
        "Spearman of predicted and measured losses, 256 test mixtures",
        ("domain", "linear, 1M", "linear, 60M", "chosen, 1M", "chosen, 60M"),
        rows,
    )


def _chart(predicted: dict[tuple[str, str], NDArray[np.float64]], test: fs.Runs) -> object:
    seen = test[f"loss_{TARGET}"]
    return xy(
        "Loss on Pile-CC at 60M against what 1M models predict",
        ["each dot is a test mixture; the better the order, the narrower the band"],
        [Series(f"{method} regression", predicted[method, TARGET], seen) for method in METHODS],
        x="predicted loss at 1M (nats per token)",
        y="measured loss at 60M (nats per token)",
    )


regmix = Study(
    id="regmix",
    title="Mixtures by regression on small models",
    question="Does the order of data mixtures at 1M parameters, learned by a regression, hold at 60M?",
    papers=("liu2024regmix",),
    datasets=("regmix", "regmix-test-1m", "regmix-test-60m"),
    laws=("regmix",),
    run=run,
)

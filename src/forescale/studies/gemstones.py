# SPDX-License-Identifier: Apache-2.0
"""Gemstones (McLeish et al. 2025): width and depth as terms of their own, and what they bring on hidden shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, huber, relative_errors, tally
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured, reproduced

Array = NDArray[np.float64]

DELTA = 1e-4
TABLES = (
    ("gemstones", "mcleish2025", "up to 350B tokens", 0.00029497),
    ("gemstones-100b", "mcleish2025-100b", "up to 100B tokens", 0.00011188),
    ("gemstones-late", "mcleish2025-late", "120B to 350B tokens", 0.000089244),
    ("gemstones-cooldown", "mcleish2025-cooldown", "cooled down", 0.000090074),
    ("gemstones-half-lr", "mcleish2025-half-lr", "half the learning rate", 0.00011026),
)
SOURCE = "authors' stored constants, best of 4,050,000 starts"
SIZE = 1e9
"""Parameters at which shapes are compared: about 12 width^2 depth."""


def objective(law: fs.Law, params: dict[str, float], runs: fs.Runs) -> float:
    """The authors' objective: the sum of Huber's losses of log residuals."""
    return huber(np.log(law(params, **{name: runs[name] for name in law.inputs}) / runs["loss"]), DELTA)


def shapes(law: fs.Law, params: dict[str, float]) -> tuple[Array, Array]:
    """Aspect ratios width / depth of models of a billion parameters, and their loss at 100B tokens."""
    width = np.geomspace(400.0, 5000.0, 400)
    depth = SIZE / (12 * width**2)
    return width / depth, law(params, width=width, depth=depth, N=SIZE, D=1e11)


def run() -> Outcome:
    """Both optima on five tables; then hidden shapes, sizes and lengths."""
    law = fs.law("gemstones")
    claims: list[Claim] = []
    optima: list[Claim] = []
    rows: list[tuple[str, ...]] = []
    series: list[Series] = []
    aspects, exponents = [], []
    for name, source, words, stated in TABLES:
        runs = fs.dataset(name)
        fit = fs.fit(runs, law, loss=f"log-huber:{DELTA:g}")
        plain = fs.fit(runs, "chinchilla", loss=f"log-huber:{DELTA:g}")
        theirs = objective(law, law.constants(source), runs)
        claims.append(
            reproduced(
                f"{words}: objective at the authors' constants",
                ours=theirs,
                theirs=stated,
                within=2e-4,
                relative=True,
                source=SOURCE,
            )
        )
        optima.append(
            holds(f"{words}: our optimum of the same objective", ours=fit.objective, most=theirs, source=SOURCE)
        )
        claims.append(optima[-1])
        aspect, loss = shapes(law, dict(fit.params))
        aspects.append(float(aspect[np.argmin(loss)]))
        exponents.append(plain.params["beta"] / (plain.params["alpha"] + plain.params["beta"]))
        series += [
            Series(words, aspect, 100 * (loss / loss.min() - 1), "line"),
            Series(words, [aspects[-1]], [0.0]),
        ]
        agreed = "no" if fit.convergence is None else f"{fit.convergence.agree} of {fit.convergence.polished}"
        rows.append(
            (words, str(len(runs)), f"{theirs:.6g}", f"{fit.objective:.6g}", agreed, f"{aspects[-1]:.0f}",
             f"{exponents[-1]:.3f}")
        )  # fmt: skip
    claims += [
        measured("least best aspect ratio (width / depth) at 1B parameters over the five tables", min(aspects)),
        measured("largest best aspect ratio over the five tables", max(aspects)),
        measured("range of chinchilla's exponent of N* over the five tables", float(np.ptp(exponents))),
    ]
    hidden, compared, left = _hidden(fs.dataset("gemstones"))
    claims += hidden
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"The certified fit lies below the authors' best of four million starts on {tally(optima)} tables. With "
            f"terms for width and depth the error on hidden shapes is {left[0]:.2f} (widest) and {left[1]:.2f} "
            f"(deepest) of that without; on larger and longer models {left[2]:.2f}, where a law of N and D with an "
            f"interaction leaves {left[3]:.2f}. Which runs are fitted moves the exponent of the best size by "
            f"{np.ptp(exponents):.2f}, as the paper warns."
        ),
        charts={
            "shapes": xy(
                "Loss by aspect ratio at a billion parameters",
                ["each line is the four-term law fitted to one table, its best shape marked; 100B tokens"],
                series,
                x="width / depth",
                y="loss above the best shape (per cent)",
                log_x=True,
            )
        },
        tables=(
            Table(
                "The four-term law on the authors' tables",
                (
                    "rows",
                    "number",
                    "objective, theirs",
                    "ours",
                    "starts that agree",
                    "width / depth",
                    "exponent of N*",
                ),
                tuple(rows),
                "Width / depth: best at 1B parameters by our fit. Exponent: of chinchilla on the same rows.",
            ),
            compared,
        ),
    )


def _hidden(runs: fs.Runs) -> tuple[list[Claim], Table, list[float]]:
    """Shapes, and sizes with lengths, that were not fitted: also the errors as shares of chinchilla's."""
    aspect, D, N = runs["width"] / runs["depth"], runs["D"], runs["N"]
    wide, deep = aspect > np.quantile(aspect, 0.8), aspect < np.quantile(aspect, 0.2)
    splits = {
        "on the widest fifth of the shapes, hidden": (~wide, wide),
        "on the deepest fifth of the shapes, hidden": (~deep, deep),
        "above 1.2B parameters and 100B tokens, both hidden": (
            (D < 1.05e11) & (N < 1.2e9),
            (D > 1.05e11) & (N > 1.2e9),
        ),
    }
    laws = ("chinchilla", "skaling", "gemstones")
    errors = {
        words: {law: 100 * relative_errors(fs.fit(runs.where(train), law), runs.where(test)) for law in laws}
        for words, (train, test) in splits.items()
    }
    found = [
        holds(
            f"mean error {words}, with terms for width and depth, per cent",
            ours=float(each["gemstones"].mean()),
            most=float(each["chinchilla"].mean()),
            source="chinchilla on the same rows",
        )
        for words, each in errors.items()
    ]
    words = list(splits)[-1]
    found.append(
        fewer_errors(
            f"mean error {words}, by skaling (N and D with an interaction, no shape), per cent",
            ours=errors[words]["skaling"],
            theirs=errors[words]["gemstones"],
            groups=runs.labels["run"][splits[words][1]],
            source="the authors' four terms on the same rows",
        )
    )
    rows = tuple(
        (words.removeprefix("on "), str(each["gemstones"].size), *(f"{each[law].mean():.2f}" for law in laws))
        for words, each in errors.items()
    )
    shares = [float(each["gemstones"].mean() / each["chinchilla"].mean()) for each in errors.values()]
    shares.append(float(errors[words]["skaling"].mean() / errors[words]["chinchilla"].mean()))
    return found, Table("Mean error on hidden rows, per cent", ("hidden", "rows", *laws), rows), shares


gemstones = Study(
    id="gemstones",
    title="Width and depth as terms of their own",
    question="Is the authors' fit the optimum of its objective, and do terms for shape predict hidden shapes?",
    papers=("mcleish2025",),
    datasets=tuple(name for name, *_ in TABLES),
    laws=("gemstones", "chinchilla", "skaling"),
    run=run,
)

# SPDX-License-Identifier: Apache-2.0
"""QuEST: is a model in few bits worth a fixed share of its parameters, and does a curve in bits say which?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, relative_errors, rms
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured

PLAIN = "w16a16"


def run() -> Outcome:
    """Fit QuEST's rows with one efficiency per scheme; hide sizes and lengths; compare with one curve in bits."""
    every = fs.dataset("quest-integers")
    runs = with_schemes(every.where(np.isin(every.labels["quantiser"], ["quest", "plain"])))
    schemes = [name for name in runs.columns if name in set(runs.labels["scheme"].tolist())]
    free = fs.law(f"parameter-efficiency(N, D, {', '.join(schemes)})")
    fit = fs.fit(runs, free)
    eff = {name: fit.params[f"eff_{name}"] for name in schemes}
    per_bit = {name: eff[name] * 16 / bits_of(name) for name in schemes}
    rivals = [value for name, value in per_bit.items() if name != "w4a4" and not name.endswith("a16")]
    best = holds(
        "worth per bit of 4-bit weights and activations, over the best of 2, 3, 8 and 16 bits",
        ours=per_bit["w4a4"] / max(*rivals, 1.0),
        least=1.0,
        source="Panferov et al. 2025, README: 4-bit training is Pareto-optimal",
    )
    held = held_out(runs, free)
    per_scheme = " and ".join(f"{100 * claim.ours:.1f}" for claim in held)
    by_curve = " and ".join(f"{100 * float(claim.theirs or 0.0):.1f}" for claim in held)
    off = np.log(fit.predict(runs).estimate / runs["loss"])
    scatter = measured("root mean square of the log residuals, one worth per scheme", rms(off))
    return Outcome(
        claims=(best, *held, scatter, *others(every)),
        sentence=(
            f"A parameter in four bits (weights and activations) is worth {eff['w4a4']:.2f} of one in 16, in three "
            f"{eff['w3a3']:.2f}, in two {eff['w2a2']:.2f}; with one number per scheme, sizes and lengths that were "
            f"hidden are predicted to {per_scheme} %, by one exponential curve in bits to {by_curve} %."
        ),
        charts={"collapse": collapse(runs, fit, eff), "worth": worth(eff)},
        tables=(
            Table(
                "What a parameter is worth",
                ("scheme", "worth", "90 % interval", "worth per 16 bits of weight"),
                tuple(
                    (name, f"{eff[name]:.3f}", interval(fit, f"eff_{name}"), f"{per_bit[name]:.2f}")
                    for name in schemes
                ),
                "w4a16: weights of 4 bits, activations of 16. D = 25 to 100 tokens per parameter. The paper's own "
                "figures were not found.",
            ),
        ),
    )


def with_schemes(runs: fs.Runs, label: str = "scheme") -> fs.Runs:
    """One column per scheme, 1 in its rows: what parameter-efficiency reads. 16 bits have none."""
    for name in sorted(set(runs.labels[label].tolist())):
        if not name.endswith(PLAIN):
            runs = runs.with_column(column(name), 1.0 * (runs.labels[label] == name))
    return runs


def column(name: str) -> str:
    """A label as an identifier."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def bits_of(scheme: str) -> float:
    """Bits per weight: w4a16 -> 4."""
    return float(scheme[1 : scheme.index("a")])


def interval(fit: fs.Fit, name: str) -> str:
    """The fit's interval as text."""
    low, high = fit.interval(name)
    return f"{low:.3f} to {high:.3f}"


def held_out(runs: fs.Runs, free: fs.Law) -> list[Claim]:
    """Sizes and lengths that the fit has not seen, by a number per scheme and by a curve in bits."""
    found = []
    for what, hidden in (
        ("runs of 443M and 822M parameters", runs["N"] > 4e8),
        ("runs at 25 tokens per parameter", runs["D"] < 30 * runs["N"]),
    ):
        rest = runs.where(hidden)
        one_each, curve = (
            relative_errors(fs.fit(runs.where(~hidden), law), rest) for law in (free, "integer-precision")
        )
        found.append(
            fewer_errors(
                f"error on the {len(rest)} {what}, hidden, by one worth per scheme",
                ours=one_each,
                theirs=curve,
                source="integer-precision, the curve 1 - exp(-bits / gamma) of Kumar et al. 2024, fitted alike",
            )
        )
    return found


def others(every: fs.Runs) -> list[Claim]:
    """What the rotation brings: the same fit over all quantisers."""
    runs = with_schemes(every, "method")
    schemes = [column(name) for name in sorted(set(every.labels["method"].tolist())) if not name.endswith(PLAIN)]
    fit = fs.fit(runs, f"parameter-efficiency(N, D, {', '.join(schemes)})")
    return [
        measured(
            "parameters that one of w1a1 (clipped, with rotation) is worth, all quantisers fitted together",
            fit.params["eff_hadamard_clip_w1a1"],
        ),
        *(
            measured(
                f"worth in {scheme} with the Hadamard rotation, over the worth without it",
                fit.params[f"eff_quest_{scheme}"] / fit.params[f"eff_trust_{scheme}"],
            )
            for scheme in ("w4a4", "w3a3", "w2a2")
        ),
    ]


def collapse(runs: fs.Runs, fit: fs.Fit, eff: dict[str, float]) -> dict[str, object]:
    """Loss without its data term against effective parameters: one line by the law."""
    p, scheme = fit.params, runs.labels["scheme"]
    worths = runs["N"] * np.array([eff.get(name, 1.0) for name in scheme.tolist()])
    left = runs["loss"] - p["B"] * runs["D"] ** -p["beta"]
    kinds = {
        "16 bits": scheme == PLAIN,
        "weights and activations in 2 to 8 bits": np.array([not name.endswith("a16") for name in scheme.tolist()]),
        "weights alone in 2 to 4 bits": np.array(
            [name.endswith("a16") and name != PLAIN for name in scheme.tolist()]
        ),
    }
    sizes = np.geomspace(worths.min(), worths.max(), 60)
    series = [Series(kind, worths[rows], left[rows]) for kind, rows in kinds.items()]
    series.append(Series("the law", sizes, p["E"] + p["A"] * sizes ** -p["alpha"], "line"))
    return xy(
        "Loss against the parameters that a model is worth",
        [f"{len(runs)} runs, 25 to 100 tokens per parameter; each is moved left by the worth of its parameters"],
        series,
        x="N times worth, parameters",
        y="loss without the term for data (nats per token)",
        log_x=True,
        kind_x="count",
    )


def worth(eff: dict[str, float]) -> dict[str, object]:
    """Worth per bit against bits."""
    both = {name: value for name, value in eff.items() if not name.endswith("a16")}
    alone = {name: value for name, value in eff.items() if name.endswith("a16")}
    series = [
        Series(label, [bits_of(name) for name in part], [16 * value / bits_of(name) for name, value in part.items()])
        for label, part in (("weights and activations", both), ("weights alone", alone))
    ]
    series.append(Series("16 bits", [1.8, 8.2], [1.0, 1.0], "dashes"))
    return xy(
        "What a bit of memory is worth, against 16 bits",
        ["16 bits = 1; few bits in the weights alone, or in weights and activations"],
        series,
        x="bits per weight",
        y="worth per bit, 16 bits = 1",
    )


quest_precision = Study(
    id="quest-precision",
    title="What a parameter is worth in few bits",
    question="Is a model trained in few bits worth a fixed share of its parameters at every size and length?",
    papers=("panferov2025", "kumar2024"),
    datasets=("quest-integers",),
    laws=("parameter-efficiency", "integer-precision"),
    run=run,
)

# SPDX-License-Identifier: Apache-2.0
"""Low-bit tables: which width spends memory best, and do the directions of the quantisation law hold?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, relative_errors, span
from forescale.studies._study import Claim, Outcome, Study, Table, holds, measured

PARETOQ = "Liu et al. 2025 (ParetoQ): 1.58, 2 and 3 bits lie on the front of memory against 4 bits"
OUYANG = "Ouyang et al. 2024: degradation falls with size and bits and grows with tokens"
WIDTHS = {"w1": 1.0, "w1_58": 1.58, "w2": 2.0, "w3": 3.0}
"""Schemes beside four bits, which are the measure here."""

NUMBERS = {"7B": ("Llama-2-7B", "Llama-3-8B"), "70B": ("Llama-2-70B", "Llama-3-70B")}
GROUP = 128.0
"""Weights per scale of the rows compared: two widths of the table have other rows as well."""


def run() -> Outcome:
    """Five sizes by five widths of ParetoQ; then degradations of Llama-2 and Llama-3 after EfficientQAT."""
    qat = trained()
    every = fs.fit(qat, FREE)
    worth = {name: every.params[f"eff_{name}"] for name in WIDTHS}
    rows, claims, spent = [], [], []
    for name, bits in WIDTHS.items():
        low, high = (end * 4.0 / bits for end in every.interval(f"eff_{name}"))
        per_bit = worth[name] * 4.0 / bits
        spent.append((per_bit, f"{bits:g}"))
        rows.append((f"{bits:g}", f"{worth[name]:.3f}", f"{per_bit:.3f}", f"{low:.3f} to {high:.3f}"))
        text = f"worth of a bit in {bits:g}-bit weights, over one in four-bit weights"
        if name == "w1":
            claims.append(measured(text, per_bit, note=f"90 %: {low:.2f} to {high:.2f}."))
        else:
            said = f"{per_bit:.3f}, from {low:.3f}."
            text = f"{text}, upper end of its 90 % interval"
            claims.append(holds(text, ours=high, least=1.0, source=PARETOQ, note=said))
    after, newer, smaller = after_training()
    return Outcome(
        claims=(*claims, *held_out(qat), *after),
        sentence=(
            "Trained in few bits, a bit of memory is worth, as a share of one in four-bit weights, "
            f"{', '.join(f'{share:.2f} at {bits}' for share, bits in spent)} bits. Quantised after training by "
            f"another method than the law's, Llama-3 loses {span(newer)} times what Llama-2 does, which saw fewer "
            f"tokens, and Llama-2-7B {span(smaller)} times what 70B does."
        ),
        charts={"bits": drawn(qat)},
        tables=(
            Table(
                "Trained in few bits (ParetoQ)",
                ("bits", "worth of a parameter", "worth per bit", "90 % interval"),
                tuple(rows),
                "A parameter, and a bit, of the four-bit models = 1.",
            ),
        ),
    )


FREE = fs.law(f"parameter-efficiency(N, D, {', '.join(WIDTHS)})").fix(B=0.0, beta=1.0)
"""The law at one number of tokens: without its term for data."""


def trained() -> fs.Runs:
    """ParetoQ's rows of 1 to 4 bits, a column per width. The 16-bit models saw less training and are left out."""
    runs = fs.dataset("lowbit-qat")
    runs = runs.where(runs["bits"] < 16)
    runs = runs.with_column("D", np.ones(len(runs)))
    for name, bits in WIDTHS.items():
        runs = runs.with_column(name, 1.0 * (runs["bits"] == bits))
    return runs


def held_out(runs: fs.Runs) -> list[Claim]:
    """The largest, and the smallest size from the other four."""
    found = []
    for words, hidden in (("largest", runs["N"] == runs["N"].max()), ("smallest", runs["N"] == runs["N"].min())):
        rest = runs.where(hidden)
        free, total = (
            relative_errors(fs.fit(runs.where(~hidden), law), rest) for law in (FREE, fs.law("bit-frontier"))
        )
        found.append(
            fewer_errors(
                f"error on the {words} size in five widths, hidden, by one number per width",
                ours=free,
                theirs=total,
                source="bit-frontier: total bits alone",
            )
        )
    return found


def after_training() -> tuple[list[Claim], list[float], list[float]]:
    """What a table without tokens can say of the quantisation law: directions, and the ratios of degradations."""
    runs = fs.dataset("lowbit-ptq")
    runs = runs.where(runs["group_size"] == GROUP)
    added = dict(zip(zip(runs.labels["model"].tolist(), runs["bits"].tolist()), runs["degradation"].tolist()))
    ratios = [added[new, b] / added[old, b] for old, new in NUMBERS.values() for b in (2.0, 3.0, 4.0)]
    llama = runs.where(np.array([name.startswith("Llama-2") for name in runs.labels["model"].tolist()]))
    fit = fs.fit(llama.with_column("D", np.ones(len(llama))), fs.law("quantisation").fix(beta=1.0))
    shrinks = [added["Llama-2-7B", b] / added["Llama-2-70B", b] for b in (2.0, 3.0, 4.0)]
    claims = [
        holds(
            "least of six ratios, degradation of Llama-3 over that of Llama-2 at equal size and bits",
            ours=min(ratios),
            least=1.0,
            source=OUYANG,
            note="By their model cards Llama-2 saw 2e12 tokens, Llama-3 more than 15e12; tokenizers differ as well.",
        ),
        holds(
            "least of three ratios, degradation of Llama-2-7B over that of Llama-2-70B at equal bits",
            ours=min(shrinks),
            least=1.0,
            source=OUYANG,
            note="Tokens are equal. The law was fitted to GPTQ; EfficientQAT trains the quantised weights.",
        ),
        measured(
            "exponent of bits, Llama-2 at one number of tokens",
            fit.params["gamma"],
            note="5.50 for GPTQ on Pythia; this is another quantiser (EfficientQAT) and family.",
        ),
    ]
    return claims, ratios, shrinks


def drawn(runs: fs.Runs) -> dict[str, object]:
    """Log perplexity against total bits, one series per width."""
    series = [
        Series(
            f"{bits:g} bits",
            (runs["N"] * runs["bits"])[runs["bits"] == bits] / 8e9,
            runs["loss"][runs["bits"] == bits],
        )
        for bits in sorted(set(runs["bits"].tolist()))
    ]
    fit = fs.fit(runs, "bit-frontier")
    total = np.geomspace((runs["N"] * runs["bits"]).min(), (runs["N"] * runs["bits"]).max(), 60)
    series.append(
        Series("bit-frontier", total / 8e9, fit.predict(N=total, bits=np.ones_like(total)).estimate, "dashes")
    )
    return xy(
        "Loss against the memory of the weights",
        ["five models per width; below the line is memory well spent"],
        series,
        x="weights (GB)",
        y="log of the WikiText-2 perplexity (nats per token)",
        log_x=True,
    )


lowbit_tables = Study(
    id="lowbit-tables",
    title="Memory of the weights: how many bits",
    question="Which bit width spends memory best, and what makes a model hard to quantise?",
    papers=("ouyang2024", "ding2025", "panferov2025"),
    datasets=("lowbit-qat", "lowbit-ptq"),
    laws=("parameter-efficiency", "bit-frontier", "quantisation"),
    run=run,
)

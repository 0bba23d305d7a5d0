# SPDX-License-Identifier: Apache-2.0
"""The third of N, D and C from the other two, whether the three agree, and explicit changes of convention.

C = 6ND counts two FLOP per parameter and token forward and four backward (Kaplan et al. 2020, section 2.1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forescale.core.columns import check_convention, convert_loss
from forescale.core.errors import ColumnError, ConventionError, DataError, message
from forescale.runs._build import row_list
from forescale.runs.table import Conventions, Runs

FLOP_PER_PARAMETER_TOKEN = 6.0
"""Training FLOP per parameter and token: two forward, four backward."""

DISAGREES = 0.25
"""Largest median departure of C from 6ND that passes without a remark: attention, embeddings and rounding of N
explain up to about this much in published tables; a different definition of N or C is off by more."""

_PLACES = {"total": "N_total", "non-embedding": "N_nonemb", "matrices+head": "N_matrices", "active": "N_active"}
"""Where a table keeps each count of parameters that is not the one it uses as N."""


def derive(runs: Runs, convention: str | None = None) -> Runs:
    """Complete N, D and C: C from N and D, D from C and N, or N from C and D, by C = 6 N D.

    Nothing is overwritten. When all three are there and C departs from 6 N D by a median factor of more than 25 %, an
    amber note says by how much. When the source does not say which N (or which C) it means, the note on a derived
    column is amber; otherwise it is informational.

    Args:
        runs: a table with at least two of N, D and C (with fewer it is returned as it is).
        convention: `6ND` (the default) or `6N(non-embedding)D` (the default where N is non-embedding).

    Raises:
        ConventionError: an unknown convention, or one that the table contradicts.
    """
    counted = runs.conventions.N
    if convention is None:
        convention = "6N(non-embedding)D" if counted == "non-embedding" else "6ND"
    check_convention("C", convention)
    if convention not in ("6ND", "6N(non-embedding)D"):
        raise ConventionError(
            message(f"C cannot be derived as {convention!r} from N and D alone", "6ND or 6N(non-embedding)D")
        )
    if counted is not None and (counted == "non-embedding") != (convention == "6N(non-embedding)D"):
        raise ConventionError(
            message(
                f"{runs.source} counts N as {counted}, and C = {convention} was asked for",
                "the same N in both",
                "forescale.runs.derive.convert, or leave the convention out",
            )
        )
    there = {name for name in ("N", "D", "C") if name in runs.columns}
    if there == {"N", "D", "C"}:
        return _agreement(runs, convention)
    if len(there) < 2:
        return runs
    six = FLOP_PER_PARAMETER_TOKEN
    if "C" not in there:
        name, values, how = "C", six * runs["N"] * runs["D"], "C = 6 N D"
    elif "D" not in there:
        name, values, how = "D", runs["C"] / (six * runs["N"]), "D = C / (6 N)"
    else:
        name, values, how = "N", runs["C"] / (six * runs["D"]), "N = C / (6 D)"
    said = counted is not None and (name == "C" or convention == runs.conventions.C)
    conventions = runs.conventions
    if name == "C":
        conventions = replace(conventions, C=convention)
    elif name == "D" and conventions.D is None:
        conventions = replace(conventions, D="tokens")
    doubts = [] if counted else ["N is taken as total"]
    if name != "C" and convention != runs.conventions.C:
        doubts.append(f"C is {runs.conventions.C or 'taken as ' + convention}")
    derived = replace(runs.with_column(name, values), conventions=conventions)
    return derived.with_note(
        "info" if said else "amber",
        f"{name}-derived",
        f"{name} is not in {runs.source}: it was derived as {how}"
        + (f", with N {counted}" if counted else "")
        + (f"; the source does not say it, so {' and '.join(doubts)}" if doubts else "")
        + ".",
    )


def require(runs: Runs, *names: str) -> Runs:
    """The table with the columns `names`, completed by `derive` if that is what it takes.

    Raises:
        ColumnError: a column is missing and cannot be derived.
    """
    if any(name not in runs.columns for name in names):
        runs = derive(runs)
    for name in names:
        if name not in runs.columns:
            have = ", ".join([*runs.columns, *runs.labels]) or "none"
            raise ColumnError(
                message(
                    f"{runs.source} has no column {name}, and it cannot be derived",
                    f"{name}" + (", or two of N, D and C" if name in "NDC" else "") + f"; the table has: {have}",
                    f'columns={{"{name}": "..."}} in Python, --column {name}=... on the command line',
                )
            )
    return runs


def require_positive(runs: Runs, *names: str) -> Runs:
    """As `require`, every value finite and above zero.

    Raises:
        ColumnError: as `require`.
        DataError: a value that is missing, infinite, zero or negative.
    """
    table = require(runs, *names)
    for name in names:
        bad = np.flatnonzero(~(np.isfinite(table[name]) & (table[name] > 0)))
        if bad.size:
            raise DataError(
                message(
                    f"{runs.source}: {name} is missing, zero or negative in {row_list(bad)}",
                    "a positive finite number in every row",
                    "correct the rows, or leave them out",
                )
            )
    return table


def convert(
    runs: Runs,
    *,
    N: str | None = None,
    C: str | None = None,
    loss: str | None = None,
    bytes_per_token: float | None = None,
) -> Runs:
    """Change what N, C or the loss means, explicitly.

    Args:
        runs: the table.
        N: a count that the table holds beside its N (`N_nonemb`, `N_matrices`, `N_active` or `N_total`). The old N is
            kept under its own name. A C that was counted with the old N keeps its convention.
        C: `6ND` or `6N(non-embedding)D`: recomputed from N and D.
        loss: another unit; the columns `loss` and `train_loss` are converted, `loss_sd` where the factor is constant.
        bytes_per_token: needed between losses per token and per byte.

    Raises:
        ConventionError: the table does not say what it holds now, or does not hold what the conversion needs.
    """
    if N is not None:
        runs = _other_count(runs, check_convention("N", N))
    if C is not None:
        if not {"N", "D"} <= set(runs.columns):
            raise ConventionError(message(f"C as {C} needs N and D", "both columns", "forescale.runs.derive.derive"))
        if runs.conventions.N is None:
            raise ConventionError(
                message(f"{runs.source} does not say which N it counts", "a stated N", 'with_conventions(N="total")')
            )
        runs = derive(replace(runs.without("C"), conventions=replace(runs.conventions, C=None)), C)
    if loss is not None:
        runs = _other_loss(runs, check_convention("loss", loss), bytes_per_token)
    return runs


def _other_count(runs: Runs, wanted: str) -> Runs:
    now = runs.conventions.N
    if now == wanted:
        return runs
    place = _PLACES[wanted]
    if now is None or place not in runs.columns:
        seen = "does not say which N it counts" if now is None else f"counts N as {now} and has no column {place}"
        raise ConventionError(
            message(
                f"{runs.source} {seen}",
                f"a stated N, and a column {place}",
                f'with_conventions(N="...") to state it, with_column("{place}", ...) to add the count',
            )
        )
    swapped = runs.with_column(_PLACES[now], runs["N"]).with_column("N", runs[place]).without(place)
    return replace(swapped, conventions=replace(runs.conventions, N=wanted)).with_note(
        "info", "N-converted", f"N is now {wanted}; the {now} count is kept as {_PLACES[now]}."
    )


def _other_loss(runs: Runs, wanted: str, bytes_per_token: float | None) -> Runs:
    now = runs.conventions.loss
    if now == wanted:
        return runs
    if now is None:
        raise ConventionError(
            message(
                f"{runs.source} does not say the unit of its loss",
                "a stated unit",
                'with_conventions(loss="nats/token") or another unit',
            )
        )
    converted = runs
    for name in ("loss", "train_loss"):
        if name in runs.columns:
            values = np.array(runs[name])
            converted = converted.with_column(
                name, convert_loss(values, now, wanted, bytes_per_token=bytes_per_token)
            )
    if "loss_sd" in runs.columns:
        if "perplexity" in (now, wanted):
            converted = converted.without("loss_sd")
        else:
            spread = convert_loss(np.array(runs["loss_sd"]), now, wanted, bytes_per_token=bytes_per_token)
            converted = converted.with_column("loss_sd", spread)
    stated: Conventions = replace(runs.conventions, loss=wanted)
    return replace(converted, conventions=stated, curves={}).with_note(
        "info", "loss-converted", f"The loss was converted from {now} to {wanted}."
    )


def _agreement(runs: Runs, convention: str) -> Runs:
    if len(runs) == 0:
        return runs
    ratio = float(np.median(runs["C"] / (FLOP_PER_PARAMETER_TOKEN * runs["N"] * runs["D"])))
    if abs(np.log(ratio)) <= np.log1p(DISAGREES):
        return runs
    return runs.with_note(
        "amber",
        "C-disagrees",
        f"C is {ratio:.3g} times {convention} in the median: N, D or C counts something else (embeddings, attention, "
        "several epochs, another unit). Nothing was changed; state the conventions, or convert.",
    )

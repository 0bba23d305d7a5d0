# SPDX-License-Identifier: Apache-2.0
"""What a table shows by itself, before any fit: units, duplicates, design.

`check(runs)` returns notes, red ones first. Nothing is changed. What needs a fit (outliers, diverged runs, profiles
without a minimum) is the lint of `forescale.judge`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forescale.runs.derive import DISAGREES, FLOP_PER_PARAMETER_TOKEN
from forescale.runs.table import Floats, Note, Runs

SMALL_N = 1e3
"""A median N below this is a count in millions or billions: no model of interest has so few parameters."""

SMALL_D = 1e4
"""A median D below this is a count in millions or billions of tokens."""

SMALL_C = 1e6
"""A median C below this is in PFLOP, ZFLOP or device time: it is less than one step of a toy model."""

LARGEST_NATS = 12.0
"""A uniform guess over a vocabulary of 160,000 costs 12 nats per token: a loss above is a perplexity or a percent."""

PERPLEXED = 20.0
"""A median loss above this is a perplexity (or a percentage), whatever the vocabulary."""

LARGEST_BITS_PER_BYTE = 8.0
"""A uniform guess over the 256 bytes."""

NEAR = 1e-3
"""Two rows closer than this in log N and log D are the same setting up to rounding."""

NEAR_LOSS = 1e-4
"""Relative difference of losses below which near duplicates are one measurement written twice: seeds differ by 1e-3
and more at proxy scale."""

LEVEL = 0.02
"""Values within 2 % count as one level of N or D: sizes are rounded to layers and widths."""

FEW_LEVELS = 4
"""Fewer levels than this cannot show the curvature that separates a floor from an exponent."""

CONFOUNDED = 0.95
"""|corr(log N, log D)| above which the variances of alpha and beta are inflated more than tenfold (1 / (1 - r^2))."""

CONSTANT_RATIO = 0.05
"""Standard deviation of log(D/N) below which N and D move as one: only alpha = beta can then be assumed, not seen."""

SHORT_RANGE = 1.0
"""Decades of compute below which an extrapolation by a factor of ten goes further than the data do."""

SETTING_LABELS = ("dataset", "group", "model")
"""Text that tells two experiments apart; other labels (run, purpose, notes) differ between repeats of one."""

_RANK = {"red": 0, "amber": 1, "info": 2}


def check(runs: Runs) -> tuple[Note, ...]:
    """Structural remarks on a table, the gravest first.

    Args:
        runs: any table; columns that are not there are not asked for.

    Returns:
        notes with the codes `few-rows`, `equal-losses`, `swapped`, `units-N`, `units-D`, `units-C`, `units-loss`,
        `C-disagrees`, `duplicates`, `near-duplicates`, `levels-N`, `levels-D`, `proportional`, `confounded`,
        `short-range`, `range`, `checkpoints`, `repeats`, `loss-not-stated`, `N-not-stated`.
    """
    if len(runs) == 0:
        return (Note("red", "few-rows", "The table has no rows."),)
    with np.errstate(all="ignore"):  # a table put together by hand may hold what no law accepts
        notes = [
            *_rows(runs),
            *_units(runs),
            *_agreement(runs),
            *_duplicates(runs),
            *_design(runs),
            *_structure(runs),
            *_stated(runs),
        ]
    return tuple(sorted(notes, key=lambda note: _RANK[note.level]))


def levels(values: Floats) -> int:
    """How many different values there are, with values within 2 % of their neighbour counted once."""
    ordered = np.sort(np.log(values[np.isfinite(values) & (values > 0)]))
    return 0 if len(ordered) == 0 else 1 + int((np.diff(ordered) > np.log1p(LEVEL)).sum())


def _rows(runs: Runs) -> list[Note]:
    n = len(runs)
    notes = []
    if n < 3:
        notes.append(Note("red", "few-rows", f"{n} row{'s' if n > 1 else ''}: no law can be told from another."))
    elif n < 8:
        notes.append(
            Note("amber", "few-rows", f"{n} rows: intervals will be wide, and a 5-parameter law has few to spare.")
        )
    if "loss" in runs and n > 1 and bool(np.all(runs["loss"] == runs["loss"][0])):
        notes.append(Note("red", "equal-losses", "All losses are equal: nothing depends on anything here."))
    return notes


def _units(runs: Runs) -> list[Note]:
    notes = []
    median = {name: float(np.median(runs[name])) for name in ("N", "D", "C", "loss") if name in runs}
    if "N" in median and median["N"] < SMALL_N:
        notes.append(
            Note(
                "red", "units-N", f"The median N is {median['N']:.3g}: is N in millions or billions? Multiply it out."
            )
        )
    if "D" in median and median["D"] < SMALL_D:
        notes.append(
            Note(
                "red", "units-D", f"The median D is {median['D']:.3g}: is D in millions or billions? Multiply it out."
            )
        )
    if "C" in median and median["C"] < SMALL_C:
        notes.append(
            Note(
                "red",
                "units-C",
                f"The median C is {median['C']:.3g}: C is wanted in FLOP, not in PFLOP, days or dollars.",
            )
        )
    fine = not notes
    samples = runs.conventions.D == "samples"  # of images there are often fewer than parameters
    if fine and not samples and {"N", "D"} <= set(median) and median["N"] > median["D"]:
        text = f"N (median {median['N']:.3g}) is larger than D ({median['D']:.3g}): are the two columns swapped?"
        notes.append(Note("amber", "swapped", text))
    unit = runs.conventions.loss
    if "loss" in median and unit not in ("perplexity", "1-accuracy"):
        lowest, highest = float(runs["loss"].min()), float(runs["loss"].max())
        per_byte = unit in ("bits/byte", "nats/byte", "bits/char")
        if median["loss"] > PERPLEXED:
            guess = "a perplexity or a percentage"
            notes.append(
                Note("red", "units-loss", f"The median loss is {median['loss']:.3g}: it looks like {guess}.")
            )
        elif highest > (LARGEST_BITS_PER_BYTE if per_byte else LARGEST_NATS):
            text = f"The largest loss is {highest:.3g}, worse than a uniform guess: a diverged run, or another unit?"
            notes.append(Note("amber", "units-loss", text))
        elif not per_byte and lowest < 0.5 and unit == "nats/token":
            text = f"The smallest loss is {lowest:.3g} nats per token: is it per byte, or an error rate?"
            notes.append(Note("amber", "units-loss", text))
    if "loss" in median and unit == "1-accuracy" and float(runs["loss"].max()) > 1.0:
        notes.append(Note("red", "units-loss", "An error rate above 1: the column is in percent."))
    if "loss" in median and unit == "perplexity" and float(runs["loss"].min()) < 1.0:
        notes.append(Note("red", "units-loss", "A perplexity below 1 does not exist: the column is a loss."))
    return notes


def _agreement(runs: Runs) -> list[Note]:
    if not {"N", "D", "C"} <= set(runs.columns):
        return []
    ratio = runs["C"] / (FLOP_PER_PARAMETER_TOKEN * runs["N"] * runs["D"])
    middle = float(np.median(ratio))
    if abs(np.log(middle)) <= np.log1p(DISAGREES):
        return []
    text = f"C is {middle:.3g} times 6 N D in the median: N, D or C counts something else. Nothing was changed."
    return [Note("amber", "C-disagrees", text)]


def _settings(runs: Runs) -> tuple[str, ...]:
    return tuple(name for name in ("N", "D", "C") if name in runs.columns)


def _duplicates(runs: Runs) -> list[Note]:
    names = _settings(runs)
    if "loss" not in runs.columns or not names:
        return []
    notes = []
    # text columns count: the same setting on two corpora is two experiments
    numbers = [runs[name] for name in (*names, "loss", "seed") if name in runs.columns]
    exact = np.column_stack(numbers + [runs.group_codes(t)[0] for t in runs.labels if t != "run"])
    _, counts = np.unique(exact, axis=0, return_counts=True)
    doubled = int((counts - 1).sum())
    if doubled:
        notes.append(
            Note("amber", "duplicates", f"{doubled} rows repeat another row exactly; they count twice in every fit.")
        )
    tuned = [name for name in ("lr_peak", "batch_tokens") if name in runs.columns and bool((runs[name] > 0).all())]
    close = _near(np.column_stack([np.log(runs[name]) for name in (*names, *tuned)]), runs["loss"])
    close -= _equal_pairs(np.column_stack([runs[name] for name in (*names, *tuned, "loss")]))
    if close > 0:
        notes.append(
            Note(
                "info",
                "near-duplicates",
                f"{close} pairs of rows agree to 0.1 % in N and D and to 0.01 % in the loss.",
            )
        )
    return notes


def _near(settings: NDArray[np.float64], loss: Floats) -> int:
    """Neighbouring pairs (in sorted order) that agree in everything up to rounding; linear in memory."""
    order = np.lexsort((loss, *np.round(settings / NEAR).T))
    gap = np.abs(np.diff(settings[order], axis=0)).max(axis=1)
    apart = np.abs(np.diff(np.log(loss[order])))
    return int(((gap < NEAR) & (apart < NEAR_LOSS)).sum())


def _equal_pairs(rows: NDArray[np.float64]) -> int:
    _, counts = np.unique(rows, axis=0, return_counts=True)
    return int((counts - 1).sum())


def _design(runs: Runs) -> list[Note]:
    notes = []
    for name in ("N", "D"):
        if name in runs.columns and len(runs) >= 3:
            found = levels(runs[name])
            if found == 1:
                text = f"{name} has a single value: what depends on {name} cannot be fitted."
                notes.append(Note("red", f"levels-{name}", text))
            elif found < FEW_LEVELS:
                text = (
                    f"{name} has {found} levels, too few to tell a floor from an exponent; {FEW_LEVELS} are wanted."
                )
                notes.append(Note("amber", f"levels-{name}", text))
    if {"N", "D"} <= set(runs.columns) and len(runs) >= 3:
        log_n, log_d = np.log(runs["N"]), np.log(runs["D"])
        if levels(runs["N"]) > 1 and levels(runs["D"]) > 1:
            spread = float(np.std(log_d - log_n))
            r = float(np.corrcoef(log_n, log_d)[0, 1])
            if spread < CONSTANT_RATIO:
                text = "D/N is constant: N and D never vary apart, so their parts of the loss cannot be told apart."
                notes.append(Note("red", "proportional", text))
            elif abs(r) > CONFOUNDED:
                text = f"log N and log D are correlated ({r:+.3f}): their parts of the loss are hard to tell apart."
                notes.append(Note("amber", "confounded", text))
    if "C" in runs.columns and len(runs) >= 2:
        decades = float(np.log10(runs["C"].max() / runs["C"].min()))
        if decades < SHORT_RANGE:
            text = f"Compute spans {decades:.2g} decades: too short a lever for extrapolation."
            notes.append(Note("amber", "short-range", text))
        else:
            notes.append(Note("info", "range", f"Compute spans {decades:.2g} decades."))
    return notes


def _structure(runs: Runs) -> list[Note]:
    notes = []
    if "run" in runs.labels:
        codes, names = runs.group_codes("run")
        if len(names) < len(runs):
            most = int(np.bincount(codes).max())
            text = (
                f"{len(names)} runs have {len(runs)} rows (up to {most} each): rows are checkpoints. Rows before the "
                "end of a decaying schedule lie above the law; take the last of each run unless the schedule is "
                "constant, and resample by run."
            )
            notes.append(Note("amber", "checkpoints", text))
    if "seed" in runs.columns and {"N", "D"} <= set(runs.columns):
        cells = np.column_stack(
            [runs["N"], runs["D"]] + [runs.group_codes(t)[0] for t in SETTING_LABELS if t in runs.labels]
        )
        _, inverse = np.unique(cells, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        seeds = np.unique(np.column_stack([inverse, runs["seed"]]), axis=0)
        repeated = int((np.bincount(seeds[:, 0].astype(int)) > 1).sum())
        if repeated:
            notes.append(
                Note("info", "repeats", f"{repeated} settings were run with several seeds: the noise is measured.")
            )
    return notes


def _stated(runs: Runs) -> list[Note]:
    notes = []
    if "loss" in runs.columns and runs.conventions.loss in (None, "unknown"):
        text = "The unit of the loss is not stated: say it, e.g. conventions={'loss': 'nats/token'}."
        notes.append(Note("info", "loss-not-stated", text))
    if "N" in runs.columns and runs.conventions.N is None:
        text = "Which parameters N counts is not stated: say it, e.g. conventions={'N': 'total'}."
        notes.append(Note("info", "N-not-stated", text))
    return notes

# SPDX-License-Identifier: Apache-2.0
"""Ye et al. (2024): losses of checkpoints on mixtures, one line for each checkpoint and validation set.

A line is: path of a checkpoint (its last parts are NAME-share-share-.../STEP), path of a validation set, loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._reader import MAX_LINE, Raw
from forescale.runs.table import Note

TOKENS_PER_STEP = 4096 * 256
"""Tokens of a batch, as the repository's pipeline counts them."""

SIZES = {"70M": 18_915_328, "160M": 85_056_000, "305M": 201_541_632, "410M": 302_311_424}
"""Non-embedding parameters of the Pythia models that carry these names."""

BESIDE = ("python",)
"""Validation sets that are not of the Pile."""

LAST = "last"
"""A checkpoint of this name repeats the one of the last step."""

REFERENCES = 900
"""Mixtures with a number from here on were not sampled: defaults and optima."""


@dataclass
class _Checkpoint:
    """One row: size, name and shares of the mixture, step, and the losses seen."""

    size: str
    number: int
    shares: tuple[float, ...]
    step: int
    losses: dict[str, float] = field(default_factory=dict)


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per checkpoint: N, D, step, `weight_<domain>`, `loss_<set>`; `run` is a model on a mixture.

    Options: `files`: (file, size) pairs; `domains`: names of the shares in the order of the paths; `eval`: the
    validation set whose loss is `loss`, or "mean" of all of the Pile. Losses of the model that training went on
    from, where the file has them, become `loss_before`.

    Raises:
        ReadError: a file of another form, or without the validation set.
    """
    domains = list(options["domains"])
    found: dict[tuple[str, str, int], _Checkpoint] = {}
    before: dict[str, float] = {}
    for file, size in options["files"]:
        path = fetch(file)
        for checkpoint, measured, loss in _lines(path):
            parts = [part for part in checkpoint.split("/") if part]
            if parts and parts[-1] == LAST:
                continue
            if len(parts) < 2 or not parts[-1].isdigit():
                before[measured] = loss  # a model by its name alone: where training began
                continue
            name, _, shares = parts[-2].partition("-")
            key = (size, parts[-2], int(parts[-1]))
            if key not in found:
                found[key] = _Checkpoint(size, _number(name, path), _shares(shares, len(domains), path), key[2])
            found[key].losses[measured] = loss
    rows = list(found.values())
    sets = sorted({name for row in rows for name in row.losses})
    chosen = [name for name in sets if name not in BESIDE] if options["eval"] == "mean" else [options["eval"]]
    kept = [row for row in rows if all(name in row.losses for name in chosen)]
    if not kept or not set(chosen) <= set(sets):
        raise ReadError(message(f"no losses on {options['eval']!r}", "one of mean, " + ", ".join(sets)))
    notes: tuple[Note, ...] = ()
    if len(kept) < len(rows):
        lacking = f"{len(rows) - len(kept)} of {len(rows)} checkpoints lack a loss on {options['eval']}"
        notes = (Note("amber", "losses-missing", f"{lacking} and are left out."),)
    return _raw(kept, domains, sets, chosen, before, notes)


def _raw(
    rows: list[_Checkpoint],
    domains: list[str],
    sets: list[str],
    chosen: list[str],
    before: Mapping[str, float],
    notes: tuple[Note, ...],
) -> Raw:
    step = np.array([row.step for row in rows], dtype=np.float64)
    shares = np.array([row.shares for row in rows], dtype=np.float64)
    mixture = ["/".join(f"{share:.5g}" for share in row.shares) for row in rows]
    columns: dict[str, Any] = {
        "N": np.array([SIZES[row.size] for row in rows], dtype=np.float64),
        "D": step * TOKENS_PER_STEP,
        "step": step,
        "loss": np.array([np.mean([row.losses[name] for name in chosen]) for row in rows]),
        **{f"weight_{domain}": shares[:, j] for j, domain in enumerate(domains)},
        **{f"loss_{name}": np.array([row.losses.get(name, np.nan) for row in rows]) for name in sets},
        "mixture": mixture,
        "group": ["reference" if row.number >= REFERENCES else "sampled" for row in rows],
        "model": [row.size for row in rows],
        "run": [f"{row.size}/{name}" for row, name in zip(rows, mixture)],
    }
    if before:
        columns["loss_before"] = np.full(len(rows), float(np.mean([before[name] for name in chosen])))
    return Raw(columns=columns, mapping={name: name for name in columns}, notes=notes)


def _lines(path: Path) -> Iterator[tuple[str, str, float]]:
    """Checkpoint, validation set and loss of each line."""
    try:
        with path.open(encoding="utf-8") as file:
            while line := file.readline(MAX_LINE):
                cells = line.rstrip("\n").split("\t")
                if len(cells) != 3:
                    raise ReadError(message(f"{path.name} has a line of {len(cells)} cells", "checkpoint, set, loss"))
                yield cells[0], _set(cells[1]), float(cells[2])
    except ValueError as error:  # also what is no UTF-8
        raise ReadError(message(f"{path.name} cannot be read ({error})", "checkpoint, set, loss")) from error


def _set(path: str) -> str:
    """pythia-pile.valid.Pile-CC.bin -> pile_cc; starcoder.python.valid.bin -> python."""
    parts = [part for part in path.rpartition("/")[2].split(".") if part not in ("valid", "bin")]
    return parts[-1].lower().replace("-", "_")


def _number(name: str, path: Path) -> int:
    digits = name.rpartition("_")[2]
    if not digits.isdigit():
        raise ReadError(message(f"{path.name} names a mixture {name!r}", "a name that ends in a number"))
    return int(digits)


def _shares(text: str, count: int, path: Path) -> tuple[float, ...]:
    shares = tuple(float(part) for part in text.split("-")) if text else ()
    if len(shares) != count:
        raise ReadError(message(f"{path.name} has a mixture of {len(shares)} domains", f"{count}"))
    return shares

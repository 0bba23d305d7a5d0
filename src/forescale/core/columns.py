# SPDX-License-Identifier: Apache-2.0
"""The vocabulary: what the columns N, D, C, loss, ... mean, which conventions each may follow, what others call them.

`resolve` maps the header of a foreign table to canonical names. How it decides, in this order:

1. A column spelled exactly like a canonical column is that column. (A partial count such as `N_nonemb`, `C_budget` or
   `train_loss` stands in for N, C or loss when the table has nothing better.)
2. Otherwise names are compared with `aliases.toml` without case, spaces and punctuation. A name may say the
   convention too ("val_bpb" is a loss in bits/byte; "non_embedding_params" is N, non-embedding).
3. Two columns that claim the same canonical column are an `Ambiguity`. The entry that stands first in the file wins:
   total before unnamed before matrices+head before non-embedding before active N; validation before test before
   unnamed before training loss; realised before budgeted C. Where the loser has a place of its own (`train_loss`,
   `N_nonemb`, `C_budget`, ...), it goes there, and the ambiguity is `settled`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from forescale.core.errors import ColumnError, ConventionError, message, nearest
from forescale.core.frozen import Frozen

FloatOrArray = TypeVar("FloatOrArray", float, npt.NDArray[np.float64])


@dataclass(frozen=True)
class Column:
    """One canonical column. `kind` is "number" or "text"; `positive` numbers are above zero, all at most `most`."""

    name: str
    meaning: str
    unit: str
    kind: str = "number"
    positive: bool = True
    most: float = math.inf


def _columns() -> dict[str, Column]:
    number = [
        ("N", "model parameters, counted as the convention of the table says", "parameters"),
        ("N_nonemb", "parameters without token and position embeddings, without the vocabulary head", "parameters"),
        ("N_matrices", "transformer matrices plus the vocabulary head", "parameters"),
        ("N_active", "parameters used for one token (mixture of experts)", "parameters"),
        ("N_embedding", "parameters of the token embedding", "parameters"),
        ("N_value_embedding", "parameters of value embeddings (nanochat)", "parameters"),
        ("N_head", "parameters of the vocabulary head", "parameters"),
        ("N_transformer", "parameters of the matrices of the transformer blocks", "parameters"),
        ("N_scalars", "parameters that are no matrix: norms, biases, per-layer scalars", "parameters"),
        ("D", "tokens (or bytes, characters, samples: see the convention) the run was trained on", "tokens"),
        ("D_unique", "tokens before any repetition", "tokens"),
        ("tokens_seen", "tokens seen up to this row, where rows are checkpoints", "tokens"),
        ("M", "tokens per parameter, D / N", "tokens/parameter"),
        ("epochs", "passes over the data, D / D_unique", "passes"),
        ("quality", "tokens of a reference corpus that one token of this one is worth", "tokens/token"),
        ("C", "training compute, counted as the convention of the table says", "FLOP"),
        ("C_nonemb", "training compute counted as 6 N(non-embedding) D", "FLOP"),
        ("C_budget", "the compute that the run was planned for: the label of its IsoFLOP group", "FLOP"),
        ("flop_per_token", "compute for one training token", "FLOP/token"),
        ("loss", "final held-out loss, in the unit of the table's convention", "see convention"),
        ("train_loss", "training loss, same unit as loss", "see convention"),
        ("loss_sd", "standard deviation of the loss between repeated runs", "see convention"),
        ("weight", "weight of the row in a fit", "1"),
        ("steps", "optimiser steps of the whole run", "steps"),
        ("lr_peak", "highest learning rate of the schedule", "1"),
        ("batch_tokens", "tokens per optimiser step", "tokens"),
        ("batch_sequences", "sequences per optimiser step", "sequences"),
        ("wall_seconds", "wall-clock training time", "seconds"),
        ("devices", "number of accelerators", "devices"),
        ("depth", "number of transformer blocks", "layers"),
        ("width", "width of the residual stream, d_model", "dimensions"),
        ("heads", "attention heads", "heads"),
        ("d_ff", "hidden width of the feed-forward block", "dimensions"),
        ("vocab_size", "size of the vocabulary", "tokens"),
        ("context", "training context length", "tokens"),
        ("P", "parallel streams (ParScale)", "streams"),
        ("N_enc", "parameters of the encoder", "parameters"),
        ("N_dec", "parameters of the decoder", "parameters"),
        ("characters", "characters of text that the run was trained on", "characters"),
        ("experts", "experts per routed layer", "experts"),
        ("bits", "bits per weight", "bits"),
        ("activation_bits", "bits per activation", "bits"),
        ("exponent_bits", "exponent bits of a floating-point format", "bits"),
        ("mantissa_bits", "mantissa bits of a floating-point format", "bits"),
        ("block", "numbers that share one scaling factor", "numbers"),
        ("patch", "side of an image patch", "pixels"),
        ("radius", "size of a perturbation of the input (L-infinity norm)", "input units"),
        ("attacked", "tokens whose activations are perturbed", "tokens"),
        ("dimension", "intrinsic dimension of the data, e.g. by nearest neighbours", "dimensions"),
        ("attempts", "samples drawn per problem", "samples"),
        ("kl", "Kullback-Leibler divergence from the initial policy", "nats"),
        ("thinking_tokens", "tokens spent before the answer", "tokens"),
        ("decode_tokens", "tokens generated for one sample", "tokens"),
        ("prompt_tokens", "tokens of the prompt of one sample", "tokens"),
        ("dollars", "price of one sample or attempt", "dollars"),
        ("loss_before", "loss of the same model before the change, or on another set", "see convention"),
        ("members", "members, seeds or raters that are averaged", "members"),
    ]
    loose = [
        ("step", "optimiser step of this row, where rows are checkpoints", "steps"),
        ("lr_now", "learning rate at this row, where rows are checkpoints", "1"),
        ("weight_decay", "weight decay coefficient", "1"),
        ("warmup_steps", "optimiser steps of warm-up", "steps"),
        ("seed", "random seed", "1"),
        ("ended", "1 where the schedule reached its horizon, else 0", "1"),
        ("score", "task score", "1"),
        ("bleu", "BLEU of a translation", "1"),
        ("degradation", "loss added by a change: quantisation, attack, compression", "see convention"),
        ("knowledge", "facts that a model has stored, in bits", "bits"),
        ("controlled", "output tokens that an attack controls", "tokens"),
    ]
    bounded = [
        ("share", "weight of a domain or task in the training mixture", "1", 1.0),
        ("kept", "share of the data that a filter or pruning keeps", "1", 1.0),
        ("error", "share of wrong answers", "1", 1.0),
        ("correct", "1 where a sample is right, else 0", "1", 1.0),
        ("accepted", "1 where a verifier accepts a sample, else 0", "1", 1.0),
    ]
    text = [
        ("run", "identity of the run that a row belongs to"),
        ("dataset", "training corpus"),
        ("eval_set", "held-out set on which the loss was measured"),
        ("group", "label of the group (setting, sweep, arm)"),
        ("model", "name of the model or architecture"),
        ("device", "kind of accelerator"),
        ("problem", "problem, question or item that a sample belongs to"),
        ("answer", "final answer of a sample"),
    ]
    found = [Column(name, meaning, unit) for name, meaning, unit in number]
    found += [Column(name, meaning, unit, positive=False) for name, meaning, unit in loose]
    found += [Column(name, meaning, unit, positive=False, most=most) for name, meaning, unit, most in bounded]
    found += [Column(name, meaning, "label", kind="text", positive=False) for name, meaning in text]
    return {column.name: column for column in found}


COLUMNS: Mapping[str, Column] = MappingProxyType(_columns())

CONVENTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "N": {
            "total": "every parameter; a tied embedding counts once",
            "non-embedding": "without token embedding, learned positions and vocabulary head (Kaplan et al. 2020)",
            "matrices+head": "matrices of the blocks plus the vocabulary head (nanochat)",
            "active": "parameters used for one token",
        },
        "C": {
            "6ND": "6 N D with N total (Hoffmann et al. 2022)",
            "6N(non-embedding)D": "6 N D with N non-embedding (Kaplan et al. 2020)",
            "exact": "matrix products, causal attention scores and values, vocabulary head; 3 x the forward pass",
            "reported": "as the source reports it",
        },
        "D": {
            "tokens": "tokens",
            "bytes": "bytes",
            "characters": "characters",
            "samples": "samples (images, pairs, sequences)",
        },
        "loss": {
            "nats/token": "cross-entropy in nats per token",
            "bits/token": "cross-entropy in bits per token",
            "nats/byte": "cross-entropy in nats per byte of text",
            "bits/byte": "cross-entropy in bits per byte of text",
            "bits/char": "cross-entropy in bits per character of text",
            "perplexity": "exp(nats/token)",
            "1-accuracy": "share of wrong answers",
            "unknown": "the source does not say",
        },
    }
)


def column(name: str) -> Column:
    """The canonical column of that name. Raises ColumnError with the nearest names."""
    found = COLUMNS.get(name)
    if found is None:
        raise ColumnError(message(f"there is no canonical column {name!r}", hint=nearest(name, COLUMNS)))
    return found


def check_convention(column: str, convention: str) -> str:
    """`convention` if it is one of the conventions of `column` (N, C, D or loss).

    Raises:
        ConventionError: unknown column or convention; the message lists the known ones.
    """
    known = CONVENTIONS.get(column)
    if known is None:
        raise ConventionError(message(f"{column!r} has no conventions", "one of " + ", ".join(CONVENTIONS)))
    if convention not in known:
        raise ConventionError(
            message(f"{convention!r} is no convention for {column}", "one of " + ", ".join(repr(k) for k in known))
        )
    return convention


# ----------------------------------------------------------------------------------------------------- foreign names


@dataclass(frozen=True)
class Ambiguity:
    """Several columns claimed one canonical column.

    `settled`: every loser found a canonical column of its own, so nothing is lost and little needs saying.
    """

    column: str
    chosen: str
    others: tuple[str, ...]
    settled: bool

    def __str__(self) -> str:
        others = ", ".join(repr(name) for name in self.others)
        end = "is kept beside it." if self.settled else f"could be meant too. Say which with {self.column}=<column>."
        return f"{self.chosen!r} was read as {self.column}; {others} {end}"


@dataclass(frozen=True)
class Resolution:
    """What a header means.

    Attributes:
        columns: canonical name -> name in the table.
        conventions: canonical name (N, C, D, loss) -> convention, only where the name in the table says it.
        ambiguities: contests, in the order of the canonical columns.
        notes: sentences on stand-ins ("the only loss is a training loss").
        unknown: names that are no known column, in table order.
    """

    columns: Mapping[str, str]
    conventions: Mapping[str, str]
    ambiguities: tuple[Ambiguity, ...]
    notes: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class _Claim:
    column: str
    rank: int
    convention: str | None = None
    other: str | None = None  # where the loser of a contest goes
    note: str | None = None


def normalise(name: str) -> str:
    """Lower-case letters and digits only: "Training FLOP" -> "trainingflop"."""
    return "".join(ch for ch in name.lower() if ch.isalnum())


@functools.cache
def _aliases() -> tuple[Mapping[str, _Claim], Mapping[str, _Claim]]:
    import tomllib  # loaded only when a foreign header is met

    text = resources.files("forescale.core").joinpath("aliases.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["alias"]
    exact: dict[str, _Claim] = {}
    loose: dict[str, _Claim] = {}
    rank = 0
    for entry in entries:
        for table, names in ((exact, entry.get("exact", [])), (loose, entry["names"])):
            for name in names:
                rank += 1
                table[name if table is exact else normalise(name)] = _Claim(
                    entry["column"], rank, entry.get("convention"), entry.get("else"), entry.get("note")
                )
    return exact, loose


def _claim(name: str) -> _Claim | None:
    exact, loose = _aliases()
    found = exact.get(name) or loose.get(normalise(name))
    if name in COLUMNS and (found is None or found.other != name):
        # The own spelling outranks every alias.
        return _Claim(name, 0)
    return found


def resolve(names: Iterable[str]) -> Resolution:
    """Map the column names of a foreign table to canonical columns.

    Args:
        names: the header, in table order; duplicates are the reader's business and are taken once.

    Returns:
        a Resolution; it never guesses beyond the rules at the top of this file, and never drops a name silently.
    """
    claims: dict[str, list[tuple[int, str, _Claim]]] = {}
    unknown: set[str] = set()
    ordered = list(dict.fromkeys(names))
    for name in ordered:
        claim = _claim(name)
        if claim is None:
            unknown.add(name)
        else:
            claims.setdefault(claim.column, []).append((claim.rank, name, claim))

    columns: dict[str, str] = {}
    conventions: dict[str, str] = {}
    notes: list[str] = []
    for canonical, contenders in claims.items():
        contenders.sort(key=lambda item: item[0])
        _, columns[canonical], winner = contenders[0]
        if winner.convention is not None:
            conventions[canonical] = winner.convention
        if winner.note is not None:
            notes.append(f"{columns[canonical]!r}: {winner.note}.")

    contests: dict[str, list[tuple[str, bool]]] = {}
    for canonical, contenders in claims.items():
        for _, name, loser in contenders[1:]:
            settled = loser.other is not None and loser.other not in columns
            if settled:
                columns[str(loser.other)] = name
            else:
                unknown.add(name)
            if name != loser.other:
                contests.setdefault(canonical, []).append((name, settled))

    place = {name: i for i, name in enumerate(COLUMNS)}
    return Resolution(
        columns=Frozen(dict(sorted(columns.items(), key=lambda item: place[item[0]]))),
        conventions=Frozen(conventions),
        ambiguities=tuple(
            Ambiguity(canonical, columns[canonical], tuple(name for name, _ in lost), all(kept for _, kept in lost))
            for canonical, lost in sorted(contests.items(), key=lambda item: place[item[0]])
        ),
        notes=tuple(notes),
        unknown=tuple(name for name in ordered if name in unknown),
    )


# ------------------------------------------------------------------------------------------------------- loss units


def nats_to_bits(loss: FloatOrArray) -> FloatOrArray:
    """Nats to bits: divide by ln 2."""
    return loss / math.log(2.0)


def bits_to_nats(loss: FloatOrArray) -> FloatOrArray:
    """Bits to nats: multiply by ln 2."""
    return loss * math.log(2.0)


def perplexity_to_nats(perplexity: FloatOrArray) -> FloatOrArray:
    """Perplexity to nats per token: the natural logarithm.

    Raises:
        ConventionError: a perplexity below 1, which no distribution has.
    """
    if np.any(np.asarray(perplexity) < 1.0):
        raise ConventionError(
            message(
                f"a perplexity of {float(np.min(perplexity)):g}",
                "at least 1 (a uniform choice among one)",
                "if these are losses, say loss_unit='nats/token'",
            )
        )
    return np.log(perplexity) if isinstance(perplexity, np.ndarray) else math.log(perplexity)


def nats_to_perplexity(loss: FloatOrArray) -> FloatOrArray:
    """Nats per token to perplexity: the exponential. Infinite above about 709 nats."""
    if isinstance(loss, np.ndarray):
        with np.errstate(over="ignore"):
            return np.exp(loss)
    return math.exp(loss) if loss < 709.0 else math.inf


def convert_loss(
    loss: FloatOrArray, source: str, target: str, *, bytes_per_token: float | None = None
) -> FloatOrArray:
    """Convert a loss between units.

    Args:
        loss: value or array in the unit `source`.
        source, target: loss conventions. Nats, bits and perplexity convert freely; per token <-> per byte needs
            `bytes_per_token` of the tokenizer on the evaluated text (nats/token = nats/byte * bytes_per_token).
        bytes_per_token: positive number; bits/char counts as per byte only for single-byte text and is never
            converted here.

    Raises:
        ConventionError: no such conversion exists, or `bytes_per_token` is missing.
    """
    check_convention("loss", source)
    check_convention("loss", target)
    if source == target:
        return loss
    for name in (source, target):
        if name in ("unknown", "1-accuracy", "bits/char"):
            raise ConventionError(
                message(
                    f"a loss cannot be converted from {source} to {target}",
                    "two of nats/token, bits/token, nats/byte, bits/byte, perplexity",
                    f"say which unit it is instead of {name}" if name == "unknown" else "",
                )
            )
    nats = _into_nats(loss, source)
    per_byte = source.endswith("/byte"), target.endswith("/byte")
    if per_byte[0] != per_byte[1]:
        if bytes_per_token is None or not bytes_per_token > 0.0 or not math.isfinite(bytes_per_token):
            raise ConventionError(
                message(
                    f"{source} to {target} needs the mean number of bytes per token, seen {bytes_per_token!r}",
                    "a positive number, measured with your tokenizer on the evaluation text",
                    "bytes_per_token=4.2",
                )
            )
        nats = nats * bytes_per_token if per_byte[0] else nats / bytes_per_token
    if target == "perplexity":
        return nats_to_perplexity(nats)
    return nats_to_bits(nats) if target.startswith("bits") else nats


def _into_nats(loss: FloatOrArray, source: str) -> FloatOrArray:
    if source == "perplexity":
        return perplexity_to_nats(loss)
    return bits_to_nats(loss) if source.startswith("bits") else loss

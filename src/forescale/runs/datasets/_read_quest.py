# SPDX-License-Identifier: Apache-2.0
"""Panferov et al. (2025): training runs with few bits per weight and activation, from one JSON list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from forescale.core.errors import ReadError, message
from forescale.runs.readers._json import parse_json, whole_text
from forescale.runs.readers._reader import Raw

QUANTISERS = {
    "NoQuantizer": "plain",
    "HadamardTrustQuantizer": "quest",
    "TrustQuantizer": "trust",
    "HadamardClipQuantizer": "hadamard-clip",
    "ClipQuantizer": "clip",
    "HadamardFourEightTrustQuantizer": "quest-4:8",
    "HadamardFP4TrustQuantizer": "quest-fp4",
}
"""Their names without "Half", which only leaves out the rotation back; ours."""

FP4 = 4.0
"""Rows of the four-bit float (E2M1) are logged with 16 bits."""


def read(fetch: Callable[[str], Path], options: Mapping[str, Any]) -> Raw:
    """One row per run: N = non-embedding parameters, D = tokens, bits and activation_bits, loss on C4.

    `scheme` names what is done to weights and activations (w4a4, w4a16, fp4, w4a4_sparse), `method` also how (the
    quantiser, with rotation back or without), `kind` is "integer", "float" or "sparse".

    Raises:
        ReadError: another file, or a quantiser that is not known.
    """
    path = fetch(options["file"])
    value = parse_json(whole_text(path, "utf-8"), path, "it")
    if not isinstance(value, list) or not value:
        raise ReadError(message(f"{path.name} holds no list of runs", "the runs of QuEST"))
    rows = [_row(entry, path) for entry in value]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("N", "D", "loss", "bits", "activation_bits"):
        columns[name] = np.array(columns[name], dtype=np.float64)
    return Raw(columns=columns, mapping={name: name for name in columns})


def _row(entry: Any, path: Path) -> dict[str, Any]:
    try:
        weights, activations = str(entry["w_quant"]), str(entry["a_quant"])
        bits, activation_bits = float(entry["w_bits"]), float(entry["a_bits"])
        N, D, loss = (float(entry[name]) for name in ("non_embedding_parameters", "tokens", "loss"))
    except (KeyError, TypeError, ValueError) as error:
        raise ReadError(message(f"a run in {path.name} lacks {error!r}", "the runs of QuEST")) from error
    quantiser = QUANTISERS.get(weights.replace("Half", ""))
    if quantiser is None or activations.replace("Half", "") not in QUANTISERS:
        raise ReadError(message(f"{path.name} names the quantiser {weights!r}", "one of " + ", ".join(QUANTISERS)))
    kind = "float" if quantiser == "quest-fp4" else "sparse" if quantiser == "quest-4:8" else "integer"
    if kind == "float":
        bits = activation_bits = FP4
    scheme = "fp4" if kind == "float" else f"w{bits:.0f}a{activation_bits:.0f}" + "_sparse" * (kind == "sparse")
    half = "-half" if weights.startswith("Half") else ""
    return {
        "run": f"{scheme}/{quantiser}{half}/{N:.0f}/{D:.0f}",
        "scheme": scheme,
        "quantiser": quantiser,
        "method": f"{quantiser}{half}/{scheme}",
        "kind": kind,
        "N": N,
        "D": D,
        "bits": bits,
        "activation_bits": activation_bits,
        "loss": loss,
    }

# SPDX-License-Identifier: Apache-2.0
"""The collection of IsoFLOP experiments: one delimited file, whose unit of loss depends on the experiment chosen."""

from __future__ import annotations

from dataclasses import replace

from forescale.runs.datasets._read_table import read
from forescale.runs.table import Runs

__all__ = ["read", "settle"]


def settle(runs: Runs) -> Runs:
    """The losses digitised from the Llama 3 figure are not in nats per token; the others are."""
    if any(name.startswith("llama_3") for name in runs.labels["group"].tolist()):
        return runs.with_note(
            "amber", "loss-unit", "the losses of llama_3 are read off a figure and are not nats per token."
        )
    return replace(runs, conventions=replace(runs.conventions, loss="nats/token"))

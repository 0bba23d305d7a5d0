# SPDX-License-Identifier: Apache-2.0
"""Which data to train on: by pool, by pruning, or from partially revealed sources.

Three modes, each by its own table: runs on single pools of a filter (Goyal et al. 2024: which pools and how often, by
the number of samples), runs on pruned data (Sorscher et al. 2022: keep the hard or the easy examples, and how many,
by the number there are), pilot runs on mixtures of sources (Kang et al. 2023: which one, by its transport distance).
Without a table: the published pools, or a perceptron.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.planning import _pools, _pruning, _sources
from forescale.planning._compose import composed
from forescale.planning._plan import Grounds, Part, Plan, Planner
from forescale.planning._quantities import TokensText


class DataSelectionQuery(BaseModel):
    """How much is to be seen, or how much there is."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    samples: TokensText | None = Field(
        None, description="by pool and by source: samples to train on, repeats included, e.g. 128M"
    )
    examples: TokensText | None = Field(
        None, description="by pruning: examples there are, e.g. 1.2M; per dimension (16) without a table"
    )
    keep: float | None = Field(None, gt=0, le=1, description="by pruning: the share that is kept, e.g. 0.25")
    tolerance: float = Field(
        0.05, ge=0, description="by pruning: error above the least one that fewer examples may cost, e.g. 0.05"
    )
    floor: float | None = Field(0.1, ge=0, lt=1, description="by pool: the error that stays, e.g. 0.1; 0 for none")
    by: str = Field("group", description="by pool: the label column that names the pools, e.g. group")
    scale: Literal["log", "raw"] = Field(
        "log", description="by source: 'log' projects ln loss; 'raw' an accuracy, of which more is better"
    )


FIELDS = {
    "pools": ("samples", "floor", "by"),
    "pruning": ("examples", "keep", "tolerance"),
    "sources": ("samples", "scale"),
}
"""What may be asked in each mode."""

GROUND = {
    "pools": "constants published with Goyal et al. (2024), DataComp by T-MARS score",
    "pruning": "our simulation of a perceptron",
}
"""What a plan without a table stands on."""


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: DataSelectionQuery) -> Plan:
    """The data to use.

    Raises:
        QueryError: no question or two, tables of two modes, a field of another mode.
        DataError: tables that a mode cannot use.
        RefusedError: a projection outside of what a value can be.
    """
    tables = [name for name in ("pools", "pruning", "sources") if grounds.has(name)]
    if len(tables) > 1:
        raise QueryError(message(f"tables for {' and '.join(tables)}", "one of them", "ask once for each"))
    if query.samples is not None and query.examples is not None:
        raise QueryError(
            message("samples and examples", "one of them: samples by pool or source, examples by pruning")
        )
    mode = tables[0] if tables else "pools" if query.samples is not None else "pruning"
    if grounds.has("candidates") and mode != "sources":
        raise QueryError(message("candidates, and no pilot runs on mixtures of sources", "a table of pilot runs"))
    _fields(query, mode, bare=not tables)
    size = query.examples if mode == "pruning" else query.samples
    if size is None:
        wanted = "examples, how many there are" if mode == "pruning" else "samples, how many are trained on"
        raise QueryError(message(f"nothing is said of {wanted.split(',')[0]}", wanted))
    parts: dict[str, Any]
    if mode == "pools":
        parts = _pools.plan(grounds.tables.get("pools"), size, query.by, query.floor, grounds.level)
    elif mode == "pruning":
        parts = _pruning.plan(grounds.tables.get("pruning"), size, query.keep, query.tolerance, grounds.level)
    else:
        parts = _sources.plan(
            grounds.tables["sources"], grounds.tables.get("candidates"), size, query.scale, grounds.level
        )
    return composed(grounds, planner, query, ground="" if tables else GROUND[mode], **parts)


def _fields(query: DataSelectionQuery, mode: str, *, bare: bool) -> None:
    """Refuse what this mode does not read, rather than leave it unheard."""
    read = ("samples",) if bare and mode == "pools" else FIELDS[mode]
    for name, field in DataSelectionQuery.model_fields.items():
        if name not in read and getattr(query, name) != field.default:
            other = next(m for m, names in FIELDS.items() if name in names)
            raise QueryError(
                message(
                    f"{name}, which belongs to a table for {other}, and this is a choice by {mode}"
                    + (" without one" if bare else ""),
                    ", ".join(read),
                    f"leave {name} out, or give a table for {other}",
                )
            )


planner = Planner(
    id="data-selection",
    question="Which of the data should be trained on, and how often?",
    query=DataSelectionQuery,
    answer=answer,
    parts=(
        Part(
            "pools",
            "runs on single pools of a filter: samples seen, size of the pool, error, name of the pool",
            columns=("D", "D_unique", "error", "group"),
            optional=True,
        ),
        Part(
            "pruning",
            "runs on pruned data: examples before pruning, share kept, rule (easy, hard, random, all), error",
            columns=("D", "keep", "rule", "error"),
            optional=True,
        ),
        Part(
            "sources",
            "pilot runs on mixtures of sources: samples, loss, transport distance, weight_... of each source",
            columns=("N", "loss", "transport"),
            optional=True,
        ),
        Part(
            "candidates",
            "mixtures of sources to choose among: weight_..., transport distance, name",
            columns=("transport", "mixture"),
            optional=True,
        ),
    ),
    papers=("goyal2024", "sorscher2022", "kang2023"),
    example=Frozen({"samples": "128M"}),
)

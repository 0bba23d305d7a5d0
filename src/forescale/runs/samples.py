# SPDX-License-Identifier: Apache-2.0
"""Tables with one row per sample of a model, and their reduction to one row per problem.

A samples table has the label `problem` and the number `correct` (1 or 0); `model`, `answer`, `score`, `accepted` and
`decode_tokens` where they are known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, DataError, QueryError, message, nearest
from forescale.numerics.resample import cluster_labels
from forescale.runs.table import Runs

Array = NDArray[np.float64]


def judged(samples: Runs, *columns: str) -> Runs:
    """The samples, once it is certain that each of `columns` holds 0 or 1 in every row.

    Raises:
        ColumnError: no label `problem`, or a column is missing.
        DataError: other values, with the rows.
    """
    if "problem" not in samples.labels:
        held = ", ".join([*samples.columns, *samples.labels])
        raise ColumnError(
            message(
                f"{samples.source} does not say which problem a sample belongs to",
                f"a column problem; the table has: {held}",
                'columns={"problem": "..."}',
            )
        )
    for name in columns:
        if name not in samples.columns:
            raise ColumnError(message(f"{samples.source} has no column {name}", f"{name}: 1 or 0 for each sample"))
        values = samples[name]
        bad = np.flatnonzero((values != 0.0) & (values != 1.0))
        if bad.size:
            shown = ", ".join(f"row {i + 1}: {values[i]:g}" for i in bad[:5])
            raise DataError(
                message(f"{name} is neither 0 nor 1 in {bad.size} rows of {samples.source} ({shown})", "1 or 0")
            )
    return samples


def of_model(samples: Runs, model: str | None) -> Runs:
    """The samples of one model; all of them where the table speaks of one model only.

    Raises:
        QueryError: several models and none named, or one that is not there.
    """
    known = np.unique(samples.labels["model"]).tolist() if "model" in samples.labels else []
    if model is None:
        if len(known) > 1:
            listed = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            raise QueryError(message(f"{samples.source} holds samples of {len(known)} models", f"model: {listed}"))
        return samples
    if model not in known:
        raise QueryError(message(f"model = {model!r} has no samples in {samples.source}", "", nearest(model, known)))
    return samples.where(samples.labels["model"] == model)


def attempts(samples: Runs) -> Runs:
    """One row per problem (and model): trials, passed; accepted, accepted_right and decode_tokens where known.

    Args:
        samples: one row per sample, with `problem` and `correct`.

    Returns:
        Runs with the labels `problem` and, where the samples have it, `model`; `decode_tokens` is the mean.

    Raises:
        ColumnError, DataError: see `judged`.
    """
    judged(samples, "correct", *(["accepted"] if "accepted" in samples.columns else []))
    names = ["problem", *(["model"] if "model" in samples.labels else [])]
    place = np.zeros(len(samples), dtype=np.intp)
    for name in names:
        codes, levels = samples.group_codes(name)
        place = cluster_labels(place * len(levels) + codes)
    _, first = np.unique(place, return_index=True)

    def total(values: Array) -> Array:
        return np.bincount(place, values, minlength=first.size).astype(np.float64)

    trials = total(np.ones(len(samples)))
    columns = {"trials": trials, "passed": total(samples["correct"])}
    if "accepted" in samples.columns:
        columns["accepted"] = total(samples["accepted"])
        columns["accepted_right"] = total(samples["accepted"] * samples["correct"])
    if "decode_tokens" in samples.columns:
        columns["decode_tokens"] = total(samples["decode_tokens"]) / trials
    return Runs(
        columns=columns,
        labels={name: samples.labels[name][first] for name in names},
        notes=samples.notes,
        source=samples.source,
        dataset=samples.dataset,
        citations=samples.citations,
        licence=samples.licence,
    )

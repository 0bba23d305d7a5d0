# SPDX-License-Identifier: Apache-2.0
"""Training curves as rows: one per logged step, and the learning-rate schedule of each run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ColumnError, DataError, message, nearest
from forescale.core.schedule import Schedule
from forescale.runs.table import Curve, Floats, Runs, Texts

OF_THE_END = ("D", "C", "C_nonemb", "M", "train_loss", "loss_sd", "tokens_seen", "epochs", "wall_seconds", "ended")
"""Columns that say something about the end of a run, and nothing about a point of its curve."""

RATES = ("lr_now", "lr_peak")
"""Where rows that are points hold the learning rate; a column called lr is read as the second."""


def curve_points(runs: Runs, *, from_step: float = 0) -> Runs:
    """One row per logged point of the runs' curves, with the columns `step`, `loss` and `lr_now`; curves are kept.

    Points of the warm-up, and points without a loss, are left out. What a table says of each run (N, labels, weights)
    is repeated; what it says of the end of a run (D, C, ...) is dropped, but D where the curves hold it. A table
    whose rows are points already only loses those before `from_step` and those of the warm-up.

    Args:
        from_step: first step that counts, e.g. to leave out the noisy beginning.

    Raises:
        ColumnError: the table has neither curves nor the columns step and lr_now.
        DataError: a curve without learning rates; no point is left.
    """
    rows_are_points = not runs.curves or "lr_now" in runs.columns
    runs = _with_curves(runs)
    known = schedules(runs)
    begins = {run: max(float(from_step), float(s.warmup)) for run, s in known.items()}
    names = _run_of_rows(runs)
    if rows_are_points:
        kept = runs["step"] >= np.array([begins[run] for run in names.tolist()])
        return _noted(runs.where(kept), int(kept.size - kept.sum())) if not kept.all() else runs
    parts: list[tuple[int, Curve, NDArray[np.bool_]]] = []
    left_out = 0
    for row, run in enumerate(names.tolist()):
        curve = runs.curves.get(run)
        if curve is not None:
            there = np.isfinite(curve.loss) & (curve.loss > 0) & (curve.step >= 1)
            chosen = there & (curve.step >= begins[run])
            left_out += int((there & ~chosen).sum())
            parts.append((row, curve, chosen))
    return _noted(_joined(runs, known, parts), left_out)


def schedules(runs: Runs) -> dict[str, Schedule]:
    """The learning rate of every step of each run: from its curve, else from rows that are points of it.

    Steps between logged ones are interpolated. Before the first one the rate is taken to have risen from zero: over
    `warmup_steps` where the table has that column, else until the first logged step.

    Raises:
        ColumnError: neither curves nor the columns step and lr_now.
        DataError: rates that are missing or negative, or steps of a run that do not increase.
    """
    runs = _with_curves(runs)
    names = _run_of_rows(runs)
    made: dict[str, Schedule] = {}
    for run in dict.fromkeys(names.tolist()):
        curve = runs.curves.get(run)
        if curve is not None:
            try:
                made[run] = Schedule.logged(curve.step, curve.lr, warmup=_warmup(runs, names == run))
            except DataError as error:
                raise DataError(f"The curve of the run {run!r}: {error}") from error
    if not made:
        hint = nearest(str(names[0]), runs.curves) if len(names) else ""
        raise ColumnError(message(f"no run of {runs.source} has a curve", "curves under the names of the runs", hint))
    return made


def _with_curves(runs: Runs) -> Runs:
    """The table with the curves that its rows are points of, where it has none."""
    if runs.curves:
        return runs
    rate = next((name for name in RATES if name in runs.columns), None)
    if rate is None or "step" not in runs.columns:
        raise ColumnError(
            message(
                f"{runs.source} has no training curves with learning rates",
                "curves, or rows with the columns run, step, lr_now and loss",
                "columns={'lr_now': 'lr'} names the column of the learning rate",
            )
        )
    names, curves = _run_of_rows(runs), {}
    loss = runs.columns.get("loss", np.full(len(runs), np.nan))
    D = runs.columns.get("D", np.full(len(runs), np.nan))
    for run in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == run)
        rows = rows[np.argsort(runs["step"][rows], kind="stable")]
        # rows that were split or measured twice
        rows = rows[np.concatenate([[True], np.diff(runs["step"][rows]) > 0])]
        curves[run] = Curve(runs["step"][rows], loss[rows], runs[rate][rows], D[rows])
    return replace(runs.with_column("run", names).with_column("lr_now", runs[rate]), curves=curves)


def _run_of_rows(runs: Runs) -> Texts:
    if "run" in runs.labels:
        return runs.labels["run"]
    if len(runs.curves) == 1:
        return np.full(len(runs), next(iter(runs.curves)))
    if runs.curves:
        raise ColumnError(message(f"{runs.source} has curves, but no column run", "which row is which run"))
    return np.full(len(runs), "run")


def _warmup(runs: Runs, rows: NDArray[np.bool_]) -> int | None:
    if "warmup_steps" not in runs.columns:
        return None
    said = runs["warmup_steps"][rows]
    return int(said[0]) if np.isfinite(said[0]) and (said == said[0]).all() else None


def _joined(runs: Runs, known: Mapping[str, Schedule], parts: list[tuple[int, Curve, NDArray[np.bool_]]]) -> Runs:
    rows = np.concatenate([np.full(int(chosen.sum()), row) for row, _, chosen in parts]).astype(np.intp)
    if not rows.size:
        raise DataError(message(f"no point of the curves of {runs.source} is left", "a loss after the warm-up"))

    def along(name: str) -> Floats:
        return np.concatenate([getattr(curve, name)[chosen] for _, curve, chosen in parts])

    names = _run_of_rows(runs)
    step, D = along("step"), along("D")
    lr = np.concatenate([known[str(names[i])].lr[c.step[k].astype(np.intp) - 1] for i, c, k in parts])
    columns = {k: v[rows] for k, v in runs.columns.items() if k not in OF_THE_END}
    columns |= {"step": step, "loss": along("loss"), "lr_now": lr}
    if np.isfinite(D).all() and (D > 0).all():
        columns["D"] = D
    table = replace(
        runs,
        columns=columns,
        labels={**{k: v[rows] for k, v in runs.labels.items()}, "run": names[rows]},
        weights=None if runs.weights is None else runs.weights[rows],
    )
    without = len(runs) - len(parts)
    if without:
        table = table.with_note("amber", "no-curve", f"{without} of {len(runs)} runs have no curve and are left out.")
    text = f"{rows.size} logged points of the curves of {len(parts)} runs; learning rates between them interpolated."
    return table.with_note("info", "curve-points", text)


def _noted(runs: Runs, left_out: int) -> Runs:
    if not left_out:
        return runs
    if not len(runs):
        raise DataError(message(f"no point of {runs.source} is left", "a loss after the warm-up and from_step"))
    return runs.with_note("info", "warm-up", f"{left_out} points of warm-up or before from_step were left out.")

# SPDX-License-Identifier: Apache-2.0
"""A ledger of predictions: written before a run, scored after it.

One JSON object per line, appended and flushed to disk; nothing is ever rewritten. A line torn by a crash is the only
loss, and reading skips it. Scoring matches each prediction with a run by name, or by inputs within one per cent.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, ReadError, message
from forescale.core.files import to_json
from forescale.fitting._fit import Finding, Fit
from forescale.fitting._stack import Member, Stack
from forescale.fitting.prediction import Prediction
from forescale.judge._thresholds import threshold
from forescale.runs.derive import derive
from forescale.runs.table import Runs

Array = NDArray[np.float64]

SCHEMA = "forescale/prediction"
VERSION = 1
CLOSE = 0.01
"""Relative difference of an input within which a run is the one that was predicted: sizes are rounded to layers."""
LONGEST = 1 << 20
"""Characters of the longest line that is read."""


@dataclass(frozen=True)
class Entry:
    """One recorded prediction.

    Attributes:
        id: hash of what it says; time: UTC, ISO 8601; run: name of the run, or "".
        law, fit: id of the law, hash of the fit. inputs: input -> value. output: what was predicted.
        estimate, confidence, prediction: the point and both bands at `level`.
    """

    id: str
    time: str
    run: str
    law: str
    fit: str
    inputs: Mapping[str, float | str]
    output: str
    estimate: float
    confidence: tuple[float, float]
    prediction: tuple[float, float]
    level: float


@dataclass(frozen=True)
class Scored:
    """A prediction and the run that came: `error` is observed / estimate - 1, `covered` by the prediction band."""

    entry: Entry
    row: int
    observed: float
    error: float
    covered: bool


@dataclass(frozen=True)
class ScoreReport:
    """What became of the predictions.

    Attributes:
        scored: matched predictions, in the order of the ledger.
        pending: predictions without a run so far.
        coverage: share of the scored ones inside their band; NaN when there are none.
        coverage_interval: exact binomial (Clopper-Pearson) interval of it at 90 %.
        level: nominal level (of the last prediction).
        torn: lines that could not be read.
        verdict: one finding with its level.
    """

    scored: tuple[Scored, ...]
    pending: tuple[Entry, ...]
    coverage: float
    coverage_interval: tuple[float, float]
    level: float
    torn: int
    verdict: Finding

    def summary(self) -> str:
        """Plain text: one line per scored prediction, coverage, what is pending, the verdict."""
        lines = [f"{len(self.scored)} scored, {len(self.pending)} pending"]
        for s in self.scored:
            e = s.entry
            at = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in e.inputs.items())
            lines.append(
                f"  {e.run or at}: predicted {e.estimate:.4f} ({e.prediction[0]:.4f}, {e.prediction[1]:.4f}), came "
                f"{s.observed:.4f}: {100 * s.error:+.2f} %, {'inside' if s.covered else 'OUTSIDE'}"
            )
        if self.scored:
            low, high = self.coverage_interval
            lines.append(
                f"  inside: {100 * self.coverage:.0f} % ({100 * low:.0f}, {100 * high:.0f}), nominal "
                f"{100 * self.level:.0f} %"
            )
        if self.torn:
            lines.append(f"  {self.torn} unreadable line(s) skipped")
        lines.append(f"[{self.verdict.level}] {self.verdict.text} {self.verdict.advice}".rstrip())
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "schema": "forescale/score",
            "version": 1,
            "scored": [
                {
                    "id": s.entry.id,
                    "run": s.entry.run,
                    "inputs": dict(s.entry.inputs),
                    "estimate": s.entry.estimate,
                    "prediction": s.entry.prediction,
                    "row": s.row,
                    "observed": s.observed,
                    "error": s.error,
                    "covered": s.covered,
                }
                for s in self.scored
            ],
            "pending": [{"id": e.id, "run": e.run, "inputs": dict(e.inputs)} for e in self.pending],
            "coverage": self.coverage,
            "coverage_interval": self.coverage_interval,
            "level": self.level,
            "torn": self.torn,
            "verdict": {"level": self.verdict.level, "text": self.verdict.text, "advice": self.verdict.advice},
        }

    def to_json(self) -> str:
        """Strict JSON with `schema` and `version`."""
        return to_json(self.to_dict())

    def __str__(self) -> str:
        return self.summary()


def record(
    fit: Fit | Stack, prediction: Prediction, ledger: str | os.PathLike[str], *, runs: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Append predictions to a ledger, one line each, and flush them to disk before returning.

    Args:
        fit: the fit or stack that predicts.
        prediction: `fit.predict(...)`.
        ledger: file to append to; made if missing.
        runs: names of the runs to come, one per point; None: they will be matched by their inputs.

    Returns:
        The ids of the lines.

    Raises:
        QueryError: another number of names than of points, or a prediction without a band.
        ReadError: the ledger is a folder or another kind of file.
    """
    k = len(prediction)
    if runs is not None and len(runs) != k:
        raise QueryError(message(f"{len(runs)} run names for {k} points", "one name per point"))
    if not np.all(np.isfinite(prediction.estimate)):
        raise QueryError(message("a prediction that is not a finite number", "a point where the law is finite"))
    path = Path(ledger)
    if path.is_dir():
        raise ReadError(message(f"{path} is a folder", "a file such as ledger.jsonl"))
    whole = _ends_whole(path)
    if path.exists() and path.stat().st_size > 0:
        read(path)  # refuses a file that is no ledger before anything is added to it
    now = datetime.now(UTC).isoformat(timespec="seconds")
    params = _named(fit)
    digest = hashlib.sha256(f"{fit.law.id}\0{fit.data_hash}\0{params}".encode()).hexdigest()[:16]
    lines, ids = [], []
    for i in range(k):
        body: dict[str, Any] = {
            "schema": SCHEMA,
            "version": VERSION,
            "time": now,
            "run": "" if runs is None else str(runs[i]),
            "law": fit.law.id,
            "fit": digest,
            "inputs": {name: _plain(values[i]) for name, values in prediction.inputs.items()},
            "output": fit.law.output,
            "estimate": float(prediction.estimate[i]),
            "confidence": [_number(prediction.confidence.lower[i]), _number(prediction.confidence.upper[i])],
            "prediction": [_number(prediction.prediction.lower[i]), _number(prediction.prediction.upper[i])],
            "level": prediction.level,
        }
        body["id"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        ids.append(str(body["id"]))
        lines.append(json.dumps(body, ensure_ascii=False, allow_nan=False))
    # A torn last line must not swallow the first new one.
    content = ("" if whole else "\n") + "\n".join(lines) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        data = content.encode("utf-8")
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return tuple(ids)


def _named(fit: Fit | Stack) -> list[tuple[str, float]]:
    """What tells two fits to the same data apart: every parameter, and of a stack every member's with its weight."""
    if isinstance(fit, Stack):
        return sorted((f"{name}_{i}", v) for i, m in enumerate(fit.members) for name, v in _member(m).items())
    return sorted(fit.params.items())


def _member(member: Member) -> dict[str, float]:
    return {**member.fit.params, "weight": member.weight}


def read(ledger: str | os.PathLike[str]) -> tuple[tuple[Entry, ...], int]:
    """Entries of a ledger, and how many lines could not be read.

    Raises:
        ReadError: missing, a folder, empty, or no line of it is a prediction.
    """
    path = Path(ledger)
    if path.is_dir():
        raise ReadError(message(f"{path} is a folder", "a ledger of predictions"))
    hint = "forescale predict FIT ... --record ledger.jsonl"
    if not path.exists():
        raise ReadError(message(f"there is no file {path}", "a ledger of predictions", hint))
    found: dict[str, Entry] = {}
    torn, seen = 0, 0
    with path.open(encoding="utf-8", errors="replace") as handle:
        while line := handle.readline(LONGEST):
            if not line.strip():
                continue
            seen += 1
            entry = _entry(line)
            if entry is None:
                torn += 1
            else:
                found.setdefault(entry.id, entry)
    if seen == 0:
        raise ReadError(message(f"{path} is empty", "a ledger of predictions", hint))
    if not found:
        raise ReadError(message(f"no line of {path} is a prediction", "a file that record wrote", hint))
    return tuple(found.values()), torn


def _entry(line: str) -> Entry | None:
    try:
        body = json.loads(line)
        if not isinstance(body, dict) or body.get("schema") != SCHEMA or body.get("version") != VERSION:
            return None
        inputs = {str(k): v if isinstance(v, str) else float(v) for k, v in body["inputs"].items()}
        entry = Entry(
            id=str(body["id"]),
            time=str(body["time"]),
            run=str(body["run"]),
            law=str(body["law"]),
            fit=str(body["fit"]),
            inputs=inputs,
            output=str(body["output"]),
            estimate=float(body["estimate"]),
            confidence=_pair(body["confidence"]),
            prediction=_pair(body["prediction"]),
            level=float(body["level"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    numbers = [v for v in inputs.values() if isinstance(v, float)]
    return (
        entry if entry.estimate > 0 and math.isfinite(entry.estimate) and all(map(math.isfinite, numbers)) else None
    )


def _pair(value: Any) -> tuple[float, float]:
    low, high = (math.nan if v is None else float(v) for v in value)
    return low, high


def score(ledger: str | os.PathLike[str], runs: Runs) -> ScoreReport:
    """Compare recorded predictions with the runs that came.

    A prediction with a run name is matched by that name (the row nearest in its inputs, where a run has several);
    one without by its inputs, each within one per cent, the nearest row of all.

    Args:
        ledger: file that `record` wrote.
        runs: the table of finished runs.

    Raises:
        ReadError: not a ledger.
        DataError: the table lacks the column that was predicted.
    """
    entries, torn = read(ledger)
    full = derive(runs)
    outputs = sorted({e.output for e in entries})
    if not any(name in full.columns for name in outputs):
        raise DataError(message(f"{runs.source} has no column {outputs[0]}", f"the runs with their {outputs[0]}"))
    scored, pending = [], []
    for entry in entries:
        row = _match(entry, full)
        if row is None:
            pending.append(entry)
            continue
        observed = float(full[entry.output][row])
        low, high = entry.prediction
        scored.append(Scored(entry, row, observed, observed / entry.estimate - 1, bool(low <= observed <= high)))
    banded = [s for s in scored if all(map(math.isfinite, s.entry.prediction))]
    hits = sum(s.covered for s in banded)
    coverage = hits / len(banded) if banded else math.nan
    level = banded[-1].entry.level if banded else entries[-1].level
    return ScoreReport(
        scored=tuple(scored),
        pending=tuple(pending),
        coverage=coverage,
        coverage_interval=clopper_pearson(hits, len(banded)),
        level=level,
        torn=torn,
        verdict=_verdict(scored, banded, hits, level),
    )


def _match(entry: Entry, runs: Runs) -> int | None:
    if entry.output not in runs.columns:
        return None
    good = np.isfinite(runs[entry.output]) & (runs[entry.output] > 0)
    distance = np.zeros(len(runs))
    for name, value in entry.inputs.items():
        if isinstance(value, str):
            if name in runs.labels:
                good &= runs.labels[name] == value
        elif name in runs.columns and value > 0:
            with np.errstate(all="ignore"):
                distance = np.maximum(distance, np.abs(np.log(runs[name] / value)))
        elif not entry.run:
            return None
    if entry.run:
        if "run" not in runs.labels:
            return None
        good &= runs.labels["run"] == entry.run
    else:
        good &= distance <= math.log1p(CLOSE)
    rows = np.flatnonzero(good)
    return int(rows[np.argmin(distance[rows])]) if len(rows) else None


def _verdict(scored: Sequence[Scored], banded: Sequence[Scored], hits: int, level: float) -> Finding:
    if not scored:
        return Finding(
            "score",
            "amber",
            "No recorded prediction has its run yet.",
            "Run them, then score again: names or inputs must match.",
        )
    bias = float(np.mean([s.error for s in scored]))
    mean = float(np.mean([abs(s.error) for s in scored]))
    head = f"{len(scored)} predictions came out {100 * bias:+.2f} % on average (mean size {100 * mean:.2f} %)"
    if not banded:
        return Finding("score", "amber", f"{head}; none had a band.", "Predict from a fit to runs.")
    from scipy.special import bdtr

    unlikely = float(bdtr(hits, len(banded), level))
    text = f"{head}; {hits} of {len(banded)} inside the {100 * level:.0f} % band."
    if unlikely < threshold("score_low"):
        return Finding(
            "score", "red", text, "The bands are too narrow: backtest, and carry its spread; refit with these runs."
        )
    if hits < len(banded):
        return Finding("score", "amber", text, "Look at the runs outside, and refit with them.")
    return Finding("score", "green", text, "Refit with these runs before the next prediction.")


def clopper_pearson(hits: int, trials: int, level: float = 0.90) -> tuple[float, float]:
    """Exact binomial interval of a share; (0, 1) without trials."""
    if trials == 0:
        return (0.0, 1.0)
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, trials - hits + 1, tail))
    high = 1.0 if hits == trials else float(betaincinv(hits + 1, trials - hits, 1 - tail))
    return (low, high)


def _ends_whole(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return True
    with path.open("rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read(1) == b"\n"


def _plain(value: Any) -> float | str:
    return str(value) if isinstance(value, str) else float(value)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None

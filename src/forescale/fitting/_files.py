# SPDX-License-Identifier: Apache-2.0
"""A Fit as strict JSON and back. The file holds the rows, so charts, verdict and re-fits work after opening."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import ReadError, message
from forescale.core.frozen import Frozen
from forescale.fitting._fit import Convergence, Finding, Fit, Spread, Verdict
from forescale.laws import Law, law_from_json, law_to_json
from forescale.runs.table import Note, Runs

Array = NDArray[np.float64]

SCHEMA = "forescale/fit"
VERSION = 1

# JSON has no infinities, and an interval that is open must not come back as unknown.
_SPECIAL = {"inf": math.inf, "-inf": -math.inf}


def fit_to_dict(fit: Fit) -> dict[str, Any]:
    """Plain values for JSON; NaN becomes null, an infinity the text "inf" or "-inf"."""
    spread = fit.spread
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "law": law_to_json(fit.law),
        "params": plain(dict(fit.params)),
        "covariance": plain(fit.covariance.tolist()),
        "draws": plain(fit.draws.tolist()),
        "draws_from": fit.draws_from,
        "loss": fit.loss,
        "objective": plain(fit.objective),
        "sigma": plain(fit.sigma),
        "runs": None if fit.runs is None else fit.runs.to_dict(),
        "residuals": plain(fit.residuals.tolist()),
        "convergence": None if fit.convergence is None else plain(asdict(fit.convergence)),
        "conventions": dict(fit.conventions),
        "fitted_range": plain({name: list(ends) for name, ends in fit.fitted_range.items()}),
        "verdict": None if fit.verdict is None else plain(asdict(fit.verdict)),
        "spread": None if spread is None else plain(spread.to_dict()),
        "notes": [asdict(note) for note in fit.notes],
        "intervals": plain(
            {method: {name: list(ends) for name, ends in found.items()} for method, found in fit.intervals.items()}
        ),
        "level": fit.level,
        "seed": fit.seed,
        "df": plain(fit.df),
        "covariance_from": fit.covariance_from,
        "scale": fit.scale,
        "code_version": fit.version,
        "data_hash": fit.data_hash,
        "source": fit.source,
    }


def fit_from_json(text: str | bytes, *, law: Law | None = None) -> Fit:
    """The fit that `Fit.to_json` wrote.

    Args:
        law: the law itself, when it was a Python function of the user's (such a law cannot be written to a file).

    Raises:
        ReadError: not JSON, not a fit, of a later version, or damaged.
        LawError: a law that this installation does not know, or that has changed.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReadError(message(f"the text is no JSON ({error})", "a file that Fit.save wrote")) from None
    return fit_from_dict(data, law=law)


def fit_from_dict(data: Any, *, law: Law | None = None) -> Fit:
    """As `fit_from_json`, from the parsed object."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        seen = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
        raise ReadError(message(f"the schema is {seen!r}", f"{SCHEMA!r}", "forescale fit RUNS -o fit.json"))
    if data.get("version") != VERSION:
        raise ReadError(
            message(
                f"the file has version {data.get('version')!r}", f"version {VERSION}", "a newer forescale, or refit"
            )
        )
    try:
        return _read(data, law)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ReadError(
            message(f"the fit file is damaged ({type(error).__name__}: {error})", "a file that Fit.save wrote")
        ) from error


def _read(data: Mapping[str, Any], law: Law | None) -> Fit:
    known = law_from_json(data["law"], law)
    p = len(known.params)
    covariance = _array(data["covariance"]).reshape(p, p)
    params = {name: float(special(data["params"][name])) for name in known.names}
    runs = data["runs"]
    spread, convergence = data["spread"], data["convergence"]
    return Fit(
        law=known,
        params=Frozen(params),
        covariance=covariance,
        draws=_array(data["draws"]).reshape(-1, p),
        draws_from=str(data["draws_from"]),
        loss=str(data["loss"]),
        objective=float(special(data["objective"])),
        sigma=float(special(data["sigma"])),
        runs=None if runs is None else Runs.from_dict(runs),
        residuals=_array(data["residuals"]),
        convergence=None if convergence is None else Convergence(**{k: special(v) for k, v in convergence.items()}),
        conventions=Frozen(data["conventions"]),
        fitted_range=Frozen({name: _pair(ends) for name, ends in data["fitted_range"].items()}),
        verdict=verdict_from(data["verdict"]),
        spread=None
        if spread is None
        else Spread(
            _array(spread["distance"]),
            _array(spread["sd"]),
            spread["origin"],
            spread.get("tested"),
            spread.get("covered"),
        ),
        notes=tuple(Note(**note) for note in data["notes"]),
        intervals=Frozen(
            {
                method: Frozen({name: _pair(ends) for name, ends in found.items()})
                for method, found in data["intervals"].items()
            }
        ),
        level=float(data["level"]),
        seed=int(data["seed"]),
        version=str(data["code_version"]),
        data_hash=str(data["data_hash"]),
        source=str(data["source"]),
        df=float(special(data["df"])),
        covariance_from=str(data["covariance_from"]),
        scale=str(data["scale"]),
    )


def verdict_from(value: Mapping[str, Any] | None) -> Verdict | None:
    """The verdict that a file holds."""
    if value is None:
        return None
    findings = tuple(Finding(**{**f, "rows": tuple(f["rows"])}) for f in value["findings"])
    return Verdict(value["level"], value["headline"], findings)


def plain(value: Any) -> Any:
    """Nested values with NaN as null and an infinity as text, for strict JSON."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def special(value: Any) -> Any:
    """The number that `plain` wrote: null is NaN, the texts are infinities."""
    if value is None:
        return math.nan
    return _SPECIAL.get(value, value) if isinstance(value, str) else value


def _pair(ends: Any) -> tuple[float, float]:
    low, high = ends
    return float(special(low)), float(special(high))


def _array(values: Any) -> Array:
    def deep(item: Any) -> Any:
        return [deep(v) for v in item] if isinstance(item, list) else float(special(item))

    out = np.array(deep(values), dtype=np.float64)
    out.flags.writeable = False
    return out

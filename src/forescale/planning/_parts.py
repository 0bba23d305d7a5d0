# SPDX-License-Identifier: Apache-2.0
"""Who plays which part: fits, published constants and tables given to a planner of several parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, RefusedError, message
from forescale.core.frozen import Frozen
from forescale.core.streams import block_streams
from forescale.fitting._fit import Fit
from forescale.fitting.published import published
from forescale.fitting.surface import surface
from forescale.laws._catalogue import known
from forescale.planning._frontier import rows
from forescale.planning._plan import Basis, Grounds, Part, Planner
from forescale.runs.table import Runs

if TYPE_CHECKING:
    from forescale.laws import Law

Array = NDArray[np.float64]


def grounds(planner: Planner, given: Sequence[Any], *, draws: int, group: str | None = None) -> Grounds:
    """What a planner of several parts stands on.

    A fit goes to the first free part whose law it has; a table to the first free part whose columns it has, else it
    is fitted with the law of the first free part. Parts that stay free take their default.

    Args:
        given: Fits, Stacks (as their pool) and Runs.
        draws: most draws of each fit.
        group: which level of grouped laws.

    Raises:
        RefusedError: a fit whose law can play no part here, or refuses this question.
        QueryError: a part is missing, or more was given than can be used.
        DataError: a table that fits no part.
    """
    fits: dict[str, Fit] = {}
    tables: dict[str, Runs] = {}
    for value in given:
        if isinstance(value, Runs):
            _place_table(planner, value, fits, tables)
        else:
            fit = value if isinstance(value, Fit) else value.pooled
            fits[_place_fit(planner, fit, fits)] = fit
    defaulted: dict[str, str] = {}
    for part in planner.parts:
        if part.name in fits or part.name in tables:
            continue
        if part.default:
            fits[part.name] = published(part.default)
            defaulted[part.name] = part.default
        elif not part.optional:
            raise QueryError(
                message(
                    f"{planner.id!r} needs {part.name}: {part.meaning}",
                    part.wanted(),
                    f"forescale plan {planner.id} FILE ...",
                )
            )
    level = max((fit.level for fit in fits.values()), default=0.90)
    return Grounds(Frozen(_aligned(fits, draws, group)), Frozen(tables), Frozen(defaulted), level)


def _place_fit(planner: Planner, fit: Fit, taken: Mapping[str, Fit]) -> str:
    law = _base(fit)
    if planner.id in law.refuses:
        raise RefusedError(
            message(
                f"The law {law.id!r} may not be asked for {planner.id!r}: {law.refuses[planner.id]}",
                _wanted(planner.parts),
            )
        )
    able = [part for part in planner.parts if not part.is_table and part.accepts(law)]
    if not able:
        raise RefusedError(
            message(
                f"The law {law.id!r} ({law.output} from {', '.join(law.inputs)}) plays no part in {planner.id!r}",
                _wanted(planner.parts),
            )
        )
    free = _free(able, taken)
    if free is None:
        raise QueryError(
            message(f"a second fit of {law.id!r} for {planner.id!r}", f"one for {able[0].name}", "leave one out")
        )
    return free


def _place_table(planner: Planner, table: Runs, fits: dict[str, Fit], tables: dict[str, Runs]) -> None:
    able = [part for part in planner.parts if part.is_table and all(name in table for name in part.columns)]
    free = _free(able, tables)
    if free is not None:
        tables[free] = table
        return
    for part in planner.parts:
        if part.laws and part.name not in fits and not part.is_table and known(part.laws[0]) is not None:
            fits[part.name] = _fitted(table, part.laws[0])
            return
    held = ", ".join([*table.columns, *table.labels])
    raise DataError(message(f"{planner.id!r} was given a table with {held}", _wanted(planner.parts)))


def _fitted(table: Runs, law: str) -> Fit:
    # Only bare runs are fitted here: plans from fits and published constants start without it.
    from forescale.fitting.estimate import fit
    from forescale.judge.verdict import verdict
    from forescale.laws import as_law

    found = fit(table, as_law(law))
    return replace(found, verdict=verdict(found))


def _free(able: Iterable[Part], taken: Mapping[str, Any]) -> str | None:
    return next((name for part in able for name in part.names() if name not in taken), None)


def _wanted(parts: Sequence[Part]) -> str:
    return "; ".join(f"{part.name}: {part.wanted()}" for part in parts)


def _base(fit: Fit) -> Law:
    return fit.law if fit.law.groups is None else fit.law.groups.base


def _aligned(fits: Mapping[str, Fit], draws: int, group: str | None) -> dict[str, Basis]:
    """Surfaces with one number of rows: as many draws as the fit with the fewest has; fits without draws repeat."""
    found = {
        name: surface(fit, draws=draws, group=group if fit.law.groups is not None else None)
        for name, fit in fits.items()
    }
    counts = [rows(s) for s in found.values() if rows(s) > 1]
    count = min(counts, default=1)
    streams = block_streams(0, len(found))
    aligned: dict[str, Basis] = {}
    for place, (name, one) in enumerate(found.items()):
        own = rows(one)
        if own == 1:
            chosen = np.zeros(count, dtype=np.int64)
        else:
            # Two fits with one seed have the same normal deviates behind their draws: taken in the same order, their
            # errors would go together.
            order = np.arange(own - 1) if place == 0 else streams[place].permutation(own - 1)
            chosen = np.concatenate([[0], 1 + order[: count - 1]])
        fit = fits[name]
        labels = Frozen() if fit.law.groups is None else Frozen({fit.law.groups.by: str(group)})
        sigma = fit.sigma if fit.sigma > 0 else float("nan")
        aligned[name] = Basis(one.take(chosen), fit, sigma, labels)
    return aligned

# SPDX-License-Identifier: Apache-2.0
"""How many particles should a search in stages keep at each stage, and what does that cost?

A sample is generated in stages of rising cost; many are begun and few are finished (Chen et al. 2025, TTS-VAR, over
the scales of an image). Cost is the sum of particles times tokens of a stage. What it brings is simulated: the score
seen at a stage knows the final reward by a correlation rho, and the best by that score go on.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import DataError, QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.streams import block_streams
from forescale.fitting._fit import Finding
from forescale.planning._compose import composed
from forescale.planning._numbers import NumbersText
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._show import show
from forescale.runs.table import Runs

Array = NDArray[np.float64]
Row = tuple[float | str | None, ...]

DRAWS = 4000
"""Searches that are simulated: the error of a mean is then below .02 standard deviations."""
NORMALS = 2_000_000
"""Most particles of all searches together; wide searches are simulated less often, and vary less."""
MOST = 4096
"""Most particles of a stage."""


class ParticleScheduleQuery(BaseModel):
    """A schedule, and how early a score knows the end."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    stage_tokens: NumbersText = Field(
        description="tokens (or FLOP, or seconds) of one particle at each stage, e.g. 1,4,16,64"
    )
    particles: NumbersText = Field(
        description="particles at each stage, for one sample delivered, never rising, e.g. 8,8,4,1"
    )
    rho: NumbersText | None = Field(
        None, description="correlation of the score at each stage with the final reward, e.g. 0.2,0.5,0.8,1"
    )
    samples: int = Field(1, ge=1, le=MOST, description="samples delivered: multiplies the particles, e.g. 1")


@np.errstate(all="ignore")
def answer(grounds: Grounds, query: ParticleScheduleQuery) -> Plan:
    """Cost of the schedule, and the reward that it is expected to find.

    Raises:
        QueryError: lists that do not fit each other, particles that rise, correlations outside 0 to 1.
        DataError: a table of particles that says nothing about the stages asked about.
    """
    tokens, batch = np.array(query.stage_tokens), np.array(query.particles) * query.samples
    _check(tokens, batch, query)
    table = grounds.tables.get("particles")
    if table is not None and query.rho is not None:
        raise QueryError(message("rho given beside a table of particles, which says it", "one of them"))
    rho = _correlations(table, len(tokens)) if table is not None else _given(query)
    one, cost = float(tokens.sum()), float(batch @ tokens)
    width = float(batch[0])
    decision: dict[str, Decided] = {
        "cost": Decided(cost, None, None, "tokens", "cost of the search"),
        "over one": Decided(cost / one, None, None, "x", "cost over one sample"),
        "over best of n": Decided(
            100.0 * cost / (width * one), None, None, "%", f"of the cost of finishing all {width:,.0f}"
        ),
    }
    tables = [_stages(tokens, batch, cost, rho)]
    findings: list[Finding] = []
    curves: dict[str, Frozen[str, Array]] = {}
    told = ""
    if rho is not None:
        found = _simulated(batch, rho, 0)
        equal = max(1, int(cost // one))
        decision["reward"] = Decided(found[0], None, None, "", "best reward found, in standard deviations")
        plain = _simulated(np.full(len(tokens), float(equal)), rho, 1)[0]
        decision["best of n"] = Decided(plain, None, None, "", f"best of {equal} at that cost, all finished")
        ideal = _simulated(np.full(len(tokens), width), rho, 1)[0]
        decision["all finished"] = Decided(ideal, None, None, "", f"best of {width:,.0f}, all finished")
        alternatives, curves = _alternatives(tokens, batch, rho)
        tables.append(alternatives)
        findings = _warned(found[0], plain, rho, batch)
        told = (
            f" It finds a reward of {found[0]:.2f} standard deviations above the mean; {equal} finished samples for "
            f"the same find {plain:.2f}."
        )
    return composed(
        grounds,
        planner,
        query,
        headline=(
            f"The schedule costs {show(cost / one, 'x')} one sample, {100 * cost / (width * one):.3g} % of finishing "
            f"all {width:,.0f} particles.{told}"
        ),
        decision=decision,
        binding="the schedule",
        tables=tables,
        curves=curves,
        warnings=findings,
        assumptions=(
            "Every particle of a stage costs the same; scoring costs nothing.",
            *(
                (
                    "Final rewards are normal; the score of a stage is rho times the reward plus independent noise.",
                    f"The best by that score go on, none twice; up to {DRAWS:,} searches are simulated (seed 0).",
                )
                if rho is not None
                else ("Without rho only the cost is known.",)
            ),
        ),
    )


def _check(tokens: Array, batch: Array, query: ParticleScheduleQuery) -> None:
    for name, values in (("particles", query.particles), ("rho", query.rho)):
        if values is not None and len(values) != len(tokens):
            raise QueryError(
                message(f"{name} holds {len(values)} numbers and stage_tokens {len(tokens)}", "one for each stage")
            )
    if not bool((tokens > 0).all()):
        raise QueryError(message("stage_tokens that are not positive", "tokens above zero at each stage"))
    if not bool((batch >= 1).all() and (batch <= MOST).all() and (batch == np.round(batch)).all()):
        raise QueryError(message("particles that are no whole numbers", f"whole numbers from 1 to {MOST:,}"))
    if bool((np.diff(batch) > 0).any()):
        raise QueryError(message("particles rise from one stage to the next", "a schedule that never rises"))


def _given(query: ParticleScheduleQuery) -> Array | None:
    if query.rho is None:
        return None
    rho = np.array(query.rho)
    if not bool((rho <= 1).all()):
        raise QueryError(message("rho above 1", "correlations from 0 to 1"))
    return rho


def _correlations(table: Runs, stages: int) -> Array:
    """Correlation of score and final reward at each stage, among particles of the same problem."""
    from forescale.fitting.estimators.voting import within_correlation

    number = table["stage"]
    found = []
    for stage in range(1, stages + 1):
        rows = table.where(number == stage)
        if len(rows) < 3:
            raise DataError(
                message(
                    f"{len(rows)} particles at stage {stage} of {table.source}", f"some at each stage, 1 to {stages}"
                )
            )
        problems, _ = rows.group_codes("problem")
        value = within_correlation(rows["stage_score"], rows["final_score"], problems)
        if not math.isfinite(value):
            raise DataError(message(f"scores of stage {stage} that do not vary", "several particles of a problem"))
        found.append(max(value, 0.0))
    return np.array(found)


# -------------------------------------------------------------------------------------------------------- simulation


def _simulated(batch: Array, rho: Array, seed: int) -> tuple[float, float]:
    """Mean final reward of the best that is left, and its standard error; (S,) particles, (S,) correlations."""
    rng = block_streams(seed, 1)[0]
    count = int(batch[0])
    draws = int(np.clip(NORMALS // count, 1000, DRAWS))
    final = rng.standard_normal((draws, count))
    alive = final
    for stage in range(1, len(batch)):
        keep = int(batch[stage])
        if keep == alive.shape[1]:
            continue
        # what is seen before a stage is the score of the stage before it
        r = float(rho[stage - 1])
        score = r * alive + math.sqrt(max(0.0, 1.0 - r * r)) * rng.standard_normal(alive.shape)
        best = np.argpartition(-score, keep - 1, axis=1)[:, :keep]
        alive = np.take_along_axis(alive, best, axis=1)
    r = float(rho[-1])
    score = r * alive + math.sqrt(max(0.0, 1.0 - r * r)) * rng.standard_normal(alive.shape)
    chosen = np.take_along_axis(alive, np.argmax(score, axis=1)[:, None], axis=1)[:, 0]
    return float(chosen.mean()), float(chosen.std() / math.sqrt(draws))


def _alternatives(tokens: Array, batch: Array, rho: Array) -> tuple[Table, dict[str, Frozen[str, Array]]]:
    """The schedule thinned at one stage only, early to late, and the schedule with half and twice the particles."""
    one = float(tokens.sum())
    made: list[tuple[str, Array]] = [("as given", batch)]
    for factor in (0.5, 2.0):
        scaled = np.maximum(1.0, np.round(batch * factor))
        if scaled[0] <= MOST:
            made.append((f"{factor:g} times the particles", scaled))
    for stage in range(1, len(batch)):
        once_only = np.where(np.arange(len(batch)) < stage, batch[0], batch[-1])
        made.append((f"thinned once, before stage {stage + 1}", once_only))
    rows: list[Row] = []
    for name, other in made:
        value, error = _simulated(other, rho, 0)
        rows.append((name, float(other @ tokens) / one, value, error))
    once = rows[-(len(batch) - 1) :] if len(batch) > 1 else []
    curve = {
        "reward": Frozen(
            {
                "cost over one sample": np.array([row[1] for row in once], dtype=float),
                "reward": np.array([row[2] for row in once], dtype=float),
            }
        )
    } if len(once) > 1 else {}  # fmt: skip
    table = Table(
        "alternatives",
        "Other schedules",
        (("schedule", ""), ("cost over one", "x"), ("reward", ""), ("simulation error", "")),
        tuple(rows),
    )
    return table, curve


def _stages(tokens: Array, batch: Array, cost: float, rho: Array | None) -> Table:
    rows = tuple(
        (float(i + 1), float(b), float(c), 100.0 * float(b * c) / cost, None if rho is None else float(rho[i]))
        for i, (b, c) in enumerate(zip(batch, tokens))
    )
    return Table(
        "stages",
        "The stages",
        (("stage", "count"), ("particles", "count"), ("tokens each", "tokens"), ("of the cost", "%"), ("rho", "")),
        rows,
    )


def _warned(found: float, plain: float, rho: Array, batch: Array) -> list[Finding]:
    warnings = []
    if found < plain - 0.05:
        warnings.append(
            Finding(
                "schedule-loses",
                "amber",
                f"As many finished samples as the schedule costs find more ({plain:.2f} against {found:.2f}): the "
                "early scores know too little of the end.",
                "Thin out later, where rho is higher.",
            )
        )
    early = [i for i in range(1, len(batch)) if batch[i] < batch[i - 1] and rho[i - 1] < 0.3]
    if early:
        warnings.append(
            Finding(
                "blind-stages",
                "amber",
                f"Particles are dropped after stage {early[0]}, where the score knows the end by only "
                f"{rho[early[0] - 1]:.2f}.",
                "Choose by diversity there, or keep all.",
            )
        )
    return warnings


planner = Planner(
    id="particle-schedule",
    question="How many particles should a search in stages keep, and what does it cost?",
    query=ParticleScheduleQuery,
    answer=answer,
    parts=(
        Part(
            "particles",
            "particles with the score at each stage (1, 2, ...) and the final score",
            columns=("problem", "stage", "stage_score", "final_score"),
            optional=True,
        ),
    ),
    papers=("chen2025ttsvar",),
    example=Frozen({"stage_tokens": "1,4,16,64", "particles": "8,6,4,1", "rho": "0.2,0.5,0.8,1"}),
)

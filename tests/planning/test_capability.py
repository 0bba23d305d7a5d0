# SPDX-License-Identifier: Apache-2.0
"""A model's score from its benchmarks: published components and errors through the planner, known worlds, trouble."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import ColumnError, DataError, QueryError, RefusedError
from forescale.planning import capability
from forescale.planning._parts import grounds
from forescale.planning._plan import Plan
from forescale.planning._run import read
from forescale.runs.table import Runs
from forescale.testing.planners import PlannerCase

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")
BENCHMARKS = ("MMLU", "ARC_C", "HellaSwag", "Winograd", "TruthfulQA", "GSM8K", "XWinograd", "HumanEval")


def ask(*given: Any, **query: Any) -> Plan:
    planner = capability.planner
    return planner.answer(grounds(planner, given, draws=200), read(planner, {"resamples": 40, **query}))


def world(seed: int = 0, score: str = "capability", **changes: Any) -> Runs:
    """Six families of six models: capability is linear in log compute, shifted by the family; noise .01."""
    rng = np.random.default_rng(seed)
    shift = np.repeat([-0.12, -0.06, -0.02, 0.02, 0.08, 0.14], 6)
    log_c = np.tile(np.linspace(20.5, 23.5, 6), 6) + np.repeat(rng.uniform(-0.3, 0.3, 6), 6)
    skill = 0.12 * (log_c - 22.0) + shift
    loads = np.linspace(0.5, 1.2, 8)
    columns: dict[str, Any] = {
        name: 0.45 + load * skill + 0.01 * rng.standard_normal(36) for name, load in zip(BENCHMARKS, loads)
    }
    cause = skill if score == "capability" else 0.12 * (log_c - 22.0)
    columns["score"] = np.clip(1 / (1 + np.exp(-12 * cause)) + 0.01 * rng.standard_normal(36), 0, 1)
    columns |= {"exaflops": 10 ** (log_c - 18), "family": [f"F{i // 6}" for i in range(36)]}
    columns["model"] = [f"m{i}" for i in range(36)]
    return Runs.from_columns({**columns, **changes})


class TestCapability(PlannerCase):
    planners = (capability.planner,)
    grounds: ClassVar = {
        "capability": (world(model=[f"m{i}" if i != 20 else "meta-llama/Llama-2-70b-hf" for i in range(36)]),)
    }
    conflicts: ClassVar = {"capability": ({"components": 12, "benchmarks": "MMLU, ARC_C"}, {"reference": "none"})}


# ---------------------------------------------------------------------------------------------- published numbers


@mirrored
def test_components_of_the_paper() -> None:
    """specs/inference 17.13: shares .8016 and .9670 of the paper's 77 models, to .002; loadings of the first."""
    from forescale.runs.datasets import dataset

    runs = dataset("obs-scaling")
    plan = ask(runs.where(runs["in_paper"] == 1), target="meta-llama/Llama-2-70b-hf")
    assert plan["explained"].value / 100 == pytest.approx(0.9670, abs=2e-3)
    table = plan.table("components")
    first = dict(zip(table.column("benchmark"), table.column("PC1")))
    assert first["share of variance"] == pytest.approx(0.8016, abs=2e-3)
    assert first["GSM8K"] == pytest.approx(0.552, abs=1e-3)
    assert first["TruthfulQA"] == pytest.approx(0.085, abs=1e-3)
    lines = dict(zip(plan.table("alternatives").column("family"), plan.table("alternatives").column("R2")))
    for family, r2 in (("Pythia", 0.985), ("OPT", 0.984), ("BLOOM", 0.981), ("Llama", 0.981), ("Qwen1.5", 0.972)):
        assert lines[family] == pytest.approx(r2, abs=1e-3)
    # a model of the reference family is worth what it took, to the scatter of its line
    assert plan["worth"].value == pytest.approx(plan["C"].value, rel=0.1)
    assert "score" not in plan.decision


@mirrored
@pytest.mark.parametrize(
    ("task", "components", "compute"),
    [
        ("word_unscrambling", 0.0037, 0.0180),
        ("multiplication_2", 0.0089, 0.0254),
        ("parsinlu_qa", 0.0137, 0.0261),
        ("ipa_transliterate", 0.0806, 0.3649),
    ],
)
def test_errors_beyond_llama_2_7b(task: str, components: float, compute: float) -> None:
    """specs/inference 13.3: mean squared errors by three components and by compute alone, to their digits."""
    from forescale.runs.datasets import dataset

    plan = ask(dataset("obs-scaling-tasks", task=task), target="meta-llama/Llama-2-70b-hf", below="84e21 FLOP")
    rows = {(row[0], row[1]): row[3] for row in plan.table("backtest").rows}
    # the target is among the models that are predicted, as in the source
    assert rows["components", "all beyond the cut"] == pytest.approx(components, abs=1e-4)
    assert rows["compute alone", "beyond the cut, compute known"] == pytest.approx(compute, abs=1e-4)
    assert {w.code: w.level for w in plan.warnings}["against-compute-cut"] == "green"


@mirrored
def test_sums_of_three_digits_tell_no_link_apart() -> None:
    """specs/inference 13.3 has components at .0297 and compute at .0058 on 3-digit addition.

    That is one start of the link. Here .0035 comes out, of the best of 64, which fits the weak models .8 % better:
    the planner must say that several links fit about as well.
    """
    from forescale.runs.datasets import dataset

    plan = ask(dataset("obs-scaling-tasks", task="addition_3"), target="tiiuae/falcon-40b", below="84e21 FLOP")
    rows = {(row[0], row[1]): row[3] for row in plan.table("backtest").rows}
    assert rows["components", "all beyond the cut"] == pytest.approx(0.0035, abs=1e-4)
    assert rows["compute alone", "beyond the cut, compute known"] == pytest.approx(0.0058, abs=1e-4)
    said = next(w for w in plan.warnings if w.code == "other-links")
    assert said.level == "amber"


@mirrored
def test_compute_wins_on_subtraction() -> None:
    """On 3-digit subtraction components lose to compute, beyond the cut, and the plan says so."""
    from forescale.runs.datasets import dataset

    plan = ask(
        dataset("obs-scaling-tasks", task="subtraction_3"), target="meta-llama/Llama-2-70b-hf", below="84e21 FLOP"
    )
    said = next(w for w in plan.warnings if w.code == "against-compute-cut")
    assert said.level == "amber"
    assert "compute alone does better" in said.text


# ------------------------------------------------------------------------------------------------------ known worlds


def test_a_known_world_comes_back() -> None:
    """Families shifted in efficiency: components predict, compute alone cannot, and the worth is the shift."""
    runs = world()
    plan = ask(runs, target="m33", reference="F0")
    seen, value = plan["seen"].value, plan["score"].value
    assert value == pytest.approx(seen, abs=0.04)
    assert abs(plan["score_by_compute"].value - seen) > 2 * abs(value - seen)
    assert {w.code: w.level for w in plan.warnings}["against-compute-families"] == "green"
    # F5 lies .26 above F0 in capability, at .12 per decade: 2.17 decades of compute, to the noise of its benchmarks
    assert np.log10(plan["worth"].value / plan["C"].value) == pytest.approx(0.26 / 0.12, abs=0.25)
    assert plan["worth"].lower is not None
    assert plan["worth"].lower < plan["worth"].value < (plan["worth"].upper or 0)


def test_compute_wins_where_it_is_the_cause() -> None:
    plan = ask(world(score="compute"), target="m33")
    said = {w.code: w for w in plan.warnings}["against-compute-families"]
    assert said.level == "amber"
    assert "compute alone does better" in said.text


def test_its_own_score_is_not_learned_from() -> None:
    runs = world()
    changed = runs["score"].copy()
    changed[20] = 0.0
    one, other = ask(runs, target="m20"), ask(runs.with_column("score", changed), target="m20")
    assert one["score"] == other["score"]
    assert one["seen"].value != other["seen"].value
    missing = np.where(np.arange(36) == 20, np.nan, runs["score"])
    assert ask(runs.with_column("score", missing), target="m20")["score"] == one["score"]


def test_bands_cover_families_left_out() -> None:
    """The band of a new model holds about nine in ten of models that it was not made from: 12 worlds of one each."""
    inside = 0
    for seed in range(12):
        runs = world(seed)
        plan = ask(runs, target=f"m{(7 * seed) % 36}", resamples=20)
        low, high = plan.expected["score"].prediction or (np.nan, np.nan)
        inside += low <= plan["seen"].value <= high
    # binomial(12, .9): 8 or more in 99.6 of 100 cases
    assert inside >= 8


# ------------------------------------------------------------------------------------------------------------ trouble


def test_what_it_needs() -> None:
    runs = world()
    with pytest.raises(QueryError, match="m330"):
        ask(runs, target="m330")
    with pytest.raises(DataError, match="2 rows"):
        ask(world(model=["m1", "m1", *(f"m{i}" for i in range(2, 36))]), target="m1")
    with pytest.raises(DataError, match="'m2'"):
        ask(world(model=["m2", *(f"m{i}" for i in range(1, 36))]), target="m1")
    with pytest.raises(ColumnError, match="MMLU holds text"):
        ask(world(MMLU=["many"] * 36), target="m1")
    with pytest.raises(ColumnError, match="BBH"):
        ask(runs, target="m1", benchmarks="MMLU, BBH")
    with pytest.raises(QueryError, match="different columns"):
        ask(runs, target="m1", benchmarks="MMLU, MMLU")
    with pytest.raises(QueryError, match="no model of known compute"):
        ask(runs, target="m1", below="1e10 FLOP")
    with pytest.raises(DataError, match="models with a score"):
        ask(runs, target="m1", below="5e20 FLOP")
    with pytest.raises(DataError, match="between 0 and 1"):
        ask(runs.with_column("score", 100 * runs["score"]), target="m1")


def test_nothing_to_say() -> None:
    columns = {name: world()[name] for name in BENCHMARKS}
    labels = {name: list(world().labels[name]) for name in ("model", "group")}
    with pytest.raises(RefusedError, match="no column score"):
        ask(Runs.from_columns({**columns, **labels}), target="m1")


def test_curve_passes_through_the_target() -> None:
    """The chart reaches the target, beyond the models learned from too, and is the plan's score there."""
    plan = ask(world(), target="m35", below="1e23 FLOP")
    curve = plan.curves["score"]
    assert float(np.interp(plan["PC1"].value, curve["PC1"], curve["score"])) == pytest.approx(
        plan["score"].value, abs=1e-3
    )
    low, high = plan["score"].lower, plan["score"].upper
    assert low is not None
    assert high is not None
    assert curve["lower"][-1] == pytest.approx(low)
    assert curve["upper"][-1] == pytest.approx(high)


def test_missing_benchmarks_are_said() -> None:
    runs = world()
    gaps = {}
    for name in ("MMLU", "GSM8K", "HumanEval", "ARC_C"):
        values = runs[name].copy()
        values[5] = np.nan
        gaps[name] = values
    for name, values in gaps.items():
        runs = runs.with_column(name, values)
    said = next(w for w in ask(runs, target="m5").warnings if w.code == "filled")
    assert said.level == "amber"
    assert "HumanEval" in said.text

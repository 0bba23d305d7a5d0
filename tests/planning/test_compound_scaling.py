# SPDX-License-Identifier: Apache-2.0
"""Compound scaling: the algebra of Dollar et al. (2021) and Tan and Le (2019), ResNet-RS, times and errors."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import DataError, InputError, QueryError
from forescale.costs.convnet import EFFICIENTNET, Scaling, compound, factors, fast, per_phi
from forescale.fitting._fit import Fit
from forescale.fitting.estimate import fit
from forescale.fitting.published import published
from forescale.laws import as_law
from forescale.planning import compound_scaling
from forescale.planning._plan import Plan
from forescale.planning._run import plan
from forescale.runs.datasets import dataset
from forescale.runs.table import Runs
from forescale.testing.planners import Ladder, PlannerCase

mirrored = pytest.mark.skipif("FORESCALE_MIRROR" not in os.environ, reason="needs a mirror of the public data sets")


def made_up(law: str, **params: float) -> Fit:
    """A fit with constants of ours, to stand on."""
    found = as_law(law)
    return replace(
        published("chinchilla:hoffmann2022"),
        law=found,
        params={name: params[name] for name in found.names},
        covariance=np.full((len(params), len(params)), np.nan),
        draws=np.empty((0, len(params))),
        conventions={},
        fitted_range={},
        notes=(),
        source="made up",
    )


TIME = made_up("runtime-power(acts)", c=1e-9, k=1.1)
ERROR = made_up("power-floor(seconds)", E=0.14, A=0.02, alpha=0.5)


def sweep(switch: float = 60.0, arms: tuple[str, str] = ("depth", "width")) -> Runs:
    """Both arms at equal compute; from `switch` epochs on depth is better, by the logarithm of the distance."""
    rows = [
        (e, C, C**-0.1 * (e / switch) ** (-0.01 if arm == "depth" else 0.01), arm)
        for e in (10.0, 100.0, 350.0)
        for C in (1e17, 1e18, 1e19)
        for arm in arms
    ]
    e, C, loss, group = zip(*rows)
    return Runs.from_columns({"epochs": np.array(e), "C": np.array(C), "loss": np.array(loss), "group": list(group)})


def ask(*given: Any, **query: Any) -> Plan:
    return plan("compound-scaling", *given, **query)


class TestCompoundScaling(PlannerCase):
    planners = (compound_scaling.planner,)
    grounds: ClassVar = {"compound-scaling": (TIME, ERROR)}
    ladders: ClassVar = {
        "compound-scaling": Ladder(
            "scale", (2, 4, 16, 64), rising=("depth", "width", "resolution", "flop", "time", "seconds"),
            falling=("error",),
        )
    }  # fmt: skip
    conflicts: ClassVar = {"compound-scaling": [{"scale": 4, "phi": 2}]}


# --------------------------------------------------------------------------------------------------- the algebra


def test_four_times_the_flop() -> None:
    """Dollar et al. 2021, s = 4: d 1.149, w 1.741, r 1.072, parameters 4^.9 = 3.48, activations 4^.6 = 2.30."""
    row = ask(scale=4).table("alternatives").records()[0]
    assert row["way"] == "fast (this plan)"
    for name, value, unit in (("depth", 1.149, 5e-4), ("width", 1.741, 5e-4), ("resolution", 1.072, 5e-4)):
        assert row[name] == pytest.approx(value, abs=unit)
    assert row["parameters"] == pytest.approx(4**0.9, rel=1e-12)
    assert row["activations"] == pytest.approx(4**0.6, rel=1e-12)
    assert round(4**0.9, 2) == 3.48
    assert round(4**0.6, 2) == 2.30


@pytest.mark.parametrize("s", [0.5, 2.0, 16.0])
@pytest.mark.parametrize("way", [fast(), fast(0.2), compound(*EFFICIENTNET), Scaling(1 / 3, 1 / 3, 1 / 3)])
def test_costs_by_exponents(way: Scaling, s: float) -> None:
    """FLOP s, parameters s^(e_d + e_w), activations s^(1 - e_w / 2)."""
    found = factors(way, s)
    assert found.flop == pytest.approx(s, rel=1e-12)
    assert found.parameters == pytest.approx(s ** (way.depth + way.width), rel=1e-12)
    assert found.activations == pytest.approx(s ** (1 - way.width / 2), rel=1e-12)


def test_single_dimensions() -> None:
    rows = {row["way"]: row["activations"] for row in ask(scale=4).table("alternatives").records()}
    assert rows["uniform"] == pytest.approx(4 ** (5 / 6), rel=1e-12)
    assert rows["width"] == pytest.approx(4**0.5, rel=1e-12)
    assert rows["depth"] == rows["resolution"] == pytest.approx(4.0, rel=1e-12)


@pytest.mark.parametrize("phi", [1.0, 3.0, 7.0])
def test_compound_scaling_by_phi(phi: float) -> None:
    """Depth 1.2^phi, width 1.1^phi, resolution 1.15^phi; 1.2 x 1.1^2 x 1.15^2 = 1.92, about 2."""
    assert per_phi(*EFFICIENTNET) == pytest.approx(1.92, abs=5e-3)
    row = ask(phi=phi, way="compound").table("alternatives").records()[1]
    for name, base in zip(("depth", "width", "resolution"), EFFICIENTNET):
        assert row[name] == pytest.approx(base**phi, rel=1e-9)


def test_fast_is_the_least_activations_for_its_parameters() -> None:
    """Width alone has fewest activations and depth alone most: fast lies between, near width."""
    rows = ask(scale=16).table("sensitivity")
    acts = [float(a or 0) for a in rows.column("activations")]
    assert acts == sorted(acts, reverse=True)


# --------------------------------------------------------------------------------------------------------- ResNet-RS


def test_depth_for_long_training_and_width_for_short() -> None:
    """Bello et al. 2021: depth at 350 epochs, width at 10; in between it is open, and said so."""
    long, short, open_ = (ask(scale=4, epochs=e) for e in (350, 10, 100))
    assert long["depth"].value > 50
    assert long["width"].value == 64
    assert short["width"].value > 64
    assert short["depth"].value == 50
    assert "switch" in {w.code for w in open_.warnings}
    assert "switch" not in {w.code for w in (*long.warnings, *short.warnings)}
    # the resolution grows more slowly than in EfficientNet
    rows = {row["way"]: row["resolution"] for row in long.table("alternatives").records()}
    assert 1 < rows["resnet-rs (this plan)"] < rows["compound"]


@mirrored
def test_the_family_grows_its_images_as_resnet_rs() -> None:
    """From 50 layers at 160 pixels to 420 at 320 by the share of their table."""
    runs = dataset("resnet-rs")
    first, last = (runs.where(runs["depth"] == d) for d in (50, 420))
    depth = float(last["depth"][0] / first["depth"][0])
    side = float(last["resolution"][0] / first["resolution"][0])
    found = factors(Scaling(1 - compound_scaling.SLOW, 0.0, compound_scaling.SLOW), depth * side**2)
    assert found.depth == pytest.approx(depth, rel=1e-12)
    assert found.resolution == pytest.approx(side, rel=1e-12)


@mirrored
def test_the_error_that_time_gives() -> None:
    """err = 14.31 + 60.9 t^-.510 (t in ms) on the 11 rows; 15.19 % at 4,000 ms."""
    runs = dataset("resnet-rs")
    found = fit(runs.with_column("seconds", runs["tpu_ms"]), as_law("power-floor(seconds)"), loss="log-squared")
    # twice the activations by depth: the model at 2,000 ms takes 4,000
    there = ask(found, scale=2, way="depth", depth=100, seconds=2000.0)
    assert there["seconds"].value == pytest.approx(4000.0)
    assert there["error"].value == pytest.approx(15.19, abs=0.01)
    assert there["error"].lower is not None
    assert there["error_now"].value > there["error"].value


@mirrored
def test_times_follow_activations() -> None:
    """24 RegNets: their times as a power of activations, instead of in proportion."""
    found = fit(dataset("regnet-runtime"), as_law("runtime-power(acts)"))
    there = ask(found, scale=4, acts=1.1e7)
    power = found.params["k"]
    assert there["time"].value == pytest.approx(there["activations"].value ** power, rel=1e-9)
    assert there["time"].lower is not None


def test_a_sweep_decides() -> None:
    """Both arms at three numbers of epochs: the better one at the epochs asked about, the ends flagged."""
    table = sweep()
    assert ask(table, scale=4, epochs=30)["width"].value > 64
    assert ask(table, scale=4, epochs=200)["depth"].value > 50
    rows = ask(table, scale=4, epochs=30).table("arms").records()
    assert [row["better"] for row in rows] == ["width", "depth", "depth"]
    assert "outside-sweep" in {w.code for w in ask(table, scale=4, epochs=1000).warnings}
    assert "switch" not in {w.code for w in ask(table, scale=4, epochs=100).warnings}


def test_epochs_speak_of_resnet_rs_alone() -> None:
    """Another way does not ask which arm is better: no word of the switch."""
    found = ask(scale=4, epochs=60, way="fast")
    assert not found.warnings
    assert not any("epochs" in text for text in found.assumptions)


@pytest.mark.parametrize(("column", "value"), [("C", 0.0), ("loss", math.nan), ("epochs", -1.0)])
def test_sweeps_with_holes(column: str, value: float) -> None:
    one = sweep()
    spoilt = one[column].copy()
    spoilt[3] = value
    with pytest.raises(DataError, match=column):
        ask(one.with_column(column, spoilt), scale=4, epochs=30)


def test_bad_sweeps() -> None:
    with pytest.raises(DataError, match="depth and width"):
        ask(sweep(arms=("depth", "resolution")), scale=4, epochs=30)
    one = sweep()
    apart = one.where((one.labels["group"] == "depth") == (one["C"] < 5e17))
    with pytest.raises(DataError, match="same compute"):
        ask(apart, scale=4, epochs=30)


# --------------------------------------------------------------------------------------------------------- trouble


def test_what_is_needed_is_named() -> None:
    with pytest.raises(QueryError, match="acts"):
        ask(TIME, scale=4)
    with pytest.raises(QueryError, match="seconds"):
        ask(ERROR, scale=4)
    with pytest.raises(QueryError, match="epochs"):
        ask(scale=4, way="resnet-rs")
    with pytest.raises(QueryError, match="scale and phi"):
        ask(epochs=350)
    with pytest.raises(QueryError, match="share"):
        ask(scale=4, way="width", share=0.3)
    with pytest.raises(QueryError, match="whole"):
        ask(phi=-30)


def test_rounding_is_said() -> None:
    found = ask(scale=1.3, width=16, resolution=32)
    assert "rounding" in {w.code for w in found.warnings}
    assert found["width"].value % 8 == 0
    assert found["resolution"].value % 4 == 0
    assert "rounding" not in {w.code for w in ask(scale=4).warnings}
    assert ask(scale=1)["flop"].value == 1.0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"scale": 0}, "scale"),
        ({"scale": math.nan}, "scale"),
        ({"scale": 4, "way": "sideways"}, "way"),
        ({"scale": 4, "share": 2}, "share"),
        ({"scale": 4, "epochs": -1}, "epochs"),
        ({"scale": 4, "depth": 0}, "depth"),
        ({"phi": math.inf}, "phi"),
    ],
)
def test_bad_questions(query: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ask(**query)


@pytest.mark.parametrize("bases", [(0.0, 1.1, 1.1), (1.0, 1.0, 1.0)])
def test_bases_that_scale_nothing(bases: tuple[float, float, float]) -> None:
    with pytest.raises(QueryError, match="bases"):
        compound(*bases)

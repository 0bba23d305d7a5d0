# SPDX-License-Identifier: Apache-2.0
"""Effects with size held: the four verdicts, the published correlations, clear errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import ColumnError, DataError, ForescaleError, InputError
from forescale.judge.partial import partial
from forescale.runs.table import Runs


def made(gain: float, hidden: float, *, seed: int = 0, n: int = 500, noise: float = 0.5) -> Runs:
    """An arm that is chosen more often for large models (`hidden`), with its own effect `gain`; size has effect 1."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n)
    g = hidden * z + 0.6 * rng.standard_normal(n) > 0
    y = gain * g + z + noise * rng.standard_normal(n)
    return Runs.from_columns({"scale": np.exp(z), "y": y, "kind": np.where(g, "new", "old")})


@pytest.mark.parametrize(
    ("gain", "hidden", "verdict"), [(1.0, 0.0, "robust"), (0.0, 0.8, "confounded"), (-0.5, 0.8, "reversed")]
)
def test_the_verdicts(gain: float, hidden: float, verdict: str) -> None:
    found = partial(made(gain, hidden), "y", "kind", size="scale", reference="old", level=0.99)
    assert found.verdict == verdict
    assert found.effects[0].controlled == pytest.approx(gain, abs=4 * 0.5 / np.sqrt(500 * 0.1))
    assert verdict in found.summary()


def test_an_effect_that_size_hides() -> None:
    """The arm helps by exactly what its smaller models cost: nothing is seen before size is held."""
    rng = np.random.default_rng(3)
    g = np.arange(400) % 2
    z = rng.standard_normal(400) - 1.0 * g
    runs = Runs.from_columns(
        {"scale": np.exp(z), "y": z + 1.0 * g + 0.3 * rng.standard_normal(400), "kind": np.where(g == 1, "b", "a")}
    )
    assert partial(runs, "y", "kind", size="scale", level=0.99).verdict == "emergent"


def test_the_reversal_of_the_specification() -> None:
    """y = -.5 g + z + .5 e: +.87 alone (t 10), -.49 with size held (t -8), to the error of 500 rows."""
    effect = partial(made(-0.5, 0.8), "y", "kind", size="scale", reference="old").effects[0]
    assert effect.simple == pytest.approx(0.866, abs=0.25)
    assert effect.simple_t > 8
    assert effect.controlled == pytest.approx(-0.5, abs=0.18)
    assert effect.controlled_t < -6


def test_agreement_with_a_textbook_formula() -> None:
    """Partial correlation from the three simple ones."""
    rng = np.random.default_rng(1)
    z, e = rng.standard_normal(60), rng.standard_normal(60)
    x = z + rng.standard_normal(60)
    y = 0.5 * x + z + e
    effect = partial(Runs.from_columns({"scale": np.exp(z), "x1": x, "y": y}), "y", "x1", size="scale").effects[0]
    r = np.corrcoef([x, y, z])
    wanted = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert effect.partial == pytest.approx(wanted, rel=1e-10)
    assert effect.r == pytest.approx(r[0, 1], rel=1e-12)
    slope, _ = np.linalg.lstsq(np.stack([x - x.mean(), z - z.mean()], 1), y - y.mean(), rcond=None)[0]
    assert effect.controlled == pytest.approx(slope, rel=1e-10)


def test_neural_collapse_at_fixed_size() -> None:
    """Wu & Papyan: correlations with the loss, alone and given log N, on 210 models."""
    try:
        runs = fs.dataset("linguistic-collapse")
    except ForescaleError as error:
        pytest.skip(f"linguistic_collapse: {error}")
    wanted = {
        "log_NC1": (0.957, 0.946), "log_GNC2": (0.950, 0.866), "NC4": (-0.943, -0.847), "NC2_etf": (0.866, 0.613),
        "NC3": (0.814, 0.598), "UNC3_var": (0.743, 0.252), "NC2_norms_var": (0.484, 0.566),
    }  # fmt: skip
    for name, (alone, held) in wanted.items():
        effect = fs.partial(runs, "loss", name).effects[0]
        assert (effect.r, effect.partial) == pytest.approx((alone, held), abs=6e-4), name
        assert effect.verdict == "robust"


def test_several_levels_and_json() -> None:
    rng = np.random.default_rng(0)
    runs = Runs.from_columns(
        {"N": np.exp(rng.uniform(15, 20, 90)), "score": rng.standard_normal(90), "kind": ["a", "b", "c"] * 30}
    )
    found = partial(runs, "score", "kind", reference="b")
    assert [e.name for e in found.effects] == ["a", "c"]
    with pytest.raises(InputError, match="2 effects"):
        _ = found.verdict
    content = json.loads(found.to_json())
    assert (content["schema"], len(content["effects"])) == ("forescale/partial", 2)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("nothing", "kind"), ColumnError, "nothing"),
        (("y", "nothing"), ColumnError, "nothing"),
        (("kind", "kind"), ColumnError, "text"),
        (("y", "kind", {"size": "y"}), DataError, "not positive"),
        (("y", "kind", {"reference": "third"}), ColumnError, "no level 'third'"),
        (("y", "scale", {"reference": "a"}), ColumnError, "holds numbers"),
        (("y", "kind", {"log": ("scale",)}), ColumnError, "logarithm"),
        (("y", "kind", {"level": 1.0}), InputError, "level"),
        (("y", "same"), DataError, "does not vary"),
    ],
)
def test_clear_errors(arguments: tuple[Any, ...], error: type[Exception], words: str) -> None:
    runs = made(0.5, 0.5, n=40).with_column("same", 1.0)
    more = {"size": "scale", **(arguments[2] if len(arguments) > 2 else {})}
    with pytest.raises(error, match=words):
        partial(runs, arguments[0], arguments[1], **more)


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="five or more"):
        partial(made(0.5, 0.5, n=4), "y", "scale", size="scale")

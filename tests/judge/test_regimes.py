# SPDX-License-Identifier: Apache-2.0
"""Regimes: known breaks and turns, false alarms on pure powers, real tables, bad input."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import DataError, ForescaleError, QueryError
from forescale.judge.regimes import TAGS, Regimes, regimes_of
from forescale.numerics.segmented import segmented

SIZES = np.geomspace(1e6, 1e10, 30)


def three_powers(noise: float = 0.01, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x^(4/3) below 100, then x^(2/3) to 1e4, then x^(1/3)."""
    x = np.geomspace(10, 1e7, 60)
    y = np.minimum(x, 100) ** (4 / 3) * np.clip(x / 100, 1, 100) ** (2 / 3) * np.maximum(x / 1e4, 1) ** (1 / 3)
    return x, y * np.exp(noise * np.random.default_rng(seed).standard_normal(60))


def noisy(y: np.ndarray, noise: float, seed: int = 1) -> np.ndarray:
    return y * np.exp(noise * np.random.default_rng(seed).standard_normal(y.size))


# -- exponents and breaks -----------------------------------------------------------------------------------------


def test_two_breaks_and_three_exponents() -> None:
    """A published reading of one such curve: breaks 104 and 9871, exponents 1.329, .665, .334."""
    found = regimes_of(*three_powers(), better="higher")
    assert found.tag == "broken"
    assert found.model == "2 breaks"
    assert [b.at for b in found.breaks] == pytest.approx([100, 1e4], rel=0.06)
    assert [s.exponent for s in found.segments] == pytest.approx([4 / 3, 2 / 3, 1 / 3], abs=0.012)
    for b, truth in zip(found.breaks, (100, 1e4)):
        assert b.interval[0] < truth < b.interval[1]
    assert found.scores["2 breaks"] == 0.0
    assert found.scores["power"] > 100


def test_without_noise_the_breaks_are_exact() -> None:
    found = regimes_of(*three_powers(noise=0.0), better="higher")
    assert [b.at for b in found.breaks] == pytest.approx([100, 1e4], rel=1e-5)
    assert [s.exponent for s in found.segments] == pytest.approx([4 / 3, 2 / 3, 1 / 3], abs=1e-6)


def test_intervals_hold_the_truth() -> None:
    """90 % intervals of three exponents and two breaks in 60 curves: 300 checks."""
    inside = 0
    for seed in range(60):
        found = regimes_of(*three_powers(seed=seed), better="higher")
        if found.model != "2 breaks":
            continue
        inside += sum(s.interval[0] < t < s.interval[1] for s, t in zip(found.segments, (4 / 3, 2 / 3, 1 / 3)))
        inside += sum(b.interval[0] < t < b.interval[1] for b, t in zip(found.breaks, (100, 1e4)))
    assert inside / 300 > 0.82  # four standard errors and a few curves with another number of breaks below .9


def test_local_exponents_follow_the_segments() -> None:
    found = regimes_of(*three_powers(), better="higher")
    x, slope, error = (found.local[name] for name in ("x", "exponent", "error"))
    for at, truth in ((20.0, 4 / 3), (1e3, 2 / 3), (1e6, 1 / 3)):
        i = int(np.argmin(np.abs(np.log(x / at))))
        assert abs(slope[i] - truth) < 5 * error[i] + 0.03


def test_a_further_break_never_fits_worse() -> None:
    rng = np.random.default_rng(4)
    for n in (7, 12, 40, 200):
        x = np.sort(rng.uniform(0, 6, n))
        squares = [s.squares for s in segmented(x, np.cumsum(rng.standard_normal(n)), rng.uniform(0.5, 2, n))]
        assert len(squares) == 1 + min(4, (n - 1) // 2 - 1)
        assert all(b <= a * (1 + 1e-9) for a, b in pairwise(squares))


def test_one_break_is_the_best_of_a_fine_grid() -> None:
    rng = np.random.default_rng(6)
    x = np.linspace(0.0, 5.0, 25)
    y = np.where(x < 2.1, -x, -2.1 - 0.3 * (x - 2.1)) + 0.05 * rng.standard_normal(25)
    found = segmented(x, y, np.ones(25))[1]
    best = math.inf
    for at in np.linspace(x[2], x[-3], 2000):
        columns = np.stack([np.ones(25), x, np.maximum(x - at, 0)], axis=1)
        best = min(best, float(np.linalg.lstsq(columns, y, rcond=None)[1][0]))
    assert found.squares <= best * (1 + 1e-6)


@pytest.mark.parametrize("n", [8, 20])
def test_false_alarms_on_one_power(n: int) -> None:
    """Noise of .5, 2 and 10 %: at most 5 % broken, hardly ever a turn (99.9 % binomial limits)."""
    rng = np.random.default_rng(3)
    x = np.geomspace(1e6, 1e10, n)
    tags = [
        regimes_of(x, 5 * x**-0.1 * np.exp((0.005, 0.02, 0.1)[i % 3] * rng.standard_normal(n))).tag
        for i in range(100)
    ]
    assert tags.count("broken") <= 12
    assert tags.count("U-shape") + tags.count("inverted-U") <= 2
    assert tags.count("power") >= 0.87 * 100


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "tag"),
    [
        (noisy(5 * SIZES**-0.1, 0.02), "power"),
        (noisy(1 + 300 * SIZES**-0.35, 0.003), "power"),
        (noisy(300 * SIZES**-1.0, 0.05), "variance-limited"),
        (noisy(1 + 1e5 * SIZES**-1.0, 0.0005), "variance-limited"),
        (noisy(np.full(30, 2.0), 0.01), "plateau"),
        (noisy(np.maximum(1e8 / SIZES, 1.0) ** 0.2, 0.002), "plateau"),
        (noisy(SIZES**0.1, 0.05), "inverse"),
        (noisy(np.exp(0.05 * (np.log(SIZES) - 18) ** 2), 0.02), "U-shape"),
        (noisy(np.exp(-0.05 * (np.log(SIZES) - 18) ** 2), 0.02), "inverted-U"),
        (noisy(np.where(SIZES < 1e8, (SIZES / 1e8) ** -0.2, (SIZES / 1e8) ** 0.1), 0.01), "U-shape"),
        (noisy(np.maximum(SIZES / 1e8, 1.0) ** -0.3 * SIZES**-0.05, 0.01), "broken"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_tags(y: np.ndarray, tag: str) -> None:
    found = regimes_of(SIZES, y)
    assert found.tag == tag
    assert found.tag in TAGS
    assert found.tag in found.summary()
    assert found.sentence in found.summary()


def test_the_floor_and_what_is_above_it() -> None:
    found = regimes_of(SIZES, noisy(1 + 300 * SIZES**-0.35, 0.003))
    assert found.model == "power with a floor"
    assert found.floor == pytest.approx(1.0, abs=0.02)
    assert found.excess is not None
    value, (low, high) = found.excess
    assert low < -0.35 < high
    assert value == pytest.approx(-0.35, abs=0.05)


def test_better_turns_the_direction() -> None:
    y = noisy(SIZES**0.1, 0.02)
    assert regimes_of(SIZES, y).tag == "inverse"
    assert regimes_of(SIZES, y, better="higher").tag == "power"


def test_an_exact_parabola_turns_at_three() -> None:
    """y = (x - 3)^2 at x = 1 ... 5 in the logarithm of the size; zero has no logarithm, so y itself is judged."""
    found = regimes_of(10.0 ** np.arange(1, 6), (np.arange(1, 6) - 3.0) ** 2)
    assert found.tag == "U-shape"
    assert found.turn == pytest.approx(1e3)
    assert found.curvature == pytest.approx(1.0)
    assert found.segments == ()


def test_few_sizes_are_never_said_to_turn() -> None:
    three = regimes_of([1e6, 1e7, 1e8], [3.0, 1.0, 3.0])
    assert three.tag not in ("U-shape", "inverted-U")
    two = regimes_of([1e6, 1e6, 1e8, 1e8], [3.0, 3.1, 1.0, 1.1])
    assert two.sizes == 2
    assert two.tag == "undetermined"


def test_weights_count() -> None:
    y = noisy(5 * SIZES**-0.1, 0.01)
    y[-1] *= 3
    weights = np.ones(30)
    weights[-1] = 0.0
    found = regimes_of(SIZES, y, weights)
    assert found.rows == 29
    assert found.tag == "power"
    np.testing.assert_allclose(
        [s.exponent for s in regimes_of(SIZES, y, 7 * weights).segments], [s.exponent for s in found.segments]
    )


def test_units_and_order_do_not_matter() -> None:
    x, y = three_powers()
    mixed = np.random.default_rng(0).permutation(60)
    one, two = regimes_of(x, y, better="higher"), regimes_of(1e-6 * x[mixed], 40 * y[mixed], better="higher")
    assert one.tag == two.tag
    np.testing.assert_allclose([b.at for b in one.breaks], [1e6 * b.at for b in two.breaks], rtol=1e-7)
    np.testing.assert_allclose([s.exponent for s in one.segments], [s.exponent for s in two.segments], rtol=1e-7)


# -- real tables ----------------------------------------------------------------------------------------------------


def counts(name: str) -> list[dict[str, str]]:
    folder = Path(os.environ.get("FORESCALE_MIRROR", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "inference_counts" / name
    if not path.is_file():
        pytest.skip(f"{name} is not at hand (FORESCALE_MIRROR)")
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(
    ("group", "tag", "curvature", "vertex"),
    [("0_1404_brier", "U-shape", 0.0917, 0.87), ("12637_14042_brier", "monotone", 0.0104, -3.74)],
)
def test_question_groups_of_mmlu(group: str, tag: str, curvature: float, vertex: float) -> None:
    """Wu & Lo (2025): 93 models; minus Brier of the first and last of ten groups against training FLOP."""
    rows = [r for r in counts("ushape_mmlu_groups10.csv") if r[group] and r["FLOPs (1E21)"]]
    x = np.array([float(r["FLOPs (1E21)"]) for r in rows])
    found = regimes_of(1e21 * x, -np.array([float(r[group]) for r in rows]), better="higher")
    assert found.tag == tag
    assert found.curvature == pytest.approx(curvature, abs=1e-4)
    if tag == "U-shape":
        assert found.turn is not None
        assert math.log10(found.turn / 1e21) == pytest.approx(vertex, abs=0.01)
        assert found.turn_interval is not None
        assert found.turn_interval[0] < found.turn < found.turn_interval[1]
    else:
        assert found.turn is None, "the vertex lies outside of the data"


def test_four_sizes_of_a_pilot_claim_nothing() -> None:
    """Conjunction fallacy, one shot: .471, .500, .687, .347 looks like an inverted U; four sizes, no repeats."""
    rows = [r for r in counts("inverse_scaling_pilot_means.csv") if r["dir"] == "conjunction-fallacy-1shot-gpt3"]
    correct = [float(r["correct"]) for r in rows if r["model"] in ("ada", "babbage", "curie", "davinci")]
    assert correct == pytest.approx([0.471, 0.500, 0.687, 0.347], abs=6e-4)
    assert regimes_of([3.5e8, 1.3e9, 6.7e9, 1.75e11], correct, better="higher").tag == "undetermined"


# -- doors ----------------------------------------------------------------------------------------------------------


def test_from_a_table() -> None:
    table = {"N": SIZES, "loss": noisy(1 + 300 * SIZES**-0.35, 0.003), "acc": noisy(SIZES**0.05, 0.01)}
    found = fs.regimes(table)
    assert isinstance(found, Regimes)
    assert (found.x, found.y) == ("N", "loss")
    acc = fs.regimes(table, x="N", y="acc")
    assert (acc.y, acc.better, acc.tag) == ("score", "higher", "power")
    assert fs.regimes({"N": SIZES, "acc": table["acc"]}).tag == "power"
    with pytest.raises(ForescaleError, match="nothing"):
        fs.regimes(table, y="nothing")
    with pytest.raises(QueryError, match="no column x"):
        fs.regimes({"width": SIZES, "loss": SIZES**-0.1})


def test_to_dict_is_strict_json() -> None:
    for x, y in (three_powers(), (SIZES[:4], np.array([1.0, 2.0, 0.0, 3.0])), (SIZES[:3], np.array([3.0, 2.0, 2.5]))):
        content = regimes_of(x, y).to_dict()
        assert json.loads(json.dumps(content, allow_nan=False))["tag"] in TAGS


def test_on_the_command_line(cli, tmp_path: Path) -> None:
    x, y = three_powers()
    path = tmp_path / "curve.csv"
    path.write_text("D,loss\n" + "".join(f"{a},{b}\n" for a, b in zip(x.tolist(), (1e4 / y).tolist())))
    said = cli("regimes", str(path), "--x", "D")
    assert said.code == 0
    assert "broken" in said.out
    content = json.loads(cli("regimes", str(path), "--json").out)
    assert content["schema"] == "forescale/regimes"
    assert len(content["breaks"]) == 2
    assert cli("regimes", str(path), "--better", "bigger").code == 2


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        ([1.0, 2.0], [1.0, 2.0], DataError, "at least 3"),
        ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], DataError, "positive sizes"),
        ([1.0, 2.0, 3.0], [1.0, np.nan, 3.0], DataError, "not finite"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], DataError, "as many"),
    ],
)
def test_bad_input(x: list[float], y: list[float], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        regimes_of(x, y)


def test_bad_queries() -> None:
    with pytest.raises(QueryError, match="lower or higher"):
        regimes_of(SIZES, SIZES, better="bigger")
    with pytest.raises(QueryError, match="between 0 and 1"):
        regimes_of(SIZES, SIZES, level=90)


def test_fast() -> None:
    """20 ms per curve of 60 sizes on a quiet machine."""
    x, y = three_powers()
    regimes_of(x, y)
    start = time.process_time()
    for _ in range(10):
        regimes_of(x, y)
    assert (time.process_time() - start) / 10 < 0.1

# SPDX-License-Identifier: Apache-2.0
"""Comparisons: exact crossings, verdicts that do not invent winners, intervals that hold, clear errors."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import (
    ColumnError,
    DataError,
    ForescaleError,
    InputError,
    LawError,
    QueryError,
    RefusedError,
)
from forescale.fitting.estimate import fit
from forescale.judge._compare_pairs import repeats
from forescale.judge._compare_verdict import WORDS
from forescale.judge.compare import Comparison, Comparisons, compare
from forescale.judge.seeds import power_of, seeds_needed
from forescale.laws import find
from forescale.reporting.charts import specification
from forescale.runs.pareto import pareto
from forescale.runs.table import Conventions, Runs

POWER = find("power-floor")


def table(x: np.ndarray, loss: np.ndarray, **more: Any) -> Runs:
    return Runs.from_columns({"C": x, "loss": loss, **more})


def curve(n: int, seed: int, *, A: float = 1500.0, alpha: float = 0.17, sd: float = 0.004, top: float = 1e22) -> Runs:
    C = np.geomspace(1e18, top, n)
    noise = sd * np.random.default_rng(seed).standard_normal(n)
    return table(C, (1.7 + A * C**-alpha) * np.exp(noise))


def two(n: int, seed: int, **b: float) -> Comparison:
    found = compare(curve(n, 2 * seed), curve(n, 2 * seed + 1, **b), law=POWER, names=("a", "b"), rng=seed)
    assert isinstance(found, Comparison)
    return found


@pytest.fixture(scope="module")
def exact() -> Comparison:
    C = np.geomspace(1e2, 1e8, 20)
    fits = [fit(table(C, 2 + A * C**-alpha), POWER) for A, alpha in ((10, 0.3), (30, 0.4))]
    found = compare(*fits, names=("one", "two"), at=(1e3, 1e6, 1e7))
    assert isinstance(found, Comparison)
    return found


# -- what must come out --------------------------------------------------------------------------------------------


def test_the_crossing_of_two_exact_laws(exact: Comparison) -> None:
    """2 + 10 C^-.3 and 2 + 30 C^-.4 meet at 3^10."""
    assert exact.crossover is not None
    assert exact.crossover.x == pytest.approx(3**10, rel=1e-8)
    assert exact.crossover.better_above == "B"
    assert exact.crossover.lower <= exact.crossover.x <= exact.crossover.upper
    assert exact.crossover.decades < 0.01
    assert exact.verdict == "B better above C*"
    assert exact.outcome.where == exact.crossover.x
    assert (exact.b_better(1e3), exact.b_better(1e6)) == (0.0, 1.0)


def test_the_multiplier_of_two_exact_laws(exact: Comparison) -> None:
    """10 (M C)^-.3 = 30 C^-.4 gives M = C^(1/3) 3^(-1/.3)."""
    assert exact.savings_at is not None
    wanted = np.array([1e3, 1e6, 1e7]) ** (1 / 3) * 3 ** (-1 / 0.3)
    np.testing.assert_allclose(exact.savings_at.multiplier, wanted, rtol=2e-3)  # read off a grid of 24 per decade
    assert exact.savings_at.extrapolates.tolist() == [False, False, False]
    assert (exact.savings_at.never == 0).all()


def test_exchanging_the_arms_mirrors_the_answer(exact: Comparison) -> None:
    other = compare(exact.fits[1], exact.fits[0], names=("two", "one"), at=(1e3, 1e6))
    assert isinstance(other, Comparison)
    assert other.verdict == "A better above C*"
    assert other.crossover is not None
    assert other.crossover.x == pytest.approx(3**10, rel=1e-8)
    assert other.points[0].difference == pytest.approx(-exact.points[0].difference, rel=1e-9)


def test_no_crossover_is_an_answer() -> None:
    found = two(16, 1, A=1400.0)
    assert found.crossover is None
    assert found.verdict == "B better"
    assert "no crossover in range" in found.summary()
    assert found.next is not None
    assert found.next.settled


def test_arms_that_do_not_differ_are_called_so() -> None:
    """At least 90 % of the repeats; 40 of them leave a standard error of 4.7 %, so 78 % is the line of this sample
    (`python benchmarks/compare.py` counts many more)."""
    words = Counter(two(10, seed).verdict for seed in range(40))
    assert words["no difference"] >= 40 * (0.90 - 2.6 * math.sqrt(0.9 * 0.1 / 40)), words
    winners = sum(count for word, count in words.items() if "better" in word)
    assert winners <= 40 * (0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 40)), words


def test_the_interval_of_a_crossing_covers() -> None:
    """90 % of 30 intervals, within binomial error; the curves meet where 1500 C^-.17 = 24000 C^-.23."""
    truth = (24000 / 1500) ** (1 / (0.23 - 0.17))
    covered = []
    for seed in range(30):
        found = two(24, seed, A=24000.0, alpha=0.23)
        near = [c for c in found.crossings if c.better_above == "B"]
        covered.append(any(c.lower <= truth <= c.upper for c in near))
    assert np.mean(covered) >= 0.90 - 2.6 * math.sqrt(0.9 * 0.1 / 30)


def test_a_margin_comes_first() -> None:
    both = curve(24, 2, sd=0.001), curve(24, 3, sd=0.001, A=1495.0)
    plain = compare(*both, law=POWER, names=("a", "b"))
    wide = compare(*both, law=POWER, names=("a", "b"), margin=0.05)
    assert isinstance(plain, Comparison)
    assert isinstance(wide, Comparison)
    assert wide.verdict == "no difference"
    assert "margin of 5 %" in wide.headline
    strict = compare(*both, law=POWER, names=("a", "b"), margin=1e-6)
    assert isinstance(strict, Comparison)
    assert strict.verdict in ("undetermined", plain.verdict)


def test_shared_noise_of_pairs_cancels() -> None:
    C = np.geomspace(1e18, 1e22, 24)
    rng = np.random.default_rng(5)
    shared = 0.01 * rng.standard_normal(24)
    arms = [
        table(C, (1.7 + 1500 * C**-0.17) * np.exp(shared + 0.001 * rng.standard_normal(24) + d)) for d in (0, -0.004)
    ]
    found = compare(*arms, law=POWER, names=("a", "b"))
    apart = compare(*[fit(a, POWER) for a in (arms[0], arms[1].where(np.arange(23)))], names=("a", "b"))
    assert isinstance(found, Comparison)
    assert isinstance(apart, Comparison)
    assert found.pairs is not None
    assert found.pairs.correlation > 0.9
    assert found.pairs.mean == pytest.approx(-0.004, abs=0.001)
    assert found.verdict == "B better"
    assert found.pairs.b_wins >= 22


def test_pairs_that_are_sure_forbid_no_difference() -> None:
    """A law that misses the shape has residuals so large that nothing could be told apart; pairs can."""
    C = np.geomspace(1e18, 1e22, 30)
    bent = (1.7 + 1500 * C**-0.17) * np.exp(0.15 * np.sin(np.arange(30.0) ** 2))
    noise = 0.004 * np.random.default_rng(1).standard_normal(30)
    a, b = table(C, bent), table(C[:24], (0.985 * bent * np.exp(noise))[:24])
    found = compare(a, b, law=POWER, names=("a", "b"))
    assert isinstance(found, Comparison)
    assert found.method == "curves"
    assert found.verdict == "undetermined"
    assert "runs at the same design points do" in found.headline
    assert any("method='pairs'" in note for note in found.notes)
    judged = compare(a, b, law=POWER, names=("a", "b"), method="pairs")
    assert isinstance(judged, Comparison)
    assert judged.verdict == "B better"


def test_pairs_stand_in_for_curves_where_rows_are_few() -> None:
    lower = table(curve(4, 3)["C"], 0.97 * curve(4, 3)["loss"])
    found = compare(curve(4, 2), lower, law=POWER, names=("a", "b"))
    assert isinstance(found, Comparison)
    assert found.method == "pairs"
    assert found.verdict == "B better"
    known = compare(curve(4, 0), curve(4, 1), law=POWER, names=("a", "b"), noise=0.004)
    assert isinstance(known, Comparison)
    assert known.noise_from == "given"
    assert math.isnan(known.curve["difference"][-1]) or known.curve["x"][-1] <= 1.001e22
    assert found.savings_at is not None
    assert (found.savings_at.multiplier > 1).all()


def test_laws_in_two_inputs_are_compared_on_their_frontiers() -> None:
    law = find("chinchilla")
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(2e7, 3e9, 6), np.geomspace(1e9, 1e11, 6), indexing="ij"))
    truth = law.constants("besiroglu2024")
    other = {**truth, "A": 1.2 * truth["A"], "B": 1.2 * truth["B"]}
    runs = [Runs.from_columns({"N": N, "D": D, "loss": law(p, N=N, D=D)}) for p in (truth, other)]
    found = compare(*runs, law=law, names=("a", "b"), at=(1e20,))
    assert isinstance(found, Comparison)
    assert found.variable == "C"
    best = [law(p, **law.optimum(1e20, **p)) for p in (truth, other)]  # type: ignore[misc]
    assert found.points[0].difference == pytest.approx(math.log(best[1] / best[0]), rel=1e-5)
    assert found.verdict == "A better"


def test_a_grouped_fit_and_bootstrap_draws() -> None:
    runs = Runs.from_columns(
        {
            "C": np.tile(np.geomspace(1e18, 1e22, 20), 2),
            "loss": np.concatenate([curve(20, 0)["loss"], curve(20, 1, A=1400.0)["loss"]]),
            "arm": ["old"] * 20 + ["new"] * 20,
        }
    )
    shared = compare(runs, by="arm", law=POWER, share=("E", "alpha"))
    assert isinstance(shared, Comparison)
    assert shared.names == ("old", "new")
    assert shared.verdict == "B better"
    booted = compare(shared.fits[0].bootstrap(400))
    assert isinstance(booted, Comparison)
    assert booted.verdict == "B better"
    assert booted.points[-1].difference == pytest.approx(shared.points[-1].difference, rel=1e-9)
    width = [c.points[1].upper - c.points[1].lower for c in (shared, booted)]
    assert 0.4 < width[1] / width[0] < 2.5


def test_several_arms_against_one() -> None:
    C = np.geomspace(1e18, 1e22, 12)
    losses = [curve(12, s, A=A)["loss"] for s, A in enumerate((1500.0, 1500.0, 1350.0))]
    runs = Runs.from_columns(
        {"C": np.tile(C, 3), "loss": np.concatenate(losses), "arm": ["a"] * 12 + ["b"] * 12 + ["c"] * 12}
    )
    found = compare(runs, by="arm", law=POWER)
    assert isinstance(found, Comparisons)
    assert [c.names for c in found.each] == [("a", "b"), ("a", "c")]
    assert found["c"].verdict == "B better"
    assert sum(found.best.values()) == pytest.approx(1.0)
    assert max(found.best, key=lambda name: found.best[name]) == "c"
    again = compare(runs, by="arm", law=POWER, reference="c")
    assert isinstance(again, Comparisons)
    assert again.reference == "c"
    with pytest.raises(QueryError, match="no arm 'd'"):
        found["d"]
    assert json.loads(found.to_json())["schema"] == "forescale/comparisons"


def test_a_range_beyond_the_runs_is_said() -> None:
    short = curve(16, 1, top=1e20)
    assert not [n for n in compare(curve(16, 0), short, law=POWER).notes if "beyond" in n]  # type: ignore[union-attr]
    far = compare(curve(16, 0), short, law=POWER, between=(1e18, 1e22))
    assert isinstance(far, Comparison)
    assert far.notes[-1].startswith("The range goes beyond the runs of B")
    C = np.geomspace(1e23, 1e25, 8)
    apart = compare(curve(16, 0), table(C, 1.7 + 1500 * C**-0.17), law=POWER)
    assert isinstance(apart, Comparison)
    assert apart.range == (1e18, 1e25)
    assert "A and B" in "".join(apart.notes)


def test_what_a_backtest_taught_counts_beyond_the_runs() -> None:
    fits = [fs.fit(curve(24, s, A=A), law=POWER) for s, A in ((0, 1500.0), (1, 1450.0))]
    wide = [fs.widen(f, fs.backtest(f.runs, law=POWER)) for f in fits]
    plain, taught = (compare(*pair, names=("a", "b"), at=(1e21, 1e24)) for pair in (fits, wide))
    assert isinstance(plain, Comparison)
    assert isinstance(taught, Comparison)
    width = [[p.upper - p.lower for p in c.points] for c in (plain, taught)]
    assert width[1][0] == pytest.approx(width[0][0], rel=0.1)
    assert width[1][1] > 1.02 * width[0][1]


def test_the_next_run() -> None:
    """An unsettled sign far out: the answer is a size that lowers the chance of being wrong, and says by how much."""
    found = compare(curve(12, 0, top=1e20), curve(12, 1, top=1e20, A=1490.0), law=POWER, names=("a", "b"), at=(1e22,))
    assert isinstance(found, Comparison)
    n = found.next
    assert n is not None
    assert n.target == 1e22
    if not n.settled:
        assert n.after < n.chance_wrong
        assert 1e18 <= n.informative <= 1e22
        assert n.bits > 0
    assert found.points[0].beyond


def test_repeats_give_the_noise() -> None:
    rng = np.random.default_rng(0)
    C = np.repeat(np.geomspace(1e18, 1e20, 40), 3)
    runs = table(C, 3.0 * np.exp(0.01 * rng.standard_normal(120)), N=C**0.5, seed=np.tile([0, 1, 2], 40))
    sd, freedom = repeats([runs], "loss")
    assert freedom == 80
    assert sd == pytest.approx(0.01, rel=2.6 / math.sqrt(160))
    assert repeats([runs.where(np.arange(2))], "loss")[1] == 1


@pytest.mark.parametrize(("difference", "normal", "t"), [(1.0, 16, 17), (0.5, 63, 64)])
def test_seeds_needed(difference: float, normal: int, t: int) -> None:
    """Textbook sample sizes: 5 % two-sided, power 80 %, effects of one and of half a standard deviation."""
    assert seeds_needed(difference, 1.0, level=0.95, test="normal") == normal
    assert seeds_needed(difference, 1.0, level=0.95) == t
    assert power_of(t, difference, 1.0, 0.95) >= 0.80 > power_of(t - 1, difference, 1.0, 0.95)


def test_seeds_at_the_edges() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-9, 1.0) is None
    assert seeds_needed(1.0, 0.0) == 2
    for bad in ({"sd": -1.0}, {"sd": 1.0, "level": 1.0}, {"sd": 1.0, "power": 0.0}, {"sd": 1.0, "test": "sign"}):
        with pytest.raises(InputError):
            seeds_needed(1.0, **bad)  # type: ignore[arg-type]


def test_the_frontier_of_a_scan() -> None:
    C = np.array([1.1, 1.5, 1.9, 2.5, 3.5, 5.0, 7.0]) * 2.0**60
    runs = table(C, np.array([5.0, 4.0, 6.0, 4.5, 4.2, 3.0, 3.5]))
    assert pareto(runs)["loss"].tolist() == [4.0, 3.0]
    with pytest.raises(InputError, match="factor"):
        pareto(runs, factor=1.0)


# -- public data ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scans() -> Comparison:
    try:
        found = fs.compare("openclip-mammut", by="procedure", law="shifted-power", pareto=True, reference="clip")
    except ForescaleError as error:
        pytest.skip(f"openclip_mammut_comparison: {error}")
    assert isinstance(found, Comparison)
    return found


def test_clip_against_mammut(scans: Comparison) -> None:
    """The published verdict: CLIP below, MaMMUT above a crossing (7.5e10 GFLOP by the full table)."""
    assert scans.verdict == "B better above C*"
    assert scans.crossover is not None
    assert scans.crossover.lower < 7.5e19 < scans.crossover.upper
    assert scans.crossover.decades < 1.0
    assert scans.points[0].b_better < 0.06
    assert scans.points[-1].b_better > 0.95


def test_published_constants_cross_where_they_should() -> None:
    found = fs.compare("shifted-power:nezhurina2025-clip", "shifted-power:nezhurina2025-mammut", at=(1e18, 1e20))
    assert isinstance(found, Comparison)
    assert found.crossover is not None
    assert found.crossover.x == pytest.approx(7.5e19, rel=0.01)
    assert found.verdict == "undetermined"
    assert "No intervals" in found.notes[0]


def test_optimisers_of_the_speedrun() -> None:
    try:
        scatter = fs.compare("marin-optimizers", by="optimizer", law="power-floor(C)", reference="adamw")
        known = fs.compare(
            "marin-optimizers",
            by="optimizer",
            law="power-floor(C)",
            reference="adamw",
            noise=fs.dataset("marin-repeats"),
        )
    except ForescaleError as error:
        pytest.skip(f"marin_speedrun: {error}")
    assert isinstance(scatter, Comparisons)
    assert isinstance(known, Comparisons)
    muon = scatter["muon"]
    assert muon.verdict == "B better"
    assert muon.pairs is not None
    assert muon.pairs.upper < 0
    board = np.log([[1.169844, 1.061554, 0.990843, 0.936806], [1.186230, 1.069085, 0.999009, 0.944219]]).mean(axis=1)
    assert muon.pairs.mean == pytest.approx(board[0] - board[1], abs=1e-5)
    assert scatter["adamc"].verdict == "no difference"
    assert known["muon"].verdict == "B better"
    assert known["cautious"].verdict == "B better above C*"
    assert known.best["muon"] > 0.8


# -- out, and errors -----------------------------------------------------------------------------------------------


def test_json_and_charts(exact: Comparison, tmp_path: Path) -> None:
    content = json.loads(exact.save(tmp_path / "c.json").read_text())
    assert (content["schema"], content["version"]) == ("forescale/comparison", 1)
    assert content["verdict"] in WORDS
    assert content["crossings"][0]["x"] == pytest.approx(59049)
    for kind in (None, "difference", "savings"):
        spec = specification(exact, kind)
        assert spec["layer"]
        json.dumps(spec, allow_nan=False)
    with pytest.raises(InputError, match="no chart"):
        specification(exact, "valley")
    assert "two better above 5.9e4 FLOP" in str(exact)


def test_one_seed_one_answer() -> None:
    assert two(8, 3).to_json() == two(8, 3).to_json()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, QueryError, "without arms"),
        ({"by": "nothing"}, ColumnError, "no column 'nothing'"),
        ({"by": "one"}, DataError, "single level"),
        ({"by": "arm", "reference": "third"}, QueryError, "no arm 'third'"),
        ({"by": "arm", "share": ("E", "A", "alpha")}, LawError, "all parameters"),
        ({"by": "arm", "share": ("beta",)}, LawError, "no parameter"),
        ({"by": "arm", "method": "guess"}, QueryError, "method"),
        ({"by": "arm", "level": 1.5}, InputError, "level"),
        ({"by": "arm", "margin": -0.1}, InputError, "margin"),
        ({"by": "arm", "noise": 0.0}, InputError, "noise"),
        ({"by": "arm", "at": (-1.0,)}, InputError, "positive"),
        ({"by": "arm", "between": (2.0, 1.0)}, InputError, "range"),
        ({"by": "arm", "at": (1e200,)}, InputError, "decades apart"),
        ({"by": "arm", "pair_by": ("depth",)}, ColumnError, "depth"),
    ],
)
def test_clear_errors(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    one = curve(6, 0)
    columns = {name: np.tile(one[name], 2) for name in ("C", "loss")}
    both = Runs.from_columns({**columns, "arm": ["a"] * 6 + ["b"] * 6, "one": ["x"] * 12})
    with pytest.raises(error, match=words):
        compare(both, law=POWER, **arguments)


def test_arms_that_cannot_be_compared() -> None:
    one = fit(curve(8, 0), POWER)
    with pytest.raises(QueryError, match="one fit alone"):
        compare(one)
    with pytest.raises(QueryError, match="a fit and a table"):
        compare(one, curve(8, 1))
    with pytest.raises(QueryError, match="without a law"):
        compare(curve(8, 0), curve(8, 1))
    bits = Runs.from_columns(
        {"C": curve(8, 0)["C"], "loss": np.full(8, 0.5)}, conventions=Conventions(loss="bits/byte")
    )
    nats = Runs.from_columns(
        {"C": curve(8, 0)["C"], "loss": np.full(8, 2.5)}, conventions=Conventions(loss="nats/token")
    )
    with pytest.raises(InputError, match="loss is bits/byte in A and nats/token in B"):
        compare(bits, nats, law=POWER)
    with pytest.raises(RefusedError, match="range of C of published constants"):
        fs.compare("power:kaplan2020", "power:kaplan2020")


def test_the_command(cli: Any, table: Any, tmp_path: Path) -> None:
    arms = {"C": np.tile(curve(8, 0)["C"], 2), "arm": ["old"] * 8 + ["new"] * 8}
    arms["loss"] = np.concatenate([curve(8, 0)["loss"], curve(8, 1, A=1350.0)["loss"]])
    path = table("arms.csv", arms)
    law = ("--law", "power-floor(C)")
    said = cli("compare", path, "--by", "arm", *law, "--at", "1e21", "-o", tmp_path / "c.json")
    assert said.code == 0, said.err
    assert "new better" in said.out
    said = cli("compare", path, "--by", "arm", *law, "--json", "--noise", "0.4%", "--margin", "20%")
    assert json.loads(said.out)["verdict"] == "no difference"
    for bad in (
        ("compare", path),
        ("compare", path, "--by", "arm", "--names", "x"),
        ("compare", path, "--by", "harm"),
    ):
        assert cli(*bad).code == 2
    source = "shifted-power:nezhurina2025-"
    said = cli("compare", f"{source}clip", f"{source}mammut", "--names", "CLIP,MaMMUT", "--between", "1e17", "1e21")
    assert said.code == 0, said.err
    assert "crossing at 7.52e19 FLOP, MaMMUT better above" in said.out


def test_text_for_at_is_refused() -> None:
    published = fs.open("chinchilla:besiroglu2024")
    with pytest.raises(QueryError, match="at = 'banana'"):
        compare(published, published, at="banana")  # type: ignore[arg-type]

# SPDX-License-Identifier: Apache-2.0
"""Comparisons: published verdicts with our intervals, and how often the verdict is right where the truth is known.

    python benchmarks/compare.py                 data and 100 repeats of each simulation (about 2 CPU-minutes)
    python benchmarks/compare.py --repeats 400   what the page on comparisons shows
    python benchmarks/compare.py --data          the data alone

The data sets are read from FORESCALE_MIRROR or downloaded.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

import forescale as fs
from forescale.judge.compare import Comparison, Comparisons
from forescale.runs.table import Runs

LAW = "power-floor(C)"


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *cells: str) -> None:
    print(f"\n### {title}\n")
    row(*cells)
    print("|" + "---|" * len(cells))


# -- public data ---------------------------------------------------------------------------------------------------


def language_vision() -> None:
    head(
        "CLIP against MaMMUT (DataComp-1.4B)", "task", "runs fitted up to", "verdict", "crossing (90 %)",
        "at the top: difference", "P(MaMMUT better)", "saves",
    )  # fmt: skip
    for task, name in (("ImageNet-1k error", "openclip-mammut"), ("ADE20K, 1 - mIoU", "openclip-mammut-ade20k")):
        for most in (math.inf, 2.5e20, 1e20):
            runs = fs.dataset(name)
            runs = runs.where(runs["C"] <= most)
            c = fs.compare(runs, by="procedure", law="shifted-power", pareto=True, reference="clip")
            assert isinstance(c, Comparison)
            x, top = c.crossover, c.points[-1]
            place = "none" if x is None else f"{x.x:.2e} ({x.lower:.2e} to {x.upper:.2e})"
            saved = "" if c.savings_at is None else f"x {c.savings_at.multiplier[-1]:.2f}"
            row(
                task, f"{runs['C'].max():.1e}", c.headline, place,
                f"{100 * top.difference:+.1f} % ({100 * top.lower:+.1f} to {100 * top.upper:+.1f})",
                f"{top.b_better:.3f}", saved,
            )  # fmt: skip
    c = fs.compare("shifted-power:nezhurina2025-clip", "shifted-power:nezhurina2025-mammut")
    assert isinstance(c, Comparison)
    assert c.crossover is not None
    print(f"\nConstants fitted to the full public tables (C <= 1e21 FLOP) cross at {c.crossover.x:.3e} FLOP.")


def held_out() -> None:
    """Which arm is better in the largest runs, said before they are seen."""
    head("The call before the largest runs", "task", "fitted up to", "called at 5e20 FLOP", "P", "measured there")
    for task, name in (("ImageNet-1k error", "openclip-mammut"), ("ADE20K, 1 - mIoU", "openclip-mammut-ade20k")):
        whole = fs.dataset(name)
        best = [
            whole["loss"][(whole.labels["procedure"] == arm) & (whole["C"] > 3e20)].min()
            for arm in ("clip", "mammut")
        ]
        for most in (1e20, 2.5e20):
            runs = whole.where(whole["C"] <= most)
            c = fs.compare(runs, by="procedure", law="shifted-power", pareto=True, reference="clip", at=(5e20,))
            assert isinstance(c, Comparison)
            p = c.points[0]
            row(
                task, f"{most:.1e}", "mammut" if p.difference < 0 else "clip",
                f"{max(p.b_better, 1 - p.b_better):.2f}", f"best runs: clip {best[0]:.4f}, mammut {best[1]:.4f}",
            )  # fmt: skip


def speedrun() -> None:
    for title, noise in (
        ("scatter of the pairs as noise", None),
        ("noise of repeated runs", fs.dataset("marin-repeats")),
    ):
        found = fs.compare("marin-optimizers", by="optimizer", law=LAW, reference="adamw", noise=noise)
        assert isinstance(found, Comparisons)
        used = "" if noise is None else f" ({100 * found.each[0].noise:.3f} %)"
        head(
            f"Marin speedrun against AdamW, four sizes: {title}{used}",
            "optimiser", "verdict", "mean difference (90 %)", "130M", "300M", "520M", "1.2B", "saves at 1.2B",
            "P(best)",
        )  # fmt: skip
        for c in found.each:
            assert c.pairs is not None
            assert c.savings_at is not None
            s = c.savings_at
            row(
                c.names[1], c.headline,
                f"{100 * c.pairs.mean:+.2f} % ({100 * c.pairs.lower:+.2f} to {100 * c.pairs.upper:+.2f})",
                *(f"{100 * d:+.2f} %" for d in c.pairs.log_ratio),
                f"x {s.multiplier[-1]:.2f} ({s.lower[-1]:.2f} to {s.upper[-1]:.2f})", f"{found.best[c.names[1]]:.3f}",
            )  # fmt: skip


def others() -> None:
    runs = fs.dataset("xlstm-isoflop")
    c = fs.compare(runs, by="arm", law="chinchilla", reference="llama")
    assert isinstance(c, Comparison)
    print(f"\nxLSTM against Llama at a context of 16k, compute-optimal, C = 6ND: {c.headline}.")
    for p in c.points:
        print(f"  {p.x:.2e} FLOP: {100 * p.difference:+.2f} % ({100 * p.lower:+.2f} to {100 * p.upper:+.2f})")
    head("Neural collapse and loss, 210 models", "measure", "r", "partial r given log N", "verdict")
    collapse = fs.dataset("linguistic-collapse")
    for name in ("log_NC1", "log_GNC2", "NC4", "NC2_etf", "NC3", "UNC3_var", "NC2_norms_var"):
        e = fs.partial(collapse, "loss", name).effects[0]
        row(name, f"{e.r:+.3f}", f"{e.partial:+.3f}", e.verdict)
    head("Noise floor of climate emulators", "variable", "target", "method", "B^2", "V", "R^2")
    climate = fs.dataset("climate-emulator")
    for variable in ("tas", "pr"):
        for target in ("same_n", "all50"):
            for model in ("pattern_scaling", "cnn_lstm"):
                keep = (climate.labels["variable"] == variable) & (climate.labels["target"] == target)
                keep &= climate.labels["model"] == model
                if keep.any():
                    f = fs.noise_floor(climate["n_members"][keep], climate["loss"][keep])
                    row(variable, target, model, f"{f.bias2:.5f}", f"{f.variance:.5f}", f"{f.r2:.3f}")


# -- simulations ---------------------------------------------------------------------------------------------------

Noise = Callable[[np.random.Generator, int], np.ndarray]
NORMAL: Noise = lambda rng, n: rng.standard_normal(n)  # noqa: E731
HEAVY: Noise = lambda rng, n: rng.standard_t(3, n) / math.sqrt(3)  # noqa: E731


def arms(
    n: int, seed: int, *, paired: bool = True, noise: Noise = NORMAL, sd: float = 0.004, shared: float = 0.0,
    A: float = 1500.0, alpha: float = 0.17,
) -> tuple[Runs, Runs]:  # fmt: skip
    """Two tables of n runs over four decades of C from 1.7 + 1500 C^-.17; B has its own A and alpha."""
    rng = np.random.default_rng(seed)
    common = shared * rng.standard_normal(n)
    made = []
    for a, b in ((1500.0, 0.17), (A, alpha)):
        C = np.geomspace(1e18, 1e22, n) if paired else np.exp(rng.uniform(math.log(1e18), math.log(1e22), n))
        loss = (1.7 + a * C**-b) * np.exp(common + sd * noise(rng, n))
        made.append(Runs.from_columns({"C": C, "loss": loss}))
    return made[0], made[1]


def no_difference(repeats: int) -> None:
    head(
        f"Two arms that do not differ, {repeats} repeats",
        "design",
        "no difference",
        "a winner",
        "undetermined",
        "CPU-s each",
    )
    cases = {
        "4 sizes, paired": {"n": 4}, "6 sizes, paired": {"n": 6}, "8 sizes, paired": {"n": 8},
        "12 sizes, paired": {"n": 12}, "12 sizes, not paired": {"n": 12, "paired": False},
        "24 sizes, heavy tails": {"n": 24, "noise": HEAVY}, "24 sizes, not paired": {"n": 24, "paired": False},
        "24 sizes, shared noise .8 %": {"n": 24, "shared": 0.008}, "60 sizes, not paired": {"n": 60, "paired": False},
    }  # fmt: skip
    for title, how in cases.items():
        start = time.process_time()
        words = Counter(
            fs.compare(*arms(seed=seed, **how), law=LAW, rng=seed).verdict  # type: ignore[arg-type,union-attr]
            for seed in range(repeats)
        )
        cost = (time.process_time() - start) / repeats
        winner = sum(count for word, count in words.items() if "better" in word)
        row(
            title, f"{100 * words['no difference'] / repeats:.1f} %", f"{100 * winner / repeats:.1f} %",
            f"{100 * words['undetermined'] / repeats:.1f} %", f"{cost:.2f}",
        )  # fmt: skip


def crossings(repeats: int) -> None:
    """The curves meet at (24000 / 1500)^(1 / .06) = 1.2e20 FLOP."""
    truth = (24000 / 1500) ** (1 / 0.06)
    head(
        f"Two arms that cross at {truth:.2e} FLOP, {repeats} repeats", "design", "interval holds the crossing",
        "median width (decades)", "B better above C*", "B better only", "wrong arm above", "undetermined",
    )  # fmt: skip
    for title, how in {
        "8 sizes": {"n": 8}, "12 sizes": {"n": 12}, "24 sizes": {"n": 24},
        "24 sizes, not paired": {"n": 24, "paired": False}, "24 sizes, shared noise .8 %": {"n": 24, "shared": 0.008},
    }.items():  # fmt: skip
        words: Counter[str] = Counter()
        covered, widths = [], []
        for seed in range(repeats):
            c = fs.compare(*arms(seed=seed, A=24000.0, alpha=0.23, **how), law=LAW, rng=seed)
            assert isinstance(c, Comparison)
            words[c.verdict] += 1
            good = [x for x in c.crossings if x.better_above == "B"]
            if good:
                covered.append(any(x.lower <= truth <= x.upper for x in good))
                widths.append(good[-1].decades)
        share = {word: 100 * count / repeats for word, count in words.items()}
        wrong = share.get("A better above C*", 0) + share.get("A better", 0) + share.get("B better below C*", 0)
        row(
            title, f"{100 * np.mean(covered):.1f} %", f"{np.median(widths):.2f}",
            f"{share.get('B better above C*', 0):.1f} %", f"{share.get('B better', 0):.1f} %", f"{wrong:.1f} %",
            f"{share.get('undetermined', 0) + share.get('no difference', 0):.1f} %",
        )  # fmt: skip


def exact() -> None:
    C = np.geomspace(1e2, 1e8, 20)
    made = [Runs.from_columns({"C": C, "loss": 2 + a * C**-b}) for a, b in ((10, 0.3), (30, 0.4))]
    c = fs.compare(*made, law=LAW)
    assert isinstance(c, Comparison)
    assert c.crossover is not None
    print(f"2 + 10 C^-.3 and 2 + 30 C^-.4 cross at {c.crossover.x:.6f} (3^10 = 59049): {c.verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--data", action="store_true", help="no simulations")
    given = parser.parse_args()
    exact()
    language_vision()
    held_out()
    speedrun()
    others()
    if not given.data:
        no_difference(given.repeats)
        crossings(given.repeats)


if __name__ == "__main__":
    main()
